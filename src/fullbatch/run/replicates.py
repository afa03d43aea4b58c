"""Bootstrap replicates of one fit, advancing together: each read of the data answers for all that are under way.

Replicates count rows with Poisson weights, a function of row number, replicate and seed. As a rule their Hessians
differ little from that of all rows, which is asked for once, and by which they go; where each has ended it is asked for
its own. A replicate that does not go as the shared one says, or of which its own says that more is left, is handed to a
solver of its own, in `lockstep`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..machine.blas import one_thread
from ..objective.groups import norm_curvature
from ..objective.objective import Objective
from ..protocols.answers import Eval
from ..protocols.sampling import Draw
from ..protocols.seams import Facts, Penalty
from ..solvers.working_set import next_set
from ._by_part import Rows, sums_of_draws
from ._hessians import have_room, most_shared, places_in
from ._nulls import Null, NullsOfDraws
from ._shared_fit import Fit, by_working_set, go_on_in_lockstep, go_on_one_by_one, goes_by_hessians
from .result import Notice, Status
from .told import look_at_fits, worth_a_look

Array = npt.NDArray[Any]

# Numbers of the gradients of a read at the most: 64 MB.
_MOST_NUMBERS = 2**23

# Bytes of the Hessians of a read.
_MATRIX_BYTES = 2**27

# Groups of rows whose sums stand for single rows in the third moments of the influence.
_GROUPS = 200


@dataclass(frozen=True, eq=False)
class Replicates:
    """Fits to B bootstrap replicates of the rows.

    Parameters
    ----------
    thetas : (B, size) array
    statuses : list of B str
    left : (B,) array
        By how much F can still fall, as `Result.remaining_r2`.
    known_by : list of B str
        As in `Path`.
    notices : list of B tuples of Notice
        What is to be said of each beside how it ended.
    acceleration : (size,) array
        BCa's, of each coordinate on the columns as stored: a sixth of the skewness of the rows' influence on it.
    """

    thetas: Array
    statuses: list[str]
    left: Array
    known_by: list[str]
    notices: list[tuple[Notice, ...]]
    acceleration: Array


class _Sums(NamedTuple):
    loss: Array
    grad: Array


class _Shared(NamedTuple):
    """The Hessian of the mean loss, of some columns and the intercepts, or of all."""

    matrix: Array
    columns: Array | None


def replicates(
    objective: Objective, penalty: Penalty, theta: Array, count: int, seed: int, tol: float, max_iter: int
) -> Replicates:
    """Fit `count` replicates, from the fit to all rows.

    Parameters
    ----------
    objective : Objective
        Blocks and variables; its own penalty does not count.
    penalty : Penalty
        Beside the mean loss of each replicate.
    theta : (size,) array
        The fit to all rows.
    count, seed : int
        Of the replicates.
    tol, max_iter : float, int
        As in `minimize`.
    """
    shared = _shared(objective, penalty, theta)
    most = max(1, _MOST_NUMBERS // len(theta))
    fits: list[Fit] = []
    notices: list[tuple[Notice, ...]] = []
    for first in range(0, count, most):
        draws = [Draw("bootstrap", number, seed=seed) for number in range(first, min(first + most, count))]
        start, nulls = _ask(objective, np.tile(theta, (len(draws), 1)), draws), NullsOfDraws(objective, draws)
        facts = [_facts(objective, penalty, null) for null in nulls.of([[i] for i in range(len(draws))])]
        group = [Fit(0, first + i, facts[i], theta, float(start.loss[i]), start.grad[i]) for i in range(len(draws))]
        if shared is None:
            for fit in group:
                fit.alone = True
        else:
            _go_by(shared, objective, group, draws, tol, max_iter)
            ended = [fit for fit in group if fit.status is Status.CONVERGED]
            _look_at_their_own(objective, ended, draws, first, tol, shared.columns)
        _by_themselves(objective, [fit for fit in group if fit.alone], seed, tol, max_iter)
        notices += _told(objective, group, seed)
        fits += group
    return Replicates(
        np.array([fit.theta for fit in fits]),
        [(fit.status or Status.MAX_ITER).value for fit in fits],
        np.array([fit.left for fit in fits]),
        [fit.known_by for fit in fits],
        notices,
        np.full(len(theta), np.nan) if shared is None else _acceleration(objective, penalty, theta, shared, seed),
    )


def _shared(objective: Objective, penalty: Penalty, theta: Array) -> _Shared | None:
    """The Hessian at the fit to all rows, by which replicates go: of the columns in use, and as many that may be soon,
    where most can stand at a corner; None where it is larger than a fit of so many parameters by itself would ask for.
    """
    whole = objective.with_penalty(penalty)
    columns = None
    if by_working_set(whole):
        grad = whole.value_and_grad(theta).grad
        objective.num_passes += whole.num_passes
        most = most_shared(whole.facts, 1)
        columns = next_set(whole.facts, theta, theta, grad, most)
        if len(columns) > most:
            return None
    elif not (have_room(whole.facts, 1) and goes_by_hessians(whole.facts)):
        return None
    rows = Rows(objective, 0, 0)
    return _Shared(rows.ask(theta[None], [0], columns).matrix[0, 0] / rows.weight[0], columns)


def _go_by(
    shared: _Shared, objective: Objective, fits: list[Fit], draws: Sequence[Draw], tol: float, max_iter: int
) -> None:
    """Read until each has ended by the shared Hessian, or must go on by itself."""
    for fit in fits:
        fit.aim(shared.matrix, shared.columns)
        # A quadratic model with corners tells of a place where F curves up alone.
        fit.alone |= fit.others_move or (bool(fit.penalty.parts) and not objective.facts.parameters.convex)
    while going := [row for row, fit in enumerate(fits) if fit.open]:
        answer = _ask(objective, np.array([fits[row].trial for row in going]), [draws[row] for row in going])
        for place, row in enumerate(going):
            loss, grad = float(answer.loss[place]), answer.grad[place]
            fits[row].take(loss, grad, np.inf, shared.matrix, tol, shared.columns)
            fits[row].alone |= fits[row].others_move and fits[row].status is None
            fits[row].end_after(max_iter)


def _facts(objective: Objective, penalty: Penalty, null: Null) -> Facts:
    """Of a replicate's problem."""
    facts, (least, deviance) = objective.facts, null
    parameters = replace(facts.parameters, null=deviance)
    return replace(facts, l2=penalty.l2, penalty=penalty, least=least, parameters=parameters)


