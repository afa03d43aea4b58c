"""What the reader of a result should know beside its numbers: each notice has a code, names columns and a remedy."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ..objective.hessian import Curved
from ..objective.objective import Objective
from ..protocols.requests import ValueGrad
from ..protocols.seams import Penalty, Steps
from ..wording.messages import shortened
from .convergence import Check
from .result import OWN_MODEL, Notice, Status

Array = npt.NDArray[Any]

# Beside the null model's, this is no F: the data is fitted exactly.
_NOTHING = 1e-6

# A Newton step that is more than this share of a coefficient, where F has next to nothing left to lose by it, may lead
# to infinity; how many times as far F is looked at to be sure; and what shares of the largest curvature may be what is
# left of one that vanishes.
_STILL_GROWING, _FAR, _VANISHING = 0.02, 100.0, (1e-11, 1e-8, 1e-5)

# Rounding of a linear predictor, as a share of its terms.
_ROUNDING = 4e-15

# Directions of less than this share of the largest curvature belong to columns that are combinations of others.
_COLLINEAR = 1e-11

# At the edge of what a link allows so small a share of Newton's step leads beyond; elsewhere no exponential overflows.
_EDGE_STEP = 1e-6

# F that differs by no more than this share is the same.
_ALIKE = 1e-9

# Columns take part in a direction with at least this share of its largest part.
_PART = 0.1

# Classes whose columns are named one by one.
_MOST_CLASSES = 4

# Means of so many spreads leave too few digits of a column.
_DWARFED = {"float32": 1e3, "float64": 1e7}


def notices(objective: Objective, state: Any, check: Check, status: Status) -> Steps[tuple[Notice, ...]]:
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
    """
    if objective.blocks.parameters.predictors is None:
        failed = status is Status.LINE_SEARCH
        return (*of_bounds(objective, state), *([Notice("not-converged", OWN_MODEL)] if failed else ()))
    found: list[Notice] = []
    if status in (Status.CONVERGED, Status.PRECISION, Status.LINE_SEARCH):
        found += yield from _at_infinity(objective, state, check)
    found += of_bounds(objective, state)
    found += yield from _of_columns(objective, state, replace(check, curved=None) if found else check)
    if status in (Status.PRECISION, Status.LINE_SEARCH):
        edge = yield from _at_the_edge(objective, state, check)
        found.append(edge or _rounding(objective, check))
    return tuple(found)


def _at_infinity(objective: Objective, state: Any, check: Check) -> Steps[list[Notice]]:
    """Whether F still falls far beyond theta, as it does without end where classes can be separated."""
    facts = objective.facts
    penalty = objective.penalty
    free = never_held(penalty, state.theta)
    if (
        facts.parameters.quadratic
        or facts.parameters.kinked
        or not free.any()
        or not np.isfinite(facts.parameters.null)
    ):
        return []
    theta, size = _stored(objective, state.theta), np.minimum(_of_stored_columns(objective), 1e300)
    exact = state.value - facts.least <= _NOTHING * facts.parameters.null

    def F(at: Array) -> Steps[float]:
        return float((yield ValueGrad(_of_solver(objective, at), double=True)).value)

    def falls(at: Array) -> Steps[bool]:
        allowed = 1e-15 * (abs(state.value) + facts.parameters.null) + _ROUNDING * float((np.abs(at) * size).max())
        return (yield from F(at)) <= state.value + allowed

    for way in chain([np.where(free, theta, 0.0)] if exact else [], _ways(objective, state, check, theta, free)):
        if not 0 < (np.abs(way) * size).max() < np.inf:
            continue
        back = (yield from F(theta - way)) > state.value + 1e-9 * facts.parameters.null
        if back and (yield from falls(theta + way)) and (yield from falls(theta + _FAR * way)):
            part = np.abs(_plainest(objective, way)) * size
            names = _names(objective, np.flatnonzero(part >= _PART * part.max()))
            apart = exact and objective.blocks.schema.class_weight is not None
            what = "the classes can be separated" if apart else "some of the rows can be fitted ever better"
            return [
                Notice(
                    "separable",
                    f"{what}, so the optimum is at infinity: coefficients would grow for ever along {names}; add a "
                    "penalty",
                )
            ]
    return []


