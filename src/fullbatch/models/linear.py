"""Linear models: a loss of eta = X coef' + intercept, with compiled passes over dense and sparse rows."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..features import codes_of_levels
from ..kernels import passes
from ..kernels.csr import SparseRows
from ..kernels.dense import DenseRows
from ..kernels.mixed import MixedRows
from ..losses import LOSSES
from ..protocols import (
    Block,
    Curvature,
    Eval,
    HessVec,
    Matrix,
    Parameters,
    Product,
    Request,
    Rows,
    RowSample,
    Sample,
    ValueGrad,
)
from ..sampling import uniform_of_rows
from ..schema import Description, Problem, Schema
from ._describe import as_numbers, as_weight, canonical, describe, is_sparse, read_only

Array = npt.NDArray[Any]

# A float32 column is read less its mean when that is more than so many standard deviations: it costs nothing beside
# the conversion, and the rounding of large products would hide the last digits of the loss from the line search.
_DWARFS = 1.0


@dataclass(frozen=True)
class Linear:
    """A linear model: theta is `coef` (outputs, features), row by row, then `intercept` (outputs,).

    Parameters
    ----------
    loss : str
        A name in `fullbatch.losses.LOSSES`: "squared", "huber", "quantile", "poisson", "gamma" and "tweedie" for
        numbers; "logistic" and "squared_hinge" for two classes, "softmax" for any number.
    intercept : bool
        Whether there is one; it is not penalised.
    class_weight : "balanced" or mapping of label to weight, optional
        Multiplies the sample weights of each class; "balanced" is total weight / (classes * weight of the class).
    options : mapping of str to float, optional
        What shapes the loss, such as {"delta": 1.0} for "huber": the fields of its class in `fullbatch.losses`.
    """

    loss: str
    intercept: bool = True
    class_weight: str | Mapping[Any, float] | None = None
    options: Mapping[str, float] | None = None

    takes_categories: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"unknown loss {self.loss!r}: choose from {', '.join(LOSSES)}")
        if self.class_weight is not None and not LOSSES[self.loss].labels:
            raise ValueError(f"class_weight needs classes, which the {self.loss} loss has not")
        if not (self.class_weight in (None, "balanced") or isinstance(self.class_weight, Mapping)):
            raise ValueError(f"class_weight must be 'balanced' or a mapping, got {self.class_weight!r}")
        if isinstance(self.class_weight, Mapping):
            for label, weight in self.class_weight.items():
                if not (np.isfinite(weight) and weight >= 0):
                    raise ValueError(f"class_weight of {label!r} is {weight}, it must be finite and not negative")
        known = LOSSES[self.loss].kind._fields
        unknown = [name for name in self.options or {} if name not in known]
        if unknown:
            raise ValueError(f"the {self.loss} loss has no option {unknown[0]!r}: it has {', '.join(known) or 'none'}")
        for name, value in (self.options or {}).items():
            if not (isinstance(value, Real) and np.isfinite(value)):
                raise ValueError(f"the {self.loss} loss: its option {name!r} must be a number, got {value!r}")
            low, high = LOSSES[self.loss].ranges[name]
            if not low < value < high:
                between = f"above {low:g}" if np.isinf(high) else f"between {low:g} and {high:g}, without these"
                raise ValueError(f"the {self.loss} loss: its option {name!r} must be {between}, got {value!r}")

    def describe(self, rows: Rows, source: str) -> Description:
        """Check and describe a block's rows."""
        described = describe(rows, source, LOSSES[self.loss].labels)
        problems = [described.problem, self._bad_target(rows, source), bad_offset(rows, source)]
        found = [problem for problem in problems if problem is not None]
        return replace(described, problem=min(found, key=lambda problem: problem.row)) if found else described

    def _bad_target(self, rows: Rows, source: str) -> Problem | None:
        loss = LOSSES[self.loss]
        if loss.labels:
            return None
        y = np.asarray(rows.y, np.float64)
        bad = np.flatnonzero(y < loss.least if loss.least_allowed else y <= loss.least)
        if not bad.size:
            return None
        row = int(bad[0])
        bound = f"at least {loss.least:g}" if loss.least_allowed else f"greater than {loss.least:g}"
        what = f"the target y is {y[row]:g}, the {self.loss} loss takes targets {bound}"
        return Problem(row, None, what, source, row)

    def build(self, rows: Rows, schema: Schema, first_row: int) -> "LinearBlock":
        """The block of these rows."""
        y, weight = rows.y, rows.weight
        assert y is not None
        outputs = self.outputs(schema)
        y, factor = schema.encode(y), self.class_factors(schema)
        if factor is not None:
            weight = factor[y] if weight is None else weight * factor[y]
        loss = LOSSES[self.loss].kind(**{name: float(value) for name, value in (self.options or {}).items()})
        return LinearBlock(loss, outputs, self.intercept, replace(rows, y=y, weight=weight), schema, first_row)

    def outputs(self, schema: Schema) -> int:
        """Number of linear predictors.

        Raises
        ------
        DataError
            The data has fewer classes than the loss needs, or more than it can tell apart.
        """
        loss = LOSSES[self.loss]
        if not loss.labels:
            return 1
        assert schema.classes is not None
        count = len(schema.classes)
        if count < 2:
            raise DataError(f"the data has one class only, {schema.classes.tolist()[0]!r}: at least 2 are needed")
        if loss.per_class:
            return count
        if count > 2:
            raise DataError(f"the {self.loss} loss takes two classes and the data has {count}: use softmax")
        return 1

    def class_factors(self, schema: Schema) -> Array | None:
        """What `class_weight` multiplies each class's sample weights by; None for 1."""
        if self.class_weight is None:
            return None
        assert schema.classes is not None
        assert schema.class_weight is not None
        if isinstance(self.class_weight, str):
            present = np.maximum(schema.class_weight, np.finfo(np.float64).tiny)
            return schema.weight / (len(schema.classes) * present)
        unknown = [label for label in self.class_weight if label not in schema.classes]
        if unknown:
            known = schema.classes.tolist()
            raise DataError(f"class_weight names {unknown[0]!r}, which is not a class: the classes are {known}")
        factors = np.array([float(self.class_weight.get(label, 1.0)) for label in schema.classes.tolist()])
        if not factors @ schema.class_weight > 0:
            raise DataError("class_weight leaves no row any weight")
        return factors


