"""liblinear on several threads: its trust region Newton method for L2 logistic regression."""

from typing import Any

import numpy as np
from liblinear.liblinearutil import parameter, problem, train
from scipy.sparse import csr_matrix


def fit(task: Any, option: str, tol: float, threads: int) -> np.ndarray:
    strength = 1.0 / (task.l2 * len(task.y))
    # -B 1 -R: an intercept, without penalty.
    options = parameter(f"-s 0 -c {strength!r} -e {tol!r} -B 1 -R -m {threads} -q")
    model = train(problem(np.asarray(task.y), csr_matrix(task.columns), bias=1), options)
    coef, intercept = model.get_decfun()
    sign = 1.0 if model.get_labels()[0] == 1 else -1.0
    return sign * np.append(coef, intercept)
