import logging
from dataclasses import replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import pytest
from problems import REFERENCES, breast_cancer, digits, objective, start
from scipy.sparse import csr_array

from fullbatch import LBFGS, Linear, Objective, SampledLBFGS, SerialEngine, Status, ThreadEngine, minimize
from fullbatch.protocols import Curvature, RowCurvature, Rows, RowSample
from fullbatch.run.driver import drive
from fullbatch.solvers import sampled
from fullbatch.solvers._design import design, mean_squares
from fullbatch.solvers._root import _WORTH_COMPILING, Root
from fullbatch.solvers.descent import stuck
from fullbatch.solvers.preconditioners import missing_squares, refined, sampled_hessian


def hessian(fun, theta):
    return fun(Curvature(theta, "gram")).matrix


def inverse_of(fun, theta, shared):
    """B0^-1 as a matrix, from all rows."""
    sample, curvature = fun(RowSample(1.0)), fun(Curvature(theta, "rows"))
    rows, weight = design(sample, fun.facts), sample.weight
    missing = missing_squares(mean_squares(rows, weight), fun.facts)
    made = sampled_hessian(rows, weight, missing, curvature, fun.facts, shared)
    return made(np.eye(fun.size))


@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("loss", ["logistic", "squared", "poisson"])
def test_with_one_predictor_and_all_rows_it_is_the_hessian(loss, centred):
    X, y = breast_cancer()
    rng = np.random.default_rng(0)
    fun = objective(X, y, loss, l2=0.01, centred=centred, sample_weight=rng.random(len(y)))
    theta = 0.1 * rng.standard_normal(fun.size)
    product = inverse_of(fun, theta, shared=False) @ hessian(fun, theta)
    np.testing.assert_allclose(product, np.eye(fun.size), atol=1e-7)


def test_softmax_blocks_are_those_of_the_hessian_along_the_eigenvectors():
    X, y = digits()
    X, y = X[y < 3][:, 20:30], y[y < 3]
    fun = objective(X, y, "softmax", l2=0.01, centred=False)
    theta = np.random.default_rng(0).standard_normal(fun.size)
    predictors = fun.facts.parameters.predictors
    curvature = fun(Curvature(theta, "rows"))
    total = np.diag(curvature.diagonal.sum(axis=0)) - curvature.coupling.T @ curvature.coupling
    _, basis = np.linalg.eigh(total)
    H, B = hessian(fun, theta), np.linalg.inv(inverse_of(fun, theta, shared=False))
    for j in (1, 2):  # the first has no curvature
        along = np.zeros((predictors.shape[1], fun.size))
        for k in range(3):
            along[np.arange(predictors.shape[1]), predictors[k]] = basis[k, j]
        np.testing.assert_allclose(along @ B @ along.T, along @ H @ along.T, rtol=1e-6, atol=1e-9)


def test_inner_steps_solve_with_the_whole_hessian_of_the_sample():
    X, y = digits()
    X, y = X[y < 3][:, 20:30], y[y < 3]
    fun = objective(X, y, "softmax", l2=0.01, centred=False)
    theta = np.random.default_rng(0).standard_normal(fun.size)
    sample, curvature = fun(RowSample(1.0)), fun(Curvature(theta, "rows"))
    rows, weight = design(sample, fun.facts), sample.weight
    missing = missing_squares(mean_squares(rows, weight), fun.facts)
    start_matrix = sampled_hessian(rows, weight, missing, curvature, fun.facts, shared=False)
    vector = hessian(fun, theta) @ np.random.default_rng(1).standard_normal(fun.size)
    wanted = np.linalg.pinv(hessian(fun, theta)) @ vector
    errors = []
    for steps in (0, 3, 12):
        (found,) = refined(start_matrix, rows, weight, curvature, fun.facts, steps)(vector[None])
        errors.append(np.linalg.norm(hessian(fun, theta) @ (found - wanted)) / np.linalg.norm(vector))
    assert errors[2] < 1e-3
    assert errors[2] < errors[1] < errors[0]


