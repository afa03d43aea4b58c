"""Which columns a Hessian is asked of, where F has corners at which most coordinates stand; and the quadratic model in
their coefficients alone.

A column that stands at a corner, and whose slope is well within it, may be left out of the model: Tibshirani and
others, "Strong rules for discarding predictors in lasso-type problems" (2012). The gradient in all coordinates, which
every pass brings, tells when that was wrong.
"""

from dataclasses import dataclass, replace

import numpy as np

from ..objective.proximal import Cornered
from ..protocols.answers import Curves
from ..protocols.rows import Array
from ..protocols.seams import Facts, Penalty

# Columns beyond those that are in use, at first and as a multiple of these; and the share of its L1 strength that the
# slope of one must have to be worth its place.
_FIRST, _TIMES, _NEAR = 100, 1.0, 0.8


def most_columns(facts: Facts, max_bytes: int) -> int:
    """Columns whose Hessian, with its copies, takes no more memory than that."""
    return int((max_bytes / 24) ** 0.5 / facts.outputs) - 1


def in_use(facts: Facts, *thetas: Array) -> Array:
    """Which columns have a coordinate that does not stand at a corner, at any of these theta: (features,) bool."""
    penalty = _penalty(facts)
    moves = np.zeros(len(penalty.l2), bool)
    for theta in thetas:
        moves |= ~penalty.at_corner(theta)
    return columns_of(facts, moves)


def columns_of(facts: Facts, coordinates: Array) -> Array:
    """Which columns these coordinates are coefficients of, and those that are in a group with one of them:
    (features,) bool.
    """
    of_columns = facts.predictors[:, : facts.features]
    if _penalty(facts).groups is None:
        return np.asarray(coordinates[of_columns].any(axis=0))
    while True:  # a group may be of several columns, and a column in several groups
        found = coordinates[of_columns].any(axis=0)
        coordinates = coordinates.copy()
        coordinates[of_columns[:, found]] = True
        more = _penalty(facts).whole(coordinates)
        if (more == coordinates).all():
            return np.asarray(found)
        coordinates = more


def first_set(facts: Facts, theta: Array) -> Array:
    """Columns for the first pass: those in use, and one more where there is none."""
    used = in_use(facts, theta)
    if not used.any():
        used[0 if facts.squares is None else int(np.argmax(facts.squares))] = True
    return _whole(facts, used)


def _whole(facts: Facts, used: Array) -> Array:
    """The columns, with all that are in a group with one of them."""
    if _penalty(facts).groups is None:
        return np.flatnonzero(used)
    coordinates = np.zeros(facts.parameters.size, bool)
    coordinates[facts.predictors[:, : facts.features][:, used]] = True
    return np.flatnonzero(columns_of(facts, coordinates))


def moving(facts: Facts, theta: Array, aim: Array, grad: Array) -> Array:
    """Columns that a Hessian must be of: those in use at `theta` or at `aim`, and those that leave their corners."""
    used = in_use(facts, theta, aim) | columns_of(facts, _penalty(facts).steepest(theta, grad) != 0)
    return _whole(facts, used)


def next_set(facts: Facts, theta: Array, aim: Array, grad: Array, most: int) -> Array:
    """Columns for the next pass: those in use at `theta` or at `aim`, and those whose slopes at `theta` would most
    likely move them. Longer than `most` where those that must be there do not fit.
    """
    penalty, used = _penalty(facts), in_use(facts, theta, aim)
    count = int(used.sum())
    if count > most:
        return np.flatnonzero(used)
    if facts.features < 2 * count and facts.features <= most:  # choosing would cost more than it saves
        return np.arange(facts.features)
    of_columns = facts.predictors[:, : facts.features]
    slope = np.abs(penalty.steepest(theta, grad))
    short = _short(penalty, theta, grad)
    near = np.isfinite(short) & (slope == 0) & penalty.at_corner(theta) & _is_near(penalty, theta, grad, short)
    beyond = np.where(slope > 0, slope, np.where(near, -short, -np.inf))[of_columns]
    size = np.ones(facts.features)
    if facts.squares is not None:
        size = np.sqrt(np.where(facts.squares > 0, facts.squares, np.inf))
    relative = np.divide(beyond, size, out=np.full_like(beyond, -np.inf), where=beyond > -np.inf)
    score = np.where(used, -np.inf, relative.max(axis=0))
    if count == most and (~used & (beyond > 0).any(axis=0)).any():
        return _whole(facts, used | (beyond > 0).any(axis=0))
    extra = min(max(_FIRST, int(_TIMES * count)), most - count)
    candidates = np.flatnonzero(score > -np.inf)
    if len(candidates) > extra:
        candidates = candidates[np.argsort(-score[candidates], kind="stable")[:extra]]
    used[candidates] = True
    if not used.any():
        used[0] = True
    return _whole(facts, used)


