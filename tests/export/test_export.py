"""Models in other hands predict the same: scikit-learn, skops, SQL in DuckDB, ONNX, PMML, tables and cards."""

import math
import sqlite3
import sys
import xml.etree.ElementTree as Xml

import duckdb
import numpy as np
import onnxruntime
import openpyxl
import pandas as pd
import pytest
import sqlglot
from numpy.testing import assert_allclose
from tests.export.handed import MODELS, OTHERS, fitted, own, rows, same, same_in_sklearn

import fullbatch
from fullbatch import GeneralizedLinearRegressor, LinearSVC, LogisticRegression, OrdinalLogisticRegression, load_model
from fullbatch.export.onnx_ import feeds


def test_no_estimator_is_left_out():
    kinds = {kind for kind in fullbatch.estimators._ALL if hasattr(kind, "to_sql")}
    assert {type(one.values[0]) for one in MODELS} == kinds


@pytest.mark.parametrize(("kind", "target"), MODELS)
def test_every_form_predicts_the_same(kind, target):
    model, frame = fitted(kind, target), rows()
    predicted, probabilities = own(model, frame)
    if not isinstance(kind, OrdinalLogisticRegression):
        same_in_sklearn(model.to_sklearn(offset="exposure"), frame, predicted, probabilities)
    same_in_duckdb(model, frame, predicted, probabilities)
    same_in_onnx(model, frame, predicted, probabilities)


def same_in_duckdb(model, frame, predicted, probabilities, text=None):
    text = text or model.to_sql("policies", offset="exposure")
    told = duckdb.query_df(frame.assign(row=np.arange(len(frame))), "policies", text)
    told = told.df().sort_values("row")
    same(predicted, told["prediction"])
    if probabilities is None:
        return
    if isinstance(model, LinearSVC):
        names = ["fullbatch_eta"] if probabilities.ndim == 1 else [f"fullbatch_eta_{k}" for k in range(3)]
        same(probabilities.reshape(len(frame), -1), told[names])
        return
    all_told = probabilities.shape[1] > 2 or isinstance(model, OrdinalLogisticRegression)
    names = [f"probability_{label}" for label in model.classes_[0 if all_told else 1 :]]
    same(probabilities[:, -len(names) :], told[names])


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


DIALECTS = ["duckdb", "postgres", "bigquery", "snowflake", "spark", "tsql"]


@pytest.mark.parametrize("dialect", DIALECTS)
def test_views_in_other_dialects_can_be_read(dialect):
    model = fitted(LogisticRegression(), "three", 300)
    text = model.to_sql("policies", dialect=dialect, view="scored", offset="exposure")
    parsed = sqlglot.parse_one(text, read=dialect)
    assert parsed.key == "create"
    assert "exposure" in text


@pytest.mark.parametrize(("kind", "target"), [model for model in MODELS if model.id not in OTHERS])
def test_other_dialects_say_the_same(kind, target):
    """What each dialect is read as, by sqlglot's parser of it, is run in DuckDB."""
    model, frame = fitted(kind, target, 300), rows(500)
    for dialect in DIALECTS[1:]:
        text = model.to_sql("policies", dialect=dialect, offset="exposure")
        assert text != model.to_sql("policies", offset="exposure")
        if dialect == "tsql":  # whose FLOAT has 53 bits, and is read back as one of 24
            text = text.replace(" AS FLOAT)", " AS DOUBLE)")
        (back,) = sqlglot.transpile(text, read=dialect, write="duckdb")
        same_in_duckdb(model, frame, *own(model, frame), text=back)


@pytest.mark.parametrize(("kind", "target"), [model for model in MODELS if model.id not in OTHERS])
def test_another_database_predicts_the_same(kind, target):
    model, frame = fitted(kind, target, 300), rows(500)
    base = sqlite3.connect(":memory:")
    base.create_function("EXP", 1, lambda eta: None if eta is None else math.exp(eta))  # not all are built with it
    frame.assign(row=np.arange(len(frame))).to_sql("policies", base, index=False)
    told = pd.read_sql(model.to_sql("policies", dialect="sqlite", offset="exposure"), base).sort_values("row")
    base.close()
    same(own(model, frame)[0], told["prediction"])


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


def test_relativities_of_several_classes_are_compared_with_the_first():
    frame = rows(600, missing=False)
    X, y = frame[["age", "region"]], frame["three"]
    model = LogisticRegression(C=np.inf, tol=1e-9, engine="serial").fit(X, y)
    told = model.inference(X, y)
    table = model.relativities(told).to_pandas()
    first = model.predict_proba(X[:1].assign(age=30.0, region="east"))
    second = model.predict_proba(X[:1].assign(age=31.0, region="east"))
    odds = (second[0, 1:] / second[0, 0]) / (first[0, 1:] / first[0, 0])
    by_year = table[table["term"] == "age"]
    assert by_year["class"].tolist() == [str(label) for label in model.classes_[1:]]
    assert_allclose(by_year["relativity"], odds, rtol=1e-9)
    place = [told.names.index(f"{label}:age") for label in model.classes_[1:]]
    assert_allclose(by_year["std_err"], odds * told.std_err[place], rtol=1e-9)


