"""Sources from .npz files: arrays that NumPy saved together, or a sparse matrix that SciPy saved."""

import glob
import io
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..protocols.rows import Rows, Size
from ..wording.messages import first_line
from .contents import not_whole
from .cut import cut, cut_parts
from .features import as_features, feature_bytes
from .npy import NpyHeader, NpyPiece, Paths, joined_pieces, npy_header, pieces_beside
from .parts import PartPiece, Shared
from .paths import check_rows, expand, open_file

Array = npt.NDArray[Any]

# No packed byte stands for more: the limit of the method.
_MOST_PACKED = 1032
_CHUNK = 2**20
_HEADER_BYTES = 2**14
# Arrays of SciPy's formats, beside `data`.
_SPARSE = {
    "csr": ("indices", "indptr"),
    "csc": ("indices", "indptr"),
    "bsr": ("indices", "indptr"),
    "coo": ("row", "col"),
}


class _Beside(NamedTuple):
    """Names of the arrays beside the features, or None."""

    y: str | None
    weight: str | None
    offset: str | None


@dataclass(frozen=True)
class Archive:
    """A file, which is unpacked as a whole.

    Parameters
    ----------
    where : str
        The file.
    rows, columns, stored : int
        Rows and columns of its features, and how many of their values it stores.
    dtype : str
        Of the features.
    sparse : str or None
        The format of SciPy that they have.
    beside : _Beside
        Its arrays of targets, weights and offsets.
    nbytes : int
        What it takes in memory while it is decoded.
    """

    where: str
    rows: int
    columns: int
    stored: int
    dtype: str
    sparse: str | None
    beside: _Beside
    nbytes: int

    first_row = 0

    def decode(self, names: list[str]) -> list[Any]:
        """Features, targets, weights and offsets of all of its rows."""
        with _opened(self.where) as archive:
            X = _matrix(archive, self.sparse) if self.sparse else archive.array("X")
            if X.shape != (self.rows, self.columns):
                raise DataError(f"{self.where} has changed its shape since its rows were counted")
            return [X, *(None if name is None else archive.array(name, (self.rows,)) for name in self.beside)]


@dataclass(frozen=True)
class NpzSource:
    """The rows of one block.

    Parameters
    ----------
    pieces : tuple of PartPiece
        Of files, in the order of the rows.
    beside : tuple of tuple of NpyPiece or None
        Targets, weights and offsets that stand in .npy files.
    scale : float
        The value of a feature is the stored value times this.
    row_bytes : float
        What a row takes in memory, on average.
    shared : Shared
        Files that neighbouring blocks read.
    """

    pieces: tuple[PartPiece, ...]
    beside: tuple[tuple[NpyPiece, ...] | None, ...]
    scale: float
    row_bytes: float
    shared: Shared

    @property
    def size(self) -> Size:
        """By the shapes and types."""
        rows = sum(piece.length for piece in self.pieces)
        reading = sum(piece.reading for piece in self.pieces)
        return Size(rows, round(rows * self.row_bytes), reading, self.shared.nbytes)

    def read(self) -> Rows:
        """The rows."""
        X, *inside = zip(*map(self._read, self.pieces), strict=True)
        y, weight, offset = (
            joined_pieces(own) if own is not None else None if parts[0] is None else np.concatenate(parts)
            for own, parts in zip(self.beside, inside, strict=True)
        )
        try:
            return Rows(as_features(_stacked(X)), y, weight, self.scale, offset)
        except DataError as error:
            raise DataError(f"{self}: {error}") from None

    def _read(self, piece: PartPiece) -> list[Any]:
        arrays = self.shared.read(piece.number, piece.part, piece.length, [])
        return [None if array is None else array[piece.start : piece.start + piece.length] for array in arrays]

    def release(self) -> None:
        """Let go of the files."""
        self.shared.release()

    def __str__(self) -> str:
        return " and ".join(f"{piece.where} rows {piece.first_row}..{piece.stop - 1}" for piece in self.pieces)


