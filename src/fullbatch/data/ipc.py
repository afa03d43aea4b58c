"""Sources from Arrow files (Arrow IPC, Feather): record batches and columns that are needed, read by the workers."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from os import PathLike
from typing import Any

import pyarrow as pa

from ..errors import DataError
from ..wording.messages import first_line
from .columns import Roles, check_there
from .contents import not_whole
from .parts import PartOfFile, part_file_sources
from .paths import check_file, is_url, open_file
from .table import TableSource

ENDINGS = (".arrow", ".feather", ".ipc")


class RecordBatch(PartOfFile):
    """A record batch of a file."""

    def decode(self, names: list[str]) -> pa.Table:
        """These columns of all of its rows."""
        try:
            with _opened(self.where, partial(_places, names, self.where)) as file:
                table = pa.Table.from_batches([file.get_batch(self.number)])
            table.validate(full=True)  # texts that are none, codes without a text
            return table
        except DataError:
            raise
        except Exception as error:  # Arrow has errors of many kinds for damaged batches
            raise DataError(
                f"{self.where}: record batch {self.number} cannot be read: {first_line(error)}: write it again"
            ) from None


def arrow_file_sources(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    types: Mapping[str, str] | None = None,
    blocks: int | None = None,
    block_rows: int | None = None,
    **roles: Any,
) -> list[TableSource]:
    """Cut Arrow files into sources, one per block: as `fullbatch.parquet_sources` does with its files.

    Of all record batches the smallest column is read here, since nothing else tells how many rows they have.
    """
    return part_file_sources(paths, ENDINGS, _looked_at, Roles(**roles), types, blocks, block_rows)


@dataclass(frozen=True)
class _ArrowFile:
    """A file, its columns, and the rows of each of its batches."""

    path: str
    size: int
    schema: pa.Schema
    batch_rows: tuple[int, ...]

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return sum(self.batch_rows)

    def parts(self, names: Sequence[str]) -> list[RecordBatch]:
        """Its record batches."""
        widths = [_width(field.type) for field in self.schema if field.name in names]
        fixed = sum(width for width in widths if width is not None)
        share = self.size if None in widths else 0  # of texts, whose lengths stand in the batches: all there is
        batches, start = [], 0
        for number, rows in enumerate(self.batch_rows):
            nbytes = rows * fixed // 8 + share * rows // self.rows
            batches.append(RecordBatch(self.path, number, start, rows, nbytes))
            start += rows
        return batches


def _looked_at(path: str) -> _ArrowFile:
    try:
        with _opened(path) as file:
            schema = file.schema
            count = file.num_record_batches
        schema.names  # noqa: B018 - an error, where one is no text
        rows = []
        with _opened(path, _smallest) as file:
            for number in range(count):
                batch = file.get_batch(number)
                batch.validate()  # that it has as many values as it tells of rows
                rows.append(batch.num_rows)
        with open_file(path) as raw:
            size = raw.seek(0, 2)
    except DataError:
        raise
    except Exception as error:  # of many kinds
        raise not_whole(path, "arrow", error, "Arrow file") from None
    return _ArrowFile(path, size, schema, tuple(rows))


@contextmanager
def _opened(path: str, fields: Callable[[pa.Schema], list[int]] | None = None) -> Iterator[Any]:
    """An Arrow file, of which some of its fields are read."""
    if not is_url(path):
        check_file(path)
    with open_file(path) if is_url(path) else pa.OSFile(path) as raw:
        file = pa.ipc.open_file(raw)
        if fields is not None:
            file = pa.ipc.open_file(raw, options=pa.ipc.IpcReadOptions(included_fields=fields(file.schema)))
        yield file


def _places(names: Sequence[str], path: str, schema: pa.Schema) -> list[int]:
    """Where these columns stand."""
    check_there(names, schema.names, path)
    return [schema.names.index(name) for name in names]


def _smallest(schema: pa.Schema) -> list[int]:
    """The column that takes the fewest bytes of those that take any."""
    widths = {number: _width(field.type) for number, field in enumerate(schema)}
    known = {number: width for number, width in widths.items() if width}
    return [min(known, key=lambda number: known[number])] if known else list(widths)


def _width(type_: pa.DataType) -> int | None:
    """Bits of a value, None where values differ."""
    try:
        return int(type_.bit_width)
    except ValueError:
        return None
