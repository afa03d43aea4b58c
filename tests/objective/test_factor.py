"""The triangular factor of least squares, against the rows that it stands for."""

import numpy as np
import pytest

from fullbatch import Linear, Objective, SerialEngine, Standardized, array_sources
from fullbatch.objective.factor import lengths, triangle_of
from fullbatch.protocols import Squares
from fullbatch.protocols.rows import stacked


def rows(n=40, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 3)) * [1.0, 50.0, 0.02] + [1e4, 3.0, -1.0]
    return X, 1e6 + X[:, 1] + rng.standard_normal(n), rng.uniform(0.5, 2.0, n)


def objective_of(X, y, weight=None, intercept=True, variables=None, blocks=3):
    placed = SerialEngine().place(Linear("squared", intercept), array_sources(X, y, weight, blocks=blocks))
    made = {
        None: lambda: None,
        "centred": lambda: Standardized(placed.schema, 1, intercept),
        "scaled": lambda: Standardized(placed.schema, 1, intercept, scale=True),
        "turned": lambda: Turned(placed.parameters.size),
    }
    return Objective(placed, 0.0, made[variables]())


class Turned:
    """Theta turned by an orthogonal matrix: a change of variables that mixes all coordinates."""

    def __init__(self, size):
        self.Q, _ = np.linalg.qr(np.random.default_rng(5).standard_normal((size, size)))

    def to_blocks(self, theta):
        return self.Q @ theta

    def to_solver(self, theta):
        return self.Q.T @ theta

    def pull_back(self, grad):
        return self.Q.T @ grad

    def columns(self, parts):
        return stacked(parts), None


@pytest.mark.parametrize("variables", [None, "centred", "scaled", "turned"])
@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("exact", [True, False])
def test_loss_and_slope_at_any_theta(exact, intercept, variables):
    X, y, weight = rows()
    fun = objective_of(X, y, weight, intercept, variables)
    (factor,) = fun(Squares(exact=exact))
    rng = np.random.default_rng(1)
    for scale in (1e-3, 1.0, 1e3):
        theta = scale * rng.standard_normal(fun.size)
        at = theta if fun.variables is None else fun.variables.to_blocks(theta)
        residual = X @ at[:3] + (at[3] if intercept else 0.0) - y
        np.testing.assert_allclose(factor.loss(theta), 0.5 * weight @ residual**2, rtol=1e-11)
        columns = np.column_stack((X, np.ones(len(y)))) if intercept else X
        slope = columns.T @ (weight * residual)
        slope = slope if fun.variables is None else fun.variables.pull_back(slope)
        np.testing.assert_allclose(factor.slope(theta), slope, rtol=1e-8, atol=1e-10 * np.abs(slope).max())


@pytest.mark.parametrize("variables", [None, "centred", "scaled"])
def test_what_is_predicted_is_measured_from_the_means(variables):
    X, y, weight = rows()
    fun = objective_of(X, y, weight, variables=variables)
    (factor,) = fun(Squares())
    theta = np.random.default_rng(2).standard_normal(4)
    np.testing.assert_allclose(factor.theta_of(factor.centred(theta)), theta, rtol=1e-9, atol=1e-9)
    assert (factor.center[:3] == 0).all() == (variables is not None)  # a matrix that cancels to the bit
    assert np.abs(factor.z).max() < 1e4  # and not 1e6, the mean of y


@pytest.mark.parametrize("exact", [True, False])
def test_own_lengths_are_those_of_the_columns_before_centring(exact):
    X, y, weight = rows()
    (factor,) = objective_of(X, y, weight)(Squares(exact=exact))
    raw = np.column_stack((X, np.ones(len(y)))) * np.sqrt(weight)[:, None]
    np.testing.assert_allclose(factor.own, np.linalg.norm(raw, axis=0), rtol=1e-12)
    halves = objective_of(X, y, weight)(Squares(exact=exact, folds=2))
    np.testing.assert_allclose((halves[0] + halves[1]).own, factor.own, rtol=1e-12)


@pytest.mark.parametrize("exact", [True, False])
def test_parts_add_up(exact):
    X, y, weight = rows()
    fun = objective_of(X, y, weight)
    (whole,) = fun(Squares(exact=exact))
    parts = fun(Squares(exact=exact, folds=60))  # some of them empty
    assert min(part.weight for part in parts) == 0.0
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    theta = np.array([0.1, -0.2, 3.0, 1e6])
    assert total.loss(theta) == pytest.approx(whole.loss(theta), rel=1e-12)
    assert total.weight == pytest.approx(weight.sum(), rel=1e-14)


def test_squares_that_leave_the_range_are_told():
    X, y, _ = rows()
    for size in (1e160, 1e-160):
        (factor,) = objective_of(X * [1.0, size, 1.0], y)(Squares())
        assert not np.isfinite(factor.R).all()
        (factor,) = objective_of(X * [1.0, size, 1.0], y)(Squares(exact=True))
        assert np.isfinite(factor.R).all()
        assert factor.condition == 0.0


def test_lengths_and_triangles():
    matrix = np.array([[3e200, 0.0, 3e-200], [4e200, 0.0, -4e-200]])
    np.testing.assert_allclose(lengths(matrix), [5e200, 0.0, 5e-200], rtol=1e-15)
    assert lengths(np.zeros((0, 2))).tolist() == [0.0, 0.0]
    wide = np.array([[1.0, 2.0, 3.0]])
    assert triangle_of(wide).shape == (3, 3)
    np.testing.assert_allclose(triangle_of(wide).T @ triangle_of(wide), wide.T @ wide, rtol=1e-14)
