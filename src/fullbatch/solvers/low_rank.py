"""Initial matrices for wide problems: a diagonal, and the directions in which the Hessian is largest.

The diagonal comes from the mean squares of all rows, which the set-up read told, and so is right for columns that the
sample has hardly seen. In columns scaled by it, the sample's Hessian is A'A, and its largest eigenvalues are those of
A A', which is as large as the sample has rows, and so much smaller: they and their directions are found by random
projections (Halko, Martinsson and Tropp, 2011, algorithm 4.4). All others are taken to be alike. The inverse of the sum
is Woodbury's.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..machine.eigen import eigh
from ..machine.threads import THREADS, in_threads
from ..objective.design import Design
from ..protocols.answers import RowCurvature
from ..protocols.seams import Facts
from ._design import mean_squares
from .preconditioners import Directions, directions

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

# Directions beside the diagonal, unless others are asked for.
MOST_DIRECTIONS = 50

# Directions that are looked for first. Only where all of them stand out from the noise of the sample are there more.
_FIRST = 10

# Random projections beyond the directions that are looked for, and how often they are multiplied with the matrix.
_EXTRA, _POWERS = 10, 2

# Arrays of vectors as long as a row is wide that a product takes. Up to that width all its vectors are made at the same
# time, by all threads; beyond it so many at a time, for the memory's sake.
_ARRAYS, _NARROW, _AT_A_TIME = 3, 2**16, 8

# Coordinates of which the products of directions are added at a time.
_CHUNK = 8192

# A column's curvature is no less than this share of its mean square times the mean curvature, whatever its few rows of
# the sample say: too much costs an iteration, too little a step that is too long.
_LEAST = 0.25

# What directions that were not found have of the trace at the least: more than rounding, which has directions as well.
_LEAST_OF_OTHERS = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class LowRankHessian:
    """B0^-1 of diag(d_j) + U U' for each direction j of the predictors, by Woodbury's formula.

    Parameters
    ----------
    predictors : (K, width) int array
        Coordinates of theta of each linear predictor.
    basis : (K, K) array
        Directions, in columns; those without curvature first.
    diagonals : (K, width) array
        The d_j.
    scale : (width,) array
    low : (width, r) float32 array
        U is their product, the same for all directions with curvature.
    cores : sequence of (r, r) arrays
        Inverses of the lower Cholesky factors of C_j^-1 + U' diag(d_j)^-1 U for the latest directions; C_j are their
        shares of U U'.
    """

    predictors: Array
    basis: Array
    diagonals: Array
    scale: Array
    low: Array
    cores: Sequence[Array]

    def __call__(self, vectors: Array) -> Array:
        """B0^-1 times each row of `vectors`, (m, size)."""
        rotated = np.einsum("kj,mkw->jmw", self.basis, vectors[:, self.predictors]) / self.diagonals[:, None]
        with one_thread():
            for j, core in enumerate(self.cores, len(self.basis) - len(self.cores)):
                along = np.zeros((self.low.shape[1], len(vectors)))
                for some in _chunks(self.low):
                    along += self.low[some].T @ (rotated[j, :, some] * self.scale[some]).T
                along = core.T @ (core @ along)
                for some in _chunks(self.low):
                    rotated[j, :, some] -= (self.low[some] @ along).T * (self.scale[some] / self.diagonals[j, some])
        result = np.empty_like(vectors)
        result[:, self.predictors] = np.einsum("kj,jmw->mkw", self.basis, rotated)
        return result


def bytes_of_directions(facts: Facts, rank: int) -> int:
    """Memory of the matrix, and of the projections while it is made."""
    at_a_time = rank + _EXTRA if facts.width <= _NARROW else min(_AT_A_TIME, rank + _EXTRA)
    made = _ARRAYS * at_a_time if rank else 5  # of the diagonal
    return int(facts.width * (4 * rank + 8 * made + 16 * facts.outputs))  # directions are float32


def bytes_of_projections(rank: int) -> int:
    """Memory for each row of the sample while the matrix is made."""
    return 8 * _ARRAYS * (rank + _EXTRA) if rank else 0


def most_directions(facts: Facts, room: int) -> int:
    """As many directions, up to MOST_DIRECTIONS, as take no more memory than that, with rows enough to show them."""

    def taken(rank: int) -> int:
        return bytes_of_directions(facts, rank) + 5 * rank * bytes_of_projections(rank)

    return next((rank for rank in range(MOST_DIRECTIONS, 0, -1) if taken(rank) <= room), 0)


def projections(rank: int, all_of_them: bool) -> int:
    """Products of the sample's rows with a vector, there and back, that making the matrix takes."""
    first = min(_FIRST, rank) + _EXTRA
    return 2 * (_POWERS + 1) * (first + (rank + _EXTRA if all_of_them and rank > _FIRST else 0)) if rank else 0


