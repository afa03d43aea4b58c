"""What an engine for a cluster must bring along; `_supervisor.py` does the rest."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from ..protocols.rows import Source


class Lost(Exception):
    """What became of an answer whose worker is gone."""


class Cluster(Protocol):
    """The few things that can be done with workers in other processes."""

    def start(self) -> Any:
        """A fresh `RemoteWorker`, at once: it need not run yet."""
        ...

    def call(self, worker: Any, method: str, *args: Any, pieces: int = 1) -> Any:
        """Start a call; a worker serves its calls in their order.

        What comes back stands for the answer: to collect it, or, if it is one piece, as an argument of another call.
        An answer of several pieces is a list of that length, and each may travel on its own.
        """
        ...

    def collect(self, calls: Sequence[Any], timeout: float) -> dict[int, Any]:
        """Answers, by the place of their call.

        Returns all of them; or sooner those there are, such as when one has failed or `timeout` seconds are over. The
        answer of a call that failed is its exception: `Lost` if a worker is gone.
        """
        ...

    def by_locality(self, workers: Sequence[Any], shares: Sequence[Sequence[Source]]) -> list[int]:
        """The number of each worker's share, where it makes a difference who reads what."""
        ...

    def put(self, value: Any) -> Any:
        """Store an argument of several calls once; what comes back is passed in its place."""
        ...

    def end(self, worker: Any) -> None:
        """End a worker that is not needed any more."""
        ...

    def kill(self, worker: Any) -> None:
        """End a worker that counts as lost, in whatever state it is."""
        ...

    def room(self) -> int:
        """How many more workers would start now."""
        ...

    def grown(self) -> int:
        """How many workers more, or less, its nodes can hold than when this was last asked."""
        ...

    def shortage(self) -> str:
        """What there is room for, in words."""
        ...

    def is_open(self) -> bool:
        """Whether workers can be called at all."""
        ...


class Limits(NamedTuple):
    """What an engine puts up with.

    Parameters
    ----------
    most_workers : int or None
        Never more; None for as many as the cluster holds.
    max_failures : int
        Workers that may be lost.
    timeout : float
        Seconds without an answer after which a worker counts as lost.
    start_timeout : float
        Seconds for workers to start.
    """

    most_workers: int | None
    max_failures: int
    timeout: float
    start_timeout: float

    def check(self) -> None:
        """Refuse what makes no sense."""
        if self.most_workers is not None and self.most_workers < 1:
            raise ValueError(f"num_workers must be at least 1, got {self.most_workers}")
        if self.max_failures < 0:
            raise ValueError(f"max_failures must be 0 or more, got {self.max_failures}")
        for name in ("timeout", "start_timeout"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
