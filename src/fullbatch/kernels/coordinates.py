"""Coordinate descent on a quadratic model with L1 penalties and bounds."""

from typing import Any

import numpy.typing as npt

from .cache import kernel

Array = npt.NDArray[Any]


@kernel
def sweep(
    matrix: Array, damping: Array, curvature: Array, l1: Array, lower: Array, upper: Array, x: Array, slopes: Array
) -> None:
    """Move each coordinate in turn to the minimum of the model along it, and change the slopes with it.

    Parameters
    ----------
    matrix : (size, size) array
        Symmetric.
    damping : (size,) array
        What is added to its diagonal.
    curvature : (size,) array
        The diagonal then; infinite for coordinates that stay.
    l1, lower, upper : (size,) arrays
        Strengths and bounds.
    x : (size,) array
        Where the coordinates are; changed in place.
    slopes : (size,) array
        Of the model's smooth part there; changed in place.
    """
    for j in range(x.size):
        there, pull = x[j] - slopes[j] / curvature[j], l1[j] / curvature[j]
        there = there - pull if there > pull else there + pull if there < -pull else 0.0
        there = max(min(there, upper[j]), lower[j])
        change = there - x[j]
        if change != 0.0:
            x[j] = there
            slopes += matrix[j] * change
            slopes[j] += damping[j] * change
