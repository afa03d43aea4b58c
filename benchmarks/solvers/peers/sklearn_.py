"""scikit-learn's solvers for logistic and Poisson regression."""

import warnings
from typing import Any

import numpy as np
import sklearn
from sklearn.linear_model import LogisticRegression, PoissonRegressor
from sklearn.linear_model._linear_loss import LinearModelLoss

from ..curve import Curve
from ..task import Task
from .restarts import grow

# What reads all rows once. (saga counts its epochs.)
_READS = ("loss", "gradient", "loss_gradient", "gradient_hessian", "gradient_hessian_product")


def run(task: Task, option: str, threads: int, seconds: float) -> Curve:
    solver, _, precision = option.rpartition("-")
    X = task.X.astype(precision)
    calls = [0]
    for name in _READS:
        setattr(LinearModelLoss, name, _counted(getattr(LinearModelLoss, name), calls))

    def fit(limit: int) -> tuple[np.ndarray, float, bool]:
        calls[0] = 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it did not converge: that is what a limit is for
            model = _model(task, solver, limit).fit(X, task.y)
        iterations = int(np.max(model.n_iter_))
        theta = np.concatenate((np.ravel(model.coef_), np.ravel(model.intercept_)))
        return theta, iterations if solver == "saga" else calls[0], iterations < limit

    return grow(Curve(version=f"scikit-learn {sklearn.__version__}", note=_notes(solver)), fit, seconds)


def _model(task: Task, solver: str, limit: int) -> Any:
    if task.loss == "poisson":
        return PoissonRegressor(alpha=task.l2, solver=solver, max_iter=limit, tol=1e-12)
    C = 1.0 / (task.l2 * len(task.y))
    return LogisticRegression(C=C, solver=solver, max_iter=limit, tol=1e-12, random_state=0)


def _notes(solver: str) -> str:
    if solver == "newton-cg":
        return "passes without its Hessian-vector products: those are not counted by the library's loss class"
    return "passes are epochs" if solver == "saga" else ""


def _counted(function: Any, calls: list[int]) -> Any:
    def counted(*arguments: Any, **options: Any) -> Any:
        calls[0] += 1
        return function(*arguments, **options)

    return counted
