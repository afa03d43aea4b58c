"""glum."""

from typing import Any

import numpy as np
from glum import GeneralizedLinearRegressor

FAMILIES = {"logistic": "binomial", "squared": "normal", "poisson": "poisson", "gamma": "gamma"}


def fit(task: Any, option: str, tol: float, threads: int) -> np.ndarray:
    X: Any = task.columns
    if task.codes is not None:
        import pandas
        import tabmat

        frame = pandas.DataFrame(np.asarray(task.X), columns=[f"x{j}" for j in range(task.X.shape[1])])
        for number, codes in enumerate(np.asarray(task.codes).T):
            frame[f"c{number}"] = pandas.Categorical(codes)
        X = tabmat.from_pandas(frame)
    elif hasattr(X, "tocsr"):
        X = X.tocsc()
    strength = task.l1 + task.l2
    link = "log" if task.loss == "gamma" else "auto"
    model = GeneralizedLinearRegressor(
        family=FAMILIES[task.loss],
        link=link,
        alpha=strength,
        l1_ratio=task.l1 / strength,
        gradient_tol=tol,
        max_iter=1000,
    )
    model.fit(X, task.y)
    return np.append(model.coef_, model.intercept_)
