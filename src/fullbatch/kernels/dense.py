"""Products with dense rows: features are read from memory once per pass.

A tile of rows is copied into a scratch array in the precision of the products, and there the forward and, after the
pointwise loss, the backward product find it in cache. The copy costs little beside the read from memory, takes in
every kind of storage (bytes, column order, a reference to be subtracted) and makes the tile regular: rows are padded
with zeros to whole cache lines and the tile to a multiple of `ROWS`, so that the inner loops have no remainders; a
column of ones follows the features, which makes the intercept a coefficient like the others.

The inner loops treat `ROWS` rows and two outputs at a time along the features: every number loaded serves several
products, and the sums stay in registers. Their text is long because a compiler keeps named scalars in registers and
arrays in memory.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba.extending import overload

from ..losses import COMPILED, inlined
from ._storage import Storage, register

Array = npt.NDArray[Any]

ROWS = 6
CACHE_LINE = 64
# A chunk of features of one tile, and the pair of coefficient rows it meets, fit in the first-level cache.
CHUNK_BYTES = 2048
TILE_BYTES = 65536


class DenseRows(NamedTuple):
    """The rows of a block as the kernels take them; all arrays read-only, so that one compiled pass serves all.

    Parameters
    ----------
    X : (n, p) array, C- or F-ordered
        Features as stored.
    reference : (p,) or (0,) array
        Subtracted from the features while they are read; empty for nothing.
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


# --- workspace --------------------------------------------------------------------------------------------------


class _Workspace(NamedTuple):
    """Features are cut into chunks: (chunks, rows of the tile, or outputs, or sums; features of a chunk)."""

    tile: Array
    coefs: Array
    G: Array


