"""Elastic nets of R's glmnet, as statsmodels ships them: its data, its strengths, its coefficients."""

from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import statsmodels
from formulas import loss_of

from fullbatch import GeneralizedLinearRegressor, LogisticRegression, SerialEngine

FOLDER = Path(statsmodels.__file__).parent
ALONE = {"fit_intercept": False, "tol": 1e-7, "engine": SerialEngine()}

# glmnet ends where a round lowers the deviance by 1e-7 of the null model's or less.
THRESH = 2e-5


def results(room):
    there = import_module(f"statsmodels.{room}.tests.results.glmnet_r_results")
    return {name: getattr(there, name) for name in dir(there) if name.startswith("rslt_")}


def standardized(values):
    return (values - values.mean(axis=0)) / values.std(axis=0, ddof=1)


def F(loss, X, y, coef, alpha, l1_ratio, ridge=1.0):
    value = loss_of(loss, y, (X @ coef)[:, None])[0].mean()
    return value + alpha * (l1_ratio * np.abs(coef).sum() + (1 - l1_ratio) * ridge * (coef @ coef) / 2)


def check(loss, model, X, y, theirs, ridge=1.0):
    (l1_ratio, alpha), coef = theirs[:2], np.ravel(model.coef_)
    np.testing.assert_allclose(coef, theirs[2:], atol=THRESH)
    assert ((coef == 0) == (theirs[2:] == 0)).all()
    mine, there = (F(loss, X, y, one, alpha, l1_ratio, ridge) for one in (coef, theirs[2:]))
    assert mine <= there * (1 + 1e-14)
    assert mine == pytest.approx(there, rel=1e-8)
    return np.abs(coef - theirs[2:]).max()


def test_squared_losses():
    """glmnet divides the strength by the standard deviation of the targets, n under the root, L2's included."""
    rows = np.loadtxt(FOLDER / "regression/tests/results/lasso_data.csv", delimiter=",")
    found = results("regression")
    assert len(found) == 81
    off = []
    for n, p, l1_ratio, alpha, *coef in found.values():
        X, y = standardized(rows[: int(n), 1 : int(p) + 1]), standardized(rows[: int(n), 0])
        ridge = 1.0 / y.std()
        model = GeneralizedLinearRegressor(alpha=alpha, l1_ratio=l1_ratio, P2=ridge, **ALONE).fit(X, y)
        off.append(check("squared", model, X, y, np.array([l1_ratio, alpha, *coef]), ridge))
    assert sum(one < 1e-6 for one in off) >= 78  # the others are as far off as glmnet's own threshold lets them be


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_counts_and_classes(loss):
    """R took the first row for names."""
    kind = {"logistic": "binomial"}.get(loss, loss)
    rows = np.loadtxt(FOLDER / f"genmod/tests/results/enet_{kind}.csv", delimiter=",")[1:]
    X, y = standardized(rows[:, 1:]), rows[:, 0]
    found = {name: one for name, one in results("genmod").items() if kind in name}
    assert len(found) == 9
    for theirs in found.values():
        l1_ratio, alpha = theirs[:2]
        if loss == "logistic":
            model = LogisticRegression(l2=alpha, l1_ratio=l1_ratio, **ALONE)
        else:
            model = GeneralizedLinearRegressor(loss, alpha=alpha, l1_ratio=l1_ratio, **ALONE)
        check(loss, model.fit(X, y), X, y, theirs)
