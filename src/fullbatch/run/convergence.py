"""Whether a run that ends has converged: the solver's claim, checked against something that it did not make itself.

For a linear model the blocks are asked for the Hessian at the iterate, in float64, and Newton's decrement says by how
much F can still fall: (1/2) g'H^-1 g, whatever matrix the solver went by. Where the Hessian is too large to ask for,
there are lower bounds: what single columns explain of the score, which costs nothing, and, of solvers that never saw
second derivatives, by how much F can fall along a few conjugate directions.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..machine.eigen import eigh
from ..machine.vectors import dot
from ..objective.hessian import LOST, SURE, Curved, blurred
from ..objective.measure import BEYOND, looked_beyond, measure, relative
from ..objective.objective import Objective
from ..protocols.answers import Curves
from ..protocols.requests import Curvature, HessVec, ValueGrad
from ..protocols.seams import Facts, Steps, drive, through
from ..solvers.auto import seconds_of_pass
from ..solvers.newton import Newton
from ..solvers.newton_cg import conjugate_step
from ..solvers.working_set import OnColumns, columns_of

Array = npt.NDArray[Any]

# The Hessian is asked for as long as that takes no more than this share of what the run has taken, or so many seconds
# of the cost model, which knows shapes alone.
_SHARE, _SECONDS = 0.1, 0.05

# Rows for each parameter of a sample that stands for all rows, where they are many.
_ROWS_PER_PARAMETER = 60

# A fit that leaves no more than this share of the null model's F is as good as exact.
_NOTHING = 1e-6

# Passes for conjugate directions where there are too many parameters for a Hessian: a share of the run's, no less and
# no more than so many; and the share of the gradient that is left when more are needless.
_SHARE_ALONG, _DIRECTIONS, _SETTLED = 0.05, (2, 30), 1e-3

# A coordinate at a corner of L1 whose slope is this share of its strength may be about to leave it.
_NEARLY = 0.8

# What a column may still explain where that is all that is known, in multiples of tol: both are relative squares.
_OF_COLUMNS = 100.0


@dataclass(frozen=True, eq=False)
class Check:
    """What is known of an iterate.

    Parameters
    ----------
    remaining_r2 : float
        By how much F can still fall, as a share of what it is measured by (`objective.measure`: half the null
        model's mean deviance, as a rule). For the squared loss: what R^2 could still gain. Infinite where that is not
        known.
    score_r2 : float or None
        The largest share of the score's variance that a single column explains: `Objective.explained`.
    known_by : {"hessian", "sample", "directions", "columns", "estimate"}
        Whether `remaining_r2` comes from the Hessian of all rows, or of a sample of them, or along a few directions; or
        from the solver itself, checked on single columns, or not at all.
    curved : Curved or None
        The Hessian.
    bound : float
        What `remaining_r2` cannot be more than: all that is left above the least that F can be.
    kinked : bool
        Whether F or its second derivatives have corners, so that single columns have a say beside the Hessian.
    """

    remaining_r2: float
    score_r2: float | None
    known_by: str
    curved: Curved | None = None
    bound: float = np.inf
    kinked: bool = False

    def holds(self, tol: float) -> bool:
        """Whether a claim to be within `tol` is borne out."""
        if self.bound <= tol:
            return True
        of_columns = self.score_r2 is None or self.score_r2 <= max(_OF_COLUMNS * tol, 1e-12)
        return self.remaining_r2 <= tol and (of_columns or (self.known_by == "hessian" and not self.kinked))

    @property
    def words(self) -> str:
        """How it is known, for messages."""
        left = f"F could still fall by {self.remaining_r2:.1e} of the null model's"
        columns = "" if self.score_r2 is None else f"; a single column explains {self.score_r2:.1e} of the score"
        return {
            "hessian": f"by the Hessian of all rows, {left}",
            "sample": f"by the Hessian of a sample of the rows, {left}{columns}",
            "directions": f"along a few conjugate directions, {left}{columns}",
            "columns": f"by the solver's own estimate, {left}{columns}",
            "estimate": "by the solver's own estimate: nothing else is known of such a model",
        }[self.known_by]


def checked(objective: Objective, state: Any, solver: Any, ask: Callable[[Any], Any]) -> Check:
    """As `checking`, whose requests `ask` answers."""
    found: Check = drive(checking(objective, state, solver), ask)
    return found


def checking(objective: Objective, state: Any, solver: Any) -> Steps[Check]:
    """What is known of a solver's iterate: one pass where the Hessian can be asked for, else none.

    Parameters
    ----------
    objective : Objective
        What is minimised.
    state : State
        The iterate.
    solver : Solver
        Whose it is.
    """
    facts = objective.facts
    claims = hasattr(solver, "optimality")
    own = float(solver.optimality(state)) if claims else np.inf
    if facts.parameters.predictors is None or not np.isfinite(state.value):
        return Check(own, None, "estimate")
    by_passes = ValueGrad in solver.requests
    bound = _above(state.value, facts)
    if bound <= _NOTHING and facts.parameters.dtype == "float32" and by_passes:
        told, state = bound, replace(state, value=(yield ValueGrad(state.theta, double=True)).value)
        bound = _above(state.value, facts)  # of huge predictions float32 keeps no digit of F
        own += max(bound - told, 0.0)
    cornered = facts.penalty is not None
    slope = objective.steepest(state.theta, state.grad)
    if by_passes and not objective.was_asked_at(state.theta):
        yield ValueGrad(state.theta)
    score_r2 = objective.explained(state.theta, slope) if by_passes else None
    if getattr(solver, "by_hessian", False):
        curved = getattr(solver, "curved", None)
        high, unclear = _as_high_as(state, getattr(solver, "blurred", None), facts)
        bound = _above(high.value, facts)
        return Check(
            min(max(own, unclear), bound), score_r2, "hessian", curved, bound, facts.parameters.kinked or cornered
        )
    if cornered:
        return (yield from _of_face(objective, state, own, score_r2))
    for fraction in _fractions(facts, facts, objective.num_passes):
        curves: Curves = yield Curvature(state.theta, "gram", fraction=fraction, double=True)
        precision = "float64"
        if fraction < 1 and curves.point is not None:  # the gradient is that of all rows
            precision = facts.parameters.dtype
            curves = curves._replace(point=curves.point._replace(value=state.value, grad=state.grad))
        curved = Curved.of(curves, state.theta, facts, precision)
        if curved is not None:
            high, _ = _as_high_as(state, curved.blurred, facts)
            left, bound = relative(curved.decrease + SURE * curved.rounding, high, facts), _above(high.value, facts)
            for step, rise in curved.probes(BEYOND * measure(state, facts), facts.parameters.kinked):
                if not looked_beyond(state.value, rise, (yield ValueGrad(state.theta + step, double=True)), facts):
                    left = np.inf  # F falls where the Hessian has it rise: it tells of the place itself alone
                    break
            known_by = "hessian" if fraction == 1 else "sample"
            return Check(min(left, bound), score_r2, known_by, curved, bound, facts.parameters.kinked)
    high, unclear = _as_high_as(state, None, facts)
    own, bound = max(own, unclear), _above(high.value, facts)
    if solver.requests != {ValueGrad} or HessVec not in facts.answers:  # others have seen second derivatives
        return Check(min(own, bound), score_r2, "columns", None, bound)
    along = relative((yield from _along_directions(objective, state)), high, facts)
    return Check(min(max(own, along) if claims else max(along, unclear), bound), score_r2, "directions", None, bound)


def _as_high_as(state: Any, blur: float | None, facts: Facts) -> tuple[Any, float]:
    """The state with F as high as it may be by the rounding of predictors; and by how much that is higher than what
    was told, as `relative` has it.

    Parameters
    ----------
    state : State
        The iterate.
    blur : float or None
        `objective.hessian.blurred`; None where no Hessian is at hand.
    facts : Facts
        Of the problem.
    """
    if blur is None:
        blur = blurred(state.theta, facts)
    high = replace(state, value=state.value + SURE * blur)
    return high, relative(SURE * blur, high, facts) if blur > 0 else 0.0


def _of_face(objective: Objective, state: Any, own: float, score_r2: float | None) -> Steps[Check]:
    """What is known where F has corners: the Hessian is asked for in the coefficients of the columns that may move, and
    the quadratic model with the penalty minimised; the gradient in all coordinates tells that the others are held.
    """
    facts = objective.facts
    assert facts.penalty is not None
    moves = ~facts.penalty.held(state.theta, state.grad)
    moves |= facts.penalty.nearly(state.theta, state.grad, _NEARLY)
    columns = np.flatnonzero(columns_of(facts, moves))
    kinked = facts.parameters.kinked
    if not columns.size:
        columns = np.zeros(1, np.intp)
    inside = facts.of_columns(columns)
    for fraction in _fractions(facts, inside, objective.num_passes):
        request = Curvature(state.theta, "gram", fraction=fraction, double=True, columns=columns)
        curves: Curves = yield request
        precision = "float64"
        if fraction < 1 and curves.point is not None:  # the gradient is that of all rows
            precision = facts.parameters.dtype
            curves = curves._replace(point=curves.point._replace(value=state.value, grad=state.grad))
        small = np.inf  # all is worth being exact about
        model = OnColumns.of(curves, state.theta, facts, precision, columns, small)
        if model is None:
            continue
        end, reached = model.minimum()
        decrease, rounding = model.left(end) if reached else (np.inf, 0.0)
        high, _ = _as_high_as(state, model.blurred, facts)
        left, bound = relative(decrease + SURE * rounding, high, facts), _above(high.value, facts)
        if not facts.parameters.convex and not _rises(curves.matrix):
            left = np.inf
        beyond = model.probe(end, BEYOND * measure(state, facts))
        if beyond is not None and not looked_beyond(
            state.value, beyond[1], (yield ValueGrad(beyond[0], double=True)), facts
        ):
            left = np.inf
        return Check(min(left, bound), score_r2, "hessian" if fraction == 1 else "sample", None, bound, True)
    high, unclear = _as_high_as(state, None, facts)
    own, bound = max(own, unclear), _above(high.value, facts)
    if HessVec not in facts.answers:
        return Check(min(own, bound), score_r2, "columns", None, bound, kinked)
    slope = np.where(moves, objective.steepest(state.theta, state.grad), 0.0)
    along = relative((yield from _along_directions(objective, replace(state, grad=slope), moves)), high, facts)
    return Check(min(max(own, along), bound), score_r2, "directions", None, bound, True)


def _rises(matrix: Array) -> bool:
    """Whether a Hessian has no direction in which F falls away, beyond rounding."""
    diagonal = np.sqrt(np.abs(matrix.diagonal()))
    scale = np.where(diagonal > 0, diagonal, 1.0)
    with one_thread():
        return bool(eigh(matrix / scale / scale[:, None])[0][0] >= -LOST["float64"])


def _along_directions(objective: Objective, state: Any, moves: Array | bool = True) -> Steps[float]:
    """By how much F falls along a few conjugate directions by its Hessian, in the coordinates that move: a lower bound
    of 1/2 g'H^-1 g.

    Each costs a pass; they are far fewer than those of the run.
    """
    facts, scale = objective.facts, np.ones(len(state.grad))
    if facts.squares is not None and facts.parameters.predictors is not None:
        of_columns = facts.parameters.predictors[:, : len(facts.squares)]
        scale[of_columns] = np.where(facts.squares > 0, np.sqrt(facts.squares), 1.0)
    most = int(np.clip(_SHARE_ALONG * objective.num_passes, *_DIRECTIONS))

    def within(request: Any) -> Steps[Array]:
        return np.where(moves, (yield request), 0.0)

    step = yield from through(within, conjugate_step(state.theta, state.grad, _SETTLED, most, scale))
    return -0.5 * dot(state.grad, step)


def _above(value: float, facts: Facts) -> float:
    """All that F could fall by, as a share of the null model's; infinite where that is not known."""
    null = facts.parameters.null
    return max(value - facts.least, 0.0) / null if np.isfinite(null) else np.inf


def _fractions(facts: Facts, inside: Facts, passes: int) -> list[float]:
    """Shares of the rows whose Hessian in the parameters `inside` may be asked for, one after another; none where that
    would cost too much.
    """
    predictors = inside.parameters.predictors
    if predictors is None or Curvature not in facts.answers:
        return []
    (outputs, width), size = predictors.shape, inside.parameters.size
    if Newton.bytes_for(size) > Newton().max_bytes:
        return []
    allowed = max(_SECONDS, _SHARE * passes * seconds_of_pass(facts))

    def cost(rows: float) -> float:
        return rows * width * width * outputs * (outputs + 1) / 2 * 5e-11 + 1e-9 * size**3

    if cost(facts.rows) <= allowed:
        return [1.0]
    rows = _ROWS_PER_PARAMETER * width * min(outputs, 4)
    return [rows / facts.rows] if rows < facts.rows and cost(rows) <= allowed else []
