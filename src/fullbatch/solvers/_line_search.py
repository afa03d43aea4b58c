"""A line search for objectives whose values carry noise: float32 data, long sums."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..machine.vectors import dot
from ..protocols.answers import Point
from ..protocols.requests import ValueGrad
from ..protocols.seams import Steps

Array = npt.NDArray[Any]

# What noise really is depends on the rows and on the processor. Values that rise by more than so many times what is
# thought, where slopes say that a convex function falls, have other gradients than their own.
CONVEX_NOISE = 1000.0


class Trial(NamedTuple):
    """A point on the search line."""

    step: float
    value: float
    slope: float
    point: Point


@dataclass(frozen=True)
class LineSearch:
    """Find a step with sufficient decrease and a flatter slope (Wolfe's conditions), trusting slopes over values
    where values differ by less than their noise (the approximate conditions of Hager and Zhang, 2005, eq. 4.1).

    Parameters
    ----------
    decrease : float
        Armijo's constant: value <= start + decrease * step * slope.
    curvature : float
        The slope must rise to at least this multiple of the first slope.
    delta : float
        Upper slope bound of the approximate conditions: slope <= (2 delta - 1) * first slope.
    noise : float
        Relative error of values: a value this far above the start still counts as not above it.
    convex : bool
        Whether the function is convex: where it still falls it lies below the start, even if noise is CONVEX_NOISE
        times as large as thought.
    max_trials : int
        Evaluations at the most.
    """

    decrease: float = 1e-4
    curvature: float = 0.9
    delta: float = 0.1
    noise: float = 1e-8
    convex: bool = False
    max_trials: int = 25

    def search(self, theta: Array, start: Point, direction: Array) -> Steps[Trial | None]:
        """The accepted trial, or None where no step gives an acceptable point. Step 1 is tried first.

        Parameters
        ----------
        theta, start : array, Point
            Where the line begins, and F and its gradient there.
        direction : array
            A direction of descent.
        """
        slope0 = dot(start.grad, direction)
        if not slope0 < 0:
            return None  # rounding has spoilt the direction: it no longer descends
        slack = self.noise * abs(start.value)
        low = Trial(0.0, start.value, slope0, start)  # longest step known to be too short
        high: Trial | None = None  # shortest step known to be too long
        step = 1.0
        for _ in range(self.max_trials):
            point = yield ValueGrad(theta + step * direction)
            slope = dot(point.grad, direction)
            trial = Trial(step, point.value, slope, point)
            if not (np.isfinite(point.value) and np.isfinite(slope)):  # nor is the gradient, where the slope is not
                high = trial
                step = low.step + 0.1 * (step - low.step)
                continue
            sufficient = point.value <= start.value + self.decrease * step * slope0
            trusted = CONVEX_NOISE * slack if self.convex and slope < 0 else slack
            not_above = point.value <= start.value + trusted
            flatter = slope >= self.curvature * slope0
            if flatter and (sufficient or (not_above and slope <= (2 * self.delta - 1) * slope0)):
                return trial
            if slope >= 0 or not (sufficient or not_above):
                high = trial
            else:
                low = trial
            if high is None:
                step *= _growth(slope0, slope)
            else:
                if high.step - low.step <= 1e-15 * high.step:
                    break
                step = _interpolated(low, high)
        # Progress without the slope condition is still progress; the memory then declines the pair if it must.
        return low if low.step > 0 and low.value < start.value else None


def _growth(slope0: float, slope: float) -> float:
    """How many times longer the next step is: where the secant of the slopes has its zero, within reason."""
    rise = slope - slope0
    return min(max(-slope0 / rise, 2.0), 100.0) if rise > 0 else 100.0


def _interpolated(low: Trial, high: Trial) -> float:
    """Minimiser of the cubic through both values and slopes, kept away from the ends of the interval."""
    width = high.step - low.step
    middle = low.step + 0.5 * width
    if not (np.isfinite(high.value) and np.isfinite(high.slope)):
        return low.step + 0.1 * width
    theta = 3.0 * (low.value - high.value) / width + low.slope + high.slope
    radicand = theta * theta - low.slope * high.slope
    if radicand < 0:
        return middle
    root = float(np.sqrt(radicand))
    denominator = high.slope - low.slope + 2.0 * root
    if denominator == 0:
        return middle
    step = high.step - width * (high.slope + root - theta) / denominator
    if not np.isfinite(step):
        return middle
    return float(min(max(step, low.step + 0.1 * width), high.step - 0.1 * width))
