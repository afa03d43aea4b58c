"""Ridge regression for many strengths of the penalty, and its cross-validation, from one read of the data."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..objective.factor import EPS, Factor, lengths, triangle_of
from ..protocols.requests import Squares
from ..wording.arguments import check_whole
from ._sum_of_squares import DOUBTFUL, ILL_CONDITIONED, ROUNDINGS, Reduced, check_scale, solve

Array = npt.NDArray[Any]


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
        check_scale(all(np.isfinite(part.R).all() and np.isfinite(part.z).all() for part in parts))
        path = _path(parts, strengths, penalized, folds)
    found = path[0]
    known = found.held_out[:, ~np.isnan(found.held_out).all(axis=0)]
    check_scale(all(np.isfinite(numbers).all() for numbers in (found.theta, found.value, known)))
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
    reduced = Reduced.of(factor)
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
            s = np.where(s > ROUNDINGS * EPS * rounding, s, 0.0)
            b = np.zeros((by_one.sum(), len(used)))
            b[:, used] = (s / (s * s + factor.weight * strengths[by_one, None]) * (U.T @ reduced.z)) @ Vt
        v = reduced.with_intercept(b) if factor.intercept else b
        theta[by_one] = [factor.theta_of(one) for one in v]
    return theta


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Sums of squares along directions each of which a ridge penalty shrinks by itself.

    Parameters
    ----------
    basis : (p, r) array
        The directions, as coefficients of the columns as stored.
    squares : (r,) array
        Sums of squares of the rows along them; above 0.
    pull : (r,) array
        Sums of products with the target.
    factor : Factor
        Of the rows.
    """

    basis: Array
    squares: Array
    pull: Array
    factor: Factor

    @classmethod
    def of(cls, factor: Factor, scale: Array) -> "Spectrum":
        """That of some rows, whose columns are divided by `scale` before their coefficients are penalised."""
        reduced = Reduced.of(factor)
        with one_thread():
            U, s, Vt = np.linalg.svd(reduced.R / scale, full_matrices=False)
            known = s > ROUNDINGS * EPS * np.sqrt(len(s)) * s.max(initial=0.0)
            U, s, Vt = U[:, known], s[known], Vt[known]
            return cls(Vt.T / scale[:, None], s * s, s * (U.T @ reduced.z), factor)

    def shrunk(self, alphas: Array) -> Array:
        """What penalties beside the sum of squares leave of a unit of pull along each direction, (r, L)."""
        return np.asarray(1.0 / (self.squares[:, None] + alphas))

    def thetas(self, alphas: Array) -> Array:
        """The minimum under each, (L, size)."""
        with one_thread():
            b = (self.basis @ (self.pull[:, None] * self.shrunk(alphas))).T
        v = Reduced.of(self.factor).with_intercept(b) if self.factor.intercept else b
        return np.array([self.factor.theta_of(one) for one in v])
