"""What a worker does, whichever engine it belongs to: reads, describes, builds and asks its blocks."""

import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

import numpy as np

from ..data.features import encode
from ..errors import BlockError, DataError, MissingExtraError, ModelError
from ..protocols.rows import Rows, Source
from ..protocols.schema import Schema
from ..protocols.seams import Block, Model, Parameters
from ..wording.shown import redacted
from ._block_cache import BlockCache
from ._memory import Plan, budget
from .tree import Part, TreeSum

R = TypeVar("R")


class Changed(DataError):
    """The rows are not those that were first read."""


class Built(NamedTuple):
    """What the driver is told once the blocks stand."""

    parameters: Parameters
    answers: frozenset[type]


class Described(NamedTuple):
    """What one read tells of some blocks.

    Parameters
    ----------
    parts : list of Part
        The descriptions, added as far as the summation tree allows.
    hashes : dict of int to bytes
        Of the rows of each block: those that are read again must have the same.
    seconds : dict of int to float
        What reading and describing each block took.
    """

    parts: list[Part]
    hashes: dict[int, bytes]
    seconds: dict[int, float]


class Worker:
    """Some of the blocks, on some threads; each block is computed by one thread.

    Blocks stay in memory up to a budget. The others are read and built again for each request, by more threads, so
    that reading goes on while other blocks are computed. The answers have the same bits.

    Parameters
    ----------
    model : Model
        Describes and builds blocks.
    blocks : int
        Number of blocks of all workers: the leaves of the summation tree.
    num_threads : int
        Blocks computed at the same time.
    memory : int or str
        Bytes that the blocks may take, a text like "2GB", or "auto": a safe share of what is free.
    neighbours : int
        Workers that share the memory of this machine, this one counted.

    Attributes
    ----------
    seconds : dict of int to float
        What the last task took for each of its blocks, reading and waiting for a thread included.
    """

    def __init__(
        self, model: Model, blocks: int, num_threads: int, memory: int | str = "auto", neighbours: int = 1
    ) -> None:
        self._model = model
        self._sources: dict[int, Source] = {}
        self._total = blocks
        self._schema: Schema | None = None
        self._first_rows: list[int] = []
        self._cache = BlockCache(budget(memory, neighbours), num_threads)
        self._num_threads = num_threads
        self._computing: AbstractContextManager[Any] = nullcontext()
        self._pool: ThreadPoolExecutor | None = None
        self._lanes = 1
        self.seconds: dict[int, float] = {}

    @property
    def plan(self) -> Plan:
        """What stays in memory and what is read on each pass, as far as it is known."""
        return self._cache.plan

    def hold(self, sources: Mapping[int, Source]) -> Plan:
        """These blocks belong to this worker from now on. Nothing is read yet."""
        self._sources.update(sources)
        self._cache.add(sources)
        return self.plan

    def describe(self, blocks: Iterable[int]) -> Described:
        """Read the rows of these blocks, once, and describe them."""
        hashes: dict[int, bytes] = {}

        def describe(index: int) -> Any:
            source = self._sources[index]
            rows = source.read()
            with self._computing:
                described = self._model.describe(rows, str(source))
                hashes[index] = self._hash(rows)
            self._cache.put(index, rows, rows)
            return described

        return Described(self._tree_sum(describe, list(blocks)), hashes, self.seconds)

    def build(self, schema: Schema, blocks: Iterable[int]) -> Built:
        """Turn the rows that were read into blocks."""
        self._schema, self._first_rows = schema, list(schema.first_rows())

        def build(index: int) -> Built:
            rows = self._cache.take(index)
            block = self._built(index, self._sources[index].read() if rows is None else rows, keep=True)
            return Built(block.parameters, block.answers)

        # Those that were not kept are built when they are asked; one is enough to tell what all answer.
        asked = list(blocks)
        return agree(self._each(build, [index for index in asked if self._cache.get(index) is not None] or asked[:1]))

    def drop(self, blocks: Iterable[int]) -> None:
        """Forget blocks that another worker has taken."""
        for index in blocks:
            self._sources.pop(index, None)
        self._cache.drop(blocks)

    def sum(self, request: Any, blocks: Iterable[int]) -> list[Part]:
        """The answers of these blocks, added as far as the tree allows."""

        def answer(index: int) -> Any:
            block = self._cache.get(index)
            if block is not None:
                with self._computing:
                    return block.evaluate(request)
            rows = self._sources[index].read()
            with self._computing:
                return self._built(index, rows).evaluate(request)

        return self._tree_sum(answer, self._cache.order(blocks))

    @property
    def is_open(self) -> bool:
        """Whether blocks stand."""
        return self._schema is not None

    def close(self) -> None:
        """Drop the blocks and end the threads."""
        self._schema = None
        self._cache.clear()
        self._run_on(1)

    def _hash(self, rows: Rows) -> bytes:
        """Nothing: no block of this process is taken by another."""
        return b""

    def _built(self, index: int, rows: Rows, keep: bool = False) -> Block:
        schema = self._schema
        assert schema is not None
        if rows.X.shape[0] != schema.block_rows[index]:
            raise Changed(
                f"{self._sources[index]} now has {rows.X.shape[0]} rows and had {schema.block_rows[index]} when it "
                "was first read: the data has changed"
            )
        if not getattr(self._model, "takes_categories", False):
            rows = encode(rows, schema.features, str(self._sources[index]))
        block = self._model.build(rows, schema, self._first_rows[index])
        if keep:
            self._cache.put(index, block, rows)
        return block

    def _tree_sum(self, answer: Callable[[int], Any], order: list[int]) -> list[Part]:
        tree = TreeSum(self._total)
        self._each(lambda index: tree.add(Part(0, index, answer(index))), order)
        return tree.parts()

    def _each(self, task: Callable[[int], R], order: list[int]) -> list[R]:
        seconds: dict[int, float] = {}
        answers: dict[int, R] = {}
        errors: dict[int, BaseException] = {}
        waiting = iter(order)  # shared by the threads: whichever is free takes the next block

        def work() -> None:
            with np.errstate(over="ignore", invalid="ignore"):  # solvers look for infinities themselves
                for index in waiting:
                    start = time.perf_counter()
                    try:
                        answers[index] = task(index)
                    except BaseException as error:
                        errors[index] = error
                        for _ in waiting:  # nothing more is begun
                            pass
                    seconds[index] = time.perf_counter() - start

        self._run_on(self._cache.lanes)
        try:
            if self._pool is None:
                work()
            else:
                futures = [self._pool.submit(work) for _ in range(self._lanes)]
                try:
                    wait(futures)
                finally:  # after an interrupt: nothing is left running behind the caller's back
                    for _ in waiting:
                        pass
                    wait(futures)
        finally:
            release(self._sources.values())
            self.seconds = seconds
        if errors:
            first = min(errors)
            with named(first, self._sources[first]):
                raise errors[first]
        return [answers[index] for index in order]

    def _run_on(self, lanes: int) -> None:
        """Have so many threads; of one alone, the caller's own is used."""
        if lanes != self._lanes:
            if self._pool is not None:
                self._pool.shutdown()
            self._pool, self._lanes = ThreadPoolExecutor(lanes, "fullbatch") if lanes > 1 else None, lanes
            # Those beyond the threads read while others compute.
            self._computing = threading.Semaphore(self._num_threads) if lanes > self._num_threads else nullcontext()


