"""Paths, cross-validation and bootstrap: the same optima as separate fits and other packages, in few reads."""

import os
import signal
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
from formulas import loss_of
from scipy import optimize, sparse
from scipy.special import expit, xlogy
from sklearn.base import clone
from sklearn.datasets import load_diabetes
from sklearn.linear_model import LogisticRegression as SklearnLogistic
from sklearn.linear_model import enet_path, lasso_path
from sklearn.metrics import log_loss

from fullbatch import (
    DaskEngine,
    DataError,
    Draw,
    GeneralizedLinearRegressor,
    Lasso,
    Linear,
    LogisticRegression,
    ModelFileError,
    Objective,
    ProximalNewton,
    RayEngine,
    SerialEngine,
    Standardized,
    ThreadEngine,
    array_sources,
    bootstrap,
    cross_validate,
    fit_path,
)
from fullbatch.estimators._template import succeeded
from fullbatch.run import _group, _hessians, _shared_fit, kept_together, replicates, together
from fullbatch.run._nulls import NullsOfDraws
from fullbatch.run.result import KNOWN_NEAR

N, P = 1200, 6
RNG = np.random.default_rng(5)
X = RNG.normal(size=(N, P)) @ np.diag([1, 2, 0.5, 1, 1, 1]) + 1.0
ETA = X @ [0.8, -0.4, 0.0, 0.0, 0.3, 0.0] - 0.2
LABELS = (RNG.random(N) < 1 / (1 + np.exp(-ETA))).astype(float)
COUNTS = RNG.poisson(np.exp(0.4 * ETA)).astype(float)
WEIGHT = RNG.integers(1, 4, N).astype(float)


@pytest.mark.parametrize("l1_ratio", [1.0, 0.4])
def test_paths_of_least_squares_are_those_of_scikit_learn(l1_ratio):
    features, y = load_diabetes(return_X_y=True, scaled=False)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    path = fit_path(GeneralizedLinearRegressor(l1_ratio=l1_ratio, tol=1e-7), features, y, num=30, ratio=1e-3)
    assert path.success
    assert path.passes <= 2
    other = lasso_path if l1_ratio == 1 else enet_path
    ratio = {} if l1_ratio == 1 else {"l1_ratio": l1_ratio}
    strengths, coefs, _ = other(features, y - y.mean(), alphas=path.strengths, tol=1e-14, max_iter=100_000, **ratio)
    np.testing.assert_allclose(strengths, path.strengths)
    np.testing.assert_allclose(path.coefs, coefs.T, atol=1e-5 * np.abs(coefs).max())
    assert not path.coefs[0].any()
    assert path.coefs[1].any()
    if l1_ratio == 1:
        np.testing.assert_array_equal(path.df, path.not_zero)
    residual = y[None] - np.array([model.predict(features) for model in path.models])
    np.testing.assert_allclose(path.explained, 1 - (residual**2).sum(axis=1) / ((y - y.mean()) ** 2).sum(), atol=1e-10)


