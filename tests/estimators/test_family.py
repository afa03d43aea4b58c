"""The estimators of scikit-learn's names against scikit-learn's, converged: the same optimum of the same objective."""

import pickle
import warnings
from functools import partial
from inspect import signature
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from scipy.special import xlogy
from sklearn import linear_model, svm
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import parametrize_with_checks

import fullbatch
from fullbatch import FitWarning, Linear, Objective, SerialEngine, array_sources, load_model
from fullbatch.estimators._least_norm import least_norm

FAMILY = [
    fullbatch.LinearRegression,
    fullbatch.Ridge,
    fullbatch.Lasso,
    fullbatch.ElasticNet,
    fullbatch.PoissonRegressor,
    fullbatch.GammaRegressor,
    fullbatch.TweedieRegressor,
    fullbatch.HuberRegressor,
    fullbatch.QuantileRegressor,
    fullbatch.LinearSVC,
]


WITH_FOLDS = [fullbatch.RidgeCV, fullbatch.LassoCV, fullbatch.ElasticNetCV, fullbatch.LogisticRegressionCV]


@pytest.mark.parametrize("kind", [*FAMILY, fullbatch.LogisticRegression, *WITH_FOLDS])
def test_defaults_are_those_of_scikit_learn(kind):
    """But for which solver there is, and how long it goes on; what is "deprecated" is so from one version on."""
    theirs = signature(getattr(linear_model, kind.__name__, None) or getattr(svm, kind.__name__)).parameters
    for name, ours in signature(kind).parameters.items():
        if name in theirs and name not in ("solver", "max_iter"):
            values = [ours.default, theirs[name].default]
            assert values[0] == values[1] or {"deprecated", "warn"} & {*map(str, values)}, name


def test_estimators_are_no_other_ones_of_the_same_parameters():
    kinds = [kind for kind in map(partial(getattr, fullbatch), fullbatch.__all__) if hasattr(kind, "get_params")]
    assert {*FAMILY, fullbatch.TorchRegressor} < {*kinds}
    for kind in kinds:
        assert (kind.__eq__, kind.__hash__) == (object.__eq__, object.__hash__), kind


@pytest.mark.slow
@parametrize_with_checks([kind(engine="serial") for kind in FAMILY])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return 10.0 * X, y / 50.0


def skewed():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((300, 6)) * np.linspace(0.1, 2, 6) + np.arange(6)
    return X, rng.gamma(1.5, np.exp(0.3 * X[:, 5] - 1.5)) + 0.01


def narrow():
    rng = np.random.default_rng(5)
    X = rng.random((500, 4)) * (rng.random((500, 4)) < 0.4)
    return X, np.exp(X @ [1.0, -1.0, 0.5, 0.0]) + rng.standard_exponential(500)


