"""What a solver may ask of the blocks. Every answer is a sum over rows that adds up: see `answers`."""

from dataclasses import dataclass

from .rows import Array
from .sampling import Draw


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
class SampleGrams:
    """Ask a linear model for Gram matrices of a random share of the rows, under second derivatives of their losses.

    Parameters
    ----------
    theta : (size,) float64 array
        Where.
    basis : (K, J) array, optional
        Directions of the K linear predictors, in columns: a matrix under the second derivatives along each. Default:
        one matrix, under the sum of those along all predictors.
    least : (J,) array, optional
        Rows whose second derivative along a direction is less are left out of its matrix. Default: none.
    fraction, seed : float, int
        As in `RowSample`: of the same rows.
    """

    theta: Array
    basis: Array | None = None
    least: Array | None = None
    fraction: float = 1.0
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
        as wide (`kernels.losses.widened`).
    edge : float
        For "gram" of a loss that a link does not allow every eta: from so far within, it goes on as a parabola, with
        the curvature that the model expects (`kernels.families.within`). 0 for the loss itself.
    columns : (k,) int array, optional
        For "gram" of a linear model: the features, growing, whose coefficients the matrix is of, and the intercepts, in
        the order of a model that has no others; loss and gradient are of all. Default: all of them.
    """

    theta: Array
    form: str
    fraction: float = 1.0
    seed: int = 0
    double: bool = False
    widened: float = 1.0
    edge: float = 0.0
    columns: Array | None = None


@dataclass(frozen=True, slots=True, eq=False)
class DrawnCurvature:
    """Ask for loss and gradient of several models, each of which counts rows in its own way, and the Hessians of some.

    Models that count the rows of one fold only read no others, so that all folds together read every row once.

    Parameters
    ----------
    theta : (C, size) float64 array
        A point for each model.
    draws : tuple of C Draw
        How often each model counts a row.
    matrices : int
        The Hessians of so many models are asked for, of the first ones.
    double : bool
        As in `ValueGrad`.
    widened, columns : float, array
        As in `Curvature`.
    """

    theta: Array
    draws: tuple[Draw, ...]
    matrices: int = 0
    double: bool = False
    widened: float = 1.0
    columns: Array | None = None


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


@dataclass(frozen=True, slots=True, eq=False)
class DrawnNull:
    """Ask, for each of several draws, for what the null model of the rows that it counts must know; of targets that are
    numbers, not classes.

    Parameters
    ----------
    draws : tuple of C Draw
        How often each counts a row.
    """

    draws: tuple[Draw, ...]


OfSample = RowSample | SampleGrams
Request = ValueGrad | DrawnValueGrad | OfSample | HessVec | Curvature | DrawnCurvature | DrawnNull | Squares


@dataclass(frozen=True, slots=True, eq=False)
class OfClasses:
    """Ask what is asked of models of one class against the rest, of several classes by one read of the data.

    Parameters
    ----------
    classes : tuple of C int
        Numbers of the classes, growing.
    requests : tuple of C Request
        Of the model of each of them.
    """

    classes: tuple[int, ...]
    requests: tuple[Request, ...]