def test_paths_of_float32_columns_end_where_those_of_float64_do():
    """Their products are float64: by those of float32 slopes are known to 1e-7."""
    single = X.astype(np.float32)
    template = LogisticRegression(l1_ratio=0.5, tol=1e-9, engine="serial")
    found, wanted = (fit_path(template, columns, LABELS, num=5) for columns in (single, single.astype(np.float64)))
    assert found.success
    np.testing.assert_allclose(found.coefs, wanted.coefs, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(
    ("template", "y"),
    [
        (LogisticRegression(l1_ratio=1.0, tol=1e-6), LABELS),
        (LogisticRegression(l1_ratio=0.0, tol=1e-6, standardize=True), LABELS),
        (GeneralizedLinearRegressor("poisson", l1_ratio=0.5, tol=1e-6, lower_bounds=0.0), COUNTS),
        (GeneralizedLinearRegressor("huber", l1_ratio=0.5, tol=1e-6), ETA),
    ],
    ids=["lasso", "ridge", "bounded", "huber"],
)
def test_a_path_is_the_fits_one_by_one(template, y):
    template.set_params(engine=SerialEngine())
    path = fit_path(template, X, y, WEIGHT, num=6, ratio=1e-3)
    assert path.success
    for strength, coef, value, model in zip(path.strengths, path.coefs, path.value, path.models, strict=True):
        alone = type(template)(**template.get_params()).set_params(tol=1e-7)
        alone.set_params(**({"l2": strength} if isinstance(template, LogisticRegression) else {"alpha": strength}))
        alone.fit(X, y, WEIGHT)
        assert value == pytest.approx(alone.result_.value, rel=1e-9)
        np.testing.assert_allclose(coef, alone.coef_, atol=2e-5)
        np.testing.assert_array_equal(model.predict(X[:5]) - alone.predict(X[:5]) < 1e-3, True)


def test_strengths_of_several_classes_go_together():
    rng = np.random.default_rng(101)
    y = np.digitize(ETA + rng.logistic(size=N), [-1.0, 1.0])
    template = LogisticRegression(l1_ratio=1.0, tol=1e-6)
    path = fit_path(template, X, y, strengths=[0.1, 0.01])
    for strength, value in zip(path.strengths, path.value, strict=True):
        alone = LogisticRegression(l2=strength, l1_ratio=1.0, tol=1e-7).fit(X, y)
        assert value == pytest.approx(alone.result_.value, rel=1e-9)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_cross_validation_is_the_fits_to_all_other_folds(l1_ratio):
    strengths = [0.1, 0.01, 0.001]
    found = cross_validate(
        LogisticRegression(l1_ratio=l1_ratio, tol=1e-6), X, LABELS, folds=4, seed=3, strengths=strengths
    )
    assert found.success
    held = [Draw("only", fold, folds=4, seed=3).weights(0, N) > 0 for fold in range(4)]
    np.testing.assert_array_equal(found.weight, [one.sum() for one in held])
    for row, strength in enumerate(strengths):
        for fold, out in enumerate(held):
            alone = LogisticRegression(l2=strength, l1_ratio=l1_ratio, tol=1e-7).fit(X[~out], LABELS[~out])
            np.testing.assert_allclose(found.fold_coefs[row, fold], alone.coef_, atol=2e-5)
            loss = log_loss(LABELS[out], alone.predict_proba(X[out]))
            assert found.losses[row, fold] == pytest.approx(loss, rel=1e-5)
    share = found.weight / found.weight.sum()
    mean = found.losses @ share
    np.testing.assert_allclose(found.mean, mean)
    error = np.sqrt(((found.losses - mean[:, None]) ** 2 @ share) / 3)
    np.testing.assert_allclose(found.standard_error, error)
    assert found.best == mean.argmin()
    assert found.one_se == min(row for row in range(3) if mean[row] <= mean[found.best] + error[found.best])
    np.testing.assert_array_equal(found.best_model.coef_, found.path.coefs[found.best])


def test_a_penalty_beside_the_sum_is_that_of_scikit_learn():
    found = cross_validate(
        LogisticRegression(tol=1e-6), X, LABELS, folds=3, strengths=[1 / (2.0 * N), 1 / (0.01 * N)], of_sum=True
    )
    for fold in range(3):
        rest = Draw("without", fold, folds=3).weights(0, N) > 0
        for row, C in enumerate([0.01, 2.0]):
            other = SklearnLogistic(C=C, tol=1e-10, max_iter=10_000).fit(X[rest], LABELS[rest])
            np.testing.assert_allclose(found.fold_coefs[row, fold], other.coef_, atol=2e-5)


def test_cross_validation_of_least_squares_takes_one_read():
    found = cross_validate(GeneralizedLinearRegressor(l1_ratio=0.5, tol=1e-6), X, ETA + LABELS, folds=5, num=10)
    assert found.success
    assert found.passes == 1
    out = Draw("only", 2, folds=5).weights(0, N) > 0
    strength = float(found.strengths[4])
    alone = GeneralizedLinearRegressor(alpha=strength, l1_ratio=0.5, tol=1e-8).fit(X[~out], (ETA + LABELS)[~out])
    np.testing.assert_allclose(found.fold_coefs[4, 2], alone.coef_, atol=1e-7)
    half = 0.5 * ((alone.predict(X[out]) - (ETA + LABELS)[out]) ** 2).mean()
    assert found.losses[4, 2] == pytest.approx(half, rel=1e-7)


def test_folds_share_reads():
    found = cross_validate(LogisticRegression(l1_ratio=1.0), X, LABELS, folds=10, num=20)
    alone = fit_path(LogisticRegression(l1_ratio=1.0), X, LABELS, strengths=found.strengths)
    assert found.success
    assert found.passes <= alone.passes + 25  # not ten times as many


@pytest.mark.parametrize(
    ("template", "y"),
    [
        (LogisticRegression(l2=1e-3, tol=1e-6), LABELS),
        (GeneralizedLinearRegressor("poisson", alpha=1e-3, tol=1e-8), COUNTS),
    ],
    ids=["logistic", "poisson"],
)
def test_a_path_of_one_fit_takes_no_more_reads_than_newtons_method(template, y):
    """Each brings the Hessian of a place that is new."""
    alone = clone(template).set_params(solver="newton").fit(X, y)
    assert fit_path(template, X, y, strengths=[1e-3]).passes <= alone.result_.passes


def test_hessians_of_a_path_are_of_new_places_and_no_more_than_are_allowed(monkeypatch):
    places, ask = [], together.Rows.ask

    def asked(self, thetas, matrices=()):
        places.extend(thetas[row].tobytes() for row in matrices)
        return ask(self, thetas, matrices)

    monkeypatch.setattr(together.Rows, "ask", asked)
    template, strengths = LogisticRegression(l1_ratio=0.5, tol=1e-10), [0.1, 1e-3, 1e-5]
    free = fit_path(template, X, LABELS, strengths=strengths)
    assert len(set(places)) == len(places) > 1 + len(strengths)
    places.clear()
    monkeypatch.setattr(_group, "_MOST_MATRICES", 1)
    found = fit_path(template, X, LABELS, strengths=strengths)
    assert len(places) <= 1 + len(strengths)  # and the one at the start
    np.testing.assert_allclose(found.coefs, free.coefs, atol=1e-5)


def asked_for(monkeypatch, template, X, y, **options):
    """A path, and of how many coordinates each of the Hessians was that it asked for."""
    sizes, ask = [], together.Rows.ask

    def asked(self, thetas, some=(), *columns):
        answer = ask(self, thetas, some, *columns)
        sizes.extend([answer.matrix.shape[-1]] * len(some))
        return answer

    with monkeypatch.context() as during:
        during.setattr(together.Rows, "ask", asked)
        return fit_path(template, X, y, **options), sizes


def test_neighbouring_strengths_share_hessians(monkeypatch):
    template = LogisticRegression(l1_ratio=1.0, tol=1e-6)
    close, shared = asked_for(monkeypatch, template, X, LABELS, num=40, ratio=0.05)
    monkeypatch.setattr(_hessians, "_NEAR", 1.0)
    each, own = asked_for(monkeypatch, template, X, LABELS, num=40, ratio=0.05)
    assert close.success
    assert 0 < len(shared) < len(own)
    np.testing.assert_allclose(close.value, each.value, rtol=1e-11)


def test_a_hessian_is_asked_for_where_it_saves_more_reads_than_it_costs(monkeypatch):
    template = LogisticRegression(l1_ratio=0.5, tol=1e-8)
    strengths = [0.1, 0.03, 0.01, 0.003]
    monkeypatch.setattr(_hessians, "_MOST_WORTH", 1.0)
    cheap, many = asked_for(monkeypatch, template, X, LABELS, strengths=strengths)
    monkeypatch.undo()
    monkeypatch.setattr(_group, "worth", lambda facts, fits, columns: 4.0)
    dear, few = asked_for(monkeypatch, template, X, LABELS, strengths=strengths)
    assert 0 < len(few) < len(many)
    np.testing.assert_allclose(dear.value, cheap.value, rtol=1e-12)


def wide_problem():
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((200, 542))
    return wide, wide[:, 0] - wide[:, 1] + wide[:, 2] * wide[:, 3] + rng.logistic(size=200)


@pytest.mark.parametrize("loss", ["logistic", "squared", "classes", "groups", "bounds"])
def test_wide_sparse_paths_share_hessians_of_some_columns(monkeypatch, loss):
    wide, eta = wide_problem()
    template, y = LogisticRegression(l1_ratio=0.9, tol=1e-6), (eta > 0).astype(int)
    if loss == "squared":
        template, y = GeneralizedLinearRegressor(alpha=1.0, l1_ratio=1.0, tol=1e-6), eta
        monkeypatch.setattr(together, "Squares", None)  # which would answer without a read
    elif loss == "classes":
        y = np.digitize(eta, (-1.0, 1.0))
    elif loss != "logistic":
        told = {"groups": [j // 2 for j in range(wide.shape[1])]} if loss == "groups" else {"lower_bounds": 0.0}
        template, y = GeneralizedLinearRegressor("poisson", alpha=1.0, l1_ratio=1.0, tol=1e-6, **told), np.exp(eta / 4)
    num = 12
    found, some = asked_for(monkeypatch, template, wide, y, num=num, ratio=0.3)
    assert found.success
    assert 0 < max(some) < 0.75 * wide.shape[1] * (3 if loss == "classes" else 1)
    assert found.passes < 3 * num
    monkeypatch.setattr(together, "by_working_set", lambda objective: False)
    whole, all_of_them = asked_for(monkeypatch, template, wide, y, num=num, ratio=0.3)
    assert max(all_of_them) > max(some)
    np.testing.assert_allclose(found.value, whole.value, rtol=1e-10)
    np.testing.assert_array_equal(found.not_zero, whole.not_zero)


def test_folds_of_wide_sparse_fits_share_hessians_of_some_columns(monkeypatch):
    wide, eta = wide_problem()
    template, y = LogisticRegression(l1_ratio=0.9, tol=1e-6), (eta > 0).astype(int)
    some = cross_validate(template, wide, y, folds=4, num=8, ratio=0.3)
    monkeypatch.setattr(together, "by_working_set", lambda objective: False)
    whole = cross_validate(template, wide, y, folds=4, num=8, ratio=0.3)
    assert some.path.success
    assert whole.path.success
    assert some.path.passes < 1.5 * whole.path.passes
    np.testing.assert_allclose(some.losses, whole.losses, rtol=1e-6)
    np.testing.assert_allclose(some.path.value, whole.path.value, rtol=1e-10)


def test_degrees_of_freedom_are_known_where_folds_ask_for_other_columns():
    """The fit to all rows may have ended before they do: its columns are among those of the last Hessian."""
    rng = np.random.default_rng(1)
    X = rng.standard_normal((200, 700))
    for j in range(1, 700):
        X[:, j] = 0.8 * X[:, j - 1] + 0.6 * X[:, j]
    y = (X[:, :10] @ rng.standard_normal(10) + rng.logistic(size=200) > 0).astype(int)
    template = LogisticRegression(l1_ratio=0.5, tol=1e-5, engine="serial")
    path = cross_validate(template, X, y, folds=4, num=20, ratio=0.05).path
    assert set(path.known_by) == {"shared hessian"}
    assert np.isfinite(path.df).all()
    assert (path.df <= path.not_zero).all()
    assert (np.diff(path.df) > -1.0).all()


def test_hessians_of_one_read_take_no_more_memory_than_there_is_for_them(monkeypatch):
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1500, 600))
    y = (X @ (rng.standard_normal(600) * 0.15) + rng.logistic(size=1500) > 0).astype(int)
    room = 8 * 601**2
    monkeypatch.setattr(_hessians, "MATRIX_BYTES", room)
    monkeypatch.setattr(_group, "MATRIX_BYTES", room)
    answers, ask = [], together.Rows.ask

    def asked(self, *arguments):
        answers.append(ask(self, *arguments))
        return answers[-1]

    monkeypatch.setattr(together.Rows, "ask", asked)
    found = fit_path(LogisticRegression(l1_ratio=1.0, tol=1e-3, engine="serial"), X, y, num=12, ratio=0.004)
    assert found.success
    assert any(0 < answer.matrix.shape[-1] < 601 for answer in answers)
    assert max(answer.matrix.nbytes for answer in answers) <= room


def test_where_columns_in_use_have_no_room_fits_go_by_themselves(monkeypatch):
    wide, eta = wide_problem()
    template, y = LogisticRegression(l1_ratio=1.0, tol=1e-6), (eta > 0).astype(int)
    told = {"num": 4, "ratio": 0.1}
    found = fit_path(template, wide, y, **told)
    monkeypatch.setattr(_group, "most_shared", lambda facts, parts: 20)
    alone = fit_path(template, wide, y, **told)
    assert found.success
    assert alone.success
    assert {"shared hessian"} == set(found.known_by) != set(alone.known_by)
    np.testing.assert_allclose(found.value, alone.value, rtol=1e-10)


def test_paths_of_columns_without_variation_and_of_many_that_blocks_number_for_themselves():
    """More than 100 columns, some of which no row has; and more of them than entries."""
    rng = np.random.default_rng(0)
    for columns, rows in ((140, 400), (70_000, 300)):
        X = sparse.random_array((rows, columns), density=2000 / rows / columns, rng=rng, format="csr")
        X = sparse.csr_array(sparse.hstack((rng.standard_normal((rows, 3)), X)))
        y = (X[:, [0]].toarray().ravel() + rng.logistic(size=rows) > 0).astype(int)
        template = LogisticRegression(l1_ratio=1.0, tol=1e-6)
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            path = fit_path(template, X, y, num=4, ratio=0.3)
            single = clone(template).set_params(C=1 / (rows * path.strengths[-1]), tol=1e-8).fit(X, y)
        assert path.success
        np.testing.assert_allclose(path.coefs[-1], single.coef_, atol=1e-4)


def test_hessians_of_some_columns_are_of_those_that_have_room(monkeypatch):
    """Of all columns there is none; nor, for several strengths, of all that may come into use."""
    wide, eta = wide_problem()
    template, y = LogisticRegression(l1_ratio=1.0, tol=1e-6), (eta > 0).astype(int)
    told: dict = {"num": 16, "ratio": 0.1}
    found, most = fit_path(template, wide, y, **told), 150
    monkeypatch.setattr(_hessians, "MATRIX_BYTES", 8 * (most + 1) ** 2)
    asked, columns_for = [], _group.columns_for

    def columns(fits, latest, room):
        asked.append((columns_for(fits, latest, room), columns_for(fits, latest, 10 * room)))
        return asked[-1][0]

    monkeypatch.setattr(_group, "columns_for", columns)
    small = fit_path(template, wide, y, **told)
    found_room = [(len(taken), len(wanted)) for taken, wanted in asked if taken is not None]
    assert max(taken for taken, _ in found_room) <= most
    assert any(taken < wanted for taken, wanted in found_room)
    np.testing.assert_allclose(small.value, found.value, rtol=1e-10)


def test_strengths_under_way_are_as_many_as_there_is_memory_for_their_hessians(monkeypatch):
    template, done = LogisticRegression(l1_ratio=1.0, tol=1e-8), []
    group = together.Together._group
    monkeypatch.setattr(together, "MATRIX_BYTES", 2 * 8 * (P + 1) ** 2)
    monkeypatch.setattr(
        together.Together, "_group", lambda self, state: done.append(state.iteration) or group(self, state)
    )
    found = fit_path(template, X, LABELS, num=9)
    assert np.diff([*done, 9]).max() == 2
    monkeypatch.undo()
    np.testing.assert_allclose(found.value, fit_path(template, X, LABELS, num=9).value, rtol=1e-9)


def test_weights_in_one_fold_alone_are_told():
    own = Draw("only", 1, folds=3).weights(0, N)
    with pytest.raises(DataError, match="all rows with a weight are in fold 1, so that the others have none: choose"):
        cross_validate(GeneralizedLinearRegressor("poisson"), X, COUNTS, own, folds=3, strengths=[0.1])


def test_replicates_are_the_fits_with_their_weights():
    template = LogisticRegression(C=0.5, tol=1e-6)
    found = bootstrap(template, X, LABELS, WEIGHT, n=30, seed=2)
    assert found.success
    strength = 1 / (0.5 * WEIGHT.sum())
    for number in (0, 7, 29):
        times = Draw("bootstrap", number, seed=2).weights(0, N)
        alone = LogisticRegression(l2=strength, tol=1e-7).fit(X, LABELS, WEIGHT * times)
        np.testing.assert_allclose(found.coefs[number], alone.coef_, atol=2e-5)
        np.testing.assert_allclose(found.intercepts[number], alone.intercept_, atol=2e-5)
    low, high = found.interval(0.9)
    np.testing.assert_allclose([low, high], np.percentile(found.coefs, [5, 95], axis=0), rtol=1e-12)
    assert found.model.result_.passes < found.passes < 30


def test_hessians_of_replicates_are_as_many_at_a_time_as_there_is_memory_for(monkeypatch):
    template, counts, ask = LogisticRegression(C=0.5), [], replicates.sums_of_draws

    def asked(objective, thetas, draws, matrices=0, columns=None):
        counts.append(matrices)
        return ask(objective, thetas, draws, matrices, columns)

    monkeypatch.setattr(replicates, "sums_of_draws", asked)
    whole = bootstrap(template, X, LABELS, n=7)
    assert [count for count in counts if count] == [7]
    counts.clear()
    monkeypatch.setattr(replicates, "_MATRIX_BYTES", 3 * 8 * (P + 1) ** 2)
    parts = bootstrap(template, X, LABELS, n=7)
    assert [count for count in counts if count] == [3, 3, 1]
    assert parts.coefs.tobytes() == whole.coefs.tobytes()


def test_bca_intervals_are_those_of_the_formula_for_a_mean():
    rng = np.random.default_rng(102)
    from scipy.stats import norm

    y = rng.exponential(size=400)
    found = bootstrap(GeneralizedLinearRegressor(tol=1e-6), np.ones((400, 1)), y, n=400, seed=1)
    means = found.intercepts
    influence = np.array(
        [Draw("only", group, folds=200, seed=1).weights(0, 400) @ (y - y.mean()) for group in range(200)]
    )
    a = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    assert found.acceleration_of_intercept == pytest.approx(a, rel=1e-6)
    bias = norm.ppf((means < y.mean()).mean())
    z = norm.ppf([0.025, 0.975])
    a = found.acceleration_of_intercept
    expected = np.quantile(means, norm.cdf(bias + (bias + z) / (1 - a * (bias + z))))
    np.testing.assert_allclose(found.interval_of_intercept(0.95, "bca"), expected)
    with pytest.raises(ValueError, match="unknown kind 'basic'"):
        found.interval(kind="basic")


def _bytes_on(engine):
    template = LogisticRegression(l1_ratio=1.0, engine=engine)
    found = cross_validate(template, array_sources(X, LABELS, blocks=5), folds=3, num=4)
    return found.path.coefs.tobytes() + found.losses.tobytes() + found.fold_coefs.tobytes()


@pytest.fixture(scope="module")
def expected():
    return _bytes_on(SerialEngine())


def test_the_same_bytes_on_threads(expected):
    assert _bytes_on(ThreadEngine(2)) == expected


@pytest.mark.usefixtures("ray_session")
def test_the_same_bytes_on_ray(expected):
    assert _bytes_on(RayEngine(2)) == expected


def test_the_same_bytes_on_dask(expected, dask_client):
    assert _bytes_on(DaskEngine(dask_client, num_workers=2)) == expected


@pytest.mark.parametrize("columns", ["all columns", "some columns"])
@pytest.mark.parametrize("folds", [0, 3], ids=["path", "cross-validation"])
def test_a_run_that_was_ended_goes_on_to_the_byte(tmp_path, monkeypatch, folds, columns):
    template, X, y = LogisticRegression(l1_ratio=1.0, engine=SerialEngine()), globals()["X"], LABELS
    if columns == "some columns":
        X, eta = wide_problem()
        y = (eta > 0).astype(int)

    def run(**options):
        if folds:
            return cross_validate(template, X, y, folds=folds, num=8, **options)
        return fit_path(template, X, y, num=8, **options)

    def bytes_of(found):
        path = found.path if folds else found
        return path.coefs.tobytes() + path.remaining_r2.tobytes() + (found.losses.tobytes() if folds else b"")

    class KilledError(Exception):
        pass

    group, left = kept_together.Together._group, [3]

    def killed(self, state):
        left[0] -= 1
        if not left[0] and len(self.penalties) > 1:
            raise KilledError
        return group(self, state)

    monkeypatch.setattr(kept_together.Together, "_group", killed)
    with pytest.raises(KilledError):
        run(checkpoint=tmp_path)
    monkeypatch.setattr(kept_together.Together, "_group", group)
    resumed = run(checkpoint=tmp_path)
    assert 0 < (resumed.path if folds else resumed).resumed_at < 8
    assert bytes_of(resumed) == bytes_of(run())
    template.set_params(l1_ratio=0.5)
    with pytest.raises(ModelFileError, match=r"is of another run: .*strengths"):
        run(checkpoint=tmp_path)


def test_ctrl_c_ends_a_path_after_a_group_which_is_kept(tmp_path, monkeypatch):
    template = LogisticRegression(l1_ratio=0.5, groups="columns", group_ratio=0.5, engine=SerialEngine())
    group, left = kept_together.Together._group, [3]

    def pressed(self, state):
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGINT)
        return group(self, state)

    monkeypatch.setattr(kept_together.Together, "_group", pressed)
    with pytest.raises(KeyboardInterrupt):
        fit_path(template, X, LABELS, num=8, checkpoint=tmp_path)
    monkeypatch.setattr(kept_together.Together, "_group", group)
    resumed = fit_path(template, X, LABELS, num=8, checkpoint=tmp_path)
    assert resumed.resumed_at >= 2
    assert resumed.coefs.tobytes() == fit_path(template, X, LABELS, num=8).coefs.tobytes()
    template.set_params(groups=["a", "a", "a", "b", "b", "b"])
    fit_path(template, X, LABELS, strengths=[0.1, 0.01], checkpoint=tmp_path / "other")
    other = clone(template).set_params(group_weights={"a": 5.0})
    with pytest.raises(ModelFileError, match=r"is of another run: l21 of the first\[0\]: .* there, 0.25 here"):
        fit_path(other, X, LABELS, strengths=[0.1, 0.01], checkpoint=tmp_path / "other")


