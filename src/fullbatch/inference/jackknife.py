"""Errors by cluster that hold with few of them, from the information A_g and the score s_g of each cluster.

CRV3 is the jackknife, by one step of Newton's in place of each fit without a cluster: what leaving it out changes the
estimates by is (A - A_g)^-1 s_g, where A is the information of all; exactly so for least squares (CV3 of MacKinnon,
Nielsen and Webb, 2023).

CRV2 is half of it, the bias-reduced CR2 of Bell and McCaffrey (2002): with A^-1 = L L' the change above is
L (I - L' A_g L)^-1 L' s_g, and the square root of that inverse stands in its place. For least squares this is what
(I - H_gg)^-1/2 makes of the residuals of a cluster, where H_gg are its rows and columns of the hat matrix: their
products with X_g are known from matrices of the size of A_g, by the singular values of X_g L.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..machine.eigen import eigh
from .design import Design
from .sums import ClusterSums, information, pieces
from .weights import Weights

Array = npt.NDArray[Any]

# Numbers of all clusters' matrices together: 512 MB.
_MOST_NUMBERS = 2**26

# What is left of a direction without a cluster, as a share of all information on it, that is rounding.
_NOTHING = 1e-11


@dataclass(frozen=True, eq=False)
class ClusterInformation:
    """Answers a block with each cluster's score, and behind it its information in one row, as `ClusterSums`."""

    design: Design
    beta: Array
    weights: Weights
    cluster: str
    kind: str

    def __call__(self, index: int, source: Any) -> ClusterSums:
        size = self.design.size
        total = ClusterSums(np.zeros(0), np.zeros((0, size + size**2)))
        for X, y, weight, eta, (ids,), _ in pieces(self.design, self.beta, source, (self.cluster,)):
            rates, of_loss = self.design.fitted.family.rates(y, eta), self.weights.of_loss(y, weight)
            order = np.argsort(ids, kind="stable")
            found, first = np.unique(ids[order], return_index=True)
            self._refuse_many(len(found))
            rows = np.empty((len(found), size + size**2))
            for place, own in enumerate(np.split(order, first[1:])):
                score = X[own].T @ (rates.slope[own] * of_loss[own, None])
                rows[place, :size] = np.asarray(score).T.ravel()
                rows[place, size:] = information(X[own], rates.observed[own], of_loss[own]).ravel()
            total += ClusterSums(found, rows)
            self._refuse_many(len(total.ids))
        return total

    def _refuse_many(self, count: int) -> None:
        if count * self.design.size**2 > _MOST_NUMBERS:
            raise DataError(
                f"more than {count - 1:,} clusters of {self.cluster!r}: {self.kind} keeps a matrix of "
                f'{self.design.size} parameters for each of them. With so many covariance="cluster" is right'
            )


def of_clusters(kind: str, parts: ClusterSums, total: Array, cluster: str, inverse: Any) -> Array:
    """Covariance from the clusters' scores and information.

    Parameters
    ----------
    kind : {"CRV2", "CRV3"}
    parts : ClusterSums
        Of `ClusterInformation`.
    total : (size, size) array
        Information of all rows.
    cluster : str
        What tells the clusters.
    inverse : callable
        Inverse of a positive definite matrix; raises `DataError` where there is none.
    """
    count, size = len(parts.ids), len(total)
    if count < 2:
        raise DataError(
            f"all rows are in one cluster of {cluster!r}: without at least two, how they differ is not known"
        )
    changes = np.empty((count, size))
    root = np.linalg.cholesky(inverse(total)) if kind == "CRV2" else None
    for place, row in enumerate(parts.scores):
        own, score = row[size:].reshape(size, size), row[:size]
        try:
            changes[place] = inverse(total - own) @ score if root is None else _halfway(root, own, score)
        except DataError:
            raise DataError(
                f"without the cluster {parts.ids.tolist()[place]!r} of {cluster!r} some coefficients are not known, so "
                f'that {kind} is not either: leave out columns that vary in one cluster alone, or ask for "cluster"'
            ) from None
    return np.asarray((1.0 if kind == "CRV2" else (count - 1.0) / count) * changes.T @ changes)


def _halfway(root: Array, own: Array, score: Array) -> Array:
    """L (I - L' A_g L)^-1/2 L' s_g.

    Raises
    ------
    DataError
        The other clusters tell nothing of some direction.
    """
    values, vectors = eigh(root.T @ own @ root)
    left = 1.0 - values
    if not left.min() > _NOTHING:
        raise DataError("nothing is left of a direction")
    return np.asarray(root @ (vectors @ (vectors.T @ (root.T @ score) / np.sqrt(left))))
