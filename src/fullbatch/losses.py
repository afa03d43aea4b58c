"""Pointwise losses of eta, the linear predictor: value, slope and curvature as small compiled functions.

A loss is a named tuple of its options (`Huber(delta=1.35)`). Its class tells the compiler which formulas to use, so
that a kernel holds those of one loss only. A loss of one linear predictor is added in one place: its class, its
formulas and its entry in `LOSSES` stand together. Formulas may use `exp`, `log` and `log1p` of this module: they are
polynomials, which the compiler vectorises and which give the same bits whichever mathematical library there is.

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
from numba import njit
from numba.extending import overload

Array = npt.NDArray[Any]

# Sums may be reordered and contracted, but infinities and NaNs keep their meaning: a bad trial point must be seen.
FASTMATH = {"reassoc", "contract", "nsz", "arcp"}
# The polynomials' roundings are meant as written: `(x + big) - big` must not become x.
AS_WRITTEN = {"contract"}
# Division follows IEEE 754: a check for zero is an exit from the loop, which then does not vectorise.
COMPILED: dict[str, Any] = {"fastmath": FASTMATH, "error_model": "numpy", "nogil": True}
_scalar = njit(fastmath=AS_WRITTEN, error_model="numpy", forceinline=True)
inlined = njit(**COMPILED)


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


# --- exp, log, log1p ------------------------------------------------------------------------------------------

_LOG2_E = 1.4426950408889634
_LN2 = 0.6931471805599453
_LN2_HIGH = 6.93147180369123816490e-01  # its last bits are zero: an integer below 2**20 times it is exact
_LN2_LOW = 1.90821492927058770002e-10
# Adding 1.5 * 2**52 rounds a number to an integer and leaves that integer in the lowest bits of the sum.
_ROUND = 6755399441055744.0
_EXP_TAYLOR = tuple(1.0 / math.factorial(k) for k in range(13, -1, -1))
_ATANH_TAYLOR = tuple(1.0 / k for k in range(23, 0, -2))


@_scalar
def exp(x: float) -> Any:
    """e**x to within 1 unit in the last place; 0 below -708 and infinity above 709."""
    shifted = np.float64(x * _LOG2_E + _ROUND)
    n = shifted - _ROUND
    r = (x - n * _LN2_HIGH) - n * _LN2_LOW
    total = 0.0
    for coefficient in _EXP_TAYLOR:
        total = total * r + coefficient
    bits = (shifted.view(np.int64) << np.int64(52)) + np.int64(1023 << 52)
    result = total * np.int64(bits).view(np.float64)
    cut = 0.0 if x < -708.0 else result
    return math.inf if x > 709.0 else cut


@_scalar
def _log_ratio(numerator, denominator):
    """log((d + n) / (d - n)) = 2 atanh(n / d) for |n / d| up to 3 - sqrt(8): of numbers from sqrt(1/2) to sqrt(2)."""
    s = numerator / denominator
    square = s * s
    total = 0.0
    for coefficient in _ATANH_TAYLOR:
        total = total * square + coefficient
    return 2.0 * s * total


@_scalar
def log1p(x: float) -> Any:
    """log(1 + x) for x in [0, 1], accurate down to the smallest x."""
    large = x > 0.4142135623730951
    ratio = _log_ratio(x - 1.0 if large else x, 3.0 + x if large else 2.0 + x)
    return ratio + (_LN2 if large else 0.0)


@_scalar
def log(x: float) -> Any:
    """log(x) for finite x of at least 1."""
    # Split x = m 2**e with m in [sqrt(1/2), sqrt(2)); e is small, so it becomes a float by way of the lowest bits.
    bits = np.float64(x).view(np.int64) + np.int64(0x0009_5F61_9980_C433)  # carries into e when m would exceed sqrt(2)
    exponent = (bits >> np.int64(52)) - np.int64(1023)
    e = np.int64(exponent + np.int64(0x4338_0000_0000_0000)).view(np.float64) - _ROUND
    m = np.int64(np.float64(x).view(np.int64) - (exponent << np.int64(52))).view(np.float64)
    result = e * _LN2 + _log_ratio(m - 1.0, m + 1.0)
    return x if math.isnan(x) else result


# --- a loss and a tile of rows ----------------------------------------------------------------------------------


def pointwise(loss: Any, y: Array, weight: Array, eta: Array, curvature: Array) -> float:
    """Loss of a tile; `eta` becomes its weighted slope. To be called from compiled code.

    A row of weight zero counts nothing, even where its loss overflows.

    Parameters
    ----------
    loss : named tuple
        One of the classes below.
    y, weight : (rows,) float64 arrays
        Targets (class indices where the loss takes classes) and sample weights.
    eta : (outputs, rows) float64 array
        Linear predictors; overwritten by weight * d loss / d eta.
    curvature : (outputs, rows) float64 array
        Overwritten by weight * d2 loss / d eta2; for softmax, by the weight times the probabilities, from which its
        second derivatives follow.

    Returns
    -------
    float
        Weighted sum of losses.
    """
    raise TypeError("call it from compiled code")


@overload(pointwise, jit_options=COMPILED)
def _pointwise(loss, y, weight, eta, curvature):
    return _ROWS[loss.instance_class]


def _one_output(name: str, kind: type, formulas: Callable, **traits: Any) -> None:
    """Enter a loss of one linear predictor: `formulas(loss, y, eta)` gives value, slope and curvature in eta."""
    formulas = _scalar(formulas)

    def rows(loss, y, weight, eta, curvature):
        total = 0.0
        slope_of_row, curvature_of_row = eta[0], curvature[0]
        for i in range(slope_of_row.size):
            # A row without weight is given eta 0, where every loss is finite, so that zero times it is zero.
            w = weight[i]
            value, slope, second = formulas(loss, y[i], slope_of_row[i] if w != 0.0 else 0.0)
            total += w * value
            slope_of_row[i] = w * slope
            curvature_of_row[i] = w * second
        return total

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


def _logistic(loss, y, eta):
    decay = exp(-abs(eta))  # never of a positive number, so that none overflows
    small = decay / (1.0 + decay)  # probability of the less likely class: 1 - small would lose its digits
    positive = eta >= 0.0
    value = log1p(decay) + ((1.0 - y) * eta if positive else -y * eta)
    slope = (1.0 - y) - small if positive else small - y
    return value, slope, small * (1.0 - small)


_one_output("logistic", Logistic, _logistic, labels=True)


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


def _poisson(loss, y, eta):
    mean = exp(eta)
    return mean - y * eta, mean - y, mean


_one_output("poisson", Poisson, _poisson, least=0.0)


class Gamma(NamedTuple):
    """y exp(-eta) + eta: half the deviance with the logarithmic link, up to a constant."""


def _gamma(loss, y, eta):
    ratio = y * exp(-eta)
    return ratio + eta, 1.0 - ratio, ratio


_one_output("gamma", Gamma, _gamma, least=0.0, least_allowed=False)


class Tweedie(NamedTuple):
    """Half the deviance of variance `power`, between 1 and 2, with the logarithmic link, up to a constant."""

    power: float = 1.5


def _tweedie(loss, y, eta):
    rise, fall = 2.0 - loss.power, loss.power - 1.0
    rising = exp(rise * eta)
    falling = y * exp(-fall * eta) if y > 0.0 else 0.0  # 0 times an overflow would be NaN
    return rising / rise + falling / fall, rising - falling, rise * rising + fall * falling


_one_output("tweedie", Tweedie, _tweedie, least=0.0, ranges={"power": (1.0, 2.0)})


# --- softmax: one linear predictor per class --------------------------------------------------------------------


class Softmax(NamedTuple):
    """Cross-entropy of softmax(eta) against one class."""


def _softmax_rows(loss, y, weight, eta, curvature):
    """Every loop runs along the rows, which vectorises."""
    outputs, rows = eta.shape
    top, total = np.empty(rows), np.zeros(rows)
    for i in range(rows):
        top[i] = -np.inf
    for k in range(outputs):
        e = eta[k]
        for i in range(rows):
            e[i] = e[i] if weight[i] != 0.0 else 0.0  # as above
            top[i] = e[i] if e[i] > top[i] else top[i]
    value = 0.0
    for i in range(rows):
        value -= weight[i] * (eta[int(y[i]), i] - top[i])
    for k in range(outputs):
        e = eta[k]
        for i in range(rows):
            power = exp(e[i] - top[i])
            e[i] = power
            total[i] += power
    for i in range(rows):
        value += weight[i] * log(total[i])
        total[i] = weight[i] / total[i]
    for k in range(outputs):
        e, probability = eta[k], curvature[k]
        for i in range(rows):
            share = total[i] * e[i]
            e[i] = share
            probability[i] = share
    for i in range(rows):
        eta[int(y[i]), i] -= weight[i]
    return value


_ROWS[Softmax] = _softmax_rows
LOSSES["softmax"] = Loss(Softmax, labels=True, per_class=True)


@inlined
def softmax_hess_vec(weight: Array, curvature: Array, direction: Array) -> None:
    """Direction of eta, (outputs, rows), becomes the weighted Hessian of softmax times it."""
    outputs, rows = direction.shape
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
        for i in range(share.size):
            share[i] = share[i] * (1.0 - share[i] / weight[i]) if weight[i] != 0.0 else 0.0
