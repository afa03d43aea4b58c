"""The MLflow flavour; needs its extra, which the extra of the tests has not: it brings a server's packages along."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import yaml
from tests.export.handed import fitted, own, rows

from fullbatch import GeneralizedLinearRegressor, LogisticRegression, table_sources
from fullbatch.estimators import mlflow_

mlflow = pytest.importorskip("mlflow")


@pytest.fixture
def tracking(tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # databases need the whole of MLflow
    mlflow.set_tracking_uri((tmp_path / "runs").as_uri())


CASES = [
    (LogisticRegression(), "label", "predict"),
    (LogisticRegression(), "three", "predict_proba"),
    (GeneralizedLinearRegressor("poisson"), "y", "predict"),
]


@pytest.mark.parametrize(("kind", "target", "method"), CASES)
def test_a_saved_folder_predicts_the_same(kind, target, method, tmp_path):
    model, frame = fitted(kind, target, 300), rows(200)
    mlflow_.save_model(model, tmp_path / "m", predict=method, offset="exposure")
    expected = own(model, frame)[0 if method == "predict" else 1]
    columns = frame.drop(columns=["y", "label", "three"])
    served = mlflow.pyfunc.load_model(str(tmp_path / "m"))
    assert np.array_equal(served.predict(columns), expected)
    back = mlflow_.load_model(str(tmp_path / "m"))
    assert np.array_equal(own(back, frame)[0], own(model, frame)[0])


def test_nothing_is_pickled_and_the_columns_are_told(tmp_path):
    mlflow_.save_model(fitted(LogisticRegression(), "label", 300), tmp_path / "m", offset="exposure")
    files = {path.name for path in (tmp_path / "m").rglob("*") if path.is_file()}
    assert files == {"MLmodel", "model.fb", "requirements.txt", "conda.yaml", "python_env.yaml"}
    told = yaml.safe_load((tmp_path / "m" / "MLmodel").read_text())
    assert told["flavors"]["fullbatch"]["kind"] == "LogisticRegression"
    inputs = {one["name"]: (one["type"], one["required"]) for one in yaml.safe_load(told["signature"]["inputs"])}
    assert inputs == {
        "age": ("double", True),
        "in come": ("double", True),
        "region": ("string", False),
        "band": ("double", True),
        "exposure": ("double", True),
    }


def test_wrong_columns_are_refused_by_the_signature(tmp_path):
    frame = pd.DataFrame({"a": np.linspace(-1, 1, 40), "b": np.cos(np.arange(40.0))})
    mlflow_.save_model(LogisticRegression().fit(frame, np.arange(40) % 2), tmp_path / "m")
    with pytest.raises(mlflow.exceptions.MlflowException, match="Model is missing inputs"):
        mlflow.pyfunc.load_model(str(tmp_path / "m")).predict(frame[["a"]])


@pytest.mark.usefixtures("tracking")
def test_a_logged_model_comes_back():
    X = np.random.default_rng(0).standard_normal((60, 3))
    model = GeneralizedLinearRegressor("poisson").fit(X, np.exp(X[:, 0]))
    with mlflow.start_run():
        logged = mlflow_.log_model(model, "claims", input_example=X[:2])
    assert np.array_equal(mlflow.pyfunc.load_model(logged.model_uri).predict(X), model.predict(X))
    back = mlflow_.load_model(logged.model_uri)
    assert type(back) is GeneralizedLinearRegressor
    assert back.coef_.tobytes() == model.coef_.tobytes()


def test_what_the_model_has_not_is_refused(tmp_path):
    X = np.random.default_rng(0).standard_normal((60, 3))
    model = GeneralizedLinearRegressor("poisson").fit(X, np.exp(X[:, 0]))
    with pytest.raises(ValueError, match="predict must be one of predict for GeneralizedLinearRegressor"):
        mlflow_.save_model(model, tmp_path / "m", predict="predict_proba")


@pytest.mark.parametrize(("missing", "kind"), [({}, "long"), ({"g": 2}, "double")])
def test_levels_that_are_whole_numbers_are_long_unless_they_may_be_missing(missing, kind):
    table = pa.table({"g": np.arange(40) % 4, "t": np.resize(["u", "v"], 40), "y": np.arange(40) % 3 % 2})
    sources = table_sources(table, target="y", categorical=["g"], missing=missing or "error")
    signature = mlflow_.signature_of(LogisticRegression(engine="serial").fit(sources))
    told = {one.name: (one.type.name, one.required) for one in signature.inputs.inputs}
    assert told == {"g": (kind, True), "t": ("string", True)}
