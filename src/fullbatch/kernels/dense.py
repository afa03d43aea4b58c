"""Products with dense rows: features are read from memory once per pass.

The forward product of a tile of rows, the pointwise loss and the backward product follow one another while the tile is
in cache. Rows are read as they are stored, bytes become numbers in registers (`DenseRows`) or, for several outputs,
in a tile that the forward product fills (`ByteRows`); where they are in column order, too short for a vector, or less a
reference, each tile is copied into rows first (`TiledRows`). The products themselves are those of `_tiles`.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba.extending import overload

from ._storage import STORAGES, Storage, register
from ._tiles import (
    Workspace,
    address_ahead,
    backward_gram_rows,
    backward_rows,
    backward_squares_rows,
    flush,
    forward_bytes,
    forward_tile,
    lanes_of,
    make_workspace,
    size_of,
)
from .compiled import INSIDE, VECTOR_BYTES

Array = npt.NDArray[Any]

# With so many outputs, bytes become numbers once rather than in each inner loop.
SEVERAL_OUTPUTS = 4


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


class ByteRows(TiledRows):
    """C-ordered rows of bytes, no shorter than a vector and less nothing: the forward product copies them itself."""


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
        Linear predictors: with several, bytes become numbers once rather than in each inner loop.
    """
    as_stored = X.flags.c_contiguous and X.shape[1] >= VECTOR_BYTES // np.dtype(precision).itemsize
    if not as_stored or reference.size or X.dtype not in (np.dtype(precision), np.uint8, np.int8):
        return TiledRows(X, reference, y, weight, offset)
    form = DenseRows if X.dtype == precision or outputs < SEVERAL_OUTPUTS else ByteRows
    return form(X, reference, y, weight, offset)


# --- rows that are read where they are ----------------------------------------------------------------------------


def _workspace(rows, W, sums):
    return make_workspace(W, sums, 0, rows.X.shape[1] * rows.X.itemsize)


def _forward(rows, space, start, eta):
    forward_tile(rows.X, start, rows.y.size - 1, space.coefs, eta, space, address_ahead(rows, space, start, eta, 0))


def _backward(rows, space, start, slope):
    backward_rows(rows.X, start, rows.y.size - 1, space, slope, address_ahead(rows, space, start, slope, 1))


def _backward_squares(rows, space, start, curvature):
    backward_squares_rows(rows.X, start, rows.y.size - 1, space, curvature)


def _backward_gram(rows, space, square, start, factor):
    ahead = address_ahead(rows, square, start, factor, 1)
    backward_gram_rows(rows.X, start, rows.y.size - 1, square, factor, ahead)


register(
    Storage(DenseRows, Workspace, _workspace, size_of, _forward, _backward, _backward_squares, _backward_gram, flush)
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
    return make_workspace(W, sums, max(rows.X.shape[1], lanes_of(W)), 0)


def _tiled_forward(rows, space, start, eta):
    _copy_features(rows.X, rows.reference, start, space.tile)
    forward_tile(space.tile, 0, space.tile.shape[0] - 1, space.coefs, eta, space, 0)


def _tiled_backward(rows, space, start, slope):
    backward_rows(space.tile, 0, space.tile.shape[0] - 1, space, slope, 0)


def _tiled_backward_squares(rows, space, start, curvature):
    for i in range(space.tile.shape[0]):
        for j in range(rows.reference.size):  # squares do not cancel: of the features as they are
            space.tile[i, j] += space.tile.dtype.type(rows.reference[j])
    backward_squares_rows(space.tile, 0, space.tile.shape[0] - 1, space, curvature)


def _tiled_backward_gram(rows, space, square, start, factor):
    backward_gram_rows(space.tile, 0, space.tile.shape[0] - 1, square, factor, 0)


register(
    Storage(
        TiledRows,
        Workspace,
        _tiled_workspace,
        size_of,
        _tiled_forward,
        _tiled_backward,
        _tiled_backward_squares,
        _tiled_backward_gram,
        flush,
    )
)


# --- rows of bytes ------------------------------------------------------------------------------------------------


def _byte_workspace(rows, W, sums):
    return make_workspace(W, sums, rows.X.shape[1], rows.X.shape[1])


def _byte_forward(rows, space, start, eta):
    forward_bytes(rows.X, start, rows.y.size - 1, space.coefs, eta, space, address_ahead(rows, space, start, eta, 0))


def _byte_backward(rows, space, start, slope):
    backward_rows(space.tile, 0, space.tile.shape[0] - 1, space, slope, address_ahead(rows, space, start, slope, 1))


register(
    STORAGES[TiledRows]._replace(
        rows=ByteRows, workspace=_byte_workspace, forward=_byte_forward, backward=_byte_backward
    )
)
