"""`fullbatch path` and `fullbatch cv`."""

import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, fields
from functools import wraps
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from ._data import (
    DATA,
    DATA_HELP,
    Engine,
    EngineName,
    FileOptions,
    Memory,
    Workers,
    is_mnist,
    with_file_options,
)
from ._named_values import bounds, groups_of, pairs
from ._screen import NOT_CONVERGED, AsJson, Quiet, counted, plan_shown, print_line, print_out, seconds, show
from ._sources import open_files
from .fit import (
    FamilyName,
    GroupRatio,
    Groups,
    LinkName,
    ModelName,
    bound,
    check_writable,
    estimator_of,
    named_model,
)

PATH_EXAMPLES = """\b
Examples:
  fullbatch path train.csv --target y --model squared --num 20
  fullbatch path 'claims/*.parquet' --target claims --model poisson \\
      --offset log_exposure --l1-ratio 0.5 --json"""

CV_EXAMPLES = """\b
Examples:
  fullbatch cv train.csv --target churned --folds 10 --save model.fb
  fullbatch cv train.csv --target y --model squared --one-se \\
      --strengths 0.1,0.01,0.001 --checkpoint run"""


@dataclass(frozen=True)
class _Options:
    """Options of fits for many strengths, beside those of the data."""

    model: Annotated[
        ModelName, typer.Option(help="Loss: logistic for two classes or more, the others for numbers.")
    ] = ModelName.logistic
    family: FamilyName = None
    link: LinkName = "auto"
    option: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="Option of the loss, such as power=1.5 or quantile=0.9."),
    ] = None
    strengths: Annotated[
        str | None,
        typer.Option(
            metavar="A,B,...",
            help="Strengths of the penalty; default: from the least that makes all coefficients zero down.",
            show_default=False,
        ),
    ] = None
    num: Annotated[int, typer.Option(min=1, metavar="COUNT", help="Strengths of the default grid.")] = 100
    ratio: Annotated[
        float | None,
        typer.Option(
            metavar="NUMBER",
            help="The smallest strength of the default grid as a share of the largest; default: 1e-4, or 0.01 where "
            "there are no more rows than columns.",
            show_default=False,
        ),
    ] = None
    l1_ratio: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            max=1.0,
            metavar="SHARE",
            help="Share of the penalty that is L1's: it makes zeros; default: 1, or 0 with --groups.",
            show_default=False,
        ),
    ] = None
    groups: Groups = None
    group_ratio: GroupRatio = None
    lower: Annotated[list[str] | None, bound("--lower", "below")] = None
    upper: Annotated[list[str] | None, bound("--upper", "above")] = None
    intercept: Annotated[bool, typer.Option(help="Whether to fit an intercept.")] = True
    standardize: Annotated[bool, typer.Option(help="Penalise coefficients per standard deviation.")] = False
    balanced: Annotated[bool, typer.Option("--balanced", help="Weigh classes by the inverse of their size.")] = False
    engine: Engine = EngineName.threads
    workers: Workers = None
    memory: Memory = "auto"
    max_failures: Annotated[
        int, typer.Option(min=0, metavar="COUNT", help="Workers of a cluster that may be lost.")
    ] = 0
    tol: Annotated[
        float, typer.Option(min=0.0, metavar="NUMBER", help="Relative distance of F from its minimum to stop at.")
    ] = 1e-8
    max_iter: Annotated[int, typer.Option(min=1, metavar="COUNT", help="Iterations of a fit at the most.")] = 1000
    checkpoint: Annotated[
        str | None,
        typer.Option(
            metavar="DIR",
            help="Directory or URL where the state is kept; the same command goes on from there.",
            show_default=False,
        ),
    ] = None
    checkpoint_every: Annotated[
        float, typer.Option(min=0.0, metavar="SECONDS", help="Between checkpoints at the least.")
    ] = 60.0