def test_the_shared_matrix_is_the_hessian_where_all_classes_are_equally_probable():
    X, y = digits()
    fun = objective(X[:, 20:30], y, "softmax", l2=0.01, centred=False)
    H, B = hessian(fun, start(fun)), np.linalg.inv(inverse_of(fun, start(fun), shared=True))
    predictors = fun.facts.parameters.predictors
    moves = np.zeros(fun.size)
    moves[predictors[0]], moves[predictors[1]] = 1.0, -1.0  # any move that is not the same for all classes
    np.testing.assert_allclose(B @ moves, H @ moves, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", REFERENCES)
def test_reference_optima(name):
    data, loss, l2, optimum = REFERENCES[name]
    fun = objective(*data(), loss, l2)
    result = minimize(fun, start(fun), solver="sampled-lbfgs", tol=1e-13)
    assert result.success
    assert result.value == pytest.approx(optimum, rel=1e-10)
    near = minimize(fun, start(fun), solver="sampled-lbfgs")
    assert near.status is Status.CONVERGED
    assert (near.value - optimum) / optimum < 1e-6
    assert near.passes <= 45


def test_raw_columns_of_breast_cancer_in_few_passes():
    fun = objective(*breast_cancer(standardized=False), l2=1 / 569, centred=False)
    result = minimize(fun, start(fun), solver="sampled-lbfgs", tol=1e-10)
    assert result.value == pytest.approx(0.094542374746, rel=1e-9)
    assert result.passes <= 30


def separable_counts(n=4000, seed=0):
    rng = np.random.default_rng(seed)
    scale = 10.0 ** np.linspace(-2, 2, 12)
    X = rng.standard_normal((n, 12)) + rng.uniform(-3, 3, 12)
    offset = rng.uniform(-1, 0, n)
    y = rng.poisson(np.exp(0.1 * X @ rng.standard_normal(12) + offset)).astype(float)
    return X * scale, y, rng.uniform(0.5, 2, n), offset


class _WithOffset(NamedTuple):
    rows: Rows

    def read(self):
        return self.rows


@pytest.mark.parametrize("l2", [0.0, 1e-4])
def test_weights_offsets_and_no_penalty(l2):
    X, y, weight, offset = separable_counts()
    sources = [
        _WithOffset(Rows(X[part], y[part], weight[part], 1.0, offset[part]))
        for part in np.split(np.arange(4000), [700, 2500])
    ]
    blocks = SerialEngine().place(Linear("poisson"), sources)
    fun = Objective(blocks, l2)
    result = minimize(fun, start(fun), solver=SampledLBFGS(rows_per_column=60), tol=1e-12)
    assert result.success
    assert result.passes <= 30
    assert 0 < result.sampled_passes < 1
    theta = start(fun)  # Newton's method, in NumPy
    design_matrix = np.column_stack((X, np.ones(len(y))))
    for _ in range(30):
        mean = np.exp(design_matrix @ theta + offset)
        grad = design_matrix.T @ (weight * (mean - y)) / weight.sum() + fun.l2 * theta
        theta -= np.linalg.solve(
            (design_matrix.T * (weight * mean)) @ design_matrix / weight.sum() + np.diag(fun.l2), grad
        )
    assert result.value == pytest.approx(fun.full_loss(theta), rel=1e-11)


@pytest.mark.parametrize("kind", ["constant", "zero", "collinear", "rare"])
def test_awkward_columns(kind):
    rng = np.random.default_rng(1)
    X = rng.standard_normal((3000, 6))
    y = (X @ rng.standard_normal(6) + rng.logistic(size=3000) > 0).astype(int)
    extra = {"constant": np.full(3000, 7.0), "zero": np.zeros(3000), "collinear": X[:, 0] - 2 * X[:, 1]}
    rare = np.zeros((3000, 5))
    rare[rng.integers(0, 3000, 5), np.arange(5)] = 1.0
    X = np.column_stack((X, rare if kind == "rare" else extra[kind]))
    fun = objective(X, y, l2=1e-4)
    best = minimize(fun, start(fun), tol=1e-14).value
    result = minimize(fun, start(fun), solver=SampledLBFGS(rows_per_column=20), tol=1e-10)
    assert result.success
    assert result.value - best < 1e-8 * best
    assert result.passes <= 25


def test_huber_whose_rows_are_all_in_the_tails_at_the_start():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((2000, 5))
    y = 1000.0 + X @ rng.standard_normal(5) * 50 + rng.standard_t(2, 2000)
    fun = objective(X, y, "huber", l2=1e-6)
    result = minimize(fun, start(fun), solver="sampled-lbfgs", tol=1e-10)
    best = minimize(fun, start(fun), tol=1e-13, max_iter=5000).value
    assert result.success
    assert result.value == pytest.approx(best, rel=1e-8)


def test_features_whose_squares_overflow():
    rng = np.random.default_rng(6)
    X = rng.standard_normal((200, 3))
    y = (X[:, 0] + rng.logistic(size=200) > 0).astype(int)
    X[:, 2] *= 1e200
    fun = objective(X, y, l2=1e-3, centred=False)
    result = minimize(fun, start(fun), solver="sampled-lbfgs", max_iter=50)
    assert np.isfinite(result.theta).all()
    others = objective(X[:, :2], y, l2=1e-3, centred=False)  # the third can add next to nothing
    best = minimize(others, start(others), solver="newton", tol=1e-14).value
    assert result.value <= best * (1 + 1e-4)


def test_sparse_rows_and_float32_rows():
    X, y = digits()
    fun = objective(X, y, "softmax", l2=1e-3)
    wanted = minimize(fun, start(fun), tol=1e-12).value
    for data in (csr_array(X), X.astype(np.float32)):
        fun = objective(data, y, "softmax", l2=1e-3)
        assert minimize(fun, start(fun), solver="sampled-lbfgs").value == pytest.approx(wanted, rel=1e-6)


def test_badly_scaled_columns_take_the_passes_of_well_scaled_ones():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((20_000, 30))
    y = (X @ rng.standard_normal(30) + rng.logistic(size=20_000) > 0).astype(int)
    passes = []
    for scale in (np.ones(30), 10.0 ** np.linspace(-3, 3, 30)):
        fun = objective(X * scale, y, l2=0.0)
        result = minimize(fun, start(fun), solver="sampled-lbfgs")
        assert result.status is Status.CONVERGED
        passes.append(result.passes)
    assert abs(passes[1] - passes[0]) <= 1
    assert max(passes) <= 14


@pytest.mark.parametrize("solver", ["sampled-lbfgs", "newton", "newton-cg", "lbfgs"])
def test_classes_that_are_missing_from_blocks(solver):
    X, y = digits()
    order = np.argsort(y, kind="stable")
    sorted_, mixed = objective(X[order], y[order], "softmax", l2=1e-2, blocks=9), objective(X, y, "softmax", l2=1e-2)
    values = [minimize(fun, start(fun), solver=solver, tol=1e-11).value for fun in (sorted_, mixed)]
    assert values[0] == pytest.approx(values[1], rel=1e-9)


def test_memory_is_said_before_it_is_taken_and_kept_to(caplog):
    rng = np.random.default_rng(4)
    X = rng.standard_normal((5000, 20))
    fun = objective(X, (X[:, 0] > 0).astype(int))
    with caplog.at_level(logging.INFO, "fullbatch"):
        result = minimize(fun, start(fun), solver="sampled-lbfgs", max_iter=2)
    assert "sample of about 840 rows, which takes up to" in caplog.text
    assert caplog.text.rstrip().endswith(result.solver)
    asked = []
    fun = objective(X, (X[:, 0] > 0).astype(int))
    blocks_sum = fun.blocks.sum
    fun.blocks.sum = lambda request: asked.append(blocks_sum(request)) or asked[-1]
    minimize(fun, start(fun), solver=SampledLBFGS(max_bytes=80_000), max_iter=2)
    (sample,) = (answer for answer in asked if hasattr(answer, "X"))
    assert 50 < len(sample.X) < 250
    few = minimize(fun, start(fun), solver=SampledLBFGS(max_bytes=20_000), max_iter=2)
    assert "L-BFGS with diagonal and 2 directions of the Hessian" in few.solver
    for options in ({"max_bytes": 2000}, {"max_bytes": 15_000, "rank": 50}):
        with pytest.raises(ValueError, match=r"more than half of max_bytes: use SampledLBFGS\(max_bytes="):
            minimize(fun, start(fun), solver=SampledLBFGS(**options))


def test_rows_of_the_sample_follow_from_parameters_or_directions():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((400, 600))
    facts = replace(objective(X, (X[:, 0] > 0).astype(int)).facts, rows=10**6)
    for options, rows in (
        ({"rows_per_column": 40.0}, 40 * 601),
        ({"rows_per_column": 2.0}, 2 * 601),
        ({"rows_per_column": 2.0, "rank": 20}, 2 * 5 * 50),  # five times as many for each of 50 directions
        ({"rows_per_column": 2.0, "rank": 100}, 2 * 5 * 100),
        ({"rows_per_column": 2.0, "rank": 200}, 2 * 601),  # no more than without
    ):
        assert SampledLBFGS(**options).for_problem(facts).sample_rows == rows


def test_reads_of_the_sample_are_counted_apart():
    rng = np.random.default_rng(5)
    X = rng.standard_normal((10_000, 10))
    fun = objective(X, (X[:, 0] + rng.logistic(size=10_000) > 0).astype(int))
    asked = []
    blocks_sum = fun.blocks.sum
    fun.blocks.sum = lambda request: asked.append(request) or blocks_sum(request)
    result = minimize(fun, start(fun), solver="sampled-lbfgs")
    sampled = [request for request in asked if getattr(request, "fraction", 1.0) < 1]
    assert result.passes == len(asked) - len(sampled)
    assert result.sampled_passes == pytest.approx(sum(request.fraction for request in sampled))
    assert len(sampled) == 1 + result.state.builds
    assert all(request.fraction == pytest.approx(440 / 10_000) for request in sampled)


def test_answers_row_by_row_stand_in_the_order_of_the_sample():
    X, y = digits()
    theta = 0.1 * np.random.default_rng(0).standard_normal(650)
    answers = []
    for blocks in (1, 5):
        fun = objective(X, y, "softmax", blocks=blocks, centred=False)
        answers.append(fun(Curvature(theta, "rows", 0.3, seed=2)))
        assert len(fun(RowSample(0.3, seed=2)).X) == len(answers[-1].diagonal)
    np.testing.assert_allclose(answers[0].diagonal, answers[1].diagonal, rtol=1e-12)
    np.testing.assert_allclose(answers[0].coupling, answers[1].coupling, rtol=1e-12)
    both = RowCurvature(np.ones((1, 2))) + RowCurvature(np.zeros((2, 2)))
    assert (both.diagonal.shape, both.coupling) == ((3, 2), None)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"every_step": True},
        {"coupled": True},
        {"on_workers": True},
        {"inner_steps": 3},
        {"plain_iterations": 5},
        {"rank": 0},
    ],
)
def test_bits_depend_neither_on_threads_nor_on_those_of_blas_or_of_the_driver(options, monkeypatch):
    from threadpoolctl import threadpool_limits

    X, y = digits()
    thetas = set()
    for threads, of_blas in ((1, 1), (2, 2), (4, 4)):
        monkeypatch.setattr("fullbatch.machine.threads.available_cpus", lambda cpus=threads: cpus)
        with threadpool_limits(of_blas, user_api="blas"):
            fun = objective(X.astype(np.float32), y, "softmax", blocks=7, engine=ThreadEngine(threads))
            thetas.add(minimize(fun, start(fun), solver=SampledLBFGS(**options), max_iter=15).theta.tobytes())
    assert len(thetas) == 1


