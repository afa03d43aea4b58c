"""Which solver goes on where another one's claim was not borne out, or from the state that one has left."""

from typing import Any

from ..protocols.seams import Facts
from ..solvers import make_solver, solver_of


def other_solver(solver: Any, facts: Facts, state: Any) -> Any:
    """The solver that goes on where this one's claim was not borne out; None where there is none.

    Newton's method, whose Hessian is that of the check, where there is room for it; else L-BFGS with the Hessian of a
    sample of the rows. Where F has corners, OWL-QN once the columns in use outgrow the Hessian.
    """
    kind = type(solver)
    if facts.penalty is not None:
        outgrown, other = getattr(solver, "outgrown", None), make_solver("owl-qn")
        able = facts.penalty.parts <= other.penalties and outgrown is not None and outgrown(state)
        return other.for_problem(facts) if able else None
    newton = make_solver("newton")
    if kind in (type(newton), type(make_solver("least-squares"))):
        return None
    if newton.requests <= facts.answers and newton.bytes_for(facts.parameters.size) <= newton.max_bytes:
        return newton.for_problem(facts)
    sampled = make_solver("sampled-lbfgs")
    if kind is type(sampled) or not sampled.requests <= facts.answers:
        return None
    return sampled.for_problem(facts)


def solver_for_state(state: Any, solver: Any, facts: Facts) -> Any:
    """The solver that goes on from the state of a checkpoint: the one given, or the one that had taken over from it."""
    if type(state) is getattr(solver, "state", None):
        return solver
    name = solver_of(state)
    return solver if name is None else make_solver(name).for_problem(facts)
