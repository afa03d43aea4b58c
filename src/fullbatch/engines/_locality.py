"""Who takes which share at first: the worker on whose node most of it is already."""

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.optimize import linear_sum_assignment


def arranged(nodes: Sequence[str], homes: Sequence[Mapping[str, int]]) -> list[int]:
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
    near = np.array([[home.get(node, 0) for home in homes] for node in nodes], float)
    _, best = linear_sum_assignment(near, maximize=True)
    gained = near[np.arange(len(nodes)), best].sum() > np.trace(near)
    return [int(share) for share in best] if gained else list(range(len(nodes)))
