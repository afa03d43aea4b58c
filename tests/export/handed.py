"""Models with categories, missing values and offsets, and rows to predict: one of every estimator."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

import fullbatch
from fullbatch import (
    GeneralizedLinearRegressor,
    LinearSVC,
    LogisticRegression,
    LogisticRegressionCV,
    OrdinalLogisticRegression,
    table_sources,
)

ROWS = 10_000
REGRESSIONS = [
    ("squared", None),
    ("huber", None),
    ("quantile", {"quantile": 0.7}),
    ("poisson", None),
    ("gamma", None),
    ("tweedie", {"power": 1.4}),
]
# All other regressions, which are the same losses by other names.
OTHERS = [
    "ElasticNet",
    "ElasticNetCV",
    "GammaRegressor",
    "GeneralizedLinearRegressorCV",
    "HuberRegressor",
    "Lasso",
    "LassoCV",
    "LinearRegression",
    "PoissonRegressor",
    "QuantileRegressor",
    "Ridge",
    "RidgeCV",
    "TweedieRegressor",
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how near the optimum is does not matter here
        return kind.set_params(engine="serial").fit(sources)


def models():
    for kind in (LogisticRegression(), LogisticRegressionCV(scoring="neg_log_loss"), LinearSVC()):
        for target in ("label", "three"):
            yield pytest.param(kind, target, id=f"{type(kind).__name__}-{target}")
    for target, classes in (("three", [5, 3, 7]), ("label", ["b", "a"])):  # none in the order in which they sort
        yield pytest.param(OrdinalLogisticRegression(classes=classes), target, id=f"OrdinalLogisticRegression-{target}")
    for loss, options in REGRESSIONS:
        yield pytest.param(GeneralizedLinearRegressor(loss, loss_options=options), "y", id=loss)
    for name in OTHERS:
        yield pytest.param(getattr(fullbatch, name)(), "y", id=name)


def own(model, frame):
    """Predictions; and probabilities, or what there is in their place."""
    offset = frame["exposure"]
    columns = frame.drop(columns=["exposure", "y", "label", "three"])
    predicted = model.predict(columns, offset=offset)
    if isinstance(model, LinearSVC):
        return predicted, model.decision_function(columns, offset=offset)
    return predicted, model.predict_proba(columns, offset=offset) if hasattr(model, "predict_proba") else None


MODELS = list(models())


def same(expected, found):
    if np.asarray(expected).dtype.kind == "f":
        assert_allclose(found, expected, rtol=1e-9)
    else:
        assert np.array_equal(np.asarray(expected), np.asarray(found).astype(np.asarray(expected).dtype))


def same_in_sklearn(plain, frame, predicted, probabilities):
    assert type(plain.steps[-1][1]).__module__.startswith("sklearn.")
    same(predicted, plain.predict(frame))
    if probabilities is not None:
        method = plain.predict_proba if hasattr(plain, "predict_proba") else plain.decision_function
        same(probabilities, method(frame))
