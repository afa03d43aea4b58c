"""KerasModel: exact sums of loss and gradient, whatever the network, and clear refusals where there are none."""

import logging
import pickle
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from ray import cloudpickle

from fullbatch.engines.local import SerialEngine, ThreadEngine
from fullbatch.errors import DataError, MissingExtraError, ModelError
from fullbatch.models.keras_ import FlatParameters, KerasBlock, KerasModel
from fullbatch.models.linear import Linear
from fullbatch.objective import Objective
from fullbatch.protocols import Rows, ValueGrad
from fullbatch.schema import Schema

tf.config.threading.set_intra_op_parallelism_threads(1)
layers = keras.layers

FEATURES, CLASSES = 5, 3


@dataclass(frozen=True, eq=False)
class Given:
    """A source of rows that are at hand."""

    rows: Rows

    def __str__(self) -> str:
        return "given rows"

    def read(self) -> Rows:
        return self.rows


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


def data(rows: int = 23, dtype: str = "float64", weight: Any = None) -> Rows:
    random = np.random.default_rng(1)
    X = random.normal(size=(rows, FEATURES)).astype(dtype)
    y = random.integers(0, CLASSES, rows)
    y[: min(rows, CLASSES)] = np.arange(min(rows, CLASSES))
    return Rows(X, y, weight)


def block_of(model: KerasModel, rows: Rows, like: Rows | None = None) -> KerasBlock:
    """The block of `rows`, with the schema of `like`."""
    return model.build(rows, Schema.of(model.describe(rows if like is None else like, "given rows")), 0)


def theta_for(block: KerasBlock, seed: int = 2) -> Any:
    return np.random.default_rng(seed).normal(size=block.flat_size)


