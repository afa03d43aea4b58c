"""A fitted model finds its columns by name in whatever holds them, looks at no other, and fills what the fit filled."""

import datetime
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp

from fullbatch import (
    DataError,
    LogisticRegression,
    array_sources,
    csv_sources,
    file_sources,
    load_model,
    parquet_sources,
    table_sources,
)

N = 60
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {"a": RNG.standard_normal(N), "b": RNG.standard_normal(N), "region": np.resize(["n", "s", "w"], N)}
).assign(y=RNG.integers(0, 2, N))


@pytest.fixture(autouse=True)
def in_this_thread():
    with import_module("dask").config.set(scheduler="synchronous"):
        yield


def as_dask(frame):
    return import_module("dask.dataframe").from_pandas(frame, npartitions=3)


def learnt(*data):
    return LogisticRegression(engine="serial", tol=1e-3).fit(*data)


def saved(model, tmp_path):
    model.save(tmp_path / "m.fb")
    return load_model(tmp_path / "m.fb").set_params(engine="serial")


MORE = FRAME.assign(
    day=datetime.date(2024, 1, 1), when=pd.Timestamp("2024-01-01"), gone=np.nan, note="long " * 60, infinite=np.inf
)[["infinite", "region", "note", "day", "b", "y", "gone", "a", "when"]]


def doors(tmp_path, features):
    """The rows of MORE, with columns in another order and others beside them."""
    MORE.to_parquet(tmp_path / "t.parquet")
    MORE.to_csv(tmp_path / "t.csv", index=False)
    shown = ["gone", *features[::-1]]
    return {
        "pandas": MORE.assign(objects=[object()] * N, **{"": 1}),
        "pandas with columns that have numbers": MORE.rename(columns={"gone": 7}),
        "pandas with columns twice": pd.concat([MORE, MORE[["gone", "note"]]], axis=1),
        "pandas of numbers": MORE[["gone", *(name for name in MORE if name in features), "infinite", "y"]],
        "polars": pl.from_pandas(MORE).with_columns(pl.Series("objects", [object()] * N, pl.Object)),
        "arrow": pa.Table.from_pandas(MORE, preserve_index=False),
        "dask": as_dask(MORE.assign(objects=[object()] * N)),
        "sources of a table": table_sources(MORE, features=shown),
        "sources with a target": table_sources(MORE.assign(y=None), target="y", features=shown, blocks=4),
        "parquet": parquet_sources(tmp_path / "t.parquet", features=[*shown, "infinite"], blocks=4),
        "csv": file_sources(tmp_path / "t.csv", features=[*shown, "infinite"], block_rows=11),
    }


@pytest.mark.parametrize("features", [["a", "b"], ["a", "b", "region"]], ids=["numbers", "with text"])
def test_a_model_finds_its_columns_by_name_and_looks_at_no_other(tmp_path, features):
    model = learnt(FRAME[features], FRAME["y"])
    wanted, labels = model.predict_proba(FRAME[features]), model.predict(FRAME[features]).tolist()
    eta = model.decision_function(FRAME[features])
    np.testing.assert_allclose(wanted[:, 1], 1 / (1 + np.exp(-eta)), rtol=1e-12)
    measured = model.evaluate(FRAME[features], FRAME["y"])
    model = saved(model, tmp_path)
    for name, X in doors(tmp_path, features).items():
        assert model.predict_proba(X).tolist() == wanted.tolist(), name
        assert model.write_predictions(X, tmp_path / "p.parquet") == N
        assert pd.read_parquet(tmp_path / "p.parquet")["prediction"].tolist() == labels, name
        if not isinstance(X, list):
            assert model.evaluate(X, "y") == pytest.approx(measured, rel=1e-12), name
            assert model.score(X, "y") == measured["accuracy"], name
    for sources in (
        table_sources(MORE, target="y", features=["gone", *features[::-1]]),
        csv_sources(tmp_path / "t.csv", target="y", features=["infinite", *features[::-1]]),
    ):
        assert model.evaluate(sources) == pytest.approx(measured, rel=1e-12)
    if features == ["a", "b"]:
        named = array_sources(FRAME[["b", "y", "a"]].to_numpy(), names=["b", "y", "a"])
        assert model.predict_proba(named).tolist() == wanted.tolist()


