"""What every estimator's fit has in common, whatever the model: arguments of the run, and the columns it has seen."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from ..data.design_ import Design
from ..data.given import Given
from ..data.indicators import Indicators
from ..protocols.schema import Features, Schema
from ..run.callbacks import Callback, Progress, check_callbacks
from ..run.checkpoints import check_checkpoint
from ..solvers import check_solver
from ..wording.arguments import check_flag, check_whole, is_number
from ..wording.shown import named


class Fitting:
    """An estimator that runs `minimize`."""

    tol: float
    max_iter: int
    warm_start: bool
    callbacks: Sequence[Callback]
    checkpoint: Any
    verbose: int
    features_: Features
    zero_based_: bool | None
    missing_: dict[str, Any]
    target_name_: str | list[str] | None
    offset_name_: str | None
    base_: dict[str, Any]

    def _solver(self) -> Any:
        """The solver as `minimize` takes it."""
        return self.solver  # type: ignore[attr-defined]

    def _most_iterations(self) -> Any:
        return self.max_iter

    def _check_run(self) -> None:
        """Refuse arguments of the run that are none."""
        if not (is_number(self.tol) and 0 <= self.tol < np.inf):
            raise ValueError(f"tol must be a finite number of 0 or more, got {self.tol!r}")
        check_flag("warm_start", self.warm_start)
        check_whole("max_iter", self._most_iterations(), 0)
        if not isinstance(self.verbose, bool | np.bool_):
            check_whole("verbose", self.verbose, 0)
        check_solver(self._solver())
        check_checkpoint(self.checkpoint)
        check_callbacks(self.callbacks)

    def _callbacks(self) -> list[Callback]:
        """Those of the caller, and what shows progress if that is wanted."""
        return [*self.callbacks, *([Progress()] if self.verbose else [])]

    def _keep_columns(self, schema: Schema, given: Given) -> None:
        """Keep what predictions must know of the columns."""
        self.features_, self.has_offset_, self.zero_based_ = schema.features, schema.offset, given.zero_based
        of_data = schema.features if given.design is None else given.design.features
        self.n_features_in_ = of_data.numeric + len(of_data.levels)
        self.formula_ = given.design if isinstance(given.design, Design) else None
        self.indicators_ = given.design.places if isinstance(given.design, Indicators) else ()
        self.__dict__.pop("feature_names_in_", None)  # of an earlier fit
        if names := given.names or of_data.names:
            self.feature_names_in_ = np.array(names, object)
        self.missing_, self.base_ = given.missing, {}
        self.target_name_, self.offset_name_ = given.target, given.offset

    def __setattr__(self, name: str, value: Any) -> None:
        # scikit-learn shows parameters as they are: a URL with secrets is kept as one that does not show them.
        super().__setattr__(name, named(value) if name == "checkpoint" and isinstance(value, str) else value)


@contextmanager
def learning(estimator: Any, told: Mapping[str, Any] | None = None) -> Iterator[Any]:
    """A copy that learns, and hands over what it has learnt at the very end: a fit that fails changes nothing.

    It has what is `told` beside the parameters, which is forgotten then.
    """
    kind: Any = type(estimator)
    learner = kind.__new__(kind)
    learner.__dict__.update(vars(estimator), **(told or {}))
    yield learner
    for name in told or {}:
        vars(learner).pop(name, None)
    parameters = {name: getattr(estimator, name) for name in estimator.get_params(deep=False)}
    estimator.__dict__ = {**vars(learner), **parameters}
