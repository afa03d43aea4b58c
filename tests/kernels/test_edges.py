"""The smallest and oddest rows, sparse and mixed, against float64 NumPy."""

import numpy as np
import pytest
import scipy.sparse
from test_passes import reference

from fullbatch import Linear, array_sources
from fullbatch.kernels import passes
from fullbatch.models import _linear_block
from fullbatch.protocols import Category, Curvature, HessVec, Rows, ValueGrad
from fullbatch.protocols.schema import Schema

RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def _the_same_numbers_whichever_tests_ran_before():
    RNG.bit_generator.state = np.random.default_rng(0).bit_generator.state


def check(rows, one_hot, learnt_from=None):
    """Loss, gradient, Hessian times a vector, and diagonal of a logistic model."""
    model = Linear("logistic")
    schema = Schema.of(model.describe(learnt_from or rows, "test"))
    block = model.build(rows, schema, 0)
    n, p = one_hot.shape
    theta, v = RNG.normal(size=(2, p + 1))
    weight = np.ones(n) if rows.weight is None else rows.weight
    value, grad, size, hessian = reference("logistic", one_hot, rows.y, theta, weight, np.zeros(n))
    answer = block.evaluate(ValueGrad(theta))
    assert answer.value == pytest.approx(value, rel=1e-12)
    assert np.all(np.abs(answer.grad - grad) <= 1e-13 * size + 1e-300)
    H = hessian()
    np.testing.assert_allclose(block.evaluate(HessVec(theta, v)).product, H @ v, rtol=1e-11, atol=1e-13)
    for form, true in (("diagonal", np.diag(H)), ("gram", H)):
        np.testing.assert_allclose(block.evaluate(Curvature(theta, form)).matrix, true, rtol=1e-11, atol=1e-13)
    return block


def sparse(n, p, density=0.4):
    X = RNG.normal(size=(n, p)) * (RNG.random((n, p)) < density)
    return scipy.sparse.csr_array(X)


@pytest.mark.parametrize("p", [1, 2, 5])
@pytest.mark.parametrize("entries", ["all", "none", "some"])
def test_one_sparse_row(p, entries):
    both = Rows(sparse(2, p), np.array([0, 1]))
    X = {"all": np.ones((1, p)), "none": np.zeros((1, p)), "some": np.arange(p)[None] % 2.0}[entries]
    check(Rows(scipy.sparse.csr_array(X), np.array([1])), X, both)


@pytest.mark.parametrize("n", [2, 47, 48, 49, 511, 512, 513, 700])
def test_sparse_rows_around_the_size_of_a_tile(n):
    """With empty rows, columns without entries, and rows without weight."""
    X = sparse(n, 7, 0.2).tolil()
    X[n // 2] = 0
    X[:, 3] = 0
    weight = RNG.random(n) * (RNG.random(n) < 0.7)
    weight[:2] = 1.0
    X = X.tocsr()
    check(Rows(X, np.arange(n) % 2, weight), X.toarray())


@pytest.mark.parametrize("index", ["int32", "int64"])
def test_sparse_arrays_that_are_read_only_strided_or_out_of_order(index):
    X = sparse(60, 9)
    y = np.arange(60) % 2
    true = X.toarray()
    X.indices, X.indptr = X.indices.astype(index), X.indptr.astype(index)
    X.data, X.indices = np.repeat(X.data, 2)[::2], np.repeat(X.indices, 2)[::2]
    for part in (X.data, X.indices, X.indptr):
        part.flags.writeable = False
    assert check(Rows(X, y), true)._rows.indices.dtype == index
    entries = np.array([1.0, 2, 3, 4, 5, 6]), np.array([4, 1, 4, 2, 0, 2]), np.array([0, 3] + [6] * 59)
    twice = scipy.sparse.csr_array(entries, (60, 9))
    (source,) = array_sources(twice, y, blocks=1)
    check(source.read(), twice.toarray())  # an entry stored twice counts as the sum
    assert twice.nnz == 6


def mixed(n, p, counts):
    """Rows in which every level stands, and their columns."""
    codes = [np.concatenate((np.arange(k), RNG.integers(0, k, n)))[:n].astype(np.int32) for k in counts]
    X = RNG.normal(size=(n, p))
    categories = tuple(Category(one, np.arange(k)) for one, k in zip(codes, counts, strict=True))
    ones = [one[:, None] == np.arange(k) for one, k in zip(codes, counts, strict=True)]
    return X, categories, np.column_stack([X, *ones]).astype(np.float64)


@pytest.mark.parametrize("n", [2, 31, 32, 33, 1023, 1024, 1025, 2100])
@pytest.mark.parametrize("counts", [(2,), (2, 1), (2, 1, 2), (2, 2, 1, 2, 1), (1, 2, 2, 1, 1, 2, 2)])
def test_mixed_rows_around_the_size_of_a_tile(n, counts):
    X, categories, columns = mixed(n, len(counts) - 1, counts)
    weight = RNG.random(n) * (RNG.random(n) < 0.7)
    weight[:2] = 1.0
    check(Rows(X, np.arange(n) % 2, weight, categories=categories), columns)


def test_one_mixed_row():
    X, categories, columns = mixed(2, 3, (2, 1))
    both = Rows(X, np.array([0, 1]), categories=categories)
    first = tuple(Category(one.codes[:1], one.levels) for one in categories)
    check(Rows(X[:1], np.array([1]), categories=first), columns[:1], both)


@pytest.mark.parametrize("p", [1, 4, 300])
@pytest.mark.parametrize("order", ["F", "strided", "read-only"])
def test_mixed_rows_in_any_memory_order(p, order):
    X, categories, columns = mixed(70, p, (3, 2))
    if order == "F":
        X = np.asfortranarray(X)
    elif order == "strided":
        X = np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3]
    else:
        X.flags.writeable = False
    check(Rows(X, np.arange(70) % 2, categories=categories), columns)


def test_many_models_of_sparse_rows_share_tables_of_a_bounded_size(monkeypatch):
    X, y = sparse(90, 11), np.arange(90) % 2
    model, rows = Linear("logistic"), Rows(X, y)
    block = model.build(rows, Schema.of(model.describe(rows, "test")), 0)
    thetas = RNG.normal(size=(5, 12))
    together = block.evaluate(ValueGrad(thetas))
    monkeypatch.setattr(_linear_block, "_TABLE_NUMBERS", 2 * 2 * 12)  # two models
    models, loss_grad = [], passes.loss_grad

    def counted(loss, rows, count, W, *arguments):
        models.append(count)
        assert 2 * W.size <= 2 * 2 * 12
        return loss_grad(loss, rows, count, W, *arguments)

    monkeypatch.setattr(passes, "loss_grad", counted)
    apart = block.evaluate(ValueGrad(thetas))
    assert models == [2, 2, 1]
    np.testing.assert_allclose(apart.value, together.value, rtol=1e-13)
    np.testing.assert_allclose(apart.grad, together.grad, rtol=1e-12, atol=1e-13)
    assert apart.weight == together.weight == 90
