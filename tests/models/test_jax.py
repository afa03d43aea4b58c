"""JaxModel: the contract of every framework, and what is JAX's own."""

import os
import subprocess
import sys
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from framework_contract import CLASSES, FEATURES, FrameworkContract, bits, block_of, data, theta_for

from fullbatch.errors import ModelError
from fullbatch.models import jax_
from fullbatch.models.jax_ import JaxModel
from fullbatch.protocols import ValueGrad


class Dense(NamedTuple):
    kernel: Any
    bias: Any


def dense(random: Any, inputs: int, outputs: int) -> Dense:
    return Dense(random.normal(size=(inputs, outputs)), np.zeros(outputs))


def parameters(hidden: bool, outputs: int) -> list[Dense]:
    random = np.random.default_rng(0)
    widths = [FEATURES, 4, outputs] if hidden else [FEATURES, outputs]
    return [dense(random, *pair) for pair in pairwise(widths)]


def apply(layers: Any, X: Any) -> Any:
    *inner, last = layers
    for layer in inner:
        X = jnp.tanh(X @ layer.kernel + layer.bias)
    return X @ last.kernel + last.bias


def cross_entropy(logits: Any, y: Any) -> Any:
    return jax.nn.logsumexp(logits, axis=1) - jnp.take_along_axis(logits, y[:, None], axis=1)[:, 0]


LOSSES = {
    "": cross_entropy,
    "mean": lambda logits, y: cross_entropy(logits, y).mean(),
    "column": lambda logits, y: cross_entropy(logits, y)[:, None],
    "squared": lambda outputs, y: (outputs - y) ** 2,
    "log": lambda outputs, y: jnp.log(y) * outputs,
}


class TestContract(FrameworkContract):
    package, outputs_first = "jax", False

    def model(self, *, hidden=False, outputs=CLASSES, dtype="float64", loss="", **options):
        return JaxModel(partial(parameters, hidden, outputs), apply, LOSSES[loss], dtype=dtype, **options)


