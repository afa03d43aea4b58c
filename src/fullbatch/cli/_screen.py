"""What the command line shows, and its exit codes."""

import json
import logging
import math
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

EXIT_CODES = """Exit codes: 0 converged, or done; 1 something is wrong (data, files, packages, cluster); 2 wrong usage;
3 stopped before converging; 130 interrupted (the best iterate so far is saved)."""

NOT_CONVERGED, INTERRUPTED = 3, 130

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")]

screen = Console(stderr=True)

# How advice that errors give to callers of the library reads here.
_OPTIONS = [
    (r'missing="drop"', "--missing drop"),
    (r"missing=\{'([^']*)': [^}]*\}", r"--missing \1=..."),
    (r'types=\{\'([^\']*)\': "(\w+)"\}', r"--types \1=\2"),
    (r"quoted=False", "--no-quotes"),
    (r'encoding="(\w+)"', r"--encoding \1"),
    (r'unknown="ignore"', "--ignore-unknown"),
    (r"zero_based=True", "--zero-based"),
    (r"zero_based=False", "--one-based"),
]


class _OnScreen(logging.Handler):
    """Shows what is logged."""

    def emit(self, record: logging.LogRecord) -> None:
        screen.print(record.getMessage(), highlight=False, markup=False)


@contextmanager
def plan_shown(quiet: bool) -> Iterator[None]:
    """Show what an engine is about to do with the data, before it does; warnings in any case."""
    logger, handler = logging.getLogger("fullbatch.plan"), _OnScreen(logging.WARNING if quiet else logging.INFO)
    before = logger.level
    logger.setLevel(logging.INFO)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)


def in_options(message: str) -> str:
    """An error's message with the options of the command line for those of the library."""
    for words, option in _OPTIONS:
        message = re.sub(words, option, message)
    return message


def show(values: dict[str, Any], as_json: bool) -> None:
    """Print a result on standard output."""
    if as_json:
        typer.echo(json.dumps({name: _in_json(value) for name, value in values.items()}, allow_nan=False))
        return
    table = Table(show_header=False, box=None)
    for name, value in values.items():
        if value is not None:
            table.add_row(name.replace("_", " "), escape(_text(value)))
    # Into a pipe or file no line is broken.
    Console(highlight=False, width=None if sys.stdout.isatty() else 10_000).print(table)


def _in_json(value: Any) -> Any:
    """JSON has no infinity and no NaN."""
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.10g}" if isinstance(value, float) else str(value)
