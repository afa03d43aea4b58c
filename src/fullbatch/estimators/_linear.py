"""What the estimators of linear models share: their parameters, and the way from data to a fit."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from copy import copy
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from ..data.beside import listed_names
from ..data.given import Given, given_to_fit
from ..data.missing import MissingOfFit
from ..data.terms_ import Terms, terms_of
from ..errors import FitWarning
from ..models.linear import Linear
from ..objective.objective import Objective
from ..objective.variables import Standardized
from ..protocols.rows import is_sparse
from ..protocols.schema import Schema
from ..protocols.seams import Engine, Model
from ..run.callbacks import Callback, compiling_shown
from ..run.checkpoints import Checkpoint
from ..run.driver import minimize
from ..run.result import Result
from ..wording.arguments import check_flag
from ..wording.warned import warn
from ._applied import Applied
from ._base_levels import Base, base_levels, held_at_zero, unknown_to
from ._checked import Checked
from ._columns import check_columns
from ._fitting import Fitting, learning
from ._handed_over import HandedOver
from ._least_norm import least_norm
from ._penalised import Penalised
from ._per_column import PerColumn
from ._saved import Saved
from ._taken import check_taken, our_solver
from .early_stopping import EarlyStopping, begun, that_ended

Array = npt.NDArray[Any]

# A warm start is dropped where F is so many times the null model's.
_TOO_FAR = 1e3


# A dataclass writes `__init__` as scikit-learn wants it: one that has a parameter for each field, stores them, and does
# nothing else. Parameters that the estimators have in common thus stand here alone.
@dataclass(kw_only=True, eq=False, repr=False)
class LinearEstimator(Fitting, Penalised, Applied, Checked, HandedOver, Saved, BaseEstimator):  # type: ignore[misc]
    """A linear model with scikit-learn's manners: what all of them have in common.

    Subclasses say which loss and which penalty, and describe the parameters and attributes that they add.

    Parameters
    ----------
    tol : float, default=1e-4
        The fit ends when the share of the deviance that the model explains, D^2 (it is R^2 without a link), could rise
        by at most tol squared, and that was checked: near the minimum it goes with the square of the gradient, which
        scikit-learn's `tol` bounds.
    fit_intercept : bool, default=True
        Whether to fit an intercept, for each linear predictor.
    max_iter : int, default=1000
        Iterations at the most.
    warm_start : bool, default=False
        Start from the last fit's coefficients instead of zeros.
    l1_ratio : float, default=0.0
        Share of the penalty's strength that is L1's, from 0 to 1: coefficients of some columns are then exactly zero.
    lower_bounds : float, (p,) array_like, mapping of str to float, or None, default=None
        What coefficients must not be below: one number for all, one for each, or by names of columns (a categorical
        column's for all of its levels).
    upper_bounds : float, (p,) array_like, mapping of str to float, or None, default=None
        What they must not be above.
    standardize : bool, default=False
        Penalise coefficients per standard deviation of their column. Either way `coef_` is for the columns as given.
    missing : {"error", "drop", "mean", "median"} or mapping of str to value, default="error"
        What is done with missing values of features: refuse them; leave the row out; or put the column's mean or median
        over the training rows in their place, in later rows too, and a level of its own, "missing", in columns of text.
        A mapping says for each column "mean", "median", or a value. What sources say themselves goes first.
    missing_indicator : bool, default=False
        Whether each column of numbers in which some are missing in the fit gets another one, such as "age=missing",
        that is 1 where the number is missing and else 0.
    formula : str or None, default=None
        The columns of the model, as formulaic (the extra "formula") writes them: "claims ~ C(region) + bs(age, df=4) +
        power:age", with the target on the left, or without one. What it learns, such as levels and knots, it learns
        from the rows of the fit. The intercept is the model's own.
    base : "first", mapping of str to level, or None, default=None
        Base levels of categorical columns, whose coefficients are zero: the first level of each column, or by name for
        those that the mapping names, as it is or as text. None: each level has a coefficient, and all are penalised
        alike. Of a formula's columns the formula says it, as in "C(region, contr.treatment(base='south'))".
    unknown : {"error", "ignore", "base"}, default="error"
        What predictions do with a category that the fit has not seen: refuse the row, count it as none of them, or as
        the base level, which is the same where there is one.
    solver : str or Solver, default="auto"
        As in `fullbatch.minimize`: "auto" chooses by the shape of the problem, and says why in `result_.solver`.
    engine : str or Engine, default="threads"
        "threads", "serial", "ray", "dask", or an engine object, which stays open after the fit.
    checkpoint : Checkpoint, path or URL, default=None
        A directory where the fit keeps its state, and from which it goes on if it was ended there: the result is the
        same to the byte. See `fullbatch.Checkpoint`.
    callbacks : sequence of callables, default=()
        Called with an `Iterate` at every iterate; theirs is `theta` of the solver, which sees centred columns.
    verbose : int, default=0
        1 shows progress on standard error.

    Attributes
    ----------
    features_ : Features
        How the columns of the data become those of `coef_`.
    n_iter_ : int, or (1,) int array
        Iterations: in an array where scikit-learn's estimator of that name has one.
    n_samples_fit_ : int
        Rows seen in fit.
    weight_sum_ : float
        Sum of their sample weights.
    l2_, l1_ : float
        Strengths of the penalty on the mean loss: l2_ ||coef||^2 / 2 + l1_ ||coef||_1.
    status_ : str
        How the fit ended: the value of a `fullbatch.Status`.
    separable_ : bool
        Whether the fit has found rows that can be fitted ever better, so that coefficients mean nothing: the notice
        "separable".
    n_features_in_ : int
        Columns seen in fit; `coef_` has one more for each further level of a categorical one.
    feature_names_in_ : (n_features_in_,) array of str
        Their names, where X had any: in the order of a frame; of sources, those of the numbers come first.
    has_offset_ : bool
        Whether the rows had offsets, which predictions then need too.
    target_name_, offset_name_ : str or None
        Names of the columns of targets (a list where there are several) and of offsets, where they were told by name.
    zero_based_ : bool or None
        Whether columns were counted from 0 rather than 1 in the libsvm files of the fit; None of other data.
    missing_ : dict of str to value
        What stood for missing values in the fit, by column, as `missing` or the sources say, means and medians as
        numbers: it stands for those of later rows too, unless their sources say otherwise. Columns without names are
        "x0", "x1", ...
    formula_ : Design or None
        The formula with what it has learnt.
    indicators_ : tuple of int
        Numbers of the columns of numbers that have an indicator of what is missing.
    base_ : dict of str to level
        Base levels by column.
    result_ : Result
        How the fit went: objective, gradient norm, passes, seconds, and which rule ended it. Its `theta` is in the
        solver's variables. A loaded model has none.
    """

    tol: float = 1e-4
    fit_intercept: bool = True
    max_iter: int = 1000
    warm_start: bool = False
    l1_ratio: float = 0.0
    lower_bounds: PerColumn = None
    upper_bounds: PerColumn = None
    standardize: bool = False
    missing: MissingOfFit = "error"
    missing_indicator: bool = False
    formula: str | None = None
    base: Base = None
    unknown: str = "error"
    solver: Any = "auto"
    engine: str | Engine = "threads"
    checkpoint: Checkpoint | str | PathLike[str] | None = None
    callbacks: Sequence[Callback] = ()
    verbose: int = 0

    # Set by fit.
    coef_: Any = field(init=False)
    intercept_: Any = field(init=False)

    # What scikit-learn's names of solvers are in here.
    _solvers_there: ClassVar[Mapping[str, str]] = {}

    # Why many fits cannot advance together.
    _no_together: ClassVar[str] = ""

    # Why there is no model to evaluate before the end.
    _no_early_stopping: ClassVar[str] = ""

    @abstractmethod
    def _model(self) -> Model:
        """What the workers compute."""

    @abstractmethod
    def _linear(self, schema: Schema) -> Linear:
        """The linear model of this data."""

    @abstractmethod
    def _strength(self, weight: float) -> float:
        """Strength of the penalty on the mean loss, for rows of this total weight."""

    def _of_strength(self, strength: float, weight: float) -> dict[str, Any]:
        """Parameters by which `_strength` is that."""
        return {"alpha": strength} if hasattr(self, "alpha") else {}

    @abstractmethod
    def _loss(self) -> tuple[str, Mapping[str, Any] | None]:
        """Name and options of the loss of one linear predictor."""

    def _solver(self) -> Any:
        """The solver as `minimize` takes it."""
        return our_solver(self.solver, self._solvers_there)

    def _variables(self, schema: Schema, linear: Linear) -> Any:
        """The solver's variables: of centred columns, but beside an intercept that is penalised."""
        bases = base_levels(self.base, schema.features)
        unknown_to(self.unknown, bases, schema.features)  # refuses what predictions could not do
        held = held_at_zero(bases, schema.features)
        centred = not any(self._intercept_shares())
        return Standardized(schema, linear.outputs(schema), linear.intercept, self.standardize, held, centred)

    @abstractmethod
    def _keep(self, coef: Array, intercept: Array, schema: Schema) -> None:
        """Set `coef_` and `intercept_` from (outputs, p) and (outputs,) arrays."""

    def _keep_rest(self, rest: Array) -> None:
        """Keep what the blocks' parameters have behind the intercepts: nothing, as a rule."""

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : (n, p) array_like, sparse matrix, data frame, Dask array or data frame, Ray Dataset, or list of Source
            Features; or sources, which bring targets and weights with them. Text columns of a frame are categories.
        y : (n,) array_like, or str
            Targets; None with sources. The name of a column of X, which is then no feature; or values, a series or a
            frame of one column, paired with the rows of X by position. Beside what is of Dask they may be of Dask too.
            The targets of a Ray Dataset are a column of it. Where there may be several targets: (n, t) numbers, a frame
            of them, or a list of names of columns of X.
        sample_weight : (n,) array_like, or str, optional
            Weights, given like y; default: 1 for every row.
        offset : (n,) array_like, or str, optional
            Added to the linear predictors, such as the logarithm of an exposure; given like y. Predictions need it too.

        Returns
        -------
        self

        Raises
        ------
        DataError
            The data cannot be used; says where and why.
        """
        return self._fit(X, y, sample_weight, offset)

    def _fit(self, X: Any, y: Any, weight: Any, offset: Any, **told: Any) -> Self:
        """What `fit` does; a learner has what is `told` beside its parameters."""
        self._check_parameters()
        names = listed_names(y)
        X, y = self._named_targets(X, y)
        y, targets = self._parted_targets(y)
        if targets is not None:
            told["_targets"] = targets, (X, weight, offset)
        given = given_to_fit(X, y, weight, offset, asked_by=type(self).__name__, terms=self._terms())
        if targets is not None and names:
            given = replace(given, target=names)
        with learning(self, told) as learner, ExitStack() as stack:
            if self.verbose:
                stack.enter_context(compiling_shown())
            engine = learner._opened(stack)
            learner._learn(engine, learner._prepared(given, engine))
        return self

    def _named_targets(self, X: Any, y: Any) -> tuple[Any, Any]:
        """X and y, in which names of several targets stand for columns of X."""
        return X, y

    def _parted_targets(self, y: Any) -> tuple[Any, Array | None]:
        """Targets as sources take them, and all of them where they are several."""
        return y, None

    def _terms(self) -> Terms | None:
        """What the formula says."""
        return None if self.formula is None else terms_of(self.formula, bool(self.fit_intercept))

    def _prepared(self, given: Given, engine: Any) -> Given:
        """What was given, without missing values and with the columns of the model."""
        return given.prepared(self.missing, bool(self.missing_indicator), bool(self.fit_intercept), engine)

    def _learn(self, engine: Any, given: Given) -> None:
        with closing(engine.place(self._model(), given.sources)) as blocks:
            self._fit_blocks(blocks, given)
        self._look_at_rows(given)

    def _look_at_rows(self, given: Given) -> None:
        """Keep what the fitted model says of the rows it was fitted to: nothing, as a rule."""

    def _fit_blocks(self, blocks: Any, given: Given) -> None:
        objective, callbacks = self._objective(blocks, given), self._callbacks()
        stops = begun(callbacks, lambda theta: self._at(theta, objective, given))
        start = self._start(objective, blocks.schema, self._linear(blocks.schema).outputs(blocks.schema))
        result = minimize(objective, start, callbacks=callbacks, checkpoint=self.checkpoint, **self._run_options())
        self._take(result, objective, given, that_ended(stops))

    def _run_options(self) -> dict[str, Any]:
        """Arguments of `minimize`."""
        return {"solver": self._solver(), "tol": self.tol**2, "max_iter": self._most_iterations()}

    def _objective(self, blocks: Any, given: Given) -> Objective:
        """What is minimised."""
        schema = blocks.schema
        linear = self._linear(schema)
        outputs = linear.outputs(schema)
        variables, share = self._variables(schema, linear), self._l1_share()
        factors = linear.class_factors(schema)
        weight = schema.weight if factors is None else float(factors @ schema.class_weight)
        strength, self.n_samples_fit_ = self._strength(weight), schema.n_rows
        self.weight_sum_ = schema.weight
        self._share_out(strength, share)
        if (share or self._group_share()) and not strength and "l1_ratio" in self.get_params(deep=False):
            what = "l1_ratio is a share" if share else "norms of groups are a part"
            warn(
                f"[no-penalty] {what} of the penalty, whose strength is 0: nothing is penalised",
                FitWarning,
            )
        objective = Objective(blocks, variables=variables, **self._penalty(schema, variables, outputs))
        objective.num_setup_passes += given.reads
        return objective

    def _take(self, result: Result, objective: Objective, given: Given, ended: EarlyStopping | None = None) -> None:
        """Keep what a run has found, or what ended it."""
        if ended:
            self._set_theta(ended.best_theta, objective, given)
        else:
            self._set_theta(result.theta, objective, given, result)
        self.n_iter_, self.status_ = self._counted(result.iterations), result.status.value
        self.separable_, self.result_ = any(one.code == "separable" for one in result.notices), result
        self._warn(result, objective.blocks.schema, was_asked=ended is not None)

    def _at(self, theta: Array, objective: Objective, given: Given) -> Self:
        """The model at some theta of the objective."""
        model = copy(self)
        model._set_theta(theta, objective, given)
        return model

    def _set_theta(self, found: Array, objective: Objective, given: Given, result: Result | None = None) -> None:
        """Set what predictions need from the objective's theta: of a run, or of one among many models."""
        schema = objective.blocks.schema
        assert objective.variables is not None
        linear, theta = self._linear(schema), objective.variables.to_blocks(found)
        outputs = linear.outputs(schema)
        coefs = outputs * schema.n_features
        coef = self._within(theta[:coefs].reshape(outputs, -1), found, objective)
        intercepts = self._intercepts(schema, outputs)
        intercept = theta[coefs : coefs + intercepts].copy() if linear.intercept else np.zeros(outputs)
        if result is not None:
            coef, intercept = least_norm(coef, intercept, result, objective)
        self._keep_columns(schema, given)
        self._keep(coef, intercept, schema)
        self._keep_rest(theta[coefs + intercepts * linear.intercept :])
        self.base_ = base_levels(self.base, schema.features)

    def _warn(self, result: Result, schema: Schema, was_asked: bool = False) -> None:
        """Say aloud what the numbers do not show; `was_asked` that the fit was to end where it did."""
        if not (result.success or was_asked):
            warn(f"[not-converged] {result.message}", ConvergenceWarning)
        for notice in result.notices:
            # All levels of a categorical column and the intercept are collinear by design.
            if notice.code == "separable" or (notice.code == "collinear-columns" and not schema.features.levels):
                warn(str(notice), FitWarning)

    def get_feature_names_out(self) -> Array:
        """Names of the columns of `coef_`: those of the data, and one like "region=north" for each level."""
        check_is_fitted(self)
        return np.array(self.features_.names_out(), object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check_parameters(self) -> None:
        self._check_run()
        for name in ("fit_intercept", "standardize"):
            check_flag(name, getattr(self, name))
        self._check_penalty()
        check_columns(self)
        self._terms()  # refuses what cannot be read
        check_taken(self)
        self._check_engine()
        for one in self.callbacks:
            if isinstance(one, EarlyStopping):
                one.check()
                if self._no_early_stopping:
                    raise ValueError(f"{type(self).__name__} takes no EarlyStopping: {self._no_early_stopping}")
        self._check_model()

    def _check_model(self) -> None:
        """Refuse what the model does not take."""
        self._model()

    def _start(self, objective: Objective, schema: Schema, outputs: int) -> Array:
        if not (self.warm_start and hasattr(self, "coef_")):
            return self._first_guess(objective, schema)
        if not self._continues(schema, outputs):
            raise ValueError("warm_start: the classes or features are not those of the last fit")
        assert objective.variables is not None
        theta = objective.variables.to_solver(self._last_theta())
        above = objective.value_and_grad(theta).value - objective.facts.least
        objective.num_passes -= 1  # it counts with those of the set-up
        objective.num_setup_passes += 1
        if above <= _TOO_FAR * objective.facts.parameters.null:
            return theta
        warn(
            "[warm-start-dropped] the last fit's coefficients are so far off these rows that the fit begins anew",
            FitWarning,
        )
        return self._first_guess(objective, schema)

    def _last_theta(self) -> Array:
        """Parameters of the last fit as the blocks take them."""
        coef: Any
        coef, intercept = self._matrix()
        coef = coef.toarray() if is_sparse(coef) else coef
        return np.concatenate((coef.ravel(), intercept) if self.fit_intercept else (coef.ravel(),))

    def _counted(self, iterations: int) -> Any:
        """`n_iter_`."""
        return np.array([iterations])

    def _continues(self, schema: Schema, outputs: int) -> bool:
        """Whether the last fit was of such a model."""
        return self._matrix()[0].shape[0] == outputs and self.features_.same_as(schema.features)

    def _first_guess(self, objective: Objective, schema: Schema) -> Array:
        return np.zeros(objective.size)
