"""`fullbatch fit`."""

import os
import time
import warnings
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import FitWarning, ModelFileError
from ..solvers import SOLVERS
from ._completion import one_of
from ._data import (
    DATA,
    DATA_HELP,
    Directory,
    Engine,
    EngineName,
    FileOptions,
    Memory,
    Workers,
    is_mnist,
    refuse_directory,
    with_file_options,
)
from ._interrupts import INTERRUPTED, hold
from ._named_values import bounds, groups_of, pairs
from ._screen import (
    NOT_CONVERGED,
    AsJson,
    Quiet,
    Verbose,
    counted,
    plan_shown,
    print_line,
    screen,
    show,
)
from ._sources import open_files
from ._told_of_fit import in_short, on_test, summary_of

EXAMPLES = """\b
Examples:
  fullbatch fit mnist --save model.fb
  fullbatch fit train.csv --target churned --weight n --save model.fb
  fullbatch fit 'claims/*.parquet' --target claims --model poisson \\
      --offset log_exposure --categorical region
  fullbatch fit trials.csv --target share --weight trials \\
      --family binomial --link cloglog
  fullbatch fit 'claims/*.parquet' --model poisson --missing median \\
      --formula 'claims ~ C(region) + age:power'
  fullbatch fit data.libsvm --engine ray --workers 2 --save model.fb
  fullbatch fit 'claims/*.parquet' --target claims --checkpoint run
      (killed? the same again goes on)"""


class ModelName(StrEnum):
    """Models known by name."""

    logistic = "logistic"
    squared = "squared"
    huber = "huber"
    quantile = "quantile"
    poisson = "poisson"
    gamma = "gamma"
    tweedie = "tweedie"


FAMILIES = (
    "normal",
    "binomial",
    "poisson",
    "gamma",
    "inverse.gaussian",
    "tweedie",
    "negative.binomial",
)
LINKS = ("auto", "identity", "log", "logit", "probit", "cloglog", "inverse")

FamilyName = Annotated[
    str | None,
    one_of(
        FAMILIES,
        "NAME",
        help=f"Family of the targets, instead of a model: {', '.join(FAMILIES)}.",
        show_default=False,
    ),
]
LinkName = Annotated[str, one_of(LINKS, "NAME", help=f"Link of the family's mean: {', '.join(LINKS)}, the usual one.")]


def bound(name: str, side: str) -> Any:
    return typer.Option(
        name,
        metavar="[COLUMN=]NUMBER",
        help=f"What the coefficient of a column must not be {side}; without a name, those of all (may be repeated).",
        show_default=False,
    )


Groups = Annotated[
    list[str] | None,
    typer.Option(
        "--groups",
        metavar="COLUMN=GROUP",
        help="Columns whose coefficients are zero together or not at all (may be repeated); columns: each of them, a "
        "categorical one with all its levels.",
        show_default=False,
    ),
]
GroupRatio = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        max=1.0,
        metavar="SHARE",
        help="Share of the penalty that is the groups' norms'; default: what --l1-ratio leaves.",
        show_default=False,
    ),
]


