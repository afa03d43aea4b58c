"""One pass over sparse (CSR) rows: each row's dot product, loss and gradient entries, one row after the other."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from ..losses import FASTMATH, pointwise

Array = npt.NDArray[Any]


@njit(fastmath=FASTMATH, nogil=True, cache=True)
def loss_grad(
    code: int, data: Array, indices: Array, indptr: Array, y: Array, weight: Array, W: Array, b: Array
) -> tuple[float, Array, Array]:
    """Sum of weighted losses over the rows, and its gradient.

    Parameters
    ----------
    code : int
        Which loss (`fullbatch.losses`).
    data, indices, indptr : arrays
        The CSR rows.
    y : (n,) float64 array
        Targets or class indices.
    weight : (n,) or (0,) float64 array
        Sample weights; empty means 1 for all.
    W : (p, K) float64 array
        Coefficients, feature-major: all outputs of one feature lie together.
    b : (K,) float64 array
        Intercepts.

    Returns
    -------
    value : float
    coef_grad : (p, K) float64 array
    intercept_grad : (K,) float64 array
    """
    outputs = W.shape[1]
    eta = np.empty((1, outputs))
    coef_grad, intercept_grad = np.zeros(W.shape), np.zeros(outputs)
    value = 0.0
    for i in range(indptr.size - 1):
        eta[0] = b
        for entry in range(indptr[i], indptr[i + 1]):
            v = np.float64(data[entry])
            w = W[indices[entry]]
            for k in range(outputs):
                eta[0, k] += v * w[k]
        value += pointwise(code, y[i : i + 1], weight[i : i + 1] if weight.size else weight, eta)
        for entry in range(indptr[i], indptr[i + 1]):
            v = np.float64(data[entry])
            g = coef_grad[indices[entry]]
            for k in range(outputs):
                g[k] += v * eta[0, k]
        for k in range(outputs):
            intercept_grad[k] += eta[0, k]
    return value, coef_grad, intercept_grad
