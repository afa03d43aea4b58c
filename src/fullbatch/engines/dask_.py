"""Blocks on a Dask cluster: one worker of ours in each Dask worker."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import EngineError
from ..machine.cpus import available_cpus
from ..protocols.rows import Source
from ..protocols.seams import Model
from ._assignment import split
from ._cluster import Limits
from ._dask_cluster import DaskCluster, dask_workers, distributed_package
from ._memory import check_memory
from ._supervisor import SupervisedBlocks
from ._worker import check_sources, named, release

if TYPE_CHECKING:
    from distributed import Client

R = TypeVar("R")


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
        distributed_package()
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
        cluster = DaskCluster(self._connected(), model, len(sources), self.memory, self.start_timeout)
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
        num_workers = min(len(dask_workers(client)), self.num_workers or len(sources))
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
            there = len(dask_workers(self.client))
            raise EngineError(
                f"{self.num_workers or 1} Dask workers are wanted, and after {self.start_timeout:g} s there are "
                f"{there}. Start more, or ask for fewer"
            ) from None
        return self.client

    def _found(self) -> "Client":
        distributed = distributed_package()
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


def _synchronous(client: "Client") -> "Client":
    if client.asynchronous:
        raise ValueError("client must be synchronous: Client(asynchronous=False)")
    return client


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
    except distributed_package().KilledWorker as error:
        raise EngineError(f"Dask workers were lost again and again: {error}") from None
