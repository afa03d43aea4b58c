"""A wrong gradient is found before the run, a right one passes, and the passes are counted apart."""

import re
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional

from fullbatch import Linear, ModelError, Objective, Standardized, ThreadEngine, TorchModel, array_sources, minimize
from fullbatch.run.gradient_check import check_gradient

RANDOM = np.random.default_rng(0)
X, Y = RANDOM.normal(size=(300, 6)).astype("float32"), RANDOM.integers(0, 3, 300)


class Wrong(torch.autograd.Function):
    """tanh, with a backward that is too large by a factor."""

    @staticmethod
    def forward(ctx: Any, x: Any, factor: float) -> Any:
        y = torch.tanh(x)
        ctx.save_for_backward(y)
        ctx.factor = factor
        return y

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        (y,) = ctx.saved_tensors
        return ctx.factor * grad * (1 - y**2), None


class Network(torch.nn.Module):
    def __init__(self, factor: float, dtype: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = torch.nn.Linear(6, 8, dtype=dtype), torch.nn.Linear(8, 3, dtype=dtype)
        self.factor = factor

    def forward(self, x: Any) -> Any:
        return self.last(Wrong.apply(self.first(x), self.factor))


def network(factor: float, dtype: str = "float32") -> TorchModel:
    return TorchModel(
        lambda: Network(factor, getattr(torch, dtype)),
        lambda out, y: functional.cross_entropy(out, y, reduction="none"),
    )


def objective(model: Any, X: Any = X, **options: Any) -> Objective:
    return Objective(ThreadEngine().place(model, array_sources(X, Y, blocks=3)), **options)


@pytest.mark.parametrize(("dtype", "factor"), [("float32", 1.3), ("float32", -1.0), ("float64", 1.01)])
def test_a_wrong_backward_is_found_before_the_run(dtype: str, factor: float):
    model = network(factor, dtype)
    problem = objective(model)
    message = (
        rf"along a random direction it says -?[\d.e-]+, differences of the {dtype} loss say -?[\d.e-]+ "
        r".*a backward of your own \(torch.autograd.Function"
    )
    with pytest.raises(ModelError, match=message):
        minimize(problem, model.start(), check_gradient=True)
    assert problem.num_passes == 0


def test_the_message_tells_the_slopes():
    model = network(0.0, "float64")  # no gradient reaches the first layer
    problem = objective(model)
    with pytest.raises(ModelError, match="along a random direction it says") as caught:
        check_gradient(problem, model.start())
    told = re.search(r"it says (\S+), differences of the float64 loss say (\S+) ", str(caught.value)).groups()
    direction = np.random.default_rng(0).standard_normal(problem.size)
    direction /= np.linalg.norm(direction)
    grads = [objective(network(factor, "float64")).full_grad(model.start()) for factor in (0.0, 1.0)]
    np.testing.assert_allclose([float(one) for one in told], 300 * np.array(grads) @ direction, rtol=1e-4)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_right_gradient_passes_and_the_run_is_the_same(dtype: str):
    model = network(1.0, dtype)
    plain, checked = objective(model, l2=0.1), objective(model, l2=0.1)
    one = minimize(plain, model.start(), max_iter=5)
    other = minimize(checked, model.start(), max_iter=5, check_gradient=True)
    assert one.theta.tobytes() == other.theta.tobytes()
    assert one.passes == other.passes == checked.num_passes
    assert one.setup_passes == 1
    assert 8 <= other.setup_passes <= 26  # one, and two to eight for each of three directions


def test_at_a_minimum_differences_of_the_loss_are_rounding_and_no_error():
    wide = X.astype("float64")
    problem = objective(Linear("squared"), wide)
    best = np.linalg.lstsq(np.column_stack((wide, np.ones(300))), Y.astype("float64"))[0]
    assert np.linalg.norm(problem.value_and_grad(best).grad) < 1e-14
    check_gradient(problem, best, directions=10)


def test_variables_with_columns_of_any_scale():
    wide = (X * 10.0 ** np.arange(6) + 100).astype("float64")
    blocks = objective(Linear("softmax"), wide).blocks
    problem = Objective(blocks, variables=Standardized(blocks.schema, outputs=3, scale=True))
    for seed in range(5):
        check_gradient(problem, np.random.default_rng(seed).normal(size=problem.size), seed=seed)
        check_gradient(Objective(blocks), 1e-3 * np.random.default_rng(seed).normal(size=problem.size), seed=seed)
    blocks_sum = blocks.sum

    def wrong_in_one_column(request):
        answer = blocks_sum(request)
        answer.grad[0] *= 1.5  # of the smallest scale, a millionth of the others'
        return answer

    blocks.sum = wrong_in_one_column
    with pytest.raises(ModelError, match="along a random direction it says"):
        check_gradient(problem, np.random.default_rng(0).normal(size=problem.size))


def test_a_point_without_a_finite_loss_is_an_error():
    problem = objective(Linear("softmax"))
    with pytest.raises(ValueError, match="not finite where it is checked"):
        check_gradient(problem, np.full(problem.size, 1e308))
