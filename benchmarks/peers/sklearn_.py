"""scikit-learn's own loss classes: what its L-BFGS solvers call for each evaluation."""

from typing import Any

import numpy as np
import sklearn
from sklearn._loss import HalfBinomialLoss, HalfMultinomialLoss, HalfPoissonLoss
from sklearn.linear_model._linear_loss import LinearModelLoss

from .. import reference
from ..problem import Problem


class Pass:
    version = f"scikit-learn {sklearn.__version__}"

    def __init__(self, problem: Problem, option: str, threads: int) -> None:
        self._problem, self._threads = problem, threads
        dtype = np.dtype(option)
        losses = {
            "softmax": lambda: HalfMultinomialLoss(n_classes=problem.outputs),
            "logistic": HalfBinomialLoss,
            "poisson": HalfPoissonLoss,
        }
        self._loss = LinearModelLoss(losses[problem.loss](), fit_intercept=True)
        storage = {"csr": reference.csr, "mixed": reference.one_hot}.get(problem.storage)
        X = problem.arrays["X"] if storage is None else storage(problem)
        self._X = X.astype(dtype, copy=False)
        self._y = problem.arrays["y"].astype(dtype)
        offset = problem.arrays.get("offset")
        self._offset = None if offset is None else offset.astype(dtype)
        self._coefs = [self._coef(theta).astype(dtype) for theta in np.atleast_2d(problem.arrays["theta"])]

    def _coef(self, theta: np.ndarray) -> np.ndarray:
        """scikit-learn's order: for several classes, those of one feature stand side by side."""
        coef, intercept = self._problem.split(theta)
        return np.vstack((coef.T, intercept)).ravel()

    def run(self) -> list[tuple[float, np.ndarray]]:
        return [self._one(coef) for coef in self._coefs]

    def _one(self, coef: np.ndarray) -> Any:
        raw = None
        if self._offset is not None:
            raw = self._X @ coef[:-1]
            raw += coef[-1]
            raw += self._offset
        return self._loss.loss_gradient(coef, self._X, self._y, n_threads=self._threads, raw_prediction=raw)

    def answer(self) -> tuple[Any, np.ndarray]:
        """Sums over rows, where scikit-learn gives means."""
        n, values, grads = self._problem.rows, [], []
        for value, grad in self.run():
            columns = np.asarray(grad, np.float64).reshape(-1, self._problem.outputs)
            values.append(n * value)
            grads.append(n * np.concatenate((columns[:-1].T.ravel(), columns[-1])))
        return np.array(values), np.array(grads).reshape(self._problem.arrays["theta"].shape)
