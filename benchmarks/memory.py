"""Peak anonymous memory of a fit relative to its data, in a process of its own."""

import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

from . import ours
from .problem import Problem, load

ITERATIONS = 5
FEW = 2_000  # rows of the first fit, which loads and compiles everything: its memory is the constant, not the data's


def of_fit(folder: Path) -> dict[str, Any]:
    """What `python -m benchmarks.memory FOLDER` says, or why it failed."""
    command = [sys.executable, "-m", "benchmarks.memory", str(folder.resolve())]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True)
    if done.returncode:
        return {"failed": (done.stderr.strip().splitlines() or ["no message"])[-1]}
    return json.loads(done.stdout.splitlines()[-1])


def _anonymous() -> int:
    """Bytes of this process that no file backs."""
    for line in Path("/proc/self/smaps_rollup").read_text().splitlines():
        if line.startswith("Anonymous:"):
            return 1024 * int(line.split()[1])
    raise OSError("no Anonymous line in /proc/self/smaps_rollup")


class _Peak:
    """Looks every few milliseconds for as long as the `with` lasts."""

    def __enter__(self) -> "_Peak":
        self.bytes, self._over = _anonymous(), threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._over.wait(0.005):
            self.bytes = max(self.bytes, _anonymous())

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()
        self.bytes = max(self.bytes, _anonymous())


def _few_rows(problem: Problem) -> Problem:
    """The first rows, copied."""
    arrays, n = dict(problem.arrays), min(FEW, problem.rows)
    for name in ("X", "y", "codes", "offset"):
        if name in arrays:
            arrays[name] = np.array(arrays[name][:n])
    if problem.storage == "csr":
        arrays["indptr"] = np.array(arrays["indptr"][: n + 1])
        stop = int(arrays["indptr"][-1])
        arrays["data"], arrays["indices"] = np.array(arrays["data"][:stop]), np.array(arrays["indices"][:stop])
    return Problem(**{**vars(problem), "arrays": arrays})


def _fit(problem: Problem) -> None:
    from fullbatch import Objective, ThreadEngine, minimize

    blocks = ThreadEngine().place(ours.model(problem), ours.sources(problem))
    objective = Objective(blocks, l2=1e-3)
    minimize(objective, np.zeros(objective.size), max_iter=ITERATIONS)
    blocks.close()


def main() -> None:
    folder = Path(sys.argv[1])
    _fit(_few_rows(load(folder)))
    before = _anonymous()
    problem = load(folder, mmap=False)
    for name in ("value", "grad", "grad_scale", "theta"):
        del problem.arrays[name]
    data = sum(array.nbytes for array in problem.arrays.values())
    start = time.perf_counter()
    with _Peak() as peak:
        _fit(problem)
    answer = {
        "constant_MB": before / 1e6,
        "data_MB": data / 1e6,
        "peak_MB": (peak.bytes - before) / 1e6,
        "peak_over_data": (peak.bytes - before) / data,
        "fit_seconds": time.perf_counter() - start,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
