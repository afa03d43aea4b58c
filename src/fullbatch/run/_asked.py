"""What a run was asked for: refused where it cannot be, and the solver that it names."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..objective.objective import Objective
from ..solvers import check_solver, make_solver, solver_of
from ..solvers.auto import choices, choose
from ..wording.arguments import check_flag, check_number, check_whole
from .callbacks import check_callbacks
from .checkpoints import check_checkpoint

Array = npt.NDArray[Any]


def check_arguments(
    objective: Any, solver: Any, tol: Any, max_iter: Any, callbacks: Any, checkpoint: Any, check_gradient: Any
) -> None:
    """Refuse arguments of `minimize` that are none, whatever the problem."""
    if not isinstance(objective, Objective):
        raise ValueError(f"objective must be an Objective, got {objective!r}")
    check_solver(solver)
    check_number("tol", tol)
    check_whole("max_iter", max_iter, 0)
    check_callbacks(callbacks)
    check_checkpoint(checkpoint)
    check_flag("check_gradient", check_gradient)


def as_theta(theta: Any) -> Array:
    """A copy of the starting point."""
    try:
        return np.array(theta, np.float64)
    except (TypeError, ValueError):
        raise ValueError(f"theta0 must be an array of numbers, got {theta!r}") from None


def checked_solver(solver: Any, objective: Objective, resume: Any) -> tuple[Any, str]:
    """The solver object, once it is known that the blocks answer what it asks, and why it was chosen."""
    facts, why = objective.facts, ""
    if resume is not None and not hasattr(resume, "failure"):
        raise TypeError(
            f"resume takes a solver's state, Result.state or load_state(path), not a {type(resume).__name__}"
        )
    if isinstance(solver, str) and solver == "auto":
        name = None if resume is None else solver_of(resume)
        if name is None:
            choice = choose(facts)
            solver, why = choice.solver, f"chose {choice.name} because {choice.reason}"
        else:
            solver = next((one.solver for one in choices(facts) if one.name == name), name)
            why = f"chose {name} because it is the solver of the state to resume"
    method = make_solver(solver) if isinstance(solver, str) else solver
    kind = type(method).__name__
    if resume is not None and hasattr(method, "run"):
        raise ValueError(f"{kind} keeps its own loop and cannot resume: use 'lbfgs'")
    if resume is not None and not isinstance(resume, getattr(method, "state", object)):
        raise ValueError(
            f"the state to resume is a {type(resume).__name__}, which {kind} cannot go on from: "
            f"use '{solver_of(resume)}'"
        )
    strange = (facts.penalty.parts if facts.penalty is not None else frozenset()) - getattr(method, "penalties", set())
    if strange:
        parts, able = " and ".join(sorted(strange)), choose(facts).name
        raise ValueError(f"{kind} does not know penalties with {parts}: use '{able}', or 'auto'")
    missing = method.requests - facts.answers
    if missing:
        needs = ", ".join(sorted(request.__name__ for request in missing))
        raise TypeError(f"{kind} needs {needs}, which these blocks do not answer: use '{choose(facts).name}'")
    if hasattr(method, "for_problem"):
        method = method.for_problem(facts)
    return method, why
