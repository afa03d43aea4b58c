"""Which worker holds which blocks: runs of neighbours, so that a worker's answer is few parts of the summation tree."""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from .tree import Part, TreeSum


class Move(NamedTuple):
    """One block goes from one worker to another, both by their place in the assignment."""

    block: int
    donor: int
    receiver: int


def split(blocks: Sequence[int], workers: int) -> list[list[int]]:
    """Runs of near-equal length, none of them empty."""
    return [run.tolist() for run in np.array_split(np.array(blocks, int), workers) if len(run)]


@lru_cache(maxsize=4096)
def parts(blocks: frozenset[int], leaves: int) -> int:
    """How many parts of the summation tree these blocks are."""
    tree = TreeSum(leaves)
    for block in blocks:
        tree.add(Part(0, block, 0))
    return len(tree.parts())


def moves(
    assignment: Sequence[Sequence[int]],
    seconds: Callable[[int, int], float],
    leaves: int,
    refusing: Iterable[int] = (),
) -> list[Move]:
    """Blocks to move so that the slowest worker is done earlier; none if that cannot be had.

    Parameters
    ----------
    assignment : sequence of sequences of int
        Blocks of each worker.
    seconds : callable
        `seconds(place, block)`: what the worker in that place of `assignment` needs for the block.
    leaves : int
        Number of all blocks.
    refusing : iterable of int
        Places that receive nothing.
    """
    receivers = sorted(set(range(len(assignment))) - set(refusing))
    if not receivers:
        return []
    held = [frozenset(blocks) for blocks in assignment]
    times = [sum(seconds(place, block) for block in blocks) for place, blocks in enumerate(held)]
    slowest, planned = max(times), list[Move]()
    while True:
        donor, receiver = int(np.argmax(times)), min(receivers, key=lambda place: times[place])
        mine, other = held[donor], held[receiver]
        helpful = [
            block
            for block in sorted(mine)
            # From the ends of its runs: what stays and what goes are few parts of the tree.
            if not mine >= {block - 1, block + 1}
            # For less than half a block's time nothing is moved.
            and times[receiver] + seconds(receiver, block) < times[donor] - seconds(donor, block) / 2
        ]
        if not helpful:
            return planned if max(times) < slowest else []
        block = min(helpful, key=lambda end: parts(mine - {end}, leaves) + parts(other | {end}, leaves))
        planned.append(Move(block, donor, receiver))
        held[donor], held[receiver] = mine - {block}, other | {block}
        times[donor] -= seconds(donor, block)
        times[receiver] += seconds(receiver, block)


def runs(blocks: Iterable[int]) -> str:
    """Numbers in words: "0..2, 5"."""
    told: list[list[int]] = []
    for block in sorted(blocks):
        if told and block == told[-1][1] + 1:
            told[-1][1] = block
        else:
            told.append([block, block])
    return ", ".join(str(first) if first == last else f"{first}..{last}" for first, last in told)
