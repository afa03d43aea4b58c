"""How a run ended: where, and by which rule."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import numpy.typing as npt

from .certificates import Certificate

Array = npt.NDArray[Any]


class Status(Enum):
    """Which rule ended the run; `message` says it in words, with the remedy where one is needed."""

    CONVERGED = "converged"
    PRECISION = "precision"
    MAX_ITER = "max_iter"
    STOPPED = "stopped"
    INTERRUPTED = "interrupted"
    LINE_SEARCH = "line_search"

    @property
    def success(self) -> bool:
        """Whether the optimum was reached as nearly as asked, or as the arithmetic allows."""
        return self in (Status.CONVERGED, Status.PRECISION)

    @property
    def message(self) -> str:
        """What happened, in words."""
        return _MESSAGES[self]


_MESSAGES = {
    Status.CONVERGED: "converged: the decrease still expected is within tol",
    Status.PRECISION: "as accurate as the arithmetic allows: further decrease is lost in the rounding of the loss",
    Status.MAX_ITER: "stopped at max_iter before reaching tol: raise max_iter, or tol if this is close enough",
    Status.STOPPED: "stopped by a callback",
    Status.INTERRUPTED: "interrupted: this is the best iterate so far",
    Status.LINE_SEARCH: "the line search found no better point though the gradient promises one: "
    "if the model is your own, check its gradient against finite differences: minimize(..., check_gradient=True)",
}


@dataclass(frozen=True, eq=False)
class Result:
    """Where a run ended, and why.

    Parameters
    ----------
    theta : (size,) array
        The last accepted iterate: the best one, up to the noise of F.
    value : float
        F(theta): weighted mean loss plus penalty.
    grad : (size,) array
        Gradient of F there.
    status : Status
        Which rule ended the run.
    message : str
        The same in words.
    optimality : float
        What was compared with `tol`: estimated relative distance of F from its minimum.
    first_grad_norm : float
        Euclidean norm of the gradient at the starting point.
    iterations : int
        Accepted iterates after the starting point, those before a resume included.
    resumed_at : int or None
        The iterate that the run went on from; None where it began.
    passes : int
        Reads of the whole data by this run.
    setup_passes : int
        Reads of the whole data to describe and build the blocks.
    sampled_passes : float
        Reads of a sample of the rows by this run, each counted as its share of the rows.
    seconds : float
        Of this run, set-up not counted.
    solver : str
        Which solver ran, and why where it was chosen by "auto".
    certificate : Certificate
        A bound of F - F*, and the condition under which it holds.
    state : object
        The solver's state; give it to `resume=` to go on. None for solvers that cannot.
    """

    theta: Array
    value: float
    grad: Array
    status: Status
    message: str
    optimality: float
    first_grad_norm: float
    iterations: int
    resumed_at: int | None
    passes: int
    setup_passes: int
    sampled_passes: float
    seconds: float
    solver: str
    certificate: Certificate
    state: Any

    @property
    def success(self) -> bool:
        """Whether the optimum was reached as nearly as asked, or as the arithmetic allows."""
        return self.status.success

    @property
    def grad_norm(self) -> float:
        """Euclidean norm of the gradient at `theta`."""
        return float(np.linalg.norm(self.grad))
