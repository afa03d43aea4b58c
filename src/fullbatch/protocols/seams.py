"""The few words that engines, models and solvers share: requests, answers, and who answers what.

A solver says what it wants to know; that request travels unchanged to every block, and every answer is a sum
over rows that adds up. Everything in the package may import this module; it imports numpy alone.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from .sampling import Draw
from .schema import Description, Schema

Array = npt.NDArray[Any]
R = TypeVar("R")


# --- requests and answers -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class ValueGrad:
    """Ask for loss and gradient.

    Parameters
    ----------
    theta : (size,) or (C, size) float64 array
        The point; or C points, answered together: by one read of the data where the model can.
    double : bool
        Products in float64 whatever the precision of the rows, for one point of a linear model: what is asked where
        rounding is all that is left. Other models answer in their own precision.
    """

    theta: Array
    double: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class DrawnValueGrad:
    """Ask for loss and gradient of several models, each of which counts rows in its own way.

    That is how cross-validation and bootstrap share one read of the data.

    Parameters
    ----------
    theta : (C, size) float64 array
        A point for each model.
    draws : tuple of C Draw
        How often each model counts a row.
    """

    theta: Array
    draws: tuple[Draw, ...]


@dataclass(frozen=True, slots=True, eq=False)
class RowSample:
    """Ask for a random share of the rows, the same rows however the data is cut into blocks.

    Parameters
    ----------
    fraction : float
        Probability, in [0, 1], that a row is taken.
    seed : int
        Whether a row is taken is a pure function of its global number and this seed.
    """

    fraction: float
    seed: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class HessVec:
    """Ask for the Hessian times a vector.

    Parameters
    ----------
    theta : (size,) float64 array
        Where.
    v : (size,) float64 array
        The vector.
    """

    theta: Array
    v: Array


@dataclass(frozen=True, slots=True, eq=False)
class Curvature:
    """Ask for second derivatives, of all rows or of a random share of them.

    Parameters
    ----------
    theta : (size,) float64 array
        Where.
    form : {"diagonal", "gram", "meat", "rows"}
        - "diagonal" of the Hessian;
        - "gram", the whole Hessian, and "meat", the sum of squared gradients of single rows (each with its weight; for
          one linear predictor): both with loss and gradient, for few parameters;
        - "rows": those of every row's loss in its linear predictors, answered with a `RowCurvature`.
    fraction : float
        Probability that a row is taken, as in `RowSample`; 1 for all rows.
    seed : int
        As in `RowSample`.
    double : bool
        As in `ValueGrad`.
    widened : float
        For "gram" of a loss with straight stretches: everything is that of a loss whose curved stretch is so many times
        as wide (`losses.widened`).
    """

    theta: Array
    form: str
    fraction: float = 1.0
    seed: int = 0
    double: bool = False
    widened: float = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Squares:
    """Ask, under the squared loss, for everything that any least-squares fit of these rows needs.

    Parameters
    ----------
    exact : bool
        Triangles of QR decompositions, which keep the condition number, instead of Gram matrices, which square it.
    folds : int
        Rows are dealt to so many folds, each with sums of its own.
    seed : int
        The fold of a row is a pure function of its global number and this seed.
    """

    exact: bool = False
    folds: int = 1
    seed: int = 0


Request = ValueGrad | DrawnValueGrad | RowSample | HessVec | Curvature | Squares


@dataclass(frozen=True, slots=True, eq=False)
class Eval:
    """Answer to `ValueGrad` and `DrawnValueGrad`: sums over rows, never means, which is what lets blocks add up.

    Parameters
    ----------
    value : float or (C,) array
        Sum of weighted losses, float64.
    grad : array
        Its gradient; same shape as the request's theta, float64. Anything that adds up and that NumPy takes for an
        array, such as the sparse vectors of blocks with very many columns.
    weight : float or (C,) array
        Sum of the sample weights; of those that each model counts.
    squares : float, (C,) array or None
        Linear models: weighted sum of the squared slopes of the losses in their linear predictors, the variance of the
        score. None for other models.
    """

    value: float | Array
    grad: Array
    weight: float | Array
    squares: float | Array | None = None

    def __add__(self, other: "Eval") -> "Eval":
        squares = None if self.squares is None or other.squares is None else self.squares + other.squares
        return Eval(self.value + other.value, self.grad + other.grad, self.weight + other.weight, squares)


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """Answer to `HessVec`.

    Parameters
    ----------
    product : (size,) float64 array
        Hessian of the summed loss times the vector.
    weight : float
        Sum of the sample weights.
    """

    product: Array
    weight: float

    def __add__(self, other: "Product") -> "Product":
        return Product(self.product + other.product, self.weight + other.weight)


@dataclass(frozen=True, slots=True, eq=False)
class Matrix:
    """Answer to `Curvature`, but for the form "rows".

    Parameters
    ----------
    matrix : float64 array
        The second derivatives asked for, of the summed loss; its shape goes with the form.
    weight : float
        Sum of the sample weights.
    point : Eval or None
        Loss and gradient at the same theta, where the form brings them.
    """

    matrix: Array
    weight: float
    point: Eval | None = None

    def __add__(self, other: "Matrix") -> "Matrix":
        point = None if self.point is None or other.point is None else self.point + other.point
        return Matrix(self.matrix + other.matrix, self.weight + other.weight, point)


@dataclass(frozen=True, slots=True, eq=False)
class SquareSums:
    """Answer to `Squares`, of the rows [1, x - center, y - offset - target], each times the root of its weight; without
    an intercept of the rows [x, y - offset].

    Parameters
    ----------
    matrices : (folds, width + 1, width + 1) float64 array
        Gram matrices, or triangles. What is not finite says that squares overflowed, or underflowed.
    weight : (folds,) float64 array
        Sums of the sample weights.
    center : (p,) array
        The same for all blocks; zeros without an intercept.
    exact : bool
        Whether these are triangles.
    target : float
        The same for all blocks; 0 without an intercept.
    """

    matrices: Array
    weight: Array
    center: Array
    exact: bool
    target: float = 0.0

    def __add__(self, other: "SquareSums") -> "SquareSums":
        if self.exact:
            both = np.concatenate((self.matrices, other.matrices), axis=1)
            with one_thread():
                matrices = np.array([np.linalg.qr(one, mode="r") for one in both])
        else:
            with np.errstate(over="ignore", invalid="ignore"):
                matrices = self.matrices + other.matrices
        return SquareSums(matrices, self.weight + other.weight, self.center, self.exact, self.target)


@dataclass(frozen=True, slots=True, eq=False)
class RowCurvature:
    """Answer to `Curvature` of the form "rows": weighted second derivatives in the K linear predictors of each row.

    Those of row i are diag(diagonal[i]) - coupling[i] coupling[i]'; rows are in the order of their global numbers.

    Parameters
    ----------
    diagonal : (m, K) float64 array
        Not negative.
    coupling : (m, K) float64 array or None
        None for zeros.
    """

    diagonal: Array
    coupling: Array | None = None

    def __add__(self, other: "RowCurvature") -> "RowCurvature":
        coupling = None
        if self.coupling is not None and other.coupling is not None:
            coupling = np.concatenate((self.coupling, other.coupling))
        return RowCurvature(np.concatenate((self.diagonal, other.diagonal)), coupling)


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """Answer to `RowSample`: rows in the order of their global numbers.

    Parameters
    ----------
    rows : (m,) int64 array
        Global row numbers.
    X : (m, p) array, or scipy.sparse CSR array
        Features, in the precision of the blocks; sparse where the blocks' rows are, or have categories.
    y : (m,) array
        Targets as the model sees them (class indices for a classifier).
    weight : (m,) float64 array
        Sample weights.
    offset : (m,) float64 array or None
        Offsets, where the rows have them.
    shift : (p,) array or None
        What is still to be subtracted from every row of X, so that sparse rows stay sparse when they are centred.
    """

    rows: Array
    X: Any
    y: Array
    weight: Array
    offset: Array | None = None
    shift: Array | None = None

    def __add__(self, other: "Sample") -> "Sample":
        return Sample(
            np.concatenate((self.rows, other.rows)),
            _stacked(self.X, other.X),
            np.concatenate((self.y, other.y)),
            np.concatenate((self.weight, other.weight)),
            None if self.offset is None or other.offset is None else np.concatenate((self.offset, other.offset)),
            self.shift,
        )


def _stacked(upper: Any, lower: Any) -> Any:
    if not hasattr(upper, "tocsr"):
        return np.concatenate((upper, lower))
    from scipy.sparse import vstack

    return vstack((upper, lower), format="csr")


# --- data -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Category:
    """A categorical column of one block.

    Parameters
    ----------
    codes : (n,) int32 array
        Index of each row's level.
    levels : (k,) array of int64 or str
        Distinct levels of this block, sorted.
    """

    codes: Array
    levels: Array


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of one block, as a source reads them.

    Parameters
    ----------
    X : (n, p) dense array (float32, float64, uint8, int8) or scipy.sparse CSR array
        Features as stored.
    y : (n,) array or None
        Targets.
    weight : (n,) array or None
        Sample weights; None is 1 for every row.
    scale : float
        The value of a feature is `X * scale`: bytes stay bytes (images are pixel bytes times 1/255).
    offset : (n,) array or None
        Added to every linear predictor, such as the logarithm of an exposure; None is 0 for every row.
    categories : tuple of Category
        Categorical columns, which stand behind those of X; for dense X without a scale.
    names : tuple of str
        Names of the columns of X and of the categorical ones; empty where they have none.
    """

    X: Any
    y: Array | None = None
    weight: Array | None = None
    scale: float = 1.0
    offset: Array | None = None
    categories: tuple[Category, ...] = ()
    names: tuple[str, ...] = ()


