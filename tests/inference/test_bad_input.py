"""What stands in the way of errors: each is told with where it is and what to do."""

import warnings

import numpy as np
import pandas as pd
import pytest

from fullbatch import DataError, GeneralizedLinearRegressor, LogisticRegression, load_model


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
