"""Ordered classes: against statsmodels, a plain formula, and logistic regression."""

import warnings
from contextlib import closing

import numpy as np
import pandas as pd
import polars
import pytest
import scipy.sparse as sp
import statsmodels.api as sm
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import minimize as scipy_minimize
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from statsmodels.miscmodels.ordinal_model import OrderedModel

from fullbatch import (
    DataError,
    FitWarning,
    LogisticRegression,
    ModelFileError,
    OrdinalLogisticRegression,
    SerialEngine,
    array_sources,
    bootstrap,
    load_model,
)
from fullbatch.models.ordinal import CumulativeLogit
from fullbatch.protocols.requests import Curvature, HessVec, ValueGrad
from fullbatch.protocols.rows import Rows
from fullbatch.protocols.sampling import uniform_of_rows
from fullbatch.testing import check_block

TIGHT = {"tol": 1e-8, "engine": "serial"}


@parametrize_with_checks([OrdinalLogisticRegression(engine="serial")])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def data(n=300, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4)) * [1.0, 3.0, 0.5, 1.0] + [0.0, 5.0, 1.0, -2.0]
    eta = X @ [1.0, -0.5, 0.3, 0.0] + rng.logistic(size=n)
    y = np.searchsorted(np.quantile(eta, np.arange(1, classes) / classes), eta)
    return X, y, rng.uniform(0.2, 2.0, n), rng.normal(0, 0.5, n)


def loss(theta, X, y, weight, offset):
    """Minus the weighted log-likelihood, from differences of cumulative probabilities."""
    p = X.shape[1]
    above = 1.0 / (1.0 + np.exp(-((X @ theta[:p] + offset)[:, None] + theta[p:])))
    above = np.column_stack((np.ones(len(X)), above, np.zeros(len(X))))
    return -weight @ np.log((above[:, :-1] - above[:, 1:])[np.arange(len(X)), y])


@pytest.mark.parametrize(("name", "target"), [("anes96", "PID"), ("fair", "rate_marriage")])
def test_statsmodels(name, target):
    frame = getattr(sm.datasets, name).load_pandas().data.iloc[:: 1 if name == "anes96" else 4]
    X, y = frame.drop(columns=target).select_dtypes("number"), frame[target].astype(int)
    X = X[["logpopul", "selfLR", "age", "educ", "income"]] if name == "anes96" else X.iloc[:, :5]
    theirs = OrderedModel(y, X, distr="logit")
    first = theirs.fit(method="bfgs", disp=0, maxiter=500).params
    fitted = theirs.fit(start_params=first, method="newton", disp=0)
    assert np.abs(theirs.score(fitted.params)).max() < 1e-8 * len(y)  # by differences of the loss
    p = X.shape[1]
    coef, cuts = fitted.params.to_numpy()[:p], fitted.params.to_numpy()[p:]
    model = OrdinalLogisticRegression(C=np.inf, **TIGHT).fit(X, y)
    assert_allclose(model.coef_[0], coef, atol=1e-6 * np.abs(coef).max())
    assert_allclose(model.thresholds_, cuts[0] + np.r_[0.0, np.cumsum(np.exp(cuts[1:]))], rtol=1e-6)
    assert_allclose(model.predict_proba(X), fitted.predict(), atol=1e-6)
    assert model.evaluate(X, y)["cross_entropy"] * len(y) == pytest.approx(-fitted.llf, rel=1e-10)
    assert model.result_.known_by == "hessian"
    assert_array_equal(model.predict(X), np.unique(y)[fitted.predict().argmax(axis=1)])


