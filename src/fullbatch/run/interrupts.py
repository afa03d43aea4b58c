"""Signals that end a run: Ctrl-C after the evaluation under way, SIGTERM once the state is kept."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

_last_acts: list[Callable[[], None]] = []


class Interrupted(Exception):
    """Ctrl-C was pressed: the evaluation it fell into has ended, no other one begins."""


@contextmanager
def ctrl_c() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets instead of breaking into an evaluation; pressed again, it does what it did before.

    Where SIGINT is ignored, as in jobs that a shell runs in the background, it stays ignored.
    """
    pressed = threading.Event()
    in_main = threading.current_thread() is threading.main_thread()  # only the main thread may handle signals
    if not in_main or signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        yield pressed
        return

    def press(signum: int, frame: Any) -> None:
        if not pressed.is_set():
            pressed.set()
        elif callable(previous):
            previous(signum, frame)
        else:
            raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, press)
    try:
        yield pressed
    finally:
        # A handler that is not Python's cannot be set again.
        signal.signal(signal.SIGINT, signal.default_int_handler if previous is None else previous)


@contextmanager
def before_the_end(act: Callable[[], None]) -> Iterator[None]:
    """What to do at once when the process is told to end, which it then does as it would have done without.

    Schedulers send SIGTERM, and SIGKILL a few seconds later: there is no time to wait for an evaluation. The second
    Ctrl-C on the command line ends the process as suddenly.
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
    _last_acts.append(act)
    try:
        yield
    finally:
        _last_acts.remove(act)
        signal.signal(signal.SIGTERM, previous)


def last_acts() -> list[Callable[[], None]]:
    """What is still to be done before the process ends at once, whoever ends it."""
    return list(_last_acts)
