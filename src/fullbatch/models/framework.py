"""What models of torch, JAX and TensorFlow share: a recipe that travels, one program a process, chunks, a try-out.

A framework's own file has two classes: a dataclass on `Recipe`, which is what the user makes, and a `Program`, which
is the network with its loss and gradient on one chunk of rows.
"""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import DataError, MissingExtraError, ModelError
from ..protocols.answers import Eval, Product
from ..protocols.requests import HessVec, ValueGrad
from ..protocols.rows import Rows, is_sparse
from ..protocols.schema import Description, Schema
from ..protocols.seams import Block, Parameters
from .describe import describe

Array = npt.NDArray[Any]

# Held while a program is made, traced or tried out: no framework promises any of that to several threads.
_MAKING = threading.RLock()

TRIED_ROWS = 4


class Program(ABC):
    """A network with its loss and gradient, in one framework: pure functions of their arguments, for any thread.

    Attributes
    ----------
    parameters : Parameters
        Of the network.
    arrays : list of (str, tuple of int)
        Names and shapes of the arrays that theta is laid end to end of.
    frozen : list of (str, array)
        Names and values of the arrays that are not trained, where the network holds any.
    target_type : str
        What targets are converted to.
    per_row : str
        How the framework's losses are made to give one number per row: ends an error message.
    random : str
        Which layers of the framework are random, and how they are not.
    together : str
        Which layers of the framework let rows influence one another, and how they do not.
    index_errors : tuple of exception types
        What a loss raises for a class index beyond its outputs.
    """

    parameters: Parameters
    arrays: list[tuple[str, tuple[int, ...]]]
    frozen: list[tuple[str, Array]]
    target_type: str
    per_row: str
    random: str
    together: str
    index_errors: tuple[type[Exception], ...] = ()

    def __init__(self) -> None:
        self.tried = False

    @abstractmethod
    def start(self) -> Array:
        """The parameters that the factory gave the network, (size,) float64."""

    @abstractmethod
    def point(self, theta: Array) -> Any:
        """Theta, (size,) float64, as the framework takes it."""

    def hold(self, X: Any) -> Any:
        """A block's features as they are kept between requests; slices of them become chunks."""
        return X

    @abstractmethod
    def chunk(self, X: Any, scale: float, y: Array, weight: Array, rows: int) -> Any:
        """Some rows as the framework takes them; `rows` is the length of the longest chunk of any block."""

    @abstractmethod
    def value_grad(self, point: Any, chunk: Any) -> tuple[float, Array, Array]:
        """Sum of weighted losses, its gradient (size,), and the losses of the rows (unless their shape is wrong)."""

    @abstractmethod
    def hess_vec(self, point: Any, v: Any, chunk: Any) -> Array:
        """Hessian of the sum of weighted losses times `v`, (size,)."""

    @abstractmethod
    def outputs(self, point: Any, X: Any) -> Array:
        """What the network gives for rows of features."""

    @abstractmethod
    def network(self, theta: Array) -> Any:
        """The network as its framework has it, with the parameters `theta`: the caller's own."""

    def check_losses(self, shape: Sequence[int | None], rows: int | None) -> None:
        """Refuse losses that are not one number per row."""
        if tuple(shape) == (rows,):
            return
        told = ["rows" if length == rows else str(length) for length in shape]
        raise ModelError(
            f"the loss has shape ({', '.join(told)}{',' if len(told) == 1 else ''}), it must give one number per row, "
            f"shape (rows,): {self.per_row}"
        )


