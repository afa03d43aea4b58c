"""Limited-memory BFGS: Nocedal and Wright (2006), algorithm 7.5, with a line search and stops that expect noise."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from ..protocols.requests import ValueGrad
from ..protocols.seams import Facts, Steps
from ..wording.arguments import check_whole
from ._memory import Inverse, Vectors, remember, times_inverse
from .descent import (
    DescentState,
    along_gradient,
    check_precision,
    first_state,
    moved,
    precision_of,
    relative_decrease,
    search,
    stuck,
)

Array = npt.NDArray[Any]

# A run counts as converged when F stood nearly still for the latest tenth of its iterations, and for no fewer than
# these: on ill-conditioned problems one small step, or a small expected decrease, is often a pause and not the end.
WINDOW = 8


@dataclass(frozen=True, eq=False)
class LBFGSState(DescentState):
    """As `DescentState`, and the memory.

    Parameters
    ----------
    steps, changes : tuples of (size,) arrays
        The pairs, oldest first.
    """

    steps: Vectors = ()
    changes: Vectors = ()


PairsState = TypeVar("PairsState", bound=LBFGSState)


@dataclass(frozen=True)
class LBFGS:
    """The L-BFGS method.

    Parameters
    ----------
    memory : int
        Pairs kept; each takes two vectors of the size of theta.
    precision : {"float64", "float32"}, optional
        Precision in which the blocks compute: sets how far values are trusted and which pairs are kept. Default:
        `minimize` fills in that of the blocks.
    """

    memory: int = 30
    precision: str | None = None
    facts: Facts | None = field(default=None, repr=False, compare=False)

    requests: ClassVar[frozenset[type]] = frozenset({ValueGrad})
    state: ClassVar[type] = LBFGSState

    def __post_init__(self) -> None:
        check_memory(self.memory)
        check_precision(self.precision)

    def for_problem(self, facts: Facts) -> "LBFGS":
        """With the precision of the blocks."""
        return replace(self, precision=self.precision or facts.parameters.dtype, facts=facts)

    def init(self, theta: Array) -> Steps[LBFGSState]:
        """Evaluate the starting point: one pass."""
        point = yield ValueGrad(theta)
        return first_state(LBFGSState, theta, point)

    def step(self, state: LBFGSState) -> Steps[LBFGSState]:
        """One iteration: a line search along -B^-1 g, usually one pass, and one more pair."""
        fallbacks = [along_gradient(state.grad)] if state.steps else []  # the memory may be at fault
        state = yield from advance(state, fallbacks, self.memory, precision_of(self.precision), self.facts)
        return state if state.failure else replace(state, direction=next_direction(state))

    def optimality(self, state: LBFGSState) -> float:
        """See `relative_decrease`; infinite until the memory holds a pair."""
        if not state.grad.any():
            return 0.0
        return relative_decrease(state, max(WINDOW, state.iteration // 10), self.facts) if state.steps else np.inf


def check_memory(memory: int) -> None:
    """Refuse a memory of no pairs."""
    check_whole("memory", memory, 1)


def advance(
    state: PairsState, fallbacks: Iterable[Array], memory: int, precision: tuple[float, float], facts: Facts | None
) -> Steps[PairsState]:
    """The next iterate and the pair it brings; its direction is left to the caller.

    Parameters
    ----------
    state : LBFGSState
        Where to go from.
    fallbacks : iterable of (size,) arrays
        Directions to try where the state's own gives no better point; the memory is then dropped.
    memory : int
        Pairs kept.
    precision : (float, float)
        An entry of PRECISIONS.
    facts : Facts, optional
        Of the problem.
    """
    noise, least_cosine = precision
    found = yield from search(state, [state.direction], noise, facts)
    steps, changes = state.steps, state.changes
    if found is None:
        steps, changes = (), ()
        found = yield from search(state, fallbacks, noise, facts)
    if found is None:
        return stuck(state, noise)
    trial, step = found
    steps, changes = remember(steps, changes, step, trial.point.grad - state.grad, memory, least_cosine)
    return moved(state, step, trial.point, noise, steps=steps, changes=changes)


def next_direction(state: LBFGSState, inverse: Inverse | None = None) -> Array:
    """-B^-1 g, from the pairs and the initial matrix where there are any."""
    if not state.steps and inverse is None:
        return along_gradient(state.grad)
    return -times_inverse(state.grad, state.steps, state.changes, inverse)
