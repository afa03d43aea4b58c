"""Terms of formulas: all columns of one are tested together, by its name."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose

from fullbatch import GeneralizedLinearRegressor, LogisticRegression, file_sources, load_model

N = 400


def table():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"x": rng.standard_normal(N), "z": rng.uniform(0, 1, N)})
    frame["r"], frame["s"] = rng.choice(["a", "b", "c"], N), rng.choice(["u", "v"], N)
    return frame.assign(y=rng.poisson(np.exp(0.3 * frame["x"] + 0.4 * (frame["r"] == "b"))).astype(float))


def told(formula, frame, **asked):
    return GeneralizedLinearRegressor("poisson", formula=formula, tol=1e-10).fit(frame).inference(frame, **asked)


FORMULAS = {
    "y ~ x + C(r)": {"x": 1, "C(r)": 2},
    "y ~ x * r": {"x": 1, "r": 2, "x:r": 2},
    "y ~ r * s + z": {"r": 2, "s": 1, "z": 1, "r:s": 2},
    "y ~ C(r):C(s)": {"C(r):C(s)": 5},
    "y ~ x + C(r, contr.sum)": {"x": 1, "C(r, contr.sum)": 2},
}


@pytest.mark.parametrize("formula", FORMULAS)
def test_terms_are_tested_as_by_models_without_them(formula):
    """Deviances of statsmodels' fits of the same columns and of those of the other terms, and its Wald's tests."""
    frame, terms = table(), FORMULAS[formula]
    one = told(formula, frame)
    model = GeneralizedLinearRegressor("poisson", formula=formula, tol=1e-10).fit(frame)
    names = one.names[1:]
    assert names == [str(name) for name in model.get_feature_names_out()]
    made = np.asarray(model.formula_.made(frame[list(model.formula_.features.names)], "numpy", "x"), float)
    whole = sm.GLM(frame["y"], made, sm.families.Poisson()).fit(tol=1e-14)
    assert_allclose(one.deviance, whole.deviance, rtol=1e-8)
    first = 1
    for name, count in terms.items():
        own = list(range(first, first + count))
        few = sm.GLM(frame["y"], np.delete(made, own, axis=1), sm.families.Poisson()).fit(tol=1e-14)
        ratio = one.test(name, "likelihood-ratio")
        assert ratio.df == count
        assert_allclose(ratio.statistic, few.deviance - whole.deviance, rtol=1e-5, atol=1e-7, err_msg=name)
        wald = whole.wald_test(np.eye(made.shape[1])[own], scalar=True)
        assert_allclose(one.test(name).statistic, wald.statistic, rtol=1e-5, err_msg=name)
        first += count
    all_terms = one.test_terms()
    assert dict(zip(all_terms.index, all_terms["df"], strict=True)) == terms


def test_splines_with_and_without_blanks():
    frame = table()
    one = told("y ~ bs(x, df=4) + r", frame)
    by_name = one.test("bs(x, df=4)")
    assert by_name.df == 4
    assert one.test("bs(x,df=4)").statistic == by_name.statistic
    assert one.test(["bs(x, df=4)", "r"]).df == 6
    assert list(one.test_terms().index) == ["bs(x, df=4)", "r"]
    with pytest.raises(ValueError, match="a parameter or a number is missing"):
        one.test("bs(z, df=4)")
    several = told("y ~ bs(x, df=4) + r", frame, columns=["bs(x, df=4)"])
    assert several.names == [f"bs(x, df=4)[{k}]" for k in (1, 2, 3, 4)]
    assert_allclose(several.test("bs(x, df=4)").statistic, by_name.statistic, rtol=1e-6)


def test_of_several_classes_terms_are_of_all_of_them():
    frame = table()
    model = LogisticRegression(C=np.inf, formula="r ~ x + C(s) + z", tol=1e-9).fit(frame)
    test = model.inference(frame).test("C(s)")
    assert test.df == 2
    assert_allclose(test.statistic, model.inference(frame).test(["b:C(s)[T.v]", "c:C(s)[T.v]"]).statistic)


def test_variance_inflation_is_of_terms():
    frame = table().assign(z=lambda one: one["x"] + one["z"])
    vif = GeneralizedLinearRegressor("poisson", formula="y ~ x + z + C(r)").fit(frame).checks(frame).vif()
    plain = GeneralizedLinearRegressor("poisson").fit(frame[["x", "z", "r"]], frame["y"])
    wanted = plain.checks(frame[["x", "z", "r"]], frame["y"]).vif()  # which has the levels of r as one
    assert list(vif.index) == ["x", "z", "C(r)"]
    assert vif["df"].tolist() == [1, 1, 2]
    assert_allclose(vif["vif"], wanted["vif"], rtol=1e-8)
    columns = np.corrcoef(np.column_stack((frame["x"], frame["z"], frame["r"] == "b", frame["r"] == "c")), rowvar=False)
    by_hand = np.linalg.det(columns[2:, 2:]) * np.linalg.det(columns[:2, :2]) / np.linalg.det(columns)
    assert_allclose(vif["vif"].iloc[2], by_hand, rtol=1e-8)


def test_a_saved_model_knows_its_terms(tmp_path):
    frame = table()
    model = GeneralizedLinearRegressor("poisson", formula="y ~ x * r", tol=1e-10).fit(frame)
    model.save(tmp_path / "model.fb")
    frame.to_parquet(tmp_path / "rows.parquet")
    loaded = load_model(tmp_path / "model.fb").set_params(engine="serial")
    sources = file_sources(str(tmp_path / "rows.parquet"), target="y")
    assert_allclose(loaded.inference(sources).test("x:r").statistic, model.inference(frame).test("x:r").statistic)
