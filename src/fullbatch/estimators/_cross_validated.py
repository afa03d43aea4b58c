"""What estimators share that choose the strength of their penalty by what fits lose on rows held out."""

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from copy import copy
from inspect import signature
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import sklearn  # loads its parts when they are asked for
from sklearn.utils.metadata_routing import (
    MetadataRouter,
    MethodMapping,
    _raise_for_params,
    _routing_enabled,
    process_routing,
)

from ..data.given import Given
from ..errors import DataError
from ..run.kept_together import run_together
from ..run.together import TogetherState
from ..saving.contents import Each, Either, Member, Number
from ..wording.arguments import is_number
from ._linear import LinearEstimator
from ._splits import Splits
from ._template import Template, warn_of_many

Array = npt.NDArray[Any]

# The smallest of strengths where no column explains anything: as scikit-learn has it.
NOTHING = float(np.finfo(np.float64).resolution)

# A number of strengths, or these themselves.
STRENGTHS = Either(Number(1, whole=True), Each(Number(0)))


class FoldFits(NamedTuple):
    """The fits for one share of L1.

    Parameters
    ----------
    strengths : (L,) array
        On the mean loss, the strongest first.
    l1_ratio : float
    held_out : (L, K) array
        Mean loss of the rows held out; NaN where they have no weight.
    state : TogetherState
        Of fits to all rows and without those of each fold.
    template : Template
        Makes models of them.
    """

    strengths: Array
    l1_ratio: float
    held_out: Array
    state: TogetherState
    template: Template

    def model(self, row: int, fold: int) -> Any:
        """The fit for a strength without the rows of a fold."""
        steps = int(self.state.reads[row, fold + 1])
        return self.template.model(self.state.thetas[row, fold + 1], self.strengths[row], "", steps)


