"""Linear regression of a quantile, by a smoothed pinball loss."""

from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np

from ..data.given import Given
from ..models.linear import Linear, usual_passes
from ..protocols.requests import Curvature
from ..protocols.rows import Rows
from ..protocols.schema import Description, Schema
from ..protocols.seams import Block
from ..run.checkpoints import Checkpoint
from ..saving.contents import Either, Null, Number
from ..wording.arguments import check_number, is_number
from ._regression import Regression

# What the smoothing is where it is not told, to begin with, in standard deviations of the targets; which share of the
# rows, beside those that coefficients can meet, may lie where the loss is curved, and how large it is to be instead;
# and how much less smoothing one turn brings at the most.
_SMOOTHING, _MOST_WITHIN, _WITHIN, _NARROWER = 1e-3, 0.02, 0.005, 1e-3

# Turns at the most, and the least by which a turn must lower that share: targets that are met exactly stay within.
_TURNS, _FALL = 8, 0.9


@dataclass(kw_only=True, eq=False, repr=False)
class QuantileRegressor(Regression):
    """Regression of a quantile of the target with an L1 penalty, by exact gradients over blocks of rows.

    Minimises (sum of w_i pinball_i) / (sum of w_i) + alpha ||coef||_1, where the corner of the pinball loss is rounded
    off within `smoothing` of 0: by a quarter of that at the most, which is how far F may be from that of a linear
    program. The intercept is not penalised. The result is the same to the bit on any engine and number of workers.

    Parameters
    ----------
    quantile : float, default=0.5
        Which one, between 0 and 1.
    alpha : float, default=1.0
        Strength of the penalty, on the mean loss.
    smoothing : float or None, default=None
        Half the width of the stretch on which the loss is curved, in units of the target: less is nearer to the corner
        and takes more passes. None is 0.001 standard deviations of the targets, or so much less that no more than
        2 % of the rows, and one for each parameter, lie on that stretch. (Paths, folds and replicates take 0.001
        standard deviations: give them the `smoothing_` of a fit.) `smoothing_` says what it was.
    solver : str or Solver, default="auto"
        As for every linear model; "highs", "highs-ds", "highs-ipm", "interior-point" and "revised simplex" of
        scikit-learn are "auto".
    solver_options
        Scikit-learn's, None.
    tol, fit_intercept, max_iter, warm_start, lower_bounds, upper_bounds, standardize, missing, missing_indicator,
    formula, base, unknown, engine, checkpoint, callbacks, verbose
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.

    Attributes
    ----------
    coef_ : (p,) float64 array
        Coefficients.
    intercept_ : float
        Intercept; 0 without.
    smoothing_ : float
        The smoothing.
    features_, n_iter_, n_samples_fit_, l2_, l1_, status_, missing_, result_
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.
    n_features_in_, feature_names_in_, has_offset_, zero_based_
        The same.

    Examples
    --------
    >>> import numpy as np
    >>> from fullbatch import QuantileRegressor
    >>> X = np.arange(8.0)[:, None]
    >>> QuantileRegressor(alpha=0).fit(X, 2 * X[:, 0] + 1).coef_.round(2)
    array([2.])
    """

    _saved_parameters: ClassVar = {
        "quantile": Number(0, 1),
        "alpha": Number(0),
        "smoothing": Either(Null(), Number(0)),
        **{name: rule for name, rule in Regression._saved_parameters.items() if name != "l1_ratio"},
    }
    _solvers_there: ClassVar = dict.fromkeys(
        ("highs", "highs-ds", "highs-ipm", "interior-point", "revised simplex"), "auto"
    )

    quantile: float = 0.5
    alpha: float = 1.0
    smoothing: float | None = None
    solver_options: Any = None
    _no_inference: ClassVar = 'use GeneralizedLinearRegressor("quantile"), with the smoothing that is wanted'

    l1_ratio: ClassVar[float] = 1.0  # type: ignore[misc]

    def _check_parameters(self) -> None:
        if not (is_number(self.quantile) and 0 < self.quantile < 1):
            raise ValueError(f"quantile must be a number between 0 and 1, got {self.quantile!r}")
        check_number("alpha", self.alpha, finite=True)
        if self.smoothing is not None and not (is_number(self.smoothing) and 0 < self.smoothing < np.inf):
            raise ValueError(f"smoothing must be a finite number above 0, or None, got {self.smoothing!r}")
        super()._check_parameters()

    def _model(self) -> "_Pinball":
        return _Pinball(float(self.quantile), self.smoothing, bool(self.fit_intercept))

    def _learn(self, engine: Any, given: Given) -> None:
        """Where nobody has told the smoothing, by turns with less of it: outliers, and columns that tell nearly all,
        leave residuals far smaller than the targets' standard deviation.
        """
        if self.smoothing is not None:
            return super()._learn(engine, given)
        checkpoint, warm_start, iterations, before = self.checkpoint, self.warm_start, 0, np.inf
        for turn in range(1, _TURNS + 1):
            with closing(engine.place(self._model(), given.sources)) as blocks:
                self._fit_blocks(blocks, given)
                share = self._share_on_the_curve(blocks)
            iterations += self.result_.iterations
            enough = share <= _MOST_WITHIN + self.coef_.size / self.n_samples_fit_
            if enough or share > _FALL * before or not self.result_.success:
                break
            before = share
            self.smoothing = self.smoothing_ * max(_WITHIN / share, _NARROWER)
            self.warm_start = True
            if checkpoint is not None:
                self.checkpoint = Checkpoint.within(checkpoint, f"smoothing-{turn}")
        self.smoothing, self.checkpoint, self.warm_start = None, checkpoint, warm_start
        self.n_iter_ = self._counted(iterations)

    def _share_on_the_curve(self, blocks: Any) -> float:
        """Which share of the rows has residuals within the smoothing, by the curvature of their losses; without an
        intercept the largest as any column counts them.
        """
        schema = blocks.schema
        curvature = blocks.sum(Curvature(self._last_theta(), "diagonal")).matrix
        squares = np.append(schema.mean**2 + schema.variance, 1.0)[: len(curvature)] * schema.weight
        if self.fit_intercept:
            curvature, squares = curvature[-1:], squares[-1:]
        shares = 2.0 * self.smoothing_ * curvature[squares > 0] / squares[squares > 0]
        return float(shares.max(initial=0.0))

    def _linear(self, schema: Schema) -> Linear:
        linear = self._model().linear(schema)
        assert linear.options is not None
        self.smoothing_ = float(linear.options["smoothing"])
        return linear

    def _loss(self) -> tuple[str, Mapping[str, Any] | None]:
        return "quantile", None

    def _strength(self, weight: float) -> float:
        return float(self.alpha)

    def _counted(self, iterations: int) -> int:
        return max(iterations, 1)  # a start that is the optimum is looked at once, and scikit-learn counts that


