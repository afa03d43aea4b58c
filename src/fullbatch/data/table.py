"""Blocks of a table, whose rows may lie in several files."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import DataError
from ..protocols.rows import Category, Rows, Size
from ..protocols.schema import in_one_type
from ..wording.messages import first_line
from .arrow import as_truth, plain, plain_value
from .columns import Columns

Array = npt.NDArray[Any]


class Piece(Protocol):
    """Neighbouring rows of one file, or of one table."""

    @property
    def where(self) -> str:
        """What it is read from."""
        ...

    @property
    def first_row(self) -> int:
        """Number of its first row there."""
        ...

    @property
    def stop(self) -> int:
        """Number of the first row behind it."""
        ...

    @property
    def reading(self) -> int:
        """Bytes taken while it is read, beside the rows that come of it."""
        ...

    def read(self, names: list[str]) -> pa.Table:
        """These columns of the rows."""
        ...


@dataclass(frozen=True, eq=False)
class TableSource:
    """The rows of one block of a table.

    Parameters
    ----------
    pieces : tuple of Piece
        In the order of the rows.
    columns : Columns
        What to read, and what it means.
    shared : object or None
        What the sources of a table share while they are read; its `release` lets go of it, and its `nbytes` tells how
        many bytes it may take.
    """

    pieces: tuple[Any, ...]
    columns: Columns
    shared: Any = None

    @property
    def size(self) -> Size:
        """By the types of the columns; text counts as its codes."""
        rows = sum(piece.stop - piece.first_row for piece in self.pieces)
        reading = sum(piece.reading for piece in self.pieces)
        return Size(rows, rows * self.columns.row_bytes, reading, 0 if self.shared is None else self.shared.nbytes)

    @property
    def leaves_rows_out(self) -> bool:
        """Whether rows with missing values are."""
        return self.columns.missing == "drop"

    @property
    def stored(self) -> list[tuple[Any, int]]:
        """References to what it reads of a cluster's object store, and the bytes read of each."""
        return [(piece.ref, piece.reading) for piece in self.pieces if getattr(piece, "ref", None) is not None]

    def read(self) -> Rows:
        """The rows."""
        return self._rows([piece.read(self.columns.used) for piece in self.pieces])

    def read_with_kept(self) -> tuple[Rows, pa.Table]:
        """The rows, and the columns that are handed on as they are."""
        tables = [piece.read(self.columns.needed) for piece in self.pieces]
        kept = [self._kept(table, piece.where) for table, piece in zip(tables, self.pieces, strict=True)]
        return self._rows(tables), pa.concat_tables(of_schema(one, kept[0].schema, str(self)) for one in kept)

    def _kept(self, table: pa.Table, where: str) -> pa.Table:
        lacking = [name for name in self.columns.kept if name not in table.column_names]
        if lacking:
            raise DataError(f"{where}: there is no column {lacking[0]!r}, which is to be kept: name one that is there")
        return pa.table({name: plain(table[name]) for name in self.columns.kept})

    def _rows(self, tables: list[pa.Table]) -> Rows:
        read = [
            self.columns.rows(table, piece.where, piece.first_row)
            for table, piece in zip(tables, self.pieces, strict=True)
        ]
        return read[0] if len(read) == 1 else _joined(read)

    def keeping(self, names: tuple[str, ...]) -> "TableSource":
        """The same rows, with columns that are handed on as they are."""
        pieces = tuple(piece_keeping(piece, names) for piece in self.pieces)
        return replace(self, pieces=pieces, columns=replace(self.columns, kept=names))

    def release(self) -> None:
        """Let go of what reading shares."""
        if self.shared is not None:
            self.shared.release()

    def locate(self, row: int) -> str:
        """Where a row of the block was read from, such as "train.csv: row 17"."""
        if self.columns.missing == "drop":  # which rows were left out is not remembered
            return f"{self}: row {row} of those kept"
        ends = list(accumulate(piece.stop - piece.first_row for piece in self.pieces))
        number = next(number for number, end in enumerate(ends) if row < end)
        piece = self.pieces[number]
        return f"{piece.where}: row {piece.stop - (ends[number] - row)}"

    def __str__(self) -> str:
        return " and ".join(f"{piece.where} rows {piece.first_row}..{piece.stop - 1}" for piece in self.pieces)


def piece_keeping(piece: Any, names: Sequence[str]) -> Any:
    """A piece of which these columns are read too, as they are."""
    if hasattr(piece, "keeping"):
        return piece.keeping(names)
    form: Any = getattr(piece, "format", None)
    return replace(piece, format=form.keeping(names, piece.where)) if hasattr(form, "keeping") else piece


def of_schema(table: pa.Table, schema: pa.Schema, where: str) -> pa.Table:
    """A table with the types of another one, whose columns have these names."""
    try:
        return table.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"{where}: columns to be kept are of other types than before ({first_line(error)}): make them one type"
        ) from None


def rules(sources: Iterable[Any]) -> dict[str, Any]:
    """What stands for missing values of the features of sources, by column.

    Raises
    ------
    DataError
        It is one thing in some of them and another in others.
    """
    found: dict[str, Any] = {}
    for columns in {id(one.columns): one.columns for one in sources if isinstance(one, TableSource)}.values():
        told = columns.missing if isinstance(columns.missing, Mapping) else {}
        for name, value in told.items():
            value = plain_value(value)
            if name in columns.numeric and isinstance(value, str):
                value = as_truth(value)
            if name in columns.features and found.setdefault(name, value) != value:
                raise DataError(
                    f"missing values of column {name!r} are {found[name]!r} in some sources and {value!r} in others: "
                    "say one for all"
                )
    return found


def _joined(read: list[Rows]) -> Rows:
    def join(pick: Callable[[Rows], Array | None]) -> Array | None:
        parts = [part for part in map(pick, read) if part is not None]
        return np.concatenate(parts) if parts else None

    categories = []
    for columns in zip(*(rows.categories for rows in read), strict=True):
        levels = _union([column.levels for column in columns])
        codes = [np.searchsorted(levels, column.levels).astype(np.int32)[column.codes] for column in columns]
        categories.append(Category(np.concatenate(codes), levels, columns[0].asked))
    first, stayed = read[0], None
    if any(rows.stayed is not None for rows in read):
        each = [np.ones(len(rows.X), bool) if rows.stayed is None else rows.stayed for rows in read]
        stayed = np.concatenate(each)
    return Rows(
        np.concatenate([rows.X for rows in read]),
        _targets(read),
        join(lambda rows: rows.weight),
        first.scale,
        join(lambda rows: rows.offset),
        tuple(categories),
        first.names,
        stayed,
    )


def _targets(read: list[Rows]) -> Array | None:
    """Targets of all, whole numbers as they are, also where files keep them in several types."""
    parts = [rows.y for rows in read if rows.y is not None]
    return np.concatenate(in_one_type(parts, "targets")) if parts else None


def _union(levels: Iterable[Array]) -> Array:
    filled = [one for one in levels if len(one)]
    return np.unique(np.concatenate(filled)) if filled else np.zeros(0, np.int64)