class Size(NamedTuple):
    """What the rows of a source take in memory.

    Parameters
    ----------
    rows : int
        How many there are.
    nbytes : int
        Bytes of the rows once they are read.
    reading : int
        Bytes taken besides while they are read.
    shared : int
        Bytes taken besides, once, while any source of these files is read.
    held : bool
        The source holds the rows itself: to keep them costs nothing more.
    """

    rows: int
    nbytes: int
    reading: int = 0
    shared: int = 0
    held: bool = False


class Source(Protocol):
    """Names where a block's rows come from: a recipe, cheap to send, read on the worker.

    `str(source)` says in words which rows these are: it is what error messages show. `read` gives the same rows each
    time; it is called on each pass where the rows do not fit into memory, from several threads for several sources.
    A source that knows its `Size` before it is read may have it as an attribute `size`. Sources that share something
    while they are read, such as a decoded file, may have a method `release()`: a worker calls it when it has read
    all of its blocks. One that reads from a cluster's object store may have an attribute `stored`, a list of references
    and the bytes read of each: it is then read near them, if possible.
    """

    def read(self) -> Rows: ...


# --- models: what is computed on one block --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Parameters:
    """What the driver must know of theta.

    Parameters
    ----------
    size : int
        Length of theta.
    penalized : (size,) bool array
        Which coordinates a penalty touches when the caller names none; intercepts are False.
    dtype : str
        Precision in which blocks compute, "float32" or "float64": solvers take it for the noise of loss and
        gradient.
    predictors : (K, width) int array, optional
        Linear models: the coordinates of theta that make each of the K linear predictors, all of the same columns in
        the same order. None for other models.
    quadratic : bool
        Whether the loss is a quadratic function of theta.
    straight_from : float
        The loss of a row, above its least, at which a straight stretch without curvature begins, as in the tails of
        Huber's; 0 where there is none.
    kinked : bool
        Whether second derivatives of a row's loss jump, so that they tell nothing of what lies beyond the jump.
    least : float
        What the mean loss cannot fall below; -infinity where that is not known.
    null : float
        How far the mean loss of the null model, whose predictions are all alike, stands above `least`: half its mean
        deviance, the measure of what is small. Infinite where that is not known.
    about : str
        The model in words: a checkpoint of another one is refused.
    """

    size: int
    penalized: Array
    dtype: str = "float64"
    predictors: Array | None = None
    quadratic: bool = False
    straight_from: float = 0.0
    kinked: bool = False
    least: float = -np.inf
    null: float = np.inf
    about: str = ""


