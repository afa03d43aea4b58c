"""Where the rows of a text file begin, so that each block is read by its own bytes."""

import io
import re
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .paths import cannot_read
from .unpacked import TextFile

_CHUNK = 2**22
_FIRST = 2**16
# A longer row is taken for a quotation mark that was never closed, or for no text of rows at all.
LONGEST_ROW = 2**25
_NEWLINE, _RETURN, _QUOTE = (ord(character) for character in '\n\r"')


@dataclass(frozen=True)
class Layout:
    """How rows stand on the lines of a text.

    Parameters
    ----------
    quoted : bool
        Values may stand in double quotation marks and then contain line ends.
    escape : bytes
        Before a character that means nothing but itself, a line end among them; empty for none.
    comment : bytes
        Lines that begin with it are no rows; empty for none.
    empty : bool
        Empty lines are rows.
    """

    quoted: bool = False
    escape: bytes = b""
    comment: bytes = b""
    empty: bool = False

    def starts(self, content: bytes) -> npt.NDArray[np.int64]:
        """Where rows begin in a text of whole rows."""
        return self._rows(*self._lines(content))

    def whole_rows(self, content: bytes) -> tuple[int, int]:
        """How many whole rows a text begins with, and where the rest begins, behind the last line end of a row."""
        text, starts, ends = self._lines(content)
        rest = int(starts[-1] if ends[-1] == len(text) else len(text))
        return int(np.count_nonzero(self._rows(text, starts, ends) < rest)), rest

    def first(self, content: bytes) -> tuple[int, int] | None:
        """From where to where the first row of a text stands, empty or not; None if there are but comments."""
        text, starts, ends = self._lines(content)
        rows = np.flatnonzero(~self._are_comments(text, starts) & (starts < len(text)))
        return (int(starts[rows[0]]), min(int(ends[rows[0]]) + 1, len(text))) if len(rows) else None

    def is_open(self, content: bytes) -> bool:
        """Whether a quotation mark of a text that begins with a row is not closed."""
        return self.quoted and self._masked(content).count(b'"') % 2 == 1

    def without_comments(self, content: bytes) -> bytes:
        """A text of whole rows, without lines that are none."""
        if not self.comment or self.comment not in content:
            return content
        text, starts, ends = self._lines(content)
        comments = self._are_comments(text, starts)
        kept, place = [], 0
        for start, end in zip(starts[comments].tolist(), ends[comments].tolist(), strict=True):
            kept.append(content[place:start])
            place = end + 1
        return b"".join((*kept, content[place:]))

    def _lines(self, content: bytes) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """The text as it is looked at, and where lines begin and end in it, those of a quoted value being one."""
        text = np.frombuffer(masked := self._masked(content), np.uint8)
        ends = self._ends(masked)
        if not len(ends) or ends[-1] != len(text) - 1:
            ends = np.append(ends, len(text))
        return text, np.concatenate(([0], ends[:-1] + 1)), ends

    def _rows(
        self, text: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64], ends: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.int64]:
        """Where those lines begin that are rows."""
        left_out = self._are_comments(text, starts)
        if not self.empty:
            left_out |= (ends == starts) | ((ends == starts + 1) & (text[np.minimum(starts, len(text) - 1)] == _RETURN))
        return starts[~left_out]

    def _ends(self, masked: bytes) -> npt.NDArray[np.int64]:
        text = np.frombuffer(masked, np.uint8)
        are_ends = text == _NEWLINE
        if self.quoted and b'"' in masked:
            marks = np.cumsum(text == _QUOTE, dtype=np.uint8)  # of which only the last bit counts
            marks &= 1
            are_ends &= marks == 0
        return np.flatnonzero(are_ends)

    def _are_comments(self, text: npt.NDArray[np.uint8], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        if not self.comment:
            return np.zeros(len(starts), bool)
        found = starts + len(self.comment) <= len(text)
        for place, character in enumerate(self.comment):
            found &= text[np.minimum(starts + place, len(text) - 1)] == character
        return found

    def _masked(self, content: bytes) -> bytes:
        """The text with "_" for whatever is escaped, and for what would be taken for more than a comment in one."""
        comment = self.comment
        is_plain = (not self.quoted or b'"' not in content) and not (self.escape and self.escape in content)
        if is_plain or not comment or not (content.startswith(comment) or b"\n" + comment in content):
            return self._without_escapes(content)
        parts, inside, goes_on = [], False, False
        for line in io.BytesIO(content):
            if not goes_on and line.startswith(comment):
                words = line[len(comment) :].rstrip(b"\n")
                parts += [comment, b"_" * len(words), line[len(comment) + len(words) :]]
            else:
                parts.append(self._without_escapes(line))
                inside ^= self.quoted and parts[-1].count(b'"') % 2 == 1
                goes_on = inside or not parts[-1].endswith(b"\n")
        return b"".join(parts)

    def _without_escapes(self, content: bytes) -> bytes:
        if not self.escape or self.escape not in content:
            return content
        return re.sub(re.escape(self.escape) + b".", b"__", content, flags=re.DOTALL)


class _Chunk(NamedTuple):
    """A run of whole rows."""

    offset: int
    length: int
    first_row: int


class TextRows:
    """The rows of a text file.

    Reads the file once and remembers a place every few megabytes.

    Parameters
    ----------
    file : TextFile
        The file.
    start : int
        Byte at which the rows begin.
    layout : Layout
        How they stand on lines.

    Attributes
    ----------
    rows : int
        How many there are.
    """

    def __init__(self, file: TextFile, start: int, layout: Layout) -> None:
        self.file, self._layout = file, layout
        self._chunks: list[_Chunk] = []
        self._last: tuple[int, npt.NDArray[np.int64]] | None = None
        self.rows, self.stop = 0, start
        rest = b""
        try:
            with file.open() as text:
                text.seek(start)
                while more := text.read(_CHUNK):
                    content = rest + more
                    count, end = layout.whole_rows(content)
                    self._add(count, end)
                    rest = content[end:]
                    if len(rest) > LONGEST_ROW:
                        self._refuse(rest)
        except OSError as error:
            raise cannot_read(file.path, error) from None
        if layout.is_open(rest):
            self._refuse(rest)
        if rest:
            self._add(len(layout.starts(rest)), len(rest))

    def offset(self, row: int) -> int:
        """Byte at which a row begins; of the row behind the last one: the end of the file."""
        if row == self.rows:
            return self.stop
        number = self._chunk_of(row)
        chunk = self._chunks[number]
        if self._last is None or self._last[0] != number:
            content = read_bytes(self.file, chunk.offset, chunk.offset + chunk.length)
            self._last = number, self._layout.starts(content)
        return chunk.offset + int(self._last[1][row - chunk.first_row])

    def head(self, most: int) -> bytes:
        """The first rows that begin in the first `most` bytes of rows."""
        chunk = self._chunks[self._chunk_of(0)]
        content = read_bytes(self.file, chunk.offset, chunk.offset + chunk.length)
        later = self._layout.starts(content)
        later = later[later > most]
        return content[: int(later[0])] if len(later) else content

    def _chunk_of(self, row: int) -> int:
        return bisect_right([chunk.first_row for chunk in self._chunks], row) - 1

    def _add(self, count: int, length: int) -> None:
        if length:
            self._chunks.append(_Chunk(self.stop, length, self.rows))
            self.rows += count
            self.stop += length

    def _refuse(self, content: bytes) -> None:
        if self._layout.is_open(content):
            raise DataError(
                f'{self.file.path}: a quotation mark (") in the last rows or in rows too long to be one value is not '
                "closed. Where quotation marks are plain text, use quoted=False"
            )
        raise DataError(
            f"{self.file.path}: row {self.rows} does not end within {LONGEST_ROW} bytes: is it a text of rows, one on "
            "each line?"
        )


def behind_lines(file: TextFile, count: int) -> int:
    """Where a text goes on behind so many lines, of whatever kind; its end if it has fewer."""
    place = file.start
    with file.open() as text:
        text.seek(place)
        while count and (content := text.read(_CHUNK)):
            ends = np.flatnonzero(np.frombuffer(content, np.uint8) == _NEWLINE)
            if len(ends) >= count:
                return place + int(ends[count - 1]) + 1
            count -= len(ends)
            place += len(content)
    return place


def first_row(file: TextFile, start: int, layout: Layout) -> tuple[bytes, int]:
    """The first row behind a byte, comments left out, and where the text goes on; nothing at the end of the text."""
    content = b""
    with file.open() as text:
        text.seek(start)
        while more := text.read(max(len(content), _FIRST)):
            content += more
            found = layout.first(content)
            if (
                found is not None
                and content[found[1] - 1 : found[1]] == b"\n"
                and layout.whole_rows(content)[1] >= found[1]
            ):
                break
            if len(content) > LONGEST_ROW:
                raise DataError(
                    f"{file.path}: the first row does not end within {LONGEST_ROW} bytes: is it a text of rows?"
                )
    found = layout.first(content) if content else None
    return (b"", start + len(content)) if found is None else (content[found[0] : found[1]], start + found[1])


def read_bytes(file: TextFile, start: int, stop: int) -> bytes:
    """Bytes of a text file, as it is unpacked.

    Raises
    ------
    DataError
        They are not there.
    """
    try:
        with file.open() as text:
            text.seek(start)
            content: bytes = text.read(stop - start)
    except OSError as error:
        raise cannot_read(file.path, error) from None
    if len(content) < stop - start:
        raise DataError(f"{file.path} has become shorter since its rows were counted")
    return content


def first_failure(count: int, works: Callable[[int, int], bool]) -> int:
    """Number of the first of `count` things for which `works(start, stop)` of a run of them is False."""
    start, stop = 0, count
    while stop - start > 1:
        middle = (start + stop) // 2
        start, stop = (middle, stop) if works(start, middle) else (start, middle)
    return start
