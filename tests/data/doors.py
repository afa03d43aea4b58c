"""The doors through which rows come: each holds an Arrow table in its own way, and makes sources of that."""

import bz2
import datetime
import decimal
import gzip
import json
import lzma
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import dask
import dask.array
import dask.dataframe
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet as pq

from fullbatch import array_sources, file_sources, libsvm_sources, npy_sources, table_sources
from fullbatch.data.given import given_to_fit

EVERY = ("feature", "category", "classes", "numbers", "weight", "offset")
UNSAID = tuple(meaning for meaning in EVERY if meaning != "category")  # where nobody can say categorical=


@dataclass(frozen=True)
class Door:
    """A way in.

    Parameters
    ----------
    hold : callable
        What holds a table in this way; a path, of a file in the folder that it is told.
    open : callable
        Sources of that, with options of `table_sources`.
    typed : bool
        Columns keep the types that they have in the table.
    reads_as : mapping of kind to kind
        Kinds of which this door makes another, whose outcome is then theirs.
    lacks : tuple of str
        Kinds that it cannot hold.
    refuses : mapping of (kind, meaning) to str
        What is an error here and a value elsewhere, and why.
    meanings : tuple of str
        Those that a column can be given.
    named : bool
        Columns have names.
    """

    hold: Callable[[pa.Table, Path], Any]
    open: Callable[..., list[Any]]
    typed: bool = True
    reads_as: Mapping[str, str] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()
    refuses: Mapping[tuple[str, str], str] = field(default_factory=dict)
    meanings: tuple[str, ...] = EVERY
    named: bool = True


# --- text -----------------------------------------------------------------------------------------------------------


_IN_TEXT = {
    "dictionary of numbers": "int64",
    "beyond 2^63": "floats beyond 2^53",
    "date": "date in text",
    "timestamp": "timestamp in text",
}


def _cell(value: Any, point: str) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float | decimal.Decimal):
        return str(value).replace(".", point)
    text = value.isoformat() if isinstance(value, datetime.datetime) else str(value)
    return '"' + text.replace('"', '""') + '"' if any(mark in text for mark in '",;\n') else text


def _csv_text(table: pa.Table, delimiter: str, end: str, point: str) -> str:
    rows = [table.column_names, *zip(*(column.to_pylist() for column in table.columns), strict=True)]
    return "".join(delimiter.join(_cell(value, point) for value in row) + end for row in rows)


def csv(
    ending: str = "csv",
    pack: Callable[[bytes], bytes] = bytes,
    encoding: str = "utf-8",
    delimiter: str = ",",
    end: str = "\n",
    note: str | None = None,
    **options: Any,
) -> Door:
    """CSV files, with a column that is left out where there is a note."""
    point = options.get("decimal", ".")
    left_out = [] if note is None else ["note"]

    def hold(table: pa.Table, folder: Path) -> Path:
        if note is not None:
            table = table.append_column("note", pa.array([note] * table.num_rows))
        path = folder / f"t.{ending}"
        path.write_bytes(pack(_csv_text(table, delimiter, end, point).encode(encoding)))
        return path

    def opened(path: Path, exclude: Any = (), **roles: Any) -> list[Any]:
        told = {} if ending == "tsv" else {"delimiter": delimiter}
        told |= {"encoding": "latin1"} if encoding == "latin-1" else {}
        return file_sources(path, exclude=[*exclude, *left_out], **told, **options, **roles)

    return Door(
        hold,
        opened,
        typed=False,
        reads_as=_IN_TEXT,
        lacks=("lists", "lists of one length", "bytes", "duration"),
    )


def _zstd(content: bytes) -> bytes:
    return pa.Codec("zstd").compress(content, asbytes=True)


def _bare(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, decimal.Decimal):
        return float(value) if value % 1 else int(value)
    if isinstance(value, datetime.date | datetime.datetime):
        return value.isoformat()
    return None if value != value else value


def _json(table: pa.Table) -> bytes:
    rows = ({name: _bare(value) for name, value in row.items()} for row in table.to_pylist())
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def json_lines(ending: str, pack: Callable[[bytes], bytes] = bytes) -> Door:
    """An object on each line."""

    def hold(table: pa.Table, folder: Path) -> Path:
        path = folder / f"t.{ending}"
        path.write_bytes(pack(_json(table)))
        return path

    return Door(
        hold,
        file_sources,
        typed=False,
        reads_as={
            **_IN_TEXT,
            "lists of one length": "lists",  # whose length nobody promises
        },
        lacks=("infinity", "bytes", "duration"),
    )


# --- tables in files --------------------------------------------------------------------------------------------------


