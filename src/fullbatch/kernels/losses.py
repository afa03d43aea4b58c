"""Pointwise losses of eta, the linear predictor: value, slope and curvature as small compiled functions.

A loss is a named tuple of its options (`Huber(delta=1.35)`). Its class tells the compiler which formulas to use, so
that a kernel holds those of one loss only. A loss of one linear predictor is added in one place: its class, its
formulas and its entry in `LOSSES` stand together. Formulas may use the functions of `compiled`. Families of
distributions with any link are in `families.py`.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

import math
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ._pointwise import LOSSES, ROWS, Loss, enter, pointwise
from .compiled import exp_of_negative, inlined, log, log1p_and_share, whole_vectors
from .families import DispersionModel, Gamma, Poisson, Squared, Tweedie

__all__ = ["LOSSES", "DispersionModel", "Gamma", "Loss", "Poisson", "Squared", "Tweedie", "pointwise"]

Array = npt.NDArray[Any]


# --- losses of one linear predictor -----------------------------------------------------------------------------
# In conditional expressions both sides are computed and one is chosen: that is what vectorises.


class Huber(NamedTuple):
    """Half the squared residual up to `delta`, linear from there on."""

    delta: float = 1.35


def _huber(loss, y, eta):
    residual = eta - y
    size = abs(residual)
    inside = not size > loss.delta  # NaN stays inside, and so stays NaN
    value = 0.5 * residual * residual if inside else loss.delta * (size - 0.5 * loss.delta)
    slope = residual if inside else math.copysign(loss.delta, residual)
    return value, slope, 1.0 if inside else 0.0


enter("huber", Huber, _huber, ranges={"delta": (0.0, math.inf)})


class Quantile(NamedTuple):
    """Pinball loss smoothed by a uniform kernel of half-width `smoothing` (He, Pan, Tan and Zhou, 2023)."""

    quantile: float = 0.5
    smoothing: float = 0.1


def _quantile(loss, y, eta):
    residual = eta - y
    size = abs(residual)
    inside = not size > loss.smoothing  # NaN stays inside, and so stays NaN
    half = 0.25 * (residual * residual / loss.smoothing + loss.smoothing) if inside else 0.5 * size
    sign = residual / loss.smoothing if inside else math.copysign(1.0, residual)
    tilt = 0.5 - loss.quantile
    return half + tilt * residual, 0.5 * sign + tilt, 0.5 / loss.smoothing if inside else 0.0


enter("quantile", Quantile, _quantile, ranges={"quantile": (0.0, 1.0), "smoothing": (0.0, math.inf)})


class Logistic(NamedTuple):
    """log(1 + exp(eta)) - y eta for y in {0, 1}."""


def _logistic(loss, y, eta, decay):
    # The share is the probability of the less likely class: that of the other, 1 - small, would lose its digits.
    distance, small = log1p_and_share(decay)
    positive = eta >= 0.0
    value = distance + ((1.0 - y) * eta if positive else -y * eta)
    slope = (1.0 - y) - small if positive else small - y
    return value, slope, small * (1.0 - small)


def _decay(loss, eta):
    return exp_of_negative(-abs(eta))  # never of a positive number, so that none overflows


enter("logistic", Logistic, _logistic, _decay, labels=True)


class SquaredHinge(NamedTuple):
    """max(0, 1 - s eta)**2 with s = -1, 1 for y = 0, 1."""


def _squared_hinge(loss, y, eta):
    sign = 2.0 * y - 1.0
    gap = 1.0 - sign * eta
    gap = 0.0 if gap < 0.0 else gap
    return gap * gap, -2.0 * sign * gap, 2.0 if gap > 0.0 else 0.0


enter("squared_hinge", SquaredHinge, _squared_hinge, labels=True)


# --- losses with straight stretches -----------------------------------------------------------------------------


def straight_from(loss: Any) -> float:
    """The loss, above its least, of a row at which a straight stretch begins; 0 for losses that have none."""
    if isinstance(loss, Huber):
        return 0.5 * loss.delta**2
    return 0.5 * loss.smoothing if isinstance(loss, Quantile) else 0.0


def widened(loss: Any, factor: float) -> tuple[Any, float]:
    """A loss that is curved over a stretch so many times as wide, and what to multiply it by: it has the same slopes
    beyond, and the same minimum as the factor becomes 1.
    """
    if isinstance(loss, Huber):
        return loss._replace(delta=loss.delta * factor), 1.0 / factor
    return (loss._replace(smoothing=loss.smoothing * factor), 1.0) if isinstance(loss, Quantile) else (loss, 1.0)


# --- softmax: one linear predictor per class --------------------------------------------------------------------


class Softmax(NamedTuple):
    """Cross-entropy of softmax(eta) against one class."""


def _softmax_rows(loss, y, weight, eta, curvature):
    """Every loop runs along the rows, which vectorises."""
    whole_vectors()
    outputs, rows = eta.shape[0], y.size
    top, total, square = np.empty(rows), np.zeros(rows), np.zeros(rows)
    value, squares = 0.0, 0.0
    for i in range(rows):
        top[i] = -np.inf
    for k in range(outputs):
        for i in range(rows):
            e = eta[k, i] if weight[i] != 0.0 else 0.0  # as above
            eta[k, i] = e
            top[i] = e if e > top[i] else top[i]
    for k in range(outputs):
        for i in range(rows):
            e = eta[k, i] - top[i]
            value -= weight[i] * e if y[i] == k else 0.0
            power = exp_of_negative(e)
            eta[k, i] = power
            total[i] += power
    for i in range(rows):
        value += weight[i] * log(total[i])
        total[i] = weight[i] / total[i]
    for k in range(outputs):
        for i in range(rows):
            share = total[i] * eta[k, i]
            slope = share - (weight[i] if y[i] == k else 0.0)
            eta[k, i] = slope
            square[i] += slope * slope
            if curvature is not None:
                curvature[k, i] = share
    for i in range(rows):
        squares += square[i] / weight[i] if weight[i] != 0.0 else 0.0
    return value, squares


ROWS[Softmax] = _softmax_rows
LOSSES["softmax"] = Loss(Softmax, labels=True, per_class=True)


@inlined
def softmax_hess_vec(weight: Array, curvature: Array, direction: Array) -> None:
    """Direction of eta, (outputs, rows), becomes the weighted Hessian of softmax times it."""
    outputs, rows = direction.shape[0], weight.size
    along = np.zeros(rows)
    for k in range(outputs):
        share, d = curvature[k], direction[k]
        for i in range(rows):
            along[i] += share[i] * d[i]
    for i in range(rows):
        along[i] = along[i] / weight[i] if weight[i] != 0.0 else 0.0
    for k in range(outputs):
        share, d = curvature[k], direction[k]
        for i in range(rows):
            d[i] = share[i] * (d[i] - along[i]) if weight[i] != 0.0 else 0.0


@inlined
def softmax_diagonal(weight: Array, curvature: Array) -> None:
    """Weighted probabilities become the weighted second derivatives p (1 - p)."""
    for k in range(curvature.shape[0]):
        share = curvature[k]
        for i in range(weight.size):
            share[i] = share[i] * (1.0 - share[i] / weight[i]) if weight[i] != 0.0 else 0.0
