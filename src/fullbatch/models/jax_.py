"""JAX models: pure functions that give one loss per row, by loss and its derivatives over all rows."""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import MissingExtraError, ModelError
from ..protocols.rows import is_sparse
from .framework import Program, Recipe, dense, parameters_of

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class JaxModel(Recipe):
    """A network in JAX, or in a library on it, with a loss per row.

    Theta is the leaves of the parameters in the order of `jax.tree.leaves`, each raveled row by row.

    Parameters
    ----------
    factory : callable
        Called with nothing on every worker, returns the parameters to begin with: a pytree of floating-point arrays.
    apply : callable
        `apply(parameters, X)` gives the outputs for rows of features, (rows, features), and does nothing else.
    loss : callable
        `loss(outputs, y)` gives one loss per row, shape (rows,), as functions of optax do. Outputs of shape (rows, 1)
        reach it as (rows,).
    chunk_rows : int
        Rows that pass through the network at a time: bounds memory. Shorter chunks are filled up, so that the
        functions are compiled once.
    labels : bool
        Targets are class labels, which the loss sees as integer indices into the sorted classes of all the data;
        otherwise numbers, which it sees in `dtype`.
    penalized : callable, optional
        Tells from a parameter's path, such as "layers/0/kernel", whether penalties touch it; default: all but those
        whose last part is "b", or has "bias" in it.
    dtype : {"float32", "float64"}
        Precision of parameters and features. Whatever `jax_enable_x64` says, factory, apply and loss run with it on
        for "float64" and off for "float32".
    device : str, optional
        Where each worker computes: "cpu", "gpu", "gpu:1", ...; default: JAX's own choice.
    """

    factory: Callable[[], Any]
    apply: Callable[[Any, Any], Any]
    loss: Callable[[Any, Any], Any]
    chunk_rows: int = 2048
    labels: bool = True
    penalized: Callable[[str], bool] | None = None
    dtype: str = "float32"
    device: str | None = None
    _packages = ("jax",)

    def __post_init__(self) -> None:
        self._check(factory=self.factory, apply=self.apply, loss=self.loss)
        if self.dtype not in ("float32", "float64"):
            raise ValueError(f"dtype must be 'float32' or 'float64', got {self.dtype!r}")

    def start(self) -> Array:
        """The parameters that the factory gives, (size,) float64: a start for training."""
        return JaxProgram(self).start()

    def _make(self, n_features: int) -> "JaxProgram":
        return JaxProgram(self)


class _Chunk(NamedTuple):
    rows: int  # the first so many are rows of the block, the others fill up and weigh nothing
    weight: Array
    arguments: tuple[Any, ...]


