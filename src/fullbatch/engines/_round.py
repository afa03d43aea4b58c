"""One round of requests to the workers that hold blocks, until a worker that still holds it has answered for each."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import EngineError
from ._cluster import Cluster, Lost
from ._remote_worker import Answer
from ._worker import Changed
from .tree import Part

# How often a sum that the workers make among themselves may fail though no worker is lost.
_ATTEMPTS = 3


@dataclass(slots=True, eq=False)
class Member:
    """A worker, and the blocks that it answers for."""

    number: int
    worker: Any
    blocks: list[int] = field(default_factory=list)
    heard: float = field(default_factory=time.monotonic)  # when it last answered, or was asked
    slow: int = 0  # passes in a row as a straggler
    waste: float = 0.0  # seconds that these passes took longer than at the others' pace
    slowness: float = 1.0  # how much longer than the others it needs for a row; 1 if it is no straggler
    proven: bool = False  # it has answered for blocks: its node has what they need
    refuses: bool = False  # it could not take blocks when others were to move to it
    processor: tuple[str, str] = ("", "")  # name and features
    dropping: Any = None  # the last call to drop blocks: some clusters cancel what nobody waits for

    def __str__(self) -> str:
        return f"worker {self.number}"


class Call(NamedTuple):
    """What a worker was asked for some blocks."""

    member: Member
    blocks: list[int]
    answer: Any


class _Merge(NamedTuple):
    member: Member
    call: Any
    others: list[Any]  # calls whose answers it adds


Ask = Callable[[Member, list[int]], Any]
# Told who is gone and why, it finds others for their blocks.
Reassign = Callable[[Mapping[Member, Exception]], Iterable[tuple[Member, list[int]]]]


class Round:
    """One request to all blocks.

    Parameters
    ----------
    cluster : Cluster
        Of the workers.
    members : list of Member
        Who is asked: all that hold blocks.
    timeout : float
        Seconds without an answer after which a worker counts as lost.
    ask : callable
        `ask(member, blocks)` starts the call to a worker that holds the blocks.
    ask_anew : callable
        The same for a worker that must build them first.
    reassign : callable
        `reassign(gone)`: who holds the blocks of these workers now; `gone` says why they do not: `Lost`, or what kept
        one that has answered nothing yet from doing so.

    Attributes
    ----------
    replaced : bool
        Whether a worker was lost or given up.
    """

    def __init__(
        self, cluster: Cluster, members: list[Member], timeout: float, ask: Ask, ask_anew: Ask, reassign: Reassign
    ) -> None:
        self._cluster, self._timeout = cluster, timeout
        self._ask_anew, self._reassign = ask_anew, reassign
        self._answered: list[tuple[Member, Any]] = []
        self.replaced = False
        now = time.monotonic()
        for member in members:
            member.heard = now
        self._open = [Call(member, member.blocks, ask(member, member.blocks)) for member in members]

    def answers(self) -> list[Any]:
        """Everyone's answer."""
        while self._open:
            deadline = min(call.member.heard for call in self._open) + self._timeout
            calls = self._open
            outcomes = self._cluster.collect([call.answer for call in calls], max(0.0, deadline - time.monotonic()))
            now = time.monotonic()
            self._open = [call for place, call in enumerate(calls) if place not in outcomes]
            gone: dict[Member, Exception] = {}
            for place, outcome in outcomes.items():
                member = calls[place].member
                member.heard = now
                if isinstance(outcome, MemoryError):
                    gone[member] = Lost(f"out of memory: {outcome}")
                elif isinstance(outcome, Lost):
                    gone[member] = outcome
                elif isinstance(outcome, Exception):
                    if member.proven or isinstance(outcome, Changed):
                        raise outcome
                    gone.setdefault(member, outcome)  # its node may lack a file or a package
                else:
                    member.proven = True
                    self._answered.append((member, outcome))
            for call in self._open:
                if now - call.member.heard >= self._timeout:
                    gone.setdefault(call.member, Lost(f"it did not answer within {self._timeout:g} s"))
            self._replace(gone)
        return [answer for _, answer in self._answered]

    def sums(self, turn: int) -> list[list[Part]]:
        """Everyone's answer to a request; where they are large, the sum that the workers made of them.

        Parameters
        ----------
        turn : int
            Number of the request.

        Raises
        ------
        EngineError
            The workers could not add their answers, and none is to blame.
        """
        failures = 0
        while True:
            self.answers()
            pieces = self.pieces()
            holders = {member for member, piece in pieces if piece.kept}
            if not holders:
                return [piece.parts for _, piece in pieces]
            calls: list[_Merge] = []
            until = time.monotonic() + self._timeout
            merged = self._collect_by(until, self._merge(sorted(holders, key=lambda one: one.blocks), turn, calls))
            if not isinstance(merged, Exception):
                return [merged, *(piece.parts for _, piece in pieces)]
            gone = self._to_blame(calls, until)
            failures += not gone  # such as an object store that is full at the moment
            if failures == _ATTEMPTS:
                raise EngineError(f"the workers could not add their answers: {merged}")
            self._replace(gone)

    def pieces(self) -> list[tuple[Member, Answer]]:
        """The answers to a request so far, piece by piece."""
        return [(member, Answer.of(piece)) for member, pieces in self._answered for piece in pieces]

    def _replace(self, gone: Mapping[Member, Exception]) -> None:
        """Ask the blocks of these workers elsewhere."""
        self.replaced |= bool(gone)
        self._open = [call for call in self._open if call.member not in gone]
        self._answered = [(member, answer) for member, answer in self._answered if member not in gone]
        for taker, blocks in self._reassign(gone):
            if not any(call.member is taker for call in self._open):
                taker.heard = time.monotonic()
            self._open.append(Call(taker, blocks, self._ask_anew(taker, blocks)))

    def _merge(self, holders: list[Member], turn: int, calls: list[_Merge]) -> Any:
        """A tree of calls: the first worker adds what the others have added to what it kept."""
        others, step = [], 1
        while step < len(holders):
            others.append(self._merge(holders[step : 2 * step], turn, calls))
            step *= 2
        call = self._cluster.call(holders[0].worker, "merge", turn, *others)
        calls.append(_Merge(holders[0], call, others))
        return call

    def _to_blame(self, calls: list[_Merge], until: float) -> dict[Member, Exception]:
        """The workers that were lost while they added: all that they were sent was there, and their answer is not."""
        gone: dict[Member, Exception] = {}
        unmade: list[Any] = []
        for member, call, others in calls:
            outcome = self._collect_by(until, call)
            if isinstance(outcome, Exception):
                if isinstance(outcome, Lost) and not any(other is one for one in unmade for other in others):
                    gone[member] = outcome
                unmade.append(call)
        return gone

    def _collect_by(self, until: float, call: Any) -> Any:
        timeout = max(0.0, until - time.monotonic())
        late = Lost(f"it did not answer within {self._timeout:g} s")
        return self._cluster.collect([call], timeout).get(0, late)
