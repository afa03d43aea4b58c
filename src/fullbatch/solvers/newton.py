"""Newton's method for few parameters: loss, gradient and Hessian from one read of the data."""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from ..machine.vectors import dot
from ..objective.hessian import FLOOR, SURE, Curved
from ..objective.measure import BEYOND, looked_beyond, measure, relative
from ..protocols.answers import Curves, Point
from ..protocols.requests import Curvature, ValueGrad
from ..protocols.rows import Array
from ..protocols.seams import Facts, Steps
from ._whole_hessian import CLOSE, FALL, FAST, KEPT, MOST, NARROWER, NEAR, RISE, STEEP, STEPS, WIDEST, WholeHessian, at
from .descent import (
    DescentState,
    along_gradient,
    first_state,
    moved,
    precision_of,
    search,
    stuck,
)

# Levenberg's damping at first, as a share of each parameter's own curvature.
_DAMPING = 1e-4

# How often straight stretches are crossed at the most, and the damping at first.
_MOST_CROSSINGS, _CROSSING = 3, 1e-2

# Where second derivatives jump, what is left must have fallen by so much, or to this share of what is near.
_SETTLED = 1e-5

# Steps are of no use once what is left is no more than this share of its rounding.
_NOTHING = 1e-3

# Times that F is followed beyond an iterate before the next one.
_STRETCHES = 5


@dataclass(frozen=True, eq=False)
class NewtonState(DescentState):
    """As `DescentState`, and how the next direction is made.

    Parameters
    ----------
    damping : float
        Levenberg's, of the latest direction.
    crossings : int
        How often the straight stretches of a loss were crossed.
    double : int
        Whether products are float64, whatever the rows: 0 or 1.
    sure : int
        Whether that was looked into: it fell fast from one iterate to the next, as it does near a minimum, or F was
        seen to rise beyond it. 0 or 1.
    left, rounding : float
        By how much F can still fall, by the Hessian; and beyond that, because of rounding. Infinite where it was not
        asked for.
    """

    damping: float = _DAMPING
    crossings: int = 0
    double: int = 0
    sure: int = 0
    left: float = np.inf
    rounding: float = 0.0


