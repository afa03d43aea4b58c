"""What a pass needs of the way rows are stored. Each storage (`dense`, `csr`) supplies these products once.

The class of the rows tells the compiler which functions to use, so that a pass is written once, in `passes`, and
compiled for each storage apart.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from collections.abc import Callable
from typing import NamedTuple, NoReturn

from numba.extending import overload

from .compiled import INSIDE


class Storage(NamedTuple):
    """Functions of one kind of rows, in the part of Python that Numba compiles.

    Parameters
    ----------
    rows : type
        Named tuple of the rows' arrays; `y`, `weight` and `offset` among them.
    space : type
        Named tuple of a pass' scratch arrays.
    workspace : (rows, W, sums) -> space
        Scratch for products with coefficients W (outputs, p + 1), and for `sums` rows of sums of length p + 1.
    size : (space) -> int
        Rows of a tile.
    forward : (rows, space, start, eta)
        eta (outputs, size) += W x, which is without the intercepts, for the tile of rows from `start` on.
    backward : (rows, space, start, slope)
        Sums += slope [x, 1] for the same tile, slope (sums, size).
    backward_squares : (rows, space, start, curvature)
        Sums += curvature [x, 1]**2, elementwise. May destroy the tile.
    backward_gram : (rows, space, square, start, factor)
        Sums of the workspace `square`, (p + 1, p + 1), += factor [x, 1] [x, 1]', factor (1, size), for the tile that
        was read into `space`: those on and above the diagonal but for the last column, and the last row; others as the
        storage likes.
    flush : (space, total, last)
        Move the sums so far into the float64 `total`; may wait for the `last` call.
    """

    rows: type
    space: type
    workspace: Callable
    size: Callable
    forward: Callable
    backward: Callable
    backward_squares: Callable
    backward_gram: Callable
    flush: Callable


STORAGES: dict[type, Storage] = {}


def register(storage: Storage) -> None:
    """Make a storage known to the passes."""
    STORAGES[storage.rows] = STORAGES[storage.space] = storage


# To Python these are stubs; in compiled code each is the function of the storage at hand.


def _compiled_only() -> NoReturn:
    raise TypeError("call it from compiled code")


def workspace(rows, W, sums):
    _compiled_only()


@overload(workspace, jit_options=INSIDE)
def _workspace(rows, W, sums):
    return STORAGES[rows.instance_class].workspace


def size(space):
    _compiled_only()


@overload(size, jit_options=INSIDE)
def _size(space):
    return STORAGES[space.instance_class].size


def forward(rows, space, start, eta):
    _compiled_only()


@overload(forward, jit_options=INSIDE)
def _forward(rows, space, start, eta):
    return STORAGES[rows.instance_class].forward


def backward(rows, space, start, slope):
    _compiled_only()


@overload(backward, jit_options=INSIDE)
def _backward(rows, space, start, slope):
    return STORAGES[rows.instance_class].backward


def backward_squares(rows, space, start, curvature):
    _compiled_only()


@overload(backward_squares, jit_options=INSIDE)
def _backward_squares(rows, space, start, curvature):
    return STORAGES[rows.instance_class].backward_squares


def backward_gram(rows, space, square, start, factor):
    _compiled_only()


@overload(backward_gram, jit_options=INSIDE)
def _backward_gram(rows, space, square, start, factor):
    return STORAGES[rows.instance_class].backward_gram


def flush(space, total, last):
    _compiled_only()


@overload(flush, jit_options=INSIDE)
def _flush(space, total, last):
    return STORAGES[space.instance_class].flush
