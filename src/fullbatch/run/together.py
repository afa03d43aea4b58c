"""Fits for many strengths of a penalty, of all rows and of the rows without each fold, advancing together.

One read of the data answers for all of them. Fits for neighbouring strengths, and those that leave a fold out, have
nearly the same Hessian: it is asked for where it has become too old, fold by fold, so that each fit has that of its own
rows, and the read that brings it brings loss and gradient of all. What a fold's rows lose under the fit to the others
comes with the same sums. A fit that does not go as the shared Hessian says is handed to a solver of its own, in
`lockstep`.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..machine.blas import one_thread
from ..objective.groups import norm_curvature
from ..objective.objective import Objective
from ..protocols.requests import Curvature, Squares
from ..protocols.sampling import Draw
from ..protocols.seams import Facts, Penalty
from ..solvers.auto import seconds_of_hessian, seconds_of_pass
from ._by_part import ByPart, Rows, SquareSums
from ._nulls import Null
from ._shared_fit import SHARED, Fit, by_working_set, go_on_in_lockstep, go_on_one_by_one
from .result import Status

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

# Bytes of Hessians that are kept for the strengths under way, and fits under way, at the most.
_MATRIX_BYTES, _MOST_FITS = 2**27, 400

# Strengths that differ by no more than this factor share a Hessian.
_NEAR = 1.5

# Parameters up to which a path of sparse fits shares Hessians of all columns; beyond, data has so many values for each
# number of a Hessian.
_MOST_SHARED, _OF_VALUES = 512, 4

# Hessians of one strength at the most.
_MOST_MATRICES = 6

# Eigenvalues of the intercepts' Hessian that are no more than this share of the largest are 0.
_LEAST = 1e-10

# Reads of a group of strengths after which the next one is smaller, beside those that a Hessian is worth; and what one
# is worth at the most.
_MANY_READS, _MOST_WORTH = 2, 5.0

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


class _Parts(Protocol):
    weight: Array

    def ask(self, thetas: Array, matrices: Sequence[int] = ()) -> ByPart: ...

    def nulls(self, counted: Sequence[Sequence[int]]) -> list[Null]: ...


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
    _hessians: Array | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        facts = self.objective.facts
        self._facts, self._fits = facts, 1 + self.folds
        if self.parts is None:
            self.parts = parts_of(self.objective, parts_for(self.folds, self.apart), self.seed)

    @property
    def fold_weights(self) -> Array:
        """Sum of the weights of each fold's rows, known after the first answer."""
        return self.parts.weight[-self.folds :] if self.apart else self.parts.weight

    @property
    def shares(self) -> bool:
        """Whether fits can go by a shared Hessian: a smooth and convex loss, and room for one."""
        parameters = self._facts.parameters
        smooth = parameters.convex and not (parameters.kinked or parameters.straight_from > 0)
        if not (smooth and Curvature in self._facts.answers and _have_room(self._facts, self._number_of_parts)):
            return False
        return isinstance(self.parts, SquareSums) or not self._by_working_sets

    @cached_property
    def _by_working_sets(self) -> bool:
        """Whether a Hessian of all columns is so large beside the data that fits to all rows go by columns in use."""
        facts = self._facts
        size, dense = facts.parameters.size, facts.width if facts.dense_columns is None else facts.dense_columns
        large = size > _MOST_SHARED and _OF_VALUES * size**2 >= facts.rows * (dense + facts.looked_up)
        return large and self._fits == 1 and by_working_set(self.objective_of(0, 0))

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
        answer = self.parts.ask((state.reference if shared else state.theta)[None], [0] if shared else [])
        self.objective.num_setup_passes += self.objective.num_passes - before
        self.objective.num_passes = before
        if shared:
            self._hessians = answer.matrix[0]
            return answer.value[:, 0], state.reference_loss
        return np.atleast_1d(self._of_fit(0, answer.value[:, 0])), state.loss[-1:, 0]

    def _first(self) -> TogetherState:
        size = self._facts.parameters.size
        theta = self.penalties[0].nearest(np.asarray(self.start, np.float64)) if self.penalties else self.start
        answer = self.parts.ask(theta[None], [0] if self.shares else [])
        empty = [number for number in range(self._fits) if not self._total(number) > 0]
        if empty:
            raise DataError(
                f"all rows with a weight are in fold {empty[0] - 1}, so that the others have none: choose another seed"
            )
        if not (np.isfinite(answer.value).all() and np.isfinite(answer.grad).all()):
            raise ValueError("the objective is not finite at the starting point: scale columns, targets and offsets")
        self._hessians = answer.matrix[0] if self.shares else None
        none = np.zeros((0, self._fits))
        grads = np.array([self._of_fit(number, answer.grad[:, 0]) for number in range(self._fits)])
        return TogetherState(
            theta, 0, np.zeros((0, self._fits, size)), none, none, none, none, np.zeros(0),
            none.astype(np.int64), none.astype(np.int64), none.astype(np.int64), grads,
            theta if self.shares else np.zeros(0), answer.value[:, 0],
        )  # fmt: skip

    @property
    def _number_of_parts(self) -> int:
        return parts_for(self.folds, self.apart)

    def _used(self, number: int, sums: Array) -> Array:
        """Of the sums over each part those over the parts that a fit counts."""
        if self.apart:
            return sums[number : number + 1]
        return sums if number == 0 else np.delete(sums, number - 1, axis=0)

    @cached_property
    def _nulls(self) -> list[Null]:
        """Of the rows of each fit."""
        parts = np.arange(self._number_of_parts)
        return self.parts.nulls([self._used(fit, parts).tolist() for fit in range(self._fits)])

    def _total(self, number: int) -> float:
        """Sum of the weights of a fit's rows."""
        return float(self._used(number, self.parts.weight).sum())

    def _of_fit(self, number: int, sums: Array) -> Any:
        """The mean over a fit's rows, from the sums over each part."""
        return self._used(number, sums).sum(axis=0) / self._total(number)

    def counted(self, number: int) -> list[int]:
        """The parts that a fit counts."""
        found: list[int] = self._used(number, np.arange(max(self._number_of_parts, 1))).tolist()
        return found

    def held_out_at(self, number: int, theta: Array) -> float:
        """Mean loss at some theta over the rows of the fold that a fit does not count: a pass, or none."""
        return self._held_out(number, self.parts.ask(theta[None]).value[:, 0]) if number else np.inf

    def objective_of(self, strength: int, number: int) -> Objective:
        """What a fit minimises, by itself."""
        facts = self.problem(strength, number)
        assert facts.penalty is not None
        draw = None
        if number:
            draw = Draw("without", number - 1, self.folds, self.seed)
            if self.apart:
                draw = Draw("only", number, self._number_of_parts, self.seed)
        null = (facts.least, facts.parameters.null) if number else None
        return self.objective.with_penalty(facts.penalty, draw, null)

    def problem(self, strength: int, number: int) -> Facts:
        """What is known of it."""
        penalty, all_rows = self.penalties[strength], number == 0
        if self.of_sum and not all_rows:
            share = self._total(0) / self._total(number)
            penalty = penalty.times(share)
        facts = replace(self._facts, l2=penalty.l2, penalty=penalty)
        if all_rows:
            return facts
        least, null = self._nulls[number]
        return replace(facts, least=least, parameters=replace(facts.parameters, null=null))

    def _begun(self, state: TogetherState, strength: int) -> list[Fit]:
        """The fits for a strength, where those for the latest one ended."""
        done = state.iteration > 0
        fits = []
        for number in range(self._fits):
            theta = state.thetas[-1, number] if done else state.theta
            loss = float(state.loss[-1, number] if done else self._of_fit(number, state.reference_loss))
            fits.append(Fit(strength, number, self.problem(strength, number), theta, loss, state.grads[number]))
        return fits

    def _group(self, state: TogetherState) -> TogetherState:
        """The state after the next few strengths, which share their reads."""
        size = self._facts.parameters.size
        room = _MATRIX_BYTES // (max(self._number_of_parts, 1) * 8 * size * size)
        width = max(1, min(state.width, room, _MOST_FITS // self._fits))
        strengths = range(state.iteration, min(state.iteration + width, len(self.penalties)))
        fits = [fit for strength in strengths for fit in self._begun(state, strength)]
        assert self._hessians is not None
        hessians = dict.fromkeys(strengths, self._hessians)
        places = dict.fromkeys(strengths, (state.reference, state.reference_loss))
        asked = dict.fromkeys(strengths, 0)
        for fit in fits:
            fit.aim(self._of_fit(fit.number, hessians[fit.strength]))
        fresh, needed, reads = set(strengths) if state.fresh else set(), False, 0
        while going := [fit for fit in fits if fit.open]:
            thetas = [fit.trial for fit in going]
            asking = self._neighbours(sorted(fresh))
            curved = []
            for strength, *_ in asking:
                row = next((i for i, fit in enumerate(going) if (fit.strength, fit.number) == (strength, 0)), None)
                if row is None:
                    thetas.append(next(fit.theta for fit in fits if (fit.strength, fit.number) == (strength, 0)))
                    row = len(thetas) - 1
                curved.append(row)
            answer = self.parts.ask(np.array(thetas), curved)
            reads += 1
            for place, (row, some) in enumerate(zip(curved, asking, strict=True)):
                for strength in some:
                    hessians[strength] = answer.matrix[place]
                    places[strength] = (thetas[row], answer.value[:, row])
                    asked[strength] += 1
            for row, fit in enumerate(going):
                self._take(fit, row, answer, hessians[fit.strength])
            slow = {fit.strength for fit in going if fit.open and not fit.reads_left(self.tol) <= self._worth}
            needed |= bool(slow)
            fresh = {s for s in slow if self._is_news(s, fits, places[s][0]) and asked[s] < _MOST_MATRICES}
        alone = [fit for fit in fits if fit.alone]
        if alone:
            self._by_themselves(alone)
        last = strengths[-1]
        self._hessians = hessians[last]
        width = 2 * width if reads <= _MANY_READS + self._worth and not alone else max(1, width // 2)
        df = [self._df(fit, hessians[fit.strength]) for fit in fits if fit.number == 0]
        return replace(
            self._kept(state, fits, df),
            reference=places[last][0],
            reference_loss=places[last][1],
            width=width,
            fresh=int(needed),
        )

    @cached_property
    def _worth(self) -> float:
        """How many reads of all fits for a strength take as long as a Hessian: at least one."""
        read = seconds_of_pass(self._facts, self._fits)
        return min(max(1.0, seconds_of_hessian(self._facts) / read), _MOST_WORTH)

    def _neighbours(self, strengths: Sequence[int]) -> list[list[int]]:
        """Strengths that share a Hessian, that of the first in a list: they are nearly the same."""
        shared: list[list[int]] = []
        one = np.ones(self._facts.parameters.size)
        sizes = {strength: self.penalties[strength].value(one) for strength in strengths}
        for strength in strengths:
            if shared and sizes[shared[-1][0]] <= _NEAR * sizes[strength]:
                shared[-1].append(strength)
            else:
                shared.append([strength])
        return [sorted(some, key=lambda strength: abs(strength - some[len(some) // 2])) for some in shared]

    def _is_news(self, strength: int, fits: list[Fit], place: Array) -> bool:
        """Whether the Hessian there would be another one than that at hand."""
        fit = next(fit for fit in fits if (fit.strength, fit.number) == (strength, 0))
        return not np.array_equal(fit.trial if fit.open else fit.theta, place)

    def _take(self, fit: Fit, row: int, answer: ByPart, hessians: Array) -> None:
        loss = float(self._of_fit(fit.number, answer.value[:, row]))
        grad = self._of_fit(fit.number, answer.grad[:, row])
        hessian = self._of_fit(fit.number, hessians)
        fit.take(loss, grad, self._held_out(fit.number, answer.value[:, row]), hessian, self.tol)

    def _held_out(self, number: int, value: Array) -> float:
        part = self.folds + number if self.apart else number - 1
        if number == 0 or not self.parts.weight[part] > 0:
            return np.inf
        return float(value[part] / self.parts.weight[part])

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
            some = len(going) == 1 and by_working_set(objectives[0])
            if some or not go_on_in_lockstep(going, objectives, self.objective, self.tol, self.max_iter):
                go_on_one_by_one(going, objectives, self.objective, self.tol, self.max_iter)
        answer = self.parts.ask(np.array([fit.theta for fit in fits]))
        for row, fit in enumerate(fits):
            fit.loss = float(self._of_fit(fit.number, answer.value[:, row]))
            fit.grad = self._of_fit(fit.number, answer.grad[:, row])
            fit.held_out = self._held_out(fit.number, answer.value[:, row])

    def _solve(self, fit: Fit, sums: SquareSums) -> None:
        """The minimum, from sums of squares."""
        fit.theta, fit.left = sums.minimum(self.counted(fit.number), fit.penalty.l2)
        fit.status = Status.CONVERGED if fit.left <= self.tol else Status.PRECISION
        fit.known_by = "hessian"

    def _df(self, fit: Fit, hessians: Array | None) -> float:
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
        whole = self._of_fit(0, hessians)
        with one_thread():
            # Less what the intercepts explain of it, of which one may be a combination of others.
            beside, cross = np.linalg.pinv(whole[np.ix_(others, others)], _LEAST, True), whole[np.ix_(own, others)]
            matrix = whole[np.ix_(own, own)] - cross @ beside @ cross.T
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
            slope=added(state.slope, lambda fit: float(np.linalg.norm(fit.slope))),
            df=np.concatenate((state.df, df)),
            reads=added(state.reads, lambda fit: fit.reads),
            status=added(state.status, lambda fit: _STATUSES.index((fit.status or Status.MAX_ITER).value)),
            known_by=added(state.known_by, lambda fit: _KNOWN.index(fit.known_by)),
            grads=np.array([fit.grad for fit in last]),
            slopes=np.vstack((slopes, *(fit.grad for fit in fits if fit.number == 0))),
        )


def parts_for(folds: int, apart: bool) -> int:
    """How many parts the rows have; 0 for one of all rows."""
    return 2 * folds + 1 if apart else folds


def parts_of(objective: Objective, parts: int, seed: int) -> Rows | SquareSums:
    """What answers for all rows, or for each of their parts: sums of one read where these are enough."""
    facts = objective.facts
    kind = SquareSums if Squares in facts.answers and _have_room(facts, parts) else Rows
    return kind(objective, parts, seed)


def _have_room(facts: Facts, parts: int) -> bool:
    """Whether a Hessian for each part can be kept."""
    return max(parts, 1) * 8 * facts.parameters.size**2 <= _MATRIX_BYTES


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
