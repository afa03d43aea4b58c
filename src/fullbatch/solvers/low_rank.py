"""Initial matrices for wide problems: a diagonal, and the directions in which the Hessian is largest.

The diagonal comes from the mean squares of all rows, which the set-up read told, and so is right for columns that the
sample has hardly seen. In columns scaled by it, the largest eigenvalues of the sample's Hessian and their directions
are found by random projections (Halko, Martinsson and Tropp, 2011, algorithm 4.4); all others are taken to be alike.
The inverse of the sum is Woodbury's.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..blas import one_thread
from ..protocols import Facts, RowCurvature
from ._design import Design, mean_squares
from .preconditioners import Directions, directions

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

# Directions beside the diagonal, unless others are asked for.
MOST_DIRECTIONS = 50

# Directions that are looked for first. Only where all of them stand out from the noise of the sample are there more.
_FIRST = 10

# Random projections beyond the directions that are looked for, and how often they are multiplied with the matrix.
_EXTRA, _POWERS = 10, 2

# Arrays with a column for each projection that are in memory at the same time.
_ARRAYS = 5

# A column's curvature is no less than this share of its mean square times the mean curvature, whatever its few rows of
# the sample say: too much costs an iteration, too little a step that is too long.
_LEAST = 0.25


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
    low : (width, r) array
        U, the same for all directions with curvature.
    cores : sequence of (r, r) arrays
        Lower Cholesky factors of C_j^-1 + U' diag(d_j)^-1 U for the latest directions, with their shares C_j of U U'.
    """

    predictors: Array
    basis: Array
    diagonals: Array
    low: Array
    cores: Sequence[Array]

    def __call__(self, vectors: Array) -> Array:
        """B0^-1 times each row of `vectors`, (m, size)."""
        from scipy.linalg import cho_solve

        rotated = np.einsum("kj,mkw->jmw", self.basis, vectors[:, self.predictors]) / self.diagonals[:, None]
        with one_thread():
            for j, core in enumerate(self.cores, len(self.basis) - len(self.cores)):
                along = cho_solve((core, True), (rotated[j] @ self.low).T, check_finite=False)
                rotated[j] -= (self.low @ along).T / self.diagonals[j]
        result = np.empty_like(vectors)
        result[:, self.predictors] = np.einsum("kj,jmw->mkw", self.basis, rotated)
        return result


def bytes_of_directions(facts: Facts, rank: int) -> int:
    """Memory of the matrix, and of the projections while it is made."""
    assert facts.parameters.predictors is not None
    outputs, width = facts.parameters.predictors.shape
    return int(8 * width * (_ARRAYS * (rank + _EXTRA if rank else 1) + 2 * outputs))


def most_directions(facts: Facts, room: int) -> int:
    """As many directions, up to MOST_DIRECTIONS, as take no more memory than that."""
    return next((rank for rank in range(MOST_DIRECTIONS, 0, -1) if bytes_of_directions(facts, rank) <= room), 0)


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

    found = directions(curvature, weight, facts)
    if found is None:
        return None
    predictors = facts.parameters.predictors
    assert predictors is not None
    if found.flat == len(found.basis):  # no row of the sample has any curvature: the penalty is all there is
        diagonals = np.where(found.penalty > 0, found.penalty, found.floor)
        return LowRankHessian(predictors, found.basis, diagonals, np.zeros((rows.width, 0)), [])
    sampled = rows.squares(found.traces) / weight.sum()
    diagonal = _diagonal(rows, weight, sampled, found, facts)
    shares = found.eigenvalues[found.flat :] / found.eigenvalues[found.flat :].sum()
    damping = found.penalty[found.flat :].mean(axis=0) / shares.max()
    low, rest = _largest(rows, found, sampled, np.maximum(sampled, diagonal) + damping, rank, seed)
    low *= np.sqrt(diagonal + damping)[:, None]
    diagonals = found.penalty.copy()
    diagonals[found.flat :] += shares[:, None] * (rest * diagonal)
    # Any positive number will do where there is no curvature: the gradient there is the penalty's alone.
    diagonals = np.where(diagonals > 0, diagonals, found.floor)
    cores = []
    if low.shape[1]:
        with one_thread():
            for share, own in zip(shares, diagonals[found.flat :], strict=True):
                core = np.eye(low.shape[1]) / share + low.T @ (low / own[:, None])
                cores.append(cholesky(core, lower=True, check_finite=False))
    return LowRankHessian(predictors, found.basis, diagonals, low, cores)


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
    none = np.zeros((rows.width, 0)), 1.0
    if not (rank and 0 < trace < np.inf):
        return none
    weight = float(found.traces.sum()) / found.mean

    def product(projections: Array) -> Array:
        moved = found.traces[:, None] * rows.times(scale[:, None] * projections)
        return scale[:, None] * rows.back(moved) / weight  # type: ignore[no-any-return]

    # The largest eigenvalue of noise of mean 1, by the law of Marchenko and Pastur.
    traces = found.traces / found.traces.max()  # so that no square underflows
    rows_that_count = float(traces.sum()) ** 2 / float((traces**2).sum())
    noise = (1.0 + np.sqrt(trace / rows_that_count)) ** 2
    rng = np.random.default_rng(seed)
    kept, rest = none
    with one_thread():
        for wanted in sorted({min(_FIRST, rank), rank}):
            basis = rng.standard_normal((rows.width, min(wanted + _EXTRA, rows.width)))
            for _ in range(_POWERS):
                basis, _ = np.linalg.qr(product(basis))
            values, vectors = np.linalg.eigh(basis.T @ product(basis))
            values, vectors = values[-wanted:], vectors[:, -wanted:]
            stand_out = values > noise * max(1.0 - values.sum() / trace, 0.0)
            kept = basis @ vectors[:, stand_out]
            if not stand_out.all():
                break
    values = values[stand_out]
    if not len(values):
        return none
    # Between the mean of the others, and the largest of them, which is about the least of these.
    rest = np.sqrt(max(1.0 - values.sum() / trace, 1e-6) * min(values[0], 1.0))
    logger.debug("%d directions stand out, with eigenvalues from %.3g to %.3g", len(values), values[0], values[-1])
    return kept * np.sqrt(np.maximum(values - rest, 0.0)), float(rest)
