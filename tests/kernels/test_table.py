"""Products of sparse and categorical rows with any number of models, which vectors of several lengths share."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.special import expit

from fullbatch.kernels.losses import Logistic
from fullbatch.models import _compiled

ROWS, COLUMNS, LEVELS = 700, 90, (4, 30, 56)  # more than a tile, and a last one that is not whole
RNG = np.random.default_rng(0)
SPARSE = csr_array(RNG.standard_normal((ROWS, COLUMNS)) * (RNG.random((ROWS, COLUMNS)) < 0.1))
CODES = np.column_stack([RNG.integers(0, levels, ROWS) for levels in LEVELS]).astype(np.int32)
CODES += np.cumsum([0, *LEVELS[:-1]]).astype(np.int32)
LABELS, WEIGHT = (RNG.random(ROWS) < 0.4).astype(float), RNG.uniform(0.5, 2.0, ROWS)


def rows(kind, dtype):
    """The rows as kernels take them, and as a dense matrix."""
    rng = np.random.default_rng(101)
    none = np.zeros(0)
    if kind == "sparse":
        X, codes, dense = SPARSE.astype(dtype), None, SPARSE.astype(dtype).toarray().astype(np.float64)
    else:
        X, codes = rng.standard_normal((ROWS, 2)).astype(dtype), CODES
        dense = np.zeros((ROWS, 2 + sum(LEVELS)))
        dense[:, :2] = X
        dense[np.arange(ROWS)[:, None], 2 + CODES] = 1.0
    return _compiled.rows_of(X, codes, dense.shape[1], none, LABELS, WEIGHT, none, "float64", 1), dense


@pytest.mark.parametrize("models", [1, 2, 3, 4, 6, 7, 8, 11, 15, 16, 25, 32, 33, 64, 71])
@pytest.mark.parametrize(("kind", "dtype"), [("sparse", "float64"), ("sparse", "float32"), ("categories", "float64")])
def test_every_model_has_its_own_loss_and_gradient(kind, dtype, models):
    rng = np.random.default_rng(102)
    stored, dense = rows(kind, dtype)
    W = rng.standard_normal((models, dense.shape[1] + 1))
    value, grad, *_ = _compiled.loss_grad(Logistic(), stored, models, W, (), 0)
    eta = dense @ W[:, :-1].T + W[:, -1]
    np.testing.assert_allclose(value, WEIGHT @ (np.logaddexp(0.0, eta) - LABELS[:, None] * eta), rtol=1e-12)
    slope = WEIGHT[:, None] * (expit(eta) - LABELS[:, None])
    np.testing.assert_allclose(grad, np.column_stack((slope.T @ dense, slope.sum(axis=0))), rtol=1e-10, atol=1e-11)
