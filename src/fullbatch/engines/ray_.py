"""Blocks on a Ray cluster: worker actors that each hold several blocks."""

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

import numpy as np

from ..errors import EngineError, MissingExtraError
from ..protocols.rows import Source
from ..protocols.seams import Model
from ..wording.shown import redacted
from ._cluster import Limits
from ._memory import check_memory
from ._ray_address import is_same, wait_until_answered
from ._ray_config import engine_options
from ._supervisor import SupervisedBlocks
from ._worker import check_sources, named, release

logger = logging.getLogger(__name__)

R = TypeVar("R")

# Seconds by which what Ray tells of free CPUs may be late, on a machine that is busy.
_MOMENT = 0.5


class RayEngine:
    """Blocks on a Ray cluster.

    Uses the Ray this process is connected to, else connects to `address`, else starts Ray on this machine. Shuts
    down only what it started.

    Parameters
    ----------
    num_workers : int, optional
        Worker actors; default: as many as the cluster can hold, and never more than there are blocks. Results do
        not depend on it.
    num_cpus_per_worker : float
        Logical CPUs each worker reserves; it computes `floor(num_cpus_per_worker)` blocks at a time, at least one.
    address : str, optional
        Cluster to connect to ("auto" for the one running on this machine); default: the environment's RAY_ADDRESS,
        else a new local Ray.
    max_failures : int
        Workers that may be lost over the life of the placed blocks, while they are placed or later. What a lost one
        held is built by a fresh worker, or by the others where there is no room for one, and asked the same request
        again: the result is the same to the bit.
    start_timeout : float
        Seconds to wait for an answer from `address`, and for the workers to start, which on a busy cluster means: for
        others to free their CPUs.
    timeout : float
        Seconds without an answer after which a worker counts as hung: it is ended, and is lost. More than one pass,
        and the reading of a worker's share of the data, can take.
    memory : int or str
        Bytes, or a text like "2GB", that the blocks of each worker may take: those beyond it are read again on each
        pass. "auto" is half of the memory that is free on the worker's node when it starts, divided by the workers
        that the node may hold. Results do not depend on it.

    Raises
    ------
    MissingExtraError
        Ray is not installed.
    """

    def __init__(
        self,
        num_workers: int | None = None,
        num_cpus_per_worker: float = 1.0,
        address: str | None = None,
        max_failures: int = 0,
        start_timeout: float = 300.0,
        timeout: float = 1800.0,
        memory: int | str = "auto",
    ) -> None:
        _ray()
        check_memory(memory)
        self._limits = Limits(num_workers, max_failures, timeout, start_timeout)
        self._limits.check()
        if not num_cpus_per_worker > 0:
            raise ValueError(f"num_cpus_per_worker must be positive, got {num_cpus_per_worker}")
        self.num_workers = num_workers
        self.num_cpus_per_worker = num_cpus_per_worker
        self.address = address
        self.max_failures = max_failures
        self.start_timeout = start_timeout
        self.timeout = timeout
        self.memory = memory
        self._started_ray = False

    def __repr__(self) -> str:
        return f"RayEngine(num_workers={self.num_workers}, num_cpus_per_worker={self.num_cpus_per_worker})"

    @classmethod
    def from_config(cls, scaling_config: Any = None, run_config: Any = None, **options: Any) -> Self:
        """An engine as Ray's own configuration objects describe it.

        Parameters
        ----------
        scaling_config : ray.train.ScalingConfig, optional
            `num_workers`, and the CPUs of `resources_per_worker`.
        run_config : ray.train.RunConfig or ray.tune.RunConfig, optional
            `max_failures` of its `failure_config`; -1 for any number. (`Checkpoint.from_config` takes the rest.)
        **options
            Further options of `RayEngine`.

        Raises
        ------
        ValueError
            They ask for what `RayEngine` has not, such as GPUs.
        """
        return cls(**engine_options(scaling_config, run_config), **options)

    def place(self, model: Model, sources: Sequence[Source]) -> SupervisedBlocks:
        """Read, describe and build one block per source, on the workers.

        Parameters
        ----------
        model : Model
            What is computed on a block. Sent to the workers once: it should be a recipe, not a built network.
        sources : sequence of Source
            One per block.

        Returns
        -------
        SupervisedBlocks

        Raises
        ------
        EngineError
            The cluster did not answer or start the workers in time, can never hold those asked for, or lost too many.
        """
        from ._ray_cluster import RayCluster

        sources = check_sources(sources)
        self._connect()
        num_workers = self._affordable_workers(len(sources))
        cluster = RayCluster(model, len(sources), self.num_cpus_per_worker, self.memory, num_workers)
        return SupervisedBlocks(cluster, sources, num_workers, self._limits)

    def map(self, task: Callable[[int, Source], R], sources: Sequence[Source]) -> Iterator[R]:
        """What `task` makes of each source, in their order, by Ray tasks; nothing is kept.

        Parameters
        ----------
        task : callable
            `task(number, source)`, called with each source; again where a worker was lost, `max_failures` times at the
            most.
        sources : sequence of Source
            Not read before their turn.

        Yields
        ------
        object
            The answer for each source.

        Raises
        ------
        EngineError
            The cluster did not answer in time, has no free CPUs for a task in time, or lost too many workers.
        """
        ray, sources = _ray(), check_sources(sources)
        self._connect()
        num_workers = self._affordable_workers(len(sources))
        self._await_room()
        sent = ray.put(task)
        # Runs of neighbouring sources, which may share what they read, several for each worker to even out the load.
        runs = np.array_split(np.arange(len(sources)), min(len(sources), 4 * num_workers))
        call = ray.remote(_answer_run).options(num_cpus=self.num_cpus_per_worker, max_retries=self.max_failures)
        waiting: deque[Any] = deque()
        try:
            for run in runs:
                waiting.append(call.remote(sent, {int(index): sources[index] for index in run}))
                if len(waiting) > num_workers:  # no further ahead, so that answers do not pile up
                    yield from _answers(waiting.popleft())
            while waiting:
                yield from _answers(waiting.popleft())
        finally:
            for answer in waiting:
                ray.cancel(answer, force=True)

    def close(self) -> None:
        """Shut Ray down if this engine started it."""
        if self._started_ray:
            _ray().shutdown()
            self._started_ray = False

    def _connect(self) -> None:
        ray = _ray()
        if ray.is_initialized():
            if self.address is not None and not self._started_ray:
                connected = ray.get_runtime_context().gcs_address
                if not is_same(self.address, connected):
                    logger.warning(
                        "this process is connected to Ray at %s already: address=%r is not used",
                        connected,
                        redacted(self.address),
                    )
            return
        address = self.address or os.environ.get("RAY_ADDRESS")
        if address:
            wait_until_answered(address, self.start_timeout)
            ray.init(address=self.address, log_to_driver=False, logging_level=logging.WARNING)
        else:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
        self._started_ray = True

    def _await_room(self) -> None:
        """Until a task can be run: Ray itself would wait for ever, such as for blocks of this process to be closed."""
        from ._ray_cluster import shortage

        ray = _ray()
        begun = ray.remote(_nothing).options(num_cpus=self.num_cpus_per_worker).remote()
        if not ray.wait([begun], timeout=self.start_timeout)[0]:
            ray.cancel(begun, force=True)
            raise EngineError(
                f"no task could be started within {self.start_timeout:g} s: {shortage(self.num_cpus_per_worker)}. Wait "
                "for other work to end, close blocks that are placed, or ask for fewer num_cpus_per_worker"
            )

    def _affordable_workers(self, blocks: int) -> int:
        """The number of workers to start: never more than blocks, and checked against what the cluster can hold."""
        from ._ray_cluster import cpus_of_nodes, whole

        cpus = list(cpus_of_nodes().values())
        capacity = sum(whole(count, self.num_cpus_per_worker) for count in cpus)
        free = self._free_workers(min(self.num_workers or capacity, blocks))
        # Left to choose, do not wait for CPUs that others hold, such as the task this may run in.
        wanted = min(self.num_workers or max(1, min(capacity, free)), blocks)
        if free < wanted <= capacity:
            logger.warning("%d workers are wanted and the cluster's free CPUs hold %d now: waiting", wanted, free)
        if wanted > capacity:
            fewer = f"num_workers={capacity}, or " if capacity else ""
            raise EngineError(
                f"{wanted} workers of {self.num_cpus_per_worker:g} CPUs each can never be placed on this cluster: "
                f"its {len(cpus)} node(s) have {sum(cpus):g} CPUs and hold at most {capacity} such workers. "
                f"Use {fewer}num_cpus_per_worker={_floor(min(sum(cpus) / wanted, max(cpus))):g} or less"
            )
        return wanted

    def _free_workers(self, enough: int) -> int:
        """How many workers there are free CPUs for, as soon as these are enough: what Ray tells of is a moment ago."""
        from ._ray_cluster import free_cpus, whole

        until = time.monotonic() + _MOMENT
        while True:
            free = whole(free_cpus(), self.num_cpus_per_worker)
            if free >= enough or time.monotonic() > until:
                return free
            time.sleep(0.02)


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    return ray


def _nothing() -> None:
    """What Ray runs once it has room."""


def _floor(share: float) -> float:
    """A readable number of CPUs, not above `share`."""
    return float(np.floor(share * 100) / 100) if share >= 0.01 else share


def _answer_run(task: Callable[[int, Source], Any], run: dict[int, Source]) -> list[Any]:
    answers = []
    for index, source in run.items():
        with named(index, source):
            answers.append(task(index, source))
    release(run.values())
    return answers


def _answers(answer: Any) -> list[Any]:
    ray = _ray()
    try:
        return ray.get(answer)
    except ray.exceptions.RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from None
    except ray.exceptions.WorkerCrashedError as error:
        raise EngineError(f"a worker was lost, and max_failures allows no more losses ({error})") from None
