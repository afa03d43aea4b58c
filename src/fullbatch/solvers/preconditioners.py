"""Initial matrices for quasi-Newton methods, from second derivatives of a sample of the rows.

The Hessian of a linear model is the sum over rows of H_i (x) x_i x_i', where H_i, (K, K), are the second derivatives
in its K linear predictors. Let V be the eigenvectors of the sum of the H_i. Along them the Hessian is nearly
block-diagonal, for what couples two of them is zero in the mean. Its blocks are the Gram matrices A_j, the sums of
(v_j' H_i v_j) x_i x_i'. With one predictor this is the Hessian itself.

Far from the optimum, and where there are many predictors, one Gram matrix serves all: A_j = s_j A / sum of s, with A
the sum of trace(H_i) x_i x_i' and s_j the eigenvalues. That is a Kronecker product. Where there are few coefficients,
the blocks that couple two directions are made as well.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..machine.eigen import eigh
from ..machine.threads import THREADS, in_threads
from ..machine.vectors import dot
from ..objective.design import Design
from ..protocols.answers import RowCurvature
from ..protocols.seams import Facts
from ._memory import Inverse
from ._root import Root

Array = npt.NDArray[Any]

# Directions of the predictors with less than this share of the largest eigenvalue have no curvature: softmax does not
# change when all predictors move alike.
_FLAT = 1e-8

# More directions than these share one Gram matrix.
MOST_GRAMS = 16

# Share of the diagonal that is added to it: the rounding of Gram matrices in that precision.
RIDGE = {"float64": 1e-11, "float32": 1e-6}

# A column whose mean square over all rows is so many times that of the sample is one that the sample hardly knows.
_RARE = 1.5

# Share of a Gram matrix that its rows must make up; the others, which count least, are left out.
_HEAVY = 0.9
# Of a row's factor, which workers and driver each compute: those that are alike are taken or left out together.
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, eq=False)
class SampledHessian:
    """B0^-1, by the Cholesky factor of one matrix for each direction of the predictors, or of one for all of them.

    Parameters
    ----------
    predictors : (K, width) int array
        Coordinates of theta of each linear predictor.
    basis : (K, K) array
        Directions, in columns; those without curvature first.
    flat : (directions without curvature, width) array
        Diagonals that stand for their matrices.
    roots : sequence of Root
        Of the others: one for each, or one for all, of their coordinates one direction after the other.
    """

    predictors: Array
    basis: Array
    flat: Array
    roots: Sequence[Root]

    def __call__(self, vectors: Array) -> Array:
        """B0^-1 times each row of `vectors`, (m, size)."""
        rotated = np.einsum("kj,mkw->jmw", self.basis, vectors[:, self.predictors])
        rotated[: len(self.flat)] /= self.flat[:, None]
        curved = rotated[len(self.flat) :]
        together = len(curved) // max(len(self.roots), 1)
        for j, root in enumerate(self.roots):  # memory is what they wait for: threads would not help
            part = curved[j * together : (j + 1) * together]
            solved = root.solved(part.swapaxes(0, 1).reshape(len(vectors), -1))
            part[:] = solved.reshape(len(vectors), together, -1).swapaxes(0, 1)
        result = np.empty_like(vectors)
        result[:, self.predictors] = np.einsum("kj,jmw->mkw", self.basis, rotated)
        return result


@dataclass(frozen=True, slots=True, eq=False)
class RefinedHessian:
    """B0^-1 by a fixed number of conjugate-gradient steps on the whole Hessian of the sample.

    They take in what couples the directions of the predictors, which `SampledHessian` leaves out.

    Parameters
    ----------
    start : callable
        B0^-1 that preconditions the steps.
    predictors : (K, width) int array
        Coordinates of theta of each linear predictor.
    parts : sequence of (Design, (m, K) array, (m, K) array)
        Rows of the sample, and their second derivatives, `diagonal` and `coupling` of `RowCurvature`, in their
        precision.
    weight : float
        Sum of all the rows' sample weights.
    l2 : (size,) array
        The penalty.
    steps : int
        Products with the Hessian for each vector.
    """

    start: Inverse
    predictors: Array
    parts: Sequence[tuple[Design, Array, Array]]
    weight: float
    l2: Array
    steps: int

    def __call__(self, vectors: Array) -> Array:
        """B0^-1 times each row of `vectors`, (m, size)."""
        return np.array([self._solve(vector) for vector in vectors])

    def _solve(self, vector: Array) -> Array:
        solution, residual = np.zeros_like(vector), vector
        (direction,) = self.start(vector[None])
        square = dot(residual, direction)
        for left in reversed(range(self.steps)):
            product = self._times(direction)
            curvature = dot(direction, product)
            if not (curvature > 0 and square > 0):
                break
            along = square / curvature
            solution = solution + along * direction
            residual = residual - along * product
            if left:
                (scaled,) = self.start(residual[None])
                before, square = square, dot(residual, scaled)
                direction = scaled + (square / before) * direction
        return solution if solution.any() else direction

    def _times(self, vector: Array) -> Array:
        """The sample's Hessian, penalty included, times a vector."""
        predictors = self.predictors
        coefs = vector[predictors].T

        def of_part(part: tuple[Design, Array, Array]) -> Array:
            rows, diagonal, coupling = part
            eta = rows.times(coefs)
            eta = diagonal * eta - coupling * np.einsum("mk,mk->m", coupling, eta)[:, None]
            return rows.back(eta)

        total = sum(in_threads(of_part, self.parts))
        product = self.l2 * vector
        product[predictors] += np.asarray(total, np.float64).T / self.weight
        return product


