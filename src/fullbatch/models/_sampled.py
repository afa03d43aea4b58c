"""What a block says of a random share of its rows without handing them over: Gram matrices, and moments of columns."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..protocols.answers import Sample, SampleSums
from ..protocols.requests import Curvature, SampleGrams
from ..protocols.rows import is_sparse
from ..protocols.schema import Moments
from .describe import read_only

Array = npt.NDArray[Any]


def sums_of_sample(part: Any, sample: Sample, passes: Any, request: SampleGrams) -> SampleSums:
    """The answer, from the `LinearBlock` of the rows of the sample, and from these rows."""
    curvature = part.evaluate(Curvature(request.theta, "rows"))
    factors = curvature.traces[None] if request.basis is None else curvature.along(request.basis)
    if request.least is None or not request.least.any():
        matrices = part.grams(factors, True)
    else:
        kept = [np.flatnonzero(own >= least) for own, least in zip(factors, request.least, strict=True)]
        pairs = zip(factors, kept, strict=True)
        matrices = np.concatenate([part.some(rows, True).grams(own[None, rows], True) for own, rows in pairs])
    return SampleSums(matrices, factors.sum(axis=1), _moments_of(sample, passes), part.center)


def _moments_of(sample: Sample, passes: Any) -> Moments:
    X, weight = sample.X, read_only(sample.weight)
    if is_sparse(X):
        data, indices, indptr = (read_only(part) for part in (X.data, X.indices, X.indptr))
        _, _, mean, squares = passes.csr_moments(data, indices, indptr, weight, X.shape[1])
    else:
        _, _, mean, squares = passes.dense_moments(read_only(X), weight)
    return Moments(float(weight.sum()), mean, squares)
