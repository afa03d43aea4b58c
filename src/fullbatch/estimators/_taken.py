"""Arguments of scikit-learn's that change nothing in a model: they are taken, and refused only where they would."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def our_solver(solver: Any, there: Mapping[str, str]) -> Any:
    """What scikit-learn's name of a solver is in here, by a table of them; everything else as it is."""
    return there.get(solver, solver) if isinstance(solver, str) else solver


def check_taken(estimator: Any) -> None:
    """Refuse values that scikit-learn's arguments cannot have, and those that cannot be honoured.

    Raises
    ------
    ValueError
        Says which argument, and what to use instead.
    """
    for name, (fits, what) in _TAKEN.items():
        value = getattr(estimator, name, None)
        if value is not None and not fits(value):
            raise ValueError(f"{name} must be {what}, got {value!r}")


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool | np.bool_)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not _is_flag(value)


def _one_of(*names: str) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, str) and value in names


# What each of them must be, in code and in words. None stands for what is not told.
_TAKEN: dict[str, tuple[Callable[[Any], bool], str]] = {
    "n_jobs": (_is_whole, "a whole number or None: it changes nothing, processors are those of the engine"),
    "random_state": (
        lambda value: _is_whole(value) or isinstance(value, np.random.RandomState | np.random.Generator),
        "a whole number, a RandomState or None: it changes nothing, since nothing is drawn",
    ),
    "copy_X": (_is_flag, "True or False: it changes nothing, X is never written to"),
    "precompute": (
        lambda value: _is_flag(value) or hasattr(value, "shape") or isinstance(value, list) or value == "auto",
        "True, False, 'auto' or a Gram matrix, which is not looked at",
    ),
    "selection": (_one_of("cyclic", "random"), "'cyclic' or 'random': it changes nothing"),
    "dual": (lambda value: _is_flag(value) or value == "auto", "True, False or 'auto': it changes nothing"),
    "multi_class": (
        _one_of("ovr"),
        "'ovr', one class against the rest: for one model of all classes use LogisticRegression",
    ),
    "solver_options": (
        lambda value: isinstance(value, Mapping) and not value,
        "None: there is no linear program to pass it to. Use tol, max_iter, or a solver object of fullbatch",
    ),
}
