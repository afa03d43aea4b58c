"""Tables in memory as Arrow tables, and the values of their columns as NumPy arrays: numbers, targets, levels."""

from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from math import prod
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError
from ..protocols.rows import Category, distinct
from ..protocols.schema import EXACT

Array = npt.NDArray[Any]

# A longer text is no category; NumPy keeps all levels as wide as the longest.
LONGEST_LEVEL = 256


# A longer list is taken for damage.
LONGEST_LIST = 2**18

# What can be done about a target of another type.
NO_TARGET = "Name another column, or derive one of these from it"

# What stands for a boolean value, in Python and in texts.
_TRUTH = {"true": True, "false": False, "1": True, "0": False, 1: True, 0: False}


class BadValue(DataError):
    """A value that cannot be used.

    Parameters
    ----------
    message : str
        What is wrong, and where.
    row : int
        Number of its row, by which the first of several is told.
    advice, option : str
        What can be done, and the option that does it.
    """

    def __init__(self, message: str, row: int, advice: str = "", option: str = "") -> None:
        super().__init__(message)
        self.row, self.advice, self.option = row, advice, option

    def told(self, door: str | None) -> str:
        """The message, for a caller who asks for options in this way, or has none."""
        return str(self) + (f". {self.advice} {door.format(self.option)}" if door and self.option else "")


def plain_value(value: Any) -> Any:
    """What is told to stand for a missing value, as Python's own kind of value; decimals as numbers."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == int(value) else float(value)
    return value


def as_truth(value: Any) -> Any:
    """The boolean value that a text or number stands for, if it does."""
    if not isinstance(value, str | int | float):
        return value
    return _TRUTH.get(value.strip().lower() if isinstance(value, str) else value, value)


def as_table(data: Any) -> pa.Table:
    """A table in memory as an Arrow table, without a copy where its owner's format allows.

    Raises
    ------
    DataError
        It is no table, or a column mixes types.
    """
    if isinstance(data, pa.Table):
        try:
            data.schema.names  # noqa: B018 - an error, where one is no text
        except UnicodeDecodeError:
            raise DataError("the table is damaged: the name of a column is no text") from None
        return data
    if hasattr(data, "collect"):
        raise DataError(f"{type(data).__name__} is not computed yet: call its collect() first")
    try:
        if type(data).__module__.partition(".")[0] == "pandas":
            _check_names(data.columns)
            return pa.Table.from_pandas(data, preserve_index=False)
        return pa.table(data)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError) as error:
        why = "; ".join(map(str, error.args))
        raise DataError(f"the table cannot be used: {why}. Make numbers or text of it, or leave it out") from None
    except TypeError as error:
        raise DataError(
            f"{type(data).__name__} cannot be used as a table ({error}): give a pandas or polars data frame of plain "
            "columns, or an Arrow table"
        ) from None


def _check_names(names: Any) -> None:
    strange = next((name for name in names if not isinstance(name, str)), None)
    if strange is not None:
        raise DataError(f"the table's column {strange!r} is not named by text: rename its columns")
    if not names.is_unique:
        raise DataError(f"the table: two columns are named {names[names.duplicated()][0]!r}: rename one of them")


def kind(type_: pa.DataType) -> str:
    """What a column of this type can be: "number", "text", "null" (nothing is known of it) or "other"."""
    if pa.types.is_dictionary(type_):
        return kind(type_.value_type)
    if pa.types.is_null(type_):
        return "null"
    if pa.types.is_integer(type_) or pa.types.is_floating(type_) or pa.types.is_boolean(type_):
        return "number"
    if pa.types.is_decimal(type_):
        return "number"
    if pa.types.is_string(type_) or pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return "text"
    return "other"


class Element(NamedTuple):
    """A column that is one element of a column of lists, which all have one length.

    Parameters
    ----------
    name : str
        As `column[0]`, for a list of lists `column[0][1]`.
    column : str
        Of the lists.
    places : tuple of int
        Where the element stands in each list.
    type : pyarrow.DataType
        Of the element.
    """

    name: str
    column: str
    places: tuple[int, ...]
    type: pa.DataType


def elements(field: pa.Field) -> list[Element]:
    """The columns that a column of fixed-size lists, or of tensors of one shape, is expanded to; of others none."""
    return list(_elements(field.name, field.name, (), field.type)) if 0 < _count(field.type) <= LONGEST_LIST else []


def expanded(schema: pa.Schema) -> pa.Schema:
    """A schema with the elements of fixed-size lists as columns in their place."""
    if not any(_list_length(field.type) for field in schema):
        return schema
    fields = [
        one
        for field in schema
        for one in ([pa.field(element.name, element.type) for element in elements(field)] or [field])
    ]
    return pa.schema(fields, schema.metadata)


def element(column: pa.ChunkedArray, places: tuple[int, ...]) -> pa.ChunkedArray:
    """One element of each list of a column; of a list that is missing, it is missing."""
    for place in places:
        if isinstance(column.type, pa.BaseExtensionType):
            column = pa.chunked_array([chunk.storage for chunk in column.chunks], column.type.storage_type)
        column = pc.list_element(column, place)
    return column


def _elements(name: str, column: str, places: tuple[int, ...], type_: pa.DataType) -> Iterator[Element]:
    length = _list_length(type_)
    if not length:
        yield Element(name, column, places, type_)
        return
    inner = getattr(type_, "storage_type", type_).value_type
    for place in range(length):
        yield from _elements(f"{name}[{place}]", column, (*places, place), inner)


def _count(type_: pa.DataType) -> int:
    """How many elements there are; 0 for what has none."""
    length = _list_length(type_)
    if not length:
        return 0
    inner = getattr(type_, "storage_type", type_).value_type
    return length * (_count(inner) if _list_length(inner) else 1)


def _list_length(type_: pa.DataType) -> int:
    """The length that all lists of a type have, or 0."""
    if pa.types.is_fixed_size_list(type_):
        return int(type_.list_size)
    name = getattr(type_, "extension_name", "")
    if name == "arrow.fixed_shape_tensor":
        is_by_row = type_.permutation is None or list(type_.permutation) == sorted(type_.permutation)
        return prod(type_.shape) if is_by_row else 0
    return prod(type_.shape) if name in ("ray.data.arrow_tensor", "ray.data.arrow_tensor_v2") else 0


def type_called(name: str, column: str) -> pa.DataType:
    """The type of Arrow that a person calls so, for a column."""
    try:
        return pa.type_for_alias(name)
    except (ValueError, TypeError, AttributeError):
        raise ValueError(
            f'types: {name!r} of column {column!r} is no Arrow type, such as "string" or "double"'
        ) from None


def plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The column without a dictionary, and without views of text, for which Arrow lacks functions."""
    if pa.types.is_dictionary(column.type):
        type_ = _without_views(column.type.value_type)
        chunks = [chunk.dictionary.cast(type_).take(chunk.indices) for chunk in column.chunks]
        return pa.chunked_array(chunks, type_)
    return column.cast(_without_views(column.type))


