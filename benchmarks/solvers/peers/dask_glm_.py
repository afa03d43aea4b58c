"""dask-glm's L-BFGS. It penalises the intercept: what it finds is judged by the common objective all the same."""

import dask
import dask.array as da
import dask_glm
import numpy as np
from dask_glm.algorithms import lbfgs

from ..curve import Curve
from ..task import Task
from .restarts import grow


def run(task: Task, option: str, threads: int, seconds: float) -> Curve:
    rows = -(-len(task.y) // threads)
    X = da.from_array(np.column_stack((np.asarray(task.X), np.ones(len(task.y)))), chunks=(rows, -1)).persist()
    y = da.from_array(task.y.astype(np.float64), chunks=rows).persist()

    def fit(limit: int) -> tuple[np.ndarray, float, bool]:
        with dask.config.set(scheduler="threads", num_workers=threads):
            theta = lbfgs(X, y, regularizer="l2", lamduh=task.l2 * len(task.y), max_iter=limit, tol=1e-10)
        return np.asarray(theta), -1, False

    version = getattr(dask_glm, "__version__", "?")
    return grow(Curve(version=f"dask-glm {version}", note="penalises the intercept"), fit, seconds)
