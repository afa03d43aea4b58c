"""Medians of columns of rows that are spread over blocks, exact: by tables of how much weight ranges of numbers have.

The numbers in the middle are searched for among all in their order: first by their leading bits, then among those
that share these. Tables of blocks add up. Two reads find the medians, three where very many numbers share their bits.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt

from ..protocols.rows import Rows, is_sparse

Array = npt.NDArray[Any]

# Bits that a read looks past: at first those behind sign, exponent and a thousandth of the power of two; none as soon
# as few numbers are left.
_SHIFTS, _FEW = (42, 21, 0), 2**16


def columns_of(rows: Rows, places: Sequence[int]) -> Iterator[tuple[Array, Array]]:
    """Finite numbers of some columns of positive weight, and their weights; zeros of sparse rows are one number."""
    X, n = rows.X, rows.X.shape[0]
    own = np.ones(n) if rows.weight is None else np.asarray(rows.weight, np.float64)
    own = np.where(np.isfinite(own) & (own > 0), own, 0.0)  # placing the blocks tells of others
    by_column = X.tocsc() if is_sparse(X) else None
    for place in places:
        if by_column is None:
            values, weights = X[:, place].astype(np.float64), own
        else:
            part = slice(by_column.indptr[place], by_column.indptr[place + 1])
            stored = own[by_column.indices[part]]
            zeros = max(float(own.sum() - stored.sum()), 0.0) if len(stored) < n else 0.0
            values, weights = np.append(by_column.data[part].astype(np.float64), 0.0), np.append(stored, zeros)
        there = np.isfinite(values) & (weights > 0)
        yield values[there] * rows.scale, weights[there]


def medians(sources: Sequence[Any], places: Sequence[int], weight: Array, engine: Any) -> tuple[list[float], int]:
    """Weighted medians of columns of numbers; between two that halve the weight, the number in the middle of them.

    Parameters
    ----------
    sources : sequence of Source
        Missing numbers of theirs are NaN.
    places : sequence of int
        Of the columns.
    weight : (len(places),) array
        Total weight of each column's numbers; positive.
    engine : Engine

    Returns
    -------
    (list of float, int)
        The medians, and how many reads they took.
    """
    below = np.zeros((len(places), 2))  # weight below the ranges of the two numbers in the middle
    task, reads, shifts = _Tabulate(tuple(places), _SHIFTS[0]), 0, list(_SHIFTS)
    while True:
        shift = shifts.pop(0)
        table: _Table = reduce(add, engine.map(task, sources))
        reads += 1
        chosen, left = [], 0.0
        for number, (keys, of_keys, count) in enumerate(table.columns):
            middle = np.zeros(2, np.int64)
            for which in (0, 1):
                first, stop = 0, len(keys)
                if task.among:
                    own = np.flatnonzero(keys >> np.uint64(task.before - shift) == task.among[number][which])
                    first, stop = int(own[0]), int(own[-1]) + 1
                sums = below[number, which] + np.cumsum(of_keys[first:stop])
                half = weight[number] / 2.0
                reached = sums >= half if which == 0 else sums > half
                at = int(np.argmax(reached)) if reached.any() else len(sums) - 1  # sums of fractions are rounded
                middle[which] = first + at
                below[number, which] = sums[at] - of_keys[first + at]
            chosen.append(keys[middle])
            left += float(count[np.unique(middle)].sum())
        if shift == 0:
            return [_number(low) / 2.0 + _number(high) / 2.0 for low, high in chosen], reads
        shifts = shifts if left > _FEW else [0]
        task = _Tabulate(tuple(places), shifts[0], shift, tuple(chosen))


@dataclass(frozen=True, eq=False)
class _Table:
    """Of each column the ranges in which numbers are, in their order, the weight of each, and how many they are."""

    columns: tuple[tuple[Array, Array, Array], ...]

    def __add__(self, other: "_Table") -> "_Table":
        return _Table(
            tuple(
                _counted(*map(np.concatenate, zip(mine, others, strict=True)))
                for mine, others in zip(self.columns, other.columns, strict=True)
            )
        )


def _counted(keys: Array, weight: Array, count: Array) -> tuple[Array, Array, Array]:
    distinct, place = np.unique(keys, return_inverse=True)
    return distinct, np.bincount(place, weight, len(distinct)), np.bincount(place, count, len(distinct))


@dataclass(frozen=True)
class _Tabulate:
    """Makes the table of a block, by the bits before the last `shift`, of numbers whose bits before the last `before`
    are `among` those told of their column.
    """

    places: tuple[int, ...]
    shift: int
    before: int = 64
    among: tuple[Array, ...] = ()

    def __call__(self, index: int, source: Any) -> _Table:
        columns = []
        for number, (values, weights) in enumerate(columns_of(source.read(), self.places)):
            keys = _in_order(values)
            if self.among:
                inside = np.isin(keys >> np.uint64(self.before), self.among[number])
                keys, weights = keys[inside], weights[inside]
            columns.append(_counted(keys >> np.uint64(self.shift), weights, np.ones(len(keys))))
        return _Table(tuple(columns))


_TOP = 1 << 63


def _in_order(values: Array) -> Array:
    """Whole numbers that stand in the order of float64 numbers."""
    bits = (values + 0.0).view(np.uint64)  # no -0.0
    return np.where(bits & np.uint64(_TOP), ~bits, bits | np.uint64(_TOP))


def _number(key: Any) -> float:
    """The inverse of `_in_order`."""
    bits = np.uint64(int(key) ^ _TOP if int(key) & _TOP else ~int(key) & (2 * _TOP - 1))
    return float(bits.view(np.float64))
