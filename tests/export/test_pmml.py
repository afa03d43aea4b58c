"""PMML read back: by the words of the standard, and by an implementation of another hand."""

import json
import shutil
import xml.etree.ElementTree as Xml

import numpy as np
import pandas as pd
import pypmml
import pytest
from numpy.testing import assert_allclose
from tests.export.handed import MODELS, fitted, own, rows, same

from fullbatch import GeneralizedLinearRegressor, LinearSVC, LogisticRegression


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
    assert (inside.get("offsetVariable") is None) == (target != "y")  # of classes all would have it, and it cancels
    offset = frame[inside.get("offsetVariable")].to_numpy() if target == "y" else 0.0
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


@pytest.fixture(scope="module")
def pmml_reader():
    """PMML4S, an implementation of the standard of another hand."""
    if shutil.which("java") is None:
        pytest.skip("its reader runs on Java, which is not installed")
    yield pypmml.Model
    pypmml.Model.close()


def same_in_pmml(model, frame, reader):
    predicted, probabilities = own(model, frame)
    read = reader.fromString(model.to_pmml(offset="exposure"))
    columns = frame.drop(columns=["y", "label", "three"])
    filled = [[None if value != value else value for value in row] for row in columns.to_numpy(object).tolist()]
    given = json.dumps({"columns": columns.columns.tolist(), "data": filled})  # of pandas itself: 10 digits
    told = json.loads(read.predict(given))
    found = pd.DataFrame(told["data"], columns=told["columns"])
    same(predicted, found["prediction"])
    if probabilities is not None:
        same(probabilities, found[[f"probability_{label}" for label in model.classes_]])


@pytest.mark.parametrize("target", ["label", "three", "y"])
def test_pmml_read_by_others(target, pmml_reader):
    kind = GeneralizedLinearRegressor("poisson") if target == "y" else LogisticRegression()
    same_in_pmml(fitted(kind, target), rows(500), pmml_reader)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "target"),
    [model for model in MODELS if model.id.split("-")[0] not in ("LinearSVC", "OrdinalLogisticRegression")],
)
def test_pmml_of_every_estimator_read_by_others(kind, target, pmml_reader):
    same_in_pmml(fitted(kind, target), rows(), pmml_reader)


def test_pmml_of_what_is_refused_and_ignored(pmml_reader):
    frame = rows(200, missing=False)[["age", "region"]]
    model = GeneralizedLinearRegressor().fit(frame, np.arange(200.0))
    given = {"columns": ["age", "region"], "data": [[30.0, "east"], [None, "east"], [30.0, None], [30.0, "west"]]}

    def told():
        return [
            row[0] for row in json.loads(pmml_reader.fromString(model.to_pmml()).predict(json.dumps(given)))["data"]
        ]

    assert [value is None for value in told()] == [False, True, True, True]
    model.set_params(unknown="ignore")
    assert_allclose(told()[3], model.predict(pd.DataFrame({"age": [30.0], "region": ["west"]}))[0], rtol=1e-9)


def test_a_support_vector_machine_has_no_pmml():
    with pytest.raises(
        ValueError,
        match=r"the squared hinge has none: hand over SQL, ONNX or scikit-learn .*, or fit a LogisticRegression",
    ):
        fitted(LinearSVC(), "label", 300).to_pmml(offset="exposure")
