"""Estimators around networks: against models that are solved in other ways, and in the hands of scikit-learn."""

import importlib
import pickle
import re
import sys
import warnings
from inspect import Parameter, signature

import dask.dataframe
import keras
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.metrics import log_loss, r2_score
from sklearn.model_selection import GridSearchCV, KFold, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

from fullbatch import (
    DataError,
    EarlyStopping,
    GeneralizedLinearRegressor,
    History,
    JaxClassifier,
    JaxEstimator,
    JaxRegressor,
    KerasClassifier,
    KerasRegressor,
    LogisticRegression,
    ModelError,
    ModelFileError,
    PoissonRegressor,
    Ridge,
    TorchClassifier,
    TorchRegressor,
    array_sources,
    load_model,
    table_sources,
)
from fullbatch.errors import DamagedError
from fullbatch.saving import files

X, Y = load_iris(return_X_y=True)
X = (X - X.mean(axis=0)) / X.std(axis=0)
N = len(Y)
WEIGHT = np.random.default_rng(0).uniform(0.2, 2.0, N)
DOUBLE = {"dtype": torch.float64}
TIGHT = {"tol": 1e-14, "engine": "serial", "random_state": 0}


def line(n_features, n_outputs):
    return torch.nn.Linear(n_features, n_outputs, **DOUBLE)


def mlp(n_features, n_outputs, hidden=4):
    return torch.nn.Sequential(
        torch.nn.Linear(n_features, hidden, **DOUBLE), torch.nn.Tanh(), torch.nn.Linear(hidden, n_outputs, **DOUBLE)
    )


def one_logit(n_features):
    return torch.nn.Linear(n_features, 1, **DOUBLE)


def quick(kind=TorchClassifier, module=mlp, **options):
    return kind(module, **{"alpha": 1e-2, "random_state": 0, "engine": "serial", **options})


class Small(torch.nn.Sequential):
    """As `mlp`; unlike a function's, its name in the tests' names is the same in every process."""

    def __init__(self, n_features, n_outputs):
        super().__init__(*mlp(n_features, n_outputs))


@pytest.mark.slow
@parametrize_with_checks([quick(module=Small, max_iter=200), quick(TorchRegressor, Small, tol=1e-15, max_iter=3000)])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


# --- the same models, solved in another way --------------------------------------------------------------------------


@pytest.mark.parametrize("class_weight", [None, "balanced", {0: 3.0, 2: 0.4}], ids=str)
def test_one_layer_is_a_softmax_regression(class_weight):
    options = {"class_weight": class_weight}
    wanted = LogisticRegression(l2=0.01, tol=1e-8, **options).fit(X, Y, WEIGHT)
    model = TorchClassifier(line, alpha=0.01, **options, **TIGHT).fit(X, Y, WEIGHT)
    assert_allclose(model.weights_["weight"], wanted.coef_, atol=1e-5)
    assert_allclose(model.predict_proba(X), wanted.predict_proba(X), atol=1e-5)
    assert_array_equal(model.predict(X), wanted.predict(X))
    found, expected = (one.evaluate(X, Y, WEIGHT) for one in (model, wanted))
    assert found == pytest.approx(expected, rel=1e-6)
    assert model.score(X, Y, WEIGHT) == found["accuracy"]


def test_one_logit_is_a_logistic_regression_and_two_are_their_difference():
    y = np.where(Y == 1, "b", "a")
    wanted = LogisticRegression(l2=0.01, tol=1e-8).fit(X, y)
    one = TorchClassifier(one_logit, alpha=0.01, **TIGHT).fit(X, y)
    two = TorchClassifier(line, alpha=0.02, **TIGHT).fit(X, y)  # the difference of w and -w costs half as much
    for model in (one, two):
        assert_allclose(model.decision_function(X), wanted.decision_function(X), atol=1e-4)
        assert_allclose(model.predict_proba(X), wanted.predict_proba(X), atol=1e-5)
        assert_array_equal(model.predict(X), wanted.predict(X))
    assert_allclose(np.exp(one.predict_log_proba(X)), wanted.predict_proba(X), atol=1e-5)


