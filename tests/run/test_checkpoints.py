"""Runs that are ended anywhere go on to the same bytes: to SIGKILL, SIGTERM, errors and limits alike."""

import logging
import os
import random
import signal
import socket
import subprocess
import sys
import textwrap
import time
import uuid
from dataclasses import dataclass, fields, replace
from pathlib import Path
from types import SimpleNamespace

import fsspec
import numpy as np
import pytest
from problems import breast_cancer, diabetes, digits, objective, start

from fullbatch import (
    LBFGS,
    Checkpoint,
    GeneralizedLinearRegressor,
    LogisticRegression,
    ModelFileError,
    SerialEngine,
    Status,
    StopWhen,
    ThreadEngine,
    load_state,
    minimize,
    save_state,
)
from fullbatch.protocols import Eval
from fullbatch.run._checkpoint_folder import folder_of
from fullbatch.run.checkpoints import CheckpointWriter, check_kept
from fullbatch.solvers.lbfgs import LBFGSState

STEPS = 3  # iterates between two ends of a run


def softmax(engine=None, **options):
    return objective(*digits(), "softmax", engine=engine, **options)


def run_in_parts(make, checkpoint, solver="lbfgs", engines=(SerialEngine,)):
    """Run, end and go on until it converges; passes of all parts."""
    passes, ends = 0, 0
    for _ in range(100):
        fun = make(engines[ends % len(engines)]())
        began = []

        def stop(iterate, began=began):
            began.append(iterate.iteration)
            return iterate.iteration >= began[0] + STEPS

        result = minimize(fun, start(fun), solver=solver, checkpoint=checkpoint, callbacks=[stop])
        assert result.passes == fun.num_passes
        passes, ends = passes + result.passes, ends + 1
        if result.status is not Status.STOPPED:
            return result, passes, ends
    raise AssertionError("it never goes on from where it was")


@pytest.mark.parametrize(
    ("solver", "make"),
    [
        ("lbfgs", softmax),
        ("sampled-lbfgs", softmax),
        ("newton", lambda engine: objective(*breast_cancer(), engine=engine, l2=1e-6)),
        ("newton-cg", softmax),
        (LBFGS(memory=4), softmax),
    ],
)
def test_parts_of_a_run_are_equal_to_the_whole_to_the_byte(tmp_path, solver, make):
    whole = minimize(make(SerialEngine()), start(make(None)), solver=solver)
    engines = (SerialEngine, ThreadEngine, lambda: ThreadEngine(3))
    result, passes, ends = run_in_parts(make, tmp_path / "run", solver, engines)
    assert ends > 1
    assert result.theta.tobytes() == whole.theta.tobytes()
    assert result.grad.tobytes() == whole.grad.tobytes()
    assert (result.value, result.iterations, result.status) == (whole.value, whole.iterations, whole.status)
    assert passes == whole.passes
    assert whole.resumed_at is None
    assert 0 < result.resumed_at < result.iterations


def test_least_squares_and_a_run_that_had_ended(tmp_path):
    def make():
        return objective(*diabetes(), "squared", l2=1e-3)

    whole = minimize(make(), start(make()), solver="least-squares", checkpoint=tmp_path)
    fun = make()
    again = minimize(fun, start(fun), solver="least-squares", checkpoint=tmp_path)
    assert again.theta.tobytes() == whole.theta.tobytes()
    assert (again.status, again.resumed_at, again.passes) == (whole.status, whole.iterations, 0)
    assert again.setup_passes == 2  # one to see that the data is the same