def assert_same(one: Any, other: Any, rtol: float = 1e-12) -> None:
    np.testing.assert_allclose(one.value, other.value, rtol=rtol)
    np.testing.assert_allclose(one.grad, other.grad, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(one.weight, other.weight, rtol=rtol)


def bits(answer: Any) -> bytes:
    return np.float64(answer.value).tobytes() + answer.grad.tobytes()


def part(rows: Rows, taken: Any) -> Rows:
    weight = None if rows.weight is None else rows.weight[taken]
    return Rows(rows.X[taken], rows.y[taken], weight, rows.scale)


# --- the sums -------------------------------------------------------------------------------------------------


def test_gradient_is_that_of_finite_differences():
    weight = np.random.default_rng(3).random(23)
    block = block_of(KerasModel(network(hidden), cross_entropy), data(weight=weight))
    theta, step = theta_for(block), 1e-6
    numeric = [(block.loss(theta + e) - block.loss(theta - e)) / (2 * step) for e in step * np.eye(len(theta))]
    np.testing.assert_allclose(block.grad(theta), numeric, rtol=1e-6, atol=1e-7)


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


def test_splits_add_up():
    model, rows = KerasModel(network(hidden), cross_entropy), data(weight=np.random.default_rng(3).random(23))
    whole = block_of(model, rows)
    theta = ValueGrad(theta_for(whole))
    for cuts in ([10], [1, 2, 22], [0, 7, 7, 23]):
        pieces = np.split(np.arange(23), cuts)
        total = sum_of(block_of(model, part(rows, piece), rows).evaluate(theta) for piece in pieces)
        assert_same(total, whole.evaluate(theta))


def sum_of(answers: Any) -> Any:
    total, *rest = answers
    for answer in rest:
        total = total + answer
    return total


def test_weight_two_is_the_row_twice_and_weight_zero_is_no_row():
    model, rows = KerasModel(network(hidden), cross_entropy), data(8)
    weighted = block_of(model, Rows(rows.X, rows.y, np.array([1.0, 1, 1, 2, 0, 1, 0, 1])))
    repeated = block_of(model, part(rows, [0, 1, 2, 3, 3, 5, 7]))
    theta = ValueGrad(theta_for(weighted))
    assert_same(weighted.evaluate(theta), repeated.evaluate(theta))


def test_a_row_of_weight_zero_may_have_an_infinite_loss():
    def loss(y: Any, pred: Any) -> Any:
        return keras.ops.log(y) * keras.ops.sum(pred, axis=-1)

    model = KerasModel(network(), loss, labels=False)
    X = data(4).X
    with_it = block_of(model, Rows(X, np.array([1.0, 0.0, 2.0, 3.0]), np.array([1.0, 0.0, 1.0, 1.0])))
    without = block_of(model, Rows(X[[0, 2, 3]], np.array([1.0, 2.0, 3.0])))
    theta = ValueGrad(theta_for(without))
    assert np.isfinite(with_it.loss(theta.theta))
    assert_same(with_it.evaluate(theta), without.evaluate(theta))


def test_chunks_give_what_the_whole_gives():
    rows = data()
    whole, chunked = (block_of(KerasModel(network(hidden), cross_entropy, chunk_rows=n), rows) for n in (8192, 7))
    theta = ValueGrad(theta_for(whole))
    assert_same(chunked.evaluate(theta), whole.evaluate(theta))


def test_rows_of_any_storage_are_the_same_rows():
    X = np.random.default_rng(4).integers(0, 2, (23, FEATURES)).astype("uint8")
    y = data().y
    model = KerasModel(network(hidden), cross_entropy, chunk_rows=7)
    dense = block_of(model, Rows(X / 4.0, y))
    theta = ValueGrad(theta_for(dense))
    for stored in (X, scipy.sparse.csr_array(X.astype("float64"))):
        weight = np.r_[0.0, np.ones(22)]
        assert_same(
            block_of(model, Rows(stored, y, weight, scale=0.25)).evaluate(theta),
            block_of(model, Rows(X / 4.0, y, weight)).evaluate(theta),
        )


def test_several_thetas_are_answered_one_by_one():
    block = block_of(KerasModel(network(hidden), cross_entropy), data())
    thetas = np.array([theta_for(block, seed) for seed in range(3)])
    stacked = block.evaluate(ValueGrad(thetas))
    assert stacked.value.shape == (3,)
    assert stacked.grad.shape == thetas.shape
    for i, theta in enumerate(thetas):
        one = block.evaluate(ValueGrad(theta))
        assert (stacked.value[i], stacked.grad[i].tobytes()) == (one.value, one.grad.tobytes())


@pytest.mark.parametrize("rows", [data(0), data(4, weight=np.zeros(4))])
def test_a_block_without_rows_answers_zeros(rows: Rows):
    block = block_of(KerasModel(network(), cross_entropy), rows, like=data())
    answer = block.evaluate(ValueGrad(theta_for(block)))
    assert (answer.value, answer.weight) == (0.0, 0.0)
    assert not answer.grad.any()


def test_a_dense_softmax_is_the_linear_softmax_model():
    rows = [data(23), data(11)]
    ours = Objective(SerialEngine().place(KerasModel(network(), cross_entropy), [Given(one) for one in rows]), l2=0.1)
    linear = Objective(SerialEngine().place(Linear("softmax"), [Given(one) for one in rows]), l2=0.1)
    theta = np.random.default_rng(5).normal(size=ours.size)
    # Linear has a row per output, Dense a column.
    kernel = np.arange(FEATURES * CLASSES).reshape(FEATURES, CLASSES).T.ravel()
    order = np.r_[kernel, FEATURES * CLASSES + np.arange(CLASSES)]
    one, other = ours.value_and_grad(theta), linear.value_and_grad(theta[order])
    np.testing.assert_allclose(one.value, other.value, rtol=1e-10)
    np.testing.assert_allclose(one.grad[order], other.grad, rtol=1e-10, atol=1e-12)


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


def test_threads_give_the_bits_of_serial():
    sources = [Given(data(40 + n, "float32")) for n in range(9)]
    factory = network(lambda: layers.Dense(16, activation="relu"), dtype="float32")
    answers = set()
    for engine in (SerialEngine(), ThreadEngine(2), ThreadEngine(5)):
        blocks = engine.place(KerasModel(factory, cross_entropy, chunk_rows=16), sources)
        theta = np.random.default_rng(7).normal(size=blocks.parameters.size)
        answers |= {bits(blocks.sum(ValueGrad(theta))) for _ in range(3)}
        blocks.close()
    assert len(answers) == 1


def test_one_block_may_be_asked_by_several_threads():
    block = block_of(KerasModel(network(hidden), cross_entropy, chunk_rows=7), data())
    thetas = [theta_for(block, seed) for seed in range(20)]
    alone = [bits(block.evaluate(ValueGrad(theta))) for theta in thetas]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda theta: bits(block.evaluate(ValueGrad(theta))), thetas)) == alone