@pytest.mark.parametrize(
    ("loss", "wanted"),
    [
        ("squared", Ridge(alpha=0.01 * WEIGHT.sum(), tol=1e-8)),
        ("huber", GeneralizedLinearRegressor("huber", alpha=0.01, loss_options={"delta": 1.0}, tol=1e-8)),
        ("poisson", PoissonRegressor(alpha=0.01, tol=1e-8)),
    ],
)
def test_one_layer_is_a_linear_regression(loss, wanted):
    y = np.random.default_rng(1).poisson(np.exp(0.5 + X @ [0.3, -0.2, 0.1, 0.4])).astype(float)
    y[:5] += 20.0
    wanted.fit(X, y, WEIGHT)
    model = TorchRegressor(line, loss, alpha=0.01, **TIGHT).fit(X, y, WEIGHT)
    assert_allclose(model.weights_["weight"][0], wanted.coef_, atol=1e-4)
    assert_allclose(model.predict(X), wanted.predict(X), rtol=1e-4, atol=1e-4)
    assert model.score(X, y, WEIGHT) == pytest.approx(r2_score(y, wanted.predict(X), sample_weight=WEIGHT), rel=1e-4)


def targets():
    return np.column_stack((X @ [1.0, 2.0, -1.0, 0.5], X[:, 0] ** 2, np.abs(X[:, 1])))


@pytest.mark.parametrize("kind", [TorchRegressor, JaxRegressor, KerasRegressor])
def test_code_and_loss_are_given_by_position(kind):
    parameters = [*signature(kind).parameters.values()]
    given = [one.name for one in parameters if one.kind is not Parameter.KEYWORD_ONLY]
    assert given[-1] == "loss"
    model = kind(*given)
    assert [getattr(model, name) for name in given] == given


def test_several_targets_are_as_many_fits(tmp_path):
    y, names = targets(), ["f", "g", "h"]
    wanted = [Ridge(alpha=0.01 * WEIGHT.sum(), tol=1e-8).fit(X, one, WEIGHT) for one in y.T]
    predicted = np.column_stack([one.predict(X) for one in wanted])
    frame = pd.DataFrame(X, columns=list("abcd"))
    both = pd.concat((frame, pd.DataFrame(y, columns=names)), axis=1)
    fits = [(X, y, X), (sp.csr_array(X), y, X), (frame, both[names], frame), (both, names, frame)]
    for given, target, rows in fits:
        model = TorchRegressor(line, alpha=0.01, **TIGHT).fit(given, target, WEIGHT)
        assert model.n_targets_ == 3
        assert_allclose(model.predict(rows), predicted, atol=1e-4)
        r2 = r2_score(y, model.predict(rows), sample_weight=WEIGHT)
        assert model.score(given, target, WEIGHT) == pytest.approx(r2, rel=1e-9)
    measured = model.evaluate(both, names, WEIGHT)
    assert measured["rmse"] == pytest.approx(
        np.sqrt(np.average((y - predicted) ** 2, axis=0, weights=WEIGHT)).mean(), rel=1e-4
    )
    assert measured["mae"] == pytest.approx(np.average(np.abs(y - predicted), axis=0, weights=WEIGHT).mean(), rel=1e-4)
    assert model.write_predictions(frame, tmp_path / "p.parquet") == N
    assert pd.read_parquet(tmp_path / "p.parquet").columns.tolist() == [f"prediction_{j}" for j in range(3)]
    model.save(tmp_path / "m.fb")
    assert_array_equal(load_model(tmp_path / "m.fb", module=line).predict(frame), model.predict(frame))
    region = frame.assign(kind=np.where(Y == 0, "u", "v"))
    with_levels = TorchRegressor(line, alpha=0.01, **TIGHT).fit(region, y)
    dummies = np.column_stack((X, Y == 0, Y != 0))
    assert_allclose(
        with_levels.predict(region),
        TorchRegressor(line, alpha=0.01, **TIGHT).fit(dummies, y).predict(dummies),
        atol=1e-5,
    )


def test_objective_and_gradient_are_those_of_plain_torch():
    model = quick(tol=1e-10).fit(X, Y, WEIGHT)
    module, weight = model.module_, torch.tensor(WEIGHT)
    losses = torch.nn.functional.cross_entropy(module(torch.tensor(X)), torch.tensor(Y), reduction="none")
    weights = [one for name, one in module.named_parameters() if "weight" in name]
    F = (weight * losses).sum() / weight.sum() + 0.5 * 1e-2 * sum((one**2).sum() for one in weights)
    assert model.result_.value == pytest.approx(F.item(), rel=1e-12)
    F.backward()
    slopes = np.concatenate([one.grad.numpy().ravel() for one in module.parameters()])
    assert_allclose(model.result_.grad, slopes, atol=1e-12)
    assert np.abs(slopes).max() < 1e-4
    assert model.result_.known_by == "estimate"
    assert "nothing else is known of such a model" in model.result_.message
    assert model.evaluate(X, Y)["cross_entropy"] == pytest.approx(log_loss(Y, model.predict_proba(X)), rel=1e-9)
    assert_allclose(np.concatenate([one.ravel() for one in model.weights_.values()]), model.theta_, rtol=0)


