"""Runs the damage to files: `python -m benchmarks.fuzz --help`."""

import argparse
import collections
import json
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from fullbatch import DataError

from .formats import FORMATS, Format, NotOursError, Read, read
from .mutants import mutant

# Mutants for each process: one that dies takes no more along.
_BATCH = 250
# Seconds after which a mutant counts as endless.
_PATIENCE = 60
MEMORY, TIMES_FILE = 200e6, 20
# What may come of a mutant: a DataError; the rows that were there before; those that another reader finds in it; or
# another reader, before ours, did not take it.
FINE = ("refused", "same rows", "rows as they stand", "not read")


def main() -> None:
    options = _options()
    if options.worker:
        wanted = _wanted(options.formats, options.mutants)
        for name, number in wanted[slice(*map(int, options.worker.split(":")))]:
            print(json.dumps(_try(FORMATS[name], number, options.seed)), flush=True)
        return
    failures = 0
    print("format   mutants " + "".join(f"{name:>20}" for name in FINE) + "   failed  peak MB")
    for name in options.formats.split(","):
        found = run(name, options.mutants, options.seed)
        bad = [one for one in found if one["outcome"] not in FINE]
        failures += len(bad)
        counts = collections.Counter(one["outcome"] for one in found)
        peak = max(one["peak"] for one in found) / 1e6
        print(
            f"{name:8} {len(found):7} " + "".join(f"{counts[kind]:20}" for kind in FINE) + f" {len(bad):8} {peak:8.1f}"
        )
        for one in bad[: options.show]:
            print(f"  {one['seed']}: {one['outcome']}: {one['what']}")
    sys.exit(min(failures, 1))


def run(names: str, mutants: int, seed: int) -> list[dict[str, Any]]:
    """What came of each mutant of each of these formats, which have commas between them."""
    wanted = _wanted(names, mutants)
    found: list[dict[str, Any]] = []
    while len(found) < len(wanted):
        stop = min(len(found) + _BATCH, len(wanted))
        command = [sys.executable, "-W", "ignore", "-m", "benchmarks.fuzz", "--formats", names]
        which = ["--seed", str(seed), "--mutants", str(mutants), "--worker", f"{len(found)}:{stop}"]
        done = subprocess.run([*command, *which], capture_output=True, text=True, check=False)
        found += map(json.loads, done.stdout.splitlines())
        if len(found) < stop:
            last = done.stderr.strip().splitlines()[-1:]
            name, number = wanted[len(found)]
            outcome = {"seed": f"{name}-{seed}-{number}", "outcome": f"the process died ({done.returncode})"}
            found.append({**outcome, "what": "".join(last), "peak": 0})
    return found


def _wanted(names: str, mutants: int) -> list[tuple[str, int]]:
    return [(name, number) for name in names.split(",") for number in range(mutants)]


def _try(kind: Format, number: int, seed: int) -> dict[str, Any]:
    name = f"{kind.name}-{seed}-{number}"
    content = mutant(kind.content(), name)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"mutant.{kind.ending}"
        path.write_bytes(content)
        signal.signal(signal.SIGALRM, _give_up)
        signal.alarm(_PATIENCE)
        before = _start_measuring()
        try:
            outcome, what = _outcome(kind, path, content)
        except Exception as error:  # whatever else a reader raises is what is looked for
            outcome, what = "error", f"{type(error).__name__}: {error}"
        finally:
            signal.alarm(0)
        peak = _memory("VmHWM") - before
    if outcome in FINE and peak > MEMORY + TIMES_FILE * len(content):
        outcome, what = "memory", f"{peak / 1e6:.0f} MB for a file of {len(content)} bytes ({outcome})"
    return {"seed": name, "outcome": outcome, "what": what[:300], "peak": peak}


def _outcome(kind: Format, path: Path, content: bytes) -> tuple[str, str]:
    try:
        found = read(kind.sources(path))
    except NotOursError as error:
        return "not read", str(error)
    except DataError as error:
        named = path.name in str(error) or kind.name == "arrow"
        return "refused" if named else "the file is not named", str(error)
    if _as_before(kind, found):
        return "same rows", ""
    try:
        other = kind.reference(content, found.names)
    except Exception as error:
        return "read what another reader refuses", f"{type(error).__name__}: {error}"
    if found.is_like(other):
        return "rows as they stand", ""
    different = next(
        ((a, b) for a, b in zip(found.rows, other.rows, strict=False) if a != b), (len(found.rows), len(other.rows))
    )
    return "other rows than another reader's", f"{found.names} {different}"


def _as_before(kind: Format, found: Read) -> bool:
    try:
        return found.is_like(kind.reference(kind.content(), found.names))
    except KeyError:  # a column has another name now
        return False


def _give_up(*_: object) -> None:
    raise TimeoutError(f"no end after {_PATIENCE} s")


def _start_measuring() -> int:
    """Memory now; from here on its peak is measured anew."""
    Path("/proc/self/clear_refs").write_text("5")
    return _memory("VmRSS")


def _memory(name: str) -> int:
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return 1024 * int(found[1])


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m benchmarks.fuzz", description=__doc__)
    parser.add_argument("--formats", default=",".join(FORMATS), help="with commas; default: all")
    parser.add_argument("--mutants", type=int, default=3000, help="of each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--show", type=int, default=20, help="failures that are shown of each format")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
