"""Estimators around a Keras model of the user's own."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ..models.framework import Recipe
from ..models.keras_ import KerasModel
from ..models.sized import asked_for
from ._network_kinds import NetworkClassifier, NetworkRegressor
from ._networks import NetworkEstimator, with_options


@dataclass(kw_only=True, eq=False, repr=False)
class KerasEstimator(NetworkEstimator):
    """A Keras 3 model on TensorFlow: what `KerasClassifier` and `KerasRegressor` share.

    Parameters
    ----------
    model : keras.Model, or a function that makes one
        A built model with one input, made with `keras.Input`, and no regularizers. A model is copied, and the fit
        begins with its weights. A function is called on every worker, with the numbers `n_features` and `n_outputs`
        where it has parameters of these names; initializers without a seed of their own are seeded by `random_state`.
    loss, alpha, penalized, tol, max_iter, warm_start, random_state, chunk_rows, unknown, solver, engine, checkpoint,
    callbacks, verbose
        As for every network: see `fullbatch.estimators.NetworkEstimator`.

    Attributes
    ----------
    model_ : keras.Model
        The trained model; a new one each time.
    theta_, weights_, recipe_, seed_, n_iter_, n_samples_fit_, status_, result_
        As for every network: see `fullbatch.estimators.NetworkEstimator`.
    """

    _code: ClassVar = ("model",)

    model: Any = field(kw_only=False)

    @property
    def model_(self) -> Any:
        """The trained model: the caller's own."""
        return self._network()

    def _recipe_for(self, seed: int) -> Callable[[int, int], Recipe]:
        loss = _LOSSES[self.loss] if isinstance(self.loss, str) else self.loss
        labels = isinstance(self, NetworkClassifier)
        made = with_options(self, _recipe, model=self.model, loss=loss, seed=seed, labels=labels)
        if not callable(self.model):
            raise TypeError(f"model must be a keras.Model, or a function that makes one, got {self.model!r}")
        if isinstance(self.model, type) or not hasattr(self.model, "trainable_variables"):
            asked_for(self.model, "model", n_features=1, n_outputs=1)  # refuses what needs more
        return made

    @staticmethod
    def _same_name(old: str, name: str) -> bool:
        return old.rpartition("/")[2] == name.rpartition("/")[2]  # Keras counts the layers of a process


@dataclass(kw_only=True, eq=False, repr=False)
class KerasClassifier(NetworkClassifier, KerasEstimator):  # type: ignore[misc]
    """A classifier around a Keras model, by exact gradients over blocks of rows.

    Parameters
    ----------
    model : keras.Model, or a function that makes one
        See `fullbatch.KerasEstimator`. `n_outputs` is the number of classes; of two classes a model may also have one
        output. Outputs are logits: the last layer has no activation.
    loss : "cross_entropy" or callable, default="cross_entropy"
        `loss(indices, outputs)` gives one loss per row: a function of `keras.losses`, or a Keras loss with
        `reduction=None`.
    class_weight : "balanced", mapping of label to weight, or None, default=None
        Multiplies the sample weights of each class.
    alpha, penalized, tol, max_iter, warm_start, random_state, chunk_rows, unknown, solver, engine, checkpoint,
    callbacks, verbose
        As for every network: see `fullbatch.estimators.NetworkEstimator`.

    Attributes
    ----------
    classes_ : (K,) array
        Labels, sorted.
    model_, theta_, weights_, recipe_, seed_, n_iter_, n_samples_fit_, status_, result_
        As for every Keras model: see `fullbatch.KerasEstimator`.
    features_, n_features_in_, feature_names_in_, zero_based_, missing_
        The same.
    """

    loss: Any = field(default="cross_entropy", kw_only=False)


@dataclass(kw_only=True, eq=False, repr=False)
class KerasRegressor(NetworkRegressor, KerasEstimator):  # type: ignore[misc]
    """A regressor around a Keras model, for one target or several, by exact gradients over blocks of rows.

    Parameters
    ----------
    model : keras.Model, or a function that makes one
        See `fullbatch.KerasEstimator`. `n_outputs` is the number of targets.
    loss : {"squared", "huber", "poisson"} or callable, default="squared"
        `loss(y, outputs)` gives one loss per row: a function of `keras.losses`, or a Keras loss with `reduction=None`.
        See `fullbatch.estimators.NetworkRegressor`.
    alpha, penalized, tol, max_iter, warm_start, random_state, chunk_rows, unknown, solver, engine, checkpoint,
    callbacks, verbose
        As for every network: see `fullbatch.estimators.NetworkEstimator`.

    Attributes
    ----------
    n_targets_ : int
        Numbers that are predicted.
    model_, theta_, weights_, recipe_, seed_, n_iter_, n_samples_fit_, status_, result_
        As for every Keras model: see `fullbatch.KerasEstimator`.
    features_, n_features_in_, feature_names_in_, zero_based_, missing_
        The same.
    """

    loss: Any = field(default="squared", kw_only=False)


def _recipe(n_features: int, n_outputs: int, *, model: Any, seed: int, **options: Any) -> KerasModel:
    return KerasModel(_Fresh(model, n_features, n_outputs, seed), **options)


@dataclass(frozen=True)
class _Fresh:
    """A factory of what the user gave: copies of a model, or what a function makes under a seed."""

    model: Any
    n_features: int
    n_outputs: int
    seed: int

    def __call__(self) -> Any:
        import keras

        if isinstance(self.model, keras.Model):
            copied = keras.models.clone_model(self.model)
            copied.set_weights(self.model.get_weights())
            return copied
        sizes = asked_for(self.model, "model", n_features=self.n_features, n_outputs=self.n_outputs)
        with _seeded(self.seed):
            return self.model(**sizes)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Python's generator seeded, and then as it was: Keras draws from it the seeds of initializers that have none."""
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)


def _cross_entropy(y: Any, outputs: Any) -> Any:
    import keras

    if outputs.shape[1:] == (1,):
        y = keras.ops.cast(y, outputs.dtype)
        return (keras.ops.softplus(outputs) - y * outputs)[:, 0]
    return keras.losses.sparse_categorical_crossentropy(y, outputs, from_logits=True)


def _squared(y: Any, outputs: Any) -> Any:
    return _of_row(0.5 * (outputs - y) ** 2)


def _huber(y: Any, outputs: Any) -> Any:
    import keras

    size = keras.ops.abs(outputs - y)
    near = keras.ops.minimum(size, 1.0)
    return _of_row(near * (size - 0.5 * near))


def _poisson(y: Any, outputs: Any) -> Any:
    import keras

    return _of_row(keras.ops.exp(outputs) - y * outputs)


def _of_row(losses: Any) -> Any:
    """Of several targets their sum."""
    import keras

    return losses if len(losses.shape) == 1 else keras.ops.sum(losses, axis=1)


_LOSSES = {"cross_entropy": _cross_entropy, "squared": _squared, "huber": _huber, "poisson": _poisson}
