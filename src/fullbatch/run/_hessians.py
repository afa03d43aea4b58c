"""The Hessian that many fits go by: of which place and columns it is, which strengths share it, and when another one is
worth a read.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import numpy.typing as npt

from ..protocols.seams import Facts, Penalty
from ..solvers.auto import seconds_of_hessian, seconds_of_pass
from ..solvers.working_set import in_use, moving, next_set
from ._shared_fit import Fit

Array = npt.NDArray[Any]

# Bytes of Hessians that are kept for the strengths under way, at the most.
MATRIX_BYTES = 2**27

# Strengths that differ by no more than this factor share a Hessian.
_NEAR = 1.5

# Reads that a Hessian is worth, at the most.
_MOST_WORTH = 5.0

# Columns of the latest Hessian are kept as long as they are no more than so many times those that are wanted.
_KEPT = 2


@dataclass(frozen=True, eq=False)
class Hessians:
    """Of the summed loss of each part of the rows.

    Parameters
    ----------
    matrix : (J, k, k) array
    theta : (size,) array
        Where.
    loss : (J,) array
        Of each part, there.
    columns : int array, optional
        Whose coefficients, and the intercepts, it is of; default: all columns.
    """

    matrix: Array
    theta: Array
    loss: Array
    columns: Array | None = None


def places_in(facts: Facts, columns: Array | None) -> Array:
    """Where each coordinate stands in a Hessian of these columns, and the intercepts, or of all: -1 where it is not in
    it.
    """
    if columns is None:
        return np.arange(facts.parameters.size)
    of = facts.coordinates(columns)
    places = np.full(facts.parameters.size, -1)
    places[of] = np.arange(len(of))
    return places


def have_room(facts: Facts, parts: int) -> bool:
    """Whether a Hessian of all columns can be kept for each part."""
    return max(parts, 1) * 8 * facts.parameters.size**2 <= MATRIX_BYTES


def most_shared(facts: Facts, parts: int) -> int:
    """Of how many columns a Hessian can be kept for each part."""
    return int((MATRIX_BYTES / (8 * max(parts, 1))) ** 0.5 / facts.outputs) - 1


def worth(facts: Facts, fits: int, columns: Array | None) -> float:
    """How many reads of so many fits take as long as a Hessian: at least one."""
    of = facts if columns is None else facts.of_columns(columns)
    return min(max(1.0, seconds_of_hessian(of) / seconds_of_pass(facts, fits)), _MOST_WORTH)


def neighbours(strengths: Sequence[int], penalties: Sequence[Penalty], quadratic: bool) -> list[list[int]]:
    """Strengths that share a Hessian, that of the first in a list: they are nearly the same. That of a quadratic loss
    is the same everywhere.
    """
    if quadratic and strengths:
        return [list(strengths)]
    shared: list[list[int]] = []
    sizes = {strength: penalties[strength].value(np.ones(len(penalties[strength].l2))) for strength in strengths}
    for strength in strengths:
        if shared and sizes[shared[-1][0]] <= _NEAR * sizes[strength]:
            shared[-1].append(strength)
        else:
            shared.append([strength])
    return [sorted(some, key=lambda strength: abs(strength - some[len(some) // 2])) for some in shared]


def columns_for(fits: Sequence[Fit], latest: Array, most: int) -> Array | None:
    """Columns for the next Hessian of some strengths' fits, of which some have ended: the latest ones where these still
    serve; None where there is no room for those that must be there.
    """
    going = [(fit, fit.grad + fit.penalty.l2 * fit.theta) for fit in fits if fit.open]
    ended = [np.flatnonzero(in_use(fit.facts, fit.theta)) for fit in fits if not fit.open]
    must = reduce(np.union1d, [moving(fit.facts, fit.theta, fit.trial, grad) for fit, grad in going] + ended)
    if len(must) > most:
        return None
    sets = [next_set(fit.facts, fit.theta, fit.trial, grad, most) for fit, grad in going]
    wanted = reduce(np.union1d, sets + ended)
    if len(wanted) > most:
        wanted = must
    short = any(fit.others_move and fit.columns is latest for fit, _ in going)
    serve = not short and len(latest) <= _KEPT * len(wanted) and np.isin(must, latest, assume_unique=True).all()
    return latest if serve else wanted
