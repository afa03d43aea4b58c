"""What classifiers on linear predictors have in common: their penalty, weights of classes, and what is saved."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ..protocols.rows import is_sparse
from ..protocols.schema import Schema
from ..saving.contents import Member, Number, NumberAsText
from ..wording.arguments import is_number
from ._labels import CLASS_WEIGHT, CLASSES, Labelled, as_pairs, of_pairs
from ._linear import LinearEstimator

Array = npt.NDArray[Any]


@dataclass(kw_only=True, eq=False, repr=False)
class Classifier(Labelled, ClassifierMixin, LinearEstimator):  # type: ignore[misc]
    """A classifier on one linear predictor, or one for each class, whose penalty has the strength 1 / C on sums.

    Parameters
    ----------
    C : float, default=1.0
        Inverse of the penalty's strength; `np.inf` for none.
    class_weight : "balanced", mapping of label to weight, or None, default=None
        Multiplies the sample weights of each class.
    """

    _saved_parameters: ClassVar = {
        "C": NumberAsText(Number(0, infinite=True, above=True)),
        "class_weight": CLASS_WEIGHT,
        **LinearEstimator._saved_parameters,
    }
    _saved_members: ClassVar = {
        "coef": Member("f", ("outputs", "columns")),
        "intercept": Member("f", ("outputs",)),
        "classes": CLASSES,
        **LinearEstimator._saved_members,
    }

    C: float = 1.0
    class_weight: str | Mapping[Any, float] | None = None

    def _check_parameters(self) -> None:
        if not (is_number(self.C) and self.C > 0):
            raise ValueError(f"C must be a positive number, got {self.C!r}")
        super()._check_parameters()

    def _strength(self, weight: float) -> float:
        return 1.0 / (float(self.C) * weight)

    def _of_strength(self, strength: float, weight: float) -> dict[str, Any]:
        return {"C": 1.0 / (strength * weight)}

    def _keep(self, coef: Array, intercept: Array, schema: Schema) -> None:
        assert schema.classes is not None
        self.coef_, self.intercept_, self.classes_ = coef, intercept, schema.classes

    def _matrix(self) -> tuple[Array, Array]:
        return self.coef_, self.intercept_

    def _continues(self, schema: Schema, outputs: int) -> bool:
        assert schema.classes is not None
        return super()._continues(schema, outputs) and np.array_equal(self.classes_, schema.classes)

    def sparsify(self) -> Self:
        """Keep `coef_` as a sparse matrix: less memory and quicker predictions where most of it is zero.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        self.coef_ = csr_matrix(self.coef_)
        return self

    def densify(self) -> Self:
        """Keep `coef_` as an array, as `fit` does: the inverse of `sparsify`.

        Returns
        -------
        self
        """
        check_is_fitted(self)
        if is_sparse(self.coef_):
            self.coef_ = self.coef_.toarray()
        return self

    def _add_saved(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        arrays["classes"] = self.classes_
        parameters = metadata["parameters"]
        if "C" in parameters:
            parameters["C"] = str(self.C)  # JSON has no infinity
        parameters["class_weight"] = as_pairs(self.class_weight)

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        parameters = dict(metadata["parameters"])
        parameters["class_weight"] = of_pairs(parameters["class_weight"])
        if "C" in parameters:
            parameters["C"] = float(parameters["C"])
        model = cls(**parameters)
        model.coef_, model.intercept_, model.classes_ = arrays["coef"], arrays["intercept"], arrays["classes"]
        return model
