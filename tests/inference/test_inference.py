"""What is refused and why, the same bytes on all engines, penalties, effects by hand, and text."""

import itertools
import warnings
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from scipy.optimize import approx_fprime, minimize
from scipy.special import expit, softmax

from fullbatch import (
    DataError,
    FitWarning,
    GeneralizedLinearRegressor,
    LogisticRegression,
    array_sources,
    file_sources,
    load_model,
)
from fullbatch.inference import profiles
from fullbatch.inference.design import Design
from fullbatch.inference.effects import marginal_effects
from fullbatch.inference.restricted import Restriction, restricted_fit

TOL = 1e-10


def table(n=300, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.uniform(20, 70, n).round(1),
            "income": rng.gamma(2.0, 1.5, n),
            "region": rng.choice(["east", "north", "south"], n),
            "firm": rng.integers(0, 30, n),
            "year": rng.integers(2000, 2008, n),
        }
    )
    eta = 0.03 * (frame["age"] - 45) + 0.2 * frame["income"] - 0.5 + (frame["region"] == "north")
    return frame.assign(y=(rng.random(n) < expit(eta)).astype(int), count=rng.poisson(np.exp(0.3 * eta)))


COLUMNS = ["age", "income", "region"]


def logistic(frame, **parameters):
    return LogisticRegression(C=np.inf, tol=TOL).set_params(**parameters).fit(frame[COLUMNS], frame["y"])


# --- what is refused --------------------------------------------------------------------------------------------------


def test_l1_is_refused():
    frame = table()
    model = LogisticRegression(C=1.0, l1_ratio=0.5).fit(frame[["age", "income"]], frame["y"])
    with pytest.raises(ValueError, match="an L1 penalty chooses columns by the data"):
        model.inference(frame[["age", "income"]], frame["y"])


def test_bounds_that_hold_are_refused_and_others_not():
    frame = table()
    X = frame[["age", "income"]]
    held = LogisticRegression(C=np.inf, tol=TOL, lower_bounds={"income": 0.0}).fit(X, frame["y"])
    with pytest.raises(ValueError, match="'income': at lower_bounds"):
        held.inference(X, frame["y"])
    free = LogisticRegression(C=np.inf, tol=TOL, lower_bounds={"income": -9.0}).fit(X, frame["y"])
    plain = LogisticRegression(C=np.inf, tol=TOL).fit(X, frame["y"])
    assert_allclose(free.inference(X, frame["y"]).std_err, plain.inference(X, frame["y"]).std_err, rtol=1e-6)


def test_separated_classes_are_refused():
    x = np.linspace(-1, 1, 40)[:, None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = LogisticRegression(C=np.inf).fit(x, x[:, 0] > 0)
    with pytest.raises(DataError, match="the classes are separated"):
        model.inference(x, x[:, 0] > 0)
    model.result_ = None  # as of a loaded model
    with pytest.raises(DataError, match="the classes are separated"):
        model.inference(x, x[:, 0] > 0)


def test_a_level_that_separates_is_named():
    frame = table()
    frame.loc[frame["region"] == "south", "y"] = 1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = logistic(frame, tol=1e-4)
    model.separable_ = False  # as those of paths, which do not know
    with pytest.raises(DataError, match=r"separated by 'region=south'"):
        model.inference(frame[COLUMNS], frame["y"])
    frame.loc[frame["region"] == "south", "y"] = 0
    for family in ("poisson", "tweedie", "negative.binomial"):
        with pytest.warns(FitWarning, match="separable"):
            model = GeneralizedLinearRegressor(family=family, base={"region": "north"}).fit(frame[COLUMNS], frame["y"])
        model.separable_ = False
        with pytest.raises(DataError, match=r"some rows are fitted ever better by 'region=south'"):
            model.inference(frame[COLUMNS], frame["y"])


def test_collinear_columns_are_named():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((50, 3)), columns=["a", "b", "c"]).assign(d=lambda one: one["a"] + one["b"])
    y = rng.standard_normal(50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GeneralizedLinearRegressor().fit(X, y)
    with pytest.raises(DataError, match=r"'a', 'b', 'd': collinear"):
        model.inference(X, y)


def test_a_column_without_variation_is_named():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.standard_normal(50), "b": np.full(50, 3.0)})
    y = rng.standard_normal(50)
    model = GeneralizedLinearRegressor().fit(X, y)
    with pytest.raises(DataError, match=r"'b': without variation beside the intercept"):
        model.inference(X, y)


