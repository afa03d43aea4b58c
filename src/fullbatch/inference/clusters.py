"""What tells the clusters of rows: ids of whatever type, as an array that sorts."""

from collections.abc import Callable
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.beside import check_index, values_of
from ..errors import DataError

Array = npt.NDArray[Any]


def named_clusters(given: Any, X: Any) -> dict[str, Any]:
    """Names of one or two ways of clusters, and of each the ids, or None for a column of that name.

    Parameters
    ----------
    given : str, (n,) array_like, or a list of one or two of these, or None
    X : as for `fit`
        Whose rows the ids are of.

    Raises
    ------
    DataError
        There are more ways, or what is given is none of these.
    """
    if given is None:
        return {}
    ways = _ways(given)
    if len(ways) > 2:
        raise DataError(f"clusters: {len(ways)} ways, and errors are by one or two: leave some out")
    names: dict[str, Any] = {}
    for number, one in enumerate(ways, 1):
        if one is None:
            raise DataError("clusters: one of the two ways is None: leave it out")
        own = getattr(one, "name", None)
        name = one if isinstance(one, str) else f"clusters {number}" if own is None else str(own)
        if name in names:
            raise DataError("clusters: both ways have the same name: rename one")
        names[name] = None if isinstance(one, str) else one
        mine, other = getattr(X, "index", None), getattr(one, "index", None)
        if hasattr(mine, "equals") and hasattr(other, "equals"):
            check_index(mine, other, "clusters")
    return names


def _ways(given: Any) -> list[Any]:
    if isinstance(given, str):
        return [given]
    if isinstance(given, list | tuple):
        of_names = len(given) <= 2 and any(isinstance(one, str) for one in given)
        if of_names or any(not isinstance(one, str) and np.ndim(one) > 0 for one in given):
            return list(given)
    shape = np.shape(given)
    if len(shape) > 1 and shape[1] != 1:
        raise DataError(
            f"clusters of shape {shape}: give the ids of one way, ({shape[0]},), or a list of two of these, such as "
            "[ids[:, 0], ids[:, 1]]; or names of columns"
        )
    return [given]


def column_of(X: Any, name: str) -> Any:
    """A column of a table in memory.

    Raises
    ------
    DataError
        X has no such column.
    """
    try:
        return X[name]
    except (KeyError, TypeError, IndexError, ValueError):
        raise DataError(
            f"clusters: X has no column {name!r}: name one of a table, or give an id for each row"
        ) from None


def ids_of(values: Any, name: str, n: int, stayed: Array | None, where: Callable[[int], str]) -> Array:
    """Ids in a type that sorts: those of the same cluster are equal, and no others.

    Parameters
    ----------
    values : array_like
        Of all rows that were read.
    name : str
        Of the clusters.
    n : int
        How many rows were read.
    stayed : (n,) bool array or None
        Which of these rows were not left out.
    where : callable
        Says where a row stands, by its number among those that stayed.

    Raises
    ------
    DataError
        There are more or fewer, one is missing, or they are of several types.
    """
    ids = values_of(values)
    if ids.ndim == 2 and ids.shape[1] == 1:
        ids = ids[:, 0]
    if ids.shape != (n,):
        raise DataError(
            f"{n} rows and clusters {name!r} of shape {ids.shape}: it must be ({n},), an id for each row; or the name "
            "of a column, or a list of one or two of these"
        )
    if stayed is not None:
        ids = ids[stayed]
    missing = np.zeros(0, bool)
    if ids.dtype.kind == "f":
        missing = np.isnan(ids)
    elif ids.dtype.kind in "mM":
        missing = np.isnat(ids)
    elif ids.dtype.kind == "O":
        missing = np.array([_is_missing(one) for one in ids], bool)
    if missing.any():
        row = int(np.flatnonzero(missing)[0])
        raise DataError(f"clusters {name!r}: {where(row)} has none: fill it in, or leave the row out of the fit")
    return _of_objects(ids, name, where) if ids.dtype.kind == "O" else ids


def _is_missing(one: Any) -> bool:
    if one is None or type(one).__name__ == "NAType":  # of pandas, which compares with nothing
        return True
    try:
        return bool(one != one)
    except (TypeError, ValueError):
        return False


def _of_objects(ids: Array, name: str, where: Callable[[int], str]) -> Array:
    """Texts, or numbers, or what else has a text that tells it; not several of these, of which 1 and "1" look alike."""
    kinds = [_kind(one) for one in ids]
    if len(set(kinds)) > 1:
        row = next(row for row, kind in enumerate(kinds) if kind != kinds[0])
        raise DataError(
            f"clusters {name!r}: {where(0)} has {ids[0]!r} ({kinds[0]}) and {where(row)} has {ids[row]!r} "
            f"({kinds[row]}): make them one type"
        )
    if not kinds or kinds[0] not in ("number", "truth value"):
        return ids.astype(str)
    try:
        whole = all(isinstance(one, Integral) for one in ids)
        return ids.astype(np.int64 if whole else np.float64)
    except OverflowError:
        return ids.astype(str)


def _kind(one: Any) -> str:
    if isinstance(one, bool | np.bool_):
        return "truth value"
    if isinstance(one, Real | Decimal):
        return "number"
    return "text" if isinstance(one, str) else type(one).__name__


def check_alike(first: np.dtype[Any], second: np.dtype[Any]) -> None:
    """Refuse ids of one block that are of another type than those of another, of which NumPy makes texts.

    Raises
    ------
    DataError
        They are.
    """
    if first.names is not None and second.names is not None:
        for name in first.names:
            check_alike(first[name], second[name])
    elif _family(first) != _family(second):
        raise DataError(
            f"ids of clusters are {_family(first)} in some blocks and {_family(second)} in others: make them one type"
        )


def _family(dtype: np.dtype[Any]) -> str:
    return {"U": "text", "M": "dates", "m": "spans of time"}.get(dtype.kind, "numbers")
