"""Least squares, plain and with an L2 penalty."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from ..saving.contents import Flag, Number
from ..wording.arguments import check_flag, check_number
from ._per_column import PerColumn
from ._regression import Regression


class LeastSquaresRegression(Regression):
    """What least squares have in common: the squared loss, and coefficients that may be asked to be positive."""

    positive: bool

    def _check_parameters(self) -> None:
        check_flag("positive", self.positive)
        if self.positive and self.lower_bounds is not None:
            raise ValueError("positive=True is lower_bounds=0: give one of the two")
        super()._check_parameters()

    def _bounds(self) -> tuple[PerColumn, PerColumn]:
        return (0.0 if self.positive else self.lower_bounds), self.upper_bounds

    def _loss(self) -> tuple[str, Mapping[str, float] | None]:
        return "squared", None


@dataclass(kw_only=True, eq=False, repr=False)
class LinearRegression(LeastSquaresRegression):
    """Ordinary least squares, by one read of the data.

    Minimises sum of w_i (y_i - eta_i)^2. Where columns are combinations of others, the coefficients are those of least
    norm, and a warning names the columns. The result is the same to the bit on any engine and number of workers.

    Parameters
    ----------
    positive : bool, default=False
        Whether coefficients must be 0 or more.
    tol : float, default=1e-6
        As for every linear model. What the sums tell is used to their last digit, whatever it is.
    copy_X, n_jobs
        Scikit-learn's, which change nothing.
    fit_intercept, max_iter, warm_start, lower_bounds, upper_bounds, standardize, missing, missing_indicator, formula,
    base, unknown, solver, engine, checkpoint, callbacks, verbose
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
    >>> from fullbatch import LinearRegression
    >>> X = np.arange(8.0)[:, None]
    >>> LinearRegression().fit(X, 2 * X[:, 0] + 1).coef_.round(12)
    array([2.])
    """

    _saved_parameters: ClassVar = {
        "positive": Flag(),
        **{name: rule for name, rule in Regression._saved_parameters.items() if name != "l1_ratio"},
    }

    tol: float = 1e-6
    positive: bool = False
    copy_X: bool = True
    n_jobs: int | None = None
    l1_ratio: ClassVar[float] = 0.0  # type: ignore[misc]

    def _strength(self, weight: float) -> float:
        return 0.0


@dataclass(kw_only=True, eq=False, repr=False)
class Ridge(LeastSquaresRegression):
    """Least squares with an L2 penalty, by one read of the data.

    Minimises sum of w_i (y_i - eta_i)^2 + alpha ||coef||^2. The intercept is not penalised. The result is the same to
    the bit on any engine and number of workers.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty, on the sum of squares.
    positive : bool, default=False
        Whether coefficients must be 0 or more.
    max_iter : int or None, default=None
        Iterations at the most; None for 1000.
    solver : str or Solver, default="auto"
        As for every linear model; "svd", "cholesky", "lsqr", "sparse_cg", "sag" and "saga" of scikit-learn are "auto".
    copy_X, random_state
        Scikit-learn's, which change nothing.
    tol, fit_intercept, warm_start, lower_bounds, upper_bounds, standardize, missing, missing_indicator, formula, base,
    unknown, engine, checkpoint, callbacks, verbose
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
    >>> from fullbatch import Ridge
    >>> X = np.arange(8.0)[:, None]
    >>> Ridge(alpha=42.0).fit(X, 2 * X[:, 0] + 1).coef_.round(12)
    array([1.])
    """

    _saved_parameters: ClassVar = {
        "alpha": Number(0),
        "positive": Flag(),
        **{name: rule for name, rule in Regression._saved_parameters.items() if name not in ("l1_ratio", "max_iter")},
    }
    _solvers_there: ClassVar = dict.fromkeys(("svd", "cholesky", "lsqr", "sparse_cg", "sag", "saga"), "auto")

    alpha: float = field(default=1.0, kw_only=False)
    positive: bool = False
    max_iter: int | None = None  # type: ignore[assignment]
    copy_X: bool = True
    random_state: Any = None
    l1_ratio: ClassVar[float] = 0.0  # type: ignore[misc]

    def _check_parameters(self) -> None:
        if np.ndim(self.alpha):
            raise ValueError(f"alpha must be one number, got {self.alpha!r}: there is one target")
        check_number("alpha", self.alpha, finite=True)
        super()._check_parameters()

    def _most_iterations(self) -> Any:
        return 1000 if self.max_iter is None else self.max_iter

    def _solver(self) -> Any:
        # Scikit-learn's L-BFGS is for bounds.
        return "auto" if self.positive and self.solver == "lbfgs" else super()._solver()

    def _strength(self, weight: float) -> float:
        return float(self.alpha) / weight
