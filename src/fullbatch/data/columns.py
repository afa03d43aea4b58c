"""What the columns of a table mean: as a person says it, and to those who read its rows."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..errors import DataError
from ..protocols.rows import Rows
from ..protocols.schema import Features
from ..wording.messages import shortened
from . import arrow

Array = npt.NDArray[Any]

Missing = Literal["error", "drop"] | Mapping[str, Any]

# How a caller asks for an option: of the function that was called, or of one that takes a frame and has options.
OPTION = "{}"
TABLE_SOURCES = "table_sources(X, ..., {})"


@dataclass(frozen=True)
class Roles:
    """What the columns of tables mean to a person, before any table is seen.

    The one definition of these options, in the order in which they are handed on: functions that make sources of tables
    have them as keywords of their own, and say here what they were told.

    Parameters
    ----------
    target, weight, offset, features, exclude, categorical, missing, dtype
        As for `fullbatch.table_sources`.

    Raises
    ------
    ValueError
        An option is unknown, or not of its type.
    """

    target: str | None = None
    weight: str | None = None
    offset: str | None = None
    features: Sequence[str] | None = None
    exclude: Sequence[str] = ()
    categorical: Sequence[str] = ()
    missing: Missing = "error"
    dtype: str | None = None

    def __post_init__(self) -> None:
        for option in ("target", "weight", "offset"):
            given = getattr(self, option)
            if not (given is None or isinstance(given, str)):
                one = f": sources have one {option}" if isinstance(given, Sequence) else ""
                raise ValueError(f"{option} must be the name of a column, got {given!r}{one}")
        for option in ("features", "exclude", "categorical"):
            given = getattr(self, option)
            if isinstance(given, str):
                raise ValueError(f"{option} must be a list of columns, got the text {given!r}: write [{given!r}]")
            for name in () if given is None else given:
                if not isinstance(name, str):
                    raise ValueError(f"{option} must be a list of names of columns, got {name!r} among them")
        if self.features is not None and not len(self.features):
            raise ValueError("features is an empty list: name a column, or leave it out for all")
        if not isinstance(self.missing, Mapping) and self.missing not in ("error", "drop"):
            raise ValueError(f'missing must be "error", "drop", or a mapping of column to value, got {self.missing!r}')
        for name, value in self.missing.items() if isinstance(self.missing, Mapping) else ():
            told = arrow.plain_value(value)
            if not isinstance(told, str | int | float | Decimal) or told != told or told in (np.inf, -np.inf):
                raise ValueError(
                    f"missing={{{name!r}: {value!r}}}: that is no value to put in the place of a missing one"
                )
        if self.dtype not in (None, "float32", "float64", "uint8", "int8"):
            raise ValueError(f"dtype must be float32, float64, uint8 or int8, got {self.dtype!r}")


@dataclass(frozen=True)
class Columns:
    """The columns of a table, and what each of them is. Made by `choose_columns`.

    Parameters
    ----------
    numeric, categorical : tuple of str
        Features.
    dtype : str
        Precision in which the numeric features are kept: "float32", "float64", "uint8" or "int8".
    target, weight, offset : str or None
        Columns of that meaning.
    missing : "error", "drop" or mapping
        What to do with missing values.
    guessed : tuple of str
        Those of the categorical ones that are so because they are text, and not because somebody said so.
    elements : mapping of str to Element
        Those of the columns that are elements of lists.
    kept : tuple of str
        Columns that are handed on as they are.
    door : str
        How the caller asks for an option, for messages.
    every_row : bool
        No row may be left out.
    holes : bool
        Missing numbers among the features are NaN, of which something is to be learnt.
    """

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    dtype: str
    target: str | None
    weight: str | None
    offset: str | None
    missing: Missing
    guessed: tuple[str, ...] = ()
    elements: Mapping[str, arrow.Element] = field(default_factory=dict, hash=False)
    kept: tuple[str, ...] = ()
    door: str = OPTION
    every_row: bool = False
    holes: bool = False

    @property
    def features(self) -> tuple[str, ...]:
        """Numeric features, then categorical ones."""
        return self.numeric + self.categorical

    @property
    def used(self) -> list[str]:
        """All columns that have a meaning, and lists of which elements have one."""
        return list(
            dict.fromkeys(
                self.elements[name].column if name in self.elements else name for name in self._with_a_meaning
            )
        )

    @property
    def _with_a_meaning(self) -> list[str]:
        return [*self.features, *(name for name in (self.target, self.weight, self.offset) if name is not None)]

    @property
    def needed(self) -> list[str]:
        """All columns that must be read."""
        return list(dict.fromkeys([*self.used, *self.kept]))

    @property
    def row_bytes(self) -> int:
        """What a row takes in memory."""
        beside = sum(name is not None for name in (self.target, self.weight, self.offset))
        return len(self.numeric) * np.dtype(self.dtype).itemsize + 4 * len(self.categorical) + 8 * beside

    def rows(self, table: pa.Table, where: str, first_row: int) -> Rows:
        """Rows of a table.

        Parameters
        ----------
        table : pyarrow.Table
            With the columns `used`.
        where : str
            What it was read from, for messages.
        first_row : int
            Number of its first row there, for messages.

        Raises
        ------
        DataError
            A value is missing, infinite, or not what its column should hold: names row and column.
        """
        first_to_last = np.arange(first_row, first_row + table.num_rows)
        columns, rows, bad, absent = self._without_missing(table, where, first_to_last)

        def values(read: Callable[..., Any], name: str | None, *more: Any) -> Any:
            """What `read` makes of a column; a value that cannot be used is remembered."""
            try:
                return None if name is None else read(columns[name], name, where, rows, *more)
            except arrow.BadValue as error:
                bad.append(error)

        X = np.empty((len(rows), len(self.numeric)), self.dtype)
        for j, name in enumerate(self.numeric):
            if (stored := values(arrow.stored, name, self.dtype)) is not None:
                X[:, j] = stored
            if name in absent:
                X[absent[name], j] = np.nan
        y = values(arrow.target, self.target)
        weight, offset = values(arrow.numbers, self.weight), values(arrow.numbers, self.offset)
        categories = tuple(values(arrow.category, name, name not in self.guessed) for name in self.categorical)
        if bad:
            raise DataError(min(bad, key=lambda error: error.row).told(None if self.every_row else self.door))
        stayed = None if len(rows) == table.num_rows else np.isin(first_to_last, rows)
        return Rows(X, y, weight, 1.0, offset, categories, self.features, stayed)

    def of_fit(self, features: Features, missing: Mapping[str, Any], where: str) -> "Columns":
        """The columns of a fit out of these, in its order, with missing values filled as there unless told otherwise.

        Parameters
        ----------
        features : Features
            Of the fit, with names.
        missing : mapping of str to value
            What stood for missing values in the fit.
        where : str
            What has the columns, for messages.
        """
        check_there(features.names, self.features, where)
        levels = {*features.names[features.numeric :], *self.categorical}
        numeric = tuple(name for name in features.names if name not in levels)
        told = self.missing
        if told != "drop":
            told = {**missing, **(told if isinstance(told, Mapping) else {})} or "error"
        is_filled = any(name in missing for name in numeric)
        return replace(
            self,
            numeric=numeric,
            categorical=tuple(name for name in features.names if name in levels),
            dtype="float64" if is_filled and self.dtype in ("uint8", "int8") else self.dtype,
            missing=told,
        )

    def filling(self, values: Mapping[str, Any], holes: bool) -> "Columns":
        """The same, with values in the place of missing ones of which nothing is told yet.

        Parameters
        ----------
        values : mapping of str to value
        holes : bool
            Whether any number is missing.
        """
        if self.missing == "drop":
            return self
        dtype = "float32" if holes and self.dtype in ("uint8", "int8") else self.dtype
        return replace(self, dtype=dtype, missing={**values, **(self.missing if self.missing != "error" else {})})

    def with_holes(self, dtype: str | None = None) -> "Columns":
        """The same, with NaN in the place of missing numbers of which nothing is told; in a type that has it."""
        return replace(self, dtype=dtype or ("float64" if self.dtype in ("uint8", "int8") else self.dtype), holes=True)

    def _without_missing(
        self, table: pa.Table, where: str, rows: Array
    ) -> tuple[dict[str, Any], Array, list[arrow.BadValue], dict[str, Array]]:
        """The plain columns by name, the numbers of their rows, what is wrong with them, and where numbers are to be
        NaN.
        """
        fill = self.missing if isinstance(self.missing, Mapping) else {}
        columns = {name: arrow.plain(self._column(table, name)) for name in self._with_a_meaning}
        dropped = None
        first_absent: dict[str, int] = {}
        holes: dict[str, Array] = {}
        for name, column in columns.items():
            if pa.types.is_null(column.type):  # of a file without any value in this column
                is_text = name in self.categorical and not isinstance(fill.get(name, ""), Real)
                is_whole = isinstance(fill.get(name), Integral)
                type_ = pa.string() if is_text else pa.int64() if is_whole else pa.float64()
                column = columns[name] = column.cast(type_)
            absent = arrow.absent(column)
            if not pc.any(absent).as_py():
                continue
            if name in fill:
                columns[name] = arrow.filled(column, absent, fill[name], name)
            elif self.missing == "drop":
                dropped = absent if dropped is None else pc.or_(dropped, absent)
            else:  # anything in their place, to find what else is wrong
                if self.holes and name in self.features:
                    holes[name] = np.asarray(absent)
                else:
                    first_absent[name] = int(rows[pc.index(absent, True).as_py()])
                if (kind := arrow.kind(column.type)) in ("number", "text"):
                    columns[name] = arrow.filled(column, absent, "" if kind == "text" else 0, name)
        bad = [self._absent(first_absent, where)] if first_absent else []
        if dropped is None:
            return columns, rows, bad, holes
        kept = pc.invert(dropped)
        return {name: column.filter(kept) for name, column in columns.items()}, rows[kept.to_numpy()], bad, holes

    def _absent(self, first: Mapping[str, int], where: str) -> arrow.BadValue:
        """What is to be said of missing values: of the first one, and of the columns that have some."""
        name = min(first, key=lambda name: first[name])
        others = [other for other in first if other != name]
        drop = "" if self.every_row else " leave such rows out with " + self.door.format('missing="drop"')
        if name in self.features:
            told = "missing={" + ", ".join(f"{one!r}: ..." for one in (name, *others) if one in self.features) + "}"
            advice = f"{drop and ',' + drop}, or say what stands for it: {told if drop else self.door.format(told)}"
            advice += '. A linear model can learn it: missing="median"' if drop else ""
        else:  # a target, weight or offset, which nothing stands for
            advice = drop and f', or{drop}. A linear model leaves them out itself: missing="drop"'
        return arrow.BadValue(
            f"{where}: row {first[name]}, column {name!r}: the value is missing"
            + (f" (as are some of {shortened(others)})" if others else "")
            + f". Fill it in{advice}",
            first[name],
        )

    def _column(self, table: pa.Table, name: str) -> pa.ChunkedArray:
        element = self.elements.get(name)
        return table[name] if element is None else arrow.element(table[element.column], element.places)


def check_there(names: Iterable[str], there: Sequence[str], where: str) -> None:
    """Refuse names of columns that are not there, all at once."""
    lacking = list(dict.fromkeys(name for name in names if name not in there))
    if lacking:
        no = "is no column" if len(lacking) == 1 else "are no columns"
        raise DataError(f"{where}: there {no} {shortened(lacking)}: its columns are {shortened(there)}")
