"""BLAS and LAPACK with one thread: their sums depend on the number of threads, and ours must not."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_lock = threading.Lock()
_inside = 0
_before: list[int] = []  # threads of each library when nobody was inside


@contextmanager
def one_thread() -> Iterator[None]:
    """While any thread is inside, BLAS and LAPACK calls of this process run on the thread that makes them.

    The limit of most libraries is one of the whole process: the last to leave lifts it. That of others is one of each
    thread, which sets and lifts its own.
    """
    global _inside
    libraries = _libraries()
    with _lock:
        if _inside == 0:
            _before[:] = [library.num_threads for library in libraries]
        _inside += 1
        for library in libraries:
            _set(library, 1)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            for library, threads in zip(libraries, _before, strict=True):
                if _inside == 0 or getattr(library, "threading_layer", "") == "openmp":
                    _set(library, threads)


def _set(library: Any, threads: int) -> None:
    # Since threadpoolctl 3.8 only the thread that set a limit first can set others: for all others that does nothing,
    # in silence, until that thread lets go, or is made to.
    let_go = getattr(library, "clear_controlling_thread", None)
    if let_go is None:
        library.set_num_threads(threads)
        return
    let_go(force=True)
    library.set_num_threads(threads)
    let_go(force=True)


@cache
def _libraries() -> list[Any]:
    import scipy.linalg  # noqa: F401  its libraries must be loaded to be found
    from threadpoolctl import ThreadpoolController

    return list(ThreadpoolController().select(user_api="blas").lib_controllers)
