"""Ctrl-C on the command line: the first ends what is under way, the second ends the process, whatever it is in.

A KeyboardInterrupt is raised in the midst of whatever the main thread does, compilers and libraries of others
included, which may lose it, or tell of it in pages. So the second Ctrl-C raises none: a thread hears of every SIGINT
through Python's wakeup descriptor, also while the main thread is in compiled code, and ends the process.
"""

import os
import select
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from ..run.interrupts import last_acts

INTERRUPTED = 130


class _Presses:
    """Counts Ctrl-C in whichever thread looks first, and tells of the interrupt once."""

    def __init__(self) -> None:
        self.held = False
        self._lock = threading.RLock()  # the main thread may be interrupted while it has it
        self._heard = bytearray()
        self._told = self._ending = False
        self._telling = False  # what is said once is being said: a Ctrl-C that breaks in there must not end it
        self._here, self._there = socket.socketpair()
        self._here.setblocking(False)
        self._there.setblocking(False)

    def listen(self) -> None:
        """Begin to count; from the main thread."""
        threading.Thread(target=self._watch, name="fullbatch Ctrl-C", daemon=True).start()
        os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))  # its signals are not ours
        signal.set_wakeup_fd(self._there.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGINT, self._press)

    def count(self) -> int:
        """How many there were so far."""
        with self._lock:
            before = self._heard.count(signal.SIGINT)
            with suppress(BlockingIOError):
                self._heard += self._here.recv(4096)
            count = self._heard.count(signal.SIGINT)
            if count and not before and os.isatty(2):
                _write(b"\n")  # the terminal has shown ^C
            return count

    def tell(self, descriptor: int = 2) -> None:
        """Say that the command was interrupted, unless that was said."""
        with self._lock:
            self._telling = True
            if not self._told:
                self._told = True
                _write(b"interrupted\n", descriptor)
            self._telling = False

    def end(self) -> None:
        """End the process at once, but for what runs still want to keep; the third Ctrl-C does not wait for that."""
        with self._lock:
            if self.count() > 2:
                os._exit(INTERRUPTED)
            if self._ending:
                return
            self._telling = self._ending = True
            screen = os.dup(2)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # whatever the process is in has no more to say
            self.tell(screen)
        try:
            threading.Thread(target=_keep_and_leave, name="fullbatch end", daemon=True).start()
        except RuntimeError:  # the interpreter is ending already
            os._exit(INTERRUPTED)

    def _watch(self) -> None:
        while True:
            select.select([self._here], [], [])
            if self.count() > 1:
                self.end()

    def _press(self, signum: int, frame: Any) -> None:
        """Handle SIGINT in the main thread."""
        if self._telling:  # the thread that watches waits for the end of it, and sees to the rest
            return
        if self.count() > 1:
            self.end()
            while True:  # the process is about to end: nothing more is done here
                signal.pause()
        if not self.held:
            raise KeyboardInterrupt


_presses: _Presses | None = None


def hold() -> None:
    """From here on the first Ctrl-C breaks into nothing: there is a result to save and to show."""
    if _presses is not None:
        _presses.held = True


def tell() -> None:
    """Say that the command was interrupted, once."""
    if _presses is None:
        sys.stderr.write("interrupted\n")
    else:
        _presses.tell()


def was_interrupted() -> bool:
    """Whether Ctrl-C has broken into the command: what comes out as an error may come of it."""
    return _presses is not None and not _presses.held and _presses.count() > 0


@contextmanager
def watched() -> Iterator[None]:
    """Ends the process with one line and INTERRUPTED on the second Ctrl-C, and on the first that is not caught.

    Where SIGINT is ignored, as in jobs that a shell runs in the background, it stays ignored.
    """
    global _presses
    if os.name != "posix" or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    _presses = _Presses()
    sys.unraisablehook = _unraisable
    try:
        _presses.listen()
        yield
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
        if code == INTERRUPTED and was_interrupted():
            _presses.tell()
        _leave(code)
        raise
    except KeyboardInterrupt:
        _presses.tell()
        _leave(INTERRUPTED, pressed=True)
    _leave(0)


def _leave(code: int, pressed: bool = False) -> None:
    """End the process, if Ctrl-C was pressed; else what is left to do is Python's own, and Ctrl-C ends that at once."""
    assert _presses is not None
    if pressed or _presses.count():
        with suppress(OSError, ValueError):  # nobody reads it any more
            sys.stdout.flush()
        os._exit(code)
    signal.signal(signal.SIGINT, lambda signum, frame: os._exit(INTERRUPTED))


def _write(text: bytes, descriptor: int = 2) -> None:
    """Write to standard error, past Python's buffers, in which a signal's handler might find itself."""
    with suppress(OSError):  # nobody reads it any more
        os.write(descriptor, text)


def _keep_and_leave() -> NoReturn:
    try:
        for act in last_acts():
            act()
    finally:
        os._exit(INTERRUPTED)


def _unraisable(lost: Any) -> None:
    """A KeyboardInterrupt that Python can raise nowhere, as in a callback of C, would be lost."""
    if lost.exc_type is not KeyboardInterrupt:
        sys.__unraisablehook__(lost)
        return
    assert _presses is not None
    _presses.tell()
    os._exit(INTERRUPTED)