def test_predictions_are_of_values_times_their_scale():
    model = quick(tol=1e-2).fit(X, Y)
    for scale in (0.0, 0.5, 1.0):
        assert_allclose(model.predict_proba(array_sources(X, scale=scale)), model.predict_proba(scale * X), rtol=1e-12)


# --- modules, seeds and starts ---------------------------------------------------------------------------------------


def test_a_module_is_copied_and_the_fit_begins_with_its_weights():
    module = mlp(4, 3)
    before = {name: one.clone() for name, one in module.state_dict().items()}
    model = TorchClassifier(module, engine="serial")
    assert clone(model).get_params()["module"] is not module
    with pytest.warns(ConvergenceWarning, match="not-converged"):
        still = clone(model).set_params(max_iter=0).fit(X, Y)
    with torch.no_grad():
        assert_allclose(still.predict_proba(X), torch.softmax(module(torch.tensor(X)), 1).numpy(), rtol=1e-12)
    fitted, again = model.fit(X, Y), clone(model).fit(X, Y)
    assert_array_equal(fitted.theta_, again.theta_)
    assert fitted.module is module
    for name, value in module.state_dict().items():
        assert torch.equal(value, before[name])
    assert not torch.equal(fitted.module_[0].weight, module[0].weight)
    assert not hasattr(clone(fitted), "theta_")
    with torch.no_grad():
        logits = fitted.module_(torch.tensor(X)).numpy()
    assert_array_equal(fitted.predict(X), logits.argmax(axis=1))


def test_seeds():
    state = torch.random.get_rng_state()
    first, second, other = (quick(random_state=seed, tol=1.0).fit(X, Y) for seed in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert_array_equal(first.theta_, second.theta_)
    assert first.seed_ == second.seed_ != other.seed_
    assert not np.array_equal(first.theta_, other.theta_)
    unseeded = [quick(random_state=None, tol=1.0).fit(X, Y).theta_ for _ in range(2)]
    assert not np.array_equal(*unseeded)


class Net(torch.nn.Module):
    """A class is a function too; it has other parameters, with defaults."""

    def __init__(self, n_outputs, width=3, *, n_features):
        super().__init__()
        self.inner, self.outer = torch.nn.Linear(n_features, width), torch.nn.Linear(width, n_outputs)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x)))


def test_functions_are_given_what_they_ask_for():
    assert quick(module=Net).fit(X, Y).weights_["outer.weight"].shape == (3, 3)
    assert quick(module=lambda: mlp(4, 3)).fit(X, Y).score(X, Y) > 0.9
    with pytest.raises(TypeError, match="module needs an argument 'width', which nobody gives: it is called with"):
        quick(module=lambda n_features, width: mlp(n_features, width)).fit(X, Y)
    with pytest.raises(TypeError, match=r"module must be a torch.nn.Module, or a function or class .* got 3"):
        quick(module=3).fit(X, Y)


def test_warm_start_callbacks_and_checkpoints(tmp_path):
    model = quick(warm_start=True, tol=1e-8).fit(X, Y)
    first = model.n_iter_
    assert model.fit(X, Y).n_iter_ < first / 2
    for wrong in ((X[:, :3], Y), (X, Y + 1), (X, Y > 0)):
        with pytest.raises(ValueError, match="warm_start: the network, the classes or the features are not those"):
            model.fit(*wrong)
    history = History()
    kept = quick(callbacks=[history], checkpoint=tmp_path / "run").fit(X, Y)
    assert len(history.value) == kept.n_iter_ + 1
    resumed = quick(checkpoint=tmp_path / "run").fit(X, Y)
    assert resumed.result_.resumed_at == kept.n_iter_
    assert_array_equal(resumed.theta_, kept.theta_)
    several = quick(TorchRegressor, warm_start=True, tol=1e-3).fit(X, targets())
    with pytest.raises(ValueError, match="warm_start: 1 targets, the last fit had 3"):
        several.fit(X, Y)
    assert several.n_targets_ == 3


# --- data ------------------------------------------------------------------------------------------------------------


