"""What is summed over rows: information, scores and their squares. Every answer adds up; tasks run on the workers."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..protocols.rows import Rows, is_sparse
from .clusters import check_alike
from .data import read
from .design import Design
from .families import Rates
from .weights import Weights

Array = npt.NDArray[Any]

# Numbers of the copied rows that are worked on at a time: 16 MB.
_NUMBERS = 2**18


class Piece(NamedTuple):
    """Rows that count, a few thousand at a time."""

    X: Any
    y: Array
    weight: Array
    eta: Array
    ids: tuple[Array, ...]
    offset: Array


@dataclass(frozen=True, eq=False)
class Counting:
    """Rows of a block that have a weight, with targets as the family takes them.

    Parameters
    ----------
    design : Design
    rows : Rows
        With the columns of the model.
    weight, offset : (n,) float64 arrays
    ids : tuple of arrays
        What tells their clusters.
    places : (n,) int array
        Where they stand in the block.
    total : int
        Rows of the block.
    """

    design: Design
    rows: Rows
    weight: Array
    offset: Array
    ids: tuple[Array, ...]
    places: Array
    total: int

    @classmethod
    def of(cls, design: Design, source: Any, clusters: tuple[str, ...] = ()) -> "Counting":
        """Those of a source."""
        given = read(source, clusters)
        y = design.fitted.targets(given.rows, source)
        rows = replace(design.fitted.encoded_of_fit(given.rows, source), y=y)
        total, ids = len(y), given.beside
        places = np.arange(total)
        if rows.weight is not None and not np.all(np.asarray(rows.weight) > 0):
            places = np.flatnonzero(np.asarray(rows.weight) > 0)
            offset = None if rows.offset is None else np.asarray(rows.offset)[places]
            weight = np.asarray(rows.weight)[places]
            rows = replace(rows, X=rows.X[places], y=y[places], weight=weight, offset=offset)
            ids = tuple(one[places] for one in ids)
        n = len(places)
        weight = np.ones(n) if rows.weight is None else np.asarray(rows.weight, np.float64)
        offset = np.zeros(n) if rows.offset is None else np.asarray(rows.offset, np.float64)
        return cls(design, rows, weight, offset, ids, places, total)

    def pieces(self, beta: Array) -> Iterator[Piece]:
        """A few thousand at a time, with their linear predictors at beta."""
        design, y = self.design, np.asarray(self.rows.y)
        coef = beta.reshape(design.outputs, -1).T
        step = max(256, _NUMBERS // max(design.width, 1))
        with one_thread():
            for start in range(0, len(y), step):
                part = slice(start, start + step)
                X = design.matrix(self.rows, part)
                eta = np.asarray(X @ coef) + self.offset[part, None]
                ids = tuple(one[part] for one in self.ids)
                yield Piece(X, y[part], self.weight[part], eta, ids, self.offset[part])


def pieces(design: Design, beta: Array, source: Any, clusters: tuple[str, ...] = ()) -> Iterator[Piece]:
    """The rows of a source that have a weight, with their linear predictors at beta."""
    return Counting.of(design, source, clusters).pieces(beta)


def gram(X: Any, factor: Array) -> Array:
    """Sum over rows of factor x x'."""
    if is_sparse(X):
        scaled = X.copy()
        scaled.data = X.data * np.repeat(factor, np.diff(X.indptr))
        return np.asarray((X.T @ scaled).toarray())
    if (factor >= 0).all():
        scaled = X * np.sqrt(factor)[:, None]
        return np.asarray(scaled.T @ scaled)
    return np.asarray(X.T @ (X * factor[:, None]))


def information(X: Any, second: Array, weight: Array) -> Array:
    """Sum over rows of weight times the second derivatives in beta, from those, (n, m, m), in the predictors."""
    outputs, width = second.shape[1], X.shape[1]
    matrix = np.empty((outputs * width, outputs * width))
    for k in range(outputs):
        for other in range(k + 1):
            of_both = gram(X, weight * second[:, k, other])
            matrix[k * width : (k + 1) * width, other * width : (other + 1) * width] = of_both
            matrix[other * width : (other + 1) * width, k * width : (k + 1) * width] = of_both.T
    return matrix


def squared_scores(X: Any, slope: Array, weight: Array) -> Array:
    """Sum over rows of weight times the score and its transpose, from slopes, (n, m), in the predictors."""
    return information(X, slope[:, :, None] * slope[:, None, :], weight)


