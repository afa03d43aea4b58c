"""Timing in turns: a, b, c, a, b, c, ..., so that whatever else the machine does hits everyone alike."""

import time
from statistics import median
from typing import Any, Protocol

from .peers.client import PeerError

SECONDS = 1.0  # of measured passes in one turn, at most: slow contenders make fewer passes


class Contender(Protocol):
    def time(self, passes: int) -> list[float]: ...


def alternate(contenders: dict[str, Contender], repeats: int, passes: int = 3) -> dict[str, dict[str, Any]]:
    """Milliseconds of one pass: median, min and max of `repeats` turns of up to `passes` passes each.

    A contender that fails on the way is left out from there on, and its answer says why.
    """
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    failed: dict[str, dict[str, Any]] = {}
    for turn in range(repeats):
        for name, contender in contenders.items():
            if name in failed:
                continue
            time.sleep(0.02)  # lets the spinning threads of the one before go to sleep
            slow = turn > 0 and passes * median(seconds[name]) > SECONDS
            try:
                seconds[name] += contender.time(1 if slow or turn == 0 else passes)
            except PeerError as error:
                failed[name] = {"failed": str(error)}
    return {name: failed.get(name) or summary(times) for name, times in seconds.items()}


def summary(seconds: list[float]) -> dict[str, Any]:
    ms = [1e3 * one for one in seconds]
    return {"median_ms": median(ms), "min_ms": min(ms), "max_ms": max(ms), "passes": len(ms)}
