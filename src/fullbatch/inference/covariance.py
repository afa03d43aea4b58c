"""From sums over rows to the covariance of the estimates, under several assumptions.

Conventions, each of which other packages choose too: "classical" is expected information (R, statsmodels' GLM);
sandwiches have the observed information as their bread; HC1 is multiplied by N / (N - K) and clusters by
G / (G - 1) (N - 1) / (N - K) (Stata, statsmodels, fixest), CRV3 by (G - 1) / G, CRV2 by none. Two ways of clusters:
V_a + V_b - V_ab, whose negative eigenvalues are set to zero (Cameron, Gelbach and Miller, 2011). N is the sum of
weights that count rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..machine.blas import one_thread
from ..machine.eigen import eigh
from ..wording.messages import shortened
from .data import Data
from .design import Design
from .jackknife import ClusterInformation, of_clusters
from .sums import ClassWeights, Clustered, ClusterSums, LeveragedMeat, Spreads, Sums, SumsAt
from .weights import NO_COUNTS, Weights

Array = npt.NDArray[Any]

KINDS = ("classical", "observed", "HC0", "HC1", "HC2", "HC3", "cluster", "CRV2", "CRV3")

# A column of which less than this share is left beside the intercept, and an eigenvalue of the correlations of columns,
# that are rounding.
DWARFED, COLLINEAR = 1e-13, 1e-11
# Curvature along a column, relative to what its spread lets expect, that only separated classes have.
_SEPARATED = 1e-7


@dataclass(frozen=True, eq=False)
class Information:
    """What one pass at the fitted coefficients tells.

    Parameters
    ----------
    design : Design
        The parameters.
    data : Data
        The rows.
    weights : Weights
        What weights mean.
    sums : Sums
        With squared scores.
    penalty : (K (p + 1),) array
        Second derivatives of the penalty on the summed loss, as `Design.of_theta` takes coefficients; zeros for none.
    """

    design: Design
    data: Data
    weights: Weights
    sums: Sums
    penalty: Array

    whole: ClassVar[bool] = True  # not of some parameters alone

    @classmethod
    def of(cls, design: Design, data: Data, weights: str | None) -> "Information":
        """By one pass; by one more where classes are balanced, the penalty is for standardised columns, or weights turn
        out to be numbers of trials.
        """
        fitted, meaning = design.fitted, weights_of(design, data, weights)
        sums = data.total(SumsAt(design, design.beta, meaning, meat=True))
        if sums.rows == 0:
            raise DataError("no row has a positive weight: nothing can be told")
        if weights is None and are_trials(design, sums):
            meaning = replace(meaning, precision=True)
            sums = data.total(SumsAt(design, design.beta, meaning, meat=True))
        l2 = fitted.l2
        if fitted.standardize and l2.any():
            moments = data.total(Spreads(design))
            l2 = l2 * moments.squares / moments.weight
        of_predictor = np.append(l2 * _loss_weight(sums, design, meaning, data), 0.0)
        return cls(design, data, meaning, sums, np.tile(of_predictor, len(fitted.coef)))

    @property
    def penalised(self) -> bool:
        """Whether there is a penalty."""
        return bool(self.penalty.any())

    @property
    def count(self) -> float:
        """N: rows, or what their weights count."""
        return float(self.sums.rows) if self.weights.precision else self.sums.weight

    def bread(self, information: Array) -> Array:
        """(size, size) inverse of the information; with a penalty, of both together."""
        if not self.penalised:
            return inverse(information)
        E = self.design.of_theta
        return np.asarray(E @ self._inverse_of_theta(information) @ E.T)

    def _inverse_of_theta(self, information: Array) -> Array:
        """In the model's own coefficients, of which an L2 penalty tells those that the data cannot."""
        E = self.design.of_theta
        with one_thread():
            matrix = E.T @ information @ E + np.diag(self.penalty)
            if (held := self.design.fitted.held) is not None:  # they do not move
                fixed = np.tile(np.append(held, False), len(self.design.fitted.coef))
                matrix[fixed], matrix[:, fixed] = 0.0, 0.0
            scale = np.sqrt(np.where(matrix.diagonal() > 0, matrix.diagonal(), 1.0))
            values, vectors = eigh(matrix / scale / scale[:, None])
            there = values > 1e-13 * values[-1]
            return np.asarray((vectors[:, there] / values[there]) @ vectors[:, there].T / scale / scale[:, None])

    @property
    def degrees(self) -> float:
        """Parameters; with a penalty the trace of what maps targets to fitted values."""
        if not self.penalised:
            return float(self.design.size)
        with one_thread():
            return float(np.trace(self.bread(self.sums.expected) @ self.sums.expected))

    def distance(self) -> float:
        """How far the coefficients are from the optimum, in classical standard errors at phi = 1: by Newton's step."""
        E, fitted = self.design.of_theta, self.design.fitted
        with one_thread():
            if not self.penalised:
                grad, inverted = self.sums.grad, inverse(self.sums.observed)
            else:
                theta = np.column_stack((fitted.coef, fitted.intercept)).ravel()
                grad = E.T @ self.sums.grad + self.penalty * theta
                inverted = self._inverse_of_theta(self.sums.observed)
            return float(np.sqrt(max(float(grad @ inverted @ grad), 0.0)))

    # --- covariance -----------------------------------------------------------------------------------------------

    def covariance(self, kind: str, dispersion: float) -> tuple[Array, tuple[int, ...]]:
        """Covariance of the parameters, (size, size), and the numbers of clusters."""
        N, K = self.count, self.degrees
        with one_thread():
            if kind in ("classical", "observed"):
                information = self.sums.expected if kind == "classical" else self.sums.observed
                bread = self.bread(information)
                return dispersion * (bread @ information @ bread if self.penalised else bread), ()
            self._refuse_saturated(f"covariance={kind!r}")
            bread = self.bread(self.sums.observed)
            if kind in ("HC0", "HC1"):
                assert self.sums.meat is not None
                matrix = _symmetric(bread @ self.sums.meat @ bread)
                return matrix * (N / (N - K) if kind == "HC1" else 1.0), ()
            if kind in ("HC2", "HC3"):
                if self.design.outputs > 1:
                    raise ValueError(f"{kind} is for one linear predictor, this model has {self.design.outputs}")
                task = LeveragedMeat(
                    self.design, self.design.beta, self.weights, self.bread(self.sums.expected), int(kind[2]) - 1
                )
                return _symmetric(bread @ self.data.total(task) @ bread), ()
            if kind in ("CRV2", "CRV3"):
                return self._of_few_clusters(kind)
            return self._clustered(bread, (N - 1.0) / (N - K))

    def _of_few_clusters(self, kind: str) -> tuple[Array, tuple[int, ...]]:
        if len(self.data.beside) > 1:
            raise ValueError(f'{kind} is for one way of clusters: name one, or ask for "cluster"')
        if self.penalised:
            raise ValueError(f'{kind} is of fits without a penalty: ask for "cluster"')
        (cluster,) = self.data.beside
        parts = self.data.total(ClusterInformation(self.design, self.design.beta, self.weights, cluster, kind))
        return _symmetric(of_clusters(kind, parts, self.sums.observed, cluster, inverse)), (len(parts.ids),)

    def _clustered(self, bread: Array, factor: float) -> tuple[Array, tuple[int, ...]]:
        names = self.data.beside
        parts = self.data.total(Clustered(self.design, self.design.beta, self.weights, names)).parts
        return from_clusters(parts, names, bread, factor)

    # --- what stands in the way -----------------------------------------------------------------------------------

    def refuse_unknown(self) -> None:
        """Refuse data that does not tell every parameter.

        Raises
        ------
        DataError
            Fewer rows than parameters, columns without variation, collinear columns, separated classes.
        """
        sums, names = self.sums, self.design.names
        self._refuse_few()
        matrix, kept = sums.observed, np.arange(self.design.size)
        diagonal = matrix.diagonal().copy()
        share = np.ones(self.design.size)
        if not np.isfinite(matrix).all():
            raise DataError("the information is not finite: coefficients or columns are too large, scale them")
        if self.design.fitted.fit_intercept:
            first = np.arange(0, self.design.size, self.design.width)
            kept = np.setdiff1d(kept, first)
            if (diagonal[first] <= 0).any():
                raise DataError(self._separated([names[first[0]]]))
            with one_thread():
                across = np.linalg.solve(matrix[np.ix_(first, first)], matrix[np.ix_(first, kept)])
                matrix = matrix[np.ix_(kept, kept)] - matrix[np.ix_(kept, first)] @ across
            share = np.divide(matrix.diagonal(), diagonal[kept], out=np.zeros(len(kept)), where=diagonal[kept] > 0)
        if self.penalised:
            return
        constant = kept[(share <= DWARFED) | (diagonal[kept] <= 0)]
        if constant.size:
            raise DataError(
                f"{shortened([names[j] for j in constant])}: without variation beside the intercept, or with a spread "
                "that is rounding of its mean: leave the column out, or subtract its mean before the fit"
            )
        if self.design.fitted.family.loss != "squared":
            self._refuse_separated(matrix.diagonal(), kept)
        scale = np.sqrt(matrix.diagonal())
        with one_thread():
            values, vectors = eigh(matrix / scale / scale[:, None]) if len(kept) else (np.ones(1), np.ones((1, 1)))
        if values[0] <= COLLINEAR:
            part = np.abs(vectors[:, 0])
            involved = [names[kept[j]] for j in np.flatnonzero(part > 0.1 * part.max())]
            raise DataError(
                f"{shortened(involved)}: collinear, so that their coefficients are not known one by one: leave one of "
                "them out, or penalise"
            )

    def _refuse_few(self) -> None:
        """Refuse fewer rows than parameters; as many are enough where each is many trials, whose variance is known."""
        count, size = self.count, self.design.size
        if count > size or (count == size and self.weights.precision and are_trials(self.design, self.sums)):
            return
        told = f"{count:g} rows for {size} parameters: standard errors need more rows than parameters"
        if not self.weights.precision and self.sums.rows > size:
            told = (
                f"the weights of {self.sums.rows:,} rows add up to {count:.6g}, so many rows for {size} parameters by "
                f'weights="frequency": {NO_COUNTS}'
            )
        raise DataError(told)

    def _refuse_saturated(self, what: str) -> None:
        if self.count <= self.degrees:
            raise DataError(
                f"{self.count:g} rows for {self.design.size} parameters, which fit each of them: {what} needs residuals"
            )

    def _refuse_separated(self, curvature: Array, kept: Array) -> None:
        sums, width = self.sums, self.design.width
        total = self.sums.weight if self.weights.factors is None else float(sums.totals[0])
        spread = sums.lengths - (sums.totals**2 / total if self.design.fitted.fit_intercept else 0.0)
        expected = np.maximum(spread, 0.0)[kept % width] * (sums.curvature / max(total, 1e-300))
        separated = kept[curvature <= _SEPARATED * expected]
        exact = self.design.fitted.classes is not None and sums.deviance <= 1e-5 * self.count
        if separated.size or exact:
            raise DataError(self._separated([self.design.names[j] for j in separated]))

    def _separated(self, names: list[str]) -> str:
        of = f" by {shortened(names)}" if names else ""
        what = "some rows are fitted ever better" if self.design.fitted.classes is None else "the classes are separated"
        return (
            f"{what}{of}: the likelihood has no maximum, and its curvature where the fit ended says "
            "nothing of errors. Leave the column out, merge levels, or penalise"
        )


