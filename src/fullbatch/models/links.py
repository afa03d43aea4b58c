"""Links between a mean and a linear predictor, in NumPy: what predictions, tables and other programs go by."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit, ndtr, ndtri

Array = npt.NDArray[Any]

# Under the logarithmic link eta is cut here when a mean is predicted: beyond, exp is infinite.
LARGEST_ETA = 700.0

_ROOT_OF_2_PI = 2.5066282746310002


class Link(NamedTuple):
    """A link, by functions of arrays.

    Parameters
    ----------
    name : str
    mean : callable
        Of eta: the inverse of the link.
    predictor : callable
        Of a mean: the link itself.
    steepness : callable
        Of eta: first and second derivatives of the mean.
    complement : callable
        Of eta: 1 - mean, to its last digits where the mean is a probability.
    """

    name: str
    mean: Callable[[Any], Any]
    predictor: Callable[[Any], Any]
    steepness: Callable[[Any], tuple[Any, Any]]
    complement: Callable[[Any], Any]


def _exp(eta: Any) -> Any:
    return np.exp(np.minimum(eta, LARGEST_ETA))


def _reciprocal(mean: Any) -> Any:
    with np.errstate(divide="ignore"):  # of a mean of zero it is infinite
        return np.divide(1.0, mean)


def _logit_steepness(eta: Any) -> tuple[Any, Any]:
    mean, other = expit(eta), expit(-eta)
    return mean * other, mean * other * (other - mean)


def _probit_steepness(eta: Any) -> tuple[Any, Any]:
    density = np.exp(-0.5 * np.square(eta)) / _ROOT_OF_2_PI
    return density, -eta * density


def _cloglog_steepness(eta: Any) -> tuple[Any, Any]:
    rate = _exp(eta)
    first = rate * np.exp(-rate)
    return first, first * (1.0 - rate)


LINKS = {
    link.name: link
    for link in (
        Link(
            "identity",
            lambda eta: eta,
            lambda mean: mean,
            lambda eta: (np.ones_like(eta), np.zeros_like(eta)),
            lambda eta: 1.0 - eta,
        ),
        Link("log", _exp, np.log, lambda eta: (_exp(eta), _exp(eta)), lambda eta: -np.expm1(eta)),
        Link(
            "inverse",
            lambda eta: 1.0 / eta,
            _reciprocal,
            lambda eta: (-1.0 / eta**2, 2.0 / eta**3),
            lambda eta: 1.0 - 1.0 / eta,
        ),
        Link("logit", expit, logit, _logit_steepness, lambda eta: expit(-eta)),
        Link("probit", ndtr, ndtri, _probit_steepness, lambda eta: ndtr(-eta)),
        Link(
            "cloglog",
            lambda eta: -np.expm1(-_exp(eta)),
            lambda mean: np.log(-np.log1p(-mean)),
            _cloglog_steepness,
            lambda eta: np.exp(-_exp(eta)),
        ),
    )
}
