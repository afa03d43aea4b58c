"""What a person gives as data, told by its looks: the packages it is of are not imported."""

from collections.abc import Iterator, Sequence
from enum import Enum
from typing import Any


class Kind(Enum):
    """What data can be."""

    SOURCES = "sources"
    DASK_ARRAY = "Dask array"
    DASK_FRAME = "Dask data frame"
    RAY_DATASET = "Ray Dataset"
    LAZY = "table that is not computed yet"
    TABLE = "table in memory"
    NUMBERS_TABLE = "pandas data frame of numbers"  # which is a table, and a matrix as well
    MATRIX = "matrix in memory"  # dense, sparse, or lists of numbers


def kind_of(data: Any) -> Kind:
    """What it is; whatever is nothing else counts as a matrix, which it may fail to become."""
    if _are_sources(data):
        return Kind.SOURCES
    if hasattr(data, "collect") and not hasattr(data, "shape"):
        return Kind.LAZY
    if hasattr(data, "to_delayed") and hasattr(data, "rechunk"):
        return Kind.DASK_ARRAY
    names = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(data).__mro__}
    if ("dask", "DataFrame") in names:
        return Kind.DASK_FRAME
    if ("ray", "Dataset") in names:
        return Kind.RAY_DATASET
    if not (hasattr(data, "__arrow_c_stream__") and hasattr(data, "columns")):
        return Kind.MATRIX
    is_numbers = is_pandas(data) and all(dtype.kind in "iufb" for dtype in data.dtypes)
    return Kind.NUMBERS_TABLE if is_numbers else Kind.TABLE


def is_pandas(data: Any) -> bool:
    """Whether it is of pandas."""
    return type(data).__module__.partition(".")[0] == "pandas"


def _are_sources(data: Any) -> bool:
    """Whether it is a source, or a list or iterator of sources."""
    if hasattr(data, "read") or isinstance(data, Iterator):
        return True
    if isinstance(data, memoryview):  # a sequence of numbers, if it has one dimension
        return False
    return isinstance(data, Sequence) and len(data) > 0 and all(hasattr(source, "read") for source in data)
