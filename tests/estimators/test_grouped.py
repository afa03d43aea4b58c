"""Groups through the estimators: how they are told, what is fitted, and paths of them."""

import numpy as np
import pandas as pd
import pytest
from scipy import special
from sklearn.base import clone

from fullbatch import (
    DataError,
    FitWarning,
    GeneralizedLinearRegressor,
    GeneralizedLinearRegressorCV,
    LogisticRegression,
    bootstrap,
    cross_validate,
    fit_path,
    load_model,
)


def frame(n=400):
    rng = np.random.default_rng(3)
    X = pd.DataFrame({"a": rng.normal(size=n), "b": rng.normal(size=n), "c": rng.normal(size=n)})
    X["city"], X["kind"] = rng.choice(list("uvwx"), n), rng.choice(list("pqr"), n)
    eta = X["a"] + 1.5 * (X["city"] == "u") - (X["city"] == "v")
    return X, (eta + rng.normal(size=n)).to_numpy(), rng


def conditions(model, design, slope, groups, l1, l21, l2):
    """By how much the conditions of a minimum are missed: of coefficients (p, K), from slopes (n, K) of mean losses."""
    coef, pull, missed = np.atleast_2d(model.coef_).T, design.T @ slope, 0.0
    pull = pull + l2 * coef
    for group in np.unique(groups):
        part, own = coef[groups == group], pull[groups == group]
        strength = l21 * np.sqrt((groups == group).sum())
        if part.any():
            own = own + strength * part / np.linalg.norm(part)
            missed = max(missed, np.abs(own + l1 * np.sign(part))[part != 0].max())
            missed = max(missed, (np.abs(own) - l1)[part == 0].max(initial=0.0))
        else:
            missed = max(missed, np.linalg.norm(np.maximum(np.abs(own) - l1, 0.0)) - strength)
    return missed


def dummies(X):
    return np.column_stack(
        [X[list("abc")]] + [X[name] == level for name in ("city", "kind") for level in sorted(set(X[name]))]
    )


COLUMNS = np.array([0, 1, 2, 3, 3, 3, 3, 4, 4, 4])


@pytest.mark.parametrize("l1_ratio", [0.0, 0.3])
def test_a_categorical_column_is_zero_with_all_its_levels(l1_ratio):
    X, y, _ = frame()
    model = GeneralizedLinearRegressor(alpha=0.1, l1_ratio=l1_ratio, groups="columns", tol=1e-6).fit(X, y)
    design = dummies(X)
    slope = (design @ model.coef_ + model.intercept_ - y)[:, None] / len(y)
    assert abs(slope.sum()) < 1e-9
    assert (model.l2_, model.l1_, model.l21_) == (0.0, l1_ratio * 0.1, (1 - l1_ratio) * 0.1)
    assert conditions(model, design, slope, COLUMNS, model.l1_, model.l21_, 0.0) < 1e-8
    assert not model.coef_[COLUMNS == 4].any()
    assert model.coef_[COLUMNS == 3].any()
    assert model.coef_[COLUMNS == 3].all() or l1_ratio


def test_the_coefficients_of_all_classes_are_a_group():
    X, y, rng = frame()
    eta = np.column_stack((y, 0.3 * y, -y)) + 0.5 * rng.gumbel(size=(len(y), 3))
    labels = eta.argmax(axis=1)
    model = LogisticRegression(l2=0.08, groups="columns", group_ratio=0.9, tol=1e-6).fit(X, labels)
    design = dummies(X)
    slope = (special.softmax(design @ model.coef_.T + model.intercept_, axis=1) - np.eye(3)[labels]) / len(y)
    assert model.l21_ == pytest.approx(0.072)
    assert conditions(model, design, slope, COLUMNS, 0.0, 0.072, 0.008) < 1e-6
    zero = ~model.coef_.any(axis=0)
    assert 0 < zero.sum() < 10
    assert model.coef_[:, ~zero].all()
    np.testing.assert_allclose(model.coef_.sum(axis=0), 0.0, atol=1e-6)  # the norm is least there


def test_groups_are_told_by_names_labels_and_weights():
    X, y, _ = frame()
    by_name = {"a": "first", "b": 2, "c": 2, "city": "first"}
    told = GeneralizedLinearRegressor(alpha=0.1, groups=by_name, tol=1e-6).fit(X, y)
    numbers = np.array([0, 1, 1, 0, 0, 0, 0, 2, 2, 2])
    labels = np.array(["x", "y", "z"])[numbers]
    for groups in (labels, labels.tolist(), numbers, pd.Series(by_name)):
        same = GeneralizedLinearRegressor(alpha=0.1, groups=groups, tol=1e-6).fit(X, y)
        np.testing.assert_allclose(same.coef_, told.coef_, atol=1e-12)
    assert not told.coef_[numbers == 1].any()
    weights = {"x": np.sqrt(5), "y": 0.0}
    free = GeneralizedLinearRegressor(alpha=0.1, groups=labels, group_weights=weights, tol=1e-6).fit(X, y)
    assert free.coef_[numbers == 1].all()
    slope = (dummies(X) @ free.coef_ + free.intercept_ - y)[:, None] / len(y)
    assert np.abs((dummies(X).T @ slope)[numbers == 1]).max() < 1e-8  # not penalised
    assert clone(free).get_params()["group_weights"] == weights


