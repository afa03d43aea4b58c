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


def test_what_is_refused(monkeypatch):
    X, y, ids = rows()
    model = GeneralizedLinearRegressor("poisson", tol=TOL).fit(X, y)
    with pytest.raises(ValueError, match='covariance="CRV3" needs clusters='):
        model.inference(X, y, covariance="CRV3")
    with pytest.raises(ValueError, match="CRV3 is for one way of clusters"):
        model.inference(X, y, clusters=[ids, ids // 2], covariance="CRV3")
    with pytest.raises(DataError, match="all rows are in one cluster of 'clusters 1'"):
        model.inference(X, y, clusters=np.zeros(len(y)), covariance="CRV3")
    X[:, 1] = ids == 3
    model = GeneralizedLinearRegressor("poisson", tol=TOL).fit(X, y)
    with pytest.raises(DataError, match="without the cluster 3 of 'clusters 1' some coefficients are not known"):
        model.inference(X, y, clusters=ids, covariance="CRV3")
    monkeypatch.setattr(jackknife, "_MOST_NUMBERS", 50)
    with pytest.raises(DataError, match=r"more than .* clusters of .*: CRV3 keeps a matrix of 3 parameters for each"):
        model.inference(X, y, clusters=ids, covariance="CRV3")