@contextmanager
def named(index: int, source: Source) -> Iterator[None]:
    """Errors of a block say which block it was, unless they say what to do already."""
    try:
        yield
    except (DataError, ModelError, MissingExtraError):
        raise
    except MemoryError as error:  # stays one: another worker may have more
        raise MemoryError(f"block {index} ({source}): {error}") from error
    except Exception as error:
        raise BlockError(index, str(source), redacted(traceback.format_exc())) from error


def release(sources: Iterable[Source]) -> None:
    """Let sources drop what they shared while they were read."""
    for source in sources:
        if hasattr(source, "release"):
            source.release()


def agree(built: list[Built]) -> Built:
    """The one answer of all blocks.

    Raises
    ------
    ValueError
        Blocks disagree on the length of theta, which makes their gradients impossible to add.
    """
    sizes = {one.parameters.size for one in built}
    if len(sizes) > 1:
        raise ValueError(f"blocks disagree on the number of parameters: {sorted(sizes)}")
    first = built[0].parameters
    dtype = "float32" if any(one.parameters.dtype == "float32" for one in built) else "float64"
    return Built(
        replace(first, penalized=np.asarray(first.penalized), dtype=dtype),
        frozenset.intersection(*(one.answers for one in built)),
    )


def check_request(request: Any, answers: frozenset[type], open_: bool) -> None:
    """Refuse, before any data is read, a request that the blocks cannot answer."""
    if not open_:
        raise RuntimeError("these blocks are closed: place them again")
    if type(request) not in answers:
        known = ", ".join(sorted(kind.__name__ for kind in answers))
        raise TypeError(f"these blocks cannot answer {type(request).__name__}; they answer {known}")


def check_sources(sources: Any) -> list[Source]:
    """The sources as a list.

    Raises
    ------
    DataError
        There are none.
    """
    listed = list(sources)
    if not listed:
        raise DataError("no data: the list of sources is empty")
    return listed
