"""Every option of the command line, in this process: what a command does with it is what the library does."""

import json
import re
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import typer
from numpy.testing import assert_allclose, assert_array_equal
from typer.testing import CliRunner

import fullbatch
from fullbatch import (
    DataError,
    GeneralizedLinearRegressor,
    LogisticRegression,
    ModelFileError,
    csv_sources,
    file_sources,
    load_model,
    npy_sources,
)
from fullbatch.cli._screen import in_options
from fullbatch.cli.app import app
from fullbatch.saving.files import read, write

ROLES = {"target": "y", "features": ["a", "b", "region"]}
FEATURES = ["--features", "a,b,region"]
COUNTS = {"target": "c", "features": ["a", "b"]}
PREDICT = ["predict", "m.fb", "new.csv", "--output", "p.csv"]
EVALUATE = ["evaluate", "m.fb", "new.csv", "--target", "y"]
POISSON = ["--target", "c", "--features", "a,b", "--model", "poisson"]


def run(*arguments, code=0):
    done = CliRunner().invoke(app, [str(one) for one in arguments])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == code, done.output
    return done


def told(*arguments, code=0):
    return json.loads(run(*arguments, "--json", code=code).stdout)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    n = 80
    frame = pd.DataFrame(
        {
            "a": rng.standard_normal(n) * 3,
            "b": rng.integers(0, 3, n),
            "region": rng.choice(["n", "s", "w"], n),
            "n": rng.uniform(0.1, 3, n),
            "off": rng.uniform(-1, 1, n),
            "c": rng.poisson(2, n),
        }
    )
    eta = frame["a"] / 3 + (frame["b"] == 1) + (frame["region"] == "s") + frame["off"]
    return frame.assign(y=(eta + rng.logistic(size=n) > 1).astype(int))


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch, table):
    monkeypatch.chdir(tmp_path)
    table.to_csv("t.csv", index=False)


def same(model, expected):
    assert type(model) is type(expected)
    assert model.coef_.tobytes() == expected.coef_.tobytes()
    assert np.array_equal(model.intercept_, expected.intercept_)


# What the fit does with it: options, parameters of the estimator, and roles of the columns. Each changes the model.
FITS = {
    "--target": (["--target", "n", "--model", "gamma", *FEATURES], {"loss": "gamma"}, ROLES | {"target": "n"}),
    "--weight": (["--target", "y", *FEATURES, "--weight", "n"], {}, ROLES | {"weight": "n"}),
    "--offset": (["--target", "y", *FEATURES, "--offset", "off"], {}, ROLES | {"offset": "off"}),
    "--features": (["--target", "y", "--features", "a, b"], {}, ROLES | {"features": ["a", "b"]}),
    "--exclude": (["--target", "y", "--exclude", "c,off"], {}, {"target": "y", "exclude": ["c", "off"]}),
    "--categorical": (["--target", "y", *FEATURES, "--categorical", "b"], {}, ROLES | {"categorical": ["b"]}),
    "--types": (["--target", "y", *FEATURES, "--types", "b=string"], {}, ROLES | {"types": {"b": "string"}}),
    "--base": (
        ["--target", "y", *FEATURES, "--categorical", "b", "--base", "region=s", "--base", "b=1"],
        {"base": {"region": "s", "b": 1}},
        ROLES | {"categorical": ["b"]},
    ),
    "--base first": (["--target", "y", *FEATURES, "--base", "first"], {"base": "first"}, ROLES),
    "--formula": (
        ["--formula", "y ~ a*C(region) + C(b)", "--weight", "n"],
        {"formula": "y ~ a*C(region) + C(b)"},
        ROLES | {"weight": "n"},
    ),
    "--formula without a left side": (
        ["--formula", "a + C(region)", "--target", "y", "--no-intercept"],
        {"formula": "a + C(region)", "fit_intercept": False},
        {"target": "y", "features": ["region", "a"]},
    ),
    "--model": (POISSON, {"loss": "poisson"}, COUNTS),
    "--option": (
        [*POISSON[:-1], "tweedie", "--option", "power=1.2"],
        {"loss": "tweedie", "loss_options": {"power": 1.2}},
        COUNTS,
    ),
    "--family": (
        [*POISSON[:-2], "--family", "negative.binomial", "--option", "theta=0.5"],
        {"loss": "squared", "family": "negative.binomial", "loss_options": {"theta": 0.5}},
        COUNTS,
    ),
    "--link": (
        ["--target", "y", *FEATURES, "--family", "binomial", "--link", "cloglog"],
        {"loss": "squared", "family": "binomial", "link": "cloglog"},
        ROLES,
    ),
    "--l2": (["--target", "y", *FEATURES, "--l2", 0.3], {"l2": 0.3}, ROLES),
    "--l2 of a regressor": ([*POISSON, "--l2", 0.3], {"loss": "poisson", "alpha": 0.3}, COUNTS),
    "--l1-ratio": (["--target", "y", *FEATURES, "--l2", 0.1, "--l1-ratio", 0.5], {"l2": 0.1, "l1_ratio": 0.5}, ROLES),
    "--groups": (
        ["--target", "y", *FEATURES, "--l2", 0.1, "--groups", "a=n", "--groups", "region=n"],
        {"l2": 0.1, "groups": {"a": "n", "region": "n"}},
        ROLES,
    ),
    "--group-ratio": (
        ["--target", "y", *FEATURES, "--l2", 0.1, "--groups", "columns", "--group-ratio", 0.4],
        {"l2": 0.1, "groups": "columns", "group_ratio": 0.4},
        ROLES,
    ),
    "--lower": (
        ["--target", "y", *FEATURES, "--lower", "a=0.3", "--lower", "region=s=-0.1"],
        {"lower_bounds": {"a": 0.3, "region=s": -0.1}},
        ROLES,
    ),
    "--upper": (["--target", "y", *FEATURES, "--upper", 0.2], {"upper_bounds": 0.2}, ROLES),
    "--no-intercept": (["--target", "y", *FEATURES, "--no-intercept"], {"fit_intercept": False}, ROLES),
    "--standardize": (
        ["--target", "y", *FEATURES, "--l2", 0.3, "--standardize"],
        {"l2": 0.3, "standardize": True},
        ROLES,
    ),
    "--balanced": (["--target", "y", *FEATURES, "--balanced"], {"class_weight": "balanced"}, ROLES),
    "--solver": (["--target", "y", *FEATURES, "--solver", "lbfgs"], {"solver": "lbfgs"}, ROLES),
    "--tol": (["--target", "y", *FEATURES, "--tol", 1e-2], {"tol": 0.1}, ROLES),
}  # fmt: skip


