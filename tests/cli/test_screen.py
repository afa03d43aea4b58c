"""What the screen says: at a terminal of 80 columns, in a pipe, as JSON."""

import io
import json
import logging
import re
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from commands import fullbatch
from problems import breast_cancer, diabetes, digits, objective

from fullbatch import OrdinalLogisticRegression, Progress, Ridge, ThreadEngine, load_model, minimize
from fullbatch.cli._screen import in_options, number, screen
from fullbatch.cli._told_of_fit import solver_in_short
from fullbatch.cli.app import app, in_plain_words, run
from fullbatch.solvers import SOLVERS
from fullbatch.solvers.auto import choices

WIDTH = 80


class Terminal(io.StringIO):
    def isatty(self):
        return True


def at_a_terminal(monkeypatch, *arguments):
    """What a command shows on a terminal of 80 columns."""
    monkeypatch.setattr(screen, "_width", WIDTH)
    out, err = Terminal(), Terminal()
    with redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit):
        run(list(map(str, arguments)))
    return out.getvalue(), re.sub(r"\x1b\[[0-9;]*m", "", err.getvalue())


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    """A file with categories, and a model of it."""
    directory = tmp_path_factory.mktemp("people")
    rng = np.random.default_rng(0)
    n = 1500
    frame = pd.DataFrame({"age": rng.integers(18, 80, n), "income": rng.lognormal(10, 0.5, n).round(2)})
    frame["region"], frame["plan"] = rng.choice(["north", "south", "west"], n), rng.choice(["basic", "plus"], n)
    score = 0.03 * (frame["age"] - 45) - 1.0 * (frame["region"] == "south") + 0.5 * (frame["plan"] == "plus")
    frame["churned"] = np.where(rng.uniform(size=n) < 1 / (1 + np.exp(-score)), "yes", "no")
    frame.to_csv(directory / "people.csv", index=False)
    fit = ["fit", directory / "people.csv", "--target", "churned"]
    fullbatch(*fit, "--save", directory / "model.fb", "-q")
    return directory, fit


def test_nothing_is_wider_than_the_screen_and_nothing_in_a_pipe_is_padded_or_broken(people, monkeypatch):
    directory, fit = people
    model, file = directory / "model.fb", directory / "people.csv"
    for code, command in (
        (0, fit),
        (0, [*fit, "--verbose"]),
        (0, ["fit", file, "--target", "age", "--exclude", "churned", "--model", "squared"]),  # has a long notice
        (0, ["evaluate", model, file, "--target", "churned"]),
        (0, ["predict", model, file, "--output", directory / "p.csv"]),
        (0, ["inspect", model]),
        (2, ["fit", file, "--solver", "magic"]),
        (1, ["fit", file, "--target", "agee"]),
    ):
        shown = "".join(at_a_terminal(monkeypatch, *command))
        done = fullbatch(*command, code=code)
        # What has no space in it, such as a path, stays whole.
        assert max(len(line) for line in shown.splitlines() if str(directory) not in line) <= WIDTH
        assert not re.search(r" $", done.stdout + done.stderr, re.MULTILINE)
        assert len(done.stdout.splitlines()) <= len(shown.splitlines())
    (line,) = done.stderr.splitlines()
    assert "its columns are 'age', 'income', 'region', 'plan', 'churned'" in line


def test_help_fits_and_shows_no_types_of_python():
    for command in ("fit", "path", "cv", "predict", "evaluate", "summary", "inspect", "fetch", "info"):
        shown = fullbatch(command, "--help").stdout
        assert max(map(len, shown.splitlines())) <= WIDTH
        assert not re.search(r"<(str|path|int|float|list)|float range", shown), command
    assert "--missing error|COLUMN=VALUE" in fullbatch("predict", "--help").stdout
    assert "--missing error|drop|COLUMN=VALUE" in fullbatch("evaluate", "--help").stdout