def test_models_that_are_not_linear_and_unknown_problems_are_refused():
    fun = objective(*breast_cancer())
    parameters = fun.blocks.parameters
    fun.blocks.parameters = type(parameters)(parameters.size, parameters.penalized)
    with pytest.raises(TypeError, match="needs a linear model: use 'lbfgs'"):
        minimize(fun, start(fun), solver="sampled-lbfgs")
    with pytest.raises(ValueError, match="the problem is not known yet"):
        SampledLBFGS().about  # noqa: B018
    for options, message in (
        ({"memory": 0}, "memory"),
        ({"rows_per_column": 0}, "rows_per_column"),
        ({"most_builds": 0}, "most_builds"),
        ({"rank": -1}, "rank"),
    ):
        with pytest.raises(ValueError, match=message):
            SampledLBFGS(**options)


def test_a_large_sample_is_no_more_than_a_quarter_of_the_rows_unless_asked_for():
    rng = np.random.default_rng(0)
    fun = objective(rng.standard_normal((40, 799)), np.arange(40) % 2)  # 800 parameters, 12.8 kB a row of the sample

    def rows(n, **options):
        return SampledLBFGS(**options).for_problem(replace(fun.facts, rows=n)).sample_rows

    assert rows(10**6) == 40 * 800
    assert rows(100_000) == 25_000
    assert rows(20_000) == 20 * 800
    assert rows(10_000) == 10_000
    assert rows(20_000, rows_per_column=40.0) == 20_000
    narrow = objective(rng.standard_normal((40, 84)), np.arange(40) % 2)
    assert SampledLBFGS().for_problem(replace(narrow.facts, rows=4000)).sample_rows == 40 * 85


