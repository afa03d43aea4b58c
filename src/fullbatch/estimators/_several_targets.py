"""Several targets of a row: a matrix beside rows in memory, which is given to their sources by the rows' numbers."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.arrays import ArraySource
from ..data.arrow import as_table
from ..data.beside import check_indexes, only, values_of
from ..data.kinds import Kind, kind_of
from ..errors import DataError
from ..protocols.rows import Rows

Array = npt.NDArray[Any]

_ELSEWHERE = (Kind.SOURCES, Kind.DASK_FRAME, Kind.DASK_ARRAY, Kind.RAY_DATASET)


def split_targets(X: Any, y: Any) -> tuple[Any, Any, Array | None]:
    """X without its targets, y, and the matrix of several targets: y is then the numbers of its rows.

    Parameters
    ----------
    X, y : as for `fit`
        y may be a matrix, a frame, or a list of names of columns of X.

    Raises
    ------
    DataError
        There are several targets where there can be one only.
    """
    named = isinstance(y, list | tuple) and len(y) > 0 and all(isinstance(name, str) for name in y)
    if not named:
        one = y is None or isinstance(y, str) or hasattr(y, "__dask_graph__")
        shape = () if one else getattr(y, "shape", None) or np.asarray(y, object).shape
        if len(shape) != 2 or shape[1] == 1:
            return X, y, None
    if kind_of(X) in _ELSEWHERE:
        raise DataError(
            f"several targets must be in memory beside rows in memory, X is a {type(X).__name__}: give arrays or a "
            "frame, or fit each target alone"
        )
    if named:
        names = list(y)
        y = only(X, names, "the table")
        if hasattr(X, "drop_columns"):  # of Arrow
            X = X.drop_columns(names)
        else:
            X = X.drop(columns=names) if hasattr(X, "iloc") else X.drop(names)
    check_indexes(X, {"target": y})
    matrix = values_of(y) if not hasattr(y, "column_names") else np.column_stack([c.to_numpy() for c in as_table(y)])
    try:
        several = np.asarray(matrix, np.float64)
    except (TypeError, ValueError):
        raise DataError("target y has several columns, which must be numbers: correct them, or give one") from None
    if several.shape[1] == 1:
        return X, several[:, 0], None
    return X, np.arange(len(several)), np.ascontiguousarray(several)


def rows_of_targets(rows: Rows, several: Array) -> Rows:
    """Rows with their targets in place of the numbers of these."""
    assert rows.y is not None
    return replace(rows, y=several[np.asarray(rows.y).astype(np.intp)])


def sources_with_targets(sources: list[Any], several: Array) -> list[Any]:
    """Sources of rows in memory, with their targets in place of the numbers of these."""
    return [
        replace(source, y=several[source.y]) if isinstance(source, ArraySource) else _WithTargets(source, several)
        for source in sources
    ]


@dataclass(frozen=True, eq=False)
class _WithTargets:
    """A source whose rows have several targets.

    Parameters
    ----------
    source : Source
        Whose targets are the numbers of the rows of `several`.
    several : (n, targets) float64 array
        Of all rows.
    """

    source: Any
    several: Array

    def read(self) -> Rows:
        return rows_of_targets(self.source.read(), self.several)

    def __str__(self) -> str:
        return str(self.source)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "source":
            raise AttributeError(name)
        return getattr(self.source, name)
