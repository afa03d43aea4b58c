"""Exposures: an offset of their logarithms, by values or by the name of a column."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn import linear_model

import fullbatch
from fullbatch import DataError, array_sources

RNG = np.random.default_rng(0)
N = 400
FRAME = pd.DataFrame({"x": RNG.standard_normal(N), "z": RNG.standard_normal(N), "years": RNG.uniform(0.1, 3.0, N)})
COUNTS = RNG.poisson(FRAME["years"] * np.exp(0.4 * FRAME["x"] - 0.5)).astype(float)
FRAME["claims"] = COUNTS
YEARS = FRAME["years"].to_numpy()
TIGHT = {"tol": 1e-8, "engine": "serial"}


def test_a_model_of_counts_with_exposures_is_one_of_rates_weighted_by_them():
    wanted = linear_model.PoissonRegressor(alpha=0.1, solver="newton-cholesky", tol=1e-12, max_iter=1000)
    wanted.fit(FRAME[["x", "z"]], COUNTS / YEARS, YEARS)
    found = fullbatch.PoissonRegressor(alpha=0.1 * YEARS.mean(), **TIGHT)
    found.fit(FRAME[["x", "z"]], COUNTS, exposure=YEARS)
    np.testing.assert_allclose(found.coef_, wanted.coef_, atol=1e-8)
    predicted = found.predict(FRAME[["x", "z"]], exposure=FRAME["years"])
    np.testing.assert_allclose(predicted, YEARS * wanted.predict(FRAME[["x", "z"]]), rtol=1e-7)


@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.Table.from_pandas], ids=["pandas", "polars", "Arrow"])
@pytest.mark.parametrize(
    "model",
    [
        fullbatch.PoissonRegressor(alpha=0.1, **TIGHT),
        fullbatch.GeneralizedLinearRegressor(family="negative.binomial", alpha=0.1, **TIGHT),
        fullbatch.GeneralizedLinearRegressor("poisson", formula="claims ~ x + z", alpha=0.1, **TIGHT),
        fullbatch.GeneralizedLinearRegressorCV("poisson", alphas=[0.1, 0.01], cv=3, **TIGHT),
    ],
    ids=["poisson", "negative binomial", "formula", "cv"],
)
def test_a_column_of_exposures_is_no_feature(model, kind):
    target = None if model.formula else "claims"
    by_name = model.fit(kind(FRAME), target, exposure="years")
    coef, columns = by_name.coef_, by_name.feature_names_in_.tolist()
    predicted = by_name.predict(kind(FRAME), exposure="years")
    explained = by_name.score(kind(FRAME), "claims", exposure="years")
    measures = by_name.evaluate(kind(FRAME), "claims", exposure="years")
    wanted = model.fit(FRAME[["x", "z"]].assign(claims=COUNTS), target, offset=np.log(YEARS))
    assert columns == ["x", "z"]
    assert coef.tobytes() == wanted.coef_.tobytes()
    assert predicted.tobytes() == wanted.predict(FRAME[["x", "z"]], offset=np.log(YEARS)).tobytes()
    rows = (FRAME[["x", "z"]], COUNTS)
    assert explained == wanted.score(*rows, offset=np.log(YEARS))
    assert measures == wanted.evaluate(*rows, offset=np.log(YEARS))


def test_offsets_are_added_and_what_is_asked_of_the_fit_takes_exposures():
    X, more = FRAME[["x", "z"]], np.linspace(-0.2, 0.2, N)
    model = fullbatch.GeneralizedLinearRegressor("poisson", alpha=0, **TIGHT)
    found = model.fit(X.assign(more=more), COUNTS, exposure=YEARS, offset="more").coef_
    np.testing.assert_array_equal(found, model.fit(X, COUNTS, offset=np.log(YEARS) + more).coef_)
    model.fit(X, COUNTS, exposure=YEARS)
    errors = model.inference(FRAME, "claims", exposure="years", covariance="HC1").coef_table()
    wanted = model.inference(X, COUNTS, offset=np.log(YEARS), covariance="HC1").coef_table()
    pd.testing.assert_frame_equal(errors, wanted)
    by_name = model.inference(X=FRAME, y="claims", exposure="years", covariance="HC1").coef_table()
    pd.testing.assert_frame_equal(by_name, wanted)
    assert model.checks(X=FRAME, y="claims", exposure="years").measures == (
        model.checks(X, COUNTS, offset=np.log(YEARS)).measures
    )


@pytest.mark.parametrize(
    ("model", "told", "error", "why"),
    [
        (fullbatch.PoissonRegressor(), {"exposure": -YEARS}, DataError, "row 0: the exposure is -"),
        (fullbatch.PoissonRegressor(), {"exposure": np.append(np.nan, YEARS[1:])}, DataError, "row 0: .* nan"),
        (fullbatch.PoissonRegressor(), {"exposure": [1.0, 2.0]}, DataError, r"has shape \(2,\): it must be \(400,\)"),
        (fullbatch.PoissonRegressor(), {"exposure": "year"}, DataError, "there is no column 'year'"),
        (fullbatch.PoissonRegressor(), {"exposure": ["a"] * N}, DataError, "exposure must be numbers, not"),
        (fullbatch.PoissonRegressor(), {"exposure": FRAME["years"]}, DataError, "exposure have different indexes"),
        (fullbatch.GeneralizedLinearRegressor(), {"exposure": YEARS}, ValueError, "this link is 'identity'"),
        (fullbatch.TweedieRegressor(power=0), {"exposure": YEARS}, ValueError, "this link is 'identity'"),
    ],
)  # fmt: skip
def test_what_is_no_exposure_is_refused(model, told, error, why):
    frame = FRAME.set_index(FRAME.index.astype(str)) if "indexes" in why else FRAME
    if "indexes" in why:
        told = {"exposure": told["exposure"].set_axis(frame.index[::-1])}
    with pytest.raises(error, match=why):
        model.fit(frame[["x", "z"]], COUNTS, **told)


def test_exposures_of_rows_elsewhere_and_of_matrices_by_name_are_refused():
    model = fullbatch.PoissonRegressor(engine="serial")
    with pytest.raises(ValueError, match="X is a sources: name a column of its logarithms as the offset there"):
        model.fit(array_sources(FRAME[["x", "z"]].to_numpy(), COUNTS), exposure=YEARS)
    with pytest.raises(ValueError, match="exposure='years' names a column, and X has no names of columns"):
        model.fit(FRAME[["x", "z"]].to_numpy(), COUNTS, exposure="years")
