"""Callbacks that tell Ray how a run goes: Ray Tune, and the metrics that Ray exports to Prometheus."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import MissingExtraError
from .callbacks import Iterate


@dataclass
class TuneReport:
    """Reports every iterate to Ray Tune, from inside a trial: schedulers see it and may end the trial.

    The report has `iteration`, `F`, `gradient_norm`, `passes`, `seconds` and `optimality` (None while it is infinite).

    Parameters
    ----------
    measures : callable, optional
        Of an `Iterate`: further entries, such as the loss on rows held out.
    every : float
        Least seconds between reports; Tune handles each on its head node.

    Raises
    ------
    MissingExtraError
        Ray Tune is not installed: `pip install "ray[tune]"`.
    """

    measures: Callable[[Iterate], Mapping[str, Any]] | None = None
    every: float = 0.0
    _next: float = field(default=0.0, init=False, repr=False)

    def __post_init__(self) -> None:
        _tune()

    def __call__(self, iterate: Iterate) -> None:
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + self.every
        _tune().report(
            {
                "iteration": iterate.iteration,
                "F": iterate.value,
                "gradient_norm": iterate.grad_norm,
                "passes": iterate.passes,
                "seconds": iterate.seconds,
                "optimality": iterate.optimality if iterate.optimality < float("inf") else None,
                **(self.measures(iterate) if self.measures else {}),
            }
        )


class RayMetrics:
    """Shows every iterate through `ray.util.metrics`, which Ray exports to Prometheus as `ray_fullbatch_...`.

    They are `fullbatch_objective`, `fullbatch_gradient_norm`, `fullbatch_iteration`, `fullbatch_passes`,
    `fullbatch_pass_seconds` (the mean since the iterate before), and, of blocks on a cluster, `fullbatch_workers`,
    `fullbatch_lost_workers`, `fullbatch_sent_bytes` and `fullbatch_received_bytes` (requests and answers).

    Parameters
    ----------
    blocks : Blocks, optional
        Those of the run, for what only they know.
    run : str
        Tells runs apart: the tag `run` of every metric.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    """

    def __init__(self, blocks: Any = None, run: str = "fullbatch") -> None:
        _metrics()
        self._blocks, self._tags = blocks, {"run": run}
        self._before: Iterate | None = None
        self._gauges: dict[str, Any] = {}

    def __call__(self, iterate: Iterate) -> None:
        values = {
            "objective": iterate.value,
            "gradient_norm": iterate.grad_norm,
            "iteration": iterate.iteration,
            "passes": iterate.passes,
            **self._pass_seconds(iterate),
            **self._of_cluster(),
        }
        for name, value in values.items():
            if name not in self._gauges:
                self._gauges[name] = _metrics().Gauge(f"fullbatch_{name}", _MEANINGS[name], ("run",))
            self._gauges[name].set(value, self._tags)
        self._before = iterate

    def _pass_seconds(self, iterate: Iterate) -> dict[str, float]:
        passes, seconds = iterate.passes, iterate.seconds
        if self._before is not None and self._before.passes < passes:
            passes, seconds = passes - self._before.passes, seconds - self._before.seconds
        return {"pass_seconds": seconds / passes} if passes else {}

    def _of_cluster(self) -> dict[str, float]:
        health = getattr(self._blocks, "health", None)
        if health is None:
            return {}
        return {
            "workers": health.workers,
            "lost_workers": health.losses,
            "sent_bytes": health.sent,
            "received_bytes": health.received,
        }


def _tune() -> Any:
    try:
        from ray import tune
    except ImportError as error:
        raise MissingExtraError("ray[tune]", "ray") from error
    return tune


def _metrics() -> Any:
    try:
        from ray.util import metrics
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    return metrics


_MEANINGS = {
    "objective": "F at the latest iterate: weighted mean loss plus penalty",
    "gradient_norm": "Euclidean norm of the gradient of F",
    "iteration": "Accepted iterates after the starting point",
    "passes": "Reads of the whole data",
    "pass_seconds": "Seconds of a pass and what belongs to it, mean since the iterate before",
    "workers": "Workers that hold blocks",
    "lost_workers": "Workers lost so far",
    "sent_bytes": "Bytes of requests sent to workers",
    "received_bytes": "Bytes of answers received from workers",
}
