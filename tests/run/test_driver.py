import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import numpy as np
import pytest
from formulas import least
from problems import REFERENCES, breast_cancer, digits, objective, start

from fullbatch import (
    LBFGS,
    History,
    Newton,
    NewtonCG,
    Objective,
    ScipyLBFGSB,
    Status,
    StopWhen,
    TimeLimit,
    load_state,
    minimize,
    save_state,
)
from fullbatch.protocols import ValueGrad
from fullbatch.run.interrupts import before_the_end, ctrl_c, last_acts
from fullbatch.run.lockstep import lockstep


@pytest.mark.parametrize("name", REFERENCES)
def test_reference_optima(name):
    data, loss, l2, optimum = REFERENCES[name]
    fun = objective(*data(), loss, l2)
    result = minimize(fun, start(fun), tol=1e-13)
    assert result.success
    assert result.value == pytest.approx(optimum, rel=1e-11)


@pytest.mark.parametrize("solver", ["lbfgs", "scipy-lbfgsb", LBFGS(memory=5), ScipyLBFGSB(memory=20)])
def test_default_tolerance_is_close_to_the_optimum(solver):
    for data, loss, l2, optimum in REFERENCES.values():
        fun = objective(*data(), loss, l2)
        result = minimize(fun, start(fun), solver=solver)
        assert result.status is Status.CONVERGED
        assert (result.value - optimum) / optimum < 2e-6


def test_result_tells_what_happened():
    fun = objective(*breast_cancer())
    history = History()
    result = minimize(fun, start(fun), callbacks=[history])
    assert result.status is Status.CONVERGED
    assert "within tol" in result.message
    assert result.optimality <= 1e-8
    assert result.passes == fun.num_passes
    assert result.setup_passes == 1
    assert result.iterations + 1 == len(history.value)
    assert history.value[-1] == result.value
    assert history.passes[0] == 1
    assert history.passes[-1] == result.passes
    assert result.first_grad_norm == history.grad_norm[0]
    point = fun.value_and_grad(result.theta)
    assert (point.value, point.grad.tobytes()) == (result.value, result.grad.tobytes())


def test_every_evaluation_is_a_pass_and_most_iterations_take_one():
    fun = objective(*breast_cancer())
    asked = []
    blocks_sum = fun.blocks.sum
    fun.blocks.sum = lambda request: asked.append(request) or blocks_sum(request)
    result = minimize(fun, start(fun))
    assert len(asked) == result.passes == fun.num_passes
    assert result.iterations < result.passes <= 1.3 * result.iterations + 2


@pytest.mark.parametrize("solver", ["lbfgs", "scipy-lbfgsb"])
def test_limits_and_stops(solver):
    fun = objective(*breast_cancer())
    result = minimize(fun, start(fun), solver=solver, max_iter=3)
    assert (result.status, result.iterations) == (Status.MAX_ITER, 3)
    assert not result.success
    result = minimize(fun, start(fun), solver=solver, callbacks=[StopWhen(lambda it: it.iteration == 4, "enough")])
    assert (result.status, result.iterations, result.message) == (Status.STOPPED, 4, "enough")
    result = minimize(fun, start(fun), solver=solver, callbacks=[TimeLimit(0)])
    assert (result.status, result.iterations, result.passes) == (Status.STOPPED, 0, 1)
    assert "time limit" in result.message
    result = minimize(fun, start(fun), solver=solver, callbacks=[lambda iterate: True])
    assert result.status is Status.STOPPED


def test_every_callback_is_called_where_one_of_them_stops():
    """One that keeps iterates, or checkpoints them, must see the last one too."""
    fun, seen = objective(*breast_cancer()), []
    stop = StopWhen(lambda iterate: iterate.iteration == 2, "enough")
    result = minimize(fun, start(fun), solver="lbfgs", callbacks=[stop, lambda iterate: seen.append(iterate.iteration)])
    assert (result.status, result.message, seen) == (Status.STOPPED, "enough", [0, 1, 2])


def test_a_callback_that_stops_where_the_run_has_converged():
    fun = objective(*breast_cancer())
    whole = minimize(fun, start(fun), solver="lbfgs")
    stop = StopWhen(lambda iterate: iterate.iteration == whole.iterations)
    result = minimize(fun, start(fun), solver="lbfgs", callbacks=[stop])
    assert (result.status, result.iterations) == (Status.CONVERGED, whole.iterations)


class Exactly(LBFGS):
    """Where others say that no more than 1e-8 is left, it says that this is left."""

    def optimality(self, state):
        own = super().optimality(state)
        return 1e-8 if own <= 1e-8 else own


