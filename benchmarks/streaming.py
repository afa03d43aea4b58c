"""A fit on data larger than its memory budget, beside the same fit in memory and the speed of reading the file.

    python -m benchmarks.streaming                       # 2 GB of .npy, budget 512 MB
    python -m benchmarks.streaming --format parquet --megabytes 500 --budget 125

Each fit runs in a process of its own, which looks at its anonymous memory every few milliseconds.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np

COLUMNS, ITERATIONS, CHUNK = 64, 5, 2**17


def write(folder: Path, kind: str, megabytes: int) -> list[Path]:
    """Rows of a linear model, written chunk by chunk; the files with rows."""
    rng = np.random.default_rng(0)
    rows = megabytes * 10**6 // (8 * COLUMNS)
    chunks = [min(CHUNK, rows - start) for start in range(0, rows, CHUNK)]
    truth = rng.standard_normal(COLUMNS)

    def made(count: int) -> tuple[np.ndarray, np.ndarray]:
        X = rng.standard_normal((count, COLUMNS))
        return X, X @ truth + rng.standard_normal(count)

    if kind == "parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = [f"x{j}" for j in range(COLUMNS)]
        schema = pa.schema([(name, pa.float64()) for name in (*names, "y")])
        with pq.ParquetWriter(folder / "rows.parquet", schema, use_dictionary=False, compression="zstd") as file:
            for count in chunks:
                X, y = made(count)
                table = pa.table({**dict(zip(names, X.T, strict=True)), "y": y}, schema)
                file.write_table(table, row_group_size=2**15)
        return [folder / "rows.parquet"]
    X_file = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float64, (rows, COLUMNS))
    targets = []
    start = 0
    for count in chunks:
        X_file[start : start + count], y = made(count)
        targets.append(y)
        start += count
    X_file.flush()
    np.save(folder / "y.npy", np.concatenate(targets))
    return [folder / "X.npy", folder / "y.npy"]


def read_speed(files: list[Path]) -> float:
    """Bytes a second of reading the files from first to last into one buffer, by one thread."""
    raw = np.empty(2**24 + 64, np.uint8)
    buffer = raw[-raw.ctypes.data % 64 :][: 2**24].data
    start, count = time.perf_counter(), 0
    for path in files:
        with path.open("rb", buffering=0) as file:
            while got := file.readinto(buffer):
                count += got
    return count / (time.perf_counter() - start)


def anonymous() -> int:
    """Bytes of this process that no file backs."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return 1024 * int(line.split()[1])
    raise OSError("no RssAnon in /proc/self/status")


def fit(folder: Path, kind: str, memory: str) -> dict[str, Any]:
    """One fit in this process."""
    from fullbatch import Linear, Objective, ThreadEngine, minimize, npy_sources, parquet_sources
    from fullbatch.protocols import ValueGrad

    peak, over = anonymous(), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.003):
            peak = max(peak, anonymous())

    watching = threading.Thread(target=watch)
    watching.start()
    sources: Any = (
        parquet_sources(folder / "rows.parquet", target="y")
        if kind == "parquet"
        else npy_sources(folder / "X.npy", folder / "y.npy")
    )
    started = time.perf_counter()
    blocks = ThreadEngine(memory=memory).place(Linear("huber"), sources)
    placed = time.perf_counter()
    objective = Objective(blocks, l2=1e-6)
    result = minimize(objective, np.zeros(objective.size), solver="lbfgs", tol=0, max_iter=ITERATIONS)
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        blocks.sum(ValueGrad(result.theta))
        seconds.append(time.perf_counter() - start)
    over.set()
    watching.join()
    plan = blocks.plan
    blocks.close()
    return {
        "plan": str(plan),
        "blocks": plan.blocks,
        "streamed": plan.streamed,
        "data_MB": plan.nbytes / 1e6,
        "theta": result.theta.tobytes().hex(),
        "passes": result.passes,
        "place_seconds": placed - started,
        "pass_seconds": min(seconds),
        "pass_MB_per_second": plan.nbytes / 1e6 / min(seconds),
        "peak_anonymous_MB": peak / 1e6,
    }


def compare(kind: str, megabytes: int, budget: int, folder: Path) -> dict[str, Any]:
    """The fit in memory and under the budget, each in a process of its own, and the speed of reading."""
    files = write(folder, kind, megabytes)
    found: dict[str, Any] = {}
    for name, memory in (("in_memory", "1TB"), ("streamed", f"{budget}MB")):
        command = [sys.executable, "-m", "benchmarks.streaming", "--format", kind, "--fit", str(folder), memory]
        done = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        found[name] = json.loads(done.stdout.splitlines()[-1])
    thetas = [found[name].pop("theta") for name in ("in_memory", "streamed")]
    read_speed(files)  # what is not in the page cache now did not fit
    return {
        "format": kind,
        "file_MB": sum(path.stat().st_size for path in files) / 1e6,
        "budget_MB": budget,
        "same_bytes": thetas[0] == thetas[1],
        "file_read_MB_per_second": read_speed(files) / 1e6,
        **found,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", choices=["npy", "parquet"], default="npy")
    parser.add_argument("--megabytes", type=int, default=2048)
    parser.add_argument("--budget", type=int, default=512, help="megabytes")
    parser.add_argument("--fit", nargs=2, metavar=("FOLDER", "MEMORY"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.fit:
        print(json.dumps(fit(Path(given.fit[0]), given.format, given.fit[1])))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(json.dumps(compare(given.format, given.megabytes, given.budget, Path(folder)), indent=2))


if __name__ == "__main__":
    main()