def bytes_of_matrices(facts: Facts, coupled: bool = False, on_workers: bool = False) -> int:
    """Memory of the factors, and of the Gram matrices while they are made; those of workers come all at once."""
    if coupled:
        return 8 * facts.width * facts.width * (4 * facts.outputs**2 + 3 * THREADS)
    sent = 2 * (min(facts.outputs, MOST_GRAMS) - 1) if on_workers else 0
    return 8 * facts.width * facts.width * (facts.outputs + 2 * THREADS + sent)


def refined(start: Inverse, rows: Design, weight: Array, curvature: RowCurvature, facts: Facts, steps: int) -> Inverse:
    """With so many conjugate-gradient steps; as it is where there is nothing to take in."""
    if not steps or curvature.coupling is None:
        return start
    diagonal, coupling = (part.astype(rows.dtype) for part in (curvature.diagonal, curvature.coupling))
    parts = [(rows.taken(half), diagonal[half], coupling[half]) for half in _halves(rows)]
    return RefinedHessian(start, facts.predictors, parts, float(weight.sum()), facts.l2, steps)


@dataclass(frozen=True, slots=True, eq=False)
class Directions:
    """The directions of the predictors along which the Hessian is nearly block-diagonal.

    Parameters
    ----------
    eigenvalues : (K,) array
        Of the sum of the rows' second derivatives, in growing order.
    basis : (K, K) array
        Eigenvectors, in columns.
    flat : int
        How many of them have no curvature.
    penalty : (K, width) array
        The penalty along each.
    traces : (m,) array
        Traces of the rows' second derivatives.
    mean : float
        Their sum for one unit of sample weight.
    """

    eigenvalues: Array
    basis: Array
    flat: int
    penalty: Array
    traces: Array
    mean: float

    @property
    def floor(self) -> float:
        """What stands for curvature where there is none: a thousandth of the mean, or 1 where that is 0.

        Any positive number does, since the gradient there is the penalty's alone.
        """
        floor = 1e-3 * self.mean / len(self.basis)
        return floor if floor > 0 else 1.0


def directions(curvature: RowCurvature, total: float, facts: Facts) -> Directions | None:
    """The directions of a sample of so much sample weight; None where second derivatives are not finite."""
    if not (total > 0 and np.isfinite(curvature.diagonal).all()):
        return None
    sums = np.diag(curvature.diagonal.sum(axis=0))
    if curvature.coupling is not None:
        sums -= np.einsum("mk,ml->kl", curvature.coupling, curvature.coupling)
    with one_thread():
        eigenvalues, basis = eigh(sums)
    flat = int((eigenvalues <= _FLAT * eigenvalues[-1]).sum())
    penalty = np.einsum("kj,kw->jw", basis**2, facts.l2[facts.predictors])
    traces = curvature.traces
    return Directions(eigenvalues, basis, flat, penalty, traces, float(traces.sum()) / total)


def sampled_hessian(
    rows: Design,
    weight: Array,
    missing: Array,
    curvature: RowCurvature,
    facts: Facts,
    shared: bool,
    coupled: bool = False,
) -> SampledHessian | None:
    """The matrix of a sample; None where second derivatives are not finite.

    Parameters
    ----------
    rows : Design
        The sample.
    weight : (m,) array
        The rows' sample weights.
    missing : (width,) array
        Of `missing_squares`.
    curvature : RowCurvature
        Of the same rows.
    facts : Facts
        Of the problem.
    shared : bool
        Whether one Gram matrix serves all directions, however few they are.
    coupled : bool
        Whether it is one matrix of all directions, with what couples them; where none is shared.
    """
    total = float(weight.sum())
    found = directions(curvature, total, facts)
    if found is None:
        return None
    ridge = RIDGE[facts.parameters.dtype]
    if shared or (len(found.basis) - found.flat > MOST_GRAMS and not coupled):
        roots = of_one_gram(_gram(rows, found.traces) / total, found, missing, ridge, rows.dtype)
    elif coupled and found.flat < len(found.basis):
        roots = [_of_all(rows, total, found, missing, ridge, curvature)]
    else:
        along = curvature.along(found.basis[:, found.flat :])
        roots = _of_a_gram_each(rows, total, found, missing, ridge, along)
    return with_roots(found, roots, facts)


