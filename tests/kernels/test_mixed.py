"""Rows with categorical columns: every pass against float64 NumPy on the one-hot columns."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_passes import TOLERANCE, reference

from fullbatch import Linear, Objective, SerialEngine, minimize
from fullbatch.protocols import Category, Curvature, HessVec, Rows, RowSample, ValueGrad
from fullbatch.protocols.schema import Schema


@st.composite
def problems(draw, classes, dtype):
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    n, p = draw(st.integers(1, 120)) + classes, draw(st.sampled_from([0, 1, 5, 16, 33, 520]))
    counts = draw(st.lists(st.sampled_from([1, 2, 3, 7, 40]), min_size=1, max_size=4))
    y = np.concatenate((np.arange(classes), rng.integers(0, classes, n - classes)))
    X = rng.normal(size=(n, p)).astype(dtype)
    codes = [rng.integers(0, count, n).astype(np.int32) for count in counts]
    used = [np.unique(column, return_inverse=True) for column in codes]  # a level is there because a row has it
    categories = tuple(Category(place.astype(np.int32), levels) for levels, place in used)
    ones = [levels[place][:, None] == levels for levels, place in used]
    weight = rng.random(n) * (rng.random(n) > 0.2)
    weight[0] = 1.0
    one_hot = np.column_stack([X, *ones]).astype(np.float64)
    outputs = classes if classes > 2 else 1
    theta = rng.normal(size=outputs * (one_hot.shape[1] + 1)) / np.sqrt(one_hot.shape[1])
    rows = Rows(X, y, weight, offset=rng.normal(size=n), categories=categories)
    return rows, one_hot, theta.astype(np.float32).astype(np.float64)


def build(rows, loss, first_row=0):
    model = Linear(loss)
    return model.build(rows, Schema.of(model.describe(rows, "test")), first_row)


@pytest.mark.parametrize(("classes", "dtype"), [(2, "float64"), (2, "float32"), (5, "float64")])
def test_every_pass(classes, dtype):
    loss = "logistic" if classes == 2 else "softmax"

    @given(problems(classes, dtype))
    @settings(max_examples=25, deadline=None, derandomize=True)
    def check(problem):
        rows, one_hot, theta = problem
        block = build(rows, loss)
        assert block.parameters.size == theta.size
        value, grad, size, hessian = reference(loss, one_hot, rows.y, theta, rows.weight, rows.offset)
        answer = block.evaluate(ValueGrad(theta))
        tolerance = TOLERANCE[dtype]
        assert answer.value == pytest.approx(value, rel=10 * tolerance)
        assert np.all(np.abs(answer.grad - grad) <= tolerance * size + 1e-300)
        if one_hot.shape[1] > 60:
            return
        H, terms = hessian(), 20 * tolerance * hessian(np.abs) + 1e-300  # each entry by the size of its own terms
        v = np.linspace(-1, 1, theta.size)
        product = block.evaluate(HessVec(theta, v)).product
        assert np.all(np.abs(product - H @ v) <= terms @ np.abs(v))
        diagonal = block.evaluate(Curvature(theta, "diagonal")).matrix
        assert np.all(np.abs(diagonal - np.diag(H)) <= np.diag(terms))
        if classes == 2:
            whole = block.evaluate(Curvature(theta, "gram"))
            assert np.all(np.abs(whole.matrix - H) <= terms)
            np.testing.assert_allclose(whole.point.grad, answer.grad, rtol=0, atol=tolerance * size.max() + 1e-300)

    check()


def test_the_sample_has_one_hot_columns():
    rng = np.random.default_rng(0)
    levels = np.array(["a", "b", "c"])
    codes = np.concatenate((np.arange(3), rng.integers(0, 3, 97))).astype(np.int32)
    X, y = rng.standard_normal((100, 2)), rng.integers(0, 2, 100)
    sample = build(Rows(X, y, categories=(Category(codes, levels),)), "logistic").evaluate(RowSample(0.3, seed=2))
    assert 10 < len(sample.rows) < 60
    expected = np.column_stack((X, codes[:, None] == np.arange(3)))
    np.testing.assert_array_equal(sample.X.toarray(), expected[sample.rows])


def test_float32_columns_far_from_zero_are_read_less_their_mean():
    rng = np.random.default_rng(0)
    X = (1e6 + rng.standard_normal((500, 2))).astype(np.float32)
    codes = np.concatenate((np.arange(4), rng.integers(0, 4, 496))).astype(np.int32)
    rows = Rows(
        X, (X[:, 0] > 1e6).astype(int), np.ones(500), offset=np.zeros(500), categories=(Category(codes, np.arange(4)),)
    )
    one_hot = np.column_stack([X, codes[:, None] == np.arange(4)]).astype(np.float64)
    theta = np.array([0.5, -0.5, 0.1, 0.2, 0.3, -0.1, 0.0])
    theta[-1] = -theta[:2] @ X.mean(axis=0, dtype=np.float64)
    value, *_ = reference("logistic", one_hot, rows.y, theta, rows.weight, rows.offset)
    assert build(rows, "logistic").evaluate(ValueGrad(theta)).value == pytest.approx(value, rel=1e-6)


@pytest.mark.parametrize("solver", ["lbfgs", "sampled-lbfgs", "newton", "newton-cg", "auto"])
def test_every_solver_reaches_the_optimum_of_the_one_hot_columns(solver):
    rng = np.random.default_rng(3)
    codes = [np.concatenate((np.arange(k), rng.integers(0, k, 3000 - k))).astype(np.int32) for k in (3, 9)]
    X = rng.standard_normal((3000, 4))
    y = (X[:, 0] + codes[0] - 1 + rng.logistic(size=3000) > 0).astype(int)
    categories = tuple(Category(one, np.arange(one.max() + 1)) for one in codes)
    ones = np.column_stack([X, *(one[:, None] == np.arange(one.max() + 1) for one in codes)]).astype(np.float64)
    values = []
    for rows in (Rows(X, y, categories=categories), Rows(ones, y)):
        blocks = SerialEngine().place(Linear("logistic"), [InMemory(rows)])
        result = minimize(Objective(blocks, 1e-3), np.zeros(17), solver=solver, tol=1e-12)
        assert result.success
        values.append(result.value)
    assert values[0] == pytest.approx(values[1], rel=1e-10)


def test_least_squares_with_categories_in_one_pass():
    rng = np.random.default_rng(3)
    codes = np.concatenate((np.arange(5), rng.integers(0, 5, 995))).astype(np.int32)
    X = rng.standard_normal((1000, 3))
    y = X[:, 0] + codes + rng.standard_normal(1000)
    rows = Rows(X, y, categories=(Category(codes, np.arange(5)),))
    result = minimize(Objective(SerialEngine().place(Linear("squared"), [InMemory(rows)]), 1e-3), np.zeros(9))
    assert result.passes == 1
    ones = np.column_stack((X, codes[:, None] == np.arange(5), np.ones(1000)))
    penalty = np.diag([1e-3 * 1000] * 8 + [0.0])
    np.testing.assert_allclose(result.theta, np.linalg.solve(ones.T @ ones + penalty, ones.T @ y), rtol=1e-8)


class InMemory:
    def __init__(self, rows):
        self.rows = rows

    def read(self):
        return self.rows

    def __str__(self):
        return "rows in memory"
