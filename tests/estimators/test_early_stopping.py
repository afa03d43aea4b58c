"""Fits that end where validation rows are predicted no better."""

import re
import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss

from fullbatch import (
    EarlyStopping,
    GeneralizedLinearRegressor,
    LinearSVC,
    LogisticRegression,
    Objective,
    SerialEngine,
    array_sources,
    load_model,
    minimize,
)
from fullbatch.models.linear import Linear

RNG = np.random.default_rng(0)
TRUE = 0.3 * RNG.standard_normal(60)
X, V = RNG.standard_normal((80, 60)), RNG.standard_normal((400, 60))
Y, W = (rows @ TRUE + 3.0 * RNG.standard_normal(len(rows)) for rows in (X, V))


def early(stop, kind=GeneralizedLinearRegressor, **options):
    return kind(solver="lbfgs", engine="serial", callbacks=[stop], **options)


@pytest.mark.parametrize("given", [(V, W), (array_sources(V, W, blocks=3),)], ids=["arrays", "sources"])
def test_the_coefficients_are_those_of_the_best_iterate(given, tmp_path):
    stop = EarlyStopping(*given, patience=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was asked for
        model = early(stop).fit(X, Y)
    errors = [np.sqrt(np.mean((W - model.predict(V)) ** 2)), min(stop.history)]
    np.testing.assert_allclose(errors, stop.history[stop.best_iteration], rtol=1e-12)
    assert stop.stopped
    assert (model.status_, len(stop.history)) == ("stopped", stop.best_iteration + 4)
    assert "rmse of the validation rows was best" in model.result_.message
    short = early(EarlyStopping(*given), max_iter=stop.best_iteration)
    with pytest.warns(match="not-converged"):
        short.fit(X, Y)
    np.testing.assert_allclose(model.coef_, short.coef_, rtol=1e-12)  # where so many iterations end
    model.save(tmp_path / "m.fb")
    np.testing.assert_array_equal(load_model(tmp_path / "m.fb").coef_, model.coef_)


def test_what_is_measured_is_told_by_scikit_learn_too():
    labels, held = Y > 0, W > 0
    stop = EarlyStopping(V, held, patience=2)
    model = early(stop, LogisticRegression, C=np.inf).fit(X, labels)
    assert log_loss(held, model.predict_proba(V)) == pytest.approx(min(stop.history), rel=1e-9)
    stop = EarlyStopping(V, held, patience=2, measure="accuracy")
    model = early(stop, LogisticRegression, C=np.inf).fit(X, labels)
    assert np.mean(model.predict(V) == held) == max(stop.history)
    assert stop.history.index(max(stop.history)) == stop.best_iteration
    stop = EarlyStopping(V, np.exp(W / 9), patience=2)
    early(stop, GeneralizedLinearRegressor, loss="gamma").fit(X, np.exp(Y / 9))
    assert min(stop.history) == stop.history[stop.best_iteration]


def test_less_than_min_delta_is_no_improvement():
    stop = EarlyStopping(V, W, patience=4, min_delta=0.3)
    early(stop).fit(X, Y)
    best = 0
    for iteration, error in enumerate(stop.history):
        best = iteration if error < stop.history[best] - 0.3 else best
    assert (stop.best_iteration, len(stop.history)) == (best, best + 5)
    assert min(stop.history) < stop.history[best]  # by less


def test_a_fit_that_converges_before_is_left_as_it_is():
    stop = EarlyStopping(X, Y, patience=1000)
    model = early(stop, tol=1e-6).fit(X, Y)
    assert (model.status_, stop.stopped) == ("converged", False)
    plain = GeneralizedLinearRegressor(solver="lbfgs", engine="serial", tol=1e-6).fit(X, Y)
    np.testing.assert_array_equal(model.coef_, plain.coef_)
    assert clone(model).callbacks[0].patience == 1000


@pytest.mark.parametrize(
    ("stop", "model", "message"),
    [
        (EarlyStopping(V, W, patience=0), GeneralizedLinearRegressor(), "patience"),
        (EarlyStopping(V, W, min_delta=-1.0), GeneralizedLinearRegressor(), "min_delta must be a finite number"),
        (EarlyStopping(V, W, measure="auc"), GeneralizedLinearRegressor(), "measure: there is no 'auc'"),
        (EarlyStopping(V[:, :3], W), GeneralizedLinearRegressor(), "X has 3 features"),
        (EarlyStopping(V, W > 0), LinearSVC(), "LinearSVC takes no EarlyStopping: it is fitted to one class"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_told(stop, model, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        model.set_params(callbacks=[stop], engine="serial").fit(X, Y > 0 if isinstance(model, LinearSVC) else Y)


def test_it_is_for_estimators():
    blocks = SerialEngine().place(Linear("squared"), array_sources(X, Y))
    with pytest.raises(ValueError, match="is one of the callbacks of an estimator: of minimize use StopWhen"):
        minimize(Objective(blocks), np.zeros(61), callbacks=[EarlyStopping(V, W)])