def test_a_summary_in_short_and_in_full(people):
    _, fit = people
    told = json.loads(fullbatch(*fit, "--json", "-q").stdout)
    short = dict(line[1:].split("  ", 1) for line in fullbatch(*fit, "-q").stdout.splitlines())
    short = {name: value.strip() for name, value in short.items()}
    assert short["rows"] == "1,500 in 1 block"
    assert short["solver"] == "newton: few enough parameters for the whole Hessian"
    assert short["status"] == "converged"
    assert float(short["F"]) == pytest.approx(told["F"], rel=1e-7)
    assert re.fullmatch(r"\d+\.\d\d, after \d+\.\d\d of set-up", short["seconds"])
    assert told["setup_seconds"] > 0
    assert "estimated cost" in told["solver"]
    assert "notices" not in short
    full = fullbatch(*fit, "-q", "--verbose").stdout
    for name in told.keys() - {"resumed_at", "saved"}:
        assert f"\n {name.replace('_', ' ')} " in f"\n{full}", name
    assert "estimated cost" in full
    stopped = fullbatch(*fit, "-q", "--max-iter", 1, code=3).stdout
    assert "status         max_iter: raise --max-iter, or --tol if this is near enough" in stopped


def test_why_a_solver_was_chosen_fits_into_a_line():
    told = set()
    for X, y in (breast_cancer(), digits()):
        for loss in ("softmax", "squared"):
            for choice in choices(objective(X, y, loss).facts):
                reason = (
                    f"of 8,000 rows and 785 parameters for each of 10 outputs: {choice.reason} (estimated cost 1; b 2)"
                )
                short = solver_in_short(f"Name with all of its options, long; chose {choice.name} because {reason}")
                assert short == f"{choice.name}: {choice.reason}"
                assert len(short) <= WIDTH - 16
                told.add(choice.name)
    assert told >= {"newton", "sampled-lbfgs", "lbfgs", "least-squares"}
    assert solver_in_short("L-BFGS with 3 directions, which takes 4 MB") == "L-BFGS"
    after = "LeastSquares; Newton went on where LeastSquares ended: by the Hessian; a column explains 1e-3 of it"
    assert solver_in_short(after) == "LeastSquares, then Newton"


def test_numbers_as_they_are_read():
    for value, shown in (
        (0.0, "0"),
        (0.902, "0.902"),
        (0.1537122354, "0.153712"),
        (12345.678, "12,345.7"),
        (123456789.0, "123,456,789"),
        (9.048205573e-09, "9.048e-09"),
        (-1e15, "-1.000e+15"),
        (float("inf"), "inf"),
    ):
        assert number(value) == shown


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Input should be a valid integer, unable to parse string as an integer", "it must be a whole number"),
        ("'two' is not a valid integer range.", "it must be a whole number"),
        ("'1.5' is not a valid integer.", "it must be a whole number"),
        ("Input should be a valid number, unable to parse string as a number", "it must be a number"),
        ("'x' is not a valid float range.", "it must be a number"),
        ("Input should be greater than or equal to 0", "it must be 0 or more"),
        ("-1.0 is not in the range x>=0.0.", "it must be 0.0 or more"),
        ("Value error, 'x' is not one of 'threads', 'ray'.", "'x' is not one of 'threads', 'ray'."),
    ],
)
def test_words_of_every_typer_are_ours(theirs, ours):
    assert in_plain_words(theirs) == ours


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--workers", "two"], "'--workers': it must be a whole number"),
        (["--workers", "0"], "'--workers': it must be 1 or more"),
        (["--l2", "much"], "'--l2': it must be a number"),
        (["--l2", "-1"], "'--l2': it must be 0 or more"),
        (["--engine", "spark"], "'--engine': 'spark' is not one of 'threads', 'serial', 'ray', 'dask'"),
        (["--solver", "magic"], "'--solver': 'magic' is not one of 'auto', 'lbfgs'"),
        (["--directory", "here"], "it is where the files of mnist are"),
    ],
)
def test_wrong_values_in_plain_words(people, arguments, message):
    _, fit = people
    told = fullbatch(*fit, *arguments, code=2).stderr
    assert message in told
    assert not re.search(r"Input should|Value error|range", told)


def test_options_of_files_are_refused_for_mnist_and_those_of_other_formats_by_their_names(people):
    directory, _ = people
    options = {"--target": "y", "--delimiter": ";", "--types": "a=string", "--format": "csv", "--no-quotes": None}
    for option, value in options.items():
        given = [option] if value is None else [option, value]
        assert f"leave {option} out" in fullbatch("fit", "mnist", *given, code=2).stderr
    predict = ["predict", directory / "model.fb", directory / "people.csv", "--output", directory / "p.csv"]
    assert fullbatch(*predict, "--zero-based", code=1).stderr == "error: csv files have no option --zero-based\n"
    assert in_options("x.fb holds a LBFGSState, not a LogisticRegression") == (
        "x.fb holds the state of a run, and no model"
    )


