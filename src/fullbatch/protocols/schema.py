"""What is known of the data before any block is built: descriptions of blocks add up to one schema."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate, zip_longest
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError

Array = npt.NDArray[Any]

# A column whose spread is less than this share of its mean is constant, but for rounding.
CONSTANT = 1e-13
# More distinct labels, or levels of a column, than these are a mistake.
MOST_LEVELS = 2**20
# Text that nobody called categorical has at most so many levels, or repeats each of them this often.
_FEW_LEVELS, _REPEATED = 50, 2.0
# Whole numbers below this are exact as float64, and no other whole number is rounded to one of them.
EXACT = np.float64(2.0**53)  # NumPy would make a float of Python that of float16


@dataclass(frozen=True, slots=True)
class Problem:
    """The first row that cannot be used.

    Parameters
    ----------
    row : int
        Row number: within the block at first, over the whole data once descriptions were added.
    column : int, str or None
        Number or name of the feature column; None when the target or the weight is at fault.
    what : str
        What is wrong, in words.
    source : str
        Where the row comes from.
    source_row : int
        Row number within that source.
    """

    row: int
    column: int | str | None
    what: str
    source: str
    source_row: int

    def __str__(self) -> str:
        where = f"row {self.row}" + ("" if self.column is None else f", column {self.column!r}")
        return f"{where}: {self.what} (row {self.source_row} of {self.source})"


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Weighted count, mean and sum of squared deviations of each column; adds up by Chan, Golub and LeVeque (1983)."""

    weight: float
    mean: Array
    squares: Array

    def __add__(self, other: "Moments") -> "Moments":
        weight = self.weight + other.weight
        if weight == 0:
            return self
        shift = other.mean - self.mean
        share = other.weight / weight
        return Moments(
            weight,
            self.mean + shift * share,
            self.squares + other.squares + shift**2 * (self.weight * share),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Counts:
    """Distinct labels or levels and the sum of the sample weights of each; adds up to those of all rows.

    Parameters
    ----------
    values : (k,) array
        Sorted.
    weight : (k,) float64 array
        Sum of the sample weights of each.
    name : str
        What they are, for messages: "labels" or "levels of column ...".
    source : str
        Where the first of them were read, for messages.
    """

    values: Array
    weight: Array
    name: str
    source: str

    def __post_init__(self) -> None:
        if len(self.values) > MOST_LEVELS:
            raise DataError(
                f"{len(self.values):,} different {self.name} in {self.source} and before: at most {MOST_LEVELS:,} can "
                "be told apart. Are they ids, or numbers? Leave the column out, or learn numbers as numbers"
            )

    def __add__(self, other: "Counts") -> "Counts":
        # An empty block has no labels and so no type of label: it must not turn the other's numbers into text.
        if not len(self.values):
            return other
        if not len(other.values):
            return self
        if (self.values.dtype.kind in "US") != (other.values.dtype.kind in "US"):
            raise DataError(
                f"{self.name} of {self.source} are like {self.values.tolist()[0]!r} and those of {other.source} like "
                f"{other.values.tolist()[0]!r}: use text or numbers for all of them"
            )
        mine, others = in_one_type([self.values, other.values], self.name)
        values = np.union1d(mine, others)
        weight = np.zeros(len(values))
        weight[np.searchsorted(values, mine)] += self.weight
        weight[np.searchsorted(values, others)] += other.weight
        return Counts(values, weight, self.name, self.source)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """How the columns of the data become the columns of a model: numbers as they are, one column for each level.

    Parameters
    ----------
    numeric : int
        Columns of numbers, which come first.
    levels : tuple of arrays
        Sorted levels of each categorical column.
    names : tuple of str
        Names of the numeric and of the categorical columns; empty where they have none.
    """

    numeric: int
    levels: tuple[Array, ...] = ()
    names: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Columns of the model."""
        return self.numeric + sum(len(levels) for levels in self.levels)

    def column(self, number: int) -> int | str:
        """Name of a column of the data, or its number where it has none."""
        return self.names[number] if self.names else number

    def same_as(self, other: "Features") -> bool:
        """Whether both have the same columns and levels; names are compared where both have them."""
        if self.numeric != other.numeric or len(self.levels) != len(other.levels):
            return False
        named = bool(self.names and other.names)
        same = all(np.array_equal(mine, others) for mine, others in zip(self.levels, other.levels, strict=True))
        return same and (not named or self.names == other.names)

    def name_out(self, number: int) -> str:
        """Name of a column of the model."""
        if number < self.numeric:
            return str(self.names[number]) if self.names else f"x{number}"
        number -= self.numeric
        for column, levels in enumerate(self.levels, self.numeric):
            if number < len(levels):
                return f"{self.names[column] if self.names else f'x{column}'}={levels.tolist()[number]}"
            number -= len(levels)
        raise IndexError(f"there is no column {number}")

    def data_names(self) -> list[str]:
        """Names of the data's columns: x0, x1 and so on where they have none."""
        return [str(self.names[j]) if self.names else f"x{j}" for j in range(self.numeric + len(self.levels))]

    def names_out(self) -> list[str]:
        """Names of the model's columns, such as "age" and "region=north"."""
        names = self.data_names()
        of_levels = zip(names[self.numeric :], self.levels, strict=True)
        return names[: self.numeric] + [f"{name}={level}" for name, levels in of_levels for level in levels.tolist()]


@dataclass(frozen=True, slots=True, eq=False)
class Description:
    """What one set-up read tells of a block, or of neighbouring blocks added up.

    Parameters
    ----------
    rows : tuple of int
        Rows of each block, in block order.
    n_features : int
        Columns of X.
    moments : Moments
        Of the columns of X, weighted.
    source : str
        Source of the first block.
    labels : Counts or None
        Distinct labels; None when targets are numbers.
    problem : Problem or None
        First row that cannot be used.
    levels : tuple of Counts
        Distinct levels of each categorical column.
    names : tuple of str
        Names of the columns, numeric ones first.
    sparse_entries : int or None
        Entries of CSR rows; None for dense ones.
    offset : bool
        Whether any block has an offset.
    target : Moments or None
        Of the targets; None when they are labels, or not all finite.
    null : sums or None
        What the model's null model must know of the rows; adds up.
    guessed : tuple of str
        Categorical columns that are so because they are text.
    """

    rows: tuple[int, ...]
    n_features: int
    moments: Moments
    source: str
    labels: Counts | None = None
    problem: Problem | None = None
    levels: tuple[Counts, ...] = ()
    names: tuple[str, ...] = ()
    sparse_entries: int | None = None
    offset: bool = False
    target: Moments | None = None
    null: Any = None
    guessed: tuple[str, ...] = ()

    def __add__(self, other: "Description") -> "Description":
        self._check_columns(other)
        problem = self.problem
        if problem is None and other.problem is not None:
            problem = replace(other.problem, row=other.problem.row + sum(self.rows))
        return Description(
            self.rows + other.rows,
            self.n_features,
            self.moments + other.moments,
            self.source,
            None if self.labels is None or other.labels is None else self.labels + other.labels,
            problem,
            tuple(mine + others for mine, others in zip(self.levels, other.levels, strict=True)),
            self.names,
            None
            if self.sparse_entries is None or other.sparse_entries is None
            else self.sparse_entries + other.sparse_entries,
            self.offset or other.offset,
            None if self.target is None or other.target is None else self.target + other.target,
            None if self.null is None or other.null is None else self.null + other.null,
            self.guessed,
        )

    def _check_columns(self, other: "Description") -> None:
        if self.n_features != other.n_features or len(self.levels) != len(other.levels):
            mine, others = (one.n_features + len(one.levels) for one in (self, other))
            raise DataError(
                f"{self.source} has {mine} columns and {other.source} has {others}: every block needs the same columns"
            )
        if self.names != other.names:
            mine_too, others_too = next(pair for pair in zip_longest(self.names, other.names) if pair[0] != pair[1])
            raise DataError(
                f"{self.source} has the column {mine_too!r} where {other.source} has {others_too!r}: every block needs "
                "the same columns in the same order"
            )


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """What every block is built with: the same whoever computes, kept to rebuild a lost block.

    Parameters
    ----------
    block_rows : tuple of int
        Rows of each block, in block order.
    features : Features
        How the columns of the data become those of the model.
    weight : float
        Sum of the sample weights.
    mean, variance : (n_features,) float64 array
        Weighted moments of the model's columns (population variance).
    classes : array or None
        Sorted distinct labels over all blocks; None when targets are numbers.
    class_weight : (K,) float64 array or None
        Sum of the sample weights of each class.
    sparse_entries : int or None
        Entries of CSR rows; None for dense ones.
    offset : bool
        Whether rows have an offset.
    target_mean : float or None
        Weighted mean of the targets; None when they are labels.
    null : sums or None
        What the model's null model must know of all rows; None where the classes' weights tell it.
    """

    block_rows: tuple[int, ...]
    features: Features
    weight: float
    mean: Array
    variance: Array
    classes: Array | None = None
    class_weight: Array | None = None
    sparse_entries: int | None = None
    offset: bool = False
    target_mean: float | None = None
    null: Any = None

    @classmethod
    def of(cls, described: Description) -> "Schema":
        """The schema of all blocks' descriptions added up.

        Raises
        ------
        DataError
            No rows, a row that cannot be used, no weight at all, or two columns of one name.
        """
        if described.problem is not None:
            raise DataError(str(described.problem))
        if sum(described.rows) == 0:
            raise DataError(f"no rows: {described.source} and all other sources are empty")
        if described.n_features + len(described.levels) == 0:
            raise DataError(f"no columns: 0 feature(s) in {described.source}, at least one is needed")
        moments = described.moments
        if not np.isfinite(moments.weight):
            raise DataError("the sample weights sum to infinity: make them smaller")
        if moments.weight <= 0:
            raise DataError("the sample weights sum to zero: at least one row needs a positive weight")
        _check_repeated(described)
        features = Features(described.n_features, tuple(counts.values for counts in described.levels), described.names)
        _check_names(features)
        # The mean of a level's column; sums of weights are rounded, and a share above 1 would have no variance.
        share = [np.minimum(counts.weight / moments.weight, 1.0) for counts in described.levels]
        labels = described.labels
        return cls(
            described.rows,
            features,
            moments.weight,
            np.concatenate([np.asarray(moments.mean), *share]),
            np.concatenate([moments.squares / moments.weight, *(mean * (1.0 - mean) for mean in share)]),
            None if labels is None else labels.values,
            None if labels is None else labels.weight,
            described.sparse_entries,
            described.offset,
            None if described.target is None else float(described.target.mean[0]),
            described.null,
        )

    @property
    def n_features(self) -> int:
        """Columns of the model: of X, and one for each level of each categorical column."""
        return self.features.size

    @property
    def n_rows(self) -> int:
        """Rows of all blocks."""
        return sum(self.block_rows)

    @property
    def looked_up(self) -> float:
        """Values of a row, on average, that are found through an index: entries of CSR rows, codes of categories."""
        entries = 0.0 if self.sparse_entries is None else self.sparse_entries / self.n_rows
        return entries + len(self.features.levels)

    @property
    def dense_columns(self) -> int:
        """Columns of which each row has a value."""
        return self.features.numeric if self.sparse_entries is None else 0

    def encode(self, y: Array) -> Array:
        """Targets as models see them: (n,) class indices where there are classes, else `y` itself.

        Raises
        ------
        DataError
            A label is not among the classes: the rows are not those that were described.
        """
        if self.classes is None:
            return y
        y = y.astype(self.classes.dtype) if y.dtype.kind in "OT" else y
        classes, y = in_one_type([self.classes, y], "labels")
        index = np.searchsorted(classes, y)
        unknown = np.flatnonzero(classes[np.minimum(index, len(classes) - 1)] != y)
        if unknown.size:
            row = int(unknown[0])
            raise DataError(f"row {row} has the label {y.tolist()[row]!r}; the classes are {self.classes.tolist()}")
        return index

    def first_rows(self) -> Iterator[int]:
        """Global number of each block's first row, in block order."""
        return accumulate(self.block_rows[:-1], initial=0)


def in_one_type(arrays: list[Array], name: str) -> list[Array]:
    """Arrays of labels or levels in types that NumPy joins and compares without rounding one.

    Parameters
    ----------
    arrays : list of arrays
        Of numbers of any type, or of text.
    name : str
        What they are, for messages.

    Raises
    ------
    DataError
        No type holds all of their numbers.
    """
    filled = [array for array in arrays if array.size]
    if np.result_type(*arrays).kind != "f" or all(array.dtype.kind == "f" for array in filled):
        return arrays
    if any(array.dtype.kind == "f" and not _is_whole(array) for array in filled):
        return arrays  # of fractions: no labels
    for type_ in (np.int64, np.uint64):
        limits = np.iinfo(type_)
        if all(int(array.min()) >= limits.min and int(array.max()) <= limits.max for array in filled):
            return [array.astype(type_) for array in arrays]
    raise DataError(f"{name}: no type of integers holds all of them, from below zero to 2**63 and above: use text")


def _is_whole(values: Array) -> bool:
    """Whether numbers are whole, and so small that each is what it was before it became a floating-point number."""
    return bool(np.all((np.abs(values) < EXACT) & (values == np.floor(values))))


def _check_repeated(described: Description) -> None:
    """Refuse levels that hardly ever repeat, unless they were asked for."""
    rows = sum(described.rows)
    for name, counts in zip(described.names[described.n_features :], described.levels, strict=False):
        levels = len(counts.values)
        if name in described.guessed and levels > _FEW_LEVELS and levels * _REPEATED > rows:
            raise DataError(
                f"{counts.source}: column {name!r} is text with {levels:,} different values in {rows:,} rows, such as "
                f"{counts.values.tolist()[0]!r}: an id? a number? a date? Make numbers of it, or leave it out, "
                f"exclude=[{name!r}]. Where each is a category, ask for it: categorical=[{name!r}] of table_sources "
                "and of the functions for files, or a column of categories in the frame"
            )


def _check_names(features: Features) -> None:
    """Refuse columns of the model of one name: what is said of it by name would be said of one of them."""
    if not any("=" in name for name in features.names):  # as the names of levels, and of indicators of missing values
        return
    seen = set()
    for name in features.names_out():
        if name in seen:
            raise DataError(
                f"two columns of the model would be named {name!r}, as levels (column=level) and indicators of missing "
                "values (column=missing) are: rename one of the columns of the data that they are of"
            )
        seen.add(name)
