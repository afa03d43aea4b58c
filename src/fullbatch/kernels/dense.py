"""Products with dense rows: features are read from memory once per pass.

The forward product of a tile of rows, the pointwise loss and the backward product follow one another while the tile is
in cache. Rows are read as they are stored, bytes become numbers in registers (`DenseRows`); where they are in column
order, too short for a vector, or less a reference, each tile is copied into rows first (`TiledRows`).

The inner loops keep the sums of a few rows and outputs in registers, so that every number loaded serves several
products; see `_vectors` for how they are written.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba.extending import overload

from ..compiled import INSIDE, VECTOR_BYTES, as_written, inlined
from ._inner_loops import (
    BACKWARD,
    CACHE_LINE,
    FORWARD,
    MOST_OUTPUTS,
    ROWS,
    ROWS_OF_MORE,
    backward_squares_one,
)
from ._storage import Storage, register

Array = npt.NDArray[Any]

# As many as are summed before a flush (`passes.ROWS_PER_FLUSH`): what a tile costs beside its products is then small.
MOST_ROWS = 480
FEW_OUTPUTS = 4
# The features of a tile stay in the second-level cache; of so many bytes of each row, those of a group of rows stay in
# the first.
TILE_BYTES = 131072
CHUNK_BYTES = 2048
GROUP_BYTES = 8192


class DenseRows(NamedTuple):
    """Rows that are read where they are; all arrays read-only, so that one compiled pass serves all.

    Parameters
    ----------
    X : (n, p) C-ordered array of float32, float64, uint8 or int8
        Features as stored: floating-point ones in the precision of the products, a row no shorter than a vector.
    reference : (0,) array
        See `TiledRows`.
    y : (n,) float64 array
        Targets or class indices.
    weight : (n,) or (0,) float64 array
        Sample weights; empty means 1 for all.
    offset : (n,) or (0,) float64 array
        Added to every linear predictor; empty means 0 for all.
    """

    X: Array
    reference: Array
    y: Array
    weight: Array
    offset: Array


class TiledRows(NamedTuple):
    """Rows that are copied tile by tile.

    Parameters
    ----------
    X : (n, p) array, C- or F-ordered
        Features as stored.
    reference : (p,) or (0,) array
        Subtracted from the features while they are copied; empty for nothing.
    y, weight, offset
        As in `DenseRows`.
    """

    X: Array
    reference: Array
    y: Array
    weight: Array
    offset: Array


def dense_rows(
    X: Array, reference: Array, y: Array, weight: Array, offset: Array, precision: str, outputs: int
) -> DenseRows | TiledRows:
    """The rows in the form that their storage asks for.

    Parameters
    ----------
    X, reference, y, weight, offset : arrays
        As in `TiledRows`.
    precision : {"float32", "float64"}
        Of the products.
    outputs : int
        Linear predictors: with several, bytes become numbers once, in a tile, rather than in each inner loop.
    """
    as_stored = X.flags.c_contiguous and X.shape[1] >= VECTOR_BYTES // np.dtype(precision).itemsize
    known = X.dtype == precision or (X.dtype in (np.uint8, np.int8) and outputs < FEW_OUTPUTS)
    form = DenseRows if as_stored and known and not reference.size else TiledRows
    return form(X, reference, y, weight, offset)


# --- workspace --------------------------------------------------------------------------------------------------


class _Workspace(NamedTuple):
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
def _lanes(W):
    return VECTOR_BYTES // W.itemsize


@inlined
def _loops(outputs):
    """Inner loops over so many outputs."""
    return (outputs + MOST_OUTPUTS - 1) // MOST_OUTPUTS


@inlined
def _aligned(rows, vectors, like):
    """Zeros that begin where cache lines do."""
    line = CACHE_LINE // like.itemsize
    columns = (vectors | 1) * _lanes(like)  # odd, so that rows do not meet in the same places of the cache
    some = np.zeros(rows * columns + line, like.dtype)
    begin = -some.ctypes.data // like.itemsize % line
    return some[begin : begin + rows * columns].reshape(rows, columns)


@inlined
def overlap(p: int, W: Array) -> tuple[int, int]:
    """The first feature that only the last vector holds, and by how much the coefficients from there on are shifted."""
    lanes = _lanes(W)
    first = max(0, (p - 1) // lanes * lanes)
    return first, 0 if p < lanes else lanes - (p - first)


@inlined
def _make_workspace(W, sums, tile_columns, row_bytes):
    p, outputs, lanes = W.shape[1] - 1, W.shape[0], _lanes(W)
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
    return _Workspace(tile, coefs, G, np.zeros(sums), p, vectors, chunk, group, row_bytes, lines, stride)


def _size(space):
    return space.tile.shape[0]


def _flush(space, total, last):
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


# --- products -------------------------------------------------------------------------------------------------


def _over_a_tile(loops: Any) -> Any:
    """The inner loops for one output, two and so on, over all outputs and features of the rows of a tile.

    Those of the tile to come are asked for from the byte `ahead` on.
    """
    one, two, three, *more = loops
    four, five = more or (three, three)

    @as_written
    def over_a_tile(X, first, last, W, eta, space, ahead):
        outputs, size = eta.shape
        lines, stride = space.lines, space.stride
        # With `while`: a range with a step costs a division.
        low = 0
        while low < space.vectors:
            high = min(low + space.chunk, space.vectors)
            start = 0
            while start < size:
                stop, here = min(start + space.group, size), first + start
                k = 0
                while k < outputs:
                    some = (outputs - k) // _loops(outputs - k)
                    if some == 1:
                        ahead = one(X, here, last, W, low, high, eta, k, start, stop, ahead, lines, stride)
                    elif some == 2:
                        ahead = two(X, here, last, W, low, high, eta, k, start, stop, ahead, lines, stride)
                    elif some == 3 or MOST_OUTPUTS == 3:  # known to the compiler, which drops what follows
                        ahead = three(X, here, last, W, low, high, eta, k, start, stop, ahead, lines, stride)
                    elif some == 4:
                        ahead = four(X, here, last, W, low, high, eta, k, start, stop, ahead, lines, stride)
                    else:
                        ahead = five(X, here, last, W, low, high, eta, k, start, stop, ahead, lines, stride)
                    k += some
                start = stop
            low = high

    return over_a_tile


_forward_tile = _over_a_tile(FORWARD)
_backward_tile = _over_a_tile(BACKWARD)


@inlined
def _backward_rows(X, first, last, space, slope):
    """Sums += slope [x, 1] for these rows."""
    _add_slopes(space, slope)
    size = slope.shape[1]
    _backward_tile(X, first, last, space.G, slope, space, (2 * first + 3 * size) * space.row_bytes // 2)


@inlined
def _add_slopes(space, slope):
    for k in range(slope.shape[0]):
        total = 0.0
        for i in range(slope.shape[1]):
            total += slope[k, i]
        space.slopes[k] += total


@as_written  # a square that overflows must not come before the slope of zero
def _backward_squares_rows(X, first, last, space, curvature):
    _add_slopes(space, curvature)
    for k in range(curvature.shape[0]):
        backward_squares_one(X, first, last, space.G, 0, space.vectors, curvature, k, 0, curvature.shape[1], 0, 0, 0)


@inlined
def _scaled(X, first, last, p, factor):
    """Factor times [x, 1] of each row, (p + 1, rows)."""
    scaled = np.empty((p + 1, factor.size))
    for i in range(factor.size):
        row = min(first + i, last)
        for j in range(p):
            scaled[j, i] = factor[i] * np.float64(X[row, j])
        scaled[p, i] = factor[i]
    return scaled


# --- rows that are read where they are ----------------------------------------------------------------------------


def _workspace(rows, W, sums):
    return _make_workspace(W, sums, 0, rows.X.shape[1] * rows.X.itemsize)


def _forward(rows, space, start, eta):
    ahead = (start + eta.shape[1]) * space.row_bytes
    _forward_tile(rows.X, start, rows.y.size - 1, space.coefs, eta, space, ahead)


def _backward(rows, space, start, slope):
    _backward_rows(rows.X, start, rows.y.size - 1, space, slope)


def _backward_squares(rows, space, start, curvature):
    _backward_squares_rows(rows.X, start, rows.y.size - 1, space, curvature)


def _backward_gram(rows, space, square, start, factor):
    last = rows.y.size - 1
    _backward_rows(rows.X, start, last, square, _scaled(rows.X, start, last, space.p, factor))


register(
    Storage(DenseRows, _Workspace, _workspace, _size, _forward, _backward, _backward_squares, _backward_gram, _flush)
)


# --- rows that are copied -----------------------------------------------------------------------------------------


def _copy_features(X: Array, reference: Array, start: int, tile: Array) -> None:
    """Copy the rows of X from `start` on, less the reference, into the tile; zeros behind the last."""


@overload(_copy_features, jit_options=INSIDE)
def _copy_features_of(X, reference, start, tile):
    """By the memory order of X: the inner loop runs along memory."""

    def by_row(X, reference, start, tile):
        rows = X[start : start + tile.shape[0]]
        for i in range(rows.shape[0]):
            for j in range(rows.shape[1]):
                tile[i, j] = rows[i, j]
            for j in range(reference.size):
                tile[i, j] -= tile.dtype.type(reference[j])
        for i in range(rows.shape[0], tile.shape[0]):
            for j in range(rows.shape[1]):
                tile[i, j] = 0

    def by_column(X, reference, start, tile):
        for j in range(X.shape[1]):
            x = X[start : start + tile.shape[0], j]
            shift = tile.dtype.type(reference[j] if reference.size else 0)
            for i in range(x.size):
                tile[i, j] = tile.dtype.type(x[i]) - shift
            for i in range(x.size, tile.shape[0]):
                tile[i, j] = 0

    return by_column if X.layout == "F" else by_row


def _tiled_workspace(rows, W, sums):
    return _make_workspace(W, sums, max(rows.X.shape[1], _lanes(W)), 0)


def _tiled_forward(rows, space, start, eta):
    _copy_features(rows.X, rows.reference, start, space.tile)
    _forward_tile(space.tile, 0, space.tile.shape[0] - 1, space.coefs, eta, space, 0)


def _tiled_backward(rows, space, start, slope):
    _backward_rows(space.tile, 0, space.tile.shape[0] - 1, space, slope)


def _tiled_backward_squares(rows, space, start, curvature):
    for i in range(space.tile.shape[0]):
        for j in range(rows.reference.size):  # squares do not cancel: of the features as they are
            space.tile[i, j] += space.tile.dtype.type(rows.reference[j])
    _backward_squares_rows(space.tile, 0, space.tile.shape[0] - 1, space, curvature)


def _tiled_backward_gram(rows, space, square, start, factor):
    last = space.tile.shape[0] - 1
    _backward_rows(space.tile, 0, last, square, _scaled(space.tile, 0, last, space.p, factor))


register(
    Storage(
        TiledRows,
        _Workspace,
        _tiled_workspace,
        _size,
        _tiled_forward,
        _tiled_backward,
        _tiled_backward_squares,
        _tiled_backward_gram,
        _flush,
    )
)
