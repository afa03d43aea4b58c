"""ONNX graphs: columns by the names of nodes, the empty text, and what the model refuses."""

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from fullbatch import GeneralizedLinearRegressor, LinearRegression, LogisticRegression
from fullbatch.export.onnx_ import feeds


def run(model, given):
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    return session.run(None, given if isinstance(given, dict) else feeds(model._formula(), given))


@pytest.mark.parametrize("stem", ["constant", "MatMul", "Concat", "Add", "Gather"])
def test_columns_are_not_mistaken_for_nodes(stem):
    frame = pd.DataFrame({f"{stem}_{k}": np.sin((k + 1) * np.arange(60.0)) for k in range(12)})
    frame["z"] = np.resize(["u", "v"], 60)
    model = GeneralizedLinearRegressor("poisson", alpha=0.1).fit(frame, np.arange(60) % 3)
    assert_allclose(run(model, frame)[0], model.predict(frame), rtol=1e-12)


def texts(*values):
    return pd.DataFrame({"z": np.resize(np.array(values, object), 90)})


def test_empty_text_that_is_a_level_is_no_missing_text():
    target = np.arange(90) % 7
    model = GeneralizedLinearRegressor("poisson", missing="median").fit(texts("", "p", None), target)
    with pytest.raises(
        ValueError, match="column 'z': the empty text is a level, and it is what missing text is in ONNX"
    ):
        model.to_onnx()
    model = GeneralizedLinearRegressor("poisson").fit(texts("", "p"), np.resize([5.0, 1.0], 90))
    (found,) = run(model, texts("", "p")[:2])
    assert_allclose(found, model.predict(texts("", "p")[:2]), rtol=1e-12)
    assert found[0] > 2 * found[1]
    with pytest.raises(ValueError, match="column 'z': text is missing, and the empty text is a level"):
        run(model, texts(None)[:1])


def test_empty_text_that_stands_for_missing_text():
    sources = texts("", "p", None)
    model = GeneralizedLinearRegressor("poisson", missing={"z": ""}).fit(sources, np.arange(90) % 4)
    assert_allclose(run(model, sources)[0], model.predict(sources), rtol=1e-12)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_nan(value):
    frame = pd.DataFrame({"a": np.sin(np.arange(60.0)), "b": np.cos(np.arange(60.0))})
    bad = {"a": np.array([[value], [0.5]]), "b": np.zeros((2, 1))}
    good = pd.DataFrame({"a": [0.5], "b": [0.0]})
    for model in (GeneralizedLinearRegressor("poisson"), LinearRegression()):
        model.fit(frame, np.arange(60) % 3)
        assert_allclose(run(model, bad)[0], [np.nan, model.predict(good)[0]], rtol=1e-12)
    for target in (np.arange(60) % 2, np.arange(60) % 3):
        classes = LogisticRegression().fit(frame, target)
        probabilities = run(classes, bad)[1]
        assert np.isnan(probabilities[0]).all()
        assert_allclose(probabilities[1:], classes.predict_proba(good), rtol=1e-12)
