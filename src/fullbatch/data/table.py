"""Tables, from frames and files alike: which columns mean what, and rows from an Arrow table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError, shortened
from ..protocols import Category, Rows

Array = npt.NDArray[Any]

Missing = Literal["error", "drop"] | Mapping[str, Any]


@dataclass(frozen=True)
class Columns:
    """What the columns of a table mean. Made by `choose_columns`.

    Parameters
    ----------
    numeric, categorical : tuple of str
        Features.
    dtype : str
        Precision in which the numeric features are kept: "float32", "float64" or "uint8".
    target, weight, offset : str or None
        Columns of that meaning.
    missing : "error", "drop" or mapping
        What to do with missing values.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    dtype: str
    target: str | None
    weight: str | None
    offset: str | None
    missing: Missing

    @property
    def features(self) -> tuple[str, ...]:
        """Numeric features, then categorical ones."""
        return self.numeric + self.categorical

    @property
    def used(self) -> list[str]:
        """All columns that must be read, each once."""
        others = [name for name in (self.target, self.weight, self.offset) if name is not None]
        return list(dict.fromkeys([*self.features, *others]))

    def rows(self, table: pa.Table, where: str, first_row: int) -> Rows:
        """Rows of a table.

        Parameters
        ----------
        table : pyarrow.Table
            With the columns `used`.
        where : str
            What it was read from, for messages.
        first_row : int
            Number of its first row there, for messages.

        Raises
        ------
        DataError
            A value is missing, infinite, or not what its column should hold: names row and column.
        """
        table = self._without_missing(table, where, first_row)
        X = np.empty((table.num_rows, len(self.numeric)), self.dtype)
        for j, name in enumerate(self.numeric):
            X[:, j] = _numbers(table[name], name, where, first_row)
        y = weight = offset = None
        if self.target is not None:
            y = _target(table[self.target])
        if self.weight is not None:
            weight = _numbers(table[self.weight], self.weight, where, first_row)
        if self.offset is not None:
            offset = _numbers(table[self.offset], self.offset, where, first_row)
        categories = tuple(_category(table[name], name, where) for name in self.categorical)
        return Rows(X, y, weight, 1.0, offset, categories, self.features)

    def _without_missing(self, table: pa.Table, where: str, first_row: int) -> pa.Table:
        fill = self.missing if isinstance(self.missing, Mapping) else {}
        dropped = None
        for name in self.used:
            column = table[name]
            absent = pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))
            if not pc.any(absent).as_py():
                continue
            if name in fill:
                column = _plain(column)
                if isinstance(fill[name], float) and pa.types.is_integer(column.type):
                    column = column.cast(pa.float64())
                filled = pc.if_else(absent, _as_type(fill[name], column.type, name), column)
                table = table.set_column(table.column_names.index(name), name, filled)
            elif self.missing == "drop":
                dropped = absent if dropped is None else pc.or_(dropped, absent)
            else:
                row = first_row + pc.index(absent, True).as_py()
                raise DataError(
                    f"{where}: row {row}, column {name!r}: the value is missing. Fill it in, leave such rows out with "
                    f'missing="drop", or say what stands for it: missing={{{name!r}: ...}}'
                )
        return table if dropped is None else table.filter(pc.invert(dropped))


