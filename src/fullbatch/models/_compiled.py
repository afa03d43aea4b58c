"""The compiled passes over a block, and the rows as they take them: what answers for all but small data."""

import logging
from typing import Any

import numpy as np
import numpy.typing as npt
from numba.core import event

from ..kernels import passes
from ..kernels.csr import SparseRows, scratch
from ..kernels.dense import DenseRows, TiledRows, dense_rows
from ..kernels.gram import FUSED_COLUMNS, grams
from ..kernels.mixed import MixedRows
from ..kernels.moments import csr_moments, dense_moments
from ..kernels.passes import curvatures, diagonal, gram, hess_vec
from ..protocols.rows import is_sparse
from ..protocols.sampling import Draw
from .describe import read_only

# Told, at the level INFO, of each kernel that is about to be compiled.
logger = logging.getLogger("fullbatch.compile")

__all__ = ["FUSED_COLUMNS", "csr_moments", "curvatures", "dense_moments", "diagonal", "gram", "grams", "hess_vec"]

Array = npt.NDArray[Any]
CompiledRows = SparseRows | DenseRows | TiledRows | MixedRows

# What the kernels take for no draws.
_EVERY_ROW = read_only(np.zeros((0, 4), np.int64))


def rows_of(
    X: Any,
    codes: Array | None,
    columns: int,
    reference: Array,
    y: Array,
    weight: Array,
    offset: Array,
    precision: str,
    outputs: int,
) -> CompiledRows:
    """The rows as the kernels take them.

    Parameters
    ----------
    X : (n, p) array or CSR array
        Features as stored.
    codes : (n, q) int32 array or None
        Of categorical columns: the numbers of the rows' levels among all levels.
    columns : int
        Of the model.
    reference : (p,) or (0,) array
        What is subtracted from each column; empty for nothing.
    y : (n,) float64 array
        Targets or class indices.
    weight, offset : (n,) or (0,) float64 arrays
        Empty for 1, and for 0.
    precision : {"float32", "float64"}
        Of the products.
    outputs : int
        Linear predictors.
    """
    if is_sparse(X):
        data, indices, indptr = (read_only(part) for part in (X.data, X.indices, X.indptr))
        return SparseRows(data, indices, indptr, y, weight, offset, np.empty(0))
    if codes is not None:
        return MixedRows(_as_stored(X), read_only(codes), y, weight, offset)
    return dense_rows(_as_stored(X), read_only(reference.astype(precision)), y, weight, offset, precision, outputs)


def _as_stored(X: Array) -> Array:
    """A read-only view in C or Fortran order; other strides are copied."""
    if X.flags.f_contiguous and not X.flags.c_contiguous:
        return read_only(X.T).T
    return read_only(X)


def loss_grad(
    loss: Any, rows: CompiledRows, models: int, W: Array, draws: tuple[Draw, ...], first_row: int
) -> tuple[Array, Array, Array, Array]:
    """Loss and gradient of several models by one read of the rows, see `kernels.passes.loss_grad`."""
    codes = read_only(np.array([draw.code for draw in draws], np.int64)) if draws else _EVERY_ROW
    answer: tuple[Array, Array, Array, Array] = passes.loss_grad(
        loss, _with_scratch(rows, W), models, W, codes, first_row
    )
    return answer


def loss_grad_of_classes(
    loss: Any, rows: CompiledRows, W: Array, classes: Array, factors: Array
) -> tuple[Array, Array, Array]:
    """Loss and gradient of models of one class against the rest, see `kernels.passes.loss_grad_of_classes`: of each the
    same bits, however many others are asked for.
    """
    models = len(W)
    if models == 1 and isinstance(rows, SparseRows | MixedRows):  # which add in another order for one than for several
        W, classes, factors = (np.concatenate((one, one)) for one in (W, classes, factors))
    classes, factors = read_only(classes), read_only(factors)
    value, grad, squares = passes.loss_grad_of_classes(loss, _with_scratch(rows, W), read_only(W), classes, factors)
    return value[:models], grad[:models], squares[:models]


def _with_scratch(rows: CompiledRows, W: Array) -> CompiledRows:
    """The rows, sparse ones with this thread's scratch for a pass at W."""
    return rows._replace(scratch=scratch(W)) if isinstance(rows, SparseRows) else rows


class _Compiling(event.Listener):  # type: ignore[misc]
    """Tells of kernels that are not in the cache. Numba compiles one at a time, and what it calls within."""

    _depth = 0

    def on_start(self, event: Any) -> None:
        kernel = event.data["dispatcher"].py_func
        if self._depth == 0 and kernel.__module__.startswith(f"{passes.__package__}."):
            kinds = [one.instance_class.__name__ for one in event.data["args"] if hasattr(one, "instance_class")]
            of = f" for {', '.join(kinds)}" if kinds else ""
            logger.info("compiling %s%s, once on this machine: some seconds", kernel.__name__, of)
        self._depth += 1

    def on_end(self, event: Any) -> None:
        self._depth -= 1


event.register("numba:compile", _Compiling())
