"""What `fit` and `predict` accept: arrays, frames, and sources."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..data.arrays import array_sources, is_dask_array
from ..data.arrow import is_table
from ..data.frames import is_spread, table_sources
from ..data.table import TableSource
from ..errors import DataError, located
from ..models.describe import describe
from ..models.linear import bad_offset
from ..protocols.rows import Rows, Source
from ..protocols.schema import Features, Problem

Array = npt.NDArray[Any]


def is_sources(X: Any) -> bool:
    """Whether X is a source, or a list or iterator of sources."""
    if hasattr(X, "read") or isinstance(X, Iterator):
        return True
    return isinstance(X, Sequence) and len(X) > 0 and all(hasattr(source, "read") for source in X)


def listed(sources: Any) -> list[Source]:
    """A source, or several, as a list."""
    return [sources] if hasattr(sources, "read") else list(sources)


def first_column(sources: list[Any]) -> bool | None:
    """Whether the sources' columns are counted from 0 or from 1, where their files do either; None where they do not.

    Raises
    ------
    DataError
        Some are counted from 0 and some from 1.
    """
    told = {getattr(source, "zero_based", None) for source in sources} - {None}
    if len(told) > 1:
        raise DataError("columns are counted from 0 in some sources and from 1 in others: tell zero_based for all")
    return told.pop() if told else None


def sources_to_predict(X: Any, zero_based: bool | None, all_rows: bool = False) -> list[Any]:
    """Sources as a list, if a model whose columns were counted like this can predict for them.

    Raises
    ------
    DataError
        Their columns are counted otherwise; or, with `all_rows`, they leave rows out.
    """
    sources = listed(X)
    for source in sources:
        now = getattr(source, "zero_based", None)
        if None not in (zero_based, now) and now != zero_based:
            raise DataError(
                f"{source}: columns are counted from {1 - int(bool(now))}, those of the fit from "
                f"{1 - int(bool(zero_based))}: read the files with zero_based={zero_based}"
            )
        if all_rows and getattr(getattr(source, "columns", None), "missing", None) == "drop":
            raise DataError(
                f'{source}: missing="drop" would leave rows without a prediction: say what stands for missing values'
            )
    return sources


def weights(sample_weight: Any, n: int) -> Array | None:
    """Sample weights given beside an array: one for all rows, or one each."""
    if sample_weight is None:
        return None
    return np.full(n, sample_weight, np.float64) if isinstance(sample_weight, Real) else np.asarray(sample_weight)


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


def refuse_problem(problem: Problem | None, source: Any) -> None:
    """Tell of the first row that cannot be used, if there is one."""
    if problem is not None:
        column = "" if problem.column is None else f", column {problem.column!r}"
        raise DataError(f"{located(source, problem.row)}{column}: {problem.what}")


def spread_sources(X: Any, y: Any, sample_weight: Any) -> list[Any] | None:
    """Sources of what is spread over processes: a Dask array or data frame, or a Ray Dataset; None for anything else.

    Targets and weights are names of columns; of Dask they may also be series or arrays.
    """
    if is_dask_array(X):
        return array_sources(X, y, sample_weight)
    kind = is_spread(X)
    if kind is None:
        return None
    columns: dict[str, Any] = {}
    for meaning, given in (("target", y), ("weight", sample_weight)):
        if given is None or isinstance(given, str):
            columns[meaning] = given
        elif kind == "Dask data frame" and hasattr(given, "to_frame"):
            columns[meaning] = name = _free_name(meaning, X.columns)
            X = X.assign(**{name: given})
        else:
            series = ", or a Dask series" if kind == "Dask data frame" else ""
            raise ValueError(f"the {meaning} of a {kind} is the name of a column{series}, got {type(given).__name__}")
    return table_sources(X, **columns)


def spread_sources_to_predict(X: Any, features: Features) -> list[Any] | None:
    """Sources of what is spread over processes, with the columns of the fit; None for anything else."""
    if is_dask_array(X):
        return array_sources(X)
    if is_spread(X) is None:
        return None
    if not features.names:
        raise ValueError("this model was fitted without names of columns: give an array, not a frame")
    return table_sources(X, features=features.names, categorical=features.names[features.numeric :])


def _free_name(name: str, taken: Any) -> str:
    while name in taken:
        name += "_"
    return name


def refuse_lazy(X: Any) -> None:
    """A table that is yet to be computed is not computed unasked."""
    if hasattr(X, "collect") and not hasattr(X, "shape"):
        raise ValueError(f"{type(X).__name__} is not computed yet: give what its collect() returns")


def refuse_arrays(y: Any, sample_weight: Any) -> None:
    """Targets and weights do not stand beside sources."""
    if y is not None or sample_weight is not None:
        raise ValueError("sources bring their targets and weights with them: leave y and sample_weight out")


def needs_table(X: Any) -> bool:
    """Whether X is a frame that scikit-learn does not turn into numbers by itself."""
    if not is_table(X):
        return False
    is_pandas = type(X).__module__.partition(".")[0] == "pandas"
    return not is_pandas or any(dtype.kind not in "iufb" for dtype in X.dtypes)


def rows_of_table(table: Any, features: Features) -> Rows:
    """Rows of a frame to predict for, with the columns of the fit."""
    if not features.names:
        raise ValueError("this model was fitted without names of columns: give an array, not a frame")
    categorical = features.names[features.numeric :]
    return table_sources(table, features=features.names, categorical=categorical, blocks=1)[0].read()


def sources_of_table(table: Any, y: Array, sample_weight: Any) -> list[TableSource]:
    """Sources of an Arrow table with targets and weights beside it."""
    names = table.column_names
    columns: dict[str, Any] = {}
    for meaning, values in (("target", y), ("weight", sample_weight)):
        if values is None:
            continue
        values = np.asarray(values)
        if values.shape != (table.num_rows,):
            has = len(values) if values.ndim == 1 else f"shape {values.shape}"
            raise ValueError(f"X has {table.num_rows} rows and the {meaning} has {has}")
        name = _free_name(meaning, names)
        try:
            values = pa.array(values.astype(values.dtype.newbyteorder("="), copy=False), from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            raise DataError(f"the {meaning} mixes types, use text or numbers: {error}") from None
        table = table.append_column(name, values)
        columns[meaning] = name
    return table_sources(table, **columns)
