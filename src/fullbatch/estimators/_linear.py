"""What the estimators of linear models share: their parameters, and the way from data to a fit."""

import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, closing
from copy import copy
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_is_fitted

from ..data.design_ import Design
from ..data.given import Given, given_to_fit
from ..data.indicators import Indicators
from ..data.missing import MissingOfFit, check_missing
from ..data.terms_ import Terms, terms_of
from ..errors import DataError, FitWarning
from ..models.linear import Linear
from ..objective.objective import Objective
from ..objective.variables import Standardized
from ..protocols.rows import is_sparse
from ..protocols.schema import Features, Schema
from ..protocols.seams import Engine, Model
from ..run.callbacks import Callback, Progress, check_callbacks
from ..run.checkpoints import Checkpoint, check_checkpoint
from ..run.driver import minimize
from ..run.result import Result
from ..solvers import check_solver
from ..wording.arguments import check_flag, check_whole, is_number
from ..wording.shown import named
from ._applied import Applied
from ._base_levels import Base, base_levels, check_base, held_at_zero
from ._handed_over import HandedOver
from ._inferred import Inferred
from ._least_norm import least_norm
from ._per_column import PerColumn, check_per_column, per_column
from ._saved import Saved
from ._taken import check_taken, our_solver
from .early_stopping import EarlyStopping

Array = npt.NDArray[Any]

# A warm start is dropped where F is so many times the null model's.
_TOO_FAR = 1e3