def _workspace(rows, W, sums):
    p, line = W.shape[1] - 1, CACHE_LINE // W.itemsize
    chunks = p * W.itemsize // CHUNK_BYTES + 1
    lanes = (p + chunks * line) // (chunks * line) * line  # room for p features and the ones, in whole cache lines
    size = 8 * ROWS
    while size > 2 * ROWS and size * chunks * lanes * W.itemsize > TILE_BYTES:
        size //= 2
    tile, coefs = np.zeros((chunks, size, lanes), W.dtype), np.zeros((chunks, W.shape[0], lanes), W.dtype)
    for i in range(size):
        tile[p // lanes, i, p % lanes] = 1
    # Element by element here and elsewhere: assigning to a slice compiles the text of a shape error for seconds.
    for k in range(W.shape[0]):
        for j in range(p + 1):
            coefs[j // lanes, k, j % lanes] = W[k, j]
    return _Workspace(tile, coefs, np.zeros((chunks, sums, lanes), W.dtype))


def _size(space):
    return space.tile.shape[1]


def _flush(space, total, last):
    for c in range(space.G.shape[0]):
        first = c * space.G.shape[2]
        for k in range(total.shape[0]):
            part, whole = space.G[c, k], total[k, first:]
            for j in range(min(part.size, whole.size)):
                whole[j] += part[j]
                part[j] = 0


def _copy_features(X: Array, reference: Array, start: int, count: int, tile: Array) -> None:
    """Copy `count` rows of X, less the reference, into the tile."""


@overload(_copy_features, jit_options=COMPILED)
def _copy_features_of(X, reference, start, count, tile):
    """By the memory order of X: the inner loop runs along memory."""

    def by_row(X, reference, start, count, tile):
        for c in range(tile.shape[0]):
            # Slices stand outside of the loop over rows: each counts a reference to its array.
            part, x = tile[c], X[start : start + count, c * tile.shape[2] :]
            width = min(part.shape[1], x.shape[1])
            if reference.size:
                shift = reference[c * tile.shape[2] :]
                for i in range(x.shape[0]):
                    for j in range(width):
                        part[i, j] = tile.dtype.type(x[i, j]) - tile.dtype.type(shift[j])
            else:
                for i in range(x.shape[0]):
                    for j in range(width):
                        part[i, j] = tile.dtype.type(x[i, j])

    def by_column(X, reference, start, count, tile):
        for j in range(X.shape[1]):
            x, part = X[start : start + count, j], tile[j // tile.shape[2]]
            shift = tile.dtype.type(reference[j] if reference.size else 0)
            for i in range(x.size):
                part[i, j % tile.shape[2]] = tile.dtype.type(x[i]) - shift

    return by_column if X.layout == "F" else by_row


# --- products -------------------------------------------------------------------------------------------------


def _forward(rows, space, start, eta):
    """Read the tile; eta += coefs tile'."""
    count = min(space.tile.shape[1], rows.X.shape[0] - start)
    _copy_features(rows.X, rows.reference, start, count, space.tile)
    for c in range(space.tile.shape[0]):
        tile, coefs = space.tile[c], space.coefs[c]
        for k in range(0, eta.shape[0] - 1, 2):
            _forward_two(tile, coefs[k], coefs[k + 1], eta[k], eta[k + 1])
        if eta.shape[0] % 2:
            _forward_one(tile, coefs[eta.shape[0] - 1], eta[eta.shape[0] - 1])


@inlined
def _forward_two(tile: Array, v: Array, w: Array, eta_v: Array, eta_w: Array) -> None:
    for i in range(0, tile.shape[0], ROWS):
        x0, x1, x2 = tile[i], tile[i + 1], tile[i + 2]
        x3, x4, x5 = tile[i + 3], tile[i + 4], tile[i + 5]
        a0 = a1 = a2 = a3 = a4 = a5 = tile.dtype.type(0)
        b0 = b1 = b2 = b3 = b4 = b5 = tile.dtype.type(0)
        for j in range(v.size):
            a0 += x0[j] * v[j]
            a1 += x1[j] * v[j]
            a2 += x2[j] * v[j]
            a3 += x3[j] * v[j]
            a4 += x4[j] * v[j]
            a5 += x5[j] * v[j]
            b0 += x0[j] * w[j]
            b1 += x1[j] * w[j]
            b2 += x2[j] * w[j]
            b3 += x3[j] * w[j]
            b4 += x4[j] * w[j]
            b5 += x5[j] * w[j]
        _add(eta_v, i, a0, a1, a2, a3, a4, a5)
        _add(eta_w, i, b0, b1, b2, b3, b4, b5)


@inlined
def _forward_one(tile: Array, w: Array, eta: Array) -> None:
    for i in range(0, tile.shape[0], ROWS):
        x0, x1, x2 = tile[i], tile[i + 1], tile[i + 2]
        x3, x4, x5 = tile[i + 3], tile[i + 4], tile[i + 5]
        a0 = a1 = a2 = a3 = a4 = a5 = tile.dtype.type(0)
        for j in range(w.size):
            a0 += x0[j] * w[j]
            a1 += x1[j] * w[j]
            a2 += x2[j] * w[j]
            a3 += x3[j] * w[j]
            a4 += x4[j] * w[j]
            a5 += x5[j] * w[j]
        _add(eta, i, a0, a1, a2, a3, a4, a5)


@inlined
def _add(eta, i, a0, a1, a2, a3, a4, a5):
    eta[i] += a0
    eta[i + 1] += a1
    eta[i + 2] += a2
    eta[i + 3] += a3
    eta[i + 4] += a4
    eta[i + 5] += a5


def _backward(rows, space, start, slope):
    _add_product(space.tile, slope, space.G)


@inlined
def _add_product(tiles: Array, slope: Array, sums: Array) -> None:
    """Sums += slope tile."""
    for c in range(tiles.shape[0]):
        tile, G = tiles[c], sums[c]
        for k in range(0, slope.shape[0] - 1, 2):
            _backward_two(tile, slope[k], slope[k + 1], G[k], G[k + 1])
        if slope.shape[0] % 2:
            _backward_one(tile, slope[slope.shape[0] - 1], G[slope.shape[0] - 1])


@inlined
def _backward_two(tile: Array, slope_g: Array, slope_h: Array, g: Array, h: Array) -> None:
    for i in range(0, tile.shape[0], ROWS):
        x0, x1, x2 = tile[i], tile[i + 1], tile[i + 2]
        x3, x4, x5 = tile[i + 3], tile[i + 4], tile[i + 5]
        a0, a1, a2, a3, a4, a5 = _six(slope_g, i, tile)
        b0, b1, b2, b3, b4, b5 = _six(slope_h, i, tile)
        for j in range(g.size):
            u0, u1, u2, u3, u4, u5 = x0[j], x1[j], x2[j], x3[j], x4[j], x5[j]
            sum_g = g[j] + ((a0 * u0 + a1 * u1) + (a2 * u2 + a3 * u3) + (a4 * u4 + a5 * u5))
            sum_h = h[j] + ((b0 * u0 + b1 * u1) + (b2 * u2 + b3 * u3) + (b4 * u4 + b5 * u5))
            g[j] = sum_g
            h[j] = sum_h


@inlined
def _backward_one(tile: Array, slope: Array, g: Array) -> None:
    for i in range(0, tile.shape[0], ROWS):
        x0, x1, x2 = tile[i], tile[i + 1], tile[i + 2]
        x3, x4, x5 = tile[i + 3], tile[i + 4], tile[i + 5]
        a0, a1, a2, a3, a4, a5 = _six(slope, i, tile)
        for j in range(g.size):
            g[j] += (a0 * x0[j] + a1 * x1[j]) + (a2 * x2[j] + a3 * x3[j]) + (a4 * x4[j] + a5 * x5[j])


@inlined
def _six(slope, i, tile):
    t = tile.dtype.type
    return (
        t(slope[i]), t(slope[i + 1]), t(slope[i + 2]), t(slope[i + 3]), t(slope[i + 4]), t(slope[i + 5])
    )  # fmt: skip


def _backward_squares(rows, space, start, curvature):
    for c in range(space.tile.shape[0]):
        for i in range(space.tile.shape[1]):
            row, shift = space.tile[c, i], rows.reference[c * space.tile.shape[2] :]
            for j in range(min(row.size, shift.size)):
                row[j] += row.dtype.type(shift[j])  # squares do not cancel: of the features as they are
            for j in range(row.size):
                row[j] *= row[j]
    _add_product(space.tile, curvature, space.G)


def _backward_gram(rows, space, square, start, factor):
    scaled = np.empty((square.G.shape[1], factor.size))
    for j in range(scaled.shape[0]):
        column, tile = scaled[j], space.tile[j // space.tile.shape[2]]
        for i in range(column.size):
            column[i] = factor[i] * tile[i, j % tile.shape[1]]
    _add_product(space.tile, scaled, square.G)


register(
    Storage(DenseRows, _Workspace, _workspace, _size, _forward, _backward, _backward_squares, _backward_gram, _flush)
)
