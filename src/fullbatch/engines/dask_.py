"""Blocks on a Dask cluster: one worker of ours in each Dask worker, called by tasks that are bound to it."""

import asyncio
import contextlib
import itertools
import logging
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from ..errors import EngineError, MissingExtraError
from ..machine.cpus import available_cpus
from ..protocols.rows import Source
from ..protocols.seams import Model
from ._assignment import split
from ._cluster import Limits, Lost
from ._memory import budget, check_memory
from ._supervisor import SupervisedBlocks
from ._worker import RemoteWorker, check_sources, named, release

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

R = TypeVar("R")

# Seconds between looks at whether the Dask workers that are waited for still exist: a task that is bound to one that
# does not is never told so.
_LOOK = 0.5
# Seconds that a worker may be paused, for want of memory, while nothing runs there that could free some.
_PAUSED = 120.0
# Seconds for a nanny to replace a process that does not answer.
_RESTART = 30.0
# Seconds for answers to be transferred, before it is asked whether their workers are still there.
_TRANSFER = 60.0


class DaskEngine:
    """Blocks on a Dask cluster.

    Uses `client`, else connects to `address`, else uses the client this process has, else starts a `LocalCluster`.
    Closes only what it started. Every Dask worker that is used computes as many blocks at a time as it has threads.

    Parameters
    ----------
    client : distributed.Client, optional
        A synchronous client of the cluster to use.
    address : str, optional
        Address of the scheduler to connect to.
    num_workers : int, optional
        Dask workers to use; default: all, and never more than there are blocks. Results do not depend on it.
    max_failures : int
        Workers that may be lost over the life of the placed blocks, while they are placed or later. What a lost one
        held is built by a Dask worker that is not used yet, or by the others where there is none, and asked the same
        request again: the result is the same to the bit.
    start_timeout : float
        Seconds to wait for Dask workers.
    timeout : float
        Seconds without an answer after which a worker counts as hung: its nanny, if it has one, ends it. More than one
        pass, and the reading of a worker's share of the data, can take.
    memory : int or str
        Bytes, or a text like "2GB", that the blocks of each worker may take: those beyond it are read again on each
        pass. "auto" is half of the memory that is free on the worker's machine when it starts, divided by the Dask
        workers of that machine, and at the most half of the Dask worker's own memory limit. Results do not depend on
        it.

    Raises
    ------
    MissingExtraError
        Dask, or its package distributed, is not installed.
    """

    def __init__(
        self,
        client: "Client | None" = None,
        address: str | None = None,
        num_workers: int | None = None,
        max_failures: int = 0,
        start_timeout: float = 300.0,
        timeout: float = 1800.0,
        memory: int | str = "auto",
    ) -> None:
        _distributed()
        check_memory(memory)
        self._limits = Limits(num_workers, max_failures, timeout, start_timeout)
        self._limits.check()
        self.client = None if client is None else _synchronous(client)
        self.address = address
        self.num_workers = num_workers
        self.max_failures = max_failures
        self.start_timeout = start_timeout
        self.timeout = timeout
        self.memory = memory
        self._opened: list[Any] = []

    def __repr__(self) -> str:
        return f"DaskEngine(client={self.client!r}, num_workers={self.num_workers})"

    def place(self, model: Model, sources: Sequence[Source]) -> SupervisedBlocks:
        """Read, describe and build one block per source, on the workers.

        Parameters
        ----------
        model : Model
            What is computed on a block.
        sources : sequence of Source
            One per block.

        Returns
        -------
        SupervisedBlocks

        Raises
        ------
        EngineError
            The Dask workers did not come in time, or too many of them were lost.
        """
        sources = check_sources(sources)
        cluster = _DaskCluster(self._connected(), model, len(sources), self.memory, self.start_timeout)
        num_workers = min(self.num_workers or max(1, cluster.room()), len(sources))
        return SupervisedBlocks(cluster, sources, num_workers, self._limits)

    def map(self, task: Callable[[int, Source], R], sources: Sequence[Source]) -> Iterator[R]:
        """What `task` makes of each source, in their order, by Dask tasks; nothing is kept.

        Parameters
        ----------
        task : callable
            `task(number, source)`, called with each source; again where a worker was lost, as often as Dask's
            `distributed.scheduler.allowed-failures` says.
        sources : sequence of Source
            Not read before their turn.

        Yields
        ------
        object
            The answer for each source.
        """
        sources = check_sources(sources)
        client = self._connected()
        num_workers = min(len(_workers(client)), self.num_workers or len(sources))
        # Runs of neighbouring sources, which may share what they read, several for each worker to even out the load.
        runs = split(range(len(sources)), min(len(sources), 4 * num_workers))
        waiting: deque[Any] = deque()
        try:
            for run in runs:
                waiting.append(client.submit(_answer_run, task, {index: sources[index] for index in run}, pure=False))
                if len(waiting) > num_workers:  # no further ahead, so that answers do not pile up
                    yield from _answers(waiting.popleft())
            while waiting:
                yield from _answers(waiting.popleft())
        finally:
            for future in waiting:
                future.cancel()

    def close(self) -> None:
        """Close the client and the cluster that this engine opened."""
        while self._opened:
            self._opened.pop().close()
        if self.client is not None and self.client.status == "closed":
            self.client = None

    def _connected(self) -> "Client":
        if self.client is None:
            self.client = self._found()
        try:
            self.client.wait_for_workers(self.num_workers or 1, timeout=self.start_timeout)
        except TimeoutError:
            there = len(_workers(self.client))
            raise EngineError(
                f"{self.num_workers or 1} Dask workers are wanted, and after {self.start_timeout:g} s there are "
                f"{there}. Start more, or ask for fewer"
            ) from None
        return self.client

    def _found(self) -> "Client":
        distributed = _distributed()
        if self.address is not None:
            self._opened.append(distributed.Client(self.address, set_as_default=False))
            return self._opened[-1]
        try:
            current = distributed.Client.current(allow_global=True)
        except ValueError:  # there is none
            pass
        else:
            return _synchronous(current)
        loopback: dict[str, Any] = {"host": "127.0.0.1", "worker_dashboard_address": "127.0.0.1:0", "dashboard": False}
        cluster = distributed.LocalCluster(
            n_workers=self.num_workers or available_cpus(),
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",  # Dask always answers "are you well?" there
            scheduler_kwargs={"dashboard": False},
            **loopback,
        )
        self._opened.append(cluster)
        self._opened.append(distributed.Client(cluster, set_as_default=False))
        return self._opened[-1]


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError("dask and distributed", "dask") from error
    return distributed