def never_held(penalty: Penalty, theta: Array) -> Array:
    """Which coordinates may grow for ever, as far as penalty and bounds are asked."""
    free = (penalty.l2 == 0) & (penalty.l1 == 0) & ~penalty.grouped
    return np.asarray(free & (np.where(theta > 0, penalty.upper, -penalty.lower) == np.inf))


def _ways(objective: Objective, state: Any, check: Check, theta: Array, free: Array) -> Iterator[Array]:
    """Along which parameters of the columns as stored may grow for ever, as far as they are from zero: those that
    Newton's step makes grow still, and what has lost its curvature.
    """
    newton = check.curved.direction(1e-14) if check.curved is not None else getattr(state, "direction", None)
    if newton is not None and np.isfinite(newton).all():
        way = _stored(objective, newton)
        # These alone: other parameters would spoil so long a step. The largest goes as far as it is from zero.
        way = np.where(free & (way * theta > 0) & (np.abs(way) > _STILL_GROWING * np.abs(theta)), way, 0.0)
        largest = int((np.abs(way) * _of_stored_columns(objective)).argmax())
        if way[largest]:
            yield way * (theta[largest] / way[largest])
    if check.curved is None:
        return
    # Rows without curvature are those that theta's part along these directions has fitted so well, from the null model
    # on, whose intercept knows the unit of the targets; what else is in that part changes no prediction.
    since, tried = state.theta - _of_null_model(objective), np.zeros_like(theta)
    for share in _VANISHING:
        way = np.where(free, _stored(objective, check.curved.without_curvature(since, share)), 0.0)
        if (way != tried).any():
            yield way
        tried = way


def _of_null_model(objective: Objective) -> Array:
    """Theta of the null model in the solver's variables; 0 for classes, which have no unit, and where none is known."""
    schema, theta = objective.blocks.schema, np.zeros(objective.size)
    if schema.null is not None and schema.class_weight is None:
        theta[~objective.blocks.parameters.penalized] = schema.null.null().intercept
    return theta


def _plainest(objective: Objective, way: Array) -> Array:
    """The same predictions by as few levels as may be: what most levels of a category have is the intercept's."""
    predictors, features = objective.blocks.parameters.predictors, objective.blocks.schema.features
    assert predictors is not None
    way = way.copy()
    if predictors.shape[1] > features.size:
        ends = features.numeric + np.cumsum([0, *map(len, features.levels)])
        for own in predictors:
            for first, last in pairwise(ends):
                usual = np.median(way[own[first:last]])
                way[own[first:last]] -= usual
                way[own[features.size]] += usual
    return way


def of_bounds(objective: Objective, state: Any) -> Iterator[Notice]:
    """Coordinates that would go on if their bounds let them."""
    penalty = objective.penalty
    if "bounds" not in penalty.parts:
        return
    unbound = replace(penalty, lower=np.full_like(penalty.lower, -np.inf), upper=np.full_like(penalty.upper, np.inf))
    pushing = unbound.steepest(state.theta, state.grad)
    held = ((state.theta <= penalty.lower) & (pushing > 0)) | ((state.theta >= penalty.upper) & (pushing < 0))
    if held.any():
        yield Notice("at-bounds", f"held at their bounds: {_names_each(objective, np.flatnonzero(held))}")


def _stored(objective: Objective, theta: Array) -> Array:
    """Theta of the columns as stored."""
    return theta if objective.variables is None else objective.variables.to_blocks(theta)


def _of_solver(objective: Objective, theta: Array) -> Array:
    """The inverse of `_stored`."""
    return theta if objective.variables is None else objective.variables.to_solver(theta)


def _of_stored_columns(objective: Objective) -> Array:
    """Root mean squares of the columns as stored, and 1 for the intercept."""
    schema = objective.blocks.schema
    return _spread_over(objective, np.hypot(schema.mean, np.sqrt(schema.variance)), 1.0)


