"""The limited memory of L-BFGS: the latest steps and gradient changes, and the inverse Hessian they stand for."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.vectors import dot, norm

Array = npt.NDArray[Any]
Vectors = tuple[Array, ...]


# B0^-1 times each row of an (m, size) array.
Inverse = Callable[[Array], Array]


def times_inverse(vector: Array, steps: Vectors, changes: Vectors, inverse: Inverse | None = None) -> Array:
    """B^-1 vector by the two-loop recursion (Nocedal and Wright, 2006, algorithm 7.4).

    Parameters
    ----------
    vector : (size,) array
    steps, changes : tuples of (size,) arrays
        Steps s and gradient changes y, oldest first; at least one pair unless there is an `inverse`.
    inverse : callable, optional
        The initial matrix, which is then scaled to the latest pair; default: the identity.
    """
    q = vector.copy()
    alphas = []
    for s, y in zip(reversed(steps), reversed(changes), strict=True):
        alpha = dot(s, q) / dot(s, y)
        q -= alpha * y
        alphas.append(alpha)
    if inverse is None:
        s, y = steps[-1], changes[-1]
        q *= dot(s, y) / dot(y, y)
    elif steps:
        s, y = steps[-1], changes[-1]
        q, of_y = inverse(np.array((q, y)))
        q *= dot(s, y) / dot(y, of_y)
    else:
        (q,) = inverse(q[None])
    for s, y, alpha in zip(steps, changes, reversed(alphas), strict=True):
        q += (alpha - dot(y, q) / dot(s, y)) * s
    return q


def remember(
    steps: Vectors, changes: Vectors, s: Array, y: Array, most: int, least_cosine: float
) -> tuple[Vectors, Vectors]:
    """The pairs with (s, y) added and the oldest dropped beyond `most`.

    A pair is declined unless s'y > least_cosine |s| |y|: the curvature along s must be positive beyond rounding,
    whatever the units of theta and F.
    """
    if not dot(s, y) > least_cosine * norm(s) * norm(y):
        return steps, changes
    return (*steps, s)[-most:], (*changes, y)[-most:]
