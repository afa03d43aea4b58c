"""Logistic regression, binary and multinomial."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import log_softmax
from sklearn.base import ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ..errors import DataError
from ..models.describe import as_labels
from ..models.linear import Linear
from ..objective.objective import Objective
from ..protocols.rows import Rows
from ..protocols.schema import Description, Schema, in_one_type
from ..protocols.seams import Block
from ..saving.contents import Each, Either, Flag, Member, Null, Number, NumberAsText, Row, Text
from ..wording.arguments import is_number
from ._linear import LinearEstimator
from ._measures import Tally

Array = npt.NDArray[Any]


@dataclass(kw_only=True, eq=False, repr=False)
class LogisticRegression(ClassifierMixin, LinearEstimator):  # type: ignore[misc]
    """Logistic regression with an L2 or L1 penalty, or some of both, by exact gradients over blocks of rows.

    Minimises (sum of w_i loss_i) / (sum of w_i) + penalty / (C sum of w_i) with the penalty
    (1 - l1_ratio) ||coef||^2 / 2 + l1_ratio ||coef||_1, where coefficients may be bounded: the same minimum as that of
    scikit-learn's C (sum of w_i loss_i) + penalty. The intercept is neither penalised nor bounded. The result is the
    same to the bit on any engine and number of workers.

    Parameters
    ----------
    C : float, default=1.0
        Inverse of the penalty's strength; `np.inf` for none.
    l2 : float or None, default=None
        Strength of the penalty on the mean loss, which then stands instead of 1 / (C sum of w_i); `l1_ratio` of it is
        L1's.
    class_weight : "balanced", mapping of label to weight, or None, default=None
        Multiplies the sample weights of each class.
    tol, fit_intercept, max_iter, warm_start, l1_ratio, lower_bounds, upper_bounds, standardize, unknown, solver,
    engine, checkpoint, callbacks, verbose
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.

    Attributes
    ----------
    classes_ : (K,) array
        Labels, sorted.
    coef_ : (1, p) or (K, p) float64 array
        Coefficients; one row for two classes.
    intercept_ : (1,) or (K,) float64 array
        Intercepts; zeros without.
    features_, n_iter_, n_samples_fit_, l2_, l1_, status_, missing_, result_
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.
    n_features_in_, feature_names_in_, has_offset_, zero_based_
        The same.

    Examples
    --------
    >>> from fullbatch import LogisticRegression
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> LogisticRegression().fit(X, y).score(X, y) > 0.95
    True
    """

    _saved_parameters: ClassVar = {
        "C": NumberAsText(Number(0, infinite=True, above=True)),
        "l2": Either(Number(0), Null()),
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
    l2: float | None = None
    class_weight: str | Mapping[Any, float] | None = None

    def _check_parameters(self) -> None:
        if not (is_number(self.C) and self.C > 0):
            raise ValueError(f"C must be a positive number, got {self.C!r}")
        if not (self.l2 is None or (is_number(self.l2) and 0 <= self.l2 < np.inf)):
            raise ValueError(f"l2 must be a number of 0 or more, or None, got {self.l2!r}")
        super()._check_parameters()

    def _model(self) -> "_CrossEntropy":
        return _CrossEntropy(bool(self.fit_intercept), self.class_weight)

    def _linear(self, schema: Schema) -> Linear:
        return self._model().linear(schema)

    def _strength(self, weight: float) -> float:
        return 1.0 / (float(self.C) * weight) if self.l2 is None else float(self.l2)

    def _keep(self, coef: Array, intercept: Array, schema: Schema) -> None:
        assert schema.classes is not None
        if len(coef) > 1:  # what all classes have in common changes no prediction
            intercept = intercept - intercept.mean()
            if not self.l1_ratio and self.lower_bounds is None and self.upper_bounds is None:
                coef = coef - coef.mean(axis=0)
        self.coef_, self.intercept_, self.classes_ = coef, intercept, schema.classes

    def _matrix(self) -> tuple[Array, Array]:
        return self.coef_, self.intercept_

    def _continues(self, schema: Schema, outputs: int) -> bool:
        assert schema.classes is not None
        return super()._continues(schema, outputs) and np.array_equal(self.classes_, schema.classes)

    def _first_guess(self, objective: Objective, schema: Schema) -> Array:
        """Zeros; of two classes with offsets, an intercept that brings the mean predictor to zero."""
        theta = super()._first_guess(objective, schema)
        if self.fit_intercept and schema.null is not None and len(theta) == schema.n_features + 1:
            theta[-1] = schema.null.moments.mean[0]  # of target less offset, the targets counting as zeros
        return theta

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

    def predict_proba(self, X: Any, *, offset: Any = None, lazy: bool = False) -> Any:
        """Probability of each class, shape (n, K), columns in the order of `classes_`.

        With `lazy` those for a Dask data frame are another one, with columns "probability_<label>".
        """
        if lazy:
            return self._lazy(type(self)._proba, X, offset, self._probability_names())
        return self._answer(type(self)._proba, X, offset)

    def predict_log_proba(self, X: Any, *, offset: Any = None) -> Array:
        """Logarithm of `predict_proba`, without the loss of small ones."""
        return self._answer(type(self)._log_proba, X, offset)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None) -> float:
        """Weighted share of the rows whose label is predicted; of arrays, or of sources, which bring the labels.

        A label that the fit has not seen is never predicted, and so a miss.
        """
        return self.evaluate(X, y, sample_weight, offset=offset)["accuracy"]

    def predictions(self, rows: Rows, source: Any, probabilities: bool = False) -> pa.Table:
        """Predictions for the rows of one block, as a table."""
        eta = self._eta(rows, source)
        columns = {"prediction": self._predicted(eta)}
        if probabilities:
            columns |= dict(zip(self._probability_names(), self._proba(eta).T, strict=True))
        return pa.table(columns)

    def _probability_names(self) -> list[str]:
        check_is_fitted(self)
        return [f"probability_{label}" for label in self.classes_.tolist()]

    def _predicted(self, eta: Array) -> Array:
        return self.classes_[self._likeliest(eta)]

    @staticmethod
    def _likeliest(eta: Array) -> Array:
        """Number of the most probable class of each row."""
        return (eta[:, 0] > 0).astype(np.int64) if eta.shape[1] == 1 else eta.argmax(axis=1)

    def _decision(self, eta: Array) -> Array:
        return eta.ravel() if eta.shape[1] == 1 else eta

    def _log_proba(self, eta: Array) -> Array:
        """(n, K) logarithms of the probabilities, from (n, 1) or (n, K) linear predictors."""
        if eta.shape[1] == 1:
            return np.column_stack((-np.logaddexp(0, eta[:, 0]), -np.logaddexp(0, -eta[:, 0])))
        return np.asarray(log_softmax(eta, axis=1))

    def _proba(self, eta: Array) -> Array:
        return np.asarray(np.exp(self._log_proba(eta)))

    def _tally(self, eta: Array, y: Array, weight: Array) -> Tally:
        hit = (self._likeliest(eta) == y) @ weight
        loss = np.where(y < 0, np.inf, -self._log_proba(eta)[np.arange(len(y)), y]) @ weight
        return Tally(len(y), float(weight.sum()), np.array([hit, loss]))

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

    def _measures(self, tally: Tally) -> dict[str, float]:
        hit, loss = tally.sums.tolist()
        return {"accuracy": hit / tally.weight, "cross_entropy": loss / tally.weight}

    def _add_saved(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        arrays["classes"] = self.classes_
        parameters = metadata["parameters"]
        parameters["C"] = str(self.C)  # JSON has no infinity
        if isinstance(self.class_weight, Mapping):
            labels = [label.item() if isinstance(label, np.generic) else label for label in self.class_weight]
            parameters["class_weight"] = list(zip(labels, map(float, self.class_weight.values()), strict=True))

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        parameters = dict(metadata["parameters"])
        if isinstance(parameters["class_weight"], list):
            parameters["class_weight"] = dict(parameters["class_weight"])
        parameters["C"] = float(parameters["C"])
        model = cls(**parameters)
        model.coef_, model.intercept_, model.classes_ = arrays["coef"], arrays["intercept"], arrays["classes"]
        return model


def _kind(labels: Array) -> str:
    """Text and bytes are one kind each, all numbers are another."""
    kind = labels.dtype.kind
    return kind if kind in "US" else "number"


@dataclass(frozen=True)
class _CrossEntropy:
    """The logistic loss for two classes, softmax for more: which of them, the schema tells."""

    intercept: bool
    class_weight: str | Mapping[Any, float] | None

    def __post_init__(self) -> None:
        Linear("softmax", self.intercept, self.class_weight)  # refuses wrong options here, not on a worker

    def linear(self, schema: Schema) -> Linear:
        assert schema.classes is not None
        return Linear("logistic" if len(schema.classes) == 2 else "softmax", self.intercept, self.class_weight)

    def describe(self, rows: Rows, source: str) -> Description:
        return Linear("softmax").describe(rows, source)

    def build(self, rows: Rows, schema: Schema, first_row: int) -> Block:
        return self.linear(schema).build(rows, schema, first_row)
