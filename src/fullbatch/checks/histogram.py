"""Sums by value in cells that add up, however many rows there are."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Keys = npt.NDArray[np.int64]

_SIGN = np.int64(-(2**63))
_POWERS = np.uint64(1) << np.arange(64, dtype=np.uint64)


@dataclass(frozen=True, eq=False)
class Histogram:
    """Sums over the rows of each cell of a number.

    Floats in their order are numbered by their bits. A cell holds those whose numbers agree but for the last `dropped`
    bits, of which there are as few as leave at most `most` cells: with at most so many distinct values each has a cell
    of its own, else cells are narrow in proportion to the value. Which cells there are depends on the values alone,
    neither on the blocks nor on the order in which these are added.

    Parameters
    ----------
    most : int
        Cells there may be; 2 or more.
    dropped : int
        Bits.
    keys : (c,) int64 array
        Numbers of the cells, ascending.
    sums : (c, k) float64 array
        What is summed.
    """

    most: int
    dropped: int
    keys: Keys
    sums: Array

    @classmethod
    def of(cls, values: Array, sums: Array, most: int) -> "Histogram":
        """Of rows with these values, (n,), and what is summed over them, (n, k)."""
        return cls._of_keys(numbered(values), sums, 0, most)

    @classmethod
    def _of_keys(cls, keys: Keys, sums: Array, dropped: int, most: int) -> "Histogram":
        if not len(keys):
            return cls(most, dropped, keys, sums)
        order = np.argsort(keys, kind="stable")
        keys, sums = keys[order], sums[order]
        # Two keys share a cell once all bits are dropped that differ.
        differing = (keys[1:] ^ keys[:-1]).view(np.uint64)
        lengths = np.bincount(np.searchsorted(_POWERS, differing, side="right"), minlength=65)
        cells = 1 + lengths[::-1].cumsum()[::-1][1:]  # if 0, 1, ... bits are dropped
        drop = int(np.argmax(cells <= most))
        keys = keys >> drop
        starts = np.flatnonzero(np.append(True, keys[1:] != keys[:-1]))
        return cls(most, dropped + drop, keys[starts], np.add.reduceat(sums, starts, axis=0))

    def __add__(self, other: "Histogram") -> "Histogram":
        dropped = max(self.dropped, other.dropped)
        keys = np.concatenate([one.keys >> (dropped - one.dropped) for one in (self, other)])
        return self._of_keys(keys, np.concatenate((self.sums, other.sums)), dropped, self.most)

    @property
    def exact(self) -> bool:
        """Whether each value has a cell of its own."""
        return self.dropped == 0

    @property
    def lower(self) -> Array:
        """(c,) least value that each cell may hold."""
        return valued(self.keys << self.dropped)

    @property
    def upper(self) -> Array:
        """(c,) largest value that each cell may hold."""
        return valued((self.keys << self.dropped) | np.int64(2**self.dropped - 1))

    def parts(self, count: int) -> npt.NDArray[np.intp]:
        """(c,) in which of `count` parts of equal weight each cell is: that of the middle of its weight.

        The first of the sums is the weight.
        """
        weight = self.sums[:, 0]
        until = weight.cumsum()
        middle = (until - 0.5 * weight) / until[-1]
        return np.minimum((middle * count).astype(np.intp), count - 1)


def numbered(values: Array) -> Keys:
    """Numbers of floats in their order; both zeros have the same."""
    bits = (np.asarray(values, np.float64) + 0.0).view(np.int64)
    return np.where(bits < 0, ~bits ^ _SIGN, bits)


def valued(keys: Keys) -> Array:
    """The floats of these numbers; the largest for those beyond."""
    finite = np.clip(keys, _LEAST, _LARGEST)
    return np.where(finite < 0, ~(finite ^ _SIGN), finite).view(np.float64)


_LEAST, _LARGEST = numbered(np.array([-1.0, 1.0]) * np.finfo(np.float64).max)
