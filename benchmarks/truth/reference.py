"""The optimum of a problem, in long double and by NumPy formulas of its own: nothing of fullbatch computes here.

Newton's method with damping (Levenberg) and an exact line search, on an orthonormal basis of the columns weighted and
stacked upon the penalty. Only the direction of a step is computed in float64; F, gradient and line search are not.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import solve_triangular

from .problems import Problem

Array = npt.NDArray[Any]
Long = np.longdouble

# A column whose part outside the span of others is less than this share of it lies in the span: exactly collinear
# columns of doubles leave 1e-18, those that the problems have for nearly collinear 1e-10.
_IN_SPAN = 1e-15

# Share of F, or of its distance from the null model's, below which nothing is left to gain.
_ENOUGH = 1e-15

_MOST_STEPS = 300

# A kink is approached in so many steps, each from the optimum of a rounder one.
_ROUNDER = 4.0


# --- losses: value, slope and curvature of each row -------------------------------------------------------------


def _squared(options: dict[str, float], y: Array, eta: Array) -> tuple[Array, Array, Array]:
    return (eta - y) ** 2 / 2, eta - y, np.ones_like(eta)


def _huber(options: dict[str, float], y: Array, eta: Array) -> tuple[Array, Array, Array]:
    r, delta = eta - y, Long(options["delta"])
    inside = np.abs(r) <= delta
    value = np.where(inside, r * r / 2, delta * (np.abs(r) - delta / 2))
    return value, np.clip(r, -delta, delta), inside.astype(Long)


def _quantile(options: dict[str, float], y: Array, eta: Array) -> tuple[Array, Array, Array]:
    """Integral of the check function max(q r, (q - 1) r), r = y - eta, over a uniform kernel."""
    r, h, q = y - eta, Long(options["smoothing"]), Long(options["quantile"])
    inside = np.abs(r) <= h
    value = np.where(inside, (r * r / h + h) / 4 + (q - Long(0.5)) * r, np.maximum(q * r, (q - 1) * r))
    slope = -np.where(inside, r / (2 * h) + q - Long(0.5), np.where(r > 0, q, q - 1))
    return value, slope, np.where(inside, 1 / (2 * h), Long(0))


def _logistic(options: dict[str, float], y: Array, eta: Array) -> tuple[Array, Array, Array]:
    margin = np.where(y > 0, eta, -eta)
    wrong = np.exp(-np.logaddexp(Long(0), margin))  # probability of the other class
    return np.logaddexp(Long(0), -margin), np.where(y > 0, -wrong, wrong), wrong * (1 - wrong)


def _squared_hinge(options: dict[str, float], y: Array, eta: Array) -> tuple[Array, Array, Array]:
    sign = np.where(y > 0, Long(1), Long(-1))
    short = np.maximum(1 - sign * eta, 0)
    return short**2, -2 * sign * short, 2 * (short > 0).astype(Long)


def _poisson(options: dict[str, float], y: Array, eta: Array) -> tuple[Array, Array, Array]:
    mean = np.exp(eta)
    return mean - y * eta, mean - y, mean


def _gamma(options: dict[str, float], y: Array, eta: Array) -> tuple[Array, Array, Array]:
    ratio = y / np.exp(eta)
    return ratio + eta, 1 - ratio, ratio


def _tweedie(options: dict[str, float], y: Array, eta: Array) -> tuple[Array, Array, Array]:
    power = Long(options["power"])
    up = np.exp((2 - power) * eta)
    down = np.where(y > 0, y * np.exp((1 - power) * eta), 0)
    return up / (2 - power) + down / (power - 1), up - down, (2 - power) * up + (power - 1) * down


_ROWS: dict[str, Callable[..., tuple[Array, Array, Array]]] = {
    "squared": _squared,
    "huber": _huber,
    "quantile": _quantile,
    "logistic": _logistic,
    "squared_hinge": _squared_hinge,
    "poisson": _poisson,
    "gamma": _gamma,
    "tweedie": _tweedie,
}
_KINKS = {"huber": "delta", "quantile": "smoothing"}
_KINKED = (*_KINKS, "squared_hinge")


def _rows(problem: Problem, y: Array, eta: Array) -> tuple[Array, Array, Array]:
    """Losses (n,), slopes (n, K), and curvatures (n, K): for softmax the probabilities."""
    if problem.loss == "softmax":
        eta = eta - eta.max(axis=1, keepdims=True)
        classes = np.arange(eta.shape[1])
        others = np.where(classes == eta.argmax(axis=1)[:, None], 0, np.exp(eta))
        total = np.log1p(others.sum(axis=1, keepdims=True))
        share, own = np.exp(eta - total), classes == y[:, None]
        # Less 1 by adding up the others: the difference would lose the digits of a small one.
        others = share @ (1 - np.eye(eta.shape[1], dtype=Long))
        return (total - eta)[own], np.where(own, -others, share), share
    value, slope, curvature = _ROWS[problem.loss](problem.options, y, eta[:, 0])
    return value, slope[:, None], curvature[:, None]


# --- F on the columns as stored ---------------------------------------------------------------------------------


def penalty(problem: Problem) -> Array:
    """Strength for each column as stored, (columns,)."""
    l2 = np.full(problem.columns.shape[1], Long(problem.l2))
    if problem.variables != "scaled":
        return l2
    X, weight = problem.columns, problem.weights
    counted = weight > 0
    mean = weight[counted] @ X[counted] / weight.sum()
    deviation = np.sqrt(weight[counted] @ (X[counted] - mean) ** 2 / weight.sum())
    return l2 * np.where(deviation > 1e-10 * np.abs(mean), deviation**2, 1)


def value_and_grad(problem: Problem, theta: Array) -> tuple[Any, Array]:
    """F and its gradient at `theta`, coefficients and intercepts on the columns as stored, in long double."""
    counted = problem.weights > 0
    X, y, weight = problem.columns[counted], problem.y[counted].astype(Long), problem.weights[counted]
    theta = np.asarray(theta, Long)
    coefs = problem.outputs * X.shape[1]
    coef, free = theta[:coefs].reshape(problem.outputs, -1), theta[coefs:]
    eta = X @ coef.T + (free if problem.intercept else 0)
    if problem.offset is not None:
        eta = eta + problem.offset[counted].astype(Long)[:, None]
    with np.errstate(all="ignore"):  # far off, F overflows
        value, slope, _ = _rows(problem, y, eta)
        pulled = slope * (weight / weight.sum())[:, None]
        pull = penalty(problem) * coef
        F = weight @ value / weight.sum() + (pull * coef).sum() / 2
        grad = np.concatenate(((pulled.T @ X + pull).ravel(), pulled.sum(axis=0) if problem.intercept else []))
    return F, grad


def value(problem: Problem, theta: Array) -> Any:
    """F at `theta`, coefficients and intercepts on the columns as stored, in long double."""
    return value_and_grad(problem, theta)[0]


# --- F on an orthonormal basis ----------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Basis:
    """Columns E (n, k) and penalty rows Q (m, k) such that W E'E + Q'Q = I, and what makes coefficients of u (k,)."""

    E: Array
    Q: Array
    to_coef: Array
    to_free: Array


def _basis(X: Array, share: Array, l2: Array, intercept: bool) -> _Basis:
    """Gram-Schmidt with the largest column first, each one twice; columns in the span of others are left out."""
    p = X.shape[1]
    size = np.sqrt(share @ X**2 + l2)
    mean = share @ X if intercept else np.zeros(p, Long)
    E, Q, T = X - mean, np.diag(np.sqrt(l2)), np.eye(p, dtype=Long)
    size = np.where(size > 0, size, 1)
    E, Q, T = E / size, Q / size, T / size
    length = np.ones(p, Long)  # before anything was taken away
    open_, kept = list(range(p)), []
    while open_:
        left = np.sqrt(share @ E[:, open_] ** 2 + (Q[:, open_] ** 2).sum(axis=0))
        if left.max() <= _IN_SPAN:
            break
        j = open_.pop(int(np.argmax(left / length[open_])))
        for _ in range(2):
            if kept:
                along = (share[:, None] * E[:, kept]).T @ E[:, j] + Q[:, kept].T @ Q[:, j]
                E[:, j] -= E[:, kept] @ along
                Q[:, j] -= Q[:, kept] @ along
                T[:, j] -= T[:, kept] @ along
            norm = np.sqrt(share @ E[:, j] ** 2 + (Q[:, j] ** 2).sum())
            E[:, j], Q[:, j], T[:, j] = E[:, j] / norm, Q[:, j] / norm, T[:, j] / norm
        kept.append(j)
        if open_:
            along = (share * E[:, j]) @ E[:, open_] + Q[:, j] @ Q[:, open_]
            E[:, open_] -= np.outer(E[:, j], along)
            Q[:, open_] -= np.outer(Q[:, j], along)
            T[:, open_] -= np.outer(T[:, j], along)
    E, Q, T = E[:, kept], Q[:, kept], T[:, kept]
    free = -(mean @ T)
    if intercept:
        E, Q = np.column_stack((np.ones(len(E), Long), E)), np.column_stack((np.zeros(len(Q), Long), Q))
        T, free = np.column_stack((np.zeros(p, Long), T)), np.concatenate(([Long(1)], free))
    return _Basis(E, Q, T, free)


class _Search:
    """F of u (K, k) for one problem, and the way to its minimum."""

    def __init__(self, problem: Problem, columns: bool = True) -> None:
        counted = problem.weights > 0
        weight = problem.weights[counted]
        self.problem, self.share = problem, weight / weight.sum()
        self.y = problem.y[counted].astype(Long)
        self.K = problem.outputs
        offset = np.zeros(len(self.y), Long) if problem.offset is None else problem.offset[counted].astype(Long)
        self.offset = np.repeat(offset[:, None], self.K, axis=1)
        X = problem.columns[counted] if columns else np.zeros((len(self.y), 0), Long)
        self.basis = _basis(X, self.share, penalty(problem)[: X.shape[1]], problem.intercept)
        self.E64 = self.basis.E.astype(float)
        self.Q64 = self.basis.Q.astype(float)

    def start(self) -> Array:
        return np.zeros((self.K, self.basis.E.shape[1]), Long)

    def theta(self, u: Array) -> Array:
        coef, free = u @ self.basis.to_coef.T, u @ self.basis.to_free
        return np.concatenate((coef.ravel(), free if self.problem.intercept else []))

    def at(self, u: Array) -> tuple[Any, Array, Array, Array]:
        """F, gradient (K, k), eta and curvatures."""
        eta, pull = u @ self.basis.E.T, u @ self.basis.Q.T
        eta = eta.T + self.offset
        value, slope, curvature = _rows(self.problem, self.y, eta)
        grad = (slope * self.share[:, None]).T @ self.basis.E + pull @ self.basis.Q
        return self.share @ value + (pull**2).sum() / 2, grad, eta, curvature

    def minimum(self, u: Array, above: Any) -> tuple[Array, Any, Any]:
        """The minimum from `u`: where, F there, and how much Newton's method still expects.

        It goes on until nothing is left beside F and its distance from `above`.
        """
        if not u.size:
            return u, self.at(u)[0], Long(0)
        damping, quiet = 1e-3, 0
        expected = Long(np.inf)
        for _ in range(_MOST_STEPS):
            F, grad, eta, curvature = self.at(u)
            step, expected = self._step(grad, curvature, damping)
            after, gain = self._along(u, step, F)
            good = gain > expected / 4
            if not good and self.problem.loss in _KINKED:
                # Damping by the curvature of heavy rows would hold back whatever moves light ones alone.
                for other in (curvature, self._majorising(eta)):
                    trial = self._along(u, self._step(grad, other, 1e-18)[0], F)
                    after, gain = trial if trial[1] > gain else (after, gain)
            enough = _ENOUGH * max(abs(F), above - F)
            damping = max(damping / 10, 1e-18) if good else min(damping * 10, 1e6)
            if gain > 0:
                u = after
            quiet = quiet + 1 if gain <= enough else 0
            if quiet and damping <= 1e-12 and expected <= enough:
                break
            if quiet > 25:
                break
        return u, self.at(u)[0], expected

    def _step(self, grad: Array, curvature: Array, damping: float) -> tuple[Array, Any]:
        """A damped Newton step, and the decrease that it promises, from a triangle of the square root of H."""
        K, k = grad.shape
        share = self.share.astype(float)
        curvature = np.nan_to_num(curvature.astype(float), posinf=1e300)
        if self.problem.loss == "softmax":
            root = np.sqrt(curvature)
            inner = np.eye(K) - root[:, :, None] * root[:, None, :]  # B'B = diag(p) - p p' with B = inner diag(root)
            B = inner * root[:, None, :] * np.sqrt(share)[:, None, None]
            rows = (B[:, :, :, None] * self.E64[:, None, None, :]).reshape(-1, K * k)
            rows = np.vstack((rows, np.kron(np.eye(K), self.Q64)))
        else:
            rows = np.vstack((np.sqrt(share[:, None] * curvature) * self.E64, self.Q64))
        size = np.sqrt((rows**2).sum(axis=0))
        size = np.maximum(size, size.max() * 1e-12) if size.max() > 1e-150 else np.ones_like(size)
        rows = np.vstack((rows / size, np.sqrt(damping) * np.eye(K * k)))
        R = np.linalg.qr(rows, mode="r")
        flat = grad.ravel()
        scale = np.abs(flat).max()
        if not scale > 0:
            return np.zeros_like(grad), Long(0)
        g = (flat / scale).astype(float) / size
        half = solve_triangular(R, g, trans="T")
        step = -(solve_triangular(R, half) / size).astype(Long) * scale
        return step.reshape(grad.shape), -(flat @ step) / 2

    def _majorising(self, eta: Array) -> Array:
        """Curvatures of a parabola above each row's loss, which touches it at eta."""
        if self.problem.loss == "squared_hinge":
            return np.full_like(eta, 2)
        size = np.abs(eta - self.y[:, None])
        if self.problem.loss == "huber":
            delta = self.problem.options["delta"]
            return delta / np.maximum(size, delta)
        return Long(0.5) / np.maximum(size, self.problem.options["smoothing"])

    def _along(self, u: Array, step: Array, F: Any) -> tuple[Array, Any]:
        """The lowest point along a step, F being convex: where its slope along the step changes sign."""
        E, Q = self.basis.E, self.basis.Q
        eta, move = (u @ E.T).T + self.offset, (step @ E.T).T
        pull, push = u @ Q.T, step @ Q.T

        def slope(t: Any) -> tuple[Any, Any, Any]:
            value, slopes, curvature = _rows(self.problem, self.y, eta + t * move)
            there = pull + t * push
            rise = self.share @ (slopes * move).sum(axis=1) + (there * push).sum()
            if self.problem.loss == "softmax":
                second = (curvature * move**2).sum(axis=1) - (curvature * move).sum(axis=1) ** 2
            else:
                second = (curvature * move**2)[:, 0]
            return self.share @ value + (there**2).sum() / 2, rise, self.share @ second + (push**2).sum()

        best, lowest = Long(0), F
        low, high, t = Long(0), Long(np.inf), Long(1)
        for number in range(120):
            value, rise, second = slope(t)
            finite = np.isfinite(value) and np.isfinite(rise)
            if finite and value < lowest:
                best, lowest = t, value
            if finite and rise < 0:
                low = t
            else:
                high = t
            # What is left is 1e-6 of the gain, unless this is still the slope of an exponential high above F.
            if finite and abs(rise) <= 1e-3 * second * t and value <= F + 1e-17 * abs(F):
                break
            ahead = t - rise / second if finite and second > 0 else Long(np.nan)
            if np.isinf(high):
                t = min(ahead, 10 * t) if ahead > t else 4 * t
                if t > 1e12:
                    break
            else:
                # Every other time by halving: Newton's method comes down from exp(1000) by 1 at a time.
                t = ahead if low < ahead < high and number % 2 else (low + high) / 2
                if high - low <= 1e-6 * high:
                    break
        return u + best * step, F - lowest


