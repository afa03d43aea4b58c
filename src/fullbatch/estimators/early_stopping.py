"""Ending a fit where rows that it does not learn from are no longer predicted better."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..run.callbacks import Iterate
from ..wording.arguments import check_whole, is_number

Array = npt.NDArray[Any]

# Measures of `evaluate`, the first of which a model has is looked at; those that rise where predictions get better.
_MEASURES = ("cross_entropy", "mean_deviance", "rmse", "accuracy")
_RISING = frozenset({"accuracy", "r2", "d2"})


@dataclass
class EarlyStopping:
    """Ends an estimator's fit when validation rows are no longer predicted better, and keeps the best coefficients.

    One of the `callbacks` of a linear model or of a network. At each iterate the model so far is evaluated on rows of
    its own: the fit reads its own rows no more often. A fit that converges before is left as it is.

    Parameters
    ----------
    X, y, sample_weight, offset
        Validation rows, given as for `fit`.
    patience : int, default=5
        The fit ends after so many iterates without a better one.
    min_delta : float, default=0.0
        By how much a better one must be better.
    measure : str, optional
        One of those that `evaluate` tells; default: cross_entropy of labels, mean_deviance of counts and the like, rmse
        of other numbers.

    Attributes
    ----------
    history : list of float
        The measure at each iterate of the last fit, the starting point included.
    best_iteration : int
        Where it was best.
    stopped : bool
        Whether it ended the fit, whose coefficients are then those of that iterate.
    """

    X: Any
    y: Any = None
    sample_weight: Any = None
    offset: Any = None
    patience: int = 5
    min_delta: float = 0.0
    measure: str | None = None
    history: list[float] = field(default_factory=list, init=False, repr=False)
    best_iteration: int = field(default=0, init=False, repr=False)
    stopped: bool = field(default=False, init=False, repr=False)
    best_theta: Any = field(default=None, init=False, repr=False)
    _model_at: Callable[[Array], Any] | None = field(default=None, init=False, repr=False)
    _best: float = field(default=np.inf, init=False, repr=False)

    def check(self) -> None:
        """Refuse parameters that cannot be.

        Raises
        ------
        ValueError
            Names the parameter.
        """
        check_whole("patience", self.patience, 1)
        if not (is_number(self.min_delta) and 0 <= self.min_delta < np.inf):
            raise ValueError(f"min_delta must be a finite number of 0 or more, got {self.min_delta!r}")

    def begin(self, model_at: Callable[[Array], Any]) -> None:
        """Begin a fit, whose model at any theta of its solver `model_at` tells."""
        self._model_at, self.history, self.best_iteration = model_at, [], 0
        self.stopped, self.best_theta, self._best = False, None, np.inf

    def __call__(self, iterate: Iterate) -> str:
        """A reason to end the run, or nothing."""
        if self._model_at is None:
            raise ValueError("EarlyStopping is one of the callbacks of an estimator: of minimize use StopWhen")
        told = self._model_at(iterate.theta).evaluate(self.X, self.y, self.sample_weight, offset=self.offset)
        name = self.measure or next(name for name in _MEASURES if name in told)
        if name not in told:
            raise ValueError(f"measure: there is no {name!r}: evaluate tells {', '.join(told)}")
        self.history.append(told[name])
        value = -told[name] if name in _RISING else told[name]
        if value < self._best - self.min_delta or self.best_theta is None:
            self._best, self.best_iteration, self.best_theta = value, iterate.iteration, iterate.theta.copy()
        self.stopped = iterate.iteration - self.best_iteration >= self.patience
        if not self.stopped:
            return ""
        best = abs(self._best) if name in _RISING else self._best
        return f"{name} of the validation rows was best, {best:.6g}, at iteration {self.best_iteration}"

    def end_of_run(self) -> None:
        """Let go of the fit."""
        self._model_at = None


def begun(callbacks: Sequence[Any], model_at: Callable[[Array], Any]) -> list[EarlyStopping]:
    """Those among the callbacks, at the beginning of a fit, whose model at any theta of its solver `model_at` tells: to
    these and to whatever else has a method `begin`.
    """
    for one in callbacks:
        if hasattr(one, "begin"):
            one.begin(model_at)
    return [one for one in callbacks if isinstance(one, EarlyStopping)]


def that_ended(stops: Sequence[EarlyStopping]) -> EarlyStopping | None:
    """The one that ended the fit, if one did."""
    return next((one for one in stops if one.stopped), None)
