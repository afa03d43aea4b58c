"""Whatever a person gives to `fit`, `predict` or `evaluate`, as sources; what is in memory to predict for, as rows.

The one way in for data that is not named by files: estimators give what they got, and need not know what it was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from io import IOBase
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from sklearn.utils import check_array, column_or_1d

from ..errors import DataError
from ..protocols.rows import Rows
from ..protocols.schema import Features
from .arrays import array_sources, values_of
from .arrow import as_table, expanded
from .features import refuse_dates
from .frames import table_sources
from .kinds import Kind, kind_of
from .table import TableSource

Array = npt.NDArray[Any]

# Matrices of other types become those of the first.
_TYPES_TO_FIT = [np.float64, np.float32, np.uint8, np.int8]
_TYPES_TO_PREDICT = [np.float64, np.float32]


@dataclass(frozen=True)
class Given:
    """What was given to learn from.

    Parameters
    ----------
    sources : list of Source
        One for each block.
    names : tuple of str
        Of the columns of what is in memory, in their order; empty where they have none, or are not read yet.
    zero_based : bool or None
        Whether the files count columns from 0 rather than 1; None where they do neither.
    """

    sources: list[Any]
    names: tuple[str, ...] = ()
    zero_based: bool | None = None


def given_to_fit(X: Any, y: Any = None, weight: Any = None, offset: Any = None, *, asked_by: str) -> Given:
    """Sources of whatever can be learnt from, with the targets, or labels, beside it.

    Parameters
    ----------
    X : (n, p) array_like, sparse matrix, data frame, Dask array or data frame, Ray Dataset, or list of Source
        Features; sources bring the rest with them.
    y, weight, offset : (n,) array_like, or str, optional
        Targets, sample weights (one number for all rows will do), and what is added to the linear predictors. Names of
        columns of a Dask data frame or Ray Dataset, or Dask series; Dask arrays beside a Dask array.
    asked_by : str
        What is fitted, for messages.

    Raises
    ------
    DataError, ValueError
        What is given does not fit together. Values are looked at later, on the workers.
    """
    kind = kind_of(X)
    if kind is Kind.SOURCES:
        sources = _listed(X)
        _refuse_beside_sources(y, weight, offset)
        return Given(sources, zero_based=_first_column(sources))
    _refuse_unready(X, kind, y, asked_by)
    match kind:
        case Kind.DASK_ARRAY:
            return Given(array_sources(X, y, weight, offset))
        case Kind.DASK_FRAME | Kind.RAY_DATASET:
            return Given(_sources_of_spread_table(X, kind, {"target": y, "weight": weight, "offset": offset}))
        case Kind.TABLE:
            _check_indexes(X, {"y": y, "sample_weight": weight, "offset": offset})
            y = column_or_1d(values_of(y))
            table = as_table(X)
            beside = {"target": y, "weight": _weights(weight, len(y)), "offset": offset}
            return Given(_sources_of_table(table, beside), tuple(expanded(table.schema).names))
    _check_indexes(X, {"y": y, "sample_weight": weight, "offset": offset})
    names = _names(X)
    # Values are checked block by block, on the workers, where row and column can be told.
    matrix = _matrix(X, _TYPES_TO_FIT, asked_by, order="C", ensure_all_finite=False)
    y = column_or_1d(values_of(y), warn=True)
    return Given(array_sources(matrix, y, _weights(weight, len(y)), offset, names=names), names)


def given_to_predict(X: Any, features: Features, zero_based: bool | None, *, asked_by: str) -> Rows | list[Any]:
    """Rows in memory, or sources of rows that are elsewhere, each of which is to have a prediction.

    Parameters
    ----------
    X : as for `given_to_fit`
        Features; tables are read by the names of the fit's columns.
    features : Features
        Of the fit.
    zero_based : bool or None
        How the fit's files counted columns.
    asked_by : str
        What predicts, for messages.

    Returns
    -------
    Rows or list of Source
        Rows of a matrix have no names: whether its columns are those of the fit is not looked at here.
    """
    kind = kind_of(X)
    match kind:
        case Kind.SOURCES:
            return sources_to_predict(X, zero_based)
        case Kind.DASK_ARRAY:
            return array_sources(X)
        case Kind.DASK_FRAME | Kind.RAY_DATASET:
            return table_sources(X, **_by_name(features))
    _refuse_lazy(X, kind)
    return _rows(X, kind, features, asked_by)


def given_to_evaluate(
    X: Any, y: Any, weight: Any, features: Features, zero_based: bool | None, *, asked_by: str
) -> Rows | list[Any]:
    """Rows in memory, or sources of rows that are elsewhere, whose predictions are compared with their targets.

    Parameters
    ----------
    X, y, weight : as for `given_to_fit`
        Features, targets and sample weights.
    features, zero_based, asked_by : as for `given_to_predict`
        Of the fit.
    """
    kind = kind_of(X)
    if kind is Kind.SOURCES:
        sources = _listed(X)
        _refuse_beside_sources(y, weight)
        return _counted_alike(sources, zero_based)
    _refuse_unready(X, kind, y, asked_by)
    match kind:
        case Kind.DASK_ARRAY:
            return array_sources(X, y, weight)
        case Kind.DASK_FRAME | Kind.RAY_DATASET:
            return _sources_of_spread_table(X, kind, {"target": y, "weight": weight})
    _check_indexes(X, {"y": y, "sample_weight": weight})
    y = column_or_1d(values_of(y))
    return replace(_rows(X, kind, features, asked_by), y=y, weight=_weights(weight, len(y)))


def sources_to_predict(given: Any, zero_based: bool | None) -> list[Any]:
    """A source, or several, as a list, if a model whose columns were counted like this can predict for all their rows.

    Raises
    ------
    DataError
        Their columns are counted otherwise, or they leave rows out.
    """
    sources = _counted_alike(given, zero_based)
    for source in sources:
        if getattr(getattr(source, "columns", None), "missing", None) == "drop":
            raise DataError(
                f'{source}: missing="drop" would leave rows without a prediction: say what stands for missing values'
            )
    return sources


# --- sources ------------------------------------------------------------------------------------------------------


def _listed(given: Any) -> list[Any]:
    """A source, or several, as a list."""
    sources = [given] if hasattr(given, "read") else list(given)
    for source in sources:
        if isinstance(source, IOBase):
            raise DataError("X is an open file: give its name to file_sources, csv_sources or the like")
        if not hasattr(source, "read"):
            raise DataError(
                f"X is a {type(given).__name__} of {type(source).__name__} objects: give rows as an array, or as a "
                "list of lists; what is gone through once may bring sources only"
            )
    return sources


def _first_column(sources: list[Any]) -> bool | None:
    """Whether the files of sources count columns from 0 rather than from 1; None where they do neither."""
    told = {getattr(source, "zero_based", None) for source in sources} - {None}
    if len(told) > 1:
        raise DataError("columns are counted from 0 in some sources and from 1 in others: tell zero_based for all")
    return told.pop() if told else None


def _counted_alike(given: Any, zero_based: bool | None) -> list[Any]:
    """Sources as a list, unless their columns are counted otherwise than those of the fit."""
    sources = _listed(given)
    for source in sources:
        now = getattr(source, "zero_based", None)
        if None not in (zero_based, now) and now != zero_based:
            raise DataError(
                f"{source}: columns are counted from {1 - int(bool(now))}, those of the fit from "
                f"{1 - int(bool(zero_based))}: read the files with zero_based={zero_based}"
            )
    return sources


def _refuse_beside_sources(*columns: Any) -> None:
    if any(column is not None for column in columns):
        raise ValueError("sources bring their targets and weights with them: leave y and sample_weight out")


# --- tables, in memory and spread over processes --------------------------------------------------------------------


def _sources_of_table(table: pa.Table, beside: Mapping[str, Any]) -> list[TableSource]:
    """Sources of an Arrow table, with the columns beside it as columns of its own."""
    columns: dict[str, Any] = {}
    for meaning, values in beside.items():
        if values is None:
            continue
        values = values_of(values)
        if values.shape != (table.num_rows,):
            has = len(values) if values.ndim == 1 else f"shape {values.shape}"
            raise ValueError(f"X has {table.num_rows} rows and the {meaning} has {has}")
        columns[meaning] = name = _free_name(meaning, table.column_names)
        try:
            values = pa.array(values.astype(values.dtype.newbyteorder("="), copy=False), from_pandas=True)
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
            raise DataError(f"the {meaning} mixes types, use text or numbers: {error}") from None
        table = table.append_column(name, values)
    return table_sources(table, **columns)


def _sources_of_spread_table(X: Any, kind: Kind, beside: Mapping[str, Any]) -> list[TableSource]:
    """Sources of a Dask data frame or Ray Dataset, where what is beside it are names of columns, or Dask series."""
    columns: dict[str, Any] = {}
    series: dict[str, Any] = {}
    for meaning, given in beside.items():
        if given is None or isinstance(given, str):
            columns[meaning] = given
        elif kind is Kind.DASK_FRAME and hasattr(given, "to_frame"):
            columns[meaning] = name = _free_name(meaning, [*X.columns, *series])
            series[name] = given
        else:
            or_series = ", or a Dask series" if kind is Kind.DASK_FRAME else ""
            raise ValueError(
                f"the {meaning} of a {kind.value} is the name of a column{or_series}, got {type(given).__name__}"
            )
    if series:
        from .dask_ import with_series

        X = with_series(X, series)
    return table_sources(X, **columns)


def _by_name(features: Features) -> dict[str, Any]:
    """How a table is read with the columns of the fit."""
    if not features.names:
        raise ValueError("this model was fitted without names of columns: give an array, not a frame")
    return {"features": features.names, "categorical": features.names[features.numeric :]}


def _free_name(name: str, taken: Any) -> str:
    while name in taken:
        name += "_"
    return name


# --- matrices, and rows in memory -----------------------------------------------------------------------------------


def _matrix(X: Any, types: list[Any], asked_by: str, **options: Any) -> Any:
    """A dense array or CSR matrix of whatever scikit-learn can make one of."""
    if not (hasattr(X, "dtype") or hasattr(X, "dtypes")):  # lists, buffers
        X = np.asarray(X)
    refuse_dates("X", X)
    return check_array(X, accept_sparse="csr", dtype=types, estimator=asked_by, input_name="X", **options)


def _names(X: Any) -> tuple[str, ...]:
    """Names of a matrix's columns, if it is a frame whose columns are all named by text."""
    names = tuple(getattr(X, "columns", ()))
    kinds = sorted({type(name).__name__ for name in names})
    if "str" not in kinds:
        return ()
    if len(kinds) > 1:
        raise TypeError(
            "Feature names are only supported if all input features have string names, but your input has "
            f"{kinds} as feature name / column name types: convert them all to strings, or none"
        )
    return names


