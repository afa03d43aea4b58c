"""What is known for certain of the place where a run ended: a bound of the distance from the minimum."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..protocols.seams import Facts

Array = npt.NDArray[Any]


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
        Gradient of F; where F has corners or bounds, its shortest subgradient.
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
