"""The benchmarks run: on small data, without the peers."""

import json
import math
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from benchmarks.fits import picture
from benchmarks.scaling.model import PARTS, Case, Network, extrapolate, features, fit, predict
from benchmarks.sparse import ours, problems
from benchmarks.survivors.listed import GONE, SURVIVORS

ROOT = Path(__file__).parents[1]


def test_quick_run_agrees_and_reports(tmp_path):
    workloads = "dense-binary,poisson"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--no-peers", "--repeats", "1", "--workloads", workloads]
    done = subprocess.run([*command, "--output", tmp_path / "report"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "report.json").read_text())
    assert list(result["workloads"]) == workloads.split(",")
    for row in result["workloads"].values():
        ours = row["contenders"]["fullbatch"]
        assert ours.get("agrees") or ours["failed"].startswith("not supported yet"), ours
        assert all(limit["ms"] > 0 for limit in row["limit"].values())
    dense = result["workloads"]["dense-binary"]
    assert dense["contenders"]["fullbatch"]["roofline_ratio"] > 0
    assert dense["contenders"]["torch loss + backward float32"] == {"failed": "left out"}
    assert dense["memory"]["peak_over_data"] > 0
    assert math.isfinite(dense["memory"]["growth"])
    assert "roofline ratio" in (tmp_path / "report.md").read_text()


@pytest.mark.slow
def test_network_beside_torch_runs(tmp_path):
    command = [sys.executable, "-m", "benchmarks.mlp", "--iterations", "12", "--repeats", "1"]
    unset = ("RAY_ADDRESS", "FULLBATCH_MNIST")  # a Ray of its own, and the bundled images
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    command += ["--output", tmp_path / "mlp"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "mlp.json").read_text())
    ours, theirs = (runs[0] for runs in result["runs"].values())
    assert ours["iterations"] == theirs["iterations"] == 12
    for run in (ours, theirs):
        assert run["seconds"] > 0
        assert run["loss"] < run["F"] < 0.5
        assert run["test_accuracy"] > 0.8
    assert "784-128-10 on 8000 images" in (tmp_path / "mlp.md").read_text()


def test_quick_run_of_the_solvers(tmp_path):
    command = [sys.executable, "-m", "benchmarks.solvers", "--quick", "--no-peers", "--tasks", "logistic,breast-cancer"]
    done = subprocess.run([*command, "--output", tmp_path / "report"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "report.json").read_text())
    cancer = result["tasks"]["breast-cancer"]["contenders"]
    to_1e6 = result["targets"].index(1e-6)
    assert cancer["fullbatch newton"]["reached"][to_1e6]["passes"] <= 12
    assert cancer["fullbatch sampled-lbfgs"]["reached"][to_1e6]["passes"] <= 60
    assert cancer["fullbatch newton"]["final"] < 1e-10
    assert cancer["glum irls-ls"] == {"failed": "left out"}
    assert "raw columns" in (tmp_path / "report.md").read_text()
    assert "(report-breast-cancer.svg)" in (tmp_path / "report.md").read_text()
    drawing = ElementTree.parse(tmp_path / "report-breast-cancer.svg").getroot()
    drawn = drawing.findall("{http://www.w3.org/2000/svg}polyline")
    assert len(drawn) == 2 * 4  # passes and seconds of four solvers