def _halves(table: pa.Table) -> list[pa.Table]:
    """Two parts of a table, the second with its columns in another order."""
    return [table.slice(0, 5), table.slice(5).select(table.column_names[::-1])]


def binary(ending: str, write: Callable[[pa.Table, Path], Any], **more: Any) -> Door:
    """Files that know the types of their columns."""

    def hold(table: pa.Table, folder: Path) -> Path:
        path = folder / f"t{ending}"
        if not ending:
            path.mkdir(exist_ok=True)
        write(table, path)
        return path

    return Door(hold, file_sources, **more)


def _hive(table: pa.Table, path: Path) -> None:
    for number, part in enumerate([table.slice(0, 5), table.slice(5)]):
        (path / f"part={number}").mkdir(exist_ok=True)
        pq.write_table(part, path / f"part={number}" / "0.parquet")


def _several(table: pa.Table, path: Path) -> None:
    for number, part in enumerate(_halves(table)):
        pq.write_table(part, path / f"{number}.parquet")


def _feather(table: pa.Table, path: Path) -> None:
    with pa.ipc.new_file(path, table.schema) as file:
        file.write_table(table, 5)


def _orc(table: pa.Table, path: Path) -> None:
    columns = {
        name: column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        for name, column in zip(table.column_names, table.columns, strict=True)
    }
    pa.orc.write_table(pa.table(columns), path)


_NO_ORC = ("null", "lists of one length", "duration", "float16", "uint8", "uint16", "uint32", "uint64", "beyond 2^63")


def _without_part(path: Path, exclude: Any = (), **roles: Any) -> list[Any]:
    return file_sources(path, exclude=[*exclude, "part"], **roles)


# --- tables in memory -------------------------------------------------------------------------------------------------

_NULLABLE = {
    **{pa.type_for_alias(name): dtype() for name, dtype in {
        "int8": pd.Int8Dtype, "int16": pd.Int16Dtype, "int32": pd.Int32Dtype, "int64": pd.Int64Dtype,
        "uint8": pd.UInt8Dtype, "uint16": pd.UInt16Dtype, "uint32": pd.UInt32Dtype, "uint64": pd.UInt64Dtype,
        "float32": pd.Float32Dtype, "float64": pd.Float64Dtype, "bool": pd.BooleanDtype, "string": pd.StringDtype,
    }.items()},
}  # fmt: skip


def numpy_frame(table: pa.Table, folder: Path) -> Any:
    return table.to_pandas()


def nullable_frame(table: pa.Table, folder: Path) -> Any:
    return table.to_pandas(types_mapper=_NULLABLE.get)


def arrow_frame(table: pa.Table, folder: Path) -> Any:
    return table.to_pandas(types_mapper=pd.ArrowDtype)


def polars_frame(table: pa.Table, folder: Path) -> Any:
    return pl.from_arrow(table)


def chunked(table: pa.Table, folder: Path) -> Any:
    return pa.concat_tables([table.slice(0, 5), table.slice(5, 0), table.slice(5)])


def dask_frame(table: pa.Table, folder: Path) -> Any:
    return dask.dataframe.from_pandas(table.to_pandas(types_mapper=pd.ArrowDtype), npartitions=2)


def dask_numpy_frame(table: pa.Table, folder: Path) -> Any:
    with dask.config.set({"dataframe.convert-string": False}):
        return dask.dataframe.from_pandas(table.to_pandas(), npartitions=2)


def as_it_is(table: pa.Table, folder: Path) -> Any:
    return table


# --- what stands beside each other ------------------------------------------------------------------------------------


def by_name(frame: Any, features: list[str], target: Any, weight: Any = None, offset: Any = None) -> list[Any]:
    """`fit(frame, "y")`."""
    used = [*features, *(name for name in (target, weight, offset) if name is not None)]
    X = frame.select(used) if isinstance(frame, pa.Table | pl.DataFrame) else frame[used]
    return given_to_fit(X, target, weight, offset, asked_by="the model").sources


def by_value(frame: Any, features: list[str], target: Any, weight: Any = None, offset: Any = None) -> list[Any]:
    """`fit(frame, y)`."""
    X = frame.select(features) if isinstance(frame, pa.Table | pl.DataFrame) else frame[features]
    beside = [None if name is None else frame[name] for name in (target, weight, offset)]
    return given_to_fit(X, *beside, asked_by="the model").sources


def _array(column: pa.ChunkedArray) -> Any:
    """A column as people have it in NumPy: numbers, texts and dates in types of its own, else objects."""
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_date(column.type):
        return np.array(column.to_pylist(), "datetime64[D]")
    if pa.types.is_string(column.type) and not column.null_count:
        return np.array(column.to_pylist())
    if column.null_count or pa.types.is_decimal(column.type) or pa.types.is_nested(column.type):
        return np.array([*column.to_pylist(), None], object)[:-1]
    return column.to_numpy()


