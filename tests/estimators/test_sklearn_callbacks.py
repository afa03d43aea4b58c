"""scikit-learn's own callbacks: tasks for the fit and for each iteration, with the model so far."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from fullbatch import LogisticRegression, LogisticRegressionCV

pytest.importorskip("sklearn.callback")

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)


class Recorder:
    """What the hooks were told, in order; asks for an end at the end of some task."""

    def __init__(self, last=None):
        self.told, self.last = [], last

    def setup(self, estimator, context):
        self.told.append(("setup", type(estimator)))

    def teardown(self, estimator, context):
        self.told.append(("teardown", type(estimator)))

    def on_fit_task_begin(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.told.append(("begin", context.task_name, context.task_id, X, y, metadata, fitted_estimator))

    def on_fit_task_end(self, estimator, context, *, fitted_estimator):
        self.told.append(("end", context.task_name, context.task_id, fitted_estimator))
        return context.task_name == "iteration" and context.task_id == self.last

    def of_iterations(self, what):
        return [one for one in self.told if one[:2] == (what, "iteration")]


def model(**options):
    return LogisticRegression(**{"solver": "lbfgs", "engine": "serial", **options})


def test_each_iteration_is_a_task_with_the_model_so_far():
    weight, recorder = np.linspace(0.5, 1.5, len(Y)), Recorder()
    fitted = model().set_callbacks(recorder).fit(X, Y, weight)
    assert recorder.told[0] == ("setup", LogisticRegression)
    assert recorder.told[-1] == ("teardown", LogisticRegression)
    assert not hasattr(fitted, "_iterations")  # what tells them is not kept with the model
    root = recorder.told[1]
    assert root[:3] == ("begin", "fit", 0)
    assert root[3] is X
    assert root[4] is Y
    assert root[5] == {"sample_weight": weight}
    begun, ended = recorder.of_iterations("begin"), recorder.of_iterations("end")
    assert [one[2] for one in begun] == [one[2] for one in ended] == list(range(int(fitted.n_iter_[0]) + 1))
    for begin, end in zip(begun[1:], ended[:-1], strict=True):
        np.testing.assert_array_equal(begin[6].coef_, end[3].coef_)
    assert ended[-1][3] is None  # an iteration that did not come
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        third = model(max_iter=3).fit(X, Y, weight)
    np.testing.assert_array_equal(ended[2][3].coef_, third.coef_)
    np.testing.assert_array_equal(ended[2][3].predict(X), third.predict(X))
    np.testing.assert_array_equal(ended[-2][3].predict_proba(X), fitted.predict_proba(X))
    assert not any("callback_" in name or "iterations" in name for name in vars(fitted))


def test_a_callback_ends_the_fit():
    ends = model().set_callbacks(Recorder(last=1))
    with pytest.warns(ConvergenceWarning, match="a callback of scikit-learn's asked for it"):
        ends.fit(X, Y)
    assert ends.n_iter_.tolist() == [2]
    assert ends.status_ == "stopped"


def test_callbacks_are_taken_away_copied_and_torn_down_whatever_happens():
    recorder = Recorder()
    copied = clone(model().set_callbacks(recorder))
    with pytest.raises(ValueError, match="the data has one class only"):
        copied.fit(X, np.zeros(len(Y)))
    assert [one[0] for one in recorder.told] == ["setup", "begin", "teardown"]
    recorder.told.clear()
    copied.set_callbacks().fit(X, Y)
    assert not recorder.told
    with pytest.raises(TypeError, match="FitCallback"):
        copied.set_callbacks(print)
    coef = model().fit(X, Y).coef_
    assert copied.coef_.tobytes() == model().set_callbacks(recorder).fit(X, Y).coef_.tobytes() == coef.tobytes()


def test_searches_hand_their_callbacks_on():
    class Handed(Recorder):
        max_propagation_depth = None

    recorder = Handed()
    search = GridSearchCV(model(), {"C": [0.1, 1.0]}, cv=3).set_callbacks(recorder).fit(X, Y)
    wanted = GridSearchCV(model(), {"C": [0.1, 1.0]}, cv=3).fit(X, Y)
    assert search.best_params_ == wanted.best_params_
    fits = [one for one in recorder.told if one[:2] == ("begin", "iteration") and one[2] == 0]
    assert len(fits) == 7
    assert sum(one[0] == "setup" for one in recorder.told) == 1


def test_of_a_cross_validated_model_the_last_fit_is_told():
    recorder = Recorder()
    LogisticRegressionCV(Cs=3, cv=3, solver="lbfgs", engine="serial").set_callbacks(recorder).fit(X, Y)
    assert [one[0] for one in recorder.told[:2]] == ["setup", "begin"]
    assert len(recorder.of_iterations("begin")) == len(recorder.of_iterations("end")) > 1
