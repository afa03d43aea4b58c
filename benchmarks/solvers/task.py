"""One objective as files that every environment opens: needs NumPy and SciPy alone."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

CHUNK = 8192


@dataclass(frozen=True)
class Task:
    """Mean loss + l2/2 ||coef||^2 with a free intercept; theta is coef (K, p), row by row, then K intercepts."""

    name: str
    title: str
    loss: str  # logistic, softmax, poisson, squared
    l2: float
    X: Any  # dense, or scipy.sparse CSR
    y: np.ndarray
    optimum: float | None = None  # known to full precision from elsewhere

    @property
    def outputs(self) -> int:
        return int(self.y.max()) + 1 if self.loss == "softmax" else 1

    def split(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Coefficients (outputs, columns) and intercepts (outputs,)."""
        coefs = self.outputs * self.X.shape[1]
        return theta[:coefs].reshape(self.outputs, -1), theta[coefs:]

    def value(self, theta: np.ndarray) -> float:
        """F in plain float64 NumPy: everybody's thetas are judged by it."""
        coef, intercept = self.split(np.asarray(theta, np.float64))
        total = 0.0
        for start in range(0, len(self.y), CHUNK):
            rows = slice(start, start + CHUNK)
            X, y = self.X[rows], self.y[rows]
            eta = (X if hasattr(X, "tocsr") else X.astype(np.float64)) @ coef.T + intercept
            total += _losses(self.loss, y, eta)
        return total / len(self.y) + 0.5 * self.l2 * float((coef**2).sum())


def _losses(loss: str, y: np.ndarray, eta: np.ndarray) -> float:
    if loss == "softmax":
        top = eta.max(axis=1)
        return float(np.sum(np.log(np.exp(eta - top[:, None]).sum(axis=1)) + top - eta[np.arange(len(y)), y]))
    eta = eta[:, 0]
    with np.errstate(over="ignore"):
        if loss == "logistic":
            return float(np.sum(np.logaddexp(0.0, eta) - y * eta))
        if loss == "poisson":
            return float(np.sum(np.exp(eta) - y * eta))
    if loss == "squared":
        return float(0.5 * np.sum((eta - y) ** 2))
    raise ValueError(f"no formula for the loss {loss!r}")


def save(task: Task, folder: Path) -> None:
    """Write a task's arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    sparse = hasattr(task.X, "tocsr")
    names = ("data", "indices", "indptr") if sparse else ("X",)
    for name in names:
        np.save(folder / f"{name}.npy", getattr(task.X, name) if sparse else task.X)
    np.save(folder / "y.npy", task.y)
    about = {key: getattr(task, key) for key in ("name", "title", "loss", "l2", "optimum")}
    (folder / "task.json").write_text(json.dumps({**about, "shape": task.X.shape if sparse else None}))


def load(folder: Path) -> Task:
    """Open a task's files, mapped into memory."""
    about = json.loads((folder / "task.json").read_text())
    shape = about.pop("shape")
    if shape is None:
        X = np.load(folder / "X.npy", mmap_mode="r")
    else:
        from scipy.sparse import csr_array

        parts = tuple(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("data", "indices", "indptr"))
        X = csr_array(parts, shape=tuple(shape), copy=False)
    return Task(**about, X=X, y=np.load(folder / "y.npy"))
