"""torch models: any module that gives one loss per row, by loss and its derivatives over all rows."""

import copy
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import MissingExtraError, ModelError
from ..protocols.rows import is_sparse
from .framework import Program, Recipe, check_frozen, dense, parameters_of

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class TorchModel(Recipe):
    """A torch module with a loss per row.

    Theta is the parameters that require a gradient, in the order of `named_parameters()`, each raveled row by row.
    The module runs in evaluation mode: dropout passes everything, batch normalisation uses its stored moments.

    Parameters
    ----------
    factory : callable
        Called with nothing on every worker, returns a `torch.nn.Module` that takes (rows, features). Its parameters
        are float32, or float64 all of them.
    loss : callable
        `loss(outputs, y)` gives one loss per row, shape (rows,), as functions of `torch.nn.functional` and losses of
        `torch.nn` do with `reduction="none"`. Outputs of shape (rows, 1) reach it as (rows,).
    chunk_rows : int
        Rows that pass through the module at a time: bounds memory.
    labels : bool
        Targets are class labels, which the loss sees as int64 indices into the sorted classes of all the data;
        otherwise numbers, which it sees in the precision of the model.
    penalized : callable, optional
        Tells from a parameter's name whether penalties touch it; default: all but those with "bias" in the last part
        of their name.
    device : str
        Where each worker computes: "cpu", "cuda", "cuda:1", ... Rows stay there as stored; sparse ones are sent in
        each pass.
    """

    factory: Callable[[], Any]
    loss: Callable[[Any, Any], Any]
    chunk_rows: int = 2048
    labels: bool = True
    penalized: Callable[[str], bool] | None = None
    device: str = "cpu"
    _packages = ("torch",)

    def __post_init__(self) -> None:
        self._check("named_parameters", factory=self.factory, loss=self.loss)

    def start(self) -> Array:
        """The parameters of a module fresh from the factory, (size,) float64: a start for training."""
        return TorchProgram(self).start()

    def _make(self, n_features: int) -> "TorchProgram":
        return TorchProgram(self)


class _Chunk(NamedTuple):
    x: Any
    y: Any
    weight: Array