def test_other_targets_of_a_checkpoint_are_told_by_the_loss(tmp_path):
    rng = np.random.default_rng(103)
    y = rng.standard_normal(N)
    template = GeneralizedLinearRegressor("huber", l1_ratio=1.0, engine=SerialEngine())
    fit_path(template, X, y, strengths=[0.1, 0.05], checkpoint=tmp_path)
    with pytest.raises(ModelFileError, match=r"the loss is .* there and .* here.*Targets, weights of rows"):
        fit_path(template, X, -y, strengths=[0.1, 0.05], checkpoint=tmp_path)


def test_replicates_that_leave_no_row_with_a_weight_are_refused():
    weight = np.zeros(N)
    weight[[0, 1]] = 1.0
    y = np.arange(float(N))
    with pytest.raises(DataError, match=r"no row with a weight counts under Draw.*bootstrap.*too few rows"):
        bootstrap(GeneralizedLinearRegressor(alpha=1.0), X, y, weight, n=40)


@dataclass(frozen=True)
class Boaster(ProximalNewton):
    """Says that it has converged wherever it is."""

    def optimality(self, state):
        return 0.0


@pytest.mark.parametrize("folds", [0, 3])
def test_what_fits_in_lockstep_claim_is_checked(monkeypatch, folds):
    """Those that go by solvers of their own: a claim at the start is found out, and the fit goes on."""
    template = GeneralizedLinearRegressor("huber", l1_ratio=0.5, tol=1e-6)

    def fitted():
        if not folds:
            return fit_path(template, X, ETA, strengths=[0.3, 0.03])
        return cross_validate(template, X, ETA, folds=folds, strengths=[0.3, 0.03]).path

    honest = fitted()
    assert honest.success
    assert set(honest.known_by) == {"hessian"}
    monkeypatch.setattr(_shared_fit, "ProximalNewton", Boaster)
    found = fitted()
    assert found.success
    assert (found.remaining_r2 <= 1e-12).all()
    np.testing.assert_allclose(found.coefs, honest.coefs, atol=1e-5)
    np.testing.assert_allclose(found.value, honest.value, rtol=1e-11)
    assert found.passes > honest.passes


