"""Regression on one linear predictor: generalised linear models, and robust and quantile regression."""

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ..data.given import Given
from ..protocols.schema import Features
from ..saving.contents import Either, Member, Named, Null, Number, Text
from ..wording.arguments import check_number
from ._exposure import Exposed
from ._family_names import LIKELIHOOD, LINKS, loss_of
from ._grouped import Grouped
from ._likeliest_theta import fit_by_turns
from ._linear import LinearEstimator
from ._per_column import LARGEST, PER_COLUMN, PerColumn, check_per_column, per_column

Array = npt.NDArray[Any]


# Losses that need no family.
_BY_NAME = ("squared", "huber", "quantile", "poisson", "gamma", "tweedie")

# Where a fit of theta begins.
_FIRST_THETA = 1.0


@dataclass(kw_only=True, eq=False, repr=False)
class GeneralizedLinearRegressor(Grouped, Exposed):  # type: ignore[misc]
    """Regression on one linear predictor, by exact gradients over blocks of rows.

    Minimises (sum of w_i loss_i) / (sum of w_i) + alpha (l1_ratio |P1 coef|_1 + (1 - l1_ratio) P2 coef^2 / 2), where
    coefficients may be bounded. With `groups` it is alpha (l1_ratio |P1 coef|_1 + group_ratio sum_g weight_g |coef_g|
    + (1 - l1_ratio - group_ratio) P2 coef^2 / 2), with Euclidean norms. The intercept is neither penalised nor bounded.
    The result is the same to the bit on any engine and number of workers.

    What is fitted is a `family` with a `link`, as in glum: the loss is half the unit deviance; or, without a family, a
    `loss` by name.

    Parameters
    ----------
    loss : {"squared", "huber", "quantile", "poisson", "gamma", "tweedie"}, default="squared"
        Where there is no family: "squared", "huber" and "quantile" predict eta = X coef + intercept; "poisson", "gamma"
        and "tweedie" are half the deviance with the logarithmic link, and predict exp(eta).
    loss_options : mapping of str to float or None, default=None
        What shapes the loss or the family: {"delta": 1.35} for "huber", {"quantile": 0.5, "smoothing": 0.1} for
        "quantile", {"power": 1.5} for "tweedie", {"theta": 1.0} for "negative.binomial"; these are the defaults.
        {"theta": "likelihood"} is the theta of the largest likelihood, with the coefficients.
    family : str or None, default=None
        - "normal" (or "gaussian");
        - "binomial": targets from 0 to 1, labels 0 and 1 or proportions, whose weights are then the numbers of trials;
        - "poisson": targets of 0 or more;
        - "gamma", "inverse.gaussian": positive targets;
        - "tweedie": variance mean^power, for any power but those between 0 and 1: targets are of 0 or more from power 1
          on, positive from 2 on, any up to 0;
        - "negative.binomial": variance mean + theta mean^2, targets of 0 or more. This theta is R's 1 / theta.

        "inverse_gaussian" will do for "inverse.gaussian", and "tweedie(1.7)" gives the power with the name. With a
        family `loss` stays at its default.
    link : {"auto", "identity", "log", "logit", "probit", "cloglog", "inverse"}, default="auto"
        Of the mean and eta. "auto": "identity" for the normal family, "logit" for the binomial, "log" for others. The
        binomial family takes all but "inverse", the normal "identity", "log" and "inverse", and others these three.
        Where a link allows means that the family does not have, coefficients keep the means of all rows of the fit
        allowed; predictions for others are what the link says.
    alpha : float, default=0.0
        Strength of the penalty.
    P1 : float, (p,) array_like, mapping of str to float, or None, default=None
        What the strength of L1 is multiplied by, column by column, as `lower_bounds` are given; default: 1.
    P2 : float, (p,) array_like, mapping of str to float, or None, default=None
        The same of L2.
    groups : "columns", mapping of str to label, (p,) array_like of labels, or None, default=None
        Columns whose coefficients are zero together or not at all (group lasso). "columns": each column of the data is
        a group, a categorical column with all of its levels. Or by names of columns, text or whole numbers that are
        alike for those of one group; columns that are not named are groups of their own. Or such a label for each
        coefficient. Not together with bounds.
    group_ratio : float or None, default=None
        Share of `alpha` that is the groups'; default: all that `l1_ratio` leaves, which is a sparse group lasso if both
        are above 0. L2 has the rest.
    group_weights : mapping of label to float, or None, default=None
        What the strength is multiplied by for a group, 0 for none; the label of "columns" is the column's name.
        Default: the root of the number of its columns, of which each level is one.
    tol, fit_intercept, max_iter, warm_start, l1_ratio, lower_bounds, upper_bounds, standardize, missing,
    missing_indicator, formula, base, unknown, solver, engine, checkpoint, callbacks, verbose
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.

    Attributes
    ----------
    coef_ : (p,) float64 array
        Coefficients.
    intercept_ : float
        Intercept; 0 without.
    theta_ : float
        Of the negative binomial family: as given, or of the largest likelihood.
    l21_ : float
        Strength of the groups' norms, before `group_weights`.
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
    >>> rates = [0.1, 0.1, 0.2, 0.4, 0.5, 0.7, 0.8, 0.9]
    >>> model = GeneralizedLinearRegressor(family="binomial", link="probit").fit(X, rates, sample_weight=[50] * 8)
    >>> model.predict([[8.0]]).round(2)
    array([0.96])

    Notes
    -----
    Convexity. F is convex, and its minimum what a fit converges to, for "squared", "huber" and "quantile"; for the
    binomial family with any link; for the logarithmic link with powers from 1 to 2 and the negative binomial family;
    for "poisson" with "identity"; for "gamma" and "inverse.gaussian" with "inverse". For others it may have several
    minima: "converged" is then said of a local one, by the Hessian there, and an L1 penalty or bounds are left to
    "owl-qn".
    """

    _saved_parameters: ClassVar = {
        "loss": Text(_BY_NAME),
        "loss_options": Either(Null(), Named(Either(Number(), Text((LIKELIHOOD,))))),
        "family": Either(Null(), Text()),
        "link": Text(LINKS),
        "alpha": Number(0),
        "P1": PER_COLUMN,
        "P2": PER_COLUMN,
        **Grouped._saved_parameters,
        **LinearEstimator._saved_parameters,
    }
    _saved_members: ClassVar = {**Exposed._saved_members, "theta": Member("f", (), optional=True)}

    loss: str = field(default="squared", kw_only=False)
    loss_options: Mapping[str, Any] | None = None
    family: str | None = None
    link: str = "auto"
    alpha: float = 0.0
    P1: PerColumn = None
    P2: PerColumn = None

    def _check_parameters(self) -> None:
        if not (isinstance(self.loss, str) and self.loss in _BY_NAME):
            raise ValueError(f"unknown loss {self.loss!r}: choose from {', '.join(_BY_NAME)}")
        if self.family is not None and self.loss != "squared":
            raise ValueError(f"loss {self.loss!r} and family {self.family!r} are two models: leave one out")
        if self.family is None and not (isinstance(self.link, str) and self.link == "auto"):
            raise ValueError(
                f"link {self.link!r} goes with a family, and the loss {self.loss!r} has its own: give a family"
            )
        check_number("alpha", self.alpha, finite=True)
        check_per_column("P1", self.P1, 0.0, LARGEST)
        check_per_column("P2", self.P2, 0.0, LARGEST)
        if self._by_likelihood and self.checkpoint is not None:
            raise ValueError(
                "checkpoint: a fit of theta is many fits, which keep no state: give theta, or no checkpoint"
            )
        if not (self.loss_options is None or isinstance(self.loss_options, Mapping)):
            raise ValueError(f"loss_options must be a mapping of names to numbers, or None, got {self.loss_options!r}")
        super()._check_parameters()

    def _loss(self) -> tuple[str, Mapping[str, Any] | None]:
        if self.family is None:
            return self.loss, self.loss_options
        loss, options = loss_of(self.family, self.link, self.loss_options)
        return loss, {**(options or {}), "theta": self.theta_} if self._by_likelihood else options

    @property
    def _by_likelihood(self) -> bool:
        """Whether theta is fitted."""
        theta = self.loss_options.get("theta") if isinstance(self.loss_options, Mapping) else None
        return isinstance(theta, str) and theta == LIKELIHOOD and self.family is not None

    @property
    def _found_with(self) -> int:
        return int(self._by_likelihood)

    @property
    def _no_together(self) -> str:  # type: ignore[override]
        return "its theta is fitted too: give one" if self._by_likelihood else ""

    def _check_model(self) -> None:
        if not self._by_likelihood:
            return super()._check_model()
        trial = copy(self)
        trial.theta_ = _FIRST_THETA
        trial._model()

    def _learn(self, engine: Any, given: Given) -> None:
        if not self._by_likelihood:
            return super()._learn(engine, given)
        if not (self.warm_start and hasattr(self, "theta_")):
            self.theta_ = _FIRST_THETA
        fit_by_turns(self, lambda: super(GeneralizedLinearRegressor, self)._learn(engine, given), engine, given.sources)

    def _fit_blocks(self, blocks: Any, given: Given) -> None:
        super()._fit_blocks(blocks, given)
        loss, options = self._loss()
        if loss == "negative.binomial":
            self.theta_ = float((options or {}).get("theta", 1.0))
        else:
            self.__dict__.pop("theta_", None)  # of an earlier fit

    def _add_saved(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        super()._add_saved(arrays, metadata)
        if hasattr(self, "theta_"):
            arrays["theta"] = np.asarray(self.theta_)

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        model = super()._loaded(arrays, metadata)
        if "theta" in arrays:
            model.theta_ = float(arrays["theta"])
        return model

    def _strength(self, weight: float) -> float:
        return float(self.alpha)

    def _shares(self, features: Features) -> tuple[Array | None, Array | None]:
        return tuple(  # type: ignore[return-value]
            None if given is None else per_column(name, given, features, 1.0)
            for name, given in (("P2", self.P2), ("P1", self.P1))
        )
