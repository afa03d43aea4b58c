"""The workloads: arrays, and the work that one pass over them cannot do without."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse


@dataclass
class Workload:
    """Rows, targets and a point; `models` points are stacked in theta when there are several."""

    name: str
    loss: str
    X: Any
    y: np.ndarray
    theta: np.ndarray
    outputs: int = 1
    scale: float = 1.0

    def limit(self, rates):
        """Seconds that the slowest of the limits allows, and its name."""
        n, p = self.X.shape
        models = len(np.atleast_2d(self.theta))
        double = self.X.dtype == np.float64
        if scipy.sparse.issparse(self.X):
            size = self.X.data.nbytes + self.X.indices.nbytes
            needs = {"gather_scatter_per_s": self.X.nnz * self.outputs}
        else:
            size = self.X.nbytes
            flops = "float64_flops_per_s" if double else "float32_flops_per_s"
            needs = {flops: 4.0 * n * p * self.outputs * models}
        needs |= {"bytes_per_s": size, "exp_per_s": n * self.outputs * models}
        return max((amount / rates[name], name) for name, amount in needs.items())


def _dense(name, loss, n, p, outputs, dtype, models=1):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 256, (n, p), dtype=np.uint8) if dtype == "uint8" else rng.random((n, p), dtype=np.float32)
    y = rng.integers(0, max(outputs, 2), n).astype(np.float64)
    theta = rng.normal(size=(models, outputs * (p + 1))) * 0.01
    scale = 1 / 255 if dtype == "uint8" else 1.0
    return Workload(name, loss, X.astype(dtype), y, theta if models > 1 else theta[0], outputs, scale)


def _sparse(name, n, p, per_row):
    rng = np.random.default_rng(0)
    columns = (rng.zipf(1.3, n * per_row) - 1) % p
    rows = np.repeat(np.arange(n, dtype=np.int32), per_row)
    X = scipy.sparse.coo_array((np.ones(n * per_row, np.float32), (rows, columns.astype(np.int32))), (n, p)).tocsr()
    X.sum_duplicates()
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)
    y = rng.integers(0, 2, n).astype(np.float64)
    return Workload(name, "logistic", X, y, rng.normal(size=p + 1) * 0.01)


WORKLOADS = {
    "mnist-float32": lambda f: _dense("mnist-float32", "softmax", int(60_000 * f), 784, 10, "float32"),
    "mnist-uint8": lambda f: _dense("mnist-uint8", "softmax", int(60_000 * f), 784, 10, "uint8"),
    "binary-float32": lambda f: _dense("binary-float32", "logistic", int(2_000_000 * f), 28, 1, "float32"),
    "covertype-float64": lambda f: _dense("covertype-float64", "softmax", int(500_000 * f), 54, 7, "float64"),
    "csr": lambda f: _sparse("csr", int(1_000_000 * f), 200_000, 50),
    "50-models": lambda f: _dense("50-models", "logistic", int(200_000 * f), 100, 1, "float32", models=50),
}
