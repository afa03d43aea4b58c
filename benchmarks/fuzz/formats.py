"""Small files of each format, how fullbatch reads them, and what is in them by another reader."""

import csv
import gzip
import io
import json
import math
import re
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse
from pyarrow import orc

from fullbatch import file_sources, idx_sources, table_sources
from fullbatch.models.linear import Linear

NAMES = ("a", "b", "word")


class Read(NamedTuple):
    """What a reader makes of a file: names of columns, numeric ones first, and the values of each row, target last."""

    names: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def is_like(self, other: "Read | None") -> bool:
        """Whether both have the same rows."""
        if other is None or self.names != other.names or len(self.rows) != len(other.rows):
            return False
        pairs = zip(self.rows, other.rows, strict=True)
        return all(len(mine) == len(others) and all(map(_equal, mine, others)) for mine, others in pairs)


class Format(NamedTuple):
    """A format of files."""

    name: str
    ending: str
    content: Callable[[], bytes]
    sources: Callable[[Path], Sequence[Any]]
    reference: Callable[[bytes, tuple[str, ...]], Read]


def read(sources: Sequence[Any]) -> Read:
    """All rows of sources, described as a fit describes them."""
    rows, names = [], ()
    for source in sources:
        block = source.read()
        Linear("squared").describe(block, str(source))
        X = block.X
        texts = [column.levels[column.codes].tolist() for column in block.categories]
        y = np.zeros(len(X)) if block.y is None else block.y
        if hasattr(X, "tocsr"):
            rows += zip(map(_entries, X.tocsr()), y.tolist(), strict=True)
        else:
            rows += zip(*(X * block.scale).T.tolist(), *texts, y.tolist(), strict=True)
        names = tuple(block.names)
    return Read(names, rows)


def _entries(row: Any) -> tuple[Any, ...]:
    """A sparse row: how many columns it has, and the entries that are not 0."""
    row = row.tocoo()
    return (row.shape[-1], *sorted((int(j), float(v)) for j, v in zip(row.coords[-1], row.data, strict=True) if v))


def _equal(mine: Any, other: Any) -> bool:
    if isinstance(mine, float | int) and isinstance(other, float | int):
        return float(mine) == float(other) or (math.isnan(mine) and math.isnan(other))
    return bool(mine == other)


# --- tables -----------------------------------------------------------------------------------------------------------


def _table(rows: int = 60) -> pa.Table:
    rng = np.random.default_rng(0)
    words = np.array(["north", "south", "east, or so"])
    columns = {"a": rng.normal(size=rows).round(3), "b": np.arange(rows), "word": words[rng.integers(0, 3, rows)]}
    return pa.table({**columns, "y": rng.integers(0, 3, rows)})


def _text(delimiter: str) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    table = _table()
    writer.writerow(table.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in table.columns), strict=True))
    return file.getvalue().encode()


def _rows_of(columns: Mapping[str, Sequence[Any]], names: tuple[str, ...]) -> Read:
    return Read(names, list(zip(*(columns[name] for name in (*names, "y")), strict=True)))


def _read_text(delimiter: str) -> Callable[[bytes, tuple[str, ...]], Read]:
    def reference(content: bytes, names: tuple[str, ...]) -> Read:
        text = content.decode("utf-8-sig")
        header, *rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
        rows = [row for row in rows if row]
        columns = {name: [_value(row[place]) for row in rows] for place, name in enumerate(header)}
        for name, values in columns.items():
            if any(isinstance(value, str) for value in values):
                columns[name] = [row[header.index(name)] for row in rows]
        return _rows_of(columns, names)

    return reference


def _json_lines() -> bytes:
    return "".join(json.dumps(row) + "\n" for row in _table().to_pylist()).encode()


def _read_json_lines(content: bytes, names: tuple[str, ...]) -> Read:
    rows = [json.loads(line) for line in content.decode("utf-8-sig").split("\n") if line.strip()]
    return _rows_of({name: [row[name] for row in rows] for name in (*names, "y")}, names)


def _zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, "zstd", asbytes=True)
    return packed


def _unzstd(content: bytes) -> bytes:
    with pa.CompressedInputStream(pa.BufferReader(content), "zstd") as stream:
        unpacked: bytes = stream.read()
    return unpacked


def _value(text: str) -> Any:
    if not re.fullmatch(r"[ \t]*[-+\w.]+[ \t]*", text, re.ASCII):
        return text
    try:
        return float(text)
    except ValueError:
        return text


def _parquet() -> bytes:
    file = io.BytesIO()
    pq.write_table(_table(), file, row_group_size=25, write_page_checksum=True)
    return file.getvalue()


def _arrow() -> bytes:
    file = io.BytesIO()
    table = _table()
    with pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table, 25)
    return file.getvalue()


def _orc() -> bytes:
    file = io.BytesIO()
    orc.write_table(_table(), file, stripe_size=64, batch_size=25, compression="uncompressed")
    return file.getvalue()


def _as_rows(table: pa.Table, names: tuple[str, ...]) -> Read:
    return _rows_of({name: table[name].to_pylist() for name in (*names, "y")}, names)


def _open_arrow(content: bytes) -> pa.Table:
    return pa.ipc.open_file(pa.BufferReader(content)).read_all()


def _arrow_sources(path: Path) -> Sequence[Any]:
    try:
        table = _open_arrow(path.read_bytes())
    except Exception as error:
        raise NotOursError(str(error)) from None
    return table_sources(table, target="y", blocks=3)


class NotOursError(Exception):
    """Another reader, before ours, refused the file."""


# --- numbers alone ----------------------------------------------------------------------------------------------------


