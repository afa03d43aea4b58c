"""Base levels of categorical columns: the model of dummies without these, however it is fitted and used."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from sklearn.linear_model import LogisticRegression as Reference
from sklearn.linear_model import Ridge as ReferenceRidge

from fullbatch import (
    DataError,
    GeneralizedLinearRegressor,
    LogisticRegression,
    array_sources,
    fit_path,
    load_model,
    table_sources,
)

RNG = np.random.default_rng(0)
N = 1500
FRAME = pd.DataFrame(
    {"a": RNG.standard_normal(N), "region": RNG.choice(["u", "v", "w"], N), "zone": RNG.integers(1, 6, N)}
)
FRAME["zone"] = FRAME["zone"].astype("category")
COUNTS = RNG.poisson(np.exp(0.3 * FRAME["a"] + 0.5 * (FRAME["region"] == "v") - 0.4 * (FRAME["zone"] == 3)))
BASE = {"region": "v", "zone": 3}
DUMMIES = pd.DataFrame(
    {
        "a": FRAME["a"],
        **{f"region={level}": 1.0 * (FRAME["region"] == level) for level in "uw"},
        **{f"zone={level}": 1.0 * (FRAME["zone"] == level) for level in (1, 2, 4, 5)},
    }
)


def named(model):
    return dict(zip(model.get_feature_names_out(), model.coef_.T, strict=True))


def same(model, reference, tolerance):
    found = named(model)
    assert not np.any(found["region=v"])
    assert not np.any(found["zone=3"])
    np.testing.assert_allclose([found[name] for name in DUMMIES], reference.coef_.T, atol=tolerance)
    np.testing.assert_allclose(model.intercept_, reference.intercept_, atol=tolerance)


@pytest.mark.parametrize(
    "solver", ["lbfgs", "newton", "newton-cg", "least-squares", "proximal-newton", "owl-qn", "auto"]
)
@pytest.mark.parametrize("options", [{}, {"fit_intercept": False}, {"alpha": 0.01}], ids=["", "through 0", "ridge"])
def test_the_model_is_that_of_dummies_without_the_base(solver, options):
    model = GeneralizedLinearRegressor(solver=solver, tol=1e-7, base=BASE, **options).fit(FRAME, COUNTS)
    told = {**options, "alpha": options.get("alpha", 0.0) * N}
    same(model, ReferenceRidge(**told).fit(DUMMIES, COUNTS), 2e-6)
    assert model.base_ == BASE


@pytest.mark.parametrize("classes", [2, 3])
def test_classes(classes):
    rng = np.random.default_rng(101)
    y = np.digitize(FRAME["a"] + rng.standard_normal(N), [0, 1, 2][: classes - 1])
    model = LogisticRegression(C=0.5, tol=1e-7, base=BASE).fit(FRAME, y)
    same(model, Reference(C=0.5, tol=1e-10, max_iter=10_000).fit(DUMMIES, y), 2e-5)


def test_the_first_level_penalties_by_name_and_paths():
    first = GeneralizedLinearRegressor("poisson", alpha=0.1, l1_ratio=0.5, base="first", tol=1e-7)
    model = first.fit(FRAME, COUNTS)
    assert model.base_ == {"region": "u", "zone": 1}
    dummies = pd.get_dummies(FRAME, drop_first=True).astype(float)
    plain = GeneralizedLinearRegressor("poisson", alpha=0.1, l1_ratio=0.5, tol=1e-7)
    wanted = plain.fit(dummies, COUNTS)
    kept = ~np.isin(model.get_feature_names_out(), ["region=u", "zone=1"])
    np.testing.assert_allclose(model.coef_[kept], wanted.coef_, atol=1e-6)
    ours, theirs = (fit_path(one, X, COUNTS, num=5) for one, X in ((first, FRAME), (plain, dummies)))
    np.testing.assert_allclose(ours.strengths, theirs.strengths, rtol=1e-9)
    np.testing.assert_allclose(ours.coefs[:, kept], theirs.coefs, atol=1e-6)
    assert not ours.coefs[:, ~kept].any()


@pytest.mark.parametrize("intercept", [True, False])
def test_errors_are_those_of_statsmodels_with_the_base_as_reference(intercept):
    model = GeneralizedLinearRegressor("poisson", tol=1e-8, base=BASE, fit_intercept=intercept).fit(FRAME, COUNTS)
    told = model.inference(FRAME, COUNTS)
    X = sm.add_constant(DUMMIES) if intercept else DUMMIES
    wanted = sm.GLM(COUNTS, X, family=sm.families.Poisson()).fit(tol=1e-12)
    assert told.reference == BASE
    np.testing.assert_allclose(told.std_err, wanted.bse, rtol=1e-6)


def test_errors_under_a_penalty_are_those_of_dummies():
    model, plain = (GeneralizedLinearRegressor("poisson", alpha=0.1, tol=1e-8, base=base) for base in (BASE, None))
    ours = model.fit(FRAME, COUNTS).inference(FRAME, COUNTS)
    wanted = plain.fit(DUMMIES, COUNTS).inference(DUMMIES, COUNTS)
    np.testing.assert_allclose(ours.std_err, wanted.std_err, rtol=1e-6)


def test_unknown_levels_are_the_base_everywhere(tmp_path):
    model = GeneralizedLinearRegressor("poisson", base=BASE, alpha=0.01).fit(FRAME, COUNTS)
    new, base = FRAME.assign(region="new", zone=9), FRAME.assign(region="v", zone=3)
    for frame in (new, base):
        frame["zone"] = frame["zone"].astype("category")
    with pytest.raises(DataError, match="unknown level 'new'"):
        model.predict(new)
    model.set_params(unknown="base").save(tmp_path / "m.fb")
    for one in (model, load_model(tmp_path / "m.fb")):
        assert (one.base, one.base_, one.unknown) == (BASE, BASE, "base")
        wanted = one.predict(base)
        assert one.predict(new).tolist() == wanted.tolist()
        assert one.evaluate(new, COUNTS) == one.evaluate(base, COUNTS)
        assert one.predict(table_sources(new, blocks=2)).tolist() == wanted.tolist()
        plain = new.astype({"zone": float})
        np.testing.assert_allclose(one.to_sklearn().predict(plain), wanted, rtol=1e-12)
        assert "ELSE CASE WHEN" in one.to_sql("t")
        assert 'invalidValueTreatment="asIs"' in one.to_pmml()
    table = model.relativities().to_pandas().set_index(["term", "level"])["relativity"]
    assert table["region", "v"] == table["zone", "3"] == 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"base": {"regoin": "u"}}, r"base names 'regoin', which is no categorical column: those are"),
        ({"base": {"region": "x"}}, r"base: column 'region' has no level 'x': it has"),
        ({"base": {"a": 1}}, r"base names 'a', which is no categorical column"),
        ({"base": "first", "lower_bounds": {"region=u": 1.0}}, r"'region=u' is a base level"),
    ],
)  # fmt: skip
def test_what_is_no_base_level_is_told(options, message):
    with pytest.raises(DataError, match=message):
        GeneralizedLinearRegressor(**options).fit(FRAME, COUNTS)


def test_unknown_levels_need_a_base():
    with pytest.raises(ValueError, match='unknown="base" needs base levels'):
        GeneralizedLinearRegressor(unknown="base").fit(FRAME, COUNTS)
    partly = GeneralizedLinearRegressor(base={"region": "u"}, unknown="base")
    with pytest.raises(ValueError, match="the model has no base level of 'zone'"):
        partly.fit(FRAME, COUNTS)
    model = partly.set_params(unknown="error").fit(FRAME, COUNTS).set_params(unknown="base")
    for given in (FRAME, table_sources(FRAME)):
        with pytest.raises(ValueError, match=r"^unknown=.base.: the model has no base level of 'zone'"):
            model.predict(given)
    assert model.data_features_.names == ("a", "region", "zone")  # which is known all the same


def test_levels_may_be_named_as_text(tmp_path):
    wanted = GeneralizedLinearRegressor(base=BASE).fit(FRAME, COUNTS)
    model = GeneralizedLinearRegressor(base={"region": "v", "zone": "3"}).fit(FRAME, COUNTS)
    model.save(tmp_path / "m.fb")
    for one in (model, load_model(tmp_path / "m.fb")):
        assert one.base_ == BASE
        assert one.coef_.tobytes() == wanted.coef_.tobytes()
    texts = FRAME.assign(zone=FRAME["zone"].astype(str))
    assert GeneralizedLinearRegressor(base={"zone": 3}).fit(texts, COUNTS).base_ == {"zone": "3"}
    both = FRAME.assign(zone=np.where(FRAME["zone"] == 1, "03", "3"))
    assert GeneralizedLinearRegressor(base={"zone": "03"}).fit(both, COUNTS).base_ == {"zone": "03"}


def test_base_levels_are_not_told_as_constant():
    result = GeneralizedLinearRegressor("poisson", base=BASE).fit(FRAME.assign(one=1.0), COUNTS).result_
    assert [str(one) for one in result.notices] == ["[constant-columns] without variation, and so not used: 'one'"]
    for solver in ("least-squares", "proximal-newton"):
        options = {"l1_ratio": 0.5, "alpha": 0.01} if solver == "proximal-newton" else {}
        plain = GeneralizedLinearRegressor(base=BASE, solver=solver, **options).fit(FRAME, COUNTS)
        assert not plain.result_.notices


@pytest.mark.parametrize("unknown", ["ignore", "base"])
def test_predictions_with_errors_take_unknown_levels_as_the_model_does(unknown):
    model = GeneralizedLinearRegressor("poisson", base=BASE, unknown=unknown).fit(FRAME, COUNTS)
    new = FRAME.head(40).assign(region="new")
    for reference in ({}, {"region": "w"}):
        told = model.inference(FRAME, COUNTS, reference=reference)
        found, wanted = told.predict(new), told.predict(new.assign(region="v"))
        np.testing.assert_allclose(found["mean"], model.predict(new), rtol=1e-9)
        pd.testing.assert_frame_equal(found, wanted)
        np.testing.assert_allclose(told.predict(table_sources(new, blocks=3)), found, rtol=1e-12)
    with pytest.raises(DataError, match="'region' has levels like 7, those of the fit are like"):
        told.predict(new.assign(region=pd.Categorical([7] * 40)))
    with pytest.raises(DataError, match="1 columns of numbers and 0 of categories, the model has 1 and 2"):
        told.predict(array_sources(FRAME[["a"]], np.zeros(N)))


@pytest.mark.parametrize("unknown", ["ignore", "base"])
def test_inference_takes_the_rows_of_the_fit_whatever_the_model_does_with_others(unknown):
    model = GeneralizedLinearRegressor("poisson", base="first", unknown=unknown).fit(FRAME, COUNTS)
    with pytest.raises(DataError, match="row 0, column 'region': unknown level 'new', which the fit has not seen"):
        model.inference(FRAME.assign(region="new"), COUNTS)


def test_an_unknown_level_without_a_base_has_no_standard_error():
    model = GeneralizedLinearRegressor("poisson", base={"zone": 3}, unknown="ignore").fit(FRAME, COUNTS)
    told = model.inference(FRAME, COUNTS)
    new = FRAME.head(5).assign(region=["u", "v", "new", "w", "u"])
    with pytest.raises(DataError, match="row 2, column 'region': unknown level 'new', which the model ignores"):
        told.predict(new)
    np.testing.assert_allclose(told.predict(new.drop(2))["mean"], model.predict(new.drop(2)), rtol=1e-9)
