"""The tasks, made from fixed seeds; sizes are arguments."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from scipy.sparse import csr_array
from scipy.special import expit

from .task import Task, strongest


def dense(n: int, p: int) -> Task:
    """Dense columns, one in ten of which tells something."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((n, p), np.float32).astype(np.float64)
    coef = np.where(np.arange(p) % 10 == 0, rng.standard_normal(p), 0.0)
    y = (rng.random(n) < expit(X @ coef)).astype(np.float64)
    return Task("dense", f"dense {n:,} x {p:,}, logistic", "logistic", 0.0, 0.0, X, y)


def text(n: int, p: int) -> Task:
    """Sparse rows of some 70 words in Zipf-distributed columns, each of length 1."""
    rng = np.random.default_rng(2)
    chance = 1.0 / np.arange(1, p + 1)
    words = rng.choice(p, size=(n, 70), p=chance / chance.sum())
    values = np.log1p(p / (words.ravel() + 1.0))
    X = csr_array((values, words.ravel().astype(np.int32), np.arange(0, 70 * n + 1, 70, dtype=np.int32)), shape=(n, p))
    X.sum_duplicates()
    length = np.sqrt(np.asarray(X.multiply(X).sum(axis=1)).ravel())
    X.data /= np.repeat(length, np.diff(X.indptr))
    coef = np.where(rng.random(p) < 0.02, 8.0 * rng.standard_normal(p), 0.0)
    y = (rng.random(n) < expit(X @ coef)).astype(np.float64)
    return Task("text", f"text-like {n:,} x {p:,}, logistic", "logistic", 0.0, 0.0, X, y)


def mixed(loss: str) -> Callable[[int], Task]:
    """Numbers and categories with an elastic net."""

    def make(n: int) -> Task:
        rng = np.random.default_rng(3)
        X = rng.standard_normal((n, 5))
        sizes = np.minimum([3, 10, 25, 60, 150, 400], max(n // 50, 2))
        codes = np.column_stack([np.minimum(rng.zipf(1.3, n), size) - 1 for size in sizes]).astype(np.int32)
        eta = 0.2 * X @ rng.standard_normal(5) - 0.5
        for code, size in zip(codes.T, sizes, strict=True):
            eta += 0.2 * rng.standard_normal(size)[code]
        y = rng.poisson(np.exp(eta)).astype(float) if loss == "poisson" else rng.gamma(2.0, np.exp(eta) / 2.0) + 1e-6
        title = f"{n:,} rows of 5 numbers and 6 categories, {loss}, elastic net"
        return Task(f"mixed-{loss}", title, loss, 0.0, 0.0, X, y, codes)

    return make


def correlated(n: int, p: int) -> Task:
    """Gaussian columns, neighbours correlated at 0.9."""
    rng = np.random.default_rng(4)
    X = rng.standard_normal((n, p))
    for j in range(1, p):
        X[:, j] = 0.9 * X[:, j - 1] + np.sqrt(1 - 0.81) * X[:, j]
    coef = np.where(np.arange(p) % 50 == 0, 1.0, 0.0)
    y = X @ coef + rng.standard_normal(n)
    return Task("correlated", f"correlated {n:,} x {p:,}, squared", "squared", 0.0, 0.0, np.asfortranarray(X), y)


def difficult(n: int, p: int) -> Task:
    """Blocks of columns correlated at 0.95, over six decades, and levels that one row in 10,000 has."""
    rng = np.random.default_rng(5)
    own, shared = rng.standard_normal((n, p)), rng.standard_normal((n, p // 10 + 1))
    X = np.sqrt(0.95) * shared[:, np.arange(p) // 10] + np.sqrt(0.05) * own
    rare = np.arange(p) >= p - max(p // 20, 1)
    X[:, rare] = rng.random((n, int(rare.sum()))) < max(1e-4, 5.0 / n)
    coef = np.where(np.arange(p) % 7 == 0, rng.standard_normal(p), 0.0)
    y = (rng.random(n) < expit(X @ coef)).astype(np.float64)
    X *= 10.0 ** rng.uniform(-3, 3, p)
    return Task("difficult", f"difficult columns {n:,} x {p:,}, logistic", "logistic", 0.0, 0.0, X, y)


# How each is made, its sizes, and small ones; and strengths as shares of the strongest, with the share of L1.
TASKS: dict[str, tuple[Callable[..., Task], tuple[int, ...], tuple[int, ...], float]] = {
    "dense": (dense, (500_000, 200), (2_000, 20), 1.0),
    "text": (text, (200_000, 47_000), (1_000, 2_000), 1.0),
    "mixed-poisson": (mixed("poisson"), (600_000,), (2_000,), 0.5),
    "mixed-gamma": (mixed("gamma"), (600_000,), (2_000,), 0.5),
    "correlated": (correlated, (10_000, 5_000), (200, 600), 1.0),
    "difficult": (difficult, (100_000, 200), (2_000, 40), 1.0),
}
STRENGTHS = (0.1, 0.01)
PATH, PATH_QUICK = 100, 5  # strengths, down to the smallest of those


def made(name: str, sizes: tuple[int, ...] | None, quick: bool) -> list[Task]:
    """The task at each strength."""
    make, usual, small, ratio = TASKS[name]
    task = make(*(sizes or (small if quick else usual)))
    most = strongest(task) / ratio
    return [
        replace(task, name=f"{name}-{share:g}", l1=share * most * ratio, l2=share * most * (1 - ratio))
        for share in STRENGTHS
    ]


def path(name: str, sizes: tuple[int, ...] | None, quick: bool) -> Task:
    """The task with a path of strengths, from the strongest down."""
    make, usual, small, ratio = TASKS[name]
    task = make(*(sizes or (small if quick else usual)))
    most = strongest(task) / ratio
    shares = np.geomspace(1.0, min(STRENGTHS), PATH_QUICK if quick else PATH).tolist()
    title = f"{task.title}, a path of {len(shares)} strengths"
    return replace(task, name=f"{name}-path", title=title, l1=most * ratio, l2=most * (1 - ratio), shares=tuple(shares))
