"""SQL reads only what it means to: no other column by the name of ours, and NaN as missing."""

import json
import math
import sqlite3
from decimal import Decimal, localcontext

import duckdb
import numpy as np
import onnxruntime
import pandas as pd
import pyarrow as pa
import pytest
import sqlglot
from numpy.testing import assert_allclose
from tests.export.handed import same

from fullbatch import (
    GeneralizedLinearRegressor,
    LinearRegression,
    LinearSVC,
    LogisticRegression,
    OrdinalLogisticRegression,
    table_sources,
)

# Names that the query gives to what it computes, now or formerly.
NAMES = ["eta", "eta_0", "eta_1", "eta_top", "fullbatch_eta", "fullbatch_eta_1", "fullbatch_eta_top", "prediction"]
NAMES += ["fullbatch_likeliest", "probability_low"]


def in_duckdb(model, table, **options):
    with duckdb.connect() as base:
        base.register("policies", table)
        return base.sql(model.to_sql("policies", **options)).df()


def strict_exp(eta):
    """As PostgreSQL's: what is out of the range of a double is an error, 0 as well as infinity."""
    if eta is None:
        return None
    value = math.exp(eta)  # OverflowError
    if not value:
        raise ValueError("value out of range: underflow")
    return value


def in_sqlite(model, table, **options):
    base = sqlite3.connect(":memory:")
    base.create_function("EXP", 1, strict_exp)
    table.to_sql("policies", base, index=False)
    text = model.to_sql("policies", dialect="sqlite", view="scored", **options)
    base.executescript(text)
    told = pd.read_sql("SELECT * FROM scored", base)
    base.close()
    return told


ENGINES = [in_duckdb, in_sqlite]


def frame(n=60):
    rng = np.random.default_rng(0)
    return pd.DataFrame({"age": rng.normal(size=n), "region": rng.choice(["u", "v"], n)})


def fitted(kind):
    d = frame()
    counts = np.arange(60) % 3
    if isinstance(kind, LogisticRegression | LinearSVC | OrdinalLogisticRegression):
        return kind.fit(d, np.array(["low", "mid", "top"])[counts])
    return kind.fit(d, counts + 1)


MODELS = [
    pytest.param(LogisticRegression(), id="classes"),
    pytest.param(LinearSVC(), id="margin"),
    pytest.param(OrdinalLogisticRegression(classes=["mid", "low", "top"]), id="ordered"),
    pytest.param(LinearRegression(), id="identity"),
    pytest.param(GeneralizedLinearRegressor("poisson"), id="log"),
    pytest.param(GeneralizedLinearRegressor(family="gamma", link="inverse"), id="inverse"),
]


@pytest.mark.parametrize("run", ENGINES)
@pytest.mark.parametrize("kind", MODELS)
def test_columns_of_the_table_are_not_mistaken_for_ours(kind, run):
    model, d = fitted(kind), frame()
    for names in (NAMES, [name.upper() for name in NAMES]):
        told = run(model, d.assign(**{name: 5.0 + k for k, name in enumerate(names)}))
        same(model.predict(d), told["prediction"])
        if hasattr(model, "predict_proba"):
            same(model.predict_proba(d), told[[f"probability_{label}" for label in model.classes_]])


@pytest.mark.parametrize("run", ENGINES)
@pytest.mark.parametrize("link", ["logit", "cloglog"])
def test_a_class_of_two_and_a_share_too(link, run):
    d = frame()
    crowded = d.assign(**dict.fromkeys(NAMES, 9.0))
    if link == "logit":
        model = LogisticRegression().fit(d, np.arange(60) % 2)
        same(model.predict_proba(d)[:, 1], run(model, crowded)["probability_1"])
    else:
        model = GeneralizedLinearRegressor(family="binomial", link=link).fit(d, np.arange(60) % 2)
    same(model.predict(d), run(model, crowded)["prediction"])


@pytest.mark.parametrize("run", ENGINES)
def test_an_offset_called_eta(run):
    d = frame()
    model = GeneralizedLinearRegressor("poisson").fit(d, np.arange(60) % 3, offset=d["age"] * 0.1)
    told = run(model, d.assign(eta=d["age"] * 0.1), offset="eta")
    same(model.predict(d, offset=d["age"] * 0.1), told["prediction"])


def test_what_one_model_has_scored_is_scored_by_another():
    d, first, second = frame(), fitted(LogisticRegression()), fitted(LogisticRegression(C=0.01))
    with duckdb.connect() as base:
        base.register("policies", d)
        base.execute(first.to_sql("policies", view="scored"))
        told = base.sql(second.to_sql("scored")).df()
    assert np.abs(first.predict_proba(d) - second.predict_proba(d)).max() > 0.01
    same(second.predict_proba(d), told[[f"probability_{label}" for label in second.classes_]])


