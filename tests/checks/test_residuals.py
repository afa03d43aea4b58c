"""Quantile residuals: distributions against SciPy, normality of right models, the same whatever the blocks."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats
from tests.checks.rows import COLUMNS, POWER, checked, model_of, table

from fullbatch import DataError, GeneralizedLinearRegressor, LinearRegression, LogisticRegression, file_sources
from fullbatch.checks.residuals import jumps
from fullbatch.inference.families import Family
from fullbatch.protocols.sampling import uniform_of_rows


def tweedie_cdf(y, mean, dispersion):
    """By the sum over the number of summands, in SciPy's distributions."""
    rate = mean ** (2 - POWER) / (dispersion * (2 - POWER))
    shape, scale = (2 - POWER) / (POWER - 1), dispersion * (POWER - 1) * mean ** (POWER - 1)
    number = np.arange(1, 400)
    return (
        stats.poisson.pmf(0, rate)
        + (stats.poisson.pmf(number, rate) * stats.gamma.cdf(y, shape * number, scale=scale)).sum()
    )


def test_distribution_functions_are_scipys():
    rng = np.random.default_rng(0)
    mean, y = np.exp(rng.uniform(-2, 3, 60)), rng.integers(0, 12, 60).astype(float)
    phi = np.full(60, 0.7)
    of = jumps(Family("poisson"), y, mean, np.ones(60))
    assert_allclose(of.until, stats.poisson.cdf(y, mean), rtol=1e-12)
    assert_allclose(of.below, stats.poisson.cdf(y - 1, mean), rtol=1e-12)
    assert_allclose(of.beyond, stats.poisson.sf(y, mean), rtol=1e-11)
    assert_allclose(of.above, stats.poisson.sf(y - 1, mean), rtol=1e-11)
    of = jumps(Family("gamma"), y + 0.5, mean, phi)
    assert_allclose(of.until, stats.gamma.cdf(y + 0.5, 1 / phi, scale=mean * phi), rtol=1e-12)
    assert_allclose(of.beyond, stats.gamma.sf(y + 0.5, 1 / phi, scale=mean * phi), rtol=1e-11)
    assert_array_equal(of.below, of.until)
    of = jumps(Family("tweedie", {"power": POWER}), y, mean, phi)
    expected = [tweedie_cdf(*one) for one in zip(y, mean, phi, strict=True)]
    assert_allclose(of.until, expected, rtol=1e-10)
    assert_allclose(of.below, np.where(y == 0, 0.0, expected), rtol=1e-10)
    assert_allclose(of.above, 1 - of.below, atol=1e-12)
    assert_allclose(of.beyond, 1 - of.until, atol=1e-12)
    p = rng.uniform(0.01, 0.99, 60)
    of = jumps(Family("logistic"), np.arange(60) % 2.0, p, np.ones(60))
    assert_allclose(of.until, stats.bernoulli.cdf(np.arange(60) % 2, p))
    assert_allclose(of.above, stats.bernoulli.sf(np.arange(60) % 2 - 1, p))


