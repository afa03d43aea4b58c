"""Least squares from sums over rows: the triangular factor of the data, by Gram matrices or by QR decompositions.

A Gram matrix is quick and squares the condition number; QR decompositions of blocks keep it. Both add up: QR
decompositions by decomposing two stacked triangles.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..machine.eigen import eigh
from ..protocols.answers import SquareSums
from ..protocols.seams import ChangeOfVariables

Array = npt.NDArray[Any]

EPS = float(np.finfo(np.float64).eps)

# A column whose spread is less than this share of its own size is a constant one with some rounding.
CONSTANT = 1e-13


@dataclass(frozen=True, slots=True, eq=False)
class Factor:
    """The weighted sum of halved squares of some rows as a function of theta: (|R v - z|^2 + rest) / 2.

    v is theta measured so that nothing large is squared: v = theta - shift, and with an intercept, whose coordinate is
    the last one, v[-1] = theta[-1] + center'theta - shift[-1], which is what is predicted where every column has its
    mean, less the mean of the targets.

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
    own : (size,) array
        Length of each column before it was centred: what its rounding is relative to.
    center, shift : (size,) arrays
        The same for all factors that are added up.
    intercept : bool
        Whether the last coordinate is an intercept, and the columns of the others are centred.
    """

    R: Array
    z: Array
    rest: float
    weight: float
    condition: float
    own: Array
    center: Array
    shift: Array
    intercept: bool

    def centred(self, theta: Array) -> Array:
        """The v of that theta."""
        v = theta - self.shift
        if self.intercept:
            with one_thread():
                v[-1] += self.center @ theta
        return v

    def theta_of(self, v: Array) -> Array:
        """The theta of that v."""
        theta = v + self.shift
        if self.intercept:
            with one_thread():
                theta[-1] = v[-1] - self.center @ theta + self.shift[-1]
        return theta

    def loss(self, theta: Array) -> float:
        """Weighted sum of halved squares at theta."""
        residual = self._residual(theta)
        with one_thread():
            return 0.5 * (float(residual @ residual) + self.rest)

    def slope(self, theta: Array) -> Array:
        """Gradient of `loss`."""
        residual = self._residual(theta)
        with one_thread():
            slope = self.R.T @ residual
        return slope + self.center * slope[-1]

    def hessian(self) -> Array:
        """Second derivatives of `loss`, (size, size)."""
        with one_thread():
            R = self.R + np.outer(self.R[:, -1], self.center) if self.intercept else self.R
            return np.asarray(R.T @ R)

    def doubt(self, theta: Array, loss: float) -> float:
        """Relative error of a loss at theta that squaring may have caused: rounding is relative to what cancels."""
        parts = np.concatenate((self.z, lengths(self.R) * self.centred(theta)))
        cancelling = float((parts * parts).sum()) + self.rest
        if self.condition == 0 or cancelling == 0:
            return 0.0
        return 0.5 * EPS * cancelling / loss if cancelling < np.inf and loss > 0 else np.inf

    def under(self, variables: ChangeOfVariables) -> "Factor":
        """The same sum as a function of the theta that `variables` maps to the blocks'."""
        size = len(self.own)
        to_v = np.array([variables.to_blocks(unit) for unit in np.eye(size)]).T
        if self.intercept:
            with one_thread():
                to_v[-1] += self.center @ to_v  # cancels where `variables` centre by the same means
        scale, coefs = to_v.diagonal().copy(), size - self.intercept
        each_alone = np.count_nonzero(to_v[:coefs]) == np.count_nonzero(scale[:coefs])
        if each_alone and (not self.intercept or scale[-1] == 1.0):  # scaled columns, and centred ones
            center = np.append(to_v[-1, :-1], 0.0) if self.intercept else self.center
            return replace(self, R=self.R * scale, own=self.own * np.abs(scale), center=center)
        shift = variables.to_solver(self.theta_of(np.zeros(size)))
        with one_thread():
            R, own = self.R @ to_v, np.abs(to_v).T @ self.own
        return replace(self, R=R, own=own, center=np.zeros(size), shift=shift, intercept=False)

    def __add__(self, other: "Factor") -> "Factor":
        return replace(
            self,
            R=np.vstack((self.R, other.R)),
            z=np.concatenate((self.z, other.z)),
            rest=self.rest + other.rest,
            weight=self.weight + other.weight,
            condition=max(self.condition, other.condition),
            own=np.hypot(self.own, other.own),
        )

    def _residual(self, theta: Array) -> Array:
        v = self.centred(theta)
        with one_thread():
            return np.asarray(self.R @ v - self.z)


