"""Tables made block by block, and where they are written: one file, or one of each block by its worker."""

import errno
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from os import PathLike
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from ..errors import DataError
from ..machine.files import sync, sync_directory
from ..protocols.rows import Source
from ..wording.messages import first_line
from .table import of_schema


@dataclass(frozen=True)
class _WritePart:
    """Writes the table of a block to a file of its own; answers the number of rows."""

    make: Callable[[int, Any], pa.Table]
    directory: str
    what: str

    def __call__(self, index: int, source: Source) -> int:
        table = self.make(index, source)
        path = Path(self.directory) / f"part-{index:05d}.parquet"
        unfinished = path.with_suffix(".unfinished")
        try:
            with open(unfinished, "wb") as file:
                pq.write_table(table, file)
                sync(file)
            unfinished.replace(path)
        except OSError as error:
            raise _cannot_write(self.what, path, error.strerror or error) from None
        return int(table.num_rows)


def write(
    path: str | PathLike[str],
    make: Callable[[int, Any], pa.Table],
    each: Callable[[Any], Iterable[Any]],
    what: str = "predictions",
) -> int:
    """Write a table for each block to one file or a directory, by how the path ends.

    Parameters
    ----------
    path : path
        Ends in ".parquet" or ".csv": one file, written here, in the order of the rows. Without an ending: a new
        directory of one Parquet file a block, written by the workers.
    make : callable
        `make(number, source)`, the table of a block.
    each : callable
        What a task makes of each block, in their order.
    what : str
        What is written, for messages.

    Returns
    -------
    int
        Rows written.

    Raises
    ------
    DataError
        The path cannot be written to.
    """
    suffix = Path(path).suffix.lower()
    if suffix in (".parquet", ".csv"):
        return _write_tables(what, path, each(make))
    if suffix:
        raise DataError(
            f"cannot write {what} to {path}: {suffix} is no format of theirs. Name a file that ends in .parquet "
            "or .csv, or a new directory without such an ending"
        )
    return _write_parts(what, path, make, each)


def _write_parts(what: str, path: str | PathLike[str], make: Any, each: Callable[[Any], Iterable[Any]]) -> int:
    """One Parquet file for each block, written by the workers, in a directory that appears whole."""
    directory = Path(path).absolute()
    advice = "Name a file that ends in .parquet or .csv, or a new directory"
    unfinished = directory.with_name(f"{directory.name}.unfinished")
    if directory.exists():
        raise _cannot_write(what, path, os.strerror(errno.EEXIST), advice)
    try:
        unfinished.mkdir()
    except FileExistsError:
        raise DataError(
            f"cannot write {what} to {path}: {unfinished} is there, of a run that goes on or was killed: "
            "remove it if it was killed"
        ) from None
    except OSError as error:
        raise _cannot_write(what, path, error.strerror or error, advice) from None
    try:
        rows = sum(each(_WritePart(make, str(unfinished), what)))
        sync_directory(unfinished)
        unfinished.rename(directory)
        sync_directory(directory.parent)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # after an error: what is there would look whole
    return rows


def _cannot_write(what: str, path: str | PathLike[str], reason: Any, advice: str = "") -> DataError:
    return DataError(f"cannot write {what} to {path}: {reason}{advice and '. ' + advice}")


def _write_tables(what: str, path: str | PathLike[str], tables: Iterable[pa.Table]) -> int:
    """Tables one after another in one Parquet or CSV file, which appears when it is whole; rows written."""
    path, tables, rows = Path(path), iter(tables), 0
    unfinished = path.with_name(f".{path.name}.unfinished")
    writer_of = csv.CSVWriter if path.suffix.lower() == ".csv" else pq.ParquetWriter
    first = next(tables)  # data has at least one block
    try:
        with open(unfinished, "wb") as file:
            with writer_of(file, first.schema) as writer:
                for table in chain((first,), tables):
                    writer.write_table(of_schema(table, first.schema, f"rows from {rows} on"))
                    rows += table.num_rows
            sync(file)
        unfinished.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise _cannot_write(what, path, error.strerror or error) from None
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"cannot write {what} to {path}: {first_line(error)}. Name a file that ends in .parquet, which holds "
            "columns of any type"
        ) from None
    finally:
        unfinished.unlink(missing_ok=True)
    return rows
