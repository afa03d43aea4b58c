"""What a shell completes: names of a choice, and the columns of the files that were named before."""

import csv
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import typer


def one_of(names: Sequence[str], metavar: str, **options: Any) -> Any:
    """An option that takes one of some names, which the shell knows."""

    def complete(incomplete: str) -> list[str]:
        return [name for name in names if name.startswith(incomplete)]

    def check(value: str | None) -> str | None:
        if value is not None and value not in names:
            raise typer.BadParameter(f"{value!r} is not one of {', '.join(map(repr, names))}")
        return value

    return typer.Option(metavar=metavar, callback=check, autocompletion=complete, **options)


def column(ctx: typer.Context, incomplete: str) -> list[str]:
    """Columns whose names begin so."""
    return [name for name in _columns(ctx.params) if name.startswith(incomplete)]


def columns(ctx: typer.Context, incomplete: str) -> list[str]:
    """The same behind the last comma of several."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in _columns(ctx.params) if name.startswith(last)]


def _columns(given: dict[str, Any]) -> list[str]:
    """Names of the columns of the first file, as far as they can be had by reading its head."""
    from ..data.files import file_format
    from ..data.paths import expand

    with suppress(OSError, ValueError):  # no reason to disturb who is still typing
        data = list(given.get("data") or [])
        kind = file_format(data, given.get("format_") and str(given["format_"]))
        if kind in _READ and data:
            delimiter = given.get("delimiter") or ("\t" if kind == "tsv" else ",")
            return _READ[kind](expand(data[0])[0], delimiter)
    return []


def _of_text(path: str, delimiter: str) -> list[str]:
    with Path(path).open(encoding="utf-8-sig", errors="replace", newline="") as file:
        return next(csv.reader(file, delimiter=delimiter), [])


def _of_parquet(path: str, delimiter: str) -> list[str]:
    from pyarrow.parquet import read_schema

    return list(read_schema(path).names)


_READ: dict[str, Callable[[str, str], list[str]]] = {"csv": _of_text, "tsv": _of_text, "parquet": _of_parquet}
