"""Tables that come in parts (row groups, partitions): each is decoded once for all of the blocks that it belongs to."""

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Protocol

import pyarrow as pa

from ..errors import DataError
from .arrow import type_called
from .chosen_columns import choose_columns
from .columns import Columns, Roles
from .cut import cut, cut_parts
from .hive import folder_columns, folder_values
from .paths import check_rows, find
from .table import TableSource

# Parts kept decoded while the blocks of a worker read from them: each thread may stand in one of its own, and as many
# may read ahead. (A worker whose blocks begin or end within a part never reads the rest of it.)
_KEPT = 2 * (os.cpu_count() or 1) + 1


class Part(Protocol):
    """Neighbouring rows of a table that are decoded together, wherever they are asked for."""

    @property
    def where(self) -> str:
        """What it is read from."""
        ...

    @property
    def first_row(self) -> int:
        """Number of its first row there."""
        ...

    @property
    def rows(self) -> int:
        """How many rows it has."""
        ...

    @property
    def nbytes(self) -> int:
        """What it takes in memory while it is decoded."""
        ...

    def decode(self, names: list[str]) -> Any:
        """These columns of all of its rows."""
        ...


class PartFile(Protocol):
    """A file of parts, as it tells of itself."""

    @property
    def schema(self) -> pa.Schema:
        """Names and types of its columns."""
        ...

    @property
    def rows(self) -> int:
        """How many rows it tells of."""
        ...

    def parts(self, names: Sequence[str]) -> Sequence[Part]:
        """Its parts, of which these columns will be read."""
        ...


@dataclass(frozen=True)
class PartOfFile:
    """A part of a file, by its number: kinds of files say how it is decoded.

    Parameters
    ----------
    where : str
        The file.
    number : int
        Of the part there.
    first_row, rows : int
        Number of its first row in the file, and how many there are.
    nbytes : int
        What its used columns take in memory while they are decoded.
    """

    where: str
    number: int
    first_row: int
    rows: int
    nbytes: int


@dataclass
class _Decoded:
    """A part while it is needed: the threads that need it wait for the one that decodes it."""

    rows_left: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    table: Any = None


class Shared:
    """Decoded parts, shared by neighbouring blocks in a process until all of their rows were read.

    Parameters
    ----------
    nbytes : int
        What two of them take: of the first and of the last of the blocks that are read at a time, the rest.
    """

    def __init__(self, nbytes: int) -> None:
        self.nbytes = nbytes
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, _Decoded] = OrderedDict()

    def read(self, number: int, part: Part, length: int, names: list[str]) -> Any:
        """A part of that number, of which so many rows are needed now."""
        with self._lock:
            decoded = self._kept.setdefault(number, _Decoded(part.rows))
            self._kept.move_to_end(number)
            decoded.rows_left -= length
            if decoded.rows_left <= 0:
                del self._kept[number]
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        with decoded.lock:
            if decoded.table is None:
                decoded.table = part.decode(names)
            return decoded.table

    def release(self) -> None:
        """Keep none."""
        with self._lock:
            self._kept.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {"nbytes": self.nbytes}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]


@dataclass(frozen=True, eq=False)
class PartPiece:
    """Some rows of a part."""

    part: Any
    number: int
    start: int
    length: int
    shared: Shared

    @property
    def where(self) -> str:
        """What it is read from."""
        where: str = self.part.where
        return where

    @property
    def first_row(self) -> int:
        """Number of its first row there."""
        return int(self.part.first_row) + self.start

    @property
    def stop(self) -> int:
        """Number of the first row behind it."""
        return self.first_row + self.length

    @property
    def ref(self) -> Any:
        """Of the part, where it is in an object store."""
        return getattr(self.part, "ref", None)

    @property
    def reading(self) -> int:
        """Bytes of its rows while they are decoded."""
        return int(self.part.nbytes) * self.length // int(self.part.rows)

    def read(self, names: list[str]) -> pa.Table:
        """These columns of the rows."""
        table = self.shared.read(self.number, self.part, self.length, names)
        check_length(self.where, table.num_rows, self.part.rows)
        return table.slice(self.start, self.length)


def check_length(where: str, rows: int, counted: int) -> None:
    """Refuse a part that has another number of rows than it had."""
    if rows != counted:
        change = "shorter" if rows < counted else "longer"
        raise DataError(f"{where} has become {change} since its rows were counted")


def part_sources(
    parts: Sequence[Part], columns: Columns, blocks: int | None = None, block_rows: int | None = None
) -> list[TableSource]:
    """Blocks of all the rows, wherever parts end.

    Parameters
    ----------
    parts : sequence of Part
        In the order of the rows.
    columns : Columns
        What to read, and what it means.
    blocks, block_rows : int, optional
        As for `cut`.
    """
    rows = [part.rows for part in parts]
    shared = Shared(2 * max(part.nbytes for part in parts))
    return [
        TableSource(
            tuple(PartPiece(parts[number], number, start, stop - start, shared) for number, start, stop in taken),
            columns,
            shared,
        )
        for taken in cut_parts(rows, cut(sum(rows), len(columns.features), blocks, block_rows))
    ]


def part_file_sources(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    endings: tuple[str, ...],
    opened: Callable[[str], PartFile],
    roles: Roles,
    types: Mapping[str, str] | None = None,
    blocks: int | None = None,
    block_rows: int | None = None,
) -> list[TableSource]:
    """Blocks of all the rows of some files, with the columns in the names of their folders.

    Parameters
    ----------
    paths, endings
        As for `paths.find`.
    opened : callable
        Looks at a file of that name.
    roles : Roles
        What the columns mean.
    types : mapping of column to type, optional
        Arrow types of columns in the names of folders for which the guess is wrong.
    blocks, block_rows : int, optional
        As for `cut`.
    """
    told = {name: type_called(type_, name) for name, type_ in (types or {}).items()}
    given = find(paths, endings)
    looked_at = [(one, opened(one.path)) for one in given]
    check_rows([one.path for one in given], [file.rows for _, file in looked_at])
    found, files = zip(*((one, file) for one, file in looked_at if file.rows), strict=True)  # others decide nothing
    _refuse_types(told, found)
    names = [one.path for one in found]
    folders = folder_columns(found, [file.schema for file in files], roles, told)
    columns = choose_columns(roles, folders.schemas, names)
    parts = [part for file in files for part in file.parts(columns.used)]
    return folders.with_columns(part_sources(parts, columns, blocks, block_rows))


def _refuse_types(told: Mapping[str, Any], found: Sequence[Any]) -> None:
    """The types of a file's own columns stand in the file."""
    known = {name for one in found for name in folder_values(one)} if told else set()
    for name in told:
        if name not in known:
            raise DataError(
                f"{found[0].path}: types has {name!r}, which no folder is named by: such files know the types of their "
                "own columns"
            )
