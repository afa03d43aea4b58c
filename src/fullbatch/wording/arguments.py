"""What parameters take: a wrong argument is told with its name and what it got, before anything is computed."""

from numbers import Integral, Real
from typing import Any

import numpy as np


def check_flag(name: str, value: Any) -> None:
    """Refuse what is neither True nor False: a text like "no" would count as True."""
    if not isinstance(value, bool | np.bool_):
        raise ValueError(f"{name} must be True or False, got {value!r}")


def check_whole(name: str, value: Any, least: int | None = None) -> None:
    """Refuse what is no whole number, or less than `least`."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        bound = "" if least is None else f" of {least} or more"
        raise ValueError(f"{name} must be a whole number{bound}, got {value!r}")
    if least is not None and value < least:
        raise ValueError(f"{name} must be {f'at least {least}' if least else '0 or more'}, got {value!r}")


def is_number(value: Any) -> bool:
    """Whether `value` is one real number; True and False are none, NaN is."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_number(name: str, value: Any, *, finite: bool = False) -> None:
    """Refuse what is no number of 0 or more; with `finite`, infinity too."""
    if not (is_number(value) and value >= 0) or (finite and value == float("inf")):
        raise ValueError(f"{name} must be a number of 0 or more{', and finite' * finite}, got {value!r}")
