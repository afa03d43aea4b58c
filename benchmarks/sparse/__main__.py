"""Runs the benchmark: `python -m benchmarks.sparse --help`."""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from .. import machine
from ..peers.client import PeerError, make_environment, run_worker
from . import ours, report
from .peers import PEERS, PEERS_OF_PATHS, label, requirements
from .problems import TASKS, made, path
from .task import Task, load, save

RESULTS = Path(__file__).parents[1] / "results"
GAPS, TOLERANCES = (1e-6,), (1e-8, 1e-10)


def main() -> None:
    options = _options()
    result: dict[str, Any] = {"machine": machine.describe(), "quick": options.quick, "tasks": {}, "loads": []}
    result["started"] = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    for name in options.tasks:
        sizes = options.sizes, options.quick
        for task in [path(name, *sizes)] if options.paths else made(name, *sizes):
            result["loads"].append(f"{task.name} {os.getloadavg()[0]:.1f}")
            peers = (PEERS_OF_PATHS if options.paths else PEERS)[task.loss]
            result["tasks"][task.name] = run(task, peers, TOLERANCES, GAPS, options)
            options.output.parent.mkdir(parents=True, exist_ok=True)
            Path(f"{options.output}.json").write_text(json.dumps(result, indent=1) + "\n")
            Path(f"{options.output}.md").write_text(report.markdown(result))
    print(report.markdown(result))


def run(
    task: Task,
    peers: tuple[str, ...],
    tolerances: tuple[float, ...],
    gaps: tuple[float, ...],
    options: argparse.Namespace,
) -> dict[str, Any]:
    """Seconds of every contender to each of the gaps, and how good it was: that of a path is its worst strength."""
    folder = RESULTS / "sparse-tasks" / f"{task.name}{'-quick' if options.quick else ''}"
    save(task, folder)
    task = load(folder)
    _say(f"{task.name}: fullbatch")
    fit = ours.path if task.shares else ours.fit
    fit(task, options.threads, TOLERANCES[-1])  # compiles: few rows would have other passes
    thetas, seconds, notes = [], [], []
    for tol in (*tolerances, 1e-14):  # the last one is the reference
        one = fit(task, options.threads, tol)
        thetas.append(one["theta"])
        seconds.append(one["seconds"])
        notes.append(f"tol {tol:g}: {one['passes']} passes, {one['seconds']:.3g} s, {one['note']}")
    found = {"fullbatch": (np.array(thetas), np.array(seconds), "; ".join(notes), "")}
    failed: dict[str, str] = {}
    for peer in peers:
        if options.only and not {peer, peer.partition(":")[0]} & set(options.only):
            continue
        if peer == "sklearn_:liblinear" and task.l2:  # its intercept is penalised
            continue
        _say(f"{task.name}: {label(peer)}")
        try:
            found[label(peer)] = _of_peer(python_of(peer, options), peer, folder, options)
        except PeerError as error:
            failed[label(peer)] = str(error)
    values = {name: np.array([task.values(theta) for theta in thetas]) for name, (thetas, *_) in found.items()}
    # Of each strength the least that anyone found, and where coefficients are not zero there.
    optimum = np.min([value.min(axis=0) for value in values.values()], axis=0)
    best = [_where_least(values, i) for i in range(len(optimum))]
    known = np.array([_of_strength(found[name][0][number], i, task) != 0 for i, (name, number) in enumerate(best)])
    row: dict[str, Any] = {"title": task.title, "l1": task.l1, "l2": task.l2, "optimum": float(optimum[-1])}
    row |= {"support": int(known[-1].sum()), "contenders": {}}
    for name, (thetas, seconds, note, version) in found.items():
        left = ((values[name] - optimum) / np.abs(optimum)).max(axis=1)
        numbers = [next((place for place, one in enumerate(left) if one <= gap), None) for gap in gaps]
        last = len(left) - 1 if numbers[-1] is None else numbers[-1]
        support = np.array([_of_strength(thetas[last], i, task) != 0 for i in range(len(optimum))])
        row["contenders"][name] = {
            "reached": {
                str(gap): None if at is None else float(seconds[at]) for gap, at in zip(gaps, numbers, strict=True)
            },
            "seconds": float(seconds[last]),
            "gap": float(left[last]),
            "support": int(support[-1].sum()),
            "other": int((support != known).sum()),
            "note": note,
        } | ({"version": version} if version else {})
    row["contenders"] |= {name: {"failed": words} for name, words in failed.items()}
    return row


