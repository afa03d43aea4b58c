"""Of coefficients that fit equally well, those of least norm."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..machine.eigen import eigh
from ..objective.objective import Objective
from ..objective.variables import Standardized
from ..protocols.requests import Curvature, ValueGrad
from ..protocols.seams import Steps

Array = npt.NDArray[Any]

# Directions of less than this share of the largest curvature, of columns scaled to curvature 1, are combinations of
# columns that are zero: as the notice that names them counts it.
_NONE = 1e-11

# By how much F may rise, as a share of what it stands above the least it could be, and of the null model's: rounding.
_ALIKE, _ROUNDING = 1e-9, 1e-13


def shortest(
    coef: Array, intercept: Array, theta: Array, value: float, objective: Objective
) -> Steps[tuple[Array, Array]]:
    """Coefficients less what changes no prediction: two passes. Those that were given where there is a penalty that
    tells them apart, or none are shorter.

    Where there is an intercept it takes what the columns' means make of the difference.

    Parameters
    ----------
    coef, intercept : (outputs, p) and (outputs,) arrays
        On the columns as stored.
    theta : (size,) array
        The same, in the objective's variables.
    value : float
        F there.
    objective : Objective
        What was minimised.
    """
    predictors, penalty = objective.blocks.parameters.predictors, objective.penalty
    if predictors is None or penalty.parts or penalty.l2.any():
        return coef, intercept
    curves = yield Curvature(theta, "gram", double=True)
    own = predictors[0]
    matrix = curves.matrix[np.ix_(own, own)]
    if not np.isfinite(matrix).all():
        return coef, intercept
    diagonal = matrix.diagonal()
    used = diagonal > 0
    if not used.any():  # at separated classes second derivatives are too small for a number
        return coef, intercept
    scale = np.sqrt(np.where(used, diagonal, 1.0))
    with one_thread():
        values, vectors = eigh((matrix / scale / scale[:, None])[np.ix_(used, used)])
        ways = np.zeros((len(own), int((values <= _NONE * values[-1]).sum())))
        ways[used] = vectors[:, values <= _NONE * values[-1]]
        # In the columns as stored: those that the solver sees are centred, and maybe scaled.
        of_columns = (ways / scale[:, None])[: coef.shape[1]]
        if isinstance(objective.variables, Standardized):
            of_columns = of_columns / objective.variables.scale[:, None]
        basis, _ = np.linalg.qr(of_columns)
        moved = coef @ basis @ basis.T
        shorter = coef - moved
    there = [shorter.ravel()]
    of_shorter = intercept
    if len(own) > coef.shape[1]:  # there is an intercept
        of_shorter = intercept + moved @ _centre(objective, matrix)
        there.append(of_shorter)
    moved_to = np.concatenate(there)
    if objective.variables is not None:
        moved_to = objective.variables.to_solver(moved_to)
    # Columns that are all but combinations of others have no place among those that are.
    facts = objective.facts
    risen = (yield ValueGrad(moved_to)).value - value
    measures = (_ALIKE * (value - facts.least), _ROUNDING * facts.parameters.null, _ROUNDING * abs(value))
    allowed = max(one for one in measures if np.isfinite(one))
    return (shorter, of_shorter) if risen <= allowed else (coef, intercept)


def _centre(objective: Objective, matrix: Array) -> Array:
    """Means of the columns as stored over the rows that count, by any weights: those of second derivatives will do."""
    mean = np.asarray(objective.blocks.schema.mean)
    if objective.draw is None:
        return mean
    beyond = matrix[-1, :-1] / matrix[-1, -1]
    if not isinstance(objective.variables, Standardized):
        return np.asarray(beyond)
    return objective.variables.mean + objective.variables.scale * beyond
