"""Faults that no test can notice, or none should, each with its reason: the report counts them apart."""

from typing import NamedTuple

from .places import Mutant


class Equivalent(NamedTuple):
    """A fault that changes nothing that anyone is promised.

    Parameters
    ----------
    file : str
        Below `src/fullbatch`.
    old, new : str
        The lines that differ, without what they are indented by.
    reason : str
        Why it is not noticed.
    """

    file: str
    old: str
    new: str
    reason: str


EQUIVALENT = (
    Equivalent(
        "models/_plain.py",
        "_FEW_PRODUCTS = 2**15",
        "_FEW_PRODUCTS = 2/15",
        "which of two ways to the same product is taken: how quick it is, and last digits",
    ),
)

_SLIPS = ("frozen=True", "slots=True", "kw_only=True")


def reason(mutant: Mutant, old: str, new: str) -> str:
    """Why a fault is not to be noticed; empty if it is."""
    if old.startswith("@dataclass(") and (not new or any(slip in old and slip not in new for slip in _SLIPS)) and new:
        return "frozen, slots and kw_only guard against slips of who writes code; nothing that runs depends on them"
    if old.startswith(("@wraps(", "@override", "@abstractmethod", "@runtime_checkable")) and not new:
        return "a decorator for who reads"
    return next((it.reason for it in EQUIVALENT if (it.file, it.old, it.new) == (mutant.file, old, new)), "")
