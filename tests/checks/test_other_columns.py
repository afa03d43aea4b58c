"""Actual against expected by columns that the model has not: held against sums of pandas."""

import dask.dataframe as dd
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from commands import fullbatch
from numpy.testing import assert_allclose

from fullbatch import DataError, GeneralizedLinearRegressor, LogisticRegression, array_sources, file_sources
from fullbatch.checks import other_columns

N = 600
COLUMNS = ["rows", "weight", "actual", "expected", "ratio"]


@pytest.fixture(scope="module")
def frame():
    rng = np.random.default_rng(0)
    made = pd.DataFrame({"x": rng.standard_normal(N), "r": rng.choice(["a", "b", "c"], N), "z": np.arange(N) % 3})
    made["wide"], made["w"] = rng.uniform(0, 9, N), rng.integers(0, 3, N).astype(float)
    made["text"] = rng.choice(["north", "south"], N)
    made.loc[::7, "text"] = None
    made["holes"] = made["wide"].round().where(made["wide"] > 2)
    made["y"] = rng.poisson(np.exp(0.3 * made["x"] + 0.2 * made["z"])).astype(float)
    return made


def model(frame, **parameters):
    return GeneralizedLinearRegressor("poisson", engine="serial", **parameters).fit(frame[["x", "r"]], frame["y"])


def wanted(frame, by, predicted):
    """Weighted means by a column, those of missing values last."""
    made = frame.assign(expected=predicted * frame["w"], actual=frame["y"] * frame["w"])[frame["w"] > 0]
    sums = made.groupby(by, dropna=False).agg(
        rows=("w", "size"), weight=("w", "sum"), a=("actual", "sum"), e=("expected", "sum")
    )
    means = sums.assign(actual=sums["a"] / sums["weight"], expected=sums["e"] / sums["weight"])
    return means.assign(ratio=means["actual"] / means["expected"])


@pytest.mark.parametrize("as_", [pd.DataFrame, pl.from_pandas, pa.Table.from_pandas])
def test_of_frames(frame, as_):
    fitted = model(frame)
    X = as_(frame.drop(columns="y"))
    checks = fitted.checks(X, frame["y"].to_numpy(), "w", columns=["z", "r", "text", "holes", "wide"])
    assert checks.columns == ("r", "z", "text", "holes", "wide")
    predicted = fitted.predict(frame[["x", "r"]])
    for name in ("z", "text", "holes"):
        told, expected = checks.by_column(name), wanted(frame, name, predicted)
        assert_allclose(told[COLUMNS], expected[COLUMNS], rtol=1e-10, err_msg=name)
    assert checks.by_column("text").index[:2].tolist() == ["north", "south"]
    assert pd.isna(checks.by_column("text").index[2])
    assert checks.by_column("z")["lower"].tolist() == [0.0, 1.0, 2.0]
    assert np.isnan(checks.by_column("holes")["lower"].iloc[-1])
    parts = checks.by_column("wide", bins=4)
    cut = pd.cut(frame["wide"], [-1, *parts["upper"]])
    assert_allclose(parts[COLUMNS], wanted(frame, cut, predicted)[COLUMNS], rtol=1e-10)
    assert_allclose(checks.by_column("r")[COLUMNS], wanted(frame, "r", predicted)[COLUMNS], rtol=1e-10)
    assert "By text" in checks.summary(by=["text", "holes"])
    assert checks.summary(by=["text", "holes"]).count("(missing)") == 2
    assert checks.as_dict(by=["text"])["by_column"]["text"]["name"] == ["north", "south", None]


def test_of_several_classes(frame):
    fitted = LogisticRegression(engine="serial").fit(frame[["x"]], frame["r"])
    told = fitted.checks(frame, "r", columns=["z"]).by_column("z", label="b")
    assert_allclose(told["actual"], (frame["r"] == "b").groupby(frame["z"]).mean())
    assert_allclose(told["expected"], pd.Series(fitted.predict_proba(frame[["x"]])[:, 1]).groupby(frame["z"]).mean())