class CrossValidated(LinearEstimator):
    """A linear model with cross-validation: how strong its penalty is, fits to the rows without each fold tell.

    All folds, all strengths and the fit to all rows share their reads of the data. Then the model is fitted with what
    was chosen.
    """

    cv: Any

    warm_start: ClassVar[bool] = False  # type: ignore[misc]
    _no_together: ClassVar = "it chooses its strength by itself: use the estimator without CV in its name"

    # Whether the strength of the penalty is told beside the sum of the losses instead of their mean.
    _of_sum: ClassVar[bool] = False
    # Whether folds have about the same share of each class.
    _by_class: ClassVar[bool] = False
    # Attributes that a saved model keeps where they are known: numbers, or arrays of them.
    _kept: ClassVar[tuple[str, ...]] = ()
    # Parameters that may be several numbers.
    _grids: ClassVar[tuple[str, ...]] = ()

    alpha_: Any
    _share: float = 0.0  # of L1, in the fits that go on

    @abstractmethod
    def _choose(self, template: Template, splits: Splits) -> None:
        """Set what is chosen, from fits to the rows without each fold."""

    def _check_parameters(self) -> None:
        super()._check_parameters()
        if lacking := super()._no_together:  # of the model, whose fits without each fold are made together
            raise ValueError(f"{type(self).__name__} makes many fits, which this model does not take: {lacking}")

    def fit(self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None, **params: Any) -> Self:
        """Choose the strength of the penalty, and fit the model with it.

        Parameters
        ----------
        X, y, sample_weight, offset
            As for every linear model: see `fullbatch.estimators.LinearEstimator.fit`.
        **params
            What splitter and scorer request, where scikit-learn's metadata routing is enabled: such as `groups`.

        Returns
        -------
        self

        Raises
        ------
        DataError
            The data cannot be used; says where and why.
        """
        _raise_for_params(params, self, "fit")
        X, y = self._named_targets(X, y)
        return self._fit(X, y, sample_weight, offset, _asked=(X, y, sample_weight, params))

    def _learn(self, engine: Any, given: Given) -> None:
        splits = self._splits(*self.__dict__.pop("_asked"))
        with closing(engine.place(splits.with_folds(self._model()), given.sources)) as blocks:
            template = Template(copy(self), given, blocks, splits.apart, "alphas")
            template.check_folds(splits.count)
            self._choose(template, splits)
            self._fit_with_choice(template)
        self._look_at_rows(given)

    def _fit_with_choice(self, template: Template) -> None:
        """The last fit, to all rows."""
        self._fit_blocks(template.blocks, template.given)

    def _splits(self, X: Any, y: Any, weight: Any, params: Mapping[str, Any]) -> Splits:
        told, scored = self._routed(weight, params)
        if y is None and (terms := self._terms()) is not None:
            y = terms.target
        return Splits.of(self.cv, X, y, told, self._scored_by(weight) if scored is None else scored, self._by_class)

    def _routed(self, weight: Any, params: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
        """What splitter and scorers are told by metadata routing; of scorers None where it is not enabled."""
        if not _routing_enabled():
            return {}, None
        routed = process_routing(self, "fit", sample_weight=weight, **params)
        return routed.splitter.split, routed["scorer"].score if "scorer" in routed else {}

    def _scored_by(self, weight: Any) -> dict[str, Any]:
        """What scorers are told beside X and y."""
        return {}

    def get_metadata_routing(self) -> MetadataRouter:
        """How parameters of `fit` go on to splitter and scorer: see scikit-learn's guide to metadata routing."""
        cv = sklearn.model_selection.check_cv(5 if self.cv is None else self.cv)
        of_fit = MethodMapping().add(caller="fit", callee="split")
        return MetadataRouter(owner=self).add_self_request(self).add(splitter=cv, method_mapping=of_fit)

    def _fits(self, template: Template, splits: Splits, strengths: Array, l1_ratio: float) -> FoldFits:
        """The fits for some strengths of the penalty on the mean loss, the strongest first."""
        template.learner._share = l1_ratio
        penalties = [template.penalty(strength, l1_ratio) for strength in strengths]
        ran = run_together(template.together(penalties, splits.count, 0, self._of_sum))
        state = ran.state
        warn_of_many(ran, strengths, template.blocks.schema, remedy="raise max_iter, or tol if this is close enough")
        held_out = np.where(np.isfinite(state.held_out[:, 1:]), state.held_out[:, 1:], np.nan)
        return FoldFits(strengths, l1_ratio, held_out, state, template)

    def _check_l1_ratio(self) -> None:
        told: Any = self.l1_ratio
        shares = [told] if np.ndim(told) == 0 else list(told)
        if not (shares and all(is_number(share) and 0 <= share <= 1 for share in shares)):
            raise ValueError(f"l1_ratio must be one or more numbers from 0 to 1, got {self.l1_ratio!r}")

    def _l1_share(self) -> float:
        return self._share

    def _most_l1(self) -> float:
        return float(np.max(self.l1_ratio))

    def _add_saved(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        super()._add_saved(arrays, metadata)
        for name in self._grids:
            if np.ndim(told := getattr(self, name)):
                metadata["parameters"][name] = np.asarray(told, np.float64).tolist()
        chosen = {f"chosen_{name}": np.asarray(getattr(self, name), np.float64) for name in self._kept}
        arrays.update({name: array for name, array in chosen.items() if not np.isnan(array).any()})

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        parameters = {
            name: tuple(value) if name in cls._grids and isinstance(value, list) else value
            for name, value in metadata["parameters"].items()
        }
        model = super()._loaded(arrays, {**metadata, "parameters": parameters})
        for name in cls._kept:
            if (chosen := arrays.get(f"chosen_{name}")) is not None:
                setattr(model, name, chosen if chosen.ndim else float(chosen))
        return model


def kept(*names: str) -> dict[str, Member]:
    """Members of a saved model for attributes that were chosen."""
    return {f"chosen_{name}": Member("f", None, infinite=True, optional=True) for name in names}


def check_numbers(name: str, given: Any, least: float = 0.0, above: bool = False, infinite: bool = False) -> None:
    """Refuse what is no list of one or more numbers of `least` or more, or above it."""
    try:
        values = list(given) if np.ndim(given) == 1 else []
    except TypeError:
        values = []
    good = values and all(is_number(value) and (infinite or np.isfinite(value)) for value in values)
    if not (good and all(value > least if above else value >= least for value in values)):
        bound = f"above {least:g}" if above else f"of {least:g} or more"
        raise ValueError(f"{name} must be one or more numbers {bound}{'' if infinite else ', finite'}, got {given!r}")


def check_alphas(alphas: Any, above: bool = False) -> None:
    """Refuse what is not one or more strengths of 0 or more, or above it: in scikit-learn's words."""
    if np.ndim(alphas) > 1 or not np.size(alphas):
        raise ValueError(f"alphas must be one or more numbers, got {alphas!r}")
    each = [alphas] if np.ndim(alphas) == 0 else list(alphas)
    for number, alpha in enumerate(each):
        name = f"alphas[{number}]" if len(each) > 1 else "alphas"
        if not is_number(alpha):
            raise TypeError(f"{name} must be an instance of float, not {type(alpha).__name__}")
        if not ((alpha > 0 if above else alpha >= 0) and alpha < np.inf):
            raise ValueError(f"{name} == {alpha}, must be {'>' if above else '>='} 0.0 and finite")


def check_scoring(scoring: Any, told: Sequence[Any] = (None,)) -> None:
    """Refuse what is no scorer, nor the name of one."""
    if any(scoring is one for one in told) or callable(scoring):
        return
    try:
        sklearn.metrics.get_scorer(scoring)
    except (ValueError, TypeError):
        raise ValueError(
            f"scoring must be the name of a scorer of scikit-learn, a callable or None, got {scoring!r}"
        ) from None


def takes_weights(scorer: Any) -> bool:
    """Whether a scorer can be told sample weights."""
    if hasattr(scorer, "_accept_sample_weight"):
        return bool(scorer._accept_sample_weight())
    return "sample_weight" in signature(scorer).parameters


def score_of(fits: Any, splits: Splits, scorer: Callable[..., float]) -> Array:
    """(L, K) scores on the rows held out of `FoldFits`, or of what has models as they do."""
    scores = np.zeros(fits.held_out.shape)
    for fold, (X, y, told) in enumerate(splits.held_out()):
        for row in range(len(scores)):
            scores[row, fold] = scorer(fits.model(row, fold), X, y, **told)
    return scores


def refuse_elsewhere(has_offset: bool, splits: Splits, scoring: Any, instead: str) -> None:
    """Of rows that are not in memory, and of those with offsets, only their mean loss under the fits is known."""
    if has_offset or not splits.in_memory:
        what = "the default scoring" if scoring is None else f"scoring={scoring!r}"
        raise DataError(
            f"{what} needs rows in memory, without offsets: of others only the mean loss of rows held "
            f"out is known, so give scoring={instead!r}"
        )
