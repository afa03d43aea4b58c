"""Newton's method for few parameters: loss, gradient and Hessian from one read of the data."""

import logging
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..arguments import check_number
from ..blas import one_thread
from ..protocols import Curvature, Curves, Facts, Steps, ValueGrad
from ._descent import (
    DescentState,
    along_gradient,
    check_precision,
    expected_decrease,
    first_state,
    is_finite,
    moved,
    precision_of,
    relative,
    search,
    stuck,
)
from ._vectors import norm

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

# Directions with less than this share of the largest curvature, in parameters scaled to curvature 1, are left alone: it
# is rounding, and so is the gradient along them. All intercepts of softmax alike are such a direction.
_FLAT = {"float64": 1e-13, "float32": 1e-7}

# Share of the gradient that is rounding.
_ROUNDING = 1e-6


class NewtonState(DescentState):
    """A state of `Newton`."""


@dataclass(frozen=True)
class Newton:
    """Newton's method with a line search.

    The usual iteration is one pass, which brings F, gradient and Hessian of the next iterate.

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

    requests: ClassVar[frozenset[type]] = frozenset({ValueGrad, Curvature})
    state: ClassVar[type] = NewtonState

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
        return replace(self, precision=self.precision or facts.parameters.dtype)

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
        noise, _ = precision_of(self.precision)
        asked: dict[bytes, Curves] = {}  # Hessians of this step's trials, by theta
        steps = search(state, [state.direction, along_gradient(state.grad)], noise)
        try:
            request = next(steps)
            while True:
                if asked:
                    answer = yield request
                else:
                    asked[request.theta.tobytes()] = curves = yield Curvature(request.theta, "gram")
                    answer = curves.point
                request = steps.send(answer)
        except StopIteration as done:
            found = done.value
        if found is None:
            return stuck(state, noise)
        trial, step = found
        after = moved(state, step, trial.point, noise)
        curves = asked.get(after.theta.tobytes())
        if curves is None:
            curves = yield Curvature(after.theta, "gram")
        return self._directed(after, curves)

    def optimality(self, state: NewtonState) -> float:
        """Half the square of the Newton decrement, as a share of F: see `relative`."""
        if not state.grad.any():
            return 0.0
        return relative(expected_decrease(state), state) if state.iteration else np.inf

    def _directed(self, state: NewtonState, curves: Curves) -> NewtonState:
        """With -H^-1 g for direction."""
        if not (is_finite(curves.point) and np.isfinite(curves.matrix).all()):  # type: ignore[arg-type]
            return replace(state, direction=along_gradient(state.grad))
        scale = np.sqrt(np.abs(curves.matrix.diagonal()))
        scale = np.where(scale > 0, scale, 1.0)
        with one_thread():
            values, vectors = np.linalg.eigh(curves.matrix / scale / scale[:, None])
            known = np.abs(values) > _FLAT[self.precision or "float64"] * np.abs(values).max()
            # Where the model is not convex: the way down along a direction of negative curvature.
            inverse = np.where(known, 1.0 / np.where(known, np.abs(values), 1.0), 0.0)
            along = vectors.T @ (state.grad / scale)
            direction = -(vectors @ (inverse * along)) / scale
            flat = scale * (vectors @ np.where(known, 0.0, along))
        if norm(flat) > _ROUNDING * norm(state.grad):  # F falls where it has no curvature, as in the tails of Huber's
            direction = direction + along_gradient(flat)
        return replace(state, direction=direction)
