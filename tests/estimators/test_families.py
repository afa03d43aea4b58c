"""Families and links of GeneralizedLinearRegressor: against statsmodels, scikit-learn, and their definitions."""

import warnings
from contextlib import closing
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy import optimize, stats
from scipy.special import gammaln
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import TweedieRegressor as Theirs
from statsmodels.genmod.families import links

from fullbatch import (
    DataError,
    GeneralizedLinearRegressor,
    GeneralizedLinearRegressorCV,
    Linear,
    Objective,
    SerialEngine,
    ThreadEngine,
    TweedieRegressor,
    array_sources,
    bootstrap,
    cross_validate,
    fit_path,
    load_model,
)
from fullbatch.estimators import _likeliest_theta
from fullbatch.models.deviance import family_of, half_deviance
from fullbatch.objective.hessian import Curved
from fullbatch.protocols import Curvature
from fullbatch.protocols.sampling import Draw

LINKS = {
    "identity": links.Identity(),
    "log": links.Log(),
    "inverse": links.InversePower(),
    "logit": links.Logit(),
    "probit": links.Probit(),
    "cloglog": links.CLogLog(),
}
FAMILIES = {
    "normal": sm.families.Gaussian,
    "binomial": sm.families.Binomial,
    "poisson": sm.families.Poisson,
    "gamma": sm.families.Gamma,
    "inverse.gaussian": sm.families.InverseGaussian,
    "tweedie": lambda link: sm.families.Tweedie(link, var_power=1.6),
    "negative.binomial": lambda link: sm.families.NegativeBinomial(link, alpha=0.7),
}
OPTIONS = {"negative.binomial": {"theta": 0.7}, "tweedie": {"power": 1.6}}
PAIRS = [("binomial", link) for link in ("logit", "probit", "cloglog", "log", "identity")]
PAIRS += [(name, link) for name in FAMILIES if name != "binomial" for link in ("identity", "log", "inverse")]
PAIRS.remove(("poisson", "inverse"))  # statsmodels has it not
COEF = np.array([0.4, -0.3, 0.2])


def drawn(family, link, n=300, offset=False):
    """Columns, targets, weights, and offsets or None."""
    rng = np.random.default_rng(3)
    X, weight = 0.3 * rng.standard_normal((n, 3)), rng.uniform(0.5, 2, n)
    shift = rng.uniform(0, 0.2, n) if offset else None
    eta = X @ COEF + (0.0 if shift is None else shift)
    eta += {"binomial": {"log": -1.3, "identity": 1.0}.get(link, 0.2)}.get(family, 1.4)
    eta *= 0.5 if (family, link) == ("binomial", "identity") else 1.0
    mean = LINKS[link].inverse(eta)
    mean = np.clip(mean, 0.02, 0.98) if family == "binomial" else mean
    y = {
        "normal": lambda: mean + 0.1 * rng.standard_normal(n),
        "binomial": lambda: rng.binomial(10, mean) / 10,
        "poisson": lambda: rng.poisson(mean),
        "gamma": lambda: mean * rng.gamma(5, 0.2, n),
        "inverse.gaussian": lambda: rng.wald(mean, 5 * mean),
        "tweedie": lambda: rng.poisson(5 * mean) * rng.gamma(4, 0.05, n),
        "negative.binomial": lambda: rng.poisson(mean * rng.gamma(2, 0.5, n)),
    }[family]()
    shift = None if shift is None else shift * (0.5 if (family, link) == ("binomial", "identity") else 1.0)
    return X, y.astype(float), weight, shift


def regressor(family, link="auto", **parameters):
    parameters = {"engine": "serial", "tol": 1e-7, "loss_options": OPTIONS.get(family)} | parameters
    return GeneralizedLinearRegressor(family=family, link=link, **parameters)


def of_statsmodels(family, link, X, y, weight, offset):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # links that do not respect the domain
        model = sm.GLM(y, sm.add_constant(X), FAMILIES[family](LINKS[link]), freq_weights=weight, offset=offset)
        return model.fit(tol=1e-14, maxiter=300)


