"""Put each fault into a copy of the code and run the tests meant for it: `python -m benchmarks.survivors --help`."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .listed import GONE, SURVIVORS, Survivor

_ROOT = Path(__file__).parents[2]
_COPIED = ("src", "tests", "pyproject.toml")


def main() -> None:
    options = _options()
    chosen = sorted((one for one in SURVIVORS if not options.only or one.name in options.only), key=_last_to_compile)
    unknown = sorted({*(options.only or ())} - {one.name for one in SURVIVORS} - GONE.keys())
    if unknown:
        sys.exit(f"no fault is called {unknown[0]}")
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        for name in _COPIED:
            copy = shutil.copytree if (_ROOT / name).is_dir() else shutil.copy
            copy(_ROOT / name, tree / name)
        if not options.no_check:
            whole = _run(tree, sorted({test for one in chosen for test in one.tests}))
            if whole.returncode:
                sys.exit(f"the tests fail without any fault:\n{whole.stdout}")
        for one in chosen:
            start = time.monotonic()
            outcome = _outcome(tree, one)
            if outcome != "noticed":
                failed.append(one.name)
            print(f"{one.name:16} {outcome} ({time.monotonic() - start:.0f} s)", flush=True)
    for name, reason in GONE.items():
        if not options.only or name in options.only:
            print(f"{name:16} no longer applies: {reason}")
    print(f"{len(chosen) - len(failed)} of {len(chosen)} noticed" + (f"; not: {', '.join(failed)}" if failed else ""))
    sys.exit(min(len(failed), 1))


def _last_to_compile(one: Survivor) -> bool:
    return one.compiles


def _outcome(tree: Path, one: Survivor) -> str:
    """ "noticed" where the tests fail, or what is wrong."""
    path = tree / "src" / "fullbatch" / one.file
    if not path.exists():
        return f"to be mended: there is no {one.file}"
    text = path.read_text()
    if text.count(one.old) != 1:
        return f"to be mended: {one.old!r} stands {text.count(one.old)} times in {one.file}"
    path.write_text(text.replace(one.old, one.new))
    try:
        done = _run(tree, list(one.tests))
    finally:
        path.write_text(text)
    if done.returncode == 1:
        return "noticed"
    return "survived" if done.returncode == 0 else f"pytest ended with {done.returncode}: {done.stdout[-2000:]}"


def _run(tree: Path, tests: list[str]) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-n", "0", "-p", "no:cacheprovider"]
    environment = os.environ | {"PYTHONPATH": str(tree / "src"), "PYTHONDONTWRITEBYTECODE": "1"}
    where = [f"tests/{test}" for test in tests]
    return subprocess.run(
        [*command, *where], cwd=tree, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.survivors", description=__doc__)
    parser.add_argument("--only", nargs="+", metavar="NAME", help="these faults alone")
    parser.add_argument("--no-check", action="store_true", help="do not first run the tests without a fault")
    return parser.parse_args()


if __name__ == "__main__":
    main()
