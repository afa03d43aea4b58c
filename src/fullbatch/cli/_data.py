"""Which data a command works on: the options that say so."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ._completion import column, columns, one_of
from ._named_values import pairs, split

DATA = "DATA"
DATA_HELP = "Files, directories or globs of Parquet, Arrow, ORC, CSV, TSV, JSON lines, libsvm, .npy or .npz files"


class EngineName(StrEnum):
    """Engines known by name."""

    threads = "threads"
    serial = "serial"
    ray = "ray"
    dask = "dask"


class FormatName(StrEnum):
    """Formats of files."""

    parquet = "parquet"
    arrow = "arrow"
    orc = "orc"
    csv = "csv"
    tsv = "tsv"
    jsonl = "jsonl"
    libsvm = "libsvm"
    npy = "npy"
    npz = "npz"


def _column(name: str, what: str) -> Any:
    told = f"{what} (of .npy files: the file)."
    return typer.Option(name, metavar="COLUMN", help=told, show_default=False, autocompletion=column)


def _columns(what: str) -> Any:
    return typer.Option(metavar="A,B,...", help=what, show_default=False, autocompletion=columns)


# `--missing drop` would leave rows without a prediction.
_MISSING = "Missing values: an error (default), {}or put a value in their place (may be repeated)."
LEARNT = ("mean", "median")

_UNKNOWN = ("error", "ignore", "base")

# Fields of `FileOptions` that a fitted model knows.
OF_A_FIT = ("features", "exclude", "categorical", "missing_indicator", "base", "formula", "unknown")


def _missing_option(drops: bool, learns: bool) -> Any:
    words = ("leave the row out, " if drops else "") + (
        "the training rows' mean or median (of one column: COLUMN=mean), " if learns else ""
    )
    values = "|".join(["error", *(["drop"] if drops else []), *(LEARNT if learns else []), "COLUMN=VALUE"])
    return typer.Option(metavar=values, help=_MISSING.format(words), show_default=False)


def _tab(delimiter: str | None) -> str | None:
    return None if delimiter is None else delimiter.replace("\\t", "\t")


@dataclass(frozen=True)
class FileOptions:
    """Options that say what the files of a command hold, how they read, and what columns a fit makes of theirs; None
    for what is not told.
    """

    target: Annotated[str | None, _column("--target", "Column to learn")] = None
    weight: Annotated[str | None, _column("--weight", "Column of sample weights")] = None
    offset: Annotated[
        str | None, _column("--offset", "Column added to the linear predictor, such as a log exposure")
    ] = None
    features: Annotated[str | None, _columns("Columns to learn from; default: all others.")] = None
    exclude: Annotated[str | None, _columns("Columns to leave out.")] = None
    categorical: Annotated[str | None, _columns("Features whose numbers are categories; text is anyway.")] = None
    missing: Annotated[list[str] | None, _missing_option(drops=True, learns=True)] = None
    missing_indicator: Annotated[
        bool,
        typer.Option(
            "--missing-indicator",
            help="Another column for each in which numbers are missing and filled in: 1 where one is, else 0.",
        ),
    ] = False
    base: Annotated[
        list[str] | None,
        typer.Option(
            metavar="first|COLUMN=LEVEL",
            help="Level of a column of categories whose coefficient is zero, so that those of the others are "
            "differences from it (may be repeated); first: the first level of each; default: none.",
            show_default=False,
        ),
    ] = None
    formula: Annotated[
        str | None,
        typer.Option(
            metavar="FORMULA",
            help="Columns of the model, as in 'y ~ C(region) + age:power', of those named in it alone; the target "
            'is on its left, or --target. Needs the extra "formula".',
            show_default=False,
        ),
    ] = None
    unknown: Annotated[
        str | None,
        one_of(
            _UNKNOWN,
            "|".join(_UNKNOWN),
            help="What the model's predictions do with a category that the fit has not seen: an error (default), "
            "count it as none of them, or as the base level.",
            show_default=False,
        ),
    ] = None
    format_: Annotated[
        FormatName | None,
        typer.Option("--format", help="Default: by the names' endings, or the contents.", show_default=False),
    ] = None
    delimiter: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Between the values of a CSV file; \\t is a tab.", callback=_tab, show_default=False
        ),
    ] = None
    types: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=TYPE",
            help="Type of a column of CSV, JSON lines or names of folders that is not guessed right: string, double "
            "(may be repeated).",
            show_default=False,
        ),
    ] = None
    decimal: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Before fractions in a CSV file; default: a point.", show_default=False),
    ] = None
    thousands: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Between groups of digits in a CSV file, as in 1,234.", show_default=False),
    ] = None
    units: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SIGN",
            help="Sign at numbers of a CSV file that is left out, such as % or $ (may be repeated).",
            show_default=False,
        ),
    ] = None
    missing_values: Annotated[
        list[str] | None,
        typer.Option(
            metavar="TEXT",
            help='Text of a CSV file that stands for a missing value, such as "?" (may be repeated).',
            show_default=False,
        ),
    ] = None
    no_quotes: Annotated[
        bool, typer.Option("--no-quotes", help="Quotation marks of a CSV file are part of the values.")
    ] = False
    skip_rows: Annotated[
        int | None,
        typer.Option(
            min=0, metavar="COUNT", help="Lines of a CSV file before its header to leave out.", show_default=False
        ),
    ] = None
    comment: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="What lines of a CSV file begin with that are no rows, such as #.", show_default=False
        ),
    ] = None
    escape: Annotated[
        str | None,
        typer.Option(
            metavar="SIGN", help="Before quotation marks within values of a CSV file, such as \\.", show_default=False
        ),
    ] = None
    encoding: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of a CSV file's text, such as latin1; default: UTF-8.", show_default=False),
    ] = None
    zero_based: Annotated[
        bool | None,
        typer.Option(
            "--zero-based/--one-based",
            help="Whether columns of libsvm files are counted from 0 or 1; default: as in the fit, which looks for "
            "a 0.",
            show_default=False,
        ),
    ] = None

    def refuse_for_mnist(self) -> None:
        """Refuse options of files where the data is MNIST, which has none of its own."""
        for field in fields(self):
            if getattr(self, field.name) not in (None, False):
                name = field.name.rstrip("_").replace("_", "-")
                raise typer.BadParameter(f"mnist knows its columns: leave --{name} out")

    @property
    def format_name(self) -> str | None:
        """The format that is told."""
        return None if self.format_ is None else self.format_.value

    def for_sources(self, known_types: Mapping[str, str] | None = None) -> dict[str, Any]:
        """The options as `file_sources` takes them, which leaves out those that are None.

        Parameters
        ----------
        known_types : mapping of column to type, optional
            Types of columns of text files, unless they are told.
        """
        types = {**(known_types or {}), **pairs(self.types or [], "--types")}
        return {
            "target": self.target,
            "weight": self.weight,
            "offset": self.offset,
            "features": split(self.features),
            "exclude": split(self.exclude),
            "categorical": split(self.categorical),
            "missing": self._missing(types),
            "delimiter": self.delimiter,
            "types": types or None,
            "decimal": self.decimal,
            "thousands": self.thousands,
            "units": self.units or None,
            "missing_values": self.missing_values or None,
            "quoted": False if self.no_quotes else None,
            "skip_rows": self.skip_rows,
            "comment": self.comment,
            "escape": self.escape,
            "encoding": self.encoding,
            "zero_based": self.zero_based,
        }

    def _missing(self, types: Mapping[str, str]) -> str | dict[str, Any] | None:
        """What is said of missing values: a word for all columns, or values by column; None for an error."""
        given, words = self.missing or ["error"], ("error", "drop", *LEARNT)
        if len(given) == 1 and given[0] in words:
            return None if given[0] == "error" else given[0]
        if word := next((one for one in given if one in words), None):
            told = f"{word} is for all columns: give it alone, or COLUMN=VALUE for each"
            raise typer.BadParameter(told, param_hint="--missing")
        return pairs(given, "--missing", types)


def with_file_options(without: Sequence[str] = ()) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorate a command that takes `files`: its options on the command line are those of `FileOptions`.

    Typer reads a command's options from its signature, in which they then stand at the place of `files`.

    Parameters
    ----------
    without : sequence of str
        Fields of `FileOptions` that are no options of this command.
    """
    hints = get_type_hints(FileOptions, include_extras=True)
    if "features" in without:  # a fitted model knows them; where there is no target it predicts for every row
        hints["missing"] = Annotated[list[str] | None, _missing_option("target" not in without, learns=False)]
    options = [
        Parameter(option.name, Parameter.KEYWORD_ONLY, default=option.default, annotation=hints[option.name])
        for option in fields(FileOptions)
        if option.name not in without
    ]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**given: Any) -> None:
            files = FileOptions(**{option.name: given.pop(option.name) for option in options})
            command(**given, files=files)

        own = signature(command)
        parameters: list[Parameter] = []
        for name, parameter in own.parameters.items():
            parameters += options if name == "files" else [parameter]
        run.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]
        return run

    return decorate


Directory = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Directory with the four full files of MNIST (see fetch).", show_default=False),
]
Engine = Annotated[EngineName, typer.Option(help="Where the blocks live.")]
Workers = Annotated[
    int | None,
    typer.Option(min=1, metavar="COUNT", help="Threads, or workers; default: all CPUs.", show_default=False),
]
MeaningOfWeights = Annotated[
    str | None,
    typer.Option(
        "--weights",
        metavar="frequency|precision",
        help="What sample weights mean: numbers of rows, or precisions; default: of shares the latter.",
        show_default=False,
    ),
]
Memory = Annotated[
    str,
    typer.Option(
        metavar="auto|2GB|...",
        help="Of the data in each worker; the rest is read on each pass. auto: half of what is free.",
    ),
]


def is_mnist(data: Sequence[str]) -> bool:
    """Whether the data set known as mnist is meant, rather than files."""
    return list(data) == ["mnist"]


def refuse_directory(directory: Path | None) -> None:
    """Refuse a directory of MNIST's files where the data is another."""
    if directory is not None:
        raise typer.BadParameter("it is where the files of mnist are: leave it out", param_hint="--directory")