def choose_columns(
    schema: pa.Schema,
    where: str,
    *,
    target: str | None = None,
    weight: str | None = None,
    offset: str | None = None,
    features: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    categorical: Sequence[str] = (),
    missing: Missing = "error",
    dtype: str | None = None,
) -> Columns:
    """Say what the columns of a table mean.

    Parameters
    ----------
    schema : pyarrow.Schema
        Names and types of the columns.
    where : str
        What has these columns, for messages.
    target, weight, offset : str, optional
        Columns of that meaning.
    features : sequence of str, optional
        Columns to learn from; default: all but the above and `exclude`.
    exclude : sequence of str
        Columns to leave out.
    categorical : sequence of str
        Features whose whole numbers are levels; text is levels anyway.
    missing : {"error", "drop"} or mapping of column to value
        Refuse missing values, leave their rows out, or put a value in their place.
    dtype : {"float32", "float64", "uint8"}, optional
        Precision of the numeric features; default: float32 or uint8 if all of them are, otherwise float64.

    Raises
    ------
    DataError
        A column is not there, or of a type that cannot be used.
    ValueError
        An option is unknown, or a column is given two meanings.
    """
    for option, given in (("features", features), ("exclude", exclude), ("categorical", categorical)):
        if isinstance(given, str):
            raise ValueError(f"{option} must be a list of columns, got the text {given!r}: write [{given!r}]")
    if not isinstance(missing, Mapping) and missing not in ("error", "drop"):
        raise ValueError(f'missing must be "error", "drop", or a mapping of column to value, got {missing!r}')
    if dtype not in (None, "float32", "float64", "uint8"):
        raise ValueError(f"dtype must be float32, float64 or uint8, got {dtype!r}")
    names = schema.names
    repeated = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if repeated is not None:
        raise DataError(f"{where}: two columns are named {repeated!r}: rename one of them")
    meanings = [name for name in (target, weight, offset) if name is not None]
    chosen = [name for name in names if name not in (*meanings, *exclude)] if features is None else list(features)
    fills = list(missing) if isinstance(missing, Mapping) else []
    for name in (*meanings, *chosen, *exclude, *categorical, *fills):
        if name not in names:
            raise DataError(f"{where}: there is no column {name!r}: its columns are {shortened(names)}")
    twice = [name for name in chosen if name in meanings or chosen.count(name) > 1]
    if twice:
        raise ValueError(f"the column {twice[0]!r} is given two meanings: target, weight, offset and features differ")
    stray = [name for name in categorical if name not in chosen]
    if stray:
        raise ValueError(f"the categorical column {stray[0]!r} is not among the features")
    numeric = []
    levels = []
    for name in chosen:
        kind = _kind(schema.field(name).type)
        if name in categorical or kind == "text":
            levels.append(name)
        elif kind == "number":
            numeric.append(name)
    for name in chosen:
        _check_feature(schema.field(name).type, name, name in levels, where)
    for name in (weight, offset):
        if name is not None and _kind(schema.field(name).type) != "number":
            raise DataError(f"{where}: column {name!r} is {schema.field(name).type}, it must be numbers")
    return Columns(
        tuple(numeric),
        tuple(levels),
        dtype or _common_type([schema.field(name).type for name in numeric]),
        target,
        weight,
        offset,
        missing,
    )


class Piece(Protocol):
    """Neighbouring rows of one file, or of one table."""

    @property
    def where(self) -> str:
        """What it is read from."""
        ...

    @property
    def first_row(self) -> int:
        """Number of its first row there."""
        ...

    @property
    def stop(self) -> int:
        """Number of the first row behind it."""
        ...

    def read(self, names: list[str]) -> pa.Table:
        """These columns of the rows."""
        ...


@dataclass(frozen=True, eq=False)
class TableSource:
    """The rows of one block of a table, which may lie in several files.

    Parameters
    ----------
    pieces : tuple of Piece
        In the order of the rows.
    columns : Columns
        What to read, and what it means.
    shared : object or None
        What the sources of a table share while they are read; its `release` lets go of it.
    """

    pieces: tuple[Any, ...]
    columns: Columns
    shared: Any = None

    def read(self) -> Rows:
        """The rows."""
        read = [self.columns.rows(piece.read(self.columns.used), piece.where, piece.first_row) for piece in self.pieces]
        return read[0] if len(read) == 1 else _joined(read)

    def release(self) -> None:
        """Let go of what reading shares."""
        if self.shared is not None:
            self.shared.release()

    def __str__(self) -> str:
        return " and ".join(f"{piece.where} rows {piece.first_row}..{piece.stop - 1}" for piece in self.pieces)


def check_same_columns(columns: Columns, first: pa.Schema, first_where: str, other: pa.Schema, where: str) -> None:
    """Refuse a file whose columns do not agree with those of the first.

    Raises
    ------
    DataError
        A column that is used is not there, or is numbers in one file and something else in the other.
    """
    for name in columns.used:
        if name not in other.names:
            raise DataError(
                f"{where}: there is no column {name!r}, which {first_where} has: every file needs the same columns"
            )
        mine, others = (_kind(schema.field(name).type) for schema in (first, other))
        if mine != others and not pa.types.is_null(other.field(name).type):
            raise DataError(
                f"{where}: column {name!r} is {other.field(name).type}, in {first_where} it is "
                f"{first.field(name).type}: every file needs the same columns"
            )


