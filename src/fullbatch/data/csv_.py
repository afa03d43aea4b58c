"""Sources from CSV files: each block is read by its own bytes, on its worker."""

import codecs
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from os import PathLike
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ..errors import DataError, shortened
from ._lines import TextRows, first_failure, read_bytes, refuse_compressed
from .columns import Missing, Roles, agree, check_there, choose_columns
from .cut import cut, cut_parts
from .number_text import NumberText, is_mark, stray_text
from .paths import check_rows, expand, open_file
from .table import TableSource

# Types are guessed from the rows in so many first bytes of each file.
_HEAD = 2**20
# Texts that are missing values, whatever else is told.
_MISSING = tuple(csv.ConvertOptions().null_values)
_PLAIN = NumberText()


@dataclass(frozen=True)
class CsvFormat:
    """How the text of a file reads.

    Parameters
    ----------
    names : tuple of str
        All of its columns.
    types : mapping of str to pyarrow.DataType
        Types of columns; others are guessed block by block.
    delimiter : str
        Between values.
    quoted : bool
        Values may stand in double quotation marks.
    encoding : str
        Of the text; line ends and delimiters must be as in ASCII.
    whole : str or None
        Column of numbers that are read as int64 where all of a block's are whole: labels, or counts.
    numbers : NumberText
        How numbers are written.
    missing_values : tuple of str
        Texts that stand for missing values.
    """

    names: tuple[str, ...]
    types: Mapping[str, pa.DataType]
    delimiter: str
    quoted: bool
    encoding: str
    whole: str | None = None
    numbers: NumberText = _PLAIN
    missing_values: tuple[str, ...] = _MISSING

    def parse(self, content: bytes, names: Sequence[str], where: str, first_row: int) -> pa.Table:
        """Columns of the rows in `content`.

        Raises
        ------
        DataError
            A row has too few or too many values, or a value is not of its column's type.
        """
        ragged: list[Any] = []

        def on_ragged(row: Any) -> str:
            ragged.append(row)
            return "error"

        types = {name: type_ for name, type_ in self.types.items() if name in names}
        try:
            table = self._parse(content, names, types, on_ragged)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            if ragged:
                row = ragged[0]
                raise DataError(
                    f"{where}: row {first_row + row.number - 1} has {row.actual_columns} values, the file has "
                    f"{row.expected_columns} columns: {_short(row.text)}. Correct it; a value that contains the "
                    "delimiter must stand in quotation marks"
                ) from None
            self.check_text(content, where, first_row)
            self._explain_type(content, types, where, first_row)
            raise DataError(f"{where}, rows from {first_row} on: {error}") from None
        if any(pa.types.is_binary(field.type) for field in table.schema):  # what is no text is guessed to be bytes
            self.check_text(content, where, first_row)
        return table

    def _parse(
        self, content: bytes, names: Sequence[str], types: Mapping[str, pa.DataType], on_ragged: Any
    ) -> pa.Table:
        if self.whole is not None and self.whole in names:
            with suppress(pa.ArrowInvalid):  # of fractions, for which the next attempt is
                return self._parse_as(content, names, {**types, self.whole: pa.int64()}, on_ragged)
        return self._parse_as(content, names, types, on_ragged)

    def _parse_as(self, content: bytes, names: Sequence[str], types: Mapping[str, Any], on_ragged: Any) -> pa.Table:
        if self.numbers.is_plain:
            return self._read(content, names, types, on_ragged)
        told = {name: pa.string() if _is_number(type_) else type_ for name, type_ in types.items()}
        table = self._read(content, names, told, on_ragged)
        for number, name in enumerate(table.column_names):
            if name in types and _is_number(types[name]):
                table = table.set_column(number, name, self.numbers.convert(table.column(number), types[name]))
        return table

    def _read(self, content: bytes, names: Sequence[str], types: Any, on_ragged: Any = None) -> pa.Table:
        block_size = min(max(len(content), 1), 2**31 - 1)  # in one piece, so that types are guessed from all of it
        return csv.read_csv(
            io.BytesIO(content),
            csv.ReadOptions(
                column_names=list(self.names), use_threads=False, block_size=block_size, encoding=self.encoding
            ),
            csv.ParseOptions(
                delimiter=self.delimiter,
                quote_char='"' if self.quoted else False,
                newlines_in_values=self.quoted,
                invalid_row_handler=on_ragged,
                ignore_empty_lines=len(self.names) > 1,  # in a file of one column they are missing values
            ),
            csv.ConvertOptions(
                column_types=types,
                include_columns=list(names),
                strings_can_be_null=True,
                null_values=self.missing_values,
                decimal_point=self.numbers.decimal,
            ),
        )

    def check_text(self, content: bytes, where: str, first_row: int) -> None:
        """Say so if the bytes are not text of the encoding."""
        try:
            content.decode(self.encoding)
        except UnicodeDecodeError as error:
            row = first_row + content[: error.start].count(b"\n")
            raise DataError(
                f"{where}: row {row} is not {self.encoding} text (byte {content[error.start]:#04x}): tell its "
                'encoding, such as encoding="latin1"'
            ) from None

    def keeping(self, names: Sequence[str], where: str) -> "CsvFormat":
        """The same, where these columns are text as it stands unless a type is told: an id may begin with zeros."""
        check_there(names, self.names, where)
        return replace(self, types={**dict.fromkeys(names, pa.string()), **self.types})

    def _explain_type(self, content: bytes, types: Mapping[str, pa.DataType], where: str, first_row: int) -> None:
        """Find the first value of all columns that does not fit its column's type, and say so."""
        found: list[tuple[int, str, str]] = []
        for name, type_ in types.items():
            try:
                texts = self._read(content, [name], {name: pa.string()})[name]
            except pa.ArrowInvalid:
                continue
            texts = texts.combine_chunks()
            reads = partial(self._reads_as, texts, type_)
            row = first_failure(len(texts), reads)
            if not reads(row, row + 1):
                found.append((row, name, texts[row].as_py()))
        if not found:
            return
        row, name, text = min(found, key=lambda one: one[0])
        if _is_number(types[name]) or is_mark(text):
            raise DataError(stray_text(where, first_row + row, name, text, self.numbers))
        raise DataError(
            f"{where}: row {first_row + row}, column {name!r}: {text!r} is not of type {types[name]}, as the column "
            f'is. Correct it; or tell the type, types={{{name!r}: "string"}} for text, "double" for numbers'
        )

    def _reads_as(self, texts: Any, type_: pa.DataType, start: int, stop: int) -> bool:
        try:
            if _is_number(type_):
                self.numbers.convert(texts[start:stop], type_)
            else:
                pc.ascii_trim_whitespace(texts[start:stop]).cast(type_)
        except pa.ArrowInvalid:
            return False
        return True


