import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pytest

from fullbatch import DataError, table_sources
from fullbatch.data.table import TableSource


def only(frame, **options):
    (source,) = table_sources(frame, blocks=1, **options)
    return source.read()


FRAME = pd.DataFrame(
    {
        "age": [30, 41, 52],
        "x": [0.5, -1.0, 2.0],
        "region": ["north", "south", "north"],
        "n": [1.0, 2.0, 1.0],
        "log_e": [0.1, 0.2, 0.3],
        "y": ["no", "yes", "no"],
    }
)
MEANINGS = {"target": "y", "weight": "n", "offset": "log_e"}


@pytest.mark.parametrize(
    "make", [lambda frame: frame, polars.from_pandas, pa.Table.from_pandas], ids=["pandas", "polars", "arrow"]
)
def test_columns_and_their_meanings(make):
    rows = only(make(FRAME), **MEANINGS)
    assert rows.names == ("age", "x", "region")
    np.testing.assert_array_equal(rows.X, FRAME[["age", "x"]])
    assert rows.X.dtype == np.float64
    (region,) = rows.categories
    assert region.levels.tolist() == ["north", "south"]
    assert region.codes.tolist() == [0, 1, 0]
    assert rows.y.tolist() == ["no", "yes", "no"]
    assert rows.weight.tolist() == [1, 2, 1]
    assert rows.offset.tolist() == [0.1, 0.2, 0.3]


def test_features_can_be_chosen_and_left_out():
    assert only(FRAME, target="y", features=["x", "age"]).names == ("x", "age")
    assert only(FRAME, target="y", exclude=["n", "log_e", "region"]).names == ("age", "x")
    rows = only(FRAME, target="y", features=["x", "age"], categorical=["age"])
    assert rows.names == ("x", "age")
    assert rows.categories[0].levels.tolist() == [30, 41, 52]


@pytest.mark.parametrize(
    ("types", "expected"),
    [
        (["float32", "bool"], "float32"),
        (["float32", "int8"], "float32"),
        (["float32", "float64"], "float64"),
        (["float32", "int64"], "float64"),
        (["uint8", "uint8"], "uint8"),
        (["int8", "int8"], "int8"),
        (["int8", "uint8"], "float32"),
        (["int64"], "float64"),
    ],
)
def test_numbers_keep_the_smallest_precision_that_holds_them(types, expected):
    frame = pd.DataFrame({f"x{i}": np.array([0, 1, 1], type_) for i, type_ in enumerate(types)})
    assert only(frame).X.dtype == expected
    assert only(frame, dtype="float32").X.dtype == np.float32


def test_other_kinds_of_columns():
    frame = pd.DataFrame(
        {
            "flag": [True, False, True],
            "category": pd.Categorical(["b", "a", "b"], categories=["c", "b", "a"]),
            "whole": pd.array([3, 1, 3], "Int64"),
        }
    )
    rows = only(frame, categorical=["whole"])
    np.testing.assert_array_equal(rows.X, [[1], [0], [1]])
    assert [column.levels.tolist() for column in rows.categories] == [["a", "b"], [1, 3]]
    decimals = pa.table({"price": pa.array([1, 2], pa.decimal128(5, 2)), "y": [0, 1]})
    np.testing.assert_array_equal(only(decimals, target="y").X, [[1.0], [2.0]])


@pytest.mark.parametrize(
    ("roles", "message"),
    [
        ({"target": ["y", "x"]}, r"target must be the name of a column, got \['y', 'x'\]: sources have one target"),
        ({"weight": ["x"]}, r"weight must be the name of a column, got \['x'\]: sources have one weight"),
        ({"offset": 3}, "offset must be the name of a column, got 3"),
        ({"features": [["x"]]}, r"features must be a list of names of columns, got \['x'\] among them"),
        ({"exclude": [3]}, "exclude must be a list of names of columns, got 3 among them"),
    ],
)
def test_roles_are_names_of_columns(roles, message):
    with pytest.raises(ValueError, match=message):
        table_sources(FRAME, **roles)


