"""What regressions on one linear predictor have in common: predictions, scores and measures of numbers."""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import RegressorMixin

from ..kernels.families import eta_allowed
from ..models.deviance import Family, Variance, family_of, half_deviance
from ..models.linear import Linear
from ..objective.objective import Objective
from ..protocols.schema import Schema
from ..run.feasible import feasible_start
from ..saving.contents import Member
from ._linear import LinearEstimator
from ._measures import Spread, Tally

Array = npt.NDArray[Any]


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
        the exponentials of the offsets, else the mean of target less offset. From there on to where all rows have means
        that can be, if the link allows others.
        """
        theta = super()._first_guess(objective, schema)
        if self.fit_intercept:
            theta[-1] = schema.null.null().intercept
        least, most = eta_allowed(self._linear(schema)._pointwise)
        if np.isinf(least) and np.isinf(most) and self._family.link.name != "inverse":
            return theta
        usual = float(self._family.link.predictor(float(schema.null.moments.mean[0])))
        distance = min(usual - least, most - usual)
        return feasible_start(objective, theta, distance if 0 < distance < np.inf else 0.0)

    def predict(self, X: Any, *, offset: Any = None, lazy: bool = False) -> Any:
        """Predicted target of each row, shape (n,): the mean; of the quantile loss the quantile.

        X and offset are as for `fit`; sources, and what is of Dask or Ray, are read on the engine's workers. With
        `lazy` the predictions for a Dask data frame are a Dask series, those for a Dask array another one.
        """
        formula = type(self)._predicted
        return self._lazy(formula, X, offset, ["prediction"]) if lazy else self._answer(formula, X, offset)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None) -> float:
        """Share of the deviance explained, D^2; of the normal family, the Huber and the quantile loss R^2, the same of
        squares.

        Equal targets leave no deviance to explain: 1.0 for predictions that equal them, up to rounding, otherwise 0.0.
        """
        measures = self.evaluate(X, y, sample_weight, offset=offset)
        return measures["r2" if self._family.of_squares else "d2"]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        with suppress(TypeError, ValueError):  # parameters that cannot be are refused by fit
            tags.target_tags.positive_only = self._family.least >= 0
        return tags

    @property
    def _family(self) -> Family:
        """Of the loss: its link, its variance, its targets."""
        return family_of(*self._loss())

    def _predicted(self, eta: Array) -> Array:
        return np.asarray(self._family.link.mean(eta[:, 0]))

    def _targets(self, y: Array, source: Any) -> Array:
        return np.asarray(y, np.float64)

    def _tally(self, eta: Array, y: Array, weight: Array) -> Tally:
        family, predicted = self._family, self._predicted(eta)
        of_squares = Variance()
        variances = (of_squares,) if family.of_squares else (of_squares, family.variance)
        spread = Spread.of(y, weight, variances)
        sums = [weight @ np.abs(y - predicted), weight @ half_deviance(y, predicted, of_squares)]  # as in `_measures`
        if not family.of_squares:
            sums.append(weight @ family.half_deviance(y, eta[:, 0]))
        return Tally(len(y), float(weight.sum()), np.array(sums), spread)

    def _measures(self, tally: Tally) -> dict[str, float]:
        assert tally.spread is not None
        sizes, half_squares, *own = tally.sums.tolist()
        r2, *d2 = tally.spread.explained([half_squares, *own])
        measures = {"rmse": float(np.sqrt(2.0 * half_squares / tally.weight)), "mae": sizes / tally.weight, "r2": r2}
        if not self._family.of_squares:
            (half_deviance,) = own
            measures |= {"d2": d2[0], "mean_deviance": 2.0 * half_deviance / tally.weight}
        return measures

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        model = cls(**metadata["parameters"])
        model.coef_, model.intercept_ = arrays["coef"], float(arrays["intercept"])
        return model
