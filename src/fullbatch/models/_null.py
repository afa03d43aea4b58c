"""The null model, whose predictions are all alike: what F is measured by, and where a fit begins.

Without features a model has its intercept alone (and the rows' offsets); where it has no intercept either, it predicts
from offsets. How far F of it stands above the least that F could be is the null deviance, halved: a number of the data
alone, which knows no starting point and moves with the units of the targets as F does. It comes from sums over rows
that the set-up read adds up, without a pass.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.special import logsumexp, xlogy

from ..kernels.families import BINOMIAL, LINKS, LOG, POWER, eta_allowed
from ..kernels.losses import (
    DispersionModel,
    Gamma,
    Huber,
    Logistic,
    Poisson,
    Quantile,
    Softmax,
    Squared,
    SquaredHinge,
    Tweedie,
)
from ..protocols.rows import Rows
from ..protocols.schema import CONSTANT, Moments, Schema
from . import links
from .describe import as_numbers, as_weight, column_moments
from .deviance import Variance, half_deviance, saturated

Array = npt.NDArray[Any]

# A null deviance of less than this share of what it is the difference of is rounding: all targets are alike.
_ROUNDING = 1e-14

# What is left of a null deviance by offsets, where only that without them is known: a guess.
_EXPLAINED_BY_OFFSETS = 0.25


class Null(NamedTuple):
    """The null model of all rows.

    Parameters
    ----------
    intercept : float
        Its intercept; for Huber's and the quantile loss the mean target. 0 without, or where it is not finite. With
        offsets and a link other than the logarithm and the identity, that of the mean target less the mean offset.
    least : float
        The mean of the least losses that any predictions have: F is never below it.
    deviance : float
        F of the null model less `least`, not less than 0; infinite where that is not known. For Huber's and the
        quantile loss it is estimated from the variance of the targets; where the intercept is, from that without
        offsets.
    """

    intercept: float = 0.0
    least: float = -np.inf
    deviance: float = np.inf


@dataclass(frozen=True, slots=True, eq=False)
class NullSums:
    """What the null model of a loss with numbers for targets must know of some rows; adds up.

    Parameters
    ----------
    loss : named tuple
        One of `fullbatch.kernels.losses`.
    with_intercept : bool
        Whether the model has one.
    moments : Moments
        Of target less offset; of a `DispersionModel`, of the target.
    sums : array
        Weighted sums over rows, of the loss' own choice.
    logs : array
        Logarithms of weighted sums that may overflow.
    """

    loss: Any
    with_intercept: bool
    moments: Moments
    sums: Array
    logs: Array

    def __add__(self, other: "NullSums") -> "NullSums":
        return NullSums(
            self.loss,
            self.with_intercept,
            self.moments + other.moments,
            self.sums + other.sums,
            np.logaddexp(self.logs, other.logs),
        )

    def null(self) -> Null:
        """The null model of these rows."""
        with np.errstate(all="ignore"):  # extreme targets: what is not finite counts as not known
            intercept, least, value, at_zero = self._values()
            known = [
                one - least
                for one in ((value, at_zero) if self.with_intercept else (at_zero,))
                if one - least > _ROUNDING * (abs(one) + abs(least))
            ]
        deviance = known[0] if known and np.isfinite(known[0]) else np.inf
        sure = self.with_intercept and np.isfinite(intercept)
        return Null(float(intercept) if sure else 0.0, float(least) if np.isfinite(least) else -np.inf, float(deviance))

    def fitted(self) -> float:
        """How far the mean loss of the null model stands above the least; infinite without an intercept
        where the link does not allow the offsets, NaN where these sums tell its order alone.
        """
        loss, with_intercept = self.loss, self.with_intercept
        if isinstance(loss, Huber | Quantile):
            return np.nan
        with np.errstate(all="ignore"):
            intercept, least, value, at_zero = self._values()
            if isinstance(loss, DispersionModel):
                shifted, at_zero = self.sums[1], self.sums[3] / self.moments.weight
                if not with_intercept and shifted and np.isfinite(at_zero):
                    return np.nan  # means of large offsets have lost digits
                value = value if np.isfinite(intercept) and (not shifted or _has_closed_form(loss)) else np.nan
            if not (with_intercept or np.isfinite(at_zero)):
                return np.inf
            fitted = value if with_intercept else at_zero
            above = fitted - least
            if not np.isfinite(above):
                return np.nan
            return float(above) if above > _ROUNDING * (abs(fitted) + abs(least)) else 0.0

    @property
    def _spread(self) -> float:
        """The variance; 0 where it is the rounding of numbers that are all alike."""
        variance, mean = self.moments.squares[0] / self.moments.weight, self.moments.mean[0]
        return float(variance) if np.sqrt(variance) > CONSTANT * abs(mean) else 0.0

    def _values(self) -> tuple[float, float, float, float]:
        """Intercept of the null model, least mean loss, mean loss of the null model, and without an intercept."""
        loss, weight = self.loss, self.moments.weight
        if isinstance(loss, Squared | Huber | Quantile):
            mean, variance = self.moments.mean[0], self._spread
            least = loss.smoothing * (0.25 - (0.5 - loss.quantile) ** 2) if isinstance(loss, Quantile) else 0.0
            return mean, least, _of_spread(loss, variance), _of_spread(loss, variance + mean**2)
        if isinstance(loss, Poisson):
            total, least, of_offset = self.sums
            intercept = np.log(total) - self.logs[0]
            value = total - of_offset - total * intercept
            at_zero = np.exp(self.logs[0]) - of_offset
            return intercept, (total - least) / weight, value / weight, at_zero / weight
        if isinstance(loss, Gamma):
            offset, logarithm = self.sums / weight
            intercept = self.logs[0] - np.log(weight)
            return intercept, 1.0 + logarithm, 1.0 + offset + intercept, np.exp(intercept) + offset
        if isinstance(loss, DispersionModel):
            return self._of_dispersion_model()
        (least,) = self.sums / weight
        rise, fall = 2.0 - loss.power, loss.power - 1.0
        both = 1.0 / rise + 1.0 / fall
        value = np.exp(rise * self.logs[1] + fall * self.logs[0]) * both
        at_zero = np.exp(self.logs[0]) / rise + np.exp(self.logs[1]) / fall
        return self.logs[1] - self.logs[0], least * both, value / weight, at_zero / weight

    def _of_dispersion_model(self) -> tuple[float, float, float, float]:
        """The same of any family and link. A loss is linear in its target, so that the mean loss at the mean target is
        that of a target which is the mean.
        """
        loss, weight, variance = self.loss, self.moments.weight, _variance(self.loss)
        least, shifted, offset, at_offset = self.sums / weight
        mean = float(self.moments.mean[0])
        value = 0.5 * self._spread if variance == Variance() else saturated(mean, variance)
        intercept = _link(loss).predictor(mean) - offset
        if shifted:  # offsets may explain a part of it by themselves
            value = least + _EXPLAINED_BY_OFFSETS * (value - least)
        if shifted and _has_closed_form(loss):
            rise, fall = 2.0 - loss.power, loss.power - 1.0
            intercept = self.logs[1] - self.logs[0]
            value = np.exp(rise * self.logs[1] + fall * self.logs[0] - np.log(weight)) * (1.0 / rise + 1.0 / fall)
        return intercept, least, value, at_offset if np.isfinite(at_offset) else value


def _link(loss: DispersionModel) -> links.Link:
    return links.LINKS[next(name for name, number in LINKS.items() if number == loss.link)]


def _variance(loss: DispersionModel) -> Variance:
    if loss.family == POWER:
        return Variance("power", loss.power)
    return Variance("binomial") if loss.family == BINOMIAL else Variance("negative.binomial", loss.theta)


def _has_closed_form(loss: DispersionModel) -> bool:
    """Whether the null model's intercept with offsets is one of two sums: the logarithmic link, positive targets."""
    return bool(loss.family == POWER and loss.link == LOG and loss.power > 2.0)


