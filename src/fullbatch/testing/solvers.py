"""The battery that every solver passes for what it declares; see `fullbatch.testing.check_solver`."""

import logging
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.arrays import array_sources
from ..engines.local import SerialEngine
from ..models.linear import Linear
from ..objective.objective import Objective
from ..objective.variables import Standardized
from ..protocols.answers import Eval, Matrix
from ..protocols.requests import Curvature, OfSample, Squares, ValueGrad
from ..run.callbacks import StopWhen, TimeLimit
from ..run.driver import minimize
from ..run.result import Result, Status
from ..run.saved import load_state, save_state
from ..solvers import solver_of

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)


def check_solver(make: Callable[[], Any]) -> None:
    """Check that a solver finds minima, keeps to limits, counts, stops, goes on and gives up as it should.

    Parameters
    ----------
    make : callable
        Returns a new solver: its class, for example. A solver that asks for `Squares` is checked on the squared loss,
        any other on logistic regression and softmax. One that keeps its own loop (`run`) is not asked to resume,
        nor to notice a wrong gradient. One that understands L1 penalties, norms of groups or bounds (`penalties`) is
        checked with them, any other must be refused where there are some.
    """
    for loss in ("squared",) if Squares in make().requests else ("logistic", "softmax"):
        whole = _check_minimum(make, loss)
        _check_cuts(make, loss)
        _check_limits(make, loss, whole)
        if hasattr(make(), "run"):
            logger.info("%s keeps its own loop: not checked for resuming", type(make()).__name__)
        else:
            _check_resume(make, loss, whole)
        _check_optimal_start(make, loss, whole)
        _check_bad_start(make, loss)
        _check_corners(make, loss)
    if make().requests & {ValueGrad, Curvature}:
        _check_unbounded(make)
        if not hasattr(make(), "run"):  # the line search is not ours
            _check_wrong_gradient(make)


def _objective(loss: str, blocks: int = 3, l2: float = 1e-2, **penalty: Any) -> Objective:
    rng = np.random.default_rng(11)
    X = rng.standard_normal((240, 6)) @ rng.standard_normal((6, 6)) + rng.uniform(-2, 2, 6)
    eta = X @ rng.standard_normal((6, 3)) + rng.gumbel(size=(240, 3))
    y = {"squared": eta[:, 0], "logistic": eta[:, 0] > eta[:, 1], "softmax": eta.argmax(axis=1)}[loss]
    model = Linear(loss)
    sources = array_sources(X, y, rng.uniform(0.5, 2, 240), blocks=blocks)
    placed = SerialEngine().place(model, sources)
    return Objective(placed, l2, Standardized(placed.schema, model.outputs(placed.schema)), **penalty)


def _run(make: Callable[[], Any], objective: Objective, start: Array | None = None, **options: Any) -> Result:
    theta = np.zeros(objective.size) if start is None else start
    return minimize(objective, theta, solver=make(), **{"tol": 1e-11, "max_iter": 500, **options})


def _check_minimum(make: Callable[[], Any], loss: str) -> Result:
    objective = _objective(loss)
    asked: list[Any] = []
    blocks_sum = objective.blocks.sum
    objective.blocks.sum = lambda request: asked.append(request) or blocks_sum(request)  # type: ignore[method-assign,func-returns-value]
    result = _run(make, objective)
    of_samples = [
        one
        for one in asked
        if isinstance(one, OfSample) or getattr(one, "form", "") == "rows" or getattr(one, "fraction", 1.0) < 1
    ]
    alone = "went on where" not in result.solver
    assert alone or hasattr(make(), "run"), (  # one that keeps its own loop has a rule of its own
        f"{loss}: it ended with no stationary point, and another solver had to go on: {result.solver}"
    )
    assert result.success, f"{loss}: it ended with {result.status}: {result.message}"
    assert result.known_by == "hessian", f"{loss}: the end was not checked: it is known by {result.known_by}"
    assert result.remaining_r2 <= 1e-11, f"{loss}: F could still fall by {result.remaining_r2} of the null model's"
    whole = len(asked) - len(of_samples)
    assert result.passes == whole, f"{loss}: {whole} requests read all rows, the result tells of {result.passes} passes"
    share = sum(one.fraction for one in of_samples)
    assert abs(result.sampled_passes - share) < 1e-9, (
        f"{loss}: samples read {share} of the data, the result tells of {result.sampled_passes}"
    )
    point = objective.value_and_grad(result.theta)
    assert abs(point.value - result.value) <= 1e-9 * abs(point.value), (
        f"{loss}: F is {point.value} where the solver ended, it says {result.value}"
    )
    reached = float(np.linalg.norm(point.grad))
    assert reached <= 1e-4 * result.first_grad_norm, f"{loss}: no stationary point: |g| fell only to {reached:.2e}"
    rng = np.random.default_rng(0)
    for _ in range(5):
        near = result.theta + 1e-2 * rng.standard_normal(objective.size)
        assert objective.full_loss(near) > point.value, f"{loss}: there is a lower point near where it ended"
    return result


