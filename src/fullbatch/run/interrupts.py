"""Signals that end a run: Ctrl-C after the evaluation under way, SIGTERM once the state is kept."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class Interrupted(Exception):
    """Ctrl-C was pressed: the evaluation it fell into has ended, no other one begins."""


@contextmanager
def ctrl_c() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets instead of breaking into an evaluation; pressed again, it raises.

    Where SIGINT is ignored, as in jobs that a shell runs in the background, it stays ignored.
    """
    pressed = threading.Event()
    in_main = threading.current_thread() is threading.main_thread()  # only the main thread may handle signals
    if not in_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield pressed
        return

    def press(signum: int, frame: Any) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()

    previous = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        # A handler that is not Python's cannot be set again.
        signal.signal(signal.SIGINT, signal.default_int_handler if previous is None else previous)


@contextmanager
def before_sigterm(act: Callable[[], None]) -> Iterator[None]:
    """What to do at once when the process is told to end, which it then does as it would have done without.

    Schedulers send SIGTERM, and SIGKILL a few seconds later: there is no time to wait for an evaluation.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def told(signum: int, frame: Any) -> None:
        signal.signal(signal.SIGTERM, previous)
        try:
            act()
        finally:
            os.kill(os.getpid(), signal.SIGTERM)

    previous = signal.signal(signal.SIGTERM, told) or signal.SIG_DFL
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)
