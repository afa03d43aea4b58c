"""The one loop: asks a solver for requests, the objective for answers, and decides when to stop."""

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from os import PathLike
from threading import Event
from typing import Any

import numpy as np
import numpy.typing as npt

from ..objective.objective import Objective
from ..protocols.requests import ValueGrad
from ..protocols.seams import Solver, State, Steps, through
from ..protocols.seams import drive as drive  # its former place
from ._asked import as_theta, check_arguments, checked_solver
from ._other_solver import other_solver, solver_for_state
from .callbacks import Callback, Iterate
from .certificates import best_certificate
from .checkpoints import Checkpoint, CheckpointWriter, Spent, check_kept
from .convergence import Check, checking
from .gradient_check import check_gradient as check_gradient_at
from .interrupts import Interrupted, before_the_end, ctrl_c
from .lockstep import by_class, side_by_side
from .notices import notices
from .result import Notice, Result, Status

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

# A claim that is off by more than this factor is not left to the solver that made it.
_FAR_OFF = 100.0


def minimize(
    objective: Objective,
    theta0: Array,
    *,
    solver: str | Solver[Any] | Any = "auto",
    tol: float = 1e-8,
    max_iter: int = 1000,
    callbacks: Sequence[Callback] = (),
    resume: State | None = None,
    checkpoint: Checkpoint | str | PathLike[str] | None = None,
    check_gradient: bool = False,
) -> Result:
    """Minimise an objective.

    Ctrl-C ends the run after the evaluation under way and returns the best iterate; a second Ctrl-C raises
    KeyboardInterrupt at once. With `checkpoint`, SIGTERM saves the latest iterate before it ends the process.
    A checkpoint that cannot be written is a warning, and is tried again at the next iterate.

    Parameters
    ----------
    objective : Objective
        Blocks and penalty.
    theta0 : (size,) array
        Starting point; not used with `resume`.
    solver : str or Solver
        "auto", "lbfgs", "sampled-lbfgs", "newton", "newton-cg", "least-squares", "proximal-newton", "owl-qn",
        "scipy-lbfgsb", or a solver object. "auto" chooses by the shape of the problem and says why in `Result.solver`;
        with `resume`, it is the solver whose state that is. L1 penalties and bounds are known to "proximal-newton" and
        "owl-qn".
    tol : float
        The run ends when F can fall by no more than this share of how far the null model's F stands above the least
        that F can be (of models that are not linear: of max(|F|, |F0 - F|)), and that was checked: see
        `Result.remaining_r2`. It means the same for any units of data, weights and theta, and from any start. (With
        "scipy-lbfgsb": SciPy's ftol, the relative decrease of a single step; then the same check.)
    max_iter : int
        Accepted iterates at the most, those before a resume included.
    callbacks : sequence of callables
        Called with an `Iterate` at every accepted iterate, the starting point included; one that returns True, or
        a text that says why, ends the run.
    resume : solver state, optional
        `Result.state` of an earlier run of the same problem and solver: the run goes on as if it had never ended.
        (A state does not know its problem: one of another problem of the same size is not noticed.)
    checkpoint : Checkpoint, path or URL, optional
        A directory where the state is kept as the run goes on, and from which it goes on if there are checkpoints:
        the result is the same to the byte as that of a run that was never ended, on any engine and number of workers.
        `theta0` and `resume` are then not used, and one pass, counted with those of the set-up, tells whether data
        and model are still the same.
    check_gradient : bool
        Whether to compare the model's gradient with differences of its loss before the run, at the starting point:
        `fullbatch.run.gradient_check.check_gradient`. Its passes are counted with those of the set-up.

    Returns
    -------
    Result

    Raises
    ------
    ValueError
        An argument is none of its parameter's, theta0 or the state does not fit, F is not finite there, or the solver
        cannot resume.
    ModelFileError
        The checkpoints are those of another run, by data, model, penalty or solver: the message says what differs. Or
        none of them can be read.
    TypeError
        The solver needs answers that the blocks do not give.
    ModelError
        `check_gradient` was asked for, and the gradient is not that of the loss.
    """
    run = _Run(objective, theta0, solver, tol, max_iter, callbacks, resume, checkpoint, check_gradient)
    return _carried_out([run], lambda steps: [drive(one, objective) for one in steps])[0]


