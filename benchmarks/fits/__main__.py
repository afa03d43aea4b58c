"""Runs the benchmark: `python -m benchmarks.fits --help`."""

import argparse
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from .. import machine
from ..peers.client import PeerError, make_environment
from ..sparse import report
from ..sparse.__main__ import REQUIREMENTS, RESULTS, run
from .problems import FEW, PEERS, TASKS

GAPS, TOLERANCES = (1e-4, 1e-6), (1e-4, 1e-6, 1e-8)


def main() -> None:
    options = _options()
    result: dict[str, Any] = {"machine": machine.describe(), "quick": options.quick, "tasks": {}, "loads": []}
    result["started"] = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    python: Path | str = "left out" if options.peers_python is None else options.peers_python
    if options.peers_python is None and not options.no_peers:
        try:
            python = make_environment(RESULTS / "sparse-peers-venv", REQUIREMENTS)
        except PeerError as error:
            python = str(error)
    for name in options.tasks:
        task = TASKS[name](FEW) if options.quick else TASKS[name]()
        result["loads"].append(f"{name} {os.getloadavg()[0]:.1f}")
        result["tasks"][name] = run(task, PEERS[name], TOLERANCES, GAPS, python, options)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{options.output}.json").write_text(json.dumps(result, indent=1) + "\n")
        Path(f"{options.output}.md").write_text(report.markdown(result, "Whole fits"))
    print(report.markdown(result, "Whole fits"))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.fits", description=sys.modules["benchmarks.fits"].__doc__
    )
    parser.add_argument("--tasks", default=",".join(TASKS), help="names, with commas; default: %(default)s")
    parser.add_argument("--threads", type=int, default=machine.describe()["cpus"], help="of every contender")
    parser.add_argument("--seconds", type=float, default=120.0, help="for all fits of a peer; default: %(default)s")
    parser.add_argument("--only", help="peers, with commas, such as glum_,sklearn_:lbfgs")
    parser.add_argument("--quick", action="store_true", help="few rows: shows that it works, nothing else")
    parser.add_argument("--no-peers", action="store_true", help="fullbatch alone")
    parser.add_argument("--peers-python", type=Path, help="an environment that is there instead of making one")
    parser.add_argument("--output", type=Path, default=RESULTS / "fits", help="report without suffix")
    options = parser.parse_args()
    options.tasks = options.tasks.split(",")
    options.only = options.only.split(",") if options.only else None
    unknown = [name for name in options.tasks if name not in TASKS]
    if unknown:
        parser.error(f"unknown task {unknown[0]!r}: choose from {', '.join(TASKS)}")
    return options


if __name__ == "__main__":
    main()
