"""How good predictions are, by sums over rows that add up without cancellation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..models.deviance import Variance, half_deviance

Array = npt.NDArray[Any]

_ROUNDING = 1e-12  # relative difference of a prediction from a target that is none


@dataclass(frozen=True)
class Spread:
    """Deviance of targets from their own weighted mean.

    Adds up as squares do (Chan, Golub and LeVeque, 1983): a deviance is a Bregman divergence, so that the deviance from
    the common mean is that from the parts' own means plus that of these means from the common one.

    Parameters
    ----------
    weight : float
        Sum of the sample weights.
    mean : float
        Weighted mean of the targets.
    variances : tuple of Variance or float
        Which deviances: those of these variances, or powers of the mean.
    deviances : (len(variances),) float64 array
        Weighted sums of `half_deviance` from the mean.
    """

    weight: float
    mean: float
    variances: tuple[Variance | float, ...]
    deviances: Array

    @classmethod
    def of(cls, y: Array, weight: Array, variances: tuple[Variance | float, ...]) -> "Spread":
        """The spread of some rows' targets."""
        counts = weight > 0
        if not counts.any():
            return cls(0.0, 0.0, variances, np.zeros(len(variances)))
        if not counts.all():  # zero times a square that overflows is no zero
            y, weight = y[counts], weight[counts]
        total, first = float(weight.sum()), y[0]  # differences from it: exact zeros where all targets are equal
        mean = float(first + weight @ (y - first) / total)
        return cls(total, mean, variances, np.array([weight @ half_deviance(y, mean, one) for one in variances]))

    def explained(self, deviances: Sequence[float]) -> list[float]:
        """Shares of the spread that predictions explain, given their weighted sums of `half_deviance`.

        Equal targets leave nothing to explain: 1.0 for predictions that equal them, up to rounding, otherwise 0.0, as
        scikit-learn's `r2_score`.
        """
        shares = []
        for variance, deviance, of_mean in zip(self.variances, deviances, self.deviances.tolist(), strict=True):
            if of_mean > 0:
                shares.append(1.0 - deviance / of_mean)
            else:
                mean = abs(self.mean)
                of_one = variance if isinstance(variance, Variance) else Variance("power", variance)
                with np.errstate(divide="ignore", invalid="ignore"):
                    rounding = 0.5 * self.weight * _ROUNDING**2 * mean**2 / float(of_one(mean))
                shares.append(1.0 if deviance <= rounding else 0.0)
        return shares

    def __add__(self, other: "Spread") -> "Spread":
        if self.weight == 0.0 or other.weight == 0.0:
            return other if self.weight == 0.0 else self
        weight = self.weight + other.weight
        mean = self.mean + (other.mean - self.mean) * (other.weight / weight)
        deviances = self.deviances + other.deviances
        for part in (self, other):
            deviances = deviances + [part.weight * half_deviance(part.mean, mean, one) for one in self.variances]
        return Spread(weight, mean, self.variances, deviances)


@dataclass(frozen=True)
class Spreads:
    """Those of several targets, which add up one by one."""

    each: tuple[Spread, ...]

    def __add__(self, other: "Spreads") -> "Spreads":
        return Spreads(tuple(mine + others for mine, others in zip(self.each, other.each, strict=True)))


@dataclass(frozen=True)
class Tally:
    """What some rows tell of a model; adds up.

    Parameters
    ----------
    rows : int
        How many.
    weight : float
        Sum of their sample weights.
    sums : array
        Weighted sums of the model's own choice.
    spread : Spread, Spreads or None
        Of targets that are numbers.
    """

    rows: int
    weight: float
    sums: Array
    spread: Any = None

    def __add__(self, other: "Tally") -> "Tally":
        spread = None if self.spread is None or other.spread is None else self.spread + other.spread
        return Tally(self.rows + other.rows, self.weight + other.weight, self.sums + other.sums, spread)
