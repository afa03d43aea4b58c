"""The set-up read of many rows: several tiles, each swept twice."""

import numpy as np
import pytest

from fullbatch.kernels.moments import _TILE, dense_moments
from fullbatch.models.describe import read_only

ROWS, COLUMNS = 3 * _TILE // 4 + 5, 7
NONE = read_only(np.zeros(0))


def moments(X, weight=NONE):
    return dense_moments(read_only(X), read_only(weight))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("drift", [0.0, 1.0, 1e6])
def test_means_and_deviations_are_those_of_long_double(drift, weighted):
    """Also where rows are sorted, so that tiles have little in common."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(ROWS, COLUMNS)) + 1e3 + drift * np.linspace(-1, 1, ROWS)[:, None]
    weight = rng.random(ROWS) * (rng.random(ROWS) > 0.3) if weighted else NONE
    if weighted:
        weight[: 2 * _TILE // COLUMNS] = 0.0  # tiles in which nothing counts
    row, column, mean, squares = moments(X, weight)
    exact, factor = X.astype(np.longdouble), (weight if weighted else np.ones(ROWS)).astype(np.longdouble)[:, None]
    wanted = (factor * exact).sum(axis=0) / factor.sum()
    assert (row, column) == (-1, -1)
    np.testing.assert_allclose(mean, wanted.astype(float), rtol=1e-14, atol=1e-14 * drift)
    np.testing.assert_allclose(squares, (factor * (exact - wanted) ** 2).sum(axis=0).astype(float), rtol=1e-11)


@pytest.mark.parametrize("place", [(0, 0), (5, 6), (ROWS // 2, 3), (ROWS - 1, 6)])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_the_first_value_that_is_not_finite_is_found_in_any_tile(place, value):
    X, weight = np.ones((ROWS, COLUMNS)), np.ones(ROWS)
    X[place] = value
    X[place[0], place[1] :] = value
    X[place[0] + 1 :, :2] = np.nan
    assert moments(X)[:2] == place
    weight[place[0]] = 0.0  # what does not count must be finite, too
    assert moments(X, weight)[:2] == place


def test_sums_that_overflow_are_no_bad_value():
    X = np.ones((ROWS, COLUMNS))
    X[:, 2] = 1e308
    X[: 2 * _TILE // COLUMNS, 3] = -1e308  # only in some tiles
    row, column, mean, squares = moments(X)
    assert (row, column) == (-1, -1)
    np.testing.assert_array_equal(mean, [1.0, 1.0, np.inf, -np.inf, 1.0, 1.0, 1.0])
    np.testing.assert_array_equal(squares, [0.0, 0.0, np.inf, np.inf, 0.0, 0.0, 0.0])


def test_without_rows_or_weights_all_is_zero():
    for X, weight in ((np.ones((0, COLUMNS)), NONE), (np.ones((9, COLUMNS)), np.zeros(9))):
        row, column, mean, squares = moments(X, weight)
        assert (row, column) == (-1, -1)
        assert not mean.any()
        assert not squares.any()
