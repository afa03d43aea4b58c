"""The null model from sums: against a search over the intercept, with offsets, weights and blocks."""

import numpy as np
import pytest
from scipy import optimize
from scipy.special import ndtri

from fullbatch import Linear, Objective, SerialEngine, Standardized, array_sources
from fullbatch.protocols import Curvature, ValueGrad

OPTIONS = {"huber": {"delta": 0.4}, "quantile": {"quantile": 0.2, "smoothing": 0.05}, "tweedie": {"power": 1.3}}
EXACT = ("squared", "poisson", "gamma", "tweedie", "logistic", "squared_hinge", "softmax")


def problem(loss, offset=False, intercept=True, n=90):
    rng = np.random.default_rng(3)
    X, weight = rng.standard_normal((n, 3)), rng.uniform(0.2, 3, n)
    weight[::7] = 0.0
    shift = rng.uniform(-1, 2, n) if offset else None
    y = {
        "poisson": lambda: rng.poisson(2.0, n).astype(float),
        "gamma": lambda: rng.gamma(2, 2, n),
        "tweedie": lambda: rng.poisson(0.7, n) * rng.gamma(2, 2, n),
        "logistic": lambda: rng.random(n) < 0.2,
        "squared_hinge": lambda: rng.random(n) < 0.2,
        "softmax": lambda: rng.integers(0, 4, n) // 2,
    }.get(loss, lambda: 5 + rng.standard_normal(n))()
    model = Linear(loss, intercept, options=OPTIONS.get(loss))
    return Objective(SerialEngine().place(model, array_sources(X, y, weight, blocks=4, offset=shift)))


@pytest.mark.parametrize("loss", EXACT)
def test_it_stands_as_far_above_the_least_as_the_best_intercept_leaves_it(loss):
    numbers = loss in ("squared", "poisson", "gamma", "tweedie")
    for offset in (False, True) if numbers else (False,):
        fun = problem(loss, offset)
        outputs = len(fun.blocks.parameters.predictors)

        def of_intercepts(intercepts, fun=fun, outputs=outputs):
            theta = np.zeros(fun.size)
            theta[-outputs:] = intercepts
            return fun.full_loss(theta)

        best = optimize.minimize(of_intercepts, np.zeros(outputs), tol=1e-12)
        facts = fun.facts
        assert facts.parameters.null == pytest.approx(best.fun - facts.least, rel=1e-7)
        if numbers:
            assert fun.blocks.schema.null.null().intercept == pytest.approx(best.x[0], abs=1e-4)


def test_of_counts_of_zero_the_model_without_an_intercept_is_known():
    blocks = SerialEngine().place(Linear("poisson"), array_sources(np.ones((5, 2)), np.zeros(5), blocks=2))
    assert blocks.schema.null.null().deviance == pytest.approx(1.0)  # exp(0), where no mean above 0 is the best


@pytest.mark.parametrize(
    ("loss", "quantile"), [("huber", None), ("quantile", 0.1), ("quantile", 0.5), ("quantile", 0.9)]
)
def test_of_huber_and_quantile_it_is_of_that_order(loss, quantile, monkeypatch):
    if quantile is not None:
        monkeypatch.setitem(OPTIONS, "quantile", {"quantile": quantile, "smoothing": 0.05})
    fun = problem(loss)
    theta = np.zeros(fun.size)

    def of_intercept(intercept):
        theta[-1] = intercept
        return fun.full_loss(theta)

    best = optimize.minimize_scalar(of_intercept, (0, 5, 10)).fun - fun.facts.least
    assert 0.5 * best < fun.facts.parameters.null < 3 * best


