"""Predictions block by block: what workers do with a fitted model and a source."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..errors import DataError
from ..models.describe import describe, not_finite
from ..models.linear import bad_offset
from ..protocols.rows import Rows, Source, is_sparse
from ..protocols.schema import Problem
from ..wording.messages import located
from ._measures import Tally

Array = npt.NDArray[Any]


def check_rows(rows: Rows, source: Any) -> None:
    """Refuse rows that cannot be predicted for: wrong shapes, and features or offsets that are not finite.

    Raises
    ------
    DataError
        Names the first such row.
    """
    targets = replace(rows, y=np.zeros(rows.X.shape[0]), weight=None)  # not looked at
    found = [describe(targets, str(source), labels=False).problem, bad_offset(rows, str(source))]
    refuse_problem(min(filter(None, found), key=lambda problem: problem.row, default=None), source)


def check_finite(rows: Rows, source: Any) -> None:
    """Refuse features and offsets that are not finite: what `check_rows` does, of which nothing is compiled.

    Raises
    ------
    DataError
        Names the first such row.
    """
    values = rows.X.data if is_sparse(rows.X) else rows.X
    with np.errstate(over="ignore", invalid="ignore"):
        may_be = not np.isfinite(values.sum())  # or they are so large that their sum is not
    wrong = ~np.isfinite(values) if may_be else np.zeros(0, bool)
    found = [] if (problem := bad_offset(rows, str(source))) is None else [problem]
    if wrong.any():
        if is_sparse(rows.X):
            place = int(np.flatnonzero(wrong)[0])
            row, column = int(np.searchsorted(rows.X.indptr, place, "right")) - 1, int(rows.X.indices[place])
            value = values[place]
        else:
            row, column = (int(one) for one in np.argwhere(wrong)[0])
            value = values[row, column]
        name = rows.names[column] if rows.names else column
        found.append(Problem(row, name, not_finite("input X", value), str(source), row))
    refuse_problem(min(found, key=lambda problem: problem.row, default=None), source)


def refuse_problem(problem: Problem | None, source: Any) -> None:
    """Tell of the first row that cannot be used, if there is one."""
    if problem is not None:
        column = "" if problem.column is None else f", column {problem.column!r}"
        raise DataError(f"{located(source, problem.row)}{column}: {problem.what}")


@dataclass(frozen=True)
class Predict:
    """What a method of a model makes of the linear predictors of a block's rows."""

    model: Any
    formula: Callable[[Any, Array], Array]

    def __call__(self, index: int, source: Source) -> Array:
        return np.asarray(self.formula(self.model, self.model._eta(source.read(), source)))


@dataclass(frozen=True)
class PredictTable:
    """The predictions for a block as a table, behind the columns that its source keeps."""

    model: Any
    probabilities: bool
    with_kept: bool = False

    def __call__(self, index: int, source: Any) -> pa.Table:
        rows, kept = source.read_with_kept() if self.with_kept else (source.read(), None)
        table: pa.Table = self.model.predictions(rows, source, self.probabilities)
        if kept is None:
            return table
        twice = [name for name in table.column_names if name in kept.column_names]
        if twice:
            raise DataError(f"a column that is kept is named {twice[0]!r}, as the predictions are: rename it")
        for name in reversed(kept.column_names):
            table = table.add_column(0, name, kept[name])
        return table


@dataclass(frozen=True)
class Evaluate:
    """Sums over the rows of a block that tell how good a model is."""

    model: Any

    def __call__(self, index: int, source: Source) -> Tally:
        tally: Tally = self.model._tally_of(source.read(), source)
        return tally
