"""Base levels of categorical columns: their coefficients are zero, and those of the other levels are differences."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..protocols.schema import Features
from ..saving.contents import Either, Named, Null, Number, Text
from ..wording.messages import shortened

Array = npt.NDArray[Any]

# Of each column its first level, or by name, and then by its value or as text; None for no base level.
Base = str | Mapping[str, Any] | None

# As they are saved.
LEVELS = Named(Either(Number(whole=True), Text()))
BASE = Either(Null(), Text(("first",)), LEVELS)


def check_base(base: Any, unknown: Any) -> None:
    """Refuse what names no base level, and predictions by one where there is none."""
    named = isinstance(base, Mapping) and all(
        isinstance(column, str) and isinstance(level, str | int | np.integer) for column, level in base.items()
    )
    if not (base is None or (isinstance(base, str) and base == "first") or named):
        raise ValueError(f'base must be "first", a mapping of column to level, or None, got {base!r}')
    if not (isinstance(unknown, str) and unknown in ("error", "ignore", "base")):
        raise ValueError(f'unknown must be "error", "ignore" or "base", got {unknown!r}')
    if unknown == "base" and base is None:
        raise ValueError('unknown="base" needs base levels: tell them with base, as in base="first"')


def base_levels(base: Base, features: Features) -> dict[str, Any]:
    """The base level of each column that has one.

    Raises
    ------
    DataError
        There is no such column, or it has no such level.
    """
    if base is None:
        return {}
    names = _categories(features)
    levels = {name: own.tolist() for name, own in zip(names, features.levels, strict=True)}
    if isinstance(base, str):
        return {name: own[0] for name, own in levels.items()}
    for name, level in base.items():
        if name not in levels:
            raise DataError(
                f"base names {name!r}, which is no categorical column: those are {shortened(names) or 'none'}"
            )
        if _own(level, levels[name]) is None:
            raise DataError(f"base: column {name!r} has no level {level!r}: it has {shortened(levels[name])}")
    return {name: _own(base[name], levels[name]) for name in names if name in base}


def _own(level: Any, levels: list[Any]) -> Any:
    """The level that is meant, by its value, or else by how it reads; None where there is none."""
    alike = [one for one in levels if one == level] or [one for one in levels if str(one) == str(level)]
    return alike[0] if alike else None


def held_at_zero(bases: Mapping[str, Any], features: Features) -> Array:
    """(p,) which coefficients are those of base levels."""
    held, first = np.zeros(features.size, bool), features.numeric
    for number, levels in enumerate(features.levels, features.numeric):
        name = str(features.column(number))
        if name in bases:
            held[first + levels.tolist().index(bases[name])] = True
        first += len(levels)
    return held


def unknown_to(unknown: str, bases: Mapping[str, Any], features: Features) -> str:
    """What is done with an unknown level: it is an error, or adds nothing, as the base level does.

    Raises
    ------
    ValueError
        Unknown levels are to count as the base, which a column does not have.
    """
    if unknown != "base":
        return unknown
    if lacking := [name for name in _categories(features) if name not in bases]:
        raise ValueError(
            f'unknown="base": the model has no base level of {shortened(lacking)}: fit it with base="first", or with a '
            "level for each categorical column"
        )
    return "ignore"


def _categories(features: Features) -> list[str]:
    """Names of the categorical columns."""
    return [str(features.column(features.numeric + number)) for number in range(len(features.levels))]
