"""Sources from .npy files, by memory map: rows are read from disk when they are needed, and never copied."""

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..protocols import Rows
from .arrays import as_features
from .cut import cut, cut_parts
from .paths import check_rows, expand

Array = npt.NDArray[Any]
Paths = str | PathLike[str] | Sequence[str | PathLike[str]]


@dataclass(frozen=True)
class NpyPiece:
    """Some rows of a file."""

    path: str
    start: int
    stop: int

    def read(self) -> Array:
        """The rows, as a memory map."""
        values = _open(self.path)
        if len(values) < self.stop:
            raise DataError(f"{self.path} has become shorter since its rows were counted")
        return values[self.start : self.stop]


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

    def read(self) -> Rows:
        """The rows."""
        try:
            X = as_features(_joined(self.X))
        except DataError as error:
            raise DataError(f"{self}: {error}") from None
        y, weight, offset = (None if part is None else _joined(part) for part in (self.y, self.weight, self.offset))
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
    X : path, or sequence of paths
        Features: files of (n, p) arrays, directories (all `*.npy` in them) and globs; readable by the workers under
        the same path. The rows of several files follow one another in the order given, within a directory or glob in
        the order of names. float32, float64 and uint8 are not copied.
    y, sample_weight, offset : path or sequence of paths, optional
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
    files, rows, columns = _shapes(X, 2)
    check_rows(files, rows)
    pieces = cut(sum(rows), columns, blocks, block_rows)
    others: list[list[Any]] = []
    for name, paths in (("y", y), ("sample_weight", sample_weight), ("offset", offset)):
        if paths is None:
            others.append([None] * len(pieces))
            continue
        own_files, own_rows, _ = _shapes(paths, 1)
        if sum(own_rows) != sum(rows):
            raise DataError(f"X has {sum(rows)} rows and {name} has {sum(own_rows)}: {files[0]} and {own_files[0]}")
        others.append(_pieces(own_files, own_rows, pieces))
    parts = zip(_pieces(files, rows, pieces), *others, strict=True)
    return [NpySource(features, target, weight, extra, scale) for features, target, weight, extra in parts]


def _pieces(files: list[str], rows: list[int], pieces: list[tuple[int, int]]) -> list[Any]:
    blocks = cut_parts(rows, pieces)
    return [tuple(NpyPiece(files[part], start, stop) for part, start, stop in parts) for parts in blocks]


def _shapes(paths: Paths, dimensions: int) -> tuple[list[str], list[int], int]:
    """Files, the rows of each, and their columns."""
    files = expand(paths, (".npy",))
    shapes = [_open(path).shape for path in files]
    wanted = "two dimensions, rows by columns" if dimensions == 2 else "one dimension"
    for path, shape in zip(files, shapes, strict=True):
        if len(shape) != dimensions:
            raise DataError(f"{path} has shape {shape}: it must have {wanted}")
        if shape[1:] != shapes[0][1:]:
            raise DataError(f"{path} has {shape[1]} columns and {files[0]} has {shapes[0][1]}: all need the same")
    return files, [shape[0] for shape in shapes], shapes[0][1] if dimensions == 2 else 1


def _open(path: str) -> Array:
    try:
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from None
    except (ValueError, EOFError, AttributeError) as error:
        raise DataError(f"{path} is not a whole .npy file of numbers: {error}") from None


def _joined(pieces: tuple[NpyPiece, ...]) -> Array:
    return pieces[0].read() if len(pieces) == 1 else np.concatenate([piece.read() for piece in pieces])
