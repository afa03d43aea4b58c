"""What a Hessian tells of the place where it was taken: the way to go, and how much F can still fall."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..machine.blas import one_thread
from ..machine.eigen import eigh
from ..protocols.answers import Curves
from ..protocols.rows import Array
from ..protocols.seams import Facts

# By the precision of products: share of the gradient's terms that is rounding, and at most; eigenvalues that are
# rounding, in parameters scaled to curvature 1; and what stands for these, since they may be smaller than they look.
NOISE = {"float64": 1e-15, "float32": 3e-7}
LOST = {"float64": 1e-14, "float32": 1e-6}
KNOWN = {"float64": 2e-14, "float32": 3e-7}
FLOOR = {"float64": 1e-18, "float32": 3e-7}

# What may be left counts rounding of the gradient so many times.
SURE = 10.0

# Rounding of float64 of a column that was centred, as a share of the column as stored; sums of second derivatives.
CENTRED, CENTRED_SQUARES = 3e-17, 2e-15

# Rounding of a predictor, as a share of each of its terms.
_OF_TERMS = 2.0**-53

# Damping of a step that looks beyond the next iterate, and how many of Newton's steps it is long.
_PROBED, _NEAREST, _FURTHEST = 1e-12, 10.0, 1e8

# Parameters of less than this share of the usual curvature are scaled by that: no row that knows them is curved.
STRAIGHT = 1e-10


@dataclass(frozen=True, eq=False)
class Curved:
    """A Hessian and gradient in parameters scaled to comparable curvature, in the Hessian's eigenvectors.

    No direction is dropped for its curvature: where that is rounding, it counts as next to nothing. Only where the
    gradient is rounding too is there nothing to follow.

    Parameters
    ----------
    values : (size,) array
        Eigenvalues, in growing order; 0 for those that centring left nothing of.
    vectors : (size, size) array
        Eigenvectors, in columns.
    along : (size,) array
        Gradient along them.
    scale : (size,) array
        Roots of what parameters are scaled by.
    precision : {"float64", "float32"}
        Of the products.
    above : float
        How far F stands above the least it could be; infinite where that is not known.
    noise : (size,) array
        Of the gradient along the eigenvectors: share of its terms that is rounding.
    held : int array
        Parameters of columns without variation or penalty: they stay where they are.
    falls : bool
        Whether F falls away along an eigenvector, beyond rounding; of losses that are not convex.
    blurred : float
        See `blurred`.
    """

    values: Array
    vectors: Array
    along: Array
    scale: Array
    precision: str
    above: float
    noise: Array
    held: Array
    falls: bool = False
    blurred: float = 0.0

    @classmethod
    def of(cls, curves: Curves, theta: Array, facts: Facts, precision: str) -> "Curved | None":
        """From the answer to `Curvature` of the form "gram" or "secant"; None where something is not finite."""
        point = curves.point
        if point is None or not (np.isfinite(point.grad).all() and np.isfinite(curves.matrix).all()):
            return None
        matrix, grad = curves.matrix.copy(), point.grad.copy()
        above = point.value - facts.least
        squares, held, larger = np.zeros(len(grad)), np.zeros(0, np.intp), facts.by_coordinate(facts.larger)
        predictors = facts.parameters.predictors
        if predictors is not None and facts.squares is not None:
            squares = facts.by_coordinate(facts.squares)
            constant = np.zeros(predictors.shape[1], bool)
            if facts.constant is not None:
                constant[: len(facts.constant)] = facts.constant
            held = predictors[:, constant].ravel()
            hold(matrix, grad, theta, facts.l2, held)
            fix_level(matrix, facts.l2, predictors)
        # The curvature of a parabola of this height and mean squared slope: what a row's loss has where it is straight.
        usual = curves.squares / (2.0 * above) if above > 0 else 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            diagonal = np.fmax(np.abs(matrix.diagonal()), STRAIGHT * usual * squares)
        scale = np.sqrt(np.where((diagonal > 0) & np.isfinite(diagonal), diagonal, 1.0))
        with one_thread(), np.errstate(over="ignore", invalid="ignore"):
            scaled = matrix / scale / scale[:, None]
            if not np.isfinite(scaled).all():
                return None
            values, vectors = eigh(scaled)
            along = vectors.T @ (grad / scale)
            stored = np.abs(vectors).T @ (larger - 1.0)  # beyond the columns themselves
        noise = np.maximum(NOISE[precision], CENTRED * stored)
        falls = not facts.parameters.convex and bool((values < -LOST[precision]).any())
        values[values <= CENTRED_SQUARES * stored * stored] = 0.0
        lost = LOST[precision] / NOISE[precision] * noise * np.sqrt(2.0 * above) if 0 < above < np.inf else 0.0
        along[(values <= KNOWN[precision]) & (np.abs(along) <= lost)] = 0.0
        held = held[facts.l2[held] == 0]
        if not np.isfinite(along).all():
            return None
        unclear = blurred(theta, facts, curves.matrix.diagonal() - facts.l2)
        return cls(values, vectors, along, scale, precision, above, noise, held, falls, unclear)

    def direction(self, damping: float) -> Array:
        """-(H + damping * diagonal)^-1 g: Levenberg's step."""
        with one_thread():
            step: Array = -(self.vectors @ (self.along / (np.maximum(self.values, 0.0) + damping))) / self.scale
        step[self.held] = 0.0
        return step

    def without_curvature(self, theta: Array, share: float) -> Array:
        """The part of theta along eigenvectors of no more than that share of the largest eigenvalue."""
        vectors = self.vectors[:, self.values <= share * self.values[-1]]
        with one_thread():
            part: Array = vectors @ (vectors.T @ (theta * self.scale)) / self.scale
        return part

    def probes(self, small: float, kinked: bool) -> Iterator[tuple[Array, float]]:
        """Steps at which F must have risen by about `small`, if the Hessian tells of more than of the place itself; and
        by how much. One along Newton's direction; where second derivatives jump, one against the gradient as well.

        Where a row is about to saturate, or a loss has a kink, F may go on falling beyond.
        """
        with one_thread():
            for part in (self.along / (np.maximum(self.values, 0.0) + _PROBED), self.along)[: 2 if kinked else 1]:
                slope = float(part @ self.along)
                curvature = float(part @ (np.maximum(self.values, 0.0) * part))
                if not (slope > 0 and 0 < curvature < np.inf):
                    continue
                nearest = slope / curvature
                times = float(np.clip(np.sqrt(2.0 * small / curvature), _NEAREST * nearest, _FURTHEST * nearest))
                step = -times * (self.vectors @ part) / self.scale
                step[self.held] = 0.0
                yield step, (0.5 * curvature * times - slope) * times

    @property
    def steepness(self) -> float:
        """Curvature along Newton's step, as a share of what the parameters that it moves have by themselves: next to
        nothing where few rows tell of that way, which may soon be others.
        """
        with one_thread():
            part = self.along / (np.maximum(self.values, 0.0) + _PROBED)
            size = float(part @ part)
            return float(part @ (np.maximum(self.values, 0.0) * part)) / size if 0 < size < np.inf else 1.0

    @property
    def decrease(self) -> float:
        """By how much Newton's step would lower F: half the square of his decrement; infinite where F falls away."""
        if self.falls:
            return np.inf
        with np.errstate(over="ignore"):
            return 0.5 * float((self.along**2 / self._curvature).sum())

    @property
    def rounding(self) -> float:
        """By how much it might beyond that, since gradient and predictors are known to their rounding only.

        By Cauchy and Schwarz the gradient's terms along a scaled parameter are no larger than 2 `above`, squared.
        """
        if not np.isfinite(self.above):
            return self.blurred
        return max(self.above, 0.0) * float((self.noise**2 / self._curvature).sum()) + self.blurred

    @property
    def _curvature(self) -> Array:
        return np.where(self.values > KNOWN[self.precision], self.values, FLOOR[self.precision])


