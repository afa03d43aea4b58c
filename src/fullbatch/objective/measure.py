"""What a decrease of F is measured by, so that small means the same whatever the units and wherever the start."""

import numpy as np

from ..protocols.answers import Point
from ..protocols.seams import Facts, State

# A decrease since the start of more than so many times |F| says more about the start than about F.
FAR_START = 100.0

# F of the null model is what small is measured by as long as it is no more than so many times F.
NEAR = 100.0

# Without an intercept, what has been explained is what small is measured by, but no less than this share of the null F.
_EXPLAINED = 1e-4

# Of what was to be risen by, so much must be. It is looked for where F differs by this share of what it is measured by.
_RISEN, BEYOND = 0.5, 1e-6

# Of sums of float64, as a share of their terms.
_ROUNDING = 1e-14


def relative(decrease: float, state: State, facts: Facts | None) -> float:
    """A decrease of F relative to `measure`; or, where less is left above the least that F can be, all that is left
    relative to the null model's F. Of models that know neither: relative to the decrease since the start, where F is
    as good as zero.
    """
    share = decrease / scale if (scale := measure(state, facts)) > 0 else np.inf
    if facts is not None and np.isfinite(facts.parameters.null):
        return min(share, max(state.value - facts.least, 0.0) / facts.parameters.null)
    fallen = abs(getattr(state, "first_value", state.value) - state.value)
    return min(share, max(decrease, abs(state.value)) / fallen) if fallen > 0 else share


def measure(state: State, facts: Facts | None) -> float:
    """What is small is small beside this.

    Linear models: how far F of the null model stands above the least that F can be, but no more than NEAR times how
    far F does here. That knows neither the start, nor the units of features and weights, nor constants in F, and moves
    with the units of the targets as F does. Without an intercept the null model is at 0, as far from the targets as
    their unit will have it: there, no more than by how much F is below it.

    Of other models no more is known than F here and at the start: max(|F|, |F0 - F|). F0 - F counts as no more than
    FAR_START times |F|, since after a start that was very far off all that is left is small beside it.
    """
    if facts is not None and np.isfinite(facts.parameters.null):
        null, above = facts.parameters.null, max(state.value - facts.least, 0.0)
        most = null if facts.intercept else max(null - above, _EXPLAINED * null)
        return min(most, NEAR * above)
    here, fallen = abs(state.value), abs(getattr(state, "first_value", state.value) - state.value)
    return max(here, min(fallen, FAR_START * here))


def looked_beyond(value: float, rise: float, beyond: Point, facts: Facts) -> bool:
    """Whether F has risen far enough beyond a minimum, but for rounding: see `Curved.probes`. Beyond a kink it rises as
    it will.
    """
    least = value + (0.0 if facts.parameters.kinked else _RISEN * rise)
    size = abs(value) + (value - facts.least if np.isfinite(facts.least) else 0.0)
    return not np.isfinite(beyond.value) or beyond.value > least - _ROUNDING * size