@pytest.mark.parametrize("option", FITS)
def test_options_of_the_fit(option):
    arguments, parameters, roles = FITS[option]
    kind = GeneralizedLinearRegressor if "loss" in parameters else LogisticRegression
    run("fit", "t.csv", *arguments, "--save", "m.fb", "--quiet")
    model = load_model("m.fb")
    same(model, kind(engine="serial", **parameters).fit(csv_sources("t.csv", **roles)))
    if option == "--no-intercept":
        assert not np.any(model.intercept_)
    usual = LogisticRegression(engine="serial").fit(csv_sources("t.csv", **ROLES))
    assert model.coef_.tobytes() != usual.coef_.tobytes()


def test_what_is_usual_may_be_said():
    usual = LogisticRegression(engine="serial").fit(csv_sources("t.csv", **ROLES))
    run("fit", "t.csv", "--target", "y", *FEATURES, "--intercept", "--no-standardize", "--save", "m.fb", "-q")
    same(load_model("m.fb"), usual)


# How files are written, and how the library is told to read them; a column "x" and a target "y", of 0 and 1.
NUMBERS = [(f"{k * 37 % 101 / 4}", k * 7 % 3 % 2) for k in range(60)]
PLAIN = "x,y\n" + "".join(f"{x},{y}\n" for x, y in NUMBERS)
FILES = {
    "--missing": (PLAIN + ",1\n,1\n,0\n", ["--missing", "drop"], {"missing": "drop"}),
    "--missing of a column": (PLAIN + ",1\n,1\n,0\n", ["--missing", "x=9.5"], {"missing": {"x": 9.5}}),
    "--format": (PLAIN.replace(",", "\t"), ["--format", "tsv"], {"format": "tsv"}),
    "--delimiter": (PLAIN.replace(",", "\t"), ["--delimiter", "\\t"], {"delimiter": "\t"}),
    "--decimal": (
        PLAIN.replace(",", ";").replace(".", ","),
        ["--delimiter", ";", "--decimal", ","],
        {"delimiter": ";", "decimal": ","},
    ),
    "--thousands": (
        "x,y\n" + "".join(f"1'{float(x) * 4:03.0f},{y}\n" for x, y in NUMBERS),
        ["--thousands", "'"],
        {"thousands": "'"},
    ),
    "--units": (PLAIN.replace(",0\n", " EUR,0\n"), ["--units", "EUR"], {"units": ["EUR"]}),
    "--missing-values": (
        PLAIN + "none,1\nnone,1\n",
        ["--missing-values", "none", "--missing", "x=3"],
        {"missing_values": ["none"], "missing": {"x": 3}},
    ),
    "--no-quotes": (
        "x,text,y\n" + "".join(f'{x},{"5in" if k % 2 else "5"}",{y}\n' for k, (x, y) in enumerate(NUMBERS)),
        ["--no-quotes"],
        {"quoted": False},
    ),
    "--encoding": (
        "x,text,y\n" + "".join(f"{x},{'é' if k % 2 else 'è'},{y}\n" for k, (x, y) in enumerate(NUMBERS)),
        ["--encoding", "latin1"],
        {"encoding": "latin1"},
    ),
    "--skip-rows": ("made by hand\n\n" + PLAIN, ["--skip-rows", 2], {"skip_rows": 2}),
    "--comment": (PLAIN.replace("\n", "\n;no row\n", 9), ["--comment", ";"], {"comment": ";"}),
    "--escape": (
        "x,text,y\n"
        + "".join(f'{x},"{"5^" if k % 2 else "5"}",{y}\n'.replace("^", '^"') for k, (x, y) in enumerate(NUMBERS)),
        ["--escape", "^"],
        {"escape": "^"},
    ),
}


@pytest.mark.parametrize("option", FILES)
def test_how_files_are_written(option):
    text, arguments, options = FILES[option]
    Path("f.csv").write_bytes(text.encode("latin1"))
    sources = file_sources("f.csv", target="y", **options)
    expected = LogisticRegression(engine="serial").fit(sources)
    run("fit", "f.csv", "--target", "y", *arguments, "--save", "m.fb", "-q")
    same(load_model("m.fb"), expected)
    measured = told("evaluate", "m.fb", "f.csv", "--target", "y", *arguments)
    assert measured["cross_entropy"] == expected.evaluate(sources)["cross_entropy"]
    if "drop" not in arguments:  # it would leave rows without a prediction
        run("predict", "m.fb", "f.csv", *arguments, "--output", "p.csv")
        assert pd.read_csv("p.csv")["prediction"].tolist() == expected.predict(sources).tolist()


HOLES = {
    "--missing-indicator": (["--missing", "mean", "--missing-indicator"], {"missing": "mean"}),
    "--missing-indicator of values": (
        ["--missing", "a=9.5", "--missing", "region=none", "--missing-indicator"],
        {"missing": {"a": 9.5, "region": "none"}},
    ),
    "--missing of columns": (
        ["--missing", "a=median", "--missing", "region=none"],
        {"missing": {"a": "median", "region": "none"}},
    ),
}


