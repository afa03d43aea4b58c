import json
import os
import resource
import signal
import time
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from commands import ended, fullbatch, started
from sklearn.linear_model import PoissonRegressor
from tables import table, write_libsvm, write_parquet_directory
from typer.testing import CliRunner

from fullbatch import GeneralizedLinearRegressor, ModelFileError, load_model
from fullbatch.cli import info
from fullbatch.cli._data import FileOptions
from fullbatch.cli._screen import in_options
from fullbatch.cli.app import app, run
from fullbatch.data.columns import Roles
from fullbatch.datasets import load_mnist


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "model.fb"
    done = fullbatch("fit", "mnist", "--save", path, "--json")
    return path, done


def test_fit(fitted):
    path, done = fitted
    told = json.loads(done.stdout)
    assert told["status"] in ("converged", "precision")  # float32 noise may end it first
    assert told["rows"] == 8000
    assert told["passes"] < 200
    model, mnist = load_model(path), load_mnist()
    assert model.score(mnist.X_test, mnist.y_test) == pytest.approx(told["test_accuracy"])
    assert "iteration" in done.stderr
    assert "seconds" in done.stderr
    # F by hand: mean cross-entropy of the training rows and the penalty.
    proba = model.predict_log_proba(mnist.X_train)
    loss = -proba[np.arange(8000), mnist.y_train].mean() + 0.5 / 8000 * (model.coef_**2).sum()
    assert told["F"] == pytest.approx(loss, rel=1e-5)
    # And its gradient, in the variables of centred columns: the fit ended where its rule says and not before.
    X, errors = np.asarray(mnist.X_train, np.float64), np.exp(proba)
    errors[np.arange(8000), mnist.y_train] -= 1.0
    grad = (errors.T @ (X - X.mean(axis=0)) + model.coef_) / 8000
    grad_norm = np.hypot(np.linalg.norm(grad), np.linalg.norm(errors.mean(axis=0)))
    assert told["gradient_norm"] == pytest.approx(grad_norm, rel=0.05)
    assert told["relative_gradient_norm"] <= 2e-4


def test_the_same_command_goes_on_where_it_was_killed(fitted, tmp_path):
    path, done = fitted
    kept = ["--checkpoint", tmp_path / "run", "--checkpoint-every", 0]
    arguments = ["fit", "mnist", *kept, "--save", tmp_path / "model.fb"]
    process = started(*arguments)
    while not (tmp_path / "run" / "checkpoint-00000006.fb").exists():
        assert process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.communicate()
    told = json.loads(fullbatch(*arguments, "--engine", "serial", "--json").stdout)
    assert told["resumed_at"] >= 6
    assert told["F"] == json.loads(done.stdout)["F"]
    assert (tmp_path / "model.fb").read_bytes() == path.read_bytes()
    refused = fullbatch(*arguments, "--l2", 0.5, code=1)
    assert "of another run: l2 of the parameters[0]: 0.000125 there, 0.5 here" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_evaluate(fitted):
    path, done = fitted
    told = json.loads(fullbatch("evaluate", path, "--json").stdout)
    assert told["accuracy"] == json.loads(done.stdout)["test_accuracy"]
    shown = fullbatch("evaluate", path).stdout
    assert "accuracy" in shown


def test_a_memory_budget_changes_the_plan_and_not_the_model(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.standard_normal((40_000, 30)), columns=[f"x{j}" for j in range(30)])
    frame.assign(y=rng.poisson(1.5, len(frame))).to_parquet(tmp_path / "t.parquet", row_group_size=1000)
    models, told = [], []
    for memory in ("auto", "4 MB"):
        options = ["--target", "y", "--model", "poisson", "--memory", memory, "--save", tmp_path / "model.fb"]
        told.append(fullbatch("fit", tmp_path / "t.parquet", *options).stderr.replace("\n", " "))
        models.append(load_model(tmp_path / "model.fb").coef_.tobytes())
    assert models[0] == models[1]
    assert "40,000 rows in 4 blocks, 9.92 MB: all stay in memory" in told[0]
    assert "of them" in told[1]
    assert told[1].index("are read on each pass") < told[1].index("iteration"), "the plan comes before the work"
    done = fullbatch("fit", tmp_path / "t.parquet", "--target", "y", "--memory", "lots", code=1)
    assert 'memory must be "auto", bytes' in done.stderr


