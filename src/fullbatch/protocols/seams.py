"""Where engines, models and solvers meet: what each of them must offer, and who answers what."""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

import numpy as np

from .penalty import Penalty as Penalty
from .requests import ValueGrad
from .rows import Array, Rows, Source
from .schema import Description, Schema

R = TypeVar("R")


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
    convex : bool
        Linear models: whether the loss of a row is a convex function of its predictors. Of others it is not known.
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
    convex: bool = True

    @property
    def least_of_some(self) -> float:
        """What the mean loss of some of the rows cannot fall below: of means of all rows, only 0 is that of each."""
        return 0.0 if self.least == 0.0 else -np.inf


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
        Strength of the smooth part of the penalty.
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
    larger : (p,) float64 array or None
        Linear models: how many times larger columns are as stored than those that the solver's coefficients multiply,
        1 or more. Second derivatives lose its square of their digits when columns are centred.
    penalty : Penalty, optional
        All of it, where there is more than `l2`.
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
    larger: Array | None = None
    penalty: Penalty | None = None

    @property
    def convex(self) -> bool:
        """Whether F is known to be convex."""
        return self.parameters.predictors is not None and self.parameters.convex

    @property
    def intercept(self) -> bool:
        """Whether a linear predictor has a parameter beside those of the columns; True where there are no columns."""
        predictors = self.parameters.predictors
        return predictors is None or self.squares is None or predictors.shape[1] > len(self.squares)

    @property
    def predictors(self) -> Array:
        """Coordinates of theta of each linear predictor, (outputs, width).

        Raises
        ------
        TypeError
            The model is not linear.
        """
        if self.parameters.predictors is None:
            raise TypeError("the model is not linear: it has no linear predictors")
        return self.parameters.predictors

    @property
    def features(self) -> int:
        """Columns that a linear predictor has coefficients for."""
        return self.width if self.squares is None else len(self.squares)

    def coordinates(self, columns: Array) -> Array:
        """Coordinates of theta that are coefficients of some columns, predictor by predictor, and the intercepts."""
        return coordinates_of(self.predictors, self.features, columns)

    def by_coordinate(self, of_columns: Array | None) -> Array:
        """What is known of the columns, for each coordinate of theta: 1 of intercepts, and where nothing is known."""
        found = np.ones(self.parameters.size)
        if of_columns is not None and self.parameters.predictors is not None:
            found[self.predictors[:, : len(of_columns)]] = of_columns
        return found

    def of_columns(self, columns: Array) -> "Facts":
        """Those of the problem in the coefficients of some columns and the intercepts."""
        kept, outputs, features = self.coordinates(columns), self.outputs, len(columns)
        coefs = outputs * features
        predictors = np.arange(coefs).reshape(outputs, features)
        if self.width > self.features:
            predictors = np.column_stack((predictors, np.arange(coefs, len(kept))))
        penalized = self.parameters.penalized[kept]
        parameters = replace(self.parameters, size=len(kept), penalized=penalized, predictors=predictors)
        penalty = None if self.penalty is None else self.penalty.of_coordinates(kept)
        return replace(
            self,
            parameters=parameters,
            l2=self.l2[kept],
            penalty=penalty,
            squares=None if self.squares is None else self.squares[columns],
            constant=None if self.constant is None else self.constant[columns],
            larger=None if self.larger is None else self.larger[columns],
        )

    @property
    def outputs(self) -> int:
        """Linear predictors of a linear model."""
        return len(self.predictors)

    @property
    def width(self) -> int:
        """Parameters of each linear predictor."""
        return int(self.predictors.shape[1])


def with_penalty(facts: Facts) -> Facts:
    """The facts with a `penalty`, of neither L1, norms nor bounds where there is only l2."""
    if facts.penalty is not None:
        return facts
    free = np.full(facts.parameters.size, np.inf)
    return replace(facts, penalty=Penalty(facts.l2, np.zeros(len(free)), -free, free))


def coordinates_of(predictors: Array, features: int, columns: Array) -> Array:
    """Coordinates of theta, in the order of a model that has no others: coefficients of some columns, predictor by
    predictor, then the intercepts where there are any.

    Parameters
    ----------
    predictors : (K, width) int array
        As in `Parameters`.
    features : int
        Columns.
    columns : (k,) int array
        Which of them.
    """
    return np.concatenate((predictors[:, columns].ravel(), predictors[:, features:].ravel()))


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


def drive(steps: Steps[Any], fun: Callable[[Any], Any]) -> Any:
    """Answer a generator's requests until it returns.

    Parameters
    ----------
    steps : generator
        Yields requests, is sent their answers, returns a value.
    fun : callable
        Answers a request, for example an `Objective`.

    Returns
    -------
    What the generator returns.
    """
    try:
        request = next(steps)
        while True:
            request = steps.send(fun(request))
    except StopIteration as done:
        return done.value


def through(each: Callable[[Any], Steps[Any]], steps: Steps[R]) -> Steps[R]:
    """The same steps, of which each request is answered by way of another generator.

    Parameters
    ----------
    each : callable
        Makes a generator of a request: what it returns is the answer.
    steps : generator
        As for `drive`.
    """
    try:
        request = next(steps)
        while True:
            request = steps.send((yield from each(request)))
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]


class Solver(Protocol[S]):
    """A method that yields requests and is sent their answers; it knows neither data nor workers.

    A solver that understands other penalties than l2 says so in `penalties`, a set of "l1", "bounds" and "groups";
    gradients that it is told are those of the smooth part of F, values those of all of F.

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

    def of_columns(self, columns: Array) -> "ChangeOfVariables":
        """The same map of a model that has these columns alone: asked for where F has corners and columns are many."""
        ...

    def columns(self, X: Any) -> tuple[Any, Array | None]:
        """The columns that the solver's coefficients multiply, from those that the blocks' coefficients do; for sparse
        X without what is to be subtracted from each row, which comes second.
        """
        ...
