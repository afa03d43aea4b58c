"""Work of the driver on several threads, with the same bits on any number of them."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from .blas import one_thread
from .cpus import available_cpus

T = TypeVar("T")

# Calls that are made at the same time, at the most: what memory is reckoned with, whatever the machine.
THREADS = 4


def in_threads(task: Callable[[Any], T], items: Iterable[Any]) -> list[T]:
    """`task` of each item, with BLAS on one thread each. How the work is cut into items is for shapes alone to say."""
    with one_thread(), ThreadPoolExecutor(min(THREADS, available_cpus())) as pool:
        return list(pool.map(task, items))
