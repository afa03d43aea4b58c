"""What stands in the way of errors: each is told with where it is and what to do."""

import warnings

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

from fullbatch import DataError, FitWarning, GeneralizedLinearRegressor, LogisticRegression, load_model


def fitted(X, y, weight=None, kind=None):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (kind or GeneralizedLinearRegressor()).set_params(engine="serial").fit(X, y, weight)


def rows(n=60, seed=0):
    rng = np.random.default_rng(seed)
    X = pd.DataFrame(rng.standard_normal((n, 2)), columns=["a", "b"])
    return X, X["a"] + rng.standard_normal(n)


@pytest.mark.parametrize("chosen", [None, ["a"]])
def test_a_rank_deficient_table(chosen):
    X, y = rows()
    X["twice"] = 2 * X["a"]
    with pytest.raises(DataError, match=r"'a', 'twice': collinear.*leave one of them out"):
        fitted(X, y).inference(X, y, columns=chosen)


@pytest.mark.parametrize("chosen", [None, ["a"]])
def test_levels_that_say_what_other_levels_do(chosen):
    X, y = rows()
    X["region"] = np.where(np.arange(60) % 3, "north", "south")
    X["half"] = np.where(np.arange(60) % 3, "upper", "lower")
    model = fitted(X, y)
    if chosen:  # whose error does not depend on how the others are told apart
        assert model.inference(X, y, columns=chosen).names == ["a"]
        return
    with pytest.raises(DataError, match=r"'region=south', 'half=upper': collinear"):
        model.inference(X, y)


@pytest.mark.parametrize("chosen", [None, ["a"]])
def test_classes_that_are_separated(chosen):
    X, _ = rows()
    X["split"] = np.repeat([-1.0, 1.0], 30)
    model = fitted(X, X["split"] > 0, kind=LogisticRegression(C=np.inf))
    with pytest.raises(DataError, match=r"the classes are separated.*Leave a column out, merge levels, or penalise"):
        model.inference(X, X["split"] > 0, columns=chosen)
    model.result_ = None  # as of a loaded model, which has no notices
    with pytest.raises(DataError, match="the classes are separated"):
        model.inference(X, X["split"] > 0, columns=chosen)


@pytest.mark.parametrize("covariance", ["cluster", "CRV2", "CRV3"])
def test_one_cluster(covariance):
    X, y = rows()
    with pytest.raises(DataError, match=r"all rows are in one cluster of 'firm': without at least two"):
        fitted(X, y).inference(X.assign(firm="only"), y, clusters="firm", covariance=covariance)


@pytest.mark.parametrize("chosen", [None, ["a"]])
def test_fewer_rows_than_columns(chosen):
    X, y = rows(3)
    with pytest.raises(DataError, match="3 rows for 3 parameters: standard errors need more rows than parameters"):
        fitted(X, y).inference(X, y, columns=chosen)


@pytest.mark.parametrize("chosen", [None, ["a"]])
def test_weights_of_zero(chosen):
    X, y = rows()
    model = fitted(X, y)
    with pytest.raises(DataError, match="no row has a positive weight: nothing can be told"):
        model.inference(X, y, np.zeros(60), columns=chosen)
    few = (np.arange(60) < 3).astype(float)
    with pytest.raises(DataError, match="3 rows for 3 parameters"):
        fitted(X, y, few).inference(X, y, few, columns=chosen)
    with pytest.raises(DataError, match=r"row 4.*weight"):
        model.inference(X, y, np.where(np.arange(60) == 4, -1.0, 1.0), columns=chosen)


def test_a_saved_model_without_its_data(tmp_path):
    X, y = rows()
    fitted(X, y).save(tmp_path / "m.fb")
    model = load_model(tmp_path / "m.fb")
    with pytest.raises(DataError, match=r"which a model does not keep, saved or not: give them once more"):
        model.inference()
    with pytest.raises(ValueError, match="GeneralizedLinearRegressor requires y to be passed"):
        model.inference(X)


def test_a_column_called_intercept_is_refused_beside_the_intercept():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"intercept": rng.standard_normal(60), "x": rng.standard_normal(60)})
    y = frame["x"] + rng.standard_normal(60)
    with pytest.raises(ValueError, match="the column 'intercept' has the name that the model's own intercept has"):
        GeneralizedLinearRegressor().fit(frame, y).inference(frame, y)
    told = GeneralizedLinearRegressor(fit_intercept=False).fit(frame, y).inference(frame, y)
    assert told.names == ["intercept", "x"]


