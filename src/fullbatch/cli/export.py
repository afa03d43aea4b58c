"""`fullbatch export`: a saved model for those who do not have fullbatch."""

from dataclasses import fields, replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ._data import OF_A_FIT, Engine, EngineName, FileOptions, FormatName, MeaningOfWeights, Workers, with_file_options
from ._named_values import split
from ._screen import AsJson, show
from ._sources import open_files_for, refuse_overwriting
from .apply import ModelFile, opened
from .summary import Clusters, Covariance

EXAMPLES = """\b
Examples:
  fullbatch export model.fb model.onnx
  fullbatch export model.fb model.sql --dialect postgres --table policies
  fullbatch export model.fb relativities.csv --data train.csv"""


class ExportFormat(StrEnum):
    """What a model can be written as."""

    sql = "sql"
    onnx = "onnx"
    pmml = "pmml"
    skops = "skops"
    relativities = "relativities"
    relativities_excel = "relativities-excel"
    card = "card"
    card_json = "card-json"


_RELATIVITIES = (ExportFormat.relativities, ExportFormat.relativities_excel)


@with_file_options(without=(*OF_A_FIT, "offset", "format_"))
def export(
    model: ModelFile,
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUTPUT",
            help="A file: .sql, .onnx, .pmml, .skops, .csv or .xlsx (relativities), .md or .json (card).",
        ),
    ],
    format_: Annotated[
        ExportFormat | None, typer.Option("--format", help="Default: by the ending.", show_default=False)
    ] = None,
    dialect: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Of SQL: duckdb (default), postgres, tsql, ...", show_default=False),
    ] = None,
    table: Annotated[
        str | None, typer.Option(metavar="NAME", help="That SQL reads; default: data.", show_default=False)
    ] = None,
    view: Annotated[
        str | None, typer.Option(metavar="NAME", help="Make SQL a view of this name.", show_default=False)
    ] = None,
    offset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Of the offsets' column; default: as in the fit, else offset.", show_default=False
        ),
    ] = None,
    data: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DATA",
            help="The rows of the fit, as summary takes them: relativities get standard errors (may be repeated).",
            show_default=False,
        ),
    ] = None,
    data_format: Annotated[
        FormatName | None,
        typer.Option(help="Of --data; default: by the names' endings, or the contents.", show_default=False),
    ] = None,
    *,
    files: FileOptions,
    covariance: Covariance = None,
    clusters: Clusters = None,
    weights: MeaningOfWeights = None,
    engine: Engine = EngineName.threads,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Write a saved model as SQL, ONNX, PMML, a skops file, a table of relativities or a model card."""
    from ..estimators import load_model
    from ..export import ENDINGS

    fitted = load_model(model)
    refuse_overwriting(output, model, data or ())
    kind = ENDINGS.get(output.suffix.lower()) if format_ is None else format_.value
    given: dict[str, Any] = {"dialect": dialect, "table": table, "view": view, "offset": offset}
    given = {name: value for name, value in given.items() if value is not None}
    for name in given:
        if name != "offset" and kind != "sql":
            raise typer.BadParameter("only SQL has it: leave it out", param_hint=f"--{name}")
    files = replace(files, format_=data_format)
    if data:
        if kind not in _RELATIVITIES:
            told = "only relativities (.csv, .xlsx) have standard errors, for which it is read: leave it out"
            raise typer.BadParameter(told, param_hint="--data")
        with opened(fitted, engine, workers):
            sources = open_files_for(fitted, data, replace(files, offset=given.pop("offset", None)))
            given["inference"] = fitted.inference(
                sources, clusters=split(clusters), covariance=covariance, weights=weights
            )
    else:
        _refuse_of_rows(files, covariance=covariance, clusters=clusters, weights=weights)
        if "offset" in given and kind in _RELATIVITIES:
            raise typer.BadParameter("relativities tell of no offset: leave it out", param_hint="--offset")
    fitted.export(output, format=kind, **given)
    show({"model": str(model), "exported": str(output), "bytes": output.stat().st_size}, as_json)


def _refuse_of_rows(files: FileOptions, **others: Any) -> None:
    """Refuse options that say how rows are read, or what is made of them, where there are none."""
    told = {one.name: getattr(files, one.name) for one in fields(files)}
    told["data-format"] = told.pop("format_")
    for name, value in {**told, **others}.items():
        if value not in (None, False, []):
            option = f"--{name.replace('_', '-')}"
            raise typer.BadParameter("it is of rows: name their files with --data, or leave it out", param_hint=option)
