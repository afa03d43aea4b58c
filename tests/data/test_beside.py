"""Targets, weights and offsets beside a table: columns by name, or values by position, whatever holds either."""

import re
from importlib import import_module

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from fullbatch import DataError, GeneralizedLinearRegressor, LogisticRegression, array_sources, table_sources
from fullbatch.data.fitted import Fitted, given_to_evaluate
from fullbatch.data.given import given_to_fit
from fullbatch.protocols.rows import Rows
from fullbatch.protocols.schema import Features

N = 40
RNG = np.random.default_rng(3)
FRAME = pd.DataFrame(
    {
        "a": RNG.standard_normal(N),
        "b": RNG.standard_normal(N),
        "region": np.resize(["n", "s", "w"], N),
        "churned": np.resize([0, 1, 1, 0, 1], N),
        "n": RNG.uniform(1, 2, N),
        "exposure": RNG.uniform(-1, 1, N),
    }
)
BESIDE = ("churned", "n", "exposure")


@pytest.fixture(autouse=True)
def in_this_thread():
    dask = import_module("dask")
    with dask.config.set(scheduler="synchronous"):
        yield


def as_dask(frame, parts=3):
    return import_module("dask.dataframe").from_pandas(frame, npartitions=parts)


TABLES = {
    "pandas": lambda frame: frame,
    "polars": pl.from_pandas,
    "arrow": lambda frame: pa.Table.from_pandas(frame, preserve_index=False),
    "dask": as_dask,
}
VALUES = {
    "array": lambda frame, name: frame[name].to_numpy(),
    "list": lambda frame, name: frame[name].tolist(),
    "series": lambda frame, name: frame[name],
    "frame": lambda frame, name: frame[[name]],
    "polars series": lambda frame, name: pl.from_pandas(frame[name]),
    "polars frame": lambda frame, name: pl.from_pandas(frame[[name]]),
    "arrow column": lambda frame, name: pa.array(frame[name]),
    "arrow table": lambda frame, name: pa.Table.from_pandas(frame[[name]], preserve_index=False),
}


def rows_of(given):
    """All rows of what was given, as (X, levels of the category, y, weight, offset)."""
    read = [given] if isinstance(given, Rows) else [source.read() for source in getattr(given, "sources", given)]
    levels = [one.levels[one.codes] for rows in read for one in rows.categories]
    joined = [np.concatenate([getattr(rows, name) for rows in read]) for name in ("X", "y", "weight", "offset")]
    return joined[0].tolist(), np.concatenate(levels).tolist() if levels else [], *(one.tolist() for one in joined[1:])


def wanted(features):
    levels = FRAME["region"].tolist() if "region" in features else []
    return FRAME[["a", "b"]].to_numpy().tolist(), levels, *(FRAME[name].tolist() for name in BESIDE)


@pytest.mark.parametrize("features", [["a", "b"], ["a", "b", "region"]], ids=["numbers", "with text"])
@pytest.mark.parametrize("table", TABLES)
def test_names_and_values_beside_a_table_are_the_same_rows(table, features):
    levels = (np.array(["n", "s", "w"]),) if "region" in features else ()
    fitted = Fitted(Features(2, levels, tuple(features)))
    by_name = TABLES[table](FRAME[[*BESIDE[:2], *features, "exposure"]])
    given = given_to_fit(by_name, *BESIDE, asked_by="Model")
    assert rows_of(given) == wanted(features)
    assert given.names in ((), tuple(features))
    assert rows_of(given_to_evaluate(by_name, "churned", "n", fitted, "exposure")) == wanted(features)
    for form in VALUES if table != "dask" else ("list", "frame", "arrow table"):
        beside = [VALUES[form](FRAME, name) for name in BESIDE]
        X = TABLES[table](FRAME[features])
        assert rows_of(given_to_fit(X, *beside, asked_by="Model")) == wanted(features)
        assert rows_of(given_to_evaluate(X, *beside[:2], fitted, beside[2])) == wanted(features)
        mixed = TABLES[table](FRAME[[*features, "n"]])
        assert rows_of(given_to_fit(mixed, beside[0], "n", beside[2], asked_by="Model")) == wanted(features)


