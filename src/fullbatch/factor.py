"""Least squares from sums over rows: the triangular factor of the data, by Gram matrices or by QR decompositions.

A Gram matrix is quick and squares the condition number; QR decompositions of blocks keep it. Both add up: QR
decompositions by decomposing two stacked triangles.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from .blas import one_thread
from .protocols import SquareSums

Array = npt.NDArray[Any]

# A centred column of less than this share of its mean is the rounding of a constant one.
_CONSTANT = 1e-13


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """The weighted sum of halved squares of some rows as a function of theta: (|R theta - z|^2 + rest) / 2.

    Parameters
    ----------
    R : (m, size) array
    z : (m,) array
    rest : float
        Not negative.
    weight : float
        Sum of the rows' sample weights.
    condition : float
        Condition number of R before rounding, with columns scaled to length 1 and centred where there is an intercept;
        infinite where it is not known to be small, and 0 where R came without squaring it.
    """

    R: Array
    z: Array
    rest: float
    weight: float
    condition: float

    def loss(self, theta: Array) -> float:
        """Weighted sum of halved squares at theta."""
        with one_thread():
            residual = self.R @ theta - self.z
            return 0.5 * (float(residual @ residual) + self.rest)

    def __add__(self, other: "Factor") -> "Factor":
        R, z = np.vstack((self.R, other.R)), np.concatenate((self.z, other.z))
        condition = max(self.condition, other.condition)
        return Factor(R, z, self.rest + other.rest, self.weight + other.weight, condition)


def factors(sums: SquareSums) -> list[Factor]:
    """One factor for each fold, in the blocks' theta: coefficients, then the intercept where there is one."""
    found = []
    for matrix, weight in zip(sums.matrices, sums.weight, strict=True):
        features = len(sums.center)
        length = (lengths(matrix) if sums.exact else np.sqrt(matrix.diagonal()))[:features]
        constant = np.flatnonzero(length <= _CONSTANT * np.sqrt(weight) * np.abs(sums.center))
        matrix = matrix.copy()
        matrix[:, constant] = 0.0
        if not sums.exact:
            matrix[constant] = 0.0
        triangle, condition = (matrix, 0.0) if sums.exact else _root(matrix)
        R = triangle[:, :-1].copy()
        R[:, :features] += R[:, features:] * sums.center if R.shape[1] > features else 0.0
        found.append(Factor(R[:-1], triangle[:-1, -1].copy(), float(triangle[-1, -1]) ** 2, float(weight), condition))
        if R[-1].any():  # a root that is not triangular
            found[-1] = Factor(R, triangle[:, -1].copy(), 0.0, float(weight), condition)
    return found


def lengths(matrix: Array) -> Array:
    """Euclidean norms of the columns, also where squares overflow."""
    largest = np.abs(matrix).max(axis=0, initial=0.0)
    scale = np.where(largest > 0, largest, 1.0)
    return scale * np.sqrt(((matrix / scale) ** 2).sum(axis=0))


def triangle_of(rows: Array) -> Array:
    """R of the QR decomposition of `rows`, (columns, columns), also where there are fewer rows."""
    columns = rows.shape[1]
    with one_thread():
        R: Array = np.linalg.qr(rows, mode="r")  # type: ignore[assignment]
    return np.vstack((R, np.zeros((columns - len(R), columns)))) if len(R) < columns else R


def _root(gram: Array) -> tuple[Array, float]:
    """A matrix whose Gram matrix is `gram`, and the condition number of all its columns but the last."""
    if not np.isfinite(gram).all():  # squares overflowed: QR decompositions take none
        return np.full_like(gram, np.nan), np.inf
    scale = np.sqrt(gram.diagonal())
    scale = np.where(scale > 0, scale, 1.0)
    scaled = gram / scale / scale[:, None]
    with one_thread():
        eigenvalues = np.linalg.eigvalsh(scaled[:-1, :-1])
        condition = np.sqrt(eigenvalues[-1] / eigenvalues[0]) if eigenvalues[0] > 0 else np.inf
        try:
            return np.linalg.cholesky(scaled).T * scale, float(condition)
        except np.linalg.LinAlgError:
            values, vectors = np.linalg.eigh(scaled)
            return (np.sqrt(np.maximum(values, 0.0)) * vectors).T * scale, float(condition)
