"""Estimators around a network in JAX of the user's own."""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..models.framework import Recipe
from ..models.jax_ import JaxModel
from ..models.sized import asked_for
from ._network_kinds import NetworkClassifier, NetworkRegressor
from ._networks import NetworkEstimator, with_options


@dataclass(kw_only=True, eq=False, repr=False)
class JaxEstimator(NetworkEstimator):
    """A network in JAX, or in a library on it: what `JaxClassifier` and `JaxRegressor` share.

    Parameters
    ----------
    parameters : pytree of arrays, or function that makes one
        Arrays are copied, and the fit begins with them. A function is called on every worker, with `key`, a key of
        `jax.random` for the seed, and the numbers `n_features` and `n_outputs`, where it has parameters of these names.
    apply : callable
        `apply(parameters, X)` gives the outputs for rows of features, and does nothing else.
    dtype : {"float32", "float64"}, default="float32"
        Precision of parameters and features.
    device : str or None, default=None
        Where each worker computes: "cpu", "gpu", "gpu:1", ...; None is JAX's own choice.
    loss, alpha, penalized, tol, max_iter, warm_start, random_state, chunk_rows, unknown, solver, engine, checkpoint,
    callbacks, verbose
        As for every network: see `fullbatch.estimators.NetworkEstimator`.

    Attributes
    ----------
    parameters_ : pytree of arrays
        The trained parameters, for `apply`.
    theta_, weights_, recipe_, seed_, n_iter_, n_samples_fit_, status_, result_
        As for every network: see `fullbatch.estimators.NetworkEstimator`.
    """

    _code: ClassVar = ("parameters", "apply")

    parameters: Any = field(kw_only=False)
    apply: Any = field(kw_only=False)
    dtype: str = "float32"
    device: str | None = None

    @property
    def parameters_(self) -> Any:
        """The trained parameters, for `apply`."""
        return self._network()

    def _recipe_for(self, seed: int) -> Callable[[int, int], Recipe]:
        loss = _LOSSES[self.loss] if isinstance(self.loss, str) else self.loss
        code = {"parameters": self.parameters, "apply": self.apply, "loss": loss}
        options = {"seed": seed, "dtype": self.dtype, "device": self.device}
        made = with_options(self, _recipe, **code, labels=isinstance(self, NetworkClassifier), **options)
        JaxModel(dict, self.apply, loss, dtype=self.dtype)  # refuses what is no function
        if callable(self.parameters):
            asked_for(self.parameters, "parameters", key=None, n_features=1, n_outputs=1)  # refuses what needs more
        return made


@dataclass(kw_only=True, eq=False, repr=False)
class JaxClassifier(NetworkClassifier, JaxEstimator):  # type: ignore[misc]
    """A classifier around a network in JAX, by exact gradients over blocks of rows.

    Parameters
    ----------
    parameters, apply, dtype, device
        The network: see `fullbatch.JaxEstimator`. `n_outputs` is the number of classes; of two classes a network may
        also have one output. Outputs are logits.
    loss : "cross_entropy" or callable, default="cross_entropy"
        `loss(outputs, indices)` gives one loss per row, as those of optax. Outputs of shape (rows, 1) reach it as
        (rows,).
    class_weight : "balanced", mapping of label to weight, or None, default=None
        Multiplies the sample weights of each class.
    alpha, penalized, tol, max_iter, warm_start, random_state, chunk_rows, unknown, solver, engine, checkpoint,
    callbacks, verbose
        As for every network: see `fullbatch.estimators.NetworkEstimator`.

    Attributes
    ----------
    classes_ : (K,) array
        Labels, sorted.
    parameters_, theta_, weights_, recipe_, seed_, n_iter_, n_samples_fit_, status_, result_
        As for every network in JAX: see `fullbatch.JaxEstimator`.
    features_, n_features_in_, feature_names_in_, zero_based_, missing_
        The same.
    """

    loss: Any = field(default="cross_entropy", kw_only=False)


@dataclass(kw_only=True, eq=False, repr=False)
class JaxRegressor(NetworkRegressor, JaxEstimator):  # type: ignore[misc]
    """A regressor around a network in JAX, for one target or several, by exact gradients over blocks of rows.

    Parameters
    ----------
    parameters, apply, dtype, device
        The network: see `fullbatch.JaxEstimator`. `n_outputs` is the number of targets.
    loss : {"squared", "huber", "poisson"} or callable, default="squared"
        `loss(outputs, y)` gives one loss per row. Of one target both reach it as (rows,). See
        `fullbatch.estimators.NetworkRegressor`.
    alpha, penalized, tol, max_iter, warm_start, random_state, chunk_rows, unknown, solver, engine, checkpoint,
    callbacks, verbose
        As for every network: see `fullbatch.estimators.NetworkEstimator`.

    Attributes
    ----------
    n_targets_ : int
        Numbers that are predicted.
    parameters_, theta_, weights_, recipe_, seed_, n_iter_, n_samples_fit_, status_, result_
        As for every network in JAX: see `fullbatch.JaxEstimator`.
    features_, n_features_in_, feature_names_in_, zero_based_, missing_
        The same.
    """

    loss: Any = field(default="squared", kw_only=False)


def _recipe(n_features: int, n_outputs: int, *, parameters: Any, seed: int, **options: Any) -> JaxModel:
    return JaxModel(_Fresh(parameters, n_features, n_outputs, seed), **options)


@dataclass(frozen=True)
class _Fresh:
    """A factory of what the user gave: copies of arrays, or what a function makes of a key."""

    parameters: Any
    n_features: int
    n_outputs: int
    seed: int

    def __call__(self) -> Any:
        import jax

        if not callable(self.parameters):
            return copy.deepcopy(self.parameters)
        sizes = {"n_features": self.n_features, "n_outputs": self.n_outputs}
        return self.parameters(**asked_for(self.parameters, "parameters", key=jax.random.key(self.seed), **sizes))


def _cross_entropy(outputs: Any, y: Any) -> Any:
    import jax
    import jax.numpy as jnp

    if outputs.ndim == 1:
        return jax.nn.softplus(outputs) - y * outputs
    return jax.nn.logsumexp(outputs, axis=1) - jnp.take_along_axis(outputs, y[:, None], axis=1)[:, 0]


def _squared(outputs: Any, y: Any) -> Any:
    return _of_row(0.5 * (outputs - y) ** 2)


def _huber(outputs: Any, y: Any) -> Any:
    import jax.numpy as jnp

    size = abs(outputs - y)
    near = jnp.minimum(size, 1.0)
    return _of_row(near * (size - 0.5 * near))


def _poisson(outputs: Any, y: Any) -> Any:
    import jax.numpy as jnp

    return _of_row(jnp.exp(outputs) - y * outputs)


def _of_row(losses: Any) -> Any:
    """Of several targets their sum."""
    return losses if losses.ndim == 1 else losses.sum(axis=1)


_LOSSES = {"cross_entropy": _cross_entropy, "squared": _squared, "huber": _huber, "poisson": _poisson}