@pytest.mark.parametrize("option", HOLES)
def test_what_is_learnt_and_marked_of_missing_values(table, option):
    arguments, parameters = HOLES[option]
    parameters = parameters | {"missing_indicator": "--missing-indicator" in arguments}
    holes = table[["a", "region", "y"]].assign(
        a=table["a"].where(table.index % 5 > 0), region=table["region"].where(table.index % 7 > 0)
    )
    holes.to_csv("t.csv", index=False)
    expected = LogisticRegression(engine="serial", **parameters).fit(holes, "y")
    shown = told("fit", "t.csv", "--target", "y", *arguments, "--save", "m.fb", "-q")
    assert shown["parameters"] == expected.result_.theta.size
    model = load_model("m.fb")
    same(model, expected)
    assert model.missing_ == expected.missing_
    assert model.indicators_ == expected.indicators_
    run("predict", "m.fb", "t.csv", "--output", "p.csv")
    assert pd.read_csv("p.csv")["prediction"].tolist() == expected.predict(holes).tolist()
    assert told("evaluate", "m.fb", "t.csv", "--target", "y")["accuracy"] == expected.score(holes, "y")
    with_nothing = GeneralizedLinearRegressor(engine="serial", l1_ratio=1.0, **parameters)
    path = ["t.csv", "--target", "y", "--model", "squared", *arguments, "--strengths", "0.01"]
    wanted = fullbatch.fit_path(with_nothing, holes, "y", strengths=[0.01])
    assert told("path", *path)["coefficients"] == wanted.coefs.tolist()


def test_what_a_fit_has_learnt_is_not_learnt_again(table):
    levels = table.assign(region=table["region"].replace("s", "mean"))
    levels.to_csv("t.csv", index=False)
    run("fit", "t.csv", "--target", "y", *FEATURES, "--save", "m.fb", "-q")
    levels.assign(region=None).to_csv("new.csv", index=False)
    for told, message in (("a=mean", "the mean of 'a' is learnt by fit"), ("median", "the median is learnt by fit")):
        for command in (PREDICT, EVALUATE):
            output = " ".join(run(*command, "--missing", told, code=2).output.split())
            assert f"{message}, and the model has it" in output
    run(*PREDICT, "--missing", "region=mean")  # which is a level
    expected = load_model("m.fb").predict(levels.assign(region="mean"))
    assert pd.read_csv("p.csv")["prediction"].tolist() == expected.tolist()


def test_what_is_said_of_missing_values_where_columns_have_no_names(table):
    """Sources of such files know nothing of them: the model does."""
    X = table[["a", "b"]].to_numpy(float)
    X[::5, 0] = np.nan
    np.save("x.npy", X)
    np.save("y.npy", table["y"])
    for arguments, missing in ((["drop"], "drop"), (["x0=2.5"], {"x0": 2.5}), (["x0=mean"], {"x0": "mean"})):
        run("fit", "x.npy", "--target", "y.npy", "--missing", *arguments, "--save", "m.fb", "-q")
        expected = LogisticRegression(engine="serial", missing=missing).fit(X, table["y"])
        same(load_model("m.fb"), expected)
        assert told("evaluate", "m.fb", "x.npy", "--target", "y.npy")["accuracy"] == expected.score(X, table["y"])


@pytest.mark.parametrize(("option", "shown"), [("ignore", "unknown categories ignored"), ("base", "as the base")])
def test_what_predictions_do_with_unknown_categories_is_saved(table, option, shown):
    table.assign(region="mars").to_csv("new.csv", index=False)
    for command in (["fit"], ["cv", "--num", "2", "--folds", "2"]):
        base = ["--base", "first", "--unknown", option]
        run(*command, "t.csv", "--target", "y", *FEATURES, *base, "--save", "m.fb", "-q")
        assert load_model("m.fb").unknown == option
        assert shown in run("inspect", "m.fb").stdout
        run(*PREDICT)
        run("export", "m.fb", "m.sql")
        assert "ELSE CASE WHEN" in Path("m.sql").read_text()


def test_a_formula_from_fit_to_predictions(table):
    formula = "c ~ C(region, contr.treatment(base='s')) + a"
    expected = GeneralizedLinearRegressor("poisson", formula=formula, engine="serial").fit(table)
    run("fit", "t.csv", "--formula", formula, "--model", "poisson", "--save", "m.fb", "-q")
    same(load_model("m.fb"), expected)
    run("predict", "m.fb", "t.csv", "--output", "p.csv")
    np.testing.assert_allclose(pd.read_csv("p.csv")["prediction"], expected.predict(table), rtol=1e-14)
    for target in ([], ["--target", "c"]):  # the formula knows it
        measured = told("evaluate", "m.fb", "t.csv", *target)
        assert measured["r2"] == pytest.approx(expected.evaluate(table)["r2"], rel=1e-12)
        assert told("summary", "m.fb", "t.csv", *target)["rows"] == 80
        clustered = told("summary", "m.fb", "t.csv", *target, "--clusters", "b")
        errors = expected.inference(table, clusters="b").std_err
        assert [one["std_err"] for one in clustered["coefficients"]] == pytest.approx(errors.tolist(), rel=1e-9)
        assert "Rows: 80" in run("check", "m.fb", "t.csv", *target).stdout
    shown = run("inspect", "m.fb").stdout
    assert f" formula       {formula}\n" in shown
    assert told("inspect", "m.fb")["levels"] == {"region": ["n", "s", "w"]}
    with pytest.raises(ValueError, match="cannot be handed over"):
        run("export", "m.fb", "m.sql")