@pytest.mark.slow
def test_quick_run_of_whole_fits(tmp_path):
    command = [sys.executable, "-m", "benchmarks.fits", "--quick", "--no-peers", "--tasks", "narrow,cover,flights"]
    done = subprocess.run([*command, "--output", tmp_path / "report"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    tasks = json.loads((tmp_path / "report.json").read_text())["tasks"]
    assert set(tasks) == {"narrow", "cover", "flights"}
    for row in tasks.values():
        ours = row["contenders"]["fullbatch"]
        assert set(ours["reached"]) == {"0.01", "0.0001", "1e-06", "1e-08"}
        assert all(ours["reached"].values())
        assert ours["gap"] <= 1e-6
    assert "| seconds to 0.0001 |" in (tmp_path / "report.md").read_text()
    assert len(bars_of((tmp_path / "report.svg").read_text())) == 3


def bars_of(svg):
    """Width of each bar, and whether it is open."""
    _, *bars = ElementTree.fromstring(svg).findall("{http://www.w3.org/2000/svg}rect")
    return [(float(bar.get("width")), bar.get("fill") == "none") for bar in bars]


def test_bars_are_as_long_as_fits_take():
    contenders = {
        "fullbatch": {"reached": {"0.0001": 0.2, "1e-06": 0.5}, "seconds": 0.5},
        "slow": {"reached": {"0.0001": 1.0, "1e-06": 2.0}, "seconds": 3.0},
        "short": {"reached": {"0.0001": 0.1, "1e-06": None}, "seconds": 1.0},
        "broken": {"failed": "for want of memory"},
    }
    result = {"machine": {"cpus": 2}, "tasks": {"one": {"title": "n < p & more", "contenders": contenders}}}
    widths, opened = zip(*bars_of(picture.svg(result, 1e-6)), strict=True)
    assert widths == pytest.approx([widths[1] / 4, widths[1], widths[1] / 2], abs=0.1)
    assert opened == (False, False, True)
    assert "not in 1 s" in picture.svg(result, 1e-6)


@pytest.mark.slow
def test_a_frequency_model_of_few_rows():
    command = [sys.executable, "-m", "benchmarks.fits.frame", "--no-peers", "--rows", "20000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["fullbatch"]["gap"] <= 1e-8
    assert found["fullbatch"]["seconds"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("task", ["dense", "text", "mixed-poisson", "mixed-gamma", "correlated", "difficult"])
def test_a_path_is_as_good_as_a_fit_of_each_strength(task):
    made = problems.path(task, None, quick=True)
    found = ours.path(made, 2, 1e-10)["theta"]
    alone = [replace(made, shares=(), l1=share * made.l1, l2=share * made.l2) for share in made.shares]
    values = made.values(found)
    for one, theta, value in zip(alone, found, values, strict=True):
        least = one.values(ours.fit(one, 2, 1e-14)["theta"])[0]
        assert value == pytest.approx(one.values(theta)[0], rel=1e-13)
        assert value == pytest.approx(least, rel=1e-9)


@pytest.mark.slow
def test_many_models_on_few_rows():
    few = ["--rows", "6000", "--columns", "10", "--folds", "3", "--strengths", "4", "--replicates", "40"]
    command = [sys.executable, "-m", "benchmarks.sparse.many", *few]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found["folds"]["contenders"]) == {"together", "one by one", "scikit-learn"}
    assert found["folds"]["contenders"]["together"]["largest_gap"] < 1e-6
    assert found["bootstrap"]["success"]
    assert found["bootstrap"]["intervals_apart"] < 0.1


def test_the_model_of_scale_finds_the_coefficients_it_was_made_with():
    cores = 2
    made = np.array([2e-10, 5e-11, 3e-9, 1e-9, 4e-4, 2e-9, 3e-4, 6e-4, 5e-4])
    cases = []
    for workers in (1, 2, 4, 8):
        cases.append(Case(workers, 0, 0, 0, 0, ("overhead",)))
        for outputs in (2, 10, 60, 120):
            cases += [Case(workers, 0, 784, outputs, workers, (part, "overhead")) for part in ("broadcast", "reduce")]
            cases += [Case(workers, rows, 784, outputs, 2 * workers) for rows in (6_000, 24_000)]
    cases = [replace(case, seconds=float(features(case, cores) @ made)) for case in cases]
    found = fit(cases, cores)
    assert found == pytest.approx(made, rel=1e-6)
    left_out = Case(6, 12_000, 784, 30, 6)
    told = predict(found, left_out, cores)
    assert told["all"] == pytest.approx(features(left_out, cores) @ made)
    assert told["all"] == pytest.approx(sum(told[part] for part in PARTS))
    assert told["compute"] == pytest.approx(6_000 * (784 * made[0] + left_out.parameters * made[1]))  # by two cores
    assert told["overhead"] == pytest.approx(made[8] + 6 * made[7])
    wide = extrapolate(found, Case(100, 10**9, 784, 10, 100), 16, Network(1e9, 1e-3))
    assert wide["compute"] == pytest.approx(10**9 / 1600 * (784 * made[0] + 7850 * made[1]))
    assert wide["network"] == pytest.approx(2 * (8 * 7850 * 100 / 1e9 + 1e-3))


@pytest.mark.slow
def test_quick_run_of_the_model_of_scale(tmp_path):
    unset = ("RAY_ADDRESS",)  # a Ray of its own
    environment = {name: value for name, value in os.environ.items() if name not in unset}
    command = [sys.executable, "-m", "benchmarks.scaling", "--quick", "--output", tmp_path / "scaling"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "scaling.json").read_text())
    assert len(result["fitted"]) == 2 * (1 + 2 * 2 + 2)
    assert all(row["measured"] > 0 for row in (*result["fitted"], *result["left_out"]))
    assert all(value >= 0 for value in result["coefficients"])
    assert "An extrapolation, not a measurement" in (tmp_path / "scaling.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("part", ["overhead", "mnist", "large", "flat"])
def test_engines_are_measured(part, tmp_path):
    command = [sys.executable, "-m", "benchmarks.engines", part, "--quick", "--output", tmp_path / "told.json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = json.loads((tmp_path / "told.json").read_text())[part]
    if part == "overhead":
        assert all(row["ratio"] > 0 for row in told.values())
        assert len(told) == 4
    elif part == "mnist":
        assert told["Ray, 2 workers"] > 0
    elif part == "large":
        assert all(row["same_bytes"] and row["worker_peak_MB"] > 8 for row in told.values())
    else:
        assert [sample["evaluation"] for sample in told["samples"]] == list(range(0, 21, 2))


def test_every_fault_on_the_list_can_be_put_in_and_has_tests():
    names = [fault.name for fault in SURVIVORS]
    assert len({*names, *GONE}) == len(names) + len(GONE)
    code, tests = ROOT / "src" / "fullbatch", ROOT / "tests"
    assert not [fault.name for fault in SURVIVORS if (code / fault.file).read_text().count(fault.old) != 1]
    for fault in SURVIVORS:
        for test in fault.tests:
            file, _, name = test.partition("::")
            assert not name or f"def {name}(" in (tests / file).read_text(), (fault.name, test)
