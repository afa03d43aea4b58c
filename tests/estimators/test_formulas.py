"""Formulas: the model of statsmodels by the same formula, however the rows are spread, saved and asked."""

import json
from importlib import import_module

import numpy as np
import pandas as pd
import polars as pl
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf

from fullbatch import (
    DataError,
    GeneralizedLinearRegressor,
    LogisticRegression,
    SerialEngine,
    array_sources,
    fit_path,
    load_model,
    parquet_sources,
    table_sources,
)
from fullbatch.data.design_ import Design, learn_design
from fullbatch.data.terms_ import terms_of
from fullbatch.errors import DamagedError

RNG = np.random.default_rng(0)
N = 900
FRAME = pd.DataFrame(
    {
        "age": RNG.uniform(18, 90, N),
        "power": RNG.integers(4, 12, N),
        "region": RNG.choice(["north", "south", "west"], N),
        "year": RNG.integers(2020, 2023, N),
        "when": pd.Timestamp("2024-01-31"),
    }
)
FRAME["claims"] = RNG.poisson(np.exp(0.01 * FRAME["age"] + 0.2 * (FRAME["region"] == "south") - 1))
FIXED = "bs(age, knots=[40, 60], lower_bound=18, upper_bound=90)"
FORMULA = "claims ~ C(region) + bs(age, df=4) + power:age + C(year)"


def poisson(formula, **options):
    return GeneralizedLinearRegressor("poisson", formula=formula, **{"tol": 1e-8, **options})


def theirs(formula, **options):
    return smf.glm(formula, FRAME, family=sm.families.Poisson(), **options).fit(tol=1e-12)


@pytest.mark.parametrize(
    "right",
    [
        "C(region) + bs(age, df=4) + power:age + C(year)",
        "region * center(age) + np.log(power)",
        "C(region, contr.treatment(base='south')):age + power",
        "scale(age) + I(age ** 2 / 1000) + C(year)*C(region)",
    ],
)
def test_the_model_is_that_of_statsmodels(right):
    model = poisson("claims ~ " + right).fit(FRAME)
    # Patsy's own words for what formulaic calls otherwise.
    patsys = right.replace("contr.treatment(base='south')", "Treatment('south')").replace("scale(", "standardize(")
    wanted = theirs("claims ~ " + patsys)
    np.testing.assert_allclose(model.predict(FRAME), wanted.predict(FRAME), rtol=1e-7)
    assert model.n_features_in_ == len(model.feature_names_in_) == len(model.formula_.terms.variables)


def test_errors_are_those_of_statsmodels():
    told = poisson("claims ~ C(region) + power:age").fit(FRAME).inference(FRAME)
    wanted = theirs("claims ~ C(region) + power:age")
    np.testing.assert_allclose(told.std_err, wanted.bse.to_numpy(), rtol=1e-6)


def test_effects_of_columns_that_move_together_are_refused():
    told = poisson("claims ~ C(region) + age + I(age ** 2)").fit(FRAME).inference(FRAME)
    assert told.average_predictions()["mean"].iloc[0] == pytest.approx(FRAME["claims"].mean(), rel=1e-6)
    for effects in (
        told.marginal_effects,
        lambda: told.marginal_effects(["age"]),
        lambda: told.average_predictions({"age": [30, 60]}),
        lambda: told.average_predictions("C(region)"),
    ):
        with pytest.raises(ValueError, match=r"'claims ~ .*' may move together: compare what predict\(\) tells"):
            effects()


def test_clusters_of_sources_are_columns_beside_those_of_the_formula():
    sources = table_sources(FRAME, target="claims", exclude=["when"], blocks=3)
    with_holes = FRAME.assign(age=FRAME["age"].where(FRAME.index % 7 > 0)).drop(columns="when")
    for model, given in (
        (poisson("claims ~ C(region) + power:age"), sources),
        (poisson(None, missing="mean", missing_indicator=True), table_sources(with_holes, target="claims", blocks=3)),
    ):
        told = model.fit(given).inference(given, clusters=["year"])
        in_memory = model.inference(FRAME if given is sources else with_holes, "claims", clusters=["year"])
        np.testing.assert_allclose(told.std_err, in_memory.std_err, rtol=1e-6)
        assert told.std_err.tolist() != model.inference(given).std_err.tolist()
    matrix = array_sources(FRAME[["age", "power"]].to_numpy(), FRAME["claims"], names=["age", "power"])
    model = poisson("age + power").fit(matrix)
    with pytest.raises(ValueError, match="has no names of columns: give a table"):
        model.inference(matrix, clusters=["year"])


