"""Softmax regression as a linear model, in torch, in JAX and in Keras: the same minimum, after as many passes."""

import sys
from functools import partial
from typing import Any

import numpy as np
import pytest

from fullbatch import (
    JaxModel,
    KerasModel,
    Linear,
    Objective,
    RayEngine,
    ThreadEngine,
    TorchModel,
    array_sources,
    minimize,
)
from fullbatch.datasets import load_mnist

MODELS = ["linear", "torch", "jax", "keras"]


def torch_network(dtype: str) -> Any:
    import torch

    return torch.nn.Linear(784, 10, dtype=getattr(torch, dtype))


def torch_loss(outputs: Any, y: Any) -> Any:
    import torch

    return torch.nn.functional.cross_entropy(outputs, y, reduction="none")


def jax_parameters() -> dict[str, Any]:
    return {"kernel": np.zeros((784, 10)), "bias": np.zeros(10)}


def jax_outputs(parameters: Any, X: Any) -> Any:
    return X @ parameters["kernel"] + parameters["bias"]


def jax_loss(outputs: Any, y: Any) -> Any:
    import jax

    return jax.nn.logsumexp(outputs, axis=1) - jax.numpy.take_along_axis(outputs, y[:, None], axis=1)[:, 0]


def keras_network(dtype: str) -> Any:
    import keras

    return keras.Sequential([keras.Input((784,), dtype=dtype), keras.layers.Dense(10, dtype=dtype)])


def keras_loss(y: Any, outputs: Any) -> Any:
    import keras

    return keras.losses.sparse_categorical_crossentropy(y, outputs, from_logits=True)


def model(name: str, dtype: str) -> Any:
    return {
        "linear": lambda: Linear("softmax"),
        "torch": lambda: TorchModel(partial(torch_network, dtype), torch_loss),
        "jax": lambda: JaxModel(jax_parameters, jax_outputs, jax_loss, dtype=dtype),
        "keras": lambda: KerasModel(partial(keras_network, dtype), keras_loss),
    }[name]()


def fit(engine: Any, name: str, dtype: str) -> Any:
    mnist = load_mnist()
    blocks = engine.place(model(name, dtype), array_sources(mnist.X_train.astype(dtype), mnist.y_train, blocks=8))
    objective = Objective(blocks, l2=1e-3)
    result = minimize(objective, np.zeros(objective.size), tol=1e-7, solver="lbfgs")
    blocks.close()
    assert result.success, result.message
    return result


@pytest.mark.parametrize(
    "engine", ["threads", pytest.param("ray", marks=pytest.mark.slow(reason="each worker imports each framework"))]
)
def test_all_frameworks_reach_the_same_minimum_in_as_many_passes(engine: str, request: pytest.FixtureRequest):
    if engine == "ray":
        ray = request.getfixturevalue("ray_session")
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    used = ThreadEngine() if engine == "threads" else RayEngine(num_workers=2)
    results = {name: fit(used, name, "float64") for name in MODELS}
    used.close()
    values, passes = zip(*((result.value, result.passes) for result in results.values()), strict=True)
    print({name: (result.value, result.passes) for name, result in results.items()})
    assert max(values) <= min(values) * (1 + 1e-6)
    assert max(passes) <= 1.05 * min(passes)


def test_float32_reaches_the_minimum_of_float64():
    # How many passes the last digits take is a matter of noise here, and not compared.
    engine = ThreadEngine()
    exact = fit(engine, "linear", "float64").value
    for name in MODELS:
        assert fit(engine, name, "float32").value == pytest.approx(exact, rel=1e-6)
