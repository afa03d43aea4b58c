"""Logistic regression, binary and multinomial."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import FitWarning
from ..models.linear import Linear, usual_passes
from ..objective.objective import Objective
from ..protocols.rows import Rows
from ..protocols.schema import Description, Schema
from ..protocols.seams import Block
from ..saving.contents import Either, Null, Number, Text
from ..wording.arguments import is_number
from ..wording.warned import warn
from ._classifier import Classifier
from ._grouped import Grouped
from ._labels import Probable
from ._sklearn_callbacks import CallsBack

Array = npt.NDArray[Any]

_PENALTIES = ("l2", "l1", "elasticnet")


@dataclass(kw_only=True, eq=False, repr=False)
class LogisticRegression(Probable, Grouped, Classifier, CallsBack):  # type: ignore[misc]
    """Logistic regression with an L2 or L1 penalty, or some of both, by exact gradients over blocks of rows.

    Minimises (sum of w_i loss_i) / (sum of w_i) + penalty / (C sum of w_i) with the penalty
    (1 - l1_ratio) ||coef||^2 / 2 + l1_ratio ||coef||_1, where coefficients may be bounded: the same minimum as that of
    scikit-learn's C (sum of w_i loss_i) + penalty. With `groups` the penalty is (1 - l1_ratio - group_ratio)
    ||coef||^2 / 2 + l1_ratio ||coef||_1 + group_ratio sum_g weight_g ||coef_g||. The intercept is neither penalised nor
    bounded. The result is the same to the bit on any engine and number of workers.

    Parameters
    ----------
    penalty : {"l2", "l1", "elasticnet"} or None, default="deprecated"
        What scikit-learn had before `l1_ratio`, by position or by name: "l2" is an l1_ratio of 0, "l1" of 1,
        "elasticnet" takes `l1_ratio`, and None is no penalty. Leave it out.
    C : float, default=1.0
        Inverse of the penalty's strength; `np.inf` for none.
    l2 : float or None, default=None
        Strength of the penalty on the mean loss, which then stands instead of 1 / (C sum of w_i); `l1_ratio` of it is
        L1's.
    groups : "columns", mapping of str to label, (p,) array_like of labels, or None, default=None
        Columns whose coefficients, of all classes, are zero together or not at all; see
        `fullbatch.GeneralizedLinearRegressor`. "columns" is glmnet's `type.multinomial="grouped"`.
    group_ratio : float or None, default=None
        Share of the strength that is the groups'; default: 1 - l1_ratio.
    group_weights : mapping of label to float, or None, default=None
        What it is multiplied by for a group; default: the root of the number of its columns, classes not counted.
    class_weight : "balanced", mapping of label to weight, or None, default=None
        Multiplies the sample weights of each class.
    solver : str or Solver, default="auto"
        As for every linear model. Of scikit-learn's names "newton-cholesky" is "newton", and "liblinear", "sag" and
        "saga" are "auto"; "lbfgs" and "newton-cg" are solvers of that name.
    dual : bool, default=False
        Scikit-learn's, which changes nothing, as the next do.
    intercept_scaling : float, default=1
        Must be 1, since the intercept is not penalised.
    random_state : int or RandomState or None, default=None
        Changes nothing: nothing is drawn.
    n_jobs : int or None, default=None
        Changes nothing: processors are those of the engine.
    tol, fit_intercept, max_iter, warm_start, l1_ratio, lower_bounds, upper_bounds, standardize, missing,
    missing_indicator, formula, base, unknown, engine, checkpoint, callbacks, verbose
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.

    Attributes
    ----------
    classes_ : (K,) array
        Labels, sorted.
    coef_ : (1, p) or (K, p) float64 array
        Coefficients; one row for two classes.
    intercept_ : (1,) or (K,) float64 array
        Intercepts; zeros without.
    l21_ : float
        Strength of the groups' norms on the mean loss, before `group_weights`.
    features_, n_iter_, n_samples_fit_, l2_, l1_, status_, missing_, result_
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.
    n_features_in_, feature_names_in_, has_offset_, zero_based_
        The same.

    Examples
    --------
    >>> from fullbatch import LogisticRegression
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> LogisticRegression().fit(X, y).score(X, y) > 0.95
    True
    """

    _saved_parameters: ClassVar = {
        "penalty": Either(Text(("deprecated", *_PENALTIES)), Null()),
        "l2": Either(Number(0), Null()),
        **Grouped._saved_parameters,
        **Classifier._saved_parameters,
    }
    _solvers_there: ClassVar = {"liblinear": "auto", "newton-cholesky": "newton", "sag": "auto", "saga": "auto"}

    penalty: str | None = field(default="deprecated", kw_only=False)
    l2: float | None = None
    dual: bool = False
    intercept_scaling: float = 1
    random_state: Any = None
    n_jobs: int | None = None

    def _check_parameters(self) -> None:
        known = self.penalty is None or self.penalty in ("deprecated", *_PENALTIES)
        if not (known and isinstance(self.penalty, str | None)):
            raise ValueError(
                f"penalty must be {', '.join(map(repr, _PENALTIES))} or None, got {self.penalty!r}: leave it out, and "
                "give l1_ratio and C"
            )
        if (self.penalty == "l2" and self.l1_ratio) or (self.penalty == "l1" and self.l1_ratio not in (0, 1)):
            raise ValueError(f"penalty={self.penalty!r} and l1_ratio={self.l1_ratio!r} contradict: leave penalty out")
        if self.groups is not None and self.penalty in ("l1", "l2"):
            raise ValueError(f"penalty={self.penalty!r} has no room for groups: leave penalty out")
        if not (self.l2 is None or (is_number(self.l2) and 0 <= self.l2 < np.inf)):
            raise ValueError(f"l2 must be a number of 0 or more, or None, got {self.l2!r}")
        if not (is_number(self.intercept_scaling) and self.intercept_scaling == 1):
            raise ValueError(
                f"intercept_scaling must be 1, got {self.intercept_scaling!r}: no intercept is penalised, leave it out"
            )
        super()._check_parameters()

    def _model(self) -> "_CrossEntropy":
        return _CrossEntropy(bool(self.fit_intercept), self.class_weight)

    def _linear(self, schema: Schema) -> Linear:
        return self._model().linear(schema)

    def _loss(self) -> tuple[str, None]:
        return "logistic", None

    def _strength(self, weight: float) -> float:
        if self.penalty is None:
            told = {"C": self.C != 1.0, "l2": self.l2 is not None}
            if unused := [name for name, is_told in told.items() if is_told]:
                names = " and the ".join(unused)
                warn(f"[unused] Setting penalty=None will ignore the {names} given with it", FitWarning)
            return 0.0
        if self.l2 is None:
            return super()._strength(weight)
        if self.C != 1.0:
            warn(f"[unused] l2={self.l2!r} is the strength, so that C={self.C!r} counts for nothing", FitWarning)
        return float(self.l2)

    def _of_strength(self, strength: float, weight: float) -> dict[str, Any]:
        if self.penalty is None:  # which fits of a path do not go by
            return {"C": 1.0, "l2": strength, "penalty": "deprecated"}
        if self.l2 is None and strength:
            return super()._of_strength(strength, weight)
        return {"C": 1.0, "l2": strength}

    def _l1_share(self) -> float:
        return 1.0 if self.penalty == "l1" else super()._l1_share()

    def _keep(self, coef: Array, intercept: Array, schema: Schema) -> None:
        if len(coef) > 1:  # what all classes have in common changes no prediction
            intercept = intercept - intercept.mean()
            if (
                not self._l1_share()
                and not self._group_share()
                and self.lower_bounds is None
                and self.upper_bounds is None
            ):
                coef = coef - coef.mean(axis=0)
        super()._keep(coef, intercept, schema)

    def _first_guess(self, objective: Objective, schema: Schema) -> Array:
        """Zeros; of two classes with offsets, an intercept that brings the mean predictor to zero."""
        theta = super()._first_guess(objective, schema)
        if self.fit_intercept and schema.null is not None and len(theta) == schema.n_features + 1:
            theta[-1] = schema.null.moments.mean[0]  # of target less offset, the targets counting as zeros
        return theta


@dataclass(frozen=True)
class _CrossEntropy:
    """The logistic loss for two classes, softmax for more: which of them, the schema tells."""

    intercept: bool
    class_weight: str | Mapping[Any, float] | None
    passes: str = field(default_factory=usual_passes)  # of this process, not of a worker

    takes_categories: ClassVar[bool] = True

    def __post_init__(self) -> None:
        Linear("softmax", self.intercept, self.class_weight)  # refuses wrong options here, not on a worker

    def linear(self, schema: Schema) -> Linear:
        assert schema.classes is not None
        loss = "logistic" if len(schema.classes) == 2 else "softmax"
        return Linear(loss, self.intercept, self.class_weight, passes=self.passes)

    def describe(self, rows: Rows, source: str) -> Description:
        return Linear("softmax", passes=self.passes).describe(rows, source)

    def build(self, rows: Rows, schema: Schema, first_row: int) -> Block:
        return self.linear(schema).build(rows, schema, first_row)
