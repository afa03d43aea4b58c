"""What is known of the data before any block is built: descriptions of blocks add up to one schema."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import DataError

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Problem:
    """The first row that cannot be used.

    Parameters
    ----------
    row : int
        Row number: within the block at first, over the whole data once descriptions were added.
    column : int or None
        Feature column; None when the target or the weight is at fault.
    what : str
        What is wrong, in words.
    source : str
        Where the row comes from.
    source_row : int
        Row number within that source.
    """

    row: int
    column: int | None
    what: str
    source: str
    source_row: int

    def __str__(self) -> str:
        where = f"row {self.row}" + ("" if self.column is None else f", column {self.column}")
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
    classes : array or None
        Sorted distinct labels; None when targets are numbers.
    class_weight : (K,) float64 array or None
        Sum of the sample weights of each class.
    problem : Problem or None
        First row that cannot be used.
    """

    rows: tuple[int, ...]
    n_features: int
    moments: Moments
    source: str
    classes: Array | None = None
    class_weight: Array | None = None
    problem: Problem | None = None

    def same_as(self, other: "Description") -> bool:
        """Whether both tell of the same data, to the bit."""
        mine, others = ((one.moments.mean, one.moments.squares, one.classes, one.class_weight) for one in (self, other))
        return self.rows == other.rows and all(
            np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in zip(mine, others, strict=True)
        )

    def __add__(self, other: "Description") -> "Description":
        if self.n_features != other.n_features:
            raise DataError(
                f"{self.source} has {self.n_features} columns and {other.source} has {other.n_features}: "
                "every block needs the same columns"
            )
        classes, class_weight = _merge_classes(self, other)
        problem = self.problem
        if problem is None and other.problem is not None:
            problem = replace(other.problem, row=other.problem.row + sum(self.rows))
        return Description(
            self.rows + other.rows,
            self.n_features,
            self.moments + other.moments,
            self.source,
            classes,
            class_weight,
            problem,
        )


def _merge_classes(left: Description, right: Description) -> tuple[Array | None, Array | None]:
    if left.classes is None or right.classes is None:
        return None, None
    # An empty block has no labels and so no type of label: it must not turn the other's numbers into text.
    if not len(left.classes):
        return right.classes, right.class_weight
    if not len(right.classes):
        return left.classes, left.class_weight
    if (left.classes.dtype.kind in "US") != (right.classes.dtype.kind in "US"):
        raise DataError(
            f"labels of {left.source} are like {left.classes.tolist()[0]!r} and those of {right.source} like "
            f"{right.classes.tolist()[0]!r}: use text or numbers for all of them"
        )
    classes = np.union1d(left.classes, right.classes)
    weight = np.zeros(len(classes))
    assert left.class_weight is not None
    assert right.class_weight is not None
    weight[np.searchsorted(classes, left.classes)] += left.class_weight
    weight[np.searchsorted(classes, right.classes)] += right.class_weight
    return classes, weight


@dataclass(frozen=True, slots=True, eq=False)
class Schema:
    """What every block is built with: the same whoever computes, kept to rebuild a lost block.

    Parameters
    ----------
    block_rows : tuple of int
        Rows of each block, in block order.
    n_features : int
        Columns of X.
    weight : float
        Sum of the sample weights.
    mean, variance : (n_features,) float64 array
        Weighted column moments (population variance).
    classes : array or None
        Sorted distinct labels over all blocks; None when targets are numbers.
    class_weight : (K,) float64 array or None
        Sum of the sample weights of each class.
    """

    block_rows: tuple[int, ...]
    n_features: int
    weight: float
    mean: Array
    variance: Array
    classes: Array | None = None
    class_weight: Array | None = None

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
        if described.n_features == 0:
            raise DataError(f"no columns: 0 feature(s) in {described.source}, at least one is needed")
        moments = described.moments
        if not np.isfinite(moments.weight):
            raise DataError("the sample weights sum to infinity: make them smaller")
        if moments.weight <= 0:
            raise DataError("the sample weights sum to zero: at least one row needs a positive weight")
        return cls(
            described.rows,
            described.n_features,
            moments.weight,
            moments.mean,
            moments.squares / moments.weight,
            described.classes,
            described.class_weight,
        )

    @property
    def n_rows(self) -> int:
        """Rows of all blocks."""
        return sum(self.block_rows)

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
