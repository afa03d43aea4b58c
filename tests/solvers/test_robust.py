"""Data and starts that solvers must live with: scales, precision, starts far off, trial values that are not finite."""

import numpy as np
import pytest
from formulas import least
from problems import objective, start

from fullbatch import GeneralizedLinearRegressor, Objective, SerialEngine, Status, minimize
from fullbatch.data.arrays import array_sources
from fullbatch.models.linear import Linear


def decades(seed, n=4000, p=12):
    """Float32 columns whose scales go over six decades, away from zero."""
    rng = np.random.default_rng(seed)
    Z = rng.standard_normal((n, p))
    y = (Z @ rng.standard_normal(p) + rng.logistic(size=n) > 0).astype(int)
    return ((Z + rng.uniform(-3, 3, p)) * 10.0 ** np.linspace(-3, 3, p)).astype(np.float32), y


@pytest.mark.parametrize("solver", ["newton", "sampled-lbfgs", "auto"])
@pytest.mark.parametrize("l2", [0.0, 1e-6])
def test_float32_columns_over_six_decades_end_at_the_float64_optimum(solver, l2):
    passes = []
    for seed in range(5):
        X, y = decades(seed)
        exact = objective(X.astype(np.float64), y, l2=l2)
        best = least("logistic", X, y, l2)
        fun = objective(X, y, l2=l2)
        result = minimize(fun, start(fun), solver=solver)
        assert result.success
        assert exact.full_loss(result.theta) <= best * (1 + 1e-7)
        passes.append(result.passes)
    # Where roundings are as large as what is left to gain, they decide how often the solver tries again.
    assert np.median(passes) <= 15


@pytest.mark.parametrize("columns", [1, 2, 4])
def test_bytes_with_few_different_rows_end_without_stalling(columns):
    """Roundings of rows that are alike do not cancel: the loss must not have any that matter."""
    rng = np.random.default_rng(columns)
    X = (rng.random((20_000, columns)) < 0.3).astype(np.uint8)
    y = (X.sum(axis=1) - 1 + rng.logistic(size=len(X)) > 0).astype(int)
    exact, fun = objective(X.astype(np.float64), y, l2=1e-4), objective(X, y, l2=1e-4)
    best = minimize(exact, start(exact), solver="newton", tol=1e-15)
    assert fun.full_loss(best.theta) == pytest.approx(best.value, rel=2e-9)
    result = minimize(fun, start(fun), solver="newton")
    assert result.status is Status.CONVERGED
    assert result.passes <= 12
    assert exact.full_loss(result.theta) == pytest.approx(best.value, rel=1e-9)


def skewed(loss, scale, n=3000):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, 5))
    mean = scale * np.exp(0.3 * X @ rng.standard_normal(5))
    return X, {"poisson": lambda: rng.poisson(mean).astype(float), "gamma": lambda: mean * rng.gamma(2, 0.5, n)}[loss]()


@pytest.mark.parametrize("solver", ["newton", "sampled-lbfgs", "newton-cg", "lbfgs"])
@pytest.mark.parametrize("loss", ["poisson", "gamma"])
def test_a_start_that_is_very_far_off_does_not_end_a_run_early(loss, solver):
    X, y = skewed(loss, 1e8)
    fun = objective(X, y, loss, l2=1e-6)
    from_zero = minimize(fun, start(fun), solver=solver, max_iter=300)
    near = np.append(np.zeros(5), np.log(y.mean()))
    best = least(loss, X, y, 1e-6, intercept=near[-1])
    gain = fun.full_loss(near) - best
    assert from_zero.success
    assert from_zero.value - best <= 1e-5 * gain


@pytest.mark.parametrize("loss", ["poisson", "gamma", "tweedie"])
def test_regressors_of_a_log_link_start_at_the_mean_of_the_targets(loss):
    X, y = skewed("gamma", 1e6)
    weight = np.random.default_rng(2).uniform(0.5, 2, len(y))
    first = []
    model = GeneralizedLinearRegressor(loss, alpha=1e-6, callbacks=[lambda at: first.append(at.theta.copy())])
    model.fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(first[0], [*np.zeros(5), np.log(np.average(y, weights=weight))], rtol=1e-12)
    assert model.result_.passes <= 9
    without = GeneralizedLinearRegressor(loss, alpha=1e-6, fit_intercept=False).fit(X, y / 1e6)
    assert without.intercept_ == 0.0


