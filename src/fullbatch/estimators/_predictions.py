"""Predictions block by block: what workers do with a fitted model and a source, and where the answers are written."""

from collections.abc import Iterable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import csv

from ..errors import DataError
from ..protocols import Source

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Predict:
    """The answer of a model's method for each row of a block."""

    model: Any
    method: str

    def __call__(self, index: int, source: Source) -> Array:
        return np.asarray(getattr(self.model, self.method)(source.read()))


@dataclass(frozen=True)
class PredictTable:
    """The predictions for a block as a table."""

    model: Any
    probabilities: bool

    def __call__(self, index: int, source: Source) -> pa.Table:
        table: pa.Table = self.model.predictions(source.read(), str(source), self.probabilities)
        return table


@dataclass(frozen=True)
class Evaluate:
    """Sums over the rows of a block that tell how good a model is."""

    model: Any

    def __call__(self, index: int, source: Source) -> Array:
        sums: Array = self.model._sums_of(source.read(), str(source))
        return sums


@dataclass(frozen=True)
class _WritePart:
    """Writes the predictions for a block to a file of its own; answers the number of rows."""

    predict: PredictTable
    directory: str

    def __call__(self, index: int, source: Source) -> int:
        table = self.predict(index, source)
        path = Path(self.directory) / f"part-{index:05d}.parquet"
        unfinished = path.with_suffix(".unfinished")
        pq.write_table(table, unfinished)
        unfinished.replace(path)
        return int(table.num_rows)


def write_parts(path: str | PathLike[str], task: PredictTable, engine: Any, sources: list[Source]) -> int:
    """Predictions as one Parquet file for each block in a new directory, written by the workers; rows written."""
    directory = Path(path).absolute()
    try:
        directory.mkdir()
    except OSError as error:
        raise DataError(
            f"cannot write predictions to {path}: {error.strerror}. Name a file that ends in .parquet or .csv, or a "
            "new directory"
        ) from None
    return sum(engine.map(_WritePart(task, str(directory)), sources))


def write_tables(path: str | PathLike[str], tables: Iterable[pa.Table]) -> int:
    """Tables one after another in one Parquet or CSV file, which appears when it is whole; rows written."""
    path = Path(path)
    unfinished = path.with_name(f".{path.name}.unfinished")
    rows = 0
    writer: Any = None
    try:
        for table in tables:
            if writer is None:
                make = csv.CSVWriter if path.suffix == ".csv" else pq.ParquetWriter
                writer = make(str(unfinished), table.schema)
            writer.write_table(table)
            rows += table.num_rows
        writer.close()
        unfinished.replace(path)
    except OSError as error:
        raise DataError(f"cannot write predictions to {path}: {error.strerror or error}") from None
    finally:
        unfinished.unlink(missing_ok=True)
    return rows
