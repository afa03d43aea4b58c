"""Profile-likelihood intervals: where the deviance of the best fit with one coefficient fixed has risen enough."""

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .covariance import Information
from .restricted import Restriction, restricted_fit

Array = npt.NDArray[np.float64]

# An end is found where the root of the rise is known as nearly.
_NEAR = 1e-7
_MOST_TRIALS = 25


def profile_interval(information: Information, place: int, critical: float, error: float) -> tuple[float, float]:
    """Both ends of the interval of one parameter.

    Parameters
    ----------
    information : Information
        Of a fit without a penalty.
    place : int
        Which parameter.
    critical : float
        By how much the deviance may rise.
    error : float
        Its standard error: where to look first.

    Returns
    -------
    (float, float)

    Raises
    ------
    DataError
        An end was not found: the likelihood does not fall as far.
    """
    return _end(information, place, critical, -error), _end(information, place, critical, error)


def _end(information: Information, place: int, critical: float, error: float) -> float:
    """By secants of the signed root of the rise, which is nearly straight."""
    design = information.design
    estimate, wanted = float(design.beta[place]), np.sqrt(critical)
    unit = np.eye(design.size)[place : place + 1]
    start: Array = design.beta
    before, root_before = estimate, 0.0
    value = estimate + error * wanted
    for _ in range(_MOST_TRIALS):
        at = restricted_fit(information, Restriction(unit, np.array([value])), start)
        root = float(np.sqrt(max(at.sums.deviance - information.sums.deviance, 0.0)))
        if abs(root - wanted) <= _NEAR * wanted:
            return value
        slope = (root - root_before) / (value - before)
        if not slope * np.sign(error) > 0:
            break
        before, root_before, start = value, root, at.beta
        # No further than twice as far: a likelihood that levels off has no such end.
        value = estimate + np.sign(error) * min(
            abs(value + (wanted - root) / slope - estimate), 2.0 * abs(value - estimate)
        )
    raise DataError(
        f"{design.names[place]!r}: its profile likelihood does not fall as far as the level asks, or levels off: the "
        "interval has no end there"
    )
