"""Blocks on workers that may be lost: who holds what, who is asked, and what happens when a worker does not answer.

All engines for clusters share this file; each brings its `Cluster`.
"""

import itertools
import logging
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np

from ..errors import EngineError
from ..protocols.rows import Source
from ..protocols.schema import Schema
from ._assignment import Move, moves, parts, runs, split
from ._cluster import Cluster, Limits, Lost
from ._remote_worker import Message, nbytes
from ._round import Ask, Call, Member, Round
from ._worker import Changed, agree, check_request
from .health import Health
from .tree import Part, added

logger = logging.getLogger(__name__)

# Larger requests are stored once for all workers; smaller ones go inside the call. (Ray's own limit is 100 KiB, and the
# numbers of the blocks go with them.)
_INLINE_BYTES = 88 * 1024
# Seconds to wait for room for a fresh worker before the others take over what a lost one held: clusters report with
# some delay what a dead process has freed.
_PATIENCE = 5.0
# And to wait, while there are others, until a started one runs.
_REPLACE = 60.0
# Seconds between looks at whether the cluster has grown.
_LOOK = 5.0
# A worker that needs this many times what the others need for a row (their median) is a straggler.
_STRAGGLER = 3.0
# Nothing is said or done about less waste than this, in seconds: the times of short passes are mostly chance.
_NOTICEABLE = 0.1


class _Move(NamedTuple):
    donor: Member
    call: Call  # to the receiver, to take the blocks


