"""The features of a block's rows as they are stored, and some of their rows and columns."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.features import sparse_columns
from ..protocols.rows import Category, is_sparse
from .describe import canonical

Array = npt.NDArray[Any]

EVERY = slice(None)


@dataclass(frozen=True, slots=True, eq=False)
class StoredFeatures:
    """Features of the rows of a block.

    Parameters
    ----------
    X : (n, p) array or CSR array
        Numeric columns as the source gave them; of very many sparse columns those that are `touched`.
    codes : (n, q) int32 array or None
        Of categorical columns: the numbers of the rows' levels among all levels.
    touched : (t,) int array or None
        Which columns those of X are; None for all.
    columns : int
        Of the model.
    """

    X: Any
    codes: Array | None
    touched: Array | None
    columns: int

    def of_rows(self, taken: Any) -> Any:
        """Numeric columns of some rows, as the source gave them."""
        X = self.X if taken is EVERY else self.X[taken]  # which would copy sparse rows
        if self.touched is None:
            return X
        return type(X)((X.data, self.touched[X.indices], X.indptr), shape=(X.shape[0], self.columns))

    def encoded(self, taken: Any) -> Any:
        """All columns of some rows; where there are levels, with a column for each of them, as CSR rows."""
        X = self.of_rows(taken)
        return X if self.codes is None else self._with_levels(X, self.codes[taken])

    def dense(self, taken: Any) -> Array:
        """All columns of some rows, (m, columns)."""
        X = self.of_rows(taken)
        if self.codes is not None:
            ones = np.zeros((len(X), self.columns), X.dtype)
            ones[:, : X.shape[1]] = X
            ones[np.arange(len(X))[:, None], X.shape[1] + self.codes[taken]] = 1
            return ones
        dense: Array = X.toarray() if is_sparse(X) else X
        return dense

    def of_columns(self, columns: Array) -> tuple[Any, Array]:
        """Some columns of all rows, and which of them these are: no row of this block has entries in the others."""
        X, stored, place = self.X, columns, np.arange(len(columns))
        if not is_sparse(X) and self.codes is None:
            return np.ascontiguousarray(X[:, columns]), place
        if self.codes is not None:
            X = self._with_levels(X, self.codes)
        if self.touched is not None:
            stored = np.searchsorted(self.touched, columns)
            there = stored < self.touched.size
            there[there] = self.touched[stored[there]] == columns[there]
            stored, place = stored[there], np.flatnonzero(there)
        return canonical(X[:, stored]), place

    def categories(self, taken: Any, levels: tuple[Array, ...]) -> tuple[Category, ...]:
        """Categorical columns of some rows, as a source tells them."""
        if self.codes is None:
            return ()
        first = np.cumsum([0, *map(len, levels)]).astype(np.int32)
        return tuple(Category(self.codes[taken, c] - first[c], one) for c, one in enumerate(levels))

    def _with_levels(self, X: Any, codes: Array) -> Any:
        return sparse_columns(X, X.shape[1] + codes, np.ones(codes.shape), self.columns)
