"""Several targets of a row: a matrix beside rows in memory, or columns of a table by their names."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.arrays import ArraySource
from ..data.arrow import as_table
from ..data.beside import check_indexes, listed_names, only, values_of
from ..data.given import names_of_matrix, refuse_beside_sources
from ..data.kinds import Kind, kind_of
from ..errors import DataError
from ..models.describe import as_numbers, not_finite
from ..protocols.rows import Rows, is_sparse

Array = npt.NDArray[Any]

_ELSEWHERE = (Kind.SOURCES, Kind.DASK_FRAME, Kind.DASK_ARRAY, Kind.RAY_DATASET)


def named_targets(X: Any, y: Any) -> tuple[Any, Any]:
    """X and y; where y is a list of names of columns, these columns as a table, and X without them.

    Raises
    ------
    DataError
        There are no such columns, or a name is there twice.
    """
    names, kind = listed_names(y), kind_of(X)
    if not names or kind is Kind.LAZY:
        return X, y
    if kind is Kind.SOURCES:
        refuse_beside_sources(y)
    if kind is Kind.RAY_DATASET:
        raise DataError("several targets must be in memory, X is a Ray Dataset: fit each target alone, y='name'")
    if kind not in (Kind.TABLE, Kind.DASK_FRAME) and not (kind is Kind.NUMBERS_TABLE and names_of_matrix(X)):
        raise DataError(
            f"y={names} names columns, and X ({type(X).__name__}) has no names of columns: give a data frame, or y as "
            "an array"
        )
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"y names the column {twice[0]!r} twice: name each target once")
    y = only(X, names, "the table")
    if hasattr(X, "iloc"):  # of pandas and Dask
        return X.drop(columns=names), y
    return (X.drop(names) if hasattr(X, "lazy") else as_table(X).drop_columns(names)), y


def matrix_of_targets(y: Any) -> Array:
    """(n, t) float64 array of targets that are given as an array, lists, or a table.

    Raises
    ------
    DataError
        They are not numbers, or not finite: says which row and column.
    """
    if hasattr(y, "__dask_graph__"):
        y = y.compute()
    if is_sparse(y):
        raise DataError("target y is a sparse matrix, which must be dense: give y.toarray()")
    names = list(getattr(y, "column_names", getattr(y, "columns", ())))
    if names:
        columns = [y.iloc[:, j] for j in range(len(names))] if hasattr(y, "iloc") else as_table(y).columns
    else:
        try:
            values = values_of(y)
        except ValueError:
            raise DataError("the rows of target y are not of one length: give a number for each target") from None
        if values.ndim != 2:
            raise DataError(f"target y has shape {values.shape}: give a row of targets for each row of X")
        columns, names = list(values.T), list(range(values.shape[1]))
    matrix = np.column_stack([_numbers(*one) for one in zip(columns, names, strict=True)])
    if (wrong := np.argwhere(~np.isfinite(matrix))).size:
        row, place = (int(one) for one in wrong[0])
        what = not_finite(f"target y, column {names[place]!r},", matrix[row, place])
        raise DataError(f"row {row}: {what}")
    return matrix


def _numbers(column: Any, name: Any) -> Array:
    """A column as float64; what is missing as NaN."""
    values = values_of(column)
    if values.dtype.kind == "O":  # NumPy knows no NA of pandas
        values = np.array([np.nan if type(one).__name__ == "NAType" else one for one in values], object)
    return as_numbers(values, f"column {name!r} of target y")


def split_targets(X: Any, y: Any) -> tuple[Any, Any, Array | None]:
    """X without its targets, y, and the matrix of several targets: y is then the numbers of its rows.

    Parameters
    ----------
    X, y : as for `fit`
        y may be a matrix, a frame, or a list of names of columns of X.

    Raises
    ------
    DataError
        There are several targets where there can be one only.
    """
    names = listed_names(y)
    if not names:
        one = y is None or isinstance(y, str) or hasattr(y, "__dask_graph__")
        shape = () if one else getattr(y, "shape", None) or np.asarray(y, object).shape
        if len(shape) != 2 or shape[1] == 1:
            return X, y, None
    if kind_of(X) in _ELSEWHERE:
        raise DataError(
            f"several targets must be in memory beside rows in memory, X is a {type(X).__name__}: give arrays or a "
            "frame, or fit each target alone"
        )
    X, y = named_targets(X, y)
    check_indexes(X, {"target": y})
    several = matrix_of_targets(y)
    if several.shape[1] == 1:
        return X, several[:, 0], None
    return X, np.arange(len(several)), np.ascontiguousarray(several)


def rows_of_targets(rows: Rows, several: Array) -> Rows:
    """Rows with their targets in place of the numbers of these."""
    assert rows.y is not None
    return replace(rows, y=several[np.asarray(rows.y).astype(np.intp)])


def sources_with_targets(sources: list[Any], several: Array) -> list[Any]:
    """Sources of rows in memory, with their targets in place of the numbers of these."""
    return [
        replace(source, y=several[source.y]) if isinstance(source, ArraySource) else _WithTargets(source, several)
        for source in sources
    ]


@dataclass(frozen=True, eq=False)
class _WithTargets:
    """A source whose rows have several targets.

    Parameters
    ----------
    source : Source
        Whose targets are the numbers of the rows of `several`.
    several : (n, targets) float64 array
        Of all rows.
    """

    source: Any
    several: Array

    def read(self) -> Rows:
        return rows_of_targets(self.source.read(), self.several)

    def __str__(self) -> str:
        return str(self.source)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "source":
            raise AttributeError(name)
        return getattr(self.source, name)
