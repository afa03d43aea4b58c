"""Least squares, plain and with an L2 penalty."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..data.given import Given
from ..saving.contents import Each, Either, Flag, Member, Number
from ..wording.arguments import check_flag, check_number, is_number
from ._per_column import PerColumn
from ._regression import Regression
from ._several import ForTargets


class LeastSquaresRegression(ForTargets, Regression):
    """What least squares have in common: the squared loss, coefficients that may be asked to be positive, and several
    targets.
    """

    positive: bool

    _saved_members: ClassVar = {
        **Regression._saved_members,
        "coef": Member("f", ("columns",), optional=True),
        "intercept": Member("f", (), optional=True),
        "coefs": Member("f", ("targets", "columns"), optional=True),
        "intercepts": Member("f", ("targets",), optional=True),
    }

    def _learn(self, engine: Any, given: Given) -> None:
        if (told := self.__dict__.pop("_targets", None)) is None:
            super()._learn(engine, given)
        else:
            self._learn_targets(engine, given, *told)

    def _add_saved(self, arrays: dict[str, Any], metadata: dict[str, Any]) -> None:
        super()._add_saved(arrays, metadata)
        if self._is_of_several:
            arrays["coefs"], arrays["intercepts"] = arrays.pop("coef"), arrays.pop("intercept")
            arrays["n_iter"] = np.atleast_1d(arrays["n_iter"].max())

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Any], metadata: Mapping[str, Any]) -> Self:
        named = ("coefs", "intercepts") if "coefs" in arrays else ("coef", "intercept")
        if missing := [name for name in named if name not in arrays]:
            raise ValueError(f"{missing[0]} is missing")
        if named[0] == "coef":
            return super()._loaded(arrays, metadata)
        model = cls(**metadata["parameters"])
        model.coef_, model.intercept_ = arrays["coefs"], arrays["intercepts"]
        return model

    def _check_parameters(self) -> None:
        check_flag("positive", self.positive)
        if self.positive and self.lower_bounds is not None:
            raise ValueError("positive=True is lower_bounds=0: give one of the two")
        super()._check_parameters()

    def _bounds(self) -> tuple[PerColumn, PerColumn]:
        return (0.0 if self.positive else self.lower_bounds), self.upper_bounds

    def _loss(self) -> tuple[str, Mapping[str, Any] | None]:
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
    coef_ : (p,) or (t, p) float64 array
        Coefficients; a row for each of several targets, (n, t), which one read serves.
    intercept_ : float or (t,) array
        Intercept; 0 without.
    results_ : tuple of Result
        Of each of several targets; `result_` is the last of them.
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

    _keeps_matrices: ClassVar[bool] = True

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
    alpha : float or (t,) array_like of float, default=1.0
        Strength of the penalty, on the sum of squares; that of each target, where there are several.
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
    coef_ : (p,) or (t, p) float64 array
        Coefficients; a row for each of several targets, (n, t), which one read serves.
    intercept_ : float or (t,) array
        Intercept; 0 without.
    results_ : tuple of Result
        Of each of several targets; `result_` is the last of them.
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
        "alpha": Either(Number(0), Each(Number(0))),
        "positive": Flag(),
        **{name: rule for name, rule in Regression._saved_parameters.items() if name not in ("l1_ratio", "max_iter")},
    }
    _solvers_there: ClassVar = dict.fromkeys(("svd", "cholesky", "lsqr", "sparse_cg", "sag", "saga"), "auto")

    alpha: Any = field(default=1.0, kw_only=False)
    positive: bool = False
    max_iter: int | None = None  # type: ignore[assignment]
    copy_X: bool = True
    random_state: Any = None
    l1_ratio: ClassVar[float] = 0.0  # type: ignore[misc]

    def _check_parameters(self) -> None:
        if np.ndim(self.alpha) == 1:
            if not all(is_number(alpha) and 0 <= alpha < np.inf for alpha in self.alpha):
                raise ValueError(f"alpha must be a finite number of 0 or more for each target, got {self.alpha!r}")
        else:
            check_number("alpha", self.alpha, finite=True)
        super()._check_parameters()

    def _parted_targets(self, y: Any) -> tuple[Any, Any]:
        y, targets = super()._parted_targets(y)
        count = 1 if targets is None else targets.shape[1]
        if np.ndim(self.alpha) and len(self.alpha) not in (1, count):
            raise ValueError(
                f"Number of targets and number of penalties do not correspond: {len(self.alpha)} != {count}. Give one "
                "alpha, or one for each target"
            )
        return y, targets

    def _for_target(self, number: int) -> Any:
        learner = super()._for_target(number)
        if np.ndim(self.alpha) and len(self.alpha) > 1:
            learner.alpha = self.alpha[number]
        return learner

    def _add_saved(self, arrays: dict[str, Any], metadata: dict[str, Any]) -> None:
        super()._add_saved(arrays, metadata)
        if np.ndim(self.alpha):
            metadata["parameters"]["alpha"] = np.asarray(self.alpha, np.float64).tolist()

    @property
    def solver_(self) -> str:
        """Scikit-learn's name of the solver that was asked for, all of which are one fit here; where none was, the name
        of the one that ran. `result_.solver` says what ran in any case.
        """
        check_is_fitted(self)
        if isinstance(self.solver, str) and self.solver != "auto":
            return self.solver
        return str(self.result_.solver.partition(";")[0])

    def _most_iterations(self) -> Any:
        return 1000 if self.max_iter is None else self.max_iter

    def _solver(self) -> Any:
        # Scikit-learn's L-BFGS is for bounds.
        return "auto" if self.positive and self.solver == "lbfgs" else super()._solver()

    def _strength(self, weight: float) -> float:
        return float(np.ravel(self.alpha)[0]) / weight

    def _of_strength(self, strength: float, weight: float) -> dict[str, Any]:
        return {"alpha": strength * weight}
