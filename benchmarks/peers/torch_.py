"""torch on the CPU: the sum of losses and backward, as a full-batch training loop would call them."""

import warnings

import numpy as np
import torch
from torch.nn import functional

from ..problem import Problem


class Pass:
    version = f"torch {torch.__version__}"

    def __init__(self, problem: Problem, option: str, threads: int) -> None:
        torch.set_num_threads(threads)
        self._problem, self._dtype = problem, getattr(torch, option)
        arrays = problem.arrays
        self._X = _tensor(arrays["X"]).to(self._dtype)
        self._y = _tensor(arrays["y"]).to(torch.int64 if problem.loss == "softmax" else self._dtype)
        thetas = [problem.split(theta) for theta in np.atleast_2d(arrays["theta"])]
        numeric = self._X.shape[1]
        coefs = np.vstack([coef for coef, _ in thetas])
        self._W = self._parameter(coefs[:, :numeric])
        self._b = self._parameter(np.concatenate([intercept for _, intercept in thetas]))
        self._leaves = [self._W, self._b]
        self._codes = self._offset = None
        if problem.storage == "mixed":
            self._codes = _tensor(problem.shifted_codes()).to(torch.int64)
            self._offset = _tensor(arrays["offset"]).to(self._dtype)
            self._table = self._parameter(coefs[0, numeric:])
            self._leaves.insert(1, self._table)
        if problem.models > 1:
            self._y = self._y[:, None].expand(-1, problem.models)

    def _parameter(self, values: np.ndarray) -> torch.Tensor:
        return torch.tensor(values, dtype=self._dtype, requires_grad=True)

    def run(self) -> torch.Tensor:
        for leaf in self._leaves:
            leaf.grad = None
        value = self._loss()
        value.sum().backward()
        return value

    def _loss(self) -> torch.Tensor:
        eta = functional.linear(self._X, self._W, self._b)
        if self._problem.loss == "softmax":
            return functional.cross_entropy(eta, self._y, reduction="sum")
        if self._problem.models > 1:
            return functional.binary_cross_entropy_with_logits(eta, self._y, reduction="none").sum(0)
        eta = eta[:, 0]
        if self._codes is not None:
            # The quickest way torch has: embedding_bag, with tables of one column, takes 25 times as long.
            eta = eta + torch.take(self._table, self._codes).sum(1) + self._offset
        if self._problem.loss == "poisson":
            return functional.poisson_nll_loss(eta, self._y, log_input=True, reduction="sum")
        return functional.binary_cross_entropy_with_logits(eta, self._y, reduction="sum")

    def answer(self) -> tuple[np.ndarray, np.ndarray]:
        value = self.run().detach().numpy()
        models = self._problem.models
        grads = [leaf.grad.numpy().astype(np.float64).reshape(models, -1) for leaf in self._leaves]
        return value, np.hstack(grads).reshape(self._problem.arrays["theta"].shape)


def _tensor(array: np.ndarray) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the array is read-only, and nobody writes to it
        return torch.from_numpy(array)