# With the options that make scikit-learn go on until nothing moves.
TIGHT = {"tol": 1e-12}
PAIRS = {
    "LinearRegression": ({}, {}),
    "LinearRegression positive": ({"positive": True}, {}),
    "LinearRegression through zero": ({"fit_intercept": False}, {}),
    "Ridge": ({"alpha": 2.0}, {}),
    "Ridge positive": ({"alpha": 2.0, "positive": True}, {**TIGHT, "max_iter": 100_000}),
    "Lasso": ({"alpha": 0.05}, {**TIGHT, "max_iter": 100_000}),
    "Lasso positive": ({"alpha": 0.05, "positive": True}, {**TIGHT, "max_iter": 100_000}),
    "ElasticNet": ({"alpha": 0.1, "l1_ratio": 0.3}, {**TIGHT, "max_iter": 100_000}),
    "PoissonRegressor": ({"alpha": 0.1}, {**TIGHT, "solver": "newton-cholesky"}),
    "PoissonRegressor through zero": ({"alpha": 0.1, "fit_intercept": False}, {**TIGHT, "solver": "newton-cholesky"}),
    "GammaRegressor": ({"alpha": 0.1}, {**TIGHT, "solver": "newton-cholesky"}),
    "TweedieRegressor": ({"alpha": 0.1, "power": 1.5}, {**TIGHT, "solver": "newton-cholesky"}),
    "TweedieRegressor normal": ({"alpha": 0.1}, {**TIGHT, "solver": "newton-cholesky"}),
}


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize("data", [diabetes, skewed, narrow], ids=lambda data: data.__name__)
@pytest.mark.parametrize("name", PAIRS)
def test_same_optimum_as_scikit_learn(name, data, weighted):
    options, theirs = PAIRS[name]
    kind = name.partition(" ")[0]
    X, y = data()
    weight = np.random.default_rng(0).uniform(0.2, 2.0, len(y)) if weighted else None
    wanted = getattr(linear_model, kind)(**options, **theirs).fit(X, y, weight)
    found = getattr(fullbatch, kind)(**options, tol=1e-8, engine="serial").fit(X, y, weight)
    size = np.abs(wanted.coef_).max()
    np.testing.assert_allclose(found.coef_, wanted.coef_, atol=1e-5 * size)
    assert found.intercept_ == pytest.approx(wanted.intercept_, abs=1e-5 * max(size, abs(wanted.intercept_)))
    np.testing.assert_allclose(found.predict(X), wanted.predict(X), rtol=1e-5, atol=1e-6)
    assert found.score(X, y, weight) == pytest.approx(wanted.score(X, y, weight), abs=1e-6)


def huber_objective(X, y, weight, alpha, epsilon, coef, intercept, scale):
    z = np.abs(y - X @ coef - intercept) / scale
    of_row = scale + scale * np.where(z <= epsilon, z**2, 2.0 * epsilon * z - epsilon**2)
    return weight @ of_row + alpha * coef @ coef


@pytest.mark.parametrize("data", [diabetes, skewed, narrow], ids=lambda data: data.__name__)
@pytest.mark.parametrize("options", [{}, {"epsilon": 1.2, "alpha": 1.0}, {"epsilon": 3.0}], ids=str)
def test_huber_with_its_scale(data, options):
    X, y = data()
    weight = np.random.default_rng(0).uniform(0.2, 2.0, len(y))
    y = y.copy()
    y[::20] += 10.0 * y.std()
    wanted = linear_model.HuberRegressor(**options, tol=1e-8, max_iter=10_000).fit(X, y, weight)
    found = fullbatch.HuberRegressor(**options, tol=1e-7, engine="serial").fit(X, y, weight)
    F = [
        huber_objective(X, y, weight, one.alpha, one.epsilon, one.coef_, one.intercept_, one.scale_)
        for one in (found, wanted)
    ]
    assert F[0] <= F[1] * (1 + 1e-9)
    assert F[0] == pytest.approx(F[1], rel=1e-6)
    assert found.scale_ == pytest.approx(wanted.scale_, rel=1e-3)
    np.testing.assert_array_equal(found.outliers_, wanted.outliers_)


def pinball(residual, quantile):
    return np.maximum(quantile * residual, (quantile - 1.0) * residual)


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.8])
@pytest.mark.parametrize("alpha", [0.0, 0.02])
def test_quantile_is_as_near_to_the_linear_program_as_its_smoothing_says(quantile, alpha):
    X, y = diabetes()
    weight = np.random.default_rng(0).uniform(0.2, 2.0, len(y))
    wanted = linear_model.QuantileRegressor(quantile=quantile, alpha=alpha).fit(X, y, weight)
    found = fullbatch.QuantileRegressor(quantile=quantile, alpha=alpha, engine="serial").fit(X, y, weight)
    F = [
        weight @ pinball(y - one.predict(X), quantile) / weight.sum() + alpha * np.abs(one.coef_).sum()
        for one in (found, wanted)
    ]
    assert found.smoothing_ == pytest.approx(1e-3 * np.sqrt(np.cov(y, aweights=weight, ddof=0)), rel=1e-9)
    assert 0 <= F[0] - F[1] + 1e-9 <= 0.25 * found.smoothing_
    assert F[0] == pytest.approx(F[1], rel=1e-4)
    assert found.n_iter_ == found.result_.iterations  # of the one turn


