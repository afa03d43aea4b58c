"""The rows of a sample as each linear predictor multiplies them, dense or sparse, and the products that are made of
them, by NumPy and SciPy: the same bits whatever the number of threads. The driver makes them of all its rows, or each
block of its own.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ..machine.blas import one_thread
from ..protocols.answers import SampleSums

Array = npt.NDArray[Any]

# Sparse rows are made dense where they hold at least one value for so many columns: products are then faster, and take
# no more memory.
_DENSE_COLUMNS = 4

# Rows whose products are added in one call of BLAS; sums of such chunks are float64.
_CHUNK = 2048
# The same where each is multiplied by several factors.
_WIDE_CHUNK = 256

# Seconds for one product in a Gram matrix, of dense rows and of sparse ones: only their ratio matters.
_DENSE_PRODUCT, _SPARSE_PRODUCT = 1e-11, 4e-9


@dataclass(frozen=True, eq=False)
class _Rows:
    """Rows, less a shift that is the same for all of them.

    Parameters
    ----------
    X : (m, p) array or CSR array
    shift : (p,) or (0,) array
        Subtracted from each row; empty for nothing, where rows are dense.
    intercept : bool
        Whether a column of ones follows.
    """

    X: Any
    shift: Array
    intercept: bool

    @property
    def width(self) -> int:
        """Columns, that of ones included."""
        return int(self.X.shape[1]) + self.intercept

    @property
    def dtype(self) -> Any:
        """Precision of the products."""
        return self.X.dtype


@dataclass(frozen=True, eq=False)
class DenseDesign(_Rows):
    """Dense rows as they were gathered; no other copy of them is made.

    Parameters
    ----------
    kept : (k,) int array, optional
        The rows that count; default: all of them.
    """

    kept: Array | None = None

    def __len__(self) -> int:
        return len(self.X) if self.kept is None else len(self.kept)

    def taken(self, rows: Any) -> "DenseDesign":
        """Some of the rows."""
        if self.kept is not None:
            return replace(self, kept=self.kept[rows])
        return replace(self, X=self.X[rows]) if isinstance(rows, slice) else replace(self, kept=rows)

    def times(self, coefs: Array) -> Array:
        """(m, J) products with the (width, J) columns of `coefs`."""
        coefs = coefs.astype(self.dtype, copy=False)
        product = np.empty((len(self), coefs.shape[1]), self.dtype)
        with one_thread():
            for some, rows in self._chunks():
                np.matmul(rows, coefs[: rows.shape[1]], out=product[some])
        if self.intercept:
            product += coefs[-1]
        return product

    def back(self, slopes: Array) -> Array:
        """(width, J) sums of the rows times the (m, J) `slopes`."""
        total = np.zeros((self.width, slopes.shape[1]))
        slopes = slopes.astype(self.dtype, copy=False)
        with one_thread():
            for some, rows in self._chunks():
                total[: rows.shape[1]] += rows.T @ slopes[some]
        if self.intercept:
            total[-1] = slopes.sum(axis=0, dtype=np.float64)
        return total

    def gram(self, factor: Array) -> Array:
        """Sum of factor x x', (width, width)."""
        p, total = self.X.shape[1], np.zeros((self.width, self.width))
        root = np.sqrt(factor).astype(self.dtype)[:, None]
        for some, rows in self._chunks():
            with np.errstate(over="ignore", invalid="ignore"):  # seen by whoever factorises it
                own = self.kept is not None or self.shift.size > 0  # a copy already
                scaled = np.multiply(rows, root[some], out=rows if own else None)
                total[:p, :p] += scaled.T @ scaled
                if self.intercept:
                    total[:p, p:] += scaled.T @ root[some]
        if self.intercept:
            total[p, :p] = total[:p, p]
            total[p, p] = factor.sum()
        return total

    def grams(self, factors: Array) -> Array:
        """Gram matrices under (J, m) factors of any sign, (J, width, width)."""
        width, of_rows = self.width, factors.T.astype(self.dtype)
        total = np.zeros((width, len(factors) * width))
        for some, rows in self._chunks(_WIDE_CHUNK):
            if self.intercept:
                rows = np.column_stack((rows, np.ones(len(rows), self.dtype)))
            with np.errstate(over="ignore", invalid="ignore"):
                total += rows.T @ (of_rows[some, :, None] * rows[:, None]).reshape(len(rows), -1)
        return total.reshape(width, len(factors), width).swapaxes(0, 1)

    def squares(self, factor: Array) -> Array:
        """Diagonal of the Gram matrix, (width,)."""
        total = np.zeros(self.width)
        with np.errstate(over="ignore"):
            for some, rows in self._chunks():
                total[: rows.shape[1]] += np.einsum("m,mw,mw->w", factor[some], rows, rows, dtype=np.float64)
        if self.intercept:
            total[-1] = factor.sum()
        return total

    def _chunks(self, at_a_time: int = _CHUNK) -> Iterator[tuple[slice, Array]]:
        """The rows less the shift, so many at a time."""
        for start in range(0, len(self), at_a_time):
            some = slice(start, start + at_a_time)
            rows = self.X[some if self.kept is None else self.kept[some]]
            if self.shift.size:
                rows = np.subtract(rows, self.shift, out=np.empty_like(rows), casting="same_kind")
            yield some, rows