@with_file_options()
def fit(
    data: Annotated[
        list[str], typer.Argument(metavar=DATA, help=f"{DATA_HELP}; or mnist: the 10,000 images that ship here.")
    ],
    *,
    files: FileOptions,
    model: Annotated[
        ModelName, typer.Option(help="Loss: logistic for two classes or more, the others for numbers.")
    ] = ModelName.logistic,
    family: FamilyName = None,
    link: LinkName = "auto",
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Option of the loss, such as power=1.5 or quantile=0.9."),
    ] = None,
    l2: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            metavar="NUMBER",
            help="Strength of the penalty; default: 1 / sum of weights for logistic, otherwise 0.",
            show_default=False,
        ),
    ] = None,
    l1_ratio: Annotated[
        float,
        typer.Option(min=0.0, max=1.0, metavar="SHARE", help="Share of the penalty that is L1's: it makes zeros."),
    ] = 0.0,
    groups: Groups = None,
    group_ratio: GroupRatio = None,
    lower: Annotated[list[str] | None, bound("--lower", "below")] = None,
    upper: Annotated[list[str] | None, bound("--upper", "above")] = None,
    intercept: Annotated[bool, typer.Option(help="Whether to fit an intercept.")] = True,
    standardize: Annotated[bool, typer.Option(help="Penalise coefficients per standard deviation.")] = False,
    balanced: Annotated[bool, typer.Option("--balanced", help="Weigh classes by the inverse of their size.")] = False,
    engine: Engine = EngineName.threads,
    workers: Workers = None,
    memory: Memory = "auto",
    max_failures: Annotated[
        int, typer.Option(min=0, metavar="COUNT", help="Workers of a cluster that may be lost.")
    ] = 0,
    solver: Annotated[
        str | None,
        one_of(SOLVERS, "NAME", help=f"One of {', '.join(SOLVERS)}; default: auto.", show_default=False),
    ] = None,
    tol: Annotated[
        float, typer.Option(min=0.0, metavar="NUMBER", help="Relative distance of F from its minimum to stop at.")
    ] = 1e-8,
    max_iter: Annotated[int, typer.Option(min=1, metavar="COUNT", help="Iterations at the most.")] = 1000,
    time_limit: Annotated[
        float | None, typer.Option(min=0.0, metavar="SECONDS", help="After which to stop.", show_default=False)
    ] = None,
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Directory or URL where the state is kept; the same command goes on from there.",
            show_default=False,
        ),
    ] = None,
    checkpoint_every: Annotated[
        float, typer.Option(min=0.0, metavar="SECONDS", help="Between checkpoints at the least.")
    ] = 60.0,
    directory: Directory = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="File to save the model to.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    verbose: Verbose = False,
    quiet: Quiet = False,
) -> None:
    """Train a linear model.

    F is the mean loss over the training rows plus l2/2 times the squared coefficients, or with --l1-ratio r, (1 - r)
    times that and r l2 times their sizes. With --groups the norms of groups have what r leaves, or --group-ratio.
    """
    from sklearn.exceptions import ConvergenceWarning

    from ..engines import make_engine
    from ..run.callbacks import Progress, TimeLimit
    from ..run.checkpoints import Checkpoint
    from ..run.result import Status

    check_writable(save)
    mnist = _mnist(files, directory) if is_mnist(data) else None
    if mnist is None:
        refuse_directory(directory)
        sources, of_columns = open_files(data, files)
    else:
        sources, of_columns = mnist.train_sources(), {}
    callbacks: list[Any] = [lambda iterate: hold()]
    if not quiet:
        callbacks.append(Progress(screen))
    if time_limit is not None:
        callbacks.append(TimeLimit(time_limit))
    name = named_model(model, family, link)
    if (l1_ratio or groups) and not l2 and name != "logistic":
        what = "--l1-ratio is a share" if l1_ratio else "--groups are a part"
        raise ValueError(f"{what} of the penalty, and there is none: give its strength, --l2")
    fitted = estimator_of(model, pairs(option or [], "--option"), l2, balanced, family, link)
    workers_of = make_engine(engine.value, workers, memory, max_failures)
    fitted.set_params(
        tol=tol**0.5,  # which it squares
        max_iter=max_iter,
        fit_intercept=intercept,
        standardize=standardize,
        l1_ratio=l1_ratio,
        lower_bounds=bounds(lower or [], "--lower"),
        upper_bounds=bounds(upper or [], "--upper"),
        engine=workers_of,
        callbacks=callbacks,
        checkpoint=None if checkpoint is None else Checkpoint(checkpoint, checkpoint_every),
        **groups_of(groups or [], group_ratio, "--groups"),
        **of_columns,
        **({} if solver is None else {"solver": solver}),
    )
    if not quiet:
        print_line(f"{name} on {' '.join(data)}: {counted(len(sources), 'block')}, engine {engine.value}")
    began = time.perf_counter()
    with closing(workers_of), plan_shown(quiet), warnings.catch_warnings():
        for category in (ConvergenceWarning, FitWarning):  # told below, the first by the exit code too
            warnings.simplefilter("ignore", category)
        fitted.fit(sources)
        set_up = max(time.perf_counter() - began - fitted.result_.seconds, 0.0)
        if save is not None:
            fitted.save(save)
    result = fitted.result_
    summary = {
        "model": name,
        "engine": engine.value,
        "blocks": len(sources),
        **summary_of(fitted),
        "setup_seconds": set_up,
        **({} if mnist is None or name != "logistic" else on_test(fitted, mnist)),
        "saved": None if save is None else str(save),
    }
    show(summary, as_json, None if verbose else in_short(summary, result))
    if result.status is Status.INTERRUPTED:
        raise typer.Exit(INTERRUPTED)
    if not result.success:
        raise typer.Exit(NOT_CONVERGED)


def _mnist(files: FileOptions, directory: Path | None) -> Any:
    from ..datasets import load_mnist

    files.refuse_for_mnist()
    return load_mnist(directory)


def named_model(model: ModelName, family: str | None, link: str) -> str:
    """What is fitted, in a word or two."""
    if family is None:
        if link != "auto":
            raise ValueError(f"--link {link} goes with a family: name it with --family")
        return model.value
    if model is not ModelName.logistic:
        raise ValueError(f"--model {model.value} and --family {family} are two models: leave one out")
    return family if link == "auto" else f"{family}, {link} link"


def estimator_of(
    model: ModelName, options: dict[str, Any], l2: float | None, balanced: bool, family: str | None, link: str
) -> Any:
    from ..estimators import GeneralizedLinearRegressor, LogisticRegression

    if family is not None:
        if balanced:
            raise ValueError(f"--balanced weighs classes, and the {family} family has none")
        return GeneralizedLinearRegressor(family=family, link=link, loss_options=options or None, alpha=l2 or 0.0)
    if model is ModelName.logistic:
        if options:
            raise ValueError(f"the logistic loss has no option {next(iter(options))!r}")
        return LogisticRegression(l2=l2, class_weight="balanced" if balanced else None)
    if balanced:
        raise ValueError(f"--balanced weighs classes, and the {model.value} loss has none")
    return GeneralizedLinearRegressor(model.value, loss_options=options or None, alpha=l2 or 0.0)


def check_writable(path: Path | None) -> None:
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
