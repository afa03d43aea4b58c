"""A fit that fails leaves the estimator as it was, whatever it failed of."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from fullbatch import (
    GeneralizedLinearRegressor,
    LogisticRegression,
    SerialEngine,
    array_sources,
    libsvm_sources,
    load_model,
    table_sources,
)
from fullbatch.errors import EngineError

RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(RNG.standard_normal((60, 3)), columns=list("pqr"))
MIXED = FRAME.assign(where=np.where(FRAME["q"] > 0, "here", "there"))
Y = (FRAME["p"] + 0.3 * RNG.standard_normal(60) > 0).astype(int)
OTHER = FRAME[["r", "q", "p"]].rename(columns={"r": "s"})


class Failing(SerialEngine):
    """Fails at the n-th pass, when the blocks are placed (0), or when they are closed (-1)."""

    def __init__(self, at, error):
        super().__init__()
        self.at, self.error = at, error

    def place(self, model, sources):
        if self.at == 0:
            raise self.error
        blocks = super().place(model, sources)
        asked, close, passes = blocks.sum, blocks.close, []

        def fail(request):
            passes.append(request)
            if len(passes) == self.at:
                raise self.error
            return asked(request)

        def fail_to_close():
            close()
            raise self.error

        blocks.sum = fail
        if self.at == -1:
            blocks.close = fail_to_close
        return blocks


def stop(error):
    def callback(iterate):
        if iterate.iteration == 2:
            raise error

    return callback


def spoiled(frame, what=np.nan):
    frame = frame.copy()
    frame.iloc[7, 0] = what
    return frame


LOST = EngineError("all workers are lost")
FAILURES = {
    "a bad value": ({}, (spoiled(OTHER), Y), ValueError, "row 7, column 's'"),
    "a bad value in an array": ({}, (spoiled(OTHER).to_numpy(), Y), ValueError, "row 7, column 0"),
    "a bad value in a sparse matrix": ({}, (sp.csr_matrix(spoiled(OTHER, np.inf)), Y), ValueError, "row 7"),
    "a bad value in a source": ({}, (array_sources(spoiled(OTHER).to_numpy(), Y),), ValueError, "row 7"),
    "a missing category": ({}, (MIXED.assign(where=MIXED["where"].where(MIXED.index != 9)), Y), ValueError, "row 9"),
    "lengths": ({}, (OTHER, Y[:-1]), ValueError, "59|60"),
    "lengths beside text": ({}, (MIXED, Y[:-1]), ValueError, "59|60"),
    "weights": ({}, (OTHER, Y, -np.ones(60)), ValueError, "sample weight"),
    "no target": ({}, (OTHER,), ValueError, "requires y"),
    "one dimension": ({}, (OTHER["p"].to_numpy(), Y), ValueError, "2D array"),
    "names of mixed types": ({}, (OTHER.rename(columns={"q": 3}), Y), TypeError, "strings"),
    "the warm start": ({"warm_start": True}, (FRAME[["p", "q"]], Y), ValueError, "warm_start"),
    "the warm start from an array": ({"warm_start": True}, (FRAME.to_numpy()[:, :2], Y), ValueError, "warm_start"),
    "the warm start from sources": ({"warm_start": True}, (table_sources(OTHER.assign(y=Y), target="y"),), ValueError,
                                    "warm_start"),
    "a parameter": ({"tol": -1}, (OTHER, Y), ValueError, "tol must be"),
    "the solver": ({"solver": "newton-raphson"}, (OTHER, Y), ValueError, "unknown solver"),
    "the engine": ({"engine": Failing(0, LOST)}, (OTHER, Y), EngineError, "workers are lost"),
    "the first pass": ({"engine": Failing(1, LOST)}, (OTHER, Y), EngineError, "workers are lost"),
    "the third pass": ({"engine": Failing(3, LOST)}, (OTHER, Y), EngineError, "workers are lost"),
    "the end": ({"engine": Failing(-1, LOST)}, (OTHER, Y), EngineError, "workers are lost"),
    "Ctrl-C": ({"engine": Failing(2, KeyboardInterrupt("twice"))}, (OTHER, Y), KeyboardInterrupt, "twice"),
    "a callback": ({"callbacks": [stop(RuntimeError("enough"))]}, (OTHER, Y), RuntimeError, "enough"),
    "a warm callback": ({"callbacks": [stop(RuntimeError("enough"))], "warm_start": True, "tol": 0.0},
                        (FRAME + 1.0, Y), RuntimeError, "enough"),
    "a warning that is an error": ({"max_iter": 1}, (OTHER, Y), ConvergenceWarning, "max_iter"),
}  # fmt: skip
KINDS = {
    "classes": LogisticRegression(solver="lbfgs"),
    "numbers": GeneralizedLinearRegressor("poisson", solver="lbfgs"),
}


@pytest.fixture(params=KINDS)
def fresh(request):
    plain = KINDS[request.param]
    return type(plain)(**plain.get_params())


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("failure", FAILURES)
def test_a_fit_that_fails_changes_nothing(fresh, failure, tmp_path):
    parameters, data, error, message = FAILURES[failure]
    model = fresh.fit(FRAME, Y)
    model.save(tmp_path / "before.fb")
    predicted, measured = model.predict(FRAME), model.evaluate(FRAME, Y)
    kept = model.get_params()
    model.set_params(**parameters)
    before = dict(vars(model))
    with pytest.raises(error, match=message):
        model.fit(*data)
    after = vars(model)
    assert after.keys() == before.keys()
    assert [name for name in after if after[name] is not before[name]] == []
    model.set_params(**kept)
    assert model.predict(FRAME).tobytes() == predicted.tobytes()
    assert model.evaluate(FRAME, Y) == measured
    model.save(tmp_path / "after.fb")
    assert (tmp_path / "after.fb").read_bytes() == (tmp_path / "before.fb").read_bytes()
    assert load_model(tmp_path / "after.fb").predict(FRAME).tobytes() == predicted.tobytes()
    with pytest.raises(ValueError, match="there is no column 'r'"):
        model.predict(OTHER)
    # It can be fitted again, to what a fresh one comes to.
    assert model.fit(MIXED, Y).coef_.tobytes() == type(model)(**kept).fit(MIXED, Y).coef_.tobytes()


@pytest.mark.filterwarnings("error::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("failure", [name for name in FAILURES if "the warm start" not in name])
def test_a_first_fit_that_fails_leaves_no_trace(fresh, failure):
    parameters, data, error, message = FAILURES[failure]
    model = fresh.set_params(**parameters)
    before = dict(vars(model))
    with pytest.raises(error, match=message):
        model.fit(*data)
    assert vars(model) == before
    with pytest.raises(NotFittedError, match="not fitted yet"):
        model.predict(FRAME)


def test_a_refit_leaves_nothing_of_the_fit_before(fresh, tmp_path):
    (tmp_path / "a.svm").write_text("1 0:1\n0 2:0.5\n1 1:2 2:1\n0 0:3\n")
    ways = {
        "frame": (FRAME, Y),
        "text": (MIXED, Y),
        "array": (FRAME.to_numpy(), Y),
        "libsvm": (libsvm_sources(tmp_path / "a.svm"),),
        "offset": (array_sources(FRAME.to_numpy()[:, :2], Y, offset=np.ones(60)),),
        "table": (table_sources(MIXED.assign(y=Y), target="y"),),
    }
    alone = {name: vars(type(fresh)(**fresh.get_params()).fit(*data)) for name, data in ways.items()}
    for name in [*ways, *reversed(ways)]:
        learnt = vars(fresh.fit(*ways[name]))
        assert learnt.keys() == alone[name].keys()
        for attribute in ("coef_", "feature_names_in_", "n_features_in_", "has_offset_", "zero_based_", "l2_"):
            assert np.array_equal(learnt.get(attribute), alone[name].get(attribute)), (name, attribute)


def test_what_is_set_during_a_fit_stays(fresh):
    """The parameters are the caller's: a fit hands over what it has learnt, and nothing else."""
    fresh.set_params(callbacks=[lambda iterate: fresh.set_params(verbose=0, tol=0.25) and None])
    assert fresh.fit(FRAME, Y).tol == 0.25