@pytest.mark.parametrize("offset", [False, True])
@pytest.mark.parametrize(("family", "link"), PAIRS)
def test_coefficients_and_deviance_are_those_of_statsmodels(family, link, offset):
    X, y, weight, shift = drawn(family, link, offset=offset)
    wanted = of_statsmodels(family, link, X, y, weight, shift)
    ours = regressor(family, link).fit(X, y, weight, offset=shift)
    assert ours.status_ == "converged"
    np.testing.assert_allclose(np.append(ours.intercept_, ours.coef_), wanted.params, atol=1e-6)
    np.testing.assert_allclose(ours.predict(X, offset=shift), wanted.fittedvalues, rtol=1e-6)
    measured = ours.evaluate(X, y, weight, offset=shift)
    if family == "normal":
        assert measured["rmse"] ** 2 == pytest.approx(wanted.deviance / weight.sum(), rel=1e-9)
    else:
        assert measured["mean_deviance"] == pytest.approx(wanted.deviance / weight.sum(), rel=1e-9)


@pytest.mark.parametrize(("family", "link"), [*PAIRS, ("poisson", "inverse")])
def test_gradient_and_hessian_agree_with_differences(family, link):
    """F by the definition of the deviance, and its derivatives by differences of that, at the optimum with L2."""
    X, y, weight, shift = drawn(family, link, offset=True)
    model = regressor(family, link, alpha=0.1).fit(X, y, weight, offset=shift)
    told = family_of(*model._loss())

    def F(theta):
        mean = LINKS[link].inverse(X @ theta[1:] + theta[0] + shift)
        loss = half_deviance(y, mean, told.variance)
        return float(weight @ loss / weight.sum() + 0.05 * theta[1:] @ theta[1:])

    theta = np.append(model.intercept_, model.coef_)
    grad = optimize.approx_fprime(theta, F, 1e-7)
    assert np.abs(grad).max() < 1e-5
    best = optimize.minimize(F, theta, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15, "maxiter": 2000})
    assert F(theta) <= best.fun + 1e-10
    inference = model.inference(X, y, weight, offset=shift, covariance="observed")
    hessian = weight.sum() * optimize.approx_fprime(theta, lambda at: optimize.approx_fprime(at, F, 1e-5), 1e-5)
    observed = inference.information.sums.observed + 0.1 * weight.sum() * np.diag([0.0, 1, 1, 1])
    np.testing.assert_allclose(observed, hessian, atol=2e-3 * np.abs(hessian).max())


def test_proportions_are_trials():
    """Shares with numbers of trials as weights, the trials one by one, and successes and failures of statsmodels."""
    rng = np.random.default_rng(5)
    X, trials = rng.standard_normal((60, 2)), rng.integers(1, 20, 60)
    successes = rng.binomial(trials, 1 / (1 + np.exp(-X @ [1.0, -0.5])))
    ours = regressor("binomial").fit(X, successes / trials, trials)
    wanted = sm.GLM(np.column_stack((successes, trials - successes)), sm.add_constant(X), sm.families.Binomial())
    fitted = wanted.fit(tol=1e-14)
    np.testing.assert_allclose(np.append(ours.intercept_, ours.coef_), fitted.params, atol=1e-7)
    table = ours.inference(X, successes / trials, trials)
    np.testing.assert_allclose(table.std_err, fitted.bse, rtol=1e-6)
    assert table.deviance == pytest.approx(fitted.deviance, rel=1e-9)
    each = np.repeat(np.arange(60), trials)
    ones = np.concatenate([np.arange(n) < s for n, s in zip(trials, successes, strict=True)]).astype(float)
    single = regressor("binomial").fit(X[each], ones)
    np.testing.assert_allclose(single.coef_, ours.coef_, atol=1e-9)
    assert (ours.predict(X) > 0).all()
    assert (ours.predict(X) < 1).all()


