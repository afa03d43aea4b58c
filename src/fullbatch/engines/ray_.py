"""Blocks on a Ray cluster: worker actors that each hold several blocks."""

import contextlib
import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

import numpy as np

from ..errors import EngineError, MissingExtraError
from ..protocols import Model, Source
from ._cluster import Limits, Lost
from ._memory import check_memory
from ._ray_config import engine_options
from ._supervisor import SupervisedBlocks
from ._worker import RemoteWorker, check_sources, named, release

try:
    import ray
    from ray.exceptions import (
        ActorHandleNotFoundError,
        ActorUnavailableError,
        ActorUnschedulableError,
        NodeDiedError,
        ObjectLostError,
        ObjectStoreFullError,
        OutOfDiskError,
        OutOfMemoryError,
        RayActorError,
        RayError,
        RayTaskError,
        WorkerCrashedError,
    )
    from ray.util import get_current_placement_group
except ImportError as error:
    raise MissingExtraError("ray", "ray") from error

logger = logging.getLogger(__name__)

R = TypeVar("R")


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
        Seconds to wait for the workers to start, which on a busy cluster means: for others to free their CPUs.
    timeout : float
        Seconds without an answer after which a worker counts as hung: it is ended, and is lost. More than one pass,
        and the reading of a worker's share of the data, can take.
    memory : int or str
        Bytes, or a text like "2GB", that the blocks of each worker may take: those beyond it are read again on each
        pass. "auto" is half of the memory that is free on the worker's node when it starts, divided by the workers
        that the node may hold. Results do not depend on it.
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
            The cluster can never hold the workers asked for, did not start them in time, or lost too many of them.
        """
        sources = check_sources(sources)
        self._connect()
        num_workers = self._affordable_workers(len(sources))
        cluster = _RayCluster(model, len(sources), self.num_cpus_per_worker, self.memory, num_workers)
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
        """
        sources = check_sources(sources)
        self._connect()
        num_workers = self._affordable_workers(len(sources))
        sent = ray.put(task)
        # Runs of neighbouring sources, which may share what they read, several for each worker to even out the load.
        runs = np.array_split(np.arange(len(sources)), min(len(sources), 4 * num_workers))
        call = _answer_run.options(num_cpus=self.num_cpus_per_worker, max_retries=self.max_failures)
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
            ray.shutdown()
            self._started_ray = False

    def _connect(self) -> None:
        if ray.is_initialized():
            if self.address is not None and not self._started_ray:
                logger.warning("this process is connected to Ray already: address=%r is not used", self.address)
            return
        if self.address is not None or os.environ.get("RAY_ADDRESS"):
            ray.init(address=self.address, log_to_driver=False, logging_level=logging.WARNING)
        else:
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            ray.init(address="local", include_dashboard=False, log_to_driver=False, logging_level=logging.WARNING)
        self._started_ray = True

    def _affordable_workers(self, blocks: int) -> int:
        """The number of workers to start: never more than blocks, and checked against what the cluster can hold."""
        cpus = list(_cpus_of_nodes().values())
        capacity = sum(_whole(count, self.num_cpus_per_worker) for count in cpus)
        free = _whole(_free_cpus(), self.num_cpus_per_worker)
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


def _cpus_of_nodes() -> dict[str, float]:
    group = _placement_group()
    if group is not None:
        return {str(number): bundle.get("CPU", 0.0) for number, bundle in enumerate(group.bundle_specs)}
    return {node["NodeID"]: node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]}


def _free_cpus() -> float:
    group = _placement_group()
    return ray.available_resources().get("CPU" if group is None else f"CPU_group_{group.id.hex()}", 0.0)


def _placement_group() -> Any:
    """The bundles reserved for whom this runs in, such as a trial of Ray Tune: Ray places workers in there only."""
    inside = ray.get_runtime_context().should_capture_child_tasks_in_placement_group
    return get_current_placement_group() if inside else None


def _whole(cpus: float, each: float) -> int:
    """How many workers of `each` CPUs there is room for."""
    return int(cpus / each + 1e-9)


def _floor(share: float) -> float:
    """A readable number of CPUs, not above `share`."""
    return float(np.floor(share * 100) / 100) if share >= 0.01 else share


@ray.remote
def _answer_run(task: Callable[[int, Source], Any], run: dict[int, Source]) -> list[Any]:
    answers = []
    for index, source in run.items():
        with named(index, source):
            answers.append(task(index, source))
    release(run.values())
    return answers


def _answers(answer: Any) -> list[Any]:
    try:
        return ray.get(answer)
    except RayTaskError as error:
        raise (error.cause if isinstance(error.cause, Exception) else error) from None
    except WorkerCrashedError as error:
        raise EngineError(f"a worker was lost, and max_failures allows no more losses ({error})") from None


class _RayWorker(RemoteWorker):
    """Shares the memory of its node with as many others as that may hold, of `most` in the cluster."""

    def __init__(self, model: Model, blocks: int, num_cpus: float, memory: int | str, most: int) -> None:
        here = ray.get_runtime_context().get_node_id()
        cpus = next(node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["NodeID"] == here)
        super().__init__(model, blocks, max(1, int(num_cpus)), memory, max(1, min(_whole(cpus, num_cpus), most)))


