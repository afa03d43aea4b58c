"""Standardisation as a change of variables on the driver: the kernels know nothing of it, sparse data stays sparse."""

from collections.abc import Sequence
from copy import copy
from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.threads import in_threads
from ..protocols.rows import is_sparse, stacked
from ..protocols.schema import CONSTANT, Schema

Array = npt.NDArray[Any]

# Rows that are standardised at a time.
_AT_A_TIME = 1024

_LEAST = float(np.sqrt(np.finfo(np.float64).tiny))


class Standardized:
    """Linear models in the variables of centred, and if wanted scaled, columns.

    Beside an intercept that is not penalised, centring changes no model: it leaves the coefficients alone and moves
    the intercept, and a quasi-Newton method needs far fewer passes. Scaling changes what a penalty means: it then
    counts coefficients per standard deviation.

    A column without variation is not used beside an intercept, which says all that it could: once centred it is nothing
    but rounding, of which a solver might make a coefficient of any size.

    Thetas and gradients may be those of several models, with further axes before the last.

    Parameters
    ----------
    schema : Schema
        Column means and variances.
    outputs : int
        Linear predictors of the model: theta is `coef` (outputs, features), row by row, then `intercept` (outputs,).
    intercept : bool
        Whether theta ends in intercepts. Without them columns are not centred.
    scale : bool
        Whether columns are divided by their population standard deviation; those whose squares overflow are left
        alone.
    held : (p,) bool array, optional
        Columns whose coefficients are zero, such as those of base levels.
    centred : bool
        Whether columns are centred, where there are intercepts. Not beside one that is penalised: a column without
        variation is then used as any other.
    """

    def __init__(
        self,
        schema: Schema,
        outputs: int,
        intercept: bool = True,
        scale: bool = False,
        held: Array | None = None,
        centred: bool = True,
    ) -> None:
        self._shape = (outputs, schema.n_features)
        self._intercept = intercept
        centred &= intercept
        self._mean = schema.mean if centred else np.zeros(schema.n_features)
        deviation = np.sqrt(schema.variance)
        # A constant column's variance is rounding: dividing by it would make noise a feature.
        varies = deviation > 1e-10 * np.maximum(np.abs(schema.mean), np.finfo(np.float64).tiny)
        varies &= np.isfinite(deviation)
        self._scale = np.where(varies, deviation, 1.0) if scale else np.ones(schema.n_features)
        # Of spreads below the root of the least number nothing is left when they are squared.
        constant = np.maximum(deviation, _LEAST) <= CONSTANT * np.abs(schema.mean)
        self._used = ~constant if centred else (schema.mean != 0) | (deviation != 0)
        self._held = np.zeros(schema.n_features, bool) if held is None else held
        self._used &= ~self._held

    def to_blocks(self, theta: Array) -> Array:
        """Coefficients and intercepts on the columns as stored."""
        coef, intercept = self._split(theta)
        coef = np.where(self._used, coef / self._scale, 0.0)
        return self._join(coef, intercept - (coef * self._mean).sum(axis=-1))

    def to_solver(self, theta: Array) -> Array:
        """Coefficients and intercepts on standardised columns."""
        coef, intercept = self._split(theta)
        coef = np.where(self._used, coef, 0.0)
        return self._join(coef * self._scale, intercept + (coef * self._mean).sum(axis=-1))

    def of_columns(self, columns: Array) -> "Standardized":
        """The same change of variables of a model that has these columns alone."""
        part = copy(self)
        part._shape = (self._shape[0], len(columns))
        part._mean, part._scale = self._mean[columns], self._scale[columns]
        part._used, part._held = self._used[columns], self._held[columns]
        return part

    @property
    def scale(self) -> Array:
        """What the solver's coefficients are divided by to be those on the columns as stored, (p,)."""
        return self._scale

    @property
    def mean(self) -> Array:
        """What is subtracted from the columns as stored, (p,)."""
        return self._mean

    @property
    def held(self) -> Array:
        """Which columns have coefficients of zero because somebody said so, (p,)."""
        return self._held

    @property
    def used(self) -> Array:
        """Which columns are used, (p,)."""
        return self._used

    def pull_back(self, grad: Array) -> Array:
        """Gradient on standardised columns from the gradient on the columns as stored."""
        coef, intercept = self._split(grad)
        if self._intercept:
            coef = coef - intercept[..., None] * self._mean
        return self._join(np.where(self._used, coef / self._scale, 0.0), intercept)

    def columns(self, parts: Sequence[Any]) -> tuple[Any, Array | None]:
        """Standardised columns of all rows, (m, p), from parts of them as stored; sparse ones scaled, and what to
        subtract from them.
        """
        mean = np.where(self._used, self._mean, 0.0)
        if is_sparse(parts[0]):
            scaled = stacked(parts).copy()
            scaled.data = np.where(self._used, 1.0 / self._scale, 0.0)[scaled.indices] * scaled.data
            return scaled, mean / self._scale
        X = np.empty((sum(map(len, parts)), len(mean)), parts[0].dtype)
        unused, scales = np.flatnonzero(~self._used), (self._scale != 1.0).any()

        def fill(some: tuple[Array, Array]) -> None:
            stored, centred = some
            np.subtract(stored, mean, out=centred, casting="same_kind")
            centred[:, unused] = 0.0
            if scales:
                np.divide(centred, self._scale, out=centred, casting="same_kind")

        places = np.split(X, np.cumsum([len(part) for part in parts])[:-1])
        pieces = (
            (stored[some], centred[some])
            for stored, centred in zip(parts, places, strict=True)
            for some in (slice(first, first + _AT_A_TIME) for first in range(0, len(stored), _AT_A_TIME))
        )
        in_threads(fill, pieces)
        return X, None

    def _split(self, theta: Array) -> tuple[Array, Array]:
        coefs = self._shape[0] * self._shape[1]
        intercept = theta[..., coefs:] if self._intercept else np.zeros(self._shape[0])
        return theta[..., :coefs].reshape(*theta.shape[:-1], *self._shape), intercept

    def _join(self, coef: Array, intercept: Array) -> Array:
        coef = coef.reshape(*coef.shape[:-2], -1)
        return np.concatenate((coef, intercept), axis=-1) if self._intercept else coef
