"""scikit-learn-intelex: scikit-learn's estimators, with oneDAL's loss and gradient where it has them."""

from typing import Any

import numpy as np

from . import sklearn_


def fit(task: Any, option: str, tol: float, threads: int) -> np.ndarray:
    from sklearnex import patch_sklearn

    patch_sklearn(verbose=False)
    return sklearn_.fit(task, option, tol, threads)
