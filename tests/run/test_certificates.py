"""What is known for certain of where a run ended: duality gaps, against those that are known by hand."""

import numpy as np
import pytest

from fullbatch import Linear, Objective, SerialEngine, array_sources, minimize
from fullbatch.run.certificates import duality_gap


@pytest.mark.parametrize("loss", ["squared", "logistic", "poisson"])
def test_the_duality_gap_is_above_the_distance_and_falls_with_it(loss):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 30))
    eta = X[:, :5] @ rng.standard_normal(5) + 0.3
    y = {"squared": eta, "logistic": (eta > 0).astype(float), "poisson": rng.poisson(np.exp(eta / 2))}[loss]
    y = np.where(rng.random(200) < 0.1, y[::-1], y)
    blocks = SerialEngine().place(Linear(loss, intercept=False), array_sources(X, y))
    for penalty in ({"l1": 0.02}, {"l1": 0.02, "l2": 0.01}, {"l1": 0.01, "lower": -0.2, "upper": 0.3}):
        objective, bounds = Objective(blocks, **penalty), []
        best = minimize(objective, np.zeros(30), tol=1e-15)
        for share in (0.5, 1e-2, 1e-4, 0.0):
            theta = objective.penalty.nearest(best.theta * (1 - share))
            point = objective.value_and_grad(theta)
            gap = duality_gap(theta, point.value, point.grad, objective.facts, objective.penalty)
            assert point.value - best.value <= gap.bound + 1e-13
            bounds.append(gap.bound)
        assert bounds == sorted(bounds, reverse=True)
        assert bounds[-1] <= 1e-6 * abs(best.value)
    assert "are a point of the dual problem" in gap.words


@pytest.mark.parametrize("lower", [-np.inf, 0.0])
def test_of_squares_it_is_that_of_the_lassos_dual(lower):
    """The residuals are made feasible by a number below 1; which a bound does not ask for on its side."""
    rng = np.random.default_rng(4)
    X, y, l1 = rng.standard_normal((50, 4)), rng.standard_normal(50), 0.05
    blocks = SerialEngine().place(Linear("squared", intercept=False), array_sources(X, y))
    objective = Objective(blocks, l1=l1, lower=lower)
    for theta in (np.zeros(4), np.maximum([0.2, 0.0, -0.3, 0.1], lower)):
        point, residual = objective.value_and_grad(theta), X @ theta - y
        worth = -X.T @ residual / 50
        s = min(1.0, l1 / (worth if lower == 0.0 else np.abs(worth)).max())
        assert s < 1.0
        primal = residual @ residual / 100 + l1 * np.abs(theta).sum()
        dual = -(s * residual) @ (s * residual) / 100 - s * residual @ y / 50
        gap = duality_gap(theta, point.value, point.grad, objective.facts, objective.penalty)
        assert gap.bound == pytest.approx(primal - dual, rel=1e-12)


def test_of_squares_and_groups_it_is_that_of_their_dual():
    """Of a group of two the norm counts as often as the root of 2."""
    rng = np.random.default_rng(4)
    X, y, l21 = rng.standard_normal((50, 4)), rng.standard_normal(50), 0.04
    blocks = SerialEngine().place(Linear("squared", intercept=False), array_sources(X, y))
    objective = Objective(blocks, l21=l21, groups=np.array([0, 0, 1, 1]))
    for theta in (np.zeros(4), np.array([0.2, 0.0, -0.3, 0.1])):
        point, residual = objective.value_and_grad(theta), X @ theta - y
        pull = l21 * np.sqrt(2)
        s = min(1.0, pull / np.linalg.norm((X.T @ residual / 50).reshape(2, 2), axis=1).max())
        assert s < 1.0
        primal = residual @ residual / 100 + pull * np.linalg.norm(theta.reshape(2, 2), axis=1).sum()
        dual = -(s * residual) @ (s * residual) / 100 - s * residual @ y / 50
        gap = duality_gap(theta, point.value, point.grad, objective.facts, objective.penalty)
        assert gap.bound == pytest.approx(primal - dual, rel=1e-11)
