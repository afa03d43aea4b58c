"""How often 95 % intervals hold the parameter, in 2,000 replicates of 400 rows."""

import warnings

import numpy as np
import pytest
from scipy.optimize import root
from scipy.special import expit

from fullbatch import GeneralizedLinearRegressor, LogisticRegression

REPLICATES, N, CLUSTERS = 2000, 400, 40
BETA = np.array([0.2, 0.4, -0.3])


def wrong_logistic(Z):
    """Probabilities whose logarithmic odds are not linear."""
    return expit(Z @ BETA + 0.5 * (Z[:, 1] ** 2 - 1))


def nearest_logistic():
    """The parameters whose expected score is zero there, by Gauss-Hermite quadrature: what the estimates are of."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    Z = np.column_stack((np.ones(3600), np.repeat(nodes, 60), np.tile(nodes, 60)))
    W = np.outer(weights, weights).ravel() / weights.sum() ** 2
    return root(lambda beta: (W * (expit(Z @ beta) - wrong_logistic(Z))) @ Z, BETA, tol=1e-13).x


def draw(case, rng):
    loss, _, what = case.partition("-")
    X, group = rng.standard_normal((N, 2)), np.repeat(np.arange(CLUSTERS), N // CLUSTERS)
    if what == "clustered":  # half of the first column's variance is between clusters too
        X[:, 0] = np.sqrt(0.5) * (X[:, 0] + rng.standard_normal(CLUSTERS)[group])
    Z = np.column_stack((np.ones(N), X))
    mean = np.exp(Z @ BETA)
    if loss == "logistic":
        return X, rng.random(N) < (wrong_logistic(Z) if what else expit(Z @ BETA)), group
    if loss == "poisson":
        if what:
            mean = mean * (rng.gamma(4.0, 0.25, CLUSTERS)[group] if what == "clustered" else rng.gamma(2.0, 0.5, N))
        return X, rng.poisson(mean), group
    shape = np.exp(1.0 - 0.7 * X[:, 0]) if what == "misspecified" else 2.0
    y = rng.gamma(shape, mean / shape)
    return X, y * rng.gamma(4.0, 0.25, CLUSTERS)[group] if what == "clustered" else y, group


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "case",
    [
        "logistic",
        "poisson",
        "gamma",
        "logistic-misspecified",
        "poisson-misspecified",
        "gamma-misspecified",
        "poisson-clustered",
        "gamma-clustered",
    ],
)
def test_coverage(case):
    rng, held = np.random.default_rng(17), np.zeros(3)
    loss, _, what = case.partition("-")
    beta = nearest_logistic() if case == "logistic-misspecified" else BETA
    model = LogisticRegression(C=np.inf, tol=1e-6) if loss == "logistic" else GeneralizedLinearRegressor(loss, tol=1e-6)
    model.set_params(engine="serial")
    for _ in range(REPLICATES):
        X, y, group = draw(case, rng)
        asked = {"misspecified": {"covariance": "HC3"}, "clustered": {"covariance": "CRV3", "clusters": group}}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            interval = np.asarray(model.fit(X, y).inference(X, y, **asked.get(what, {})).confint())
        held += (interval[:, 0] <= beta) & (beta <= interval[:, 1])
    print(case, held / REPLICATES)
    assert ((held / REPLICATES >= 0.93) & (held / REPLICATES <= 0.97)).all()
