"""Sources from CSV files: each block is read by its own bytes, on its worker."""

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from os import PathLike

import pyarrow as pa
from pyarrow import csv

from ..errors import DataError
from ..wording.messages import shortened
from ._lines import Layout, TextRows, behind_lines, first_row
from .arrow import type_called
from .columns import Missing, Roles
from .contents import check_content
from .csv_format import MISSING, CsvFormat
from .number_text import NumberText, stray_text
from .paths import find
from .table import TableSource
from .text_tables import TextTable, text_sources
from .unpacked import TextFile, text_file

# Types are guessed from the rows in so many first bytes of each file.
_HEAD = 2**20


def csv_sources(
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
    delimiter: str = ",",
    quoted: bool = True,
    encoding: str = "utf8",
    column_names: Sequence[str] | None = None,
    types: Mapping[str, str] | None = None,
    decimal: str = ".",
    thousands: str | None = None,
    units: Sequence[str] = (),
    missing_values: Sequence[str] = (),
    skip_rows: int = 0,
    comment: str | None = None,
    escape: str | None = None,
    blocks: int | None = None,
    block_rows: int | None = None,
) -> list[TableSource]:
    r"""Cut CSV files into sources, one per block. They are read once here, to count their rows.

    Whether a column is numbers or text is guessed from the first megabyte of each file. An empty value, and NA,
    NaN, NULL and the like, is missing. Text that looks like numbers or dates, or like numbers with marks of missing
    values between them, is an error that names the option which reads it, unless `types` or `categorical` ask for text.

    Parameters
    ----------
    paths : path or URL, or sequence of them
        Files, directories (all `*.csv`, `*.tsv` and `*.txt` in them) and globs; readable by the workers under the same
        path. They may be packed, as `.gz`, `.bz2`, `.xz` or `.zst`. The rows of several files follow one another in the
        order given, within a directory or glob in the order of names.
    target, weight, offset, features, exclude, categorical, missing, dtype, blocks, block_rows
        As for `fullbatch.table_sources`.
    delimiter : str
        Between values, such as a tab.
    quoted : bool
        Values may stand in double quotation marks, and then contain delimiters and line ends.
    encoding : str
        Of the text: UTF-8, a superset of ASCII such as "latin1", or "utf-16". A byte order mark knows better.
    column_names : sequence of str, optional
        Names of all columns of files that have no header; default: the first line of each file names them.
    types : mapping of column to type, optional
        Arrow types of columns for which the guess is wrong: "string", "double", "int64", "bool". Columns in the names
        of folders are among them.
    decimal : str
        Stands before the fraction of a number.
    thousands : str, optional
        Stands between groups of digits, as in 1,234,567.
    units : sequence of str
        Signs before or behind numbers that are left out: with "%" and "$", 12% is 12 and $5 is 5.
    missing_values : sequence of str
        Texts that stand for missing values, such as "?", beside those that do anyway.
    skip_rows : int
        Lines before the header, or before the rows where `column_names` are told, that are left out.
    comment : str, optional
        Lines that begin with it, such as "#", are left out. (In a quoted value they stay.)
    escape : str, optional
        Stands before a character that means nothing but itself: with a backslash, \" in a quoted value is a quotation
        mark.

    Returns
    -------
    list of TableSource

    Raises
    ------
    DataError
        A file is missing or damaged, files do not have the same columns, a column cannot be used, or there are no
        rows.
    """
    roles = Roles(target, weight, offset, features, exclude, categorical, missing, dtype)
    told = {name: type_called(type_, name) for name, type_ in (types or {}).items()}
    for option, texts_told in (("units", units), ("missing_values", missing_values)):
        if isinstance(texts_told, str):
            raise ValueError(f"{option} must be a list of texts, got the text {texts_told!r}: write [{texts_told!r}]")
    layout = _layout(delimiter, quoted, escape, comment, skip_rows)
    numbers = NumberText(decimal, thousands, tuple(units))
    found, tables = find(paths, (".csv", ".tsv", ".txt")), []
    for path, _ in found:
        check_content(path, "csv")
        file = text_file(path, encoding)
        form = CsvFormat(
            tuple(column_names or ()),
            told,
            delimiter,
            layout,
            file.encoding,
            None,
            numbers,
            (*MISSING, *missing_values),
        )
        start = behind_lines(file, skip_rows)
        if column_names is None:
            names, start = _header(file, start, form)
            form = replace(form, names=names)
        form = replace(form, layout=replace(layout, empty=len(form.names) == 1))  # an empty line is a missing value
        rows = TextRows(file, start, form.layout)
        tables.append(TextTable(rows, form, _guess(path, form, rows, roles)))
    return text_sources(found, tables, roles, told, True, blocks, block_rows)


