"""Truncated Newton: the step by conjugate gradients on Hessian-vector products (Nocedal and Wright, 2006, ch. 7.1)."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..machine.vectors import dot, norm
from ..objective.measure import relative
from ..protocols.requests import HessVec, ValueGrad
from ..protocols.seams import Facts, Steps
from ..wording.arguments import check_whole
from .descent import DescentState, along_gradient, check_precision, first_state, moved, precision_of, search, stuck

Array = npt.NDArray[Any]


class NewtonCGState(DescentState):
    """A state of `NewtonCG`."""


@dataclass(frozen=True)
class NewtonCG:
    """Newton's method without the Hessian: each conjugate-gradient iteration is one pass, a product with a vector.

    For models with second derivatives but too many parameters for a matrix. It needs more passes than "sampled-lbfgs".

    Parameters
    ----------
    max_products : int
        Hessian-vector products for one step at the most.
    precision : {"float64", "float32"}, optional
        Precision in which the blocks compute; default: filled in by `minimize`.
    """

    max_products: int = 200
    precision: str | None = None
    facts: Facts | None = field(default=None, repr=False, compare=False)

    requests: ClassVar[frozenset[type]] = frozenset({ValueGrad, HessVec})
    state: ClassVar[type] = NewtonCGState

    def __post_init__(self) -> None:
        check_whole("max_products", self.max_products, 1)
        check_precision(self.precision)

    def for_problem(self, facts: Facts) -> "NewtonCG":
        """With the precision of the blocks."""
        return replace(self, precision=self.precision or facts.parameters.dtype, facts=facts)

    def init(self, theta: Array) -> Steps[NewtonCGState]:
        """Evaluate the starting point: one pass."""
        point = yield ValueGrad(theta)
        return first_state(NewtonCGState, theta, point)

    def step(self, state: NewtonCGState) -> Steps[NewtonCGState]:
        """One iteration: a pass for each product, then those of the line search."""
        noise, _ = precision_of(self.precision)
        # The more accurate, the smaller the gradient.
        accuracy = min(0.5, np.sqrt(norm(state.grad) / state.first_norm))
        direction = yield from conjugate_step(state.theta, state.grad, accuracy, self.max_products)
        state = replace(state, direction=direction if direction.any() else along_gradient(state.grad))
        found = yield from search(state, [state.direction, along_gradient(state.grad)], noise, self.facts)
        if found is None:
            return stuck(state, noise)
        trial, step = found
        return moved(state, step, trial.point, noise)

    def optimality(self, state: NewtonCGState) -> float:
        """By how much F changed in the latest step, which is more than what is left once Newton's method converges, as
        a share of F: see `relative`. A rise is noise, and tells how much of F is not known.
        """
        if not state.grad.any():
            return 0.0
        if len(state.values) < 2:
            return np.inf
        return relative(abs(float(state.values[-2] - state.value)), state, self.facts)


def conjugate_step(theta: Array, grad: Array, accuracy: float, most: int, scale: float | Array = 1.0) -> Steps[Array]:
    """About -H^-1 g, by conjugate gradients: a pass for each product. With fewer than are needed it is the best step in
    the directions so far, so that -1/2 g'step is a lower bound of 1/2 g'H^-1 g.

    Parameters
    ----------
    theta, grad : (size,) arrays
        Where, and the gradient there.
    accuracy : float
        It ends once the residual is no more than this share of the gradient.
    most : int
        Products at the most.
    scale : float or (size,) array
        What parameters are multiplied by to be of comparable size.
    """
    residual = grad / scale
    step, direction, square = np.zeros_like(grad), -residual, dot(residual, residual)
    enough = accuracy * norm(residual)
    for _ in range(most):
        product = (yield HessVec(theta, direction / scale)) / scale
        curvature = dot(direction, product)
        if not (np.isfinite(curvature) and curvature > 0):
            break  # no curvature to go by: what was found so far descends
        along = square / curvature
        step = step + along * direction
        residual = residual + along * product
        if norm(residual) <= enough:
            break
        before, square = square, dot(residual, residual)
        direction = -residual + (square / before) * direction
    return step / scale