def _look_at_their_own(
    objective: Objective, fits: list[Fit], draws: Sequence[Draw], first: int, tol: float, columns: Array | None
) -> None:
    """Ask for the Hessian of each replicate where it ended: a row that it lacks may be most of that of all rows, which
    then says that nothing is left where everything is. Those for which it is not borne out go on alone.
    """
    size = objective.size if columns is None else len(objective.facts.coordinates(columns))
    most = max(1, _MATRIX_BYTES // (8 * size**2))
    for place in range(0, len(fits), most):
        some = fits[place : place + most]
        asked = [draws[fit.number - first] for fit in some]
        total = sums_of_draws(objective, np.array([fit.theta for fit in some]), asked, len(some), columns)
        for fit, matrix, weight in zip(some, total.matrix, np.asarray(total.weight), strict=True):
            fit.look_at(matrix / weight, tol, columns)


def _ask(objective: Objective, thetas: Array, draws: Sequence[Draw]) -> _Sums:
    """Mean loss and gradient of each replicate: one pass."""
    total = _point(objective, thetas, draws)
    weight = np.asarray(total.weight)
    if not (weight > 0).all():
        empty = draws[int(np.argmin(weight > 0))]
        raise DataError(f"no row with a weight counts under {empty}: there are too few rows for a bootstrap")
    return _Sums(np.asarray(total.value) / weight, total.grad / weight[:, None])


def _point(objective: Objective, thetas: Array, draws: Sequence[Draw]) -> Eval:
    """Sums of losses and gradients."""
    point = sums_of_draws(objective, thetas, draws).point
    assert point is not None
    return point


def _by_themselves(objective: Objective, fits: list[Fit], seed: int, tol: float, max_iter: int) -> None:
    """Replicates by solvers of their own, in lockstep."""
    if not fits:
        return
    objectives = [_of_replicate(objective, fit, seed) for fit in fits]
    some = by_working_set(objectives[0])
    if some or not go_on_in_lockstep(fits, objectives, objective, tol, max_iter):
        go_on_one_by_one(fits, objectives, objective, tol, max_iter)


def _of_replicate(objective: Objective, fit: Fit, seed: int) -> Objective:
    """What a replicate minimises."""
    draw = Draw("bootstrap", fit.number, seed=seed)
    return objective.with_penalty(fit.penalty, draw, (fit.facts.least, fit.facts.parameters.null))


def _told(objective: Objective, fits: list[Fit], seed: int) -> list[tuple[Notice, ...]]:
    """What is to be said of each; those that are not the only ones become the shortest."""
    told: list[tuple[Notice, ...]] = [()] * len(fits)
    unsure = ((row, fit) for row, fit in enumerate(fits) if fit.doubtful)
    doubtful = [row for row, fit in unsure if worth_a_look(fit.facts, fit.theta, np.nan, True)]
    if doubtful:
        objectives = [_of_replicate(objective, fits[row], seed) for row in doubtful]
        for row, found in zip(
            doubtful, look_at_fits(objectives, [fits[row].theta for row in doubtful], objective), strict=True
        ):
            fits[row].theta, told[row] = found.theta, found.notices
    return told


def _acceleration(objective: Objective, penalty: Penalty, theta: Array, shared: _Shared, seed: int) -> Array:
    """A sixth of the skewness of the influence on each coordinate, by the infinitesimal jackknife.

    The influence of a row is H^-1 times the gradient of its loss. Rows are taken in groups, dealt at random: third and
    second moments of sums of independent terms are sums of theirs. One pass.
    """
    groups = int(min(_GROUPS, max(objective.blocks.schema.n_rows // 2, 2)))
    draws = [Draw("only", group, groups, seed) for group in range(groups)]
    total = _point(objective, np.tile(theta, (groups, 1)), draws)
    grads, weight = total.grad, np.asarray(total.weight)
    influence = np.zeros((groups, len(theta)))
    free = ~penalty.at_corner(theta)
    # Less their share of what the penalty pulls, so that they add up to nothing.
    own = grads - weight[:, None] * (grads.sum(axis=0) / weight.sum())
    of_norms = norm_curvature(penalty.of_coordinates(np.flatnonzero(free)), theta[free])
    inside = places_in(objective.facts, shared.columns)[free]
    matrix = shared.matrix[np.ix_(inside, inside)] + np.diag(penalty.l2[free]) + of_norms
    with one_thread():
        influence[:, free] = -np.linalg.lstsq(matrix, own[:, free].T, rcond=None)[0].T
    if objective.variables is not None:  # it is linear
        influence = np.array([objective.variables.to_blocks(one) for one in influence])
    squares = (influence**2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(squares > 0, (influence**3).sum(axis=0) / (6.0 * squares**1.5), 0.0)
