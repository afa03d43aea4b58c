"""LinearSVC of several classes: fits side by side, that share one placing and reads of the data."""

import os
import signal
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn import svm
from sklearn.base import clone
from sklearn.datasets import load_digits, load_iris

from fullbatch import DaskEngine, LinearSVC, Newton, RayEngine, SampledLBFGS, SerialEngine, ThreadEngine
from fullbatch.models.one_against_rest import OfClass
from fullbatch.run import lockstep
from fullbatch.run.callbacks import History
from fullbatch.run.result import Status


class Counted:
    """An engine that counts what it is asked for."""

    def __init__(self, before=lambda read: None):
        self.engine, self.before, self.placed, self.reads = SerialEngine(), before, 0, 0

    def place(self, model, sources):
        self.placed += 1
        blocks = self.engine.place(model, sources)
        answer = blocks.sum

        def counted(request):
            self.reads += 1
            self.before(self.reads)
            return answer(request)

        blocks.sum = counted
        return blocks

    def map(self, task, sources):
        return self.engine.map(task, sources)

    def close(self):
        self.engine.close()


def iris():
    X, y = load_iris(return_X_y=True)
    return (X - X.mean(axis=0)) / X.std(axis=0), y


def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16.0, y


def value(X, y, coef, intercept, C, weight=None, l1=False):
    """scikit-learn's F of one class against the rest, in float64."""
    s = np.where(y, 1.0, -1.0)
    loss = C * (np.ones(len(y)) if weight is None else weight) @ np.maximum(0.0, 1 - s * (X @ coef + intercept)) ** 2
    theta = np.append(coef, intercept)
    return loss + (np.abs(theta).sum() if l1 else 0.5 * theta @ theta)


@pytest.mark.parametrize("data", [iris, digits], ids=["iris", "digits"])
def test_the_data_is_placed_once_and_reads_are_shared(data):
    X, y = data()
    engine = Counted()
    model = LinearSVC(C=0.5, engine=engine).fit(X, y)
    passes = [result.passes + bool(result.sampled_passes) for result in model.results_]
    assert model.status_ == "converged"
    assert len(passes) == len(np.unique(y))
    assert engine.placed == 1
    assert engine.reads == model.passes_ == max(passes)
    assert sum(passes) > 2 * model.passes_
    assert all(result.setup_passes == 1 for result in model.results_)


@pytest.mark.parametrize("penalty", ["l2", "l1"])
@pytest.mark.parametrize("data", [iris, digits], ids=["iris", "digits"])
def test_f_is_as_low_as_that_of_scikit_learn(data, penalty):
    X, y = data()
    weight = np.random.default_rng(0).uniform(0.2, 2.0, len(y))
    found = LinearSVC(penalty, C=0.1, class_weight={1: 3.0}, tol=1e-7, engine="serial").fit(X, y, weight)
    theirs = {"dual": False, "tol": 1e-8, "max_iter": 10**6, "random_state": 0}
    wanted = svm.LinearSVC(penalty, C=0.1, class_weight={1: 3.0}, **theirs).fit(X, y, weight)
    for k in range(len(found.classes_)):
        counts = weight * np.where((y == k) & (k == 1), 3.0, 1.0)
        ours, their = (
            value(X, y == k, one.coef_[k], one.intercept_[k], 0.1, counts, penalty == "l1") for one in (found, wanted)
        )
        assert ours <= their * (1 + 1e-10)
        assert ours == pytest.approx(their, rel=1e-4)
        assert found.results_[k].value == pytest.approx(ours / (0.1 * counts.sum()), rel=1e-12)


SOLVERS = [
    ("l2", "auto"),
    ("l2", "lbfgs"),
    ("l2", "newton"),
    ("l2", "newton-cg"),
    ("l2", "sampled-lbfgs"),
    ("l2", "scipy-lbfgsb"),
    ("l1", "proximal-newton"),
    ("l1", "owl-qn"),
]


@pytest.mark.parametrize("sparse", [False, True], ids=["dense", "sparse"])
@pytest.mark.parametrize(("penalty", "solver"), SOLVERS)
def test_each_fit_is_that_of_its_class_alone_to_the_bit(penalty, solver, sparse):
    X, y = iris()
    X = sp.csr_array(X) if sparse else X
    weight = np.random.default_rng(1).integers(1, 9, len(y)) / 4  # sums of them are exact, in any order
    model = LinearSVC(penalty, C=0.3, class_weight={2: 0.5}, solver=solver, tol=1e-6, engine="serial").fit(X, y, weight)
    for k, result in enumerate(model.results_):
        alone = clone(model).set_params(class_weight={True: 0.5 if k == 2 else 1.0}).fit(X, y == k, weight)
        assert result.theta.tobytes() == alone.result_.theta.tobytes()
        assert (result.value, result.passes, result.iterations) == (
            alone.result_.value,
            alone.result_.passes,
            alone.result_.iterations,
        )
        assert (result.status, result.message, result.notices) == (
            alone.result_.status,
            alone.result_.message,
            alone.result_.notices,
        )
        assert model.coef_[k].tobytes() == alone.coef_[0].tobytes()


@pytest.mark.parametrize("passes", ["plain", "compiled"])
def test_the_same_bytes_on_any_engine(passes, monkeypatch, ray_session, dask_client):
    monkeypatch.setenv("FULLBATCH_PASSES", passes)
    X, y = digits()
    engines = [SerialEngine(), ThreadEngine(3), RayEngine(2), DaskEngine(dask_client, num_workers=3)]
    models = [LinearSVC(C=0.1, engine=engine).fit(X, y) for engine in engines]
    assert len({model.coef_.tobytes() + model.intercept_.tobytes() for model in models}) == 1
    assert len({model.passes_ for model in models}) == 1


