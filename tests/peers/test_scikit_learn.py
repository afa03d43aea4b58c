"""scikit-learn's own test modules run against the estimators here; `differences.txt` says why some tests fail."""

import fnmatch
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

MODULES = [
    "linear_model.tests.test_base",
    "linear_model.tests.test_ridge",
    "linear_model.tests.test_coordinate_descent",
    "linear_model.tests.test_logistic",
    "linear_model.tests.test_huber",
    "linear_model.tests.test_quantile",
    "linear_model._glm.tests.test_glm",
    "svm.tests.test_svm",
]


NOT_OURS = "n/a: "


def differences():
    """Patterns of tests that fail, and why: "test_ridge.py::test_one[*", two spaces and the reason, one in a line."""
    lines = (HERE / "differences.txt").read_text().splitlines()
    pairs = [line.split("  ", 1) for line in lines if line and not line.startswith("#")]
    return [(pattern.replace("[", "[[]"), why) for pattern, why in pairs]


def reason(test, told):
    """Why a test fails; empty where nobody has said."""
    return next((why for like, why in told if fnmatch.fnmatchcase(test, like)), "")


def run(module, report, *options):
    """What came of each test of a module that applies."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "replaced", "-n", "0"]
    command += ["-o", "addopts=", "-o", "filterwarnings=", "--timeout=300", *options, "--pyargs", f"sklearn.{module}"]
    path = os.pathsep.join([str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "REPLACED_REPORT": str(report)}
    done = subprocess.run(command, env=environment, cwd=report.parent, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout[-2000:] + done.stderr[-2000:]
    return [json.loads(line) for line in report.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
@pytest.mark.parametrize("module", MODULES)
def test_what_fails_is_explained(module, tmp_path):
    found, told = run(module, tmp_path / "report.jsonl"), differences()
    assert found, "no test of the module applies: were the classes replaced?"
    failed = [one for one in found if not one["passed"]]
    why = {one["test"]: reason(one["test"], told) for one in failed}
    theirs = sum(one.startswith(NOT_OURS) for one in why.values())
    print(f"{module}: {len(found) - len(failed)} of {len(found) - theirs} pass, {theirs} do not apply")
    unexplained = [one for one in failed if not why[one["test"]]]
    assert not unexplained, "\n".join(f"{one['test']}: {one['kind']}: {one['why']}" for one in unexplained)
