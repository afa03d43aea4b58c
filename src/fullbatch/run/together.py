"""Fits for many strengths of a penalty, of all rows and of the rows without each fold, advancing together.

One read of the data answers for all of them. Fits for neighbouring strengths, and those that leave a fold out, have
nearly the same Hessian: it is asked for where it has become too old, fold by fold, so that each fit has that of its own
rows, and the read that brings it brings loss and gradient of all. Where columns are many, and most of them stand at a
corner, it is that of the others and of those that may leave it. What a fold's rows lose under the fit to the others
comes with the same sums. A fit that does not go as the shared Hessian says is handed to a solver of its own, in
`lockstep`.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..machine.blas import one_thread
from ..machine.vectors import norm
from ..objective.groups import norm_curvature
from ..objective.objective import Objective
from ..protocols.requests import Curvature, Squares
from ..protocols.sampling import Draw
from ..protocols.seams import Facts, Penalty
from ..solvers.working_set import first_set
from ._by_part import ByPart, Rows, SquareSums
from ._counted import Counted, parts_for
from ._group import Group
from ._hessians import MATRIX_BYTES, Hessians, have_room, places_in, worth
from ._shared_fit import SHARED, Fit, by_working_set, go_on_in_lockstep, go_on_one_by_one
from .result import Status

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

# Fits under way, at the most.
_MOST_FITS = 400

# Eigenvalues of the intercepts' Hessian that are no more than this share of the largest are 0.
_LEAST = 1e-10

# Reads of a group of strengths after which the next one is smaller, beside those that a Hessian is worth.
_MANY_READS = 3

# What fits are known by, in the order of their numbers in checkpoints; the second one is of earlier versions.
_KNOWN = (SHARED, "own solver", "hessian", "sample", "directions", "columns", "estimate")
_STATUSES = tuple(status.value for status in Status)


@dataclass(frozen=True, eq=False)
class TogetherState:
    """Fits for the strengths so far, M for each: of all rows, and without each of the folds.

    Parameters
    ----------
    theta : (size,) array
        Of all rows, for the latest strength.
    iteration : int
        Strengths so far.
    thetas : (L, M, size) array
    loss : (L, M) array
        Mean loss over the rows that each fit counts.
    held_out : (L, M) array
        Mean loss over the rows of the fold that it does not; infinite for that of all rows.
    left, slope : (L, M) arrays
        By how much F can still fall, as `Result.remaining_r2`; and the norm of F's shortest subgradient.
    df : (L,) array
        Effective degrees of freedom of the fit of all rows, beside the intercept; infinite where they are not known.
    reads, status, known_by : (L, M) int arrays
        Reads that the fit took part in; numbers of its `Status` and of what it is known by.
    grads : (M, size) array
        Gradients of the mean losses of the latest strength.
    reference : (size,) array
        Where the latest Hessian was asked for; empty if none was.
    reference_loss : (J,) array
        Loss there, of each part of the rows.
    width : int
        Strengths of the next group.
    fresh : int
        Whether it begins with Hessians of its own: 0 or 1.
    slopes : (L, size) array
        Gradients of the mean loss of all rows, at the fits to them; infinite for strengths of a checkpoint that has
        none.
    columns : int array
        Those that the latest Hessian is of; empty for all of them.
    """

    theta: Array
    iteration: int
    thetas: Array
    loss: Array
    held_out: Array
    left: Array
    slope: Array
    df: Array
    reads: Array
    status: Array
    known_by: Array
    grads: Array
    reference: Array
    reference_loss: Array
    width: int = 1
    fresh: int = 1
    slopes: Array = field(default_factory=lambda: np.zeros((0, 0)))
    columns: Array = field(default_factory=lambda: np.zeros(0, np.int64))


@dataclass(eq=False)
class Together:
    """Fits for many strengths, of all rows and of those without each fold.

    Parameters
    ----------
    objective : Objective
        Blocks and variables of a linear model; its own penalty does not count.
    penalties : sequence of Penalty
        One for each strength, in the order in which fits start from one another.
    start : (size,) array
        Where the first begins.
    tol, max_iter : float, int
        As in `minimize`, for each.
    folds, seed : int
        Rows are dealt to so many folds, by `Draw`; 0 for none.
    of_sum : bool
        Whether strengths are those beside the mean loss of all rows, so that fits to fewer rows have larger ones: the
        penalty beside their sum is then the same.
    parts : Rows or SquareSums, optional
        What answers for the parts of the rows, where another run has it already; default: what `parts_of` makes.
    apart : bool
        Whether folds are no parts that add up to all rows, so that blocks deal (`models.by_row.Dealt`) 2 folds + 1
        parts: all rows, those of the fit without each fold, and those of each fold.
    """

    objective: Objective
    penalties: Sequence[Penalty]
    start: Array
    _: KW_ONLY
    tol: float
    max_iter: int
    folds: int = 0
    seed: int = 0
    of_sum: bool = False
    parts: Any = None
    apart: bool = False
    _latest: Hessians | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._facts, self._fits = self.objective.facts, 1 + self.folds
        if self.parts is None:
            self.parts = parts_of(self.objective, self.folds, self.apart, self.seed)
        self.counted = Counted(self.parts, self.folds, self.apart)

    @property
    def shares(self) -> bool:
        """Whether fits can go by a shared Hessian: a smooth and convex loss, and room for one."""
        parameters = self._facts.parameters
        smooth = parameters.convex and not (parameters.kinked or parameters.straight_from > 0)
        if not (smooth and Curvature in self._facts.answers):
            return False
        return self._takes_some or have_room(self._facts, self.counted.parts_in_all)

    @cached_property
    def _takes_some(self) -> bool:
        """Whether that is a Hessian of some of the columns."""
        if isinstance(self.parts, SquareSums) or not self.penalties:
            return False
        return by_working_set(self.objective_of(0, 0))

    def run(self, state: TogetherState | None, after: Callable[[TogetherState], None]) -> TogetherState:
        """All fits that are still to be made.

        Parameters
        ----------
        state : TogetherState, optional
            To go on from, after `loss_where_known`.
        after : callable
            Called with the state after each group of strengths.
        """
        if state is None:
            state = self._first()
        while state.iteration < len(self.penalties):
            state = self._group(state) if self.shares else self._one(state)
            after(state)
        return state

    def loss_where_known(self, state: TogetherState) -> tuple[Array, Array]:
        """The loss at a place of an earlier part of the run, here and there; the Hessian is asked for again."""
        shared = len(state.reference) > 0
        before = self.objective.num_passes
        answer = self._ask(state.reference if shared else state.theta, state.columns)
        self.objective.num_setup_passes += self.objective.num_passes - before
        self.objective.num_passes = before
        if shared:
            return answer.value[:, 0], state.reference_loss
        return np.atleast_1d(self.counted.mean(0, answer.value[:, 0])), state.loss[-1:, 0]

    def _ask(self, theta: Array, columns: Array) -> ByPart:
        """Sums at a place, with the Hessian if fits share it: of some columns, if there are any."""
        if not self.shares:
            return self.parts.ask(theta[None])
        if self._takes_some and not len(columns):
            columns = first_set(self.problem(0, 0), theta)
        of = [columns] if len(columns) else []
        answer = self.parts.ask(theta[None], [0], *of)
        self._latest = Hessians(answer.matrix[0], theta, answer.value[:, 0], *of)
        return answer

    def _first(self) -> TogetherState:
        size = self._facts.parameters.size
        theta = self.penalties[0].nearest(np.asarray(self.start, np.float64)) if self.penalties else self.start
        answer = self._ask(theta, np.zeros(0, np.int64))
        empty = [number for number in range(self._fits) if not self.counted.total(number) > 0]
        if empty:
            raise DataError(
                f"all rows with a weight are in fold {empty[0] - 1}, so that the others have none: choose another seed"
            )
        if not (np.isfinite(answer.value).all() and np.isfinite(answer.grad).all()):
            raise ValueError("the objective is not finite at the starting point: scale columns, targets and offsets")
        none = np.zeros((0, self._fits))
        grads = np.array([self.counted.mean(number, answer.grad[:, 0]) for number in range(self._fits)])
        return TogetherState(
            theta, 0, np.zeros((0, self._fits, size)), none, none, none, none, np.zeros(0),
            none.astype(np.int64), none.astype(np.int64), none.astype(np.int64), grads,
            theta if self.shares else np.zeros(0), answer.value[:, 0],
        )  # fmt: skip

    def held_out_at(self, number: int, theta: Array) -> float:
        """Mean loss at some theta over the rows of the fold that a fit does not count: a pass, or none."""
        return self.counted.held_out(number, self.parts.ask(theta[None]).value[:, 0]) if number else np.inf

    def objective_of(self, strength: int, number: int) -> Objective:
        """What a fit minimises, by itself."""
        facts = self.problem(strength, number)
        assert facts.penalty is not None
        draw = None
        if number:
            draw = Draw("without", number - 1, self.folds, self.seed)
            if self.apart:
                draw = Draw("only", number, self.counted.parts_in_all, self.seed)
        null = (facts.least, facts.parameters.null) if number else None
        return self.objective.with_penalty(facts.penalty, draw, null)

    def problem(self, strength: int, number: int) -> Facts:
        """What is known of it."""
        penalty, all_rows = self.penalties[strength], number == 0
        if self.of_sum and not all_rows:
            share = self.counted.total(0) / self.counted.total(number)
            penalty = penalty.times(share)
        facts = replace(self._facts, l2=penalty.l2, penalty=penalty)
        if all_rows:
            return facts
        least, null = self.counted.nulls[number]
        return replace(facts, least=least, parameters=replace(facts.parameters, null=null))

    def _begun(self, state: TogetherState, strength: int) -> list[Fit]:
        """The fits for a strength, where those for the latest one ended."""
        done = state.iteration > 0
        fits = []
        for number in range(self._fits):
            theta = state.thetas[-1, number] if done else state.theta
            loss = float(state.loss[-1, number] if done else self.counted.mean(number, state.reference_loss))
            fits.append(Fit(strength, number, self.problem(strength, number), theta, loss, state.grads[number]))
        return fits

    def _group(self, state: TogetherState) -> TogetherState:
        """The state after the next few strengths, which share their reads."""
        latest = self._latest
        assert latest is not None
        parts = max(self.counted.parts_in_all, 1)
        room = MATRIX_BYTES // max(latest.matrix.nbytes, self._fits * parts * latest.theta.nbytes)
        width = max(1, min(state.width, room, _MOST_FITS // self._fits))
        strengths = range(state.iteration, min(state.iteration + width, len(self.penalties)))
        fits = [fit for strength in strengths for fit in self._begun(state, strength)]
        ends = self.tol, self.max_iter
        group = Group(fits, latest, self._facts, self.penalties, self.counted, *ends, bool(state.fresh))
        group.run()
        alone = [fit for fit in fits if fit.alone]
        if alone:
            self._by_themselves(alone)
        self._latest = latest = group.hessians[strengths[-1]]
        few = group.reads <= _MANY_READS + worth(self._facts, self._fits, latest.columns) and not alone
        df = [self._df(fit, group.hessians[fit.strength]) for fit in fits if fit.number == 0]
        return replace(
            self._kept(state, fits, df),
            reference=latest.theta,
            reference_loss=latest.loss,
            columns=np.zeros(0, np.int64) if latest.columns is None else latest.columns,
            width=2 * width if few else max(1, width // 2),
            fresh=int(group.slow),
        )

    def _one(self, state: TogetherState) -> TogetherState:
        """The state after the next strength, whose fits go by solvers of their own."""
        fits = self._begun(state, state.iteration)
        for fit in fits:
            fit.alone = True
        self._by_themselves(fits)
        return self._kept(state, fits, [self._df(fits[0], None)])

    def _by_themselves(self, fits: list[Fit]) -> None:
        """Fits by solvers of their own, in lockstep where these can: each begins where it is. Sums of squares tell
        where those without corners have their minimum.
        """
        if isinstance(self.parts, SquareSums):
            for fit in fits:
                if not fit.penalty.parts:
                    self._solve(fit, self.parts)
        going = [fit for fit in fits if fit.status is None]
        if going:
            logger.info("%d fits go on by solvers of their own", len(going))
            objectives = [self.objective_of(fit.strength, fit.number) for fit in going]
            single = len(going) == 1 and objectives[0].draw is None
            some = (self._takes_some or single) and by_working_set(objectives[0])
            if some or not go_on_in_lockstep(going, objectives, self.objective, self.tol, self.max_iter):
                go_on_one_by_one(going, objectives, self.objective, self.tol, self.max_iter)
        answer = self.parts.ask(np.array([fit.theta for fit in fits]))
        for row, fit in enumerate(fits):
            fit.loss = float(self.counted.mean(fit.number, answer.value[:, row]))
            fit.grad = self.counted.mean(fit.number, answer.grad[:, row])
            fit.held_out = self.counted.held_out(fit.number, answer.value[:, row])

    def _solve(self, fit: Fit, sums: SquareSums) -> None:
        """The minimum, from sums of squares."""
        fit.theta, fit.left = sums.minimum(self.counted.parts_of(fit.number), fit.penalty.l2)
        fit.status = Status.CONVERGED if fit.left <= self.tol else Status.PRECISION
        fit.known_by = "hessian"

    def _df(self, fit: Fit, hessians: Hessians | None) -> float:
        """Effective degrees of freedom beside the intercept: those of the columns that are used, less what L2 and norms
        of groups take.
        """
        penalty, theta = fit.penalty, fit.theta
        free = (theta != 0) & (theta > penalty.lower) & (theta < penalty.upper)
        penalized = self._facts.parameters.penalized
        used = float((free & penalized).sum())
        if not penalty.l2.any() and penalty.groups is None:
            return used
        if hessians is None:
            return np.inf
        own, others = np.flatnonzero(free & penalized), np.flatnonzero(~penalized)
        if not own.size:
            return 0.0
        whole, places = self.counted.mean(0, hessians.matrix), places_in(self._facts, hessians.columns)
        inside, outside = places[own], places[others]
        if (inside < 0).any():  # it went by itself
            return np.inf
        with one_thread():
            # Less what the intercepts explain of it, of which one may be a combination of others.
            beside = np.linalg.pinv(whole[np.ix_(outside, outside)], _LEAST, True)
            cross = whole[np.ix_(inside, outside)]
            matrix = whole[np.ix_(inside, inside)] - cross @ beside @ cross.T
            pulled = np.diag(penalty.l2[own]) + norm_curvature(penalty.of_coordinates(own), theta[own])
            return float(np.linalg.lstsq(matrix + pulled, matrix, rcond=None)[0].trace())

    def _kept(self, state: TogetherState, fits: list[Fit], df: list[float]) -> TogetherState:
        """The state with these fits."""

        def added(before: Array, of: Callable[[Fit], Any]) -> Array:
            new = np.array([of(fit) for fit in fits], before.dtype)
            return np.concatenate((before, new.reshape(-1, self._fits, *new.shape[1:])))

        last = fits[-self._fits :]
        slopes = np.full((state.iteration, self._facts.parameters.size), np.inf)
        if len(state.slopes) == state.iteration:
            slopes = state.slopes.reshape(slopes.shape)
        return replace(
            state,
            theta=last[0].theta,
            iteration=state.iteration + len(fits) // self._fits,
            thetas=added(state.thetas, lambda fit: fit.theta),
            loss=added(state.loss, lambda fit: fit.loss),
            held_out=added(state.held_out, lambda fit: fit.held_out),
            left=added(state.left, lambda fit: fit.left),
            slope=added(state.slope, lambda fit: norm(fit.slope)),
            df=np.concatenate((state.df, df)),
            reads=added(state.reads, lambda fit: fit.reads),
            status=added(state.status, lambda fit: _STATUSES.index((fit.status or Status.MAX_ITER).value)),
            known_by=added(state.known_by, lambda fit: _KNOWN.index(fit.known_by)),
            grads=np.array([fit.grad for fit in last]),
            slopes=np.vstack((slopes, *(fit.grad for fit in fits if fit.number == 0))),
        )


def parts_of(objective: Objective, folds: int, apart: bool, seed: int) -> Rows | SquareSums:
    """What answers for all rows, or for each of their parts: sums of one read where these are enough."""
    facts, parts = objective.facts, parts_for(folds, apart)
    kind = SquareSums if Squares in facts.answers and have_room(facts, parts) else Rows
    return kind(objective, parts, seed)


def statuses(state: TogetherState) -> list[list[str]]:
    """How each fit ended, (L, M)."""
    return [[_STATUSES[number] for number in row] for row in state.status.tolist()]


def known(state: TogetherState) -> list[list[str]]:
    """What each fit's `left` is known by, (L, M)."""
    return [[_KNOWN[number] for number in row] for row in state.known_by.tolist()]


def smallest_penalty(unit: Penalty, grad: Array) -> Iterator[float]:
    """For each coordinate, what must multiply a penalty of strength 1 so that it stays at zero under this gradient."""
    alone = ~unit.grouped
    for slope, pull, lower, upper in zip(*(a[alone] for a in (grad, unit.l1, unit.lower, unit.upper)), strict=True):
        outward = max(-slope if upper > 0 else 0.0, slope if lower < 0 else 0.0, 0.0)
        if pull > 0:
            yield outward / pull
    yield from unit.dual_norms(grad)
