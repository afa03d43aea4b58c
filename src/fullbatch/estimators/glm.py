"""Regression on one linear predictor: generalised linear models, and robust and quantile regression."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy.typing as npt

from ..kernels.losses import LOSSES
from ..protocols.schema import Features
from ..saving.contents import Either, Named, Null, Number, Text
from ..wording.arguments import check_number
from ._linear import LinearEstimator
from ._per_column import LARGEST, PER_COLUMN, PerColumn, check_per_column, per_column
from ._regression import Regression

Array = npt.NDArray[Any]


@dataclass(kw_only=True, eq=False, repr=False)
class GeneralizedLinearRegressor(Regression):  # type: ignore[misc]
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
    tol, fit_intercept, max_iter, warm_start, l1_ratio, lower_bounds, upper_bounds, standardize, missing,
    missing_indicator, formula, base, unknown, solver, engine, checkpoint, callbacks, verbose
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

    def _loss(self) -> tuple[str, Mapping[str, float] | None]:
        return self.loss, self.loss_options

    def _strength(self, weight: float) -> float:
        return float(self.alpha)

    def _shares(self, features: Features) -> tuple[Array | None, Array | None]:
        return tuple(  # type: ignore[return-value]
            None if given is None else per_column(name, given, features, 1.0)
            for name, given in (("P2", self.P2), ("P1", self.P1))
        )
