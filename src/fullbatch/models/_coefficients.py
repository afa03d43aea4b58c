"""From theta to the coefficients that the kernels take, and back: columns as stored, fewer of them, or less a mean."""

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from ..kernels.wide import SparseVector
from ..protocols.rows import index_type
from ..protocols.schema import CONSTANT, Schema
from .describe import read_only

Array = npt.NDArray[Any]

# A column is read less its mean when that is more than so many standard deviations: the rounding of large products
# would hide the last digits of the loss from the line search. For float32 it costs nothing beside the conversion; rows
# of float64, which are otherwise read where they are, are copied for it.
_DWARFS = {"float32": 4.0, "float64": 1e4}


@dataclass(frozen=True, eq=False)
class Coefficients:
    """The change from theta to the kernels' coefficients of a block's columns as stored, and back.

    Parameters
    ----------
    outputs, features : int
        Linear predictors, and features of each.
    intercept : bool
        Whether theta ends in intercepts.
    size : int
        Length of theta.
    dtype : str
        Of the kernels' coefficients.
    scale : float
        What the columns as stored are multiplied by.
    reference : (features,) array
        What the kernels subtract from each column as stored; empty for nothing.
    touched : int array, optional
        Columns that the kernels have coefficients for, where these are not all.
    """

    outputs: int
    features: int
    intercept: bool
    size: int
    dtype: str
    scale: float
    reference: Array
    touched: Array | None

    @cached_property
    def plain(self) -> bool:
        """Whether theta is what the kernels take, as it is: a long one is then not copied for every block."""
        as_stored = self.scale == 1.0 and not self.reference.size and self.touched is None
        return self.outputs == 1 and self.intercept and as_stored

    def of_thetas(self, thetas: Array) -> Array:
        """Thetas, (models, size), as the kernels take them, (models * outputs, columns + 1).

        Those are the coefficients of the features as stored, and then the intercept.
        """
        if thetas.shape[-1] != self.size:  # kernels read as far as it goes
            raise ValueError(f"theta has length {thetas.shape[-1]}, it must be {self.size}")
        if self.plain:
            return read_only(thetas.astype(self.dtype, copy=False))
        coefs = self.outputs * self.features
        of_features = thetas[:, :coefs].reshape(-1, self.outputs, self.features)
        if self.touched is not None:
            of_features = of_features[..., self.touched]
        if self.scale != 1.0:
            of_features = of_features * self.scale
        W = np.empty((len(thetas), self.outputs, of_features.shape[-1] + 1), self.dtype)
        W[..., :-1] = of_features
        intercepts = thetas[:, coefs:] if self.intercept else 0.0
        if self.reference.size:
            # No BLAS: its sums depend on its threads.
            intercepts = intercepts + (of_features * self.reference).sum(axis=-1)
        W[..., -1] = intercepts
        return read_only(W.reshape(-1, W.shape[-1]))

    def gradients(self, W_grad: Array) -> Any:
        """Gradients in theta, one for each model, from those in the kernels' coefficients: `of_thetas` transposed."""
        if self.plain:
            return W_grad
        W_grad = W_grad.reshape(-1, self.outputs, W_grad.shape[-1])
        if self.touched is not None:
            return [self.per_parameter(one[:, :-1] * self.scale, one[:, -1]) for one in W_grad]
        grads, coefs = np.empty((len(W_grad), self.size)), self.outputs * self.features
        of_features = grads[:, :coefs].reshape(W_grad[..., :-1].shape)
        of_features[...] = W_grad[..., :-1]
        if self.scale != 1.0:
            of_features *= self.scale
        if self.reference.size:
            of_features += W_grad[..., -1:] * (self.reference * self.scale)
        if self.intercept:
            grads[:, coefs:] = W_grad[..., -1]
        return grads

    def per_parameter(self, coefs: Array, intercepts: Array) -> Any:
        """A number for each parameter, from (outputs, columns of the kernels) and (outputs,): array or SparseVector."""
        values = np.concatenate((coefs.ravel(), intercepts)) if self.intercept else coefs.ravel()
        if self.touched is None:
            return values
        size = self.size
        first = np.arange(self.outputs + 1)[:, None] * self.features
        places = (first[:-1] + self.touched).ravel()
        if self.intercept:
            places = np.concatenate((places, np.arange(first[-1, 0], size)))
        return SparseVector(size, places.astype(index_type(size)), values)

    def matrices_of(self, matrices: Array) -> Array:
        """Matrices (J, width, width) in one predictor's parameters from those in the kernels' coefficients."""
        for _ in range(2):  # columns, then rows: the matrices are symmetric
            coefs = matrices[..., :-1]
            if self.reference.size:
                coefs = coefs + matrices[..., -1:] * self.reference
            coefs = coefs * self.scale
            columns = np.concatenate((coefs, matrices[..., -1:]), axis=-1) if self.intercept else coefs
            matrices = columns.swapaxes(-1, -2)
        return matrices


@lru_cache(maxsize=1)
def layout(outputs: int, features: int, intercept: bool) -> tuple[Array, Array]:
    """Which parameters are penalised, and where those of each linear predictor stand; blocks share the arrays."""
    coefs = outputs * features
    size = coefs + (outputs if intercept else 0)
    predictors = np.arange(coefs).reshape(outputs, -1)
    if intercept:
        predictors = np.column_stack((predictors, np.arange(coefs, size)))
    return read_only(np.arange(size) < coefs), read_only(predictors)


def reference_of(schema: Schema, scale: float, precision: str) -> Array:
    """What to subtract from each column as stored, as float64 that `precision` represents; empty for nothing.

    Where the mean of a float32 column dwarfs its spread, the products would lose the spread's digits. It depends on
    the schema alone, so that all blocks subtract the same.
    """
    spread = np.sqrt(schema.variance)
    dwarfs = np.abs(schema.mean) > _DWARFS[precision] * spread
    if precision == "float64":  # where nothing but rounding varies, nothing is worth a copy
        dwarfs &= spread > CONSTANT * np.abs(schema.mean)
    if not dwarfs.any():
        return np.zeros(0)
    return np.where(dwarfs, schema.mean / scale, 0.0).astype(precision).astype(np.float64)