def run(program: str, **environment: str) -> str:
    """What a program prints, in a process whose JAX is fresh."""
    command = [sys.executable, "-c", program]
    path = os.pathsep.join([os.path.dirname(__file__), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, **environment}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


BITS = """
import hashlib, logging, os
import numpy as np
logging.basicConfig()
{before}
from test_jax import *
random = np.random.default_rng(0)
from fullbatch.protocols import Rows
rows = Rows(random.normal(size=(4000, 200)).astype("float32"), random.integers(0, 3, 4000))
block = block_of(JaxModel(lambda: [dense(np.random.default_rng(0), 200, 3)], apply, cross_entropy), rows)
print(hashlib.md5(bits(block.evaluate(ValueGrad(np.linspace(-1, 1, 603))))).hexdigest(), os.environ.get("NPROC"))
"""


def test_bits_do_not_depend_on_the_cpus():
    pinned = "os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])"
    everywhere, one = run(BITS.format(before="")), run(BITS.format(before=pinned))
    assert everywhere == one
    assert everywhere.split()[1] == "None"  # the environment is as it was


def test_jax_that_was_started_before_is_warned_of():
    started = "import jax; jax.devices()"
    assert "Set the environment variable NPROC=1" in run(BITS.format(before=started))
    assert "NPROC=1" not in run(BITS.format(before=started), NPROC="2")


def test_the_users_precision_neither_counts_nor_changes():
    theta, answers = theta_for(block_of(TestContract().model(dtype="float32"), data())), set()
    for wide in (False, True):
        jax.config.update("jax_enable_x64", wide)
        try:
            block = block_of(TestContract().model(dtype="float32"), data())
            answers.add((block.parameters.dtype, bits(block.evaluate(ValueGrad(theta)))))
            assert jnp.zeros(1, float).dtype == ("float64" if wide else "float32")
        finally:
            jax.config.update("jax_enable_x64", False)
    assert len(answers) == 1
    assert block_of(TestContract().model(dtype="float64"), data()).parameters.dtype == "float64"


def test_functions_are_compiled_once_for_blocks_of_any_length():
    from framework_contract import Given

    from fullbatch.engines.local import ThreadEngine

    traces = []

    def loss(logits: Any, y: Any) -> Any:
        traces.append(logits.shape)
        return cross_entropy(logits, y)

    model = JaxModel(partial(parameters, False, CLASSES), apply, loss, chunk_rows=8)
    blocks = ThreadEngine(4).place(model, [Given(data(n)) for n in range(3, 33)])
    for seed in range(3):
        blocks.sum(ValueGrad(np.random.default_rng(seed).normal(size=blocks.parameters.size)))
    blocks.close()
    assert traces == [(8, CLASSES)]


def test_theta_is_the_leaves_and_names_are_paths():
    names = []

    def penalized(name: str) -> bool:
        names.append(name)
        return name.endswith("kernel")

    def as_dictionaries() -> Any:
        return [layer._asdict() for layer in parameters(True, CLASSES)]

    def apply_dictionaries(layers: Any, X: Any) -> Any:
        return apply([Dense(**layer) for layer in layers], X)

    model = JaxModel(as_dictionaries, apply_dictionaries, cross_entropy, penalized=penalized)
    flags = block_of(model, data()).parameters.penalized
    assert names == ["0/bias", "0/kernel", "1/bias", "1/kernel"]  # JAX sorts the keys of a dictionary
    np.testing.assert_array_equal(flags, np.repeat([False, True] * 2, [4, FEATURES * 4, CLASSES, 4 * CLASSES]))
    leaves = jax.tree.leaves(as_dictionaries())
    np.testing.assert_array_equal(model.start(), np.concatenate([np.float32(leaf).ravel() for leaf in leaves]))


def dropout(layers: Any, X: Any) -> Any:
    return apply(layers, X * jax.random.bernoulli(jax.random.key(0), 0.5, X.shape))


def normalized(layers: Any, X: Any) -> Any:
    return apply(layers, X - X.mean(axis=0))


@pytest.mark.parametrize(
    ("factory", "function", "message"),
    [
        (partial(parameters, False, CLASSES), dropout, "rows influence one another: .* must not depend on its place"),
        (partial(parameters, False, CLASSES), normalized, "rows influence one another"),
        (dict, apply, "the factory returned no arrays"),
        (lambda: {"count": np.arange(3)}, apply, "the parameter 'count' is int64, and all of theta is trained"),
        (lambda: "params", apply, "the parameter 'itself' is str"),
    ],
)
def test_refusals_say_why(factory: Any, function: Any, message: str):
    with pytest.raises(ModelError, match=message):
        block_of(JaxModel(factory, function, cross_entropy), data())


def test_devices_and_precisions_that_are_not_there_are_refused():
    with pytest.raises(ModelError, match=r"there is no device 'cpu:7': JAX has "):
        block_of(JaxModel(partial(parameters, False, CLASSES), apply, cross_entropy, device="cpu:7"), data())
    with pytest.raises(ValueError, match="dtype must be 'float32' or 'float64', got 'float16'"):
        JaxModel(dict, apply, cross_entropy, dtype="float16")
    with pytest.raises(TypeError, match="apply must be a function"):
        JaxModel(dict, 3, cross_entropy)  # type: ignore[arg-type]


def test_devices_and_threads_are_those_that_jax_has(monkeypatch, caplog):
    jax.devices()
    assert jax_._device(jax, "cpu:0") is jax.devices("cpu")[0] is jax_._device(jax, "cpu")
    with pytest.raises(ModelError, match=r"there is no device 'cpu:99': JAX has "):
        jax_._device(jax, "cpu:99")
    start = jax_._start_on_one_thread.__wrapped__
    monkeypatch.setenv("NPROC", "1")
    start()
    assert not caplog.records
    monkeypatch.delenv("NPROC")
    start()  # it runs already
    assert "JAX was started before fullbatch with as many threads as there are CPUs" in caplog.text