@pytest.mark.parametrize(
    ("loss", "options"), [("huber", {"delta": 0.4}), ("quantile", {"quantile": 0.5, "smoothing": 0.05})]
)
def test_a_row_far_off_does_not_make_it_that_of_a_parabola(loss, options):
    """The variance of the targets, which says what it is under the squared loss, is 1e10."""
    X, y = np.ones((100, 1)), np.where(np.arange(100) == 7, 1e6, np.arange(100) % 3)
    fun = Objective(SerialEngine().place(Linear(loss, options=options), array_sources(X, y)))
    at_median = (options.get("delta") or 0.5) * 1e6 / 100
    assert fun.facts.parameters.null == pytest.approx(at_median, rel=0.05)


@pytest.mark.parametrize("loss", [*EXACT, "huber", "quantile"])
def test_no_prediction_has_less_than_the_least(loss):
    """Each row's own best prediction: one column a row."""
    rng = np.random.default_rng(0)
    y = {"logistic": np.array([0, 1, 1, 0]), "squared_hinge": np.array([0, 1, 1, 0]), "softmax": np.array([0, 1, 2, 0])}
    target = y.get(loss, rng.gamma(2, 1, 4))
    model = Linear(loss, options=OPTIONS.get(loss))
    fun = Objective(SerialEngine().place(model, array_sources(np.eye(4), target)))
    free = optimize.minimize(
        fun.full_loss, np.zeros(fun.size), jac=fun.full_grad, method="BFGS", options={"gtol": 1e-9}
    )
    assert free.fun >= fun.facts.least - 1e-12
    assert free.fun == pytest.approx(fun.facts.least, abs=2e-4)


LINKS = [
    ("normal", "log"),
    ("normal", "inverse"),
    ("binomial", "probit"),
    ("binomial", "identity"),
    ("poisson", "identity"),
    ("gamma", "inverse"),
    ("inverse.gaussian", "log"),
    ("negative.binomial", "log"),
    ("tweedie", "log"),
]


def family_problem(loss, link, offset=None, intercept=True):
    rng = np.random.default_rng(3)
    y, weight = rng.gamma(2, 1, 90), rng.uniform(0.2, 3, 90)
    y = y / 20 if loss == "binomial" else y
    weight[::7] = 0.0
    options = {"link": link} | ({"power": 2.7} if loss == "tweedie" else {})
    model = Linear(loss, intercept, options=options)
    X = rng.standard_normal((90, 3))
    return Objective(SerialEngine().place(model, array_sources(X, y, weight, blocks=4, offset=offset)))


@pytest.mark.parametrize(("loss", "link"), LINKS)
def test_the_null_model_of_a_family_with_a_link(loss, link):
    fun = family_problem(loss, link)
    null = fun.blocks.schema.null.null()

    def of_intercept(intercept):
        theta = np.zeros(fun.size)
        theta[-1] = intercept
        return fun.full_loss(theta)

    around = null.intercept + np.array([-1e-3, 0, 1e-3]) * abs(null.intercept)
    values = [of_intercept(one) for one in around]
    assert values[1] < min(values[0], values[2])
    assert fun.facts.parameters.null == pytest.approx(values[1] - fun.facts.least, rel=1e-9)


@pytest.mark.parametrize("loss", ["inverse.gaussian", "tweedie"])
def test_offsets_and_the_logarithm_are_exact(loss):
    shift = np.random.default_rng(4).uniform(-1, 1, 90)
    fun = family_problem(loss, "log", offset=shift)
    theta = np.zeros(fun.size)
    theta[-1] = fun.blocks.schema.null.null().intercept
    assert abs(fun.full_grad(theta)[-1]) < 1e-12
    assert fun.facts.parameters.null == pytest.approx(fun.full_loss(theta) - fun.facts.least, rel=1e-9)


def test_offsets_of_other_links_leave_the_order_of_the_null_deviance():
    shift = np.random.default_rng(4).uniform(-0.3, 0.3, 90)
    for loss, link in (("binomial", "probit"), ("negative.binomial", "log"), ("normal", "log")):
        with_offset, without = (family_problem(loss, link, offset=one).facts.parameters.null for one in (shift, None))
        assert with_offset == pytest.approx(without / 4, rel=1e-12)


