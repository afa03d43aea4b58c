"""Runs the benchmark: `python -m benchmarks --help`."""

import argparse
import json
import sys
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

from . import machine, memory, report, roofline
from .ours import NotSupportedError, Ours
from .peers import PEERS, label
from .peers.client import Peer, PeerError, make_environment
from .problem import TOLERANCE, Problem
from .rounds import alternate
from .workloads import MNIST, WORKLOADS, open_workload

RESULTS = Path(__file__).parent / "results"
ALL, ONE = "fullbatch", "fullbatch, 1 thread"


def main() -> None:
    options = _options()
    started = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime())
    result: dict[str, Any] = {"started": started, "quick": options.quick, "machine": machine.describe()}
    threads = result["threads"] = result["machine"]["cpus"]
    _say("measuring the machine")
    rates = {count: roofline.measure(count, options.quick) for count in sorted({1, threads})}
    result["rates"] = {str(count): rate for count, rate in rates.items()}
    python, no_peers = options.peers_python, "left out"
    if python is None and not options.no_peers:
        _say("setting up the peer environment")
        try:
            python = make_environment(RESULTS / "peers-venv")
        except PeerError as error:
            no_peers = str(error)
    result["workloads"] = {}
    for name in options.workloads:
        _say(f"{name}: making or opening the data")
        problem, folder = open_workload(name, RESULTS / "data", options.quick)
        row = result["workloads"][name] = _run(problem, folder, threads, python, no_peers, options)
        row["limits_ms"] = {count: _ms(roofline.limits(problem, rate)) for count, rate in rates.items()}
        if not options.no_memory:
            _say(f"{name}: memory of a fit")
            row["memory"] = memory.of_fit(folder)
        report.derive(row, threads)
        _write(result, options.output)  # after each workload: what was measured is kept whatever comes next
    print(report.markdown(result))


def _write(result: dict[str, Any], output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    Path(f"{output}.json").write_text(json.dumps(result, indent=1) + "\n")
    Path(f"{output}.md").write_text(report.markdown(result))


def _run(
    problem: Problem, folder: Path, threads: int, python: Path | None, no_peers: str, options: argparse.Namespace
) -> dict[str, Any]:
    """Everything about one workload: who answers, whether rightly, and how fast."""
    row: dict[str, Any] = {"title": problem.title, "feature_bytes": problem.feature_bytes, "contenders": {}}
    makers: dict[str, Any] = {ALL: partial(Ours, problem, threads), ONE: partial(Ours, problem, 1)}
    alone = {}  # contenders that answer another question than the workload's: theirs is not checked against it
    if problem.models > 1:
        alone["fullbatch, 1 model"] = partial(Ours, problem, threads, theta=problem.arrays["theta"][0])
    if problem.name == "mnist-uint8":
        floats, _ = open_workload("mnist-float32", RESULTS / "data", options.quick)
        alone["fullbatch on float32"] = partial(Ours, floats, threads)
    peers = {label(peer): partial(Peer, python, peer, folder, threads) for peer in PEERS[problem.name]}
    if python is not None:
        makers |= peers
    else:
        row["contenders"] |= {name: {"failed": no_peers} for name in peers}
    with ExitStack() as stack:
        running = {}
        for name, make in (makers | alone).items():
            _say(f"{problem.name}: {name}")
            try:
                one = make()
                stack.callback(one.close)
                about = {} if name in alone else _check(problem, one)
                running[name] = one
            except NotSupportedError as error:
                about = {"failed": f"not supported yet: {error}"}
            except PeerError as error:
                about = {"failed": str(error)}
            row["contenders"][name] = about
        _say(f"{problem.name}: timing in turns")
        for name, times in alternate(running, options.repeats).items():
            row["contenders"][name] |= times
    return row


def _check(problem: Problem, one: Ours | Peer) -> dict[str, Any]:
    """Errors against the float64 reference, which is how everybody is held to the same loss and gradient."""
    value_error, grad_error = problem.errors(*one.answer())
    tolerance = TOLERANCE[one.precision]
    about = {"loss_error": value_error, "gradient_error": grad_error, "tolerance": tolerance}
    about["agrees"] = bool(value_error <= tolerance and grad_error <= tolerance)
    return about | ({"version": one.version} if isinstance(one, Peer) else {})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=sys.modules["benchmarks"].__doc__)
    parser.add_argument("--workloads", default=",".join(WORKLOADS), help="names, with commas; default: %(default)s")
    parser.add_argument("--repeats", type=int, help="turns of each contender; default: 7, or 2 if quick")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works, not how fast it is")
    parser.add_argument("--no-peers", action="store_true", help="fullbatch alone")
    parser.add_argument("--peers-python", type=Path, help="an environment that is there instead of making one")
    parser.add_argument("--no-memory", action="store_true", help="leave out the memory of a fit")
    parser.add_argument("--output", type=Path, help="report without suffix; default: benchmarks/results/report")
    options = parser.parse_args()
    options.workloads = options.workloads.split(",")
    unknown = [name for name in options.workloads if name not in WORKLOADS]
    if unknown:
        parser.error(f"unknown workload {unknown[0]!r}: choose from {', '.join(WORKLOADS)}")
    options.output = options.output or RESULTS / ("quick" if options.quick else "report")
    options.repeats = options.repeats or (2 if options.quick else 7)
    options.peers_python = None if options.no_peers else options.peers_python
    if "mnist-float32" in options.workloads and not MNIST.is_dir() and not options.quick:
        _say("FULLBATCH_MNIST is not set: random bytes instead of MNIST")
    return options


def _ms(seconds: dict[str, float]) -> dict[str, float]:
    return {name: 1e3 * one for name, one in seconds.items()}


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
