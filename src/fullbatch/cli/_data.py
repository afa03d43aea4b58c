"""Which data a command works on: the options that say so, and the sources they stand for."""

from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import DataError

DATA_HELP = "Files, directories or globs of Parquet, CSV, TSV, libsvm or .npy files"


class EngineName(StrEnum):
    """Engines known by name."""

    threads = "threads"
    serial = "serial"
    ray = "ray"


class FormatName(StrEnum):
    """Formats of files."""

    parquet = "parquet"
    csv = "csv"
    tsv = "tsv"
    libsvm = "libsvm"
    npy = "npy"


def _column(name: str, what: str) -> Any:
    return typer.Option(name, metavar="COLUMN", help=f"{what} (of .npy files: the file).", show_default=False)


Target = Annotated[str | None, _column("--target", "Column to learn")]
Weight = Annotated[str | None, _column("--weight", "Column of sample weights")]
Offset = Annotated[str | None, _column("--offset", "Column added to the linear predictor, such as a log exposure")]
Features = Annotated[
    str | None, typer.Option(metavar="A,B,...", help="Columns to learn from; default: all others.", show_default=False)
]
Exclude = Annotated[str | None, typer.Option(metavar="A,B,...", help="Columns to leave out.", show_default=False)]
Categorical = Annotated[
    str | None,
    typer.Option(metavar="A,B,...", help="Features whose numbers are categories; text is anyway.", show_default=False),
]
Missing = Annotated[
    list[str] | None,
    typer.Option(
        metavar="error|drop|COLUMN=VALUE",
        help="Missing values: an error (default), leave the row out, or put a value in their place (may be repeated).",
        show_default=False,
    ),
]
Format = Annotated[
    FormatName | None, typer.Option("--format", help="Default: by how the names end.", show_default=False)
]
Delimiter = Annotated[str | None, typer.Option(help="Between the values of a CSV file.", show_default=False)]
Directory = Annotated[
    Path | None, typer.Option(help="Directory with the four full files of MNIST (see fetch).", show_default=False)
]
Engine = Annotated[EngineName, typer.Option(help="Where the blocks live.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Threads, or Ray workers; default: all CPUs.", show_default=False)
]


def is_mnist(data: Sequence[str]) -> bool:
    """Whether the data set known as mnist is meant, rather than files."""
    return list(data) == ["mnist"]


def open_files(
    data: Sequence[str],
    format_: FormatName | None,
    features: str | None = None,
    exclude: str | None = None,
    categorical: str | None = None,
    missing: Sequence[str] | None = None,
    **options: Any,
) -> list[Any]:
    """Sources of the files that options name."""
    from ..data.files import file_sources

    return file_sources(
        data,
        format=None if format_ is None else format_.value,
        features=split(features),
        exclude=split(exclude),
        categorical=split(categorical),
        missing=_missing(missing or []),
        **options,
    )


def open_files_for(
    fitted: Any, data: Sequence[str], format_: FormatName | None, missing: Sequence[str] | None, **options: Any
) -> list[Any]:
    """Sources of the columns that a fitted model knows."""
    from ..data.files import file_format, file_sources

    kind = file_format(data, None if format_ is None else format_.value)
    names = fitted.features_.names
    if kind == "libsvm":
        options["n_features"] = fitted.n_features_in_
    elif names:
        options |= {"features": names, "categorical": names[fitted.features_.numeric :]}
    elif kind != "npy":
        raise DataError(f"the model was fitted without names of columns, so that {kind} files cannot be matched to it")
    return file_sources(data, format=kind, missing=_missing(missing or []), **options)


def split(columns: str | None) -> list[str] | None:
    """Names of columns from a list with commas."""
    return None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]


def pairs(given: Sequence[str], option: str) -> dict[str, Any]:
    """NAME=VALUE as a mapping; values that read as numbers are numbers."""
    found: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{one!r} is not NAME=VALUE", param_hint=option)
        found[name] = _number(value)
    return found


def _missing(given: Sequence[str]) -> str | dict[str, Any] | None:
    if len(given) == 1 and given[0] in ("error", "drop"):
        return None if given[0] == "error" else given[0]
    return pairs(given, "--missing") or None


def _number(value: str) -> Any:
    for type_ in (int, float):
        try:
            return type_(value)
        except ValueError:
            continue
    return value