@pytest.mark.parametrize("power", [-1.0, 0.0, 1.0, 1.5, 2.0, 2.5, 3.0])
@pytest.mark.parametrize("link", ["auto", "identity", "log"])
def test_tweedie_regression_is_scikit_learns(power, link):
    rng = np.random.default_rng(6)
    X = rng.uniform(0, 1, (200, 2))
    y = (1.5 + X @ [1.0, -0.5]) * rng.gamma(20, 1 / 20, 200)
    weight = rng.uniform(0.5, 2, 200)
    ours = TweedieRegressor(power=power, link=link, alpha=0.01, tol=1e-8, engine="serial").fit(X, y, weight)
    theirs = Theirs(power=power, link=link, alpha=0.01, tol=1e-10, max_iter=2000).fit(X, y, weight)

    def F(model):
        mean = model.predict(X)
        return weight @ half_deviance(y, mean, power) / weight.sum() + 0.005 * model.coef_ @ model.coef_

    assert F(ours) <= F(theirs) + 1e-12
    np.testing.assert_allclose(ours.coef_, theirs.coef_, atol=2e-5)  # as near as theirs ends
    assert ours.score(X, y, weight) == pytest.approx(theirs.score(X, y, weight), abs=1e-6)


# --- starts ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "link", "eta"),
    [
        ("poisson", "identity", lambda X: 4 * X @ [0.5, 0.6, -0.2]),
        ("gamma", "inverse", lambda X: X @ [0.5, 0.6, -0.2]),
        ("gamma", "identity", lambda X: X @ [0.5, 0.6, -0.2]),
        ("inverse.gaussian", "identity", lambda X: X @ [0.5, 0.6, -0.2]),
        ("binomial", "identity", lambda X: 0.1 + 0.3 * X @ [0.5, 0.6, -0.2]),
        ("binomial", "log", lambda X: -2 + X @ [0.5, 0.6, -0.2]),
    ],
)
def test_without_an_intercept_a_start_is_found(family, link, eta):
    rng = np.random.default_rng(8)
    X = np.column_stack((np.ones(300), rng.uniform(0, 1, (300, 2))))
    mean = LINKS[link].inverse(eta(X))
    y = {
        "poisson": lambda: rng.poisson(mean),
        "gamma": lambda: mean * rng.gamma(3, 1 / 3, 300),
        "inverse.gaussian": lambda: rng.wald(mean, 4 * mean),
        "binomial": lambda: rng.binomial(1, mean),
    }[family]().astype(float)
    without = regressor(family, link, fit_intercept=False).fit(X, y)
    assert without.status_ == "converged"
    assert without.result_.setup_passes > 1
    beside = regressor(family, link).fit(X[:, 1:], y)  # whose start is the mean target
    np.testing.assert_allclose(without.coef_, np.append(beside.intercept_, beside.coef_), atol=1e-6)
    assert without.result_.value == pytest.approx(beside.result_.value, rel=1e-10)


def test_where_there_is_no_start_it_says_so():
    X, y = np.array([[1.0], [-1.0], [2.0], [-2.0]]), np.array([1.0, 2.0, 3.0, 4.0])
    for family, link in (("poisson", "identity"), ("gamma", "inverse"), ("normal", "inverse")):
        with pytest.raises(DataError, match="no coefficients were found at which all rows have means that the family"):
            regressor(family, link, fit_intercept=False).fit(X, y)
    with pytest.raises(DataError, match="no coefficients were found"):
        regressor("poisson", "identity").fit(X, np.zeros(4))


# --- the negative binomial theta -----------------------------------------------------------------------------------


def counts(n=500):
    rng = np.random.default_rng(9)
    X = 0.5 * rng.standard_normal((n, 2))
    return X, rng.poisson(np.exp(1 + X @ [0.5, -0.3]) * rng.gamma(1 / 0.6, 0.6, n)).astype(float)


