"""What a loss says of the distribution of a target: slopes, curvatures, means and deviances, in float64.

The formulas of `kernels.losses` for a few thousand rows at a time. Where a dispersion phi is estimated, everything in
here is at phi = 1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations_with_replacement
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import digamma, gammaln, polygamma, xlogy

from ..kernels.losses import LOSSES
from ..models.deviance import Family as MeanFamily
from ..models.deviance import Variance, family_of

Array = npt.NDArray[Any]

_TINY = 1e-300

# A number is whole that is as near to one: R's glm warns of successes that are further away.
_WHOLE = 1e-3


class Rates(NamedTuple):
    """Derivatives of some rows' losses in their linear predictors.

    Parameters
    ----------
    slope : (n, m) array
        First derivatives.
    observed, expected : (n, m, m) arrays
        Second derivatives, and their means under the model; the same array where the link is canonical.
    """

    slope: Array
    observed: Array
    expected: Array


@dataclass(frozen=True)
class Family:
    """A loss as a distribution, or, where it is that of none, as an estimating equation.

    Parameters
    ----------
    loss : str
        A name in `fullbatch.kernels.losses.LOSSES`.
    options : mapping of str to float or str
        Those of the loss.
    """

    loss: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def _kind(self) -> Any:
        """The loss with its options, those that are not given by default."""
        return LOSSES[self.loss].kind(**self.options)

    @property
    def of_mean(self) -> MeanFamily:
        """Its link, and its variance; of one linear predictor."""
        return family_of(self.loss, self.options)

    @property
    def likelihood(self) -> bool:
        """Whether its variance is a function of its mean: then there are deviances and information matrices."""
        return self.loss not in ("huber", "quantile", "squared_hinge")

    @property
    def dispersed(self) -> bool:
        """Whether the variance has a factor phi that is estimated."""
        return self.loss in ("squared", "normal", "gamma", "inverse.gaussian", "tweedie")

    @property
    def density(self) -> bool:
        """Whether its logarithmic density is known in closed form."""
        return self.likelihood and self.loss != "tweedie"

    @property
    def takes_precision(self) -> bool:
        """Whether its logarithmic density, with a dispersion for each row, is known from sums over rows."""
        return self.loss not in ("gamma", "inverse.gaussian")

    @property
    def canonical(self) -> bool:
        """Whether observed and expected information are the same."""
        if self.loss in ("softmax", "huber", "quantile"):
            return True
        usual = {Variance(): "identity", Variance("power", 1.0): "log", Variance("power", 2.0): "inverse"}
        usual[Variance("binomial")] = "logit"
        return usual.get(self.of_mean.variance) == self.link

    @property
    def link(self) -> str:
        """Of the mean: one of `fullbatch.models.links.LINKS`, or "softmax"."""
        return "softmax" if self.loss == "softmax" else self.of_mean.link.name

    @property
    def words(self) -> str:
        """The family and the link, for a table's head."""
        if self.loss == "softmax":
            return "multinomial, softmax link"
        name, parameter = self.of_mean.name, self.of_mean.variance.parameter
        more = {"tweedie": f" (power {parameter:g})", "negative.binomial": f" (theta {parameter:g})"}
        return f"{name}{more.get(name, '')}, {self.link} link"

    # --- of rows ------------------------------------------------------------------------------------------------

    def mean(self, eta: Array) -> Array:
        """(n, m) predictions from linear predictors; of softmax the probabilities of all classes but the first."""
        if self.link == "softmax":
            top = np.maximum(eta.max(axis=1), 0.0)
            power = np.exp(eta - top[:, None])
            return np.asarray(power / (power.sum(axis=1) + np.exp(-top))[:, None])
        return np.asarray(self.of_mean.link.mean(eta))

    def rates(self, y: Array, eta: Array) -> Rates:
        """Derivatives of the losses of targets y, (n,), of which labels are numbers of classes."""
        mean = self.mean(eta)
        if self.link == "softmax":
            slope = mean.copy()
            rows = np.flatnonzero(y > 0)
            slope[rows, y[rows].astype(np.intp) - 1] -= 1.0
            second = self.slopes(eta)
            return Rates(slope, second, second)
        target = y[:, None]
        if self.loss == "huber":
            delta, residual = self._kind.delta, eta - target
            slope, observed = np.clip(residual, -delta, delta), (np.abs(residual) <= delta).astype(np.float64)
        elif self.loss == "quantile":
            width, tilt = self._kind.smoothing, 0.5 - self._kind.quantile
            residual = eta - target
            slope = 0.5 * np.clip(residual / width, -1.0, 1.0) + tilt
            observed = np.where(np.abs(residual) <= width, 0.5 / width, 0.0)
        else:
            return self._rates_of_mean(target, eta, mean)
        return Rates(slope, observed[:, :, None], observed[:, :, None])

    def _rates_of_mean(self, target: Array, eta: Array, mean: Array) -> Rates:
        """Those of half a deviance, by the chain rule: its slope in the mean is (mean - target) / variance."""
        of_mean = self.of_mean
        first, second = of_mean.link.steepness(eta)
        if self.canonical:  # the mean's slope is the variance, but for its sign
            slope, expected = mean - target, np.abs(first)
            return Rates(-slope if self.link == "inverse" else slope, expected[:, :, None], expected[:, :, None])
        variance = np.maximum(of_mean.variance_at(eta), _TINY)
        pull, expected = (mean - target) / variance, first**2 / variance
        observed = expected * (1.0 - pull * of_mean.variance.steepness(mean)) + pull * second
        return Rates(pull * first, observed[:, :, None], expected[:, :, None])

    def steepness(self, eta: Array) -> tuple[Array, Array]:
        """First and second derivatives of the mean in its linear predictor, of other links than softmax."""
        return self.of_mean.link.steepness(eta)

    def slopes(self, eta: Array) -> Array:
        """(n, m, m) derivatives of the means in the linear predictors."""
        if self.link != "softmax":
            return self.steepness(eta)[0][:, :, None]
        mean = self.mean(eta)
        slopes = -mean[:, :, None] * mean[:, None, :]
        each = np.arange(mean.shape[1])
        slopes[:, each, each] += mean
        return slopes

    def bends(self, eta: Array) -> Iterator[tuple[tuple[int, int, int], Array]]:
        """Second derivatives, (n,), of the mean k in the predictors l and m, for k <= l <= m: they are the same in any
        order, as those of the means of classes are third cumulants.
        """
        if self.link != "softmax":
            yield (0, 0, 0), self.steepness(eta)[1][:, 0]
            return
        mean = self.mean(eta)
        for k, l, m in combinations_with_replacement(range(mean.shape[1]), 3):
            bend = 2.0 * mean[:, k] * mean[:, l] * mean[:, m]
            for same, first, second in ((k == l, k, m), (k == m, k, l), (l == m, l, k)):
                bend -= same * mean[:, first] * mean[:, second]
            yield (k, l, m), bend + (k == l == m) * mean[:, k]

    def deviances(self, y: Array, eta: Array) -> Array:
        """(n,) unit deviances; of huber and quantile twice the loss."""
        if self.loss == "softmax":
            top = np.maximum(eta.max(axis=1), 0.0)
            total = top + np.log(np.exp(eta - top[:, None]).sum(axis=1) + np.exp(-top))
            chosen = np.where(y > 0, eta[np.arange(len(y)), np.maximum(y.astype(np.intp) - 1, 0)], 0.0)
            return np.asarray(2.0 * (total - chosen))
        eta = eta[:, 0]
        if self.loss == "logistic":
            return np.asarray(2.0 * np.logaddexp(0.0, np.where(y > 0, -eta, eta)))
        if self.loss == "huber":
            delta, size = self._kind.delta, np.abs(eta - y)
            return np.where(size <= delta, size**2, delta * (2.0 * size - delta))
        if self.loss == "quantile":
            width, tilt = self._kind.smoothing, 0.5 - self._kind.quantile
            residual = eta - y
            size = np.abs(residual)
            return np.where(size <= width, 0.5 * (residual**2 / width + width), size) + 2.0 * tilt * residual
        return np.asarray(2.0 * self.of_mean.half_deviance(y, eta))

    def squares(self, y: Array, eta: Array) -> Array:
        """(n,) squared residuals, each divided by the variance at phi = 1: Pearson's."""
        mean = self.mean(eta)
        if self.loss == "softmax":  # of indicators of all classes, each divided by its own mean
            first = 1.0 - mean.sum(axis=1)
            everyone = np.column_stack((first, mean))
            chosen = everyone[np.arange(len(y)), y.astype(np.intp)]
            return np.asarray(1.0 / np.maximum(chosen, _TINY) - 1.0)
        variance = self.of_mean.variance_at(eta[:, 0])
        return np.asarray((y - mean[:, 0]) ** 2 / np.maximum(variance, _TINY))

    def fractions(self, y: Array) -> int:
        """How many targets are none of one trial or one count: shares of several, or rates."""
        if self.loss == "binomial":
            return int(np.count_nonzero((y > 0) & (y < 1)))
        if self.loss in ("poisson", "negative.binomial"):
            return int(np.count_nonzero(y != np.rint(y)))
        return 0

    def constants(self, y: Array) -> Array:
        """(n,) what the logarithm of the density has of the target alone, where that must be summed over rows."""
        if self.loss == "poisson":
            return np.asarray(xlogy(y, y) - y - gammaln(y + 1.0))
        if self.loss == "negative.binomial":
            shape = 1.0 / self.of_mean.variance.parameter
            saturated = xlogy(y, y) - (y + shape) * np.log1p(y / shape) - xlogy(y, shape)
            return np.asarray(saturated + gammaln(y + shape) - gammaln(shape) - gammaln(y + 1.0))
        if self.loss == "binomial":  # of one trial: see `ways` for those of more
            return np.asarray(xlogy(y, y) + xlogy(1.0 - y, 1.0 - y))
        if self.loss == "inverse.gaussian":
            return np.asarray(-1.5 * np.log(y))
        return np.asarray(-np.log(y)) if self.loss == "gamma" else np.zeros(len(y))

    def ways(self, y: Array, weight: Array, precision: bool) -> float:
        """Logarithm of the number of ways in which shares of whole numbers of trials, the weights, can come out.

        Rows whose trials or successes are no whole numbers have none; how near is near enough is R's choice.
        """
        if self.loss != "binomial" or not precision:
            return 0.0
        trials, successes = np.rint(weight), np.rint(weight * y)
        whole = (np.abs(weight - trials) <= _WHOLE) & (np.abs(weight * y - successes) <= _WHOLE)
        n, k = trials[whole], successes[whole]
        return float((gammaln(n + 1.0) - gammaln(k + 1.0) - gammaln(n - k + 1.0)).sum())

    # --- of sums ------------------------------------------------------------------------------------------------

    def log_likelihood(self, deviance: float, constant: float, count: float, dispersion: float) -> float:
        """Logarithm of the likelihood of `count` rows from sums of `deviances` and `constants`."""
        if self.loss in ("squared", "normal", "inverse.gaussian"):
            return constant - 0.5 * (deviance / dispersion + count * float(np.log(2.0 * np.pi * dispersion)))
        if self.loss == "gamma":
            shape = 1.0 / dispersion
            return float(
                shape * (-0.5 * deviance - count) + constant + count * (shape * np.log(shape) - gammaln(shape))
            )
        return -0.5 * deviance + constant

    def likeliest_dispersion(self, deviance: float, count: float) -> float:
        """The dispersion at which the likelihood is largest; 1 where there is none."""
        if self.loss in ("squared", "normal", "inverse.gaussian"):
            return deviance / count
        if self.loss != "gamma":
            return 1.0
        # log(shape) - digamma(shape) = half the mean deviance: falls from infinity to 0 (McCullagh and Nelder, 8.3.6).
        half = 0.5 * deviance / count
        if not half > 0:
            return 0.0
        shape = (1.0 + np.sqrt(1.0 + 4.0 * half / 3.0)) / (4.0 * half)
        for _ in range(50):
            gap = np.log(shape) - digamma(shape) - half
            step = gap / (float(polygamma(1, shape)) - 1.0 / shape)
            shape = max(shape + step, 0.1 * shape)
            if abs(step) <= 1e-13 * shape:
                break
        return float(1.0 / shape)
