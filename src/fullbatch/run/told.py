"""What is to be said of many fits beside how they ended, and the shortest of those that are not the only ones.

A single fit is looked at when it ends. Of many, those are that may have something to tell: which have no penalty on
some column, leave next to nothing of F, or did not go as a Hessian nearby said. Their reads are shared.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..objective.hessian import Curved
from ..objective.objective import Objective
from ..protocols.answers import Curves, Point
from ..protocols.requests import Curvature, ValueGrad
from ..protocols.seams import Facts, Penalty, Steps, drive, with_penalty
from ..solvers.newton import Newton
from ._by_part import SquareSums
from ._shared_fit import SHARED
from .convergence import Check
from .lockstep import side_by_side
from .notices import never_held, notices, of_bounds
from .result import Notice, Status
from .shortest import shortest
from .together import Together, TogetherState, known, statuses

Array = npt.NDArray[Any]

# Of what notices say that of many fits is told: a warning of single fits.
_CODES = ("separable", "collinear-columns")

# Bytes of the Hessians of fits that are looked at together.
_MATRIX_BYTES = 2**26

# Beside the null model's, this is no F: see `notices`.
_NOTHING = 1e-6

# How a fit ended that is somewhere.
_ENDED = (Status.CONVERGED.value, Status.PRECISION.value, Status.LINE_SEARCH.value)


class Told(NamedTuple):
    """What was found of a fit.

    Parameters
    ----------
    theta : (size,) array
        Where it ended, or the shortest that predicts the same.
    notices : tuple of Notice
    """

    theta: Array
    notices: tuple[Notice, ...] = ()


def worth_a_look(facts: Facts, theta: Array, above: float, alone: bool) -> bool:
    """Whether there may be something to tell of a fit.

    Parameters
    ----------
    facts : Facts
        Of its problem.
    theta : (size,) array
        Where it ended.
    above : float
        How far F stands above the least it could be; NaN where that is not at hand.
    alone : bool
        Whether it went by a solver of its own.
    """
    parameters, penalty = facts.parameters, with_penalty(facts).penalty
    assert penalty is not None
    loose = never_held(penalty, theta)
    smooth = not (parameters.quadratic or parameters.kinked)
    exact = smooth and not above > _NOTHING * parameters.null
    columns = loose & parameters.penalized
    if columns.any():
        return bool(alone or exact or (smooth and (columns == parameters.penalized).all()))
    return bool(smooth and loose.any() and (exact or (alone and facts.outputs > 1)))


def look_at_fits(objectives: Sequence[Objective], thetas: Sequence[Array], reads: Objective) -> list[Told]:
    """What is to be said of some fits: a few reads for all of them.

    Parameters
    ----------
    objectives : sequence of Objective
        What each minimised; over the same blocks.
    thetas : sequence of (size,) arrays
        Where each ended.
    reads : Objective
        Counts the reads of all.
    """
    found: list[Told] = []
    most = max(1, _MATRIX_BYTES // (8 * reads.size**2))
    for first in range(0, len(objectives), most):
        some = objectives[first : first + most]
        found += side_by_side(
            some, [_look(one, theta) for one, theta in zip(some, thetas[first : first + most], strict=True)]
        )
        reads.num_passes += max(one.num_passes for one in some)
    return found


def look_at_all(together: Together, state: TogetherState) -> tuple[TogetherState, list[list[tuple[Notice, ...]]]]:
    """The state, with the shortest of fits that are not the only ones, and what is to be said of each, (L, M)."""
    ended, by = statuses(state), known(state)
    strengths, numbers = range(len(ended)), range(len(ended[0]))
    told: dict[tuple[int, int], Told] = {}

    def is_worth(strength: int, number: int) -> bool:
        facts, theta = together.problem(strength, number), state.thetas[strength, number]
        penalty = with_penalty(facts).penalty
        assert penalty is not None
        value = float(state.loss[strength, number]) + penalty.value(theta)
        return worth_a_look(facts, theta, value - facts.least, by[strength][number] != SHARED)

    def look(places: list[tuple[int, int]]) -> None:
        told.update(zip(places, _looked(together, places, state), strict=True))

    there = [(s, m) for s in strengths for m in numbers if ended[s][m] in _ENDED]
    look([place for place in there if is_worth(*place)])
    # One that begins at a place that runs away may be thought to have arrived.
    gone = {m: s for s, m in sorted(told, reverse=True) if _runs_away(told[s, m])}
    look([(s, m) for s, m in there if (s, m) not in told and s > gone.get(m, len(ended))])
    thetas, held_out = state.thetas.copy(), state.held_out.copy()
    for (s, m), one in told.items():
        if not np.array_equal(one.theta, thetas[s, m]):
            thetas[s, m] = one.theta
            held_out[s, m] = together.held_out_at(m, one.theta)
    notes = [[told[s, m].notices if (s, m) in told else () for m in numbers] for s in strengths]
    for s in strengths:
        notes[s][0] += tuple(_of_bounds(together, s, thetas[s, 0], state.slopes[s]))
    return replace(state, thetas=thetas, held_out=held_out), notes


def _of_bounds(together: Together, strength: int, theta: Array, slope: Array) -> Iterator[Notice]:
    """What bounds hold, of the fit to all rows, whose gradient is at hand."""
    objective = together.objective_of(strength, 0)
    if np.isfinite(slope).all():
        yield from of_bounds(objective, SimpleNamespace(theta=theta, grad=slope + objective.penalty.l2 * theta))


def _runs_away(told: Told) -> bool:
    return any(notice.code == "separable" for notice in told.notices)


def _looked(together: Together, places: list[tuple[int, int]], state: TogetherState) -> list[Told]:
    """What is to be said of the fits at some places: no read where sums of squares answer."""
    objectives, thetas = [together.objective_of(*place) for place in places], [state.thetas[place] for place in places]
    if not isinstance(together.parts, SquareSums):
        return look_at_fits(objectives, thetas, together.objective)
    return [
        drive(_look(objective, theta), _by_sums(together.parts, together.counted.parts_of(m), objective.penalty))
        for (_, m), objective, theta in zip(places, objectives, thetas, strict=True)
    ]


def _by_sums(parts: SquareSums, numbers: Sequence[int], penalty: Penalty) -> Callable[[Any], Any]:
    """Answers of the objective of some parts, from their sums."""
    factor = reduce(add, [parts.parts[number] for number in numbers])

    def answer(request: Any) -> Any:
        theta = request.theta
        value = factor.loss(theta) / factor.weight + penalty.value(theta)
        point = Point(value, factor.slope(theta) / factor.weight + penalty.l2 * theta)
        if isinstance(request, ValueGrad):
            return point
        return Curves(factor.hessian() / factor.weight + np.diag(penalty.l2), point)

    return answer


def _look(objective: Objective, theta: Array) -> Steps[Told]:
    """What is to be said of one fit."""
    facts, curved, direction = objective.facts, None, None
    if Curvature in facts.answers and Newton.bytes_for(objective.size) <= Newton().max_bytes:
        curves = yield Curvature(theta, "gram", double=True)
        point = curves.point
        if not objective.penalty.parts:
            curved = Curved.of(curves, theta, facts, "float64")
        elif np.isfinite(curves.matrix).all():
            direction = _loose_step(curves, never_held(objective.penalty, theta))
    else:
        point = yield ValueGrad(theta, double=True)
    state = SimpleNamespace(theta=theta, value=point.value, grad=point.grad, direction=direction)
    check = Check(np.inf, None, "hessian", curved)
    found = yield from notices(objective, state, check, Status.CONVERGED)
    found = tuple(notice for notice in found if notice.code in _CODES)
    if any(notice.code == "collinear-columns" for notice in found):
        theta = yield from _shortened(objective, theta, point.value)
    return Told(theta, found)


def _loose_step(curves: Curves, loose: Array) -> Array:
    """Newton's step in the coordinates that nothing holds, the others staying where they are."""
    assert curves.point is not None
    matrix, step = curves.matrix[np.ix_(loose, loose)], np.zeros(len(loose))
    scale = np.sqrt(np.where(matrix.diagonal() > 0, matrix.diagonal(), 1.0))
    with one_thread():
        step[loose] = -np.linalg.lstsq(matrix / scale / scale[:, None], curves.point.grad[loose] / scale)[0] / scale
    return step


def _shortened(objective: Objective, theta: Array, value: float) -> Steps[Array]:
    """The shortest theta of the same predictions, of coefficients on the columns as stored."""
    predictors, variables = objective.blocks.parameters.predictors, objective.variables
    assert predictors is not None
    columns = objective.blocks.schema.n_features
    stored = theta if variables is None else variables.to_blocks(theta)
    of_columns, of_rest = predictors[:, :columns], predictors[:, columns:].ravel()
    before = stored[of_columns]
    coef, rest = yield from shortest(before, stored[of_rest], theta, value, objective)
    if coef is before:
        return theta
    stored = stored.copy()
    stored[of_columns], stored[of_rest] = coef, rest
    return stored if variables is None else variables.to_solver(stored)