def sums_of(loss: Any, with_intercept: bool, rows: Rows, target: Moments | None = None) -> NullSums | None:
    """The sums of a block's rows, whose targets may have known moments; of classes, of which the schema knows enough,
    those of the offsets alone.
    """
    weight, count = as_weight(rows.weight), rows.X.shape[0]
    of_classes = isinstance(loss, Logistic | SquaredHinge | Softmax)
    if of_classes and rows.offset is None:
        return None
    y = np.zeros(count) if of_classes else as_numbers(rows.y, "target y")
    offset = np.zeros(count) if rows.offset is None else as_numbers(rows.offset, "the offset")
    if weight.size:
        counts = weight > 0
        y, weight, offset = y[counts], weight[counts], offset[counts]
    else:
        weight = np.ones(len(y))
    with np.errstate(all="ignore"):  # rows that cannot be used are told elsewhere
        of_targets = isinstance(loss, DispersionModel) or rows.offset is None
        if target is None or not of_targets:
            target = column_moments(y if of_targets else y - offset, weight)
        sums, logs = _sums(loss, y, weight, offset)
    return NullSums(loss, with_intercept, target, np.array(sums), np.array(logs))


def null_of(model: Any, schema: Schema, loss: Any) -> Null:
    """The null model of all rows.

    Parameters
    ----------
    model : Linear
        Knows the weights of classes.
    schema : Schema
        Of all blocks.
    loss : named tuple
        One of `fullbatch.kernels.losses`.
    """
    if schema.class_weight is None:
        null: Null = Null() if schema.null is None else schema.null.null()
        return null
    factors = model.class_factors(schema)
    weight = schema.class_weight if factors is None else schema.class_weight * factors
    share = weight / weight.sum()
    if isinstance(loss, SquaredHinge):
        one = 1.0
        deviance = 4.0 * float(share.prod())
    else:
        one = float(np.log(len(share)))
        deviance = -float(xlogy(share, share).sum())
    deviance = deviance if model.intercept and deviance > 0 else one
    # Offsets may explain a part of it by themselves.
    return Null(least=0.0, deviance=deviance if schema.null is None else _EXPLAINED_BY_OFFSETS * deviance)