def test_missing_values_are_refused_with_row_and_column():
    frame = FRAME.assign(x=[0.5, np.nan, 1.0])
    with pytest.raises(DataError, match=r"table: row 1, column 'x': the value is missing\. Fill it in"):
        only(frame, **MEANINGS)
    nulls = polars.from_pandas(FRAME).with_columns(polars.Series("region", ["north", None, None]))
    with pytest.raises(DataError, match="row 1, column 'region': the value is missing"):
        only(nulls, **MEANINGS)
    with pytest.raises(DataError, match="row 2, column 'y'"):
        only(FRAME.assign(y=["no", "yes", None]), **MEANINGS)
    # The number of the row is that of the whole table, whatever the block.
    (*_, last) = table_sources(frame.iloc[[0, 0, 0, 1]], **MEANINGS, blocks=4)
    with pytest.raises(DataError, match="row 3, column 'x'"):
        last.read()


def test_missing_values_can_be_dropped_or_filled_in():
    frame = FRAME.assign(x=[0.5, np.nan, 1.0], region=["north", "south", None])
    rows = only(frame, **MEANINGS, missing="drop")
    np.testing.assert_array_equal(rows.X, [[30, 0.5]])
    assert rows.y.tolist() == ["no"]
    rows = only(frame, **MEANINGS, missing={"x": -1.0, "region": "(missing)"})
    np.testing.assert_array_equal(rows.X[:, 1], [0.5, -1.0, 1.0])
    assert rows.categories[0].levels.tolist() == ["(missing)", "north", "south"]
    whole = pa.table({"k": [1, None, 3], "y": [0, 1, 1]})
    np.testing.assert_array_equal(only(whole, target="y", missing={"k": 1.5}).X, [[1], [1.5], [3]])


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"target": "z"}, DataError, "there is no column 'z': its columns are 'age', 'x', 'region'"),
        ({"features": "age"}, ValueError, r"features must be a list of columns, got the text 'age': write \['age'\]"),
        ({"target": "y", "features": ["y"]}, ValueError, "'y' is given two meanings"),
        ({"features": ["x", "x"]}, ValueError, "'x' is named twice among the features: name it once"),
        ({"features": ["x"], "categorical": ["age"]}, ValueError, "'age' is not among the features"),
        ({"weight": "region"}, DataError, "column 'region' is (large_)?string, it must be numbers"),
        ({"missing": "ignore"}, ValueError, 'missing must be "error", "drop", or a mapping'),
        ({"missing": {"x": 0.0, "z": 1}}, DataError, "there is no column 'z'"),
        ({"missing": {"x": np.nan}}, ValueError, "missing={'x': nan}: that is no value"),
        ({"missing": {"x": None}}, ValueError, "that is no value"),
        ({"features": []}, ValueError, "features is an empty list"),
        ({"features": ["x", "age"], "exclude": ["x"]}, ValueError, "'x' is given two meanings"),
        ({"target": "y", "weight": "y"}, ValueError, "'y' is given two meanings"),
        ({"dtype": "int16"}, ValueError, "dtype must be float32, float64, uint8 or int8"),
    ],
)
def test_wrong_options(options, error, message):
    with pytest.raises(error, match=message):
        table_sources(FRAME, **options)  # before a row is read


