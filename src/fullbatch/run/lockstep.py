"""Many fits over the same blocks, side by side: all their requests are stacked into one read of the data."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..objective.objective import Objective
from ..protocols.answers import Eval
from ..protocols.requests import DrawnValueGrad, ValueGrad
from ..protocols.sampling import Draw
from ..protocols.seams import Steps

Array = npt.NDArray[Any]


def lockstep(
    objectives: Sequence[Objective], solvers: Sequence[Any], thetas: Sequence[Array], tol: float, max_iter: int
) -> list[Any]:
    """Minimise several objectives over the same blocks, all their requests stacked into one read of the data.

    Parameters
    ----------
    objectives : sequence of Objective
        Over the same blocks; penalties, variables and draws may differ.
    solvers : sequence of Solver
        One for each; they must ask for `ValueGrad` only.
    thetas : sequence of (size,) arrays
        Starting points.
    tol : float
        As in `minimize`, for each.
    max_iter : int
        As in `minimize`, for each.

    Returns
    -------
    list of solver states
    """
    blocks = objectives[0].blocks
    if any(objective.blocks is not blocks for objective in objectives):
        raise ValueError("lockstep needs objectives over the same blocks")
    for solver in solvers:
        if not solver.requests <= {ValueGrad}:
            raise TypeError(
                f"lockstep takes solvers that ask for ValueGrad only, not {type(solver).__name__}: use LBFGS()"
            )
        if any(objective.penalty.parts for objective in objectives):
            raise TypeError("lockstep takes no L1 penalties or bounds yet: minimise each objective by itself")
    solvers = [
        solver.for_problem(objective.facts) if hasattr(solver, "for_problem") else solver
        for solver, objective in zip(solvers, objectives, strict=True)
    ]
    runs = [_alone(solver, theta, tol, max_iter) for solver, theta in zip(solvers, thetas, strict=True)]
    final: dict[int, Any] = {}
    asked: dict[int, Any] = {}

    def advance(number: int, answer: Any) -> None:
        try:
            asked[number] = runs[number].send(answer)
        except StopIteration as done:
            final[number] = done.value

    for number in range(len(runs)):
        advance(number, None)
    while asked:
        waiting, asked = asked, {}
        total = blocks.sum(_stacked([objectives[i].translate(request) for i, request in waiting.items()]))
        for row, (number, request) in enumerate(waiting.items()):
            objectives[number].num_passes += 1
            one = slice(row, row + 1) if objectives[number].draw is not None else row
            weight = total.weight[one] if isinstance(total.weight, np.ndarray) else total.weight
            squares = None if total.squares is None else total.squares[one]
            advance(
                number, objectives[number].answer(request, Eval(total.value[one], total.grad[one], weight, squares))
            )
    return [final[number] for number in range(len(runs))]


def _stacked(requests: list[Any]) -> ValueGrad | DrawnValueGrad:
    """One request for all."""
    theta = np.array([np.ravel(request.theta) for request in requests])
    if not any(isinstance(request, DrawnValueGrad) for request in requests):
        return ValueGrad(theta)
    draws = [request.draws[0] if isinstance(request, DrawnValueGrad) else Draw("all") for request in requests]
    return DrawnValueGrad(theta, tuple(draws))


def _alone(solver: Any, theta: Array, tol: float, max_iter: int) -> Steps[Any]:
    """A whole run as one generator of requests."""
    state = yield from solver.init(np.asarray(theta, np.float64))
    while solver.optimality(state) > tol and not state.failure and state.iteration < max_iter:
        state = yield from solver.step(state)
    return state
