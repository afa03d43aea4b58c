"""Missing values of a fit: what an estimator says of them, applied to sources of any kind.

Means and medians are learnt from sums over the blocks, by sample weight.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import add
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..protocols.rows import Rows, is_sparse
from ..wording.messages import shortened
from .around import Around
from .arrow import plain_value
from .beside import free_name
from .columns import Roles
from .features import column_names, filled
from .medians import columns_of, medians
from .table import TableSource

Array = npt.NDArray[Any]

MissingOfFit = Literal["error", "drop", "mean", "median"] | Mapping[str, Any]

# What is learnt from the rows.
_LEARNT = ("mean", "median")
# The level that missing texts are beside numbers that are learnt; with "_" behind it where a column has such a level.
_LEVEL = "missing"


def check_missing(given: Any) -> None:
    """Refuse what cannot be said of missing values, whatever the data.

    Raises
    ------
    ValueError
        It is none of the words, nor a mapping of columns to values.
    """
    if isinstance(given, Mapping):
        Roles(missing=given)
    elif not (isinstance(given, str) and given in ("error", "drop", *_LEARNT)):
        raise ValueError(
            'missing must be "error", "drop", "mean", "median", or a mapping of column to one of the last two or to '
            f"a value, got {given!r}"
        )


@dataclass(frozen=True)
class Settled:
    """Sources that say what is to be done with missing values.

    Parameters
    ----------
    sources : list of Source
    values : dict of str to value
        What stands for missing values of features, by column.
    reads : int
        Of all rows, to learn it.
    kept : tuple of str
        Columns of numbers whose missing ones are NaN, for an indicator.
    """

    sources: list[Any]
    values: dict[str, Any]
    reads: int = 0
    kept: tuple[str, ...] = ()


def settled(
    sources: Sequence[Any], missing: MissingOfFit, told: Mapping[str, Any], engine: Any, indicate: bool = False
) -> Settled:
    """Apply what an estimator says of missing values to sources, which go first in what they say themselves.

    Parameters
    ----------
    sources : sequence of Source
        Of the fit.
    missing : "error", "drop", "mean", "median" or mapping of column to "mean", "median" or a value
        What the estimator says. With "mean" and "median" missing texts are a level of their own, "missing", or with
        "_" behind it in a column that has this level.
    told : mapping of str to value
        What the sources say, by column.
    engine : Engine
        Reads the rows where something is learnt.
    indicate : bool
        Leave numbers NaN in columns in which some are missing, of which an indicator is to be made.

    Raises
    ------
    DataError
        There is no such column, or a column has no value to learn from.
    ValueError
        Rows are to be left out of sources that fill missing values in.
    """
    told = {name: plain_value(value) for name, value in told.items()}
    if isinstance(missing, str) and missing == "error":
        return Settled(list(sources), told)
    if isinstance(missing, str) and missing == "drop":
        return Settled([_dropping(source) for source in sources], told)
    readers = [_WithHoles(source) for source in sources]
    found: _Found = reduce(add, engine.map(_look, readers))
    if isinstance(missing, Mapping):
        unknown = [name for name in missing if name not in found.names]
        if unknown:
            raise DataError(
                f"missing: there is no feature {unknown[0]!r} in the fit: its features are {shortened(found.names)}"
            )
        values = {name: plain_value(value) for name, value in missing.items()}
    else:
        values = dict.fromkeys(found.numbers, missing) | {
            name: free_name(_LEVEL, found.taken.get(name, ())) for name in found.texts
        }
    values = {name: values[name] for name in found.names if name in values and name not in told}
    learnt = [name for name in values if name in found.numbers and values[name] in _LEARNT]
    reads, halved = 1, [name for name in learnt if values[name] == "median"]
    places = [found.place(name) for name in learnt]
    values |= {name: float(found.total[at] / found.weight[at]) for name, at in zip(learnt, places, strict=True)}
    if halved:
        places = [found.place(name) for name in halved]
        middle, more = medians(readers, places, found.weight[places], engine)
        values |= dict(zip(halved, middle, strict=True))
        reads += more
    if found.single:  # as they are kept, so that later rows get the very same
        values |= {name: float(np.float32(values[name])) for name in learnt}
    kept = [name for name, holes in zip(found.numbers, found.holes, strict=True) if indicate and holes]
    read = {name: value for name, value in values.items() if name not in kept}
    settled_sources = [_filling(source, read, bool(found.holes.any()), kept) for source in sources]
    return Settled(settled_sources, {**told, **values}, reads, tuple(kept))


def without_holes(rows: Rows) -> Rows:
    """The rows of a matrix in which nothing is missing."""
    X = rows.X
    absent = np.zeros(X.shape[0], bool)
    if is_sparse(X):
        absent[np.repeat(np.arange(X.shape[0]), np.diff(X.indptr))[np.isnan(X.data)]] = True
    elif X.dtype.kind == "f":
        absent |= np.isnan(X).any(axis=1)
    beside = [None if values is None else np.asarray(values) for values in (rows.y, rows.weight, rows.offset)]
    for values in beside:
        if values is None:
            continue
        if values.dtype.kind == "f" and values.ndim == 1:
            absent |= np.isnan(values)
        elif values.dtype.kind == "O":
            absent |= np.array([one is None or str(one) in ("nan", "<NA>", "NaT") for one in values.tolist()], bool)
    if not absent.any():
        return rows
    y, weight, offset = (None if values is None else values[~absent] for values in beside)
    return replace(rows, X=X[~absent], y=y, weight=weight, offset=offset, stayed=~absent)


def _dropping(source: Any) -> Any:
    if not isinstance(source, TableSource):
        return Filled(source, drop=True)
    if isinstance(source.columns.missing, Mapping) and source.columns.missing:
        raise ValueError(
            'missing="drop" leaves rows out, and the sources fill missing values in: say all of it when they are made'
        )
    return replace(source, columns=replace(source.columns, missing="drop"))


def _filling(source: Any, values: Mapping[str, Any], holes: bool, kept: Sequence[str]) -> Any:
    if not isinstance(source, TableSource):
        return Filled(source, values)
    columns = source.columns.filling(values, holes)
    return replace(source, columns=columns.with_holes() if kept else columns)


# --- sources around others ------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Filled(Around):
    """A source of a matrix, its missing numbers filled in, or the rows left out that have some.

    Parameters
    ----------
    source : Source
        What reads the rows.
    values : mapping of str to float
        What stands for missing numbers, by name of the column: x0, x1, ... where it has none.
    drop : bool
        Rows in which something is missing are left out.
    """

    values: Mapping[str, float] = field(default_factory=dict)
    drop: bool = False

    def read(self) -> Rows:
        """The rows."""
        rows: Rows = self.source.read()
        if self.drop:
            return without_holes(rows)
        return filled(rows, column_names(rows.names, rows.X.shape[1]), self.values)

    @property
    def locate(self) -> Callable[[int], str]:
        """Where a row was read from; which rows were left out is not remembered."""
        return (lambda row: f"{self}: row {row} of those kept") if self.drop else self.source.locate


@dataclass(frozen=True, eq=False)
class _WithHoles(Around):
    """A source whose missing numbers are NaN, to learn from the others."""

    def read(self) -> Rows:
        source = self.source
        if isinstance(source, TableSource):
            source = replace(source, columns=source.columns.with_holes("float64"))
        rows: Rows = source.read()
        return rows


# --- what workers find ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Found:
    """Sums over rows of the columns of numbers, and what the other columns hold.

    Parameters
    ----------
    numbers, texts, others : tuple of str
        Names of columns of numbers, of texts, and of other levels.
    weight, total : (p,) float64 arrays
        Sums of the weights of the numbers that are there, and of these times the numbers.
    single : bool
        Whether numbers are kept as float32.
    holes : (p,) bool array
        Whether a number is missing.
    taken : mapping of str to set of str
        By column of texts the levels that are called as missing ones are.
    """

    numbers: tuple[str, ...]
    texts: tuple[str, ...]
    others: tuple[str, ...]
    weight: Array
    total: Array
    single: bool
    holes: Array
    taken: Mapping[str, frozenset[str]]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.numbers, *self.texts, *self.others)

    def place(self, name: str) -> int:
        """Number of a column of which something can be learnt."""
        place = self.numbers.index(name)
        if not self.weight[place] > 0:
            raise DataError(
                f"column {name!r}: all of its values are missing, so that there is no mean or median of them: leave "
                f"the column out, or say what stands for them, missing={{{name!r}: ...}}"
            )
        return place

    def __add__(self, other: "_Found") -> "_Found":
        if self.numbers != other.numbers or {*self.names} != {*other.names}:
            raise DataError(
                f"some blocks have the columns {shortened(self.names)} and others {shortened(other.names)}: every "
                "block needs the same columns in the same order"
            )
        texts = tuple(dict.fromkeys((*self.texts, *other.texts)))  # a block without values says nothing of them
        others = tuple(name for name in self.others if name not in texts)
        sums = self.weight + other.weight, self.total + other.total
        taken = {name: self.taken.get(name, frozenset()) | other.taken.get(name, frozenset()) for name in texts}
        return _Found(self.numbers, texts, others, *sums, self.single and other.single, self.holes | other.holes, taken)


def _look(index: int, source: _WithHoles) -> _Found:
    rows = source.read()
    X, p = rows.X, rows.X.shape[1]
    names = column_names(rows.names, p + len(rows.categories))
    levels = {
        name: one.levels.tolist()
        for name, one in zip(names[p:], rows.categories, strict=True)
        if one.levels.dtype.kind == "U"
    }
    taken = {name: frozenset(level for level in own if level.rstrip("_") == _LEVEL) for name, own in levels.items()}
    sums = [(weights.sum(), values @ weights) for values, weights in columns_of(rows, range(p))]
    weight, total = np.array(sums).reshape(p, 2).T
    kept = str(getattr(getattr(source.source, "columns", None), "dtype", X.dtype))
    holes = np.zeros(p, bool)
    if is_sparse(X):
        holes[X.indices[np.isnan(X.data)]] = True
    elif X.dtype.kind == "f":
        holes = np.isnan(X).any(axis=0)
    others = tuple(name for name in names[p:] if name not in levels)
    return _Found(names[:p], tuple(levels), others, weight, total, kept != "float64", holes, taken)
