"""Ray Datasets, Dask data frames and Dask arrays give what the same table in memory gives, read by the workers."""

import time
from importlib import import_module

import numpy as np
import pandas as pd
import pytest
from tables import table

from fullbatch import (
    DataError,
    GeneralizedLinearRegressor,
    LogisticRegression,
    RayEngine,
    SerialEngine,
    array_sources,
    table_sources,
)


def frame():
    return table(200).assign(region=np.resize(["north", "south", "west"], 200), w=np.linspace(1, 2, 200))


def fitted(*data, engine="serial"):
    return LogisticRegression(engine=engine, tol=1e-6).fit(*data)


def of_bytes(model):
    return model.coef_.tobytes() + model.intercept_.tobytes() + repr(model.get_feature_names_out().tolist()).encode()


def expected(columns=("a", "b", "c", "d", "region"), **options):
    return fitted(table_sources(frame(), target="y", weight="w", features=columns, **options))


# --- Dask -----------------------------------------------------------------------------------------------------


@pytest.fixture
def dask_frame(tmp_path):
    dd = import_module("dask.dataframe")
    for number, part in enumerate(np.array_split(np.arange(200), 5)):
        frame().iloc[part].to_parquet(tmp_path / f"{number}.parquet", index=False)
    return dd.read_parquet(str(tmp_path))


@pytest.mark.parametrize("cut", [{}, {"block_rows": 30}], ids=str)
def test_a_dask_frame_gives_the_bytes_of_a_table(dask_frame, cut):
    sources = table_sources(dask_frame, target="y", weight="w", **cut)
    assert of_bytes(fitted(sources)) == of_bytes(expected(**cut))
    again = table_sources(dask_frame.repartition(npartitions=2), target="y", weight="w", **cut)
    assert of_bytes(fitted(again)) == of_bytes(expected(**cut))
    assert sum(source.size.rows for source in sources) == 200
    streamed = LogisticRegression(engine=SerialEngine(memory=1000), tol=1e-6).fit(sources)
    assert of_bytes(streamed) == of_bytes(expected(**cut))


def test_a_dask_frame_goes_into_fit_and_predict(dask_frame):
    model, wanted = fitted(dask_frame, "y", "w"), expected()
    assert of_bytes(model) == of_bytes(wanted)
    by_series = fitted(dask_frame.drop(columns=["y", "w"]), dask_frame["y"], dask_frame["w"])
    assert of_bytes(by_series) == of_bytes(wanted)
    features = frame().drop(columns=["y", "w"])
    np.testing.assert_array_equal(model.predict(dask_frame), wanted.predict(features))
    np.testing.assert_array_equal(model.predict_proba(dask_frame), wanted.predict_proba(features))
    measured = model.evaluate(dask_frame, "y", "w")
    assert measured["accuracy"] == pytest.approx(wanted.evaluate(features, frame()["y"], frame()["w"])["accuracy"])
    with pytest.raises(DataError, match=r"partition 0 of the Dask data frame: there is no column 'z'"):
        fitted(dask_frame, "z")


def test_a_partition_is_computed_by_the_workers_once_for_all_of_its_blocks(tmp_path):
    dask = import_module("dask")
    dd = import_module("dask.dataframe")
    log = tmp_path / "log"

    def part(number):
        with log.open("a") as file:
            file.write(f"{number}\n")
        return frame().iloc[100 * number : 100 * number + 100][["a", "b", "y"]]

    parts = [dask.delayed(part)(number) for number in range(2)]
    sources = table_sources(dd.from_delayed(parts, meta=frame()[["a", "b", "y"]]), target="y", block_rows=10)
    log.write_text("")
    fitted(sources)
    assert sorted(log.read_text().split()) == ["0", "1"]


def test_a_partition_that_changes_its_length_is_told(tmp_path):
    dd = import_module("dask.dataframe")
    frame().to_parquet(tmp_path / "0.parquet", index=False)
    sources = table_sources(dd.read_parquet(str(tmp_path)), target="y")
    frame().iloc[:150].to_parquet(tmp_path / "0.parquet", index=False)
    with pytest.raises(
        DataError, match=r"partition 0 of the Dask data frame has become shorter|cannot be read|damaged"
    ):
        fitted(sources)


@pytest.mark.parametrize("chunks", [(50, 4), (33, 2), (200, 1)])
def test_dask_arrays_give_the_bytes_of_arrays(chunks):
    da = import_module("dask.array")
    X, y, w = frame()[["a", "b", "c", "d"]].to_numpy(), frame()["y"].to_numpy(), frame()["w"].to_numpy()
    wanted = LogisticRegression(engine="serial", tol=1e-6).fit(X, y, w)
    lazy = da.from_array(X, chunks=chunks)
    model = fitted(lazy, da.from_array(y, chunks=70), da.from_array(w, chunks=11))
    assert of_bytes(model) == of_bytes(wanted)
    np.testing.assert_array_equal(model.predict(lazy), wanted.predict(X))
    assert of_bytes(fitted(array_sources(lazy, y, w, block_rows=30))) == of_bytes(
        fitted(array_sources(X, y, w, block_rows=30))
    )
    with pytest.raises(DataError, match=r"X has 200 rows and y has shape \(100,\)"):
        fitted(lazy, y[:100])


