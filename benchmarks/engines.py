"""What the engines for clusters cost: `python -m benchmarks.engines overhead`, or `mnist`, `large`, `flat`.

overhead  one evaluation with 7,850 parameters beside bare actor calls that carry the same request and one gradient
          back, in turns, for 2 and 10 actors
mnist     one pass over MNIST (all of it, where FULLBATCH_MNIST says where it is) on Ray with 2 workers, on 2 threads,
          and 2 bare calls, in turns
large     one evaluation with 10 million parameters on 8 workers: seconds, and peak memory of driver, workers and store
flat      2,000 evaluations on Ray: memory of driver and object store along the way
"""

import argparse
import json
import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

os.environ.setdefault("RAY_AUTH_MODE", "disabled")  # before Ray is imported
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
import ray
from scipy import sparse

from benchmarks.machine import describe
from fullbatch import Linear, RayEngine, SerialEngine, ThreadEngine, array_sources
from fullbatch.datasets import load_mnist
from fullbatch.protocols import Eval, ValueGrad


@ray.remote(num_cpus=1)
class Bare:
    """Answers with one gradient, and computes nothing."""

    def __init__(self, size: int) -> None:
        self._answer = Eval(0.0, np.ones(size), 1.0)

    def call(self, request: ValueGrad) -> Eval:
        return self._answer


class BareCalls:
    """One call to each of several actors at the same time."""

    def __init__(self, actors: int, size: int) -> None:
        self._actors = [Bare.remote(size) for _ in range(actors)]
        ray.get([actor.call.remote(None) for actor in self._actors])

    def sum(self, request: ValueGrad) -> None:
        ray.get([actor.call.remote(request) for actor in self._actors])

    def close(self) -> None:
        for actor in self._actors:
            ray.kill(actor)


def in_turns(contenders: dict[str, Callable[[], Any]], turns: int, calls: int) -> dict[str, float]:
    """Median milliseconds of a call of each."""
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(-1, turns):
        for name, contender in contenders.items():
            for _ in range(calls):
                start = time.perf_counter()
                contender()
                if turn >= 0:  # the first turn compiles
                    seconds[name].append(time.perf_counter() - start)
    return {name: 1e3 * statistics.median(times) for name, times in seconds.items()}


def overhead(turns: int = 10, calls: int = 15) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    request = ValueGrad(1e-2 * rng.standard_normal(7850))
    rows: dict[str, Any] = {}
    for workers in (2, 10):
        for blocks in (workers, 64):  # each of 10 rows: next to no computing
            X, y = rng.random((10 * blocks, 784), np.float32), np.arange(10 * blocks) % 10
            sources = array_sources(X, y, blocks=blocks)
            expected = SerialEngine().place(Linear("softmax"), sources)
            placed, bare = RayEngine(workers).place(Linear("softmax"), sources), BareCalls(workers, 7850)
            assert placed.sum(request).grad.tobytes() == expected.sum(request).grad.tobytes()
            ms = in_turns(
                {
                    "bare": lambda bare=bare: bare.sum(request),
                    "evaluation": lambda placed=placed: placed.sum(request),
                    "without calls": lambda expected=expected: expected.sum(request),
                },
                turns,
                calls,
            )
            rows[f"{workers} workers, {blocks} blocks"] = {**ms, "ratio": ms["evaluation"] / ms["bare"]}
            placed.close()
            bare.close()
    return rows


def mnist(turns: int = 5, calls: int = 3) -> dict[str, Any]:
    where = os.environ.get("FULLBATCH_MNIST")
    sources = load_mnist(Path(where) if where else None).train_sources()
    request = ValueGrad(1e-2 * np.random.default_rng(0).standard_normal(7850))
    threads = ThreadEngine(2).place(Linear("softmax"), sources)
    placed, bare = RayEngine(2).place(Linear("softmax"), sources), BareCalls(2, 7850)
    assert placed.sum(request).grad.tobytes() == threads.sum(request).grad.tobytes()
    contenders = {
        "2 threads": lambda: threads.sum(request),
        "Ray, 2 workers": lambda: placed.sum(request),
        "2 bare calls": lambda: bare.sum(request),
    }
    ms = in_turns(contenders, turns, calls)
    bound = ms["2 threads"] + 1.3 * ms["2 bare calls"]
    told = {**ms, "bound": bound, "of the bound": ms["Ray, 2 workers"] / bound}
    return {"rows": threads.schema.n_rows, "blocks": len(threads.schema.block_rows), **told}


