"""What classifiers on linear predictors have in common: labels, decisions and accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_matrix
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ..errors import DataError
from ..models.describe import as_labels
from ..protocols.rows import is_sparse
from ..protocols.schema import Schema, in_one_type
from ..saving.contents import Each, Either, Flag, Member, Null, Number, NumberAsText, Row, Text
from ..wording.arguments import is_number
from ._linear import LinearEstimator

Array = npt.NDArray[Any]


@dataclass(kw_only=True, eq=False, repr=False)
class Classifier(ClassifierMixin, LinearEstimator):  # type: ignore[misc]
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
        # A mapping is a list of pairs, since names in JSON are text.
        "class_weight": Either(Null(), Text(("balanced",)), Each(Row(Either(Text(), Number(), Flag()), Number(0)))),
        **LinearEstimator._saved_parameters,
    }
    _saved_members: ClassVar = {
        "coef": Member("f", ("outputs", "columns")),
        "intercept": Member("f", ("outputs",)),
        "classes": Member("biufSU", (None,), increasing=True, fewest=2),
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

    def decision_function(self, X: Any, *, offset: Any = None) -> Array:
        """Linear predictors: (n,) for two classes, where positive means the second, else (n, K)."""
        return self._answer(type(self)._decision, X, offset)

    def predict(self, X: Any, *, offset: Any = None, lazy: bool = False) -> Any:
        """The most probable label of each row, shape (n,).

        X and offset are as for `fit`; sources, and what is of Dask or Ray, are read on the engine's workers. With
        `lazy` the predictions for a Dask data frame are a Dask series, those for a Dask array another one.
        """
        formula = type(self)._predicted
        return self._lazy(formula, X, offset, ["prediction"]) if lazy else self._answer(formula, X, offset)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None) -> float:
        """Weighted share of the rows whose label is predicted; of arrays, or of sources, which bring the labels.

        A label that the fit has not seen is never predicted, and so a miss.
        """
        return self.evaluate(X, y, sample_weight, offset=offset)["accuracy"]

    def _predicted(self, eta: Array) -> Array:
        return self.classes_[self._likeliest(eta)]

    @staticmethod
    def _likeliest(eta: Array) -> Array:
        """Number of the most probable class of each row."""
        return (eta[:, 0] > 0).astype(np.int64) if eta.shape[1] == 1 else eta.argmax(axis=1)

    def _decision(self, eta: Array) -> Array:
        return eta.ravel() if eta.shape[1] == 1 else eta

    def _targets(self, y: Array, source: Any) -> Array:
        """Number of each label's class; -1 for a label that the fit has not seen."""
        y, *_ = as_labels(y, str(source))
        if len(y) and _kind(y) != _kind(self.classes_):
            raise DataError(
                f"{source}: labels are like {y.tolist()[0]!r}, those of the fit like {self.classes_.tolist()[0]!r}: "
                "use text or numbers in both"
            )
        classes, y = in_one_type([self.classes_, y], "labels")
        index = np.minimum(np.searchsorted(classes, y), len(classes) - 1)
        return np.where(classes[index] == y, index, -1)

    def _add_saved(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        arrays["classes"] = self.classes_
        parameters = metadata["parameters"]
        if "C" in parameters:
            parameters["C"] = str(self.C)  # JSON has no infinity
        if isinstance(self.class_weight, Mapping):
            labels = [label.item() if isinstance(label, np.generic) else label for label in self.class_weight]
            parameters["class_weight"] = list(zip(labels, map(float, self.class_weight.values()), strict=True))

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        parameters = dict(metadata["parameters"])
        if isinstance(parameters["class_weight"], list):
            parameters["class_weight"] = dict(parameters["class_weight"])
        if "C" in parameters:
            parameters["C"] = float(parameters["C"])
        model = cls(**parameters)
        model.coef_, model.intercept_, model.classes_ = arrays["coef"], arrays["intercept"], arrays["classes"]
        return model


def _kind(labels: Array) -> str:
    """Text and bytes are one kind each, all numbers are another."""
    kind = labels.dtype.kind
    return kind if kind in "US" else "number"
