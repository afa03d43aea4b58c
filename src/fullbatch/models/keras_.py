"""Keras models on TensorFlow: any network that gives one loss per row, by loss and its derivatives over all rows."""

import inspect
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import MissingExtraError, ModelError
from ..protocols.rows import Rows
from ..protocols.schema import Schema
from .framework import FrameworkBlock, Program, Recipe, check_frozen, dense, parameters_of

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)


class FlatParameters:
    """A Keras model's trainable variables as one float64 vector, in their order, each raveled row by row.

    Parameters
    ----------
    model : keras.Model
        Read and written in place.

    Attributes
    ----------
    flat_size : int
        Length of the vector.
    """

    def __init__(self, model: Any) -> None:
        self._variables = list(model.trainable_variables)
        self._sizes = [int(np.prod(variable.shape)) for variable in self._variables]
        self.flat_size = sum(self._sizes)

    def get_flat(self) -> Array:
        """The variables' values, shape (flat_size,), float64."""
        return np.concatenate([np.ravel(variable.numpy()) for variable in self._variables], dtype=np.float64)

    def set_flat(self, theta: Array) -> None:
        """Give the variables the values of `theta`, shape (flat_size,)."""
        if np.shape(theta) != (self.flat_size,):
            raise ValueError(f"theta has shape {np.shape(theta)}, this model has {self.flat_size} parameters")
        parts = np.split(np.asarray(theta), np.cumsum(self._sizes)[:-1])
        for variable, part in zip(self._variables, parts, strict=True):
            variable.assign(part.reshape(variable.shape))


class KerasBlock(FlatParameters, FrameworkBlock):
    """A block whose `get_flat` and `set_flat` are the variables of the model that all blocks of a process share.

    Its answers do not depend on what these variables hold.
    """

    def __init__(self, program: "KerasProgram", rows: Rows, schema: Schema, chunk_rows: int) -> None:
        FlatParameters.__init__(self, program.model)
        FrameworkBlock.__init__(self, program, rows, schema, chunk_rows)


@dataclass(frozen=True)
class KerasModel(Recipe):
    """A Keras 3 model, on TensorFlow, with a loss per row.

    Theta is the model's trainable variables in their order, each raveled row by row. Layers run as in inference:
    dropout passes everything, batch normalisation uses its stored moments. Regularizers belong to the objective.

    Parameters
    ----------
    factory : callable
        Called with nothing on every worker, returns a built model: one input of shape (features,), made with
        `keras.Input`. (In a float64 model the input needs `dtype="float64"` too.)
    loss : callable
        `loss(y_true, y_pred)` gives one loss per row, shape (rows,): a function of `keras.losses`, or a Keras loss
        with `reduction=None`. As in Keras's own `fit`, `y_true` is (rows, 1) where `y_pred` is, otherwise (rows,).
    chunk_rows : int
        Rows that pass through the model at a time: bounds memory.
    labels : bool
        Targets are class labels, which the loss sees as int64 indices into the sorted classes of all the data;
        otherwise numbers, which it sees in the precision of the model.
    penalized : callable, optional
        Tells from a variable's path whether penalties touch it; default: all but those with "bias" in the last part
        of their path.
    """

    factory: Callable[[], Any]
    loss: Callable[[Any, Any], Any]
    chunk_rows: int = 8192
    labels: bool = True
    penalized: Callable[[str], bool] | None = None
    _block = KerasBlock
    _packages = ("tensorflow", "keras")

    def __post_init__(self) -> None:
        self._check("trainable_variables", factory=self.factory, loss=self.loss)

    def start(self) -> Array:
        """The parameters of a model fresh from the factory, (size,) float64: a start for training."""
        _tensorflow()
        return FlatParameters(self.factory()).get_flat()

    def _make(self, n_features: int) -> "KerasProgram":
        return KerasProgram(self, n_features)


class _Chunk(NamedTuple):
    x: Array
    y: Array
    weight: Array