def _of_columns(objective: Objective, state: Any, check: Check) -> Steps[list[Notice]]:
    """Columns that tell nothing, and columns that tell what others do."""
    found = []
    constant, dependent = getattr(state, "constant", None), getattr(state, "dependent", None)
    facts = objective.facts
    if constant is None and facts.constant is not None:
        constant = np.flatnonzero(_spread_over(objective, facts.constant, False))
    if constant is not None and (held := getattr(objective.variables, "held", None)) is not None:
        constant = constant[~_spread_over(objective, held, False)[constant]]
    if constant is not None and constant.size:
        names = _names(objective, constant)
        found.append(Notice("constant-columns", f"without variation, and so not used: {names}"))
    if dependent is None and check.curved is not None:
        dependent = yield from _same_predictions(objective, state, check.curved)
    if dependent is not None and dependent.size:
        names = _names(objective, dependent)
        words = (
            f"each a combination of the others, so that coefficients are not the only ones that fit so well: {names}. "
            "Leave one out, or add a penalty"
        )
        found.append(Notice("collinear-columns", words))
    return found


def _same_predictions(objective: Objective, state: Any, curved: Curved) -> Steps[Array]:
    """Parameters that can be moved together without any prediction's moving: two passes, where some look like it.

    Directions without curvature may also be those of rows that have none at theta: a step along all of them, there or
    back, then changes F.
    """
    facts = objective.facts
    low = curved.values <= _COLLINEAR * curved.values[-1]
    ways = curved.vectors[:, low]
    ways = np.where((facts.l2 == 0)[:, None], ways, 0.0)
    part = np.abs(ways).max(axis=1, initial=0.0)
    dependent = np.flatnonzero(part >= _PART)
    if not dependent.size:
        return dependent
    way = ways.sum(axis=1) / curved.scale
    assert facts.squares is not None
    size = float((np.abs(way) * np.sqrt(_spread_over(objective, facts.squares, 1.0))).max())
    if not 0 < size < np.inf:
        return dependent[:0]
    for step in (10.0 * way / size, -10.0 * way / size):
        moved = (yield ValueGrad(state.theta + step, double=True)).value
        if not abs(moved - state.value) <= _ALIKE * (abs(state.value) + min(facts.parameters.null, 1e300)):
            return dependent[:0]
    return dependent


def _at_the_edge(objective: Objective, state: Any, check: Check) -> Steps[Notice | None]:
    """Whether what ended the run is that means beyond are none of the family's: one pass."""
    if check.curved is None:
        return None
    step = _EDGE_STEP * check.curved.direction(1e-14)
    if np.isfinite((yield ValueGrad(state.theta + step, double=True)).value):
        return None
    return Notice(
        "edge",
        "the next step leads to means that the family does not have: F may be lower at another place of the edge. Use "
        "the family's usual link, or leave out columns that take means there",
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


def _names_each(objective: Objective, coordinates: Array) -> str:
    """The columns of some coordinates of theta, each with its class where there are several predictors; their numbers
    where the model is not linear.
    """
    predictors, classes = objective.blocks.parameters.predictors, objective.blocks.schema.classes
    if predictors is None:
        return f"numbers {shortened(coordinates.tolist())} of theta"
    if len(predictors) == 1 or classes is None:
        return _names(objective, coordinates)
    places = np.isin(predictors, coordinates)
    of_classes = [
        f"{_names(objective, predictors[k][places[k]])} of class {classes[k].item()!r}"
        for k in np.flatnonzero(places.any(axis=1))
    ]
    return "; ".join(of_classes[:_MOST_CLASSES]) + (
        f"; and columns of {len(of_classes) - _MOST_CLASSES} more classes" if len(of_classes) > _MOST_CLASSES else ""
    )


def _names(objective: Objective, coordinates: Iterable[int]) -> str:
    """The columns of some coordinates of theta, for a message."""
    predictors, features = objective.blocks.parameters.predictors, objective.blocks.schema.features
    assert predictors is not None
    columns = np.unique(np.flatnonzero(np.isin(predictors, list(coordinates)).any(axis=0)))
    named = [features.name_out(int(column)) for column in columns if column < features.size]
    intercepts = len(columns) - len(named)  # several of ordered classes
    return shortened(named + ["the intercept" if intercepts == 1 else "the intercepts"] * (intercepts > 0))