def test_hessians_that_have_no_room_in_one_read_take_several(monkeypatch):
    X, y = digits()
    options = {"C": 0.1, "solver": "newton"}
    usual = LinearSVC(**options, engine="serial").fit(X, y)
    monkeypatch.setattr(lockstep, "_MATRIX_BYTES", 3.5 * 8 * 65**2)
    engine = Counted()
    model = LinearSVC(**options, engine=engine).fit(X, y)
    assert model.coef_.tobytes() == usual.coef_.tobytes()
    assert engine.reads == model.passes_ > 2 * usual.passes_
    monkeypatch.setattr(lockstep, "_MATRIX_BYTES", 1)
    alone = LinearSVC(**options, engine="serial").fit(X, y)
    assert alone.coef_.tobytes() == usual.coef_.tobytes()
    assert alone.passes_ > 2 * model.passes_


@pytest.mark.parametrize(
    ("solver", "at_once"),
    [
        (Newton(max_bytes=3 * 3 * 8 * 65**2), 3),  # three of the three matrices that each takes
        (SampledLBFGS(rows_per_column=2, max_bytes=10**6), 2),
        ("lbfgs", 10),
    ],
    ids=["newton", "sampled", "lbfgs"],
)
def test_no_more_fits_at_a_time_than_a_solver_has_memory_for(solver, at_once, monkeypatch):
    X, y = digits()
    asked, sum_each = [], OfClass.sum_each
    monkeypatch.setattr(
        OfClass,
        "sum_each",
        lambda self, classes, requests: asked.append(len(classes)) or sum_each(self, classes, requests),
    )
    model = LinearSVC(solver=solver, C=0.1, engine="serial").fit(X, y)
    assert max(asked) == at_once
    longest = [
        max(result.passes for result in model.results_[first : first + at_once]) for first in range(0, 10, at_once)
    ]
    assert sum(longest) <= model.passes_ == len(asked)
    usual = LinearSVC(C=0.1, engine="serial", tol=1e-7).fit(X, y)
    np.testing.assert_allclose(model.coef_, usual.coef_, atol=1e-3 * np.abs(usual.coef_).max())


def test_callbacks_are_told_of_one_fit_after_another():
    X, y = iris()
    history, ended = History(), []
    history_of = [history, lambda iterate: ended.append(iterate.iteration) and False]
    usual = LinearSVC(engine="serial").fit(X, y)
    engine = Counted()
    model = LinearSVC(callbacks=history_of, engine=engine).fit(X, y)
    assert model.coef_.tobytes() == usual.coef_.tobytes()
    assert ended == [i for result in model.results_ for i in range(result.iterations + 1)]
    assert engine.placed == 1
    assert engine.reads == model.passes_ == sum(result.passes for result in model.results_)


def test_fits_that_were_ended_go_on_from_their_checkpoints(tmp_path):
    X, y = digits()
    options = {"C": 0.1, "solver": "lbfgs", "engine": "serial"}
    whole = LinearSVC(**options).fit(X, y)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        begun = LinearSVC(**options, checkpoint=tmp_path / "run", max_iter=7).fit(X, y)
    assert begun.status_ == "max_iter"
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == [f"class-{k}" for k in range(10)]
    model = LinearSVC(**options, checkpoint=tmp_path / "run").fit(X, y)
    assert [result.resumed_at for result in model.results_] == [7] * 10
    assert model.coef_.tobytes() == whole.coef_.tobytes()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_an_error_in_a_read_keeps_what_all_fits_have_found(tmp_path):
    X, y = digits()

    def fails(read):
        if read == 6:
            raise RuntimeError("the cluster is gone")

    options = {"C": 0.1, "solver": "lbfgs"}
    with pytest.raises(RuntimeError, match="the cluster is gone"):
        LinearSVC(**options, checkpoint=tmp_path / "run", engine=Counted(fails)).fit(X, y)
    model = LinearSVC(**options, checkpoint=tmp_path / "run", engine="serial").fit(X, y)
    assert all(result.resumed_at for result in model.results_)
    assert model.coef_.tobytes() == LinearSVC(**options, engine="serial").fit(X, y).coef_.tobytes()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_ctrl_c_ends_all_fits():
    X, y = digits()

    def press(read):
        if read == 5:
            os.kill(os.getpid(), signal.SIGINT)

    engine = Counted(press)
    model = LinearSVC(C=0.1, solver="lbfgs", engine=engine).fit(X, y)
    assert engine.reads == 5
    assert {result.status for result in model.results_} == {Status.INTERRUPTED}
    assert model.coef_.any(axis=1).all()


def test_fits_that_do_not_converge_are_told_class_by_class():
    X, y = iris()
    with pytest.warns(UserWarning, match="stopped at max_iter") as told:
        model = LinearSVC(max_iter=1, engine="serial").fit(X, y)
    assert len(told) == 3
    assert model.status_ == "max_iter"


def test_a_refit_forgets_what_it_was():
    X, y = iris()
    model = LinearSVC(engine="serial").fit(X, y)
    model.fit(X, y == 1)
    assert (model.coef_.shape, len(model.results_)) == ((1, 4), 1)
    assert model.passes_ == model.result_.passes
    model.fit(X, y)
    assert (model.coef_.shape, len(model.results_)) == ((3, 4), 3)
    assert not [name for name in vars(model) if name.startswith("_")]
    assert model.checkpoint is None