@pytest.mark.parametrize("solver", ["least-squares", "newton", "lbfgs"])
@pytest.mark.parametrize("far", [0.0, 1e6])
def test_an_exact_fit_goes_on(tmp_path, solver, far):
    X = np.random.default_rng(0).standard_normal((500, 3))
    y = X @ [1.0, 2.0, 3.0] + 0.5 + far
    first, again = (
        minimize(fun, start(fun), solver=solver, checkpoint=tmp_path)
        for fun in (objective(X, y, "squared", l2=0.0) for _ in range(2))
    )
    assert first.value <= 1e-14 * first.state.first_value
    assert (again.theta.tobytes(), again.resumed_at) == (first.theta.tobytes(), first.iterations)
    fun = objective(X, y + 1e-3 * X[:, 0] * max(1.0, far), "squared", l2=0.0)
    with pytest.raises(ModelFileError, match="at its theta"):
        minimize(fun, start(fun), solver=solver, checkpoint=tmp_path)


@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_other_targets_are_told_by_the_gradient_where_f_is_the_same_for_all(tmp_path, solver):
    X, y = breast_cancer()
    for _ in range(2):
        fun = objective(X, y)
        assert minimize(fun, start(fun), solver=solver, max_iter=0, checkpoint=tmp_path).iterations == 0
    fun = objective(X, np.roll(y, 7))
    with pytest.raises(ModelFileError, match=r"the gradients of F there and here are \S+ apart. Targets, "):
        minimize(fun, start(fun), solver=solver, checkpoint=tmp_path)


def rounded(answer, rounding):
    """With another gradient, by so much for each row."""
    if isinstance(answer, Eval):
        return replace(answer, grad=answer.grad + rounding * answer.weight)
    return answer


@pytest.mark.parametrize("solver", ["newton", "lbfgs"])
def test_a_gradient_that_is_nothing_but_rounding_is_no_other_one(tmp_path, solver):
    X = np.random.default_rng(0).standard_normal((200, 3))
    X, y = np.vstack((X, X)), np.repeat([0, 1], 200)  # nothing to learn
    for rounding in (0.0, 1e-14):  # as on another processor
        fun = objective(X, y)
        ask = fun.blocks.sum
        fun.blocks.sum = lambda request, ask=ask, rounding=rounding: rounded(ask(request), rounding)
        result = minimize(fun, start(fun), solver=solver, checkpoint=tmp_path)
    assert result.resumed_at is not None
    assert result.first_grad_norm < 1e-12


@pytest.mark.parametrize("every", [0.0, 1e6])
def test_a_run_outlives_a_directory_that_is_gone(tmp_path, caplog, every):
    whole = minimize(softmax(), np.zeros(650), solver="lbfgs")
    path, aside = tmp_path / "run", tmp_path / "aside"

    def lose(iterate):
        if iterate.iteration == 3:
            path.rename(aside)
        if iterate.iteration == 5 and not every:
            aside.rename(path)

    checkpoint = Checkpoint(path, every=every)
    result = minimize(softmax(), np.zeros(650), solver="lbfgs", checkpoint=checkpoint, callbacks=[lose])
    assert result.status is whole.status
    assert result.theta.tobytes() == whole.theta.tobytes()
    told = [record.getMessage() for record in caplog.records]
    lost = [whole.iterations] if every else [4, 5]  # the next one that can be written is
    assert [message.split(":")[0] for message in told] == [f"no checkpoint of iteration {n} in {path}" for n in lost]
    assert path.exists() is not bool(every)


def test_a_checkpoint_that_cannot_be_written_does_not_hide_an_error(tmp_path, caplog):
    def lose(iterate):
        if iterate.iteration == 3:
            (tmp_path / "run").rmdir()
            raise RuntimeError("of the callback")

    with pytest.raises(RuntimeError, match="of the callback"):
        minimize(softmax(), np.zeros(650), solver="lbfgs", checkpoint=tmp_path / "run", callbacks=[lose])
    assert "no checkpoint of iteration 3" in caplog.text


def test_ray_goes_on_where_threads_ended(tmp_path, ray_session):
    from fullbatch import RayEngine

    whole = minimize(softmax(blocks=7), np.zeros(650), solver="lbfgs")
    result, *_ = run_in_parts(
        lambda engine: softmax(engine, blocks=7), tmp_path, engines=(ThreadEngine, lambda: RayEngine(2), SerialEngine)
    )
    assert result.theta.tobytes() == whole.theta.tobytes()


