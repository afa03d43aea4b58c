"""Ordered classes in other hands: DuckDB, onnxruntime, tables and cards."""

from decimal import Decimal, localcontext

import duckdb
import numpy as np
import onnxruntime
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from tests.export.handed import rows

from fullbatch import GeneralizedLinearRegressor, OrdinalLogisticRegression, load_model


def ordinal(coef, intercept, labels=("low", "mid", "high")):
    """A model of one column with these coefficients, whose labels are in this order."""
    model = OrdinalLogisticRegression(classes=list(labels))
    model.fit(np.arange(9.0)[:, None], np.resize(np.array(labels), 9))
    model.coef_, model.intercept_ = np.array([[coef]]), np.array(intercept)
    return model


def test_ordered_classes_far_away_and_next_to_each_other():
    """Probabilities by their definition, differences of logistic functions, in as many digits as they need."""
    cuts = [1.0, 1.0 - 1e-9]
    model = ordinal(1.0, cuts)
    x = [-1e5, -800.0, -720.0, -600.0, -30.0, -1.0, 0.0, 30.0, 600.0, 720.0, 800.0, 1e5]
    with localcontext(prec=400):
        above = [[1 / (1 + (-Decimal(one) - Decimal(cut)).exp()) for cut in cuts] for one in x]
        wanted = np.array([[float(b), float(1 - a), float(a - b)] for a, b in above])
    assert model.classes_.tolist() == ["high", "low", "mid"]
    names = ["probability_high", "probability_low", "probability_mid"]
    told = duckdb.query_df(pd.DataFrame({"x0": x}), "t", model.to_sql("t")).df()
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    label, probabilities = session.run(None, {"X": np.array(x)[:, None]})
    likeliest = model.classes_[wanted.argmax(axis=1)]
    for found, found_label in ((told[names], told["prediction"]), (probabilities, label)):
        assert_allclose(found, wanted, rtol=1e-6, atol=1e-300)  # 1e-9 has lost digits in 1 - 1e-9
        assert found_label.tolist() == likeliest.tolist() == model.predict(np.array(x)[:, None]).tolist()
    assert_allclose(told[names], model.predict_proba(np.array(x)[:, None]), rtol=1e-9, atol=1e-300)
    strange = duckdb.query_df(pd.DataFrame({"x0": [np.inf, None, np.nan]}), "t", model.to_sql("t")).df()
    assert strange[["prediction", *names]].isna().all(axis=None)
    assert np.isnan(session.run(None, {"X": np.array([[np.inf], [np.nan]])})[1]).all()


def test_relativities_of_ordered_classes_are_of_the_odds_of_a_higher_one():
    frame = rows(600, missing=False)
    X, y = frame[["age", "region"]], frame["three"]
    model = OrdinalLogisticRegression(classes=[5, 3, 7]).fit(X, y)
    table = model.relativities().to_pandas()
    first, second, third = (X[:1].assign(age=30.0 + k, region=one) for k, one in enumerate(["east", "east", "süd"]))
    low = [model.predict_proba(one)[0, [1, 0, 2]].cumsum()[:2] for one in (first, second, third)]  # of 5, and 5 or 3
    odds = [(1 - one) / one for one in low]
    assert table["term"].tolist() == ["intercept", "intercept", "age", "region", "region", "region"]
    assert table["level"].tolist()[:2] == ["above 5", "above 3"]
    relativity = table["relativity"].to_numpy()
    assert_allclose(odds[1] / odds[0], relativity[2], rtol=1e-9)
    assert_allclose(odds[2] / odds[1], relativity[2] * relativity[5], rtol=1e-9)
    assert_allclose(odds[0], relativity[:2] * relativity[2] ** 30, rtol=1e-9)
    told = GeneralizedLinearRegressor().fit(X, y).inference(X, y)
    with pytest.raises(ValueError, match="there are no standard errors of ordered classes"):
        model.relativities(told)


def test_ordered_classes_in_cards_and_where_there_are_no_words_for_them(tmp_path):
    model = ordinal(0.5, [0.3, -0.7])
    told = model.model_card()
    assert told["target"]["ordered_classes"] == ["low", "mid", "high"]
    assert told["target"]["classes"] == ["high", "low", "mid"]
    model.export(tmp_path / "m.md")
    assert "classes, lowest first: low, mid, high" in (tmp_path / "m.md").read_text()
    model.save(tmp_path / "m.fb")
    assert load_model(tmp_path / "m.fb").model_card()["fingerprint"] == told["fingerprint"]
    assert ordinal(0.5, [0.3, -0.6]).model_card()["fingerprint"] != told["fingerprint"]
    other = ordinal(0.5, [0.3, -0.7], ("high", "mid", "low"))
    assert other.model_card()["fingerprint"] != told["fingerprint"]
    with pytest.raises(ValueError, match="scikit-learn has no model of ordered classes: use SQL or ONNX"):
        model.to_sklearn()
    with pytest.raises(
        ValueError, match=r"fullbatch does not write PMML's models of ordered classes, .*: use SQL or ONNX"
    ):
        model.to_pmml()
