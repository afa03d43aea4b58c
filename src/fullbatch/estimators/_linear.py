"""What the estimators of linear models share: from data to a fit, from a fit to predictions, in here or on workers."""

import warnings
from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from os import PathLike
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from ..data.features import encode
from ..data.given import Given, given_to_evaluate, given_to_fit, given_to_predict, sources_to_predict
from ..engines import is_engine, make_engine
from ..errors import DamagedError, DataError, FitWarning, ModelFileError
from ..models.linear import Linear
from ..objective.objective import Objective
from ..objective.variables import Standardized
from ..protocols.rows import Rows, is_sparse
from ..protocols.schema import Features, Schema
from ..protocols.seams import Engine, Model
from ..run.callbacks import Callback, Progress, check_callbacks
from ..run.checkpoints import Checkpoint, check_checkpoint
from ..run.driver import minimize
from ..run.result import Result
from ..saving import files
from ..saving.contents import Contents, Either, Flag, Member, Null, Number, Parts, Rule, Text
from ..solvers import check_solver
from ..wording.arguments import check_flag, check_whole, is_number
from ..wording.shown import named
from ._measures import Tally
from ._predictions import Evaluate, Predict, PredictTable, check_rows, refuse_problem, write

Array = npt.NDArray[Any]

# A warm start is dropped where F is so many times the null model's.
_TOO_FAR = 1e3


