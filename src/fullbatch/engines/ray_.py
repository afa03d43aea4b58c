"""Blocks on a Ray cluster: worker actors that each hold several blocks."""

import contextlib
import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from functools import reduce
from operator import add
from typing import Any, TypeVar

import numpy as np

from ..errors import EngineError, MissingExtraError
from ..protocols import Model, Source, ValueGrad
from ..schema import Schema
from ._memory import Plan, check_memory
from ._tree import Part, TreeSum
from ._worker import Worker, agree, check_request, check_sources, named, release

try:
    import ray
    from ray.exceptions import (
        ActorHandleNotFoundError,
        GetTimeoutError,
        RayActorError,
        RayTaskError,
        WorkerCrashedError,
    )
except ImportError as error:
    raise MissingExtraError("ray", "ray") from error

logger = logging.getLogger(__name__)

R = TypeVar("R")

# Arguments above 100 KiB leave Ray's inline path and are stored once per call; one explicit put serves all workers.
_INLINE_BYTES = 96 * 1024


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
        Workers that may be lost over the life of the placed blocks. A lost worker is replaced by a fresh one that
        builds the same blocks from their sources and is asked the same request again: the result is the same to
        the bit.
    start_timeout : float
        Seconds to wait for the workers to start, which on a busy cluster means: for others to free their CPUs.
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
        memory: int | str = "auto",
    ) -> None:
        check_memory(memory)
        if num_workers is not None and num_workers < 1:
            raise ValueError(f"num_workers must be at least 1, got {num_workers}")
        if not num_cpus_per_worker > 0:
            raise ValueError(f"num_cpus_per_worker must be positive, got {num_cpus_per_worker}")
        if max_failures < 0:
            raise ValueError(f"max_failures must be 0 or more, got {max_failures}")
        self.num_workers = num_workers
        self.num_cpus_per_worker = num_cpus_per_worker
        self.address = address
        self.max_failures = max_failures
        self.start_timeout = start_timeout
        self.memory = memory
        self._started_ray = False

    def __repr__(self) -> str:
        return f"RayEngine(num_workers={self.num_workers}, num_cpus_per_worker={self.num_cpus_per_worker})"

    def place(self, model: Model, sources: Sequence[Source]) -> "RayBlocks":
        """Read, describe and build one block per source, on the workers.

        Parameters
        ----------
        model : Model
            What is computed on a block. Sent to the workers once: it should be a recipe, not a built network.
        sources : sequence of Source
            One per block.

        Returns
        -------
        RayBlocks

        Raises
        ------
        EngineError
            The cluster can never hold the workers asked for, or did not start them in time.
        """
        sources = check_sources(sources)
        self._connect()
        num_workers = self._affordable_workers(len(sources))
        return RayBlocks(
            model, sources, num_workers, self.num_cpus_per_worker, self.max_failures, self.start_timeout, self.memory
        )

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
            if self.address is not None:
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
        cpus = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
        capacity = sum(int(count / self.num_cpus_per_worker + 1e-9) for count in cpus)
        free = int(ray.available_resources().get("CPU", 0.0) / self.num_cpus_per_worker + 1e-9)
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


def _floor(share: float) -> float:
    """A readable number of CPUs, not above `share`."""
    return float(np.floor(share * 100) / 100) if share >= 0.01 else share


def _neighbours(num_workers: int, num_cpus: float) -> int:
    """Workers that one node may hold, at the most."""
    cpus = [node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]]
    return min(num_workers, max(1, *(int(count / num_cpus + 1e-9) for count in cpus)))


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


@ray.remote
class _WorkerActor(Worker):
    """A `Worker` in its own process."""

    def planned(self) -> Plan:
        """The worker's plan, once the actor runs."""
        return self.plan


