"""Proportional odds: the cumulative logit model of ordered classes, on the passes of logistic regression.

With eta_k = x' coef + offset + intercept_k the model says P(y > k) = F(eta_k), F the logistic function, for the K - 1
cuts between K classes; intercepts fall from cut to cut. The probability of class k between two cuts factorises,

    F(eta_{k-1}) - F(eta_k) = F(eta_{k-1}) F(-eta_k) (1 - exp(-gap_k)),    gap_k = intercept_{k-1} - intercept_k > 0,

so that a row's loss is one or two logistic losses, and a term of the intercepts alone. Each part is convex in theta,
and the last is infinite where intercepts are not in order: no line search gets there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..kernels.losses import Logistic, Softmax
from ..protocols.answers import Eval, Matrix, Product
from ..protocols.requests import Curvature, HessVec, ValueGrad
from ..protocols.rows import Category, Rows, is_sparse
from ..protocols.sampling import uniform_of_rows
from ..protocols.schema import Description, Features, Schema
from ..protocols.seams import Block, Parameters
from ._linear_block import LinearBlock
from ._null import null_of
from ._passes import of_all, usual_passes
from .describe import canonical
from .linear import Linear

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class CumulativeLogit:
    """Proportional odds: theta is `coef` (features,), then the intercepts (classes - 1,), which fall.

    Parameters
    ----------
    classes : sequence of labels, optional
        From the lowest to the highest; default: sorted.
    class_weight : "balanced" or mapping of label to weight, optional
        Multiplies the sample weights of each class, as in `Linear`.
    passes : {"auto", "plain", "compiled"}
        As in `Linear`.
    """

    classes: Sequence[Any] | None = None
    class_weight: str | Mapping[Any, float] | None = None
    passes: str = field(default_factory=usual_passes)

    takes_categories: ClassVar[bool] = True
    intercept: ClassVar[bool] = True

    def __post_init__(self) -> None:
        # Wrong options are refused here, not on a worker.
        Linear("softmax", class_weight=self.class_weight, passes=self.passes)
        if self.classes is not None and len(set(self.classes)) < max(2, len(self.classes)):
            raise ValueError(f"classes must be two or more labels, each once, got {list(self.classes)!r}")

    @property
    def _softmax(self) -> Linear:
        """The model of the same classes without an order: rows and classes are described, and weighed, alike."""
        return Linear("softmax", class_weight=self.class_weight, passes=self.passes)

    def describe(self, rows: Rows, source: str) -> Description:
        """Check and describe a block's rows."""
        return self._softmax.describe(rows, source)

    def outputs(self, schema: Schema) -> int:
        """One linear predictor, but for the intercepts."""
        self._softmax.outputs(schema)  # refuses one class alone
        return 1

    def class_factors(self, schema: Schema) -> Array | None:
        """What `class_weight` multiplies each class's sample weights by, in sorted order; None for 1."""
        return self._softmax.class_factors(schema)

    def ranks(self, schema: Schema) -> Array:
        """Place of each sorted class in the order of the model, (K,).

        Raises
        ------
        DataError
            The data has other classes, or a class has no weight, so that its cuts are not known.
        """
        assert schema.classes is not None
        found = schema.classes.tolist()
        given = found if self.classes is None else [one.item() if hasattr(one, "item") else one for one in self.classes]
        for label in found:
            if label not in given:
                raise DataError(f"the data has the label {label!r}, which is not among classes={given}: add it there")
        for label in given:
            if label not in found:
                raise DataError(f"no row has the label {label!r} of classes={given}: leave it out")
        for label, of_class in zip(found, self._weights(schema), strict=True):
            if not of_class > 0:
                raise DataError(
                    f"the rows of the class {label!r} weigh nothing, so that where it begins and ends is not known: "
                    "leave them out, or merge the class with its neighbour"
                )
        return np.array([given.index(label) for label in found])

    def shares(self, schema: Schema) -> Array:
        """Share of the weight of each class, in the order of the model."""
        weight = self._weights(schema)
        shares = np.empty(len(weight))
        shares[self.ranks(schema)] = weight / weight.sum()
        return shares

    def _weights(self, schema: Schema) -> Array:
        """Weight of each sorted class, as the model counts it, (K,)."""
        assert schema.class_weight is not None
        factors = self.class_factors(schema)
        return schema.class_weight if factors is None else schema.class_weight * factors

    def build(self, rows: Rows, schema: Schema, first_row: int) -> Block:
        """The block of these rows."""
        assert rows.y is not None
        self.outputs(schema)
        index, factors = schema.encode(rows.y), self.class_factors(schema)
        weight = np.ones(len(index)) if rows.weight is None else np.asarray(rows.weight, np.float64)
        if factors is not None:
            weight = weight * factors[index]
        ranks, null = self.ranks(schema), null_of(self, schema, Softmax())
        size = schema.n_features + len(ranks) - 1
        parameters = Parameters(
            size,
            np.arange(size) < schema.n_features,
            predictors=np.arange(size)[None],
            least=null.least,
            null=null.deviance,
            about=f"cumulative logit of {len(ranks)} ordered classes",
        )
        rows = replace(rows, y=ranks[index], weight=weight)
        return _CumulativeBlock(rows, schema, first_row, parameters, self.passes)


