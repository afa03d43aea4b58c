"""Shares whose weights are numbers of trials: held against statsmodels' GLM of successes and failures, and trials."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose

from fullbatch import DataError, GeneralizedLinearRegressor, file_sources

N = 120


@pytest.fixture(scope="module")
def drawn():
    """A column, trials and successes that vary more than independent trials."""
    rng = np.random.default_rng(0)
    x, trials = rng.standard_normal(N), rng.integers(5, 40, N)
    p = 1 / (1 + np.exp(-(0.3 * x + 0.8 * rng.standard_normal(N))))
    return pd.DataFrame({"x": x}), rng.binomial(trials, p), trials


def told(drawn, link="auto", **asked):
    X, k, trials = drawn
    model = GeneralizedLinearRegressor(family="binomial", link=link, tol=1e-10).fit(X, k / trials, trials)
    return model.inference(X, k / trials, trials, **asked)


def reference(drawn, link=None):
    X, k, trials = drawn
    family = sm.families.Binomial(link or sm.families.links.Logit())
    return sm.GLM(np.column_stack((k, trials - k)), sm.add_constant(X), family)


def test_errors_are_those_of_successes_and_failures(drawn):
    one, glm = told(drawn), reference(drawn)
    assert one.weights == "precision"
    assert one.count == N
    assert_allclose(one.std_err, glm.fit(tol=1e-14).bse, rtol=1e-7)
    robust = glm.fit(tol=1e-14, cov_type="HC0")
    assert_allclose(one.with_covariance("HC0").std_err, robust.bse, rtol=1e-7)
    assert_allclose(one.with_covariance("HC1").std_err, np.sqrt(N / (N - 2)) * robust.bse, rtol=1e-7)
    fit = glm.fit(tol=1e-14)
    dispersion = fit.pearson_chi2 / fit.df_resid
    assert_allclose(one.dispersions["pearson"], dispersion, rtol=1e-7)
    assert_allclose(one.with_covariance("classical", "pearson").std_err, np.sqrt(dispersion) * fit.bse, rtol=1e-7)
    assert_allclose(one.aic - one.bic, 2 * 2 - 2 * np.log(N), rtol=1e-9)


def test_leverages_are_those_of_successes_and_failures(drawn):
    one, fit = told(drawn), reference(drawn).fit(tol=1e-14)
    influence = fit.get_influence(observed=False)
    assert_allclose(one.influence()["leverage"], influence.hat_matrix_diag, rtol=1e-6)
    assert_allclose(one.influence()["cooks_distance"], influence.cooks_distance[0], rtol=1e-6)
    X = sm.add_constant(drawn[0]).to_numpy()
    bread = fit.cov_params().to_numpy()
    left = 1 - influence.hat_matrix_diag
    residual = drawn[1] - drawn[2] * fit.fittedvalues.to_numpy()
    for kind, power in (("HC2", 1), ("HC3", 2)):
        meat = (X * (residual**2 / left**power)[:, None]).T @ X
        assert_allclose(one.with_covariance(kind).matrix, bread @ meat @ bread, rtol=1e-6, err_msg=kind)


def test_sandwiches_are_those_of_trials_whose_clusters_are_the_rows(drawn):
    X, k, trials = drawn
    row = np.repeat(np.arange(N), trials)
    label = np.concatenate([np.repeat([1.0, 0.0], (one, all_ - one)) for one, all_ in zip(k, trials, strict=True)])
    single = sm.GLM(label, sm.add_constant(X["x"].to_numpy()[row]), sm.families.Binomial())
    asked = {"groups": row, "use_correction": False}
    wanted = single.fit(tol=1e-14, cov_type="cluster", cov_kwds=asked)
    assert_allclose(told(drawn, covariance="HC0").std_err, wanted.bse, rtol=1e-7)
    few = told(drawn, covariance="HC0", columns=["x"])
    assert few.weights == "precision"
    assert_allclose(few.std_err, wanted.bse[1:], rtol=1e-7)


def test_other_links_too(drawn):
    glm = reference(drawn, sm.families.links.CLogLog())
    fit = glm.fit(tol=1e-14)
    one = told(drawn, "cloglog", covariance="HC0")
    bread = np.linalg.inv(-glm.hessian(fit.params, observed=True))
    score = glm.score_obs(fit.params)
    assert_allclose(one.matrix, bread @ score.T @ score @ bread, rtol=1e-5)


def test_files_say_the_same(drawn, tmp_path):
    X, k, trials = drawn
    X.assign(share=k / trials, trials=trials).to_parquet(tmp_path / "rows.parquet")
    sources = file_sources(str(tmp_path / "*.parquet"), target="share", weight="trials")
    model = GeneralizedLinearRegressor(family="binomial", tol=1e-10).fit(sources)
    assert_allclose(model.inference(sources, covariance="HC1").std_err, told(drawn, covariance="HC1").std_err)


def test_what_was_taken_is_said(drawn):
    one = told(drawn)
    assert "Weights: precision" in one.summary()
    assert one.as_dict()["weights"] == "precision"
    assert [notice.code for notice in one.notices] == ["over-dispersed"]
    assert "the shares vary more than those of independent trials" in one.summary().replace("\n  ", " ")
    assert told(drawn, dispersion="pearson").notices == ()


def test_frequency_is_honoured_with_a_notice(drawn):
    one = told(drawn, weights="frequency", covariance="HC0")
    X, k, trials = drawn
    again = np.repeat(np.arange(N), trials)
    rows = sm.GLM((k / trials)[again], sm.add_constant(X.to_numpy()[again]), sm.families.Binomial())
    wanted = rows.fit(tol=1e-14, cov_type="HC0")
    assert_allclose(one.std_err, wanted.bse, rtol=1e-6)
    assert one.weights == "frequency"
    (notice,) = one.notices
    assert notice.code == "weights-of-means"
    assert 'if weights are numbers of trials, ask for weights="precision"' in notice.words


def test_labels_and_shares_without_weights_count_rows():
    rng = np.random.default_rng(1)
    X, label, share = rng.standard_normal((80, 1)), rng.integers(0, 2, 80).astype(float), rng.uniform(0.1, 0.9, 80)
    weight = rng.integers(1, 4, 80).astype(float)
    model = GeneralizedLinearRegressor(family="binomial", tol=1e-10)
    counted = model.fit(X, label, weight).inference(X, label, weight)
    assert (counted.weights, counted.count, counted.notices) == ("frequency", weight.sum(), ())
    assert "Weights: frequency" in counted.summary()
    plain = model.fit(X, share).inference(X, share, covariance="HC1")
    assert plain.notices == ()
    assert "Weights" not in plain.summary()
    wanted = sm.GLM(share, sm.add_constant(X), sm.families.Binomial()).fit(tol=1e-14, cov_type="HC0")
    assert_allclose(plain.std_err, np.sqrt(80 / 78) * wanted.bse, rtol=1e-7)
    mixed = np.where(np.arange(80) < 1, 0.5, label)
    assert model.fit(X, mixed, weight).inference(X, mixed, weight).weights == "precision"


def test_two_shares_have_the_error_of_their_log_odds_ratio():
    X, trials, k = np.array([[0.0], [1.0]]), np.array([40.0, 60.0]), np.array([10.0, 33.0])
    model = GeneralizedLinearRegressor(family="binomial", tol=1e-10).fit(X, k / trials, trials)
    one = model.inference(X, k / trials, trials)
    assert_allclose(one.coef[1], np.log(33 * 30 / 27 / 10), rtol=1e-7)
    assert_allclose(one.std_err[1], np.sqrt(1 / 10 + 1 / 30 + 1 / 33 + 1 / 27), rtol=1e-7)
    assert "std_err" in one.summary()
    for asked in ({"covariance": "HC1"}, {"covariance": "HC3"}, {"clusters": [0, 1]}):
        with pytest.raises(DataError, match=r"2 rows for 2 parameters, which fit each of them: covariance=.*residuals"):
            model.inference(X, k / trials, trials, **asked)
    with pytest.raises(DataError, match="as many parameters as rows, which leave no residuals"):
        model.inference(X, k / trials, trials, dispersion="pearson")


def test_rates_whose_weights_count_rows_are_told():
    rng = np.random.default_rng(2)
    X, exposure = rng.standard_normal((100, 1)), rng.uniform(0.5, 4, 100)
    y = rng.poisson(exposure) / exposure
    model = GeneralizedLinearRegressor("poisson", tol=1e-10).fit(X, y, exposure)
    (notice,) = model.inference(X, y, exposure).notices
    assert notice.code == "weights-of-means"
    assert "no whole numbers" in notice.words
    assert "exposures" in notice.words
    told = model.inference(X, y, exposure, weights="precision", covariance="HC0")
    assert told.notices == ()
    counts = sm.GLM(y * exposure, sm.add_constant(X), sm.families.Poisson(), exposure=exposure)
    assert_allclose(told.std_err, counts.fit(tol=1e-14, cov_type="HC0").bse, rtol=1e-7)
    assert "weights-of-means" in [notice.code for notice in model.checks(X, y, exposure).notices()]


def test_checks_count_rows_of_shares(drawn):
    X, k, trials = drawn
    model = GeneralizedLinearRegressor(family="binomial", tol=1e-10).fit(X, k / trials, trials)
    checks = model.checks(X, k / trials, trials)
    assert checks.weights == "precision"
    wanted = reference(drawn).fit(tol=1e-14)
    assert_allclose(checks.measures["dispersion"], wanted.pearson_chi2 / wanted.df_resid, rtol=1e-6)
    assert [notice.code for notice in checks.notices()] == ["over-dispersed"]
    assert "Weights: precision" in checks.summary()
    assert len(checks.quantile_residuals()) == N  # of shares of so many trials
    counted = model.checks(X, k / trials, trials, weights="frequency")
    assert [notice.code for notice in counted.notices()] == ["weights-of-means"]