def test_paths_and_folds_of_formulas_and_bases(table):
    for arguments, parameters, given in (
        (["--formula", "c ~ C(region) + a"], {"formula": "c ~ C(region) + a"}, [table]),
        (["--target", "c", "--features", "a,region", "--base", "region=s"], {"base": {"region": "s"}},
         [table[["a", "region", "c"]], "c"]),
    ):  # fmt: skip
        model = GeneralizedLinearRegressor("poisson", l1_ratio=1.0, engine="serial", **parameters)
        strengths = ["--model", "poisson", "--strengths", "0.1,0.01", "-q"]
        path = fullbatch.fit_path(model, *given, strengths=[0.1, 0.01])
        assert told("path", "t.csv", *arguments, *strengths)["coefficients"] == path.coefs.tolist()
        folds = fullbatch.cross_validate(model, *given, strengths=[0.1, 0.01], folds=3)
        found = told("cv", "t.csv", *arguments, *strengths, "--folds", 3, "--save", "m.fb")
        assert found["mean"] == folds.mean.tolist()
        assert load_model("m.fb").get_params(deep=False).items() >= parameters.items()


def test_base_levels_are_shown_and_not_told_as_constant():
    fit = ["t.csv", "--target", "y", *FEATURES, "--base", "region=w"]
    assert told("fit", *fit, "--save", "m.fb", "-q")["notices"] == []
    assert told("inspect", "m.fb")["base"] == {"region": "w"}
    assert "region (3 levels, base w)" in run("inspect", "m.fb").stdout
    assert "Reference: region=w" in run("summary", "m.fb", "t.csv", "--target", "y").stdout


@pytest.mark.parametrize("option", ["--zero-based", "--one-based"])
def test_how_columns_of_libsvm_files_are_counted(option):
    Path("f.svm").write_text("".join(f"{y} 1:{x} 2:{float(x) ** 2}\n" for x, y in NUMBERS))
    sources = file_sources("f.svm", zero_based=option == "--zero-based")
    expected = LogisticRegression(engine="serial").fit(sources)
    run("fit", "f.svm", option, "--save", "m.fb", "-q")
    same(load_model("m.fb"), expected)
    assert load_model("m.fb").n_features_in_ == (3 if option == "--zero-based" else 2)
    assert told("evaluate", "m.fb", "f.svm", option)["accuracy"] == expected.score(sources)
    run("predict", "m.fb", "f.svm", option, "--output", "p.csv")
    assert pd.read_csv("p.csv")["prediction"].tolist() == expected.predict(sources).tolist()


def test_roles_are_files_where_columns_have_no_names(table):
    for name, column in (("y", table["y"]), ("n", table["n"]), ("off", table["off"])):
        np.save(f"{name}.npy", column.to_numpy())
    np.save("x.npy", table[["a", "b"]].to_numpy(float))
    roles = ["--target", "y.npy", "--weight", "n.npy", "--offset", "off.npy"]
    run("fit", "x.npy", *roles, "--save", "m.fb", "-q")
    sources = npy_sources("x.npy", "y.npy", "n.npy", "off.npy")
    same(load_model("m.fb"), LogisticRegression(engine="serial").fit(sources))


@pytest.fixture
def fitted():
    run("fit", "t.csv", *POISSON, "--offset", "off", "--weight", "n", "--save", "m.fb", "-q")
    return load_model("m.fb")


def test_measures_of_weighted_rows_with_an_offset(fitted):
    evaluate = ["evaluate", "m.fb", "t.csv", "--target", "c", "--offset", "off"]
    for more, roles in (([], {}), (["--weight", "n"], {"weight": "n"})):
        found = told(*evaluate, *more)
        expected = fitted.evaluate(csv_sources("t.csv", **COUNTS, offset="off", **roles))
        assert {name: found[name] for name in expected} == expected
    assert told(*evaluate)["rmse"] != found["rmse"]


def test_predictions_with_an_offset_and_probabilities(fitted, table):
    run("predict", "m.fb", "t.csv", "--offset", "off", "--output", "p.csv")
    expected = fitted.predict(csv_sources("t.csv", features=["a", "b"], offset="off"))
    np.testing.assert_allclose(pd.read_csv("p.csv")["prediction"], expected, rtol=1e-15)
    run("fit", "t.csv", "--target", "y", "--features", "a,region", "--save", "m.fb", "-q")
    sources = csv_sources("t.csv", features=["a", "region"])
    for more, columns in (([], 1), (["--proba"], 3)):
        assert told("predict", "m.fb", "t.csv", "--output", "p.parquet", *more) == {
            "model": "m.fb",
            "rows": 80,
            "predictions": "p.parquet",
        }
        frame = pd.read_parquet("p.parquet")
        assert frame.shape == (80, columns)
    np.testing.assert_array_equal(frame[["probability_0", "probability_1"]], load_model("m.fb").predict_proba(sources))
    table.assign(region="mars").to_csv("new.csv", index=False)
    for command in (PREDICT, EVALUATE):
        with pytest.raises(DataError, match="unknown level 'mars'"):
            run(*command)
        run(*command, "--ignore-unknown")


def test_types_are_told_to_predictions_too(table):
    run("fit", "t.csv", "--target", "y", "--features", "a,b", "--types", "b=string", "--save", "m.fb", "-q")
    table.assign(b=table["b"].astype(float)).to_csv("new.csv", index=False)  # 0.0, which is another text
    assert told("evaluate", "m.fb", "t.csv", "--target", "y")["rows"] == 80  # as in the fit
    with pytest.raises(DataError, match=r"unknown level '[012]\.0'"):
        run(*EVALUATE)
    for command in (EVALUATE, PREDICT):
        with pytest.raises(DataError, match=r"use text or numbers in both|is numbers, the fit had text"):
            run(*command, "--types", "b=double")


def test_a_model_is_never_replaced_by_its_predictions(table):
    """Nor any of the files to read."""
    run("fit", "t.csv", "--target", "y", *FEATURES, "--save", "m.csv", "-q")
    before = {name: Path(name).read_bytes() for name in ("m.csv", "t.csv")}
    for output in before:
        with pytest.raises(DataError, match="it is one of the files to read, name another"):
            run("predict", "m.csv", "t.csv", "--output", output)
    assert before == {name: Path(name).read_bytes() for name in before}


