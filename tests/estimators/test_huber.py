"""Huber's regression with its scale: units, penalties and base levels."""

import numpy as np
import pandas as pd
import pytest

from fullbatch import HuberRegressor


def huber(coef, intercept, scale, X, y, epsilon=1.35):
    z = np.abs(y - X @ coef - intercept) / scale
    return np.mean(scale + scale * np.where(z < epsilon, z * z, 2 * epsilon * z - epsilon**2))


@pytest.mark.parametrize("unit", [1e-8, 1e-6, 1e6, 1e8])
@pytest.mark.parametrize(("mean", "noise"), [(0.0, 1.0), (1e3, 1.0), (0.0, 1e-3)])
def test_the_unit_of_the_targets_changes_nothing(unit, mean, noise):
    """F without a penalty moves with the unit: the fit in units of 1 knows nothing of it."""
    for seed in range(4):
        rng = np.random.default_rng(seed)
        X = rng.standard_normal((60, 2))
        y = X @ [1, -2] + noise * rng.standard_t(2, 60) + mean
        one, other = (HuberRegressor(alpha=0.0, engine="serial").fit(X, y * times) for times in (1.0, unit))
        least = huber(one.coef_, one.intercept_, one.scale_, X, y)
        assert huber(other.coef_ / unit, other.intercept_ / unit, other.scale_ / unit, X, y) <= least * (1 + 1e-7)
        assert {one.status_, other.status_} <= {"converged", "precision"}


@pytest.mark.parametrize("standardize", [False, True])
def test_a_penalty_is_of_coefficients_in_their_own_units(standardize):
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((80, 3)) * [1e3, 1.0, 1e-3], 1e4 * rng.standard_t(3, 80)
    size = X.std(axis=0) if standardize else 1.0
    model = HuberRegressor(alpha=0.7, standardize=standardize, engine="serial", tol=1e-8).fit(X, y)

    def value(theta):
        return huber(theta[:3], theta[3], np.exp(theta[4]), X, y) + 0.7 / 80 * np.sum((size * theta[:3]) ** 2)

    found = np.array([*model.coef_, model.intercept_, np.log(model.scale_)])
    steps = np.append(1e-3 * model.scale_ / np.append(X.std(axis=0), 1.0), 1e-3)
    around = [
        value(found + sign * step * place) for place, step in zip(np.eye(5), steps, strict=True) for sign in (-1, 1)
    ]
    assert value(found) < min(around)


def test_base_levels_have_no_coefficient():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.standard_normal(200), "g": np.array(["a", "b", "c"])[np.arange(200) % 3]})
    y = frame["x"] + frame["g"].map({"a": 0.0, "b": 1.0, "c": 2.0}) + rng.standard_t(3, 200)
    model = HuberRegressor(base={"g": "b"}, alpha=0.0, engine="serial").fit(frame, y)
    assert model.coef_[2] == 0.0
    by_hand = np.column_stack((frame["x"], frame["g"] == "a", frame["g"] == "c"))
    other = HuberRegressor(alpha=0.0, engine="serial").fit(by_hand, y)
    np.testing.assert_allclose(model.coef_[[0, 1, 3]], other.coef_, rtol=1e-4)
