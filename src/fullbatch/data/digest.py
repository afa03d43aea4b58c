"""Hashes of arrays by what is in them, whichever way they lie in memory."""

from typing import Any

import numpy as np

# Bytes that are copied, in C order, to be hashed.
_CHUNK = 2**20


def add(digest: Any, array: Any) -> None:
    """Add type, shape and contents of an array of one or more dimensions, or that there is none, to a hash.

    Parameters
    ----------
    digest : hashlib hash
        What to add to.
    array : array or None
        In any memory order; objects count by their `repr`.
    """
    if array is None:
        digest.update(b"none")
        return
    array = np.asarray(array)
    digest.update(f"{array.dtype.str}{array.shape}".encode())
    step = max(1, _CHUNK * len(array) // max(1, array.nbytes))
    for start in range(0, len(array), step):
        part = array[start : start + step]
        # The bytes of objects are addresses.
        digest.update(repr(part.tolist()).encode() if array.dtype.hasobject else part.tobytes())
