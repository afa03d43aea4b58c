"""Vectors and blocks of very many columns, of which a block's rows meet few.

Such a block numbers the columns that it meets and computes on those alone; what it answers for one model is a
`SparseVector`. So the memory of a pass grows with the entries of a block, not with blocks times columns or threads
times columns. Answers for several models at once are arrays of all columns.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from .cache import kernel
from .compiled import inlined

Array = npt.NDArray[Any]

# Up to so many columns a vector of all of them costs little, whatever the entries.
LEAST_COLUMNS = 2**16
# A sum that may take more than one in so many places is made an array: places take memory and time, too.
LEAST_GAP = 2


def is_wide(columns: int, entries: int) -> bool:
    """Whether a block of so many columns and entries numbers its columns: by its shape alone."""
    return columns > max(LEAST_COLUMNS, entries)


@kernel
def numbered(indices: Array, columns: int) -> tuple[Array, Array]:
    """The columns that entries are in, sorted, and for each entry the number of its column among them.

    One bit for each column is marked; a column's number is that of the marks before it.
    """
    one, six, low_bits = np.uint64(1), np.uint64(6), np.uint64(63)
    marks, before = np.zeros(columns // 64 + 1, np.uint64), np.zeros(columns // 64 + 1, np.int64)
    for e in range(indices.size):
        c = np.uint64(indices[e])
        marks[c >> six] |= one << (c & low_bits)
    count = 0
    for w in range(marks.size):
        before[w] = count
        count += _bits(marks[w])
    touched, number = np.empty(count, indices.dtype), np.empty(indices.size, indices.dtype)
    for w in range(marks.size):
        place, left = before[w], marks[w]
        while left:
            touched[place] = 64 * w + _bits((left & (~left + one)) - one)  # the lowest mark
            left &= left - one
            place += 1
    for e in range(indices.size):
        c = np.uint64(indices[e])
        number[e] = before[c >> six] + _bits(marks[c >> six] & ((one << (c & low_bits)) - one))
    return touched, number


@inlined
def _bits(word: int) -> Any:
    """How many bits of 64 are set."""
    pairs = word - ((word >> np.uint64(1)) & np.uint64(0x5555555555555555))
    fours = (pairs & np.uint64(0x3333333333333333)) + ((pairs >> np.uint64(2)) & np.uint64(0x3333333333333333))
    eights = (fours + (fours >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return np.int64((eights * np.uint64(0x0101010101010101)) >> np.uint64(56))


@dataclass(frozen=True, slots=True, eq=False)
class SparseVector(NDArrayOperatorsMixin):
    """A vector of which few places are not zero.

    Sums, differences and multiples of such vectors are such vectors, until too many places are taken; whatever else
    NumPy does with one, it does with the array that it stands for.

    Parameters
    ----------
    size : int
        Length.
    places : (k,) int array
        Where `values` stand, growing.
    values : (k,) float64 array
        What is there.
    """

    size: int
    places: Array
    values: Array

    @property
    def shape(self) -> tuple[int]:
        return (self.size,)

    @property
    def dtype(self) -> Any:
        return self.values.dtype

    def tobytes(self) -> bytes:
        """Equal for equal vectors of equal form."""
        return self.places.tobytes() + self.values.tobytes()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        array = np.zeros(self.size, dtype or self.values.dtype)
        array[self.places] = self.values
        return array

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if ufunc is np.add and method == "__call__" and not options:  # an array and this
            return inputs[1] + inputs[0]
        return getattr(ufunc, method)(*map(_array, inputs), **options)

    def __add__(self, other: Any) -> Any:
        if not isinstance(other, SparseVector):
            total, added = np.array(other, np.float64), self
        elif LEAST_GAP * (self.places.size + other.places.size) > self.size:
            total, added = np.asarray(self), other
        else:
            both = (_fixed(one) for one in (self.places, self.values, other.places, other.values))
            return SparseVector(self.size, *_merged(*both))
        total[added.places] += added.values
        return total

    def __mul__(self, factor: float) -> "SparseVector":
        return SparseVector(self.size, self.places, self.values * factor)

    def __sub__(self, other: Any) -> Any:
        return self + other * -1.0

    def __pow__(self, power: float) -> "SparseVector":
        return SparseVector(self.size, self.places, self.values**power)


def _array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, SparseVector) else value


def _fixed(array: Array) -> Array:
    """A read-only view, as all kernels take: those that come from other processes are read-only anyway."""
    view = np.ascontiguousarray(array).view()
    view.flags.writeable = False
    return view


@kernel
def _merged(places: Array, values: Array, other_places: Array, other_values: Array) -> tuple[Array, Array]:
    """Both vectors' places and the sums there; addition is in the order of the arguments."""
    most = places.size + other_places.size
    merged, sums = np.empty(most, places.dtype), np.empty(most)
    i = j = count = 0
    while i < places.size or j < other_places.size:
        if j == other_places.size or (i < places.size and places[i] < other_places[j]):
            merged[count], sums[count] = places[i], values[i]
            i += 1
        elif i == places.size or other_places[j] < places[i]:
            merged[count], sums[count] = other_places[j], other_values[j]
            j += 1
        else:
            merged[count], sums[count] = places[i], values[i] + other_values[j]
            i += 1
            j += 1
        count += 1
    return merged[:count].copy(), sums[:count].copy()
