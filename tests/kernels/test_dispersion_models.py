"""Families with any link: their formulas against SciPy, long double, differences, and what is known of their shape."""

import numpy as np
import pytest
from numba import njit
from scipy import special

from fullbatch.kernels import families
from fullbatch.kernels.families import DispersionModel, eta_allowed, is_convex, within
from fullbatch.kernels.losses import LOSSES, Gamma, Poisson, Squared, Tweedie, pointwise
from fullbatch.models import _plain

LONG = np.longdouble


@njit
def compiled_rows(loss, y, weight, eta, curvature):
    """The value of each row; `eta` becomes the slopes."""
    values = np.empty(y.size)
    for i in range(y.size):
        one = slice(i, i + 1)
        values[i] = pointwise(loss, y[one], weight[one], eta[:, one], curvature[:, one])[0]
    return values


def plain_rows(loss, y, weight, eta, curvature):
    """The same by the formulas of small data."""
    with np.errstate(all="ignore"):
        at = _plain._pointwise(loss, y, weight, eta)
    eta[:], curvature[:] = at.slope, at.curvature
    return at.value[0]


rows = compiled_rows


@pytest.fixture(autouse=True, params=[compiled_rows, plain_rows], ids=["compiled", "plain"])
def way(request, monkeypatch):
    monkeypatch.setitem(globals(), "rows", request.param)


def answer(loss, y, eta, weight=None):
    """Values, slopes and second derivatives of rows."""
    slope, curvature = np.array(eta, float)[None].copy(), np.empty((1, len(eta)))
    weight = np.ones(len(eta)) if weight is None else weight
    return rows(loss, np.array(y, float), weight, slope, curvature), slope[0], curvature[0]


PAIRS = [
    (name, link, power)
    for name, loss in LOSSES.items()
    for link in loss.links
    for power in ((-1.0, 1.5, 2.5, 4.0) if name == "tweedie" else (None,))
    if isinstance(loss.kind(link=link, **({} if power is None else {"power": power})), DispersionModel)
]


def model(name, link, power):
    options = {"theta": 0.7} if name == "negative.binomial" else {} if power is None else {"power": power}
    return LOSSES[name].kind(link=link, **options)


def drawn(name, link, n=60):
    """Targets, and eta that the link allows."""
    rng = np.random.default_rng(7)
    eta = rng.normal(size=n)
    if name == "binomial":
        eta = {"log": -rng.uniform(0.05, 4, n), "identity": rng.uniform(0.05, 0.95, n)}.get(link, np.clip(eta, -3, 1.2))
        return np.concatenate(([0.0, 1.0], rng.random(n - 2))), eta
    if link != "log":
        eta = rng.uniform(0.2, 3, n)
    return rng.gamma(2, 1, n), eta


def means(link, eta):
    eta = eta.astype(LONG)
    if link == "probit":
        return special.ndtr(eta.astype(float)).astype(LONG)
    return {
        "identity": lambda: eta,
        "log": lambda: np.exp(eta),
        "inverse": lambda: 1 / eta,
        "logit": lambda: 1 / (1 + np.exp(-eta)),
        "cloglog": lambda: -np.expm1(-np.exp(eta)),
    }[link]()


def likelihood_loss(name, y, mean, power):
    """Minus the logarithm of the density at dispersion 1, without what is the target's alone, in long double."""
    y = y.astype(LONG)
    if name == "binomial":
        return -(y * np.log(mean) + (1 - y) * np.log1p(-mean))
    if name == "negative.binomial":
        theta = LONG(0.7)
        return (y + 1 / theta) * np.log1p(theta * mean) - y * np.log(mean)
    p = {"normal": 0, "poisson": 1, "gamma": 2, "inverse.gaussian": 3}.get(name, power)
    if p == 0:
        return (y - mean) ** 2 / 2
    if p == 1:
        return mean - y * np.log(mean)
    if p == 2:
        return y / mean + np.log(mean)
    return mean ** (2 - LONG(p)) / (2 - LONG(p)) - y * mean ** (1 - LONG(p)) / (1 - LONG(p))


