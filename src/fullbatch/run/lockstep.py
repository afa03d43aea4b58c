"""Many fits over the same blocks, side by side: all their requests are stacked into one read of the data."""

from collections.abc import Callable, Iterator, Sequence
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt

from ..objective.objective import Objective
from ..protocols.answers import Eval, Matrix
from ..protocols.requests import Curvature, DrawnCurvature, DrawnValueGrad, ValueGrad
from ..protocols.sampling import Draw
from ..protocols.seams import Steps

Array = npt.NDArray[Any]

# Bytes of the Hessians that one read brings, at the most; one is always allowed.
_MATRIX_BYTES = 2**27

_EVERY_ROW = Draw("all")


def lockstep(
    objectives: Sequence[Objective], solvers: Sequence[Any], thetas: Sequence[Array], tol: float, max_iter: int
) -> list[Any]:
    """Minimise several objectives over the same blocks, all their requests stacked into one read of the data.

    Each run ends by itself, and asks for nothing from then on. Hessians of more models than there is memory for are
    asked for in several reads.

    Parameters
    ----------
    objectives : sequence of Objective
        Over the same blocks; penalties, variables and draws may differ.
    solvers : sequence of Solver
        One for each; they must ask for `ValueGrad` and Hessians only: `LBFGS`, `Newton`, `ProximalNewton`.
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
    return [state for state, _ in runs_of(objectives, solvers, thetas, tol, max_iter)]


def runs_of(
    objectives: Sequence[Objective], solvers: Sequence[Any], thetas: Sequence[Array], tol: float, max_iter: int
) -> list[tuple[Any, Any]]:
    """As `lockstep`: the last state of each run, and the solver as it knew the problem."""
    blocks = objectives[0].blocks
    if any(objective.blocks is not blocks for objective in objectives):
        raise ValueError("lockstep needs objectives over the same blocks")
    for solver, objective in zip(solvers, objectives, strict=True):
        name = type(solver).__name__
        if hasattr(solver, "run") or not solver.requests <= {ValueGrad, Curvature}:
            instead = "ProximalNewton() or OWLQN()" if objective.penalty.parts else "LBFGS() or Newton()"
            raise TypeError(
                f"lockstep takes solvers that ask for ValueGrad and Hessians only, not {name}: use {instead}"
            )
        if strange := objective.penalty.parts - getattr(solver, "penalties", frozenset()):
            raise TypeError(
                f"{name} does not know penalties with {' and '.join(sorted(strange))}: use ProximalNewton()"
            )
        if not solver.requests <= objective.facts.answers:
            raise TypeError(f"{name} needs Hessians, which these blocks do not answer: use LBFGS()")
    prepared = [
        solver.for_problem(objective.facts) if hasattr(solver, "for_problem") else solver
        for solver, objective in zip(solvers, objectives, strict=True)
    ]
    runs = [_alone(solver, theta, tol, max_iter) for solver, theta in zip(prepared, thetas, strict=True)]
    ends = side_by_side(objectives, runs)
    return list(zip(ends, prepared, strict=True))


def by_draw(objectives: Sequence[Objective], asked: dict[int, Any]) -> Iterator[tuple[int, Any]]:
    """Answers of objectives over the same blocks, which count rows in their own ways, to `ValueGrad` and Hessians.

    Parameters
    ----------
    objectives : sequence of Objective
    asked : mapping of int to request
        By the numbers of the objectives that they are for.
    """
    requests = {number: objectives[number].translate(request) for number, request in asked.items()}
    for read in _reads(requests):
        total = objectives[0].blocks.sum(_stacked([requests[number] for number in read]))
        for row, number in enumerate(read):
            objectives[number].num_passes += 1
            yield number, objectives[number].answer(asked[number], _one(total, row, requests[number]))


def by_class(objectives: Sequence[Objective], asked: dict[int, Any]) -> Iterator[tuple[int, Any]]:
    """As `by_draw`, of objectives over `OfClass` blocks, to any request."""
    blocks: list[Any] = [objective.blocks for objective in objectives]
    waiting = list(asked)
    while waiting:
        sizes = np.array([_matrix_bytes(objectives[number], asked[number]) for number in waiting])
        taken = (sizes == 0) | (sizes.cumsum() <= _MATRIX_BYTES) | (sizes.cumsum() == sizes)  # one is always allowed
        read, waiting = (list(compress(waiting, taken == now)) for now in (True, False))
        requests = [objectives[number].translate(asked[number]) for number in read]
        totals = blocks[0].sum_each([blocks[number].number for number in read], requests)
        for number, total in zip(read, totals, strict=True):
            objectives[number].count(asked[number])
            yield number, objectives[number].told(asked[number], total)


def _matrix_bytes(objective: Objective, request: Any) -> int:
    """Of the matrix that a request asks for."""
    if getattr(request, "form", "") not in ("gram", "meat"):
        return 0
    width = objective.size if request.columns is None else len(request.columns) + 1
    return 8 * width * width


def side_by_side(
    objectives: Sequence[Objective],
    runs: Sequence[Steps[Any]],
    answered: Callable[[Sequence[Objective], dict[int, Any]], Iterator[tuple[int, Any]]] = by_draw,
) -> list[Any]:
    """What generators of requests return, each answered by its objective: reads are shared.

    Parameters
    ----------
    objectives : sequence of Objective
        Over the same data.
    runs : sequence of generators
        Of requests.
    answered : callable
        By which reads: `by_draw` or `by_class`.
    """
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
        for number, answer in answered(objectives, waiting):
            advance(number, answer)
    return [final[number] for number in range(len(runs))]


def look_at(objectives: Sequence[Objective], thetas: Sequence[Array]) -> None:
    """Ask for loss and gradient where an objective was asked for another place since, in one read for all of them: what
    `Objective.explained` tells then costs none.
    """
    requests = {
        number: ValueGrad(theta)
        for number, (objective, theta) in enumerate(zip(objectives, thetas, strict=True))
        if not objective.was_asked_at(theta)
    }
    for _ in by_draw(objectives, requests):
        pass


def _reads(requests: dict[int, Any]) -> Iterator[list[int]]:
    """Numbers of the models that one read answers: those with a Hessian come first."""
    simple = [i for i, request in requests.items() if isinstance(request, DrawnValueGrad) or _is_plain(request)]
    curved = [i for i in requests if i not in set(simple)]
    curved.sort(key=lambda i: (_widened(requests[i]), not _matrices(requests[i])))
    while curved:
        first = requests[curved[0]]
        size, alike = first.theta.shape[-1], _kind(first)
        most = max(1, _MATRIX_BYTES // (8 * size * size))
        read = [i for i in curved if _kind(requests[i]) == alike][:most]
        curved = [i for i in curved if i not in set(read)]
        if not curved and _widened(first) == 1.0:
            read, simple = read + simple, []
        yield read
    if simple:
        yield simple


def _is_plain(request: Any) -> bool:
    return isinstance(request, ValueGrad) and not request.double


def _matrices(request: Any) -> bool:
    return isinstance(request, Curvature) or getattr(request, "matrices", 0) > 0


def _widened(request: Any) -> float:
    return float(getattr(request, "widened", 1.0))


def _columns(request: Any) -> Any:
    return getattr(request, "columns", None)


def _kind(request: Any) -> tuple[float, bytes | None]:
    """What Hessians of one read have in common."""
    columns = _columns(request)
    return _widened(request), None if columns is None else columns.tobytes()


def _stacked(requests: list[Any]) -> ValueGrad | DrawnValueGrad | DrawnCurvature:
    """One request for all."""
    theta = np.array([np.ravel(request.theta) for request in requests])
    if all(_is_plain(request) for request in requests):
        return ValueGrad(theta)
    draws = tuple(request.draws[0] if hasattr(request, "draws") else _EVERY_ROW for request in requests)
    if all(isinstance(request, DrawnValueGrad) or _is_plain(request) for request in requests):
        return DrawnValueGrad(theta, draws)
    double = any(getattr(request, "double", False) for request in requests)
    first = requests[0]
    return DrawnCurvature(theta, draws, sum(map(_matrices, requests)), double, _widened(first), _columns(first))


def _one(total: Eval | Matrix, row: int, request: Any) -> Eval | Matrix:
    """The sums of one model, as if it had been asked for by itself."""
    drawn = hasattr(request, "draws")
    point = total if isinstance(total, Eval) else total.point
    assert point is not None
    one = slice(row, row + 1) if drawn else row
    weight = point.weight[one] if isinstance(point.weight, np.ndarray) else point.weight
    squares = None if point.squares is None else point.squares[one]  # type: ignore[index]
    alone = Eval(point.value[one], point.grad[one], weight, squares)  # type: ignore[index]
    if not _matrices(request):
        return alone
    assert isinstance(total, Matrix)
    return Matrix(total.matrix[one], weight, alone)


def _alone(solver: Any, theta: Array, tol: float, max_iter: int) -> Steps[Any]:
    """A whole run as one generator of requests."""
    state = yield from solver.init(np.asarray(theta, np.float64))
    while solver.optimality(state) > tol and not state.failure and state.iteration < max_iter:
        state = yield from solver.step(state)
    return state
