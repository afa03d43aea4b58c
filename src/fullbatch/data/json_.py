"""Sources from JSON lines: each block is read by its own bytes, on its worker."""

from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

import pyarrow as pa

from ..errors import DataError
from ..wording.messages import first_line, shortened
from ._lines import TextRows
from .arrow import type_called
from .columns import Missing, Roles
from .contents import check_content
from .json_format import LAYOUT, JsonFormat, check_objects, lines, pairs
from .number_text import NumberText
from .paths import find
from .table import TableSource
from .text_tables import TextTable, is_number, text_sources
from .unpacked import text_file

# Columns and their types are known by the objects in so many first bytes of each file.
_HEAD = 2**20
_NUMBERS = NumberText()
_TYPES = {
    frozenset(): pa.null(),
    frozenset(["whole"]): pa.int64(),
    frozenset(["number"]): pa.float64(),
    frozenset(["whole", "number"]): pa.float64(),
    frozenset(["truth value"]): pa.bool_(),
    frozenset(["text"]): pa.string(),
    frozenset(["list"]): pa.list_(pa.null()),
    frozenset(["object"]): pa.struct([]),
}


def json_sources(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    target: str | None = None,
    weight: str | None = None,
    offset: str | None = None,
    features: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    categorical: Sequence[str] = (),
    missing: Missing = "error",
    dtype: str | None = None,
    types: Mapping[str, str] | None = None,
    blocks: int | None = None,
    block_rows: int | None = None,
) -> list[TableSource]:
    """Cut files of JSON lines, an object on each, into sources, one per block. They are read once here, to count rows.

    The columns are the keys of the objects in the first megabyte of each file, and their types those of the values
    there. A key that an object lacks, null, and NaN are missing values. Text of numbers or dates is an error that names
    what reads it, unless `types` or `categorical` ask for text.

    Parameters
    ----------
    paths : path or URL, or sequence of them
        Files, directories (all `*.jsonl`, `*.ndjson` and `*.json` in them) and globs; readable by the workers under the
        same path. They may be packed, as `.gz`, `.bz2`, `.xz` or `.zst`. The rows of several files follow one another
        in the order given, within a directory or glob in the order of names.
    target, weight, offset, features, exclude, categorical, missing, dtype, blocks, block_rows
        As for `fullbatch.table_sources`.
    types : mapping of column to type, optional
        Arrow types of columns that are not known by the first values, or in which numbers stand in quotation marks:
        "string", "double", "int64", "bool". Columns in the names of folders are among them.

    Returns
    -------
    list of TableSource

    Raises
    ------
    DataError
        A file is missing or damaged, a line is no object, files do not have the same columns, a column cannot be used,
        or there are no rows.
    """
    roles = Roles(target, weight, offset, features, exclude, categorical, missing, dtype)
    told = {name: type_called(type_, name) for name, type_ in (types or {}).items()}
    found, tables = find(paths, (".jsonl", ".ndjson", ".json")), []
    for path, _ in found:
        check_content(path, "jsonl")
        file = text_file(path)
        rows = TextRows(file, file.start, LAYOUT)
        tables.append(_table(rows, told, roles))
    return text_sources(found, tables, roles, told, False, blocks, block_rows)


def _table(rows: TextRows, told: Mapping[str, pa.DataType], roles: Roles) -> TextTable:
    """What the first rows of a file tell; without a row, nothing is known of it."""
    if not rows.rows:
        return TextTable(rows, JsonFormat((), {}), pa.schema([]))
    path = rows.file.path
    columns = _first_values(rows.head(_HEAD), path)
    learnt = columns if roles.features is None else roles.features
    used = {*learnt, roles.target, roles.weight, roles.offset} - {*roles.exclude, *told}
    types, in_quotes, stray = {}, [], {}
    for name, values in columns.items():
        kinds = frozenset(map(_kind, values.values()))
        type_ = _TYPES.get(kinds)
        if name in used and type_ is None:
            stray[name] = _other_kind(values)
        if name in used and kinds == {"text"} and name not in roles.categorical:
            stray |= _stray_text(name, values)
        if name in told and is_number(told[name]) and kinds == {"text"}:
            in_quotes.append(name)
        types[name] = told.get(name, pa.struct([]) if type_ is None else type_)
    _refuse(path, stray)
    known = types if roles.features is None else None
    return TextTable(rows, JsonFormat(tuple(columns), types, known, tuple(in_quotes)), pa.schema(list(types.items())))


def _first_values(content: bytes, path: str) -> dict[str, dict[int, Any]]:
    """Values that are not missing, by column and row."""
    check_objects(content, path, 0)
    columns: dict[str, dict[int, Any]] = {}
    for row, line in enumerate(lines(content)):
        try:
            record = pairs(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{path}: row {row} is no JSON object on a line of its own: {first_line(error)}") from None
        for name, value in record:
            values = columns.setdefault(name, {})
            if row in values:
                raise DataError(f"{path}: row {row} has the key {name!r} twice: rename one of them")
            if value is not None and value == value:
                values[row] = value
    return columns


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "truth value"
    if isinstance(value, int):
        return "whole" if -(2**63) <= value < 2**63 else "number"
    return {float: "number", str: "text", list: "list", tuple: "object"}[type(value)]


def _refuse(path: str, stray: Mapping[str, tuple[int, str]]) -> None:
    """Tell the first value that is wrong, of all columns."""
    if stray:
        first = min(stray, key=lambda name: stray[name][0])
        row, what = stray[first]
        others = [name for name in stray if name != first]
        more = f". Look at {shortened(others)} too" if others else ""
        raise DataError(f"{path}: row {row}, column {first!r}: {what}{more}")


def _other_kind(values: Mapping[int, Any]) -> tuple[int, str]:
    """The first value that is not of the kind that those before it are of."""
    kinds = {row: _kind(value).replace("whole", "number") for row, value in values.items()}
    first, kind = next(iter(kinds.items()))
    row = next(row for row, other in kinds.items() if other != kind)
    return row, (
        f"the value is of the kind {kinds[row]!r}, and in row {first} of the kind {kind!r}: a column has one kind. "
        "Correct it, or leave the column out with exclude"
    )


def _stray_text(name: str, values: Mapping[int, str]) -> dict[str, tuple[int, str]]:
    """Texts of numbers and dates are no levels unless somebody says so."""
    place = _NUMBERS.stray(pa.array(values.values(), pa.string()))
    if place is not None:
        what = (
            "is a number, a date or a mark of a missing value in quotation marks, as most of the column's texts are. "
            "Write numbers without them and missing values as null, or leave the column out with exclude"
        )
    elif all(map(_NUMBERS.reads, values.values())):
        place, what = 0, f'is a number in quotation marks. Read it so, with types={{{name!r}: "double"}}'
    else:
        return {}
    row = list(values)[place]
    return {name: (row, f'{values[row][:80]!r} {what}; or tell that it is text, types={{{name!r}: "string"}}')}