def test_what_excel_and_skops_need(tmp_path, monkeypatch):
    model = fitted(GeneralizedLinearRegressor("poisson"), "y", 300)
    monkeypatch.setattr("fullbatch.export.excel_._MOST_ROWS", 3)
    with pytest.raises(fullbatch.DataError, match=r"\d+ rows, and a sheet of Excel has 3: write CSV \(.csv\)"):
        model.export(tmp_path / "r.xlsx")
    for package, ending, extra in (("openpyxl", "xlsx", "excel"), ("skops.io", "skops", "skops")):
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(fullbatch.MissingExtraError, match=rf'pip install "fullbatch\[{extra}\]"'):
            model.export(tmp_path / f"m.{ending}")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("target", ["y", "three"])
def test_relativities_without_an_intercept(target):
    """Levels of the first category then have no reference, and stand for what the intercept would be."""
    frame = rows(800, missing=False).assign(two=np.resize(["p", "q"], 800))
    given = frame[["age", "region", "two"]]
    kind = LogisticRegression() if target == "three" else GeneralizedLinearRegressor("poisson", tol=1e-9)
    model = kind.set_params(fit_intercept=False).fit(given, frame[target])
    inference = model.inference(given, frame[target])
    table = model.relativities(inference).to_pandas()
    none = (table["term"] == "intercept") | (table["level"] == "p")
    assert_allclose(table["coefficient"][none], 0.0)
    assert_allclose(table["std_err"][none], 0.0)
    assert_allclose(table["coefficient"][~none], inference.coef, rtol=1e-9)
    assert_allclose(table["std_err"][~none], np.exp(inference.coef) * inference.std_err, rtol=1e-9)


def test_errors_of_some_columns_are_too_few_for_relativities():
    frame = rows(800, missing=False)
    model = GeneralizedLinearRegressor("poisson", tol=1e-9).fit(frame[["age", "region"]], frame["y"])
    told = model.inference(frame[["age", "region"]], frame["y"], columns=["age"])
    with pytest.raises(ValueError, match=r"or of some columns alone: give that of this one and of all its columns"):
        model.relativities(told)


@pytest.mark.parametrize("target", ["y", "three"])
def test_errors_of_other_coefficients_are_none_of_a_models(target, tmp_path):
    frame = rows(800, missing=False)
    given, half = frame[["age", "region"]], np.arange(800) < 400
    kind = LogisticRegression if target == "three" else lambda: GeneralizedLinearRegressor("poisson", tol=1e-9)
    model, other = kind().fit(given, frame[target]), kind().fit(given[half], frame[target][half])
    inference = other.inference(given[half], frame[target][half])
    with pytest.raises(ValueError, match=r"inference is of another model: its coefficient of '.*intercept' is .*, and"):
        model.relativities(inference)
    assert "std_err" in other.relativities(inference).column_names
    other.save(tmp_path / "other.fb")
    saved = load_model(tmp_path / "other.fb")
    assert saved.relativities(inference).equals(other.relativities(inference))
    assert saved.relativities(saved.inference(given[half], frame[target][half])).num_rows


def test_the_ending_of_a_path_tells_the_format(tmp_path):
    model = fitted(LogisticRegression(), "label", 300)
    model.export(tmp_path / "m.onnx", offset="exposure")
    assert (tmp_path / "m.onnx").read_bytes() == model.to_onnx(offset="exposure").SerializeToString()
    model.export(tmp_path / "m.pmml", offset="exposure")
    assert (tmp_path / "m.pmml").read_text() == model.to_pmml(offset="exposure")
    model.export(tmp_path / "m.sql", table="policies", offset="exposure")
    assert (tmp_path / "m.sql").read_text() == model.to_sql("policies", offset="exposure")
    model.export(tmp_path / "m.csv")
    written, table = pd.read_csv(tmp_path / "m.csv"), model.relativities().to_pandas()
    assert list(written) == list(table)
    assert_allclose(written["coefficient"], table["coefficient"], rtol=1e-12)
    with pytest.raises(ValueError, match=r"m.txt: unknown format '.txt': end the path in .sql, .*, or tell it with"):
        model.export(tmp_path / "m.txt")
    with pytest.raises(fullbatch.DataError, match=r"cannot write to .*no folder.m.json: No such file or directory"):
        model.export(tmp_path / "no folder" / "m.json")


