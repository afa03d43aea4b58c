import numpy as np
import pandas as pd
import polars
import pytest
from formulas import objective_of
from sklearn.base import clone
from sklearn.linear_model import GammaRegressor, HuberRegressor, PoissonRegressor, Ridge, TweedieRegressor
from sklearn.metrics import d2_tweedie_score, mean_tweedie_deviance, r2_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from fullbatch import GeneralizedLinearRegressor, LogisticRegression, array_sources, load_model, table_sources


@parametrize_with_checks([GeneralizedLinearRegressor(engine="serial")])
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def data(n=400, p=5, seed=0):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((n, p)) * 0.4 + np.arange(p) / p
    return X, rng.gamma(2.0, np.exp(X @ np.linspace(-0.5, 0.5, p))), rng.random(n)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    ("loss", "options", "reference"),
    [
        ("squared", None, Ridge(alpha=1.0, tol=1e-12)),
        ("poisson", None, PoissonRegressor(alpha=0.01, tol=1e-12, solver="newton-cholesky")),
        ("gamma", None, GammaRegressor(alpha=0.01, tol=1e-12, solver="newton-cholesky")),
        ("tweedie", {"power": 1.3}, TweedieRegressor(power=1.3, alpha=0.01, tol=1e-12, solver="newton-cholesky")),
    ],
    ids=["squared", "poisson", "gamma", "tweedie"],
)
def test_same_optimum_and_score_as_scikit_learn(loss, options, reference, weighted):
    X, y, weight = data()
    weight = weight if weighted else None
    total = len(y) if weight is None else weight.sum()
    reference = clone(reference)
    if loss == "squared":
        reference.set_params(alpha=0.01 * total)  # scikit-learn's Ridge sums where its GLMs average
    reference.fit(X, y, weight)
    ours = GeneralizedLinearRegressor(loss, loss_options=options, alpha=0.01, tol=1e-9, engine="serial")
    ours.fit(X, y, weight)
    np.testing.assert_allclose(ours.coef_, reference.coef_, atol=1e-7)
    assert ours.intercept_ == pytest.approx(reference.intercept_, abs=1e-7)
    np.testing.assert_allclose(ours.predict(X), reference.predict(X), rtol=1e-6)
    assert ours.score(X, y, weight) == pytest.approx(reference.score(X, y, weight), abs=1e-7)


def test_huber_and_quantile():
    X, y, _ = data(n=2000)
    y[::50] += 100.0
    huber = GeneralizedLinearRegressor("huber", loss_options={"delta": 0.5}, tol=1e-8).fit(X, y)
    # Where its scale is known to be 1, scikit-learn's Huber regression has epsilon for our delta.
    wanted = HuberRegressor(epsilon=1.35, alpha=0.0).fit(X, y)
    rescaled = GeneralizedLinearRegressor("huber", loss_options={"delta": 1.35 * wanted.scale_}, tol=1e-9).fit(X, y)
    np.testing.assert_allclose(rescaled.coef_, wanted.coef_, atol=2e-3)  # as near as theirs ends
    options = {"quantile": 0.9, "smoothing": 0.05}
    upper = GeneralizedLinearRegressor("quantile", loss_options=options, tol=1e-8).fit(X, y)
    assert (y <= upper.predict(X)).mean() == pytest.approx(0.9, abs=0.01)
    for model in (huber, upper):
        theta, every = np.append(model.coef_, model.intercept_), np.ones(len(y))
        value, grad = objective_of(model.loss, X, y, theta, every, 0 * every, **model.loss_options)
        assert np.abs(grad).max() < 1e-6
        assert model.result_.value == pytest.approx(value, rel=1e-10)


def test_measures_against_scikit_learn():
    X, y, weight = data()
    y[::7] = 0.0
    for loss, options, power in (("poisson", None, 1), ("tweedie", {"power": 1.5}, 1.5)):
        model = GeneralizedLinearRegressor(loss, loss_options=options).fit(X, y)
        measured = model.evaluate(X, y, weight)
        predicted = model.predict(X)
        assert measured["d2"] == pytest.approx(d2_tweedie_score(y, predicted, sample_weight=weight, power=power))
        deviance = mean_tweedie_deviance(y, predicted, sample_weight=weight, power=power)
        assert measured["mean_deviance"] == pytest.approx(deviance)
        assert measured["r2"] == pytest.approx(r2_score(y, predicted, sample_weight=weight))
        assert measured["rmse"] == pytest.approx(np.sqrt(np.average((y - predicted) ** 2, weights=weight)))
        assert measured["mae"] == pytest.approx(np.average(np.abs(y - predicted), weights=weight))
        by_blocks = model.evaluate(array_sources(X, y, weight, blocks=7))
        assert by_blocks == pytest.approx(measured, rel=1e-12)


def test_offsets_are_exposures():
    X, y, weight = data()
    exposure = 1.0 + weight
    with_offset = GeneralizedLinearRegressor("poisson", tol=1e-8).fit(array_sources(X, y, offset=np.log(exposure)))
    # A rate with the exposure as weight has the same optimum.
    rate = PoissonRegressor(alpha=0.0, tol=1e-12, solver="newton-cholesky").fit(X, y / exposure, exposure)
    np.testing.assert_allclose(with_offset.coef_, rate.coef_, atol=1e-7)
    predicted = with_offset.predict(array_sources(X, offset=np.log(exposure), blocks=3))
    np.testing.assert_allclose(predicted, rate.predict(X) * exposure, rtol=1e-6)


