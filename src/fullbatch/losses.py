"""Pointwise losses: value and derivative in eta, the linear predictor, as small compiled functions.

Each loss works on one tile of linear predictors in place: it turns `eta` into `weight * d loss / d eta` and returns
the weighted sum of losses, in float64 whatever the precision of `eta`. A row of weight zero does not count, even
where its loss would overflow. Adding a loss is one function here and one line in `LOSSES` and `pointwise`.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

Array = npt.NDArray[Any]

# Sums may be reordered and contracted, but infinities and NaNs keep their meaning.
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}


class Loss(NamedTuple):
    """What the rest of the package knows of a loss.

    Parameters
    ----------
    code : int
        Selects the compiled function.
    labels : bool
        Targets are classes, handed on as class indices; otherwise numbers.
    per_class : bool
        One linear predictor per class; otherwise one in all.
    """

    code: int
    labels: bool
    per_class: bool


SQUARED, LOGISTIC, SOFTMAX = 0, 1, 2

LOSSES: dict[str, Loss] = {
    "squared": Loss(SQUARED, labels=False, per_class=False),
    "logistic": Loss(LOGISTIC, labels=True, per_class=False),
    "softmax": Loss(SOFTMAX, labels=True, per_class=True),
}


@njit(inline="always")
def _squared(y: float, eta: float) -> tuple[float, float]:
    """Half the squared residual, as in generalised linear models."""
    residual = eta - y
    return 0.5 * residual * residual, residual


@njit(inline="always")
def _logistic(y: float, eta: float) -> tuple[float, float]:
    """log(1 + exp(eta)) - y eta for y in {0, 1}; no exponential of a positive number, so none overflows."""
    decay = math.exp(-abs(eta))
    probability = 1.0 / (1.0 + decay) if eta >= 0.0 else decay / (1.0 + decay)
    return math.log1p(decay) + max(eta, 0.0) - y * eta, probability - y


@njit(fastmath=FASTMATH, nogil=True, cache=True)
def pointwise(code: int, y: Array, weight: Array, eta: Array) -> float:
    """Loss of a tile; `eta` (rows, outputs) becomes its weighted derivative.

    Parameters
    ----------
    code : int
        One of SQUARED, LOGISTIC, SOFTMAX.
    y : (rows,) array
        Targets, float64; class indices for SOFTMAX.
    weight : (rows,) or (0,) float64 array
        Sample weights; empty means 1 for all.
    eta : (rows, outputs) array
        Linear predictors, float32 or float64; overwritten.

    Returns
    -------
    float
        Weighted sum of losses.
    """
    total = 0.0
    for i in range(eta.shape[0]):
        w = weight[i] if weight.size else 1.0
        if w == 0.0:
            eta[i, :] = 0.0
        elif code == SOFTMAX:
            total += w * _softmax(int(y[i]), eta[i], w)
        else:
            if code == LOGISTIC:
                value, slope = _logistic(y[i], np.float64(eta[i, 0]))
            else:
                value, slope = _squared(y[i], np.float64(eta[i, 0]))
            total += w * value
            eta[i, 0] = w * slope
    return total


@njit(fastmath=FASTMATH, inline="always")
def _softmax(label: int, eta: Array, w: float) -> float:
    """Cross-entropy of softmax(eta) against one class; eta becomes w (softmax(eta) - onehot(label))."""
    top = eta[0]
    for k in range(1, eta.size):
        top = max(top, eta[k])
    margin = np.float64(eta[label]) - np.float64(top)
    total = 0.0
    for k in range(eta.size):
        eta[k] = math.exp(eta[k] - top)
        total += np.float64(eta[k])
    share = w / total
    for k in range(eta.size):
        eta[k] *= share
    eta[label] -= w
    return math.log(total) - margin
