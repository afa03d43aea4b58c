"""Ugly little problems of linear models, each a pure function of its seed.

Whatever data can have that is hard on a solver is drawn at random: few rows and more columns than rows, columns of
any scale, far from zero, constant, duplicated and nearly so, weights of zero and of very different size, offsets like
log exposures, targets in any unit, classes that can be separated, starts far off. F is bounded below in all of them.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from fullbatch import Objective, SerialEngine, Standardized, array_sources
from fullbatch.models.linear import Linear
from fullbatch.protocols import Category, Rows

Array = npt.NDArray[Any]
Random = np.random.Generator

LOSSES = (
    "squared",
    "huber",
    "quantile",
    "logistic",
    "squared_hinge",
    "poisson",
    "gamma",
    "tweedie",
    "softmax",
)
CLASSES = ("logistic", "squared_hinge", "softmax")
LOG_LINK = ("poisson", "gamma", "tweedie")

# Mean over spread of a column, times how much closer than its spread it comes to another, at the most: beyond it the
# rounding of one product in float64 is as large as what the columns differ by.
_MOST_CANCELLED = 1e9


@dataclass(frozen=True, eq=False)
class Problem:
    """What is to be minimised, and from where.

    `X` is as stored; a feature is `X * scale`, and one column for each level of `codes` stands behind them. `variables`
    is "stored", "centred" or "scaled": the theta that solvers see, and for the last one that the penalty counts.
    `start` is in those variables.
    """

    seed: int
    loss: str
    options: dict[str, float]
    X: Any
    scale: float
    codes: Array
    y: Array
    weight: Array | None
    offset: Array | None
    intercept: bool
    l2: float
    variables: str
    blocks: int
    start: Array
    words: tuple[str, ...]

    def __str__(self) -> str:
        n, p = self.X.shape
        stored = f"{'CSR ' if hasattr(self.X, 'tocsr') else ''}{self.X.dtype}"
        options = "".join(f", {name} {value:.3g}" for name, value in self.options.items())
        parts = [
            f"seed {self.seed}: {self.loss}{options}",
            f"{n} rows x {p} columns of {stored}" + (f" times {self.scale:.3g}" if self.scale != 1 else ""),
            *([f"{self.codes.shape[1]} categorical columns"] if self.codes.size else []),
            f"{'an' if self.intercept else 'no'} intercept",
            f"l2 {self.l2:.2g}",
            f"variables {self.variables}",
            f"{self.blocks} blocks",
            *self.words,
        ]
        return "; ".join(parts)

    @cached_property
    def outputs(self) -> int:
        """Linear predictors."""
        return int(self.y.max()) + 1 if self.loss == "softmax" else 1

    @cached_property
    def columns(self) -> Array:
        """(n, columns) features in long double, levels as columns of 0 and 1."""
        X = np.asarray(self.X.toarray() if hasattr(self.X, "tocsr") else self.X, np.longdouble) * self.scale
        levels = [self.codes[:, c, None] == np.unique(self.codes[:, c]) for c in range(self.codes.shape[1])]
        return np.column_stack((X, *levels)) if levels else X

    @property
    def weights(self) -> Array:
        """(n,) weights in long double."""
        return np.ones(len(self.y), np.longdouble) if self.weight is None else self.weight.astype(np.longdouble)

    @property
    def precision(self) -> str:
        """In which products are computed."""
        doubles = self.X.dtype == np.float64 or hasattr(self.X, "tocsr") or self.codes.size
        return "float64" if doubles else "float32"

    def place(self) -> "Placed":
        """On the serial engine."""
        model = Linear(self.loss, self.intercept, options=self.options or None)
        if self.codes.size:
            sources = _with_levels(self)
        else:
            sources = array_sources(self.X, self.y, self.weight, self.offset, scale=self.scale, blocks=self.blocks)
        blocks = SerialEngine().place(model, sources)
        if self.variables == "stored":
            return Placed(self, blocks, None)
        scaled = self.variables == "scaled"
        return Placed(self, blocks, Standardized(blocks.schema, model.outputs(blocks.schema), self.intercept, scaled))


@dataclass(frozen=True, eq=False)
class Placed:
    """A problem whose blocks are placed."""

    problem: Problem
    blocks: Any
    variables: Standardized | None

    def objective(self) -> Objective:
        """With counts of its own."""
        return Objective(self.blocks, self.problem.l2, self.variables)

    def as_stored(self, theta: Array) -> Array:
        """Coefficients and intercepts on the columns as stored, as an estimator would keep them."""
        return theta if self.variables is None else self.variables.to_blocks(theta)


@dataclass(frozen=True, eq=False)
class _Source:
    """Some rows of numbers and levels."""

    rows: Rows
    first: int

    def read(self) -> Rows:
        return self.rows

    def __str__(self) -> str:
        return f"rows {self.first}..{self.first + len(self.rows.X) - 1}"


def _with_levels(problem: Problem) -> list[_Source]:
    edges = np.linspace(0, len(problem.y), min(problem.blocks, len(problem.y)) + 1).astype(int)
    sources = []
    for first, stop in pairwise(edges.tolist()):
        categories = []
        for codes in problem.codes[first:stop].T:
            levels, index = np.unique(codes, return_inverse=True)
            categories.append(Category(index.astype(np.int32), levels))
        weight, offset = (None if one is None else one[first:stop] for one in (problem.weight, problem.offset))
        rows = Rows(problem.X[first:stop], problem.y[first:stop], weight, 1.0, offset, tuple(categories))
        sources.append(_Source(rows, first))
    return sources


def problem(seed: int) -> Problem:
    """The problem of a seed."""
    rng = np.random.default_rng(seed)
    words: list[str] = []
    loss = str(rng.choice(LOSSES))
    classes = {"softmax": int(rng.integers(3, 6))}.get(loss, 2) if loss in CLASSES else 0
    stored = str(rng.choice(["float64", "csr", "levels", "float32", "uint8", "int8"], p=[0.4, 0.1, 0.1, 0.2, 0.1, 0.1]))
    n = max(round(10 ** rng.uniform(np.log10(2), np.log10(600))), classes)
    p = round(10 ** rng.uniform(0, np.log10(30)))
    if rng.random() < 0.1 and n <= 25:
        p = n + int(rng.integers(1, 8))
        words.append("more columns than rows")
    intercept = bool(rng.random() < 0.75)
    if stored in ("uint8", "int8"):
        X, signals, scale = _bytes(rng, n, p, stored, words)
    elif stored == "csr":
        X, signals, scale = *_sparse(rng, n, p, words), 1.0
    else:
        X, signals = _columns(rng, n, p, np.dtype("float32" if stored == "float32" else "float64"), words)
        scale = 1.0
    codes = _levels(rng, n) if stored == "levels" else np.zeros((n, 0), np.int64)
    strength = 10 ** rng.uniform(-1, 1) / np.sqrt(signals.shape[1])
    eta = signals @ (strength * rng.standard_normal((signals.shape[1], max(classes, 1))))
    if codes.size:
        eta = eta + 0.5 * rng.standard_normal(100)[codes[:, :1]]
    weight = _weights(rng, n, max(classes, 2), words)
    offset = _offset(rng, n, words)
    counted = np.flatnonzero(weight > 0) if weight is not None else np.arange(n)
    unit = 1.0
    if loss in CLASSES:
        y: Array = _labels(rng, eta, classes, counted, words)
        if offset is not None and loss != "softmax" and _separated(offset[counted], y[counted]):
            # The null model would be perfect, F* zero, and no share of either a distance to be held to.
            offset = None
            words.append("none after all: it separates the classes")
    else:
        y, unit = _targets(rng, loss, eta[:, 0], offset, intercept, counted, words)
    options = _options(rng, loss, unit)
    if weight is not None and len(counted) < n and rng.random() < 0.5:
        X, y = _wild(rng, X, y, weight == 0, loss)
        words.append("wild rows of weight zero")
    l2 = 0.0 if rng.random() < 0.45 else float(10 ** rng.uniform(-8, 0))
    variables = str(rng.choice(["stored", "centred", "scaled"], p=[0.35, 0.5, 0.15]))
    outputs = classes if loss == "softmax" else 1
    blocks = int(rng.integers(1, 6))
    made = Problem(
        seed, loss, options, X, scale, codes, y, weight, offset, intercept, l2, variables, blocks, np.zeros(0), ()
    )  # fmt: skip
    start = np.zeros(outputs * (made.columns.shape[1] + intercept))
    if rng.random() < 0.35:
        far = float(10 ** rng.uniform(0, 2))
        start = _far_start(rng, made, outputs, far)
        words.append(f"a start with eta up to {far:.3g}")
    return replace(made, start=start, words=tuple(words))


_KINDS = {
    "constant": "constant",
    "copy": "duplicated",
    "sum": "collinear",
    "reverse": "collinear",
    "near": "nearly collinear",
}


# --- columns ----------------------------------------------------------------------------------------------------


def _shape(rng: Random, n: int) -> Array:
    """A column of spread about 1."""
    kind = rng.integers(0, 5)
    if kind == 0:
        return rng.uniform(-1.7, 1.7, n)
    if kind == 1:
        return (rng.random(n) < rng.uniform(0.05, 0.5)).astype(float)
    if kind == 2:
        return np.clip(rng.standard_t(3, n), -20, 20)
    return rng.standard_normal(n)


def _columns(rng: Random, n: int, p: int, dtype: Any, words: list[str]) -> tuple[Array, Array]:
    """Columns as stored, and what in them varies, which the targets are made of.

    Collinear columns are so to the last bit: all numbers are then small multiples of a power of two. Otherwise their
    rounding would be a feature, which exact arithmetic fits.
    """
    double = dtype == np.float64
    exact = bool(rng.random() < 0.5)
    signals = np.column_stack([_shape(rng, n) for _ in range(p)])
    if exact:
        signals = np.round(signals * 256) / 256
    decades = rng.choice([0, 1, 3, 6])
    scales = 10.0 ** rng.uniform(-decades, decades, p)
    far = rng.random() < 0.5
    most = rng.uniform(0, 6.5 if double else 3.7) if far else 0.0
    means = np.where(rng.random(p) < 0.6, rng.choice([-1, 1], p) * 10 ** rng.uniform(0, most, p), 0.0) * far
    if exact:
        scales, means = 2.0 ** np.round(np.log2(scales)), np.round(means)
    shares = [1, 0, 0, 0, 0] if rng.random() < 0.4 else [0.6, 0.1, 0.1, 0.1, 0.1]
    kinds = rng.choice(["own", "constant", "copy", "sum", "near"], p, p=shares)
    X = np.empty((n, p), dtype)
    seen = {"own": True}
    for j, kind in enumerate(kinds):
        first = int(rng.integers(0, j)) if j else -1
        second = int(rng.integers(0, j)) if j else -1
        if kind == "constant":
            signals[:, j] = 0.0
            means[j] = rng.choice([0.0, 1.0, means[j] + 0.1])
        elif kind == "sum" and j and exact and np.abs(signals[:, [first, second]]).max() < 16:
            signals[:, j] = signals[:, first] + rng.choice([-1, 1]) * signals[:, second]
        elif kind == "near" and j:
            least = np.abs(means[[first, j]]).max() / _MOST_CANCELLED
            apart = 10 ** rng.uniform(np.log10(max(1e-9, least)) if double else -4, -2)
            signals[:, j] = signals[:, first] + apart * rng.standard_normal(n)
        elif kind == "copy" and j:
            signals[:, j] = signals[:, first]
            X[:, j] = X[:, first] * dtype.type(2.0 ** rng.integers(-3, 4))
            scales[j] = means[j] = 0.0
            seen[kind] = True
            continue
        elif kind != "own":
            kinds[j] = kind = "own"
        seen[kind] = True
        X[:, j] = (signals[:, j] + means[j]) * scales[j]
    words += [f"{_KINDS[kind]} columns" for kind in seen if kind != "own"]
    if decades:
        words.append(f"scales over 1e-{decades} to 1e{decades}")
    if np.abs(means).max() > 0:
        words.append(f"means up to {np.abs(means).max():.2g} spreads")
    return X, signals


def _bytes(rng: Random, n: int, p: int, stored: str, words: list[str]) -> tuple[Array, Array, float]:
    low, high = (0, 255) if stored == "uint8" else (-128, 127)
    X = np.empty((n, p), np.int64)
    seen = {}
    for j in range(p):
        kind = rng.choice(["pixels", "few", "two", "narrow", "constant", "copy", "reverse", "near"])
        first = int(rng.integers(0, j)) if j else -1
        if kind in ("copy", "reverse", "near") and j == 0:
            kind = "pixels"
        if kind == "pixels":
            X[:, j] = rng.integers(low, high + 1, n)
        elif kind == "few":
            X[:, j] = np.where(rng.random(n) < 0.2, rng.integers(low, high + 1, n), 0)
        elif kind == "two":
            X[:, j] = np.where(rng.random(n) < 0.4, high, low)
        elif kind == "narrow":
            X[:, j] = high - rng.integers(0, 3, n)
        elif kind == "constant":
            X[:, j] = rng.integers(low, high + 1)
        elif kind == "copy":
            X[:, j] = X[:, first]
        elif kind == "reverse":
            X[:, j] = low + high - X[:, first]
        else:
            X[:, j] = np.clip(X[:, first] + (rng.random(n) < 0.1), low, high)
        seen[kind] = True
    words += [f"{_KINDS[kind]} columns" for kind in seen if kind in _KINDS]
    scale = float(rng.choice([1 / 255 if stored == "uint8" else 1 / 127, 1.0, 10 ** rng.uniform(-3, 3)]))
    return X.astype(stored), (X - (low + high) / 2) / 70, scale


def _sparse(rng: Random, n: int, p: int, words: list[str]) -> tuple[Any, Array]:
    from scipy.sparse import csr_array

    dense, _ = _columns(rng, n, p, np.dtype("float64"), words)
    kept = rng.random((n, p)) < rng.uniform(0.05, 0.6)
    kept[:, rng.random(p) < 0.15] = True
    if rng.random() < 0.3:
        kept[:, rng.integers(0, p)] = False
        words.append("a column without entries")
    X = np.where(kept, dense, 0.0)
    size = np.sqrt((X**2).mean(axis=0))
    return csr_array(X), X / np.where(size > 0, size, 1.0)


def _levels(rng: Random, n: int) -> Array:
    columns = int(rng.integers(1, 4))
    return np.column_stack([np.minimum(rng.geometric(rng.uniform(0.15, 0.7), n), 9) for _ in range(columns)]).astype(
        np.int64
    )


def _wild(rng: Random, X: Any, y: Array, rows: Array, loss: str) -> tuple[Any, Array]:
    if not hasattr(X, "tocsr"):
        X = X.copy()
        if X.dtype.kind == "f":
            size = 10 ** rng.uniform(5, 30)
            X[rows] = (size * rng.standard_normal((int(rows.sum()), X.shape[1]))).astype(X.dtype)
    if loss not in CLASSES:
        y = y.copy()
        y[rows] = 10 ** rng.uniform(5, 30)
    return X, y


# --- weights, offsets, targets ----------------------------------------------------------------------------------


def _weights(rng: Random, n: int, least: int, words: list[str]) -> Array | None:
    kind = rng.integers(0, 6)
    if kind < 3:
        return None
    weight = np.ones(n)
    if kind in (3, 5):
        spread = rng.uniform(0.5, 4)
        weight = np.exp(spread * rng.standard_normal(n)) * 10 ** rng.uniform(-3, 3)
        words.append(f"weights over {weight.max() / weight.min():.1g}")
    if kind in (4, 5):
        zero = rng.random(n) < rng.uniform(0.05, 0.5)
        zero[rng.permutation(n)[:least]] = False
        weight[zero] = 0.0
        words.append("weights of zero")
    return weight


def _offset(rng: Random, n: int, words: list[str]) -> Array | None:
    kind = rng.choice(["none", "zero", "small", "large", "spread", "exposures"], p=[0.6, 0.02, 0.1, 0.1, 0.08, 0.1])
    if kind == "none":
        return None
    words.append(f"offset: {kind}")
    if kind == "zero":
        return np.zeros(n)
    if kind == "small":
        return 0.3 * rng.standard_normal(n)
    if kind == "large":
        return np.full(n, rng.uniform(16, 25))
    if kind == "spread":
        return 3 * rng.standard_normal(n)
    return rng.uniform(16, 25) + rng.standard_normal(n)


def _labels(rng: Random, eta: Array, classes: int, counted: Array, words: list[str]) -> Array:
    kinds = ["noisy", "separable", "nearly separable", "random", "one row"]
    kind = str(rng.choice(kinds, p=[0.4, 0.2, 0.15, 0.1, 0.15]))
    noise = {"separable": 0.0, "nearly separable": 0.02, "random": 1e6}.get(kind, 1.0)
    y = (eta - np.median(eta, axis=0) + noise * rng.gumbel(size=eta.shape)).argmax(axis=1)
    if kind == "one row":
        y = np.minimum(y, classes - 2)
        y[counted[rng.integers(0, len(counted))]] = classes - 1
    if kind != "noisy":
        words.append(f"classes: {kind}")
    chosen = rng.permutation(counted)
    for label in range(classes):
        if not (y[counted] == label).any():  # at the cost of a class that has more than one row
            y[next(row for row in chosen if (y[counted] == y[row]).sum() > 1)] = label
    return y.astype(np.int64)


def _targets(
    rng: Random, loss: str, eta: Array, offset: Array | None, intercept: bool, counted: Array, words: list[str]
) -> tuple[Array, float]:
    n = len(eta)
    shift = np.zeros(n) if offset is None else offset
    if loss not in LOG_LINK:
        unit = float(10 ** rng.uniform(-3, 6)) if rng.random() < 0.6 else 1.0
        noise = rng.standard_normal(n) if rng.random() < 0.7 else np.clip(rng.standard_t(2, n), -50, 50)
        level = rng.choice([0.0, 1.0, 10 ** rng.uniform(0, 4)])
        y = unit * (eta + 10 ** rng.uniform(-2, 0.5) * noise + level) + shift
        words.append(f"targets in units of {unit:.2g}, {level:.2g} of them from zero")
        return y, unit
    unit = float(10 ** (rng.uniform(-3, 6) if loss == "gamma" else rng.uniform(-2, 3)))
    if intercept or rng.random() < 0.5:
        shift = shift - shift.mean()
    mean = unit * np.exp(np.clip(eta - eta.mean(), -6, 6) + shift)
    words.append(f"targets in units of {unit:.2g}")
    if loss == "poisson":
        y = np.where(mean < 1e9, rng.poisson(np.minimum(mean, 1e9)), np.round(mean)).astype(float)
    else:
        shape = 10 ** rng.uniform(-0.5, 1.5)
        y = np.maximum(mean * rng.gamma(shape, 1 / shape, n), 1e-12 * unit)
        if loss == "tweedie":
            y[rng.random(n) < rng.uniform(0, 0.8)] = 0.0
    if not y[counted].any():
        y[counted[rng.integers(0, len(counted))]] = max(1.0, round(unit))
    return y, unit


def _separated(values: Array, y: Array) -> bool:
    return bool(values[y == 1].min() > values[y == 0].max())


def _options(rng: Random, loss: str, unit: float) -> dict[str, float]:
    if loss == "huber":
        return {"delta": unit * float(10 ** rng.uniform(-2, 0.7))}
    if loss == "quantile":
        return {"quantile": float(rng.uniform(0.05, 0.95)), "smoothing": unit * float(10 ** rng.uniform(-3, 0))}
    if loss == "tweedie":
        return {"power": float(rng.uniform(1.1, 1.9))}
    return {}


def _far_start(rng: Random, made: Problem, outputs: int, far: float) -> Array:
    """A start with |X coef' + intercept| up to `far`, in the variables that the solver sees, nearly so."""
    counted = made.weights > 0
    X, weight = made.columns[counted].astype(float), made.weights[counted].astype(float)
    mean = np.average(X, axis=0, weights=weight) if made.intercept else np.zeros(X.shape[1])
    spread = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
    varies = spread > 1e-10 * np.abs(mean)
    coef = rng.standard_normal((outputs, X.shape[1])) * varies / np.where(varies, spread, 1.0)
    eta = (X - mean) @ coef.T
    free = rng.standard_normal(outputs) if made.intercept else np.zeros(0)
    if made.intercept:
        eta = eta + free
    size = far / max(np.abs(eta).max(), 1e-300)
    coef, free = coef * min(size, 1e300), free * min(size, 1e300)
    if made.variables == "stored" and made.intercept:
        free = free - coef @ mean
    if made.variables == "scaled":
        coef = coef * np.where(varies, spread, 1.0)
    return np.concatenate((coef.ravel(), free))
