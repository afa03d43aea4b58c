"""Bytes of every table are equal, whatever reads the rows."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

from fullbatch import GeneralizedLinearRegressor, LogisticRegression, SerialEngine, ThreadEngine, file_sources

COLUMNS = ["age", "income", "region"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("rows")
    rng = np.random.default_rng(0)
    n = 1500
    frame = pd.DataFrame(
        {
            "age": rng.uniform(20, 70, n),
            "income": rng.gamma(2.0, 1.5, n),
            "region": rng.choice(["east", "north", "south"], n),
            "firm": rng.integers(0, 40, n),
            "year": rng.integers(2000, 2008, n),
        }
    )
    eta = 0.03 * (frame["age"] - 45) + 0.2 * frame["income"] - 0.5 + (frame["region"] == "north")
    frame["two"] = (rng.random(n) < expit(eta)).astype(int)
    frame["three"] = frame["two"] + (rng.random(n) < 0.3)
    frame["y"] = rng.gamma(2.0, np.exp(0.3 * eta) / 2)
    for number, start in enumerate(range(0, n, 300)):
        frame.iloc[start : start + 300].to_parquet(path / f"{number}.parquet", index=False)
    return path


MODELS = {
    "two": LogisticRegression(C=np.inf, tol=1e-9),
    "three": LogisticRegression(C=np.inf, tol=1e-9),
    "y": GeneralizedLinearRegressor("gamma", tol=1e-9),
}


def tables(folder, target, engine):
    """All that is told of a fit, as bytes by name."""
    sources = file_sources([str(folder / "*.parquet")], target=target, features=COLUMNS)
    model = MODELS[target].set_params(engine=engine).fit(sources)
    one = model.inference(sources, clusters="firm")
    found = {"coef": one.coef}
    kinds = ["classical", "observed", "HC0", "HC1", "cluster", "CRV2", "CRV3"] + ["HC2", "HC3"] * (target != "three")
    for kind in kinds:
        told = one.with_covariance(kind)
        found |= {kind: told.matrix, f"{kind}: table": told.coef_table(), f"{kind}: bounds": told.confint(0.9)}
    found["two ways"] = model.inference(sources, clusters=["firm", "year"]).matrix
    told = one.with_covariance("classical")
    for method in ("wald", "likelihood-ratio", "score"):
        found[f"terms: {method}"] = told.test_terms(method)
    found["profile"] = told.confint(method="profile", parameters=[told.names[1]])
    found["chosen"] = model.inference(sources, columns=["age"], covariance="HC1").matrix
    found |= {"effects": told.marginal_effects(), "means": told.average_predictions("region")}
    if target != "three":
        found["predictions"] = told.predict(sources)
    texts = {"summary": told.summary(), "as_dict": repr(told.as_dict())}
    written = {name: np.ascontiguousarray(table, np.float64).tobytes() for name, table in found.items()}
    return written | {name: text.encode() for name, text in texts.items()}


@pytest.fixture(scope="module")
def expected(folder):
    return {target: tables(folder, target, SerialEngine()) for target in MODELS}


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("target", MODELS)
def test_threads(folder, expected, target, threads):
    assert tables(folder, target, ThreadEngine(threads)) == expected[target]


@pytest.mark.slow
@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_ray(folder, expected, workers):
    from fullbatch import RayEngine

    engine = RayEngine(workers)
    try:
        for target in MODELS:
            assert tables(folder, target, engine) == expected[target]
    finally:
        engine.close()


@pytest.mark.slow
def test_dask(folder, expected, dask_client):
    from fullbatch import DaskEngine

    engine = DaskEngine(dask_client)
    try:
        for target in MODELS:
            assert tables(folder, target, engine) == expected[target]
    finally:
        engine.close()
