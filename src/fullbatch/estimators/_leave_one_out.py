"""Errors of ridge regressions on each row that the fit has not seen, from the fits to all rows and one read.

The error on a row left out is its residual divided by 1 less its leverage (Allen's PRESS; Golub, Heath and Wahba,
1979). Sums of squares are decomposed once, R = P S V'; in the columns X V the leverages for every strength of the
penalty are sums of squares over s^2 + alpha, so that one read brings those of all strengths.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.features import encode, matched
from ..machine.blas import one_thread
from ..objective.factor import Factor
from ..protocols.rows import Rows, Source, is_sparse
from ..protocols.schema import Features
from ..solvers.ridge_path import Spectrum
from ..wording.messages import located

Array = npt.NDArray[Any]

# Numbers of the copied rows that are worked on at a time: 16 MB.
_NUMBERS = 2**21

# What a row's leverage must leave of 1, so that digits of its error are left where it is divided by that.
_LEAST = 1e-11


@dataclass(frozen=True, eq=False)
class LeftOut:
    """What a worker makes of the rows of a source: residuals of each, under the fits to all others.

    Parameters
    ----------
    features, missing
        Of the fit.
    names : tuple of str
        Of the columns.
    coef : (t, L, p) array
        Of each target and strength, on the columns as stored.
    level : (t, L) array
        What is predicted where every column is as in `center`.
    center : (p,) array
    basis : (p, r) array
        V.
    shrunk : (r, L) array
        1 / (s^2 + alpha).
    total : float
        Sum of the weights where there is an intercept, else infinite.
    first_rows : sequence of int
        Of the sources.
    targets : (n, t) array or None
        Those beside the sources' own.
    """

    features: Features
    missing: Mapping[str, Any]
    coef: Array
    level: Array
    center: Array
    basis: Array
    shrunk: Array
    total: float
    first_rows: Sequence[int]
    targets: Array | None = None

    def __call__(self, index: int, source: Source) -> tuple[Array, Array, Array, str | None]:
        """(m, t, L) residuals, (m, t) targets and (m,) weights; and the first row, if there is one, that alone decides
        what is predicted for it, so that little is known of its error when it is left out.
        """
        rows = source.read()
        rows = encode(matched(rows, self.features, self.missing, source), self.features, source)
        count, offset = rows.X.shape[0], rows.offset
        if self.targets is None:
            y = np.asarray(rows.y, np.float64)[:, None]
        else:
            first = self.first_rows[index]
            y = self.targets[first : first + count]
        weight = np.ones(count) if rows.weight is None else np.asarray(rows.weight, np.float64)
        residual = np.empty((count, *self.level.shape))
        lost: str | None = None
        step = max(256, _NUMBERS // max(len(self.center), 1))
        with one_thread():
            for start in range(0, count, step):
                part = slice(start, start + step)
                target = y[part] if offset is None else y[part] - np.asarray(offset, np.float64)[part, None]
                Z = _centred(rows, part, self.center)
                predicted = np.moveaxis(self.level[..., None] + self.coef @ Z.T, 2, 0)
                turned = Z @ self.basis
                others = 1.0 - weight[part, None] * (turned**2 @ self.shrunk + 1.0 / self.total)
                if lost is None and (found := np.flatnonzero(others.min(axis=1) < _LEAST)).size:
                    lost = located(source, start + int(found[0]))
                with np.errstate(divide="ignore", invalid="ignore"):
                    error = (target[:, :, None] - predicted) / others[:, None]
                residual[part] = np.where(np.isnan(error), np.inf, error)
        return residual, y, weight, lost


def left_out(
    factors: Sequence[Factor],
    alphas: Array,
    scale: Array,
    features: Features,
    missing: Mapping[str, Any],
    first_rows: Sequence[int],
    targets: Array | None,
) -> LeftOut:
    """The task for some strengths.

    Parameters
    ----------
    factors : sequence of Factor
        Of each target, in the blocks' theta.
    alphas : (L,) array
        Strengths beside the sum of squares, above 0.
    scale : (p,) array
        What the columns are divided by before coefficients are penalised.
    features, missing, first_rows, targets
        As those of `LeftOut`.
    """
    spectra = [Spectrum.of(factor, scale) for factor in factors]
    first, center = factors[0], factors[0].center[: len(scale)]
    thetas = np.array([one.thetas(alphas) for one in spectra])
    coef = thetas[:, :, : len(scale)]
    level = thetas[:, :, -1] + coef @ center if first.intercept else np.zeros(thetas.shape[:2])
    total = first.weight if first.intercept else np.inf
    basis, shrunk = spectra[0].basis, spectra[0].shrunk(alphas)
    return LeftOut(features, missing, coef, level, center, basis, shrunk, total, first_rows, targets)


def _centred(rows: Rows, part: slice, center: Array) -> Array:
    X = rows.X[part]
    return np.asarray((X.toarray() if is_sparse(X) else X) * np.float64(rows.scale) - center)
