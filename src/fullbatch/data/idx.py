"""Sources from IDX files, the format of MNIST: a header that tells type and shape, then the values, big-endian."""

import gzip
import math
import threading
import zlib
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple
from weakref import WeakValueDictionary

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..protocols.rows import Rows, Size
from ..wording.messages import first_line
from .cut import cut
from .paths import cannot_read, open_file

Array = npt.NDArray[Any]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


# No packed byte stands for more: the limit of the method.
_MOST_PACKED = 1032
_CHUNK = 2**20


class IdxHeader(NamedTuple):
    """What an IDX file says of itself."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    offset: int


def read_header(path: str | PathLike[str]) -> IdxHeader:
    """Type and shape of an IDX file, gzip-compressed or not.

    Raises
    ------
    DataError
        The file is missing, not IDX, or does not have the size that its header tells of.
    """
    with _open(path) as file:
        magic = _read(file, 4, path)
        if magic[:2] != b"\0\0" or magic[2] not in _TYPES or not 1 <= magic[3] <= 32:
            raise DataError(
                f"{path} is not an IDX file: it begins with {magic.hex()}, not with 0000, a type and a rank"
            )
        rank = magic[3]
        shape = tuple(int(n) for n in np.frombuffer(_read(file, 4 * rank, path), ">u4"))
    header = IdxHeader(np.dtype(_TYPES[magic[2]]), shape, 4 + 4 * rank)
    told, size = header.offset + math.prod(shape) * header.dtype.itemsize, Path(path).stat().st_size
    if _is_gzip(path):
        if told > _MOST_PACKED * size:
            raise DataError(
                f"{path} is damaged: its header tells of {told} bytes, more than {size} packed ones can hold"
            )
    elif size != told:
        raise DataError(f"{path} is damaged: its header tells of {told} bytes and it has {size}")
    return header


def read_idx(path: str | PathLike[str], start: int = 0, stop: int | None = None) -> Array:
    """Rows of an IDX file.

    Parameters
    ----------
    path : path
        The file, gzip-compressed or not.
    start, stop : int
        Which rows; default: all.

    Returns
    -------
    (stop - start, ...) array in native byte order, not to be written to

    Raises
    ------
    DataError
        The file is missing, not IDX, or shorter or longer than its header says.
    """
    header = read_header(path)
    rows = header.shape[0] if stop is None else stop
    if _is_gzip(path):
        values = _decompressed(Path(path), header)
    else:
        if not math.prod(header.shape):
            return np.zeros(header.shape, header.dtype.newbyteorder("="))
        values = np.memmap(path, header.dtype, "r", header.offset, header.shape)
        values = np.array(values[start:rows])
        return values.astype(values.dtype.newbyteorder("="), copy=False)
    return values[start:rows]


@dataclass(frozen=True)
class IdxSource:
    """Some rows of a pair of IDX files: read by the worker, never sent to it.

    Parameters
    ----------
    features, labels : str
        Paths of the two files.
    start, stop : int
        Which rows.
    scale : float
        The value of a feature is the stored value times this.
    row_bytes : int
        What a row takes in memory.
    is_compressed : bool
        Whether the features are: all of them stay in memory while any row does.
    """

    features: str
    labels: str
    start: int
    stop: int
    scale: float
    row_bytes: int
    is_compressed: bool

    @property
    def size(self) -> Size:
        """By the header."""
        rows = self.stop - self.start
        return Size(rows, rows * self.row_bytes, held=self.is_compressed)

    def read(self) -> Rows:
        """The rows, each image as one row of features."""
        X, y = read_idx(self.features, self.start, self.stop), read_idx(self.labels, self.start, self.stop)
        if not len(X) == len(y) == self.stop - self.start:
            raise DataError(f"{self} are no longer there: {self.features} or {self.labels} has become shorter")
        X = X.reshape(X.shape[0], -1)
        if X.dtype not in (np.uint8, np.float32, np.float64):
            X = X.astype(np.float64)
        return Rows(X, y, None, self.scale)

    def __str__(self) -> str:
        return f"{self.features} rows {self.start}..{self.stop - 1}"


def idx_sources(
    features: str | PathLike[str],
    labels: str | PathLike[str],
    *,
    rows: tuple[int, int] | None = None,
    scale: float = 1.0,
    blocks: int | None = None,
    block_rows: int | None = None,
) -> list[IdxSource]:
    """Cut a pair of IDX files into sources, one per block.

    Parameters
    ----------
    features, labels : path
        The two files, gzip-compressed or not; readable by the workers under the same path.
    rows : (start, stop), optional
        Which rows; default: all.
    scale : float
        The value of a feature is the stored value times this: pixel bytes are `scale=1/255`.
    blocks, block_rows : int, optional
        How many blocks, or how many rows in each; default: by the shape of the data alone.

    Returns
    -------
    list of IdxSource

    Raises
    ------
    DataError
        A file is missing or not IDX, or the two do not have the same number of rows.
    """
    header = read_header(features)
    shape, label_shape = header.shape, read_header(labels).shape
    if len(label_shape) != 1 or label_shape[0] != shape[0]:
        raise DataError(
            f"{features} has {shape[0]} rows and {labels} has shape {label_shape}: they do not belong together"
        )
    if shape[0] and not math.prod(shape[1:]):
        raise DataError(f"{features} has shape {shape}: at least one column is needed")
    start, stop = rows if rows is not None else (0, shape[0])
    if not 0 <= start <= stop <= shape[0]:
        raise DataError(f"{features} has rows 0..{shape[0] - 1}; {start}..{stop - 1} were asked for")
    pieces = cut(stop - start, math.prod(shape[1:]), blocks, block_rows)
    paths = str(Path(features).absolute()), str(Path(labels).absolute())
    row_bytes = math.prod(shape[1:]) * (header.dtype.itemsize if header.dtype.kind in "fu" else 8) + 8
    zipped = _is_gzip(features)
    return [IdxSource(*paths, start + first, start + last, scale, row_bytes, zipped) for first, last in pieces]


# The blocks of one compressed file share what was decompressed, for as long as one of them lives.
_cache: "WeakValueDictionary[tuple[Path, int, int], Array]" = WeakValueDictionary()
_cache_lock = threading.Lock()


def _decompressed(path: Path, header: IdxHeader) -> Array:
    stat = path.stat()
    key = (path.absolute(), stat.st_mtime_ns, stat.st_size)
    with _cache_lock:
        values = _cache.get(key)
        if values is None:
            values = _cache[key] = _decompress(path, header)
    return values


def _decompress(path: Path, header: IdxHeader) -> Array:
    size = math.prod(header.shape) * header.dtype.itemsize
    # An array that owns its memory: only such a one is kept alive by views of it, as the cache needs.
    content = np.empty(size, np.uint8)
    with _open(path) as file:
        _read(file, header.offset, path)
        for start in range(0, size, _CHUNK):  # so that no more memory is touched than there are bytes
            content[start : start + _CHUNK] = np.frombuffer(_read(file, min(_CHUNK, size - start), path), np.uint8)
        try:
            rest = file.read(1)
        except (EOFError, OSError, zlib.error) as error:
            raise DataError(f"{path} is damaged: {first_line(error)}") from None
    if rest:
        raise DataError(f"{path} is damaged: it goes on after the {size} bytes of values its header tells of")
    return content.view(header.dtype).reshape(header.shape).astype(header.dtype.newbyteorder("="))


def _is_gzip(path: str | PathLike[str]) -> bool:
    with open_file(str(path)) as file:
        return file.read(2) == b"\x1f\x8b"


def _open(path: str | PathLike[str]) -> Any:
    try:
        return gzip.open(path) if _is_gzip(path) else open(path, "rb")
    except OSError as error:
        raise cannot_read(str(path), error) from None


def _read(file: Any, size: int, path: str | PathLike[str]) -> bytes:
    try:
        content: bytes = file.read(size)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path} is damaged: {first_line(error)}") from None
    if len(content) < size:
        raise DataError(f"{path} is damaged: it ends {size - len(content)} bytes before what its header tells of")
    return content