def test_an_optimality_of_exactly_tol_is_enough():
    fun = objective(*breast_cancer())
    whole = minimize(fun, start(fun), solver="lbfgs", tol=1e-8)
    result = minimize(fun, start(fun), solver=Exactly(), tol=1e-8)
    assert (result.status, result.iterations) == (Status.CONVERGED, whole.iterations)


def test_a_second_run_counts_its_own_passes_only():
    fun = objective(*breast_cancer())
    first, second = (minimize(fun, start(fun), solver="sampled-lbfgs") for _ in range(2))
    assert first.sampled_passes > 0
    assert (second.passes, second.sampled_passes) == (first.passes, first.sampled_passes)
    assert fun.num_sampled_passes == first.sampled_passes + second.sampled_passes


def test_max_iter_zero_evaluates_the_start():
    fun = objective(*breast_cancer())
    result = minimize(fun, start(fun), max_iter=0)
    assert (result.status, result.passes, result.value) == (Status.MAX_ITER, 1, pytest.approx(np.log(2)))


def test_resume_is_equal_to_the_byte(tmp_path):
    undisturbed = minimize(objective(*digits(), "softmax"), np.zeros(650))
    for stop_at in (0, 1, 7, 20):
        fun = objective(*digits(), "softmax")
        first = minimize(fun, start(fun), callbacks=[StopWhen(lambda it, at=stop_at: it.iteration == at)])
        save_state(tmp_path / "state", first.state)
        second = minimize(fun, start(fun), resume=load_state(tmp_path / "state"))
        assert second.theta.tobytes() == undisturbed.theta.tobytes()
        assert second.grad.tobytes() == undisturbed.grad.tobytes()
        assert (second.value, second.iterations) == (undisturbed.value, undisturbed.iterations)
        assert first.passes + second.passes == undisturbed.passes


def test_scipy_says_that_it_cannot_resume():
    fun = objective(*breast_cancer())
    result = minimize(fun, start(fun), max_iter=2)
    with pytest.raises(ValueError, match="cannot resume: use 'lbfgs'"):
        minimize(fun, start(fun), solver="scipy-lbfgsb", resume=result.state)
    assert minimize(fun, start(fun), solver="scipy-lbfgsb", max_iter=2).state is None


def test_lockstep_shares_passes_and_changes_no_answer():
    X, y = digits()
    shared = objective(X, y, "softmax")
    objectives = [type(shared)(shared.blocks, l2, shared.variables) for l2 in (1e-3, 1e-2, 1e-1, 1.0)]
    alone = [minimize(fun, start(fun), solver="lbfgs", tol=1e-10) for fun in objectives]
    counted = []
    blocks_sum = shared.blocks.sum
    shared.blocks.sum = lambda request: counted.append(request.theta.shape) or blocks_sum(request)
    states = lockstep(objectives, [LBFGS()] * 4, [start(shared)] * 4, tol=1e-10, max_iter=500)
    # Runs of their own have their ends checked, along two conjugate directions.
    assert len(counted) == max(result.passes for result in alone) - 2
    assert counted[0] == (4, shared.size)
    for state, result in zip(states, alone, strict=True):
        assert state.value == pytest.approx(result.value, rel=1e-12)
        assert state.theta.tobytes() == result.theta.tobytes()


def test_lockstep_ends_each_run_as_if_it_were_alone():
    fun = objective(*breast_cancer())
    (limited,) = lockstep([fun], [LBFGS()], [start(fun)], tol=1e-10, max_iter=3)
    assert limited.iteration == 3
    (whole,) = lockstep([fun], [LBFGS()], [start(fun)], tol=1e-8, max_iter=500)
    (exactly,) = lockstep([fun], [Exactly()], [start(fun)], tol=1e-8, max_iter=500)
    assert exactly.theta.tobytes() == whole.theta.tobytes()


@pytest.mark.parametrize(
    ("solver", "options", "error", "words"),
    [
        ("newton-cg", {}, TypeError, r"ask for ValueGrad and Hessians only, not NewtonCG: use LBFGS\(\) or Newton"),
        ("lbfgs", {"l1": 0.1}, TypeError, r"LBFGS does not know penalties with l1: use ProximalNewton"),
        ("newton", {"answers": {ValueGrad}}, TypeError, r"Newton needs Hessians, .* do not answer: use LBFGS"),
        ("lbfgs", {"blocks": 2}, ValueError, r"lockstep needs objectives over the same blocks"),
    ],
)
def test_lockstep_refuses_what_cannot_go_along(solver, options, error, words):
    fun = objective(*breast_cancer())
    other = objective(*breast_cancer(), blocks=options["blocks"]) if "blocks" in options else fun
    other.blocks.answers = frozenset(options.get("answers", other.blocks.answers))
    other = Objective(other.blocks, 0.01, other.variables, l1=options.get("l1", 0.0))
    solvers = {"newton-cg": NewtonCG(), "lbfgs": LBFGS(), "newton": Newton()}
    with pytest.raises(error, match=words):
        lockstep([fun, other], [LBFGS(), solvers[solver]], [start(fun)] * 2, tol=1e-8, max_iter=5)
    assert fun.num_passes == other.num_passes == 0


