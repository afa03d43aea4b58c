"""Which worker reads which blocks at first: the one on whose node most of them lie."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment


def by_locality(nodes: Sequence[str], homes: Sequence[Mapping[str, int]]) -> list[int]:
    """A share for each worker, so that the fewest bytes travel.

    Parameters
    ----------
    nodes : sequence of str
        Where each worker is.
    homes : sequence of mapping of str to int
        For each share, as many as there are workers: how many of its bytes are on each node.

    Returns
    -------
    list of int
        The number of each worker's share; in their order where nothing is gained otherwise.
    """
    local = np.array([[home.get(node, 0) for home in homes] for node in nodes], float)
    _, best = linear_sum_assignment(local, maximize=True)
    gained = local[np.arange(len(nodes)), best].sum() > np.trace(local)
    return [int(share) for share in best] if gained else list(range(len(nodes)))