def test_where_it_runs(monkeypatch, fitted):
    asked = []

    def make_engine(*arguments):
        asked.append(arguments)
        return fullbatch.SerialEngine()

    monkeypatch.setattr("fullbatch.engines.make_engine", make_engine)
    where = ["--engine", "ray", "--workers", 3]
    fit = partial(told, "fit", "t.csv", *POISSON)
    assert fit(*where, "--memory", "2GB", "--max-failures", 4, "-q")["engine"] == "ray"
    fit("-q")
    roles = ["--offset", "off"]
    for more in (where, []):
        told("evaluate", "m.fb", "t.csv", "--target", "c", *roles, *more)
        told("predict", "m.fb", "t.csv", "--output", "p.csv", *roles, *more)
    assert asked == [("ray", 3, "2GB", 4), ("threads", None, "auto", 0), *[("ray", 3)] * 2, *[("threads", None)] * 2]


def test_limits_checkpoints_and_quiet():
    fit = partial(run, "fit", "t.csv", *POISSON, "--solver", "lbfgs")
    limited = json.loads(fit("--max-iter", 2, "--json", code=3).stdout)
    assert (limited["status"], limited["iterations"]) == ("max_iter", 2)
    limited = json.loads(fit("--time-limit", 0, "--json", code=3).stdout)
    assert (limited["status"], limited["iterations"]) == ("stopped", 0)
    whole = fit("--json")
    assert "poisson on t.csv" in whole.stderr
    assert "iteration" in whole.stderr
    assert fit("--json", "--quiet").stderr == fit("-q").stderr == ""
    for every, files in ((1e6, 1), (0, 2)):
        kept = ["--checkpoint", f"run{every}", "--checkpoint-every", every, "--json"]
        fit(*kept, "--max-iter", 4, code=3)
        assert len(list(Path(f"run{every}").iterdir())) == files
        resumed = json.loads(fit(*kept).stdout)
        assert resumed["resumed_at"] == 4
        assert resumed["F"] == json.loads(whole.stdout)["F"]


def test_what_is_told_of_a_fit():
    model = LogisticRegression(engine="serial", solver="sampled-lbfgs").fit(csv_sources("t.csv", **ROLES))
    result = model.result_
    found = told("fit", "t.csv", "--target", "y", *FEATURES, "--solver", "sampled-lbfgs", "--save", "m.fb", "-q")
    assert all(found.pop(name) > 0 for name in [*found] if name.endswith("seconds"))
    assert found == {
        "model": "logistic",
        "engine": "threads",
        "rows": 80,
        "columns": 3,
        "parameters": 6,
        "blocks": 1,
        "l2": 1 / 80,
        "l1": 0.0,
        "l21": 0.0,
        "not_zero": 5,
        "solver": result.solver,
        "status": "converged",
        "message": result.message,
        "remaining_r2": result.remaining_r2,
        "score_r2": result.score_r2,
        "known_by": result.known_by,
        "notices": [],
        "F": result.value,
        "gradient_norm": np.linalg.norm(result.grad),
        "relative_gradient_norm": np.linalg.norm(result.grad) / result.first_grad_norm,
        "iterations": model.n_iter_[0],
        "resumed_at": None,
        "passes": result.passes,
        "setup_passes": 1,
        "sampled_passes": result.sampled_passes,
        "saved": "m.fb",
    }
    assert found["sampled_passes"] > 0
    assert found["relative_gradient_norm"] != found["gradient_norm"] != 0


def test_what_is_shown_and_kept_beside():
    fit = ["fit", "t.csv", "--target", "y", *FEATURES, "--save", "m.fb", "-q"]
    assert "relative gradient norm" not in run(*fit).stdout
    assert "relative gradient norm" in run(*fit, "--verbose").stdout
    shown = [run("inspect", "m.fb", "--most", most).stdout for most in (1, 3)]
    assert len(shown[1].splitlines()) == len(shown[0].splitlines()) + 2
    run("predict", "m.fb", "t.csv", "--keep", "n,off", "--output", "p.csv")
    assert pd.read_csv("p.csv").columns.tolist() == ["n", "off", "prediction"]


def test_where_mnist_is_looked_for(monkeypatch, fitted):
    def load_mnist(directory):
        raise DataError(f"looked for in {directory}")

    monkeypatch.setattr("fullbatch.datasets.load_mnist", load_mnist)
    X = np.random.default_rng(0).random((20, 784))
    LogisticRegression(engine="serial").fit(X, np.arange(20) % 2).save("m.fb")
    for command in (["fit", "mnist"], ["evaluate", "m.fb"], ["predict", "m.fb", "mnist", "--output", "p.csv"]):
        for more, where in ((["--directory", "there"], "there"), ([], None)):
            with pytest.raises(DataError, match=f"looked for in {where}"):
                run(*command, *more)


def test_where_mnist_is_fetched_to_and_from(monkeypatch):
    asked = []
    monkeypatch.setattr("fullbatch.datasets.fetch_mnist", lambda *arguments: asked.append(arguments))
    run("fetch", "mnist")
    run("fetch", "mnist", "--directory", "there", "--url", "http://mirror/")
    assert asked == [(Path("mnist"),), (Path("there"), "http://mirror/")]


def test_what_is_compiled_beforehand(monkeypatch):
    asked = []
    monkeypatch.setattr("fullbatch.models.warm_up.warm_up", lambda losses: asked.append(losses) or [("a", "b", 1.0)])
    monkeypatch.setattr("fullbatch.kernels.cache.cache_dir", lambda: ".")
    told("info", "--warm-up", "--loss", "squared", "--loss", "huber")
    told("info", "--warm-up")
    told("info")
    assert asked == [["squared", "huber"], []]


