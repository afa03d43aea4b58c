"""What a Hessian tells where F has corners and bounds: the minimum of the quadratic model with them, and how much F can
still fall.

The model is minimised by coordinate descent, which finds the face that the minimum lies on (which coordinates are at
zero, or at a bound), and by solving for the minimum of that face, which finds it to the last digits however correlated
columns are. Friedman, Hastie and Tibshirani, "Regularization paths for generalized linear models via coordinate
descent" (2010); More and Toraldo, "On the solution of large quadratic programming problems with bound constraints"
(1991).
"""

from dataclasses import dataclass, replace

import numpy as np

from ..kernels import coordinates as of_coordinates
from ..machine.blas import one_thread
from ..machine.eigen import eigh
from ..protocols.answers import Curves
from ..protocols.rows import Array
from ..protocols.seams import Facts, Penalty
from .groups import blocks_of, face_minimum, norm_curvature, solved
from .hessian import CENTRED, CENTRED_SQUARES, FLOOR, KNOWN, LOST, NOISE, STRAIGHT, blurred, fix_level, hold

# Rounds of sweeps and a face at the most, and the share of the model's decrease that may be left.
_ROUNDS, _LEFT = 500, 1e-18

# Coordinates from which on sweeps are compiled: a first fit to small data need not wait for the compiler. Sweeps in a
# round at the most: where they are compiled, and where they cost as much as a face.
_COMPILED, _SWEEPS, _FEW = 64, 16, 4

# Of the model's slopes, as a share of them and of theta; and so many times as much where norms of groups add to them.
_ROUNDING, _OF_NORMS = 4e-16, 10.0

# A share of each coordinate's own curvature that sums of rows in this precision leave no digit of: so much is added,
# that of columns which are combinations of others there is one answer.
LEAST_DAMPING = {"float64": 1e-14, "float32": 1e-6}

# How many of its steps a probe is long, at the most.
_FURTHEST = 1e8


