"""The passes over a block in plain NumPy: what answers for small data, with nothing to compile.

They are the passes of `_compiled`, written apart from them: formulas over whole arrays instead of loops over tiles. So
they are also what the compiled ones are held against. A loss that is not in `FORMULAS` has compiled passes only.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, wraps
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import numpy.typing as npt

from ..data.features import sparse_columns
from ..kernels.losses import (
    DispersionModel,
    Gamma,
    Huber,
    Logistic,
    Poisson,
    Quantile,
    Softmax,
    Squared,
    SquaredHinge,
    Tweedie,
)
from ..machine.blas import one_thread
from ..protocols.rows import is_sparse
from ..protocols.sampling import Draw
from ._plain_families import dispersion_model

Array = npt.NDArray[Any]
F = TypeVar("F", bound=Callable[..., Any])

# Rows whose gradient is summed in float32 before it is added to the float64 total, as in compiled passes.
_FLOAT32_ROWS = 480
# Up to so many multiplications NumPy's own loops are faster than BLAS, whose threads must be told first to keep out.
_FEW_PRODUCTS = 2**15

# `gram` is as fast as its parts for any number of columns.
FUSED_COLUMNS = np.inf

# Rows whose Gram matrix is summed in the precision of the products, as in `kernels.gram`.
_GRAM_ROWS = 1024


@dataclass(frozen=True, eq=False)
class PlainRows:
    """The rows of a block; those without weight have features of zero, so that nothing of them can overflow.

    Parameters
    ----------
    X : (n, p) array or CSR array
        Features in the precision of the products, less the reference.
    reference : (p,) or (0,) array
        What was subtracted from them; empty for nothing.
    y : (n,) float64 array
        Targets or class indices.
    weight : (n,) or (0,) float64 array
        Sample weights; empty means 1 for all.
    offset : (n,) or (0,) float64 array
        Added to every linear predictor; empty means 0 for all.
    """

    X: Any
    reference: Array
    y: Array
    weight: Array
    offset: Array

    def _replace(self, **changed: Any) -> "PlainRows":  # as the named tuples of compiled passes
        return replace(self, **changed)

    @cached_property
    def with_ones(self) -> Array:
        """[x, 1] of dense rows, (n, p + 1), in the precision of the products."""
        return np.column_stack((self.X, np.ones(len(self.y), self.X.dtype)))


def rows_of(
    X: Any,
    codes: Array | None,
    columns: int,
    reference: Array,
    y: Array,
    weight: Array,
    offset: Array,
    precision: str,
    outputs: int,
) -> PlainRows:
    """The rows as these passes take them; the parameters are those of `_compiled.rows_of`."""
    if codes is not None:
        X = sparse_columns(X, X.shape[1] + codes, np.ones(codes.shape), columns)
    counts = weight != 0
    if is_sparse(X):
        data = X.data.astype(np.float64, copy=False)
        if not counts.all():
            data = np.where(_of_entries(X, counts), data, 0.0)
        X = type(X)((data, X.indices, X.indptr), shape=X.shape)
    else:
        X = np.require(X, precision, ["C", "A"])  # bits are the same for either order of memory, and for any address
        if reference.size:
            X = X - reference.astype(precision)
        if not counts.all():
            X = np.where(counts[:, None], X, X.dtype.type(0))
    return PlainRows(X, reference, y, weight, offset)


def _of_entries(X: Any, of_rows: Array) -> Array:
    """For each entry of CSR rows what belongs to its row."""
    return np.repeat(of_rows, np.diff(X.indptr))


# --- losses ------------------------------------------------------------------------------------------------------
# Value (1, n), slope and curvature (outputs, n) of each row in its linear predictors eta, (outputs, n); the "curvature"
# of softmax are its probabilities, from which its second derivatives follow.


def _squared(loss: Squared, y: Array, eta: Array) -> tuple[Array, Array, Array]:
    residual = eta - y
    return 0.5 * residual**2, residual, np.ones(eta.shape)


def _huber(loss: Huber, y: Array, eta: Array) -> tuple[Array, Array, Array]:
    residual = eta - y
    slope = np.clip(residual, -loss.delta, loss.delta)
    return slope * (residual - 0.5 * slope), slope, 1.0 * ~(np.abs(residual) > loss.delta)


def _quantile(loss: Quantile, y: Array, eta: Array) -> tuple[Array, Array, Array]:
    residual, width, tilt = eta - y, loss.smoothing, 0.5 - loss.quantile
    outside = np.abs(residual) > width
    half = np.where(outside, np.abs(residual), (residual**2 / width + width) / 2.0) / 2.0
    slope = np.clip(residual / width, -1.0, 1.0) / 2.0
    return half + tilt * residual, slope + tilt, np.where(outside, 0.0, 0.5 / width)


def _logistic(loss: Logistic, y: Array, eta: Array) -> tuple[Array, Array, Array]:
    decay = np.exp(-np.abs(eta))
    share = decay / (1.0 + decay)  # of the less likely class: that of the other, 1 - share, would lose its digits
    value = np.maximum(eta, 0.0) - y * eta + np.log1p(decay)
    return value, np.where(eta >= 0.0, (1.0 - y) - share, share - y), share * (1.0 - share)


def _squared_hinge(loss: SquaredHinge, y: Array, eta: Array) -> tuple[Array, Array, Array]:
    sign = 2.0 * y - 1.0
    gap = np.maximum(1.0 - sign * eta, 0.0)
    return gap**2, -2.0 * sign * gap, 2.0 * (gap > 0)


def _poisson(loss: Poisson, y: Array, eta: Array) -> tuple[Array, Array, Array]:
    mean = np.exp(eta)
    return mean - y * eta, mean - y, mean


def _gamma(loss: Gamma, y: Array, eta: Array) -> tuple[Array, Array, Array]:
    ratio = y * np.exp(-eta)
    return ratio + eta, 1.0 - ratio, ratio


def _tweedie(loss: Tweedie, y: Array, eta: Array) -> tuple[Array, Array, Array]:
    rise, fall = 2.0 - loss.power, loss.power - 1.0
    rising = np.exp(rise * eta)
    falling = np.where(y > 0, y * np.exp(-fall * eta), 0.0)  # 0 times an overflow would be NaN
    return rising / rise + falling / fall, rising - falling, rise * rising + fall * falling


def _softmax(loss: Softmax, y: Array, eta: Array) -> tuple[Array, Array, Array]:
    each = np.arange(len(y))
    at_class, at_top = (y.astype(np.intp), each), (eta.argmax(axis=0), each)
    less = eta - eta[at_top]
    share = np.exp(less)
    share[at_top] = 0.0
    others = share.sum(axis=0)  # apart from the likeliest class, whose 1 would swallow what is small
    share /= 1.0 + others
    share[at_top] = 1.0 / (1.0 + others)
    slope = share.copy()
    slope[at_class] -= 1.0
    right = at_class[0] == at_top[0]
    slope[at_class[0][right], each[right]] = -(others / (1.0 + others))[right]
    return (np.log1p(others) - less[at_class])[None], slope, share


FORMULAS: dict[type, Callable[[Any, Array, Array], tuple[Array, Array, Array]]] = {
    Squared: _squared,
    Huber: _huber,
    Quantile: _quantile,
    Logistic: _logistic,
    SquaredHinge: _squared_hinge,
    Poisson: _poisson,
    Gamma: _gamma,
    Tweedie: _tweedie,
    Softmax: _softmax,
    DispersionModel: dispersion_model,
}


class _Pointwise(NamedTuple):
    """A loss at some linear predictors: what `FORMULAS` say, weighted; and the weighted sum of the squared slopes."""

    value: Array
    slope: Array
    curvature: Array
    squares: float


def _pointwise(loss: Any, y: Array, weight: Array, eta: Array) -> _Pointwise:
    value, slope, curvature = FORMULAS[type(loss)](loss, y, eta)
    squares = slope**2
    if weight.size:
        value, slope, curvature, squares = weight * value, weight * slope, weight * curvature, weight * squares
        if not weight.all():  # a row without weight counts nothing, whatever its loss
            value, slope, curvature, squares = (
                np.where(weight != 0, one, 0.0) for one in (value, slope, curvature, squares)
            )
    return _Pointwise(value, slope, curvature, float(squares.sum()))


# --- products with the rows -------------------------------------------------------------------------------------


def _product(A: Array, B: Array) -> Array:
    """A B, whose sums depend on shapes alone, and on no number of threads."""
    if len(A) * B.size <= _FEW_PRODUCTS:
        return np.einsum("ij,jk->ik", A, B)
    with one_thread():
        product: Array = A @ B
    return product


def _eta(rows: PlainRows, W: Array, offset: bool = True) -> Array:
    """Linear predictors, (outputs, n) float64, at coefficients and intercepts W."""
    coefs = W[:, :-1]
    products = (rows.X @ coefs.T).T if is_sparse(rows.X) else _product(coefs, rows.X.T)
    eta: Array = np.add(products, W[:, -1:], dtype=np.float64)
    return eta + rows.offset if offset and rows.offset.size else eta


def _summed(rows: PlainRows, slope: Array) -> Array:
    """Sums of slope [x, 1], (outputs, p + 1) float64."""
    total = np.zeros((len(slope), rows.X.shape[1] + 1))
    slope.sum(axis=1, out=total[:, -1])
    if is_sparse(rows.X):
        total[:, :-1] = (rows.X.T @ slope.T).T
    elif rows.X.dtype == np.float64:
        total[:, :-1] = _product(slope, rows.X)
    else:
        slope = slope.astype(rows.X.dtype)
        for start in range(0, slope.shape[1], _FLOAT32_ROWS):
            part = slice(start, start + _FLOAT32_ROWS)
            total[:, :-1] += _product(slope[:, part], rows.X[part])
    return total


def _gram(rows: PlainRows, factor: Array) -> Array:
    """Sum of factor [x, 1] [x, 1]', (p + 1, p + 1) float64."""
    X, matrix = rows.X, np.zeros((rows.X.shape[1] + 1,) * 2)
    if not is_sparse(X):
        factor = factor.astype(X.dtype)
        for start in range(0, len(factor), _GRAM_ROWS):
            part = rows.with_ones[start : start + _GRAM_ROWS]
            matrix += _product(factor[start : start + _GRAM_ROWS] * part.T, part)
        return matrix
    scaled = X.data * _of_entries(X, factor)
    matrix[:-1, :-1] = (X.T @ type(X)((scaled, X.indices, X.indptr), shape=X.shape)).toarray()
    matrix[:-1, -1] = matrix[-1, :-1] = np.bincount(X.indices, scaled, X.shape[1])
    matrix[-1, -1] = factor.sum()
    return matrix