def _with_options(command: Any) -> Any:
    """A command with a parameter for each of `_Options`, which it is given as `options`."""
    hints = get_type_hints(_Options, include_extras=True)
    added = [
        Parameter(one.name, Parameter.KEYWORD_ONLY, default=one.default, annotation=hints[one.name])
        for one in fields(_Options)
    ]

    @wraps(command)
    def with_options(*arguments: Any, **given: Any) -> Any:
        told = {one.name: given.pop(one.name) for one in fields(_Options)}
        return command(*arguments, options=_Options(**told), **given)

    own = list(signature(command).parameters.values())
    place = next(i for i, one in enumerate(own) if one.name == "options")
    parameters = own[:place] + added + own[place + 1 :]
    with_options.__signature__ = signature(command).replace(parameters=parameters)  # type: ignore[attr-defined]
    with_options.__annotations__ = {
        **{name: hint for name, hint in command.__annotations__.items() if name != "options"},
        **{one.name: hints[one.name] for one in fields(_Options)},
    }
    return with_options


Data = Annotated[list[str], typer.Argument(metavar=DATA, help=f"{DATA_HELP}.")]


@with_file_options(without=("unknown",))
@_with_options
def path(data: Data, *, files: FileOptions, options: _Options, as_json: AsJson = False, quiet: Quiet = False) -> None:
    """Fit a linear model for many strengths of its penalty.

    A line for each strength, which stands beside the mean loss: (1 - r) of it times half the squared coefficients, and
    r of it times their sizes, with r given by --l1-ratio.
    """
    from ..estimators.paths import fit_path

    with _begun(data, files, options, quiet) as (template, sources, told):
        found = fit_path(template, sources, **told)
    if as_json:
        show(_of_path(found), True)
    else:
        _print_table(found.table())
        _print_bounds(found, range(len(found.strengths)))
        print_out(f" {_ended(found.passes, found.seconds, found.resumed_at)}")
    if not found.success:
        raise typer.Exit(NOT_CONVERGED)


