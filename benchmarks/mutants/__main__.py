"""Put a sample of faults into a copy of the code, one at a time, and run the tests that run through the changed line:
`make mutants SEED=1 N=400`, after `make coverage`. Ends with 1 where fewer than 90 % are noticed.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from . import forked
from .covering import Covering
from .equivalent import reason
from .forked import Outcome, Tests
from .places import Mutant, sample

ROOT = Path(__file__).parents[2]
_ENOUGH = 0.9
_NOTICED = ("failed", "timed out", "no start")


class Result(NamedTuple):
    """What became of a fault."""

    mutant: Mutant
    old: str
    new: str
    outcome: Outcome
    seconds: float

    def __str__(self) -> str:
        by = f" by {self.outcome.test}" if self.outcome.test else ""
        lines = "" if self.outcome.word in _NOTICED else f"\n    - {self.old}\n    + {self.new}"
        return f"{self.mutant.file}:{self.mutant.line} {self.outcome.word}{by} ({self.seconds:.0f} s){lines}"


class Job:
    """One process with a copy of the project, which tries one fault after another."""

    def __init__(self, folder: str, coverage: Path, most: float) -> None:
        self.tree, self.covering, self.most = Path(folder, str(os.getpid())), Covering(coverage), most
        self.tree.mkdir()
        forked.copy(ROOT, self.tree)
        forked.prove(self.tree)

    def tried(self, mutant: Mutant) -> Result:
        start = time.monotonic()
        path = self.tree / "src" / "fullbatch" / mutant.file
        source = path.read_text()
        old, new = mutant.lines(source)
        tests = self.covering.tests(mutant, source, self.most)
        if reason(mutant, old, new):
            outcome = Outcome("equivalent")
        elif not tests:
            outcome = Outcome("unreached")
        else:
            with forked.changed(path, mutant.text(source)):
                outcome = forked.run(self.tree, tests, self.covering.limit)
        return Result(mutant, old, new, outcome, time.monotonic() - start)

    def failing(self, tests: Iterable[str]) -> set[str]:
        """Those of the tests that fail without any fault: what they noticed proves nothing."""
        by_file: Tests = {}
        for test in sorted(set(tests)):
            by_file.setdefault(test.partition("::")[0], []).append(test)
        return forked.failing(self.tree, by_file)


_jobs: list[Job] = []  # one in each process


def _begin(*arguments: Any) -> None:
    _jobs.append(Job(*arguments))


def _try(mutant: Mutant) -> Result:
    return _jobs[0].tried(mutant)


def _failing(tests: list[str]) -> set[str]:
    return _jobs[0].failing(tests)


def main() -> None:
    options = _options()
    start = time.monotonic()
    chosen = sample(ROOT / "src" / "fullbatch", options.seed, options.count, options.only)
    forked.prepare()
    with tempfile.TemporaryDirectory() as folder:
        results = []
        # Processes without threads, which fork for each fault.
        arguments = (folder, options.coverage, options.seconds)
        with multiprocessing.get_context("fork").Pool(options.jobs, _begin, arguments) as pool:
            for result in pool.imap_unordered(_try, chosen):
                print(result, flush=True)
                results.append(result)
            unsound = pool.apply(_failing, ([result.outcome.test for result in results if result.outcome.test],))
    share = _report(results, unsound)
    print(f"seed {options.seed}, {len(results)} faults, {time.monotonic() - start:.0f} s")
    sys.exit(0 if share >= _ENOUGH else 1)


def _report(results: list[Result], unsound: set[str]) -> float:
    """Print how many were noticed, and what was not; the share of those that could be."""
    counts = Counter("unsound" if result.outcome.test in unsound else result.outcome.word for result in results)
    print("\nNot noticed:")
    for result in sorted(results, key=lambda result: result.mutant):
        if result.outcome.word not in (*_NOTICED, "equivalent") or result.outcome.test in unsound:
            print(result)
    print("\nEquivalent:")
    for result in sorted(results, key=lambda result: result.mutant):
        if result.outcome.word == "equivalent":
            print(f"{result}\n    {reason(result.mutant, result.old, result.new)}")
    for test in sorted(unsound):
        print(f"fails without any fault, so that what it noticed does not count: {test}")
    noticed, able = sum(counts[word] for word in _NOTICED), len(results) - counts["equivalent"]
    print("\n" + ", ".join(f"{count} {word}" for word, count in counts.most_common()))
    share = noticed / max(able, 1)
    print(f"{noticed} of {able} noticed: {share:.1%}")
    return share


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=400, help="faults in the sample")
    parser.add_argument("--seconds", type=float, default=40.0, help="of tests for one fault, as they took when alone")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--only", nargs="+", default=[], metavar="FILE", help="rooms or files below src/fullbatch")
    parser.add_argument("--coverage", type=Path, default=ROOT / "build", help="folder that make coverage wrote to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
