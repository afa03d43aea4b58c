"""scikit-learn."""

from typing import Any

import numpy as np


def fit(task: Any, option: str, tol: float, threads: int) -> np.ndarray:
    from sklearn.linear_model import ElasticNet, Lasso, LogisticRegression, PoissonRegressor, Ridge

    if option == "cd":
        options = {"tol": tol, "max_iter": 100_000}
        strength = task.l1 + task.l2
        model = ElasticNet(strength, l1_ratio=task.l1 / strength, **options) if task.l2 else Lasso(task.l1, **options)
        model.fit(np.asfortranarray(task.columns) if isinstance(task.columns, np.ndarray) else task.columns, task.y)
        return np.append(model.coef_, model.intercept_)
    if option == "ridge":
        model = Ridge(task.l2 * len(task.y), tol=tol).fit(task.columns, task.y)
        return np.append(model.coef_, model.intercept_)
    options = {"solver": option, "tol": tol, "max_iter": 10_000}
    if task.loss == "poisson":
        model = PoissonRegressor(alpha=task.l2, **options)
    else:
        strength, l1_ratio = (task.l1, 1.0) if task.l1 else (task.l2, 0.0)
        options |= {"C": 1.0 / (strength * len(task.y)), "l1_ratio": l1_ratio, "random_state": 0}
        if option == "liblinear":  # its intercept is penalised, but for a large scale
            options["intercept_scaling"] = 1e3
        model = LogisticRegression(**options)
    model.fit(task.columns, task.y)
    return np.concatenate((np.ravel(model.coef_), np.ravel(model.intercept_)))


def path(task: Any, option: str, tol: float, threads: int) -> np.ndarray:
    from sklearn.linear_model import LogisticRegression, enet_path

    if option == "cd":
        X, y, means = centred(task)
        strength = task.l1 + task.l2
        options = {"alphas": np.multiply(strength, task.shares), "l1_ratio": task.l1 / strength}
        coefs = enet_path(X, y, **options, tol=tol, max_iter=100_000)[1].T
        return np.column_stack((coefs, means[-1] - coefs @ means[:-1]))
    model = LogisticRegression(solver=option, tol=tol, max_iter=10_000, l1_ratio=1.0, random_state=0, warm_start=True)
    thetas = []
    for share in task.shares:
        model.set_params(C=1.0 / (share * task.l1 * len(task.y))).fit(task.columns, task.y)
        thetas.append(np.append(model.coef_, model.intercept_))
    return np.array(thetas)


def centred(task: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Dense columns and targets without their means, which come last."""
    X, y = np.asarray(task.X), task.y
    means = X.mean(axis=0)
    return np.asfortranarray(X - means), y - y.mean(), np.append(means, y.mean())