@with_file_options()
@_with_options
def cv(
    data: Data,
    *,
    files: FileOptions,
    options: _Options,
    folds: Annotated[int, typer.Option(min=2, metavar="COUNT", help="Folds that rows are dealt to.")] = 10,
    seed: Annotated[int, typer.Option(metavar="NUMBER", help="Of the folds.")] = 0,
    one_se: Annotated[
        bool,
        typer.Option("--one-se", help="Save the model of the largest strength within one standard error of the best."),
    ] = False,
    save: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="File to save the chosen model to, fitted to all rows.", show_default=False),
    ] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Choose the strength of the penalty by cross-validation.

    A line for each strength: what the fits to all folds but one lose on the rows of that one.
    """
    from ..estimators.cross_validation import cross_validate

    check_writable(save)
    with _begun(data, files, options, quiet) as (template, sources, told):
        found = cross_validate(template, sources, folds=folds, seed=seed, **told)
    chosen = found.one_se if one_se else found.best
    if save is not None:
        found.path.models[chosen].save(save)
    if as_json:
        of_folds = {
            "folds": folds,
            "seed": seed,
            "held_out": found.losses.tolist(),
            "mean": found.mean.tolist(),
            "standard_error": found.standard_error.tolist(),
            "best": found.best,
            "one_se": found.one_se,
            "chosen": chosen,
            "fold_statuses": found.statuses,
            "fold_notices": [_in_words(row) for row in found.notices],
            "saved": None if save is None else str(save),
        }
        show(_of_path(found.path) | of_folds, True)
    else:
        _print_table(found.table())
        print_out(f" chosen: strength {found.strengths[chosen]:.5g}{'' if save is None else f', saved to {save}'}")
        _print_bounds(found.path, [chosen])
        print_out(f" {_ended(found.passes, found.seconds, found.path.resumed_at)}")
    if not found.success:
        raise typer.Exit(NOT_CONVERGED)


@contextmanager
def _begun(data: list[str], files: FileOptions, options: _Options, quiet: bool) -> Iterator[tuple[Any, Any, Any]]:
    """The estimator, the sources, and what else the functions of the library are told."""
    from sklearn.exceptions import ConvergenceWarning

    from ..engines import make_engine
    from ..errors import FitWarning
    from ..run.checkpoints import Checkpoint

    if is_mnist(data):
        raise ValueError("path and cv need files: mnist is for fit, predict and evaluate")
    told: dict[str, Any] = {"strengths": _strengths(options.strengths), "num": options.num, "ratio": options.ratio}
    if options.checkpoint is not None:
        told["checkpoint"] = Checkpoint(options.checkpoint, options.checkpoint_every)
    name = named_model(options.model, options.family, options.link)
    template = estimator_of(
        options.model, pairs(options.option or [], "--option"), None, options.balanced, options.family, options.link
    )
    template.set_params(
        l1_ratio=(0.0 if options.groups else 1.0) if options.l1_ratio is None else options.l1_ratio,
        **groups_of(options.groups or [], options.group_ratio, "--groups"),
        lower_bounds=bounds(options.lower or [], "--lower"),
        upper_bounds=bounds(options.upper or [], "--upper"),
        fit_intercept=options.intercept,
        standardize=options.standardize,
        tol=options.tol**0.5,
        max_iter=options.max_iter,
    )
    sources, of_columns = open_files(data, files)
    engine = make_engine(options.engine.value, options.workers, options.memory, options.max_failures)
    template.set_params(engine=engine, **of_columns)
    if not quiet:
        blocks = counted(len(sources), "block")
        print_line(f"{name} on {' '.join(data)}: {blocks}, engine {options.engine.value}")
    with closing(engine), plan_shown(quiet), warnings.catch_warnings():
        for category in (ConvergenceWarning, FitWarning):
            warnings.simplefilter("always", category)
        others = warnings.showwarning

        def shown(message: Any, category: type[Warning], *rest: Any, **more: Any) -> None:
            if issubclass(category, (ConvergenceWarning, FitWarning)):
                print_line(str(message))  # without the line of the code
            else:
                others(message, category, *rest, **more)

        warnings.showwarning = shown
        yield template, sources, told


def _strengths(given: str | None) -> list[float] | None:
    if given is None:
        return None
    try:
        return [float(one) for one in given.split(",")]
    except ValueError:
        raise ValueError(f"--strengths must be numbers with commas between them, got {given!r}") from None


def _of_path(found: Any) -> dict[str, Any]:
    """All that a path tells, for JSON."""
    names = [str(name) for name in found.models[0].get_feature_names_out()]
    return {
        "strengths": found.strengths.tolist(),
        "l1_ratio": found.l1_ratio,
        "columns": names,
        **({"classes": found.models[0].classes_.tolist()} if hasattr(found.models[0], "classes_") else {}),
        "coefficients": found.coefs.tolist(),
        "intercepts": found.intercepts.tolist(),
        "F": found.value.tolist(),
        "loss": found.loss.tolist(),
        "explained": found.explained.tolist(),
        "df": found.df.tolist(),
        "not_zero": found.not_zero.tolist(),
        "statuses": found.statuses,
        "remaining_r2": found.remaining_r2.tolist(),
        "known_by": found.known_by,
        "notices": _in_words(found.notices),
        "certificates": [one._asdict() for one in found.certificates],
        "reads": found.reads.tolist(),
        "passes": found.passes,
        "setup_passes": found.setup_passes,
        "seconds": found.seconds,
        "resumed_at": found.resumed_at,
    }


def _in_words(notices: Any) -> list[list[str]]:
    return [[str(one) for one in some] for some in notices]


def _print_table(table: str) -> None:
    for line in table.splitlines():
        print_out(f" {line}")


def _print_bounds(found: Any, rows: Iterable[int]) -> None:
    """Which coefficients bounds hold, and at how many of these strengths."""
    held = Counter(one.words for row in rows for one in found.notices[row] if one.code == "at-bounds")
    for words, times in held.items():
        print_out(f" at {counted(times, 'strength')} {words}")


def _ended(passes: int, took: float, resumed_at: int | None) -> str:
    resumed = "" if resumed_at is None else f"; {counted(resumed_at, 'strength')} had been done before"
    return f"{passes:,} {'pass' if passes == 1 else 'passes'}, {seconds(took)} seconds{resumed}"
