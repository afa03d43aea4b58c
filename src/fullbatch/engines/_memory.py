"""How much memory the blocks of a worker may take, and what follows: which stay there, which are read on each pass."""

import logging
import os
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..protocols.rows import Rows, Size

logger = logging.getLogger("fullbatch.plan")

# Of the memory that is free: the rest is for the answers, the solver, the page cache, and whoever else is there.
_AUTO_SHARE = 0.5
# Blocks that are read while others are computed, for each that is computed.
_AHEAD = 1

_UNITS = {"": 1, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "KI": 2**10, "MI": 2**20, "GI": 2**30, "TI": 2**40}


def check_memory(memory: int | str) -> int | None:
    """The bytes that are meant; None for "auto".

    Raises
    ------
    ValueError
        It is neither "auto" nor an amount of memory.
    """
    if memory == "auto":
        return None
    amount: float = -1
    if isinstance(memory, str):
        found = re.fullmatch(r"([\d.]+)\s*([KMGT]?I?)B?", memory.strip().upper())
        if found and found[2] in _UNITS and re.fullmatch(r"\d+\.?\d*|\.\d+", found[1]):
            amount = float(found[1]) * _UNITS[found[2]]
    elif isinstance(memory, int | float) and not isinstance(memory, bool):
        amount = memory
    if not 0 < amount < float("inf"):
        raise ValueError(f'memory must be "auto", bytes, or a text like "2GB" or "500MiB", got {memory!r}')
    return int(amount)


def budget(memory: int | str, workers: int = 1) -> int | None:
    """Bytes that the blocks of one worker may take; None where nothing is known of this machine's memory.

    Parameters
    ----------
    memory : int or str
        As told to an engine; for "auto" half of what is free now, divided by the workers.
    workers : int
        That may share this machine.
    """
    told = check_memory(memory)
    if told is not None:
        return told
    free = available_memory()
    return None if free is None else int(free * _AUTO_SHARE / workers)


def available_memory() -> int | None:
    """Bytes that this process may still take: of the machine, and of the control groups it is in."""
    free = []
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            free.append(1024 * int(line.split()[1]))
    if not free and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        free.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    free += _free_in_groups()
    return max(min(free), 0) if free else None


def _free_in_groups(root: str = "/sys/fs/cgroup", own: str = "/proc/self/cgroup") -> list[int]:
    """What the limits of control groups, of version 1 or 2, leave."""
    free = []
    for line in _lines(own):
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        top = Path(root, "memory") if controllers else Path(root)
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes") if controllers else ("memory.max", "memory.current")
        group = top / path.lstrip("/")
        for folder in (group, *group.parents):
            limit, used = (_lines(folder / name) for name in names)
            if limit and used and limit[0] != "max":
                stat = dict(row.split() for row in _lines(folder / "memory.stat"))
                idle = stat.get("total_inactive_file", stat.get("inactive_file", 0))  # pages of files: given up first
                free.append(int(limit[0]) - int(used[0]) + int(idle))
            if folder == top:
                break
    return free


def _lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:  # another system, or not for this user
        return []


def told_size(source: Any) -> Size | None:
    """What a source tells of its size without being read; None where it does not."""
    return getattr(source, "size", None)


def measured_size(rows: Rows) -> Size:
    """The size of rows that were read."""
    X = rows.X
    arrays = [X.data, X.indices, X.indptr] if hasattr(X, "indptr") else [X]
    arrays += [array for array in (rows.y, rows.weight, rows.offset) if array is not None]
    arrays += [category.codes for category in rows.categories]
    return Size(X.shape[0], sum(array.nbytes for array in arrays))


class Allotment(NamedTuple):
    """Which blocks stay in memory, how many are read or computed at a time, and the bytes expected at the most."""

    kept: frozenset[int]
    lanes: int
    peak: int


