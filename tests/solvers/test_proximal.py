"""L1 penalties, elastic nets and bounds: the minimum, whatever the loss, against what others find and formulas say."""

import warnings
from importlib import import_module

import numpy as np
import pytest
from scipy import optimize, special
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression

from fullbatch import (
    FitWarning,
    GeneralizedLinearRegressor,
    LogisticRegression,
    Objective,
    SerialEngine,
    Status,
    ThreadEngine,
    array_sources,
    load_model,
    minimize,
)
from fullbatch.models.linear import Linear
from fullbatch.objective.proximal import LEAST_DAMPING, Cornered, _face_minimum
from fullbatch.objective.variables import Standardized
from fullbatch.protocols.answers import Curves, Point
from fullbatch.protocols.seams import Facts, Parameters, Penalty

# --- against others -----------------------------------------------------------------------------------------------


def test_the_lasso_of_the_diabetes_data():
    X, y = load_diabetes(return_X_y=True)
    model = GeneralizedLinearRegressor(alpha=0.1, l1_ratio=1.0).fit(X, y)
    assert model.result_.value == pytest.approx(1629.054542579, rel=1e-12)  # of celer and skglm, at tol 1e-14
    assert (model.coef_ != 0).sum() == 7
    assert model.result_.passes == 2
    other = Lasso(alpha=0.1, tol=1e-14, max_iter=10**6).fit(X, y)
    np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-5)


@pytest.mark.parametrize("alpha", [1.0, 0.01])
@pytest.mark.parametrize("l1_ratio", [0.2, 0.9])
def test_elastic_nets(alpha, l1_ratio):
    X, y = load_diabetes(return_X_y=True)
    model = GeneralizedLinearRegressor(alpha=alpha, l1_ratio=l1_ratio).fit(X, y)
    other = ElasticNet(alpha=alpha, l1_ratio=l1_ratio, tol=1e-14, max_iter=10**6).fit(X, y)
    np.testing.assert_allclose(model.coef_, other.coef_, atol=1e-5)
    assert model.intercept_ == pytest.approx(other.intercept_, rel=1e-9)


def test_bounded_least_squares():
    X, y = load_diabetes(return_X_y=True)
    positive = GeneralizedLinearRegressor(lower_bounds=0.0).fit(X, y)
    np.testing.assert_allclose(positive.coef_, LinearRegression(positive=True).fit(X, y).coef_, atol=1e-5)
    assert "at-bounds" in [notice.code for notice in positive.result_.notices]
    lower, upper = np.full(10, -100.0), np.linspace(50, 500, 10)
    boxed = GeneralizedLinearRegressor(lower_bounds=lower, upper_bounds=upper).fit(X, y)
    columns = np.column_stack((X, np.ones(len(y))))
    other = optimize.lsq_linear(columns, y, (np.append(lower, -np.inf), np.append(upper, np.inf)), tol=1e-15)
    np.testing.assert_allclose(boxed.coef_, other.x[:-1], atol=1e-5)
    assert ((boxed.coef_ == lower) | (boxed.coef_ == upper)).sum() == np.sum(other.active_mask != 0)


# --- against formulas -----------------------------------------------------------------------------------------------

LOSSES = {
    "squared": (lambda eta, y: (eta - y) ** 2 / 2, lambda eta, y: eta - y),
    "logistic": (lambda eta, y: np.logaddexp(0, eta) - y * eta, lambda eta, y: special.expit(eta) - y),
    "poisson": (lambda eta, y: np.exp(eta) - y * eta, lambda eta, y: np.exp(eta) - y),
    "gamma": (lambda eta, y: y * np.exp(-eta) + eta, lambda eta, y: 1 - y * np.exp(-eta)),
    "huber": (
        lambda eta, y: np.where(np.abs(eta - y) <= 1.35, (eta - y) ** 2 / 2, 1.35 * (np.abs(eta - y) - 0.675)),
        lambda eta, y: np.clip(eta - y, -1.35, 1.35),
    ),
}
PENALTIES = {
    "l1": {"l1": 0.02},
    "elastic net": {"l1": 0.05, "l2": 0.01},
    "not negative": {"lower": 0.0},
    "box and l1": {"lower": -0.1, "upper": 0.2, "l1": 0.005},
}


