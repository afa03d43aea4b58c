"""Which parts of the rows each of many fits counts: all of them, or those of other folds than its own."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ._by_part import Rows, SquareSums
from ._nulls import Null

Array = npt.NDArray[Any]


def parts_for(folds: int, apart: bool) -> int:
    """How many parts the rows have; 0 for one of all rows."""
    return 2 * folds + 1 if apart else folds


@dataclass(eq=False)
class Counted:
    """Sums over the parts of the rows, as fits count them: fit 0 all rows, fit k those without fold k - 1.

    Parameters
    ----------
    parts : Rows or SquareSums
        What answers for the parts.
    folds : int
    apart : bool
        Whether parts are those of all rows, of the fit without each fold, and of each fold, instead of the folds.
    """

    parts: Rows | SquareSums
    folds: int
    apart: bool

    @property
    def parts_in_all(self) -> int:
        return parts_for(self.folds, self.apart)

    @property
    def fold_weights(self) -> Array:
        """Sum of the weights of each fold's rows, known after the first answer."""
        return self.parts.weight[-self.folds :] if self.apart else self.parts.weight

    @cached_property
    def nulls(self) -> list[Null]:
        """Of the rows of each fit."""
        parts = np.arange(self.parts_in_all)
        return self.parts.nulls([self._used(fit, parts).tolist() for fit in range(1 + self.folds)])

    def parts_of(self, number: int) -> list[int]:
        """The parts that a fit counts."""
        found: list[int] = self._used(number, np.arange(max(self.parts_in_all, 1))).tolist()
        return found

    def total(self, number: int) -> float:
        """Sum of the weights of a fit's rows."""
        return float(self._used(number, self.parts.weight).sum())

    def mean(self, number: int, sums: Array) -> Any:
        """The mean over a fit's rows, from the sums over each part."""
        return self._used(number, sums).sum(axis=0) / self.total(number)

    def held_out(self, number: int, value: Array) -> float:
        """The mean loss over the rows of the fold that a fit does not count, from the sums over each part; infinite of
        the fit to all rows, and where these rows have no weight.
        """
        part = self.folds + number if self.apart else number - 1
        if number == 0 or not self.parts.weight[part] > 0:
            return np.inf
        return float(value[part] / self.parts.weight[part])

    def _used(self, number: int, sums: Array) -> Array:
        """Of the sums over each part those over the parts that a fit counts."""
        if self.apart:
            return sums[number : number + 1]
        return sums if number == 0 else np.delete(sums, number - 1, axis=0)
