"""What a shell completes: names of a choice, and the columns of the files that were named before."""

import csv
import io
import os
import shlex
from collections.abc import Callable, Sequence
from contextlib import suppress
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


def column(incomplete: str) -> list[str]:
    """Columns whose names begin so."""
    return [name for name in _columns() if name.startswith(incomplete)]


def columns(incomplete: str) -> list[str]:
    """The same behind the last comma of several."""
    before, comma, last = incomplete.rpartition(",")
    return [before + comma + name for name in _columns() if name.startswith(last)]


def _columns() -> list[str]:
    """Names of the columns of the first file on the line, as far as they can be had by reading its head.

    The line is looked at as it stands: while an option has no value yet, Click parses no arguments.
    """
    from ..data.files import file_format
    from ..data.paths import expand

    line = os.environ.get("_TYPER_COMPLETE_ARGS") or os.environ.get("COMP_WORDS") or ""  # of zsh and fish, of bash
    with suppress(ValueError):
        words = shlex.split(line)
        for word in words[2:]:
            with suppress(OSError, ValueError):  # no file, or none that can be read
                kind = file_format([word])
                return _READ[kind](expand(word)[0], _delimiter(words, kind)) if kind in _READ else []
    return []


def _delimiter(words: Sequence[str], kind: str) -> str:
    told = words[words.index("--delimiter") + 1 :] if "--delimiter" in words else []
    return told[0].replace("\\t", "\t") if told else "\t" if kind == "tsv" else ","


def _of_text(path: str, delimiter: str) -> list[str]:
    from ..data.unpacked import text_file

    head = next(text_file(path).contents(), b"").decode("utf-8-sig", "replace")
    return next(csv.reader(io.StringIO(head, newline=""), delimiter=delimiter), [])


def _of_parquet(path: str, delimiter: str) -> list[str]:
    from pyarrow.parquet import read_schema

    return list(read_schema(path).names)


_READ: dict[str, Callable[[str, str], list[str]]] = {"csv": _of_text, "tsv": _of_text, "parquet": _of_parquet}