@pytest.mark.parametrize(("loss", "link"), [*LINKS, ("binomial", "log"), ("gamma", "identity")])
def test_no_mean_has_less_than_the_least_of_a_family(loss, link):
    """Each row's own best mean."""
    fun = family_problem(loss, link)
    rows = fun.blocks.schema.null
    targets = np.random.default_rng(3).gamma(2, 1, 90) / (20 if loss == "binomial" else 1)
    rng = np.random.default_rng(3)
    rng.gamma(2, 1, 90)
    weight = rng.uniform(0.2, 3, 90)
    weight[::7] = 0.0
    options = {"link": link} | ({"power": 2.7} if loss == "tweedie" else {})
    saturated = Objective(
        SerialEngine().place(Linear(loss, False, options=options), array_sources(np.eye(90), targets, weight))
    )
    predictor = {
        "log": np.log,
        "inverse": lambda mean: 1 / mean,
        "identity": lambda mean: mean,
        "probit": ndtri,
    }[link]
    assert saturated.full_loss(predictor(targets)) == pytest.approx(fun.facts.least, rel=1e-10, abs=1e-12)
    assert rows.null().least == fun.facts.least


def test_without_an_intercept_a_mean_that_cannot_be_is_not_the_null_model():
    with_it, without = (family_problem("gamma", "identity", intercept=one) for one in (True, False))
    assert without.facts.parameters.null == pytest.approx(with_it.facts.parameters.null, rel=1e-12)
    assert without.facts.parameters.null < 10


@pytest.mark.parametrize("loss", ["squared", "poisson", "logistic"])
def test_without_an_intercept_it_predicts_from_the_offsets(loss):
    fun = problem(loss, offset=loss != "logistic", intercept=False)
    at_zero = fun.full_loss(np.zeros(fun.size)) - fun.facts.least
    assert fun.facts.parameters.null == pytest.approx(at_zero, rel=1e-12)


def test_targets_that_are_all_alike():
    for y in (np.zeros(5), np.full(5, 3.0)):
        fun = Objective(SerialEngine().place(Linear("squared"), array_sources(np.arange(5.0)[:, None], y)))
        assert fun.facts.parameters.null == (np.inf if y[0] == 0 else pytest.approx(4.5))


@pytest.mark.parametrize("loss", ["squared", "poisson", "gamma", "tweedie", "negative.binomial"])
def test_of_targets_that_are_all_alike_the_intercept_leaves_nothing(loss):
    """Not even what is rounding in differences of sums."""
    for seed in range(8):
        weight = np.random.default_rng(seed).uniform(0.2, 3, 30)
        sources = array_sources(np.ones((30, 1)), np.full(30, 4.0 + seed), weight, blocks=3)
        blocks = SerialEngine().place(Linear(loss, options=OPTIONS.get(loss)), sources)
        assert blocks.schema.null.fitted() == 0.0


@pytest.mark.parametrize("loss", ["logistic", "softmax", "poisson"])
@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
def test_products_in_double_are_those_of_the_same_rows_in_float64(loss, dtype):
    rng = np.random.default_rng(4)
    X = (200 * rng.random((70, 5)) + 40).astype(dtype)
    y = rng.integers(0, 3 if loss == "softmax" else 2, 70)
    single, exact = (
        SerialEngine().place(Linear(loss), array_sources(rows, y, blocks=2)) for rows in (X, X.astype(np.float64))
    )
    theta = rng.standard_normal(single.parameters.size) / 300
    for request in (ValueGrad(theta, double=True), Curvature(theta, "gram", double=True)):
        got, wanted = single.sum(request), exact.sum(request)
        point, true = (getattr(one, "point", one) for one in (got, wanted))
        assert point.value == pytest.approx(true.value, rel=1e-13)
        assert point.squares == pytest.approx(true.squares, rel=1e-12)
        np.testing.assert_allclose(point.grad, true.grad, rtol=1e-10, atol=1e-10 * np.abs(true.grad).max())
        if hasattr(got, "matrix"):
            np.testing.assert_allclose(got.matrix, wanted.matrix, rtol=1e-11, atol=1e-12 * np.abs(wanted.matrix).max())
    plain = single.sum(ValueGrad(theta)).value
    assert plain != single.sum(ValueGrad(theta, double=True)).value  # or there would be nothing to test


