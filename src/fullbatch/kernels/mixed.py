"""Products with rows of dense and categorical columns: the one-hot matrix is never built.

A categorical column is one code a row: the number of its level among the levels of all columns. Its product with the
coefficients is a look-up, and its part of the gradient an addition in one place. Codes are kept row by row: the next
addition to a column of few levels, which may well be to the same place, is then some other additions away.

The dense columns, usually few, are copied into a tile column by column, so that their products run along the rows,
which fill the registers however few columns there are. All is in float64.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._storage import Storage, register
from ._table import add_sums, backward_all, fill, forward_all, odd, padded
from .compiled import inlined

Array = npt.NDArray[Any]

# Numbers of a tile, and its rows: many, since references to all arrays are counted for each tile.
TILE, LEAST_ROWS, MOST_ROWS = 8192, 32, 1024


class MixedRows(NamedTuple):
    """The rows of a block as the kernels take them; all arrays read-only, so that one compiled pass serves all.

    Parameters
    ----------
    X : (n, p) array, C- or F-ordered
        The dense columns as stored, of which there may be none.
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
    codes: Array
    y: Array
    weight: Array
    offset: Array


class _Workspace(NamedTuple):
    """The table of `_table`, of dense columns, levels and the intercept; and a tile of (dense columns, rows)."""

    table: Array
    outputs: int
    sums: int
    first: int
    width: int
    tile: Array
    size: int


