"""Every example runs; on the full MNIST (slow) the original program meets what its modern port is known to reach."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name, *arguments, timeout=900):
    # Examples start a Ray of their own, as a user's do.
    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    command = [sys.executable, str(EXAMPLES / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def number(pattern, output):
    return float(re.search(pattern + r"\s+([\d.]+)$", output, re.MULTILINE)[1])


@pytest.mark.parametrize(
    "name",
    [
        "ray_tensorflow_mnist.py",
        pytest.param("ray_torch_mnist.py", marks=pytest.mark.slow),
        pytest.param("ray_jax_mnist.py", marks=pytest.mark.slow),
    ],
)
def test_ray_mnist(name):
    output = run(name, "--workers", 2, "--iterations", 30)
    assert number("start", output) == pytest.approx(2.3, abs=0.1)
    assert number("after  30 iterations", output) < 0.3
    assert number("test accuracy", output) > 0.85
    assert number("passes over the data", output) < 40


@pytest.mark.slow
def test_ray_torch_mlp():
    output = run("ray_torch_mlp.py", "--iterations", 40)
    assert number("F after  40 iterations", output) < 0.4
    assert number("test accuracy", output) > 0.91
    assert number("passes over the data", output) < 50


@pytest.mark.slow
def test_ray_tune_l2(tmp_path):
    output = run("ray_tune_l2.py", "--storage", tmp_path)
    trials = re.findall(r"^l2 (\S+): accuracy (\S+) after (\d+) iterations$", output, re.MULTILINE)
    assert {float(l2) for l2, _, _ in trials} == {0.1, 0.01, 0.001}
    assert number("failed trials", output) == 0
    assert number("best l2", output) < 0.1
    assert number("held out", output) == pytest.approx(0.9, abs=0.02)
    for _, _, iterations in trials:  # each was reported, and each report kept
        kept = [
            path for path in tmp_path.glob("l2/*/result.json") if len(path.read_text().splitlines()) > int(iterations)
        ]
        assert kept


@pytest.mark.slow
def test_ray_tensorflow_full_mnist_on_ten_actors(full_mnist):
    output = run("ray_tensorflow_mnist.py", "--mnist", full_mnist)
    assert number("after  10 iterations", output) <= 0.40
    assert number("after 100 iterations", output) <= 0.245
    assert number("test accuracy", output) >= 0.92
    assert number("passes over the data", output) <= 115


def test_every_example_has_a_test():
    here = Path(__file__).read_text()
    for path in EXAMPLES.glob("*.py"):
        assert f'"{path.name}"' in here, path.name
