"""The minimum of F's quadratic model, where the Hessian may be that of a point nearby: what fits that share Hessians go
by.
"""

from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from ..machine.blas import one_thread
from ..objective.hessian import CENTRED, NOISE, fix_level, hold
from ..objective.proximal import Cornered
from ..protocols.answers import Curves
from ..protocols.rows import Array
from ..protocols.seams import Facts
from .working_set import OnColumns

# The least share of a parameter's own curvature that the others leave of it: below, directions are for a method that
# looks at each of them.
_LEAST_PIVOT = 1e-9

PRECISION = "float64"


class LocalMinimum(NamedTuple):
    """Where the quadratic model of F has its minimum.

    Parameters
    ----------
    theta : (size,) array
        The minimum, corners and bounds included.
    left : float
        By how much F falls there, by the model.
    rounding : float
        By how much beyond that, since the gradient is known to its rounding only.
    pivot : float
        The least share of a parameter's own curvature that the others leave of it; 1 where there are corners.
    others_move : bool
        Whether a coordinate of a column that the Hessian is not of would leave its corner.
    """

    theta: Array
    left: float
    rounding: float
    pivot: float = 1.0
    others_move: bool = False


def local_minimum(
    curves: Curves,
    theta: Array,
    facts: Facts,
    columns: Array | None = None,
    small: float = 0.0,
    near: Array | None = None,
) -> LocalMinimum | None:
    """The minimum of the quadratic model at `theta`; None where the Hessian does not tell of every direction.

    Parameters
    ----------
    curves : Curves
        The Hessian, of this point or of one nearby, with F and its gradient here; products in float64.
    theta : (size,) array
        Where.
    facts : Facts
        Of the problem, its penalty included.
    columns : (k,) int array, optional
        Those that the Hessian is of, where F has corners; default: all of them.
    small : float
        Where F has corners, a decrease beyond which `left` need not be exact.
    near : (size,) array, optional
        Where to look for the minimum first, where F has corners.
    """
    if columns is not None:
        part = OnColumns.of(curves, theta, facts, PRECISION, columns, small)
        found = _of_corners(part, small, near)
        if part is None or found is None:
            return None
        return found._replace(others_move=part.others_move(found.left if found.left <= small else 0.0))
    if facts.penalty is not None and facts.penalty.parts:
        return _of_corners(Cornered.of(curves, theta, facts, PRECISION), small, near)
    point = curves.point
    if point is None or not (np.isfinite(point.grad).all() and np.isfinite(curves.matrix).all()):
        return None
    matrix, grad, noise = curves.matrix.copy(), point.grad.copy(), NOISE[PRECISION]
    predictors = facts.parameters.predictors
    if predictors is not None and facts.constant is not None:
        hold(matrix, grad, theta, facts.l2, predictors[:, : len(facts.constant)][:, facts.constant].ravel())
        fix_level(matrix, facts.l2, predictors)
    if facts.larger is not None:
        noise = max(noise, CENTRED * float(facts.larger.max(initial=1.0) - 1.0))
    diagonal = matrix.diagonal()
    if not (diagonal > 0).all():
        return None
    scale = np.sqrt(diagonal)
    with one_thread():
        try:
            root = np.linalg.cholesky(matrix / scale / scale[:, None])
        except np.linalg.LinAlgError:
            return None
        pivot = float(root.diagonal().min()) ** 2
        if pivot < _LEAST_PIVOT:
            return None
        along = solve_triangular(root, grad / scale, lower=True)
        step = solve_triangular(root, along, lower=True, trans="T") / scale
        left = 0.5 * float(along @ along)
    above = max(point.value - facts.least, 0.0)
    rounding = above * noise**2 * len(grad) / pivot if np.isfinite(above) else 0.0
    return LocalMinimum(theta - step, left, rounding, pivot)


def _of_corners(model: Cornered | OnColumns | None, small: float, near: Array | None) -> LocalMinimum | None:
    if model is None:
        return None
    end, reached = model.minimum(near=near)
    if not reached:
        return None
    fallen = max(-model.change(end), 0.0)
    if 0 < small < fallen:  # what damping hides takes the eigenvectors of the face
        return LocalMinimum(end, fallen, 0.0)
    left = model.left(end) if isinstance(model, Cornered) else model.model.left(end[model.places])
    return LocalMinimum(end, *left)
