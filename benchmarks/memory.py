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
FEW = 2_000  # rows of the first fit, which loads and compiles everything: that is the program's memory, not the data's


def of_fit(folder: Path) -> dict[str, Any]:
    """What fits of all rows and of half of them take: how it grows with the data, and what is there whatever n."""
    try:
        half, whole = (_of_share(folder, share) for share in (0.5, 1.0))
    except subprocess.CalledProcessError as error:
        return {"failed": (error.stderr.strip().splitlines() or ["no message"])[-1]}
    growth = (whole["peak_MB"] - half["peak_MB"]) / (whole["data_MB"] - half["data_MB"])
    return whole | {"growth": growth, "constant_MB": whole["peak_MB"] - growth * whole["data_MB"]}


def _of_share(folder: Path, share: float) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.memory", str(folder.resolve()), str(share)]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


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


def _first_rows(problem: Problem, n: int) -> Problem:
    """The first n rows, read into memory, without the reference."""
    arrays = {name: problem.arrays[name] for name in ("X", "y", "codes", "offset") if name in problem.arrays}
    arrays = {name: np.array(array[:n]) for name, array in arrays.items()}
    if problem.storage == "csr":
        arrays["indptr"] = np.array(problem.arrays["indptr"][: n + 1])
        stop = int(arrays["indptr"][-1])
        arrays |= {name: np.array(problem.arrays[name][:stop]) for name in ("data", "indices")}
    return Problem(**{**vars(problem), "arrays": arrays})


def _fit(problem: Problem) -> None:
    from fullbatch import Objective, ThreadEngine, minimize

    blocks = ThreadEngine().place(ours.model(problem), ours.sources(problem))
    objective = Objective(blocks, l2=1e-3)
    minimize(objective, np.zeros(objective.size), max_iter=ITERATIONS)
    blocks.close()


def main() -> None:
    problem, share = load(Path(sys.argv[1])), float(sys.argv[2]) if len(sys.argv) > 2 else 1.0
    _fit(_first_rows(problem, FEW))
    before = _anonymous()
    problem = _first_rows(problem, max(1, round(share * problem.rows)))
    data = sum(array.nbytes for array in problem.arrays.values())
    start = time.perf_counter()
    with _Peak() as peak:
        _fit(problem)
    answer = {
        "program_MB": before / 1e6,
        "data_MB": data / 1e6,
        "peak_MB": (peak.bytes - before) / 1e6,
        "peak_over_data": (peak.bytes - before) / data,
        "fit_seconds": time.perf_counter() - start,
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
