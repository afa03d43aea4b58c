"""Whatever a person gives to predict for or to evaluate, with the columns of the fit, as sources or as rows in memory.

One rule for columns, whatever has them: by name where they and those of the fit have names, in whatever order, others
are not looked at; by position where there are none.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from ..errors import DataError
from ..protocols.rows import Rows
from ..protocols.schema import Features
from .arrays import array_sources
from .arrow import as_table
from .beside import check_indexes, names_of, only, refuse_names, targets, weights
from .columns import TABLE_SOURCES, Roles
from .design_ import Design, Designed
from .frames import sources_of_table
from .given import (
    joined,
    listed,
    matrix_of,
    names_of_matrix,
    parted,
    refuse_beside_sources,
    refuse_lazy,
    refuse_unready,
    sources_of_spread_table,
)
from .indicators import Indicators
from .kinds import Kind, kind_of
from .missing import Filled, without_holes
from .table import TableSource

_TYPES = [np.float64, np.float32]  # matrices of other types become those of the first
_SPREAD = (Kind.DASK_FRAME, Kind.RAY_DATASET)
_FRAMES = (Kind.TABLE, Kind.NUMBERS_TABLE, *_SPREAD)


def _as_it_is(X: Any) -> None:
    """Compare nothing."""


@dataclass(frozen=True)
class Fitted:
    """What must be known of a fit to read rows for it.

    Parameters
    ----------
    features : Features
        Its columns and levels.
    zero_based : bool or None
        How its files counted columns.
    missing : mapping of str to value
        What stands for missing values, by column.
    name : str
        What predicts, for messages.
    compare : callable
        Looks whether the columns of a matrix, which have no names to be found by, are those of the fit.
    drops : bool
        Whether rows in which something is missing are left out where they are evaluated: no prediction lacks.
    design : Design, Indicators or None
        What makes the model's columns of these.
    unknown : {"error", "ignore"}
        What it does with unknown levels.
    """

    features: Features
    zero_based: bool | None = None
    missing: Mapping[str, Any] = field(default_factory=dict)
    name: str = "the model"
    compare: Callable[[Any], None] = _as_it_is
    drops: bool = False
    design: Design | Indicators | None = None
    unknown: str = "error"

    @property
    def indicated(self) -> tuple[str, ...]:
        """Columns whose missing numbers are NaN when rows are read, since indicators are made of them."""
        return self.design.names if isinstance(self.design, Indicators) else ()

    @property
    def filled(self) -> dict[str, Any]:
        """What stands for missing values of other columns when rows are read."""
        return {name: value for name, value in self.missing.items() if name not in self.indicated}

    def designed(self, given: Any) -> Any:
        """Rows, or sources, with the columns of the model."""
        if self.design is None:
            return given
        if isinstance(given, Rows):
            return self.design.rows(given, self.missing, self.unknown, "the rows")
        return [Designed(source, self.design, self.missing, self.unknown) for source in given]


def given_to_predict(X: Any, fitted: Fitted, offset: Any = None) -> Rows | list[Any]:
    """Rows in memory, or sources of rows that are elsewhere, each of which is to have a prediction.

    Parameters
    ----------
    X : as for `given_to_fit`
        Features.
    fitted : Fitted
        What is known of the fit.
    offset : as for `given_to_fit`
        Added to the linear predictors.

    Returns
    -------
    Rows or list of Source
        Rows have names where they were found by them; whether they are finite is not looked at here.
    """
    kind = kind_of(X)
    if kind is Kind.SOURCES:
        sources = _to_predict(X, fitted)
        refuse_beside_sources(offset)
        return fitted.designed(sources)  # type: ignore[no-any-return]
    refuse_lazy(X, kind)
    return fitted.designed(_for_fit(X, kind, {"offset": offset}, fitted))  # type: ignore[no-any-return]


def given_to_evaluate(
    X: Any, y: Any, weight: Any, fitted: Fitted, offset: Any = None, keep: Sequence[str] = ()
) -> Rows | list[Any]:
    """Rows in memory, or sources of rows that are elsewhere, whose predictions are compared with their targets.

    Parameters
    ----------
    X, y, weight, offset : as for `given_to_fit`
        Features, targets, sample weights and offsets.
    fitted : Fitted
        What is known of the fit.
    keep : sequence of str
        Columns of a table that is spread over processes, to be read beside the features.
    """
    kind = kind_of(X)
    if kind is Kind.SOURCES:
        sources = _counted_alike(X, fitted)
        refuse_beside_sources(y, weight, offset)
        return fitted.designed([_of_fit(source, fitted) for source in sources])  # type: ignore[no-any-return]
    target = fitted.design.terms.target if isinstance(fitted.design, Design) and y is None else y
    refuse_unready(X, kind, target, fitted.name)
    beside = {"target": target, "weight": weight, "offset": offset}
    return fitted.designed(_for_fit(X, kind, beside, fitted, keep))  # type: ignore[no-any-return]


def given_to_write(X: Any, fitted: Fitted, offset: Any, keep: Sequence[str]) -> list[Any]:
    """Sources of rows each of which is to have a prediction, whatever they are given as.

    Parameters
    ----------
    X, fitted, offset
        As for `given_to_predict`.
    keep : sequence of str
        Columns to be read beside the features, as they are.
    """
    kind = kind_of(X)
    if kind is Kind.SOURCES:
        sources = _to_predict(X, fitted)
        refuse_beside_sources(offset)
        return fitted.designed([_keeping(source, keep) for source in sources] if keep else sources)  # type: ignore[no-any-return]
    refuse_lazy(X, kind)
    if kind in _FRAMES and not (kind is Kind.NUMBERS_TABLE and not names_of_matrix(X)):
        return fitted.designed(_table_sources(X, kind, {"offset": offset}, fitted, keep))  # type: ignore[no-any-return]
    if keep:
        raise ValueError(f"keep names columns, and X ({type(X).__name__}) has no names of columns: give a data frame")
    rows = _for_fit(X, kind, {"offset": offset}, fitted)
    return fitted.designed(array_sources(rows.X, offset=rows.offset) if isinstance(rows, Rows) else rows)  # type: ignore[no-any-return]


# --- sources ------------------------------------------------------------------------------------------------------


def _to_predict(given: Any, fitted: Fitted) -> list[Any]:
    """A source, or several, as a list, if all of their rows can be predicted for."""
    sources = _counted_alike(given, fitted)
    for source in sources:
        if getattr(source, "leaves_rows_out", False):
            raise DataError(
                f'{source}: missing="drop" would leave rows without a prediction: say what stands for missing values'
            )
    return [_of_fit(source, fitted, evaluated=False) for source in sources]


def _counted_alike(given: Any, fitted: Fitted) -> list[Any]:
    """Sources as a list, unless their columns are counted otherwise than those of the fit."""
    sources = listed(given)
    for source in sources:
        now = getattr(source, "zero_based", None)
        if None not in (fitted.zero_based, now) and now != fitted.zero_based:
            raise DataError(
                f"{source}: columns are counted from {1 - int(bool(now))}, those of the fit from "
                f"{1 - int(bool(fitted.zero_based))}: read the files with zero_based={fitted.zero_based}"
            )
    return sources


def _of_fit(source: Any, fitted: Fitted, evaluated: bool = True) -> Any:
    """A source that reads the columns of the fit alone, if they have names."""
    if not (isinstance(source, TableSource) and fitted.features.names):
        return Filled(source, drop=True) if fitted.drops and evaluated else source
    columns = source.columns.of_fit(fitted.features, fitted.filled, str(source))
    if fitted.indicated:
        columns = columns.with_holes()
    if not evaluated:
        columns = replace(columns, target=None, weight=None, every_row=True)
    elif fitted.drops and columns.missing == "error":
        columns = replace(columns, missing="drop")
    return replace(source, columns=columns)


def _keeping(source: Any, keep: Sequence[str]) -> TableSource:
    if not isinstance(source, TableSource):
        raise ValueError(f"keep names columns, and {source} has no names of columns: give a table")
    return source.keeping(tuple(keep))


# --- tables and matrices --------------------------------------------------------------------------------------------


def _for_fit(
    X: Any, kind: Kind, beside: Mapping[str, Any], fitted: Fitted, keep: Sequence[str] = ()
) -> Rows | list[Any]:
    drops = fitted.drops and "target" in beside
    if kind is Kind.DASK_ARRAY:
        refuse_names(beside, X)
        sources = array_sources(X, beside.get("target"), beside.get("weight"), beside["offset"])
        return [Filled(source, drop=True) for source in sources] if drops else sources
    if kind in _SPREAD:
        return _table_sources(X, kind, beside, fitted, keep)
    features = fitted.features
    names: tuple[str, ...] = ()
    if features.names and (kind is Kind.TABLE or (kind is Kind.NUMBERS_TABLE and names_of_matrix(X))):
        names = features.names
        X = only(X, [*names, *names_of(beside).values()], "the table")
        kind = kind_of(X)
    X, kind, beside = parted(X, kind, beside)
    if kind is Kind.TABLE or (names and (features.levels or fitted.missing)):
        return _table_sources(X, Kind.TABLE, beside, fitted, blocks=1)[0].read()
    refuse_names(beside, X)
    check_indexes(X, beside)
    if features.levels:
        raise ValueError("this model has categorical columns: give a frame with their names, or sources")
    matrix = matrix_of(X, _TYPES, fitted.name, ensure_all_finite=False)
    if not names:
        fitted.compare(X)
    n = matrix.shape[0]
    weight, offset = (weights(beside.get(meaning), n) for meaning in ("weight", "offset"))
    if offset is not None and offset.shape != (n,):
        raise DataError(f"X has {n} rows and offset has shape {offset.shape}: it must be ({n},)")
    y = beside.get("target")
    rows = Rows(matrix, None if y is None else targets(y), weight, offset=offset, names=names)
    return without_holes(rows) if drops else rows


def _table_sources(
    X: Any,
    kind: Kind,
    beside: Mapping[str, Any],
    fitted: Fitted,
    keep: Sequence[str] = (),
    blocks: int | None = None,
) -> list[TableSource]:
    """Sources of a table, of the fit's columns."""
    features = fitted.features
    roles: dict[str, Any] = {"exclude": tuple(name for name in keep if name not in features.names)}
    if features.names:
        roles = {"features": features.names, "categorical": features.names[features.numeric :]}
        roles["missing"] = fitted.filled or ("drop" if fitted.drops and "target" in beside else "error")
        if kind is not Kind.RAY_DATASET:
            what = "the Dask data frame" if kind is Kind.DASK_FRAME else "the table"
            X = only(X, list(dict.fromkeys([*features.names, *names_of(beside).values(), *keep])), what)
    every_row = "target" not in beside
    if kind in _SPREAD:
        sources = sources_of_spread_table(X, kind, beside, roles, keep, every_row)
    else:
        check_indexes(X, beside)
        table, columns = joined(as_table(X), beside)
        told = Roles(**{**columns, **roles})
        sources = sources_of_table(table, told, blocks, keep=keep, door=TABLE_SOURCES, every_row=every_row)
    if not fitted.indicated:
        return sources
    return [replace(source, columns=source.columns.with_holes()) for source in sources]