def test_rows_of_any_kind_and_any_blocks():
    wanted = quick().fit(X, Y, WEIGHT)
    frame = pd.DataFrame(X, columns=list("abcd"))
    named = frame.assign(y=Y, w=WEIGHT)
    for model, rows in (
        (quick().fit(array_sources(X, Y, WEIGHT)), array_sources(X)),
        (quick().fit(table_sources(named, target="y", weight="w")), frame),
        (quick().fit(frame.assign(y=Y), "y", WEIGHT), frame[list("dcba")]),
        (quick(engine="threads").fit(X, Y, WEIGHT), sp.csr_array(X)),
    ):
        assert_array_equal(model.theta_, wanted.theta_)
        assert_allclose(model.predict_proba(rows), wanted.predict_proba(X), rtol=1e-12)
    cut = [quick(engine=engine).fit(array_sources(X, Y, WEIGHT, blocks=5)).theta_ for engine in ("serial", "threads")]
    assert cut[0].tobytes() == cut[1].tobytes()
    with_levels = frame.assign(kind=np.where(X[:, 0] > 0, "u", "v"))
    model = quick().fit(with_levels, Y)
    dummies = np.column_stack((X, X[:, 0] <= 0, X[:, 0] > 0))[:, [0, 1, 2, 3, 5, 4]]
    assert_allclose(model.predict_proba(with_levels), quick().fit(dummies, Y).predict_proba(dummies), atol=1e-9)
    with pytest.raises(DataError, match="unknown level 'w'"):
        model.predict(with_levels.replace("v", "w"))
    assert list(model.feature_names_in_) == [*"abcd", "kind"]


def test_scikit_learn_is_told_that_networks_take_sparse_rows():
    assert get_tags(quick()).input_tags.sparse
    assert get_tags(quick(TorchRegressor)).input_tags.sparse


def test_predictions_for_dask_stay_with_dask():
    frame = pd.DataFrame(X, columns=list("abcd"))
    spread = dask.dataframe.from_pandas(frame, npartitions=2)
    models = (quick(tol=1.0).fit(frame, Y), quick(tol=1.0).fit(frame, Y == 1))
    for model in models:
        found = model.predict_proba(spread, lazy=True).compute(scheduler="sync")
        assert_allclose(found, model.predict_proba(frame), rtol=1e-12)
        assert_array_equal(model.predict(spread, lazy=True).compute(scheduler="sync"), model.predict(frame))
    several = quick(TorchRegressor, tol=1.0).fit(frame, targets())
    found = several.predict(spread, lazy=True).compute(scheduler="sync")
    assert found.columns.tolist() == [f"prediction_{j}" for j in range(3)]
    assert_allclose(found, several.predict(frame), rtol=1e-12)


@pytest.mark.slow
def test_ray_gives_the_same_bytes():
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers cannot import tests
    from fullbatch import RayEngine

    engine = RayEngine(num_workers=2)
    try:
        for module in (mlp, mlp(4, 3)):
            torch.manual_seed(0)
            sources = array_sources(X, Y, WEIGHT, blocks=3)
            model = quick(module=module, engine=engine).fit(sources)
            assert model.theta_.tobytes() == quick(module=module).fit(sources).theta_.tobytes()
            assert_array_equal(model.predict(array_sources(X, blocks=2)), model.predict(X))
            assert model.score(sources) == model.score(X, Y, WEIGHT)
        several = quick(TorchRegressor, engine=engine).fit(X, targets())
        assert several.theta_.tobytes() == quick(TorchRegressor).fit(X, targets()).theta_.tobytes()
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("model", "y", "why"),
    [
        (quick(module=lambda: mlp(4, 2)), Y, r"outputs of shape \(4, 2\) for 4 rows: 3 classes need 3 for each row"),
        (quick(module=lambda: mlp(4, 3)), Y > 0, r"shape \(4, 3\) for 4 rows: 2 classes need 2 for each row, or 1"),
        (quick(module=lambda: mlp(5, 3)), Y, "the network fails on rows of 4 features: .*shapes cannot be multiplied"),
        (
            quick(module=lambda: torch.nn.Sequential(mlp(4, 3), torch.nn.Softmax(dim=1))),
            Y,
            "outputs must be logits.*leave out the softmax",
        ),
        (quick(TorchRegressor, module=lambda: mlp(4, 2)), X[:, 0], r"1 target\(s\) need as many"),
        (quick(loss=lambda outputs, y: outputs.mean()), Y, r"the loss has shape \(\), it must give one number per row"),
        (quick(loss="hinge"), Y, "loss must be 'cross_entropy' or a function, got 'hinge'"),
        (quick(alpha=-1.0), Y, "alpha must be a number of 0 or more"),
        (quick(chunk_rows=0), Y, "chunk_rows must be at least 1"),
        (quick(penalized=3), Y, "penalized must be a function of a parameter's name, or None, got 3"),
        (quick(tol=-1), Y, "tol must be a finite number"),
        (quick(class_weight="even"), Y, "class_weight must be 'balanced' or a mapping, got 'even'"),
        (quick(), np.zeros(N), "the data has one class only"),
        (quick(TorchRegressor), np.where(targets() > 5, np.nan, targets()), "target y, column 0, contains NaN"),
        (quick(TorchRegressor), np.full((N, 2), "a"), "column 0 of target y must be numbers, not 'a'"),
    ],
)
def test_what_cannot_be_fitted_is_refused(model, y, why):
    if "NaN" in why:
        y = targets()
        y[7, 0] = np.nan
    with pytest.raises((ValueError, ModelError), match=why):
        model.fit(X, y)
    with pytest.raises(NotFittedError, match="is not fitted yet"):
        model.predict(X)


