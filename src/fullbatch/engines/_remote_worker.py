"""A worker in another process: what it is sent, what it answers, and what it does for a driver that may lose it."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from ..protocols.rows import Rows, Source
from ..protocols.schema import Schema
from ._content_hash import content_hash
from ._worker import Built, Changed, Described, Worker
from .tree import Part, added

# Larger sums stay with the workers, which add them among themselves; the driver is sent one.
KEPT_BYTES = 2**20


class Message(NamedTuple):
    """What a worker is asked, in one argument: clusters send each on its own.

    Parameters
    ----------
    blocks : iterable of int
        That answer.
    turn : int
        Number of the request.
    request : object
        None where it is stored, once for all workers, and passed beside this.
    """

    blocks: Iterable[int]
    turn: int
    request: Any = None


class Answer(NamedTuple):
    """A part of what a worker in another process answers to a request.

    Parameters
    ----------
    parts : list of Part
        One part of the summation tree, or none.
    seconds : dict of int to float
        What each block took; told with the first part.
    kept : bool
        The parts are large and stay with the worker: `RemoteWorker.merge` hands them on.
    """

    parts: list[Part]
    seconds: dict[int, float]
    kept: bool = False

    def plain(self) -> "Plain":
        """As it is sent: naming a class in a message takes about as long as sending a gradient."""
        return [tuple(part) for part in self.parts], self.seconds, self.kept

    @classmethod
    def of(cls, plain: "Plain") -> Self:
        """As it was before."""
        parts, seconds, kept = plain
        return cls([Part(*part) for part in parts], seconds, kept)


Plain = tuple[list[tuple[int, int, Any]], dict[int, float], bool]


class RemoteWorker(Worker):
    """A worker in another process, asked by a driver that may lose it at any time."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        # Of a turn, by the blocks that they are of: to be asked again, for the same blocks, changes nothing.
        self._kept: tuple[int, dict[frozenset[int], list[Part]]] = (0, {})

    def ready(self) -> tuple[str, str]:
        """The kind of processor, once the worker runs."""
        from ..kernels.compiled import compile_target  # Numba loads slowly

        return compile_target()

    def hold_and_describe(self, sources: Mapping[int, Source]) -> Described:
        """Describe blocks of a worker that was lost before it did."""
        self.hold(sources)
        return self.describe(sources)

    def answer(self, message: Message, stored: Any = None) -> list[Plain]:
        """The answers of some blocks, one `Answer` for each part of the tree; large ones are kept for this turn."""
        parts = self.sum(message.request if stored is None else stored, message.blocks)
        seconds = [self.seconds, *({} for _ in parts[1:])]
        if sum(nbytes(part.value) for part in parts) <= KEPT_BYTES:
            return [Answer([part], one).plain() for part, one in zip(parts, seconds, strict=True)]
        self._kept = (message.turn, self._kept_in(message.turn) | {frozenset(message.blocks): parts})
        return [Answer([], one, kept=True).plain() for one in seconds]

    def take(self, sources: Mapping[int, Source], schema: Schema, hashes: Mapping[int, bytes]) -> Built:
        """Read and build blocks that another worker holds or held.

        Raises
        ------
        DataError
            The rows are not those that were first described.
        """
        try:
            self.hold(sources)
            for index, now in self.describe(sources).hashes.items():
                if now != hashes[index]:
                    raise Changed(f"the data has changed since it was first read: {sources[index]}")
            return self.build(schema, sources)
        except BaseException:  # all of them, or none
            self.drop(sources)
            raise

    def take_and_answer(
        self,
        sources: Mapping[int, Source],
        schema: Schema,
        hashes: Mapping[int, bytes],
        message: Message,
        stored: Any = None,
    ) -> list[Plain]:
        """Take blocks of a worker that was lost, and answer for them."""
        self.take(sources, schema, hashes)
        return self.answer(message, stored)

    def merge(self, turn: int, *others: list[Part]) -> list[Part]:
        """What this worker keeps of this turn, and what others do, added as far as the tree allows."""
        return added(self._total, [*self._kept_in(turn).values(), *others]).parts()

    def _kept_in(self, turn: int) -> dict[frozenset[int], list[Part]]:
        return self._kept[1] if self._kept[0] == turn else {}

    def _hash(self, rows: Rows) -> bytes:
        return content_hash(rows)


def nbytes(message: Any) -> int:
    """Bytes in the arrays of a request or an answer."""
    if isinstance(message, np.ndarray):
        return message.nbytes
    if isinstance(message, tuple):
        return sum(map(nbytes, message))
    names = getattr(message, "__dataclass_fields__", ())  # as `dataclasses.fields` reads them, slowly
    return sum(nbytes(getattr(message, name)) for name in names)