def test_distribution_functions_of_more_families_are_scipys():
    rng = np.random.default_rng(1)
    mean, y = np.exp(rng.uniform(-2, 3, 60)), rng.integers(0, 12, 60).astype(float)
    theta, exposure = 0.8, rng.uniform(0.5, 3, 60)
    shape = exposure / theta
    counts = stats.nbinom(shape, shape / (shape + exposure * mean))
    of = jumps(Family("negative.binomial", {"theta": theta}), y / exposure, mean, 1 / exposure)
    assert_allclose(of.until, counts.cdf(y), rtol=1e-11)
    assert_allclose(of.below, counts.cdf(y - 1), rtol=1e-11)
    assert_allclose(of.beyond, counts.sf(y), rtol=1e-10)
    assert_allclose(of.above, counts.sf(y - 1), rtol=1e-10)
    trials, p = rng.integers(1, 20, 60).astype(float), rng.uniform(0.01, 0.99, 60)
    successes = np.minimum(y, trials)
    of = jumps(Family("binomial"), successes / trials, p, 1 / trials)
    assert_allclose(of.until, stats.binom.cdf(successes, trials, p), rtol=1e-11)
    assert_allclose(of.below, stats.binom.cdf(successes - 1, trials, p), rtol=1e-11)
    assert_allclose(of.beyond, stats.binom.sf(successes, trials, p), rtol=1e-10)
    assert_allclose(of.above, stats.binom.sf(successes - 1, trials, p), rtol=1e-10)
    phi = np.full(60, 0.7)
    of = jumps(Family("inverse.gaussian"), y + 0.5, mean, phi)
    assert_allclose(of.until, stats.invgauss.cdf(y + 0.5, mean * phi, scale=1 / phi), rtol=1e-10)
    assert_allclose(of.beyond, stats.invgauss.sf(y + 0.5, mean * phi, scale=1 / phi), rtol=1e-9)


@pytest.mark.parametrize(("power", "link"), [(-1.0, "identity"), (2.5, "log")])
def test_powers_without_a_distribution_function(power, link):
    X, y = np.arange(20.0)[:, None], np.arange(20.0) + 1.0
    model = GeneralizedLinearRegressor(family="tweedie", link=link, loss_options={"power": power}).fit(X, y)
    with pytest.raises(ValueError, match=f"those of power {power:g} have no formula"):
        model.checks(X, y).quantile_residuals()


def test_sums_of_many_summands():
    of = jumps(Family("tweedie", {"power": 1.2}), np.array([1.0, 1.1]), np.ones(2), np.full(2, 1e-3))
    rate, shape, scale = 1 / (1e-3 * 0.8), 4.0, 1e-3 * 0.2
    number = np.arange(1, 4000)
    for y, until in zip((1.0, 1.1), of.until, strict=True):
        expected = (stats.poisson.pmf(number, rate) * stats.gamma.cdf(y, shape * number, scale=scale)).sum()
        assert_allclose(until, expected, rtol=1e-9)


def test_far_tails_keep_their_digits():
    y = np.array([0.0, 60.0, 2000.0])
    of = jumps(Family("poisson"), y, np.full(3, 1.0), np.ones(3))
    found = of.residuals(np.full(3, 0.5))
    assert (
        stats.norm.isf(np.exp(stats.poisson.logsf(59, 1.0)))
        < found[1]
        < stats.norm.isf(np.exp(stats.poisson.logsf(60, 1.0)))
    )
    assert_allclose(found[0], stats.norm.ppf(0.5 * np.exp(-1.0)))
    assert 37 < found[2] < 38  # there is no smaller number


@pytest.mark.parametrize("target", ["label", "poisson", "gamma", "tweedie", "squared"])
def test_residuals_of_the_right_model_are_normal(target):
    frame = table(4000, seed=3)
    _, checks, predicted, _ = checked(target, frame, weighted=False)
    found = checks.quantile_residuals(seed=7)
    assert stats.kstest(found, "norm").pvalue > 0.01
    assert stats.normaltest(found).pvalue > 0.01
    assert np.array_equal(found, checks.quantile_residuals(seed=8)) == (target in ("gamma", "squared"))
    table_ = checks.residual_quantiles(19, seed=7)
    assert_allclose(table_["normal"], stats.norm.ppf(np.arange(1, 20) / 20))
    assert_allclose(table_["residual"], np.quantile(found, np.arange(1, 20) / 20, method="hazen"), atol=0.01)
    if target == "poisson":
        v = uniform_of_rows(0, 4000, 7)
        lower, upper = (stats.poisson.cdf(frame[target] - shift, predicted) for shift in (1, 0))
        assert_allclose(found, stats.norm.ppf(lower + (upper - lower) * v), atol=1e-7)
    if target == "squared":
        expected = (frame[target] - predicted) / np.sqrt(((frame[target] - predicted) ** 2).sum() / (4000 - 5))
        assert_allclose(found, expected, rtol=1e-10)


