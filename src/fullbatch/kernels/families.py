"""Losses of families of distributions: half the deviance, up to a constant, of a mean that a link makes of eta.

The usual pairs of a family and a link have classes and formulas of their own. All others are one class,
`DispersionModel`, whose family and link are numbers, so that one kernel serves all of them: the link makes a mean and
its relative derivatives of eta, and the family a loss of these. The binomial family asks for more than a mean: of
probabilities near 1 nothing is left of 1 - p, so that each of its links has formulas for both logarithms.

Outside of what a link allows (a mean that is not positive, a probability of 1 or more) the loss is infinite, so that
line searches step back. A `DispersionModel` with an `edge` is a parabola there, from where fits find means that are
allowed.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

import math
from typing import Any, NamedTuple

import numpy as np

from ._pointwise import LOSSES, ROWS, Loss, enter
from .compiled import _atanh, as_written, exp, log, log1p_and_share

# --- pairs with formulas of their own ---------------------------------------------------------------------------
# In conditional expressions both sides are computed and one is chosen: that is what vectorises.


class Squared(NamedTuple):
    """Half the squared residual, as in generalised linear models."""


def _squared(loss, y, eta):
    residual = eta - y
    return 0.5 * residual * residual, residual, 1.0


enter("squared", Squared, _squared)


class Poisson(NamedTuple):
    """exp(eta) - y eta: half the deviance with the logarithmic link, up to a constant."""


def _poisson(loss, y, eta, mean):
    return mean - y * eta, mean - y, mean


enter("poisson", Poisson, _poisson, lambda loss, eta: exp(eta), least=0.0)


class Gamma(NamedTuple):
    """y exp(-eta) + eta: half the deviance with the logarithmic link, up to a constant."""


def _gamma(loss, y, eta, reciprocal):
    ratio = y * reciprocal
    return ratio + eta, 1.0 - ratio, ratio


enter("gamma", Gamma, _gamma, lambda loss, eta: exp(-eta), least=0.0, least_allowed=False)


class Tweedie(NamedTuple):
    """Half the deviance of variance `power`, between 1 and 2, with the logarithmic link, up to a constant."""

    power: float = 1.5


def _tweedie(loss, y, eta, rising):
    rise, fall = 2.0 - loss.power, loss.power - 1.0
    falling = y * exp(-fall * eta) if y > 0.0 else 0.0  # 0 times an overflow would be NaN
    return rising / rise + falling / fall, rising - falling, rise * rising + fall * falling


enter(
    "tweedie",
    Tweedie,
    _tweedie,
    lambda loss, eta: exp((2.0 - loss.power) * eta),
    least=0.0,
    ranges={"power": (1.0, 2.0)},
)


# --- any family with any link -----------------------------------------------------------------------------------

# Families by the form of the variance: a power of the mean; mean (1 - mean); mean + theta mean^2.
POWER, BINOMIAL, NEGATIVE_BINOMIAL = range(3)
IDENTITY, LOG, INVERSE, LOGIT, PROBIT, CLOGLOG = range(6)
LINKS = {"identity": IDENTITY, "log": LOG, "inverse": INVERSE, "logit": LOGIT, "probit": PROBIT, "cloglog": CLOGLOG}
_OF_MEANS, _OF_SHARES = ("log", "identity", "inverse"), ("logit", "probit", "cloglog", "log", "identity")


class DispersionModel(NamedTuple):
    """Half the deviance of a family with a link, up to a constant (Jorgensen, The Theory of Dispersion Models, 1997).

    Parameters
    ----------
    family, link : int
        Of the names above.
    power : float
        Of the mean, for the family of that form.
    theta : float
        Of the negative binomial family.
    edge : float
        How far within the allowed eta the loss is itself; beyond, it goes on as a parabola. 0 for infinity instead.
    expected : bool
        Whether second derivatives are those that the model expects, which are never negative, instead of the rows' own.
    """

    family: int
    link: int
    power: float = 0.0
    theta: float = 1.0
    edge: float = 0.0
    expected: bool = False


# exp(t) - 1 = t G(t) for t up to 1, and what is left of G when 1 + t G' is taken: their series.
_G = tuple(1.0 / math.factorial(k + 1) for k in range(19))
_K = tuple(k / math.factorial(k + 1) for k in range(1, 20))

# (1 + 2 z) erfcx(z) in t = (z - 3.75) / (z + 3.75), by Chebyshev's polynomials (Shepherd and Laframboise, 1981);
# computed in 60 digits (error 3e-18).
_ERFCX = (
    1.1775789345674017, -0.004590054580646478, -0.08424913336651792, 0.05920993999819189, -0.026658668435305753,
    0.009074997670705265, -0.002413163540417608, 0.0004907758365258086, -6.916973302501207e-05, 4.13902798607301e-06,
    7.74038306619849e-07, -2.1886401049234397e-07, 1.076499946567091e-08, 4.521959811218287e-09, -7.754400208831351e-10,
    -6.318088340886684e-11, 2.86879501093067e-11, 1.9455868545777347e-13, -9.65469674843344e-13, 3.25254814814874e-14,
    3.3478119482868056e-14, -1.864562880419313e-15, -1.2507950530688648e-15, 7.418235256624044e-17,
    5.068148904796111e-17,
)  # fmt: skip
_HALF_ROOT, _ROOT_OF_2_BY_PI = 0.7071067811865476, 0.7978845608028654
_KEPT_BITS = np.int64(-(1 << 27))  # of a number whose square is exact


@as_written
def _log(x):
    """log(x) of a number of 0 or more."""
    result = log(x)
    result = -math.inf if x < 2.3e-308 else result
    return math.inf if x > 1.7e308 else result


@as_written
def _log1p(x):
    """log(1 + x) of a number of 0 or more."""
    below, _ = log1p_and_share(x if x <= 1.0 else 1.0)
    above = _log(1.0 + x)
    return below if x <= 1.0 else above


@as_written
def _log1m(x):
    """log(1 - x) for x from 0 to 1/2."""
    return -2.0 * _atanh(x / (2.0 - x))


@as_written
def _series(c, x):
    total = c[len(c) - 1]
    for k in range(len(c) - 2, -1, -1):
        total = total * x + c[k]
    return total


@as_written
def _erfcx(z):
    """exp(z^2) erfc(z) for z of 0 or more."""
    t = (z - 3.75) / (z + 3.75) if z < 1e300 else 1.0
    one, two = 0.0, 0.0
    for k in range(len(_ERFCX) - 1, 0, -1):
        one, two = 2.0 * t * one - two + _ERFCX[k], one
    return (t * one - two + _ERFCX[0]) / (1.0 + 2.0 * z)


@as_written
def _half_gauss(s):
    """exp(-s^2 / 2) for s of 0 or more, to the last digits: those of s^2 count."""
    s = 39.0 if s > 39.0 else s
    high = np.int64(np.float64(s).view(np.int64) & _KEPT_BITS).view(np.float64)
    rest = -0.5 * (s - high) * (s + high)
    return exp(-0.5 * high * high) * (1.0 + rest * (1.0 + rest * (0.5 + rest * (1.0 / 6.0))))


@as_written
def _of_logit(x):
    distance, small = log1p_and_share(exp(-abs(x)))
    positive = x >= 0.0
    log_p = -distance if positive else x - distance
    log_q = -distance - x if positive else -distance
    p = 1.0 - small if positive else small
    q = small if positive else 1.0 - small
    return log_p, log_q, q, p, -p * q, p * q


@as_written
def _of_probit(x):
    s = abs(x)
    scaled = _erfcx(s * _HALF_ROOT)
    gauss = _half_gauss(s)
    tail = 0.5 * gauss * scaled
    log_tail, log_rest = -0.5 * s * s + _log(0.5 * scaled), _log1m(tail)
    hazard, other = _ROOT_OF_2_BY_PI / scaled, 0.5 * _ROOT_OF_2_BY_PI * gauss / (1.0 - tail)
    curved = hazard * (hazard - s)  # between 0 and 1
    curved = 0.0 if curved < 0.0 else curved
    curved = 1.0 if curved > 1.0 else curved
    bent = other * (other + s)
    if x >= 0.0:
        return log_rest, log_tail, other, hazard, -bent, curved
    return log_tail, log_rest, hazard, other, -curved, bent


@as_written
def _of_cloglog(x):
    t = exp(x)
    if t <= 1.0:
        g = _series(_G, t)
        share = 1.0 / g
        return x + _log(g) - t, -t, share, t, -share * share * t * _series(_K, t), t
    capped = 750.0 if t > 750.0 else t
    decay = exp(-capped)
    share = capped * decay / (1.0 - decay)
    return _log1m(decay), -t, share, t, share * (1.0 - capped - share), t


@as_written
def _of_log_share(x):
    t = -x
    if t <= 1.0:
        g = _series(_G, t)
        odds, log_q = 1.0 / (t * g), _log(t) + _log(g) - t
    else:
        decay = exp(x)
        odds, log_q = decay / (1.0 - decay), _log1m(decay)
    return x, log_q, 1.0, odds, 0.0, odds * (1.0 + odds)


@as_written
def _of_share(x):
    one, other = 1.0 / x, 1.0 / (1.0 - x)
    return _log(x), _log(1.0 - x), one, other, -one * one, other * other


@as_written
def _binomial(loss, y, x):
    """Value, slope, and second derivatives: the row's own, and expected. Of the logarithms of p and 1 - p come their
    values, the slopes' sizes and the second derivatives.
    """
    if loss.link == LOGIT:
        log_p, log_q, up, down, bend_p, bend_q = _of_logit(x)
    elif loss.link == PROBIT:
        log_p, log_q, up, down, bend_p, bend_q = _of_probit(x)
    elif loss.link == CLOGLOG:
        log_p, log_q, up, down, bend_p, bend_q = _of_cloglog(x)
    elif loss.link == LOG:
        log_p, log_q, up, down, bend_p, bend_q = _of_log_share(x)
    else:
        log_p, log_q, up, down, bend_p, bend_q = _of_share(x)
    value, slope, second, n = 0.0, 0.0, 0.0, 1.0 - y
    if y != 0.0:  # zero times infinity is no zero
        value, slope, second = -y * log_p, -y * up, -y * bend_p
    if n != 0.0:
        value, slope, second = value - n * log_q, slope + n * down, second + n * bend_q
    return value, slope, second, up * down


@as_written
def _of_mean(loss, y, x):
    """The same of a mean m: with the relative derivatives m' / m and m'' / m nothing is 0 / 0 where it underflows."""
    if loss.link == LOG:
        m, log_m, rate, bend = exp(x), x, 1.0, 1.0
    elif loss.link == IDENTITY:
        m, log_m, rate, bend = x, _log(abs(x)), 1.0 / x, 0.0
    else:
        m = 1.0 / x
        log_m, rate, bend = -_log(abs(x)), -m, 2.0 * m * m
    if loss.family == NEGATIVE_BINOMIAL:
        above = 1.0 + loss.theta * m
        value = (y + 1.0 / loss.theta) * _log1p(loss.theta * m)
        value = value - y * log_m if y != 0.0 else value
        gap = (m - y) / above
        expected = m * rate * rate / above
        return value, gap * rate, expected + gap * (bend - rate * rate * (2.0 - 1.0 / above)), expected
    power = loss.power
    if power == 0.0:
        rising, falling = m * m, m
        value = 0.5 * (m - y) * (m - y)
    elif power == 1.0:
        rising, falling = m, 1.0
        value = m - y * log_m if y != 0.0 else m
    elif power == 2.0:
        rising, falling = 1.0, 1.0 / m
        value = y * falling + log_m
    else:
        rising, falling = exp((2.0 - power) * log_m), exp((1.0 - power) * log_m)
        value = rising / (2.0 - power) - y * falling / (1.0 - power)
    gap, expected = rising - y * falling if y != 0.0 else rising, rising * rate * rate
    return value, gap * rate, expected + gap * (bend - power * rate * rate), expected


