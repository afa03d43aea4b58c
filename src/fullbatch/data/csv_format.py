"""How the text of a CSV file reads."""

import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from ..errors import DataError
from ._lines import Layout, first_failure
from .columns import check_there
from .number_text import NumberText, is_mark, stray_text
from .text_tables import is_number

# Texts that are missing values, whatever else is told.
MISSING = tuple(csv.ConvertOptions().null_values)
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
    layout : Layout
        How rows stand on its lines.
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
    layout: Layout
    encoding: str
    whole: str | None = None
    numbers: NumberText = _PLAIN
    missing_values: tuple[str, ...] = MISSING
    # What may be wrong where other rows are read than were counted.
    miscount = "Are there quotation marks within unquoted values (use quoted=False), or lines of nothing but spaces?"

    def parse(self, content: bytes, names: Sequence[str], where: str, first_row: int) -> pa.Table:
        """Columns of the rows in `content`.

        Raises
        ------
        DataError
            A row has too few or too many values, or a value is not of its column's type.
        """
        content = self.layout.without_comments(content)
        ragged: list[Any] = []

        def on_ragged(row: Any) -> str:
            ragged.append(row)
            return "error"

        types = {name: type_ for name, type_ in self.types.items() if name in names}
        try:
            table = self._parse(content, names, types, on_ragged)
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            if ragged:
                row, number = ragged[0], first_row + ragged[0].number - 1
                header = "; lines before the header are left out with skip_rows or comment" if number == 0 else ""
                raise DataError(
                    f"{where}: row {number} has {row.actual_columns} values, the file has {row.expected_columns} "
                    f"columns: {_short(row.text)}. Correct it; a value that contains the delimiter must stand in "
                    f"quotation marks{header}"
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
        told = {name: pa.string() if is_number(type_) else type_ for name, type_ in types.items()}
        table = self._read(content, names, told, on_ragged)
        for number, name in enumerate(table.column_names):
            if name in types and is_number(types[name]):
                table = table.set_column(number, name, self.numbers.convert(table.column(number), types[name]))
        return table

    def _read(self, content: bytes, names: Sequence[str], types: Any, on_ragged: Any = None) -> pa.Table:
        block_size = min(max(len(content), 1), 2**31 - 1)  # in one piece, so that types are guessed from all of it
        return csv.read_csv(
            io.BytesIO(content),
            csv.ReadOptions(
                column_names=list(self.names), use_threads=False, block_size=block_size, encoding=self.encoding
            ),
            self.parse_options(on_ragged),
            csv.ConvertOptions(
                column_types=types,
                include_columns=list(names),
                strings_can_be_null=True,
                null_values=self.missing_values,
                decimal_point=self.numbers.decimal,
            ),
        )

    def parse_options(self, on_ragged: Any = None) -> csv.ParseOptions:
        """How Arrow is told to find values; `on_ragged` is called with a row of too few or too many."""
        return csv.ParseOptions(
            delimiter=self.delimiter,
            quote_char='"' if self.layout.quoted else False,
            escape_char=self.layout.escape.decode() or False,
            newlines_in_values=self.layout.quoted or bool(self.layout.escape),
            invalid_row_handler=on_ragged,
            ignore_empty_lines=not self.layout.empty,
        )

    def check_text(self, content: bytes, where: str, first_row: int) -> None:
        """Say so if the bytes are not text of the encoding."""
        try:
            content.decode(self.encoding)
        except UnicodeDecodeError as error:
            row = first_row + int(np.searchsorted(self.layout.starts(content), error.start, "right")) - 1
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
        if is_number(types[name]) or is_mark(text):
            raise DataError(stray_text(where, first_row + row, name, text, self.numbers))
        raise DataError(
            f"{where}: row {first_row + row}, column {name!r}: {text!r} is not of type {types[name]}, as the column "
            f'is. Correct it; or tell the type, types={{{name!r}: "string"}} for text, "double" for numbers'
        )

    def _reads_as(self, texts: Any, type_: pa.DataType, start: int, stop: int) -> bool:
        try:
            if is_number(type_):
                self.numbers.convert(texts[start:stop], type_)
            else:
                pc.ascii_trim_whitespace(texts[start:stop]).cast(type_)
        except pa.ArrowInvalid:
            return False
        return True


def _short(text: str, most: int = 80) -> str:
    return repr(text if len(text) <= most else text[: most - 3] + "...")
