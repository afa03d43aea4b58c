"""The set-up read of a block's features: weighted column moments and the first value that is not finite."""

from typing import Any

import numpy as np
import numpy.typing as npt

from .cache import kernel

Array = npt.NDArray[Any]


# Values that are swept twice while they are in the caches.
_TILE = 2**14


@kernel
def dense_moments(X: Array, weight: Array) -> tuple[int, int, Array, Array]:
    """First entry of (n, p) `X` that is NaN or infinite, and mean and squared deviations of its columns.

    Two sweeps over each tile, so that a mean far larger than the spread does not cancel; tiles are added as Chan,
    Golub and LeVeque (1983) do.

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
    total, step = 0.0, max(8, _TILE // max(p, 1))
    for start in range(0, n, step):
        stop = min(start + step, n)
        own, others, count = np.zeros(p), np.zeros(p), 0.0
        for i in range(start, stop):
            w = weight[i] if weight.size else 1.0
            count += w
            if w != 0.0:
                for j in range(p):
                    own[j] += w * np.float64(X[i, j])
            else:  # what does not count must be finite, too
                for j in range(p):
                    others[j] += np.float64(X[i, j])
        finite = True
        for j in range(p):  # one by one: where sums may be reordered, x - x of a sum is 0 whatever x is
            finite &= np.isfinite(own[j]) and np.isfinite(others[j])
        if not finite:
            for i in range(start, stop):
                for j in range(p):
                    if not np.isfinite(np.float64(X[i, j])):
                        return i, j, mean, squares
        if count > 0.0:
            own /= count
            for i in range(start, stop):
                w = weight[i] if weight.size else 1.0
                if w > 0.0:  # the square of a value that does not count may be infinite
                    for j in range(p):
                        deviation = np.float64(X[i, j]) - own[j]
                        squares[j] += w * (deviation * deviation)
            before, total = total, total + count
            for j in range(p):
                if not np.isfinite(mean[j]):  # sums overflowed, and stay so
                    continue
                apart = own[j] - mean[j]
                mean[j] += apart * (count / total)
                if before > 0.0:
                    squares[j] += apart * apart * (before * (count / total))
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
