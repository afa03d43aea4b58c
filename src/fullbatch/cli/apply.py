"""`fullbatch predict` and `fullbatch evaluate`: a saved model on other rows."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import DataError
from ._completion import columns
from ._data import (
    DATA,
    DATA_HELP,
    OF_A_FIT,
    Directory,
    Engine,
    EngineName,
    FileOptions,
    Workers,
    is_mnist,
    refuse_directory,
    with_file_options,
)
from ._named_values import split
from ._screen import AsJson, compiling_shown, show
from ._sources import open_files_for, refuse_overwriting

PREDICT_EXAMPLES = """\b
Example:
  fullbatch predict model.fb 'new/*.parquet' --output new.parquet --keep id"""
EVALUATE_EXAMPLES = """\b
Example:
  fullbatch evaluate model.fb test.csv --target churned"""

ModelFile = Annotated[Path, typer.Argument(metavar="MODEL", help="A saved model.")]
Unknown = Annotated[
    bool, typer.Option("--ignore-unknown", help="Count a category that the fit has not seen as none of them.")
]


@with_file_options(without=("target", "weight", *OF_A_FIT))
def predict(
    model: ModelFile,
    data: Annotated[list[str], typer.Argument(metavar=DATA, help=f"{DATA_HELP}; they need no target.")],
    output: Annotated[
        Path,
        typer.Option(
            metavar="PATH", help="File that ends in .parquet or .csv; or a new directory, of one Parquet file a block."
        ),
    ],
    proba: Annotated[bool, typer.Option("--proba", help="Write the probability of each class too.")] = False,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Columns, such as ids, written beside the predictions.",
            show_default=False,
            autocompletion=columns,
        ),
    ] = None,
    *,
    files: FileOptions,
    ignore_unknown: Unknown = False,
    engine: Engine = EngineName.threads,
    workers: Workers = None,
    directory: Directory = None,
    as_json: AsJson = False,
) -> None:
    """Predict with a saved model, block by block, in the order of the rows."""
    fitted = _load(model, ignore_unknown)
    refuse_overwriting(output, model, [] if is_mnist(data) else data)
    with opened(fitted, engine, workers):
        sources = _open(fitted, data, directory, files, targets=False)
        rows = fitted.write_predictions(sources, output, probabilities=proba, keep=split(keep) or ())
    show({"model": str(model), "rows": rows, "predictions": str(output)}, as_json)


@with_file_options(without=OF_A_FIT)
def evaluate(
    model: ModelFile,
    data: Annotated[
        list[str] | None,
        typer.Argument(metavar=DATA, help=f"{DATA_HELP}; or mnist, the default: its test rows."),
    ] = None,
    *,
    files: FileOptions,
    ignore_unknown: Unknown = False,
    engine: Engine = EngineName.threads,
    workers: Workers = None,
    directory: Directory = None,
    as_json: AsJson = False,
) -> None:
    """Measure a saved model on rows whose target is known."""
    fitted = _load(model, ignore_unknown)
    data = data or ["mnist"]
    with opened(fitted, engine, workers):
        measured = fitted.evaluate(_open(fitted, data, directory, files))
    measured["rows"] = int(measured["rows"])  # type: ignore[assignment]
    show({"model": str(model), "data": " ".join(data), **measured}, as_json)


def _load(model: Path, ignore_unknown: bool) -> Any:
    from ..estimators import load_model

    fitted = load_model(model)
    return fitted.set_params(unknown="ignore") if ignore_unknown else fitted


@contextmanager
def opened(fitted: Any, engine: EngineName, workers: int | None) -> Iterator[None]:
    """While the model answers on an engine, which is closed at the end; kernels that are compiled are told."""
    from ..engines import make_engine

    fitted.set_params(engine=make_engine(engine.value, workers))
    with closing(fitted.engine), compiling_shown():
        yield


def _open(fitted: Any, data: list[str], directory: Path | None, files: FileOptions, targets: bool = True) -> list[Any]:
    """Sources of the columns that the model knows."""
    if is_mnist(data):
        from ..datasets import load_mnist

        files.refuse_for_mnist()
        if fitted.n_features_in_ != 784:
            raise DataError(f"the model has {fitted.n_features_in_} columns, mnist has 784: name other data")
        return load_mnist(directory).test_sources()
    refuse_directory(directory)
    return open_files_for(fitted, data, files, targets)
