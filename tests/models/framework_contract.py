"""The contract of a model in any framework: exact sums of loss, gradient and Hessian-vector products, and refusals.

A framework's test file inherits `FrameworkContract` and says how its networks are made.
"""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from ray import cloudpickle

from fullbatch.engines.local import SerialEngine, ThreadEngine
from fullbatch.errors import DataError, MissingExtraError, ModelError
from fullbatch.models.linear import Linear
from fullbatch.objective import Objective
from fullbatch.protocols import HessVec, Rows, ValueGrad
from fullbatch.protocols.schema import Schema
from fullbatch.testing import check_block

FEATURES, CLASSES = 5, 3


@dataclass(frozen=True, eq=False)
class Given:
    """A source of rows that are at hand."""

    rows: Rows

    def __str__(self) -> str:
        return "given rows"

    def read(self) -> Rows:
        return self.rows


def data(rows: int = 23, dtype: str = "float64", weight: Any = None) -> Rows:
    random = np.random.default_rng(1)
    X = random.normal(size=(rows, FEATURES)).astype(dtype)
    y = random.integers(0, CLASSES, rows)
    y[: min(rows, CLASSES)] = np.arange(min(rows, CLASSES))
    return Rows(X, y, weight)


def block_of(model: Any, rows: Rows, like: Rows | None = None) -> Any:
    """The block of `rows`, with the schema of `like`."""
    return model.build(rows, Schema.of(model.describe(rows if like is None else like, "given rows")), 0)


def theta_for(block: Any, seed: int = 2) -> Any:
    return np.random.default_rng(seed).normal(size=block.parameters.size)


