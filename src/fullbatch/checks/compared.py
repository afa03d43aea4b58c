"""What the rows of a block say of a model's predictions: sums that add up, in memory that does not grow with rows."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from ..data.features import Unknown
from ..inference.data import read
from ..inference.design import FittedLinear
from ..protocols.rows import Rows, is_sparse
from .histogram import Histogram
from .other_columns import ByValue, column_values

Array = npt.NDArray[Any]

# Cells of the predictions, of all classes together, and at least of each; of the numbers of one column, and of all.
_SCORES, _FEWEST_SCORES = 2**17, 2**11
_VALUES, _ALL_VALUES, _FEWEST_VALUES = 2**12, 2**19, 2**8

# Rows whose predictors are computed at a time: as many as have this many numbers.
_NUMBERS = 2**21


class Scored(NamedTuple):
    """The rows of a block that count, with what the model says of them.

    Parameters
    ----------
    rows : Rows
        With the columns of the model.
    weight : (n,) array
        Sample weights.
    eta : (n, outputs) array
        Linear predictors.
    actual : (n, m) array
        Targets; of two classes 1 for the second; of several an indicator of each.
    expected : (n, m) array
        Means or probabilities; of the squared hinge, which has none, decisions.
    places : (n,) int array
        Where they stand in the block.
    total : int
        Rows of the block.
    others : tuple of (n,) arrays
        Values in other columns than the model's, as `column_values` has them.
    """

    rows: Rows
    weight: Array
    eta: Array
    actual: Array
    expected: Array
    places: Array
    total: int
    others: tuple[Array, ...] = ()


@dataclass(frozen=True, eq=False)
class Scoring:
    """A model that is held against rows.

    Parameters
    ----------
    fitted : FittedLinear
        The model.
    unknown : {"error", "ignore"}
        What becomes of levels that the fit has not seen.
    """

    fitted: FittedLinear
    unknown: Unknown

    @property
    def has_means(self) -> bool:
        """Whether it predicts means or probabilities."""
        return self.fitted.family.loss != "squared_hinge"

    def counting(self, source: Any, others: tuple[str, ...] = ()) -> tuple[Rows, Array, Array, int, tuple[Array, ...]]:
        """The rows of a source that have a weight, with the columns of the model and targets as the family takes them;
        their weights, where they stand, how many rows there are, and their values in other columns.
        """
        rows, beside = read(source, others, column_values)
        y = self.fitted.targets(rows, source)
        total, places = len(y), np.arange(len(y))
        rows = replace(self.fitted.encoded(rows, source, self.unknown), y=y)
        if rows.weight is not None and not (np.asarray(rows.weight) > 0).all():
            places = np.flatnonzero(np.asarray(rows.weight) > 0)
            offset = None if rows.offset is None else np.asarray(rows.offset)[places]
            rows = replace(rows, X=rows.X[places], y=y[places], offset=offset)
        weight = np.ones(total) if rows.weight is None else np.asarray(rows.weight, np.float64)
        return rows, weight[places], places, total, tuple(values[places] for values in beside)

    def of(self, source: Any, others: tuple[str, ...] = ()) -> Scored:
        """The rows of a source, scored."""
        rows, weight, places, total, values = self.counting(source, others)
        eta = self._predictors(rows)
        return Scored(rows, weight, eta, *self._compared(np.asarray(rows.y), eta), places, total, values)

    def _predictors(self, rows: Rows) -> Array:
        n, coef = rows.X.shape[0], (self.fitted.coef * rows.scale).T
        eta = np.empty((n, coef.shape[1]))
        for part in stretches(n, coef.shape[0]):
            if is_sparse(rows.X):
                eta[part] = rows.X[part] @ coef
            else:  # not by BLAS, whose bits depend on where a row stands: rows that are alike would not be ties
                X = np.ascontiguousarray(rows.X[part], np.float64)
                np.einsum("ij,jk->ik", X, coef, out=eta[part])
        eta += self.fitted.intercept
        return eta if rows.offset is None else eta + np.asarray(rows.offset, np.float64)[:, None]

    def _compared(self, y: Array, eta: Array) -> tuple[Array, Array]:
        """Targets and predictions."""
        family = self.fitted.family
        actual = np.asarray(y, np.float64)[:, None]
        if eta.shape[1] > 1:
            actual = (y[:, None] == np.arange(eta.shape[1])).astype(np.float64)
            return actual, softmax(eta, axis=1) if self.has_means else eta
        return actual, family.mean(eta)


def stretches(n: int, columns: int) -> Iterator[slice]:
    """Rows that are worked on at a time."""
    step = max(256, _NUMBERS // max(columns, 1))
    return (slice(start, start + step) for start in range(0, n, step))


def values_of(rows: Rows, column: int) -> Array:
    """(n,) float64 numbers in a column of the model."""
    X = rows.X[:, [column]].toarray()[:, 0] if is_sparse(rows.X) else rows.X[:, column]
    return np.asarray(X, np.float64) * rows.scale


def levels_of(rows: Rows, first: int, count: int) -> Array:
    """(n,) which of the `count` levels whose columns begin at `first` a row has; `count` where it has none of them."""
    X = rows.X[:, first : first + count]
    place = np.asarray(X @ np.arange(1.0, count + 1.0)) * rows.scale
    return np.where(place > 0, place - 1.0, count).astype(np.intp)


@dataclass(frozen=True, eq=False)
class Compared:
    """Sums over rows of what was predicted and of what was there.

    Parameters
    ----------
    read : tuple of int
        Rows of each block.
    rows : int
        Rows of a positive weight.
    weight : float
        Sum of the sample weights.
    actual, expected : (m,) arrays
        Weighted sums.
    squares : float
        Weighted sum of the squared differences.
    pearson : float
        The same, each divided by its variance at dispersion 1.
    fractions : int
        Rows whose target is none of a single trial or count: `Family.fractions`.
    weighed : bool
        Whether there are other weights than 1.
    scores : tuple of Histogram
        By prediction, of each class: weight, rows, weighted targets and predictions.
    targets : Histogram or None
        By target, where these are numbers: weight, weighted targets.
    columns : tuple of Histogram or array
        By value of each column that is looked at: weight, rows, and of each class weighted targets and predictions. Of
        categories an array with a row for each level, and one for those that the fit has not seen.
    others : tuple of ByValue
        The same by the values of columns that the model has not.
    """

    read: tuple[int, ...]
    rows: int
    weight: float
    actual: Array
    expected: Array
    squares: float
    pearson: float
    fractions: int
    weighed: bool
    scores: tuple[Histogram, ...]
    targets: Histogram | None
    columns: tuple[Any, ...]
    others: tuple[ByValue, ...] = ()

    def __add__(self, other: "Compared") -> "Compared":
        both = [self.targets, other.targets]
        return Compared(
            self.read + other.read,
            self.rows + other.rows,
            self.weight + other.weight,
            self.actual + other.actual,
            self.expected + other.expected,
            self.squares + other.squares,
            self.pearson + other.pearson,
            self.fractions + other.fractions,
            self.weighed or other.weighed,
            tuple(mine + others for mine, others in zip(self.scores, other.scores, strict=True)),
            None if None in both else both[0] + both[1],  # type: ignore[operator]
            tuple(mine + others for mine, others in zip(self.columns, other.columns, strict=True)),
            tuple(mine + others for mine, others in zip(self.others, other.others, strict=True)),
        )


@dataclass(frozen=True, eq=False)
class Compare:
    """Answers a block with its `Compared`.

    Parameters
    ----------
    scoring : Scoring
    columns : tuple of int
        Numbers of the columns of the data that are looked at.
    others : tuple of str
        Other columns that are.
    """

    scoring: Scoring
    columns: tuple[int, ...]
    others: tuple[str, ...] = ()

    def __call__(self, index: int, source: Any) -> Compared:
        scored, fitted = self.scoring.of(source, self.others), self.scoring.fitted
        weight, actual, expected = scored.weight, scored.actual, scored.expected
        both = np.stack((actual, expected), axis=2) * weight[:, None, None]
        sums = np.column_stack((weight, np.ones(len(weight))))
        m = actual.shape[1]
        most = max(_SCORES // m, _FEWEST_SCORES)
        scores = (Histogram.of(expected[:, k], np.hstack((sums, both[:, k])), most) for k in range(m))
        is_number = fitted.classes is None
        squares = fitted.family.squares(actual[:, 0], scored.eta) if is_number else np.zeros(len(weight))
        of_columns = np.hstack((sums, both.reshape(-1, 2 * m)))
        return Compared(
            (scored.total,),
            len(weight),
            float(weight.sum()),
            both[:, :, 0].sum(axis=0),
            both[:, :, 1].sum(axis=0),
            float(weight @ ((actual - expected) ** 2).sum(axis=1)),
            float(weight @ squares),
            fitted.family.fractions(actual[:, 0]) if is_number else 0,
            bool((weight != 1.0).any()),
            tuple(scores),
            Histogram.of(actual[:, 0], np.column_stack((weight, both[:, 0, 0])), _SCORES) if is_number else None,
            tuple(self._by_value(scored.rows, column, of_columns) for column in self.columns),
            tuple(
                ByValue.of(name, values, of_columns, self._most)
                for name, values in zip(self.others, scored.others, strict=True)
            ),
        )

    @property
    def _most(self) -> int:
        """Cells of one column."""
        return min(_VALUES, max(_ALL_VALUES // max(len(self.columns) + len(self.others), 1), _FEWEST_VALUES))

    def _by_value(self, rows: Rows, column: int, sums: Array) -> Any:
        features = self.scoring.fitted.features
        if column < features.numeric:
            return Histogram.of(values_of(rows, column), sums, self._most)
        counts = [len(levels) for levels in features.levels]
        which = column - features.numeric
        level = levels_of(rows, features.numeric + sum(counts[:which]), counts[which])
        length = counts[which] + 1
        return np.column_stack([np.bincount(level, of_rows, minlength=length) for of_rows in sums.T])
