"""A start for losses that a link does not allow every eta: parameters at which all rows have means that can be.

Fisher's scoring on the same loss, which goes on as a parabola beyond an edge within what is allowed: it is finite
everywhere, and where no row of its minimum is beyond the edge that is a minimum of the loss itself. Where some are, the
edge comes nearer.
"""

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..objective.hessian import Curved
from ..objective.objective import Objective
from ..protocols.answers import Curves
from ..protocols.requests import Curvature, ValueGrad

Array = npt.NDArray[np.float64]

# How near the edges are, as shares of the usual eta's distance from what is not allowed.
_EDGES = (0.3, 0.1, 0.03, 0.01, 1e-3, 1e-4)

# Steps for each; they end when the loss could fall by no more than this share of the null model's.
_STEPS, _ENOUGH = 20, 1e-4

# Levenberg's damping, and how often a step is halved.
_DAMPING, _HALVED = 1e-10, 12


def feasible_start(objective: Objective, theta: Array, distance: float) -> Array:
    """Parameters at which F is finite: `theta` if it is there.

    Parameters
    ----------
    objective : Objective
        Its passes count as set-up.
    theta : (size,) array
        The first guess.
    distance : float
        How far the usual eta is from what is not allowed.

    Raises
    ------
    DataError
        None was found.
    """
    before = objective.num_passes
    found = _found(objective, theta, distance)
    objective.num_setup_passes += objective.num_passes - before
    objective.num_passes = before
    if found is None:
        raise DataError(
            "no coefficients were found at which all rows have means that the family allows: use the family's usual "
            "link, give an intercept or offsets that go with the link, or leave out columns of which some rows differ "
            "from all others"
        )
    return found


def _found(objective: Objective, theta: Array, distance: float) -> Array | None:
    if np.isfinite(objective(ValueGrad(theta)).value):
        return theta
    for share in _EDGES:
        theta = _scored(objective, theta, share * distance)
        if np.isfinite(objective(ValueGrad(theta)).value):
            return theta
    return None


def _scored(objective: Objective, theta: Array, edge: float) -> Array:
    """About the minimum of the loss with that edge, by Fisher's scoring."""

    def at(place: Array) -> tuple[Curves, float]:
        curves = objective(Curvature(place, "gram", double=True, edge=edge))
        return curves, curves.point.value

    curves, value = at(theta)
    for _ in range(_STEPS):
        curved = Curved.of(curves, theta, objective.facts, "float64")
        if curved is None or curved.decrease <= _ENOUGH * min(objective.facts.parameters.null, 1.0):
            break
        step = curved.direction(_DAMPING)
        for _ in range(_HALVED):
            curves, there = at(theta + step)
            if there < value:
                break
            step = 0.5 * step
        else:
            break
        theta, value = theta + step, there
    return theta
