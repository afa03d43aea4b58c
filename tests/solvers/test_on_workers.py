"""Matrices that the workers make of their rows of the sample, beside those that the driver makes."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array
from tests.problems import breast_cancer, digits, objective, start

from fullbatch.estimators import LogisticRegression
from fullbatch.objective.variables import Standardized
from fullbatch.protocols import Curvature, RowSample, SampleGrams
from fullbatch.protocols.answers import RowCurvature
from fullbatch.protocols.sampling import uniform_of_rows
from fullbatch.protocols.seams import drive
from fullbatch.run.driver import minimize
from fullbatch.solvers import _on_workers
from fullbatch.solvers._design import design, mean_squares
from fullbatch.solvers._on_workers import hessian_by_workers
from fullbatch.solvers.preconditioners import directions, missing_squares, sampled_hessian
from fullbatch.solvers.sampled import SampledLBFGS


def both(fun, theta, fraction, shared):
    """B0^-1 as a matrix, as the driver makes it and as the workers do."""
    facts, curvature = fun.facts, fun(Curvature(theta, "rows", fraction, 3))
    sample = fun(RowSample(fraction, 3))
    rows, weight = design(sample, facts), sample.weight
    missing = missing_squares(mean_squares(rows, weight), facts)
    by_driver = sampled_hessian(rows, weight, missing, curvature, facts, shared)
    by_workers = drive(hessian_by_workers(SampleGrams(theta, fraction=fraction, seed=3), facts, shared), fun)
    assert len(by_driver.roots) == len(by_workers.roots)
    return by_driver(np.eye(fun.size)), by_workers(np.eye(fun.size))


def problem(kind, loss, **options):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((900, 12)) * np.geomspace(0.1, 10, 12) + rng.uniform(-3, 3, 12)
    y = {"logistic": X[:, 0] > np.median(X[:, 0]), "poisson": np.arange(900) % 4, "softmax": np.arange(900) % 3}[loss]
    if kind == "sparse":
        X = csr_array(X * (rng.random(X.shape) < 0.2))
    elif kind == "float32":
        X = X.astype(np.float32)
    return objective(X, y.astype(int), loss, l2=0.01, blocks=4, sample_weight=rng.uniform(0, 2, 900), **options)


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("loss", ["logistic", "poisson", "softmax"])
@pytest.mark.parametrize("kind", ["float64", "float32", "sparse"])
def test_it_is_the_matrix_that_the_driver_makes(kind, loss, shared):
    for centred in (True, False):
        fun = problem(kind, loss, centred=centred)
        theta = 0.1 * np.random.default_rng(0).standard_normal(fun.size)
        by_driver, by_workers = both(fun, theta, 0.6, shared)
        scale = np.sqrt(np.diag(by_driver))
        tolerance = 1e-3 if kind == "float32" else 1e-8
        np.testing.assert_allclose(by_workers / scale, by_driver / scale, atol=tolerance * scale.max())


def test_directions_beyond_a_few_share_one_matrix(monkeypatch):
    monkeypatch.setattr("fullbatch.solvers.preconditioners.MOST_GRAMS", 1)
    monkeypatch.setattr(_on_workers, "MOST_GRAMS", 1)
    fun = problem("float64", "softmax")
    asked, ask = [], fun.blocks.sum
    fun.blocks.sum = lambda request: asked.append(request) or ask(request)
    by_driver, by_workers = both(fun, start(fun), 1.0, False)
    np.testing.assert_allclose(by_workers, by_driver, rtol=1e-6, atol=1e-9 * np.abs(by_driver).max())
    (request,) = (one for one in asked if isinstance(one, SampleGrams))
    assert request.basis is None


def test_rows_that_count_least_are_left_out_by_both():
    fun = problem("float64", "softmax")
    theta = 3.0 * np.random.default_rng(0).standard_normal(fun.size)  # most rows are sure of their class
    asked, ask = [], fun.blocks.sum
    fun.blocks.sum = lambda request: asked.append(request) or ask(request)
    by_driver, by_workers = both(fun, theta, 1.0, False)
    (request,) = (one for one in asked if isinstance(one, SampleGrams))
    assert (request.least > 0).all()
    np.testing.assert_allclose(by_workers, by_driver, rtol=1e-6, atol=1e-9 * np.abs(by_driver).max())


def test_without_curvature_several_outputs_have_the_penalty():
    fun = problem("float64", "softmax")

    def made(value):
        changed = RowCurvature(np.full((900, 3), value))
        answer = lambda request: changed if isinstance(request, Curvature) else fun(request)  # noqa: E731
        return drive(hessian_by_workers(SampleGrams(start(fun)), fun.facts, False), answer)

    assert len(made(0.0).roots) == 0
    assert made(np.inf) is None


@pytest.mark.parametrize(("value", "roots"), [(0.0, 0), (0.3, 1), (np.inf, None)])
def test_one_output_without_curvature_has_no_matrix(value, roots):
    fun = problem("float64", "logistic")
    right = fun(SampleGrams(start(fun)))
    changed = replace(right, sums=np.full(1, value), matrices=value * np.ones_like(right.matrices))
    made = drive(hessian_by_workers(SampleGrams(start(fun)), fun.facts, False), lambda request: changed)
    assert (None if made is None else len(made.roots)) == roots


@pytest.mark.parametrize("options", [{}, {"every_step": True}, {"plain_iterations": 3}])
def test_fits_take_as_few_passes_and_no_row_travels(options):
    for data, loss in ((breast_cancer, "logistic"), (digits, "softmax")):
        results = []
        for on_workers in (False, True):
            fun, asked = objective(*data(), loss, 1e-3), []
            ask = fun.blocks.sum
            fun.blocks.sum = lambda request, ask=ask, asked=asked: asked.append(request) or ask(request)
            solver = SampledLBFGS(on_workers=on_workers, **options)
            results.append(minimize(fun, start(fun), solver=solver, tol=1e-11))
            assert any(isinstance(one, RowSample) for one in asked) != on_workers
            made = results[-1].state.builds
            assert sum(isinstance(one, SampleGrams) for one in asked) == on_workers * made
            of_rows = sum(getattr(one, "form", "") == "rows" for one in asked)
            assert of_rows == (0 if on_workers and loss == "logistic" else made)
        by_driver, by_workers = results
        assert by_driver.success
        assert by_workers.success
        assert by_workers.value == pytest.approx(by_driver.value, rel=1e-10)
        assert by_workers.passes <= 1.2 * by_driver.passes + 2


def test_columns_that_the_sample_misses_have_the_curvature_of_all_rows():
    rng = np.random.default_rng(5)
    X = np.column_stack((rng.standard_normal((4000, 5)), np.arange(4000) < 8))
    fun = objective(X, (X[:, 0] + rng.logistic(size=4000) > 0).astype(int), "logistic", 1e-6)
    moments = fun(SampleGrams(start(fun), fraction=0.05, seed=1)).moments
    missing = missing_squares(moments.mean**2 + moments.squares / moments.weight, fun.facts)
    assert missing[5] > 0.5 * fun.facts.squares[5]
    assert (missing[:5] == 0).all()
    by_driver, by_workers = both(fun, start(fun), 0.05, False)
    np.testing.assert_allclose(by_workers, by_driver, rtol=1e-6, atol=1e-9 * np.abs(by_driver).max())


def test_the_rows_take_no_memory_of_the_driver():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((400, 60))
    facts = replace(objective(X, (X[:, 0] > 0).astype(int)).facts, rows=10**6)
    room = 2 * 8 * 61 * 61 * 9  # for the matrix, and hardly more
    driver, workers = (SampledLBFGS(max_bytes=room, on_workers=there).for_problem(facts) for there in (False, True))
    assert driver.sample_rows < 40 * 61
    assert workers.sample_rows == 40 * 61
    assert workers.bytes_needed < driver.bytes_needed


def test_what_needs_the_rows_is_refused():
    for options, name in (({"rank": 5}, "rank"), ({"coupled": True}, "coupled"), ({"inner_steps": 2}, "inner_steps")):
        with pytest.raises(ValueError, match=f"where they are, {name} needs them on the driver"):
            SampledLBFGS(on_workers=True, **options)
    with pytest.raises(ValueError, match="on_workers must be"):
        SampledLBFGS(on_workers="yes")
    fun = objective(*breast_cancer())
    facts = replace(fun.facts, answers=fun.facts.answers - {SampleGrams})
    with pytest.raises(TypeError, match="no Gram matrices of samples: leave on_workers out"):
        SampledLBFGS(on_workers=True).for_problem(facts)


def test_too_wide_for_a_matrix_it_takes_directions_on_the_driver():
    fun = objective(*digits(), "softmax", 1e-3)
    solver = SampledLBFGS(on_workers=True, max_bytes=500_000)
    result = minimize(fun, start(fun), solver=solver, tol=1e-9)
    assert result.success
    assert "directions of the Hessian" in result.solver


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_estimators_take_it(dtype, fit_intercept):
    X, y = breast_cancer()
    X = (X + 30.0 * (np.arange(30) % 3 == 0)).astype(dtype)  # which float32 is read less its mean for
    options = {"C": 0.1, "tol": 1e-9 if dtype == "float64" else 1e-6, "fit_intercept": fit_intercept}
    found = LogisticRegression(solver=SampledLBFGS(on_workers=True), **options).fit(X, y)
    wanted = LogisticRegression(solver=SampledLBFGS(), **options).fit(X, y)
    assert found.n_iter_ <= 1.5 * wanted.n_iter_ + 2
    tolerance = 1e-4 if dtype == "float64" else 1e-2
    np.testing.assert_allclose(found.coef_, wanted.coef_, atol=tolerance * np.abs(wanted.coef_).max())


@pytest.mark.parametrize("ratio", [1e2, 1e6])
def test_means_far_from_zero_cost_no_digits(ratio):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((4000, 8)) @ rng.standard_normal((8, 40)) + 0.05 * rng.standard_normal((4000, 40))
    y = (X[:, 0] + rng.logistic(size=4000) > 0).astype(int)
    fun = objective(X / X.std(axis=0) + ratio, y, "logistic", 1e-6, blocks=5)
    by_driver, by_workers = both(fun, 0.1 * rng.standard_normal(41), 1.0, False)
    np.testing.assert_allclose(by_workers, by_driver, atol=1e-6 * np.abs(by_driver).max())


def test_float32_columns_are_centred_before_they_are_multiplied():
    """Of means of a few spreads, which coefficients do not mind, squares would lose what columns have apart."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((6000, 6)) @ rng.standard_normal((6, 60)) + 0.03 * rng.standard_normal((6000, 60))
    X = (X / X.std(axis=0) + 3.0).astype(np.float32)
    y = (X[:, 0] + rng.logistic(size=6000) > 3).astype(int)
    fun, exact = (objective(data, y, "logistic", 1e-6, blocks=3) for data in (X, X.astype(np.float64)))
    theta = 0.1 * rng.standard_normal(61)
    for made in both(fun, theta, 1.0, False):
        ratios = np.linalg.eigvals(made @ exact(Curvature(theta, "gram")).matrix)
        assert 0.9 < ratios.real.min() <= ratios.real.max() < 1.1