def test_without_an_intercept_the_first_category_keeps_its_levels():
    model = poisson("C(region) + power", fit_intercept=False).fit(FRAME, "claims")
    assert list(model.get_feature_names_out()) == ["C(region)[north]", "C(region)[south]", "C(region)[west]", "power"]
    wanted = theirs("claims ~ 0 + C(region) + power")
    np.testing.assert_allclose(model.coef_, wanted.params, rtol=1e-6)


def test_what_is_learnt_is_saved_without_pickle_and_used_for_new_rows(tmp_path):
    model = poisson(FORMULA, l1_ratio=0.5, alpha=1e-4).fit(FRAME)
    wanted = model.predict(FRAME)
    model.save(tmp_path / "m.fb")
    again = load_model(tmp_path / "m.fb")
    assert again.formula == FORMULA
    assert again.n_features_in_ == 4
    few = FRAME.drop(columns=["claims", "when"]).iloc[[5, 3]]  # other knots and levels would be learnt of these
    for given in (few, pl.from_pandas(few), few[few.columns[::-1]], table_sources(few), table_sources(few, blocks=2)):
        for one in (model, again):
            np.testing.assert_allclose(one.predict(given), wanted[[5, 3]], rtol=1e-14)
    again.write_predictions(FRAME, tmp_path / "p.parquet", keep=["region"])
    np.testing.assert_array_equal(pd.read_parquet(tmp_path / "p.parquet")["prediction"], wanted)
    assert model.score(FRAME) == again.score(FRAME, "claims") == again.score(FRAME, FRAME["claims"])


def test_blocks_of_files_and_dask_are_made_by_one_state(tmp_path):
    formula = f"claims ~ C(region) + {FIXED} + power:age"
    wanted = poisson(formula).fit(table_sources(FRAME, target="claims", exclude=["when"], blocks=3))
    FRAME.to_parquet(tmp_path / "t.parquet")
    options = {"target": "claims", "exclude": ["when"], "blocks": 3}
    lazy = import_module("dask.dataframe").from_pandas(FRAME, npartitions=4)
    for sources in (parquet_sources(tmp_path / "t.parquet", **options), table_sources(lazy, **options)):
        model = poisson(formula).fit(sources)
        assert model.coef_.tobytes() == wanted.coef_.tobytes()
        np.testing.assert_array_equal(model.predict(lazy), wanted.predict(FRAME))
    assert poisson(formula).fit(lazy).score(lazy) == pytest.approx(wanted.score(FRAME), rel=1e-9)
    with pytest.raises(DataError, match=r"'bs\(age, df=4\)' learns from all rows, which are not in this process's"):
        poisson(FORMULA).fit(parquet_sources(tmp_path / "t.parquet", **options))
    with pytest.raises(DataError, match=r"'bs\(age, df=4\)' learns from all rows, which are not in this process's"):
        poisson(FORMULA).fit(parquet_sources(tmp_path / "t.parquet", **{**options, "blocks": 2}))


@pytest.mark.slow
def test_rows_of_ray(ray_session):
    ray = import_module("ray")
    formula = f"claims ~ C(region) + {FIXED} + power:age"
    wanted = poisson(formula).fit(FRAME)
    model = poisson(formula, engine="ray").fit(ray.data.from_pandas(FRAME))
    assert model.coef_.tobytes() == wanted.coef_.tobytes()


def test_levels_that_stand_in_one_block_only_are_known_to_all():
    rare = FRAME.assign(region=["rare", *FRAME["region"][1:]])
    model = poisson("claims ~ C(region)", alpha=0.01).fit(
        table_sources(rare, target="claims", exclude=["when"], blocks=5)
    )
    assert "C(region)[T.rare]" in model.get_feature_names_out()
    several = poisson("claims ~ C(power)*region").fit(FRAME)  # so many that rows are sparse
    wanted = theirs("claims ~ C(power)*region")
    np.testing.assert_allclose(several.predict(FRAME), wanted.predict(FRAME), rtol=1e-4)


