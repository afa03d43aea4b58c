"""What a worker keeps in memory, rows and blocks, up to a budget; it reads the others again when they are needed."""

import threading
from collections.abc import Iterable, Mapping
from typing import Any

from ..protocols.rows import Rows, Size, Source
from ._memory import Plan, allot, measured_size, resized, told_size

# A budget is spent anew when blocks turn out larger than told, by more than one such part of it.
_PARTS = 64


class BlockCache:
    """Rows or blocks by the number of the block, as far as the memory budget goes.

    Which of them are here decides how long a pass takes, and nothing else.

    Parameters
    ----------
    limit : int or None
        Bytes that the blocks may take; None for no limit.
    num_threads : int
        Blocks computed at the same time.
    """

    def __init__(self, limit: int | None, num_threads: int) -> None:
        self._limit, self._num_threads = limit, num_threads
        self._sizes: dict[int, Size | None] = {}
        self._cached: dict[int, Any] = {}
        self._lock = threading.Lock()
        self._allot()

    def add(self, sources: Mapping[int, Source]) -> None:
        """Make room for the blocks of these sources."""
        with self._lock:
            self._sizes |= {index: told_size(source) for index, source in sources.items()}
            self._allot()

    def drop(self, blocks: Iterable[int]) -> None:
        """Forget these blocks."""
        with self._lock:
            for index in blocks:
                self._sizes.pop(index, None)
                self._cached.pop(index, None)
            self._allot()

    def _allot(self) -> None:
        self._allotted = allot(self._sizes, self._limit, self._num_threads)
        self._untold = 0  # bytes beyond those that were allotted
        for index in self._cached.keys() - self._allotted.kept:
            del self._cached[index]

    @property
    def plan(self) -> Plan:
        """What is kept and what is read on each pass, as far as it is known."""
        return Plan.of(self._sizes, self._limit, self._num_threads, self._allotted)

    @property
    def lanes(self) -> int:
        """Blocks that may be read or computed at the same time, beside those that are kept."""
        return self._allotted.lanes

    def put(self, index: int, entry: Any, rows: Rows) -> None:
        """Keep rows, or the block made of them, if there is room."""
        with self._lock:
            told = self._sizes[index]
            size = self._sizes[index] = resized(told, measured_size(rows))
            self._untold += size.nbytes - (0 if told is None else told.nbytes)
            if self._limit is not None and self._untold > self._limit // _PARTS:
                self._allot()
            if index in self._allotted.kept:
                self._cached[index] = entry

    def get(self, index: int) -> Any:
        """What is kept of a block, or None."""
        return self._cached.get(index)

    def take(self, index: int) -> Any:
        """What is kept of a block, or None; it is kept no longer."""
        with self._lock:
            return self._cached.pop(index, None)

    def order(self, blocks: Iterable[int]) -> list[int]:
        """These blocks, those kept spread among those to read: reading goes on while blocks in memory are computed."""
        asked = sorted(blocks)
        away = [index for index in asked if index not in self._cached]
        if not away:
            return asked
        kept = [index for index in asked if index in self._cached]
        places = [((k + 0.5) / len(one), index) for one in (kept, away) for k, index in enumerate(one)]
        return [index for _, index in sorted(places)]

    def clear(self) -> None:
        """Keep nothing."""
        self._cached = {}
