"""Newton's method for few parameters: loss, gradient and Hessian from one read of the data."""

import logging
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from ..objective.hessian import FLOOR, Curved
from ..objective.measure import BEYOND, looked_beyond, measure, relative
from ..protocols.answers import Curves, Point
from ..protocols.requests import Curvature, ValueGrad
from ..protocols.rows import Array
from ..protocols.seams import Facts, Steps
from ..wording.arguments import check_number
from ._vectors import dot
from .descent import (
    DescentState,
    along_gradient,
    check_precision,
    first_state,
    is_finite,
    moved,
    precision_of,
    search,
    stuck,
)

logger = logging.getLogger(__name__)

# Levenberg's damping, as a share of each parameter's own curvature: at first, how it falls with a step that does what
# the Hessian promised, and rises with one that does not; its least, as a share of the Hessian's rounding, and where it
# is given up.
_DAMPING, _FALL, _RISE, _LEAST, _MOST = 1e-4, 0.03, 10.0, 1.0, 1e14

# A step is taken if it lowers F by this share of what was promised, and did what was promised with this one.
_TAKEN, _KEPT = 0.1, 0.7

# Where a loss is straight for the usual row, it is first made curved so widely that this is no longer so, and then
# narrower in steps of this factor: no more often than so, and with no more steps for each width. Those of one width end
# when F could fall by no more than this share.
NARROWER, _MOST_CROSSINGS, _STEPS, _CLOSE, _CROSSING = 4.0, 3, 30, 1e-6, 1e-2

# Beyond so many widths the rest is rounding.
WIDEST = 1e12

# What is left is looked into where it is no more than this share of what F is measured by, unless it has just fallen by
# this factor or more.
_NEAR, _FAST, _SETTLED = 1e-5, 0.01, 1e-5

