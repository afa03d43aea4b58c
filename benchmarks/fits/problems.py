"""The tasks, made from fixed seeds; rows are an argument."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.special import expit

from ..solvers.problems import mnist as images
from ..sparse.problems import text
from ..sparse.task import Task


def mnist(n: int = 60_000) -> Task:
    """The full MNIST where it is, else the images that ship with fullbatch."""
    given = images(n)
    return Task("mnist", given.title, "softmax", 0.0, given.l2, given.X, given.y)


def wide(n: int = 100_000) -> Task:
    """Many correlated float32 columns."""
    rng = np.random.default_rng(1)
    p = 2000
    X = rng.standard_normal((n, p), np.float32)
    for j in range(1, p):
        X[:, j] = np.float32(0.5) * X[:, j - 1] + np.float32(np.sqrt(0.75)) * X[:, j]
    y = (rng.random(n) < expit(X @ (rng.standard_normal(p) / 30).astype(np.float32))).astype(np.int64)
    return Task("wide", f"dense {n:,} x {p:,}, float32, logistic", "logistic", 0.0, 1 / n, X, y)


def cover(n: int = 500_000) -> Task:
    """Ten numbers of scales from 10 to 2,000, 44 indicators, most of them rare, and seven classes."""
    rng = np.random.default_rng(2)
    numbers = rng.standard_normal((n, 10)) + rng.standard_normal((n, 1))
    first = rng.choice(4, n, p=[0.45, 0.05, 0.44, 0.06])
    share = 1.0 / np.arange(1, 41) ** 1.5
    second = rng.choice(40, n, p=share / share.sum())
    indicators = np.concatenate((np.eye(4)[first], np.eye(40)[second]), axis=1)
    eta = numbers @ (0.5 * rng.standard_normal((10, 7))) + indicators @ rng.standard_normal((44, 7))
    y = (eta + rng.gumbel(size=eta.shape) + np.linspace(2, 0, 7)).argmax(axis=1)
    X = np.concatenate((numbers * np.geomspace(10, 2000, 10) + np.geomspace(2000, 10, 10), indicators), axis=1)
    return Task("cover", f"{n:,} x 54 (10 numbers, 44 indicators), 7 classes", "softmax", 0.0, 1 / n, X, y)


def mixed(loss: str, name: str) -> Callable[[int], Task]:
    """Five numbers and six categorical columns."""

    def make(n: int = 600_000) -> Task:
        rng = np.random.default_rng(3)
        X = rng.standard_normal((n, 5))
        sizes = np.minimum([2, 12, 22, 31, 300, 300], max(n // 50, 2))
        codes = np.column_stack([np.minimum(rng.zipf(1.3, n), size) - 1 for size in sizes]).astype(np.int32)
        eta = 0.2 * X @ rng.standard_normal(5) - 1.5
        for code, size in zip(codes.T, sizes, strict=True):
            eta += 0.3 * rng.standard_normal(size)[code]
        y = rng.poisson(np.exp(eta)).astype(float) if loss == "poisson" else (rng.random(n) < expit(eta)).astype(float)
        return Task(name, f"{n:,} rows of 5 numbers and 6 categories, {loss}", loss, 0.0, 1e-5, X, y, codes)

    return make


def narrow(n: int = 2_000_000) -> Task:
    """Many rows of few columns."""
    rng = np.random.default_rng(4)
    X = rng.standard_normal((n, 28))
    y = (rng.random(n) < expit(X @ (rng.standard_normal(28) / 3))).astype(np.int64)
    return Task("narrow", f"dense {n:,} x 28, logistic", "logistic", 0.0, 1 / n, X, y)


def sparse(n: int = 200_000) -> Task:
    """Rows like those of texts: 70 of many columns, a few of which are common."""
    given = text(n, 47_000)
    return replace(given, name="text", l1=0.0, l2=1 / n)


def ridge(n: int = 2_000_000) -> Task:
    """Many rows of numbers, least squares."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((n, 28))
    y = X @ (rng.standard_normal(28) / 3) + rng.standard_normal(n)
    return Task("ridge", f"dense {n:,} x 28, squared loss", "squared", 0.0, 1e-4, X, y)


TASKS: dict[str, Callable[..., Task]] = {
    "mnist": mnist,
    "wide": wide,
    "cover": cover,
    "narrow": narrow,
    "flights": mixed("logistic", "flights"),
    "claims": mixed("poisson", "claims"),
    "text": sparse,
    "ridge": ridge,
}
_SCIKIT_LEARN = ("sklearn_:lbfgs", "sklearn_:newton-cholesky")
PEERS: dict[str, tuple[str, ...]] = {
    "mnist": ("intelex_:lbfgs", "sklearn_:lbfgs", "torch_"),
    "wide": ("intelex_:lbfgs", *_SCIKIT_LEARN, "liblinear_", "torch_"),
    "cover": ("intelex_:lbfgs", *_SCIKIT_LEARN, "torch_"),
    "narrow": ("intelex_:lbfgs", *_SCIKIT_LEARN, "liblinear_", "glum_", "torch_"),
    "flights": ("glum_", "sklearn_:lbfgs", "liblinear_"),
    "claims": ("glum_", "sklearn_:lbfgs"),
    "text": ("sklearn_:lbfgs", "sklearn_:newton-cg", "liblinear_", "torch_"),
    "ridge": ("sklearn_:ridge", "glum_", "torch_"),
}
FEW = 3_000
