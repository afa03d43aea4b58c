"""Logistic regression whose strength is chosen by cross-validation."""

from dataclasses import dataclass, field
from inspect import signature
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import sklearn  # loads its parts when they are asked for
from sklearn.utils.metadata_routing import MetadataRouter, MethodMapping, _routing_enabled, process_routing
from sklearn.utils.validation import check_is_fitted

from ..saving.contents import Each, Either, Flag, Null, Number, NumberAsText, Text
from ..wording.arguments import check_flag, check_whole
from ._classifier import Classifier
from ._cross_validated import CrossValidated, FoldFits, check_numbers, check_scoring, kept, refuse_elsewhere, score_of
from ._splits import Splits
from ._template import Template
from .logistic import LogisticRegression

Array = npt.NDArray[Any]

_LOSS = "neg_log_loss"


@dataclass(kw_only=True, eq=False, repr=False)
class LogisticRegressionCV(CrossValidated, LogisticRegression):  # type: ignore[misc]
    """Logistic regression whose strength is chosen by cross-validation, all folds advancing together.

    Minimises what `LogisticRegression` does, with the `C` and the share of L1 whose fits to the rows without each fold
    have the best mean score on the rows of that fold. The result is the same to the bit on any engine and number of
    workers.

    Parameters
    ----------
    Cs : int, or sequence of float, default=10
        How many inverses of the penalty's strength, from 1e-4 to 1e4; or which.
    l1_ratios : sequence of float or None, default="warn"
        Shares of L1 to try; None, and "warn", for 0 alone.
    cv : int, splitter of scikit-learn, iterable of pairs of int arrays, or None, default=None
        How many folds, 5 for None: of rows in memory with about the same share of each class, of others by a hash of
        their numbers; or, of rows in memory, numbers of the rows of each fit and of those that it is judged by.
    scoring : str, callable or None, default="warn"
        Name of a scorer of scikit-learn, or one that takes (model, X, y). None, and "warn", for the accuracy. Of rows
        that are not in memory, and of those with offsets, "neg_log_loss" alone is known, whose rows count as they do in
        the fit, class weights included.
    refit : bool, default=True
        Whether to fit the model to all rows with the best of the mean scores; otherwise coefficients are the means of
        those of each fold's best fits.
    use_legacy_attributes : bool, default="warn"
        Whether attributes have the shapes that scikit-learn had before 1.10; "warn" for True.
    penalty : {"l2", "l1", "elasticnet"}, default="deprecated"
        As that of `LogisticRegression`: "l1" is an l1_ratio of 1, "elasticnet" takes `l1_ratios`. Leave it out.
    class_weight : "balanced", mapping of label to weight, or None, default=None
        Multiplies the sample weights of each class; "balanced" is reckoned from all rows.
    dual, intercept_scaling, random_state, n_jobs
        As those of `LogisticRegression`.
    checkpoint : Checkpoint, path or URL, default=None
        Of the last fit alone, with the strength that was chosen.
    tol, fit_intercept, max_iter, lower_bounds, upper_bounds, standardize, unknown, solver, engine, callbacks, verbose
        As for every linear model: see `fullbatch.estimators.LinearEstimator`. Solver and callbacks are those of the
        last fit.

    Attributes
    ----------
    C_, l1_ratio_ : float, or with legacy attributes an array of it for each class
        What was chosen; without `refit` the mean over the folds.
    Cs_, l1_ratios_ : arrays
        What was tried.
    scores_ : (K, shares, L) array; with legacy attributes a dict of label to (K, L) or (K, L, shares) array
        Of the rows of each fold, under the fit to the others.
    coefs_paths_ : (K, shares, L, classes, p + 1) array; with legacy attributes a dict of label to (K, L, p + 1) or
        (K, L, shares, p + 1) array
        Coefficients of the fits to the rows without each fold, the intercept last if there is one. A class is left out
        of two.
    n_iter_ : (K, shares, L) array; with legacy attributes (1, K, L) or (1, K, L, shares)
        Reads of the data that the fits took part in; many fits share one.
    classes_, coef_, intercept_
        As those of `LogisticRegression`.
    features_, n_samples_fit_, l2_, l1_, status_, missing_, result_
        As for every linear model: see `fullbatch.estimators.LinearEstimator`; of the last fit.
    n_features_in_, feature_names_in_, has_offset_, zero_based_
        The same.

    Examples
    --------
    >>> from fullbatch import LogisticRegressionCV
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = LogisticRegressionCV(scoring="neg_log_loss", use_legacy_attributes=False).fit(X, y)
    >>> model.scores_.shape, model.C_ > 1
    ((5, 1, 10), True)
    """

    _saved_parameters: ClassVar = {
        **{
            name: rule
            for name, rule in LogisticRegression._saved_parameters.items()
            if name not in ("C", "l2", "l1_ratio")
        },
        "Cs": Either(Number(1, whole=True), Each(NumberAsText(Number(0, infinite=True, above=True)))),
        "l1_ratios": Either(Null(), Text(("warn",)), Each(Number(0, 1))),
        "refit": Flag(),
        "use_legacy_attributes": Either(Flag(), Text(("warn",))),
    }
    _kept: ClassVar[tuple[str, ...]] = ("C_", "l1_ratio_", "Cs_", "l1_ratios_")
    _saved_members: ClassVar = {**LogisticRegression._saved_members, **kept(*_kept)}
    _grids: ClassVar[tuple[str, ...]] = ("l1_ratios",)
    _of_sum: ClassVar = True
    _by_class: ClassVar = True

    C: ClassVar[float] = 1.0  # type: ignore[misc]
    l2: ClassVar[None] = None  # type: ignore[misc]
    l1_ratio: ClassVar[float] = 0.0  # type: ignore[misc]
    Cs: Any = 10
    l1_ratios: Any = "warn"
    cv: Any = None
    scoring: Any = "warn"
    refit: bool = True
    use_legacy_attributes: Any = "warn"

    # Set by fit, in shapes that `use_legacy_attributes` tells.
    C_: Any = field(init=False)
    l1_ratio_: Any = field(init=False)
    scores_: Any = field(init=False)
    coefs_paths_: Any = field(init=False)

    def _check_parameters(self) -> None:
        if isinstance(self.Cs, int | np.integer) and not isinstance(self.Cs, bool):
            check_whole("Cs", self.Cs, 1)
        else:
            check_numbers("Cs", self.Cs, above=True, infinite=True)
        if self._is_told("l1_ratios") is not None:
            try:
                check_numbers("l1_ratios", self.l1_ratios)
            except ValueError:
                raise ValueError(_SHARES.format(self.l1_ratios)) from None
            if max(self.l1_ratios) > 1:
                raise ValueError(_SHARES.format(self.l1_ratios))
        if self.penalty is None:
            raise ValueError("penalty must be 'l2', 'l1' or 'elasticnet', got None: leave it out, and give Cs=[np.inf]")
        if isinstance(self.penalty, str) and self.penalty == "elasticnet" and self._is_told("l1_ratios") is None:
            raise ValueError(_SHARES.format(self.l1_ratios))
        check_scoring(self.scoring, (None, "warn"))
        check_flag("refit", self.refit)
        if self._is_told("use_legacy_attributes") is not None:
            check_flag("use_legacy_attributes", self.use_legacy_attributes)
        super()._check_parameters()

    def _is_told(self, name: str) -> Any:
        """A parameter; None where it is "warn", which stands for what scikit-learn does with a warning."""
        value = getattr(self, name)
        return None if isinstance(value, str) and value == "warn" else value

    def _strength(self, weight: float) -> float:
        return 1.0 / (self._C * weight)

    def _most_l1(self) -> float:
        return max(self._shares_tried())

    def _shares_tried(self) -> list[float]:
        if self.penalty in ("l1", "l2"):
            return [1.0 if self.penalty == "l1" else 0.0]
        told = self._is_told("l1_ratios")
        return [0.0] if told is None else [float(share) for share in told]

    def _scored_by(self, weight: Any) -> dict[str, Any]:
        return {} if weight is None else {"sample_weight": weight}

    def _choose(self, template: Template, splits: Splits) -> None:
        self.classes_ = template.blocks.schema.classes
        self.Cs_ = np.logspace(-4, 4, int(self.Cs)) if not np.ndim(self.Cs) else np.asarray(self.Cs, np.float64)
        self.l1_ratios_ = np.array(self._shares_tried())
        strengths = 1.0 / (self.Cs_ * template.weight)
        order = np.argsort(-strengths, kind="stable")
        back = np.argsort(order, kind="stable")
        paths, scores, reads = [], [], []
        tried, scorer = [], self._scorer(template.blocks.schema.offset, splits)
        for share in self.l1_ratios_:
            fits = self._fits(template, splits, strengths[order], float(share))
            tried.append(fits)
            paths.append(self._coefs(fits, splits.count)[back])
            scores.append((-fits.held_out if scorer is None else score_of(fits, splits, scorer))[back])
            reads.append(fits.state.reads[:, 1:][back])
        # (L, K, ...) of each share becomes (K, L, shares, ...).
        score, read, path = (np.moveaxis(np.array(one), (2, 1, 0), (0, 1, 2)) for one in (scores, reads, paths))
        if self.refit:
            row, share = np.unravel_index(int(score.sum(axis=0).argmax()), score.shape[1:])
            self._C, self._share = float(self.Cs_[row]), float(self.l1_ratios_[share])
        else:
            places = np.array([np.unravel_index(int(one.argmax()), one.shape) for one in score])
            self._C, self._share = float(self.Cs_[places[:, 0]].mean()), float(self.l1_ratios_[places[:, 1]].mean())
            thetas = [tried[share].state.thetas[back[row], fold + 1] for fold, (row, share) in enumerate(places)]
            self._mean_theta = np.mean(thetas, axis=0)
        self._keep_paths(score, path, read)

    def _fit_with_choice(self, template: Template) -> None:
        reads = self.n_iter_
        if self.refit:
            super()._fit_with_choice(template)
            self._last_iterations = int(self.result_.iterations)
        else:
            self.__dict__.pop("result_", None)  # of an earlier fit
            strength, self.n_samples_fit_ = self._strength(template.weight), template.learner.n_samples_fit_
            self.weight_sum_ = template.learner.weight_sum_
            self.l2_, self.l1_ = (1.0 - self._share) * strength, self._share * strength
            objective = template.objective.with_penalty(template.penalty(strength, self._share))
            self._set_theta(self.__dict__.pop("_mean_theta"), objective, template.given)
            self.status_, self._last_iterations = "converged", 0
        self.n_iter_ = reads

    def _coefs(self, fits: FoldFits, folds: int) -> Array:
        """(L, K, outputs, p) coefficients, the intercepts last."""
        models = [[fits.model(row, fold) for fold in range(folds)] for row in range(len(fits.strengths))]
        last = [slice(None)] * bool(self.fit_intercept)
        return np.array(
            [[np.column_stack((one.coef_, *(one.intercept_[part] for part in last))) for one in row] for row in models]
        )

    def _scorer(self, has_offset: bool, splits: Splits) -> Any:
        """What scores models on the rows held out; None where that is their mean loss, which comes with the fits."""
        if isinstance(self.scoring, str) and self.scoring == _LOSS and (has_offset or not splits.in_memory):
            return None
        scoring = self._is_told("scoring")
        refuse_elsewhere(has_offset, splits, scoring, _LOSS)
        if scoring is None:
            return lambda model, X, y, **told: Classifier.score(model, X, y, **told)
        scorer = sklearn.metrics.get_scorer(scoring)
        function = getattr(scorer, "_score_func", None)
        names = signature(function).parameters if function is not None else {}
        if "labels" in names:  # a fold may not have all of them
            two = {"pos_label": self.classes_[-1]} if len(self.classes_) == 2 and "pos_label" in names else {}
            options = {"labels": self.classes_, **two, **getattr(scorer, "_kwargs", {})}
            options |= {"greater_is_better": scorer._sign == 1, "response_method": scorer._response_method}
            return sklearn.metrics.make_scorer(function, **options)
        return scorer

    def _keep_paths(self, scores: Array, paths: Array, reads: Array) -> None:
        """Set the attributes as scikit-learn has them, from (K, L, shares, ...) arrays."""
        if self._is_told("use_legacy_attributes") is False:
            self.C_, self.l1_ratio_ = self._C, self._share
            self.scores_, self.n_iter_ = scores.swapaxes(1, 2), reads.swapaxes(1, 2)
            self.coefs_paths_ = paths.swapaxes(1, 2)
            return
        labels = self.classes_[-paths.shape[3] :]
        self.C_, self.l1_ratio_ = np.full(len(labels), self._C), np.full(len(labels), self._share)
        one_share = self._is_told("l1_ratios") is None
        scores, paths, reads = (part[:, :, 0] if one_share else part for part in (scores, paths, reads))
        self.scores_ = dict.fromkeys(labels.tolist(), scores)
        self.coefs_paths_ = {label: paths[..., row, :] for row, label in enumerate(labels.tolist())}
        self.n_iter_ = reads[None]

    def score(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None, **score_params: Any
    ) -> float:
        """What `scoring` says of the rows: the weighted share of the rows whose label is predicted, by default."""
        check_is_fitted(self)
        if _routing_enabled():
            told = {} if sample_weight is None else {"sample_weight": sample_weight}
            score_params = process_routing(self, "score", **told, **score_params).scorer.score
            sample_weight = score_params.pop("sample_weight", None)
        scoring = self._is_told("scoring")
        if scoring is None or (isinstance(scoring, str) and scoring == "accuracy"):
            return super().score(X, y, sample_weight, offset=offset)
        if isinstance(scoring, str) and scoring == _LOSS:
            return -self.evaluate(X, y, sample_weight, offset=offset)["cross_entropy"]
        told = {} if sample_weight is None else {"sample_weight": sample_weight}
        return float(sklearn.metrics.get_scorer(scoring)(self, X, y, **told, **score_params))

    def get_metadata_routing(self) -> MetadataRouter:
        scoring = self._is_told("scoring")
        scorer = sklearn.metrics.get_scorer("accuracy" if scoring is None else scoring)
        mapping = MethodMapping().add(caller="score", callee="score").add(caller="fit", callee="score")
        return super().get_metadata_routing().add(scorer=scorer, method_mapping=mapping)

    def _counted(self, iterations: int) -> Any:
        return np.array([iterations])

    def _add_saved(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        super()._add_saved(arrays, metadata)
        arrays["n_iter"] = np.array([self._last_iterations])
        if np.ndim(self.Cs):
            metadata["parameters"]["Cs"] = [repr(float(C)) for C in self.Cs]

    @classmethod
    def _loaded(cls, arrays: Any, metadata: Any) -> Any:
        parameters = dict(metadata["parameters"])
        if isinstance(parameters["Cs"], list):
            parameters["Cs"] = tuple(float(C) for C in parameters["Cs"])
        model = super()._loaded(arrays, {**metadata, "parameters": parameters})
        model._last_iterations = int(arrays["n_iter"][0])
        return model


_SHARES = "l1_ratios must be an array-like of numbers between 0 and 1; got (l1_ratios={!r})"
