"""Axes to draw on, where matplotlib is there."""

from typing import Any


def new_axes(rows: int = 1, columns: int = 1) -> Any:
    """Axes of matplotlib, in a figure of their own: one, or an array of them.

    Raises
    ------
    ModuleNotFoundError
        There is no matplotlib.
    """
    try:
        from matplotlib.pyplot import subplots
    except ImportError:
        raise ModuleNotFoundError("plots need matplotlib, which is not installed: pip install matplotlib") from None
    return subplots(rows, columns, figsize=(4.8 * columns + 1.6, 4.8 * rows), layout="constrained")[1]