def test_theta_of_the_largest_likelihood_is_that_of_statsmodels():
    X, y = counts()
    wanted = sm.NegativeBinomial(y, sm.add_constant(X)).fit(disp=0, method="newton", tol=1e-12)
    ours = regressor("negative.binomial", loss_options={"theta": "likelihood"}).fit(X, y)
    np.testing.assert_allclose([ours.intercept_, *ours.coef_, ours.theta_], wanted.params, atol=1e-6)
    assert ours.status_ == "converged"
    told = ours.inference(X, y)
    assert told.log_likelihood() == pytest.approx(wanted.llf, rel=1e-10)
    given = regressor("negative.binomial", loss_options={"theta": ours.theta_}).fit(X, y)
    np.testing.assert_allclose(given.coef_, ours.coef_, atol=1e-9)
    assert given.theta_ == ours.theta_

    def profile(theta):  # with weights: each row as often as it counts
        mean, shape = ours.predict(X), 1 / theta
        each = gammaln(y + shape) - gammaln(shape) + y * np.log(mean / (mean + shape)) - shape * np.log1p(mean / shape)
        return each.sum()

    assert profile(ours.theta_) >= max(profile(ours.theta_ * (1 + step)) for step in (-1e-4, 1e-4))
    twice = np.repeat(np.arange(len(y)), 1 + np.arange(len(y)) % 2)
    weighted = regressor("negative.binomial", loss_options={"theta": "likelihood"}).fit(
        X, y, 1.0 + np.arange(len(y)) % 2
    )
    repeated = regressor("negative.binomial", loss_options={"theta": "likelihood"}).fit(X[twice], y[twice])
    assert weighted.theta_ == pytest.approx(repeated.theta_, rel=1e-7)


def test_theta_does_not_depend_on_blocks_and_its_turns_are_counted(monkeypatch):
    X, y = counts()
    options = {"loss_options": {"theta": "likelihood"}, "tol": 1e-6}
    whole = regressor("negative.binomial", **options).fit(X, y)
    in_parts = regressor("negative.binomial", **options).fit(array_sources(X, y, blocks=3))
    assert in_parts.theta_ == pytest.approx(whole.theta_, rel=1e-9)
    monkeypatch.setattr(_likeliest_theta, "_TURNS", 1)
    with pytest.warns(ConvergenceWarning, match=r"\[not-converged\] theta still moves after 1 turns: .* near [0-9.]+"):
        ended = regressor("negative.binomial", **options).fit(X, y)
    assert ended.status_ == "max_iter"


@pytest.mark.parametrize("best", [-3.0, 0.5, 2.0, 9.0])
def test_where_newtons_step_ends_theta_is_not_looked_at_again(best):
    looked = []

    def at(theta):
        looked.append(theta)
        return _likeliest_theta.Profile(1.0, best - np.log(theta), -1.0)

    assert _likeliest_theta._likeliest(at, 1.0, at(1.0)) == pytest.approx(np.exp(best), rel=1e-9)
    assert len(looked) == 2  # at 1 and where the one step from there leads


def test_how_much_the_likelihood_may_rise_is_told_by_a_parabola():
    """Of the height slope^2 / (2 |curvature|), in sums over rows."""
    assert _likeliest_theta.Profile(8.0, 6.0, -0.25).left == 9.0
    assert _likeliest_theta.Profile(8.0, 6.0, 0.0).left == np.inf


def test_derivatives_of_the_likelihood_are_those_of_scipys():
    rng = np.random.default_rng(0)
    y, mean, weight = rng.poisson(3.0, 40), rng.uniform(1.0, 6.0, 40), rng.uniform(0.5, 2.0, 40)

    def likelihood(log_theta):
        shape = np.exp(-log_theta)
        return weight @ stats.nbinom.logpmf(y, shape, shape / (shape + mean))

    for theta in (0.3, 2.5):
        found, at, step = _likeliest_theta.Profile.of(theta, y, mean, weight), np.log(theta), 1e-3
        below, here, above = (likelihood(at + k * step) for k in (-1, 0, 1))
        assert found.slope == pytest.approx((above - below) / (2 * step), rel=1e-5)
        assert found.curvature == pytest.approx((above - 2 * here + below) / step**2, rel=1e-5)


def test_counts_that_vary_less_than_poissons_have_no_theta():
    X, _ = counts()
    y = np.random.default_rng(0).binomial(8, 0.5, len(X))
    with pytest.raises(DataError, match="no theta is the likeliest: the counts vary no more than Poisson's"):
        regressor("negative.binomial", loss_options={"theta": "likelihood"}).fit(X, y)


