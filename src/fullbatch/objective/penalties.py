"""Penalties per coordinate, added on the driver: the blocks never see them."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..protocols.seams import Parameters, Penalty

Array = npt.NDArray[Any]


def penalty_of(
    l2: float | Array,
    l1: float | Array,
    lower: float | Array,
    upper: float | Array,
    parameters: Parameters,
    l21: float | Array = 0.0,
    groups: Array | None = None,
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
    l21 : float or (size,) array
        Strength of the groups' norms: one number, which is multiplied by the root of the number of a group's
        coordinates; or one for each coordinate, the same for all of a group.
    groups : (size,) int array, optional
        Number of the group of each coordinate; negative for none. The norm of a group of one is L1.

    Raises
    ------
    ValueError
        A strength is negative or not finite, a lower bound is above the upper one, there are not as many as
        coordinates, or a coordinate of a group has a bound.
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
    penalty, norms = Penalty(*strengths, *bounds), _norms(l21, groups, parameters)
    return penalty if norms is None else _grouped(replace(penalty, l21=norms[0], groups=norms[1]))


def _per_coordinate(name: str, given: Any, other: float, parameters: Parameters) -> Array:
    """One number for each coordinate, `other` for those that the model does not penalise."""
    values = _numbers(name, given)
    if values.ndim == 0:
        values = np.where(parameters.penalized, values, other)
    return _one_each(name, values, parameters)


def _numbers(name: str, given: Any) -> Array:
    try:
        return np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"{name} must be a number, or one for each parameter, got {given!r}") from None


def _one_each(name: str, values: Array, parameters: Parameters) -> Array:
    if values.shape != (parameters.size,):
        raise ValueError(f"{name} must be one number or {parameters.size}, one per parameter; got shape {values.shape}")
    return values


def _norms(l21: Any, groups: Any, parameters: Parameters) -> tuple[Array, Array] | None:
    """The strength of each coordinate's group and its number; None where no norm is penalised."""
    if groups is None:
        if np.any(l21):
            raise ValueError("l21 is the strength of the norms of groups, and there are none: give groups")
        return None
    numbers = np.asarray(groups)
    if numbers.dtype.kind not in "iu" or numbers.shape != (parameters.size,):
        raise ValueError(
            f"groups must be {parameters.size} whole numbers, one per parameter, got {numbers.dtype} of shape "
            f"{numbers.shape}"
        )
    own = numbers >= 0
    numbers = np.where(own, numbers, -1).astype(np.int64)
    if not own.any():
        return None
    numbers[own], counts = np.unique(numbers[own], return_inverse=True, return_counts=True)[1:]
    strengths, given = np.zeros(parameters.size), _numbers("l21", l21)
    if given.ndim == 0:
        strengths[own] = given * np.sqrt(counts[numbers[own]])
    else:
        strengths[own] = _one_each("l21", given, parameters)[own]
    if not np.all(np.isfinite(strengths) & (strengths >= 0)):
        raise ValueError(f"l21 must be finite and not negative, got {l21!r}")
    of_group = np.zeros(len(counts))
    of_group[numbers[own]] = strengths[own]
    if (different := np.flatnonzero(own & (strengths != of_group[numbers]))).size:
        first = different[0]
        raise ValueError(
            f"l21 must be the same for all coordinates of a group, and in that of coordinate {first} it is "
            f"{strengths[first]} and {of_group[numbers[first]]}"
        )
    return strengths, numbers


def _grouped(penalty: Penalty) -> Penalty:
    """Without groups that are not penalised, and with groups of one as L1."""
    assert penalty.groups is not None
    assert penalty.l21 is not None
    groups, l1 = penalty.groups.copy(), penalty.l1.copy()
    own = groups >= 0
    alone = own & (np.bincount(groups[own])[groups] == 1)
    l1[alone] += penalty.l21[alone]
    groups[alone | (penalty.l21 == 0)] = -1
    grouped = groups >= 0
    if (bound := np.flatnonzero(grouped & (np.isfinite(penalty.lower) | np.isfinite(penalty.upper)))).size:
        raise ValueError(
            f"coordinate {bound[0]} is in a group whose norm is penalised, and has a bound: no solver here knows both, "
            "leave one of them out"
        )
    rest = replace(penalty, l1=l1, l21=np.where(grouped, penalty.l21, 0.0), groups=groups)
    return rest.of_coordinates(np.arange(len(l1)))
