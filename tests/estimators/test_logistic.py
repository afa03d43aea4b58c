import pickle
import re
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fullbatch import DataError, FitWarning, History, LogisticRegression, SerialEngine, array_sources
from fullbatch.datasets import load_mnist


@parametrize_with_checks([LogisticRegression(engine="serial")])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def data(classes, n=400, p=6, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * np.linspace(0.5, 2, p) + np.arange(p)
    y = (X @ rng.standard_normal((p, classes)) + rng.gumbel(size=(n, classes))).argmax(axis=1)
    return X, y, rng.random(n)


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"C": 0.01},
        {"C": np.inf},
        {"fit_intercept": False},
        {"class_weight": "balanced"},
        {"class_weight": {0: 3.0, 1: 0.2}},
    ],
    ids=str,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_same_optimum_as_scikit_learn(classes, options, weighted):
    X, y, weight = data(classes)
    weight = weight if weighted else None
    ours = LogisticRegression(tol=1e-8, engine="serial", **options).fit(X, y, weight)
    reference = Reference(tol=1e-12, max_iter=10_000, solver="newton-cholesky", **options).fit(X, y, weight)
    # Without penalty the intercepts and rows of coef_ are free up to a common shift.
    free = options.get("C") == np.inf and classes > 2
    for name in ("coef_", "intercept_"):
        got, wanted = getattr(ours, name), getattr(reference, name)
        if classes > 2 and (free or name == "intercept_"):
            got, wanted = got - got.mean(axis=0), wanted - wanted.mean(axis=0)
        np.testing.assert_allclose(got, wanted, atol=2e-6 * max(1, np.abs(wanted).max()))
    np.testing.assert_allclose(ours.predict_proba(X), reference.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(ours.predict_log_proba(X), reference.predict_log_proba(X), atol=1e-5)
    np.testing.assert_array_equal(ours.predict(X), reference.predict(X))


def test_sparse_float32_and_bytes_agree_with_dense():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 5, (300, 8)).astype(np.uint8)
    y = (X.sum(axis=1) + rng.integers(0, 9, 300)) // 10 % 3
    expected = LogisticRegression(tol=1e-7).fit(X.astype(np.float64), y)
    for other in (sp.csr_matrix(X.astype(np.float64)), sp.csc_array(X.astype(np.float64))):
        np.testing.assert_allclose(LogisticRegression(tol=1e-7).fit(other, y).coef_, expected.coef_, atol=1e-7)
    for single in (X, X.astype(np.float32)):
        np.testing.assert_allclose(LogisticRegression(tol=1e-6).fit(single, y).coef_, expected.coef_, atol=1e-5)