def _short(penalty: Penalty, theta: Array, grad: Array) -> Array:
    """How much the slope of a coordinate is short of moving it from where it stands; infinite where it cannot move."""
    right = grad + np.where(theta >= 0, 1.0, -1.0) * penalty.l1
    left = grad - np.where(theta <= 0, 1.0, -1.0) * penalty.l1
    short = np.minimum(np.where(theta < penalty.upper, right, np.inf), np.where(theta > penalty.lower, -left, np.inf))
    if penalty.l21 is None:
        return short
    beyond_l1 = penalty.norms(np.maximum(np.abs(grad) - penalty.l1, 0.0))
    return np.where(penalty.grouped, np.abs(beyond_l1 - penalty.l21), short)


def _is_near(penalty: Penalty, theta: Array, grad: Array, short: Array) -> Array:
    """Whether that is little beside L1 and norms; at a bound without them there is nothing that it could be beside."""
    near = short <= (1.0 - _NEAR) * np.where(penalty.l1 > 0, penalty.l1, np.inf)
    return near if penalty.l21 is None else np.where(penalty.grouped, penalty.nearly(theta, grad, _NEAR), near)


@dataclass(frozen=True, eq=False)
class OnColumns:
    """As `Cornered`, of theta whose other coordinates stand still.

    Parameters
    ----------
    model : Cornered
        In the coordinates of some columns, and the intercepts.
    places : (k,) int array
        Which coordinates of theta these are.
    theta, grad : (size,) arrays
        Where the model was made, and the gradient of F's smooth part there.
    facts : Facts
        Of the whole problem.
    usual : float
        The largest curvature of a coordinate of the model, per mean square of its column.
    small : float
        A decrease that is not worth being exact about.
    """

    model: Cornered
    places: Array
    theta: Array
    grad: Array
    facts: Facts
    usual: float
    small: float

    @classmethod
    def of(
        cls, curves: Curves, theta: Array, facts: Facts, precision: str, columns: Array, small: float
    ) -> "OnColumns | None":
        """From the answer to `Curvature` of some columns; None where something is not finite."""
        assert curves.point is not None
        places, grad = facts.coordinates(columns), curves.point.grad
        own = curves._replace(point=curves.point._replace(grad=grad[places]))
        model = Cornered.of(own, theta[places], facts.of_columns(columns), precision)
        if model is None or not np.isfinite(grad).all():
            return None
        squares = facts.by_coordinate(facts.squares)[places]
        usual = float(np.max(curves.matrix.diagonal() / np.where(squares > 0, squares, np.inf), initial=0.0))
        return cls(model, places, theta, grad, facts, usual, small)

    @property
    def blurred(self) -> float:
        """See `Cornered.blurred`."""
        return self.model.blurred

    def minimum(self, damping: float = 0.0, near: Array | None = None) -> tuple[Array, bool]:
        """See `Cornered.minimum`."""
        there, reached = self.model.minimum(damping, None if near is None else near[self.places])
        return self._whole(there), reached

    def change(self, theta: Array) -> float:
        """See `Cornered.change`."""
        return self.model.change(theta[self.places])

    def steepness(self, theta: Array) -> float:
        """See `Cornered.steepness`."""
        return self.model.steepness(theta[self.places])

    def probe(self, theta: Array, small: float) -> tuple[Array, float] | None:
        """See `Cornered.probe`."""
        found = self.model.probe(theta[self.places], small)
        return None if found is None else (self._whole(found[0]), found[1])

    def left(self, theta: Array) -> tuple[float, float]:
        """See `Cornered.left`; infinite where others would leave their corners, and but for what damping hides where it
        is a lot.
        """
        fallen = max(-self.change(theta), 0.0)
        if fallen > self.small:
            return fallen, 0.0
        return (np.inf, 0.0) if self.others_move(fallen) else self.model.left(theta[self.places])

    def others_move(self, fallen: float) -> bool:
        """Whether a coordinate beside those of the model would leave its corner, here or where F has fallen by that: by
        Cauchy and Schwarz its slope changes by no more than the root of twice that times its curvature.
        """
        penalty = _penalty(self.facts)
        reach = np.sqrt(2.0 * fallen * self.usual * self.facts.by_coordinate(self.facts.squares))
        alone, shorter = np.where(penalty.grouped, 0.0, reach), penalty
        if penalty.l21 is not None:
            shorter = replace(penalty, l21=np.maximum(penalty.l21 - penalty.norms(reach), 0.0))
        moves = np.zeros(len(reach), bool)
        for change in (-alone, alone):
            moves |= shorter.steepest(self.theta, self.grad + change) != 0
        moves[self.places] = False
        return bool(moves.any())

    def _whole(self, there: Array) -> Array:
        theta = self.theta.copy()
        theta[self.places] = there
        return theta


def _penalty(facts: Facts) -> Penalty:
    assert facts.penalty is not None
    return facts.penalty
