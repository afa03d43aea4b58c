"""glum."""

from typing import Any

import numpy as np
from glum import GeneralizedLinearRegressor

from ..task import FAMILIES


def fit(task: Any, option: str, tol: float, threads: int) -> np.ndarray:
    model = _fitted(task, tol, task.l1 + task.l2)
    return np.append(model.coef_, model.intercept_)


def path(task: Any, option: str, tol: float, threads: int) -> np.ndarray:
    strengths = [share * (task.l1 + task.l2) for share in task.shares]
    model = _fitted(task, tol, strengths, alpha_search=True)
    return np.column_stack((model.coef_path_, model.intercept_path_))


def _fitted(task: Any, tol: float, alpha: Any, **options: Any) -> Any:
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
    model = GeneralizedLinearRegressor(
        family=FAMILIES[task.loss],
        link="log" if task.loss == "gamma" else "auto",
        alpha=alpha,
        l1_ratio=task.l1 / (task.l1 + task.l2),
        gradient_tol=tol,
        max_iter=1000,
        **options,
    )
    return model.fit(X, task.y)
