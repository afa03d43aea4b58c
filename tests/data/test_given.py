"""What a person gives to fit, predict and evaluate becomes the same rows, whichever kind of data it is."""

import io
import re
from importlib import import_module

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp

from fullbatch import DataError, array_sources, table_sources
from fullbatch.data.fitted import Fitted, given_to_evaluate, given_to_predict
from fullbatch.data.given import given_to_fit
from fullbatch.data.kinds import Kind, kind_of
from fullbatch.protocols.rows import Rows
from fullbatch.protocols.schema import Features

X = np.random.default_rng(0).standard_normal((20, 3))
Y = np.arange(20) % 3
WEIGHT = np.arange(20) + 1.0
OFFSET = np.linspace(-1, 1, 20)
FRAME = pd.DataFrame(X, columns=["a", "b", "c"])
TEXTS = FRAME.assign(d=np.array(["n", "s"])[Y % 2])
NUMBERS, TEXT = Features(3, (), ("a", "b", "c")), Features(3, (np.array(["n", "s"]),), ("a", "b", "c", "d"))


def rows_of(sources):
    (source,) = sources
    return source.read()


def dask_frame():
    return import_module("dask.dataframe").from_pandas(FRAME.assign(y=Y), npartitions=2)


def dask_array():
    return import_module("dask.array").from_array(X, chunks=(8, 3))


KINDS = {
    "an array": (lambda: X, Kind.MATRIX),
    "lists": (lambda: X.tolist(), Kind.MATRIX),
    "sparse": (lambda: sp.coo_matrix(X), Kind.MATRIX),
    "a frame of numbers": (lambda: FRAME, Kind.NUMBERS_TABLE),
    "a frame with text": (lambda: TEXTS, Kind.TABLE),
    "polars": (lambda: pl.from_pandas(FRAME), Kind.TABLE),
    "Arrow": (lambda: pa.table(FRAME), Kind.TABLE),
    "a lazy frame": (lambda: pl.from_pandas(FRAME).lazy(), Kind.LAZY),
    "a Dask array": (dask_array, Kind.DASK_ARRAY),
    "a Dask frame": (dask_frame, Kind.DASK_FRAME),
    "a source": (lambda: array_sources(X, Y)[0], Kind.SOURCES),
    "sources": (lambda: array_sources(X, Y, blocks=3), Kind.SOURCES),
    "an iterator of sources": (lambda: iter(array_sources(X, Y)), Kind.SOURCES),
    "an empty list": (lambda: [], Kind.MATRIX),
}


@pytest.mark.parametrize("name", KINDS)
def test_kinds_are_told_by_their_looks(name):
    make, kind = KINDS[name]
    assert kind_of(make()) is kind


@pytest.mark.parametrize(
    "name", ["an array", "lists", "sparse", "a frame of numbers", "polars", "Arrow", "a Dask array"]
)
def test_what_is_beside_the_features_goes_into_the_rows(name):
    rows = rows_of(given_to_fit(KINDS[name][0](), Y, WEIGHT, OFFSET, asked_by="Model").sources)
    features = rows.X.toarray() if sp.issparse(rows.X) else rows.X
    np.testing.assert_array_equal(features, X)
    np.testing.assert_array_equal(rows.y, Y)
    np.testing.assert_array_equal(rows.weight, WEIGHT)
    np.testing.assert_array_equal(rows.offset, OFFSET)


def test_labels_are_given_like_any_target():
    labels = np.array(["no", "yes", "maybe"])[Y]
    for given in (X, TEXTS):
        assert rows_of(given_to_fit(given, labels, asked_by="Model").sources).y.tolist() == labels.tolist()


def test_columns_of_spread_tables_are_named_or_series_beside_them():
    by_name = rows_of(given_to_fit(dask_frame(), "y", asked_by="Model").sources)
    assert by_name.names == ("a", "b", "c")
    frame = dask_frame()
    beside = rows_of(given_to_fit(frame, frame["y"], offset=frame["a"], asked_by="Model").sources)
    assert beside.names == ("a", "b", "c", "y")
    np.testing.assert_array_equal(beside.y, Y)
    np.testing.assert_array_equal(beside.offset, X[:, 0])