@dataclass(frozen=True, eq=False)
class Cornered:
    """The quadratic model of F's smooth part, and the penalty that is not.

    Parameters
    ----------
    matrix : (size, size) array
        Hessian, in coordinates scaled to curvature 1; those of a group alike, the largest of them to 1.
    slope, theta : (size,) arrays
        Gradient of the smooth part and where it was taken, in these coordinates.
    scale : (size,) array
        What coordinates are multiplied by.
    penalty : Penalty
        In them, but for its l2, which is part of the matrix.
    given : Penalty
        As it was given.
    at : (size,) array
        `theta` as it was given.
    precision : {"float64", "float32"}
        Of the products.
    above : float
        How far F stands above the least it could be; infinite where that is not known.
    noise : (size,) array
        Of the gradient: share of its terms that is rounding.
    lost : (size,) array
        Curvature without which the matrix may not be positive definite: centring has left no more of its digits.
    blurred : float
        See `objective.hessian.blurred`.
    """

    matrix: Array
    slope: Array
    theta: Array
    scale: Array
    penalty: Penalty
    given: Penalty
    at: Array
    precision: str
    above: float
    noise: Array
    lost: Array
    blurred: float

    @classmethod
    def of(cls, curves: Curves, theta: Array, facts: Facts, precision: str) -> "Cornered | None":
        """From the answer to `Curvature` of the form "gram"; None where something is not finite."""
        point, given = curves.point, facts.penalty
        assert given is not None
        if point is None or not (np.isfinite(point.grad).all() and np.isfinite(curves.matrix).all()):
            return None
        matrix, grad = np.array(curves.matrix, np.float64), point.grad.copy()
        unclear = blurred(theta, facts, matrix.diagonal() - facts.l2)
        squares, beyond = facts.by_coordinate(facts.squares), facts.by_coordinate(facts.larger) - 1.0
        predictors = facts.parameters.predictors
        if predictors is not None:
            bounded = np.isfinite(given.lower) | np.isfinite(given.upper)
            if facts.constant is not None:
                hold(matrix, grad, theta, given.l2, predictors[:, : len(facts.constant)][:, facts.constant].ravel())
            fix_level(matrix, given.l2 + given.l1 + bounded + given.grouped, predictors)
        above = point.value - facts.least
        # Where a loss is straight no row that knows a coordinate may be curved: see `Curved.of`.
        usual = curves.squares / (2.0 * above) if 0 < above < np.inf else 0.0
        with np.errstate(over="ignore", invalid="ignore"):
            diagonal = np.fmax(matrix.diagonal(), STRAIGHT * usual * squares)
            scale = np.sqrt(np.where((diagonal > 0) & np.isfinite(diagonal), diagonal, 1.0))
            own = np.ones(len(grad))
            for places in given.members():  # norms are of coordinates of one scale
                own[places] = (scale[places] / scale[places].max()) ** 2
                scale[places] = scale[places].max()
            matrix /= scale  # in place: making new matrices takes longer than what is done with them
            matrix /= scale[:, None]
            penalty = replace(
                given,
                l1=given.l1 / scale,
                lower=given.lower * scale,
                upper=given.upper * scale,
                l21=None if given.l21 is None else given.l21 / scale,
            )
        if not np.isfinite(matrix).all():
            return None
        np.fill_diagonal(matrix, own)
        lost = CENTRED_SQUARES * beyond * beyond.sum() * own
        noise = np.maximum(NOISE[precision], CENTRED * beyond)
        return cls(
            matrix, grad / scale, theta * scale, scale, penalty, given, theta, precision, above, noise, lost, unclear
        )

    def minimum(self, damping: float = 0.0, near: Array | None = None) -> tuple[Array, bool]:
        """Theta at the minimum of the model, exactly at zero and at bounds where it is there; and whether it was
        reached.

        Parameters
        ----------
        damping : float
            Levenberg's: a share of each coordinate's own curvature that is added to it.
        near : (size,) array, optional
            Where to look for it first, such as the minimum for a similar penalty; default: where the model was made.
        """
        with one_thread():
            found, reached = _minimum(
                self.matrix,
                self.slope,
                self.theta,
                self.theta if near is None else near * self.scale,
                self.penalty,
                max(damping, LEAST_DAMPING[self.precision]) * self.matrix.diagonal() + self.lost,
            )
        theta = found / self.scale
        theta = np.where(found <= self.penalty.lower, self.given.lower, theta)
        theta = np.where(found >= self.penalty.upper, self.given.upper, theta)
        return np.where(found == self.theta, self.at, theta), reached

    def change(self, theta: Array) -> float:
        """By how much the model changes from here to there."""
        there = theta * self.scale
        step = there - self.theta
        corners = self.penalty.corner_change(self.theta, there)
        with one_thread():
            return float((self.slope * step + corners).sum() + 0.5 * step @ (self.matrix @ step))

    def steepness(self, theta: Array) -> float:
        """Curvature on the way there, as a share of what the coordinates that it moves have by themselves: see
        `Curved.steepness`.
        """
        way = self.scale * (theta - self.at)
        with one_thread():
            size = float(way @ (self.matrix.diagonal() * way))
            return float(way @ (self.matrix @ way)) / size if 0 < size < np.inf else 1.0

    def probe(self, theta: Array, small: float) -> tuple[Array, float] | None:
        """A place beyond the minimum `theta` of the model at which F must have risen by about `small`, if the Hessian
        tells of more than of the place itself; and by how much. None where there is none.
        """
        step, times, least = theta - self.at, 2.0, self.change(theta)
        if not step.any():
            return None
        while times <= _FURTHEST:
            place = np.clip(self.at + times * step, self.given.lower, self.given.upper)
            way = self.scale * (place - self.at)
            rise = self.change(place) - 0.5 * float((self.lost * way * way).sum())
            if rise >= small + max(least, 0.0):
                return place, rise
            times *= 4.0
        return None

    def left(self, theta: Array) -> tuple[float, float]:
        """By how much F can still fall by the model, of which `theta` is the minimum but for damping; and by how much
        beyond that, since gradient and predictors are known to their rounding only.

        What the damping has hidden is told by the eigenvectors of the face that `theta` lies on, as by `Curved`: no
        direction is left out for its curvature, unless the gradient along it is rounding too.
        """
        free = ~self.given.at_corner(theta)
        fallen = max(-self.change(theta), 0.0)
        if not free.any():
            return fallen, self.blurred
        sign = np.where(self.penalty.l1 > 0, np.sign(theta), 0.0)
        with one_thread():
            slope = self.slope + self.matrix @ (self.scale * (theta - self.at)) + self.penalty.l1 * sign
            part, slope = self.matrix[np.ix_(free, free)], slope[free]
            if self.given.l21 is not None:
                inside, place = self.penalty.of_coordinates(np.flatnonzero(free)), (self.scale * theta)[free]
                slope = slope + inside.norm_slope(place)
                unit = np.sqrt(part.diagonal())  # each coordinate to its own curvature
                part, slope = (part + norm_curvature(inside, place)) / unit / unit[:, None], slope / unit
            values, vectors = eigh(part)
            along = vectors.T @ slope
        noise = float(self.noise[free].max())
        known = KNOWN[self.precision]
        finite = 0 < self.above < np.inf
        lost = LOST[self.precision] / NOISE[self.precision] * noise * np.sqrt(2.0 * self.above) if finite else 0.0
        along[(values <= known) & (np.abs(along) <= lost)] = 0.0
        curvature = np.where(values > known, values, FLOOR[self.precision])
        hidden = 0.5 * float((along**2 / curvature).sum())
        rounding = max(self.above, 0.0) * noise**2 * float((1.0 / curvature).sum()) if np.isfinite(self.above) else 0.0
        return fallen + hidden, rounding + self.blurred


