"""`fullbatch path` and `fullbatch cv`."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from fullbatch import load_model
from fullbatch.cli._screen import NOT_CONVERGED
from fullbatch.cli.app import app
from fullbatch.estimators.cross_validation import CrossValidation
from fullbatch.estimators.paths import Path

runner = CliRunner()


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(400, 3))
    y = X[:, 0] - X[:, 1] + rng.normal(size=400)
    file = tmp_path_factory.mktemp("path") / "train.csv"
    rows = np.column_stack((X, y))
    np.savetxt(file, rows, fmt="%.6g", delimiter=",", header="a,b,c,y", comments="")
    return str(file)


def _run(*arguments):
    return runner.invoke(app, [*arguments, "--target", "y", "--model", "squared", "--quiet", "--engine", "serial"])


def test_a_path_is_a_line_for_each_strength(table):
    shown = _run("path", table, "--num", "4")
    assert shown.exit_code == 0, shown.output
    lines = shown.stdout.splitlines()
    assert len(lines) == 6
    assert max(map(len, lines)) <= 80
    told = json.loads(_run("path", table, "--num", "4", "--json").stdout)
    assert told["columns"] == ["a", "b", "c"]
    assert np.shape(told["coefficients"]) == (4, 3)
    assert told["statuses"] == ["converged"] * 4


def test_separated_classes_are_told_by_the_table_and_in_json(tmp_path):
    file = tmp_path / "apart.csv"
    file.write_text("x,y\n" + "".join(f"{row},{int(row > 5)}\n" for row in range(12)))
    options = [str(file), "--target", "y", "--strengths", "0.1,0", "--engine", "serial"]
    shown = runner.invoke(app, ["path", *options])
    assert shown.exit_code == 0
    assert shown.stdout.splitlines()[2].endswith("separable")
    assert "\n[separable] 1 of 2 fits of the path (strength 0): the classes can be separated" in shown.stderr
    assert "FitWarning" not in shown.stderr
    told = json.loads(runner.invoke(app, ["cv", *options, "--folds", "2", "--json"]).stdout)
    assert [len(one) for one in told["notices"]] == [0, 1]
    assert [[len(one) for one in row] for row in told["fold_notices"]] == [[0, 0], [1, 1]]
    assert told["fold_notices"][1][0][0].startswith("[separable] the classes can be separated")


def test_more_folds_than_rows_are_refused(table):
    shown = _run("cv", table, "--folds", "401")
    assert shown.exit_code != 0
    assert "401 folds of 400 rows: some would have none" in str(shown.exception)


def test_cv_saves_the_model_that_it_chooses(table, tmp_path):
    file = tmp_path / "model.fb"
    told = json.loads(_run("cv", table, "--folds", "3", "--num", "5", "--save", str(file), "--json").stdout)
    assert told["chosen"] == told["best"] == int(np.argmin(told["mean"]))
    np.testing.assert_array_equal(load_model(file).coef_, told["coefficients"][told["best"]])
    shown = _run("cv", table, "--folds", "3", "--num", "5", "--one-se")
    assert max(map(len, shown.stdout.splitlines())) <= 80
    assert f"chosen: strength {told['strengths'][told['one_se']]:.5g}" in shown.stdout


def test_a_path_of_groups_leaves_their_norms_the_whole_strength(table):
    grouped = _run("path", table, "--num", "3", "--groups", "a=n", "--groups", "b=n", "--json")
    assert grouped.exit_code == 0, grouped.output
    told = json.loads(grouped.stdout)
    assert told["l1_ratio"] == 0.0
    assert [bool(row[0]) == bool(row[1]) for row in told["coefficients"]] == [True] * 3
    assert told["not_zero"][0] == 0
    both = json.loads(
        _run(
            "cv",
            table,
            "--folds",
            "3",
            "--num",
            "3",
            "--groups",
            "columns",
            "--l1-ratio",
            "0.5",
            "--group-ratio",
            "0.2",
            "--json",
        ).stdout
    )
    assert both["l1_ratio"] == 0.5
    assert both["statuses"] == ["converged"] * 3


def test_strengths_that_are_none_are_refused(table):
    failed = _run("path", table, "--strengths", "1,x")
    assert isinstance(failed.exception, ValueError)
    assert "--strengths must be numbers with commas" in str(failed.exception)


@pytest.mark.parametrize("command", [("path",), ("cv", "--folds", "3")], ids=["path", "cv"])
def test_what_has_not_converged_ends_with_a_code_of_its_own(table, command, monkeypatch):
    for kind in (Path, CrossValidation):
        monkeypatch.setattr(kind, "success", property(lambda self: False))
    done = _run(*command, table, "--num", "2")
    assert done.exit_code == NOT_CONVERGED == 3
    assert len(done.stdout.splitlines()) >= 4  # and yet all is shown


@pytest.mark.parametrize("command", ["path", "cv"])
def test_the_bundled_data_are_no_files(command):
    done = _run(command, "mnist")
    assert done.exit_code == 1
    assert "path and cv need files: mnist is for fit, predict and evaluate" in str(done.exception or done.output)


def test_a_path_goes_on_from_its_checkpoint(table, tmp_path):
    options = ("--num", "3", "--checkpoint", str(tmp_path / "run"), "--json")
    first, again = (json.loads(_run("path", table, *options).stdout) for _ in range(2))
    assert again["coefficients"] == first["coefficients"]
    assert (first["resumed_at"], again["resumed_at"]) == (None, 3)


@pytest.mark.parametrize("command", [("path",), ("cv", "--folds", "3")], ids=["path", "cv"])
def test_what_has_not_converged_is_said(table, command):
    options = ["--target", "y", "--model", "huber", "--engine", "serial", "--num", "3", "--max-iter", "1", "--quiet"]
    shown = runner.invoke(app, [command[0], table, *command[1:], *options])
    assert shown.exit_code == NOT_CONVERGED
    assert "max_iter" in shown.stderr


def test_coefficients_that_bounds_hold_are_said(table):
    shown = _run("path", table, "--num", "3", "--upper", "a=0.1")
    assert " at 2 strengths held at their bounds: 'a'" in shown.stdout.splitlines()
    shown = _run("cv", table, "--num", "3", "--folds", "3", "--upper", "a=0.1")
    assert " at 1 strength held at their bounds: 'a'" in shown.stdout.splitlines()


def test_a_bound_that_is_given_twice_is_refused(table):
    shown = _run("path", table, "--lower", "a=1", "--lower", "a=2")
    assert shown.exit_code == 2
    assert "'a' is given twice: give it once" in " ".join(shown.stderr.split())


def test_json_of_several_classes_names_them(tmp_path):
    file = tmp_path / "classes.csv"
    file.write_text("x,y\n" + "".join(f"{row % 7},{'abc'[row % 3]}\n" for row in range(60)))
    shown = runner.invoke(app, ["path", str(file), "--target", "y", "--num", "2", "--json", "--engine", "serial", "-q"])
    told = json.loads(shown.stdout)
    assert told["classes"] == ["a", "b", "c"]
    assert np.shape(told["coefficients"]) == (2, 3, 1)