def test_engines_and_workers_give_the_same_file(tmp_path):
    files = []
    for number, options in enumerate(
        (["--engine", "serial"], ["--workers", 1], ["--engine", "threads", "--workers", 3])
    ):
        files.append(tmp_path / f"{number}.fb")
        fullbatch("fit", "mnist", *options, "--max-iter", 5, "--save", files[-1], "-q", code=3)
    coefs = [load_model(path).coef_.tobytes() for path in files]
    assert coefs[0] == coefs[1] == coefs[2]


def test_exit_codes_say_how_it_ended():
    done = fullbatch("fit", "mnist", "--max-iter", 2, "--json", code=3)
    assert json.loads(done.stdout)["status"] == "max_iter"
    done = fullbatch("fit", "mnist", "--time-limit", 0.01, "--tol", 0, "--json", code=3)
    assert "time limit" in json.loads(done.stdout)["message"]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "iris"], 1, "cannot read iris: no such file or directory"),
        (["fit", "mnist", "--model", "tree"], 2, "'tree' is not one of 'logistic'"),
        (["fit", "table.csv", "--target", "z"], 1, "there is no column 'z': its columns are 'a', 'y'"),
        (
            ["fit", "table.csv"],
            1,
            "which a model needs to learn from: name its column with --target COLUMN",
        ),
        (["fit", "table.csv", "--target", "y", "--format", "xlsx"], 2, "'xlsx' is not one of 'parquet'"),
        (["fit", "table.csv", "--target", "y", "--missing", "a"], 2, "'a' is not NAME=VALUE"),
        (["fit", "table.csv", "--target", "y", "--option", "power=2"], 1, "the logistic loss has no option 'power'"),
        (
            ["fit", "table.csv", "--target", "y", "--model", "huber", "--option", "delta=big"],
            1,
            "'delta' must be a number",
        ),
        (["fit", "table.csv", "--target", "y", "--model", "gamma", "--balanced"], 1, "weighs classes, and the gamma"),
        (["fit", "table.csv", "--target", "y", "--solver", "magic"], 2, "'magic' is not one of 'auto', 'lbfgs'"),
        (["fit", "ragged.csv", "--target", "y"], 1, "ragged.csv: row 1 has 3 values, the file has 2 columns: '2,1,9'"),
        (["fit", "one.csv", "--target", "y"], 1, "the data has one class only, 0: at least 2 are needed"),
        (["predict", "nothing.fb", "table.csv", "--output", "p.csv"], 1, "there is no file nothing.fb"),
        (["predict", "nothing.fb", "table.csv"], 2, "--output"),
        (["fit", "mnist", "--engine", "spark"], 2, "'spark' is not one of"),
        (["fit", "mnist", "--l2", "-1"], 2, "--l2"),
        (["fit", "mnist", "--workers", "0"], 2, "--workers"),
        (["fit", "mnist", "--colour", "red"], 2, "No such option"),
        (["fit", "mnist", "--engine", "serial", "--workers", "2"], 1, "serial engine has one worker"),
        (["fit", "mnist", "--directory", "nowhere"], 1, "nowhere has neither train-images-idx3-ubyte"),
        (["fit", "mnist", "--save", "nowhere/model.fb"], 1, "there is no directory nowhere"),
        (["fit", "mnist", "--save", "."], 1, "it is a directory"),
        (["fit", "mnist", "--l2", "nan"], 2, "--l2"),
        (["fit", "mnist", "--tol", "inf"], 1, "tol must be a finite number"),
        (
            ["fit", "table.csv", "--target", "y", "--model", "quantile", "--option", "quantile=90"],
            1,
            "'quantile' must be between 0 and 1",
        ),
        (["fit", "table.csv", "--target", "y", "--save", "table.csv"], 1, "that is not of fullbatch is there"),
        (["fit", "table.csv", "--target", "y", "--types", "a=colour"], 1, "'colour' of column 'a' is no Arrow type"),
        (["evaluate", "nothing.fb"], 1, "there is no file nothing.fb"),
        (["evaluate", "damaged.fb"], 1, "damaged"),
        (["fetch", "mnist", "--url", "http://127.0.0.1:9/"], 1, "is there a network"),
    ],
)
def test_errors_are_one_message_and_leave_no_file(tmp_path, arguments, code, message):
    (tmp_path / "damaged.fb").write_bytes(b"PK\x03\x04")
    (tmp_path / "table.csv").write_text("a,y\n1,0\n2,1\n")
    (tmp_path / "ragged.csv").write_text("a,y\n1,0\n2,1,9\n")
    (tmp_path / "one.csv").write_text("a,y\n1,0\n2,0\n")
    there = sorted(path.name for path in tmp_path.rglob("*") if path.is_file())
    done = fullbatch(*arguments, code=code, cwd=tmp_path)
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert sorted(path.name for path in tmp_path.rglob("*") if path.is_file()) == there