def test_fewer_rows_than_parameters():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((4, 5)), rng.standard_normal(4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GeneralizedLinearRegressor().fit(X, y)
    with pytest.raises(DataError, match="4 rows for 6 parameters"):
        model.inference(X, y)


def test_one_cluster():
    frame = table()
    model = logistic(frame)
    with pytest.raises(DataError, match="all rows are in one cluster of 'firm'"):
        model.inference(frame[COLUMNS].assign(firm=1), frame["y"], clusters="firm")


def test_clusters_that_are_missing():
    frame = table()
    firm = frame["firm"].astype(float)
    firm[3] = np.nan
    with pytest.raises(DataError, match="row 3 has none"):
        logistic(frame).inference(frame[COLUMNS], frame["y"], clusters=firm)


def test_other_rows_than_those_of_the_fit():
    frame = table(2000)
    model = logistic(frame)
    with pytest.raises(DataError, match="standard errors from the optimum on these rows"):
        model.inference(frame[COLUMNS], 1 - frame["y"])
    longer = pd.concat((frame, frame), ignore_index=True)
    with pytest.raises(DataError, match="4,000 rows, and 2,000 in the fit"):
        model.inference(longer[COLUMNS], longer["y"])


def test_a_fit_that_ended_early_is_told():
    frame = table(5000)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = logistic(frame, max_iter=1, tol=1e-3, solver="lbfgs")
    with pytest.raises(DataError, match="standard errors from the optimum on these rows: give the rows, weights"):
        model.inference(frame[COLUMNS], frame["y"])
    model = logistic(frame)
    told = model.inference(frame[COLUMNS], frame["y"])
    assert told.names[1] == COLUMNS[0]
    model.coef_[0, 0] += 0.3 * told.std_err[1]
    with pytest.warns(FitWarning, match="not-at-optimum"):
        model.inference(frame[COLUMNS], frame["y"])


def test_rows_of_no_weight_count_nothing():
    frame = table()
    weight = (np.arange(len(frame)) % 3 > 0).astype(float)
    kept = frame[weight > 0].reset_index(drop=True)
    model = LogisticRegression(C=np.inf, tol=TOL).fit(frame[COLUMNS], frame["y"], weight)
    all_rows = model.inference(frame[COLUMNS], frame["y"], weight, clusters=frame["firm"])
    some = logistic(kept).inference(kept[COLUMNS], kept["y"], clusters=kept["firm"])
    assert all_rows.n_rows == some.n_rows == len(kept)
    assert_allclose(all_rows.std_err, some.std_err, rtol=1e-7)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"covariance": "HC9"}, "covariance must be one of"),
        ({"covariance": "cluster"}, "needs clusters="),
        ({"weights": "survey"}, 'weights must be "frequency" or "precision"'),
        ({"dispersion": "likelihood"}, "has no dispersion of the largest likelihood"),
        ({"dispersion": -1.0}, "dispersion must be one of"),
        ({"reference": {"region": "west"}}, "column 'region' has no level 'west'"),
        ({"reference": {"age": 1}}, "reference names 'age', which is no categorical column"),
        ({"clusters": "nothing"}, "X has no column 'nothing'"),
    ],
)
def test_wrong_arguments(asked, words):
    frame = table()
    with pytest.raises(ValueError, match=words):
        logistic(frame).inference(frame[COLUMNS], frame["y"], **asked)


@pytest.mark.parametrize(
    ("hypothesis", "words"),
    [
        ("agee = 0", "a parameter or a number is missing before 'agee"),
        ("age * income", "a product of parameters is not linear"),
        ("age / income", "only numbers other than 0"),
        ("age = 0, 2 * age = 0", "some restrictions say what others do"),
        ("age age", "an operator, = or a comma is missing"),
        (np.ones((1, 3)), "a matrix of as many columns"),
        ("region=east", "some restrictions say what others do, or nothing"),
    ],
)
def test_wrong_hypotheses(hypothesis, words):
    frame = table()
    with pytest.raises(ValueError, match=words):
        logistic(frame).inference(frame[COLUMNS], frame["y"]).test(hypothesis)


@pytest.mark.parametrize(
    ("hypothesis", "matrix", "value"),
    [
        ("(age + region=north)/2 = 0", [0, 0.5, 0, 0.5, 0], 0),
        ("2 * (age - (income - 1)) = 3", [0, 2, -2, 0, 0], 1),
        ("-(age + 1) = 2 * -income", [0, -1, 2, 0, 0], 1),
        ("(age) = ((0.5))", [0, 1, 0, 0, 0], 0.5),
        ("(`age` + income) * 3 / (1 + 1) = 0", [0, 1.5, 1.5, 0, 0], 0),
    ],
)
def test_parentheses(hypothesis, matrix, value):
    frame = table()
    told = logistic(frame).inference(frame[COLUMNS], frame["y"])
    assert told.names == ["intercept", "age", "income", "region=north", "region=south"]
    gap = np.dot(matrix, told.coef) - value
    assert_allclose(told.test(hypothesis).statistic, gap**2 / (np.array(matrix) @ told.matrix @ matrix), rtol=1e-9)