# --- the passes -------------------------------------------------------------------------------------------------


def _quietly(function: F) -> F:
    """Without warnings of what is not finite: solvers look for it."""

    @wraps(function)
    def quiet(*args: Any) -> Any:
        with np.errstate(all="ignore"):
            return function(*args)

    return cast(F, quiet)


@_quietly
def loss_grad(
    loss: Any, rows: PlainRows, models: int, W: Array, draws: tuple[Draw, ...], first_row: int
) -> tuple[Array, Array, Array, Array]:
    """Loss and gradient of several models, as `_compiled.loss_grad`: one after another, so that each gets the bits that
    it gets alone.
    """
    outputs = len(W) // models
    value, grad, total, squares = np.zeros(models), np.empty(W.shape), np.zeros(models), np.zeros(models)
    for m in range(models):
        own, weight = slice(m * outputs, (m + 1) * outputs), rows.weight
        if draws:
            times = draws[m].weights(first_row, len(rows.y))
            weight = weight * times if weight.size else times
            total[m] = weight.sum()
        at = _pointwise(loss, rows.y, weight, _eta(rows, W[own]))
        value[m], squares[m], grad[own] = at.value.sum(), at.squares, _summed(rows, at.slope)
    return value, grad, total, squares


def loss_grad_of_classes(
    loss: Any, rows: PlainRows, W: Array, classes: Array, factors: Array
) -> tuple[Array, Array, Array]:
    """Loss and gradient of models of one class against the rest, as `kernels.passes.loss_grad_of_classes`."""
    value, grad, squares = np.zeros(len(W)), np.empty(W.shape), np.zeros(len(W))
    for m, (number, factor) in enumerate(zip(classes, factors, strict=True)):
        own, weight = rows.y == number, rows.weight
        if factor != 1.0:
            weight = np.where(own, factor, 1.0) * (weight if weight.size else 1.0)
        of_class = rows._replace(y=own.astype(np.float64), weight=weight)
        value[m : m + 1], grad[m : m + 1], _, squares[m : m + 1] = loss_grad(loss, of_class, 1, W[m : m + 1], (), 0)
    return value, grad, squares