def test_several_targets_of_rows_elsewhere_and_offsets_are_refused():
    with pytest.raises(DataError, match="several targets must be in memory beside rows in memory, X is a list"):
        quick(TorchRegressor).fit(array_sources(X), targets())
    with pytest.raises(DataError, match="a network has no use for an offset: give it as a column of X"):
        quick().fit(array_sources(X, Y, offset=WEIGHT))
    with pytest.raises(TypeError, match="JaxEstimator is what JaxClassifier and JaxRegressor share"):
        JaxEstimator(dict, dict).fit(X, Y)


# --- scikit-learn's tools, and files ---------------------------------------------------------------------------------


def test_tools_of_scikit_learn():
    grid = {"torchclassifier__module": [one_logit, mlp], "torchclassifier__alpha": [1e-2, 1.0]}
    search = GridSearchCV(
        make_pipeline(StandardScaler(), quick(tol=1e-3)), grid, cv=KFold(2, shuffle=True, random_state=0)
    )
    assert search.fit(X, Y == 1).best_params_["torchclassifier__module"] is mlp  # a line does not tell the middle class
    assert search.best_score_ > 0.85 > search.cv_results_["mean_test_score"][0]
    module = mlp(4, 3)
    proba = cross_val_predict(quick(module=module, tol=1e-3), X, Y, method="predict_proba", cv=3)
    assert (proba.argmax(axis=1) == Y).mean() > 0.9
    assert CalibratedClassifierCV(quick(tol=1e-3), cv=2).fit(X, Y).score(X, Y) > 0.9
    assert OneVsRestClassifier(quick(module=one_logit, tol=1e-3)).fit(X, Y).score(X, Y) > 0.7
    model = quick(module=module).fit(X, Y)
    again = pickle.loads(pickle.dumps(model))
    assert_array_equal(again.predict_proba(X), model.predict_proba(X))
    assert "Sequential" in repr(model)
    assert "estimator" in model._repr_html_()


def half(outputs, y):
    return 0.5 * torch.nn.functional.cross_entropy(outputs, y, reduction="none")


def no_penalty(name):
    return False


def normed(n_features, n_outputs):
    return torch.nn.Sequential(torch.nn.BatchNorm1d(n_features), torch.nn.Linear(n_features, n_outputs))