def _numbers(X: np.ndarray, y: Iterable[float]) -> Read:
    return Read((), [(*row, label) for row, label in zip(np.asarray(X, float).tolist(), y, strict=True)])


def _libsvm() -> bytes:
    rng = np.random.default_rng(1)
    rows = []
    for number in range(40):
        columns = sorted(rng.choice(9, 4, replace=False) + 1)
        rows.append(f"{number % 3} " + " ".join(f"{column}:{rng.normal():.3f}" for column in columns))
    return ("\n".join(rows) + "\n").encode()


def _read_libsvm(content: bytes, names: tuple[str, ...]) -> Read:
    labels, found = [], []
    for line in content.removeprefix(b"\xef\xbb\xbf").split(b"\n"):
        words = line.partition(b"#")[0].split()
        if words:
            labels.append(float(words[0]))
            pairs = [word.split(b":") for word in words[1:] if not word.startswith(b"qid:")]
            found.append({int(index): float(value) for index, value in pairs})
    first = 0 if any(0 in row for row in found) else 1
    width = max(max(row, default=0) for row in found) + 1 - first
    rows = [(width, *sorted((index - first, value) for index, value in row.items() if value)) for row in found]
    return Read((), list(zip(rows, labels, strict=True)))


def _npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.random.default_rng(2).normal(size=(40, 3)))
    return file.getvalue()


def _read_npy(content: bytes, names: tuple[str, ...]) -> Read:
    return _numbers(np.load(io.BytesIO(content), allow_pickle=False), range(40))


def _npy_sources(path: Path) -> Sequence[Any]:
    np.save(path.parent / "labels.npy", np.arange(40.0))
    return file_sources(path, target=path.parent / "labels.npy", blocks=3)


def _npz() -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, X=np.random.default_rng(2).normal(size=(40, 3)), y=np.arange(40), offset=np.zeros(40))
    return file.getvalue()


def _read_npz(content: bytes, names: tuple[str, ...]) -> Read:
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        return _numbers(arrays["X"], arrays["y"].tolist())


def _sparse() -> bytes:
    file = io.BytesIO()
    scipy.sparse.save_npz(file, scipy.sparse.random_array((40, 9), density=0.3, rng=1, format="csr"))
    return file.getvalue()


def _read_sparse(content: bytes, names: tuple[str, ...]) -> Read:
    matrix = scipy.sparse.load_npz(io.BytesIO(content))
    return Read((), list(zip(map(_entries, matrix.tocsr()), np.arange(40.0).tolist(), strict=True)))


def _idx() -> bytes:
    pixels = np.random.default_rng(3).integers(0, 256, (30, 3, 3)).astype("u1")
    return struct.pack(">HBB3I", 0, 8, 3, *pixels.shape) + pixels.tobytes()


def _labels() -> bytes:
    return struct.pack(">HBBI", 0, 8, 1, 30) + bytes(range(30))


def _read_idx(content: bytes, names: tuple[str, ...]) -> Read:
    _, kind, rank = struct.unpack(">HBB", content[:4])
    shape = struct.unpack(f">{rank}I", content[4 : 4 + 4 * rank])
    values = np.frombuffer(
        content[4 + 4 * rank :], {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}[kind]
    )
    return _numbers(values.reshape(shape[0], math.prod(shape[1:])), range(30))


def _idx_sources(path: Path) -> Sequence[Any]:
    labels = path.parent / "labels.idx"
    labels.write_bytes(_labels())
    return idx_sources(path, labels, blocks=2)


def _file_sources(**options: Any) -> Callable[[Path], Sequence[Any]]:
    return lambda path: file_sources(path, **options)


FORMATS = {
    one.name: one
    for one in (
        Format("csv", "csv", lambda: _text(","), _file_sources(target="y", blocks=3), _read_text(",")),
        Format("tsv", "tsv", lambda: _text("\t"), _file_sources(target="y", blocks=3), _read_text("\t")),
        Format(
            "csv.zst",
            "csv.zst",
            lambda: _zstd(_text(",")),
            _file_sources(target="y", blocks=3),
            lambda content, names: _read_text(",")(_unzstd(content), names),
        ),
        Format("jsonl", "jsonl", _json_lines, _file_sources(target="y", blocks=3), _read_json_lines),
        Format("libsvm", "svm", _libsvm, _file_sources(blocks=3, dense=False), _read_libsvm),
        Format("npy", "npy", _npy, _npy_sources, _read_npy),
        Format("idx", "idx", _idx, _idx_sources, _read_idx),
        Format(
            "gz",
            "gz",
            lambda: gzip.compress(_idx(), mtime=0),
            _idx_sources,
            lambda content, names: _read_idx(gzip.decompress(content), names),
        ),
        Format(
            "parquet",
            "parquet",
            _parquet,
            _file_sources(target="y", blocks=3),
            lambda content, names: _as_rows(pq.read_table(io.BytesIO(content)), names),
        ),
        Format(
            "feather",
            "feather",
            _arrow,
            _file_sources(target="y", blocks=3),
            lambda content, names: _as_rows(_open_arrow(content), names),
        ),
        Format(
            "orc",
            "orc",
            _orc,
            _file_sources(target="y", blocks=3),
            lambda content, names: _as_rows(orc.read_table(io.BytesIO(content)), names),
        ),
        Format("npz", "npz", _npz, _file_sources(blocks=3), _read_npz),
        Format("sparse", "npz", _sparse, _npy_sources, _read_sparse),
        Format("arrow", "arrow", _arrow, _arrow_sources, lambda content, names: _as_rows(_open_arrow(content), names)),
    )
}
