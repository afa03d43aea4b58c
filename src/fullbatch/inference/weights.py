"""What sample weights mean: rows that are alike, or how precise one row is."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

MEANINGS = ("frequency", "precision")

# What to do about weights that cannot be numbers of rows.
NO_COUNTS = (
    'if the weights are no numbers of rows, ask for weights="precision"; their scale does not matter then where a '
    "dispersion is estimated, or to a sandwich"
)


@dataclass(frozen=True, eq=False)
class Weights:
    """What sample weights mean.

    Parameters
    ----------
    precision : bool
        A weight divides the variance of one row; otherwise it counts rows that are alike.
    factors : (K,) array or None
        What the weights of each class are multiplied by in the loss.
    """

    precision: bool = False
    factors: Array | None = None

    @property
    def meaning(self) -> str:
        """As `weights=` has it."""
        return "precision" if self.precision else "frequency"

    def of_loss(self, y: Array, weight: Array) -> Array:
        """(n,) what each row's loss is multiplied by."""
        return weight if self.factors is None else weight * self.factors[y.astype(np.intp)]

    def of_squares(self, y: Array, weight: Array) -> Array:
        """(n,) what each row's squared score is multiplied by."""
        of_loss = self.of_loss(y, weight)
        return of_loss**2 if self.precision else of_loss**2 / weight

    def of_leverage(self, y: Array, weight: Array) -> Array:
        """(n,) what the curvature of a row, or of one of those it counts, is multiplied by in its leverage."""
        of_loss = self.of_loss(y, weight)
        return of_loss if self.precision else of_loss / weight


def check_meaning(weights: Any) -> None:
    """Refuse what `weights` cannot be."""
    if weights is not None and not (isinstance(weights, str) and weights in MEANINGS):
        raise ValueError(f'weights must be "frequency" or "precision", got {weights!r}')