@pytest.mark.parametrize("dtype", ["f8", "f4", "u1", "i1", "i4"])
def test_sizes_of_dask_arrays_are_those_of_their_rows(dtype):
    da = import_module("dask.array")
    (source,) = array_sources(da.ones((20, 3), dtype=dtype, chunks=(10, 3)), blocks=1)
    assert source.size.nbytes == source.read().X.nbytes


def test_a_chunk_is_computed_once_for_all_of_its_blocks(tmp_path):
    da, dask = import_module("dask.array"), import_module("dask")
    log = tmp_path / "log"

    def chunk(number):
        with log.open("a") as file:
            file.write(f"{number}\n")
        return np.random.default_rng(number).standard_normal((100, 3))

    X = da.concatenate([da.from_delayed(dask.delayed(chunk)(number), (100, 3), float) for number in range(2)])
    sources = array_sources(X, np.arange(200) % 2, block_rows=10)
    assert not log.exists()
    fitted(sources)
    assert sorted(log.read_text().split()) == ["0", "1"]
    assert not sources[0].shared._kept


def test_a_dask_array_of_unknown_chunks(dask_frame):
    X = dask_frame[["a", "b"]].to_dask_array()
    wanted = LogisticRegression(engine="serial", tol=1e-6).fit(frame()[["a", "b"]].to_numpy(), frame()["y"])
    assert of_bytes(fitted(X, dask_frame["y"])) == of_bytes(wanted)


def test_dask_workers_compute_their_partitions(dask_client, dask_frame):
    sources = table_sources(dask_frame, target="y", weight="w", block_rows=30)
    assert of_bytes(fitted(sources, engine="dask")) == of_bytes(expected(block_rows=30))
    with pytest.raises(DataError, match=r"the Dask data frame is persisted in a cluster"):
        table_sources(dask_frame.persist(), target="y")
    with pytest.raises(DataError, match=r"the Dask array is persisted in a cluster"):
        array_sources(dask_frame[["a", "b"]].to_dask_array().persist())


def test_ray_workers_compute_dask_partitions(ray_session, dask_frame):
    sources = table_sources(dask_frame, target="y", weight="w", block_rows=30)
    assert of_bytes(fitted(sources, engine=RayEngine(2))) == of_bytes(expected(block_rows=30))


# --- Ray Data -------------------------------------------------------------------------------------------------


@pytest.fixture
def dataset(ray_session):
    data = ray_session.data
    data.DataContext.get_current().enable_progress_bars = False
    return data.from_arrow(_tables())


def _tables():
    import pyarrow as pa

    whole = pa.Table.from_pandas(frame(), preserve_index=False)
    return [whole.slice(0, 70), whole.slice(70, 0), whole.slice(70, 1), whole.slice(71)]


@pytest.mark.parametrize("engine", ["serial", "ray"])
def test_a_ray_dataset_gives_the_bytes_of_a_table(dataset, engine):
    for cut in ({}, {"block_rows": 30}):
        sources = table_sources(dataset, target="y", weight="w", **cut)
        assert sum(source.size.rows for source in sources) == 200
        assert of_bytes(fitted(sources, engine=engine)) == of_bytes(expected(**cut)), cut
    assert "block 0 of the Ray Dataset rows 0..29" in str(sources[0])


def test_a_ray_dataset_goes_into_fit_and_predict(dataset):
    model, wanted = fitted(dataset, "y", "w"), expected()
    assert of_bytes(model) == of_bytes(wanted)
    np.testing.assert_array_equal(model.predict(dataset), wanted.predict(frame().drop(columns=["y", "w"])))
    with pytest.raises(ValueError, match=r"the target of a Ray Dataset is the name of a column, got ndarray"):
        fitted(dataset, frame()["y"].to_numpy())
    with pytest.raises(DataError, match="no rows: the Ray Dataset is empty"):
        table_sources(dataset.limit(0), target="y")


def test_the_order_of_a_ray_dataset_is_kept_though_its_blocks_are_done_in_another(ray_session):
    data = ray_session.data
    data.DataContext.get_current().enable_progress_bars = False

    def slow_at_first(batch):
        time.sleep(0.7 if batch["id"][0] == 0 else 0)
        return {"number": batch["id"].astype(float), "y": batch["id"] % 2}

    numbers = data.range(60, override_num_blocks=6).map_batches(slow_at_first)
    sources = table_sources(numbers, target="y", block_rows=25)
    assert np.concatenate([source.read().X[:, 0] for source in sources]).tolist() == list(range(60))
    assert not data.DataContext.get_current().execution_options.preserve_order


@pytest.mark.slow
def test_a_ray_dataset_of_pandas_blocks_and_of_files(ray_session, tmp_path):
    frame().to_parquet(tmp_path / "t.parquet", index=False)
    data = ray_session.data
    for dataset in (data.from_pandas([frame().iloc[:90], frame().iloc[90:]]), data.read_parquet(str(tmp_path))):
        assert of_bytes(fitted(dataset, "y", "w", engine=RayEngine(2))) == of_bytes(expected())


def test_counts_learnt_from_a_ray_dataset(dataset):
    counts = dataset.select_columns(["a", "b", "y"])
    model = GeneralizedLinearRegressor("poisson", engine="serial").fit(counts, "y")
    wanted = GeneralizedLinearRegressor("poisson", engine="serial").fit(
        table_sources(frame(), target="y", features=["a", "b"])
    )
    assert model.coef_.tobytes() == wanted.coef_.tobytes()
    assert pd.api.types.is_float_dtype(model.predict(counts).dtype)
