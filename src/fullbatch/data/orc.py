"""Sources from ORC files: stripes and columns that are needed, and no more, read by the workers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Any, NamedTuple

import pyarrow as pa
from pyarrow import orc

from ..errors import DataError
from ..wording.messages import first_line
from .columns import Roles, check_there
from .contents import not_whole
from .parts import PartOfFile, part_file_sources
from .paths import check_file, is_url, open_file
from .table import TableSource

ENDINGS = (".orc",)

# Numbers of fields of the format: https://orc.apache.org/specification/ORCv1
_FOOTER, _STRIPES, _DATA_LENGTH, _STRIPE_ROWS = 2, 3, 3, 5


class Stripe(PartOfFile):
    """A stripe of a file."""

    def decode(self, names: list[str]) -> pa.Table:
        """These columns of all of its rows."""
        try:
            with _opened(self.where) as file:
                check_there(names, file.schema.names, self.where)
                table = pa.Table.from_batches([file.read_stripe(self.number, columns=names)])
            table.validate(full=True)
            return table
        except DataError:
            raise
        except Exception as error:  # of many kinds for damaged stripes
            raise DataError(
                f"{self.where}: stripe {self.number} cannot be read: {first_line(error)}: write it again"
            ) from None


def orc_sources(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    types: Mapping[str, str] | None = None,
    blocks: int | None = None,
    block_rows: int | None = None,
    **roles: Any,
) -> list[TableSource]:
    """Cut ORC files into sources, one per block: as `fullbatch.parquet_sources` does with its files."""
    return part_file_sources(paths, ENDINGS, _looked_at, Roles(**roles), types, blocks, block_rows)


class _StripeTold(NamedTuple):
    """What a footer tells of a stripe: its rows, and bytes of its data."""

    rows: int
    nbytes: int


@dataclass(frozen=True)
class _OrcFile:
    """A file, its columns, and what is told of its stripes."""

    path: str
    schema: pa.Schema
    stripes: tuple[_StripeTold, ...]

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return sum(stripe.rows for stripe in self.stripes)

    def parts(self, names: Sequence[str]) -> list[Stripe]:
        """Its stripes."""
        parts, start = [], 0
        for number, stripe in enumerate(self.stripes):
            parts.append(Stripe(self.path, number, start, stripe.rows, stripe.nbytes + 8 * len(names) * stripe.rows))
            start += stripe.rows
        return parts


def _looked_at(path: str) -> _OrcFile:
    try:
        with _opened(path) as file:
            schema, rows, count = file.schema, file.nrows, file.nstripes
            tail = file.reader.serialized_file_tail()
        schema.names  # noqa: B018 - an error, where one is no text
        told = [dict(_fields(stripe)) for number, stripe in _fields(dict(_fields(tail))[_FOOTER]) if number == _STRIPES]
        stripes = tuple(_StripeTold(one.get(_STRIPE_ROWS, 0), one.get(_DATA_LENGTH, 0)) for one in told)
        if len(stripes) != count or sum(stripe.rows for stripe in stripes) != rows:
            raise ValueError(f"it tells of {rows} rows, its stripes of {sum(stripe.rows for stripe in stripes)}")
    except DataError:
        raise
    except Exception as error:  # of many kinds
        raise not_whole(path, "orc", error, "ORC file") from None
    return _OrcFile(path, schema, stripes)


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """Numbers and values of the fields of a message of Protocol Buffers: whole numbers, or bytes."""
    place = 0
    while place < len(message):
        key, place = _varint(message, place)
        if key % 8 == 0:
            value, place = _varint(message, place)
            yield key // 8, value
        elif key % 8 == 2:
            length, place = _varint(message, place)
            yield key // 8, message[place : place + length]
            place += length
        else:
            place += {1: 8, 5: 4}[key % 8]


def _varint(message: bytes, place: int) -> tuple[int, int]:
    """A whole number, and the place behind it."""
    value = shift = 0
    while message[place] >= 0x80:
        value |= (message[place] & 0x7F) << shift
        place, shift = place + 1, shift + 7
    return value | message[place] << shift, place + 1


@contextmanager
def _opened(path: str) -> Iterator[orc.ORCFile]:
    if not is_url(path):
        check_file(path)
    with open_file(path) if is_url(path) else pa.OSFile(path) as raw:
        yield orc.ORCFile(raw)