def test_warm_start_goes_on():
    X, y, _ = data()
    model = GeneralizedLinearRegressor("gamma", warm_start=True, tol=1e-5).fit(X, y)
    first = model.result_.passes
    again = model.fit(X, y).result_
    assert again.first_grad_norm < 1e-4  # the old optimum is where it starts
    assert again.passes < first


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loss": "logistic"}, "unknown loss 'logistic': choose from squared, huber"),
        ({"alpha": -1.0}, "alpha must be a number of 0 or more"),
        ({"loss_options": {"delta": 1.0}}, "the squared loss has no option 'delta'"),
        ({"unknown": "guess"}, 'unknown must be "error", "ignore" or "base"'),
        ({"tol": -1}, "tol must be"),
        ({"tol": np.inf}, "tol must be"),
        ({"loss": "huber", "loss_options": {"delta": 0.0}}, "'delta' must be above 0, got 0.0"),
        ({"engine": 3}, "engine must be"),
    ],
)
def test_wrong_parameters(parameters, message):
    X, y, _ = data()
    with pytest.raises(ValueError, match=message):
        GeneralizedLinearRegressor(**parameters).fit(X, y)


# --- frames with categorical columns ----------------------------------------------------------------------------


def policies(n=300, seed=1):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "region": rng.choice(["n", "s", "w"], n),
            "age": rng.integers(18, 80, n),
            "fuel": pd.Categorical(rng.choice(["diesel", "petrol"], n)),
            "x": rng.standard_normal(n),
        }
    )
    rate = np.exp(0.01 * frame["age"] - 0.5 * (frame["region"] == "s") + 0.3 * frame["x"])
    return frame, rng.poisson(rate)


@pytest.fixture(scope="module")
def fitted():
    frame, claims = policies()
    return GeneralizedLinearRegressor("poisson", alpha=1e-3, tol=1e-7).fit(frame, claims), frame, claims


def test_text_columns_are_one_hot(fitted):
    model, frame, claims = fitted
    assert model.get_feature_names_out().tolist() == [
        "age", "x", "region=n", "region=s", "region=w", "fuel=diesel", "fuel=petrol",
    ]  # fmt: skip
    columns = [frame["age"], frame["x"], *(frame["region"] == r for r in "nsw")]
    columns += [frame["fuel"] == fuel for fuel in ("diesel", "petrol")]
    X = np.column_stack(columns).astype(np.float64)
    wanted = PoissonRegressor(alpha=1e-3, tol=1e-12, solver="newton-cholesky").fit(X, claims)
    np.testing.assert_allclose(model.coef_, wanted.coef_, atol=1e-7)
    np.testing.assert_allclose(model.predict(frame), wanted.predict(X), rtol=1e-6)
    assert model.n_features_in_ == 4
    assert model.feature_names_in_.tolist() == ["region", "age", "fuel", "x"]


def test_predictions_are_the_same_from_frames_sources_and_saved_models(fitted, tmp_path):
    model, frame, claims = fitted
    expected = model.predict(frame)
    model.save(tmp_path / "model.fb")
    again = load_model(tmp_path / "model.fb")
    others = {
        "saved": again.predict(frame),
        "polars": model.predict(polars.from_pandas(frame)),
        "other order": model.predict(frame[["x", "fuel", "region", "age"]]),
        "more columns": model.predict(frame.assign(more=1)),
        "sources": model.predict(table_sources(frame, features=["age", "x", "region", "fuel"], blocks=7)),
        "few rows": np.concatenate([model.predict(frame[:1]), model.predict(frame[1:])]),
    }
    for name, other in others.items():
        np.testing.assert_allclose(other, expected, rtol=1e-13, err_msg=name)
    assert again.score(frame, claims) == model.score(frame, claims)
    assert again.get_feature_names_out().tolist() == model.get_feature_names_out().tolist()


def test_wrong_frames(fitted):
    model, frame, _ = fitted
    with pytest.raises(ValueError, match=r"row 7, column 'region': unknown level 'mars'.*'n', 's', 'w'"):
        model.predict(frame.assign(region=["mars" if row == 7 else "n" for row in range(len(frame))]))
    ignoring = clone(model).set_params(unknown="ignore")
    ignoring.__dict__.update({name: value for name, value in model.__dict__.items() if name.endswith("_")})
    eta = np.log(ignoring.predict(frame.assign(region="mars")))
    np.testing.assert_allclose(eta, np.log(model.predict(frame.assign(region="n"))) - model.coef_[2])
    with pytest.raises(ValueError, match="there is no column 'region'"):
        model.predict(frame[["age", "x", "fuel"]])
    with pytest.raises(ValueError, match="this model has categorical columns: give a frame"):
        model.predict(np.zeros((3, 4)))
    with pytest.raises(ValueError, match="row 3, column 'region': the value is missing"):
        LogisticRegression().fit(frame.assign(region=frame["region"].where(frame.index != 3)), frame["x"] > 0)
    with pytest.raises(ValueError, match="X has 300 rows and the target has 3"):
        LogisticRegression().fit(frame, [0, 1, 1])
