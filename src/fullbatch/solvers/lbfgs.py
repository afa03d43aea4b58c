"""Limited-memory BFGS: Nocedal and Wright (2006), algorithm 7.5, with a line search and stops that expect noise."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from ..protocols import Facts, Point, Steps, ValueGrad
from ._line_search import LineSearch
from ._memory import Inverse, Vectors, remember, times_inverse
from ._vectors import dot, norm

Array = npt.NDArray[Any]

# (relative error of the value of F, least s'y / |s||y| of a pair) for data in that precision.
PRECISIONS = {"float64": (1e-12, 1e-12), "float32": (1e-8, 1e-8)}

# A run counts as converged when F stood nearly still for the latest tenth of its iterations, and for no fewer than
# these: on ill-conditioned problems one small step, or a small expected decrease, is often a pause and not the end.
WINDOW = 8

# Iterations without progress beyond noise, in value or gradient, after which no more is to be had.
PATIENCE = 10


@dataclass(frozen=True, eq=False)
class LBFGSState:
    """An accepted iterate and the memory: arrays and scalars only, so that it can be saved.

    Parameters
    ----------
    theta, grad, direction : (size,) arrays
        Iterate, gradient g of F there, and -B^-1 g, where the next step goes.
    value, first_value : float
        F here and at the start.
    values : (iteration + 1,) array
        F at every iterate so far.
    first_norm, best_norm : float
        Gradient norm at the start, and the least so far.
    iteration : int
        Accepted iterates after the starting point.
    stalled : int
        Iterations since the gradient norm improved.
    steps, changes : tuples of (size,) arrays
        The pairs, oldest first.
    failure : str
        Why no further step can be taken; empty while one can.
    """

    theta: Array
    value: float
    grad: Array
    direction: Array
    first_value: float
    values: Array
    first_norm: float
    best_norm: float
    iteration: int = 0
    stalled: int = 0
    steps: Vectors = ()
    changes: Vectors = ()
    failure: str = ""


AnyState = TypeVar("AnyState", bound=LBFGSState)


@dataclass(frozen=True)
class LBFGS:
    """The L-BFGS method.

    Parameters
    ----------
    memory : int
        Pairs kept; each takes two vectors of the size of theta.
    precision : {"float64", "float32"}, optional
        Precision in which the blocks compute: sets how far values are trusted and which pairs are kept. Default:
        `minimize` fills in that of the blocks.
    """

    memory: int = 30
    precision: str | None = None

    requests: ClassVar[frozenset[type]] = frozenset({ValueGrad})

    def __post_init__(self) -> None:
        check_options(self.memory, self.precision)

    def init(self, theta: Array) -> Steps[LBFGSState]:
        """Evaluate the starting point: one pass."""
        value, grad = yield ValueGrad(theta)
        length = norm(grad)
        return LBFGSState(theta, value, grad, along_gradient(grad), value, np.array([value]), length, length)

    def for_problem(self, facts: Facts) -> "LBFGS":
        """With the precision of the blocks."""
        return self if self.precision else replace(self, precision=facts.parameters.dtype)

    def step(self, state: LBFGSState) -> Steps[LBFGSState]:
        """One iteration: a line search along -B^-1 g, usually one pass, and one more pair."""
        fallbacks = [along_gradient(state.grad)] if state.steps else []  # the memory may be at fault
        state = yield from advance(state, fallbacks, self.memory, PRECISIONS[self.precision or "float64"])
        return state if state.failure else replace(state, direction=next_direction(state))

    def optimality(self, state: LBFGSState) -> float:
        """See `relative_decrease`; infinite until the memory holds a pair."""
        if not state.grad.any():
            return 0.0
        return relative_decrease(state, max(WINDOW, state.iteration // 10)) if state.steps else np.inf


def check_options(memory: int, precision: str | None) -> None:
    """Refuse options that no run could use."""
    if memory < 1:
        raise ValueError(f"memory must be at least 1, got {memory}")
    if precision not in (None, *PRECISIONS):
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")


def advance(
    state: AnyState, fallbacks: Sequence[Array], memory: int, precision: tuple[float, float]
) -> Steps[AnyState]:
    """The next iterate and the pair it brings; its direction is left to the caller.

    Parameters
    ----------
    state : LBFGSState
        Where to go from.
    fallbacks : sequence of (size,) arrays
        Directions to try where the state's own gives no better point; the memory is then dropped.
    memory : int
        Pairs kept.
    precision : (float, float)
        An entry of PRECISIONS.
    """
    noise, least_cosine = precision
    line = LineSearch(noise=noise)
    here = Point(state.value, state.grad)
    steps, changes, direction = state.steps, state.changes, state.direction
    trial = yield from line.search(state.theta, here, direction)
    for direction in fallbacks if trial is None else ():
        steps, changes = (), ()
        trial = yield from line.search(state.theta, here, direction)
        if trial is not None:
            break
    if trial is None:
        return replace(state, failure="precision" if _is_noise(state, noise) else "line_search")

    value, grad = trial.point
    moved = trial.step * direction
    steps, changes = remember(steps, changes, moved, grad - state.grad, memory, least_cosine)
    length = norm(grad)
    values = np.append(state.values, value)
    stalled = 0 if length < 0.9 * state.best_norm else state.stalled + 1
    at_rest = stalled >= PATIENCE and values[-PATIENCE - 1] - value <= noise * abs(value)
    return replace(
        state,
        theta=state.theta + moved,
        value=value,
        grad=grad,
        values=values,
        best_norm=min(length, state.best_norm),
        iteration=state.iteration + 1,
        stalled=stalled,
        steps=steps,
        changes=changes,
        failure="precision" if at_rest else "",
    )


def next_direction(state: LBFGSState, inverse: Inverse | None = None) -> Array:
    """-B^-1 g, from the pairs and the initial matrix where there are any."""
    if not state.steps and inverse is None:
        return along_gradient(state.grad)
    return -times_inverse(state.grad, state.steps, state.changes, inverse)


def relative_decrease(state: LBFGSState, window: int) -> float:
    """The larger of the decrease still expected, 1/2 g'B^-1 g, and that of the latest `window` iterations, relative
    to max(|F|, |F0 - F|): a measure that does not change with the units of data, weights or theta.
    """
    if not state.grad.any():
        return 0.0
    if state.iteration < window:
        return np.inf  # too little is known of the curvature, and so of the distance
    scale = max(abs(state.value), abs(state.first_value - state.value))
    decrease = max(_expected_decrease(state), float(state.values[-window - 1]) - state.value)
    return decrease / scale if scale > 0 else np.inf


def _is_noise(state: LBFGSState, noise: float) -> bool:
    """Whether the decrease still expected is lost in the rounding of F."""
    rounding = max(10 * noise * abs(state.value), 1e-15 * (state.first_value - state.value))
    return _expected_decrease(state) <= rounding


def _expected_decrease(state: LBFGSState) -> float:
    return -0.5 * dot(state.grad, state.direction)


def along_gradient(grad: Array) -> Array:
    """The direction before anything is known of the curvature: against the gradient, no longer than 1."""
    most = float(np.abs(grad).max())  # first, because the square of a huge norm overflows
    return -grad / max(1.0, most * norm(grad / most)) if most > 0 else grad
