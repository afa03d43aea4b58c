"""Ordinal logistic regression: classes that have an order, by proportional odds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy.special import log_expit, logit

from ..errors import FitWarning
from ..models.ordinal import CumulativeLogit
from ..objective.objective import Objective
from ..objective.variables import Standardized
from ..protocols.schema import Schema
from ..run.result import Result
from ..saving.contents import Each, Either, Flag, Member, Null, Number, Text
from ..wording.messages import shortened
from ..wording.warned import warn
from ._classifier import Classifier
from ._labels import Probable

Array = npt.NDArray[Any]


class _OneForAllCuts(Standardized):
    """Centred columns of one linear predictor with several intercepts, all of which the means move."""

    def pull_back(self, grad: Array) -> Array:
        coef, intercepts = self._split(grad)
        coef = coef - intercepts.sum(axis=-1)[..., None, None] * self._mean
        return self._join(np.where(self._used, coef / self._scale, 0.0), intercepts)


@dataclass(kw_only=True, eq=False, repr=False)
class OrdinalLogisticRegression(Probable, Classifier):  # type: ignore[misc]
    """Logistic regression for ordered classes (proportional odds, cumulative logit), by exact gradients over blocks.

    Models P(y > k) = 1 / (1 + exp(thresholds_[k] - x' coef)) for each class k but the last, with thresholds that grow,
    and minimises (sum of w_i loss_i) / (sum of w_i) + ||coef||^2 / (2 C sum of w_i), where a row's loss is minus the
    logarithm of its class's probability. Thresholds are not penalised. F is convex in coefficients and thresholds
    (McCullagh, 1980; Pratt, 1981). The result is the same to the bit on any engine and number of workers.

    Parameters
    ----------
    classes : sequence of labels, or None, default=None
        All labels from the lowest to the highest. Default: the order of y's categories where y is an ordered
        categorical of pandas, or an Enum of polars; else sorted.
    C : float, default=1.0
        Inverse of the penalty's strength; `np.inf` for none.
    class_weight : "balanced", mapping of label to weight, or None, default=None
        Multiplies the sample weights of each class.
    tol, max_iter, warm_start, standardize, unknown, solver, engine, checkpoint, callbacks, verbose
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.

    Attributes
    ----------
    classes_ : (K,) array
        Labels, sorted: the order of the columns of probabilities, as scikit-learn's scorers take them.
    ordered_classes_ : (K,) array
        The same from the lowest to the highest.
    ranks_ : (K,) int array
        Place of each of `classes_` in that order.
    coef_ : (1, p) float64 array
        Coefficients: the larger x' coef, the higher the class.
    intercept_ : (K - 1,) float64 array
        Those of the logits of P(y > k), falling.
    features_, n_iter_, n_samples_fit_, l2_, l1_, status_, missing_, result_
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.
    n_features_in_, feature_names_in_, has_offset_, zero_based_
        The same.

    Examples
    --------
    >>> from fullbatch import OrdinalLogisticRegression
    >>> X = [[0.0], [1.0], [2.0], [3.0], [4.0], [5.0], [6.0], [7.0]]
    >>> y = ["low", "low", "mid", "low", "mid", "high", "mid", "high"]
    >>> model = OrdinalLogisticRegression(classes=["low", "mid", "high"]).fit(X, y)
    >>> model.predict([[0.0], [3.5], [7.0]]).tolist()
    ['low', 'mid', 'high']
    """

    _saved_parameters: ClassVar = {
        "classes": Either(Null(), Each(Either(Text(), Number(), Flag()))),
        **{
            name: rule
            for name, rule in Classifier._saved_parameters.items()
            if name not in ("fit_intercept", "l1_ratio", "lower_bounds", "upper_bounds")
        },
    }
    _saved_members: ClassVar = {
        **Classifier._saved_members,
        "coef": Member("f", (1, "columns")),
        "intercept": Member("f", (None,), fewest=1),
        "order": Member("iu", ("classes",), least=0),
    }
    _of_thresholds = "its thresholds are fitted too, and are no coefficients of a linear predictor: use "
    _no_inference: ClassVar = f"{_of_thresholds}OrderedModel of statsmodels"
    _no_checks: ClassVar = f"{_of_thresholds}scikit-learn's metrics"
    _no_together: ClassVar = f"{_of_thresholds}scikit-learn's model selection"

    classes: Sequence[Any] | None = None

    fit_intercept: ClassVar[bool] = True  # type: ignore[misc]
    l1_ratio: ClassVar[float] = 0.0  # type: ignore[misc]
    lower_bounds: ClassVar[None] = None  # type: ignore[misc]
    upper_bounds: ClassVar[None] = None  # type: ignore[misc]

    @property
    def thresholds_(self) -> Array:
        """Where x' coef goes from one class to the next, (K - 1,): `-intercept_`."""
        return -self.intercept_

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None) -> Self:
        """Fit the model; see `fullbatch.estimators.LinearEstimator.fit`. Labels may be an ordered categorical."""
        self._order = None if self.classes is not None else _order_of(X, y)  # by which the copy that is fitted learns
        try:
            return super().fit(X, y, sample_weight, offset=offset)
        finally:
            self.__dict__.pop("_order", None)

    def _check_parameters(self) -> None:
        if not (self.classes is None or isinstance(self.classes, Sequence | np.ndarray)) or isinstance(
            self.classes, str | bytes
        ):
            raise ValueError(f"classes must be a list of labels in their order, or None, got {self.classes!r}")
        super()._check_parameters()

    def _model(self) -> CumulativeLogit:
        order = getattr(self, "_order", None) if self.classes is None else list(self.classes)
        return CumulativeLogit(order, self.class_weight)

    def _linear(self, schema: Schema) -> Any:
        return self._model()

    def _loss(self) -> tuple[str, None]:
        return "logistic", None

    def _variables(self, schema: Schema, linear: Any) -> _OneForAllCuts:
        return _OneForAllCuts(schema, 1, True, self.standardize)

    def _intercepts(self, schema: Schema, outputs: int) -> int:
        assert schema.classes is not None
        return len(schema.classes) - 1

    def _first_guess(self, objective: Objective, schema: Schema) -> Array:
        """Zeros, and the thresholds at which each class has its share of the weight."""
        theta, shares = super()._first_guess(objective, schema), self._model().shares(schema)
        theta[schema.n_features :] = logit(np.cumsum(shares[:0:-1])[::-1])
        return theta

    @property
    def ordered_classes_(self) -> Array:
        """The labels from the lowest to the highest, (K,)."""
        return np.asarray(self.classes_[np.argsort(self.ranks_)])

    def _keep(self, coef: Array, intercept: Array, schema: Schema) -> None:
        assert schema.classes is not None
        # Whoever scores probabilities takes their columns to be those of the sorted labels.
        self.coef_, self.intercept_, self.classes_ = coef, intercept, schema.classes
        self.ranks_ = self._model().ranks(schema)

    def _continues(self, schema: Schema, outputs: int) -> bool:
        assert schema.classes is not None
        same = self.features_.same_as(schema.features) and np.array_equal(self.classes_, schema.classes)
        return same and np.array_equal(self.ranks_, self._model().ranks(schema))

    def _warn(self, result: Result, schema: Schema, was_asked: bool = False) -> None:
        super()._warn(result, schema, was_asked)
        if self._model().classes is None and len(self.classes_) > 2 and self.classes_.dtype.kind in "SU":
            warn(
                f"[sorted-classes] labels are text, and were put in the order in which text sorts: "
                f"{shortened(self.ordered_classes_.tolist())}. Give classes=[...], from the lowest to the highest, or "
                "y as an ordered categorical",
                FitWarning,
            )

    def decision_function(self, X: Any, *, offset: Any = None) -> Array:
        """Of two classes the linear predictor less the threshold, (n,); of more the logarithms of the probabilities,
        (n, K) in the order of `classes_`, the largest of which is the class that is predicted.
        """
        return super().decision_function(X, offset=offset)

    def _decision(self, eta: Array) -> Array:
        if eta.shape[1] > 1:
            return self._log_proba(eta)
        return eta.ravel() if self.ranks_[1] else -eta.ravel()  # positive means the second of `classes_`

    def _likeliest(self, eta: Array) -> Array:
        return np.asarray(self._log_proba(eta).argmax(axis=1))

    def _log_proba(self, eta: Array) -> Array:
        """(n, K) logarithms of the probabilities, from the (n, K - 1) logits of P(y > k)."""
        above, below = np.zeros((len(eta), eta.shape[1] + 1)), np.zeros((len(eta), eta.shape[1] + 1))
        above[:, 1:], below[:, :-1] = log_expit(eta), log_expit(-eta)
        between = np.zeros(eta.shape[1] + 1)
        between[1:-1] = np.log(-np.expm1(np.diff(self.intercept_)))
        return (above + below + between)[:, self.ranks_]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        # One direction cannot tell apart what scikit-learn's checks put at the corners of a triangle.
        tags.classifier_tags.poor_score = True
        return tags

    def _add_saved(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        super()._add_saved(arrays, metadata)
        if self.classes is not None:
            metadata["parameters"]["classes"] = np.asarray(self.classes).tolist()
        arrays["order"] = self.ranks_

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        ranks, intercept = arrays["order"], arrays["intercept"]
        if not np.array_equal(np.sort(ranks), np.arange(len(ranks))):
            raise ValueError(f"order is {ranks.tolist()}, no order of {len(ranks)} classes")
        if len(intercept) != len(ranks) - 1 or not (np.diff(intercept) < 0).all():
            raise ValueError(f"there are {len(intercept)} intercepts, which must be {len(ranks) - 1} that fall")
        model = super()._loaded(arrays, metadata)
        model.ranks_ = ranks
        return model


def _order_of(X: Any, y: Any) -> list[Any] | None:
    """The labels that occur in an ordered categorical, from the lowest to the highest; None of what is none.

    Parameters
    ----------
    X, y
        As for `fit`.
    """
    if isinstance(y, str) and hasattr(X, "dtypes") and y in X.columns:
        y = X[y]
    elif hasattr(y, "columns") and hasattr(y, "dtypes") and len(y.columns) == 1:
        y = y[y.columns[0]]
    dtype = getattr(y, "dtype", None)
    ordered = getattr(dtype, "ordered", False)  # of pandas, or of Dask
    if not (ordered or (type(dtype).__name__ == "Enum" and hasattr(y, "to_list"))):  # of polars
        return None
    there = y.unique()
    there = set(there.compute() if hasattr(there, "compute") else there)
    return [label for label in dtype.categories.to_list() if label in there]  # type: ignore[union-attr]
