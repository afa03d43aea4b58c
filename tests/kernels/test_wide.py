"""Blocks that number the columns they meet answer as blocks of all columns do."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse
from benchmarks.memory import _anonymous as anonymous
from benchmarks.memory import _Peak as Peak
from hypothesis import given, settings
from hypothesis import strategies as st
from test_passes import build, problems, reference

from fullbatch import Draw, Linear, Objective, RayEngine, SerialEngine, ThreadEngine, array_sources, minimize
from fullbatch.kernels.wide import SparseVector, numbered
from fullbatch.protocols import Curvature, HessVec, RowSample, ValueGrad
from fullbatch.protocols.requests import DrawnCurvature, DrawnValueGrad


@st.composite
def vectors(draw, size):
    places = draw(st.lists(st.integers(0, size - 1), max_size=size // 2, unique=True))
    return SparseVector(size, np.sort(np.array(places, np.int32)), np.arange(1.0, len(places) + 1))


@given(vectors(40), vectors(40))
@settings(deadline=None, derandomize=True)
def test_vectors_are_arithmetic_like_arrays(a, b):
    x, y = np.asarray(a), np.asarray(b)
    dense = 2 * (a.places.size + b.places.size) > 40
    for got, true in ((a + b, x + y), (a - b, x - y)):
        assert isinstance(got, np.ndarray) == dense
        np.testing.assert_array_equal(np.asarray(got), true)
    for got, true in ((a + y, x + y), (x + b, x + y), (a * 2.5, x * 2.5), (a**2, x**2), (a / 4.0, x / 4.0), (-a, -x)):
        np.testing.assert_array_equal(np.asarray(got), true)
    assert a.shape == x.shape
    assert a.dtype == x.dtype


@pytest.fixture
def every_block_is_wide(monkeypatch):
    for module in ("fullbatch.models._linear_block", "fullbatch.models.describe"):
        monkeypatch.setattr(sys.modules[module], "is_wide", lambda columns, entries: True)


@pytest.mark.parametrize("models", [1, 3])
def test_blocks_of_several_models_add_up(models, every_block_is_wide):
    rng = np.random.default_rng(0)
    X = scipy.sparse.random_array((60, 40), density=0.1, rng=rng, format="csr")
    y = (rng.random(60) < 0.5).astype(float)
    blocks = SerialEngine().place(Linear("logistic"), array_sources(X, y, blocks=2))
    thetas, draws = (
        rng.standard_normal((models, 41)),
        (Draw("all"), Draw("without", 0, 2), Draw("bootstrap", 1))[:models],
    )
    rows = [np.ones(60), *(draw.weights(0, 60) for draw in draws[1:])]
    eta = X @ thetas[:, :-1].T + thetas[:, -1]
    slope = 1.0 / (1.0 + np.exp(-eta)) - y[:, None]
    of_all = np.column_stack((slope.T @ X, slope.sum(axis=0)))
    counted = slope * np.array(rows).T
    of_draws = np.column_stack((counted.T @ X, counted.sum(axis=0)))
    columns = np.arange(3)
    for request, wanted in (
        (ValueGrad(thetas), of_all),
        (DrawnValueGrad(thetas, draws), of_draws),
        (DrawnCurvature(thetas, draws), of_draws),
        (DrawnCurvature(thetas, draws, 1, columns=columns), of_draws),
    ):
        answer = blocks.sum(request)
        grad = answer.point.grad if isinstance(request, DrawnCurvature) else answer.grad
        np.testing.assert_allclose(np.asarray(grad), wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("loss", ["logistic", "softmax"])
def test_every_request(loss, every_block_is_wide):
    @given(problems(loss, "csr"), st.sampled_from([np.int32, np.int64]))
    @settings(max_examples=15, deadline=None, derandomize=True)
    def check(problem, index):
        X, y, weight, offset, theta = problem
        X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
        block = build(loss, X, y, weight=weight, offset=offset)
        assert block._rows.indices.max(initial=0) < max(1, np.unique(X.indices).size)
        value, grad, size, hessian = reference(loss, X, y, theta, weight, offset)
        answer = block.evaluate(ValueGrad(theta))
        assert isinstance(answer.grad, SparseVector)
        assert answer.value == pytest.approx(value, rel=1e-12)
        assert np.all(np.abs(answer.grad - grad) <= 1e-13 * size + 1e-300)
        stacked = block.evaluate(ValueGrad(np.array([theta, theta])))
        assert np.all(np.abs(stacked.grad[1] - grad) <= 1e-13 * size + 1e-300)
        sample = block.evaluate(RowSample(0.5))
        np.testing.assert_array_equal(sample.X.toarray(), X.toarray()[sample.rows])
        if X.shape[1] <= 31:
            H, v = hessian(), np.linspace(-1, 1, theta.size)
            scale = 1e-12 * max(np.abs(H).max(), 1e-300) * theta.size
            product = block.evaluate(HessVec(theta, v)).product
            np.testing.assert_allclose(np.asarray(product), H @ v, rtol=0, atol=scale)
            diagonal = block.evaluate(Curvature(theta, "diagonal")).matrix
            np.testing.assert_allclose(np.asarray(diagonal), np.diag(H), rtol=0, atol=scale)
        with pytest.raises(ValueError, match="too large for"):
            block.evaluate(Curvature(theta, "gram"))

    check()


@pytest.mark.parametrize("dtype", ["int32", "int64"])
@pytest.mark.parametrize("columns", [1, 63, 64, 65, 10_000])
def test_numbers_of_columns(columns, dtype):
    for count in (0, 1, 500):
        indices = np.random.default_rng(columns).integers(0, columns, count).astype(dtype)
        touched, number = numbered(indices, columns)
        expected, inverse = np.unique(indices, return_inverse=True)
        np.testing.assert_array_equal(touched, expected)
        np.testing.assert_array_equal(number, inverse)
        assert touched.dtype == number.dtype == dtype


def wide_rows(n, p, each, seed=0):
    rng = np.random.default_rng(seed)
    indices = np.sort(rng.integers(0, p, (n, each), np.int32), axis=1).ravel()
    starts = np.arange(0, n * each + 1, each, dtype=np.int32)
    X = scipy.sparse.csr_array((rng.random(n * each) + 0.5, indices, starts), (n, p))
    X.sum_duplicates()
    return X, rng.integers(0, 2, n)


def test_engines_agree_to_the_bit_and_with_blocks_of_all_columns(ray_session, monkeypatch):
    X, y = wide_rows(300, 100_000, 5)
    theta = np.random.default_rng(1).normal(size=100_001)

    def answer(engine):
        blocks = engine.place(Linear("logistic"), array_sources(X, y, blocks=7))
        total, schema = blocks.sum(ValueGrad(theta)), blocks.schema
        result = minimize(Objective(blocks, 0.01), np.zeros(100_001), solver="lbfgs", max_iter=5)
        blocks.close()
        engine.close()
        return total, schema, result.theta

    total, schema, fitted = answer(SerialEngine())
    assert isinstance(total.grad, SparseVector)
    for engine in (ThreadEngine(3), RayEngine(num_workers=2)):
        other, _, again = answer(engine)
        assert other.grad.tobytes() == total.grad.tobytes()
        assert other.value == total.value
        assert again.tobytes() == fitted.tobytes()
    for module in ("fullbatch.models._linear_block", "fullbatch.models.describe"):
        monkeypatch.setattr(sys.modules[module], "is_wide", lambda columns, entries: False)
    full, all_columns, _ = answer(SerialEngine())
    np.testing.assert_allclose(np.asarray(total.grad), full.grad, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(schema.mean, all_columns.mean, rtol=1e-12, atol=1e-18)
    np.testing.assert_allclose(schema.variance, all_columns.variance, rtol=1e-12, atol=1e-18)


def peaks(num_threads):
    """Bytes beside the data, while it is placed and in a pass over 10 million columns."""
    X, y = wide_rows(200_000, 10**7, 50)
    sources = array_sources(X, y)
    before = anonymous()
    with Peak() as placing:
        blocks = ThreadEngine(num_threads).place(Linear("logistic"), sources)
    theta = np.zeros(10**7 + 1)
    placed = anonymous()
    with Peak() as passing:
        total = blocks.sum(ValueGrad(theta))
    assert np.count_nonzero(total.grad) > 10**6
    return len(sources), placing.bytes - before, passing.bytes - placed


@pytest.mark.slow
def test_memory_of_ten_million_columns():
    told = []
    for threads in (1, 4):  # each in a process of its own
        program = f"import sys; sys.path[:0] = {sys.path!r}; import test_wide; print(*test_wide.peaks({threads}))"
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        told.append([int(word) for word in done.stdout.split()])
        print(f"{threads} thread(s): blocks, bytes while placing, bytes of a pass: {told[-1]}")
    column = 8 * 10**7
    (blocks, *_), (_, placing, passing) = told
    assert blocks == 16
    assert placing < blocks * column  # no block holds numbers for all columns
    assert passing < 4 * 3 * column  # no thread holds coefficients, sums and an answer for all columns
    assert passing - told[0][2] < 3 * 2 * column


@pytest.mark.slow
def test_ten_million_columns_on_ray(ray_session):
    X, y = wide_rows(20_000, 10**7, 20)
    theta = np.random.default_rng(2).normal(size=10**7 + 1)
    grads = []
    for engine in (SerialEngine(), RayEngine(num_workers=2)):
        blocks = engine.place(Linear("logistic"), array_sources(X, y, blocks=4))
        grads.append(blocks.sum(ValueGrad(theta)).grad)
        blocks.close()
        engine.close()
    assert isinstance(grads[0], SparseVector)
    assert grads[0].tobytes() == grads[1].tobytes()
    rows = X.astype(np.float64)
    slope = 1 / (1 + np.exp(-(rows @ theta[:-1] + theta[-1]))) - y
    np.testing.assert_allclose(np.asarray(grads[0])[:-1], rows.T @ slope, rtol=1e-10, atol=1e-12)
