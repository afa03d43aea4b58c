"""Products with rows of dense and categorical columns: the one-hot matrix is never built.

The dense columns, with the ones that stand for the intercept, are those of `dense`. A categorical column is one code a
row: the number of its level among the levels of all columns. Its product with the coefficients is a look-up, and its
part of the gradient an addition in one place. Codes are kept column by column, so that the look-ups of a tile of rows
vectorise.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..losses import inlined
from . import dense
from ._storage import Storage, backward, backward_squares, flush, forward, register, size, workspace

Array = npt.NDArray[Any]


class MixedRows(NamedTuple):
    """The rows of a block as the kernels take them; all arrays read-only, so that one compiled pass serves all.

    Parameters
    ----------
    dense : DenseRows
        The dense columns; they may be none.
    codes : (q, n) int32 array
        Number of each row's level among the levels of all categorical columns, whose coefficients follow those of the
        dense columns.
    y : (n,) float64 array
        Targets or class indices.
    weight : (n,) or (0,) float64 array
        Sample weights; empty means 1 for all.
    offset : (n,) or (0,) float64 array
        Added to every linear predictor; empty means 0 for all.
    """

    dense: dense.DenseRows
    codes: Array
    y: Array
    weight: Array
    offset: Array


class _Workspace(NamedTuple):
    """`coefs` and `G` are those of the levels, (levels, outputs or sums), in float64."""

    dense: Any
    coefs: Array
    G: Array


def _workspace(rows, W, sums):
    p, levels = rows.dense.X.shape[1], W.shape[1] - 1 - rows.dense.X.shape[1]
    dense_W = np.empty((W.shape[0], p + 1), W.dtype)
    coefs = np.empty((levels, W.shape[0]))
    for k in range(W.shape[0]):
        for j in range(p):
            dense_W[k, j] = W[k, j]
        dense_W[k, p] = W[k, p + levels]
        for j in range(levels):
            coefs[j, k] = W[k, p + j]
    return _Workspace(workspace(rows.dense, dense_W, sums), coefs, np.zeros((levels, sums)))


def _size(space):
    return size(space.dense)


def _flush(space, total, last):
    levels, p = space.G.shape[0], total.shape[1] - 1 - space.G.shape[0]
    of_dense = np.zeros((total.shape[0], p + 1))
    flush(space.dense, of_dense, last)
    for k in range(total.shape[0]):
        for j in range(p):
            total[k, j] += of_dense[k, j]
        total[k, p + levels] += of_dense[k, p]
        if last:  # sums are float64 as they are
            for j in range(levels):
                total[k, p + j] += space.G[j, k]


def _forward(rows, space, start, eta):
    forward(rows.dense, space.dense, start, eta)
    count = min(size(space.dense), rows.y.size - start)
    for c in range(rows.codes.shape[0]):
        codes = rows.codes[c, start : start + count]
        if eta.shape[0] == 1:
            _look_up(codes, space.coefs.ravel(), eta[0])
        else:
            for i in range(codes.size):
                coefs = space.coefs[np.uintp(codes[i])]
                for k in range(coefs.size):
                    eta[k, i] += coefs[k]


@inlined
def _look_up(codes, coefs, eta):
    for i in range(codes.size):
        eta[i] += coefs[np.uintp(codes[i])]


@inlined
def _add(rows, space, start, slope):
    count = min(size(space.dense), rows.y.size - start)
    for c in range(rows.codes.shape[0]):
        codes = rows.codes[c, start : start + count]
        if slope.shape[0] == 1:
            _add_up(codes, slope[0], space.G.ravel())
        else:
            for i in range(codes.size):
                g = space.G[np.uintp(codes[i])]
                for k in range(g.size):
                    g[k] += slope[k, i]


@inlined
def _add_up(codes, slope, g):
    for i in range(codes.size):
        g[np.uintp(codes[i])] += slope[i]


def _backward(rows, space, start, slope):
    backward(rows.dense, space.dense, start, slope)
    _add(rows, space, start, slope)


def _backward_squares(rows, space, start, curvature):
    backward_squares(rows.dense, space.dense, start, curvature)
    _add(rows, space, start, curvature)  # ones and zeros are their own squares


def _backward_gram(rows, space, square, start, factor):
    """A row of sums for each column of the model: dense ones, then levels, then the intercept."""
    p, levels = rows.dense.X.shape[1], space.coefs.shape[0]
    tile = space.dense.tile
    lanes = tile.shape[2]
    for i in range(min(factor.size, rows.y.size - start)):
        for s in range(p + 1):  # of a dense column, or of the intercept
            scaled = factor[i] * np.float64(tile[s // lanes, i, s % lanes])
            line = s if s < p else p + levels
            for j in range(p + 1):
                square.dense.G[j // lanes, line, j % lanes] += scaled * tile[j // lanes, i, j % lanes]
            for c in range(rows.codes.shape[0]):
                code = rows.codes[c, start + i]
                square.G[code, line] += scaled
                square.dense.G[s // lanes, p + code, s % lanes] += scaled
        for c in range(rows.codes.shape[0]):
            for d in range(rows.codes.shape[0]):
                square.G[rows.codes[c, start + i], p + rows.codes[d, start + i]] += factor[i]


register(
    Storage(MixedRows, _Workspace, _workspace, _size, _forward, _backward, _backward_squares, _backward_gram, _flush)
)
