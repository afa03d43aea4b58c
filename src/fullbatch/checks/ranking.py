"""What the order of the predictions is worth: curves and areas, from sums by prediction.

Where rows share a cell without being alike their order is not known: areas count them as ties, and say how far off that
may be. With a cell for each value nothing is off.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from .histogram import Histogram

Array = npt.NDArray[np.float64]


class Area(NamedTuple):
    """An area under a curve.

    Parameters
    ----------
    value : float
        The area; NaN where there is none, such as with one class alone.
    error : float
        How far off it may be, at the most.
    """

    value: float
    error: float


class Ranked(NamedTuple):
    """Rows from the highest prediction to the lowest.

    Parameters
    ----------
    threshold : (c,) array
        The least prediction of each cell.
    positive, negative : (c,) arrays
        Weights of those that are of the class, and of those that are not.
    exact : bool
        Whether the rows of a cell have one prediction.
    """

    threshold: Array
    positive: Array
    negative: Array
    exact: bool

    @classmethod
    def of(cls, scores: Histogram) -> "Ranked":
        """Of the sums of `Compared.scores` of a class."""
        weight, _, positive, _ = scores.sums[::-1].T
        # What is left of equal sums is zero: both are made of the same numbers in the same order.
        return cls(scores.lower[::-1], positive, np.maximum(weight - positive, 0.0), scores.exact)

    @property
    def until(self) -> tuple[Array, Array]:
        """(c + 1,) weights of true and of false positives at each threshold, the first of which nothing reaches."""
        return np.append(0.0, self.positive.cumsum()), np.append(0.0, self.negative.cumsum())

    @property
    def separated(self) -> bool:
        """Whether every row of the class has a higher prediction than every other."""
        of_class, others = np.flatnonzero(self.positive), np.flatnonzero(self.negative)
        return bool(of_class.size and others.size and of_class[-1] < others[0])

    def roc_area(self) -> Area:
        """Probability that a row of the class has a higher prediction than one of another, ties counted half."""
        true, false = self.until
        if not (true[-1] > 0 and false[-1] > 0):
            return Area(np.nan, np.nan)
        whole = true[-1] * false[-1]
        tied = float(self.positive @ self.negative) / whole
        value = float(self.negative @ (true[:-1] + 0.5 * self.positive)) / whole
        return Area(value, 0.0 if self.exact else 0.5 * tied)

    def average_precision(self) -> Area:
        """Mean of the precision over the rows of the class, at the threshold that is the prediction of each."""
        true, false = self.until
        if not true[-1] > 0:
            return Area(np.nan, np.nan)
        share = self.positive / true[-1]
        with np.errstate(invalid="ignore"):
            best = np.where(self.positive > 0, true[1:] / (true[1:] + false[:-1]), 0.0)
            tied = np.where(self.positive > 0, true[1:] / (true[1:] + false[1:]), 0.0)
            worst = np.where(true[:-1] > 0, true[:-1] / (true[:-1] + false[1:]), 0.0)
        error = 0.0 if self.exact else float(share @ np.maximum(best - tied, tied - worst))
        return Area(float(share @ tied), error)


def lorenz(by: Histogram, column: int) -> tuple[Array, Array]:
    """(c + 1,) shares of the weight and of what is in a column of the sums, from the lowest value to the highest."""
    weight, amount = by.sums[:, 0].cumsum(), by.sums[:, column].cumsum()
    return np.append(0.0, weight / weight[-1]), np.append(0.0, amount / amount[-1])


def gini(by: Histogram, column: int) -> Area:
    """One less twice the area under the curve of `lorenz`."""
    if not by.sums[:, column].sum() > 0:
        return Area(np.nan, np.nan)
    weight, amount = lorenz(by, column)
    steps = np.diff(weight)
    value = 1.0 - float(steps @ (amount[1:] + amount[:-1]))
    return Area(value, 0.0 if by.exact else float(steps @ np.diff(amount)))


def thinned(length: int, points: int | None) -> npt.NDArray[np.intp]:
    """Which of so many points of a curve to show: both ends, and others evenly between; None for all."""
    if points is None or points >= length:
        return np.arange(length)
    return np.unique(np.linspace(0, length - 1, points).astype(np.intp))
