"""From a fitted linear model to predictions and measures: of rows in memory in here, of others on the workers."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import reduce
from operator import add
from os import PathLike
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from ..data.design_ import Design
from ..data.features import encode, matched
from ..data.fitted import Fitted, given_to_evaluate, given_to_predict, given_to_write
from ..data.indicators import Indicators
from ..data.missing import MissingOfFit
from ..data.written import write
from ..engines import is_engine, make_engine
from ..errors import DataError
from ..protocols.rows import Rows, is_sparse
from ..protocols.schema import Features
from ..protocols.seams import Engine
from ._base_levels import unknown_to
from ._lazy import lazily
from ._measures import Tally
from ._predictions import Evaluate, Predict, PredictTable, check_finite, check_rows, refuse_problem

Array = npt.NDArray[Any]
Formula = Callable[[Any, Array], Array]  # a method of the model: what it makes of (n, outputs) linear predictors

# What predictions are made of, beside the parameters, of which those of the run stay here.
_FITTED = {"coef_", "intercept_", "classes_", "n_features_in_", "feature_names_in_"}
_FITTED |= {"features_", "has_offset_", "zero_based_", "missing_", "base_", "formula_", "indicators_"}
_FITTED |= {"theta_", "recipe_", "n_targets_", "ranks_"}
_OF_THE_RUN = {"engine", "checkpoint", "callbacks", "solver", "verbose", "warm_start", "max_iter", "tol"}
_OF_THE_RUN |= {"cv", "scoring"}


class Applied:
    """A fitted linear model at work."""

    unknown: str
    missing: MissingOfFit
    engine: str | Engine
    features_: Features
    has_offset_: bool
    zero_based_: bool | None
    missing_: dict[str, Any]
    base_: dict[str, Any]
    formula_: Design | None
    indicators_: tuple[int, ...]
    get_params: Callable[..., dict[str, Any]]  # scikit-learn's

    @abstractmethod
    def _model(self) -> Any:
        """What the workers compute."""

    @abstractmethod
    def _matrix(self) -> tuple[Array, Array]:
        """`coef_` and `intercept_` as (outputs, p) and (outputs,) arrays."""

    @abstractmethod
    def _predicted(self, eta: Array) -> Array:
        """Predictions from (n, outputs) linear predictors."""

    @abstractmethod
    def _targets(self, y: Array, source: Any) -> Array:
        """Targets of `evaluate` as `_tally` takes them."""

    @abstractmethod
    def _tally(self, eta: Array, y: Array, weight: Array) -> Tally:
        """What `evaluate` needs of some rows that count, as sums."""

    @abstractmethod
    def _measures(self, tally: Tally) -> dict[str, float]:
        """The measures of `evaluate` from the sums over all rows."""

    def evaluate(self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None) -> dict[str, float]:
        """How good the model is on some rows, by sums over the blocks.

        Parameters
        ----------
        X, y, sample_weight, offset
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
        given = self._given_to_evaluate(X, y, sample_weight, offset)
        if isinstance(given, Rows):
            tally = self._tally_of(given, "the rows")
        else:
            tally = reduce(add, self._mapped(Evaluate(self._bare()), given))
        if not tally.weight > 0:
            raise DataError("the sample weights sum to zero: at least one row needs a positive weight")
        return {"rows": float(tally.rows), "weight": tally.weight, **self._measures(tally)}

    def write_predictions(
        self,
        X: Any,
        path: str | PathLike[str],
        *,
        probabilities: bool = False,
        keep: Sequence[str] = (),
        offset: Any = None,
    ) -> int:
        """Predict block by block, on the engine, and write what comes out.

        Parameters
        ----------
        X : as for `fit`
            What to predict for; it needs no targets.
        path : path
            Ends in ".parquet" or ".csv": one file, written here, in the order of the rows. Without an ending: a new
            directory; its part-00000.parquet, ... are written by the workers, one for each block, under the same path
            with ".unfinished" behind it, which becomes `path` when all are there.
        probabilities : bool
            Whether a classifier's probabilities are written too, a column "probability_<label>" for each class.
        keep : sequence of str
            Columns of a table, such as ids, that are written before the predictions, as they are. Those of CSV files
            are text as it stands, unless `types` says what they are.
        offset : (n,) array_like or str, optional
            As for `fit`.

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
        if isinstance(keep, str):
            raise ValueError(f"keep must be a list of columns, got the text {keep!r}: write [{keep!r}]")
        sources = given_to_write(X, self._fitted(), offset, keep)
        with ExitStack() as stack:
            engine = self._opened(stack)
            table = PredictTable(self._bare(), probabilities, bool(keep))
            return write(path, table, lambda task: engine.map(task, sources))

    def predictions(self, rows: Rows, source: Any, probabilities: bool = False) -> pa.Table:
        """Predictions for the rows of one block, as a table."""
        return pa.table({"prediction": self._predicted(self._eta(rows, source))})

    # --- rows to predict for --------------------------------------------------------------------------------------

    def _fitted(self) -> Fitted:
        """What must be known of the fit to read rows for it."""
        drops = isinstance(self.missing, str) and self.missing == "drop"
        unknown_to(self.unknown, self.base_, self.features_)  # refused in here, before workers would
        unknown = "error" if self.unknown == "error" else "ignore"
        name, compare, design = type(self).__name__, self._compare_columns, self._design()
        return Fitted(self.data_features_, self.zero_based_, self.missing_, name, compare, drops, design, unknown)

    @property
    def data_features_(self) -> Features:
        """Columns and levels of the data, of which a formula, or indicators, make those of `features_`."""
        design = self._design()
        return self.features_ if design is None else design.features

    def _design(self) -> Design | Indicators | None:
        """What makes the model's columns of those of the data; None where they are the same."""
        return Indicators.of_model(self.features_, self.indicators_) if self.indicators_ else self.formula_

    def _given_to_evaluate(self, X: Any, y: Any, sample_weight: Any, offset: Any) -> Any:
        """Rows in memory, or sources, with their targets."""
        return given_to_evaluate(X, y, sample_weight, self._fitted(), offset)

    def _compare_columns(self, X: Any) -> None:
        """Compare the columns of a matrix with the fit's as scikit-learn does."""
        validate_data(self, X, reset=False, skip_check_array=True)

    def _eta(self, rows: Rows, source: Any) -> Array:
        """(n, outputs) linear predictors of rows as a source reads them, which are checked first."""
        check_is_fitted(self)
        rows = matched(rows, self.features_, self.missing_, source)
        check_rows(rows, source)
        return self._predictors(self._encoded(rows, source))

    def _width(self) -> int:
        """Linear predictors of a row."""
        return len(self._matrix()[1])

    def _encoded(self, rows: Rows, source: Any) -> Rows:
        """Rows with the columns of the model."""
        if self.has_offset_ and rows.offset is None:
            raise DataError(
                f"{source}: the model was fitted with an offset and there is none here: name its column, or give "
                "values (zeros for none), with offset=..."
            )
        unknown: Any = unknown_to(self.unknown, self.base_, self.features_)
        return encode(rows, self.features_, source, unknown)

    def _predictors(self, rows: Rows) -> Array:
        """(n, outputs) linear predictors of rows with the columns of the model."""
        coef, intercept = self._matrix()
        # Row by row in memory, so that the bits of a prediction do not depend on how the file was laid out.
        X = rows.X if is_sparse(rows.X) else np.ascontiguousarray(rows.X)
        eta = safe_sparse_dot(X, (coef * rows.scale).T, dense_output=True) + intercept
        return eta if rows.offset is None else eta + np.asarray(rows.offset, np.float64)[:, None]

    def _tally_of(self, rows: Rows, source: Any) -> Tally:
        eta, y, weight, count = self._of_rows(rows, source)
        return replace(self._tally(eta, y, weight), rows=count)

    def _of_rows(self, rows: Rows, source: Any) -> tuple[Array, Array, Array, int]:
        """Linear predictors, targets and weights of the rows that count, and how many rows there are in all."""
        if rows.y is None:
            raise DataError(f"{source}: no target y to compare predictions with: name its column with target=...")
        rows = matched(rows, self.features_, self.missing_, source)
        refuse_problem(self._model().describe(rows, str(source)).problem, source)
        y = self._targets(np.asarray(rows.y), source)
        weight = np.ones(len(y)) if rows.weight is None else np.asarray(rows.weight, np.float64)
        rows = self._encoded(rows, source)
        counts = weight > 0
        if not counts.all():  # left out, since zero times a prediction that overflows is no zero
            offset = None if rows.offset is None else rows.offset[counts]
            rows, y, weight = replace(rows, X=rows.X[counts], offset=offset), y[counts], weight[counts]
        return self._predictors(rows), y, weight, len(counts)

    # --- on the workers -----------------------------------------------------------------------------------------

    def _check_engine(self) -> None:
        if isinstance(self.engine, type) or not (isinstance(self.engine, str) or is_engine(self.engine)):
            raise ValueError(f"engine must be a name or an engine object, got {self.engine!r}")

    def _opened(self, stack: ExitStack) -> Any:
        self._check_engine()
        engine = self.engine
        return stack.enter_context(closing(make_engine(engine))) if isinstance(engine, str) else engine

    def _bare(self) -> Self:
        """A copy that can be sent to workers: what predictions are made of, and nothing else of the fit."""
        sent = (name for name in self.get_params(deep=False) if name not in _OF_THE_RUN)
        bare = type(self)(**{name: getattr(self, name) for name in sent})
        bare.__dict__.update({name: value for name, value in vars(self).items() if name in _FITTED})
        return bare

    def _mapped(self, task: Any, sources: list[Any]) -> list[Any]:
        with ExitStack() as stack:
            return list(self._opened(stack).map(task, sources))

    def _answer(self, formula: Formula, X: Any, offset: Any = None) -> Array:
        """What a formula makes of the linear predictors of rows, in here or, of sources, on workers."""
        check_is_fitted(self)
        given = given_to_predict(X, self._fitted(), offset)
        if not isinstance(given, Rows):
            return np.concatenate(self._mapped(Predict(self._bare(), formula), given))
        return formula(self, self._eta_of(given))

    def _eta_of(self, rows: Rows) -> Array:
        """(n, outputs) linear predictors of rows in memory, whose shapes and types are right."""
        rows = matched(rows, self.features_, self.missing_, "the rows")
        check_finite(rows, "the rows")
        return self._predictors(self._encoded(rows, "the rows"))

    def _lazy(self, formula: Formula, X: Any, offset: Any, names: Sequence[str]) -> Any:
        """The same for what is of Dask, as a Dask collection that is computed when it is asked for."""
        check_is_fitted(self)
        return lazily(self._bare(), formula, X, offset, names)
