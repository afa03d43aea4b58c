"""What predictions are written for, what is written beside them, and predictions that stay with Dask."""

import datetime
import json
from importlib import import_module

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

from fullbatch import (
    DataError,
    GeneralizedLinearRegressor,
    LogisticRegression,
    array_sources,
    csv_sources,
    file_sources,
    table_sources,
)

N = 50
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "id": [f"{number:03d}" for number in range(N)],
        "a": RNG.standard_normal(N),
        "order": 2**53 + np.arange(N),
        "region": np.resize(["n", "s"], N),
        "day": [datetime.date(2024, 1, 1 + number % 28) for number in range(N)],
        "exposure": RNG.uniform(-1, 1, N),
    }
)
LABELS = np.resize(["no", "yes", "yes"], N)
KEPT = ["id", "order", "day", "a"]


@pytest.fixture(autouse=True)
def in_this_thread():
    with import_module("dask").config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def model():
    return LogisticRegression(engine="serial", tol=1e-3).fit(FRAME[["a", "region"]], LABELS)


@pytest.fixture(scope="module")
def unnamed():
    return LogisticRegression(engine="serial", tol=1e-3).fit(FRAME[["a", "exposure"]].to_numpy(), LABELS)


def as_dask(frame=FRAME):
    return import_module("dask.dataframe").from_pandas(frame, npartitions=3)


def read(path):
    """What was written: ids as texts, and days as dates, which Dask makes texts."""
    written = pd.read_csv(path, dtype={"id": str}) if path.suffix == ".csv" else pd.read_parquet(path)
    return written.assign(day=pd.to_datetime(written["day"]).dt.date)


@pytest.mark.parametrize("name", ["p.csv", "p.parquet", "directory"])
def test_columns_are_kept_beside_predictions_as_they_are(model, tmp_path, name):
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    FRAME.to_parquet(tmp_path / "t.parquet")
    FRAME.to_feather(tmp_path / "t.arrow")
    FRAME.to_orc(tmp_path / "t.orc")
    lines = (row | {"day": str(row["day"])} for row in FRAME.to_dict("records"))
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    features = {"features": ["region", "a"], "blocks": 4}
    given = {
        "pandas": FRAME,
        "polars": pl.from_pandas(FRAME),
        "arrow": pa.Table.from_pandas(FRAME),
        "dask": as_dask(),
        "csv": csv_sources(tmp_path / "t.csv", types={"order": "int64", "day": "date32"}, **features),
        "parquet": file_sources(tmp_path / "t.parquet", **features),
        "feather": file_sources(tmp_path / "t.arrow", **features),
        "orc": file_sources(tmp_path / "t.orc", **features),
        "json": file_sources(tmp_path / "t.jsonl", **features),
    }
    for number, (door, X) in enumerate(given.items()):
        path = tmp_path / (f"{number}-{name}")
        assert model.write_predictions(X, path, keep=KEPT, probabilities=True) == N
        written = read(path)
        assert written.columns.tolist() == [*KEPT, "prediction", "probability_no", "probability_yes"], door
        for column in KEPT:
            assert written[column].tolist() == FRAME[column].tolist(), (door, column)
        assert written["prediction"].tolist() == model.predict(FRAME).tolist()
        np.testing.assert_array_equal(written.iloc[:, -2:], model.predict_proba(FRAME))


def test_kept_columns_of_csv_files_are_text_as_it_stands(model, tmp_path):
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    model.write_predictions(
        csv_sources(tmp_path / "t.csv", features=["a", "region"]), tmp_path / "p.parquet", keep=KEPT
    )
    written = pd.read_parquet(tmp_path / "p.parquet")
    assert written["id"].tolist() == FRAME["id"].tolist()
    assert written["order"].tolist() == FRAME["order"].astype(str).tolist()