def decades(n=3000):
    """Columns of scales over three decades, which plain L-BFGS takes many passes for."""
    rng = np.random.default_rng(6)
    X = rng.standard_normal((n, 12)) * 10.0 ** np.linspace(-1.5, 1.5, 12)
    return X, (X @ (rng.standard_normal(12) / X.std(axis=0)) + rng.logistic(size=n) > 0).astype(int)


def iterates(fun, solver, **options):
    seen = []
    result = minimize(fun, start(fun), solver=solver, callbacks=[lambda it: seen.append(it.value)], **options)
    return seen, result


def test_it_begins_as_plain_lbfgs_where_that_is_asked_for():
    plain, _ = iterates(objective(*decades()), LBFGS(memory=20), max_iter=60)
    values, result = iterates(objective(*decades()), SampledLBFGS(plain_iterations=6))
    assert values[:7] == plain[:7]
    assert values[7] < plain[7]
    assert result.state.builds >= 1
    assert result.success
    assert len(values) < 25 < len([value for value in plain if value > result.value * (1 + 1e-9)])
    assert "made after 6 iterations without it" in result.solver


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("width", [1, 64, 65, 200, 300])
def test_a_root_stands_for_the_inverse_of_its_matrix(width, dtype):
    """Of widths with one block and with several, by NumPy and compiled."""
    rng = np.random.default_rng(width)
    factor = rng.standard_normal((width + 9, width)) * np.geomspace(1e-3, 1e3, width)
    matrix, penalty = factor.T @ factor, rng.random(width)
    vectors = rng.standard_normal((2, width)) / np.geomspace(1e-3, 1e3, width)
    found = Root.of(matrix, penalty, 1e-12, dtype).solved(vectors)
    wanted = np.linalg.solve((matrix + np.diag(penalty)), vectors.T).T
    units = np.geomspace(1e-3, 1e3, width)
    tolerance = (1e-7 if dtype == "float64" else 2e-2) * np.abs(wanted * units).max()
    np.testing.assert_allclose(found * units, wanted * units, rtol=0, atol=tolerance)
    assert 200**2 < _WORTH_COMPILING < 300**2


