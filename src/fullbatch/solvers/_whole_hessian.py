"""What Newton's methods share: room for the whole Hessian, precision, the width of a loss, which steps are taken."""

import logging
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, Self

import numpy as np

from ..protocols.answers import Point
from ..protocols.requests import Curvature, ValueGrad
from ..protocols.rows import Array
from ..protocols.seams import Facts
from ..wording.arguments import check_number
from .descent import check_precision, is_finite, precision_of

logger = logging.getLogger(__name__)

# How Levenberg's damping rises with a step that does not do what was promised, and falls with one that does; and where
# it is given up.
RISE, FALL, MOST = 10.0, 0.03, 1e14

# A step is taken if it lowers F by this share of what was promised, and did what was promised with this one.
TAKEN, KEPT = 0.1, 0.7

# Where a loss is straight for the usual row, it is first made curved so widely that this is no longer so, and then
# narrower in steps of this factor, with no more steps for each width, which end when F could fall by no more than this
# share. Beyond so many widths the rest is rounding.
NARROWER, STEPS, CLOSE, WIDEST = 4.0, 30, 1e-6, 1e12

# What is left is looked into where it is no more than this share of what F is measured by, unless it has just fallen by
# this factor or more, and the step that is left goes a way of no less than this steepness.
NEAR, FAST, STEEP = 1e-5, 0.01, 1e-6


@dataclass(frozen=True)
class WholeHessian:
    """A method that asks for the whole Hessian of the rows.

    Parameters
    ----------
    max_bytes : int
        Memory on the driver for the Hessian and its factor; a problem that needs more is refused. Each block takes as
        much while it answers.
    precision : {"float64", "float32"}, optional
        Precision in which the blocks compute; default: filled in by `minimize`.
    """

    max_bytes: int = 2**27
    precision: str | None = None
    facts: Facts | None = field(default=None, repr=False, compare=False)

    requests: ClassVar[frozenset[type]] = frozenset({ValueGrad, Curvature})
    by_hessian: ClassVar[bool] = True  # what it says is left comes from the Hessian at the iterate
    instead: ClassVar[str]  # what a problem that is too large may do

    def __post_init__(self) -> None:
        check_number("max_bytes", self.max_bytes, finite=True)
        check_precision(self.precision)

    def for_problem(self, facts: Facts) -> Self:
        """With the precision of the blocks; says how much memory the Hessian takes.

        Raises
        ------
        ValueError
            It takes more than `max_bytes`.
        """
        size, kind = facts.parameters.size, type(self).__name__
        needed = self.bytes_for(size)
        if needed > self.max_bytes:
            raise ValueError(
                f"the Hessian of {size} parameters takes {needed / 1e6:.3g} MB, more than max_bytes: "
                f"{self.instead}, or {kind}(max_bytes={needed})"
            )
        logger.info("%s: the Hessian takes %.3g MB on the driver", kind, needed / 1e6)
        return replace(self, precision=self.precision or facts.parameters.dtype, facts=facts)

    @staticmethod
    def bytes_for(size: int) -> int:
        """Memory for the Hessian of so many parameters: as it is sent, and as it is factorised."""
        return 3 * 8 * size * size

    @property
    def bytes_needed(self) -> int:
        """Memory that a run of this problem may take on the driver."""
        return int(min(self.bytes_for(self._facts.parameters.size), self.max_bytes))

    @property
    def _facts(self) -> Facts:
        if self.facts is None:
            raise ValueError("the problem is not known yet: `minimize` calls for_problem(objective.facts) first")
        return self.facts

    def _precision(self, state: Any) -> str:
        """Of the products."""
        return "float64" if state.double else self.precision or "float64"

    def _rounds(self, state: Any) -> bool:
        """Whether there are more digits to be had."""
        return not state.double and self.precision == "float32"

    def _width(self, state: Any) -> float:
        """How many times as wide a loss would have to be curved for the usual row to be on the curved stretch."""
        begins = self._facts.parameters.straight_from
        return (state.value - self._facts.least) / begins if begins > 0 else 0.0

    def _gram(self, theta: Array, state: Any, width: float = 1.0) -> Curvature:
        return Curvature(theta, "gram", double=bool(state.double), widened=width)

    def _takes(self, state: Any, promised: float, point: Point) -> bool:
        """Whether a step lowers F enough; where rounding hides that, whether it does not raise it."""
        if not is_finite(point):
            return False
        noise, _ = precision_of(self._precision(state))
        rounding = noise * abs(state.value)
        return bool(point.value <= state.value - TAKEN * promised + (rounding if promised <= 10.0 * rounding else 0.0))


def at(state: Any, theta: Array, point: Point) -> Any:
    """The state of the same iteration, as `point` tells of it."""
    value, grad = point
    return replace(state, theta=theta, value=value, grad=grad, values=np.append(state.values[:-1], value))
