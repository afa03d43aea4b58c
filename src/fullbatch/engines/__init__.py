"""Engines decide where the blocks live. All of them give the same bits."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..protocols.seams import Engine

ENGINES = ("threads", "serial", "ray", "dask")


def make_engine(
    name: str, num_workers: int | None = None, memory: int | str = "auto", max_failures: int = 0
) -> "Engine":
    """An engine by name; its package is imported only now.

    Parameters
    ----------
    name : {"threads", "serial", "ray", "dask"}
        Kind of engine.
    num_workers : int, optional
        Threads, worker actors or Dask workers; default: what the machine or cluster has. Serial has one.
    memory : int or str
        What the blocks of a worker may take: "auto", bytes, or a text like "2GB".
    max_failures : int
        Workers of a cluster that may be lost.

    Raises
    ------
    ValueError
        The name is unknown.
    MissingExtraError
        The engine's package is not installed.
    """
    if name == "threads":
        from .local import ThreadEngine

        return ThreadEngine(num_workers, memory)
    if name == "serial":
        from .local import SerialEngine

        if num_workers not in (None, 1):
            raise ValueError(
                f"the serial engine has one worker, {num_workers} were asked for: use 'threads', 'ray' or 'dask'"
            )
        return SerialEngine(memory)
    if name == "ray":
        from .ray_ import RayEngine

        return RayEngine(num_workers, memory=memory, max_failures=max_failures)
    if name == "dask":
        from .dask_ import DaskEngine

        return DaskEngine(num_workers=num_workers, memory=memory, max_failures=max_failures)
    raise ValueError(f"unknown engine {name!r}: choose from {', '.join(ENGINES)}, or pass an engine object")


def is_engine(candidate: Any) -> bool:
    """Whether `candidate` can place blocks."""
    return callable(getattr(candidate, "place", None))