# A dataclass writes `__init__` as scikit-learn wants it: one that has a parameter for each field, stores them, and does
# nothing else. Parameters that the estimators have in common thus stand here alone.
@dataclass(kw_only=True, eq=False, repr=False)
class LinearEstimator(BaseEstimator):  # type: ignore[misc]
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
    standardize : bool, default=False
        Penalise coefficients per standard deviation of their column. Either way `coef_` is for the columns as given.
    unknown : {"error", "ignore"}, default="error"
        What predictions do with a category that the fit has not seen: refuse the row, or count it as none of them.
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
    n_iter_ : (1,) int array
        Iterations.
    n_samples_fit_ : int
        Rows seen in fit.
    l2_ : float
        Strength of the penalty on the mean loss.
    n_features_in_ : int
        Columns seen in fit; `coef_` has one more for each further level of a categorical one.
    feature_names_in_ : (n_features_in_,) array of str
        Their names, where X had any: in the order of a frame; of sources, those of the numbers come first.
    has_offset_ : bool
        Whether the rows had offsets, which predictions then need too.
    zero_based_ : bool or None
        Whether columns were counted from 0 rather than 1 in the libsvm files of the fit; None of other data.
    result_ : Result
        How the fit went: objective, gradient norm, passes, seconds, and which rule ended it. Its `theta` is in the
        solver's variables. A loaded model has none.
    """

    # Parameters a saved model keeps: those that describe the model, not the machine it was fitted on.
    _saved_parameters: ClassVar[Mapping[str, Rule]] = {
        "tol": Number(0),
        "fit_intercept": Flag(),
        "max_iter": Number(0, whole=True),
        "standardize": Flag(),
        "unknown": Text(("error", "ignore")),
    }
    # Arrays that a saved model of any kind holds.
    _saved_members: ClassVar[Mapping[str, Member]] = {
        "n_iter": Member("iu", (1,), least=0),
        "levels_*": Member("iU", (None,), increasing=True),
        "names": Member("U", ("data columns",), optional=True),
        "feature_names_in": Member("U", ("data columns",), optional=True),
    }

    tol: float = 1e-4
    fit_intercept: bool = True
    max_iter: int = 1000
    warm_start: bool = False
    standardize: bool = False
    unknown: str = "error"
    solver: Any = "auto"
    engine: str | Engine = "threads"
    checkpoint: Checkpoint | str | PathLike[str] | None = None
    callbacks: Sequence[Callback] = ()
    verbose: int = 0

    # Set by fit.
    coef_: Array = field(init=False)
    intercept_: Any = field(init=False)

    @abstractmethod
    def _model(self) -> Model:
        """What the workers compute."""

    @abstractmethod
    def _linear(self, schema: Schema) -> Linear:
        """The linear model of this data."""

    @abstractmethod
    def _l2(self, weight: float) -> float:
        """Strength of the penalty on the mean loss, for rows of this total weight."""

    @abstractmethod
    def _keep(self, coef: Array, intercept: Array, schema: Schema) -> None:
        """Set `coef_` and `intercept_` from (outputs, p) and (outputs,) arrays."""

    @abstractmethod
    def _matrix(self) -> tuple[Array, Array]:
        """`coef_` and `intercept_` as (outputs, p) and (outputs,) arrays."""

    @abstractmethod
    def _targets(self, y: Array, source: Any) -> Array:
        """Targets of `evaluate` as `_tally` takes them."""

    @abstractmethod
    def _tally(self, eta: Array, y: Array, weight: Array) -> Tally:
        """What `evaluate` needs of some rows that count, as sums."""

    @abstractmethod
    def _measures(self, tally: Tally) -> dict[str, float]:
        """The measures of `evaluate` from the sums over all rows."""

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : (n, p) array_like, sparse matrix, data frame, Dask array or data frame, Ray Dataset, or list of Source
            Features; or sources, which bring targets and weights with them. Text columns of a frame are categories.
        y : (n,) array_like, or str
            Targets; None with sources. The name of a column of a Dask data frame or Ray Dataset, or a Dask series;
            beside a Dask array another one.
        sample_weight : (n,) array_like, or str, optional
            Weights, given like y; default: 1 for every row.

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
        given = given_to_fit(X, y, sample_weight, asked_by=type(self).__name__)
        with ExitStack() as stack:
            blocks = stack.enter_context(closing(learner._opened(stack).place(learner._model(), given.sources)))
            learner._fit_blocks(blocks, given)
        parameters = {name: getattr(self, name) for name in self.get_params(deep=False)}
        self.__dict__ = {**vars(learner), **parameters}
        return self

    def _fit_blocks(self, blocks: Any, given: Given) -> None:
        schema = blocks.schema
        linear = self._linear(schema)
        outputs = linear.outputs(schema)
        variables = Standardized(schema, outputs, linear.intercept, self.standardize)
        factors = linear.class_factors(schema)
        weight = schema.weight if factors is None else float(factors @ schema.class_weight)
        self.l2_, self.n_samples_fit_ = self._l2(weight), schema.n_rows
        objective = Objective(blocks, self.l2_, variables)
        callbacks: list[Callback] = list(self.callbacks)
        if self.verbose:
            callbacks.append(Progress())
        result = minimize(
            objective,
            self._start(objective, schema, outputs),
            solver=self.solver,
            tol=self.tol**2,
            max_iter=self.max_iter,
            callbacks=callbacks,
            checkpoint=self.checkpoint,
        )
        theta, coefs = variables.to_blocks(result.theta), outputs * schema.n_features
        intercept = theta[coefs:] if linear.intercept else np.zeros(outputs)
        self.features_, self.has_offset_, self.zero_based_ = schema.features, schema.offset, given.zero_based
        self._keep(theta[:coefs].reshape(outputs, -1).copy(), intercept.copy(), schema)
        self.n_features_in_ = schema.features.numeric + len(schema.features.levels)
        self.__dict__.pop("feature_names_in_", None)  # of an earlier fit
        if names := given.names or schema.features.names:
            self.feature_names_in_ = np.array(names, object)
        self.n_iter_ = np.array([result.iterations])
        self.result_ = result
        self._warn(result, schema)

    def _warn(self, result: Result, schema: Schema) -> None:
        """Say aloud what the numbers do not show."""
        if not result.success:
            warnings.warn(f"[not-converged] {result.message}", ConvergenceWarning, stacklevel=4)
        for notice in result.notices:
            # All levels of a categorical column and the intercept are collinear by design.
            if notice.code == "separable" or (notice.code == "collinear-columns" and not schema.features.levels):
                warnings.warn(str(notice), FitWarning, stacklevel=4)

    def get_feature_names_out(self) -> Array:
        """Names of the columns of `coef_`: those of the data, and one like "region=north" for each level."""
        check_is_fitted(self)
        return np.array(self.features_.names_out(), object)

    def evaluate(self, X: Any, y: Any = None, sample_weight: Any = None) -> dict[str, float]:
        """How good the model is on some rows, by sums over the blocks.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.

        Returns
        -------
        dict of str to float
            rows, weight, and the measures of the model: accuracy and cross_entropy of labels; of numbers rmse, mae, r2
            and, with the logarithmic link, d2 and mean_deviance. A row of weight 0 adds to rows, and to nothing else.
            A label that the fit has not seen is a miss; its probability is 0, so that cross_entropy is infinite.
            r2 and d2 of equal targets are 1.0 for predictions that equal them, up to rounding, otherwise 0.0.

        Raises
        ------
        DataError
            The data cannot be used; says where and why.
        """
        check_is_fitted(self)
        name = type(self).__name__
        given = given_to_evaluate(X, y, sample_weight, self.features_, self.zero_based_, asked_by=name)
        if isinstance(given, Rows):
            self._compare_columns(X, given)
            tally = self._tally_of(given, "the rows")
        else:
            tally = reduce(add, self._mapped(Evaluate(self._bare()), given))
        if not tally.weight > 0:
            raise DataError("the sample weights sum to zero: at least one row needs a positive weight")
        return {"rows": float(tally.rows), "weight": tally.weight, **self._measures(tally)}

    def write_predictions(self, sources: Any, path: str | PathLike[str], *, probabilities: bool = False) -> int:
        """Predict block by block, on the engine, and write what comes out.

        Parameters
        ----------
        sources : list of Source
            What to predict for; they need no targets.
        path : path
            Ends in ".parquet" or ".csv": one file, written here, in the order of the rows. Without an ending: a new
            directory; its part-00000.parquet, ... are written by the workers, one for each block, under the same path
            with ".unfinished" behind it, which becomes `path` when all are there.
        probabilities : bool
            Whether a classifier's probabilities are written too, a column "probability_<label>" for each class.

        Returns
        -------
        int
            Rows written.

        Raises
        ------
        DataError
            The data cannot be used, or the path not be written to.
        """
        check_is_fitted(self)
        if probabilities and not hasattr(self, "predict_proba"):
            raise ValueError(f"{type(self).__name__} has no probabilities: it predicts numbers")
        sources = sources_to_predict(sources, self.zero_based_)
        with ExitStack() as stack:
            return write(path, PredictTable(self._bare(), probabilities), self._opened(stack), sources)

    def predictions(self, rows: Rows, source: Any, probabilities: bool = False) -> pa.Table:
        """Predictions for the rows of one block, as a table."""
        return pa.table({"prediction": self._predicted(self._eta(rows, source))})

    @abstractmethod
    def _predicted(self, eta: Array) -> Array:
        """Predictions from (n, outputs) linear predictors."""

    def save(self, path: str | PathLike[str]) -> None:
        """Save the fitted model; `fullbatch.load_model` reads it.

        Parameters
        ----------
        path : path
            Where; an existing file of fullbatch is replaced in one step, any other is an error.
        """
        check_is_fitted(self)
        arrays = {"coef": self.coef_, "intercept": np.asarray(self.intercept_), "n_iter": self.n_iter_}
        arrays |= {f"levels_{number}": levels for number, levels in enumerate(self.features_.levels)}
        if self.features_.names:
            arrays["names"] = np.array(self.features_.names)
        if hasattr(self, "feature_names_in_"):
            arrays["feature_names_in"] = self.feature_names_in_.astype(str)
        parameters = {name: getattr(self, name) for name in self._saved_parameters}
        for name, rule in self._saved_parameters.items():
            if isinstance(rule, Flag):
                parameters[name] = bool(parameters[name])  # 1 will do in a constructor
        metadata: dict[str, Any] = {"parameters": parameters}
        metadata |= {"numeric_features": self.features_.numeric, "offset": self.has_offset_}
        metadata["zero_based"] = self.zero_based_
        self._add_saved(arrays, metadata)
        metadata = files.plain(metadata)
        for name, problem in self._contents().problems(metadata, arrays):
            raise ModelFileError(f"cannot save to {path}: {name} {problem}")
        files.write(path, type(self).__name__, arrays, metadata)

    def _add_saved(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        """Add what the subclass must keep."""

    @classmethod
    def _contents(cls) -> Contents:
        """What a saved model holds."""
        values = {
            "parameters": Parts(cls._saved_parameters),
            "numeric_features": Number(0, whole=True),
            "offset": Flag(),
            "zero_based": Either(Flag(), Null()),
        }
        return Contents(values, cls._saved_members, _sizes, _TOLD_BY)

    @classmethod
    def from_saved(cls, path: str, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        """The model of a file's contents; see `fullbatch.load_model`."""
        cls._contents().check(path, metadata, arrays)
        try:
            model = cls._loaded(arrays, metadata)
            model._check_parameters()
            model._model()
        except ValueError as error:  # parameters that do not fit together
            raise DamagedError(f"{path} is damaged: parameters: {error}") from None
        levels = tuple(arrays[f"levels_{number}"] for number in range(_count_levels(arrays)))
        names = tuple(arrays["names"].tolist()) if "names" in arrays else ()
        model.features_ = Features(metadata["numeric_features"], levels, names)
        model.n_features_in_ = model.features_.numeric + len(levels)
        model.n_iter_ = arrays["n_iter"]
        model.has_offset_, model.zero_based_ = metadata["offset"], metadata["zero_based"]
        if "feature_names_in" in arrays:
            model.feature_names_in_ = arrays["feature_names_in"].astype(object)
        return model

    @classmethod
    @abstractmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        """A model with the parameters, `coef_`, `intercept_` and whatever else the subclass keeps."""

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
        check_whole("max_iter", self.max_iter, 0)
        if not isinstance(self.verbose, bool | np.bool_):
            check_whole("verbose", self.verbose, 0)
        if not (isinstance(self.unknown, str) and self.unknown in ("error", "ignore")):
            raise ValueError(f'unknown must be "error" or "ignore", got {self.unknown!r}')
        check_solver(self.solver)
        self._check_engine()
        check_checkpoint(self.checkpoint)
        check_callbacks(self.callbacks)
        self._model()  # refuses what it does not take

    def _check_engine(self) -> None:
        if isinstance(self.engine, type) or not (isinstance(self.engine, str) or is_engine(self.engine)):
            raise ValueError(f"engine must be a name or an engine object, got {self.engine!r}")

    def _opened(self, stack: ExitStack) -> Any:
        self._check_engine()
        engine = self.engine
        return stack.enter_context(closing(make_engine(engine))) if isinstance(engine, str) else engine

    def _start(self, objective: Objective, schema: Schema, outputs: int) -> Array:
        if not (self.warm_start and hasattr(self, "coef_")):
            return self._first_guess(objective, schema)
        if not self._continues(schema, outputs):
            raise ValueError("warm_start: the classes or features are not those of the last fit")
        coef, intercept = self._matrix()
        assert objective.variables is not None
        parts = [coef.ravel(), intercept] if self.fit_intercept else [coef.ravel()]
        theta = objective.variables.to_solver(np.concatenate(parts))
        above = objective.value_and_grad(theta).value - objective.facts.least
        objective.num_passes -= 1  # it counts with those of the set-up
        objective.num_setup_passes += 1
        if above <= _TOO_FAR * objective.facts.parameters.null:
            return theta
        warnings.warn(
            "[warm-start-dropped] the last fit's coefficients are so far off these rows that the fit begins anew",
            FitWarning,
            stacklevel=4,
        )
        return self._first_guess(objective, schema)

    def _continues(self, schema: Schema, outputs: int) -> bool:
        """Whether the last fit was of such a model."""
        return len(self._matrix()[0]) == outputs and self.features_.same_as(schema.features)

    def _first_guess(self, objective: Objective, schema: Schema) -> Array:
        return np.zeros(objective.size)

    # --- rows to predict for --------------------------------------------------------------------------------------

    def _compare_columns(self, X: Any, rows: Rows) -> None:
        """Columns of a table were found by their names. Those of a matrix scikit-learn compares with the fit's."""
        if not rows.names:
            validate_data(self, X, reset=False, skip_check_array=True)

    def _eta(self, rows: Rows, source: Any) -> Array:
        """(n, outputs) linear predictors of rows as a source reads them, which are checked first."""
        check_is_fitted(self)
        check_rows(rows, source)
        return self._eta_of(rows, source)

    def _eta_of(self, rows: Rows, source: Any) -> Array:
        """(n, outputs) linear predictors of rows."""
        return self._predictors(self._encoded(rows, source))

    def _encoded(self, rows: Rows, source: Any) -> Rows:
        """Rows with the columns of the model."""
        if self.has_offset_ and rows.offset is None:
            raise DataError(
                f"{source}: the model was fitted with an offset and there is none here: name its column with offset "
                "(zeros for none); arrays take theirs along in array_sources(X, offset=...)"
            )
        return encode(rows, self.features_, source, self.unknown)  # type: ignore[arg-type]

    def _predictors(self, rows: Rows) -> Array:
        """(n, outputs) linear predictors of rows with the columns of the model."""
        coef, intercept = self._matrix()
        # Row by row in memory, so that the bits of a prediction do not depend on how the file was laid out.
        X = rows.X if is_sparse(rows.X) else np.ascontiguousarray(rows.X)
        eta = safe_sparse_dot(X, (coef * rows.scale).T) + intercept
        return eta if rows.offset is None else eta + rows.offset[:, None]

    def _tally_of(self, rows: Rows, source: Any) -> Tally:
        if rows.y is None:
            raise DataError(f"{source}: no target y to compare predictions with: name it with target")
        refuse_problem(self._model().describe(rows, str(source)).problem, source)
        y = self._targets(rows.y, source)
        weight = np.ones(len(y)) if rows.weight is None else np.asarray(rows.weight, np.float64)
        rows = self._encoded(rows, source)
        counts = weight > 0
        if not counts.all():  # left out, since zero times a prediction that overflows is no zero
            offset = None if rows.offset is None else rows.offset[counts]
            rows, y, weight = replace(rows, X=rows.X[counts], offset=offset), y[counts], weight[counts]
        return replace(self._tally(self._predictors(rows), y, weight), rows=len(counts))

    # --- on the workers -----------------------------------------------------------------------------------------

    def _bare(self) -> Self:
        """A copy that can be sent to workers: fitted, without engine, checkpoint, callbacks and history."""
        bare = type(self)()
        left_out = ("engine", "checkpoint", "callbacks", "result_", "solver")
        bare.__dict__.update({name: value for name, value in vars(self).items() if name not in left_out})
        return bare

    def _mapped(self, task: Any, sources: list[Any]) -> list[Any]:
        with ExitStack() as stack:
            return list(self._opened(stack).map(task, sources))

    def _answer(self, formula: str, X: Any) -> Array:
        """What the method `formula` makes of the linear predictors of rows, in here or, of sources, on workers."""
        check_is_fitted(self)
        given = given_to_predict(X, self.features_, self.zero_based_, asked_by=type(self).__name__)
        if not isinstance(given, Rows):
            return np.concatenate(self._mapped(Predict(self._bare(), formula), given))
        self._compare_columns(X, given)
        answer: Array = getattr(self, formula)(self._eta_of(given, "the rows"))
        return answer


# What tells the lengths of a saved model's arrays.
_TOLD_BY = {
    "data columns": "numeric_features and levels_*",
    "columns": "numeric_features and levels_*",
    "outputs": "classes",
}


def _count_levels(names: Iterable[str]) -> int:
    return sum(name.startswith("levels_") for name in names)


def _sizes(values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]]) -> dict[str, int]:
    """Lengths of a saved model's arrays, by the names that `Member` calls them."""
    numeric, count = values["numeric_features"], _count_levels(shapes)
    classes = shapes.get("classes", (0,))[0]
    return {
        "data columns": numeric + count,
        "columns": numeric + sum(shape[0] for name, shape in shapes.items() if name.startswith("levels_")),
        "classes": classes,
        "outputs": classes if classes > 2 else 1,
    }
