"""Predictions block by block: what workers do with a fitted model and a source, and where the answers are written."""

import errno
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from ..errors import DataError, located
from ..models.describe import describe
from ..models.linear import bad_offset
from ..protocols.rows import Rows, Source
from ..protocols.schema import Problem
from ._measures import Tally

Array = npt.NDArray[Any]


def check_rows(rows: Rows, source: Any) -> None:
    """Refuse rows that cannot be predicted for: wrong shapes, and features or offsets that are not finite.

    Raises
    ------
    DataError
        Names the first such row.
    """
    targets = replace(rows, y=np.zeros(rows.X.shape[0]), weight=None)  # not looked at
    found = [describe(targets, str(source), labels=False).problem, bad_offset(rows, str(source))]
    refuse_problem(min(filter(None, found), key=lambda problem: problem.row, default=None), source)


def refuse_problem(problem: Problem | None, source: Any) -> None:
    """Tell of the first row that cannot be used, if there is one."""
    if problem is not None:
        column = "" if problem.column is None else f", column {problem.column!r}"
        raise DataError(f"{located(source, problem.row)}{column}: {problem.what}")


@dataclass(frozen=True)
class Predict:
    """What a model's method makes of the linear predictors of a block's rows."""

    model: Any
    formula: str

    def __call__(self, index: int, source: Source) -> Array:
        return np.asarray(getattr(self.model, self.formula)(self.model._eta(source.read(), source)))


@dataclass(frozen=True)
class PredictTable:
    """The predictions for a block as a table."""

    model: Any
    probabilities: bool

    def __call__(self, index: int, source: Source) -> pa.Table:
        table: pa.Table = self.model.predictions(source.read(), source, self.probabilities)
        return table


@dataclass(frozen=True)
class Evaluate:
    """Sums over the rows of a block that tell how good a model is."""

    model: Any

    def __call__(self, index: int, source: Source) -> Tally:
        tally: Tally = self.model._tally_of(source.read(), source)
        return tally


@dataclass(frozen=True)
class _WritePart:
    """Writes the predictions for a block to a file of its own; answers the number of rows."""

    predict: PredictTable
    directory: str

    def __call__(self, index: int, source: Source) -> int:
        table = self.predict(index, source)
        path = Path(self.directory) / f"part-{index:05d}.parquet"
        unfinished = path.with_suffix(".unfinished")
        try:
            pq.write_table(table, unfinished)
            unfinished.replace(path)
        except OSError as error:
            raise _cannot_write(path, error) from None
        return int(table.num_rows)


def write(path: str | PathLike[str], task: PredictTable, engine: Any, sources: list[Source]) -> int:
    """Write the predictions for all sources to one file or a directory, by how the path ends; rows written."""
    suffix = Path(path).suffix.lower()
    if suffix in (".parquet", ".csv"):
        return _write_tables(path, engine.map(task, sources))
    if suffix:
        raise DataError(
            f"cannot write predictions to {path}: {suffix} is no format of theirs. Name a file that ends in .parquet "
            "or .csv, or a new directory without such an ending"
        )
    return _write_parts(path, task, engine, sources)


def _write_parts(path: str | PathLike[str], task: PredictTable, engine: Any, sources: list[Source]) -> int:
    """Predictions as one Parquet file for each block, written by the workers, in a directory that appears whole."""
    directory = Path(path).absolute()
    unfinished = directory.with_name(f"{directory.name}.unfinished")
    try:
        if directory.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        unfinished.mkdir()
    except FileExistsError as error:
        if not directory.exists():
            raise DataError(
                f"cannot write predictions to {path}: {unfinished} is there, of a run that goes on or was killed: "
                "remove it if it was killed"
            ) from None
        raise _cannot_write(path, error, "Name a file that ends in .parquet or .csv, or a new directory") from None
    except OSError as error:
        raise _cannot_write(path, error, "Name a file that ends in .parquet or .csv, or a new directory") from None
    try:
        rows = sum(engine.map(_WritePart(task, str(unfinished)), sources))
        unfinished.rename(directory)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # after an error: what is there would look whole
    return rows


def _cannot_write(path: str | PathLike[str], error: OSError, advice: str = "") -> DataError:
    return DataError(f"cannot write predictions to {path}: {error.strerror or error}{advice and '. ' + advice}")


def _write_tables(path: str | PathLike[str], tables: Iterable[pa.Table]) -> int:
    """Tables one after another in one Parquet or CSV file, which appears when it is whole; rows written."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.unfinished")
    rows = 0
    writer: Any = None
    try:
        for table in tables:
            if writer is None:
                make = csv.CSVWriter if path.suffix.lower() == ".csv" else pq.ParquetWriter
                writer = make(str(unfinished), table.schema)
            writer.write_table(table)
            rows += table.num_rows
        writer.close()
        unfinished.replace(path)
    except OSError as error:
        raise _cannot_write(path, error) from None
    finally:
        unfinished.unlink(missing_ok=True)
    return rows