def test_of_formulas_and_rows_that_are_left_out(frame):
    holes = frame.assign(x=frame["x"].where(frame.index % 5 > 0))
    fitted = GeneralizedLinearRegressor("poisson", formula="y ~ x + C(r)", missing="drop").fit(holes)
    told = fitted.checks(holes, columns=["r", "z"])
    there = holes.dropna(subset="x")
    assert_allclose(told.by_column("r")["actual"], there.groupby("r")["y"].mean())
    assert_allclose(told.by_column("z")["rows"], there.groupby("z").size())


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_of_files(frame, tmp_path, ending):
    fitted = model(frame)
    for number, part in enumerate((frame[:250], frame[250:])):
        path = tmp_path / f"{number}.{ending}"
        part.to_parquet(path) if ending == "parquet" else part.to_csv(path, index=False)
    types = {"types": {"wide": "double", "holes": "double"}} if ending == "csv" else {}
    sources = file_sources(
        str(tmp_path / f"*.{ending}"), target="y", weight="w", features=["x", "r"], blocks=3, **types
    )
    checks = fitted.checks(sources, columns=["z", "text", "holes", "wide"])
    predicted = fitted.predict(frame[["x", "r"]])
    told = checks.by_column("z")
    assert_allclose(told[COLUMNS], wanted(frame, "z", predicted)[COLUMNS], rtol=1e-10)
    assert told.index.tolist() == (["0", "1", "2"] if ending == "csv" else [0, 1, 2])
    assert_allclose(checks.by_column("holes")[COLUMNS], wanted(frame, "holes", predicted)[COLUMNS], rtol=1e-10)
    in_memory = fitted.checks(frame, "y", "w", columns=["wide"]).by_column("wide")
    assert_allclose(checks.by_column("wide")[COLUMNS], in_memory[COLUMNS], rtol=1e-10)


def test_of_dask_frames(frame):
    fitted = model(frame)
    spread = dd.from_pandas(frame, npartitions=3)
    told = fitted.checks(spread, "y", columns=["z", "r"])
    assert_allclose(told.by_column("z")["actual"], frame.groupby("z")["y"].mean())
    assert_allclose(told.by_column("r")["actual"], frame.groupby("r")["y"].mean())
    clustered = fitted.inference(spread, "y", clusters="z")
    assert_allclose(clustered.matrix, fitted.inference(frame, "y", clusters="z").matrix, rtol=1e-6)
    of_a_feature = fitted.inference(spread, "y", clusters="r")
    assert_allclose(of_a_feature.matrix, fitted.inference(frame, "y", clusters="r").matrix, rtol=1e-6)


def test_the_command_line(frame, tmp_path):
    frame.to_csv(tmp_path / "rows.csv", index=False)
    fullbatch(
        "fit", "rows.csv", "--target", "y", "--features", "x,r", "--family", "poisson", "--save", "m.fb", cwd=tmp_path
    )
    shown = fullbatch("check", "m.fb", "rows.csv", "--target", "y", "--by", "text,r", cwd=tmp_path).stdout
    assert "By text" in shown
    assert "By r" in shown
    assert "(missing)" in shown


def test_what_cannot_be(frame, monkeypatch, tmp_path):
    fitted, X = model(frame), frame[["x", "r"]]
    with pytest.raises(
        DataError, match="columns: there is no column 'q': those of the fit are 'x', 'r', and X has no other"
    ):
        fitted.checks(X, frame["y"], columns=["q"])
    dated = frame.assign(day=pd.Timestamp("2020-01-01"), mixed=[1 if row % 2 else "1" for row in range(N)])
    with pytest.raises(DataError, match="column 'day' has dates: make numbers or texts of them"):
        fitted.checks(dated, "y", columns=["day"])
    with pytest.raises(DataError, match=r"column 'mixed': row 1 has 1 \(int\), and a column is of numbers or of texts"):
        fitted.checks(dated, "y", columns=["mixed"])
    numbers = GeneralizedLinearRegressor("poisson", engine="serial").fit(
        array_sources(frame[["x"]].to_numpy(), frame["y"])
    )
    with pytest.raises(ValueError, match=r"columns name columns, and .* has no names of columns"):
        numbers.checks(array_sources(frame[["x"]].to_numpy(), frame["y"]), columns=["z"])
    with pytest.raises(DataError, match="there is no column 'z'"):
        numbers.checks(frame[["x"]].to_numpy(), frame["y"], columns=["z"])
    frame.to_parquet(tmp_path / "0.parquet")
    frame.assign(z=frame["z"].astype(str)).to_parquet(tmp_path / "1.parquet")
    sources = [
        one
        for number in (0, 1)
        for one in file_sources(str(tmp_path / f"{number}.parquet"), target="y", features=["x", "r"])
    ]
    with pytest.raises(DataError, match="column 'z' has texts in some blocks and numbers in others"):
        fitted.checks(sources, columns=["z"])
    monkeypatch.setattr(other_columns, "MOST_LEVELS", 1)
    with pytest.raises(DataError, match="column 'text' has more than 1 distinct texts: group them"):
        fitted.checks(frame, "y", columns=["text"])


def test_a_column_without_any_value(frame):
    told = model(frame).checks(frame.assign(none=None), "y", columns=["none"]).by_column("none")
    assert pd.isna(told.index[0])
    assert told["rows"].tolist() == [N]