def _workspace(rows, W, sums):
    first = padded(W.shape[0])
    width = first + padded(sums)
    table = np.empty(W.shape[1] * width)
    fill(table, W, width)
    size = min(MOST_ROWS, TILE // max(1, rows.X.shape[1])) // LEAST_ROWS  # whole registers
    size = LEAST_ROWS * odd(max(1, size))
    return _Workspace(table, W.shape[0], sums, first, width, np.zeros((rows.X.shape[1], size)), size)


def _size(space):
    return space.size


def _flush(space, total, last):
    if last:  # sums are float64 as they are
        add_sums(space.table, space.width, space.first, total)


@inlined
def _copy_features(X, start, count, tile):
    """Column by column in either memory order: the rows of a tile stay in cache from one column to the next."""
    for j in range(np.uintp(X.shape[1])):
        for i in range(np.uintp(count)):
            tile[j, i] = X[np.uintp(start) + i, j]
        for i in range(np.uintp(count), np.uintp(tile.shape[1])):
            tile[j, i] = 0.0


# Unsigned numbers below: an index that might be negative costs a comparison per code. Loops over rows and codes take no
# slices, each of which would count a reference.


def _forward(rows, space, start, eta):
    count = min(space.size, rows.y.size - start)
    _copy_features(rows.X, start, count, space.tile)
    _forward_dense(space.tile, space.table, space.width, eta)
    codes = rows.codes[start : start + count]
    table = space.table[space.tile.shape[0] * space.width :]
    if space.outputs == 1 and space.sums == 1:
        _look_up_one(codes.ravel(), codes.shape[1], table, eta[0])
    else:
        forward_all(None, codes.ravel(), codes.shape[1], table, space.width, 0, eta, count, 0)


@inlined
def _forward_dense(tile, table, width, eta):
    """Four columns at a time: eta is then read and written once for them."""
    one, two, three, p = np.uintp(1), np.uintp(2), np.uintp(3), np.uintp(tile.shape[0])
    for k in range(np.uintp(eta.shape[0])):
        e, j, each = eta[k], np.uintp(0), np.uintp(width)
        while j + three < p:
            w0, w1 = table[j * each + k], table[(j + one) * each + k]
            w2, w3 = table[(j + two) * each + k], table[(j + three) * each + k]
            for i in range(np.uintp(eta.shape[1])):
                e[i] += (w0 * tile[j, i] + w1 * tile[j + one, i]) + (w2 * tile[j + two, i] + w3 * tile[j + three, i])
            j += np.uintp(4)
        while j < p:
            w0 = table[j * each + k]
            for i in range(np.uintp(eta.shape[1])):
                e[i] += w0 * tile[j, i]
            j += one


@inlined
def _look_up_one(codes, each, table, eta):
    """Three columns at a time along the rows: rows have few codes, and short loops cost more than what they do."""
    two, each = np.uintp(2), np.uintp(each)
    rows, c = np.uintp(codes.size) // each, np.uintp(0)
    while c + two < each:
        for i in range(rows):
            e = i * each + c
            first, second = table[two * np.uintp(codes[e])], table[two * np.uintp(codes[e + np.uintp(1)])]
            eta[i] += first + second + table[two * np.uintp(codes[e + two])]
        c += np.uintp(3)
    while c < each:
        for i in range(rows):
            eta[i] += table[two * np.uintp(codes[i * each + c])]
        c += np.uintp(1)


@inlined
def _add_product(rows, space, start, slope):
    _backward_dense(space.tile, space.table, space.first, space.width, slope)
    codes = rows.codes[start : min(start + space.size, rows.y.size)]
    table = space.table[space.tile.shape[0] * space.width :]
    if space.outputs == 1 and space.sums == 1:
        _add_one(codes.ravel(), codes.shape[1], slope[0], table)
    else:
        backward_all(None, codes.ravel(), codes.shape[1], table, space.width, space.first, slope, codes.shape[0], 0)


@inlined
def _backward_dense(tile, table, own, width, slope):
    """Four sums for each column, so that no addition waits for the one before."""
    quarter = np.uintp(slope.shape[1] // 4)
    for k in range(np.uintp(slope.shape[0])):
        s, each, first = slope[k], np.uintp(width), np.uintp(own) + k
        for j in range(np.uintp(tile.shape[0])):
            a = b = c = d = 0.0
            for i in range(quarter):
                a += s[i] * tile[j, i]
                b += s[i + quarter] * tile[j, i + quarter]
                c += s[i + np.uintp(2) * quarter] * tile[j, i + np.uintp(2) * quarter]
                d += s[i + np.uintp(3) * quarter] * tile[j, i + np.uintp(3) * quarter]
            table[j * each + first] += (a + b) + (c + d)
        a = b = c = d = 0.0
        for i in range(quarter):
            a += s[i]
            b += s[i + quarter]
            c += s[i + np.uintp(2) * quarter]
            d += s[i + np.uintp(3) * quarter]
        table[np.uintp(table.size) - each + first] += (a + b) + (c + d)


@inlined
def _add_one(codes, each, slope, table):
    """Two rows at a time: rows have few codes, and short loops cost more than what they do."""
    one, two, each = np.uintp(1), np.uintp(2), np.uintp(each)
    rows, e = np.uintp(codes.size) // each, np.uintp(0)
    for i in range(rows // two):
        r, s = slope[two * i], slope[two * i + one]
        for _ in range(each):
            table[two * np.uintp(codes[e]) + one] += r
            table[two * np.uintp(codes[e + each]) + one] += s
            e += one
        e += each
    if rows % two:
        for _ in range(each):
            table[two * np.uintp(codes[e]) + one] += slope[rows - one]
            e += one


def _backward(rows, space, start, slope):
    _add_product(rows, space, start, slope)


def _backward_squares(rows, space, start, curvature):
    tile = space.tile
    for i in range(curvature.shape[1]):
        counts = False  # else nothing, even where the square overflows
        for k in range(curvature.shape[0]):
            counts = counts or curvature[k, i] != 0.0
        for j in range(tile.shape[0]):
            tile[j, i] = tile[j, i] * tile[j, i] if counts else 0.0
    _add_product(rows, space, start, curvature)  # the ones and zeros of levels are their own squares


def _backward_gram(rows, space, square, start, factor):
    """The entries of a row, as those of a sparse one, meet one another."""
    p, q = rows.X.shape[1], rows.codes.shape[1]
    columns, values = np.empty(p + q + 1, np.uintp), np.ones(p + q + 1)
    width, own = np.uintp(square.width), np.uintp(square.first)
    for j in range(p):
        columns[j] = j
    columns[p + q] = square.sums - 1
    for i in range(min(space.size, rows.y.size - start)):
        for j in range(p):
            values[j] = space.tile[j, i]
        for c in range(q):
            columns[p + c] = p + rows.codes[start + i, c]
        for e in range(columns.size):
            scaled, line = factor[0, i] * values[e], width * columns[e] + own
            for f in range(e + 1):  # columns before that one: on and above the diagonal
                square.table[line + columns[f]] += scaled * values[f]
            if e < p + q:
                square.table[line + columns[p + q]] += scaled


register(
    Storage(MixedRows, _Workspace, _workspace, _size, _forward, _backward, _backward_squares, _backward_gram, _flush)
)