@dataclass(frozen=True)
class Newton(WholeHessian):
    """Newton's method with Levenberg's damping and a line search.

    The usual iteration is one pass, which brings F, gradient and Hessian of the next iterate. The Hessian is damped by
    a share of its diagonal that falls with every good step, so that each direction counts, however small its curvature.
    No unit of parameters matters.

    A loss with straight stretches (Huber's, the quantile loss) has a Hessian of the few rows that are not on one. Where
    these are so few that it misleads, an iteration crosses the straight stretches: it minimises the same loss curved
    over a wider stretch, and follows the minimum as that becomes narrower, to its own width.

    Where rounding of float32 products is all that a direction can be due to, products become float64.

    Parameters
    ----------
    max_bytes : int
        Memory on the driver for the Hessian and its factor; a problem that needs more is refused. Each block takes as
        much while it answers.
    precision : {"float64", "float32"}, optional
        Precision in which the blocks compute; default: filled in by `minimize`.
    """

    _latest: list[Curved | None] = field(default_factory=list, repr=False, compare=False)

    state: ClassVar[type] = NewtonState
    instead: ClassVar[str] = "use 'sampled-lbfgs' or 'newton-cg'"

    def for_problem(self, facts: Facts) -> "Newton":
        """With the precision of the blocks; says how much memory the Hessian takes."""
        return replace(super().for_problem(facts), _latest=[])

    @property
    def curved(self) -> Curved | None:
        """The Hessian of the latest iterate, scaled; None where it is not at hand."""
        return self._latest[-1] if self._latest else None

    @property
    def blurred(self) -> float | None:
        """By how much F at the latest iterate may be higher than told: `Curved.blurred`; None where it is not known."""
        return None if self.curved is None else self.curved.blurred

    def init(self, theta: Array) -> Steps[NewtonState]:
        """Evaluate the starting point, with its Hessian: one pass."""
        curves = yield Curvature(theta, "gram")
        return self._directed(first_state(NewtonState, theta, curves.point), curves)

    def step(self, state: NewtonState) -> Steps[NewtonState]:
        """One iteration: the full step is asked for with its Hessian, and is usually accepted."""
        if self._rounds(state) and state.left < SURE * state.rounding:
            state = yield from self._again(replace(state, double=1))
        if not self._rounds(state) and state.left <= _NOTHING * state.rounding:
            if self.curved is None:  # the run has just been resumed
                state = yield from self._again(state)
            state = yield from self._looked_into(state, state)
            if state.sure:
                noise, _ = precision_of(self._precision(state))
                return stuck(state, noise)
        after = yield from self._stepped(state)
        return after if after.failure else (yield from self._looked_into(state, after))

    def _stepped(self, state: NewtonState) -> Steps[NewtonState]:
        """The next iterate."""
        if state.crossings == 0 and self._width(state) > NARROWER:
            state = yield from self._crossed(state)
        after = yield from self._advanced(state)
        if after is None and self._rounds(state):
            state = yield from self._again(replace(state, double=1))
            after = yield from self._advanced(state)
        if after is None:
            noise, _ = precision_of(self._precision(state))
            return stuck(state, noise)
        if after.failure == "precision" and self._rounds(after):
            after = yield from self._again(replace(after, failure="", stalled=0, double=1))
        if after.damping <= state.damping or after.crossings >= _MOST_CROSSINGS or self._width(after) <= 1.0:
            return after
        return (yield from self._crossed(after))

    def optimality(self, state: NewtonState) -> float:
        """By how much F can still fall, by the Hessian and the rounding of the gradient, as a share of what F is
        measured by: see `relative`.
        """
        if not state.grad.any():
            return 0.0
        left = state.left + SURE * state.rounding if state.sure else np.inf
        return relative(left, state, self.facts)

    def _looked_into(self, before: NewtonState, state: NewtonState) -> Steps[NewtonState]:
        """Whether what is left is so: the state with `sure`, or further along where F falls beyond."""
        curved, scale = self.curved, measure(state, self.facts)
        if curved is None or not state.left <= NEAR * scale:
            return replace(state, sure=0)
        if self._facts.parameters.kinked:
            # A step that begins nearby and does not cross a kink ends where it should, but for rounding.
            if before is not state and not state.left <= max(_SETTLED * min(before.left, NEAR * scale), state.rounding):
                return replace(state, sure=0)
        elif before is not state and state.left <= FAST * before.left < np.inf and curved.steepness >= STEEP:
            return replace(state, sure=1)
        for _ in range(_STRETCHES):
            further = yield from self._beyond(state, curved, BEYOND * scale)
            if further is None:
                return replace(state, sure=1)
            state, curved = further, self.curved
            if curved is None or not state.left <= NEAR * scale:
                break
        return replace(state, sure=0)

    def _beyond(self, state: NewtonState, curved: Curved, small: float) -> Steps[NewtonState | None]:
        """The state where F is lower than it can be if the Hessian is right; None where F rises as it should."""
        for step, rise in curved.probes(small, self._facts.parameters.kinked):
            point = yield ValueGrad(state.theta + step, double=bool(state.double))
            if not looked_beyond(state.value, rise, point, self._facts):
                theta = state.theta + step if point.value < state.value else state.theta
                return (yield from self._again(replace(state, theta=theta)))
        return None

    def _crossed(self, state: NewtonState) -> Steps[NewtonState]:
        """The state at a better theta beyond straight stretches, if there is one."""
        width, inner = min(self._width(state), WIDEST), state
        while width > 1.0:
            width = max(width / NARROWER, 1.0)
            inner = yield from self._again(replace(inner, damping=_CROSSING), width)
            for _ in range(STEPS):
                after = None
                if inner.left > CLOSE * (inner.value - self._facts.least):
                    after = yield from self._searched(inner, width)
                if after is None:
                    break
                inner = after
        theta, crossings = inner.theta, state.crossings + 1
        state = replace(state, crossings=crossings, damping=_DAMPING)
        curves = yield self._gram(theta, state)
        if curves.point.value < state.value:
            return self._directed(at(state, theta, curves.point), curves)
        return (yield from self._again(state))

    def _searched(self, state: NewtonState, width: float) -> Steps[NewtonState | None]:
        """The state after a line search: steps of a loss that is curved on a part only are often much too long."""
        at: dict[bytes, Curves] = {}
        noise, _ = precision_of(self._precision(state))
        steps = search(state, [state.direction], noise, self._facts)
        try:
            request = next(steps)
            while True:
                at[request.theta.tobytes()] = curves = yield self._gram(request.theta, state, width)
                request = steps.send(curves.point)
        except StopIteration as done:
            found = done.value
        if found is None:
            return None
        trial, step = found
        curves = at[(state.theta + step).tobytes()]
        damping = state.damping * (FALL if trial.step == 1.0 else 1.0)
        return self._directed(moved(state, step, trial.point, noise, damping=damping), curves)

    def _advanced(self, state: NewtonState) -> Steps[NewtonState | None]:
        """The state after a step; None where none lowers F."""
        curves = yield self._gram(state.theta + state.direction, state)
        promised = -0.5 * dot(state.grad, state.direction)
        if self._takes(state, promised, curves.point):
            kept = state.value - curves.point.value >= KEPT * promised
            least = FLOOR[self._precision(state)]
            after = self._moved(state, curves.point, max(FALL * state.damping, least) if kept else state.damping)
            return self._directed(after, curves)
        if self._rounds(state):
            return None
        curves = yield self._gram(state.theta, state)
        curved = Curved.of(curves, state.theta, self._facts, self._precision(state))
        damping = state.damping
        while curved is not None and damping < MOST:
            damping *= RISE
            direction = curved.direction(damping)
            point = yield ValueGrad(state.theta + direction, double=bool(state.double))
            if self._takes(state, -0.5 * dot(state.grad, direction), point):
                return (yield from self._again(self._moved(replace(state, direction=direction), point, damping)))
        return None

    def _moved(self, state: NewtonState, point: Point, damping: float) -> NewtonState:
        noise, _ = precision_of(self._precision(state))
        return moved(state, state.direction, point, noise, damping=damping)

    def _again(self, state: NewtonState, width: float = 1.0) -> Steps[NewtonState]:
        """The state with another direction: one pass at the same theta."""
        curves = yield self._gram(state.theta, state, width)
        return self._directed(at(state, state.theta, curves.point), curves)

    def _directed(self, state: NewtonState, curves: Curves) -> NewtonState:
        """With its direction, and how much F can still fall."""
        curved = Curved.of(curves, state.theta, self._facts, self._precision(state))
        self._latest[:] = [curved]
        if curved is None:
            return replace(state, direction=along_gradient(state.grad), left=np.inf, rounding=0.0)
        direction = curved.direction(state.damping)
        if not np.isfinite(direction).all():
            direction = along_gradient(state.grad)
        return replace(state, direction=direction, left=curved.decrease, rounding=curved.rounding)