def data(loss, n=300, p=9):
    rng = np.random.default_rng(7)
    X = rng.standard_normal((n, p))
    X[:, 1] = X[:, 0] + 0.05 * X[:, 1]  # correlated
    X[:, 3] *= 100.0
    eta = X @ (np.where(np.arange(p) % 2, 0.3, 0.0) / np.sqrt((X**2).mean(axis=0))) + 0.5
    y = {
        "squared": eta + rng.standard_normal(n),
        "huber": eta + rng.standard_t(2, n),
        "logistic": (rng.random(n) < special.expit(3 * eta)).astype(float),
        "poisson": rng.poisson(np.exp(eta)).astype(float),
        "gamma": rng.gamma(2.0, np.exp(eta) / 2.0) + 1e-3,
    }[loss]
    return X, y, rng.uniform(0.5, 2, n)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_the_conditions_of_a_minimum_hold(loss, penalty):
    X, y, weight = data(loss)
    options = {"delta": 1.35} if loss == "huber" else None
    blocks = SerialEngine().place(Linear(loss, options=options), array_sources(X, y, weight, blocks=3))
    objective = Objective(blocks, variables=Standardized(blocks.schema, 1), **penalty)
    result = minimize(objective, np.zeros(objective.size), tol=1e-12)
    assert result.status is Status.CONVERGED
    assert result.known_by == "hessian"
    theta = objective.variables.to_blocks(result.theta)
    coef, eta, share = theta[:-1], X @ theta[:-1] + theta[-1], weight / weight.sum()
    value, slope = (formula(eta, y) for formula in LOSSES[loss])
    l1, l2 = penalty.get("l1", 0.0), penalty.get("l2", 0.0)
    F = share @ value + l1 * np.abs(coef).sum() + l2 * (coef @ coef) / 2
    assert result.value == pytest.approx(F, rel=1e-12)
    pull, size = X.T @ (share * slope) + l2 * coef, np.sqrt((X**2).mean(axis=0))
    lower, upper = penalty.get("lower", -np.inf), penalty.get("upper", np.inf)
    near, free = 1e-5 * size, (coef > lower) & (coef < upper) & (coef != 0)
    assert abs(share @ slope) < 1e-6
    assert (np.abs(pull + l1 * np.sign(coef))[free] <= near[free]).all()
    zero = (coef == 0) & (lower < 0)
    assert (np.abs(pull[zero]) <= l1 + near[zero]).all()
    assert (pull[coef == lower] >= (-l1 if lower == 0 else l1) - near[coef == lower]).all()
    assert (pull[coef == upper] <= -l1 + near[coef == upper]).all()
    assert not free.all()


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("penalty", [{"lower": 0.0}, {"lower": -1e4, "upper": 1.2e5}, {"l1": 0.05}], ids=str)
def test_quantiles_of_targets_a_million_times_the_smoothing(seed, penalty):
    """All rows but a few are on straight stretches: the minimum is near that of a linear program."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((400, 6))
    y = (X @ [1, 2, 0, -1, 0.5, 0] + rng.standard_t(2, 400)) * 1e5
    options = {"quantile": 0.3, "smoothing": 0.1}
    blocks = SerialEngine().place(Linear("quantile", options=options), array_sources(X, y))
    objective = Objective(blocks, variables=Standardized(blocks.schema, 1), **penalty)
    result = minimize(objective, np.zeros(7))
    assert result.status is Status.CONVERGED, result.message
    # Of coefficients as differences of two numbers, the intercept's two, and residuals above and below.
    cost = np.concatenate(
        (np.full(12, penalty.get("l1", 0.0)), [0, 0], np.full(400, 0.3 / 400), np.full(400, 0.7 / 400))
    )
    ones, unit = np.ones((400, 1)), np.eye(400)
    bounds = [(0, penalty.get("upper"))] * 6 + [(0, -penalty["lower"] if "lower" in penalty else None)] * 6
    program = optimize.linprog(
        cost, A_eq=np.hstack((X, -X, ones, -ones, unit, -unit)), b_eq=y, bounds=bounds + [(0, None)] * 802
    )
    assert abs(result.value - program.fun) <= 0.1  # by no more do losses differ that are smoothed so


def test_classes_with_an_elastic_net():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 6))
    y = (X @ rng.standard_normal((6, 3)) + rng.gumbel(size=(200, 3))).argmax(axis=1)
    model = LogisticRegression(C=0.2, l1_ratio=0.6, tol=1e-6).fit(X, y)
    eta = X @ model.coef_.T + model.intercept_
    pull = (special.softmax(eta, axis=1) - np.eye(3)[y]).T @ X / len(y) + model.l2_ * model.coef_
    free = model.coef_ != 0
    assert 0 < free.sum() < free.size
    np.testing.assert_allclose(pull[free], -model.l1_ * np.sign(model.coef_[free]), atol=1e-6)
    assert np.abs(pull[~free]).max() <= model.l1_ + 1e-6
    assert (model.l1_, model.l2_) == pytest.approx((0.6 / 0.2 / 200, 0.4 / 0.2 / 200))


@pytest.mark.parametrize("kind", ["correlated", "scales", "collinear", "more columns than rows"])
def test_difficult_columns(kind):
    rng = np.random.default_rng(3)
    n, p = (40, 60) if kind == "more columns than rows" else (200, 30)
    X = rng.standard_normal((n, p))
    if kind == "correlated":
        X = np.sqrt(0.95) * np.repeat(rng.standard_normal((n, 3)), 10, axis=1) + np.sqrt(0.05) * X
    if kind == "scales":
        X *= 10.0 ** np.linspace(-3, 3, p)
    if kind == "collinear":
        X[:, 15:] = X[:, :15] @ rng.standard_normal((15, 15))
    y = (rng.random(n) < special.expit(X @ (rng.standard_normal(p) / np.abs(X).mean(axis=0) / 3))).astype(int)
    objective = Objective(SerialEngine().place(Linear("logistic"), array_sources(X, y)), l1=1e-3 * np.abs(X).mean())
    result = minimize(objective, np.zeros(objective.size), tol=1e-12)
    assert result.status is Status.CONVERGED
    coef, slope = result.theta[:-1], (special.expit(X @ result.theta[:-1] + result.theta[-1]) - y) / n
    pull, l1, near = X.T @ slope, objective.penalty.l1[0], 1e-6 * np.sqrt((X**2).mean(axis=0))
    assert (np.abs(pull) <= l1 + near).all()
    assert (np.abs(pull + l1 * np.sign(coef))[coef != 0] <= near[coef != 0]).all()
    assert result.passes <= 30


# --- the quadratic model ------------------------------------------------------------------------------------------


def test_the_model_is_minimised_whatever_its_faces():
    rng = np.random.default_rng(1)
    for size in (1, 2, 7, 20, 90):  # the last one is compiled
        for _ in range(5):
            root = rng.standard_normal((size + 1, size)) * 10.0 ** rng.uniform(-3, 3, size)
            matrix, grad, theta = root.T @ root, 10.0 * rng.standard_normal(size), np.zeros(size)
            of_scale = np.sqrt(matrix.diagonal())
            penalty = Penalty(
                np.zeros(size),
                np.where(rng.random(size) < 0.5, rng.uniform(0, 10, size), 0.0),
                np.where(rng.random(size) < 0.5, -rng.uniform(0, 2, size) / of_scale, -np.inf),
                np.where(rng.random(size) < 0.5, rng.uniform(0, 2, size) / of_scale, np.inf),
            )
            facts = Facts(9, Parameters(size, np.ones(size, bool)), penalty.l2, frozenset(), penalty=penalty)
            model = Cornered.of(Curves(matrix, Point(0.0, grad)), theta, facts, "float64")
            found, reached = model.minimum()
            assert reached
            slope = penalty.steepest(found, grad + matrix @ found + LEAST_DAMPING["float64"] * of_scale**2 * found)
            assert (np.abs(slope) <= 1e-10 * (np.abs(grad) + of_scale + np.abs(matrix) @ np.abs(found))).all()
            assert model.change(found) <= min(model.change(penalty.nearest(found + step)) for step in np.eye(size))


@pytest.mark.parametrize("size", [20, 90])
def test_coordinates_of_groups_move_together_beside_those_of_none(size):
    """Compiled sweeps over the others leave them where they are."""
    rng = np.random.default_rng(3)
    X, numbers = rng.standard_normal((2 * size, size)), np.repeat([0, 1, 2, -1], size // 4 + 1)[:size]
    matrix, grad = X.T @ X / (2 * size), rng.standard_normal(size)
    free = np.full(size, np.inf)
    l21 = np.choose(numbers + 1, [0.0, 0.3, 1.5, 50.0])
    penalty = Penalty(np.zeros(size), np.where(numbers < 0, 0.4, 0.1), -free, free, l21, numbers)
    facts = Facts(9, Parameters(size, np.ones(size, bool)), penalty.l2, frozenset(), penalty=penalty)
    found, reached = Cornered.of(Curves(matrix, Point(0.0, grad)), np.zeros(size), facts, "float64").minimum()
    assert reached
    assert [found[numbers == one].any() for one in (-1, 0, 1, 2)] == [True, True, True, False]
    assert np.abs(penalty.steepest(found, grad + matrix @ found)).max() <= 1e-10


def test_a_minimum_of_many_coordinates_is_reached_though_rounding_adds_up():
    """What their sums round to is more than what single slopes do: what F may still fall by is next to nothing."""
    rng, size, free = np.random.default_rng(2), 300, np.full(300, np.inf)
    X = rng.standard_normal((600, size)) + rng.standard_normal((600, 1))
    matrix, target = X.T @ X / 600, rng.standard_normal(size)
    penalty = Penalty(np.zeros(size), np.zeros(size), -free, free)
    facts = Facts(9, Parameters(size, np.ones(size, bool)), penalty.l2, frozenset(), penalty=penalty)
    model = Cornered.of(Curves(matrix, Point(0.0, -matrix @ target)), np.zeros(size), facts, "float64")
    found, reached = model.minimum()
    assert reached
    np.testing.assert_allclose(found, target, atol=1e-10)


def test_what_has_no_strength_crosses_zero_on_its_way_to_the_minimum_of_a_face():
    """At once: only what has one stops at the corner."""
    matrix, x = np.array([[2.0, 0.5], [0.5, 1.0]]), np.array([0.1, 0.1])
    target = np.array([-3.0, 2.0])
    for l1, wanted in (([0.0, 0.0], target), ([1e-9, 0.0], [0.0, 0.1 + 0.5 * 0.1 - (matrix @ (x - target))[1]])):
        penalty = Penalty(np.zeros(2), np.array(l1), np.full(2, -np.inf), np.full(2, np.inf))
        found = _face_minimum(matrix, matrix @ (x - target), x, penalty, np.zeros(2))
        np.testing.assert_allclose(found, wanted, rtol=1e-8)


def test_of_a_way_that_ends_at_a_bound_the_better_part_is_gone():
    """The whole step is cut off at both bounds; where it meets the first of them it is better to turn."""
    matrix, target = np.array([[10.0, -6.0], [-6.0, 5.0]]), np.array([1.0, 0.5])
    penalty = Penalty(np.zeros(2), np.zeros(2), np.full(2, -1.0), np.array([0.5, 0.3]))
    found = _face_minimum(matrix, -matrix @ target, np.zeros(2), penalty, np.zeros(2))
    np.testing.assert_allclose(found, [0.5, -0.1], rtol=1e-12)  # where -6 (0.5 - 1) + 5 (x - 0.5) is 0


def test_steepness_is_the_share_of_the_curvature_that_coordinates_have_by_themselves():
    """Whatever the scales of coordinates, and of those of a group."""
    rng = np.random.default_rng(2)
    root, numbers = rng.standard_normal((6, 4)) * [1.0, 10.0, 0.1, 3.0], np.array([0, 0, 0, -1])
    matrix, way = root.T @ root, rng.standard_normal(4)
    free = np.full(4, np.inf)
    penalty = Penalty(np.zeros(4), np.zeros(4), -free, free, np.array([0.1, 0.1, 0.1, 0.0]), numbers)
    facts = Facts(9, Parameters(4, np.ones(4, bool)), penalty.l2, frozenset(), penalty=penalty)
    model = Cornered.of(Curves(matrix, Point(0.0, np.ones(4))), np.zeros(4), facts, "float64")
    assert model.steepness(way) == pytest.approx(way @ matrix @ way / (matrix.diagonal() @ way**2), rel=1e-12)


# --- runs -----------------------------------------------------------------------------------------------------------


def breast_cancer_objective(engine, l1=0.01, dtype=np.float64, blocks=5):
    X, y = load_breast_cancer(return_X_y=True)
    X = ((X - X.mean(axis=0)) / X.std(axis=0)).astype(dtype)
    placed = engine.place(Linear("logistic"), array_sources(X, y, blocks=blocks))
    return Objective(placed, variables=Standardized(placed.schema, 1), l1=l1)


def test_the_same_bytes_on_engines_and_after_a_checkpoint(tmp_path):
    objective = breast_cancer_objective(SerialEngine())
    whole = minimize(objective, np.zeros(objective.size))
    assert 8 <= whole.passes <= 12
    for workers in (1, 3):
        threads = breast_cancer_objective(ThreadEngine(workers))
        assert minimize(threads, np.zeros(objective.size)).theta.tobytes() == whole.theta.tobytes()
    first = minimize(objective, np.zeros(objective.size), checkpoint=tmp_path, max_iter=3)
    assert first.status is Status.MAX_ITER
    second = minimize(objective, np.zeros(objective.size), checkpoint=tmp_path)
    assert second.resumed_at == 3
    assert second.theta.tobytes() == whole.theta.tobytes()
    with pytest.raises(ValueError, match="l1 of the parameters"):
        minimize(breast_cancer_objective(SerialEngine(), l1=0.02), np.zeros(objective.size), checkpoint=tmp_path)


def test_float32_ends_as_near_as_float64():
    exact = minimize(breast_cancer_objective(SerialEngine()), np.zeros(31), tol=1e-14)
    single = minimize(breast_cancer_objective(SerialEngine(), dtype=np.float32), np.zeros(31))
    assert single.success
    assert single.value == pytest.approx(exact.value, rel=1e-6)
    assert np.array_equal(single.theta != 0, exact.theta != 0)


def test_more_than_the_largest_strength_leaves_the_null_model():
    objective = breast_cancer_objective(SerialEngine())
    strongest = np.abs(objective.value_and_grad(np.append(np.zeros(30), 0.521)).grad[:-1]).max()
    result = minimize(breast_cancer_objective(SerialEngine(), l1=1.01 * strongest), np.zeros(31))
    assert result.status is Status.CONVERGED
    assert not result.theta[:-1].any()
    below = minimize(breast_cancer_objective(SerialEngine(), l1=0.9 * strongest), np.zeros(31))
    assert 1 <= (below.theta[:-1] != 0).sum() <= 5


@pytest.mark.parametrize("solver", ["lbfgs", "newton", "sampled-lbfgs", "newton-cg", "scipy-lbfgsb"])
def test_other_solvers_refuse_what_they_do_not_know(solver):
    with pytest.raises(ValueError, match="does not know penalties with l1: use 'proximal-newton'"):
        minimize(breast_cancer_objective(SerialEngine()), np.zeros(31), solver=solver)


# --- estimators -----------------------------------------------------------------------------------------------------


def test_bounds_and_strengths_by_names(tmp_path):
    pandas = import_module("pandas")
    rng = np.random.default_rng(5)
    frame = pandas.DataFrame({"a": rng.standard_normal(200), "b": 50 * rng.standard_normal(200)})
    frame["region"] = np.resize(["north", "south", "west"], 200)
    y = frame["a"] - 0.02 * frame["b"] + (frame["region"] == "west") + 0.1 * rng.standard_normal(200)
    model = GeneralizedLinearRegressor(
        alpha=0.1,
        l1_ratio=0.5,
        P1={"region": 0.0, "b": 0.0},
        P2={"a": 2.0, "region=west": 0.0},
        lower_bounds={"b": -0.01},
        upper_bounds={"region": 0.25, "a": np.inf},
        standardize=True,
    ).fit(frame, y)
    assert model.get_feature_names_out().tolist() == ["a", "b", "region=north", "region=south", "region=west"]
    assert model.coef_[1] == -0.01
    assert model.coef_[4] == 0.25
    deviation = np.array([frame["a"].std(ddof=0), frame["b"].std(ddof=0), *[np.sqrt(2) / 3] * 3])
    codes = (frame["region"].to_numpy()[:, None] == ["north", "south", "west"]).astype(float)
    columns = np.column_stack((frame[["a", "b"]], codes))
    deviation[2:] = codes.std(axis=0)
    slope = (columns @ model.coef_ + model.intercept_ - y.to_numpy()) / 200
    pull = columns.T @ slope + 0.05 * np.array([2, 1, 1, 1, 0]) * deviation**2 * model.coef_
    free = [0, 2, 3]
    strengths = 0.05 * np.array([1, 0, 0, 0, 0]) * deviation
    np.testing.assert_allclose(pull[free], -(strengths * np.sign(model.coef_))[free], atol=1e-6)
    model.save(tmp_path / "model.fb")
    loaded = load_model(tmp_path / "model.fb")
    assert loaded.get_params()["P1"] == {"region": 0.0, "b": 0.0}
    assert loaded.upper_bounds == {"region": 0.25, "a": np.inf}
    assert loaded.l1_ratio == 0.5


def test_wrong_bounds_are_refused():
    X, y = load_diabetes(return_X_y=True)
    constant = np.column_stack((X, np.full(len(y), 3.0)))
    for options, rows, message in (
        ({"l1_ratio": 1.5}, X, r"l1_ratio must be a number from 0 to 1, got 1\.5"),
        ({"lower_bounds": "a"}, X, "lower_bounds must be a number and not NaN, one for each coefficient, a mapping"),
        ({"lower_bounds": [[0.0]]}, X, "lower_bounds must be a number"),
        ({"P1": -1.0}, X, "P1 must be a number of 0 or more"),
        ({"P2": {"x1": np.inf}}, X, "P2 must be a number of 0 or more, finite"),
        ({"upper_bounds": {"x0": np.nan}}, X, "upper_bounds must be a number"),
        ({"lower_bounds": [0.0, 1.0]}, X, "lower_bounds has 2 numbers and the fit 10 coefficients"),
        ({"lower_bounds": {"z": 1.0}}, X, "lower_bounds: there is no column 'z' in the fit"),
        (
            {"lower_bounds": {"x1": 1.0}, "upper_bounds": 0.0, "standardize": True},
            X,
            "column 'x1': its coefficient must be at least 1 by lower_bounds and at most 0 by upper_bounds",
        ),
        ({"lower_bounds": {"x10": 1.0}}, constant, "column 'x10' does not vary"),
    ):
        with pytest.raises(ValueError, match=message):
            GeneralizedLinearRegressor(**options).fit(rows, y)


def test_a_series_of_pandas_is_read_by_its_names():
    pandas = import_module("pandas")
    frame, y = load_diabetes(return_X_y=True, as_frame=True)
    bounds = {"bmi": 100.0, "age": 3.0}
    expected = GeneralizedLinearRegressor(upper_bounds=bounds).fit(frame, y)
    assert expected.coef_[[0, 2]].tolist() == [3.0, 100.0] or expected.coef_[2] == 100.0
    told = GeneralizedLinearRegressor(upper_bounds=pandas.Series(bounds)).fit(frame, y)
    assert told.coef_.tobytes() == expected.coef_.tobytes()


def test_what_is_held_is_exactly_at_its_bound_whatever_the_scale():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((100, 20)) * 10.0 ** rng.uniform(-3, 3, 20)
    y = X @ (rng.standard_normal(20) / X.std(axis=0)) + rng.standard_normal(100)
    lower, upper = -0.1 / X.std(axis=0), 0.1 / X.std(axis=0)
    model = GeneralizedLinearRegressor(lower_bounds=lower, upper_bounds=upper, standardize=True).fit(X, y)
    held = np.abs(model.result_.theta[:-1]) >= 0.1 * (1 - 1e-12)
    assert held.sum() > 10
    assert ((model.coef_ == lower) | (model.coef_ == upper))[held].all()


def test_a_share_of_no_penalty_is_told():
    X, y = load_diabetes(return_X_y=True)
    with pytest.warns(FitWarning, match="no-penalty"):
        GeneralizedLinearRegressor(l1_ratio=1.0).fit(X, y)


# --- attacks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spread", [1e-3, 1e-5, 3e-8, 1e-8])
def test_nearly_collinear_columns_are_not_taken_for_a_minimum(spread):
    rng = np.random.default_rng(0)
    x, z, u = rng.standard_normal((3, 300))
    y = 0.01 * z + u + 0.1 * rng.standard_normal(300)
    model = GeneralizedLinearRegressor(upper_bounds=[np.inf, np.inf, 0.8], engine="serial")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit(np.column_stack((x, x + spread * z, u)), y)
    columns = np.column_stack((x, z, u, np.ones(300)))
    best = optimize.lsq_linear(columns, y, (-np.inf, [np.inf, np.inf, 0.8, np.inf]), tol=1e-15).cost / 300
    if model.result_.success:
        assert model.result_.value - best <= 1e-6 * y.var()
    else:
        assert spread < 1e-6
        assert model.result_.remaining_r2 > 1e-6


def test_a_checkpoint_of_a_run_without_bounds_is_refused(tmp_path):
    X, y = load_diabetes(return_X_y=True)
    GeneralizedLinearRegressor(alpha=0.1, l1_ratio=1.0, checkpoint=tmp_path).fit(X, y)
    with pytest.raises(ValueError, match="is of another run: lower bounds"):
        GeneralizedLinearRegressor(alpha=0.1, l1_ratio=1.0, lower_bounds=0.0, checkpoint=tmp_path).fit(X, y)


def test_float32_columns_over_twelve_decades_end_without_an_exception():
    rng = np.random.default_rng(8)
    X = rng.standard_normal((30, 40)).astype("f4") * (10 ** rng.uniform(-6, 6, 40)).astype("f4")
    y = rng.integers(0, 3, 30)
    single, double = (LogisticRegression(l2=1e-4, l1_ratio=0.5).fit(rows, y) for rows in (X, X.astype(float)))
    assert double.result_.success
    assert single.result_.value == pytest.approx(double.result_.value, rel=1e-4)
