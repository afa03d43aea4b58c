"""What the members of the family are to inference, to paths, and to those without fullbatch."""

import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fullbatch import (
    ElasticNet,
    GammaRegressor,
    GeneralizedLinearRegressor,
    HuberRegressor,
    Lasso,
    LinearRegression,
    LinearSVC,
    PoissonRegressor,
    QuantileRegressor,
    Ridge,
    TweedieRegressor,
    bootstrap,
    cross_validate,
    fit_path,
)

N = 300
RNG = np.random.default_rng(0)
X = RNG.standard_normal((N, 3)) * [1.0, 2.0, 0.5]
ETA = X @ [0.4, -0.3, 0.6] + 0.2
Y = RNG.gamma(2.0, np.exp(ETA) / 2.0)  # positive, as all of these losses allow
TIGHT = {"tol": 1e-8, "engine": "serial"}

# Members of the family, and the same model in the words of `GeneralizedLinearRegressor`: loss, options, alpha.
SAME = [
    (LinearRegression(**TIGHT), "squared", None, 0.0),
    (Ridge(alpha=6.0, **TIGHT), "squared", None, 6.0 / N),
    (PoissonRegressor(alpha=0.1, **TIGHT), "poisson", None, 0.1),
    (GammaRegressor(alpha=0.1, **TIGHT), "gamma", None, 0.1),
    (TweedieRegressor(power=1.3, alpha=0.1, **TIGHT), "tweedie", {"power": 1.3}, 0.1),
    (TweedieRegressor(power=0.0, alpha=0.1, **TIGHT), "squared", None, 0.1),
]


@pytest.mark.parametrize(("model", "loss", "options", "alpha"), SAME, ids=str)
def test_errors_are_those_of_the_same_model_in_other_words(model, loss, options, alpha):
    plain = GeneralizedLinearRegressor(loss, loss_options=options, alpha=alpha, **TIGHT).fit(X, Y)
    wanted, found = plain.inference(X, Y), model.fit(X, Y).inference(X, Y)
    assert_allclose(found.coef, wanted.coef, rtol=1e-6)
    for covariance in ("classical", "HC1"):
        assert_allclose(
            found.with_covariance(covariance).std_err, wanted.with_covariance(covariance).std_err, rtol=1e-6
        )


@pytest.mark.parametrize(
    "model",
    [
        *(model for model, *_ in SAME),
        Lasso(alpha=0.05, **TIGHT),
        ElasticNet(alpha=0.05, **TIGHT),
        HuberRegressor(engine="serial"),
        QuantileRegressor(alpha=0.01, engine="serial"),
    ],
    ids=str,
)
def test_a_model_of_scikit_learn_predicts_the_same(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # how near the optimum is does not matter here
        model.fit(X, Y)
    assert_allclose(model.to_sklearn().predict(X), model.predict(X), rtol=1e-12)


@pytest.mark.parametrize("strength", [0.2, 0.02])
@pytest.mark.parametrize(
    ("template", "alone"),
    [
        (Lasso(**TIGHT), lambda strength: Lasso(alpha=strength, **TIGHT)),
        (ElasticNet(l1_ratio=0.3, **TIGHT), lambda strength: ElasticNet(alpha=strength, l1_ratio=0.3, **TIGHT)),
        (Ridge(**TIGHT), lambda strength: Ridge(alpha=strength * N, **TIGHT)),
        (PoissonRegressor(**TIGHT), lambda strength: PoissonRegressor(alpha=strength, **TIGHT)),
    ],
    ids=["lasso", "elastic net", "ridge", "poisson"],
)
def test_a_strength_of_a_path_is_that_of_a_fit_alone(template, alone, strength):
    path = fit_path(template, X, Y, strengths=[1.0, strength])
    assert_allclose(path.models[1].coef_, alone(strength).fit(X, Y).coef_, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(
    ("model", "instead"),
    [
        (LinearSVC(engine="serial"), "the squared hinge is no likelihood: use LogisticRegression"),
        (HuberRegressor(engine="serial"), r"its scale is fitted too: use GeneralizedLinearRegressor\("),
        (QuantileRegressor(engine="serial"), r"use GeneralizedLinearRegressor\(\"quantile\"\)"),
    ],
    ids=str,
)
def test_no_errors_where_there_is_no_likelihood(model, instead):
    y = (Y > 1).astype(int) if isinstance(model, LinearSVC) else Y
    model.fit(X, y)
    with pytest.raises(ValueError, match=f"{type(model).__name__} has no standard errors: .*{instead}"):
        model.inference(X, y)


@pytest.mark.parametrize("many", [fit_path, cross_validate, bootstrap])
@pytest.mark.parametrize("model", [LinearSVC(), HuberRegressor()], ids=str)
def test_what_many_fits_do_not_take(many, model):
    with pytest.raises(ValueError, match=f"{many.__name__} does not take {type(model).__name__}: .* use "):
        many(model, X, Y)
