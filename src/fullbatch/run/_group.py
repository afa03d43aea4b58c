"""A few strengths of a penalty whose fits share reads and Hessians, from where the last ones ended to their ends."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..protocols.seams import Facts, Penalty
from ._by_part import ByPart
from ._counted import Counted
from ._hessians import MATRIX_BYTES, Hessians, columns_for, most_shared, neighbours, worth
from ._shared_fit import Fit

Array = npt.NDArray[Any]

# Hessians of one strength at the most.
_MOST_MATRICES = 6


class Group:
    """Fits under way.

    Parameters
    ----------
    fits : list of Fit
        Strength by strength, each with the fits to all rows and without each fold.
    latest : Hessians
        Where the last ones ended: what the fits go by at first.
    facts : Facts
        Of the problem, but for the penalty.
    penalties : sequence of Penalty
        Of all strengths.
    counted : Counted
        What answers for the rows of each fit.
    tol, max_iter : float, int
        As in `minimize`; a read is an iteration.
    news : bool
        Whether the first read brings Hessians.

    Attributes
    ----------
    hessians : dict of int to Hessians
        Of each strength, those that its fits go by.
    reads : int
    slow : bool
        Whether fits were slow by the Hessians that they began with.
    """

    def __init__(
        self,
        fits: list[Fit],
        latest: Hessians,
        facts: Facts,
        penalties: Sequence[Penalty],
        counted: Counted,
        tol: float,
        max_iter: int,
        news: bool,
    ) -> None:
        strengths = sorted({fit.strength for fit in fits})
        self._fits, self._facts, self._penalties, self._counted = fits, facts, penalties, counted
        self._tol, self._max_iter = tol, max_iter
        self._latest: tuple[int, Array, Array] | None = None
        self._columns, self._asked = latest.columns, dict.fromkeys(strengths, 0)
        self.hessians, self.reads, self.slow = dict.fromkeys(strengths, latest), 0, False
        ends: dict[int, Array] = {}  # for the last strength
        for fit in fits:
            fit.columns = latest.columns
            fit.aim(self._mean(fit.number, latest.matrix), latest.columns, tol, ends.get(fit.number))
            if fit.local is not None:
                ends[fit.number] = fit.local.theta
        self._fresh = set(strengths) if news else {fit.strength for fit in fits if fit.others_move}

    def run(self) -> None:
        """Read until every fit has ended, or must go on by itself."""
        while going := self._with_columns():
            answer = self._read(going)
            for row, fit in enumerate(going):
                self._take(fit, row, answer)
            slow = {fit.strength for fit in going if fit.open and self._is_slow(fit)}
            self.slow |= bool(slow)
            self._fresh = {s for s in slow if self._is_news(s) and self._asked[s] < _MOST_MATRICES}
            for fit in going:
                fit.alone |= fit.others_move and fit.open and fit.strength not in self._fresh

    def _with_columns(self) -> list[Fit]:
        """The fits that go on, once it is chosen of which columns the next Hessians are."""
        if self._columns is not None:
            self._choose_columns(self._columns)
        return [fit for fit in self._fits if fit.open]

    def _choose_columns(self, latest: Array) -> None:
        """Of which columns the next Hessians are; fits that need more than there is room for go by themselves, those
        with the weakest penalty first.
        """
        most = most_shared(self._facts, self._counted.parts_in_all)
        self._fresh &= {fit.strength for fit in self._fits if fit.open}
        while self._fresh:
            some = [fit for fit in self._fits if fit.strength in self._fresh and (fit.open or fit.number == 0)]
            wanted = columns_for(some, latest, most)
            if wanted is not None:
                self._columns = wanted
                return
            weakest = max(self._fresh)
            self._fresh.remove(weakest)
            for fit in some:
                fit.alone |= fit.strength == weakest and fit.open

    def _asking(self) -> list[list[int]]:
        """Strengths for which Hessians are asked, those that share one in a list: of some columns all of them, where
        several have no room.
        """
        strengths = sorted(self._fresh)
        asking = neighbours(strengths, self._penalties, self._facts.parameters.quadratic)
        if self._columns is None or not asking:
            return asking
        size, parts = len(self._facts.coordinates(self._columns)), max(self._counted.parts_in_all, 1)
        return asking if len(asking) * parts * 8 * size * size <= MATRIX_BYTES else [strengths]

    def _read(self, going: list[Fit]) -> ByPart:
        """Sums for all fits that go on, with new Hessians for some strengths."""
        thetas, curved, asking, columns = [fit.trial for fit in going], [], self._asking(), self._columns
        for strength, *_ in asking:
            row = next((i for i, fit in enumerate(going) if (fit.strength, fit.number) == (strength, 0)), None)
            if row is None:
                thetas.append(self._whole(strength).theta)
                row = len(thetas) - 1
            curved.append(row)
        answer = self._counted.parts.ask(np.array(thetas), curved, *([] if columns is None else [columns]))
        self.reads += 1
        for place, (row, some) in enumerate(zip(curved, asking, strict=True)):
            matrix = answer.matrix[place].copy() if len(asking) > 1 else answer.matrix[place]
            for strength in some:
                self.hessians[strength] = Hessians(matrix, thetas[row], answer.value[:, row], columns)
                self._asked[strength] += 1
        return answer

    def _whole(self, strength: int) -> Fit:
        """The fit to all rows."""
        return next(fit for fit in self._fits if (fit.strength, fit.number) == (strength, 0))

    def _take(self, fit: Fit, row: int, answer: ByPart) -> None:
        number, of, hessians = fit.number, self._counted, self.hessians[fit.strength]
        value, grad = answer.value[:, row], of.mean(number, answer.grad[:, row])
        matrix = self._mean(number, hessians.matrix)
        fit.take(float(of.mean(number, value)), grad, of.held_out(number, value), matrix, self._tol, hessians.columns)
        fit.end_after(self._max_iter)

    def _mean(self, number: int, matrix: Array) -> Array:
        """The Hessian of a fit's rows; of neighbouring strengths it is the same one."""
        if self._latest is None or self._latest[0] != number or self._latest[1] is not matrix:
            self._latest = number, matrix, self._counted.mean(number, matrix)
        return self._latest[2]

    def _is_slow(self, fit: Fit) -> bool:
        """Whether another Hessian would save reads."""
        if fit.others_move:
            return True
        if fit.columns is not None and (fit.widened or self._facts.parameters.quadratic):
            return False
        return not fit.reads_left(self._tol) <= worth(self._facts, 1 + self._counted.folds, fit.columns)

    def _is_news(self, strength: int) -> bool:
        """Whether the Hessian there would be another one than that at hand."""
        whole = self._whole(strength)
        place = whole.trial if whole.open else whole.theta
        moves = any(fit.open and fit.others_move for fit in self._fits if fit.strength == strength)
        return moves or not np.array_equal(place, self.hessians[strength].theta)
