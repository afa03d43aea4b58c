"""Keras models on TensorFlow: any network that gives one loss per row, by loss and gradient over all rows."""

import inspect
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError, MissingExtraError, ModelError
from ..protocols import Block, Eval, Parameters, Rows, ValueGrad
from ..schema import Description, Schema
from ._describe import describe, is_sparse

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

# Held while a model is made, traced or tried out: Keras promises none of that to several threads.
_MAKING = threading.Lock()


@dataclass(frozen=True)
class KerasModel:
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
        Tells from a variable's path whether penalties touch it; default: all but those whose path ends in "bias".
    """

    factory: Callable[[], Any]
    loss: Callable[[Any, Any], Any]
    chunk_rows: int = 8192
    labels: bool = True
    penalized: Callable[[str], bool] | None = None

    def __post_init__(self) -> None:
        is_model = hasattr(self.factory, "trainable_variables") and not isinstance(self.factory, type)
        if is_model or not callable(self.factory):
            raise TypeError("factory must be a function that returns a model, not a model: workers build their own")
        if not callable(self.loss):
            raise TypeError(f"loss must be a function of (y_true, y_pred), for example of keras.losses: {self.loss!r}")
        if self.chunk_rows < 1:
            raise ValueError(f"chunk_rows must be at least 1, got {self.chunk_rows}")

    def __getstate__(self) -> dict[str, Any]:
        # The compiled program stays behind; whoever unpickles this compiles their own.
        return {name: value for name, value in self.__dict__.items() if name != "_compiled"}

    def describe(self, rows: Rows, source: str) -> Description:
        """Check and describe a block's rows."""
        return describe(rows, source, self.labels)

    def build(self, rows: Rows, schema: Schema, first_row: int) -> "KerasBlock":
        """The block of these rows.

        Raises
        ------
        ModelError
            The model or the loss cannot be trained on full batches.
        DataError
            The loss cannot take the labels.
        """
        assert rows.y is not None
        return KerasBlock(self._program(schema.n_features), rows, schema.encode(rows.y), schema)

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
        theta = np.asarray(theta, np.float64)
        chunks = (X[start : start + self.chunk_rows] for start in range(0, max(X.shape[0], 1), self.chunk_rows))
        return np.concatenate([program.call(theta, program.features(chunk, 1.0))[0].numpy() for chunk in chunks])

    def _program(self, n_features: int) -> "_Program":
        """The one program of this process: blocks share it, since tracing a model takes longer than evaluating it."""
        with _MAKING:
            program: _Program | None = self.__dict__.get("_compiled")
            if program is None or program.n_features != n_features:
                program = self.__dict__["_compiled"] = _Program(self, n_features)
            return program


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


class KerasBlock(FlatParameters, Block):
    """Rows with a Keras model's loss and gradient: a function of theta alone, whatever the model's variables hold.

    `get_flat` and `set_flat` are the variables of the model that all blocks of a process share.
    """

    answers = frozenset({ValueGrad})

    def __init__(self, program: "_Program", rows: Rows, y: Array, schema: Schema) -> None:
        super().__init__(program.model)
        self.parameters = program.parameters
        self._program, self._scale = program, rows.scale
        X, weight = rows.X, np.ones(len(y)) if rows.weight is None else np.asarray(rows.weight, np.float64)
        self._total = float(weight.sum())
        if not weight.all():  # rows of no weight are dropped: zero times an infinite loss is not zero
            kept = np.flatnonzero(weight)
            X, y, weight = X[kept], y[kept], weight[kept]
        self._X, self._y, self._weight = X, y.astype(program.target_type), weight
        if len(y):
            program.try_out(program.features(X[:4], self._scale), self._y[:4], schema)

    def evaluate(self, request: ValueGrad) -> Eval:
        """Answer loss and gradient."""
        if request.theta.ndim == 1:
            value, grad = self._value_grad(request.theta)
            return Eval(value, grad, self._total)
        answers = [self._value_grad(theta) for theta in request.theta]
        return Eval(np.array([value for value, _ in answers]), np.array([grad for _, grad in answers]), self._total)

    def _value_grad(self, theta: Array) -> tuple[float, Array]:
        value, grad = 0.0, np.zeros(self.flat_size)
        step = self._program.recipe.chunk_rows
        for start in range(0, len(self._y), step):
            chunk = slice(start, start + step)
            x = self._program.features(self._X[chunk], self._scale)
            part, part_grad, _, _ = self._program.value_grad(theta, x, self._y[chunk], self._weight[chunk])
            value += float(part)
            grad += part_grad.numpy()
        return value, grad


