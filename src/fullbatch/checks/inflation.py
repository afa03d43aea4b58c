"""How much of each column the others tell: variance inflation, and columns that are combinations of others."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..inference.covariance import COLLINEAR, DWARFED
from ..inference.design import Design
from ..inference.sums import gram
from ..machine.blas import one_thread
from ..machine.eigen import eigh
from ..protocols.rows import is_sparse
from .compared import Scoring, stretches

Array = npt.NDArray[Any]

# Columns take part in a combination with at least this share of its largest part.
_PART = 0.1


@dataclass(frozen=True, eq=False)
class Scatter:
    """Weighted scatter of columns about their own means; adds up (Chan, Golub and LeVeque, 1983).

    Parameters
    ----------
    weight : float
    mean : (p,) array
    matrix : (p, p) array
        Weighted sums of products of differences from the means.
    """

    weight: float
    mean: Array
    matrix: Array

    @classmethod
    def of(cls, X: Any, weight: Array) -> "Scatter":
        """Of some rows."""
        total = float(weight.sum())
        mean = np.asarray(X.T @ weight) / total
        if is_sparse(X):
            return cls(total, mean, gram(X, weight) - total * np.outer(mean, mean))
        return cls(total, mean, gram(X - mean, weight))

    def __add__(self, other: "Scatter") -> "Scatter":
        if not (self.weight and other.weight):
            return self if self.weight else other
        weight, apart = self.weight + other.weight, other.mean - self.mean
        between = np.outer(apart, apart) * (self.weight * (other.weight / weight))
        return Scatter(weight, self.mean + apart * (other.weight / weight), self.matrix + other.matrix + between)


@dataclass(frozen=True, eq=False)
class ScatterOf:
    """Answers a block with the `Scatter` of the columns of a design, the intercept's left out."""

    scoring: Scoring
    design: Design

    def __call__(self, index: int, source: Any) -> Scatter:
        first = int(self.design.fitted.fit_intercept)
        p = self.design.width - first
        total = Scatter(0.0, np.zeros(p), np.zeros((p, p)))
        rows, weight, *_ = self.scoring.counting(source)
        with one_thread():
            for part in stretches(len(weight), p):
                total += Scatter.of(self.design.matrix(rows, part)[:, first:], weight[part])
        return total


class Inflation(NamedTuple):
    """What columns have in common.

    Parameters
    ----------
    factors : dict of str to (float, int)
        Of each column of the data: by how much the others multiply the variance of its coefficients (of several: the
        squared volume of their joint confidence region, Fox and Monette, 1992), and how many these are. NaN for columns
        without variation, infinite for combinations of others.
    constant, combined : list of str
        Columns of the model without variation, and those that are combinations of others.
    """

    factors: dict[str, tuple[float, int]]
    constant: list[str]
    combined: list[str]


def inflation(design: Design, scatter: Scatter) -> Inflation:
    """What columns of a design of one predictor have in common, beside the intercept if there is one."""
    first, matrix = int(design.fitted.fit_intercept), scatter.matrix
    squares = matrix.diagonal() + scatter.weight * scatter.mean**2
    if not first:
        matrix = matrix + scatter.weight * np.outer(scatter.mean, scatter.mean)
    all_names = design.fitted.features.names_out()
    names = [all_names[column] for column in design.columns.tolist()]
    varies = matrix.diagonal() > DWARFED * squares
    used = np.flatnonzero(varies)
    scale = np.sqrt(matrix.diagonal()[used])
    with one_thread():
        correlations = matrix[np.ix_(used, used)] / scale / scale[:, None]
        values, vectors = eigh(correlations) if used.size else (np.ones(0), np.ones((0, 0)))
        low = values <= COLLINEAR
        inverse = (vectors[:, ~low] / values[~low]) @ vectors[:, ~low].T
    part = np.abs(vectors[:, low]).max(axis=1, initial=0.0)
    combined = np.zeros(len(names), bool)
    combined[used] = part > _PART * part.max(initial=0.0)
    place = {int(column): row for row, column in enumerate(used)}
    factors = {}
    for name, places in design.terms.items():
        own = [one - first for one in places]
        there = [place[one] for one in own if one in place]
        factor = np.nan
        if there and combined[own].any():
            factor = np.inf
        elif there:
            block = np.ix_(there, there)
            with one_thread():
                factor = max(float(np.linalg.det(correlations[block]) * np.linalg.det(inverse[block])), 1.0)
        factors[name] = (factor, len(there))
    return Inflation(factors, [names[j] for j in np.flatnonzero(~varies)], [names[j] for j in np.flatnonzero(combined)])
