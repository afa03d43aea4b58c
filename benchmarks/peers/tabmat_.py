"""tabmat's products over a table of mixed columns: what glum calls for each evaluation, besides its losses."""

import numpy as np
import tabmat

from ..problem import Problem
from .products import Products


class Pass(Products):
    version = f"tabmat {tabmat.__version__}"

    def matrix(self, problem: Problem, dtype: np.dtype) -> object:
        parts = [tabmat.DenseMatrix(np.asfortranarray(problem.arrays["X"], dtype))]
        for column, count in enumerate(problem.levels):
            codes = np.ascontiguousarray(problem.arrays["codes"][:, column])
            parts.append(tabmat.CategoricalMatrix(codes, categories=np.arange(count), dtype=dtype))
        return tabmat.SplitMatrix(parts)

    def forward(self, w: np.ndarray) -> np.ndarray:
        return self._matrix.matvec(w)

    def backward(self, r: np.ndarray) -> np.ndarray:
        return self._matrix.transpose_matvec(r)
