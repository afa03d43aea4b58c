"""What is said of paths, folds and replicates beside how they ended: optima at infinity, columns that tell the same."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from problems import objective
from scipy.optimize import linprog
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import PoissonRegressor as TheirPoisson

from fullbatch import (
    Draw,
    FitWarning,
    GeneralizedLinearRegressor,
    Lasso,
    Linear,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Objective,
    PoissonRegressor,
    SerialEngine,
    array_sources,
    bootstrap,
    cross_validate,
    fit_path,
)
from fullbatch.estimators._template import warn_of_notices
from fullbatch.protocols import Curvature, ValueGrad
from fullbatch.protocols.seams import Penalty
from fullbatch.run._by_part import SquareSums
from fullbatch.run.result import Notice
from fullbatch.run.told import _by_sums, look_at_fits, side_by_side

N = 200
RNG = np.random.default_rng(0)
X = RNG.normal(size=(N, 3))
MIXED = (X[:, 0] + RNG.logistic(size=N) > 0).astype(int)
APART = (X[:, 0] > 0.1).astype(int)
DOUBLED = np.column_stack((X, X[:, 0] + X[:, 1]))
Y = X @ [0.5, 1.0, 0.0] + RNG.normal(size=N)
COUNTS = RNG.poisson(np.exp(0.3 * X[:, 0])).astype(float)


def codes(notices):
    return [notice.code for notice in notices]


def has_no_maximum(X, y, used):
    """Whether some coefficients put no row on the other class's side, and one on its own: by linear programming (Albert
    and Anderson, 1984).
    """
    rows = np.column_stack((X, np.ones(len(y))))[used] * (2 * y[used, None] - 1)
    found = linprog(-rows.sum(axis=0), A_ub=-rows, b_ub=np.zeros(len(rows)), bounds=[(-1, 1)] * rows.shape[1])
    return -found.fun > 1e-6


def test_replicates_whose_optimum_is_at_infinity_are_told():
    rare = np.append([1, 1], np.zeros(N - 2)).astype(int)
    with pytest.warns(FitWarning) as caught:
        found = bootstrap(LogisticRegression(C=np.inf), X, rare, n=30)
    drawn = [Draw("bootstrap", number, seed=0).weights(0, N) > 0 for number in range(30)]
    expected = [has_no_maximum(X, rare, used) for used in drawn]
    assert {rare[used].any() for used in drawn} == {True, False}  # some have one class alone
    assert [codes(one) == ["separable"] for one in found.notices] == expected
    assert f"[separable] {sum(expected)} of 30 replicates (" in str(caught[-1].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = bootstrap(LogisticRegression(C=np.inf), X, MIXED, n=30)
    assert not any(found.notices)


def test_a_bootstrap_of_separated_classes_tells_of_the_fit_to_all_rows_too():
    with pytest.warns(FitWarning) as caught:
        found = bootstrap(LogisticRegression(C=np.inf), X, APART, n=10)
    words = [str(one.message) for one in caught]
    assert words[0].startswith("[separable] the classes can be separated")
    assert words[1].startswith(
        "[separable] 10 of 10 replicates (0, 1, 2, 3, 4 and 5 more): the classes can be separated"
    )
    assert found.model.separable_


def test_a_level_without_a_count_is_told_of_each_replicate():
    level = (np.arange(N) < 20).astype(float)
    y = np.where(level > 0, 0.0, COUNTS)
    with pytest.warns(FitWarning, match="'x3'"):
        found = bootstrap(PoissonRegressor(alpha=0), np.column_stack((X, level)), y, n=6)
    assert [codes(one) for one in found.notices] == [["separable"]] * 6


@pytest.mark.parametrize("strengths", [[0.1, 0.01, 0.0], [0.0]])
def test_paths_and_folds_of_separated_classes(strengths):
    """With the strength 0, and only there."""
    with pytest.warns(FitWarning, match=r"\[separable\] 1 of \d fits of the path \(strength 0\): the classes .*'x0'"):
        path = fit_path(LogisticRegression(), X, APART, strengths=strengths)
    expected = [["separable"] if strength == 0 else [] for strength in path.strengths]
    assert [codes(one) for one in path.notices] == expected
    assert [model.separable_ for model in path.models] == [bool(one) for one in expected]
    assert path.table().splitlines()[-1].endswith("separable")
    assert max(map(len, path.table().splitlines())) <= 78
    match = (
        r"4 of \d+ fits \(strength 0, strength 0 without fold 0, strength 0 without fold 1, strength 0 without fold 2\)"
    )
    with pytest.warns(FitWarning, match=match):
        found = cross_validate(LogisticRegression(), X, APART, strengths=strengths, folds=3)
    assert [[codes(one) for one in row] for row in found.notices] == [[one] * 3 for one in expected]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert not any(fit_path(LogisticRegression(), X, MIXED, strengths=strengths).notices)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("classes", [2, 3])
def test_a_fold_that_leaves_a_class_out_is_told_whatever_the_strength(l1_ratio, classes):
    """Its intercept is penalised by nothing."""
    fold = next(one for one in range(3) if Draw("only", one, folds=3, seed=1).weights(0, N)[0] > 0)
    held = Draw("only", fold, folds=3, seed=1).weights(0, N) > 0
    y = MIXED.copy() if classes == 3 else np.zeros(N, int)
    y[np.flatnonzero(held)[:5]] = classes - 1
    with pytest.warns(
        FitWarning, match=rf"\[separable\] 2 of 8 fits \(strength 0.1 without fold {fold}, strength 0.01 wi"
    ):
        found = cross_validate(LogisticRegression(l1_ratio=l1_ratio), X, y, strengths=[0.1, 0.01], folds=3, seed=1)
    expected = [["separable"] if one == fold else [] for one in range(3)]
    assert [[codes(one) for one in row] for row in found.notices] == [expected] * 2


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_a_column_that_nothing_penalises_may_run_away_all_along_a_path(l1_ratio):
    level = (np.arange(N) < 20).astype(float)
    y = np.where(level > 0, 0.0, COUNTS)
    weights = {"P1": [1, 1, 1, 0.0], "P2": [1, 1, 1, 0.0]}
    with pytest.warns(FitWarning, match=r"\[separable\] 3 of 3 fits .*'x3'"):
        path = fit_path(
            GeneralizedLinearRegressor("poisson", l1_ratio=l1_ratio, **weights),
            np.column_stack((X, level)), y, strengths=[0.1, 0.01, 0.001],
        )  # fmt: skip
    assert [codes(one) for one in path.notices] == [["separable"]] * 3


def test_all_fits_behind_the_first_that_runs_away_are_looked_at(monkeypatch):
    """Those between it and another of which as much is known by itself."""
    level = (np.arange(N) < 20).astype(float)
    monkeypatch.setattr("fullbatch.run.told.worth_a_look", lambda facts, theta, above, alone: facts.l2[0] != 0.01)
    with pytest.warns(FitWarning, match=r"\[separable\] 3 of 3 fits .*'x3'"):
        path = fit_path(
            GeneralizedLinearRegressor("poisson", P2=[1, 1, 1, 0.0]),
            np.column_stack((X, level)), np.where(level > 0, 0.0, COUNTS), strengths=[0.1, 0.01, 0.001],
        )  # fmt: skip
    assert [codes(one) for one in path.notices] == [["separable"]] * 3


def test_sums_of_squares_answer_for_some_parts_as_their_rows_do():
    rng = np.random.default_rng(101)
    weight = rng.uniform(0.5, 2.0, N)
    blocks = SerialEngine().place(Linear("squared"), array_sources(X, Y, weight))
    parts, theta = SquareSums(Objective(blocks), 3, 1), np.array([0.3, -0.2, 0.1, 0.5])
    own = np.array([0.1, 0.2, 0.3, 0.0])
    penalty = Penalty(own, np.zeros(4), np.full(4, -np.inf), np.full(4, np.inf))
    counted = sum(Draw("only", fold, folds=3, seed=1).weights(0, N) for fold in (0, 2)) * weight
    design = np.column_stack((X, np.ones(N)))
    residual = design @ theta - Y
    value = 0.5 * (counted @ residual**2 / counted.sum() + own @ theta**2)
    slope = design.T @ (counted * residual) / counted.sum() + own * theta
    hessian = (design.T * counted) @ design / counted.sum() + np.diag(own)
    answer = _by_sums(parts, [0, 2], penalty)
    curves, point = answer(Curvature(theta, "gram")), answer(ValueGrad(theta))
    np.testing.assert_allclose(curves.matrix, hessian, rtol=1e-12, atol=1e-14)
    for one in (curves.point, point):
        assert one.value == pytest.approx(value, rel=1e-12)
        np.testing.assert_allclose(one.grad, slope, rtol=1e-11)


def test_estimators_that_choose_by_themselves_tell_too():
    with pytest.warns(FitWarning) as caught:
        LogisticRegressionCV(Cs=[1.0, np.inf], cv=3, l1_ratios=(0.0,), use_legacy_attributes=False).fit(X, APART)
    assert str(caught[0].message).startswith("[separable] 4 of 8 fits (strength 0,")


# --- columns that are combinations of others -------------------------------------------------------------------------


def least_norm_of(features, y, weight):
    """Coefficients of least norm on centred columns, by the pseudo-inverse."""
    mean, root = weight @ features / weight.sum(), np.sqrt(weight)
    centred = root[:, None] * (features - mean)
    coef = np.linalg.pinv(centred, rcond=1e-10) @ (root * (y - weight @ y / weight.sum()))
    return coef, weight @ y / weight.sum() - mean @ coef


def test_least_squares_without_a_penalty_has_the_least_norm_everywhere():
    shifted, ones = DOUBLED + 2.0, np.ones(N)
    with pytest.warns(FitWarning, match=r"collinear-columns\] 1 of 2 fits of the path .*: 'x0', 'x1', 'x3'"):
        path = fit_path(LinearRegression(), shifted, Y, strengths=[0.1, 0.0])
    assert path.statuses == ["converged"] * 2
    assert [codes(one) for one in path.notices] == [[], ["collinear-columns"]]
    coef, intercept = least_norm_of(shifted, Y, ones)
    np.testing.assert_allclose(path.coefs[1], coef, atol=1e-9)
    assert path.intercepts[1] == pytest.approx(intercept, abs=1e-9)
    assert path.passes <= 2
    with pytest.warns(FitWarning, match="collinear-columns"):
        found = cross_validate(LinearRegression(), shifted, Y, strengths=[0.1, 0.0], folds=3)
    assert found.success
    for fold in range(3):
        rest = Draw("without", fold, folds=3).weights(0, N)
        coef, intercept = least_norm_of(shifted, Y, rest)
        np.testing.assert_allclose(found.fold_coefs[1, fold], coef, atol=1e-9)
        loss = 0.5 * ((Y - shifted @ coef - intercept) ** 2)[rest == 0].mean()
        assert found.losses[1, fold] == pytest.approx(loss, rel=1e-9)
    with pytest.warns(FitWarning) as caught:
        told = bootstrap(LinearRegression(), shifted, Y, n=5)
    assert any("replicates" in str(one.message) for one in caught)
    assert not any(issubclass(one.category, ConvergenceWarning) for one in caught)
    assert told.success
    np.testing.assert_allclose(told.model.coef_, least_norm_of(shifted, Y, ones)[0], atol=1e-9)
    for number in range(5):
        coef, intercept = least_norm_of(shifted, Y, Draw("bootstrap", number, seed=0).weights(0, N))
        np.testing.assert_allclose(told.coefs[number], coef, atol=1e-6)
        assert told.intercepts[number] == pytest.approx(intercept, abs=1e-6)
        assert codes(told.notices[number]) == ["collinear-columns"]


def test_folds_without_the_only_rows_of_a_column_have_the_least_norm_of_their_own():
    """A column that is constant without a fold is a combination of the intercept there, and not elsewhere."""
    rng = np.random.default_rng(102)
    column = np.where(Draw("only", 1, folds=3).weights(0, N) > 0, rng.normal(size=N), 3.0)
    features = np.column_stack((X, column))
    with pytest.warns(FitWarning, match=r"1 of 4 fits \(strength 0 without fold 1\): .*'x3', 'the intercept'"):
        found = cross_validate(LinearRegression(), features, Y, strengths=[0.0], folds=3)
    rest = Draw("without", 1, folds=3).weights(0, N)
    coef, intercept = least_norm_of(features, Y, rest)
    np.testing.assert_allclose(found.fold_coefs[0, 1], coef, atol=1e-9)
    assert found.fold_intercepts[0, 1] == pytest.approx(intercept, abs=1e-9)


@pytest.mark.parametrize("kind", ["poisson", "logistic"])
def test_other_losses_without_a_penalty_have_the_least_norm_too(kind):
    """a x + b y + c (x + y), with a + c and b + c told, is shortest where a + b = c."""
    model, y = {
        "poisson": (PoissonRegressor(alpha=0, tol=1e-7), COUNTS),
        "logistic": (LogisticRegression(C=np.inf, tol=1e-7), MIXED),
    }[kind]
    with pytest.warns(FitWarning, match="collinear-columns"):
        path = fit_path(model, DOUBLED, y, strengths=[0.0])
    with pytest.warns(FitWarning, match="collinear-columns"):
        told = bootstrap(model, DOUBLED, y, n=4)
    assert path.success
    assert told.success
    single = bootstrap(model, X, y, n=4)
    for found, alone in (
        (path.coefs[0].ravel(), fit_path(model, X, y, strengths=[0.0]).coefs[0].ravel()),
        (told.model.coef_.ravel(), single.model.coef_.ravel()),
        *zip(told.coefs.reshape(4, -1), single.coefs.reshape(4, -1), strict=True),
    ):
        np.testing.assert_allclose(found[[0, 1]] + found[3], alone[[0, 1]], atol=1e-5)
        assert found[3] == pytest.approx(found[0] + found[1], abs=1e-5)
    assert codes(told.notices[0]) == ["collinear-columns"]


@pytest.mark.parametrize(("room", "taken"), [(2**26, [5]), (2 * 8 * 4**2, [2, 2, 1]), (1, [1] * 5)])
def test_so_many_fits_are_looked_at_together_as_there_is_room_for_the_hessians_of(room, taken, monkeypatch):
    fun = objective(X, MIXED)
    objectives = [Objective(fun.blocks, l2) for l2 in (0.01, 0.02, 0.05, 0.1, 0.2)]
    counted = []

    def counting(some, runs):
        counted.append(len(some))
        return side_by_side(some, runs)

    monkeypatch.setattr("fullbatch.run.told.side_by_side", counting)
    monkeypatch.setattr("fullbatch.run.told._MATRIX_BYTES", room)
    thetas = np.arange(5 * fun.size).reshape(5, fun.size) / 10
    found = look_at_fits(objectives, thetas, fun)
    assert counted == taken
    np.testing.assert_array_equal([one.theta for one in found], thetas)


def test_that_columns_tell_the_same_is_told_unless_they_are_levels():
    notices = [(), (Notice("separable", "apart"), Notice("collinear-columns", "the same")), (Notice("separable", "x"),)]
    for levels, codes in (((), ["separable", "collinear-columns"]), ((np.arange(3),), ["separable"])):
        schema = SimpleNamespace(features=SimpleNamespace(levels=levels))
        with pytest.warns(FitWarning) as caught:
            warn_of_notices(notices, ["a", "b", "c"], "fits", schema)
        told = ["[separable] 2 of 3 fits (b, c): apart", "[collinear-columns] 1 of 3 fits (b): the same"]
        assert [str(one.message) for one in caught] == told[: len(codes)]


def test_a_path_has_certificates():
    """Of a lasso the duality gap, of a ridge what strong convexity tells, and none of a loss alone."""
    path = fit_path(GeneralizedLinearRegressor(l1_ratio=1.0), X, Y, num=5)
    centred, left = X - X.mean(axis=0), Y - Y.mean()
    for strength, coef, told in zip(path.strengths, path.coefs, path.certificates, strict=True):
        residual = left - centred @ coef
        scale = min(1.0, strength * N / np.abs(centred.T @ residual).max())
        primal = 0.5 * (residual**2).mean() + strength * np.abs(coef).sum()
        dual = 0.5 * (left**2).mean() - 0.5 * ((left - scale * residual) ** 2).mean()
        assert told.name == "duality gap"
        assert told.bound == pytest.approx(primal - dual, abs=1e-13)
    path = fit_path(GeneralizedLinearRegressor("poisson", tol=0.3, fit_intercept=False), X, COUNTS, strengths=[0.1])
    (told,) = path.certificates

    def F(model):
        eta = X @ model.coef_
        return (np.exp(eta) - COUNTS * eta).mean() + 0.05 * model.coef_ @ model.coef_

    least = F(TheirPoisson(alpha=0.1, fit_intercept=False, tol=1e-12, max_iter=10_000).fit(X, COUNTS))
    assert told.name == "strong convexity"
    assert 1e-12 < F(path.models[0]) - least <= told.bound < 1e-2
    (told,) = fit_path(LinearRegression(), X, Y, strengths=[0.0]).certificates
    assert told.bound == np.inf


def test_a_path_tells_which_coefficients_bounds_hold():
    """Those whose free estimates are beyond."""
    path = fit_path(
        GeneralizedLinearRegressor(lower_bounds=0.0, upper_bounds=0.7), X, X @ [1.0, 0.3, -0.5], strengths=[1e-6]
    )
    assert path.notices == [(("at-bounds", "held at their bounds: 'x0', 'x2'"),)]
    np.testing.assert_array_equal(path.coefs[0][[0, 2]], [0.7, 0.0])
    inside = fit_path(GeneralizedLinearRegressor(lower_bounds=-2.0), X, X @ [1.0, 0.3, -0.5], strengths=[1e-6])
    assert inside.notices == [()]


def test_bounds_are_told_with_the_classes_whose_coefficients_they_hold():
    y = np.digitize(X[:, 0], [-0.5, 0.5])
    model = LogisticRegression(lower_bounds=[0.0, -np.inf], l2=0.01).fit(X[:, :2], y)
    assert model.coef_[0, 0] == 0.0
    assert (model.coef_[1:, 0] > 0).all()
    assert model.result_.notices == (("at-bounds", "held at their bounds: 'x0' of class 0"),)


def test_bounds_are_told_of_the_fits_to_all_rows():
    found = cross_validate(GeneralizedLinearRegressor(lower_bounds=0.0), X, X @ [1.0, 0.3, -0.5], strengths=[1e-6])
    assert found.path.notices == [(("at-bounds", "held at their bounds: 'x2'"),)]
    assert not any(found.notices[0])


def test_a_penalty_tells_columns_apart():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        path = fit_path(Lasso(), DOUBLED, Y, num=5)
        found = bootstrap(GeneralizedLinearRegressor(alpha=0.1), DOUBLED, Y, n=4)
    assert not any(path.notices)
    assert not any(found.notices)
