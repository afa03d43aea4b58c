"""Ridge regression whose strength is chosen by cross-validation."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import sklearn  # loads its parts when they are asked for
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping

from ..data.given import Given
from ..errors import DataError, FitWarning
from ..objective.objective import Objective
from ..objective.variables import Standardized
from ..protocols.rows import is_sparse
from ..run.targets import squares_of
from ..saving.contents import Each, Either, Flag, Null, Number, Text
from ..solvers.least_squares import LeastSquares
from ..wording.arguments import check_flag
from ..wording.warned import warn
from ._cross_validated import (
    CrossValidated,
    FoldFits,
    check_alphas,
    check_scoring,
    kept,
    refuse_elsewhere,
    score_of,
    takes_weights,
)
from ._leave_one_out import left_out
from ._several import blocks_of_targets, join
from ._splits import Splits, column_of
from ._template import Template
from .least_squares import LeastSquaresRegression

Array = npt.NDArray[Any]

_SQUARES = "neg_mean_squared_error"

_NO_SVD = (
    "The 'svd' mode is not supported for sparse X by scikit-learn, of which it will be an error there from 1.11 on. It "
    "changes nothing here: leave gcv_mode out"
)


class _Known(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """An estimator whose predictions are known: what scorers are given for it instead of rows."""

    def predict(self, X: Array) -> Array:
        return X


@dataclass(kw_only=True, eq=False, repr=False)
class RidgeCV(CrossValidated, LeastSquaresRegression):
    """Least squares with an L2 penalty whose strength is chosen by cross-validation.

    Minimises what `Ridge` does, with the `alpha` whose fits have the least squared errors on rows that they have not
    seen: by default on each row under the fit to all others, which takes two reads of the data however many strengths
    there are; or with the best mean score on the rows of folds. The result is the same to the bit on any engine and
    number of workers.

    Parameters
    ----------
    alphas : float, or sequence of float, default=(0.1, 1.0, 10.0)
        Strengths of the penalty, on the sum of squares; above 0 where each row is left out.
    scoring : str, callable or None, default=None
        Name of a scorer of scikit-learn, or one that takes (model, X, y). None is the mean of the squared errors, each
        multiplied by its row's weight, where each row is left out, else R^2. Of folds of rows that are not in memory,
        or that have offsets, "neg_mean_squared_error" alone is known, whose rows count by their weight.
    cv : int, splitter of scikit-learn, iterable of pairs of int arrays, or None, default=None
        None to leave each row out. Or how many folds: of rows in memory one after another, of others by a hash of their
        numbers; or, of rows in memory, numbers of the rows of each fit and of those that it is judged by.
    gcv_mode : {"auto", "svd", "eigen"} or None, default=None
        Scikit-learn's, which changes nothing.
    store_cv_results : bool, default=False
        Whether to keep `cv_results_`, which has numbers for each row; where each row is left out.
    alpha_per_target : bool, default=False
        Whether each target has a strength of its own; where each row is left out.
    positive : bool, default=False
        Whether coefficients must be 0 or more, where there are folds.
    copy_X, n_jobs, random_state
        Change nothing.
    checkpoint : Checkpoint, path or URL, default=None
        Of the last fit alone, with the strength that was chosen.
    tol, fit_intercept, max_iter, lower_bounds, upper_bounds, standardize, unknown, solver, engine, callbacks, verbose
        As for every linear model: see `fullbatch.estimators.LinearEstimator`. Solver and callbacks are those of the
        last fit.

    Attributes
    ----------
    alpha_ : float, or (t,) array
        What was chosen; of each target with `alpha_per_target`.
    best_score_ : float, or (t,) array
        Its score.
    cv_results_ : (n, L) or (n, t, L) array
        With `store_cv_results`: squared error of each row, times its weight, under the fit to all others; the
        predictions instead where there is a `scoring`.
    coef_ : (p,) or (t, p) float64 array
        Coefficients.
    intercept_ : float or (t,) array
        Intercept; 0 without.
    features_, n_iter_, n_samples_fit_, l2_, l1_, status_, missing_, result_
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.
    n_features_in_, feature_names_in_, has_offset_, zero_based_
        The same.

    Examples
    --------
    >>> from fullbatch import RidgeCV
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> float(RidgeCV(alphas=[1e-3, 1e-2, 1e-1, 1]).fit(X, y).alpha_)
    0.01
    """

    _saved_parameters: ClassVar = {
        "alphas": Either(Number(0), Each(Number(0))),
        "gcv_mode": Either(Null(), Text(("auto", "svd", "eigen"))),
        "store_cv_results": Flag(),
        "alpha_per_target": Flag(),
        "positive": Flag(),
        **{name: rule for name, rule in LeastSquaresRegression._saved_parameters.items() if name not in ("l1_ratio",)},
    }
    _kept: ClassVar[tuple[str, ...]] = ("alpha_", "best_score_")
    _saved_members: ClassVar = {**LeastSquaresRegression._saved_members, **kept(*_kept)}
    _grids: ClassVar[tuple[str, ...]] = ("alphas",)
    _of_sum: ClassVar = True

    alphas: Any = field(default=(0.1, 1.0, 10.0), kw_only=False)
    scoring: Any = None
    cv: Any = None
    gcv_mode: str | None = None
    store_cv_results: bool = False
    alpha_per_target: bool = False
    positive: bool = False
    copy_X: bool = True
    n_jobs: int | None = None
    random_state: Any = None
    l1_ratio: ClassVar[float] = 0.0  # type: ignore[misc]

    # Set by fit, where it is asked for.
    cv_results_: Any = field(init=False)

    def _check_parameters(self) -> None:
        check_flag("store_cv_results", self.store_cv_results)
        check_flag("alpha_per_target", self.alpha_per_target)
        check_scoring(self.scoring)
        if not (self.gcv_mode is None or self.gcv_mode in ("auto", "svd", "eigen")):
            raise ValueError(f"gcv_mode must be 'auto', 'svd', 'eigen' or None, got {self.gcv_mode!r}")
        check_alphas(self.alphas, above=self.cv is None)
        if self.cv is not None and (self.store_cv_results or self.alpha_per_target):
            name = "store_cv_results" if self.store_cv_results else "alpha_per_target"
            raise ValueError(f"cv!=None and {name}=True are incompatible: leave cv out, so that each row is left out")
        if self.cv is None and (self.positive or self.lower_bounds is not None or self.upper_bounds is not None):
            raise ValueError(
                "cv=None leaves each row out by a formula that knows no bounds: give a number of folds, cv=5"
            )
        super()._check_parameters()

    def _strength(self, weight: float) -> float:
        return float(self.alpha_) / weight

    def _choose(self, template: Template, splits: Splits) -> None:
        raise NotImplementedError("ridge regression chooses for all targets at once")

    def _learn(self, engine: Any, given: Given) -> None:
        asked = self.__dict__.pop("_asked")
        targets, told = self.__dict__.pop("_targets", (None, None))
        splits = None if self.cv is None else self._splits(*asked)
        if self.gcv_mode == "svd" and is_sparse(asked[0]):
            warn(_NO_SVD, FutureWarning)
        scored = self._scores_told(asked)
        self._share = 0.0
        with self._blocks(engine, given, splits, targets, told) as blocks:
            if splits is None:
                self._choose_by_leaving_out(engine, blocks, given, targets, scored)
                if self.store_cv_results and len(getattr(asked[1], "shape", ())) < 2:
                    self.cv_results_ = self.cv_results_[:, 0]
            else:
                self._choose_by_folds(blocks, given, splits)
            if targets is None:
                self._fit_blocks(blocks[0], given)
            else:
                chosen: Any = self.alpha_
                self._fit_targets([(one, given) for one in blocks])
                self.alpha_ = chosen  # of all targets
        self._look_at_rows(given)

    @contextmanager
    def _blocks(
        self, engine: Any, given: Given, splits: Splits | None, targets: Array | None, told: Any
    ) -> Iterator[list[Any]]:
        """Blocks of each target."""
        dealt = None if splits is None else splits.dealt
        with ExitStack() as stack:
            if targets is None:
                model = self._model() if splits is None else splits.with_folds(self._model())
                yield [stack.enter_context(closing(engine.place(model, given.sources)))]
            else:
                each = stack.enter_context(blocks_of_targets(self, engine, given, targets, told, dealt, at_once=True))
                yield [blocks for blocks, _ in each]

    def _for_target(self, number: int) -> Any:
        learner = super()._for_target(number)
        if np.ndim(self.alpha_):
            learner.alpha_ = self.alpha_[number]
        return learner

    def _scored_by(self, weight: Any) -> dict[str, Any]:
        weighted = weight is not None and takes_weights(sklearn.metrics.check_scoring(self, self.scoring))
        return {"sample_weight": weight} if weighted else {}

    # --- each row left out ------------------------------------------------------------------------------------------

    def _choose_by_leaving_out(
        self, engine: Any, blocks: list[Any], given: Given, targets: Array | None, scored: Mapping[str, Any]
    ) -> None:
        schema = blocks[0].schema
        if schema.n_rows < 2:
            raise DataError("n_samples=1: where the only row is left out there is none to fit")
        needed = LeastSquares.bytes_for(schema.n_features + 1)
        if needed > LeastSquares().max_bytes:
            raise ValueError(
                f"cv=None takes sums of products of {schema.n_features} columns, {needed / 1e6:.3g} MB: give a number "
                "of folds, cv=5"
            )
        alphas = np.ravel(np.asarray(self.alphas, np.float64))
        factors = [squares_of(Objective(one)) for one in blocks]
        scale = Standardized(schema, 1, bool(self.fit_intercept), self.standardize).scale
        task = left_out(factors, alphas, scale, schema.features, given.missing, list(schema.first_rows()), targets)
        by_row = self.store_cv_results or self.scoring is not None
        squares, rows, kept, unsure = np.zeros(task.level.shape), 0, [], []
        for residual, y, weight, lost in engine.map(task, given.sources):
            unsure += [lost] if lost else []
            residual[weight == 0] = 0.0
            squares += (weight[:, None, None] * residual**2).sum(axis=0)
            rows += len(y)
            if by_row:
                kept.append((residual, y, weight))
        if unsure:
            warn(
                f"[leverage] {unsure[0]}: this row alone decides what is predicted for it, so that its error when it "
                "is left out is mostly rounding, and so is the choice: correct it, give larger alphas, or folds, cv=5",
                FitWarning,
            )
        scores = -squares / rows if self.alpha_per_target else -squares.mean(axis=0, keepdims=True) / rows
        if by_row:
            residual, y, weight = (np.concatenate(part) for part in zip(*kept, strict=True))
            results = weight[:, None, None] * residual**2
            if self.scoring is not None:
                results = y[:, :, None] - residual
                scores = self._scores_of(results, y, scored)
            if self.store_cv_results:
                self.cv_results_ = results
        if not self.store_cv_results:
            self.__dict__.pop("cv_results_", None)  # of an earlier fit
        best = scores.argmax(axis=1)
        self.alpha_, self.best_score_ = alphas[best], scores.max(axis=1)
        if targets is None or not self.alpha_per_target:
            self.alpha_, self.best_score_ = self.alpha_[0], self.best_score_[0]

    def _scores_of(self, predicted: Array, y: Array, told: Mapping[str, Any]) -> Array:
        """(1 or t, L) scores of predictions, (n, t, L)."""
        scorer = sklearn.metrics.get_scorer(self.scoring)
        columns = range(y.shape[1]) if self.alpha_per_target else [slice(None) if y.shape[1] > 1 else 0]
        strengths = range(predicted.shape[2])
        return np.array([[scorer(_Known(), predicted[:, c, k], y[:, c], **told) for k in strengths] for c in columns])

    def _scores_told(self, asked: Any) -> dict[str, Any]:
        """What scorers are told where each row is left out."""
        X, _, weight, params = asked
        if self.cv is not None:
            return {}
        return dict(self._routed(weight, params)[1] or {}) or (
            {} if weight is None else {"sample_weight": np.ravel(column_of(X, weight))}
        )

    # --- folds ------------------------------------------------------------------------------------------------------

    def _choose_by_folds(self, blocks: list[Any], given: Given, splits: Splits) -> None:
        alphas = np.ravel(np.asarray(self.alphas, np.float64))
        fits, scorer = [], self._scorer_of_folds(blocks[0].schema.offset, splits)
        for one in blocks:
            template = Template(copy(self), given, one, splits.apart)
            order = np.argsort(-alphas, kind="stable")
            fits.append(self._fits(template, splits, alphas[order] / template.weight, 0.0))
        if scorer is None:
            scores = -2.0 * np.mean([one.held_out for one in fits], axis=0)
        else:
            scores = score_of(fits[0] if len(fits) == 1 else _Joined(fits), splits, scorer)
        scores = scores.mean(axis=1)[np.argsort(order, kind="stable")]
        self.alpha_, self.best_score_ = alphas[scores.argmax()], scores.max()
        self.__dict__.pop("cv_results_", None)

    def _scorer_of_folds(self, has_offset: bool, splits: Splits) -> Any:
        """What scores models on the rows held out; None where that is their mean loss, which comes with the fits."""
        if isinstance(self.scoring, str) and self.scoring == _SQUARES and (has_offset or not splits.in_memory):
            return None
        refuse_elsewhere(has_offset, splits, self.scoring, _SQUARES)
        return sklearn.metrics.check_scoring(self, scoring=self.scoring)

    def get_metadata_routing(self) -> MetadataRouter:
        scorer = sklearn.metrics.get_scorer("r2" if self.scoring is None else self.scoring)
        if self.scoring is None:  # whose weights are known
            scorer = scorer.set_score_request(sample_weight=True)
        mapping = MethodMapping().add(caller="fit", callee="score")
        return super().get_metadata_routing().add(scorer=scorer, method_mapping=mapping)


class _Joined:
    """Fits of several targets, as `score_of` takes those of one."""

    def __init__(self, fits: list[FoldFits]) -> None:
        self._each, self.held_out = fits, fits[0].held_out

    def model(self, row: int, fold: int) -> Any:
        models = [one.model(row, fold) for one in self._each]
        return join(models[0], models)