def assert_same(one: Any, other: Any, rtol: float = 1e-12) -> None:
    np.testing.assert_allclose(one.value, other.value, rtol=rtol)
    np.testing.assert_allclose(one.grad, other.grad, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(one.weight, other.weight, rtol=rtol)


def bits(answer: Any) -> bytes:
    return np.float64(answer.value).tobytes() + answer.grad.tobytes()


class FrameworkContract:
    """What every framework's model keeps."""

    package: str  # its import name, and the name of the extra
    outputs_first: bool  # whether a dense layer's kernel is (outputs, inputs)

    def model(
        self, *, hidden: bool = False, outputs: int = CLASSES, dtype: str = "float64", loss: str = "", **options: Any
    ) -> Any:
        """A dense network, with a hidden layer of 4 tanh units or without.

        Losses: "" is cross-entropy, "mean" its mean, "column" it as (rows, 1), "squared" the squared error, "log"
        log(y) times the first output.
        """
        raise NotImplementedError

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize("stored", ["dense", "sparse", "bytes"])
    def test_blocks_pass_the_kit(self, dtype: str, stored: str):
        rng = np.random.default_rng(3)
        X = rng.normal(size=(40, FEATURES)) * (rng.random((40, FEATURES)) < 0.5)
        if stored == "sparse":
            X = scipy.sparse.csr_array(X.astype(dtype))
        elif stored == "bytes":
            X = rng.integers(0, 4, (40, FEATURES)).astype("uint8")
        else:
            X = X.astype("float32")
        rows = Rows(X, np.array(["no", "some", "yes"])[np.arange(40) % 3], rng.random(40), scale=0.5)
        check_block(self.model(hidden=True, dtype=dtype, chunk_rows=7), rows)

    def test_numbers_are_targets_of_networks_with_one_output(self):
        X, y = data().X, np.random.default_rng(6).normal(size=23)
        model = self.model(outputs=1, loss="squared", labels=False)
        check_block(model, Rows(X, y))
        theta = theta_for(block_of(model, Rows(X, y)))
        pred = X @ theta[:FEATURES] + theta[FEATURES]
        np.testing.assert_allclose(block_of(model, Rows(X, y)).loss(theta), np.sum((pred - y) ** 2))

    def test_hessian_times_vector_is_the_change_of_the_gradient(self):
        block = block_of(self.model(hidden=True, chunk_rows=7), data(weight=np.random.default_rng(3).random(23)))
        theta, v, step = theta_for(block), theta_for(block, 5), 1e-5
        answer = block.evaluate(HessVec(theta, v))
        numeric = (block.grad(theta + step * v) - block.grad(theta - step * v)) / (2 * step)
        np.testing.assert_allclose(answer.product, numeric, rtol=1e-6, atol=1e-7)
        assert answer.product.dtype == np.float64
        assert answer.weight == block.evaluate(ValueGrad(theta)).weight
        single = block_of(self.model(hidden=True, dtype="float32"), data(weight=np.random.default_rng(3).random(23)))
        np.testing.assert_allclose(single.evaluate(HessVec(theta, v)).product, answer.product, rtol=1e-3, atol=1e-4)

    def test_a_loss_that_is_linear_in_theta_has_no_curvature(self):
        block = block_of(self.model(outputs=1, loss="log", labels=False), Rows(data().X, np.arange(1.0, 24)))
        assert not block.evaluate(HessVec(theta_for(block), theta_for(block, 5))).product.any()

    def test_float32_is_near_float64(self):
        double, single = (block_of(self.model(hidden=True, dtype=dtype), data()) for dtype in ("float64", "float32"))
        assert (double.parameters.dtype, single.parameters.dtype) == ("float64", "float32")
        theta = ValueGrad(theta_for(double))
        assert_same(single.evaluate(theta), double.evaluate(theta), rtol=1e-4)
        assert bits(single.evaluate(theta)) != bits(double.evaluate(theta))

    def test_a_row_of_weight_zero_may_have_an_infinite_loss(self):
        model = self.model(outputs=1, loss="log", labels=False)
        X = data(4).X
        with_it = block_of(model, Rows(X, np.array([1.0, 0.0, 2.0, 3.0]), np.array([1.0, 0.0, 1.0, 1.0])))
        without = block_of(model, Rows(X[[0, 2, 3]], np.array([1.0, 2.0, 3.0])))
        theta = ValueGrad(theta_for(without))
        assert np.isfinite(with_it.loss(theta.theta))
        assert_same(with_it.evaluate(theta), without.evaluate(theta))

    def test_chunks_give_what_the_whole_gives(self):
        whole, chunked = (block_of(self.model(hidden=True, chunk_rows=n), data()) for n in (8192, 7))
        theta = ValueGrad(theta_for(whole))
        assert_same(chunked.evaluate(theta), whole.evaluate(theta))

    def test_rows_of_any_storage_are_the_same_rows(self):
        X = np.random.default_rng(4).integers(0, 2, (23, FEATURES)).astype("uint8")
        y, weight = data().y, np.r_[0.0, np.ones(22)]
        model = self.model(hidden=True, chunk_rows=7)
        dense = block_of(model, Rows(X / 4.0, y, weight))
        theta = ValueGrad(theta_for(dense))
        read_only = X.copy()
        read_only.flags.writeable = False
        backwards = X[::-1].copy()[::-1]
        for stored in (X, np.asfortranarray(X), read_only, backwards, scipy.sparse.csr_array(X.astype("float64"))):
            assert_same(
                block_of(model, Rows(stored, y, weight, scale=0.25)).evaluate(theta),
                dense.evaluate(theta),
            )

    def test_several_thetas_are_answered_one_by_one(self):
        block = block_of(self.model(hidden=True, chunk_rows=7), data())
        thetas = np.array([theta_for(block, seed) for seed in range(3)])
        stacked = block.evaluate(ValueGrad(thetas))
        assert stacked.value.shape == (3,)
        assert stacked.grad.shape == thetas.shape
        for i, theta in enumerate(thetas):
            one = block.evaluate(ValueGrad(theta))
            assert (stacked.value[i], stacked.grad[i].tobytes()) == (one.value, one.grad.tobytes())

    @pytest.mark.parametrize("rows", [data(0), data(4, weight=np.zeros(4))])
    def test_a_block_without_rows_answers_zeros(self, rows: Rows):
        block = block_of(self.model(), rows, like=data())
        theta = theta_for(block)
        answer, product = block.evaluate(ValueGrad(theta)), block.evaluate(HessVec(theta, theta))
        assert (answer.value, answer.weight, product.weight) == (0.0, 0.0, 0.0)
        assert not answer.grad.any()
        assert not product.product.any()

    def test_a_dense_softmax_is_the_linear_softmax_model(self):
        rows = [Given(data(23)), Given(data(11))]
        ours = Objective(SerialEngine().place(self.model(), rows), l2=0.1)
        linear = Objective(SerialEngine().place(Linear("softmax"), rows), l2=0.1)
        theta, v = np.random.default_rng(5).normal(size=(2, ours.size))
        order = np.arange(ours.size)  # Linear has a row per output
        if not self.outputs_first:
            kernel = order[:-CLASSES].reshape(FEATURES, CLASSES).T.ravel()
            order = np.r_[kernel, FEATURES * CLASSES + np.arange(CLASSES)]
        one, other = ours.value_and_grad(theta), linear.value_and_grad(theta[order])
        np.testing.assert_allclose(one.value, other.value, rtol=1e-10)
        np.testing.assert_allclose(one.grad[order], other.grad, rtol=1e-10, atol=1e-12)
        product, expected = ours(HessVec(theta, v)), linear(HessVec(theta[order], v[order]))
        np.testing.assert_allclose(product[order], expected, rtol=1e-10, atol=1e-12)

    def test_threads_give_the_bits_of_serial(self):
        sources = [Given(data(40 + n, "float32")) for n in range(9)]
        answers = set()
        for engine in (SerialEngine(), ThreadEngine(2), ThreadEngine(5)):
            blocks = engine.place(self.model(hidden=True, dtype="float32", chunk_rows=16), sources)
            theta = np.random.default_rng(7).normal(size=blocks.parameters.size)
            answers |= {bits(blocks.sum(ValueGrad(theta))) for _ in range(3)}
            blocks.close()
        assert len(answers) == 1

    def test_one_block_may_be_asked_by_several_threads(self):
        block = block_of(self.model(hidden=True, chunk_rows=7), data())
        thetas = [theta_for(block, seed) for seed in range(20)]
        alone = [bits(block.evaluate(ValueGrad(theta))) for theta in thetas]
        with ThreadPoolExecutor(4) as pool:
            assert list(pool.map(lambda theta: bits(block.evaluate(ValueGrad(theta))), thetas)) == alone

    def test_a_recipe_travels_without_its_program(self):
        model = self.model(hidden=True)
        block = block_of(model, data())
        theta = theta_for(block)
        sent = cloudpickle.loads(cloudpickle.dumps(model))
        assert "_made" in vars(model)
        assert "_made" not in vars(sent)
        assert bits(block_of(sent, data()).evaluate(ValueGrad(theta))) == bits(block.evaluate(ValueGrad(theta)))

    def test_predict_gives_the_outputs_at_theta(self):
        model = self.model(chunk_rows=7)
        theta = np.random.default_rng(8).normal(size=(FEATURES + 1) * CLASSES)
        X, bias = data().X, theta[-CLASSES:]
        kernel = theta[:-CLASSES]
        kernel = kernel.reshape(CLASSES, FEATURES).T if self.outputs_first else kernel.reshape(FEATURES, CLASSES)
        for stored in (X, X.astype("float32"), scipy.sparse.csr_array(X)):
            rtol = 1e-6 if stored.dtype == np.float32 else 1e-12
            np.testing.assert_allclose(model.predict(theta, stored), X @ kernel + bias, rtol=rtol, atol=rtol)
        assert model.predict(theta, X[:0]).shape == (0, CLASSES)
        with pytest.raises(ValueError, match=r"theta has shape \(3,\), this model has 18 parameters"):
            model.predict(theta[:3], X)

    def test_biases_are_not_penalized_unless_told_so(self):
        sizes = [FEATURES * 4, 4, 4 * CLASSES, CLASSES]
        plain = block_of(self.model(hidden=True), data()).parameters
        np.testing.assert_array_equal(plain.penalized, np.repeat([True, False, True, False], sizes))
        chosen = block_of(self.model(hidden=True, penalized=lambda name: "bias" in name), data()).parameters
        np.testing.assert_array_equal(chosen.penalized, np.repeat([False, True, False, True], sizes))

    def test_start_is_what_the_factory_made(self):
        model = self.model(hidden=True, dtype="float32")
        theta = model.start()
        assert theta.dtype == np.float64
        assert theta.shape == (block_of(model, data()).parameters.size,)
        np.testing.assert_array_equal(theta, theta.astype(np.float32))
        kernel, bias = theta[: FEATURES * 4], theta[FEATURES * 4 : FEATURES * 4 + 4]
        assert kernel.all()
        assert len(np.unique(kernel)) == len(kernel)
        assert len(bias) == 4

    @pytest.mark.parametrize(
        ("options", "error", "message"),
        [
            ({"loss": "mean"}, ModelError, r"the loss has shape \(\), it must give one number per row.*"),
            ({"loss": "column"}, ModelError, r"the loss has shape \((rows|None), 1\), it must give one number per row"),
            ({"outputs": 2}, DataError, "last of 3 classes, label 2 with index 2: .* one output for each class"),
        ],
    )
    def test_losses_that_are_none_per_row_are_refused(self, options: Any, error: type, message: str):
        with pytest.raises(error, match=message):
            SerialEngine().place(self.model(**options), [Given(data())])

    def test_an_offset_is_refused(self):
        rows = Rows(data().X, data().y, offset=np.ones(23))
        with pytest.raises(DataError, match=r"given rows: \w+Model has no use for an offset"):
            SerialEngine().place(self.model(), [Given(rows)])

    def test_recipes_are_checked_when_made(self):
        kind, fields = type(self.model()), vars(self.model())
        with pytest.raises(TypeError, match="loss must be a function"):
            kind(**{**fields, "loss": "mse"})
        with pytest.raises(TypeError, match="a function that every worker calls, not a model or what else it returns"):
            kind(**{**fields, "factory": self.model().factory()})
        with pytest.raises(ValueError, match="chunk_rows must be at least 1"):
            kind(**{**fields, "chunk_rows": 0})

    def test_a_missing_package_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setitem(sys.modules, self.package, None)
        with pytest.raises(MissingExtraError, match=rf'pip install "fullbatch\[{self.package}\]"'):
            block_of(self.model(), data())

    def test_importing_the_module_loads_no_framework(self):
        module = type(self.model()).__module__
        code = f"import sys, {module}; print(sorted({{'tensorflow', 'keras', 'torch', 'jax'}} & set(sys.modules)))"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == "[]"
