"""What the reader of a result should know beside its numbers: each notice has a code, names columns and a remedy."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .convergence import Check
from .errors import shortened
from .objective import Objective
from .protocols import ValueGrad
from .result import OWN_MODEL, Notice, Status

Array = npt.NDArray[Any]

# Beside the null model's, this is no F: the data is fitted exactly.
_NOTHING = 1e-6

# A Newton step that changes predictions by more than this, where F has nothing left to lose by it, leads to infinity;
# and how far along it F is looked at to be sure.
_STILL_GROWING, _FAR = 0.05, 10.0

# Directions of less than this share of the largest curvature belong to columns that are combinations of others.
_COLLINEAR = 1e-11

# Columns take part in a direction with at least this share of its largest part.
_PART = 0.1

# Means of so many spreads leave too few digits of a column.
_DWARFED = {"float32": 1e3, "float64": 1e7}


def notices(
    objective: Objective, state: Any, check: Check, status: Status, ask: Callable[[Any], Any]
) -> tuple[Notice, ...]:
    """What is to be said of the end of a run; a pass or two where the optimum is suspected to be at infinity.

    Parameters
    ----------
    objective : Objective
        What was minimised.
    state : State
        Where it ended.
    check : Check
        What is known of that.
    status : Status
        How it ended.
    ask : callable
        Answers requests.
    """
    if objective.blocks.parameters.predictors is None:
        failed = status is Status.LINE_SEARCH
        return (Notice("not-converged", OWN_MODEL),) if failed else ()
    found = [*_of_columns(objective, state, check)]
    if status in (Status.CONVERGED, Status.PRECISION, Status.LINE_SEARCH):
        found += _at_infinity(objective, state, check, ask)
    if status in (Status.PRECISION, Status.LINE_SEARCH):
        found.append(_rounding(objective, check))
    return tuple(found)


def _at_infinity(objective: Objective, state: Any, check: Check, ask: Callable[[Any], Any]) -> Iterator[Notice]:
    """Whether F still falls far beyond theta, as it does without end where classes can be separated."""
    facts = objective.facts
    free = facts.l2 == 0
    if facts.parameters.quadratic or not free.any() or not np.isfinite(facts.parameters.null):
        return
    size = np.minimum(np.sqrt(_spread_over(objective, facts.squares, 1.0)), 1e300)
    above = state.value - facts.least
    exact = 0 < above <= _NOTHING * facts.parameters.null
    ways = [np.where(free, state.theta, 0.0)] if exact else []
    way = check.curved.direction(1e-14) if check.curved is not None else getattr(state, "direction", None)
    if way is not None and np.isfinite(way).all():
        with np.errstate(over="ignore", invalid="ignore"):
            growing = free & (np.abs(way) * size > _STILL_GROWING) & (way * state.theta > 0)
        ways += [_FAR * way] if growing.any() else []
    for way in ways:
        fallen = state.value - ask(ValueGrad(state.theta + way, double=True)).value
        if fallen > (0.1 * above if exact else 1e-15 * (abs(state.value) + facts.parameters.null)):
            part = _of_stored_columns(objective, way)
            names = _names(objective, np.flatnonzero(part >= _PART * part.max(initial=0.0)))
            what = "the classes can be separated" if exact else "some of the rows can be fitted ever better"
            yield Notice(
                "separable",
                f"{what}, so the optimum is at infinity: coefficients would grow for ever along {names}; add a penalty",
            )
            return


def _of_stored_columns(objective: Objective, way: Array) -> Array:
    """How much each column as stored, and the intercept, has to do with a way."""
    schema, variables = objective.blocks.schema, objective.variables
    stored = np.abs(way if variables is None else variables.to_blocks(way))
    with np.errstate(over="ignore"):
        return stored * np.minimum(_spread_over(objective, np.hypot(schema.mean, np.sqrt(schema.variance)), 1.0), 1e300)


def _of_columns(objective: Objective, state: Any, check: Check) -> Iterator[Notice]:
    """Columns that tell nothing, and columns that tell what others do."""
    constant, dependent = getattr(state, "constant", None), getattr(state, "dependent", None)
    facts = objective.facts
    if constant is None and facts.constant is not None:
        constant = np.flatnonzero(_spread_over(objective, facts.constant, False))
    if constant is not None and constant.size:
        names = _names(objective, constant)
        yield Notice("constant-columns", f"without variation, and so not used: {names}")
    if dependent is None and check.curved is not None:
        low = check.curved.values <= _COLLINEAR * check.curved.values[-1]
        part = np.abs(check.curved.vectors[:, low]).max(axis=1, initial=0.0)
        dependent = np.flatnonzero((part >= _PART) & (facts.l2 == 0))
    if dependent is not None and dependent.size:
        names = _names(objective, dependent)
        yield Notice(
            "collinear-columns",
            f"each a combination of the others, so that coefficients are not the only ones that fit so well: {names}. "
            "Leave one out, or add a penalty",
        )


def _rounding(objective: Objective, check: Check) -> Notice:
    """Which columns leave too few digits."""
    schema, precision = objective.blocks.schema, objective.blocks.parameters.dtype
    with np.errstate(divide="ignore", invalid="ignore"):
        dwarfed = np.flatnonzero(np.abs(schema.mean) > _DWARFED[precision] * np.sqrt(schema.variance))
    remedy = "Subtract a constant from them" if dwarfed.size else "Bring columns to comparable scales"
    if precision == "float32":
        remedy += ", or give the features as float64"
    cause = f"of the columns {_names(objective, dwarfed)} the mean dwarfs the spread. " if dwarfed.size else ""
    return Notice("precision", f"{check.words}. {cause[:1].upper()}{cause[1:]}{remedy}")


def _spread_over(objective: Objective, of_columns: Any, of_intercept: Any) -> Array:
    """A number for each coordinate of theta from one for each column."""
    predictors = objective.blocks.parameters.predictors
    assert predictors is not None
    of_predictor = np.full(predictors.shape[1], of_intercept)
    of_predictor[: len(of_columns)] = of_columns
    spread = np.full(objective.size, of_intercept)
    spread[predictors] = of_predictor
    return spread


def _names(objective: Objective, coordinates: Iterable[int]) -> str:
    """The columns of some coordinates of theta, for a message."""
    predictors, features = objective.blocks.parameters.predictors, objective.blocks.schema.features
    assert predictors is not None
    columns = np.unique(np.flatnonzero(np.isin(predictors, list(coordinates)).any(axis=0)))
    return shortened(
        ("the intercept" if column == features.size else features.name_out(int(column)) for column in columns), 8
    )