@pytest.mark.parametrize("classes", [2, 3, 6])
@pytest.mark.parametrize("kind", ["dense", "float32", "sparse", "bytes"])
def test_sums_are_those_of_the_plain_formula(classes, kind):
    X, y, weight, offset = data(classes=classes)
    scale = 1.0
    if kind == "bytes":
        X, scale = np.clip(np.round(10 * X), -100, 100).astype(np.int8), 0.1
    X = X.astype(np.float32) if kind == "float32" else X
    given = sp.csr_array(np.where(np.abs(X) > 0.5, X, 0.0)) if kind == "sparse" else X
    values = given.toarray() if kind == "sparse" else X.astype(np.float64)
    values = (scale * values).astype(np.float32).astype(np.float64) if kind == "bytes" else values
    theta = np.r_[0.3, -0.2, 0.1, 0.4, np.linspace(1.0, -1.5, classes - 1)]
    size, args = len(theta), (values, y, weight, offset)
    sources = array_sources(given, y, weight, offset, scale=scale, blocks=3)
    with closing(SerialEngine().place(CumulativeLogit(), sources)) as b:
        found = b.sum(ValueGrad(theta))
        assert found.value == pytest.approx(loss(theta, *args), rel=1e-12)
        assert found.weight == pytest.approx(weight.sum())
        steps = np.eye(size) * 1e-5
        slopes = [(loss(theta + step, *args) - loss(theta - step, *args)) / 2e-5 for step in steps]
        assert_allclose(found.grad, slopes, rtol=1e-6, atol=1e-6)
        curves = b.sum(Curvature(theta, "gram"))
        gradients = [(b.sum(ValueGrad(theta + s)).grad - b.sum(ValueGrad(theta - s)).grad) / 2e-5 for s in steps]
        assert_allclose(curves.matrix, gradients, rtol=1e-6, atol=1e-6)
        assert curves.point.value == found.value
        some = np.array([1, 3])
        places = np.r_[some, 4:size]
        of_some = b.sum(Curvature(theta, "gram", columns=some))
        assert_allclose(of_some.matrix, np.array(gradients)[np.ix_(places, places)], rtol=1e-6, atol=1e-6)
        assert_allclose(of_some.point.grad, slopes, rtol=1e-6, atol=1e-6)
        v = np.linspace(-1, 1, size)
        assert_allclose(b.sum(HessVec(theta, v)).product, curves.matrix @ v, rtol=1e-10, atol=1e-10)
        both = b.sum(ValueGrad(np.stack((theta, 2 * theta))))
        assert both.value[0] == pytest.approx(found.value, rel=1e-14)
        assert both.value[1] == pytest.approx(loss(2 * theta, *args), rel=1e-12)
        taken = uniform_of_rows(0, len(y), 5) < 0.3
        part = b.sum(Curvature(theta, "gram", fraction=0.3, seed=5))
        assert part.point.value == pytest.approx(
            loss(theta, values[taken], y[taken], weight[taken], offset[taken]), rel=1e-12
        )
        assert part.weight == pytest.approx(weight[taken].sum())
        if classes > 2:
            unordered = theta.copy()
            unordered[-1] = unordered[-2]
            assert b.sum(ValueGrad(unordered)).value == np.inf


def test_keeps_the_contract_of_blocks():
    X, y, weight, _ = data(60)
    check_block(CumulativeLogit(), Rows(X, y, weight), theta=np.r_[0.1, 0.2, 0.3, 0.4, 1.0, 0.2, -0.5])


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0, 2: 0.5}], ids=str)
@pytest.mark.parametrize("standardize", [False, True])
def test_minimum_is_that_of_a_plain_optimiser(class_weight, standardize):
    X, y, weight, offset = data()
    model = OrdinalLogisticRegression(C=0.05, class_weight=class_weight, standardize=standardize, **TIGHT)
    model.fit(X, y, weight, offset=offset)
    if class_weight == "balanced":
        sums = np.bincount(y, weight)
        factors = weight.sum() / (4 * sums)
    else:
        factors = np.array([(class_weight or {}).get(label, 1.0) for label in range(4)])
    size = np.ones(4)
    if standardize:
        mean = np.average(X, axis=0, weights=weight)
        size = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))

    def F(theta):
        return loss(theta, X, y, weight * factors[y], offset) + 0.5 * ((theta[:4] * size) ** 2).sum() / 0.05

    start = np.r_[np.zeros(4), 1.0, 0.0, -1.0]
    found = scipy_minimize(F, start, method="Nelder-Mead", options={"maxiter": 5000, "xatol": 1e-3, "fatol": 1e-6})
    found = scipy_minimize(F, found.x, method="BFGS", options={"gtol": 1e-5})
    mine = np.r_[model.coef_[0], model.intercept_]
    assert F(mine) <= F(found.x) * (1 + 1e-10)
    assert_allclose(mine, found.x, atol=2e-5)
    assert model.result_.success


def test_two_classes_are_a_logistic_regression():
    X, y, weight, offset = data(classes=2)
    wanted = LogisticRegression(C=0.3, **TIGHT).fit(X, y, weight, offset=offset)
    model = OrdinalLogisticRegression(C=0.3, **TIGHT).fit(X, y, weight, offset=offset)
    assert_allclose(model.coef_, wanted.coef_, atol=1e-8)
    assert_allclose(model.intercept_, wanted.intercept_, atol=1e-8)
    assert_allclose(model.decision_function(X, offset=offset), wanted.decision_function(X, offset=offset), atol=1e-7)


