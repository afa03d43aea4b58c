"""What is told of rows by their numbers: the same as rows that are weighted so, whatever the storage."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose

from fullbatch import Linear, SerialEngine, array_sources
from fullbatch.models.by_row import ByRow, Dealt
from fullbatch.protocols.requests import DrawnValueGrad, ValueGrad
from fullbatch.protocols.sampling import Draw

ROWS = 40


def dense(answer):
    return np.asarray(answer.toarray() if sp.issparse(answer) else answer).ravel()


def columns(count, dtype):
    return sp.random(ROWS, count, 200 / count, random_state=1, format="csr", dtype=dtype)


@pytest.mark.parametrize("count", [300, 100_000])  # beyond 65,536 blocks number the columns that they have anew
def test_folds_that_are_dealt_are_weights(count):
    rng = np.random.default_rng(0)
    X, y, fold = columns(count, np.float64), rng.integers(0, 2, ROWS), np.arange(ROWS) % 4
    theta = rng.normal(size=(3, count + 1))
    draws = Draw("without", 1, 4), Draw("without", 2, 4), Draw("only", 3, 4)
    told = SerialEngine().place(ByRow(Linear("logistic"), Dealt(fold)), array_sources(X, y))
    found = told.sum(DrawnValueGrad(theta, draws))
    for number, draw in enumerate(draws):
        weight = (fold == draw.number if draw.form == "only" else fold != draw.number).astype(float)
        wanted = SerialEngine().place(Linear("logistic"), array_sources(X, y, weight)).sum(ValueGrad(theta[number]))
        assert_allclose(found.value[number], wanted.value, rtol=1e-12)
        assert_allclose(dense(found.grad[number]), dense(wanted.grad), rtol=1e-10, atol=1e-13)


def test_products_in_double_of_very_many_columns():
    rng = np.random.default_rng(0)
    X, y, theta = columns(100_000, np.float32), rng.integers(0, 2, ROWS), rng.normal(size=100_001)
    found, wanted = (
        SerialEngine().place(Linear("logistic"), array_sources(one, y)).sum(ValueGrad(theta, double=True))
        for one in (X, X.astype(np.float64))
    )
    assert_allclose(found.value, wanted.value, rtol=1e-12)
    assert_allclose(dense(found.grad), dense(wanted.grad), rtol=1e-10, atol=1e-13)
