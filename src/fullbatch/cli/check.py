"""`fullbatch check`: how well a saved model describes rows."""

import json
from pathlib import Path
from typing import Annotated

import typer

from ._data import (
    DATA,
    DATA_HELP,
    OF_A_FIT,
    Engine,
    EngineName,
    FileOptions,
    MeaningOfWeights,
    Workers,
    with_file_options,
)
from ._named_values import split
from ._screen import AsJson, print_out
from ._sources import open_files_for, refuse_overwriting
from .apply import ModelFile, Unknown, _load, opened

EXAMPLES = """\b
Example:
  fullbatch check model.fb test.csv --target churned --by age,region"""


@with_file_options(without=OF_A_FIT)
def check(
    model: ModelFile,
    data: Annotated[
        list[str], typer.Argument(metavar=DATA, help=f"{DATA_HELP}: rows whose target is known, better not of the fit.")
    ],
    *,
    files: FileOptions,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Columns by which to hold actual against expected, of the model or others.",
            show_default=False,
        ),
    ] = None,
    bins: Annotated[int, typer.Option(min=1, metavar="COUNT", help="Parts of tables.")] = 10,
    weights: MeaningOfWeights = None,
    plot: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="Draw to a .png, .svg or .pdf; needs matplotlib.", show_default=False),
    ] = None,
    residuals: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Write quantile residuals: a .parquet or .csv file, or a new directory.",
            show_default=False,
        ),
    ] = None,
    ignore_unknown: Unknown = False,
    engine: Engine = EngineName.threads,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Check a saved model on rows: calibration, ranking, actual against expected, collinearity."""
    from ..checks.results import MOST_COLUMNS

    fitted, columns = _load(model, ignore_unknown), split(by) or []
    for path in (plot, residuals):
        if path is not None:
            refuse_overwriting(path, model, data)
    names = fitted.features_.data_names()
    looked_at = [*(names if len(names) <= MOST_COLUMNS else []), *columns]
    with opened(fitted, engine, workers):
        checks = fitted.checks(open_files_for(fitted, data, files), columns=looked_at, weights=weights)
        if plot is not None:
            checks.plot(label=checks.labels[-1])[0].figure.savefig(plot)
        if residuals is not None:
            checks.quantile_residuals(residuals)
        if as_json:
            typer.echo(json.dumps(checks.as_dict(columns, bins), allow_nan=False))
            return
        for line in checks.summary(columns, bins).splitlines():
            print_out(line)
