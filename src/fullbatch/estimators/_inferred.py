"""From a fitted model to standard errors and tests: the rows are given once more, and what would be wrong refused."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from ..data.fitted import Fitted, given_to_evaluate, given_to_predict
from ..errors import DataError
from ..protocols.rows import Rows, is_sparse
from ..protocols.schema import Features
from ..wording.messages import shortened
from ._base_levels import held_at_zero
from ._per_column import PerColumn, per_column

if TYPE_CHECKING:
    from ..inference.results import Inference

Array = npt.NDArray[Any]


class Inferred:
    """A fitted linear model that tells how well it is known."""

    features_: Features
    missing_: dict[str, Any]
    base_: dict[str, Any]
    has_offset_: bool
    formula_: Any
    formula: str | None
    engine: Any
    fit_intercept: bool
    standardize: bool
    unknown: str

    _no_inference: ClassVar[str] = ""  # why there is none

    @abstractmethod
    def _loss(self) -> tuple[str, Mapping[str, Any] | None]:
        """Name and options of the loss of one linear predictor."""

    @abstractmethod
    def _bounds(self) -> tuple[PerColumn, PerColumn]:
        """What coefficients must not be below, and above."""

    @abstractmethod
    def _matrix(self) -> tuple[Array, Array]:
        """`coef_` and `intercept_` as (outputs, p) and (outputs,) arrays."""

    @abstractmethod
    def _fitted(self) -> Fitted:
        """What must be known of the fit to read rows for it."""

    @abstractmethod
    def _shares(self, features: Features) -> tuple[Array | None, Array | None]:
        """What the strengths of L2 and L1 are multiplied by for each coefficient; None for 1."""

    def inference(
        self,
        X: Any = None,
        y: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        clusters: Any = None,
        covariance: str | None = None,
        weights: str | None = None,
        dispersion: str | float | None = None,
        reference: Mapping[str, Any] | None = None,
        columns: Sequence[str] | None = None,
    ) -> "Inference":
        """Standard errors, tests, intervals and effects, from the rows of the fit: one pass, in float64.

        Parameters
        ----------
        X, y, sample_weight, offset
            The rows of the fit, given as for `fit`: the model does not keep them.
        clusters : str, (n,) array_like, or a list of one or two of these, optional
            What tells the clusters of rows whose errors may be correlated: columns of a table, or ids. They are no
            features, unless they were in the fit.
        covariance : {"classical", "observed", "HC0", "HC1", "HC2", "HC3", "cluster", "CRV2", "CRV3"}, optional
            "classical": inverse of the expected information, if the model is right; "observed": of the observed one;
            sandwiches, which hold if the mean alone is right: "HC0" to "HC3" for independent rows, "cluster" for
            independent clusters, one or two ways, "CRV2" and "CRV3" for few of them, one way. Default: "cluster" with
            clusters; "HC1" where there is no likelihood (huber, quantile, class_weight); else "classical".
        weights : {"frequency", "precision"}, optional
            A sample weight counts rows that are alike, or divides the variance of one row (a mean of so many, such as
            the share of so many trials; sampling weights with a sandwich). Default: "precision" where a target of the
            binomial family is neither 0 nor 1, else "frequency".
        dispersion : {"pearson", "deviance", "likelihood"} or float, optional
            What the variance is multiplied by. Default: Pearson's estimate for the normal, gamma and Tweedie families,
            1 for others; "pearson" makes theirs quasi-likelihoods.
        reference : mapping of str to level, optional
            Which level of a categorical column the others are compared with; default: the base level of the fit, or
            the first.
        columns : sequence of str, optional
            Columns of the data, terms of the formula, or parameters, that are told alone: for more parameters than a
            matrix can be made for. Their errors are found by conjugate gradients, a pass an iteration, in memory that
            grows with the number of parameters times that of the chosen ones. Effects, errors of predictions and other
            fits need all.

        Returns
        -------
        Inference

        Raises
        ------
        ValueError
            Errors would be wrong: an L1 penalty, coefficients at their bounds.
        DataError
            The rows do not tell the parameters (fewer rows than these, collinear columns, separated classes, one
            cluster), or are not those of the fit.
        """
        from ..inference.clusters import column_of, named_clusters
        from ..inference.data import Data
        from ..inference.results import Inference
        from ..inference.weights import check_meaning

        check_is_fitted(self)
        check_meaning(weights)
        if X is None:
            raise DataError(
                "standard errors are made from the rows of the fit, which a model does not keep, saved or not: give "
                "them once more, as to fit, inference(X, y, ...)"
            )
        fitted = self._for_inference()
        names = named_clusters(clusters, X)
        given = given_to_evaluate(
            X, y, sample_weight, self._fitted(), offset, [name for name, values in names.items() if values is None]
        )
        if isinstance(given, Rows):
            names = {name: column_of(X, name) if values is None else values for name, values in names.items()}

        def read_others(X: Any, offset: Any) -> Any:
            return given_to_predict(X, self._fitted(), offset)

        data = Data.of(given, self.engine, names)
        asked: dict[str, Any] = {"covariance": covariance, "weights": weights, "dispersion": dispersion}
        asked |= {"reference": {**self.base_, **(reference or {})}, "given": read_others}
        if columns is not None:
            from ..inference.chosen import ChosenInference

            return ChosenInference.of_columns(fitted, data, columns, **asked)
        return Inference.of(fitted, data, **asked)

    @property
    def _found_with(self) -> int:
        """Parameters of the family that were fitted with the coefficients."""
        return 0

    def _for_inference(self) -> Any:
        if self._no_inference:
            raise ValueError(f"{type(self).__name__} has no standard errors: {self._no_inference}")
        coef, _ = self._matrix()
        features = self.features_
        if not hasattr(self, "l2_"):
            raise ValueError("this model was saved by an earlier fullbatch, which kept no penalty: fit it again")
        if self.l1_ or getattr(self, "l21_", 0.0):  # type: ignore[attr-defined]
            what = "an L1 penalty" if self.l1_ else "a penalty of groups"  # type: ignore[attr-defined]
            raise ValueError(
                f"{what} chooses columns by the data, and errors that do not know of the choice are wrong: refit the "
                "columns whose coefficients are not zero without the penalty, on other rows"
            )
        zero = held_at_zero(self.base_, features)
        for which, bounds in zip(("lower_bounds", "upper_bounds"), self._bounds(), strict=True):
            if bounds is not None:
                at = (per_column(which, bounds, features, np.nan) == coef[0]) & ~zero
                if at.any():
                    held = [features.names_out()[j] for j in np.flatnonzero(at)]
                    raise ValueError(
                        f"{shortened(held)}: at {which}, where an estimate has no symmetric error: fit without the "
                        "bound, or without the column"
                    )
        if getattr(self, "separable_", False):  # models of paths do not know
            raise DataError(
                "the classes are separated, as the fit has warned: the likelihood has no maximum, and its curvature "
                "where the fit ended says nothing of errors. Leave a column out, merge levels, or penalise"
            )
        shares = self._shares(features)[0]
        return self._as_fitted(self.l2_ * (np.ones(features.size) if shares is None else shares))

    def _as_fitted(self, l2: Array) -> Any:
        """What rows are held against; `l2` are the strengths of the penalty."""
        from ..inference.design import FittedLinear
        from ..inference.families import Family

        coef: Any  # sparse after `sparsify`
        coef, intercept = self._matrix()
        loss, options = self._loss()
        return FittedLinear(
            self.features_,
            Family("softmax" if loss == "logistic" and len(intercept) > 1 else loss, dict(options or {})),
            coef.toarray() if is_sparse(coef) else coef,
            intercept,
            bool(self.fit_intercept),
            l2,
            bool(self.standardize),
            getattr(self, "n_samples_fit_", None),
            self.has_offset_,
            dict(self.missing_),
            getattr(self, "classes_", None),
            getattr(self, "class_weight", None),
            held_at_zero(self.base_, self.features_),
            None if self.formula_ is None else self.formula,
            "error" if self.unknown == "error" else "ignore",
            self._found_with,
            getattr(self, "weight_sum_", None),
            () if self.formula_ is None else self.formula_.parts,
        )