def _synchronous(client: "Client") -> "Client":
    if client.asynchronous:
        raise ValueError("client must be synchronous: Client(asynchronous=False)")
    return client


def _workers(client: "Client") -> dict[str, Any]:
    return client.scheduler_info(n_workers=-1)["workers"]


def _answer_run(task: Callable[[int, Source], Any], run: dict[int, Source]) -> list[Any]:
    answers = []
    for index, source in run.items():
        with named(index, source):
            answers.append(task(index, source))
    release(run.values())
    return answers


def _answers(future: Any) -> list[Any]:
    try:
        return future.result()
    except _distributed().KilledWorker as error:
        raise EngineError(f"Dask workers were lost again and again: {error}") from None


# --- on the Dask worker ---------------------------------------------------------------------------------------------

_HERE: dict[str, RemoteWorker] = {}


class _Failed(NamedTuple):
    """An exception as an answer: calls after it are served all the same."""

    error: Exception


def _started(model: Model, blocks: int, num_threads: int, memory: int | str, neighbours: int) -> RemoteWorker:
    limit = _distributed().get_worker().memory_manager.memory_limit
    if memory == "auto" and limit:  # Dask pauses a worker that is close to its limit
        free = budget(memory, neighbours)
        memory = max(1, limit // 2 if free is None else min(limit // 2, free))
    return RemoteWorker(model, blocks, num_threads, memory, neighbours)


@dataclass(frozen=True, eq=False)
class _Sealed:
    """An argument into which Dask does not look."""

    value: Any


def _serve(name: str, method: str, before: Any, *args: Any) -> Any:
    """One call of a worker; `before` is the answer to the call before, which makes Dask serve them in order."""
    args = tuple(arg.value if isinstance(arg, _Sealed) else arg for arg in args)
    failed = [arg for arg in args if isinstance(arg, _Failed)]
    if isinstance(before, _Failed) and name not in _HERE:  # it never started
        failed.append(before)
    if failed:
        return failed[0]
    try:
        if method == "start":
            _HERE[name] = _started(*args)
            return None
        if method == "end":
            worker = _HERE.pop(name, None)
            return None if worker is None else worker.close()
        return getattr(_HERE[name], method)(*args)
    except Exception as error:
        return _Failed(error)


# --- on the driver --------------------------------------------------------------------------------------------------


class _Place(NamedTuple):
    """A process of Dask: the folder is its own, the address may be used again by the next."""

    address: str
    folder: str


@dataclass(eq=False)
class _Host:
    """A worker of ours, and the Dask worker it lives in."""

    place: _Place
    name: str = field(default_factory=lambda: f"fullbatch-{uuid.uuid4().hex}")
    last: Any = None  # the call before
    gone: bool = False
    idle: float | None = None  # since when it has been seen paused, with nothing that runs there


class _Call(NamedTuple):
    host: _Host
    future: Any  # None where it could not even be sent
    needed: frozenset[_Host]  # whose answers it waits for, its own included


def _sent(arg: Any) -> Any:
    if isinstance(arg, _Call):
        return arg.future
    return _Sealed(arg) if isinstance(arg, dict) else arg


_ENDING: set[Any] = set()


class _DaskCluster:
    """At most one worker of ours in each Dask worker, which is not used again once that was lost."""

    def __init__(self, client: "Client", model: Model, blocks: int, memory: int | str, start_timeout: float) -> None:
        self._client = client
        self._arguments = (_Sealed(model), blocks, memory)
        self._start_timeout = start_timeout
        self._used: set[_Place] = set()
        self._capacity = len(self._places())
        self._count = itertools.count()

    def start(self) -> _Host:
        until = time.monotonic() + self._start_timeout
        while not (free := self._free()):
            if time.monotonic() > until:
                raise EngineError(f"no Dask worker is left to use: {self.shortage()}")
            time.sleep(0.1)
        places = self._places()
        place = min(free)
        host = _Host(place)
        self._used.add(place)
        neighbours = sum(told["host"] == places[place]["host"] for told in places.values())
        model, blocks, memory = self._arguments
        self.call(host, "start", model, blocks, places[place]["nthreads"], memory, neighbours)
        return host

    def call(self, worker: _Host, method: str, *args: Any, pieces: int = 1) -> _Call:
        import dask

        del pieces  # Dask sends an answer of any size in one piece
        needed = frozenset([worker]).union(*(arg.needed for arg in args if isinstance(arg, _Call)))
        # Nothing is stored on Dask workers ahead of a call: that waits for one that hangs, and fails on a paused one.
        untold = dask.config.set({"distributed.admin.large-graph-warning-threshold": "1TB"})
        with untold, contextlib.suppress(OSError, KeyError):  # the worker is not known any more
            if not worker.gone:
                worker.idle = None
                worker.last = self._client.submit(
                    _serve,
                    worker.name,
                    method,
                    worker.last,
                    *map(_sent, args),
                    key=f"{worker.name}-{next(self._count)}",
                    workers=[worker.place.address],
                    allow_other_workers=False,
                    pure=False,
                )
                return _Call(worker, worker.last, needed)
        worker.gone = True
        return _Call(worker, None, needed)

    def collect(self, calls: Sequence[_Call], timeout: float) -> dict[int, Any]:
        distributed = _distributed()
        until = time.monotonic() + timeout
        while True:
            left = max(0.0, until - time.monotonic())
            with self._client.as_current(), contextlib.suppress(TimeoutError, distributed.CancelledError):
                distributed.wait([call.future for call in calls if call.future is not None], min(left, _LOOK))
            outcomes = self._outcomes(calls)
            if outcomes or left <= 0:
                return outcomes

    def _outcomes(self, calls: Sequence[_Call]) -> dict[int, Any]:
        done = {place for place, call in enumerate(calls) if call.future is not None and call.future.done()}
        outcomes: dict[int, Any] = {}
        if len(done) < len(calls):  # are those that it waits for still there?
            places = self._places()
            for place, call in enumerate(calls):
                needed = {call.host} if place in done else call.needed
                if any(host.gone or host.place not in places for host in needed):
                    outcomes[place] = Lost("its Dask worker is gone")
                elif place not in done and max(_idled(host, places[host.place]) for host in needed) > _PAUSED:
                    outcomes[place] = Lost(f"its Dask worker has no memory: it was paused for {_PAUSED:g} s")
        there = [place for place in sorted(done - outcomes.keys()) if calls[place].future.status == "finished"]
        for place in done - outcomes.keys() - set(there):
            outcomes[place] = _failure(calls[place].future)
        # An answer whose worker dies just now cannot be gathered any more: look again.
        with contextlib.suppress(TimeoutError, _distributed().CancelledError):
            answers = self._client.sync(self._gathered, [calls[place].future for place in there])
            outcomes |= zip(there, (one.error if isinstance(one, _Failed) else one for one in answers), strict=True)
        return outcomes

    async def _gathered(self, futures: list[Any]) -> list[Any]:
        gathering = asyncio.ensure_future(self._client.gather(futures, asynchronous=True))
        until = time.monotonic() + _TRANSFER
        while not (await asyncio.wait({gathering}, timeout=_LOOK))[0]:
            # Of an answer that was lost with its worker Dask would wait for the call to be served again.
            if time.monotonic() > until or any(future.status != "finished" for future in futures):
                gathering.cancel()
                raise TimeoutError
        return gathering.result()

    def by_locality(self, workers: Sequence[_Host], shares: Sequence[Sequence[Source]]) -> list[int]:
        return list(range(len(workers)))  # nothing that is read lies at workers: see `data.dask_`

    def put(self, value: Any) -> _Sealed:
        return _Sealed(value)  # the driver keeps it: what is stored on a Dask worker is lost with it

    def end(self, worker: _Host) -> None:
        ending = self.call(worker, "end")
        worker.gone = True
        if ending.future is not None:  # Dask cancels what nobody holds
            _ENDING.add(ending.future)
            ending.future.add_done_callback(_ENDING.discard)

    def kill(self, worker: _Host) -> None:
        worker.gone = True
        if worker.place in self._places():  # it hangs, or has no memory left
            try:
                self._client.restart_workers([worker.place.address], timeout=_RESTART, raise_for_error=False)
            except ValueError:
                logger.warning("%s has no nanny that could end it: it is not used any more", worker.place.address)

    def room(self) -> int:
        return len(self._free())

    def grown(self) -> int:
        before, self._capacity = self._capacity, len(self._places())
        return self._capacity - before

    def shortage(self) -> str:
        return f"the cluster has {len(self._places())} Dask workers, of which {self.room()} are not used yet"

    def is_open(self) -> bool:
        return self._client.status == "running"

    def _places(self) -> dict[_Place, Any]:
        """Those that are there: one that is paused, for lack of memory, goes on later."""
        return {
            _Place(address, told["local_directory"]): told
            for address, told in _workers(self._client).items()
            if told["status"] in ("running", "paused")
        }

    def _free(self) -> set[_Place]:
        return {place for place, told in self._places().items() if told["status"] == "running"} - self._used


def _idled(host: _Host, told: dict[str, Any]) -> float:
    """Seconds for which it has been paused and nothing ran there."""
    now = time.monotonic()
    paused = told["status"] == "paused" and not told["metrics"]["task_counts"].get("executing")
    host.idle = (host.idle or now) if paused else None
    return now - (host.idle or now)


def _failure(future: Any) -> Exception:
    """What Dask says of a call that was not served: calls themselves give their exceptions as answers."""
    if future.status != "error":  # cancelled, with what it needed
        return Lost("its Dask worker is gone")
    error = future.exception()
    return Lost(str(error)) if isinstance(error, _distributed().KilledWorker) else error
