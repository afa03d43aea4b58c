"""What fits to some of the rows are measured by: the null model of these rows, not of all."""

from collections.abc import Sequence
from functools import reduce
from operator import add

from ..objective.objective import Objective
from ..protocols.requests import DrawnNull
from ..protocols.sampling import Draw

# What the mean loss cannot fall below, and how far that of the null model stands above: see `Parameters`.
Null = tuple[float, float]


class NullsOfDraws:
    """Null models of the rows of some draws: a pass, counted with those of the set-up. Of classes that of all rows will
    do.

    Parameters
    ----------
    objective : Objective
        Of all rows.
    draws : sequence of Draw
    """

    def __init__(self, objective: Objective, draws: Sequence[Draw]) -> None:
        blocks, parameters = objective.blocks, objective.facts.parameters
        self._of_all = parameters.least_of_some, parameters.null
        self._sums = None
        if blocks.schema.class_weight is None and DrawnNull in blocks.answers:
            objective.num_setup_passes += 1
            self._sums = blocks.sum(DrawnNull(tuple(draws))).sums

    def of(self, counted: Sequence[Sequence[int]]) -> list[Null]:
        """Those of the draws of some numbers together."""
        if self._sums is None:
            return [self._of_all] * len(counted)
        nulls = [reduce(add, [self._sums[number] for number in numbers]).null() for numbers in counted]
        return [(null.least, null.deviance) for null in nulls]
