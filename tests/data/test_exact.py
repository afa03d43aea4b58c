"""Labels and levels are what they were, from every door: whole numbers to the last digit, texts, and nothing else."""

import datetime
import decimal
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fullbatch import (
    DataError,
    GeneralizedLinearRegressor,
    LogisticRegression,
    array_sources,
    csv_sources,
    parquet_sources,
    table_sources,
)
from fullbatch.data.arrow import numbers
from fullbatch.protocols import schema

IDS = 2**53 + np.arange(60) % 4
X = (np.arange(60.0) % 4)[:, None]
DECIMALS = pa.array([decimal.Decimal(int(value)) for value in IDS]).cast(pa.decimal128(20, 0))

BESIDE = {
    "array": lambda y: y,
    "big-endian array": lambda y: y.astype(y.dtype.newbyteorder(">")),
    "list": lambda y: y.tolist(),
    "tuple": lambda y: tuple(y.tolist()),
    "objects": lambda y: y.astype(object),
    "decimals": lambda y: [decimal.Decimal(value) for value in y.tolist()],
    "series": pd.Series,
    "Int64": lambda y: pd.Series(y).astype("Int64"),
    "int64[pyarrow]": lambda y: pd.Series(y).astype("int64[pyarrow]"),
    "category": lambda y: pd.Series(y).astype("category"),
    "frame of one column": lambda y: pd.DataFrame({"y": y}),
    "Int64 frame": lambda y: pd.DataFrame({"y": y}).astype("Int64"),
    "polars": pl.Series,
    "Arrow": pa.array,
    "chunked": lambda y: pa.chunked_array([y[:7], y[7:]]),
}


def learnt(X, y=None):
    return LogisticRegression(engine="serial", max_iter=3).fit(X, y)


@pytest.fixture(params=["matrix", "frame of numbers", "frame of text", "polars", "array_sources"])
def features(request):
    frame = pd.DataFrame({"x": X[:, 0]})
    return {
        "matrix": X,
        "frame of numbers": frame,
        "frame of text": frame.assign(z=list("abcd") * 15),
        "polars": pl.DataFrame({"x": X[:, 0]}),
        "array_sources": None,
    }[request.param]


@pytest.mark.filterwarnings("ignore:.*column-vector:sklearn.exceptions.DataConversionWarning")
@pytest.mark.parametrize("kind", BESIDE)
@pytest.mark.parametrize("values", [IDS, IDS - 2**60, IDS.astype(np.uint64) + np.uint64(2**62)], ids=str)
def test_labels_beside_features_are_exact(features, kind, values):
    y = BESIDE[kind](values)
    if features is None and "frame" in kind:  # one dimension only
        with pytest.raises(ValueError, match="y has shape"):
            array_sources(X, y, blocks=3)
        return
    model = learnt(array_sources(X, y, blocks=3)) if features is None else learnt(features, y)
    assert [int(label) for label in model.classes_] == np.unique(values).tolist()
    if features is not None:
        assert model.score(features, y) == np.mean(model.predict(features) == values)


def files_of(tmp_path, column):
    """Sources of the ids as a column of every container, with x and an even y beside."""
    frame = pd.DataFrame({column: IDS, "x": X[:, 0], "other": np.arange(60) % 2})
    frame.to_csv(tmp_path / "t.csv", index=False)
    frame.to_parquet(tmp_path / "t.parquet")
    arrow = pa.Table.from_pandas(frame)
    with_decimals = arrow.set_column(0, column, DECIMALS)
    pq.write_table(with_decimals, tmp_path / "d.parquet")
    pq.write_table(arrow.slice(0, 30), tmp_path / "1.parquet")
    ones = pa.array(np.ones(30)) if column == "y" else arrow[column][30:].combine_chunks().cast(pa.uint64())
    pq.write_table(arrow.slice(30).set_column(0, column, ones), tmp_path / "2.parquet")
    several = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    return {
        "csv": lambda **told: csv_sources(tmp_path / "t.csv", **told),
        "csv, thousands": lambda **told: csv_sources(tmp_path / "t.csv", thousands="'", **told),
        "csv, told": lambda **told: csv_sources(tmp_path / "t.csv", types={column: "int64"}, **told),
        "parquet": lambda **told: parquet_sources(tmp_path / "t.parquet", **told),
        "parquet of decimals": lambda **told: parquet_sources(tmp_path / "d.parquet", **told),
        "files of several types": lambda **told: parquet_sources(several, **told),
        "frame": lambda **told: table_sources(frame, **told),
        "Int64": lambda **told: table_sources(frame.astype({column: "Int64"}), **told),
        "polars": lambda **told: table_sources(pl.from_pandas(frame), **told),
        "decimals": lambda **told: table_sources(with_decimals, **told),
    }


