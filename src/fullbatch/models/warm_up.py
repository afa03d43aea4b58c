"""Compiles, ahead of any data, what fits of linear models run."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ..kernels.losses import LOSSES
from ..protocols.requests import Curvature, HessVec, Request, ValueGrad
from ..protocols.rows import Category, Rows
from ..protocols.schema import Schema
from ._linear_block import LinearBlock
from .linear import Linear

# Kinds of rows that sources give: dense ones in C order, read where they are or copied into tiles, bytes of more than a
# few classes, CSR with 32-bit indices, dense beside categorical columns.
STORAGES = (
    *("float32", "float64", "uint8", "classes uint8", "tiled float32", "tiled uint8"),
    *("csr float32", "csr float64", "mixed float32", "mixed float64"),
)

# Enough for a vector of any type: shorter rows are copied into tiles.
_COLUMNS = 16


def warm_up(losses: Sequence[str] = (), storages: Sequence[str] = STORAGES) -> Iterator[tuple[str, str, float]]:
    """Compile the passes of losses over kinds of rows into the cache, one pair after another.

    Numba compiles one function at a time, whatever the number of threads. What the cache holds is only loaded.

    Parameters
    ----------
    losses : sequence of str
        Names in `fullbatch.kernels.losses.LOSSES`; default: one of each class.
    storages : sequence of str
        Names in `STORAGES`.

    Yields
    ------
    loss, storage : str
    seconds : float
        That this pair took.
    """
    for loss in losses or _one_of_each_class():
        for storage in storages:
            if storage.startswith("classes") and not LOSSES[loss].per_class:
                continue
            start = time.perf_counter()
            _run(loss, storage)
            yield loss, storage, time.perf_counter() - start


def _one_of_each_class() -> list[str]:
    """Losses whose kernels are all there are: families with unusual links share theirs."""
    first: dict[type, str] = {}
    for name, loss in LOSSES.items():
        first.setdefault(type(loss.kind()), name)
    return list(first.values())


def _run(loss: str, storage: str) -> None:
    block = block_of(loss, storage)
    theta = np.zeros(block.parameters.size)
    requests: list[Request] = [ValueGrad(theta), HessVec(theta, theta)]
    requests += [Curvature(theta, form) for form in ("diagonal", "gram", "rows")]
    for request in requests:
        block.evaluate(request)
    if loss == "squared_hinge":  # whose models of several classes share reads
        list(block.of_classes(theta[None], [0], np.ones(1)))


def block_of(loss: str, storage: str) -> LinearBlock:
    """A few rows in a kind of storage."""
    model, rows = Linear(loss, passes="compiled"), _rows(storage, LOSSES[loss].labels)
    return model.build(rows, Schema.of(model.describe(rows, "no data")), 0)


def _rows(storage: str, labels: bool) -> Rows:
    kind, _, dtype = storage.rpartition(" ")
    X: Any = np.ones((4 if kind == "classes" else 2, _COLUMNS), dtype)
    if kind != "tiled":
        X[0] = 0  # columns of ones alone would be read less their means, from a tile
    count = np.arange(len(X)) + 1
    y: Any = count if labels else count / len(X)  # targets that every loss takes
    if kind == "csr":
        from scipy.sparse import csr_array

        return Rows(csr_array(X), y)
    categories = (Category(np.zeros(2, np.int32), np.array(["a"])),) if kind == "mixed" else ()
    return Rows(X, y, categories=categories)