def test_one_number_weighs_all_rows():
    assert rows_of(given_to_fit(X, Y, 2.0, asked_by="Model").sources).weight.tolist() == [2.0] * 20


def test_names_are_those_of_frames_in_their_order():
    swapped = TEXTS[["d", "c", "a", "b"]]
    assert given_to_fit(swapped, Y, asked_by="Model").names == ("d", "c", "a", "b")
    assert given_to_fit(FRAME, Y, asked_by="Model").names == ("a", "b", "c")
    assert given_to_fit(X, Y, asked_by="Model").names == ()
    assert given_to_fit(pd.DataFrame(X), Y, asked_by="Model").names == ()
    with pytest.raises(TypeError, match=r"\['int', 'str'\] as feature name"):
        given_to_fit(FRAME.rename(columns={"b": 3}), Y, asked_by="Model")


def test_rows_in_memory_to_predict_for_are_read_and_others_are_sources():
    for given in (X, FRAME, pa.table(FRAME)):
        rows = given_to_predict(given, Fitted(NUMBERS))
        assert isinstance(rows, Rows)
        np.testing.assert_array_equal(rows.X, X)
    assert given_to_predict(TEXTS[["d", "b", "a", "c"]], Fitted(TEXT)).names == ("a", "b", "c", "d")
    for given in (dask_array(), dask_frame(), array_sources(X)):
        np.testing.assert_array_equal(rows_of(given_to_predict(given, Fitted(NUMBERS))).X, X)


def test_rows_to_evaluate_have_targets_and_weights():
    rows = given_to_evaluate(FRAME, Y, WEIGHT, Fitted(NUMBERS))
    np.testing.assert_array_equal(rows.y, Y)
    np.testing.assert_array_equal(rows.weight, WEIGHT)
    sources = given_to_evaluate(dask_frame(), "y", None, Fitted(NUMBERS))
    np.testing.assert_array_equal(rows_of(sources).y, Y)


@pytest.mark.parametrize("name", ["an array", "polars", "a Dask array", "a Dask frame"])
def test_no_target_is_refused_before_anything_is_read(name):
    for ask in (
        given_to_fit,
        lambda *given, asked_by: given_to_evaluate(*given, None, Fitted(NUMBERS, name=asked_by)),
    ):
        with pytest.raises(ValueError, match="Model requires y to be passed, but the target y is None"):
            ask(KINDS[name][0](), None, asked_by="Model")


def test_what_cannot_be_used_is_refused():
    with pytest.raises(ValueError, match="sources bring their targets and weights with them"):
        given_to_fit(array_sources(X, Y), offset=OFFSET, asked_by="Model")
    with pytest.raises(ValueError, match=r"LazyFrame is not computed yet: give what its collect\(\) returns"):
        given_to_predict(KINDS["a lazy frame"][0](), Fitted(NUMBERS))
    with pytest.raises(ValueError, match="or values in memory, got a Dask Array: give what its compute"):
        given_to_fit(dask_frame(), dask_array()[:, 0], asked_by="Model")
    with pytest.raises(ValueError, match="X has 20 rows and the offset has 19"):
        given_to_fit(TEXTS, Y, offset=OFFSET[1:], asked_by="Model")
    with pytest.raises(ValueError, match="has categorical columns: give a frame with their names"):
        given_to_predict(X, Fitted(TEXT))
    with pytest.raises(DataError, match="would leave rows without a prediction"):
        given_to_predict(table_sources(FRAME, missing="drop"), Fitted(NUMBERS))


@pytest.mark.parametrize("names", [["a", "a", "b"], [0, 0, 1]], ids=str)
def test_two_columns_of_one_name_are_refused_by_name(names):
    frame = pd.DataFrame(X, columns=names)
    with pytest.raises(DataError, match=f"two columns are named {names[0]!r}: rename one of them"):
        given_to_fit(frame, Y, asked_by="Model")
    with pytest.raises(DataError, match=f"two columns are named {names[0]!r}: rename one of them"):
        given_to_predict(frame, Fitted(Features(3)))


