"""Regression on one linear predictor: generalised linear models, and robust and quantile regression."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin

from ..kernels.losses import LOSSES
from ..models.linear import Linear
from ..objective.objective import Objective
from ..protocols.schema import Features, Schema
from ..saving.contents import Either, Member, Named, Null, Number, Text
from ..wording.arguments import check_number
from ._linear import LinearEstimator
from ._measures import Spread, Tally, half_deviance
from ._per_column import LARGEST, PER_COLUMN, PerColumn, check_per_column, per_column

Array = npt.NDArray[Any]

# Losses of the logarithmic link: the prediction is exp(eta).
_LOG_LINK = ("poisson", "gamma", "tweedie")
# eta is cut here when a mean is predicted: beyond, exp is infinite.
_LARGEST_ETA = 700.0


@dataclass(kw_only=True, eq=False, repr=False)
class GeneralizedLinearRegressor(RegressorMixin, LinearEstimator):  # type: ignore[misc]
    """Regression on one linear predictor, by exact gradients over blocks of rows.

    Minimises (sum of w_i loss_i) / (sum of w_i) + alpha (l1_ratio |P1 coef|_1 + (1 - l1_ratio) P2 coef^2 / 2), where
    coefficients may be bounded. The intercept is neither penalised nor bounded. The result is
    the same to the bit on any engine and number of workers.

    Parameters
    ----------
    loss : {"squared", "huber", "quantile", "poisson", "gamma", "tweedie"}, default="squared"
        "squared", "huber" and "quantile" predict eta = X coef + intercept; "poisson", "gamma" and "tweedie" are half
        the deviance with the logarithmic link, and predict exp(eta).
    loss_options : mapping of str to float or None, default=None
        What shapes the loss: {"delta": 1.35} for "huber", {"quantile": 0.5, "smoothing": 0.1} for "quantile",
        {"power": 1.5} for "tweedie".
    alpha : float, default=0.0
        Strength of the penalty.
    P1 : float, (p,) array_like, mapping of str to float, or None, default=None
        What the strength of L1 is multiplied by, column by column, as `lower_bounds` are given; default: 1.
    P2 : float, (p,) array_like, mapping of str to float, or None, default=None
        The same of L2.
    tol, fit_intercept, max_iter, warm_start, l1_ratio, lower_bounds, upper_bounds, standardize, unknown, solver,
    engine, checkpoint, callbacks, verbose
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.

    Attributes
    ----------
    coef_ : (p,) float64 array
        Coefficients.
    intercept_ : float
        Intercept; 0 without.
    features_, n_iter_, n_samples_fit_, l2_, l1_, status_, missing_, result_
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.
    n_features_in_, feature_names_in_, has_offset_, zero_based_
        The same.

    Examples
    --------
    >>> import numpy as np
    >>> from fullbatch import GeneralizedLinearRegressor
    >>> X = np.arange(8.0)[:, None]
    >>> GeneralizedLinearRegressor("poisson").fit(X, np.round(np.exp(X[:, 0] / 4))).predict([[8.0]]).round()
    array([7.])
    """

    _saved_parameters: ClassVar = {
        "loss": Text(tuple(name for name, loss in LOSSES.items() if not loss.labels)),
        "loss_options": Either(Null(), Named(Number())),
        "alpha": Number(0),
        "P1": PER_COLUMN,
        "P2": PER_COLUMN,
        **LinearEstimator._saved_parameters,
    }
    _saved_members: ClassVar = {
        "coef": Member("f", ("columns",)),
        "intercept": Member("f", ()),
        **LinearEstimator._saved_members,
    }

    loss: str = field(default="squared", kw_only=False)
    loss_options: Mapping[str, float] | None = None
    alpha: float = 0.0
    P1: PerColumn = None
    P2: PerColumn = None

    def _check_parameters(self) -> None:
        known = [name for name, loss in LOSSES.items() if not loss.labels]
        if not (isinstance(self.loss, str) and self.loss in known):
            raise ValueError(f"unknown loss {self.loss!r}: choose from {', '.join(known)}")
        check_number("alpha", self.alpha, finite=True)
        check_per_column("P1", self.P1, 0.0, LARGEST)
        check_per_column("P2", self.P2, 0.0, LARGEST)
        if not (self.loss_options is None or isinstance(self.loss_options, Mapping)):
            raise ValueError(f"loss_options must be a mapping of names to numbers, or None, got {self.loss_options!r}")
        super()._check_parameters()

    def _model(self) -> Linear:
        return Linear(self.loss, bool(self.fit_intercept), options=self.loss_options)

    def _linear(self, schema: Schema) -> Linear:
        return self._model()

    def _strength(self, weight: float) -> float:
        return float(self.alpha)

    def _shares(self, features: Features) -> tuple[Array | None, Array | None]:
        return tuple(  # type: ignore[return-value]
            None if given is None else per_column(name, given, features, 1.0)
            for name, given in (("P2", self.P2), ("P1", self.P1))
        )

    def _keep(self, coef: Array, intercept: Array, schema: Schema) -> None:
        self.coef_, self.intercept_ = coef[0], float(intercept[0])

    def _matrix(self) -> tuple[Array, Array]:
        return self.coef_[None], np.array([self.intercept_])

    def predict(self, X: Any, *, offset: Any = None, lazy: bool = False) -> Any:
        """Predicted target of each row, shape (n,): the mean; for "quantile" the quantile.

        X and offset are as for `fit`; sources, and what is of Dask or Ray, are read on the engine's workers. With
        `lazy` the predictions for a Dask data frame are a Dask series, those for a Dask array another one.
        """
        formula = type(self)._predicted
        return self._lazy(formula, X, offset, ["prediction"]) if lazy else self._answer(formula, X, offset)

    def _first_guess(self, objective: Objective, schema: Schema) -> Array:
        """Zeros, and the intercept of the null model: with a logarithmic link that of the targets' sum over the sum of
        the exponentials of the offsets, else the mean of target less offset.
        """
        theta = super()._first_guess(objective, schema)
        if self.fit_intercept:
            theta[-1] = schema.null.null().intercept
        return theta

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None) -> float:
        """Share of the deviance explained, D^2; it is R^2 for "squared", "huber" and "quantile".

        Equal targets leave no deviance to explain: 1.0 for predictions that equal them, up to rounding, otherwise 0.0.
        """
        measures = self.evaluate(X, y, sample_weight, offset=offset)
        return measures["d2" if self.loss in _LOG_LINK else "r2"]

    def _predicted(self, eta: Array) -> Array:
        eta = eta[:, 0]
        return np.exp(np.minimum(eta, _LARGEST_ETA)) if self.loss in _LOG_LINK else eta

    def _targets(self, y: Array, source: Any) -> Array:
        return np.asarray(y, np.float64)

    def _tally(self, eta: Array, y: Array, weight: Array) -> Tally:
        predicted = self._predicted(eta)
        residual, spread = y - predicted, Spread.of(y, weight, self._powers)
        deviances = [weight @ half_deviance(y, predicted, power) for power in self._powers]
        return Tally(len(y), float(weight.sum()), np.array([weight @ np.abs(residual), *deviances]), spread)

    def _measures(self, tally: Tally) -> dict[str, float]:
        assert tally.spread is not None
        sizes, *deviances = tally.sums.tolist()
        explained = tally.spread.explained(deviances)
        measures = {
            "rmse": float(np.sqrt(2.0 * deviances[0] / tally.weight)),
            "mae": sizes / tally.weight,
            "r2": explained[0],
        }
        if self.loss in _LOG_LINK:
            measures |= {"d2": explained[1], "mean_deviance": 2.0 * deviances[1] / tally.weight}
        return measures

    @property
    def _powers(self) -> tuple[float, ...]:
        """Of the variance as a function of the mean: 0 for R^2, and that of the loss for D^2."""
        if self.loss not in _LOG_LINK:
            return (0.0,)
        if self.loss == "tweedie":
            return (0.0, LOSSES["tweedie"].kind(**(self.loss_options or {})).power)
        return (0.0, {"poisson": 1.0, "gamma": 2.0}[self.loss])

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        model = cls(**metadata["parameters"])
        model.coef_, model.intercept_ = arrays["coef"], float(arrays["intercept"])
        return model
