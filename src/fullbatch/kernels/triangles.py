"""Products with large triangular matrices, each read once from memory."""

from typing import Any

import numpy.typing as npt

from .cache import kernel

Array = npt.NDArray[Any]


@kernel
def add_squared(root: Array, vectors: Array, total: Array) -> None:
    """Add root' root times each row of `vectors` to the same row of `total`.

    Parameters
    ----------
    root : (n, n) array
        Lower triangular; what is above its diagonal is not read.
    vectors, total : (m, n) arrays
        Of the same type.
    """
    for i in range(root.shape[0]):
        row = root[i, : i + 1]  # stays in the nearest cache for all that is done with it
        for m in range(vectors.shape[0]):
            vector, sums = vectors[m, : i + 1], total[m, : i + 1]
            along = root.dtype.type(0.0)
            for j in range(row.size):
                along += row[j] * vector[j]
            for j in range(row.size):
                sums[j] += along * row[j]
