"""Every pass against float64 NumPy, on shapes that are no multiple of any tile, for dense and sparse rows."""

import os

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from fullbatch.kernels.dense import TiledRows
from fullbatch.kernels.gram import FUSED_COLUMNS, grams
from fullbatch.models.linear import Linear
from fullbatch.protocols import Curvature, HessVec, Rows, ValueGrad
from fullbatch.protocols.schema import Schema

TOLERANCE = {"float64": 1e-13, "float32": 1e-6}


@pytest.fixture(autouse=True, params=["compiled", "plain"])
def _by_both(request, monkeypatch):
    monkeypatch.setenv("FULLBATCH_PASSES", request.param)


def build(loss, X, y, **fields):
    """The block of these rows; labels must include every class, so that the schema knows them."""
    model, rows = Linear(loss), Rows(X, y, **fields)
    described = model.describe(rows, "test")
    return model.build(rows, Schema.of(described), 0)


def dense(X):
    return X.toarray() if scipy.sparse.issparse(X) else X


def reference(loss, X, y, theta, weight, offset, scale=1.0):
    """Value, gradient, size of the gradient's terms, and a function that gives the Hessian, in float64."""
    n = len(y)
    X1 = np.column_stack([dense(X).astype(np.float64) * scale, np.ones(n)])
    outputs = theta.size // X1.shape[1]
    W = np.column_stack([theta[:-outputs].reshape(outputs, -1), theta[-outputs:]])
    eta = X1 @ W.T + offset[:, None]
    if loss == "softmax":
        top = eta.max(1, keepdims=True)
        P = np.exp(eta - top)
        total = P.sum(1, keepdims=True)
        P /= total
        value = np.log(total[:, 0]) + top[:, 0] - eta[np.arange(n), y]
        slope = P.copy()
        slope[np.arange(n), y] = 0.0
        slope[np.arange(n), y] = -slope.sum(1)  # P - 1, without cancellation
        second = P[:, :, None] * np.eye(outputs) - P[:, :, None] * P[:, None, :]
    else:
        sign = 2.0 * np.asarray(y)[:, None] - 1.0
        value = np.logaddexp(0, eta[:, 0]) - y * eta[:, 0]
        slope = -sign / (1 + np.exp(sign * eta))  # p - y, without cancellation
        second = (1 / (1 + np.exp(-eta)) / (1 + np.exp(eta)))[:, :, None]

    def as_theta(G):
        return np.concatenate((G[:, :-1].ravel(), G[:, -1]))

    grad = as_theta((weight[:, None] * slope).T @ X1)
    size = as_theta((weight[:, None] * np.abs(slope)).T @ np.abs(X1))

    def hessian(of=lambda part: part):
        """Of the absolute values of its terms with `of=np.abs`."""
        H = np.einsum("i,ikl,ij,im->kjlm", weight, of(second), of(X1), of(X1)).reshape(W.size, W.size)
        order = np.array([as_theta(np.arange(W.size).reshape(W.shape))]).ravel().astype(int)
        return H[np.ix_(order, order)]

    return weight @ value, grad, size, hessian


@st.composite
def problems(draw, loss, kind):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    classes = draw(st.integers(2, 11)) if loss == "softmax" else 2
    n = draw(st.integers(1, 120)) + classes
    p = draw(st.sampled_from([1, 2, 7, 15, 16, 17, 31, 64, 100, 129, 513, 700]))
    y = np.concatenate((np.arange(classes), rng.integers(0, classes, n - classes)))
    X = rng.normal(size=(n, p)) * (rng.random(p) > 0.1)  # a tenth of the columns are all zero
    if kind in ("uint8", "int8"):
        X = rng.integers(np.iinfo(kind).min, np.iinfo(kind).max + 1, (n, p)).astype(kind)
    elif kind == "csr":
        X = scipy.sparse.csr_array(X * (rng.random((n, p)) < 0.2) * (rng.random((n, 1)) < 0.8))  # and empty rows
    else:
        X = X.astype(kind)
        shape = draw(st.sampled_from(["C", "F", "strided", "read-only"]))
        if shape == "F":
            X = np.asfortranarray(X)
        if shape == "strided":
            X = np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]
        X.flags.writeable = shape != "read-only"
    weight = rng.random(n) * (rng.random(n) > 0.2)
    weight[0] = 1.0
    outputs = classes if loss == "softmax" else 1
    theta = rng.normal(size=outputs * (p + 1)) / np.sqrt(p)
    return X, y, weight, rng.normal(size=n), theta.astype(np.float32).astype(np.float64)


