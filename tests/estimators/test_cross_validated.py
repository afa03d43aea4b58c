"""Estimators that choose their strength by cross-validation: scikit-learn's choice, paths and optimum, converged."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp
from scipy.special import xlogy
from sklearn import linear_model
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, make_scorer, mean_poisson_deviance, mean_squared_error
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    PredefinedSplit,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedKFold,
    TimeSeriesSplit,
)
from sklearn.utils.estimator_checks import parametrize_with_checks

import fullbatch
from fullbatch import DataError, Draw, array_sources, cross_validate, load_model
from fullbatch.estimators._cross_validated import takes_weights
from fullbatch.estimators._splits import column_of
from fullbatch.solvers.least_squares import LeastSquares

KINDS = [
    fullbatch.RidgeCV,
    fullbatch.LassoCV,
    fullbatch.ElasticNetCV,
    fullbatch.LogisticRegressionCV,
    fullbatch.GeneralizedLinearRegressorCV,
]
CHECKED = [
    fullbatch.RidgeCV(engine="serial"),
    fullbatch.LassoCV(engine="serial", alphas=10, cv=3),
    fullbatch.ElasticNetCV(engine="serial", alphas=10, cv=3),
    fullbatch.LogisticRegressionCV(engine="serial", Cs=3, cv=3),
    fullbatch.GeneralizedLinearRegressorCV(engine="serial", n_alphas=10, cv=3),
]


def test_a_score_of_rows_with_offsets_is_refused_as_it_was_asked_for_before_anything_is_fitted(monkeypatch):
    monkeypatch.setattr("fullbatch.estimators._cross_validated.run_together", None)
    X, y = load_iris(return_X_y=True)
    offset = np.linspace(0, 1, len(y))
    kinds = (
        (fullbatch.LogisticRegressionCV(Cs=2, cv=2), "accuracy", "neg_log_loss"),
        (fullbatch.RidgeCV(cv=2), "r2", "neg_mean_squared_error"),
    )
    for model, scoring, instead in kinds:
        for asked, what in ({}, "the default scoring"), ({"scoring": scoring}, f"scoring='{scoring}'"):
            with pytest.raises(DataError, match=f"^{what} needs rows in memory, without offsets: .*='{instead}"):
                clone(model).set_params(**asked).fit(X, y, offset=offset)


@pytest.mark.slow
@parametrize_with_checks(CHECKED)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def diabetes():
    X, y = load_diabetes(return_X_y=True)
    return 10.0 * X[:150, :6], y[:150] / 50.0, np.random.default_rng(0).uniform(0.2, 2.0, 150)


def classes(data=load_iris):
    X, y = data(return_X_y=True)
    X = X[:, :5]
    return (X - X.mean(axis=0)) / X.std(axis=0), y, np.random.default_rng(0).uniform(0.2, 2.0, len(y))


TIGHT = {"tol": 1e-11, "max_iter": 200_000}
SPLITTERS = {
    "five": None,
    "three": 3,
    "shuffled": KFold(4, shuffle=True, random_state=1),
    "drawn": ShuffleSplit(3, random_state=0),
    "in time": TimeSeriesSplit(4),
    "repeated": RepeatedKFold(n_splits=3, n_repeats=2, random_state=0),
    "some never held out": PredefinedSplit(np.arange(150) % 4 - 1),
    "masks": [(np.arange(150) >= 50, np.arange(150) < 50), (np.arange(150) < 100, np.arange(150) >= 100)],
    "with replacement": [(np.random.default_rng(k).integers(0, 100, 120), np.arange(100, 150)) for k in range(2)],
}


@pytest.mark.parametrize("cv", SPLITTERS.values(), ids=list(SPLITTERS))
def test_lasso_cv_on_any_split(cv):
    X, y, weight = diabetes()
    wanted = linear_model.LassoCV(cv=cv, alphas=12, **TIGHT).fit(X, y, weight)
    found = fullbatch.LassoCV(cv=cv, alphas=12, engine="serial", tol=1e-8).fit(X, y, weight)
    assert found.alpha_ == pytest.approx(wanted.alpha_, rel=1e-8)
    np.testing.assert_allclose(found.alphas_, wanted.alphas_, rtol=1e-8)
    np.testing.assert_allclose(found.mse_path_, wanted.mse_path_, rtol=1e-6)
    np.testing.assert_allclose(found.coef_, wanted.coef_, atol=1e-6)
    assert found.intercept_ == pytest.approx(wanted.intercept_, rel=1e-6)
    assert 0 <= found.dual_gap_ < 1e-8
    assert not hasattr(found, "l1_ratio_")


@pytest.mark.parametrize(
    "options",
    [{"positive": True}, {"fit_intercept": False}, {"alphas": [0.3, 0.01, 0.1]}, {"eps": 0.1}],
    ids=str,
)
def test_elastic_net_cv(options):
    X, y, _ = diabetes()
    options = {"l1_ratio": [0.2, 0.9, 1.0], "alphas": 6, "cv": 4, **options}
    wanted = linear_model.ElasticNetCV(**options, **TIGHT).fit(X, y)
    found = fullbatch.ElasticNetCV(**options, engine="serial", tol=1e-8).fit(X, y)
    assert (found.l1_ratio_, found.alpha_) == (wanted.l1_ratio_, pytest.approx(wanted.alpha_, rel=1e-8))
    assert found.alphas_.shape == wanted.alphas_.shape
    np.testing.assert_allclose(found.mse_path_, wanted.mse_path_, rtol=1e-6)
    np.testing.assert_allclose(found.coef_, wanted.coef_, atol=1e-6)


def test_lasso_cv_reads_the_data_once_for_all_folds_and_strengths():
    class Counting(fullbatch.SerialEngine):
        asked = 0

        def place(self, model, sources):
            blocks = super().place(model, sources)
            sum_ = blocks.sum

            def counted(request):
                type(self).asked += 1
                return sum_(request)

            blocks.sum = counted
            return blocks

    X, y, _ = diabetes()
    model = fullbatch.LassoCV(alphas=30, engine=Counting()).fit(X, y)
    # One read of the sums of all folds, and those of the last fit and of its check.
    assert Counting.asked == 1 + model.result_.passes <= 4


def test_targets_that_no_column_explains():
    X = np.random.default_rng(0).random((20, 3))
    model = fullbatch.LassoCV(alphas=3, cv=2).fit(X, np.full(20, 7.0))
    np.testing.assert_array_equal(model.alphas_, [np.finfo(float).resolution] * 3)
    np.testing.assert_allclose(model.predict(X), 7.0)


# --- logistic regression --------------------------------------------------------------------------------------------


def paths(model, name):
    values = getattr(model, name)
    return np.array(list(values.values())) if isinstance(values, dict) else values


@pytest.mark.parametrize("data", [load_iris, load_breast_cancer], ids=["iris", "cancer"])
@pytest.mark.parametrize(
    "options",
    [
        {"scoring": "neg_log_loss"},
        {"scoring": None, "cv": ShuffleSplit(3, random_state=0), "l1_ratios": [0.0]},
        {"refit": False, "scoring": "balanced_accuracy", "class_weight": "balanced"},
        {"use_legacy_attributes": False, "scoring": "accuracy", "fit_intercept": False},
    ],
    ids=str,
)
def test_logistic_regression_cv(data, options):
    X, y, weight = classes(data)
    options = {"Cs": [0.01, 3.0, 0.3], "cv": 3, **options}
    theirs = {"solver": "newton-cholesky", "tol": 1e-9, "max_iter": 1000}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        wanted = linear_model.LogisticRegressionCV(**options, **theirs).fit(X, y, weight)
        score = wanted.score(X, y, sample_weight=weight)
    found = fullbatch.LogisticRegressionCV(**options, engine="serial", tol=1e-8).fit(X, y, weight)
    np.testing.assert_array_equal(found.C_, wanted.C_)
    np.testing.assert_array_equal(found.Cs_, wanted.Cs_)
    assert type(found.scores_) is type(wanted.scores_)
    if isinstance(wanted.scores_, dict):
        assert list(found.scores_) == list(wanted.scores_) == list(found.coefs_paths_)
    for name in ("scores_", "coefs_paths_"):
        assert paths(found, name).shape == paths(wanted, name).shape
        np.testing.assert_allclose(paths(found, name), paths(wanted, name), atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(found.coef_, wanted.coef_, atol=1e-6)
    np.testing.assert_allclose(found.intercept_, wanted.intercept_, atol=1e-6)
    assert found.n_iter_.shape == wanted.n_iter_.shape
    assert found.score(X, y, weight) == pytest.approx(score, abs=1e-7)


def test_logistic_regression_cv_over_shares_of_l1():
    X, y, _ = classes()
    options = {"Cs": [0.05, 0.5], "l1_ratios": [0.3, 1.0], "cv": 3, "scoring": "neg_log_loss"}
    found = fullbatch.LogisticRegressionCV(**options, use_legacy_attributes=False, engine="serial", tol=1e-8).fit(X, y)
    assert found.scores_.shape == (3, 2, 2)
    assert found.coefs_paths_.shape == (3, 2, 2, 3, 5)
    for fold, (train, test) in enumerate(StratifiedKFold(3).split(X, y)):
        for share, ratio in enumerate((0.3, 1.0)):
            for strength, C in enumerate((0.05, 0.5)):
                one = linear_model.LogisticRegression(C=C, l1_ratio=ratio, solver="saga", tol=1e-9, max_iter=50_000)
                one.fit(X[train], y[train])
                path = found.coefs_paths_[fold, share, strength]
                np.testing.assert_allclose(path[:, :-1], one.coef_, atol=1e-5)
                loss = -np.log(one.predict_proba(X[test])[np.arange(len(test)), y[test]]).mean()
                assert found.scores_[fold, share, strength] == pytest.approx(-loss, rel=1e-5)
    assert (found.l1_ratio_, found.C_) == (
        [0.3, 1.0][found.scores_.sum(axis=0).max(axis=1).argmax()],
        [0.05, 0.5][found.scores_.sum(axis=0).max(axis=0).argmax()],
    )


# --- ridge regression -----------------------------------------------------------------------------------------------

ALPHAS = [0.01, 0.1, 1.0, 10.0]


@pytest.mark.parametrize("weighted", [False, True], ids=["", "weighted"])
@pytest.mark.parametrize(
    "options",
    [
        {"store_cv_results": True},
        {"store_cv_results": True, "scoring": "neg_mean_absolute_error"},
        {"store_cv_results": True, "fit_intercept": False, "gcv_mode": "svd"},
        {"alpha_per_target": True},
        {"cv": 3},
        {"cv": ShuffleSplit(3, random_state=0), "scoring": "neg_mean_squared_error"},
    ],
    ids=str,
)
@pytest.mark.parametrize("targets", [1, 3])
def test_ridge_cv(options, weighted, targets):
    X, y, weight = diabetes()
    y = y if targets == 1 else np.column_stack((y, X[:, 1] - 3.0, np.random.default_rng(3).standard_normal(len(y))))
    weight = weight if weighted else None
    wanted = linear_model.RidgeCV(ALPHAS, **options).fit(X, y, weight)
    found = fullbatch.RidgeCV(ALPHAS, **options, engine="serial").fit(X, y, weight)
    np.testing.assert_array_equal(found.alpha_, wanted.alpha_)
    np.testing.assert_allclose(found.best_score_, wanted.best_score_, rtol=1e-8)
    np.testing.assert_allclose(found.coef_, wanted.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.intercept_, wanted.intercept_, rtol=1e-8)
    if "store_cv_results" in options:
        np.testing.assert_allclose(found.cv_results_, wanted.cv_results_, rtol=1e-6, atol=1e-9)
    assert found.predict(X).shape == y.shape


@pytest.mark.parametrize("standardize", [False, True])
def test_each_row_left_out_is_what_fits_without_it_say(standardize):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((25, 40)) * np.geomspace(0.1, 10, 40), rng.standard_normal(25)
    if standardize:  # of fits to fewer rows the deviations are others, so that columns are alike from the start
        X = np.vstack((X, -X)) / X.std(axis=0)
        y = np.concatenate((y, y[::-1]))
    offset = rng.uniform(0, 1, len(y))
    found = fullbatch.RidgeCV([0.3, 30.0], store_cv_results=True, standardize=standardize, engine="serial")
    found.fit(X, y, offset=offset)
    scale = X.std(axis=0) if standardize else np.ones(40)
    for row in range(len(y)):
        others = np.arange(len(y)) != row
        for number, alpha in enumerate((0.3, 30.0)):
            model = linear_model.Ridge(alpha).fit(X[others] / scale, (y - offset)[others])
            error = y[row] - offset[row] - model.predict(X[[row]] / scale)[0]
            assert found.cv_results_[row, number] == pytest.approx(error**2, rel=1e-6, abs=1e-12)
    assert found.best_score_ == pytest.approx(-found.cv_results_.mean(axis=0).min(), rel=1e-12)


def test_ridge_cv_takes_categories_sparse_rows_and_sources():
    X, y, weight = diabetes()
    wanted = fullbatch.RidgeCV(ALPHAS, store_cv_results=True, engine="serial").fit(X, y, weight)
    for given in (
        (sp.csr_array(X), y, weight),
        (pd.DataFrame(X), pd.Series(y), weight),
        (array_sources(X, y, weight),),
    ):
        model = clone(wanted).fit(*given)
        np.testing.assert_allclose(model.cv_results_, wanted.cv_results_, rtol=1e-8, atol=1e-14)
        np.testing.assert_allclose(model.coef_, wanted.coef_, rtol=1e-9)
    frame = pd.DataFrame(X[:, :2], columns=["a", "b"]).assign(kind=np.where(X[:, 2] > 0, "up", "down"))
    dummies = np.column_stack((X[:, :2], X[:, 2] <= 0, X[:, 2] > 0))
    np.testing.assert_allclose(
        clone(wanted).fit(frame, y).cv_results_, clone(wanted).fit(dummies, y).cv_results_, rtol=1e-8, atol=1e-14
    )


# --- generalised linear models --------------------------------------------------------------------------------------


def counts():
    rng = np.random.default_rng(7)
    X = rng.standard_normal((120, 4))
    return X, rng.poisson(np.exp(0.7 * X[:, 0] - 0.3 * X[:, 1])).astype(float), rng.uniform(0.5, 2.0, 120)


def test_poisson_regression_cv():
    X, y, weight = counts()
    alphas = [0.5, 0.05, 0.005]
    found = fullbatch.GeneralizedLinearRegressorCV("poisson", alphas=alphas, cv=4, engine="serial", tol=1e-8)
    found.fit(X, y, weight)
    wanted = np.zeros((4, 3))
    for fold, (train, test) in enumerate(KFold(4).split(X)):
        for number, alpha in enumerate(alphas):
            model = linear_model.PoissonRegressor(alpha=alpha, solver="newton-cholesky", tol=1e-12)
            model.fit(X[train], y[train], weight[train])
            wanted[fold, number] = mean_poisson_deviance(y[test], model.predict(X[test]), sample_weight=weight[test])
    np.testing.assert_allclose(found.deviance_path_, wanted[:, np.newaxis], rtol=1e-7)
    assert found.alpha_ == alphas[wanted.mean(axis=0).argmin()]
    last = linear_model.PoissonRegressor(alpha=found.alpha_, solver="newton-cholesky", tol=1e-12).fit(X, y, weight)
    np.testing.assert_allclose(found.coef_, last.coef_, atol=1e-7)


@pytest.mark.parametrize("loss", ["poisson", "squared"])
def test_glm_cv_is_cross_validate_on_sources(loss):
    X, y, weight = counts()
    sources = array_sources(X, y, weight, blocks=3)
    model = fullbatch.GeneralizedLinearRegressorCV(
        loss, l1_ratio=[0.5, 1.0], n_alphas=8, min_alpha_ratio=1e-3, cv=4, engine="serial", tol=1e-8
    ).fit(sources)
    assert model.deviance_path_.shape == (4, 2, 8)
    least = (weight @ (y - xlogy(y, y))) / weight.sum() if loss == "poisson" else 0.0
    for number, share in enumerate((0.5, 1.0)):
        one = fullbatch.GeneralizedLinearRegressor(loss, l1_ratio=share, engine="serial", tol=1e-8)
        told = cross_validate(one, sources, folds=4, num=8, ratio=1e-3)
        np.testing.assert_allclose(model.alphas_[number], told.strengths, rtol=1e-12)
        np.testing.assert_allclose(model.deviance_path_[:, number], 2.0 * (told.losses.T - least), rtol=1e-7)
    best = np.unravel_index(model.deviance_path_.mean(axis=0).argmin(), (2, 8))
    assert (model.l1_ratio_, model.alpha_) == ([0.5, 1.0][best[0]], model.alphas_[best])


LABELS = np.array(["a", "b"] * 60)


@pytest.mark.parametrize(
    "labels",
    [
        pa.array(LABELS),
        pa.array(LABELS).dictionary_encode(),
        pa.array(LABELS == "b"),
        pd.Series(LABELS, dtype="category"),
        pd.Series(LABELS, dtype="string"),
    ],
    ids=lambda labels: str(getattr(labels, "type", getattr(labels, "dtype", ""))),
)
def test_labels_of_any_kind_are_split(labels):
    X = np.random.default_rng(8).standard_normal((120, 2)) + (LABELS == "b")[:, np.newaxis]
    found = fullbatch.LogisticRegressionCV(Cs=3, cv=3, engine="serial").fit(X, labels)
    wanted = fullbatch.LogisticRegressionCV(Cs=3, cv=3, engine="serial").fit(X, LABELS)
    assert found.coef_.tobytes() == wanted.coef_.tobytes()
    assert [str(label) for label in found.classes_] in (["a", "b"], ["False", "True"])


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        (pd.Series(["a", None] * 60, dtype="string"), "row 1: target y contains NaN or None instead of a label"),
        (np.array(["a", None] * 60, object), "row 1: target y contains NaN or None instead of a label"),
        (np.array(["a", 1] * 60, object), "target y mixes text and other objects, of types 'int', 'str'"),
        (np.array([0.0, 1.0, np.nan] * 40), "row 2: target y contains NaN"),
        (np.array([0.0, 1.0, 0.5] * 40), "row 2: the label 0.5 is not a class"),
    ],
)
def test_labels_that_are_none_are_told_before_they_are_split(labels, why):
    with pytest.raises(DataError, match=why):
        fullbatch.LogisticRegressionCV(Cs=3, cv=3, engine="serial").fit(np.ones((120, 2)), labels)


# --- all of them ----------------------------------------------------------------------------------------------------


def small(kind):
    X, y, weight = classes() if kind is fullbatch.LogisticRegressionCV else counts()
    few = {
        fullbatch.RidgeCV: {},
        fullbatch.LogisticRegressionCV: {"Cs": [0.1, 1.0], "cv": 3, "scoring": "neg_log_loss"},
        fullbatch.GeneralizedLinearRegressorCV: {"loss": "poisson", "n_alphas": 4, "cv": 3},
    }.get(kind, {"alphas": 5, "cv": 3})
    return kind(engine="serial", **few), X, y, weight


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_saved_cloned_pickled_and_on_any_number_of_threads(kind, tmp_path):
    model, X, y, weight = small(kind)
    model.fit(X, y, weight)
    model.save(tmp_path / "model.fb")
    loaded = load_model(tmp_path / "model.fb")
    assert type(loaded) is kind
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
    for name in kind._kept:
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name))
    again = pickle.loads(pickle.dumps(model))
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    for threads in (1, 2, 4):
        other = clone(model).set_params(engine=fullbatch.ThreadEngine(threads)).fit(X, y, weight)
        assert other.coef_.tobytes() == model.coef_.tobytes()
    sources = array_sources(X, y, weight, blocks=3)
    apart = [
        clone(model).set_params(engine=engine).fit(sources).coef_.tobytes()
        for engine in (fullbatch.SerialEngine(), fullbatch.ThreadEngine(4))
    ]
    assert apart[0] == apart[1]
    assert kind.__name__ in model._repr_html_()


@pytest.mark.parametrize("kind", KINDS[:-1], ids=lambda kind: kind.__name__)
def test_default_arguments_are_scikit_learns(kind):
    theirs, ours = getattr(linear_model, kind.__name__)().get_params(), kind().get_params()
    ours_alone = {"max_iter": 1000, "solver": "auto", "intercept_scaling": 1}
    for name, value in theirs.items():
        assert ours[name] == ours_alone.get(name, value) or ours[name] == value


def test_groups_by_metadata_routing():
    import sklearn

    X, y, _ = diabetes()
    groups = np.arange(150) % 7
    with sklearn.config_context(enable_metadata_routing=True):
        wanted = linear_model.LassoCV(alphas=5, cv=GroupKFold(3), **TIGHT).fit(X, y, groups=groups)
        found = fullbatch.LassoCV(alphas=5, cv=GroupKFold(3), engine="serial").fit(X, y, groups=groups)
    np.testing.assert_allclose(found.mse_path_, wanted.mse_path_, rtol=1e-6)
    with pytest.raises(ValueError, match="only supported if enable_metadata_routing=True"):
        fullbatch.LassoCV(cv=GroupKFold(3)).fit(X, y, groups=groups)


def test_weights_for_scorers_by_metadata_routing():
    import sklearn

    X, y, weight = diabetes()
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(mean_squared_error, greater_is_better=False).set_score_request(sample_weight=True)
        options = {"alphas": [0.1, 10.0, 1000.0], "cv": KFold(3), "scoring": scorer}
        wanted = linear_model.RidgeCV(**options).fit(X, y, weight)
        found = fullbatch.RidgeCV(**options, engine="serial").fit(X, y, weight)
        by_default = fullbatch.RidgeCV(alphas=options["alphas"], cv=3, engine="serial").fit(X, y, sample_weight=weight)
    assert found.alpha_ == wanted.alpha_
    assert found.best_score_ == pytest.approx(wanted.best_score_, rel=1e-6)
    alone = fullbatch.RidgeCV(alphas=options["alphas"], cv=3, engine="serial").fit(X, y, weight)
    assert by_default.best_score_ == pytest.approx(alone.best_score_, rel=1e-9)


def test_weights_for_scores_of_classes_by_metadata_routing():
    import sklearn

    X, y, weight = classes()
    options = {"Cs": [0.01, 1.0], "cv": 3, "l1_ratios": [0.0], "use_legacy_attributes": False, "engine": "serial"}
    with sklearn.config_context(enable_metadata_routing=True):
        scorer = make_scorer(accuracy_score).set_score_request(sample_weight=True)
        model = fullbatch.LogisticRegressionCV(**options, scoring=scorer).fit(X, y, sample_weight=weight)
        found = model.score(X, y, sample_weight=weight)
    right = model.predict(X) == y
    assert found == pytest.approx(weight[right].sum() / weight.sum(), rel=1e-12)
    assert found != pytest.approx(right.mean(), rel=1e-3)


def test_penalties_by_name_are_shares_of_l1():
    X, y, _ = classes()
    options = {"Cs": [0.1, 1.0], "cv": 3, "engine": "serial", "use_legacy_attributes": False}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        named = fullbatch.LogisticRegressionCV(penalty="l1", **options).fit(X, y)
        shared = fullbatch.LogisticRegressionCV(l1_ratios=[1.0], **options).fit(X, y)
    assert named.l1_ratio_ == 1.0
    assert named.coef_.tobytes() == shared.coef_.tobytes()


def test_the_target_of_a_formula_is_split_by_its_classes():
    X, y, _ = classes()
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=y.astype(str))
    options = {"Cs": [0.1, 1.0], "cv": 3, "engine": "serial", "l1_ratios": [0.0], "use_legacy_attributes": False}
    by_formula = fullbatch.LogisticRegressionCV(formula="kind ~ a + b + c + d", **options).fit(frame)
    alone = fullbatch.LogisticRegressionCV(**options).fit(X, y.astype(str))
    np.testing.assert_allclose(by_formula.scores_, alone.scores_, rtol=1e-12)


def test_folds_that_do_not_converge_are_counted():
    X, y, _ = classes()
    options = {"Cs": [1.0, 100.0], "cv": 3, "engine": "serial", "l1_ratios": [0.0], "use_legacy_attributes": False}
    with pytest.warns(ConvergenceWarning, match=r"\[not-converged\] \d+ of 8 fits ended before tol \(max_iter\)"):
        fullbatch.LogisticRegressionCV(max_iter=0, **options).fit(X, y)


def test_a_scorer_of_ones_own_may_take_weights():
    assert takes_weights(lambda model, X, y, sample_weight=None: 0.0)
    assert not takes_weights(lambda model, X, y: 0.0)
    assert takes_weights(make_scorer(accuracy_score))


def test_more_folds_than_rows_are_refused():
    X, y = np.arange(20.0).reshape(10, 2) ** 1.5, np.arange(10.0)
    with pytest.raises(ValueError, match="11 folds of 10 rows: some would have none, so take no more folds than rows"):
        fullbatch.cross_validate(fullbatch.Lasso(), X, y, folds=11)
    poisson = fullbatch.GeneralizedLinearRegressor("poisson", l1_ratio=1.0)
    with pytest.raises(ValueError, match="11 folds of 10 rows"):
        fullbatch.cross_validate(poisson, X, y, folds=11)
    sources = fullbatch.array_sources(X, y, blocks=2)
    for model in (
        fullbatch.LassoCV(cv=11),
        fullbatch.RidgeCV(cv=11, scoring="neg_mean_squared_error"),
        fullbatch.GeneralizedLinearRegressorCV("poisson", cv=11),
    ):
        with pytest.raises(ValueError, match="11 folds of 10 rows"):
            model.fit(sources)
    fullbatch.LassoCV(cv=ShuffleSplit(12, random_state=0), alphas=3).fit(X, y)  # which are no folds


@pytest.mark.parametrize("loss", ["squared", "poisson"])
def test_targets_that_nothing_explains_are_fitted_by_all(loss):
    X, y = np.random.default_rng(0).standard_normal((60, 3)), np.full(60, 2.5)
    model = fullbatch.GeneralizedLinearRegressorCV(loss, l1_ratio=1.0, n_alphas=4, cv=3).fit(X, y)
    theirs = linear_model.LassoCV(alphas=4, cv=3).fit(X, y)
    assert model.alpha_ == theirs.alpha_
    np.testing.assert_array_equal(model.alphas_, theirs.alphas_)
    np.testing.assert_allclose(model.coef_, 0.0, atol=1e-7)
    assert model.intercept_ == pytest.approx(np.log(2.5) if loss == "poisson" else 2.5)
    with pytest.raises(ValueError, match="no path: give alphas, or P1"):
        fullbatch.GeneralizedLinearRegressorCV(P1=[0.0] * 3, P2=[0.0] * 3).fit(X, X[:, 0])


def test_sparse_rows_are_not_decomposed():
    X, y, _ = diabetes()
    with pytest.warns(FutureWarning, match="svd"):
        found = fullbatch.RidgeCV(gcv_mode="svd", engine="serial").fit(sp.csr_array(X), y)
    np.testing.assert_allclose(found.coef_, fullbatch.RidgeCV(engine="serial").fit(X, y).coef_, rtol=1e-7)


def test_a_table_of_one_column_is_that_column_and_of_one_row_a_row():
    assert column_of(None, [[1.0], [2.0], [3.0]]).tolist() == [1.0, 2.0, 3.0]
    assert column_of(None, [[1.0, 2.0, 3.0]]).tolist() == [[1.0, 2.0, 3.0]]


def test_strengths_of_glms_go_down_to_a_millionth_of_the_largest():
    X, y, _ = diabetes()
    found = fullbatch.GeneralizedLinearRegressorCV(n_alphas=3, cv=3, engine="serial").fit(X, y)
    np.testing.assert_allclose(found.alphas_ / found.alphas_[0], [1.0, 1e-3, 1e-6], rtol=1e-12)


def test_the_only_row_cannot_be_left_out():
    with pytest.raises(DataError, match="n_samples=1: where the only row is left out there is none to fit"):
        fullbatch.RidgeCV(engine="serial").fit(array_sources([[1.0]], [2.0]))


def test_leaving_rows_out_takes_products_of_all_columns(monkeypatch):
    X, y, _ = diabetes()
    monkeypatch.setattr(LeastSquares, "bytes_for", staticmethod(lambda size: 10**15 * (size > X.shape[1])))
    with pytest.raises(ValueError, match=r"cv=None takes sums of products of 6 columns, 1e\+09 MB: give"):
        fullbatch.RidgeCV(engine="serial").fit(X, y)


def test_folds_of_sources_are_scored_by_their_squares():
    X, y, _ = diabetes()
    options = {"alphas": [0.1, 10.0, 1000.0], "cv": 3, "scoring": "neg_mean_squared_error", "engine": "serial"}
    found = fullbatch.RidgeCV(**options).fit(array_sources(X, y, blocks=2))
    errors = []
    folds = [Draw("only", number, 3).weights(0, len(y)) > 0 for number in range(3)]
    for held in folds:
        model = linear_model.Ridge(found.alpha_).fit(X[~held], y[~held])
        errors.append(np.mean((y[held] - model.predict(X[held])) ** 2))
    assert found.best_score_ == pytest.approx(-np.mean(errors), rel=1e-6)


WRONG = [
    (fullbatch.LassoCV(alphas=0), ValueError, "alphas must be at least 1, got 0"),
    (fullbatch.LassoCV(alphas=[1.0, -1.0]), ValueError, r"alphas\[1\] == -1.0, must be >= 0.0"),
    (fullbatch.LassoCV(alphas=[[1.0]]), ValueError, r"alphas must be one or more numbers, got \[\[1.0\]\]"),
    (fullbatch.RidgeCV(alphas=[]), ValueError, r"alphas must be one or more numbers, got \[\]"),
    (fullbatch.LassoCV(alphas="many"), TypeError, "alphas must be an instance of float, not str"),
    (fullbatch.LassoCV(eps=0.0), ValueError, "eps must be a number above 0"),
    (fullbatch.ElasticNetCV(l1_ratio=[0.5, 1.5]), ValueError, "l1_ratio must be one or more numbers from 0 to 1"),
    (fullbatch.ElasticNetCV(l1_ratio=0), ValueError, "grid generation is not supported for l1_ratio=0"),
    (fullbatch.LassoCV(cv=1), ValueError, "k-fold cross-validation requires at least one train/test split"),
    (fullbatch.LassoCV(cv=[([0, 1], [2, 99])]), ValueError, "cv must give numbers of rows from 0 to 11"),
    (fullbatch.LassoCV(cv=[]), ValueError, "cv has no splits"),
    (fullbatch.LassoCV(cv="five"), ValueError, "Expected `cv` as an integer"),
    (fullbatch.RidgeCV(alphas=(1.0, 0.0)), ValueError, r"alphas\[1\] == 0.0, must be > 0.0"),
    (fullbatch.RidgeCV(cv=3, store_cv_results=True), ValueError, "cv!=None and store_cv_results=True are incompatible"),
    (fullbatch.RidgeCV(positive=True), ValueError, "knows no bounds: give a number of folds"),
    (fullbatch.RidgeCV(scoring="best"), ValueError, "scoring must be the name of a scorer of scikit-learn"),
    (fullbatch.RidgeCV(gcv_mode="qr"), ValueError, "gcv_mode must be"),
    (fullbatch.LogisticRegressionCV(Cs=[1.0, 0.0]), ValueError, "Cs must be one or more numbers above 0"),
    (fullbatch.LogisticRegressionCV(l1_ratios=[2.0]), ValueError, "l1_ratios must be an array-like of numbers between"),
    (fullbatch.LogisticRegressionCV(l1_ratios=["a"]), ValueError, "l1_ratios must be an array-like of numbers between"),
    (fullbatch.LogisticRegressionCV(penalty="elasticnet"), ValueError, "l1_ratios must be an array-like of numbers"),
    (fullbatch.LogisticRegressionCV(penalty=None), ValueError, "leave it out, and give Cs=.np.inf."),
    (fullbatch.LogisticRegressionCV(refit="no"), ValueError, "refit must be True or False"),
    (fullbatch.GeneralizedLinearRegressorCV(alphas=[]), ValueError, "alphas must be one or more numbers"),
    (
        fullbatch.GeneralizedLinearRegressorCV(min_alpha_ratio=2.0),
        ValueError,
        "min_alpha_ratio must be a number betwee",
    ),
]


@pytest.mark.parametrize(("model", "kind", "why"), WRONG, ids=lambda one: type(one).__name__)
def test_what_cannot_be_honoured_is_refused(model, kind, why):
    X = np.random.default_rng(0).random((12, 2))
    with pytest.raises(kind, match=why):
        model.fit(X, np.arange(12) % 2)
    assert not hasattr(model, "coef_")


def test_several_targets_have_no_strength_in_common():
    X = np.random.default_rng(0).random((12, 2))
    with pytest.raises(ValueError, match="y has several targets, of which each would have a strength of its own"):
        fullbatch.LassoCV().fit(X, X)


def test_scores_that_sources_cannot_tell():
    X, y, _ = classes()
    with pytest.raises(DataError, match="give scoring='neg_log_loss'"):
        fullbatch.LogisticRegressionCV().fit(array_sources(X, y))
    with pytest.raises(DataError, match="give scoring='neg_mean_squared_error'"):
        fullbatch.RidgeCV(cv=3).fit(array_sources(X, y))
    with pytest.raises(ValueError, match="cv must be a number of folds, 2 or more, or None for 5"):
        fullbatch.LassoCV(cv=KFold(3)).fit(array_sources(X, y))
    with pytest.raises(ValueError, match="LassoCV: it chooses its strength by itself"):
        cross_validate(fullbatch.LassoCV(), X, y)


def test_lists_of_shares_are_saved(tmp_path):
    X, y = load_diabetes(return_X_y=True)
    model = fullbatch.ElasticNetCV(l1_ratio=[0.3, 0.9], cv=3, alphas=[0.1, 1.0]).fit(X, y)
    model.save(tmp_path / "model.fb")
    again = load_model(tmp_path / "model.fb")
    assert list(again.l1_ratio) == [0.3, 0.9]
    assert again.l1_ratio_ == model.l1_ratio_
    assert again.predict(X).tobytes() == model.predict(X).tobytes()


@pytest.mark.parametrize("kind", KINDS[1:], ids=lambda kind: kind.__name__)
def test_a_single_strength_is_saved(kind, tmp_path):
    model, X, y, weight = small(kind)
    names = {fullbatch.LogisticRegressionCV: "Cs", fullbatch.GeneralizedLinearRegressorCV: "n_alphas"}
    model.set_params(**{names.get(kind, "alphas"): 1}).fit(X, y, weight).save(tmp_path / "model.fb")
    assert load_model(tmp_path / "model.fb").predict(X).tobytes() == model.predict(X).tobytes()


def test_one_weight_for_all_rows_is_told_to_scorers_too():
    X, y, _ = classes()
    one, each = (
        fullbatch.LogisticRegressionCV(Cs=2, cv=3, scoring="accuracy", use_legacy_attributes=False).fit(X, y, weight)
        for weight in (2.0, np.full(len(y), 2.0))
    )
    np.testing.assert_array_equal(one.scores_, each.scores_)


def test_a_row_that_alone_decides_its_own_value_is_told():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((15, 1))
    y = X[:, 0] + rng.standard_normal(15)
    X[3, 0] = 1e10
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        with pytest.warns(fullbatch.FitWarning, match=r"\[leverage\] .*row 3: this row alone decides"):
            fullbatch.RidgeCV([1e-4, 1.0], engine="serial").fit(X, y)
    X[3, 0] = 1e4
    kept = fullbatch.RidgeCV([1e-4, 100.0], store_cv_results=True, engine="serial").fit(X, y).cv_results_
    for place, alpha in enumerate((1e-4, 100.0)):
        own = linear_model.Ridge(alpha).fit(np.delete(X, 3, 0), np.delete(y, 3))
        np.testing.assert_allclose(kept[3, place], (y[3] - own.predict(X[3:4])[0]) ** 2, rtol=1e-6)
