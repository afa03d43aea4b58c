"""Solvers decide how theta moves. They know neither data nor workers."""

from importlib import import_module
from typing import Any

# Names for `minimize`, and where the solvers live.
_HOMES = {
    "lbfgs": ("lbfgs", "LBFGS"),
    "sampled-lbfgs": ("sampled", "SampledLBFGS"),
    "newton": ("newton", "Newton"),
    "newton-cg": ("newton_cg", "NewtonCG"),
    "least-squares": ("least_squares", "LeastSquares"),
    "proximal-newton": ("proximal", "ProximalNewton"),
    "owl-qn": ("owlqn", "OWLQN"),
    "scipy-lbfgsb": ("scipy_", "ScipyLBFGSB"),
}

SOLVERS = ("auto", *_HOMES)

_STATES = {
    "LBFGSState": "lbfgs",
    "SampledState": "sampled-lbfgs",
    "NewtonState": "newton",
    "NewtonCGState": "newton-cg",
    "LeastSquaresState": "least-squares",
    "ProximalState": "proximal-newton",
    "OWLQNState": "owl-qn",
}


def solver_of(state: Any) -> str | None:
    """The name of the solver whose state this is; None for a solver of the caller's own."""
    return _STATES.get(type(state).__name__)


def check_solver(solver: Any) -> None:
    """Refuse what is neither the name of a solver nor a solver object."""
    if isinstance(solver, str):
        if solver != "auto":
            make_solver(solver)
        return
    if isinstance(solver, type):
        raise ValueError(f"solver is the class {solver.__name__}: pass an object of it, {solver.__name__}()")
    steps = all(callable(getattr(solver, name, None)) for name in ("init", "step", "optimality"))
    if not (hasattr(solver, "requests") and (steps or callable(getattr(solver, "run", None)))):
        raise ValueError(f"solver must be one of {', '.join(SOLVERS)}, or a solver object, got {solver!r}")


def make_solver(name: str) -> Any:
    """A solver by name, with its default options.

    Parameters
    ----------
    name : str
        One of SOLVERS but "auto", which takes a problem to choose for.

    Raises
    ------
    ValueError
        The name is unknown.
    """
    if name not in _HOMES:
        raise ValueError(f"unknown solver {name!r}: choose from {', '.join(SOLVERS)}, or pass a solver object")
    module, kind = _HOMES[name]
    return getattr(import_module(f"{__name__}.{module}"), kind)()