def arrays(table: pa.Table, folder: Path) -> dict[str, Any]:
    return {name: _array(table[name]) for name in table.column_names}


def lists(table: pa.Table, folder: Path) -> dict[str, Any]:
    return {name: table[name].to_pylist() for name in table.column_names}


def _matrix(held: Mapping[str, Any], features: list[str]) -> Any:
    first = held[features[0]]
    if isinstance(first, list):
        return [list(row) for row in zip(*(held[name] for name in features), strict=True)]
    return np.column_stack([held[name] for name in features])


def of_arrays(
    held: Mapping[str, Any], features: list[str], target: Any, weight: Any = None, offset: Any = None
) -> list[Any]:
    """`array_sources(X, y, ...)`."""
    beside = [None if name is None else held[name] for name in (target, weight, offset)]
    return array_sources(_matrix(held, features), *beside)


def fit_of_arrays(
    held: Mapping[str, Any], features: list[str], target: Any, weight: Any = None, offset: Any = None
) -> list[Any]:
    """`fit(X, y, ...)`."""
    beside = [None if name is None else held[name] for name in (target, weight, offset)]
    return given_to_fit(_matrix(held, features), *beside, asked_by="the model").sources


def of_dask_arrays(
    held: Mapping[str, Any], features: list[str], target: Any, weight: Any = None, offset: Any = None
) -> list[Any]:
    """`array_sources` of Dask arrays in chunks that do not end where blocks do."""
    beside = [
        None if name is None else dask.array.from_array(held[name], chunks=7) for name in (target, weight, offset)
    ]
    return array_sources(dask.array.from_array(_matrix(held, features), chunks=(5, 1)), *beside)


def npy(table: pa.Table, folder: Path) -> Any:
    return folder, arrays(table, folder)


def of_npy(held: Any, features: list[str], target: Any, weight: Any = None, offset: Any = None) -> list[Any]:
    folder, columns = held
    np.save(folder / "X.npy", _matrix(columns, features))
    for name in (target, weight, offset):
        if name is not None:
            np.save(folder / f"{name}.npy", columns[name])
    beside = [None if name is None else folder / f"{name}.npy" for name in (target, weight, offset)]
    return npy_sources(folder / "X.npy", *beside)


def of_npz(held: Any, features: list[str], target: Any, weight: Any = None, offset: Any = None) -> list[Any]:
    folder, columns = held
    beside = {"y": target, "sample_weight": weight, "offset": offset}
    its = {key: columns[name] for key, name in beside.items() if name is not None}
    np.savez(folder / "t.npz", X=_matrix(columns, features), **its)
    return file_sources(folder / "t.npz")


def of_libsvm(held: Any, features: list[str], target: Any, weight: Any = None, offset: Any = None) -> list[Any]:
    folder, columns = held
    rows = zip(columns[target].tolist(), *(columns[name].tolist() for name in features), strict=True)
    lines = [
        " ".join([repr(y), *(f"{place}:{float(value)!r}" for place, value in enumerate(row, 1) if value != 0)])
        for y, *row in rows
    ]
    (folder / "t.svm").write_text("\n".join(lines) + "\n")
    return libsvm_sources(folder / "t.svm", dense=True, n_features=len(features), zero_based=False)


# A matrix has one type, no text among its features, and no column of lists.
_TEXT_FEATURES = {(kind, "feature"): "a matrix holds numbers" for kind in ("text", "dictionary")}
_OF_ARRAYS: dict[str, Any] = {
    "reads_as": {"dictionary of numbers": "int64"},
    "lacks": ("lists", "lists of one length"),
    "refuses": _TEXT_FEATURES,
    "meanings": UNSAID,
    "named": False,
}
_PICKLED = (
    "decimal", "decimal fractions", "bytes", "null", "int64 with null", "float64 with null", "bool with null",
    "decimal with null", "text with null", "dictionary with null",
)  # fmt: skip
_OF_FILES = {**_OF_ARRAYS, "lacks": (*_OF_ARRAYS["lacks"], *_PICKLED)}

