"""From a fitted model to how well it describes rows."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ..data.fitted import given_to_evaluate
from ..errors import DataError
from ..protocols.rows import Rows
from ..wording.messages import shortened
from ._base_levels import unknown_to
from ._inferred import Inferred

if TYPE_CHECKING:
    from ..checks.results import Checks


class Checked(Inferred):
    """A fitted linear model that is held against rows."""

    unknown: str
    coef_: Any

    _no_checks: ClassVar[str] = ""  # why not
    base_: dict[str, Any]

    def checks(
        self,
        X: Any = None,
        y: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        columns: Sequence[str] | None = None,
        weights: str | None = None,
    ) -> "Checks":
        """Calibration, lift, curves, actual against expected, residuals and variance inflation: one pass.

        Parameters
        ----------
        X, y, sample_weight, offset
            Rows whose targets are known, given as for `fit`: those of the fit, or better others.
        columns : sequence of str, optional
            Columns of the data by which actual is held against expected, of the model or other ones of a table, which a
            model may lack; default: all of the model, if they are no more than 100.
        weights : {"frequency", "precision"}, optional
            A sample weight counts rows that are alike, or divides the variance of one row; tables weigh rows either
            way, dispersions and residuals depend on it. Default: "precision" where a target of the binomial family is
            neither 0 nor 1, as weights are then numbers of trials, else "frequency".

        Returns
        -------
        Checks

        Raises
        ------
        ValueError
            The loss predicts neither means nor labels (huber, quantile).
        DataError
            The data cannot be used, or has labels that the fit has not seen; says where and why.
        """
        from ..checks.other_columns import column_values
        from ..checks.results import Checks, others_of
        from ..inference.clusters import column_of
        from ..inference.data import Data

        check_is_fitted(self)
        if self._no_checks:
            raise ValueError(f"{type(self).__name__} has no checks: {self._no_checks}")
        if X is None:
            raise DataError(
                "a model is checked on rows whose targets are known, and keeps none, saved or not: give those of the "
                "fit, or better others, checks(X, y, ...)"
            )
        if np.ndim(self.coef_) == 2 and not hasattr(self, "classes_"):
            raise ValueError("there are no checks of models of several targets: fit a model to each of them")
        fitted = self._as_fitted(np.zeros(self.features_.size))
        names = fitted.features.data_names()
        others = others_of(columns, names)
        given = given_to_evaluate(X, y, sample_weight, self._fitted(), offset, others)
        beside: dict[str, Any] = dict.fromkeys(others)
        if isinstance(given, Rows):
            for name in others:
                try:
                    beside[name] = column_of(X, name)
                except DataError:
                    raise DataError(
                        f"columns: there is no column {name!r}: those of the fit are {shortened(names)}, and X has no "
                        "other of that name"
                    ) from None
        unknown = unknown_to(self.unknown, self.base_, self.features_)
        return Checks.of(fitted, Data.of(given, self.engine, beside, column_values), unknown, columns, weights)
