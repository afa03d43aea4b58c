"""The objectives that solvers are compared on: mean loss + l2/2 ||coef||^2 with a free intercept."""

from collections.abc import Callable

import numpy as np

from ..workloads import MNIST
from .task import Task


def _correlated(rng: np.random.Generator, n: int, p: int) -> np.ndarray:
    """Columns whose correlations fall off like 0.9^|i - j|."""
    X = rng.standard_normal((n, p))
    for j in range(1, p):
        X[:, j] = 0.9 * X[:, j - 1] + np.sqrt(1 - 0.81) * X[:, j]
    return X


def logistic(n: int = 50_000, decades: float = 0.0) -> Task:
    rng = np.random.default_rng(1)
    X = _correlated(rng, n, 150)
    y = (X @ rng.standard_normal(150) * 0.3 + rng.logistic(size=n) > 0).astype(np.int64)
    X = X * 10.0 ** np.linspace(-decades / 2, decades / 2, 150)[rng.permutation(150)]
    spread = f", columns over {decades:g} decades" if decades else ", correlated columns"
    name = "logistic-decades" if decades else "logistic"
    return Task(name, f"logistic {n:,} x 150{spread}", "logistic", 1 / n, X, y)


def softmax(n: int = 40_000) -> Task:
    rng = np.random.default_rng(2)
    X = _correlated(rng, n, 100) * 10.0 ** rng.uniform(-0.5, 0.5, 100)
    eta = 0.3 * X @ rng.standard_normal((100, 8)) + np.linspace(0, 2, 8)
    y = (eta + rng.gumbel(size=eta.shape)).argmax(axis=1)
    return Task("softmax", f"softmax {n:,} x 100, 8 classes", "softmax", 1 / n, X, y)


def poisson(n: int = 50_000) -> Task:
    """Columns as they come: their means and spreads differ by orders of magnitude."""
    rng = np.random.default_rng(3)
    scale = 10.0 ** rng.uniform(-1, 1.5, 100)
    Z = _correlated(rng, n, 100)
    y = rng.poisson(np.exp(0.05 * Z @ rng.standard_normal(100) + 0.5)).astype(np.float64)
    X = scale * (Z + rng.uniform(-2, 2, 100))
    return Task("poisson", f"Poisson {n:,} x 100, raw columns", "poisson", 1e-4 / n, X, y)


def tfidf(n: int = 40_000) -> Task:
    """Counts of Zipf-distributed words, weighted and of length 1, as text classifiers see them."""
    from scipy.sparse import csr_array

    rng = np.random.default_rng(4)
    p, words = 2000, 60
    chance = 1.0 / np.arange(1, p + 1)
    columns = rng.choice(p, size=(n, words), p=chance / chance.sum())
    X = csr_array((np.ones(n * words), (np.repeat(np.arange(n), words), columns.ravel())), shape=(n, p))
    X.sum_duplicates()
    X.indices, X.indptr = X.indices.astype(np.int32), X.indptr.astype(np.int32)  # what every peer takes
    seen = np.bincount(X.indices, minlength=p)
    X.data = (1 + np.log(X.data)) * (np.log((1 + n) / (1 + seen)) + 1)[X.indices]
    X.data /= np.sqrt(np.add.reduceat(X.data**2, X.indptr[:-1]))[np.repeat(np.arange(n), np.diff(X.indptr))]
    y = (X @ (4 * rng.standard_normal(p)) + rng.logistic(size=n) > 0).astype(np.int64)
    return Task("tfidf", f"tf-idf {n:,} x {p:,}, logistic, CSR", "logistic", 1 / n, X, y)


def mnist(n: int = 60_000) -> Task:
    """The full MNIST where it is, else the 10,000 images that ship with fullbatch."""
    from fullbatch.data.idx import read_idx
    from fullbatch.datasets import load_mnist

    train = (load_mnist(MNIST) if MNIST.is_dir() else load_mnist()).train
    X, y = read_idx(train.images), read_idx(train.labels).astype(np.int64)
    X = (X.reshape(len(y), -1).astype(np.float32) / np.float32(255))[:n]
    whole = len(X) == 60_000
    title = f"MNIST {len(X):,} x 784, float32, 10 classes"
    return Task("mnist", title, "softmax", 1 / len(X), X, y[:n], 0.232117695210 if whole else None)


def breast_cancer(n: int = 569) -> Task:
    """Raw columns: a condition number of 1e12."""
    from sklearn.datasets import load_breast_cancer

    X, y = load_breast_cancer(return_X_y=True)
    return Task("breast-cancer", "breast cancer 569 x 30, raw columns", "logistic", 1 / 569, X, y, 0.094542374746)


TASKS: dict[str, Callable[..., Task]] = {
    "mnist": mnist,
    "logistic": logistic,
    "logistic-decades": lambda n=50_000: logistic(n, 3.0),
    "softmax": softmax,
    "poisson": poisson,
    "tfidf": tfidf,
    "breast-cancer": breast_cancer,
}
