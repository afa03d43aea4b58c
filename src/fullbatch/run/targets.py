"""Several targets of the same rows, under the squared loss: sums of one read serve all of them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..objective.factor import Factor, lengths
from ..objective.objective import Objective
from ..protocols.answers import Eval, Matrix, SquareSums
from ..protocols.requests import Curvature, DrawnCurvature, DrawnValueGrad, Squares, ValueGrad
from ..protocols.sampling import Draw
from ..protocols.schema import Moments
from ..protocols.seams import coordinates_of
from . import _by_part

Array = npt.NDArray[Any]


def squares_of(objective: Objective) -> Factor:
    """The sums of squares of all rows, exact where it matters: one read, or two."""
    return _by_part.SquareSums(objective, 1, 0).parts[0]


class TargetSums:
    """Sums of products of the columns and of several targets.

    Parameters
    ----------
    blocks : Blocks
        Of `models.by_row.ByRow` with targets.
    count : int
        How many targets.
    """

    def __init__(self, blocks: Any, count: int) -> None:
        self.blocks, self.count = blocks, count
        self._known: dict[tuple[bool, int, int], SquareSums] = {}

    def of(self, number: int, request: Squares) -> SquareSums:
        """The sums of one target; a read where no other one has asked for them."""
        key = (request.exact, request.folds, request.seed)
        if key not in self._known:
            self._known[key] = self.blocks.sum(request)
        joint = self._known[key]
        width = joint.matrices.shape[1] - self.count
        own = np.append(np.arange(width), width + number)
        if joint.exact:  # what is below the columns' triangle is one length
            matrices = joint.matrices[:, : width + 1, own].copy()
            matrices[:, -1, :-1] = 0.0
            matrices[:, -1, -1] = [lengths(one[width:, [width + number]])[0] for one in joint.matrices]
        else:
            matrices = joint.matrices[:, own[:, None], own]
        target = float(np.broadcast_to(joint.target, self.count)[number])
        return replace(joint, matrices=matrices, target=target)

    def one(self, number: int) -> "OneTarget":
        """Blocks that answer for one target."""
        return OneTarget(self, number)


class OneTarget:
    """The blocks of one of several targets: whatever they are asked, sums that are shared by all targets answer.

    Parameters
    ----------
    sums : TargetSums
    number : int
        Of the target.
    """

    answers = frozenset({Squares, ValueGrad, Curvature, DrawnValueGrad, DrawnCurvature})

    def __init__(self, sums: TargetSums, number: int) -> None:
        self._sums, self._number = sums, number
        blocks = sums.blocks
        moments = self._moments(blocks.schema.weight)
        null_sums = replace(blocks.schema.null, moments=moments)
        null = null_sums.null()
        self.schema = replace(blocks.schema, target_mean=float(moments.mean[0]), null=null_sums)
        self.parameters = replace(blocks.parameters, dtype="float64", least=null.least, null=null.deviance)
        self._parts: dict[tuple[int, int], _by_part.SquareSums] = {}

    def _moments(self, weight: float) -> Moments:
        """Of the target; without an intercept around zero, which is then what a null model predicts."""
        sums = self._sums.of(self._number, Squares())
        matrix = sums.matrices[0]
        if matrix.shape[0] == len(sums.center) + 1:
            return Moments(weight, np.zeros(1), matrix[-1:, -1])
        shift = matrix[0, -1] / matrix[0, 0]
        squares = max(matrix[-1, -1] - shift * matrix[0, -1], 0.0)
        return Moments(weight, np.array([sums.target + shift]), np.array([squares]))

    def sum(self, request: Any) -> Any:
        """The answer, from the sums."""
        if isinstance(request, Squares):
            return self._sums.of(self._number, request)
        thetas = np.atleast_2d(request.theta)
        if isinstance(request, DrawnValueGrad):
            return self._drawn(thetas, request.draws)[0]
        if isinstance(request, DrawnCurvature):
            of_draws, matrices = self._drawn(thetas, request.draws, request.matrices)
            return Matrix(self._in_columns(matrices, request.columns), of_draws.weight, of_draws)
        value, grad, matrix = self._of(Draw("all"), thetas, isinstance(request, Curvature))
        weight = self.schema.weight
        if np.ndim(request.theta) == 2:
            return Eval(value, grad, weight, 2.0 * value)
        point = Eval(float(value[0]), grad[0], weight, 2.0 * float(value[0]))
        if matrix is None:
            return point
        if request.form != "gram":
            raise ValueError(f"of one of several targets only the form 'gram' is known, not {request.form!r}")
        return Matrix(self._in_columns(matrix, request.columns), weight, point)

    def close(self) -> None:
        """Nothing is held but what all targets share."""

    def _of(self, draw: Draw, thetas: Array, curved: bool) -> tuple[Array, Array, Array | None]:
        """Losses, gradients and, if asked for, the Hessian of the rows that a draw counts."""
        key = (1, 0) if draw.form == "all" else (draw.folds, draw.seed)
        if key not in self._parts:
            self._parts[key] = _by_part.SquareSums(Objective(self), *key)
        found = self._parts[key].ask(thetas, [0] if curved else [])
        used = np.ones(len(found.value), bool)
        if draw.form != "all":
            used = (np.arange(draw.folds) == draw.number) == (draw.form == "only")
        return (
            found.value[used].sum(axis=0),
            found.grad[used].sum(axis=0),
            found.matrix[0, used].sum(axis=0) if curved else None,
        )

    def _in_columns(self, matrix: Array, columns: Array | None) -> Array:
        """Hessians in the coefficients of some columns and the intercepts."""
        if columns is None:
            return matrix
        assert self.parameters.predictors is not None
        own = coordinates_of(self.parameters.predictors, self.schema.n_features, columns)
        return matrix[..., own[:, None], own]

    def _drawn(self, thetas: Array, draws: Sequence[Draw], matrices: int = 0) -> tuple[Eval, Array]:
        """Losses and gradients of the rows that draws count, and the Hessians of the first of them."""
        found = [
            self._of(draw, theta[None], number < matrices)
            for number, (theta, draw) in enumerate(zip(thetas, draws, strict=True))
        ]
        value, grad = (np.concatenate([one[i] for one in found]) for i in (0, 1))
        weight = np.array([self._weight(draw) for draw in draws])
        size = thetas.shape[1]
        matrix = np.array([one[2] for one in found[:matrices]]).reshape(matrices, size, size)
        return Eval(value, grad, weight, 2.0 * value), matrix

    def _weight(self, draw: Draw) -> float:
        if draw.form == "all":
            return float(self.schema.weight)
        weight = self._parts[draw.folds, draw.seed].weight
        return float(weight[draw.number] if draw.form == "only" else np.delete(weight, draw.number).sum())
