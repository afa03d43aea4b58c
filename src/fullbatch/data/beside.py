"""What stands beside features: targets, weights and offsets, as names of columns or as values, paired row by row."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.utils import column_or_1d

from ..errors import DataError
from .arrow import as_table, plain
from .columns import check_there
from .features import refuse_masked

Array = npt.NDArray[Any]

# What callers know them by.
ARGUMENTS = {"target": "y", "weight": "sample_weight", "offset": "offset"}


def names_of(beside: Mapping[str, Any]) -> dict[str, str]:
    """Those that are names of columns, by meaning."""
    return {meaning: given for meaning, given in beside.items() if isinstance(given, str)}


def listed_names(y: Any) -> list[str]:
    """The names of columns that targets are given as, if it is a list of texts, or an index of pandas."""
    is_list = isinstance(y, list | tuple) or hasattr(y, "get_indexer")
    return list(y) if is_list and all(isinstance(name, str) for name in y) else []


def refuse_names(beside: Mapping[str, Any], X: Any) -> None:
    """Refuse names of columns beside what has no names."""
    for meaning, name in names_of(beside).items():
        raise ValueError(
            f"{ARGUMENTS[meaning]}={name!r} names a column, and X ({type(X).__name__}) has no names of columns: give a "
            f"data frame, or {ARGUMENTS[meaning]} as an array"
        )


def values_of(column: Any) -> Array:
    """Targets, labels or weights as an array in which they are what they were, whatever they were given as.

    NumPy makes texts of numbers, None and NaN that stand in a list beside texts. They stay objects here, as they are in
    an array of objects or in a series, so that they are told.
    """
    refuse_masked("the targets, weights or offsets", column)
    if isinstance(column, pa.Array):
        column = pa.chunked_array([column])
    if isinstance(column, pa.ChunkedArray):
        column = plain(column)  # of dictionaries with missing values, NumPy gets some other value in their place
    array = np.asarray(column)
    if array.dtype.kind == "T":  # texts of any length, of which other packages know nothing
        return array.astype(object)
    if array.dtype.kind not in "USO" or array is column:
        return array
    objects = np.asarray(column, object)
    is_text = array.dtype.kind in "US" and any(all(isinstance(one, t) for one in objects.flat) for t in (str, bytes))
    return array if is_text else objects


def one_column(values: Any) -> Array:
    """Values as an array; of a frame of one column, that column."""
    array = values_of(values)
    return array[:, 0] if hasattr(values, "columns") and array.ndim == 2 and array.shape[1] == 1 else array


def targets(y: Any, warn: bool = False) -> Array:
    """Targets beside what is in memory; a matrix of one column will do, with scikit-learn's warning if asked."""
    values = one_column(y)
    _refuse_complex(values, "target")
    try:
        column: Array = column_or_1d(values, warn=warn)
    except ValueError as error:
        raise DataError(f"{error} Give one target for each row") from None
    return column


def weights(weight: Any, n: int) -> Array | None:
    """Sample weights, or offsets, beside what is in memory: one for all rows, or one each."""
    if weight is None:
        return None
    return np.full(n, weight, np.float64) if isinstance(weight, Real) else one_column(weight)


def arrow_column(values: Any, meaning: str, n: int) -> pa.Array:
    """Values as a column of Arrow's, one for each of n rows.

    Raises
    ------
    ValueError
        There are more or fewer, or they mix types.
    """
    values = np.full(n, values, np.float64) if isinstance(values, Real) else one_column(values)
    _refuse_complex(values, meaning)
    if meaning == "target":
        values = targets(values)
    if values.shape != (n,):
        has = len(values) if values.ndim == 1 else f"shape {values.shape}"
        raise DataError(f"X has {n} rows and the {meaning} has {has}: give one value for each row, in their order")
    try:
        return pa.array(values.astype(values.dtype.newbyteorder("="), copy=False), from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
        raise DataError(f"the {meaning} mixes types, use text or numbers: {error}") from None


def _refuse_complex(values: Array, meaning: str) -> None:
    """Of which scikit-learn's error has all values, and Arrow's none."""
    if values.dtype.kind == "c":
        raise DataError(f"Complex data not supported: the {meaning} must be real, not {values.dtype}")


def check_indexes(X: Any, beside: Mapping[str, Any]) -> None:
    """Refuse series of pandas whose rows are not those of the frame, by its index; all are paired by position.

    An index that merely counts the rows says nothing, unless the other one counts the same rows in another order.
    """
    mine: Any = getattr(X, "index", None)
    for meaning, values in beside.items():
        other: Any = getattr(values, "index", None)
        if hasattr(mine, "equals") and hasattr(other, "equals"):
            check_index(mine, other, ARGUMENTS[meaning])


def check_index(mine: Any, other: Any, name: str) -> None:
    """Refuse the index of a series, called `name`, that is not the frame's."""
    if len(mine) != len(other) or mine.equals(other):
        return
    if (is_count(mine) or is_count(other)) and not mine.isin(other).all():
        return
    differ = (row for row, (one, its) in enumerate(zip(mine, other, strict=True)) if one != its)
    row = next(differ, 0)
    first, its = (index[row : row + 1].tolist()[0] for index in (mine, other))
    raise DataError(
        f"X and {name} have different indexes: row {row} is {first!r} in X and {its!r} in {name}. Give "
        f"both in one order, or {name}.to_numpy() to pair them by position"
    )


def is_count(index: Any) -> bool:
    """Whether an index of pandas is the one that frames have by default."""
    return type(index).__name__ == "RangeIndex" and (index.start, index.step) == (0, 1)


def free_name(name: str, taken: Any) -> str:
    """A name that no column has."""
    while name in taken:
        name += "_"
    return name


def only(table: Any, names: list[str], what: str) -> Any:
    """A table with these columns only, so that nothing is asked of the others; in any case with them.

    Parameters
    ----------
    table : pandas, polars or Dask data frame, or Arrow table
        With whatever columns.
    names : list of str
        Of the columns, in the order in which they are wanted.
    what : str
        The table, for messages.
    """
    package = type(table).__module__.partition(".")[0]
    if package not in ("pandas", "polars", "dask"):
        table = as_table(table)
    there = list(table.column_names if isinstance(table, pa.Table) else table.columns)
    if any("[" in name for name in names if name not in there):
        return table  # they may be elements of a column of lists, of which it is told later
    check_there(names, there, what)
    twice = [name for name in names if there.count(name) > 1]
    if twice:
        raise DataError(f"{what}: two columns are named {twice[0]!r}: rename one of them")
    return table[names] if package in ("pandas", "dask") else table.select(names)
