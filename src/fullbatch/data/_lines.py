"""Where the rows of a text file begin, so that each block is read by its own bytes."""

from bisect import bisect_right
from collections.abc import Callable
from typing import IO, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .paths import cannot_read, open_file

_CHUNK = 2**22
# A quoted value longer than this is taken for a quotation mark that was never closed.
_LONGEST_VALUE = 2**26
_NEWLINE, _RETURN, _QUOTE, _HASH = (ord(character) for character in '\n\r"#')


_COMPRESSED = (b"\x1f\x8b", b"BZh", b"PK\x03\x04", b"\x28\xb5\x2f\xfd", b"\xfd7zX")  # gzip, bzip2, zip, zstd, xz


class _Chunk(NamedTuple):
    """A run of whole rows."""

    offset: int
    length: int
    first_row: int


class TextRows:
    """The rows of a text file: its lines but for empty ones.

    Reads the file once and remembers a place every few megabytes.

    Parameters
    ----------
    path : str
        The file.
    start : int
        Byte at which the rows begin.
    quoted : bool
        Values may stand in double quotation marks and then contain line ends.
    comments : bool
        Lines that begin with "#" are no rows.
    empty : bool
        Empty lines are rows.

    Attributes
    ----------
    rows : int
        How many there are.
    """

    def __init__(
        self, path: str, start: int = 0, quoted: bool = False, comments: bool = False, empty: bool = False
    ) -> None:
        self.path, self._quoted, self._comments, self._empty = path, quoted, comments, empty
        self._chunks: list[_Chunk] = []
        self._last: tuple[int, npt.NDArray[np.int64]] | None = None
        offset = start
        self.rows = 0
        try:
            with open_file(path) as file:
                file.seek(start)
                while content := self._whole_rows(file):
                    self._chunks.append(_Chunk(offset, len(content), self.rows))
                    self.rows += len(self._starts(content))
                    offset += len(content)
        except OSError as error:
            raise cannot_read(path, error) from None
        self.stop = offset

    def offset(self, row: int) -> int:
        """Byte at which a row begins; of the row behind the last one: the end of the file."""
        if row == self.rows:
            return self.stop
        number = bisect_right([chunk.first_row for chunk in self._chunks], row) - 1
        chunk = self._chunks[number]
        if self._last is None or self._last[0] != number:
            self._last = number, self._starts(read_bytes(self.path, chunk.offset, chunk.offset + chunk.length))
        return chunk.offset + int(self._last[1][row - chunk.first_row])

    def head(self, most: int) -> bytes:
        """The first rows that begin in the first `most` bytes of rows."""
        chunk = self._chunks[0]
        content = read_bytes(self.path, chunk.offset, chunk.offset + chunk.length)
        later = self._starts(content)
        later = later[later > most]
        return content[: int(later[0])] if len(later) else content

    def _whole_rows(self, file: IO[bytes]) -> bytes:
        parts: list[bytes] = [file.read(_CHUNK), file.readline()]
        if self._quoted:
            quotes = sum(part.count(b'"') for part in parts)
            beyond = 0
            while quotes % 2 and (line := file.readline()):
                parts.append(line)
                quotes += line.count(b'"')
                beyond += len(line)
                if beyond > _LONGEST_VALUE:
                    break
            if quotes % 2:
                raise DataError(
                    f'{self.path}: a quotation mark (") in the last rows or in rows too long to be one value is not '
                    "closed. Where quotation marks are plain text, use quoted=False"
                )
        return b"".join(parts)

    def _starts(self, content: bytes) -> npt.NDArray[np.int64]:
        text = np.frombuffer(content, np.uint8)
        ends = np.flatnonzero(text == _NEWLINE)
        if self._quoted and b'"' in content:
            inside = np.cumsum(text == _QUOTE, dtype=np.int32) % 2
            ends = ends[inside[ends] == 0]
        if not len(ends) or ends[-1] != len(text) - 1:
            ends = np.append(ends, len(text))
        starts = np.concatenate(([0], ends[:-1] + 1))
        left_out = np.zeros(len(starts), bool)
        if not self._empty:
            left_out = (ends == starts) | ((ends == starts + 1) & (text[starts] == _RETURN))
        if self._comments:
            left_out |= text[np.minimum(starts, len(text) - 1)] == _HASH
        return starts[~left_out]


def read_bytes(path: str, start: int, stop: int) -> bytes:
    """Bytes of a file.

    Raises
    ------
    DataError
        They are not there.
    """
    try:
        with open_file(path) as file:
            file.seek(start)
            content: bytes = file.read(stop - start)
    except OSError as error:
        raise cannot_read(path, error) from None
    if len(content) < stop - start:
        raise DataError(f"{path} has become shorter since its rows were counted")
    return content


def first_failure(count: int, works: Callable[[int, int], bool]) -> int:
    """Number of the first of `count` things for which `works(start, stop)` of a run of them is False."""
    start, stop = 0, count
    while stop - start > 1:
        middle = (start + stop) // 2
        start, stop = (middle, stop) if works(start, middle) else (start, middle)
    return start


def refuse_compressed(path: str) -> None:
    """Say so if a file is compressed: its blocks cannot be read from the middle of it."""
    try:
        with open_file(path) as file:
            head = file.read(4)
    except OSError as error:
        raise cannot_read(path, error) from None
    if head.startswith(_COMPRESSED):
        raise DataError(f"{path} is compressed, so that its blocks cannot be read apart: unpack it, or use Parquet")
