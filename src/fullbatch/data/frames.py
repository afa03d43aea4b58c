"""Sources from tables: pandas, polars, Arrow, and whatever else speaks Arrow's C stream interface; Dask, Ray Data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa

from ..errors import DataError
from ..wording.messages import first_line, shortened
from .arrow import as_table
from .chosen_columns import choose_columns
from .columns import OPTION, Missing, Roles, check_there
from .cut import cut
from .kinds import Kind, kind_of
from .parts import part_sources
from .table import TableSource


@dataclass(frozen=True, eq=False)
class FramePiece:
    """Some rows of a table in memory. Sent to a worker, it carries those rows only."""

    table: pa.Table
    first_row: int
    where: str = "table"

    @property
    def stop(self) -> int:
        """Number of the first row behind it."""
        return self.first_row + int(self.table.num_rows)

    @property
    def reading(self) -> int:
        """Nothing is taken while it is read."""
        return 0

    def read(self, names: list[str]) -> pa.Table:
        """These columns of the rows."""
        return self.table.select(names)

    def keeping(self, names: Sequence[str]) -> "FramePiece":
        """Itself, if it has these columns: the others of its table are not there any more."""
        lacking = [name for name in names if name not in self.table.column_names]
        if lacking:
            raise DataError(
                f"the sources were made without {shortened(lacking)}, to be kept: give the table itself instead"
            )
        return self

    def __getstate__(self) -> dict[str, Any]:
        # As a stream of its own: a pickled slice would bring along all rows of the table.
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self.table.schema) as stream:
            stream.write_table(self.table)
        return {"stream": sink.getvalue().to_pybytes(), "first_row": self.first_row, "where": self.where}

    def __setstate__(self, state: dict[str, Any]) -> None:
        table = pa.ipc.open_stream(state.pop("stream")).read_all()
        for name, value in {"table": table, **state}.items():
            object.__setattr__(self, name, value)


def table_sources(
    data: Any,
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
    """Cut a table into sources, one per block: one in memory, a Dask data frame, or a Ray Dataset.

    Of the last two the workers read the partitions that they need. They are computed once here, to count their rows; a
    Ray Dataset stays in Ray's object store.

    Parameters
    ----------
    data : pandas or polars data frame, Arrow table, Dask data frame, or Ray Dataset
        Columns of numbers and of text. Anything with Arrow's C stream interface will do.
    target, weight, offset : str, optional
        Columns of that meaning.
    features : sequence of str, optional
        Columns to learn from; default: all but the above, `exclude`, and what pandas kept its index in.
    exclude : sequence of str
        Columns to leave out.
    categorical : sequence of str
        Features whose whole numbers are levels; text and dictionaries (pandas categoricals) are levels anyway.
    missing : {"error", "drop"} or mapping of column to value
        Refuse missing values, leave their rows out, or put a value in their place.
    dtype : {"float32", "float64", "uint8", "int8"}, optional
        Precision of the numeric features; default: float32, uint8 or int8 if all of them are, otherwise float64.
    blocks, block_rows : int, optional
        How many blocks, or how many rows in each; default: by the shape of the data alone.

    Returns
    -------
    list of TableSource

    Raises
    ------
    DataError
        A column is not there or cannot be used, or there are no rows.
    """
    roles = Roles(target, weight, offset, features, exclude, categorical, missing, dtype)
    return sources_of_table(data, roles, blocks, block_rows)


def sources_of_table(
    data: Any,
    roles: Roles,
    blocks: int | None = None,
    block_rows: int | None = None,
    *,
    beside: Mapping[str, tuple[str, Any]] | None = None,
    keep: Sequence[str] = (),
    door: str = OPTION,
    every_row: bool = False,
) -> list[TableSource]:
    """Cut a table into sources.

    Parameters
    ----------
    data, blocks, block_rows
        As for `table_sources`.
    roles : Roles
        What its columns mean.
    beside : mapping of str to (meaning, values)
        Columns to add to a Dask data frame, one value for each row.
    keep : sequence of str
        Columns to be read beside those that have a meaning, as they are.
    door : str
        How the caller asks for an option, for messages.
    every_row : bool
        No row may be left out.
    """
    kind = kind_of(data)
    spread = kind in (Kind.DASK_FRAME, Kind.RAY_DATASET)
    parts: list[Any] = []
    if spread:
        parts, schemas = _parts(data, kind, beside or {})
        where = [part.where for part in parts]
    else:
        table = as_table(data)
        schemas, where = [table.schema], ["the table"]
    check_there(keep, schemas[0].names, where[0])
    columns = choose_columns(roles, schemas, where, door=door)
    columns = replace(columns, kept=tuple(keep), every_row=every_row)
    if spread:
        return part_sources(parts, columns, blocks, block_rows)
    table = table.select(columns.needed)
    try:
        table.validate(full=True)  # of memory that others filled: texts that are none would end the process
    except pa.ArrowInvalid as error:
        raise DataError(f"the table is damaged: {first_line(error)}") from None
    return [
        TableSource((FramePiece(table.slice(start, stop - start), start),), columns)
        for start, stop in cut(table.num_rows, len(columns.features), blocks, block_rows)
    ]


def _parts(data: Any, kind: Kind, beside: Mapping[str, tuple[str, Any]]) -> tuple[list[Any], list[pa.Schema]]:
    """The parts of a table that is spread over processes, and the columns of each."""
    if kind is Kind.RAY_DATASET:
        from .ray_ import dataset_blocks

        return dataset_blocks(data)
    from .dask_ import partitions

    return partitions(data, beside)
