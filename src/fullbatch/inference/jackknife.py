"""Errors by cluster that hold with few of them: the jackknife, one step of Newton's in place of each fit without one.

What leaving cluster g out changes the estimates by is (A - A_g)^-1 s_g, where A is the information, A_g and s_g the
cluster's own information and score: exactly so for least squares (CV3 of MacKinnon, Nielsen and Webb, 2023).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from .design import Design
from .sums import ClusterSums, information, pieces
from .weights import Weights

Array = npt.NDArray[Any]

# Numbers of all clusters' matrices together: 512 MB.
_MOST_NUMBERS = 2**26


@dataclass(frozen=True, eq=False)
class ClusterInformation:
    """Answers a block with each cluster's score, and behind it its information in one row, as `ClusterSums`."""

    design: Design
    beta: Array
    weights: Weights
    cluster: str

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
                f"more than {count - 1:,} clusters of {self.cluster!r}: CRV3 keeps a matrix of {self.design.size} "
                'parameters for each of them. With so many covariance="cluster" is right'
            )


def jackknifed(parts: ClusterSums, total: Array, cluster: str, inverse: Any) -> Array:
    """Covariance from the clusters' scores and information.

    Parameters
    ----------
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
    for place, row in enumerate(parts.scores):
        try:
            changes[place] = inverse(total - row[size:].reshape(size, size)) @ row[:size]
        except DataError:
            raise DataError(
                f"without the cluster {parts.ids.tolist()[place]!r} of {cluster!r} some coefficients are not known, so "
                'that CRV3 is not either: leave out columns that vary in one cluster alone, or ask for "cluster"'
            ) from None
    return np.asarray((count - 1.0) / count * changes.T @ changes)