def test_what_does_not_fit_is_said_before_the_first_pass():
    fun = objective(*breast_cancer())
    for bad, message in [
        ({"solver": "adam"}, "unknown solver 'adam': choose from auto, lbfgs, "),
        ({"tol": -1.0}, "tol must be"),
        ({"tol": np.nan}, "tol must be"),
        ({"max_iter": -1}, "max_iter must be"),
        ({"theta0": np.zeros(3)}, r"theta0 has shape \(3,\)"),
        ({"theta0": np.full(31, np.nan)}, "theta0 contains NaN"),
    ]:
        with pytest.raises(ValueError, match=message):
            minimize(fun, **({"theta0": np.zeros(31)} | bad))

    class Asks(LBFGS):
        requests = frozenset({ValueGrad, int})

    with pytest.raises(TypeError, match="Asks needs int, which these blocks do not answer"):
        minimize(fun, start(fun), solver=Asks())
    assert fun.num_passes == 0


def test_start_where_the_objective_is_not_finite():
    fun = objective(*digits(), "softmax", centred=False)
    with pytest.raises(ValueError, match="not finite at the starting point"):
        minimize(fun, np.full(650, 1e308) * (-1.0) ** np.arange(650))


def test_runs_outside_the_main_thread():
    fun = objective(*breast_cancer())
    results = []
    thread = threading.Thread(target=lambda: results.append(minimize(fun, start(fun))))
    thread.start()
    thread.join()
    assert results[0].status is Status.CONVERGED
    assert results[0].theta.tobytes() == minimize(fun, start(fun)).theta.tobytes()


PROGRAM = textwrap.dedent("""
    import sys
    import numpy as np
    sys.path.insert(0, {tests!r})
    from problems import breast_cancer, objective, start
    from fullbatch import minimize
    fun = objective(*breast_cancer(standardized=False), l2=1e-9)
    ask = fun.blocks.sum
    def slow(request):
        print("begun", flush=True)
        while sys.stdin.readline() == "stay\\n":  # a signal sent before the line is taken before it is answered
            print("stayed", flush=True)
        print("evaluated", flush=True)
        return ask(request)
    fun.blocks.sum = slow
    result = minimize(fun, start(fun), tol=0, solver={solver!r})
    print(result.status, result.value < np.log(2), fun.num_passes, result.message)
""")


def program(solver):
    code = PROGRAM.format(tests=str(Path(__file__).parents[1]), solver=solver)
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    return subprocess.Popen([sys.executable, "-c", code], text=True, **pipes)


def tell(process, word):
    process.stdin.write(word + "\n")
    process.stdin.flush()


@pytest.mark.parametrize("solver", ["lbfgs", "scipy-lbfgsb"])
def test_ctrl_c_ends_after_the_evaluation_and_returns_the_best_iterate(solver):
    process = program(solver)
    for _ in range(6):
        assert process.stdout.readline() == "begun\n"
        tell(process, "go")
        assert process.stdout.readline() == "evaluated\n"
    assert process.stdout.readline() == "begun\n"
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate("go\n", timeout=60)
    *evaluated, last = output.splitlines()
    assert evaluated == ["evaluated"]
    assert last.startswith("Status.INTERRUPTED True 7 interrupted: this is the best iterate")


