"""What regressions on one linear predictor have in common: predictions, scores and measures of numbers."""

from collections.abc import Mapping
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin

from ..kernels.losses import LOSSES
from ..models.deviance import LARGEST_ETA, half_deviance
from ..models.linear import Linear
from ..objective.objective import Objective
from ..protocols.schema import Schema
from ..saving.contents import Member
from ._linear import LinearEstimator
from ._measures import Spread, Tally

Array = npt.NDArray[Any]

# Losses of the logarithmic link: the prediction is exp(eta).
_LOG_LINK = ("poisson", "gamma", "tweedie")


class Regression(RegressorMixin, LinearEstimator):  # type: ignore[misc]
    """A regression on one linear predictor: subclasses say which loss it is."""

    _saved_members: ClassVar = {
        "coef": Member("f", ("columns",)),
        "intercept": Member("f", ()),
        **LinearEstimator._saved_members,
    }

    def _model(self) -> Any:
        loss, options = self._loss()
        return Linear(loss, bool(self.fit_intercept), options=options)

    def _linear(self, schema: Schema) -> Linear:
        linear: Linear = self._model()
        return linear

    def _keep(self, coef: Array, intercept: Array, schema: Schema) -> None:
        self.coef_, self.intercept_ = coef[0], float(intercept[0])

    def _matrix(self) -> tuple[Array, Array]:
        return self.coef_[None], np.array([self.intercept_])

    def _first_guess(self, objective: Objective, schema: Schema) -> Array:
        """Zeros, and the intercept of the null model: with a logarithmic link that of the targets' sum over the sum of
        the exponentials of the offsets, else the mean of target less offset.
        """
        theta = super()._first_guess(objective, schema)
        if self.fit_intercept:
            theta[-1] = schema.null.null().intercept
        return theta

    def predict(self, X: Any, *, offset: Any = None, lazy: bool = False) -> Any:
        """Predicted target of each row, shape (n,): the mean; of the quantile loss the quantile.

        X and offset are as for `fit`; sources, and what is of Dask or Ray, are read on the engine's workers. With
        `lazy` the predictions for a Dask data frame are a Dask series, those for a Dask array another one.
        """
        formula = type(self)._predicted
        return self._lazy(formula, X, offset, ["prediction"]) if lazy else self._answer(formula, X, offset)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None) -> float:
        """Share of the deviance explained, D^2, of the losses with the logarithmic link; of others R^2, the same of
        squares.

        Equal targets leave no deviance to explain: 1.0 for predictions that equal them, up to rounding, otherwise 0.0.
        """
        measures = self.evaluate(X, y, sample_weight, offset=offset)
        return measures["d2" if self._has_log_link else "r2"]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.positive_only = self._has_log_link
        return tags

    @property
    def _has_log_link(self) -> bool:
        return self._loss()[0] in _LOG_LINK

    def _predicted(self, eta: Array) -> Array:
        eta = eta[:, 0]
        return np.exp(np.minimum(eta, LARGEST_ETA)) if self._has_log_link else eta

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
        if self._has_log_link:
            measures |= {"d2": explained[1], "mean_deviance": 2.0 * deviances[1] / tally.weight}
        return measures

    @property
    def _powers(self) -> tuple[float, ...]:
        """Of the variance as a function of the mean: 0 for R^2, and that of the loss for D^2."""
        loss, options = self._loss()
        if loss not in _LOG_LINK:
            return (0.0,)
        if loss == "tweedie":
            return (0.0, LOSSES["tweedie"].kind(**(options or {})).power)
        return (0.0, {"poisson": 1.0, "gamma": 2.0}[loss])

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        model = cls(**metadata["parameters"])
        model.coef_, model.intercept_ = arrays["coef"], float(arrays["intercept"])
        return model
