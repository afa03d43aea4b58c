"""A path and a cross-validation whose process is killed in the middle of a read go on to the byte."""

import json
import os
import signal
import subprocess
import sys

import pytest

# What the process does: fit, write what it found, or be killed in its `at`-th read of the data.
PROGRAM = """
import hashlib, json, os, signal, sys
import numpy as np
from fullbatch import Checkpoint, LogisticRegression, SerialEngine, cross_validate, fit_path
from fullbatch.engines import local

folder, folds, at = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
rng = np.random.default_rng(0)
X = rng.normal(size=(600, 5))
y = (X @ [1.0, -1, 0.5, 0, 0] + rng.logistic(size=600) > 0).astype(int)
reads, answered = [0], local.LocalBlocks.sum

def counted(self, request):
    reads[0] += 1
    if reads[0] == at:
        os.kill(os.getpid(), signal.SIGKILL)
    return answered(self, request)

local.LocalBlocks.sum = counted
template = LogisticRegression(l1_ratio=0.5, groups="columns", group_ratio=0.3, engine=SerialEngine())
options = {"num": 8, "ratio": 1e-2, "checkpoint": Checkpoint(folder, every=0) if folder else None}
found = cross_validate(template, X, y, folds=folds, **options) if folds else fit_path(template, X, y, **options)
path = found.path if folds else found
held_out = found.losses.tobytes() if folds else b""
numbers = path.coefs.tobytes() + path.intercepts.tobytes() + path.remaining_r2.tobytes() + held_out
print(json.dumps({"sha": hashlib.sha256(numbers).hexdigest(), "reads": reads[0], "resumed_at": path.resumed_at}))
"""


def run(folder, folds, at=0):
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), str(folds), str(at)],
        capture_output=True, text=True, timeout=600, env=os.environ,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("folds", [0, 3], ids=["path", "cross-validation"])
def test_a_killed_run_goes_on_to_the_byte(tmp_path, folds):
    whole = run("", folds)
    assert whole.returncode == 0, whole.stderr
    expected = json.loads(whole.stdout)
    killed = run(tmp_path, folds, max(2, int(0.7 * expected["reads"])))
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert not killed.stdout
    again = run(tmp_path, folds, 3)  # and once more, soon after it had gone on
    assert again.returncode == -signal.SIGKILL, again.stderr
    found = run(tmp_path, folds)
    assert found.returncode == 0, found.stderr
    told = json.loads(found.stdout)
    assert told["sha"] == expected["sha"]
    assert 0 < told["resumed_at"] < 8
    assert told["reads"] < expected["reads"]