@pytest.mark.parametrize("loss", ["huber", "quantile"])
def test_a_loss_that_is_curved_over_a_wider_stretch(loss):
    rng = np.random.default_rng(5)
    X, y, theta = rng.standard_normal((50, 3)), 3 * rng.standard_normal(50), rng.standard_normal(4)
    own = {"huber": {"delta": 0.5}, "quantile": {"quantile": 0.3, "smoothing": 0.1}}[loss]
    wider = {name: 6 * value if name != "quantile" else value for name, value in own.items()}
    share = 1 / 6 if loss == "huber" else 1.0
    narrow, wide = (
        SerialEngine().place(Linear(loss, options=options), array_sources(X, y, blocks=2)) for options in (own, wider)
    )
    got, wanted = narrow.sum(Curvature(theta, "gram", widened=6.0)), wide.sum(Curvature(theta, "gram"))
    assert got.point.value == pytest.approx(share * wanted.point.value, rel=1e-13)
    assert got.point.squares == pytest.approx(share**2 * wanted.point.squares, rel=1e-13)
    np.testing.assert_allclose(got.point.grad, share * wanted.point.grad, rtol=1e-12)
    np.testing.assert_allclose(got.matrix, share * wanted.matrix, rtol=1e-12)


@pytest.mark.parametrize("loss", ["squared", "logistic", "softmax"])
@pytest.mark.parametrize("scale", [None, False, True])
def test_what_a_single_column_explains(loss, scale):
    """The square of the correlation of a column with the score, from single rows."""
    rng = np.random.default_rng(6)
    X, weight = rng.standard_normal((80, 3)) * [1, 10, 0.1] + [0, 5, 1], rng.uniform(0.5, 2, 80)
    y = rng.standard_normal(80) if loss == "squared" else rng.integers(0, 3 if loss == "softmax" else 2, 80)
    model = Linear(loss)
    blocks = SerialEngine().place(model, array_sources(X, y, weight, blocks=3))
    outputs = model.outputs(blocks.schema)
    variables = None if scale is None else Standardized(blocks.schema, outputs, scale=scale)
    fun = Objective(blocks, variables=variables)
    theta = rng.standard_normal(fun.size) / 5
    point = fun.value_and_grad(theta)
    stored = theta if variables is None else variables.to_blocks(theta)
    coef, intercept = stored[: 3 * outputs].reshape(outputs, 3), stored[3 * outputs :]
    eta = X @ coef.T + intercept
    if loss == "squared":
        score = eta - y[:, None]
    elif loss == "logistic":
        score = 1 / (1 + np.exp(-eta)) - y[:, None]
    else:
        share = np.exp(eta)
        score = share / share.sum(axis=1, keepdims=True) - np.eye(3)[y]
    mean = np.average(X, axis=0, weights=weight)
    centred = np.column_stack((X - mean, np.ones(80)))
    slopes = weight @ (centred[:, :, None] * score[:, None]).transpose(1, 0, 2).reshape(4, 80, outputs) / weight.sum()
    spread = np.average(centred**2, axis=0, weights=weight)
    explained = (slopes**2).sum(axis=1) / spread / (weight @ (score**2).sum(axis=1) / weight.sum())
    passes = fun.num_passes
    assert fun.explained(theta, point.grad) == pytest.approx(explained.max(), rel=1e-9)
    assert fun.num_passes == passes  # what was asked for last costs nothing
    assert 0 < explained.max() <= 1
    fun.explained(theta + 1, point.grad)
    assert fun.num_passes == passes + 1
