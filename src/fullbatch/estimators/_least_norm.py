"""Of coefficients that fit equally well, those of least norm."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..objective.objective import Objective
from ..protocols.seams import drive
from ..run.result import Result
from ..run.shortest import shortest

Array = npt.NDArray[np.float64]


def least_norm(coef: Array, intercept: Array, result: Result, objective: Objective) -> tuple[Array, Array]:
    """Coefficients less what changes no prediction, where the fit has found columns that are combinations of others.

    Two more passes, and only where they are needed: without a penalty or bounds.

    Parameters
    ----------
    coef, intercept : (outputs, p) and (outputs,) arrays
        On the columns as stored.
    result : Result
        Of the fit, with its notices.
    objective : Objective
        What was minimised.
    """
    if not any(notice.code == "collinear-columns" for notice in result.notices):
        return coef, intercept
    found: Any = drive(shortest(coef, intercept, result.theta, result.value, objective), objective)
    return found[0], found[1]