@pytest.mark.parametrize(("to", "name"), [("to_onnx", "label"), ("to_pmml", "target"), ("to_pmml", "probability_1")])
def test_names_that_formats_have_themselves(to, name):
    frame = pd.DataFrame({name: np.linspace(-1, 1, 30), "x": np.cos(np.arange(30.0))})
    model = LogisticRegression().fit(frame, np.arange(30) % 2)
    with pytest.raises(ValueError, match=f"a column is named '{name}'.*: rename it"):
        getattr(model, to)()


def test_sparse_coefficients_are_handed_over_too():
    frame = rows(300, missing=False)[["age", "region"]]
    model = LogisticRegression().fit(frame, np.arange(300) % 2)
    dense = model.to_sql("t"), model.to_pmml()
    model.sparsify()
    assert (model.to_sql("t"), model.to_pmml()) == dense


def test_relativities_as_a_workbook(tmp_path):
    frame = rows(800, missing=False)[["age", "region"]].replace({"region": {"east": "=1+1"}})
    target = rows(800, missing=False)["y"]
    model = GeneralizedLinearRegressor("poisson", tol=1e-9).fit(frame, target)
    told = model.inference(frame, target)
    model.export(tmp_path / "r.xlsx", inference=told)
    sheet = openpyxl.load_workbook(tmp_path / "r.xlsx")["relativities"]
    head, *cells = [[cell.value for cell in row] for row in sheet.iter_rows()]
    table = model.relativities(told)
    assert head == table.column_names
    for name, values in zip(head, zip(*cells, strict=True), strict=True):
        if name in ("term", "level"):
            assert [value or "" for value in values] == table[name].to_pylist()
        else:
            assert_allclose(values, table[name], rtol=1e-15)
    assert sheet["B4"].value == "=1+1"
    assert sheet["B4"].data_type == "s"
    frame["region"] = frame["region"].replace({"süd": "s\x02d"})
    with pytest.raises(fullbatch.DataError, match=r"a character that Excel does not take: write CSV"):
        GeneralizedLinearRegressor("poisson").fit(frame, target).export(tmp_path / "r.xlsx")


def test_relativities_of_a_support_vector_machine_are_coefficients():
    model = fitted(LinearSVC(), "three", 300)
    table = model.relativities().to_pandas()
    assert table.columns.tolist() == ["class", "term", "level", "coefficient"]
    assert table["class"].unique().tolist() == ["3", "5", "7"]
    of_age = table[table["term"] == "age"]["coefficient"]
    assert of_age.tolist() == model.coef_[:, 0].tolist()


LINKS = [
    ("poisson", "identity", None),
    ("gamma", "log", None),
    ("inverse.gaussian", "log", None),
    ("normal", "log", None),
    ("tweedie", "identity", {"power": 1.4}),
    ("negative.binomial", "log", {"theta": 0.5}),
    ("gamma", "inverse", None),
    ("binomial", "logit", None),
    ("binomial", "cloglog", None),
    ("binomial", "probit", None),
]


@pytest.mark.parametrize(("family", "link", "options"), LINKS, ids=[f"{one} {link}" for one, link, _ in LINKS])
def test_links_predict_the_same(family, link, options):
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"a": rng.uniform(0, 1, 300), "level": rng.choice(["x", "y"], 300)})
    eta = 1.0 + 0.5 * frame["a"] + 0.3 * (frame["level"] == "x") + 0.05 * rng.standard_normal(300)
    mean = {"log": np.exp(eta), "inverse": 1 / eta}.get(link, eta)
    y = 1 / (1 + np.exp(1 - eta)) if family == "binomial" else mean
    model = GeneralizedLinearRegressor(family=family, link=link, loss_options=options, engine="serial").fit(frame, y)
    far = pd.DataFrame({"a": np.append(rng.uniform(0, 2, 50), [-20.0, 10.0]), "level": ["x", "y"] * 26})
    expected = model.predict(far)
    if link in ("identity", "log"):
        same(expected, model.to_sklearn().predict(far))
    else:
        with pytest.raises(ValueError, match=f"scikit-learn has no regressor with the {link} link"):
            model.to_sklearn()
    if link == "probit":
        with pytest.raises(ValueError, match="SQL has no distribution function of the normal law"):
            model.to_sql("t")
        with pytest.raises(ValueError, match="ONNX in double precision has no error function"):
            model.to_onnx()
    else:
        told = duckdb.query_df(far.assign(row=range(52)), "t", model.to_sql("t")).df().sort_values("row")
        same(expected, told["prediction"])
        session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
        found = session.run(None, feeds(model._formula(), far))[0]
        assert_allclose(found, expected, rtol=1e-9, atol=1e-15)
    inside = Xml.fromstring(model.to_pmml()).find("{http://www.dmg.org/PMML-4_4}GeneralRegressionModel")
    wanted = ("power", "-1") if link == "inverse" else (link, None)
    assert (inside.get("linkFunction"), inside.get("linkParameter")) == wanted
    assert inside.get("functionName") == "regression"
    names = model.relativities().to_pandas().columns
    assert ("relativity" in names) == (link in ("log", "logit"))


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
