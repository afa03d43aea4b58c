"""What is known for certain of the place where a run ended: a bound of the distance from the minimum."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..machine.vectors import norm
from ..objective.groups import nearest_of_group
from ..protocols.seams import Facts, Penalty, with_penalty

Array = npt.NDArray[Any]


class Certificate(NamedTuple):
    """A bound of F - F*, the distance of F from its minimum.

    Parameters
    ----------
    bound : float
        Infinite where none is known.
    words : str
        Under which condition it holds, or why there is none.
    name : {"strong convexity", "duality gap", "residual"}
        What the bound is; "residual" where there is none, and `words` tell the scaled residual of the optimality
        conditions, if that is known.
    """

    bound: float
    words: str
    name: str = "residual"


def certify(grad: Array, facts: Facts) -> Certificate:
    """The bound |g|^2 / (2 l2) of a strongly convex F.

    Parameters
    ----------
    grad : (size,) array
        Gradient of F; where F has corners or bounds, its shortest subgradient.
    facts : Facts
        Of the problem.
    """
    if not facts.convex:
        return Certificate(np.inf, "no bound: the loss is not known to be convex")
    penalized = facts.l2 > 0
    if not penalized.any():
        return Certificate(np.inf, "no bound: nothing is penalised, so the loss alone would have to be strongly convex")
    with np.errstate(over="ignore"):  # then nothing is known, which is what infinity says
        bound = 0.5 * float((grad[penalized] ** 2 / facts.l2[penalized]).sum())
    name = "strong convexity"
    if penalized.all():
        return Certificate(
            bound, "F - F* is at most this: F is strongly convex, every coordinate being penalised", name
        )
    return Certificate(bound, f"F - F* is at most this {_if_at_their_best(grad, ~penalized)}", name)


def best_certificate(theta: Array, value: float, grad: Array, facts: Facts, score_r2: float | None) -> Certificate:
    """The smallest bound that is known, and where none is the scaled residual of the optimality conditions.

    Parameters
    ----------
    theta : (size,) array
        Where the run ended.
    value : float
        F there.
    grad : (size,) array
        Gradient of F's smooth part there.
    facts : Facts
        Of the problem.
    score_r2 : float or None
        See `Result`: its root is the residual.
    """
    penalty = with_penalty(facts).penalty
    assert penalty is not None
    found = [certify(penalty.steepest(theta, grad), facts)]
    if penalty.parts and facts.convex:
        found.append(duality_gap(theta, value, grad, facts, penalty))
    best = min(found, key=lambda one: one.bound)
    if best.bound < np.inf or score_r2 is None:
        return best
    residual = f"; of the optimality conditions a scaled residual of {np.sqrt(score_r2):.1e} is left"
    return best._replace(words=best.words + residual)


def duality_gap(theta: Array, value: float, grad: Array, facts: Facts, penalty: Penalty) -> Certificate:
    """F at theta less the dual objective at a point made of the slopes of the rows' losses there.

    The slopes r_i are scaled by a number s, 1 or a little less, so that no coordinate of theta that may grow for ever
    is worth more than its penalty. The losses' conjugates at s r_i need no pass: their sum is convex in s, known at 1
    by the equality of Fenchel and Young, theta'g - loss, and at 0 no more than what the loss cannot fall below, with
    its sign turned; under the squared loss it is a parabola. Ndiaye, Fercoq, Gramfort and Salmon, "Gap safe screening
    rules for sparsity enforcing penalties" (2017).
    """
    loss, slope = value - penalty.value(theta), grad - penalty.l2 * theta
    grouped = penalty.grouped
    one_sided = (penalty.l2 == 0) & ~((penalty.upper < np.inf) & (penalty.lower > -np.inf)) & ~grouped
    free = one_sided & (penalty.l1 == 0) & (penalty.upper == np.inf) & (penalty.lower == -np.inf)
    slope = np.where(free, 0.0, slope)
    worth = np.maximum(np.where(penalty.upper == np.inf, -slope, 0.0), np.where(penalty.lower == -np.inf, slope, 0.0))
    beyond = one_sided & (worth > penalty.l1)
    s = min(1.0, (1.0 - 1e-15) * float((penalty.l1[beyond] / worth[beyond]).min(initial=2.0)))
    curved = _curved_groups(penalty)
    if (worth_of_groups := penalty.dual_norms(slope)[grouped & ~curved]).any():
        s = min(s, (1.0 - 1e-14) / float(worth_of_groups.max()))
    if not (s > 0 and np.isfinite(slope).all()):
        return Certificate(np.inf, "no bound: bounds alone hold coordinates that would go on, whose slopes are not 0")
    lost = 0.0 if s == 1.0 else (1.0 - s) * (loss - facts.least)
    if facts.parameters.quadratic:
        lost = (1.0 - s) ** 2 * loss
    pull = -s * slope
    excess = np.sign(pull) * np.maximum(np.abs(pull) - penalty.l1, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        there = np.where(penalty.l2 > 0, excess / np.where(penalty.l2 > 0, penalty.l2, 1.0), excess * np.inf)
    there = np.clip(np.where(excess == 0, 0.0, there), penalty.lower, penalty.upper)
    for places in penalty.members():  # of a group without l2 nothing is worth more than its norm
        there[places] = nearest_of_group(penalty, places, excess[places]) if curved[places[0]] else 0.0
    conjugate = pull * there - penalty.l1 * np.abs(there) - 0.5 * penalty.l2 * there * there
    conjugate = conjugate - there * penalty.norm_slope(there)
    gap = float(lost + s * (theta * slope).sum() + penalty.value(theta) + conjugate.sum())
    if not np.isfinite(gap):
        return Certificate(np.inf, "no bound: the dual problem has no point near by")
    words = f"F - F* is at most this: the slopes of the losses, times {s:.9g}, are a point of the dual problem"
    if free.any():
        words = f"{words}, {_if_at_their_best(grad, free)}"
    return Certificate(max(gap, 1e-15 * abs(value)), words, "duality gap")


def _curved_groups(penalty: Penalty) -> Array:
    """Coordinates of groups all of which have l2, whose conjugate is finite everywhere. Of others l2 does not count,
    which leaves a bound a bound.
    """
    found = penalty.grouped & (penalty.l2 > 0)
    for places in penalty.members():
        found[places] = found[places].all()
    return found


def _if_at_their_best(grad: Array, free: Array) -> str:
    length = norm(grad[free])
    return (
        f"if the coordinates without penalty were at their best; the gradient in them has norm {length:.1e}, which is "
        "not part of the bound"
    )