def test_second_ctrl_c_raises():
    process = program("lbfgs")
    assert process.stdout.readline() == "begun\n"
    os.kill(process.pid, signal.SIGINT)
    tell(process, "stay")
    assert process.stdout.readline() == "stayed\n", "the first Ctrl-C must not break into an evaluation"
    os.kill(process.pid, signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert output == ""
    assert errors.rstrip().endswith("KeyboardInterrupt")


def test_an_ignored_ctrl_c_stays_ignored():
    previous = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ctrl_c() as pressed:
            os.kill(os.getpid(), signal.SIGINT)
            assert not pressed.is_set()
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_handler_of_another_language_is_followed_by_the_default_one(monkeypatch):
    before, set_to = signal.getsignal(signal.SIGINT), signal.signal
    monkeypatch.setattr(signal, "signal", lambda *arguments: set_to(*arguments) and None)
    try:
        with ctrl_c():
            pass
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        set_to(signal.SIGINT, before)


@pytest.mark.parametrize("before", [signal.default_int_handler, signal.SIG_DFL], ids=["python", "system"])
def test_ctrl_c_sets_an_event_and_pressed_again_interrupts(before):
    found = signal.signal(signal.SIGINT, before)
    try:
        with ctrl_c() as pressed:
            press = signal.getsignal(signal.SIGINT)
            assert not pressed.is_set()
            press(signal.SIGINT, None)
            assert pressed.is_set()
            with pytest.raises(KeyboardInterrupt):
                press(signal.SIGINT, None)
        assert signal.getsignal(signal.SIGINT) is before
    finally:
        signal.signal(signal.SIGINT, found)


def test_what_is_done_before_the_process_ends(monkeypatch):
    """Told to end, it does so once; then it ends as it would have done without."""
    done, sent, found = [], [], signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr("fullbatch.run.interrupts.os.kill", lambda *told: sent.append(told))

    def act():
        done.append(signal.getsignal(signal.SIGTERM))

    with before_the_end(act):
        assert last_acts() == [act]
        signal.getsignal(signal.SIGTERM)(signal.SIGTERM, None)
        assert done == [found]  # a second one ends it at once
        assert sent == [(os.getpid(), signal.SIGTERM)]
    assert last_acts() == []
    assert signal.getsignal(signal.SIGTERM) is found


def test_outside_the_main_thread_no_signal_is_heard():
    seen = []

    def inside():
        with ctrl_c() as pressed, before_the_end(lambda: None):
            seen.append((pressed.is_set(), last_acts()))

    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [(False, [])]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers


@pytest.mark.parametrize("solver", ["auto", "newton-cg", "scipy-lbfgsb"])
def test_bits_do_not_depend_on_blas_threads(solver):
    from threadpoolctl import threadpool_limits

    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 30_000)), np.arange(60) % 2  # long vectors: BLAS would cut them for its threads
    found = set()
    for threads in (1, 2, 4):
        with threadpool_limits(threads, user_api="blas"):
            fun, norms = objective(X, y), []
            result = minimize(
                fun,
                start(fun),
                solver=solver,
                max_iter=12,
                callbacks=[lambda it, norms=norms: norms.append(it.grad_norm)],
            )
            told = (result.grad_norm, result.first_grad_norm, result.remaining_r2, *norms)
            found.add((result.theta.tobytes(), *map(str, told)))
    assert len(found) == 1


def test_a_class_or_a_result_in_place_of_an_object_is_named():
    fun = objective(*breast_cancer())
    with pytest.raises(ValueError, match=r"solver is the class LBFGS: pass an object of it, LBFGS\(\)"):
        minimize(fun, start(fun), solver=LBFGS)
    with pytest.raises(TypeError, match="resume takes a solver's state"):
        minimize(fun, start(fun), resume=minimize(fun, start(fun)))
    with pytest.raises(ValueError, match="max_iter must be a whole number"):
        minimize(fun, start(fun), max_iter="9")


def test_badly_scaled_columns_do_not_end_the_run_early():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 20))
    y = (X @ rng.standard_normal(20) + rng.standard_normal(400) > 0).astype(int)
    X = X * 10.0 ** np.linspace(-3, 3, 20)
    fun, best = objective(X, y, l2=1 / 400), least("logistic", X, y, 1 / 400)
    result = minimize(fun, start(fun), max_iter=10_000)
    assert result.status is Status.CONVERGED
    assert (result.value - best) / best < 1e-7


@pytest.mark.parametrize("mean", [10, 1e3, 1e5])
def test_float32_columns_far_from_zero_converge_like_centred_ones(mean):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((400, 20))
    y = (X @ rng.standard_normal(20) + rng.standard_normal(400) > 0).astype(int)
    shifted = (X + mean).astype(np.float32)
    fun = objective(shifted, y, l2=1 / 400)
    exact = objective(shifted.astype(np.float64), y, l2=1 / 400)
    best = least("logistic", shifted, y, 1 / 400)
    result = minimize(fun, start(fun))
    assert result.success
    assert exact.value_and_grad(result.theta).value / best - 1 < 1e-7


def test_auto_goes_on_with_the_solver_of_the_state_that_it_is_given():
    fun = objective(*breast_cancer())
    assert "chose newton because of 569 rows" in minimize(fun, start(fun), max_iter=2).solver
    begun = minimize(fun, start(fun), solver="lbfgs", max_iter=2)
    assert (
        "chose lbfgs because it is the solver of the state to resume"
        in minimize(fun, None, resume=begun.state, max_iter=3).solver
    )
