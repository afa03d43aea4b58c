"""Ray as a cluster for the supervisor: worker actors, what they answer, and what is known of the nodes."""

import contextlib
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from ..errors import EngineError, MissingExtraError
from ..protocols.rows import Source
from ..protocols.seams import Model
from ._cluster import Lost
from ._locality import by_locality
from ._remote_worker import RemoteWorker

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
    from ray.experimental import get_object_locations
    from ray.util import get_current_placement_group
except ImportError as error:
    raise MissingExtraError("ray", "ray") from error


def cpus_of_nodes() -> dict[str, float]:
    """CPUs of each living node; within a placement group, of each of its bundles."""
    group = _placement_group()
    if group is not None:
        return {str(number): bundle.get("CPU", 0.0) for number, bundle in enumerate(group.bundle_specs)}
    return {node["NodeID"]: node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["Alive"]}


def free_cpus() -> float:
    """CPUs that nobody has reserved, of the cluster or the placement group."""
    group = _placement_group()
    return ray.available_resources().get("CPU" if group is None else f"CPU_group_{group.id.hex()}", 0.0)


def shortage(cpus: float) -> str:
    """What is wanted and what there is, in words."""
    return f"each needs {cpus:g} CPUs, and {free_cpus():g} CPUs of the cluster are free now"


def _placement_group() -> Any:
    """The bundles reserved for whom this runs in, such as a trial of Ray Tune: Ray places workers in there only."""
    inside = ray.get_runtime_context().should_capture_child_tasks_in_placement_group
    return get_current_placement_group() if inside else None


def whole(cpus: float, each: float) -> int:
    """How many workers of `each` CPUs there is room for."""
    return int(cpus / each + 1e-9)


class _RayWorker(RemoteWorker):
    """Shares the memory of its node with as many others as that may hold, of `most` in the cluster."""

    def __init__(self, model: Model, blocks: int, num_cpus: float, memory: int | str, most: int) -> None:
        here = ray.get_runtime_context().get_node_id()
        cpus = next(node["Resources"].get("CPU", 0.0) for node in ray.nodes() if node["NodeID"] == here)
        super().__init__(model, blocks, max(1, int(num_cpus)), memory, max(1, min(whole(cpus, num_cpus), most)))

    def node(self) -> str:
        """Where it runs."""
        here: str = ray.get_runtime_context().get_node_id()
        return here


_WorkerActor = ray.remote(_RayWorker)

# What Ray says of workers and nodes that are gone, with what they held.
_LOSSES = (RayActorError, NodeDiedError, ObjectLostError, OutOfMemoryError, WorkerCrashedError, ActorUnschedulableError)

# Seconds to ask where workers and objects are.
_LOCATE = 30.0

# Calls that may be made twice.
_REPEATABLE = {"ready", "answer", "merge"}


class _Call(list[Any]):
    """References to the pieces of an answer, and how to ask for them again."""

    again: Callable[[], list[Any]] | None = None


class RayCluster:
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

    def by_locality(self, workers: Sequence[Any], shares: Sequence[Sequence[Source]]) -> list[int]:
        """Workers read the blocks of a Ray Dataset that lie in their nodes' object stores."""
        stored = [[one for source in share for one in getattr(source, "stored", ())] for share in shares]
        if not any(stored):
            return list(range(len(workers)))
        nodes = self.collect([self.call(worker, "node") for worker in workers], _LOCATE)
        try:
            places = get_object_locations([ref for share in stored for ref, _ in share], int(1e3 * _LOCATE))
        except RayError:  # it is only a matter of speed
            places = {}
        homes: list[Counter[str]] = [Counter() for _ in shares]
        for home, share in zip(homes, stored, strict=True):
            for ref, nbytes in share:
                home.update(dict.fromkeys(places.get(ref, {}).get("node_ids", ()), nbytes))
        return by_locality([str(nodes.get(place)) for place in range(len(workers))], homes)

    def put(self, value: Any) -> _Call:
        return _Call([_stored(value)])

    def end(self, worker: Any) -> None:
        self.kill(worker)

    def kill(self, worker: Any) -> None:
        with contextlib.suppress(ActorHandleNotFoundError):  # of a Ray that was shut down since
            ray.kill(worker)

    def room(self) -> int:
        return whole(free_cpus(), self._num_cpus)

    def grown(self) -> int:
        before, self._capacity = self._capacity, self._capacity_now()
        self._most += max(0, self._capacity - before)
        return self._capacity - before

    def _capacity_now(self) -> int:
        return sum(whole(cpus, self._num_cpus) for cpus in cpus_of_nodes().values())

    def shortage(self) -> str:
        return shortage(self._num_cpus)

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