class KerasProgram(Program):
    """A model and its compiled loss and gradient. One trace for chunks of any length.

    Parameters
    ----------
    recipe : KerasModel
        What to build.
    n_features : int
        Columns of X.
    """

    per_row = (
        "use a function of keras.losses, or a Keras loss with reduction=None. (y_true is (rows, 1) where the model's "
        "output is, otherwise (rows,))"
    )
    random = "Is a layer such as Dropout called with training=True?"
    together = "Is a layer such as BatchNormalization called with training=True?"

    def __init__(self, recipe: KerasModel, n_features: int) -> None:
        super().__init__()
        self._tf = tf = _tensorflow()
        self.index_errors = (tf.errors.InvalidArgumentError,)
        self.model = model = _checked_model(recipe.factory(), n_features)
        variables = model.trainable_variables
        dtype = "float64" if all(variable.dtype == "float64" for variable in variables) else "float32"
        shapes = [tuple(variable.shape) for variable in variables]
        sizes = [int(np.prod(shape)) for shape in shapes]
        self.parameters = parameters_of([variable.path for variable in variables], sizes, recipe.penalized, dtype)
        self.target_type = "int64" if recipe.labels else dtype
        self.arrays = list(zip((variable.path for variable in variables), shapes, strict=True))
        self.frozen, self._factory = _frozen(model), recipe.factory
        state = [tf.constant(variable.numpy()) for variable in model.non_trainable_variables]
        seeds = [i for i, one in enumerate(model.non_trainable_variables) if _is_seed(one)]
        self._seeds = [state[i].numpy() for i in seeds]
        # A subclass of Model need not know of training; told nothing, its layers infer.
        mode = {"training": False} if "training" in inspect.signature(model.call).parameters else {}
        if self.frozen:
            check_frozen(self.frozen, _frozen(recipe.factory()))

        def call(theta: Any, x: Any) -> Any:
            # From the flat theta on everything is one differentiable expression: its gradient comes out flat too.
            parts = zip(tf.split(theta, sizes), variables, shapes, strict=True)
            trainable = [tf.cast(tf.reshape(part, shape), variable.dtype) for part, variable, shape in parts]
            return model.stateless_call(trainable, state, x, **mode, return_losses=True)

        def value_grad(theta: Any, x: Any, y: Any, weight: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(theta)
                outputs, left, own_losses = call(theta, x)
                as_column = outputs.shape[1:] == (1,) and len(y.shape) == 1
                losses = recipe.loss(y[:, None] if as_column else y, outputs)
                self.check_losses(losses.shape, None)
                value = tf.reduce_sum(tf.cast(losses, "float64") * weight)
            if own_losses:  # known only now: layers may add losses when they are called
                raise ModelError(
                    "the model adds losses of its own (a regularizer, or add_loss), which are no sum over rows: build "
                    "it without them, and penalise with Objective(l2=...)"
                )
            grad = tape.gradient(value, theta, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            return value, grad, losses, [left[i] for i in seeds]

        def hess_vec(theta: Any, v: Any, x: Any, y: Any, weight: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(theta)
                slope = tf.reduce_sum(value_grad(theta, x, y, weight)[1] * v)
            return tape.gradient(slope, theta, unconnected_gradients=tf.UnconnectedGradients.ZERO)

        def compiled(function: Any, *vectors: Any, targets: int) -> Any:
            y = (None,) * targets
            rows = [((None, n_features), dtype), (y, self.target_type), ((None,), "float64")]
            signature = [tf.TensorSpec(*one) for one in (*vectors, *rows)]
            # autograph rewrites the user's functions from their source, which it does not always find
            return tf.function(function, autograph=False, input_signature=signature)

        theta = ((self.parameters.size,), "float64")
        self._outputs = call
        # For one target and for several; nothing is traced before it is called.
        self._value_grad = [compiled(value_grad, theta, targets=targets) for targets in (1, 2)]
        self._hess_vec = [compiled(hess_vec, theta, theta, targets=targets) for targets in (1, 2)]

    def start(self) -> Array:
        return FlatParameters(self.model).get_flat()

    def point(self, theta: Array) -> Any:
        return self._tf.constant(theta, "float64")

    def chunk(self, X: Any, scale: float, y: Array, weight: Array, rows: int) -> _Chunk:
        return _Chunk(np.multiply(dense(X), scale, dtype=self.parameters.dtype), y, weight)

    def value_grad(self, point: Any, chunk: _Chunk) -> tuple[float, Array, Array]:
        value, grad, losses, seeds = self._value_grad[chunk.y.ndim - 1](point, *chunk)
        if any(not np.array_equal(old, new) for old, new in zip(self._seeds, seeds, strict=True)):
            raise ModelError(f"the model is random: it used a random generator. {self.random}")
        return float(value), grad.numpy(), losses.numpy()

    def hess_vec(self, point: Any, v: Any, chunk: _Chunk) -> Array:
        product: Array = self._hess_vec[chunk.y.ndim - 1](point, v, *chunk).numpy()
        return product

    def outputs(self, point: Any, X: Any) -> Array:
        given: Array = self._outputs(point, np.asarray(dense(X), self.parameters.dtype))[0].numpy()
        return given

    def network(self, theta: Array) -> Any:
        model = self._factory()
        FlatParameters(model).set_flat(theta)
        return model


def _tensorflow() -> Any:
    """TensorFlow, on one thread per operation: the order of sums within an operation depends on their number.

    Operations side by side change no bits, so their threads (inter-op) are left alone: a single one would make the
    blocks of a process wait for one another.
    """
    try:
        import tensorflow as tf
    except ImportError as error:
        raise MissingExtraError("tensorflow", "tensorflow") from error
    import keras  # comes with TensorFlow

    if keras.backend.backend() != "tensorflow":
        raise ModelError(
            f"Keras runs on {keras.backend.backend()}, KerasModel needs TensorFlow: set the environment variable "
            "KERAS_BACKEND=tensorflow before keras is imported"
        )
    try:
        tf.config.threading.set_intra_op_parallelism_threads(1)
    except RuntimeError:
        logger.warning(
            "TensorFlow was started before fullbatch with %s intra-op threads: results may differ in the last bits "
            "from machine to machine. Call tf.config.threading.set_intra_op_parallelism_threads(1) right after "
            "importing tensorflow",
            tf.config.threading.get_intra_op_parallelism_threads() or "as many as there are CPUs",
        )
    return tf


def _checked_model(model: Any, n_features: int) -> Any:
    """The factory's model, once it is known to be one that can be flattened and called on rows."""
    import keras

    if not isinstance(model, keras.Model):
        raise ModelError(f"the factory returned {type(model).__name__}, it must return a Keras 3 model (keras.Model)")
    if not (model.built and model.trainable_variables):
        raise ModelError(
            f"the model {model.name!r} is not built, or has nothing to train: start it with "
            f"keras.Input(shape=({n_features},)), so that its variables exist when the factory returns"
        )
    inputs = [tuple(tensor.shape[1:]) for tensor in getattr(model, "inputs", [])]  # a subclass of Model has none
    if inputs not in ([], [(n_features,)], [(None,)]) or len(getattr(model, "outputs", [None])) != 1:
        raise ModelError(
            f"the model takes inputs of shape {', '.join(map(str, inputs))} and has {len(model.outputs)} output(s). It "
            f"needs one output and one input, the data's {n_features} features: start it with "
            f"keras.Input(shape=({n_features},)), and keras.layers.Reshape where it wants another shape"
        )
    half = {layer.compute_dtype for layer in model.layers} & {"float16", "bfloat16"}
    if half:
        raise ModelError(f"the model computes in {half.pop()}, too coarse for exact sums: use float32 or float64")
    return model


def _is_seed(variable: Any) -> bool:
    return bool(variable.path.endswith("seed_generator_state"))


def _frozen(model: Any) -> list[tuple[str, Array]]:
    return [(one.path, one.numpy()) for one in model.non_trainable_variables if not _is_seed(one)]