def npz_sources(
    paths: Paths,
    target: Any = None,
    weight: Any = None,
    offset: Any = None,
    scale: float = 1.0,
    blocks: int | None = None,
    block_rows: int | None = None,
) -> list[NpzSource]:
    """Cut .npz files into sources, one per block. Only the headers of their arrays are read here.

    A file has the features as the array X, or is a sparse matrix that `scipy.sparse.save_npz` wrote.

    Parameters
    ----------
    paths : path or URL, or sequence of them
        Files, directories (all `*.npz` in them) and globs. The rows of several files follow one another.
    target, weight, offset : str, or path or URL, or sequence of them, optional
        Names of arrays in the files, or .npy files; default: the arrays y, sample_weight or weight, and offset, if they
        are there.
    scale, blocks, block_rows
        As for `fullbatch.npy_sources`.

    Raises
    ------
    DataError
        A file is missing or damaged, shapes do not fit together, or there are no rows.
    """
    if not np.isfinite(scale):
        raise DataError(f"scale must be finite, got {scale}")
    files = expand(paths, (".npz",))
    told = {"y": target, "weight": weight, "offset": offset}
    archives, outside = [], dict.fromkeys(told)
    for path in files:
        with _opened(path) as archive:
            inside = archive.beside(told)
            archives.append(_looked_at(archive, inside))
        outside = {name: told[name] for name, array in inside._asdict().items() if array is None}
    rows = [archive.rows for archive in archives]
    check_rows(files, rows)
    _check_alike(archives)
    first, stored = archives[0], sum(archive.stored for archive in archives) / sum(rows)
    pieces = cut(sum(rows), stored, blocks, block_rows, first.columns)
    columns = [pieces_beside(name, outside.get(name), files[0], sum(rows), pieces) for name in told]
    value_bytes = max(feature_bytes(np.dtype(archive.dtype)) for archive in archives) + (4 if first.sparse else 0)
    row_bytes = stored * value_bytes + 8 * sum(told[name] is not None or name not in outside for name in told)
    shared = Shared(2 * max(archive.nbytes for archive in archives))
    return [
        NpzSource(
            tuple(PartPiece(archives[part], part, start, stop - start, shared) for part, start, stop in parts),
            beside,
            scale,
            row_bytes,
            shared,
        )
        for parts, beside in zip(cut_parts(rows, pieces), zip(*columns, strict=True), strict=True)
    ]


def _looked_at(archive: "_Arrays", beside: _Beside) -> Archive:
    """What an archive tells of its features."""
    path, sparse = archive.path, archive.sparse
    if sparse is None:
        if "X" not in archive.names:
            raise DataError(
                f"{path} has the arrays {', '.join(map(repr, archive.names))}: the features must be named 'X', and the "
                "rest y, sample_weight and offset, as numpy.savez(path, X=X, y=y) writes them"
            )
        header = archive.header("X")
        if len(header.shape) != 2:
            raise DataError(f"{path}: X has shape {header.shape}: it must have two dimensions, rows by columns")
        rows, columns = header.shape
        stored, nbytes = rows * columns, rows * header.row_bytes
    else:
        shape, header = archive.array("shape").tolist(), archive.header("data")
        if len(shape) != 2 or not all(isinstance(count, int) and 0 <= count < 2**63 for count in shape):
            raise DataError(f"{path} has shape {shape}: it must have two dimensions, rows by columns")
        rows, columns = shape
        stored = prod(header.shape)
        nbytes = sum(
            prod(one.shape) * np.dtype(one.dtype).itemsize for one in map(archive.header, ("data", *_SPARSE[sparse]))
        )
        if sparse == "csr" and archive.header("indptr").shape != (rows + 1,):
            raise DataError(f"{path} is damaged: it tells of {rows} rows, and not where each begins: write it again")
    if rows and not columns:
        raise DataError(f"{path} has shape {(rows, columns)}: at least one column is needed")
    for name in beside:
        if name is not None and archive.header(name).shape != (rows,):
            raise DataError(f"{path}: X has {rows} rows and {name} has shape {archive.header(name).shape}")
    return Archive(path, rows, columns, stored, header.dtype, sparse, beside, 2 * nbytes)


def _check_alike(archives: list[Archive]) -> None:
    first = archives[0]
    for archive in archives:
        if archive.columns != first.columns:
            raise DataError(
                f"{archive.where} has {archive.columns} columns and {first.where} has {first.columns}: all need the "
                "same"
            )
        if (archive.sparse is None) != (first.sparse is None):
            raise DataError(f"{archive.where} and {first.where}: one is sparse and the other is not: give one kind")
        if archive.beside != first.beside:
            mine, others = (", ".join(["X", *filter(None, one.beside)]) for one in (archive, first))
            raise DataError(f"{archive.where} has the arrays {mine} and {first.where} has {others}: all need the same")


def _stacked(parts: tuple[Any, ...]) -> Any:
    """Rows of several files; those of one are a copy, so that they do not keep all of it in memory."""
    if hasattr(parts[0], "tocsr"):
        from scipy.sparse import vstack

        return parts[0] if len(parts) == 1 else vstack(parts, format="csr")
    return np.concatenate(parts)


