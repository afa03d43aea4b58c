"""Products with sparse (CSR) rows.

A row's entries are multiplied with the coefficients they point at, and after the pointwise loss of a tile of rows its
entries, still in cache, are added to the gradient: no copy in column order is made. Coefficients are kept
feature-major, so that all outputs of one feature lie together. One output has loops of its own.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..losses import inlined
from ._storage import Storage, register

Array = npt.NDArray[Any]

# Rows of a tile: enough for the pointwise loss to vectorise, few enough for their entries to stay in cache.
ROWS = 48


class SparseRows(NamedTuple):
    """The rows of a block as the kernels take them; all arrays read-only, so that one compiled pass serves all.

    Parameters
    ----------
    data, indices, indptr : arrays
        CSR entries; an entry of an integer type counts as its value.
    y : (n,) float64 array
        Targets or class indices.
    weight : (n,) or (0,) float64 array
        Sample weights; empty means 1 for all.
    offset : (n,) or (0,) float64 array
        Added to every linear predictor; empty means 0 for all.
    """

    data: Array
    indices: Array
    indptr: Array
    y: Array
    weight: Array
    offset: Array


class _Workspace(NamedTuple):
    coefs: Array
    G: Array


def _workspace(rows, W, sums):
    coefs = np.empty((W.shape[1], W.shape[0]))  # by element: a copy of W.T would keep the order of W
    for j in range(W.shape[1]):
        for k in range(W.shape[0]):
            coefs[j, k] = W[k, j]
    return _Workspace(coefs, np.zeros((W.shape[1], sums)))


def _size(space):
    return ROWS


def _flush(space, total, last):
    if last:  # sums are float64 as they are
        for k in range(total.shape[0]):
            for j in range(total.shape[1]):
                total[k, j] += space.G[j, k]


def _forward(rows, space, start, eta):
    count = min(ROWS, rows.y.size - start)
    if eta.shape[0] == 1:
        _forward_one(rows.data, rows.indices, rows.indptr[start : start + count + 1], space.coefs.ravel(), eta[0])
        return
    p = space.coefs.shape[0] - 1
    for i in range(count):
        for k in range(eta.shape[0]):
            eta[k, i] += space.coefs[p, k]
        for e in range(rows.indptr[start + i], rows.indptr[start + i + 1]):
            v, coefs = np.float64(rows.data[np.uintp(e)]), space.coefs[np.uintp(rows.indices[np.uintp(e)])]
            for k in range(coefs.size):
                eta[k, i] += v * coefs[k]


@inlined
def _forward_one(data, indices, indptr, coef, eta):
    # Unsigned numbers here and below: an index that might be negative costs a comparison per entry.
    for i in range(indptr.size - 1):
        total = coef[coef.size - 1]
        for e in range(indptr[i], indptr[i + 1]):
            total += data[np.uintp(e)] * coef[np.uintp(indices[np.uintp(e)])]
        eta[i] += total


@inlined
def _add_product(rows, start, slope, G, squares):
    """G += [x, 1]' slope' for the tile of rows from `start` on, or with the squares of x."""
    count = min(ROWS, rows.y.size - start)
    if slope.shape[0] == 1:
        indptr = rows.indptr[start : start + count + 1]
        _add_product_one(rows.data, rows.indices, indptr, slope[0], G.ravel(), squares)
        return
    p = G.shape[0] - 1
    for i in range(count):
        for k in range(slope.shape[0]):
            G[p, k] += slope[k, i]
        for e in range(rows.indptr[start + i], rows.indptr[start + i + 1]):
            v, g = np.float64(rows.data[np.uintp(e)]), G[np.uintp(rows.indices[np.uintp(e)])]
            v = v * v if squares else v
            for k in range(g.size):
                g[k] += v * slope[k, i]


@inlined
def _add_product_one(data, indices, indptr, slope, g, squares):
    for i in range(indptr.size - 1):
        r = slope[i]
        g[g.size - 1] += r
        for e in range(indptr[i], indptr[i + 1]):
            v = np.float64(data[np.uintp(e)])
            g[np.uintp(indices[np.uintp(e)])] += r * (v * v if squares else v)


def _backward(rows, space, start, slope):
    _add_product(rows, start, slope, space.G, False)


def _backward_squares(rows, space, start, curvature):
    _add_product(rows, start, curvature, space.G, True)


def _backward_gram(rows, space, square, start, factor):
    G, p = square.G, square.G.shape[0] - 1
    for i in range(min(ROWS, rows.y.size - start)):
        low, high = rows.indptr[start + i], rows.indptr[start + i + 1]
        values, columns = rows.data[low:high], rows.indices[low:high]
        for e in range(values.size):
            scaled, g = factor[i] * values[e], G[np.uintp(columns[e])]
            for f in range(values.size):
                g[np.uintp(columns[f])] += scaled * values[f]
            g[p] += scaled
            G[p, np.uintp(columns[e])] += scaled
        G[p, p] += factor[i]


register(
    Storage(SparseRows, _Workspace, _workspace, _size, _forward, _backward, _backward_squares, _backward_gram, _flush)
)