def test_a_frame_without_columns_is_refused():
    for frame, y in ((FRAME[[]], Y), (FRAME[["a"]], "a"), (pl.DataFrame(), Y), (pa.table({}), Y)):
        with pytest.raises(DataError, match=r"X is a frame without columns: 0 feature\(s\)"):
            given_to_fit(frame, y, asked_by="Model")
    with pytest.raises(DataError, match="X is a frame without columns"):
        given_to_predict(FRAME[[]], Fitted(Features(3)))


def test_complex_numbers_are_told_by_their_type_alone():
    beside = {"y": Y, "weight": WEIGHT, "offset": OFFSET}
    for role, meaning in {"y": "target", "weight": "weight", "offset": "offset"}.items():
        told = {**beside, role: beside[role] * 1j}
        with pytest.raises(
            DataError, match=f"^Complex data not supported: the {meaning} must be real, not complex128$"
        ):
            given_to_fit(TEXTS, **told, asked_by="Model")
    with pytest.raises(DataError, match="Complex data not supported: the target must be real, not complex128"):
        given_to_fit(X, Y * 1j, asked_by="Model")


@pytest.mark.parametrize("kind", ["U", "S", "object"])
def test_texts_of_numbers_are_no_numbers(kind):
    """They are codes as often as not: "01234" is no 1234."""
    texts = np.full((4, 2), 1.5, object)
    texts[2, 1] = "01234"
    texts, place = (texts, "row 2, column 1") if kind == "object" else (np.full((4, 2), "7").astype(kind), "row 0")
    for read in (
        lambda: given_to_fit(texts, Y[:4], asked_by="Model").sources[0].read(),
        lambda: given_to_predict(texts, Fitted(Features(2))),
    ):
        with pytest.raises(DataError, match=f"{place}.*X must be numbers, not the text b?'.*': make numbers of it"):
            read()


def test_masked_values_are_not_read_from_behind_their_mask():
    mask = np.zeros(X.shape, bool)
    mask[4, 2] = True
    masked, column = np.ma.array(X, mask=mask), np.ma.array(WEIGHT, mask=mask[:, 2])
    for read in (
        lambda: given_to_fit(masked, Y, asked_by="Model"),
        lambda: given_to_predict(masked, Fitted(Features(3))),
        lambda: array_sources(masked, Y),
    ):
        with pytest.raises(DataError, match="row 4, column 2: the value in X is masked: make a missing value of it"):
            read()
    for beside in ({"y": column}, {"y": Y, "weight": column}, {"y": Y, "offset": column}):
        for table in (X, FRAME, TEXTS):
            with pytest.raises(DataError, match="row 4: the value in the targets, weights or offsets is masked"):
                given_to_fit(table, **beside, asked_by="Model")
    with pytest.raises(DataError, match="row 4: the value in the targets, weights or offsets is masked"):
        array_sources(X, column)
    dask = import_module("dask.array").from_array(masked, chunks=(8, 3), asarray=False)
    with pytest.raises(DataError, match="row 4, column 2: the value in chunk 0 of the Dask array is masked"):
        array_sources(dask)[0].read()
    np.testing.assert_array_equal(rows_of(array_sources(np.ma.array(X))).X, X)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.uint8, np.int64])