class _Program:
    """A model and its compiled loss and gradient; both depend on their arguments alone.

    Parameters
    ----------
    recipe : KerasModel
        What to build.
    n_features : int
        Columns of X.

    Attributes
    ----------
    value_grad : callable
        (theta, x, y, weight) -> weighted loss, its gradient, the losses of the rows, the states that the model's
        random generators are left in. One trace for chunks of any length; safe to call from several threads.
    """

    def __init__(self, recipe: KerasModel, n_features: int) -> None:
        self._tf = tf = _tensorflow()
        self.recipe, self.n_features = recipe, n_features
        self.model = model = _checked_model(recipe.factory(), n_features)
        variables = model.trainable_variables
        dtype = "float64" if all(variable.dtype == "float64" for variable in variables) else "float32"
        shapes = [tuple(variable.shape) for variable in variables]
        sizes = [int(np.prod(shape)) for shape in shapes]
        penalized = recipe.penalized or (lambda path: not path.endswith("bias"))
        mask = np.repeat([bool(penalized(variable.path)) for variable in variables], sizes)
        self.parameters = Parameters(sum(sizes), mask, dtype)
        self.target_type = "int64" if recipe.labels else dtype
        frozen = model.non_trainable_variables
        state = [tf.constant(variable.numpy()) for variable in frozen]
        seeds = [i for i, variable in enumerate(frozen) if variable.path.endswith("seed_generator_state")]
        self._seeds = [state[i].numpy() for i in seeds]
        self._has_losses = False
        # A subclass of Model need not know of training; told nothing, its layers infer.
        mode = {"training": False} if "training" in inspect.signature(model.call).parameters else {}
        if len(frozen) > len(seeds):
            _check_frozen(model, recipe.factory())

        def call(theta: Any, x: Any) -> Any:
            # From the flat theta on everything is one differentiable expression: its gradient comes out flat too.
            parts = zip(tf.split(theta, sizes), variables, shapes, strict=True)
            trainable = [tf.cast(tf.reshape(part, shape), variable.dtype) for part, variable, shape in parts]
            return model.stateless_call(trainable, state, x, **mode, return_losses=True)

        def value_grad(theta: Any, x: Any, y: Any, weight: Any) -> Any:
            with tf.GradientTape() as tape:
                tape.watch(theta)
                outputs, left, own_losses = call(theta, x)
                losses = recipe.loss(y[:, None] if outputs.shape[1:] == (1,) else y, outputs)
                value = tf.reduce_sum(tf.cast(losses, "float64") * weight)
            self._has_losses = bool(own_losses)  # known only now: layers may add losses when they are called
            grad = tape.gradient(value, theta, unconnected_gradients=tf.UnconnectedGradients.ZERO)
            return value, grad, losses, [left[i] for i in seeds]

        self.call = call
        self.value_grad = tf.function(
            value_grad,
            autograph=False,  # it rewrites the user's functions from their source, which it does not always find
            input_signature=[
                tf.TensorSpec((self.parameters.size,), "float64"),
                tf.TensorSpec((None, n_features), dtype),
                tf.TensorSpec((None,), self.target_type),
                tf.TensorSpec((None,), "float64"),
            ],
        )

    def features(self, X: Any, scale: float) -> Array:
        """Rows as the model takes them."""
        rows: Array = np.multiply(X.toarray() if is_sparse(X) else X, scale, dtype=self.parameters.dtype)
        return rows

    def try_out(self, x: Array, y: Array, schema: Schema) -> None:
        """Refuse, on a few rows, a model whose loss is not a sum over rows that depends on theta alone."""
        # Near the model's own start, where it is sane, but not at it: zeros, a usual start, hide what rows do.
        theta = FlatParameters(self.model).get_flat() + np.random.default_rng(0).normal(0, 0.1, self.parameters.size)
        ones = np.ones(len(y))
        with _MAKING:
            if schema.classes is not None:
                self._try_last_class(theta, x[:1], schema)
            _, _, losses, seeds = self.value_grad(theta, x, y, ones)
            again = self.value_grad(theta, x, y, ones)[2]
            if np.shape(losses) != y.shape:
                raise ModelError(
                    f"the loss has shape {np.shape(losses)} for {len(y)} rows, it must give one number per row, shape "
                    f"{y.shape}: use a function of keras.losses, or a Keras loss with reduction=None. (y_true is "
                    "(rows, 1) where the model's output is, otherwise (rows,))"
                )
            alone = [self.value_grad(theta, x[i : i + 1], y[i : i + 1], ones[:1])[0] for i in range(len(y))]
        if self._has_losses:
            raise ModelError(
                "the model adds losses of its own (a regularizer, or add_loss), which are no sum over rows: build it "
                "without them, and penalise with Objective(l2=...)"
            )
        used = any(not np.array_equal(old, new) for old, new in zip(self._seeds, seeds, strict=True))
        if used or not np.array_equal(losses, again, equal_nan=True):
            raise ModelError(
                "the model is random: equal theta and rows gave different losses, or a random generator was used. Is "
                "a layer such as Dropout called with training=True?"
            )
        # Products of one row and of several round differently; rows that see one another differ by far more.
        if not np.allclose(losses, alone, rtol=1e-3, atol=1e-5, equal_nan=True):
            raise ModelError(
                f"rows influence one another: the losses of {len(y)} rows are {np.asarray(losses)} together and "
                f"{np.array(alone)} one at a time. Is a layer such as BatchNormalization called with training=True?"
            )

    def _try_last_class(self, theta: Array, x: Array, schema: Schema) -> None:
        assert schema.classes is not None
        last = len(schema.classes) - 1
        try:
            self.value_grad(theta, x, np.array([last]), np.ones(1))
        except self._tf.errors.InvalidArgumentError as error:
            raise DataError(
                f"the loss fails for the last of {last + 1} classes, label {schema.classes.tolist()[-1]!r} with index "
                f"{last}: does the model have one output for each class? ({error.message})"
            ) from error


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


def _check_frozen(model: Any, twin: Any) -> None:
    """Refuse frozen weights that are random: each worker would compute another function."""
    for one, other in zip(model.non_trainable_variables, twin.non_trainable_variables, strict=True):
        if not one.path.endswith("seed_generator_state") and not np.array_equal(one, other):
            raise ModelError(
                f"two calls of the factory gave different values to {one.path!r}, which is not trained, so every "
                "worker would have another model: load such weights from a file, or give their initializer a seed"
            )
