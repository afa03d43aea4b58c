"""`fullbatch fit`."""

import os
import warnings
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import FitWarning, ModelFileError
from ._data import (
    DATA_HELP,
    Directory,
    Engine,
    EngineName,
    FileOptions,
    Memory,
    Workers,
    is_mnist,
    open_files,
    pairs,
    with_file_options,
)
from ._screen import INTERRUPTED, NOT_CONVERGED, AsJson, Quiet, plan_shown, print_line, screen, show

EXAMPLES = """\b
Examples:
  fullbatch fit mnist --save model.fb
  fullbatch fit train.csv --target churned --weight n --save model.fb
  fullbatch fit 'claims/*.parquet' --target claims --model poisson --offset log_exposure --categorical region
  fullbatch fit data.libsvm --engine ray --workers 2 --save model.fb
  fullbatch fit 'claims/*.parquet' --target claims --checkpoint run   # killed? the same again goes on"""


class ModelName(StrEnum):
    """Models known by name."""

    logistic = "logistic"
    squared = "squared"
    huber = "huber"
    quantile = "quantile"
    poisson = "poisson"
    gamma = "gamma"
    tweedie = "tweedie"


@with_file_options()
def fit(
    data: Annotated[list[str], typer.Argument(help=f"{DATA_HELP}; or mnist: the 10,000 images that ship here.")],
    *,
    files: FileOptions,
    model: Annotated[
        ModelName, typer.Option(help="Loss: logistic for two classes or more, the others for numbers.")
    ] = ModelName.logistic,
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Option of the loss, such as power=1.5 or quantile=0.9."),
    ] = None,
    l2: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="L2 strength; default: 1 / sum of weights for logistic, otherwise 0.",
            show_default=False,
        ),
    ] = None,
    intercept: Annotated[bool, typer.Option(help="Whether to fit an intercept.")] = True,
    standardize: Annotated[bool, typer.Option(help="Penalise coefficients per standard deviation.")] = False,
    balanced: Annotated[bool, typer.Option("--balanced", help="Weigh classes by the inverse of their size.")] = False,
    engine: Engine = EngineName.threads,
    workers: Workers = None,
    memory: Memory = "auto",
    max_failures: Annotated[int, typer.Option(min=0, help="Workers of a cluster that may be lost.")] = 0,
    solver: Annotated[str | None, typer.Option(help="Solver; see the documentation.", show_default=False)] = None,
    tol: Annotated[float, typer.Option(min=0.0, help="Relative distance of F from its minimum to stop at.")] = 1e-8,
    max_iter: Annotated[int, typer.Option(min=1, help="Iterations at the most.")] = 1000,
    time_limit: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds after which to stop.", show_default=False)
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Directory or URL where the state is kept; the same command goes on from there.",
            show_default=False,
        ),
    ] = None,
    checkpoint_every: Annotated[float, typer.Option(min=0.0, help="Least seconds between checkpoints.")] = 60.0,
    directory: Directory = None,
    save: Annotated[Path | None, typer.Option(help="File to save the model to.", show_default=False)] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Train a linear model.

    F is the mean loss over the training rows plus l2/2 times the squared coefficients.
    """
    from sklearn.exceptions import ConvergenceWarning

    from ..datasets import load_mnist
    from ..engines import make_engine
    from ..run.callbacks import Progress, TimeLimit
    from ..run.checkpoints import Checkpoint
    from ..run.result import Status

    _check_writable(save)
    if is_mnist(data):
        mnist = load_mnist(directory)
        sources: list[Any] = mnist.train_sources()
    else:
        sources = open_files(data, files)
    opened = make_engine(engine.value, workers, memory, max_failures)
    callbacks: list[Any] = [] if quiet else [Progress(screen)]
    if time_limit is not None:
        callbacks.append(TimeLimit(time_limit))
    options: dict[str, Any] = {} if solver is None else {"solver": solver}
    options |= {"tol": tol**0.5, "max_iter": max_iter, "fit_intercept": intercept, "standardize": standardize}
    fitted = _estimator(model, pairs(option or [], "--option"), l2, balanced)
    kept = None if checkpoint is None else Checkpoint(checkpoint, checkpoint_every)
    fitted.set_params(**options, engine=opened, callbacks=callbacks, checkpoint=kept)
    if not quiet:
        print_line(f"{model.value} on {' '.join(data)}: {len(sources)} blocks, {opened!r}")
    with closing(opened), plan_shown(quiet), warnings.catch_warnings():
        for category in (ConvergenceWarning, FitWarning):  # told below, the first by the exit code too
            warnings.simplefilter("ignore", category)
        fitted.fit(sources)
    if save is not None:
        fitted.save(save)
    result = fitted.result_
    summary = {
        "model": model.value,
        "engine": engine.value,
        "rows": fitted.n_samples_fit_,
        "columns": fitted.n_features_in_,
        "parameters": int(result.theta.size),
        "blocks": len(sources),
        "l2": fitted.l2_,
        "solver": result.solver,
        "status": result.status.value,
        "message": result.message,
        "remaining_r2": result.remaining_r2,
        "score_r2": result.score_r2,
        "known_by": result.known_by,
        "notices": [str(notice) for notice in result.notices],
        "F": result.value,
        "gradient_norm": result.grad_norm,
        "relative_gradient_norm": result.grad_norm / result.first_grad_norm if result.first_grad_norm else 0.0,
        "iterations": result.iterations,
        "resumed_at": result.resumed_at,
        "passes": result.passes,
        "setup_passes": result.setup_passes,
        "sampled_passes": result.sampled_passes,
        "seconds": result.seconds,
    }
    if is_mnist(data) and model is ModelName.logistic:
        measured = fitted.evaluate(mnist.X_test, mnist.y_test)
        summary |= {
            "test_rows": int(measured["rows"]),
            "test_accuracy": measured["accuracy"],
            "test_cross_entropy": measured["cross_entropy"],
        }
    show({**summary, "saved": None if save is None else str(save)}, as_json)
    if result.status is Status.INTERRUPTED:
        raise typer.Exit(INTERRUPTED)
    if not result.success:
        raise typer.Exit(NOT_CONVERGED)


def _estimator(model: ModelName, options: dict[str, Any], l2: float | None, balanced: bool) -> Any:
    from ..estimators import GeneralizedLinearRegressor, LogisticRegression

    if model is ModelName.logistic:
        if options:
            raise ValueError(f"the logistic loss has no option {next(iter(options))!r}")
        return LogisticRegression(l2=l2, class_weight="balanced" if balanced else None)
    if balanced:
        raise ValueError(f"--balanced weighs classes, and the {model.value} loss has none")
    return GeneralizedLinearRegressor(model.value, loss_options=options or None, alpha=l2 or 0.0)


def _check_writable(path: Path | None) -> None:
    """Found out before the training, not after it."""
    from ..saving.files import refuse_foreign

    if path is None:
        return
    if path.is_dir():
        raise ModelFileError(f"cannot save to {path}: it is a directory, name a file")
    if not path.parent.is_dir():
        raise ModelFileError(f"cannot save to {path}: there is no directory {path.parent}")
    refuse_foreign(path)
    if not os.access(path.parent, os.W_OK):
        raise ModelFileError(f"cannot save to {path}: {path.parent} cannot be written to")
