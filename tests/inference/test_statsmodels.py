"""statsmodels as the reference: coefficients, errors of every kind, tests, criteria and effects."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from statsmodels.stats.sandwich_covariance import cov_cluster_2groups

from fullbatch import GeneralizedLinearRegressor, LogisticRegression

TOL = 1e-10
FAMILIES = {
    "logistic": sm.families.Binomial(),
    "poisson": sm.families.Poisson(),
    "gamma": sm.families.Gamma(sm.families.links.Log()),
    "tweedie": sm.families.Tweedie(sm.families.links.Log(), 1.5),
    "squared": sm.families.Gaussian(),
}


def model_of(loss):
    return LogisticRegression(C=np.inf, tol=TOL) if loss == "logistic" else GeneralizedLinearRegressor(loss, tol=TOL)


def made_up(loss, n=400, seed=0):
    """Rows, their clusters by two ways, weights that count, and an offset."""
    rng = np.random.default_rng(seed)
    X = np.column_stack((rng.standard_normal((n, 2)), rng.integers(0, 2, n), rng.gamma(2.0, 1.0, n)))
    group, other = rng.integers(0, 25, n), rng.integers(0, 12, n)
    eta = X @ [0.3, -0.4, 0.5, 0.1] - 0.4 + 0.4 * rng.standard_normal(25)[group]
    offset = rng.uniform(-0.5, 0.5, n)
    mean = np.exp(eta + offset)
    y = {
        "logistic": lambda: (rng.random(n) < 1 / (1 + 1 / mean)).astype(float),
        "poisson": lambda: rng.poisson(mean).astype(float),
        "gamma": lambda: rng.gamma(2.0, mean / 2.0),
        "tweedie": lambda: np.array([rng.gamma(1.0, m, rng.poisson(1.0)).sum() for m in mean]),
        "squared": lambda: eta + offset + rng.standard_normal(n) * (1 + X[:, 2]),
    }[loss]()
    return X, y, offset, rng.integers(1, 4, n).astype(float), group, other


def both(loss):
    X, y, offset, _, group, other = made_up(loss)
    told = model_of(loss).fit(X, y, offset=offset).inference(X, y, offset=offset, clusters=[group, other])
    reference = sm.GLM(y, sm.add_constant(X), family=FAMILIES[loss], offset=offset)
    return told, reference, group, other


@pytest.mark.parametrize("loss", FAMILIES)
def test_errors_of_every_kind(loss):
    told, reference, group, other = both(loss)
    fit = reference.fit(tol=1e-14)
    assert_allclose(told.coef, fit.params, rtol=1e-6)
    assert_allclose(told.with_covariance("classical").matrix, fit.cov_params(), rtol=1e-6)
    observed = np.linalg.inv(-reference.hessian(fit.params, scale=fit.scale, observed=True))
    assert_allclose(told.with_covariance("observed").matrix, observed, rtol=1e-6)
    score, bread = reference.score_obs(fit.params, scale=1.0), observed / fit.scale
    meat = score.T @ score
    N, K = score.shape
    assert_allclose(told.with_covariance("HC0").matrix, bread @ meat @ bread, rtol=1e-6)
    assert_allclose(told.with_covariance("HC1").matrix, N / (N - K) * bread @ meat @ bread, rtol=1e-6)
    if loss not in ("gamma", "tweedie"):  # elsewhere its bread is the expected information
        robust = reference.fit(tol=1e-14, cov_type="HC0")
        assert_allclose(told.with_covariance("HC0").std_err, robust.bse, rtol=1e-6)
        by_group = reference.fit(tol=1e-14, cov_type="cluster", cov_kwds={"groups": group})
        one = told_by(told, loss, group)
        assert_allclose(one.std_err, by_group.bse, rtol=1e-6)
    two = cov_cluster_2groups_of(score, bread, group, other)
    assert_allclose(told.with_covariance("cluster").matrix, two, rtol=1e-6, atol=1e-12)


def told_by(told, loss, group):
    X, y, offset, *_ = made_up(loss)
    return model_of(loss).fit(X, y, offset=offset).inference(X, y, offset=offset, clusters=group)


def cov_cluster_2groups_of(score, bread, group, other):
    """By the sums of scores of each cluster; the third are the clusters of both."""
    N, K = score.shape
    total = 0
    for ids, sign in ((group, 1), (other, 1), (group * 1000 + other, -1)):
        sums = np.array([score[ids == one].sum(axis=0) for one in np.unique(ids)])
        total = total + sign * len(sums) / (len(sums) - 1) * sums.T @ sums
    values, vectors = np.linalg.eigh((N - 1) / (N - K) * bread @ total @ bread)
    return (vectors * np.maximum(values, 0)) @ vectors.T


def test_two_ways_of_least_squares():
    X, y, _, _, group, other = made_up("squared")
    told = model_of("squared").fit(X, y).inference(X, y, clusters=[group, other])
    fit = sm.OLS(y, sm.add_constant(X)).fit()
    values, vectors = np.linalg.eigh(cov_cluster_2groups(fit, group, other)[0])
    assert values[0] < 0  # which no covariance has
    assert_allclose(told.matrix, (vectors * np.maximum(values, 0)) @ vectors.T, rtol=1e-6)
    for kind in ("HC0", "HC1", "HC2", "HC3"):
        assert_allclose(told.with_covariance(kind).std_err, getattr(fit, f"{kind}_se"), rtol=1e-6, err_msg=kind)
    assert_allclose(told.with_covariance("classical").std_err, fit.bse, rtol=1e-6)
    assert_allclose(told.d2, fit.rsquared, rtol=1e-8)
    assert_allclose(told.log_likelihood(), fit.llf, rtol=1e-8)
    assert_allclose(told.with_covariance("classical").test("x0 = x1").statistic, float(fit.f_test("x1 = x2").fvalue))


@pytest.mark.parametrize("loss", FAMILIES)
def test_the_fit_as_a_whole(loss):
    told, reference, *_ = both(loss)
    told, fit = told.with_covariance("classical"), reference.fit(tol=1e-14)
    assert_allclose(told.deviance, fit.deviance, rtol=1e-8)
    assert_allclose(told.null_deviance, fit.null_deviance, rtol=1e-7)
    assert_allclose(told.dispersions["pearson"], fit.pearson_chi2 / fit.df_resid, rtol=1e-6)
    if loss != "tweedie":
        scale = fit.deviance / fit.nobs if loss == "squared" else fit.scale
        assert_allclose(told.log_likelihood(scale), fit.llf, rtol=1e-8)
    if loss in ("logistic", "poisson"):
        assert_allclose([told.aic, told.bic], [fit.aic, fit.bic_llf], rtol=1e-8)
        assert_allclose(told.pseudo_r2, 1 - fit.llf / fit.llnull, rtol=1e-6)
    with_t = told.df < np.inf
    table = reference.fit(tol=1e-14, use_t=with_t)
    assert_allclose(told.coef_table()["p_value"], table.pvalues, rtol=1e-5)
    assert_allclose(told.confint()["upper"], table.conf_int()[:, 1], rtol=1e-6)


@pytest.mark.parametrize("loss", FAMILIES)
def test_tests_of_hypotheses(loss):
    told, reference, *_ = both(loss)
    told, fit = told.with_covariance("classical"), reference.fit(tol=1e-14)
    wald = told.test("x0 = 0.5 * x1, x3 = 0")
    statistic = fit.wald_test("x1 = 0.5 * x2, x4 = 0", use_f=False, scalar=True).statistic
    assert_allclose(wald.statistic * (2 if wald.distribution == "F" else 1), statistic, rtol=1e-6)
    X, y, offset, *_ = made_up(loss)
    small = sm.GLM(y, sm.add_constant(X[:, :2]), family=FAMILIES[loss], offset=offset).fit(tol=1e-14)
    ratio = told.test(["x2", "x3"], "likelihood-ratio")
    factor = 2 if ratio.distribution == "F" else 1
    assert_allclose(ratio.statistic * factor, (small.deviance - fit.deviance) / told.dispersion, rtol=1e-6)
    score = told.test(["x2", "x3"], "score")
    expected = score_statistic(reference, small, told)
    assert_allclose(score.statistic, expected, rtol=1e-6)
    assert_allclose(told.test("x2").statistic, told.coef_table().loc["x2"].iloc[2] ** 2, rtol=1e-9)


def score_statistic(reference, small, told):
    """Rao's, from statsmodels' scores and expected information at the restricted estimate."""
    beta = np.concatenate((small.params, [0.0, 0.0]))
    gradient = reference.score(beta, scale=1.0)
    information = -reference.hessian(beta, scale=1.0, observed=False)
    return gradient @ np.linalg.solve(information, gradient) / told.dispersion


@pytest.mark.parametrize("loss", ["logistic", "poisson"])
def test_effects_and_predictions(loss):
    X, y, *_ = made_up(loss)
    told = model_of(loss).fit(X, y).inference(X, y)
    kind = sm.Logit if loss == "logistic" else sm.Poisson
    fit = kind(y, sm.add_constant(X)).fit(disp=0, method="newton", tol=1e-14)
    effects = fit.get_margeff()
    table = told.marginal_effects()
    assert_allclose(table["effect"], effects.margeff, rtol=1e-6)
    assert_allclose(table["std_err"], effects.margeff_se, rtol=1e-6)
    effects = fit.get_margeff(dummy=True)
    table = told.marginal_effects(discrete=["x2"]).loc[["x0", "x1", "x2", "x3"]]
    assert_allclose(table["effect"], effects.margeff, rtol=1e-6)
    assert_allclose(table["std_err"], effects.margeff_se, rtol=1e-6)
    glm = sm.GLM(y, sm.add_constant(X), family=FAMILIES[loss]).fit(tol=1e-14)
    new = X[:7] + 0.1
    frame = glm.get_prediction(sm.add_constant(new, has_constant="add")).summary_frame()
    predicted = told.predict(new)
    assert_allclose(predicted["mean"], frame["mean"], rtol=1e-6)
    assert_allclose(predicted["std_err"], frame["mean_se"], rtol=1e-6)
    assert_allclose(predicted[["lower", "upper"]], frame[["mean_ci_lower", "mean_ci_upper"]], rtol=1e-6)


def test_several_classes():
    data = sm.datasets.anes96.load_pandas()
    X, y = data.exog[["logpopul", "selfLR", "age", "educ", "income"]], data.endog.astype(int)
    told = LogisticRegression(C=np.inf, tol=TOL).fit(X, y).inference(X, y)
    fit = sm.MNLogit(y, sm.add_constant(X)).fit(disp=0, method="newton", tol=1e-14, maxiter=100)
    assert_allclose(told.coef, fit.params.to_numpy().T.ravel(), rtol=1e-5, atol=1e-8)
    assert_allclose(told.std_err, fit.bse.to_numpy().T.ravel(), rtol=1e-6)
    assert_allclose(told.log_likelihood(), fit.llf, rtol=1e-8)
    assert_allclose([told.aic, told.pseudo_r2], [fit.aic, fit.prsquared], rtol=1e-7)
    effects, margins = told.marginal_effects(), fit.get_margeff()  # theirs are a column for each class
    assert effects.index.tolist() == [f"{label}:{name}" for label in range(7) for name in X]
    assert_allclose(effects["effect"], margins.margeff.T.ravel(), rtol=1e-6, atol=1e-9)
    assert_allclose(effects["std_err"], margins.margeff_se.T.ravel(), rtol=1e-6)
    assert_allclose(told.average_predictions()["mean"], np.bincount(y) / len(y), rtol=1e-6)
    robust = sm.MNLogit(y, sm.add_constant(X)).fit(disp=0, method="newton", tol=1e-14, maxiter=100, cov_type="HC0")
    assert_allclose(told.with_covariance("HC0").std_err, robust.bse.to_numpy().T.ravel(), rtol=1e-6)


def longley():
    data = sm.datasets.longley.load_pandas()
    return "squared", data.exog, data.endog


def cpunish():
    data = sm.datasets.cpunish.load_pandas()
    return "poisson", data.exog.assign(INCOME=np.log(data.exog["INCOME"])), data.endog


def scotland():
    data = sm.datasets.scotland.load_pandas()
    return "gamma", data.exog, data.endog


def spector():
    data = sm.datasets.spector.load_pandas()
    return "logistic", data.exog, data.endog


def randhie():
    data = sm.datasets.randhie.load_pandas()
    return "poisson", data.exog, data.endog


def ccard():
    data = sm.datasets.ccard.load_pandas()
    return "squared", data.exog, data.endog


@pytest.mark.parametrize("data", [longley, cpunish, scotland, spector, randhie, ccard])
def test_known_data(data):
    loss, X, y = data()
    told = model_of(loss).fit(X, y).inference(X, y)
    reference = sm.GLM(y, sm.add_constant(X), family=FAMILIES[loss])
    fit = reference.fit(tol=1e-14, maxiter=200)
    assert_allclose(told.coef, fit.params, rtol=1e-6)
    assert_allclose(told.std_err, fit.bse, rtol=1e-6)
    assert_allclose(told.deviance, fit.deviance, rtol=1e-7)
    if loss != "gamma":
        robust = reference.fit(tol=1e-14, maxiter=200, cov_type="HC0")
        assert_allclose(told.with_covariance("HC0").std_err, robust.bse, rtol=1e-6)


def test_weights_of_precision():
    X, y, _, weight, *_ = made_up("squared")
    told = model_of("squared").fit(X, y, weight).inference(X, y, weight, weights="precision")
    fit = sm.WLS(y, sm.add_constant(X), weights=weight).fit()
    assert_allclose(told.std_err, fit.bse, rtol=1e-6)
    assert_allclose(told.log_likelihood(), fit.llf, rtol=1e-8)
    for kind in ("HC1", "HC3"):
        assert_allclose(told.with_covariance(kind).std_err, getattr(fit, f"{kind}_se"), rtol=1e-6, err_msg=kind)


def test_weights_that_count():
    X, y, _, weight, *_ = made_up("poisson")
    told = model_of("poisson").fit(X, y, weight).inference(X, y, weight)
    fit = sm.GLM(y, sm.add_constant(X), family=FAMILIES["poisson"], freq_weights=weight).fit(tol=1e-14)
    assert_allclose(told.std_err, fit.bse, rtol=1e-6)
    assert_allclose([told.aic, told.deviance], [fit.aic, fit.deviance], rtol=1e-8)
    longer = np.repeat(np.arange(len(y)), weight.astype(int))
    # Its "HC1" of such models is HC0.
    robust = sm.GLM(y[longer], sm.add_constant(X[longer]), family=FAMILIES["poisson"]).fit(tol=1e-14, cov_type="HC0")
    assert_allclose(told.with_covariance("HC0").std_err, robust.bse, rtol=1e-6)


def test_categories_against_dummies():
    rng = np.random.default_rng(3)
    n = 300
    frame = pd.DataFrame({"x": rng.standard_normal(n), "region": rng.choice(["n", "s", "w"], n)})
    y = rng.poisson(np.exp(0.3 * frame["x"] + (frame["region"] == "s") * 0.5)).astype(float)
    told = model_of("poisson").fit(frame, y).inference(frame, y, reference={"region": "s"})
    assert told.names == ["intercept", "x", "region=n", "region=w"]
    dummies = np.column_stack((frame["x"], frame["region"] == "n", frame["region"] == "w")).astype(float)
    fit = sm.GLM(y, sm.add_constant(dummies), family=FAMILIES["poisson"]).fit(tol=1e-14)
    assert_allclose(told.coef, fit.params, rtol=1e-6)
    assert_allclose(told.std_err, fit.bse, rtol=1e-6)
    discrete = sm.Poisson(y, sm.add_constant(dummies)).fit(disp=0, tol=1e-14, method="newton")
    assert_allclose(told.marginal_effects(["x"])["std_err"], discrete.get_margeff().margeff_se[:1], rtol=1e-6)
    by_hand = [
        np.exp(
            sm.add_constant(np.column_stack((frame["x"], a * np.ones(n), b * np.ones(n))), has_constant="add")
            @ fit.params
        ).mean()
        for a, b in ((1, 0), (0, 0), (0, 1))
    ]
    assert_allclose(told.average_predictions("region")["mean"], by_hand, rtol=1e-6)
    effects = told.marginal_effects(["region"])
    assert list(effects.index) == ["region=n", "region=w"]
    assert_allclose(effects["effect"], [by_hand[0] - by_hand[1], by_hand[2] - by_hand[1]], rtol=1e-6)


def test_profile_intervals_by_a_search_of_ones_own():
    from scipy.optimize import brentq
    from scipy.stats import chi2

    X, y, *_ = made_up("poisson", n=60)
    told = model_of("poisson").fit(X, y).inference(X, y)
    fit = sm.GLM(y, sm.add_constant(X), family=FAMILIES["poisson"]).fit(tol=1e-14)

    def rise(value):
        rest = sm.GLM(y, sm.add_constant(np.delete(X, 0, 1)), family=FAMILIES["poisson"], offset=value * X[:, 0]).fit(
            tol=1e-14
        )
        return rest.deviance - fit.deviance - chi2.ppf(0.95, 1)

    ends = [brentq(rise, *sorted((fit.params[1], fit.params[1] + side)), xtol=1e-12) for side in (-1.5, 1.5)]
    found = told.confint(method="profile", parameters=["x0"])
    assert_allclose(found.loc["x0"].astype(float), ends, rtol=1e-6)


LINKS = sm.families.links
PAIRS = {
    ("binomial", "probit"): (sm.families.Binomial(LINKS.Probit()), None),
    ("binomial", "cloglog"): (sm.families.Binomial(LINKS.CLogLog()), None),
    ("binomial", "logit"): (sm.families.Binomial(), None),
    ("normal", "log"): (sm.families.Gaussian(LINKS.Log()), None),
    ("poisson", "identity"): (sm.families.Poisson(LINKS.Identity()), None),
    ("gamma", "inverse"): (sm.families.Gamma(LINKS.InversePower()), None),
    ("gamma", "identity"): (sm.families.Gamma(LINKS.Identity()), None),
    ("inverse.gaussian", "log"): (sm.families.InverseGaussian(LINKS.Log()), None),
    ("tweedie", "log"): (sm.families.Tweedie(LINKS.Log(), 2.4), {"power": 2.4}),
    ("negative.binomial", "log"): (sm.families.NegativeBinomial(LINKS.Log(), alpha=0.8), {"theta": 0.8}),
}


@pytest.mark.filterwarnings("ignore::statsmodels.tools.sm_exceptions.DomainWarning")
@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_families_with_links(family, link):
    reference, options = PAIRS[family, link]
    rng = np.random.default_rng(1)
    X, weight = rng.uniform(0, 1, (300, 2)), rng.integers(1, 4, 300).astype(float)
    mean = reference.link.inverse(0.6 + X @ [0.5, -0.3])
    y = {
        "binomial": lambda: rng.binomial(8, mean) / 8,
        "normal": lambda: mean + 0.2 * rng.standard_normal(300),
        "poisson": lambda: rng.poisson(mean).astype(float),
        "negative.binomial": lambda: rng.poisson(mean * rng.gamma(1.25, 0.8, 300)).astype(float),
    }.get(family, lambda: mean * rng.gamma(4, 0.25, 300))()
    model = GeneralizedLinearRegressor(family=family, link=link, loss_options=options, tol=1e-8, engine="serial")
    told = model.fit(X, y, weight).inference(X, y, weight, weights="frequency")
    glm = sm.GLM(y, sm.add_constant(X), reference, freq_weights=weight)
    fit = glm.fit(tol=1e-14, maxiter=300)
    assert_allclose(told.coef, fit.params, rtol=1e-6)
    assert_allclose(told.std_err, fit.bse, rtol=1e-6)
    observed = np.linalg.inv(-glm.hessian(fit.params, scale=fit.scale, observed=True))
    assert_allclose(told.with_covariance("observed").matrix, observed, rtol=2e-5, atol=1e-12)
    assert_allclose(told.deviance, fit.deviance, rtol=1e-9)
    assert_allclose(told.null_deviance, fit.null_deviance, rtol=1e-7)
    assert_allclose(told.dispersions["pearson"], fit.pearson_chi2 / fit.df_resid, rtol=1e-6)
    assert f"{link} link" in told.summary()
    if family == "tweedie":
        with pytest.raises(ValueError, match="no likelihood in closed form"):
            told.log_likelihood()
        return
    # One trial each; a dispersion of the normal family over rows, not degrees of freedom.
    scale = fit.deviance / weight.sum() if family == "normal" else fit.scale
    if family != "binomial":
        assert_allclose(told.log_likelihood(scale), glm.loglike(fit.params, scale=scale), rtol=1e-8)
    else:
        shares = weight @ (y * np.log(fit.fittedvalues) + (1 - y) * np.log1p(-fit.fittedvalues))
        assert_allclose(told.log_likelihood(), shares, rtol=1e-8)


def test_only_logarithms_have_ratios():
    X, y, *_ = made_up("gamma")
    told = (
        GeneralizedLinearRegressor(family="gamma", link="inverse")
        .fit(abs(X) + 0.1, y + 1)
        .inference(abs(X) + 0.1, y + 1)
    )
    with pytest.raises(ValueError, match="exponentiate is for links whose coefficients are logarithms"):
        told.coef_table(exponentiate=True)


def test_precision_weights_of_the_inverse_gaussian_have_no_likelihood():
    X, y, *_ = made_up("gamma")
    told = GeneralizedLinearRegressor(family="inverse.gaussian").fit(X, y).inference(X, y, weights="precision")
    with pytest.raises(ValueError, match=r"the inverse.gaussian likelihood with weights of precision is no function"):
        told.log_likelihood()
    assert "og-likelihood" not in told.summary()


def test_average_effects_follow_the_link():
    X, y, *_ = made_up("logistic")
    model = GeneralizedLinearRegressor(family="binomial", link="probit", tol=1e-9).fit(X, y)
    told = model.inference(X, y).marginal_effects()
    wanted = sm.Probit(y, sm.add_constant(X)).fit(disp=0, tol=1e-12).get_margeff()
    assert_allclose(told["effect"], wanted.margeff, rtol=1e-6)
    observed = model.inference(X, y, covariance="observed").marginal_effects()
    assert_allclose(observed["std_err"], wanted.margeff_se, rtol=1e-5)


def test_a_fitted_theta_is_a_parameter_of_the_criteria():
    rng = np.random.default_rng(3)
    X = rng.standard_normal((300, 2))
    y = rng.poisson(np.exp(0.5 + X @ [0.3, -0.2]) * rng.gamma(1.25, 0.8, 300)).astype(float)
    model = GeneralizedLinearRegressor(family="negative.binomial", loss_options={"theta": "likelihood"}, tol=1e-10)
    told = model.fit(X, y).inference(X, y)
    fit = sm.NegativeBinomial(y, sm.add_constant(X)).fit(disp=0, method="newton", maxiter=200)
    assert_allclose([told.log_likelihood(), told.aic, told.bic], [fit.llf, fit.aic, fit.bic], rtol=1e-7)
    assert_allclose(told.aicc, fit.aic + 2 * 4 * 5 / (300 - 5), rtol=1e-7)
    given = GeneralizedLinearRegressor(family=f"negative.binomial({model.theta_!r})", tol=1e-10).fit(X, y)
    assert_allclose(given.inference(X, y).aic, fit.aic - 2, rtol=1e-7)
    assert_allclose(given.inference(X, y).std_err, told.std_err, rtol=1e-6)
