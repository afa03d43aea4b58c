"""celer: its logistic regression has no intercept."""

from typing import Any

import numpy as np
from celer.homotopy import celer_path

from .sklearn_ import centred


def path(task: Any, option: str, tol: float, threads: int) -> np.ndarray:
    X, y, means = centred(task)
    coefs = celer_path(X, y, "lasso", alphas=np.multiply(task.l1, task.shares), tol=tol, max_iter=200)[1].T
    return np.column_stack((coefs, means[-1] - coefs @ means[:-1]))
