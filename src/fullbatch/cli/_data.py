"""Which data a command works on: the options that say so, and the sources they stand for."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ..errors import DataError
from ._completion import column, columns

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
_LEARNT = ("mean", "median")


def _missing_option(drops: bool, learns: bool) -> Any:
    words = ("leave the row out, " if drops else "") + ("the training rows' mean or median, " if learns else "")
    values = "|".join(["error", *(["drop"] if drops else []), *(_LEARNT if learns else []), "COLUMN=VALUE"])
    return typer.Option(metavar=values, help=_MISSING.format(words), show_default=False)


def _tab(delimiter: str | None) -> str | None:
    return None if delimiter is None else delimiter.replace("\\t", "\t")


@dataclass(frozen=True)
class FileOptions:
    """Options that say what the files of a command hold and how they read; None for what is not told."""

    target: Annotated[str | None, _column("--target", "Column to learn")] = None
    weight: Annotated[str | None, _column("--weight", "Column of sample weights")] = None
    offset: Annotated[
        str | None, _column("--offset", "Column added to the linear predictor, such as a log exposure")
    ] = None
    features: Annotated[str | None, _columns("Columns to learn from; default: all others.")] = None
    exclude: Annotated[str | None, _columns("Columns to leave out.")] = None
    categorical: Annotated[str | None, _columns("Features whose numbers are categories; text is anyway.")] = None
    missing: Annotated[list[str] | None, _missing_option(drops=True, learns=True)] = None
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
    def learnt(self) -> str:
        """What a fit learns of missing values, as an estimator's `missing` is told."""
        return self.missing[0] if self.missing and self.missing[0] in _LEARNT and len(self.missing) == 1 else "error"

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
            "missing": _missing(self.missing or [], types),
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


def open_files(data: Sequence[str], files: FileOptions) -> list[Any]:
    """Sources of the files that options name."""
    from ..data.files import file_sources

    return file_sources(data, format=files.format_name, **files.for_sources())


def open_files_for(fitted: Any, data: Sequence[str], files: FileOptions) -> list[Any]:
    """Sources of the columns that a fitted model knows, of the types that it knows."""
    from ..data.files import ENDINGS, file_format, file_sources
    from ..data.hive import folder_names

    if files.learnt != "error":
        told = f"{files.learnt} is learnt by fit, and the model has it"
        raise typer.BadParameter(told, param_hint="--missing")
    kind = file_format(data, files.format_name)
    features = fitted.data_features_
    names = features.names
    levels = dict(zip(names[features.numeric :], features.levels, strict=True)) if names else {}
    # Text that looks like numbers would be guessed to be numbers.
    known = {name: "string" for name, of_fit in levels.items() if of_fit.dtype.kind == "U"}
    if known and kind not in ("csv", "tsv", "jsonl"):  # whose own columns have types
        known = {name: known[name] for name in folder_names(data, tuple(ENDINGS)) if name in known}
    options = files.for_sources(known)
    if kind == "libsvm":
        if options["zero_based"] is None:
            options["zero_based"] = fitted.zero_based_
        if options["zero_based"] is None:
            raise DataError(
                "the model was not fitted on libsvm files: tell whether these count columns from 0 or from 1, with "
                "--zero-based or --one-based"
            )
        options["n_features"] = fitted.n_features_in_
    elif kind not in ("npy", "npz"):
        if not names:
            raise DataError(
                f"the model was fitted without names of columns, so that {kind} files cannot be matched to it"
            )
        options |= {"features": names, "categorical": list(levels)}
    return file_sources(data, format=kind, **options)


def refuse_overwriting(output: Path, inputs: Sequence[str]) -> None:
    """Refuse an output that is one of the files to read."""
    from ..data.files import ENDINGS
    from ..data.paths import expand, is_url

    here = [file for file in expand(inputs, tuple(ENDINGS)) if not is_url(file)]
    if output.is_file() and any(output.samefile(file) for file in here):
        raise DataError(f"cannot write to {output}: it is one of the files to read, name another")


def split(columns: str | None) -> list[str] | None:
    """Names of columns from a list with commas."""
    return None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]


def pairs(given: Sequence[str], option: str, types: Mapping[str, str] | None = None) -> dict[str, Any]:
    """NAME=VALUE as a mapping; values that read as numbers are numbers, unless the name's type is text."""
    found: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{one!r} is not NAME=VALUE", param_hint=option)
        found[name] = value if (types or {}).get(name) == "string" else _number(value)
    return found


def bounds(given: Sequence[str], option: str) -> float | dict[str, float] | None:
    """COLUMN=NUMBER as a mapping, or one number for all; None where nothing is given. Names may have "=" in them."""
    found: dict[str, float] = {}
    for one in given:
        name, _, value = one.rpartition("=")
        try:
            found[name] = float(value)
        except ValueError:
            raise typer.BadParameter(f"{one!r} is neither COLUMN=NUMBER nor a number", param_hint=option) from None
    if "" in found and len(given) > 1:
        raise typer.BadParameter("a number without a column is for all of them: give it alone", param_hint=option)
    return found.get("", found or None)


def groups_of(given: Sequence[str], ratio: float | None, option: str) -> dict[str, Any]:
    """COLUMN=GROUP as a mapping, or "columns", as the estimators take them."""
    if not given:
        if ratio is not None:
            raise typer.BadParameter(f"is of groups, and there are none: give {option}", param_hint="--group-ratio")
        return {}
    found: Any = {name: label for name, _, label in (one.rpartition("=") for one in given)}
    if "" in found or "" in found.values():
        if list(given) != ["columns"]:
            raise typer.BadParameter("must be COLUMN=GROUP, or columns alone", param_hint=option)
        found = "columns"
    return {"groups": found, "group_ratio": ratio}


def _missing(given: Sequence[str], types: Mapping[str, str]) -> str | dict[str, Any] | None:
    if len(given) == 1 and given[0] in ("error", "drop", *_LEARNT):
        return "drop" if given[0] == "drop" else None
    return pairs(given, "--missing", types) or None


def _number(value: str) -> Any:
    for type_ in (int, float):
        try:
            return type_(value)
        except ValueError:
            continue
    return value
