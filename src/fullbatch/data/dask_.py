"""Sources from Dask data frames and arrays: the workers compute the partitions that they need."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import DataError, MissingExtraError
from ..protocols import Rows, Size
from .arrays import as_features, is_dask_array
from .cut import cut, cut_parts
from .frames import as_table

try:
    import dask
except ImportError as error:
    raise MissingExtraError("dask", "dask") from error

Array = npt.NDArray[Any]


def _computed(delayed: Any) -> Any:
    """A partition or a chunk, computed by the calling thread."""
    return delayed.compute(scheduler="synchronous")


@dataclass(frozen=True, eq=False)
class Partition:
    """A partition of a Dask data frame.

    Parameters
    ----------
    number : int
        Of the partition within the frame.
    delayed : dask.delayed.Delayed
        How it is computed.
    rows, nbytes : int
        How many rows it has, and what they take as an Arrow table.
    """

    number: int
    delayed: Any
    rows: int
    nbytes: int

    first_row = 0

    @property
    def where(self) -> str:
        """What it is read from."""
        return f"partition {self.number} of the Dask data frame"

    def decode(self, names: list[str]) -> pa.Table:
        """These columns of its rows."""
        return as_table(_computed(self.delayed)).select(names)


def partitions(frame: Any) -> tuple[list[Partition], list[pa.Schema]]:
    """The partitions of a Dask data frame in the order of its rows, and the columns of each.

    The frame is computed once, to count rows and to learn types, by the scheduler that Dask is set to.
    """
    parts = frame.to_delayed()
    shape = dask.delayed(_shape)
    told = dask.compute(*(shape(part) for part in parts))
    filled = [(number, part, one) for number, (part, one) in enumerate(zip(parts, told, strict=True)) if one[0]]
    if not filled:
        raise DataError("no rows: the Dask data frame is empty, at least one row is needed")
    found = [Partition(number, part, rows, nbytes) for number, part, (rows, nbytes, _) in filled]
    return found, [schema for _, _, (_, _, schema) in filled]


def _shape(frame: Any) -> tuple[int, int, pa.Schema]:
    table = as_table(frame)
    return table.num_rows, table.nbytes, table.schema


@dataclass(frozen=True, eq=False)
class ChunkPiece:
    """Some rows of the chunks of a Dask array and of the columns beside it."""

    number: int
    start: int
    stop: int
    chunks: tuple[Any, ...]

    def read(self) -> list[Array | None]:
        """The rows of each."""
        return [
            None if chunk is None else np.asarray(_computed(chunk))[self.start : self.stop] for chunk in self.chunks
        ]


@dataclass(frozen=True, eq=False)
class DaskArraySource:
    """The rows of one block of a Dask array.

    Parameters
    ----------
    pieces : tuple of ChunkPiece
        In the order of the rows.
    scale : float
        The value of a feature is the stored value times this.
    names : tuple of str
        Of the columns; may be empty.
    row_bytes, chunk_bytes : int
        What a row takes in memory, and the largest chunk.
    """

    pieces: tuple[ChunkPiece, ...]
    scale: float
    names: tuple[str, ...]
    row_bytes: int
    chunk_bytes: int

    @property
    def size(self) -> Size:
        """By the shapes and types; a chunk is computed as a whole."""
        rows = sum(piece.stop - piece.start for piece in self.pieces)
        return Size(rows, rows * self.row_bytes, reading=self.chunk_bytes)

    def read(self) -> Rows:
        """The rows."""
        columns = zip(*(piece.read() for piece in self.pieces), strict=True)
        X, y, weight, offset = (None if parts[0] is None else np.concatenate(parts) for parts in columns)
        return Rows(as_features(X), y, weight, self.scale, offset, (), self.names)

    def __str__(self) -> str:
        return " and ".join(
            f"chunk {one.number} of the Dask array rows {one.start}..{one.stop - 1}" for one in self.pieces
        )


def dask_array_sources(
    X: Any,
    y: Any,
    sample_weight: Any,
    offset: Any,
    scale: float,
    names: tuple[str, ...],
    blocks: int | None,
    block_rows: int | None,
) -> list[DaskArraySource]:
    """Cut Dask arrays into sources: see `fullbatch.array_sources`."""
    from dask import array

    if X.ndim != 2:
        raise DataError(f"X has {X.ndim} dimension(s), it must have two, rows by columns: Reshape your data")
    X = _of_known_chunks(X).rechunk({1: -1})
    rows = [int(count) for count in X.chunks[0]]
    if not sum(rows):
        raise DataError("no rows: the Dask array is empty, at least one row is needed")
    beside = []
    for name, column in (("y", y), ("sample_weight", sample_weight), ("offset", offset)):
        if column is None:
            beside.append([None] * len(rows))
            continue
        if hasattr(column, "to_dask_array"):  # a series
            column = column.to_dask_array()
        column = _of_known_chunks(column) if is_dask_array(column) else array.from_array(np.asarray(column))
        if column.shape != X.shape[:1]:
            raise DataError(f"X has {sum(rows)} rows and {name} has shape {column.shape}: it must be ({sum(rows)},)")
        beside.append(column.rechunk((X.chunks[0],)).to_delayed().tolist())
    chunks = list(zip(X.to_delayed()[:, 0].tolist(), *beside, strict=True))
    width = X.dtype.itemsize if X.dtype.kind == "f" or X.dtype == np.uint8 else 8
    row_bytes = X.shape[1] * width + 8 * sum(column[0] is not None for column in beside)
    return [
        DaskArraySource(
            tuple(ChunkPiece(part, start, stop, chunks[part]) for part, start, stop in parts),
            scale,
            names,
            row_bytes,
            max(rows) * row_bytes,
        )
        for parts in cut_parts(rows, cut(sum(rows), X.shape[1], blocks, block_rows))
    ]


def _of_known_chunks(array: Any) -> Any:
    """Of an array made from a data frame, the lengths of chunks are counted."""
    return array.compute_chunk_sizes() if any(count != count for sizes in array.chunks for count in sizes) else array
