"""Randomised quantile residuals (Dunn and Smyth, 1996): standard normal if the model is right, whatever its family.

The probability of a lower target than the row's own, under the model, as a quantile of the normal distribution; where
targets have jumps, a random point within the jump. What is random depends on the row's global number and a seed.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import betainc, gammainc, gammaincc, gammaln, log_ndtr, ndtr, ndtri

from ..errors import DataError
from ..inference.families import Family
from ..models.deviance import Variance
from ..protocols.sampling import uniform_of_rows
from ..wording.messages import located
from .compared import Scored, Scoring
from .histogram import Histogram

Array = npt.NDArray[Any]

# Probabilities below it have no quantile: residuals are within 37.5 of zero.
_TINY = float(np.finfo(np.float64).tiny)

# Counts are whole up to this share.
_WHOLE = 1e-6

# Standard deviations of the number of summands that a sum of gamma variables is added up over.
_FAR = 12.0

_CELLS = 2**14


class Jump(NamedTuple):
    """Probabilities, under the model, of targets below each row's own, and of those up to it.

    Parameters
    ----------
    below, until : (n,) arrays
    above, beyond : (n,) arrays
        Those of the others, 1 - below and 1 - until, which keep their digits where they are small.
    """

    below: Array
    until: Array
    above: Array
    beyond: Array

    def residuals(self, uniform: Array) -> Array:
        """Normal quantiles of the points that divide the jumps as `uniform`, in (0, 1), says."""
        low = self.below + (self.until - self.below) * uniform
        high = self.above + (self.beyond - self.above) * uniform
        return np.where(low < 0.5, ndtri(np.maximum(low, _TINY)), -ndtri(np.maximum(high, _TINY)))


def jumps(family: Family, y: Array, mean: Array, dispersion: Array) -> Jump:
    """The jumps of the distribution functions of a family, with dispersions, at targets y, all of them (n,).

    Those of counts are of counts divided by an exposure, or by a number of trials, which is 1 / dispersion.
    """
    form, power = family.of_mean.variance
    count = np.rint(y / dispersion)
    first = np.where(count > 0, count, 1.0)  # that of a count of zero is not looked at
    if form == "binomial":
        trials = 1.0 / dispersion
        left = np.maximum(trials - count, 0.0)
        last = np.where(left > 0, left, 1.0)
        return Jump(
            np.where(count > 0, betainc(left + 1.0, first, 1.0 - mean), 0.0),
            np.where(left > 0, betainc(last, count + 1.0, 1.0 - mean), 1.0),
            np.where(count > 0, betainc(first, left + 1.0, mean), 1.0),
            np.where(left > 0, betainc(count + 1.0, last, mean), 0.0),
        )
    if form == "negative.binomial":
        shape, share = 1.0 / (power * dispersion), 1.0 / (1.0 + power * mean)
        below = np.where(count > 0, betainc(shape, first, share), 0.0)
        above = np.where(count > 0, betainc(first, shape, 1.0 - share), 1.0)
        beyond = betainc(count + 1.0, shape, 1.0 - share)
        return Jump(below, betainc(shape, count + 1.0, share), above, beyond)
    if power == 1.0:
        rate = mean / dispersion
        below = np.where(count > 0, gammaincc(first, rate), 0.0)
        above = np.where(count > 0, gammainc(first, rate), 1.0)
        return Jump(below, gammaincc(count + 1.0, rate), above, gammainc(count + 1.0, rate))
    if power == 2.0:
        at = y / (mean * dispersion)
        until, beyond = gammainc(1.0 / dispersion, at), gammaincc(1.0 / dispersion, at)
        return Jump(until, until, beyond, beyond)
    if power == 3.0:
        return _inverse_gaussian(y, mean, dispersion)
    return _of_sums(power, y, mean, dispersion)


def _inverse_gaussian(y: Array, mean: Array, dispersion: Array) -> Jump:
    """Of the time that a drifting Brownian motion takes to a level (Chhikara and Folks, 1974), by logarithms."""
    root = 1.0 / np.sqrt(dispersion * y)
    near, far = root * (y / mean - 1.0), -root * (y / mean + 1.0)
    second = 2.0 / (dispersion * mean) + log_ndtr(far)
    until = ndtr(near) + np.exp(second)
    beyond = -ndtr(-near) * np.expm1(np.minimum(second - log_ndtr(-near), 0.0))
    return Jump(until, until, beyond, beyond)


def _of_sums(power: float, y: Array, mean: Array, dispersion: Array) -> Jump:
    """Of Poisson numbers of gamma variables, which variances of a power between 1 and 2 stand for (Jorgensen, 1987)."""
    rate = mean ** (2.0 - power) / (dispersion * (2.0 - power))
    shape, at = (2.0 - power) / (power - 1.0), y / (dispersion * (power - 1.0) * mean ** (power - 1.0))
    none = np.exp(-rate)
    until, beyond = none.copy(), np.zeros_like(rate)
    spread = _FAR * np.sqrt(rate) + 2.0 * _FAR
    first = np.maximum(np.floor(rate - spread), 1.0)
    for step in range(int(2.0 * spread.max(initial=0.0)) + 2):
        number = first + step
        share = np.exp(number * np.log(rate) - rate - gammaln(number + 1.0))
        until += share * gammainc(shape * number, at)
        beyond += share * gammaincc(shape * number, at)
    is_zero = y == 0
    below, above = np.where(is_zero, 0.0, until), np.where(is_zero, 1.0, beyond)
    return Jump(below, np.where(is_zero, none, until), above, np.where(is_zero, -np.expm1(-rate), beyond))


@dataclass(frozen=True, eq=False)
class Residuals:
    """Answers a block with the quantile residuals of its rows as a table, in their order; NaN for those of weight 0.

    Parameters
    ----------
    scoring : Scoring
    first_rows : tuple of int
        Global number of the first row of each block.
    seed : int
    dispersion : float
    precision : bool
        Whether weights divide the dispersion.
    """

    scoring: Scoring
    first_rows: tuple[int, ...]
    seed: int
    dispersion: float
    precision: bool

    def __call__(self, index: int, source: Any) -> pa.Table:
        scored = self.scoring.of(source)
        values = np.full(scored.total, np.nan)
        values[scored.places] = self.of(index, source, scored)
        return pa.table({"residual": values})

    def of(self, index: int, source: Any, scored: Scored) -> Array:
        """(n,) those of the rows that count."""
        family, y = self.scoring.fitted.family, scored.actual[:, 0]
        normal = family.of_mean.variance == Variance()
        mean = scored.expected[:, 0] if normal else np.maximum(scored.expected[:, 0], _TINY)
        dispersion = self.dispersion / (scored.weight if self.precision else np.ones(len(y)))
        if normal:
            return (y - mean) / np.sqrt(dispersion)
        if not family.dispersed or family.of_mean.variance == Variance("power", 1.0):
            self._check_counts(source, scored, y / dispersion)
        # Odd multiples of 2^-54: neither end is one.
        uniform = uniform_of_rows(self.first_rows[index], scored.total, self.seed)[scored.places] + 2.0**-54
        return jumps(family, y, mean, dispersion).residuals(uniform)

    def _check_counts(self, source: Any, scored: Scored, count: Array) -> None:
        family = self.scoring.fitted.family
        wrong = np.flatnonzero(np.abs(count - np.rint(count)) > _WHOLE * np.maximum(count, 1.0))
        if wrong.size:
            row = int(wrong[0])
            raise DataError(
                f"{located(source, int(scored.places[row]))}: {count[row]:g} is no count, so that it has no "
                f"probability under the {family.of_mean.name} distribution. Of rates, counts divided by their exposure "
                'or by a number of trials, with this as their weight, ask with weights="precision"'
            )


@dataclass(frozen=True, eq=False)
class ResidualsByValue:
    """Answers a block with its residuals as sums by value: weights, and these times the residuals and their squares."""

    residuals: Residuals

    def __call__(self, index: int, source: Any) -> Histogram:
        scored = self.residuals.scoring.of(source)
        values = self.residuals.of(index, source, scored)
        weight = np.ones(len(values)) if self.residuals.precision else scored.weight
        return Histogram.of(values, np.column_stack((weight, weight * values, weight * values**2)), _CELLS)
