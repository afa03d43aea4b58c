"""Roots of symmetric matrices: what a vector is multiplied by so that the matrix is solved."""

import logging
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..kernels.triangles import add_squared
from ..machine.blas import one_thread

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

# Rows of the diagonal blocks of a triangular matrix that is inverted, and entries of one that is worth being compiled
# for: smaller ones stay in the caches.
_BLOCK, _WORTH_COMPILING = 64, 2**16


class Root(NamedTuple):
    """The inverse of a matrix, by that of its Cholesky factor: products with it take less time than to solve.

    Parameters
    ----------
    scale : (width,) array
        What the rows of the factor are multiplied by, so that none of their entries is more than 1.
    inverse : (width, width) array
        Of the factor with such rows, in the precision that products are wanted in.
    """

    scale: Array
    inverse: Array

    @classmethod
    def of(cls, matrix: Array, penalty: Array, ridge: float, dtype: Any) -> "Root":
        """Of `damped_cholesky`'s matrix."""
        factor = damped_cholesky(matrix, penalty, ridge)
        scale = 1.0 / np.abs(factor).max(axis=1)
        factor *= scale[:, None]
        return cls(scale, _inverted(factor.astype(dtype)))

    def solved(self, vectors: Array) -> Array:
        """The inverse matrix times each row of `vectors`."""
        scaled = (self.scale * vectors).astype(self.inverse.dtype, order="C")
        total = np.zeros_like(scaled)
        add = add_squared if self.inverse.size >= _WORTH_COMPILING else _added_squared
        add(self.inverse, scaled, total)
        return self.scale * total


def _added_squared(root: Array, vectors: Array, total: Array) -> None:
    """As `add_squared`."""
    with one_thread():
        total += (vectors @ root.T) @ root


def _inverted(factor: Array) -> Array:
    """The inverse of a lower triangular matrix, by those of its diagonal blocks: all else are products, which threads
    make side by side.
    """
    n = len(factor)
    if n <= _BLOCK:
        from scipy.linalg.lapack import dtrtri, strtri

        inverse, _ = (strtri if factor.dtype == np.float32 else dtrtri)(factor, lower=1)
        return np.ascontiguousarray(inverse)
    half = (n // 2 + _BLOCK - 1) // _BLOCK * _BLOCK
    upper, lower = _inverted(factor[:half, :half]), _inverted(factor[half:, half:])
    inverse = np.zeros_like(factor)
    inverse[:half, :half], inverse[half:, half:] = upper, lower
    inverse[half:, :half] = -(lower @ (factor[half:, :half] @ upper))
    return inverse


def damped_cholesky(matrix: Array, penalty: Array, ridge: float) -> Array:
    """Lower Cholesky factor of the symmetric matrix + diag(penalty), with the least ridge that makes it positive
    definite.
    """
    diagonal = matrix.diagonal() + penalty
    if not np.isfinite(matrix).all():  # products overflowed: scales are all that is known
        roots = np.sqrt(np.nan_to_num(diagonal, nan=np.inf, posinf=np.inf) + 1e-300)
        return np.diag(np.minimum(roots, 1e300))  # where the scale overflowed too, nothing moves
    # A column without curvature has no gradient either, beyond the penalty's.
    diagonal = np.where(diagonal > 0, diagonal, 1.0)
    while True:  # it ends: once the ridge is the size of the matrix, the diagonal dominates
        damped = matrix.copy()
        np.fill_diagonal(damped, diagonal * (1.0 + ridge))
        try:
            factor: Array = np.linalg.cholesky(damped)  # SciPy's would hold up all other threads
        except np.linalg.LinAlgError:
            ridge *= 100.0
            logger.debug("the sampled Hessian is not positive definite: ridge raised to %g", ridge)
        else:
            return factor