def test_quantiles_weigh_rows_that_count_several():
    frame = table()
    _, checks, _, weight = checked("gamma", frame)
    again = np.repeat(checks.quantile_residuals(), weight.astype(int))
    found = checks.residual_quantiles(9)
    assert_allclose(found["residual"], np.quantile(again, found["probability"], method="hazen"), atol=0.02)
    precise = checked("gamma", frame, weights="precision")[1]
    once = precise.quantile_residuals()[weight > 0]
    assert_allclose(precise.residual_quantiles(9)["residual"], np.quantile(once, found["probability"]), atol=0.02)


def test_residuals_of_a_wrong_model_are_not():
    frame = table(4000, seed=3)
    frame["poisson"] = np.random.default_rng(0).negative_binomial(1.0, 0.4, 4000)
    _, checks, *_ = checked("poisson", frame, weighted=False)
    assert stats.kstest(checks.quantile_residuals(), "norm").pvalue < 1e-6


def test_weights_of_precision_divide_the_dispersion():
    rng = np.random.default_rng(0)
    X, exposure = rng.standard_normal((3000, 2)), rng.uniform(0.2, 4.0, 3000)
    rate = np.exp(0.4 * X[:, 0] - 0.5)
    claims = rng.poisson(exposure * rate)
    model = GeneralizedLinearRegressor("poisson", tol=1e-8).fit(X, claims / exposure, exposure)
    checks = model.checks(X, claims / exposure, exposure, weights="precision")
    assert stats.kstest(checks.quantile_residuals(), "norm").pvalue > 0.01
    assert 0.9 < checks.dispersion < 1.1
    with pytest.raises(DataError, match=r"row \d+: .* is no count.*Of rates, .* ask with weights=\"precision\""):
        model.checks(X, claims / exposure, exposure).quantile_residuals()
    y = 2.0 * X[:, 0] + rng.standard_normal(3000) / np.sqrt(exposure)
    normal = LinearRegression(tol=1e-8).fit(X, y, exposure)
    found = normal.checks(X, y, exposure, weights="precision").quantile_residuals(dispersion=1.0)
    assert_allclose(found, (y - normal.predict(X)) * np.sqrt(exposure), rtol=1e-10)


def test_rows_are_the_same_whatever_the_blocks(tmp_path):
    frame = table(900)
    model = model_of("poisson").fit(frame[COLUMNS], frame["poisson"], frame["weight"])
    frame[[*COLUMNS, "poisson", "weight"]].to_parquet(tmp_path / "rows.parquet", row_group_size=100)
    expected = model.checks(frame[COLUMNS], frame["poisson"], frame["weight"]).quantile_residuals(seed=3)
    assert_array_equal(np.isnan(expected), frame["weight"] == 0)
    for blocks in (1, 4):
        sources = file_sources(tmp_path / "rows.parquet", target="poisson", weight="weight", blocks=blocks)
        checks = model.checks(sources)
        assert len(checks.compared.read) == blocks
        assert_allclose(checks.quantile_residuals(seed=3), expected, rtol=1e-9, atol=1e-12)
        assert checks.quantile_residuals(tmp_path / f"{blocks}.parquet", seed=3) == 900
        assert_allclose(pd.read_parquet(tmp_path / f"{blocks}.parquet")["residual"], expected, rtol=1e-9, atol=1e-12)


def test_what_has_no_residuals():
    X = np.random.default_rng(0).standard_normal((40, 2))
    exact = LinearRegression().fit(X, np.zeros(40)).checks(X, np.zeros(40))
    with pytest.raises(DataError, match="the residuals are zero"):
        exact.quantile_residuals()
    two = LogisticRegression().fit(X, X[:, 0] > 0).checks(X, X[:, 0] > 0)
    with pytest.raises(ValueError, match="seed must be 0 or more, got -1"):
        two.quantile_residuals(seed=-1)
    assert np.isfinite(two.quantile_residuals()).all()