def test_debug_shows_the_traceback(tmp_path):
    for arguments in (
        ["--debug", "evaluate", tmp_path / "nothing.fb"],
        ["evaluate", tmp_path / "nothing.fb", "--debug"],
    ):
        with pytest.raises(ModelFileError, match=r"there is no file .*nothing.fb"):  # Python shows where
            run(list(map(str, arguments)))


@pytest.fixture(scope="module")
def claims(tmp_path_factory):
    """Files of policies: some to train on, some to predict for."""
    directory = tmp_path_factory.mktemp("claims")
    rng = np.random.default_rng(0)
    n = 600
    frame = pd.DataFrame(
        {
            "age": rng.integers(18, 80, n),
            "region": rng.choice(["n", "s", "w"], n),
            "zone": rng.integers(0, 3, n),
            "log_exposure": np.log(rng.uniform(0.2, 1.0, n)),
            "weight": rng.integers(1, 3, n),
            "note": "free text",
        }
    )
    frame["claims"] = rng.poisson(np.exp(frame["log_exposure"] + 0.01 * frame["age"] - 0.7 * (frame["region"] == "s")))
    write_parquet_directory(frame.iloc[:500], directory / "train", files=3, row_group_size=40)
    frame.iloc[:500].to_csv(directory / "train.csv", index=False)
    frame.iloc[500:].drop(columns="note").to_csv(directory / "test.csv", index=False)
    return directory, frame


FIT = [
    "--target",
    "claims",
    "--model",
    "poisson",
    "--offset",
    "log_exposure",
    "--weight",
    "weight",
    "--exclude",
    "note",
]


def test_fit_predict_and_evaluate_files(claims, tmp_path):
    directory, frame = claims
    told, coefs = [], []
    for number, data in enumerate(("train", "train.csv")):
        path = tmp_path / f"{number}.fb"
        options = [*FIT, "--categorical", "zone", "--l2", "0.001", "--save", path, "--json", "-q"]
        told.append(json.loads(fullbatch("fit", directory / data, *options).stdout))
        coefs.append(load_model(path).coef_.tobytes())
    assert coefs[0] == coefs[1]
    assert told[0]["rows"] == 500
    assert told[0]["columns"] == 3
    assert told[0]["parameters"] == 1 + 3 + 3 + 1
    model = load_model(tmp_path / "0.fb")
    assert model.get_feature_names_out()[0] == "age"

    # The same by hand.
    columns = [frame["age"], *(frame["region"] == r for r in "nsw"), *(frame["zone"] == z for z in range(3))]
    X, exposure = np.column_stack(columns).astype(float), np.exp(frame["log_exposure"])
    rate = PoissonRegressor(alpha=0.0, tol=1e-12, solver="newton-cholesky", max_iter=1000)
    weight = (frame["weight"] * exposure)[:500]
    rate.set_params(alpha=0.001 * frame["weight"][:500].sum() / weight.sum())  # its mean is over other weights
    rate.fit(X[:500], (frame["claims"] / exposure)[:500], weight)
    expected = rate.predict(X[500:]) * exposure[500:]

    test, output = directory / "test.csv", tmp_path / "p.csv"
    fullbatch("predict", tmp_path / "0.fb", test, "--offset", "log_exposure", "--output", output)
    np.testing.assert_allclose(pd.read_csv(output)["prediction"], expected, rtol=2e-4)
    parts = tmp_path / "parts"
    options = ["--offset", "log_exposure", "--output", parts, "--workers", 2, "--json"]
    assert json.loads(fullbatch("predict", tmp_path / "0.fb", directory / "train", *options).stdout)["rows"] == 500
    assert pd.read_parquet(parts)["prediction"].size == 500
    measured = json.loads(
        fullbatch(
            "evaluate", tmp_path / "0.fb", test, "--target", "claims", "--offset", "log_exposure", "--json"
        ).stdout
    )
    assert measured["rows"] == 100
    residual = frame["claims"][500:] - pd.read_csv(output)["prediction"].to_numpy()
    assert measured["rmse"] == pytest.approx(np.sqrt((residual**2).mean()))


