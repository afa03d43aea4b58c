"""Sources from arrays in memory: NumPy and scipy.sparse."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..protocols.rows import Rows, Size
from .beside import values_of
from .cut import cut
from .features import AS_THEY_ARE, as_features, refuse_masked
from .kinds import Kind, kind_of

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class ArraySource:
    """Some rows of an array. Sent to a worker, it carries those rows only.

    Parameters
    ----------
    X : (n, p) dense array or scipy.sparse CSR array
        Features of these rows.
    y : (n,) array or None
        Targets.
    weight : (n,) array or None
        Sample weights.
    scale : float
        The value of a feature is `X * scale`.
    offset : (n,) array or None
        Added to every linear predictor.
    first_row : int
        Where these rows begin in the whole array, for messages.
    names : tuple of str
        Of the columns; may be empty.
    """

    X: Any
    y: Array | None
    weight: Array | None
    scale: float
    offset: Array | None
    first_row: int
    names: tuple[str, ...]

    def read(self) -> Rows:
        """The rows, in a type that the kernels take."""
        try:
            X = as_features(self.X)
        except DataError as error:
            raise DataError(f"{self}: {error}") from None
        return Rows(X, self.y, self.weight, self.scale, self.offset, (), self.names)

    @property
    def size(self) -> Size:
        """They are in memory already, unless their numbers must be converted."""
        arrays = [self.X.data, self.X.indices, self.X.indptr] if hasattr(self.X, "indptr") else [self.X]
        arrays += [array for array in (self.y, self.weight, self.offset) if array is not None]
        held = self.X.dtype in AS_THEY_ARE
        width = 0 if held else 8
        return Size(self.X.shape[0], sum(max(array.itemsize, width) * array.size for array in arrays), held=held)

    def __str__(self) -> str:
        return f"array rows {self.first_row}..{self.first_row + self.X.shape[0] - 1}"


def array_sources(
    X: Any,
    y: Any = None,
    sample_weight: Any = None,
    offset: Any = None,
    *,
    scale: float = 1.0,
    names: Sequence[str] = (),
    blocks: int | None = None,
    block_rows: int | None = None,
) -> list[Any]:
    """Cut arrays into sources, one per block.

    Parameters
    ----------
    X : (n, p) array_like, scipy.sparse matrix or array, or Dask array
        Features; chunks of a Dask array are computed by the workers, and y, weights and offset may be Dask arrays too.
        float32, float64, uint8 and int8 stay as they are; float16 becomes float32, truth values uint8, other numbers
        float64; sparse becomes CSR.
    y : (n,) array_like, optional
        Targets.
    sample_weight : (n,) array_like, optional
        Weights; default: 1 for every row.
    offset : (n,) array_like, optional
        Added to every linear predictor, such as the logarithm of an exposure; default: 0 for every row.
    scale : float
        The value of a feature is `X * scale`: pixel bytes are `scale=1/255`.
    names : sequence of str
        Of the columns, for messages and fitted models; default: none.
    blocks, block_rows : int, optional
        How many blocks, or how many rows in each; default: by the shape of X alone.

    Returns
    -------
    list of Source

    Raises
    ------
    DataError
        Shapes do not fit together, or there are no rows.
    """
    if not np.isfinite(scale):
        raise DataError(f"scale must be finite, got {scale}")
    if kind_of(X) is Kind.DASK_ARRAY:
        from .dask_ import dask_array_sources

        return dask_array_sources(X, y, sample_weight, offset, scale, tuple(names), blocks, block_rows)
    if hasattr(X, "tocsr"):
        X = X.tocsr()
        values_per_row = X.nnz / max(1, X.shape[0])
    else:
        refuse_masked("X", X)
        X = np.asarray(X)
        if X.ndim != 2:
            raise DataError(f"X has {X.ndim} dimension(s), it must have two, rows by columns: Reshape your data")
        values_per_row = X.shape[1]
    y, sample_weight = _column("y", y, X.shape[0]), _column("sample_weight", sample_weight, X.shape[0])
    offset = _column("offset", offset, X.shape[0])
    return [
        ArraySource(
            _rows(X, start, stop),
            None if y is None else y[start:stop],
            None if sample_weight is None else sample_weight[start:stop],
            scale,
            None if offset is None else offset[start:stop],
            start,
            tuple(names),
        )
        for start, stop in cut(X.shape[0], values_per_row, blocks, block_rows, X.shape[1])
    ]


def _rows(X: Any, start: int, stop: int) -> Any:
    """Some rows, without a copy of their entries, which slicing a sparse array would make."""
    if not hasattr(X, "indptr"):
        return X[start:stop]
    rows = type(X)((stop - start, X.shape[1]), dtype=X.dtype)
    first, last = X.indptr[start], X.indptr[stop]
    # Set one by one: the constructor would copy 64-bit indices into 32 bits.
    rows.data, rows.indices, rows.indptr = X.data[first:last], X.indices[first:last], X.indptr[start : stop + 1] - first
    return rows


def _column(name: str, values: Any, n_rows: int) -> Array | None:
    if values is None:
        return None
    column = values_of(values)
    if column.shape != (n_rows,):
        raise DataError(f"X has {n_rows} rows and {name} has shape {column.shape}: it must be ({n_rows},)")
    return column