def test_theta_is_saved_and_goes_with_predictions(tmp_path):
    X, y = counts()
    model = regressor("negative.binomial", loss_options={"theta": "likelihood"}, tol=1e-5).fit(X, y)
    model.save(tmp_path / "model.fb")
    loaded = load_model(tmp_path / "model.fb")
    assert loaded.theta_ == model.theta_
    assert loaded.score(X, y) == model.score(X, y)
    sources = array_sources(X, y, blocks=3)
    assert loaded.evaluate(sources)["d2"] == pytest.approx(model.score(X, y), rel=1e-12)
    with pytest.raises(ValueError, match="its theta is fitted too: give one"):
        fit_path(model, X, y)
    with pytest.raises(ValueError, match="checkpoint: a fit of theta is many fits"):
        regressor("negative.binomial", loss_options={"theta": "likelihood"}, checkpoint=tmp_path / "run").fit(X, y)


def test_folds_take_a_theta_that_is_given_alone():
    X, y = counts()
    chosen = GeneralizedLinearRegressorCV(family="negative.binomial", alphas=[0.1, 0.01], cv=3)
    with pytest.raises(
        ValueError,
        match="many fits, which this model does not take: its theta is fitted too: give one",
    ):
        clone(chosen).set_params(loss_options={"theta": "likelihood"}).fit(X, y)
    chosen.set_params(loss_options={"theta": 0.6}).fit(X, y)
    assert chosen.theta_ == 0.6
    alone = regressor("negative.binomial", loss_options={"theta": 0.6}, alpha=chosen.alpha_).fit(X, y)
    np.testing.assert_allclose(chosen.coef_, alone.coef_, atol=1e-3)
    assert not hasattr(chosen.set_params(family="poisson", loss_options=None).fit(X, y), "theta_")


# --- the same bits, and everything else a model does ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("family", "link"), [("binomial", "probit"), ("gamma", "identity"), ("negative.binomial", "log")]
)
def test_the_same_bits_on_any_number_of_threads(family, link):
    X, y, weight, _ = drawn(family, link)
    sources = array_sources(X, y, weight, blocks=5)
    first = regressor(family, link).fit(sources)
    for threads in (1, 2, 4):
        with closing(ThreadEngine(threads)) as engine:
            model = regressor(family, link, engine=engine).fit(sources)
        assert model.coef_.tobytes() == first.coef_.tobytes()
        assert model.intercept_ == first.intercept_


@pytest.mark.parametrize(("family", "link"), [("binomial", "cloglog"), ("inverse.gaussian", "log")])
def test_models_are_saved_and_read_again(family, link, tmp_path):
    X, y, weight, _ = drawn(family, link)
    model = regressor(family, link).fit(X, y, weight)
    model.save(tmp_path / "model.fb")
    loaded = load_model(tmp_path / "model.fb")
    assert (loaded.family, loaded.link) == (family, link)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_an_l1_penalty_of_a_loss_that_is_not_convex_is_left_to_gradients():
    X, y, weight, _ = drawn("gamma", "identity")
    model = regressor("gamma", "identity", alpha=0.02, l1_ratio=1.0).fit(X, y, weight)
    assert "owl-qn" in model.result_.solver
    assert model.status_ == "converged"

    def F(theta):
        loss = half_deviance(y, X @ theta[1:] + theta[0], 2.0)
        return weight @ loss / weight.sum() + 0.02 * np.abs(theta[1:]).sum()

    theta = np.append(model.intercept_, model.coef_)
    for step in 1e-4 * np.vstack((np.eye(4), -np.eye(4))):
        assert F(theta + step) > F(theta) - 1e-12
    with pytest.raises(
        ValueError, match="proximal-newton takes losses that are convex, which this family with this link is not"
    ):
        regressor("gamma", "identity", alpha=0.02, l1_ratio=1.0, solver="proximal-newton").fit(X, y, weight)
    convex = regressor("binomial", "probit", alpha=0.02, l1_ratio=1.0).fit(*drawn("binomial", "probit")[:3])
    assert "proximal-newton" in convex.result_.solver


def test_no_bound_is_told_of_a_loss_that_is_not_convex():
    X, y, weight, _ = drawn("gamma", "identity")
    told = regressor("gamma", "identity", alpha=0.1).fit(X, y, weight).result_.certificate
    assert told.bound == np.inf
    assert "not known to be convex" in told.words
    told = regressor("gamma", "inverse", alpha=0.1).fit(X, y, weight).result_.certificate
    assert told.bound < np.inf


