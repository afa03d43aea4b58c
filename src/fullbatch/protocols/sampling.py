"""Random choices per row that depend on nothing but the row's global number and a seed."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

DRAWS = ("all", "without", "only", "bootstrap")

# Shares of the numbers 0, 0 and 1, 0 to 2, ... in the Poisson distribution of mean 1; a row is not drawn more often.
POISSON = (
    0.36787944117144233, 0.7357588823428847, 0.9196986029286058, 0.9810118431238462, 0.9963401531726563,
    0.9994058151824183, 0.9999167588507119, 0.9999897508033253, 0.9999988747974020, 0.9999998885745217,
    0.9999999899522336, 0.9999999991683892, 0.9999999999363689,
)  # fmt: skip


# Numbers that are hashed at a time: they stay in the caches, and threads do not wait for one another between them.
_AT_A_TIME = 2**15


def uniform_of_rows(first_row: int, count: int, seed: int) -> Array:
    """A number in [0, 1) for each of `count` rows from global row `first_row` on.

    The SplitMix64 hash (Steele, Lea and Flood, 2014) of the row number, shifted by the hash of the seed.

    Returns
    -------
    (count,) float64 array
    """
    return _uniform(first_row, count, _start(seed))


@dataclass(frozen=True, slots=True)
class Draw:
    """How often a model counts each row: a pure function of the row's global number.

    Parameters
    ----------
    form : {"all", "without", "only", "bootstrap"}
        - "all": once;
        - "without": once, but the rows of one fold not at all; "only": the rows of one fold once, no others;
        - "bootstrap": as often as a number from the Poisson distribution of mean 1 says, which stands for rows drawn
          with replacement (Oza and Russell, 2001).
    number : int
        Of the fold or the replicate, from 0 on.
    folds : int
        To how many folds rows are dealt; the same as those of `Squares` with the same seed.
    seed : int
        Of the folds or of all replicates.
    """

    form: str
    number: int = 0
    folds: int = 1
    seed: int = 0

    def __post_init__(self) -> None:
        if self.form not in DRAWS:
            raise ValueError(f"unknown form {self.form!r} of a draw: choose from {', '.join(DRAWS)}")
        if self.folds < 1:
            raise ValueError(f"folds must be at least 1, got {self.folds}")
        if self.number < 0 or (self.form in ("without", "only") and self.number >= self.folds):
            raise ValueError(f"number must be at least 0 and one of {self.folds} folds, got {self.number}")

    def weights(self, first_row: int, count: int) -> Array:
        """How often each of `count` rows from global row `first_row` on counts, (count,) float64 array."""
        if self.form == "all":
            return np.ones(count)
        uniform = _uniform(first_row, count, self._start)
        if self.form == "bootstrap":
            return np.searchsorted(POISSON, uniform, side="right").astype(np.float64)
        in_fold = (uniform * self.folds).astype(np.intp) == self.number
        return (in_fold if self.form == "only" else ~in_fold).astype(np.float64)

    @property
    def code(self) -> tuple[int, int, int, int]:
        """Form, number, folds and start of the hash, as compiled passes take them."""
        return DRAWS.index(self.form), self.number, self.folds, int(self._start.view(np.int64)[0])

    @property
    def _start(self) -> Array:
        start = _start(self.seed)
        return _splitmix64(start + np.uint64(self.number)) if self.form == "bootstrap" else start


def _start(seed: int) -> Array:
    return _splitmix64(np.array([seed], dtype=np.int64).view(np.uint64))


def _uniform(first_row: int, count: int, start: Array) -> Array:
    uniform = np.empty(count)
    for first in range(0, count, _AT_A_TIME):
        part = uniform[first : first + _AT_A_TIME]
        rows = np.arange(first_row + first, first_row + first + len(part), dtype=np.uint64)
        np.multiply(_splitmix64(rows + start) >> np.uint64(11), 2.0**-53, out=part)
    return uniform


def _splitmix64(numbers: Array) -> Array:
    z: Array = numbers + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        z ^= z >> np.uint64(shift)
        z *= np.uint64(factor)
    z ^= z >> np.uint64(31)
    return z
