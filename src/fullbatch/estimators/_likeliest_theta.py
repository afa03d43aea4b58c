"""The negative binomial theta of the largest likelihood, with the coefficients: by turns until neither moves."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import digamma, polygamma
from sklearn.exceptions import ConvergenceWarning

from ..errors import DataError
from ..run.result import Status
from ..wording.warned import warn

Array = npt.NDArray[Any]

# Thetas that are looked at: the variance is that of Poisson's family, but for rounding, below the least.
_LEAST, _MOST = 1e-6, 1e6

# Turns at the most, and steps of one turn. Coefficients and theta know next to nothing of one another (their
# information is zero), so that each turn is worth many digits.
_TURNS, _STEPS = 50, 60

# Of log(theta), at which one turn's steps end.
_CLOSE = 1e-10


@dataclass(frozen=True)
class Profile:
    """Derivatives of the logarithm of the likelihood in log(theta), coefficients held; adds up.

    Parameters
    ----------
    weight : float
        Sum of the sample weights.
    slope, curvature : float
        First and second derivative, summed over rows.
    """

    weight: float
    slope: float
    curvature: float

    def __add__(self, other: "Profile") -> "Profile":
        return Profile(self.weight + other.weight, self.slope + other.slope, self.curvature + other.curvature)

    @classmethod
    def of(cls, theta: float, y: Array, mean: Array, weight: Array) -> "Profile":
        """Of some rows."""
        shape = 1.0 / theta
        ratio = (y + shape) / (mean + shape)
        first = digamma(y + shape) - digamma(shape) - np.log1p(mean / shape) + 1.0 - ratio
        second = polygamma(1, y + shape) - polygamma(1, shape) + 1.0 / shape - (2.0 - ratio) / (mean + shape)
        slope, curvature = float(weight @ first), float(weight @ second)
        return cls(float(weight.sum()), -shape * slope, shape * slope + shape**2 * curvature)

    @property
    def left(self) -> float:
        """By how much the mean logarithm of the likelihood can still rise, by these derivatives; infinite where they do
        not tell of a maximum.
        """
        return -0.5 * self.slope**2 / self.curvature / self.weight if self.curvature < 0 else np.inf


@dataclass(frozen=True)
class ProfileAt:
    """Answers a block with its `Profile`."""

    model: Any
    theta: float

    def __call__(self, index: int, source: Any) -> Profile:
        eta, y, weight, _ = self.model._of_rows(source.read(), source)
        return Profile.of(self.theta, y, self.model._predicted(eta), weight)


def fit_by_turns(model: Any, fit: Callable[[], None], engine: Any, sources: list[Any]) -> None:
    """Fit the coefficients at a theta, then theta at the coefficients, until both are at their best.

    Parameters
    ----------
    model : GeneralizedLinearRegressor
        Whose `theta_` is where to start; it is set.
    fit : callable
        Fits the coefficients at `theta_`, from where they are.
    engine : Engine
        Where the rows are looked at: one pass for each theta.
    sources : list of Source

    Raises
    ------
    DataError
        No theta is the likeliest: the counts vary no more than Poisson's.
    """

    def at(theta: float) -> Profile:
        return reduce(add, engine.map(ProfileAt(model._bare(), theta), sources))

    iterations = 0
    for _ in range(_TURNS):
        fit()
        iterations += model.result_.iterations
        known = at(model.theta_)
        if known.left <= model.tol**2 or not model.result_.success:
            break
        model.theta_ = _likeliest(at, model.theta_, known)
        model.warm_start = True
    else:
        model.status_ = Status.MAX_ITER.value
        warn(
            f"[not-converged] theta still moves after {_TURNS} turns: it may be anything near {model.theta_:.3g}",
            ConvergenceWarning,
        )
    model.n_iter_ = model._counted(iterations)


def _likeliest(at: Callable[[float], Profile], theta: float, known: Profile) -> float:
    """The theta at which the slope is zero, between one where it rises and one where it falls: Newton's steps."""
    low, high, here = np.log(_LEAST), np.log(_MOST), float(np.log(theta))
    for _ in range(_STEPS):
        low, high = (here, high) if known.slope > 0 else (low, here)
        step = -known.slope / known.curvature if known.curvature < 0 else np.inf
        there = here + step
        if abs(step) > _CLOSE and not low < there < high:
            there = max(0.5 * (low + high), here - 3.0) if known.slope < 0 else min(0.5 * (low + high), here + 3.0)
        if abs(there - here) <= _CLOSE:
            return float(np.exp(there))
        here = there
        if here < np.log(_LEAST) + 0.01 and at(_LEAST).slope <= 0:
            raise DataError(
                "no theta is the likeliest: the counts vary no more than Poisson's, whose theta is 0. "
                'Use family="poisson", or give a theta'
            )
        known = at(float(np.exp(here)))
    return float(np.exp(here))
