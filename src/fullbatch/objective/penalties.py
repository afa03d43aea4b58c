"""Penalties per coordinate, added on the driver: the blocks never see them."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..protocols.seams import Parameters, Penalty

Array = npt.NDArray[Any]


def penalty_of(
    l2: float | Array, l1: float | Array, lower: float | Array, upper: float | Array, parameters: Parameters
) -> Penalty:
    """The penalty of every coordinate of theta.

    Parameters
    ----------
    l2, l1 : float or (size,) array
        One strength for the coordinates that the model penalises (never its intercepts), or one for each
        coordinate.
    lower, upper : float or (size,) array
        One bound for these coordinates, or one for each coordinate; infinite for none.
    parameters : Parameters
        Of the model.

    Raises
    ------
    ValueError
        A strength is negative or not finite, a lower bound is above the upper one, or there are not as many as
        coordinates.
    """
    strengths = [_per_coordinate(name, given, 0.0, parameters) for name, given in (("l2", l2), ("l1", l1))]
    for name, given, one in zip(("l2", "l1"), (l2, l1), strengths, strict=True):
        if not np.all(np.isfinite(one) & (one >= 0)):
            raise ValueError(f"{name} must be finite and not negative, got {given!r}")
    bounds = [
        _per_coordinate(name, given, free, parameters)
        for name, given, free in (("lower", lower, -np.inf), ("upper", upper, np.inf))
    ]
    wrong = np.flatnonzero(~(bounds[0] <= bounds[1]) | (bounds[0] == np.inf) | (bounds[1] == -np.inf))
    if wrong.size:
        first = wrong[0]
        raise ValueError(
            f"coordinate {first} must be at least {bounds[0][first]} and at most {bounds[1][first]}, which no number "
            "is: correct lower or upper"
        )
    return Penalty(*strengths, *bounds)


def _per_coordinate(name: str, given: Any, other: float, parameters: Parameters) -> Array:
    """One number for each coordinate, `other` for those that the model does not penalise."""
    try:
        values = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, or one for each parameter, got {given!r}") from None
    if values.ndim == 0:
        values = np.where(parameters.penalized, values, other)
    if values.shape != (parameters.size,):
        raise ValueError(f"{name} must be one number or {parameters.size}, one per parameter; got shape {values.shape}")
    return values
