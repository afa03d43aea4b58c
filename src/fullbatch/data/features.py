"""The columns of a model from the columns of the data: in types that kernels take, one for each level of a category."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..protocols.rows import Category, Rows, dates_in, index_type, is_sparse
from ..protocols.schema import Features
from ..wording.messages import located, shortened

Array = npt.NDArray[Any]

# Dense where at most this many columns stand for each value of a row: that takes at most twice the memory of CSR,
# whose entries bring an index along, and passes over it are several times faster.
DENSE_COLUMNS = 3

Unknown = Literal["error", "ignore"]

# Types of features that kernels take.
AS_THEY_ARE = (np.float32, np.float64, np.uint8, np.int8)


def common_type(types: Iterable[str]) -> str:
    """The smallest of the kernels' types that holds columns of these types of NumPy without loss, or else float64."""
    names = {*types}
    for kept in ("uint8", "int8"):
        if names and names <= {kept, "bool"}:
            return kept
    return "float32" if names and names <= {"float16", "float32", "bool", "uint8", "int8"} else "float64"


def feature_bytes(dtype: Any) -> int:
    """Bytes of a value of that type once it is in `as_features`."""
    return np.dtype(common_type([str(dtype)])).itemsize


def as_features(X: Any) -> Any:
    """Features in a type that the kernels take: float32, float64, uint8 and int8 as they are."""
    if X.dtype in AS_THEY_ARE:
        return X
    if X.dtype.kind == "c":
        raise DataError("Complex data not supported: X must be real")
    refuse_dates("X", X)
    refuse_texts(X)
    try:
        return X.astype(common_type([str(X.dtype)]))
    except (TypeError, ValueError) as error:
        raise DataError(f"X must be numbers: {error}. Derive numbers from it") from None


def refuse_dates(what: str, values: Any) -> None:
    """Refuse dates and spans of time, which NumPy would turn into counts of their unit."""
    dates = dates_in(values)
    if dates is not None:
        raise DataError(f"{what} must be numbers, not {dates}: derive numbers from the dates first")


