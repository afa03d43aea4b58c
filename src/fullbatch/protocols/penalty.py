"""What F counts beside the loss, in a solver's words: it stays on the driver, blocks never see it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.vectors import dot, norm

Array = npt.NDArray[Any]

# Newton's steps to the root of a convex function, at the most.
_STEPS = 100


@dataclass(frozen=True, slots=True, eq=False)
class Penalty:
    """What F counts beside the loss: l2_j theta_j^2 / 2 + l1_j |theta_j| for every coordinate of theta, within bounds,
    and l21_g |theta_g|_2 for groups of them (Yuan and Lin, 2006; with L1, Simon and others, 2013).

    Parameters
    ----------
    l2, l1 : (size,) float64 arrays
        Strengths.
    lower, upper : (size,) float64 arrays
        What a coordinate must not be below, and above; infinite where it may be anything.
    l21 : (size,) float64 array, optional
        Strengths of the norms of groups, the same for all coordinates of one, above 0; 0 for those in none.
    groups : (size,) int array, optional
        Number of the group of each coordinate, from 0; -1 for none. Those in one have no bounds.
    """

    l2: Array
    l1: Array
    lower: Array
    upper: Array
    l21: Array | None = None
    groups: Array | None = None

    @property
    def parts(self) -> frozenset[str]:
        """Which of "l1", "bounds" and "groups" there are: a solver must understand them. All of them understand l2."""
        bounded = np.isfinite(self.lower).any() or np.isfinite(self.upper).any()
        found = {"l1": self.l1.any(), "bounds": bounded, "groups": self.groups is not None}
        return frozenset(name for name, there in found.items() if there)

    @property
    def grouped(self) -> Array:
        """Which coordinates are in a group."""
        return np.zeros(len(self.l2), bool) if self.groups is None else self.groups >= 0

    @property
    def can_stand(self) -> Array:
        """Which coordinates have a corner or a bound that they can stand at."""
        return np.asarray((self.l1 > 0) | np.isfinite(self.lower) | np.isfinite(self.upper) | self.grouped)

    def of_coordinates(self, coordinates: Array) -> "Penalty":
        """That of some coordinates."""
        l2, l1, lower, upper = (part[coordinates] for part in (self.l2, self.l1, self.lower, self.upper))
        if self.groups is None or not (own := self.groups[coordinates] >= 0).any():
            return Penalty(l2, l1, lower, upper)
        assert self.l21 is not None
        groups = self.groups[coordinates]
        groups[own] = np.unique(groups[own], return_inverse=True)[1]
        return Penalty(l2, l1, lower, upper, self.l21[coordinates], groups)

    def times(self, share: float) -> "Penalty":
        """That of strengths so many times as large."""
        l21 = None if self.l21 is None else share * self.l21
        return Penalty(share * self.l2, share * self.l1, self.lower, self.upper, l21, self.groups)

    def norms(self, theta: Array) -> Array:
        """Of each coordinate the norm of its group, (size,); 0 of those in none."""
        found = np.zeros(len(theta))
        if self.groups is not None:
            own = self.grouped
            groups, sizes = self.groups[own], np.abs(theta[own])
            largest = np.zeros(int(groups.max()) + 1)
            np.maximum.at(largest, groups, sizes)
            unit = np.where(largest > 0, largest, 1.0)  # squares neither overflow nor underflow
            found[own] = (unit * np.sqrt(np.bincount(groups, (sizes / unit[groups]) ** 2)))[groups]
        return found

    def whole(self, chosen: Array) -> Array:
        """Those of the coordinates, and all that are in a group with one of them: (size,) bool."""
        if self.groups is None:
            return chosen
        return chosen | np.isin(self.groups, self.groups[chosen & self.grouped])

    def at_corner(self, theta: Array) -> Array:
        """Which coordinates stand at a bound, at zero where L1 has its corner, or in a group at zero."""
        corner = ((theta == 0) & (self.l1 > 0)) | (theta <= self.lower) | (theta >= self.upper)
        return np.asarray(corner if self.groups is None else corner | (self.grouped & (self.norms(theta) == 0)))

    def held(self, theta: Array, grad: Array) -> Array:
        """Which of them would not leave it by the slope of F there."""
        return np.asarray(self.at_corner(theta) & (self.steepest(theta, grad) == 0))

    def nearly(self, theta: Array, grad: Array, share: float) -> Array:
        """Which coordinates would leave zero if L1 and norms had this share of their strengths."""
        found = (self.l1 > 0) & (np.abs(grad) >= share * self.l1)
        if self.l21 is not None:
            own, at_zero = self.grouped, self.grouped & (self.norms(theta) == 0)
            beyond = self.norms(np.maximum(np.abs(grad) - share * self.l1, 0.0))
            found = (found & ~at_zero) | (own & (beyond >= share * self.l21))
        return np.asarray(found)

    def value(self, theta: Array) -> float:
        """What is added to the mean loss at a theta within the bounds."""
        found = 0.5 * float((self.l2 * theta * theta).sum()) + float((self.l1 * np.abs(theta)).sum())
        return found if self.l21 is None else found + float((theta * self.norm_slope(theta)).sum())

    def corner_change(self, theta: Array, there: Array) -> Array:
        """By how much L1 and norms change from here to there, (size,): those of groups are shared out so that they
        cancel against what slopes make of each coordinate.
        """
        found = self.l1 * (np.abs(there) - np.abs(theta))
        if self.l21 is None:
            return found
        total = self.norms(theta) + self.norms(there)
        return found + self.l21 * (there - theta) * ((theta + there) / np.where(total > 0, total, 1.0))

    def nearest(self, theta: Array, pull: Array | float = 0.0) -> Array:
        """The theta within the bounds that is nearest to one that is drawn to zero by `pull`."""
        drawn = np.sign(theta) * np.maximum(np.abs(theta) - pull, 0.0)
        return np.clip(drawn, self.lower, self.upper)

    def drawn(self, theta: Array, curvature: Array) -> Array:
        """Where 1/2 curvature (x - theta)^2 and the penalty but l2 have their minimum; one curvature for all of a
        group.
        """
        found = self.nearest(theta, self.l1 / curvature)
        return found if self.l21 is None else found * self._left_by(found, self.l21 / curvature)

    def steepest(self, theta: Array, grad: Array) -> Array:
        """The shortest of the subgradients of F, where `grad` is the gradient of its smooth part: 0 at a minimum."""
        if self.l21 is not None:
            grad = grad + self.norm_slope(theta)
        left, right = grad - self.l1, grad + self.l1
        slope = np.where(theta > 0, right, np.where(theta < 0, left, np.maximum(left, 0.0) + np.minimum(right, 0.0)))
        slope = np.where((theta <= self.lower) & (slope > 0), 0.0, slope)
        slope = np.where((theta >= self.upper) & (slope < 0), 0.0, slope)
        if self.l21 is None:
            return slope
        return np.where(self.grouped & (self.norms(theta) == 0), slope * self._left_by(slope, self.l21), slope)

    def norm_slope(self, theta: Array) -> Array:
        """The gradient of the norms of groups; 0 in those at zero."""
        if self.l21 is None:
            return np.zeros(len(theta))
        radius = self.norms(theta)
        return np.asarray(self.l21 * (theta / np.where(radius > 0, radius, 1.0)))

    def _left_by(self, theta: Array, pull: Array) -> Array:
        """The share of each coordinate that is left when norms of groups become shorter by `pull`."""
        radius = self.norms(theta)
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(self.grouped, np.where(radius > pull, 1.0 - pull / radius, 0.0), 1.0)

    def members(self) -> list[Array]:
        """The coordinates of each group."""
        if self.groups is None:
            return []
        order = np.argsort(self.groups, kind="stable")
        order = order[self.groups[order] >= 0]
        return np.split(order, np.flatnonzero(np.diff(self.groups[order])) + 1)

    def dual_norms(self, slope: Array) -> Array:
        """What L1 and norms must be multiplied by at least so that a group at zero stays there under this gradient,
        (size,), the same for all of one; 0 of coordinates in none.
        """
        found = np.zeros(len(slope))
        for places in self.members():
            assert self.l21 is not None
            found[places] = _dual_norm(np.abs(slope[places]), self.l1[places], float(self.l21[places[0]]))
        return found


def _dual_norm(size: Array, l1: Array, l21: float) -> float:
    """The inverse of the largest s with |max(s size - l1, 0)| <= l21: the root of a convex function, by Newton's method
    from above. Ndiaye and others, "GAP safe screening rule for sparse-group lasso" (2016).
    """
    slopes = size > 0
    if not slopes.any():
        return 0.0
    s = float(((l1[slopes] + l21) / size[slopes]).min())  # one coordinate alone would be too much beyond
    for _ in range(_STEPS):
        excess = np.maximum(s * size - l1, 0.0)
        radius = norm(excess)
        if not radius > l21:
            break
        s, before = s - (radius - l21) * radius / dot(excess, size), s
        if not s < before:
            break
    return 1.0 / s