@pytest.mark.parametrize("form", ["parquet", "csv", "jsonl"])
def test_columns_in_names_of_folders_are_kept(model, tmp_path, form):
    for place, region in (("north", "n"), ("south", "s")):
        for year in (1999, 2020):
            folder = tmp_path / "d" / f"region={region}" / f"year={year}"
            folder.mkdir(parents=True)
            part = pd.DataFrame({"id": [f"0{year}{region}"] * 3, "a": [1.0, 2.0, 3.0], "place": place})
            path = folder / f"0.{form}"
            if form == "parquet":
                part.to_parquet(path)
            elif form == "csv":
                part.to_csv(path, index=False)
            else:
                part.to_json(path, orient="records", lines=True)
    sources = file_sources(tmp_path / "d", features=["a", "region"], blocks=5)
    model.write_predictions(sources, tmp_path / "p.parquet", keep=["year", "id", "region", "place"])
    written = pd.read_parquet(tmp_path / "p.parquet")
    assert written["year"].tolist() == [1999] * 3 + [2020] * 3 + [1999] * 3 + [2020] * 3
    assert written["region"].tolist() == ["n"] * 6 + ["s"] * 6
    assert written["place"].tolist() == ["north"] * 6 + ["south"] * 6
    assert written["id"].tolist() == [f"0{y}{r}" for y, r in zip(written["year"], written["region"], strict=True)]
    frame = pd.DataFrame({"a": [1.0, 2.0, 3.0] * 4, "region": written["region"]})
    assert written["prediction"].tolist() == model.predict(frame).tolist()
    with pytest.raises(DataError, match=r"there is no column 'nr'"):
        model.write_predictions(sources, tmp_path / "q.parquet", keep=["year", "nr"])


def test_predictions_are_written_for_whatever_can_be_predicted_for(unnamed, tmp_path):
    da = import_module("dask.array")
    X = FRAME[["a", "exposure"]].to_numpy()
    wanted = unnamed.predict(X).tolist()
    frames = (pd.DataFrame(X), FRAME[["a", "exposure"]], pl.from_pandas(FRAME[["a", "exposure"]]))
    for given in (X, X.tolist(), sp.csr_array(X), da.from_array(X, chunks=20), array_sources(X, blocks=3), *frames):
        assert unnamed.write_predictions(given, tmp_path / "p.csv") == N
        assert pd.read_csv(tmp_path / "p.csv")["prediction"].tolist() == wanted
    by_place = FRAME[["id", "a", "exposure"]]
    assert unnamed.write_predictions(by_place, tmp_path / "p.parquet", keep=["id"]) == N
    assert pd.read_parquet(tmp_path / "p.parquet").to_numpy().tolist() == [
        list(p) for p in zip(FRAME["id"], wanted, strict=True)
    ]
    counts = GeneralizedLinearRegressor("poisson", engine="serial").fit(
        X, np.arange(N) % 3, offset=np.linspace(0, 1, N)
    )
    counts.write_predictions(X, tmp_path / "p.parquet", offset=np.linspace(0, 1, N))
    expected = np.exp(X @ counts.coef_ + counts.intercept_ + np.linspace(0, 1, N))
    np.testing.assert_allclose(pd.read_parquet(tmp_path / "p.parquet")["prediction"], expected, rtol=1e-12)


