"""What norms of groups are to the minimum of a quadratic model: that of a block, and that of the groups that are not at
zero.

Block coordinate descent finds which groups are at zero: the minimum of a block is exact, by its eigenvectors and the
root of a secular equation (Qin, Scheinberg and Goldfarb, "Efficient block-coordinate descent algorithms for the group
lasso", 2013). Where the others are, F's model is smooth but for signs, and Newton's method finds its minimum to the
last digits, however correlated columns are.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from ..machine.eigen import eigh
from ..machine.vectors import dot, norm
from ..protocols.rows import Array
from ..protocols.seams import Penalty

# Newton's steps at the most.
_STEPS = 20

# Of slopes, as a share of their terms.
_ROUNDING = 4e-15

# Of the decrease that a step promises, what it must have; and how often a step is halved at the most.
_TAKEN, _HALVINGS = 1e-4, 40

# Steps to the root of a secular equation, and sets of coordinates that L1 holds for each of a block, at the most.
_ROOT, _SETS = 100, 10


@dataclass(frozen=True, eq=False)
class Block:
    """A group: its coordinates, its part of the matrix, and the eigenvalues and eigenvectors of that."""

    places: Array
    matrix: Array
    values: Array
    vectors: Array
    l1: Array
    l21: float

    def minimum(self, pull: Array, start: Array) -> Array:
        """Where 1/2 x'Ax - pull'x and the penalty have their minimum; with L1 a better place than `start`, as a rule
        that minimum.
        """
        drawn = np.sign(pull) * np.maximum(np.abs(pull) - self.l1, 0.0)
        if norm(drawn) <= self.l21:
            return np.zeros(len(pull))
        if not self.l1.any():
            return _secular(self.values, self.vectors, pull, self.l21)
        away = drawn * ((1.0 - self.l21 / norm(drawn)) / self.values[-1])  # lower than 0
        return self._with_signs(pull, start if start.any() else away, away)

    def _with_signs(self, pull: Array, x: Array, away: Array) -> Array:
        """The minimum for fixed signs, in turn for those that it has. What changes its sign on the way stays at 0; once
        all others are at their minimum, the coordinate at 0 that pulls most leaves it.
        """
        sign = np.sign(x)
        for _ in range(_SETS * len(x)):
            on = sign != 0
            signed, to = (pull - self.l1 * sign)[on], np.zeros(len(x))
            if norm(signed) > self.l21:
                to[on] = _secular(*eigh(self.matrix[np.ix_(on, on)]), signed, self.l21)
            wrong = on & (to * sign < 0)
            if wrong.any():
                with np.errstate(divide="ignore", invalid="ignore"):
                    room = np.where(wrong, x / (x - to), np.inf)
                x = x + float(room.min()) * (to - x)
                x[room <= room.min()] = 0.0
            else:
                x = to
            if not x.any():
                x = away
            sign = np.sign(x)
            if not wrong.any() and x is to:
                slope = self.matrix @ x - pull
                beyond = np.where(x == 0, np.abs(slope) - self.l1, 0.0)
                most = int(beyond.argmax())
                if beyond[most] <= _ROUNDING * float(np.abs(pull).max()):
                    break
                sign[most] = -np.sign(slope[most])
        return x


def _secular(values: Array, vectors: Array, pull: Array, l21: float) -> Array:
    """Where 1/2 x'Ax - pull'x + l21 |x| has its minimum, from the eigenvectors of A, if that is not at 0.

    It is (A + l21 / r)^-1 pull with r = |x|, and 1 / |pull / (values r + l21)| is a concave, growing function of r:
    Newton's method comes to its root from below.
    """
    along, r = vectors.T @ pull, 0.0
    for _ in range(_ROOT):
        terms = along / (values * r + l21)
        size = norm(terms)
        curved = float((terms * terms * (values / (values * r + l21))).sum())
        if not (size > 1.0 and curved > 0):
            break
        before, r = r, r + (size - 1.0) * size * size / curved
        if not before < r < np.inf:
            r = before
            break
    return np.asarray(vectors @ (along * (r / (values * r + l21))))


def nearest_of_group(penalty: Penalty, places: Array, pull: Array) -> Array:
    """Where the norm of a group and its l2, which no coordinate is without, less pull'x have their minimum."""
    l2, l21 = penalty.l2[places], float(penalty.l21[places[0]])  # type: ignore[index]
    beyond = norm(pull) > l21
    return _secular(l2, np.eye(len(places)), pull, l21) if beyond else np.zeros(len(places))


