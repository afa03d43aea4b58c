"""Losses of any family with any link in plain NumPy: what `kernels.families` compiles, by SciPy's functions.

Half the deviance, up to a constant, as a function of the linear predictor; infinite outside of what the link allows.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import erfcx, expit, log_expit

from ..kernels.families import (
    BINOMIAL,
    CLOGLOG,
    IDENTITY,
    LOG,
    LOGIT,
    NEGATIVE_BINOMIAL,
    PROBIT,
    DispersionModel,
    eta_allowed,
)

Array = npt.NDArray[Any]

_ROOT_OF_2_BY_PI = np.sqrt(2.0 / np.pi)

# Below it 1 - t - t / (exp(t) - 1) is summed by its series: it would cancel.
_SMALL = 0.1


def dispersion_model(loss: DispersionModel, y: Array, eta: Array) -> tuple[Array, Array, Array]:
    """Value, slope and second derivative of each row, (1, n) each, at predictors eta, (1, n)."""
    least, most = eta_allowed(loss)
    if loss.edge > 0:
        within = np.clip(eta, least + loss.edge, most - loss.edge)
        value, slope, own, expected = _at(loss, y, within)
        beyond = np.where(within == eta, 0.0, eta - within)
        is_beyond = np.abs(beyond) > 0
        value = np.where(is_beyond, value + beyond * (slope + 0.5 * expected * beyond), value)
        slope = np.where(is_beyond, slope + expected * beyond, slope)
        second, outside = np.where(is_beyond | loss.expected, expected, own), np.isinf(eta) & ~is_beyond
    else:
        outside = (eta <= least) | (eta >= most)
        value, slope, own, expected = _at(loss, y, np.where(outside, _allowed(least, most), eta))
        second = expected if loss.expected else own
    value, slope, second = (np.where(outside, np.inf, one) for one in (value, slope, second))
    return value, slope, second


def _allowed(least: float, most: float) -> float:
    """Some predictor that is allowed."""
    if np.isfinite(least):
        return least + 1.0 if np.isinf(most) else 0.5 * (least + most)
    return most - 1.0 if np.isfinite(most) else 0.0


def _at(loss: DispersionModel, y: Array, x: Array) -> tuple[Array, Array, Array, Array]:
    """Value, slope, and second derivatives: the rows' own, and expected."""
    return _of_share(loss, y, x) if loss.family == BINOMIAL else _of_mean(loss, y, x)


# --- shares --------------------------------------------------------------------------------------------------------
# Of log p and log (1 - p): their values, the sizes of their slopes, and their second derivatives.

Logarithms = tuple[Array, Array, Array, Array, Array, Array]


def _logit(x: Array) -> Logarithms:
    p, q = expit(x), expit(-x)
    return log_expit(x), log_expit(-x), q, p, -p * q, p * q


def _probit(x: Array) -> Logarithms:
    s = np.abs(x)
    scaled, gauss = erfcx(s * np.sqrt(0.5)), np.exp(-0.5 * s * s)
    tail = 0.5 * gauss * scaled
    log_tail, log_rest = np.log(0.5 * scaled) - 0.5 * s * s, np.log1p(-tail)
    hazard, other = _ROOT_OF_2_BY_PI / scaled, 0.5 * _ROOT_OF_2_BY_PI * gauss / (1.0 - tail)
    curved, bent = np.clip(hazard * (hazard - s), 0.0, 1.0), other * (other + s)
    up = x >= 0
    return (
        np.where(up, log_rest, log_tail),
        np.where(up, log_tail, log_rest),
        np.where(up, other, hazard),
        np.where(up, hazard, other),
        np.where(up, -bent, -curved),
        np.where(up, curved, bent),
    )


def _log_of_rest(x: Array) -> Array:
    """log(1 - exp(x)) of x below 0 (Maechler, 2012)."""
    return np.where(x > -np.log(2.0), np.log(-np.expm1(x)), np.log1p(-np.exp(x)))