def refuse_masked(what: str, values: Any) -> None:
    """Refuse a masked array of NumPy in which values are masked: what is behind the mask would be read."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        row, *column = np.argwhere(np.ma.getmaskarray(values))[0].tolist()
        raise DataError(
            f"row {row}{''.join(f', column {number}' for number in column)}: the value in {what} is masked: make a "
            "missing value of it with filled(numpy.nan), or fill it in"
        )


def refuse_texts(X: Any) -> None:
    """Refuse a matrix in which texts or bytes stand, also those that NumPy would read as numbers: codes, as a rule."""
    if X.dtype.kind not in "OSUT":
        return
    for (row, column), value in np.ndenumerate(X):
        if isinstance(value, str | bytes):
            text = value.item() if isinstance(value, np.generic) else value
            raise DataError(
                f"row {row}, column {column}: X must be numbers, not the text {text!r}: make numbers of it, or give a "
                "data frame, whose texts are levels"
            )


def matched(rows: Rows, features: Features, missing: Mapping[str, Any], source: Any) -> Rows:
    """The columns of a fit out of some rows: by name where both have names, and with missing values filled as there.

    Parameters
    ----------
    rows : Rows
        As read from the source.
    features : Features
        Of the fit.
    missing : mapping of str to value
        What stands for missing values, by column of the fit.
    source : Source or str
        Where the rows come from, for messages.

    Raises
    ------
    DataError
        A column is not there, or is numbers in one and text in the other.
    """
    if rows.names and features.names and rows.names != features.names:
        _check_meaning(rows, features, source)
        lacking = [name for name in features.names if name not in rows.names]
        if lacking:
            no = "is no column" if len(lacking) == 1 else "are no columns"
            raise DataError(
                f"{source}: there {no} {shortened(lacking)}, as in the fit: its columns are {shortened(rows.names)}"
            )
        place = {name: number for number, name in enumerate(rows.names)}
        places = [place[name] for name in features.names]
        X = rows.X[:, places[: features.numeric]]
        categories = tuple(rows.categories[number - rows.X.shape[1]] for number in places[features.numeric :])
        rows = replace(rows, X=X, categories=categories, names=features.names)
    return filled(rows, column_names(features.names, features.numeric), missing)


def column_names(names: Sequence[str], count: int) -> tuple[str, ...]:
    """Names of so many columns, the first ones of these: x0, x1, ... where there are none."""
    return tuple(names[:count]) if names else tuple(f"x{j}" for j in range(count))


def filled(rows: Rows, names: Sequence[str], missing: Mapping[str, Any]) -> Rows:
    """Rows with values in the place of NaN in columns of numbers, which have these names."""
    X = rows.X
    if X.dtype.kind != "f":
        return rows
    holes = set(X.indices[np.isnan(X.data)].tolist()) if is_sparse(X) else range(X.shape[1])
    for number, name in enumerate(names[: X.shape[1]]):
        if name not in missing or number not in holes:
            continue
        absent = np.isnan(X.data) & (X.indices == number) if is_sparse(X) else np.isnan(X[:, number])
        if not absent.any():
            continue
        value = missing[name]
        if isinstance(value, str):
            raise DataError(f"missing={{{name!r}: {value!r}}}: column {name!r} is numbers, which {value!r} is not")
        X = X.copy() if X is rows.X else X  # never the caller's own
        (X.data if is_sparse(X) else X[:, number])[absent] = value / rows.scale
    return replace(rows, X=X)


def encode(rows: Rows, features: Features, source: Any, unknown: Unknown = "error") -> Rows:
    """The rows with categorical columns made numbers.

    Parameters
    ----------
    rows : Rows
        As read from the source.
    features : Features
        Columns and levels of all the data.
    source : Source or str
        Where the rows come from, for messages.
    unknown : {"error", "ignore"}
        What to do with a level that is not among `features`: refuse it, or set none of its column's levels.

    Returns
    -------
    Rows
        Without categories; X is dense or CSR, by the number of columns alone.

    Raises
    ------
    DataError
        The columns are not those of `features`, levels are numbers in one and text in the other, or a level is
        unknown.
    """
    _check_columns(rows, features, source)
    if not features.levels:
        return rows
    n, p = rows.X.shape
    places, values = [], []
    first = p
    for number, (column, levels) in enumerate(zip(rows.categories, features.levels, strict=True)):
        _check_kind(column, levels, features.column(p + number), source)
        place, known = _places(column, levels)
        if not known.all() and unknown == "error":
            row = int(np.flatnonzero(~known)[0])
            raise unknown_level(column, row, features.column(p + number), levels, source)
        places.append(place + first)
        values.append(known)
        first += len(levels)
    if features.size <= DENSE_COLUMNS * (p + len(places)):
        X = np.zeros((n, features.size), rows.X.dtype)
        X[:, :p] = rows.X
        for place, value in zip(places, values, strict=True):
            X[np.arange(n), place] = value
    else:
        X = sparse_columns(rows.X, np.column_stack(places), np.column_stack(values), features.size)
    return replace(rows, X=X, categories=(), names=())


def with_bases(rows: Rows, features: Features, bases: Sequence[Any], source: Any) -> Rows:
    """The rows with base levels in the place of unknown ones.

    Parameters
    ----------
    rows : Rows
        With the columns of `features`.
    features : Features
        Columns and levels of the fit.
    bases : sequence
        The base level of each categorical column; None where it has none, which leaves the column as it is.
    source : Source or str
        Where the rows come from, for messages.
    """
    _check_columns(rows, features, source)
    categories = []
    for number, (column, levels, base) in enumerate(zip(rows.categories, features.levels, bases, strict=True)):
        _check_kind(column, levels, features.column(features.numeric + number), source)
        if base is not None:
            column = replace(column, levels=np.where(np.isin(column.levels, levels), column.levels, base))
        categories.append(column)
    return replace(rows, categories=tuple(categories))


def unknown_level(column: Category, row: int, name: int | str, levels: Array, source: Any) -> DataError:
    """What is to be said of a row's level that is not among those of the fit."""
    level = column.levels.tolist()[column.codes[row]]
    return DataError(
        f"{located(source, row)}, column {name!r}: unknown level {level!r}; those of the fit are "
        f"{shortened(levels.tolist())}. Fit with rows that have it, correct it, or use "
        'unknown="ignore", which counts it as none of them'
    )


