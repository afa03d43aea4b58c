"""The rows of a block as a source reads them, and what names where they come from."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# Whole numbers are counted in a table of so many places, or of as many as there are numbers.
_CLOSE = 2**12

_DATES = (np.datetime64, np.timedelta64, date, time, timedelta)  # a datetime is a date


@dataclass(frozen=True, slots=True, eq=False)
class Category:
    """A categorical column of one block.

    Parameters
    ----------
    codes : (n,) int32 array
        Index of each row's level.
    levels : (k,) array of int64 or str
        Distinct levels of this block, sorted.
    asked : bool
        Somebody called the column categorical; otherwise it is text, which may be something else.
    """

    codes: Array
    levels: Array
    asked: bool = True


def distinct(values: Array) -> tuple[Array, Array]:
    """The distinct values in growing order, and the number of each value among them: `np.unique` with the inverse, by
    counting where values are whole numbers close together.
    """
    if values.dtype.kind in "iu" and values.size:
        least = values.min()
        spread = int(values.max()) - int(least)
        if spread < max(values.size, _CLOSE):
            places = np.subtract(values, least, dtype=np.intp, casting="unsafe")  # of any type, without an overflow
            there = np.zeros(spread + 1, bool)
            there[places] = True
            numbers = np.cumsum(there, dtype=np.int32) - np.int32(1)
            return least + np.flatnonzero(there).astype(values.dtype), numbers[places]
    found, inverse = np.unique(values, return_inverse=True)
    return found, inverse


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """The rows of one block, as a source reads them.

    Parameters
    ----------
    X : (n, p) dense array (float32, float64, uint8, int8) or scipy.sparse CSR array
        Features as stored.
    y : (n,) array or None
        Targets.
    weight : (n,) array or None
        Sample weights; None is 1 for every row.
    scale : float
        The value of a feature is `X * scale`: bytes stay bytes (images are pixel bytes times 1/255).
    offset : (n,) array or None
        Added to every linear predictor, such as the logarithm of an exposure; None is 0 for every row.
    categories : tuple of Category
        Categorical columns, which stand behind those of X; for dense X without a scale.
    names : tuple of str
        Names of the columns of X and of the categorical ones; empty where they have none.
    stayed : (m,) bool array or None
        Which of the m rows that were read these are, where some were left out; None where all are there. It is what a
        source says of its rows, for values that stand beside them: who takes some of the rows need not keep it.
    """

    X: Any
    y: Array | None = None
    weight: Array | None = None
    scale: float = 1.0
    offset: Array | None = None
    categories: tuple[Category, ...] = ()
    names: tuple[str, ...] = ()
    stayed: Array | None = None


class Size(NamedTuple):
    """What the rows of a source take in memory.

    Parameters
    ----------
    rows : int
        How many there are.
    nbytes : int
        Bytes of the rows once they are read.
    reading : int
        Bytes taken besides while they are read.
    shared : int
        Bytes taken besides, once, while any source of these files is read.
    held : bool
        The source holds the rows itself: to keep them costs nothing more.
    """

    rows: int
    nbytes: int
    reading: int = 0
    shared: int = 0
    held: bool = False


class Source(Protocol):
    """Names where a block's rows come from: a recipe, cheap to send, read on the worker.

    `str(source)` says in words which rows these are: it is what error messages show. `read` gives the same rows each
    time; it is called on each pass where the rows do not fit into memory, from several threads for several sources.
    A source that knows its `Size` before it is read may have it as an attribute `size`. Sources that share something
    while they are read, such as a decoded file, may have a method `release()`: a worker calls it when it has read
    all of its blocks. One that reads from a cluster's object store may have an attribute `stored`, a list of references
    and the bytes read of each: it is then read near them, if possible. One that knows where a row of its block stands,
    such as a line of a file, may say so by a method `locate(row)`, for messages.
    """

    def read(self) -> Rows: ...


def dates_in(values: Any) -> str | None:
    """The type of an array's dates or spans of time, also of those among objects; None where it has none."""
    dtype = getattr(values, "dtype", None)
    kind = getattr(dtype, "kind", "")
    if kind == "O" and isinstance(values, np.ndarray):
        return next((type(one).__name__ for one in values.flat if isinstance(one, _DATES)), None)
    return str(dtype) if kind in ("m", "M") else None


def index_type(most: int) -> type[np.signedinteger[Any]]:
    """What numbers up to `most` are kept in by the indices of SciPy's sparse rows."""
    return np.int32 if most < 2**31 else np.int64


def is_sparse(X: Any) -> bool:
    """Whether X is a scipy.sparse CSR array or matrix (told by its fields, so that scipy need not be loaded)."""
    return hasattr(X, "indptr") and getattr(X, "format", "") == "csr"


def stacked(parts: Sequence[Any]) -> Any:
    """One array of rows in parts, one below the other, which are all dense or all sparse."""
    if len(parts) == 1:
        return parts[0]
    if not is_sparse(parts[0]):
        return np.concatenate(parts)
    from scipy.sparse import vstack

    return vstack(parts, format="csr")
