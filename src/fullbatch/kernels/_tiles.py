"""Products with the dense rows of one tile, whatever way they came there.

The inner loops keep the sums of a few rows and outputs in registers, so that every number loaded serves several
products; see `_vectors` for how they are written.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._inner_loops import (
    BACKWARD,
    CACHE_LINE,
    COPYING_FORWARD,
    FORWARD,
    GRAM_ROWS,
    MOST_OUTPUTS,
    ROWS,
    ROWS_OF_MORE,
    backward_squares_one,
    gram_of_one_vector,
    gram_of_two,
)
from .compiled import VECTOR_BYTES, as_written, inlined

Array = npt.NDArray[Any]

# As many as are summed before a flush (`passes.ROWS_PER_FLUSH`): what a tile costs beside its products is then small.
MOST_ROWS = 480
# The features of a tile stay in the second-level cache; of so many bytes of each row, those of a group of rows stay in
# the first.
TILE_BYTES = 131072
CHUNK_BYTES = 2048
GROUP_BYTES = 8192
GRAM_BYTES = 24576


class Workspace(NamedTuple):
    """Coefficients and sums of features are cut into vectors, the last of which ends with the last feature and so
    overlaps the one before it: its first numbers are zeros in `coefs` and are not counted in `G`.

    Parameters
    ----------
    tile : (size, at least p) or (size, 0) array
        Rows that were copied.
    coefs, G : (outputs or sums, vectors * numbers in a vector) arrays
        In the precision of the products.
    slopes : (sums,) float64 array
        Sums that go with the intercepts.
    p, vectors, chunk, group : int
        Features; vectors that hold their coefficients; and how many of these, and of rows, are met at a time.
    row_bytes, lines, stride : int
        Bytes of a row as stored; how many cache lines of the next tile an inner loop asks for with each vector, and
        how many bytes one stands behind the other. Evenly spread, they fill half of the tile in either product.
    """

    tile: Array
    coefs: Array
    G: Array
    slopes: Array
    p: int
    vectors: int
    chunk: int
    group: int
    row_bytes: int
    lines: int
    stride: int


@inlined
def lanes_of(W):
    return VECTOR_BYTES // W.itemsize


@inlined
def _loops(outputs):
    """Inner loops over so many outputs."""
    return (outputs + MOST_OUTPUTS - 1) // MOST_OUTPUTS


@inlined
def _aligned(rows, vectors, like):
    """Zeros that begin where cache lines do."""
    line = CACHE_LINE // like.itemsize
    columns = (vectors | 1) * lanes_of(like)  # odd, so that rows do not meet in the same places of the cache
    some = np.zeros(rows * columns + line, like.dtype)
    begin = -some.ctypes.data // like.itemsize % line
    return some[begin : begin + rows * columns].reshape(rows, columns)


@inlined
def overlap(p: int, W: Array) -> tuple[int, int]:
    """The first feature that only the last vector holds, and by how much the coefficients from there on are shifted."""
    lanes = lanes_of(W)
    first = max(0, (p - 1) // lanes * lanes)
    return first, 0 if p < lanes else lanes - (p - first)


@inlined
def make_workspace(W, sums, tile_columns, row_bytes):
    p, outputs, lanes = W.shape[1] - 1, W.shape[0], lanes_of(W)
    vectors = (p + lanes - 1) // lanes
    coefs, G = _aligned(outputs, vectors, W), _aligned(sums, vectors, W)
    first, shift = overlap(p, W)
    for k in range(outputs):
        for j in range(first):
            coefs[k, j] = W[k, j]
        for j in range(first, p):
            coefs[k, j + shift] = W[k, j]
    # Of the shape of a row alone, so that several models get the same sums together as alone.
    size = min(MOST_ROWS, TILE_BYTES // (max(p, lanes) * W.itemsize))
    tile = np.zeros((max(1, size // ROWS) * ROWS, tile_columns), W.dtype)
    chunk = max(1, min(vectors, CHUNK_BYTES // VECTOR_BYTES))
    group = max(1, GROUP_BYTES // (VECTOR_BYTES * chunk) // ROWS) * ROWS
    most = max(outputs, sums)
    each = row_bytes * (ROWS if most == 1 else ROWS_OF_MORE) // max(1, 2 * _loops(most) * vectors)
    lines = (each + CACHE_LINE - 1) // CACHE_LINE
    stride = (each + lines - 1) // lines if lines else 0
    return Workspace(tile, coefs, G, np.zeros(sums), p, vectors, chunk, group, row_bytes, lines, stride)


def size_of(space):
    return space.tile.shape[0]


def flush(space, total, last):
    p, (first, shift) = space.p, overlap(space.p, space.G)
    for k in range(total.shape[0]):
        for j in range(first):
            total[k, j] += space.G[k, j]
        for j in range(first, p):
            total[k, j] += space.G[k, j + shift]
        for j in range(space.G.shape[1]):
            space.G[k, j] = 0
        total[k, p] += space.slopes[k]
        space.slopes[k] = 0.0


def _of_outputs(loops: Any) -> Any:
    """The inner loop for one output, two, or so many."""
    one, two, three, *more = loops
    four, five = more or (three, three)

    @as_written
    def of_outputs(some, X, first, last, W, low, high, eta, k, start, stop, ahead, lines, stride, tile):
        if some == 1:
            return one(X, first, last, W, low, high, eta, k, start, stop, ahead, lines, stride, tile)
        if some == 2:
            return two(X, first, last, W, low, high, eta, k, start, stop, ahead, lines, stride, tile)
        if some == 3 or MOST_OUTPUTS == 3:  # known to the compiler, which drops what follows
            return three(X, first, last, W, low, high, eta, k, start, stop, ahead, lines, stride, tile)
        if some == 4:
            return four(X, first, last, W, low, high, eta, k, start, stop, ahead, lines, stride, tile)
        return five(X, first, last, W, low, high, eta, k, start, stop, ahead, lines, stride, tile)

    return of_outputs


def _over_a_tile(loops: Any, copying: Any = None) -> Any:
    """The inner loops over all outputs and features of the rows of a tile.

    Those of the tile to come are asked for from the address `ahead` on. With `copying` loops, the first outputs copy
    the rows to the tile, and the others take them from there.
    """
    copies = copying is not None
    first_outputs, others = _of_outputs(copying or loops), _of_outputs(loops)

    @as_written
    def over_a_tile(X, first, last, W, eta, space, ahead):
        outputs, size = eta.shape
        lines, stride, tile = space.lines, space.stride, space.tile
        # With `while`: a range with a step costs a division.
        low = 0
        while low < space.vectors:
            high = min(low + space.chunk, space.vectors)
            start = 0
            while start < size:
                stop, here, k = min(start + space.group, size), first + start, 0
                while k < outputs:
                    some = (outputs - k) // _loops(outputs - k)
                    if copies and k > 0:
                        ahead = others(
                            some, tile, start, size - 1, W, low, high, eta, k, start, stop, ahead, lines, stride, tile
                        )
                    else:
                        ahead = first_outputs(
                            some, X, here, last, W, low, high, eta, k, start, stop, ahead, lines, stride, tile
                        )
                    k += some
                start = stop
            low = high

    return over_a_tile


forward_tile = _over_a_tile(FORWARD)
forward_bytes = _over_a_tile(FORWARD, COPYING_FORWARD)
_backward_tile = _over_a_tile(BACKWARD)


@inlined
def backward_rows(X, first, last, space, slope, ahead):
    """Sums += slope [x, 1] for these rows."""
    _add_slopes(space, slope)
    _backward_tile(X, first, last, space.G, slope, space, ahead)


@inlined
def address_ahead(rows, space, start, eta, half):
    """Where the first or second half of the tile behind this one begins."""
    size = eta.shape[1]
    return rows.X.ctypes.data + (2 * (start + size) + half * size) * space.row_bytes // 2


@inlined
def _add_slopes(space, slope):
    for k in range(slope.shape[0]):
        total = 0.0
        for i in range(slope.shape[1]):
            total += slope[k, i]
        space.slopes[k] += total


@as_written  # a square that overflows must not come before the slope of zero
def backward_squares_rows(X, first, last, space, curvature):
    _add_slopes(space, curvature)
    for k in range(curvature.shape[0]):
        backward_squares_one(
            X, first, last, space.G, 0, space.vectors, curvature, k, 0, curvature.shape[1], 0, 0, 0, space.tile
        )


@as_written
def _gram_of_group(X, first, last, factor, start, stop, G, p, vectors):
    """The products of some rows, which stay in the first-level cache."""
    begin, low = 0, 0
    while begin < p:
        end, low = min(begin + GRAM_ROWS, p), begin * G.itemsize // VECTOR_BYTES
        # The last columns begin earlier, so that there are as many of them; what was added before is not again.
        k = max(0, end - GRAM_ROWS)
        while low + 1 < vectors:
            gram_of_two(X, first, last, factor, start, stop, G, k, begin, end, low)
            low += 2
        if low < vectors:
            gram_of_one_vector(X, first, last, factor, start, stop, G, k, begin, end, low)
        begin = end


@as_written
def backward_gram_rows(X, first, last, square, factor, ahead):
    """Sums += factor [x, 1] [x, 1]', factor (1, rows): those on and above the diagonal, but for the last column, and
    all of the last row.
    """
    p, G, size = square.p, square.G, factor.shape[1]
    group, start = max(ROWS, GRAM_BYTES // (VECTOR_BYTES * square.vectors)), 0
    while start < size:
        stop = min(start + group, size)
        _gram_of_group(X, first, last, factor, start, stop, G, p, square.vectors)
        start = stop
    for i in range(size):
        square.slopes[p] += factor[0, i]
    _backward_tile(X, first, last, G[p:], factor, square, ahead)
