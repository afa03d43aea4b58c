"""Penalties per coordinate, added on the driver: the blocks never see them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..protocols.seams import Parameters

Array = npt.NDArray[Any]


def l2_per_coordinate(l2: float | Array, parameters: Parameters) -> Array:
    """L2 strength of every coordinate of theta.

    Parameters
    ----------
    l2 : float or (size,) array
        One strength for the coordinates that the model penalises (never its intercepts), or one for each
        coordinate.
    parameters : Parameters
        Of the model.

    Returns
    -------
    (size,) float64 array

    Raises
    ------
    ValueError
        A strength is negative or not finite, or there are not as many as coordinates.
    """
    try:
        strengths = np.asarray(l2, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"l2 must be a number, or one for each parameter, got {l2!r}") from None
    if strengths.ndim == 0:
        strengths = np.where(parameters.penalized, strengths, 0.0)
    if strengths.shape != (parameters.size,):
        raise ValueError(f"l2 must be one number or {parameters.size}, one per parameter; got shape {strengths.shape}")
    if not np.all(np.isfinite(strengths) & (strengths >= 0)):
        raise ValueError(f"l2 must be finite and not negative, got {l2!r}")
    return strengths
