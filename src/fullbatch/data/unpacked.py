"""Text files as they are read: packed ones are unpacked once in each process that reads them, to a temporary file.

Blocks are read by their bytes, and neither the middle of a packed file nor that of UTF-16 can be found so. What is read
in their place is a temporary file without a name, of the unpacked text in UTF-8. It is gone with the last source that
reads it, or with the process.
"""

import codecs
import io
import lzma
import os
import re
import tempfile
import threading
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import count
from typing import IO, Any
from weakref import WeakValueDictionary, finalize

import pyarrow as pa

from ..errors import DataError
from ..wording.messages import first_line
from .paths import cannot_read, open_file, stamp

# Bytes of unpacked text that a process keeps; the last file is kept whatever its size, others are unpacked again.
_KEPT = 2**34
_CHUNK = 2**20
# So many first bytes tell how a file is packed and encoded.
_HEAD = 1024
_MAGIC = {  # text may begin with the three letters of bzip2, so that the number behind them counts too
    rb"\x1f\x8b": "gzip",
    rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)": "bz2",
    rb"\xfd7zXZ\0": "xz",
    rb"\x28\xb5\x2f\xfd": "zstd",
}
# What xz may take while it unpacks; its strongest setting takes half of this.
_XZ_MEMORY = 2**27
_MARKS = {  # the longer ones first: one begins with another
    codecs.BOM_UTF8: "utf8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# In these, what looks like a line end or a quotation mark may be part of another character.
_STATEFUL = ("utf-7", "hz", "idna", "punycode", "undefined", "unicode-escape", "raw-unicode-escape")


@dataclass
class TextFile:
    """A text file, how it is packed, and how it is encoded.

    Parameters
    ----------
    path : str
        The file.
    packing : str
        "gzip", "bz2", "xz" or "zstd"; empty for a plain file.
    wide : str
        Encoding of text that is made UTF-8 while it is unpacked; empty for other text.
    encoding : str
        Of the text that `open` gives.
    start : int
        Byte at which that begins, behind a byte order mark.
    """

    path: str
    packing: str = ""
    wide: str = ""
    encoding: str = "utf8"
    start: int = 0
    _unpacked: "_Unpacked | None" = field(default=None, init=False, repr=False, compare=False)

    def open(self) -> IO[bytes]:
        """The text, to read from.

        Raises
        ------
        DataError
            The file cannot be opened, or is damaged, or there is no room for what is in it.
        """
        if not self.packing and not self.wide:
            return open_file(self.path)
        self._unpacked = _shared(self)
        return io.BufferedReader(_Reader(self._unpacked.text_of(self)))

    def contents(self) -> Iterator[bytes]:
        """All of its text, piece by piece, straight from the file."""
        if not self.wide:
            yield from _unpack(self.path, self.packing)
            return
        decoder, lines = codecs.getincrementaldecoder(self.wide)(), 0
        try:
            for content in _unpack(self.path, self.packing):
                text = decoder.decode(content)
                lines += text.count("\n")
                yield text.encode()
            decoder.decode(b"", final=True)
        except UnicodeError as error:
            raise DataError(
                f"{self.path}: after {lines} line ends the text is not {self.wide} as it should be ({error}): tell its "
                "encoding, or write it again"
            ) from None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_unpacked": None}


def text_file(path: str, encoding: str = "utf8") -> TextFile:
    """What a file's first bytes tell of it.

    Parameters
    ----------
    path : str
        The file.
    encoding : str
        As it is told; a byte order mark knows better.

    Raises
    ------
    DataError
        It is no text.
    ValueError
        There is no such encoding, or it cannot be used.
    """
    name = _checked(encoding)
    packing, head = first_bytes(path)
    mark = next((mark for mark in _MARKS if head.startswith(mark)), b"")
    name = _MARKS.get(mark, name)
    if name.startswith(("utf-16", "utf-32")):
        return TextFile(path, packing, name)
    if b"\0" in head.partition(b"\n")[0]:
        raise DataError(
            f"{path}: there are NUL bytes in its first line. If it is UTF-16, tell its encoding, such as "
            '"utf-16-le", or convert it to UTF-8'
        )
    return TextFile(path, packing, "", "utf8" if mark else encoding, len(mark))


def first_bytes(path: str) -> tuple[str, bytes]:
    """How a file is packed, or "", and the first bytes of what is in it."""
    try:
        with open_file(path) as file:
            head = file.read(_HEAD)
    except OSError as error:
        raise cannot_read(path, error) from None
    packing = next((packing for magic, packing in _MAGIC.items() if re.match(magic, head)), "")
    if packing:
        with closing(_unpack(path, packing)) as contents:
            head = next(contents, b"")[:_HEAD]
    return packing, head


def as_utf8(head: bytes) -> bytes:
    """The first bytes of a text, in UTF-8 if a byte order mark tells another encoding."""
    mark = next((mark for mark in _MARKS if head.startswith(mark)), b"")
    return head[len(mark) :] if _MARKS.get(mark, "utf8") == "utf8" else head.decode(_MARKS[mark], "ignore").encode()


def _checked(encoding: str) -> str:
    """The usual name of an encoding in which rows can be found."""
    try:
        known = codecs.lookup(encoding)
    except LookupError:
        raise ValueError(f"unknown encoding {encoding!r}: for example utf8, latin1 or cp1252") from None
    name = known.name
    if name.startswith(("utf-16", "utf-32")):
        return name
    ascii_text = bytes(range(128))
    try:
        usable = not name.startswith(("iso2022", *_STATEFUL)) and ascii_text.decode(encoding) == ascii_text.decode()
    except (LookupError, UnicodeError):  # a codec of other things than text, or not all of ASCII is in it
        usable = False
    if not usable:
        raise ValueError(
            f"the encoding {encoding!r} cannot be read, since ASCII is not the same in it: convert the text to UTF-8"
        )
    return name


def _unpack(path: str, packing: str) -> Generator[bytes, None, None]:
    with open_file(path) as file:
        try:
            if packing == "xz":
                yield from _unpack_xz(file)
                return
            stream = pa.PythonFile(file, "r")
            if packing:
                stream = pa.CompressedInputStream(stream, packing)
            while content := stream.read(_CHUNK):
                yield content
        except (EOFError, OSError, lzma.LZMAError, pa.ArrowInvalid) as error:
            raise DataError(
                f"{path} is damaged, or not whole: {first_line(error)}. Fetch it again, or pack it again"
            ) from None


def _unpack_xz(file: IO[bytes]) -> Iterator[bytes]:
    """Members one after another; the standard library's reader takes the rest behind damage for the end."""
    member, packed = lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY), file.read(_CHUNK)
    while True:
        if content := member.decompress(packed, _CHUNK):
            yield content
        packed = b""
        if member.eof:
            packed = member.unused_data.lstrip(b"\0")
            while not packed and (more := file.read(_CHUNK)):
                packed = more.lstrip(b"\0")
            if not packed:
                return
            member = lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY)
        elif member.needs_input and not (packed := file.read(_CHUNK)):
            raise EOFError("it ends in the middle")