@dataclass(frozen=True, eq=False)
class Reference:
    """The optimum of a problem.

    `F_best` is the least F known, `theta` where it is, on the columns as stored; where there is no minimum, as with
    classes that can be separated, it is as near to the infimum as long double goes. `F_null` is that of the best model
    without columns, `F_zero` that at zero. `expected` is the decrease that Newton's method still expects, and
    `disagreement` how far the formula on the columns as stored is from F_best at theta.
    """

    problem: Problem
    F_best: Any
    theta: Array
    F_null: Any
    F_zero: Any
    expected: Any
    disagreement: Any

    def f(self, theta: Array) -> Any:
        """F at `theta`, on the columns as stored."""
        return value(self.problem, theta)

    def distance(self, theta: Array) -> Any:
        """F(theta) - F*; infinity where F is not finite."""
        F = self.f(theta)
        return F - self.F_best if np.isfinite(F) else Long(np.inf)

    @cached_property
    def tolerance(self) -> Any:
        """The distance from which a theta is away from the optimum.

        1e-6 |F*| in float64 and 1e-4 |F*| in float32 and bytes, or 1e-8 of the null model's distance if that is more.
        The last term only tells zero from rounding where the null model is itself perfect.
        """
        share = 1e-6 if self.problem.precision == "float64" else 1e-4
        rounding = 1e-20 * (self.F_zero - self.F_best)
        return max(share * abs(self.F_best), 1e-8 * (self.F_null - self.F_best), rounding)

    def away(self, theta: Array) -> bool:
        """Whether a theta is not at the optimum."""
        return bool(self.distance(theta) > self.tolerance)

    def wrong(self, converged: bool, theta: Array) -> bool:
        """Whether a claim to have converged at `theta` is false."""
        return converged and self.away(theta)


def reference(problem: Problem) -> Reference:
    """The optimum of a problem, from zero; for losses with kinks by way of rounder ones."""
    with np.errstate(all="ignore"):
        null = _Search(problem, columns=False)
        F_zero = null.at(null.start())[0]
        _, F_null, _ = null.minimum(null.start(), 1e-6 * F_zero)
        search = _Search(problem)
        u, F, expected = search.minimum(_rounder(problem, search), F_null)
        theta = search.theta(u)
        disagreement = abs(value(problem, theta) - F)
    return Reference(problem, min(F, F_null), theta, F_null, F_zero, expected, disagreement)


def _rounder(problem: Problem, search: _Search) -> Array:
    """Where to start: at zero, or for a narrow kink at the optimum of a wide one, narrowed step by step."""
    u = search.start()
    if problem.loss not in _KINKS:
        return u
    option = _KINKS[problem.loss]
    final = problem.options[option]
    width = max(final, float(np.abs(search.y - search.offset[:, 0]).max()))
    while width > final:
        search.problem = replace(problem, options=problem.options | {option: width})
        u, _, _ = search.minimum(u, search.at(u)[0])
        width /= _ROUNDER
    search.problem = problem
    return u
