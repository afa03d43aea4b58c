"""Columns in the names of folders, as Hive, Spark and Arrow partition tables: `year=2020/part-0.parquet`."""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError
from .arrow import plain
from .columns import Roles
from .paths import Found, find
from .table import TableSource, piece_keeping

# What is written for a missing value.
_MISSING = "__HIVE_DEFAULT_PARTITION__"
_WHOLE = re.compile(r"-?[0-9]{1,19}")


@dataclass(frozen=True, eq=False)
class FolderPiece:
    """Some rows of a file, with the columns that stand in the names of its folders.

    Parameters
    ----------
    piece : Piece
        The rows in the file.
    added : mapping of str to pyarrow.Scalar
        Values of columns that the file does not have.
    told : mapping of str to str or None
        Values, as they are written, of columns that the file has itself, where they must be the same.
    """

    piece: Any
    added: Mapping[str, pa.Scalar]
    told: Mapping[str, str | None]

    @property
    def where(self) -> str:
        """What it is read from."""
        where: str = self.piece.where
        return where

    @property
    def first_row(self) -> int:
        """Number of its first row there."""
        return int(self.piece.first_row)

    @property
    def stop(self) -> int:
        """Number of the first row behind it."""
        return int(self.piece.stop)

    @property
    def reading(self) -> int:
        """Bytes taken while it is read, beside the rows that come of it."""
        return int(self.piece.reading)

    def read(self, names: list[str]) -> pa.Table:
        """These columns of the rows."""
        own = [name for name in names if name not in self.added]
        columns: dict[str, Any] = {}
        if own:
            table = self.piece.read(own)
            columns = dict(zip(table.column_names, table.columns, strict=True))
        for name in columns.keys() & self.told.keys():
            self._check(name, columns[name])
        rows, added = self.stop - self.first_row, [name for name in names if name in self.added]
        return pa.table({**columns, **{name: _repeated(self.added[name], rows) for name in added}})

    def keeping(self, names: Sequence[str]) -> "FolderPiece":
        """Itself, of which these columns are read too, as they are."""
        return replace(self, piece=piece_keeping(self.piece, [name for name in names if name not in self.added]))

    def _check(self, name: str, column: pa.ChunkedArray) -> None:
        """Refuse a column of the file that is not what its folder is named."""
        column, text = plain(column), self.told[name]
        try:
            same = pc.is_null(column) if text is None else pc.equal(column, pa.scalar(text).cast(column.type))
            row = pc.index(pc.fill_null(same, False), False).as_py()
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError):  # the name of the folder is not of the column's type
            row = 0
        if row >= 0:
            raise DataError(
                f"{self.where}: row {self.first_row + row}, column {name!r} is {column[row].as_py()!r}, but the name "
                f"of the folder says {name}={_MISSING if text is None else text}: correct the one that is wrong, or "
                "leave the column out with exclude"
            )


@dataclass(frozen=True)
class FolderColumns:
    """The columns in the names of the folders of some files.

    Parameters
    ----------
    schemas : list of pyarrow.Schema
        Of each file, with these columns behind its own.
    added, told : mapping of str to mapping
        Of each file that has any, as for `FolderPiece`.
    """

    schemas: list[pa.Schema]
    added: Mapping[str, Mapping[str, pa.Scalar]]
    told: Mapping[str, Mapping[str, str | None]]

    def with_columns(self, sources: list[TableSource]) -> list[TableSource]:
        """The sources of these files, which read these columns too."""
        if not self.added and not self.told:
            return sources
        return [replace(source, pieces=tuple(map(self._piece, source.pieces))) for source in sources]

    def _piece(self, piece: Any) -> FolderPiece:
        return FolderPiece(piece, self.added.get(piece.where, {}), self.told.get(piece.where, {}))