@pytest.mark.parametrize("name", ["prediction", "Probability_1", "fullbatch_eta"])
def test_columns_that_the_query_adds(name):
    d = frame().rename(columns={"age": name})
    model = LogisticRegression().fit(d, np.arange(60) % 2)
    with pytest.raises(ValueError, match=f"a column is named '{name}', as one that the query adds is: rename it"):
        model.to_sql("t")


def test_names_that_differ_by_their_case():
    d = frame().assign(AGE=np.arange(60.0))
    model = LinearRegression().fit(d, np.arange(60) % 7)
    for dialect in ("duckdb", "sqlite", "tsql", "bigquery"):
        with pytest.raises(ValueError, match=f"'age' and 'AGE' are one column to {dialect}: rename one of them"):
            model.to_sql("t", dialect=dialect)
    assert '"AGE"' in model.to_sql("t", dialect="postgres")


HOLES = [np.nan, None, 1.0, np.inf]


@pytest.mark.parametrize("kind", MODELS)
def test_nan_and_infinity_are_refused(kind):
    """In DuckDB NaN is above all numbers."""
    model = fitted(kind)
    told = in_duckdb(model, pa.table({"age": pa.array(HOLES), "region": ["u"] * 4}))
    assert told["prediction"].isna().tolist() == [True, True, False, True]
    for name in told.filter(like="probability_"):
        assert told[name].isna().tolist() == [True, True, False, True]
    same(model.predict(pd.DataFrame({"age": [1.0], "region": ["u"]})), told["prediction"][2:3])


@pytest.mark.parametrize("run", ENGINES)
@pytest.mark.parametrize("indicate", [False, True])
def test_nan_is_missing_where_there_is_a_rule(indicate, run):
    d = frame()
    d.loc[::5, "age"] = np.nan
    model = GeneralizedLinearRegressor("poisson", missing="median", missing_indicator=indicate)
    model.fit(d, np.arange(60) % 3)
    # pyarrow's conversion of NumPy arrays keeps NaN, that of frames makes NULL of it.
    given = pa.table({"age": pa.array(d["age"].to_numpy()), "region": d["region"].tolist()})
    assert given["age"].null_count == 0
    told = run(model, given if run is in_duckdb else d)
    assert_allclose(told["prediction"], model.predict(d), rtol=1e-12)


@pytest.mark.parametrize("unknown", ["error", "ignore"])
@pytest.mark.parametrize("rule", ["error", "median"])
def test_nan_where_levels_are_numbers(rule, unknown):
    band = np.resize([1.0, 2.0, 3.0], 60)
    if rule == "median":
        band[::7] = np.nan
    d = pd.DataFrame({"band": band, "y": np.arange(60) % 4 + 1.0})
    fills = {"band": 3} if rule == "median" else "error"
    sources = table_sources(d, target="y", categorical=["band"], missing=fills)
    model = GeneralizedLinearRegressor("poisson", unknown=unknown).fit(sources)
    told = in_duckdb(model, pa.table({"band": pa.array([np.nan, None, 2.0, 9.0])}))["prediction"]
    refused = rule == "error"
    assert told.isna().tolist() == [refused, refused, False, unknown == "error"]
    if rule == "median":
        wanted = model.predict(pd.DataFrame({"band": [np.nan, 2.0]}))
        assert_allclose(told[[0, 1, 2]], wanted[[0, 0, 1]], rtol=1e-12)


def truths(dialect):
    """A model of truth values on columns of text, and what a dialect's query of it says in DuckDB."""
    d = frame().replace({"region": {"u": "süd"}})
    model = LogisticRegression().fit(d, (np.arange(60) % 3 > 1) ^ (d["age"] > 0).to_numpy())
    text = model.to_sql("policies", dialect=dialect)
    # sqlglot takes FLOAT for 24 bits, and knows no text of nations in DuckDB.
    tree = sqlglot.parse_one(text.replace(" AS FLOAT)", " AS DOUBLE)"), read=dialect)
    tree = tree.transform(
        lambda node: sqlglot.exp.Literal.string(node.name) if isinstance(node, sqlglot.exp.National) else node
    )
    with duckdb.connect() as base:
        base.register("policies", d)
        told = base.sql(tree.sql("duckdb").replace(" AS BIT)", " AS BOOLEAN)")).df()
    return d, model, text, told


@pytest.mark.parametrize("dialect", ["tsql", "fabric", "oracle", "teradata"])
def test_databases_without_truth_values_get_numbers(dialect):
    d, model, text, told = truths(dialect)
    kind = "BIT" if dialect in ("tsql", "fabric") else "INT"
    assert f"CAST(1 AS {kind})" in text
    assert f"CAST(0 AS {kind})" in text
    for word in ("TRUE", "FALSE", "(1 = 1)", "(1 = 0)", "1 AS BOOLEAN"):
        assert word not in text
    wanted = model.predict(d)
    assert 0 < wanted.sum() < len(wanted)
    assert told["prediction"].tolist() == wanted.tolist()