class _CumulativeBlock(Block):
    """Rows of ordered classes, as one or two blocks of logistic regression whose last columns are the cuts.

    The first has for each row the cut above its class, which it is not above, and for the last class the cut below; the
    second has the cut below for rows of a class between two cuts, and others weigh nothing in it. Both hold the same
    features.

    Parameters
    ----------
    rows : Rows
        With the places of the classes for targets, and weights.
    schema : Schema
        Of all blocks.
    first_row : int
        Global number of the first row.
    parameters : Parameters
        Of theta.
    passes : str
        What computes, as in `Linear`.
    """

    answers = frozenset({ValueGrad, HessVec, Curvature})

    def __init__(self, rows: Rows, schema: Schema, first_row: int, parameters: Parameters, passes: str) -> None:
        assert rows.y is not None
        assert rows.weight is not None
        self.parameters, self._first_row = parameters, first_row
        self._cuts, self._features = parameters.size - schema.n_features, schema.n_features
        self._place, self._weight, self._total = rows.y, rows.weight, float(rows.weight.sum())
        is_last, between = rows.y == self._cuts, (rows.y > 0) & (rows.y < self._cuts)
        held = _with_cuts(rows, schema, self._cuts)
        first = held(np.minimum(rows.y, self._cuts - 1), is_last, rows.weight)
        parts = [first]
        if self._cuts > 1:
            parts.append(held(np.maximum(rows.y - 1, 0), np.ones(len(rows.y)), rows.weight * between))
        wider = _wider(schema, self._cuts, is_sparse(first.X))
        computes = of_all(passes, Logistic(), 1, wider)
        self._parts = [LinearBlock(Logistic(), 1, False, part, wider, first_row, passes=computes) for part in parts]

    def evaluate(self, request: Any) -> Eval | Product | Matrix:
        """Sums over this block's rows."""
        theta = np.asarray(request.theta, np.float64)
        gap = -np.diff(theta[..., self._features :], axis=-1)
        if isinstance(request, HessVec):
            answers: list[Any] = [part.evaluate(request) for part in self._parts]
            product = _added([answer.product for answer in answers])
            _, _, curvature = self._of_gaps(gap, self._weight_between())
            product[self._features :] += _of_cuts(curvature * -np.diff(request.v[self._features :]))
            return Product(product, self._total)
        if isinstance(request, Curvature):
            return self._gram(request, gap)
        answers = [part.evaluate(request) for part in self._parts]
        return self._with_gaps(answers, gap, self._weight_between(), self._total)

    def _gram(self, request: Curvature, gap: Array) -> Matrix:
        if request.form != "gram":
            raise ValueError(f"the form {request.form!r} is for models of one linear predictor: ask for 'gram'")
        columns, asked = self._features, request
        if request.columns is not None:
            columns = len(request.columns)
            cuts = self._features + np.arange(self._cuts)
            asked = replace(request, columns=np.concatenate((request.columns, cuts)))
        answers: list[Any] = [part.evaluate(asked) for part in self._parts]
        weight, total = self._weight_between(request), self._total
        if request.fraction < 1:
            total = float(self._weight[self._taken(request)].sum())
        matrix = _added([answer.matrix for answer in answers])
        _, _, curvature = self._of_gaps(gap, weight)
        cuts = np.arange(columns, columns + self._cuts)
        matrix[cuts[:-1], cuts[:-1]] += curvature
        matrix[cuts[1:], cuts[1:]] += curvature
        matrix[cuts[:-1], cuts[1:]] -= curvature
        matrix[cuts[1:], cuts[:-1]] -= curvature
        return Matrix(matrix, total, self._with_gaps([answer.point for answer in answers], gap, weight, total))

    def _with_gaps(self, answers: list[Any], gap: Array, weight: Array, total: float) -> Eval:
        """Loss and gradient of the logistic parts, and of the gaps between the intercepts.

        A row's two slopes have opposite signs, so that their squares add up to no less than the square of their sum.
        """
        of_gaps, slope, _ = self._of_gaps(gap, weight)
        grad = _added([answer.grad for answer in answers])
        grad[..., self._features :] += _of_cuts(slope)
        value = sum(answer.value for answer in answers) + of_gaps.sum(axis=-1)
        squares = sum(answer.squares for answer in answers)
        return Eval(float(value) if np.ndim(value) == 0 else value, grad, total, squares)

    @staticmethod
    def _of_gaps(gap: Array, weight: Array) -> tuple[Array, Array, Array]:
        """-w log(1 - exp(-gap)) and its derivatives; infinite, with derivatives of 0, where there is no gap."""
        there = gap > 0
        gap = np.where(there, gap, 1.0)
        with np.errstate(over="ignore"):  # of a gap so large that it says nothing
            odds = np.expm1(gap)
        value = np.where(there, -weight * np.log(-np.expm1(-gap)), np.inf)
        return value, np.where(there, -weight / odds, 0.0), np.where(there, weight / odds / -np.expm1(-gap), 0.0)

    def _weight_between(self, request: Curvature | None = None) -> Array:
        """Weight of each class between two cuts, of the rows that are asked for."""
        taken: Any = slice(None) if request is None or request.fraction == 1 else self._taken(request)
        of_class = np.bincount(self._place[taken], self._weight[taken], minlength=self._cuts + 1)
        return of_class[1:-1]

    def _taken(self, request: Curvature) -> Array:
        return uniform_of_rows(self._first_row, len(self._place), request.seed) < request.fraction


