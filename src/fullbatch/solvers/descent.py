"""What every descent method of ours keeps from one accepted iterate to the next, and how it judges it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from ..machine.vectors import dot, norm
from ..objective.measure import FAR_START, relative
from ..protocols.answers import Point
from ..protocols.seams import Facts, Steps
from ._line_search import LineSearch, Trial

Array = npt.NDArray[Any]

# (relative error of the value of F, least s'y / |s||y| of a pair) for data in that precision.
PRECISIONS = {"float64": (1e-12, 1e-12), "float32": (1e-8, 1e-8)}

# Iterations without progress beyond noise, in value or gradient, after which no more is to be had.
PATIENCE = 10


@dataclass(frozen=True, eq=False)
class DescentState:
    """An accepted iterate: arrays and scalars only, so that it can be saved.

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
    failure: str = ""


AnyState = TypeVar("AnyState", bound=DescentState)


def first_state(kind: type[AnyState], theta: Array, point: Point, **more: Any) -> AnyState:
    """The state at the starting point; its direction is against the gradient."""
    value, grad = point
    length = norm(grad)
    return kind(theta, value, grad, along_gradient(grad), value, np.array([value]), length, length, **more)


def is_finite(point: Point) -> bool:
    """Whether F and its gradient are finite."""
    return bool(np.isfinite(point.value) and np.isfinite(point.grad).all())


def precision_of(name: str | None) -> tuple[float, float]:
    """The entry of PRECISIONS; float64 until the blocks' precision is known."""
    return PRECISIONS[name or "float64"]


def check_precision(name: str | None) -> None:
    """Refuse a precision that is not known."""
    if not (name is None or (isinstance(name, str) and name in PRECISIONS)):
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {name!r}")


def search(
    state: DescentState, directions: Iterable[Array], noise: float, facts: Facts | None
) -> Steps[tuple[Trial, Array] | None]:
    """The first of the directions along which a better point is found: the trial, and the step that leads there."""
    line = LineSearch(noise=noise, convex=facts is not None and facts.convex)
    here = Point(state.value, state.grad)
    for direction in directions:
        trial = yield from line.search(state.theta, here, direction)
        if trial is not None:
            return trial, trial.step * direction
    return None


def moved(state: AnyState, step: Array, point: Point, noise: float, **more: Any) -> AnyState:
    """The state at theta + step; its direction is left to the caller."""
    return moved_to(state, state.theta + step, point, norm(point.grad), noise, **more)


def moved_to(state: AnyState, theta: Array, point: Point, length: float, noise: float, **more: Any) -> AnyState:
    """The state at `theta`, where the gradient, or where F has corners its shortest subgradient, has that length."""
    values = np.append(state.values, point.value)
    stalled = 0 if length < 0.9 * state.best_norm else state.stalled + 1
    at_rest = stalled >= PATIENCE and values[-PATIENCE - 1] - point.value <= noise * abs(point.value)
    return replace(
        state,
        theta=theta,
        value=point.value,
        grad=point.grad,
        values=values,
        best_norm=min(length, state.best_norm),
        iteration=state.iteration + 1,
        stalled=stalled,
        failure="precision" if at_rest else "",
        **more,
    )


def stuck(state: AnyState, noise: float) -> AnyState:
    """The state after a line search that found nothing: at the end of the arithmetic, or something is wrong."""
    fallen = min(state.first_value - state.value, FAR_START**4 * abs(state.value))
    rounding = max(10 * noise * abs(state.value), 1e-15 * fallen)
    return replace(state, failure="precision" if expected_decrease(state) <= rounding else "line_search")


def relative_decrease(state: DescentState, window: int, facts: Facts | None) -> float:
    """The larger of the decrease still expected, 1/2 g'B^-1 g, and that of the latest `window` iterations, as a share
    of what F is measured by: see `relative`.
    """
    if not state.grad.any():
        return 0.0
    if len(state.values) <= window:
        return np.inf  # too little is known of the curvature, and so of the distance
    return relative(max(expected_decrease(state), float(state.values[-window - 1]) - state.value), state, facts)


def expected_decrease(state: DescentState) -> float:
    """What the quadratic model still expects, 1/2 g'B^-1 g."""
    return -0.5 * dot(state.grad, state.direction)


def along_gradient(grad: Array) -> Array:
    """The direction before anything is known of the curvature: against the gradient, no longer than 1."""
    most = float(np.abs(grad).max())  # first, because the square of a huge norm overflows
    return -grad / max(1.0, most * norm(grad / most)) if most > 0 else grad