# --- information, and the rest that one pass gives ------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Sums:
    """Sums over rows at one beta.

    Parameters
    ----------
    rows : int
        Rows of a positive weight.
    weight : float
        Sum of the sample weights.
    deviance, squares, constant : float
        Weighted sums of `Family.deviances`, `squares` and `constants`.
    logs : float
        Sum of half the logarithms of the weights.
    fractions : int
        Rows whose target is none of a single trial or count: `Family.fractions`.
    totals, lengths : (width,) arrays
        Weighted sums of the columns, and of their squares.
    curvature : float
        Weighted sum of the second derivatives in a predictor.
    grad : (size,) array
        Of half the deviance.
    observed, expected : (size, size) arrays
        Information.
    meat : (size, size) array or None
        Squared scores.
    """

    rows: int
    weight: float
    deviance: float
    squares: float
    constant: float
    logs: float
    fractions: int
    totals: Array
    lengths: Array
    curvature: float
    grad: Array
    observed: Array
    expected: Array
    meat: Array | None

    @property
    def weighed(self) -> bool:
        """Whether there are other weights than 1: of such a sum as there are rows the logarithms' is below zero."""
        return self.weight != self.rows or self.logs != 0.0

    def __add__(self, other: "Sums") -> "Sums":
        observed = self.observed + other.observed
        canonical = self.expected is self.observed and other.expected is other.observed
        return Sums(
            self.rows + other.rows,
            self.weight + other.weight,
            self.deviance + other.deviance,
            self.squares + other.squares,
            self.constant + other.constant,
            self.logs + other.logs,
            self.fractions + other.fractions,
            self.totals + other.totals,
            self.lengths + other.lengths,
            self.curvature + other.curvature,
            self.grad + other.grad,
            observed,
            observed if canonical else self.expected + other.expected,
            None if self.meat is None or other.meat is None else self.meat + other.meat,
        )


@dataclass(frozen=True, eq=False)
class SumsAt:
    """Answers a block with its `Sums`."""

    design: Design
    beta: Array
    weights: Weights
    meat: bool = False

    def __call__(self, index: int, source: Any) -> Sums:
        total, size = _nothing(self.design, self.meat), self.design.size
        for X, y, weight, eta, _, _ in pieces(self.design, self.beta, source):
            family = self.design.fitted.family
            rates, of_loss = family.rates(y, eta), self.weights.of_loss(y, weight)
            observed = information(X, rates.observed, of_loss)
            squares = X.multiply(X) if is_sparse(X) else X * X
            each = np.arange(rates.slope.shape[1])
            total += Sums(
                len(y),
                float(weight.sum()),
                float(of_loss @ family.deviances(y, eta)),
                float(of_loss @ family.squares(y, eta)) if family.likelihood else 0.0,
                float(of_loss @ family.constants(y)) + family.ways(y, weight, self.weights.precision),
                float(0.5 * np.log(weight).sum()),
                family.fractions(y),
                np.asarray(X.T @ of_loss),
                np.asarray(squares.T @ of_loss),
                float((of_loss[:, None] * rates.observed[:, each, each]).sum() / len(each)),
                np.asarray(X.T @ (rates.slope * of_loss[:, None])).T.reshape(size),
                observed,
                observed if family.canonical else information(X, rates.expected, of_loss),
                squared_scores(X, rates.slope, self.weights.of_squares(y, weight)) if self.meat else None,
            )
        return total


def _nothing(design: Design, meat: bool) -> Sums:
    zeros = np.zeros((design.size, design.size))
    width, grad = np.zeros(design.width), np.zeros(design.size)
    canonical = design.fitted.family.canonical
    expected = zeros if canonical else zeros.copy()
    return Sums(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, width, width, 0.0, grad, zeros, expected, zeros.copy() if meat else None)


# --- what only some covariances need --------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class LeveragedMeat:
    """Squared scores, each divided by a power of 1 - leverage: HC2 by the first, HC3 by the second.

    Parameters
    ----------
    bread : (width, width) array
        Inverse of the expected information.
    power : int
        1 or 2.
    """

    design: Design
    beta: Array
    weights: Weights
    bread: Array
    power: int

    def __call__(self, index: int, source: Any) -> Array:
        total = np.zeros((self.design.size, self.design.size))
        for X, y, weight, eta, _, _ in pieces(self.design, self.beta, source):
            rates = self.design.fitted.family.rates(y, eta)
            left = 1.0 - leverages(X, rates, self.bread, self.weights.of_leverage(y, weight))
            factor = self.weights.of_squares(y, weight) / np.maximum(left, 1e-12) ** self.power
            total += squared_scores(X, rates.slope, factor)
        return total


