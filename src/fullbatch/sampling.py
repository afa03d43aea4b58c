"""Random choices per row that depend on nothing but the row's global number and a seed."""

from typing import Any

import numpy as np
import numpy.typing as npt


def uniform_of_rows(first_row: int, count: int, seed: int) -> npt.NDArray[Any]:
    """A number in [0, 1) for each of `count` rows from global row `first_row` on.

    The SplitMix64 hash (Steele, Lea and Flood, 2014) of the row number, shifted by the hash of the seed.

    Returns
    -------
    (count,) float64 array
    """
    rows = np.arange(first_row, first_row + count, dtype=np.uint64)
    start = _splitmix64(np.array([seed], dtype=np.int64).view(np.uint64))
    return (_splitmix64(rows + start) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _splitmix64(numbers: npt.NDArray[Any]) -> npt.NDArray[Any]:
    z = numbers + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))
