"""What the command line shows, and its exit codes."""

import json
import logging
import math
import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..errors import BlockError
from ..wording.shown import as_text, redacted

EXIT_CODES = """Exit codes: 0 converged, or done; 1 something is wrong (data, files, packages, cluster); 2 wrong usage;
3 stopped before converging; 130 interrupted (the best iterate so far is saved)."""

NOT_CONVERGED, INTERRUPTED = 3, 130

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")]

# What is printed is text, whatever is in it: names of files, columns and labels may hold brackets and colons.
screen = Console(stderr=True, markup=False, emoji=False, highlight=False)

# How advice that errors give to callers of the library reads here.
_OPTIONS: list[tuple[str, Any]] = [
    (r'missing="drop"', "--missing drop"),
    (r"missing=\{[^}]*\}", lambda found: " ".join(f"--missing {name}=..." for name in _names(found[0]))),
    (r"exclude=\[[^]]*\]", lambda found: f"--exclude {shlex.quote(','.join(_names(found[0])))}"),
    (r"\bwith exclude\b(?!=)", "with --exclude"),
    (r"\b(target|offset)=\.\.\.", r"--\1 COLUMN"),
    (r"tell it with format", "tell it with --format"),
    (r"tell with n_features how many columns there are", "read it in Python, with n_features of libsvm_sources"),
    (r'types=\{\'([^\']*)\': "(\w+)"\}', r"--types \1=\2"),
    (r"categorical=\['([^']*)'\] of table_sources.*", r"--categorical \1"),
    (r"missing_values=\[('[^']*')\]", r"--missing-values \1"),
    (r"units=\[('[^']*')\]", r"--units \1"),
    (r"(decimal|thousands)=('[^']+'|\"[^\"]+\")", r"--\1 \2"),
    (r"quoted=False", "--no-quotes"),
    (r'encoding="(\w+)"', r"--encoding \1"),
    (r'unknown="ignore"', "--ignore-unknown"),
    (r"zero_based=True", "--zero-based"),
    (r"zero_based=False", "--one-based"),
]


class _OnScreen(logging.Handler):
    """Shows what is logged, a line each."""

    def emit(self, record: logging.LogRecord) -> None:
        print_line(record.getMessage())


@contextmanager
def warnings_shown() -> Iterator[None]:
    """Show warnings of the library."""
    with _shown("fullbatch", logging.WARNING):
        yield


@contextmanager
def plan_shown(quiet: bool) -> Iterator[None]:
    """Show what an engine is about to do with the data, before it does."""
    if quiet:
        yield
        return
    logger = logging.getLogger("fullbatch.plan")
    before = logger.level
    logger.setLevel(logging.INFO)
    try:
        with _shown("fullbatch.plan", logging.INFO, logging.WARNING):
            yield
    finally:
        logger.setLevel(before)


@contextmanager
def _shown(name: str, least: int, below: int = logging.CRITICAL + 1) -> Iterator[None]:
    logger, handler = logging.getLogger(name), _OnScreen(least)
    handler.addFilter(lambda record: record.levelno < below)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def print_line(text: str, before: str = "") -> None:
    """Print a line on standard error, as text, without secrets; `before` stands out."""
    screen.print(Text(before, style="bold red").append(as_text(redacted(text)), style="default"), soft_wrap=True)


def print_error(error: Exception) -> None:
    """Print an error, as one line; of one on a worker what it was, without where in the program."""
    words = str(error)
    if isinstance(error, BlockError):
        last = error.details.strip().splitlines()[-1:]
        words = f"block {error.index} ({error.source}) failed on its worker: {''.join(last)} (--debug shows more)"
    print_line(in_options(words), "error: ")


def in_options(message: str) -> str:
    """An error's message with the options of the command line for those of the library."""
    for words, option in _OPTIONS:
        message = re.sub(words, option, message)
    return message


def _names(option: str) -> list[str]:
    """Names of columns in an option as Python writes it."""
    return re.findall(r"['\"]([^'\"]*)['\"](?=[]:,])", option)


def show(values: dict[str, Any], as_json: bool) -> None:
    """Print a result on standard output."""
    if as_json:
        typer.echo(json.dumps({name: _in_json(value) for name, value in values.items()}, allow_nan=False))
        return
    table = Table(show_header=False, box=None)
    for name, value in values.items():
        if value is not None:
            table.add_row(name.replace("_", " "), Text(as_text(_text(value))))
    # Into a pipe or file no line is broken.
    Console(highlight=False, width=None if sys.stdout.isatty() else 10_000).print(table)


def _in_json(value: Any) -> Any:
    """JSON has no infinity and no NaN; secrets of URLs are not shown there either."""
    if isinstance(value, str):
        return redacted(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:.10g}" if isinstance(value, float) else redacted(str(value))
