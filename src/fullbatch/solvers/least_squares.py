"""Least squares and ridge regression in one read of the data, and whole paths and cross-validations in the same one."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..objective.factor import CONSTANT, EPS, Factor, lengths, triangle_of
from ..protocols.answers import Point
from ..protocols.requests import Squares
from ..protocols.seams import Facts, Steps
from ..wording.arguments import check_number, check_whole
from .descent import DescentState, first_state, is_finite, moved

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

# Above this condition number, Gram matrices have lost more than 10 of 16 digits of the smallest directions.
ILL_CONDITIONED = 1e5

# Above this relative error of F, what is left of the squares of the targets is too little beside them to tell.
DOUBTFUL = 3e-9

# A combination of columns, each of length 1, counts as zero if it is shorter than so many roundings of the columns.
_ROUNDINGS = 8.0

# A column is named as dependent if it has more than this share of a combination of length 1 that is zero.
_TAKES_PART = 1e-6


def _none() -> Array:
    return np.zeros(0, np.int64)


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
    constant: Array = field(default_factory=_none)
    dependent: Array = field(default_factory=_none)


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
        _check_scale(np.isfinite(factor.R).all() and np.isfinite(factor.z).all())
        start = self._point(factor, theta)
        _check_scale(is_finite(start))
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
        _check_scale(np.isfinite(solution.theta).all() and is_finite(point))
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


def _check_scale(finite: bool | np.bool_) -> None:
    if not finite:
        raise ValueError(
            "the squares of the residuals, at the starting point or at the minimum, are not finite numbers: scale the "
            "target or the columns, such as to another unit, or start nearer"
        )


@dataclass(frozen=True, eq=False)
class Solution:
    """The minimum of a sum of squares.

    Parameters
    ----------
    theta : (size,) array
    condition, remaining, constant, dependent
        As in `LeastSquaresState`.
    """

    theta: Array
    condition: float
    remaining: float
    constant: Array
    dependent: Array


@dataclass(frozen=True, eq=False)
class _Reduced:
    """A factor whose intercept was solved for: (|R b - z|^2 + |level a + pull'b - target|^2 + rest) / 2, where a is the
    coordinate of the intercept and b the others; level is 0 without one.
    """

    R: Array
    z: Array
    rest: float
    level: float
    pull: Array
    target: float
    constant: Array

    @classmethod
    def of(cls, factor: Factor) -> "_Reduced":
        if not factor.intercept:
            triangle = triangle_of(np.column_stack((factor.R, factor.z)))
            level, pull, target = 0.0, np.zeros(factor.R.shape[1]), 0.0
        else:
            triangle = triangle_of(np.column_stack((factor.R[:, -1], factor.R[:, :-1], factor.z)))
            level, pull, target = float(triangle[0, 0]), triangle[0, 1:-1], float(triangle[0, -1])
            triangle = triangle[1:, 1:]
        R, z, last = triangle[:-1, :-1].copy(), triangle[:-1, -1], float(triangle[-1, -1])
        size = lengths(R)
        constant = size <= CONSTANT * factor.own[: len(size)] if factor.intercept else size == 0
        R[:, constant] = 0.0
        return cls(R, z, factor.rest + last * last, level, pull, target, constant)

    def with_intercept(self, b: Array) -> Array:
        """With the best a for each b, (..., size)."""
        if self.level == 0:
            a = np.zeros(b.shape[:-1])
        else:
            with one_thread():
                a = (self.target - b @ self.pull) / self.level
        return np.concatenate((b, a[..., None]), axis=-1)


def solve(factor: Factor, l2: Array) -> Solution:
    """The theta that minimises factor.loss / weight + 1/2 sum of l2 theta^2."""
    with np.errstate(over="ignore", invalid="ignore"):  # what is not finite is told by the caller
        reduced = _Reduced.of(factor)
        free = factor.intercept and l2[-1] == 0  # the intercept follows from the rest
        penalty = np.sqrt(factor.weight * l2)
        rows = np.diag(penalty)
        if factor.intercept:
            rows[-1, :-1] = -penalty[-1] * factor.center[:-1]
        rows, goal = rows[penalty > 0], (-penalty * factor.shift)[penalty > 0]
        if free:
            data, z = reduced.R, reduced.z
            rows = rows[:, :-1]
        elif factor.intercept:
            data = np.vstack((np.append(reduced.pull, reduced.level), np.pad(reduced.R, ((0, 0), (0, 1)))))
            z = np.append(reduced.target, reduced.z)
        else:
            data, z = reduced.R, reduced.z
        A, t = np.vstack((data, rows)), np.concatenate((z, goal))
        scale = lengths(A)
        used = scale > 0
        if free or not (factor.intercept or factor.shift.any()):
            used &= ~reduced.constant
        b, remaining, with_penalty, dependent = _shortest(
            A[:, used], t, factor.own[: len(used)][used], np.sqrt(reduced.rest)
        )
        v = np.zeros(len(used))
        v[used] = b
        theta = factor.theta_of(reduced.with_intercept(v) if free else v)
    return Solution(
        theta,
        min(factor.condition, with_penalty),
        remaining,
        np.flatnonzero(reduced.constant),
        np.flatnonzero(used)[dependent],
    )


def _shortest(A: Array, t: Array, own: Array, rest: float) -> tuple[Array, float, float, Array]:
    """The solution of least norm of A b = t in columns scaled to length 1.

    Parameters
    ----------
    A : (m, k) array
        Without columns of zeros.
    t : (m,) array
    own : (k,) array
        Size of each column that its rounding is relative to.
    rest : float
        Length of what no b explains.

    Returns
    -------
    b : (k,) array
    remaining : float
        Share of the squared residual that the columns still explain.
    condition : float
    dependent : array of int
        Columns that take part in combinations that are zero.
    """
    if not A.size:
        return np.zeros(A.shape[1]), 0.0, 1.0, _none()
    scale = lengths(A)
    A = A / scale
    unit = float(max(np.abs(t).max(), rest)) or 1.0  # squares of t in it are finite
    with one_thread():
        U, s, Vt = np.linalg.svd(A, full_matrices=False)
        rounding = np.sqrt(((Vt * (own / scale)) ** 2).sum(axis=1)) + np.sqrt(len(s)) * s[0]
        known = s > _ROUNDINGS * EPS * rounding
        U, V = U[:, known], Vt[known].T
        b, residual = np.zeros(A.shape[1]), t / unit
        for _ in range(2):  # the second takes what rounding left
            b += V @ ((U.T @ residual) / s[known])
            residual = t / unit - A @ b
        explained = U.T @ residual
    left = float(residual @ residual) + (rest / unit) ** 2
    # Beside t itself, an exact fit leaves nothing but rounding.
    whole = max(left, EPS * (float((t / unit) @ (t / unit)) + (rest / unit) ** 2))
    remaining = float(explained @ explained) / whole if whole > 0 else 0.0
    b = b * unit / scale
    if known.all() and len(s) == A.shape[1]:
        return b, remaining, float(s[0] / s[-1]), _none()
    share = np.sqrt(np.maximum(1.0 - (V * V).sum(axis=1), 0.0))
    mixed = _ROUNDINGS * EPS * rounding.max() / s[known].min(initial=np.inf)  # of what is zero with what is not
    return b, remaining, np.inf, np.flatnonzero(share > max(_TAKES_PART, mixed))


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
        Mean loss on each fold's rows of the fit to all others; NaN where either have no weight. No columns without
        folds.
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
        known = ~np.isnan(self.held_out[0])
        if not known.any():
            raise ValueError("no fold tells anything: all the weight is in one of them")
        return int(self.held_out[:, known].mean(axis=1).argmin())


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
    penalized, folds_asked = objective.facts.parameters.penalized, max(folds, 1)
    path = None
    parts = objective(Squares(folds=folds_asked, seed=seed))
    if all(np.isfinite(part.R).all() and part.condition <= ILL_CONDITIONED for part in parts):
        path = _path(parts, strengths, penalized, folds)
    if path is None or path[1] > DOUBTFUL:
        parts = objective(Squares(exact=True, folds=folds_asked, seed=seed))
        _check_scale(all(np.isfinite(part.R).all() and np.isfinite(part.z).all() for part in parts))
        path = _path(parts, strengths, penalized, folds)
    found = path[0]
    known = found.held_out[:, ~np.isnan(found.held_out).all(axis=0)]
    _check_scale(all(np.isfinite(numbers).all() for numbers in (found.theta, found.value, known)))
    return found


def _path(parts: list[Factor], strengths: Array, penalized: Array, folds: int) -> tuple[RidgePath, float]:
    """The path, and the largest relative error of a value in it that squaring may have caused."""
    with np.errstate(over="ignore", invalid="ignore"):
        whole = _added(parts)
        theta = _minima(whole, strengths, penalized)
        penalty = 0.5 * strengths * (theta[:, penalized] ** 2).sum(axis=1)
        value = np.array([whole.loss(one) for one in theta]) / whole.weight + penalty
        doubts = [whole.doubt(*pair) for pair in zip(theta, whole.weight * value, strict=True)]
        held_out = np.full((len(strengths), folds), np.nan)
        for fold in range(folds):
            others = [part for number, part in enumerate(parts) if number != fold and part.weight > 0]
            part = parts[fold]
            if not others or not part.weight > 0:
                continue
            fits = _minima(_added(others), strengths, penalized)
            losses = [part.loss(one) for one in fits]
            held_out[:, fold] = np.array(losses) / part.weight
            doubts += [part.doubt(*pair) for pair in zip(fits, losses, strict=True)]
    return RidgePath(strengths, theta, value, held_out), max(doubts)


def _added(parts: list[Factor]) -> Factor:
    """All rows of the parts as one triangular factor."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    triangle = triangle_of(np.column_stack((total.R, total.z)))
    last = float(triangle[-1, -1])
    return replace(total, R=triangle[:-1, :-1], z=triangle[:-1, -1], rest=total.rest + last * last)


# One decomposition serves all strengths if the lengths of columns, and their largest ratio, are within these bounds:
# a penalty forbids to scale them.
_LENGTHS, _RATIO = (1e-100, 1e100), 1e6


def _minima(factor: Factor, strengths: Array, penalized: Array) -> Array:
    """The minimum for each strength, (L, size): one singular value decomposition serves all, where that is accurate."""
    reduced = _Reduced.of(factor)
    usual = penalized.copy()
    usual[-1] ^= factor.intercept
    used = ~reduced.constant
    size = lengths(reduced.R)[used]
    together = usual.all() and (factor.intercept or not factor.shift.any()) and used.any()
    together = together and _LENGTHS[0] < size.min() and size.max() < min(_LENGTHS[1], _RATIO * size.min())
    by_one = strengths > 0 if together else np.zeros(len(strengths), bool)
    theta = np.zeros((len(strengths), len(penalized)))
    for number in np.flatnonzero(~by_one):
        theta[number] = solve(factor, strengths[number] * penalized).theta
    if by_one.any():
        with one_thread():
            U, s, Vt = np.linalg.svd(reduced.R[:, used], full_matrices=False)
            own = factor.own[: len(used)][used]
            rounding = np.sqrt(((Vt * own) ** 2).sum(axis=1)) + np.sqrt(len(s)) * s[0]
            s = np.where(s > _ROUNDINGS * EPS * rounding, s, 0.0)
            b = np.zeros((by_one.sum(), len(used)))
            b[:, used] = (s / (s * s + factor.weight * strengths[by_one, None]) * (U.T @ reduced.z)) @ Vt
        v = reduced.with_intercept(b) if factor.intercept else b
        theta[by_one] = [factor.theta_of(one) for one in v]
    return theta
