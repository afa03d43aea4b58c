"""What is known for certain, or suspected, of the place where a run ended."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .protocols import Facts

Array = npt.NDArray[Any]

# A step that is still this large beside theta, where F has nothing left to lose by it, does not end at a minimum.
_STILL_GROWING = 0.03


class Certificate(NamedTuple):
    """A bound of F - F*, the distance of F from its minimum.

    Parameters
    ----------
    bound : float
        Infinite where none is known.
    words : str
        Under which condition it holds, or why there is none.
    """

    bound: float
    words: str


def certify(grad: Array, facts: Facts) -> Certificate:
    """The bound |g|^2 / (2 l2) of a strongly convex F.

    Parameters
    ----------
    grad : (size,) array
        Gradient of F.
    facts : Facts
        Of the problem.
    """
    if facts.parameters.predictors is None:
        return Certificate(np.inf, "no bound: the loss is not known to be convex")
    penalized = facts.l2 > 0
    if not penalized.any():
        return Certificate(np.inf, "no bound: nothing is penalised, so the loss alone would have to be strongly convex")
    with np.errstate(over="ignore"):  # then nothing is known, which is what infinity says
        bound = 0.5 * float((grad[penalized] ** 2 / facts.l2[penalized]).sum())
    if penalized.all():
        return Certificate(bound, "F - F* is at most this: F is strongly convex, every coordinate being penalised")
    return Certificate(
        bound,
        "F - F* is at most this if the coordinates without penalty were at their best; the gradient in them has norm "
        f"{float(np.linalg.norm(grad[~penalized])):.1e}, which is not part of the bound",
    )


def warning(state: Any, facts: Facts) -> str:
    """A suspicion about the minimum that was found; empty where there is none.

    Without a penalty, the loss of classes that can be separated falls for ever as coefficients grow: a quasi-Newton
    step then does not get shorter as F comes to rest.
    """
    free = facts.l2 == 0
    if not hasattr(state, "direction") or facts.parameters.predictors is None or facts.parameters.quadratic:
        return ""
    largest = float(np.abs(state.theta).max(initial=0.0))
    growing = free & (np.abs(state.direction) > _STILL_GROWING * largest) & (state.direction * state.theta > 0)
    if not growing.any():
        return ""
    near_zero = abs(state.value) <= 1e-3 * abs(state.first_value)
    what = (
        "the classes can be separated, so the optimum is at infinity"
        if near_zero
        else "coefficients without penalty still grow, so the optimum seems to be at infinity"
    )
    return f"{what} ({int(growing.sum())} of {free.sum()} parameters without penalty grow): add a penalty"
