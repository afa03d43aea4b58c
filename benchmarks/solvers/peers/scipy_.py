"""SciPy's L-BFGS-B over loss and gradient in NumPy."""

import numpy as np
import scipy
from scipy.optimize import minimize

from ..curve import Curve, Watch
from ..task import Task
from .losses import value_and_grad


def run(task: Task, option: str, threads: int, seconds: float) -> Curve:
    curve, watch, calls = Curve(version=f"SciPy {scipy.__version__}"), Watch(), [0]

    def fun(theta: np.ndarray) -> tuple[float, np.ndarray]:
        calls[0] += 1
        return value_and_grad(task, theta)

    def record(theta: np.ndarray) -> None:
        curve.add(theta, calls[0], watch())
        if watch() > seconds:
            raise StopIteration

    start = np.zeros(task.outputs * (task.X.shape[1] + 1))
    options = {"maxiter": 5000, "maxfun": 10**6, "ftol": 1e-15, "gtol": 1e-12}
    curve.add(start, 0, 0.0)
    told = minimize(fun, start, jac=True, method="L-BFGS-B", callback=record, options=options)
    curve.note = str(told.message)
    return curve