@as_written
def _dispersion_model(loss, y, x):
    return _binomial(loss, y, x) if loss.family == BINOMIAL else _of_mean(loss, y, x)


@as_written
def _allowed(loss):
    """Least and largest eta: neither is itself allowed."""
    if loss.family == BINOMIAL:
        least = 0.0 if loss.link == IDENTITY else -math.inf
        return least, 1.0 if loss.link == IDENTITY else 0.0 if loss.link == LOG else math.inf
    return (-math.inf if loss.link == LOG or (loss.power == 0.0 and loss.family == POWER) else 0.0), math.inf


def _rows_of_dispersion_model(loss, y, weight, eta, curvature):
    total, squares = 0.0, 0.0
    slope_of_row = eta[0]
    least, most = _allowed(loss)
    for i in range(y.size):
        w, x = weight[i], slope_of_row[i]
        value, slope, second = 0.0, 0.0, 0.0
        if w != 0.0:
            if loss.edge > 0.0 and not (least + loss.edge <= x <= most - loss.edge) and x == x:
                at = least + loss.edge if x < least + loss.edge else most - loss.edge
                value, slope, _, second = _dispersion_model(loss, y[i], at)
                value += (x - at) * (slope + 0.5 * second * (x - at))
                slope += second * (x - at)
            elif x <= least or x >= most:
                value, slope, second = math.inf, math.inf, math.inf
            else:
                value, slope, own, second = _dispersion_model(loss, y[i], x)
                second = second if loss.expected else own
        total += w * value
        slope_of_row[i] = w * slope
        squares += w * slope * slope
        if curvature is not None:
            curvature[0, i] = w * second
    return total, squares


