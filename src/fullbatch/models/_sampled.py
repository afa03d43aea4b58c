"""What a block says of a random share of its rows without handing them over: Gram matrices, and moments of columns."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..objective.design import Design
from ..protocols.answers import RowCurvature, SampleSums
from ..protocols.requests import SampleGrams
from ..protocols.schema import Moments

Array = npt.NDArray[Any]


def sums_of_sample(rows: Design, weight: Array, curvature: RowCurvature, request: SampleGrams) -> SampleSums:
    """The answer, from the rows less what is the same for all blocks, their sample weights and second derivatives."""
    factors = curvature.traces[None] if request.basis is None else curvature.along(request.basis)
    matrices = np.empty((len(factors), rows.width, rows.width))
    with one_thread():
        for j, own in enumerate(factors):
            kept = np.flatnonzero(own >= (0.0 if request.least is None else request.least[j]))
            some, own = (rows, own) if len(kept) == len(own) else (rows.taken(kept), own[kept])
            matrices[j] = some.gram(own)
    return SampleSums(matrices, factors.sum(axis=1), _moments_of(rows, weight), _center_of(rows))


def _center_of(rows: Design) -> Array:
    """What is subtracted from each column, (p,)."""
    center: Array = rows.shift if rows.shift.size else np.zeros(rows.width - rows.intercept)
    return center


def _moments_of(rows: Design, weight: Array) -> Moments:
    total, center = float(weight.sum()), _center_of(rows)
    p = len(center)
    if not total > 0:
        return Moments(0.0, np.zeros(p), np.zeros(p))
    with np.errstate(over="ignore", invalid="ignore"):  # whoever needs them looks whether they are finite
        beyond = rows.back(weight[:, None])[:p, 0] / total
        return Moments(total, center + beyond, np.maximum(rows.squares(weight)[:p] - total * beyond**2, 0.0))
