"""Strengths and bounds that are told column by column, for the coefficients of a fit."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..protocols.schema import Features
from ..saving.contents import Each, Either, Named, Null, Number, NumberAsText
from ..wording.messages import shortened

Array = npt.NDArray[Any]

# One number for all columns, a number for each coefficient, or numbers by the names of columns.
PerColumn = float | npt.ArrayLike | Mapping[str, float] | None

# Of what must be finite.
LARGEST = float(np.finfo(np.float64).max)

# How it is saved: JSON has no infinity.
_NUMBER = NumberAsText(Number(infinite=True))
PER_COLUMN = Either(Null(), _NUMBER, Named(_NUMBER), Each(_NUMBER))


def check_per_column(name: str, given: Any, least: float = -np.inf, most: float = np.inf) -> None:
    """Refuse what cannot be told of columns, whatever the data."""
    given = by_name(given)
    try:
        values = np.asarray(list(given.values()) if isinstance(given, Mapping) else given)
    except ValueError:  # lists of several lengths
        values = np.array("")
    numbers = values.dtype.kind in "iuf" and values.ndim <= 1
    if given is not None and not (numbers and ((values >= least) & (values <= most)).all()):
        from_least = f" of {least:g} or more, finite," if least > -np.inf else ""
        raise ValueError(
            f"{name} must be a number{from_least} and not NaN, one for each coefficient, a mapping from names of "
            f"columns to numbers, or None, got {given!r}"
        )


def per_column(name: str, given: PerColumn, features: Features, otherwise: float) -> Array:
    """A number for each coefficient of a linear predictor.

    Parameters
    ----------
    name : str
        What is told, for messages.
    given : float, (p,) array_like, mapping of str to float, or None
        Names are those of the data, a categorical column's for all of its levels, a formula's term for all of its
        columns, or those of coefficients (`get_feature_names_out`).
    features : Features
        Of the fit.
    otherwise : float
        For columns of which nothing is told.

    Raises
    ------
    DataError
        There is no such column, or there are not as many numbers as coefficients.
    """
    given = by_name(given)
    if isinstance(given, Mapping):
        names, values = features.names_out(), np.full(features.size, otherwise)
        for column, value in given.items():
            places = _places(column, names, features)
            if not places:
                raise DataError(f"{name}: there is no column {column!r} in the fit: its columns are {shortened(names)}")
            values[places] = value
        return values
    values = np.asarray(otherwise if given is None else given, np.float64)
    if values.ndim and values.shape != (features.size,):
        names = features.names_out()
        raise DataError(
            f"{name} has {len(values)} numbers and the fit {len(names)} coefficients, {shortened(names)}: give one for "
            "each, or a mapping from names to numbers"
        )
    return np.broadcast_to(values, features.size).copy()


def as_text(given: PerColumn) -> Any:
    """As it is saved."""
    given = by_name(given)
    if given is None:
        return None
    if isinstance(given, Mapping):
        return {str(name): repr(float(value)) for name, value in given.items()}
    values = np.asarray(given, np.float64)
    return [repr(value) for value in values.tolist()] if values.ndim else repr(float(values))


def of_text(saved: Any) -> PerColumn:
    """The inverse of `as_text`."""
    if saved is None:
        return None
    if isinstance(saved, Mapping):
        return {name: float(value) for name, value in saved.items()}
    return float(saved) if isinstance(saved, str) else np.array([float(value) for value in saved])


def by_name(given: Any) -> Any:
    """A series of pandas whose index holds names as a mapping."""
    index = getattr(given, "index", None)
    if hasattr(given, "to_dict") and index is not None and all(isinstance(name, str) for name in index):
        return given.to_dict()
    return given


def _places(column: Any, names: list[str], features: Features) -> list[int]:
    """Which coefficients a name stands for."""
    if column in names[: features.numeric]:
        return [names.index(column)]
    first = features.numeric
    for own, levels in zip(features.names[features.numeric :], features.levels, strict=False):
        if own == column:
            return list(range(first, first + len(levels)))
        first += len(levels)
    if column in names:
        return [names.index(column)]
    # Of a formula, a term such as C(region) or bs(age, df=4) stands for all of its columns.
    rest = {place: name[len(column) :] for place, name in enumerate(names) if name.startswith(f"{column}[")}
    return [place for place, own in rest.items() if own.endswith("]") and "]:" not in own]
