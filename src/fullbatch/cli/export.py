"""`fullbatch export`: a saved model for those who do not have fullbatch."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ._screen import AsJson, show
from ._sources import refuse_overwriting
from .apply import ModelFile

EXAMPLES = """\b
Examples:
  fullbatch export model.fb model.onnx
  fullbatch export model.fb model.sql --dialect postgres --table policies"""


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
    as_json: AsJson = False,
) -> None:
    """Write a saved model as SQL, ONNX, PMML, a skops file, a table of relativities or a model card."""
    from ..estimators import load_model
    from ..estimators._handed_over import ENDINGS

    fitted = load_model(model)
    refuse_overwriting(output, model)
    options: dict[str, Any] = {"dialect": dialect, "table": table, "view": view, "offset": offset}
    given = {name: value for name, value in options.items() if value is not None}
    kind = ENDINGS.get(output.suffix.lower()) if format_ is None else format_.value
    for name in given:
        if name != "offset" and kind != "sql":
            raise typer.BadParameter("only SQL has it: leave it out", param_hint=f"--{name}")
        if name == "offset" and kind in _RELATIVITIES:
            raise typer.BadParameter("relativities tell of no offset: leave it out", param_hint="--offset")
    fitted.export(output, format=kind, **given)
    show({"model": str(model), "exported": str(output), "bytes": output.stat().st_size}, as_json)