_WorkerActor = ray.remote(_RayWorker)

# What Ray says of workers and nodes that are gone, with what they held.
_LOSSES = (RayActorError, NodeDiedError, ObjectLostError, OutOfMemoryError, WorkerCrashedError, ActorUnschedulableError)


# Calls that may be made twice.
_REPEATABLE = {"ready", "answer", "merge"}


class _Call(list[Any]):
    """References to the pieces of an answer, and how to ask for them again."""

    again: Callable[[], list[Any]] | None = None


class _RayCluster:
    """Worker actors. Ray restarts none of them: where blocks go is decided by their supervisor."""

    def __init__(self, model: Model, blocks: int, num_cpus: float, memory: int | str, num_workers: int) -> None:
        self._arguments = (_stored(model), blocks, num_cpus, memory)
        self._num_cpus = num_cpus
        self._most = num_workers
        self._capacity = self._capacity_now()

    def start(self) -> Any:
        options = _WorkerActor.options(num_cpus=self._num_cpus, max_restarts=0, max_task_retries=0)
        return options.remote(*self._arguments, self._most)

    def call(self, worker: Any, method: str, *args: Any, pieces: int = 1) -> _Call:
        passed = [arg[0] if isinstance(arg, _Call) else arg for arg in args]
        remote = getattr(worker, method)

        def ask() -> list[Any]:
            if pieces == 1:
                return [remote.remote(*passed)]
            return remote.options(num_returns=pieces).remote(*passed)

        call = _Call(ask())
        if method in _REPEATABLE:
            call.again = ask
        return call

    def collect(self, calls: Sequence[_Call], timeout: float) -> dict[int, Any]:
        references = [reference for call in calls for reference in call]
        try:  # all at once, which is much faster than one by one
            values = iter(ray.get(references, timeout=timeout))
            return {place: _joined([next(values) for _ in call]) for place, call in enumerate(calls)}
        except RayError:
            ready, _ = ray.wait(references, num_returns=len(references), timeout=0, fetch_local=False)
        there, outcomes = set(ready), {}
        for place, call in enumerate(calls):
            if there.issuperset(call):
                outcome = _outcome(call)
                if isinstance(outcome, ActorUnavailableError):
                    if call.again:  # cut off, and perhaps only for a moment
                        call[:], call.again = call.again(), None
                        continue
                    outcome = Lost(_reason(outcome))
                outcomes[place] = outcome
        return outcomes

    def put(self, value: Any) -> _Call:
        return _Call([_stored(value)])

    def end(self, worker: Any) -> None:
        self.kill(worker)

    def kill(self, worker: Any) -> None:
        with contextlib.suppress(ActorHandleNotFoundError):  # of a Ray that was shut down since
            ray.kill(worker)

    def room(self) -> int:
        return _whole(_free_cpus(), self._num_cpus)

    def grown(self) -> int:
        before, self._capacity = self._capacity, self._capacity_now()
        self._most += max(0, self._capacity - before)
        return self._capacity - before

    def _capacity_now(self) -> int:
        return sum(_whole(cpus, self._num_cpus) for cpus in _cpus_of_nodes().values())

    def shortage(self) -> str:
        return f"each needs {self._num_cpus:g} CPUs, and {_free_cpus():g} CPUs of the cluster are free now"

    def is_open(self) -> bool:
        return ray.is_initialized()  # a call to a worker after ray.shutdown() would start another Ray


def _joined(pieces: list[Any]) -> Any:
    return pieces[0] if len(pieces) == 1 else pieces


def _outcome(call: _Call) -> Any:
    """The answer; or the exception it ended with, in the words of the supervisor."""
    try:
        return _joined(ray.get(list(call)))
    except RayTaskError as error:  # raised on the worker, or by what was to be an argument
        failure = error.cause if isinstance(error.cause, Exception) else error
    except RayError as error:
        failure = error
    if isinstance(failure, ObjectStoreFullError | OutOfDiskError):
        return EngineError(_STORE_FULL.format("a worker's answer"))
    lost = isinstance(failure, _LOSSES) and not isinstance(failure, ActorUnavailableError)
    return Lost(_reason(failure)) if lost else failure


def _reason(loss: Exception) -> str:
    lines = str(loss).strip().splitlines()
    return lines[-1].strip() if "creation task" in lines[0] else lines[0]


def _stored(value: Any) -> Any:
    """One reference for all workers. What was freed a moment ago may still fill the store: Ray frees with delay."""
    for seconds in (1.0, 5.0):
        try:
            return ray.put(value)
        except (ObjectStoreFullError, OutOfDiskError):
            time.sleep(seconds)
    try:
        return ray.put(value)
    except (ObjectStoreFullError, OutOfDiskError) as error:
        raise EngineError(_STORE_FULL.format(f"a {type(value).__name__}")) from error


_STORE_FULL = (
    "Ray's object store is full: {} does not fit. Let go of other objects in it, start Ray with a larger "
    "object_store_memory, or give it a disk to spill to"
)
