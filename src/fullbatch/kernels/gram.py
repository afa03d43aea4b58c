"""Gram matrices of many rows and columns: sums over rows of factor [x, 1] [x, 1]'.

For dense rows with some hundred columns and more BLAS is faster than compiled loops. It runs on one thread, so that its
sums are the same everywhere.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from .dense import DenseRows, TiledRows
from .passes import weighted_gram

Array = npt.NDArray[Any]

# Up to so many columns compiled loops are faster: twice at 200 in float64 on a processor with AVX-512. One read then
# gives the loss and gradient of one linear predictor, too.
FUSED_COLUMNS = 256

# Rows whose products are summed in the precision of the rows before they are added to the float64 total.
CHUNK = 1024


def grams(rows: Any, columns: int, precision: str, factors: Array) -> Array:
    """Gram matrices of the same rows under several factors.

    Parameters
    ----------
    rows : DenseRows or another storage of `kernels`
        The block.
    columns : int
        Features of a row.
    precision : {"float32", "float64"}
        Of the products; sums of chunks are float64.
    factors : (J, n) float64 array
        Of each row; negative ones, which few losses have, cost as much again by BLAS.

    Returns
    -------
    (J, columns + 1, columns + 1) float64 array
    """
    if columns <= FUSED_COLUMNS or not isinstance(rows, DenseRows | TiledRows):
        W = np.zeros((1, columns + 1), precision)
        return np.array([weighted_gram(rows, W, factor) for factor in factors])
    total = np.zeros((len(factors), columns + 1, columns + 1))
    with one_thread():
        for start in range(0, rows.y.size, CHUNK):
            part = slice(start, start + CHUNK)
            X = np.ones((rows.X[part].shape[0], columns + 1), precision)
            X[:, :-1] = rows.X[part]
            if rows.reference.size:
                X[:, :-1] -= rows.reference
            for matrix, factor in zip(total, factors, strict=True):
                for sign in (1.0, -1.0) if (factor[part] < 0).any() else (1.0,):
                    scaled = X * np.sqrt(np.maximum(sign * factor[part], 0.0)).astype(precision)[:, None]
                    matrix += sign * (scaled.T @ scaled)
    return total