def leverages(X: Any, rates: Rates, bread: Array, weight: Array) -> Array:
    """(n,) how much each row's fitted value follows its own target."""
    through = X @ bread
    quadratic = X.multiply(through).sum(axis=1) if is_sparse(X) else (X * through).sum(axis=1)
    return np.asarray(weight * rates.expected[:, 0, 0] * np.asarray(quadratic).ravel())


@dataclass(frozen=True, eq=False)
class ClusterSums:
    """Sums of scores by cluster: what travels is as long as there are clusters, not rows.

    Parameters
    ----------
    ids : (G,) array
        Sorted.
    scores : (G, size) array
        The sum of each.
    """

    ids: Array
    scores: Array

    @classmethod
    def of(cls, ids: Array, scores: Array) -> "ClusterSums":
        """Rows' scores added up by their ids."""
        from scipy.sparse import csr_array

        found, place = np.unique(ids, return_inverse=True)
        n = len(ids)
        chooses = csr_array((np.ones(n), (place.ravel(), np.arange(n))), (len(found), n))
        return cls(found, np.asarray(chooses @ scores))

    def __add__(self, other: "ClusterSums") -> "ClusterSums":
        if not len(self.ids) or not len(other.ids):
            return self if len(self.ids) else other
        check_alike(self.ids.dtype, other.ids.dtype)
        return ClusterSums.of(np.concatenate((self.ids, other.ids)), np.concatenate((self.scores, other.scores)))

    @property
    def meat(self) -> Array:
        """(size, size) squared sums."""
        with one_thread():
            return np.asarray(self.scores.T @ self.scores)


@dataclass(frozen=True, eq=False)
class SeveralSums:
    """Sums by one or two ids, and by the pairs of these."""

    parts: tuple[ClusterSums, ...]

    def __add__(self, other: "SeveralSums") -> "SeveralSums":
        return SeveralSums(tuple(mine + others for mine, others in zip(self.parts, other.parts, strict=True)))


@dataclass(frozen=True, eq=False)
class Clustered:
    """Answers a block with its scores by cluster: of each id, and of two ids of their pairs too."""

    design: Design
    beta: Array
    weights: Weights
    clusters: tuple[str, ...]

    def __call__(self, index: int, source: Any) -> SeveralSums:
        empty = ClusterSums(np.zeros(0), np.zeros((0, self.design.size)))
        total = SeveralSums((empty,) * (1 if len(self.clusters) == 1 else 3))
        for X, y, weight, eta, ids, _ in pieces(self.design, self.beta, source, self.clusters):
            slope = self.design.fitted.family.rates(y, eta).slope * self.weights.of_loss(y, weight)[:, None]
            dense = X.toarray() if is_sparse(X) else X
            scores = (slope[:, :, None] * dense[:, None, :]).reshape(len(y), -1)
            every = ids if len(ids) == 1 else (*ids, pairs(*ids))
            total += SeveralSums(tuple(ClusterSums.of(one, scores) for one in every))
        return total


def pairs(first: Array, second: Array) -> Array:
    """Ids of what two ids say together."""
    both = np.empty(len(first), [("first", first.dtype), ("second", second.dtype)])
    both["first"], both["second"] = first, second
    return both


@dataclass(frozen=True, eq=False)
class Spreads:
    """Answers a block with the weighted moments of the model's columns, as `Moments`."""

    design: Design

    def __call__(self, index: int, source: Any) -> Any:
        from ..models.describe import describe

        rows = Counting.of(self.design, source).rows
        return describe(replace(rows, y=np.zeros(rows.X.shape[0])), str(source), labels=False).moments


@dataclass(frozen=True, eq=False)
class ClassWeights:
    """Answers a block with the sums of the sample weights of each class."""

    design: Design

    def __call__(self, index: int, source: Any) -> Array:
        rows = read(source, ()).rows
        y = self.design.fitted.targets(rows, source)
        weight = np.ones(len(y)) if rows.weight is None else np.asarray(rows.weight, np.float64)
        assert self.design.fitted.classes is not None
        return np.bincount(y, weight, minlength=len(self.design.fitted.classes))