@_quietly
def hess_vec(loss: Any, rows: PlainRows, W_and_V: Array) -> Array:
    """Hessian at W times V, as `kernels.passes.hess_vec`."""
    outputs = len(W_and_V) // 2
    curvature = _pointwise(loss, rows.y, rows.weight, _eta(rows, W_and_V[:outputs])).curvature
    direction = _eta(rows, W_and_V[outputs:], offset=False)
    if isinstance(loss, Softmax):
        direction = direction - (curvature / _where_it_counts(rows.weight) * direction).sum(axis=0)
    if rows.weight.size:
        direction = np.where(rows.weight != 0, direction, 0.0)
    return _summed(rows, curvature * direction)


@_quietly
def diagonal(loss: Any, rows: PlainRows, W: Array) -> Array:
    """Diagonal of the Hessian, as `kernels.passes.diagonal`."""
    curvature = _pointwise(loss, rows.y, rows.weight, _eta(rows, W)).curvature
    if isinstance(loss, Softmax):
        curvature = curvature * (1.0 - curvature / _where_it_counts(rows.weight))
    total, X = np.empty(W.shape), rows.X
    total[:, -1] = curvature.sum(axis=1)
    if not is_sparse(X):
        X = X.astype(np.float64, copy=False)
        if rows.reference.size:  # squares do not cancel: of the features as they are
            X = X + rows.reference
    for k, factor in enumerate(curvature):
        if is_sparse(X):
            total[k, :-1] = np.bincount(X.indices, _of_entries(X, factor) * X.data * X.data, X.shape[1])
        else:
            total[k, :-1] = (factor[:, None] * X * X).sum(axis=0)
    return total