def fitted_null(model: Any, schema: Schema, loss: Any) -> float:
    """How far the mean loss of the null model, intercepts and offsets at their best, stands above the least that any
    predictions have, as `NullSums.fitted` tells it. Arguments as of `null_of`.
    """
    if schema.class_weight is None:
        return np.nan if schema.null is None else float(schema.null.fitted())
    return np.nan if schema.null is not None else null_of(model, schema, loss).deviance


def _of_spread(loss: Any, square: float) -> float:
    """Mean loss of residuals of that mean square; for Huber's no more than that, for the quantile loss about."""
    size = np.sqrt(square)
    if isinstance(loss, Squared):
        return 0.5 * square
    if isinstance(loss, Huber):
        return 0.5 * square if size <= loss.delta else loss.delta * (size - 0.5 * loss.delta)
    return 2.0 * loss.quantile * (1.0 - loss.quantile) * size + loss.smoothing / 4.0


def _sums(loss: Any, y: Array, weight: Array, offset: Array) -> tuple[list[float], list[float]]:
    """`sums` and `logs` of `NullSums`."""
    if isinstance(loss, Poisson):
        return [_sum(weight * y), _sum(weight * xlogy(y, y)), _sum(weight * y * offset)], [_log_sum(offset, weight)]
    if isinstance(loss, Gamma):
        return [_sum(weight * offset), _sum(weight * np.log(y))], [_log_sum(-offset, weight * y)]
    if isinstance(loss, Tweedie):
        rise, fall = 2.0 - loss.power, loss.power - 1.0
        return [_sum(weight * y**rise)], [_log_sum(rise * offset, weight), _log_sum(-fall * offset, weight * y)]
    if isinstance(loss, DispersionModel):
        return _sums_of_dispersion_model(loss, y, weight, offset)
    return [], []


def _sums_of_dispersion_model(
    loss: DispersionModel, y: Array, weight: Array, offset: Array
) -> tuple[list[float], list[float]]:
    """Of the least losses, of the offsets' sizes, of the offsets, and of the losses at them, which are infinite where a
    link does not allow one.
    """
    variance = _variance(loss)
    best, (low, high) = saturated(y, variance), eta_allowed(loss)
    at_offset = best + half_deviance(y, _link(loss).mean(offset), variance)
    at_offset = np.where((low < offset) & (offset < high), at_offset, np.inf)
    sums = [_sum(weight * one) for one in (best, np.abs(offset), offset)]
    sums.append(_sum(weight * np.where(np.isnan(at_offset), np.inf, at_offset)))
    if not _has_closed_form(loss):
        return sums, []
    rise, fall = 2.0 - loss.power, loss.power - 1.0
    return sums, [_log_sum(rise * offset, weight), _log_sum(-fall * offset, weight * y)]


def _sum(values: Array) -> float:
    return float(values.sum())


def _log_sum(exponents: Array, factors: Array) -> float:
    """log(sum of factors exp(exponents))."""
    return float(logsumexp(exponents, b=factors)) if factors.any() else -np.inf
