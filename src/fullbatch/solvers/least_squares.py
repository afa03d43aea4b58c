"""Least squares and ridge regression in one read of the data."""

import logging
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..objective.factor import Factor
from ..protocols.answers import Point
from ..protocols.requests import Squares
from ..protocols.seams import Facts, Steps
from ..wording.arguments import check_number
from ._sum_of_squares import DOUBTFUL, ILL_CONDITIONED, check_scale, no_columns, solve
from .descent import DescentState, first_state, is_finite, moved
from .ridge_path import RidgePath, ridge_path

# The path stood here once; what makes sums of products doubtful is asked from elsewhere, too.
__all__ = ["DOUBTFUL", "ILL_CONDITIONED", "LeastSquares", "LeastSquaresState", "RidgePath", "ridge_path", "solve"]

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False, kw_only=True)
class LeastSquaresState(DescentState):
    """As `DescentState`, and the minimum where it is known.

    Parameters
    ----------
    found, found_grad : (size,) arrays
        The minimum, and the gradient there.
    found_value : float
        F there.
    condition : float
        Condition number of the problem, or of the data alone where that is less; 0 where nothing was squared.
    doubt : float
        Relative error of `found_value` that squaring may have caused.
    remaining : float
        R^2 of what is left: the share of the squared residuals at `found` that the columns still explain; but for the
        rounding of an intercept. With a penalty, its terms count as residuals. Infinite where it is not known.
    constant : (j,) int64 array
        Coordinates of columns without variation, or without any value but 0 where there is no intercept.
    dependent : (k,) int64 array
        Coordinates of columns that are linear combinations of one another, and that no penalty tells apart.
    """

    found: Array
    found_grad: Array
    found_value: float
    condition: float
    doubt: float = 0.0
    remaining: float = np.inf
    constant: Array = field(default_factory=no_columns)
    dependent: Array = field(default_factory=no_columns)


@dataclass(frozen=True)
class LeastSquares:
    """The squared loss, with or without an L2 penalty: one pass for the sums, the rest on the driver.

    Where the sums of products turn out ill-conditioned, or the targets are explained so well that the sums hide what is
    left, there is a second pass, by QR decompositions: they give coefficients to the accuracy that the data allows.

    A column without variation has the coefficient 0 where there is an intercept that is not penalised. Where columns
    are linearly dependent and no penalty tells them apart, the solution is the shortest one, in columns that are
    centred (where there is an intercept) and scaled to length 1. The state names both kinds. What counts as zero is
    decided by the size of the columns before they are centred: a spread of less than 1e-13 of it is rounding, and so
    is a combination of columns that is shorter than a few units in their last place.

    Parameters
    ----------
    max_bytes : int
        Memory on the driver for the sums and their factors; a problem that needs more is refused. Each block takes a
        quarter of it while it answers.
    """

    max_bytes: int = 2**31
    facts: Facts | None = field(default=None, repr=False, compare=False)

    requests: ClassVar[frozenset[type]] = frozenset({Squares})
    state: ClassVar[type] = LeastSquaresState
    by_hessian: ClassVar[bool] = True  # what it says is left comes from the Hessian

    def __post_init__(self) -> None:
        check_number("max_bytes", self.max_bytes, finite=True)

    def for_problem(self, facts: Facts) -> "LeastSquares":
        """With the penalty of the problem; says how much memory the sums take.

        Raises
        ------
        ValueError
            They take more than `max_bytes`.
        """
        needed = self.bytes_for(facts.parameters.size)
        if needed > self.max_bytes:
            raise ValueError(
                f"the sums of products of {facts.parameters.size} columns take {needed / 1e6:.3g} MB, more than "
                f"max_bytes: use 'sampled-lbfgs' or 'lbfgs', or LeastSquares(max_bytes={needed})"
            )
        logger.info("least squares: the sums of products take %.3g MB on the driver", needed / 1e6)
        return replace(self, facts=facts)

    @staticmethod
    def bytes_for(size: int) -> int:
        """Memory for the sums of products of so many columns, and their factors."""
        return 4 * 8 * (size + 1) ** 2

    def init(self, theta: Array) -> Steps[LeastSquaresState]:
        """One pass: everything that is to be known of the data; two where squares overflow."""
        (factor,) = yield Squares()
        if not np.isfinite(factor.R).all():
            (factor,) = yield Squares(exact=True)
        check_scale(np.isfinite(factor.R).all() and np.isfinite(factor.z).all())
        start = self._point(factor, theta)
        check_scale(is_finite(start))
        return first_state(LeastSquaresState, theta, start, **self._solution(factor))

    def step(self, state: LeastSquaresState) -> Steps[LeastSquaresState]:
        """To the minimum: no pass, or one if the problem is ill-conditioned."""
        if state.iteration and state.remaining < np.inf:
            return replace(state, failure="precision")
        if state.condition > ILL_CONDITIONED or state.doubt > DOUBTFUL or state.remaining == np.inf:
            (factor,) = yield Squares(exact=True)
            state = replace(state, **self._solution(factor))
        step = state.found - state.theta
        state = moved(state, step, Point(state.found_value, state.found_grad), 0.0)
        return replace(state, theta=state.found, direction=np.zeros_like(step), failure="")

    def optimality(self, state: LeastSquaresState) -> float:
        """Share of the squared residuals that the columns still explain; infinite before the solution is known."""
        return state.remaining if state.iteration else np.inf

    @property
    def _l2(self) -> Array:
        if self.facts is None:
            raise ValueError("the problem is not known yet: `minimize` calls for_problem(objective.facts) first")
        return self.facts.l2

    def _point(self, factor: Factor, theta: Array) -> Point:
        with np.errstate(over="ignore", invalid="ignore"):
            value = factor.loss(theta) / factor.weight + 0.5 * float((self._l2 * theta * theta).sum())
            return Point(value, factor.slope(theta) / factor.weight + self._l2 * theta)

    def _solution(self, factor: Factor) -> dict[str, Any]:
        solution = solve(factor, self._l2)
        point = self._point(factor, solution.theta)
        check_scale(np.isfinite(solution.theta).all() and is_finite(point))
        return {
            "found": solution.theta,
            "found_grad": point.grad,
            "found_value": point.value,
            "condition": solution.condition,
            "doubt": factor.doubt(solution.theta, factor.weight * point.value),
            "remaining": solution.remaining,
            "constant": solution.constant,
            "dependent": solution.dependent,
        }
