"""Sources from Parquet files: row groups and columns that are needed, and no more, read by the workers."""

import io
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DataError
from ..wording.messages import first_line
from .arrow import elements
from .columns import Missing, Roles
from .contents import not_whole
from .parts import PartOfFile, part_file_sources
from .paths import check_file, is_url, open_file
from .table import TableSource


class RowGroup(PartOfFile):
    """A row group of a file."""

    def decode(self, names: list[str]) -> pa.Table:
        """These columns of all of its rows."""
        return _read_group(self.where, self.number, names)


def parquet_sources(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    target: str | None = None,
    weight: str | None = None,
    offset: str | None = None,
    features: Sequence[str] | None = None,
    exclude: Sequence[str] = (),
    categorical: Sequence[str] = (),
    missing: Missing = "error",
    dtype: str | None = None,
    types: Mapping[str, str] | None = None,
    blocks: int | None = None,
    block_rows: int | None = None,
) -> list[TableSource]:
    """Cut Parquet files into sources, one per block. Only their footers are read here.

    Parameters
    ----------
    paths : path or URL, or sequence of them
        Files, directories (all `*.parquet` in them) and globs; readable by the workers under the same path. The rows
        of several files follow one another in the order given, within a directory or glob in the order of names.
        Folders such as `year=2020` below the directory, or below what stands before a glob's first wildcard, are
        columns.
    target, weight, offset, features, exclude, categorical, missing, dtype, blocks, block_rows
        As for `fullbatch.table_sources`.
    types : mapping of column to type, optional
        Arrow types of columns in the names of folders, where whole numbers are "int64" and anything else is "string".

    Returns
    -------
    list of TableSource

    Raises
    ------
    DataError
        A file is missing, damaged or no Parquet, files do not have the same columns, a column cannot be used, or
        there are no rows.
    """
    roles = Roles(target, weight, offset, features, exclude, categorical, missing, dtype)
    return part_file_sources(paths, (".parquet", ".pq"), _looked_at, roles, types, blocks, block_rows)


@dataclass(frozen=True)
class _ParquetFile:
    """A file, its footer and the columns that this tells of."""

    path: str
    footer: Any
    schema: pa.Schema

    @property
    def rows(self) -> int:
        """Rows that the footer tells of, in whatever place."""
        groups = range(self.footer.num_row_groups)
        return abs(self.footer.num_rows) + sum(abs(self.footer.row_group(number).num_rows) for number in groups)

    def parts(self, names: Sequence[str]) -> list[RowGroup]:
        """Its row groups."""
        groups: list[RowGroup] = _as_parquet(self.path, partial(_row_groups, self, names))
        return groups


def _looked_at(path: str) -> _ParquetFile:
    return _ParquetFile(path, *_as_parquet(path, partial(_read_footer, path)))


def _read_footer(path: str) -> tuple[Any, pa.Schema]:
    with _opened(path) as file:
        footer, schema = file.metadata, file.schema_arrow
    schema.names  # noqa: B018 - an error, where one is no text
    if footer.num_row_groups:
        _check_chunks(path, footer)
    return footer, schema


def _check_chunks(path: str, footer: Any) -> None:
    """Have Arrow look at what a footer tells of all row groups and columns, where it gives errors.

    Asked for one of them, Arrow 26 ends the process if that is damaged. Asked to read all of them it looks first, also
    at the size of the file; nothing is read, since this file has nothing to read.
    """
    nothing = _Nothing(_ANY_SIZE if is_url(path) else os.stat(path).st_size)
    try:
        pq.ParquetFile(nothing, metadata=footer, pre_buffer=True).read_row_groups(list(range(footer.num_row_groups)))
    except OSError as error:
        if _Nothing.WORDS not in str(error):
            raise


_ANY_SIZE = 2**62


class _Nothing(io.RawIOBase):
    """A file of so many bytes, none of which can be read."""

    WORDS = "nothing is read here"

    def __init__(self, size: int) -> None:
        self._size, self._place = size, 0

    def seek(self, place: int, whence: int = 0) -> int:
        self._place = place + (self._size if whence == 2 else self._place if whence == 1 else 0)
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, size: int = -1) -> bytes:
        raise OSError(self.WORDS)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True


def _as_parquet(path: str, action: Callable[[], Any]) -> Any:
    """What an action on a file gives; whatever Arrow says of a damaged footer is a DataError."""
    try:
        return action()
    except DataError:
        raise
    except Exception as error:  # of many kinds
        raise not_whole(path, "parquet", error, "Parquet file") from None


def _row_groups(file: _ParquetFile, names: Sequence[str]) -> list[RowGroup]:
    groups, start = [], 0
    for group in range(file.footer.num_row_groups):
        rows = file.footer.row_group(group).num_rows
        groups.append(RowGroup(file.path, group, start, rows, _decoded_bytes(file, group, names)))
        start += rows
    if start != file.footer.num_rows:
        raise DataError(
            f"{file.path} is not a whole Parquet file: it tells of {file.footer.num_rows} rows, its row groups of "
            f"{start}"
        )
    return groups


def _read_group(path: str, group: int, names: list[str]) -> pa.Table:
    try:
        with _opened(path) as file:
            table = file.read_row_group(group, columns=names)
        table.validate(full=True)  # texts that are none, codes without a text
        return table
    except DataError:
        raise
    except Exception as error:  # Arrow has errors of many kinds for damaged pages
        raise DataError(f"{path}: row group {group} cannot be read: {first_line(error)}: write it again") from None


@contextmanager
def _opened(path: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file; of one that is far away, the reads of a row group are joined to few."""
    if not is_url(path):
        check_file(path)
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            yield file
        return
    with open_file(path) as far, pq.ParquetFile(far, pre_buffer=True, page_checksum_verification=True) as file:
        yield file


def _decoded_bytes(file: _ParquetFile, group: int, names: Sequence[str]) -> int:
    """What the used columns of a row group take while they are decoded, texts as they are encoded.

    Raises
    ------
    DataError
        What the footer tells of them cannot be.
    """
    rows = file.footer.row_group(group)
    per_row = {field.name: max(len(elements(field)), 1) for field in file.schema if field.name in names}
    nbytes = 0
    for number in range(rows.num_columns):
        chunk = rows.column(number)
        name = chunk.path_in_schema
        if name not in per_row:
            name = name.partition(".")[0]  # of a list's elements
            if per_row.get(name, 1) == 1:
                continue
        sizes = chunk.total_uncompressed_size, chunk.total_compressed_size
        # A list that is missing has one value, which says so.
        if min(rows.num_rows, *sizes) < 0 or not rows.num_rows <= chunk.num_values <= rows.num_rows * per_row[name]:
            raise DataError(
                f"{file.path}: row group {group} cannot be read: of {rows.num_rows} rows, column {name!r} "
                f"has {chunk.num_values} values in {sizes[1]} bytes, {sizes[0]} when unpacked: write it again"
            )
        nbytes += max(sizes[0], 8 * chunk.num_values) + sizes[1]
    return nbytes