@pytest.mark.parametrize("folds", [0, 2])
def test_many_columns_by_solvers_of_their_own(folds):
    """A path goes by working sets; folds in lockstep, by Hessians of all columns."""
    rng = np.random.default_rng(0)
    wide = rng.standard_normal((150, 510))
    y = wide[:, 0] + rng.standard_t(2, 150)
    template, strengths = GeneralizedLinearRegressor("huber", l1_ratio=1.0), [0.3, 0.25]
    if folds:
        path = cross_validate(template, wide, y, folds=folds, strengths=strengths).path
    else:
        path = fit_path(template, wide, y, strengths=strengths)
    assert path.success
    assert set(path.known_by) == {"hessian"}
    for strength, coef in zip(path.strengths, path.coefs, strict=True):
        one = GeneralizedLinearRegressor("huber", alpha=strength, l1_ratio=1.0).fit(wide, y)
        np.testing.assert_allclose(coef, one.coef_, atol=1e-3)


def test_degrees_of_freedom_of_classes_are_those_beside_the_intercepts():
    """Of a ridge of three classes: the trace for coefficients and intercepts, less the two that intercepts have."""
    rng = np.random.default_rng(1)
    rows = rng.standard_normal((200, 3))
    labels = (rows @ rng.standard_normal((3, 3)) + rng.gumbel(size=(200, 3))).argmax(axis=1)
    path = fit_path(LogisticRegression(tol=1e-6), rows, labels, strengths=[0.1, 1e-3])
    design = np.column_stack((rows, np.ones(200)))
    for strength, model, df in zip(path.strengths, path.models, path.df, strict=True):
        _, _, second = loss_of("softmax", labels, rows @ model.coef_.T + model.intercept_)
        hessian = np.einsum("nab,ni,nj->aibj", second, design, design).reshape(12, 12) / 200
        ridge = np.diag(np.tile([strength] * 3 + [0.0], 3))
        level = 1e-3 * np.kron(np.ones((3, 3)), np.diag([0.0, 0, 0, 1]))  # changes no prediction
        expected = np.trace(np.linalg.solve(hessian + ridge + level, hessian)) - 2
        assert df == pytest.approx(expected, abs=1e-3)  # by a Hessian of nearby