def test_buffers_are_matrices(dtype):
    X = np.arange(12, dtype=dtype).reshape(6, 2)
    for buffer in (memoryview(X), memoryview(X).toreadonly()):
        (source,) = given_to_fit(buffer, np.arange(6), asked_by="a test").sources
        assert source.read().X.tolist() == X.tolist()
        assert given_to_predict(buffer, Fitted(Features(2))).X.tolist() == X.tolist()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: (row for row in [[1.0], [2.0]]), "X is a generator of list objects: give rows as an array"),
        (lambda: zip([1.0], [2.0], strict=True), "X is a zip of tuple objects"),
        (lambda: map(np.array, [[1.0], [2.0]]), "X is a map of ndarray objects"),
        (lambda: iter([*array_sources(np.ones((2, 1))), "t.csv"]), "X is a list_iterator of str objects"),
        (lambda: io.StringIO("1,2"), "X is an open file: give its name to file_sources"),
    ],
)
def test_what_is_gone_through_once_brings_sources_only(make, message):
    fitted = Fitted(Features(1))
    ways = (
        lambda X: given_to_fit(X, [0, 1], asked_by="a test"),
        lambda X: given_to_fit(X, asked_by="a test"),
        lambda X: given_to_predict(X, fitted),
        lambda X: given_to_evaluate(X, [0, 1], None, fitted),
    )
    for way in ways:
        with pytest.raises(DataError, match=message):
            way(make())


@pytest.mark.parametrize("frame", [FRAME, TEXTS], ids=["numbers", "texts"])
@pytest.mark.parametrize("beside", ["y", "weight", "offset"])
def test_series_with_another_index_are_refused_and_those_that_only_count_are_paired_by_position(frame, beside):
    def given(X, values):
        told = {"y": Y, "weight": None, "offset": None} | {beside: values}
        rows = rows_of(given_to_fit(X, told["y"], told["weight"], told["offset"], asked_by="Model").sources)
        return {"y": rows.y, "weight": rows.weight, "offset": rows.offset}[beside].tolist()

    n = len(frame)
    values, shuffled = pd.Series(np.arange(n) % 2), np.random.default_rng(0).permutation(n)
    named = frame.set_axis([f"row {k}" for k in range(n)])
    for X, same in (
        (frame, values),
        (frame.iloc[shuffled], values.iloc[shuffled]),
        (named, values),  # a default index is no name
        (frame, values.set_axis(named.index)),
        (frame.set_axis(np.arange(n) + 1000), values),
        (frame.iloc[shuffled], values.to_numpy()),
    ):
        assert given(X, same) == same.tolist()
    for X, other in (
        (frame.iloc[shuffled], values),
        (frame, values.iloc[shuffled]),
        (named, values.set_axis(named.index[::-1])),
        (named, values.set_axis([f"other {k}" for k in range(n)])),
    ):
        row = int(np.flatnonzero(X.index != other.index)[0])
        name = {"y": "y", "weight": "sample_weight", "offset": "offset"}[beside]
        mine, its = X.index.tolist()[row], other.index.tolist()[row]
        told = f"different indexes: row {row} is {mine!r} in X and {its!r} in {name}"
        with pytest.raises(DataError, match=re.escape(told)):
            given(X, other)


def test_series_beside_a_dask_frame_are_paired_by_position():
    dd = import_module("dask.dataframe")
    frame = FRAME.assign(y=Y).set_axis([7] * 10 + list(range(10)))  # by label, rows would be repeated
    lazy, n = dd.from_pandas(frame, npartitions=3, sort=False), len(frame)
    rows = rows_of(given_to_fit(lazy[["a", "b"]], lazy["y"] * 2, offset=lazy["c"], asked_by="Model").sources)
    assert rows.X.tolist() == frame[["a", "b"]].to_numpy().tolist()
    assert rows.y.tolist() == (Y * 2).tolist()
    assert rows.offset.tolist() == frame["c"].tolist()
    for other, message in (
        (dd.from_pandas(frame["y"], npartitions=2, sort=False), "has 3 partitions and the target has 2"),
        (lazy["y"].loc[lazy["a"] > 0.5], r"a partition of the Dask data frame has \d+ rows and that of the target has"),
        (
            dd.from_pandas(frame["y"].set_axis(range(n)), npartitions=3, sort=False),
            r"the Dask data frame and the target have different indexes: row \d+ of a partition is \d+ and \d+",
        ),
    ):
        with pytest.raises(DataError, match=message):
            given_to_fit(lazy[["a", "b"]], other, asked_by="Model")
