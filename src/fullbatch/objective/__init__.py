"""Sums over rows become F: penalties, changes of variables, and what the driver computes of F."""

from .objective import Objective

__all__ = ["Objective"]
