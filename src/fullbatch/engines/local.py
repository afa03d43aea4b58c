"""Blocks in this process: one after another, or on threads."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, TypeVar

from ..machine.cpus import available_cpus
from ..protocols.rows import Source
from ..protocols.schema import Schema
from ..protocols.seams import Model
from ._memory import check_memory
from ._worker import Worker, check_request, check_sources, named, release
from .tree import Part, added

R = TypeVar("R")


class ThreadEngine:
    """Blocks in this process, computed on threads: the default engine.

    Parameters
    ----------
    num_threads : int, optional
        Blocks computed at the same time; default: the CPUs this process may use. Results do not depend on it.
    memory : int or str
        Bytes, or a text like "2GB", that the blocks may take: those beyond it are read again on each pass. "auto" is
        half of the memory that is free when blocks are placed. Results do not depend on it.
    """

    def __init__(self, num_threads: int | None = None, memory: int | str = "auto") -> None:
        if num_threads is not None and num_threads < 1:
            raise ValueError(f"num_threads must be at least 1, got {num_threads}")
        check_memory(memory)
        self.num_threads = num_threads or available_cpus()
        self.memory = memory

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_threads={self.num_threads})"

    def place(self, model: Model, sources: Sequence[Source]) -> "LocalBlocks":
        """Read, describe and build one block per source.

        Parameters
        ----------
        model : Model
            What is computed on a block.
        sources : sequence of Source
            One per block.

        Returns
        -------
        LocalBlocks
        """
        return LocalBlocks(model, check_sources(sources), self.num_threads, self.memory)

    def map(self, task: Callable[[int, Source], R], sources: Sequence[Source]) -> Iterator[R]:
        """What `task` makes of each source, in their order; nothing is kept.

        Parameters
        ----------
        task : callable
            `task(number, source)`, called once with each source.
        sources : sequence of Source
            Not read before their turn.

        Yields
        ------
        object
            The answer for each source.
        """
        sources = check_sources(sources)
        waiting: deque[Future[R]] = deque()
        with ThreadPoolExecutor(self.num_threads, "fullbatch") as pool:
            try:
                for index, source in enumerate(sources):
                    waiting.append(pool.submit(_answer, task, index, source))
                    if len(waiting) > self.num_threads:  # no further ahead, so that answers do not pile up
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                for future in waiting:
                    future.cancel()
                wait(waiting)
                release(sources)

    def close(self) -> None:
        """Nothing to let go of: the threads belong to the blocks."""


def _answer(task: Callable[[int, Source], R], index: int, source: Source) -> R:
    with named(index, source):
        return task(index, source)


class SerialEngine(ThreadEngine):
    """Blocks in this process, one after another: the reference every engine is held against.

    Parameters
    ----------
    memory : int or str
        As for `ThreadEngine`; blocks that are read on each pass are read by threads of their own.
    """

    def __init__(self, memory: int | str = "auto") -> None:
        super().__init__(1, memory)

    def __repr__(self) -> str:
        return "SerialEngine()"


class LocalBlocks:
    """Blocks that live in this process.

    Attributes
    ----------
    plan : Plan
        What stays in memory and what is read on each pass.
    """

    def __init__(self, model: Model, sources: list[Source], num_threads: int, memory: int | str = "auto") -> None:
        self._count = len(sources)
        self._worker = Worker(model, self._count, min(num_threads, self._count), memory)
        try:
            before = self._worker.hold(dict(enumerate(sources))).log()
            self.schema = Schema.of(self._total(self._worker.describe(range(self._count)).parts))
            self.parameters, self.answers = self._worker.build(self.schema, range(self._count))
            self.plan = self._worker.plan
            if self.plan.streamed != before.streamed:
                self.plan.log()
        except BaseException:
            self.close()
            raise

    def sum(self, request: Any) -> Any:
        """Every block's answer to `request`, added in the fixed tree order."""
        check_request(request, self.answers, self._worker.is_open)
        return self._total(self._worker.sum(request, range(self._count)))

    def close(self) -> None:
        """Drop the blocks and end the threads."""
        self._worker.close()

    def _total(self, parts: list[Part]) -> Any:
        return added(self._count, [parts]).total()