@pytest.mark.parametrize(
    ("status", "left", "known_by", "is_good"),
    [
        ("converged", 1.0, "directions", True),
        ("precision", KNOWN_NEAR, "hessian", True),
        ("precision", 2.0 * KNOWN_NEAR, "hessian", False),
        ("precision", 0.0, "directions", False),
        ("precision", 0.0, "columns", False),
        ("max_iter", 0.0, "hessian", False),
    ],
)
def test_what_has_succeeded(status, left, known_by, is_good):
    assert succeeded(status, left, known_by) is is_good


def test_what_has_not_converged_is_told():
    separable = LogisticRegression(l1_ratio=0.0, max_iter=2)
    with pytest.warns(Warning, match=r"\[not-converged\] .* of 2 fits of the path"):
        path = fit_path(separable, X, (X[:, 0] > 1).astype(int), strengths=[1e-3, 0.0])
    assert not path.success
    assert path.statuses[1] != "converged"
    assert path.statuses[1] in path.table()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"strengths": [-1.0]}, "strengths must be one or more numbers"),
        ({"strengths": ["strong"]}, "strengths must be one or more numbers"),
        ({"strengths": [0.1, 0.1]}, "must differ"),
        ({"num": 0}, "num must be at least 1"),
        *(({"ratio": ratio}, "ratio must be a number between 0 and 1") for ratio in (2.0, 1.0, 0, -0.5)),
        ({"estimator": LogisticRegression(solver="lbfgs")}, "leave solver at 'auto'"),
        ({"estimator": LogisticRegression(callbacks=[print])}, "leave them out"),
        ({"estimator": object()}, "needs an estimator"),
        ({"estimator": LogisticRegression(lower_bounds=0.5)}, "bounds leave some coefficients no zero"),
    ],
)
def test_what_is_no_path_is_refused(options, words):
    with pytest.raises(ValueError, match=words):
        fit_path(**{"estimator": LogisticRegression(), "X": X, "y": LABELS, **options})