def test_unknown_categories_and_missing_values(claims, tmp_path):
    directory, frame = claims
    fullbatch("fit", directory / "train.csv", *FIT, "--save", tmp_path / "m.fb", "-q")
    new = frame.iloc[500:].assign(region=["mars" if row == 7 else "n" for row in range(100)])
    new.drop(columns="log_exposure").to_csv(tmp_path / "new.csv", index=False)
    predict = ["predict", tmp_path / "m.fb", tmp_path / "new.csv", "--output", tmp_path / "p.csv"]
    assert "there is no column 'log_exposure'" in fullbatch(*predict, code=1).stderr
    new.to_csv(tmp_path / "new.csv", index=False)
    done = fullbatch(*predict, code=1)
    assert "row 7, column 'region': unknown level 'mars'; those of the fit are 'n', 's', 'w'" in done.stderr
    assert "or use --ignore-unknown" in done.stderr
    fullbatch(*predict, "--ignore-unknown")
    assert len(pd.read_csv(tmp_path / "p.csv")) == 100
    new.assign(age=[None if row == 3 else 40 for row in range(100)], region="n").to_csv(
        tmp_path / "new.csv", index=False
    )
    told = fullbatch(*predict, code=1).stderr
    assert "row 3, column 'age': the value is missing" in told
    assert "--missing age=..." in told
    assert "would leave rows without a prediction" in fullbatch(*predict, "--missing", "drop", code=1).stderr
    fullbatch(*predict, "--missing", "age=40")
    filled = pd.read_csv(tmp_path / "p.csv")["prediction"].to_numpy()
    zone_only = new.assign(age=40, region="n")
    zone_only.to_csv(tmp_path / "new.csv", index=False)
    fullbatch(*predict)
    np.testing.assert_array_equal(pd.read_csv(tmp_path / "p.csv")["prediction"], filled)


def test_what_a_fit_learns_of_missing_values_and_makes_of_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"age": rng.integers(20, 70, 80), "region": rng.choice(["n", "s"], 80), "y": rng.poisson(2, 80)}
    )
    frame["age"] = frame["age"].where(frame.index % 7 > 0)
    frame.to_csv("t.csv", index=False)

    def run(*arguments):
        return CliRunner().invoke(app, [*arguments, "--engine", "serial"], catch_exceptions=True)

    told = ["t.csv", "--target", "y", "--model", "poisson", "--save", "m.fb", "-q"]
    assert "A fit can learn it: --missing median" in in_options(str(run("fit", *told).exception))
    assert run("fit", *told, "--missing", "median").exit_code == 0
    model = load_model("m.fb")
    assert model.missing_ == {"age": frame["age"].median(), "region": "missing"}
    indicated = GeneralizedLinearRegressor("poisson", missing="mean", missing_indicator=True, base="first").fit(
        frame, "y"
    )
    formula = GeneralizedLinearRegressor("poisson", missing="mean", formula="y ~ C(region) * age").fit(frame)
    for one in (model, indicated, formula):
        one.save("m.fb")
        assert run("predict", "m.fb", "t.csv", "--output", "p.csv").exit_code == 0
        np.testing.assert_allclose(pd.read_csv("p.csv")["prediction"], one.predict(frame), rtol=1e-12)
        shown = CliRunner().invoke(app, ["inspect", "m.fb"])
        assert "region (2 levels" in shown.output
        refused = run("evaluate", "m.fb", "t.csv", "--target", "y", "--missing", "mean")
        assert refused.exit_code == 2
    assert run("path", *told[:5], "--missing", "mean", "--num", "3").exit_code == 0


