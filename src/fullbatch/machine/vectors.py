"""Inner products of long vectors on the driver.

BLAS adds in an order that depends on its number of threads, which is one of the whole process and not ours to set;
`einsum` adds in one order, at the speed of memory.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


def dot(a: Array, b: Array) -> float:
    """a'b, the same bits whatever the number of BLAS threads."""
    return float(np.einsum("i,i->", a, b))


def norm(a: Array) -> float:
    """Euclidean norm of a."""
    return math.sqrt(dot(a, a))