@pytest.mark.parametrize("solver", ["lbfgs", "newton-cg", "sampled-lbfgs"])
@pytest.mark.parametrize(("family", "link"), [("gamma", "identity"), ("inverse.gaussian", "log"), ("binomial", "log")])
def test_other_solvers_end_at_the_same_place(family, link, solver):
    X, y, weight, _ = drawn(family, link)
    newton, other = (regressor(family, link, solver=one, tol=1e-6).fit(X, y, weight) for one in ("newton", solver))
    assert other.status_ == newton.status_ == "converged"
    np.testing.assert_allclose(other.coef_, newton.coef_, atol=1e-5)


@pytest.mark.parametrize(("family", "link"), [("binomial", "probit"), ("gamma", "identity")])
def test_paths_folds_and_replicates(family, link):
    X, y, weight, _ = drawn(family, link)
    model = regressor(family, link, tol=1e-6)
    path = fit_path(model, X, y, weight, strengths=[0.3, 0.03])
    for strength, fitted in zip(path.strengths, path.models, strict=True):
        alone = regressor(family, link, alpha=strength, tol=1e-8).fit(X, y, weight)
        np.testing.assert_allclose(fitted.coef_, alone.coef_, atol=1e-5)
    folds = cross_validate(model, X, y, weight, strengths=[0.3, 0.03], folds=3, seed=1)
    assert np.isfinite(folds.mean).all()
    replicates = bootstrap(model, X, y, weight, n=5, seed=1)
    assert replicates.success
    counted = Draw("bootstrap", 2, seed=1).weights(0, len(y))
    alone = regressor(family, link).fit(X, y, weight * counted)
    np.testing.assert_allclose(replicates.coefs[2], alone.coef_, atol=1e-5)


def inverse_gaussian_log(X, y, theta):
    """Slopes of (y / mu - 1)^2 / (2 y) in eta = log mu."""
    mean = np.exp(X @ theta[1:] + theta[0])
    return (mean - y) / mean**2


def gamma_identity(X, y, theta):
    """Slopes of y / mu + log mu."""
    mean = X @ theta[1:] + theta[0]
    return (mean - y) / mean**2


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
@pytest.mark.parametrize(
    ("family", "link", "slopes"),
    [("inverse.gaussian", "log", inverse_gaussian_log), ("gamma", "identity", gamma_identity)],
)
def test_a_loss_that_is_not_convex_has_paths_folds_and_replicates_too(family, link, slopes, l1_ratio):
    """Each fit is where F is stationary, and the grid begins where the null model is."""
    X, y, _, _ = drawn(family, link)

    def check(coef, intercept, strength, rows=slice(None), times=None):
        theta = np.append(intercept, coef)
        times = np.ones(len(y)) if times is None else times
        slope = slopes(X[rows], y[rows], theta) * times[rows] / times[rows].sum()
        assert slope.sum() == pytest.approx(0.0, abs=1e-6)
        pull = X[rows].T @ slope + (1 - l1_ratio) * strength * coef
        allowed = l1_ratio * strength
        at_zero = (coef == 0) & (allowed > 0)
        assert (np.abs(pull[at_zero]) <= allowed + 1e-6).all()
        np.testing.assert_allclose(pull[~at_zero], -allowed * np.sign(coef[~at_zero]), atol=1e-6)

    model = regressor(family, link, l1_ratio=l1_ratio)
    path = fit_path(model, X, y, num=4)
    null = np.append(np.log(y.mean()) if link == "log" else y.mean(), np.zeros(3))
    largest = np.abs(X.T @ slopes(X, y, null) / len(y)).max() / max(l1_ratio, 1e-3)
    assert path.strengths[0] == pytest.approx(largest, rel=1e-6)
    assert path.success
    assert l1_ratio == 0.0 or not path.coefs[0].any()
    for coef, intercept, strength in zip(path.coefs, path.intercepts, path.strengths, strict=True):
        check(coef, intercept, strength)
    found = cross_validate(model, X, y, num=3, folds=3, seed=1)
    assert found.success
    for fold in range(3):
        rest = Draw("without", fold, folds=3, seed=1).weights(0, len(y)) > 0
        check(found.fold_coefs[1, fold], found.fold_intercepts[1, fold], found.strengths[1], rest)
    replicates = bootstrap(clone(model).set_params(alpha=0.01), X, y, n=3, seed=1)
    assert replicates.success
    counted = Draw("bootstrap", 2, seed=1).weights(0, len(y))
    check(replicates.coefs[2], replicates.intercepts[2], 0.01, times=counted)
    chosen = GeneralizedLinearRegressorCV(family=family, link=link, l1_ratio=l1_ratio, n_alphas=3, cv=3).fit(X, y)
    assert chosen.alphas_[0] == pytest.approx(largest, rel=1e-6)


