"""Models in other hands predict the same: scikit-learn, SQL in DuckDB, ONNX, PMML, tables and cards."""

import json
import xml.etree.ElementTree as Xml

import duckdb
import numpy as np
import onnxruntime
import pandas as pd
import pytest
import sqlglot
from numpy.testing import assert_allclose

from fullbatch import GeneralizedLinearRegressor, LogisticRegression, load_model, table_sources
from fullbatch.export.onnx_ import feeds

ROWS = 10_000
REGRESSIONS = [
    ("squared", None),
    ("huber", None),
    ("quantile", {"quantile": 0.7}),
    ("poisson", None),
    ("gamma", None),
    ("tweedie", {"power": 1.4}),
]
FILL = {"age": 40.5, "region": 'it\'s "north"', "band": 2}


def rows(n=ROWS, seed=0, missing=True):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.uniform(20, 70, n),
            "in come": rng.gamma(2.0, 1.0, n),
            "region": rng.choice(["east", 'it\'s "north"', "süd"], n),
            "band": rng.integers(1, 5, n).astype(float),
            "exposure": rng.uniform(-0.5, 0.5, n),
        }
    )
    eta = 0.02 * (frame["age"] - 45) + 0.2 * frame["in come"] + (frame["region"] == "east") + frame["exposure"]
    frame = frame.assign(y=rng.gamma(2.0, np.exp(eta) / 2) + 0.01, label=np.where(rng.logistic(size=n) < eta, "b", "a"))
    frame["three"] = np.where(rng.random(n) < 0.3, 7, frame["label"].map({"a": 3, "b": 5}))
    if missing:
        for name in FILL:
            frame.loc[rng.random(n) < 0.05, name] = None
    return frame


def fitted(kind, target, n=1500):
    sources = table_sources(
        rows(n, seed=1),
        target=target,
        features=["age", "in come", "region", "band"],
        categorical=["band"],
        offset="exposure",
        missing=FILL,
    )
    return kind.fit(sources)


def models():
    yield pytest.param(LogisticRegression(), "label", id="two")
    yield pytest.param(LogisticRegression(), "three", id="three")
    for loss, options in REGRESSIONS:
        yield pytest.param(GeneralizedLinearRegressor(loss, loss_options=options), "y", id=loss)


def own(model, frame):
    offset = frame["exposure"]
    columns = frame.drop(columns=["exposure", "y", "label", "three"])
    predicted = model.predict(columns, offset=offset)
    return predicted, model.predict_proba(columns, offset=offset) if hasattr(model, "predict_proba") else None


@pytest.mark.parametrize(("kind", "target"), models())
def test_every_form_predicts_the_same(kind, target):
    model, frame = fitted(kind, target), rows()
    predicted, probabilities = own(model, frame)
    same_in_sklearn(model, frame, predicted, probabilities)
    same_in_duckdb(model, frame, predicted, probabilities)
    same_in_onnx(model, frame, predicted, probabilities)


def same(expected, found):
    if np.asarray(expected).dtype.kind == "f":
        assert_allclose(found, expected, rtol=1e-9)
    else:
        assert np.array_equal(np.asarray(expected), np.asarray(found).astype(np.asarray(expected).dtype))


def same_in_sklearn(model, frame, predicted, probabilities):
    plain = model.to_sklearn(offset="exposure")
    assert type(plain.steps[-1][1]).__module__.startswith("sklearn.")
    same(predicted, plain.predict(frame))
    if probabilities is not None:
        same(probabilities, plain.predict_proba(frame))


def same_in_duckdb(model, frame, predicted, probabilities):
    told = duckdb.query_df(
        frame.assign(row=np.arange(len(frame))), "policies", model.to_sql("policies", offset="exposure")
    )
    told = told.df().sort_values("row")
    same(predicted, told["prediction"])
    if probabilities is not None:
        for label, expected in zip(model.classes_, probabilities.T, strict=True):
            if f"probability_{label}" in told:
                same(expected, told[f"probability_{label}"])


