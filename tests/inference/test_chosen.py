"""Errors of chosen parameters by conjugate gradients: those of the whole matrix, passes, and what is refused."""

import warnings

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from scipy.sparse import csr_array, diags_array, random_array

from fullbatch import DataError, GeneralizedLinearRegressor, LogisticRegression
from fullbatch.inference import design
from fullbatch.inference.data import Data

TOL = 1e-10


def table(n=600, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.uniform(20, 70, n),
            "income": rng.gamma(2.0, 1000.0, n),
            "region": rng.choice(["east", "north", "south"], n),
            "rare": rng.standard_normal(n) * 1e-3 + 5.0,
            "firm": rng.integers(0, 30, n),
            "year": rng.integers(0, 9, n),
        }
    )
    eta = 0.03 * (frame["age"] - 45) + 1e-4 * frame["income"] - 0.5 + (frame["region"] == "north")
    frame["two"] = (rng.random(n) < 1 / (1 + np.exp(-eta))).astype(int)
    frame["three"] = frame["two"] + (rng.random(n) < 0.3)
    return frame.assign(y=rng.gamma(2.0, np.exp(eta) / 2))


COLUMNS = ["age", "income", "region", "rare"]


@pytest.mark.parametrize(
    ("loss", "target"), [("logistic", "two"), ("softmax", "three"), ("gamma", "y"), ("squared", "y")]
)
@pytest.mark.parametrize("fit_intercept", [True, False])
def test_the_same_as_of_the_whole_matrix(loss, target, fit_intercept):
    frame = table()
    columns = COLUMNS if fit_intercept else COLUMNS[:3]  # the last is nearly one, and levels are with it
    kind = LogisticRegression(C=np.inf) if target != "y" else GeneralizedLinearRegressor(loss)
    model = kind.set_params(tol=TOL, fit_intercept=fit_intercept).fit(frame[columns], frame[target])
    given = {"clusters": frame["firm"], "reference": {"region": "south"} if fit_intercept else None}
    whole = model.inference(frame[columns], frame[target], **given)
    chosen = model.inference(frame[columns], frame[target], columns=["region", "age"], **given)
    places = [whole.names.index(name) for name in chosen.names]
    assert {name.split("=")[0].split(":")[-1] for name in chosen.names} == {"region", "age"}
    assert chosen.coef.tolist() == whole.coef[places].tolist()
    for covariance in ("cluster", "classical", "observed", "HC0", "HC1"):
        one, other = chosen.with_covariance(covariance), whole.with_covariance(covariance)
        scale = np.outer(other.std_err, other.std_err)[np.ix_(places, places)]
        assert_allclose(one.matrix / scale, other.matrix[np.ix_(places, places)] / scale, rtol=0, atol=1e-7)
    assert chosen.clusters == whole.clusters
    assert_allclose(chosen.confint(), whole.confint().iloc[places], rtol=1e-7)
    assert_allclose(chosen.test("region").statistic, whole.test("region").statistic, rtol=1e-7)
    assert_allclose(chosen.dispersion, whole.dispersion, rtol=1e-12)


def test_two_ways_of_clusters():
    """The sum of one-way ones; negative eigenvalues are those of the chosen parameters alone."""
    frame = table()
    X, y = frame[COLUMNS], frame["two"]
    model = LogisticRegression(C=np.inf, tol=TOL).fit(X, y)
    pairs = frame["firm"] * 100 + frame["year"]
    parts = [model.inference(X, y, clusters=ids.rename("ids")) for ids in (frame["firm"], frame["year"], pairs)]
    place = parts[0].names.index("age")
    expected = [one.matrix[place, place] for one in parts]
    chosen = model.inference(X, y, columns=["age"], clusters=[frame["firm"], frame["year"]])
    assert_allclose(chosen.matrix[0, 0], expected[0] + expected[1] - expected[2], rtol=1e-7)
    assert chosen.clusters == (30, 9)


def test_weights_and_statsmodels():
    frame = table()
    weight = np.arange(len(frame)) % 3.0
    X = frame[["age", "rare"]]
    model = GeneralizedLinearRegressor("poisson", tol=TOL).fit(X, frame["y"].round(), weight)
    told = model.inference(X, frame["y"].round(), weight, columns=["intercept", "age"], covariance="HC1")
    counted = np.repeat(np.arange(len(frame)), weight.astype(int))
    longer = X.iloc[counted].to_numpy()
    fit = sm.GLM(frame["y"].round().to_numpy()[counted], sm.add_constant(longer), family=sm.families.Poisson())
    plain, robust = fit.fit(tol=1e-14), fit.fit(tol=1e-14, cov_type="HC0")
    assert_allclose(told.with_covariance("classical").std_err, plain.bse[:2], rtol=1e-6)
    n = len(counted)
    assert_allclose(told.std_err, np.sqrt(n / (n - 3)) * robust.bse[:2], rtol=1e-6)
    assert_allclose(told.aic, plain.aic, rtol=1e-9)