def minimize_classes(
    objectives: Sequence[Objective],
    thetas: Sequence[Array],
    *,
    solver: str | Solver[Any] | Any = "auto",
    tol: float = 1e-8,
    max_iter: int = 1000,
    callbacks: Sequence[Callback] = (),
    checkpoints: Sequence[Checkpoint | str | PathLike[str] | None],
) -> list[Result]:
    """Minimise the objectives of several classes, each against the rest, side by side.

    Each run is that of `minimize`, in the same bits. What they ask for at a time is one read of the data, and runs that
    have ended ask for nothing. No more run at a time than one solver's `max_bytes` has room for; with callbacks, which
    are told of one run at a time, one does.

    Parameters
    ----------
    objectives : sequence of Objective
        Over the `OfClass` blocks of one `OneAgainstRest` model.
    thetas : sequence of (size,) arrays
        Starting points.
    solver, tol, max_iter, callbacks
        As in `minimize`, for each.
    checkpoints : sequence of Checkpoint, path, URL or None
        Of each.
    """
    results: list[Result] = []
    while len(results) < len(objectives):
        runs: list[_Run] = []
        for number in range(len(results), len(objectives)):
            if runs and (callbacks or len(runs) >= _room(runs[0].solver)):
                break
            asked = thetas[number], solver, tol, max_iter, callbacks, None, checkpoints[number]
            runs.append(_Run(objectives[number], *asked))
        results += _carried_out(runs, partial(side_by_side, [run.objective for run in runs], answered=by_class))
    return results


