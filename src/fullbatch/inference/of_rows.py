"""What is told of rows: effects and predictions averaged over them, and each one's prediction and influence."""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..data.written import write
from ..protocols.rows import Rows
from .data import Data
from .effects import Effects, PredictedWithErrors, average_predictions, marginal_effects, refuse_several
from .fit_measures import FitMeasures
from .influence import InfluenceOf
from .pandas_ import as_frame
from .table import estimates, quantile

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class OfRows(FitMeasures):
    """Effects, predictions and influences with what is known of the parameters.

    Parameters
    ----------
    kind : str
        Which covariance.
    given : callable
        Rows, or sources of them, to predict for.
    matrix : (k, k) float64 array
        Covariance of the parameters.
    """

    kind: str
    given: Callable[[Any, Any], Any]
    matrix: Array

    @property
    def std_err(self) -> Array:
        """Standard errors."""
        return np.asarray(np.sqrt(np.maximum(self.matrix.diagonal(), 0.0)))

    @property
    @abstractmethod
    def df(self) -> float:
        """Degrees of t and F."""

    def marginal_effects(
        self, columns: Iterable[str] | None = None, *, discrete: Sequence[str] = (), level: float = 0.95
    ) -> Any:
        """Average marginal effects on the mean (the probability of the second class; of several classes on that of
        each, as "setosa:petal length"): one pass.

        Parameters
        ----------
        columns : iterable of str, optional
            Columns of the data; default: all. Of categories the effect of each level instead of the reference.
        discrete : sequence of str
            Columns of numbers, such as indicators, whose effect is that of 1 instead of 0.
        level : float
            Of the intervals.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            As `coef_table`, with "effect"; errors by the delta method, for the rows as given.

        Raises
        ------
        ValueError
            A formula makes the columns: how they move together is not known here.
        """
        self._refuse_formula("marginal effects")
        return self._effects(
            marginal_effects(self._design, self.information.data.total, columns, discrete), "effect", level
        )

    def average_predictions(self, at: Mapping[str, Any] | str | None = None, *, level: float = 0.95) -> Any:
        """Average predictions over the rows (probabilities of the second class, or of each of several): one pass.

        Parameters
        ----------
        at : str, mapping of str to values, or None
            Set a categorical column of every row to each of its levels, or a column to each of some values; None: the
            rows as they are.
        level : float
            Of the intervals.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            As `coef_table`, with "mean".

        Raises
        ------
        ValueError
            `at` names a column, and a formula makes the columns.
        """
        if at is not None:
            self._refuse_formula("averages at values of a column")
        return self._effects(average_predictions(self._design, self.information.data.total, at), "mean", level)

    def _refuse_formula(self, what: str) -> None:
        if (formula := self._design.fitted.formula) is not None:
            raise ValueError(
                f"{what} are of columns that move alone, and those of {formula!r} may move together: compare "
                "what predict() tells of the rows as they are and with the variable changed"
            )

    def _effects(self, effects: Effects, name: str, level: float) -> Any:
        errors = np.sqrt(np.maximum(((effects.gradients @ self.matrix) * effects.gradients).sum(axis=1), 0.0))
        return as_frame(estimates(effects.names, effects.values, errors, self.df, level, name))

    def predict(self, X: Any, *, offset: Any = None, level: float = 0.95) -> Any:
        """Predicted means (the probability of the second class) with their standard errors, for any rows.

        Parameters
        ----------
        X, offset
            As for the model's own `predict`. An unknown level that the model takes counts as its column's base level;
            without one it has no standard error, and is refused.
        level : float
            Of the interval of the mean, which is made on the scale of the linear predictor.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            Columns "mean", "std_err", "lower", "upper".
        """
        refuse_several(self._design, "errors of predictions")
        given = self.given(X, offset)
        data = Data.of(given, self.information.data.engine if not isinstance(given, Rows) else "threads", {})
        task = PredictedWithErrors(self._design, self.matrix, quantile(level, self.df))
        columns = np.concatenate(list(data.each(task)), axis=1)
        return as_frame(dict(zip(("mean", "std_err", "lower", "upper"), columns, strict=True)))

    def influence(self, path: str | PathLike[str] | None = None, *, dfbetas: bool = False) -> Any:
        """What each row has to say, in the order of the rows: one pass, written block by block where there is a path.

        Columns: "leverage", the share of its own fitted value that a row's target decides, by the expected
        information; "residual", Pearson's; "studentized", that over the square root of dispersion (1 - leverage); for
        the normal family "externally_studentized", with the dispersion of the other rows; "cooks_distance",
        studentized^2 leverage / ((1 - leverage) parameters). A row of weight 0 has NaN. What leaving a row out changes
        is told after one step of Fisher scoring, which is exact for the normal family (Williams, 1987). Of a row that
        counts several alike it is that of one of them.

        Parameters
        ----------
        path : path, optional
            Ends in ".parquet" or ".csv": one file. Without an ending: a new directory, of one Parquet file for each
            block, written by the workers.
        dfbetas : bool
            Whether to tell how far each parameter would fall if the row were left out, in its standard errors of this
            covariance: columns "dfbetas:age" and so on.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas; int
            The table of all rows; with a path the number of rows written.

        Raises
        ------
        ValueError
            There are several linear predictors, no likelihood, or `class_weight`.
        """
        refuse_several(self._design, "influences")
        fitted, information = self._design.fitted, self.information
        if not fitted.family.likelihood or fitted.class_weight is not None:
            why = "class_weight changes" if fitted.family.likelihood else f"the {fitted.family.loss} loss has not"
            raise ValueError(f"influences are those of rows on the maximum of their likelihood, which {why}")
        bread = information.bread(information.sums.expected)
        task = InfluenceOf(
            self._design,
            information.weights,
            bread,
            self.dispersion,
            self.df_model,
            self.df_residual,
            self.std_err if dfbetas else None,
        )
        if path is not None:
            return write(path, task, information.data.each, "influences")
        table = pa.concat_tables(information.data.each(task))
        return as_frame({name: table[name].to_numpy() for name in table.column_names})