def test_time_between_checkpoints_and_how_many_stay(tmp_path):
    result = minimize(softmax(), np.zeros(650), solver="lbfgs", checkpoint=Checkpoint(tmp_path / "rare"))
    assert [file.name for file in (tmp_path / "rare").iterdir()] == ["checkpoint-00000000.fb"]  # on stop
    minimize(softmax(), np.zeros(650), solver="lbfgs", checkpoint=Checkpoint(tmp_path / "all", every=0, keep=3))
    numbers = range(result.iterations - 2, result.iterations + 1)
    assert sorted(file.name for file in (tmp_path / "all").iterdir()) == [f"checkpoint-{n:08}.fb" for n in numbers]
    state = load_state(tmp_path / "all" / f"checkpoint-{numbers[1]:08}.fb")
    assert state.iteration == numbers[1]
    for wrong in ({"every": -1.0}, {"every": np.nan}, {"keep": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            Checkpoint(tmp_path, **wrong)


def test_an_error_keeps_the_latest_iterate(tmp_path):
    whole = minimize(softmax(), np.zeros(650), solver="lbfgs")
    fun = softmax()
    ask = fun.blocks.sum

    def fail(request):
        if fun.num_passes == 9:
            raise OSError("the cluster is gone")
        return ask(request)

    fun.blocks.sum = fail
    with pytest.raises(OSError, match="the cluster is gone"):
        minimize(fun, start(fun), solver="lbfgs", checkpoint=tmp_path)
    result = minimize(softmax(), np.zeros(650), solver="lbfgs", checkpoint=tmp_path)
    assert result.resumed_at > 3
    assert result.theta.tobytes() == whole.theta.tobytes()


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "other"])
def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path, caplog, damage):
    whole = minimize(softmax(), np.zeros(650), solver="lbfgs")
    minimize(softmax(), np.zeros(650), solver="lbfgs", max_iter=9, checkpoint=Checkpoint(tmp_path, every=0))
    older, newest = sorted(tmp_path.iterdir())
    content = newest.read_bytes()
    middle = len(content) // 2
    newest.write_bytes(
        {
            "cut": content[:middle],
            "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "emptied": b"",
            "other": b"text",
        }[damage]
    )
    result = minimize(softmax(), np.zeros(650), solver="lbfgs", checkpoint=tmp_path)
    assert result.resumed_at == 8
    assert result.theta.tobytes() == whole.theta.tobytes()
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert f"{newest} is damaged" in record.message
    assert "looking for the checkpoint before it" in record.message
    assert older.exists()
    assert not newest.exists()  # there are two good ones again
    for file in tmp_path.iterdir():
        file.write_bytes(content[:99])
    with pytest.raises(
        ModelFileError, match=r"none of the \d checkpoints in .* can be read: remove them to begin anew"
    ):
        minimize(softmax(), np.zeros(650), solver="lbfgs", checkpoint=tmp_path)


def other_targets():
    X, y = diabetes()
    return X, y[::-1].copy()