CASES = [
    ("softmax", "float32"),
    ("logistic", "float64"),
    ("logistic", "float32"),
    ("softmax", "float64"),
    ("softmax", "uint8"),
    ("logistic", "int8"),
    ("logistic", "csr"),
    ("softmax", "csr"),
]


@pytest.mark.parametrize(("loss", "kind"), CASES)
def test_loss_and_gradient(loss, kind):
    @given(problems(loss, kind))
    @settings(max_examples=25, deadline=None, derandomize=True)
    def check(problem):
        X, y, weight, offset, theta = problem
        scale = 2.0**-8 if kind in ("uint8", "int8") else 1.0
        block = build(loss, X, y, weight=weight, offset=offset, scale=scale)
        answer = block.evaluate(ValueGrad(theta))
        value, grad, size, _ = reference(loss, X, y, theta, weight, offset, scale)
        tolerance = TOLERANCE[block.parameters.dtype]
        assert answer.value == pytest.approx(value, rel=10 * tolerance)
        assert np.all(np.abs(answer.grad - grad) <= tolerance * size + 1e-300)
        assert answer.weight == pytest.approx(weight.sum())

    check()


@pytest.mark.parametrize(("loss", "kind"), [("logistic", "float64"), ("softmax", "float32"), ("softmax", "csr")])
def test_several_models_are_answered_as_if_alone(loss, kind):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(90, 21))
    X = scipy.sparse.csr_array(X * (X > 0.5)) if kind == "csr" else X.astype(kind)
    y = np.arange(90) % (2 if loss == "logistic" else 3)
    block = build(loss, X, y)
    thetas = rng.normal(size=(5, block.parameters.size))
    together = block.evaluate(ValueGrad(thetas))
    for m, theta in enumerate(thetas):
        alone = block.evaluate(ValueGrad(theta))
        tolerance = TOLERANCE[block.parameters.dtype]
        assert together.value[m] == pytest.approx(alone.value, rel=tolerance)
        np.testing.assert_allclose(together.grad[m], alone.grad, rtol=0, atol=tolerance * 90)


@pytest.mark.parametrize(("loss", "kind"), [("logistic", "float64"), ("softmax", "csr")])
def test_second_derivatives(loss, kind):
    rng = np.random.default_rng(2)
    X = rng.normal(size=(101, 9))
    X = scipy.sparse.csr_array(X * (X > 0.5)) if kind == "csr" else X
    y = np.arange(101) % (2 if loss == "logistic" else 3)
    weight = rng.random(101) * (rng.random(101) > 0.2)
    offset = rng.normal(size=101)
    block = build(loss, X, y, weight=weight, offset=offset)
    theta, v = rng.normal(size=(2, block.parameters.size))
    H = reference(loss, X, y, theta, weight, offset)[3]()
    np.testing.assert_allclose(block.evaluate(HessVec(theta, v)).product, H @ v, rtol=1e-11, atol=1e-11)
    np.testing.assert_allclose(block.evaluate(Curvature(theta, "diagonal")).matrix, np.diag(H), rtol=1e-11)


