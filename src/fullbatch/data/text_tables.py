"""Tables from text files: their rows are counted once, and each block is read by its own bytes, on its worker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import pyarrow as pa

from ..errors import DataError
from ..wording.messages import shortened
from ._lines import TextRows, read_bytes
from .chosen_columns import agree, choose_columns
from .columns import Roles
from .cut import cut, cut_parts
from .hive import folder_columns
from .paths import Found, check_rows
from .table import TableSource
from .unpacked import TextFile


class TextFormat(Protocol):
    """How the text of a file reads; a frozen dataclass with these fields."""

    names: Any
    types: Any
    whole: Any
    miscount: Any

    def parse(self, content: bytes, names: Sequence[str], where: str, first_row: int) -> pa.Table:
        """Columns of the rows in `content`, which begins and ends with whole rows."""
        ...


class TextTable(NamedTuple):
    """A file, where its rows are, and what they seem to be."""

    rows: TextRows
    format: Any
    schema: pa.Schema


@dataclass(frozen=True)
class TextPiece:
    """Some rows of a file."""

    file: TextFile
    first_row: int
    stop: int
    first_byte: int
    last_byte: int
    format: Any

    @property
    def where(self) -> str:
        """The file's name."""
        return self.file.path

    @property
    def reading(self) -> int:
        """Bytes taken while it is read: the text, and the values of its columns."""
        return 2 * (self.last_byte - self.first_byte)

    def read(self, names: list[str]) -> pa.Table:
        """These columns of the rows."""
        content = read_bytes(self.file, self.first_byte, self.last_byte)
        table = self.format.parse(content, names, self.where, self.first_row)
        if table.num_rows != self.stop - self.first_row:
            raise DataError(
                f"{self.where}: rows {self.first_row}..{self.stop - 1} were counted and {table.num_rows} read: has the "
                f"file changed? {self.format.miscount}"
            )
        return table


def text_sources(
    found: Sequence[Found],
    tables: Sequence[TextTable],
    roles: Roles,
    told: Mapping[str, pa.DataType],
    text_wins: bool,
    blocks: int | None = None,
    block_rows: int | None = None,
) -> list[TableSource]:
    """Blocks of all the rows, wherever files end, with the columns in the names of their folders.

    Parameters
    ----------
    found : sequence of Found
        Files in the order of the rows; those without rows decide nothing.
    tables : sequence of TextTable
        What is in them.
    roles : Roles
        What the columns mean.
    told : mapping of column to pyarrow.DataType
        Types that were told; numbers of other columns may turn out to have fractions.
    text_wins : bool
        As for `agree`.
    blocks, block_rows : int, optional
        As for `cut`.
    """
    check_rows([one.path for one in found], [table.rows.rows for table in tables])
    found = [one for one, table in zip(found, tables, strict=True) if table.rows.rows]
    tables = [table for table in tables if table.rows.rows]
    folders = folder_columns(found, [table.schema for table in tables], roles, told)
    files, schemas = [one.path for one in found], folders.schemas
    for path, schema in zip(files, schemas, strict=True):
        _check_told(path, told, schema.names)
    columns = choose_columns(roles, schemas, files, text_wins)
    used = agree(schemas, files, columns.used, text_wins)
    target = columns.target
    whole = target if target is not None and target not in told and pa.types.is_integer(used[target]) else None
    for name in (*columns.numeric, target, columns.weight, columns.offset):
        if name is not None and name not in told and pa.types.is_integer(used[name]):
            used[name] = pa.float64()  # fractions may come later
    used = {name: pa.float64() if pa.types.is_null(type_) else type_ for name, type_ in used.items()}
    formats = [replace(one.format, types={**one.format.types, **used}, whole=whole) for one in tables]
    rows = [table.rows.rows for table in tables]
    sources = []
    for parts in cut_parts(rows, cut(sum(rows), len(columns.features), blocks, block_rows)):
        pieces = []
        for part, start, stop in parts:
            text = tables[part].rows
            pieces.append(TextPiece(text.file, start, stop, text.offset(start), text.offset(stop), formats[part]))
        sources.append(TableSource(tuple(pieces), columns))
    return folders.with_columns(sources)


def is_number(type_: pa.DataType) -> bool:
    """Whether text of the type is read as a number."""
    return bool(pa.types.is_integer(type_) or pa.types.is_floating(type_))


def _check_told(path: str, told: Mapping[str, Any], names: Sequence[str]) -> None:
    """Refuse a type that is told for a column which a file does not have."""
    stray = [name for name in told if name not in names]
    if stray:
        raise DataError(f"{path}: there is no column {stray[0]!r}, for which a type is told: it has {shortened(names)}")
