"""Files at URLs give what the same files of this machine give."""

import pickle
import subprocess
import sys
import textwrap

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.feather as feather
import pytest
from pyarrow import orc
from tables import table, write_libsvm, write_parquet_directory

from fullbatch import (
    DataError,
    LogisticRegression,
    MissingExtraError,
    RayEngine,
    SerialEngine,
    csv_sources,
    file_sources,
    libsvm_sources,
    npy_sources,
    parquet_sources,
)


def write_all(directory):
    frame = table()
    write_parquet_directory(frame, directory / "parquet")
    (directory / "parquet" / "_hidden.parquet").write_text("")
    frame.iloc[:90].to_csv(directory / "a.csv", index=False)
    frame.iloc[90:].to_csv(directory / "b.csv", index=False)
    write_libsvm(frame, directory / "table.libsvm")
    arrow = pa.Table.from_pandas(frame)
    feather.write_feather(arrow, directory / "table.arrow", chunksize=33)
    orc.write_table(arrow, directory / "table.orc", stripe_size=64, batch_size=33)
    np.savez_compressed(directory / "table.npz", X=frame.drop(columns="y").to_numpy(), y=frame["y"].to_numpy())
    np.save(directory / "X.npy", frame.drop(columns="y").to_numpy())
    np.save(directory / "y.npy", frame["y"].to_numpy())


def as_sources(root):
    return {
        "parquet": parquet_sources(f"{root}/parquet", target="y", block_rows=30),
        "globs": parquet_sources([f"{root}/parquet/*-[0-3]*", f"{root}/parquet/*-[4-9]*"], target="y", block_rows=30),
        "csv": csv_sources([f"{root}/a.csv", f"{root}/b.csv"], target="y", block_rows=30),
        "libsvm": libsvm_sources(f"{root}/table.libsvm", block_rows=30),
        "npy": npy_sources(f"{root}/X.npy", f"{root}/y.npy", block_rows=30),
        "arrow": file_sources(f"{root}/table.arrow", target="y", block_rows=30),
        "orc": file_sources(f"{root}/*.orc", target="y", block_rows=30),
        "npz": file_sources(f"{root}/table.npz", block_rows=30),
        "by ending": file_sources(f"{root}/*.csv", target="y", block_rows=30),
    }


def fitted_bytes(sources, engine="serial"):
    model = LogisticRegression(engine=engine, tol=1e-6).fit(sources)
    return model.coef_.tobytes() + model.intercept_.tobytes()


@pytest.fixture
def in_memory(tmp_path):
    write_all(tmp_path)
    system = fsspec.filesystem("memory")
    system.put(f"{tmp_path}/", "/bucket", recursive=True)  # what is in it, also where the bucket is there already
    yield "memory://bucket"
    system.rm("/bucket", recursive=True)


def test_same_bytes_from_urls(tmp_path, in_memory):
    expected = fitted_bytes(as_sources(tmp_path)["csv"])
    for root in (in_memory, f"local://{tmp_path}", f"file://{tmp_path}"):
        for name, sources in as_sources(root).items():
            assert fitted_bytes(sources) == expected, (root, name)
            streamed = LogisticRegression(engine=SerialEngine(memory=2000), tol=1e-6).fit(sources)
            assert streamed.coef_.tobytes() + streamed.intercept_.tobytes() == expected, (root, name)


def test_workers_read_urls(tmp_path, ray_session):
    write_all(tmp_path)
    expected = fitted_bytes(as_sources(tmp_path)["npy"])
    sources = as_sources(f"local://{tmp_path}")
    for name in ("parquet", "csv"):
        assert fitted_bytes(sources[name], RayEngine(2)) == expected, name
    for name in sources:  # what the others need on a worker is to be sent there
        assert fitted_bytes(pickle.loads(pickle.dumps(sources[name]))) == expected, name


def test_files_are_named_by_their_urls(in_memory):
    sources = parquet_sources(f"{in_memory}/parquet", target="y")
    assert str(sources[0]).startswith("memory:///bucket/parquet/part-0.parquet rows 0..10 and memory:///bucket/")
    system = fsspec.filesystem("memory")
    system.pipe("/bucket/bad.csv", b"a,y\n1,2\n3\n")
    with pytest.raises(DataError, match=r"memory:///bucket/bad\.csv: row 1 has 1 values"):
        csv_sources(f"{in_memory}/bad.csv", target="y")
    system.pipe("/bucket/bad.parquet", b"PAR1")
    with pytest.raises(DataError, match=r"memory:///bucket/bad\.parquet is not a whole Parquet file"):
        parquet_sources(f"{in_memory}/bad.parquet")
    system.pipe("/bucket/empty/note.md", b"")
    for url, what in (
        ("nothing.csv", "no such file or directory"),
        ("nothing*.csv", "no file matches it"),
        ("empty", r"there is no \*\.csv or \*\.tsv or \*\.txt in it"),
    ):
        with pytest.raises(DataError, match=rf"memory://bucket/{url.replace('*', '.*')}: {what}"):
            csv_sources(f"{in_memory}/{url}")
    sources = npy_sources(f"{in_memory}/X.npy", f"{in_memory}/y.npy")
    system.rm("/bucket/X.npy")
    with pytest.raises(DataError, match=r"cannot read memory:///bucket/X\.npy"):
        sources[0].read()


def test_schemes_that_cannot_be_opened(monkeypatch):
    with pytest.raises(DataError, match=r"cannot read nosuch://x/a\.csv: Protocol not known: nosuch"):
        csv_sources("nosuch://x/a.csv")
    monkeypatch.delitem(sys.modules, "fullbatch.data.remote_")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(MissingExtraError, match=r"fullbatch\[fsspec\]") as caught:
        csv_sources("memory://x/a.csv")
    assert caught.value.name == "fsspec"
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)  # it comes from workers too


def test_paths_need_no_fsspec(tmp_path):
    write_all(tmp_path)
    program = textwrap.dedent(f"""
        import sys
        sys.modules["fsspec"] = None
        from fullbatch import LogisticRegression, csv_sources, npy_sources, parquet_sources
        for sources in (
            parquet_sources("{tmp_path}/parquet", target="y"),
            csv_sources("file://{tmp_path}/a.csv", target="y"),
            npy_sources("{tmp_path}/X.npy", "{tmp_path}/y.npy"),
        ):
            print(LogisticRegression().fit(sources).coef_.tobytes().hex())
    """)
    command = [sys.executable, "-W", "ignore", "-c", program]
    coefs = subprocess.run(command, check=True, timeout=300, stdout=subprocess.PIPE, text=True).stdout.split()
    expected = [
        LogisticRegression().fit(sources).coef_.tobytes().hex()
        for sources in (
            parquet_sources(tmp_path / "parquet", target="y"),
            csv_sources(tmp_path / "a.csv", target="y"),
            npy_sources(tmp_path / "X.npy", tmp_path / "y.npy"),
        )
    ]
    assert coefs == expected
