"""What the blocks answer, sums over rows that add up; and what a solver is told of them."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from ..machine.blas import one_thread
from .rows import Array, stacked
from .schema import Moments


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
class Nulls:
    """Answer to `DrawnNull`.

    Parameters
    ----------
    sums : tuple of C objects
        Of each draw: they add up, and their `null()` has the `least` mean loss that any predictions have, and by how
        much that of the null model, its `deviance`, is above.
    """

    sums: tuple[Any, ...]

    def __add__(self, other: "Nulls") -> "Nulls":
        return Nulls(tuple(mine + others for mine, others in zip(self.sums, other.sums, strict=True)))


@dataclass(frozen=True, slots=True, eq=False)
class Each:
    """Answer to `OfClasses`.

    Parameters
    ----------
    answers : tuple of C answers
        To the request of each class.
    """

    answers: tuple[Any, ...]

    def __add__(self, other: "Each") -> "Each":
        return Each(tuple(mine + others for mine, others in zip(self.answers, other.answers, strict=True)))


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
    """Answer to `Curvature`, but for the form "rows"; and to `DrawnCurvature`.

    Parameters
    ----------
    matrix : float64 array
        The second derivatives asked for, of the summed loss; its shape goes with the form. Of several models
        (matrices, size, size), or of the coordinates of some columns.
    weight : float or (C,) array
        Sum of the sample weights; of those that each model counts.
    point : Eval or None
        Loss and gradient at the same theta, where the form brings them.
    """

    matrix: Array
    weight: float | Array
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

    @property
    def traces(self) -> Array:
        """Their traces, (m,)."""
        own = self.diagonal if self.coupling is None else self.diagonal - np.square(self.coupling)
        return np.maximum(own.sum(axis=1), 0.0)

    def along(self, basis: Array) -> Array:
        """Second derivatives v' H_i v along the columns v of `basis`, (K, J), for every row: (J, m)."""
        along = np.einsum("mk,kj->jm", self.diagonal, basis**2)
        if self.coupling is not None:
            along -= np.einsum("mk,kj->jm", self.coupling, basis) ** 2
        return np.maximum(along, 0.0)  # it is not negative, but for rounding

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
    parts : sequence of (m_i, p) arrays, or of scipy.sparse CSR arrays
        Features, one part below the other, in the precision of the blocks; sparse where the blocks' rows are, or have
        categories. They are put together once, by whoever needs all of them.
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
    parts: tuple[Any, ...]
    y: Array
    weight: Array
    offset: Array | None = None
    shift: Array | None = None

    @property
    def X(self) -> Any:
        """(m, p) features of all rows."""
        return stacked(self.parts)

    def __add__(self, other: "Sample") -> "Sample":
        return Sample(
            np.concatenate((self.rows, other.rows)),
            self.parts + other.parts,
            np.concatenate((self.y, other.y)),
            np.concatenate((self.weight, other.weight)),
            None if self.offset is None or other.offset is None else np.concatenate((self.offset, other.offset)),
            self.shift,
        )


@dataclass(frozen=True, slots=True, eq=False)
class SampleSums:
    """Answer to `SampleGrams`.

    Parameters
    ----------
    matrices : (J, width, width) float64 array
        In the parameters of one linear predictor each, of the columns less `center`.
    sums : (J,) float64 array
        Sums over all rows of the sample of the second derivatives, whatever was left out of the matrices.
    moments : Moments
        Of the columns, in the same rows.
    center : (p,) array
        The same for all blocks; zeros without an intercept.
    """

    matrices: Array
    sums: Array
    moments: Moments
    center: Array

    def __add__(self, other: "SampleSums") -> "SampleSums":
        matrices, sums = self.matrices + other.matrices, self.sums + other.sums
        return SampleSums(matrices, sums, self.moments + other.moments, self.center)


# --- as a solver sees them: means over rows, penalty included -------------------------------------------------------


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
