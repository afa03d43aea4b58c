"""How good predictions are as a whole, and class by class."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..inference.data import Data
from ..inference.design import FittedLinear
from ..inference.pandas_ import as_frame
from ..wording.messages import shortened
from .compared import Compared, Scoring
from .histogram import Histogram
from .ranking import Ranked, gini
from .sums import summed

Array = npt.NDArray[Any]

# The parts of `calibration_error`.
_PARTS = 10


@dataclass(frozen=True, eq=False)
class Whole:
    """A model, rows, and what one pass over them told.

    Parameters
    ----------
    scoring : Scoring
    data : Data
    compared : Compared
    looked_at : tuple of int
        Numbers of the columns of the data that were looked at.
    precision : bool
        Whether weights divide variances, rather than count rows.
    """

    scoring: Scoring
    data: Data
    compared: Compared
    looked_at: tuple[int, ...]
    precision: bool

    @property
    def _fitted(self) -> FittedLinear:
        return self.scoring.fitted

    @property
    def _labels(self) -> list[Any] | None:
        """The class of each of the predictions; None of numbers."""
        if self._fitted.classes is None:
            return None
        labels: list[Any] = self._fitted.classes.tolist()
        return labels if len(self.compared.scores) > 1 else labels[1:]

    @property
    def labels(self) -> list[Any]:
        """What `label` may be: classes, of two the second; of numbers None."""
        return self._labels or [None]

    @property
    def has_shares(self) -> bool:
        """Whether shares of the targets mean something: none is negative, and not all are zero."""
        targets = self.compared.targets
        return (targets is None or bool(targets.lower[0] >= 0)) and bool((self.compared.actual > 0).all())

    @property
    def n_rows(self) -> int:
        """Rows of a positive weight."""
        return self.compared.rows

    @property
    def weight(self) -> float:
        """Sum of the sample weights."""
        return self.compared.weight

    @property
    def weights(self) -> str:
        """What sample weights mean: "frequency" or "precision"."""
        return "precision" if self.precision else "frequency"

    @property
    def columns(self) -> tuple[str, ...]:
        """Which columns `by_column` tells of."""
        names = self._fitted.features.data_names()
        return (*(names[number] for number in self.looked_at), *self.others)

    @property
    def others(self) -> tuple[str, ...]:
        """Those of them that the model has not."""
        return tuple(one.name for one in self.compared.others)

    @property
    def dispersion(self) -> float:
        """Pearson's dispersion."""
        if self._labels is not None:
            raise ValueError("labels have no dispersion: it is of models of numbers")
        if not self._left > 0:
            raise DataError("a dispersion needs more rows than there are coefficients")
        return self.compared.pearson / self._left

    @property
    def _left(self) -> float:
        """Rows less coefficients."""
        fitted = self._fitted
        used = int(np.count_nonzero(fitted.coef)) + bool(fitted.fit_intercept)
        if fitted.fit_intercept:  # beside which the levels of a category tell one coefficient less
            used = max(used - len(fitted.features.levels), 1)
        return (float(self.n_rows) if self.precision else self.weight) - used

    @property
    def measures(self) -> dict[str, float]:
        """Numbers that say how good the predictions are.

        rows, weight; actual and expected, the weighted means of targets and predictions (of two classes the share of
        the second one), and ratio, of the first to the second; calibration_error, the mean distance of actual from
        expected over ten parts of equal weight by prediction. Of classes auc, average_precision, gini = 2 auc - 1 and
        brier, the mean squared error of probabilities; of several classes means over each against the rest, and brier
        their sum. Of numbers gini, how far the actual amounts lie with the highest predictions, from 0 of a random
        order to gini_perfect of the targets' own, and gini_share, of the first in the second; dispersion. Each of auc,
        average_precision and gini has an error, such as auc_error, that says how far off it may be at the most; 0 where
        there are no more distinct predictions than cells. LinearSVC has no probabilities, and so none of what needs
        them.
        """
        compared, weight = self.compared, self.weight
        told: dict[str, float] = {"rows": float(self.n_rows), "weight": weight}
        of_one = len(compared.scores) == 1
        if of_one:
            told["actual"] = float(compared.actual[0]) / weight
        if of_one and self.scoring.has_means:
            told["expected"] = float(compared.expected[0]) / weight
            told["ratio"] = told["actual"] / told["expected"] if told["expected"] else np.nan
        if self._labels is not None:
            areas = [self._areas(scores) for scores in compared.scores]
            for name in areas[0]:
                told[name] = float(np.mean([each[name] for each in areas]))
        else:
            told |= self._of_amounts()
        if self.scoring.has_means:
            told["calibration_error"] = float(np.mean([self._off(scores) for scores in compared.scores]))
            if self._labels is not None:
                told["brier"] = compared.squares / weight
            elif self._left > 0:
                told["dispersion"] = self.dispersion
        return told

    @staticmethod
    def _areas(scores: Histogram) -> dict[str, float]:
        ranked = Ranked.of(scores)
        roc, precision = ranked.roc_area(), ranked.average_precision()
        return {
            "auc": roc.value,
            "auc_error": roc.error,
            "average_precision": precision.value,
            "average_precision_error": precision.error,
            "gini": 2.0 * roc.value - 1.0,
            "gini_error": 2.0 * roc.error,
        }

    def _of_amounts(self) -> dict[str, float]:
        """Gini's of targets that are not negative; of others nothing."""
        assert self.compared.targets is not None
        if self.compared.targets.lower[0] < 0:
            return {}
        found = gini(self.compared.scores[0], 2)
        best = gini(self.compared.targets, 1)
        told = {"gini": found.value, "gini_error": found.error, "gini_perfect": best.value}
        return told | {"gini_share": found.value / best.value if best.value else np.nan}

    @staticmethod
    def _off(scores: Histogram) -> float:
        weight, _, actual, expected = summed(scores, scores.parts(_PARTS)).T
        return float(np.abs(actual - expected).sum() / weight.sum())

    def by_class(self) -> Any:
        """Each class against the rest, or the second of two against the first.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            Columns "actual", "expected", "auc", "average_precision", "gini", their errors, "calibration_error".
        """
        if self._labels is None:
            raise ValueError("these are numbers, which have no classes: see measures")
        columns: dict[str, Any] = {"name": self._labels, "actual": self.compared.actual / self.weight}
        if self.scoring.has_means:
            columns["expected"] = self.compared.expected / self.weight
        areas = [self._areas(scores) for scores in self.compared.scores]
        columns |= {name: np.array([each[name] for each in areas]) for name in areas[0]}
        if self.scoring.has_means:
            columns["calibration_error"] = np.array([self._off(scores) for scores in self.compared.scores])
        return as_frame(columns)

    def _number(self, label: Any) -> int:
        labels = self._labels
        if labels is None or len(labels) == 1:
            if label is not None and label not in (labels or ()):
                told = "numbers have no classes" if labels is None else f"of two classes it is {labels[0]!r}"
                raise ValueError(f"label {label!r}: {told}, leave it out")
            return 0
        if label not in labels:
            raise ValueError(f"label must say which class, one of {shortened(labels)}, got {label!r}")
        return labels.index(label)

    def _scores(self, label: Any) -> Histogram:
        return self.compared.scores[self._number(label)]

    def _need_means(self, what: str) -> None:
        if not self.scoring.has_means:
            raise ValueError(
                f"{what} needs probabilities, which the squared hinge has not: use LogisticRegression, or see roc_curve"
            )