def _minimum(
    matrix: Array, slope: Array, start: Array, near: Array, penalty: Penalty, damping: Array
) -> tuple[Array, bool]:
    """Minimise slope'(x - start) + 1/2 (x - start)'(matrix + damping)(x - start) + the penalty's corners within bounds,
    from x = near on; whether that was reached.
    """
    curvature = matrix.diagonal() + damping
    alone = np.where(penalty.grouped, np.inf, curvature)
    blocks = list(blocks_of(matrix, penalty, damping))
    for block in blocks:
        curvature[block.places] = block.values[-1]
    x = np.clip(near, penalty.lower, penalty.upper)
    compiled = len(x) >= _COMPILED
    sweep = of_coordinates.sweep if compiled else of_coordinates.sweep.py_func
    for number in range(_ROUNDS):
        step = x - start
        slopes = slope + matrix @ step + damping * step
        if not (
            np.isfinite(slopes).all() and np.isfinite(x).all()
        ):  # what looks like curvature is rounding, and falls without end
            return start, False
        off = penalty.drawn(x - slopes / curvature, curvature) - x
        fallen = -0.5 * float(step @ (slope + slopes)) - float(penalty.corner_change(start, x).sum())
        rounding = _ROUNDING * (float(np.abs(slope).max()) + float(np.abs(x).max())) * (_OF_NORMS if blocks else 1.0)
        if float(np.abs(off).max()) <= rounding or (number and 0.5 * float(off @ off) <= _LEFT * fallen):
            return x, True
        for _ in range(_SWEEPS if compiled and not blocks else _FEW):
            corners = penalty.at_corner(x)
            moved = penalty.drawn(x - slopes / curvature, curvature) != x
            sweep(matrix, damping, alone, penalty.l1, penalty.lower, penalty.upper, x, slopes)
            for block in blocks:
                if moved[block.places].any():
                    here = x[block.places]
                    there = block.minimum(block.matrix @ here - slopes[block.places], here)
                    slopes += matrix[:, block.places] @ (there - here)
                    slopes[block.places] += damping[block.places] * (there - here)
                    x[block.places] = there
            if (penalty.at_corner(x) == corners).all():
                break
        x = (face_minimum if blocks else _face_minimum)(matrix, slopes, x, penalty, damping)
    return x, False


def _face_minimum(matrix: Array, slopes: Array, x: Array, penalty: Penalty, damping: Array) -> Array:
    """The minimum over the coordinates that are neither at zero nor at a bound.

    Those that come there on the way stay there.
    """
    x = x.copy()
    free = np.flatnonzero((x > penalty.lower) & (x < penalty.upper) & ((x != 0) | (penalty.l1 == 0)))
    part = matrix[np.ix_(free, free)]
    part[np.diag_indices(len(free))] += damping[free]
    sign = np.where(penalty.l1[free] > 0, np.sign(x[free]), 0.0)
    slope = slopes[free] + penalty.l1[free] * sign
    low = np.maximum(penalty.lower[free], np.where(sign > 0, 0.0, -np.inf))
    high = np.minimum(penalty.upper[free], np.where(sign < 0, 0.0, np.inf))
    while free.size and np.isfinite(slope).all():
        step = -solved(part, slope)
        here = x[free]
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(step < 0, (low - here) / step, np.where(step > 0, (high - here) / step, np.inf))
        share = float(room.min())
        if share >= 1.0:
            x[free] = here + step
            return x
        # All the way, or until the first of them comes there: whichever is lower.
        ways = [np.clip(here + step, low, high), np.clip(here + share * step, low, high)]
        ways[1][room <= share] = np.where(step < 0, low, high)[room <= share]
        x[free] = min(ways, key=lambda there: float((slope + 0.5 * part @ (there - here)) @ (there - here)))
        slope = slope + part @ (x[free] - here)
        stay = (x[free] > low) & (x[free] < high)
        free, part, slope, low, high = free[stay], part[np.ix_(stay, stay)], slope[stay], low[stay], high[stay]
    return x
