"""Least squares with an L1 penalty, alone or beside an L2 penalty."""

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from scipy.sparse import csr_matrix
from sklearn.utils.validation import check_is_fitted

from ..saving.contents import Flag, Number
from ..wording.arguments import check_number
from ._regression import Regression
from .least_squares import LeastSquaresRegression


class DualGap:
    """What scikit-learn's models with an L1 penalty on squares have beside others'."""

    coef_: Any
    result_: Any
    results_: tuple[Any, ...]

    @property
    def dual_gap_(self) -> Any:
        """How far F is from its minimum at the most: the certificate of the fit, where it is a duality gap or F is
        strongly convex, in the units of F. A loaded model has none.
        """
        check_is_fitted(self)
        if np.ndim(self.coef_) == 1:
            return float(self.result_.certificate.bound)
        return np.array([result.certificate.bound for result in self.results_])

    @property
    def sparse_coef_(self) -> csr_matrix:
        """`coef_` as a sparse matrix, a row for each target."""
        check_is_fitted(self)
        return csr_matrix(self.coef_)


@dataclass(kw_only=True, eq=False, repr=False)
class ElasticNet(DualGap, LeastSquaresRegression):
    """Least squares with L1 and L2 penalties, by one read of the data where columns are not many.

    Minimises (sum of w_i (y_i - eta_i)^2) / (2 sum of w_i) + alpha l1_ratio ||coef||_1
    + alpha (1 - l1_ratio) ||coef||^2 / 2. The intercept is not penalised. Coefficients that the penalty holds are
    exactly zero. The result is the same to the bit on any engine and number of workers.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty, on the mean loss.
    l1_ratio : float, default=0.5
        Share of it that is L1's.
    positive : bool, default=False
        Whether coefficients must be 0 or more.
    precompute, copy_X, random_state, selection
        Scikit-learn's, which change nothing.
    tol, fit_intercept, max_iter, warm_start, lower_bounds, upper_bounds, standardize, missing, missing_indicator,
    formula, base, unknown, solver, engine, checkpoint, callbacks, verbose
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.

    Attributes
    ----------
    coef_ : (p,) or (t, p) float64 array
        Coefficients; a row for each of several targets, (n, t), to which models are fitted one by one.
    intercept_ : float or (t,) array
        Intercept; 0 without.
    results_ : tuple of Result
        Of each of several targets; `result_` is the last of them.
    dual_gap_ : float or (t,) array
        How far F is from its minimum at the most: the bound of `result_.certificate`. A loaded model has none.
    features_, n_iter_, n_samples_fit_, l2_, l1_, status_, missing_, result_
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.
    n_features_in_, feature_names_in_, has_offset_, zero_based_
        The same.

    Examples
    --------
    >>> import numpy as np
    >>> from fullbatch import ElasticNet
    >>> X = np.column_stack((np.arange(8.0), [0, 1] * 4))
    >>> ElasticNet(alpha=0.5).fit(X, X[:, 0]).coef_.round(3)
    array([0.909, 0.   ])
    """

    _saved_parameters: ClassVar = {"alpha": Number(0), "positive": Flag(), **Regression._saved_parameters}

    alpha: float = field(default=1.0, kw_only=False)
    l1_ratio: float = 0.5
    positive: bool = False
    precompute: Any = False
    copy_X: bool = True
    random_state: Any = None
    selection: str = "cyclic"

    def _check_parameters(self) -> None:
        check_number("alpha", self.alpha, finite=True)
        super()._check_parameters()

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, check_input: bool = True, *, offset: Any = None
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X, y, sample_weight, offset
            As for every linear model: see `fullbatch.estimators.LinearEstimator.fit`. y may be (n, t) targets.
        check_input : bool, default=True
            Changes nothing: what is given is checked in any case.

        Returns
        -------
        self
        """
        return self._fit(X, y, sample_weight, offset)

    def _strength(self, weight: float) -> float:
        return float(self.alpha)

    def _counted(self, iterations: int) -> int:
        return iterations


@dataclass(kw_only=True, eq=False, repr=False)
class Lasso(ElasticNet):
    """Least squares with an L1 penalty, by one read of the data where columns are not many.

    Minimises (sum of w_i (y_i - eta_i)^2) / (2 sum of w_i) + alpha ||coef||_1: `ElasticNet` with an l1_ratio of 1.

    Parameters
    ----------
    alpha : float, default=1.0
        Strength of the penalty, on the mean loss.
    positive : bool, default=False
        Whether coefficients must be 0 or more.
    precompute, copy_X, random_state, selection
        Scikit-learn's, which change nothing.
    tol, fit_intercept, max_iter, warm_start, lower_bounds, upper_bounds, standardize, missing, missing_indicator,
    formula, base, unknown, solver, engine, checkpoint, callbacks, verbose
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.

    Attributes
    ----------
    coef_ : (p,) or (t, p) float64 array
        Coefficients; a row for each of several targets, (n, t), to which models are fitted one by one.
    intercept_ : float or (t,) array
        Intercept; 0 without.
    results_ : tuple of Result
        Of each of several targets; `result_` is the last of them.
    dual_gap_ : float or (t,) array
        How far F is from its minimum at the most: the bound of `result_.certificate`. A loaded model has none.
    features_, n_iter_, n_samples_fit_, l2_, l1_, status_, missing_, result_
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.
    n_features_in_, feature_names_in_, has_offset_, zero_based_
        The same.

    Examples
    --------
    >>> import numpy as np
    >>> from fullbatch import Lasso
    >>> X = np.column_stack((np.arange(8.0), [0, 1] * 4))
    >>> Lasso(alpha=0.5).fit(X, X[:, 0]).coef_.round(3)
    array([0.905, 0.   ])
    """

    _saved_parameters: ClassVar = {
        name: rule for name, rule in ElasticNet._saved_parameters.items() if name != "l1_ratio"
    }

    l1_ratio: ClassVar[float] = 1.0  # type: ignore[misc]