def test_columns_that_lack_are_named_at_once(tmp_path):
    model = learnt(FRAME[["a", "b", "region"]], FRAME["y"])
    less = FRAME[["region", "y"]]
    less.to_parquet(tmp_path / "t.parquet")
    for X in (
        less,
        less[["y"]],
        pl.from_pandas(less),
        pa.Table.from_pandas(less),
        as_dask(less),
        table_sources(less, blocks=3),
        parquet_sources(tmp_path / "t.parquet"),
        array_sources(less[["y"]].to_numpy(), names=["y"]),
    ):
        for ask in (model.predict, lambda X: model.write_predictions(X, tmp_path / "p.csv")):
            with pytest.raises(DataError, match=r"there are no columns 'a', 'b'.*: its columns are '(region|y)'"):
                ask(X)
    assert not (tmp_path / "p.csv").exists()
    with pytest.raises(DataError, match=r"the table: two columns are named 'a': rename one of them"):
        model.predict(pd.concat([FRAME, FRAME[["a"]]], axis=1))


def test_levels_that_are_numbers_are_found_in_a_frame_of_numbers():
    frame = FRAME[["a"]].assign(zone=pd.Categorical(np.resize([1, 2, 3], N)))
    model = learnt(frame, FRAME["y"])
    assert model.predict_proba(frame.astype({"zone": int})).tolist() == model.predict_proba(frame).tolist()


def test_columns_without_names_are_found_by_position():
    X = FRAME[["a", "b"]]
    unnamed, named = learnt(X.to_numpy(), FRAME["y"]), learnt(X, FRAME["y"])
    wanted = unnamed.predict_proba(X.to_numpy()).tolist()
    other = X.rename(columns={"a": "b", "b": "a"})
    for given in (pl.from_pandas(other), pa.Table.from_pandas(other), as_dask(other), table_sources(other)):
        assert unnamed.predict_proba(given).tolist() == wanted
    with pytest.warns(UserWarning, match="X has feature names, but LogisticRegression was fitted without"):
        assert unnamed.predict_proba(other).tolist() == wanted
    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        assert named.predict_proba(X.to_numpy()).tolist() == wanted
    for wide in (X.assign(c=1), pl.from_pandas(X.assign(c=1)), as_dask(X.assign(c=1)), X.assign(c=1).to_numpy()):
        with pytest.raises(ValueError, match=r"X has 3 features|3 columns of numbers"):
            unnamed.predict(wide)


# --- missing values ---------------------------------------------------------------------------------------------


def holes(values, step, type_=None):
    return pa.array([None if row % step == 3 else value for row, value in enumerate(values)], type_)


HOLES = pa.table(
    {
        "paid": holes([bool(row % 2) for row in range(N)], 7),
        "price": holes([Decimal(row % 5) / 4 for row in range(N)], 9, pa.decimal128(10, 3)),
        "zone": holes([row % 4 for row in range(N)], 8, pa.int64()),
        "region": holes(np.resize(["u", "v"], N).tolist(), 11),
        "y": pa.array(FRAME["y"]),
    }
)
RULES = {"paid": True, "price": 0.5, "zone": 3, "region": "v"}


