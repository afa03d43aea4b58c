"""One pass over dense rows: forward product, pointwise loss and backward product while a tile of rows is in cache."""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from ..losses import FASTMATH, pointwise

Array = npt.NDArray[Any]

TILE = 16
# Rows whose gradient is summed in the precision of the data before it is added to the float64 total.
ROWS_PER_FLUSH = 512


@njit(fastmath=FASTMATH, nogil=True, cache=True)
def _forward(X: Array, start: int, W: Array, b: Array, eta: Array) -> None:
    """Eta = X[start:] W' + b, four outputs at a time so that every row element is loaded once for four products."""
    outputs = W.shape[0]
    for k in range(0, outputs - outputs % 4, 4):
        w0, w1, w2, w3 = W[k], W[k + 1], W[k + 2], W[k + 3]
        for i in range(eta.shape[0]):
            x = X[start + i]
            a0 = a1 = a2 = a3 = W.dtype.type(0)
            for j in range(x.size):
                v = W.dtype.type(x[j])
                a0 += v * w0[j]
                a1 += v * w1[j]
                a2 += v * w2[j]
                a3 += v * w3[j]
            eta[i, k], eta[i, k + 1], eta[i, k + 2], eta[i, k + 3] = (
                a0 + b[k],
                a1 + b[k + 1],
                a2 + b[k + 2],
                a3 + b[k + 3],
            )
    for k in range(outputs - outputs % 4, outputs):
        w0 = W[k]
        for i in range(eta.shape[0]):
            x = X[start + i]
            a0 = W.dtype.type(0)
            for j in range(x.size):
                a0 += W.dtype.type(x[j]) * w0[j]
            eta[i, k] = a0 + b[k]


@njit(fastmath=FASTMATH, nogil=True, cache=True)
def _backward(X: Array, start: int, slope: Array, G: Array) -> None:
    """G += slope' X[start:], four rows at a time so that every gradient element is loaded once for four products."""
    rows = slope.shape[0]
    for i in range(0, rows - rows % 4, 4):
        x0, x1, x2, x3 = X[start + i], X[start + i + 1], X[start + i + 2], X[start + i + 3]
        for k in range(G.shape[0]):
            g = G[k]
            r0, r1, r2, r3 = slope[i, k], slope[i + 1, k], slope[i + 2, k], slope[i + 3, k]
            for j in range(g.size):
                g[j] += (
                    r0 * G.dtype.type(x0[j])
                    + r1 * G.dtype.type(x1[j])
                    + r2 * G.dtype.type(x2[j])
                    + r3 * G.dtype.type(x3[j])
                )
    for i in range(rows - rows % 4, rows):
        x0 = X[start + i]
        for k in range(G.shape[0]):
            g = G[k]
            r0 = slope[i, k]
            for j in range(g.size):
                g[j] += r0 * G.dtype.type(x0[j])


@njit(fastmath=FASTMATH, nogil=True, cache=True)
def loss_grad(code: int, X: Array, y: Array, weight: Array, W: Array, b: Array) -> tuple[float, Array, Array]:
    """Sum of weighted losses over the rows, and its gradient.

    Parameters
    ----------
    code : int
        Which loss (`fullbatch.losses`).
    X : (n, p) C-ordered array of float32, float64 or uint8
        Features; converted in registers.
    y : (n,) float64 array
        Targets or class indices.
    weight : (n,) or (0,) float64 array
        Sample weights; empty means 1 for all.
    W : (K, p) array of float32 or float64
        Coefficients; their type is the precision of the products.
    b : (K,) array, same type
        Intercepts.

    Returns
    -------
    value : float
    coef_grad : (K, p) float64 array
    intercept_grad : (K,) float64 array
    """
    n, (outputs, p) = X.shape[0], W.shape
    eta = np.empty((TILE, outputs), W.dtype)
    G = np.zeros((outputs, p), W.dtype)
    coef_grad, intercept_grad = np.zeros((outputs, p)), np.zeros(outputs)
    value = 0.0
    for start in range(0, n, TILE):
        stop = min(start + TILE, n)
        tile = eta[: stop - start]
        _forward(X, start, W, b, tile)
        value += pointwise(code, y[start:stop], weight[start:stop] if weight.size else weight, tile)
        _backward(X, start, tile, G)
        for i in range(stop - start):
            for k in range(outputs):
                intercept_grad[k] += tile[i, k]
        if stop % ROWS_PER_FLUSH == 0 or stop == n:
            for k in range(outputs):
                for j in range(p):
                    coef_grad[k, j] += G[k, j]
                    G[k, j] = 0
    return value, coef_grad, intercept_grad
