"""Orthant-wise limited-memory quasi-Newton: L1 penalties and bounds for any number of parameters, and any model."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from ..machine.vectors import dot, norm
from ..objective.measure import relative
from ..protocols.answers import Point
from ..protocols.requests import ValueGrad
from ..protocols.rows import Array
from ..protocols.seams import Facts, Penalty, Steps, with_penalty
from ._line_search import CONVEX_NOISE
from ._memory import Vectors, remember, times_inverse
from .descent import check_precision, first_state, is_finite, moved_to, precision_of
from .lbfgs import WINDOW, LBFGSState, check_memory

# Armijo's constant, the approximate slope condition of Hager and Zhang where rounding hides a decrease, trials at the
# most, and by how much a step is shortened at least and at most.
_DECREASE, _DELTA, _TRIALS, _SHORTER = 1e-4, 0.1, 30, (0.1, 0.5)

# Share of the curvature along a step that is the loss's at the least, where rounding hides it beside L2.
_LEAST_SHARE = 1e-6


@dataclass(frozen=True, eq=False)
class OWLQNState(LBFGSState):
    """As `LBFGSState`; norms are those of F's shortest subgradient, changes those of its smooth part's gradient."""


@dataclass(frozen=True)
class OWLQN:
    """L-BFGS for L1 penalties, elastic nets and bounds, which asks for loss and gradient alone.

    A step keeps to the orthant that theta is in, or that the shortest subgradient points into: a coordinate that would
    leave it stands at zero, one that would leave its bounds at the bound. Where some stand there and would not leave,
    quasi-Newton steps are those of the others, with the pairs as these see them. The initial matrix has L2 and the mean
    squares of the columns, whose units thus do not matter. Andrew and Gao, "Scalable training of L1-regularized
    log-linear models" (2007); Schmidt, "Graphical model structure learning with l1-regularization" (2010), section 2.3.

    Parameters
    ----------
    memory : int
        Pairs kept; each takes two vectors of the size of theta.
    precision : {"float64", "float32"}, optional
        Precision in which the blocks compute; default: filled in by `minimize`.
    """

    memory: int = 30
    precision: str | None = None
    facts: Facts | None = field(default=None, repr=False, compare=False)

    requests: ClassVar[frozenset[type]] = frozenset({ValueGrad})
    penalties: ClassVar[frozenset[str]] = frozenset({"l1", "bounds"})
    state: ClassVar[type] = OWLQNState

    def __post_init__(self) -> None:
        check_memory(self.memory)
        check_precision(self.precision)

    def for_problem(self, facts: Facts) -> "OWLQN":
        """With the precision of the blocks."""
        return replace(self, precision=self.precision or facts.parameters.dtype, facts=with_penalty(facts))

    def init(self, theta: Array) -> Steps[OWLQNState]:
        """Evaluate the starting point, or what is nearest to it within the bounds: one pass."""
        theta = self._penalty.nearest(theta)
        point = yield ValueGrad(theta)
        state = first_state(OWLQNState, theta, point)
        if not is_finite(point):
            return state  # the run will not begin
        length = norm(self._penalty.steepest(theta, point.grad))
        return replace(state, first_norm=length, best_norm=length, direction=self._direction(state))

    def step(self, state: OWLQNState) -> Steps[OWLQNState]:
        """One iteration: a search along the direction, usually one pass, and one more pair."""
        noise, least_cosine = precision_of(self.precision)
        steps, changes = state.steps, state.changes
        found = yield from self._search(state, state.direction, noise)
        if found is None:  # the memory may be at fault
            steps, changes = (), ()
            found = yield from self._search(state, self._direction(replace(state, steps=(), changes=())), noise)
        if found is None:
            rounding = 10.0 * noise * abs(state.value)
            return replace(state, failure="precision" if self._expected(state) <= rounding else "line_search")
        theta, point = found
        steps, changes = remember(
            steps, changes, theta - state.theta, point.grad - state.grad, self.memory, least_cosine
        )
        length = norm(self._penalty.steepest(theta, point.grad))
        state = moved_to(state, theta, point, length, noise, steps=steps, changes=changes)
        return replace(state, direction=self._direction(state))

    def optimality(self, state: OWLQNState) -> float:
        """The larger of the decrease that the quadratic model still expects and that of the latest tenth of the
        iterations, as a share of what F is measured by; infinite while too little is known of the curvature.
        """
        if (self._penalty.nearest(state.theta) != state.theta).any():  # resumed, from a run with other bounds
            return np.inf
        if not self._penalty.steepest(state.theta, state.grad).any():
            return 0.0
        window = max(WINDOW, state.iteration // 10)
        if not state.steps or len(state.values) <= window:
            return np.inf
        recent = float(state.values[-window - 1]) - state.value
        return relative(max(self._expected(state), recent), state, self.facts)

    @property
    def _facts(self) -> Facts:
        if self.facts is None:
            raise ValueError("the problem is not known yet: `minimize` calls for_problem(objective.facts) first")
        return self.facts

    @property
    def _penalty(self) -> Penalty:
        assert self._facts.penalty is not None
        return self._facts.penalty

    def _expected(self, state: OWLQNState) -> float:
        """What the quadratic model still expects."""
        return -0.5 * dot(self._penalty.steepest(state.theta, state.grad), state.direction)

    def _curvature(self, state: OWLQNState) -> Array:
        """What stands for the curvature along each coordinate: the mean square of its column, 1 where that is unknown,
        times what the latest step tells of the loss; and L2's.
        """
        squares, facts, l2 = np.ones(len(self._penalty.l2)), self._facts, self._penalty.l2
        if facts.parameters.predictors is not None and facts.squares is not None:
            known = np.where(np.isfinite(facts.squares) & (facts.squares > 0), facts.squares, 1.0)
            squares[facts.parameters.predictors[:, : len(known)]] = known
        of_loss = 1.0
        if state.steps:
            s, y = state.steps[-1], state.changes[-1]
            of_loss = max(dot(s, y - l2 * s), _LEAST_SHARE * dot(s, y)) / dot(s, squares * s)
        return of_loss * squares + l2

    def _direction(self, state: OWLQNState) -> Array:
        """Where the next step goes: -B^-1 g of the coordinates that may move, those at a corner only inwards."""
        penalty, direction = self._penalty, np.zeros_like(state.theta)
        slope = penalty.steepest(state.theta, state.grad)
        free = np.flatnonzero(~penalty.held(state.theta, state.grad))
        if not slope[free].any():
            return direction
        curvature, (_, least_cosine) = self._curvature(state)[free], precision_of(self.precision)
        steps: Vectors = ()
        changes: Vectors = ()
        for s, y in zip(state.steps, state.changes, strict=True):
            steps, changes = remember(steps, changes, s[free], y[free], self.memory, least_cosine)
        if steps:
            way = -times_inverse(slope[free], steps, changes, lambda vectors: vectors / curvature)
        else:
            way = -slope[free] / curvature
            way /= max(1.0, float(np.sqrt((way * way * curvature).sum())))
        if not np.isfinite(way).all():
            way = -slope[free] / max(1.0, float(np.abs(slope).max()))
        way[penalty.at_corner(state.theta)[free] & (way * slope[free] >= 0)] = 0.0
        direction[free] = way
        return direction

    def _search(self, state: OWLQNState, direction: Array, noise: float) -> Steps[tuple[Array, Point] | None]:
        """A theta where F is lower by enough; None where none is found."""
        penalty = self._penalty
        slope = penalty.steepest(state.theta, state.grad)
        orthant = np.where(state.theta != 0, np.sign(state.theta), -np.sign(slope))
        orthant = np.where(penalty.l1 > 0, orthant, 0.0)
        step, slack = 1.0, noise * abs(state.value)
        for _ in range(_TRIALS):
            theta = state.theta + step * direction
            theta = np.clip(np.where(theta * orthant < 0, 0.0, theta), penalty.lower, penalty.upper)
            way = theta - state.theta
            promised = dot(slope, way)
            if not way.any():
                return None
            if promised >= 0:  # what is cut off at corners may leave no descent
                step *= _SHORTER[1]
                continue
            point = yield ValueGrad(theta)
            if not is_finite(point):
                step *= _SHORTER[0]
                continue
            if point.value <= state.value + _DECREASE * promised:
                return theta, point
            along = dot(point.grad + penalty.l1 * orthant, way)
            trusted = CONVEX_NOISE * slack if self._facts.convex and along < 0 else slack
            if point.value <= state.value + trusted and along <= (2 * _DELTA - 1) * promised:
                return theta, point
            above = point.value - state.value - promised
            step *= float(np.clip(-promised / (2.0 * above), *_SHORTER))
        return None
