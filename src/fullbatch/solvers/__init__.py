"""Solvers decide how theta moves. They know neither data nor workers."""

from typing import Any

SOLVERS = ("lbfgs", "sampled-lbfgs", "scipy-lbfgsb")


def make_solver(name: str) -> Any:
    """A solver by name.

    Parameters
    ----------
    name : {"lbfgs", "sampled-lbfgs", "scipy-lbfgsb"}
        Which one.

    Raises
    ------
    ValueError
        The name is unknown.
    """
    if name == "lbfgs":
        from .lbfgs import LBFGS

        return LBFGS()
    if name == "sampled-lbfgs":
        from .sampled import SampledLBFGS

        return SampledLBFGS()
    if name == "scipy-lbfgsb":
        from .scipy_ import ScipyLBFGSB

        return ScipyLBFGSB()
    raise ValueError(f"unknown solver {name!r}: choose from {', '.join(SOLVERS)}, or pass a solver object")
