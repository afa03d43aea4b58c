"""The fixed summation tree: floating-point sums that do not depend on who adds what, or when.

Block ids are the leaves. The node at (level, index) covers the blocks [index * 2**level, (index + 1) * 2**level).
A worker adds whatever its own blocks complete and hands the rest on; the driver goes on with those parts. Every
addition has the same two operands whichever way the blocks are spread, so the root has the same bits.
"""

import threading
from collections.abc import Iterable
from typing import Any, NamedTuple


class Part(NamedTuple):
    """The sum under one node of the tree."""

    level: int
    position: int
    value: Any


class TreeSum:
    """Adds parts as they arrive, in any order and from any thread.

    Parameters
    ----------
    leaves : int
        Number of blocks in the whole tree.
    """

    def __init__(self, leaves: int) -> None:
        self._last = leaves - 1
        self._waiting: dict[tuple[int, int], Any] = {}
        self._lock = threading.Lock()

    def add(self, part: Part) -> None:
        """Add one part, and go up the tree as far as its siblings are there."""
        level, index, value = part
        while self._last >> level:  # below the root
            sibling = index ^ 1
            if sibling <= self._last >> level:  # else the node has no sibling and goes up as it is
                with self._lock:
                    if (level, sibling) not in self._waiting:
                        self._waiting[level, index] = value
                        return
                    other = self._waiting.pop((level, sibling))
                value = other + value if sibling < index else value + other
            level, index = level + 1, index >> 1
        self._waiting[level, index] = value

    def parts(self) -> list[Part]:
        """What stands unfinished: the sums to hand on."""
        return [Part(level, index, value) for (level, index), value in sorted(self._waiting.items(), key=_key)]

    def total(self) -> Any:
        """The root, once every leaf was added."""
        ((level, index, value),) = self.parts()
        if self._last >> level or index:
            raise AssertionError(f"the sum is not complete: it stands at level {level}, index {index}")
        return value


def added(leaves: int, lists: Iterable[list[Part]]) -> TreeSum:
    """The tree with the parts from several workers in it."""
    tree = TreeSum(leaves)
    for parts in lists:
        for part in parts:
            tree.add(part)
    return tree


def _key(item: tuple[tuple[int, int], Any]) -> tuple[int, int]:
    return item[0]
