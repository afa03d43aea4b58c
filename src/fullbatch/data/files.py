"""Sources from files of any kind that fullbatch reads, chosen by how their names end."""

from collections.abc import Sequence
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any

from ..errors import DataError
from ..wording.shown import named
from .columns import Roles
from .contents import format_of_content
from .csv_ import csv_sources
from .ipc import arrow_file_sources
from .json_ import json_sources
from .libsvm import libsvm_sources
from .npy import npy_sources
from .npz import npz_sources
from .parquet import parquet_sources
from .paths import expand, without_packing

ENDINGS = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".arrow": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".orc": "orc",
    ".csv": "csv",
    ".tsv": "tsv",
    ".txt": "csv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".libsvm": "libsvm",
    ".svmlight": "libsvm",
    ".svm": "libsvm",
    ".npy": "npy",
    ".npz": "npz",
}
FORMATS = tuple(dict.fromkeys(ENDINGS.values()))

# Options that a format knows beyond those of every table.
_TABLE = tuple(field.name for field in fields(Roles))
_TEXT = (
    *("quoted", "encoding", "column_names", "types", "decimal", "thousands", "units", "missing_values"),
    *("skip_rows", "comment", "escape"),
)
_OPTIONS = {
    "parquet": (*_TABLE, "types"),
    "arrow": (*_TABLE, "types"),
    "orc": (*_TABLE, "types"),
    "csv": (*_TABLE, "delimiter", *_TEXT),
    "tsv": (*_TABLE, *_TEXT),
    "jsonl": (*_TABLE, "types"),
    "libsvm": ("n_features", "zero_based", "dense", "dtype"),
    "npy": ("target", "weight", "offset", "scale"),
    "npz": ("target", "weight", "offset", "scale"),
}


def file_sources(
    paths: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    format: str | None = None,
    blocks: int | None = None,
    block_rows: int | None = None,
    **options: Any,
) -> list[Any]:
    """Cut files into sources, one per block, whatever the files' format.

    Parameters
    ----------
    paths : path or URL, or sequence of them
        Files, directories and globs, all of one format.
    format : {"parquet", "arrow", "orc", "csv", "tsv", "jsonl", "libsvm", "npy", "npz"}, optional
        Default: by how the names of the files end, or by their first bytes where the names say nothing.
    blocks, block_rows : int, optional
        How many blocks, or how many rows in each; default: by the shape of the data alone.
    **options
        Those of `parquet_sources`, which Arrow (Feather) and ORC files have too, of `csv_sources`, `json_sources` or
        `libsvm_sources`. For .npy files `target`, `weight` and `offset` are files, and there is `scale`, as for
        `npy_sources`. For .npz files too; or they are names of arrays in them, by default `y`, `sample_weight` or
        `weight`, and `offset`.

    Returns
    -------
    list of Source

    Raises
    ------
    DataError
        The data cannot be used, or its format cannot be told.
    ValueError
        The format does not have an option.
    """
    listed = [paths] if isinstance(paths, str | PathLike) else list(paths)
    kind = file_format(listed, format)
    given = {name: value for name, value in options.items() if value is not None}
    stray = [name for name in given if name not in _OPTIONS[kind]]
    if stray:
        raise ValueError(f"{kind} files have no option {stray[0]!r}: they have {', '.join(_OPTIONS[kind])}")
    given |= {"blocks": blocks, "block_rows": block_rows}
    if kind == "parquet":
        return parquet_sources(listed, **given)
    if kind == "arrow":
        return arrow_file_sources(listed, **given)
    if kind == "orc":
        from .orc import orc_sources  # Arrow has it on most platforms only

        return orc_sources(listed, **given)
    if kind in ("csv", "tsv"):
        return csv_sources(listed, **{**given, "delimiter": "\t"} if kind == "tsv" else given)
    if kind == "jsonl":
        return json_sources(listed, **given)
    if kind == "libsvm":
        return libsvm_sources(listed, **given)
    if kind == "npz":
        return npz_sources(listed, **given)
    names = {"target": "y", "weight": "sample_weight"}
    return npy_sources(listed, **{names.get(name, name): value for name, value in given.items()})


def file_format(paths: Sequence[str | PathLike[str]], told: str | None = None) -> str:
    """The format that is told, or else the one that the names of the files end in, or else that of their contents."""
    if told is not None:
        if told not in _OPTIONS:
            raise ValueError(f"unknown format {told!r}: choose from {', '.join(FORMATS)}")
        return told
    files = []
    for path in paths:
        files += expand(path, tuple(ENDINGS))
    found = {ENDINGS.get(Path(without_packing(file)).suffix.lower()) or format_of_content(file) for file in files}
    if len(found) == 1 and (only := found.pop()) is not None:
        return only
    names = ", ".join(map(named, paths))
    if len(found) > 1:
        raise DataError(
            f"{names}: files of several formats ({', '.join(sorted(map(str, found)))}): give one kind at a time"
        )
    raise DataError(
        f"{names}: the format cannot be told from the content, nor from the name, which ends in none of "
        f"{', '.join(ENDINGS)}: tell it with format, one of {', '.join(FORMATS)}"
    )
