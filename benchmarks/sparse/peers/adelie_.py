"""adelie."""

from typing import Any

import adelie
import numpy as np
from scipy.sparse import csc_matrix

FAMILIES = {"logistic": "binomial", "squared": "gaussian", "poisson": "poisson"}


def path(task: Any, option: str, tol: float, threads: int) -> np.ndarray:
    X = task.columns
    if isinstance(X, np.ndarray):
        X = adelie.matrix.dense(np.asfortranarray(X), method="naive", n_threads=threads)
    else:
        X = adelie.matrix.sparse(csc_matrix(X), method="naive", n_threads=threads)
    strength = task.l1 + task.l2
    state = adelie.grpnet(
        X,
        getattr(adelie.glm, FAMILIES[task.loss])(np.asarray(task.y, np.float64)),
        alpha=task.l1 / strength,
        lmda_path=np.multiply(strength, task.shares),
        tol=tol,
        irls_tol=tol,
        early_exit=False,
        n_threads=threads,
        progress_bar=False,
    )
    return np.column_stack((state.betas.toarray(), state.intercepts))
