"""Fourteen data sets that come with statsmodels, in its hands and ours: to 1e-6."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose

from fullbatch import GeneralizedLinearRegressor, LogisticRegression

TOL = 1e-11
FAMILIES = {
    "logistic": sm.families.Binomial(),
    "poisson": sm.families.Poisson(),
    "gamma": sm.families.Gamma(sm.families.links.Log()),
    "tweedie": sm.families.Tweedie(sm.families.links.Log(), 1.5),
    "squared": sm.families.Gaussian(),
}


def of(name, loss, change=lambda X, y: (X, y)):
    def load():
        data = getattr(sm.datasets, name).load_pandas()
        X, y = change(data.exog, data.endog)
        X = X.astype(float).reset_index(drop=True)
        return loss, X / X.abs().max(), np.asarray(y, float)

    load.__name__ = f"{name}-{loss}"
    return load


def fair(target):
    def load():
        frame = sm.datasets.fair.load_pandas().data.iloc[::20].reset_index(drop=True)
        X = frame.drop(columns="affairs")
        y = frame["affairs"].to_numpy()
        return (target, X, (y > 0).astype(float)) if target == "logistic" else (target, X, y)

    load.__name__ = f"fair-{target}"
    return load


def grunfeld(loss):
    def load():
        frame = sm.datasets.grunfeld.load_pandas().data
        return loss, np.log(frame[["value", "capital"]].astype(float)), frame["invest"].to_numpy()

    load.__name__ = f"grunfeld-{loss}"
    return load


SETS = [
    of("longley", "squared"),
    of("cpunish", "poisson", lambda X, y: (X.assign(INCOME=np.log(X["INCOME"])), y)),
    of("scotland", "gamma"),
    of("spector", "logistic"),
    of("randhie", "poisson", lambda X, y: (X.iloc[::4], y.iloc[::4])),
    of("ccard", "squared"),
    of("stackloss", "squared"),
    of("stackloss", "gamma"),
    of("copper", "squared"),
    of("engel", "gamma"),
    of("committee", "poisson", lambda X, y: (X.drop(columns=["CONST"], errors="ignore"), y)),
    fair("logistic"),
    fair("tweedie"),
    grunfeld("squared"),
    grunfeld("gamma"),
]


@pytest.fixture(scope="module", params=SETS, ids=lambda load: load.__name__)
def both(request):
    """What we tell, what statsmodels does, and ids of some clusters."""
    loss, X, y = request.param()
    ids = np.arange(len(y)) % max(4, min(30, len(y) // 3))
    kind = LogisticRegression(C=np.inf) if loss == "logistic" else GeneralizedLinearRegressor(loss)
    told = kind.set_params(tol=TOL, engine="serial").fit(X, y).inference(X, y, clusters=ids, covariance="classical")
    Z = sm.add_constant(X.to_numpy(float), has_constant="raise")
    model = sm.GLM(y, Z, family=FAMILIES[loss])
    return loss, told, model, model.fit(tol=1e-15, maxiter=300), ids


def alike(found, expected, errors):
    """Covariances, relative to those errors."""
    scale = np.outer(errors, errors)
    assert_allclose(found / scale, expected / scale, rtol=0, atol=1e-6)


def test_estimates_and_errors_of_every_kind(both):
    _, told, model, fit, ids = both
    assert_allclose(told.coef, fit.params, rtol=1e-6, atol=1e-6 * fit.bse.max() * 1e-3)
    alike(told.matrix, fit.cov_params(), fit.bse)
    information = -model.hessian(fit.params, scale=1.0, observed=True)
    bread = np.linalg.inv(information)
    alike(told.with_covariance("observed").matrix, fit.scale * bread, fit.bse)
    score = model.score_obs(fit.params, scale=1.0)
    N, K = score.shape
    expected = bread @ score.T @ score @ bread
    errors = np.sqrt(expected.diagonal())
    alike(told.with_covariance("HC0").matrix, expected, errors)
    alike(told.with_covariance("HC1").matrix, N / (N - K) * expected, errors)
    Z = model.exog
    root = Z * np.sqrt(model.hessian_factor(fit.params, scale=1.0, observed=False))[:, None]
    leverage = np.einsum("ij,jk,ik->i", root, np.linalg.inv(root.T @ root), root)
    for kind, power in (("HC2", 1), ("HC3", 2)):
        by_leverage = score.T @ (score / (1 - leverage)[:, None] ** power)
        alike(told.with_covariance(kind).matrix, bread @ by_leverage @ bread, errors)
    sums = np.array([score[ids == one].sum(axis=0) for one in np.unique(ids)])
    G = len(sums)
    clustered = G / (G - 1) * (N - 1) / (N - K) * bread @ sums.T @ sums @ bread
    alike(told.with_covariance("cluster").matrix, clustered, np.sqrt(clustered.diagonal()))


def test_tests(both):
    loss, told, model, fit, _ = both
    first, last = told.names[0], told.names[-1]
    wald = told.test(f"`{first}` = 2 * `{last}`, `{last}` = 0")
    names = model.exog_names
    restriction = np.zeros((2, len(names)))
    restriction[0, [0, -1]], restriction[1, -1] = [1, -2], 1
    expected = fit.wald_test(restriction, use_f=False, scalar=True).statistic
    assert_allclose(wald.statistic * (2 if wald.distribution == "F" else 1), expected, rtol=1e-5)
    small = sm.GLM(model.endog, model.exog[:, :-1], family=FAMILIES[loss]).fit(tol=1e-15, maxiter=300)
    ratio = told.test(f"`{last}` = 0", "likelihood-ratio")
    gap = (small.deviance - fit.deviance) / told.dispersion
    assert_allclose(ratio.statistic, gap, rtol=1e-6, atol=1e-8 * fit.deviance / told.dispersion)
    at = np.append(small.params, 0.0)
    gradient = model.score(at, scale=1.0)
    expected = gradient @ np.linalg.solve(-model.hessian(at, scale=1.0, observed=False), gradient) / told.dispersion
    assert_allclose(told.test(f"`{last}` = 0", "score").statistic, expected, rtol=1e-5, atol=1e-8)


def test_the_fit_as_a_whole(both):
    loss, told, model, fit, _ = both
    assert_allclose(told.deviance, fit.deviance, rtol=1e-7)
    assert_allclose(told.null_deviance, fit.null_deviance, rtol=1e-7)
    assert_allclose(told.dispersions["pearson"], fit.pearson_chi2 / fit.df_resid, rtol=1e-6)
    assert_allclose(told.dispersions["deviance"], fit.deviance / fit.df_resid, rtol=1e-6)
    if loss == "tweedie":
        return
    scale = {"squared": fit.deviance / fit.nobs, "gamma": fit.scale}.get(loss, 1.0)
    assert_allclose(told.log_likelihood(scale), model.loglike(fit.params, scale=scale), rtol=1e-7)
    if loss in ("logistic", "poisson"):
        assert_allclose([told.aic, told.bic], [fit.aic, fit.bic_llf], rtol=1e-8)
        assert_allclose(told.pseudo_r2, 1 - fit.llf / fit.llnull, rtol=1e-6)
    if loss == "squared":
        plain = sm.OLS(model.endog, model.exog).fit()
        assert_allclose([told.aic - 2, told.log_likelihood()], [plain.aic, plain.llf], rtol=1e-7)  # it counts no sigma
        assert_allclose(told.bic - np.log(plain.nobs), plain.bic, rtol=1e-7)


def test_marginal_effects(both):
    """By the chain rule in complex steps, from statsmodels' estimates and their covariance."""
    loss, told, model, fit, _ = both
    means = {"squared": lambda eta: 1 + 0 * eta, "logistic": lambda eta: np.exp(-eta) / (1 + np.exp(-eta)) ** 2}
    slope = means.get(loss, np.exp)

    def effects(beta):
        return slope(model.exog @ beta).mean() * beta[1:]

    step = 1e-30
    gradient = np.column_stack([effects(fit.params + 1j * step * unit).imag / step for unit in np.eye(len(fit.params))])
    table = told.marginal_effects()
    errors = np.sqrt(np.einsum("ij,jk,ik->i", gradient, fit.cov_params(), gradient))
    assert_allclose(table["effect"], effects(fit.params), rtol=1e-6, atol=1e-6 * errors.max())
    assert_allclose(table["std_err"], errors, rtol=1e-5)
    if loss in ("logistic", "poisson"):
        kind = sm.Logit if loss == "logistic" else sm.Poisson
        start = {"start_params": fit.params, "disp": 0, "method": "newton", "tol": 1e-15}
        theirs = kind(model.endog, model.exog).fit(**start).get_margeff()
        assert_allclose(table["effect"], theirs.margeff, rtol=1e-6)
        assert_allclose(table["std_err"], theirs.margeff_se, rtol=1e-5)


def test_grouped_labels_by_weights_that_count():
    """The schools of star98: pupils above and below the median, as rows with weights."""
    data = sm.datasets.star98.load_pandas()
    X = data.exog[["LOWINC", "PERASIAN", "PERBLACK", "PERHISP", "PCTCHRT"]].reset_index(drop=True)
    both = pd.concat((X, X), ignore_index=True)
    y, weight = np.repeat([1.0, 0.0], len(X)), data.endog.to_numpy().T.ravel().astype(float)
    told = LogisticRegression(C=np.inf, tol=TOL).fit(both, y, weight).inference(both, y, weight)
    fit = sm.GLM(data.endog, sm.add_constant(X), family=sm.families.Binomial()).fit(tol=1e-15)
    assert_allclose(told.coef, fit.params, rtol=1e-6)
    assert_allclose(told.std_err, fit.bse, rtol=1e-6)
    assert_allclose(told.null_deviance - told.deviance, fit.null_deviance - fit.deviance, rtol=1e-8)