class RayBlocks:
    """Blocks that live in worker actors, each of which holds a run of neighbouring blocks.

    Attributes
    ----------
    plan : Plan
        What stays in memory and what is read on each pass, as the workers began.
    """

    def __init__(
        self,
        model: Model,
        sources: list[Source],
        num_workers: int,
        num_cpus: float,
        max_failures: int,
        start_timeout: float,
        memory: int | str = "auto",
    ) -> None:
        self._count = len(sources)
        self._model = ray.put(model)
        shares = np.array_split(np.arange(self._count), num_workers)
        self._shares = [{int(index): sources[index] for index in share} for share in shares]
        self._num_cpus = num_cpus
        self._failures_left = max_failures
        self._start_timeout = start_timeout
        self._memory = memory, _neighbours(num_workers, num_cpus)
        self._workers: list[Any] = []
        try:
            for share in self._shares:  # one by one, so that a failure leaves none behind unknown to close()
                self._workers.append(self._start(share))
            self.plan = self._wait_for_workers().log()
            self._described = self._ask_all(lambda worker: worker.describe.remote())
            self.schema = Schema.of(self._total(self._described))
            schema = ray.put(self.schema)
            built = self._ask_all(lambda worker: worker.build.remote(schema))
            self.parameters, self.answers = agree(built)
        except BaseException:
            self.close()
            raise

    def sum(self, request: Any) -> Any:
        """Every block's answer to `request`, added in the fixed tree order."""
        # After ray.shutdown() a call to a worker would start another Ray.
        check_request(request, self.answers, open_=bool(self._workers) and ray.is_initialized())
        if isinstance(request, ValueGrad) and request.theta.nbytes > _INLINE_BYTES:
            request = ray.put(request)
        return self._total(self._ask_all(lambda worker: worker.sum.remote(request), recover=True))

    def close(self) -> None:
        """End the worker actors."""
        workers, self._workers = self._workers, []
        if ray.is_initialized():
            for worker in workers:
                with contextlib.suppress(ActorHandleNotFoundError):  # of a Ray that was shut down since
                    ray.kill(worker)

    def _start(self, share: dict[int, Source]) -> Any:
        options = _WorkerActor.options(  # type: ignore[attr-defined]
            num_cpus=self._num_cpus, max_restarts=0, max_task_retries=0
        )
        num_threads = min(max(1, int(self._num_cpus)), len(share))
        return options.remote(self._model, share, self._count, num_threads, *self._memory)

    def _wait_for_workers(self) -> Plan:
        try:
            return reduce(add, self._ask_all(lambda worker: worker.planned.remote(), timeout=self._start_timeout))
        except GetTimeoutError:
            free = ray.available_resources().get("CPU", 0.0)
            raise EngineError(
                f"{len(self._workers)} workers of {self._num_cpus:g} CPUs each did not start within "
                f"{self._start_timeout:g} s: {free:g} CPUs of the cluster are free now. "
                "Wait for other work to end, or ask for fewer workers"
            ) from None

    def _ask_all(self, call: Callable[[Any], Any], recover: bool = False, timeout: float | None = None) -> list[Any]:
        answers = [call(worker) for worker in self._workers]
        return [self._receive(number, call, answers[number], recover, timeout) for number in range(len(answers))]

    def _receive(
        self, number: int, call: Callable[[Any], Any], answer: Any, recover: bool, timeout: float | None
    ) -> Any:
        rebuilt = None
        while True:
            try:
                if rebuilt is not None:
                    ray.get(rebuilt)
                return ray.get(answer, timeout=timeout)
            except RayTaskError as error:
                cause = error.cause
                raise (cause if isinstance(cause, Exception) else error) from None
            except RayActorError as error:
                blocks = sorted(self._shares[number])
                loss = (
                    f"worker {number} of {len(self._workers)} was lost with blocks {blocks[0]}..{blocks[-1]} "
                    f"({str(error).strip().splitlines()[0]})"
                )
                if not recover:
                    raise EngineError(f"{loss} while the blocks were being placed") from error
                if self._failures_left == 0:
                    raise EngineError(f"{loss}, and max_failures allows no more losses") from error
                self._failures_left -= 1
                logger.warning("%s; it is replaced, %d more losses allowed", loss, self._failures_left)
                fresh = self._workers[number] = self._start(self._shares[number])
                rebuilt, answer = fresh.rebuild.remote(self.schema, self._described[number]), call(fresh)

    def _total(self, parts_of_workers: list[list[Part]]) -> Any:
        tree = TreeSum(self._count)
        for parts in parts_of_workers:
            for part in parts:
                tree.add(part)
        return tree.total()
