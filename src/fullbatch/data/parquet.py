"""Sources from Parquet files: row groups and columns that are needed, and no more, read by the workers."""

import os
import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import DataError
from .columns import Missing, choose_columns
from .cut import cut, cut_parts
from .paths import check_rows, expand
from .table import TableSource

# Row groups kept decoded while the blocks of a worker read from them: each thread may stand in one of its own.
_KEPT = (os.cpu_count() or 1) + 1


class _RowGroups:
    """Decoded row groups, shared by neighbouring blocks in a process while they are read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[str, int], pa.Table] = OrderedDict()

    def read(self, path: str, group: int, names: list[str]) -> pa.Table:
        with self._lock:
            table = self._kept.get((path, group))
            if table is None:
                table = self._kept[path, group] = _read_group(path, group, names)
            self._kept.move_to_end((path, group))
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
            return table

    def release(self) -> None:
        with self._lock:
            self._kept.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__()  # type: ignore[misc]


@dataclass(frozen=True)
class ParquetPiece:
    """Some rows of a row group."""

    where: str
    group: int
    group_start: int
    start: int
    length: int
    row_groups: _RowGroups

    @property
    def first_row(self) -> int:
        """Number of the first row within the file."""
        return self.group_start + self.start

    @property
    def stop(self) -> int:
        """Number of the first row behind it."""
        return self.first_row + self.length

    def read(self, names: list[str]) -> pa.Table:
        """These columns of the rows."""
        table = self.row_groups.read(self.where, self.group, names)
        if table.num_rows < self.start + self.length:
            raise DataError(f"{self.where} has become shorter since its rows were counted")
        return table.slice(self.start, self.length)


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
    blocks: int | None = None,
    block_rows: int | None = None,
) -> list[TableSource]:
    """Cut Parquet files into sources, one per block. Only their footers are read here.

    Parameters
    ----------
    paths : path, or sequence of paths
        Files, directories (all `*.parquet` in them) and globs; readable by the workers under the same path. The rows
        of several files follow one another in the order given, within a directory or glob in the order of names.
    target, weight, offset, features, exclude, categorical, missing, dtype, blocks, block_rows
        As for `fullbatch.table_sources`.

    Returns
    -------
    list of TableSource

    Raises
    ------
    DataError
        A file is missing, damaged or no Parquet, files do not have the same columns, a column cannot be used, or
        there are no rows.
    """
    files = expand(paths, (".parquet", ".pq"))
    footers, schemas = zip(*map(_footer, files), strict=True)
    columns = choose_columns(
        schemas,
        files,
        target=target,
        weight=weight,
        offset=offset,
        features=features,
        exclude=exclude,
        categorical=categorical,
        missing=missing,
        dtype=dtype,
    )
    groups = []
    for path, footer in zip(files, footers, strict=True):
        start = 0
        for group in range(footer.num_row_groups):
            rows = footer.row_group(group).num_rows
            groups.append((path, group, start, rows))
            start += rows
    rows_of_groups = [rows for *_, rows in groups]
    check_rows(files, rows_of_groups)
    pieces = cut(sum(rows_of_groups), len(columns.features), blocks, block_rows)
    shared = _RowGroups()
    return [
        TableSource(
            tuple(ParquetPiece(*groups[part][:3], start, stop - start, shared) for part, start, stop in parts),
            columns,
            shared,
        )
        for parts in cut_parts(rows_of_groups, pieces)
    ]


def _footer(path: str) -> tuple[Any, pa.Schema]:
    try:
        with pq.ParquetFile(path) as file:
            return file.metadata, file.schema_arrow
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path} is not a whole Parquet file: {_first_line(error)}: write it again") from None


def _read_group(path: str, group: int, names: list[str]) -> pa.Table:
    try:
        with pq.ParquetFile(path) as file:
            return file.read_row_group(group, columns=names)
    except (pa.ArrowInvalid, OSError) as error:
        raise DataError(f"{path}: row group {group} cannot be read: {_first_line(error)}: write it again") from None


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
