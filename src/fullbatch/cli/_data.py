"""Which data a command works on: the options that say so, and the sources they stand for."""

from collections.abc import Mapping, Sequence
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
    dask = "dask"


class FormatName(StrEnum):
    """Formats of files."""

    parquet = "parquet"
    csv = "csv"
    tsv = "tsv"
    libsvm = "libsvm"
    npy = "npy"


def _column(name: str, what: str) -> Any:
    return typer.Option(name, metavar="COLUMN", help=f"{what} (of .npy files: the file).", show_default=False)


def _tab(delimiter: str | None) -> str | None:
    return None if delimiter is None else delimiter.replace("\\t", "\t")


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
Delimiter = Annotated[
    str | None,
    typer.Option(help="Between the values of a CSV file; \\t is a tab.", callback=_tab, show_default=False),
]
Types = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=TYPE",
        help="Type of a CSV file's column that is not guessed right: string, double (may be repeated).",
        show_default=False,
    ),
]
NoQuotes = Annotated[bool, typer.Option("--no-quotes", help="Quotation marks of a CSV file are part of the values.")]
Encoding = Annotated[
    str | None, typer.Option(help="Of a CSV file's text, such as latin1; default: UTF-8.", show_default=False)
]
ZeroBased = Annotated[
    bool | None,
    typer.Option(
        "--zero-based/--one-based",
        help="Whether columns of libsvm files are counted from 0 or 1; default: as in the fit, which looks for a 0.",
        show_default=False,
    ),
]
Directory = Annotated[
    Path | None, typer.Option(help="Directory with the four full files of MNIST (see fetch).", show_default=False)
]
Engine = Annotated[EngineName, typer.Option(help="Where the blocks live.")]
Workers = Annotated[
    int | None, typer.Option(min=1, help="Threads, or Ray workers; default: all CPUs.", show_default=False)
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


def open_files(
    data: Sequence[str],
    format_: FormatName | None,
    features: str | None = None,
    exclude: str | None = None,
    categorical: str | None = None,
    missing: Sequence[str] | None = None,
    types: Sequence[str] | None = None,
    **options: Any,
) -> list[Any]:
    """Sources of the files that options name."""
    from ..data.files import file_sources

    told = pairs(types or [], "--types")
    return file_sources(
        data,
        format=None if format_ is None else format_.value,
        features=split(features),
        exclude=split(exclude),
        categorical=split(categorical),
        missing=_missing(missing or [], told),
        types=told or None,
        **options,
    )


def open_files_for(
    fitted: Any,
    data: Sequence[str],
    format_: FormatName | None,
    missing: Sequence[str] | None,
    types: Sequence[str] | None,
    zero_based: bool | None,
    **options: Any,
) -> list[Any]:
    """Sources of the columns that a fitted model knows, of the types that it knows."""
    from ..data.files import file_format, file_sources

    kind = file_format(data, None if format_ is None else format_.value)
    names, told = fitted.features_.names, pairs(types or [], "--types")
    if kind == "libsvm":
        zero_based = fitted.zero_based_ if zero_based is None else zero_based
        if zero_based is None:
            raise DataError(
                "the model was not fitted on libsvm files: tell whether these count columns from 0 or from 1, with "
                "--zero-based or --one-based"
            )
        options["n_features"] = fitted.n_features_in_
    elif names and kind != "npy":
        levels = dict(zip(names[fitted.features_.numeric :], fitted.features_.levels, strict=True))
        options |= {"features": names, "categorical": list(levels)}
        if kind in ("csv", "tsv"):  # text that looks like numbers would be guessed to be numbers
            told = {name: "string" for name, known in levels.items() if known.dtype.kind == "U"} | told
    elif kind != "npy":
        raise DataError(f"the model was fitted without names of columns, so that {kind} files cannot be matched to it")
    options |= {"missing": _missing(missing or [], told), "types": told or None, "zero_based": zero_based}
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


def _missing(given: Sequence[str], types: Mapping[str, str]) -> str | dict[str, Any] | None:
    if len(given) == 1 and given[0] in ("error", "drop"):
        return None if given[0] == "error" else given[0]
    return pairs(given, "--missing", types) or None


def _number(value: str) -> Any:
    for type_ in (int, float):
        try:
            return type_(value)
        except ValueError:
            continue
    return value
