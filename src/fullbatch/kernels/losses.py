"""Pointwise losses of eta, the linear predictor: value, slope and curvature as small compiled functions.

A loss is a named tuple of its options (`Huber(delta=1.35)`). Its class tells the compiler which formulas to use, so
that a kernel holds those of one loss only. A loss of one linear predictor is added in one place: its class, its
formulas and its entry in `LOSSES` stand together. Formulas may use the functions of `compiled`.

`pointwise` applies a loss to a tile of rows, in float64 whatever the precision of the data: that costs little beside
the products with X, and the line search lives on the last digits of the loss.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba.extending import overload

from .compiled import INSIDE, as_written, exp, exp_of_negative, inlined, log, log1p_and_share, whole_vectors

Array = npt.NDArray[Any]


class Loss(NamedTuple):
    """What the rest of the package knows of a loss.

    Parameters
    ----------
    kind : type
        The named tuple of the loss' options, with their defaults.
    labels : bool
        Targets are classes, handed on as class indices; otherwise numbers.
    per_class : bool
        One linear predictor per class; otherwise one in all.
    least : float
        Least target.
    least_allowed : bool
        Whether the least target is itself allowed.
    ranges : mapping of str to (float, float)
        What each option lies between; the ends are not allowed.
    """

    kind: Any
    labels: bool = False
    per_class: bool = False
    least: float = -math.inf
    least_allowed: bool = True
    ranges: Mapping[str, tuple[float, float]] = MappingProxyType({})


LOSSES: dict[str, Loss] = {}

# The loop over a tile of rows for each class of loss.
_ROWS: dict[type, Callable] = {}


# --- a loss and a tile of rows ----------------------------------------------------------------------------------


def pointwise(loss: Any, y: Array, weight: Array, eta: Array, curvature: Array | None) -> tuple[float, float]:
    """Loss of a tile; `eta` becomes its weighted slope. To be called from compiled code.

    A row of weight zero counts nothing, even where its loss overflows.

    Parameters
    ----------
    loss : named tuple
        One of the classes below.
    y, weight : (rows,) float64 arrays
        Targets (class indices where the loss takes classes) and sample weights.
    eta : (outputs, at least rows) float64 array
        Linear predictors; overwritten by weight * d loss / d eta.
    curvature : (outputs, at least rows) float64 array or None
        Overwritten by weight * d2 loss / d eta2; for softmax, by the weight times the probabilities, from which its
        second derivatives follow. None where they are not wanted.

    Returns
    -------
    value : float
        Weighted sum of losses.
    squares : float
        Weighted sum of squared slopes, over all predictors.
    """
    raise TypeError("call it from compiled code")


@overload(pointwise, jit_options=INSIDE)
def _pointwise(loss, y, weight, eta, curvature):
    return _ROWS[loss.instance_class]


def _one_output(name: str, kind: type, formulas: Callable, exponential: Callable | None = None, **traits: Any) -> None:
    """Enter a loss of one linear predictor: `formulas(loss, y, eta)` gives value, slope and curvature in eta.

    With `exponential(loss, eta)`, its answers for all rows come first, and `formulas(loss, y, eta, answer)` take them:
    two short loops keep a processor busier than a long one, in which each result waits for the one before.
    """
    formulas = as_written(formulas)

    def rows(loss, y, weight, eta, curvature):
        whole_vectors()
        total, squares = 0.0, 0.0
        slope_of_row = eta[0]
        for i in range(y.size):
            # A row without weight is given eta 0, where every loss is finite, so that zero times it is zero.
            w = weight[i]
            value, slope, second = formulas(loss, y[i], slope_of_row[i] if w != 0.0 else 0.0)
            total += w * value
            slope_of_row[i] = w * slope
            squares += w * slope * slope
            if curvature is not None:
                curvature[0, i] = w * second
        return total, squares

    if exponential is not None:
        exponential = as_written(exponential)

        def rows(loss, y, weight, eta, curvature):
            whole_vectors()
            total, squares = 0.0, 0.0
            slope_of_row, power = eta[0], np.empty(y.size)
            for i in range(y.size):
                e = slope_of_row[i] if weight[i] != 0.0 else 0.0
                slope_of_row[i] = e
                power[i] = exponential(loss, e)
            for i in range(y.size):
                value, slope, second = formulas(loss, y[i], slope_of_row[i], power[i])
                total += weight[i] * value
                slope_of_row[i] = weight[i] * slope
                squares += weight[i] * slope * slope
                if curvature is not None:
                    curvature[0, i] = weight[i] * second
            return total, squares

    _ROWS[kind] = rows
    LOSSES[name] = Loss(kind, **traits)


# --- losses of one linear predictor -----------------------------------------------------------------------------
# In conditional expressions both sides are computed and one is chosen: that is what vectorises.


class Squared(NamedTuple):
    """Half the squared residual, as in generalised linear models."""


def _squared(loss, y, eta):
    residual = eta - y
    return 0.5 * residual * residual, residual, 1.0


_one_output("squared", Squared, _squared)


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


_one_output("huber", Huber, _huber, ranges={"delta": (0.0, math.inf)})


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


_one_output("quantile", Quantile, _quantile, ranges={"quantile": (0.0, 1.0), "smoothing": (0.0, math.inf)})


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


_one_output("logistic", Logistic, _logistic, _decay, labels=True)


class SquaredHinge(NamedTuple):
    """max(0, 1 - s eta)**2 with s = -1, 1 for y = 0, 1."""


def _squared_hinge(loss, y, eta):
    sign = 2.0 * y - 1.0
    gap = 1.0 - sign * eta
    gap = 0.0 if gap < 0.0 else gap
    return gap * gap, -2.0 * sign * gap, 2.0 if gap > 0.0 else 0.0


_one_output("squared_hinge", SquaredHinge, _squared_hinge, labels=True)


class Poisson(NamedTuple):
    """exp(eta) - y eta: half the deviance with the logarithmic link, up to a constant."""


def _poisson(loss, y, eta, mean):
    return mean - y * eta, mean - y, mean


_one_output("poisson", Poisson, _poisson, lambda loss, eta: exp(eta), least=0.0)


class Gamma(NamedTuple):
    """y exp(-eta) + eta: half the deviance with the logarithmic link, up to a constant."""


def _gamma(loss, y, eta, reciprocal):
    ratio = y * reciprocal
    return ratio + eta, 1.0 - ratio, ratio


_one_output("gamma", Gamma, _gamma, lambda loss, eta: exp(-eta), least=0.0, least_allowed=False)


class Tweedie(NamedTuple):
    """Half the deviance of variance `power`, between 1 and 2, with the logarithmic link, up to a constant."""

    power: float = 1.5


def _tweedie(loss, y, eta, rising):
    rise, fall = 2.0 - loss.power, loss.power - 1.0
    falling = y * exp(-fall * eta) if y > 0.0 else 0.0  # 0 times an overflow would be NaN
    return rising / rise + falling / fall, rising - falling, rise * rising + fall * falling


_one_output(
    "tweedie",
    Tweedie,
    _tweedie,
    lambda loss, eta: exp((2.0 - loss.power) * eta),
    least=0.0,
    ranges={"power": (1.0, 2.0)},
)


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


_ROWS[Softmax] = _softmax_rows
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