def test_text_as_target_of_numbers_is_told_as_it_stands(people):
    _, fit = people
    told = fullbatch(*fit, "--model", "huber", "-q", code=1).stderr
    assert re.fullmatch(
        r"error: .*people.csv rows 0..1499: target y must be numbers, not '(yes|no)': correct it, or\s+give another "
        r"column\n",
        told,
    )


def progress(problem, **options):
    """What `Progress` shows of a run."""
    shown = io.StringIO()
    console = type("Console", (), {"print": lambda self, text, **_: shown.write(f"{text}\n")})()
    result = minimize(problem, np.zeros(problem.size), callbacks=[Progress(console, **options)], solver="lbfgs")
    return shown.getvalue().splitlines(), result


def test_progress_ends_where_the_run_ends_and_has_a_header_after_a_resume_too():
    problem = objective(*breast_cancer())
    lines, result = progress(problem, every=3600.0)
    assert [line.split()[0] for line in lines] == ["iteration", "0", str(result.iterations)]
    lines, result = progress(problem, every=0.0)
    assert [line.split()[0] for line in lines[1:]] == [str(number) for number in range(result.iterations + 1)]
    shown = io.StringIO()
    console = type("Console", (), {"print": lambda self, text, **_: shown.write(f"{text}\n")})()
    first = minimize(problem, np.zeros(problem.size), solver="lbfgs", max_iter=3)
    callback = Progress(console, every=0.0)
    for _ in range(2):
        minimize(problem, first.theta, solver="lbfgs", resume=first.state, callbacks=[callback])
    begins = [line.split()[0] for line in shown.getvalue().splitlines()]
    assert begins == ["iteration", *(str(number) for number in range(3, result.iterations + 1))] * 2


