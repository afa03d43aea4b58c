"""Loss and gradient in NumPy, for optimisers that are given functions."""

import numpy as np

from ..task import Task, _losses


def value_and_grad(task: Task, theta: np.ndarray) -> tuple[float, np.ndarray]:
    """F and its gradient, in the precision of X."""
    coef, intercept = task.split(theta)
    eta = np.asarray(task.X @ coef.T.astype(task.X.dtype) + intercept.astype(task.X.dtype), np.float64)
    value = _losses(task.loss, task.y, eta)
    slope = _slopes(task, eta)
    n = len(task.y)
    of_coef = (task.X.T @ slope.astype(task.X.dtype)).T.astype(np.float64) / n + task.l2 * coef
    value = value / n + 0.5 * task.l2 * float((coef**2).sum())
    return value, np.concatenate((of_coef.ravel(), slope.sum(axis=0) / n))


def _slopes(task: Task, eta: np.ndarray) -> np.ndarray:
    if task.loss == "softmax":
        slope = np.exp(eta - eta.max(axis=1, keepdims=True))
        slope /= slope.sum(axis=1, keepdims=True)
        slope[np.arange(len(task.y)), task.y] -= 1.0
        return slope
    y = task.y[:, None]
    with np.errstate(over="ignore"):
        return (1.0 / (1.0 + np.exp(-eta)) if task.loss == "logistic" else np.exp(eta)) - y