def same_in_onnx(model, frame, predicted, probabilities):
    session = onnxruntime.InferenceSession(model.to_onnx(offset="exposure").SerializeToString())
    found = session.run(None, feeds(model._formula("exposure"), frame))
    same(predicted, found[0])
    if probabilities is not None:
        same(probabilities, found[1])


@pytest.mark.parametrize("named", [False, True])
def test_matrices_need_no_pipeline(named):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((500, 3))
    if named:
        X = pd.DataFrame(X, columns=["a", "b", "c"])
    y = rng.integers(0, 2, 500).astype(bool)
    model = LogisticRegression().fit(X, y)
    plain = model.to_sklearn()
    assert type(plain).__name__ == "LogisticRegression"
    same(model.predict_proba(X), plain.predict_proba(X))
    assert np.array_equal(model.predict(X), plain.predict(X))
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    found = session.run(None, feeds(model._formula(), X))
    assert np.array_equal(found[0], model.predict(X))
    same(model.predict_proba(X), found[1])


def test_what_is_refused_is_null_and_nan():
    frame = rows(200, missing=False)[["age", "region"]]
    y = np.arange(200.0)
    model = GeneralizedLinearRegressor().fit(frame, y)
    strange = pd.DataFrame({"age": [30.0, np.nan, 30.0, 30.0], "region": ["east", "east", "west", None]})
    told = duckdb.query_df(strange, "t", model.to_sql("t")).df()["prediction"]
    assert told.isna().tolist() == [False, True, True, True]
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    found = session.run(None, feeds(model._formula(), strange))[0]
    assert np.isnan(found).tolist() == [False, True, True, True]
    model.set_params(unknown="ignore")
    told = duckdb.query_df(strange, "t", model.to_sql("t")).df()["prediction"]
    assert told.isna().tolist() == [False, True, False, True]
    same(model.predict(strange.iloc[[2]]), told.iloc[[2]])
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    same(model.predict(strange.iloc[[2]]), session.run(None, feeds(model._formula(), strange.iloc[[2]]))[0])


def test_far_predictors_neither_overflow_nor_lose_their_sign():
    X = np.array([[-1.0], [0.5], [1.0]])
    model = LogisticRegression().fit(X, [0, 1, 1])
    model.coef_, model.intercept_ = np.array([[1e4]]), np.array([0.0])
    told = duckdb.query_df(pd.DataFrame(X, columns=["x0"]), "t", model.to_sql("t")).df()
    same(model.predict_proba(X)[:, 1], told["probability_1"])


@pytest.mark.parametrize("dialect", ["postgres", "bigquery", "snowflake", "spark", "tsql", "duckdb"])
def test_other_dialects_can_be_read(dialect):
    model = fitted(LogisticRegression(), "three", 300)
    text = model.to_sql("policies", dialect=dialect, view="scored", offset="exposure")
    parsed = sqlglot.parse_one(text, read=dialect)
    assert parsed.key == "create"
    assert "exposure" in text


def test_wrong_names():
    model = fitted(LogisticRegression(), "label", 300)
    with pytest.raises(ValueError, match="unknown SQL dialect 'klingon'"):
        model.to_sql("t", dialect="klingon")
    with pytest.raises(ValueError, match="the offset cannot be named 'age'"):
        model.to_onnx(offset="age")
    with pytest.raises(ValueError, match=r"unknown format '\.xyz'"):
        model.export("model.xyz")