class Block(Protocol):
    """The rows of one worker's share with the model's formulas: a pure function of (rows, schema, request)."""

    answers: frozenset[type]
    parameters: Parameters

    def evaluate(self, request: Any) -> Any:
        """Answer a request with sums over this block's rows."""
        ...

    def loss(self, theta: Array) -> float:
        """Sum of weighted losses over this block's rows at `theta`."""
        return self.evaluate(ValueGrad(theta)).value

    def grad(self, theta: Array) -> Array:
        """Gradient of `loss` at `theta`, same shape as `theta`."""
        return self.evaluate(ValueGrad(theta)).grad


class Model(Protocol):
    """A recipe for blocks, sent to the workers: describes rows, and builds the block that answers for them."""

    def describe(self, rows: Rows, source: str) -> Description:
        """What must be known of these rows before any block is built; descriptions of blocks add up."""
        ...

    def build(self, rows: Rows, schema: Schema, first_row: int) -> Block:
        """The block of `rows`, whose first row has the global number `first_row`.

        Categorical columns have become columns of X by then: `rows.categories` is empty, unless the model has an
        attribute `takes_categories` that is true.
        """
        ...


# --- engines: where the blocks live ---------------------------------------------------------------------------


class Blocks(Protocol):
    """Placed blocks."""

    schema: Schema
    parameters: Parameters
    answers: frozenset[type]

    def sum(self, request: Any) -> Any:
        """Send the request to every block once; the answers added in the fixed tree order."""
        ...

    def close(self) -> None:
        """Let go of the blocks. May be called twice."""
        ...