def moved_column():
    X, y = diabetes()
    X = X.copy()
    X[:, 3] += 1.0
    return X, y


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"data": lambda: tuple(part[:400] for part in diabetes())}, "rows: 442 there, 400 here"),
        ({"blocks": 5}, "rows of the blocks: 3 there, 5 here"),
        ({"data": moved_column}, r"means of the columns\[3\]: -\S+ there, \S+ here"),
        ({"data": other_targets}, r"at its theta F is \S+ there and \S+ here. Targets, "),
        ({"data": lambda: (diabetes()[0][:, :9], diabetes()[1])}, "numeric columns: 10 there, 9 here"),
        ({"l2": 0.02}, r"l2 of the parameters\[0\]: 0.01 there, 0.02 here \(9 more differ\)"),
        ({"loss": "huber"}, r"model: Squared\(\) with an intercept there, Huber\(delta=1\.35\) with an intercept here"),
        ({"centred": False}, "change of variables: Standardized there, NoneType here"),
        ({"sample_weight": np.arange(442.0)}, "sum of the sample weights: 442.0 there, 97461.0 here"),
        ({"solver": LBFGS(memory=5)}, r"solver: LBFGS\(memory=30, .* there, LBFGS\(memory=5, .* here"),
        ({"solver": "newton-cg"}, "solver: LBFGS.* there, NewtonCG.* here"),
    ],
)
def test_another_run_is_refused_and_told_what_differs(tmp_path, changes, differs):
    fun = objective(*diabetes(), "squared")
    minimize(fun, start(fun), solver="lbfgs", max_iter=4, checkpoint=tmp_path)
    before = [file.read_bytes() for file in tmp_path.iterdir()]
    options = {"data": diabetes, "loss": "squared", "solver": "lbfgs"} | changes
    solver = options.pop("solver")
    fun = objective(*options.pop("data")(), **options)
    with pytest.raises(ModelFileError, match=differs) as error:
        minimize(fun, start(fun), solver=solver, checkpoint=tmp_path)
    assert "is of another run" in str(error.value)
    assert "name another directory to begin anew" in str(error.value)
    assert [file.read_bytes() for file in tmp_path.iterdir()] == before
    assert fun.num_passes == 0


def test_targets_that_differ_by_little_are_told_by_f(tmp_path):
    """By no more than that a solver may tell F otherwise than a pass does; the gradient would tell nothing."""
    X, y = diabetes()
    fun = objective(X, y, "squared")
    minimize(fun, start(fun), solver="lbfgs", max_iter=4, checkpoint=tmp_path)
    fun = objective(X, y * (1 + 1e-7), "squared")
    with pytest.raises(ModelFileError, match=r"at its theta F is \S+ there and \S+ here"):
        minimize(fun, start(fun), solver="lbfgs", checkpoint=tmp_path)


@pytest.mark.parametrize(("dtype", "rounding"), [("float64", 1e-9), ("float32", 1e-6)])
def test_f_that_differs_by_the_rounding_of_another_processor_is_the_same(tmp_path, dtype, rounding):
    X, y = diabetes()
    fun = objective(X.astype(dtype), y, "squared")
    state = minimize(fun, start(fun), solver="lbfgs", max_iter=4).state
    assert fun.facts.parameters.dtype == dtype
    for share in (-0.9, 0.9):
        check_kept(replace(state, value=state.value * (1 + share * rounding)), fun, LBFGS())
    with pytest.raises(ModelFileError, match=r"at its theta F is \S+ there and \S+ here"):
        check_kept(replace(state, value=state.value * (1 + 1.1 * rounding)), fun, LBFGS())


@dataclass(frozen=True, eq=False)
class Mine(LBFGSState):
    pass


@dataclass(frozen=True, eq=False)
class Another(LBFGSState):
    pass


def solver_with(kind):
    """One that is known by its name alone, whatever its states are."""

    class Own:
        requests, state = LBFGS.requests, kind
        optimality, step = LBFGS().optimality, LBFGS().step

        def init(self, theta):
            first = yield from LBFGS().init(theta)
            return kind(**{field.name: getattr(first, field.name) for field in fields(first)})

    return Own()


def test_a_state_of_another_kind_is_of_another_run(tmp_path):
    fun = objective(*diabetes(), "squared")
    minimize(fun, start(fun), solver=solver_with(Mine), max_iter=3, checkpoint=tmp_path)
    assert minimize(fun, start(fun), solver=solver_with(Mine), max_iter=3, checkpoint=tmp_path).resumed_at == 3
    with pytest.raises(ModelFileError, match=r"of another run: state of the solver: Mine there, .* or Another here"):
        minimize(fun, start(fun), solver=solver_with(Another), checkpoint=tmp_path)


