"""Of coefficients that fit equally well, those of least norm."""

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..machine.eigen import eigh
from ..objective.objective import Objective
from ..objective.variables import Standardized
from ..protocols.requests import Curvature
from ..run.result import Result

Array = npt.NDArray[np.float64]

# Directions of less than this share of the largest curvature, of columns scaled to curvature 1, are combinations of
# columns that are zero: as the notice that names them counts it.
_NONE = 1e-11

# By how much F may rise, as a share of what it stands above the least it could be, and of the null model's: rounding.
_ALIKE, _ROUNDING = 1e-9, 1e-13


def least_norm(coef: Array, intercept: Array, result: Result, objective: Objective) -> tuple[Array, Array]:
    """Coefficients less what changes no prediction, where the fit has found columns that are combinations of others.

    Where there is an intercept it takes what the columns' means make of the difference. Two more passes, and only where
    they are needed: without a penalty or bounds.

    Parameters
    ----------
    coef, intercept : (outputs, p) and (outputs,) arrays
        On the columns as stored.
    result : Result
        Of the fit, with its notices.
    objective : Objective
        What was minimised.
    """
    collinear = any(notice.code == "collinear-columns" for notice in result.notices)
    predictors, penalty = objective.blocks.parameters.predictors, objective.penalty
    if not collinear or predictors is None or penalty.parts or penalty.l2.any():
        return coef, intercept
    curves = objective(Curvature(result.theta, "gram", double=True))
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
        of_shorter = intercept + moved @ objective.blocks.schema.mean
        there.append(of_shorter)
    theta = np.concatenate(there)
    if objective.variables is not None:
        theta = objective.variables.to_solver(theta)
    # Columns that are all but combinations of others have no place among those that are.
    facts = objective.facts
    risen = objective.value_and_grad(theta).value - result.value
    measures = (_ALIKE * (result.value - facts.least), _ROUNDING * facts.parameters.null, _ROUNDING * abs(result.value))
    allowed = max(one for one in measures if np.isfinite(one))
    return (shorter, of_shorter) if risen <= allowed else (coef, intercept)