def norm_curvature(penalty: Penalty, theta: Array) -> Array:
    """Second derivatives of the norms of groups that are not at zero, (size, size)."""
    radius = penalty.norms(theta)
    if penalty.l21 is None or penalty.groups is None:
        return np.zeros((len(theta), len(theta)))
    away = penalty.grouped & (radius > 0)
    root = np.where(away, np.sqrt(penalty.l21 / np.where(away, radius, 1.0)), 0.0)
    unit = root * (theta / np.where(away, radius, 1.0))
    same = penalty.groups[:, None] == penalty.groups
    return np.diag(root * root) - np.where(same, np.outer(unit, unit), 0.0)


def blocks_of(matrix: Array, penalty: Penalty, damping: Array) -> Iterator[Block]:
    """The groups, each with its part of a matrix to whose diagonal the damping is added."""
    for places in penalty.members():
        assert penalty.l21 is not None
        part = matrix[np.ix_(places, places)] + np.diag(damping[places])
        values, vectors = eigh(part)
        values = np.maximum(values, 1e-15 * values[-1])
        yield Block(places, part, values, vectors, penalty.l1[places], float(penalty.l21[places[0]]))


def face_minimum(matrix: Array, slopes: Array, x: Array, penalty: Penalty, damping: Array) -> Array:
    """The minimum over the coordinates that are neither at zero, in a group at zero, nor at a bound; as near to it as
    Newton's method comes in a few steps. Those that come there on the way stay there.
    """
    for _ in range(_STEPS):
        free = np.flatnonzero(~penalty.at_corner(x))
        inside = penalty.of_coordinates(free)
        grad = inside.steepest(x[free], slopes[free])
        if not free.size or not grad.any():
            break
        part = matrix[np.ix_(free, free)]
        part[np.diag_indices(len(free))] += damping[free]
        way = -solved(part + norm_curvature(inside, x[free]), grad)
        found = _search(part, slopes[free], grad, x[free], way, inside)
        if found is None:
            break
        change = found - x[free]
        slopes = slopes + matrix[:, free] @ change
        slopes[free] += damping[free] * change
        x = x.copy()
        x[free] = found
    return x


def _search(part: Array, slopes: Array, grad: Array, here: Array, way: Array, penalty: Penalty) -> Array | None:
    """A better place along the way, where L1's signs stay, bounds are kept, and groups that would turn round are at
    zero; None where rounding hides it.
    """
    promised, share = -dot(grad, way), 1.0
    if not promised > 0:
        return None
    radius = penalty.norms(here)
    along = np.where(penalty.grouped, here * way, 0.0)
    for _ in range(_HALVINGS):
        there = np.clip(here + share * way, penalty.lower, penalty.upper)
        there[(penalty.l1 > 0) & (there * here < 0)] = 0.0
        for places in penalty.members():
            if radius[places[0]] ** 2 + share * float(along[places].sum()) <= 0:
                there[places] = 0.0
        change = there - here
        fallen = -float((slopes * change + penalty.corner_change(here, there)).sum()) - 0.5 * change @ (part @ change)
        if fallen >= _TAKEN * share * promised:
            return there
        share *= 0.5
    return None


def solved(matrix: Array, slope: Array) -> Array:
    """The solution of a system of a matrix that is positive definite but for rounding."""
    try:
        return np.asarray(cho_solve(cho_factor(matrix, lower=True), slope))
    except LinAlgError:
        values, vectors = eigh(matrix)
        return np.asarray(vectors @ ((vectors.T @ slope) / np.maximum(values, 1e-15 * values[-1])))
