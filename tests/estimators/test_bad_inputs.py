"""Inputs that cannot be right, at random: each is an error that says what is wrong, never a model or a traceback."""

import traceback
import warnings
from pathlib import Path

import bad_inputs
import numpy as np
import pytest
import sklearn
from hypothesis import HealthCheck, assume, given, note, seed, settings
from hypothesis import strategies as st
from sklearn.base import is_classifier

import fullbatch
from fullbatch.estimators import _ALL, LinearEstimator

KINDS = [kind for kind in _ALL if issubclass(kind, LinearEstimator)]  # networks need one
SKLEARN = Path(sklearn.__file__).parent
CHECKED_BY = [Path(fullbatch.__file__).parent, SKLEARN / "utils", SKLEARN / "model_selection"]


def told(error):
    """Whether an error was raised by ours, or by scikit-learn's checks, in words that can be understood."""
    last = Path(traceback.extract_tb(error.__traceback__)[-1].filename)
    is_meant = any(map(last.is_relative_to, CHECKED_BY))
    return isinstance(error, ValueError | TypeError) and is_meant and len(str(error).split()) >= 4


def failure(call):
    """What it raises; None where it does not."""
    try:
        call()
    except Exception as error:
        return error
    return None


def targets(kind, draw):
    rng = np.random.default_rng(draw(st.integers(0, 9)))
    if is_classifier(kind()):
        return draw(st.sampled_from([np.resize([0, 1], bad_inputs.N), np.resize(["a", "b", "c"], bad_inputs.N)]))
    return rng.integers(1, 9, bad_inputs.N)


def fitted(kind, data):
    model = kind(engine="serial")
    frame = bad_inputs.frame(data.draw)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(frame, targets(kind, data.draw)), frame


def refuses_to_fit(kind, data):
    fault = data.draw(st.sampled_from(bad_inputs.TO_FIT))
    rows = fault(data.draw, targets(kind, data.draw))
    note(f"{kind.__name__}: {fault.__name__}: {rows}")
    model = kind(engine="serial")
    assume(np.asarray(rows.y, object).ndim != 2 or not model.__sklearn_tags__().target_tags.multi_output)
    before = dict(vars(model))
    error = failure(lambda: model.fit(rows.X, rows.y, rows.weight, offset=rows.offset))
    assert error is not None, f"{fault.__name__} was fitted: {rows}"
    assert told(error), "".join(traceback.format_exception(error))
    assert vars(model) == before


def refuses_to_predict(kind, data):
    model, frame = fitted(kind, data)
    fault = data.draw(st.sampled_from(bad_inputs.TO_PREDICT))
    X = fault(data.draw, frame)
    note(f"{kind.__name__}: {fault.__name__}: {X!r}")
    method = data.draw(st.sampled_from(["predict", "score", "evaluate"]))
    given = {} if method == "predict" else {"y": targets(kind, data.draw)}
    error = failure(lambda: getattr(model, method)(X, **given))
    assert error is not None, f"{fault.__name__} was predicted for: {X!r}"
    assert told(error), "".join(traceback.format_exception(error))


def run(check, kind, count):
    """A check of so many random inputs, others for each kind of estimator and the same each time."""

    @seed(KINDS.index(kind) + 1)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def checked(data):
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)  # of arithmetic on what should have been refused
            check(kind, data)

    checked()


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("check", [refuses_to_fit, refuses_to_predict])
@pytest.mark.parametrize("count", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_what_cannot_be_right_is_told(check, kind, count):
    run(check, kind, count if check is refuses_to_fit or count == 200 else 5)
