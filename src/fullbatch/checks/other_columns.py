"""Sums by the values of a column that a model has not: numbers in cells, and whatever else by level."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.beside import values_of
from ..errors import DataError
from .histogram import Histogram
from .sums import means_of, parts_of

Array = npt.NDArray[Any]

# Distinct texts of a column: sums are kept for each.
MOST_LEVELS = 10_000


def column_values(values: Any, name: str, n: int, stayed: Array | None, where: Callable[[int], str]) -> Array:
    """Values of a column as float64 numbers, NaN where they are missing, or as texts, None where they are.

    The arguments are those of `fullbatch.inference.clusters.ids_of`.

    Raises
    ------
    DataError
        They are dates, or of several types.
    """
    array = values_of(values)
    if array.shape != (n,):
        raise DataError(
            f"column {name!r} has the shape {array.shape}, and there are {n} rows: rename columns of one name"
        )
    if stayed is not None:
        array = array[stayed]
    if array.dtype.kind in "biuf":
        return array.astype(np.float64)
    if array.dtype.kind in "mM":
        raise DataError(f"column {name!r} has dates: make numbers or texts of them, such as the year")
    present = np.array([not _is_missing(one) for one in array.tolist()], bool)
    texts = np.array([isinstance(one, str) for one in array.tolist()], bool)
    if (texts == present).all() and present.any():
        found = np.full(len(array), None, object)
        found[present] = array[present]
        return found
    try:
        if texts.any():
            raise TypeError
        numbers = np.full(len(array), np.nan)
        numbers[present] = array[present].astype(np.float64)
    except (TypeError, ValueError):
        row = int(np.flatnonzero(present & ~texts)[0])
        raise DataError(
            f"column {name!r}: {where(row)} has {array[row]!r} ({type(array[row]).__name__}), and a column is of "
            "numbers or of texts: make it one of these"
        ) from None
    return numbers


def _is_missing(one: Any) -> bool:
    return one is None or type(one).__name__ in ("NAType", "NaTType") or (isinstance(one, float) and one != one)


@dataclass(frozen=True, eq=False)
class ByValue:
    """Sums by value; adds up.

    Parameters
    ----------
    name : str
        Of the column.
    numbers : Histogram
        By number.
    levels : (L,) array of str
        Texts, sorted.
    sums : (L, k) array
        Of each.
    missing : (k,) array
        Of the rows that have no value.
    """

    name: str
    numbers: Histogram
    levels: Array
    sums: Array
    missing: Array

    @classmethod
    def of(cls, name: str, values: Array, sums: Array, most: int) -> "ByValue":
        """Of rows with these values, as `column_values` has them, and what is summed over them, (n, k)."""
        none = np.zeros((0, sums.shape[1]))
        nothing = Histogram.of(np.zeros(0), none, most)
        if values.dtype.kind == "f":
            there = ~np.isnan(values)
            numbers = Histogram.of(values[there], sums[there], most)
            return cls(name, numbers, np.zeros(0, "U1"), none, sums[~there].sum(axis=0))
        there = np.array([one is not None for one in values], bool)
        made = cls(name, nothing, np.zeros(0, "U1"), none, sums[~there].sum(axis=0))
        return made._with(values[there].astype(str), sums[there])

    def _with(self, levels: Array, sums: Array) -> "ByValue":
        """With more rows that have these levels."""
        found, place = np.unique(np.concatenate((self.levels, levels)), return_inverse=True)
        if len(found) > MOST_LEVELS:
            raise DataError(
                f"column {self.name!r} has more than {MOST_LEVELS:,} distinct texts: group them; of numbers in a CSV "
                f"file say types={{{self.name!r}: 'double'}} to file_sources"
            )
        together = np.concatenate((self.sums, sums))
        added = [np.bincount(place.ravel(), of_rows, minlength=len(found)) for of_rows in together.T]
        return replace(self, levels=found, sums=np.column_stack(added))

    def __add__(self, other: "ByValue") -> "ByValue":
        both = replace(self, numbers=self.numbers + other.numbers, missing=self.missing + other.missing)
        both = both._with(other.levels, other.sums)
        if len(both.levels) and len(both.numbers.keys):
            raise DataError(f"column {self.name!r} has texts in some blocks and numbers in others: make them one type")
        return both

    def table(self, bins: int, k: int) -> dict[str, Any]:
        """Actual against expected of class k: by parts of numbers, or by level; of missing values in the last row."""
        last = means_of(self.missing[None], k) if self.missing[0] > 0 else None
        if not len(self.numbers.keys):
            there = np.flatnonzero(self.sums[:, 0] > 0)
            names: list[Any] = self.levels[there].tolist()
            made = means_of(self.sums[there], k)
            if last is None:
                return {"name": names, **made}
            return {"name": [*names, None], **{one: np.append(made[one], last[one]) for one in made}}
        distinct = len(self.numbers.keys) <= bins
        part = np.arange(len(self.numbers.keys)) if distinct else self.numbers.parts(bins)
        made = parts_of(self.numbers, part, k)
        if last is None:
            return made
        ends = dict.fromkeys(("lower", "upper"), np.array([np.nan]))
        return {one: np.append(made[one], {**ends, **last}[one]) for one in made}