def _matrix(archive: "_Arrays", sparse: str) -> Any:
    """A sparse matrix by row, whose indices are those of columns that are there."""
    import scipy.sparse

    shape = tuple(archive.array("shape").tolist())
    data, *places = (archive.array(name) for name in ("data", *_SPARSE[sparse]))
    try:
        if sparse == "coo":
            return scipy.sparse.coo_array((data, tuple(places)), shape).tocsr()
        matrix = getattr(scipy.sparse, f"{sparse}_array")((data, *places), shape)
        matrix.check_format(full_check=True)
        return matrix.tocsr()
    except (ValueError, TypeError, IndexError, OverflowError, MemoryError) as error:
        raise DataError(f"{archive.path} is no whole sparse matrix: {first_line(error)}: write it again") from None


class _Arrays:
    """The arrays of an archive, by their names."""

    def __init__(self, path: str, archive: zipfile.ZipFile, size: int) -> None:
        self.path, self._archive, self._size = path, archive, size
        self._members = {one.filename.removesuffix(".npy"): one for one in archive.infolist()}
        self.names = list(self._members)

    @property
    def sparse(self) -> str | None:
        """SciPy's format, if it is a sparse matrix."""
        if not {"format", "shape", "data"} <= set(self.names):
            return None
        told = self.array("format").tolist()
        name = told.decode("latin1") if isinstance(told, bytes) else str(told)
        if name not in _SPARSE:
            raise DataError(f"{self.path} is a sparse matrix of the format {name!r}: write its tocsr()")
        for array in _SPARSE[name]:
            self._member(array)
        return name

    def beside(self, told: Mapping[str, Any]) -> _Beside:
        """Names of the arrays of targets, weights and offsets, as they are told or as they are called by default."""
        defaults = {"y": ("y",), "weight": ("sample_weight", "weight"), "offset": ("offset",)}
        found: dict[str, str | None] = {}
        for name, given in told.items():
            there = [one for one in (defaults[name] if given is None else (given,)) if one in self._members]
            if len(there) > 1:
                raise DataError(f"{self.path} has {there[0]} and {there[1]}: tell which one counts, {name}=...")
            if not there and isinstance(given, str) and not glob.has_magic(given) and not Path(given).suffix:
                self._member(given)
            found[name] = there[0] if there else None
        return _Beside(**found)

    def header(self, name: str) -> NpyHeader:
        """What an array says of itself."""
        member = self._member(name)
        packed = member.compress_size
        if packed > self._size or member.file_size > (_MOST_PACKED * packed if member.compress_type else packed):
            raise DataError(
                f"{self.path} is damaged: {name} tells of {member.file_size} bytes, more than {packed} packed ones can "
                "hold: write it again"
            )
        head = self._read(member, lambda file: file.read(_HEADER_BYTES))
        return npy_header(io.BytesIO(head), f"{self.path}: {name}", member.file_size)

    def array(self, name: str, shape: tuple[int, ...] | None = None) -> Array:
        """An array, of that shape if one is told."""
        header, member = self.header(name), self._member(name)
        if shape is not None and header.shape != shape:
            raise DataError(f"{self.path} has changed its shape since its rows were counted")
        content = np.empty(member.file_size, np.uint8)

        def read(file: Any) -> None:
            for start in range(0, len(content), _CHUNK):  # so that no more memory is touched than there are bytes
                chunk = file.read(min(_CHUNK, len(content) - start))
                content[start : start + len(chunk)] = np.frombuffer(chunk, np.uint8)
                if len(chunk) < min(_CHUNK, len(content) - start):
                    raise EOFError(f"it ends after {start + len(chunk)} of {len(content)} bytes")
            file.read(1)  # at its end the checksum is compared

        self._read(member, read)
        count = prod(header.shape) * np.dtype(header.dtype).itemsize
        values = content[header.offset : header.offset + count].view(header.dtype)
        return values.reshape(header.shape, order="F" if header.by_column else "C")

    def _member(self, name: str) -> zipfile.ZipInfo:
        if name not in self._members:
            raise DataError(f"{self.path} has no array {name!r}: it has {', '.join(map(repr, self.names))}")
        return self._members[name]

    def _read(self, member: zipfile.ZipInfo, action: Any) -> Any:
        try:
            with self._archive.open(member) as file:
                return action(file)
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as error:
            raise DataError(
                f"{self.path}: {member.filename} cannot be read: {first_line(error)}: write it again"
            ) from None


@contextmanager
def _opened(path: str) -> Iterator[_Arrays]:
    """The arrays of a file."""
    with open_file(path) as file:
        try:
            archive = zipfile.ZipFile(file)
        except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError) as error:
            raise not_whole(path, "npz", error, ".npz file") from None
        with archive:
            yield _Arrays(path, archive, file.seek(0, 2))