def _check_cuts(make: Callable[[], Any], loss: str) -> None:
    values = [_run(make, _objective(loss, blocks)).value for blocks in (1, 2, 7)]
    spread = (max(values) - min(values)) / abs(values[0])
    assert spread <= 1e-9, f"{loss}: the minimum depends on how the data is cut: {values}"
    again = [_run(make, _objective(loss)).theta.tobytes() for _ in range(2)]
    assert again[0] == again[1], f"{loss}: two runs of the same problem end in other bits"


def _check_limits(make: Callable[[], Any], loss: str, whole: Result) -> None:
    for limit in (0, 1, 2):
        result = _run(make, _objective(loss), max_iter=limit)
        if limit >= whole.iterations:
            continue
        told = result.status is Status.MAX_ITER and result.iterations == limit
        assert told, f"{loss}: max_iter={limit} ended in {result.status} after {result.iterations} iterations"
    result = _run(make, _objective(loss), callbacks=[TimeLimit(0)])
    assert (result.status, result.iterations) == (Status.STOPPED, 0), f"{loss}: a time limit of 0 did not stop it"
    at = min(2, whole.iterations - 1)
    seen: list[int] = []
    stop = StopWhen(lambda iterate: iterate.iteration >= at, "enough")
    result = _run(make, _objective(loss), callbacks=[lambda iterate: seen.append(iterate.iteration), stop])
    told = (result.status, result.message, result.iterations) == (Status.STOPPED, "enough", at)
    assert told, f"{loss}: a callback that stops at iteration {at} ended in {result.status} at {result.iterations}"
    assert seen == list(range(at + 1)), f"{loss}: callbacks saw the iterations {seen}"


