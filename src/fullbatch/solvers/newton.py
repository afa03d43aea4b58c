"""Newton's method for few parameters: loss, gradient and Hessian from one read of the data."""

import logging
from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from ..arguments import check_number
from ..protocols import Array, Curvature, Curves, Facts, Steps, ValueGrad
from ._curved import FLOOR, Curved
from ._descent import (
    DescentState,
    along_gradient,
    check_precision,
    first_state,
    moved,
    precision_of,
    relative,
    search,
    stuck,
)
from ._line_search import Trial
from ._vectors import dot

logger = logging.getLogger(__name__)

# Levenberg's damping, as a share of each parameter's own curvature: at first, by how much it falls with a good step and
# rises with a bad one, its least, as a share of the Hessian's rounding, and where it has become a gradient step.
_DAMPING, _FALL, _RISE, _LEAST, _MOST = 1e-4, 0.01, 100.0, 0.1, 1e6

# A step is good if it is taken whole and lowers F by this share of what the Hessian promised.
_GOOD = 0.25

# Where a loss is straight for the usual row, it is first made curved so widely that this is no longer so, and then
# narrower in steps of this factor: no more often than so, with no more steps for each width, the first so damped. Those
# of one width end when F could fall by no more than this share.
_NARROWER, _MOST_CROSSINGS, _TRIALS, _CROSSING, _CLOSE = 4.0, 3, 30, 1e-2, 1e-6

# What may be left counts rounding of the gradient so many times.
SURE = 10.0


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
    left, rounding : float
        By how much F can still fall, by the Hessian; and beyond that, because of rounding. Infinite where it was not
        asked for.
    """

    damping: float = _DAMPING
    crossings: int = 0
    double: int = 0
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
        return replace(self, precision=self.precision or facts.parameters.dtype, facts=facts)

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
        if not state.double and self.precision == "float32" and state.left < SURE * state.rounding:
            state = yield from self._again(replace(state, double=1))
        if state.crossings == 0 and self._width(state) > _NARROWER:
            state = yield from self._crossed(state)
        while True:
            noise, _ = precision_of(self._precision(state))
            trial, curves = yield from self._search(state, noise)
            if trial is not None:
                return (yield from self._moved(state, trial, curves, noise))
            firmer = self._firmer(state, noise)
            if firmer is None:
                return stuck(state, noise)
            state = yield from self._again(firmer)

    def optimality(self, state: NewtonState) -> float:
        """By how much F can still fall, by the Hessian and the rounding of the gradient, as a share of what F is
        measured by: see `relative`.
        """
        if not state.grad.any():
            return 0.0
        return relative(state.left + SURE * state.rounding, state, self.facts)

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
        width, inner = self._width(state), state
        while width > 1.0:
            width = max(width / _NARROWER, 1.0)
            inner = yield from self._again(replace(inner, damping=_CROSSING), width)
            for _ in range(_TRIALS):
                if inner.left <= _CLOSE * (inner.value - self._facts.least):
                    break
                noise, _ = precision_of(self._precision(state))
                trial, curves = yield from self._search(inner, noise, width)
                if trial is None:
                    inner = replace(inner, damping=_RISE * inner.damping)
                    if inner.damping > _MOST:
                        break
                    curves = None
                else:
                    damping = inner.damping * (_FALL if trial.step == 1.0 else 1.0)
                    theta, (value, grad) = inner.theta + trial.step * inner.direction, trial.point
                    inner = replace(inner, theta=theta, value=value, grad=grad, damping=damping)
                inner = (yield from self._again(inner, width)) if curves is None else self._directed(inner, curves)
        crossings, damping = state.crossings + 1, _DAMPING
        inner = yield from self._again(replace(inner, crossings=crossings, damping=damping))
        if inner.value < state.value:
            return inner
        return (yield from self._again(replace(state, crossings=crossings, damping=damping)))

    def _search(
        self, state: NewtonState, noise: float, width: float = 1.0
    ) -> Steps[tuple[Trial | None, Curves | None]]:
        """A better point along the state's direction, and second derivatives there where they were asked for."""
        curves: Curves | None = None
        at = b""
        steps = search(state, [state.direction], noise)
        try:
            request = next(steps)
            while True:
                request = replace(request, double=bool(state.double))
                if curves is None or width > 1.0:
                    at = request.theta.tobytes()
                    answer = (curves := (yield self._gram(request.theta, state, width))).point
                else:
                    answer = yield request
                request = steps.send(answer)
        except StopIteration as done:
            found = done.value
        if found is None:
            return None, None
        trial, step = found
        return trial, curves if (state.theta + step).tobytes() == at else None

    def _moved(self, state: NewtonState, trial: Trial, curves: Curves | None, noise: float) -> Steps[NewtonState]:
        """The state at an accepted trial."""
        promised = -0.5 * dot(state.grad, state.direction)
        fallen = state.value - trial.value
        good = trial.step == 1.0 and fallen >= _GOOD * promised - 10.0 * noise * abs(state.value)
        damping = state.damping
        if good:
            damping = max(_FALL * damping, _LEAST * FLOOR[self._precision(state)])
        elif trial.step < 1.0:
            damping = min(damping * _RISE, 1.0)
        after = moved(state, trial.step * state.direction, trial.point, noise, damping=damping)
        if after.failure == "precision" and not after.double and self.precision == "float32":
            after, curves = replace(after, failure="", stalled=0, double=1), None
        after = (yield from self._again(after)) if curves is None else self._directed(after, curves)
        if good or after.crossings >= _MOST_CROSSINGS or self._width(after) <= 1.0:
            return after
        return (yield from self._crossed(after))

    def _firmer(self, state: NewtonState, noise: float) -> NewtonState | None:
        """Another way to make the direction, where the last one led nowhere; None where there is none to hope for."""
        if not state.double and self.precision == "float32":
            return replace(state, double=1)
        promised = -0.5 * dot(state.grad, state.direction)
        if state.damping >= _MOST or 0 <= promised <= noise * abs(state.value):
            return None
        return replace(state, damping=max(state.damping * _RISE, _DAMPING))

    def _gram(self, theta: Array, state: NewtonState, width: float = 1.0) -> Curvature:
        return Curvature(theta, "gram", double=bool(state.double), widened=width)

    def _again(self, state: NewtonState, width: float = 1.0) -> Steps[NewtonState]:
        """The state with another direction: one pass at the same theta."""
        curves = yield self._gram(state.theta, state, width)
        return self._directed(replace(state, value=curves.point.value, grad=curves.point.grad), curves)

    def _directed(self, state: NewtonState, curves: Curves) -> NewtonState:
        """With its direction, and how much F can still fall."""
        curved = Curved.of(curves, state.theta, self._facts, self._precision(state))
        if curved is None:
            return replace(state, direction=along_gradient(state.grad), left=np.inf, rounding=0.0)
        direction = curved.direction(state.damping)
        if not np.isfinite(direction).all():
            direction = along_gradient(state.grad)
        return replace(state, direction=direction, left=curved.decrease, rounding=curved.rounding)
