"""Huber's loss with a scale that is fitted jointly: his concomitant scale estimate."""

from copy import copy
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..kernels.losses import Huber
from ..protocols.answers import Eval
from ..protocols.requests import ValueGrad
from ..protocols.rows import Rows
from ..protocols.schema import Description, Schema
from ..protocols.seams import Block, Parameters
from ._linear_block import LinearBlock
from .linear import Linear, usual_passes

Array = npt.NDArray[Any]

# Beyond, the scale or its reciprocal is infinite, or its square.
_LARGEST_LOG = 300.0


@dataclass(frozen=True)
class ScaledHuber:
    """A linear model of location and scale: theta is `coef`, the intercept if there is one, and log(scale).

    A row's loss is w (s + s H(r / s)), where r is its residual, s the scale, and H(z) is z^2 up to epsilon and
    2 epsilon |z| - epsilon^2 beyond.

    Parameters
    ----------
    epsilon : float
        Residuals of more than so many scales count as outliers.
    intercept : bool
        Whether there is one.
    passes : {"auto", "plain", "compiled"}
        As of `Linear`.
    """

    epsilon: float
    intercept: bool = True
    passes: str = field(default_factory=usual_passes)

    takes_categories: ClassVar[bool] = True

    @property
    def location(self) -> Linear:
        """The model at scale 1, halved."""
        return Linear("huber", self.intercept, options={"delta": self.epsilon}, passes=self.passes)

    def describe(self, rows: Rows, source: str) -> Description:
        """Check and describe a block's rows."""
        return self.location.describe(rows, source)

    def build(self, rows: Rows, schema: Schema, first_row: int) -> Block:
        """The block of these rows."""
        return _ScaledBlock(self.location.build(rows, schema, first_row), self.epsilon)


class _ScaledBlock(Block):
    """Rows whose loss and gradient come of those of Huber's loss with a delta of epsilon scales.

    s H(r / s) is 2 / s times that loss, and its derivative in s is minus the squared slopes over s^2.
    """

    def __init__(self, location: LinearBlock, epsilon: float) -> None:
        self._location, self._epsilon = location, epsilon
        inner = location.parameters
        self.parameters = Parameters(
            inner.size + 1,
            np.append(inner.penalized, False),
            inner.dtype,
            least=0.0,
            about=f"{inner.about}, scale fitted jointly",
        )
        self.answers = frozenset({ValueGrad})

    def evaluate(self, request: Any) -> Eval:
        """Sums over this block's rows."""
        theta = np.asarray(request.theta, np.float64)
        if theta.shape != (self.parameters.size,):
            raise ValueError(f"theta has shape {theta.shape}, it must be ({self.parameters.size},)")
        scale = float(np.exp(np.clip(theta[-1], -_LARGEST_LOG, _LARGEST_LOG)))
        block = copy(self._location)
        block._loss = Huber(self._epsilon * scale)
        block.__dict__.pop("_in_double", None)  # of another delta
        inner = block.evaluate(replace(request, theta=theta[:-1]))
        assert isinstance(inner, Eval)
        assert inner.squares is not None
        with np.errstate(over="ignore", invalid="ignore"):  # a trial point too far out: solvers look for infinities
            value = inner.weight * scale + 2.0 / scale * inner.value
            of_log = inner.weight * scale - inner.squares / scale
            return Eval(float(value), np.append(2.0 / scale * inner.grad, of_log), inner.weight)
