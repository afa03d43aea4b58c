"""Families and links in NumPy: against statsmodels, scikit-learn, differences, and the kernels' losses."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import optimize
from sklearn.metrics import mean_tweedie_deviance
from statsmodels.genmod.families import links as theirs

from fullbatch.kernels.losses import LOSSES
from fullbatch.models.deviance import Variance, family_of, half_deviance, saturated
from fullbatch.models.links import LINKS

THEIRS = {
    "identity": theirs.Identity(),
    "log": theirs.Log(),
    "inverse": theirs.InversePower(),
    "logit": theirs.Logit(),
    "probit": theirs.Probit(),
    "cloglog": theirs.CLogLog(),
}
FAMILIES = {
    "normal": ({}, sm.families.Gaussian()),
    "binomial": ({}, sm.families.Binomial()),
    "poisson": ({}, sm.families.Poisson()),
    "gamma": ({}, sm.families.Gamma()),
    "inverse.gaussian": ({}, sm.families.InverseGaussian()),
    "tweedie": ({"power": 1.4}, sm.families.Tweedie(var_power=1.4)),
    "negative.binomial": ({"theta": 0.6}, sm.families.NegativeBinomial(alpha=0.6)),
}


@pytest.mark.parametrize("name", LINKS)
def test_links_are_those_of_statsmodels(name):
    link, other = LINKS[name], THEIRS[name]
    eta = np.linspace(0.05, 2.5, 50) if name in ("identity", "inverse") else np.linspace(-4, 1.2, 50)
    mean = link.mean(eta)
    np.testing.assert_allclose(mean, other.inverse(eta), rtol=1e-12)
    np.testing.assert_allclose(link.predictor(mean), eta, rtol=1e-10, atol=1e-12)
    first, second = link.steepness(eta)
    np.testing.assert_allclose(first, other.inverse_deriv(eta), rtol=1e-12)
    np.testing.assert_allclose(second, other.inverse_deriv2(eta), rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(link.complement(eta), 1 - mean, rtol=1e-9, atol=1e-12)


def test_the_rest_of_probabilities_near_1_keeps_its_digits():
    for name in ("logit", "probit", "cloglog"):
        eta = np.array([3.0]) if name == "cloglog" else np.array([30.0])
        assert LINKS[name].complement(eta)[0] == pytest.approx(
            {"logit": np.exp(-30.0), "probit": 4.906713927148187e-198, "cloglog": np.exp(-np.exp(3.0))}[name], rel=1e-10
        )
    family = family_of("binomial", {"link": "logit"})
    assert family.half_deviance(0.0, 800.0) == pytest.approx(690.7755278982137)  # where 1 - p is cut
    assert family.half_deviance(np.array([0.0]), np.array([40.0]))[0] == pytest.approx(40.0, rel=1e-14)


def drawn(name, n=200):
    rng = np.random.default_rng(1)
    if name == "binomial":
        return np.concatenate(([0.0, 1.0], rng.random(n - 2))), rng.uniform(0.02, 0.98, n)
    y = rng.gamma(2, 1, n)
    if name in ("poisson", "negative.binomial", "tweedie"):
        y[::4] = 0.0
    return y - (1.5 if name == "normal" else 0.0), rng.gamma(2, 1, n)


@pytest.mark.parametrize("name", FAMILIES)
def test_variances_and_deviances_are_those_of_statsmodels(name):
    options, other = FAMILIES[name]
    family, (y, mean) = family_of(name, options), drawn(name)
    np.testing.assert_allclose(family.variance(mean), other.variance(mean), rtol=1e-13)
    theirs = np.array([other.deviance(y[i : i + 1], mean[i : i + 1]) for i in range(len(y))])
    np.testing.assert_allclose(2 * half_deviance(y, mean, family.variance), theirs, rtol=1e-10, atol=1e-14)
    np.testing.assert_array_equal(half_deviance(mean, mean, family.variance), 0.0)
    step = 1e-6
    slope = (family.variance(mean + step) - family.variance(mean - step)) / (2 * step)
    np.testing.assert_allclose(family.variance.steepness(mean), slope, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("power", [-1.5, -0.5, 0.0, 1.0, 1.7, 2.0, 2.6, 3.0, 4.5])
def test_deviances_of_any_power_are_those_of_scikit_learn(power):
    rng = np.random.default_rng(2)
    y, mean = rng.gamma(2, 1, 100), rng.gamma(2, 1, 100)
    y = y - 2.0 if power <= 0 else y
    got = 2 * half_deviance(y, mean, Variance("power", power)).mean()
    assert got == pytest.approx(mean_tweedie_deviance(y, mean, power=power), rel=1e-12)


@pytest.mark.parametrize("name", FAMILIES)
def test_near_targets_deviances_are_squares_over_the_variance(name):
    family = family_of(name, FAMILIES[name][0])
    mean, share = np.array([0.3, 0.6, 0.9]), 1e-9
    square = (mean * share) ** 2 / family.variance(mean) / 2
    np.testing.assert_allclose(half_deviance(mean * (1 + share), mean, family.variance), square, rtol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_the_least_loss_of_a_target_is_found_by_a_search(name):
    family, targets = family_of(name, FAMILIES[name][0]), np.array([0.2, 0.5, 0.9])
    for y in targets:

        def of_mean(mean, y=y):
            return saturated(y, family.variance) + half_deviance(y, mean, family.variance)

        best = optimize.minimize_scalar(of_mean, bounds=(0.01, 0.99), method="bounded", options={"xatol": 1e-10})
        assert best.x == pytest.approx(y, abs=1e-5)
        assert float(saturated(y, family.variance)) == pytest.approx(best.fun, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", ["normal", "binomial", "poisson", "tweedie", "negative.binomial"])
def test_the_least_loss_of_a_target_of_zero_is_zero(name):
    assert saturated(np.zeros(2), family_of(name, FAMILIES[name][0]).variance).tolist() == [0.0, 0.0]


def test_means_that_cannot_be_are_infinitely_far():
    assert half_deviance(1.0, -0.1, 1.0) == np.inf
    assert half_deviance(np.array([0.5]), np.array([1.2]), Variance("binomial"))[0] == np.inf
    assert half_deviance(1.0, -3.0, 0.0) == 8.0
    assert half_deviance(2.0, 0.0, 1.0) > 1000  # infinite, but for where a mean is cut


def test_what_losses_say_of_targets():
    ranges = {name: (family_of(name).least, family_of(name).least_allowed, family_of(name).most) for name in FAMILIES}
    assert ranges["binomial"] == (0.0, True, 1.0)
    assert ranges["gamma"] == ranges["inverse.gaussian"] == (0.0, False, np.inf)
    assert ranges["poisson"] == ranges["negative.binomial"] == ranges["tweedie"] == (0.0, True, np.inf)
    assert ranges["normal"] == (-np.inf, True, np.inf)
    assert all(family_of(name).of_squares for name in ("squared", "normal", "huber", "quantile"))
    assert family_of("tweedie", {"power": 2.5}).least_allowed is False
    assert family_of("tweedie", {"power": -1.0}).least == -np.inf
    assert [family_of(name).link.name for name in ("squared", "huber", "logistic", "poisson")] == [
        *("identity", "identity", "logit", "log")
    ]
    assert all(family_of(name, {"link": link}).link.name == link for name in FAMILIES for link in LOSSES[name].links)