def test_weights_are_saved_and_code_is_given_again(tmp_path):
    path = tmp_path / "model.fb"
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=np.where(X[:, 0] > 0, "u", "v"))
    labels = np.array(["r", "s", "t"])[Y]
    model = quick(loss=half, penalized=no_penalty, class_weight={"r": 2.0}, unknown="ignore").fit(frame, labels)
    model.save(path)
    assert b"pickle" not in path.read_bytes()
    code = {"module": mlp, "loss": half, "penalized": no_penalty}
    loaded = load_model(path, **code)
    assert_array_equal(loaded.predict_proba(frame), model.predict_proba(frame))
    assert loaded.get_params() == {**model.get_params(), "engine": "threads", "random_state": None}
    for name in ("theta_", "classes_", "feature_names_in_", "n_iter_", "seed_", "status_", "n_samples_fit_"):
        assert_array_equal(getattr(loaded, name), getattr(model, name))
    loaded.save(tmp_path / "again.fb")
    with pytest.raises(ModelFileError, match=r"no code: give module= as it was.*loss=\.\.\., penalized="):
        load_model(path)
    with pytest.raises(ModelFileError, match="no code: give penalized="):
        load_model(path, module=mlp, loss=half)
    with pytest.raises(ValueError, match="apply is no code of this TorchClassifier, which has module, loss, penalized"):
        load_model(path, apply=half, **code)
    wider = {**code, "module": lambda n_features, n_outputs: mlp(n_features, n_outputs, 5)}
    with pytest.raises(ModelFileError, match=r"another network: where the fit had '0.weight' of shape \(4, 6\),"):
        load_model(path, **wider)
    deeper = {**code, "module": lambda n_features, n_outputs: mlp(n_features, n_outputs).append(torch.nn.Linear(3, 3))}
    with pytest.raises(ModelFileError, match="another network: it has 6 trained arrays, the fit had 4"):
        load_model(path, **deeper)
    kind, arrays, values = files.read(path)
    files.write(tmp_path / "zero.fb", kind, arrays, {**values, "seed": 0})
    assert load_model(tmp_path / "zero.fb", **code).seed_ == 0
    files.write(tmp_path / "none.fb", kind, arrays, {**values, "outputs": 0})
    with pytest.raises(DamagedError, match="outputs must be a whole number from 1"):
        load_model(tmp_path / "none.fb", **code)
    LogisticRegression().fit(X, Y).save(tmp_path / "linear.fb")
    with pytest.raises(ValueError, match="holds a LogisticRegression, all of which is in the file: leave module out"):
        load_model(tmp_path / "linear.fb", module=mlp)


def test_arrays_that_are_not_trained_are_compared(tmp_path):
    module = normed(4, 3)
    module[0].running_mean += 0.5
    model = TorchClassifier(module, alpha=1e-2, engine="serial").fit(X, Y)
    model.save(tmp_path / "model.fb")
    assert_array_equal(load_model(tmp_path / "model.fb", module=module).predict_proba(X), model.predict_proba(X))
    with pytest.raises(ModelFileError, match=r"not trained \(0.running_mean, .*others than in the fit"):
        load_model(tmp_path / "model.fb", module=normed)


# --- other frameworks ------------------------------------------------------------------------------------------------


def keras_mlp(n_features, n_outputs):
    return keras.Sequential(
        [keras.Input((n_features,)), keras.layers.Dense(4, activation="tanh"), keras.layers.Dense(n_outputs)]
    )


def keras_line(n_features, n_outputs):
    return keras.Sequential([keras.Input((n_features,)), keras.layers.Dense(n_outputs)])


def jax_mlp(key, n_features, n_outputs):
    import jax

    first, second = jax.random.split(key)
    return {
        "inner": {"kernel": jax.random.normal(first, (n_features, 4)), "bias": np.zeros(4, np.float32)},
        "outer": {"kernel": jax.random.normal(second, (4, n_outputs)), "bias": np.zeros(n_outputs, np.float32)},
    }


def jax_line(n_features, n_outputs):
    return {"outer": {"kernel": np.zeros((n_features, n_outputs), np.float32), "bias": np.zeros(n_outputs, np.float32)}}


def jax_apply(parameters, X):
    import jax.numpy as jnp

    inner = parameters.get("inner")
    X = X if inner is None else jnp.tanh(X @ inner["kernel"] + inner["bias"])
    return X @ parameters["outer"]["kernel"] + parameters["outer"]["bias"]


KINDS = {
    "jax": (JaxClassifier, JaxRegressor, lambda net: (net, jax_apply), jax_mlp, jax_line, ("parameters", "apply")),
    "keras": (KerasClassifier, KerasRegressor, lambda net: (net,), keras_mlp, keras_line, ("model",)),
}


@pytest.mark.parametrize("framework", KINDS)
def test_other_frameworks_in_short(framework, tmp_path):
    classifier, _, code, net, _, names = KINDS[framework]
    model = classifier(*code(net), tol=1.0, random_state=0, engine="serial").fit(X, Y == 1)
    model.save(tmp_path / "model.fb")
    loaded = load_model(tmp_path / "model.fb", **dict(zip(names, code(net), strict=True)))
    assert_array_equal(loaded.decision_function(X), model.decision_function(X))
    assert loaded.score(X, Y == 1) == model.score(X, Y == 1)
    assert not hasattr(clone(model), "theta_")