class JaxProgram(Program):
    """The functions of a recipe and what JAX derives from them, each compiled for one length of chunks.

    Parameters
    ----------
    recipe : JaxModel
        What to build.
    """

    per_row = "use a loss without a mean or a sum over the rows"
    random = "Does it draw numbers outside of jax.random?"
    together = "Is there batch normalisation or dropout as in training? (A row's loss must not depend on its place.)"

    def __init__(self, recipe: JaxModel) -> None:
        super().__init__()
        self._jax = jax = _jax()
        self._dtype, self._device = recipe.dtype, _device(jax, recipe.device)
        with self._precision():
            parameters = recipe.factory()
            leaves = jax.tree_util.tree_flatten_with_path(parameters)[0]
            names = ["/".join(_key(part) for part in path) for path, _ in leaves]
            _check_leaves(names, [leaf for _, leaf in leaves])
            parameters = jax.tree_util.tree_map(lambda leaf: jax.numpy.asarray(leaf, self._dtype), parameters)
            flat, unravel = jax.flatten_util.ravel_pytree(parameters)
            self._start = np.asarray(flat, np.float64)
        sizes = [int(np.size(leaf)) for _, leaf in leaves]
        self.arrays = [(name, np.shape(leaf)) for name, (_, leaf) in zip(names, leaves, strict=True)]
        self.frozen: list[tuple[str, Array]] = []
        self._unravel = unravel
        self.parameters = parameters_of(names, sizes, recipe.penalized, self._dtype)
        wide = self._dtype == "float64"
        self.target_type = ("int64" if wide else "int32") if recipe.labels else self._dtype

        def outputs(theta: Any, X: Any, scale: Any) -> Any:
            return recipe.apply(unravel(theta), X.astype(self._dtype) * scale)

        def losses(theta: Any, X: Any, scale: Any, y: Any) -> Any:
            given = outputs(theta, X, scale)
            each = recipe.loss(given[:, 0] if given.shape[1:] == (1,) else given, y)
            self.check_losses(each.shape, len(y))
            return each

        def value_grad(theta: Any, weight: Any, *rows: Any) -> Any:
            each, pull_back = jax.vjp(lambda theta: losses(theta, *rows), theta)
            (grad,) = pull_back(weight.astype(each.dtype))
            return each, grad

        def hess_vec(theta: Any, v: Any, weight: Any, *rows: Any) -> Any:
            return jax.jvp(lambda theta: value_grad(theta, weight, *rows)[1], (theta,), (v,))[1]

        self._outputs, self._value_grad, self._hess_vec = jax.jit(outputs), jax.jit(value_grad), jax.jit(hess_vec)

    def start(self) -> Array:
        return self._start

    def point(self, theta: Array) -> Any:
        return self._put(theta.astype(self._dtype))

    def hold(self, X: Any) -> Any:
        # Memory of this process is sent chunk by chunk: all at once it would be there twice.
        return X if is_sparse(X) or self._device.platform == "cpu" else self._put(X)

    def chunk(self, X: Any, scale: float, y: Array, weight: Array, rows: int) -> _Chunk:
        count = len(y)
        full = np.zeros(rows)
        full[:count] = weight
        if count < rows:
            # Filled up with the last row, not with zeros: where these have an infinite loss, weight 0 would not help.
            taken = np.minimum(np.arange(rows), count - 1)
            X, y = X[taken], y[taken]
        arrays = (full.astype(self._dtype), dense(X), np.asarray(scale, self._dtype), y)
        return _Chunk(count, weight, tuple(self._put(array) for array in arrays))

    def value_grad(self, point: Any, chunk: _Chunk) -> tuple[float, Array, Array]:
        with self._precision():
            losses, grad = self._value_grad(point, *chunk.arguments)
        each = np.asarray(losses)[: chunk.rows]
        return float((each.astype(np.float64) * chunk.weight).sum()), np.asarray(grad, np.float64), each

    def hess_vec(self, point: Any, v: Any, chunk: _Chunk) -> Array:
        with self._precision():
            return np.asarray(self._hess_vec(point, v, *chunk.arguments), np.float64)

    def outputs(self, point: Any, X: Any) -> Array:
        scale = self._put(np.ones((), self._dtype))
        with self._precision():
            return np.asarray(self._outputs(point, self._put(dense(X)), scale))

    def network(self, theta: Array) -> Any:
        with self._precision():
            return self._unravel(self._put(theta.astype(self._dtype)))

    def _put(self, array: Any) -> Any:
        with self._precision():
            return self._jax.device_put(array, self._device)

    @contextmanager
    def _precision(self) -> Iterator[None]:
        """In this thread, for the time: 64 bits where theta has them, and on a GPU products that use all their bits."""
        jax = self._jax
        enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
        with enable_x64(self._dtype == "float64"), jax.default_matmul_precision("highest"):
            yield


def _jax() -> Any:
    try:
        import jax
        import jax.experimental
        import jax.flatten_util
    except ImportError as error:
        raise MissingExtraError("jax", "jax") from error
    _start_on_one_thread()
    return jax


@cache
def _start_on_one_thread() -> None:
    """Start JAX with one thread on the CPU: the order of sums within an operation depends on their number.

    It is read from the environment variable NPROC when JAX starts, and only then; a number that is there is kept.
    """
    import jax
    from jax._src import xla_bridge  # whether JAX has started is told nowhere else

    if "NPROC" in os.environ:
        return
    if getattr(xla_bridge, "_backends", None):
        logger.warning(
            "JAX was started before fullbatch with as many threads as there are CPUs: results may differ in the last "
            "bits from machine to machine. Set the environment variable NPROC=1 before JAX's first operation"
        )
        return
    os.environ["NPROC"] = "1"
    try:
        jax.devices()
    finally:
        del os.environ["NPROC"]


def _device(jax: Any, name: str | None) -> Any:
    if name is None:
        return jax.devices()[0]
    platform, _, number = name.partition(":")
    found = jax.devices(platform)
    if int(number or 0) >= len(found):
        raise ModelError(f"there is no device {name!r}: JAX has {', '.join(map(str, found))}")
    return found[int(number or 0)]


def _key(part: Any) -> str:
    """One step of a path into a pytree: a key of a mapping, a place in a sequence, or the name of a field."""
    return str(next(getattr(part, kind) for kind in ("key", "idx", "name") if hasattr(part, kind)))


def _check_leaves(names: list[str], leaves: list[Any]) -> None:
    if not leaves:
        raise ModelError("the factory returned no arrays: it must return the parameters, such as a dict of arrays")
    for name, leaf in zip(names, leaves, strict=True):
        kind = str(getattr(leaf, "dtype", type(leaf).__name__))
        if kind not in ("float16", "bfloat16", "float32", "float64"):
            raise ModelError(
                f"the parameter {name or 'itself'!r} is {kind}, and all of theta is trained: return floating-point "
                "arrays only, and let apply() know of anything else by other means, such as functools.partial"
            )
