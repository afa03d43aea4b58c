"""scikit-learn's own callbacks, which meta-estimators hand on: `set_callbacks`, with scikit-learn 1.9 or later."""

from collections.abc import Callable
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ..run.callbacks import Iterate
from ._linear import LinearEstimator

Array = npt.NDArray[Any]


class CallsBack(LinearEstimator):
    """An estimator whose iterations are tasks that scikit-learn's callbacks are told of."""

    def set_callbacks(self, *callbacks: Any) -> Self:
        """Set callbacks of scikit-learn's, which see a task for each iteration, and at its end the model so far.

        Parameters
        ----------
        *callbacks : sklearn.callback.FitCallback
            Such as `sklearn.callback.ProgressBar()`; none takes those away that were set.

        Returns
        -------
        self

        Raises
        ------
        ImportError
            scikit-learn is older than 1.9.
        TypeError
            One of them is no such callback.
        """
        from sklearn.callback import CallbackSupportMixin

        CallbackSupportMixin.set_callbacks(self, *callbacks)
        return self

    def _fit(self, X: Any, y: Any, weight: Any, offset: Any, **told: Any) -> Self:
        if not (getattr(self, "_skl_callbacks", None) or hasattr(self, "_parent_callback_ctx")):
            return super()._fit(X, y, weight, offset, **told)
        from sklearn.callback import CallbackSupportMixin, with_callbacks

        def fit(estimator: Self) -> Self:
            # How many iterations there will be nobody knows.
            context = CallbackSupportMixin._init_callback_context(estimator, max_subtasks=None)
            rows = {"X": X, "y": y, "metadata": None if weight is None else {"sample_weight": weight}}
            context.call_on_fit_task_begin(estimator=estimator, **rows)
            iterations = _Iterations(estimator, context, rows)
            super()._fit(X, y, weight, offset, _iterations=iterations, **told)
            context.call_on_fit_task_end(estimator=estimator, **rows, reconstruction_attributes={})
            return estimator

        fitted: Self = with_callbacks(fit)(self)
        return fitted

    def _callbacks(self) -> list[Any]:
        return [*super()._callbacks(), *([self._iterations] if hasattr(self, "_iterations") else [])]


class _Iterations:
    """Tells scikit-learn's callbacks of each iteration: of its end, then of the beginning of the next."""

    def __init__(self, estimator: Any, context: Any, rows: dict[str, Any]) -> None:
        self._estimator, self._context, self._rows = estimator, context, rows
        self._task: Any = None
        self._model_at: Callable[[Array], Any] | None = None

    def begin(self, model_at: Callable[[Array], Any]) -> None:
        """Begin a fit, whose model at any theta of its solver `model_at` tells."""
        self._model_at = model_at

    def __call__(self, iterate: Iterate) -> str:
        """A reason to end the run, or nothing."""
        assert self._model_at is not None
        model_at, theta = self._model_at, np.array(iterate.theta)

        def learnt() -> dict[str, Any]:
            found = vars(model_at(theta))
            return {name: value for name, value in found.items() if name.endswith("_") and not name.startswith("_")}

        told = {**self._rows, "reconstruction_attributes": learnt}
        asked = self._task is not None and self._task.call_on_fit_task_end(estimator=self._estimator, **told)
        self._task = self._context.subcontext(task_name="iteration")
        self._task.call_on_fit_task_begin(estimator=self._estimator, **told)
        return "a callback of scikit-learn's asked for it" if asked else ""

    def end_of_run(self) -> None:
        """End the task that was begun for an iteration that does not come, and let go of the fit."""
        if self._task is not None:
            self._task.call_on_fit_task_end(estimator=self._estimator)
        self._task = self._model_at = None
