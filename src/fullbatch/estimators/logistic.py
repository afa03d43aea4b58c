"""Logistic regression, binary and multinomial."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from numbers import Real
from os import PathLike
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from scipy.special import expit, log_softmax, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import column_or_1d
from sklearn.utils.extmath import safe_sparse_dot
from sklearn.utils.validation import check_is_fitted, validate_data

from .. import saved
from ..callbacks import Callback, Progress
from ..data.arrays import array_sources
from ..driver import minimize
from ..engines import is_engine, make_engine
from ..errors import ModelFileError
from ..models.linear import Linear
from ..objective import Objective
from ..protocols import Block, Engine, Rows
from ..schema import Description, Schema
from ..variables import Standardized

Array = npt.NDArray[Any]

# Parameters a saved model keeps: those that describe the model, not the machine it was fitted on.
_SAVED_PARAMETERS = ("C", "tol", "fit_intercept", "class_weight", "max_iter", "standardize")


class LogisticRegression(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Logistic regression with an L2 penalty, by exact gradients over blocks of rows.

    Minimises (sum of w_i loss_i) / (sum of w_i) + ||coef||^2 / (2 C sum of w_i), which has the same minimum as
    scikit-learn's C (sum of w_i loss_i) + ||coef||^2 / 2. The intercept is not penalised. The result is the same to
    the bit on any engine and number of workers.

    Parameters
    ----------
    C : float, default=1.0
        Inverse of the penalty's strength; `np.inf` for none.
    tol : float, default=1e-4
        The fit ends when the estimated relative distance of the objective from its minimum is at most tol squared:
        near the minimum that distance goes with the square of the gradient, which scikit-learn's `tol` bounds.
    fit_intercept : bool, default=True
        Whether to fit an intercept for each linear predictor.
    class_weight : "balanced", mapping of label to weight, or None, default=None
        Multiplies the sample weights of each class.
    max_iter : int, default=1000
        Iterations at the most.
    warm_start : bool, default=False
        Start from the last fit's coefficients instead of zeros.
    standardize : bool, default=False
        Penalise coefficients per standard deviation of their column. Either way `coef_` is for the columns as given.
    solver : str or Solver, default="auto"
        As in `fullbatch.minimize`: "auto" chooses by the shape of the problem, and says why in `result_.solver`.
    engine : str or Engine, default="threads"
        "threads", "serial", "ray", or an engine object, which stays open after the fit.
    callbacks : sequence of callables, default=()
        Called with an `Iterate` at every iterate; theirs is `theta` of the solver, which sees centred columns.
    verbose : int, default=0
        1 shows progress on standard error.

    Attributes
    ----------
    classes_ : (K,) array
        Labels, sorted.
    coef_ : (1, p) or (K, p) float64 array
        Coefficients; one row for two classes.
    intercept_ : (1,) or (K,) float64 array
        Intercepts; zeros without.
    n_iter_ : (1,) int array
        Iterations.
    n_features_in_ : int
        Features seen in fit.
    feature_names_in_ : (p,) array of str
        Their names, where X had any.
    result_ : Result
        How the fit went: objective, gradient norm, passes, seconds, and which rule ended it. Its `theta` is in the
        solver's variables. A loaded model has none.

    Examples
    --------
    >>> from fullbatch import LogisticRegression
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> LogisticRegression().fit(X, y).score(X, y) > 0.95
    True
    """

    def __init__(
        self,
        *,
        C: float = 1.0,
        tol: float = 1e-4,
        fit_intercept: bool = True,
        class_weight: str | Mapping[Any, float] | None = None,
        max_iter: int = 1000,
        warm_start: bool = False,
        standardize: bool = False,
        solver: Any = "auto",
        engine: str | Engine = "threads",
        callbacks: Sequence[Callback] = (),
        verbose: int = 0,
    ) -> None:
        self.C = C
        self.tol = tol
        self.fit_intercept = fit_intercept
        self.class_weight = class_weight
        self.max_iter = max_iter
        self.warm_start = warm_start
        self.standardize = standardize
        self.solver = solver
        self.engine = engine
        self.callbacks = callbacks
        self.verbose = verbose

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None) -> Self:
        """Fit the model.

        Parameters
        ----------
        X : (n, p) array_like or sparse matrix, or list of Source
            Features; or sources that bring targets and weights with them.
        y : (n,) array_like
            Labels; None with sources.
        sample_weight : (n,) array_like, optional
            Weights; default: 1 for every row.

        Returns
        -------
        self

        Raises
        ------
        DataError
            The data cannot be used; says where and why.
        """
        self._check_parameters()
        sources = self._sources(X, y, sample_weight)
        model = _CrossEntropy(bool(self.fit_intercept), self.class_weight)
        with ExitStack() as stack:
            engine = self.engine
            if isinstance(engine, str):
                engine = stack.enter_context(closing(make_engine(engine)))
            blocks = stack.enter_context(closing(engine.place(model, sources)))
            self._fit_blocks(blocks, model)
        return self

    def _fit_blocks(self, blocks: Any, model: "_CrossEntropy") -> None:
        schema = blocks.schema
        linear = model.linear(schema)
        variables = Standardized(schema, linear.outputs(schema), linear.intercept, self.standardize)
        factors = linear.class_factors(schema)
        weight = schema.weight if factors is None else float(factors @ schema.class_weight)
        objective = Objective(blocks, 1.0 / (self.C * weight), variables)
        callbacks: list[Callback] = list(self.callbacks)
        if self.verbose:
            callbacks.append(Progress())
        result = minimize(
            objective,
            self._start(objective, schema),
            solver=self.solver,
            tol=self.tol**2,
            max_iter=self.max_iter,
            callbacks=callbacks,
        )
        coef, self.intercept_ = _split(variables.to_blocks(result.theta), linear, schema)
        self.coef_, self.classes_, self.n_features_in_ = coef, schema.classes, schema.n_features
        self.n_iter_ = np.array([result.iterations])
        self.result_ = result
        if not result.success:
            warnings.warn(result.message, ConvergenceWarning, stacklevel=3)

    def decision_function(self, X: Any) -> Array:
        """Linear predictors: (n,) for two classes, where positive means the second, else (n, K)."""
        check_is_fitted(self)
        X = validate_data(self, X, accept_sparse="csr", dtype=[np.float64, np.float32], reset=False)
        scores = safe_sparse_dot(X, self.coef_.T) + self.intercept_
        return scores.ravel() if scores.shape[1] == 1 else scores

    def predict(self, X: Any) -> Array:
        """The most probable label of each row, shape (n,)."""
        scores = self.decision_function(X)
        index = (scores > 0).astype(np.int64) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes_[index]

    def predict_proba(self, X: Any) -> Array:
        """Probability of each class, shape (n, K), columns in the order of `classes_`."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack((expit(-scores), expit(scores)))
        return softmax(scores, axis=1)

    def predict_log_proba(self, X: Any) -> Array:
        """Logarithm of `predict_proba`, without the loss of small ones."""
        scores = self.decision_function(X)
        if scores.ndim == 1:
            return np.column_stack((-np.logaddexp(0, scores), -np.logaddexp(0, -scores)))
        return log_softmax(scores, axis=1)

    def save(self, path: str | PathLike[str]) -> None:
        """Save the fitted model; `fullbatch.load_model` reads it.

        Parameters
        ----------
        path : path
            Where; an existing file is replaced in one step.
        """
        check_is_fitted(self)
        arrays = {"coef": self.coef_, "intercept": self.intercept_, "classes": self.classes_, "n_iter": self.n_iter_}
        if hasattr(self, "feature_names_in_"):
            arrays["feature_names_in"] = self.feature_names_in_.astype(str)
        parameters = {name: getattr(self, name) for name in _SAVED_PARAMETERS}
        parameters["C"] = str(self.C)  # JSON has no infinity
        if isinstance(self.class_weight, Mapping):
            labels = [label.item() if isinstance(label, np.generic) else label for label in self.class_weight]
            parameters["class_weight"] = list(zip(labels, map(float, self.class_weight.values()), strict=True))
        saved.write(path, type(self).__name__, arrays, {"parameters": parameters})

    @classmethod
    def from_saved(cls, path: str, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        """The model of a file's contents; see `fullbatch.load_model`."""
        try:
            parameters = dict(metadata["parameters"])
            if isinstance(parameters["class_weight"], list):
                parameters["class_weight"] = dict(parameters["class_weight"])
            parameters["C"] = float(parameters["C"])
            model = cls(**parameters)
            model.coef_, model.intercept_ = arrays["coef"], arrays["intercept"]
            model.classes_, model.n_iter_ = arrays["classes"], arrays["n_iter"]
            model.n_features_in_ = model.coef_.shape[1]
            rows = len(model.classes_) if len(model.classes_) > 2 else 1
            fits = model.coef_.shape == (rows, model.n_features_in_) and model.intercept_.shape == (rows,)
            fits = fits and model.classes_.ndim == 1 and model.coef_.dtype.kind == model.intercept_.dtype.kind == "f"
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise ModelFileError(f"{path} is damaged: {error!r}") from None
        if not (fits and np.isfinite(model.coef_).all() and np.isfinite(model.intercept_).all()):
            raise ModelFileError(f"{path} is damaged: its coefficients do not fit together or are not finite")
        if "feature_names_in" in arrays:
            model.feature_names_in_ = arrays["feature_names_in"].astype(object)
        return model

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check_parameters(self) -> None:
        if not (isinstance(self.C, Real) and self.C > 0):
            raise ValueError(f"C must be a positive number, got {self.C!r}")
        if not (isinstance(self.tol, Real) and self.tol >= 0):
            raise ValueError(f"tol must be a number of 0 or more, got {self.tol!r}")
        if isinstance(self.engine, type) or not (isinstance(self.engine, str) or is_engine(self.engine)):
            raise ValueError(f"engine must be a name or an engine object, got {self.engine!r}")

    def _sources(self, X: Any, y: Any, sample_weight: Any) -> list[Any]:
        if hasattr(X, "read"):
            X = [X]
        elif isinstance(X, Iterator):
            X = list(X)
        if isinstance(X, Sequence) and len(X) and all(hasattr(source, "read") for source in X):
            if y is not None or sample_weight is not None:
                raise ValueError("sources bring their targets and weights with them: leave y and sample_weight out")
            self.__dict__.pop("feature_names_in_", None)  # of an earlier fit
            return list(X)
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        # Values are checked block by block, on the workers, where row and column can be told.
        X = validate_data(
            self, X, accept_sparse="csr", dtype=[np.float64, np.float32, np.uint8], order="C", ensure_all_finite=False
        )
        y = column_or_1d(y, warn=True)
        if isinstance(sample_weight, Real):
            sample_weight = np.full(len(y), sample_weight)
        return array_sources(X, y, sample_weight)

    def _start(self, objective: Objective, schema: Schema) -> Array:
        if not (self.warm_start and hasattr(self, "coef_")):
            return np.zeros(objective.size)
        assert schema.classes is not None
        if not np.array_equal(self.classes_, schema.classes) or self.coef_.shape[1] != schema.n_features:
            raise ValueError("warm_start: the classes or features are not those of the last fit")
        intercept = [self.intercept_] if self.fit_intercept else []
        assert objective.variables is not None
        return objective.variables.to_solver(np.concatenate([self.coef_.ravel(), *intercept]))


@dataclass(frozen=True)
class _CrossEntropy:
    """The logistic loss for two classes, softmax for more: which of them, the schema tells."""

    intercept: bool
    class_weight: str | Mapping[Any, float] | None

    def __post_init__(self) -> None:
        Linear("softmax", self.intercept, self.class_weight)  # refuses wrong options here, not on a worker

    def linear(self, schema: Schema) -> Linear:
        assert schema.classes is not None
        return Linear("logistic" if len(schema.classes) == 2 else "softmax", self.intercept, self.class_weight)

    def describe(self, rows: Rows, source: str) -> Description:
        return Linear("softmax").describe(rows, source)

    def build(self, rows: Rows, schema: Schema, first_row: int) -> Block:
        return self.linear(schema).build(rows, schema, first_row)


def _split(theta: Array, linear: Linear, schema: Schema) -> tuple[Array, Array]:
    """coef_ and intercept_."""
    outputs = linear.outputs(schema)
    coefs = outputs * schema.n_features
    intercept = theta[coefs:] if linear.intercept else np.zeros(outputs)
    return theta[:coefs].reshape(outputs, -1).copy(), intercept.copy()