@pytest.mark.parametrize(
    ("hypothesis", "words"),
    [
        ("(age + income = 0", "an operator or a closing parenthesis is missing before '= 0'"),
        ("(age + income", "an operator or a closing parenthesis is missing before ''"),
        ("age + income) = 0", "an operator, = or a comma is missing before '\\) = 0'"),
        ("(age + 1) * (income - 2)", "a product of parameters is not linear"),
        ("2 / (age - age)", "only numbers other than 0 may be divided by"),
        ("age=0, age=1", "these contradict one another, as no parameters hold all of them"),
        ("age = income, 2*age - 2*income = 1e-9", "these contradict one another"),
        ("age = age + 1", "these contradict one another"),
        (["age = 0", "age = 1"], "these contradict one another"),
        (([[0, 1, 0, 0, 0], [0, 1, 0, 0, 0]], [0, 1]), "these contradict one another"),
        ("age=0, 2*age=0", "some restrictions say what others do"),
        ("age = 1e9, 2*age = 2e9", "some restrictions say what others do"),
    ],
)
def test_parentheses_and_equations_that_cannot_be(hypothesis, words):
    frame = table()
    told = logistic(frame).inference(frame[COLUMNS], frame["y"])
    with pytest.raises(ValueError, match=words):
        told.test(hypothesis)


def test_too_few_clusters_for_a_hypothesis():
    frame = table()
    told = logistic(frame).inference(frame[COLUMNS], frame["y"], clusters=frame["firm"] % 2)
    with pytest.raises(DataError, match="there are too few clusters for 2 restrictions"):
        told.test("region")


def test_a_loss_without_a_likelihood_has_sandwiches_only():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 2))
    y = X @ [1.0, -1.0] + rng.standard_t(2, 200)
    model = GeneralizedLinearRegressor("huber", tol=TOL).fit(X, y)
    told = model.inference(X, y)
    assert told.kind == "HC1"
    residual = X @ model.coef_ + model.intercept_ - y
    Z = np.column_stack((np.ones(200), X))
    bread = np.linalg.inv(Z[np.abs(residual) <= 1.35].T @ Z[np.abs(residual) <= 1.35])
    score = Z * np.clip(residual, -1.35, 1.35)[:, None]
    assert_allclose(told.matrix, 200 / 197 * bread @ score.T @ score @ bread, rtol=1e-9)
    with pytest.raises(ValueError, match="the huber loss is no likelihood, so that classical errors would be wrong"):
        told.with_covariance("classical")
    with pytest.raises(ValueError, match="need a likelihood, which the huber loss has not"):
        told.test("x0", "likelihood-ratio")
    assert "HC1" in told.summary()


# --- names, hypotheses, parts of formulas ----------------------------------------------------------------------------


def test_terms_and_equations_say_the_same_as_matrices():
    frame = table()
    told = logistic(frame).inference(frame[COLUMNS], frame["y"])
    assert told.names == ["intercept", "age", "income", "region=north", "region=south"]
    by_term = told.test("region")
    for other in (
        "region=north = 0, region=south = 0",
        "region=north = region=south = region=east",
        ["region=north", "region=south"],
        np.eye(5)[3:],
    ):
        assert_allclose(told.test(other).statistic, by_term.statistic, rtol=1e-9)
    shifted = told.test("2 * `region=north` - income/4 = 1.5 + age")
    R = np.array([[0.0, -1, -0.25, 2, 0]])
    gap = R @ told.coef - 1.5
    assert_allclose(shifted.statistic, float(gap[0] ** 2 / (R @ told.matrix @ R.T)[0, 0]), rtol=1e-9)
    assert_allclose(told.test((R, 1.5)).statistic, shifted.statistic, rtol=1e-12)
    terms = told.test_terms()
    assert list(terms.index) == ["age", "income", "region"]
    assert terms.loc["region", "df"] == 2
    assert_allclose(terms.loc["region", "statistic"], by_term.statistic)


