"""Wide problems: a diagonal and a few directions of the Hessian; samples of sparse rows."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from problems import objective, start
from scipy.sparse import csr_array, random_array
from threadpoolctl import threadpool_limits

from fullbatch import SampledLBFGS, ThreadEngine, minimize
from fullbatch.data.arrays import array_sources
from fullbatch.engines.local import SerialEngine
from fullbatch.models.linear import Linear
from fullbatch.objective import Objective
from fullbatch.objective.design import DenseDesign, SparseDesign
from fullbatch.protocols import Category, Curvature, Facts, Parameters, RowCurvature, Rows, RowSample
from fullbatch.solvers._design import design
from fullbatch.solvers.low_rank import _largest, low_rank_hessian, projections


def words(n=4000, p=3000, length=40, seed=0):
    """Counts of Zipf-distributed words."""
    rng = np.random.default_rng(seed)
    chance = 1.0 / np.arange(1, p + 1)
    columns = rng.choice(p, size=(n, length), p=chance / chance.sum())
    X = csr_array((np.ones(n * length), (np.repeat(np.arange(n), length), columns.ravel())), shape=(n, p))
    X.sum_duplicates()
    return X


def labels(X, outputs=2, seed=1, strength=0.5):
    rng = np.random.default_rng(seed)
    eta = strength * (X @ rng.standard_normal((X.shape[1], outputs)))
    return (eta + rng.gumbel(size=eta.shape)).argmax(axis=1)


def matrix_of(fun, theta, rank, dense=False):
    """B0^-1 of all rows, as a matrix."""
    sample, curvature = fun(RowSample(1.0)), fun(Curvature(theta, "rows"))
    facts = replace(fun.facts, dense_columns=None, looked_up=0.0) if dense else fun.facts
    made = low_rank_hessian(design(sample, facts), sample.weight, curvature, facts, rank, seed=0)
    return made(np.eye(fun.size)), made


@pytest.mark.parametrize("intercept", [False, True])
@pytest.mark.parametrize("shifted", [False, True])
def test_products_of_sparse_rows_are_those_of_dense_ones(intercept, shifted):
    rng = np.random.default_rng(0)
    for density in (0.02, 0.6):  # the Gram matrix by products of entries, and by dense chunks
        X = csr_array(random_array((300, 30), density=density, rng=rng, format="csr"))
        shift = rng.standard_normal(30) * shifted
        dense = DenseDesign(X.toarray(), shift if shifted else np.zeros(0), intercept)
        sparse = SparseDesign(X, shift, intercept)
        factor = rng.random(300)
        coefs, slopes = rng.standard_normal((dense.width, 3)), rng.standard_normal((300, 3))
        half, some = slice(20, 150), np.array([3, 5, 8, 200])
        rows = np.column_stack((X.toarray() - shift, np.ones(300)))[:, : dense.width]
        for one, other in (
            (dense.times(coefs), rows @ coefs),
            (dense.back(slopes), rows.T @ slopes),
            (dense.gram(factor), (rows.T * factor) @ rows),
            (dense.squares(factor), factor @ rows**2),
            (dense.taken(some).gram(factor[some]), (rows[some].T * factor[some]) @ rows[some]),
            (dense.taken(some).taken(slice(1, 3)).times(coefs), rows[some][1:3] @ coefs),
            (sparse.times(coefs), dense.times(coefs)),
            (sparse.back(slopes), dense.back(slopes)),
            (sparse.gram(factor), dense.gram(factor)),
            (sparse.squares(factor), dense.squares(factor)),
            (sparse.taken(half).gram(factor[half]), dense.taken(half).gram(factor[half])),
        ):
            np.testing.assert_allclose(one, other, rtol=1e-10, atol=1e-10)
        assert (len(sparse), sparse.width) == (len(dense), dense.width)


@pytest.mark.parametrize(("column", "length", "rest"), [(1.0, np.sqrt(1 - 1e-3), 1e-3), (0.0, 0.0, 1.0)])
def test_where_no_other_direction_is_left_next_to_nothing_stands_for_them(column, length, rest):
    """Of one column there is one direction, and of a column of zeros none."""
    rows = DenseDesign(column * np.random.default_rng(0).standard_normal((60, 1)), np.zeros(0), False)
    squares = rows.squares(np.full(60, 1 / 60))
    found = SimpleNamespace(traces=np.ones(60), mean=1.0)
    with np.errstate(all="raise"):
        low, left = _largest(rows, found, squares, squares, rank=1, seed=0)
    assert left == pytest.approx(rest, rel=1e-6)
    np.testing.assert_allclose(np.abs(low), np.full((1, int(column)), length), rtol=1e-6)


def test_samples_of_sparse_and_of_categorical_rows_stay_sparse():
    X = words()
    fun = objective(X, labels(X))
    sample = fun(RowSample(0.2))
    made = design(sample, fun.facts)
    assert isinstance(made, SparseDesign)
    assert made.X.nnz == X[sample.rows].nnz
    theta = np.random.default_rng(0).standard_normal(fun.size)
    of_blocks = fun.variables.to_blocks(theta)
    wanted = X[sample.rows] @ of_blocks[:-1] + of_blocks[-1]
    np.testing.assert_allclose(made.times(theta[:, None])[:, 0], wanted, rtol=1e-9, atol=1e-9)
    codes = np.random.default_rng(1).integers(0, 50, 500).astype(np.int32)
    codes[:50] = np.arange(50)
    numbers = np.random.default_rng(2).standard_normal((500, 2))

    class Source:
        def read(self):
            return Rows(numbers, numbers[:, 0] + codes, categories=(Category(codes, np.arange(50)),))

    fun = Objective(SerialEngine().place(Linear("squared"), [Source()]))
    sample = fun(RowSample(1.0))
    made = design(sample, fun.facts)
    assert isinstance(made, SparseDesign)
    one_hot = np.column_stack((numbers, codes[:, None] == np.arange(50), np.ones(500)))
    np.testing.assert_allclose(made.times(np.eye(53)), one_hot)


@pytest.mark.parametrize("outputs", [2, 3])
def test_the_diagonal_is_that_of_all_rows(outputs):
    X = words(500, 200)
    fun = objective(X, labels(X, outputs), "softmax" if outputs > 2 else "logistic", l2=0.01)
    inverse, _ = matrix_of(fun, start(fun), rank=0)
    B = np.linalg.inv(inverse)
    centred = X.toarray() - X.toarray().mean(axis=0)
    each = np.append((centred**2).mean(axis=0), 1.0)
    np.testing.assert_allclose(B, B.T, atol=1e-12)
    if outputs == 2:
        np.testing.assert_allclose(B, np.diag(0.25 * each + fun.l2), rtol=1e-9, atol=1e-12)
    else:  # the mean of diag p - p p' at p = 1/3, times the diagonal, but for the direction in which softmax is flat
        predictors = fun.facts.parameters.predictors
        H = (np.eye(3) - 1 / 3) / 3
        direction = np.array([1.0, -1.0, 0.0])
        for j in (0, 7, 150):
            block = B[np.ix_(predictors[:, j], predictors[:, j])]
            wanted = (H * each[j] + 0.01 * np.eye(3)) @ direction
            np.testing.assert_allclose(block @ direction, wanted, rtol=1e-9, atol=1e-12)


def factors(outputs, l2, n=3000, p=120, count=6):
    """Columns of different scales that a few factors explain for the most part."""
    rng = np.random.default_rng(3)
    X = rng.standard_normal((n, count)) @ rng.standard_normal((count, p)) + rng.standard_normal((n, p))
    X *= 10.0 ** rng.uniform(-2, 2, p)
    return objective(X, labels(X / X.std(axis=0), outputs), "softmax" if outputs > 2 else "logistic", l2)


@pytest.mark.parametrize("outputs", [2, 3])
def test_the_largest_directions_are_those_of_the_hessian(outputs):
    fun = factors(outputs, 1e-6)
    inverse, made = matrix_of(fun, start(fun), rank=20)
    assert made.low.shape[1] >= 6
    H = fun(Curvature(start(fun), "gram")).matrix
    scale = np.sqrt(H.diagonal())
    values, vectors = np.linalg.eigh(H / scale / scale[:, None])
    top = vectors[:, -6 * (outputs - 1) :]
    B = np.linalg.inv(inverse) / scale / scale[:, None]
    np.testing.assert_allclose(np.diag(top.T @ B @ top), values[-6 * (outputs - 1) :], rtol=1e-4)


def test_noise_has_no_direction_that_stands_out():
    rng = np.random.default_rng(8)
    X = rng.standard_normal((3000, 120)) * 10.0 ** rng.uniform(-2, 2, 120)
    fun = objective(X, np.arange(3000) % 2, l2=1e-6)
    inverse, made = matrix_of(fun, start(fun), rank=20)
    assert made.low.shape[1] == 0
    each = 0.25 * np.append(X.var(axis=0), 1.0)  # the diagonal is all there is to tell
    np.testing.assert_allclose(np.diag(inverse), 1.0 / (each + fun.l2), rtol=1e-6)


@pytest.mark.parametrize(("rank", "count", "products"), [(0, 30, 0), (5, 30, 45), (20, 0, 60), (20, 30, 150)])
def test_products_that_making_the_matrix_takes(monkeypatch, rank, count, products):
    """Vectors that rows are multiplied with: as many as are told, halved, for each goes there and back. All of the ten
    directions that are looked for first stand out, or none.
    """
    fun, taken = factors(2, 1e-6, count=count), []
    times = DenseDesign.times
    monkeypatch.setattr(DenseDesign, "times", lambda self, coefs: taken.append(coefs.shape[1]) or times(self, coefs))
    matrix_of(fun, start(fun), rank)
    assert sum(taken) == products == projections(rank, all_of_them=count > 0) / 2


def test_of_a_sample_in_which_all_columns_are_zero_the_diagonal_is_all_there_is():
    """That of mean squares over all rows, each times the mean curvature."""
    rows, squares = DenseDesign(np.zeros((8, 3)), np.zeros(0), False), np.array([4.0, 0.25, 1.0])
    parameters = Parameters(3, np.ones(3, bool), predictors=np.arange(3)[None])
    facts = Facts(100, parameters, np.full(3, 0.01), frozenset(), squares=squares)
    made = low_rank_hessian(rows, np.ones(8), RowCurvature(np.full((8, 1), 0.2), None), facts, 2, seed=0)
    np.testing.assert_allclose(made(np.eye(3)), np.diag(1.0 / (0.2 * squares + 0.01)), rtol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_where_few_directions_are_all_that_the_sample_shows_a_thousandth_of_the_diagonal_is_left_to_others(seed):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((300, 3)) @ rng.standard_normal((3, 40))
    parameters = Parameters(40, np.ones(40, bool), predictors=np.arange(40)[None])
    facts = Facts(300, parameters, np.zeros(40), frozenset(), squares=(X**2).mean(axis=0))
    curvature = RowCurvature(np.full((300, 1), 0.2), None)
    made = low_rank_hessian(DenseDesign(X, np.zeros(0), False), np.ones(300), curvature, facts, 5, seed=0)
    assert made.low.shape[1] == 3
    np.testing.assert_allclose(made.diagonals, 1e-3 * 0.2 * (X**2).mean(axis=0)[None], rtol=1e-9)


def test_woodburys_formula():
    fun = factors(4, 0.01, n=1000, p=30)
    theta = 0.1 * np.random.default_rng(0).standard_normal(fun.size)
    inverse, made = matrix_of(fun, theta, rank=5)
    curvature = fun(Curvature(theta, "rows"))
    total = np.diag(curvature.diagonal.sum(axis=0)) - curvature.coupling.T @ curvature.coupling
    values, basis = np.linalg.eigh(total)
    B = np.zeros((fun.size, fun.size))
    predictors = fun.facts.parameters.predictors
    for j in range(4):
        matrix = np.diag(made.diagonals[j])
        if j:  # the first direction has no curvature
            low = made.scale[:, None] * made.low
            matrix += values[j] / values[1:].sum() * low @ low.T
        for a in range(4):
            for b in range(4):
                B[np.ix_(predictors[a], predictors[b])] += basis[a, j] * basis[b, j] * matrix
    assert made.low.shape[1] >= 5
    np.testing.assert_allclose(inverse @ B, np.eye(fun.size), atol=1e-9)


@pytest.mark.parametrize("outputs", [2, 3])
def test_wide_sparse_counts_take_few_passes_by_default(outputs):
    X = words()
    fun = objective(X, labels(X, outputs), "softmax" if outputs > 2 else "logistic", l2=1e-3)
    plain = minimize(fun, start(fun), solver="lbfgs", tol=1e-10, max_iter=3000)
    for solver, most, gain in ((SampledLBFGS(rank=50), 30, 4), ("auto", 35, 2)):  # which begins without the matrix
        result = minimize(fun, start(fun), solver=solver)
        assert "with diagonal and 50 directions" in result.solver
        assert result.success
        assert result.value <= plain.value * (1 + 1e-7)
        assert result.passes <= most
        assert plain.passes >= gain * result.passes


def test_latent_factors_need_their_directions():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((3000, 15)) @ rng.standard_normal((15, 400)) + rng.standard_normal((3000, 400))
    y = labels(X, strength=0.05)
    passes = {}
    for rank in (0, 30):
        fun = objective(X, y, l2=1e-3)
        passes[rank] = minimize(fun, start(fun), solver=SampledLBFGS(rank=rank)).passes
    assert passes[30] <= 32
    assert passes[0] >= 3 * passes[30]


class Unaware(SampledLBFGS):
    """Does not know the mean squares of the columns over all rows."""

    def for_problem(self, facts):
        return super().for_problem(replace(facts, squares=None))


@pytest.mark.parametrize("options", [{"rows_per_column": 1}, {"rank": 0, "rows_per_column": 1}])
def test_rare_levels_that_the_sample_misses(options):
    rng = np.random.default_rng(5)
    chance = np.geomspace(1, 1e-4, 400)
    levels = np.concatenate((np.arange(400), rng.choice(400, 19_600, p=chance / chance.sum())))
    numbers = rng.standard_normal((20_000, 3))
    entries = np.column_stack((numbers, np.ones(20_000)))
    columns = np.column_stack((np.tile(np.arange(3), (20_000, 1)), 3 + levels))
    X = csr_array((entries.ravel(), columns.ravel(), np.arange(0, 80_001, 4)), shape=(20_000, 403))
    y = (numbers[:, 0] + rng.standard_normal(400)[levels] + rng.logistic(size=20_000) > 0).astype(int)
    passes = []
    for kind in (SampledLBFGS, Unaware):
        fun, asked = objective(X, y, l2=1e-5), []
        blocks_sum = fun.blocks.sum
        fun.blocks.sum = lambda request, ask=blocks_sum, asked=asked: asked.append(request) or ask(request)
        result = minimize(fun, start(fun), solver=kind(**options), tol=1e-9)
        assert result.success
        (sample,) = (blocks_sum(request) for request in asked if isinstance(request, RowSample))
        assert len(np.setdiff1d(np.arange(403), sample.X.indices)) > 50  # levels that the sample misses
        passes.append(result.passes)
    assert passes[0] <= 0.7 * passes[1]


@pytest.mark.parametrize("dense", [False, True])
def test_bits_depend_neither_on_threads_nor_on_those_of_blas_or_of_the_driver_nor_on_the_run(dense, monkeypatch):
    X = words(2000, 800)
    y, thetas = labels(X, 3), set()
    X = X.toarray() if dense else X
    for threads, of_blas in ((1, 1), (2, 2), (4, 4)):
        monkeypatch.setattr("fullbatch.machine.threads.available_cpus", lambda cpus=threads: cpus)
        with threadpool_limits(of_blas, user_api="blas"):
            fun = objective(X, y, "softmax", blocks=7, engine=ThreadEngine(threads))
            thetas.add(minimize(fun, start(fun), solver=SampledLBFGS(rank=20), max_iter=12).theta.tobytes())
    assert len(thetas) == 1


def test_dense_wide_rows_of_float32():
    saved = []
    for seed in range(6, 11):  # several: in the last digits of float32 either solver now and then tries for long
        rng = np.random.default_rng(seed)
        low_rank = rng.standard_normal((1500, 8)) @ rng.standard_normal((8, 1200))
        X = (low_rank + rng.standard_normal((1500, 1200))).astype(np.float32)
        fun = Objective(SerialEngine().place(Linear("logistic"), array_sources(X, labels(X, strength=0.02))), 1e-2)
        result = minimize(fun, start(fun), solver=SampledLBFGS(rank=30))
        plain = minimize(fun, start(fun), solver="lbfgs")
        assert result.success
        assert result.value == pytest.approx(plain.value, rel=1e-5)
        saved.append(result.passes / plain.passes)
    assert np.median(saved) <= 0.5


@pytest.mark.parametrize("far", [1.0, 400.0])
def test_a_sample_without_curvature_is_no_accident(far):
    """Squared hinge where all margins exceed 1, and logistic so far out that squares of curvatures underflow."""
    rng = np.random.default_rng(0)
    X = np.abs(rng.normal(size=(300, 60))) + 1.0
    y = np.arange(300) % 2
    X[y == 0] *= -1
    loss = "squared_hinge" if far == 1.0 else "logistic"
    fun = Objective(SerialEngine().place(Linear(loss), array_sources(X, y, blocks=2)))
    theta = np.append(np.full(60, far / 60), 0.0) * (5.0 if far == 1.0 else 1.0)
    assert fun.value_and_grad(theta).value < 1e-100  # nothing is left
    result = minimize(fun, theta, solver=SampledLBFGS(rank=10), max_iter=20)
    assert result.success
    assert 0.0 <= result.value <= fun.value_and_grad(theta).value
