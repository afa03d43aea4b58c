"""What the command line shows."""

import json
import logging
import math
import re
import shlex
import sys
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from ..errors import BlockError
from ..wording.shown import as_text, redacted

NOT_CONVERGED = 3

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print all that --json has.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")]

# What is printed is text, whatever is in it: names of files, columns and labels may hold brackets and colons.
screen = Console(stderr=True, markup=False, emoji=False, highlight=False)


def _no_option(found: re.Match[str]) -> str:
    name = {"quoted": "no_quotes"}.get(found[2], found[2]).replace("_", "-")
    return f"{found[1]} files have no option --{name}"


# How advice that errors give to callers of the library reads here.
_OPTIONS: list[tuple[str, Any]] = [
    (r'\. A linear model can learn it: missing="median"', ". A fit can learn it: --missing median"),
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
    (r'unknown="base"', "--unknown base"),
    (r'tell them with base, as in base="first"', "tell them, as in --base first"),
    (r'base="first"', "--base first"),
    (r"^base(?= names|: column)", "--base"),
    (r"^missing(?=: there is no feature)", "--missing"),
    (r"leave base out", "leave --base out"),
    (r"say so to the model, with fit_intercept=False", "say so to the model, with --no-intercept"),
    (r"missing_indicator=True", "--missing-indicator"),
    (r"(\w+) files have no option '(\w+)': they have .*", _no_option),
    (r"holds an? \w+State, not an? .*", "holds the state of a run, and no model"),
    (r", or pass an engine object|, or pass a solver object", ""),
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
    """Show what an engine is about to do with the data, before it does, and which kernels are being compiled."""
    with _progress_shown() if quiet else _progress_shown("fullbatch.plan", "fullbatch.compile"):
        yield


@contextmanager
def compiling_shown() -> Iterator[None]:
    """Show which kernels are being compiled."""
    with _progress_shown("fullbatch.compile"):
        yield


@contextmanager
def _progress_shown(*names: str) -> Iterator[None]:
    with ExitStack() as stack:
        for name in names:
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.INFO)
            stack.enter_context(_shown(name, logging.INFO, logging.WARNING))
        yield


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
    """Print a line on standard error, as text, without secrets; `before` stands out. A terminal shows it as several,
    broken between words.
    """
    plain = before + as_text(redacted(text))
    if screen.is_terminal:
        plain = "\n".join(folded(plain, screen.width, "  "))
    line = Text(plain)
    line.stylize("bold red", 0, len(before))
    screen.print(line, soft_wrap=True)


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


def show(values: Mapping[str, Any], as_json: bool, short: Mapping[str, Any] | None = None) -> None:
    """Print a result on standard output: as JSON all `values`, else `short`, if that is given. None is left out.

    At a terminal no line is longer than the screen; into a pipe or a file none is broken.
    """
    if as_json:
        typer.echo(json.dumps({name: _in_json(value) for name, value in values.items()}, allow_nan=False))
        return
    told = values if short is None else short
    lines = {name.replace("_", " "): _text(value) for name, value in told.items() if value is not None}
    indent = max(map(len, lines)) + 3
    for name, text in lines.items():
        print_out(f" {name}".ljust(indent) + text, indent)


def print_out(text: str, indent: int = 1) -> None:
    """Print a line on standard output, as text. A terminal shows it as several, those behind the first indented."""
    plain = as_text(text).rstrip()
    typer.echo("\n".join(folded(plain, screen.width, " " * indent)) if sys.stdout.isatty() else plain)


def folded(text: str, width: int, indent: str) -> list[str]:
    """A text in lines, broken between words; what has no space in it, such as a path, stays whole."""
    return textwrap.wrap(
        text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False, expand_tabs=False
    )


def _in_json(value: Any) -> Any:
    """JSON has no infinity and no NaN; secrets of URLs are not shown there either."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, list):
        return list(map(_in_json, value))
    if isinstance(value, dict):
        return {name: _in_json(one) for name, one in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "none"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return number(value) if isinstance(value, float) else redacted(str(value))


def number(value: float, digits: int = 6) -> str:
    """A number as it is read: with so many digits, and separators of thousands."""
    if not math.isfinite(value):
        return str(value)
    if value and not 1e-4 <= abs(value) < 1e12:
        return f"{value:.{min(digits, 4) - 1}e}"
    return f"{value:,.0f}" if abs(value) >= 10**digits else f"{value:,.{digits}g}"


def seconds(value: float) -> str:
    """A time: to a hundredth, of long ones to a tenth."""
    return f"{value:.2f}" if value < 100 else f"{value:,.1f}"


def counted(count: int, what: str) -> str:
    """A number of things: 1 block, 2,000 blocks."""
    return f"{count:,} {what}{'s' * (count != 1)}"