ROWS[DispersionModel] = _rows_of_dispersion_model


def is_convex(loss: Any) -> bool:
    """Whether the loss of a row is convex in eta, whatever its target."""
    if not isinstance(loss, DispersionModel) or loss.family == BINOMIAL:
        return True
    if loss.family == NEGATIVE_BINOMIAL:
        return loss.link == LOG
    return (loss.link, loss.power) in {(IDENTITY, 1.0), (INVERSE, 2.0), (INVERSE, 3.0)}


def eta_allowed(loss: Any) -> tuple[float, float]:
    """Least and largest eta of a loss: neither is itself allowed, where it is finite."""
    return _allowed.py_func(loss) if isinstance(loss, DispersionModel) else (-math.inf, math.inf)


def within(loss: Any, edge: float) -> Any:
    """A loss that goes on as a parabola from so far within the allowed eta, with the second derivatives that the model
    expects: finite and with a curvature that is not negative, whatever the eta.
    """
    return loss._replace(edge=float(edge), expected=True) if isinstance(loss, DispersionModel) else loss


# --- by name ----------------------------------------------------------------------------------------------------


def _tweedie_of(power: float = 1.5, link: str = "log") -> Any:
    if link == "log" and 1.0 <= power <= 2.0:
        return Poisson() if power == 1.0 else Gamma() if power == 2.0 else Tweedie(float(power))
    if link == "identity" and power == 0.0:
        return Squared()
    return DispersionModel(POWER, LINKS[link], float(power))


