"""Predictions block by block, on every engine."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, log_loss

from fullbatch import DataError, LogisticRegression, RayEngine, array_sources, table_sources


def data(n=500, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, 4))
    y = np.array(["no", "perhaps", "yes"])[(X @ rng.standard_normal((4, 3)) + rng.gumbel(size=(n, 3))).argmax(axis=1)]
    return X, y, rng.random(n)


@pytest.fixture(scope="module")
def fitted():
    X, y, weight = data()
    return LogisticRegression().fit(X, y, weight), X, y, weight


def engines():
    return {"serial": "serial", "threads": "threads", "ray": RayEngine(2)}


METHODS = ["decision_function", "predict", "predict_proba", "predict_log_proba"]


@pytest.mark.parametrize("engine", ["serial", "threads", "ray"])
def test_sources_give_what_arrays_give(fitted, engine, ray_session):
    model, X, y, weight = fitted
    model.set_params(engine=engines()[engine])
    sources = array_sources(X, y, weight, blocks=7)
    for method in METHODS if engine != "ray" else ["predict_proba"]:  # each starts workers
        from_arrays, from_sources = getattr(model, method)(X), getattr(model, method)(sources)
        assert from_sources.shape == from_arrays.shape
        if method == "predict":
            assert np.array_equal(from_sources, from_arrays)
        else:
            np.testing.assert_allclose(from_sources, from_arrays, atol=1e-12)
    assert model.score(sources) == pytest.approx(model.score(X, y, weight), rel=1e-13)


def test_measures_against_scikit_learn(fitted):
    model, X, y, weight = fitted
    measured = model.evaluate(X, y, weight)
    assert measured["rows"] == 500
    assert measured["weight"] == pytest.approx(weight.sum())
    assert measured["accuracy"] == pytest.approx(accuracy_score(y, model.predict(X), sample_weight=weight))
    assert measured["cross_entropy"] == pytest.approx(log_loss(y, model.predict_proba(X), sample_weight=weight))


def test_bytes_with_a_scale(fitted):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (200, 5), dtype=np.uint8)
    y = (pixels.sum(axis=1) > 640).astype(int)
    sources = array_sources(pixels, y, scale=1 / 255, blocks=3)
    model = LogisticRegression().fit(sources)
    np.testing.assert_allclose(model.predict_proba(sources), model.predict_proba(pixels / 255), atol=1e-12)


@pytest.mark.parametrize(
    ("engine", "name"),
    [("threads", "p.parquet"), ("threads", "p.csv"), ("threads", "directory"), ("ray", "p.csv"), ("ray", "directory")],
)
def test_written_predictions(fitted, tmp_path, engine, name, ray_session):
    model, X, *_ = fitted
    model.set_params(engine=engines()[engine])
    path = tmp_path / name
    assert model.write_predictions(array_sources(X, blocks=7), path, probabilities=True) == 500
    read = pd.read_csv(path) if name.endswith(".csv") else pq.read_table(path).to_pandas()
    assert read.columns.tolist() == ["prediction", "probability_no", "probability_perhaps", "probability_yes"]
    assert np.array_equal(read["prediction"], model.predict(X))
    np.testing.assert_allclose(read.iloc[:, 1:], model.predict_proba(X), rtol=1e-12)
    if name == "directory":
        assert sorted(file.name for file in path.iterdir()) == [f"part-{number:05d}.parquet" for number in range(7)]


def test_a_failed_write_leaves_nothing_and_says_why(fitted, tmp_path):
    model, X, *_ = fitted
    frame = pd.DataFrame(X, columns=list("abcd"))
    named = LogisticRegression().fit(frame, fitted[2])
    broken = table_sources(frame.assign(a=[np.nan if row == 450 else 0 for row in range(500)]), blocks=5)
    for name in ("p.csv", "p.parquet"):
        with pytest.raises(DataError, match="row 450, column 'a': the value is missing"):
            named.write_predictions(broken, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(DataError, match=r"cannot write predictions to .*nowhere"):
        model.write_predictions(array_sources(X), tmp_path / "nowhere" / "p.csv")
    with pytest.raises(DataError, match=r"p\.json: \.json is no format of theirs"):
        model.write_predictions(array_sources(X), tmp_path / "p.json")
    with pytest.raises(DataError, match="row 450, column 'a': the value is missing"):
        named.write_predictions(broken, tmp_path / "parts")
    assert list(tmp_path.iterdir()) == []
    model.write_predictions(array_sources(X), tmp_path / "P.PARQUET")
    assert len(pd.read_parquet(tmp_path / "P.PARQUET")) == 500
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match=r"cannot write predictions to .*there: File exists.*a new directory"):
        model.write_predictions(array_sources(X), tmp_path / "there")
    other = table_sources(frame.rename(columns={"a": "z"}))
    with pytest.raises(DataError, match="there is no column 'a': its columns are 'z', 'b', 'c', 'd'"):
        named.predict(other)
    with pytest.raises(DataError, match="no target y to compare predictions with"):
        model.score(array_sources(X))