@pytest.mark.parametrize(("name", "link", "power"), PAIRS)
def test_values_are_those_of_the_density(name, link, power):
    y, eta = drawn(name, link)
    got, *_ = answer(model(name, link, power), y, eta)
    wanted = likelihood_loss(name, y, means(link, eta), power)
    np.testing.assert_allclose(got, wanted.astype(float), rtol=2e-14, atol=2e-14)


@pytest.mark.parametrize(("name", "link", "power"), PAIRS)
def test_derivatives_agree_with_differences_and_the_expected_ones_with_a_mean_target(name, link, power):
    loss, (y, eta), step = model(name, link, power), drawn(name, link), 1e-6
    _, slope, second = answer(loss, y, eta)
    above, slope_above, _ = answer(loss, y, eta + step)
    below, slope_below, _ = answer(loss, y, eta - step)
    np.testing.assert_allclose((above - below) / (2 * step), slope, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose((slope_above - slope_below) / (2 * step), second, rtol=1e-6, atol=1e-6)
    if is_convex(loss):
        assert (second >= 0).all()
    # A loss is linear in its target, and so are its derivatives: the mean ones are those of the mean.
    mean = means(link, eta).astype(float)
    _, flat, at_mean = answer(loss, mean, eta)
    _, _, expected = answer(loss._replace(expected=True), y, eta)
    np.testing.assert_allclose(flat, 0.0, atol=1e-11 * np.abs(at_mean).max())
    np.testing.assert_allclose(at_mean, expected, rtol=1e-9)
    assert (expected > 0).all()


def test_which_are_not_convex():
    """What is not claimed to be convex has a row that is not, but for pairs of which nothing is claimed."""
    unknown = {("negative.binomial", "inverse", None)}
    for name, link, power in PAIRS:
        loss = model(name, link, power)
        if is_convex(loss) or (name, link, power) in unknown:
            continue
        if power is not None and link != "log":
            continue
        eta = np.linspace(-6, 6, 241) if link == "log" else np.geomspace(1e-3, 1e3, 241)
        lowest = min(answer(loss, np.full(241, y), eta)[2].min() for y in (0.05, 1.0, 20.0))
        assert lowest < 0, (name, link, power)


def test_usual_pairs_have_formulas_of_their_own():
    assert LOSSES["normal"].kind() == Squared()
    assert LOSSES["poisson"].kind() == LOSSES["tweedie"].kind(power=1) == Poisson()
    assert LOSSES["gamma"].kind(link="log") == LOSSES["tweedie"].kind(power=2.0) == Gamma()
    assert LOSSES["tweedie"].kind(power=1.2) == Tweedie(1.2)
    assert LOSSES["tweedie"].kind(power=3) == LOSSES["inverse.gaussian"].kind()


@pytest.mark.parametrize(("power", "own"), [(1.0, Poisson()), (2.0, Gamma()), (1.5, Tweedie(1.5)), (0.0, Squared())])
def test_the_general_formulas_are_those_of_the_usual_pairs(power, own):
    link = families.IDENTITY if power == 0 else families.LOG
    y, eta = drawn("gamma", "log")
    if power < 2:
        y[::5] = 0.0
    for got, wanted in zip(
        answer(DispersionModel(families.POWER, link, power), y, eta), answer(own, y, eta), strict=True
    ):
        np.testing.assert_allclose(got, wanted, rtol=1e-13, atol=1e-13)
    y, eta = np.arange(60.0) % 2, np.linspace(-30, 30, 60)
    general = answer(LOSSES["binomial"].kind(), y, eta)
    for got, wanted in zip(general, answer(LOSSES["logistic"].kind(), y, eta), strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-14, atol=1e-300)


# --- tails ------------------------------------------------------------------------------------------------------


@njit
def special_functions(x, which):
    out = np.empty(x.size)
    for i in range(x.size):
        if which == 0:
            out[i] = families._erfcx(x[i])
        elif which == 1:
            out[i] = families._half_gauss(x[i])
        elif which == 2:
            out[i] = families._log(x[i])
        elif which == 3:
            out[i] = families._log1p(x[i])
        else:
            out[i] = families._log1m(x[i])
    return out


WIDE = np.concatenate((np.linspace(0, 40, 20_001), np.geomspace(1e-300, 1e200, 20_001)))
UP_TO_37 = np.linspace(0, 37, 20_001)


@pytest.mark.parametrize(
    ("which", "x", "wanted"),
    [
        (0, WIDE, special.erfcx(WIDE)),
        (1, UP_TO_37, np.exp(-(UP_TO_37.astype(LONG) ** 2) / 2).astype(float)),
        (2, WIDE[1:], np.log(WIDE[1:].astype(LONG)).astype(float)),
        (3, WIDE, np.log1p(WIDE.astype(LONG)).astype(float)),
        (4, np.linspace(0, 0.5, 10_001), np.log1p(-np.linspace(0, 0.5, 10_001).astype(LONG)).astype(float)),
    ],
    ids=["erfcx", "half_gauss", "log", "log1p", "log1m"],
)
def test_special_functions(which, x, wanted):
    np.testing.assert_allclose(special_functions(x, which), wanted, rtol=2e-15, atol=0)


@njit
def of_link(x, which):
    out = np.empty((6, x.size))
    for i in range(x.size):
        if which == 0:
            one = families._of_logit(x[i])
        elif which == 1:
            one = families._of_probit(x[i])
        elif which == 2:
            one = families._of_cloglog(x[i])
        else:
            one = families._of_log_share(x[i])
        for k in range(6):
            out[k, i] = one[k]
    return out


def log_of_rest(t):
    """log(1 - exp(-t)), from the side that keeps its digits."""
    far = t > 0.7
    return np.where(far, np.log1p(-np.exp(-np.where(far, t, 1))), np.log(-np.expm1(-t))).astype(float)


def test_probabilities_near_0_and_1_keep_their_digits():
    """Logarithms of p and 1 - p, and the sizes of their slopes, far out in both tails."""
    x = np.linspace(-600, 600, 4801)
    log_p, log_q, up, down, *_ = of_link(x, 0)
    np.testing.assert_allclose(log_p, special.log_expit(x), rtol=1e-14)
    np.testing.assert_allclose(log_q, special.log_expit(-x), rtol=1e-14)
    np.testing.assert_allclose(up, special.expit(-x), rtol=1e-14)
    np.testing.assert_allclose(down, special.expit(x), rtol=1e-14)

    x = np.linspace(-37, 37, 4801)
    log_p, log_q, up, down, *_ = of_link(x, 1)
    np.testing.assert_allclose(log_p, special.log_ndtr(x), rtol=3e-13)  # which SciPy rounds at the far end
    np.testing.assert_allclose(log_p[x <= 0], special.log_ndtr(x[x <= 0]), rtol=2e-15)
    mirrored = of_link(-x, 1)
    np.testing.assert_allclose(log_q, mirrored[0], rtol=1e-15)
    np.testing.assert_allclose(down, mirrored[2], rtol=1e-15)
    hazard = np.sqrt(2 / np.pi) / special.erfcx(-np.minimum(x, 0) / np.sqrt(2))
    np.testing.assert_allclose(up[x <= 0], hazard[x <= 0], rtol=2e-15)

    x = np.linspace(-600, 6, 4801)
    t = np.exp(x.astype(LONG))
    log_p, log_q, up, down, *_ = of_link(x, 2)
    np.testing.assert_allclose(log_q, -t.astype(float), rtol=1e-14)
    np.testing.assert_allclose(log_p, log_of_rest(t), rtol=1e-13)
    np.testing.assert_allclose(up, (t / np.expm1(t)).astype(float), rtol=1e-13)
    assert of_link(np.array([-800.0]), 2)[0, 0] == -800.0  # where exp(x) is zero

    x = -np.geomspace(1e-14, 600, 4801)
    _, log_q, up, down, *_ = of_link(x, 3)
    share = np.exp(x.astype(LONG))
    np.testing.assert_allclose(log_q, log_of_rest(-x.astype(LONG)), rtol=1e-14)
    np.testing.assert_allclose(down, (share / -np.expm1(x.astype(LONG))).astype(float), rtol=1e-14)
    assert (up == 1).all()


@pytest.mark.parametrize("link", ["logit", "probit", "cloglog"])
def test_sure_rows_of_the_right_kind_lose_nothing(link):
    loss = LOSSES["binomial"].kind(link=link)
    value, slope, second = answer(loss, [1.0, 0.0], [800.0, -800.0])
    assert (np.abs(value) < 1e-300).all()
    assert (np.abs(slope) < 1e-300).all()
    assert (np.abs(second) < 1e-300).all()


def test_rare_events_keep_their_logarithm_where_the_rate_underflows():
    eta = np.array([-700.0, -708.5, -720.0, -744.0, -745.0, -800.0])
    value, slope, _ = answer(LOSSES["binomial"].kind(link="cloglog"), np.ones(6), eta)
    np.testing.assert_allclose(value, -eta, rtol=1e-14)
    np.testing.assert_allclose(slope, -1.0, rtol=1e-14)


def test_counts_of_zero_with_a_mean_that_underflows():
    value, slope, _ = answer(LOSSES["negative.binomial"].kind(theta=0.5), [0.0, 0.0], [-800.0, -710.0])
    assert (np.abs(value) < 1e-300).all()
    assert (np.abs(slope) < 1e-300).all()
    value, _, _ = answer(LOSSES["negative.binomial"].kind(theta=0.5), [3.0], [-800.0])
    assert value[0] == pytest.approx(2400)


# --- what a link does not allow ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "link", "power"), PAIRS)
def test_outside_the_loss_is_infinite_and_with_an_edge_a_parabola(name, link, power):
    loss = model(name, link, power)
    least, most = eta_allowed(loss)
    assert (np.isfinite(least) or np.isfinite(most)) == (
        (name == "binomial" and link in ("log", "identity")) or (name not in ("binomial", "normal") and link != "log")
    )
    y = np.full(2, 0.5)
    for end, outward in ((least, -1.0), (most, 1.0)):
        if not np.isfinite(end):
            continue
        value, _, _ = answer(loss, y, [end, end + outward])
        assert (value == np.inf).all()
        edge, step = 0.1, 1e-5
        at, far = end - outward * edge, end + outward * np.array([0.5, 3.0])
        value, slope, second = answer(within(loss, edge), y, far)
        inner, inner_slope, expected = answer(loss._replace(expected=True), y[:1], [at])
        gap = far - at
        np.testing.assert_allclose(value, inner + gap * (inner_slope + 0.5 * expected * gap), rtol=1e-12)
        np.testing.assert_allclose(slope, inner_slope + expected * gap, rtol=1e-12)
        np.testing.assert_allclose(second, expected.repeat(2), rtol=1e-12)
        around = answer(within(loss, edge), np.full(2, 0.5), [at - step, at + step])
        assert around[0][0] == pytest.approx(around[0][1], rel=2e-3, abs=1e-4)
    np.testing.assert_array_equal(within(Poisson(), 0.1), Poisson())


@pytest.mark.parametrize(("name", "link", "power"), PAIRS)
def test_rows_without_weight_count_nothing_and_nan_stays_nan(name, link, power):
    loss = model(name, link, power)
    for bad in (np.nan, -5.0, 0.0, 5.0, np.inf, -1e300):
        for one in (loss, within(loss, 0.1)):
            value, slope, second = answer(one, [1.0], [bad], np.zeros(1))
            assert (value[0], slope[0], second[0]) == (0, 0, 0)
    for one in (loss, within(loss, 0.1)):
        value, slope, _ = answer(one, [0.5], [np.nan])
        assert np.isnan(value[0])
        assert np.isnan(slope[0])
