"""What classifiers have in common, whatever makes their outputs: labels, probabilities, and how good they are."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import log_softmax
from sklearn.utils.validation import check_is_fitted

from ..errors import DataError
from ..models.describe import as_labels
from ..protocols.rows import Rows
from ..protocols.schema import in_one_type
from ..saving.contents import Each, Either, Flag, Member, Null, Number, Row, Text
from ._measures import Tally

Array = npt.NDArray[Any]

# What a file holds of classes, and of their weights: a mapping is a list of pairs, since names in JSON are text.
CLASSES = Member("biufSU", (None,), increasing=True, fewest=2)
CLASS_WEIGHT = Either(Null(), Text(("balanced",)), Each(Row(Either(Text(), Number(), Flag()), Number(0))))


class Labelled:
    """A fitted classifier: from (n, 1) or (n, K) outputs of a model to labels.

    It stands before `Applied`, which makes the outputs.
    """

    classes_: Array
    _answer: Callable[..., Array]
    _lazy: Callable[..., Any]
    evaluate: Callable[..., dict[str, float]]

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

    def _likeliest(self, eta: Array) -> Array:
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
        order = np.argsort(classes)
        index = order[np.minimum(np.searchsorted(classes, y, sorter=order), len(classes) - 1)]
        return np.where(classes[index] == y, index, -1)


class Probable(Labelled):
    """A classifier that knows how probable each class is."""

    _eta: Callable[..., Array]

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

    def _measures(self, tally: Tally) -> dict[str, float]:
        hit, loss = tally.sums.tolist()
        return {"accuracy": hit / tally.weight, "cross_entropy": loss / tally.weight}


def as_pairs(class_weight: Any) -> Any:
    """Weights of classes as a file holds them."""
    if not isinstance(class_weight, Mapping):
        return class_weight
    labels = [label.item() if isinstance(label, np.generic) else label for label in class_weight]
    return list(zip(labels, map(float, class_weight.values()), strict=True))


def of_pairs(held: Any) -> Any:
    """The inverse of `as_pairs`."""
    return dict(held) if isinstance(held, list) else held


def _kind(labels: Array) -> str:
    """Text and bytes are one kind each, all numbers are another."""
    kind = labels.dtype.kind
    return kind if kind in "US" else "number"
