"""Dask as a cluster for the supervisor: workers of ours, called by tasks that are bound to their Dask workers."""

import asyncio
import contextlib
import itertools
import logging
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import EngineError, MissingExtraError
from ..protocols.rows import Source
from ..protocols.seams import Model
from ._cluster import Lost
from ._memory import budget
from ._remote_worker import RemoteWorker

if TYPE_CHECKING:
    from distributed import Client

logger = logging.getLogger(__name__)

# Seconds between looks at whether the Dask workers that are waited for still exist: a task that is bound to one that
# does not is never told so.
_LOOK = 0.5
# Seconds that a worker may be paused, for want of memory, while nothing runs there that could free some.
_PAUSED = 120.0
# Seconds for a nanny to replace a process that does not answer.
_RESTART = 30.0
# Seconds for answers to be transferred, before it is asked whether their workers are still there.
_TRANSFER = 60.0


def distributed_package() -> Any:
    """The package, or an error that says how to install it."""
    try:
        import distributed
    except ImportError as error:
        raise MissingExtraError("dask and distributed", "dask") from error
    return distributed


def dask_workers(client: "Client") -> dict[str, Any]:
    """What the scheduler says of each Dask worker, by its address.

    It is asked itself: `Client.scheduler_info` answers with what the client has kept, which a thread of the client's
    replaces every other second by an answer that names no workers.

    Raises
    ------
    OSError
        The scheduler does not answer.
    """
    if client.scheduler is None:  # the client was closed
        return {}
    return dict(client.sync(client.scheduler.identity, n_workers=-1)["workers"])


# --- on the Dask worker ---------------------------------------------------------------------------------------------

_HERE: dict[str, RemoteWorker] = {}


class _Failed(NamedTuple):
    """An exception as an answer: calls after it are served all the same."""

    error: Exception


def _started(model: Model, blocks: int, num_threads: int, memory: int | str, neighbours: int) -> RemoteWorker:
    limit = distributed_package().get_worker().memory_manager.memory_limit
    if memory == "auto" and limit:  # Dask pauses a worker that is close to its limit
        free = budget(memory, neighbours)
        memory = max(1, limit // 2 if free is None else min(limit // 2, free))
    return RemoteWorker(model, blocks, num_threads, memory, neighbours)


@dataclass(frozen=True, eq=False)
class _Opaque:
    """An argument into which Dask does not look."""

    value: Any


def _serve(name: str, method: str, before: Any, *args: Any) -> Any:
    """One call of a worker; `before` is the answer to the call before, which makes Dask serve them in order."""
    args = tuple(arg.value if isinstance(arg, _Opaque) else arg for arg in args)
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
    return _Opaque(arg) if isinstance(arg, dict) else arg


_ENDING: set[Any] = set()


class DaskCluster:
    """At most one worker of ours in each Dask worker, which is not used again once that was lost."""

    def __init__(self, client: "Client", model: Model, blocks: int, memory: int | str, start_timeout: float) -> None:
        self._client = client
        self._arguments = (_Opaque(model), blocks, memory)
        self._start_timeout = start_timeout
        self._used: set[_Place] = set()
        self._told: dict[str, Any] = {}
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
        distributed = distributed_package()
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
        with contextlib.suppress(TimeoutError, distributed_package().CancelledError):
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

    def put(self, value: Any) -> _Opaque:
        return _Opaque(value)  # the driver keeps it: what is stored on a Dask worker is lost with it

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
        """Those that are there: one that is paused, for lack of memory, goes on later.

        While the scheduler does not answer, those that were there when it last did.
        """
        with contextlib.suppress(OSError):
            self._told = dask_workers(self._client)
        return {
            _Place(address, told["local_directory"]): told
            for address, told in self._told.items()
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
    return Lost(str(error)) if isinstance(error, distributed_package().KilledWorker) else error