@pytest.mark.parametrize(("loss", "columns"), [("logistic", 9), ("logistic", 70), ("softmax", 9)])
@pytest.mark.parametrize("kind", ["dense", "csr"])
def test_gram_matrices_bring_loss_and_gradient(kind, loss, columns):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(101, columns))
    X = scipy.sparse.csr_array(X * (X > 0.5)) if kind == "csr" else X
    y, weight = np.arange(101) % (2 if loss == "logistic" else 3), rng.random(101)
    block = build(loss, X, y, weight=weight)
    theta = rng.normal(size=block.parameters.size)
    value, grad, _, hessian = reference(loss, X, y, theta, weight, np.zeros(101))
    answer = block.evaluate(Curvature(theta, "gram"))
    np.testing.assert_allclose(answer.matrix, hessian(), rtol=1e-10, atol=1e-11)
    np.testing.assert_allclose(answer.point.grad, grad, rtol=1e-10, atol=1e-11)
    assert answer.point.value == pytest.approx(value, rel=1e-13)
    if loss == "logistic":
        X1 = np.column_stack([dense(X), np.ones(101)])
        rows = (weight * (1 / (1 + np.exp(-X1 @ theta)) - y))[:, None] * X1
        meat = block.evaluate(Curvature(theta, "meat")).matrix
        np.testing.assert_allclose(meat, rows.T @ rows, rtol=1e-10, atol=1e-12)
    else:
        with pytest.raises(ValueError, match="'meat' is for one linear predictor, this model has 3"):
            block.evaluate(Curvature(theta, "meat"))


@pytest.mark.parametrize("storage", ["float32", "uint8"])
def test_gram_matrices_of_other_storages(storage):
    rng = np.random.default_rng(6)
    X = rng.integers(0, 255, (300, 80)).astype(storage)
    y = np.arange(300) % 2
    block, exact = build("logistic", X, y), build("logistic", X.astype(np.float64), y)
    theta = rng.normal(size=81) / 1e4
    got, true = block.evaluate(Curvature(theta, "gram")), exact.evaluate(Curvature(theta, "gram"))
    np.testing.assert_allclose(got.matrix, true.matrix, rtol=1e-5)


@pytest.mark.parametrize("columns", [1, 2, 7, 8, 9, 15, 16, 17, 24, 31, 64, 65, 100, FUSED_COLUMNS, FUSED_COLUMNS + 1])
@pytest.mark.parametrize(
    ("dtype", "order", "rtol"), [("float64", "C", 1e-13), ("float64", "F", 1e-13), ("float32", "C", 1e-5)]
)
def test_gram_matrices_of_any_width_are_those_of_numpy(columns, dtype, order, rtol):
    rng = np.random.default_rng(columns)
    X = np.asarray(rng.integers(-9, 10, (503, columns)), dtype, order)
    weight, with_ones = rng.random(503), np.column_stack((X, np.ones(503))).astype(np.float64)
    block = build("logistic", X, np.arange(503) % 2, weight=weight)
    matrix = block.evaluate(Curvature(np.zeros(columns + 1), "gram")).matrix
    wanted = with_ones.T @ (0.25 * weight[:, None] * with_ones)
    np.testing.assert_allclose(matrix, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max())


def test_a_column_far_from_zero_keeps_the_digits_of_its_spread():
    rng = np.random.default_rng(4)
    X = (rng.normal(size=(3000, 3)) + 5000).astype(np.float32)
    y = (X[:, 0] + rng.normal(size=3000) > 5000).astype(int)
    block, exact = build("logistic", X, y), build("logistic", X.astype(np.float64), y)
    theta = np.array([1.0, 0.5, -0.5, -5000.0])
    got, true = block.evaluate(ValueGrad(theta)), exact.evaluate(ValueGrad(theta))
    assert got.value == pytest.approx(true.value, rel=1e-7)
    # What matters is the gradient in centred columns: of the columns as they are, the mean is nearly all.
    centred = [one.grad[:3] - X.mean(0, dtype=np.float64) * one.grad[3] for one in (got, true)]
    np.testing.assert_allclose(*centred, rtol=1e-4)
    for form in ("gram", "diagonal"):
        got, true = block.evaluate(Curvature(theta, form)), exact.evaluate(Curvature(theta, form))
        np.testing.assert_allclose(got.matrix, true.matrix, rtol=1e-6)