class SupervisedBlocks:
    """Blocks in the workers of a cluster. Those of a lost worker are rebuilt from their sources and asked again.

    Parameters
    ----------
    cluster : Cluster
        Where workers are started.
    sources : list of Source
        One per block.
    num_workers : int
        To begin with; not more than there are blocks.
    limits : Limits
        What is put up with.

    Attributes
    ----------
    plan : Plan
        What stays in memory and what is read on each pass, as the workers began.
    """

    def __init__(self, cluster: Cluster, sources: list[Source], num_workers: int, limits: Limits) -> None:
        self._cluster = cluster
        self._sources = sources
        self._limits = limits
        self._target = num_workers
        self._members: list[Member] = []
        self._newcomers: list[Call] = []  # started and not yet known to run
        self._moves: list[_Move] = []
        self._mixed = False  # whether it was told that processors differ
        self._uneven = False  # blocks are to be shared out anew once nothing is under way
        self._losses: list[str] = []
        self._turn = self._moved = 0
        self._sent = self._received = 0
        self._looked = time.monotonic()
        self._seconds = [0.0] * len(sources)
        try:
            self._start_workers(num_workers)
            assignment = split(range(len(sources)), num_workers)
            workers = [member.worker for member in self._members]
            order = cluster.by_locality(workers, [[sources[block] for block in blocks] for blocks in assignment])
            for member, number in zip(self._members, order, strict=True):
                member.blocks = assignment[number]
            self.plan = reduce(add, self._round(self._hold, self._hold).answers()).log()
            described = self._round(self._describe, self._hold_and_describe).answers()
            self._note_seconds(one.seconds for one in described)
            self._read_seconds = list(self._seconds)
            self._hashes = {index: each for one in described for index, each in one.hashes.items()}
            self.schema = Schema.of(self._total(one.parts for one in described))
            self._rows = [max(1, rows) for rows in self.schema.block_rows]
            self._sent_schema = cluster.put(self.schema)
            self.parameters, self.answers = agree(self._round(self._build, self._take).answers())
        except BaseException:
            self.close()
            raise

    @property
    def health(self) -> Health:
        """How the workers fare."""
        holders = sum(bool(member.blocks) for member in self._members)
        return Health(holders, len(self._losses), self._moved, np.array(self._seconds), self._sent, self._received)

    def sum(self, request: Any) -> Any:
        """Every block's answer to `request`, added in the fixed tree order."""
        check_request(request, self.answers, open_=bool(self._members) and self._cluster.is_open())
        self._finish_moves()
        self._grow()
        answers = self._answers(request)
        self._received += sum(nbytes(part.value) for share in answers for part in share)
        total = self._total(answers)
        self._watch()
        return total

    def close(self) -> None:
        """End the workers."""
        ending = [*self._members, *(call.member for call in self._newcomers)]
        self._members, self._newcomers, self._moves = [], [], []
        if self._cluster.is_open():
            for member in ending:
                self._cluster.end(member.worker)

    # --- asking ---------------------------------------------------------------------------------------------------

    def _round(self, ask: Ask, ask_anew: Ask) -> Round:
        holders = [member for member in self._members if member.blocks]
        return Round(self._cluster, holders, self._limits.timeout, ask, ask_anew, self._reassigned)

    def _hold(self, member: Member, blocks: list[int]) -> Any:
        return self._cluster.call(member.worker, "hold", self._recipes(blocks))

    def _describe(self, member: Member, blocks: list[int]) -> Any:
        return self._cluster.call(member.worker, "describe", blocks)

    def _hold_and_describe(self, member: Member, blocks: list[int]) -> Any:
        return self._cluster.call(member.worker, "hold_and_describe", self._recipes(blocks))

    def _build(self, member: Member, blocks: list[int]) -> Any:
        return self._cluster.call(member.worker, "build", self._sent_schema, blocks)

    def _take(self, member: Member, blocks: list[int]) -> Any:
        return self._cluster.call(member.worker, "take", *self._lineage(blocks))

    def _lineage(self, blocks: list[int]) -> tuple[Any, ...]:
        return self._recipes(blocks), self._sent_schema, {index: self._hashes[index] for index in blocks}

    def _recipes(self, blocks: list[int]) -> dict[int, Source]:
        return {index: self._sources[index] for index in blocks}

    def _answers(self, request: Any) -> list[list[Part]]:
        """The workers' answers; where they are large, the sum that the workers made of them."""
        size = nbytes(request)
        stored = [self._cluster.put(request)] if size > _INLINE_BYTES else []
        self._turn += 1
        turn = self._turn  # workers keep large answers until the next one

        def send(member: Member, blocks: list[int], method: str, *args: Any) -> Any:
            message = Message(blocks, turn, None if stored else request)
            pieces = parts(frozenset(blocks), len(self._sources))
            self._sent += size
            return self._cluster.call(member.worker, method, *args, message, *stored, pieces=pieces)

        def ask(member: Member, blocks: list[int]) -> Any:
            return send(member, blocks, "answer")

        def ask_anew(member: Member, blocks: list[int]) -> Any:
            return send(member, blocks, "take_and_answer", *self._lineage(blocks))

        asked = self._round(ask, ask_anew)
        try:
            sums = asked.sums(turn)
        except BaseException:
            if asked.replaced:  # and nobody can tell who holds the blocks of those that were lost
                self.close()
            raise
        self._note_seconds(piece.seconds for _, piece in asked.pieces())
        return sums

    def _total(self, parts_of_workers: Iterable[list[Part]]) -> Any:
        return added(len(self._sources), parts_of_workers).total()

    def _note_seconds(self, told: Iterable[dict[int, float]]) -> None:
        for seconds in told:
            for index, one in seconds.items():
                self._seconds[index] = one

    # --- workers are lost -----------------------------------------------------------------------------------------

    def _reassigned(self, gone: Mapping[Member, Exception]) -> Iterator[tuple[Member, list[int]]]:
        """New members for the blocks of workers that were lost, or were started and could not answer."""
        for member, error in gone.items():
            if isinstance(error, Lost):
                self._lose(member, str(error))
            else:
                logger.warning("%s is given up, as it could not take blocks %s: %s", member, runs(member.blocks), error)
                self._remove(member, self._cluster.end)
        for member, error in gone.items():
            yield from self._reassign(member.blocks, None if isinstance(error, Lost) else error)

    def _lose(self, member: Member, reason: str) -> None:
        """A worker is gone, with all that it held.

        Raises
        ------
        EngineError
            It was one too many.
        """
        if member in self._members:
            self._members.remove(member)
        self._cluster.kill(member.worker)
        held = f" with blocks {runs(member.blocks)}" if member.blocks else ""
        loss = f"{member} of {self._target} was lost{held} ({reason})"
        self._losses.append(loss)
        left = self._limits.max_failures - len(self._losses)
        if left < 0:
            self.close()
            raise EngineError(f"{loss}, and max_failures={self._limits.max_failures} allows no more losses")
        logger.warning("%s; %d more losses allowed", loss, left)

    def _reassign(self, blocks: list[int], error: Exception | None) -> list[tuple[Member, list[int]]]:
        """New members for blocks: a fresh worker, else all that are left; after an error, those that have answered.

        Raises
        ------
        EngineError
            There is none. After an error, that error is raised.
        """
        self._forget_moves()
        fresh = None if error else self._fresh()
        left = [member for member in self._members if member.proven or not error]
        takers = [fresh] if fresh else sorted(left, key=lambda member: len(member.blocks))
        if error and not takers:
            raise error
        if not takers:
            self.close()
            raise EngineError(
                f"no worker is left, and none could be started within {self._limits.start_timeout:g} s: "
                f"{self._cluster.shortage()}. Lost were: {'; '.join(self._losses)}"
            )
        homes = list(zip(takers, split(blocks, len(takers)), strict=False))
        for member, share in homes:
            member.blocks = sorted([*member.blocks, *share])
        logger.info("blocks %s go to %s", runs(blocks), ", ".join(str(member) for member, _ in homes))
        return homes

    def _fresh(self) -> Member | None:
        """A worker that runs; None where none can be had soon, and there are others."""
        most = self._limits.start_timeout
        until = time.monotonic() + (min(_PATIENCE, most) if self._members else most)
        while True:
            if self._newcomers or self._cluster.room() > 0:
                if not self._newcomers:
                    self._begin(1)
                before = len(self._members)
                self._end_unused(self._admit(min(_REPLACE, most) if self._members else most), self._cluster.kill)
                if len(self._members) > before:
                    return self._members[-1]
                self._end_unused(
                    {call.member: "it did not start in time" for call in self._newcomers}, self._cluster.kill
                )
                self._newcomers = []
            if time.monotonic() > until:
                return None
            time.sleep(0.05)

    def _end_unused(self, failed: Mapping[Member, str], end: Callable[[Any], None]) -> None:
        """End workers that held nothing yet."""
        for member, reason in failed.items():
            logger.warning("%s was started in vain: %s", member, reason)
            end(member.worker)

    # --- workers come, and blocks move between passes -------------------------------------------------------------

    def _begin(self, workers: int) -> None:
        """Start so many newcomers, with the lowest numbers that are free."""
        for _ in range(workers):
            taken = {member.number for member in [*self._members, *(call.member for call in self._newcomers)]}
            number = next(number for number in itertools.count() if number not in taken)
            member = Member(number, self._cluster.start())
            self._newcomers.append(Call(member, [], self._cluster.call(member.worker, "ready")))

    def _start_workers(self, wanted: int) -> None:
        until = time.monotonic() + self._limits.start_timeout
        while len(self._members) < wanted:
            self._begin(wanted - len(self._members) - len(self._newcomers))
            for member, reason in self._admit(until - time.monotonic()).items():
                self._lose(member, reason)
            if self._newcomers and time.monotonic() >= until:
                raise EngineError(
                    f"{wanted} workers did not start within {self._limits.start_timeout:g} s: "
                    f"{self._cluster.shortage()}. Wait for other work to end, or ask for fewer workers"
                )
        self._members.sort(key=lambda member: member.number)

    def _admit(self, timeout: float) -> dict[Member, str]:
        """Make members of the newcomers that run; returns those that never will, and why."""
        calls = self._newcomers
        outcomes = self._cluster.collect([call.answer for call in calls], max(0.0, timeout))
        failed, running = {}, []
        for place, outcome in outcomes.items():
            if isinstance(outcome, Exception):
                failed[calls[place].member] = str(outcome)
            else:
                calls[place].member.processor = outcome
                running.append(calls[place].member)
        waiting = [call for place, call in enumerate(calls) if place not in outcomes]
        self._members, self._newcomers = [*self._members, *running], waiting
        self._compare_processors()
        return failed

    def _compare_processors(self) -> None:
        kinds: dict[tuple[str, str], list[int]] = {}
        for member in self._members:
            kinds.setdefault(member.processor, []).append(member.number)
        if len(kinds) > 1 and not self._mixed:
            self._mixed = True
            logger.warning(
                "the workers have processors of different kinds (%s): results are reproducible to the bit only among "
                "processors of one kind; use such nodes where that matters",
                "; ".join(f"{name}: workers {runs(numbers)}" for (name, _), numbers in kinds.items()),
            )

    def _grow(self) -> None:
        """Use what the cluster has gained: start workers, and give them blocks once they run."""
        now = time.monotonic()
        if now - self._looked >= _LOOK and not self._newcomers and not self._moves:
            self._looked = now
            if self._limits.most_workers is None:
                self._target = min(max(self._target + self._cluster.grown(), 1), len(self._sources))
            missing = self._target - len(self._members)
            more = min(missing, self._cluster.room()) if missing > 0 else 0
            if self._plan(more):
                self._begin(more)
                if not more:  # the others took over from a lost worker, unevenly
                    self._rebalance()
        if self._newcomers:
            self._end_unused(self._admit(0.0), self._cluster.kill)
            limit = min(_REPLACE, self._limits.start_timeout)
            late = [call.member for call in self._newcomers if now - call.member.heard > limit]
            # Only ended: what it waits for may be the work of others.
            self._end_unused(dict.fromkeys(late, f"it does not run after {limit:g} s"), self._cluster.end)
            self._newcomers = [call for call in self._newcomers if call.member not in late]
            self._uneven = True
        if self._uneven and not self._newcomers and not self._moves:  # no block is in two moves at a time
            self._uneven = False
            self._rebalance()

    def _watch(self) -> None:
        """Find stragglers; move blocks away from one that has cost more time than moving does."""
        holders = [member for member in self._members if member.blocks]
        if len(holders) < 2:
            return
        times = [sum(self._seconds[block] for block in member.blocks) for member in holders]
        rows = [sum(self._rows[block] for block in member.blocks) for member in holders]
        paces = [one / many for one, many in zip(times, rows, strict=True)]
        for place, member in enumerate(holders):
            others = statistics.median([*paces[:place], *paces[place + 1 :]])
            if paces[place] <= _STRAGGLER * others:
                member.slow, member.waste, member.slowness = 0, 0.0, 1.0
                continue
            member.slow += 1
            if member.slow > 1:  # once is chance, such as compiling
                member.waste += times[place] - others * rows[place]
            if member.waste < _NOTICEABLE:
                continue
            if member.slowness == 1.0:
                logger.warning(
                    "%s is a straggler: for a row it needs %.1f times as long as the others (%.3g s for blocks %s)",
                    member, paces[place] / others, times[place], runs(member.blocks),
                )  # fmt: skip
            member.slowness = paces[place] / others
            read = sum(self._read_seconds[block] for block in member.blocks)
            if member.waste > read and not self._moves and not self._newcomers:
                member.waste = 0.0
                self._rebalance()

    def _plan(self, more: int = 0) -> list[Move]:
        """Moves that would speed up the members and so many newcomers."""
        pace = [member.slowness for member in self._members] + [1.0] * more
        assignment = [member.blocks for member in self._members] + [[] for _ in range(more)]
        refusing = [place for place, member in enumerate(self._members) if member.refuses]
        return moves(assignment, lambda place, block: self._rows[block] * pace[place], len(self._sources), refusing)

    def _rebalance(self) -> None:
        """Start to move whole blocks to the workers that would be done first."""
        ways: dict[int, tuple[int, int]] = {}
        for block, donor, receiver in self._plan():  # which may move one on and on
            ways[block] = (ways[block][0] if block in ways else donor, receiver)
        together: dict[tuple[int, int], list[int]] = {}
        for block, way in ways.items():
            together.setdefault(way, []).append(block)
        for (donor, receiver), blocks in together.items():
            if donor == receiver:
                continue
            taker = self._members[receiver]
            self._moves.append(_Move(self._members[donor], Call(taker, blocks, self._take(taker, blocks))))

    def _finish_moves(self) -> None:
        """Blocks that stand at their new worker are asked there from now on."""
        if not self._moves:
            return
        started = self._moves
        outcomes = self._cluster.collect([move.call.answer for move in started], 0.0)
        for place, outcome in sorted(outcomes.items()):
            move = started[place]
            if isinstance(outcome, Changed):
                raise outcome
            # What an interrupt divides is done again the next time.
            if isinstance(outcome, Exception):
                self._refuse(move, outcome)
            else:
                self._settle(move)
            self._moves = [other for other in self._moves if other is not move]

    def _settle(self, move: _Move) -> None:
        donor, (taker, blocks, _) = move
        if taker not in self._members:  # given up for another move; the donor still holds them
            return
        taken, left = sorted({*taker.blocks, *blocks}), [block for block in donor.blocks if block not in blocks]
        self._moved += len(donor.blocks) - len(left)
        taker.blocks, donor.blocks = taken, left  # together: no interrupt comes between
        self._drop(donor, blocks)
        logger.info("blocks %s moved from %s to %s", runs(blocks), donor, taker)

    def _refuse(self, move: _Move, error: Exception) -> None:
        """The donor still holds the blocks; who could not take them is given no more."""
        taker, blocks, _ = move.call
        if taker not in self._members:
            return
        logger.warning("%s could not take blocks %s: %s", taker, runs(blocks), error)
        self._drop(taker, blocks)
        taker.refuses = True
        if not taker.blocks:
            self._remove(taker, self._cluster.kill if isinstance(error, Lost | MemoryError) else self._cluster.end)

    def _remove(self, member: Member, end: Callable[[Any], None]) -> None:
        """End a worker that is of no use, without another in its place."""
        end(member.worker)
        self._target = len(self._members) - 1
        self._members.remove(member)

    def _forget_moves(self) -> None:
        pending, self._moves = self._moves, []
        for move in pending:
            if move.call.member in self._members:
                self._drop(move.call.member, move.call.blocks)

    def _drop(self, member: Member, blocks: list[int]) -> None:
        member.dropping = self._cluster.call(member.worker, "drop", blocks)
