"""CRV3: fits without each cluster, and what it refuses."""

import numpy as np
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from scipy.sparse import csr_array

from fullbatch import DataError, GeneralizedLinearRegressor
from fullbatch.inference import jackknife

TOL = 1e-10


def rows(n=120, clusters=12):
    rng = np.random.default_rng(0)
    X, ids = rng.standard_normal((n, 2)), rng.integers(0, clusters, n)
    mean = np.exp(0.2 + X @ [0.4, -0.3])
    return X, rng.poisson(mean * rng.gamma(4.0, 0.25, clusters)[ids]).astype(float), ids


def test_least_squares_is_that_of_fits_without_each_cluster():
    X, y, ids = rows()
    told = GeneralizedLinearRegressor(tol=TOL).fit(X, y).inference(X, y, clusters=ids, covariance="CRV3")
    Z = sm.add_constant(X)
    full = sm.OLS(y, Z).fit().params
    changes = [sm.OLS(y[ids != one], Z[ids != one]).fit().params - full for one in range(12)]
    assert_allclose(told.matrix, 11 / 12 * np.transpose(changes) @ changes, rtol=1e-8)
    assert told.df == 11
    assert told.clusters == (12,)
    assert "CRV3: jackknife of clusters" in told.summary()
    assert not any("clusters" in note for note in told.notes)


@pytest.mark.parametrize("weighted", [False, True])
def test_other_losses_are_near_fits_without_each_cluster(weighted):
    X, y, ids = rows()
    weight = np.arange(len(y)) % 3 + 1.0 if weighted else np.ones(len(y))
    model = GeneralizedLinearRegressor("poisson", tol=TOL).fit(X, y, weight)
    told = model.inference(X, y, weight, clusters=ids, covariance="CRV3")
    Z, family = sm.add_constant(X), sm.families.Poisson()
    fit = sm.GLM(y, Z, family=family, freq_weights=weight).fit(tol=1e-14)
    A = Z.T @ (Z * (weight * fit.mu)[:, None])
    changes = []
    for one in range(12):
        own = ids == one
        left = A - Z[own].T @ (Z[own] * (weight * fit.mu)[own, None])
        changes.append(np.linalg.solve(left, Z[own].T @ (weight * (fit.mu - y))[own]))
    assert_allclose(told.matrix, 11 / 12 * np.transpose(changes) @ changes, rtol=1e-6)
    params = [
        sm.GLM(y[ids != one], Z[ids != one], family=family, freq_weights=weight[ids != one]).fit().params - fit.params
        for one in range(12)
    ]
    assert_allclose(told.std_err, np.sqrt(11 / 12 * np.sum(np.square(params), axis=0)), rtol=0.1)
    sparse = model.inference(csr_array(X), y, weight, clusters=ids, covariance="CRV3")
    assert_allclose(sparse.matrix, told.matrix, rtol=1e-9)


@pytest.mark.parametrize("weighted", [False, True])
def test_crv2_is_what_square_roots_of_hat_matrices_make(weighted):
    """Bell and McCaffrey's definition, by matrices of the size of each cluster; a weight is so many rows."""
    X, y, ids = rows()
    weight = np.arange(len(y)) % 3 + 1 if weighted else np.ones(len(y), int)
    model = GeneralizedLinearRegressor(tol=TOL).fit(X, y, weight)
    told = model.inference(X, y, weight, clusters=ids, covariance="CRV2")
    again = np.repeat(np.arange(len(y)), weight)
    Z = sm.add_constant(X)[again]
    residual = y[again] - Z @ sm.OLS(y[again], Z).fit().params
    bread = np.linalg.inv(Z.T @ Z)
    meat = np.zeros((3, 3))
    for one in range(12):
        own = ids[again] == one
        values, vectors = np.linalg.eigh(np.eye(own.sum()) - Z[own] @ bread @ Z[own].T)
        assert values.min() > 1e-3
        score = Z[own].T @ (vectors / np.sqrt(values)) @ vectors.T @ residual[own]
        meat += np.outer(score, score)
    assert_allclose(told.matrix, bread @ meat @ bread, rtol=1e-7)
    assert (told.df, told.clusters) == (11, (12,))
    assert "CRV2: Bell and McCaffrey's" in told.summary()


def test_crv2_has_no_bias_where_rows_are_independent_and_alike():
    """Bell and McCaffrey (2002): then its mean is the covariance, with few clusters of unequal sizes too.

    It is a quadratic form of the targets, whose mean over independent ones of variance 1 is a sum over unit vectors.
    """
    X, ids = rows(n=40)[0], np.repeat(np.arange(5), [2, 4, 7, 10, 17])
    total = np.zeros((3, 3))
    for y in np.eye(40):
        model = GeneralizedLinearRegressor(tol=TOL).fit(X, y)
        total += model.inference(X, y, clusters=ids, covariance="CRV2").matrix
    Z = sm.add_constant(X)
    assert_allclose(total, np.linalg.inv(Z.T @ Z), rtol=1e-6, atol=1e-9)


def test_crv2_of_other_losses_stands_between():
    X, y, ids = rows()
    told = GeneralizedLinearRegressor("poisson", tol=TOL).fit(X, y).inference(X, y, clusters=ids, covariance="CRV2")
    fit = sm.GLM(y, sm.add_constant(X), family=sm.families.Poisson()).fit(tol=1e-14)
    Z, root = sm.add_constant(X), np.sqrt(fit.mu)[:, None]
    bread = np.linalg.inv(Z.T @ (Z * root**2))
    meat = np.zeros((3, 3))
    for one in range(12):
        own = ids == one
        W = root[own] * Z[own]
        values, vectors = np.linalg.eigh(np.eye(own.sum()) - W @ bread @ W.T)
        score = W.T @ (vectors / np.sqrt(values)) @ vectors.T @ ((y - fit.mu)[own] / root[own, 0])
        meat += np.outer(score, score)
    assert_allclose(told.matrix, bread @ meat @ bread, rtol=1e-6)


@pytest.mark.parametrize("kind", ["CRV2", "CRV3"])
def test_what_is_refused(monkeypatch, kind):
    X, y, ids = rows()
    model = GeneralizedLinearRegressor("poisson", tol=TOL).fit(X, y)
    with pytest.raises(ValueError, match=f'covariance="{kind}" needs clusters='):
        model.inference(X, y, covariance=kind)
    with pytest.raises(ValueError, match=f"{kind} is for one way of clusters"):
        model.inference(X, y, clusters=[ids, ids // 2], covariance=kind)
    with pytest.raises(DataError, match="all rows are in one cluster of 'clusters 1'"):
        model.inference(X, y, clusters=np.zeros(len(y)), covariance=kind)
    X[:, 1] = ids == 3
    model = GeneralizedLinearRegressor("poisson", tol=TOL).fit(X, y)
    with pytest.raises(DataError, match="without the cluster 3 of 'clusters 1' some coefficients are not known"):
        model.inference(X, y, clusters=ids, covariance=kind)
    monkeypatch.setattr(jackknife, "_MOST_NUMBERS", 50)
    with pytest.raises(
        DataError, match=rf"more than .* clusters of .*: {kind} keeps a matrix of 3 parameters for each"
    ):
        model.inference(X, y, clusters=ids, covariance=kind)