CONTAINERS = [
    "csv",
    "csv, thousands",
    "csv, told",
    "parquet",
    "parquet of decimals",
    "files of several types",
    "frame",
    "Int64",
    "polars",
    "decimals",
]


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("blocks", [1, 2, 7])
def test_labels_and_levels_of_tables_are_exact(tmp_path, container, blocks):
    labels = learnt(files_of(tmp_path, "y")[container](target="y", features=["x"], blocks=blocks)).classes_
    mixed = container == "files of several types"
    assert labels.tolist() == [1] * mixed + np.unique(IDS).tolist()
    sources = files_of(tmp_path, "id")[container](target="other", categorical=["id"], blocks=blocks)
    levels = learnt(sources).features_.levels[0]
    assert levels.tolist() == np.unique(IDS).tolist()


@pytest.mark.parametrize(
    ("column", "values"),
    [
        (pa.array([2**53 + 1]), np.array([2**53 + 1])),
        (pa.array([0.5], pa.float32()), np.array([0.5], np.float32)),
        (pa.array([decimal.Decimal("1.5")]), np.array([1.5])),
        (pa.nulls(0), np.zeros(0)),
    ],
    ids=["whole", "float32", "decimal", "null"],
)
def test_numbers_stay_of_their_type_and_others_become_float64(column, values):
    found = numbers(pa.chunked_array([column]), "x", "here", np.arange(1))
    assert found.dtype == values.dtype
    assert found.tolist() == values.tolist()


def test_what_was_rounded_already_is_refused_with_its_column(tmp_path):
    floats = IDS.astype(np.float64)
    with pytest.raises(
        DataError, match=r"row 0: the label 9007199254740992 is a floating-point number.*integers or text"
    ):
        learnt(X, floats)
    with pytest.raises(DataError, match=r"row 0, column 'id': 9007199254740992\.0 is no level.*2\*\*53"):
        learnt(table_sources(pd.DataFrame({"id": floats, "y": IDS % 2}), target="y", categorical=["id"]))
    (tmp_path / "1.csv").write_text("id,y\n" + "".join(f"{value},{value % 2}\n" for value in IDS))
    (tmp_path / "2.csv").write_text("id,y\n" + "".join(f"{value}.0,{value % 2}\n" for value in IDS))
    with pytest.raises(DataError, match=r"1\.csv: row 0, column 'id'"):
        learnt(csv_sources(tmp_path / "*.csv", target="y", categorical=["id"]))
    with pytest.raises(DataError, match=r"mixes text and other objects|no type of integers|floating-point"):
        learnt(X, [2**70, 1] * 30)
    with pytest.raises(DataError, match="no type of integers holds all of them"):
        learnt([*array_sources(X, IDS - 2**60), *array_sources(X, IDS.astype(np.uint64) + np.uint64(2**63))])


STRANGE = {
    "NaN": (np.nan, "row 7: target y contains NaN or None|column 'target': the value is missing"),
    "None": (None, "row 7: target y contains NaN or None|column 'target': the value is missing"),
    "number": (1, "mixes"),
    "float": (1.5, "mixes"),
    "date": (datetime.date(2024, 1, 1), "mixes"),
}


@pytest.mark.parametrize(
    ("kind", "stray"),
    [(kind, stray) for kind in ("list", "tuple", "objects", "series") for stray in STRANGE]
    + [("strings", stray) for stray in ("NaN", "None")],  # which hold texts only
)
def test_texts_and_something_else_are_one_error_whatever_holds_them(features, kind, stray):
    value, message = STRANGE[stray]
    labels = ["p", "q"] * 30
    labels[7] = value
    objects = np.array(labels, object)
    y = {
        "list": lambda: labels,
        "tuple": lambda: tuple(labels),
        "objects": lambda: objects,
        "series": lambda: pd.Series(objects),
        "strings": lambda: np.array(labels, np.dtypes.StringDType(na_object=value)),
    }[kind]()
    with pytest.raises(DataError, match=message):
        learnt(array_sources(X, y)) if features is None else learnt(features, y)