def test_the_strengths_of_a_path():
    path = partial(told, "path", "t.csv", *POISSON)
    given = path("--strengths", "0.5,0.1")
    assert given["strengths"] == [0.5, 0.1]
    grid = path("--num", 3, "--ratio", 0.1)["strengths"]
    np.testing.assert_allclose(np.divide(grid, grid[0]), [1.0, np.sqrt(0.1), 0.1], rtol=1e-12)


def test_folds_and_what_is_chosen_of_them():
    chosen = partial(told, "cv", "t.csv", *POISSON, "--strengths", "0.5,0.1,0.02")
    plain = chosen("--folds", 4, "--seed", 1)
    model = GeneralizedLinearRegressor("poisson", l1_ratio=1.0)
    sources = csv_sources("t.csv", **COUNTS)
    found = fullbatch.cross_validate(model, sources, strengths=[0.5, 0.1, 0.02], folds=4, seed=1)
    np.testing.assert_allclose(plain["mean"], found.mean, rtol=1e-6)
    assert chosen("--folds", 5, "--seed", 1)["mean"] != plain["mean"]
    assert chosen("--folds", 4, "--seed", 2)["mean"] != plain["mean"]
    assert plain["chosen"] == plain["best"]
    careful = chosen("--folds", 4, "--seed", 1, "--one-se")
    assert careful["chosen"] == careful["one_se"] == plain["one_se"]


def test_no_option_is_without_a_test():
    text = Path(__file__).read_text()
    commands = typer.main.get_command(app).commands
    parameters = [one for command in commands.values() for one in command.params]
    options = {option for one in parameters for option in (*one.opts, *one.secondary_opts)}
    assert len(options) > 30
    assert not sorted(option for option in options if option.startswith("--") and f'"{option}"' not in text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lower", "a=b"], "'a=b' is neither COLUMN=NUMBER nor a number"),
        (["--upper", "1", "--upper", "a=1"], "a number without a column is for all of them: give it alone"),
        (["--l1-ratio", 2], "it must be "),
        (["--groups", "a"], "must be COLUMN=GROUP, or columns alone"),
        (["--groups", "columns", "--groups", "a=n"], "must be COLUMN=GROUP, or columns alone"),
        (["--group-ratio", 0.5], "is of groups, and there are none: give --groups"),
        (["--base", "region"], "must be COLUMN=LEVEL, each column once, or first alone"),
        (["--base", "first", "--base", "region=n"], "must be COLUMN=LEVEL, each column once, or first alone"),
        (["--base", "region=s", "--base", "region=n"], "must be COLUMN=LEVEL, each column once, or first alone"),
        (["--unknown", "forget"], "'forget' is not one of 'error', 'ignore', 'base'"),
        (["--missing-indicator"], "it goes with missing values that are filled in: say how, as in --missing median"),
        (["--missing-indicator", "--missing", "drop"], "it goes with missing values that are filled in"),
        (["--missing", "drop", "--missing", "a=1"], "drop is for all columns: give it alone, or COLUMN=VALUE for each"),
        (["--formula", "y ~ a"], "it names the target, 'y', as --target does: leave --target out, or"),
        (["--formula", "a"], "it names the columns that are used, others are not looked at: leave --features out"),
    ],
)
def test_what_is_wrong_usage(arguments, message):
    output = " ".join(run("fit", "t.csv", "--target", "y", *FEATURES, *arguments, code=2).output.split())
    assert message in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--base", "regoin=n"], "--base names 'regoin', which is no categorical column: those are 'region'"),
        (["--base", "region=x"], "--base: column 'region' has no level 'x': it has 'n', 's', 'w'"),
        (["--missing", "z=mean"], "--missing: there is no feature 'z' in the fit: its features are 'a', 'b', 'region'"),
        (["--unknown", "base"], "--unknown base needs base levels: tell them, as in --base first"),
        (
            ["--categorical", "b", "--base", "region=n", "--unknown", "base"],
            "--unknown base: the model has no base level of 'b': fit it with --base first, or with a level for each",
        ),
    ],
)
def test_what_columns_do_not_have_is_told_in_options(arguments, message):
    with pytest.raises((DataError, ValueError)) as caught:
        run("fit", "t.csv", "--target", "y", *FEATURES, *arguments, "-q")
    assert message in in_options(str(caught.value))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--formula", "y ~ wage"], "there is no column 'wage': its columns are 'a'"),
        (["--formula", "y ~ a +"], "formula 'y ~ a +' cannot be read"),
        (["--formula", "y ~ 0 + a"], "leaves the intercept out: say so to the model, with --no-intercept"),
        (["--formula", "a + b"], "name its column with --target COLUMN"),
        (["--formula", "y ~ a", "--base", "region=s"], "leave --base out, and say it in the formula, as in C(region"),
        (["--formula", "y ~ a", "--missing", "mean", "--missing-indicator"], "--missing-indicator does not go with a"),
        (["--formula", "y ~ a", "--format", "npy"], "npy files have no names of columns: leave --formula out"),
    ],
)
def test_what_does_not_go_with_a_formula_is_told_in_options(arguments, message):
    with pytest.raises((DataError, ValueError)) as caught:
        run("fit", "t.csv", *arguments, "-q")
    assert message in in_options(str(caught.value))


def test_a_share_of_no_penalty_is_an_error():
    with pytest.raises(ValueError, match="--l1-ratio is a share of the penalty, and there is none"):
        run("fit", "t.csv", *POISSON, "--l1-ratio", 0.5)
    with pytest.raises(ValueError, match="--groups are a part of the penalty, and there is none"):
        run("fit", "t.csv", *POISSON, "--groups", "columns")


