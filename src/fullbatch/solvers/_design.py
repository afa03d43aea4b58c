"""The rows of a sample on the driver, and what they take of its memory."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..objective.design import Design, design_of, keeps_sparse
from ..protocols.answers import Sample
from ..protocols.seams import Facts

Array = npt.NDArray[Any]


def stays_sparse(facts: Facts) -> bool:
    """Whether the sample's rows are kept sparse."""
    return keeps_sparse(facts.looked_up, facts.dense_columns, facts.width)


def design(sample: Sample, facts: Facts) -> Design:
    """The sample's rows as each linear predictor multiplies them, with a column of ones for the intercept."""
    X = sample.X
    return design_of(X, sample.shift, facts.width > X.shape[1], stays_sparse(facts), facts.parameters.dtype)


def bytes_of_curvature(facts: Facts) -> int:
    """Memory of the second derivatives of one row of the sample, as they are gathered and along directions."""
    return 24 * facts.outputs


def bytes_per_row(facts: Facts) -> int:
    """Memory of one row of the sample: as it is gathered, as it is kept, and its second derivatives."""
    item, curvature = np.dtype(facts.parameters.dtype).itemsize, bytes_of_curvature(facts)
    entry = item + np.dtype(np.int32).itemsize
    stored = entry * (facts.looked_up + (facts.dense_columns or 0))
    if stays_sparse(facts):
        return round(4 * stored) + curvature  # also by column, and scaled
    gathered = max(item * facts.width, stored) if facts.looked_up else item * facts.width
    return round(gathered) + item * facts.width + curvature


def mean_squares(rows: Design, weight: Array) -> Array:
    """Weighted mean square of each column, (width,)."""
    squares: Array = rows.squares(weight) / weight.sum()
    return squares
