"""Sums by value as means of neighbouring cells."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .histogram import Histogram

Array = npt.NDArray[Any]


def summed(cells: Histogram, part: Array) -> Array:
    """Sums of the parts, which follow one another."""
    return np.add.reduceat(cells.sums, np.append(0, np.flatnonzero(np.diff(part)) + 1), axis=0)


def parts_of(cells: Histogram, part: Array, k: int) -> dict[str, Array]:
    """Means of the parts that are not empty, with the values that each holds."""
    first = np.append(0, np.flatnonzero(np.diff(part)) + 1)
    last = np.append(first[1:] - 1, len(part) - 1)
    return {"lower": cells.lower[first], "upper": cells.upper[last], **means_of(summed(cells, part), k)}


def means_of(sums: Array, k: int) -> dict[str, Array]:
    weight, rows, actual, expected = sums[:, 0], sums[:, 1], sums[:, 2 + 2 * k], sums[:, 3 + 2 * k]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = actual / expected
    return {
        "rows": rows.astype(np.int64),
        "weight": weight,
        "actual": actual / weight,
        "expected": expected / weight,
        "ratio": ratio,
    }