def fits(fun_of, start_of=start, **options):
    """By the driver and by the workers."""
    both = [fun_of(), fun_of()]
    solvers = [SampledLBFGS(on_workers=there, **options) for there in (False, True)]
    return [minimize(fun, start_of(fun), solver=solver, tol=1e-9) for fun, solver in zip(both, solvers, strict=True)]


@pytest.mark.parametrize("huge", [1e155, 1e160, 1e300])
def test_columns_whose_squares_overflow_do_not_stop_the_others(huge):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((3000, 8))
    y = (X[:, 0] + rng.logistic(size=3000) > 0).astype(int)
    X[:, 3] *= huge
    by_driver, by_workers = fits(lambda: objective(X, y, "logistic", 1e-3))
    assert by_driver.success
    assert by_workers.success
    assert by_workers.value == pytest.approx(by_driver.value, rel=1e-8)


@pytest.mark.parametrize("weight", [1e-300, 1e-170, 1e155, 1e200])
@pytest.mark.parametrize("loss", ["poisson", "softmax"])
def test_weights_of_any_size(loss, weight):
    rng = np.random.default_rng(3)
    X, y = rng.standard_normal((900, 5)), np.arange(900) % 3
    by_driver, by_workers = fits(lambda: objective(X, y, loss, 1e-3, sample_weight=np.full(900, weight)))
    assert by_workers.success
    assert by_workers.passes == by_driver.passes
    assert by_workers.value == pytest.approx(by_driver.value, rel=1e-12)


