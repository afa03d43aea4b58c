"""Lists of one length and tensors of one shape are columns."""

import pickle

import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest

from fullbatch import DataError, LogisticRegression, file_sources, parquet_sources, table_sources
from fullbatch.data.arrow import LONGEST_LIST

ROWS = 90
rng = np.random.default_rng(0)
V = rng.normal(size=(ROWS, 6))
A = rng.normal(size=ROWS)
Y = (V[:, 0] + A > 0).astype(int)


def lists(values, type_=None):
    return pa.FixedSizeListArray.from_arrays(pa.array(values.ravel(), type_), values.shape[1])


def theta(model):
    return model.coef_.tobytes() + model.intercept_.tobytes()


def fitted(sources, y=None):
    return LogisticRegression(engine="serial", tol=1e-6).fit(sources, y)


FLAT = pa.table({"a": A, **{f"v[{j}]": V[:, j] for j in range(6)}, "y": Y})
NESTED = [f"v[{i}][{j}]" for i in range(2) for j in range(3)]
COLUMNS = {
    "list": lists(V),
    "nested": pa.FixedSizeListArray.from_arrays(lists(V.reshape(-1, 3)), 2),
    "tensor": pa.FixedShapeTensorArray.from_numpy_ndarray(V.reshape(ROWS, 2, 3)),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_from_every_table(tmp_path, kind):
    data = pa.table({"a": A, "v": COLUMNS[kind], "y": Y})
    pq.write_table(data, tmp_path / "t.parquet", row_group_size=40)
    feather.write_feather(data, tmp_path / "t.arrow", chunksize=40)
    expected = fitted(table_sources(FLAT, target="y", block_rows=25))
    names = ["a", *(NESTED if kind == "nested" else FLAT.column_names[1:-1])]
    for sources in (
        table_sources(data, target="y", block_rows=25),
        table_sources(data.slice(0), target="y", block_rows=25),
        parquet_sources(tmp_path / "t.parquet", target="y", block_rows=25),
        file_sources(tmp_path / "t.arrow", target="y", block_rows=25),
    ):
        model = fitted(pickle.loads(pickle.dumps(sources)))
        assert theta(model) == theta(expected)
        assert model.get_feature_names_out().tolist() == model.feature_names_in_.tolist() == names
        assert np.array_equal(model.predict(sources), expected.predict(FLAT))
        assert np.array_equal(model.predict(data.select(["v", "y", "a"])), expected.predict(FLAT))
    flat = pa.table(dict(zip(names, FLAT.columns[:-1], strict=True)))
    assert np.array_equal(model.predict(flat), expected.predict(FLAT))


def test_frames_given_to_fit():
    expected = fitted(FLAT.drop_columns(["y"]), Y)
    data = pa.table({"a": A, "v": lists(V)})
    arrays = polars.DataFrame({"a": A, "v": V})
    assert arrays.schema["v"] == polars.Array(polars.Float64, 6)
    pandas = pd.DataFrame({"a": A, "v": pd.Series(data["v"].to_pylist(), dtype=pd.ArrowDtype(data["v"].type))})
    for frame in (data, arrays, pandas):
        model = fitted(frame, Y)
        assert theta(model) == theta(expected)
        assert model.feature_names_in_.tolist() == FLAT.column_names[:-1]
        assert np.array_equal(model.predict(frame), expected.predict(FLAT))
        assert model.score(frame, Y) == expected.score(FLAT.drop_columns(["y"]), Y)


def test_tensors_of_ray():
    extensions = pytest.importorskip("ray.data.extensions")
    tensor = extensions.ArrowTensorArray.from_numpy(V.reshape(ROWS, 2, 3))
    data = pa.table({"a": A, "v": getattr(tensor, "array", tensor), "y": Y})
    sources = table_sources(data, target="y")
    assert theta(fitted(sources)) == theta(fitted(table_sources(FLAT, target="y")))


def test_roles_name_lists_or_their_elements():
    data = pa.table({"a": A, "v": lists(V), "k": lists(np.arange(2 * ROWS).reshape(ROWS, 2) % 4), "y": Y})

    def features(**roles):
        return table_sources(data, target="y", **roles)[0].columns.features

    assert features(features=["v"]) == tuple(f"v[{j}]" for j in range(6))
    assert features(features=["v[4]", "a", "v[1]"]) == ("v[4]", "a", "v[1]")
    assert features(exclude=["v", "k[1]"]) == ("a", "k[0]")
    assert features(exclude=["v"], categorical=["k"]) == ("a", "k[0]", "k[1]")
    assert features(exclude=["v"], categorical=["k[1]"]) == ("a", "k[0]", "k[1]")
    source = table_sources(data, target="k[1]", weight="k[0]", features=["v[2]"], blocks=1)[0]
    assert source.columns.used == ["v", "k"]
    rows = source.read()
    assert rows.X.ravel().tolist() == V[:, 2].tolist()
    assert rows.y.tolist() == [1, 3] * (ROWS // 2)
    assert rows.weight.tolist() == [0, 2] * (ROWS // 2)
    text = pa.table({"t": pa.array([["n", "s"], ["w", "s"]], pa.list_(pa.string(), 2))})
    assert [one.levels.tolist() for one in table_sources(text)[0].read().categories] == [["n", "w"], ["s"]]
    for roles, message in (
        ({"target": "v"}, r"there is no column 'v': its columns are 'a', 'v\[0\]'"),
        ({"features": ["v", "v[0]"]}, r"the column 'v\[0\]' is named twice among the features"),
        ({"features": ["v[6]"]}, r"there is no column 'v\[6\]'"),
        ({"features": ["a"], "categorical": ["k"]}, r"the categorical column 'k\[0\]' is not among the features"),
    ):
        with pytest.raises(ValueError, match=message):
            table_sources(data, **roles)


def test_types_and_missing_values(tmp_path):
    for type_, expected in (("uint8", "uint8"), ("int8", "int8"), ("float32", "float32"), ("int32", "float64")):
        data = pa.table({"v": lists(np.arange(6).reshape(2, 3), pa.type_for_alias(type_))})
        rows = table_sources(data)[0].read()
        assert rows.X.dtype == expected
        assert rows.X.tolist() == [[0, 1, 2], [3, 4, 5]]
    holes = pa.table({"v": pa.array([[1, 2], None, [3, None], [float("nan"), 4]], pa.list_(pa.float64(), 2))})
    pq.write_table(holes, tmp_path / "t.parquet")
    feather.write_feather(holes, tmp_path / "t.feather")
    for make in (
        lambda **options: table_sources(holes, blocks=1, **options)[0].read().X.tolist(),
        lambda **options: table_sources(holes.slice(1), blocks=1, **options)[0].read().X.tolist(),
        lambda **options: parquet_sources(tmp_path / "t.parquet", blocks=1, **options)[0].read().X.tolist(),
        lambda **options: file_sources(tmp_path / "t.feather", blocks=1, **options)[0].read().X.tolist(),
    ):
        filled = [[1, 2], [-1, -1], [3, -1], [-1, 4]]
        assert make(missing={"v": -1}) in (filled, filled[1:])
        assert make(missing={"v[0]": -1, "v[1]": -1}) in (filled, filled[1:])
        assert make(missing="drop") in ([[1, 2]], [])
        with pytest.raises(DataError, match=r"row [01], column 'v\[0\]': the value is missing"):
            make()
    with pytest.raises(DataError, match=r"row 1, column 'v\[2\]': the value is infinite"):
        table_sources(pa.table({"v": lists(np.array([[1, 2, 3], [4, 5, np.inf]]))}))[0].read()


def test_lists_that_are_no_columns(tmp_path):
    for column, message in (
        (
            pa.array([[1.0], [2.0]]),
            r"column 'v' is list<.*> ?: .* make lists of one length of it, such as pyarrow\.list_",
        ),
        (pa.array([[], []], pa.list_(pa.float64(), 0)), r"column 'v' is fixed_size_list.*\[0\]: features are numbers"),
        (
            pa.nulls(2, pa.list_(pa.float64(), LONGEST_LIST + 1)),
            r"column 'v' is fixed_size_list.*\[262145\]: features are numbers",
        ),
        (pa.array([[{"x": 1}], [{"x": 2}]], pa.list_(pa.struct([("x", pa.int64())]), 1)), r"column 'v\[0\]' is struct"),
        (
            pa.ExtensionArray.from_storage(
                pa.fixed_shape_tensor(pa.float64(), [1, 2], permutation=[1, 0]),
                pa.array([[1.0, 2.0]] * 2, pa.list_(pa.float64(), 2)),
            ),
            r"column 'v' is .*fixed_shape_tensor.*: features are numbers",
        ),
    ):
        data = pa.table({"a": [1.0, 2.0], "v": column})
        with pytest.raises(DataError, match=message):
            table_sources(data)
        assert table_sources(data, exclude=["v" if "struct" not in message else "v[0]"])[0].columns.features == ("a",)
    pq.write_table(pa.table({"v": lists(V)}), tmp_path / "0.parquet")
    pq.write_table(pa.table({"v": lists(V[:, :5])}), tmp_path / "1.parquet")
    with pytest.raises(DataError, match=r"1\.parquet: there is no column 'v\[5\]', which .*0\.parquet has"):
        parquet_sources(tmp_path)
    with pytest.raises(DataError, match=r"the table: two columns are named 'v\[0\]': rename one of them"):
        table_sources(pa.table({"v": lists(V), "v[0]": A}))
