"""What a linear predictor says of a mean, and how far targets are from it: variances that are powers of the mean."""

from typing import Any

import numpy as np
from scipy.special import xlog1py

# Under the logarithmic link eta is cut here when a mean is predicted: beyond, exp is infinite.
LARGEST_ETA = 700.0

_TINY = 1e-300  # stands for a mean that underflowed


def half_deviance(y: Any, mean: Any, power: float) -> Any:
    """Half the unit deviance of the variance mean**power: the squared residual for 0, Poisson's for 1, gamma's for 2.

    Parameters
    ----------
    y : float or (n,) float64 array
        Targets; of a power from 1 on not negative, from 2 on positive.
    mean : float or (n,) float64 array
        Predictions; of a power from 1 on not negative.
    power : float
        0, or from 1 to 2.

    Returns
    -------
    float or (n,) float64 array
        Zero where y equals the mean. (Jorgensen, The Theory of Dispersion Models, 1997.)
    """
    if power == 0.0:
        return 0.5 * (y - mean) ** 2
    with np.errstate(divide="ignore", over="ignore"):  # a target of zero, predictions near zero
        # In the relative residual: powers and logarithms of y and the mean would cancel where these are close.
        u = (y - mean) / np.maximum(mean, _TINY)
        if power == 1.0:
            return mean * (xlog1py(1.0 + u, u) - u)
        if power == 2.0:
            return u - np.log1p(u)
        rise = 2.0 - power
        return mean**rise * (np.expm1(xlog1py(rise, u)) - rise * u) / ((1.0 - power) * rise)
