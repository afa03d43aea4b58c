"""What is measured: passes of fullbatch on Ray, and bare calls that carry only theta, only an answer, or nothing."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import ray

from fullbatch import Linear, RayEngine, array_sources
from fullbatch.engines._assignment import parts, split
from fullbatch.protocols import ValueGrad

from .model import INLINE_BYTES, Case

BLOCKS = 24  # as many for each of 1, 2, 3, 4, 6 and 8 workers


@ray.remote
class Bare:
    """An actor that does nothing with what it is sent."""

    def nothing(self) -> None:
        pass

    def take(self, theta: np.ndarray) -> None:
        pass

    def give(self, size: int) -> np.ndarray:
        return np.zeros(size)


def start(logical_cpus: int) -> None:
    """A Ray on this machine, with as many logical CPUs as workers are wanted."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    ray.init(address="local", num_cpus=2 * logical_cpus, include_dashboard=False, log_to_driver=False)


def calls(workers: int, sizes: Sequence[tuple[int, int]], repeats: int) -> Iterator[Case]:
    """Bare calls to so many actors: empty ones, and for each (columns, outputs) those with theta or with an answer."""
    actors = [Bare.remote() for _ in range(workers)]
    try:
        empty = _median(lambda: ray.get([actor.nothing.remote() for actor in actors]), repeats)
        yield Case(workers, 0, 0, 0, 0, ("overhead",), empty)
        for columns, outputs in sizes:
            case = Case(workers, 0, columns, outputs, workers)
            theta = np.zeros(case.parameters)

            def send(theta: np.ndarray = theta) -> None:
                sent = theta if theta.nbytes <= INLINE_BYTES else ray.put(theta)
                ray.get([actor.take.remote(sent) for actor in actors])

            def receive(size: int = case.parameters) -> None:
                ray.get([actor.give.remote(size) for actor in actors])

            yield replace(case, parts=("broadcast", "overhead"), seconds=_median(send, repeats))
            yield replace(case, parts=("reduce", "overhead"), seconds=_median(receive, repeats))
    finally:
        for actor in actors:
            ray.kill(actor)


def a_pass(workers: int, rows: int, columns: int, outputs: int, repeats: int) -> Case:
    """Loss and gradient over all rows, on so many workers of one thread each."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, columns), np.float32)
    sources = array_sources(X, np.arange(rows) % outputs, blocks=BLOCKS)
    blocks = RayEngine(workers).place(Linear("softmax"), sources)
    try:
        theta = 0.01 * rng.standard_normal(blocks.parameters.size)
        seconds = _median(lambda: blocks.sum(ValueGrad(theta)), repeats)
    finally:
        blocks.close()
    answers = sum(parts(frozenset(share), BLOCKS) for share in split(range(BLOCKS), workers))
    return Case(workers, rows, columns, outputs, answers, seconds=seconds)


def _median(call: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats + 2):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return float(np.median(times[2:]))