def are_trials(design: Design, sums: Sums) -> bool:
    """Whether weights are numbers of trials: there are shares, which no single trial gives."""
    return design.fitted.family.loss == "binomial" and sums.fractions > 0 and sums.weighed


def weights_of(design: Design, data: Data, weights: str | None) -> Weights:
    """What the weights of this fit mean, as far as it was said; one pass where classes are balanced."""
    fitted, factors = design.fitted, None
    if fitted.class_weight is not None:
        assert fitted.classes is not None
        if isinstance(fitted.class_weight, str):
            of_class = data.total(ClassWeights(design))
            factors = of_class.sum() / (len(of_class) * np.maximum(of_class, np.finfo(np.float64).tiny))
        else:
            factors = np.array([float(fitted.class_weight.get(one, 1.0)) for one in fitted.classes.tolist()])
    return Weights(weights == "precision", factors)


def from_clusters(
    parts: Sequence[ClusterSums], names: Sequence[str], bread: Array, factor: float
) -> tuple[Array, tuple[int, ...]]:
    """Covariance from sums of scores by one or two ways of clusters, and by their pairs; and numbers of clusters.

    Raises
    ------
    DataError
        There is one cluster only.
    """
    counts = tuple(len(part.ids) for part in parts)
    for name, count in zip(names, counts, strict=False):
        if count < 2:
            raise DataError(
                f"all rows are in one cluster of {name!r}: without at least two, how they differ is not known"
            )
    meats = [part.meat * (count / (count - 1.0)) for part, count in zip(parts, counts, strict=True)]
    meat = meats[0] if len(meats) == 1 else meats[0] + meats[1] - meats[2]
    matrix = _symmetric(bread @ meat @ bread) * factor
    if len(meats) > 1:
        values, vectors = eigh(matrix)
        if values[0] < 0:
            matrix = _symmetric((vectors * np.maximum(values, 0.0)) @ vectors.T)
    return matrix, counts[: len(names)]


def _loss_weight(sums: Sums, design: Design, weights: Weights, data: Data) -> float:
    """Sum of the weights of the rows' losses."""
    if weights.factors is None:
        return sums.weight
    if design.fitted.fit_intercept:
        return float(sums.totals[0])
    return float(weights.factors @ data.total(ClassWeights(design)))


def inverse(matrix: Array) -> Array:
    """Inverse of a positive definite matrix, scaled to a diagonal of ones first.

    Raises
    ------
    DataError
        It is singular.
    """
    diagonal = matrix.diagonal()
    scale = np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
    with one_thread():
        values, vectors = eigh(matrix / scale / scale[:, None])
        if not values[0] > 0:
            raise DataError("the information is singular: some coefficients are not known one by one")
        return np.asarray((vectors / values) @ vectors.T / scale / scale[:, None])


def _symmetric(matrix: Array) -> Array:
    return np.asarray(0.5 * (matrix + matrix.T))
