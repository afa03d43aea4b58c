"""SciPy's sparse products, which use one thread."""

import numpy as np
import scipy

from .. import reference
from ..problem import Problem
from .products import Products


class Pass(Products):
    version = f"scipy {scipy.__version__}"

    def matrix(self, problem: Problem, dtype: np.dtype) -> object:
        matrix = reference.one_hot(problem) if problem.storage == "mixed" else reference.csr(problem)
        return matrix.astype(dtype, copy=False)

    def forward(self, w: np.ndarray) -> np.ndarray:
        return self._matrix @ w

    def backward(self, r: np.ndarray) -> np.ndarray:
        return self._matrix.T @ r
