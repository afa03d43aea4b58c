"""What `fit` and `predict` accept: arrays, frames, and sources."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..data.frames import is_table, table_sources
from ..data.table import TableSource
from ..protocols import Source

Array = npt.NDArray[Any]


def is_sources(X: Any) -> bool:
    """Whether X is a source, or a list or iterator of sources."""
    if hasattr(X, "read") or isinstance(X, Iterator):
        return True
    return isinstance(X, Sequence) and len(X) > 0 and all(hasattr(source, "read") for source in X)


def listed(sources: Any) -> list[Source]:
    """A source, or several, as a list."""
    return [sources] if hasattr(sources, "read") else list(sources)


def refuse_arrays(y: Any, sample_weight: Any) -> None:
    """Targets and weights do not stand beside sources."""
    if y is not None or sample_weight is not None:
        raise ValueError("sources bring their targets and weights with them: leave y and sample_weight out")


def needs_table(X: Any) -> bool:
    """Whether X is a frame that scikit-learn does not turn into numbers by itself."""
    if not is_table(X):
        return False
    is_pandas = type(X).__module__.partition(".")[0] == "pandas"
    return not is_pandas or any(dtype.kind not in "iufb" for dtype in X.dtypes)


def sources_of_table(table: Any, y: Array, sample_weight: Any) -> list[TableSource]:
    """Sources of an Arrow table with targets and weights beside it."""
    names = table.column_names
    columns: dict[str, Any] = {}
    for meaning, values in (("target", y), ("weight", sample_weight)):
        if values is None:
            continue
        if len(values) != table.num_rows:
            raise ValueError(f"X has {table.num_rows} rows and the {meaning} has {len(values)}")
        name = meaning
        while name in names:
            name += "_"
        table = table.append_column(name, pa.array(np.asarray(values), from_pandas=True))
        columns[meaning] = name
    return table_sources(table, **columns)
