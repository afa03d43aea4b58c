"""Eigenvectors of symmetric matrices, also where LAPACK's usual way to them does not end."""

from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def eigh(matrix: Array) -> tuple[Array, Array]:
    """Eigenvalues of a symmetric matrix in growing order, (n,), and its eigenvectors in columns, (n, n)."""
    try:
        values, vectors = np.linalg.eigh(matrix)
    except np.linalg.LinAlgError:
        from scipy.linalg import eigh as lapack_eigh

        # Divide and conquer fails now and then, on matrices that nothing is wrong with; QR steps take longer.
        values, vectors = lapack_eigh(matrix, driver="ev")
    return values, vectors