def absent(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Where a plain column has no value; NaN is none."""
    return pc.is_null(column, nan_is_null=pa.types.is_floating(column.type))


def filled(column: pa.ChunkedArray, where: pa.ChunkedArray, value: Any, name: str) -> pa.ChunkedArray:
    """A plain column with `value` where it has none."""
    value = plain_value(value)
    if isinstance(value, float) and not value.is_integer() and kind(column.type) == "number":
        column = column.cast(pa.float64())
    if pa.types.is_decimal(column.type) and isinstance(value, int | float):
        digits = Decimal(value)
        holds = abs(digits) < Decimal(10) ** (column.type.precision - column.type.scale)
        column = column if holds else column.cast(pa.float64())
    if isinstance(value, bool) and pa.types.is_integer(column.type):
        value = int(value)
    if pa.types.is_boolean(column.type):
        value = as_truth(value)
        if isinstance(value, float):  # a mean of truth values
            column = column.cast(pa.uint8()).cast(pa.float64())
    try:
        scalar = pa.scalar(value, column.type)
    except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, OverflowError):
        raise DataError(
            f"missing={{{name!r}: {value!r}}}: column {name!r} is {column.type}, which {value!r} is not"
        ) from None
    return pc.if_else(where, scalar, column)


def numbers(column: pa.ChunkedArray, name: str, where: str, rows: Array) -> Array:
    """A plain column as numbers.

    Parameters
    ----------
    column : pyarrow.ChunkedArray
        Without missing values.
    name, where : str
        Its name, and what it was read from, for messages.
    rows : (n,) int array
        Numbers of its rows there, for messages.
    """
    if kind(column.type) not in ("number", "null"):
        raise DataError(
            f"{where}: column {name!r} is {column.type}, it must be numbers: name another, or make numbers of it"
        )
    if pa.types.is_decimal(column.type) or pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    values: Array = column.to_numpy()
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        row = int(rows[np.flatnonzero(~np.isfinite(values))[0]])
        what = "the value is infinite: correct it, or leave the row out"
        raise BadValue(f"{where}: row {row}, column {name!r}: {what}", row)
    return values


def stored(column: pa.ChunkedArray, name: str, where: str, rows: Array, dtype: str) -> Array:
    """A plain column as numbers in the precision in which they are kept, which must hold them.

    float32 rounds, since who asks for it wants that; it must not overflow. Bytes must be exact.
    """
    values = numbers(column, name, where, rows)
    with np.errstate(over="ignore", invalid="ignore"):
        kept = values.astype(dtype)
    wrong = ~np.isfinite(kept) if dtype not in ("uint8", "int8") else kept != values
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        what = f"{dtype} cannot hold {values[first]}: choose another dtype"
        raise BadValue(f"{where}: row {rows[first]}, column {name!r}: {what}", int(rows[first]))
    return kept


def target(column: pa.ChunkedArray, name: str, where: str, rows: Array) -> Array:
    """A plain column as targets: numbers, or text."""
    if kind(column.type) == "text":
        category = levels_and_codes(column, name, where, rows)
        return category.levels[category.codes]
    if kind(column.type) == "other":
        raise DataError(f"{where}: column {name!r} is {column.type}: targets are numbers or text. {NO_TARGET}")
    return _exact(column)


def _exact(column: pa.ChunkedArray) -> Array:
    """A plain column of numbers, decimals as integers where all are whole."""
    if pa.types.is_null(column.type):
        column = column.cast(pa.float64())
    elif pa.types.is_decimal(column.type):
        try:
            column = column.cast(pa.int64())
        except pa.ArrowInvalid:  # of fractions, or too large
            column = column.cast(pa.float64())
    return np.asarray(column.to_numpy())


def category(column: pa.ChunkedArray, name: str, where: str, rows: Array, asked: bool = True) -> Category:
    """A plain column as a categorical one, whose levels are text or whole numbers.

    Parameters
    ----------
    column, name, where, rows
        As for `numbers`.
    asked : bool
        Somebody called it categorical.
    """
    if kind(column.type) == "number":
        values = _exact(column)
        is_float = values.dtype.kind == "f"
        wrong = (
            (values != np.floor(values)) | (np.abs(values) >= EXACT) if is_float else values > np.iinfo(np.int64).max
        )
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            of = ", of floating-point numbers below 2**53" if is_float else ""
            raise BadValue(
                f"{where}: row {rows[first]}, column {name!r}: {values[first]} is no level: levels are text or whole "
                f"numbers below 2**63{of}. Correct it, or leave the column out of categorical",
                int(rows[first]),
            )
        levels, codes = distinct(values.astype(np.int64) if is_float else values)
        return Category(codes.astype(np.int32, copy=False), levels.astype(np.int64))
    return replace(levels_and_codes(column, name, where, rows), asked=asked)


def levels_and_codes(column: pa.ChunkedArray, name: str, where: str, rows: Array) -> Category:
    """The distinct texts of a plain column, sorted, and the number of each row's."""
    encoded = column.combine_chunks().dictionary_encode()
    if isinstance(encoded, pa.ChunkedArray):  # of no chunks
        encoded = encoded.combine_chunks()
    listed, codes = encoded.dictionary.to_pylist(), encoded.indices.to_numpy()
    if not listed:
        return Category(np.zeros(len(column), np.int32), np.zeros(0, np.int64))
    strange = next((i for i, text in enumerate(listed) if len(text) > LONGEST_LEVEL or text.endswith("\0")), None)
    if strange is not None:
        text, row = listed[strange], rows[np.flatnonzero(codes == strange)[0]]
        what = "ends in a NUL character" if text.endswith("\0") else f"has {len(text)} characters"
        raise BadValue(
            f"{where}: row {row}, column {name!r}: {text[:30]!r}... {what}: it is no category",
            int(row),
            "Leave free text out with",
            f"exclude=[{name!r}]",
        )
    levels, places = np.unique(np.array(listed), return_inverse=True)
    return Category(places.astype(np.int32)[codes], levels)


def _without_views(type_: pa.DataType) -> pa.DataType:
    return pa.large_string() if pa.types.is_string_view(type_) else type_