def test_columns_are_kept_and_what_the_fit_filled_is_filled(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paid = ["" if row % 7 == 3 else str(row % 3 == 0).lower() for row in range(60)]
    rows = [f"{row:03d},{flag},{row % 5},{row % 2}\n" for row, flag in enumerate(paid)]
    (tmp_path / "t.csv").write_text("id,paid,x,y\n" + "".join(rows))

    def run(*arguments):
        return CliRunner().invoke(app, [*arguments, "--engine", "serial"], catch_exceptions=True)

    told = ["t.csv", "--target", "y", "--exclude", "id", "--save", "m.fb", "-q"]
    assert "column 'paid': the value is missing" in str(run("fit", *told).exception)
    assert run("fit", *told, "--missing", "paid=true").exit_code == 0
    for output in ("p.csv", "p.parquet"):
        assert run("predict", "m.fb", "t.csv", "--output", output, "--proba", "--keep", "id,y").exit_code == 0
    written = pd.read_csv("p.csv", dtype={"id": str})
    assert written.columns.tolist() == ["id", "y", "prediction", "probability_0", "probability_1"]
    assert written["id"].tolist() == [f"{row:03d}" for row in range(60)]
    frame = pd.DataFrame({"paid": [flag in ("", "true") for flag in paid], "x": np.arange(60) % 5})
    np.testing.assert_allclose(written["probability_1"], load_model("m.fb").predict_proba(frame)[:, 1], rtol=1e-12)
    assert pd.read_parquet("p.parquet")["id"].tolist() == written["id"].tolist()
    refused = run("predict", "m.fb", "t.csv", "--output", "p.csv", "--keep", "nr")
    assert "there is no column 'nr': its columns are 'id', 'paid', 'x', 'y'" in str(refused.exception)


def test_libsvm_and_npy_files(tmp_path):
    frame = table()
    write_libsvm(frame, tmp_path / "t.libsvm")
    np.save(tmp_path / "X.npy", frame.drop(columns="y"))
    np.save(tmp_path / "y.npy", frame["y"])
    fullbatch("fit", tmp_path / "t.libsvm", "--save", tmp_path / "1.fb", "-q")
    fullbatch("fit", tmp_path / "X.npy", "--target", tmp_path / "y.npy", "--save", tmp_path / "2.fb", "-q")
    models = [load_model(tmp_path / f"{number}.fb") for number in (1, 2)]
    assert models[0].coef_.tobytes() == models[1].coef_.tobytes()
    evaluate = ["evaluate", tmp_path / "2.fb", tmp_path / "t.libsvm", "--json"]
    assert "--zero-based or --one-based" in fullbatch(*evaluate, code=1).stderr
    told = json.loads(fullbatch(*evaluate, "--one-based").stdout)
    assert told["accuracy"] == pytest.approx(models[0].score(frame.drop(columns="y").to_numpy(), frame["y"]))
    done = fullbatch("evaluate", tmp_path / "1.fb", code=1)
    assert "the model has 4 columns, mnist has 784" in done.stderr


def test_predictions_never_replace_what_they_are_made_from(tmp_path):
    table().to_csv(tmp_path / "t.csv", index=False)
    fullbatch("fit", tmp_path / "t.csv", "--target", "y", "--save", tmp_path / "m.fb", "-q")
    before = (tmp_path / "t.csv").read_bytes()
    done = fullbatch("predict", "m.fb", "*.csv", "--output", "./t.csv", code=1, cwd=tmp_path)
    assert "it is one of the files to read" in done.stderr
    assert (tmp_path / "t.csv").read_bytes() == before
    done = fullbatch("predict", "m.fb", "t.csv", "--output", "p.json", code=1, cwd=tmp_path)
    assert ".json is no format" in done.stderr
    fullbatch("fit", "t.csv", "--target", "y", "--save", "m.fb", "-q", cwd=tmp_path)  # a model may replace a model


def test_columns_are_of_the_types_of_the_fit(tmp_path):
    frame = pd.DataFrame({"code": ["1", "2", "A"] * 50, "y": [0, 1, 1] * 50})
    frame.to_csv(tmp_path / "train.csv", index=False)
    frame[frame["code"] != "A"].to_csv(tmp_path / "new.csv", index=False, sep="\t")
    fullbatch("fit", tmp_path / "train.csv", "--target", "y", "--save", tmp_path / "m.fb", "-q")
    options = ["--delimiter", "\\t", "--target", "y", "--json"]
    told = json.loads(fullbatch("evaluate", tmp_path / "m.fb", tmp_path / "new.csv", *options).stdout)
    assert told["rows"] == 100
    assert told["accuracy"] == 1.0
    (tmp_path / "gap.csv").write_text('code\n""\n2\n')
    output = ["--output", tmp_path / "p.csv", "--missing", "code=1"]
    fullbatch("predict", tmp_path / "m.fb", tmp_path / "gap.csv", *output)
    assert pd.read_csv(tmp_path / "p.csv")["prediction"].tolist() == [0, 1]


def test_columns_of_libsvm_files_are_counted_as_in_the_fit(tmp_path):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    rows = [f"{label} 0:{x} 1:{3 * label + x} 2:{-x}\n" for label, x in zip(y, rng.standard_normal(300), strict=True)]
    (tmp_path / "train.svm").write_text("".join(rows))
    (tmp_path / "new.svm").write_text("".join(row.split(" 0:")[0] + " 1" + row.partition(" 1")[2] for row in rows))
    fullbatch("fit", tmp_path / "train.svm", "--save", tmp_path / "m.fb", "-q")
    evaluate = ["evaluate", tmp_path / "m.fb", tmp_path / "new.svm", "--json"]
    X = np.array([[0.0, *(float(pair.partition(":")[2]) for pair in row.split()[2:])] for row in rows])
    expected = load_model(tmp_path / "m.fb").score(X, y)
    assert json.loads(fullbatch(*evaluate).stdout)["accuracy"] == pytest.approx(expected)
    assert "read the files with --zero-based" in fullbatch(*evaluate, "--one-based", code=1).stderr


def test_mistakes_are_one_line(tmp_path):
    frame = table().drop(columns="y").assign(y=np.arange(200.0))
    frame.to_csv(tmp_path / "t.csv", index=False)
    fit = ["fit", tmp_path / "t.csv", "--target", "y", "--model", "poisson", "--save", tmp_path / "m.fb", "-q"]
    fullbatch(*fit)
    frame.assign(y="many").to_csv(tmp_path / "text.csv", index=False)
    frame.assign(a="many").to_csv(tmp_path / "wrong.csv", index=False)
    predict = ["predict", tmp_path / "m.fb", tmp_path / "t.csv", "--output", tmp_path / "p.csv"]
    for arguments, message in (
        ([*predict, "--proba"], "has no probabilities: it predicts numbers"),
        (["evaluate", tmp_path / "m.fb", tmp_path / "text.csv", "--target", "y"], "target y must be numbers"),
        (["predict", tmp_path / "m.fb", tmp_path / "wrong.csv", *predict[3:]], "column 'a' is text or categories"),
    ):
        done = fullbatch(*arguments, code=1)
        assert message in done.stderr
        assert len(done.stderr.splitlines()) == 1
    np.save(tmp_path / "X.npy", frame.drop(columns="y"))  # columns without names, in their order
    fullbatch("predict", tmp_path / "m.fb", tmp_path / "X.npy", "--output", tmp_path / "npy.csv")
    fullbatch(*predict)
    assert (tmp_path / "npy.csv").read_bytes() == (tmp_path / "p.csv").read_bytes()


def test_json_is_strict_and_no_line_is_broken_in_a_pipe(tmp_path):
    frame = table()
    frame["y"] = np.where(np.arange(len(frame)) % 2, "yes", "no")
    frame.to_csv(tmp_path / "t.csv", index=False)
    path = tmp_path / ("long" * 30 + ".fb")
    fullbatch("fit", tmp_path / "t.csv", "--target", "y", "--save", path, "-q")
    frame.assign(y="perhaps").to_csv(tmp_path / "t.csv", index=False)
    evaluate = ["evaluate", path, tmp_path / "t.csv", "--target", "y"]

    def refuse(constant):
        raise AssertionError(constant)

    assert json.loads(fullbatch(*evaluate, "--json").stdout, parse_constant=refuse)["cross_entropy"] is None
    assert str(path) in fullbatch(*evaluate).stdout


def _no_room():
    resource.setrlimit(resource.RLIMIT_FSIZE, (16 * 1024, 16 * 1024))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    os.environ.pop("COVERAGE_PROCESS_CONFIG", None)  # which could not write what it measures


def test_a_directory_of_predictions_appears_whole_or_not_at_all(tmp_path):
    frame = table(rows=30_000)
    frame.to_csv(tmp_path / "t.csv", index=False)
    fullbatch("fit", tmp_path / "t.csv", "--target", "y", "--save", tmp_path / "m.fb", "-q")
    there = sorted(tmp_path.iterdir())
    predict = ["predict", tmp_path / "m.fb", tmp_path / "t.csv", "--proba", "--output", tmp_path / "parts"]
    done = ended(started(*predict, before=_no_room), 1)
    assert "cannot write predictions to" in done.stderr
    assert "File too large" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == there
    os.mkfifo(tmp_path / "slow.csv")  # a file that never comes to its end
    process = started("predict", tmp_path / "m.fb", tmp_path / "slow.csv", *predict[3:])
    with open(tmp_path / "slow.csv", "w"):  # opens when the command does
        os.kill(process.pid, signal.SIGINT)
        assert ended(process, 130) == ("", "interrupted\n")
    (tmp_path / "slow.csv").unlink()
    assert sorted(tmp_path.iterdir()) == there
    (tmp_path / "parts.unfinished").mkdir()
    assert "remove it if it was killed" in fullbatch(*predict, code=1).stderr


@pytest.mark.slow
def test_warming_up(tmp_path):
    environment = os.environ | {"FULLBATCH_CACHE_DIR": str(tmp_path)}
    info = ("info", "--warm-up", "--loss", "squared", "--json")
    told = [ended(started(*info, env=environment)) for _ in range(2)]
    first, second = (float(one.stderr.split()[-4]) for one in told)  # "... 93 s in all"
    assert second < first / 5
    assert json.loads(told[0].stdout)["compiled_files"] == json.loads(told[1].stdout)["compiled_files"] > 20
    assert "mixed float64" in told[0].stderr


def test_kernels_that_can_be_kept_nowhere_are_not_compiled(monkeypatch):
    monkeypatch.setattr("fullbatch.kernels.cache.cache_dir", lambda: None)
    told = fullbatch("info", "--warm-up", "--loss", "squared", code=1).stderr
    assert "compiled kernels cannot be kept: no folder can be written. Set FULLBATCH_CACHE_DIR" in told


def test_what_a_system_does_not_tell_is_left_out(monkeypatch):
    assert info._version("no-such-package") is None
    assert info._gigabytes("SC_NO_SUCH_NUMBER") is None
    monkeypatch.delattr("os.sysconf")
    assert info._gigabytes("SC_PHYS_PAGES") is None


def test_info_and_help():
    assert "use it with --warm-up" in fullbatch("info", "--loss", "squared", code=2).stderr
    assert "choose from squared" in fullbatch("info", "--warm-up", "--loss", "square", code=2).stderr
    told = json.loads(fullbatch("info", "--json").stdout)
    assert told["cpus"] >= 1
    assert "threads" in told["engines"]
    assert "numpy" in fullbatch("info").stdout
    assert told["free_memory_gb"] <= told["memory_gb"]
    assert "kernels-" in told["compiled_kernels"]
    assert "Exit codes" in fullbatch("--help").stdout
    for command in ("fit", "predict", "evaluate"):
        assert f"fullbatch {command} " in fullbatch(command, "--help").stdout.partition("Example")[2]
    assert fullbatch("--version").stdout.strip() == told["fullbatch"]


HOSTILE = "ev[red]il[bold]\n\x1b[31m:warning:\u202e\\.csv"


def test_names_and_labels_are_shown_as_text_one_line_an_error(tmp_path):
    (tmp_path / HOSTILE).write_text('a,"b[bold]\x1b[1m",y\n' + "1,2,n[o]\x1b\n2,3,yes\n" * 5)
    plain = "ev[red]il[bold]\\n\\x1b[31m:warning:\\u202e\\.csv"
    for options in ([], ["--json"]):
        done = fullbatch("fit", HOSTILE, "--target", "z", *options, code=1, cwd=tmp_path)
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: ")
        assert f"{plain}: there is no column 'z': its columns are 'a', 'b[bold]\\x1b[1m', 'y'" in line
    done = fullbatch("fit", HOSTILE, "--target", "y", "--save", "m.fb", cwd=tmp_path)
    assert done.stderr.splitlines()[0].startswith(f"logistic on {plain}: 1 block,")
    (tmp_path / "other.csv").write_text('a,"b[bold]\x1b[1m",y\n1,2,7\n')
    done = fullbatch("evaluate", "m.fb", "other.csv", "--target", "y", code=1, cwd=tmp_path)
    (line,) = done.stderr.splitlines()
    assert "labels are like 7, those of the fit like 'n[o]\\x1b': use text or numbers in both" in line
    told = fullbatch("evaluate", "m.fb", HOSTILE, "--target", "y", "--json", cwd=tmp_path).stdout
    assert len(told.splitlines()) == 1
    assert json.loads(told)["data"] == HOSTILE
    shown = fullbatch("evaluate", "m.fb", HOSTILE, "--target", "y", cwd=tmp_path).stdout
    assert plain in shown
    assert "\x1b" not in shown


def test_an_error_on_a_worker_is_one_line(capsys):
    from fullbatch import BlockError
    from fullbatch.cli._screen import print_error

    print_error(BlockError(3, HOSTILE, "Traceback\n  in here\nRuntimeError: [red] no\x1b"))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: block 3 (ev[red]il[bold]\\n\\x1b[31m:warning:\\u202e\\.csv) failed on its worker: ")
    assert line.endswith("RuntimeError: [red] no\\x1b (--debug shows more)")


def test_warnings_are_shown_as_text(tmp_path):
    (tmp_path / "t.csv").write_text("a,y\n" + "1,0\n2,1\n3,1\n" * 5)
    run = tmp_path / "r[red]un\x1b"
    fullbatch("fit", "t.csv", "--target", "y", "--checkpoint", run, "--checkpoint-every", 0, cwd=tmp_path)
    newest = max(run.iterdir())
    newest.write_bytes(newest.read_bytes()[:-1])
    done = fullbatch("fit", "t.csv", "--target", "y", "--checkpoint", run, "-q", cwd=tmp_path)
    (line,) = [line for line in done.stderr.splitlines() if "looking for the checkpoint before it" in line]
    assert "r[red]un\\x1b" in line


def test_the_command_line_has_the_roles_as_options():
    roles, options = ([field.name for field in fields(kind)] for kind in (Roles, FileOptions))
    assert options[: len(roles) - 1] == [role for role in roles if role != "dtype"]


def test_numbers_in_disguise_are_read_with_the_options_that_the_error_names(tmp_path):
    rows = [(f"{k % 5 + 0.5:.1f}".replace(".", ",") if k % 9 else "?", f"{k % 7}%", k % 2) for k in range(90)]
    file = tmp_path / "t.csv"
    file.write_text("x;z;y\n" + "".join(f"{x};{z};{y}\n" for x, z, y in rows))
    fit = ["fit", file, "--target", "y", "--delimiter", ";", "--quiet"]
    told = []
    for option in (["--missing-values", "?"], ["--units", "%"], ["--decimal", ","]):
        error = fullbatch(*fit, *told, code=1).stderr
        assert f"{option[0]} '{option[1]}'" in error
        told += option
    model = tmp_path / "model.fb"
    done = fullbatch(*fit, *told, "--missing", "drop", "--save", model, "--json")
    assert json.loads(done.stdout)["rows"] == 80
    fullbatch("evaluate", model, file, "--target", "y", "--delimiter", ";", *told, "--missing", "drop")


def test_rows_that_a_saved_model_does_not_keep_are_asked_for(tmp_path):
    table().to_csv(tmp_path / "t.csv", index=False)
    fullbatch("fit", "t.csv", "--target", "y", "--save", "m.fb", cwd=tmp_path)
    told = " ".join(fullbatch("summary", "m.fb", cwd=tmp_path, code=2).stderr.split())
    assert (
        "Missing argument 'DATA'. Standard errors are made from the rows of the fit, which a model does not keep"
        in told
    )
    told = " ".join(fullbatch("check", "m.fb", cwd=tmp_path, code=2).stderr.split())
    assert "Missing argument 'DATA'. A model is checked on rows whose targets are known, and keeps none" in told
