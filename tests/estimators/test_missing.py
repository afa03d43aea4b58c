"""Missing values of what is given to `fit`: left out, or filled in with what is learnt from the rows."""

from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose
from sklearn.base import clone
from sklearn.impute import SimpleImputer
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fullbatch import (
    DataError,
    GeneralizedLinearRegressor,
    LassoCV,
    LogisticRegression,
    Ridge,
    RidgeCV,
    array_sources,
    fit_path,
    load_model,
    parquet_sources,
    table_sources,
)
from fullbatch.data.medians import medians
from fullbatch.engines.local import SerialEngine
from fullbatch.protocols.rows import Rows

RNG = np.random.default_rng(4)
N = 300
WHOLE = np.column_stack((RNG.standard_normal(N), RNG.integers(18, 90, N), 1e6 + RNG.standard_normal(N)))
X = np.where(RNG.random((N, 3)) < 0.15, np.nan, WHOLE)
Y = RNG.poisson(np.exp(0.5 * WHOLE[:, 0] + 0.01 * WHOLE[:, 1]))
WEIGHT = RNG.integers(0, 4, N)
FRAME = pd.DataFrame(X, columns=["a", "age", "c"]).assign(
    region=np.where(RNG.random(N) < 0.1, None, RNG.choice(["north", "south"], N)),
    paid=pd.array(np.where(RNG.random(N) < 0.1, None, RNG.random(N) < 0.4), "boolean"),
    y=Y,
)
NUMBERS = ["a", "age", "c"]


def poisson(**options):
    return GeneralizedLinearRegressor("poisson", alpha=0.1, tol=1e-7, **options)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("how", ["mean", "median"])
def test_numbers_are_filled_as_by_scikit_learn_before_the_fit(how, weighted):
    weight = WEIGHT if weighted else np.ones(N, int)
    filler = SimpleImputer(strategy=how).fit(np.repeat(X, weight, axis=0))
    wanted = poisson().fit(filler.transform(X), Y, weight)
    frame, half = FRAME[NUMBERS], array_sources(X / 2, Y, weight, scale=2.0)
    for given in (X, X.tolist(), sp.csr_array(X), frame, pl.from_pandas(frame), half):
        targets = (None, None) if given is half else (Y, weight)
        model = poisson(missing=how).fit(given, *targets)
        np.testing.assert_allclose(list(model.missing_.values()), filler.statistics_, rtol=1e-14)
        np.testing.assert_allclose(model.coef_, wanted.coef_, rtol=1e-7)
        later = X[:50] if given is half else given[:50]
        np.testing.assert_allclose(model.predict(later), wanted.predict(filler.transform(X[:50])), rtol=1e-7)
    assert np.isnan(X).any()  # nobody's array was written to


@dataclass
class Column:
    values: np.ndarray
    weight: np.ndarray | None = None

    def read(self):
        return Rows(self.values[:, None], weight=self.weight)


