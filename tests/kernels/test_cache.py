"""Compiled kernels are found again by other processes, wherever the package lies, and never when sources changed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import fullbatch

PROGRAM = """
import numpy as np
from fullbatch.kernels._compile import cache_dir
from fullbatch.kernels.moments import dense_moments
X, weight = np.ones((3, 2)), np.ones(3)
dense_moments(X, weight)
stats = dense_moments.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), cache_dir())
"""


def run(package, folder):
    env = {**os.environ, "PYTHONPATH": str(package), "FULLBATCH_CACHE_DIR": str(folder)}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True)
    hits, misses, where = done.stdout.split()
    return int(hits), int(misses), where


def test_a_second_process_compiles_nothing_and_changed_sources_compile_anew(tmp_path):
    installed = Path(fullbatch.__file__).parent
    package = tmp_path / "site" / "fullbatch"
    shutil.copytree(installed, package, ignore=shutil.ignore_patterns("__pycache__"))
    for path in (package, package / "kernels"):
        path.chmod(0o555)  # as a system-wide installation
    hits, misses, first = run(package.parent, tmp_path / "cache")
    assert (hits, misses) == (0, 1)
    assert run(package.parent, tmp_path / "cache") == (1, 0, first)

    for path in (package, package / "kernels"):
        path.chmod(0o755)
    with open(package / "losses.py", "a") as losses:
        losses.write("# changed\n")
    hits, misses, second = run(package.parent, tmp_path / "cache")
    assert (hits, misses) == (0, 1)
    assert second != first