@pytest.mark.parametrize("dialect", ["postgres", "bigquery", "snowflake", "spark", "mysql", "sqlite"])
def test_other_databases_have_truth_values(dialect):
    text = truths(dialect)[2]
    assert "THEN TRUE ELSE FALSE" in text
    assert "'süd'" in text
    assert "N'" not in text


def test_text_of_other_alphabets_in_sql_server():
    """'süd' is in the code page of the database there, and N'süd' in Unicode; labels too."""
    text = truths("tsql")[2]
    assert "WHEN N'süd'" in text
    assert "WHEN 'v'" in text
    labels = np.array(["nein", "ja", "möglich"])[np.arange(60) % 3]
    text = LogisticRegression().fit(frame(), labels).to_sql("t", dialect="tsql")
    assert "THEN N'möglich'" in text
    assert "THEN 'nein'" in text


def in_onnx(model, table):
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    first, *rest = session.run(None, {"X": table.to_numpy()})
    told = pd.DataFrame({"prediction": first})
    for probabilities in rest:
        told[[f"probability_{label}" for label in model.classes_]] = probabilities
    return told


# What a linear predictor may be, and far more than EXP has numbers for.
FAR = [
    -1e6,
    -1000.0,
    -746.0,
    -720.0,
    -690.0,
    -30.0,
    -17.9,
    -12.0,
    -9.1,
    -8.9,
    -5.0,
    -1.0,
    0.5,
    6.5,
    30.0,
    690.0,
    709.0,
    720.0,
    1000.0,
    1e6,
]


@pytest.mark.parametrize("run", [*ENGINES, in_onnx])
@pytest.mark.parametrize("kind", ["log", "logit", "cloglog", "classes", "several"])
def test_far_rows_do_not_end_the_query(kind, run):
    """Expected by hand: means by their definitions, in as many digits as they need."""
    x, y = np.linspace(-1, 1, 60)[:, None], np.arange(60) % (3 if kind == "several" else 2)
    model = {
        "log": GeneralizedLinearRegressor("poisson"),
        "logit": GeneralizedLinearRegressor(family="binomial"),
        "cloglog": GeneralizedLinearRegressor(family="binomial", link="cloglog"),
    }.get(kind, LogisticRegression())
    model.fit(x, y)
    model.coef_, model.intercept_ = np.ones_like(model.coef_), model.intercept_ * 0.0
    if kind == "several":
        model.coef_[:, 0] = [-1.0, 0.0, 1.0]
    with localcontext(prec=400):
        rates = [Decimal(eta).exp() for eta in FAR]
        wanted = {
            "log": [Decimal(min(eta, 700)).exp() for eta in FAR],
            "cloglog": [1 - (-rate).exp() for rate in rates],
            "several": [rate / (1 / rate + 1 + rate) for rate in rates],
        }.get(kind, [rate / (1 + rate) for rate in rates])
    told = run(model, pd.DataFrame({"x0": FAR}))
    found = told[{"classes": "probability_1", "several": "probability_2"}.get(kind, "prediction")]
    assert_allclose(found, [float(one) for one in wanted], rtol=2e-12, atol=1e-300)
    if kind in ("classes", "several"):
        assert told["prediction"].tolist() == model.predict(np.array(FAR)[:, None]).tolist()


@pytest.mark.parametrize("run", ENGINES)
def test_no_predictor_has_no_inverse(run):
    """Division by zero ends queries of most databases."""
    model = GeneralizedLinearRegressor(family="gamma", link="inverse").fit(np.ones((9, 1)), np.arange(9.0) + 1)
    model.coef_, model.intercept_ = np.array([1.0]), 0.0
    told = run(model, pd.DataFrame({"x0": [0.0, 1e-320, -0.5, 4.0]}))["prediction"]
    assert_allclose(told, [np.nan, np.nan, -2.0, 0.25])


def test_labels_that_are_bytes():
    model = LogisticRegression().fit(np.arange(9.0)[:, None], np.array([b"a", b"b", b"a"] * 3))
    for to, hand_over in (("SQL", lambda: model.to_sql("t")), ("ONNX", model.to_onnx), ("PMML", model.to_pmml)):
        with pytest.raises(ValueError, match=rf"labels are bytes, such as b'a', and {to} has text: fit with text"):
            hand_over()
    assert model.to_sklearn().predict([[0.0]]).tolist() == [b"a"]
    assert json.loads(json.dumps(model.model_card()))["target"]["classes"] == ["a", "b"]
