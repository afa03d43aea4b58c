import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from fullbatch import load_model
from fullbatch.datasets import load_mnist


def fullbatch(*arguments, code=0, **options):
    command = [sys.executable, "-m", "fullbatch", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300, **options)
    assert done.returncode == code, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "model.fb"
    done = fullbatch("fit", "mnist", "--save", path, "--json")
    return path, done


def test_fit(fitted):
    path, done = fitted
    told = json.loads(done.stdout)
    assert told["status"] == "converged"
    assert told["test_accuracy"] >= 0.88
    assert told["rows"] == 8000
    assert 10 < told["passes"] < 200
    model, mnist = load_model(path), load_mnist()
    assert model.score(mnist.X_test, mnist.y_test) == pytest.approx(told["test_accuracy"])
    assert "iteration" in done.stderr
    assert "seconds" in done.stderr
    # F by hand: mean cross-entropy of the training rows and the penalty.
    proba = model.predict_log_proba(mnist.X_train)
    loss = -proba[np.arange(8000), mnist.y_train].mean() + 0.5 / 8000 * (model.coef_**2).sum()
    assert told["F"] == pytest.approx(loss, rel=1e-5)


def test_evaluate(fitted):
    path, done = fitted
    told = json.loads(fullbatch("evaluate", path, "--json").stdout)
    assert told["test_accuracy"] == json.loads(done.stdout)["test_accuracy"]
    shown = fullbatch("evaluate", path).stdout
    assert "test accuracy" in shown


def test_engines_and_workers_give_the_same_file(tmp_path):
    files = []
    for number, options in enumerate(
        (["--engine", "serial"], ["--workers", 1], ["--engine", "threads", "--workers", 3])
    ):
        files.append(tmp_path / f"{number}.fb")
        fullbatch("fit", "mnist", *options, "--max-iter", 5, "--save", files[-1], "-q", code=3)
    coefs = [load_model(path).coef_.tobytes() for path in files]
    assert coefs[0] == coefs[1] == coefs[2]


def test_ray_engine(tmp_path):
    done = fullbatch("fit", "mnist", "--engine", "ray", "--workers", 2, "--tol", "1e-3", "--json", "-q")
    told = json.loads(done.stdout)
    assert told["engine"] == "ray"
    assert told["test_accuracy"] > 0.85


def test_exit_codes_say_how_it_ended():
    done = fullbatch("fit", "mnist", "--max-iter", 2, "--json", code=3)
    assert json.loads(done.stdout)["status"] == "max_iter"
    done = fullbatch("fit", "mnist", "--time-limit", 0.01, "--tol", 0, "--json", code=3)
    assert "time limit" in json.loads(done.stdout)["message"]


def test_ctrl_c_saves_the_best_iterate(tmp_path):
    path = tmp_path / "model.fb"
    command = [sys.executable, "-m", "fullbatch", "fit", "mnist", "--tol", "0", "--l2", "0", "--save", path, "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.stderr.readline().split()[:1] != ["0"]:
        pass
    os.kill(process.pid, signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(output)["status"] == "interrupted"
    assert np.isfinite(load_model(path).coef_).all()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["fit", "iris"], 2, "'iris' is not one of 'mnist'"),
        (["fit", "mnist", "--model", "tree"], 2, "'tree' is not one of 'softmax'"),
        (["fit", "mnist", "--engine", "spark"], 2, "'spark' is not one of"),
        (["fit", "mnist", "--l2", "-1"], 2, "--l2"),
        (["fit", "mnist", "--workers", "0"], 2, "--workers"),
        (["fit", "mnist", "--colour", "red"], 2, "No such option"),
        (["fit", "mnist", "--engine", "serial", "--workers", "2"], 1, "serial engine has one worker"),
        (["fit", "mnist", "--directory", "nowhere"], 1, "nowhere has neither train-images-idx3-ubyte"),
        (["fit", "mnist", "--save", "nowhere/model.fb"], 1, "there is no directory nowhere"),
        (["fit", "mnist", "--save", "."], 1, "it is a directory"),
        (["fit", "mnist", "--l2", "nan"], 2, "--l2"),
        (["evaluate", "nothing.fb"], 1, "there is no file nothing.fb"),
        (["evaluate", "damaged.fb"], 1, "damaged"),
        (["fetch", "mnist", "--url", "http://127.0.0.1:9/"], 1, "is there a network"),
    ],
)
def test_errors_are_one_message_and_leave_no_file(tmp_path, arguments, code, message):
    (tmp_path / "damaged.fb").write_bytes(b"PK\x03\x04")
    done = fullbatch(*arguments, code=code, cwd=tmp_path)
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    left = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert left == ["damaged.fb"]


def test_debug_shows_the_traceback(tmp_path):
    done = fullbatch("--debug", "evaluate", tmp_path / "nothing.fb", code=1)
    assert "Traceback" in done.stderr


def test_info_and_help():
    told = json.loads(fullbatch("info", "--json").stdout)
    assert told["cpus"] >= 1
    assert "threads" in told["engines"]
    assert "numpy" in fullbatch("info").stdout
    assert "Exit codes" in fullbatch("--help").stdout
    assert "Example" in fullbatch("fit", "--help").stdout
    assert fullbatch("--version").stdout.strip() == told["fullbatch"]
