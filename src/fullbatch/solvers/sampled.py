"""L-BFGS whose initial matrix is the Hessian of a sample of the rows: few passes, whatever the scales of columns."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..machine.vectors import dot
from ..objective.design import Design
from ..objective.measure import measure
from ..protocols.requests import Curvature, RowSample, SampleGrams, ValueGrad
from ..protocols.seams import Facts, Steps
from ..wording.arguments import check_flag, check_number, check_whole, is_number
from ._design import bytes_of_curvature, bytes_per_row, design, mean_squares
from ._memory import Inverse
from ._on_workers import hessian_by_workers
from .descent import along_gradient, check_precision, first_state, is_finite, precision_of, relative_decrease
from .lbfgs import WINDOW as PLAIN_WINDOW
from .lbfgs import LBFGSState, advance, check_memory, next_direction
from .low_rank import MOST_DIRECTIONS, bytes_of_directions, bytes_of_projections, low_rank_hessian, most_directions
from .preconditioners import bytes_of_matrices, missing_squares, refined, sampled_hessian

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

# A run counts as converged when F stood nearly still for the latest tenth of its iterations, and no fewer than these.
WINDOW = 2

# Rows of the sample for each parameter. Half as many are enough where it would be more than that share of all rows and
# take more than so many bytes: it then costs more time than the passes that it saves.
_ROWS_PER_COLUMN, _SHARE, _SMALL = 40.0, 0.25, 2**25

# The matrix is made anew once the curvature-weighted square of the way gone since then is this share of what F is
# measured by; and no sooner than after so many iterations for each time it was made.
FAR = 0.0045
LEAST_ITERATIONS = 5
LEAST_COUPLED = 3


@dataclass(frozen=True, eq=False)
class SampledState(LBFGSState):
    """As `LBFGSState`, and where the initial matrix was made: it is not saved but made again.

    Parameters
    ----------
    built_at, built_grad : (size,) arrays
        Iterate at which the matrix was made last, and gradient there.
    built_iteration : int
        Its iteration; before it was made for the first time, that at which it will be.
    builds : int
        How often it was made; 0 before it was.
    rank : int
        Its directions beside a diagonal; -1 for the whole matrix.
    """

    built_at: Array = field(default_factory=lambda: np.zeros(0))
    built_grad: Array = field(default_factory=lambda: np.zeros(0))
    built_iteration: int = 0
    builds: int = 0
    rank: int = -1


class _Made:
    """What one run keeps beside its state: it can be made again."""

    def __init__(self) -> None:
        self.rows: Design | None = None
        self.weight: Array | None = None
        self.missing: Array | None = None
        self.key: Any = None
        self.inverse: Inverse | None = None


@dataclass(frozen=True)
class SampledLBFGS:
    """L-BFGS with the Hessian of a sample of the rows as its initial matrix, for linear models.

    The sample's rows are gathered once, on the driver, or stay where they are; each time the matrix is made, the blocks
    answer with second derivatives of these rows. Under a loss that is not quadratic it is made again as theta moves on.

    Parameters
    ----------
    memory : int
        Pairs kept; each takes two vectors of the size of theta.
    rows_per_column : float, optional
        Rows of the sample for each parameter of one linear predictor; with a `rank`, five times as many for each of its
        directions (50 of them at the least), but no more than without. Default: 40, or as few as 20 where they would be
        more than a quarter of all rows and take more than 32 MB.
    rank : int, optional
        For wide problems, a diagonal and at the most so many directions of large curvature instead of the whole matrix;
        0 for the diagonal alone. Default: the whole matrix where it takes no more than half of `max_bytes`, else as
        many directions as half of it allows, up to 50.
    most_builds : int
        How often the matrix is made at the most.
    plain_iterations : int
        Iterations of plain L-BFGS before the sample is gathered and the matrix made: on an easy problem they are all
        that is needed. The matrix is not made again before twice as many.
    every_step : bool
        For matrices that are made sooner than a pass: anew at every iterate that is far from where it was made. Pairs
        of earlier matrices, which tell of places left behind, are dropped. With rows enough that is nearly Newton's
        method.
    coupled : bool
        For several outputs of few columns: the whole Hessian of the sample, with what couples the outputs, instead of a
        matrix for each direction of them. It takes some ten times the work and a fraction of the passes: 385
        coefficients of seven classes, 12 instead of 40. Not beside a `rank`.
    on_workers : bool
        Where the matrix has room: the workers multiply the sample's rows with one another, each those of its blocks,
        and the rows need not travel. For clusters, and columns by the hundred. Not beside a `rank`, `coupled` or
        `inner_steps`, which take the rows to the driver.
    inner_steps : int
        For several outputs: conjugate-gradient steps on the whole Hessian of the sample, each time the matrix is used.
        They save passes (MNIST to 1e-6: a quarter with 3, half with 6) and take time on the driver: for data
        whose passes are slow.
    max_bytes : int
        Memory on the driver for the sample and the matrix. The sample is made smaller to keep to it; where the matrix
        that `rank` asks for, or the diagonal alone, takes more than half of it, the solver is refused.
    seed : int
        Of the sample.
    precision : {"float64", "float32"}, optional
        Precision in which the blocks compute; default: filled in by `minimize`.
    """

    memory: int = 20
    rows_per_column: float | None = None
    rank: int | None = None
    most_builds: int = 20
    plain_iterations: int = 0
    every_step: bool = False
    coupled: bool = False
    on_workers: bool = False
    inner_steps: int = 0
    max_bytes: int = 2**31
    seed: int = 0
    precision: str | None = None
    facts: Facts | None = field(default=None, repr=False, compare=False)
    _made: _Made = field(default_factory=_Made, repr=False, compare=False)

    requests: ClassVar[frozenset[type]] = frozenset({ValueGrad, RowSample, Curvature})
    state: ClassVar[type] = SampledState

    def __post_init__(self) -> None:
        check_memory(self.memory)
        check_precision(self.precision)
        if not (self.rows_per_column is None or (is_number(self.rows_per_column) and self.rows_per_column > 0)):
            raise ValueError(f"rows_per_column must be positive, got {self.rows_per_column!r}")
        if self.rank is not None:
            check_whole("rank", self.rank, 0)
        for name, least in (("most_builds", 1), ("plain_iterations", 0), ("inner_steps", 0), ("seed", None)):
            check_whole(name, getattr(self, name), least)
        check_flag("every_step", self.every_step)
        check_flag("coupled", self.coupled)
        check_flag("on_workers", self.on_workers)
        others = (("rank", self.rank is not None), ("coupled", self.coupled), ("inner_steps", self.inner_steps > 0))
        told = next((name for name, there in others if there), "")
        if self.on_workers and told:
            raise ValueError(f"on_workers leaves the sample's rows where they are, {told} needs them on the driver")
        check_number("max_bytes", self.max_bytes, finite=True)

    def for_problem(self, facts: Facts) -> "SampledLBFGS":
        """For this problem: says how much memory it will take before it takes it.

        Raises
        ------
        TypeError
            The model is not a linear one.
        ValueError
            `max_bytes` is not enough.
        """
        if facts.parameters.predictors is None:
            raise TypeError("SampledLBFGS needs a linear model: use 'lbfgs'")
        prepared = replace(self, precision=self.precision or facts.parameters.dtype, facts=facts, _made=_Made())
        if self.on_workers and SampleGrams not in facts.answers:
            raise TypeError("this model's blocks make no Gram matrices of samples: leave on_workers out")
        if self.rank is None and 2 * bytes_of_matrices(facts, self.coupled, self.on_workers) > self.max_bytes:
            prepared = replace(prepared, rank=most_directions(facts, self.max_bytes // 2), on_workers=False)
        if 2 * prepared._bytes > self.max_bytes:
            raise ValueError(
                f"the matrix of SampledLBFGS takes {prepared._bytes / 1e6:.3g} MB, more than half of max_bytes: "
                f"use SampledLBFGS(max_bytes={2 * prepared._bytes}) or 'lbfgs'"
            )
        logger.info(prepared.about)
        return prepared

    @property
    def sample_rows(self) -> float:
        """Expected rows of the sample."""
        facts = self._known
        columns = facts.width if self.rank is None else min(5 * max(self.rank, MOST_DIRECTIONS), facts.width)
        wanted = (self.rows_per_column or _ROWS_PER_COLUMN) * columns
        if self.rows_per_column is None:
            wanted = min(wanted, max(wanted / 2, _SHARE * facts.rows, _SMALL / self._row_bytes))
        held = self._held_of_row
        room = (self.max_bytes - self._bytes) / held if held else np.inf
        return float(min(wanted, room, facts.rows))

    @property
    def about(self) -> str:
        """The method in words, with the memory it takes."""
        later = f", made after {self.plain_iterations} iterations without it" if self.plain_iterations else ""
        later += ", made at every step" if self.every_step else ""
        later += ", multiplied where its rows are" if self.on_workers else ""
        what = "the whole Hessian" if self.coupled else "the Hessian"
        if self.rank is not None:
            what = f"diagonal and {self.rank} directions of the Hessian"
        return (
            f"L-BFGS with {what} of a sample of about {self.sample_rows:.0f} rows, "
            f"which takes up to {self.bytes_needed / 1e6:.3g} MB on the driver{later}"
        )

    @property
    def bytes_needed(self) -> float:
        """Memory that a run of this problem may take on the driver."""
        return self._bytes + self.sample_rows * self._held_of_row

    def init(self, theta: Array) -> Steps[SampledState]:
        """Evaluate the starting point, one pass, and make the matrix there unless plain iterations come first."""
        point = yield ValueGrad(theta)
        rank = -1 if self.rank is None else self.rank
        state = first_state(
            SampledState,
            theta,
            point,
            built_at=theta,
            built_grad=point.grad,
            built_iteration=self.plain_iterations,
            rank=rank,
        )
        return (yield from self._directed(state)) if is_finite(point) else state  # else the run will not begin

    def step(self, state: SampledState) -> Steps[SampledState]:
        """One iteration: a line search along -B^-1 g, usually one pass; where it is due, the matrix is made anew."""
        rank = None if state.rank < 0 else state.rank
        if rank != self.rank:  # the state goes on with the kind of matrix that it began with
            alike = replace(self, rank=rank, on_workers=self.on_workers and rank is None)
            return (yield from alike.step(state))
        inverse = yield from self._inverse(state)
        after = yield from advance(
            state, _fallbacks(state, inverse), self.memory, precision_of(self.precision), self.facts
        )
        if after.failure and not after.builds:  # the matrix may know a way on
            sooner = replace(after, failure="", stalled=0, built_iteration=after.iteration)
            after = yield from self._directed(sooner)
            return after if after.iteration > state.iteration else (yield from self.step(after))
        return after if after.failure else (yield from self._directed(after))

    def optimality(self, state: SampledState) -> float:
        """See `relative_decrease`: as for `LBFGS` until the matrix has shown what it is worth."""
        shown = state.builds > 1 or (state.builds == 1 and state.iteration >= state.built_iteration + WINDOW)
        return relative_decrease(state, max(WINDOW if shown else PLAIN_WINDOW, state.iteration // 10), self.facts)

    @property
    def _known(self) -> Facts:
        if self.facts is None:
            raise ValueError("the problem is not known yet: `minimize` calls for_problem(objective.facts) first")
        return self.facts

    @property
    def _bytes(self) -> int:
        """Of the matrix."""
        if self.rank is None:
            return bytes_of_matrices(self._known, self.coupled, self.on_workers)
        return bytes_of_directions(self._known, self.rank)

    @property
    def _row_bytes(self) -> int:
        """Of a row of the sample."""
        return bytes_per_row(self._known) + bytes_of_projections(self.rank or 0)

    @property
    def _held_of_row(self) -> int:
        """What the driver holds of a row: the second derivatives of several outputs, where it is not given the row."""
        if not self.on_workers:
            return self._row_bytes
        return bytes_of_curvature(self._known) if self._known.outputs > 1 else 0

    @property
    def _fraction(self) -> float:
        return self.sample_rows / self._known.rows

    def _directed(self, state: SampledState) -> Steps[SampledState]:
        """With its direction; by a new matrix where one is due."""
        if self._is_due(state):
            state = replace(
                state,
                built_at=state.theta,
                built_grad=state.grad,
                built_iteration=state.iteration,
                builds=state.builds + 1,
                steps=() if self.every_step else state.steps,
                changes=() if self.every_step else state.changes,
            )
        inverse = yield from self._inverse(state)
        return replace(state, direction=next_direction(state, inverse))

    def _is_due(self, state: SampledState) -> bool:
        if not state.builds:
            return state.iteration >= state.built_iteration
        if self._known.parameters.quadratic or state.builds >= self.most_builds:
            return False
        moved = dot(state.theta - state.built_at, state.grad - state.built_grad)
        between = 0 if self.every_step else LEAST_COUPLED if self.coupled else LEAST_ITERATIONS
        least = max(between * state.builds, 2 * self.plain_iterations)
        return state.iteration - state.built_iteration >= least and moved > FAR * measure(state, self.facts)

    def _inverse(self, state: SampledState) -> Steps[Inverse | None]:
        """The matrix that the state was reached with, asked for unless it is at hand; None before there is one."""
        if not state.builds:
            return None
        made = self._made
        key = (state.built_at.tobytes(), state.builds)
        if made.key != key:
            made.key = made.inverse = None  # its memory is free for the next
            # At the start the directions' matrices are alike, and not worth their price.
            shared = state.built_iteration == 0
            if self.on_workers:
                request = SampleGrams(state.built_at, fraction=self._fraction, seed=self.seed)
                made.inverse = yield from hessian_by_workers(request, self._known, shared)
            else:
                made.inverse = yield from self._by_driver(state.built_at, shared)
            made.key = key
        return made.inverse

    def _by_driver(self, theta: Array, shared: bool) -> Steps[Inverse | None]:
        made, facts = self._made, self._known
        if made.rows is None or made.weight is None:
            sample = yield RowSample(self._fraction, self.seed)
            made.rows, made.weight = design(sample, facts), sample.weight
        rows, weight = made.rows, made.weight
        curvature = yield Curvature(theta, "rows", self._fraction, self.seed)
        if self.rank is not None:
            start: Inverse | None = low_rank_hessian(rows, weight, curvature, facts, self.rank, self.seed)
        else:
            if made.missing is None:
                made.missing = missing_squares(mean_squares(rows, weight), facts)
            start = sampled_hessian(rows, weight, made.missing, curvature, facts, shared, self.coupled)
        return start and refined(start, rows, weight, curvature, facts, self.inner_steps)


def _fallbacks(state: SampledState, inverse: Inverse | None) -> Iterator[Array]:
    """Without the pairs; without the matrix. Made only when they are needed."""
    if inverse is not None:
        yield -inverse(state.grad[None])[0]
    yield along_gradient(state.grad)
