"""Which solver for which problem: a cost model over shapes with fixed constants.

It never looks at a clock or at the machine, so that the same problem gets the same solver, and the same bits,
everywhere. The constants are seconds on a small machine; only their ratios matter.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..protocols.requests import Curvature, RowSample, SampleGrams, Squares
from ..protocols.seams import Facts, Penalty
from ._design import stays_sparse
from .lbfgs import LBFGS
from .least_squares import LeastSquares
from .low_rank import bytes_of_directions, most_directions, projections
from .newton import Newton
from .owlqn import OWLQN
from .preconditioners import MOST_GRAMS, bytes_of_matrices
from .proximal import ProximalNewton
from .sampled import SampledLBFGS

# Seconds to read a byte of a feature, and for one product of it with a coefficient, forward and back; for the same
# through an index; for the loss of one predictor of a row; and for a round trip to the workers.
_READ, _PRODUCT, _LOOK_UP, _LOSS, _ROUND = 2e-11, 4e-12, 1e-9, 2e-9, 1e-3

# Seconds for one product in a Gram matrix by a fused pass, the same in wide and more for each column in narrow ones; by
# sums of squares on the workers; for a byte of it on the driver, and there for one of sparse rows; for one in a matrix
# decomposition; for a byte of a matrix that is multiplied with a vector; and for a byte of a random projection.
_FUSED, _FUSED_NARROW, _SQUARES, _GRAM, _ENTRIES, _FACTOR = 1.1e-11, 2e-10, 2e-11, 1.9e-12, 4e-9, 1e-10
_TIMES, _PROJECTED = 5e-11, 1.8e-11

# Passes to a relative distance of about 1e-8, as measured by benchmarks/solvers.
_PASSES = {
    "newton": 8,
    "sampled-lbfgs": 12,
    "sampled-lbfgs, every step": 8,
    "sampled-lbfgs, classes": 40,
    "sampled-lbfgs, few classes": 26,
    "sampled-lbfgs, coupled": 14,
    "low rank": 25,
    "low rank, classes": 120,
    "lbfgs": 150,
    "lbfgs, classes": 250,
}

# Rows for each column of a sample whose Hessian takes no more than that share of a pass, and is made at every step.
_MANY_ROWS, _CHEAP = 400.0, 0.5

# The same of one whose matrix is of all outputs, of no more parameters than these; and how many times what a product in
# one Gram matrix takes it takes in those that couple outputs.
_ROWS_OF_ALL, _FEW, _CROSSED = 200.0, 1000, 2.5

# The workers make the matrix of one output where it takes no more than so many passes: on a small machine that takes
# half as long again, a few hundredths of the whole; on a cluster, where a pass takes a fraction, it keeps its share. Of
# fewer columns the driver's time is nothing.
_SHORT, _MANY_COLUMNS = 0.6, 256

# Share of the rows that make up most of the second derivatives of one class, where several have matrices of their own.
_CURVED = 0.25

# Where a loss in float64 has no known second derivatives, long memory is what accuracy comes from.
_LONG_MEMORY, _SHORT_MEMORY, _LONG_MEMORY_BYTES = 100, 5, 2**28


@dataclass(frozen=True, slots=True)
class Choice:
    """A solver, and why.

    Parameters
    ----------
    name : str
        As `make_solver` takes it.
    solver : Solver
        With its options.
    reason : str
        In words.
    seconds : float
        What the model estimates.
    variant : str
        What tells it from another choice of that name.
    """

    name: str
    solver: Any
    reason: str
    seconds: float = 0.0
    variant: str = ""

    @property
    def about(self) -> str:
        """Name and variant."""
        return f"{self.name} {self.variant}".rstrip()


def choose(facts: Facts) -> Choice:
    """The solver for a problem.

    Parameters
    ----------
    facts : Facts
        Shapes, penalty, and what the blocks answer.
    """
    best, *others = choices(facts)
    if not others:
        return best
    outputs, width = facts.outputs, facts.width
    of_outputs = f" for each of {outputs} outputs" if outputs > 1 else ""
    against = "; ".join(f"{other.about} {other.seconds:.2g}" for other in others)
    reason = f"of {facts.rows:,} rows and {width:,} parameters{of_outputs}: {best.reason}"
    return replace(best, reason=f"{reason} (estimated cost {best.seconds:.2g}; {against})")


def choices(facts: Facts) -> list[Choice]:
    """The solvers for a problem, the one that is thought to be the quickest first."""
    if facts.penalty is not None:
        return [_of_corners(facts, facts.penalty)]
    if facts.parameters.predictors is None or Curvature not in facts.answers:
        return [_without_curvature(facts)]
    return sorted(_candidates(facts), key=lambda choice: choice.seconds)


def _of_corners(facts: Facts, penalty: Penalty) -> Choice:
    """Where the loss is convex and the Hessian has room, that of all columns or of a working set, by it; else by
    gradients.
    """
    why, newton = f"the penalty has {' and '.join(sorted(penalty.parts))}", ProximalNewton()
    size = facts.parameters.size
    has_room = newton.takes_some(facts) or newton.bytes_for(size) <= newton.max_bytes
    if facts.parameters.convex and newton.requests <= facts.answers and has_room:
        return Choice("proximal-newton", newton, why)
    lacks = "the Hessian has no room" if facts.parameters.convex else "the loss is not convex"
    if Curvature not in facts.answers:
        lacks = "the model gives none" if "groups" in penalty.parts else "the model gives no second derivatives"
    if "groups" in penalty.parts:
        raise ValueError(f"norms of groups need second derivatives, and {lacks}: use l1, without groups")
    pairs = int(np.clip(_LONG_MEMORY_BYTES // (16 * size), _SHORT_MEMORY, OWLQN().memory))
    return Choice("owl-qn", OWLQN(memory=pairs), f"{why}, and {lacks}")


def _without_curvature(facts: Facts) -> Choice:
    size, memory = facts.parameters.size, LBFGS().memory
    if facts.parameters.dtype == "float64" and 16 * size * _LONG_MEMORY <= _LONG_MEMORY_BYTES:
        memory = _LONG_MEMORY
    reason = f"the model gives no second derivatives: L-BFGS with a memory of {memory} pairs"
    return Choice("lbfgs", LBFGS(memory=memory), reason)


def seconds_of_pass(facts: Facts, models: int = 1) -> float:
    """What the cost model estimates for loss and gradient of one or more linear models."""
    outputs, bytes_ = models * facts.outputs, _bytes(facts)
    columns = facts.width if facts.dense_columns is None else facts.dense_columns
    dense = columns * bytes_ * (_READ + outputs * _PRODUCT)
    return facts.rows * (dense + outputs * (facts.looked_up * _LOOK_UP + _LOSS)) + _ROUND


def seconds_of_hessian(facts: Facts) -> float:
    """What it estimates for the whole Hessian, beside loss and gradient."""
    width, outputs = facts.width, facts.outputs
    return facts.rows * width**2 * outputs * (outputs + 1) / 2 * (_FUSED + _FUSED_NARROW / width)


def _bytes(facts: Facts) -> int:
    """Of a number."""
    return np.dtype(facts.parameters.dtype).itemsize


def _candidates(facts: Facts) -> Iterator[Choice]:
    outputs, width = facts.outputs, facts.width
    pass_ = seconds_of_pass(facts)
    square = facts.rows * width * width
    squares = LeastSquares()
    if Squares in facts.answers and squares.bytes_for(width) <= squares.max_bytes:
        cost = square * _SQUARES + width**3 * _FACTOR + _ROUND
        yield Choice("least-squares", squares, "the loss is squared: one pass is enough", cost)
    newton, size = Newton(), outputs * width
    if newton.bytes_for(size) <= newton.max_bytes:
        cost = _PASSES["newton"] * (pass_ + seconds_of_hessian(facts) + 10 * size**3 * _FACTOR)
        yield Choice("newton", newton, "few enough parameters for the whole Hessian", cost)
    if RowSample in facts.answers:
        yield from _of_samples(facts, pass_)
    cost = _PASSES["lbfgs" if outputs == 1 else "lbfgs, classes"] * pass_
    yield Choice("lbfgs", LBFGS(), "passes are cheap beside a matrix of that width", cost)


def _of_samples(facts: Facts, pass_: float) -> Iterator[Choice]:
    """With the whole Hessian of the sample, and with its largest directions only."""
    outputs, width, sampled = facts.outputs, facts.width, SampledLBFGS()
    if 2 * bytes_of_matrices(facts) <= sampled.max_bytes:
        yield from _with_matrices(facts, pass_)
    rank = most_directions(facts, sampled.max_bytes // 2)
    if 2 * bytes_of_directions(facts, rank) <= sampled.max_bytes:
        low_rank = SampledLBFGS(rank=rank)
        rows = replace(low_rank, facts=facts).sample_rows
        sparse = stays_sparse(facts)
        product = _LOOK_UP if sparse else _bytes(facts) * _PROJECTED
        build = rows * _stored(facts) * projections(rank, all_of_them=not sparse) * product + 2 * _ROUND
        solves = 8 * outputs * width * rank * _TIMES  # float32, read twice
        cost = _PASSES["low rank" if outputs == 1 else "low rank, classes"] * (pass_ + solves) + 2 * build
        low_rank = replace(low_rank, plain_iterations=_plain_iterations(build, pass_))
        why = f"{rank} directions of a sample's Hessian save passes"
        yield Choice("sampled-lbfgs", low_rank, why, cost, f"with {rank} directions")


def _with_matrices(facts: Facts, pass_: float) -> Iterator[Choice]:
    """With one matrix for each output, made seldom or at every step; and with one of all outputs."""
    outputs, width = facts.outputs, facts.width
    of_row = width * width * _bytes(facts) * _GRAM
    if stays_sparse(facts):
        of_row = min(of_row, _stored(facts) ** 2 * _ENTRIES)
    solves = 2 * outputs * width * width * _bytes(facts) * _TIMES

    def build_of(solver: SampledLBFGS, grams: float, size: int) -> float:
        """What a matrix of `size` parameters takes, from so many Gram matrices of the sample."""
        rows = replace(solver, facts=facts).sample_rows
        return grams * rows * of_row + size**3 * _FACTOR / 6 + 2 * _ROUND

    often = SampledLBFGS(rows_per_column=_MANY_ROWS, every_step=True)
    if outputs == 1 and (build := build_of(often, 1, width)) <= _CHEAP * pass_:
        cost = _PASSES["sampled-lbfgs, every step"] * (pass_ + solves + build)
        yield Choice("sampled-lbfgs", often, "the Hessian of a sample is made sooner than a pass", cost)
        return
    few = outputs * width <= _FEW
    grams = 1 if outputs == 1 or outputs > MOST_GRAMS else max(1.0, outputs * _CURVED)
    build = build_of(SampledLBFGS(), grams, width) + (outputs - 1) * width**3 * _FACTOR / 6
    passes = "sampled-lbfgs" if outputs == 1 else f"sampled-lbfgs, {'few classes' if few else 'classes'}"
    for_workers = outputs == 1 and width > _MANY_COLUMNS and not stays_sparse(facts) and build <= _SHORT * pass_
    on_workers = for_workers and SampleGrams in facts.answers
    seldom = SampledLBFGS(plain_iterations=_plain_iterations(build, pass_), on_workers=on_workers)
    cost = _PASSES[passes] * (pass_ + solves) + 2 * build
    yield Choice("sampled-lbfgs", seldom, "the Hessian of a sample saves most passes", cost)
    if outputs > 1 and few:
        whole = SampledLBFGS(rows_per_column=_ROWS_OF_ALL, coupled=True)
        build = build_of(whole, _CROSSED * outputs**2, outputs * width)  # the first one is shared, and cheap
        cost = _PASSES["sampled-lbfgs, coupled"] * (pass_ + outputs / 2 * solves) + 2 * build
        yield Choice("sampled-lbfgs", whole, "the whole Hessian of a sample saves most passes", cost, "of all outputs")


def _stored(facts: Facts) -> float:
    """Values of a row of the sample."""
    return facts.looked_up + (facts.dense_columns or 0) if stays_sparse(facts) else facts.width


def _plain_iterations(build: float, pass_: float) -> int:
    """Iterations of plain L-BFGS that take as long as making a matrix: where they are enough it is never made, and
    where they are not it comes at no more than twice the price.
    """
    return int(build / pass_)
