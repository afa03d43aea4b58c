"""Runs the benchmark: `python -m benchmarks.solvers --help`."""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from .. import machine
from ..peers.client import PeerError, make_environment, run_worker
from . import ours, plot, report
from .curve import Curve
from .peers import PEERS, label
from .problems import TASKS
from .task import Task, save

RESULTS = Path(__file__).parents[1] / "results"
REQUIREMENTS = Path(__file__).with_name("peers") / "requirements.txt"
TARGETS = (1e-1, 1e-2, 1e-3, 1e-4, 1e-6, 1e-8)
SOLVERS = ("auto", "sampled-lbfgs", "newton", "lbfgs")


def main() -> None:
    options = _options()
    result: dict[str, Any] = {"machine": machine.describe(), "quick": options.quick, "tasks": {}, "targets": TARGETS}
    result["started"] = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    python, no_peers = options.peers_python, "left out"
    if python is None and not options.no_peers:
        try:
            python = make_environment(RESULTS / "solver-peers-venv", REQUIREMENTS)
        except PeerError as error:
            no_peers = str(error)
    for name in options.tasks:
        task = TASKS[name](n=2_000) if options.quick else TASKS[name]()
        result["tasks"][name] = _run(task, python, no_peers, options)
        options.output.parent.mkdir(parents=True, exist_ok=True)
        Path(f"{options.output}.json").write_text(json.dumps(result, indent=1) + "\n")
        picture = Path(f"{options.output}-{name}.svg")
        picture.write_text(plot.svg(result["tasks"][name], list(TARGETS)))
        result["tasks"][name]["plot"] = picture.name
        Path(f"{options.output}.md").write_text(report.markdown(result))
    print(report.markdown(result))


def _run(task: Task, python: Path | None, no_peers: str, options: argparse.Namespace) -> dict[str, Any]:
    _say(f"{task.name}: the optimum")
    optimum, how = task.optimum, "known from elsewhere"
    if optimum is None:
        optimum, norm = ours.optimum(task, options.threads)
        how = f"a long float64 run of fullbatch, gradient norm {norm:.1e}"
    row: dict[str, Any] = {"title": task.title, "optimum": optimum, "how": how, "contenders": {}}
    parameters = task.outputs * (task.X.shape[1] + 1)
    for solver in SOLVERS:
        if solver == "newton" and parameters > 1000:
            continue
        _say(f"{task.name}: fullbatch {solver}")
        curve = ours.run(task, solver, options.threads, options.seconds)
        row["contenders"][f"fullbatch {solver}"] = _judge(curve, task, optimum)
    wanted = options.only
    peers = [peer for peer in PEERS[task.name] if wanted is None or {peer, peer.partition(":")[0]} & set(wanted)]
    folder = RESULTS / "solver-tasks" / f"{task.name}{'-quick' if options.quick else ''}"
    if python is not None and peers:
        save(task, folder)
    for peer in peers:
        _say(f"{task.name}: {label(peer)}")
        try:
            if python is None:
                raise PeerError(no_peers)
            row["contenders"][label(peer)] = _judge(_of_peer(python, peer, folder, options), task, optimum)
        except PeerError as error:
            row["contenders"][label(peer)] = {"failed": str(error)}
    return row


def _judge(curve: Curve, task: Task, optimum: float) -> dict[str, Any]:
    return {
        "reached": curve.reached(task, optimum, TARGETS),
        "final": curve.final(task, optimum),
        "seconds": curve.seconds[-1],
        "passes": curve.passes[-1],
        "note": curve.note,
        "version": curve.version,
    }


def _of_peer(python: Path, peer: str, folder: Path, options: argparse.Namespace) -> Curve:
    path = folder / "curve.npz"
    told = [peer, folder, path, options.threads, options.seconds]
    run_worker(python, "benchmarks.solvers.peers.worker", told, path, 20 * options.seconds + 300)
    return Curve.load(path)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.solvers", description=sys.modules["benchmarks.solvers"].__doc__
    )
    parser.add_argument("--tasks", default=",".join(TASKS), help="names, with commas; default: %(default)s")
    parser.add_argument("--threads", type=int, default=machine.describe()["cpus"], help="of every contender")
    parser.add_argument("--seconds", type=float, default=60.0, help="for one run of a contender; default: %(default)s")
    parser.add_argument("--only", help="peers, with commas, such as torch_,sklearn_:lbfgs-float32")
    parser.add_argument("--quick", action="store_true", help="few rows: shows that it works, nothing else")
    parser.add_argument("--no-peers", action="store_true", help="fullbatch alone")
    parser.add_argument("--peers-python", type=Path, help="an environment that is there instead of making one")
    parser.add_argument("--output", type=Path, default=RESULTS / "solvers", help="report without suffix")
    options = parser.parse_args()
    options.tasks = options.tasks.split(",")
    options.only = options.only.split(",") if options.only else None
    unknown = [name for name in options.tasks if name not in TASKS]
    if unknown:
        parser.error(f"unknown task {unknown[0]!r}: choose from {', '.join(TASKS)}")
    return options


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
