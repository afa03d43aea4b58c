"""A block of a linear model: every request as passes over its rows."""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from ..data.features import codes_of_levels
from ..kernels.families import is_convex, within
from ..kernels.losses import Huber, Quantile, Squared, SquaredHinge, straight_from, widened
from ..kernels.wide import is_wide, numbered
from ..objective.design import design_of, keeps_sparse
from ..protocols.answers import Eval, Matrix, Nulls, Product, RowCurvature, Sample, SampleSums, SquareSums
from ..protocols.requests import (
    Curvature,
    DrawnCurvature,
    DrawnNull,
    DrawnValueGrad,
    HessVec,
    Request,
    RowSample,
    SampleGrams,
    Squares,
    ValueGrad,
)
from ..protocols.rows import Rows, is_sparse
from ..protocols.sampling import Draw, uniform_of_rows
from ..protocols.schema import Schema
from ..protocols.seams import Block, Parameters
from ._coefficients import Coefficients, layout, reference_of
from ._drawn import drawn_curvature
from ._null import Null, sums_of
from ._passes import named
from ._sampled import sums_of_sample
from ._squares import middle_of, squares_of
from ._stored import EVERY, StoredFeatures
from .describe import as_weight, canonical, read_only

Array = npt.NDArray[Any]

_FORMS = ("diagonal", "gram", "meat", "rows")

# Numbers of a table of coefficients and sums of several models of sparse rows: 64 MB.
_TABLE_NUMBERS = 2**23