@pytest.mark.parametrize("name", ["normal", "whole", "ties", "huge", "tiny", "two", "one", "signed zeros", "many"])
@pytest.mark.parametrize("blocks", [1, 7])
def test_a_median_is_exact_however_the_rows_are_cut(name, blocks):
    rng = np.random.default_rng(1)
    values = {
        "normal": rng.standard_normal(1000),
        "whole": rng.integers(-50, 60, 999).astype(float),
        "ties": np.repeat([1.0, 2.0], 50),
        "huge": 1e308 * rng.standard_normal(100).clip(-1, 1),
        "tiny": 5e-324 * rng.integers(-9, 9, 101),
        "two": np.array([np.nextafter(1.0, 0), np.nextafter(1.0, 2)]),
        "one": np.array([-3.25]),
        "signed zeros": np.array([-0.0, 0.0, -1.0, 1.0]),
        "many": 1.0001 + 1e-9 * rng.standard_normal(70_001),  # of which no first read tells one from another
    }[name]
    sources = [Column(part) for part in np.array_split(values, blocks)]
    (found,), reads = medians(sources, [0], np.array([float(len(values))]), SerialEngine())
    with np.errstate(over="ignore"):
        middle = np.sort(values)[[(len(values) - 1) // 2, len(values) // 2]]
    assert found == middle[0] / 2 + middle[1] / 2
    assert reads == (3 if name == "many" else 2)


def test_a_weighted_median_is_that_of_rows_repeated():
    rng = np.random.default_rng(101)
    values, weight = rng.standard_normal(200), rng.integers(0, 5, 200)
    sources = [Column(values[:90], weight[:90]), Column(values[90:], weight[90:])]
    (found,), _ = medians(sources, [0], np.array([float(weight.sum())]), SerialEngine())
    assert found == np.median(np.repeat(values, weight))


def test_a_mixed_frame_fits_in_one_call(tmp_path):
    model = poisson(missing="median").fit(FRAME, "y")
    rules = {name: float(FRAME[name].median()) for name in NUMBERS} | {"paid": 0.0, "region": "missing"}
    assert model.missing_ == rules
    filled = FRAME.assign(paid=FRAME["paid"].astype(float)).fillna(rules)
    wanted = poisson().fit(filled, "y")
    assert list(model.get_feature_names_out()) == [*NUMBERS, "paid", "region=missing", "region=north", "region=south"]
    np.testing.assert_allclose(model.coef_, wanted.coef_, rtol=1e-12)
    model.save(tmp_path / "m.fb")
    again = load_model(tmp_path / "m.fb")
    assert (again.missing, again.missing_) == ("median", rules)
    expected = wanted.predict(filled)
    np.testing.assert_allclose(again.predict(FRAME.drop(columns="y")), expected, rtol=1e-12)
    np.testing.assert_allclose(again.to_sklearn().predict(FRAME.astype({"paid": float})), expected, rtol=1e-9)
    assert again.score(FRAME, "y") == pytest.approx(wanted.score(filled, "y"))


def test_rules_by_column_and_those_of_sources_go_first(tmp_path):
    told = {"a": "mean", "age": "median", "c": np.float32(2.5), "region": "none", "paid": True}
    model = poisson(missing=told).fit(FRAME, "y")
    assert model.missing_ == {
        "a": pytest.approx(FRAME["a"].mean(), rel=1e-14), "age": FRAME["age"].median(), "c": 2.5, "paid": True,
        "region": "none",
    }  # fmt: skip
    model.save(tmp_path / "m.fb")
    assert load_model(tmp_path / "m.fb").missing == {**told, "c": 2.5}
    sources = table_sources(FRAME, target="y", missing={"age": 1, "region": "none"})
    of_sources = poisson(missing="mean").fit(sources)
    assert of_sources.missing_["age"] == 1
    assert of_sources.missing_["region"] == "none"
    assert of_sources.missing_["paid"] == pytest.approx(FRAME["paid"].astype(float).mean(), rel=1e-14)
    with pytest.raises(ValueError, match="the sources fill missing values in: say all of it when they are made"):
        poisson(missing="drop").fit(sources)


def test_rows_are_dropped_from_fit_and_measures_and_never_from_predictions():
    whole = ~np.isnan(X).any(axis=1)
    model = poisson(missing="drop").fit(X, Y, WEIGHT)
    wanted = poisson().fit(X[whole], Y[whole], WEIGHT[whole])
    assert model.coef_.tobytes() == wanted.coef_.tobytes()
    assert model.n_samples_fit_ == whole.sum()
    measures = wanted.evaluate(X[whole], Y[whole])
    assert model.evaluate(X, Y) == measures
    assert model.evaluate(array_sources(X, Y, blocks=3)) == pytest.approx(measures)
    row, column = np.argwhere(np.isnan(X))[0]
    with pytest.raises(DataError, match=f"row {row}, column {column}: input X contains NaN"):
        model.predict(X)
    kept = FRAME.dropna()
    of_frame, of_kept = poisson(missing="drop").fit(FRAME, "y"), poisson().fit(kept, "y")
    assert of_frame.coef_.tobytes() == of_kept.coef_.tobytes()
    assert of_frame.score(FRAME, "y") == of_kept.score(kept, "y")
    with pytest.raises(DataError, match=r"row \d+, column '.*': the value is missing"):
        of_frame.predict(FRAME)
    targets, weights = Y.astype(float), WEIGHT.astype(float)
    targets[5], weights[7] = np.nan, np.nan
    wanted = poisson().fit(*(np.delete(of, [5, 7], axis=0) for of in (WHOLE, targets, weights)))
    found = poisson(missing="drop").fit(WHOLE, targets, weights)
    assert found.coef_.tobytes() == wanted.coef_.tobytes()
    labels = np.where(Y > 1, "many", "few").astype(object)
    labels[5] = None
    assert LogisticRegression(missing="drop").fit(WHOLE, labels).n_samples_fit_ == N - 1


def test_all_doors_and_engines_learn_the_same(tmp_path):
    pq.write_table(pa.Table.from_pandas(FRAME), tmp_path / "t.parquet")
    dask = import_module("dask.dataframe")
    wanted = poisson(missing="median").fit(table_sources(FRAME, target="y", blocks=3))
    given = {
        "parquet": parquet_sources(tmp_path / "t.parquet", target="y", blocks=3),
        "dask": table_sources(dask.from_pandas(FRAME, npartitions=4), target="y", blocks=3),
    }
    for name, sources in given.items():
        model = poisson(missing="median", engine="serial").fit(sources)
        assert model.missing_ == wanted.missing_, name
        assert model.coef_.tobytes() == wanted.coef_.tobytes(), name
    setup = poisson().fit(FRAME.dropna(), "y").result_.setup_passes
    assert setup == 1
    assert [poisson(missing=how).fit(FRAME, "y").result_.setup_passes - setup for how in ("mean", "median")] == [1, 3]


@pytest.mark.slow
def test_workers_of_ray_learn_the_same(ray_session):
    wanted = poisson(missing="median").fit(FRAME, "y")
    assert poisson(missing="median", engine="ray").fit(FRAME, "y").coef_.tobytes() == wanted.coef_.tobytes()


def test_numbers_of_single_precision_and_bytes():
    single = X.astype(np.float32)
    model = poisson(missing="mean").fit(single, Y)
    assert all(value == np.float32(value) for value in model.missing_.values())
    np.testing.assert_allclose(list(model.missing_.values()), np.nanmean(single.astype(float), axis=0), rtol=1e-7)
    column = pa.array([None if row % 7 == 0 else row % 5 for row in range(N)], pa.uint8())
    table = pa.table({"pixel": column, "price": pa.array([Decimal(row % 4) / 2 for row in range(N)]), "y": Y})
    for names in (["pixel", "y"], ["pixel", "price", "y"]):
        model = poisson(missing="mean").fit(table.select(names), "y")
        assert model.missing_["pixel"] == pytest.approx(np.nanmean(column.to_pandas()), rel=1e-7)


@pytest.mark.parametrize("how", ["mean", "median"])
def test_indicators_are_those_of_scikit_learn(how, tmp_path):
    filler = SimpleImputer(strategy=how, add_indicator=True).fit(X)
    wanted = poisson().fit(filler.transform(X), Y)
    frame = FRAME[NUMBERS]
    later = np.vstack((np.full((1, 3), np.nan), X[:40]))
    named = pd.DataFrame(later, columns=NUMBERS)
    expected = wanted.predict(filler.transform(later))
    for given, new in (
        (X, later),
        (sp.csr_array(X), sp.csr_array(later)),
        (frame, named),
        (frame, named[NUMBERS[::-1]]),
    ):
        model = poisson(missing=how, missing_indicator=True).fit(given, Y)
        np.testing.assert_allclose(model.coef_, wanted.coef_, rtol=1e-7)
        model.save(tmp_path / "m.fb")
        for one in (model, load_model(tmp_path / "m.fb")):
            assert (one.n_features_in_, one.indicators_) == (3, (0, 1, 2))
            np.testing.assert_allclose(one.predict(new), expected, rtol=1e-7)
    whole = WHOLE.copy()
    whole[3, 1] = np.nan
    assert poisson(missing=how, missing_indicator=True).fit(whole, Y).indicators_ == (1,)
    assert poisson(missing=how, missing_indicator=True).fit(WHOLE, Y).indicators_ == ()


def test_indicators_of_a_mixed_frame_from_every_door(tmp_path):
    model = poisson(missing="median", missing_indicator=True).fit(FRAME, "y")
    told = [f"{name}=missing" for name in (*NUMBERS, "paid")]
    levels = ["region=missing", "region=north", "region=south"]
    assert list(model.get_feature_names_out()) == [*NUMBERS, "paid", *told, *levels]
    by_hand = FRAME.assign(paid=FRAME["paid"].astype(float))
    for name in (*NUMBERS, "paid"):
        by_hand[f"{name}=missing"] = by_hand[name].isna().astype(float)
    by_hand = by_hand.fillna(model.missing_)
    wanted = poisson().fit(by_hand, "y")
    np.testing.assert_allclose(model.coef_, wanted.coef_, rtol=1e-9)
    expected = wanted.predict(by_hand)
    pq.write_table(pa.Table.from_pandas(FRAME), tmp_path / "t.parquet")
    lazy = import_module("dask.dataframe").from_pandas(FRAME, npartitions=3)
    model.save(tmp_path / "m.fb")
    again = load_model(tmp_path / "m.fb")
    for given in (
        FRAME,
        parquet_sources(tmp_path / "t.parquet"),
        table_sources(FRAME, blocks=2),
        lazy,
        pl.from_pandas(FRAME),
    ):
        np.testing.assert_allclose(again.predict(given), expected, rtol=1e-9)
    assert again.score(FRAME, "y") == pytest.approx(wanted.score(by_hand, "y"))
    sources = table_sources(lazy, target="y", blocks=3)
    assert poisson(missing="median", missing_indicator=True).fit(sources).indicators_ == model.indicators_
    errors = model.inference(FRAME, "y").std_err
    np.testing.assert_allclose(errors, wanted.inference(by_hand, "y").std_err, rtol=1e-6)
    assert list(model.relativities()["term"].to_pylist()[1:9]) == [*NUMBERS, "paid", *told]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "missing_indicator=True needs a missing that fills"),
        ({"missing": "drop"}, "missing_indicator=True needs a missing that fills"),
        ({"missing": "mean", "formula": "y ~ a"}, "missing_indicator=True does not go with a formula"),
    ],
)
def test_indicators_need_what_fills(options, message):
    with pytest.raises(ValueError, match=message):
        poisson(missing_indicator=True, **options).fit(FRAME)


