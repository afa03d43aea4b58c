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
        values = np.union1d(self.values, other.values)
        weight = np.zeros(len(values))
        weight[np.searchsorted(values, self.values)] += self.weight
        weight[np.searchsorted(values, other.values)] += other.weight
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

    def names_out(self) -> list[str]:
        """Names of the model's columns, such as "age" and "region=north"."""
        names = [str(self.names[j]) if self.names else f"x{j}" for j in range(self.numeric + len(self.levels))]
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
            No rows, a row that cannot be used, or no weight at all.
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
        # The mean of a level's column; sums of weights are rounded, and a share above 1 would have no variance.
        share = [np.minimum(counts.weight / moments.weight, 1.0) for counts in described.levels]
        labels = described.labels
        return cls(
            described.rows,
            Features(described.n_features, tuple(counts.values for counts in described.levels), described.names),
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
        y = y.astype(self.classes.dtype) if y.dtype.kind == "O" else y
        index = np.searchsorted(self.classes, y)
        unknown = np.flatnonzero(self.classes[np.minimum(index, len(self.classes) - 1)] != y)
        if unknown.size:
            row = int(unknown[0])
            raise DataError(f"row {row} has the label {y.tolist()[row]!r}; the classes are {self.classes.tolist()}")
        return index

    def first_rows(self) -> Iterator[int]:
        """Global number of each block's first row, in block order."""
        return accumulate(self.block_rows[:-1], initial=0)
