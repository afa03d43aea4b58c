"""The likelihood's maximum under linear restrictions: what likelihood-ratio and score tests and profiles compare with.

Newton's method from the unrestricted estimate; each iteration is one pass over the rows.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..machine.blas import one_thread
from .covariance import Information, inverse
from .sums import Sums, SumsAt

Array = npt.NDArray[np.float64]

# The fit ends where the deviance can still fall by less than this; a chi-squared is known as well.
_NEAR = 1e-9
_MOST_PASSES = 60


class Restriction(NamedTuple):
    """Linear equations of the parameters: matrix beta = value.

    Parameters
    ----------
    matrix : (q, size) array
    value : (q,) array
    """

    matrix: Array
    value: Array


class Restricted(NamedTuple):
    """Where the restricted maximum is.

    Parameters
    ----------
    beta : (size,) array
    sums : Sums
        There.
    """

    beta: Array
    sums: Sums


def restricted_fit(information: Information, restriction: Restriction, start: Array | None = None) -> Restricted:
    """The maximum under a restriction of full rank.

    Parameters
    ----------
    information : Information
        Of the unrestricted fit, without a penalty.
    restriction : Restriction
        What must hold.
    start : (size,) array, optional
        Near it; default: the unrestricted estimate.

    Raises
    ------
    DataError
        No maximum was found.
    """
    design, matrix = information.design, restriction.matrix
    with one_thread():
        # What the information says of the way to the restriction is nearer than the shortest one.
        bread = inverse(information.sums.expected)
        beta = design.beta if start is None else start
        across = bread @ matrix.T
        beta = beta - across @ np.linalg.solve(matrix @ across, matrix @ beta - restriction.value)
        free = np.linalg.qr(matrix.T, mode="complete")[0][:, len(matrix) :]
    sums = information.data.total(SumsAt(design, beta, information.weights))
    for _ in range(_MOST_PASSES):
        if not free.shape[1]:
            return Restricted(beta, sums)
        with one_thread():
            grad = free.T @ sums.grad
            step = free @ (inverse(free.T @ sums.observed @ free) @ grad)
            decrement = float(sums.grad @ step)
        if decrement <= _NEAR:
            return Restricted(beta, sums)
        for _ in range(30):
            trial = information.data.total(SumsAt(design, beta - step, information.weights))
            # Less than this is rounding of the deviance.
            if trial.deviance <= sums.deviance + 1e-12 * abs(sums.deviance) and np.isfinite(trial.grad).all():
                break
            step = 0.5 * step
        else:
            break
        beta, sums = beta - step, trial
    raise DataError(
        "no maximum of the likelihood was found under the restriction: it may have none, as where it separates classes"
    )