@pytest.mark.parametrize(
    ("frame", "options", "message"),
    [
        (pd.DataFrame({"when": pd.to_datetime(["2020-01-01"])}), {}, r"column 'when' is timestamp.*Leave it out"),
        (pd.DataFrame({"x": [1.0, np.inf]}), {}, "row 1, column 'x': the value is infinite"),
        (
            pd.DataFrame({"x": [1.5, 2.0]}),
            {"categorical": ["x"]},
            "row 0, column 'x': 1.5 is no level: levels are text or whole",
        ),
        (pd.DataFrame({"x": [1, "a"]}), {}, "the table cannot be used: .*column x"),
        (pd.DataFrame({0: [1, 2]}), {}, "column 0 is not named by text"),
        (pd.DataFrame([[1, 2]], columns=["x", "x"]), {}, "two columns are named 'x'"),
        (pd.DataFrame({"x": []}), {}, "no rows"),
        (
            pd.DataFrame({"x": ["a", None]}),
            {"missing": {"x": 3}},
            "missing={'x': 3}: column 'x' is (large_)?string, which 3 is not",
        ),
        (object(), {}, "object cannot be used as a table"),
        (polars.DataFrame({"x": [1.0]}).lazy(), {}, r"LazyFrame is not computed yet: call its collect\(\) first"),
        (
            pa.table({"x": [1.0], "y": [[1]]}),
            {"target": "y"},
            "column 'y' is list<.*>: targets are numbers or text. Name another column",
        ),
        (
            pa.table({"x": [1.0], "w": ["a"]}),
            {"weight": "w"},
            "column 'w' is string, it must be numbers: name another, or make numbers of it",
        ),
    ],
    ids=lambda value: None,
)
def test_tables_that_cannot_be_used(frame, options, message):
    with pytest.raises(DataError, match=message):
        only(frame, **options)


def test_a_pickled_source_carries_its_own_rows_only():
    frame = pd.DataFrame(np.zeros((10_000, 10))).add_prefix("x")
    sources = table_sources(frame, blocks=100)
    pickled = pickle.dumps(sources[3])
    assert len(pickled) < 3 * 100 * 10 * 8
    again = pickle.loads(pickled)
    np.testing.assert_array_equal(again.read().X, sources[3].read().X)
    assert str(again) == "table rows 300..399"


def test_what_is_read_of_an_object_store_is_told_by_its_references():
    pieces = [SimpleNamespace(reading=3, ref="first"), SimpleNamespace(reading=2), SimpleNamespace(reading=1, ref=None)]
    assert TableSource((*pieces, SimpleNamespace(reading=4, ref="last")), None).stored == [("first", 3), ("last", 4)]


def test_numbers_that_the_precision_cannot_hold_are_refused():
    frame = pd.DataFrame({"a": [3.0, 300.0, -1.0]})
    with pytest.raises(DataError, match=r"row 1, column 'a': uint8 cannot hold 300.0"):
        only(frame, dtype="uint8")
    with pytest.raises(DataError, match=r"row 2, column 'a': float32 cannot hold 1e[+]300"):
        only(pd.DataFrame({"a": [1.0, 2.0, 1e300]}), dtype="float32")
    filled = pa.table({"a": pa.array([1, None, 3], pa.uint8())})
    assert only(filled, missing={"a": np.float32(0.5)}).X.ravel().tolist() == [1, 0.5, 3]


def test_rows_keep_their_numbers_when_others_are_left_out():
    frame = pd.DataFrame({"a": [np.nan, 1.0, np.nan, np.inf]})
    with pytest.raises(DataError, match="row 3, column 'a': the value is infinite"):
        only(frame, missing="drop")


def test_pandas_categoricals_of_numbers_are_categories():
    frame = pd.DataFrame({"a": pd.Categorical([10, 20, 10]), "y": [0, 1, 0]})
    assert only(frame, target="y").categories[0].levels.tolist() == [10, 20]
    large = pa.table({"a": pa.array([2**63 + 1, 2**63 + 2], pa.uint64())})
    with pytest.raises(DataError, match="row 0, column 'a': 9223372036854775809 is no level"):
        only(large, categorical=["a"])
    with pytest.raises(DataError, match=r"row 1, column 'a': 'v.x00'... ends in a NUL character"):
        only(pa.table({"a": ["v", "v\0"]}))


def test_rows_are_located_in_their_table():
    sources = table_sources(FRAME, target="y", blocks=3)
    assert [source.locate(0) for source in sources] == ["table: row 0", "table: row 1", "table: row 2"]
