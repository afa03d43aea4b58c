"""Runs the benchmark: `python -m benchmarks.scaling --help`."""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import ray

from .. import machine
from . import measure, report
from .model import PARTS, Case, Network, extrapolate, fit, predict

RESULTS = Path(__file__).parents[1] / "results"

COLUMNS = 784
WORKERS = (1, 2, 4, 8)
# (rows, outputs): theta of 13, 63, 126 and 251 KB. (Answers beyond 1 MiB a worker take another way.)
SIZES = ((24_000, 2), (24_000, 10), (6_000, 10), (6_000, 20), (24_000, 40))
# (workers, rows, outputs) that the fit does not see
LEFT_OUT = ((6, 12_000, 10), (3, 24_000, 30), (2, 12_000, 30))
# (rows, outputs) on clusters that nobody has measured
CLUSTERS = ((10_000_000, 10), (1_000_000_000, 10), (1_000_000_000, 100))
NODES, CORES = (10, 100), 16


def main() -> None:
    options = _options()
    workers, sizes, left_out, repeats = WORKERS, SIZES, LEFT_OUT, options.repeats
    if options.quick:
        workers, sizes, left_out, repeats = (1, 2), ((480, 2), (960, 10)), ((2, 720, 5),), 2
    cores = len(os.sched_getaffinity(0))
    result: dict[str, Any] = {
        "started": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "quick": options.quick,
        "machine": machine.describe(),
        "ray": ray.__version__,
        "cores": cores,
    }
    measure.start(max(workers))
    try:
        cases = _measure(workers, sizes, repeats)
        checked = []
        for count, rows, outputs in left_out:
            _say(f"left out: {count} workers, {rows} rows, {outputs} outputs")
            checked.append(measure.a_pass(count, rows, COLUMNS, outputs, repeats))
    finally:
        ray.shutdown()
    coefficients = fit(cases, cores)
    result["coefficients"] = coefficients.tolist()
    result["fitted"] = [_compared(coefficients, case, cores) for case in cases]
    result["left_out"] = [_compared(coefficients, case, cores) for case in checked]
    network = Network()
    result["network"], result["cores_of_a_node"] = asdict(network), CORES
    result["extrapolated"] = [
        extrapolate(coefficients, Case(nodes, rows, COLUMNS, outputs, answers=nodes), CORES, network)
        for rows, outputs in CLUSTERS
        for nodes in NODES
    ]
    options.output.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{options.output}.json").write_text(json.dumps(result, indent=1) + "\n")
    Path(f"{options.output}.md").write_text(report.markdown(result))
    print(report.markdown(result))


def _measure(workers: tuple[int, ...], sizes: tuple[tuple[int, int], ...], repeats: int) -> list[Case]:
    shapes = sorted({(COLUMNS, outputs) for _, outputs in sizes})
    cases: list[Case] = []
    for count in workers:
        _say(f"{count} workers")
        cases += measure.calls(count, shapes, 5 * repeats)
        cases += [measure.a_pass(count, rows, COLUMNS, outputs, repeats) for rows, outputs in sizes]
    return cases


def _compared(coefficients: np.ndarray, case: Case, cores: int) -> dict[str, Any]:
    told = predict(coefficients, case, cores)
    about = {"workers": case.workers, "rows": case.rows, "columns": case.columns, "outputs": case.outputs}
    whole = {"measured": case.seconds, "predicted": told["all"], "error": told["all"] / case.seconds - 1.0}
    return {**about, "of": list(case.parts), **{part: told[part] for part in PARTS}, **whole}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description="A model of what a pass costs.")
    parser.add_argument("--repeats", type=int, default=7, help="timed passes of each case")
    parser.add_argument("--quick", action="store_true", help="small and few cases: shows that it works")
    parser.add_argument("--output", type=Path, default=RESULTS / "scaling", help="report without suffix")
    return parser.parse_args()


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
