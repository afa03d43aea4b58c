"""TorchModel: the contract of every framework, and what is torch's own."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from framework_contract import CLASSES, FEATURES, FrameworkContract, assert_same, bits, block_of, data, theta_for
from torch import nn
from torch.nn import functional

from fullbatch.errors import ModelError
from fullbatch.models.torch_ import TorchModel
from fullbatch.protocols import Rows, ValueGrad


def network(*inner: Callable[[], Any], dtype: str = "float64", outputs: int = CLASSES) -> Any:
    """A factory of a module with the given layers before a dense one."""

    def factory() -> Any:
        made = [layer() for layer in inner]
        width = next((one.out_features for one in made if isinstance(one, nn.Linear)), FEATURES)
        return nn.Sequential(*made, nn.Linear(width, outputs)).to(getattr(torch, dtype))

    return factory


def cross_entropy(outputs: Any, y: Any) -> Any:
    return functional.cross_entropy(outputs, y, reduction="none")


LOSSES = {
    "": cross_entropy,
    "mean": functional.cross_entropy,
    "column": lambda outputs, y: cross_entropy(outputs, y)[:, None],
    "squared": lambda outputs, y: functional.mse_loss(outputs, y, reduction="none"),
    "log": lambda outputs, y: torch.log(y) * outputs,
}


class TestContract(FrameworkContract):
    package, outputs_first = "torch", True

    def model(self, *, hidden=False, outputs=CLASSES, dtype="float64", loss="", **options):
        inner = [lambda: nn.Linear(FEATURES, 4), nn.Tanh] if hidden else []
        return TorchModel(network(*inner, dtype=dtype, outputs=outputs), LOSSES[loss], **options)


def test_bits_do_not_depend_on_torchs_threads_and_the_number_is_left_alone():
    rng = np.random.default_rng(0)
    rows = Rows(rng.normal(size=(2048, 784)).astype("float32"), rng.integers(0, 3, 2048))

    def factory() -> Any:  # of a size where two threads do give other bits
        return nn.Sequential(nn.Linear(784, 10), nn.Tanh(), nn.Linear(10, 3))

    block = block_of(TorchModel(factory, cross_entropy), rows)
    theta, before = ValueGrad(theta_for(block)), torch.get_num_threads()
    answers = set()
    try:
        for threads in (1, 2, 4):
            torch.set_num_threads(threads)
            answers.add(bits(block.evaluate(theta)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert len(answers) == 1


def test_dropout_and_batch_normalization_run_as_in_evaluation():
    plain = block_of(TorchModel(network(), cross_entropy), data())

    def normalize() -> Any:
        return nn.BatchNorm1d(FEATURES, affine=False, eps=0.0)

    other = block_of(TorchModel(network(lambda: nn.Dropout(0.5), normalize), cross_entropy), data())
    theta = ValueGrad(theta_for(plain))
    assert_same(other.evaluate(theta), plain.evaluate(theta))


def test_what_requires_no_gradient_is_no_part_of_theta():
    def fixed() -> Any:
        torch.manual_seed(1)
        return nn.Linear(FEATURES, 4).requires_grad_(False)

    model = TorchModel(network(fixed), cross_entropy)
    assert block_of(model, data()).parameters.size == len(model.start()) == 4 * CLASSES + CLASSES


class Tied(nn.Module):
    """One kernel used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(FEATURES, FEATURES, bias=False, dtype=torch.float64)
        self.second = nn.Linear(FEATURES, FEATURES, bias=False, dtype=torch.float64)
        self.second.weight = self.first.weight

    def forward(self, x: Any) -> Any:
        return self.second(self.first(x))


def test_tied_weights_are_one_parameter():
    block = block_of(TorchModel(Tied, cross_entropy), data())
    theta = theta_for(block)
    kernel = theta.reshape(FEATURES, FEATURES)
    outputs = data().X @ kernel.T @ kernel.T
    expected = np.log(np.exp(outputs).sum(axis=1)) - outputs[np.arange(23), data().y]
    np.testing.assert_allclose(block.loss(theta), expected.sum())


class Functional(nn.Module):
    """Calls a function before a dense layer."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.function, self.dense = function, nn.Linear(FEATURES, CLASSES)

    def forward(self, x: Any) -> Any:
        return self.dense(self.function(x))


def centred(x: Any) -> Any:
    return x - x.mean(dim=0)


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (lambda: Functional(functional.dropout), "the model is random: .* training=True"),
        (network(lambda: nn.BatchNorm1d(FEATURES, track_running_stats=False)), "rows influence one another"),
        (lambda: Functional(centred), "rows influence one another"),
        (lambda: "a model", "the factory returned str, it must return a torch.nn.Module"),
        (lambda: nn.LazyLinear(CLASSES), "the parameter 'weight' has no shape yet"),
        (lambda: network()().requires_grad_(False), "the module has nothing to train"),
        (network(dtype="bfloat16"), r"the parameter '0.weight' is torch.bfloat16, exact sums need torch.float32"),
        (
            network(lambda: nn.Linear(FEATURES, 4).requires_grad_(False)),
            "two calls of the factory gave different values to '0.weight', which is not trained",
        ),
    ],
)
def test_refusals_say_why(factory: Any, message: str):
    with pytest.raises(ModelError, match=message):
        block_of(TorchModel(factory, cross_entropy), data())
