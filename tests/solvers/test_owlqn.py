"""OWL-QN on rare columns, where L2 is most of the curvature."""

import numpy as np
import pytest
from scipy import optimize
from scipy.sparse import csr_array
from scipy.sparse import random as sparse_random
from scipy.special import expit

from fullbatch import LogisticRegression


@pytest.mark.parametrize("columns", [500, 2000])
def test_rare_columns_with_bounds_and_l2(columns):
    X = csr_array(sparse_random(300, columns, density=0.005, format="csr", random_state=1))
    y = (X[:, :30] @ np.full(30, 3.0) > 0.3).astype(int)
    l2 = 1 / 900
    result = LogisticRegression(l2=l2, lower_bounds=0, solver="owl-qn", tol=1e-6, engine="serial").fit(X, y).result_

    def value_and_grad(theta):
        eta = X @ theta[:-1] + theta[-1]
        slope = (expit(eta) - y) / len(y)
        value = (np.logaddexp(0, eta) - y * eta).mean() + 0.5 * l2 * theta[:-1] @ theta[:-1]
        return value, np.append(X.T @ slope + l2 * theta[:-1], slope.sum())

    bounds = [(0, None)] * columns + [(None, None)]
    options = {"maxiter": 10_000, "ftol": 0, "gtol": 1e-10}
    best = optimize.minimize(
        value_and_grad, np.zeros(columns + 1), jac=True, method="L-BFGS-B", bounds=bounds, options=options
    )
    assert result.success
    assert result.value == pytest.approx(best.fun, rel=1e-9)
    assert result.passes <= 50  # without L2 in the first matrix, hundreds