@dataclass(frozen=True)
class _Pinball:
    """The smoothed pinball loss: how smooth, the spread of the targets tells where nobody has."""

    quantile: float
    smoothing: float | None
    intercept: bool
    passes: str = field(default_factory=usual_passes, kw_only=True)  # of this process, not of a worker

    takes_categories: ClassVar[bool] = True

    def linear(self, schema: Schema) -> Linear:
        smoothing = self.smoothing
        if smoothing is None:
            moments = schema.null.moments
            with np.errstate(over="ignore"):
                spread = float(np.sqrt(moments.squares[0] / moments.weight))
            size = spread if 0 < spread < np.inf else abs(float(moments.mean[0]))  # all targets are alike
            smoothing = _SMOOTHING * (size if 0 < size < np.inf else 1.0)
        options = {"quantile": self.quantile, "smoothing": smoothing}
        return Linear("quantile", self.intercept, options=options, passes=self.passes)

    def describe(self, rows: Rows, source: str) -> Description:
        options = {"quantile": self.quantile}
        return Linear("quantile", self.intercept, options=options, passes=self.passes).describe(rows, source)

    def build(self, rows: Rows, schema: Schema, first_row: int) -> Block:
        linear = self.linear(schema)
        # What was summed for the null model is told of the loss that it turned out to be.
        return linear.build(rows, replace(schema, null=replace(schema.null, loss=linear._pointwise)), first_row)
