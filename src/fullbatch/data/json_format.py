"""How the text of JSON lines reads: an object on each line."""

import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import json as arrow_json

from ..errors import DataError
from ..wording.messages import first_line
from ._lines import Layout, first_failure
from .columns import check_there
from .number_text import NumberText
from .text_tables import is_number

LAYOUT = Layout()
# Deeper than objects of tables are; Arrow ends the process for want of stack at some ten thousand.
_DEEPEST = 500
_CHUNK = 2**16  # which stays in cache
_QUOTE, _NEWLINE, _OPEN, _CLOSE, _OPEN_LIST, _CLOSE_LIST = (ord(character) for character in '"\n{}[]')
_NUMBERS = NumberText()
_REFUSALS = (pa.ArrowInvalid, pa.ArrowNotImplementedError)


@dataclass(frozen=True)
class JsonFormat:
    """How the objects of a file read.

    Parameters
    ----------
    names : tuple of str
        Keys of the first objects.
    types : mapping of str to pyarrow.DataType
        Types of the columns.
    known : mapping of str to pyarrow.DataType, or None
        Types of all columns in the first objects, where a key beside them is an error.
    in_quotes : tuple of str
        Columns of numbers that stand in quotation marks.
    whole : str or None
        Column of numbers that are read as int64 where all of a block's are whole: labels, or counts.
    """

    names: tuple[str, ...]
    types: Mapping[str, pa.DataType]
    known: Mapping[str, pa.DataType] | None = None
    in_quotes: tuple[str, ...] = ()
    whole: str | None = None
    # What may be wrong where other rows are read than were counted.
    miscount = "Are there two objects on a line, or lines of nothing but spaces?"

    def parse(self, content: bytes, names: Sequence[str], where: str, first_row: int) -> pa.Table:
        """Columns of the objects in `content`; a key that an object lacks is a missing value.

        Raises
        ------
        DataError
            A line is no object, has a key that is not known, or a value is not of its column's type.
        """
        check_objects(content, where, first_row)
        types = {name: self.types[name] for name in names}
        if self.known is not None and not any(map(pa.types.is_nested, self.known.values())):
            with suppress(*_REFUSALS):  # of keys that are not known, or of columns that are not used
                return self._with_whole(content, {**self.known, **types}, "error").select(list(names))
        self._check_keys(content, where, first_row)
        try:
            return self._with_whole(content, types, "ignore").select(list(names))
        except _REFUSALS as error:
            raise DataError(self._explanation(content, types, where, first_row, error)) from None

    def keeping(self, names: Sequence[str], where: str) -> "JsonFormat":
        """The same, of which these columns are read too, as what they seem to be."""
        check_there(names, self.names, where)
        return self

    def _with_whole(self, content: bytes, types: Mapping[str, pa.DataType], unknown: str) -> pa.Table:
        """The columns, labels as whole numbers if they are."""
        if self.whole is not None and self.whole in types:
            with suppress(*_REFUSALS):  # of fractions, for which the next attempt is
                return self._read(content, {**types, self.whole: pa.int64()}, unknown)
        return self._read(content, types, unknown)

    def _read(self, content: bytes, types: Mapping[str, pa.DataType], unknown: str = "ignore") -> pa.Table:
        as_text = {name: pa.string() for name in self.in_quotes if name in types}
        table = arrow_json.read_json(
            io.BytesIO(content),
            arrow_json.ReadOptions(use_threads=False, block_size=min(len(content), 2**31 - 1)),
            arrow_json.ParseOptions(
                explicit_schema=pa.schema(list({**types, **as_text}.items())), unexpected_field_behavior=unknown
            ),
        )
        table.validate(full=True)  # texts that are none
        for name in as_text:
            column = _NUMBERS.convert(table[name], types[name])
            table = table.set_column(table.column_names.index(name), name, column)
        return table

    def _check_keys(self, content: bytes, where: str, first_row: int) -> None:
        if self.known is None:
            return
        for row, line in enumerate(lines(content), first_row):
            try:
                keys = json.loads(line).keys()
            except (ValueError, RecursionError):  # told by whoever reads it
                continue
            if strange := [key for key in keys if key not in self.known]:
                raise DataError(
                    f"{where}: row {row} has a key {strange[0]!r} that none of the first rows has, by which the "
                    "columns are known. Tell which of them to learn from with features, or have it in the first row"
                )

    def _explanation(
        self, content: bytes, types: Mapping[str, pa.DataType], where: str, first_row: int, error: Exception
    ) -> str:
        """Which is the first object that does not read, and why."""
        rows = list(lines(content))

        def reads(start: int, stop: int) -> bool:
            nonlocal error
            try:
                self._read(b"\n".join(rows[start:stop]), types)
            except _REFUSALS as refused:
                error = refused
                return False
            return True

        row = first_failure(len(rows), reads)
        reads(row, row + 1)
        words = re.sub(r"^JSON parse error: | in row \d+$", "", first_line(error))
        return f"{where}: row {first_row + row}" + (
            _complaint(rows[row], types, self.in_quotes) or f" does not read: {words}: {_short(rows[row])}"
        )