@_quietly
def gram(loss: Any, rows: PlainRows, W: Array, of_slopes: bool) -> tuple[float, Array, Array, float]:
    """Loss, gradient, and Hessian or meat, as `kernels.passes.gram`."""
    at = _pointwise(loss, rows.y, rows.weight, _eta(rows, W))
    factor = at.slope[0] ** 2 if of_slopes else at.curvature[0]
    return float(at.value.sum()), _summed(rows, at.slope), _gram(rows, factor), at.squares


@_quietly
def curvatures(loss: Any, rows: PlainRows, W: Array, for_steps: bool) -> Array:
    """Second derivatives of every row, as `kernels.passes.curvatures`."""
    at = _pointwise(loss, rows.y, rows.weight, _eta(rows, W))
    if not for_steps or isinstance(loss, Softmax):
        return at.curvature
    straight = (at.curvature == 0) & (at.value > 0)
    return np.where(straight, at.slope**2 / (2.0 * at.value), at.curvature)


@_quietly
def grams(rows: PlainRows, columns: int, precision: str, factors: Array) -> Array:
    """Gram matrices under several factors, as `kernels.gram.grams`."""
    return np.array([_gram(rows, factor) for factor in factors])


def _where_it_counts(weight: Array) -> Array | float:
    """What weighted numbers are divided by: 1 for rows of no weight, whose numbers are zero."""
    return np.where(weight != 0, weight, 1.0) if weight.size else 1.0


# --- the set-up read --------------------------------------------------------------------------------------------


def dense_moments(X: Array, weight: Array) -> tuple[int, int, Array, Array]:
    """First entry that is not finite, and moments of the columns, as `kernels.moments.dense_moments`."""
    values = np.ascontiguousarray(X, np.float64)
    bad = np.argwhere(~np.isfinite(values))
    if len(bad):
        return int(bad[0, 0]), int(bad[0, 1]), np.zeros(X.shape[1]), np.zeros(X.shape[1])
    if weight.size and not weight.all():  # what does not count may be so large that its square is infinite
        values, weight = values[weight > 0], weight[weight > 0]
    factor = weight[:, None] if weight.size else 1.0
    total = weight.sum() if weight.size else float(len(values))
    with np.errstate(over="ignore", invalid="ignore"):
        mean = (factor * values).sum(axis=0) / total if total > 0 else np.zeros(X.shape[1])
        return -1, -1, mean, (factor * (values - mean) ** 2).sum(axis=0)


def csr_moments(data: Array, indices: Array, indptr: Array, weight: Array, p: int) -> tuple[int, int, Array, Array]:
    """The same of CSR rows, as `kernels.moments.csr_moments`."""
    values, of_row = data.astype(np.float64), np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        return int(of_row[bad[0]]), int(indices[bad[0]]), np.zeros(p), np.zeros(p)
    rows = weight if weight.size else np.ones(len(indptr) - 1)
    # Added one after another, as the weights of each column's entries are: of a full column the difference is zero.
    total, entry = rows.cumsum()[-1] if len(rows) else 0.0, rows[of_row]
    values = np.where(entry > 0, values, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.bincount(indices, entry * values, p) / total if total > 0 else np.zeros(p)
        squares = np.bincount(indices, entry * (values - mean[indices]) ** 2, p)
        return -1, -1, mean, squares + (total - np.bincount(indices, entry, p)) * mean * mean