def test_zeros_and_bounds_are_shown():
    shown = run("fit", "t.csv", "--target", "y", *FEATURES, "--l2", 0.1, "--l1-ratio", 1, "--save", "m.fb", "-q").stdout
    assert " l1 " in shown
    assert "not zero" in shown
    shown = run("fit", "t.csv", "--target", "y", *FEATURES, "--l2", 0.1, "--groups", "columns", "-q").stdout
    assert " l21 " in shown
    assert "not zero" in shown
    run("fit", "t.csv", "--target", "y", *FEATURES, "--lower", 0, "--upper", "a=0.1", "--save", "m.fb", "-q")
    inspected = run("inspect", "m.fb").stdout
    assert "lower bounds 0.0" in inspected
    assert "upper bounds a 0.1" in inspected


MODELS = (
    ["inspect", "m.fb"],
    PREDICT,
    EVALUATE,
    ["summary", "m.fb", "t.csv", "--target", "y"],
    ["summary", "m.fb", "t.csv", "--target", "y", "--influence", "i.csv"],
    ["check", "m.fb", "t.csv", "--target", "y"],
    ["check", "m.fb", "t.csv", "--target", "y", "--residuals", "r.csv", "--plot", "p.png"],
    ["export", "m.fb", "m.sql"],
)


@pytest.mark.parametrize("command", MODELS, ids=" ".join)
def test_a_model_that_is_not_there_is_told_in_one_way(command, table):
    with pytest.raises(ModelFileError, match=r"^there is no file m\.fb$"):
        run(*command)
    Path("m.fb").mkdir()
    with pytest.raises(ModelFileError, match=r"^m\.fb is damaged, or not a file of fullbatch: it is a directory$"):
        run(*command)


def test_a_model_is_a_file_and_no_glob(churn):
    churn.save("m[1].fb")
    run("export", "m[1].fb", "m.sql")
    for more in (["--influence", "i.csv"], []):
        run("summary", "m[1].fb", "train.csv", "--target", "y", *more)
    run("predict", "m[1].fb", "train.csv", "--output", "p.csv")


# --- summary and export ----------------------------------------------------------------------------------------------


@pytest.fixture
def churn(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table.assign(shop=np.arange(len(table)) % 20).to_csv("train.csv", index=False)
    LogisticRegression(C=np.inf, tol=1e-8).fit(csv_sources("train.csv", **ROLES)).save("m.fb")
    return load_model("m.fb")


def test_summary_tells_what_the_library_does(churn):
    asked = ["summary", "m.fb", "train.csv", "--target", "y", "--clusters", "shop", "--level", "0.9"]
    expected = churn.inference(csv_sources("train.csv", **ROLES), clusters="shop")
    assert run(*asked).stdout.splitlines() == expected.summary(0.9).splitlines()
    found = told(*asked)
    assert found["clusters"] == [20]
    assert [one["std_err"] for one in found["coefficients"]] == expected.std_err.tolist()
    robust = told("summary", "m.fb", "train.csv", "--target", "y", "--covariance", "HC3", "--weights", "precision")
    assert robust["covariance"] == "HC3"
    run(*asked, "--influence", "influence.parquet")
    assert pd.read_parquet("influence.parquet").equals(expected.influence())
    with pytest.raises(fullbatch.DataError, match="it is one of the files to read"):
        run(*asked, "--influence", "train.csv")


def test_export_writes_what_the_ending_says(churn):
    run("export", "m.fb", "m.sql", "--table", "shops", "--view", "scored")
    assert Path("m.sql").read_text() == churn.to_sql("shops", view="scored")
    assert told("export", "m.fb", "card.txt", "--format", "card-json")["bytes"] == Path("card.txt").stat().st_size
    assert json.loads(Path("card.txt").read_text())["fingerprint"] == churn.model_card()["fingerprint"]
    with pytest.raises(fullbatch.DataError, match="it is one of the files to read"):
        run("export", "m.fb", "m.fb", "--format", "sql")
    assert "only SQL has it" in run("export", "m.fb", "m.onnx", "--dialect", "postgres", code=2).stderr


def test_relativities_have_errors_where_the_rows_are_named(churn, table):
    run("export", "m.fb", "plain.csv")
    assert "std_err" not in pd.read_csv("plain.csv")
    # Dummies against the first region, in statsmodels.
    design = pd.get_dummies(table[["a", "b", "region"]], columns=["region"], drop_first=True, dtype=float)
    truth = (table["y"] == sorted(set(table["y"]))[1]).astype(float)
    names = ["const", "a", "b", "region_s", "region_w"]
    for asked, options in (
        ([], {}),
        (["--covariance", "HC0"], {"cov_type": "HC0"}),
        (["--clusters", "shop"], {"cov_type": "cluster", "cov_kwds": {"groups": np.arange(len(table)) % 20}}),
    ):
        fit = sm.GLM(truth, sm.add_constant(design), sm.families.Binomial()).fit(tol=1e-12, **options)
        told = run("export", "m.fb", "r.csv", "--data", "train.csv", "--target", "y", *asked)
        assert "r.csv" in told.stdout
        found = pd.read_csv("r.csv")
        assert found["std_err"].tolist()[3] == 0.0  # the first region
        found = found.drop(index=3)
        assert_allclose(found["std_err"], (np.exp(fit.params) * fit.bse)[names], rtol=1e-5)
    # By the columns of the fit; files in another format, and read otherwise.
    run("export", "m.fb", "again.csv", "--data", "train.csv")
    table.to_csv("semicolons.txt", index=False, sep=";")
    reading = ["--data-format", "csv", "--delimiter", ";", "--format", "relativities"]
    run("export", "m.fb", "other.txt", "--data", "semicolons.txt", *reading)
    assert Path("other.txt").read_text() == Path("again.csv").read_text()
    run("export", "m.fb", "r.xlsx", "--data", "train.csv")
    assert pd.read_excel("r.xlsx")["std_err"].tolist() == pytest.approx(pd.read_csv("again.csv")["std_err"].tolist())


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["m.onnx", "--data", "train.csv"], r"only relativities \(.csv, .xlsx\) have standard errors"),
        (["r.csv", "--covariance", "HC1"], r"--covariance.*it is of rows: name their files with --data"),
        (["r.csv", "--clusters", "shop"], r"--clusters.*it is of rows: name their files with --data"),
        (["r.csv", "--weights", "precision"], r"--weights.*it is of rows: name their files with --data"),
        (["m.sql", "--delimiter", ";"], r"--delimiter.*it is of rows: name their files with --data"),
        (["m.sql", "--data-format", "csv"], r"--data-format.*it is of rows: name their files with --data"),
    ],
)
@pytest.mark.usefixtures("churn")
def test_options_of_rows_without_rows(asked, message):
    assert re.search(message, " ".join(run("export", "m.fb", *asked, code=2).stderr.split()))


