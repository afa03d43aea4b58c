"""The largest problem, L1 logistic regression of very many sparse columns: `python -m benchmarks.sparse.largest`.

Rows are made on the workers, from seeds: each has some entries in Zipf-distributed columns. Reported are seconds,
passes, how the run ended, and the memory of the driver and of the workers at its highest.
"""

import argparse
import json
import os
import resource
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from fullbatch.protocols import Rows

PER_ROW, TELLING = 30, 300


@dataclass(frozen=True)
class Documents:
    """Some rows, made from a seed."""

    first: int
    count: int
    columns: int

    def read(self) -> Rows:
        rng = np.random.default_rng(self.first)
        # Columns by the inverse of the distribution function of 1/x.
        words = np.minimum(self.columns ** rng.random((self.count, PER_ROW)) - 1.0, self.columns - 1.0).astype(np.int32)
        indptr = np.arange(0, PER_ROW * self.count + 1, PER_ROW, dtype=np.int64)
        X = csr_array((np.ones(words.size), words.ravel(), indptr), shape=(self.count, self.columns))
        X.sum_duplicates()
        telling = np.random.default_rng(0).integers(0, min(self.columns, 20_000), TELLING)
        coef = np.zeros(self.columns)
        coef[telling] = np.random.default_rng(1).standard_normal(TELLING)
        y = X @ coef + rng.logistic(size=self.count) > 0
        return Rows(X, y.astype(np.int64))

    def __str__(self) -> str:
        return f"documents {self.first} to {self.first + self.count - 1}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sparse.largest", description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--columns", type=int, default=10_000_000)
    parser.add_argument("--blocks", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--strength", type=float, default=2e-3, help="of L1, on the mean loss; default: %(default)s")
    parser.add_argument("--engine", choices=("ray", "threads"), default="ray")
    parser.add_argument("--solver", default="auto")
    parser.add_argument("--tol", type=float, default=1e-8)
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    told = run(options)
    print(json.dumps(told, indent=1))
    if options.output is not None:
        options.output.write_text(json.dumps(told, indent=1) + "\n")


def run(options: argparse.Namespace) -> dict[str, Any]:
    """What a fit takes."""
    from fullbatch import Linear, Objective, RayEngine, ThreadEngine, minimize

    engine = RayEngine(options.workers) if options.engine == "ray" else ThreadEngine(options.workers)
    edges = np.linspace(0, options.rows, options.blocks + 1).astype(int).tolist()
    sources = [Documents(a, b - a, options.columns) for a, b in pairwise(edges)]
    load, began = os.getloadavg()[0], time.perf_counter()
    try:
        blocks = engine.place(Linear("logistic"), sources)
        placed = time.perf_counter() - began
        objective = Objective(blocks, l1=options.strength)
        result = minimize(objective, np.zeros(objective.size), solver=options.solver, tol=options.tol)
        workers = list(_peaks_of_workers())
    finally:
        engine.close()
    return {
        "rows": options.rows,
        "columns": options.columns,
        "engine": options.engine,
        "load": load,
        "seconds to place": round(placed, 1),
        "seconds of the run": round(result.seconds, 1),
        "passes": result.passes,
        "status": result.status.value,
        "message": result.message,
        "solver": result.solver,
        "F": result.value,
        "certificate": f"{result.certificate.name} {result.certificate.bound:.2e}",
        "not zero": int(np.count_nonzero(result.theta[:-1])),
        "driver GB": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "workers GB": sorted(workers),
    }


def _peaks_of_workers() -> Iterator[float]:
    """Memory of the workers on this machine at its highest, in GB: they are busy with their blocks, and not asked."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "comm").read_text().startswith("ray::_Ray"):
                line = next(line for line in (process / "status").open() if line.startswith("VmHWM"))
                yield round(int(line.split()[1]) / 2**20, 2)
        except OSError:  # it has ended
            continue


if __name__ == "__main__":
    main()
