"""skglm."""

from typing import Any

import numpy as np
from scipy.sparse import csc_matrix
from skglm import GeneralizedLinearEstimator
from skglm.datafits import Logistic, Quadratic
from skglm.penalties import L1
from skglm.solvers import AndersonCD, ProxNewton


def fit(task: Any, option: str, tol: float, threads: int) -> np.ndarray:
    X = task.columns
    X = np.asfortranarray(X) if isinstance(X, np.ndarray) else csc_matrix(X)
    squared = task.loss == "squared"
    options = {"tol": tol * (1.0 if squared else task.l1), "fit_intercept": True, "max_iter": 200}
    solver = AndersonCD(**options) if squared else ProxNewton(**options)
    model = GeneralizedLinearEstimator(Quadratic() if squared else Logistic(), L1(task.l1), solver)
    model.fit(X, task.y if squared else np.where(task.y > 0, 1, -1))
    return np.append(np.ravel(model.coef_), model.intercept_)
