"""Ids of clusters as people have them: of rows that are left out, missing, of several types, of more ways than two."""

import datetime
import decimal
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import statsmodels.api as sm
from commands import fullbatch
from numpy.testing import assert_allclose

from fullbatch import DataError, GeneralizedLinearRegressor, file_sources, table_sources

N = 300
TOL = 1e-10


@pytest.fixture(scope="module")
def frame():
    """Numbers, of which every tenth is missing, levels, counts, and ids."""
    rng = np.random.default_rng(0)
    made = pd.DataFrame({"x": rng.standard_normal(N), "r": rng.choice(["a", "b"], N), "id": rng.integers(0, 30, N)})
    made["y"] = rng.poisson(np.exp(0.3 * made["x"])).astype(float)
    made["year"] = made["id"] % 7 + 2000
    made.loc[::10, "x"] = np.nan
    return made


def model():
    return GeneralizedLinearRegressor("poisson", missing="drop", tol=TOL, engine="serial")


def wanted(frame):
    """statsmodels, of the rows in which nothing is missing."""
    whole = frame.dropna()
    X = np.column_stack((np.ones(len(whole)), whole["x"], whole["r"] == "b"))
    asked = {"groups": whole["id"].to_numpy()}
    return sm.GLM(whole["y"], X, sm.families.Poisson()).fit(tol=1e-14, cov_type="cluster", cov_kwds=asked).bse


# --- rows that are left out -------------------------------------------------------------------------------------------


def test_clusters_of_rows_that_are_left_out_are_too(frame):
    X = frame[["x", "r"]]
    fitted = model().fit(X, frame["y"])
    for ids in (frame["id"], frame["id"].to_numpy(), [*frame["id"]], frame["id"].astype(str)):
        assert_allclose(fitted.inference(X, frame["y"], clusters=ids).std_err, wanted(frame), rtol=1e-6)
    named = fitted.inference(frame.drop(columns="year"), frame["y"], clusters="id")
    assert_allclose(named.std_err, wanted(frame), rtol=1e-6)
    both = fitted.inference(frame, frame["y"], clusters=["id", "year"])
    again = fitted.inference(X, frame["y"], clusters=[frame["id"], frame["year"]])
    assert_allclose(both.matrix, again.matrix)
    with pytest.raises(DataError, match=r"300 rows and clusters 'id' of shape \(270,\): it must be \(300,\)"):
        fitted.inference(X, frame["y"], clusters=frame.dropna()["id"])


def test_ids_that_are_missing_in_rows_that_are_left_out_are_not_missed(frame):
    ids = frame["id"].astype(float).where(frame["x"].notna())
    told = model().fit(frame[["x", "r"]], frame["y"]).inference(frame[["x", "r"]], frame["y"], clusters=ids)
    assert_allclose(told.std_err, wanted(frame), rtol=1e-6)
    ids[11] = np.nan
    with pytest.raises(DataError, match="clusters 'id': row 11 has none: fill it in"):
        model().fit(frame[["x", "r"]], frame["y"]).inference(frame[["x", "r"]], frame["y"], clusters=ids)


def test_of_matrices(frame):
    X, y = frame[["x"]].to_numpy(), frame["y"].to_numpy()
    told = model().fit(X, y).inference(X, y, clusters=frame["id"])
    whole = frame.dropna()
    plain = GeneralizedLinearRegressor("poisson", tol=TOL).fit(whole[["x"]], whole["y"])
    assert_allclose(told.matrix, plain.inference(whole[["x"]], whole["y"], clusters=whole["id"]).matrix, rtol=1e-6)


def test_of_formulas(frame):
    fitted = GeneralizedLinearRegressor("poisson", formula="y ~ x + r", missing="drop", tol=TOL).fit(frame)
    assert_allclose(fitted.inference(frame, clusters="id").std_err, wanted(frame), rtol=1e-6)
    assert_allclose(fitted.inference(frame, clusters=frame["id"]).std_err, wanted(frame), rtol=1e-6)
    fitted = GeneralizedLinearRegressor("poisson", formula="y ~ x + C(id)", missing="drop", tol=TOL).fit(frame)
    few = frame.dropna()
    again = GeneralizedLinearRegressor("poisson", formula="y ~ x + C(id)", tol=TOL).fit(few)
    by_year = fitted.inference(frame, clusters=frame["year"], columns=["x"])
    assert_allclose(by_year.std_err, again.inference(few, clusters=few["year"], columns=["x"]).std_err, rtol=1e-6)