def test_levels_of_numbers_are_the_values_times_their_scale():
    X, y = np.array([[2], [4], [6]] * 4, np.uint8), np.arange(12) % 5
    model = GeneralizedLinearRegressor(formula="C(a)").fit(array_sources(X, y, scale=0.5, names=["a"]))
    assert list(model.get_feature_names_out()) == ["C(a)[T.2]", "C(a)[T.3]"]
    wanted = GeneralizedLinearRegressor(formula="C(a)").fit(pd.DataFrame({"a": X[:, 0] // 2}), y)
    np.testing.assert_array_equal(model.coef_, wanted.coef_)


@pytest.mark.parametrize("learning", [FIXED, "center(age)"])
def test_blocks_without_rows_teach_nothing(tmp_path, learning):
    holes = FRAME[["age", "claims"]].assign(age=FRAME["age"].where(FRAME.index >= 300))
    if learning == "center(age)":  # the other blocks are to teach the same
        holes["age"] = np.where(np.arange(N) < 300, np.nan, 20.0 + 40.0 * (np.arange(N) % 2))
    holes.to_parquet(tmp_path / "t.parquet")
    sources = parquet_sources(tmp_path / "t.parquet", target="claims", missing="drop", block_rows=300)
    model = poisson(f"claims ~ {learning}").fit(sources)
    wanted = poisson(f"claims ~ {learning}").fit(holes.dropna())
    assert model.n_samples_fit_ == 600
    np.testing.assert_allclose(model.coef_, wanted.coef_, rtol=1e-6)


def test_missing_values_are_filled_before():
    holes = FRAME.assign(age=FRAME["age"].where(FRAME.index % 7 > 0), region=FRAME["region"].where(FRAME.index % 9 > 0))
    model = poisson(FORMULA, missing="median").fit(holes)
    filled = holes.fillna({"age": holes["age"].median(), "region": "missing"})
    wanted = poisson(FORMULA).fit(filled)
    assert model.missing_ == {"age": holes["age"].median(), "power": 8.0, "year": 2021.0, "region": "missing"}
    np.testing.assert_allclose(model.predict(holes), wanted.predict(filled), rtol=1e-9)
    with pytest.raises(DataError, match=r"row 0, column 'age': the value is missing"):
        poisson(FORMULA).fit(holes)


def test_classes_paths_and_offsets():
    y = np.where(FRAME["claims"] > 1, "many", np.where(FRAME["claims"] > 0, "one", "none"))
    plain = pd.get_dummies(FRAME[["power", "region"]], columns=["region"], drop_first=True).astype(float)
    ours = LogisticRegression(formula="power + C(region)", tol=1e-7).fit(FRAME, y)
    np.testing.assert_allclose(
        ours.predict_proba(FRAME), LogisticRegression(tol=1e-7).fit(plain, y).predict_proba(plain), atol=1e-6
    )
    one, two = fit_path(poisson(FORMULA), FRAME, strengths=[0.1, 0.01]), poisson(FORMULA, alpha=0.1).fit(FRAME)
    np.testing.assert_allclose(one.coefs[0], two.coef_, atol=1e-6)
    offset = np.log(FRAME["power"])
    model = poisson("C(region)").fit(FRAME, "claims", offset=offset)
    wanted = theirs("claims ~ C(region)", offset=offset)
    np.testing.assert_allclose(model.predict(FRAME, offset=offset), wanted.fittedvalues, rtol=1e-7)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("claims ~ age +", "cannot be read"),
        ("claims ~ .", r"formula 'claims ~ \.': '\.' stands for no columns here: name them, as in 'y ~ a \+ b'$"),
        ("claims ~ 0 + age", "leaves the intercept out: say so to the model, with fit_intercept=False"),
        ("log(claims) ~ age", "what stands before ~ must be the name of a column"),
        ("claims ~ claims + age", "has the target 'claims' on both sides"),
        ("claims ~ 1", "names no column"),
        ("claims ~ a | b", "has several parts"),
        ("claims ~ lag(age)", r"lag\(\) is nothing that a formula may have"),
        ("claims ~ np.random.rand(3)", "np.random.rand is nothing"),
        ("claims ~ {age.__class__}", "age.__class__ is nothing"),
        ("claims ~ {open('x')}", r"open\(\) is nothing"),
        ("claims ~ {(lambda: age)()}", r"lambda: age\(\) is nothing"),
        ("claims ~ {[one for one in age]}", "is nothing that a formula may have"),
        ("claims ~ {age * 9**9**9}", "numbers alone"),
        ("claims ~ C(age + power)", r"C\(\) makes categories of a column: name it first"),
    ],
)  # fmt: skip
def test_what_no_formula_may_have_is_refused_before_anything_is_run(formula, message):
    with pytest.raises(ValueError, match=message):
        poisson(formula).fit(FRAME)


def test_what_does_not_fit_the_data_is_told():
    model = poisson(FORMULA).fit(FRAME)
    for fit, message in (
        (lambda: poisson("claims ~ age + wage").fit(FRAME), "there is no column 'wage'"),
        (lambda: poisson("claims ~ when").fit(FRAME), r"column 'when' is timestamp"),
        (lambda: poisson("claims ~ C(age)").fit(FRAME), r"column 'age': .* is no level"),
        (lambda: poisson("claims ~ log(power - 4)").fit(FRAME), r"column 'log\(power - 4\)': .* infinity"),
        (lambda: model.predict(FRAME.drop(columns="age")), "there is no column 'age'"),
        (lambda: model.predict(FRAME.assign(region="east")), "row 0, column 'region': unknown level 'east'"),
        (
            lambda: model.predict(FRAME.assign(region=["north", "south", "east", *FRAME["region"][3:]])),
            "row 2, column 'region': unknown level 'east'",
        ),
        (lambda: model.predict(FRAME.assign(age=10.0)), 'as in bs\\(age, df=4, extrapolation="clip"\\)'),
    ):  # fmt: skip
        with pytest.raises(DataError, match=message):
            fit()
    for fit, message in (
        (lambda: poisson(FORMULA).fit(FRAME, FRAME["claims"]), "target, 'claims', and y is given too: leave y out"),
        (lambda: poisson(FORMULA, base={"region": "south"}).fit(FRAME), "leave base out, and say it in the formula"),
        (lambda: poisson(FORMULA).fit(table_sources(FRAME[["age"]])), "the sources have None: leave the formula's"),
        (lambda: poisson(FORMULA).fit(FRAME.to_numpy()), "has no names of columns: give a table"),
        (lambda: model.to_sql("t"), "cannot be handed over"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            fit()
    ignored = model.set_params(unknown="ignore").predict(FRAME.assign(region="east"))
    np.testing.assert_array_equal(ignored, model.predict(FRAME.assign(region="north")))  # the base


@pytest.mark.parametrize(("levels", "sparse"), [(6, False), (7, True)])
def test_columns_are_sparse_where_there_are_more_than_three_levels_to_a_variable(levels, sparse):
    frame = pd.DataFrame({"region": [f"r{k}" for k in range(levels)] * 2, "age": np.arange(2.0 * levels), "y": 0.0})
    sources = table_sources(frame, target="y", blocks=1)
    design, _ = learn_design(terms_of("y ~ C(region) + age", True), True, sources, True, SerialEngine())
    X = design.rows(sources[0].read(), {}, "error", "t").X
    assert hasattr(X, "tocsr") is sparse
    codes = (np.arange(2 * levels) % levels)[:, None] == np.arange(1, levels)
    wanted = np.column_stack((codes, np.arange(2.0 * levels)))
    np.testing.assert_array_equal(X.toarray() if sparse else X, wanted)


def test_a_formula_that_was_not_saved_so_is_damaged(tmp_path):
    saved = poisson(FORMULA).fit(FRAME).formula_.saved()
    assert Design.of_saved(saved).saved() == saved
    before = json.loads(saved)
    assert Design.of_saved(json.dumps(before[:6])).parts == ()  # of a file that says nothing of terms
    assert sum(count for _, count in before[6]) == len(before[4])
    more = [json.dumps([*before[:6], parts]) for parts in ([["age", 1]], [["age"]], 1, [["age", -1]], [[1, 2]])]
    for wrong in (
        *more,
        json.dumps([*before, []]),
        "",
        "[]",
        "{}",
        saved.replace("2021", '"a"'),
        saved.replace("true", "1"),
        "[" * 100_000,
    ):
        with pytest.raises(ValueError, match="the formula is not as it was saved"):
            Design.of_saved(wrong)
    assert issubclass(DamagedError, ValueError)


@pytest.mark.parametrize(("value", "word"), [(np.nan, "NaN"), (np.inf, "infinity")])
def test_values_of_a_variable_that_are_no_numbers_are_located(value, word):
    frame = pd.DataFrame({"a": np.arange(40.0), "y": np.arange(40) % 2})
    model = LogisticRegression(formula="y ~ a").fit(frame)
    wrong = frame.assign(a=np.where(frame["a"] == 3, value, frame["a"]))
    with pytest.raises(
        DataError, match=rf"row 3, column 'a': the value is {word}: remove or fill in such values first"
    ):
        LogisticRegression(formula="y ~ a").fit(wrong)
    with pytest.raises(DataError, match=rf"row 3, column 'a': the value is {word}"):
        model.predict(wrong)


def test_sources_without_the_names_of_a_formula_are_refused():
    sources = array_sources(np.ones((4, 2)), np.arange(4))
    with pytest.raises(DataError, match="the formula names 'a', no column there: those are without names"):
        LogisticRegression(formula="y ~ a").fit(sources)


def test_a_category_of_text_here_and_of_numbers_there_is_refused():
    sources = [
        table_sources(pd.DataFrame({"y": [0, 1], "a": values}), target="y", categorical=["a"], blocks=1)[0]
        for values in (["u", "v"], [1, 2])
    ]
    with pytest.raises(DataError, match="column 'a' has text in some blocks and numbers in others"):
        LogisticRegression(formula="y ~ a").fit(sources)