def bad_offset(rows: Rows, source: str) -> Problem | None:
    """The first row whose offset is not finite.

    Raises
    ------
    DataError
        The offsets are no numbers, or not one for each row.
    """
    if rows.offset is None:
        return None
    offset = as_numbers(rows.offset, f"{source}: the offset")
    if offset.shape != (rows.X.shape[0],):
        raise DataError(f"{source}: {rows.X.shape[0]} rows of features but the offset has shape {offset.shape}")
    bad = np.flatnonzero(~np.isfinite(offset))
    if not bad.size:
        return None
    row = int(bad[0])
    return Problem(row, None, f"the offset is {offset[row]}, it must be finite", source, row)


class LinearBlock(Block):
    """Rows with a linear model's loss, gradient and second derivatives.

    Products run in the precision of dense features (float32 for bytes), float64 for sparse ones; sums in float64.

    Parameters
    ----------
    loss : named tuple
        One of `fullbatch.losses`.
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
    """

    def __init__(self, loss: Any, outputs: int, intercept: bool, rows: Rows, schema: Schema, first_row: int) -> None:
        self._loss, self._outputs, self._intercept = loss, outputs, intercept
        self._scale, self._first_row, self._offset = rows.scale, first_row, rows.offset
        X, y = rows.X, read_only(np.asarray(rows.y, np.float64))
        weight, offset = as_weight(rows.weight), as_weight(rows.offset)
        self._total = float(weight.sum()) if weight.size else float(len(y))
        self._features = schema.n_features
        self._rows: SparseRows | DenseRows | MixedRows
        if is_sparse(X):
            X = canonical(X)
            data, indices, indptr = (read_only(part) for part in (X.data, X.indices, X.indptr))
            self._rows = SparseRows(data, indices, indptr, y, weight, offset)
            self._reference = np.zeros(0)
            precision = "float64"
        else:
            precision = "float64" if X.dtype == np.float64 else "float32"
            self._reference = _reference(schema, rows.scale, precision)
            reference = read_only(self._reference[: X.shape[1]].astype(precision))
            if rows.categories:
                codes = read_only(codes_of_levels(rows, schema.features))
                self._rows = MixedRows(_as_stored(X), reference, codes, y, weight, offset)
            else:
                self._rows = DenseRows(_as_stored(X), reference, y, weight, offset)
        self._X = X
        coefs = outputs * self._features
        size = coefs + (outputs if intercept else 0)
        self.parameters = Parameters(size, np.arange(size) < coefs, precision)
        self.answers = frozenset({ValueGrad, RowSample, HessVec, Curvature})

    def evaluate(self, request: Request) -> Eval | Sample | Product | Matrix:
        """Answer a request with sums over this block's rows."""
        if isinstance(request, RowSample):
            return self._sample(request)
        if isinstance(request, HessVec):
            W_and_V = np.concatenate((self._coefs(request.theta), self._coefs(request.v)))
            product = passes.hess_vec(self._loss, self._rows, W_and_V)
            return Product(self._theta(product), self._total)
        if isinstance(request, Curvature):
            return self._curvature(request)
        models = np.atleast_2d(request.theta)
        W = np.concatenate([self._coefs(theta) for theta in models])
        value, W_grad = passes.loss_grad(self._loss, self._rows, len(models), W)
        grad = np.array([self._theta(one) for one in W_grad.reshape(len(models), self._outputs, -1)])
        if request.theta.ndim == 1:
            return Eval(float(value[0]), grad[0], self._total)
        return Eval(value, grad, self._total)

    def _coefs(self, theta: Array) -> Array:
        """Theta as the kernels take it: coefficients of the features as stored, then intercepts, per output."""
        W = np.zeros((self._outputs, self._features + 1))
        coefs = self._outputs * self._features
        W[:, :-1] = theta[:coefs].reshape(self._outputs, -1) * self._scale
        if self._intercept:
            W[:, -1] = theta[coefs:]
        if self._reference.size:
            W[:, -1] += (W[:, :-1] * self._reference).sum(axis=1)  # no BLAS: its sums depend on its threads
        return W.astype(self.parameters.dtype)

    def _theta(self, W_grad: Array) -> Array:
        """A gradient in theta from one in the kernels' coefficients: `_coefs` transposed."""
        coefs = W_grad[:, :-1]
        if self._reference.size:
            coefs = coefs + W_grad[:, -1:] * self._reference
        coefs = (coefs * self._scale).ravel()
        return np.concatenate((coefs, W_grad[:, -1])) if self._intercept else coefs

    def _curvature(self, request: Curvature) -> Matrix:
        W = self._coefs(request.theta)
        if request.form == "diagonal":
            squares = passes.diagonal(self._loss, self._rows, W)
            coefs = (squares[:, :-1] * self._scale**2).ravel()
            diagonal = np.concatenate((coefs, squares[:, -1])) if self._intercept else coefs
            return Matrix(diagonal, self._total)
        if request.form not in ("gram", "meat"):
            raise ValueError(f"unknown form {request.form!r}: choose from diagonal, gram, meat")
        if self._outputs > 1:
            raise ValueError(f"the form {request.form!r} is for one linear predictor, this model has {self._outputs}")
        value, W_grad, matrix = passes.gram(self._loss, self._rows, W, request.form == "meat")
        half = np.array([self._theta(row[None]) for row in matrix])
        matrix = np.array([self._theta(column[None]) for column in half.T])
        point = Eval(float(value), self._theta(W_grad), self._total)
        return Matrix(matrix, self._total, point)

    def _sample(self, request: RowSample) -> Sample:
        count = len(self._rows.y)
        taken = np.flatnonzero(uniform_of_rows(self._first_row, count, request.seed) < request.fraction)
        X = self._X[taken].toarray() if is_sparse(self._X) else self._X[taken]
        if isinstance(self._rows, MixedRows):
            ones = np.zeros((len(taken), self._features - X.shape[1]))
            ones[np.arange(len(taken))[:, None], self._rows.codes[taken]] = 1.0
            X = np.concatenate((X, ones), axis=1)
        weight = self._rows.weight[taken] if self._rows.weight.size else np.ones(len(taken))
        offset = None if self._offset is None else self._rows.offset[taken]
        return Sample(taken + self._first_row, X * np.float64(self._scale), self._rows.y[taken], weight, offset)


def _as_stored(X: Array) -> Array:
    """A read-only view in C or Fortran order; other strides are copied."""
    if X.flags.f_contiguous and not X.flags.c_contiguous:
        return read_only(X.T).T
    return read_only(X)


def _reference(schema: Schema, scale: float, precision: str) -> Array:
    """What to subtract from each column as stored, as float64 that `precision` represents; empty for nothing.

    Where the mean of a float32 column dwarfs its spread, the products would lose the spread's digits. It depends on
    the schema alone, so that all blocks subtract the same.
    """
    if precision == "float64":
        return np.zeros(0)
    dwarfs = np.abs(schema.mean) > _DWARFS * np.sqrt(schema.variance)
    dwarfs[schema.features.numeric :] = False  # levels are ones and zeros
    if not dwarfs.any():
        return np.zeros(0)
    return np.where(dwarfs, schema.mean / scale, 0.0).astype(precision).astype(np.float64)
