"""Which rows a cross-validation holds out: folds by numbers of rows, or what a splitter of scikit-learn says."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import sklearn  # loads its parts when they are asked for
from sklearn.utils import _safe_indexing

from ..data.beside import values_of
from ..data.kinds import Kind, kind_of
from ..errors import DataError
from ..models.by_row import ByRow, Dealt
from ..models.describe import as_labels
from ..wording.arguments import is_number

Array = npt.NDArray[Any]

# Where rows are not in this process, so that only their numbers are known.
_ELSEWHERE = (Kind.SOURCES, Kind.DASK_FRAME, Kind.DASK_ARRAY, Kind.RAY_DATASET, Kind.LAZY)

# Folds where nobody has told.
_USUAL = 5


@dataclass(frozen=True, eq=False)
class Splits:
    """K splits of the rows in those that a fit sees and those that it is judged by.

    Parameters
    ----------
    count : int
        K.
    rows : list of K pairs of int arrays
        Numbers of the rows of each fit, and of those held out; none where the rows are not in this process, which are
        then dealt by a hash of their numbers.
    X, y : as given to `fit`
        Of rows in memory.
    scored : mapping of str to object
        What scorers are told beside them.
    dealt : Dealt, optional
        The splits as blocks take them.
    """

    count: int
    rows: list[tuple[Array, Array]] = field(default_factory=list)
    X: Any = None
    y: Any = None
    scored: Mapping[str, Any] = field(default_factory=dict)
    dealt: Dealt | None = None

    @classmethod
    def of(
        cls,
        cv: Any,
        X: Any,
        y: Any,
        told: Mapping[str, Any] | None = None,
        scored: Mapping[str, Any] | None = None,
        classes: bool = False,
    ) -> "Splits":
        """The splits that `cv` makes of the rows.

        Parameters
        ----------
        cv : int, splitter of scikit-learn, iterable of pairs of arrays, or None
            A number of folds, 5 for None; or, of rows in memory, what tells the rows' numbers.
        X, y : as for `fit`
            Checked already.
        told : mapping of str to object, optional
            What the splitter is told beside X and y.
        scored : mapping of str to object, optional
            What scorers are.
        classes : bool
            Whether folds of which only the number is told have about the same share of each class.

        Raises
        ------
        ValueError
            It is none of these, or says something that is not possible.
        """
        if kind_of(X) in _ELSEWHERE:
            if not (cv is None or (is_number(cv) and int(cv) == cv and cv >= 2)):
                raise ValueError(
                    f"cv must be a number of folds, 2 or more, or None for {_USUAL}, of rows that are not in memory, "
                    f"got {cv!r}: which of them a row is in is a function of its number"
                )
            return cls(_USUAL if cv is None else int(cv))
        X, y = _by_rows(X), column_of(X, y)
        if classes:
            y, row, what = as_labels(y, "the targets")
            if row is not None:
                raise DataError(f"row {row}: {what}")
        if y.dtype.kind == "f" and not np.isfinite(y).all():
            row = int(np.flatnonzero(~np.isfinite(y))[0])
            raise DataError(f"row {row}: the target y is {y[row]:g}: correct it, or leave the row out")
        scored = {name: column_of(X, values) for name, values in (scored or {}).items()}
        splitter = sklearn.model_selection.check_cv(_USUAL if cv is None else cv, y, classifier=classes)
        n = len(y)
        rows = [(_numbers(train, n), _numbers(test, n)) for train, test in splitter.split(X, y, **(told or {}))]
        if not rows:
            raise ValueError(f"cv has no splits: {cv!r}")
        return cls(len(rows), rows, X, y, scored, Dealt(_times(rows, n)))

    @property
    def in_memory(self) -> bool:
        """Whether it is known which rows are held out."""
        return bool(self.rows)

    @property
    def apart(self) -> bool:
        """Whether the splits are no folds that each row is in one of."""
        return self.dealt is not None and not self.dealt.exclusive

    def with_folds(self, model: Any) -> Any:
        """The model whose blocks know the splits."""
        return model if self.dealt is None else ByRow(model, self.dealt)

    def held_out(self) -> Iterator[tuple[Any, Array, dict[str, Any]]]:
        """Of each split X, y and what scorers are told beside them, of the rows held out."""
        for _, test in self.rows:
            told = {name: values[test] for name, values in self.scored.items()}
            yield _safe_indexing(self.X, test), self.y[test], told


def _by_rows(X: Any) -> Any:
    """What can be indexed by numbers of rows."""
    return X.tocsr() if hasattr(X, "tocsr") else X if hasattr(X, "shape") else np.asarray(X)


def column_of(X: Any, values: Any) -> Any:
    """Targets, or what else there is one of for each row, as an array; a name stands for a column of X."""
    if isinstance(values, str):
        values = X[values]
    values = values_of(values)
    if values.ndim == 0:  # one weight for all rows
        return np.full(_by_rows(X).shape[0], values)
    return values[:, 0] if values.ndim == 2 and values.shape[1] == 1 else values


def _numbers(rows: Any, n: int) -> Array:
    """Numbers of rows that a splitter names, which may do so by a mask."""
    rows = np.asarray(rows)
    numbers = np.flatnonzero(rows) if rows.dtype == bool and rows.shape == (n,) else rows
    if numbers.size and not (
        numbers.dtype.kind in "iu" and numbers.ndim == 1 and -n <= numbers.min() <= numbers.max() < n
    ):
        raise ValueError(f"cv must give numbers of rows from 0 to {n - 1}, or a mask of {n} of them, got {rows!r}")
    return numbers.astype(np.intp) % n


def _times(rows: list[tuple[Array, Array]], n: int) -> Array:
    """The fold of each row where each is held out once and all others are fitted to; else what each part counts."""
    fold = np.full(n, -1, np.intp)
    exclusive = sum(len(test) for _, test in rows) == n
    for number, (train, test) in enumerate(rows):
        fold[test] = number
        exclusive = exclusive and len(train) + len(test) == n and np.bincount(train).max(initial=0) <= 1
    if exclusive and (fold >= 0).all() and not any((fold[train] == k).any() for k, (train, _) in enumerate(rows)):
        return fold
    counts = [np.bincount(pair[part], minlength=n) for part in (0, 1) for pair in rows]
    return np.array([np.ones(n, np.intp), *counts], np.int32)