def _joined(read: list[Rows]) -> Rows:
    def join(pick: Callable[[Rows], Array | None]) -> Array | None:
        parts = [part for part in map(pick, read) if part is not None]
        return np.concatenate(parts) if parts else None

    categories = []
    for columns in zip(*(rows.categories for rows in read), strict=True):
        levels = _union([column.levels for column in columns])
        codes = [np.searchsorted(levels, column.levels).astype(np.int32)[column.codes] for column in columns]
        categories.append(Category(np.concatenate(codes), levels))
    first = read[0]
    return Rows(
        np.concatenate([rows.X for rows in read]),
        join(lambda rows: rows.y),
        join(lambda rows: rows.weight),
        first.scale,
        join(lambda rows: rows.offset),
        tuple(categories),
        first.names,
    )


def _union(levels: Iterable[Array]) -> Array:
    filled = [one for one in levels if len(one)]
    return np.unique(np.concatenate(filled)) if filled else np.zeros(0, np.int64)


def _kind(type_: pa.DataType) -> str:
    if pa.types.is_dictionary(type_):
        return _kind(type_.value_type)
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_):
        return "number"
    if pa.types.is_decimal(type_) or pa.types.is_null(type_):
        return "number"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "text"
    return "other"


def _check_feature(type_: pa.DataType, name: str, is_levels: bool, where: str) -> None:
    if _kind(type_) == "other":
        raise DataError(
            f"{where}: column {name!r} is {type_}: features are numbers or text. Leave it out with exclude, or derive "
            "numbers or text from it"
        )


def _common_type(types: list[pa.DataType]) -> str:
    """The smallest type that holds the columns without loss."""
    if types and all(pa.types.is_uint8(type_) or pa.types.is_boolean(type_) for type_ in types):
        return "uint8"
    exact = {pa.float16(), pa.float32(), pa.bool_(), pa.int8(), pa.uint8(), pa.int16(), pa.uint16()}
    return "float32" if types and exact.issuperset(types) else "float64"


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without a dictionary, and without views of text, for which Arrow lacks functions."""
    if pa.types.is_dictionary(column.type):
        type_ = _without_views(column.type.value_type)
        chunks = [chunk.dictionary.cast(type_).take(chunk.indices) for chunk in column.chunks]
        return pa.chunked_array(chunks, type_)
    return column.cast(_without_views(column.type))


def _without_views(type_: pa.DataType) -> pa.DataType:
    return pa.large_string() if pa.types.is_string_view(type_) else type_


def _numbers(column: pa.ChunkedArray, name: str, where: str, first_row: int) -> Array:
    column = _plain(column)
    if pa.types.is_decimal(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    try:
        values = column.to_numpy()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(f"{where}: column {name!r} is {column.type}, it must be numbers: {error}") from None
    if values.dtype.kind not in "fiub":
        raise DataError(f"{where}: column {name!r} is {column.type}, it must be numbers")
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = first_row + int(np.flatnonzero(~np.isfinite(values))[0])
        raise DataError(f"{where}: row {row}, column {name!r}: the value is infinite: correct it, or leave the row out")
    return values


def _target(column: pa.ChunkedArray) -> Array:
    column = _plain(column)
    if _kind(column.type) == "text":
        category = _levels_and_codes(column)
        return category.levels[category.codes]
    if pa.types.is_decimal(column.type):
        column = column.cast(pa.float64())
    return np.asarray(column.to_numpy())


def _category(column: pa.ChunkedArray, name: str, where: str) -> Category:
    column = _plain(column)
    if pa.types.is_floating(column.type) or pa.types.is_boolean(column.type):
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid:
            raise DataError(
                f"{where}: column {name!r} is {column.type} with fractions: levels are text or whole numbers"
            ) from None
    return _levels_and_codes(column)


def _levels_and_codes(column: pa.ChunkedArray) -> Category:
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):  # of no chunks
        encoded = encoded.combine_chunks()
    listed = encoded.dictionary.to_pylist()
    if not listed:
        return Category(np.zeros(len(column), np.int32), np.zeros(0, np.int64))
    levels, places = np.unique(np.array(listed), return_inverse=True)
    return Category(places.astype(np.int32)[encoded.indices.to_numpy()], levels)


def _as_type(value: Any, type_: pa.DataType, name: str) -> pa.Scalar:
    type_ = pa.float64() if pa.types.is_null(type_) and isinstance(value, int | float) else type_
    try:
        return pa.scalar(value, type_)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError):
        raise DataError(f"missing={{{name!r}: {value!r}}}: the column is {type_}, {value!r} is not") from None