def test_what_is_saved_is_loaded(tmp_path):
    X, y, _ = frame()
    for groups in ("columns", {"a": "n", "b": "n", "c": 3}, COLUMNS, None):
        options = {} if groups is None else {"group_ratio": 0.5}
        if groups is COLUMNS:
            options["group_weights"] = {3: 0.5}
        model = GeneralizedLinearRegressor(alpha=0.1, groups=groups, **options).fit(X, y)
        model.save(tmp_path / "m")
        there = load_model(tmp_path / "m")
        assert there.l21_ == model.l21_ == (0.0 if groups is None else 0.05)
        assert there.predict(X).tobytes() == model.predict(X).tobytes()
        assert there.group_weights == model.group_weights
        assert there.fit(X, y).coef_.tobytes() == model.coef_.tobytes()


@pytest.mark.parametrize("loss", ["squared", "poisson"])
def test_a_path_is_that_of_separate_fits_and_begins_where_all_groups_are_zero(loss):
    X, y, _ = frame()
    y = y if loss == "squared" else np.round(np.exp(0.5 * y))
    template = GeneralizedLinearRegressor(loss, l1_ratio=0.2, groups="columns", tol=1e-6)
    path = fit_path(template, X, y, num=6, ratio=1e-2)
    assert path.success
    assert not path.coefs[0].any()
    # A little less of the strength, and a group leaves zero.
    below = fit_path(template, X, y, strengths=[path.strengths[0] * (1 - 1e-4)])
    assert below.coefs.any()
    for strength, coef, value in zip(path.strengths, path.coefs, path.value, strict=True):
        one = clone(template).set_params(alpha=strength).fit(X, y)
        np.testing.assert_allclose(coef, one.coef_, atol=1e-5)
        assert value == pytest.approx(one.result_.value, rel=1e-10)
    assert (np.diff(path.df) > -1e-6).all()
    assert (path.df <= path.not_zero + 1e-9).all()
    assert path.models[3].l21_ == pytest.approx(0.8 * path.strengths[3], rel=1e-12)


def test_folds_and_replicates_go_with_groups():
    X, y, _ = frame(200)
    template = LogisticRegression(groups="columns")
    found = cross_validate(template, X, (y > 0).astype(int), folds=3, num=4, ratio=1e-2)
    assert found.success
    best = clone(template).set_params(l2=found.strengths[found.best]).fit(X, (y > 0).astype(int))
    np.testing.assert_allclose(found.best_model.coef_, best.coef_, atol=1e-3)
    drawn = bootstrap(best, X, (y > 0).astype(int), n=10, seed=0)
    low, high = drawn.interval(0.8, kind="percentile")
    assert (low <= high).all()


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"groups": "columns", "lower_bounds": 0}, ValueError, "leave groups or bounds out"),
        ({"groups": "columns", "l1_ratio": 0.6, "group_ratio": 0.6}, ValueError, "together more than all of it"),
        ({"group_ratio": 0.6}, ValueError, "group_ratio is of groups, and there are none: give groups"),
        ({"groups": {"d": "x"}}, DataError, "groups: there is no column 'd' in the fit: its columns are 'a', 'b', 'c'"),
        ({"groups": [1, 2]}, DataError, "groups has 2 labels and the fit 10 coefficients"),
        (
            {"groups": "columns", "group_weights": {"d": 1}},
            DataError,
            "group_weights: there is no group 'd': groups are 'a', 'b'",
        ),
    ],
)
def test_groups_that_cannot_be_are_refused(options, kind, message):
    X, y, _ = frame(50)
    with pytest.raises(kind, match=message):
        GeneralizedLinearRegressor(alpha=0.1, **options).fit(X, y)


def test_what_groups_are_without_a_strength_and_to_inference_and_penalty():
    X, y, _ = frame(50)
    with pytest.warns(
        FitWarning, match=r"\[no-penalty\] norms of groups are a part of the penalty, whose strength is 0"
    ):
        GeneralizedLinearRegressor(groups="columns").fit(X, y)
    model = GeneralizedLinearRegressor(alpha=0.1, groups="columns").fit(X, y)
    with pytest.raises(ValueError, match="a penalty of groups chooses columns by the data"):
        model.inference(X, y)
    with pytest.raises(ValueError, match="penalty='l2' has no room for groups: leave penalty out"):
        LogisticRegression("l2", groups="columns").fit(X, (y > 0).astype(int))


def test_shares_of_all_that_is_tried_are_shares_of_one_strength():
    X, y, _ = frame()
    model = GeneralizedLinearRegressorCV(groups="columns", group_ratio=0.6, l1_ratio=[0.1, 0.5], n_alphas=3, cv=3)
    with pytest.raises(ValueError, match=r"l1_ratio=0\.5 and group_ratio=0\.6 are shares of one strength"):
        model.fit(X, y)
