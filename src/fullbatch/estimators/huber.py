"""Huber's robust regression, its scale fitted jointly."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ..data.given import Given, is_in_memory
from ..models.linear import Linear
from ..models.scaled_huber import ScaledHuber
from ..objective.objective import Objective
from ..objective.variables import Standardized
from ..protocols.schema import Schema
from ..saving.contents import Member, Number
from ..wording.arguments import check_number, is_number
from ._regression import Regression

Array = npt.NDArray[Any]


def _order(size: Any) -> Array:
    """The power of 256 that is nearest, which rounds nothing that it multiplies."""
    return np.asarray(256.0 ** np.round(np.log2(size) / 8.0))


class _WithScale(Standardized):
    """Centred columns, coefficients and intercept in units of their own order of magnitude, and log(scale) behind them,
    as it is: whatever the units, no coordinate is of another order than the others.

    Parameters
    ----------
    schema : Schema
        Column means and variances.
    intercept : bool
        Whether there is one.
    spread : float
        Of the targets.
    held : (p,) bool array
        Columns whose coefficients are zero, such as those of base levels.
    """

    def __init__(self, schema: Schema, intercept: bool, spread: float, held: Array) -> None:
        super().__init__(schema, 1, intercept, scale=True, held=held)
        self._scale, self.unit = _order(self._scale), float(_order(spread))

    def to_blocks(self, theta: Array) -> Array:
        return np.append(self.unit * super().to_blocks(theta[:-1]), theta[-1])

    def to_solver(self, theta: Array) -> Array:
        return np.append(super().to_solver(theta[:-1]) / self.unit, theta[-1])

    def pull_back(self, grad: Array) -> Array:
        return np.append(self.unit * super().pull_back(grad[:-1]), grad[-1])


@dataclass(kw_only=True, eq=False, repr=False)
class HuberRegressor(Regression):
    """Regression that outliers pull at with a bounded force, by exact gradients over blocks of rows.

    Minimises sum of w_i (s + s H(r_i / s)) + alpha ||coef||^2 over the coefficients and the scale s > 0, where r_i is
    the residual of a row, and H(z) is z^2 up to epsilon and 2 epsilon |z| - epsilon^2 beyond. Neither the intercept nor
    the scale is penalised. The result is the same to the bit on any engine and number of workers. For a scale that is
    given use `GeneralizedLinearRegressor("huber")`.

    Parameters
    ----------
    epsilon : float, default=1.35
        Residuals of more than so many scales count as outliers; 1 or more.
    alpha : float, default=1e-4
        Strength of the penalty, on the sum.
    tol : float, default=1e-5
        As for every linear model, but that F at the start stands for the null model's.
    fit_intercept, max_iter, warm_start, standardize, missing, missing_indicator, formula, base, unknown, solver,
    engine, checkpoint, callbacks, verbose
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.

    Attributes
    ----------
    coef_ : (p,) float64 array
        Coefficients.
    intercept_ : float
        Intercept; 0 without.
    scale_ : float
        The scale s.
    outliers_ : (n,) bool array
        Rows whose residual is more than epsilon scales; of rows given as an array, matrix or table in memory only.
    features_, n_iter_, n_samples_fit_, l2_, l1_, status_, missing_, result_
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.
    n_features_in_, feature_names_in_, has_offset_, zero_based_
        The same.

    Examples
    --------
    >>> import numpy as np
    >>> from fullbatch import HuberRegressor
    >>> X = np.arange(8.0)[:, None]
    >>> y = 2 * X[:, 0] + np.array([0.1, -0.1] * 4)
    >>> y[7] = 100
    >>> HuberRegressor().fit(X, y).outliers_.nonzero()
    (array([7]),)
    """

    _saved_parameters: ClassVar = {
        "epsilon": Number(1),
        "alpha": Number(0),
        **{
            name: rule
            for name, rule in Regression._saved_parameters.items()
            if name not in ("l1_ratio", "lower_bounds", "upper_bounds")
        },
    }

    _saved_members: ClassVar = {"scale": Member("f", (), least=0), **Regression._saved_members}

    epsilon: float = 1.35
    alpha: float = 0.0001
    tol: float = 1e-5
    _no_inference: ClassVar = 'its scale is fitted too: use GeneralizedLinearRegressor("huber"), whose delta is given'
    _no_together: ClassVar = 'its scale is fitted too: use GeneralizedLinearRegressor("huber"), whose delta is given'

    l1_ratio: ClassVar[float] = 0.0  # type: ignore[misc]
    lower_bounds: ClassVar[None] = None  # type: ignore[misc]
    upper_bounds: ClassVar[None] = None  # type: ignore[misc]

    def _look_at_rows(self, given: Given) -> None:
        self.__dict__.pop("outliers_", None)  # of an earlier fit
        if all(is_in_memory(source) for source in given.sources):
            self.outliers_ = np.concatenate([self._outliers(source) for source in given.sources])

    def _outliers(self, source: Any) -> Array:
        rows = source.read()
        residual = np.asarray(rows.y, np.float64) - self._eta(rows, source)[:, 0]
        return np.abs(residual) > self.scale_ * self.epsilon

    def _check_parameters(self) -> None:
        if not (is_number(self.epsilon) and 1 <= self.epsilon < np.inf):
            raise ValueError(f"epsilon must be a finite number of 1 or more, got {self.epsilon!r}")
        check_number("alpha", self.alpha, finite=True)
        super()._check_parameters()

    def _model(self) -> ScaledHuber:
        return ScaledHuber(float(self.epsilon), bool(self.fit_intercept))

    def _linear(self, schema: Schema) -> Linear:
        return self._model().location

    def _loss(self) -> tuple[str, None]:
        return "huber", None

    def _strength(self, weight: float) -> float:
        return 2.0 * float(self.alpha) / weight

    def _variables(self, schema: Schema, linear: Linear) -> _WithScale:
        held = super()._variables(schema, linear).held
        return _WithScale(schema, linear.intercept, self._spread(schema), held)

    def _penalty(self, schema: Schema, variables: Any, outputs: int) -> dict[str, Any]:
        """Of coefficients in their own units, or per standard deviation, not in those of the solver."""
        size = variables.unit / variables.scale
        if self.standardize:
            size = size * Standardized(schema, 1, bool(self.fit_intercept), True).scale
        share = self._shares(schema.features)[0]
        strength = self.l2_ * size**2 * (1.0 if share is None else share)
        return {"l2": np.append(strength * np.ones(schema.n_features), np.zeros(1 + self.fit_intercept))}

    def _spread(self, schema: Schema) -> float:
        """Of target less offset: about their mean, where there is an intercept; 1 where they are all alike."""
        moments = schema.null.moments
        square = moments.squares[0] / moments.weight + (0.0 if self.fit_intercept else moments.mean[0] ** 2)
        return float(np.sqrt(square)) if square > 0 and np.isfinite(square) else 1.0

    def _first_guess(self, objective: Objective, schema: Schema) -> Array:
        """The mean of target less offset, and its spread."""
        variables: Any = objective.variables
        theta = np.zeros(objective.size)
        if self.fit_intercept:
            theta[-2] = schema.null.moments.mean[0] / variables.unit
        theta[-1] = np.log(self._spread(schema))
        return theta

    def _last_theta(self) -> Array:
        return np.append(super()._last_theta(), np.log(self.scale_))

    def _keep_rest(self, rest: Array) -> None:
        self.scale_ = float(np.exp(rest[0]))

    def _counted(self, iterations: int) -> int:
        return iterations

    def _add_saved(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        arrays["scale"] = np.asarray(self.scale_)

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        model = super()._loaded(arrays, metadata)
        model.scale_ = float(arrays["scale"])
        return model