def large(size: int = 10_000_000, workers: int = 8, passes: int = 5) -> dict[str, Any]:
    """Dense rows, whose gradients are dense, and sparse rows, whose gradients may be sparse."""
    rng = np.random.default_rng(0)
    dense = rng.integers(0, 256, (2 * workers, size - 1), np.uint8)
    entries, rows = 200, 64
    columns = rng.integers(0, size - 1, rows * entries)
    sparse_rows = sparse.csr_array(
        (rng.standard_normal(rows * entries), columns, np.arange(0, rows * entries + 1, entries)), (rows, size - 1)
    )
    return {"dense rows": _large(dense, workers, passes), "sparse rows": _large(sparse_rows, workers, passes)}


def _large(X: Any, workers: int, passes: int) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    size = X.shape[1] + 1
    sources = array_sources(X, np.arange(X.shape[0]) % 2, scale=1 / 255, blocks=2 * workers)
    request = ValueGrad(1e-3 * rng.standard_normal(size))
    placed = RayEngine(workers, num_cpus_per_worker=0.5).place(Linear("logistic"), sources)
    before, filled = _peak(), _store()
    seconds = []
    for _ in range(passes):
        start = time.perf_counter()
        got = placed.sum(request)
        seconds.append(time.perf_counter() - start)
    told = {
        "parameters": size,
        "workers": workers,
        "seconds": seconds,
        "driver_peak_MB_before": before,
        "driver_peak_MB": _peak(),
        "worker_peak_MB": max(_peaks(placed)),
        "store_MB": _store() - filled,
    }
    value, gradient = got.value, np.asarray(got.grad).tobytes()
    placed.close()
    expected = SerialEngine().place(Linear("logistic"), sources).sum(request)
    return {**told, "same_bytes": (value, gradient) == (expected.value, np.asarray(expected.grad).tobytes())}


def flat(evaluations: int = 2000, size: int = 50_000) -> dict[str, Any]:
    """A request beyond what goes inside a call: each passes through the store."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((8, size - 1), np.float32)
    placed = RayEngine(2).place(Linear("logistic"), array_sources(X, np.arange(8) % 2, blocks=4))
    samples = []
    for number in range(evaluations + 1):
        if number % (evaluations // 10) == 0:
            time.sleep(2)  # Ray frees with delay
            samples.append({"evaluation": number, "driver_MB": _resident(), "store_MB": _store()})
        placed.sum(ValueGrad(1e-3 * rng.standard_normal(size)))
    placed.close()
    return {"parameters": size, "samples": samples}


def _peak(*_: Any) -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _peaks(placed: Any) -> list[float]:
    return ray.get([member.worker.__ray_call__.remote(_peak) for member in placed._members])


def _resident() -> float:
    """Memory of this process alone: pages of the store that it maps are not its own."""
    told = psutil.Process().memory_info()
    return (told.rss - told.shared) / 2**20


def _store() -> float:
    """Object store of this node that is in use."""
    total = ray.cluster_resources()["object_store_memory"]
    return (total - ray.available_resources().get("object_store_memory", 0.0)) / 2**20


PARTS = {"overhead": overhead, "mnist": mnist, "large": large, "flat": flat}
QUICK = {
    "overhead": {"turns": 1, "calls": 1},
    "mnist": {"turns": 1, "calls": 1},
    "large": {"size": 10**6, "workers": 3},
    "flat": {"evaluations": 20},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=PARTS)
    parser.add_argument("--quick", action="store_true", help="only to see that it runs")
    parser.add_argument("--output", type=Path, help="where the figures go as JSON")
    options = parser.parse_args()
    ray.init(address="local", num_cpus=20, include_dashboard=False, log_to_driver=False)
    try:
        measured = PARTS[options.part](**(QUICK[options.part] if options.quick else {}))
        report = {"machine": describe(), "ray": ray.__version__, options.part: measured}
    finally:
        ray.shutdown()
    text = json.dumps(report, indent=2)
    print(text)
    if options.output:
        options.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