def folder_columns(
    found: Sequence[Found], schemas: Sequence[pa.Schema], roles: Roles, types: Mapping[str, pa.DataType]
) -> FolderColumns:
    """Find the columns in the names of folders: below the one where files were looked for, and none above it.

    Whole numbers in all of the files are integers, anything else is text. What a file has itself under such a name
    counts, and must say the same.

    Parameters
    ----------
    found, schemas
        The files that have rows, and the columns of each.
    roles : Roles
        What columns mean, for messages.
    types : mapping of str to pyarrow.DataType
        Types of columns for which the guess is wrong.

    Raises
    ------
    DataError
        A name says two values of one column, or one that is not of its type, or a column is asked for that stands in
        a folder above.
    """
    values = [folder_values(one) for one in found]
    added: dict[str, dict[str, pa.Scalar]] = {}
    names = dict.fromkeys(name for of_file in values for name in of_file)
    guessed = {name: types[name] if name in types else _guess(values, name) for name in names}
    joined = []
    for one, schema, of_file in zip(found, schemas, values, strict=True):
        own = set(schema.names)
        new = {name: _scalar(one, name, text, guessed[name]) for name, text in of_file.items() if name not in own}
        for name in new:
            schema = schema.append(pa.field(name, guessed[name]))
        joined.append(schema)
        if new:
            added[one.path] = new
    told = {
        one.path: both
        for one, schema, of_file in zip(found, schemas, values, strict=True)
        if (both := {name: text for name, text in of_file.items() if name in schema.names})
    }
    _refuse_above(found, joined, roles)
    return FolderColumns(joined, added, told)


def folder_names(paths: str | PathLike[str] | Sequence[str | PathLike[str]], endings: tuple[str, ...]) -> set[str]:
    """Names of the columns in the names of folders of some files."""
    return {name for found in find(paths, endings) for name in folder_values(found)}


def folder_values(found: Found) -> dict[str, str | None]:
    """What the names of a file's folders say of columns, None for a missing value."""
    values: dict[str, str | None] = {}
    for folder in _parts(found)[len(found.folder.rstrip("/").split("/")) : -1]:
        key, equals, text = folder.partition("=")
        if not key or not equals:
            continue
        try:
            name, value = unquote(key, errors="strict"), unquote(text, errors="strict")
        except UnicodeDecodeError:
            raise DataError(f"{found.path}: the name of the folder {folder!r} is no UTF-8 text: rename it") from None
        if name in values:
            raise DataError(f"{found.path}: two of its folders are named {name}=...: rename one of them")
        values[name] = None if value == _MISSING else value
    return values


def _parts(found: Found) -> list[str]:
    return found.path.replace(os.sep, "/").split("/")


def _guess(values: Sequence[Mapping[str, str | None]], name: str) -> pa.DataType:
    texts = [text for of_file in values if (text := of_file.get(name)) is not None]
    if not texts:
        return pa.null()
    is_whole = all(_WHOLE.fullmatch(text) and -(2**63) <= int(text) < 2**63 for text in texts)
    return pa.int64() if is_whole else pa.string()


def _scalar(found: Found, name: str, text: str | None, type_: pa.DataType) -> pa.Scalar:
    try:
        return pa.scalar(text, pa.string()).cast(type_)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        raise DataError(f"{found.path}: the name of the folder {name}={text} is not of type {type_}") from None


def _repeated(value: pa.Scalar, rows: int) -> pa.Array:
    return pa.repeat(value, rows) if value.is_valid else pa.nulls(rows, value.type)


def _refuse_above(found: Sequence[Found], schemas: Sequence[pa.Schema], roles: Roles) -> None:
    """Where a column that is asked for stands in a folder above those that count, say what to give instead."""
    asked = [roles.target, roles.weight, roles.offset, *(roles.features or ()), *roles.categorical]
    has = {name for schema in schemas for name in schema.names}
    for one in found:
        parts = _parts(one)
        above = parts[: len(one.folder.rstrip("/").split("/"))]
        for place, folder in enumerate(above):
            key, equals, text = folder.partition("=")
            if equals and unquote(key) in asked and unquote(key) not in has:
                within = [*above[:place], f"{key}=[{text[:1]}]{text[1:]}", *above[place + 1 :]]
                glob = "/".join([*within, "**", f"*{os.path.splitext(parts[-1])[1]}"])
                raise DataError(
                    f"{one.path}: there is no column {unquote(key)!r} below {one.folder}: a folder such as {folder} "
                    f"counts where it is below what is given. Give {'/'.join(above[:place])}, or the glob {glob}"
                )