def test_any_blocks_and_engine_give_the_same_bytes_and_sparse_the_same_model():
    X, y, weight, _ = data()
    fits = {
        (blocks, engine): OrdinalLogisticRegression(engine=engine).fit(array_sources(X, y, weight, blocks=blocks))
        for blocks in (1, 5)
        for engine in ("serial", "threads")
    }
    for blocks in (1, 5):
        mine, others = fits[blocks, "serial"], fits[blocks, "threads"]
        assert mine.coef_.tobytes() == others.coef_.tobytes()
        assert mine.intercept_.tobytes() == others.intercept_.tobytes()
    assert_allclose(fits[1, "serial"].coef_, fits[5, "serial"].coef_, rtol=1e-9)
    exact, sparse = (OrdinalLogisticRegression(**TIGHT).fit(one, y, weight) for one in (X, sp.csr_array(X)))
    assert_allclose(sparse.coef_, exact.coef_, atol=1e-8)
    lbfgs = OrdinalLogisticRegression(solver="lbfgs", **TIGHT).fit(X, y, weight)
    assert_allclose(lbfgs.coef_, exact.coef_, atol=1e-5)
    assert lbfgs.result_.known_by == "hessian"


def test_categories_are_columns_of_their_levels():
    X, y, weight, _ = data()
    region = np.array(["n", "e", "s"])[np.arange(len(y)) % 3]
    frame = pd.DataFrame(X, columns=list("abcd")).assign(region=region)
    dummies = np.column_stack((X, *(region == one for one in "ens")))
    found = OrdinalLogisticRegression(**TIGHT).fit(frame, y, weight)
    wanted = OrdinalLogisticRegression(**TIGHT).fit(dummies, y, weight)
    assert found.get_feature_names_out()[-3:].tolist() == ["region=e", "region=n", "region=s"]
    assert_allclose(found.coef_[0, 4:], wanted.coef_[0, 4:], atol=1e-8)
    assert_allclose(found.predict_proba(frame), wanted.predict_proba(dummies), atol=1e-8)


SIZES = ["small", "medium", "large", "huge"]


