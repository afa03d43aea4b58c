"""Linear support vector machines with the squared hinge loss."""

from collections.abc import Mapping
from contextlib import closing
from copy import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from ..data.given import Given
from ..models.one_against_rest import OfClass, OneAgainstRest
from ..protocols.schema import Schema
from ..run.checkpoints import Checkpoint
from ..run.driver import minimize_classes
from ..saving.contents import Number, NumberAsText, Text
from ..wording.arguments import is_number
from ._classifier import Classifier
from ._measures import Tally

Array = npt.NDArray[Any]

# The square of its inverse is a number.
_LEAST_SCALING = 1e-150


@dataclass(kw_only=True, eq=False, repr=False)
class LinearSVC(Classifier):
    """Linear support vector classification by the squared hinge loss; of several classes each against the rest.

    Minimises C (sum of w_i max(0, 1 - s_i eta_i)^2) + (||coef||^2 + b^2) / 2, or + ||coef||_1 + |b|, where s_i is 1 for
    rows of the class and -1 for others, and b = intercept / intercept_scaling: the intercept is penalised as liblinear
    does it. The result is the same to the bit on any engine and number of workers.

    Parameters
    ----------
    penalty : {"l2", "l1"}, default="l2"
        Which.
    loss : {"squared_hinge"}, default="squared_hinge"
        The hinge itself has a corner: there is no solver for it here.
    C : float, default=1.0
        Inverse of the penalty's strength.
    class_weight : "balanced", mapping of label to weight, or None, default=None
        Multiplies the sample weights of each class. Of several classes: of the one, not of the rest against it, as
        liblinear has it.
    multi_class : {"ovr"}, default="ovr"
        One class against the rest.
    intercept_scaling : float, default=1
        The larger, the less the intercept is penalised: `numpy.inf` leaves it free, so that the model does not depend
        on where the columns have their zero.
    dual, random_state
        Scikit-learn's, which change nothing.
    tol, fit_intercept, max_iter, lower_bounds, upper_bounds, standardize, missing, missing_indicator, formula, base,
    unknown, solver, engine, checkpoint, callbacks, verbose
        As for every linear model: see `fullbatch.estimators.LinearEstimator`. Several classes are as many fits, which
        advance together and share reads of the data; their checkpoints are in directories of their own within that of
        `checkpoint`. With `callbacks` (or `verbose`), which are told of one fit at a time, they run one after another.

    Attributes
    ----------
    classes_ : (K,) array
        Labels, sorted.
    coef_ : (1, p) or (K, p) float64 array
        Coefficients; one row for two classes.
    intercept_ : (1,) or (K,) float64 array
        Intercepts; zeros without.
    features_, n_iter_, n_samples_fit_, l2_, l1_, status_, missing_, result_
        As for every linear model: see `fullbatch.estimators.LinearEstimator`.
    n_features_in_, feature_names_in_, has_offset_, zero_based_
        The same.
        Of several fits `n_iter_` is the largest number of iterations, `status_` that of the first that did not succeed,
        `result_` that of the last class, and `results_` has them all.
    passes_ : int
        Reads of the data, or of a sample of it, by all fits together, set-up not counted: each serves every class whose
        fit still goes on, so that they are as many as the longest fit takes by itself.

    Examples
    --------
    >>> from fullbatch import LinearSVC
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> LinearSVC().fit(X, y).score(X, y) > 0.95
    True
    """

    _saved_parameters: ClassVar = {
        "penalty": Text(("l2", "l1")),
        "intercept_scaling": NumberAsText(Number(0, infinite=True, above=True)),
        **{name: rule for name, rule in Classifier._saved_parameters.items() if name != "l1_ratio"},
    }

    penalty: str = field(default="l2", kw_only=False)
    loss: str = field(default="squared_hinge", kw_only=False)
    dual: bool | str = "auto"
    multi_class: str = "ovr"
    intercept_scaling: float = 1
    random_state: Any = None
    _no_inference: ClassVar = "the squared hinge is no likelihood: use LogisticRegression"
    _no_together: ClassVar = "it is fitted to one class against the rest, and to each class: use LogisticRegression"

    _no_early_stopping: ClassVar = (
        "it is fitted to one class against the rest, and to each class: use LogisticRegression"
    )

    l1_ratio: ClassVar[float] = 0.0  # type: ignore[misc]
    warm_start: ClassVar[bool] = False  # type: ignore[misc]

    def _check_parameters(self) -> None:
        if not (isinstance(self.penalty, str) and self.penalty in ("l1", "l2")):
            raise ValueError(f"penalty must be 'l2' or 'l1', got {self.penalty!r}")
        if not (isinstance(self.loss, str) and self.loss == "squared_hinge"):
            raise ValueError(
                f"loss must be 'squared_hinge', got {self.loss!r}: the hinge itself has a corner. scikit-learn's "
                "LinearSVC has a solver for it"
            )
        if not (is_number(self.intercept_scaling) and self.intercept_scaling >= _LEAST_SCALING):
            raise ValueError(
                f"intercept_scaling must be a positive number of {_LEAST_SCALING:g} or more, got "
                f"{self.intercept_scaling!r}: numpy.inf leaves the intercept free, fit_intercept=False leaves it out"
            )
        super()._check_parameters()

    def _intercept_shares(self) -> tuple[float, float]:
        if not self.fit_intercept or np.isinf(self.C):  # of no penalty nothing is anybody's
            return 0.0, 0.0
        return float(self.intercept_scaling) ** -2, 1.0 / float(self.intercept_scaling)

    def _l1_share(self) -> float:
        return 1.0 if self.penalty == "l1" else 0.0

    def _loss(self) -> tuple[str, None]:
        return "squared_hinge", None

    def _model(self) -> OneAgainstRest:
        return OneAgainstRest(bool(self.fit_intercept), self.class_weight, getattr(self, "_number", 0))

    def _linear(self, schema: Schema) -> Any:
        return self._model()

    def _learn(self, engine: Any, given: Given) -> None:
        """Fit to each class against the rest, side by side; to two classes once."""
        with closing(engine.place(self._model(), given.sources)) as blocks:
            if len(blocks.schema.classes) == 2:
                self._fit_blocks(blocks, given)
                fits, passes = [self], self.result_.passes
            else:
                fits, passes = self._fitted_to_each(blocks, given)
        results = [one.result_ for one in fits]
        coef, intercept = np.vstack([one.coef_ for one in fits]), np.concatenate([one.intercept_ for one in fits])
        self.__dict__ = {name: value for name, value in vars(fits[-1]).items() if name != "_number"}
        self.coef_, self.intercept_, self.passes_ = coef, intercept, passes
        self.results_, self.n_iter_ = tuple(results), max(result.iterations for result in results)
        self.status_ = next((one for one in results if not one.success), results[-1]).status.value

    def _fitted_to_each(self, blocks: Any, given: Given) -> tuple[list[Self], int]:
        """A learner for each class, and the reads of the data that all of them have taken."""
        fits, objectives, reads = [], [], [0]
        for number in range(len(blocks.schema.classes)):
            one = copy(self)
            one._number = number
            if self.checkpoint is not None:
                one.checkpoint = Checkpoint.within(self.checkpoint, f"class-{number}")
            fits.append(one)
            objectives.append(one._objective(OfClass(blocks, one._model(), reads), given))
        results = minimize_classes(
            objectives,
            [self._start(objective, blocks.schema, 1) for objective in objectives],
            callbacks=self._callbacks(),
            checkpoints=[one.checkpoint for one in fits],
            **self._run_options(),
        )
        for one, result, objective in zip(fits, results, objectives, strict=True):
            one._take(result, objective, given)
        return fits, reads[0]

    def _counted(self, iterations: int) -> int:
        return iterations

    def _add_saved(self, arrays: dict[str, Array], metadata: dict[str, Any]) -> None:
        super()._add_saved(arrays, metadata)
        metadata["parameters"]["intercept_scaling"] = str(float(self.intercept_scaling))

    @classmethod
    def _loaded(cls, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> Self:
        # Files of versions that left intercepts free do not have it.
        scaling = float(metadata["parameters"].get("intercept_scaling", "inf"))
        parameters = {**metadata["parameters"], "intercept_scaling": scaling}
        return super()._loaded(arrays, {**metadata, "parameters": parameters})

    def _tally(self, eta: Array, y: Array, weight: Array) -> Tally:
        hit = (self._likeliest(eta) == y) @ weight
        return Tally(len(y), float(weight.sum()), np.array([hit]))

    def _measures(self, tally: Tally) -> dict[str, float]:
        return {"accuracy": float(tally.sums[0]) / tally.weight}
