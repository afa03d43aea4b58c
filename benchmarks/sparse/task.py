"""One objective as files that every environment opens: needs NumPy and SciPy alone."""

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array, hstack
from scipy.special import logsumexp

CHUNK = 8192
# Of losses, as generalised linear models call them.
FAMILIES = {"logistic": "binomial", "squared": "normal", "poisson": "poisson", "gamma": "gamma"}


@dataclass(frozen=True)
class Task:
    """Mean loss + l1 ||coef||_1 + l2/2 ||coef||^2 with free intercepts; theta is coef, class by class where there are
    several, then the intercepts.

    `codes`, (n, q), are categorical columns: level numbers, of which each column has those of `levels`. Their one-hot
    columns follow those of X. `shares` are those of a path's strengths, each a share of l1 and l2; none for a fit.
    """

    name: str
    title: str
    loss: str  # logistic, squared, poisson, gamma, softmax
    l1: float
    l2: float
    X: Any  # dense, or scipy.sparse CSR
    y: np.ndarray
    codes: np.ndarray | None = None
    shares: tuple[float, ...] = ()

    @cached_property
    def outputs(self) -> int:
        """Linear predictors: one for each class under the softmax loss."""
        return int(self.y.max()) + 1 if self.loss == "softmax" else 1

    @cached_property
    def columns(self) -> Any:
        """All columns: dense, or CSR where rows are sparse or have categories."""
        if self.codes is None:
            return self.X
        return csr_array(hstack([csr_array(self.X), *map(one_hot, self.codes.T)], format="csr"))

    def values(self, theta: np.ndarray) -> np.ndarray:
        """F of a fit, or of each strength of a path, in plain float64 NumPy: everybody's theta is judged by it."""
        theta = np.asarray(theta, np.float64).reshape(max(len(self.shares), 1), -1)
        flat, intercepts = np.split(theta, [-self.outputs], axis=1)
        coef = flat.reshape(intercepts.size, -1).T
        total, share = np.zeros(len(theta)), np.array(self.shares or (1.0,))
        for start in range(0, len(self.y), CHUNK):
            rows = slice(start, start + CHUNK)
            X = self.columns[rows]
            eta = (X if hasattr(X, "tocsr") else np.asarray(X, np.float64)) @ coef + intercepts.ravel()
            total += losses(self.loss, self.y[rows], eta)
        penalties = self.l1 * np.abs(flat).sum(axis=1) + 0.5 * self.l2 * (flat**2).sum(axis=1)
        return total / len(self.y) + share * penalties


def one_hot(codes: np.ndarray) -> csr_array:
    """A column for each level that there is."""
    levels, index = np.unique(codes, return_inverse=True)
    ones = (np.ones(len(codes)), index.astype(np.int32), np.arange(len(codes) + 1, dtype=np.int32))
    return csr_array(ones, shape=(len(codes), len(levels)))


def losses(loss: str, y: np.ndarray, eta: np.ndarray) -> np.ndarray | float:
    """Sum of the rows' losses, for each column of predictors; of softmax's all columns are one model."""
    if loss == "softmax":
        return float(np.sum(logsumexp(eta, axis=1) - eta[np.arange(len(y)), y]))
    y = y[:, None]
    with np.errstate(over="ignore"):
        if loss == "logistic":
            each = np.logaddexp(0.0, eta) - y * eta
        elif loss == "squared":
            each = 0.5 * (eta - y) ** 2
        elif loss == "poisson":  # half the deviance, as glum has it
            each = np.exp(eta) - y * eta + np.where(y > 0, y * np.log(np.where(y > 0, y, 1.0)) - y, 0.0)
        elif loss == "gamma":
            each = y * np.exp(-eta) + eta - np.log(y) - 1.0
        else:
            raise ValueError(f"no formula for the loss {loss!r}")
    return np.sum(each, axis=0)


def strongest(task: Task) -> float:
    """The least L1 strength at which all coefficients are zero."""
    mean = float(np.mean(task.y))
    slope = {"logistic": mean - task.y, "squared": mean - task.y, "poisson": mean - task.y, "gamma": 1 - task.y / mean}
    return float(np.abs(task.columns.T @ slope[task.loss]).max()) / len(task.y)


def save(task: Task, folder: Path) -> None:
    """Write a task's arrays."""
    folder.mkdir(parents=True, exist_ok=True)
    sparse = hasattr(task.X, "tocsr")
    for name in ("data", "indices", "indptr") if sparse else ("X",):
        np.save(folder / f"{name}.npy", getattr(task.X, name) if sparse else task.X)
    np.save(folder / "y.npy", task.y)
    if task.codes is not None:
        np.save(folder / "codes.npy", task.codes)
    about = {key: getattr(task, key) for key in ("name", "title", "loss", "l1", "l2", "shares")}
    (folder / "task.json").write_text(json.dumps({**about, "shape": task.X.shape if sparse else None}))


def load(folder: Path) -> Task:
    """Open a task's files, mapped into memory."""
    about = json.loads((folder / "task.json").read_text())
    shape, about["shares"] = about.pop("shape"), tuple(about["shares"])
    if shape is None:
        X = np.load(folder / "X.npy", mmap_mode="r")
    else:
        parts = tuple(np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("data", "indices", "indptr"))
        X = csr_array(parts, shape=tuple(shape), copy=False)
    codes = np.load(folder / "codes.npy", mmap_mode="r") if (folder / "codes.npy").exists() else None
    return Task(**about, X=X, y=np.load(folder / "y.npy"), codes=codes)