def _layout(delimiter: str, quoted: bool, escape: str | None, comment: str | None, skip_rows: int) -> Layout:
    if len(delimiter) != 1:
        raise ValueError(f"delimiter must be one character, got {delimiter!r}")
    if escape is not None and (
        len(escape) != 1 or not escape.isascii() or escape.isalnum() or escape in f'"\r\n{delimiter}'
    ):
        raise ValueError(
            "escape must be one character of ASCII that is no letter, digit, quotation mark or delimiter, got "
            f"{escape!r}"
        )
    if comment is not None and (not comment or not comment.isascii() or comment[0] in '"\r\n' or "\n" in comment):
        raise ValueError(f"comment must be the text in ASCII that such lines begin with, as '#', got {comment!r}")
    if skip_rows < 0 or skip_rows != int(skip_rows):
        raise ValueError(f"skip_rows must be a number of lines, got {skip_rows!r}")
    return Layout(quoted, (escape or "").encode(), (comment or "").encode())


def _header(file: TextFile, start: int, form: CsvFormat) -> tuple[tuple[str, ...], int]:
    """Names of the columns, and the byte behind them; an empty file has none."""
    path = file.path
    line, start = first_row(file, start, form.layout)
    if not line:
        return (), start
    if not line.strip():
        raise DataError(
            f"{path}: the first line is empty: it must name the columns. Leave lines before the header out with "
            "skip_rows"
        )
    if b"\r" in line.strip():
        raise DataError(f"{path}: the lines end in a carriage return alone: convert it to line feeds")
    if line.lstrip().startswith(b'{"'):
        raise DataError(f"{path} is no CSV: its first line is a JSON object. Use json_sources, or the format jsonl")
    form.check_text(line, path, 0)
    try:
        names = csv.read_csv(
            io.BytesIO(line.rstrip(b"\r\n") + b"\n"),
            csv.ReadOptions(use_threads=False, encoding=form.encoding),
            form.parse_options(),
        ).column_names
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: the first line does not read as names of columns: {error}") from None
    return tuple(names), start


def _guess(path: str, form: CsvFormat, rows: TextRows, roles: Roles) -> pa.Schema:
    """Types of the columns by the first rows; without a row, nothing is known of them."""
    if not rows.rows:
        return pa.schema([(name, form.types.get(name, pa.null())) for name in form.names])
    head = rows.head(_HEAD)
    table = form.parse(head, form.names, path, 0)
    learnt = form.names if roles.features is None else roles.features
    used = {*learnt, roles.target, roles.weight, roles.offset} - {"", *roles.exclude, *form.types}
    stray: list[tuple[int, str, str]] = []
    for number, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        if name not in used:
            continue
        if pa.types.is_temporal(column.type) and name != roles.target:  # ISO's, of which Arrow makes dates
            texts = replace(form, types={name: pa.string()}).parse(head, [name], path, 0)[name]
            if name in roles.categorical:
                table = table.set_column(number, name, texts)
                continue
            row = column.is_valid().index(True).as_py()
            stray.append((row, name, texts[row].as_py()))
        if not pa.types.is_string(column.type):
            continue
        if not form.numbers.is_plain and not pa.types.is_string((read := _as_numbers(form, column)).type):
            table = table.set_column(number, name, read)
        elif name not in roles.categorical and (row := form.numbers.stray(column.combine_chunks())) is not None:
            stray.append((row, name, column[row].as_py()))
    _refuse_stray(path, stray, form.numbers)
    return table.schema


def _refuse_stray(path: str, stray: Sequence[tuple[int, str, str]], numbers: NumberText) -> None:
    """Numbers and dates that are written otherwise, and a few texts among numbers, are no levels: tell the first."""
    if stray:
        row, first, text = min(stray, key=lambda one: one[0])
        others = [name for _, name, _ in stray if name != first]
        more = f". Look at {shortened(others)} too" if others else ""
        raise DataError(stray_text(path, row, first, text, numbers) + more)


def _as_numbers(form: CsvFormat, texts: pa.ChunkedArray) -> pa.ChunkedArray:
    """Texts as numbers, whole ones if they are; as they are where one is no number."""
    for type_ in (pa.int64(), pa.float64()):
        with suppress(pa.ArrowInvalid):
            return form.numbers.convert(texts, type_)
    return texts
