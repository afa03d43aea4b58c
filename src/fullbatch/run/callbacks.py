"""What may be done at every accepted iterate: show it, keep it, or end the run. None of it touches the data."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy.typing as npt

from ..machine.vectors import norm

if TYPE_CHECKING:
    from rich.console import Console

Array = npt.NDArray[Any]


class Iterate(NamedTuple):
    """An accepted iterate, as callbacks see it.

    Parameters
    ----------
    iteration : int
        0 for the starting point.
    theta, grad : (size,) arrays
        Not to be written to.
    value : float
        F(theta).
    passes : int
        Reads of the whole data so far.
    seconds : float
        Since the run began.
    optimality : float
        What is compared with `tol`.
    """

    iteration: int
    theta: Array
    value: float
    grad: Array
    passes: int
    seconds: float
    optimality: float

    @property
    def grad_norm(self) -> float:
        """Euclidean norm of the gradient."""
        return norm(self.grad)


# Called at every accepted iterate, the starting point included. True, or a text that says why, ends the run. Its method
# `end_of_run`, if it has one, is called when the run has ended, however it did.
Callback = Callable[[Iterate], Any]


def check_callbacks(callbacks: Any) -> None:
    """Refuse what is no sequence of callables."""
    if isinstance(callbacks, str | bytes) or not isinstance(callbacks, Sequence) or not all(map(callable, callbacks)):
        raise ValueError(f"callbacks must be a sequence of callables, such as [History()], got {callbacks!r}")


@dataclass
class Progress:
    """A line on the screen for every iterate: iteration, F, gradient norm, passes, seconds.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to; default: standard error.
    every : float
        Least seconds between lines, so that fast runs do not flood the screen; the first and the last are always shown.
    """

    console: "Console | None" = None
    every: float = 0.2
    _next: float = field(default=0.0, init=False, repr=False)
    _waiting: Iterate | None = field(default=None, init=False, repr=False)
    _running: bool = field(default=False, init=False, repr=False)

    def __call__(self, iterate: Iterate) -> None:
        if self.console is None:
            from rich.console import Console

            self.console = Console(stderr=True)
        if not self._running or iterate.iteration == 0:
            self._running, self._next = True, 0.0
            self.console.print(
                f"{'iteration':>9} {'F':>16} {'|gradient|':>11} {'passes':>7} {'seconds':>8}", highlight=False
            )
        now = time.monotonic()
        if now < self._next:
            self._waiting = iterate
            return
        self._next = now + self.every
        self._show(iterate)

    def end_of_run(self) -> None:
        """The run has ended: show where, unless that was shown."""
        if self._waiting is not None:
            self._show(self._waiting)
        self._running = False

    def _show(self, iterate: Iterate) -> None:
        assert self.console is not None
        self._waiting = None
        self.console.print(
            f"{iterate.iteration:>9} {iterate.value:>16.10g} {iterate.grad_norm:>11.3e} "
            f"{iterate.passes:>7} {iterate.seconds:>8.2f}",
            highlight=False,
        )


class _Lines(logging.Handler):
    """Shows what is logged, a line each."""

    def emit(self, record: logging.LogRecord) -> None:
        from rich.console import Console

        Console(stderr=True).print(record.getMessage(), highlight=False)


@contextmanager
def compiling_shown() -> Iterator[None]:
    """A line on the screen for each kernel that is being compiled, which takes seconds."""
    logger, lines = logging.getLogger("fullbatch.compile"), _Lines()
    before = logger.level
    logger.addHandler(lines)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.setLevel(before)
        logger.removeHandler(lines)


@dataclass
class History:
    """Keeps F, gradient norm, passes and seconds of every iterate, one list each."""

    value: list[float] = field(default_factory=list)
    grad_norm: list[float] = field(default_factory=list)
    passes: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def __call__(self, iterate: Iterate) -> None:
        self.value.append(iterate.value)
        self.grad_norm.append(iterate.grad_norm)
        self.passes.append(iterate.passes)
        self.seconds.append(iterate.seconds)


@dataclass(frozen=True)
class TimeLimit:
    """Ends the run at the first iterate after this many seconds."""

    seconds: float

    def __call__(self, iterate: Iterate) -> str:
        return f"the time limit of {self.seconds:g} s is over" if iterate.seconds >= self.seconds else ""


@dataclass(frozen=True)
class StopWhen:
    """Ends the run at the first iterate for which `condition` holds.

    Parameters
    ----------
    condition : callable
        Of an `Iterate`.
    reason : str
        What the result will say.
    """

    condition: Callable[[Iterate], bool]
    reason: str = "the stop condition holds"

    def __call__(self, iterate: Iterate) -> str:
        return self.reason if self.condition(iterate) else ""