def test_without_a_column_that_explains_anything_no_strength_is_the_first():
    with pytest.raises(DataError, match=r"no column explains anything of the targets.* so give strengths"):
        fit_path(Lasso(), X, np.zeros(len(X)))


def test_one_fold_is_refused_and_so_are_folds_without_rows():
    with pytest.raises(ValueError, match="folds must be at least 2"):
        cross_validate(LogisticRegression(), X, LABELS, folds=1)


def test_tables_fit_a_screen():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = cross_validate(LogisticRegression(l1_ratio=1.0), X, LABELS, folds=3, num=5)
    for table in (found.table(), found.path.table()):
        assert len(table.splitlines()) == 6
        assert max(map(len, table.splitlines())) <= 78


def test_which_null_model_shares_of_deviance_are_of():
    """As the docs say: scores compare with the mean target, paths and inference with intercept and offsets."""
    rng = np.random.default_rng(5)
    X, offset = rng.standard_normal((200, 2)), 2.0 * rng.standard_normal(200)
    y = rng.poisson(np.exp(0.2 * X[:, 0] + offset))

    def deviance(mean):
        return 2.0 * np.sum(xlogy(y, y / mean) - y + mean)

    of_mean, of_offsets = deviance(np.full(200, y.mean())), deviance(np.exp(offset) * y.sum() / np.exp(offset).sum())
    model = GeneralizedLinearRegressor("poisson", tol=1e-8).fit(X, y, offset=offset)
    left = deviance(model.predict(X, offset=offset))
    assert model.score(X, y, offset=offset) == pytest.approx(1 - left / of_mean, rel=1e-9)
    assert model.inference(X, y, offset=offset).d2 == pytest.approx(1 - left / of_offsets, rel=1e-9)
    path = fit_path(GeneralizedLinearRegressor("poisson"), X, y, offset=offset, strengths=[0.1])
    left = deviance(path.models[0].predict(X, offset=offset))
    assert path.explained == pytest.approx([1 - left / of_offsets], rel=1e-9)