def with_roots(found: Directions, roots: Sequence[Root], facts: Facts) -> SampledHessian:
    """The matrix of the directions that have these roots, and of those without curvature."""
    flat = found.penalty[: found.flat]
    return SampledHessian(facts.predictors, found.basis, np.where(flat > 0, flat, found.floor), roots)


def of_one_gram(gram: Array, found: Directions, missing: Array, ridge: float, dtype: Any) -> list[Root]:
    """Roots for the directions with curvature, each of its share of the mean of trace(H_i) x_i x_i'."""
    eigenvalues, penalty = found.eigenvalues[found.flat :], found.penalty[found.flat :]
    shares = eigenvalues / eigenvalues.sum()
    gram[np.diag_indices(len(gram))] += found.mean * missing
    return in_threads(lambda j: Root.of(gram * shares[j], penalty[j], ridge, dtype), range(len(shares)))


def _of_a_gram_each(
    rows: Design, total: float, found: Directions, missing: Array, ridge: float, along: Array
) -> list[Root]:
    """Roots for the directions with curvature, each of its own Gram matrix: `along` are their second derivatives."""
    penalty = found.penalty[found.flat :]

    def root(j: int) -> Root:
        # With one predictor the matrix is the sample's Hessian: it is worth being exact.
        least = least_of_heavy(along[j]) if len(found.basis) > 1 else 0.0
        part, own = _heavy(rows, along[j], least)
        extra = missing * float(own.sum()) / total
        gram = part.gram(own) if len(along) > 1 else _gram(part, own)
        gram /= total
        return Root.of(gram, penalty[j] + extra, ridge, rows.dtype)

    return in_threads(root, range(len(along)))


def _of_all(
    rows: Design, total: float, found: Directions, missing: Array, ridge: float, curvature: RowCurvature
) -> Root:
    """The root of the sample's whole Hessian in the directions with curvature."""
    basis, width = found.basis[:, found.flat :], rows.width
    count = basis.shape[1]
    coupling = None if curvature.coupling is None else np.einsum("mk,kj->mj", curvature.coupling, basis)
    matrix = np.zeros((count, width, count, width))

    def add(j: int) -> None:
        """What couples a direction with itself and those before it."""
        own = (basis[:, : j + 1] * basis[:, j : j + 1]).T @ curvature.diagonal.T
        if coupling is not None:
            own -= (coupling[:, : j + 1] * coupling[:, j : j + 1]).T
        grams = rows.grams(own) / total
        grams[j][np.diag_indices(width)] += missing * float(own[j].sum()) / total
        for k, gram in enumerate(grams):
            matrix[j, :, k] = gram
            matrix[k, :, j] = gram  # which is symmetric

    in_threads(add, reversed(range(count)))  # the longest first
    size = count * width
    with one_thread():
        return Root.of(matrix.reshape(size, size), found.penalty[found.flat :].ravel(), ridge, rows.dtype)


def missing_squares(sampled: Array, facts: Facts) -> Array:
    """What the sample's mean squares, (width,), lack of those of all rows, in columns where that is a lot.

    A column of which the sample has next to none of the rows, such as a rare level, would seem to have no curvature:
    steps along it would be far too long.
    """
    missing = np.zeros(facts.width)
    if facts.squares is not None:
        sampled = sampled[: len(facts.squares)]
        lacks = np.isfinite(facts.squares) & (facts.squares > _RARE * sampled)
        missing[: len(sampled)][lacks] = facts.squares[lacks] - sampled[lacks]
    return missing


def least_of_heavy(factor: Array) -> float:
    """The least of the factors that make up most of their sum; 0 where they are more than half of all.

    Near the optimum most rows are sure of their class and have next to no curvature.
    """
    descending = np.sort(factor)[::-1]
    total = np.cumsum(descending)
    count = int(np.searchsorted(total, _HEAVY * total[-1])) + 1
    if count > len(factor) // 2 or not total[-1] > 0:
        return 0.0  # to copy them would cost what it saves
    return float(descending[count - 1]) * (1.0 - _ROUNDING)


def _heavy(rows: Design, factor: Array, least: float) -> tuple[Design, Array]:
    """The rows with that factor at the least, and their factors, raised to the sum of all."""
    if not least > 0:
        return rows, factor
    kept = np.flatnonzero(factor >= least)
    return rows.taken(kept), factor[kept] * (factor.sum() / factor[kept].sum())


def _gram(rows: Design, factor: Array) -> Array:
    """Sum of factor x x', by two threads."""
    upper, lower = in_threads(lambda half: rows.taken(half).gram(factor[half]), _halves(rows))
    return np.add(upper, lower, out=upper)


def _halves(rows: Design) -> tuple[slice, slice]:
    """Two parts, for two threads, cut where no number of threads matters."""
    cut = len(rows) // 2
    return slice(cut), slice(cut, None)
