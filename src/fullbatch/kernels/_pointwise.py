"""Which losses there are, and how one is applied to a tile of rows.

In float64 whatever the precision of the data: that costs little beside the products with X, and the line search lives
on the last digits of the loss.
"""

# Arguments of functions that only compiled code calls go untyped: the compiler infers them.
# ruff: noqa: ANN001, ANN202
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba.extending import overload

from .compiled import INSIDE, as_written, whole_vectors

Array = npt.NDArray[Any]


class Loss(NamedTuple):
    """What the rest of the package knows of a loss.

    Parameters
    ----------
    kind : type, or callable
        Makes a named tuple of the loss' options, with their defaults.
    labels : bool
        Targets are classes, handed on as class indices; otherwise numbers.
    per_class : bool
        One linear predictor per class; otherwise one in all.
    least : float
        Least target.
    least_allowed : bool
        Whether the least target is itself allowed.
    ranges : mapping of str to (float, float)
        What each option lies between; the ends are not allowed.
    most : float
        Largest target.
    links : tuple of str
        Names of the links that the option "link" chooses from, of which the first is the usual one; none where there is
        no such option.
    """

    kind: Any
    labels: bool = False
    per_class: bool = False
    least: float = -math.inf
    least_allowed: bool = True
    ranges: Mapping[str, tuple[float, float]] = MappingProxyType({})
    most: float = math.inf
    links: tuple[str, ...] = ()


LOSSES: dict[str, Loss] = {}

# The loop over a tile of rows for each class of loss.
ROWS: dict[type, Callable] = {}


# --- a loss and a tile of rows ----------------------------------------------------------------------------------


def pointwise(loss: Any, y: Array, weight: Array, eta: Array, curvature: Array | None) -> tuple[float, float]:
    """Loss of a tile; `eta` becomes its weighted slope. To be called from compiled code.

    A row of weight zero counts nothing, even where its loss overflows.

    Parameters
    ----------
    loss : named tuple
        One of the classes of `losses` and `families`.
    y, weight : (rows,) float64 arrays
        Targets (class indices where the loss takes classes) and sample weights.
    eta : (outputs, at least rows) float64 array
        Linear predictors; overwritten by weight * d loss / d eta.
    curvature : (outputs, at least rows) float64 array or None
        Overwritten by weight * d2 loss / d eta2; for softmax, by the weight times the probabilities, from which its
        second derivatives follow. None where they are not wanted.

    Returns
    -------
    value : float
        Weighted sum of losses.
    squares : float
        Weighted sum of squared slopes, over all predictors.
    """
    raise TypeError("call it from compiled code")


@overload(pointwise, jit_options=INSIDE)
def _pointwise(loss, y, weight, eta, curvature):
    return ROWS[loss.instance_class]


def enter(name: str, kind: type, formulas: Callable, exponential: Callable | None = None, **traits: Any) -> None:
    """Enter a loss of one linear predictor: `formulas(loss, y, eta)` gives value, slope and curvature in eta.

    With `exponential(loss, eta)`, its answers for all rows come first, and `formulas(loss, y, eta, answer)` take them:
    two short loops keep a processor busier than a long one, in which each result waits for the one before.
    """
    formulas = as_written(formulas)

    def rows(loss, y, weight, eta, curvature):
        whole_vectors()
        total, squares = 0.0, 0.0
        slope_of_row = eta[0]
        for i in range(y.size):
            # A row without weight is given eta 0, where every loss is finite, so that zero times it is zero.
            w = weight[i]
            value, slope, second = formulas(loss, y[i], slope_of_row[i] if w != 0.0 else 0.0)
            total += w * value
            slope_of_row[i] = w * slope
            squares += w * slope * slope
            if curvature is not None:
                curvature[0, i] = w * second
        return total, squares

    if exponential is not None:
        exponential = as_written(exponential)

        def rows(loss, y, weight, eta, curvature):
            whole_vectors()
            total, squares = 0.0, 0.0
            slope_of_row, power = eta[0], np.empty(y.size)
            for i in range(y.size):
                e = slope_of_row[i] if weight[i] != 0.0 else 0.0
                slope_of_row[i] = e
                power[i] = exponential(loss, e)
            for i in range(y.size):
                value, slope, second = formulas(loss, y[i], slope_of_row[i], power[i])
                total += weight[i] * value
                slope_of_row[i] = weight[i] * slope
                squares += weight[i] * slope * slope
                if curvature is not None:
                    curvature[0, i] = weight[i] * second
            return total, squares

    ROWS[kind] = rows
    LOSSES[name] = Loss(kind, **traits)