@pytest.mark.parametrize("y", [np.array(["p", "q"] * 30, np.dtypes.StringDType()), [b"p", b"q"] * 30], ids=["T", "S"])
def test_texts_of_other_types(y):
    assert learnt(X, y).classes_.tolist() == sorted(set(y if isinstance(y, list) else y.tolist()))
    assert learnt(array_sources(X, y, blocks=3)).classes_.tolist() == learnt(X, y).classes_.tolist()


DAY = np.datetime64("2024-01-01", "ns")
DATES = {
    "dates": DAY + np.arange(60) * np.timedelta64(1, "D"),
    "spans": np.arange(60) * np.timedelta64(1, "D"),
    "days": np.datetime64("2024-01-01", "D") + np.arange(60),
}


@pytest.mark.parametrize("values", DATES.values(), ids=DATES)
@pytest.mark.parametrize("form", ["array", "list", "objects", "frame", "objects in a frame"])
def test_dates_are_no_numbers_in_any_array(values, form):
    column = values[:, None]
    boxed = np.empty((60, 1), object)
    boxed[:, 0] = list(values)
    dated = {
        "array": column,
        "list": [[value] for value in values],
        "objects": boxed,
        "frame": pd.DataFrame({"x": values}),
        "objects in a frame": pd.DataFrame({"x": pd.Series(list(values), dtype=object)}),
    }[form]
    y = np.arange(60) % 3 == 0
    refused = (
        r"X must be numbers, not (datetime|timedelta)64|column 'x' is (timestamp|duration|date).*features are numbers"
    )
    numbers = learnt(X, y)
    for attempt in (lambda: learnt(dated, y), lambda: numbers.predict(dated), lambda: numbers.score(dated, y)):
        with pytest.raises(
            ValueError,
            match=refused + "|fitted without names of columns|table.* cannot be used|cannot be used as a table",
        ):
            attempt()
    if "frame" not in form:
        with pytest.raises(DataError, match=refused):
            learnt(array_sources(dated, y))
        with pytest.raises(DataError, match=r"target y must be numbers, not (datetime|timedelta)64"):
            GeneralizedLinearRegressor(engine="serial").fit(X, np.ravel(dated) if form != "list" else list(values))


def test_texts_that_hardly_repeat_are_levels_only_when_asked_for():
    rng = np.random.default_rng(0)
    texts = [f"{value:,.2f}" for value in rng.normal(1500, 900, 400)]
    frame = pd.DataFrame({"x": texts, "y": rng.integers(0, 2, 400)})
    for form in (frame, pl.from_pandas(frame), pa.Table.from_pandas(frame)):
        for blocks in (1, 5):
            with pytest.raises(DataError, match=r"column 'x' is text with 400 different values in 400 rows.*an id\?"):
                learnt(table_sources(form, target="y", blocks=blocks))
            asked = learnt(table_sources(form, target="y", categorical=["x"], blocks=blocks))
            assert len(asked.features_.levels[0]) == 400
    assert len(learnt(frame[["x"]].astype("category"), frame["y"]).features_.levels[0]) == 400
    with pytest.raises(DataError, match=re.escape("categorical=['x'] of table_sources")):
        learnt(frame[["x"]], frame["y"])
    few = frame.assign(x=[f"level {k % 150}" for k in range(400)])
    assert len(learnt(few[["x"]], few["y"]).features_.levels[0]) == 150


@pytest.mark.parametrize("blocks", [1, 4])
def test_too_many_levels_are_told_with_their_number(monkeypatch, blocks):
    monkeypatch.setattr(schema, "MOST_LEVELS", 100)
    frame = pd.DataFrame({"x": np.arange(400) % 101, "y": np.arange(400) % 2})
    with pytest.raises(DataError, match=r"101 different levels of column 'x' in .*: at most 100 can be told apart"):
        learnt(table_sources(frame, target="y", categorical=["x"], blocks=blocks))