def test_one_checkpoint_for_each_interval(tmp_path, monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("fullbatch.run.checkpoints.time", SimpleNamespace(monotonic=lambda: clock[0]))

    def tick(iterate):
        clock[0] += 1.0

    fun = objective(*diabetes(), "squared")
    checkpoint = Checkpoint(tmp_path, every=3.0, keep=100)
    minimize(fun, start(fun), solver="lbfgs", tol=0, max_iter=10, checkpoint=checkpoint, callbacks=[tick])
    assert [load_state(file).iteration for file in sorted(tmp_path.iterdir())] == [3, 6, 9, 10]


def test_classes_are_told_apart(tmp_path):
    X, y = digits()
    stop = StopWhen(lambda iterate: iterate.iteration == 2)
    with pytest.warns(UserWarning, match="the stop condition holds"):
        LogisticRegression(solver="lbfgs", checkpoint=tmp_path, callbacks=[stop]).fit(X, y + 1)
    with pytest.raises(ModelFileError, match=r"classes\[0\]: 1 there, 0 here \(9 more differ\)"):
        LogisticRegression(checkpoint=tmp_path, solver="lbfgs").fit(X, y)


def test_other_limits_and_another_start_are_the_same_run(tmp_path):
    whole = minimize(softmax(), np.zeros(650), solver="lbfgs", tol=1e-12)
    for max_iter in (2, 5):
        minimize(softmax(), np.zeros(650), solver="lbfgs", max_iter=max_iter, checkpoint=tmp_path)
    result = minimize(softmax(), np.ones(650), solver="lbfgs", tol=1e-12, checkpoint=tmp_path)
    assert result.resumed_at == 5
    assert result.theta.tobytes() == whole.theta.tobytes()


def test_solvers_that_cannot_go_on_say_so_before_the_first_pass(tmp_path):
    fun = softmax()
    with pytest.raises(ValueError, match="ScipyLBFGSB keeps its own loop and cannot go on from a checkpoint: use"):
        minimize(fun, start(fun), solver="scipy-lbfgsb", checkpoint=tmp_path)

    class Own(LBFGS):
        state = None

    with pytest.raises(TypeError, match="Own does not tell of what kind its states are"):
        minimize(fun, start(fun), solver=Own(), checkpoint=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ModelFileError, match="cannot keep checkpoints in"):
        minimize(fun, start(fun), solver="lbfgs", checkpoint=tmp_path / "file")
    assert fun.num_passes == 0


def test_a_start_that_is_not_finite_is_not_kept(tmp_path):
    fun = objective(*digits(), "softmax", centred=False)
    with pytest.raises(ValueError, match="not finite at the starting point"):
        minimize(fun, np.full(650, 1e308) * (-1.0) ** np.arange(650), solver="lbfgs", checkpoint=tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_was_spent_adds_up(tmp_path, caplog):
    caplog.set_level(logging.INFO, "fullbatch.run.checkpoints")
    whole = minimize(softmax(), np.zeros(650), solver="lbfgs")
    run_in_parts(softmax, tmp_path)
    minimize(softmax(), np.zeros(650), solver="lbfgs", checkpoint=tmp_path)
    assert f"iteration {whole.iterations}, {whole.passes} passes" in caplog.records[-1].message


def test_other_versions_are_told(tmp_path, caplog, monkeypatch):
    minimize(softmax(), np.zeros(650), solver="lbfgs", max_iter=2, checkpoint=tmp_path)
    monkeypatch.setattr("fullbatch.run.checkpoints.__version__", "0.0.1")
    minimize(softmax(), np.zeros(650), solver="lbfgs", max_iter=2, checkpoint=tmp_path)
    assert "there, 0.0.1 here): the result will not be the same to the byte" in caplog.text


@pytest.fixture
def store_of_objects():
    """The name of a file system that has no directories: none can be made, and there are none to list."""
    import fsspec
    from fsspec.implementations.memory import MemoryFileSystem

    class Objects(MemoryFileSystem):
        protocol = "objects"
        store, pseudo_dirs = {}, [""]

        def makedirs(self, path, exist_ok=False):
            pass

        def mkdir(self, path, create_parents=True, **options):
            pass

    fsspec.register_implementation("objects", Objects, clobber=True)
    return "objects"


@pytest.mark.parametrize("kind", ["memory", "objects", "file"])
def test_urls(tmp_path, kind, store_of_objects):
    url = f"file://{tmp_path}/run" if kind == "file" else f"{kind}://runs/{uuid.uuid4().hex}"
    whole = minimize(softmax(), np.zeros(650), solver="lbfgs")
    result, _, ends = run_in_parts(softmax, Checkpoint(url, every=0))
    assert ends > 3
    assert result.theta.tobytes() == whole.theta.tobytes()
    import fsspec

    files, inside = fsspec.core.url_to_fs(url)
    newest = sorted(files.ls(inside, detail=False))[-1]
    files.pipe_file(f"{inside}/.checkpoint-00000099.fb-of-a-killed-run", b"half")
    files.pipe_file(newest, files.cat_file(newest)[:-50])
    result = minimize(softmax(), np.zeros(650), solver="lbfgs", checkpoint=url)
    assert result.resumed_at == whole.iterations - 1
    assert result.theta.tobytes() == whole.theta.tobytes()
    assert not [name for name in files.ls(inside, detail=False) if "killed" in name]
    assert len(files.ls(inside)) == 2


def test_at_a_url_what_a_process_that_lives_still_writes_is_left_alone():
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    number, other = uuid.uuid4().hex, f"{socket.gethostname()}-not"
    files, inside = fsspec.core.url_to_fs(f"memory://runs/{number}")
    owners = {
        f"{socket.gethostname()}-{os.getpid()}": True,
        f"{socket.gethostname()}-{ended.pid}": False,
        f"{socket.gethostname()}-{10**30}": False,  # no process has such a number
        f"{other}-{ended.pid}": True,  # on another machine, who can tell?
    }
    names = {f".checkpoint-00000007.fb-{owner}-{number}.unfinished": stays for owner, stays in owners.items()}
    for name in names:
        files.pipe_file(f"{inside}/{name}", b"half")
    folder = folder_of(f"memory://runs/{number}")
    assert folder.open() == (set(), set())
    for name, stays in names.items():
        assert files.exists(f"{inside}/{name}") == stays, name
    folder.remove(7)  # somebody else has removed it: no error


def test_at_a_url_what_the_process_of_another_user_writes_is_left_alone(monkeypatch):
    def refused(process, signal):
        raise PermissionError(process)

    number = uuid.uuid4().hex
    name = f".checkpoint-00000007.fb-{socket.gethostname()}-{os.getpid()}-{number}.unfinished"
    files, inside = fsspec.core.url_to_fs(f"memory://runs/{number}")
    files.pipe_file(f"{inside}/{name}", b"half")
    monkeypatch.setattr(os, "kill", refused)
    folder_of(f"memory://runs/{number}").open()
    assert files.exists(f"{inside}/{name}")


def test_a_url_where_no_folder_can_be_is_told(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ModelFileError, match=r"/file/run: (NotADirectory|FileExists)Error"):
        folder_of(f"file://{tmp_path}/file/run").open()


def test_what_is_no_state_cannot_be_saved(tmp_path):
    with pytest.raises(TypeError, match=r"SimpleNamespace cannot be saved; states that can: .*LBFGSState"):
        save_state(tmp_path / "state.fb", SimpleNamespace(theta=np.zeros(3)))


def test_fits_of_estimators_go_on(tmp_path):
    X, y = digits()
    whole = LogisticRegression().fit(X, y)
    for steps in (2, 4):
        stop = StopWhen(lambda iterate, steps=steps: iterate.iteration == steps)
        with pytest.warns(UserWarning, match="the stop condition holds"):
            LogisticRegression(checkpoint=tmp_path / "a", callbacks=[stop]).fit(X, y)
    model = LogisticRegression(checkpoint=tmp_path / "a", engine="serial").fit(X, y)
    assert model.result_.resumed_at == 4
    assert model.coef_.tobytes() == whole.coef_.tobytes()
    assert model.intercept_.tobytes() == whole.intercept_.tobytes()
    X, y = diabetes()
    checkpoint = Checkpoint(tmp_path / "b", every=0)
    first, again = (GeneralizedLinearRegressor("poisson", checkpoint=checkpoint).fit(X, y) for _ in range(2))
    assert again.coef_.tobytes() == first.coef_.tobytes()
    assert again.result_.passes == 0


# --- killed drivers -----------------------------------------------------------------------------------------------

PROGRAM = textwrap.dedent("""
    import sys, time
    import numpy as np
    sys.path.insert(0, {tests!r})
    from problems import digits, objective, start
    from fullbatch import Checkpoint, RayEngine, SerialEngine, ThreadEngine, minimize, saved
    directory, engine, every, seconds, out = sys.argv[1:]
    engine = {{"serial": SerialEngine, "threads": lambda: ThreadEngine(3), "ray": lambda: RayEngine(2)}}[engine]()
    fun = objective(*digits(), "softmax", l2=1e-4, blocks=6, engine=engine)
    ask = fun.blocks.sum
    def slow(request):
        print("begun", flush=True)
        time.sleep(float(seconds))
        print("evaluated", flush=True)
        return ask(request)
    fun.blocks.sum = slow
    checkpoint = Checkpoint(directory, every=float(every))
    result = minimize(fun, start(fun), solver="lbfgs", tol=1e-9, checkpoint=checkpoint)
    np.savez(out, theta=result.theta, grad=result.grad, value=result.value, iterations=result.iterations)
""")


def begin(directory, out, engine="threads", every=0.0, seconds=0.0, change="", environment=None):
    program = PROGRAM.format(tests=str(Path(__file__).parents[1])).replace(
        "directory, engine", f"{change}\ndirectory, engine"
    )
    command = [sys.executable, "-W", "ignore", "-c", program, *map(str, (directory, engine, every, seconds, out))]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | (environment or {})
    )


def finish(process):
    output, errors = process.communicate(timeout=200)
    assert process.returncode == 0, output + errors
    return output


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    out = tmp_path_factory.mktemp("whole") / "result.npz"
    fun = softmax(l2=1e-4, blocks=6)
    result = minimize(fun, start(fun), solver="lbfgs", tol=1e-9)
    np.savez(out, theta=result.theta, grad=result.grad, value=result.value, iterations=result.iterations)
    return out.read_bytes()


def kill_at_random(rng, directory, out, kills, engines, damage=0.0, **options):
    """Kill the driver again and again at random moments of its iterations, then let it finish."""
    done = 0
    while done < kills:
        process = begin(
            directory, out, rng.choice(engines), every=rng.choice([0.0, 0.0, 0.05]), seconds=0.01, **options
        )
        for _ in range(rng.randint(2, 50)):
            process.stdout.readline()  # nothing, if it has ended
        time.sleep(rng.uniform(0, 0.03))
        process.kill()
        process.communicate(timeout=60)
        done += process.returncode == -signal.SIGKILL
        checkpoints = sorted(directory.glob("checkpoint-*.fb"))
        if rng.random() < damage and len(checkpoints) > 1:
            content = checkpoints[-1].read_bytes()
            checkpoints[-1].write_bytes(content[: rng.randrange(len(content))])
        if out.exists():  # it was done before it was killed: once more from the start
            assert done <= kills
            out.unlink()
            for file in checkpoints:
                file.unlink()
    finish(begin(directory, out, rng.choice(engines), **options))


def test_killed_twice(tmp_path, undisturbed):
    kill_at_random(random.Random(0), tmp_path / "run", tmp_path / "out.npz", 2, ["serial", "threads"])
    assert (tmp_path / "out.npz").read_bytes() == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("attempt", range(3))
def test_killed_ten_times(tmp_path, undisturbed, ray_session, attempt):
    address = {"RAY_ADDRESS": ray_session.get_runtime_context().gcs_address}
    engines = ["serial", "threads", "ray"]
    rng = random.Random(attempt)
    kill_at_random(rng, tmp_path / "run", tmp_path / "out.npz", 10, engines, damage=0.3, environment=address)
    assert (tmp_path / "out.npz").read_bytes() == undisturbed


@pytest.mark.parametrize("moment", ["os.replace", pytest.param("os.fsync", marks=pytest.mark.slow)])
def test_killed_while_a_checkpoint_is_written(tmp_path, undisturbed, moment):
    change = textwrap.dedent(f"""
        import os
        original = {moment}
        calls = []
        def hang(*arguments):
            calls.append(1)
            if len(calls) == 7:
                print("writing", flush=True)
                time.sleep(60)
            return original(*arguments)
        {moment} = hang
    """)
    process = begin(tmp_path / "run", tmp_path / "out.npz", change=change)
    while process.stdout.readline() != "writing\n":
        assert process.poll() is None
    process.kill()
    process.communicate(timeout=60)
    names = sorted(file.name for file in (tmp_path / "run").iterdir())
    assert [name.startswith(".checkpoint-") for name in names] == [True, False, False]
    finish(begin(tmp_path / "run", tmp_path / "out.npz"))
    assert (tmp_path / "out.npz").read_bytes() == undisturbed
    assert sorted(file.suffix for file in (tmp_path / "run").iterdir()) == [".fb", ".fb"]


def test_sigterm_saves_the_latest_iterate_at_once_and_ends_the_process(tmp_path, undisturbed):
    change = """
calls = []
def hang(seconds):
    calls.append(seconds)
    if len(calls) == 7:
        print("waits", flush=True)
        threading.Event().wait(60)
time.sleep = hang
"""
    process = begin(tmp_path / "run", tmp_path / "out.npz", every=1e6, change=f"import threading{change}")
    for _ in range(6):
        assert [process.stdout.readline() for _ in range(2)] == ["begun\n", "evaluated\n"]
    assert [process.stdout.readline() for _ in range(2)] == ["begun\n", "waits\n"]
    process.terminate()
    output, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGTERM, errors
    assert output == ""
    (file,) = (tmp_path / "run").iterdir()
    assert load_state(file).iteration > 2
    finish(begin(tmp_path / "run", tmp_path / "out.npz"))
    assert (tmp_path / "out.npz").read_bytes() == undisturbed


def test_ctrl_c_saves_the_latest_iterate(tmp_path):
    def press(iterate):
        if iterate.iteration == 5:
            os.kill(os.getpid(), signal.SIGINT)

    options = {"solver": "lbfgs", "checkpoint": Checkpoint(tmp_path, every=1e6)}
    ended = minimize(softmax(), np.zeros(650), callbacks=[press], **options)
    assert ended.status is Status.INTERRUPTED
    result = minimize(softmax(), np.zeros(650), **options)
    assert result.resumed_at == ended.iterations == 5
    assert result.theta.tobytes() == minimize(softmax(), np.zeros(650), solver="lbfgs").theta.tobytes()


def test_an_unfinished_write_is_no_checkpoint_and_a_foreign_file_is_left_alone(tmp_path):
    (tmp_path / ".checkpoint-00000003.fb-abc").write_text("half")
    (tmp_path / "notes.txt").write_text("mine")
    fun = softmax()
    assert CheckpointWriter.of(tmp_path, fun, LBFGS()).latest() is None
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]