def _added(parts: list[Any]) -> Array:
    """The sum of the parts' arrays, in one of its own."""
    return np.sum([np.asarray(part) for part in parts], axis=0)


def _of_cuts(of_gaps: Array) -> Array:
    """Derivatives in the intercepts from those in the gaps between them."""
    return np.diff(of_gaps, axis=-1, prepend=0.0, append=0.0)


def _with_cuts(rows: Rows, schema: Schema, cuts: int) -> Any:
    """A function that gives the rows with a cut each as a column behind the others: a category, or sparse entries."""
    if not is_sparse(rows.X):
        precision = rows.X.dtype if rows.X.dtype.kind == "f" else np.dtype(np.float32)
        X = rows.X if rows.scale == 1.0 else (rows.X * np.float64(rows.scale)).astype(precision)
        plain = replace(rows, X=X, scale=1.0, names=())
        return lambda cut, y, weight: replace(
            plain, y=y, weight=weight, categories=(*rows.categories, Category(cut.astype(np.int32), np.arange(cuts)))
        )
    X, n = canonical(rows.X), rows.X.shape[0]
    values = X.data if rows.scale == 1.0 else X.data * np.float64(rows.scale)
    last = X.indptr[1:] + np.arange(n)
    places = np.delete(np.arange(X.nnz + n), last)
    data, indptr = np.ones(X.nnz + n), X.indptr + np.arange(n + 1)
    data[places] = values

    def held(cut: Array, y: Array, weight: Array) -> Rows:
        indices = np.empty(X.nnz + n, X.indices.dtype)
        indices[places], indices[last] = X.indices, schema.n_features + cut
        wider = type(X)((data, indices, indptr), shape=(n, schema.n_features + cuts))
        return replace(rows, X=wider, y=y, weight=weight, scale=1.0, names=())

    return held


def _wider(schema: Schema, cuts: int, sparse: bool) -> Schema:
    """The schema of rows with a cut each."""
    features = schema.features
    if sparse:
        wider = Features(schema.n_features + cuts)
    else:
        wider = Features(features.numeric, (*features.levels, np.arange(cuts)))
    mean, variance = (np.append(one, np.zeros(cuts)) for one in (schema.mean, schema.variance))
    return replace(schema, features=wider, mean=mean, variance=variance)
