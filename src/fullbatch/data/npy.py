"""Sources from .npy files: each block is read by its own bytes, on its worker."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from os import PathLike
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..protocols.rows import Rows, Size
from ..wording.messages import first_line
from .contents import check_content
from .cut import cut, cut_parts
from .features import AS_THEY_ARE, as_features, feature_bytes
from .paths import cannot_read, check_rows, expand, open_file

Array = npt.NDArray[Any]
Paths = str | PathLike[str] | Sequence[str | PathLike[str]]

# Memory that begins elsewhere than NumPy's, at a cache line: the kernel copies there several times faster.
_ALIGNED = 64
# NumPy's own limit, which keeps Python's parser from harm.
_LONGEST_HEADER = 10_000
_HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class NpyHeader(NamedTuple):
    """What a .npy file says of itself."""

    shape: tuple[int, ...]
    by_column: bool
    dtype: str
    offset: int

    @property
    def row_bytes(self) -> int:
        """Bytes of a row."""
        return prod(self.shape[1:]) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class NpyPiece:
    """Some rows of a file."""

    path: str
    start: int
    stop: int
    header: NpyHeader

    def read_into(self, out: Array) -> None:
        """Put the rows where they belong."""
        with open_file(self.path) as file:
            now = npy_header(file, self.path)
            if now.shape[0] < self.stop:
                raise DataError(f"{self.path} has become shorter since its rows were counted")
            if now._replace(shape=self.header.shape) != self.header or now.shape[1:] != self.header.shape[1:]:
                raise DataError(f"{self.path} has changed its type or its columns since its rows were counted")
            try:
                self._read(file, now, out)
            except OSError as error:
                raise cannot_read(self.path, error) from None

    def _read(self, file: IO[bytes], header: NpyHeader, out: Array) -> None:
        rows = self.stop - self.start
        if not header.by_column or len(header.shape) == 1:
            file.seek(header.offset + self.start * header.row_bytes)
            _fill(file, out, self.path)
            return
        column = np.empty(rows, header.dtype)
        for j in range(header.shape[1]):
            file.seek(header.offset + (j * header.shape[0] + self.start) * column.itemsize)
            _fill(file, column, self.path)
            out[:, j] = column


@dataclass(frozen=True)
class NpySource:
    """The rows of one block.

    Parameters
    ----------
    X : tuple of NpyPiece
        Features, in the order of the rows.
    y, weight, offset : tuple of NpyPiece or None
        Targets, sample weights and offsets.
    scale : float
        The value of a feature is the stored value times this.
    """

    X: tuple[NpyPiece, ...]
    y: tuple[NpyPiece, ...] | None
    weight: tuple[NpyPiece, ...] | None
    offset: tuple[NpyPiece, ...] | None
    scale: float

    @property
    def size(self) -> Size:
        """By the headers."""
        header, rows = self.X[0].header, sum(piece.stop - piece.start for piece in self.X)
        stored = np.dtype(header.dtype)
        beside = 8 * sum(part is not None for part in (self.y, self.weight, self.offset))
        X = rows * prod(header.shape[1:]) * feature_bytes(stored)
        return Size(rows, X + rows * beside, reading=0 if stored in AS_THEY_ARE else rows * header.row_bytes)

    def read(self) -> Rows:
        """The rows."""
        try:
            X = as_features(joined_pieces(self.X))
        except DataError as error:
            raise DataError(f"{self}: {error}") from None
        y, weight, offset = (
            None if part is None else joined_pieces(part) for part in (self.y, self.weight, self.offset)
        )
        return Rows(X, y, weight, self.scale, offset)

    def __str__(self) -> str:
        return " and ".join(f"{piece.path} rows {piece.start}..{piece.stop - 1}" for piece in self.X)


def npy_sources(
    X: Paths,
    y: Paths | None = None,
    sample_weight: Paths | None = None,
    offset: Paths | None = None,
    *,
    scale: float = 1.0,
    blocks: int | None = None,
    block_rows: int | None = None,
) -> list[NpySource]:
    """Cut .npy files into sources, one per block. Only their headers are read here.

    Parameters
    ----------
    X : path or URL, or sequence of them
        Features: files of (n, p) arrays, directories (all `*.npy` in them) and globs; readable by the workers under
        the same path. The rows of several files follow one another in the order given, within a directory or glob in
        the order of names. float32, float64, uint8 and int8 stay as they are.
    y, sample_weight, offset : path or URL, or sequence of them, optional
        Files of (n,) arrays with as many rows in all; their files need not be cut like those of X.
    scale : float
        The value of a feature is the stored value times this: pixel bytes are `scale=1/255`.
    blocks, block_rows : int, optional
        How many blocks, or how many rows in each; default: by the shape of X alone.

    Returns
    -------
    list of NpySource

    Raises
    ------
    DataError
        A file is missing or damaged, shapes do not fit together, or there are no rows.
    """
    if not np.isfinite(scale):
        raise DataError(f"scale must be finite, got {scale}")
    files, headers = npy_headers(X, 2)
    rows = [header.shape[0] for header in headers]
    check_rows(files, rows)
    pieces = cut(sum(rows), headers[0].shape[1], blocks, block_rows)
    others = [
        pieces_beside(name, paths, files[0], sum(rows), pieces)
        for name, paths in (("y", y), ("sample_weight", sample_weight), ("offset", offset))
    ]
    parts = zip(_pieces(files, headers, pieces), *others, strict=True)
    return [NpySource(features, target, weight, extra, scale) for features, target, weight, extra in parts]


def pieces_beside(
    name: str, paths: Paths | None, file: str, n_rows: int, pieces: list[tuple[int, int]]
) -> Sequence[tuple[NpyPiece, ...] | None]:
    """What each block reads of a column in files of its own.

    Parameters
    ----------
    name : str
        What the column is.
    paths : path or URL, or sequence of them, or None
        Its files.
    file : str
        Of the features, for messages.
    n_rows : int
        Rows of these.
    pieces : list of (start, stop)
        The blocks.

    Raises
    ------
    DataError
        It has another number of rows.
    """
    if paths is None:
        return [None] * len(pieces)
    files, headers = npy_headers(paths, 1)
    rows = sum(header.shape[0] for header in headers)
    if rows != n_rows:
        raise DataError(f"X has {n_rows} rows and {name} has {rows}: {file} and {files[0]}")
    return _pieces(files, headers, pieces)


def _pieces(files: list[str], headers: list[NpyHeader], pieces: list[tuple[int, int]]) -> list[Any]:
    blocks = cut_parts([header.shape[0] for header in headers], pieces)
    return [tuple(NpyPiece(files[part], start, stop, headers[part]) for part, start, stop in parts) for parts in blocks]


def npy_headers(paths: Paths, dimensions: int) -> tuple[list[str], list[NpyHeader]]:
    """Files, and what they say of themselves."""
    files = expand(paths, (".npy",))
    headers = []
    for path in files:
        check_content(path, "npy")
        with open_file(path) as file:
            headers.append(npy_header(file, path))
    wanted = "two dimensions, rows by columns" if dimensions == 2 else "one dimension"
    for path, header in zip(files, headers, strict=True):
        if len(header.shape) != dimensions:
            raise DataError(f"{path} has shape {header.shape}: it must have {wanted}")
        if header.shape[1:] != headers[0].shape[1:]:
            raise DataError(
                f"{path} has {header.shape[1]} columns and {files[0]} has {headers[0].shape[1]}: all need the same"
            )
    return files, headers


def npy_header(file: IO[bytes], path: str, size: int | None = None) -> NpyHeader:
    """What a file says of itself, or its first bytes if `size` tells how many there are in all."""
    try:
        size = file.seek(0, 2) if size is None else size
        file.seek(0)
        version = np.lib.format.read_magic(file)
        if version not in _HEADERS:
            raise ValueError(f"its version is {version[0]}.{version[1]}")
        begin, length = file.tell(), 2 if version == (1, 0) else 4
        length = int.from_bytes(file.read(length), "little")
        if length > min(_LONGEST_HEADER, size):
            raise ValueError(f"its header has {length} bytes")
        file.seek(begin)
        shape, by_column, dtype = _HEADERS[version](file)
        offset = file.tell()
    except OSError as error:
        raise cannot_read(path, error) from None
    except DataError:
        raise
    except Exception as error:  # NumPy reads headers with Python's own parser, whose errors are of many kinds
        raise DataError(f"{path} is not a whole .npy file of numbers: {first_line(error)}") from None
    if dtype.hasobject or dtype.names or dtype.subdtype or not dtype.itemsize:
        raise DataError(f"{path} is not a whole .npy file of numbers: it holds {dtype}")
    if not all(type(count) is int and count >= 0 for count in shape):
        raise DataError(f"{path} is not a whole .npy file of numbers: its header tells of the shape {shape}")
    told = offset + prod(shape) * dtype.itemsize
    if size < told:
        raise DataError(f"{path} is not a whole .npy file of numbers: it has {size} bytes and should have {told}")
    if len(shape) > 1 and shape[0] and not prod(shape[1:]):
        raise DataError(f"{path} has shape {shape}: at least one column is needed")
    return NpyHeader(shape, by_column, dtype.str, offset)


def joined_pieces(pieces: tuple[NpyPiece, ...]) -> Array:
    """The rows of several files, in a type that holds them all, by row in memory."""
    if len({piece.header.dtype for piece in pieces}) > 1:
        return np.concatenate([joined_pieces((piece,)) for piece in pieces])
    first = pieces[0].header
    rows = sum(piece.stop - piece.start for piece in pieces)
    raw = np.empty(rows * first.row_bytes + _ALIGNED, np.uint8)
    start = -raw.ctypes.data % _ALIGNED
    joined: Array = raw[start : start + rows * first.row_bytes].view(first.dtype).reshape(rows, *first.shape[1:])
    place = 0
    for piece in pieces:
        piece.read_into(joined[place : place + piece.stop - piece.start])
        place += piece.stop - piece.start
    return joined


def _fill(file: IO[bytes], out: Array, path: str) -> None:
    """Read as many bytes as `out` has."""
    rest = out.reshape(-1).view(np.uint8).data
    while len(rest):
        count = file.readinto(rest)  # type: ignore[attr-defined]
        if not count:
            raise DataError(f"{path} has become shorter since its rows were counted")
        rest = rest[count:]
