"""The minimum of a sum of squares and a penalty, from a triangular factor of the rows: of several, the shortest."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..objective.factor import CONSTANT, EPS, Factor, lengths, triangle_of

Array = npt.NDArray[Any]

# Above this condition number, Gram matrices have lost more than 10 of 16 digits of the smallest directions.
ILL_CONDITIONED = 1e5

# Above this relative error of F, what is left of the squares of the targets is too little beside them to tell.
DOUBTFUL = 3e-9

# A combination of columns, each of length 1, counts as zero if it is shorter than so many roundings of the columns.
ROUNDINGS = 8.0

# A column is named as dependent if it has more than this share of a combination of length 1 that is zero.
_TAKES_PART = 1e-6


def no_columns() -> Array:
    """Coordinates of none."""
    return np.zeros(0, np.int64)


def check_scale(finite: bool | np.bool_) -> None:
    """Refuse a problem whose sums of squares are not finite."""
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
class Reduced:
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
    def of(cls, factor: Factor) -> "Reduced":
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
        reduced = Reduced.of(factor)
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
        return np.zeros(A.shape[1]), 0.0, 1.0, no_columns()
    scale = lengths(A)
    A = A / scale
    unit = float(max(np.abs(t).max(), rest)) or 1.0  # squares of t in it are finite
    with one_thread():
        U, s, Vt = np.linalg.svd(A, full_matrices=False)
        rounding = np.sqrt(((Vt * (own / scale)) ** 2).sum(axis=1)) + np.sqrt(len(s)) * s[0]
        known = s > ROUNDINGS * EPS * rounding
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
        return b, remaining, float(s[0] / s[-1]), no_columns()
    share = np.sqrt(np.maximum(1.0 - (V * V).sum(axis=1), 0.0))
    mixed = ROUNDINGS * EPS * rounding.max() / s[known].min(initial=np.inf)  # of what is zero with what is not
    return b, remaining, np.inf, np.flatnonzero(share > max(_TAKES_PART, mixed))
