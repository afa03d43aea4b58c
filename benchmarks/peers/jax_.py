"""JAX on the CPU: one compiled value_and_grad."""

import os
from typing import Any

os.environ["JAX_PLATFORMS"] = "cpu"
os.environ["JAX_ENABLE_X64"] = "1"

import jax
import jax.numpy as jnp
import numpy as np

from ..problem import Problem


class Pass:
    version = f"jax {jax.__version__}"

    def __init__(self, problem: Problem, option: str, threads: int) -> None:
        self._problem = problem
        arrays = problem.arrays
        self._data = {"X": jnp.asarray(arrays["X"].astype(option, copy=False))}
        self._data["y"] = jnp.asarray(arrays["y"].astype(np.int32 if problem.loss == "softmax" else option))
        thetas = [problem.split(theta) for theta in np.atleast_2d(arrays["theta"])]
        coefs, numeric = np.vstack([coef for coef, _ in thetas]), arrays["X"].shape[1]
        self._parameters = {
            "W": jnp.asarray(coefs[:, :numeric].T.astype(option)),
            "b": jnp.asarray(np.concatenate([intercept for _, intercept in thetas]).astype(option)),
        }
        if problem.storage == "mixed":
            self._data["codes"] = jnp.asarray(problem.shifted_codes())
            self._data["offset"] = jnp.asarray(arrays["offset"].astype(option))
            self._parameters["table"] = jnp.asarray(coefs[0, numeric:].astype(option))

        def total(parameters: dict[str, Any], data: dict[str, Any]) -> tuple[Any, Any]:
            value = _loss(problem, parameters, data)
            return value.sum(), value

        self._call = jax.jit(jax.value_and_grad(total, has_aux=True))

    def run(self) -> Any:
        return jax.block_until_ready(self._call(self._parameters, self._data))

    def answer(self) -> tuple[np.ndarray, np.ndarray]:
        (_, value), grads = self.run()
        models, problem = self._problem.models, self._problem
        parts = [grads["W"].T, grads["table"], grads["b"]] if "table" in grads else [grads["W"].T, grads["b"]]
        parts = [np.asarray(part, np.float64).reshape(models, -1) for part in parts]
        return np.asarray(value, np.float64), np.hstack(parts).reshape(problem.arrays["theta"].shape)


def _loss(problem: Problem, parameters: dict[str, Any], data: dict[str, Any]) -> Any:
    """Sum of losses, one for each model."""
    eta = data["X"] @ parameters["W"] + parameters["b"]
    if problem.loss == "softmax":
        chosen = jnp.take_along_axis(eta, data["y"][:, None], axis=1)[:, 0]
        return jnp.sum(jax.nn.logsumexp(eta, axis=1) - chosen)
    if problem.storage == "mixed":
        eta = eta + (parameters["table"][data["codes"]].sum(axis=1) + data["offset"])[:, None]
    y = data["y"][:, None]
    if problem.loss == "poisson":
        return jnp.sum(jnp.exp(eta) - y * eta, axis=0)
    return jnp.sum(jax.nn.softplus(eta) - y * eta, axis=0)