@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_a_sample_that_weighs_nothing_makes_no_matrix(loss):
    rng = np.random.default_rng(5)
    X, y = rng.standard_normal((2000, 6)), np.arange(2000) % (2 if loss == "logistic" else 4)
    weight = np.zeros(2000)
    weight[uniform_of_rows(0, 2000, 0) > 0.5] = 1.0  # rows that no smaller sample takes
    by_driver, by_workers = fits(lambda: objective(X, y, loss, 1e-4, sample_weight=weight), rows_per_column=40)
    assert by_driver.sampled_passes > 0
    assert by_workers.passes == by_driver.passes
    assert by_workers.value == by_driver.value


def test_directions_whose_rows_count_nothing_have_the_penalty():
    fun = problem("float64", "softmax")
    facts, sums = fun.facts, fun(SampleGrams(start(fun), np.eye(3)[:, :2]))
    sums = replace(sums, matrices=np.zeros_like(sums.matrices), sums=np.zeros(2))
    found = directions(fun(Curvature(start(fun), "rows")), 1.0, facts)
    made = _on_workers._of_each(sums, np.zeros(2), found, facts)
    assert np.isfinite(made(np.eye(fun.size))).all()


def test_states_with_directions_go_on_with_them():
    fun = objective(*digits(), "softmax", 1e-3)
    first = minimize(fun, start(fun), solver=SampledLBFGS(rank=5), tol=1e-9, max_iter=3)
    wanted = minimize(fun, start(fun), solver=SampledLBFGS(), resume=first.state, tol=1e-9)
    found = minimize(fun, start(fun), solver=SampledLBFGS(on_workers=True), resume=first.state, tol=1e-9)
    assert found.theta.tobytes() == wanted.theta.tobytes()


@pytest.mark.parametrize("outputs", [2, 10, 40])
def test_it_takes_the_memory_that_it_says(outputs):
    rng = np.random.default_rng(6)
    X, y = rng.standard_normal((900, 150)), np.arange(900) % outputs
    fun = objective(X, y, "softmax", 1e-3)
    solver = SampledLBFGS(on_workers=True).for_problem(fun.facts)
    basis = None if outputs == 40 else np.linalg.qr(rng.standard_normal((outputs, outputs)))[0][:, 1:]
    request = SampleGrams(start(fun), basis)
    total = fun.blocks.sum(request)
    tracemalloc.start()
    fun.answer(request, total)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak <= solver.bytes_needed


def test_gram_matrices_are_pulled_back_as_the_hessian_is():
    fun = problem("float64", "logistic", centred=True)
    assert isinstance(fun.variables, Standardized)
    theta = 0.1 * np.random.default_rng(0).standard_normal(fun.size)
    sums = fun(SampleGrams(theta))
    whole = fun(Curvature(theta, "gram")).matrix - np.diag(fun.l2)
    np.testing.assert_allclose(sums.matrices[0] / sums.moments.weight, whole, rtol=1e-9, atol=1e-9 * whole.max())