def _null_cases():
    """Estimator, targets, offsets, and the mean loss of eta, by formulas of their own."""
    rng = np.random.default_rng(8)
    offset = 1.5 * rng.standard_normal(N)
    labels = (rng.random(N) < expit(offset + 0.3 * X[:, 0])).astype(float)
    counts = rng.poisson(np.exp(0.5 * offset)).astype(float)
    skewed = ETA + rng.exponential(3.0, N)

    def of_nb(y, eta):  # variance mu + 1.3 mu^2; less what the saturated model has
        def loglike(mean):
            return xlogy(y, mean) - (y + 1 / 1.3) * np.log(mean + 1 / 1.3)

        return loglike(np.maximum(y, 1e-300)) - loglike(np.exp(eta))

    def of_cloglog(y, eta):
        return -np.where(y > 0, np.log(-np.expm1(-np.exp(eta))), -np.exp(eta))

    def of_logistic(y, eta):
        return np.logaddexp(0.0, eta) - y * eta

    glm = GeneralizedLinearRegressor
    options = {"loss_options": {"theta": 1.3}}
    return {
        "logistic": (LogisticRegression(), labels, offset, of_logistic),
        "binomial cloglog": (glm(family="binomial", link="cloglog"), labels, offset, of_cloglog),
        "negative binomial": (glm(family="negative.binomial", **options), counts, 0.5 * offset, of_nb),
        "negative binomial alone": (glm(family="negative.binomial", **options), counts, None, of_nb),
        "huber": (glm("huber"), skewed, None, lambda y, eta: loss_of("huber", y, eta[:, None])[0]),
        "huber with offsets": (glm("huber"), skewed, offset, lambda y, eta: loss_of("huber", y, eta[:, None])[0]),
        "quantile": (
            glm("quantile", loss_options={"quantile": 0.9, "smoothing": 0.5}), skewed, None,
            lambda y, eta: loss_of("quantile", y, eta[:, None], quantile=0.9, smoothing=0.5)[0] - 0.5 * (0.25 - 0.16),
        ),
    }  # fmt: skip