def test_a_recipe_travels_without_its_program():
    model = KerasModel(network(hidden), cross_entropy)
    block = block_of(model, data())
    theta = theta_for(block)
    sent = cloudpickle.loads(cloudpickle.dumps(model))
    assert "_compiled" in vars(model)
    assert "_compiled" not in vars(sent)
    assert bits(block_of(sent, data()).evaluate(ValueGrad(theta))) == bits(block.evaluate(ValueGrad(theta)))
    plain = KerasModel(hidden, cross_entropy)
    assert pickle.loads(pickle.dumps(plain)) == plain


def test_predict_gives_the_outputs_at_theta():
    model = KerasModel(network(), cross_entropy, chunk_rows=7)
    theta = np.random.default_rng(8).normal(size=(FEATURES + 1) * CLASSES)
    X = data().X
    kernel, bias = theta[:-CLASSES].reshape(FEATURES, CLASSES), theta[-CLASSES:]
    np.testing.assert_allclose(model.predict(theta, X), X @ kernel + bias, rtol=1e-12)
    np.testing.assert_allclose(model.predict(theta, scipy.sparse.csr_array(X)), X @ kernel + bias, rtol=1e-12)
    assert model.predict(theta, X[:0]).shape == (0, CLASSES)
    with pytest.raises(ValueError, match=r"theta has shape \(3,\), this model has 18 parameters"):
        model.predict(theta[:3], X)


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


def test_parameters_say_what_is_penalized_and_how_precise():
    block = block_of(KerasModel(network(hidden), cross_entropy), data())
    sizes = [FEATURES * 4, 4, 4 * CLASSES, CLASSES]
    np.testing.assert_array_equal(block.parameters.penalized, np.repeat([True, False, True, False], sizes))
    assert block.parameters.dtype == "float64"
    chosen = KerasModel(network(hidden, dtype="float32"), cross_entropy, penalized=lambda path: "bias" in path)
    parameters = block_of(chosen, data()).parameters
    np.testing.assert_array_equal(parameters.penalized, np.repeat([False, True, False, True], sizes))
    assert parameters.dtype == "float32"


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
            r"the loss has shape \(\) for 4 rows, .* reduction=None",
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


def test_recipes_are_checked_when_made():
    with pytest.raises(TypeError, match="a function that returns a model, not a model"):
        KerasModel(network()(), cross_entropy)
    with pytest.raises(TypeError, match="loss must be a function"):
        KerasModel(network(), "mse")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="chunk_rows must be at least 1"):
        KerasModel(network(), cross_entropy, chunk_rows=0)


def test_another_backend_of_keras_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match=r"Keras runs on jax, .*KERAS_BACKEND=tensorflow"):
        block_of(KerasModel(network(), cross_entropy), data())


def test_tensorflow_missing_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(MissingExtraError, match=r'pip install "fullbatch\[tensorflow\]"'):
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


def test_importing_the_module_loads_no_framework():
    import subprocess

    code = "import sys, fullbatch.models.keras_; print(sorted({'tensorflow', 'keras'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
