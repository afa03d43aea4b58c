"""Tables and curves by prediction."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..inference.pandas_ import as_frame
from ..wording.arguments import check_whole
from .histogram import Histogram
from .ranking import Ranked, lorenz, thinned
from .sums import parts_of, summed
from .whole import Whole

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ByPrediction(Whole):
    """Calibration, lift and curves."""

    def calibration(self, bins: int = 10, strategy: str = "quantile", label: Any = None) -> Any:
        """Actual against expected by prediction.

        Parameters
        ----------
        bins : int
            Parts; those without rows are left out.
        strategy : {"quantile", "uniform"}
            Parts of equal weight; or, of probabilities, of equal width.
        label : object, optional
            Which class, where there are more than two.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            A row for each part, from the lowest predictions to the highest. Columns "lower" and "upper", the
            predictions that it holds; "rows", "weight", "actual" and "expected", the means of targets and predictions,
            and "ratio", of the first to the second.
        """
        self._need_means("calibration")
        check_whole("bins", bins, 1)
        scores = self._scores(label)
        if strategy == "quantile":
            part = scores.parts(bins)
        elif strategy == "uniform":
            if self._labels is None:
                raise ValueError('strategy="uniform" is for probabilities, which are between 0 and 1: use "quantile"')
            part = np.minimum((scores.lower * bins).astype(np.intp), bins - 1)
        else:
            raise ValueError(f'strategy must be "quantile" or "uniform", got {strategy!r}')
        return as_frame(parts_of(scores, part, 0))

    def lift(self, bins: int = 10, label: Any = None) -> Any:
        """What the highest predictions catch.

        Parameters
        ----------
        bins : int
            Parts of equal weight, from the highest predictions down.
        label : object, optional
            Which class, where there are more than two.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            Columns "share", of the weight down to here; "lower", the least prediction; "weight"; "actual", the mean of
            the targets; "lift", that over the mean of all; "gain", the share of the targets down to here, and
            "cumulative_lift", gain over share.
        """
        check_whole("bins", bins, 1)
        scores = self._amounts(label, "lift and gain")
        part = scores.parts(bins)
        sums = summed(scores, part)[::-1]
        weight, actual = sums[:, 0], sums[:, 2]
        share, gain = weight.cumsum() / weight.sum(), actual.cumsum() / actual.sum()
        first = np.append(0, np.flatnonzero(np.diff(part)) + 1)
        return as_frame(
            {
                "share": share,
                "lower": scores.lower[first][::-1],
                "weight": weight,
                "actual": actual / weight,
                "lift": (actual / weight) / (actual.sum() / weight.sum()),
                "gain": gain,
                "cumulative_lift": gain / share,
            }
        )

    def roc_curve(self, points: int | None = 1000, label: Any = None) -> Any:
        """True against false positives by threshold.

        Parameters
        ----------
        points : int or None
            At the most; None for one at each cell of the predictions.
        label : object, optional
            Which class, where there are more than two.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            Columns "threshold", the least prediction that is called positive (infinite in the first row), "fpr",
            "tpr": shares of the others, and of the class.
        """
        ranked = self._ranked(label)
        true, false = ranked.until
        chosen = _points(len(true), points)
        threshold = np.append(np.inf, ranked.threshold)
        return as_frame(
            {"threshold": threshold[chosen], "fpr": (false / false[-1])[chosen], "tpr": (true / true[-1])[chosen]}
        )

    def precision_recall_curve(self, points: int | None = 1000, label: Any = None) -> Any:
        """Precision against recall by threshold, from the highest down.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            Columns "threshold", "precision", "recall"; in the first row nothing is called positive, with precision 1.
        """
        ranked = self._ranked(label)
        true, false = ranked.until
        chosen = _points(len(true), points)
        precision = np.append(1.0, true[1:] / (true[1:] + false[1:]))
        threshold = np.append(np.inf, ranked.threshold)
        recall = true / true[-1]
        return as_frame({"threshold": threshold[chosen], "precision": precision[chosen], "recall": recall[chosen]})

    def lorenz_curve(self, points: int | None = 1000, label: Any = None) -> Any:
        """Shares of the targets against shares of the weight, from the lowest predictions to the highest.

        Returns
        -------
        pandas.DataFrame, or pyarrow.Table without pandas
            Columns "share", "actual".
        """
        share, actual = lorenz(self._amounts(label, "Lorenz curves"), 2)
        chosen = _points(len(share), points)
        return as_frame({"share": share[chosen], "actual": actual[chosen]})

    def _ranked(self, label: Any) -> Ranked:
        if self._labels is None:
            raise ValueError("these are numbers, which have no true and false positives: see lorenz_curve and lift")
        ranked = Ranked.of(self._scores(label))
        if not (ranked.positive.any() and ranked.negative.any()):
            raise DataError("the rows are of one class: there is nothing to tell it from")
        return ranked

    def _amounts(self, label: Any, what: str) -> Histogram:
        """Sums by prediction, of targets whose shares mean something."""
        scores = self._scores(label)
        if self.compared.targets is not None and self.compared.targets.lower[0] < 0:
            raise ValueError(f"{what} are of shares of the targets, some of which are negative: see calibration")
        if not scores.sums[:, 2].any():
            raise DataError("all targets are zero, or none is of the class: they have no shares")
        return scores


def _points(length: int, points: int | None) -> Array:
    if points is not None:
        check_whole("points", points, 2)
    return thinned(length, points)
