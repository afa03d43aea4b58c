"""Limited-memory BFGS: Nocedal and Wright (2006), algorithm 7.5, with a line search and stops that expect noise."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..protocols import Point, Steps, ValueGrad
from ._line_search import LineSearch
from ._memory import Vectors, remember, times_inverse
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
        if self.memory < 1:
            raise ValueError(f"memory must be at least 1, got {self.memory}")
        if self.precision not in (None, *PRECISIONS):
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.precision!r}")

    def init(self, theta: Array) -> Steps[LBFGSState]:
        """Evaluate the starting point: one pass."""
        value, grad = yield ValueGrad(theta)
        length = norm(grad)
        return LBFGSState(theta, value, grad, _along_gradient(grad), value, np.array([value]), length, length)

    def step(self, state: LBFGSState) -> Steps[LBFGSState]:
        """One iteration: a line search along -B^-1 g, usually one pass, and one more pair."""
        noise, least_cosine = self._precision
        line = LineSearch(noise=noise)
        here = Point(state.value, state.grad)
        steps, changes, direction = state.steps, state.changes, state.direction
        trial = yield from line.search(state.theta, here, direction)
        if trial is None and steps:
            # The memory may be at fault: once more along the gradient alone.
            steps, changes, direction = (), (), _along_gradient(state.grad)
            trial = yield from line.search(state.theta, here, direction)
        if trial is None:
            return replace(state, failure="precision" if self._is_noise(state) else "line_search")

        value, grad = trial.point
        moved = trial.step * direction
        steps, changes = remember(steps, changes, moved, grad - state.grad, self.memory, least_cosine)
        length = norm(grad)
        values = np.append(state.values, value)
        stalled = 0 if length < 0.9 * state.best_norm else state.stalled + 1
        at_rest = stalled >= PATIENCE and values[-PATIENCE - 1] - value <= noise * abs(value)
        return LBFGSState(
            theta=state.theta + moved,
            value=value,
            grad=grad,
            direction=-times_inverse(grad, steps, changes) if steps else _along_gradient(grad),
            first_value=state.first_value,
            values=values,
            first_norm=state.first_norm,
            best_norm=min(length, state.best_norm),
            iteration=state.iteration + 1,
            stalled=stalled,
            steps=steps,
            changes=changes,
            failure="precision" if at_rest else "",
        )

    def optimality(self, state: LBFGSState) -> float:
        """The larger of the decrease still expected, 1/2 g'B^-1 g, and that of the latest iterations, relative to
        max(|F|, |F0 - F|): a measure that does not change with the units of data, weights or theta.
        """
        if not state.grad.any():
            return 0.0
        window = max(WINDOW, state.iteration // 10)
        if state.iteration < window or not state.steps:
            return np.inf  # too little is known of the curvature, and so of the distance
        scale = max(abs(state.value), abs(state.first_value - state.value))
        decrease = max(_expected_decrease(state), float(state.values[-window - 1]) - state.value)
        return decrease / scale if scale > 0 else np.inf

    @property
    def _precision(self) -> tuple[float, float]:
        return PRECISIONS[self.precision or "float64"]

    def _is_noise(self, state: LBFGSState) -> bool:
        """Whether the decrease still expected is lost in the rounding of F."""
        rounding = max(10 * self._precision[0] * abs(state.value), 1e-15 * (state.first_value - state.value))
        return _expected_decrease(state) <= rounding


def _expected_decrease(state: LBFGSState) -> float:
    return -0.5 * dot(state.grad, state.direction)


def _along_gradient(grad: Array) -> Array:
    """The direction before anything is known of the curvature: against the gradient, no longer than 1."""
    most = float(np.abs(grad).max())  # first, because the square of a huge norm overflows
    return -grad / max(1.0, most * norm(grad / most)) if most > 0 else grad