def _of_power(power: float, usual: str) -> Any:
    def kind(link: str = usual) -> Any:
        return _tweedie_of(power, link)

    return kind


def _negative_binomial(theta: float = 1.0, link: str = "log") -> Any:
    return DispersionModel(NEGATIVE_BINOMIAL, LINKS[link], 0.0, float(theta))


def _binomial_of(link: str = "logit") -> Any:
    return DispersionModel(BINOMIAL, LINKS[link])


LOSSES |= {
    "normal": Loss(_of_power(0.0, "identity"), links=("identity", "log", "inverse")),
    "binomial": Loss(_binomial_of, least=0.0, most=1.0, links=_OF_SHARES),
    "poisson": LOSSES["poisson"]._replace(kind=_of_power(1.0, "log"), links=_OF_MEANS),
    "gamma": LOSSES["gamma"]._replace(kind=_of_power(2.0, "log"), links=_OF_MEANS),
    "tweedie": LOSSES["tweedie"]._replace(kind=_tweedie_of, ranges={"power": (-math.inf, math.inf)}, links=_OF_MEANS),
    "inverse.gaussian": Loss(_of_power(3.0, "log"), least=0.0, least_allowed=False, links=_OF_MEANS),
    "negative.binomial": Loss(_negative_binomial, least=0.0, ranges={"theta": (0.0, math.inf)}, links=_OF_MEANS),
}