_OF_LISTS: dict[str, Any] = {
    **_OF_ARRAYS,
    "reads_as": {**_OF_ARRAYS["reads_as"], "bytes": "bytes of NumPy"},
    "typed": False,
}
_OF_LIBSVM: dict[str, Any] = {
    **_OF_FILES,
    "lacks": (*_OF_FILES["lacks"], "text", "dictionary", "bool", "date", "timestamp", "duration", "bytes"),
    "reads_as": {**_OF_ARRAYS["reads_as"], "beyond 2^53": "floats beyond 2^53", "beyond 2^63": "floats beyond 2^53"},
    "meanings": ("feature", "classes", "numbers"),
    "typed": False,
}
_PLAIN: dict[str, Any] = {"reads_as": {"dictionary of numbers": "int64"}}
_OF_PANDAS: dict[str, Any] = {"reads_as": {"lists of one length": "lists"}}  # in columns of objects
_BESIDE: dict[str, Any] = {"meanings": UNSAID}

DOORS: dict[str, Door] = {
    "csv": csv(),
    "csv with CRLF": csv(end="\r\n"),
    "csv with a byte order mark": csv(encoding="utf-8-sig"),
    "csv.gz": csv("csv.gz", gzip.compress),
    "csv.bz2": csv("csv.bz2", bz2.compress),
    "csv.xz": csv("csv.xz", lzma.compress),
    "csv.zst": csv("csv.zst", _zstd),
    "csv in UTF-16": csv(encoding="utf-16"),
    "csv in latin-1": csv(encoding="latin-1"),
    "csv with decimal commas": csv(delimiter=";", decimal=","),
    "csv with quoted line breaks": csv(note='two "lines",\nin one value'),
    "csv with a column of empty texts": csv(note=""),
    "tsv": csv("tsv", delimiter="\t"),
    "json lines": json_lines("jsonl"),
    "json lines, packed": json_lines("jsonl.gz", gzip.compress),
    "parquet": binary(".parquet", pq.write_table, **_PLAIN),
    "parquet in row groups": binary(
        ".parquet", lambda table, path: pq.write_table(table, path, row_group_size=5), **_PLAIN
    ),
    "parquet of another version": binary(
        ".parquet",
        lambda table, path: pq.write_table(table, path, use_dictionary=False, compression="zstd"),
        **_PLAIN,
    ),
    "hive folders": replace(binary("", _hive, **_PLAIN), open=_without_part),
    "several parquet files": binary("", _several, **_PLAIN),
    "arrow": binary(".arrow", _feather),
    "feather": binary(".feather", pa.feather.write_feather),
    "orc": binary(".orc", _orc, reads_as={"dictionary of numbers": "int64", "dictionary": "text"}, lacks=_NO_ORC),
    "pandas": Door(numpy_frame, table_sources, **_OF_PANDAS),
    "pandas, nullable": Door(nullable_frame, table_sources, **_OF_PANDAS),
    "pandas of Arrow": Door(arrow_frame, table_sources),
    "polars": Door(polars_frame, table_sources, **_PLAIN),
    "Arrow table": Door(as_it_is, table_sources),
    "Arrow table in chunks": Door(chunked, table_sources),
    "Dask frame of Arrow": Door(dask_frame, table_sources),
    "Dask frame of NumPy": Door(dask_numpy_frame, table_sources, **_OF_PANDAS),
    "fit(pandas, name)": Door(numpy_frame, by_name, **_BESIDE, **_OF_PANDAS),
    "fit(pandas, values)": Door(numpy_frame, by_value, **_BESIDE, **_OF_PANDAS),
    "fit(nullable, name)": Door(nullable_frame, by_name, **_BESIDE, **_OF_PANDAS),
    "fit(nullable, values)": Door(nullable_frame, by_value, **_BESIDE, **_OF_PANDAS),
    "fit(pandas of Arrow, values)": Door(arrow_frame, by_value, **_BESIDE),
    "fit(polars, name)": Door(polars_frame, by_name, **_BESIDE, **_PLAIN),
    "fit(polars, values)": Door(polars_frame, by_value, **_BESIDE, **_PLAIN),
    "fit(Arrow, values)": Door(as_it_is, by_value, **_BESIDE),
    "fit(Dask frame, name)": Door(dask_frame, by_name, **_BESIDE),
    "fit(Dask frame, values)": Door(dask_frame, by_value, **_BESIDE),
    "arrays": Door(arrays, of_arrays, **_OF_ARRAYS),
    "fit(array, array)": Door(arrays, fit_of_arrays, **_OF_ARRAYS),
    "fit(list, list)": Door(lists, fit_of_arrays, **_OF_LISTS),
    "Dask arrays": Door(arrays, of_dask_arrays, **_OF_ARRAYS),
    "npy": Door(npy, of_npy, **_OF_FILES),
    "npz": Door(npy, of_npz, **_OF_FILES),
    "libsvm": Door(npy, of_libsvm, **_OF_LIBSVM),
}