class LinearBlock(Block):
    """Rows with a linear model's loss, gradient and second derivatives.

    Products run in the precision of dense features (float32 for bytes), float64 for sparse and categorical ones; sums
    in float64.

    Parameters
    ----------
    loss : named tuple
        One of `fullbatch.kernels.losses`.
    outputs : int
        Linear predictors.
    intercept : bool
        Whether theta ends in intercepts.
    rows : Rows
        With class indices for labels, and weights that count the classes' weights.
    schema : Schema
        Of all blocks.
    first_row : int
        Global number of the first row.
    null : Null
        The null model of all rows.
    precision : str, optional
        Of the products; default: as above.
    passes : module, optional
        What computes on the rows, `_plain` or `_compiled`; default: the latter.
    """

    def __init__(
        self,
        loss: Any,
        outputs: int,
        intercept: bool,
        rows: Rows,
        schema: Schema,
        first_row: int,
        null: Null = Null(),  # noqa: B008  it cannot change
        precision: str | None = None,
        passes: Any = None,
    ) -> None:
        self._passes = passes or named("compiled")
        self._loss, self._outputs, self._intercept = loss, outputs, intercept
        self._scale, self._first_row, self._offset = rows.scale, first_row, rows.offset
        X, weight, offset = rows.X, as_weight(rows.weight), as_weight(rows.offset)
        y = _that_count(np.asarray(rows.y, np.float64), weight)
        self._schema, self._null = schema, null
        self.dealt: Any = None  # see `by_row.ByRow`, which sets both
        self.targets: tuple[Array, Array] | None = None
        self._shared: LinearBlock | None = None  # see `with_targets`
        self._factor: Array | None = None
        self._total = float(weight.sum()) if weight.size else float(len(y))
        self._features = schema.n_features
        self._latest_chosen: tuple[Array, tuple[Any, Array, Coefficients]] | None = None
        self._latest_taken: tuple[tuple[float, int], Array] | None = None
        reference, codes, touched = np.zeros(0), None, None
        if is_sparse(X):
            X = canonical(X)
            if is_wide(self._features, X.nnz):
                touched, number = numbered(read_only(X.indices), self._features)
                X = type(X)((X.data, number, X.indptr), shape=(X.shape[0], touched.size))
            precision = "float64"
        else:
            if precision is None:
                precision = "float64" if X.dtype == np.float64 or rows.categories else "float32"
            if rows.categories:
                codes = codes_of_levels(rows, schema.features)
            else:
                reference = reference_of(schema, rows.scale, precision)
        self._stored = StoredFeatures(X, codes, touched, self._features)
        self._rows = self._passes.rows_of(X, codes, self._features, reference, y, weight, offset, precision, outputs)
        penalized, predictors = layout(outputs, self._features, intercept)
        self._coefficients = Coefficients(
            outputs, self._features, intercept, penalized.size, precision, self._scale, reference, touched
        )
        quadratic = isinstance(loss, Squared)
        about = f"{loss} {'with' if intercept else 'without'} an intercept"
        self.parameters = Parameters(
            penalized.size,
            penalized,
            precision,
            predictors,
            quadratic,
            straight_from(loss),
            isinstance(loss, Huber | Quantile | SquaredHinge),
            null.least,
            null.deviance,
            about,
            is_convex(loss),
        )
        of_samples, of_draws = {RowSample, SampleGrams}, {DrawnValueGrad, DrawnNull, DrawnCurvature}
        answers = {ValueGrad, HessVec, Curvature} | of_samples | of_draws
        self.answers = frozenset(answers | ({Squares} if quadratic else set()))

    def evaluate(
        self, request: Request
    ) -> Eval | Nulls | Sample | SampleSums | Product | Matrix | RowCurvature | SquareSums:
        """Answer a request with sums over this block's rows."""
        if isinstance(request, DrawnNull):
            return Nulls(tuple(map(self._null_sums, request.draws)))
        if isinstance(request, RowSample):
            return self._sample(request)
        if isinstance(request, SampleGrams):
            return self._sample_grams(request)
        if isinstance(request, HessVec):
            W_and_V = self._coefficients.of_thetas(np.stack((request.theta, request.v)))
            product = self._passes.hess_vec(self._loss, self._rows, W_and_V)
            return Product(self._coefficients.gradients(product)[0], self._total)
        if isinstance(request, Curvature):
            return self._curvature(request)
        if isinstance(request, DrawnCurvature):
            return drawn_curvature(self, request)
        if isinstance(request, Squares):
            return self._squares(request)
        draws = request.draws if isinstance(request, DrawnValueGrad) else ()
        theta, size = np.asarray(request.theta, np.float64), self.parameters.size
        if theta.shape[-1:] != (size,) or theta.ndim > 2:
            raise ValueError(f"theta has shape {theta.shape}, it must be ({size},), or (models, {size})")
        thetas = theta.reshape(-1, size)
        if draws and (theta.ndim != 2 or len(draws) != len(thetas)):
            raise ValueError(f"{len(thetas)} models need as many draws, got {len(draws)} for theta {theta.shape}")
        if draws and self.dealt is not None:  # which the kernels do not know
            point = drawn_curvature(self, DrawnCurvature(theta, draws)).point
            assert point is not None
            return point
        if theta.ndim == 1:
            if getattr(request, "double", False) and self.parameters.dtype != "float64":
                return self.in_double.evaluate(request)
            return self._point(thetas)
        most = self._models_at_once()
        parts = [slice(first, first + most) for first in range(0, len(thetas), most)]
        answers = [self._loss_grad(thetas[part], draws[part]) for part in parts]
        value, grad, weight, squares = (
            np.asarray(of_parts[0]) if len(parts) == 1 else np.concatenate(of_parts)  # gradients may be sparse vectors
            for of_parts in zip(*answers, strict=True)
        )
        weight[[draw.form == "all" for draw in draws]] = self._total  # to the bit as when nothing is drawn
        return Eval(value, grad, weight if draws else self._total, squares)

    def _point(self, thetas: Array) -> Eval:
        """The answer to one point of one model."""
        value, grads, _, squares = self._loss_grad(thetas)
        return Eval(float(value[0]), grads[0], self._total, float(squares[0]))

    def _loss_grad(self, thetas: Array, draws: tuple[Draw, ...] = ()) -> tuple[Array, Any, Array, Array]:
        """Loss and gradient of each model, the sum of the weights that it counts, and that of its squared slopes."""
        W = self._coefficients.of_thetas(thetas)
        value, W_grad, weight, squares = self._passes.loss_grad(
            self._loss, self._rows, len(thetas), W, draws, self._first_row
        )
        return value, self._coefficients.gradients(W_grad), weight, squares

    def drawn(self, draw: Draw) -> "LinearBlock":
        """The block of the rows that a draw counts, with the weights that it gives them."""
        if draw.form == "all":
            return self
        times = self._times(draw)
        if draw.form == "only":
            taken = np.flatnonzero(times)
            weight = None
            if times.max(initial=0.0) > 1.0:
                weight = times[taken] * self._rows.weight[taken] if self._rows.weight.size else times[taken]
            return self._block(taken, weight=weight)
        weight = self._rows.weight * times if self._rows.weight.size else times
        return self._block(EVERY, weight=weight)

    def _times(self, draw: Draw) -> Array:
        """How often a draw counts each row."""
        of_fold = self.dealt is not None and draw.form in ("only", "without")
        return self.dealt.weights(draw) if of_fold else draw.weights(self._first_row, len(self._rows.y))

    def _null_sums(self, draw: Draw) -> Any:
        """What the null model of the rows that a draw counts must know."""
        rows = self._rows
        weight = self._times(draw) * (rows.weight if rows.weight.size else 1.0)
        offset = rows.offset if rows.offset.size else None
        return sums_of(self._loss, self._intercept, Rows(self._stored.X, rows.y, weight, offset=offset))

    def of_classes(self, thetas: Array, classes: Sequence[int], factors: Array) -> Iterator[tuple[float, Any, float]]:
        """Sum of losses, gradient, and sum of squared slopes of models of one class against the rest: one read of rows
        whose targets are numbers of classes. The weights of a class's own rows are multiplied by its factor.
        """
        most = self._models_at_once()
        for first in range(0, len(thetas), most):
            some = slice(first, first + most)
            W, numbers = self._coefficients.of_thetas(thetas[some]), np.array(classes[some], np.int64)
            value, W_grad, squares = self._passes.loss_grad_of_classes(
                self._loss, self._rows, W, numbers, factors[some]
            )
            yield from zip(value.tolist(), self._coefficients.gradients(W_grad), squares.tolist(), strict=True)

    def with_targets(self, y: Array, factor: Array | None = None) -> "LinearBlock":
        """The same rows with other targets, and weights multiplied by a factor: both share the features."""
        weight = self._rows.weight
        if factor is not None:
            weight = factor * weight if weight.size else factor
        other = copy(self)
        other._rows = self._rows._replace(y=_that_count(y, weight), weight=read_only(weight))
        other._total = float(weight.sum()) if weight.size else float(len(y))
        other._shared, other._factor, other._latest_chosen = self, factor, None
        vars(other).pop("in_double", None)
        return other

    @cached_property
    def in_double(self) -> "LinearBlock":
        """The same rows with products in float64: they are converted tile by tile, and kept once."""
        if self._shared is not None:
            return self._shared.in_double.with_targets(self._rows.y, self._factor)
        block = self._block(EVERY, "float64")
        block.dealt = self.dealt
        return block

    def _models_at_once(self) -> int:
        """How many models one pass answers without too large a table."""
        touched = self._stored.touched
        width = (self._features if touched is None else touched.size) + 1
        return max(1, _TABLE_NUMBERS // (2 * self._outputs * width))

    def _curvature(self, request: Curvature) -> Matrix | RowCurvature:
        if request.fraction < 1:
            return self._part(request)._curvature(replace(request, fraction=1.0))
        if request.double and self.parameters.dtype != "float64":
            return self.in_double._curvature(request)
        if request.form not in _FORMS:
            raise ValueError(f"unknown form {request.form!r}: choose from {', '.join(_FORMS)}")
        W = self._coefficients.of_thetas(request.theta[None])
        if request.form == "diagonal":
            squares = self._passes.diagonal(self._loss, self._rows, W)
            return Matrix(
                self._coefficients.per_parameter(squares[:, :-1] * self._scale**2, squares[:, -1]), self._total
            )
        if request.form == "rows":
            curvature = self._passes.curvatures(within(self._loss, 0.0), self._rows, W, True)
            coupling = curvature * np.sqrt(_reciprocal(self._rows.weight)) if self._outputs > 1 else None
            return RowCurvature(curvature.T, None if coupling is None else coupling.T)
        if request.edge:
            loss = within(self._loss, request.edge)
            return self._block(EVERY, loss=loss)._curvature(replace(request, edge=0.0))
        if request.widened != 1.0:
            return self._widened(request)
        columns = request.columns if request.form == "gram" else None
        if self.is_some(columns):
            return Matrix(self.hessian_of(request.theta, columns), self._total, self._point(request.theta[None]))
        if self._stored.touched is not None:
            raise ValueError(f"the form {request.form!r} is a matrix, too large for {self._features} columns")
        if self._outputs == 1 and (request.form == "meat" or self._features <= self._passes.FUSED_COLUMNS):
            value, W_grad, matrix, squares = self._passes.gram(self._loss, self._rows, W, request.form == "meat")
            point = Eval(float(value), self._coefficients.gradients(W_grad)[0], self._total, float(squares))
            return Matrix(self._coefficients.matrices_of(matrix[None])[0], self._total, point)
        if request.form == "meat":
            raise ValueError(f"the form 'meat' is for one linear predictor, this model has {self._outputs}")
        point = self._point(request.theta[None])
        curvature = self._passes.curvatures(self._loss, self._rows, W, False)
        predictors = self.parameters.predictors
        assert predictors is not None
        return Matrix(self._hessian(curvature, self._grams, predictors), self._total, point)

    def is_some(self, columns: Array | None) -> TypeGuard[Array]:
        """Whether these are not simply all columns."""
        return columns is not None and (len(columns) < self._features or self._stored.touched is not None)

    def hessian_of(self, theta: Array, columns: Array) -> Array:
        """The Hessian in the coefficients of some columns, and the intercepts."""
        W = self._coefficients.of_thetas(theta[None])
        rows, place, coefficients = self._chosen(np.asarray(columns))
        width = len(columns) + 1

        def of_columns(factors: Array) -> Array:
            matrices = self._passes.grams(rows, len(place) - 1, self.parameters.dtype, factors)
            if len(place) < width:  # this block's rows have no entries in the others
                matrices, part = np.zeros((len(factors), width, width)), matrices
                matrices[:, place[:, None], place] = part
            return coefficients.matrices_of(matrices)

        _, predictors = layout(self._outputs, width - 1, self._intercept)
        curvature = self._passes.curvatures(self._loss, self._rows, W, False)
        return self._hessian(curvature, of_columns, predictors)

    def _chosen(self, columns: Array) -> tuple[Any, Array, Coefficients]:
        """The rows of some columns alone, which of them these are (and the intercept's place), and their coefficients.

        The latest are kept: a solver asks for the same ones again and again.
        """
        if self._latest_chosen is not None and np.array_equal(self._latest_chosen[0], columns):
            return self._latest_chosen[1]
        rows, reference = self._rows, self._coefficients.reference
        reference = reference[columns] if reference.size else reference
        X, place = self._stored.of_columns(columns)
        place = np.append(place, len(columns))
        taken = self._passes.rows_of(
            X,
            None,
            X.shape[1],
            reference,
            rows.y,
            rows.weight,
            rows.offset,
            self.parameters.dtype,
            self._outputs,
        )
        size = self._outputs * (len(columns) + self._intercept)
        coefficients = Coefficients(
            self._outputs, len(columns), self._intercept, size, self.parameters.dtype, self._scale, reference, None
        )
        self._latest_chosen = columns.copy(), (taken, place, coefficients)
        return self._latest_chosen[1]

    def _widened(self, request: Curvature) -> Matrix:
        """The answer under a loss that is curved over a wider stretch."""
        loss, share = widened(self._loss, request.widened)
        answer = self._block(EVERY, loss=loss)._curvature(replace(request, widened=1.0))
        assert isinstance(answer, Matrix)
        assert answer.point is not None
        value, grad, squares = answer.point.value, answer.point.grad, answer.point.squares or 0.0
        point = Eval(share * value, share * grad, self._total, share**2 * squares)
        return Matrix(share * answer.matrix, self._total, point)

    def _hessian(self, curvature: Array, grams_of: Callable[[Array], Array], predictors: Array) -> Array:
        """The whole Hessian, (size, size): for softmax w (p_k [k = l] - p_k p_l) in the predictors k and l."""
        if self._outputs == 1:
            return np.asarray(grams_of(curvature)[0])
        size = predictors.size
        share = curvature * _reciprocal(self._rows.weight)
        hessian = np.zeros((size, size))
        for k in range(self._outputs):
            products = curvature[k] * share[: k + 1]
            for other, gram in enumerate(grams_of(np.vstack((products, curvature[k : k + 1])))):
                if other > k:  # the last one: w p_k
                    hessian[np.ix_(predictors[k], predictors[k])] += gram
                else:
                    hessian[np.ix_(predictors[k], predictors[other])] -= gram
                    if other < k:
                        hessian[np.ix_(predictors[other], predictors[k])] -= gram
        return hessian

    def _grams(self, factors: Array) -> Array:
        matrices = self._passes.grams(self._rows, self._features, self.parameters.dtype, factors)
        return self._coefficients.matrices_of(matrices)

    def _squares(self, request: Squares) -> SquareSums:
        """Sums of products, or triangles, a few thousand rows at a time, each fold's rows side by side."""
        rows, count = self._rows, len(self._rows.y)
        y, middle = (rows.y[:, None], None) if self.targets is None else self.targets
        center, target = middle_of(self._schema, middle) if self._intercept else (np.zeros(self._features), 0.0)
        if request.folds == 1:
            fold = np.zeros(count, np.intp)
        elif self.dealt is None:
            fold = (uniform_of_rows(self._first_row, count, request.seed) * request.folds).astype(np.intp)
        elif self.dealt.exclusive:
            fold = self.dealt.times
        else:
            return self._squares_of_parts(request)
        weight = rows.weight if rows.weight.size else np.ones(count)
        with np.errstate(over="ignore", invalid="ignore"):
            left = y - (rows.offset[:, None] if rows.offset.size else 0.0) - target
        root = np.sqrt(rows.weight)
        matrices = squares_of(self._stored.dense, left, root, self._scale, center, self._intercept, fold, request)
        totals = np.bincount(fold, weight, minlength=request.folds)
        return SquareSums(matrices, totals, center, request.exact, target)

    def _squares_of_parts(self, request: Squares) -> SquareSums:
        """Sums of parts that are told one by one."""
        parts = []
        for number in range(request.folds):
            draw = Draw("only", number, request.folds)
            block = self.drawn(draw)
            if self.targets is not None:
                block.targets = self.targets[0][self.dealt.weights(draw) > 0], self.targets[1]
            parts.append(block._squares(Squares(request.exact)))
        matrices, weights = (np.concatenate([getattr(part, name) for part in parts]) for name in ("matrices", "weight"))
        return replace(parts[0], matrices=matrices, weight=weights)

    def _part(self, request: Any) -> "LinearBlock":
        """The block of the rows that a request takes."""
        return self._block(self._taken(request))

    def _block(
        self, taken: Any, precision: str | None = None, loss: Any = None, weight: Array | None = None
    ) -> "LinearBlock":
        """A block of the rows `taken`; with other weights, if they are given, and products in the precision of this
        one, unless another is told.
        """
        rows, X = self._rows, self._stored.of_rows(taken)
        if weight is None and rows.weight.size:
            weight = rows.weight[taken]
        offset = rows.offset[taken] if rows.offset.size else None
        categories = self._stored.categories(taken, self._schema.features.levels)
        part = Rows(X, rows.y[taken], weight, self._scale, offset, categories)
        return LinearBlock(
            loss or self._loss,
            self._outputs,
            self._intercept,
            part,
            self._schema,
            self._first_row,
            self._null,
            precision or self.parameters.dtype,
            self._passes,
        )

    def _taken(self, request: Any) -> Array:
        """The rows that a request takes; the latest are kept, since a solver asks for the same ones again."""
        asked, latest = (request.fraction, request.seed), self._latest_taken
        if latest is None or latest[0] != asked:
            uniform = uniform_of_rows(self._first_row, len(self._rows.y), request.seed)
            self._latest_taken = latest = asked, read_only(np.flatnonzero(uniform < request.fraction))
        return latest[1]

    def _sample_grams(self, request: SampleGrams) -> SampleSums:
        if self._stored.touched is not None:
            raise ValueError(f"Gram matrices are too large for {self._features} columns")
        schema, sample = self._schema, self._sample(request)
        curvature = self._curvature(Curvature(request.theta, "rows", request.fraction, request.seed))
        assert isinstance(curvature, RowCurvature)
        sparse = keeps_sparse(schema.looked_up, schema.dense_columns, self._features + self._intercept)
        center = schema.mean if self._intercept else None
        rows = design_of(sample.X, center, self._intercept, sparse, self.parameters.dtype)
        return sums_of_sample(rows, sample.weight, curvature, request)

    def _sample(self, request: RowSample | SampleGrams) -> Sample:
        taken = self._taken(request)
        X = self._stored.encoded(taken)
        weight = self._rows.weight[taken] if self._rows.weight.size else np.ones(len(taken))
        offset = None if self._offset is None else self._rows.offset[taken]
        if self._scale != 1.0:
            X = X * np.float64(self._scale)
        X = X.astype(self.parameters.dtype, copy=False)
        return Sample(taken + self._first_row, (X,), self._rows.y[taken], weight, offset)


def _that_count(y: Array, weight: Array) -> Array:
    """Targets, and 1 where a row does not count: it may be anything, and zero times infinity is not zero."""
    return read_only(np.where(weight > 0, y, 1.0) if weight.size and not weight.all() else y)


def _reciprocal(weight: Array) -> Array | float:
    """1 / weight; 0 where a row weighs nothing."""
    return np.divide(1.0, weight, out=np.zeros_like(weight), where=weight != 0) if weight.size else 1.0