def _room(solver: Any) -> float:
    """How many runs of a solver have room for what it keeps beside a few vectors."""
    needed = getattr(solver, "bytes_needed", 0)
    return max(1, solver.max_bytes // needed) if needed else np.inf


def _carried_out(runs: Sequence["_Run"], results_of: Callable[[Sequence[Steps[Result]]], list[Result]]) -> list[Result]:
    """The results of runs whose requests are answered by `results_of`; signals and errors end all of them."""

    def keep() -> None:
        for run in runs:
            run.keep()

    # A trial point too far out: solvers look for infinities.
    with ExitStack() as stack, np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        pressed = stack.enter_context(ctrl_c())
        for callback in runs[0].callbacks:
            if callable(end := getattr(callback, "end_of_run", None)):
                stack.callback(end)
        if runs[0].writer is not None:
            stack.enter_context(before_the_end(keep))
            stack.callback(keep)  # however the runs end
        return results_of([run.go(pressed) for run in runs])


class _Run:
    """One call of `minimize`: what all its parts must know."""

    def __init__(
        self,
        objective: Objective,
        theta0: Array,
        solver: Any,
        tol: float,
        max_iter: int,
        callbacks: Sequence[Callback],
        resume: Any,
        checkpoint: Checkpoint | str | PathLike[str] | None,
        check_gradient: bool = False,
    ) -> None:
        if callable(callbacks):
            callbacks = [callbacks]
        check_arguments(objective, solver, tol, max_iter, callbacks, checkpoint, check_gradient)
        self.objective, self.tol, self.max_iter, self.callbacks = objective, tol, max_iter, callbacks
        self.solver, self.why = checked_solver(solver, objective, resume)
        self.theta = as_theta(resume.theta if resume is not None else theta0)
        if self.theta.shape != (objective.size,):
            raise ValueError(f"theta0 has shape {self.theta.shape}, this model has {objective.size} parameters")
        if not np.isfinite(self.theta).all():
            raise ValueError("theta0 contains NaN or infinity")
        self.writer = None if checkpoint is None else CheckpointWriter.of(checkpoint, objective, self.solver)
        if self.writer is not None and (kept := self.writer.latest()) is not None:
            check_kept(kept, objective, self.solver)
            resume = kept
            self.solver = solver_for_state(kept, self.solver, objective.facts)
        self.resume = resume
        if check_gradient:
            check_gradient_at(objective, self.theta)
        self.began, self.first_pass = time.perf_counter(), objective.num_passes
        self.first_sampled = objective.num_sampled_passes
        self.latest: Any = None
        self.check: Check | None = None
        self.resumed_at: int | None = None
        self.stop_reason = ""

    def go(self, pressed: Event) -> Steps[Result]:
        """The run, which ends before its next request once Ctrl-C was pressed."""
        self.pressed = pressed
        try:
            steps = self._whole_run() if hasattr(self.solver, "run") else self._iterate(self.resume)
            return (yield from through(self._unless_pressed, steps))
        except Interrupted:
            if self.latest is None:
                raise KeyboardInterrupt from None
            return (yield from self._result(Status.INTERRUPTED))

    def _unless_pressed(self, request: Any) -> Steps[Any]:
        if self.pressed.is_set():
            raise Interrupted
        return (yield request)

    def _iterate(self, resume: Any) -> Steps[Result]:
        first = (yield from self.solver.init(self.theta)) if resume is None else resume
        _check_start(first)
        self.latest, self.resumed_at = first, None if resume is None else resume.iteration
        took_over = None
        while True:
            state = self.latest
            if self.writer is not None:
                self.writer.save_if_due(state, self._spent())
            optimality = self.solver.optimality(state)
            stop = took_over is not state and self._told_to_stop(state, optimality)
            if optimality <= self.tol or state.failure:
                self.check = check = yield from checking(self.objective, state, self.solver)
                if check.holds(self.tol):
                    return (yield from self._result(Status.CONVERGED))
                if not stop and (yield from self._goes_on_otherwise(check)):
                    took_over = self.latest
                    continue
            if stop:
                return (yield from self._result(Status.STOPPED))
            if state.failure:
                return (yield from self._result(Status(state.failure)))
            if state.iteration >= self.max_iter:
                return (yield from self._result(Status.MAX_ITER))
            self.latest = yield from self.solver.step(state)

    def _goes_on_otherwise(self, check: Check) -> Steps[bool]:
        """Whether another solver takes over where this one's claim was not borne out, or it found no way on."""
        state, ended = self.latest, hasattr(self.solver, "run")
        in_part = check.known_by in ("directions", "columns")
        if not (ended or state.failure or check.remaining_r2 > _FAR_OFF * self.tol or in_part):
            return False  # a few more of its own steps may be enough
        other = other_solver(self.solver, self.objective.facts, state)
        if other is None:
            return False
        began = yield from other.init(state.theta)
        if not (np.isfinite(began.value) and np.isfinite(began.grad).all()):
            return False
        logger.info("%s ends away from the optimum (%s): %s goes on", _name(self.solver), check.words, _name(other))
        self.why += f"{'; ' if self.why else ''}{_name(other)} went on where {_name(self.solver)} ended: {check.words}"
        self.solver = other
        values = getattr(state, "values", np.full(state.iteration + 1, began.value))
        self.latest = replace(
            began,
            iteration=state.iteration,
            values=np.append(values[:-1], began.value),
            first_value=getattr(state, "first_value", began.first_value),
            first_norm=state.first_norm,
        )
        return True

    def _whole_run(self) -> Steps[Result]:
        def on_iterate(state: Any) -> bool:
            if self.latest is None:
                _check_start(state)
            self.latest = state
            return self._told_to_stop(state, np.inf)

        self.latest, ended, words = self.solver.run(
            lambda x: self._ask(ValueGrad(x)), self.theta, self.tol, self.max_iter, on_iterate
        )
        status = Status.STOPPED if self.stop_reason else Status(ended)
        if status in (Status.CONVERGED, Status.LINE_SEARCH):
            self.check = check = yield from checking(self.objective, self.latest, self.solver)
            claim = check.known_by in ("columns", "estimate") and status is Status.CONVERGED  # all that is known
            if check.holds(self.tol) or (claim and replace(check, remaining_r2=self.tol).holds(self.tol)):
                return (yield from self._result(Status.CONVERGED, words))
            if (yield from self._goes_on_otherwise(check)):
                return (yield from self._iterate(self.latest))
            status = Status.LINE_SEARCH
        return (yield from self._result(status, words))

    def _spent(self) -> Spent:
        return Spent(
            self.objective.num_passes - self.first_pass,
            self.objective.num_sampled_passes - self.first_sampled,
            time.perf_counter() - self.began,
        )

    def keep(self) -> None:
        """Save the latest iterate, where checkpoints are wanted."""
        if self.writer is not None and self.latest is not None:
            self.writer.try_to_save(self.latest, self._spent())

    def _ask(self, request: Any) -> Any:
        """The answer for a solver that keeps its own loop."""
        if self.pressed.is_set():
            raise Interrupted
        return self.objective(request)

    def _told_to_stop(self, state: Any, optimality: float) -> bool:
        spent, slope = self._spent(), self.objective.steepest(state.theta, state.grad)
        iterate = Iterate(state.iteration, state.theta, state.value, slope, spent.passes, spent.seconds, optimality)
        for callback in self.callbacks:
            answer = callback(iterate)
            if answer:
                self.stop_reason = answer if isinstance(answer, str) else Status.STOPPED.message
        return bool(self.stop_reason)

    def _result(self, status: Status, words: str = "") -> Steps[Result]:
        state = self.latest
        resumable = not hasattr(self.solver, "run")
        optimality = self.solver.optimality(state) if resumable else np.inf
        check = self.check
        if check is None or status not in (Status.CONVERGED, Status.PRECISION, Status.LINE_SEARCH):
            linear = self.objective.blocks.parameters.predictors is not None
            check = Check(optimality, None, "columns" if linear else "estimate")
        told = () if self.pressed.is_set() else (yield from notices(self.objective, state, check, status))
        spent = self._spent()
        return Result(
            theta=state.theta,
            value=state.value,
            grad=self.objective.steepest(state.theta, state.grad),
            status=status,
            message=_message(status, self.stop_reason, check, words, told),
            optimality=optimality,
            remaining_r2=check.remaining_r2,
            score_r2=check.score_r2,
            known_by=check.known_by,
            notices=told,
            first_grad_norm=state.first_norm,
            iterations=state.iteration,
            resumed_at=self.resumed_at,
            passes=spent.passes,
            setup_passes=self.objective.num_setup_passes,
            sampled_passes=spent.sampled_passes,
            seconds=spent.seconds,
            solver=getattr(self.solver, "about", type(self.solver).__name__) + (f"; {self.why}" if self.why else ""),
            certificate=best_certificate(state.theta, state.value, state.grad, self.objective.facts, check.score_r2),
            state=state if resumable else None,
        )


def _message(status: Status, reason: str, check: Check, words: str, told: Sequence[Notice]) -> str:
    if status is Status.STOPPED:
        return reason
    ended = "stopped at the edge of what the link allows" if any(one.code == "edge" for one in told) else status.message
    of_check = check.words if status is Status.CONVERGED else ""
    more = "; ".join(filter(None, [of_check, words, *(one.words for one in told)]))
    return f"{ended} ({more})" if more else ended


def _name(solver: Any) -> str:
    return type(solver).__name__


def _check_start(state: Any) -> None:
    if not (np.isfinite(state.value) and np.isfinite(state.grad).all()):
        raise ValueError(
            f"the objective is not finite at the starting point: F = {state.value}; start elsewhere, or scale columns, "
            "targets and offsets"
        )