def blurred(theta: Array, facts: Facts, curvature: Array | None = None) -> float:
    """By how much F may be higher or lower than it was told, since predictors are made of large terms that cancel.

    A predictor is known to the rounding of its terms, columns as stored times coefficients; half its mean square, times
    the curvature of the rows' losses, is what F does not tell. (What is of first order has either sign in each row.)

    Parameters
    ----------
    theta : (size,) array
        Where F was taken.
    facts : Facts
        Of the problem.
    curvature : (size,) array, optional
        Second derivatives of F in each coordinate, without the penalty's. Of all rows where they jump, or nothing is
        known of them: 1.
    """
    if curvature is None or facts.parameters.kinked:
        curvature = np.fmax(0.0 if curvature is None else curvature, facts.by_coordinate(facts.squares))
    with np.errstate(over="ignore", invalid="ignore"):
        squares = np.fmax(curvature, 0.0) * (_OF_TERMS * facts.by_coordinate(facts.larger) * theta) ** 2
    return 0.5 * float(squares.sum())


def hold(matrix: Array, grad: Array, theta: Array, l2: Array, held: Array) -> None:
    """Parameters of columns without variation are moved by their penalty alone."""
    matrix[held] = 0.0
    matrix[:, held] = 0.0
    matrix[held, held] = np.where(l2[held] > 0, l2[held], 1.0)
    grad[held] = l2[held] * theta[held]


def fix_level(matrix: Array, l2: Array, predictors: Array) -> None:
    """Where F does not change when all predictors move alike, as under softmax, give that direction a curvature."""
    if len(predictors) < 2:
        return
    for coordinates in predictors[:, ~l2[predictors].any(axis=0)].T:
        block = np.ix_(coordinates, coordinates)
        matrix[block] += np.abs(matrix[block].diagonal()).mean() / len(coordinates)