def pairs(line: bytes) -> tuple[tuple[str, Any], ...]:
    """Keys and values of an object; objects in it are tuples, too.

    Raises
    ------
    ValueError, RecursionError
        It is no object.
    """
    read = json.loads(line, object_pairs_hook=tuple)
    if not isinstance(read, tuple):
        raise ValueError("it is no object")
    return read


def is_of(value: Any, type_: pa.DataType, in_quotes: bool = False) -> bool:
    """Whether a value of JSON is of a column's type; None is missing, and of any."""
    if value is None:
        return True
    if isinstance(value, bool) or pa.types.is_boolean(type_):
        return isinstance(value, bool) and pa.types.is_boolean(type_)
    if in_quotes:
        return isinstance(value, str) and _NUMBERS.reads(value)
    if pa.types.is_integer(type_):
        least = 0 if pa.types.is_unsigned_integer(type_) else -(2 ** (type_.bit_width - 1))
        return isinstance(value, int) and least <= value < least + 2**type_.bit_width
    if is_number(type_) or pa.types.is_decimal(type_):
        return isinstance(value, int | float)
    return isinstance(value, str)


def check_objects(content: bytes, where: str, first_row: int) -> None:
    """Refuse lines that are no whole object, before Arrow sees them: some of them end the process.

    Raises
    ------
    DataError
        With the first such row.
    """
    place = 0
    while place < len(content):
        end = content.find(b"\n", place + _CHUNK) + 1 or len(content)
        wrong = _first_wrong(content[place:end])
        if wrong is not None:
            row = int(np.searchsorted(LAYOUT.starts(content), place + wrong, "right")) - 1
            line = list(lines(content))[row]
            complaint = _complaint(line, {}) or f" is nested more than {_DEEPEST} deep: {_short(line)}"
            raise DataError(f"{where}: row {first_row + row}{complaint}")
        place = end


def _first_wrong(content: bytes) -> int | None:
    """Where lines cease to be objects, as far as their brackets tell."""
    if b"\\" in content:
        content = re.sub(rb"\\.", b"__", content, flags=re.DOTALL)
    text = np.frombuffer(content, np.uint8)
    inside = np.cumsum(text == _QUOTE, dtype=np.uint8)
    inside &= 1
    outside = inside == 0
    opens = ((text == _OPEN) | (text == _OPEN_LIST)) & outside
    closes = ((text == _CLOSE) | (text == _CLOSE_LIST)) & outside
    depth = np.cumsum(opens.view(np.int8) - closes.view(np.int8), dtype=np.int32)
    is_space = (text == ord(" ")) | (text == ord("\t")) | (text == ord("\r")) | (text == _NEWLINE)
    wrong = (depth < 0) | (depth > _DEEPEST) | ((depth == 0) & ~closes & ~is_space)
    wrong |= ((text == _NEWLINE) & (depth != 0)) | (opens & (depth == 1) & (text == _OPEN_LIST))
    wrong[-1:] |= depth[-1:] != 0
    first = np.flatnonzero(wrong)
    return int(first[0]) if len(first) else None


def _complaint(line: bytes, types: Mapping[str, pa.DataType], in_quotes: Sequence[str] = ()) -> str | None:
    """What is wrong with a line, if the standard library sees it."""
    what = " is no JSON object on a line of its own"
    if line.lstrip().startswith(b"["):
        return f"{what} but begins an array: write each of its objects on a line, without commas between them"
    try:
        record = pairs(line)
    except UnicodeDecodeError as error:
        return f" is not UTF-8 text (byte {line[error.start]:#04x}): convert it to UTF-8"
    except RecursionError:
        return None
    except ValueError as error:
        return f"{what}: {_short(line)}: {first_line(error)}"
    seen = set()
    for key, value in record:
        if key in seen:
            return f" has the key {key!r} twice: {_short(line)}"
        seen.add(key)
        if key in types and not is_of(value, types[key], key in in_quotes):
            shown = _short(json.dumps(value).encode() if not isinstance(value, tuple) else b"{...}")
            return (
                f", column {key!r}: {shown} is not of type {types[key]}, as the column is. Correct it, leave the "
                f'column out with exclude, or tell the type, types={{{key!r}: "string"}} for text, "double" for numbers'
            )
    return None


def lines(content: bytes) -> Iterator[bytes]:
    """The rows of a text, which are its lines but for empty ones."""
    return (line for line in content.split(b"\n") if line not in (b"", b"\r"))


def _short(line: bytes, most: int = 80) -> str:
    text = line.strip().decode(errors="replace")
    return text if len(text) <= most else text[: most - 3] + "..."
