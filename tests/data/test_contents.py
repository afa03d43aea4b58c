"""Where a name says nothing, or something else, the content of a file counts."""

import gzip
import re
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from pyarrow import orc

from fullbatch import DataError, csv_sources, file_sources, libsvm_sources, npy_sources, parquet_sources

TABLE = pa.table({"a": np.arange(30.0), "y": np.arange(30) % 2})
CALLED = {
    "parquet": "a Parquet file",
    "arrow": "an Arrow file",
    "orc": "an ORC file",
    "npy": r"a \.npy file",
    "npz": r"a \.npz file",
}


def write_all(folder):
    """The same rows by format, under names that say nothing."""
    pq.write_table(TABLE, folder / "parquet")
    feather.write_feather(TABLE, folder / "arrow")
    orc.write_table(TABLE, folder / "orc")
    with open(folder / "npy", "wb") as file:
        np.save(file, TABLE["a"].to_numpy().reshape(-1, 1))
    with open(folder / "npz", "wb") as file:
        np.savez(file, X=TABLE["a"].to_numpy().reshape(-1, 1), y=TABLE["y"].to_numpy())
    TABLE.to_pandas().to_csv(folder / "csv", index=False)
    np.save(folder / "y.npy", TABLE["y"].to_numpy())


def test_names_that_say_nothing(tmp_path):
    write_all(tmp_path)
    for name in CALLED:
        target = {"npy": tmp_path / "y.npy", "npz": None}.get(name, "y")
        for path in (tmp_path / name, f"{tmp_path}/{name[:-1]}[{name[-1]}]"):
            rows = file_sources(path, target=target, blocks=1)[0].read()
            assert rows.X.ravel().tolist() == TABLE["a"].to_pylist(), name
            assert rows.y.tolist() == TABLE["y"].to_pylist(), name
    with pytest.raises(DataError, match=r"csv: the format cannot be told from the content, nor from the name"):
        file_sources(tmp_path / "csv")
    (tmp_path / "csv").write_text("ORCHARD,PAR1\n1,2\n")
    with pytest.raises(DataError, match=r"csv: the format cannot be told"):
        file_sources(tmp_path / "csv")
    with pytest.raises(DataError, match=r"files of several formats \(arrow, parquet\)"):
        file_sources([tmp_path / "arrow", tmp_path / "parquet"])


def test_names_that_say_something_else(tmp_path):
    write_all(tmp_path)
    for name, called in CALLED.items():
        for ending in ("parquet", "arrow", "orc", "csv", "tsv", "libsvm", "npy", "npz"):
            if ending == name:
                continue
            path = tmp_path / f"{name}-file.{ending}"
            path.write_bytes((tmp_path / name).read_bytes())
            told = "csv" if ending == "tsv" else ending
            message = (
                rf"{name}-file\.{ending} should be of the format {told}, by its name or by what was told, and is "
                rf"{called}: rename it, or read it with format='{name}'"
            )
            with pytest.raises(DataError, match=message):
                file_sources(path)
            if name not in ("npy", "npz"):
                assert len(file_sources(path, format=name, target="y")) == 1
    for make, path in (
        (csv_sources, "orc"),
        (libsvm_sources, "arrow"),
        (npy_sources, "parquet"),
        (parquet_sources, "npz"),
    ):
        with pytest.raises(DataError, match=f"{path} should be of the format .* and is {CALLED[path]}"):
            make(tmp_path / path)


def test_what_is_packed(tmp_path):
    write_all(tmp_path)
    lines = "".join(f'{{"a": {a}, "y": {y}}}\n' for a, y in zip(*TABLE.to_pydict().values(), strict=True))
    for name in ("lines", "lines.gz"):
        for encoding in ("utf8", "utf-16"):
            content = lines.encode(encoding)
            (tmp_path / name).write_bytes(gzip.compress(content) if name.endswith("gz") else content)
            rows = file_sources(tmp_path / name, target="y", blocks=1)[0].read()
            assert rows.X.ravel().tolist() == TABLE["a"].to_pylist(), (name, encoding)
    for name, called in CALLED.items():
        for ending in ("parquet.gz", "csv.gz", "npz.gz", "gz"):
            path = tmp_path / f"{name}-file.{ending}"
            path.write_bytes(gzip.compress((tmp_path / name).read_bytes()))
            called_too = "a zip archive" if name == "npz" else f"{called}, packed as gzip"
            with pytest.raises(DataError, match=rf"{name}-file\.{ending} is {called_too}: unpack it"):
                file_sources(path, target="y")


def test_workbooks_and_archives_are_refused_with_advice(tmp_path):
    with zipfile.ZipFile(tmp_path / "book.xlsx", "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/workbook.xml", "<workbook/>")
    (tmp_path / "book.xls").write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + bytes(600))
    (tmp_path / "book.csv").write_bytes((tmp_path / "book.xlsx").read_bytes())
    for name in ("book.xlsx", "book.xls", "book.csv"):
        with pytest.raises(DataError, match=rf"{re.escape(name)} is an Excel workbook: save the sheet as CSV, or give"):
            file_sources(tmp_path / name, target="y")
    with zipfile.ZipFile(tmp_path / "train.zip", "w") as archive:
        archive.writestr("train.csv", "a,y\n1,0\n")
    with zipfile.ZipFile(tmp_path / "empty.parquet", "w"):
        pass
    for name in ("train.zip", "empty.parquet"):
        with pytest.raises(DataError, match=rf"{re.escape(name)} is a zip archive: unpack it, and give the files"):
            file_sources(tmp_path / name, target="y")
    (tmp_path / "torn.npz").write_bytes((tmp_path / "train.zip").read_bytes()[:60])
    with pytest.raises(DataError, match=r"torn\.npz is not a whole \.npz file: File is not a zip file: write it again"):
        file_sources(tmp_path / "torn.npz")
