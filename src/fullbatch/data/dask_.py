"""Sources from Dask data frames and arrays: the workers compute the partitions that they need."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import DataError, MissingExtraError
from ..protocols.rows import Rows, Size
from .arrow import as_table
from .beside import ARGUMENTS, arrow_column, check_index, is_count, weights
from .columns import check_there
from .cut import cut, cut_parts
from .features import as_features, feature_bytes, refuse_masked
from .parts import PartPiece, Shared, check_length

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
    beside : mapping of str to pyarrow.Array
        Further columns of these rows.
    """

    number: int
    delayed: Any
    rows: int
    nbytes: int
    beside: Mapping[str, pa.Array]

    first_row = 0

    @property
    def where(self) -> str:
        """What it is read from."""
        return f"partition {self.number} of the Dask data frame"

    def decode(self, names: list[str]) -> pa.Table:
        """These columns of its rows."""
        table = as_table(_computed(self.delayed))
        check_length(self.where, table.num_rows, self.rows)
        for name, column in self.beside.items():
            table = table.append_column(name, column)
        check_there(names, table.column_names, self.where)
        return table.select(names)


def partitions(frame: Any, beside: Mapping[str, tuple[str, Any]]) -> tuple[list[Partition], list[pa.Schema]]:
    """The partitions of a Dask data frame in the order of its rows, and the columns of each.

    The frame is computed once, to count rows and to learn types, by the scheduler that Dask is set to.

    Parameters
    ----------
    frame : Dask data frame
        The table.
    beside : mapping of str to (meaning, values)
        Further columns, in memory: one value for each row, in their order, or one number for all.
    """
    _refuse_persisted(frame, "data frame")
    parts = frame.to_delayed()
    shape = dask.delayed(_shape)
    indexes = {meaning: values.index for meaning, values in beside.values() if hasattr(values, "index")}
    indexes = {meaning: index for meaning, index in indexes.items() if hasattr(index, "isin")}  # of pandas
    told = dask.compute(*(shape(part, bool(indexes)) for part in parts))
    starts = list(accumulate((rows for rows, *_ in told), initial=0))
    if not starts[-1]:
        raise DataError("no rows: the Dask data frame is empty, at least one row is needed")
    columns = {name: arrow_column(values, meaning, starts[-1]) for name, (meaning, values) in beside.items()}
    for meaning, index in indexes.items():
        check_index(_index_of([one[3] for one in told if one[0]]), index, ARGUMENTS[meaning])
    found, schemas = [], []
    for number, (part, (rows, nbytes, schema, _)) in enumerate(zip(parts, told, strict=True)):
        if rows:
            its = {name: column.slice(starts[number], rows) for name, column in columns.items()}
            found.append(Partition(number, part, rows, nbytes, its))
            fields = [pa.field(name, column.type) for name, column in its.items()]
            schemas.append(pa.schema([*schema, *fields], schema.metadata))
    return found, schemas


def _index_of(indexes: list[Any]) -> Any:
    """The index of a frame by those of its partitions, each of which may count its own rows."""
    first, *others = indexes
    if all(map(is_count, indexes)):
        return type(first)(sum(map(len, indexes)))
    return first.append(others)


def with_series(frame: Any, series: Mapping[str, Any]) -> Any:
    """A Dask data frame with series beside it as columns of these names, row by row as they stand.

    Dask would pair them by their indexes, of which it drops and repeats rows in silence where they differ.

    Raises
    ------
    DataError
        They are in other partitions; on computing: their partitions have other lengths or other indexes.
    """
    for name, one in series.items():
        _refuse_persisted(one, "series")
        if one.npartitions != frame.npartitions:
            raise DataError(
                f"the Dask data frame has {frame.npartitions} partitions and the {name} has {one.npartitions}: give "
                "both in the same partitions, or the name of a column"
            )
    meta = frame._meta.assign(**{name: one._meta.to_numpy() for name, one in series.items()})
    # In one expression, so that Dask, which may join partitions as it reads them, does it alike for all of them.
    return frame.map_partitions(_beside, *series.values(), names=tuple(series), meta=meta, align_dataframes=False)


def _beside(part: Any, *columns: Any, names: tuple[str, ...]) -> Any:
    """A partition with columns beside it, if they have its rows."""
    for name, column in zip(names, columns, strict=True):
        if len(column) != len(part):
            raise DataError(
                f"a partition of the Dask data frame has {len(part)} rows and that of the {name} has {len(column)}: "
                "give both of the same rows, or the name of a column"
            )
        if not part.index.equals(column.index):
            row = next((row for row, (a, b) in enumerate(zip(part.index, column.index, strict=True)) if a != b), 0)
            first, its = (index[row : row + 1].tolist()[0] for index in (part.index, column.index))
            raise DataError(
                f"the Dask data frame and the {name} have different indexes: row {row} of a partition is {first!r} and "
                f"{its!r}. Give both in one order, or reset both indexes"
            )
    return part.assign(**{name: column.to_numpy() for name, column in zip(names, columns, strict=True)})


