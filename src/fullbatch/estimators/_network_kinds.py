"""Networks as classifiers and as regressors: what their outputs mean, whatever the framework."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.base import ClassifierMixin, RegressorMixin

from ..data.given import Given
from ..models.links import LINKS
from ..models.sized import SizedNetwork
from ..protocols.rows import Rows
from ._labels import CLASS_WEIGHT, CLASSES, Probable, as_pairs, of_pairs
from ._measures import Spread, Spreads, Tally
from ._networks import NetworkEstimator
from ._several_targets import rows_of_targets, sources_with_targets, split_targets

Array = npt.NDArray[Any]


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkClassifier(Probable, ClassifierMixin, NetworkEstimator):  # type: ignore[misc]
    """A network that tells classes apart: it has an output for each class, or one for two.

    Parameters
    ----------
    loss : "cross_entropy" or callable, default="cross_entropy"
        A function is given class indices. Outputs are logits: their softmax (of one output, its logistic function) is
        what the probabilities are.
    class_weight : "balanced", mapping of label to weight, or None, default=None
        Multiplies the sample weights of each class.

    Attributes
    ----------
    classes_ : (K,) array
        Labels, sorted.
    """

    _saved_parameters: ClassVar = {"class_weight": CLASS_WEIGHT, **NetworkEstimator._saved_parameters}
    _saved_members: ClassVar = {"classes": CLASSES, **NetworkEstimator._saved_members}
    _losses: ClassVar = ("cross_entropy",)

    class_weight: str | Mapping[Any, float] | None = None

    def _model(self) -> SizedNetwork:
        return SizedNetwork(self._recipe_for(getattr(self, "seed_", 0)), True, self.class_weight)

    def _check_parameters(self) -> None:
        super()._check_parameters()
        self._model()  # refuses weights of classes that are none

    def _predictors(self, rows: Rows) -> Array:
        """(n, outputs) logits; of two classes (n, 1): of two outputs, softmax knows their difference alone."""
        eta = super()._predictors(rows)
        return eta[:, 1:] - eta[:, :1] if eta.shape[1] == 2 else eta

    def _width(self) -> int:
        return len(self.classes_) if len(self.classes_) > 2 else 1

    def _outputs_are(self, schema: Any) -> None:
        self.classes_ = schema.classes

    def _continues(self, schema: Any) -> bool:
        return np.array_equal(self.classes_, schema.classes)

    def _of_a_constant(self, schema: Any, model: SizedNetwork) -> float | None:
        if callable(self.loss):
            return None
        factors = model.class_factors(schema)
        weight = schema.class_weight if factors is None else factors * schema.class_weight
        share = weight[weight > 0] / weight.sum()
        return -float(share @ np.log(share))

    @property
    def _n_outputs(self) -> int:
        return len(self.classes_)

    def _add_saved(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        super()._add_saved(arrays, metadata)
        arrays["classes"] = self.classes_
        metadata["parameters"]["class_weight"] = as_pairs(self.class_weight)

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        parameters = {**metadata["parameters"], "class_weight": of_pairs(metadata["parameters"]["class_weight"])}
        model = super()._loaded(arrays, {**metadata, "parameters": parameters})
        model.classes_ = arrays["classes"]
        return model


@dataclass(kw_only=True, eq=False, repr=False)
class NetworkRegressor(RegressorMixin, NetworkEstimator):  # type: ignore[misc]
    """A network that predicts one number, or several: it has an output for each.

    Parameters
    ----------
    loss : {"squared", "huber", "poisson"} or callable, default="squared"
        Half the squared residual; the same up to 1 and linear beyond; exp(output) - y output, for targets of 0 or more,
        whose predictions are the exponentials of the outputs. Of several targets their sum.

    Attributes
    ----------
    n_targets_ : int
        Numbers that are predicted.
    """

    _losses: ClassVar = ("squared", "huber", "poisson")

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the network; see `NetworkEstimator.fit`. Beside rows in memory y may be a matrix, a frame, or a list of
        columns of X: several targets.
        """
        return super().fit(X, y, sample_weight)

    def predict(self, X: Any, *, lazy: bool = False) -> Any:
        """Predicted target of each row, shape (n,), or (n, targets) of several.

        X is as for `fit`; sources, and what is of Dask or Ray, are read on the engine's workers. With `lazy` the
        predictions for a Dask data frame are a Dask series or data frame, those for a Dask array another one.
        """
        formula = type(self)._predicted
        return self._lazy(formula, X, None, self._names()) if lazy else self._answer(formula, X)

    def score(self, X: Any, y: Any = None, sample_weight: Any = None) -> float:
        """R^2, of several targets the mean of theirs."""
        return self.evaluate(X, y, sample_weight)["r2"]

    def predictions(self, rows: Rows, source: Any, probabilities: bool = False) -> pa.Table:
        """Predictions for the rows of one block, as a table."""
        predicted = self._predicted(self._eta(rows, source))
        return pa.table(dict(zip(self._names(), np.atleast_2d(predicted.T), strict=True)))

    def _names(self) -> list[str]:
        count = getattr(self, "n_targets_", 1)
        return ["prediction"] if count == 1 else [f"prediction_{number}" for number in range(count)]

    def _model(self) -> SizedNetwork:
        loss = self.loss if isinstance(self.loss, str) else None
        return SizedNetwork(self._recipe_for(getattr(self, "seed_", 0)), False, targets=self._n_outputs, loss=loss)

    @property
    def _n_outputs(self) -> int:
        return int(getattr(self, "n_targets_", 1))

    def _given_to_fit(self, X: Any, y: Any, sample_weight: Any) -> Given:
        X, y, several = split_targets(X, y)
        given = super()._given_to_fit(X, y, sample_weight)
        before, self.n_targets_ = getattr(self, "n_targets_", None), 1 if several is None else several.shape[1]
        if self.warm_start and before not in (None, self.n_targets_):
            raise ValueError(f"warm_start: {self.n_targets_} targets, the last fit had {before}")
        return given if several is None else replace(given, sources=sources_with_targets(given.sources, several))

    def _given_to_evaluate(self, X: Any, y: Any, sample_weight: Any, offset: Any) -> Any:
        X, y, several = split_targets(X, y)
        given = super()._given_to_evaluate(X, y, sample_weight, offset)
        if several is None:
            return given
        return rows_of_targets(given, several) if isinstance(given, Rows) else sources_with_targets(given, several)

    def _outputs_are(self, schema: Any) -> None:
        """Known from the targets."""

    def _predicted(self, eta: Array) -> Array:
        eta = LINKS["log"].mean(eta) if self.loss == "poisson" else eta
        return eta[:, 0] if eta.shape[1] == 1 else eta

    def _targets(self, y: Array, source: Any) -> Array:
        return np.asarray(y, np.float64)

    def _tally(self, eta: Array, y: Array, weight: Array) -> Tally:
        y, predicted = (one.reshape(len(eta), -1) for one in (y, self._predicted(eta)))
        residual = y - predicted
        sums = np.array([weight @ np.abs(residual), 0.5 * (weight @ residual**2)])
        spreads = Spreads(tuple(Spread.of(one, weight, (0.0,)) for one in y.T))
        return Tally(len(y), float(weight.sum()), sums, spreads)

    def _measures(self, tally: Tally) -> dict[str, float]:
        sizes, squares = tally.sums
        spreads = tally.spread.each
        explained = [one.explained([square])[0] for one, square in zip(spreads, squares.tolist(), strict=True)]
        return {
            "rmse": float(np.sqrt(2.0 * squares / tally.weight).mean()),
            "mae": float((sizes / tally.weight).mean()),
            "r2": float(np.mean(explained)),
        }

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        model = super()._loaded(arrays, metadata)
        model.n_targets_ = metadata["outputs"]
        return model

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.positive_only = isinstance(self.loss, str) and self.loss == "poisson"
        return tags
