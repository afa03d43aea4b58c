"""`Checks`: how well a fitted model describes rows, from their predictions and targets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.special import ndtri

from ..data.written import write
from ..errors import DataError
from ..inference.data import Data
from ..inference.design import Design, FittedLinear
from ..inference.matplotlib_ import new_axes
from ..inference.notices import OVER_DISPERSED, fractional, over_dispersed
from ..inference.pandas_ import as_frame
from ..inference.weights import check_meaning
from ..run.result import Notice
from ..wording.arguments import check_whole, is_number
from ..wording.messages import shortened
from .by_prediction import ByPrediction
from .compared import Compare, Compared, Scoring
from .drawing import PLOTS, draw_column
from .histogram import Histogram
from .inflation import Inflation, ScatterOf, inflation
from .ranking import Ranked
from .residuals import Residuals, ResidualsByValue
from .summary import facts_of, summary_of
from .sums import means_of, parts_of

Array = npt.NDArray[Any]

# Columns of the data that are looked at unless they are named, and of the model whose matrix is made unasked.
MOST_COLUMNS, _MOST_TOLD = 100, 1000

# Variance inflation that is worth a word, and a share that a model takes for nothing.
_INFLATED, _NOTHING = 10.0, 1e-6


@dataclass(frozen=True, eq=False)
class Checks(ByPrediction):
    """How well a fitted model describes rows, those of its fit or others; `model.checks(...)` makes it.

    Making it is one pass over the rows, and its tables are made of sums by value, whose size does not grow with the
    rows: predictions and numbers of columns share a cell where there are more distinct ones than cells, so that what
    depends on their order has a bound of its error. Methods say which need a pass of their own.

    Attributes
    ----------
    n_rows : int
        Rows of a positive weight.
    weight : float
        Sum of the sample weights.
    dispersion : float
        Pearson's, of models of numbers: squared residuals over the variance at 1, by N less the coefficients other
        than zero. About 1 for counts that are Poisson's.
    columns : tuple of str
        Which columns `by_column` tells of.
    """

    @classmethod
    def of(
        cls, fitted: FittedLinear, data: Data, unknown: Any, columns: Sequence[str] | None, weights: str | None
    ) -> "Checks":
        """Of a model and rows: one pass."""
        check_meaning(weights)
        if fitted.family.loss in ("huber", "quantile"):
            raise ValueError(
                f"the {fitted.family.loss} loss predicts neither means nor labels, which checks compare with what is "
                "there: see evaluate"
            )
        looked_at = _numbers(columns, fitted.features.data_names())
        scoring = Scoring(fitted, unknown)
        compared: Compared = data.total(Compare(scoring, looked_at, data.beside))
        if not compared.rows:
            raise DataError("no row has a positive weight: nothing can be told")
        trials = weights is None and fitted.family.loss == "binomial" and compared.fractions > 0 and compared.weighed
        return cls(scoring, data, compared, looked_at, weights == "precision" or trials)

    # --- by column --------------------------------------------------------------------------------------------------

    def by_column(self, column: str, bins: int = 10, label: Any = None) -> Any:
        """Actual against expected by a column of the data.

        Parameters
        ----------
        column : str
            One of `columns`; it need not be one of the model.
        bins : int
            Parts of equal weight that numbers are told by; where there are no more distinct ones, each by itself.
            Categories are told by level. Of columns that the model has not missing values are told in the last row.
        label : object, optional
            Which class, where there are more than two.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            As `calibration`; of categories the names are the levels; those that the fit has not seen are told together,
            and their name is missing.
        """
        self._need_means("actual against expected")
        check_whole("bins", bins, 1)
        if column not in self.columns:
            raise ValueError(f"column {column!r} was not looked at: those are {shortened(self.columns) or 'none'}")
        which, k = self.columns.index(column), self._number(label)
        if column in self.others:
            return as_frame(self.compared.others[which - len(self.looked_at)].table(bins, k))
        number, sums = self.looked_at[which], self.compared.columns[which]
        if isinstance(sums, Histogram):
            distinct = len(sums.keys) <= bins
            return as_frame(parts_of(sums, np.arange(len(sums.keys)) if distinct else sums.parts(bins), k))
        levels = [*self._fitted.features.levels[number - self._fitted.features.numeric].tolist(), None]
        there = np.flatnonzero(sums[:, 0] > 0)
        return as_frame({"name": [levels[row] for row in there], **means_of(sums[there], k)})

    # --- residuals --------------------------------------------------------------------------------------------------

    def quantile_residuals(
        self,
        path: str | PathLike[str] | None = None,
        *,
        seed: int = 0,
        dispersion: float | None = None,
    ) -> Any:
        """Randomised quantile residuals, in the order of the rows: one pass.

        They are standard normal if the model is right, whatever its family: the quantile, in the normal distribution,
        of the probability of a lower target than the row's own; where targets have jumps a random point within (Dunn
        and Smyth, 1996). What is random depends on the number of the row and the seed.

        Parameters
        ----------
        path : path, optional
            Ends in ".parquet" or ".csv": one file. Without an ending: a new directory, of one Parquet file for each
            block, written by the workers.
        seed : int
        dispersion : float, optional
            Of the normal, gamma, inverse Gaussian and Tweedie families; default: Pearson's of these rows.

        Returns
        -------
        (n,) float64 array; int
            NaN for rows of weight 0; with a path the number of rows written.

        Raises
        ------
        ValueError
            There are several classes, or no likelihood.
        DataError
            A target of Poisson's family is no count.
        """
        task = self._residuals(seed, dispersion)
        if path is not None:
            return write(path, task, self.data.each, "residuals")
        return pa.concat_tables(self.data.each(task))["residual"].to_numpy()

    def residual_quantiles(self, points: int = 99, *, seed: int = 0, dispersion: float | None = None) -> Any:
        """Quantiles of the quantile residuals beside the normal distribution's: one pass.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            Columns "probability", "normal", "residual": on a line of slope 1 if the model is right. Residuals share
            cells that are narrow in proportion to their size, one part in a thousand or less.
        """
        check_whole("points", points, 1)
        by_value = self.data.total(ResidualsByValue(self._residuals(seed, dispersion)))
        weight = by_value.sums[:, 0]
        until = (weight.cumsum() - 0.5 * weight) / weight.sum()
        probability = np.arange(1, points + 1) / (points + 1)
        middle = by_value.sums[:, 1] / weight
        return as_frame(
            {
                "probability": probability,
                "normal": ndtri(probability),
                "residual": np.interp(probability, until, middle),
            }
        )

    def _residuals(self, seed: int, dispersion: float | None) -> Residuals:
        check_whole("seed", seed, 0)
        family = self._fitted.family
        if not family.likelihood or len(self.compared.scores) > 1:
            why = "several classes have no order" if family.likelihood else f"the {family.loss} loss is no likelihood"
            raise ValueError(f"quantile residuals are probabilities of a lower target, and {why}")
        form, power = family.of_mean.variance
        if form == "power" and not (power in (0.0, 3.0) or 1.0 <= power <= 2.0):
            raise ValueError(
                f"quantile residuals are probabilities of a lower target: those of power {power:g} have no formula; "
                "there are those of powers 0, 1 to 2, and 3"
            )
        if dispersion is None:
            dispersion = self.dispersion if family.dispersed else 1.0
        elif not (family.dispersed and is_number(dispersion) and 0 < dispersion < np.inf):
            raise ValueError(
                "dispersion must be a positive number, and is of the normal, gamma, inverse Gaussian and Tweedie "
                f"families alone, got {dispersion!r}"
            )
        if not dispersion > 0:
            raise DataError("the residuals are zero: with no dispersion there is nothing to tell")
        read = np.array([0, *self.compared.read])
        return Residuals(self.scoring, tuple(read.cumsum()[:-1].tolist()), seed, dispersion, self.precision)

    # --- what columns have in common --------------------------------------------------------------------------------

    @cached_property
    def _inflation(self) -> Inflation:
        fitted = replace(self._fitted, coef=self._fitted.coef[:1], intercept=self._fitted.intercept[:1])
        design = Design.of(fitted)
        return inflation(design, self.data.total(ScatterOf(self.scoring, design)))

    def vif(self) -> Any:
        """Variance inflation factors of the columns of the data: one pass, the first time.

        By how much the other columns multiply the variance of a coefficient of least squares: 1 / (1 - R^2) of the
        column by the others. Of categories, generalised: the squared volume of the confidence region of all levels (Fox
        and Monette, 1992). NaN without variation, infinite for combinations of other columns.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            Columns "vif"; "df", the coefficients of the column; "scaled", vif^(1 / (2 df)), which compares columns of
            different df: of a number the square root of vif, the factor of its standard error.
        """
        factors = self._inflation.factors
        values = np.array([factor for factor, _ in factors.values()])
        counts = np.array([count for _, count in factors.values()])
        scaled = values ** (0.5 / np.maximum(counts, 1))
        return as_frame({"name": list(factors), "vif": values, "df": counts, "scaled": scaled})

    def notices(self) -> tuple[Notice, ...]:
        """What the reader of the numbers must know: each has a code, which docs/checks.md explains, and words.

        One pass, the first time, for what columns have in common, if there are no more than 1,000 in the model.
        """
        return (*self._of_predictions(), *(self._of_columns() if self.can_inflate else ()))

    @property
    def can_inflate(self) -> bool:
        """Whether there are so few columns that what they have in common is told without being asked for."""
        return self._fitted.features.size <= _MOST_TOLD

    # --- to be read -------------------------------------------------------------------------------------------------

    def summary(self, by: Sequence[str] = (), bins: int = 10) -> str:
        """Measures, notices and short tables, as text of 80 columns; one pass, the first time.

        Parameters
        ----------
        by : sequence of str
            Columns by which actual is held against expected.
        bins : int
            Parts of tables.
        """
        return summary_of(self, by, bins)

    def as_dict(self, by: Sequence[str] = (), bins: int = 10) -> dict[str, Any]:
        """What `summary` tells and more, ready for JSON; None for what is not finite."""
        return facts_of(self, by, bins)

    def plot(self, which: str | Sequence[str] | None = None, ax: Any = None, *, label: Any = None) -> Any:
        """Draw a table, or several; needs matplotlib.

        Parameters
        ----------
        which : str or sequence of str, optional
            "calibration", "roc", "precision-recall", "gain", "lorenz", "residuals" (one pass), or one of `columns`;
            default: all but columns that there are.
        ax : matplotlib Axes, optional
            To draw one on; default: new ones.
        label : object, optional
            Which class, where there are more than two.

        Returns
        -------
        matplotlib Axes, or a list of them
        """
        chosen = [which] if isinstance(which, str) else list(which or self._drawn)
        for one in chosen:
            if one not in PLOTS and one not in self.columns:
                raise ValueError(f"which: {one!r} is none of {', '.join(PLOTS)}, and no column that was looked at")
        if ax is not None and len(chosen) > 1:
            raise ValueError(f"ax is for one plot, there are {len(chosen)}: leave it out")
        given = [ax] if ax is not None else np.ravel(new_axes(1, len(chosen))).tolist()
        for one, on in zip(chosen, given, strict=True):
            PLOTS[one](self, on, label) if one in PLOTS else draw_column(self, one, on, label)
        return given[0] if isinstance(which, str) else given

    @property
    def _drawn(self) -> list[str]:
        """Plots that there are."""
        labels, several = self._labels is not None, len(self.compared.scores) > 1
        share = float(self.compared.actual[0]) / self.weight
        there = {
            "calibration": self.scoring.has_means,
            "roc": several or (labels and 0 < share < 1),
            "precision-recall": several or (labels and 0 < share < 1),
            "gain": self.has_shares,
            "lorenz": self.has_shares and not labels,
            "residuals": self._fitted.family.likelihood and not several,
        }
        return [name for name, is_there in there.items() if is_there]

    def _of_predictions(self) -> Iterator[Notice]:
        fitted = self._fitted
        trials = self.precision and fitted.family.loss == "binomial" and self.compared.fractions > 0
        if (
            (fitted.family.loss == "poisson" or trials)
            and self._left > 0
            and (ratio := self.dispersion) > OVER_DISPERSED
        ):
            yield Notice(
                "over-dispersed",
                f"Pearson's dispersion is {ratio:.3g}: {over_dispersed(trials)}; ask for robust errors, and look for "
                "what is missing in by_column",
            )
        if words := fractional(fitted.family.loss, self.compared, self.precision):
            yield Notice("weights-of-means", words)
        for label, scores in zip(self._labels or [], self.compared.scores, strict=False):
            if Ranked.of(scores).separated:
                yield Notice(
                    "separable",
                    f"the predictions separate class {label!r} from the rest: without a penalty the optimum on such "
                    "rows is at infinity; add one, and look for a column that knows the label",
                )
                break
        names = [
            f"{column}={level}" for column in self.columns[: len(self.looked_at)] for level in self._decided(column)
        ]
        if names:
            yield Notice(
                "separable",
                f"levels that decide the target, by what is there and by what is predicted: {shortened(names)}; their "
                "coefficients would grow for ever. Merge them with others, or add a penalty",
            )

    def _decided(self, column: str) -> list[Any]:
        """Levels of a categorical column all of whose rows are of one class, or zero, as the model says too."""
        which = self.columns.index(column)
        number, sums = self.looked_at[which], self.compared.columns[which]
        positive = self._labels is not None or self._fitted.family.loss in ("poisson", "tweedie")
        if isinstance(sums, Histogram) or not positive or not self.scoring.has_means:
            return []
        weight, actual, expected = sums[:-1, :1], sums[:-1, 2::2], sums[:-1, 3::2]
        scale = 1.0 if self._labels is not None else self.compared.actual / self.weight
        decided = (actual == 0) & (expected <= _NOTHING * weight * scale)
        if self._labels is not None:
            decided |= (actual >= weight) & (expected >= (1.0 - _NOTHING) * weight)
        levels = self._fitted.features.levels[number - self._fitted.features.numeric].tolist()
        return [levels[row] for row in np.flatnonzero((decided & (weight > 0)).any(axis=1))]

    def _of_columns(self) -> Iterator[Notice]:
        found = self._inflation
        if found.constant:
            yield Notice("constant-columns", f"without variation: {shortened(found.constant)}")
        if found.combined:
            yield Notice(
                "collinear-columns",
                f"combinations of the others: {shortened(found.combined, 8)}. Leave one out, or add a penalty",
            )
        inflated = [
            name
            for name, (factor, count) in found.factors.items()
            if _INFLATED < factor ** (1.0 / max(count, 1)) < np.inf
        ]
        if inflated:
            yield Notice(
                "inflated-variance",
                f"the other columns tell most of {shortened(inflated)}: their coefficients have large errors and share "
                "one effect; see vif. Predictions are none the worse",
            )


def _numbers(columns: Sequence[str] | None, names: list[str]) -> tuple[int, ...]:
    if columns is None:
        return tuple(range(len(names) if len(names) <= MOST_COLUMNS else 0))
    chosen = [columns] if isinstance(columns, str) else list(columns)
    return tuple(names.index(name) for name in dict.fromkeys(chosen) if name in names)


def others_of(columns: Sequence[str] | None, names: Sequence[str]) -> list[str]:
    """Those of the columns that are asked for that the model, whose columns have these names, has not."""
    chosen = [columns] if isinstance(columns, str) else list(columns or ())
    return [name for name in dict.fromkeys(chosen) if name not in names]