def test_relativities():
    frame = rows(800, missing=False)
    model = GeneralizedLinearRegressor("poisson", tol=1e-9).fit(frame[["age", "region"]], frame["y"])
    plain = model.relativities().to_pandas()
    assert plain["term"].tolist() == ["intercept", "age", "region", "region", "region"]
    assert plain["relativity"].tolist()[2] == 1.0
    told = model.inference(frame[["age", "region"]], frame["y"], reference={"region": "süd"}, covariance="HC1")
    table = model.relativities(told).to_pandas().set_index("level")
    by_name = told.coef_table(exponentiate=True)
    assert table.loc["süd", "relativity"] == 1.0
    assert table.loc["süd", "std_err"] == 0.0
    for column, other in (("relativity", "ratio"), ("std_err", "std_err")):
        assert_allclose(table.loc["east", column], by_name.loc["region=east", other], rtol=1e-9)
    predicted = model.predict(pd.DataFrame({"age": [30.0], "region": ["east"]}))
    product = table.loc["", "relativity"].to_numpy()
    assert_allclose(predicted, product[0] * product[1] ** 30 * table.loc["east", "relativity"], rtol=1e-9)
    other = model.inference(frame[["age", "region"]], frame["y"])
    with pytest.raises(ValueError, match="inference is of another model"):
        GeneralizedLinearRegressor().fit(frame[["age"]], frame["y"]).relativities(other)


def test_cards_say_what_the_model_is(tmp_path):
    model = fitted(LogisticRegression(), "label", 300)
    model.export(tmp_path / "m.json", measures={"accuracy": 0.9})
    told = json.loads((tmp_path / "m.json").read_text())
    assert [column["name"] for column in told["columns"]] == ["age", "in come", "region", "band", "offset"]
    assert told["columns"][0]["missing"] == 40.5
    assert told["target"]["classes"] == ["a", "b"]
    assert told["fit"]["rows"] == 300
    assert told["fit"]["status"] == "converged"
    model.save(tmp_path / "m.fb")
    assert load_model(tmp_path / "m.fb").model_card()["fingerprint"] == told["fingerprint"]
    model.coef_ = model.coef_ + 1e-16
    model.coef_[0, 0] = np.nextafter(model.coef_[0, 0], 9)
    assert model.model_card()["fingerprint"] != told["fingerprint"]
    model.export(tmp_path / "m.md")
    assert "| age | number |  | counts as 40.5 |" in (tmp_path / "m.md").read_text()


@pytest.mark.parametrize("target", ["label", "three", "y"])
def test_pmml_read_by_the_standards_words(target):
    """A reader of its own: parameters are products of powers of covariates and matches of factors."""
    kind = GeneralizedLinearRegressor("poisson") if target == "y" else LogisticRegression()
    model, frame = fitted(kind, target), rows(300, missing=False)
    root = Xml.fromstring(model.to_pmml(offset="exposure"))
    space = {"p": "http://www.dmg.org/PMML-4_4"}
    inside = root.find("p:GeneralRegressionModel", space)
    cells, factors = inside.findall("p:PPMatrix/p:PPCell", space), inside.findall("p:FactorList/p:Predictor", space)
    names = {one.get("name") for one in factors}
    products = {one.get("name"): np.ones(len(frame)) for one in inside.findall("p:ParameterList/p:Parameter", space)}
    for cell in cells:
        column = frame[cell.get("predictorName")]
        if cell.get("predictorName") in names:
            texts = column.map(lambda one: one if isinstance(one, str) else str(int(one)))
            products[cell.get("parameterName")] *= texts.to_numpy() == cell.get("value")
        else:
            products[cell.get("parameterName")] *= column.to_numpy() ** float(cell.get("value"))
    eta = {}
    assert (inside.get("offsetVariable") is None) == (target == "three")  # what all classes have changes nothing
    offset = 0.0 if target == "three" else frame[inside.get("offsetVariable")].to_numpy()
    for cell in inside.findall("p:ParamMatrix/p:PCell", space):
        of = cell.get("targetCategory")
        eta[of] = eta.get(of, offset) + float(cell.get("beta")) * products[cell.get("parameterName")]
    predicted, probabilities = own(model, frame)
    if target == "y":
        assert inside.get("linkFunction") == "log"
        same(predicted, np.exp(eta[None]))
        return
    reference = inside.get("targetReferenceCategory")
    assert reference == str(model.classes_[0])
    powers = np.column_stack([np.ones(len(frame)), *(np.exp(one) for one in eta.values())])
    same(probabilities, powers / powers.sum(axis=1, keepdims=True))