def test_missing_texts_are_no_level_that_texts_have(tmp_path):
    texts = np.resize(["missing", None, "north", "missing_", "south"], N).astype(object)
    frame, y = pd.DataFrame({"t": texts, "u": np.resize(["missing", None], N), "a": WHOLE[:, 0]}), Y
    model = GeneralizedLinearRegressor("poisson", alpha=0.01, missing="mean").fit(frame, y)
    assert model.missing_ == {"t": "missing__", "u": "missing_", "a": pytest.approx(WHOLE[:, 0].mean())}
    renamed = frame.assign(t=pd.Series(texts).fillna("hole"), u=frame["u"].fillna("hole"))
    wanted = GeneralizedLinearRegressor("poisson", alpha=0.01).fit(renamed, y)
    assert_allclose(model.predict(frame), wanted.predict(renamed), rtol=1e-6)
    model.save(tmp_path / "m.fb")
    assert load_model(tmp_path / "m.fb").predict(frame).tolist() == model.predict(frame).tolist()
    cut = GeneralizedLinearRegressor("poisson", alpha=0.01, missing="mean")
    cut.fit(table_sources(frame.assign(y=y), target="y", blocks=N // 2))  # no block has all of the texts
    assert cut.missing_ == {**model.missing_, "a": pytest.approx(model.missing_["a"], rel=1e-12)}
    told = GeneralizedLinearRegressor("poisson", missing={"t": "missing", "u": "missing"}).fit(frame, y)
    assert "t=missing_" in told.get_feature_names_out()
    assert "t=missing__" not in told.get_feature_names_out()  # asked for: the one that is there


@pytest.mark.parametrize(
    ("more", "name"),
    [
        ({"age=missing": WHOLE[:, 0]}, "age=missing"),
        ({"region=north": WHOLE[:, 0]}, "region=north"),
        ({"region=north": np.resize(["x", "y"], N), "region": np.resize(["north=x", "south"], N)}, "region=north=x"),
    ],
    ids=["an indicator", "a level", "two levels"],
)
def test_two_columns_of_the_model_have_no_name_in_common(more, name):
    frame = FRAME.assign(**more)
    model = GeneralizedLinearRegressor("poisson", missing="mean", missing_indicator=True)
    with pytest.raises(DataError, match=f"two columns of the model would be named {name!r}, .*: rename one"):
        model.fit(frame, "y")
    assert model.fit(FRAME.assign(**{"region=west": WHOLE[:, 0]}), "y").coef_.shape == (12,)


def test_folds_and_paths_learn_it_too():
    scores = cross_val_score(poisson(missing="mean"), X, Y, cv=3)
    pipeline = make_pipeline(SimpleImputer(), poisson())
    np.testing.assert_allclose(scores, cross_val_score(pipeline, X, Y, cv=3), rtol=1e-9)
    filled = SimpleImputer(strategy="median").fit_transform(X)
    ours = fit_path(poisson(missing="median"), X, Y, strengths=[0.1, 0.01])
    wanted = fit_path(poisson(), filled, Y, strengths=[0.1, 0.01])
    np.testing.assert_allclose(ours.coefs, wanted.coefs, rtol=1e-9)
    filled = SimpleImputer().fit_transform(X)  # from all rows, for all folds
    ours = RidgeCV([0.1, 1.0], cv=3, missing="mean", standardize=True).fit(X, Y)
    whole = RidgeCV([0.1, 1.0], cv=3).fit(StandardScaler().fit_transform(filled), Y)
    assert ours.best_score_ == pytest.approx(whole.best_score_, rel=1e-9)


@pytest.mark.parametrize(
    ("missing", "frame", "message"),
    [
        ("mean", FRAME.assign(a=np.nan), r"column 'a': all of its values are missing.*leave the column out, or"),
        ({"z": 1}, FRAME, r"missing: there is no feature 'z' in the fit: its features are"),
        ({"region": "mean", "a": 0, "age": 0}, FRAME, r"column '(c|paid)': the value is missing"),
        ({"a": "none"}, FRAME, r"missing=\{'a': 'none'\}: column 'a' is double, which 'none' is not"),
        ("mean", FRAME.assign(a=np.inf), r"row 0, column 'a': .*infinit"),
        ("mean", FRAME.assign(y=np.where(np.arange(N) == 3, np.nan, Y)), r"row 3, column 'y': the value is missing"),
        ("drop", FRAME.assign(a=np.nan), r"no rows"),
    ],
)  # fmt: skip
def test_what_cannot_be_filled_is_told(missing, frame, message):
    with pytest.raises(DataError, match=message):
        poisson(missing=missing).fit(frame, "y")


def test_later_rows_without_a_rule_are_refused_where_the_fit_has_seen_no_hole():
    frame = FRAME.fillna({"region": "north"})
    model = poisson(missing="mean").fit(frame, "y")
    with pytest.raises(DataError, match="unknown level 'missing'"):
        model.predict(FRAME)
    assert np.isfinite(model.set_params(unknown="ignore").predict(FRAME)).all()


@pytest.mark.parametrize("model", [LassoCV(), RidgeCV(cv=5), Ridge()])
def test_rows_that_are_told_of_by_number_are_not_left_out(model):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 4))
    y = X @ np.ones(4) + rng.normal(size=60)
    Y = np.column_stack((y, y**2)) if isinstance(model, Ridge) and not isinstance(model, RidgeCV) else y
    X[3, 1] = X[50, 0] = np.nan
    with pytest.raises(DataError, match="60 rows were given, and 58 of them are kept"):
        clone(model).set_params(missing="drop").fit(X, Y)
    filled = X.copy()
    filled[3, 1], filled[50, 0] = np.nanmean(X[:, 1]), np.nanmean(X[:, 0])
    found = clone(model).set_params(missing="mean").fit(X, Y).coef_
    assert_allclose(found, clone(model).fit(filled, Y).coef_, rtol=1e-6)