def low_rank_hessian(
    rows: Design, weight: Array, curvature: RowCurvature, facts: Facts, rank: int, seed: int
) -> LowRankHessian | None:
    """The matrix of a sample; None where second derivatives are not finite.

    Parameters
    ----------
    rows : Design
        The sample.
    weight : (m,) array
        The rows' sample weights.
    curvature : RowCurvature
        Of the same rows.
    facts : Facts
        Of the problem.
    rank : int
        Directions at the most, beside the diagonal.
    seed : int
        Of the projections.
    """
    from scipy.linalg import cholesky
    from scipy.linalg.lapack import dtrtri

    found = directions(curvature, float(weight.sum()), facts)
    if found is None:
        return None
    predictors = facts.predictors
    if found.flat == len(found.basis):  # no row of the sample has any curvature: the penalty is all there is
        diagonals = np.where(found.penalty > 0, found.penalty, found.floor)
        return LowRankHessian(
            predictors, found.basis, diagonals, np.ones(rows.width), np.zeros((rows.width, 0), np.float32), []
        )
    sampled = rows.squares(found.traces) / weight.sum()
    diagonal = _diagonal(rows, weight, sampled, found, facts)
    shares = found.eigenvalues[found.flat :] / found.eigenvalues[found.flat :].sum()
    damping = found.penalty[found.flat :].mean(axis=0) / shares.max()
    low, rest = _largest(rows, found, sampled, np.maximum(sampled, diagonal) + damping, rank, seed)
    scale = np.sqrt(diagonal + damping)
    diagonals = found.penalty.copy()
    diagonals[found.flat :] += shares[:, None] * (rest * diagonal)
    # Any positive number will do where there is no curvature: the gradient there is the penalty's alone.
    diagonals = np.where(diagonals > 0, diagonals, found.floor)
    cores = []
    if low.shape[1]:
        with one_thread():
            for share, own in zip(shares, diagonals[found.flat :], strict=True):
                core = np.eye(low.shape[1]) / share
                for some in _chunks(low):
                    core += low[some].T @ (low[some] * (scale[some] ** 2 / own[some])[:, None])
                cores.append(dtrtri(cholesky(core, lower=True, check_finite=False), lower=1)[0])
    return LowRankHessian(predictors, found.basis, diagonals, scale, low, cores)


def _chunks(low: Array) -> Iterator[slice]:
    """Of the coordinates: what float32 numbers become in products, float64, is then small."""
    return (slice(start, start + _CHUNK) for start in range(0, len(low), _CHUNK))


def _diagonal(rows: Design, weight: Array, sampled: Array, found: Directions, facts: Facts) -> Array:
    """Diagonal of the mean of all rows' trace(H_i) x_i x_i', from that of the sample's: mean squares of all rows times
    the curvature where they are.
    """
    plain, squares = mean_squares(rows, weight), np.ones(rows.width)
    if facts.squares is None:
        squares = plain
    else:
        squares[: len(facts.squares)] = facts.squares
    own = np.divide(sampled, plain, out=np.full_like(sampled, found.mean), where=plain > 0)
    with np.errstate(over="ignore"):
        diagonal = squares * np.maximum(own, _LEAST * found.mean)
    return np.nan_to_num(diagonal, nan=0.0, posinf=1e300)


def _largest(
    rows: Design, found: Directions, sampled: Array, whole: Array, rank: int, seed: int
) -> tuple[Array, float]:
    """U (width, r) in columns scaled to `whole`, and what part of it stands for all other directions.

    The sample's own diagonal is no larger than `whole`: else a rare column of which it has some rows too many would
    stand out.
    """
    scale = 1.0 / np.sqrt(np.where(whole > 0, whole, 1.0))
    trace = float((sampled * scale**2).sum())
    none = np.zeros((rows.width, 0), np.float32), 1.0
    if not (rank and 0 < trace < np.inf):
        return none
    root = np.sqrt(found.traces * (found.mean / float(found.traces.sum())))[:, None]

    def to_columns(projections: Array) -> Array:
        """A' times (m, J) projections, (width, J)."""
        result = rows.back(root * projections)
        result *= scale[:, None]
        return result

    def product(projections: Array) -> Array:
        """A A' times them, (m, J)."""

        def of_some(some: slice) -> Array:
            moved = to_columns(projections[:, some])
            moved *= scale[:, None]
            return root * rows.times(moved)

        return _side_by_side(of_some, projections.shape[1], rows.width)

    def of_others(values: Array) -> float:
        """Share of the trace that is not of these, and no less than a sample could tell from none."""
        return max(1.0 - float(values.sum()) / trace, _LEAST_OF_OTHERS)

    # The largest eigenvalue of noise of mean 1, by the law of Marchenko and Pastur.
    traces = found.traces / found.traces.max()  # so that no square underflows
    rows_that_count = float(traces.sum()) ** 2 / float((traces**2).sum())
    noise = (1.0 + np.sqrt(trace / rows_that_count)) ** 2
    rng = np.random.default_rng(seed)
    with one_thread():
        for wanted in sorted({min(_FIRST, rank), rank}):
            basis = rng.standard_normal((len(rows), min(wanted + _EXTRA, rows.width, len(rows))))
            for _ in range(_POWERS):
                basis, _ = np.linalg.qr(product(basis))
            values, vectors = eigh(basis.T @ product(basis))
            values, vectors = values[-wanted:], vectors[:, -wanted:]
            stand_out = values > noise * of_others(values)
            if not stand_out.all():
                break
    values, vectors = values[stand_out], basis @ vectors[:, stand_out]
    if not len(values):
        return none
    # Between the mean of the others, and the largest of them, which is about the least of these.
    rest = np.sqrt(of_others(values) * min(values[0], 1.0))
    logger.debug("%d directions stand out, with eigenvalues from %.3g to %.3g", len(values), values[0], values[-1])
    # A' times one of unit length has the root of its value as its length.
    vectors *= np.sqrt(np.maximum(values - rest, 0.0) / values)
    low = _side_by_side(lambda some: to_columns(vectors[:, some]).astype(np.float32), len(values), rows.width)
    return low, float(rest)


def _side_by_side(columns: Callable[[slice], Array], count: int, width: int) -> Array:
    """So many columns, some at a time; how they are cut depends on shapes alone, and so do the bits."""
    each = -(-count // THREADS) if width <= _NARROW else _AT_A_TIME
    cut = [slice(start, start + each) for start in range(0, count, each)]
    made = in_threads(columns, cut) if width <= _NARROW else map(columns, cut)
    return np.hstack(list(made))