def test_another_reference_level_says_the_same_of_the_rest():
    frame = table()
    model = logistic(frame)
    first = model.inference(frame[COLUMNS], frame["y"])
    other = model.inference(frame[COLUMNS], frame["y"], reference={"region": "south"})
    assert other.names == ["intercept", "age", "income", "region=east", "region=north"]
    assert_allclose(other.std_err[1:3], first.std_err[1:3], rtol=1e-9)
    assert_allclose(other.test("region=north = 0").statistic, first.test("region=north = region=south").statistic)
    assert_allclose(other.marginal_effects(["age"]), first.marginal_effects(["age"]), rtol=1e-9)


def test_without_an_intercept_the_first_category_keeps_all_levels():
    frame = table()
    model = LogisticRegression(C=np.inf, tol=TOL, fit_intercept=False).fit(frame[COLUMNS], frame["y"])
    told = model.inference(frame[COLUMNS], frame["y"])
    assert told.names == ["age", "income", "region=east", "region=north", "region=south"]
    with_one = logistic(frame).inference(frame[COLUMNS], frame["y"])
    assert_allclose(told.std_err[:2], with_one.std_err[1:3], rtol=1e-6)
    assert_allclose(told.coef[3] - told.coef[2], with_one.coef[3], rtol=1e-6)


# --- penalties --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("standardize", [False, True])
def test_l2_has_the_errors_of_penalised_estimates(standardize):
    frame = table()
    X = frame[["age", "income"]]
    model = LogisticRegression(C=0.01, tol=TOL, standardize=standardize).fit(X, frame["y"])
    told = model.inference(X, frame["y"])
    Z = np.column_stack((np.ones(len(X)), X))
    p = expit(Z @ told.coef)
    H = Z.T @ (Z * (p * (1 - p))[:, None])
    scale = X.to_numpy().std(axis=0) if standardize else np.ones(2)
    bread = np.linalg.inv(H + np.diag(np.append(0.0, 100 * scale**2)))
    assert_allclose(told.matrix, bread @ H @ bread, rtol=1e-7)
    assert_allclose(told.df_model, np.trace(bread @ H), rtol=1e-9)
    assert told.notices[0].code == "penalised"
    assert "L2 penalty" in told.notes[0]
    with pytest.raises(ValueError, match="a penalised estimate is none: fit without a penalty"):
        told.test("age", "likelihood-ratio")
    assert "Note: [penalised] L2 penalty" in told.summary()


def test_l2_with_levels_and_classes():
    """Where the data does not tell all of the model's coefficients, the penalty does."""
    frame = table(600)
    y = (frame["y"] + (frame["count"] > 1)).astype(int)
    model = LogisticRegression(C=0.5, tol=TOL).fit(frame[COLUMNS], y)
    told = model.inference(frame[COLUMNS], y)
    levels = frame["region"].to_numpy()[:, None] == np.array(["east", "north", "south"])
    Z = np.column_stack((frame[["age", "income"]], levels, np.ones(len(frame)))).astype(float)
    theta = np.column_stack((model.coef_, model.intercept_))
    eta = Z @ theta.T
    p = np.exp(eta - eta.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    H = np.block([[Z.T @ (Z * (p[:, k] * ((k == j) - p[:, j]))[:, None]) for j in range(3)] for k in range(3)])
    bread = np.linalg.pinv(H + np.diag(np.tile([2.0] * 5 + [0.0], 3)), rcond=1e-12, hermitian=True)
    V = bread @ H @ bread
    contrast = np.zeros(18)  # of north against south, between the second and the first class
    contrast[[6 + 3, 6 + 4, 3, 4]] = [1, -1, -1, 1]
    told_contrast = np.zeros(len(told.names))
    told_contrast[told.names.index("1:region=north")], told_contrast[told.names.index("1:region=south")] = 1, -1
    assert_allclose(told_contrast @ told.matrix @ told_contrast, contrast @ V @ contrast, rtol=1e-6)


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 1.0, 1: 3.0}], ids=["balanced", "told"])
def test_class_weights_have_sandwiches(class_weight, fit_intercept):
    frame = table()
    X = frame[["age", "income"]]
    options = {"class_weight": class_weight, "fit_intercept": fit_intercept}
    model = LogisticRegression(C=np.inf, tol=TOL, **options).fit(X, frame["y"])
    told = model.inference(X, frame["y"])
    assert told.kind == "HC1"
    assert [notice.code for notice in told.notices] == ["class-weight"]
    y, Z = frame["y"].to_numpy(), np.column_stack((np.ones(len(X)), X))[:, 0 if fit_intercept else 1 :]
    factor = len(y) / (2 * np.bincount(y))[y] if class_weight == "balanced" else np.where(y == 1, 3.0, 1.0)
    p = expit(Z @ told.coef)
    bread = np.linalg.inv(Z.T @ (Z * (factor * p * (1 - p))[:, None]))
    score = Z * (factor * (p - y))[:, None]
    n = len(y)
    assert_allclose(told.matrix, n / (n - Z.shape[1]) * bread @ score.T @ score @ bread, rtol=1e-7)
    with pytest.raises(ValueError, match="class_weight changes the likelihood"):
        told.with_covariance("classical")
    with pytest.raises(ValueError, match="need the likelihood of the rows, which class_weight changes: use Wald's"):
        told.test("income", "likelihood-ratio")


