"""What standard errors cost beside a pass of the fit, and marginal effects of rows that are streamed.

    python -m benchmarks.inference                                      # 2,000,000 x 50 and 10,000,000 x 20
    python -m benchmarks.inference --rows 200000 --columns 20 --streamed 1000000

errors   a logistic fit of a Parquet file on Ray with 2 workers: passes and seconds of classical errors, HC1 and errors
         by cluster, beside a gradient pass and a Gram pass of the same blocks in memory, and a gradient pass that
         reads the file as inference does
effects  average marginal effects of 20 columns of a streamed Parquet file, in a process of its own: seconds, and the
         peak of anonymous memory of all its processes
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # before Ray is imported
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

EFFECTS, GROUP, CHUNK = 20, 2**16, 2**17


def write(folder: Path, rows: int, columns: int, clusters: int) -> Path:
    """Rows of a logistic model in one Parquet file, written chunk by chunk; a cluster has rows in many blocks."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(0)
    names = [f"x{j}" for j in range(columns)]
    schema = pa.schema([*((name, pa.float64()) for name in names), ("id", pa.int64()), ("y", pa.int64())])
    truth = rng.standard_normal(columns) / np.sqrt(columns)
    path = folder / "rows.parquet"
    with pq.ParquetWriter(path, schema, use_dictionary=False, compression="zstd") as file:
        for start in range(0, rows, CHUNK):
            n = min(CHUNK, rows - start)
            X = rng.standard_normal((n, columns))
            y = (rng.random(n) < 1.0 / (1.0 + np.exp(-(X @ truth)))).astype(np.int64)
            given = {**dict(zip(names, X.T, strict=True)), "id": rng.integers(0, clusters, n), "y": y}
            file.write_table(pa.table(given, schema), row_group_size=GROUP)
    return path