# A dataclass writes `__init__` as scikit-learn wants it: one that has a parameter for each field, stores them, and does
# nothing else. Parameters that the estimators have in common thus stand here alone.
@dataclass(kw_only=True, eq=False, repr=False)
class LinearEstimator(Applied, Inferred, HandedOver, Saved, BaseEstimator):  # type: ignore[misc]
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
        those that the mapping names. None: each level has a coefficient, and all are penalised alike.
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
    l2_, l1_ : float
        Strengths of the penalty on the mean loss: l2_ ||coef||^2 / 2 + l1_ ||coef||_1.
    status_ : str
        How the fit ended: the value of a `fullbatch.Status`.
    n_features_in_ : int
        Columns seen in fit; `coef_` has one more for each further level of a categorical one.
    feature_names_in_ : (n_features_in_,) array of str
        Their names, where X had any: in the order of a frame; of sources, those of the numbers come first.
    has_offset_ : bool
        Whether the rows had offsets, which predictions then need too.
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

    @abstractmethod
    def _loss(self) -> tuple[str, Mapping[str, float] | None]:
        """Name and options of the loss of one linear predictor."""

    def _l1_share(self) -> float:
        """Share of the strength that is L1's."""
        return float(self.l1_ratio)

    def _bounds(self) -> tuple[PerColumn, PerColumn]:
        """What coefficients must not be below, and above."""
        return self.lower_bounds, self.upper_bounds

    def _solver(self) -> Any:
        """The solver as `minimize` takes it."""
        return our_solver(self.solver, self._solvers_there)

    def _variables(self, schema: Schema, linear: Linear) -> Any:
        """The solver's variables: of centred columns."""
        held = held_at_zero(base_levels(self.base, schema.features), schema.features)
        return Standardized(schema, linear.outputs(schema), linear.intercept, self.standardize, held)

    def _shares(self, features: Features) -> tuple[Array | None, Array | None]:
        """What the strengths of L2 and L1 are multiplied by for each coefficient; None for 1."""
        return None, None

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
            The targets of a Ray Dataset are a column of it.
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
        self._check_parameters()
        # A copy learns, and hands over what it has learnt at the very end: a fit that fails anywhere changes nothing.
        learner = type(self).__new__(type(self))
        learner.__dict__.update(vars(self))
        asked_by = type(self).__name__
        given = given_to_fit(X, y, sample_weight, offset, asked_by=asked_by, terms=self._terms())
        with ExitStack() as stack:
            engine = learner._opened(stack)
            learner._learn(engine, learner._prepared(given, engine))
        parameters = {name: getattr(self, name) for name in self.get_params(deep=False)}
        self.__dict__ = {**vars(learner), **parameters}
        return self

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
        schema = blocks.schema
        linear = self._linear(schema)
        outputs = linear.outputs(schema)
        variables, share = self._variables(schema, linear), self._l1_share()
        factors = linear.class_factors(schema)
        weight = schema.weight if factors is None else float(factors @ schema.class_weight)
        strength, self.n_samples_fit_ = self._strength(weight), schema.n_rows
        self.l2_, self.l1_ = (1.0 - share) * strength, share * strength
        if share and not strength and "l1_ratio" in self.get_params(deep=False):
            warnings.warn(
                "[no-penalty] l1_ratio is a share of the penalty, whose strength is 0: nothing is penalised",
                FitWarning,
                stacklevel=4,
            )
        objective = Objective(blocks, variables=variables, **self._penalty(schema, variables, outputs))
        objective.num_setup_passes += given.reads
        callbacks: list[Callback] = list(self.callbacks)
        if self.verbose:
            callbacks.append(Progress())
        stops = [one for one in callbacks if isinstance(one, EarlyStopping)]
        for one in stops:
            one.begin(lambda theta: self._at(theta, objective, given))
        result = minimize(
            objective,
            self._start(objective, schema, outputs),
            solver=self._solver(),
            tol=self.tol**2,
            max_iter=self._most_iterations(),
            callbacks=callbacks,
            checkpoint=self.checkpoint,
        )
        if ended := [one for one in stops if one.stopped]:
            self._set_theta(ended[0].best_theta, objective, given)
        else:
            self._set_theta(result.theta, objective, given, result)
        self.n_iter_, self.status_ = self._counted(result.iterations), result.status.value
        self.result_ = result
        self._warn(result, schema, was_asked=bool(ended))

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
        intercept = theta[coefs : coefs + outputs].copy() if linear.intercept else np.zeros(outputs)
        if result is not None:
            coef, intercept = least_norm(coef, intercept, result, objective)
        self.features_, self.has_offset_, self.zero_based_ = schema.features, schema.offset, given.zero_based
        self._keep(coef, intercept, schema)
        self._keep_rest(theta[coefs + outputs * linear.intercept :])
        of_data = schema.features if given.design is None else given.design.features
        self.n_features_in_ = of_data.numeric + len(of_data.levels)
        self.formula_ = given.design if isinstance(given.design, Design) else None
        self.indicators_ = given.design.places if isinstance(given.design, Indicators) else ()
        self.__dict__.pop("feature_names_in_", None)  # of an earlier fit
        if names := given.names or of_data.names:
            self.feature_names_in_ = np.array(names, object)
        self.missing_, self.base_ = given.missing, base_levels(self.base, schema.features)

    def _penalty(self, schema: Schema, variables: Standardized, outputs: int) -> dict[str, Any]:
        """Strengths and bounds as an objective takes them."""

        def of_theta(of_columns: Array, of_intercepts: float) -> Array:
            intercepts = np.full(outputs if self.fit_intercept else 0, of_intercepts)
            return np.concatenate((np.tile(of_columns, outputs), intercepts))

        strengths = {"l2": self.l2_, "l1": self.l1_}
        penalty: dict[str, Any] = {
            name: strength if shares is None else of_theta(strength * shares, 0.0)
            for (name, strength), shares in zip(strengths.items(), self._shares(schema.features), strict=True)
        }
        self._check_bounds(schema.features)
        lower, upper = self._bounds()
        for name, given, free in (("lower", lower, -np.inf), ("upper", upper, np.inf)):
            if given is None:
                continue
            bounds = per_column(f"{name}_bounds", given, schema.features, free)
            beyond = np.flatnonzero(~variables.used & ((bounds > 0) if name == "lower" else (bounds < 0)))
            if beyond.size:
                column = schema.features.names_out()[beyond[0]]
                why = "does not vary, so that its coefficient is zero beside an intercept"
                if held_at_zero(base_levels(self.base, schema.features), schema.features)[beyond[0]]:
                    why = "is a base level, whose coefficient is zero"
                raise DataError(
                    f"{name}_bounds: column {column!r} {why} and cannot be {bounds[beyond[0]]:g}: leave the column or "
                    "its bound out"
                )
            penalty[name] = of_theta(bounds * variables.scale, free)
        return penalty

    def _check_bounds(self, features: Features) -> None:
        """Refuse bounds that no number is within."""
        least, most = self._bounds()
        lower = per_column("lower_bounds", least, features, -np.inf)
        upper = per_column("upper_bounds", most, features, np.inf)
        wrong = np.flatnonzero((lower > upper) | (lower == np.inf) | (upper == -np.inf))
        if wrong.size:
            first = wrong[0]
            raise DataError(
                f"column {features.names_out()[first]!r}: its coefficient must be at least {lower[first]:g} by "
                f"lower_bounds and at most {upper[first]:g} by upper_bounds, which no number is: correct one of them"
            )

    def _warn(self, result: Result, schema: Schema, was_asked: bool = False) -> None:
        """Say aloud what the numbers do not show; `was_asked` that the fit was to end where it did."""
        if not (result.success or was_asked):
            warnings.warn(f"[not-converged] {result.message}", ConvergenceWarning, stacklevel=5)
        for notice in result.notices:
            # All levels of a categorical column and the intercept are collinear by design.
            if notice.code == "separable" or (notice.code == "collinear-columns" and not schema.features.levels):
                warnings.warn(str(notice), FitWarning, stacklevel=5)

    def _within(self, coef: Array, theta: Array, objective: Objective) -> Array:
        """Coefficients that the fit holds at a bound exactly at it, and all others within theirs."""
        coef, features = coef.copy(), objective.blocks.schema.features
        lower, upper = self._bounds()
        for given, told, bounds in (
            ("lower_bounds", lower, objective.penalty.lower),
            ("upper_bounds", upper, objective.penalty.upper),
        ):
            if told is not None:
                held = (theta == bounds)[: coef.size].reshape(coef.shape)
                bound = np.broadcast_to(per_column(given, told, features, np.nan), coef.shape)
                coef[held] = bound[held]
                coef = np.fmax(coef, bound) if given == "lower_bounds" else np.fmin(coef, bound)
        return coef

    def get_feature_names_out(self) -> Array:
        """Names of the columns of `coef_`: those of the data, and one like "region=north" for each level."""
        check_is_fitted(self)
        return np.array(self.features_.names_out(), object)

    def __setattr__(self, name: str, value: Any) -> None:
        # scikit-learn shows parameters as they are: a URL with secrets is kept as one that does not show them.
        super().__setattr__(name, named(value) if name == "checkpoint" and isinstance(value, str) else value)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check_parameters(self) -> None:
        if not (is_number(self.tol) and 0 <= self.tol < np.inf):
            raise ValueError(f"tol must be a finite number of 0 or more, got {self.tol!r}")
        for name in ("fit_intercept", "warm_start", "standardize"):
            check_flag(name, getattr(self, name))
        check_whole("max_iter", self._most_iterations(), 0)
        if not (is_number(self.l1_ratio) and 0 <= self.l1_ratio <= 1):
            raise ValueError(f"l1_ratio must be a number from 0 to 1, got {self.l1_ratio!r}")
        check_per_column("lower_bounds", self.lower_bounds)
        check_per_column("upper_bounds", self.upper_bounds)
        check_missing(self.missing)
        check_flag("missing_indicator", self.missing_indicator)
        if self.missing_indicator and isinstance(self.missing, str) and self.missing in ("error", "drop"):
            raise ValueError(f'missing_indicator=True needs a missing that fills, such as "mean", got {self.missing!r}')
        if self.missing_indicator and self.formula is not None:
            raise ValueError("missing_indicator beside a formula: make a column that tells what is missing instead")
        if not (self.formula is None or isinstance(self.formula, str)):
            raise ValueError(f"formula must be a text such as 'y ~ a + C(b)', or None, got {self.formula!r}")
        self._terms()  # refuses what cannot be read
        if not isinstance(self.verbose, bool | np.bool_):
            check_whole("verbose", self.verbose, 0)
        check_base(self.base, self.unknown)
        check_taken(self)
        check_solver(self._solver())
        self._check_engine()
        check_checkpoint(self.checkpoint)
        check_callbacks(self.callbacks)
        for one in self.callbacks:
            if isinstance(one, EarlyStopping):
                one.check()
                if self._no_early_stopping:
                    raise ValueError(f"{type(self).__name__} takes no EarlyStopping: {self._no_early_stopping}")
        self._model()  # refuses what it does not take

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
        warnings.warn(
            "[warm-start-dropped] the last fit's coefficients are so far off these rows that the fit begins anew",
            FitWarning,
            stacklevel=5,
        )
        return self._first_guess(objective, schema)

    def _last_theta(self) -> Array:
        """Parameters of the last fit as the blocks take them."""
        coef: Any
        coef, intercept = self._matrix()
        coef = coef.toarray() if is_sparse(coef) else coef
        return np.concatenate((coef.ravel(), intercept) if self.fit_intercept else (coef.ravel(),))

    def _most_iterations(self) -> Any:
        return self.max_iter

    def _counted(self, iterations: int) -> Any:
        """`n_iter_`."""
        return np.array([iterations])

    def _continues(self, schema: Schema, outputs: int) -> bool:
        """Whether the last fit was of such a model."""
        return self._matrix()[0].shape[0] == outputs and self.features_.same_as(schema.features)

    def _first_guess(self, objective: Objective, schema: Schema) -> Array:
        return np.zeros(objective.size)
