"""Whatever a person gives to `fit`, as sources.

The one way in for data that is not named by files: estimators give what they got, and need not know what it was.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from io import IOBase
from typing import Any

import numpy as np
import pyarrow as pa
from sklearn.utils import check_array

from ..errors import DataError
from ..protocols.schema import Features
from .around import Around, named_by
from .arrays import ArraySource, array_sources
from .arrow import as_table, expanded
from .beside import (
    arrow_column,
    check_indexes,
    free_name,
    listed_names,
    names_of,
    only,
    refuse_names,
    targets,
    weights,
)
from .columns import TABLE_SOURCES, Roles
from .design_ import Design, Designed, learn_design
from .features import column_names, common_type, refuse_dates, refuse_masked, refuse_texts
from .frames import FramePiece, sources_of_table
from .indicators import Indicators
from .kinds import Kind, is_pandas, kind_of
from .missing import MissingOfFit, settled
from .table import TableSource, rules
from .terms_ import Terms


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
    missing : dict of str to value
        What stands for missing values of features, by column.
    reads : int
        Of all rows, to learn what stands for missing values, and what a formula learns.
    terms : Terms or None
        What the estimator's formula says.
    design : Design, Indicators or None
        What makes the model's columns: a formula with what it has learnt, or indicators of what is missing.
    target, offset : str or None
        Names of these columns, as they were told (a list of several targets'); None where they were values, or sources
        do not say.
    """

    sources: list[Any]
    names: tuple[str, ...] = ()
    zero_based: bool | None = None
    missing: dict[str, Any] = field(default_factory=dict)
    reads: int = 0
    terms: Terms | None = None
    design: Design | Indicators | None = None
    target: str | list[str] | None = None
    offset: str | None = None

    def prepared(self, missing: MissingOfFit, indicate: bool, intercept: bool, engine: Any) -> "Given":
        """The same with what an estimator says of missing values, and with the columns that its formula makes; what
        these learn they learn from the rows.

        Raises
        ------
        DataError, ValueError
            It cannot be said of this data; see `missing.py` and `design_.py`.
        """
        found = settled(self.sources, missing, self.missing, engine, indicate)
        given = replace(self, sources=found.sources, missing=found.values, reads=found.reads)
        if found.kept:
            indicators = next(engine.map(_IndicatorsOf(found.kept), given.sources[:1]))
            sources = [Designed(source, indicators, found.values) for source in given.sources]
            return replace(given, sources=sources, design=indicators)
        if self.terms is None:
            return given
        in_memory = all(is_in_memory(source) for source in given.sources)
        design, reads = learn_design(self.terms, intercept, given.sources, in_memory, engine)
        sources = [Designed(source, design) for source in given.sources]
        names = design.features.names
        told = {name: value for name, value in given.missing.items() if name in names}
        reads += given.reads
        return replace(given, sources=sources, design=design, names=names, missing=told, reads=reads)


def given_to_fit(
    X: Any, y: Any = None, weight: Any = None, offset: Any = None, *, asked_by: str, terms: Terms | None = None
) -> Given:
    """Sources of whatever can be learnt from, with the targets, or labels, beside it.

    Parameters
    ----------
    X : (n, p) array_like, sparse matrix, data frame, Dask array or data frame, Ray Dataset, or list of Source
        Features; sources bring the rest with them.
    y, weight, offset : (n,) array_like, or str, optional
        Targets, sample weights (one number for all rows will do), and what is added to the linear predictors. Names of
        columns of a table, which are then no features; or values, series or frames of one column, by position. Beside
        what is of Dask they may be of Dask too; a Ray Dataset takes names only.
    asked_by : str
        What is fitted, for messages.
    terms : Terms, optional
        Of a formula, which names the columns that are used, and maybe the target.

    Raises
    ------
    DataError, ValueError
        What is given does not fit together. Values are looked at later, on the workers.
    """
    kind = kind_of(X)
    if terms is not None:
        given = given_to_fit(*_of_formula(X, kind, y, weight, offset, terms), asked_by=asked_by)
        return replace(given, terms=terms)
    beside: Mapping[str, Any] = {"target": y, "weight": weight, "offset": offset}
    if kind is Kind.SOURCES:
        sources = listed(X)
        refuse_beside_sources(y, weight, offset)
        named: dict[str, Any] = {meaning: named_by(sources, meaning) for meaning in ("target", "offset")}
        return Given(sources, zero_based=_counted_from_zero(sources), missing=rules(sources), **named)
    refuse_unready(X, kind, y, asked_by)
    refuse_several_names(X, kind, y, asked_by)
    named = {meaning: name for meaning, name in names_of(beside).items() if meaning != "weight"}
    if kind in (Kind.DASK_FRAME, Kind.RAY_DATASET):
        return Given(sources_of_spread_table(X, kind, beside, {}), **named)
    if kind is Kind.DASK_ARRAY:
        refuse_names(beside, X)
        return Given(array_sources(X, y, weight, offset))
    X, kind, beside = parted(X, kind, beside)
    _refuse_columns(X)
    check_indexes(X, beside)
    if kind is Kind.TABLE:
        table, columns = joined(as_table(X), beside)
        names = tuple(name for name in expanded(table.schema).names if name not in columns.values())
        return Given(sources_of_table(table, Roles(**columns), door=TABLE_SOURCES), names, **named)
    refuse_names(beside, X)
    names = names_of_matrix(X)
    # Values are checked block by block, on the workers, where row and column can be told.
    matrix = matrix_of(X, None, asked_by, order="C", ensure_all_finite=False)
    y = targets(beside["target"], warn=True)
    weight, offset = (weights(beside[meaning], len(y)) for meaning in ("weight", "offset"))
    return Given(array_sources(matrix, y, weight, offset, names=names), names, **named)


