"""The set-up read of a block's features: weighted column moments and the first value that is not finite."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .cache import kernel

Array = npt.NDArray[Any]


@kernel
def dense_moments(X: Array, weight: Array) -> tuple[int, int, Array, Array]:
    """First entry of (n, p) `X` that is NaN or infinite, and mean and squared deviations of its columns.

    Two sweeps over the block, so that a mean far larger than the spread does not cancel.

    Returns
    -------
    row, column : int
        -1 when all is finite.
    mean : (p,) float64 array
    squares : (p,) float64 array
        Weighted sum of squared deviations from the mean.
    """
    n, p = X.shape
    mean, squares = np.zeros(p), np.zeros(p)
    total = 0.0
    for i in range(n):
        w = weight[i] if weight.size else 1.0
        total += w
        for j in range(p):
            v = np.float64(X[i, j])
            if not np.isfinite(v):
                return i, j, mean, squares
            mean[j] += w * v if w != 0.0 else 0.0
    if total > 0.0:
        mean /= total
    for i in range(n):
        w = weight[i] if weight.size else 1.0
        if w > 0.0:  # the square of a value that does not count may be infinite
            for j in range(p):
                deviation = np.float64(X[i, j]) - mean[j]
                squares[j] += w * (deviation * deviation)
    return -1, -1, mean, squares


@kernel
def csr_moments(data: Array, indices: Array, indptr: Array, weight: Array, p: int) -> tuple[int, int, Array, Array]:
    """The same for CSR rows; entries that are not stored are zeros."""
    mean, squares, stored = np.zeros(p), np.zeros(p), np.zeros(p)
    total = 0.0
    for i in range(indptr.size - 1):
        w = weight[i] if weight.size else 1.0
        total += w
        for entry in range(indptr[i], indptr[i + 1]):
            v = np.float64(data[entry])
            if not np.isfinite(v):
                return i, indices[entry], mean, squares
            mean[indices[entry]] += w * v
            stored[indices[entry]] += w
    if total > 0.0:
        mean /= total
    for i in range(indptr.size - 1):
        w = weight[i] if weight.size else 1.0
        if w > 0.0:
            for entry in range(indptr[i], indptr[i + 1]):
                deviation = np.float64(data[entry]) - mean[indices[entry]]
                squares[indices[entry]] += w * (deviation * deviation)
    squares += (total - stored) * mean * mean
    return -1, -1, mean, squares
