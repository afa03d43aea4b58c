"""skglm."""

from typing import Any

import numpy as np
from scipy.sparse import csc_matrix
from skglm import GeneralizedLinearEstimator
from skglm.datafits import Logistic, Quadratic
from skglm.penalties import L1
from skglm.solvers import AndersonCD, ProxNewton


def fit(task: Any, option: str, tol: float, threads: int) -> np.ndarray:
    X, y, datafit, make = _problem(task, tol)
    model = GeneralizedLinearEstimator(datafit, L1(task.l1), make(task.l1)).fit(X, y)
    return np.append(np.ravel(model.coef_), model.intercept_)


def path(task: Any, option: str, tol: float, threads: int) -> np.ndarray:
    X, y, datafit, make = _problem(task, tol)
    theta, predicted, thetas = np.zeros(X.shape[1] + 1), np.zeros(len(y)), []
    for share in task.shares:
        solver = make(share * task.l1)
        theta = solver.solve(X, y, datafit, L1(share * task.l1), theta.copy(), predicted)[0]
        predicted = X @ theta[:-1] + theta[-1]
        thetas.append(theta)
    return np.array(thetas)


def _problem(task: Any, tol: float) -> tuple[Any, np.ndarray, Any, Any]:
    """Columns, targets, loss, and what makes a solver for a strength."""
    X = task.columns
    X = np.asfortranarray(X) if isinstance(X, np.ndarray) else csc_matrix(X)
    squared = task.loss == "squared"
    kind = AndersonCD if squared else ProxNewton

    def make(strength: float) -> Any:
        return kind(tol=tol * (1.0 if squared else strength), fit_intercept=True, max_iter=200)

    y = task.y if squared else np.where(task.y > 0, 1.0, -1.0)
    return X, y, Quadratic() if squared else Logistic(), make
