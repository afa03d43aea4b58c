"""How the workers of a cluster fare, as `blocks.health` tells it."""

from dataclasses import dataclass

from ..protocols.rows import Array


@dataclass(frozen=True, slots=True, eq=False)
class Health:
    """How the workers fare, for metrics and reports.

    Parameters
    ----------
    workers : int
        That hold blocks now.
    losses : int
        Workers lost so far.
    moved : int
        Blocks that went from one living worker to another so far.
    seconds : (blocks,) float64 array
        What each block took to answer the last request; before the first one, to be read and described.
    sent, received : int
        Bytes of arrays in the requests to workers, and in the answers that came here, so far.
    """

    workers: int
    losses: int
    moved: int
    seconds: Array
    sent: int
    received: int
