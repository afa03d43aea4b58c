"""One of many fits that advance together: by a shared Hessian, and where that misleads by a solver of its own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..objective.hessian import SURE
from ..objective.measure import measure, relative
from ..objective.objective import Objective
from ..protocols.answers import Curves, Point
from ..protocols.requests import Curvature
from ..protocols.seams import Facts, Penalty
from ..solvers.auto import choose
from ..solvers.lbfgs import LBFGS
from ..solvers.local_minimum import LocalMinimum, local_minimum
from ..solvers.newton import Newton
from ..solvers.proximal import ProximalNewton
from .convergence import checked
from .driver import minimize
from .lockstep import look_at, runs_of
from .result import Status

Array = npt.NDArray[Any]

# What a fit is known by that went by a shared Hessian; others by what `Result.known_by` says.
SHARED = "shared hessian"

# A step is taken if it lowers F by this share of what was promised; and the least share of a step that is tried.
_TAKEN, _LEAST_SHARE = 0.1, 0.1

# What is left is believed once it has fallen by this factor from one read to the next, or is so small beside tol.
_FAST, _FAR_BELOW = 0.01, 0.01

# Reads before a fit is handed over.
_MOST_READS = 16

# A step of this share of a coordinate where next to nothing is left of F, and curvature that others leave so little of,
# may be those of an optimum at infinity.
_GROWING, _VANISHING = 0.02, 1e-5

# Parameters whose Hessian is nothing beside a read.
_FEW = 500

# Relative rounding of F in float64.
_ROUNDING = 1e-12


@dataclass(eq=False)
class Fit:
    """One fit under way: to all rows if `number` is 0, else to those without fold `number` - 1."""

    strength: int
    number: int
    facts: Facts
    theta: Array
    loss: float
    grad: Array
    local: LocalMinimum | None = None
    held_out: float = np.inf
    share: float = 1.0
    ratio: float = np.inf
    left: float = np.inf
    reads: int = 0
    status: Status | None = None
    alone: bool = False
    known_by: str = SHARED
    doubtful: bool = False  # whether it went by itself, or its own Hessian has it go on, or tells of next to nothing
    columns: Array | None = None  # that the Hessian it goes by is of; None for all
    widened: bool = False  # whether these are not those that it went by before the latest read

    @property
    def penalty(self) -> Penalty:
        assert self.facts.penalty is not None
        return self.facts.penalty

    @property
    def value(self) -> float:
        return self.loss + self.penalty.value(self.theta)

    @property
    def slope(self) -> Array:
        return self.penalty.steepest(self.theta, self.grad + self.penalty.l2 * self.theta)

    @property
    def open(self) -> bool:
        return self.status is None and not self.alone

    @property
    def others_move(self) -> bool:
        """Whether columns that the Hessian is not of would leave their corners."""
        return self.local is not None and self.local.others_move

    def aim(self, hessian: Array, columns: Array | None = None, tol: float = 0.0, near: Array | None = None) -> None:
        """Where the model has its minimum, by this Hessian of the mean loss, of all columns or of some; it may be near
        that of another fit.
        """
        l2, matrix = self.penalty.l2, hessian.copy()
        matrix[np.diag_indices(len(matrix))] += l2 if columns is None else l2[self.facts.coordinates(columns)]
        curves = Curves(matrix, Point(self.value, self.grad + l2 * self.theta))
        small = tol * measure(self._state, self.facts)
        self.local, self.share = local_minimum(curves, self.theta, self.facts, columns, small, near), 1.0
        self.alone = self.local is None
        self.widened, self.columns = columns is not self.columns, columns

    @property
    def trial(self) -> Array:
        assert self.local is not None
        end = self.local.theta
        return end if self.share == 1.0 else self.theta + self.share * (end - self.theta)

    def take(
        self, loss: float, grad: Array, held_out: float, hessian: Array, tol: float, columns: Array | None = None
    ) -> None:
        """Judge the trial point, and aim from there by this Hessian."""
        assert self.local is not None
        trial, promised, before = self.trial, self.share * self.local.left, self.local.left
        self.reads += 1
        value = loss + self.penalty.value(trial)
        rounding = _ROUNDING * abs(self.value)
        allowed = rounding if promised <= 10.0 * rounding else 0.0
        finite = np.isfinite(value) and np.isfinite(grad).all()
        if not (finite and value <= self.value - _TAKEN * promised + allowed):
            self.share *= 0.5
            self.alone = self.share < _LEAST_SHARE
            return
        whole = self.share == 1.0
        self.theta, self.loss, self.grad, self.held_out = trial, loss, grad, held_out
        self.aim(hessian, columns, tol)
        if self.local is None:
            return
        self.left = np.inf if self.others_move else self._left_by(self.local)
        self.ratio = self.local.left / before if whole and before > 0 else np.inf
        if self.left <= tol and (self.ratio <= _FAST or self.left <= _FAR_BELOW * tol):
            self.status = Status.CONVERGED
        self.alone = self.status is None and self.reads >= _MOST_READS

    def end_after(self, most: int) -> None:
        """End it where it has taken part in so many reads."""
        if self.status is None and self.reads >= most:
            self.status, self.alone = Status.MAX_ITER, False

    def look_at(self, hessian: Array, tol: float, columns: Array | None = None) -> None:
        """Hold what a shared Hessian says of a fit that has converged against that of its own rows there."""
        self.aim(hessian, columns)
        if self.local is not None:
            self.left, self.known_by = np.inf if self.others_move else self._left_by(self.local), "hessian"
            step = self.local.theta - self.theta
            goes_on = (step * self.theta > 0) & (np.abs(step) > _GROWING * np.abs(self.theta))
            self.doubtful = bool(goes_on.any()) or self.local.pivot <= _VANISHING
        if self.local is None or self.left > tol:
            self.status, self.alone = None, True

    def reads_left(self, tol: float) -> float:
        """How many reads it is from its end, if it goes on as by the latest one; infinite where that is not known."""
        if not 0.0 < self.ratio < 1.0:
            return 0.0 if self.ratio == 0.0 else np.inf
        end = tol if self.ratio <= _FAST else _FAR_BELOW * tol
        if not end > 0:
            return np.inf
        return math.log(max(self.left / end, 1.0)) / -math.log(self.ratio)

    def _left_by(self, local: LocalMinimum) -> float:
        """As `Result.remaining_r2`."""
        if not self.slope.any():
            return 0.0
        return relative(local.left + SURE * local.rounding, self._state, self.facts)

    @property
    def _state(self) -> Any:
        return SimpleNamespace(value=self.value)


def go_on_in_lockstep(
    fits: Sequence[Fit], objectives: Sequence[Objective], reads: Objective, tol: float, max_iter: int
) -> bool:
    """Let fits go on by solvers of their own, from where they are; False, and nothing done, where one has none.

    What they claim is checked as it is for a single fit (`convergence.checked`); what that needs of the place where a
    fit ended is read once for all. A fit whose claim does not hold goes on by itself.

    Parameters
    ----------
    fits : sequence of Fit
        Changed in place.
    objectives : sequence of Objective
        Theirs.
    reads : Objective
        Counts the reads of all.
    tol, max_iter : float, int
        As in `minimize`.
    """
    solvers = [_own_solver(objective) for objective in objectives]
    if any(solver is None for solver in solvers):
        return False
    ends = runs_of(objectives, solvers, [fit.theta for fit in fits], tol, max_iter)
    look_at(objectives, [state.theta for state, _ in ends])
    reads.num_passes += max(objective.num_passes for objective in objectives)
    for fit, objective, (state, solver) in zip(fits, objectives, ends, strict=True):
        together = objective.num_passes
        check, claims = checked(objective, state, solver, objective), solver.optimality(state) <= tol
        fit.theta, fit.left, fit.known_by, fit.doubtful = state.theta, check.remaining_r2, check.known_by, True
        if (claims or state.failure) and check.holds(tol):
            fit.status = Status.CONVERGED
        elif claims:
            go_on_alone(fit, objective, tol, max_iter)
        else:
            fit.status = Status(state.failure or "max_iter")
        reads.num_passes += objective.num_passes - together
        fit.reads += objective.num_passes
    return True


def go_on_alone(fit: Fit, objective: Objective, tol: float, max_iter: int) -> None:
    """Let a fit go on by itself, from where it is."""
    result = minimize(objective, fit.theta, tol=tol, max_iter=max_iter)
    fit.theta, fit.left, fit.known_by, fit.status = result.theta, result.remaining_r2, result.known_by, result.status
    fit.doubtful = True


def go_on_one_by_one(
    fits: Sequence[Fit], objectives: Sequence[Objective], reads: Objective, tol: float, max_iter: int
) -> None:
    """Let each fit go on by itself; arguments as of `go_on_in_lockstep`."""
    for fit, objective in zip(fits, objectives, strict=True):
        go_on_alone(fit, objective, tol, max_iter)
        fit.reads += objective.num_passes
        reads.num_passes += objective.num_passes


def by_working_set(objective: Objective) -> bool:
    """Whether a fit goes by Hessians of some of its columns. The columns in use at the last strength are the first of
    them; those of a sequential strong rule beside them saved 2 of 62 passes of a path of 800 x 4,500 and took seven
    times its seconds.
    """
    corners = bool(objective.penalty.parts) and Curvature in objective.facts.answers
    return corners and ProximalNewton().takes_some(objective.facts)


def goes_by_hessians(facts: Facts) -> bool:
    """Whether fits without corners go by Hessians of all parameters: these are few, or worth it to a single fit."""
    small = facts.parameters.size <= _FEW
    return Curvature in facts.answers and (small or choose(facts).name == "newton")


def _own_solver(objective: Objective) -> Any:
    """A solver that can go in lockstep with others; None where there is none for so many parameters, or for corners
    beside a loss that is not convex.
    """
    size, facts = objective.size, objective.facts
    if objective.penalty.parts and not facts.parameters.convex:
        return None
    if objective.penalty.parts:
        whole = ProximalNewton(working_set=False)  # a read for many fits brings Hessians of all columns
        return whole if whole.bytes_for(size) <= whole.max_bytes else None
    if goes_by_hessians(facts) and Newton.bytes_for(size) <= Newton().max_bytes:
        return Newton()
    return LBFGS() if objective.draw is not None or choose(facts).name == "lbfgs" else None
