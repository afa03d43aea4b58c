"""BLAS and LAPACK with one thread: their sums depend on the number of threads, and ours must not."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

_lock = threading.Lock()
_inside = 0
_limit: Any = None


@contextmanager
def one_thread() -> Iterator[None]:
    """While any thread is inside, BLAS and LAPACK calls of this process run on the thread that makes them.

    The limit is one of the whole process: the first to come in sets it, the last to leave lifts it.
    """
    global _inside, _limit
    with _lock:
        if _inside == 0:
            _limit = _controller().limit(limits=1, user_api="blas")
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                _limit.restore_original_limits()


@cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401  its libraries must be loaded to be found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