def _cloglog(x: Array) -> Logarithms:
    t = np.exp(x)
    capped = np.minimum(t, 750.0)
    share = np.where(t != 0, capped * np.exp(-capped) / -np.expm1(-capped), 1.0)
    # 1 - t - share = -t / 2 - t^2 / 12 + t^4 / 720 - t^6 / 30240 + t^8 / 1209600 - ...
    square = t * t
    series = -0.5 * t - square * (1 / 12 - square * (1 / 720 - square * (1 / 30240 - square / 1209600)))
    bend = share * np.where(t < _SMALL, series, 1.0 - capped - share)
    log_p = np.where(t > 1e-300, _log_of_rest(-capped), x)  # where exp(x) underflows p is exp(x) as well
    return log_p, -t, share, t, bend, t


def _log_share(x: Array) -> Logarithms:
    odds = 1.0 / np.expm1(-x)
    return x, _log_of_rest(x), np.ones_like(x), odds, np.zeros_like(x), odds * (1.0 + odds)


def _identity_share(x: Array) -> Logarithms:
    one, other = 1.0 / x, 1.0 / (1.0 - x)
    return np.log(x), np.log1p(-x), one, other, -one * one, other * other


_LOGARITHMS = {LOGIT: _logit, PROBIT: _probit, CLOGLOG: _cloglog, LOG: _log_share, IDENTITY: _identity_share}


def _of_share(loss: DispersionModel, y: Array, x: Array) -> tuple[Array, Array, Array, Array]:
    log_p, log_q, up, down, bend_p, bend_q = _LOGARITHMS[loss.link](x)
    n = 1.0 - y

    def sum_of(of_p: Array, of_q: Array) -> Array:
        """Zero times infinity is no zero."""
        return np.where(y != 0, y * of_p, 0.0) + np.where(n != 0, n * of_q, 0.0)

    return sum_of(-log_p, -log_q), sum_of(-up, down), sum_of(-bend_p, bend_q), up * down


# --- means ---------------------------------------------------------------------------------------------------------


def _of_mean(loss: DispersionModel, y: Array, x: Array) -> tuple[Array, Array, Array, Array]:
    """By the relative derivatives m' / m and m'' / m of a mean m: so nothing is 0 / 0 where it underflows."""
    if loss.link == LOG:
        m, log_m, rate, bend = np.exp(x), x, np.ones_like(x), np.ones_like(x)
    elif loss.link == IDENTITY:
        m, log_m, rate, bend = x, np.log(np.abs(x)), 1.0 / x, np.zeros_like(x)
    else:
        m = 1.0 / x
        log_m, rate, bend = -np.log(np.abs(x)), -m, 2.0 * m * m
    some = y != 0
    if loss.family == NEGATIVE_BINOMIAL:
        above = 1.0 + loss.theta * m
        value = (y + 1.0 / loss.theta) * np.log1p(loss.theta * m) - np.where(some, y * log_m, 0.0)
        gap, expected = (m - y) / above, m * rate * rate / above
        return value, gap * rate, expected + gap * (bend - rate * rate * (2.0 - 1.0 / above)), expected
    power = loss.power
    if power == 0.0:
        rising, falling = m * m, m
        value = 0.5 * (m - y) ** 2
    elif power == 1.0:
        rising, falling = m, np.ones_like(m)
        value = m - np.where(some, y * log_m, 0.0)
    elif power == 2.0:
        rising, falling = np.ones_like(m), 1.0 / m
        value = y * falling + log_m
    else:
        rising, falling = np.exp((2.0 - power) * log_m), np.exp((1.0 - power) * log_m)
        value = rising / (2.0 - power) - y * falling / (1.0 - power)
    gap, expected = rising - np.where(some, y * falling, 0.0), rising * rate * rate
    return value, gap * rate, expected + gap * (bend - power * rate * rate), expected
