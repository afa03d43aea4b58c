"""Linear models: a loss of eta = X coef' + intercept, with compiled passes over dense and sparse rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..kernels import csr, dense
from ..losses import LOSSES
from ..protocols import Block, Eval, Parameters, Request, Rows, RowSample, Sample, ValueGrad
from ..sampling import uniform_of_rows
from ..schema import Description, Schema
from ._describe import as_weight, canonical, describe, is_sparse, read_only

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Linear:
    """A linear model: theta is `coef` (outputs, features), row by row, then `intercept` (outputs,).

    Parameters
    ----------
    loss : {"squared", "logistic", "softmax"}
        Squared is half the squared residual; logistic takes two classes, softmax any number.
    intercept : bool
        Whether there is one; it is not penalised.
    class_weight : "balanced" or mapping of label to weight, optional
        Multiplies the sample weights of each class; "balanced" is total weight / (classes * weight of the class).
    """

    loss: str
    intercept: bool = True
    class_weight: str | Mapping[Any, float] | None = None

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise ValueError(f"unknown loss {self.loss!r}: choose from {', '.join(LOSSES)}")
        if self.class_weight is not None and not LOSSES[self.loss].labels:
            raise ValueError(f"class_weight needs classes, which the {self.loss} loss has not")
        if not (self.class_weight in (None, "balanced") or isinstance(self.class_weight, Mapping)):
            raise ValueError(f"class_weight must be 'balanced' or a mapping, got {self.class_weight!r}")

    def describe(self, rows: Rows, source: str) -> Description:
        """Check and describe a block's rows."""
        return describe(rows, source, LOSSES[self.loss].labels)

    def build(self, rows: Rows, schema: Schema, first_row: int) -> "LinearBlock":
        """The block of these rows."""
        y, weight = rows.y, rows.weight
        assert y is not None
        outputs = self.outputs(schema)
        y, factor = schema.encode(y), self.class_factors(schema)
        if factor is not None:
            weight = factor[y] if weight is None else weight * factor[y]
        return LinearBlock(
            LOSSES[self.loss].code, outputs, self.intercept, rows.X, y, as_weight(weight), rows.scale, first_row
        )

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
        return np.array([self.class_weight.get(label, 1.0) for label in schema.classes.tolist()])


class LinearBlock(Block):
    """Rows with a linear model's loss and gradient.

    Products run in the precision of dense features (float32 for bytes), float64 for sparse ones; sums in float64.
    """

    answers = frozenset({ValueGrad, RowSample})

    def __init__(
        self,
        code: int,
        outputs: int,
        intercept: bool,
        X: Any,
        y: Array,
        weight: Array,
        scale: float,
        first_row: int,
    ) -> None:
        self._code, self._outputs, self._intercept = code, outputs, intercept
        self._sparse = is_sparse(X)
        if self._sparse:
            X = canonical(X)
            self._csr = tuple(read_only(part) for part in (X.data, X.indices, X.indptr))
        self._X = X if self._sparse else read_only(X)
        self._y = read_only(np.asarray(y, np.float64))
        self._weight = weight
        self._scale, self._first_row = scale, first_row
        self._total = float(weight.sum()) if weight.size else float(len(y))
        self._coefs = outputs * X.shape[1]
        size = self._coefs + (outputs if intercept else 0)
        single = not self._sparse and X.dtype != np.float64
        self.parameters = Parameters(size, np.arange(size) < self._coefs, "float32" if single else "float64")

    def evaluate(self, request: Request) -> Eval | Sample:
        """Answer loss and gradient, or a sample of the rows."""
        if isinstance(request, RowSample):
            return self._sample(request)
        if request.theta.ndim == 1:
            value, grad = self._value_grad(request.theta)
            return Eval(value, grad, self._total)
        answers = [self._value_grad(theta) for theta in request.theta]
        return Eval(np.array([value for value, _ in answers]), np.array([grad for _, grad in answers]), self._total)

    def _value_grad(self, theta: Array) -> tuple[float, Array]:
        W = theta[: self._coefs].reshape(self._outputs, -1) * self._scale
        b = theta[self._coefs :] if self._intercept else np.zeros(self._outputs)
        if self._sparse:
            W = np.ascontiguousarray(W.T)
            value, W_grad, b_grad = csr.loss_grad(self._code, *self._csr, self._y, self._weight, W, b.copy())
            W_grad = W_grad.T
        else:
            dtype = self.parameters.dtype
            value, W_grad, b_grad = dense.loss_grad(
                self._code, self._X, self._y, self._weight, W.astype(dtype), b.astype(dtype)
            )
        grad = (W_grad * self._scale).ravel()
        return value, np.concatenate((grad, b_grad)) if self._intercept else grad

    def _sample(self, request: RowSample) -> Sample:
        taken = np.flatnonzero(uniform_of_rows(self._first_row, len(self._y), request.seed) < request.fraction)
        X: Any = self._X[taken]
        X = X.toarray() if self._sparse else X
        weight = self._weight[taken] if self._weight.size else np.ones(len(taken))
        return Sample(taken + self._first_row, X * np.float64(self._scale), self._y[taken], weight)