def _rows(X: Any, kind: Kind, features: Features, asked_by: str) -> Rows:
    """Rows in memory to predict for."""
    if kind is Kind.TABLE or (kind is Kind.NUMBERS_TABLE and features.levels):
        return table_sources(X, **_by_name(features), blocks=1)[0].read()
    if features.levels:
        raise ValueError("this model has categorical columns: give a frame with their names, or sources")
    return Rows(_matrix(X, _TYPES_TO_PREDICT, asked_by))


def _weights(weight: Any, n: int) -> Array | None:
    """Sample weights beside what is in memory: one for all rows, or one each."""
    if weight is None:
        return None
    return np.full(n, weight, np.float64) if isinstance(weight, Real) else np.asarray(weight)


def _check_indexes(X: Any, beside: Mapping[str, Any]) -> None:
    """Refuse series of pandas whose rows are not those of the frame, by its index; all are paired by position.

    An index that merely counts the rows says nothing, unless the other one counts the same rows in another order.
    """
    mine: Any = getattr(X, "index", None)
    for name, values in beside.items():
        other: Any = getattr(values, "index", None)
        if not (hasattr(mine, "equals") and hasattr(other, "equals")) or len(mine) != len(other) or mine.equals(other):
            continue
        if (_is_count(mine) or _is_count(other)) and not mine.isin(other).all():
            continue
        differ = (row for row, (one, its) in enumerate(zip(mine, other, strict=True)) if one != its)
        row = next(differ, 0)
        first, its = (index[row : row + 1].tolist()[0] for index in (mine, other))
        raise DataError(
            f"X and {name} have different indexes: row {row} is {first!r} in X and {its!r} in {name}. Give "
            f"both in one order, or {name}.to_numpy() to pair them by position"
        )


def _is_count(index: Any) -> bool:
    """Whether an index of pandas is the one that frames have by default."""
    return type(index).__name__ == "RangeIndex" and (index.start, index.step) == (0, 1)


def _refuse_unready(X: Any, kind: Kind, y: Any, asked_by: str) -> None:
    _refuse_lazy(X, kind)
    if y is None:
        raise ValueError(f"{asked_by} requires y to be passed, but the target y is None")


def _refuse_lazy(X: Any, kind: Kind) -> None:
    """A table that is yet to be computed is not computed unasked."""
    if kind is Kind.LAZY:
        raise ValueError(f"{type(X).__name__} is not computed yet: give what its collect() returns")