def test_decimals_and_truth_values_that_stand_for_missing_ones_are_saved(tmp_path):
    paid = pa.array([Decimal("1.5"), None, Decimal("2.5"), Decimal("1.0")] * 10)
    table = pa.table({"paid": paid, "ok": [True, False, None, None] * 10, "y": [0, 1, 1, 0, 1] * 8})
    rules = {"paid": Decimal("1.25"), "ok": np.True_}
    model = LogisticRegression(missing=rules, engine="serial").fit(table, "y")
    by_source = LogisticRegression(engine="serial").fit(table_sources(table, target="y", missing=rules))
    filled = pd.DataFrame({"paid": [1.5, 1.25, 2.5, 1.0] * 10, "ok": [1.0, 0.0, 1.0, 1.0] * 10})
    wanted = LogisticRegression(engine="serial").fit(filled.to_numpy(), table["y"].to_numpy())
    for one in (model, by_source):
        one.save(tmp_path / "model.fb")
        loaded = load_model(tmp_path / "model.fb")
        assert loaded.missing_ == {"paid": 1.25, "ok": True}
        assert_allclose(loaded.predict_proba(table.drop_columns("y")), wanted.predict_proba(filled.to_numpy()))


def test_a_mean_of_truth_values_is_a_share():
    table = pa.table({"ok": [True, False, None, True] * 10, "y": [0.0, 1.0, 2.0, 3.0] * 10})
    model = Ridge(missing="mean", engine="serial").fit(table, "y")
    assert model.missing_ == {"ok": pytest.approx(2 / 3)}
    numbers = np.array([[1.0], [0.0], [2 / 3], [1.0]] * 10)
    wanted = Ridge(engine="serial").fit(numbers, table["y"].to_numpy())
    assert_allclose(model.predict(table.select(["ok"])), wanted.predict(numbers), rtol=1e-6)