def codes_of_levels(rows: Rows, features: Features) -> Array:
    """(n, q) int32 numbers of the rows' levels among the levels of all categorical columns, which must be known."""
    first, codes = 0, np.empty((rows.X.shape[0], len(features.levels)), np.int32)
    for number, (column, levels) in enumerate(zip(rows.categories, features.levels, strict=True)):
        codes[:, number] = first + np.searchsorted(levels, column.levels).astype(np.int32)[column.codes]
        first += len(levels)
    return codes


def _check_columns(rows: Rows, features: Features, source: Any) -> None:
    _check_meaning(rows, features, source)
    if rows.names and features.names and rows.names != features.names:
        missing = [name for name in features.names if name not in rows.names]
        extra = [name for name in rows.names if name not in features.names]
        raise DataError(
            f"{source}: the columns are not those of the fit"
            + (f"; missing: {shortened(missing)}" if missing else "")
            + (f"; unknown: {shortened(extra)}" if extra else "")
            + ("" if missing or extra else f": they must come in the order {shortened(features.names)}")
        )
    if rows.X.shape[1] != features.numeric or len(rows.categories) != len(features.levels):
        raise DataError(
            f"{source}: {rows.X.shape[1]} columns of numbers and {len(rows.categories)} of categories, the model has "
            f"{features.numeric} and {len(features.levels)}"
        )


def _check_meaning(rows: Rows, features: Features, source: Any) -> None:
    """Columns are numbers, or categories, as they were."""
    numbers, fitted_numbers = rows.names[: rows.X.shape[1]], features.names[: features.numeric]
    for name in features.names:
        if name in rows.names and (name in numbers) != (name in fitted_numbers):
            now, then = ("numbers", "categories") if name in numbers else ("text or categories", "numbers")
            raise DataError(f"{source}: column {name!r} is {now}, the fit had {then}: give it as it was")


def _check_kind(column: Category, levels: Array, name: int | str, source: Any) -> None:
    """Text that looks like numbers was read as numbers, or the reverse: to call all levels unknown would hide it."""
    if len(column.levels) and (column.levels.dtype.kind == "U") != (levels.dtype.kind == "U"):
        raise DataError(
            f"{source}: column {name!r} has levels like {column.levels.tolist()[0]!r}, those of the fit are like "
            f"{levels.tolist()[0]!r}: use text or numbers in both"
        )


def _places(column: Category, levels: Array) -> tuple[Array, Array]:
    """Where each row's level is among `levels`, and whether it is there."""
    if not len(column.levels):
        return np.zeros(0, np.int64), np.zeros(0, bool)
    place = np.minimum(np.searchsorted(levels, column.levels), len(levels) - 1)
    known = levels[place] == column.levels
    return place[column.codes], known[column.codes]


def sparse_columns(X: Array, places: Array, values: Array, columns: int) -> Any:
    """CSR rows of dense columns and of one value for each categorical column.

    Parameters
    ----------
    X : (n, p) array
        The dense columns, which come first.
    places, values : (n, q) arrays
        Column and value of each categorical column's entry.
    columns : int
        Of the result.
    """
    from scipy.sparse import csr_array

    n, p = X.shape
    entries = p + places.shape[1]
    indices = np.empty((n, entries), np.int32)
    indices[:, :p] = np.arange(p)
    indices[:, p:] = places
    data = np.empty((n, entries), X.dtype)
    data[:, :p] = X
    data[:, p:] = values
    starts = np.arange(0, n * entries + 1, entries) if entries else np.zeros(n + 1, np.int64)
    starts = starts.astype(index_type(n * entries), copy=False)
    return csr_array((data.ravel(), indices.ravel(), starts), (n, columns))