def test_how_many_residuals_are_within_the_smoothing_is_told_by_squares_of_a_column():
    """Where there is no intercept: a row counts by the square of what it has there."""
    X, y = np.arange(1.0, 41.0)[:, None], np.random.default_rng(0).standard_normal(40)
    model = fullbatch.QuantileRegressor(fit_intercept=False, alpha=0, smoothing=0.5).fit(X, y)
    within = np.abs(y - model.predict(X)) < 0.5
    assert 0 < within.sum() < 40
    share = model._share_on_the_curve(SerialEngine().place(model._model(), array_sources(X, y, blocks=2)))
    assert share == pytest.approx((X[within] ** 2).sum() / (X**2).sum(), rel=1e-12)


def test_the_smoothing_of_targets_that_are_all_alike_is_in_their_units():
    X = np.random.default_rng(0).normal(size=(50, 2))
    one, thousand = (
        fullbatch.QuantileRegressor(engine="serial").fit(X, np.full(50, target)) for target in (1.0, -1000.0)
    )
    assert thousand.smoothing_ == pytest.approx(1000.0 * one.smoothing_, rel=1e-9)
    assert thousand.intercept_ == pytest.approx(-1000.0, abs=thousand.smoothing_)


def test_a_quantile_in_a_smaller_unit_is_as_much_smaller():
    """However far the targets are from 0 beside their spread."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 2))
    y = 100.0 + 3.0 * X[:, 0] + rng.normal(size=60)
    one, thousandth = (fullbatch.QuantileRegressor(alpha=0, engine="serial").fit(X, unit * y) for unit in (1.0, 1e-3))
    assert thousandth.smoothing_ == pytest.approx(1e-3 * one.smoothing_, rel=1e-6)
    np.testing.assert_allclose(thousandth.coef_, 1e-3 * one.coef_, rtol=1e-6)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["outlier", "tails", "nearly exact", "exact"])
def test_quantile_does_not_depend_on_the_tails(kind, quantile, fit_intercept, tmp_path):
    """Standard deviations of the targets tell little of residuals there."""
    rng = np.random.default_rng(0)
    X, noise = rng.normal(size=(500, 2)), rng.normal(size=500)
    y = {
        "outlier": np.append(X[1:] @ [1.0, -1.0] + noise[1:], 1e6),
        "tails": np.exp(3.0 * noise + X[:, 0]),
        "nearly exact": 1e4 * X[:, 0] + noise,
        "exact": 2.0 * X[:, 0] - X[:, 1],
    }[kind]
    options = {"quantile": quantile, "alpha": 0.0, "fit_intercept": fit_intercept}
    found = fullbatch.QuantileRegressor(**options, tol=1e-6, checkpoint=tmp_path / "run").fit(X, y)
    wanted = linear_model.QuantileRegressor(**options).fit(X, y)
    F = [pinball(y - one.predict(X), quantile).mean() for one in (found, wanted)]
    assert -1e-9 <= F[0] - F[1] <= 0.25 * found.smoothing_ + 1e-9
    if kind == "exact":
        return
    assert found.smoothing_ <= 1e-3 * y.std() * (1 + 1e-9)
    residual = y - found.predict(X)
    assert np.mean(np.abs(residual) < found.smoothing_) <= 0.02 + 4 / 500
    if found.smoothing_ < 0.99e-3 * y.std():  # and is no narrower than it need be, which takes passes
        assert np.mean(np.abs(residual) < 20.0 * found.smoothing_) > 0.005
    if fit_intercept:
        assert np.mean(residual < 0) == pytest.approx(quantile, abs=0.012)
    again = fullbatch.QuantileRegressor(**options, tol=1e-6, checkpoint=tmp_path / "run").fit(X, y)
    assert again.coef_.tobytes() == found.coef_.tobytes()
    assert again.get_params()["smoothing"] is None
    told = fullbatch.QuantileRegressor(**options, tol=1e-6, smoothing=1e-3 * y.std()).fit(X, y)
    assert told.smoothing_ == 1e-3 * y.std()  # as asked for


@pytest.mark.parametrize("scaling", [1.0, 5.0, np.inf])
@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0, 1: 0.5}], ids=str)
@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("data", [load_iris, load_breast_cancer], ids=["iris", "cancer"])
def test_linear_svc(data, penalty, class_weight, scaling):
    X, y = data(return_X_y=True)
    X = (X - X.mean(axis=0)) / X.std(axis=0)
    weight = np.random.default_rng(0).uniform(0.2, 2.0, len(y))
    options = {"C": 0.3, "class_weight": class_weight}
    # The larger the scaling of the intercept, the less liblinear penalises it.
    theirs = {"tol": 1e-9, "max_iter": 10**6, "dual": False, "random_state": 0}
    theirs["intercept_scaling"] = min(scaling, 300.0)
    wanted = svm.LinearSVC(penalty, **options, **theirs).fit(X, y, weight)
    ours = {**options, "intercept_scaling": scaling, "tol": 1e-7, "engine": "serial"}
    found = fullbatch.LinearSVC(penalty, **ours).fit(X, y, weight)
    assert found.status_ == "converged"
    assert found.coef_.shape == wanted.coef_.shape
    near = 2e-3 if penalty == "l2" else 1e-2  # as near as theirs ends
    np.testing.assert_allclose(found.coef_, wanted.coef_, atol=near * np.abs(wanted.coef_).max())
    np.testing.assert_allclose(found.intercept_, wanted.intercept_, atol=1e-2 * np.abs(wanted.intercept_).max())
    assert found.score(X, y) == pytest.approx(wanted.score(X, y), abs=2.0 / len(y))
    assert found.decision_function(X).shape == wanted.decision_function(X).shape


def test_linear_svc_has_converged_where_it_has_for_every_class():
    X, y = load_iris(return_X_y=True)
    with pytest.warns(ConvergenceWarning, match="not-converged"):
        model = fullbatch.LinearSVC(max_iter=4, engine="serial").fit(X, y)
    assert [one.status.value for one in model.results_] == ["max_iter", "converged", "max_iter"]
    assert model.status_ == "max_iter"


@pytest.mark.parametrize("solver", ["auto", "lbfgs", "newton", "scipy-lbfgsb"])
@pytest.mark.parametrize("shift", [0.0, 100.0])
def test_the_intercept_of_linear_svc_is_penalised_by_default(shift, solver):
    X, y = load_breast_cancer(return_X_y=True)
    X = (X[:, :5] - X[:, :5].mean(axis=0)) / X[:, :5].std(axis=0) + shift
    X = np.column_stack((X, np.full(len(X), 2.0)))  # a share of the intercept, cheaper than the intercept itself
    found = fullbatch.LinearSVC(tol=1e-8, solver=solver, engine="serial").fit(X, y)
    signs, rows = 2.0 * y - 1, np.column_stack((X, np.ones(len(X))))

    def objective(theta):
        hinge = np.maximum(0.0, 1 - signs * (rows @ theta))
        return (hinge**2).sum() + 0.5 * theta @ theta, theta - 2 * rows.T @ (signs * hinge)

    theta = np.append(found.coef_[0], found.intercept_)
    for _ in range(50):  # Newton's method, whose steps are whole where rows no longer change sides
        _, grad = objective(theta)
        inside = rows[signs * (rows @ theta) < 1]
        theta = theta - np.linalg.solve(np.eye(len(theta)) + 2 * inside.T @ inside, grad)
    wanted, grad = objective(theta)
    assert np.abs(grad).max() < 1e-6 * len(X)
    assert objective(np.append(found.coef_[0], found.intercept_))[0] == pytest.approx(wanted, rel=1e-9)
    assert found.coef_[0, -1] == pytest.approx(2 * found.intercept_[0], rel=1e-3)  # by the gradient, which is 0


def test_exposures_are_offsets():
    X, y = narrow()
    exposure = np.random.default_rng(1).uniform(0.1, 3.0, len(y))
    count = np.random.default_rng(2).poisson(y * exposure).astype(float)
    # A Poisson model with an exposure is one of rates, weighted by it.
    theirs = {**TIGHT, "solver": "newton-cholesky"}
    wanted = linear_model.PoissonRegressor(alpha=0.1, **theirs).fit(X, count / exposure, exposure)
    alpha = 0.1 * exposure.mean()
    found = fullbatch.PoissonRegressor(alpha=alpha, tol=1e-8, engine="serial")
    found.fit(X, count, offset=np.log(exposure))
    np.testing.assert_allclose(found.coef_, wanted.coef_, atol=1e-6)
    mean = found.predict(X, offset=np.log(exposure))
    np.testing.assert_allclose(mean, exposure * wanted.predict(X), rtol=1e-6)
    deviance = 2 * (xlogy(count, count / mean) - count + mean).mean()
    assert found.evaluate(X, count, offset=np.log(exposure))["mean_deviance"] == pytest.approx(deviance, rel=1e-10)


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_default_arguments_are_scikit_learns(kind):
    room = svm if kind is fullbatch.LinearSVC else linear_model
    theirs, ours = getattr(room, kind.__name__)().get_params(), kind().get_params()
    ours_alone = {"max_iter": 1000, "solver": "auto"}
    for name, value in theirs.items():
        assert ours[name] == ours_alone.get(name, value) or ours[name] == value


def test_arguments_by_position():
    assert fullbatch.Ridge(3.0).alpha == fullbatch.Lasso(3.0).alpha == fullbatch.ElasticNet(3.0).alpha == 3.0
    assert fullbatch.LogisticRegression("l1").penalty == "l1"
    assert fullbatch.LinearSVC("l1", "squared_hinge").penalty == "l1"


REFUSED = [
    (fullbatch.LinearSVC(loss="hinge"), "loss must be 'squared_hinge', got 'hinge'"),
    (fullbatch.LinearSVC(multi_class="crammer_singer"), "multi_class must be 'ovr'"),
    (fullbatch.LinearSVC(intercept_scaling=0), "intercept_scaling must be a positive number of 1e-150 or more, got 0"),
    (fullbatch.LinearSVC(intercept_scaling=1e-170), "1e-150 or more, got 1e-170"),
    (
        fullbatch.LogisticRegression(intercept_scaling=2.0),
        "intercept_scaling must be 1, got 2.0: no intercept is penalised",
    ),
    (fullbatch.LogisticRegression("l3"), "penalty must be 'l2', 'l1', 'elasticnet' or None, got 'l3'"),
    (fullbatch.LogisticRegression("l2", l1_ratio=0.5), "penalty='l2' and l1_ratio=0.5 contradict"),
    (fullbatch.LogisticRegression(n_jobs="many"), "n_jobs must be a whole number or None"),
    (fullbatch.Ridge(alpha=[1.0, 2.0]), "Number of targets and number of penalties do not correspond: 2 != 1"),
    (fullbatch.Ridge(alpha=[1.0, -2.0]), "alpha must be a finite number of 0 or more for each target"),
    (fullbatch.Ridge(alpha=-1.0), "alpha must be a number of 0 or more"),
    (fullbatch.Ridge(positive=True, lower_bounds=1.0), "positive=True is lower_bounds=0: give one of the two"),
    (fullbatch.Lasso(selection="best"), "selection must be 'cyclic' or 'random'"),
    (fullbatch.Lasso(positive="yes"), "positive must be True or False"),
    (fullbatch.TweedieRegressor(power=0.5), "power must be"),
    (fullbatch.TweedieRegressor(link="logit"), "link must be 'auto', 'identity' or 'log'"),
    (fullbatch.HuberRegressor(epsilon=0.9), "epsilon must be a finite number of 1 or more, got 0.9"),
    (fullbatch.QuantileRegressor(quantile=1.0), "quantile must be a number between 0 and 1, got 1.0"),
    (fullbatch.QuantileRegressor(smoothing=0.0), "smoothing must be a finite number above 0"),
    (fullbatch.QuantileRegressor(solver_options={"a": 1}), "solver_options must be None: there is no linear program"),
]


@pytest.mark.parametrize(("model", "why"), REFUSED, ids=lambda one: type(one).__name__)
def test_what_cannot_be_honoured_is_refused(model, why):
    with pytest.raises(ValueError, match=why):
        model.fit([[0.0], [1.0], [2.0]], [0, 1, 1])


def test_names_of_solvers_there():
    X, y = diabetes()
    wanted = fullbatch.Ridge(engine="serial").fit(X, y).coef_
    for solver in ("svd", "cholesky", "lsqr", "sparse_cg", "sag", "saga"):
        model = fullbatch.Ridge(solver=solver, random_state=0, copy_X=False, engine="serial").fit(X, y)
        np.testing.assert_array_equal(model.coef_, wanted)
        assert model.get_params()["solver"] == solver
    with pytest.raises(ValueError, match="unknown solver 'quickest'"):
        fullbatch.Ridge(solver="quickest").fit(X, y)


@pytest.mark.parametrize("intercept", [True, False])
def test_least_norm_and_the_names_of_the_columns(intercept):
    X, y = diabetes()
    X = np.column_stack((X + 3.0, 2.0 * X[:, 0], X[:, 1] - X[:, 2])) @ np.diag(np.linspace(1, 30, 12))
    frame = pd.DataFrame(X, columns=[f"x{j}" for j in range(12)])
    wanted = linear_model.LinearRegression(fit_intercept=intercept).fit(X, y)
    model = fullbatch.LinearRegression(fit_intercept=intercept, engine="serial")
    with (
        pytest.warns(FitWarning, match=r"collinear-columns.*combination of the others.*'?x1'?")
        if intercept
        else (warnings.catch_warnings())
    ):
        model.fit(frame, y)
    np.testing.assert_allclose(model.predict(frame), wanted.predict(X), rtol=1e-9)
    if intercept:
        np.testing.assert_allclose(model.coef_, wanted.coef_, atol=1e-7 * np.abs(wanted.coef_).max())
        assert model.intercept_ == pytest.approx(wanted.intercept_, rel=1e-8)


def test_least_norm_with_more_columns_than_rows():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((20, 35)) * np.linspace(1, 9, 35), rng.standard_normal(20)
    wanted = linear_model.LinearRegression().fit(X, y)
    with pytest.warns(FitWarning, match="collinear-columns"):
        found = fullbatch.LinearRegression(engine="serial").fit(X, y)
    np.testing.assert_allclose(found.coef_, wanted.coef_, atol=1e-7 * np.abs(wanted.coef_).max())


def test_least_norm_of_a_poisson_regression():
    X, y = narrow()
    doubled = np.column_stack((X, 3.0 * X[:, 0]))
    single = fullbatch.PoissonRegressor(alpha=0, tol=1e-9, engine="serial").fit(X, y)
    with pytest.warns(FitWarning, match="collinear-columns"):
        found = fullbatch.PoissonRegressor(alpha=0, tol=1e-9, engine="serial").fit(doubled, y)
    # a x + b 3 x with a + 3 b told is shortest where b = 3 a.
    wanted = np.append(single.coef_, 0.0)
    wanted[0], wanted[4] = single.coef_[0] / 10.0, 3.0 * single.coef_[0] / 10.0
    np.testing.assert_allclose(found.coef_, wanted, atol=1e-6)


def test_sparse_coefficients():
    X, y = load_iris(return_X_y=True)
    model = fullbatch.LogisticRegression(C=0.1, l1_ratio=1.0, engine="serial").fit(X, y)
    dense, wanted = model.coef_.copy(), model.predict_proba(X)
    assert model.sparsify() is model
    assert sp.issparse(model.coef_)
    np.testing.assert_allclose(model.predict_proba(X), wanted, rtol=1e-12)
    np.testing.assert_allclose(model.predict_proba(sp.csr_array(X)), wanted, rtol=1e-12)
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.densify().coef_, dense)
    np.testing.assert_array_equal(model.set_params(warm_start=True).fit(X, y).predict(X), wanted.argmax(axis=1))
    lasso = fullbatch.Lasso(0.5, engine="serial").fit(X, y)
    np.testing.assert_array_equal(lasso.sparse_coef_.toarray()[0], lasso.coef_)


@pytest.mark.parametrize("kind", FAMILY, ids=lambda kind: kind.__name__)
def test_saved_cloned_and_on_any_number_of_blocks(kind, tmp_path):
    X, y = diabetes()
    y = np.digitize(y, [2, 4]) if kind is fullbatch.LinearSVC else y
    model = kind(engine="serial").fit(X, y)
    model.save(tmp_path / "model.fb")
    loaded = load_model(tmp_path / "model.fb")
    assert type(loaded) is kind
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    assert loaded.n_iter_ == model.n_iter_
    assert loaded.get_params() == {**model.get_params(), "engine": "threads"}
    threads = clone(model).set_params(engine="threads").fit(array_sources(X, y, blocks=3))
    serial = clone(model).fit(array_sources(X, y, blocks=3))
    assert threads.coef_.tobytes() == serial.coef_.tobytes()
    np.testing.assert_allclose(threads.predict(X), model.predict(X), rtol=1e-3, atol=1e-3)
    assert "estimator" in model._repr_html_()


def test_a_checkpoint_for_each_class(tmp_path):
    X, y = load_iris(return_X_y=True)
    model = fullbatch.LinearSVC(checkpoint=tmp_path / "run", solver="lbfgs", engine="serial").fit(X, y)
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["class-0", "class-1", "class-2"]
    again = clone(model).fit(X, y)
    assert again.coef_.tobytes() == model.coef_.tobytes()
    assert all(result.resumed_at for result in again.results_)
    assert model.checkpoint == tmp_path / "run"


def test_huber_refitted_from_where_it_ended():
    X, y = diabetes()
    model = fullbatch.HuberRegressor(warm_start=True, engine="serial").fit(X, y)
    first = model.n_iter_
    model.fit(X, y)
    assert model.n_iter_ < first / 2


def test_huber_without_an_intercept_and_of_sources():
    X, y = diabetes()
    options = {"fit_intercept": False, "tol": 1e-7, "engine": "serial"}
    found = fullbatch.HuberRegressor(**options).fit(X, y)
    theirs = linear_model.HuberRegressor(fit_intercept=False, tol=1e-9, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(found.coef_, theirs.coef_, rtol=1e-3, atol=1e-3)
    assert found.scale_ == pytest.approx(theirs.scale_, rel=1e-4)
    assert found.intercept_ == 0.0
    assert (found.outliers_ == theirs.outliers_).mean() > 0.99


@pytest.mark.parametrize("second", [np.nan, 0.0], ids=["overflow", "nothing"])
def test_where_second_derivatives_tell_nothing_coefficients_stay(monkeypatch, second):
    """At a loss without curvature, as of separated classes, no combination of columns is told from another."""
    X, y = narrow()
    objective = Objective(SerialEngine().place(Linear("poisson"), array_sources(X, y)))
    collinear = SimpleNamespace(code="collinear-columns")
    result = SimpleNamespace(notices=[collinear], theta=np.zeros(objective.size), value=1.0)
    monkeypatch.setattr(
        Objective, "__call__", lambda self, request: SimpleNamespace(matrix=np.full((self.size, self.size), second))
    )
    coef, intercept = np.arange(4.0)[None], np.ones(1)
    assert least_norm(coef, intercept, result, objective) == (coef, intercept)


def test_the_solver_that_scikit_learn_has_for_bounds_is_none_of_ours():
    """Its "lbfgs" of `Ridge` knows them."""
    X, y = diabetes()
    with_bounds = fullbatch.Ridge(positive=True, solver="lbfgs").fit(X, y)
    assert with_bounds.coef_.tobytes() == fullbatch.Ridge(positive=True).fit(X, y).coef_.tobytes()
    assert with_bounds.coef_.min() == 0.0
    assert fullbatch.Ridge(solver="lbfgs").fit(X, y).result_.solver.startswith("LBFGS")
