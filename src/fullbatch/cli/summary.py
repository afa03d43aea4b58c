"""`fullbatch summary`: a saved model's standard errors and tests, from the rows of its fit."""

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
from .apply import ModelFile, _load, opened

EXAMPLES = """\b
Example:
  fullbatch summary model.fb train.csv --target churned --covariance HC1"""


Covariance = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="classical, observed, HC0 to HC3, cluster, CRV2 or CRV3; default: classical, or cluster with --clusters.",
        show_default=False,
    ),
]
Clusters = Annotated[
    str | None,
    typer.Option(metavar="A,B", help="One or two columns of ids of rows that belong together.", show_default=False),
]


@with_file_options(without=OF_A_FIT)
def summary(
    model: ModelFile,
    data: Annotated[list[str], typer.Argument(metavar=DATA, help=f"{DATA_HELP}: the rows of the fit.")],
    *,
    files: FileOptions,
    covariance: Covariance = None,
    clusters: Clusters = None,
    weights: MeaningOfWeights = None,
    influence: Annotated[
        Path | None,
        typer.Option(
            metavar="PATH",
            help="Write leverages and Cook's distances: a .parquet or .csv file, or a new directory.",
            show_default=False,
        ),
    ] = None,
    level: Annotated[float, typer.Option(metavar="SHARE", help="Level of the intervals.")] = 0.95,
    engine: Engine = EngineName.threads,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Show a saved model's standard errors, tests and information criteria, from the rows of its fit."""
    fitted = _load(model, False)
    if influence is not None:
        refuse_overwriting(influence, model, data)
    with opened(fitted, engine, workers):
        made = fitted.inference(
            open_files_for(fitted, data, files), clusters=split(clusters), covariance=covariance, weights=weights
        )
        if influence is not None:
            made.influence(influence)
        if as_json:
            typer.echo(json.dumps(made.as_dict(level), allow_nan=False))
            return
        for line in made.summary(level).splitlines():
            print_out(line)