@pytest.mark.parametrize("solver", ["lbfgs", "sampled-lbfgs", "newton", "newton-cg"])
def test_trial_values_that_are_not_finite_are_no_exception(solver):
    rng = np.random.default_rng(3)
    X = rng.standard_normal((400, 3)) * [1.0, 50.0, 1e3]
    y = rng.poisson(np.exp(0.5 * X[:, 0])).astype(float)
    blocks = SerialEngine().place(Linear("poisson"), array_sources(X, y, blocks=2))
    seen = []
    blocks_sum = blocks.sum

    def watched(request):
        answer = blocks_sum(request)
        point = getattr(answer, "point", None) or answer
        seen.append(np.isfinite(getattr(point, "value", 0.0)))
        return answer

    blocks.sum = watched
    fun = Objective(blocks, 1e-6)
    # A step of length 1 against the gradient overflows; and one that believes in next to no curvature.
    begin = np.array([0.0, 0.06, -0.003, 0.0] if solver == "lbfgs" else [0.0, 0.0, 0.0, -30.0])
    result = minimize(fun, begin, solver=solver, max_iter=2000)
    best = least("poisson", X, y, 1e-6)
    assert np.isfinite(result.theta).all()
    assert not all(seen)
    assert result.success
    assert result.value <= best + 1e-5 * abs(best)


@pytest.mark.parametrize("solver", ["newton", "sampled-lbfgs", "lbfgs", "newton-cg", "auto"])
def test_collinear_and_constant_columns_without_penalty(solver):
    rng = np.random.default_rng(4)
    X = rng.standard_normal((600, 4))
    y = (X @ [1.0, -1.0, 0.5, 0.0] + rng.logistic(size=600) > 0).astype(int)
    wide = np.column_stack((X, X[:, 0] + X[:, 1], np.full(600, 3.0), np.zeros(600), 2.0 * X[:, 2]))
    # Conjugate gradients on float32 products follow the flat directions: "newton-cg" is for float64 there.
    for data in (wide,) if solver == "newton-cg" else (wide, wide.astype(np.float32)):
        # In float32 the sum of two columns is rounded, and what is rounded away is a column of its own.
        stored = data.astype(np.float64)
        apart = [stored[:, :4]]
        if data.dtype == np.float32:
            rounded = stored[:, 4] - stored[:, 0] - stored[:, 1]
            apart.append(rounded[:, None] / rounded.std())
        best = least("logistic", np.hstack(apart), y)
        fun = objective(data, y, l2=0.0)
        result = minimize(fun, start(fun), solver=solver, max_iter=2000)
        assert result.success
        assert result.value == pytest.approx(best, rel=1e-6)


@pytest.mark.parametrize("solver", ["auto", "newton", "sampled-lbfgs", "lbfgs"])
@pytest.mark.parametrize("far", [1e4, 3e5, 1e7])
def test_rows_far_out_do_not_hide_the_others_of_a_squared_hinge(solver, far):
    """Where rows of huge leverage reach their margin, the Hessian is all theirs, and falls to that of the others."""
    for seed in range(6):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal(100)
        y = (2 * x + rng.logistic(size=100) > 0).astype(int)
        x[:3], y[:3] = far, 1
        fun = objective(x[:, None], y, "squared_hinge", l2=0.0)
        result = minimize(fun, start(fun), solver=solver)
        # The rows far out cost nothing at any positive slope: what is left is a problem of the others.
        rest = objective(x[3:, None], y[3:], "squared_hinge", l2=0.0)
        best = 0.97 * minimize(rest, start(rest), solver="newton", tol=1e-12).value
        assert result.status is not Status.CONVERGED or result.value == pytest.approx(best, rel=1e-6)
        assert solver != "auto" or result.status is Status.CONVERGED


@pytest.mark.parametrize("solver", ["auto", "sampled-lbfgs", "lbfgs", "scipy-lbfgsb"])
def test_a_column_without_variation_stays_unused(solver):
    """Centred, it is rounding, of which any coefficient can be made."""
    rng = np.random.default_rng(3)
    X = np.column_stack((rng.standard_normal((40, 3)), np.full(40, 73.1))).astype(np.float32)
    y = (X[:, 0] > 0.3 * rng.standard_normal(40)).astype(int)
    fun = objective(X, y, "squared_hinge", l2=0.0)
    result = minimize(fun, start(fun), solver=solver)
    assert fun.variables.to_blocks(result.theta)[3] == 0
    assert np.abs(result.theta).max() < 1e3
