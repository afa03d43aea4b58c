"""KerasModel: the contract of every framework, and what is Keras's own."""

import logging
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from framework_contract import (
    CLASSES,
    FEATURES,
    FrameworkContract,
    Given,
    assert_same,
    bits,
    block_of,
    data,
    theta_for,
)

from fullbatch.engines.local import SerialEngine, ThreadEngine
from fullbatch.errors import DataError, ModelError
from fullbatch.models.keras_ import FlatParameters, KerasModel
from fullbatch.protocols import Rows, ValueGrad

tf.config.threading.set_intra_op_parallelism_threads(1)
layers = keras.layers


def network(*inner: Callable[[], Any], dtype: str = "float64", outputs: int = CLASSES, **dense: Any) -> Any:
    """A factory of a model with the given layers between input and output."""

    def factory() -> Any:
        made = [layer() for layer in inner]
        last = layers.Dense(outputs, dtype=dtype, **dense)
        return keras.Sequential([keras.Input((FEATURES,), dtype=dtype), *made, last])

    return factory


def hidden() -> Any:
    return layers.Dense(4, activation="tanh", dtype="float64")


def cross_entropy(labels: Any, logits: Any) -> Any:
    return keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


LOSSES = {
    "": cross_entropy,
    "mean": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    "column": lambda labels, logits: cross_entropy(labels, logits)[:, None],
    "squared": keras.losses.mean_squared_error,
    "log": lambda y, outputs: keras.ops.sum(keras.ops.log(y) * outputs, axis=-1),
}


class TestContract(FrameworkContract):
    package, outputs_first = "tensorflow", False

    def model(self, *, hidden=False, outputs=CLASSES, dtype="float64", loss="", **options):
        inner = [lambda: layers.Dense(4, activation="tanh", dtype=dtype)] if hidden else []
        return KerasModel(network(*inner, dtype=dtype, outputs=outputs), LOSSES[loss], **options)


# --- the sums -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_evaluation_depends_on_theta_alone(dtype: str):
    def inner() -> list[Any]:
        return [layers.BatchNormalization(dtype=dtype), layers.Dropout(0.5, dtype=dtype)]

    block = block_of(
        KerasModel(network(*(lambda i=i: inner()[i] for i in range(2)), dtype=dtype), cross_entropy), data()
    )
    theta = theta_for(block)
    first = bits(block.evaluate(ValueGrad(theta)))
    assert bits(block.evaluate(ValueGrad(theta))) == first
    block.evaluate(ValueGrad(10 * theta))
    block.set_flat(-theta)
    assert bits(block.evaluate(ValueGrad(theta))) == first


@pytest.mark.parametrize("name", ["mean_squared_error", "huber", "mean_absolute_error", "log_cosh"])
def test_losses_of_keras_on_numbers(name: str):
    X, y = data().X, np.random.default_rng(6).normal(size=23)
    model = KerasModel(network(outputs=1), getattr(keras.losses, name), labels=False)
    block = block_of(model, Rows(X, y))
    theta = theta_for(block)
    pred = X @ theta[:FEATURES] + theta[FEATURES]
    np.testing.assert_allclose(block.loss(theta), float(np.sum(getattr(keras.losses, name)(y, pred[:, None]))))


@pytest.mark.parametrize("loss", ["binary_crossentropy", "hinge"])
def test_losses_of_keras_on_two_classes(loss: str):
    y = np.array(["no", "yes"], object)[data().y % 2]
    factory = network(outputs=1, activation="sigmoid" if loss == "binary_crossentropy" else None)
    block = block_of(KerasModel(factory, getattr(keras.losses, loss)), Rows(data().X, y))
    eta = data().X @ np.ones(FEATURES) + 1
    true = np.where(y == "yes", 1, -1)
    rowwise = np.logaddexp(0, -true * eta) if loss == "binary_crossentropy" else np.maximum(0, 1 - true * eta)
    np.testing.assert_allclose(block.loss(np.ones(FEATURES + 1)), rowwise.sum(), rtol=1e-6)


# --- one program ----------------------------------------------------------------------------------------------


def counting(traces: list[int]) -> Callable[[Any, Any], Any]:
    def loss(labels: Any, logits: Any) -> Any:
        traces.append(1)
        return cross_entropy(labels, logits)

    return loss


def test_all_blocks_and_chunks_share_one_trace():
    traces: list[int] = []
    model = KerasModel(network(), counting(traces), chunk_rows=4)
    rows = [Given(data(n)) for n in range(3, 33)]
    blocks = ThreadEngine(4).place(model, rows)
    for seed in range(3):
        blocks.sum(ValueGrad(np.random.default_rng(seed).normal(size=blocks.parameters.size)))
    assert len(traces) == 1


# --- theta ----------------------------------------------------------------------------------------------------


def test_flat_parameters_are_the_variables_in_order():
    model = network(hidden, dtype="float32")()
    flat = FlatParameters(model)
    assert flat.flat_size == FEATURES * 4 + 4 + 4 * CLASSES + CLASSES
    theta = np.random.default_rng(9).normal(size=flat.flat_size).astype("float32").astype("float64")
    flat.set_flat(theta)
    assert flat.get_flat().dtype == np.float64
    np.testing.assert_array_equal(flat.get_flat(), theta)
    np.testing.assert_array_equal(model.trainable_variables[0], theta[: FEATURES * 4].reshape(FEATURES, 4))
    with pytest.raises(ValueError, match="theta has shape"):
        flat.set_flat(theta[1:])


def test_blocks_read_and_write_the_model():
    block = block_of(KerasModel(network(hidden), cross_entropy), data())
    theta = theta_for(block)
    block.set_flat(theta)
    np.testing.assert_array_equal(block.get_flat(), theta)
    assert block.flat_size == len(theta) == block.parameters.size