@pytest.mark.slow
@pytest.mark.parametrize("framework", KINDS)
def test_other_frameworks(framework, tmp_path):
    classifier, _, code, net, linear, names = KINDS[framework]
    options = {"alpha": 0.01, "engine": "serial", "random_state": 0}
    model = classifier(*code(net), **options).fit(X, Y, WEIGHT)
    assert model.score(X, Y) > 0.95
    assert_array_equal(clone(model).fit(X, Y, WEIGHT).theta_, model.theta_)
    assert clone(model).set_params(random_state=1).fit(X, Y, WEIGHT).seed_ != model.seed_
    trained = model.parameters_ if framework == "jax" else model.model_
    instance = classifier(*code(trained), **options, max_iter=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        still = clone(instance).fit(X, Y)
    assert_allclose(still.predict_proba(X), model.predict_proba(X), rtol=1e-5)
    assert_array_equal(pickle.loads(pickle.dumps(still)).predict_proba(X), still.predict_proba(X))
    model.save(tmp_path / "model.fb")
    loaded = load_model(tmp_path / "model.fb", **dict(zip(names, code(net), strict=True)))
    assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    with pytest.raises(ModelFileError, match="another network"):
        load_model(tmp_path / "model.fb", **dict(zip(names, code(linear), strict=True)))


@pytest.mark.parametrize("framework", ["torch", *KINDS])
def test_poissons_loss_takes_no_negative_targets(framework):
    _, regressor, code, net, *_ = KINDS.get(framework, (None, TorchRegressor, lambda net: (net,), mlp))
    model = regressor(*code(net), loss="poisson", random_state=0, engine="serial", max_iter=2, tol=1.0)
    y = np.arange(float(N))
    y[7] = -2.0
    with pytest.raises(DataError, match=r"row 7: the target y is -2, the poisson loss takes targets at least 0"):
        model.fit(X, y)
    several = np.column_stack((np.abs(y), y))
    with pytest.raises(DataError, match="row 7: the target y, column 1, is -2, the poisson loss takes targets"):
        model.fit(X, several)
    with pytest.warns(ConvergenceWarning, match="max_iter"):
        model.set_params(loss="huber").fit(X, y)


@pytest.mark.slow
@pytest.mark.parametrize("framework", KINDS)
def test_one_layer_of_other_frameworks_is_a_linear_model(framework):
    classifier, regressor, code, _, linear, _ = KINDS[framework]
    options = {"alpha": 0.01, "engine": "serial", "random_state": 0}
    tight = {**options, "tol": 1e-9}
    wanted = LogisticRegression(l2=0.01, tol=1e-8).fit(X, Y)
    assert_allclose(classifier(*code(linear), **tight).fit(X, Y).predict_proba(X), wanted.predict_proba(X), atol=2e-3)
    y = targets()
    several = regressor(*code(linear), **tight).fit(X, y)
    ridges = [Ridge(alpha=0.01 * N, tol=1e-8).fit(X, one).predict(X) for one in y.T]
    assert_allclose(several.predict(X), np.column_stack(ridges), atol=2e-2)
    assert several.score(X, y) == pytest.approx(r2_score(y, several.predict(X)), rel=1e-6)
    counts = np.round(np.exp(y[:, 2]))
    poisson = regressor(*code(linear), loss="poisson", **tight).fit(X, counts)
    assert_allclose(poisson.predict(X), PoissonRegressor(alpha=0.01, tol=1e-8).fit(X, counts).predict(X), rtol=1e-2)
    huber = regressor(*code(linear), loss="huber", **tight).fit(X, counts)
    theirs = GeneralizedLinearRegressor("huber", alpha=0.01, loss_options={"delta": 1.0}, tol=1e-8).fit(X, counts)
    assert_allclose(huber.predict(X), theirs.predict(X), atol=2e-2)


@pytest.mark.parametrize("framework", KINDS)
def test_losses_of_other_frameworks_are_their_formulas(framework):
    """Of each row, of several targets the sum; keras tells the targets first."""
    file = importlib.import_module(f"fullbatch.estimators.{framework}_")
    rng = np.random.default_rng(0)
    several, targets = rng.standard_normal((7, 2)).astype(np.float32), rng.poisson(2.0, (7, 2)).astype(np.float32)
    away = np.abs(several - targets)
    expected = {
        "_squared": away**2 / 2,
        "_huber": np.where(away <= 1.0, away**2 / 2, away - 0.5),
        "_poisson": np.exp(several) - targets * several,
    }
    for name, each in expected.items():
        loss = getattr(file, name)
        for outputs, y, of_rows in ((several, targets, each.sum(axis=1)), (several[:, 0], targets[:, 0], each[:, 0])):
            order = (y, outputs) if framework == "keras" else (outputs, y)
            if framework == "keras":
                order = tuple(keras.ops.convert_to_tensor(one) for one in order)
            assert_allclose(np.asarray(loss(*order)), of_rows, rtol=1e-5, atol=1e-6)
    labels = np.array([0, 1, 1, 0, 1, 0, 0])
    if framework == "keras":  # as Keras has them, where outputs are columns
        order = labels[:, None], keras.ops.convert_to_tensor(several[:, :1])
    else:
        order = several[:, 0], labels
    wanted = np.log1p(np.exp(several[:, 0])) - labels * several[:, 0]
    assert_allclose(np.asarray(file._cross_entropy(*order)), wanted, rtol=1e-5, atol=1e-6)


def test_a_model_is_copied_with_its_weights():
    net = keras_line(4, 3)
    model = KerasRegressor(net, max_iter=0, engine="serial", alpha=0.1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, targets())
    assert_allclose(model.predict(X), net.predict(X, verbose=0), rtol=1e-5, atol=1e-6)
    assert model.model_ is not net
    parameters = jax_line(4, 3)
    parameters["outer"]["bias"] += 2.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        of_jax = JaxRegressor(parameters, jax_apply, max_iter=0, engine="serial").fit(X, targets())
    assert_allclose(of_jax.predict(X), np.full((N, 3), 2.0), rtol=1e-6)


@pytest.mark.parametrize("framework", KINDS)
def test_what_other_frameworks_refuse(framework):
    classifier, _, code, net, _, _ = KINDS[framework]
    with pytest.raises((TypeError, ValueError), match=re.escape("loss must be 'cross_entropy' or a function, got 3")):
        classifier(*code(net), loss=3).fit(X, Y)
    wrong = (3,) if framework == "keras" else (net, 3)
    with pytest.raises(TypeError, match=r"apply must be a function|model must be a keras.Model"):
        classifier(*wrong).fit(X, Y)


@pytest.mark.parametrize(
    ("kind", "code"),
    [(TorchClassifier, (Net,)), (JaxClassifier, (jax_mlp, jax_apply)), (KerasClassifier, (keras_mlp,))],
)
def test_early_stopping_keeps_the_weights_that_predict_validation_rows_best(kind, code):
    rng = np.random.default_rng(5)
    rows, held = rng.normal(size=(60, X.shape[1])), rng.normal(size=(300, X.shape[1]))
    labels, of_held = (np.digitize(one[:, 0] + rng.logistic(size=len(one)), [-0.5, 0.5]) for one in (rows, held))
    stop = EarlyStopping(held, of_held, patience=3)
    options = {"engine": "serial", "solver": "lbfgs", "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it was asked for
        model = kind(*code, callbacks=[stop], **options).fit(rows, labels)
    assert stop.stopped
    assert (model.status_, len(stop.history)) == ("stopped", stop.best_iteration + 4)
    assert model.evaluate(held, of_held)["cross_entropy"] == min(stop.history) == stop.history[stop.best_iteration]
    assert "cross_entropy of the validation rows was best" in model.result_.message
    short = kind(*code, max_iter=stop.best_iteration, **options)
    with pytest.warns(match="not-converged"):
        short.fit(rows, labels)
    assert_allclose(model.theta_, short.theta_, rtol=1e-12)  # where so many iterations end
    with pytest.raises(ValueError, match="patience"):
        kind(*code, callbacks=[EarlyStopping(held, of_held, patience=0)]).fit(rows, labels)


def test_a_network_that_tells_less_than_a_constant_says_so():
    """One layer is a convex problem, and columns of 1 and 1,000 about 5,000 are more than L-BFGS takes at once."""
    rng = np.random.default_rng(9)
    X = rng.normal(size=(300, 2))
    y = np.digitize(0.5 * X[:, 0] - 0.5 * X[:, 1] + rng.logistic(size=300), [-0.5, 1.0])

    def network(n_features, n_outputs):
        return torch.nn.Linear(n_features, n_outputs, dtype=torch.float64)

    weight = np.bincount(y) * [2.0, 1.0, 1.0]
    share = weight / weight.sum()
    options = {"random_state": 0, "class_weight": {0: 2.0}, "engine": "serial", "max_iter": 0}
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        TorchClassifier(network, **options).fit(X * [1.0, 1000.0] + [0.0, 5000.0], y)
    (words,) = (str(one.message) for one in told if "[constant-is-better]" in str(one.message))
    assert f"and {-(share * np.log(share)).sum():.6g} of outputs that are alike for all rows" in words
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TorchClassifier(network, **{**options, "max_iter": 1000}).fit(X, y)