@dataclass(frozen=True, eq=False)
class SparseDesign(_Rows):
    """Sparse rows, whose shift is taken from the products."""

    def __len__(self) -> int:
        return int(self.X.shape[0])

    def taken(self, rows: Any) -> "SparseDesign":
        """Some of the rows."""
        return SparseDesign(self.X[rows], self.shift, self.intercept)

    def times(self, coefs: Array) -> Array:
        """(m, J) products with the (width, J) columns of `coefs`."""
        of_columns = coefs[: self.X.shape[1]]
        level = -np.einsum("w,wj->j", self.shift, of_columns)
        if self.intercept:
            level = level + coefs[-1]
        product: Array = self.X @ of_columns
        return product + level

    def back(self, slopes: Array) -> Array:
        """(width, J) sums of the rows times the (m, J) `slopes`."""
        total = slopes.sum(axis=0)
        of_columns = self._by_column @ slopes - self.shift[:, None] * total
        return np.vstack((of_columns, total)) if self.intercept else of_columns

    def gram(self, factor: Array) -> Array:
        """Sum of factor x x', (width, width)."""
        (count, p), entries = self.X.shape, np.diff(self.X.indptr).astype(np.float64)
        if _SPARSE_PRODUCT * float((entries**2).sum()) < _DENSE_PRODUCT * count * p * p:
            scaled = self.X.copy()
            scaled.data = scaled.data * np.repeat(factor, np.diff(self.X.indptr))
            products = (self._by_column @ scaled).toarray()
        else:
            products = np.zeros((p, p))
            for start in range(0, count, _CHUNK):
                rows = slice(start, start + _CHUNK)
                part = self.X[rows].toarray() * np.sqrt(factor[rows])[:, None]
                products += part.T @ part
        total, sums = float(factor.sum()), self._by_column @ factor
        if self.shift.any():
            crossed = np.outer(sums, self.shift)
            products += total * np.outer(self.shift, self.shift) - crossed - crossed.T
        if not self.intercept:
            return products
        sums = sums - total * self.shift
        return np.block([[products, sums[:, None]], [sums[None], np.full((1, 1), total)]])

    def grams(self, factors: Array) -> Array:
        """Gram matrices under (J, m) factors of any sign, (J, width, width)."""
        return np.array([self.gram(np.maximum(one, 0.0)) - self.gram(np.maximum(-one, 0.0)) for one in factors])

    def squares(self, factor: Array) -> Array:
        """Diagonal of the Gram matrix, (width,)."""
        squared = self.X.copy()
        squared.data = squared.data.astype(np.float64) ** 2
        total = float(factor.sum())
        of_columns = squared.T @ factor - 2.0 * self.shift * (self._by_column @ factor) + total * self.shift**2
        of_columns = np.maximum(of_columns, 0.0)  # it is not negative, but for rounding
        return np.append(of_columns, total) if self.intercept else of_columns

    @cached_property
    def _by_column(self) -> Any:
        return self.X.T.tocsr()


Design = DenseDesign | SparseDesign


def keeps_sparse(looked_up: float, dense_columns: int | None, width: int) -> bool:
    """Whether rows of so many columns, with so many values, are kept sparse."""
    return looked_up > 0 and _DENSE_COLUMNS * (looked_up + (dense_columns or 0)) < width


def design_of(X: Any, shift: Array | None, intercept: bool, sparse: bool, dtype: str) -> Design:
    """Rows less a shift, with a column of ones for an intercept; sparse ones are made dense unless told to stay."""
    is_csr = hasattr(X, "tocsr")
    if is_csr and sparse:
        return SparseDesign(X, np.zeros(X.shape[1]) if shift is None else shift, intercept)
    X = np.asarray(X.toarray() if is_csr else X, dtype)
    return DenseDesign(X, np.zeros(0) if shift is None else shift, intercept)


def as_solved(sums: SampleSums, predictors: Array, size: int, pull_back: Callable[[Array], Array]) -> Array:
    """The matrices in the solver's variables.

    Parameters
    ----------
    sums : SampleSums
        In the blocks' variables, of columns less their center.
    predictors : (K, width) int array
        Coordinates of theta of each linear predictor; the columns have theirs alike.
    size : int
        Length of theta.
    pull_back : callable
        Gradients, (m, size), in the solver's variables from those in the blocks'.
    """
    matrices, center = sums.matrices, sums.center
    places, width = predictors[: len(matrices)], predictors.shape[1]
    coefs, intercepts = places[:, : len(center)], places[:, len(center) :]
    at_a_time = max(1, width // len(predictors))  # gradients, of which each is as long as all predictors together
    for _ in range(2):  # of rows, then of columns
        turned = np.empty_like(matrices)
        for start in range(0, width, at_a_time):
            some = slice(start, start + at_a_time)
            of_columns = np.zeros((len(matrices[0, some]), size))
            of_columns[:, places] = matrices[:, some].swapaxes(0, 1)
            level = np.zeros_like(of_columns)
            level[:, intercepts] = of_columns[:, intercepts]
            level[:, coefs] = center * level[:, intercepts].sum(axis=-1, keepdims=True)
            of_columns[:, intercepts] = 0.0
            # Apart, so that columns' means, which may be far larger than their spread, cancel where they are alike.
            pulled = pull_back(of_columns) + pull_back(level)
            turned[:, :, some] = pulled[:, places].transpose(1, 2, 0)
        matrices = turned
    return matrices
