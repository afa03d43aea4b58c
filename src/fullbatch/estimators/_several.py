"""Least squares for several targets at once: one read of the data for all of them, where their columns are not many."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from copy import copy
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..data.beside import check_indexes
from ..data.given import Given, given_to_fit
from ..errors import DataError
from ..models.by_row import ByRow, Dealt
from ..run.targets import TargetSums
from ..solvers.least_squares import LeastSquares
from ..wording.warned import warn
from ._several_targets import matrix_of_targets, named_targets
from ._splits import column_of

Array = npt.NDArray[Any]

_ONE = "of several targets: fit a model to each of them"


def several(y: Any, of_one: bool) -> Array | None:
    """(n, t) targets, if they are several, or a matrix of one where that counts."""
    shape = getattr(y, "shape", None)
    if shape is None and isinstance(y, Sequence) and not isinstance(y, str) and len(y) and np.ndim(y[0]) == 1:
        shape = (len(y), len(y[0]))
    if shape is None or len(shape) != 2 or not (shape[1] > 1 or (of_one and shape[1] == 1)):
        return None
    return matrix_of_targets(y)


class ForTargets:
    """A regression that can be fitted to several targets: `coef_` is then (t, p), `intercept_` (t,)."""

    coef_: Any
    intercept_: Any

    # Whether a matrix of one target makes (1, p) coefficients.
    _keeps_matrices: ClassVar[bool] = False

    @property
    def _is_of_several(self) -> bool:
        return hasattr(self, "coef_") and np.ndim(self.coef_) == 2

    def _results(self) -> tuple[Any, ...]:
        if self._is_of_several:
            return getattr(self, "results_", ())
        return super()._results()  # type: ignore[misc, no-any-return]

    def _for_target(self, number: int) -> Any:
        """A learner for one of the targets."""
        learner: Any = copy(self)
        if self._is_of_several and number < len(self.coef_):  # to start from
            learner.coef_, learner.intercept_ = self.coef_[number], float(self.intercept_[number])
        else:
            learner.__dict__.pop("coef_", None)
        return learner

    def _named_targets(self, X: Any, y: Any) -> tuple[Any, Any]:
        X, y = named_targets(X, y)
        check_indexes(X, {"target": y})
        return X, y

    def _parted_targets(self, y: Any) -> tuple[Any, Array | None]:
        targets = several(y, self._keeps_matrices)
        return (y, None) if targets is None else (targets[:, 0], targets)

    def _learn_targets(self, engine: Any, given: Given, targets: Array, asked: tuple[Any, Any, Any]) -> None:
        with blocks_of_targets(self, engine, given, targets, asked) as each:
            self._fit_targets(each)

    def _fit_targets(self, each: Iterable[tuple[Any, Given]]) -> None:
        """Fit to each target, one after another, whose blocks are given."""
        fits: list[Any] = []
        told: dict[tuple[str, type[Warning]], None] = {}
        for number, (blocks, given) in enumerate(each):
            learner = self._for_target(number)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                learner._fit_blocks(blocks, given)
            told.update({(str(one.message), one.category): None for one in caught})
            fits.append(learner)
        for words, category in told:
            warn(words, category)
        self.__dict__.update(vars(fits[0]))
        join(self, fits)
        results = [one.result_ for one in fits]
        self.results_, self.result_ = tuple(results), results[-1]
        self.status_ = next((one for one in results if not one.success), results[-1]).status.value
        self.n_iter_ = np.array([int(np.ravel(one.n_iter_)[0]) for one in fits])
        for name in ("l2_", "l1_"):
            strengths = np.array([getattr(one, name) for one in fits])
            setattr(self, name, float(strengths[0]) if (strengths == strengths[0]).all() else strengths)

    def _predicted(self, eta: Array) -> Array:
        return eta if self._is_of_several else eta[:, 0]

    def _matrix(self) -> tuple[Array, Array]:
        return np.atleast_2d(self.coef_), np.atleast_1d(self.intercept_)

    def predictions(self, rows: Any, source: Any, probabilities: bool = False) -> pa.Table:
        """Predictions for the rows of one block, as a table: a column for each target."""
        predicted = self._predicted(self._eta(rows, source))  # type: ignore[attr-defined]
        if predicted.ndim == 1:
            return pa.table({"prediction": predicted})
        return pa.table({f"prediction_{number}": column for number, column in enumerate(predicted.T)})

    def predict(self, X: Any, *, offset: Any = None, lazy: bool = False) -> Any:
        """Predicted target of each row, shape (n,), or (n, t) of several.

        X and offset are as for `fit`; sources, and what is of Dask or Ray, are read on the engine's workers. With
        `lazy` the predictions for a Dask data frame are a Dask series, those for a Dask array another one.
        """
        if lazy and self._is_of_several:
            raise ValueError(f"lazy=True is not for models {_ONE}, or leave lazy out")
        return super().predict(X, offset=offset, lazy=lazy)  # type: ignore[misc]

    def score(self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None) -> float:
        """R^2; of several targets the mean of theirs.

        Equal targets leave nothing to explain: 1.0 for predictions that equal them, up to rounding, otherwise 0.0.
        """
        X, y = self._named_targets(X, y)
        if self._is_of_several:
            from sklearn.metrics import r2_score

            if y is None:
                raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
            weight = None if sample_weight is None else column_of(X, sample_weight)
            wanted, found = matrix_of_targets(y), self.predict(X, offset=offset)
            if wanted.shape != found.shape:
                raise DataError(
                    f"target y has shape {wanted.shape}, predictions for X have {found.shape}: give one row of targets "
                    "for each row of X, in their order"
                )
            return float(r2_score(wanted, found, sample_weight=weight))
        return float(super().score(X, y, sample_weight, offset=offset))  # type: ignore[misc]

    def evaluate(self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None) -> dict[str, float]:
        if self._is_of_several:
            raise ValueError(f"evaluate is not for models {_ONE}, or compare what predict answers")
        X, y = self._named_targets(X, y)
        return super().evaluate(X, y, sample_weight, offset=offset)  # type: ignore[misc, no-any-return]

    def _for_inference(self) -> Any:
        if self._is_of_several:
            raise ValueError(f"there are no standard errors of models {_ONE}")
        return super()._for_inference()  # type: ignore[misc]

    def _refuse_hand_over(self) -> None:
        if self._is_of_several:
            raise ValueError(f"no model can be handed over that is {_ONE}")
        super()._refuse_hand_over()  # type: ignore[misc]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.target_tags.multi_output = True
        return tags


def join(model: Any, fits: Sequence[Any]) -> Any:
    """The model with the coefficients of one fit for each target."""
    model.coef_ = np.array([one.coef_ for one in fits])
    model.intercept_ = np.array([one.intercept_ for one in fits])
    return model


@contextmanager
def blocks_of_targets(
    learner: Any,
    engine: Any,
    given: Given,
    targets: Array,
    asked: tuple[Any, Any, Any],
    dealt: Dealt | None = None,
    at_once: bool = False,
) -> Iterator[Iterator[tuple[Any, Given]]]:
    """Blocks of one target after another, and what was given for it.

    Sums of one read serve all of them, where there is memory for the products of all columns; otherwise the rows are
    placed anew for each, and those of one target closed before the next, unless they are wanted `at_once`.
    """
    with closing(engine.place(ByRow(learner._model(), dealt, targets), given.sources)) as blocks:
        width = blocks.schema.n_features + targets.shape[1]
        if LeastSquares.bytes_for(width) <= LeastSquares().max_bytes:
            sums = TargetSums(blocks, targets.shape[1])
            yield ((sums.one(number), given) for number in range(targets.shape[1]))
            return

    X, weight, offset = asked
    with ExitStack() as kept:

        def placed() -> Iterator[tuple[Any, Given]]:
            for column in targets.T:
                told = {"asked_by": type(learner).__name__, "terms": learner._terms()}
                of_target = learner._prepared(given_to_fit(X, column, weight, offset, **told), engine)
                model = learner._model() if dealt is None else ByRow(learner._model(), dealt)
                if not at_once:
                    kept.close()
                yield kept.enter_context(closing(engine.place(model, of_target.sources))), of_target

        yield placed()
