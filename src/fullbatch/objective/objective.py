"""The objective: blocks answer sums, the driver makes the weighted mean of them and adds the penalty."""

from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..protocols.answers import Curves, Eval, Matrix, Point, Product, Sample, SampleSums, SquareSums
from ..protocols.requests import (
    Curvature,
    DrawnCurvature,
    DrawnValueGrad,
    HessVec,
    OfSample,
    RowSample,
    SampleGrams,
    Squares,
    ValueGrad,
)
from ..protocols.sampling import Draw
from ..protocols.schema import CONSTANT, Moments
from ..protocols.seams import Blocks, ChangeOfVariables, Facts, Parameters, Penalty, coordinates_of
from .design import as_solved
from .factor import factors
from .penalties import penalty_of

Array = npt.NDArray[Any]


class Objective:
    """F(theta) = (sum of weight_i loss_i(theta)) / (sum of weight_i) + sum of (l2_j theta_j^2 / 2 + l1_j |theta_j|)
    + sum over groups of l21_g |theta_g|.

    The mean is over all rows of all blocks, by weight: it does not change when the data is cut differently.
    Calling an objective with a request is one pass over the data.

    Parameters
    ----------
    blocks : Blocks
        Placed by an engine. They are not closed by the objective.
    l2 : float or (size,) array
        A number counts for the coordinates that the model penalises (never its intercepts); an array gives each
        coordinate its own. With `variables`, it applies to the solver's theta.
    variables : ChangeOfVariables, optional
        Maps the theta of this objective to the blocks' theta, for example `Standardized`.
    draw : Draw, optional
        Counts some rows only, or some more than once: a fold, or a bootstrap replicate. For solvers that ask for
        `ValueGrad` and Hessians alone; `lockstep` minimises many of them with one read of the data for all.
        Default: every row once.
    l1 : float or (size,) array
        As `l2`. Values of F count it; gradients are those of the smooth part of F.
    lower, upper : float or (size,) array
        What theta must be within. A number counts for the coordinates that the model penalises.
    l21 : float or (size,) array
        Strength of the norms of `groups`: a number is multiplied by the root of the number of a group's coordinates;
        an array gives each coordinate that of its group. Values of F count it, gradients do not.
    groups : (size,) int array, optional
        Number of the group of each coordinate; negative for none.

    Attributes
    ----------
    size : int
        Length of theta.
    num_passes : int
        Reads of the whole data so far, set-up not counted.
    num_sampled_passes : float
        Reads of a sample of the rows so far, each counted as its share of the rows: requests that are answered row
        by row.
    num_setup_passes : int
        Reads of the whole data to describe and build the blocks, and to check their gradient.
    """

    def __init__(
        self,
        blocks: Blocks,
        l2: float | Array = 0.0,
        variables: ChangeOfVariables | None = None,
        draw: Draw | None = None,
        *,
        l1: float | Array = 0.0,
        lower: float | Array = -np.inf,
        upper: float | Array = np.inf,
        l21: float | Array = 0.0,
        groups: Array | None = None,
    ) -> None:
        if not hasattr(blocks, "parameters"):
            raise ValueError(f"blocks must be placed by an engine, engine.place(model, sources), got {blocks!r}")
        if not (variables is None or hasattr(variables, "to_blocks")):
            raise ValueError(
                f"variables must be a change of variables, such as Standardized, or None, got {variables!r}"
            )
        if not (draw is None or isinstance(draw, Draw)):
            raise ValueError(f"draw must be a Draw or None, got {draw!r}")
        if draw is not None and DrawnValueGrad not in blocks.answers:
            raise TypeError("these blocks count every row once: only linear models take a draw")
        self.blocks = blocks
        self.variables = variables
        self.draw = draw
        self._null_of_draw: tuple[float, float] | None = None
        self.size = blocks.parameters.size
        self.penalty = penalty_of(l2, l1, lower, upper, blocks.parameters, l21, groups)
        self.l2 = self.penalty.l2
        self.num_passes = 0
        self.num_sampled_passes = 0.0
        self.num_setup_passes = 1
        self._last: tuple[Array, Point] | None = None
        self._squares: tuple[Array, float] | None = None  # theta asked for last, and mean squared slope there

    def full_loss(self, theta: Array) -> float:
        """F at `theta`, as optimisers with separate functions ask for it.

        `full_loss` then `full_grad` at the same theta costs one pass.
        """
        return self._remembered(theta).value

    def full_grad(self, theta: Array) -> Array:
        """Gradient of F at `theta`, shape (size,): an array of the caller's own."""
        return self._remembered(theta).grad.copy()

    def value_and_grad(self, theta: Array) -> Point:
        """F and its gradient at `theta`: one pass."""
        return self(ValueGrad(self._checked(theta)))

    def steepest(self, theta: Array, grad: Array) -> Array:
        """The gradient of F from that of its smooth part; where F has corners or bounds, its shortest subgradient."""
        return self.penalty.steepest(theta, grad) if self.penalty.parts else grad

    def with_penalty(
        self, penalty: Penalty, draw: Draw | None = None, null: tuple[float, float] | None = None
    ) -> "Objective":
        """The objective of the same blocks and variables with another penalty, and of the rows that `draw` counts.

        Parameters
        ----------
        penalty : Penalty
        draw : Draw, optional
        null : tuple of float and float, optional
            Of these rows: what the mean loss cannot fall below, and how far that of the null model is above.
        """
        parts: dict[str, Any] = {"l1": penalty.l1, "lower": penalty.lower, "upper": penalty.upper}
        if penalty.groups is not None:
            parts |= {"l21": penalty.l21, "groups": penalty.groups}
        other = Objective(self.blocks, penalty.l2, self.variables, draw, **parts)
        other._null_of_draw = null
        return other

    @property
    def facts(self) -> Facts:
        """What solvers may know before the first pass."""
        blocks, schema = self.blocks, self.blocks.schema
        squares = constant = larger = None
        if blocks.parameters.predictors is not None:
            mean, spread = self._columns
            size = np.abs(schema.mean)
            constant = (np.sqrt(schema.variance) <= CONSTANT * size) & (np.abs(mean) <= CONSTANT * size)
            constant |= (mean == 0) & (spread == 0)  # of columns that are not used
            with np.errstate(over="ignore", under="ignore"):
                squares = np.where(constant, 0.0, mean**2 + spread**2)
                centred = (mean == 0) & (schema.variance > 0) & ~constant
                own = np.where(centred, np.sqrt(schema.variance), 1.0)
                larger = np.where(centred, np.hypot(size / own, 1.0), 1.0)
        parameters, least = self._parameters, blocks.parameters.least
        if self._null_of_draw is not None:
            least, null = self._null_of_draw
            parameters = replace(parameters, null=null)
        elif self.draw is not None:
            least = parameters.least_of_some
        return Facts(
            schema.n_rows,
            parameters,
            self.l2,
            blocks.answers if self.draw is None else frozenset({ValueGrad, Curvature}) & blocks.answers,
            schema.dense_columns,
            schema.looked_up,
            squares,
            constant,
            least,
            larger,
            self.penalty if self.penalty.parts else None,
        )

    @cached_property
    def _parameters(self) -> Parameters:
        """Those of the blocks.

        Under Huber's and the quantile loss the null model's F takes a pass, counted with those of the set-up: the
        variance of the targets says little of it where a few rows are far off.
        """
        parameters, sums = self.blocks.parameters, self.blocks.schema.null
        if not (parameters.straight_from > 0 and np.isfinite(parameters.null)) or sums is None:
            return parameters
        theta = np.zeros(self.size)
        theta[~parameters.penalized] = sums.null().intercept
        total = self.blocks.sum(ValueGrad(theta))
        self.num_setup_passes += 1
        above = float(total.value / total.weight) - parameters.least
        # At the mean instead of the quantile it is up to twice as high.
        return replace(parameters, null=0.5 * above if 0 < above < np.inf else parameters.null)

    @cached_property
    def _columns(self) -> tuple[Array, Array]:
        """Mean and spread of the columns that the solver's coefficients multiply, (p,) each."""
        return self._as_solved(self.blocks.schema.mean, np.sqrt(self.blocks.schema.variance))

    def _as_solved(self, mean: Array, spread: Array) -> tuple[Array, Array]:
        """Mean and spread of the columns that the solver's coefficients multiply, from those of columns as stored."""
        if self.variables is None:
            return mean, spread
        (mean, beyond), _ = self.variables.columns([np.array([mean, mean + spread])])
        return mean, beyond - mean

    def explained(self, theta: Array, grad: Array) -> float | None:
        """The largest share of the score's variance that a single column, or the intercept, explains: an R^2.

        Under a loss with slopes r_i in the linear predictor, column j explains g_j^2 / (s_j^2 mean of r^2): g is the
        gradient of F along the column less its mean, and s its spread. By Cauchy and Schwarz it is never above 1; it
        is 0 at a minimum, and sees a column that a solver has never used. All columns together explain about as much
        or more: it is a lower bound. It costs nothing at the theta that was asked for last, else a pass.

        Parameters
        ----------
        theta, grad : (size,) arrays
            Where, and the gradient of F there.

        Returns
        -------
        float or None
            None for models that are not linear, and where it is not finite.
        """
        predictors = self.blocks.parameters.predictors
        if predictors is None:
            return None
        if not self.was_asked_at(theta):
            self.value_and_grad(theta)
        if self._squares is None or not 0 <= self._squares[1] < np.inf:
            return None
        mean, spread = self._columns
        of_columns, centre = grad[predictors[:, : len(mean)]], np.zeros(len(predictors))
        with np.errstate(all="ignore"):  # what is not finite is told as that
            if predictors.shape[1] > len(mean):
                centre = grad[predictors[:, -1]]
                of_columns = of_columns - centre[:, None] * mean
            else:
                spread = np.sqrt(mean**2 + spread**2)
            varies = spread > np.maximum(1e-10 * np.abs(mean), CONSTANT * np.abs(self.blocks.schema.mean))
            largest = float((((of_columns[:, varies] / spread[varies]) ** 2).sum(axis=0)).max(initial=0.0))
            largest = max(largest, float((centre**2).sum()))
            return 0.0 if largest == 0 else min(largest / self._squares[1], 1.0) if self._squares[1] > 0 else 1.0

    def was_asked_at(self, theta: Array) -> bool:
        """Whether the rows' slopes are known that `explained` needs: those of the theta that was asked for last."""
        return self._squares is not None and np.array_equal(self._squares[0], theta)

    def __call__(self, request: Any) -> Any:
        """Answer a solver's request: one pass over the data, or over a sample of the rows where it asks for that."""
        asked = self.translate(request)
        self.count(request)
        with np.errstate(over="ignore", invalid="ignore"):  # a trial point too far out: solvers look for infinities
            return self.told(request, self.blocks.sum(asked))

    def told(self, request: Any, total: Any) -> Any:
        """As `answer`; where sums of float32 rows overflow, by another pass with float64 products."""
        answer = self.answer(request, total)
        return self(replace(request, double=True)) if self._overflows(request, answer) else answer

    def _overflows(self, request: Any, answer: Any) -> bool:
        """Whether more than float32 holds came out of finite parameters."""
        point = answer if isinstance(answer, Point) else getattr(answer, "point", None)
        if point is None or getattr(request, "double", True) or self.blocks.parameters.dtype != "float32":
            return False
        finite = np.isfinite(point.value) and np.isfinite(point.grad).all()
        return not finite and bool(np.isfinite(request.theta).all())

    def count(self, request: Any) -> None:
        """Add what answering a request costs to the counts."""
        fraction = getattr(request, "fraction", 1.0) if self.draw is None else 1.0
        if isinstance(request, OfSample) or getattr(request, "form", "") == "rows" or fraction < 1:
            self.num_sampled_passes += fraction
        else:
            self.num_passes += 1

    def translate(self, request: Any) -> Any:
        """The request as the blocks are asked it: in their variables, of the rows that count."""
        if self.draw is not None:
            gram = isinstance(request, Curvature) and request.form == "gram"
            if not (gram or isinstance(request, ValueGrad)):
                raise TypeError(
                    f"an objective with a draw answers ValueGrad, not {type(request).__name__}: use 'lbfgs' or 'newton'"
                )
            theta = (request.theta if self.variables is None else self.variables.to_blocks(request.theta))[None]
            if gram or request.double:
                widened, columns = getattr(request, "widened", 1.0), getattr(request, "columns", None)
                # In float64: of a draw it is not known how far F stands above its least, nor so what rounding is.
                return DrawnCurvature(theta, (self.draw,), int(gram), True, widened, columns)
            return DrawnValueGrad(theta, (self.draw,))
        if self.variables is None or isinstance(request, RowSample | Squares):
            return request
        if isinstance(request, ValueGrad | SampleGrams):
            return replace(request, theta=self.variables.to_blocks(request.theta))
        if isinstance(request, HessVec):
            return HessVec(self.variables.to_blocks(request.theta), self.variables.to_blocks(request.v))
        if isinstance(request, Curvature) and request.form in ("gram", "rows"):
            return replace(request, theta=self.variables.to_blocks(request.theta))
        what = getattr(request, "form", "")
        raise TypeError(
            f"{type(request).__name__}{f' {what!r}' if what else ''} cannot be asked under a change of variables: "
            "ask the blocks"
        )

    def answer(self, request: Any, total: Any) -> Any:
        """What the solver is told, from the blocks' sums.

        Parameters
        ----------
        request : ValueGrad, HessVec, Curvature, RowSample or SampleGrams
            As the solver made it.
        total : Eval, Product, Matrix, RowCurvature, Sample or SampleSums
            Sums over all blocks, in the blocks' variables.

        Returns
        -------
        Point for ValueGrad; for HessVec the Hessian of F times v, (size,); Curves for Curvature (but the form "rows"
        is answered as the blocks do); a Sample, or SampleSums, of the columns that theta multiplies;
        for Squares a list with the Factor of each fold
        """
        if isinstance(total, Product):
            return self._pull_back(total.product) / total.weight + self.l2 * request.v
        if isinstance(total, Matrix) and isinstance(total.weight, np.ndarray):  # of the one model with a draw
            assert total.point is not None
            if isinstance(request, ValueGrad):
                return self.answer(request, total.point)
            point = self._alone(total.point)
            total = Matrix(total.matrix[0], float(point.weight), point)
        if isinstance(total, SampleSums):
            weight, moments = total.moments.weight, total.moments
            mean, spread = self._as_solved(moments.mean, np.sqrt(moments.squares / (weight or 1.0)))
            moments = Moments(weight, mean, spread**2 * weight)
            predictors = self.blocks.parameters.predictors
            assert predictors is not None
            matrices = as_solved(total, predictors, self.size, self._pull_back)
            return SampleSums(matrices, total.sums, moments, np.zeros_like(mean))
        if isinstance(total, Matrix):
            return self._curves(request, total)
        if isinstance(total, SquareSums):
            found = factors(total)
            return found if self.variables is None else [one.under(self.variables) for one in found]
        if isinstance(total, Sample):
            if self.variables is None:
                return total
            X, shift = self.variables.columns(total.parts)
            return replace(total, parts=(X,), shift=shift)
        if not isinstance(total, Eval):
            return total
        if isinstance(total.value, np.ndarray) and isinstance(total.weight, np.ndarray):  # of the one model asked for
            total = self._alone(total)
        return self._point(request.theta, total)

    def _alone(self, total: Eval) -> Eval:
        """The sums of the one model with a draw."""
        value, weight = np.asarray(total.value)[0], np.asarray(total.weight)[0]
        if not weight > 0:
            raise DataError(f"no row with a weight counts under {self.draw}: choose fewer folds or another seed")
        squares = None if total.squares is None else float(np.asarray(total.squares)[0])
        return Eval(float(value), total.grad[0], float(weight), squares)

    def _point(self, theta: Array, total: Eval) -> Point:
        pull = self.l2 * theta
        if total.squares is not None:
            self._squares = theta, float(total.squares / total.weight)
        value = float(total.value / total.weight) + self.penalty.value(theta)
        return Point(value, self._pull_back(total.grad) / total.weight + pull)

    def _curves(self, request: Curvature, total: Matrix) -> Curves:
        point, squares = None, 0.0
        if total.point is not None:
            point = self._point(request.theta, total.point)
            squares = float(total.point.squares or 0.0) / float(total.point.weight)
        matrix = total.matrix
        if request.form == "meat":
            return Curves(matrix, point, squares)
        l2, variables = self.l2, self.variables
        if request.columns is not None:
            predictors = self.blocks.parameters.predictors
            assert predictors is not None
            l2 = l2[coordinates_of(predictors, self.blocks.schema.n_features, request.columns)]
            variables = None if variables is None else variables.of_columns(request.columns)
        if request.form == "gram" and variables is not None:
            matrix = np.array([variables.pull_back(row) for row in matrix])
            matrix = np.array([variables.pull_back(row) for row in matrix.T])
        matrix = matrix / total.weight
        if request.form == "gram":
            matrix[np.diag_indices(len(matrix))] += l2
        if request.form == "diagonal":
            matrix = matrix + self.l2
        return Curves(matrix, point, squares)

    def _pull_back(self, grad: Array) -> Array:
        return np.asarray(grad if self.variables is None else self.variables.pull_back(np.asarray(grad)))

    def _remembered(self, theta: Array) -> Point:
        # By value: optimisers reuse and overwrite the array they pass.
        theta = self._checked(theta)
        if self._last is None or not np.array_equal(self._last[0], theta):
            self._last = (theta.copy(), self.value_and_grad(theta))
        return self._last[1]

    def _checked(self, theta: Array) -> Array:
        theta = np.asarray(theta, np.float64)
        if theta.shape != (self.size,):
            raise ValueError(f"theta has shape {theta.shape}, this model has {self.size} parameters")
        return theta
