"""A linear model with what is told of each row by its global number: the folds it is in, and further targets."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..protocols.rows import Rows
from ..protocols.sampling import Draw
from ..protocols.schema import Description, Schema
from ._linear_block import LinearBlock

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ByRow:
    """A linear model whose rows are in memory, so that tables with an entry for each of them can go along.

    Parameters
    ----------
    model : Model
        That builds a `LinearBlock`.
    dealt : Dealt, optional
        Which rows the folds have, instead of what the hash of a row's number says.
    targets : (n, t) float64 array, optional
        Targets of which `Squares` brings the sums, all in one matrix, where the last t columns are theirs; everything
        else is asked of the targets that the sources bring.
    """

    model: Any
    dealt: "Dealt | None" = None
    targets: Array | None = None

    takes_categories: ClassVar[bool] = True

    def describe(self, rows: Rows, source: str) -> Description:
        """Check and describe a block's rows."""
        described: Description = self.model.describe(rows, source)
        return described

    def build(self, rows: Rows, schema: Schema, first_row: int) -> LinearBlock:
        """The block of these rows."""
        for table in (None if self.dealt is None else self.dealt.times, self.targets):
            told = schema.n_rows if table is None else table.shape[0 if table is self.targets else -1]
            if told != schema.n_rows:
                raise DataError(
                    f"folds or targets are told of {told} rows and {schema.n_rows} are left: fill in what is missing, "
                    "or leave such rows out, before"
                )
        block: LinearBlock = self.model.build(rows, schema, first_row)
        here = slice(first_row, first_row + rows.X.shape[0])
        if self.dealt is not None:
            block.dealt = self.dealt.of_rows(here)
        if self.targets is not None:
            block.targets = self.targets[here], self._middle
        return block

    @cached_property
    def _middle(self) -> Array:
        """What is subtracted from the targets, so that squares are small."""
        assert self.targets is not None
        return np.asarray(self.targets.mean(axis=0))


@dataclass(frozen=True, eq=False)
class Dealt:
    """Which rows are in which fold.

    Parameters
    ----------
    times : (n,) or (parts, n) int array
        The number of each row's fold; or how often each part counts each row, where parts are told one by one since
        they are no folds that each row is in one of.
    """

    times: Array

    def of_rows(self, rows: slice) -> "Dealt":
        """Those of some rows."""
        return Dealt(self.times[..., rows])

    @property
    def exclusive(self) -> bool:
        """Whether each row is in one fold."""
        return self.times.ndim == 1

    def weights(self, draw: Draw) -> Array:
        """How often the draw of a fold counts each row, (n,) float64 array."""
        if not self.exclusive:
            if draw.form != "only":
                raise ValueError(f"rows that are dealt part by part are drawn by 'only', not {draw.form!r}")
            return self.times[draw.number].astype(np.float64)
        in_fold = self.times == draw.number
        return (in_fold if draw.form == "only" else ~in_fold).astype(np.float64)