def test_a_name_gives_the_model_that_the_column_gives():
    labelled = FRAME.assign(churned=np.where(FRAME["churned"] > 0, "yes", "no"))
    for frame, features in ((FRAME, ["a", "b"]), (labelled, ["region", "a", "b"])):
        plain = LogisticRegression(engine="serial").fit(frame[features], frame["churned"], frame["n"])
        measured = plain.evaluate(frame[features], frame["churned"], frame["n"])
        for table in TABLES.values():
            model = LogisticRegression(engine="serial").fit(table(frame[[*features, "churned", "n"]]), "churned", "n")
            assert model.coef_.tobytes() == plain.coef_.tobytes()
            assert model.get_feature_names_out().tolist() == plain.get_feature_names_out().tolist()
            assert model.classes_.tolist() == plain.classes_.tolist()
            assert model.evaluate(table(frame), "churned", "n") == pytest.approx(measured, rel=1e-12)
            assert model.score(table(frame), "churned", "n") == pytest.approx(measured["accuracy"], rel=1e-12)


def test_an_offset_beside_a_table_is_that_of_sources():
    columns = ["a", "b", "exposure"]
    sources = table_sources(FRAME[[*columns, "churned"]], target="churned", offset="exposure")
    plain = GeneralizedLinearRegressor("poisson", engine="serial").fit(sources)
    expected = plain.predict(table_sources(FRAME[columns], offset="exposure"))
    eta = FRAME[["a", "b"]].to_numpy() @ plain.coef_ + plain.intercept_ + FRAME["exposure"]
    np.testing.assert_allclose(expected, np.exp(eta), rtol=1e-12)
    for table in TABLES.values():
        X = table(FRAME[[*columns, "churned"]])
        model = GeneralizedLinearRegressor("poisson", engine="serial").fit(X, "churned", offset="exposure")
        assert model.coef_.tobytes() == plain.coef_.tobytes()
        assert model.predict(X, offset="exposure").tolist() == expected.tolist()
        assert model.predict(X, offset=FRAME["exposure"].tolist()).tolist() == expected.tolist()
        assert model.score(X, "churned", offset="exposure") == pytest.approx(plain.score(sources), rel=1e-12)
        with pytest.raises(DataError, match=re.escape("and there is none here: name its column, or give values")):
            model.predict(X)
    model = LogisticRegression(engine="serial").fit(FRAME[["a"]].to_numpy(), FRAME["churned"], offset=FRAME["exposure"])
    bad = FRAME["exposure"].where(FRAME.index != 7, np.nan)
    with pytest.raises(DataError, match="row 7: the offset is nan"):
        model.predict(FRAME[["a"]].to_numpy(), offset=bad)
    with pytest.raises(DataError, match=r"X has 40 rows and offset has shape \(39,\)"):
        model.predict(FRAME[["a"]].to_numpy(), offset=bad[1:])


def test_dask_frames_take_whatever_has_one_value_for_each_row():
    frame, labels = FRAME[["a", "b"]], FRAME["churned"].tolist()
    uneven = as_dask(frame).repartition(divisions=[0, 1, 30, 39])
    with_empty = as_dask(FRAME, 4).map_partitions(lambda part: part[part.index < 20])[["a", "b"]]
    for X, n in ((as_dask(frame), N), (uneven, N), (with_empty, 20)):
        rows = rows_of(given_to_fit(X, labels[:n], 2.0, np.arange(n), asked_by="Model"))
        assert rows[0] == frame.to_numpy()[:n].tolist()
        assert rows[2:] == (labels[:n], [2.0] * n, list(range(n)))
    lazy = as_dask(FRAME)
    for y in (lazy["churned"], lazy[["churned"]]):
        rows = rows_of(given_to_fit(lazy[["a", "b", "n"]], y, "n", FRAME["exposure"], asked_by="Model"))
        assert rows[:4] == wanted(["a", "b"])[:4]


@pytest.mark.parametrize("form", VALUES)
def test_dask_arrays_take_them_too(form):
    da = import_module("dask.array")
    X = FRAME[["a", "b"]].to_numpy()
    beside = [VALUES[form](FRAME, name) for name in BESIDE]
    assert rows_of(given_to_fit(da.from_array(X, chunks=(11, 2)), *beside, asked_by="Model")) == wanted(["a", "b"])


