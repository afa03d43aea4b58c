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
    return _Workspace(W.T.copy(), np.zeros((W.shape[1], sums)))


def _size(space):
    return ROWS


def _flush(space, total, last):
    if last:  # sums are float64 as they are
        for k in range(total.shape[0]):
            for j in range(total.shape[1]):
                total[k, j] += space.G[j, k]


def _forward(rows, space, start, eta):
    p, outputs = space.coefs.shape[0] - 1, space.coefs.shape[1]
    for i in range(min(ROWS, rows.y.size - start)):
        low, high = rows.indptr[start + i], rows.indptr[start + i + 1]
        values, columns = rows.data[low:high], rows.indices[low:high]
        if outputs == 1:
            coef = space.coefs[:, 0]
            total = coef[p]
            for e in range(values.size):
                total += values[e] * coef[np.uintp(columns[e])]
            eta[0, i] += total
        else:
            for k in range(outputs):
                eta[k, i] += space.coefs[p, k]
            for e in range(values.size):
                v, coefs = np.float64(values[e]), space.coefs[np.uintp(columns[e])]
                for k in range(outputs):
                    eta[k, i] += v * coefs[k]


@inlined
def _add_product(rows, start, slope, G, squares):
    """G += [x, 1]' slope' for the tile of rows from `start` on, or with the squares of x."""
    p, outputs = G.shape[0] - 1, G.shape[1]
    for i in range(min(ROWS, rows.y.size - start)):
        low, high = rows.indptr[start + i], rows.indptr[start + i + 1]
        values, columns = rows.data[low:high], rows.indices[low:high]
        if outputs == 1:
            g, r = G[:, 0], slope[0, i]
            g[p] += r
            for e in range(values.size):
                v = np.float64(values[e])
                g[np.uintp(columns[e])] += r * (v * v if squares else v)
        else:
            for k in range(outputs):
                G[p, k] += slope[k, i]
            for e in range(values.size):
                v, g = np.float64(values[e]), G[np.uintp(columns[e])]
                v = v * v if squares else v
                for k in range(outputs):
                    g[k] += v * slope[k, i]


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
