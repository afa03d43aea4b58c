"""What a fit must not depend on: units of columns, targets and weights, constants in offsets and targets, the start."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.linear_model import PoissonRegressor

from fullbatch import GeneralizedLinearRegressor, LogisticRegression, array_sources

SCALES = st.sampled_from([1e-6, 3e-3, 0.7, 41.0, 1e4, 1e8])


def rows(seed=0, n=120):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4)) @ rng.standard_normal((4, 4)) + rng.uniform(-2, 2, 4)
    return X, X @ rng.standard_normal(4) / 2 + 0.3 * rng.standard_normal(n), rng


def targets(loss, eta, rng):
    return {
        "squared": lambda: eta,
        "huber": lambda: eta + (rng.random(len(eta)) < 0.1) * 5,
        "quantile": lambda: eta,
        "poisson": lambda: rng.poisson(np.exp(eta / 2)).astype(float),
        "gamma": lambda: np.exp(eta / 2) * rng.gamma(2, 0.5, len(eta)),
        "logistic": lambda: (eta + rng.logistic(size=len(eta)) > 0).astype(int),
    }[loss]()


def fit(loss, X, y, weight=None, offset=None, options=None):
    """A fit at all defaults but that of the penalty: there is none."""
    if loss == "logistic":
        model = LogisticRegression(C=np.inf)
    else:
        model = GeneralizedLinearRegressor(loss, loss_options=options)
    model.fit(array_sources(X, y, weight, offset=offset))
    assert model.result_.success
    return model.coef_.ravel(), float(np.ravel(model.intercept_)[0]), model.result_.passes


def check(before, after, coef, intercept):
    """The second fit's coefficients are what the first's become, in as many passes."""
    scale = np.abs(coef).max()
    np.testing.assert_allclose(after[0] / coef, np.ones(4), atol=1e-8 * scale / np.abs(coef).min())
    assert after[1] == pytest.approx(intercept, rel=1e-8, abs=1e-8)
    assert abs(after[2] - before[2]) <= max(1, 0.2 * before[2])


@pytest.mark.parametrize("loss", ["squared", "huber", "quantile", "poisson", "gamma", "logistic"])
@given(column=st.integers(0, 3), by=SCALES)
@settings(max_examples=6, deadline=None, derandomize=True)
def test_units_of_a_column(loss, column, by):
    X, eta, rng = rows()
    y = targets(loss, eta, rng)
    before = fit(loss, X, y)
    times = np.where(np.arange(4) == column, by, 1.0)
    check(before, fit(loss, X * times, y), before[0] / times, before[1])


@pytest.mark.parametrize("loss", ["squared", "huber", "quantile", "gamma"])
@given(by=SCALES)
@settings(max_examples=6, deadline=None, derandomize=True)
def test_units_of_the_targets(loss, by):
    X, eta, rng = rows(1)
    y = targets(loss, eta, rng)
    own = {"huber": {"delta": 1.35}, "quantile": {"smoothing": 0.1}}.get(loss)
    scaled = own and {name: value * by for name, value in own.items()}
    before, after = fit(loss, X, y, options=own), fit(loss, X, y * by, options=scaled)
    if loss == "gamma":
        check(before, after, before[0], before[1] + np.log(by))
    else:
        check(before, (after[0], after[1] / by, after[2]), before[0] * by, before[1])


@pytest.mark.parametrize("loss", ["squared", "huber", "poisson", "logistic"])
@given(by=SCALES)
@settings(max_examples=6, deadline=None, derandomize=True)
def test_units_of_the_weights(loss, by):
    X, eta, rng = rows(2)
    y, weight = targets(loss, eta, rng), rng.uniform(0.2, 3, len(X))
    before = fit(loss, X, y, weight)
    check(before, fit(loss, X, y, weight * by), before[0], before[1])


@pytest.mark.parametrize("loss", ["squared", "huber", "poisson", "gamma"])
@given(more=st.sampled_from([-300.0, -18.0, 0.5, 25.0, 700.0]))
@settings(max_examples=5, deadline=None, derandomize=True)
def test_a_constant_in_the_offsets(loss, more):
    X, eta, rng = rows(3)
    y, offset = targets(loss, eta, rng), rng.uniform(-1, 1, len(X))
    before = fit(loss, X, y, offset=offset)
    check(before, fit(loss, X, y, offset=offset + more), before[0], before[1] - more)


@given(more=st.sampled_from([-1e8, 1e4, 1.7e9]))
@settings(max_examples=3, deadline=None, derandomize=True)
def test_a_constant_in_squared_targets(more):
    X, y, _ = rows(4)
    before = fit("squared", X, y)
    after = fit("squared", X, y + more)
    # The sum y + more is itself rounded, by half a unit in the last place of 1.7e9.
    np.testing.assert_allclose(after[0], before[0], atol=max(1e-8, abs(more) * 1e-15))
    assert after[1] - more == pytest.approx(before[1], abs=max(1e-8, abs(more) * 1e-15))
    assert after[2] == before[2]


def test_exposures_of_any_size():
    """Accidents of airlines by passenger-kilometres: scikit-learn fits the rates, weighted by the exposures."""
    X, eta, rng = rows(5)
    exposure = 10 ** rng.uniform(8, 11, len(X))
    y = rng.poisson(exposure * 3e-10 * np.exp(eta / 4)).astype(float)
    coef, intercept, passes = fit("poisson", X, y, offset=np.log(exposure))
    unit = 1e9
    rates = PoissonRegressor(alpha=0, tol=1e-12, max_iter=1000, solver="newton-cholesky")
    rates.fit(X, y / exposure * unit, sample_weight=exposure / unit)
    np.testing.assert_allclose(coef, rates.coef_, atol=1e-6)
    assert intercept + np.log(unit) == pytest.approx(rates.intercept_, abs=1e-6)
    assert passes <= 10


@pytest.mark.parametrize("loss", ["poisson", "gamma", "huber", "logistic"])
@pytest.mark.parametrize("far", [3.0, 30.0, 1e4])
def test_warm_starts_from_anywhere_are_followed_or_dropped(loss, far):
    X, eta, rng = rows(6)
    y = targets(loss, eta, rng)
    kind = LogisticRegression(C=np.inf) if loss == "logistic" else GeneralizedLinearRegressor(loss)
    wanted = clone(kind).fit(X, y)
    model = kind.set_params(warm_start=True).fit(X, y)
    model.coef_ = model.coef_ + far
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        model.fit(X, y)
    assert model.result_.success
    np.testing.assert_allclose(np.ravel(model.coef_), np.ravel(wanted.coef_), atol=2e-4 * np.abs(wanted.coef_).max())
    # Where F is not even finite, or a thousand times the null model's, the fit began anew, and said so.
    if far == 1e4:
        assert [str(one.message).split("]")[0] for one in told] == ["[warm-start-dropped"]
        assert told[0].filename == __file__
    assert model.result_.passes <= 60
