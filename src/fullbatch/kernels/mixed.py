"""Products with rows of dense and categorical columns: the one-hot matrix is never built.

The dense columns, with the ones that stand for the intercept, are those of `dense`. A categorical column is one code a
row: the number of its level among the levels of all columns. Its product with the coefficients is a look-up, and its
part of the gradient an addition in one place. Codes are kept row by row: the next
addition to a column of few levels, which may well be to the same place, is then some other additions away.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..losses import inlined
from . import dense
from ._storage import Storage, register

Array = npt.NDArray[Any]


class MixedRows(NamedTuple):
    """The rows of a block as the kernels take them; all arrays read-only, so that one compiled pass serves all.

    Parameters
    ----------
    X, reference
        The dense columns, of which there may be none, as in `dense.DenseRows`.
    codes : (n, q) int32 array
        Number of each row's level among the levels of all categorical columns, whose coefficients follow those of the
        dense columns.
    y : (n,) float64 array
        Targets or class indices.
    weight : (n,) or (0,) float64 array
        Sample weights; empty means 1 for all.
    offset : (n,) or (0,) float64 array
        Added to every linear predictor; empty means 0 for all.
    """

    X: Array
    reference: Array
    codes: Array
    y: Array
    weight: Array
    offset: Array


class _Workspace(NamedTuple):
    """That of `dense` for the dense columns, and float64 arrays: sums of the dense columns that were flushed, and
    coefficients and sums of the levels, (levels, outputs or sums).
    """

    tile: Array
    coefs: Array
    G: Array
    flushed: Array
    level_coefs: Array
    level_sums: Array


# The dense columns' part: these look at the fields of rows and workspace by name. (A field that holds the rows or the
# workspace of `dense` whole costs counting the references to all of its arrays at every tile.)
_dense_workspace, _dense_flush = inlined(dense._workspace), inlined(dense._flush)
_dense_forward, _dense_backward = inlined(dense._forward), inlined(dense._backward)
_dense_backward_squares = inlined(dense._backward_squares)


def _workspace(rows, W, sums):
    p, levels = rows.X.shape[1], W.shape[1] - 1 - rows.X.shape[1]
    dense_W, level_coefs = np.empty((W.shape[0], p + 1), W.dtype), np.empty((levels, W.shape[0]))
    for k in range(W.shape[0]):
        for j in range(p):
            dense_W[k, j] = W[k, j]
        dense_W[k, p] = W[k, p + levels]
        for j in range(levels):
            level_coefs[j, k] = W[k, p + j]
    space = _dense_workspace(rows, dense_W, sums)
    flushed, level_sums = np.zeros((sums, p + 1)), np.zeros((levels, sums))
    return _Workspace(space.tile, space.coefs, space.G, flushed, level_coefs, level_sums)


def _size(space):
    return space.tile.shape[1]


def _flush(space, total, last):
    _dense_flush(space, space.flushed, last)
    if last:
        levels, p = space.level_sums.shape[0], space.flushed.shape[1] - 1
        for k in range(total.shape[0]):
            for j in range(p):
                total[k, j] += space.flushed[k, j]
            for j in range(levels):
                total[k, p + j] += space.level_sums[j, k]
            total[k, p + levels] += space.flushed[k, p]


def _forward(rows, space, start, eta):
    _dense_forward(rows, space, start, eta)
    codes = rows.codes[start : min(start + space.tile.shape[1], rows.y.size)]
    if eta.shape[0] == 1:
        _look_up(codes.ravel(), codes.shape[1], space.level_coefs.ravel(), eta[0])
    else:
        for i in range(codes.shape[0]):
            for c in range(codes.shape[1]):
                coefs = space.level_coefs[np.uintp(codes[i, c])]
                for k in range(coefs.size):
                    eta[k, i] += coefs[k]


@inlined
def _look_up(codes, each, coefs, eta):
    # Unsigned numbers here and below: an index that might be negative costs a comparison per code.
    e = np.uintp(0)
    for i in range(codes.size // each):
        total = 0.0
        for _ in range(each):
            total += coefs[np.uintp(codes[e])]
            e += np.uintp(1)
        eta[i] += total


@inlined
def _add(rows, space, start, slope):
    codes = rows.codes[start : min(start + space.tile.shape[1], rows.y.size)]
    if slope.shape[0] == 1:
        _add_up(codes.ravel(), codes.shape[1], slope[0], space.level_sums.ravel())
    else:
        for i in range(codes.shape[0]):
            for c in range(codes.shape[1]):
                g = space.level_sums[np.uintp(codes[i, c])]
                for k in range(g.size):
                    g[k] += slope[k, i]


@inlined
def _add_up(codes, each, slope, g):
    e = np.uintp(0)
    for i in range(codes.size // each):
        r = slope[i]
        for _ in range(each):
            g[np.uintp(codes[e])] += r
            e += np.uintp(1)


def _backward(rows, space, start, slope):
    _dense_backward(rows, space, start, slope)
    _add(rows, space, start, slope)


def _backward_squares(rows, space, start, curvature):
    _dense_backward_squares(rows, space, start, curvature)
    _add(rows, space, start, curvature)  # ones and zeros are their own squares


def _backward_gram(rows, space, square, start, factor):
    """A row of sums for each column of the model: dense ones, then levels, then the intercept."""
    p, levels = rows.X.shape[1], space.level_coefs.shape[0]
    lanes = space.tile.shape[2]
    for i in range(min(factor.size, rows.y.size - start)):
        codes = rows.codes[start + i]
        for s in range(p + 1):  # of a dense column, or of the intercept
            scaled = factor[i] * np.float64(space.tile[s // lanes, i, s % lanes])
            line = s if s < p else p + levels
            for j in range(p + 1):
                square.G[j // lanes, line, j % lanes] += scaled * space.tile[j // lanes, i, j % lanes]
            for c in range(codes.size):
                square.level_sums[codes[c], line] += scaled
                square.G[s // lanes, p + codes[c], s % lanes] += scaled
        for c in range(codes.size):
            for d in range(codes.size):
                square.level_sums[codes[c], p + codes[d]] += factor[i]


register(
    Storage(MixedRows, _Workspace, _workspace, _size, _forward, _backward, _backward_squares, _backward_gram, _flush)
)