def _of_formula(X: Any, kind: Kind, y: Any, weight: Any, offset: Any, terms: Terms) -> tuple[Any, Any, Any, Any]:
    """What was given to learn from, with the columns alone that a formula names, and its target."""
    if kind is Kind.SOURCES:
        sources = listed(X)
        for source in sources:
            target = getattr(getattr(source, "columns", None), "target", terms.target)
            if terms.target not in (None, target):
                raise ValueError(
                    f"the formula's target is {terms.target!r}, the sources have {target!r}: leave the formula's left "
                    f"side out, or make the sources with target={terms.target!r}"
                )
        return sources, y, weight, offset
    if terms.target is not None and y is not None:
        raise ValueError(
            f"the formula names the target, {terms.target!r}, and y is given too: leave y out, or the formula's left "
            "side"
        )
    y = terms.target if y is None else y
    named = kind in (Kind.TABLE, Kind.DASK_FRAME, Kind.RAY_DATASET) or (
        kind is Kind.NUMBERS_TABLE and bool(names_of_matrix(X))
    )
    if not named:
        raise ValueError(f"a formula names columns, and X ({type(X).__name__}) has no names of columns: give a table")
    beside = names_of({"target": y, "weight": weight, "offset": offset}).values()
    names = list(dict.fromkeys([*terms.variables, *beside]))
    if kind is Kind.RAY_DATASET:
        return X.select_columns(names), y, weight, offset
    return only(X, names, "the table"), y, weight, offset


@dataclass(frozen=True)
class _IndicatorsOf:
    """Indicators of columns of these names, as a source has them."""

    names: tuple[str, ...]

    def __call__(self, index: int, source: Any) -> Indicators:
        rows = source.read()
        p = rows.X.shape[1]
        known = column_names(rows.names, p)
        features = Features(p, tuple(column.levels for column in rows.categories), rows.names)
        return Indicators(features, tuple(known.index(name) for name in self.names))


def is_in_memory(source: Any) -> bool:
    """Whether a source only points to rows that are in this process's memory."""
    if isinstance(source, Around):
        return is_in_memory(source.source)
    return isinstance(source, ArraySource) or all(
        isinstance(piece, FramePiece) for piece in getattr(source, "pieces", (None,))
    )


# --- sources ------------------------------------------------------------------------------------------------------


def listed(given: Any) -> list[Any]:
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


def _counted_from_zero(sources: list[Any]) -> bool | None:
    """Whether the files of sources count columns from 0 rather than from 1; None where they do neither."""
    told = {getattr(source, "zero_based", None) for source in sources} - {None}
    if len(told) > 1:
        raise DataError("columns are counted from 0 in some sources and from 1 in others: tell zero_based for all")
    return told.pop() if told else None


def refuse_beside_sources(*columns: Any) -> None:
    if any(column is not None for column in columns):
        raise ValueError("sources bring their targets and weights with them: leave y, sample_weight and offset out")


# --- tables, in memory and spread over processes --------------------------------------------------------------------


def refuse_several_names(X: Any, kind: Kind, y: Any, asked_by: str) -> None:
    """Refuse a list of names of columns as y, where there is one target; as many texts as rows are labels."""
    names = listed_names(y)
    if not names or kind not in (Kind.TABLE, Kind.NUMBERS_TABLE, Kind.DASK_FRAME):
        return
    there = X.column_names if isinstance(X, pa.Table) else list(X.columns)
    if any(name not in there for name in names) or (kind is not Kind.DASK_FRAME and len(names) == len(X)):
        return
    if len(names) == 1:
        raise ValueError(f"y={names} is a list, and {asked_by} takes one target: give its name alone, y={names[0]!r}")
    raise ValueError(
        f"y names {len(names)} columns, and {asked_by} takes one target: name one, and fit a model to each of them"
    )


def parted(X: Any, kind: Kind, beside: Mapping[str, Any]) -> tuple[Any, Kind, Mapping[str, Any]]:
    """Named columns of a frame of pandas as values beside it, where what is left is a matrix, as it is without them."""
    names = names_of(beside)
    if not names or not is_pandas(X):
        return X, kind, beside
    only(X, list(names.values()), "the table")  # they are there
    rest = X.drop(columns=list(names.values()))
    if kind_of(rest) is not Kind.NUMBERS_TABLE:
        return X, kind, beside
    return rest, Kind.NUMBERS_TABLE, {**beside, **{meaning: X[name] for meaning, name in names.items()}}