class _Text:
    """A temporary file: closed, and so gone, with the last who reads it."""

    def __init__(self, file: TextFile) -> None:
        try:
            self.file: IO[bytes] = tempfile.TemporaryFile(prefix="fullbatch-")  # noqa: SIM115 - see finalize
        except OSError as error:
            raise _no_room(file.path, error) from None
        finalize(self, self.file.close)
        self.lock = threading.Lock()
        for content in file.contents():
            try:
                self.file.write(content)
            except OSError as error:
                raise _no_room(file.path, error) from None
        try:
            self.file.flush()
        except OSError as error:
            raise _no_room(file.path, error) from None
        self.size = self.file.tell()


def _no_room(path: str, error: OSError) -> DataError:
    return DataError(
        f"{path} cannot be unpacked to a temporary file: {error.strerror or error}. Set TMPDIR to a directory with "
        "more room, or unpack the file where there is room for it"
    )


class _Reader(io.RawIOBase):
    """A place in the text, of which each reader has its own."""

    def __init__(self, text: _Text) -> None:
        self._text, self._place = text, 0

    def readinto(self, into: Any) -> int:
        with self._text.lock:
            self._text.file.seek(self._place)
            size: int = self._text.file.readinto(into)  # type: ignore[attr-defined]
        self._place += size
        return size

    def seek(self, place: int, whence: int = 0) -> int:
        self._place = place + (self._text.size if whence == 2 else self._place if whence == 1 else 0)
        return self._place

    def tell(self) -> int:
        return self._place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


class _Unpacked:
    """The text of one file, once it is unpacked: threads that need it wait for the one that does it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.text: _Text | None = None
        self.used = 0

    def text_of(self, file: TextFile) -> _Text:
        with self.lock:
            text = self.text = self.text or _Text(file)
        self.used = next(_clock)
        _drop_others(self)
        return text


# What sources of a file share in this process, as long as one of them lives.
_files: "WeakValueDictionary[tuple[Any, ...], _Unpacked]" = WeakValueDictionary()
_files_lock = threading.Lock()
_clock = count()


def _shared(file: TextFile) -> _Unpacked:
    key = (os.getpid(), file.path, file.packing, file.wide, stamp(file.path))
    with _files_lock:
        return _files.setdefault(key, _Unpacked())


def _drop_others(last: _Unpacked) -> None:
    """Keep no more than `_KEPT` bytes: those that were used last."""
    with _files_lock:
        room = _KEPT
        for unpacked in sorted(_files.values(), key=lambda one: one.used, reverse=True):
            text = unpacked.text
            room -= 0 if text is None else text.size
            if room < 0 and unpacked is not last:
                unpacked.text = None  # who reads it now has it until done