def test_what_cannot_be_kept_is_told(model, unnamed, tmp_path):
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    FRAME.to_parquet(tmp_path / "t.parquet")
    FRAME.to_feather(tmp_path / "t.arrow")
    FRAME.to_orc(tmp_path / "t.orc")
    FRAME.drop(columns="day").to_json(tmp_path / "t.jsonl", orient="records", lines=True)
    X, path = FRAME[["a", "exposure"]].to_numpy(), tmp_path / "p.csv"
    features = {"features": ["a", "region"]}
    for fitted, given, keep, message in (
        (unnamed, X, ["id"], r"keep names columns, and X \(ndarray\) has no names of columns: give a data frame"),
        (unnamed, array_sources(X), ["id"], "keep names columns, and array rows 0..49 has no names of columns"),
        (model, FRAME, "id", r"keep must be a list of columns, got the text 'id': write \['id'\]"),
        (model, FRAME, ["a", "nr"], "the table: there is no column 'nr': its columns are 'id', 'a', 'order'"),
        (model, as_dask(), ["nr", "z"], "the Dask data frame: there are no columns 'nr', 'z': its columns are 'id'"),
        (model, csv_sources(tmp_path / "t.csv", **features), ["nr"], r"t\.csv: there is no column 'nr'"),
        (model, file_sources(tmp_path / "t.parquet", **features), ["nr"], "parquet: there is no column 'nr', which"),
        (model, file_sources(tmp_path / "t.arrow", **features), ["nr"], "arrow: there is no column 'nr': its"),
        (model, file_sources(tmp_path / "t.orc", **features), ["nr"], "orc: there is no column 'nr': its"),
        (model, file_sources(tmp_path / "t.jsonl", **features), ["nr"], "jsonl: there is no column 'nr': its"),
        (model, table_sources(FRAME, **features), ["id"], "the sources were made without 'id', to be kept: give the"),
        (model, FRAME.assign(prediction=1), ["prediction"], "a column that is kept is named 'prediction', as the"),
        (model, FRAME.assign(l=[[1]] * N), ["l"], r"p\.csv: .*Name a file that ends in \.parquet, which holds"),
    ):
        with pytest.raises(ValueError, match=message):
            fitted.write_predictions(given, path, keep=keep)
    named_twice = FRAME.assign(probability_yes=1.0, probability_no=0.0)
    with pytest.raises(
        ValueError, match="a column that is kept is named 'probability_no', as the predictions are: rename it"
    ):
        model.write_predictions(
            named_twice, tmp_path / "p.parquet", keep=["probability_yes", "probability_no"], probabilities=True
        )
    assert {file.name for file in tmp_path.iterdir()} == {"t.csv", "t.parquet", "t.arrow", "t.orc", "t.jsonl"}
    parts = [FRAME.assign(k=1), FRAME.assign(k="text")]
    for number, part in enumerate(parts):
        part.to_parquet(tmp_path / f"part-{number}.parquet")
    several = file_sources(str(tmp_path / "part-*.parquet"), **features)
    with pytest.raises(DataError, match="columns to be kept are of other types than before"):
        model.write_predictions(several, tmp_path / "p.parquet", keep=["k"])


def test_predictions_for_dask_stay_with_dask_if_they_are_to(model, unnamed):
    dd, da = import_module("dask.dataframe"), import_module("dask.array")
    more = FRAME.assign(objects=[object()] * N).set_axis([f"{number:02d}" for number in range(N)])[FRAME.columns[::-1]]
    lazy = model.predict(as_dask(more), lazy=True)
    assert isinstance(lazy, dd.Series)
    assert (lazy.name, lazy.npartitions) == ("prediction", 3)
    found = lazy.compute()
    assert found.index.tolist() == more.index.tolist()
    assert found.tolist() == model.predict(FRAME).tolist()
    proba = model.predict_proba(as_dask(more), lazy=True).compute()
    assert proba.columns.tolist() == ["probability_no", "probability_yes"]
    assert proba.to_numpy().tolist() == model.predict_proba(FRAME).tolist()
    few = as_dask(more)
    few = few[few["a"] > FRAME["a"].sort_values().iloc[-2]]  # partitions without rows
    assert (
        model.predict(few, lazy=True).compute().tolist()
        == model.predict(FRAME[FRAME["a"] == FRAME["a"].max()]).tolist()
    )
    X = FRAME[["a", "exposure"]].to_numpy()
    for chunks in ((20, 1), (50, 2)):
        array = da.from_array(X, chunks=chunks)
        lazy = unnamed.predict(array, lazy=True)
        assert isinstance(lazy, da.Array)
        assert lazy.compute().tolist() == unnamed.predict(X).tolist()
        proba = unnamed.predict_proba(array, lazy=True)
        assert proba.shape == (N, 2)
        np.testing.assert_allclose(proba.compute(), unnamed.predict_proba(X), rtol=1e-14)
    counts = GeneralizedLinearRegressor("poisson", engine="serial").fit(
        FRAME[["a", "exposure"]].assign(y=np.arange(N) % 3), "y", offset="exposure"
    )
    lazy = counts.predict(as_dask(), offset="exposure", lazy=True)
    assert lazy.compute().tolist() == counts.predict(FRAME, offset="exposure").tolist()
    with pytest.raises(ValueError, match="lazy=True is for Dask data frames and arrays, X is a DataFrame"):
        model.predict(FRAME, lazy=True)
    with pytest.raises(ValueError, match="with lazy=True the offset is the name of a column of a Dask data frame"):
        counts.predict(as_dask(), offset=FRAME["exposure"], lazy=True)
    with pytest.raises(DataError, match="the Dask data frame: there is no column 'region'"):
        model.predict(as_dask(FRAME[["a"]]), lazy=True)