@pytest.mark.usefixtures("churn")
def test_rows_are_not_overwritten_by_relativities():
    with pytest.raises(fullbatch.DataError, match="it is one of the files to read"):
        run("export", "m.fb", "train.csv", "--data", "train.csv")


def test_the_columns_of_a_fit_go_by_their_names(table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table.to_csv("train.csv", index=False)
    run("fit", "train.csv", *POISSON, "--offset", "off", "--save", "m.fb")
    model = load_model("m.fb")
    assert (model.target_name_, model.offset_name_) == ("c", "off")
    for asked, name in ([], "off"), (["--offset", "log_n"], "log_n"):
        run("export", "m.fb", "m.sql", *asked)
        assert f'CAST(t."{name}" AS DOUBLE)' in Path("m.sql").read_text()
        run("export", "m.fb", "m.json", *asked)
        assert json.loads(Path("m.json").read_text())["columns"][-1] == {
            "name": name,
            "type": "offset",
            "missing": None,
        }
    assert "relativities tell of no offset" in run("export", "m.fb", "m.csv", "--offset", "off", code=2).stderr
    for command in ("evaluate", "summary", "check"):
        by_name = told(command, "m.fb", "train.csv", "--target", "c", "--offset", "off")
        assert told(command, "m.fb", "train.csv") == by_name
    run("predict", "m.fb", "train.csv", "--output", "p.csv")
    wanted = model.predict(table[["a", "b"]], offset=table["off"])
    assert_array_equal(pd.read_csv("p.csv")["prediction"], wanted)
    # Files of before do not tell: names are then needed as they were.
    kind, arrays, metadata = read(Path("m.fb"))
    write("m.fb", kind, arrays, {name: value for name, value in metadata.items() if name != "named"})
    run("export", "m.fb", "m.sql")
    assert 'CAST(t."offset" AS DOUBLE)' in Path("m.sql").read_text()
    with pytest.raises(DataError, match="the model was fitted with an offset and there is none here"):
        run("evaluate", "m.fb", "train.csv", "--target", "c")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--link", "log"], "--link log goes with a family: name it with --family"),
        (["--model", "poisson", "--family", "gamma"], "--model poisson and --family gamma are two models"),
        (["--family", "gamma", "--balanced"], "--balanced weighs classes, and the gamma family has none"),
        (["--family", "binomial", "--l1-ratio", "0.5"], "--l1-ratio is a share of the penalty, and there is none"),
    ],
)
def test_families_that_do_not_go_with_the_rest(options, message):
    with pytest.raises(ValueError, match=message):
        run("fit", "t.csv", "--target", "y", *FEATURES, *options)


# --- check ------------------------------------------------------------------------------------------------------------


def test_check_tells_what_the_library_does(churn):
    asked = ["check", "m.fb", "train.csv", "--target", "y", "--by", "region,a", "--bins", "4"]
    expected = churn.checks(csv_sources("train.csv", **ROLES))
    assert run(*asked).stdout.splitlines() == expected.summary(["region", "a"], 4).splitlines()
    assert told(*asked) == expected.as_dict(["region", "a"], 4)
    run(*asked, "--residuals", "residuals.parquet")
    assert_array_equal(pd.read_parquet("residuals.parquet")["residual"], expected.quantile_residuals())
    precise = told("check", "m.fb", "train.csv", "--target", "y", "--weight", "c", "--weights", "precision")
    assert precise["measures"]["weight"] == pd.read_csv("train.csv")["c"].sum()
    by_shop = told("check", "m.fb", "train.csv", "--target", "y", "--by", "shop")["by_column"]["shop"]
    rows = pd.read_csv("train.csv").groupby("shop").size()
    assert dict(zip(map(int, by_shop["name"]), by_shop["rows"], strict=True)) == rows.to_dict()
    with pytest.raises(fullbatch.DataError, match="there is no column 'street'"):
        run("check", "m.fb", "train.csv", "--target", "y", "--by", "street")


def test_check_counts_unknown_levels_only_when_asked_to(churn):
    pd.read_csv("train.csv").assign(region="elsewhere").to_csv("other.csv", index=False)
    with pytest.raises(fullbatch.DataError, match="unknown level 'elsewhere'"):
        run("check", "m.fb", "other.csv", "--target", "y")
    assert (
        "(not seen)" in run("check", "m.fb", "other.csv", "--target", "y", "--by", "region", "--ignore-unknown").stdout
    )


def test_check_draws_to_a_file(churn, monkeypatch):
    figures = []

    class Figure:
        def savefig(self, path):
            figures.append(path)

    class Axes:
        figure = Figure()

    monkeypatch.setattr("fullbatch.checks.results.Checks.plot", lambda self, label: [Axes()])
    run("check", "m.fb", "train.csv", "--target", "y", "--plot", "checks.png")
    assert figures == [Path("checks.png")]
    with pytest.raises(fullbatch.DataError, match="it is one of the files to read"):
        run("check", "m.fb", "train.csv", "--target", "y", "--plot", "m.fb")
