"""Newton's method where F has corners and bounds: each step ends at the minimum of the quadratic model with them. Where
columns are many, it is a model of those that are in use or may be soon.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar

import numpy as np

from ..machine.vectors import norm
from ..objective.hessian import SURE
from ..objective.measure import BEYOND, looked_beyond, measure, relative
from ..objective.proximal import Cornered
from ..protocols.answers import Curves, Point
from ..protocols.requests import Curvature, ValueGrad
from ..protocols.rows import Array
from ..protocols.seams import Facts, Penalty, Steps, with_penalty
from ..wording.arguments import check_flag
from ._whole_hessian import CLOSE, FALL, FAST, KEPT, MOST, NARROWER, NEAR, RISE, STEEP, STEPS, WIDEST, WholeHessian, at
from .descent import DescentState, first_state, moved_to, precision_of
from .working_set import OnColumns, first_set, most_columns, next_set

# Levenberg's damping after the first step that did not do what was promised, and where it is none.
_DAMPED, _NONE = 1e-4, 1e-12

# Shares of a step that are tried before the model is damped.
_SHARES = (1.0, 0.5, 0.25, 0.1)

# Damping where straight stretches are crossed, steps that are tried along one way, and by how much one is shortened.
_CROSSING, _TRIALS, _SHORTER = 1e-3, 20, (0.1, 0.5)

# How often straight stretches are crossed at the most.
_MOST_CROSSINGS = 4

# Of more columns than these Hessians are those of a working set, where most of them can stand at a corner.
_MANY = 100


@dataclass(frozen=True, eq=False)
class ProximalState(DescentState):
    """As `DescentState`, and where the next step ends. The norms are those of F's shortest subgradient.

    Parameters
    ----------
    aim : (size,) array
        The minimum of the quadratic model with corners and bounds.
    damping : float
        Levenberg's, of the model.
    crossings : int
        How often the straight stretches of a loss were crossed.
    double : int
        Whether products are float64, whatever the rows: 0 or 1.
    sure : int
        Whether `left` was looked into: it fell fast from one iterate to the next, as it does near a minimum, or F was
        seen to rise beyond it. 0 or 1.
    promised : float
        By how much F falls at `aim`, by the model.
    left, rounding : float
        By how much F can still fall, by the model without damping; and beyond that, because of rounding.
    columns : (k,) int64 array
        Whose Hessian the next pass is asked for; empty for all of them.
    """

    aim: Array = field(default_factory=lambda: np.zeros(0))
    damping: float = 0.0
    crossings: int = 0
    double: int = 0
    sure: int = 0
    promised: float = 0.0
    left: float = np.inf
    rounding: float = 0.0
    columns: Array = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(frozen=True)
class ProximalNewton(WholeHessian):
    """Newton's method for L1 penalties, elastic nets, norms of groups, and bounds.

    The usual iteration is one pass, which brings F, gradient and Hessian of the next iterate; the quadratic model with
    the penalty is then minimised on the driver (`objective.proximal.Cornered`), and its minimum is the next iterate.
    Where F does not fall there as promised, the model is damped. Under the squared loss the first step ends at the
    minimum. Lee, Sun and Saunders, "Proximal Newton-type methods for minimizing composite functions" (2014).

    Parameters
    ----------
    max_bytes : int
        Memory on the driver for the Hessian and its factor; a problem that needs more is refused. Each block takes as
        much while it answers.
    working_set : bool, optional
        Whether Hessians are of a working set of the columns: those whose coefficients do not stand at zero or at a
        bound, and those that the gradient in all coordinates says may leave it. Default: for linear models with more
        than 100 columns, most of which can stand there, or whose Hessian takes more than `max_bytes`.
    precision : {"float64", "float32"}, optional
        Precision in which the blocks compute; default: filled in by `minimize`.
    """

    max_bytes: int = 2**30
    working_set: bool | None = None
    _latest: list[tuple[Cornered | OnColumns, Array]] = field(default_factory=list, repr=False, compare=False)

    penalties: ClassVar[frozenset[str]] = frozenset({"l1", "bounds", "groups"})
    state: ClassVar[type] = ProximalState
    instead: ClassVar[str] = "leave columns out"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.working_set is not None:
            check_flag("working_set", self.working_set)

    def for_problem(self, facts: Facts) -> "ProximalNewton":
        """With the precision of the blocks; says how much memory the Hessian takes.

        Raises
        ------
        ValueError
            The loss is not convex: a quadratic model with corners then has no minimum; or see `WholeHessian`.
        """
        facts = with_penalty(facts)
        if not facts.parameters.convex:
            groups = facts.penalty is not None and "groups" in facts.penalty.parts
            raise ValueError(
                "proximal-newton takes losses that are convex, which this family with this link is not: use "
                f"{'l1, without groups, or another link' if groups else repr('owl-qn')}"
            )
        working_set = self.takes_some(facts) if self.working_set is None else self.working_set
        if working_set and facts.parameters.predictors is None:
            raise TypeError("a working set is of a linear model's columns: use 'owl-qn'")
        if working_set:
            precision = self.precision or facts.parameters.dtype
            return replace(self, precision=precision, facts=facts, working_set=True, _latest=[])
        return replace(super().for_problem(facts), working_set=False, _latest=[])

    @property
    def blurred(self) -> float | None:
        """See `Newton.blurred`."""
        return self._latest[-1][0].blurred if self._latest else None

    def takes_some(self, facts: Facts) -> bool:
        """Whether a working set pays for a problem, or is all that has room."""
        if facts.parameters.predictors is None:
            return False
        penalty = with_penalty(facts).penalty
        assert penalty is not None
        most = 2 * np.count_nonzero(penalty.can_stand) > penalty.can_stand.size
        return bool(most and (facts.features > _MANY or self.bytes_for(facts.parameters.size) > self.max_bytes))

    def outgrown(self, state: ProximalState) -> bool:
        """Whether more columns are in use than a working set has room for."""
        return bool(self.working_set) and len(state.columns) > most_columns(self._facts, self.max_bytes)

    def init(self, theta: Array) -> Steps[ProximalState]:
        """Evaluate the starting point, or what is nearest to it within the bounds, with its Hessian: one pass."""
        theta = self._penalty.nearest(theta)
        columns = first_set(self._facts, theta) if self.working_set else np.zeros(0, np.int64)
        if self.working_set and len(columns) > most_columns(self._facts, self.max_bytes):
            point = yield ValueGrad(theta)
            return replace(first_state(ProximalState, theta, point), aim=theta, columns=columns, failure="line_search")
        curves = yield Curvature(theta, "gram", columns=columns if self.working_set else None)
        length = norm(self._penalty.steepest(theta, curves.point.grad))
        state = first_state(ProximalState, theta, curves.point)
        return self._aimed(replace(state, first_norm=length, best_norm=length, columns=columns), curves)

    def step(self, state: ProximalState) -> Steps[ProximalState]:
        """One iteration: F at the minimum of the model is asked for with its Hessian, and is usually accepted."""
        if self.outgrown(state):
            return replace(state, failure="line_search")
        if self._rounds(state) and state.left < SURE * state.rounding:
            state = yield from self._again(replace(state, double=1))
        if state.iteration == 0 and self._width(state) > NARROWER:
            state = yield from self._crossed(state)
        after = yield from self._advanced(state)
        if after is None and self._rounds(state):
            state = yield from self._again(replace(state, double=1))
            after = yield from self._advanced(state)
        while after is None and self._width(state) > 1.0 and state.crossings < _MOST_CROSSINGS:
            state = yield from self._crossed(state)
            after = yield from self._advanced(state)
        if after is None:
            noise, _ = precision_of(self._precision(state))
            rounding = max(10.0 * noise * abs(state.value), state.rounding)
            return replace(state, failure="precision" if state.left <= rounding else "line_search")
        if after.failure == "precision" and self._rounds(after):
            after = yield from self._again(replace(after, failure="", stalled=0, double=1))
        return (yield from self._looked_into(state, after))

    def optimality(self, state: ProximalState) -> float:
        """By how much F can still fall, by the model and the rounding of the gradient, as a share of what F is measured
        by: see `objective.measure.relative`.
        """
        if (self._penalty.nearest(state.theta) != state.theta).any():  # resumed, from a run with other bounds
            return np.inf
        if not self._penalty.steepest(state.theta, state.grad).any():
            return 0.0
        left = state.left + SURE * state.rounding if state.sure else np.inf
        return relative(left, state, self.facts)

    @property
    def _penalty(self) -> Penalty:
        assert self._facts.penalty is not None
        return self._facts.penalty

    def _again(self, state: ProximalState, width: float = 1.0) -> Steps[ProximalState]:
        """The same iterate, asked for again: one pass."""
        curves = yield self._gram(state.theta, state, width)
        return self._aimed(at(state, state.theta, curves.point), curves)

    def _crossed(self, state: ProximalState) -> Steps[ProximalState]:
        """The state at a better theta beyond the straight stretches of a loss, if there is one.

        It is at the minimum of a loss curved over a wider stretch, which becomes narrower.
        """
        state = replace(state, crossings=state.crossings + 1, damping=0.0)
        width, inner = min(max(self._width(state), NARROWER), WIDEST), state
        while width > 1.0:
            width = max(width / NARROWER, 1.0)
            inner = yield from self._again(replace(inner, damping=_CROSSING), width)
            for _ in range(STEPS):
                if inner.left <= CLOSE * (inner.value - self._facts.least):
                    break
                after = yield from self._searched(inner, width)
                if after is None:
                    break
                inner = after
        curves = yield self._gram(inner.theta, state)
        if curves.point.value < state.value:
            return self._aimed(at(state, inner.theta, curves.point), curves)
        return state

    def _searched(self, state: ProximalState, width: float) -> Steps[ProximalState | None]:
        """The state after a search on the way to the minimum of the damped model: where a loss is curved on a part only
        that is often much too far.
        """
        share = 1.0
        for _ in range(_TRIALS):
            theta = state.aim if share == 1.0 else state.theta + share * (state.aim - state.theta)
            curves = yield self._gram(theta, state, width)
            if self._takes(state, share * state.promised, curves.point):
                damping = max(FALL * state.damping, _NONE) if share == 1.0 else state.damping
                return self._aimed(self._moved(state, theta, curves.point, damping), curves)
            above = curves.point.value - state.value + share * state.promised
            shorter = 0.5 * share * state.promised / above if np.isfinite(above) and above > 0 else 0.0
            share *= float(np.clip(shorter, *_SHORTER))
        return None

    def _advanced(self, state: ProximalState, width: float = 1.0) -> Steps[ProximalState | None]:
        """The state after a step; None where none lowers F."""
        way, promised = state.aim - state.theta, state.promised
        for share in _SHARES:  # the model is good for a part of the way, as a rule
            theta = state.aim if share == 1.0 else state.theta + share * way
            curves = yield self._gram(theta, state, width)
            if self._takes(state, share * promised, curves.point):
                kept = share == 1.0 and state.value - curves.point.value >= KEPT * promised
                damping = (FALL * state.damping if state.damping > _NONE else 0.0) if kept else state.damping
                return self._aimed(self._moved(state, theta, curves.point, damping), curves)
        if self._rounds(state):
            return None
        curves = yield self._gram(state.theta, state, width)
        model = self._model(curves, state)
        damping = max(state.damping, _DAMPED / RISE)
        while model is not None and damping < MOST:
            damping *= RISE
            aim, _ = model.minimum(damping)
            promised = -model.change(aim)
            curves = yield self._gram(aim, state, width)
            if promised > 0 and self._takes(state, promised, curves.point):
                return self._aimed(self._moved(state, aim, curves.point, damping), curves)
        return None

    def _moved(self, state: ProximalState, theta: Array, point: Point, damping: float) -> ProximalState:
        """The state there, with the model still to come."""
        length = norm(self._penalty.steepest(theta, point.grad))
        noise, _ = precision_of(self._precision(state))
        return moved_to(state, theta, point, length, noise, damping=damping)

    def _aimed(self, state: ProximalState, curves: Curves) -> ProximalState:
        """With the minimum of the model there, and how much F can still fall."""
        model = self._model(curves, state)
        if model is None:
            return replace(state, aim=state.theta, left=np.inf, rounding=0.0, sure=0)
        end, reached = model.minimum()
        self._latest[:] = [(model, end)]
        left, rounding = model.left(end) if reached else (np.inf, 0.0)
        aim = end if state.damping == 0 else model.minimum(state.damping)[0]
        return replace(
            state,
            aim=aim,
            direction=aim - state.theta,
            promised=max(-model.change(aim), 0.0),
            left=left,
            rounding=rounding,
            sure=0,
            columns=self._next_set(state, aim),
        )

    def _gram(self, theta: Array, state: ProximalState, width: float = 1.0) -> Curvature:
        asked = super()._gram(theta, state, width)
        return replace(asked, columns=state.columns) if self.working_set else asked

    def _model(self, curves: Curves, state: ProximalState) -> Cornered | OnColumns | None:
        """The model from the answer to a request of the state's columns."""
        if not self.working_set:
            return Cornered.of(curves, state.theta, self._facts, self._precision(state))
        small = NEAR * measure(state, self.facts)
        return OnColumns.of(curves, state.theta, self._facts, self._precision(state), state.columns, small)

    def _next_set(self, state: ProximalState, aim: Array) -> Array:
        if not self.working_set:
            return state.columns
        most = most_columns(self._facts, self.max_bytes)
        return next_set(self._facts, state.theta, aim, state.grad, most)

    def _looked_into(self, before: ProximalState, state: ProximalState) -> Steps[ProximalState]:
        """Whether what is left is so: the state with `sure`, or at a better place beyond."""
        scale = measure(state, self.facts)
        if not state.left <= NEAR * scale:
            return state
        model, end = self._latest[-1]  # of this iterate: what is left is finite
        fast = not self._facts.parameters.kinked and state.left <= FAST * before.left < np.inf
        if fast and model.steepness(end) >= STEEP:
            return replace(state, sure=1)
        place = model.probe(end, BEYOND * scale)
        if place is not None:
            theta, rise = place
            point = yield ValueGrad(theta, double=bool(state.double))
            if not looked_beyond(state.value, rise, point, self._facts):
                return state
        return replace(state, sure=1)