def joined(table: pa.Table, beside: Mapping[str, Any]) -> tuple[pa.Table, dict[str, Any]]:
    """An Arrow table with what stands beside it as columns of its own, and the columns by meaning."""
    columns: dict[str, Any] = dict(names_of(beside))
    for meaning, values in beside.items():
        if values is not None and meaning not in columns:
            columns[meaning] = name = free_name(meaning, table.column_names)
            table = table.append_column(name, arrow_column(values, meaning, table.num_rows))
    return table, columns


def sources_of_spread_table(
    X: Any,
    kind: Kind,
    beside: Mapping[str, Any],
    roles: Mapping[str, Any],
    keep: Sequence[str] = (),
    every_row: bool = False,
) -> list[TableSource]:
    """Sources of a Dask data frame or Ray Dataset.

    Parameters
    ----------
    X, kind
        The table.
    beside : mapping of meaning to str, Dask series, or values
        What stands beside it; of a Ray Dataset names of columns only.
    roles : mapping
        Further options of `table_sources`.
    keep, every_row
        As for `sources_of_table`.
    """
    columns = names_of(beside)
    series: dict[str, Any] = {}
    values: dict[str, tuple[str, Any]] = {}
    for meaning, given in beside.items():
        if given is None or meaning in columns:
            continue
        if kind is Kind.RAY_DATASET:
            raise ValueError(f"the {meaning} of a Ray Dataset is the name of a column, got {type(given).__name__}")
        if kind_of(given) is Kind.DASK_FRAME and len(given.columns) == 1:
            given = given[given.columns[0]]
        columns[meaning] = name = free_name(meaning, [*X.columns, *series, *values])
        if not hasattr(given, "__dask_graph__"):
            values[name] = meaning, given
        elif hasattr(given, "to_frame"):
            series[name] = given
        else:
            raise ValueError(
                f"the {meaning} of a Dask data frame is the name of a column, a Dask series, or values in memory, got "
                f"a Dask {type(given).__name__}: give what its compute() returns"
            )
    if series:
        from .dask_ import with_series

        X = with_series(X, series)
    told = Roles(**{**columns, **roles})
    return sources_of_table(X, told, beside=values, keep=keep, door=TABLE_SOURCES, every_row=every_row)


# --- matrices, and rows in memory -----------------------------------------------------------------------------------


def matrix_of(X: Any, types: list[Any] | None, asked_by: str, **options: Any) -> Any:
    """A dense array or CSR matrix of whatever scikit-learn can make one of.

    Parameters
    ----------
    X : array_like
        Rows by columns.
    types : list of type or None
        Those that stay as they are, others become the first; None is what a table of such columns would have.
    asked_by : str
        Who asks, for messages.
    **options
        Of `sklearn.utils.check_array`.
    """
    if not (hasattr(X, "dtype") or hasattr(X, "dtypes")):  # lists, buffers
        X = np.asarray(X)
    _refuse_columns(X)
    refuse_masked("X", X)
    refuse_dates("X", X)
    if isinstance(X, np.ndarray) and X.ndim == 2:
        refuse_texts(X)
    if types is None:
        held = X.dtypes if hasattr(X, "columns") else [X.dtype]
        types = [common_type(str(getattr(dtype, "numpy_dtype", dtype)) for dtype in held)]
        if types[0] in ("uint8", "int8") and is_pandas(X) and X.isna().any(axis=None):
            types = [np.float32]  # bytes cannot say what is missing, of which the worker tells
    return check_array(X, accept_sparse="csr", dtype=types, estimator=asked_by, input_name="X", **options)


def _refuse_columns(X: Any) -> None:
    """Refuse a frame without columns, or one of pandas with two of one name."""
    if len(getattr(X, "shape", ())) == 2 and hasattr(X, "columns") and not len(X.columns):
        raise DataError("X is a frame without columns: 0 feature(s), at least one is needed")
    if not is_pandas(X) or X.ndim != 2:
        return
    if not X.columns.is_unique:
        name = X.columns[X.columns.duplicated()].tolist()[0]
        raise DataError(f"the table: two columns are named {name!r}: rename one of them")


def names_of_matrix(X: Any) -> tuple[str, ...]:
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


def refuse_unready(X: Any, kind: Kind, y: Any, asked_by: str) -> None:
    refuse_lazy(X, kind)
    if y is None:
        raise ValueError(f"{asked_by} requires y to be passed, but the target y is None")


def refuse_lazy(X: Any, kind: Kind) -> None:
    """A table that is yet to be computed is not computed unasked."""
    if kind is Kind.LAZY:
        raise ValueError(f"{type(X).__name__} is not computed yet: give what its collect() returns")