# --- names, and what is refused ------------------------------------------------------------------------------------


def test_names_of_families():
    X, y, _, _ = drawn("inverse.gaussian", "log")
    coef = regressor("inverse.gaussian").fit(X, y).coef_
    for name in ("inverse_gaussian", "tweedie(3)", "tweedie (3.0)"):
        np.testing.assert_array_equal(regressor(name).fit(X, y).coef_, coef)
    np.testing.assert_array_equal(regressor("gaussian").fit(X, y).coef_, regressor("normal").fit(X, y).coef_)
    for name, loss, options in (("normal", "squared", None), ("poisson", "poisson", None), ("gamma", "gamma", None)):
        by_name = GeneralizedLinearRegressor(loss, engine="serial", loss_options=options).fit(X, y)
        np.testing.assert_array_equal(regressor(name, tol=1e-4).fit(X, y).coef_, by_name.coef_)
    by_name = GeneralizedLinearRegressor("tweedie", loss_options={"power": 1.2}, engine="serial").fit(X, y)
    np.testing.assert_array_equal(regressor("tweedie(1.2)", tol=1e-4).fit(X, y).coef_, by_name.coef_)
    same = regressor("negative_binomial(0.5)").fit(X, y)
    np.testing.assert_array_equal(
        same.coef_, regressor("negative.binomial", loss_options={"theta": 0.5}).fit(X, y).coef_
    )


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"family": "weibull"}, "unknown family 'weibull': choose from normal, binomial"),
        ({"family": 3}, "unknown family 3: choose from normal"),
        ({"family": "gamma(2)"}, r"unknown family 'gamma\(2\)'"),
        ({"family": "tweedie(x)"}, "power must be a number, got 'x'"),
        ({"family": "tweedie(0.5)"}, "'power' must not be between 0 and 1, where no distribution is"),
        ({"family": "negative.binomial(0)"}, "its option 'theta' must be above 0, got 0.0"),
        ({"family": "negative.binomial", "loss_options": {"theta": "most"}}, "'theta' must be a number, got 'most'"),
        ({"family": "tweedie(2.5)", "loss_options": {"power": 2}}, "both give power: leave one out"),
        ({"family": "poisson", "loss_options": {"power": 2}}, "the poisson loss has no option 'power': it has link"),
        ({"family": "poisson", "link": "logit"}, "link 'logit' does not go with the poisson family: choose from log"),
        ({"family": "binomial", "link": "inverse"}, "link 'inverse' does not go with the binomial family"),
        ({"family": "poisson", "link": "sqrt"}, "unknown link 'sqrt': choose from auto, identity"),
        ({"family": "poisson", "link": None}, "unknown link None: choose from auto"),
        ({"link": "log"}, "link 'log' is for a family|link 'log' goes with a family"),
        ({"loss": "poisson", "family": "gamma"}, "loss 'poisson' and family 'gamma' are two models: leave one out"),
    ],
)
def test_parameters_that_cannot_be(parameters, message):
    with pytest.raises(ValueError, match=message):
        GeneralizedLinearRegressor(**parameters, engine="serial").fit(np.arange(4.0)[:, None], np.ones(4))