def allot(sizes: Mapping[int, Size | None], limit: int | None, num_threads: int) -> Allotment:
    """Spend a memory budget: all blocks if they fit, else the first ones, and room to read the others.

    Parameters
    ----------
    sizes : mapping of int to Size or None
        Of each block; those of which nothing is known count as nothing.
    limit : int or None
        Bytes; None for no limit.
    num_threads : int
        Blocks computed at the same time.
    """
    known = {index: size for index, size in sizes.items() if size is not None and not size.held}
    peak = expected_peak(known, known.keys(), num_threads)
    if limit is None or peak <= limit:
        return Allotment(frozenset(sizes), num_threads, peak)
    shared = max(size.shared for size in known.values())
    lane = max(size.nbytes for size in known.values()) + max(size.reading for size in known.values())
    lanes = min(max((limit - shared) // max(lane, 1), 1), (1 + _AHEAD) * num_threads)
    peak = expected_peak(known, (), lanes)
    kept = set(sizes) - set(known)
    for index, size in known.items():
        if peak + size.nbytes > limit:
            break
        kept.add(index)
        peak += size.nbytes
    return Allotment(frozenset(kept), lanes, peak)


def expected_peak(sizes: Mapping[int, Size], kept: Collection[int], lanes: int) -> int:
    """Bytes at the most of blocks that are kept, and of those that are read or computed beside them."""
    reading = max((size.reading for size in sizes.values()), default=0)
    shared = max((size.shared for size in sizes.values()), default=0)
    away = max((size.nbytes for size in sizes.values()), default=0) if sizes.keys() - kept else 0
    return sum(size.nbytes for index, size in sizes.items() if index in kept) + lanes * (away + reading) + shared


@dataclass(frozen=True)
class Plan:
    """What an engine is about to do with the data.

    Parameters
    ----------
    rows : int or None
        Of all blocks; None before they are read, where the sources do not tell.
    nbytes : int or None
        What they take in memory.
    blocks, streamed : int
        How many blocks there are, and how many of them are read again on each pass.
    streamed_bytes : int
        What the latter would take in memory.
    workers, num_threads : int
        Workers, and blocks that each computes at the same time.
    budget : int or None
        Bytes that the blocks of a worker may take; None for no limit. The smallest of all workers'.
    peak : int
        Bytes that the blocks of a worker are expected to take at the most. The largest of all workers'.
    """

    rows: int | None
    nbytes: int | None
    blocks: int
    streamed: int
    streamed_bytes: int
    workers: int
    num_threads: int
    budget: int | None
    peak: int

    @classmethod
    def of(cls, sizes: Mapping[int, Size | None], limit: int | None, num_threads: int, allotted: Allotment) -> "Plan":
        """The plan of one worker: by the allotment in force, and what is known of sizes by now."""
        streamed = [size for index, size in sizes.items() if size is not None and index not in allotted.kept]
        known = [size for size in sizes.values() if size is not None]
        complete = len(known) == len(sizes)
        return cls(
            sum(size.rows for size in known) if complete else None,
            sum(size.nbytes for size in known) if complete else None,
            len(sizes),
            len(streamed),
            sum(size.nbytes for size in streamed),
            1,
            num_threads,
            limit,
            expected_peak(
                {index: size for index, size in sizes.items() if size is not None and not size.held},
                allotted.kept,
                allotted.lanes,
            ),
        )

    def __add__(self, other: "Plan") -> "Plan":
        budgets = [one.budget for one in (self, other) if one.budget is not None]
        return Plan(
            None if self.rows is None or other.rows is None else self.rows + other.rows,
            None if self.nbytes is None or other.nbytes is None else self.nbytes + other.nbytes,
            self.blocks + other.blocks,
            self.streamed + other.streamed,
            self.streamed_bytes + other.streamed_bytes,
            self.workers + other.workers,
            max(self.num_threads, other.num_threads),
            min(budgets, default=None),
            max(self.peak, other.peak),
        )

    def log(self) -> "Plan":
        """Tell it, and warn if it does not keep to the budget; itself."""
        logger.info("%s", self)
        if self.budget is not None and self.peak > self.budget:
            logger.warning(
                "one block, and what is read for it, takes %s and the memory budget is %s: give more memory, more "
                "blocks, or files of smaller row groups",
                in_bytes(self.peak),
                in_bytes(self.budget),
            )
        return self

    def __str__(self) -> str:
        blocks = f"{self.blocks} block{'s' * (self.blocks != 1)}"
        if self.rows is None or self.nbytes is None:
            data = f"{blocks} of a size that is known once they are read"
        else:
            data = f"{self.rows:,} rows in {blocks}, {in_bytes(self.nbytes)}"
        stay = "all stay in memory"
        if self.streamed:
            stay = f"{self.streamed} of them ({in_bytes(self.streamed_bytes)}) are read on each pass"
        each = " each" if self.workers > 1 else ""
        workers = f"workers: {self.workers} of {self.num_threads} thread{'s' * (self.num_threads > 1)}"
        limit = "no memory budget" if self.budget is None else f"memory budget {in_bytes(self.budget)}{each}"
        peak = f"expected peak {in_bytes(self.peak)}{each}" if self.peak or self.rows is None else "nothing is copied"
        return f"{data}: {stay}; {workers}; {limit}, {peak}"


def in_bytes(count: int) -> str:
    """A readable number of bytes."""
    size = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"


def resized(told: Size | None, measured: Size) -> Size:
    """What is known of a block once its rows were read: by measure, unless its source holds them anyway."""
    if told is None:
        return measured
    return told if told.held else told._replace(rows=measured.rows, nbytes=measured.nbytes)
