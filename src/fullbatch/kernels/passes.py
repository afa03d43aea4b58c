"""The passes over a block: each reads the rows once, tile by tile, whatever the loss and however rows are stored."""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from typing import Any

import numpy as np
import numpy.typing as npt

from . import csr, dense, mixed  # noqa: F401  they register their products
from ._storage import backward, backward_gram, backward_squares, flush, forward, size, workspace
from .cache import kernel
from .compiled import inlined
from .draws import draw_tile
from .losses import pointwise, softmax_diagonal, softmax_hess_vec

Array = npt.NDArray[Any]

# Rows whose gradient is summed in the precision of the products before it is added to the float64 total.
ROWS_PER_FLUSH = 480


@inlined
def _tile(rows, W, start, ones, eta, outputs):
    """Targets and weights of the tile of rows from `start` on, and eta with their intercepts and offsets.

    The last tile is shorter, and its eta a multiple of eight long, as the products take them.
    """
    count = min(eta.shape[1], rows.y.size - start)
    if count < eta.shape[1]:
        eta = np.empty((eta.shape[0], (count + 7) // 8 * 8))
    for k in range(eta.shape[0]):
        intercept = np.float64(W[k, W.shape[1] - 1])
        for i in range(eta.shape[1]):
            eta[k, i] = intercept
    if rows.offset.size:
        for k in range(outputs):
            for i in range(count):
                eta[k, i] += rows.offset[start + i]
    weight = rows.weight[start : start + count] if rows.weight.size else ones[:count]
    return rows.y[start : start + count], weight, eta


@inlined
def _clear_padding(slope, count):
    """What lies behind the rows counts nothing."""
    for k in range(slope.shape[0]):
        for i in range(count, slope.shape[1]):
            slope[k, i] = 0.0


@inlined
def _mirror(matrix):
    """What a storage need not have summed (`_storage.Storage`), from its mirror image."""
    last = matrix.shape[0] - 1
    for k in range(last):
        matrix[k, last] = matrix[last, k]
        for j in range(k):
            matrix[k, j] = matrix[j, k]


@kernel
def loss_grad(
    loss: Any, rows: Any, models: int, W: Array, draws: Array, first_row: int
) -> tuple[Array, Array, Array, Array]:
    """Sum of weighted losses over the rows, and its gradient, for several models at once.

    Parameters
    ----------
    loss : named tuple
        One of `fullbatch.kernels.losses`.
    rows : DenseRows, ByteRows, TiledRows, MixedRows or SparseRows
        The block.
    models : int
        Number of models.
    W : (models * outputs, p + 1) array of float32 or float64
        Coefficients and, last, intercepts; their type is the precision of the products.
    draws : (models, 4) or (0, 4) int64 array
        How often each model counts a row, see `sampling.Draw.code`; empty for once.
    first_row : int
        Global number of the block's first row.

    Returns
    -------
    value : (models,) float64 array
    grad : (models * outputs, p + 1) float64 array
    total : (models,) float64 array
        Sums of the weights; zeros without draws.
    squares : (models,) float64 array
        Weighted sums of squared slopes.
    """
    space = workspace(rows, W, W.shape[0])
    step, outputs = size(space), W.shape[0] // models
    ones, eta = np.ones(step), np.empty((W.shape[0], step))
    value, grad, total, squares = np.zeros(models), np.zeros(W.shape), np.zeros(models), np.zeros(models)
    uniform, drawn = np.zeros(step if draws.size else 0), np.zeros(step if draws.size else 0)
    unflushed = 0
    for start in range(0, rows.y.size, step):
        y, weight, eta = _tile(rows, W, start, ones, eta, W.shape[0])
        forward(rows, space, start, eta)
        for m in range(models):
            counts = weight
            if draws.size:
                counts = drawn[: y.size]
                draw_tile(draws, m, first_row + start, weight, uniform, counts)
                for i in range(y.size):
                    total[m] += counts[i]
            tile = pointwise(loss, y, counts, eta[m * outputs : (m + 1) * outputs], None)
            value[m] += tile[0]
            squares[m] += tile[1]
        _clear_padding(eta, y.size)
        backward(rows, space, start, eta)
        unflushed += step
        if unflushed >= ROWS_PER_FLUSH:
            flush(space, grad, False)
            unflushed = 0
    flush(space, grad, True)
    return value, grad, total, squares


@kernel
def hess_vec(loss: Any, rows: Any, W_and_V: Array) -> Array:
    """Hessian of the summed loss at W times V.

    Parameters
    ----------
    loss, rows
        As for `loss_grad`.
    W_and_V : (2 * outputs, p + 1) array
        Where, and below it, in which direction.

    Returns
    -------
    (outputs, p + 1) float64 array
    """
    outputs = W_and_V.shape[0] // 2
    space = workspace(rows, W_and_V, outputs)
    step = size(space)
    ones, eta, curvature = np.ones(step), np.empty((2 * outputs, step)), np.empty((outputs, step))
    product = np.zeros((outputs, W_and_V.shape[1]))
    unflushed = 0
    for start in range(0, rows.y.size, step):
        # An offset is a constant: it does not move with V.
        y, weight, eta = _tile(rows, W_and_V, start, ones, eta, outputs)
        forward(rows, space, start, eta)
        direction = eta[outputs:]
        pointwise(loss, y, weight, eta[:outputs], curvature)
        if outputs > 1:
            softmax_hess_vec(weight, curvature, direction)
        else:
            for i in range(y.size):
                direction[0, i] = curvature[0, i] * direction[0, i] if weight[i] != 0.0 else 0.0
        _clear_padding(direction, y.size)
        backward(rows, space, start, direction)
        unflushed += step
        if unflushed >= ROWS_PER_FLUSH:
            flush(space, product, False)
            unflushed = 0
    flush(space, product, True)
    return product


@kernel
def diagonal(loss: Any, rows: Any, W: Array) -> Array:
    """Diagonal of the Hessian of the summed loss at W.

    Parameters
    ----------
    loss, rows
        As for `loss_grad`.
    W : (outputs, p + 1) array
        Where.

    Returns
    -------
    (outputs, p + 1) float64 array
    """
    outputs = W.shape[0]
    space = workspace(rows, W, outputs)
    step = size(space)
    ones, eta = np.ones(step), np.empty((outputs, step))
    total = np.zeros(W.shape)
    unflushed = 0
    for start in range(0, rows.y.size, step):
        y, weight, eta = _tile(rows, W, start, ones, eta, outputs)
        forward(rows, space, start, eta)
        curvature = np.empty(eta.shape)
        pointwise(loss, y, weight, eta, curvature)
        if outputs > 1:
            softmax_diagonal(weight, curvature)
        _clear_padding(curvature, y.size)
        backward_squares(rows, space, start, curvature)
        unflushed += step
        if unflushed >= ROWS_PER_FLUSH:
            flush(space, total, False)
            unflushed = 0
    flush(space, total, True)
    return total


@kernel
def gram(loss: Any, rows: Any, W: Array, of_slopes: bool) -> tuple[float, Array, Array, float]:
    """Loss, gradient and weighted Gram matrix of [x, 1] at W, for a loss of one linear predictor and few columns.

    Parameters
    ----------
    loss, rows
        As for `loss_grad`.
    W : (1, p + 1) array
        Where.
    of_slopes : bool
        Rows count in the Gram matrix with the square of their weighted slope (the meat of sandwich standard errors);
        otherwise with their weighted curvature (the Hessian).

    Returns
    -------
    value : float
    grad : (1, p + 1) float64 array
    matrix : (p + 1, p + 1) float64 array
    squares : float
        Weighted sum of squared slopes.
    """
    space, square = workspace(rows, W, 1), workspace(rows, W, W.shape[1])
    step = size(space)
    ones, eta = np.ones(step), np.empty((1, step))
    value, squares, grad, matrix = 0.0, 0.0, np.zeros(W.shape), np.zeros((W.shape[1], W.shape[1]))
    unflushed = 0
    for start in range(0, rows.y.size, step):
        y, weight, eta = _tile(rows, W, start, ones, eta, 1)
        forward(rows, space, start, eta)
        curvature = np.empty(eta.shape)
        tile = pointwise(loss, y, weight, eta, curvature)
        value += tile[0]
        squares += tile[1]
        _clear_padding(eta, y.size)
        backward(rows, space, start, eta)
        if of_slopes:
            for i in range(y.size):
                curvature[0, i] = eta[0, i] * eta[0, i]
        _clear_padding(curvature, y.size)
        backward_gram(rows, space, square, start, curvature)
        unflushed += step
        if unflushed >= ROWS_PER_FLUSH:
            flush(space, grad, False)
            flush(square, matrix, False)
            unflushed = 0
    flush(space, grad, True)
    flush(square, matrix, True)
    _mirror(matrix)
    return value, grad, matrix, squares


@kernel
def curvatures(loss: Any, rows: Any, W: Array, for_steps: bool) -> Array:
    """Second derivatives of every row's loss in its linear predictors, as factors of a Gram matrix.

    Parameters
    ----------
    loss, rows, W
        As for `diagonal`.
    for_steps : bool
        Where the loss is linear (the tails of Huber's), its second derivative is zero and would let a step go
        anywhere. If true, slope^2 / (2 loss) stands in its place: the curvature of the parabola that has this loss
        and slope, and its minimum at zero.

    Returns
    -------
    (outputs, n) float64 array
        weight * d2 loss / d eta2; for softmax, the weight times the probabilities, from which its second derivatives
        follow.
    """
    outputs = W.shape[0]
    space = workspace(rows, W, outputs)
    step = size(space)
    ones, eta, curvature = np.ones(step), np.empty((outputs, step)), np.empty((outputs, step))
    factors = np.zeros((outputs, rows.y.size))
    for start in range(0, rows.y.size, step):
        y, weight, eta = _tile(rows, W, start, ones, eta, outputs)
        forward(rows, space, start, eta)
        for i in range(y.size):
            one = slice(i, i + 1)
            value, _ = pointwise(loss, y[one], weight[one], eta[:, one], curvature[:, one])
            for k in range(outputs):
                factors[k, start + i] = curvature[k, i]
            if for_steps and outputs == 1 and curvature[0, i] == 0.0 and value > 0.0:
                factors[0, start + i] = eta[0, i] * eta[0, i] / (2.0 * value)
    return factors


@kernel
def weighted_gram(rows: Any, W: Array, factor: Array) -> Array:
    """Sum over rows of factor [x, 1] [x, 1]'.

    Parameters
    ----------
    rows
        As for `loss_grad`.
    W : (1, p + 1) array
        Its type is the precision of the products; its values do not matter.
    factor : (n,) float64 array
        Of each row.

    Returns
    -------
    (p + 1, p + 1) float64 array
    """
    space, square = workspace(rows, W, 1), workspace(rows, W, W.shape[1])
    step = size(space)
    eta, tile_factor = np.zeros((1, step)), np.zeros((1, step))
    matrix = np.zeros((W.shape[1], W.shape[1]))
    unflushed = 0
    for start in range(0, rows.y.size, step):
        for i in range(step):
            tile_factor[0, i] = factor[start + i] if start + i < factor.size else 0.0
        forward(rows, space, start, eta)
        backward_gram(rows, space, square, start, tile_factor)
        unflushed += step
        if unflushed >= ROWS_PER_FLUSH:
            flush(square, matrix, False)
            unflushed = 0
    flush(square, matrix, True)
    _mirror(matrix)
    return matrix


@kernel
def loss_grad_of_classes(loss: Any, rows: Any, W: Array, classes: Array, factors: Array) -> tuple[Array, Array, Array]:
    """As `loss_grad`, of models of one class against the rest: the target of each is whether a row is of its class.

    Parameters
    ----------
    loss : named tuple
        Of two classes.
    rows
        As for `loss_grad`; the targets are numbers of classes.
    W : (models, p + 1) array
        As for `loss_grad`.
    classes : (models,) int64 array
        That of each model.
    factors : (models,) float64 array
        What the weights of rows of that class are multiplied by.

    Returns
    -------
    value : (models,) float64 array
    grad : (models, p + 1) float64 array
    squares : (models,) float64 array
    """
    models = W.shape[0]
    space = workspace(rows, W, models)
    step = size(space)
    ones, eta, target, counts = np.ones(step), np.empty((models, step)), np.empty(step), np.empty(step)
    value, grad, squares = np.zeros(models), np.zeros(W.shape), np.zeros(models)
    unflushed = 0
    for start in range(0, rows.y.size, step):
        y, weight, eta = _tile(rows, W, start, ones, eta, models)
        forward(rows, space, start, eta)
        for m in range(models):
            for i in range(y.size):
                own = y[i] == classes[m]
                target[i] = 1.0 if own else 0.0
                counts[i] = weight[i] * factors[m] if own else weight[i]
            tile = pointwise(loss, target[: y.size], counts[: y.size], eta[m : m + 1], None)
            value[m] += tile[0]
            squares[m] += tile[1]
        _clear_padding(eta, y.size)
        backward(rows, space, start, eta)
        unflushed += step
        if unflushed >= ROWS_PER_FLUSH:
            flush(space, grad, False)
            unflushed = 0
    flush(space, grad, True)
    return value, grad, squares