def _refuse_persisted(collection: Any, kind: str) -> None:
    """Tasks that refer to what lies in the memory of a Dask cluster cannot be done again elsewhere."""
    if "distributed" in sys.modules:
        from distributed.client import futures_of

        if futures_of(collection):
            raise DataError(
                f"the Dask {kind} is persisted in a cluster, from where its partitions cannot be made again when a "
                "worker is lost: give it as it was before persist(), or write it to Parquet and read that"
            )


def _shape(frame: Any, with_index: bool) -> tuple[int, int, pa.Schema, Any]:
    table = as_table(frame)
    return table.num_rows, table.nbytes, table.schema, frame.index if with_index else None


@dataclass(frozen=True, eq=False)
class Chunk:
    """Some rows of a Dask array, with those of the columns beside it.

    Parameters
    ----------
    number : int
        Of the chunk within the array.
    delayed : tuple of dask.delayed.Delayed or None
        How features, targets, weights and offsets are computed.
    rows, nbytes : int
        How many rows it has, and what they take.
    """

    number: int
    delayed: tuple[Any, ...]
    rows: int
    nbytes: int

    first_row = 0

    @property
    def where(self) -> str:
        """What it is read from."""
        return f"chunk {self.number} of the Dask array"

    def decode(self, names: list[str]) -> list[Array | None]:
        """All of its rows."""
        computed = [None if one is None else _computed(one) for one in self.delayed]
        for one in computed:
            refuse_masked(self.where, one)
        return [None if one is None else np.asarray(one) for one in computed]


@dataclass(frozen=True, eq=False)
class DaskArraySource:
    """The rows of one block of a Dask array.

    Parameters
    ----------
    pieces : tuple of PartPiece
        Of chunks, in the order of the rows.
    scale : float
        The value of a feature is the stored value times this.
    names : tuple of str
        Of the columns; may be empty.
    row_bytes : int
        What a row takes in memory.
    shared : Shared
        Chunks that neighbouring blocks read.
    """

    pieces: tuple[PartPiece, ...]
    scale: float
    names: tuple[str, ...]
    row_bytes: int
    shared: Shared

    @property
    def size(self) -> Size:
        """By the shapes and types."""
        rows = sum(piece.length for piece in self.pieces)
        return Size(rows, rows * self.row_bytes, sum(piece.reading for piece in self.pieces), self.shared.nbytes)

    def read(self) -> Rows:
        """The rows."""
        read = zip(*map(self._read, self.pieces), strict=True)
        X, y, weight, offset = (None if parts[0] is None else np.concatenate(parts) for parts in read)
        try:
            return Rows(as_features(X), y, weight, self.scale, offset, (), self.names)
        except DataError as error:
            raise DataError(f"{self}: {error}") from None

    def _read(self, piece: PartPiece) -> list[Array | None]:
        arrays = self.shared.read(piece.number, piece.part, piece.length, [])
        return [None if array is None else array[piece.start : piece.start + piece.length] for array in arrays]

    def release(self) -> None:
        """Let go of the chunks."""
        self.shared.release()

    def __str__(self) -> str:
        return " and ".join(f"{piece.where} rows {piece.first_row}..{piece.stop - 1}" for piece in self.pieces)


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
    for given in (X, y, sample_weight, offset):
        if hasattr(given, "__dask_graph__"):
            _refuse_persisted(given, "array")
    X = _of_known_chunks(X).rechunk({1: -1})
    rows = [int(count) for count in X.chunks[0]]
    if not sum(rows):
        raise DataError("no rows: the Dask array is empty, at least one row is needed")
    beside = []
    for name, column in (("y", y), ("sample_weight", sample_weight), ("offset", offset)):
        if column is None:
            beside.append([None] * len(rows))
            continue
        if hasattr(column, "to_dask_array"):  # a series, or a frame of one column
            column = column.to_dask_array()
            column = column[:, 0] if column.ndim == 2 and column.shape[1] == 1 else column
        is_lazy = isinstance(column, array.Array)
        column = _of_known_chunks(column) if is_lazy else array.from_array(weights(column, sum(rows)))
        if column.shape != X.shape[:1]:
            raise DataError(f"X has {sum(rows)} rows and {name} has shape {column.shape}: it must be ({sum(rows)},)")
        beside.append(column.rechunk((X.chunks[0],)).to_delayed().tolist())
    row_bytes = X.shape[1] * feature_bytes(X.dtype) + 8 * sum(column[0] is not None for column in beside)
    delayed = zip(X.to_delayed()[:, 0].tolist(), *beside, strict=True)
    chunks = [
        Chunk(number, one, count, count * row_bytes)
        for number, (one, count) in enumerate(zip(delayed, rows, strict=True))
    ]
    shared = Shared(2 * max(rows) * row_bytes)
    return [
        DaskArraySource(
            tuple(PartPiece(chunks[part], part, start, stop - start, shared) for part, start, stop in parts),
            scale,
            names,
            row_bytes,
            shared,
        )
        for parts in cut_parts(rows, cut(sum(rows), X.shape[1], blocks, block_rows))
    ]


def _of_known_chunks(array: Any) -> Any:
    """Of an array made from a data frame, the lengths of chunks are counted."""
    return array.compute_chunk_sizes() if any(count != count for sizes in array.chunks for count in sizes) else array