@pytest.mark.parametrize("said_by", ["the sources", "the model"])
@pytest.mark.parametrize("kind", ["CRV3", "cluster"])
def test_of_files(frame, tmp_path, said_by, kind):
    frame[:130].to_parquet(tmp_path / "a.parquet")
    frame[130:].to_parquet(tmp_path / "b.parquet")
    of_sources = {"missing": "drop"} if said_by == "the sources" else {}
    sources = file_sources(str(tmp_path / "*.parquet"), target="y", features=["x", "r"], blocks=3, **of_sources)
    fitted = model().set_params(missing="drop" if said_by == "the model" else "error").fit(sources)
    told = fitted.inference(sources, clusters="id", covariance=kind)
    if kind == "cluster":
        assert_allclose(told.std_err, wanted(frame), rtol=1e-6)
    in_memory = model().fit(frame[["x", "r"]], frame["y"]).inference(frame, frame["y"], clusters="id", covariance=kind)
    assert_allclose(told.matrix, in_memory.matrix, rtol=1e-6)


# --- ids of any type --------------------------------------------------------------------------------------------------


def told_by(frame, ids):
    whole = frame.assign(x=frame["x"].fillna(0.0))
    fitted = GeneralizedLinearRegressor("poisson", tol=TOL, engine="serial").fit(whole[["x"]], whole["y"])
    return fitted.inference(whole[["x"]], whole["y"], clusters=ids)


START = datetime.date(2020, 1, 1)


@pytest.mark.parametrize(
    "of",
    [
        lambda ids: ids.astype(str),
        lambda ids: ids.astype("string"),
        lambda ids: ids.astype("Int64"),
        lambda ids: ids.astype("category"),
        lambda ids: ids.astype(object),
        lambda ids: ids + 0.5,
        lambda ids: [int(one) for one in ids],
        lambda ids: [str(one) for one in ids],
        lambda ids: pd.Timestamp("2020-01-01") + pd.to_timedelta(ids, "D"),
        lambda ids: (pd.Timestamp("2020-01-01") + pd.to_timedelta(ids, "D")).dt.tz_localize("UTC"),
        lambda ids: np.array([START + datetime.timedelta(int(one)) for one in ids], object),
        lambda ids: np.array([10**30 + int(one) for one in ids], object),
        lambda ids: np.array([decimal.Decimal(int(one)) / 10 for one in ids], object),
        lambda ids: pa.array(ids.to_numpy()),
        lambda ids: pl.Series("id", ids.to_numpy()).cast(pl.String),
        lambda ids: ids.to_numpy()[:, None],
    ],
)
def test_clusters_are_the_same_in_any_type(frame, of):
    assert_allclose(told_by(frame, of(frame["id"])).matrix, told_by(frame, frame["id"].to_numpy()).matrix, rtol=1e-9)


def test_equal_numbers_are_one_cluster_however_they_are_written(frame):
    written = [decimal.Decimal("1.0"), decimal.Decimal("1.00"), decimal.Decimal("2")]
    ids = np.array([written[one % 3] for one in frame["id"]], object)
    assert told_by(frame, ids).clusters == (2,)