@pytest.mark.parametrize(
    "command",
    [
        ["evaluate", "model.fb", "people.csv", "--target", "churned"],
        ["predict", "model.fb", "people.csv", "--output", "new.csv"],
        ["check", "model.fb", "people.csv", "--target", "churned"],
        ["summary", "model.fb", "people.csv", "--target", "churned"],
        ["export", "model.fb", "relativities.csv", "--data", "people.csv", "--target", "churned"],
    ],
    ids=lambda command: command[0],
)
def test_every_command_tells_what_is_compiled_while_it_answers(command, people, tmp_path, monkeypatch):
    for name, answer in (("map", ThreadEngine.map), ("place", ThreadEngine.place)):

        def compiling(*args, answer=answer, **options):
            logging.getLogger("fullbatch.compile").info("compiling a kernel")
            return answer(*args, **options)

        monkeypatch.setattr(ThreadEngine, name, compiling)
    for path in people[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    assert "compiling a kernel\n" in fullbatch(*command).stderr


def test_inspect_tells_what_a_model_holds(people, tmp_path):
    directory, _ = people
    path = directory / "model.fb"
    model = load_model(path)
    told = json.loads(fullbatch("inspect", path, "--json").stdout)
    assert told["coef"] == model.coef_.tolist()
    assert told["intercept"] == model.intercept_.tolist()
    assert told["feature_names"] == model.get_feature_names_out().tolist()
    assert told["classes"] == ["no", "yes"]
    assert told["levels"] == {"region": ["north", "south", "west"], "plan": ["basic", "plus"]}
    assert told["parameters"]["fit_intercept"] is True
    assert (told["rows"], told["status"]) == (1500, "converged")
    assert told["l2"] == model.l2_ == 1 / 1500
    lines = fullbatch("inspect", path, "--most", 3).stdout.splitlines()
    order = np.argsort(-np.abs(model.coef_[0]), kind="stable")[:3]
    assert lines[-4] == " largest coefficients for yes"
    for line, place in zip(lines[-3:], order, strict=True):
        value, name = line.split()
        assert name == model.get_feature_names_out()[place]
        assert float(value) == pytest.approx(model.coef_[0, place], rel=1e-5)
    assert " categories    region (3 levels), plan (2 levels)" in lines
    X, y = digits()
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    several = tmp_path / "several.fb"
    fullbatch(
        "fit", tmp_path / "X.npy", "--target", tmp_path / "y.npy", "--max-iter", 3, "--save", several, "-q", code=3
    )
    shown = fullbatch("inspect", several, "--most", 1).stdout.splitlines()
    coef = load_model(several).coef_
    of_class, column = np.unravel_index(np.abs(coef).argmax(), coef.shape)
    assert shown[-1].endswith(f"  x{column}, class {of_class}")
    assert f" coefficients  {X.shape[1]} for each of 10 classes" in shown
    assert " status        max_iter" in shown
    X, y = diabetes()
    np.save(tmp_path / "X.npy", X)
    np.save(tmp_path / "y.npy", y)
    fit = ["fit", tmp_path / "X.npy", "--target", tmp_path / "y.npy", "--model", "tweedie", "--option", "power=1.5"]
    fullbatch(*fit, "--no-intercept", "--standardize", "--save", tmp_path / "t.fb", "-q")
    shown = fullbatch("inspect", tmp_path / "t.fb", "--most", 0).stdout
    assert "regression, tweedie loss" in shown
    assert "power 1.5" in shown
    assert "no intercept, max iter 1,000, penalty per standard deviation" in shown
    assert "True" not in shown
    assert "largest" not in shown


def test_inspect_knows_the_order_of_classes(tmp_path):
    x = np.linspace(-2, 2, 90)
    grades = np.array(["low", "mid", "high"])[np.digitize(x + np.sin(7 * np.arange(90)), [-1, 1])]
    model = OrdinalLogisticRegression(classes=["low", "mid", "high"]).fit(x[:, None], grades)
    assert model.predict([[-9.0], [9.0]]).tolist() == ["low", "high"]
    model.save(tmp_path / "grades.fb")
    shown = fullbatch("inspect", tmp_path / "grades.fb").stdout.splitlines()
    assert shown[-2] == " largest coefficients for high"
    assert float(shown[-1].split()[0]) > 0
    assert " lowest first  low, mid, high" in shown
    told = json.loads(fullbatch("inspect", tmp_path / "grades.fb", "--json").stdout)
    assert (told["classes"], told["ordered_classes"]) == (["high", "low", "mid"], ["low", "mid", "high"])


def test_inspect_tells_targets_from_classes(tmp_path):
    x = np.linspace(-1, 1, 30)
    Ridge(alpha=1e-6).fit(x[:, None], np.column_stack([x, -3 * x])).save(tmp_path / "two.fb")
    shown = fullbatch("inspect", tmp_path / "two.fb").stdout.splitlines()
    assert " coefficients  1 for each of 2 targets" in shown
    assert [line.split()[1:] for line in shown[-2:]] == [["x0,", "target", "1"], ["x0,", "target", "0"]]
    assert not any("class" in line for line in shown)


def test_models_that_an_earlier_fullbatch_saved_tell_what_they_have():
    old = Path(__file__).parents[1] / "version1" / "GeneralizedLinearRegressor.fb"
    told = json.loads(fullbatch("inspect", old, "--json").stdout)
    assert (told["rows"], told["status"]) == (None, None)
    shown = fullbatch("inspect", old).stdout
    assert "regression, tweedie loss" in shown
    assert "status" not in shown


def test_the_shell_knows_solvers_and_columns(people, monkeypatch, tmp_path):
    directory, _ = people

    def completed(*words):
        monkeypatch.setenv("_FULLBATCH_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", " ".join(map(str, words)))
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        out = io.StringIO()
        with redirect_stdout(out), pytest.raises(SystemExit):
            app(["fit"], prog_name="fullbatch")
        return out.getvalue().split()

    csv = directory / "people.csv"
    frame = pd.read_csv(csv)
    frame.to_parquet(tmp_path / "t.parquet")
    frame.to_csv(tmp_path / "t.tsv", sep="\t", index=False)
    for file in (csv, tmp_path / "t.parquet", tmp_path / "t.tsv"):
        assert completed("fullbatch", "fit", file, "--target", "ch") == ["churned"]
        assert completed("fullbatch", "fit", file, "--exclude", "age,in") == ["age,income"]
    assert completed("fullbatch", "fit", "none.csv", "--target", "ch") == []
    assert completed("fullbatch", "fit", csv, "--solver", "newton") == ["newton", "newton-cg"]
    assert completed("fullbatch", "fit", csv, "--solver", "") == list(SOLVERS)