# --- what is accepted, what is refused ------------------------------------------------------------------------


def test_dropout_and_batch_normalization_run_as_in_inference():
    plain = block_of(KerasModel(network(), cross_entropy), data())

    def drop() -> Any:
        return layers.Dropout(0.5, dtype="float64")

    def normalize() -> Any:
        return layers.BatchNormalization(center=False, scale=False, epsilon=0.0, dtype="float64")

    other = block_of(KerasModel(network(drop, normalize), cross_entropy), data())
    theta = ValueGrad(theta_for(plain))
    assert_same(other.evaluate(theta), plain.evaluate(theta))


class Subclass(keras.Model):
    """A model by subclassing, whose call knows nothing of training."""

    def __init__(self) -> None:
        super().__init__()
        self.dense = layers.Dense(CLASSES, dtype="float64")

    def build(self, shape: Any) -> None:
        self.dense.build(shape)
        self.built = True

    def call(self, x: Any) -> Any:
        return self.dense(x)


def test_a_subclass_of_model_is_a_model():
    def factory() -> Any:
        model = Subclass()
        model.build((None, FEATURES))
        return model

    ours, plain = (block_of(KerasModel(one, cross_entropy), data()) for one in (factory, network()))
    theta = ValueGrad(theta_for(plain))
    assert bits(ours.evaluate(theta)) == bits(plain.evaluate(theta))


class Always(layers.Layer):
    """Calls a layer as in training, whatever the model is told."""

    def __init__(self, inner: Any) -> None:
        super().__init__(dtype="float64")
        self.inner = inner

    def call(self, x: Any) -> Any:
        return self.inner(x, training=True)


class Noise(layers.Layer):
    """Random without a generator of its own."""

    def call(self, x: Any) -> Any:
        return x + tf.random.normal(tf.shape(x), dtype=x.dtype)


class AddsLoss(layers.Layer):
    def call(self, x: Any) -> Any:
        self.add_loss(keras.ops.sum(x))
        return x


@pytest.mark.parametrize(
    ("factory", "loss", "error", "message"),
    [
        (network(lambda: Always(layers.Dropout(0.1, dtype="float64"))), cross_entropy, ModelError, "model is random"),
        (network(lambda: Noise(dtype="float64")), cross_entropy, ModelError, "the model is random"),
        (
            network(lambda: Always(layers.BatchNormalization(dtype="float64"))),
            cross_entropy,
            ModelError,
            "rows influence one another",
        ),
        (network(kernel_regularizer="l2"), cross_entropy, ModelError, r"penalise with Objective\(l2=...\)"),
        (network(activity_regularizer="l2"), cross_entropy, ModelError, r"penalise with Objective\(l2=...\)"),
        (network(lambda: AddsLoss(dtype="float64")), cross_entropy, ModelError, r"penalise with Objective\(l2=...\)"),
        (
            network(),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            ModelError,
            r"the loss has shape \(\), .* reduction=None",
        ),
        (network(outputs=2), cross_entropy, DataError, "last of 3 classes, label 2 with index 2: .* one output for"),
        (lambda: "a model", cross_entropy, ModelError, "the factory returned str, it must return a Keras 3 model"),
        (
            lambda: keras.Sequential([layers.Dense(3)]),
            cross_entropy,
            ModelError,
            r"is not built.*: start it with keras.Input\(shape=\(5,\)\)",
        ),
        (Subclass, cross_entropy, ModelError, "is not built"),
        (
            lambda: keras.Sequential([keras.Input((2, 2)), layers.Flatten(), layers.Dense(3)]),
            cross_entropy,
            ModelError,
            r"takes inputs of shape \(2, 2\) and has 1 output\(s\). It needs .* the data's 5 features",
        ),
        (
            network(lambda: layers.Dense(4, trainable=False, dtype="float64")),
            cross_entropy,
            ModelError,
            "two calls of the factory gave different values to '.*/kernel'",
        ),
        (
            network(lambda: layers.Dense(4, dtype="mixed_bfloat16")),
            cross_entropy,
            ModelError,
            "the model computes in bfloat16",
        ),
    ],
)
def test_refusals_say_why(factory: Any, loss: Any, error: type, message: str):
    with pytest.raises(error, match=message):
        block_of(KerasModel(factory, loss), data())


def test_frozen_weights_that_are_no_accident_are_accepted():
    def features() -> Any:
        return layers.Dense(4, trainable=False, kernel_initializer=keras.initializers.RandomNormal(seed=1))

    model = KerasModel(network(features), cross_entropy)
    assert block_of(model, data()).flat_size == 4 * CLASSES + CLASSES


def test_a_refusal_reaches_the_driver():
    with pytest.raises(ModelError, match=r"penalise with Objective\(l2=...\)"):
        SerialEngine().place(KerasModel(network(kernel_regularizer="l2"), cross_entropy), [Given(data())])


def test_another_backend_of_keras_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"Keras runs on jax, .*KERAS_BACKEND=tensorflow"):
        block_of(KerasModel(network(), cross_entropy), data())


def test_threads_that_cannot_be_set_any_more_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    def too_late(count: int) -> None:
        raise RuntimeError("cannot be modified after initialization")

    monkeypatch.setattr(tf.config.threading, "set_intra_op_parallelism_threads", too_late)
    with caplog.at_level(logging.WARNING, logger="fullbatch"):
        block_of(KerasModel(network(), cross_entropy), data())
    assert "set_intra_op_parallelism_threads(1) right after importing tensorflow" in caplog.text