def test_more_parameters_than_a_matrix_is_made_for(monkeypatch):
    """Two of many sparse columns, against the inverse of the dense information; and how many passes that takes."""
    rng = np.random.default_rng(0)
    X = random_array(
        (4000, 300), density=0.05, rng=rng, format="csr", data_sampler=lambda size: rng.standard_normal(size)
    )
    X = csr_array(X @ diags_array(np.geomspace(0.1, 10, 300)))
    y = rng.random(4000) < 1 / (1 + np.exp(-(X @ rng.standard_normal(300)) * 0.05))
    model = LogisticRegression(C=np.inf, tol=1e-9).fit(X, y)
    monkeypatch.setattr(design, "MOST_PARAMETERS", 250)
    with pytest.raises(DataError, match=r"at most 250 of them; name some of the columns, columns=\[\.\.\.\]"):
        model.inference(X, y)
    passes = []
    total = Data.total
    monkeypatch.setattr(Data, "total", lambda self, task: passes.append(task) or total(self, task))
    told = model.inference(X, y, columns=["x0", "x299"])
    assert len(passes) < 60
    Z = np.column_stack((np.ones(4000), X.toarray()))
    p = 1 / (1 + np.exp(-Z @ np.append(model.intercept_, model.coef_)))
    inverse = np.linalg.inv(Z.T @ (Z * (p * (1 - p))[:, None]))
    assert_allclose(told.std_err, np.sqrt(inverse.diagonal()[[1, 300]]), rtol=1e-8)
    assert "x299" in told.summary()
    assert "AIC" in told.summary()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (lambda told: told.marginal_effects(), "marginal effects need the information of all parameters"),
        (lambda told: told.predict(table()[COLUMNS]), "errors of predictions need the information of all"),
        (lambda told: told.average_predictions(), "average predictions need the information of all"),
        (lambda told: told.test("age", "likelihood-ratio"), "likelihood-ratio tests need the information of all"),
        (lambda told: told.test("income"), "income: not of the chosen columns alone, which are 'age'"),
        (lambda told: told.test_terms(), "tests of all columns need the information of all"),
        (lambda told: told.with_covariance("HC3"), "HC3 errors need the information of all"),
        (lambda told: told.confint(method="profile"), "profile intervals need the information of all"),
        (lambda told: told.null_deviance, "null deviances need the information of all"),
    ],
)
def test_what_needs_all_parameters_is_refused(asked, words):
    frame = table()
    model = LogisticRegression(C=np.inf, tol=TOL).fit(frame[COLUMNS], frame["two"])
    told = model.inference(frame[COLUMNS], frame["two"], columns=["age"])
    with pytest.raises(ValueError, match=words):
        asked(told)


def test_wrong_columns_and_penalties():
    frame = table()
    model = LogisticRegression(C=np.inf, tol=TOL).fit(frame[COLUMNS], frame["two"])
    with pytest.raises(ValueError, match="there is no column or parameter 'height'; columns of the fit are 'age'"):
        model.inference(frame[COLUMNS], frame["two"], columns=["height"])
    with pytest.raises(ValueError, match="columns must be a list of columns of the fit, got 'age'"):
        model.inference(frame[COLUMNS], frame["two"], columns="age")
    penalised = LogisticRegression(tol=TOL).fit(frame[COLUMNS], frame["two"])
    with pytest.raises(ValueError, match="columns: under an L2 penalty errors need the whole information"):
        penalised.inference(frame[COLUMNS], frame["two"], columns=["age"])


@pytest.mark.parametrize("chosen", ["a", "c"])
def test_collinear_columns_are_named(chosen):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((80, 3)), columns=["a", "b", "c"]).assign(d=lambda one: one["a"] + one["b"])
    y = rng.standard_normal(80)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = GeneralizedLinearRegressor().fit(X, y)
    if chosen == "c":  # which is known whatever the others are
        told = model.inference(X, y, columns=["c"], dispersion=1.0)
        Z = np.column_stack((np.ones(80), X[["a", "b", "c"]]))
        assert_allclose(told.std_err[0] ** 2, np.linalg.inv(Z.T @ Z)[3, 3], rtol=1e-7)
        return
    with pytest.raises(DataError, match="'a', 'b', 'd': collinear"):
        model.inference(X, y, columns=["a"])


def test_a_column_without_variation_and_other_rows():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"a": rng.standard_normal(50), "b": np.full(50, 3.0)})
    y = rng.standard_normal(50)
    model = GeneralizedLinearRegressor().fit(X, y)
    with pytest.raises(DataError, match=r"'b': without variation beside the intercept"):
        model.inference(X, y, columns=["a"])
    frame = table()
    model = LogisticRegression(C=np.inf, tol=TOL).fit(frame[COLUMNS], frame["two"])
    with pytest.raises(DataError, match="standard errors from the optimum on these rows"):
        model.inference(frame[COLUMNS], 1 - frame["two"], columns=["age"])
