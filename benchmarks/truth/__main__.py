"""Runs the battery: `python -m benchmarks.truth --help`."""

import argparse
import json
import multiprocessing
import os
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

from . import cache, report
from .runs import SOLVERS, Judged, judge


def main() -> int:
    options = _options()
    judged = []
    for one in _judged(options):
        judged.append(one)
        if options.verbose:
            print(report.in_words(one), flush=True)
        elif len(judged) % 100 == 0:
            print(f"{len(judged)} of {len(options.seeds)}", file=sys.stderr, flush=True)
    if options.output:
        lines = [json.dumps(asdict(verdict)) for one in judged for verdict in one.verdicts]
        options.output.write_text("\n".join(lines) + "\n")
    if not options.verbose or len(judged) > 1:
        print(report.markdown(judged))
    return 1 if report.faults(judged) else 0


def _judged(options: argparse.Namespace) -> Iterator[Judged]:
    work = partial(judge, solvers=options.solvers, folder=options.cache)
    if options.jobs == 1 or len(options.seeds) == 1:
        yield from map(work, options.seeds)
        return
    os.environ |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")  # of the processes below
    with ProcessPoolExecutor(options.jobs, multiprocessing.get_context("spawn")) as pool:
        yield from pool.map(work, options.seeds, chunksize=8)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.truth", description=sys.modules["benchmarks.truth"].__doc__
    )
    parser.add_argument("--seeds", default="0:5000", help="17, or 0:300, or 3,5,8; default: %(default)s")
    parser.add_argument("--solvers", default=",".join(SOLVERS), help="names, with commas; default: %(default)s")
    parser.add_argument("--jobs", type=int, default=2, help="processes; default: %(default)s")
    parser.add_argument("--cache", type=Path, default=cache.FOLDER, help="folder of the optima; default: %(default)s")
    parser.add_argument("--output", type=Path, help="every verdict, as a line of JSON")
    parser.add_argument("-v", "--verbose", action="store_true", help="each problem in words, and each verdict")
    options = parser.parse_args()
    options.solvers = options.solvers.split(",")
    unknown = [name for name in options.solvers if name not in SOLVERS]
    if unknown:
        parser.error(f"unknown solver {unknown[0]!r}: choose from {', '.join(SOLVERS)}")
    try:
        if ":" in options.seeds:
            options.seeds = range(*map(int, options.seeds.split(":")))
        else:
            options.seeds = [int(seed) for seed in options.seeds.split(",")]
    except (TypeError, ValueError):
        parser.error(f"--seeds takes 17, or 0:300, or 3,5,8, not {options.seeds!r}")
    return options


if __name__ == "__main__":
    sys.exit(main())