def factors(sums: SquareSums) -> list[Factor]:
    """One factor for each fold, in the blocks' theta: coefficients, then the intercept where there is one."""
    found = []
    with np.errstate(over="ignore", invalid="ignore"):
        for matrix, weight in zip(sums.matrices, sums.weight, strict=True):
            intercept = matrix.shape[0] > len(sums.center) + 1
            triangle, condition = (matrix, 0.0) if sums.exact else _root(matrix, sums.center, intercept)
            R, z, last = triangle[:-1, :-1], triangle[:-1, -1].copy(), float(triangle[-1, -1])
            center, shift = sums.center, np.zeros(len(R))
            if intercept:  # moves from the front of the columns to the end of theta
                R = np.column_stack((R[:, 1:], R[:, 0]))
                center = np.append(center, 0.0)
                shift[-1] = sums.target
            own = lengths(R + R[:, -1:] * center) if intercept else lengths(R)
            found.append(Factor(R, z, last * last, float(weight), condition, own, center, shift, intercept))
    return found


def lengths(matrix: Array) -> Array:
    """Euclidean norms of the columns, also where squares overflow."""
    largest = np.abs(matrix).max(axis=0, initial=0.0)
    scale = np.where(largest > 0, largest, 1.0)
    return np.asarray(scale * np.sqrt(((matrix / scale) ** 2).sum(axis=0)))


def triangle_of(rows: Array) -> Array:
    """R of the QR decomposition of `rows`, (columns, columns), also where there are fewer rows."""
    columns = rows.shape[1]
    with one_thread():
        R: Array = np.linalg.qr(rows, mode="r")  # type: ignore[assignment]
    return np.vstack((R, np.zeros((columns - len(R), columns)))) if len(R) < columns else R


def _root(gram: Array, center: Array, intercept: bool) -> tuple[Array, float]:
    """The triangle of rows [1, x - center, y] whose Gram matrix that is, and the condition number of the columns x."""
    if not np.isfinite(gram).all():  # squares overflowed or underflowed: QR decompositions take none
        return np.full_like(gram, np.nan), np.inf
    triangle = np.zeros_like(gram)
    first = int(intercept)
    inner, before = gram[first:, first:], gram.diagonal()[first:]
    if intercept and gram[0, 0] > 0:
        triangle[0] = gram[0] / np.sqrt(gram[0, 0])
        inner = inner - np.outer(triangle[0, 1:], triangle[0, 1:])
        after = np.maximum(inner.diagonal(), 0.0)
        # Without this, a constant column would be scaled up to a column of rounding.
        own = np.hypot(np.sqrt(after[:-1]), triangle[0, 1:-1] + center * triangle[0, 0])
        none = np.append(np.sqrt(after[:-1]) <= CONSTANT * own, after[-1] <= EPS * before[-1])
        inner[none], inner[:, none] = 0.0, 0.0
    size = inner.diagonal()
    there = size > 0
    scale = 2.0 ** np.round(0.5 * np.log2(size[there]))  # about the columns' lengths, and divided by without rounding
    scaled = inner[np.ix_(there, there)] / scale / scale[:, None]
    columns = int(there[:-1].sum())
    condition = 1.0
    with one_thread():
        if columns:
            eigenvalues = np.linalg.eigvalsh(scaled[:columns, :columns])
            condition = np.sqrt(eigenvalues[-1] / eigenvalues[0]) if eigenvalues[0] > 0 else np.inf
            # What the ones took away of a column took its digits.
            condition *= np.sqrt((before[there] / size[there])[:columns].max())
        try:
            root = np.linalg.cholesky(scaled).T
        except np.linalg.LinAlgError:
            values, vectors = eigh(scaled)
            root = triangle_of((np.sqrt(np.maximum(values, 0.0)) * vectors).T)
    places = first + np.flatnonzero(there)
    triangle[np.ix_(places, places)] = root * scale
    return triangle, float(condition)
