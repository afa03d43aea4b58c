"""Lasso and elastic net whose strength is chosen by cross-validation."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..saving.contents import Each, Either, Flag, Number
from ..wording.arguments import check_number, check_whole
from ._cross_validated import NOTHING, STRENGTHS, CrossValidated, check_alphas, kept
from ._regression import Regression
from ._several import several
from ._splits import Splits
from ._template import Template
from .elastic_net import DualGap
from .least_squares import LeastSquaresRegression

Array = npt.NDArray[Any]


@dataclass(kw_only=True, eq=False, repr=False)
class ElasticNetCV(DualGap, CrossValidated, LeastSquaresRegression):
    """Least squares with L1 and L2 penalties whose strength is chosen by cross-validation, by one read of the data.

    Minimises what `ElasticNet` does, with the `alpha` and the `l1_ratio` whose fits to the rows without each fold have
    the least mean squared error on the rows of that fold, folds counting alike. Sums of one read serve all folds, all
    strengths and shares, where columns are not many. The result is the same to the bit on any engine and number of
    workers.

    Parameters
    ----------
    l1_ratio : float, or sequence of float, default=0.5
        Share of the penalty that is L1's; the best of several is chosen.
    eps : float, default=1e-3
        The smallest strength as a share of the largest, where `alphas` is a number.
    alphas : int, or sequence of float, default=100
        How many strengths, down from the least one that makes all coefficients zero; or which.
    cv : int, splitter of scikit-learn, iterable of pairs of int arrays, or None, default=None
        How many folds, 5 for None: of rows in memory one after another, of others by a hash of their numbers; or, of
        rows in memory, numbers of the rows of each fit and of those that it is judged by.
    positive : bool, default=False
        Whether coefficients must be 0 or more.
    precompute, copy_X, n_jobs, random_state, selection
        Scikit-learn's, which change nothing.
    checkpoint : Checkpoint, path or URL, default=None
        Of the last fit alone, with the strength that was chosen.
    tol, fit_intercept, max_iter, lower_bounds, upper_bounds, standardize, unknown, solver, engine, callbacks, verbose
        As for every linear model: see `fullbatch.estimators.LinearEstimator`. Solver and callbacks are those of the
        last fit.

    Attributes
    ----------
    alpha_, l1_ratio_ : float
        What was chosen.
    alphas_ : (L,) or (shares, L) array
        The strengths, from the largest to the smallest; those of each share where several are tried.
    mse_path_ : (L, K) or (shares, L, K) array
        Mean squared error on the rows of each fold.
    coef_ : (p,) float64 array
        Coefficients.
    intercept_ : float
        Intercept; 0 without.
    dual_gap_ : float
        As that of `ElasticNet`.
    features_, n_iter_, n_samples_fit_, l2_, l1_, status_, missing_, result_
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.
    n_features_in_, feature_names_in_, has_offset_, zero_based_
        The same.

    Examples
    --------
    >>> from fullbatch import ElasticNetCV
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = ElasticNetCV(l1_ratio=[0.5, 0.9, 1.0]).fit(X, y)
    >>> model.l1_ratio_, round(model.alpha_, 4)
    (1.0, 0.0039)
    """

    _saved_parameters: ClassVar = {
        "l1_ratio": Either(Number(0, 1), Each(Number(0, 1))),
        "eps": Number(0, above=True),
        "alphas": STRENGTHS,
        "positive": Flag(),
        **{name: rule for name, rule in Regression._saved_parameters.items() if name != "l1_ratio"},
    }
    _kept: ClassVar[tuple[str, ...]] = ("alpha_", "l1_ratio_", "alphas_", "mse_path_")
    _saved_members: ClassVar = {**Regression._saved_members, **kept(*_kept)}
    _grids: ClassVar[tuple[str, ...]] = ("alphas", "l1_ratio")

    l1_ratio: Any = 0.5
    eps: float = 1e-3
    alphas: Any = 100
    precompute: Any = "auto"
    cv: Any = None
    copy_X: bool = True
    n_jobs: int | None = None
    positive: bool = False
    random_state: Any = None
    selection: str = "cyclic"

    def _check_parameters(self) -> None:
        check_number("eps", self.eps, finite=True)
        if not self.eps > 0:
            raise ValueError(f"eps must be a number above 0, got {self.eps!r}")
        if isinstance(self.alphas, int | np.integer) and not isinstance(self.alphas, bool):
            check_whole("alphas", self.alphas, 1)
        else:
            check_alphas(self.alphas)
            if not np.ndim(self.alphas):
                raise ValueError(f"alphas must be a number of strengths, or these in a list, got {self.alphas!r}")
        super()._check_parameters()

    def _parted_targets(self, y: Any) -> tuple[Any, None]:
        if several(y, False) is not None:
            raise ValueError(
                f"y has several targets, of which each would have a strength of its own: fit a {type(self).__name__} "
                "to each of them. (For multi-task outputs, use MultiTaskElasticNetCV or MultiTaskLassoCV of "
                "scikit-learn)"
            )
        return y, None

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = False
        return tags

    def _strength(self, weight: float) -> float:
        return float(self.alpha_)

    def _counted(self, iterations: int) -> int:
        return iterations

    def _choose(self, template: Template, splits: Splits) -> None:
        shares = [float(share) for share in np.atleast_1d(self.l1_ratio)]
        grids, errors = [], []
        for share in shares:
            template.learner._share = share
            grids.append(self._grid(template, splits, share))
            errors.append(2.0 * self._fits(template, splits, grids[-1], share).held_out)
        error = np.array([one.mean(axis=1) for one in errors])
        best, row = np.unravel_index(int(np.where(np.isnan(error), np.inf, error).argmin()), error.shape)
        self.alpha_, self._share = float(grids[best][row]), shares[best]
        if "l1_ratio_" in self._kept:
            self.l1_ratio_ = self._share
        self.mse_path_ = np.squeeze(np.array(errors))
        several = len(shares) > 1 and not np.ndim(self.alphas)
        self.alphas_ = np.array(grids) if several else grids[0]

    def _grid(self, template: Template, splits: Splits, share: float) -> Array:
        if np.ndim(self.alphas):
            return template.grid(self.alphas, 0, None)
        if share == 0:
            raise ValueError(
                "Automatic alpha grid generation is not supported for l1_ratio=0. Please supply a grid by providing "
                "your estimator with the appropriate `alphas=` argument: no strength makes coefficients zero"
            )
        return template.grid(None, int(self.alphas), self.eps, splits.count, nothing=NOTHING)


@dataclass(kw_only=True, eq=False, repr=False)
class LassoCV(ElasticNetCV):
    """Least squares with an L1 penalty whose strength is chosen by cross-validation, by one read of the data.

    `ElasticNetCV` with an l1_ratio of 1.

    Parameters
    ----------
    eps : float, default=1e-3
        The smallest strength as a share of the largest, where `alphas` is a number.
    alphas : int, or sequence of float, default=100
        How many strengths, down from the least one that makes all coefficients zero; or which.
    cv : int, splitter of scikit-learn, iterable of pairs of int arrays, or None, default=None
        How many folds, 5 for None: of rows in memory one after another, of others by a hash of their numbers; or, of
        rows in memory, numbers of the rows of each fit and of those that it is judged by.
    positive : bool, default=False
        Whether coefficients must be 0 or more.
    precompute, copy_X, n_jobs, random_state, selection
        Scikit-learn's, which change nothing.
    checkpoint : Checkpoint, path or URL, default=None
        Of the last fit alone, with the strength that was chosen.
    tol, fit_intercept, max_iter, lower_bounds, upper_bounds, standardize, unknown, solver, engine, callbacks, verbose
        As for every linear model: see `fullbatch.estimators.LinearEstimator`. Solver and callbacks are those of the
        last fit.

    Attributes
    ----------
    alpha_ : float
        What was chosen.
    alphas_ : (L,) array
        The strengths, from the largest to the smallest.
    mse_path_ : (L, K) array
        Mean squared error on the rows of each fold.
    coef_ : (p,) float64 array
        Coefficients.
    intercept_ : float
        Intercept; 0 without.
    dual_gap_ : float
        As that of `Lasso`.
    features_, n_iter_, n_samples_fit_, l2_, l1_, status_, missing_, result_
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.
    n_features_in_, feature_names_in_, has_offset_, zero_based_
        The same.

    Examples
    --------
    >>> from fullbatch import LassoCV
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> round(LassoCV().fit(X, y).alpha_, 4)
    0.0039
    """

    _saved_parameters: ClassVar = {
        name: rule for name, rule in ElasticNetCV._saved_parameters.items() if name != "l1_ratio"
    }
    _kept: ClassVar[tuple[str, ...]] = ("alpha_", "alphas_", "mse_path_")
    _saved_members: ClassVar = {**Regression._saved_members, **kept(*_kept)}
    _grids: ClassVar[tuple[str, ...]] = ("alphas",)

    l1_ratio: ClassVar[float] = 1.0  # type: ignore[misc]
