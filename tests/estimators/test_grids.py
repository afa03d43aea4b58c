"""What a path and the models chosen from it keep of the parameters that they were given."""

import numpy as np
import pytest
from sklearn.base import clone

from fullbatch import (
    DataError,
    ElasticNet,
    GeneralizedLinearRegressor,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    cross_validate,
    fit_path,
)

N = 300
X = np.random.default_rng(0).normal(size=(N, 5))
Y = X[:, 0] + np.random.default_rng(1).normal(size=N)
LABELS = (Y > 0).astype(int)


@pytest.mark.parametrize(
    ("template", "y"),
    [
        (LogisticRegression(l1_ratio=1.0), LABELS),
        (GeneralizedLinearRegressor(l1_ratio=1.0), Y),
        (GeneralizedLinearRegressor("poisson", l1_ratio=0.5), np.abs(Y)),
        (GeneralizedLinearRegressor("huber", l1_ratio=0.5), Y),
    ],
    ids=["logistic", "squared", "poisson", "huber"],
)
def test_a_tolerance_of_zero_goes_to_the_end_of_the_arithmetic(template, y):
    exact, near = (fit_path(clone(template).set_params(tol=tol, engine="serial"), X, y, num=4) for tol in (0.0, 1e-5))
    assert exact.success
    assert set(exact.statuses) <= {"precision", "converged"}
    assert (exact.remaining_r2 <= 1e-13).all()
    np.testing.assert_allclose(exact.coefs, near.coefs, atol=1e-4)
    folds = cross_validate(clone(template).set_params(tol=0.0, engine="serial"), X, y, num=3, folds=3)
    assert folds.success


@pytest.mark.parametrize(
    ("template", "y"),
    [
        (LogisticRegression(l1_ratio=1.0), LABELS),
        (LogisticRegression(l2=0.3), LABELS),
        (LogisticRegression(penalty="l1"), LABELS),
        (LogisticRegression(penalty=None), LABELS),
        (LogisticRegression(class_weight="balanced"), LABELS),
        (GeneralizedLinearRegressor("poisson", l1_ratio=0.5), np.abs(Y)),
        (ElasticNet(), Y),
        (Ridge(), Y),
        (PoissonRegressor(), np.abs(Y)),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fit") else "",
)
def test_a_refit_of_a_chosen_model_is_that_model(template, y):
    weight = np.random.default_rng(2).uniform(0.5, 2.0, N)
    found = cross_validate(clone(template).set_params(tol=1e-7, engine="serial"), X, y, weight, folds=4, num=10)
    for chosen in (found.best_model, found.one_se_model):
        again = clone(chosen).fit(X, y, weight)
        np.testing.assert_allclose(again.coef_, chosen.coef_, atol=1e-5)
        assert (again.l2_, again.l1_) == pytest.approx((chosen.l2_, chosen.l1_), rel=1e-12)


def test_models_of_a_path_have_its_strengths():
    path = fit_path(LogisticRegression(l1_ratio=1.0, engine="serial"), X, LABELS, strengths=[0.1, 0.0])
    assert pytest.approx(1.0 / (0.1 * N)) == path.models[0].C
    assert (path.models[1].C, path.models[1].l2) == (1.0, 0.0)
    path = fit_path(LogisticRegression(penalty="l1", engine="serial"), X, LABELS, num=3)
    assert path.l1_ratio == 1.0


def test_iterations_at_the_most_are_kept_by_fits_that_share_reads():
    path = fit_path(LogisticRegression(l1_ratio=1.0, max_iter=1, engine="serial"), X, LABELS, num=4)
    assert path.reads.tolist() == [1, 1, 1, 1]
    assert path.statuses[1:] == ["max_iter"] * 3
    more = fit_path(LogisticRegression(l1_ratio=1.0, engine="serial"), X, LABELS, num=4)
    np.testing.assert_array_equal(path.strengths, more.strengths)  # the null model is none of these fits
    huber = [
        fit_path(GeneralizedLinearRegressor("huber", l1_ratio=1.0, max_iter=most, engine="serial"), X, Y, num=3)
        for most in (1, 1000)
    ]
    np.testing.assert_allclose(huber[0].strengths, huber[1].strengths, rtol=1e-12)
    assert huber[0].not_zero[0] == 0


def test_paths_without_a_strongest_penalty_are_refused_for_the_right_reason():
    held = GeneralizedLinearRegressor(l1_ratio=1.0, lower_bounds=0.0, engine="serial")
    with pytest.raises(DataError, match="no column explains anything of the targets where bounds let it"):
        fit_path(held, X[:, :1], -X[:, 0], num=3)
    (coef,) = fit_path(held, X[:, :1], -X[:, 0], strengths=[0.1]).coefs
    assert coef == 0.0
    free = GeneralizedLinearRegressor(l1_ratio=0.0, P2=0.0, engine="serial")
    with pytest.raises(ValueError, match=r"nothing is penalised, .*: give strengths, or P1 and P2 other than zeros"):
        fit_path(free, X, Y, num=3)
