"""Every kind of value that a column can hold, and what comes of it: the one table of outcomes, for all doors."""

import datetime
import decimal
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

MEANINGS = ("feature", "category", "classes", "numbers", "weight", "offset")

# What comes of a column by its meaning; `docs/data.md` shows it.
OUTCOMES = {
    "whole numbers of any type, decimals and floats too": "number levels labels number number number",
    "fractions": "number error error number number number",
    "true and false": "number levels labels number number number",
    "text": "levels levels labels error error error",
    "dictionary (pandas' categorical) of text": "levels levels labels error error error",
    "dictionary of numbers": "levels levels labels number number number",
    "integers from 2^53 on": "number levels labels number number number",
    "integers from 2^63 on": "number error labels number number number",
    "floats from 2^53 on": "number error error number number number",
    "lists of one length": "numbers levels error error error error",
    "other lists": "error error error error error error",
    "dates, times, spans of time": "error error error error error error",
    "dates and times in text files": "error levels error error error error",
    "bytes": "error error error error error error",
    "bytes in NumPy's own type or a list": "error error labels error error error",
    "missing values among others, or alone": "error error error error error error",
    "infinity": "error error error error error error",
}


@dataclass(frozen=True)
class Kind:
    """Some values of a kind.

    Parameters
    ----------
    row : str
        Of `OUTCOMES`.
    values : list
        In Python.
    type : pyarrow.DataType
        In which tables hold them.
    stored : str
        Type of the features that come of them, where there are types.
    """

    row: str
    values: list[Any]
    type: pa.DataType
    stored: str = "float64"

    def outcome(self, meaning: str) -> str:
        """What comes of them."""
        return OUTCOMES[self.row].split()[MEANINGS.index(meaning)]

    @property
    def column(self) -> pa.Array:
        """Themselves, as Arrow holds them."""
        if pa.types.is_dictionary(self.type):
            return pa.array(self.values, self.type.value_type).dictionary_encode()
        return pa.array(self.values, self.type)


_WHOLE = [0, 1, 2, 1, 0, 2, 1, 2, 0, 0, 1, 2]
ROWS = len(_WHOLE)
_FRACTIONS = [0.1, 0.7, 1 / 3, 2.5, 0.1, 1e-3, 12.25, 3.0, 0.7, 1.0, 2 / 3, 5.5]
_TEXTS = [("north", "süd", "west")[k] for k in _WHOLE]
_DAYS = [datetime.date(2024, 1, 1) + datetime.timedelta(k) for k in range(ROWS)]
_TIMES = [datetime.datetime(2024, 1, 1, 12) + datetime.timedelta(0, 3600 * k) for k in range(ROWS)]
_DECIMALS = [decimal.Decimal(k) / 4 for k in _WHOLE]


def _holed(values: list[Any], hole: Any = None) -> list[Any]:
    return [*values[:7], hole, *values[8:]]


_NUMBERS, _MISSING = "whole numbers of any type, decimals and floats too", "missing values among others, or alone"
_TIME = "dates, times, spans of time"
_STORED = {"int8": "int8", "uint8": "uint8", "float16": "float32", "float32": "float32"}

KINDS = {
    **{
        name: Kind(_NUMBERS, _WHOLE, pa.type_for_alias(name), _STORED.get(name, "float64"))
        for name in ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
    },
    **{
        name: Kind(_NUMBERS, [float(k) for k in _WHOLE], pa.type_for_alias(name), _STORED.get(name, "float64"))
        for name in ("float16", "float32", "float64")
    },
    "decimal": Kind(_NUMBERS, [decimal.Decimal(k) for k in _WHOLE], pa.decimal128(12, 0)),
    "fractions": Kind("fractions", _FRACTIONS, pa.float64()),
    "decimal fractions": Kind("fractions", _DECIMALS, pa.decimal128(12, 2)),
    "bool": Kind("true and false", [k > 0 for k in _WHOLE], pa.bool_(), "uint8"),
    "text": Kind("text", _TEXTS, pa.string()),
    "dictionary": Kind("dictionary (pandas' categorical) of text", _TEXTS, pa.dictionary(pa.int32(), pa.string())),
    "dictionary of numbers": Kind("dictionary of numbers", _WHOLE, pa.dictionary(pa.int32(), pa.int64())),
    "beyond 2^53": Kind("integers from 2^53 on", [2**53 + k for k in _WHOLE], pa.int64()),
    "beyond 2^63": Kind("integers from 2^63 on", [2**63 + k for k in _WHOLE], pa.uint64()),
    "floats beyond 2^53": Kind("floats from 2^53 on", [2.0**53 + 2 * k for k in _WHOLE], pa.float64()),
    "lists of one length": Kind("lists of one length", [[k, 2 - k] for k in _WHOLE], pa.list_(pa.int16(), 2)),
    "lists": Kind("other lists", [[k] for k in _WHOLE], pa.list_(pa.int64())),
    "date": Kind(_TIME, _DAYS, pa.date32()),
    "timestamp": Kind(_TIME, _TIMES, pa.timestamp("us")),
    "duration": Kind(_TIME, [datetime.timedelta(k) for k in range(ROWS)], pa.duration("us")),
    "bytes": Kind("bytes", [text.encode() for text in _TEXTS], pa.binary()),
    "null": Kind(_MISSING, [None] * ROWS, pa.null()),
    "int64 with null": Kind(_MISSING, _holed(_WHOLE), pa.int64()),
    "float64 with null": Kind(_MISSING, _holed(_FRACTIONS), pa.float64()),
    "NaN": Kind(_MISSING, _holed(_FRACTIONS, np.nan), pa.float64()),
    "bool with null": Kind(_MISSING, _holed([k > 0 for k in _WHOLE]), pa.bool_()),
    "decimal with null": Kind(_MISSING, _holed(_DECIMALS), pa.decimal128(12, 2)),
    "text with null": Kind(_MISSING, _holed(_TEXTS), pa.string()),
    "dictionary with null": Kind(_MISSING, _holed(_TEXTS), pa.dictionary(pa.int32(), pa.string())),
    "infinity": Kind("infinity", _holed(_FRACTIONS, np.inf), pa.float64()),
}

# What text files make of dates, and NumPy of bytes.
OTHERS = {
    **{
        name: Kind("dates and times in text files", [value.isoformat() for value in values], pa.string())
        for name, values in (("date in text", _DAYS), ("timestamp in text", _TIMES))
    },
    "bytes of NumPy": Kind("bytes in NumPy's own type or a list", KINDS["bytes"].values, pa.binary()),
}


def plain(values: list[Any], outcome: str) -> tuple[Any, ...]:
    """What a model must see of values, worked out from Python's alone."""
    if outcome == "error":
        return ()
    if outcome == "number":
        return ("numbers", np.array([float(value) for value in values]).tobytes())
    if outcome == "numbers":
        return ("numbers", np.array(values, np.float64).tobytes())
    columns = list(zip(*values, strict=True)) if isinstance(values[0], list) else [values]
    levels = [sorted({_label(value) for value in column}) for column in columns]
    codes = [[its.index(_label(value)) for value in column] for column, its in zip(columns, levels, strict=True)]
    return (outcome, levels, codes)


def _label(value: Any) -> Any:
    return value if isinstance(value, str | bytes) else int(value)
