"""Curves of libraries that show no iterates: fits with growing limits of iterations, each from the start."""

from collections.abc import Callable

import numpy as np

from ..curve import Curve, Watch

LIMITS = (1, 2, 3, 5, 7, 10, 14, 20, 28, 40, 57, 80, 113, 160, 226, 320, 453, 640, 905, 1280)


def grow(curve: Curve, fit: Callable[[int], tuple[np.ndarray, float, bool]], seconds: float) -> Curve:
    """Add a point for each limit until one fit takes too long or the limit is not reached.

    `fit(limit)` returns theta, passes, and whether it ended before the limit.
    """
    for limit in LIMITS:
        watch = Watch()
        theta, passes, ended = fit(limit)
        curve.add(theta, passes, watch())
        if ended or watch() > seconds:
            break
    return curve
