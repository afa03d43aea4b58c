"""Eigenvectors where LAPACK's usual way to them fails: as it does, rarely, on matrices that nothing is wrong with."""

import numpy as np
import pytest

from fullbatch.machine import eigen


@pytest.mark.parametrize("fails", [False, True])
def test_eigenvectors_with_and_without_divide_and_conquer(monkeypatch, fails):
    root = np.random.default_rng(0).standard_normal((30, 20)) * 10.0 ** np.linspace(-3, 3, 20)
    matrix = root.T @ root
    expected = np.linalg.svd(root)[1][::-1] ** 2

    def no_convergence(matrix):
        raise np.linalg.LinAlgError("Eigenvalues did not converge")

    if fails:
        monkeypatch.setattr(eigen.np.linalg, "eigh", no_convergence)
    values, vectors = eigen.eigh(matrix)
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-15 * expected[-1])
    np.testing.assert_allclose(vectors * values @ vectors.T, matrix, atol=1e-12 * expected[-1])
