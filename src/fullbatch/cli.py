"""The command line: fit, evaluate, fetch, info."""

import importlib.metadata
import json
import os
import platform
import sys
import warnings
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from . import __version__
from .errors import BlockError, DataError, EngineError, MissingExtraError, ModelFileError

EXIT_CODES = """Exit codes: 0 converged; 1 something is wrong (data, files, packages, cluster); 2 wrong usage;
3 stopped before converging; 130 interrupted (the best iterate so far is saved)."""

NOT_CONVERGED, INTERRUPTED = 3, 130

app = typer.Typer(
    help="Distributed full-batch training: exact gradients over blocks of data, quasi-Newton on the driver.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
_screen = Console(stderr=True)


class Data(StrEnum):
    """Data sets known by name."""

    mnist = "mnist"


class ModelName(StrEnum):
    """Models known by name."""

    softmax = "softmax"


class EngineName(StrEnum):
    """Engines known by name."""

    threads = "threads"
    serial = "serial"
    ray = "ray"


DataArgument = Annotated[Data, typer.Argument(help="mnist: the 10,000 images that ship with fullbatch.")]
Directory = Annotated[
    Path | None, typer.Option(help="Directory with the four full files of MNIST (see fetch).", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON on standard output.")]


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command(epilog=EXIT_CODES)
def fit(
    data: DataArgument,
    model: Annotated[ModelName, typer.Option(help="Model.")] = ModelName.softmax,
    engine: Annotated[EngineName, typer.Option(help="Where the blocks live.")] = EngineName.threads,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Threads, or Ray workers; default: all CPUs.", show_default=False)
    ] = None,
    l2: Annotated[
        float | None, typer.Option(min=0.0, help="L2 strength; default: 1 / training rows.", show_default=False)
    ] = None,
    tol: Annotated[float, typer.Option(min=0.0, help="Relative distance of F from its minimum to stop at.")] = 1e-8,
    max_iter: Annotated[int, typer.Option(min=1, help="Iterations at the most.")] = 1000,
    time_limit: Annotated[
        float | None, typer.Option(min=0.0, help="Seconds after which to stop.", show_default=False)
    ] = None,
    directory: Directory = None,
    save: Annotated[Path | None, typer.Option(help="File to save the model to.", show_default=False)] = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress on standard error.")] = False,
) -> None:
    """Train a model.

    F is the mean loss over the training rows plus l2/2 times the squared coefficients.

    Example: fullbatch fit mnist --engine ray --workers 2 --save model.fb
    """
    from sklearn.exceptions import ConvergenceWarning

    from .callbacks import Progress, TimeLimit
    from .datasets import load_mnist
    from .driver import Status
    from .engines import make_engine
    from .estimators import LogisticRegression

    _check_writable(save)
    mnist = load_mnist(directory)
    sources = mnist.train_sources()
    rows = sum(source.stop - source.start for source in sources)
    strength = 1.0 / rows if l2 is None else l2
    callbacks: list[Any] = [] if quiet else [Progress(_screen)]
    if time_limit is not None:
        callbacks.append(TimeLimit(time_limit))
    opened = make_engine(engine.value, workers)
    if not quiet:
        _screen.print(f"{model.value} on {data.value}: {rows:,} rows in {len(sources)} blocks, {opened!r}")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # told below, and by the exit code
            fitted = LogisticRegression(
                C=1.0 / (strength * rows) if strength else float("inf"),
                tol=tol**0.5,
                max_iter=max_iter,
                engine=opened,
                callbacks=callbacks,
            ).fit(sources)
    finally:
        opened.close()
    if save is not None:
        fitted.save(save)
    result = fitted.result_
    summary = {
        "model": model.value,
        "engine": engine.value,
        "rows": rows,
        "blocks": len(sources),
        "l2": strength,
        "status": result.status.value,
        "message": result.message,
        "F": result.value,
        "gradient_norm": result.grad_norm,
        "relative_gradient_norm": result.grad_norm / result.first_grad_norm,
        "iterations": result.iterations,
        "passes": result.passes,
        "setup_passes": result.setup_passes,
        "seconds": result.seconds,
        **_quality(fitted, mnist),
        "saved": None if save is None else str(save),
    }
    _show(summary, as_json)
    if result.status is Status.INTERRUPTED:
        raise typer.Exit(INTERRUPTED)
    if not result.success:
        raise typer.Exit(NOT_CONVERGED)


@app.command()
def evaluate(
    model: Annotated[Path, typer.Argument(help="A saved model.")],
    data: DataArgument = Data.mnist,
    directory: Directory = None,
    as_json: AsJson = False,
) -> None:
    """Measure a saved model on the test rows of a data set."""
    from .datasets import load_mnist
    from .estimators import load_model

    fitted = load_model(model)
    _show({"model": str(model), "data": data.value, **_quality(fitted, load_mnist(directory))}, as_json)


@app.command()
def fetch(
    data: Annotated[Data, typer.Argument(help="mnist: 60,000 training and 10,000 test images, 11 MB.")],
    directory: Annotated[Path, typer.Option(help="Where to put the files.")] = Path("mnist"),
    url: Annotated[str | None, typer.Option(help="Folder of a mirror.", show_default=False)] = None,
) -> None:
    """Download a data set and check it."""
    from .datasets import fetch_mnist

    if url is None:
        fetch_mnist(directory)
    else:
        fetch_mnist(directory, url)
    _screen.print(
        f"{data.value} is in {directory}: fullbatch fit {data.value} --directory {directory}", highlight=False
    )


@app.command()
def info(as_json: AsJson = False) -> None:
    """Show versions, CPUs, memory and which engines and models can be used here."""
    from .engines._worker import available_cpus

    def installed(package: str) -> str | None:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            return None

    packages = (
        "numpy",
        "scipy",
        "numba",
        "scikit-learn",
        "pyarrow",
        "ray",
        "torch",
        "jax",
        "tensorflow",
        "tensorflow-cpu",
        "keras",
    )
    frameworks = {"torch": "torch", "jax": "jax", "keras": "tensorflow"}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    _show(
        {
            "fullbatch": __version__,
            "python": platform.python_version(),
            "platform": platform.platform(),
            "cpus": available_cpus(),
            "memory_gb": None if memory is None else round(memory / 2**30, 1),
            "engines": ["threads", "serial", *(["ray"] if find_spec("ray") else [])],
            "models": ["linear", *(name for name, package in frameworks.items() if find_spec(package))],
            **{name: found for name in packages if (found := installed(name))},
        },
        as_json,
    )


def _quality(fitted: Any, mnist: Any) -> dict[str, Any]:
    """Accuracy and mean cross-entropy on the test rows."""
    import numpy as np

    X, y = mnist.X_test, mnist.y_test
    index = np.searchsorted(fitted.classes_, y)
    if not np.array_equal(fitted.classes_[np.minimum(index, len(fitted.classes_) - 1)], y):
        raise DataError(f"the test rows have labels that the model does not know: its are {fitted.classes_.tolist()}")
    log_proba = fitted.predict_log_proba(X)
    return {
        "test_rows": len(y),
        "test_accuracy": float((log_proba.argmax(axis=1) == index).mean()),
        "test_cross_entropy": float(-log_proba[np.arange(len(y)), index].mean()),
    }


def _check_writable(path: Path | None) -> None:
    """Found out before the training, not after it."""
    if path is None:
        return
    if path.is_dir():
        raise ModelFileError(f"cannot save to {path}: it is a directory, name a file")
    if not path.parent.is_dir():
        raise ModelFileError(f"cannot save to {path}: there is no directory {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise ModelFileError(f"cannot save to {path}: {path.parent} cannot be written to")


def _show(values: dict[str, Any], as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(values))
        return
    table = Table(show_header=False, box=None)
    for name, value in values.items():
        if value is not None:
            text = (
                ", ".join(value) if isinstance(value, list) else f"{value:.10g}" if isinstance(value, float) else value
            )
            table.add_row(name.replace("_", " "), escape(str(text)))
    Console(highlight=False).print(table)


def main() -> None:
    """Run the command line; errors are one line, with a traceback on --debug."""
    try:
        app()
    except (DataError, ModelFileError, MissingExtraError, EngineError, BlockError, ValueError, OSError) as error:
        if "--debug" in sys.argv:
            raise
        _screen.print(f"[bold red]error:[/] {escape(str(error))}", highlight=False, soft_wrap=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