@pytest.mark.parametrize(
    ("family", "bad", "message"),
    [
        ("binomial", 1.5, "the target y is 1.5, the binomial loss takes targets from 0 to 1"),
        ("binomial", -0.1, "the target y is -0.1, the binomial loss takes targets from 0 to 1"),
        ("negative.binomial", -1.0, "the target y is -1, the negative.binomial loss takes targets at least 0"),
        ("inverse.gaussian", 0.0, "the target y is 0, the inverse.gaussian loss takes targets greater than 0"),
        ("tweedie(2.5)", 0.0, "the target y is 0, the tweedie loss takes targets greater than 0"),
        ("tweedie(1.5)", -1.0, "the target y is -1, the tweedie loss takes targets at least 0"),
    ],
)
def test_targets_that_a_family_does_not_have(family, bad, message):
    X, y = np.arange(6.0)[:, None], np.full(6, 0.5)
    y[4] = bad
    with pytest.raises(DataError, match=message) as caught:
        regressor(family).fit(array_sources(X, y, blocks=2))
    assert "row 4" in str(caught.value) or "row 1" in str(caught.value)
    fitted = regressor(family).fit(X, np.full(6, 0.5) + 0.01 * np.arange(6))
    with pytest.raises(DataError, match=message):
        fitted.score(X, y)


def test_negative_means_are_predicted_as_the_link_says_and_are_infinitely_bad():
    X = np.arange(8.0)[:, None]
    model = regressor("poisson", "identity").fit(X, 8.0 - X[:, 0])
    assert model.predict([[10.0]])[0] == pytest.approx(-2, abs=1e-4)
    assert model.score([[10.0], [1.0]], [1.0, 7.0]) == -np.inf


def test_frames_with_categories_and_missing_values_take_a_family():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.standard_normal(200), "level": rng.choice(["a", "b"], 200)})
    y = rng.binomial(1, np.where(frame["level"] == "a", 0.3, 0.6)).astype(float)
    model = regressor("binomial", "probit").fit(frame, y)
    assert model.predict(frame).mean() == pytest.approx(y.mean(), abs=1e-3)


def test_a_run_that_ends_early_says_so():
    X, y, weight, _ = drawn("gamma", "identity")
    with pytest.warns(ConvergenceWarning, match="not-converged"):
        model = regressor("gamma", "identity", max_iter=1).fit(X, y, weight)
    assert model.status_ == "max_iter"


def test_a_place_where_f_falls_away_is_not_called_a_minimum():
    """One column, whose Hessian is negative a step beyond the minimum."""
    X, y = np.array([[1.0], [1.0], [1.0]]), np.array([1.0, 1.0, -3.0])
    blocks = SerialEngine().place(Linear("normal", False, options={"link": "inverse"}), array_sources(X, y))
    objective = Objective(blocks)
    at = -3.0  # the mean of the targets is -1/3, so that F is least here; far out it levels off
    curves = objective(Curvature(np.array([at]), "gram"))
    assert not Curved.of(curves, np.array([at]), objective.facts, "float64").falls
    further = objective(Curvature(np.array([2 * at]), "gram"))
    assert further.matrix[0, 0] < 0
    curved = Curved.of(further, np.array([2 * at]), objective.facts, "float64")
    assert curved.falls
    assert curved.decrease == np.inf
    convex = replace(objective.facts, parameters=replace(objective.facts.parameters, convex=True))
    assert not Curved.of(further, np.array([2 * at]), convex, "float64").falls


@pytest.mark.parametrize("link", ["log", "identity"])
def test_an_edge_that_ends_a_fit_is_told_as_one(link):
    X = np.array([[0.3, 0.8, 0.3, -1.3, 0.9, 0.4, -0.5, 0.6]]).T
    y = np.array([1.0, 1, 0, 0, 1, 1, 1, 1])
    kind = GeneralizedLinearRegressor(family="binomial", link=link, alpha=0.1, engine="serial")
    with pytest.warns(
        ConvergenceWarning, match=r"stopped at the edge of what the link allows \(the next step leads to"
    ):
        model = kind.fit(X, y)
    assert [one.code for one in model.result_.notices] == ["edge"]
    assert not model.result_.success


def test_a_mean_target_of_zero_has_no_reciprocal():
    kind = GeneralizedLinearRegressor(family="normal", link="inverse", engine="serial")
    with pytest.raises(DataError, match="no coefficients were found at which all rows have means"):
        kind.fit([[0.0], [1], [3], [2]], [-1.0, 1, -2, 2])
