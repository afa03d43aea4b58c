"""Loss, gradient and Hessian of many thetas, for each part of the rows by itself: folds that add up to any others."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..objective.factor import Factor
from ..objective.objective import Objective
from ..protocols.answers import Matrix
from ..protocols.requests import DrawnCurvature, Squares
from ..protocols.sampling import Draw
from ..solvers.least_squares import DOUBTFUL, ILL_CONDITIONED, solve
from ._nulls import Null, NullsOfDraws

Array = npt.NDArray[Any]

# Of a difference of sums, as a share of them.
_ROUNDING = 1e-14


class ByPart(NamedTuple):
    """Sums over the rows of each of J parts, at M thetas.

    Parameters
    ----------
    value : (J, M) array
        Weighted losses.
    grad : (J, M, size) array
        Their gradients.
    matrix : (G, J, k, k) array
        Hessians, of the thetas that they were asked for, in the coordinates of the columns that they were asked of.
    """

    value: Array
    grad: Array
    matrix: Array


class Rows:
    """The parts of the rows of an objective, as the blocks answer for them: one read for all thetas and parts.

    Parameters
    ----------
    objective : Objective
        Of all rows.
    parts : int
        How many; 0 for one of all rows.
    seed : int
        Of the folds, which the parts are as a rule.

    Attributes
    ----------
    weight : (J,) array
        Sum of the weights of each part; known after the first answer.
    """

    def __init__(self, objective: Objective, parts: int, seed: int) -> None:
        self._objective = objective
        self._draws = [Draw("only", part, parts, seed) for part in range(parts)] or [Draw("all")]
        self.weight = np.zeros(len(self._draws))
        self._nulls: NullsOfDraws | None = None

    def ask(self, thetas: Array, matrices: Sequence[int] = (), columns: Array | None = None) -> ByPart:
        """Sums at the thetas, (M, size), in the objective's variables; of those that `matrices` names the Hessians, of
        some columns as in `Curvature`.

        One pass.
        """
        parts, count, size = len(self._draws), len(thetas), thetas.shape[1]
        order = [*matrices, *(m for m in range(count) if m not in set(matrices))]
        draws = [draw for _ in order for draw in self._draws]
        thetas = np.repeat(thetas[order], parts, axis=0)
        total = sums_of_draws(self._objective, thetas, draws, len(matrices) * parts, columns)
        assert total.point is not None
        self.weight = np.asarray(total.weight)[:parts]
        value, grad = np.zeros((parts, count)), np.zeros((parts, count, size))
        value[:, order] = np.reshape(total.point.value, (count, parts)).T
        grad[:, order] = total.point.grad.reshape(count, parts, size).swapaxes(0, 1)
        return ByPart(value, grad, total.matrix.reshape(len(matrices), parts, *total.matrix.shape[1:]))

    def nulls(self, counted: Sequence[Sequence[int]]) -> list[Null]:
        """The null models of the rows of some parts together: a pass of the set-up, the first time."""
        if self._nulls is None:
            self._nulls = NullsOfDraws(self._objective, self._draws)
        return self._nulls.of(counted)


class SquareSums:
    """The parts of the rows under the squared loss, whose sums one read brings, or two where they are ill-conditioned.

    Parameters and attributes as those of `Rows`.
    """

    def __init__(self, objective: Objective, parts: int, seed: int) -> None:
        parts = max(parts, 1)
        found = objective(Squares(folds=parts, seed=seed))
        if not all(
            np.isfinite(part.R).all() and part.condition <= ILL_CONDITIONED and _is_sure(part) for part in found
        ):
            found = objective(Squares(exact=True, folds=parts, seed=seed))
        if not all(np.isfinite(part.R).all() and np.isfinite(part.z).all() for part in found):
            raise DataError(
                "the squares of columns or targets are not finite numbers: scale them, such as to other units"
            )
        self.parts: list[Factor] = found
        self.weight = np.array([part.weight for part in found])
        self._matrix = np.array([part.hessian() for part in found])
        self._intercepts = ~objective.facts.parameters.penalized

    def ask(self, thetas: Array, matrices: Sequence[int] = ()) -> ByPart:
        """As `Rows.ask`; no pass."""
        value = np.array([[part.loss(theta) for theta in thetas] for part in self.parts])
        grad = np.array([[part.slope(theta) for theta in thetas] for part in self.parts])
        return ByPart(value, grad, np.repeat(self._matrix[None], len(matrices), axis=0))

    def minimum(self, numbers: Sequence[int], l2: Array) -> tuple[Array, float]:
        """Where the mean loss of some parts and this penalty have their minimum, and the share of the squared residuals
        there that the columns still explain; of several minima the shortest, in scaled columns. No pass.
        """
        found = solve(reduce(add, [self.parts[number] for number in numbers]), l2)
        return found.theta, found.remaining

    def nulls(self, counted: Sequence[Sequence[int]]) -> list[Null]:
        """As `Rows.nulls`; no pass. The mean loss where nothing but the intercept is fitted, if there is one; infinite
        where that is 0.
        """
        zero, free = np.zeros(self._matrix.shape[-1]), self._intercepts
        loss = np.array([part.loss(zero) for part in self.parts])
        slope = np.array([part.slope(zero)[free] for part in self.parts])
        curvature = self._matrix.diagonal(axis1=1, axis2=2)[:, free]
        nulls = []
        for numbers in map(list, counted):
            weight, value, whole = (of[numbers].sum(axis=0) for of in (self.weight, loss, curvature))
            drop = slope[numbers].sum(axis=0) ** 2 / np.where(whole > 0, whole, np.inf)
            fitted = float(value) - 0.5 * float(drop.sum())
            nulls.append((0.0, fitted / float(weight) if weight > 0 and fitted > _ROUNDING * value else np.inf))
        return nulls


def sums_of_draws(
    objective: Objective, thetas: Array, draws: Sequence[Draw], matrices: int = 0, columns: Array | None = None
) -> Matrix:
    """Sums of losses, gradients and, of the first `matrices`, Hessians, of some columns if these are given: of each
    theta over the rows of its draw, in the objective's variables. One pass.
    """
    variables = objective.variables
    asked = thetas if variables is None else np.array([variables.to_blocks(theta) for theta in thetas])
    objective.num_passes += 1
    with np.errstate(over="ignore", invalid="ignore"):
        request = DrawnCurvature(asked, tuple(draws), matrices, double=True, columns=columns)
        total = objective.blocks.sum(request)
    assert isinstance(total, Matrix)
    assert total.point is not None
    if variables is None:
        return total
    matrix = total.matrix
    if matrices:
        own = variables if columns is None else variables.of_columns(columns)
        matrix = own.pull_back(own.pull_back(matrix).swapaxes(-1, -2))
    return replace(total, matrix=matrix, point=replace(total.point, grad=variables.pull_back(total.point.grad)))


def _is_sure(part: Factor) -> bool:
    """Whether squaring has left enough digits of what the columns do not explain."""
    total = float(part.z @ part.z) + part.rest
    return total == 0 or bool(part.rest * DOUBTFUL > np.finfo(np.float64).eps * total)
