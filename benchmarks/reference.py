"""Loss and gradient in plain float64 NumPy, a few thousand rows at a time: what every answer is checked against."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .problem import Problem

CHUNK = 8192


def pointwise(loss: str, y: np.ndarray, eta: np.ndarray) -> tuple[float, np.ndarray]:
    """Sum of losses, and their derivatives in `eta` (rows, outputs)."""
    if loss == "softmax":
        top = eta.max(axis=1, keepdims=True)
        decay = np.exp(eta - top)
        total = decay.sum(axis=1, keepdims=True)
        rows = np.arange(len(y))
        labels = y.astype(np.intp)
        slope = decay / total
        slope[rows, labels] -= 1.0
        return float(np.sum(np.log(total[:, 0]) + top[:, 0] - eta[rows, labels])), slope
    target = y.astype(np.float64)[:, None]
    if loss == "logistic":
        return float(np.sum(np.logaddexp(0.0, eta) - target * eta)), 1.0 / (1.0 + np.exp(-eta)) - target
    if loss == "poisson":
        mean = np.exp(eta)
        return float(np.sum(mean - target * eta)), mean - target
    raise ValueError(f"no reference for the loss {loss!r}")


def design(problem: Problem) -> Iterator[tuple[slice, Any]]:
    """Chunks of the design matrix in float64, dense or scipy.sparse (categorical columns as one-hot)."""
    arrays = problem.arrays
    if problem.storage != "dense":
        matrix = one_hot(problem) if problem.storage == "mixed" else csr(problem)
    for start in range(0, problem.rows, CHUNK):
        rows = slice(start, min(start + CHUNK, problem.rows))
        if problem.storage == "dense":
            yield rows, arrays["X"][rows].astype(np.float64) * problem.scale
        else:
            yield rows, matrix[rows].astype(np.float64)


def csr(problem: Problem) -> Any:
    """The problem's sparse rows; the arrays are not copied."""
    from scipy.sparse import csr_array

    parts = problem.arrays["data"], problem.arrays["indices"], problem.arrays["indptr"]
    return csr_array(parts, shape=(problem.rows, problem.columns), copy=False)


def one_hot(problem: Problem) -> Any:
    """A table of numeric and categorical columns as one sparse matrix, in the dtype of the numeric ones."""
    from scipy.sparse import csr_array

    numeric, codes = problem.arrays["X"], problem.shifted_codes() + np.int32(problem.arrays["X"].shape[1])
    n, p = numeric.shape
    indices = np.hstack((np.broadcast_to(np.arange(p, dtype=np.int32), (n, p)), codes))
    data = np.hstack((numeric, np.ones(codes.shape, numeric.dtype)))
    width = indices.shape[1]
    indptr = np.arange(0, n * width + 1, width, dtype=np.int32)
    return csr_array((data.ravel(), indices.ravel(), indptr), shape=(n, problem.columns))


def answer(problem: Problem) -> dict[str, np.ndarray]:
    """value (models,), grad of theta's shape, and grad_scale: sum of |x| |d loss / d eta| per coordinate."""
    thetas = np.atleast_2d(problem.arrays["theta"])
    values = np.zeros(len(thetas))
    grad, scale = np.zeros(thetas.shape), np.zeros(thetas.shape)
    stacked = [problem.split(theta) for theta in thetas]
    W, b = np.vstack([coef for coef, _ in stacked]).T, np.concatenate([intercept for _, intercept in stacked])
    coefs = problem.outputs * problem.columns
    for rows, X in design(problem):
        every = X @ W + b
        if "offset" in problem.arrays:
            every = every + problem.arrays["offset"][rows, None]
        for number in range(len(thetas)):
            eta = every[:, number * problem.outputs : (number + 1) * problem.outputs]
            value, slope = pointwise(problem.loss, problem.arrays["y"][rows], eta)
            values[number] += value
            grad[number, :coefs] += (X.T @ slope).T.ravel()
            grad[number, coefs:] += slope.sum(axis=0)
            scale[number, :coefs] += (abs(X).T @ abs(slope)).T.ravel()
            scale[number, coefs:] += abs(slope).sum(axis=0)
    shape = problem.arrays["theta"].shape
    return {"value": values, "grad": grad.reshape(shape), "grad_scale": scale.reshape(shape)}