# What may be left counts rounding of the gradient so many times. Steps are of no use once what is left is no more than
# this share of it.
SURE, _NOTHING = 10.0, 1e-3

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
class Newton:
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

    max_bytes: int = 2**27
    precision: str | None = None
    facts: Facts | None = field(default=None, repr=False, compare=False)
    _latest: list[Curved | None] = field(default_factory=list, repr=False, compare=False)

    requests: ClassVar[frozenset[type]] = frozenset({ValueGrad, Curvature})
    state: ClassVar[type] = NewtonState
    by_hessian: ClassVar[bool] = True  # what it says is left comes from the Hessian at the iterate

    def __post_init__(self) -> None:
        check_number("max_bytes", self.max_bytes, finite=True)
        check_precision(self.precision)

    def for_problem(self, facts: Facts) -> "Newton":
        """With the precision of the blocks; says how much memory the Hessian takes.

        Raises
        ------
        ValueError
            It takes more than `max_bytes`.
        """
        size = facts.parameters.size
        needed = self.bytes_for(size)
        if needed > self.max_bytes:
            raise ValueError(
                f"the Hessian of {size} parameters takes {needed / 1e6:.3g} MB, more than max_bytes: "
                f"use 'sampled-lbfgs' or 'newton-cg', or Newton(max_bytes={needed})"
            )
        logger.info("Newton's method: the Hessian takes %.3g MB on the driver", needed / 1e6)
        return replace(self, precision=self.precision or facts.parameters.dtype, facts=facts, _latest=[])

    @property
    def curved(self) -> Curved | None:
        """The Hessian of the latest iterate, scaled; None where it is not at hand."""
        return self._latest[-1] if self._latest else None

    @staticmethod
    def bytes_for(size: int) -> int:
        """Memory for the Hessian of so many parameters: as it is sent, and as it is factorised."""
        return 3 * 8 * size * size

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
        if curved is None or not state.left <= _NEAR * scale:
            return replace(state, sure=0)
        if self._facts.parameters.kinked:
            # A step that begins nearby and does not cross a kink ends where it should, but for rounding.
            if before is not state and not state.left <= max(
                _SETTLED * min(before.left, _NEAR * scale), state.rounding
            ):
                return replace(state, sure=0)
        elif before is not state and state.left <= _FAST * before.left < np.inf:
            return replace(state, sure=1)
        for _ in range(_STRETCHES):
            further = yield from self._beyond(state, curved, BEYOND * scale)
            if further is None:
                return replace(state, sure=1)
            state, curved = further, self.curved
            if curved is None or not state.left <= _NEAR * scale:
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

    def _precision(self, state: NewtonState) -> str:
        """Of the products."""
        return "float64" if state.double else self.precision or "float64"

    @property
    def _facts(self) -> Facts:
        if self.facts is None:
            raise ValueError("the problem is not known yet: `minimize` calls for_problem(objective.facts) first")
        return self.facts

    def _width(self, state: NewtonState) -> float:
        """How many times as wide a loss would have to be curved for the usual row to be on the curved stretch."""
        begins = self._facts.parameters.straight_from
        return (state.value - self._facts.least) / begins if begins > 0 else 0.0

    def _crossed(self, state: NewtonState) -> Steps[NewtonState]:
        """The state at a better theta beyond straight stretches, if there is one."""
        width, inner = min(self._width(state), WIDEST), state
        while width > 1.0:
            width = max(width / NARROWER, 1.0)
            inner = yield from self._again(replace(inner, damping=_CROSSING), width)
            for _ in range(_STEPS):
                after = None
                if inner.left > _CLOSE * (inner.value - self._facts.least):
                    after = yield from self._searched(inner, width)
                if after is None:
                    break
                inner = after
        theta, crossings = inner.theta, state.crossings + 1
        state = replace(state, crossings=crossings, damping=_DAMPING)
        curves = yield self._gram(theta, state)
        if curves.point.value < state.value:
            return self._directed(_at(state, theta, curves), curves)
        return (yield from self._again(state))

    def _searched(self, state: NewtonState, width: float) -> Steps[NewtonState | None]:
        """The state after a line search: steps of a loss that is curved on a part only are often much too long."""
        at: dict[bytes, Curves] = {}
        noise, _ = precision_of(self._precision(state))
        steps = search(state, [state.direction], noise)
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
        damping = state.damping * (_FALL if trial.step == 1.0 else 1.0)
        return self._directed(moved(state, step, trial.point, noise, damping=damping), curves)

    def _advanced(self, state: NewtonState) -> Steps[NewtonState | None]:
        """The state after a step; None where none lowers F."""
        curves = yield self._gram(state.theta + state.direction, state)
        if self._takes(state, state.direction, curves.point):
            promised = -0.5 * dot(state.grad, state.direction)
            kept = state.value - curves.point.value >= _KEPT * promised
            least = _LEAST * FLOOR[self._precision(state)]
            after = self._moved(state, curves.point, max(_FALL * state.damping, least) if kept else state.damping)
            return self._directed(after, curves)
        if self._rounds(state):
            return None
        curves = yield self._gram(state.theta, state)
        curved = Curved.of(curves, state.theta, self._facts, self._precision(state))
        damping = state.damping
        while curved is not None and damping < _MOST:
            damping *= _RISE
            direction = curved.direction(damping)
            point = yield ValueGrad(state.theta + direction, double=bool(state.double))
            if self._takes(state, direction, point):
                return (yield from self._again(self._moved(replace(state, direction=direction), point, damping)))
        return None

    def _rounds(self, state: NewtonState) -> bool:
        """Whether there are more digits to be had."""
        return not state.double and self.precision == "float32"

    def _takes(self, state: NewtonState, direction: Array, point: Point) -> bool:
        """Whether a step lowers F enough; where rounding hides that, whether it does not raise it."""
        if not is_finite(point):
            return False
        noise, _ = precision_of(self._precision(state))
        rounding = noise * abs(state.value)
        promised = -0.5 * dot(state.grad, direction)
        return bool(point.value <= state.value - _TAKEN * promised + (rounding if promised <= 10.0 * rounding else 0.0))

    def _moved(self, state: NewtonState, point: Point, damping: float) -> NewtonState:
        noise, _ = precision_of(self._precision(state))
        return moved(state, state.direction, point, noise, damping=damping)

    def _gram(self, theta: Array, state: NewtonState, width: float = 1.0) -> Curvature:
        return Curvature(theta, "gram", double=bool(state.double), widened=width)

    def _again(self, state: NewtonState, width: float = 1.0) -> Steps[NewtonState]:
        """The state with another direction: one pass at the same theta."""
        curves = yield self._gram(state.theta, state, width)
        return self._directed(_at(state, state.theta, curves), curves)

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


def _at(state: NewtonState, theta: Array, curves: Curves) -> NewtonState:
    """The state of the same iteration, as `curves` tell of it."""
    assert curves.point is not None
    value, grad = curves.point
    return replace(state, theta=theta, value=value, grad=grad, values=np.append(state.values[:-1], value))