def test_made_at_every_step_with_many_rows_it_is_nearly_newtons_method():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((20_000, 10))
    fun = objective(X, (X @ np.full(10, 1.5) + rng.logistic(size=20_000) > 0).astype(int))
    best = minimize(fun, start(fun), solver="newton", tol=1e-14).value

    def passes_to(solver, gap):
        values, result = iterates(fun, solver, tol=1e-12)
        assert result.success
        return next(place for place, value in enumerate(values) if value - best <= gap * best), result

    newton, _ = passes_to("newton", 1e-5)
    often, result = passes_to(SampledLBFGS(rows_per_column=400, every_step=True), 1e-5)
    once, _ = passes_to(SampledLBFGS(rows_per_column=400, most_builds=1), 1e-5)
    assert newton <= often <= newton + 1 < once
    assert 2 < result.state.builds < 10
    assert result.iterations - result.state.built_iteration >= len(result.state.steps) > 0
    assert "made at every step" in result.solver


@pytest.mark.parametrize("storage", ["dense", "sparse"])
def test_coupled_it_is_the_inverse_of_the_hessian_of_the_sample(storage):
    """But for the direction in which softmax does not change, and with the penalty of the mean class."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((300, 30)) * (rng.random((300, 30)) < (0.1 if storage == "sparse" else 1.0))
    X, y = (csr_array(X) if storage == "sparse" else X), np.arange(300) % 3
    fun = objective(X, y, "softmax", l2=0.01, centred=False)
    theta = rng.standard_normal(fun.size) / 5
    sample, curvature = fun(RowSample(1.0)), fun(Curvature(theta, "rows"))
    rows, weight = design(sample, fun.facts), sample.weight
    missing = missing_squares(mean_squares(rows, weight), fun.facts)
    made = sampled_hessian(rows, weight, missing, curvature, fun.facts, shared=False, coupled=True)
    assert len(made.roots) == 1
    vectors = np.linalg.qr(hessian(fun, theta) @ rng.standard_normal((fun.size, 4)))[0].T
    free = vectors - 0.0
    free[:, fun.facts.predictors] -= free[:, fun.facts.predictors].mean(axis=1, keepdims=True)
    wanted = (np.linalg.pinv(hessian(fun, theta)) @ free.T).T
    np.testing.assert_allclose(made(free), wanted, rtol=1e-6, atol=1e-6 * np.abs(wanted).max())


@pytest.mark.parametrize("coupled", [False, True])
def test_rows_without_any_curvature_leave_the_penalty(coupled):
    X, y = digits()
    fun = objective(X[:, 20:24], y, "softmax", l2=0.5, centred=False)
    sample = fun(RowSample(1.0))
    rows, none = design(sample, fun.facts), np.zeros((len(y), 10))
    missing = missing_squares(mean_squares(rows, sample.weight), fun.facts)
    made = sampled_hessian(rows, sample.weight, missing, RowCurvature(none, none), fun.facts, False, coupled)
    found = made(np.eye(fun.size)[fun.facts.l2 > 0])
    np.testing.assert_allclose(found, 2.0 * np.eye(fun.size)[fun.facts.l2 > 0], rtol=1e-12, atol=1e-12)


def test_coupled_outputs_of_few_columns_take_a_fraction_of_the_passes():
    rng = np.random.default_rng(0)
    codes = rng.choice(12, 8000, p=1.0 / np.arange(1, 13) / (1.0 / np.arange(1, 13)).sum())
    X = np.column_stack((rng.standard_normal((8000, 4)) + rng.standard_normal((8000, 1)), np.eye(12)[codes]))
    y = (X @ rng.standard_normal((16, 5)) * 1.5 + rng.gumbel(size=(8000, 5)) + np.linspace(2, 0, 5)).argmax(axis=1)
    fun = objective(X, y, "softmax", l2=1e-4)
    best = minimize(fun, start(fun), solver="newton", tol=1e-14).value
    passes = []
    for solver in (SampledLBFGS(rows_per_column=200, coupled=True), SampledLBFGS(rows_per_column=200)):
        values, result = iterates(fun, solver, tol=1e-10)
        assert result.success
        passes.append(next(place for place, value in enumerate(values) if value - best <= 1e-6 * best))
    assert passes[0] < 0.75 * passes[1]
    assert "whole Hessian" in minimize(fun, start(fun), solver=SampledLBFGS(coupled=True), max_iter=1).solver


def test_an_easy_problem_ends_before_the_matrix_is_made():
    rng = np.random.default_rng(7)
    X = rng.standard_normal((3000, 12))
    fun = objective(X, (X[:, 0] + rng.logistic(size=3000) > 0).astype(int))
    result = minimize(fun, start(fun), solver=SampledLBFGS(plain_iterations=100))
    assert result.success
    assert (result.sampled_passes, result.state.builds) == (0, 0)
    assert result.value == pytest.approx(minimize(fun, start(fun), solver="newton", tol=1e-12).value, rel=1e-8)


def test_before_the_matrix_has_shown_what_it_is_worth_a_pause_is_not_the_end():
    solver = SampledLBFGS(plain_iterations=6)
    fun = objective(*decades())
    solver = solver.for_problem(fun.facts)
    state = drive(solver.init(np.zeros(fun.size)), fun)
    for _ in range(12):
        state = drive(solver.step(state), fun)
    falling = np.linspace(2.0, 1.0, 13)
    still = replace(state, direction=-1e-20 * state.grad, values=np.append(falling[:9], np.full(4, falling[9])))
    still = replace(still, value=still.values[-1])
    for builds, built, ended in ((0, 20, False), (1, 11, False), (1, 10, True), (2, 12, True)):
        left = solver.optimality(replace(still, builds=builds, built_iteration=built))
        assert left < 1e-10 if ended else left > 1e-5


def test_where_plain_steps_lead_nowhere_the_matrix_is_made_sooner(monkeypatch):
    fun = objective(*decades())
    solver = SampledLBFGS(plain_iterations=50).for_problem(fun.facts)
    state = drive(solver.init(np.zeros(fun.size)), fun)
    state = drive(solver.step(state), fun)
    real = sampled.advance

    def fails(state, *rest):
        return (yield from real(state, *rest)) if state.builds else stuck(state, 1e-12)

    monkeypatch.setattr(sampled, "advance", fails)
    after = drive(solver.step(state), fun)
    assert not after.failure
    assert (after.iteration, after.builds, after.built_iteration) == (2, 1, 1)
    assert after.value < state.value


@pytest.mark.parametrize(
    ("quadratic", "builds", "along", "iteration", "due"),
    [
        (False, 1, 1.0, 30, True),
        (False, 1, 1.0, 29, False),
        (False, 4, 1.0, 99, False),
        (True, 1, 1.0, 99, False),
        (False, 1, 0.0, 30, False),  # far away, by a way that is straight
    ],
)
def test_it_is_made_again_where_the_slope_has_changed_along_the_way(quadratic, builds, along, iteration, due):
    """(theta - theta at the last time)' (gradient - gradient then) is how F's slope changed on the way."""
    fun = objective(*breast_cancer())
    parameters = replace(fun.facts.parameters, quadratic=quadratic)
    solver = SampledLBFGS(plain_iterations=10, most_builds=4).for_problem(replace(fun.facts, parameters=parameters))
    state = drive(solver.init(np.ones(fun.size)), fun)
    moved, across = np.eye(fun.size)[:2]
    grad = state.built_grad + along * moved + across
    state = replace(state, theta=state.theta + moved, grad=grad, iteration=iteration)
    assert solver._is_due(replace(state, builds=builds, built_iteration=10)) == due


def test_it_is_not_made_again_before_twice_as_many_iterations():
    fun = objective(*breast_cancer(), l2=1e-6)
    solver = SampledLBFGS(plain_iterations=7, most_builds=9).for_problem(fun.facts)
    states = [drive(solver.init(np.zeros(fun.size)), fun)]
    while states[-1].iteration < 60 and not states[-1].failure:
        states.append(drive(solver.step(states[-1]), fun))
    made = [after.iteration for before, after in pairwise(states) if after.builds > before.builds]
    assert made[0] == 7
    assert len(made) > 1
    assert min(after - before for before, after in pairwise(made)) >= 14
