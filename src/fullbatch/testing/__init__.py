"""Checks of what plugs into fullbatch: run them against your own models, engines and solvers.

Each check raises AssertionError with what is wrong and how far off it is.
"""

from .blocks import check_block
from .engines import check_engine
from .solvers import check_solver

__all__ = ["check_block", "check_engine", "check_solver"]