def test_order_of_classes(tmp_path):
    X, y, _, _ = data()
    wanted = OrdinalLogisticRegression(**TIGHT).fit(X, y)
    text = np.array(SIZES)[y]
    frame = pd.DataFrame(X, columns=list("abcd"))
    ordered = pd.Series(pd.Categorical(text, ["none", *SIZES], ordered=True))
    by_name = frame.assign(size=ordered)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        models = [
            OrdinalLogisticRegression(classes=SIZES, **TIGHT).fit(X, text),
            OrdinalLogisticRegression(classes=np.array(SIZES), **TIGHT).fit(array_sources(X, text)),
            OrdinalLogisticRegression(**TIGHT).fit(X, ordered),
            OrdinalLogisticRegression(**TIGHT).fit(frame, ordered.to_frame()),
            OrdinalLogisticRegression(**TIGHT).fit(by_name, "size"),
            OrdinalLogisticRegression(**TIGHT).fit(X, polars.Series(text, dtype=polars.Enum(SIZES))),
        ]
        OrdinalLogisticRegression(**TIGHT).fit(X, np.array(["small", "large"])[y // 2])  # any order is the same model
    for model in models:
        assert model.ordered_classes_.tolist() == SIZES
        assert model.classes_.tolist() == sorted(SIZES)
        assert_array_equal(model.coef_, wanted.coef_)
        rows = X if model.n_features_in_ == 4 and not hasattr(model, "feature_names_in_") else frame
        assert_array_equal(model.predict(rows), np.array(SIZES)[wanted.predict(X)])
        assert model.score(rows, text) == wanted.score(X, y)
        model.save(tmp_path / "model.fb")
        loaded = load_model(tmp_path / "model.fb")
        assert_array_equal(loaded.predict_proba(rows), model.predict_proba(rows))
        assert loaded.ordered_classes_.tolist() == SIZES
        assert_array_equal(loaded.thresholds_, model.thresholds_)
    assert "_order" not in vars(models[2])
    assert models[2].classes is None
    assert clone(models[0]).classes == SIZES
    assert loaded.set_params(warm_start=True).classes is None
    with pytest.warns(FitWarning, match=r"sorted-classes.*'huge', 'large', 'medium', 'small'\. Give classes="):
        unknown = OrdinalLogisticRegression(**TIGHT).fit(X, text)
    assert unknown.classes_.tolist() == sorted(SIZES)
    backwards = OrdinalLogisticRegression(classes=[3, 2, 1, 0], **TIGHT).fit(X, y)
    assert_allclose(backwards.coef_, -wanted.coef_, atol=1e-8)
    assert_allclose(backwards.predict_proba(X), wanted.predict_proba(X), atol=1e-8)
    assert backwards.ordered_classes_.tolist() == [3, 2, 1, 0]


def test_scorers_of_probabilities_know_the_labels():
    X, y, _, _ = data()
    text = np.array(SIZES)[y]
    numbered, named = OrdinalLogisticRegression(**TIGHT), OrdinalLogisticRegression(classes=SIZES, **TIGHT)
    for scoring in ("neg_log_loss", "roc_auc_ovr"):
        wanted = cross_val_score(numbered, X, y, cv=KFold(3), scoring=scoring)
        assert_allclose(cross_val_score(named, X, text, cv=KFold(3), scoring=scoring), wanted, atol=1e-8)
    two = OrdinalLogisticRegression(classes=["z", "a"], **TIGHT).fit(X, np.where(y > 1, "a", "z"))
    assert_array_equal(two.decision_function(X) > 0, two.predict(X) == "z")
    assert_array_equal(two.decision_function(X) > 0, two.predict_proba(X)[:, 1] > 0.5)


def test_there_are_no_checks():
    X, y, _, _ = data()
    with pytest.raises(ValueError, match="OrdinalLogisticRegression has no checks: its thresholds are fitted too"):
        OrdinalLogisticRegression(**TIGHT).fit(X, y).checks(X, y)


def test_warm_start():
    X, y, _, _ = data()
    model = OrdinalLogisticRegression(warm_start=True, solver="lbfgs", engine="serial", tol=1e-6).fit(X, y)
    first = model.n_iter_[0]
    assert model.fit(X, y).n_iter_[0] < first / 2
    with pytest.raises(ValueError, match="warm_start: the classes or features"):
        model.fit(X, np.minimum(y, 2))
    with pytest.raises(ValueError, match="warm_start: the classes or features"):
        model.set_params(classes=[3, 2, 1, 0]).fit(X, y)


def test_separable_classes_are_told():
    X = np.linspace(-1, 1, 60)[:, None]
    y = np.digitize(X[:, 0], [-0.3, 0.3])
    with pytest.warns(FitWarning, match="separable"):
        model = OrdinalLogisticRegression(C=np.inf, engine="serial").fit(X, y)
    assert model.score(X, y) == 1.0


def test_columns_that_are_combinations_have_the_least_norm():
    X, y, _, _ = data()
    single = OrdinalLogisticRegression(C=np.inf, **TIGHT).fit(X, y)
    with pytest.warns(FitWarning, match="collinear-columns"):
        doubled = OrdinalLogisticRegression(C=np.inf, **TIGHT).fit(np.column_stack((X, X[:, 0])), y)
    assert_allclose(doubled.coef_[0, [0, 4]], single.coef_[0, 0] / 2, rtol=1e-6)
    assert_allclose(doubled.thresholds_, single.thresholds_, rtol=1e-6)


@pytest.mark.parametrize(
    ("options", "weight", "why"),
    [
        ({"classes": [0, 1, 2]}, None, r"the data has the label 3, which is not among classes=\[0, 1, 2\]"),
        ({"classes": [0, 1, 2, 3, 9]}, None, "no row has the label 9 of classes"),
        ({"classes": [0, 1, 1, 3]}, None, "classes must be two or more labels, each once"),
        ({"classes": "abc"}, None, "classes must be a list of labels in their order, or None, got 'abc'"),
        ({"class_weight": {1: 0.0}}, None, "the rows of the class 1 weigh nothing"),
        ({}, 2, "the rows of the class 2 weigh nothing"),
        ({"C": 0.0}, None, "C must be a positive number"),
    ],
)
def test_what_cannot_be_fitted_is_refused(options, weight, why):
    X, y, _, _ = data()
    with pytest.raises(ValueError, match=why):
        OrdinalLogisticRegression(engine="serial", **options).fit(X, y, None if weight is None else y != weight)
    with pytest.raises(DataError, match="the data has one class only"):
        OrdinalLogisticRegression(engine="serial").fit(X, np.zeros(len(y)))


def test_what_it_has_not():
    X, y, _, _ = data()
    model = OrdinalLogisticRegression(engine="serial").fit(X, y)
    with pytest.raises(ValueError, match=r"no standard errors: its thresholds are fitted too.*OrderedModel"):
        model.inference(X, y)
    with pytest.raises(ValueError, match="bootstrap does not take OrdinalLogisticRegression: its thresholds"):
        bootstrap(model, X, y)


def test_damaged_files(tmp_path):
    X, y, _, _ = data()
    model = OrdinalLogisticRegression(engine="serial").fit(X, y)
    model.intercept_ = model.intercept_[::-1]
    model.save(tmp_path / "model.fb")
    with pytest.raises(
        ModelFileError, match="is damaged: parameters: there are 3 intercepts, which must be 3 that fall"
    ):
        load_model(tmp_path / "model.fb")


def test_tools_of_scikit_learn():
    X, y, _, _ = data()
    model = OrdinalLogisticRegression(engine="serial")
    search = GridSearchCV(
        make_pipeline(StandardScaler(), model), {"ordinallogisticregression__C": [1e-4, 1.0]}, scoring="neg_log_loss"
    )
    assert search.fit(X, y).best_params_ == {"ordinallogisticregression__C": 1.0}
    assert cross_val_predict(model, X, y, method="predict_proba", cv=3).shape == (len(y), 4)
    calibrated = CalibratedClassifierCV(model, cv=3).fit(X, y)
    assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1.0)
