"""What least squares need of a block's rows: sums of products of columns and targets, or triangles of QR."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..objective.factor import triangle_of
from ..protocols.requests import Squares
from ..protocols.schema import Schema

Array = npt.NDArray[Any]

# Rows that are copied at a time: a few hundred for each of the usual number of folds.
_ROWS = 4096

# Sums of squares below it have lost digits to underflow, unless all they add up is 0.
_UNDERFLOW = 1e-290


def squares_of(
    features_of: Callable[[Any], Array],
    targets: Array,
    root: Array,
    scale: float,
    center: Array,
    intercept: bool,
    fold: Array,
    request: Squares,
) -> Array:
    """(folds, width, width) sums of products, or triangles, a few thousand rows at a time, each fold's rows side by
    side; of an intercept, the columns, and the targets.

    Parameters
    ----------
    features_of : callable
        Some rows' features, as stored.
    targets : (n, t) array
        Less the offset and what is subtracted from them.
    root : (n,) array
        Roots of weights; empty where all are 1.
    scale : float
        What features are multiplied by.
    center : (p,) array
        What is then subtracted from them.
    intercept : bool
        Whether there is a column of ones.
    fold : (n,) int array
        Of each row.
    request : Squares
        How many folds, and whether by QR.
    """
    count, first = len(targets), int(intercept)
    last = first + len(center)
    width = last + targets.shape[1]
    matrices = np.zeros((request.folds, width, width))
    copied = np.empty((min(_ROWS, count), width))  # once: new memory takes as long as what is done in it
    with one_thread(), np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, count, _ROWS):
            taken: Any = slice(start, min(start + _ROWS, count))
            if request.folds > 1:
                taken = start + np.argsort(fold[taken], kind="stable")
            X = features_of(taken)
            data = copied[: X.shape[0]]
            data[:, :first] = 1.0
            if scale == 1.0:
                np.subtract(X, center, out=data[:, first:last])
            else:
                np.multiply(X, scale, out=data[:, first:last], dtype=np.float64)
                data[:, first:last] -= center
            data[:, last:] = targets[taken]
            if root.size:
                data *= root[taken, None]
                data[root[taken] == 0] = 0.0  # also where it is not finite
            cuts = np.searchsorted(fold[taken], np.arange(request.folds + 1)) if request.folds > 1 else (0, len(data))
            for one, matrix in enumerate(matrices):
                part = data[cuts[one] : cuts[one + 1]]
                if request.exact:
                    matrix[:] = triangle_of(np.vstack((matrix, part)))
                else:
                    matrix += _products(part)
    return matrices


def middle_of(schema: Schema, targets: Array | None = None) -> tuple[Array, Any]:
    """What is subtracted from columns and targets: their means, so that squares are small.

    Any other numbers would do, if they are finite and all blocks take the same.
    """
    center = np.where(np.isfinite(schema.mean), schema.mean, 0.0)
    if targets is not None:
        return center, targets
    target = schema.target_mean if schema.null is None else float(schema.null.moments.mean[0])  # less the offset
    return center, target if target is not None and np.isfinite(target) else 0.0


def _products(rows: Array) -> Array:
    """The Gram matrix; NaN on its diagonal where squares underflow."""
    gram: Array = rows.T @ rows
    small = np.flatnonzero(gram.diagonal() < _UNDERFLOW)
    lost = small[rows[:, small].any(axis=0)]
    gram[lost, lost] = np.nan
    return gram
