"""Some of the rows of a block, and how close sums over them must be."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.testing import assert_allclose

from ..protocols.rows import Category, Rows

Array = npt.NDArray[Any]

# (step of central differences, their relative error, relative error of reordered sums) for blocks that compute in
# that precision.
TOLERANCES = {"float64": (1e-5, 1e-6, 1e-12), "float32": (1e-2, 3e-3, 1e-4)}


def take(rows: Rows, which: Any) -> Rows:
    """Some of the rows, as a source of theirs alone would read them."""
    y, weight, offset = (None if part is None else part[which] for part in (rows.y, rows.weight, rows.offset))
    return replace(
        rows,
        X=rows.X[which],
        y=y,
        weight=weight,
        offset=offset,
        categories=tuple(_category(one, which) for one in rows.categories),
    )


def _category(column: Category, which: Any) -> Category:
    levels, codes = np.unique(column.levels[column.codes[which]], return_inverse=True)
    return replace(column, codes=codes.astype(np.int32), levels=levels)


def assert_close(actual: Array, wanted: Array, tolerance: float, message: str) -> None:
    # Relative to the largest entry: small entries of a gradient are differences of large terms.
    assert_allclose(actual, wanted, rtol=0, atol=tolerance * np.abs(wanted).max(), err_msg=message)