def test_column_order_gives_the_same_bits_without_a_copy():
    rng = np.random.default_rng(5)
    X, y = rng.normal(size=(131, 37)), np.arange(131) % 2
    theta = rng.normal(size=38)
    F = np.asfortranarray(X)
    block = build("logistic", F, y)
    assert np.shares_memory(block._rows.X, F) == (os.environ["FULLBATCH_PASSES"] == "compiled")
    np.testing.assert_array_equal(
        block.evaluate(ValueGrad(theta)).grad, build("logistic", X, y).evaluate(ValueGrad(theta)).grad
    )


def test_an_empty_block_answers_zeros():
    X, y = np.random.default_rng(6).normal(size=(8, 3)), np.arange(8) % 2
    model = Linear("logistic")
    schema = Schema.of(model.describe(Rows(X, y), "test"))
    block = model.build(Rows(X[:0], y[:0]), schema, 8)
    answer = block.evaluate(ValueGrad(np.ones(4)))
    assert (answer.value, answer.weight) == (0, 0)
    assert not answer.grad.any()


def test_a_bad_trial_point_is_seen():
    X, y = np.random.default_rng(7).normal(size=(8, 3)), np.arange(8) % 2
    answer = build("logistic", X, y).evaluate(ValueGrad(np.array([np.nan, 0, 0, 0])))
    assert np.isnan(answer.value)
    assert np.isnan(answer.grad).all()


@pytest.mark.parametrize(
    ("loss", "y", "words"), [("poisson", -1.0, "at least 0"), ("gamma", 0.0, "greater than 0"), ("tweedie", -1.0, "at")]
)
def test_targets_outside_the_loss_are_named(loss, y, words):
    described = Linear(loss).describe(Rows(np.ones((3, 1)), np.array([1.0, y, 1.0])), "test")
    assert described.problem.row == 1
    assert words in str(described.problem)


def test_options_reach_the_loss():
    X, y = np.zeros((1, 1)), np.array([10.0])
    rows, model = Rows(X, y), Linear("huber", options={"delta": 2.0})
    block = model.build(rows, Schema.of(model.describe(rows, "test")), 0)
    assert block.evaluate(ValueGrad(np.zeros(2))).value == pytest.approx(2.0 * (10 - 1))
    with pytest.raises(ValueError, match="it has delta"):
        Linear("huber", options={"detla": 2.0})


def test_theta_of_another_type_or_shape_is_no_wrong_answer():
    X, y = np.random.default_rng(9).normal(size=(30, 6)), np.arange(30) % 2
    block = build("logistic", X, y)
    theta = np.random.default_rng(10).normal(size=7).astype(np.float32)
    assert block.evaluate(ValueGrad(theta)).value == block.evaluate(ValueGrad(theta.astype(np.float64))).value
    for wrong in (np.zeros(14), np.zeros((2, 6)), np.zeros((1, 1, 7))):
        with pytest.raises(ValueError, match="theta has shape"):
            block.evaluate(ValueGrad(wrong))


@pytest.mark.parametrize("order", ["C", "F"])
def test_rows_behind_the_last_count_nothing_however_large_those_before_were(order):
    X = np.full((250, 5), 1e100, order=order)  # the last tile has few rows
    X[-10:] = 1.0
    y, weight = np.arange(250) % 2, np.r_[np.zeros(240), np.ones(10)]
    diagonal = build("logistic", X, y, weight=weight).evaluate(Curvature(np.zeros(6), "diagonal")).matrix
    np.testing.assert_allclose(diagonal, 10 * 0.25)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_grams_of_columns_far_from_zero_are_of_their_distance_from_a_reference(dtype):
    rng = np.random.default_rng(0)
    reference = np.array([1e5, -2e5, 3.0], dtype)
    X = (reference + rng.standard_normal((40, 3))).astype(dtype)
    factors = np.array([rng.uniform(0, 1, 40), rng.uniform(-1, 1, 40)])  # few losses have negative ones
    rows = TiledRows(X, reference, np.zeros(40), np.zeros(0), np.zeros(0))
    columns = np.column_stack((X.astype(np.float64) - reference, np.ones(40)))
    wanted = np.array([columns.T @ (factor[:, None] * columns) for factor in factors])
    np.testing.assert_allclose(grams(rows, 3, dtype, factors), wanted, atol=1e-4 if dtype == "float32" else 1e-12)