@pytest.mark.parametrize("chosen", [None, ["a"]])
def test_a_part_of_the_rows_is_told(chosen):
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.standard_normal((20_000, 1)), columns=["a"])
    y = rng.poisson(np.exp(0.3 * X["a"])).astype(float)
    model = fitted(X, y, kind=GeneralizedLinearRegressor("poisson", tol=1e-9))
    whole = model.inference(X, y, columns=chosen)
    assert whole.notices == ()
    words = r"10,000 rows with a total weight of 10,000, and 20,000 with one of 20,000 in the fit.*about 1.41 times"
    with pytest.warns(FitWarning, match=r"\[other-rows\] " + words) as said:
        half = model.inference(X[:10_000], y[:10_000], columns=chosen)
    assert len(said) == 1  # nothing of tol, which is not what is wrong
    assert 1.3 < half.std_err[-1] / whole.std_err[-1] < 1.5
    assert [notice.code for notice in half.with_covariance("HC1").notices] == ["other-rows"]
    with pytest.warns(FitWarning, match="19,990 rows with a total weight of 19,990"):
        model.inference(X[:-10], y[:-10], columns=chosen)
    weight = rng.integers(1, 4, 20_000).astype(float)
    model = fitted(X, y, weight, kind=GeneralizedLinearRegressor("poisson", tol=1e-9))
    words = f"20,000 rows with a total weight of 20,000, and 20,000 with one of {weight.sum():,.6g} in the fit"
    with pytest.warns(FitWarning, match=words):
        model.inference(X, y, columns=chosen)
    assert model.inference(X, y, weight, columns=chosen).notices == ()


def test_rows_of_no_weight_may_be_left_out(tmp_path):
    X, y = rows(200)
    weight = np.arange(200.0) % 3
    model = fitted(X, y, weight)
    model.save(tmp_path / "model.fb")
    counts = weight > 0
    loaded = load_model(tmp_path / "model.fb")
    for one in (model, loaded):
        assert one.inference(X[counts], y[counts], weight[counts]).notices == ()
        with pytest.warns(FitWarning, match="other-rows"):
            one.inference(X[counts], y[counts], 2 * weight[counts])
    del loaded.weight_sum_  # as of a file of an earlier version
    with pytest.warns(FitWarning, match="133 rows of a positive weight, and 200 rows in the fit: unless the others"):
        loaded.inference(X[counts], y[counts], weight[counts])


def test_other_weights_of_precision_claim_nothing_of_the_size():
    X, y = rows()
    model = fitted(X, y)
    with pytest.warns(FitWarning, match=r"errors are not those of the fit; give all rows"):
        model.inference(X, y, np.full(60, 2.0), weights="precision")


@pytest.mark.parametrize("chosen", [None, ["a"]])
def test_weights_that_sum_to_one(chosen):
    X, y = rows(400)
    weight = np.full(400, 1 / 400)
    model = fitted(X, y, weight, kind=GeneralizedLinearRegressor(tol=1e-10))
    words = r'the weights of 400 rows add up to 1, so many rows for 3 parameters by weights="frequency"'
    with pytest.raises(DataError, match=words + '.*ask for weights="precision"'):
        model.inference(X, y, weight, columns=chosen)
    plain = fitted(X, y, kind=GeneralizedLinearRegressor(tol=1e-10)).inference(X, y, columns=chosen)
    told = model.inference(X, y, weight, weights="precision", columns=chosen)
    assert_allclose(told.std_err, plain.std_err, rtol=1e-6)
    robust = told.with_covariance("HC1").std_err
    assert_allclose(robust, plain.with_covariance("HC1").std_err, rtol=1e-6)
    tenths = np.full(400, 0.1)
    model = fitted(X, y, tenths, kind=GeneralizedLinearRegressor(tol=1e-10))
    (notice,) = model.inference(X, y, tenths, columns=chosen).notices
    assert notice.code == "weights-below-one"
    assert "the weights of 400 rows add up to 40, less than one each" in notice.words
    assert model.inference(X, y, tenths, columns=chosen, weights="precision").notices == ()