@dataclass(frozen=True)
class CsvPiece:
    """Some rows of a file."""

    where: str
    first_row: int
    stop: int
    first_byte: int
    last_byte: int
    format: CsvFormat

    @property
    def reading(self) -> int:
        """Bytes taken while it is read: the text, and the values of its columns."""
        return 2 * (self.last_byte - self.first_byte)

    def read(self, names: list[str]) -> pa.Table:
        """These columns of the rows."""
        content = read_bytes(self.where, self.first_byte, self.last_byte)
        table = self.format.parse(content, names, self.where, self.first_row)
        if table.num_rows != self.stop - self.first_row:
            raise DataError(
                f"{self.where}: rows {self.first_row}..{self.stop - 1} were counted and {table.num_rows} read: has the "
                "file changed? Are there quotation marks within unquoted values (use quoted=False), or lines of "
                "nothing but spaces?"
            )
        return table


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
    blocks: int | None = None,
    block_rows: int | None = None,
) -> list[TableSource]:
    """Cut CSV files into sources, one per block. They are read once here, to count their rows.

    Whether a column is numbers or text is guessed from the first megabyte of each file. An empty value, and NA,
    NaN, NULL and the like, is missing. Text that looks like numbers or dates, or like numbers with marks of missing
    values between them, is an error that names the option which reads it, unless `types` or `categorical` ask for text.

    Parameters
    ----------
    paths : path or URL, or sequence of them
        Files, directories (all `*.csv`, `*.tsv` and `*.txt` in them) and globs; readable by the workers under the same
        path. The rows of several files follow one another in the order given, within a directory or glob in the
        order of names.
    target, weight, offset, features, exclude, categorical, missing, dtype, blocks, block_rows
        As for `fullbatch.table_sources`.
    delimiter : str
        Between values, such as a tab.
    quoted : bool
        Values may stand in double quotation marks, and then contain delimiters and line ends.
    encoding : str
        Of the text: UTF-8, or a superset of ASCII such as "latin1".
    column_names : sequence of str, optional
        Names of all columns of files that have no header; default: the first line of each file names them.
    types : mapping of column to type, optional
        Arrow types of columns for which the guess is wrong: "string", "double", "int64", "bool".
    decimal : str
        Stands before the fraction of a number.
    thousands : str, optional
        Stands between groups of digits, as in 1,234,567.
    units : sequence of str
        Signs before or behind numbers that are left out: with "%" and "$", 12% is 12 and $5 is 5.
    missing_values : sequence of str
        Texts that stand for missing values, such as "?", beside those that do anyway.

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
    files = expand(paths, (".csv", ".tsv", ".txt"))
    told = {name: _type(name, type_) for name, type_ in (types or {}).items()}
    if len(delimiter) != 1:
        raise ValueError(f"delimiter must be one character, got {delimiter!r}")
    _check_encoding(encoding)
    for option, texts_told in (("units", units), ("missing_values", missing_values)):
        if isinstance(texts_told, str):
            raise ValueError(f"{option} must be a list of texts, got the text {texts_told!r}: write [{texts_told!r}]")
    numbers = NumberText(decimal, thousands, tuple(units))
    formats, texts, schemas = [], [], []
    for path in files:
        refuse_compressed(path)
        plain = CsvFormat(
            tuple(column_names or ()), told, delimiter, quoted, encoding, None, numbers, (*_MISSING, *missing_values)
        )
        names, start = (plain.names, 0) if column_names is not None else _header(path, plain)
        formats.append(replace(plain, names=names))
        texts.append(TextRows(path, start, quoted, empty=len(names) == 1))
        if texts[-1].rows:
            _check_told(path, told, names)
        schemas.append(_guess(path, formats[-1], texts[-1], roles))
    check_rows(files, [text.rows for text in texts])
    filled = [number for number, text in enumerate(texts) if text.rows]  # the others decide nothing
    files, formats = [files[number] for number in filled], [formats[number] for number in filled]
    texts, schemas = [texts[number] for number in filled], [schemas[number] for number in filled]
    columns = choose_columns(roles, schemas, files, text_wins=True)
    used = agree(schemas, files, columns.used, text_wins=True)
    whole = target if target is not None and target not in told and pa.types.is_integer(used[target]) else None
    for name in (*columns.numeric, target, weight, offset):
        if name is not None and name not in told and pa.types.is_integer(used[name]):
            used[name] = pa.float64()  # fractions may come later
    used = {name: pa.float64() if pa.types.is_null(type_) else type_ for name, type_ in used.items()}
    formats = [replace(form, types={**told, **used}, whole=whole) for form in formats]
    rows = [text.rows for text in texts]
    sources = []
    for parts in cut_parts(rows, cut(sum(rows), len(columns.features), blocks, block_rows)):
        pieces = [
            CsvPiece(files[part], start, stop, texts[part].offset(start), texts[part].offset(stop), formats[part])
            for part, start, stop in parts
        ]
        sources.append(TableSource(tuple(pieces), columns))
    return sources


def _header(path: str, form: CsvFormat) -> tuple[tuple[str, ...], int]:
    """Names of the columns, and the byte behind them; an empty file has none."""
    with open_file(path) as file:
        line = file.readline()
        while form.quoted and line.count(b'"') % 2 and (more := file.readline()):
            line += more
    if not line:
        return (), 0
    if not line.strip():
        raise DataError(f"{path}: the first line is empty: it must name the columns")
    if b"\r" in line.strip():
        raise DataError(f"{path}: the lines end in a carriage return alone: convert it to line feeds")
    form.check_text(line, path, 0)
    try:
        names = csv.read_csv(
            io.BytesIO(line.rstrip(b"\r\n") + b"\n"),
            csv.ReadOptions(use_threads=False, encoding=form.encoding),
            csv.ParseOptions(
                delimiter=form.delimiter, quote_char='"' if form.quoted else False, newlines_in_values=form.quoted
            ),
        ).column_names
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: the first line does not read as names of columns: {error}") from None
    return tuple(names), len(line)


def _guess(path: str, form: CsvFormat, text: TextRows, roles: Roles) -> pa.Schema:
    """Types of the columns by the first rows; without a row, nothing is known of them."""
    if not text.rows:
        return pa.schema([(name, form.types.get(name, pa.null())) for name in form.names])
    head = text.head(_HEAD)
    table = form.parse(head, form.names, path, 0)
    learnt = form.names if roles.features is None else roles.features
    used = {*learnt, roles.target, roles.weight, roles.offset} - {"", *roles.exclude, *form.types}
    stray: list[tuple[int, str, str]] = []
    for number, (name, column) in enumerate(zip(table.column_names, table.columns, strict=True)):
        if name not in used:
            continue
        if pa.types.is_temporal(column.type) and name != roles.target:
            row = column.is_valid().index(True).as_py()  # ISO's, of which Arrow makes dates
            as_text = replace(form, types={name: pa.string()}).parse(head, [name], path, 0)
            stray.append((row, name, as_text[name][row].as_py()))
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


def _is_number(type_: pa.DataType) -> bool:
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _check_encoding(encoding: str) -> None:
    try:
        codecs.lookup(encoding)
    except LookupError:
        raise ValueError(f"unknown encoding {encoding!r}: for example utf8, latin1 or cp1252") from None


def _type(name: str, type_: str) -> pa.DataType:
    try:
        return pa.type_for_alias(type_)
    except (ValueError, TypeError, AttributeError):
        raise ValueError(
            f'types: {type_!r} of column {name!r} is no Arrow type, such as "string" or "double"'
        ) from None


def _check_told(path: str, told: Mapping[str, Any], names: Sequence[str]) -> None:
    stray = [name for name in told if name not in names]
    if stray:
        raise DataError(f"{path}: there is no column {stray[0]!r}, for which a type is told: it has {shortened(names)}")


def _short(text: str, most: int = 80) -> str:
    return repr(text if len(text) <= most else text[: most - 3] + "...")