class FrameworkBlock(Block):
    """Rows with a network's loss, gradient and Hessian-vector products: a function of theta alone.

    Parameters
    ----------
    program : Program
        Shared by all blocks of the process.
    rows : Rows
        With class indices for labels.
    schema : Schema
        Of all blocks.
    chunk_rows : int
        Rows that pass through the network at a time, at the most.
    """

    answers = frozenset({ValueGrad, HessVec})

    def __init__(self, program: Program, rows: Rows, schema: Schema, chunk_rows: int) -> None:
        assert rows.y is not None
        self.parameters = program.parameters
        self._program, self._scale = program, rows.scale
        X, y = rows.X, rows.y
        weight = np.ones(len(y)) if rows.weight is None else np.asarray(rows.weight, np.float64)
        self._total = float(weight.sum())
        if not weight.all():  # rows of no weight are dropped: zero times an infinite loss is not zero
            kept = np.flatnonzero(weight)
            X, y, weight = X[kept], y[kept], weight[kept]
        self._X, self._y, self._weight = program.hold(X), y.astype(program.target_type), weight
        # The same for all blocks, and chunks of nearly equal length: programs are compiled for one shape.
        longest = max(schema.block_rows)
        self._step = -(-longest // max(1, -(-longest // chunk_rows)))
        with _MAKING:
            if len(y) and not program.tried:
                self._try_out(schema)
                program.tried = len(y) >= TRIED_ROWS

    def evaluate(self, request: ValueGrad | HessVec) -> Eval | Product:
        """Answer loss and gradient, or a Hessian-vector product."""
        program = self._program
        if isinstance(request, HessVec):
            point, v = program.point(request.theta), program.point(request.v)
            product = np.zeros(self.parameters.size)
            for chunk in self._chunks():
                product += program.hess_vec(point, v, chunk)
            return Product(product, self._total)
        points = [program.point(theta) for theta in np.atleast_2d(request.theta)]
        value, grad = np.zeros(len(points)), np.zeros((len(points), self.parameters.size))
        for chunk in self._chunks():
            for i, point in enumerate(points):
                part, part_grad, _ = program.value_grad(point, chunk)
                value[i] += part
                grad[i] += part_grad
        if request.theta.ndim == 1:
            return Eval(float(value[0]), grad[0], self._total)
        return Eval(value, grad, self._total)

    def _chunks(self) -> Iterator[Any]:
        return (self._chunk(slice(start, start + self._step)) for start in range(0, len(self._y), self._step))

    def _chunk(self, taken: slice) -> Any:
        return self._program.chunk(self._X[taken], self._scale, self._y[taken], self._weight[taken], self._step)

    def _try_out(self, schema: Schema) -> None:
        """Refuse, on a few rows, a model whose loss is not a sum over rows that depends on theta alone."""
        program, count = self._program, min(TRIED_ROWS, len(self._y), self._step)
        # Near the model's own start, where it is sane, but not at it: zeros, a usual start, hide what rows do.
        noise = np.random.default_rng(0).normal(0, 0.1, self.parameters.size)
        point = program.point(program.start() + noise)
        if schema.classes is not None:
            self._try_last_class(point, schema, count)
        losses, again = (program.value_grad(point, self._chunk(slice(0, count)))[2] for _ in range(2))
        if not np.array_equal(losses, again, equal_nan=True):
            raise ModelError(f"the model is random: equal theta and rows gave different losses. {program.random}")
        # Not single rows: batch normalisation, which is to be found here, takes none.
        halves = [self._chunk(slice(0, count // 2)), self._chunk(slice(count // 2, count))][count == 1 :]
        apart = np.concatenate([program.value_grad(point, half)[2] for half in halves])
        # Products of few rows and of more round differently; rows that see one another differ by far more.
        if not np.allclose(losses, apart, rtol=1e-3, atol=1e-5, equal_nan=True):
            raise ModelError(
                f"rows influence one another: the losses of {count} rows are {losses} together and {apart} in two "
                f"halves. {program.together}"
            )

    def _try_last_class(self, point: Any, schema: Schema, count: int) -> None:
        assert schema.classes is not None
        last = len(schema.classes) - 1
        values, problem = [], None
        try:
            for label in (0, last):
                y = np.full(count, label).astype(self._program.target_type)
                chunk = self._program.chunk(self._X[:count], self._scale, y, np.ones(count), self._step)
                values.append(self._program.value_grad(point, chunk)[0])
        except self._program.index_errors as error:
            problem = error
        if problem is not None or (np.isfinite(values[0]) and np.isnan(values[1])):
            raise DataError(
                f"the loss fails for the last of {last + 1} classes, label {schema.classes.tolist()[-1]!r} with index "
                f"{last}: does the model have one output for each class? ({problem or 'it is NaN there'})"
            ) from problem


def _is_installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except ImportError:  # of an import system that says so in this way
        return False


class Recipe:
    """A model sent to the workers as the functions that make it; each process makes one program of it."""

    loss: Callable[..., Any]
    chunk_rows: int
    labels: bool
    penalized: Callable[[str], bool] | None
    _block: ClassVar[type[FrameworkBlock]] = FrameworkBlock
    _packages: ClassVar[tuple[str, ...]]  # that it needs; the first one names the extra

    def _check(self, network: str = "__array__", **functions: Any) -> None:
        """Refuse arguments that are no functions; `network` is a name that networks have and functions have not.

        Raises
        ------
        MissingExtraError
            The framework is not installed. It is looked for, and not loaded before blocks are built.
        """
        for package in self._packages:
            if not _is_installed(package):
                raise MissingExtraError(package, self._packages[0])
        factory = functions.pop("factory")
        if not callable(factory) or (hasattr(factory, network) and not isinstance(factory, type)):
            raise TypeError(
                "factory must be a function that every worker calls, not a model or what else it returns: got "
                f"{type(factory).__name__}"
            )
        for name, function in functions.items():
            if not callable(function):
                raise TypeError(f"{name} must be a function, got {function!r}")
        if self.chunk_rows < 1:
            raise ValueError(f"chunk_rows must be at least 1, got {self.chunk_rows}")

    def _make(self, n_features: int) -> Program:
        """The program for rows of `n_features` columns."""
        raise NotImplementedError

    def _program(self, n_features: int) -> Any:
        """The one program of this process: blocks share it, since making one takes longer than using it."""
        with _MAKING:
            made: tuple[int, Program] | None = self.__dict__.get("_made")
            if made is None or made[0] != n_features:
                made = self.__dict__["_made"] = (n_features, self._make(n_features))
            return made[1]

    def __getstate__(self) -> dict[str, Any]:
        # The program stays behind; whoever unpickles this makes their own.
        return {name: value for name, value in self.__dict__.items() if name != "_made"}

    def describe(self, rows: Rows, source: str) -> Description:
        """Check and describe a block's rows."""
        if rows.offset is not None:
            raise DataError(f"{source}: {type(self).__name__} has no use for an offset: give it as a column of X")
        return describe(rows, source, self.labels)

    def build(self, rows: Rows, schema: Schema, first_row: int) -> FrameworkBlock:
        """The block of these rows.

        Raises
        ------
        ModelError
            The model or the loss cannot be trained on full batches.
        DataError
            The loss cannot take the labels.
        """
        assert rows.y is not None
        encoded = replace(rows, y=schema.encode(rows.y))
        block = self._block(self._program(schema.n_features), encoded, schema, self.chunk_rows)
        loss = getattr(self.loss, "__qualname__", type(self.loss).__name__)
        block.parameters = replace(block.parameters, about=f"{type(self).__name__} with the loss {loss}")
        return block

    def predict(self, theta: Array, X: Any) -> Array:
        """The model's outputs at `theta`, in this process.

        Parameters
        ----------
        theta : (size,) array
            Parameters.
        X : (n, features) array or scipy.sparse CSR array
            Features.

        Returns
        -------
        (n, outputs) array
        """
        X = X if is_sparse(X) else np.asarray(X)
        program = self._program(X.shape[1])
        if np.shape(theta) != (program.parameters.size,):
            raise ValueError(f"theta has shape {np.shape(theta)}, this model has {program.parameters.size} parameters")
        point = program.point(np.asarray(theta, np.float64))
        starts = range(0, max(X.shape[0], 1), self.chunk_rows)
        return np.concatenate([program.outputs(point, X[start : start + self.chunk_rows]) for start in starts])


def parameters_of(
    names: Sequence[str], sizes: Sequence[int], penalized: Callable[[str], bool] | None, dtype: str
) -> Parameters:
    """What the driver must know of arrays that are laid end to end."""
    mask = np.repeat([bool((penalized or is_no_bias)(name)) for name in names], sizes)
    return Parameters(sum(sizes), mask, dtype)


def is_no_bias(name: str) -> bool:
    """Whether penalties touch a parameter by default: not if the last part of its name is b, or has "bias" in it."""
    last = name.replace("/", ".").rpartition(".")[2]
    return last != "b" and "bias" not in last


def dense(X: Any) -> Any:
    """Rows of features as a dense array; what is not sparse as it is."""
    return X.toarray() if is_sparse(X) else X


def check_frozen(one: Sequence[tuple[str, Array]], other: Sequence[tuple[str, Array]]) -> None:
    """Refuse frozen weights that are random: each worker would compute another function.

    Parameters
    ----------
    one, other : sequence of (str, array)
        Names and values of what is not trained, as two calls of the factory made it. (Names may differ: Keras counts.)
    """
    for (name, mine), (_, others) in zip(one, other, strict=True):
        if not np.array_equal(mine, others):
            raise ModelError(
                f"two calls of the factory gave different values to {name!r}, which is not trained, so every "
                "worker would have another model: load such weights from a file, or give their initializer a seed"
            )