def _where_least(values: dict[str, Any], strength: int) -> tuple[str, int]:
    """Whose fit of a strength has the least F, and which of its fits."""
    return min((own[number, strength], name, number) for name, own in values.items() for number in range(len(own)))[1:]


def _of_strength(theta: Any, number: int, task: Task) -> Any:
    """Coefficients of one strength."""
    return theta.reshape(max(len(task.shares), 1), -1)[number, : -task.outputs]


def _of_peer(python: Path, peer: str, folder: Path, options: argparse.Namespace) -> tuple[Any, Any, str, str]:
    path = folder / "fits.npz"
    told = [peer, folder, path, options.threads, options.seconds]
    run_worker(python, "benchmarks.sparse.peers.worker", told, path, 4 * options.seconds + 60)
    with np.load(path) as fits:
        return fits["theta"], fits["seconds"], "", str(fits["version"])


def parser_of(name: str, tasks: Iterable[str]) -> argparse.ArgumentParser:
    """The options that benchmarks of whole fits have in common."""
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}", description=import_module(f"..{name}", __package__).__doc__
    )
    parser.add_argument("--tasks", default=",".join(tasks), help="names, with commas; default: %(default)s")
    parser.add_argument("--threads", type=int, default=machine.describe()["cpus"], help="of every contender")
    parser.add_argument("--seconds", type=float, default=120.0, help="for all fits of a peer; default: %(default)s")
    parser.add_argument("--only", help="peers, with commas, such as glum_,sklearn_:lbfgs")
    parser.add_argument("--quick", action="store_true", help="few rows: shows that it works, nothing else")
    parser.add_argument("--no-peers", action="store_true", help="fullbatch alone")
    parser.add_argument("--peers-python", type=Path, help="an environment that is there instead of making one")
    parser.add_argument("--output", type=Path, default=RESULTS / name, help="report without suffix")
    return parser


def parsed(parser: argparse.ArgumentParser, tasks: Iterable[str]) -> argparse.Namespace:
    """What was told, with lists for names that are separated by commas."""
    options = parser.parse_args()
    options.tasks = options.tasks.split(",")
    options.only = options.only.split(",") if options.only else None
    if unknown := [name for name in options.tasks if name not in tasks]:
        parser.error(f"unknown task {unknown[0]!r}: choose from {', '.join(tasks)}")
    return options


def python_of(peer: str, options: argparse.Namespace) -> Path:
    """A peer's Python, made if need be."""
    if options.no_peers:
        raise PeerError("left out")
    return options.peers_python or environment(peer)


def environment(peer: str) -> Path:
    """The Python of the environment that a peer is in."""
    if peer == "torch_":  # that of single passes has it
        return make_environment(RESULTS / "peers-venv")
    file = requirements(peer)
    return make_environment(RESULTS / f"sparse-peers-{file.stem}", file)


def _options() -> argparse.Namespace:
    parser = parser_of("sparse", TASKS)
    parser.add_argument("--sizes", help="rows and columns, with commas, instead of a task's own; for a single task")
    parser.add_argument("--paths", action="store_true", help="a path of strengths of each task, instead of two fits")
    options = parsed(parser, TASKS)
    options.sizes = tuple(map(int, options.sizes.split(","))) if options.sizes else None
    if options.sizes and (len(options.tasks) != 1 or len(options.sizes) != len(TASKS[options.tasks[0]][1])):
        parser.error("--sizes are those of a single task, as many as it has")
    return options


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
