"""The workloads: data that is the same on every run, made once and kept as .npy files."""

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numba import njit

from .problem import Problem, load, save
from .reference import answer, csr, one_hot

VERSION = 1  # in the name of every folder: raise it when the data changes
MNIST = Path(os.environ.get("FULLBATCH_MNIST", Path(__file__).parents[2] / "shared" / "data" / "mnist"))


def open_workload(name: str, folder: Path, quick: bool = False) -> tuple[Problem, Path]:
    """The named problem with its folder, made first where it is not there yet.

    Parameters
    ----------
    name : str
        A key of WORKLOADS.
    folder : path
        Where the data of all workloads is kept.
    quick : bool
        Sizes for a smoke test.
    """
    kind = "-quick" if quick else "-mnist" if name.startswith("mnist") and MNIST.is_dir() else ""
    place = folder / f"{name}{kind}-{VERSION}"
    if not place.exists():
        problem = WORKLOADS[name](quick)
        problem.arrays.update(answer(problem))
        save(problem, place)
    return load(place), place


def _theta(rng: np.random.Generator, shape: tuple[int, ...], size: float) -> np.ndarray:
    """Exact in float32, so that no one loses by rounding it."""
    return (size * rng.standard_normal(shape)).astype(np.float32).astype(np.float64)


def _mnist(dtype: str, quick: bool) -> Problem:
    rng = np.random.default_rng(1)
    n, title = 60_000, "random bytes of MNIST's shape"
    if MNIST.is_dir() and not quick:
        from fullbatch.data.idx import read_idx
        from fullbatch.datasets import load_mnist

        train = load_mnist(MNIST).train
        X, y, title = read_idx(train.images).reshape(n, 784), read_idx(train.labels), "MNIST"
    else:
        n = 1_000 if quick else n
        X = rng.integers(0, 256, (n, 784), np.uint8) * (rng.random((n, 784)) < 0.19)
        y = rng.integers(0, 10, n)
    theta = _theta(rng, (7850,), 0.05)
    y, scale = y.astype(np.int64), 1.0 / 255.0
    if dtype == "float32":
        X, scale = X.astype(np.float32) / np.float32(255), 1.0
    return Problem(
        f"mnist-{dtype}", f"{title} {n:,} x 784, 10 classes, {dtype}", "softmax", "dense", "float32", 784, 10,
        scale=scale, arrays={"X": X, "y": y, "theta": theta},
    )  # fmt: skip


def _dense_binary(quick: bool) -> Problem:
    rng = np.random.default_rng(2)
    n, p = (20_000 if quick else 2_000_000), 28
    X = rng.standard_normal((n, p), np.float32)
    theta = _theta(rng, (p + 1,), 0.3)
    y = (X @ theta[:-1] + rng.logistic(size=n) > 0).astype(np.int64)
    title = f"dense {n:,} x {p}, binary, float32"
    return Problem("dense-binary", title, "logistic", "dense", "float32", p, arrays={"X": X, "y": y, "theta": theta})


def _dense_classes(quick: bool) -> Problem:
    rng = np.random.default_rng(3)
    n, p, k = (5_000 if quick else 500_000), 54, 7
    X = rng.standard_normal((n, p))
    theta = _theta(rng, (k * (p + 1),), 0.3)
    y = (X @ theta[: k * p].reshape(k, p).T + rng.gumbel(size=(n, k))).argmax(axis=1)
    title = f"dense {n:,} x {p}, {k} classes, float64"
    arrays = {"X": X, "y": y.astype(np.int64), "theta": theta}
    return Problem("dense-classes", title, "softmax", "dense", "float64", p, k, arrays=arrays)


@njit(cache=True)
def _draw_columns(n: int, each: int, quantiles: np.ndarray, seed: int) -> np.ndarray:
    """Each row's distinct columns in growing order, drawn one after another from the quantiles."""
    np.random.seed(seed)  # noqa: NPY002 (compiled code has its own generator)
    columns = np.empty((n, each), np.int32)
    for i in range(n):
        count = 0
        while count < each:
            column = quantiles[np.random.randint(0, quantiles.size)]  # noqa: NPY002
            if not np.any(columns[i, :count] == column):
                columns[i, count] = column
                count += 1
        columns[i].sort()
    return columns


def _csr(quick: bool) -> Problem:
    rng = np.random.default_rng(4)
    n, p, each = (10_000, 20_000, 50) if quick else (1_000_000, 200_000, 50)
    cumulated = np.cumsum(1.0 / np.arange(1, p + 1))
    draws = np.arange(2**18 if quick else 2**22) + 0.5
    quantiles = np.searchsorted(cumulated, draws * (cumulated[-1] / draws.size)).astype(np.int32)
    # Frequent columns stand anywhere, not side by side: no one may gain by where they are.
    indices = _draw_columns(n, each, rng.permutation(p).astype(np.int32)[quantiles], 4)
    data = rng.random(n * each, np.float32) + np.float32(0.1)
    theta = _theta(rng, (p + 1,), 0.2)
    arrays = {"data": data, "indices": indices.ravel(), "indptr": np.arange(0, n * each + 1, each, dtype=np.int32)}
    title = f"CSR {n:,} x {p:,}, {each} non-zeros a row (Zipf), binary, float32"
    problem = Problem("csr", title, "logistic", "csr", "float32", p, arrays={**arrays, "theta": theta, "y": data[:n]})
    y = csr(problem) @ theta[:-1] + rng.logistic(size=n) > 0
    return replace(problem, arrays={**problem.arrays, "y": y.astype(np.int64)})


def _poisson(quick: bool) -> Problem:
    rng = np.random.default_rng(5)
    n, p, levels = (6_780 if quick else 678_000), 5, (1_000, 200, 50, 22, 11, 6)
    X = rng.standard_normal((n, p))
    # Squaring makes the first levels frequent, as real ones are.
    codes = np.column_stack([(rng.random(n) ** 2 * count).astype(np.int32) for count in levels])
    exposure = rng.uniform(0.05, 1.0, n)
    theta = _theta(rng, (p + sum(levels) + 1,), 0.2)
    theta[-1] = -1.5
    title = (
        f"Poisson {n:,} rows, {p} numeric and {len(levels)} categorical columns (up to 1,000 levels), offset, float64"
    )
    arrays = {"X": X, "codes": codes, "offset": np.log(exposure), "theta": theta, "y": exposure}
    problem = Problem("poisson", title, "poisson", "mixed", "float64", p + sum(levels), levels=levels, arrays=arrays)
    y = rng.poisson(exposure * np.exp(one_hot(problem) @ theta[:-1] + theta[-1]))
    return replace(problem, arrays={**arrays, "y": y.astype(np.float64)})


def _models(quick: bool) -> Problem:
    rng = np.random.default_rng(6)
    n, p, models = (4_000 if quick else 200_000), 100, 50
    X = rng.standard_normal((n, p), np.float32)
    theta = _theta(rng, (models, p + 1), 0.15)
    y = (X @ theta[0, :-1] + rng.logistic(size=n) > 0).astype(np.int64)
    title = f"{models} models at once, dense {n:,} x {p}, binary, float32"
    arrays = {"X": X, "y": y, "theta": theta}
    return Problem("models", title, "logistic", "dense", "float32", p, models=models, arrays=arrays)


WORKLOADS: dict[str, Callable[[bool], Problem]] = {
    "mnist-float32": lambda quick: _mnist("float32", quick),
    "mnist-uint8": lambda quick: _mnist("uint8", quick),
    "dense-binary": _dense_binary,
    "dense-classes": _dense_classes,
    "csr": _csr,
    "poisson": _poisson,
    "models": _models,
}
