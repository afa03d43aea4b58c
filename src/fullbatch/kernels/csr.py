"""Products with sparse (CSR) rows.

A row's entries are multiplied with the coefficients they point at, and after the pointwise loss of a tile of rows its
entries, still in cache, are added to the gradient, while those of the next tile are asked for: no copy in column order
is made. A column's coefficients and sums lie side by side in one table (`_table`). What limits both products is how
many cache lines they touch, not arithmetic; the table is float64 for any data.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

import threading
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._prefetch import prefetch
from ._storage import Storage, register
from ._table import add_sums, backward_all, fill, forward_all, odd, padded
from .compiled import inlined

Array = npt.NDArray[Any]

# Entries of a tile, on average: few enough to stay in cache. And its rows: enough for the pointwise loss to vectorise;
# short rows want many, since references to all arrays are counted for each tile.
ENTRIES, LEAST_ROWS, MOST_ROWS = 4800, 48, 512


class SparseRows(NamedTuple):
    """The rows of a block as the kernels take them; all but `scratch` read-only, so that one compiled pass serves all.

    Parameters
    ----------
    data, indices, indptr : arrays
        CSR entries, those of a row in columns that differ; an entry of an integer type counts as its value.
    y : (n,) float64 array
        Targets or class indices.
    weight : (n,) or (0,) float64 array
        Sample weights; empty means 1 for all.
    offset : (n,) or (0,) float64 array
        Added to every linear predictor; empty means 0 for all.
    scratch : (m,) float64 array
        Memory for the table of a pass with as many sums as outputs; where it is too small, the pass makes its own.
    """

    data: Array
    indices: Array
    indptr: Array
    y: Array
    weight: Array
    offset: Array
    scratch: Array


_of_thread = threading.local()

# Arrays of so many numbers, 8 MB, are given huge pages by NumPy: fewer look-ups of addresses. Unused ones take nothing.
_LEAST_SCRATCH = 2**20


def scratch(W: Array) -> Array:
    """Scratch for a pass at W, kept for each thread: mapping memory took a fifth of a pass over a block."""
    size = 2 * padded(W.shape[0]) * W.shape[1]
    held: Array | None = getattr(_of_thread, "scratch", None)
    if held is None or held.size < size:
        held = _of_thread.scratch = np.empty(max(size, _LEAST_SCRATCH))
    return held


class _Workspace(NamedTuple):
    """The table is that of `_table`: lines of `width` numbers, whose sums begin at the place `first`."""

    table: Array
    outputs: int
    sums: int
    first: int
    width: int
    size: int


def _workspace(rows, W, sums):
    first = padded(W.shape[0])
    width = first + padded(sums)
    own = sums != W.shape[0] or rows.scratch.size < W.shape[1] * width
    table = np.empty(W.shape[1] * width) if own else rows.scratch[: W.shape[1] * width]
    fill(table, W, width)
    size = min(MOST_ROWS, max(LEAST_ROWS, ENTRIES * rows.y.size // max(1, rows.data.size)))
    return _Workspace(table, W.shape[0], sums, first, width, 8 * odd(size // 8))


def _size(space):
    return space.size


def _flush(space, total, last):
    if last:  # sums are float64 as they are
        add_sums(space.table, space.width, space.first, total)


# Unsigned numbers below: an index that might be negative costs a comparison per entry. Loops over entries take no
# slices, each of which would count a reference.


def _forward(rows, space, start, eta):
    count = min(space.size, rows.y.size - start)
    indptr = rows.indptr[start : start + count + 1]
    if space.outputs == 1 and space.sums == 1:
        _forward_one(rows.data, rows.indices, indptr, space.table, eta[0])
    else:
        forward_all(rows.data, rows.indices, indptr, space.table, space.width, 0, eta, count, 0)


@inlined
def _forward_one(data, indices, indptr, table, eta):
    for i in range(indptr.size - 1):
        total = 0.0
        for e in range(np.uintp(indptr[i]), np.uintp(indptr[i + 1])):
            total += data[e] * table[np.uintp(2) * np.uintp(indices[e])]
        eta[i] += total


@inlined
def _add_product(rows, start, slope, space, squares):
    """Sums += [x, 1]' slope' for the tile of rows from `start` on, or with the squares of x."""
    count = min(space.size, rows.y.size - start)
    indptr = rows.indptr[start : start + count + 1]
    if space.outputs == 1 and space.sums == 1:
        _add_product_one(rows.data, rows.indices, indptr, slope[0], space.table, squares)
    else:
        first, width = space.first, space.width
        _add_slopes(space.table[space.table.size - width + first :], slope, count)
        if squares:
            _add_squares_all(rows.data, rows.indices, indptr, slope, space.table, first, width)
        else:
            ahead = np.intp(_entries(indptr))
            backward_all(rows.data, rows.indices, indptr, space.table, width, first, slope, count, ahead)


@inlined
def _entries(indptr):
    """Of a tile: so far ahead lie those of the next."""
    return np.uintp(indptr[indptr.size - 1] - indptr[0])


@inlined
def _add_product_one(data, indices, indptr, slope, table, squares):
    one, two, four, ahead = np.uintp(1), np.uintp(2), np.uintp(4), _entries(indptr)
    for i in range(indptr.size - 1):
        r = slope[i]
        table[table.size - 1] += r
        e, stop = np.uintp(indptr[i]), np.uintp(indptr[i + 1])
        # The columns of a row differ, which the compiler cannot know: four sums are read before any is written.
        while e + four <= stop:
            prefetch(data, e + ahead)
            prefetch(indices, e + ahead)
            e1, e2, e3 = e + one, e + two, e + np.uintp(3)
            j0, j1 = two * np.uintp(indices[e]) + one, two * np.uintp(indices[e1]) + one
            j2, j3 = two * np.uintp(indices[e2]) + one, two * np.uintp(indices[e3]) + one
            sum0, sum1 = table[j0] + _term(r, data[e], squares), table[j1] + _term(r, data[e1], squares)
            sum2, sum3 = table[j2] + _term(r, data[e2], squares), table[j3] + _term(r, data[e3], squares)
            table[j0] = sum0
            table[j1] = sum1
            table[j2] = sum2
            table[j3] = sum3
            e += four
        while e < stop:
            table[two * np.uintp(indices[e]) + one] += _term(r, data[e], squares)
            e += one


@inlined
def _term(slope, value, squares):
    v = np.float64(value)
    if squares:  # a row that counts nothing does not even where the square overflows
        return slope * v * v if slope != 0.0 else 0.0
    return slope * v


@inlined
def _add_slopes(intercepts, slope, count):
    """To the sums of the intercepts, which end the table."""
    for k in range(np.uintp(slope.shape[0])):
        total = 0.0
        for i in range(np.uintp(count)):
            total += slope[k, i]
        intercepts[k] += total


@inlined
def _add_squares_all(data, indices, indptr, slope, table, first, width):
    for i in range(indptr.size - 1):
        for e in range(np.uintp(indptr[i]), np.uintp(indptr[i + 1])):
            line = np.uintp(width) * np.uintp(indices[e]) + np.uintp(first)
            for k in range(np.uintp(slope.shape[0])):
                table[line + k] += _term(slope[k, i], data[e], True)


def _backward(rows, space, start, slope):
    _add_product(rows, start, slope, space, False)


def _backward_squares(rows, space, start, curvature):
    _add_product(rows, start, curvature, space, True)


def _backward_gram(rows, space, square, start, factor):
    G, width = square.table, np.uintp(square.width)
    own, last = np.uintp(square.first), np.uintp(square.sums - 1)
    for i in range(min(space.size, rows.y.size - start)):
        low, high = np.uintp(rows.indptr[start + i]), np.uintp(rows.indptr[start + i + 1])
        for e in range(low, high):
            scaled = factor[0, i] * rows.data[e]
            line = width * np.uintp(rows.indices[e]) + own
            for f in range(low, e + np.uintp(1)):  # columns before that one: on and above the diagonal
                G[line + np.uintp(rows.indices[f])] += scaled * rows.data[f]
            G[line + last] += scaled
        G[width * last + own + last] += factor[0, i]


register(
    Storage(SparseRows, _Workspace, _workspace, _size, _forward, _backward, _backward_squares, _backward_gram, _flush)
)
