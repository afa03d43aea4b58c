"""Time one pass of every system on every workload, in alternation, and write JSON and Markdown."""

import os

THREADS = int(os.environ.get("BENCH_THREADS", "2"))
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, str(THREADS))  # before anything loads a BLAS

import argparse  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402
from importlib.metadata import PackageNotFoundError, version  # noqa: E402
from pathlib import Path  # noqa: E402

import numpy as np  # noqa: E402

from . import machine, peers  # noqa: E402
from .workloads import WORKLOADS  # noqa: E402

PACKAGES = ("numpy", "scipy", "numba", "scikit-learn", "torch", "jax", "glum", "tabmat")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workloads", nargs="*", default=list(WORKLOADS), choices=list(WORKLOADS))
    parser.add_argument("--rounds", type=int, default=9, help="runs of each system, in alternation")
    parser.add_argument("--fraction", type=float, default=1.0, help="share of the rows: for a quick look")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args()
    rates = machine.limits(THREADS)
    report = {"machine": machine.description(), "threads": THREADS, "versions": versions(), "limits": rates}
    report |= {"rounds": options.rounds, "fraction": options.fraction, "workloads": {}}
    for name in options.workloads:
        report["workloads"][name] = measure(WORKLOADS[name](options.fraction), options.rounds, rates)
        print(table(name, report["workloads"][name]), flush=True)
        options.out.mkdir(parents=True, exist_ok=True)
        (options.out / "passes.json").write_text(json.dumps(report, indent=1))
        (options.out / "passes.md").write_text(markdown(report))


def versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = None
    return found


def measure(work, rounds, rates):
    runs, missing = {}, {}
    for name, make in peers.contestants(work, THREADS).items():
        try:
            runs[name] = make()
            runs[name]()  # compiles, warms up
        except ImportError as error:
            missing[name] = str(error)
            runs.pop(name, None)
    seconds = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    check(runs)
    limit, by = work.limit(rates)
    systems = {
        name: {
            "median_ms": 1e3 * float(np.median(times)),
            "min_ms": 1e3 * min(times),
            "spread_ms": 1e3 * float(np.subtract(*np.percentile(times, [75, 25]))),
        }
        for name, times in seconds.items()
    }
    return {"limit_ms": 1e3 * limit, "limited_by": by, "systems": systems, "missing": missing}


def check(runs):
    """All systems must have computed the same thing."""
    values = {name: run()[0] for name, run in runs.items()}
    whole = {name: np.ravel(value)[0] for name, value in values.items() if value is not None}
    for name, value in whole.items():
        if not np.isclose(value, whole["ours"], rtol=1e-4):
            raise AssertionError(f"{name} computed {value}, ours {whole['ours']}")


def table(name, result):
    ours = result["systems"]["ours"]["median_ms"]
    lines = [f"\n### {name}: limit {result['limit_ms']:.1f} ms ({result['limited_by']})\n"]
    lines += [
        "| system | median ms | minimum | spread | times the limit | ours / theirs |",
        "|---|---|---|---|---|---|",
    ]
    for system, time_ in result["systems"].items():
        median = time_["median_ms"]
        cells = f"{median:.1f} | {time_['min_ms']:.1f} | {time_['spread_ms']:.1f}"
        lines.append(f"| {system} | {cells} | {median / result['limit_ms']:.2f} | {ours / median:.2f} |")
    lines += [f"\nnot measured: {system} ({reason})" for system, reason in result["missing"].items()]
    return "\n".join(lines)


def markdown(report):
    rates = ", ".join(f"{name} {rate:.3g}" for name, rate in report["limits"].items())
    head = [
        "# One pass: loss and gradient over all rows\n",
        f"{report['machine']}, {report['threads']} threads, {report['rounds']} alternating rounds, "
        f"fraction {report['fraction']} of the rows. Spread: between the quartiles.\n",
        f"Versions: {report['versions']}\n",
        f"Limits: {rates}",
    ]
    return "\n".join(head + [table(name, result) for name, result in report["workloads"].items()]) + "\n"


if __name__ == "__main__":
    main()