@pytest.mark.parametrize(
    "ids",
    [
        pd.Series([None] + ["a", "b"] * 149 + ["a"], dtype="string"),
        pd.Series([None] + [1, 2] * 149 + [1], dtype="Int64"),
        pd.Series([pd.NaT] + [pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-02")] * 149 + [pd.NaT]),
        np.array([None] + ["a", "b"] * 149 + ["a"], object),
        np.array([np.nan] + [1.0, 2.0] * 149 + [1.0]),
        pd.Series([None] + ["a", "b"] * 149 + ["a"], dtype="category"),
        [None] + ["a", "b"] * 149 + ["a"],
        pl.Series("clusters 1", [None] + ["a", "b"] * 149 + ["a"]),
        pa.array([None] + ["a", "b"] * 149 + ["a"]),
    ],
)
def test_missing_ids_are_refused_by_row(frame, ids):
    with pytest.raises(DataError, match=r"clusters 'clusters 1': row 0 has none: fill it in"):
        told_by(frame, ids)


def test_missing_ids_of_files_are_refused_by_row(frame, tmp_path):
    day = pd.Timestamp("2020-01-01") + pd.to_timedelta(frame["id"], "D")
    rows = frame.assign(x=frame["x"].fillna(0.0), text=frame["id"].astype(str), day=day)
    rows.loc[200, "text"], rows.loc[250, "day"] = None, pd.NaT
    rows.to_parquet(tmp_path / "a.parquet")
    sources = file_sources(str(tmp_path / "a.parquet"), target="y", features=["x", "r"], blocks=2)
    fitted = GeneralizedLinearRegressor("poisson", engine="serial").fit(sources)
    with pytest.raises(DataError, match=r"clusters 'text': .*a.parquet: row 200 has none"):
        fitted.inference(sources, clusters="text")
    with pytest.raises(DataError, match=r"clusters 'day': .*a.parquet: row 250 has none"):
        fitted.inference(sources, clusters="day")


def test_numbers_and_texts_are_not_merged(frame, tmp_path):
    for ids in (np.array([1, "1"] * 150, object), [1, "1"] * 150):
        with pytest.raises(DataError, match=r"row 0 has 1 \(number\) and row 1 has '1' \(text\): make them one type"):
            told_by(frame, ids)
    with pytest.raises(DataError, match=r"row 0 has True \(truth value\) and row 1 has 1 \(number\)"):
        told_by(frame, np.array([True, 1] * 150, object))
    rows = frame.assign(x=frame["x"].fillna(0.0))
    text = rows.assign(id=rows["id"].astype(str))
    blocks = [*table_sources(rows, target="y", features=["x"], blocks=1)]
    blocks = [of_table(one, tmp_path / f"{number}.parquet") for number, one in enumerate((rows, text))]
    sources = [one for block in blocks for one in block]
    fitted = GeneralizedLinearRegressor("poisson", engine="serial").fit(sources)
    with pytest.raises(DataError, match="ids of clusters are numbers in some blocks and text in others"):
        fitted.inference(sources, clusters="id")
    with pytest.raises(DataError, match="ids of clusters are numbers in some blocks and text in others"):
        fitted.inference(sources, clusters=["id", "year"])


def of_table(rows, path):
    rows.to_parquet(path)
    return file_sources(str(path), target="y", features=["x"], blocks=1)


# --- ways -------------------------------------------------------------------------------------------------------------


def test_ways_that_cannot_be_are_told(frame):
    ids = frame["id"]
    with pytest.raises(DataError, match="clusters: 3 ways, and errors are by one or two"):
        told_by(frame, [ids, ids % 3, ids % 5])
    for both in (np.column_stack((ids, ids % 7)), pd.DataFrame({"a": ids, "b": ids % 7})):
        with pytest.raises(DataError, match=r"clusters of shape \(300, 2\): give the ids of one way, \(300,\)"):
            told_by(frame, both)
    with pytest.raises(DataError, match="one of the two ways is None"):
        told_by(frame, [ids, None])
    with pytest.raises(DataError, match="both ways have the same name: rename one"):
        told_by(frame, [ids, ids])
    with pytest.raises(DataError, match=r"of shape \(3,\): it must be \(300,\), an id for each row; or the name"):
        told_by(frame, ["id", "year", "r"])


def test_ids_whose_index_is_another_are_refused(frame):
    with pytest.raises(DataError, match="X and clusters have different indexes: row 0 is 0 in X and 299 in clusters"):
        told_by(frame, frame["id"][::-1])


def test_the_command_line_leaves_them_out_too(frame, tmp_path):
    frame.to_csv(tmp_path / "rows.csv", index=False)
    fit = ("fit", "rows.csv", "--target", "y", "--features", "x,r", "--family", "poisson", "--tol", "1e-10")
    fullbatch(*fit, "--missing", "drop", "--save", "model.fb", cwd=tmp_path)
    asked = ("summary", "model.fb", "rows.csv", "--target", "y", "--clusters", "id", "--missing", "drop", "--json")
    done = json.loads(fullbatch(*asked, cwd=tmp_path).stdout)
    assert_allclose([one["std_err"] for one in done["coefficients"]], wanted(frame), rtol=1e-5)
