"""scikit-learn."""

from typing import Any

import numpy as np
from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression


def fit(task: Any, option: str, tol: float, threads: int) -> np.ndarray:
    if option == "cd":
        options = {"tol": tol, "max_iter": 100_000}
        strength = task.l1 + task.l2
        model = ElasticNet(strength, l1_ratio=task.l1 / strength, **options) if task.l2 else Lasso(task.l1, **options)
        model.fit(np.asfortranarray(task.columns) if isinstance(task.columns, np.ndarray) else task.columns, task.y)
        return np.append(model.coef_, model.intercept_)
    C = 1.0 / (task.l1 * len(task.y))
    options = {"C": C, "solver": option, "tol": tol, "max_iter": 10_000, "l1_ratio": 1.0, "random_state": 0}
    if option == "liblinear":  # its intercept is penalised, but for a large scale
        options["intercept_scaling"] = 1e3
    model = LogisticRegression(**options).fit(task.columns, task.y)
    return np.append(model.coef_.ravel(), model.intercept_)