@pytest.mark.parametrize("intercept", [True, False])
@pytest.mark.parametrize("grid", [True, False], ids=["default grid", "strengths"])
@pytest.mark.parametrize("case", _null_cases())
def test_what_is_explained_is_of_a_null_model_that_is_fitted(case, grid, intercept):
    """Its intercept and the offsets; by a search over the one number."""
    model, y, offset, loss = _null_cases()[case]
    model.set_params(l1_ratio=1.0, fit_intercept=intercept, tol=1e-6)
    shift = np.zeros(N) if offset is None else offset

    def mean_loss(eta):
        return np.average(loss(y, eta + shift), weights=WEIGHT)

    null = mean_loss(np.zeros(N))
    if intercept:
        null = optimize.minimize_scalar(lambda one: mean_loss(np.full(N, one)), bracket=(-1, 1), tol=1e-12).fun
    path = fit_path(model, X, y, WEIGHT, offset=offset, **({"num": 3} if grid else {"strengths": [0.1, 1e-3]}))
    fits = zip(path.coefs.reshape(len(path.coefs), -1), path.intercepts.ravel(), strict=True)
    expected = [1 - mean_loss(X @ coef + level) / null for coef, level in fits]
    np.testing.assert_allclose(path.explained, expected, atol=1e-7)
    if grid:
        assert path.explained[0] == pytest.approx(0.0, abs=1e-7)


def test_a_null_model_that_is_not_there_is_told_as_not_known():
    y = np.exp(0.1 * X[:, 0])
    model = GeneralizedLinearRegressor(family="gamma", link="inverse", fit_intercept=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = fit_path(model, np.abs(X) + 0.1, y, strengths=[0.1])
    assert np.isnan(path.explained).all()
    path = fit_path(GeneralizedLinearRegressor(), X, np.ones(N), strengths=[0.1])
    assert np.isnan(path.explained).all()  # there is nothing to explain
    weight = np.random.default_rng(0).uniform(0.2, 3, N)
    path = fit_path(GeneralizedLinearRegressor(), X, np.full(N, 0.1), weight, strengths=[0.1])
    assert np.isnan(path.explained).all()  # nor is what rounding leaves of the variance


class Axes:
    """What is drawn, as matplotlib's axes are told it."""

    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        return lambda *values, **options: self.told.append((name, values, options))


def test_plots_are_drawn_on_the_axes_that_are_given():
    found = cross_validate(Lasso(engine="serial"), X, ETA, strengths=[0.1, 1.0, 0.01], folds=3)
    axes = Axes()
    assert found.plot(axes) is axes
    (name, (strengths, mean, error), _), best, one_se, labels, _ = axes.told
    assert name == "errorbar"
    np.testing.assert_array_equal(strengths, [1.0, 0.1, 0.01])
    np.testing.assert_array_equal((mean, error), (found.mean, found.standard_error))
    assert best[1] == (strengths[found.best],)
    assert one_se[1] == (strengths[found.one_se],)
    assert labels[2]["xscale"] == "log"
    axes = Axes()
    assert found.path.plot(axes) is axes
    np.testing.assert_array_equal(axes.told[0][1][1], [model.coef_ for model in found.path.models])
    assert str(found) == found.table()
    assert str(found.path) == found.path.table()


FAR_OFF = {
    "a value": ("squared", 1e6, 0.0),
    "a target": ("squared", 0.0, 1e6),
    "a count": ("poisson", 0.0, 1e7),
    "a value among counts": ("poisson", 1e6, 0.0),
    "a level": ("squared", None, 0.0),
}


@pytest.mark.parametrize("kind", FAR_OFF)
def test_replicates_without_a_row_that_is_far_off_know_nothing_of_it(kind):
    """Neither by the Hessian of all rows, of which it is most, nor by what is small beside F of its null model."""
    loss, of_column, of_target = FAR_OFF[kind]
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    eta = 0.8 * X[:, 0] - 0.5 * X[:, 1]
    y = rng.poisson(np.exp(eta)).astype(float) if loss == "poisson" else eta + 0.5 * rng.standard_normal(60)
    if of_column is None:
        X[:, 0] = np.arange(60) < 2
    X[7, 0] += of_column or 0.0
    y[7] += of_target
    model = GeneralizedLinearRegressor(loss, engine="serial")
    told = bootstrap(model, X, y, n=12, seed=0)
    seen = 0
    for number in range(12):
        weight = Draw("bootstrap", number, seed=0).weights(0, 60)
        own = clone(model).fit(X, y, weight)
        assert told.statuses[number] == "converged"
        some = weight > 0
        values = [
            np.average(loss_of(loss, y[some], (X[some] @ coef + level)[:, None])[0], weights=weight[some])
            for coef, level in ((told.coefs[number], told.intercepts[number]), (own.coef_, own.intercept_))
        ]
        least = np.average(y - xlogy(y, y), weights=weight) if loss == "poisson" else 0.0
        assert values[0] - values[1] <= 3e-6 * (values[1] - least)
        seen += weight[7] == 0
    assert seen > 2


def test_what_fits_without_a_fold_are_measured_by_is_of_their_rows():
    X, y = np.random.default_rng(1).standard_normal((90, 2)), np.random.default_rng(2).poisson(2.0, 90) * 1.0
    y[3] = 1e6
    placed = SerialEngine().place(Linear("poisson"), array_sources(X, y, blocks=3))
    objective = Objective(placed, variables=Standardized(placed.schema, 1))
    draws = [Draw("only", part, 3, 5) for part in range(3)]
    for numbers in ([0], [1, 2], [0, 1, 2]):
        taken = sum(draws[number].weights(0, 90) for number in numbers) > 0
        own = SerialEngine().place(Linear("poisson"), array_sources(X[taken], y[taken])).parameters
        ((least, null),) = NullsOfDraws(objective, draws).of([numbers])
        np.testing.assert_allclose((least, null), (own.least, own.null), rtol=1e-12)
    assert objective.num_setup_passes == 4