def test_l2_without_an_intercept_counts_the_weights_of_the_classes():
    """The penalty is beside the mean loss, whose weights are those of the classes."""
    frame = table()
    X, y = frame[["age", "income"]], frame["y"].to_numpy()
    told = (
        LogisticRegression(l2=0.1, tol=TOL, class_weight={0: 1.0, 1: 3.0}, fit_intercept=False, standardize=False)
        .fit(X, y)
        .inference(X, y)
    )
    Z, factor = X.to_numpy(), np.where(y == 1, 3.0, 1.0)
    p = expit(Z @ told.coef)
    bread = np.linalg.inv(Z.T @ (Z * (factor * p * (1 - p))[:, None]) + 0.1 * factor.sum() * np.eye(2))
    score = Z * (factor * (p - y))[:, None]
    factor_of_rows = told.matrix / (bread @ score.T @ score @ bread)
    assert_allclose(factor_of_rows, factor_of_rows[0, 0], rtol=1e-7)
    assert 1.0 < factor_of_rows[0, 0] < 1.02


def test_quantiles_have_sandwiches():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 2))
    y = X @ [1.0, -1.0] + rng.standard_t(3, 400)
    model = GeneralizedLinearRegressor("quantile", loss_options={"quantile": 0.3, "smoothing": 0.5}, tol=TOL).fit(X, y)
    told = model.inference(X, y)
    Z, residual = np.column_stack((np.ones(400), X)), X @ model.coef_ + model.intercept_ - y
    inside = Z[np.abs(residual) <= 0.5]
    bread = np.linalg.inv(inside.T @ inside / (2 * 0.5))
    # The check function's slopes, -0.3 below and 0.7 above, joined by a straight line.
    score = Z * np.interp(residual, [-0.5, 0.5], [-0.3, 0.7])[:, None]
    assert_allclose(score.sum(axis=0), 0.0, atol=1e-4)
    assert_allclose(told.matrix, 400 / 397 * bread @ score.T @ score @ bread, rtol=1e-6)
    assert told.dispersions == {}
    assert told.deviance == pytest.approx(2 * np.sum([smoothed_check(r, 0.3, 0.5) for r in residual]), rel=1e-9)


def smoothed_check(residual, level, width):
    """The integral of the slopes; of a residual far out the check function itself."""
    if abs(residual) > width:
        return residual * ((residual > 0) - level)
    return (residual + width) ** 2 / (4 * width) - level * residual