def _check_resume(make: Callable[[], Any], loss: str, whole: Result) -> None:
    for at in sorted({0, 1, whole.iterations // 2, whole.iterations - 1}):
        if at >= whole.iterations:
            continue
        first = _run(make, _objective(loss), max_iter=at)
        state = first.state
        if solver_of(state) is not None:
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "state"
                save_state(path, state)
                state = load_state(path)
        second = _run(make, _objective(loss), resume=state)
        assert second.theta.tobytes() == whole.theta.tobytes(), (
            f"{loss}: resumed at iteration {at} it ended elsewhere, by up to "
            f"{np.abs(second.theta - whole.theta).max():.1e}"
        )
        assert second.iterations == whole.iterations, f"{loss}: resumed at {at} it took other iterations"
        counted = first.passes + second.passes
        assert counted == whole.passes, f"{loss}: resumed at {at}: {counted} passes instead of {whole.passes}"


# Strengths and bounds that hold some coordinates of these problems, and not others.
_CORNERS: dict[str, dict[str, Any]] = {
    "l1": {"l1": 0.03},
    "bounds": {"lower": -0.02, "upper": 0.1},
    "groups": {"l21": 0.3, "l1": 0.01},
}


def _by_columns(loss: str) -> Array:
    """Of each coordinate the number of its group: two columns each, of all classes."""
    outputs = 3 if loss == "softmax" else 1
    return np.append(np.tile(np.repeat(np.arange(3), 2), outputs), np.full(outputs, -1))


def _check_corners(make: Callable[[], Any], loss: str) -> None:
    for part, strengths in _CORNERS.items():
        penalty = strengths if part != "groups" else {**strengths, "groups": _by_columns(loss)}
        if part not in getattr(make(), "penalties", ()):
            told = ""
            try:
                _run(make, _objective(loss, **penalty))
            except ValueError as error:
                told = str(error)
            assert "proximal-newton" in told, (
                f"{loss}: {part} must be refused with a solver that knows it, got {told!r}"
            )
            continue
        objective = _objective(loss, **penalty)
        result = _run(make, objective)
        theta, rules = result.theta, objective.penalty
        assert result.success, f"{loss} with {part}: it ended with {result.status}: {result.message}"
        assert (rules.nearest(theta) == theta).all(), f"{loss} with {part}: theta is not within its bounds"
        held = (theta == rules.lower) | (theta == rules.upper) if part == "bounds" else theta == 0
        assert 0 < held.sum() < held.size, f"{loss} with {part}: {held.sum()} coordinates of {held.size} are held"
        slope = rules.steepest(theta, objective.full_grad(theta))
        assert np.linalg.norm(slope) <= 1e-4 * result.first_grad_norm, f"{loss} with {part}: no stationary point"
        rng = np.random.default_rng(0)
        for _ in range(5):
            near = rules.nearest(theta + 1e-2 * rng.standard_normal(objective.size))
            assert objective.full_loss(near) > result.value, f"{loss} with {part}: there is a lower point near by"
        values = [_run(make, _objective(loss, blocks, **penalty)).value for blocks in (1, 7)]
        assert np.ptp(values) <= 1e-9 * abs(values[0]), (
            f"{loss} with {part}: it depends on how the data is cut: {values}"
        )
        first = _run(make, _objective(loss, **penalty), max_iter=1)
        second = _run(make, _objective(loss, **penalty), resume=first.state)
        assert second.theta.tobytes() == theta.tobytes(), f"{loss} with {part}: resumed it ended elsewhere"


def _check_optimal_start(make: Callable[[], Any], loss: str, whole: Result) -> None:
    result = _run(make, _objective(loss), start=whole.theta, tol=1e-8)
    assert result.success, f"{loss}: started at the optimum it ended with {result.status}"
    assert result.value <= whole.value * (1 + 1e-9), f"{loss}: started at the optimum it went up"


def _check_bad_start(make: Callable[[], Any], loss: str) -> None:
    objective = _objective(loss)
    if loss == "squared":
        return  # a start that is not finite is refused by minimize; any other one is finite
    told = ""
    try:
        with np.errstate(all="ignore"):
            _run(make, objective, start=np.full(objective.size, 1e307) * (-1.0) ** np.arange(objective.size))
    except ValueError as error:
        told = str(error)
    assert "not finite" in told, f"{loss}: a start where F is not finite must be a ValueError, got {told!r}"


def _check_unbounded(make: Callable[[], Any]) -> None:
    X = np.random.default_rng(0).standard_normal((60, 3))
    placed = SerialEngine().place(Linear("logistic"), array_sources(X, X[:, 0] > 0, blocks=2))
    result = _run(make, Objective(placed), tol=1e-8)
    assert np.isfinite(result.theta).all(), "separable classes without a penalty: theta is not finite"
    assert result.value < 1e-2, f"separable classes without a penalty: F stayed at {result.value}"


def _check_wrong_gradient(make: Callable[[], Any]) -> None:
    objective = _objective("logistic")
    blocks_sum = objective.blocks.sum

    def turned(request: Any) -> Any:
        answer = blocks_sum(request)
        if isinstance(answer, Eval):
            return replace(answer, grad=-answer.grad)
        if isinstance(answer, Matrix) and answer.point is not None:
            return replace(answer, point=replace(answer.point, grad=-answer.point.grad))
        return answer

    objective.blocks.sum = turned  # type: ignore[method-assign]
    result = _run(make, objective)
    assert not result.success, "with the gradient's sign turned it claims to have converged"
    if result.status is Status.LINE_SEARCH:
        assert "finite differences" in result.message, "a line search that fails must suggest to check the gradient"
