"""Sources from CSV files: each block is read by its own bytes, on its worker."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import pyarrow as pa
from pyarrow import csv

from ..errors import DataError, shortened
from ._lines import TextRows, read_bytes, refuse_compressed
from .cut import cut, cut_parts
from .paths import expand
from .table import Missing, TableSource, check_same_columns, choose_columns

# Types are guessed from the rows in so many first bytes of the first file.
_HEAD = 2**20


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
    """

    names: tuple[str, ...]
    types: Mapping[str, pa.DataType]
    delimiter: str
    quoted: bool
    encoding: str

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
            table = self._read(content, names, types, on_ragged)
        except pa.ArrowInvalid as error:
            if ragged:
                row = ragged[0]
                raise DataError(
                    f"{where}: row {first_row + row.number - 1} has {row.actual_columns} values, the file has "
                    f"{row.expected_columns} columns: {_short(row.text)}"
                ) from None
            self._explain_text(content, where, first_row)
            self._explain_type(content, types, where, first_row)
            raise DataError(f"{where}, rows from {first_row} on: {error}") from None
        if any(pa.types.is_binary(field.type) for field in table.schema):  # what is no text is guessed to be bytes
            self._explain_text(content, where, first_row)
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
            ),
            csv.ConvertOptions(column_types=types, include_columns=list(names), strings_can_be_null=True),
        )

    def _explain_text(self, content: bytes, where: str, first_row: int) -> None:
        """Say so if the bytes are not text of the encoding."""
        try:
            content.decode(self.encoding)
        except UnicodeDecodeError as error:
            row = first_row + content[: error.start].count(b"\n")
            raise DataError(
                f"{where}: row {row} is not {self.encoding} text (byte {content[error.start]:#04x}): tell its "
                'encoding, such as encoding="latin1"'
            ) from None

    def _explain_type(self, content: bytes, types: Mapping[str, pa.DataType], where: str, first_row: int) -> None:
        """Find the first value that does not fit its column's type, and say so."""
        for name, type_ in types.items():
            try:
                texts = self._read(content, [name], {name: pa.string()})[name]
            except pa.ArrowInvalid:
                continue
            for row, text in enumerate(texts.to_pylist()):
                if text is None or _reads_as(text, type_):
                    continue
                raise DataError(
                    f"{where}: row {first_row + row}, column {name!r}: {text!r} is not of type {type_}, as the first "
                    f'rows of the column are. Correct it; or tell the type, types={{{name!r}: "string"}} for text, '
                    '"double" for numbers'
                )


@dataclass(frozen=True)
class CsvPiece:
    """Some rows of a file."""

    where: str
    first_row: int
    stop: int
    first_byte: int
    last_byte: int
    format: CsvFormat

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
    blocks: int | None = None,
    block_rows: int | None = None,
) -> list[TableSource]:
    """Cut CSV files into sources, one per block. They are read once here, to count their rows.

    Whether a column is numbers or text is guessed from the first megabyte of the first file. An empty value, and NA,
    NaN, NULL and the like, is missing.

    Parameters
    ----------
    paths : path, or sequence of paths
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

    Returns
    -------
    list of TableSource

    Raises
    ------
    DataError
        A file is missing or damaged, files do not have the same columns, a column cannot be used, or there are no
        rows.
    """
    files = expand(paths, (".csv", ".tsv", ".txt"))
    told = {name: _type(name, type_) for name, type_ in (types or {}).items()}
    formats, texts, schemas = [], [], []
    for path in files:
        refuse_compressed(path)
        plain = CsvFormat(tuple(column_names or ()), told, delimiter, quoted, encoding)
        names, start = (plain.names, 0) if column_names is not None else _header(path, plain)
        _check_told(path, told, names)
        form = CsvFormat(names, told, delimiter, quoted, encoding)
        formats.append(form)
        texts.append(TextRows(path, start, quoted))
        schemas.append(_guess(path, form, texts[-1]))
    first = next((number for number, text in enumerate(texts) if text.rows), 0)
    columns = choose_columns(
        schemas[first],
        files[first],
        target=target,
        weight=weight,
        offset=offset,
        features=features,
        exclude=exclude,
        categorical=categorical,
        missing=missing,
        dtype=dtype,
    )
    fixed = {name: schemas[first].field(name).type for name in columns.used if name != target or name in told}
    for name in (*columns.numeric, weight, offset):
        if name in fixed and name not in told and not pa.types.is_boolean(fixed[name]):
            fixed[name] = pa.float64()
    for number, path in enumerate(files):
        check_same_columns(columns, schemas[first], files[first], schemas[number], path)
        formats[number] = CsvFormat(formats[number].names, fixed, delimiter, quoted, encoding)
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
    """Names of the columns, and the byte behind them."""
    with open(path, "rb") as file:
        line = file.readline()
        while form.quoted and line.count(b'"') % 2 and (more := file.readline()):
            line += more
    if not line.strip():
        raise DataError(f"{path} is empty: its first line must name the columns")
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


def _guess(path: str, form: CsvFormat, text: TextRows) -> pa.Schema:
    """Types of the columns by the first rows; without a row, nothing is known of them."""
    if not text.rows:
        return pa.schema([(name, form.types.get(name, pa.null())) for name in form.names])
    return form.parse(text.head(_HEAD), form.names, path, 0).schema


def _reads_as(text: str, type_: pa.DataType) -> bool:
    try:
        pa.scalar(text.strip()).cast(type_)
    except pa.ArrowInvalid:
        return False
    return True


def _type(name: str, type_: str) -> pa.DataType:
    try:
        return pa.type_for_alias(type_)
    except (ValueError, TypeError):
        raise ValueError(
            f'types: {type_!r} of column {name!r} is no Arrow type, such as "string" or "double"'
        ) from None


def _check_told(path: str, told: Mapping[str, Any], names: Sequence[str]) -> None:
    stray = [name for name in told if name not in names]
    if stray:
        raise DataError(f"{path}: there is no column {stray[0]!r}, for which a type is told: it has {shortened(names)}")


def _short(text: str, most: int = 80) -> str:
    return repr(text if len(text) <= most else text[: most - 3] + "...")