class Passes:
    """Counts the reads of all rows that inference makes, and the seconds of what is done meanwhile."""

    def __init__(self) -> None:
        from fullbatch.inference.data import Data

        self.count, plain = 0, Data.each

        def each(data: Any, task: Any) -> Any:
            self.count += 1
            return plain(data, task)

        Data.each = each  # type: ignore[method-assign]

    def of(self, work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
        before, start = self.count, time.perf_counter()
        made = work()
        return made, {"passes": self.count - before, "seconds": time.perf_counter() - start}


def least(work: Callable[[], Any], times: int = 3) -> float:
    """Seconds of the quickest of a few."""
    seconds = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def errors(folder: Path, rows: int, columns: int, clusters: int, workers: int) -> dict[str, Any]:
    """Errors of a logistic fit on Ray, beside passes of the fit."""
    import ray

    from fullbatch import Linear, LogisticRegression, RayEngine, file_sources
    from fullbatch.protocols import Curvature, ValueGrad

    path = write(folder, rows, columns, clusters)
    features = [f"x{j}" for j in range(columns)]
    sources = file_sources(path, target="y", features=features)
    ray.init(address="local", num_cpus=workers, include_dashboard=False, log_to_driver=False)
    engine = RayEngine(workers)
    try:
        start = time.perf_counter()
        model = LogisticRegression(C=np.inf, tol=1e-6, engine=engine).fit(sources)
        seconds = time.perf_counter() - start
        theta = np.append(model.coef_, model.intercept_)
        blocks = engine.place(Linear("logistic"), sources)
        passes = {
            "gradient": least(lambda: blocks.sum(ValueGrad(theta))),
            "gram": least(lambda: blocks.sum(Curvature(theta, "gram"))),
        }
        blocks.close()

        def read_too() -> None:
            placed = engine.place(Linear("logistic"), sources)
            placed.sum(ValueGrad(theta))
            placed.close()

        passes["gradient that reads the files, twice to place them"] = least(read_too, 1)
        counter, told = Passes(), {}
        model.inference(sources)  # imports, and what else is done once
        made, told["classical"] = counter.of(lambda: model.inference(sources))
        _, told["HC1, by the same object"] = counter.of(lambda: made.with_covariance("HC1"))
        by_cluster, told["cluster"] = counter.of(lambda: model.inference(sources, clusters="id"))
        _, told["HC3, by the same object"] = counter.of(lambda: made.with_covariance("HC3"))
    finally:
        engine.close()
        ray.shutdown()
    bound = 4 * passes["gradient"] + passes["gram"]
    return {
        "rows": rows,
        "columns": columns,
        "workers": workers,
        "clusters": by_cluster.clusters[0],
        "blocks": len(sources),
        "fit": {"seconds": seconds, "passes": model.result_.passes, "status": model.status_},
        "seconds_of_a_pass": passes,
        "inference": told,
        "four_gradients_and_gram_seconds": bound,
        "classical_over_that": told["classical"]["seconds"] / bound,
    }


def anonymous() -> int:
    """Bytes that no file backs, of this process and all below it."""
    import psutil

    total = 0
    me = psutil.Process()
    for process in (me, *me.children(recursive=True)):
        try:
            status = Path(f"/proc/{process.pid}/status").read_text()
        except OSError:
            continue  # has just ended
        total += sum(1024 * int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:"))
    return total


def effects(path: Path, memory: str) -> dict[str, Any]:
    """Effects of the columns of a streamed file, in this process."""
    from fullbatch import LogisticRegression, ThreadEngine, file_sources

    peaks, over, name = {"fit": 0, "effects": 0}, threading.Event(), "fit"

    def watch() -> None:
        while not over.wait(0.01):
            peaks[name] = max(peaks[name], anonymous())

    watching = threading.Thread(target=watch)
    watching.start()
    sources = file_sources(path, target="y", features=[f"x{j}" for j in range(EFFECTS)])
    start = time.perf_counter()
    model = LogisticRegression(C=np.inf, tol=1e-6, engine=ThreadEngine(memory=memory)).fit(sources)
    fitted = time.perf_counter()
    counter, name = Passes(), "effects"
    told, inference = counter.of(lambda: model.inference(sources))
    table, of_effects = counter.of(told.marginal_effects)
    over.set()
    watching.join()
    return {
        "columns": len(table),
        "fit_seconds": fitted - start,
        "inference": inference,
        "marginal_effects": of_effects,
        "peak_anonymous_MB": {part: peak / 1e6 for part, peak in peaks.items()},
        "file_MB": path.stat().st_size / 1e6,
        "largest_error": float(np.max(table["std_err"])),
    }


def streamed(folder: Path, rows: int, memory: str) -> dict[str, Any]:
    """The same in a process of its own, which has no memory of writing the rows."""
    path = write(folder, rows, EFFECTS, 1)
    command = [sys.executable, "-m", "benchmarks.inference", "--effects-of", str(path), "--memory", memory]
    done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return {"rows": rows, **json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=2_000_000)
    parser.add_argument("--columns", type=int, default=50)
    parser.add_argument("--clusters", type=int, help="default: a quarter of the rows")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--streamed", type=int, default=10_000_000, metavar="ROWS", help="of the effects; 0 for none")
    parser.add_argument("--memory", default="256MB", help="what the fit before the effects may keep")
    parser.add_argument("--effects-of", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.effects_of:
        print(json.dumps(effects(Path(given.effects_of), given.memory)))
        return
    from benchmarks.machine import describe

    found: dict[str, Any] = {"machine": describe()}
    if given.rows:
        with tempfile.TemporaryDirectory() as folder:
            clusters = given.clusters or given.rows // 4
            found["errors"] = errors(Path(folder), given.rows, given.columns, clusters, given.workers)
    if given.streamed:
        with tempfile.TemporaryDirectory() as folder:
            found["effects"] = streamed(Path(folder), given.streamed, given.memory)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