class TorchProgram(Program):
    """A module, its loss and what torch derives from them.

    Parameters
    ----------
    recipe : TorchModel
        What to build.
    """

    per_row = 'use reduction="none"'
    random = "Is a function such as dropout called with training=True?"
    together = "Does the module call batch normalisation in training mode, or without stored moments?"
    index_errors = (IndexError,)

    def __init__(self, recipe: TorchModel) -> None:
        super().__init__()
        self._torch = torch = _torch()
        self._loss, self._device = recipe.loss, torch.device(recipe.device)
        self._module = _checked(recipe.factory(), torch).eval().to(self._device)
        trained = {name: one for name, one in self._module.named_parameters() if one.requires_grad}
        self._names, self._shapes = list(trained), [one.shape for one in trained.values()]
        self._types = [one.dtype for one in trained.values()]
        self._sizes = [one.numel() for one in trained.values()]
        self._dtype = torch.float64 if set(self._types) == {torch.float64} else torch.float32
        dtype = str(self._dtype).removeprefix("torch.")
        self.parameters = parameters_of(self._names, self._sizes, recipe.penalized, dtype)
        self.target_type = "int64" if recipe.labels else dtype
        self.arrays = [(name, tuple(shape)) for name, shape in zip(self._names, self._shapes, strict=True)]
        self.frozen = _frozen(self._module)
        if self.frozen:
            check_frozen(self.frozen, _frozen(recipe.factory()))
        self._local = threading.local()

    def start(self) -> Array:
        values = dict(self._module.named_parameters())
        return self._flat([values[name].detach() for name in self._names])

    def point(self, theta: Array) -> list[Any]:
        parts = self._torch.tensor(theta).split(self._sizes)
        return [
            part.view(shape).to(self._device, dtype, copy=True).requires_grad_()
            for part, shape, dtype in zip(parts, self._shapes, self._types, strict=True)
        ]

    def hold(self, X: Any) -> Any:
        if is_sparse(X):
            return X
        if any(stride < 0 for stride in X.strides):  # which torch has not
            X = X.copy()
        # The process's filter, once: changing it for a moment is not safe where there are threads.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # and we do not write
        return self._torch.from_numpy(X).to(self._device)

    def chunk(self, X: Any, scale: float, y: Array, weight: Array, rows: int) -> _Chunk:
        with self._one_thread():
            return _Chunk(self._features(X, scale), self._torch.from_numpy(y).to(self._device), weight)

    def value_grad(self, point: list[Any], chunk: _Chunk) -> tuple[float, Array, Array]:
        with self._one_thread():
            losses = self._losses(point, chunk)
            grads = self._gradient(losses, point, self._weight(chunk, losses))
            each = losses.detach().cpu().numpy()
            return float((each.astype(np.float64) * chunk.weight).sum()), self._flat(grads), each

    def hess_vec(self, point: list[Any], v: list[Any], chunk: _Chunk) -> Array:
        with self._one_thread():
            losses = self._losses(point, chunk)
            grads = self._gradient(losses, point, self._weight(chunk, losses), create_graph=True)
            slope = sum((grad * part.detach()).sum() for grad, part in zip(grads, v, strict=True))
            if not slope.requires_grad:  # a loss that is linear in theta
                return np.zeros(self.parameters.size)
            return self._flat(self._gradient(slope, point, None))

    def outputs(self, point: list[Any], X: Any) -> Array:
        with self._one_thread(), self._torch.no_grad():
            given: Array = self._call(point, self._features(self.hold(X), 1.0)).cpu().numpy()
            return given

    def network(self, theta: Array) -> Any:
        module, values = copy.deepcopy(self._module), self.point(theta)
        with self._torch.no_grad():
            for name, value in zip(self._names, values, strict=True):
                module.get_parameter(name).copy_(value)
        return module

    def _features(self, X: Any, scale: float) -> Any:
        X = self._torch.from_numpy(dense(X)) if is_sparse(X) else X
        return X.to(self._device, self._dtype, copy=True).mul_(scale)

    def _call(self, point: list[Any], x: Any) -> Any:
        # A call with other parameters puts them into the module for its time: each thread has a module of its own.
        module = getattr(self._local, "module", None)
        if module is None:
            module = self._local.module = copy.deepcopy(self._module)
        return self._torch.func.functional_call(module, dict(zip(self._names, point, strict=True)), (x,))

    def _losses(self, point: list[Any], chunk: _Chunk) -> Any:
        outputs = self._call(point, chunk.x)
        losses = self._loss(outputs[:, 0] if outputs.shape[1:] == (1,) else outputs, chunk.y)
        self.check_losses(losses.shape, len(chunk.y))
        return losses

    def _weight(self, chunk: _Chunk, losses: Any) -> Any:
        return self._torch.from_numpy(chunk.weight).to(losses.dtype).to(self._device)

    def _gradient(self, of: Any, point: list[Any], weight: Any, create_graph: bool = False) -> Any:
        return self._torch.autograd.grad(
            of, point, weight, create_graph=create_graph, allow_unused=True, materialize_grads=True
        )

    def _flat(self, parts: Any) -> Array:
        return np.concatenate([part.cpu().numpy().ravel() for part in parts], dtype=np.float64)

    @contextmanager
    def _one_thread(self) -> Iterator[None]:
        """One thread per operation: the order of sums within an operation depends on their number.

        torch keeps the number for each thread that calls it, so others of the process keep theirs.
        """
        before = self._torch.get_num_threads()
        self._torch.set_num_threads(1)
        try:
            yield
        finally:
            self._torch.set_num_threads(before)


def _torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingExtraError("torch", "torch") from error
    return torch


def _frozen(module: Any) -> list[tuple[str, Array]]:
    arrays = [*module.named_parameters(), *module.named_buffers()]
    return [(name, one.detach().cpu().numpy()) for name, one in arrays if not one.requires_grad]


def _checked(module: Any, torch: Any) -> Any:
    """The factory's module, once it is known to be one that can be flattened."""
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"the factory returned {type(module).__name__}, it must return a torch.nn.Module")
    parameters = dict(module.named_parameters())
    lazy = [name for name, one in parameters.items() if torch.nn.parameter.is_lazy(one)]
    if lazy:
        raise ModelError(f"the parameter {lazy[0]!r} has no shape yet: name the number of inputs in the factory")
    trained = {name: one.dtype for name, one in parameters.items() if one.requires_grad}
    if not trained:
        raise ModelError("the module has nothing to train: none of its parameters requires a gradient")
    for name, dtype in trained.items():
        if dtype not in (torch.float32, torch.float64):
            raise ModelError(f"the parameter {name!r} is {dtype}, exact sums need torch.float32 or torch.float64")
    return module