class Engine(Protocol):
    """Places blocks on workers. Belongs to whoever made it: the library closes only what it opened."""

    def place(self, model: Model, sources: Sequence[Source]) -> Blocks:
        """Read, describe and build one block per source, on the workers."""
        ...

    def map(self, task: Callable[[int, Source], R], sources: Sequence[Source]) -> Iterator[R]:
        """What `task(number, source)` makes of each source, on the workers, in their order; nothing is kept."""
        ...

    def close(self) -> None:
        """Let go of the workers. May be called twice."""
        ...


# --- solvers: how theta moves ---------------------------------------------------------------------------------


class Point(NamedTuple):
    """Objective and gradient as a solver sees them: weighted mean loss plus penalty."""

    value: float
    grad: Array


class Curves(NamedTuple):
    """Second derivatives of the objective as a solver sees them.

    Parameters
    ----------
    matrix : array
        "gram" and "diagonal": of the objective, penalty included. "meat": the sum over rows as the blocks give it.
    point : Point or None
        Objective and gradient at the same theta, where the form brings them.
    squares : float
        Weighted mean of the squared slopes of the rows' losses, where the form brings it; else 0.
    """

    matrix: Array
    point: Point | None = None
    squares: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Facts:
    """What solvers may know of a problem before the first pass: shapes, kinds, and what the set-up read tells.

    Parameters
    ----------
    rows : int
        Rows of all blocks.
    parameters : Parameters
        Of the model.
    l2 : (size,) float64 array
        Strength of the penalty.
    answers : frozenset of type
        Requests that the objective answers.
    dense_columns : int or None
        Values that a pass reads of each row; None for as many as a linear predictor has parameters.
    looked_up : float
        Values of a row, on average, that it finds through an index.
    squares : (p,) float64 array or None
        Linear models: weighted mean square, over all rows, of each column that the solver's coefficients multiply.
    constant : (p,) bool array or None
        Linear models: columns of which centring has left nothing but rounding.
    least : float
        What F cannot fall below: that of `parameters`, where all rows count.
    """

    rows: int
    parameters: Parameters
    l2: Array
    answers: frozenset[type]
    dense_columns: int | None = None
    looked_up: float = 0.0
    squares: Array | None = None
    constant: Array | None = None
    least: float = -np.inf


class State(Protocol):
    """What a solver carries from one accepted iterate to the next: arrays and scalars only."""

    @property
    def theta(self) -> Array: ...
    @property
    def value(self) -> float: ...
    @property
    def grad(self) -> Array: ...
    @property
    def iteration(self) -> int: ...  # accepted iterates after the starting point
    @property
    def first_norm(self) -> float: ...  # gradient norm at the starting point
    @property
    def failure(self) -> str: ...  # "" or the name of the Status that ends the run


S = TypeVar("S")
S_co = TypeVar("S_co", covariant=True)
Steps = Generator[Any, Any, S_co]


class Solver(Protocol[S]):
    """A method that yields requests and is sent their answers; it knows neither data nor workers.

    A solver may have a method `for_problem(facts)` that returns the solver to use, once the `Facts` are known: with
    options filled in, and with whatever it keeps during a run.
    """

    requests: frozenset[type]

    def init(self, theta: Array) -> Steps[S]:
        """State at the starting point."""
        ...

    def step(self, state: S) -> Steps[S]:
        """One accepted iteration."""
        ...

    def optimality(self, state: S) -> float:
        """Estimated relative distance to the optimum; the run ends when it is at most `tol`."""
        ...


class ChangeOfVariables(Protocol):
    """A linear map between the solver's theta and the blocks' theta, applied on the driver."""

    def to_blocks(self, theta: Array) -> Array:
        """The blocks' theta for the solver's."""
        ...

    def to_solver(self, theta: Array) -> Array:
        """The inverse of `to_blocks`."""
        ...

    def pull_back(self, grad: Array) -> Array:
        """Gradient in the solver's variables from the gradient in the blocks' (the transposed map)."""
        ...

    def columns(self, X: Any) -> tuple[Any, Array | None]:
        """The columns that the solver's coefficients multiply, from those that the blocks' coefficients do; for sparse
        X without what is to be subtracted from each row, which comes second.
        """
        ...
