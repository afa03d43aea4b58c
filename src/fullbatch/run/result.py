"""How a run ended: where, and by which rule."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, NamedTuple

import numpy.typing as npt

from ..machine.vectors import norm
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

    def __reduce__(self) -> Any:
        return type(self), (self.value,)  # which skops can write too

    @property
    def message(self) -> str:
        """What happened, in words."""
        return _MESSAGES[self]


_MESSAGES = {
    Status.CONVERGED: "converged: the decrease still expected is within tol",
    Status.PRECISION: "stopped where the arithmetic ends: further decrease is lost in the rounding of the loss",
    Status.MAX_ITER: "stopped at max_iter before reaching tol: raise max_iter, or tol if this is close enough",
    Status.STOPPED: "stopped by a callback",
    Status.INTERRUPTED: "interrupted: this is the best iterate so far",
    Status.LINE_SEARCH: "the line search found no better point though the gradient promises one",
}

# Advice where the model is the caller's own.
OWN_MODEL = "check the gradient of the model against finite differences: minimize(..., check_gradient=True)"

# A run that ends in rounding has succeeded if no more than this share can be left.
KNOWN_NEAR = 1e-6


class Notice(NamedTuple):
    """Something that the reader of a result should know.

    Parameters
    ----------
    code : str
        "separable", "at-bounds", "constant-columns", "collinear-columns", "precision", "edge",
        "not-converged".
    words : str
        What it is, which columns, and what can be done.
    """

    code: str
    words: str

    def __str__(self) -> str:
        return f"[{self.code}] {self.words}"


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
        Gradient of F there; where F has corners or bounds, its shortest subgradient.
    status : Status
        Which rule ended the run.
    message : str
        The same in words.
    optimality : float
        What the solver compared with `tol`: estimated relative distance of F from its minimum.
    remaining_r2 : float
        What was checked before the run ended as converged: by how much F can still fall, by Newton's step, as a share
        of the null model's (half its mean deviance): what R^2, or D^2, could still gain. Infinite where that is not
        known.
    score_r2 : float or None
        The largest share of the score's variance that a single column explains, 0 at a minimum: a check that takes
        nothing from the solver. None where there are no columns to tell of.
    known_by : str
        Where `remaining_r2` comes from: "hessian" of all rows; "sample", that of a sample of them;
        "directions", the same along a few conjugate directions alone; "columns", the solver's own estimate, which was
        made with second derivatives, checked by `score_r2`; "estimate", the solver's own, of a model of which no more
        is known.
    notices : tuple of Notice
        What else the reader should know: each with a code.
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
        A bound of F - F*, its name, and the condition under which it holds.
    state : object
        The solver's state; give it to `resume=` to go on. None for solvers that cannot.
    """

    theta: Array
    value: float
    grad: Array
    status: Status
    message: str
    optimality: float
    remaining_r2: float
    score_r2: float | None
    known_by: str
    notices: tuple[Notice, ...]
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
        """Whether the minimum was reached as nearly as asked, or as the arithmetic allows if that is near."""
        near = self.remaining_r2 <= KNOWN_NEAR and self.known_by not in ("directions", "columns")
        return self.status is Status.CONVERGED or (self.status is Status.PRECISION and near)

    @property
    def grad_norm(self) -> float:
        """Euclidean norm of the gradient at `theta`."""
        return norm(self.grad)
