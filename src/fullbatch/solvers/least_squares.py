"""Least squares and ridge regression in one read of the data, and whole paths and cross-validations in the same one."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..arguments import check_number, check_whole
from ..blas import one_thread
from ..factor import Factor, lengths, triangle_of
from ..protocols import Facts, Point, Squares, Steps
from ._descent import DescentState, first_state, moved

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

# Above this condition number, Gram matrices have lost more than 10 of 16 digits of the smallest directions.
ILL_CONDITIONED = 1e5


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
        Condition number of the problem, or of the data alone where that is less.
    """

    found: Array
    found_grad: Array
    found_value: float
    condition: float


@dataclass(frozen=True)
class LeastSquares:
    """The squared loss, with or without an L2 penalty: one pass for the sums, the rest on the driver.

    Where the sums of products turn out ill-conditioned there is a second pass, by QR decompositions: they give
    coefficients to the accuracy that the data allows. Where columns are linearly dependent and nothing is penalised,
    the solution is the shortest one, in columns scaled to length 1.

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
        return first_state(LeastSquaresState, theta, self._point(factor, theta), **self._solution(factor))

    def step(self, state: LeastSquaresState) -> Steps[LeastSquaresState]:
        """To the minimum: no pass, or one if the problem is ill-conditioned."""
        more: dict[str, Any] = {}
        if state.condition > ILL_CONDITIONED:
            (factor,) = yield Squares(exact=True)
            more = self._solution(factor)
            state = replace(state, **more)
        step = state.found - state.theta
        state = moved(state, step, Point(state.found_value, state.found_grad), 0.0)
        return replace(state, theta=state.found, direction=np.zeros_like(step), failure="")

    def optimality(self, state: LeastSquaresState) -> float:
        """0 at the solution, infinite before."""
        return 0.0 if state.iteration else np.inf

    @property
    def _l2(self) -> Array:
        if self.facts is None:
            raise ValueError("the problem is not known yet: `minimize` calls for_problem(objective.facts) first")
        return self.facts.l2

    def _point(self, factor: Factor, theta: Array) -> Point:
        with one_thread():
            slope = factor.R.T @ (factor.R @ theta - factor.z)
        value = factor.loss(theta) / factor.weight + 0.5 * float((self._l2 * theta * theta).sum())
        return Point(value, slope / factor.weight + self._l2 * theta)

    def _solution(self, factor: Factor) -> dict[str, Any]:
        theta, condition = solve(factor, self._l2)
        point = self._point(factor, theta)
        return {
            "found": theta,
            "found_grad": point.grad,
            "found_value": point.value,
            "condition": condition,
        }


def solve(factor: Factor, l2: Array) -> tuple[Array, float]:
    """The theta that minimises factor.loss / weight + 1/2 sum of l2 theta^2.

    Returns
    -------
    theta : (size,) array
    condition : float
        Condition number of the problem, or of the data alone where that is less.
    """
    penalty = np.sqrt(factor.weight * l2)
    R = np.vstack((factor.R, np.diag(penalty)[penalty > 0]))
    z = np.concatenate((factor.z, np.zeros(len(R) - len(factor.z))))
    scale = lengths(R)
    scale = np.where(scale > 0, scale, 1.0)
    with one_thread():
        theta, _, _, s = np.linalg.lstsq(R / scale, z, rcond=len(R) * np.finfo(np.float64).eps)
    with_penalty = s[0] / s[-1] if s[-1] > 0 else np.inf
    return theta / scale, float(min(factor.condition, with_penalty))


@dataclass(frozen=True, eq=False)
class RidgePath:
    """Ridge regression for many strengths of the penalty.

    Parameters
    ----------
    l2 : (L,) array
        Strengths.
    theta : (L, size) array
        The minimum for each, of all rows.
    value : (L,) array
        F there, penalty included.
    held_out : (L, folds) array
        Mean loss on each fold's rows of the fit to all others; no columns without folds.
    """

    l2: Array
    theta: Array
    value: Array
    held_out: Array

    @property
    def best(self) -> int:
        """Number of the strength with the least mean loss on rows held out."""
        if not self.held_out.size:
            raise ValueError("there are no folds to choose by: call ridge_path with folds=10")
        return int(self.held_out.mean(axis=1).argmin())


def ridge_path(objective: Any, l2: Sequence[float] | Array, folds: int = 0, seed: int = 0) -> RidgePath:
    """Ridge regression for many strengths, with cross-validation, from one read of the data.

    Parameters
    ----------
    objective : Objective
        Of a linear model with the squared loss. Its own penalty does not count: each strength stands for it, on the
        coordinates that the model penalises.
    l2 : (L,) array_like
        Strengths, in any order.
    folds : int
        Rows are dealt to so many folds by their global numbers; 0 for no cross-validation.
    seed : int
        Of the folds.

    Returns
    -------
    RidgePath

    Raises
    ------
    TypeError
        The loss is not the squared one.
    ValueError
        A strength is negative or not finite, or there is one fold.
    """
    try:
        strengths = np.atleast_1d(np.asarray(l2, np.float64))
    except (TypeError, ValueError):
        raise ValueError(f"l2 must be numbers that are finite and not negative, got {l2!r}") from None
    if strengths.ndim != 1 or not (np.isfinite(strengths) & (strengths >= 0)).all():
        raise ValueError(f"l2 must be numbers that are finite and not negative, got {l2!r}")
    check_whole("folds", folds, 0)
    check_whole("seed", seed)
    if folds == 1:
        raise ValueError(f"folds must be 0, or 2 or more, got {folds}")
    if Squares not in objective.facts.answers:
        raise TypeError("ridge_path needs a linear model with the squared loss: Linear('squared')")
    parts = objective(Squares(folds=max(folds, 1), seed=seed))
    if max(part.condition for part in parts) > ILL_CONDITIONED:
        parts = objective(Squares(exact=True, folds=max(folds, 1), seed=seed))
    penalized = objective.facts.parameters.penalized
    whole = _added(parts)
    theta = _path(whole, strengths, penalized)
    value = np.array([whole.loss(one) for one in theta]) / whole.weight
    value += 0.5 * strengths * (theta[:, penalized] ** 2).sum(axis=1)
    held_out = np.zeros((len(strengths), folds))
    for fold in range(folds):
        others = _added([part for number, part in enumerate(parts) if number != fold])
        fits = _path(others, strengths, penalized)
        weight = parts[fold].weight
        held_out[:, fold] = [parts[fold].loss(one) / weight if weight else np.nan for one in fits]
    return RidgePath(strengths, theta, value, held_out)


def _added(parts: list[Factor]) -> Factor:
    """All rows of the parts as one triangular factor."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    triangle = triangle_of(np.column_stack((total.R, total.z)))
    size = total.R.shape[1]
    rest = total.rest + float((triangle[size:, -1] ** 2).sum())
    return replace(total, R=triangle[:size, :-1], z=triangle[:size, -1], rest=rest)


def _path(factor: Factor, strengths: Array, penalized: Array) -> Array:
    """The minimum for each strength, (L, size): one singular value decomposition serves all."""
    order = np.argsort(penalized, kind="stable")  # what is not penalised comes first, and is solved for last
    free = int((~penalized).sum())
    theta = np.zeros((len(strengths), len(penalized)))
    triangle = triangle_of(np.column_stack((factor.R[:, order], factor.z)))
    with one_thread():
        inner, z = triangle[free:, free:-1], triangle[free:, -1]
        U, s, Vt = np.linalg.svd(inner, full_matrices=False)
        ridge = factor.weight * strengths[:, None]
        # A singular value that is rounding counts as zero, unless the penalty outweighs it.
        known = (s > len(s) * np.finfo(np.float64).eps * s.max(initial=0.0)) | (ridge > 0)
        filtered = np.where(known, s / np.where(known, s * s + ridge, 1.0), 0.0)
        theta[:, order[free:]] = (filtered * (U.T @ z)) @ Vt
        rest = triangle[:free, -1] - theta[:, order[free:]] @ triangle[:free, free:-1].T
        if free:
            theta[:, order[:free]] = np.linalg.lstsq(triangle[:free, :free], rest.T, rcond=None)[0].T
    return theta
