"""Bootstrap intervals of a fit, all replicates advancing together."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import ndtr, ndtri

from ..run.driver import minimize
from ..run.replicates import replicates
from ..run.result import Notice
from ..wording.arguments import check_whole, is_number
from ._template import placed, succeeded, warn_of, warn_of_notices

Array = npt.NDArray[Any]

KINDS = ("percentile", "bca")


@dataclass(frozen=True, eq=False)
class Bootstrap:
    """Fits to B bootstrap replicates of the rows.

    Parameters
    ----------
    model : LinearEstimator
        The fit to all rows.
    coefs, intercepts : (B, ...) arrays
        `coef_` and `intercept_` of each replicate.
    statuses : list of B str
        How each fit ended: the value of a `Status`.
    remaining_r2 : (B,) array
        By how much its F can still fall, as a share of the null model's.
    known_by : list of B str
        As in `Path`.
    notices : list of B tuples of Notice
        As in `Path`: of a replicate that is "separable" coefficients mean nothing, and neither do intervals that count
        it.
    acceleration : (...) array
        BCa's of each coefficient, shaped as `coef_`: a sixth of the skewness of the rows' influence.
    acceleration_of_intercept : float or (outputs,) array
        The same of `intercept_`.
    seed : int
        Of the replicates.
    passes : int
        Reads of the data: of the fit to all rows, and of all replicates together.
    seconds : float
        Set-up not counted.
    """

    model: Any
    coefs: Array
    intercepts: Array
    statuses: list[str]
    remaining_r2: Array
    known_by: list[str]
    notices: list[tuple[Notice, ...]]
    acceleration: Array
    acceleration_of_intercept: Any
    seed: int
    passes: int
    seconds: float

    @property
    def success(self) -> bool:
        """Whether every fit has reached its minimum, as nearly as asked or as the arithmetic allows: as `Result`."""
        return self.model.result_.success and all(map(succeeded, self.statuses, self.remaining_r2, self.known_by))

    @property
    def standard_error(self) -> Array:
        """Standard deviation of the coefficients over the replicates, shaped as `coef_`."""
        return np.asarray(self.coefs.std(axis=0, ddof=1))

    def interval(self, level: float = 0.95, kind: str = "percentile") -> Array:
        """Confidence intervals of the coefficients.

        Parameters
        ----------
        level : float
            Of confidence, between 0 and 1.
        kind : {"percentile", "bca"}
            Quantiles of the replicates; or those corrected for bias and acceleration (Efron, "Better bootstrap
            confidence intervals", 1987), whose acceleration is that of the infinitesimal jackknife over groups of rows.

        Returns
        -------
        (2, ...) array
            Lower and upper ends, each shaped as `coef_`.
        """
        return self._interval(level, kind, self.coefs, self.model.coef_, self.acceleration)

    def interval_of_intercept(self, level: float = 0.95, kind: str = "percentile") -> Array:
        """As `interval`, of `intercept_`."""
        return self._interval(
            level, kind, self.intercepts, np.asarray(self.model.intercept_), np.asarray(self.acceleration_of_intercept)
        )

    def _interval(self, level: float, kind: str, values: Array, estimate: Array, acceleration: Array) -> Array:
        if not (is_number(level) and 0 < level < 1):
            raise ValueError(f"level must be a number between 0 and 1, got {level!r}")
        if not (isinstance(kind, str) and kind in KINDS):
            raise ValueError(f"unknown kind {kind!r}: choose from {', '.join(KINDS)}")
        ends = np.array([0.5 - 0.5 * level, 0.5 + 0.5 * level])
        if kind == "percentile":
            return np.quantile(values, ends, axis=0)
        if np.isnan(acceleration).any():
            raise ValueError(
                "the acceleration of BCa intervals needs the Hessian of all coefficients, which is too large for so "
                "many: use kind='percentile'"
            )
        flat, at = values.reshape(len(values), -1), np.ravel(estimate)
        # Half of those that equal the estimate, as coefficients at zero or at a bound do.
        below = ((flat < at).mean(axis=0) + 0.5 * (flat == at).mean(axis=0)).clip(
            0.5 / len(flat), 1.0 - 0.5 / len(flat)
        )
        bias, skew = ndtri(below), np.ravel(acceleration)
        found = np.empty((2, len(at)))
        for row, z in enumerate(ndtri(ends)):
            shares = ndtr(bias + (bias + z) / np.maximum(1.0 - skew * (bias + z), np.finfo(float).tiny))
            found[row] = [np.quantile(column, share) for column, share in zip(flat.T, shares, strict=True)]
        return found.reshape(2, *np.shape(estimate))

    def table(self, level: float = 0.95, kind: str = "percentile") -> str:
        """A line for each coefficient, of 78 characters at the most."""
        low, high = self.interval(level, kind).reshape(2, -1)
        names = list(map(str, self.model.get_feature_names_out()))
        if np.ndim(self.model.coef_) == 2 and len(self.model.coef_) > 1:
            names = [f"{label}: {name}" for label in self.model.classes_ for name in names]
        lines = [f"{'column':<28} {'coefficient':>12} {'std. error':>11} {'lower':>11} {'upper':>11}"]
        for row, name in enumerate(names):
            lines.append(
                f"{name[:28]:<28} {np.ravel(self.model.coef_)[row]:12.5g} {np.ravel(self.standard_error)[row]:11.3g} "
                f"{low[row]:11.5g} {high[row]:11.5g}"
            )
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.table()


def bootstrap(
    estimator: Any,
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    *,
    offset: Any = None,
    n: int = 500,
    seed: int = 0,
) -> Bootstrap:
    """Fit a linear model to the rows and to bootstrap replicates of them, which share reads of the data.

    In a replicate a row counts as often as a number from the Poisson distribution of mean 1 says, which is a function
    of the row's number, the replicate and the seed: neither blocks nor workers matter. It stands for rows drawn with
    replacement, and a replicate's fit is that with these numbers as `sample_weight`, and the strength of all rows.

    Parameters
    ----------
    estimator : LogisticRegression or GeneralizedLinearRegressor
        What is fitted, its strength included. It is not changed.
    X, y, sample_weight, offset
        As for its `fit`.
    n : int
        Replicates.
    seed : int
        Of the replicates.

    Returns
    -------
    Bootstrap

    Raises
    ------
    ValueError
        An argument is none of its parameter's.
    DataError
        The data cannot be used; says where and why.
    """
    check_whole("n", n, 2)
    check_whole("seed", seed)
    if getattr(estimator, "checkpoint", None) is not None:
        raise ValueError("bootstrap keeps no checkpoints: leave checkpoint out")
    with placed(estimator, X, y, sample_weight, offset, "bootstrap") as template:
        began, learner = time.perf_counter(), template.learner
        strength = learner._strength(template.weight)
        penalty = template.penalty(strength)
        objective = template.objective.with_penalty(penalty)
        result = minimize(objective, template.start, tol=min(template.tol, 1e-10), max_iter=learner._most_iterations())
        model = template.model(
            result.theta, strength, result.status.value, result.iterations, result.notices, result=result
        )
        model.result_ = result
        assert template.variables is not None
        several = any(notice.code == "collinear-columns" for notice in result.notices)
        shortest = template.variables.to_solver(model._last_theta()) if several else result.theta
        found = replicates(template.objective, penalty, shortest, n, seed, template.tol, learner._most_iterations())
        models = [template.model(theta, strength, "", 0) for theta in found.thetas]
        of_columns = found.acceleration[: np.size(model.coef_)].reshape(np.shape(model.coef_))
        rest = found.acceleration[np.size(model.coef_) :]
        of_intercept = (
            np.reshape(rest, np.shape(model.intercept_)) if rest.size else np.zeros(np.shape(model.intercept_))
        )
        replicate = Bootstrap(
            model=model,
            coefs=np.array([one.coef_ for one in models]),
            intercepts=np.array([one.intercept_ for one in models]),
            statuses=found.statuses,
            remaining_r2=found.left,
            known_by=found.known_by,
            notices=found.notices,
            acceleration=of_columns,
            acceleration_of_intercept=of_intercept,
            seed=seed,
            passes=objective.num_passes + template.objective.num_passes,
            seconds=time.perf_counter() - began,
        )
        model._warn(result, template.blocks.schema)
        warn_of_notices(found.notices, list(map(str, range(n))), "replicates", template.blocks.schema)
    warn_of(found.statuses, list(map(succeeded, found.statuses, found.left, found.known_by)), "replicates")
    return replicate