def test_restrictions_far_from_the_estimate_are_fitted():
    """Of counts: what a coefficient is held at is an offset; a full step to its maximum goes much too far."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((300, 2))
    y = rng.poisson(np.exp(0.5 + X @ [0.3, -0.2]))
    told = GeneralizedLinearRegressor("poisson", tol=TOL).fit(X, y).inference(X, y)

    def lack(free):
        eta = free[0] + 4.0 * X[:, 0] + free[1] * X[:, 1]
        return 2.0 * np.sum(np.exp(eta) - y * eta)

    restricted = minimize(lack, [-8.0, 0.0], method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-9})
    eta = told.coef[0] + X @ told.coef[1:]
    expected = restricted.fun - 2.0 * np.sum(np.exp(eta) - y * eta)
    assert told.test("x0 = 4", "likelihood-ratio").statistic == pytest.approx(expected, rel=1e-9)


def test_steps_of_a_restricted_fit_are_halved_until_the_deviance_falls():
    """Of |beta - c|^2 whose second derivatives are told ten times too small; and of one that rises anywhere."""
    aim, restriction = np.array([1.0, 2.0]), Restriction(np.array([[1.0, 0.0]]), np.array([5.0]))

    def answer(beta, rising):
        far = float((beta - aim) @ (beta - aim))
        return SimpleNamespace(grad=beta - aim, observed=0.1 * np.eye(2), deviance=far if not rising else next(counted))

    def information(rising=False):
        data = SimpleNamespace(total=lambda task: answer(task.beta, rising))
        design = SimpleNamespace(beta=np.zeros(2))
        return SimpleNamespace(design=design, sums=SimpleNamespace(expected=np.eye(2)), data=data, weights=None)

    assert_allclose(restricted_fit(information(), restriction).beta, [5.0, 2.0], atol=1e-4)
    counted = itertools.count(1.0)
    with pytest.raises(
        DataError, match="no maximum of the likelihood was found under the restriction: it may have none"
    ):
        restricted_fit(information(rising=True), restriction)


def test_a_profile_that_levels_off_has_no_end(monkeypatch):
    frame = table()
    told = logistic(frame).inference(frame[COLUMNS], frame["y"])
    level = SimpleNamespace(beta=told.coef, sums=SimpleNamespace(deviance=told.deviance + 1.0))
    monkeypatch.setattr(profiles, "restricted_fit", lambda information, restriction, start: level)
    with pytest.raises(
        DataError, match="'age': its profile likelihood does not fall as far as the level asks, or levels"
    ):
        told.confint(method="profile", parameters=["age"])


def test_all_parameters_held_leave_nothing_to_fit():
    frame = table()
    X, y = frame[["age"]] - 45, frame["y"].to_numpy()
    told = LogisticRegression(C=np.inf, tol=TOL, fit_intercept=False).fit(X, y).inference(X, y)
    p = expit(X["age"].to_numpy() * told.coef[0])
    likelihood = np.log(np.where(y == 1, p, 1 - p)).sum()
    assert told.test("age", "likelihood-ratio").statistic == pytest.approx(2 * (likelihood - len(y) * np.log(0.5)))
    one_level = pd.DataFrame({"region": ["north"] * len(y)})  # no column is left beside the intercept
    alone = LogisticRegression(C=np.inf, tol=TOL).fit(one_level, y).inference(one_level, y)
    assert alone.null_deviance == alone.deviance == pytest.approx(-2 * len(y) * -entropy(y.mean()), rel=1e-9)


def entropy(share):
    return -share * np.log(share) - (1 - share) * np.log(1 - share)


def test_counts_that_vary_more_than_poissons_are_told():
    rng = np.random.default_rng(2)
    X = rng.standard_normal((500, 1))
    y = rng.negative_binomial(1, 0.2, 500)
    model = GeneralizedLinearRegressor("poisson", tol=TOL).fit(X, y)
    told = model.inference(X, y)
    mean = np.exp(told.coef[0] + X[:, 0] * told.coef[1])
    ratio = ((y - mean) ** 2 / mean).sum() / 498
    assert [notice.code for notice in told.notices] == ["over-dispersed"]
    assert f"Pearson's dispersion is {ratio:.3g}" in told.notes[0]
    assert not told.with_covariance("HC1").notices
    alike = rng.permutation(np.resize([4, 5, 6], 500))
    assert not GeneralizedLinearRegressor("poisson", tol=TOL).fit(X, alike).inference(X, alike).notices


def test_what_only_some_models_have():
    frame = table()
    told = logistic(frame).inference(frame[COLUMNS], frame["y"])
    with pytest.raises(ValueError, match="there is no parameter 'agee': see names"):
        told.confint(parameters=["agee"])
    with pytest.raises(ValueError, match=r'method must be "wald" or "profile", got \'score\''):
        told.confint(method="score")
    with pytest.raises(ValueError, match=r"method must be one of wald, .*, got 'profile'"):
        told.test("age", "profile")
    X, y = frame[["age", "income"]], frame["income"] + frame["age"]
    normal = GeneralizedLinearRegressor().fit(X[["age"]], y).inference(X[["age"]], y)
    with pytest.raises(ValueError, match=r"McFadden's pseudo R.2 is for families without a dispersion: see d2"):
        _ = normal.pseudo_r2
    robust = GeneralizedLinearRegressor("huber").fit(X[["age"]], y).inference(X[["age"]], y)
    with pytest.raises(ValueError, match="the huber loss is no likelihood, and has no leverages: ask for HC0 or HC1"):
        robust.with_covariance("HC3")
    several = LogisticRegression(C=np.inf, tol=TOL).fit(X, frame["region"]).inference(X, frame["region"])
    with pytest.raises(ValueError, match="HC2 is for one linear predictor, this model has 2"):
        several.with_covariance("HC2")
    ridge = LogisticRegression(C=1.0).fit(X, frame["y"])
    with pytest.raises(ValueError, match='CRV3 is of fits without a penalty: ask for "cluster"'):
        ridge.inference(X, frame["y"], clusters=frame["firm"], covariance="CRV3")


def test_clusters_are_ids_of_the_rows_or_columns_of_the_sources():
    frame = table()
    X, y = frame[["age", "income"]], frame["y"]
    model = LogisticRegression(C=np.inf, tol=TOL).fit(X, y)
    wanted = model.inference(X, y, clusters=frame["firm"]).matrix
    assert_allclose(model.inference(X, y, clusters=frame[["firm"]].to_numpy()).matrix, wanted, rtol=1e-12)
    with pytest.raises(DataError, match=r"300 rows and clusters '.*' of shape \(299,\): it must be \(300,\)"):
        model.inference(X, y, clusters=frame["firm"][1:])
    blocks = array_sources(X.to_numpy(), y.to_numpy(), blocks=2)
    of_blocks = LogisticRegression(C=np.inf, tol=TOL).fit(blocks)
    with pytest.raises(ValueError, match=r"clusters '.*': of sources name a column, got ndarray"):
        of_blocks.inference(blocks, clusters=frame["firm"].to_numpy())
    with pytest.raises(ValueError, match=r"clusters name columns, and .* has no names of columns: give a table"):
        of_blocks.inference(blocks, clusters="firm")


# --- effects ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["gamma", "tweedie", "squared", "poisson"])
def test_errors_of_effects_by_finite_differences(loss):
    frame = table()
    y = frame["count"] + 0.5
    model = GeneralizedLinearRegressor(loss, tol=TOL).fit(frame[COLUMNS], y)
    told = model.inference(frame[COLUMNS], y, covariance="HC0")
    levels = frame["region"].to_numpy()[:, None] == np.array(["north", "south"])
    Z = np.column_stack((np.ones(len(frame)), frame[["age", "income"]], levels)).astype(float)
    link = (lambda eta: eta) if loss == "squared" else np.exp

    def age(beta):
        step = 1e-5
        moved = Z + step * np.eye(5)[1]
        back = Z - step * np.eye(5)[1]
        return (link(moved @ beta) - link(back @ beta)).mean() / (2 * step)

    def north(beta):
        base = Z * [1, 1, 1, 0, 0]
        return (link((base + np.eye(5)[3]) @ beta) - link(base @ beta)).mean()

    table_ = told.marginal_effects()
    for name, effect in (("age", age), ("region=north", north)):
        gradient = approx_fprime(told.coef, effect, 1e-6)
        assert_allclose(table_.loc[name, "effect"], effect(told.coef), rtol=1e-5)
        assert_allclose(table_.loc[name, "std_err"], np.sqrt(gradient @ told.matrix @ gradient), rtol=1e-3)


def test_effects_on_several_classes_by_finite_differences():
    frame = table(200).assign(grade=lambda frame: np.array(["a", "b", "c"])[frame["count"].clip(upper=2)])
    weight = 1.0 + np.arange(200) % 3
    model = LogisticRegression(C=np.inf, tol=TOL).fit(frame[COLUMNS], frame["grade"], weight)
    told = model.inference(frame[COLUMNS], frame["grade"], weight, covariance="HC0")
    levels = frame["region"].to_numpy()[:, None] == np.array(["north", "south"])
    Z = np.column_stack((np.ones(200), frame[["age", "income"]], levels)).astype(float)

    def mean(beta, Z):
        return np.average(
            softmax(Z @ np.column_stack((np.zeros(5), beta.reshape(2, 5).T)), axis=1), axis=0, weights=weight
        )

    def effect(beta, column):
        step = 1e-2 * np.eye(5)[column]
        return (mean(beta, Z + step) - mean(beta, Z - step)) / 2e-2

    def set_to(beta, column, value):
        return mean(beta, np.where(np.arange(5) == column, value, Z))

    def region(beta, name):
        level = {"east": [0, 0], "north": [1, 0], "south": [0, 1]}[name]
        return mean(beta, np.column_stack((Z[:, :3], np.tile(level, (200, 1)))))

    effects = told.marginal_effects(discrete=["income"])
    means = told.average_predictions("region")
    expected = {
        "age": lambda beta: effect(beta, 1),
        "income": lambda beta: set_to(beta, 2, 1.0) - set_to(beta, 2, 0.0),
        "region=south": lambda beta: region(beta, "south") - region(beta, "east"),
    }
    for table_, column, functions in (
        (effects, "effect", expected),
        (means, "mean", {"region=south": lambda beta: region(beta, "south")}),
        (told.average_predictions({"age": [30]}), "mean", {"age=30": lambda beta: set_to(beta, 1, 30.0)}),
    ):
        for name, function in functions.items():
            found = table_.loc[[f"{label}:{name}" for label in "abc"]]
            gradient = approx_fprime(told.coef, function, 1e-6)
            assert_allclose(found[column], function(told.coef), rtol=1e-5, atol=1e-9)
            assert_allclose(found["std_err"], np.sqrt(np.diag(gradient @ told.matrix @ gradient.T)), rtol=1e-4)


def test_effects_that_cannot_be_are_refused():
    frame = table()
    told = logistic(frame).inference(frame[COLUMNS], frame["y"])
    with pytest.raises(ValueError, match="there is no column 'weight'"):
        told.marginal_effects(["weight"])
    X, y = np.random.default_rng(0).standard_normal((900, 8)), np.arange(900) % 150
    with pytest.warns(UserWarning, match="not-converged"):
        model = LogisticRegression(C=1.0, max_iter=1).fit(X, y)
    design = Design.of(model._for_inference())
    with pytest.raises(ValueError, match="on 150 classes with 9 columns need 29,771,541 sums, 16,777,216 are the most"):
        marginal_effects(design, None, None, ())


# --- where rows are ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows")
    frame = table(900)
    for number in range(3):
        frame.iloc[300 * number : 300 * number + 300].to_parquet(path / f"{number}.parquet", index=False)
    return path


def sources(folder):
    return file_sources([str(folder / "*.parquet")], target="y", features=COLUMNS)


def told_on(folder, engine):
    model = LogisticRegression(C=np.inf, tol=TOL, engine="serial").fit(sources(folder))
    model.engine = engine
    told = model.inference(sources(folder), clusters=["firm", "year"])
    parts = [told.matrix, told.with_covariance("HC3").matrix, told.with_covariance("observed").matrix]
    parts += [np.asarray(told.marginal_effects()), np.asarray(told.confint(method="profile", parameters=["age"]))]
    parts += [np.asarray(told.predict(sources(folder))), np.asarray(told.influence(dfbetas=True))]
    return b"".join(np.ascontiguousarray(one, np.float64).tobytes() for one in parts) + told.summary().encode()


@pytest.fixture(scope="module")
def expected(folder):
    return told_on(folder, "serial")


def test_the_same_bytes_on_threads(folder, expected):
    assert told_on(folder, "threads") == expected


@pytest.mark.usefixtures("ray_session")
def test_the_same_bytes_on_ray(folder, expected):
    from fullbatch import RayEngine

    engine = RayEngine(2)
    try:
        assert told_on(folder, engine) == expected
    finally:
        engine.close()


def test_the_same_bytes_on_dask(folder, expected, dask_client):
    from fullbatch import DaskEngine

    engine = DaskEngine(dask_client)
    try:
        assert told_on(folder, engine) == expected
    finally:
        engine.close()


def test_rows_in_files_and_in_memory_agree(folder):
    frame = table(900)
    model = logistic(frame)
    here = model.inference(frame[COLUMNS], frame["y"], clusters=[frame["firm"], frame["year"]])
    there = model.inference(sources(folder), clusters=["firm", "year"])
    assert_allclose(here.matrix, there.matrix, rtol=1e-9)
    assert here.clusters == there.clusters == (30, 8)


def test_a_saved_model_tells_the_same(tmp_path):
    frame = table()
    model = logistic(frame)
    model.save(tmp_path / "m.fb")
    loaded = load_model(tmp_path / "m.fb")
    told = loaded.inference(frame[COLUMNS], frame["y"])
    assert told.summary() == model.inference(frame[COLUMNS], frame["y"]).summary()


def test_sparse_rows():
    from scipy.sparse import csr_array

    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 6)) * (rng.random((300, 6)) < 0.4)
    y = rng.poisson(np.exp(X @ np.linspace(-0.5, 0.5, 6)))
    model = GeneralizedLinearRegressor("poisson", tol=TOL).fit(csr_array(X), y)
    ids = rng.integers(0, 20, 300)
    sparse, dense = (model.inference(one, y, clusters=ids) for one in (csr_array(X), X))
    for kind in ("classical", "HC1", "HC3", "cluster"):
        assert_allclose(sparse.with_covariance(kind).matrix, dense.with_covariance(kind).matrix, rtol=1e-9)
    assert_allclose(sparse.marginal_effects(), dense.marginal_effects(), rtol=1e-9)
    assert_allclose(sparse.predict(csr_array(X[:5])), dense.predict(X[:5]), rtol=1e-9)
