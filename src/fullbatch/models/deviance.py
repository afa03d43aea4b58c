"""Families of distributions by their variance, and how far targets are from means."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.special import xlog1py, xlogy

from ..kernels.losses import LOSSES
from .links import LARGEST_ETA, LINKS, Link

__all__ = ["LARGEST_ETA", "Family", "Variance", "family_of", "half_deviance", "saturated"]

_TINY = 1e-300  # stands for a mean that underflowed


class Variance(NamedTuple):
    """Variance of a target as a function of its mean, at dispersion 1.

    Parameters
    ----------
    form : {"power", "binomial", "negative.binomial"}
        mean**parameter; mean (1 - mean); mean + parameter mean^2.
    parameter : float
    """

    form: str = "power"
    parameter: float = 0.0

    def __call__(self, mean: Any) -> Any:
        """Of means, such as the form allows."""
        if self.form == "binomial":
            return mean * (1.0 - mean)
        if self.form == "negative.binomial":
            return mean * (1.0 + self.parameter * mean)
        return np.ones_like(mean) if self.parameter == 0.0 else np.maximum(mean, _TINY) ** self.parameter

    def steepness(self, mean: Any) -> Any:
        """Its derivative in the mean."""
        if self.form == "binomial":
            return 1.0 - 2.0 * mean
        if self.form == "negative.binomial":
            return 1.0 + 2.0 * self.parameter * mean
        return self.parameter * np.maximum(mean, _TINY) ** (self.parameter - 1.0)


class Family(NamedTuple):
    """What a loss says of a target: how its mean comes of the linear predictor, its variance, and its range.

    Parameters
    ----------
    name : str
        The field's.
    variance : Variance
        Of losses that are no likelihood that of squares.
    link : Link
    least, most : float
        Of targets.
    least_allowed : bool
        Whether a target may be the least one.
    """

    name: str
    variance: Variance
    link: Link
    least: float = -np.inf
    most: float = np.inf
    least_allowed: bool = True

    @property
    def of_squares(self) -> bool:
        """Whether deviances are squared residuals."""
        return self.variance == Variance()

    def variance_at(self, eta: Any) -> Any:
        """The variance at linear predictors, to its last digits where a probability is near 1."""
        mean = self.link.mean(eta)
        return mean * self.link.complement(eta) if self.variance.form == "binomial" else self.variance(mean)

    def half_deviance(self, y: Any, eta: Any) -> Any:
        """Half the unit deviance of targets from the means of linear predictors."""
        complement = self.link.complement(eta) if self.variance.form == "binomial" else None
        return half_deviance(y, self.link.mean(eta), self.variance, complement)


_POWERS = {"squared": 0.0, "normal": 0.0, "poisson": 1.0, "gamma": 2.0, "inverse.gaussian": 3.0}
_NAMES = {"squared": "normal", "logistic": "binomial"}


def family_of(loss: str, options: Mapping[str, Any] | None = None) -> Family:
    """The family of a loss of one linear predictor.

    Parameters
    ----------
    loss : str
        A name in `fullbatch.kernels.losses.LOSSES`.
    options : mapping, optional
        Of the loss.
    """
    options, entered = dict(options or {}), LOSSES[loss]
    usual = "logit" if loss == "logistic" else entered.links[0] if entered.links else "identity"
    link, name = LINKS[options.get("link", usual)], _NAMES.get(loss, loss)
    if name == "binomial":
        return Family(name, Variance("binomial"), link, 0.0, 1.0)
    if name == "negative.binomial":
        return Family(name, Variance(name, float(options.get("theta", 1.0))), link, 0.0)
    power = float(options.get("power", 1.5)) if loss == "tweedie" else _POWERS.get(loss, 0.0)
    return Family(name, Variance("power", power), link, 0.0 if power > 0 else -np.inf, least_allowed=power < 2)


def half_deviance(y: Any, mean: Any, variance: Variance | float, complement: Any = None) -> Any:
    """Half the unit deviance of a family: the squared residual of the normal one.

    Parameters
    ----------
    y : float or (n,) float64 array
        Targets, such as the family has them.
    mean : float or (n,) float64 array
        Predictions.
    variance : Variance, or float
        Of the family; a number for that power of the mean.
    complement : float or (n,) float64 array, optional
        Of the binomial family: 1 - mean, which says more of means near 1.

    Returns
    -------
    float or (n,) float64 array
        Zero where y equals the mean, infinite where such a mean cannot be. (Jorgensen, The Theory of Dispersion Models,
        1997.)
    """
    form, parameter = variance if isinstance(variance, Variance) else ("power", variance)
    if form == "power" and parameter == 0.0:
        return 0.5 * (y - mean) ** 2
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):  # a target of zero, predictions near zero
        if form == "binomial":
            other = 1.0 - mean if complement is None else complement
            deviance = _above_mean(y, mean) + _above_mean(1.0 - y, other)
        elif form == "negative.binomial":
            v = parameter * (y - mean) / (1.0 + parameter * mean)
            deviance = _above_mean(y, mean) - (1.0 / parameter + mean) * (xlog1py(1.0 + v, v) - v)
        else:
            deviance = _of_power(y, mean, parameter)
        outside = (mean < 0) | (mean > 1) if form == "binomial" else mean < 0
        return np.where(outside, np.inf, deviance)[()]


def _above_mean(y: Any, mean: Any) -> Any:
    """Y log(y / mean) - (y - mean), in the relative residual: logarithms of y and a mean that is close would cancel."""
    mean = np.maximum(mean, _TINY)
    u = (y - mean) / mean
    return mean * (xlog1py(1.0 + u, u) - u)


def _of_power(y: Any, mean: Any, power: float) -> Any:
    if power == 1.0:
        return _above_mean(y, mean)
    u = (y - mean) / np.maximum(mean, _TINY)
    if power == 2.0:
        return u - np.log1p(u)
    if power == 3.0:
        return 0.5 * u * u / np.maximum(y, _TINY)
    rise = 2.0 - power
    # Of a power below 0 a target that is not positive counts as 0 in what is the target's alone.
    of_target = np.expm1(xlog1py(rise, np.maximum(u, -1.0)))
    return np.maximum(mean, _TINY) ** rise * (of_target - rise * u) / ((1.0 - power) * rise)


def saturated(y: Any, variance: Variance) -> Any:
    """The least loss of each target, at the mean that is best for it; of the kernels' losses, which leave out what is
    the target's alone. At a mean, the loss there of targets of that mean.
    """
    form, parameter = variance
    if form == "binomial":
        return -xlogy(y, y) - xlogy(1.0 - y, 1.0 - y)
    if form == "negative.binomial":
        return (y + 1.0 / parameter) * np.log1p(parameter * y) - xlogy(y, y)
    if parameter == 0.0:
        return 0.0 * y
    if parameter == 1.0:
        return y - xlogy(y, y)
    if parameter == 2.0:
        return 1.0 + np.log(y)
    return -(np.maximum(y, 0.0) ** (2.0 - parameter)) / ((1.0 - parameter) * (2.0 - parameter))
