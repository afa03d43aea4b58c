"""First fits: `python -m benchmarks.cold` runs each in a fresh process with an empty cache of kernels.

Seconds are from the start of the process, imports included, to the end of the fit; of the demo, to the first line of an
iterate. "compiled" has every pass compiled, whatever the data.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from . import machine

ITERATE = "  0 "  # what the first line of an iterate has, and no line before it

FIT = """
import time
import numpy as np
{data}
from fullbatch import {estimator}
imported = time.process_time()
{estimator}().fit(X, y)
first = time.process_time()
{estimator}().fit(X, y)
print(first, imported, time.process_time() - first)
"""
FROM_SKLEARN = "from sklearn.datasets import load_{0}; X, y = load_{0}(return_X_y=True)"
COUNTS = """
rng = np.random.default_rng(0)
X = rng.normal(size=(1000, 6))
y = rng.poisson(np.exp(X @ np.full(6, 0.1)))
"""
CASES = {
    "iris": FIT.format(data=FROM_SKLEARN.format("iris"), estimator="LogisticRegression"),
    "breast_cancer": FIT.format(data=FROM_SKLEARN.format("breast_cancer"), estimator="LogisticRegression"),
    "1,000 counts": FIT.format(data=COUNTS, estimator="PoissonRegressor"),
    "demo": None,
}


def fit(program: str, environment: dict[str, str]) -> dict[str, float]:
    """Seconds, and CPU seconds, of a first fit; those of the imports in it, and of the same fit once more."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    seconds = time.perf_counter() - start
    cpu, imports, again = map(float, done.stdout.split())
    return {"seconds": seconds, "cpu": cpu, "imports": imports, "again": again}


def demo(environment: dict[str, str]) -> dict[str, float]:
    """Seconds to the first line of an iterate, and to the first line of any kind."""
    command, shown = [sys.executable, "-m", "fullbatch", "fit", "mnist"], {}
    start = time.perf_counter()
    with subprocess.Popen(
        command, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
    ) as run:
        for line in run.stderr:
            shown.setdefault("first line", time.perf_counter() - start)
            if line.lstrip().startswith("compiling"):
                shown.setdefault("told to compile", time.perf_counter() - start)
            if ITERATE in line[:12] and line.split()[0] == "0":
                shown |= {"seconds": time.perf_counter() - start, "cpu": _cpu(run.pid)}
                run.kill()
                break
    return shown


def _cpu(process: int) -> float:
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def run(case: str, passes: str) -> dict[str, float]:
    """One of them, with nothing compiled."""
    with tempfile.TemporaryDirectory() as empty:
        environment = os.environ | {"FULLBATCH_CACHE_DIR": empty, "FULLBATCH_PASSES": passes}
        return demo(environment) if CASES[case] is None else fit(CASES[case], environment)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.cold", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5, help="fresh processes of each; medians are shown")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    options = parser.parse_args()
    print(json.dumps(machine.describe(), indent=1))
    print(f"{'case':14} {'passes':9} medians of {options.repeats}")
    for case in options.cases:
        for passes in ("compiled", "auto"):
            measured = [run(case, passes) for _ in range(options.repeats)]
            medians = {name: statistics.median(one[name] for one in measured) for name in measured[0]}
            told = "  ".join(f"{name} {value:.3f}" for name, value in medians.items())
            print(f"{case:14} {passes:9} {told}  load {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
