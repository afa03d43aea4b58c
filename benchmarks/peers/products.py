"""What is common to peers that are matrix products alone: eta = X w, then X' r with a residual that is there."""

from abc import abstractmethod

import numpy as np

from .. import reference
from ..problem import Problem


class Products:
    """A pass is both products. Checked as a whole pass: the loss and residual in between are NumPy's."""

    version = ""

    def __init__(self, problem: Problem, option: str, threads: int) -> None:
        self._problem, self._dtype, self._threads = problem, np.dtype(option), threads
        self._matrix = self.matrix(problem, self._dtype)
        coef, self._intercept = problem.split(problem.arrays["theta"])
        self._w = coef[0].astype(self._dtype)
        self._residual = self._loss(self.forward(self._w))[1]

    @abstractmethod
    def matrix(self, problem: Problem, dtype: np.dtype) -> object: ...
    @abstractmethod
    def forward(self, w: np.ndarray) -> np.ndarray: ...
    @abstractmethod
    def backward(self, r: np.ndarray) -> np.ndarray: ...

    def run(self) -> None:
        self.forward(self._w)
        self.backward(self._residual)

    def answer(self) -> tuple[float, np.ndarray]:
        value, residual = self._loss(self.forward(self._w))
        return value, np.append(self.backward(residual), residual.sum(dtype=np.float64))

    def _loss(self, eta: np.ndarray) -> tuple[float, np.ndarray]:
        eta = eta.astype(np.float64)[:, None] + self._intercept
        if "offset" in self._problem.arrays:
            eta += self._problem.arrays["offset"][:, None]
        value, slope = reference.pointwise(self._problem.loss, self._problem.arrays["y"], eta)
        return value, np.ascontiguousarray(slope[:, 0]).astype(self._dtype)
