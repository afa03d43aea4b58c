"""Generalised linear models of scikit-learn's names: Poisson, gamma and Tweedie, with an L2 penalty."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..saving.contents import Number, Text
from ..wording.arguments import check_number, is_number
from ._exposure import Exposed
from ._family_names import loss_of


@dataclass(kw_only=True, eq=False, repr=False)
class PenalizedGLM(Exposed):
    """What they have in common: a penalty of strength alpha on half the mean deviance.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty.
    """

    _saved_parameters: ClassVar = {
        "alpha": Number(0),
        **{name: rule for name, rule in Exposed._saved_parameters.items() if name != "l1_ratio"},
    }
    _solvers_there: ClassVar = {"newton-cholesky": "newton"}

    alpha: float = 1.0
    l1_ratio: ClassVar[float] = 0.0  # type: ignore[misc]

    def _check_parameters(self) -> None:
        check_number("alpha", self.alpha, finite=True)
        super()._check_parameters()

    def _strength(self, weight: float) -> float:
        return float(self.alpha)

    def _counted(self, iterations: int) -> int:
        return iterations


@dataclass(kw_only=True, eq=False, repr=False)
class PoissonRegressor(PenalizedGLM):
    """Regression of counts with the logarithmic link and an L2 penalty.

    Minimises (sum of w_i d_i) / (2 sum of w_i) + alpha ||coef||^2 / 2, where d_i is the unit deviance of the poisson
    distribution. The intercept is not penalised. The result is the same to the bit on any engine and number of workers.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty.
    solver : str or Solver, default="auto"
        As for every linear model; "newton-cholesky" of scikit-learn is "newton".
    tol, fit_intercept, max_iter, warm_start, lower_bounds, upper_bounds, standardize, missing, missing_indicator,
    formula, base, unknown, engine, checkpoint, callbacks, verbose
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
    >>> from fullbatch import PoissonRegressor
    >>> X = np.arange(8.0)[:, None]
    >>> PoissonRegressor(alpha=0).fit(X, np.exp(X[:, 0] / 4)).coef_.round(4)
    array([0.25])
    """

    def _loss(self) -> tuple[str, Mapping[str, Any] | None]:
        return "poisson", None


@dataclass(kw_only=True, eq=False, repr=False)
class GammaRegressor(PenalizedGLM):
    """Regression of positive numbers with the logarithmic link and an L2 penalty.

    Minimises (sum of w_i d_i) / (2 sum of w_i) + alpha ||coef||^2 / 2, where d_i is the unit deviance of the gamma
    distribution. The intercept is not penalised. The result is the same to the bit on any engine and number of workers.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty.
    solver : str or Solver, default="auto"
        As for every linear model; "newton-cholesky" of scikit-learn is "newton".
    tol, fit_intercept, max_iter, warm_start, lower_bounds, upper_bounds, standardize, missing, missing_indicator,
    formula, base, unknown, engine, checkpoint, callbacks, verbose
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
    >>> from fullbatch import GammaRegressor
    >>> X = np.arange(8.0)[:, None]
    >>> GammaRegressor(alpha=0).fit(X, np.exp(X[:, 0] / 4)).coef_.round(4)
    array([0.25])
    """

    def _loss(self) -> tuple[str, Mapping[str, Any] | None]:
        return "gamma", None


@dataclass(kw_only=True, eq=False, repr=False)
class TweedieRegressor(PenalizedGLM):
    """Regression by a Tweedie distribution, whose variance is a power of the mean, with an L2 penalty.

    Minimises (sum of w_i d_i) / (2 sum of w_i) + alpha ||coef||^2 / 2, where d_i is the unit deviance. The intercept is
    not penalised. The result is the same to the bit on any engine and number of workers.

    Parameters
    ----------
    power : float, default=0.0
        0 for the normal distribution, 1 for Poisson's, 2 for the gamma distribution, 3 for the inverse Gaussian one;
        between 1 and 2 that of sums of gamma variables, which may be 0. Any other but those between 0 and 1, of which
        there is no distribution.
    alpha : float, default=1.0
        Strength of the penalty.
    link : {"auto", "identity", "log"}, default="auto"
        "auto" is the identity for powers up to 0, and the logarithm for others. F is convex where the identity goes
        with power 0 or 1, and the logarithm with powers from 1 to 2; for others, "converged" is said of a local
        minimum.
    solver : str or Solver, default="auto"
        As for every linear model; "newton-cholesky" of scikit-learn is "newton".
    tol, fit_intercept, max_iter, warm_start, lower_bounds, upper_bounds, standardize, missing, missing_indicator,
    formula, base, unknown, engine, checkpoint, callbacks, verbose
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
    >>> from fullbatch import TweedieRegressor
    >>> X = np.arange(8.0)[:, None]
    >>> TweedieRegressor(power=1.5, alpha=0).fit(X, np.exp(X[:, 0] / 4)).coef_.round(4)
    array([0.25])
    """

    _saved_parameters: ClassVar = {
        "power": Number(),
        "link": Text(("auto", "identity", "log")),
        **PenalizedGLM._saved_parameters,
    }

    power: float = 0.0
    link: str = "auto"

    def _check_parameters(self) -> None:
        if not (is_number(self.power) and np.isfinite(self.power) and not 0 < self.power < 1):
            raise ValueError(f"power must be a number, and not between 0 and 1, got {self.power!r}")
        if not (isinstance(self.link, str) and self.link in ("auto", "identity", "log")):
            raise ValueError(f"link must be 'auto', 'identity' or 'log', got {self.link!r}")
        super()._check_parameters()

    def _loss(self) -> tuple[str, Mapping[str, Any] | None]:
        link = ("log" if self.power > 0 else "identity") if self.link == "auto" else self.link
        return loss_of("tweedie", link, {"power": float(self.power)})
