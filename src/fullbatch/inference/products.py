"""What is summed over rows where a matrix of all parameters would be too large: its diagonal, and its products."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..protocols.rows import is_sparse
from .design import Design
from .sums import ClusterSums, SeveralSums, Sums, gram, pairs, pieces
from .weights import Weights

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class DiagonalsAt:
    """Answers a block with its `Sums`, of whose information there are two rows, (2, size): the curvature of each
    parameter in itself, and with its predictor's intercept.
    """

    design: Design
    beta: Array
    weights: Weights

    def __call__(self, index: int, source: Any) -> Sums:
        design, family = self.design, self.design.fitted.family
        size, zeros = design.size, np.zeros((2, design.size))
        expected = zeros if family.canonical else zeros.copy()
        width, none = np.zeros(design.width), np.zeros(size)
        total = Sums(0, 0.0, 0.0, 0.0, 0.0, 0.0, 0, width, width, 0.0, none, zeros, expected, None)
        for X, y, weight, eta, _, _ in pieces(design, self.beta, source):
            rates, of_loss = family.rates(y, eta), self.weights.of_loss(y, weight)
            squares = X.multiply(X).tocsr() if is_sparse(X) else X * X
            each = np.arange(rates.slope.shape[1])

            observed = _two_rows(X, squares, rates.observed[:, each, each] * of_loss[:, None])
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
                observed
                if family.canonical
                else _two_rows(X, squares, rates.expected[:, each, each] * of_loss[:, None]),
                None,
            )
        return total


def _two_rows(X: Any, squares: Any, curvature: Array) -> Array:
    return np.stack([np.asarray(of.T @ curvature).T.ravel() for of in (squares, X)])


@dataclass(frozen=True, eq=False)
class Products:
    """Answers a block with its information times some vectors, (size, s).

    Parameters
    ----------
    vectors : (size, s) array
    expected : bool
        Of the expected information; otherwise of the observed one.
    """

    design: Design
    beta: Array
    weights: Weights
    vectors: Array
    expected: bool

    def __call__(self, index: int, source: Any) -> Array:
        design, outputs = self.design, self.design.outputs
        each = self.vectors.reshape(outputs, design.width, -1)
        total = np.zeros(each.shape)
        for X, y, weight, eta, _, _ in pieces(design, self.beta, source):
            rates, of_loss = design.fitted.family.rates(y, eta), self.weights.of_loss(y, weight)
            second = (rates.expected if self.expected else rates.observed) * of_loss[:, None, None]
            moved = [np.asarray(X @ one) for one in each]
            for k in range(outputs):
                through = sum(second[:, k, other, None] * moved[other] for other in range(outputs))
                total[k] += X.T @ through
        return total.reshape(self.vectors.shape)


@dataclass(frozen=True, eq=False)
class ProjectedScores:
    """Answers a block with what a sandwich has between: squares of the rows' scores times some vectors, (s, s), or the
    sums of these by cluster, as `SeveralSums`.

    Parameters
    ----------
    vectors : (size, s) array
        Columns of the bread.
    clusters : tuple of str
        Those by which scores are added up; none for rows.
    """

    design: Design
    beta: Array
    weights: Weights
    vectors: Array
    clusters: tuple[str, ...] = ()

    def __call__(self, index: int, source: Any) -> Any:
        design = self.design
        each = self.vectors.reshape(design.outputs, design.width, -1)
        s = each.shape[2]
        empty = ClusterSums(np.zeros(0), np.zeros((0, s)))
        parts = {0: np.zeros((s, s)), 1: SeveralSums((empty,)), 2: SeveralSums((empty,) * 3)}
        total: Any = parts[len(self.clusters)]
        for X, y, weight, eta, ids, _ in pieces(design, self.beta, source, self.clusters):
            slope = design.fitted.family.rates(y, eta).slope
            scores = sum(slope[:, k, None] * np.asarray(X @ one) for k, one in enumerate(each))
            if not self.clusters:
                total = total + gram(scores, self.weights.of_squares(y, weight))
                continue
            scores = scores * self.weights.of_loss(y, weight)[:, None]
            every = ids if len(ids) == 1 else (*ids, pairs(*ids))
            total = total + SeveralSums(tuple(ClusterSums.of(one, scores) for one in every))
        return total
