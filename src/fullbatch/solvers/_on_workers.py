"""The matrices of `preconditioners` from Gram matrices that the workers make of their own rows of the sample."""

from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.threads import in_threads
from ..protocols.answers import RowCurvature, SampleSums
from ..protocols.requests import Curvature, SampleGrams
from ..protocols.seams import Facts, Steps
from ._root import Root
from .preconditioners import (
    MOST_GRAMS,
    RIDGE,
    Directions,
    SampledHessian,
    directions,
    least_of_heavy,
    missing_squares,
    of_one_gram,
    with_roots,
)

Array = npt.NDArray[Any]


def hessian_by_workers(request: SampleGrams, facts: Facts, shared: bool) -> Steps[SampledHessian | None]:
    """The matrix of a sample; None where second derivatives are not finite.

    Parameters
    ----------
    request : SampleGrams
        Where, and of which sample.
    facts : Facts
        Of the problem.
    shared : bool
        Whether one Gram matrix serves all directions, however few they are.
    """
    if facts.outputs == 1:  # whose direction is known: one read of the sample is enough
        sums = yield request
        found = directions(RowCurvature(sums.sums[None]), sums.moments.weight, facts)
        return None if found is None else _of_each(sums, sums.sums, found, facts)
    curvature = yield Curvature(request.theta, "rows", request.fraction, request.seed)
    found = directions(curvature, 1.0, facts)  # of the sums, as long as the weight is not known
    if found is None:
        return None
    if shared or not 0 < len(found.basis) - found.flat <= MOST_GRAMS:
        sums = yield request
        total, dtype = sums.moments.weight, facts.parameters.dtype
        if not total > 0:
            return None
        found = replace(found, mean=found.mean / total)
        missing = missing_squares(_squares_of(sums, facts), facts)
        return with_roots(found, of_one_gram(sums.matrices[0] / total, found, missing, RIDGE[dtype], dtype), facts)
    basis = found.basis[:, found.flat :]
    along = curvature.along(basis)
    least = np.array([least_of_heavy(own) for own in along])
    sums = yield replace(request, basis=basis, least=least)
    kept = np.array([own[own >= one].sum() for own, one in zip(along, least, strict=True)])
    return _of_each(sums, kept, replace(found, mean=found.mean / sums.moments.weight), facts)


def _of_each(sums: SampleSums, kept: Array, found: Directions, facts: Facts) -> SampledHessian:
    """The matrix whose directions have a Gram matrix each, of rows whose second derivatives add up to `kept`."""
    total, dtype = sums.moments.weight, facts.parameters.dtype
    missing = missing_squares(_squares_of(sums, facts), facts)

    def root(j: int) -> Root:
        gram = sums.matrices[j] / total * (sums.sums[j] / kept[j] if kept[j] > 0 else 1.0)
        return Root.of(gram, found.penalty[found.flat + j] + missing * (sums.sums[j] / total), RIDGE[dtype], dtype)

    return with_roots(found, in_threads(root, range(len(found.basis) - found.flat)), facts)


def _squares_of(sums: SampleSums, facts: Facts) -> Array:
    """Mean square of each column in the sample, (width,), that of ones included."""
    squares, moments = np.ones(facts.width), sums.moments
    squares[: len(moments.mean)] = moments.mean**2 + moments.squares / moments.weight
    return squares