def test_rules_of_filling_are_kept_and_applied_from_every_door(tmp_path):
    model = learnt(table_sources(HOLES, target="y", categorical=["zone"], missing={**RULES, "y": 1}))
    assert model.missing_ == RULES
    filled = HOLES.to_pandas()
    for name, value in RULES.items():
        filled[name] = [value if one is None or one != one else one for one in filled[name]]
    filled = filled.astype({"paid": bool, "price": float, "zone": int})
    plain = learnt(table_sources(filled, target="y", categorical=["zone"]))
    assert model.coef_.tobytes() == plain.coef_.tobytes()
    wanted = plain.predict_proba(filled).tolist()
    assert plain.missing_ == {}
    model = saved(model, tmp_path)
    assert model.missing_ == RULES
    pa.csv.write_csv(HOLES, tmp_path / "t.csv")
    pq.write_table(HOLES, tmp_path / "t.parquet")
    given = {
        "arrow": HOLES,
        "pandas": HOLES.to_pandas(),
        "pandas of Arrow's types": HOLES.to_pandas(types_mapper=pd.ArrowDtype),
        "polars": pl.from_arrow(HOLES),
        "dask": as_dask(HOLES.to_pandas(types_mapper=pd.ArrowDtype)),
        "sources": table_sources(HOLES),
        "csv": file_sources(tmp_path / "t.csv", blocks=2),
        "parquet": file_sources(tmp_path / "t.parquet", blocks=2),
    }
    for name, X in given.items():  # a product may round in another way beside other rows
        np.testing.assert_allclose(model.predict_proba(X), wanted, rtol=1e-14, err_msg=name)
        model.write_predictions(X, tmp_path / "p.csv", probabilities=True)
        np.testing.assert_allclose(pd.read_csv(tmp_path / "p.csv").to_numpy()[:, 1:], wanted, rtol=1e-14)
    nothing = HOLES.slice(0, 4).set_column(0, "paid", pa.nulls(4)).set_column(2, "zone", pa.nulls(4))
    assert model.predict_proba(nothing).shape == (4, 2)
    # What the sources say themselves goes first.
    told = table_sources(HOLES, missing={"price": 1.25})
    other = filled.assign(price=[1.25 if one is None else float(one) for one in HOLES["price"].to_pylist()])
    np.testing.assert_allclose(model.predict_proba(told), plain.predict_proba(other), rtol=1e-14)
    assert np.abs(model.predict_proba(told) - wanted).max() > 1e-3
    with pytest.raises(DataError, match=r"missing values of column 'price' are 0.5 in some sources and 1 in others"):
        learnt([*table_sources(HOLES, missing=RULES, target="y"), *table_sources(HOLES, missing={"price": 1})])


def test_numbers_are_filled_in_arrays_too():
    frame = FRAME[["a", "b"]].mask(np.add.outer(np.arange(N), [0, 4]) % 9 == 2)
    model = learnt(table_sources(frame.assign(y=FRAME["y"]), target="y", missing={"a": 0.25, "b": np.float32(2)}))
    assert model.missing_ == {"a": 0.25, "b": 2.0}
    X = frame.to_numpy()
    wanted = model.predict_proba(frame.fillna({"a": 0.25, "b": 2.0}))
    da = import_module("dask.array")
    given = (frame, frame[["b", "a"]], X, X.tolist(), sp.csr_array(X), da.from_array(X, chunks=25), array_sources(X))
    for X_given in (*given, array_sources(X[:, ::-1], names=["b", "a"]), array_sources(sp.csr_array(X), blocks=2)):
        np.testing.assert_allclose(model.predict_proba(X_given), wanted, rtol=1e-13)
    half = array_sources(X / 2, scale=2.0)
    np.testing.assert_allclose(model.predict_proba(half), wanted, rtol=1e-13)
    assert np.isnan(X).any()  # nobody's array was written to
    only_a = learnt(table_sources(frame.fillna({"b": 0}).assign(y=FRAME["y"]), target="y", missing={"a": 0.25}))
    row = int(np.flatnonzero(np.isnan(X[:, 1]))[0])
    for X_given, column in ((X, 1), (frame, "'b'"), (sp.csr_array(X), 1), (array_sources(X), 1)):
        with pytest.raises(
            DataError, match=rf"row {row}, column {column}: (input X contains NaN|the value is missing)"
        ):
            only_a.predict(X_given)


def test_files_of_an_earlier_fullbatch_fill_nothing():
    folder = Path(__file__).parents[1] / "version2"
    for name in ("LogisticRegression.fb", "GeneralizedLinearRegressor.fb"):
        assert load_model(folder / name).missing_ == {}


@pytest.mark.parametrize("value", [None, np.nan, pd.NA, np.inf, Decimal("NaN"), datetime.date(2024, 1, 1), [1]])
def test_what_is_no_value_to_fill_in_is_refused(value):
    with pytest.raises(ValueError, match=r"missing=\{'a': .*that is no value to put in the place of a missing one"):
        table_sources(FRAME, target="y", missing={"a": value})