def test_standardize_is_a_scaler_before_the_fit_with_coefficients_for_the_columns_as_given():
    X, y, _ = data(3)
    X = X * 10.0 ** np.arange(-3, 3)
    ours = LogisticRegression(tol=1e-7, standardize=True, C=0.1).fit(X, y)
    pipeline = make_pipeline(StandardScaler(), Reference(C=0.1, tol=1e-10, max_iter=5000)).fit(X, y)
    np.testing.assert_allclose(ours.predict_proba(X), pipeline.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(ours.coef_ * X.std(axis=0), pipeline[-1].coef_, atol=1e-5)


def test_sources_are_the_same_as_arrays():
    X, y, weight = data(3)
    by_arrays = LogisticRegression().fit(X, y, weight)
    by_sources = LogisticRegression().fit(array_sources(X, y, weight))
    assert by_sources.coef_.tobytes() == by_arrays.coef_.tobytes()
    assert by_sources.n_features_in_ == 6
    assert by_sources.score(X, y) == by_arrays.score(X, y)
    with pytest.raises(ValueError, match="leave y, sample_weight and offset out"):
        LogisticRegression().fit(array_sources(X, y), y)


def test_two_classes_begin_where_the_offsets_are_made_up_for():
    X, y, weight = data(2)
    offset = 40.0 + np.random.default_rng(1).standard_normal(len(y))
    first = []
    model = LogisticRegression(callbacks=[lambda iterate: first.append(iterate.theta.copy())])
    model.fit(array_sources(X, y, weight, offset))
    np.testing.assert_allclose(first[0], [*np.zeros(6), -np.average(offset, weights=weight)], rtol=1e-12)


def test_warm_start():
    X, y, _ = data(3)
    model = LogisticRegression(tol=1e-6, warm_start=True).fit(X, y)
    first = model.n_iter_[0]
    assert model.fit(X, y).n_iter_[0] < first / 2
    with pytest.raises(ValueError, match="warm_start: the classes or features"):
        model.fit(X[:, :3], y)
    with pytest.raises(ValueError, match="warm_start: the classes or features"):
        model.fit(X, y + 1)  # as many, and others
    frame = pd.DataFrame({"text": np.where(X[:, 0] > 0, "a", "b")})
    model.set_params(warm_start=False).fit(frame, y)
    with pytest.raises(ValueError, match="warm_start: the classes or features"):
        model.set_params(warm_start=True).fit(frame.replace("a", "c"), y)


def test_a_strength_of_0_is_no_penalty():
    X, y, _ = data(2)
    model = LogisticRegression(l2=0, tol=1e-8).fit(X, y)
    wanted = Reference(C=np.inf, tol=1e-12, max_iter=10_000).fit(X, y)
    np.testing.assert_allclose(model.coef_, wanted.coef_, rtol=1e-4)


def test_convergence_is_said():
    X, y, _ = data(3)
    with pytest.warns(ConvergenceWarning, match="raise max_iter") as told:
        model = LogisticRegression(max_iter=2).fit(X, y)
    assert [one.filename for one in told] == [__file__]  # where fit was called
    with pytest.warns(FitWarning, match="the classes can be separated") as told:
        LogisticRegression(C=np.inf).fit(X[:, :1], X[:, 0] > 0)
    assert {one.filename for one in told} == {__file__}
    assert model.n_iter_.tolist() == [2]
    history = History()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = LogisticRegression(callbacks=[history]).fit(X, y)
    assert model.result_.success
    assert len(history.value) == model.n_iter_[0] + 1


def test_engine_object_stays_open_and_is_not_closed():
    class Counted(SerialEngine):
        closed = 0

        def close(self):
            self.closed += 1

    X, y, _ = data(2)
    engine = Counted()
    LogisticRegression(engine=engine).fit(X, y)
    assert engine.closed == 0


def test_pickle_and_clone():
    X, y, _ = data(3)
    model = LogisticRegression(C=3.0, engine="serial").fit(X, y)
    assert clone(model).get_params() == model.get_params()
    assert pickle.loads(pickle.dumps(model)).predict(X).tolist() == model.predict(X).tolist()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"C": 0}, "C must be a positive number"),
        ({"C": "1"}, "C must be a positive number"),
        ({"tol": -1}, "tol must be"),
        ({"engine": "spark"}, "unknown engine 'spark': choose from threads, serial, ray"),
        ({"engine": 3}, "engine must be"),
        ({"solver": "sgd"}, "unknown solver 'sgd': choose from auto, lbfgs, "),
        ({"class_weight": "other"}, "class_weight"),
    ],
)
def test_unknown_options(options, message):
    X, y, _ = data(2)
    with pytest.raises(ValueError, match=message):
        LogisticRegression(**options).fit(X, y)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"penalty": None, "C": 4.0}, r"\[unused\] Setting penalty=None will ignore the C given with it"),
        ({"penalty": None, "C": 2.0, "l2": 1.0}, "will ignore the C and the l2 given with it"),
        ({"l2": 0.1, "C": 4.0}, r"\[unused\] l2=0.1 is the strength, so that C=4.0 counts for nothing"),
        ({"penalty": None}, None),
        ({"l2": 0.1}, None),
    ],
)
def test_a_strength_that_counts_for_nothing_is_told(given, words, recwarn):
    X, y, _ = data(2)
    LogisticRegression(**given).fit(X, y)
    told = [str(one.message) for one in recwarn if issubclass(one.category, FitWarning)]
    assert len(told) == (words is not None)
    assert words is None or re.search(words, told[0])


def test_bad_rows_are_named():
    X, y, _ = data(2)
    X[123, 4] = np.nan
    with pytest.raises(DataError, match="row 123, column 4: input X contains NaN"):
        LogisticRegression().fit(X, y)


def test_bundled_mnist_accuracy():
    mnist = load_mnist()
    model = LogisticRegression(C=1.0).fit(mnist.train_sources())
    assert model.score(mnist.X_test, mnist.y_test) > 0.88
