"""glum's iteratively reweighted least squares."""

import warnings

import glum
import numpy as np

from ..curve import Curve
from ..task import Task
from .restarts import grow


def run(task: Task, option: str, threads: int, seconds: float) -> Curve:
    family = {"logistic": "binomial", "poisson": "poisson"}[task.loss]

    def fit(limit: int) -> tuple[np.ndarray, float, bool]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = glum.GeneralizedLinearRegressor(
                family=family, alpha=task.l2, l1_ratio=0.0, solver=option, max_iter=limit, gradient_tol=1e-12
            ).fit(np.asarray(task.X), task.y.astype(np.float64))
        # Each iteration reads the rows for gradient and Hessian, and at least once in its line search.
        return np.append(model.coef_, model.intercept_), -1, bool(model.n_iter_ < limit)

    return grow(Curve(version=f"glum {glum.__version__}"), fit, seconds)
