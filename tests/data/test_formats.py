"""The same data in any format gives the same model, to the byte."""

import json
import pickle

import numpy as np
import polars
import pyarrow as pa
import pyarrow.feather as feather
import pytest
from pyarrow import orc
from tables import table, write_libsvm, write_parquet_directory

from fullbatch import (
    DataError,
    LogisticRegression,
    RayEngine,
    csv_sources,
    file_sources,
    json_sources,
    libsvm_sources,
    npy_sources,
    parquet_sources,
    table_sources,
)


def fitted_bytes(sources):
    model = LogisticRegression(engine="serial", tol=1e-6).fit(sources)
    return model.coef_.tobytes() + model.intercept_.tobytes() + model.classes_.tobytes()


def as_sources(frame, directory, **cut):
    """Every format, by name."""
    frame.to_csv(directory / "table.csv", index=False)
    frame.to_csv(directory / "table.csv.gz", index=False)
    lines = [json.dumps(row) + "\n" for row in frame.to_dict("records")]  # pandas would round
    (directory / "table.jsonl").write_text("".join(lines))
    frame.iloc[:90].to_csv(directory / "first.tsv", index=False, sep="\t")
    frame.iloc[90:].to_csv(directory / "second.tsv", index=False, sep="\t")
    write_parquet_directory(frame, directory / "parquet")
    write_libsvm(frame, directory / "table.libsvm")
    X, y = frame.drop(columns="y").to_numpy(), frame["y"].to_numpy()
    np.save(directory / "X0.npy", X[:50])
    np.save(directory / "X1.npy", np.asfortranarray(X[50:]))
    np.save(directory / "y.npy", y)
    arrow = pa.Table.from_pandas(frame)
    feather.write_feather(arrow.slice(0, 70), directory / "0.feather", compression="zstd", chunksize=33)
    feather.write_feather(arrow.slice(70), directory / "1.arrow", compression="uncompressed")
    orc.write_table(arrow, directory / "table.orc", stripe_size=64, batch_size=40)
    np.savez(directory / "0.npz", X=X[:50], y=y[:50])
    np.savez_compressed(directory / "1.npz", X=np.asfortranarray(X[50:]), y=y[50:])
    return {
        "csv": csv_sources(directory / "table.csv", target="y", **cut),
        "packed csv": csv_sources(directory / "table.csv.gz", target="y", **cut),
        "two tsv files": csv_sources(directory / "*.tsv", target="y", delimiter="\t", **cut),
        "json lines": json_sources(directory / "table.jsonl", target="y", **cut),
        "parquet": parquet_sources(directory / "parquet", target="y", **cut),
        "libsvm": libsvm_sources(directory / "table.libsvm", **cut),
        "npy": npy_sources(directory / "X?.npy", directory / "y.npy", **cut),
        "pandas": table_sources(frame, target="y", **cut),
        "polars": table_sources(polars.from_pandas(frame), target="y", **cut),
        "arrow": table_sources(pa.Table.from_pandas(frame), target="y", **cut),
        "feather and arrow": file_sources([directory / "0.feather", directory / "1.arrow"], target="y", **cut),
        "orc": file_sources(directory / "table.orc", target="y", **cut),
        "npz": file_sources(directory / "?.npz", **cut),
        "by ending": file_sources(directory / "table.csv", target="y", **cut),
    }


@pytest.mark.parametrize("cut", [{}, {"block_rows": 30}, {"blocks": 4}], ids=str)
def test_same_bytes_from_every_format(tmp_path, cut):
    frame = table()
    models = {name: fitted_bytes(sources) for name, sources in as_sources(frame, tmp_path, **cut).items()}
    models["arrays"] = LogisticRegression(engine="serial", tol=1e-6)
    if not cut:
        model = models["arrays"].fit(frame.drop(columns="y"), frame["y"])
        models["arrays"] = model.coef_.tobytes() + model.intercept_.tobytes() + model.classes_.tobytes()
    else:
        del models["arrays"]
    assert len(set(models.values())) == 1, {name: hash(model) for name, model in models.items()}


@pytest.mark.slow
def test_same_rows_on_ray(tmp_path, ray_session):
    frame = table()
    sources = as_sources(frame, tmp_path, block_rows=30)
    expected = LogisticRegression(engine="serial").fit(sources["pandas"])
    for name in sources:  # as workers get them
        sent = LogisticRegression(engine="serial").fit(pickle.loads(pickle.dumps(sources[name])))
        assert sent.coef_.tobytes() == expected.coef_.tobytes(), name
    for name in ("csv", "pandas"):
        model = LogisticRegression(engine=RayEngine(2)).fit(sources[name])
        assert model.coef_.tobytes() == expected.coef_.tobytes(), name
        assert np.array_equal(model.predict(sources[name]), expected.predict(frame.drop(columns="y"))), name


def test_blocks_do_not_depend_on_the_files(tmp_path):
    for name, sources in as_sources(table(), tmp_path, block_rows=30).items():
        assert [len(source.read().y) for source in sources] == [30] * 6 + [20], name


def test_formats_are_told_by_their_endings(tmp_path):
    table().to_csv(tmp_path / "data.dat", index=False)
    with pytest.raises(DataError, match=r"data\.dat: the format cannot be told"):
        file_sources(tmp_path / "data.dat", target="y")
    assert len(file_sources(tmp_path / "data.dat", format="csv", target="y")) == 1
    table().to_csv(tmp_path / "data.csv", index=False)
    np.save(tmp_path / "data.npy", np.zeros((3, 2)))
    with pytest.raises(DataError, match=r"files of several formats \(csv, npy\)"):
        file_sources([tmp_path / "data.csv", tmp_path / "data.npy"])
    with pytest.raises(ValueError, match="libsvm files have no option 'target'"):
        file_sources(tmp_path / "data.csv", format="libsvm", target="y")
    with pytest.raises(ValueError, match="unknown format 'xlsx': choose from parquet"):
        file_sources(tmp_path / "data.csv", format="xlsx")
    with pytest.raises(DataError, match="no such file or directory"):
        file_sources(tmp_path / "nothing.csv")
    with pytest.raises(DataError, match="no file matches it"):
        file_sources(tmp_path / "nothing*.csv")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"empty: there is no \*\.parquet or \*\.pq in it"):
        parquet_sources(tmp_path / "empty")
