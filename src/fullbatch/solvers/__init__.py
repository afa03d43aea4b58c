"""Solvers decide how theta moves. They know neither data nor workers."""

from typing import Any

SOLVERS = ("lbfgs", "scipy-lbfgsb")


def make_solver(name: str, dtype: str) -> Any:
    """A solver by name.

    Parameters
    ----------
    name : {"lbfgs", "scipy-lbfgsb"}
        Which one.
    dtype : {"float32", "float64"}
        Precision in which the blocks compute.

    Raises
    ------
    ValueError
        The name is unknown.
    """
    if name == "lbfgs":
        from .lbfgs import LBFGS

        return LBFGS(precision=dtype)
    if name == "scipy-lbfgsb":
        from .scipy_ import ScipyLBFGSB

        return ScipyLBFGSB()
    raise ValueError(f"unknown solver {name!r}: choose from {', '.join(SOLVERS)}, or pass a solver object")