def test_dask_arrays_take_what_is_of_dask_and_those_of_unknown_lengths_are_counted():
    X, frame = as_dask(FRAME)[["a", "b"]].to_dask_array(), as_dask(FRAME)
    rows = rows_of(given_to_fit(X, frame[["churned"]], 2.0, frame["exposure"], asked_by="Model"))
    assert rows == (*wanted(["a", "b"])[:3], [2.0] * N, FRAME["exposure"].tolist())


def test_a_pandas_series_beside_a_dask_frame_has_its_index_or_one_that_only_counts():
    labels, named = FRAME["churned"], [f"row {k:02d}" for k in range(N)]
    shuffled = np.random.default_rng(0).permutation(N)
    each_counts = as_dask(FRAME[["a", "b", "n"]]).map_partitions(lambda part: part.reset_index(drop=True))
    for X, y in (
        (as_dask(FRAME[["a", "b", "n"]]), labels),
        (as_dask(FRAME[["a", "b", "n"]]), labels.set_axis(named)),
        (each_counts, labels),
        (as_dask(FRAME[["a", "b", "n"]].set_axis(named)), labels),
    ):
        rows = rows_of(given_to_fit(X, y, "n", np.zeros(N), asked_by="Model"))
        assert rows[2] == [labels.to_numpy()[number] for number in _order(rows[0])]
    for X in (as_dask(FRAME[["a"]]), each_counts):
        with pytest.raises(DataError, match=rf"different indexes: row 0 is 0 in X and {shuffled[0]} in y"):
            given_to_fit(X, labels.iloc[shuffled], asked_by="Model")
    turned = FRAME["n"].set_axis([*named[1:], named[0]])
    with pytest.raises(DataError, match=r"different indexes: row 0 is 'row 00' in X and 'row 01' in sample_weight"):
        given_to_fit(as_dask(FRAME[["a"]].set_axis(named)), labels.to_numpy(), turned, asked_by="Model")


def _order(X):
    """Numbers of rows in FRAME."""
    place = {tuple(row): number for number, row in enumerate(FRAME[["a", "b"]].to_numpy().tolist())}
    return [place[tuple(row)] for row in X]


@pytest.mark.parametrize("table", TABLES)
def test_what_does_not_fit_beside_a_table_is_told_in_one_line(table):
    X = TABLES[table](FRAME[["a", "b", "region"]])
    for fit, message in (
        (lambda: given_to_fit(X, "z", asked_by="Model"), r"there is no column 'z': its columns are 'a', 'b', 'region'"),
        (
            lambda: given_to_fit(X, FRAME["churned"][1:].tolist(), asked_by="Model"),
            "X has 40 rows and the target has 39",
        ),
        (
            lambda: given_to_fit(X, [*"ab", None, 3] * 10, asked_by="Model"),
            "the target mixes types, use text or numbers",
        ),
        (
            lambda: given_to_fit(X, FRAME["churned"].tolist(), np.ones((N, 2)), asked_by="Model"),
            r"X has 40 rows and the weight has shape \(40, 2\)",
        ),
    ):
        with pytest.raises(DataError, match=message) as told:
            fit()
        assert "\n" not in str(told.value)


def test_names_beside_what_has_none_are_told():
    da = import_module("dask.array")
    X = FRAME[["a", "b"]].to_numpy()
    for given, kind in ((X, "ndarray"), (X.tolist(), "list"), (da.from_array(X), "Array")):
        with pytest.raises(ValueError, match=rf"y='churned' names a column, and X \({kind}\) has no names of columns"):
            given_to_fit(given, "churned", asked_by="Model")
        with pytest.raises(ValueError, match="sample_weight='n' names a column"):
            given_to_evaluate(given, FRAME["churned"], "n", Fitted(Features(2)))
    with pytest.raises(ValueError, match="leave y, sample_weight and offset out"):
        given_to_fit(array_sources(X, FRAME["churned"]), offset="exposure", asked_by="Model")
    lazy = pl.from_pandas(FRAME).lazy()
    with pytest.raises(ValueError, match=r"^LazyFrame is not computed yet: give what its collect\(\) returns$"):
        given_to_fit(lazy, "churned", asked_by="Model")