@pytest.mark.parametrize("indicate", [False, True])
def test_holes_of_a_matrix_without_names_are_filled_in_other_hands_too(indicate):
    rng = np.random.default_rng(2)
    X = rng.standard_normal((200, 3))
    y = X @ [1.0, -1.0, 0.5] + rng.standard_normal(200)
    X[rng.random((200, 3)) < 0.1] = np.nan
    model = GeneralizedLinearRegressor(missing="median", missing_indicator=indicate, alpha=0.1).fit(X, y)
    assert len(model.coef_) == (6 if indicate else 3)
    wanted = model.predict(X)
    assert_allclose(model.to_sklearn().predict(X), wanted, rtol=1e-12)
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    assert_allclose(session.run(None, feeds(model._formula(), X))[0], wanted, rtol=1e-12)
    t = pd.DataFrame(X, columns=["x0", "x1", "x2"]).astype(object).where(~np.isnan(X), None)
    with duckdb.connect() as connection:
        connection.register("t", t)
        assert_allclose(connection.sql(model.to_sql("t")).df()["prediction"], wanted, rtol=1e-12)


def test_indicators_of_named_columns_in_other_hands():
    frame = rows(400).drop(columns=["exposure", "label", "three"])
    for target, kind in (("y", GeneralizedLinearRegressor("gamma")), ("cut", LogisticRegression())):
        given = frame.assign(cut=np.digitize(frame["y"], [1.0, 2.0]))[["age", "in come", "region", target]]
        model = kind.set_params(missing="mean", missing_indicator=True).fit(given, target)
        wanted, new = model.predict(given), given.drop(columns=target)
        np.testing.assert_array_equal(np.isclose(model.to_sklearn().predict(new), wanted, rtol=1e-9), True)
        session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
        assert_allclose(session.run(None, feeds(model._formula(), new))[0], wanted, rtol=1e-9)
        t = new.astype(object).where(new.notna(), None)
        with duckdb.connect() as connection:
            connection.register("t", t)
            assert_allclose(connection.sql(model.to_sql("t")).df()["prediction"], wanted, rtol=1e-9)
        with pytest.raises(ValueError, match="PMML has no indicators of missing values"):
            model.to_pmml()


@pytest.mark.parametrize("unknown", ["error", "ignore"])
def test_a_level_for_missing_text_that_the_fit_has_not_seen(unknown):
    frame = pd.DataFrame({"region": np.resize(["north", "south"], 90), "x": np.linspace(0, 1, 90)})
    model = GeneralizedLinearRegressor(missing="mean", unknown=unknown).fit(frame, np.arange(90) % 5)
    new = pd.DataFrame({"region": ["north", None], "x": [0.5, 0.5]})
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    found = session.run(None, feeds(model._formula(), new))[0]
    with duckdb.connect() as connection:
        connection.register("new", new)
        written = connection.sql(model.to_sql("new")).df()["prediction"].to_numpy(float)
    wanted = model.predict(new) if unknown == "ignore" else [model.predict(new[:1])[0], np.nan]
    assert_allclose(found, wanted, rtol=1e-12)
    assert_allclose(written, wanted, rtol=1e-12)


@pytest.mark.parametrize("base", ["first", {"region": "south"}])
def test_base_levels_in_other_hands(base):
    frame = pd.DataFrame({"region": np.resize(["north", "south", "west"], 90), "x": np.linspace(0, 1, 90)})
    model = GeneralizedLinearRegressor("poisson", base=base, unknown="base").fit(frame, np.arange(90) % 5)
    new = pd.DataFrame({"region": ["north", "east"], "x": [0.5, 0.5]})
    wanted = model.predict(new)
    assert_allclose(model.to_sklearn().predict(new), wanted, rtol=1e-12)
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    assert_allclose(session.run(None, feeds(model._formula(), new))[0], wanted, rtol=1e-12)
    with duckdb.connect() as connection:
        connection.register("new", new)
        assert_allclose(connection.sql(model.to_sql("new")).df()["prediction"], wanted, rtol=1e-12)
