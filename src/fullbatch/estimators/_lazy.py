"""Predictions for what is of Dask that stay with Dask: each partition's are computed when somebody asks for them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.beside import only
from ..data.fitted import given_to_predict
from ..data.kinds import Kind, kind_of

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class _Part:
    """What a method of a model makes of a partition, or of a chunk.

    Parameters
    ----------
    model : estimator
        Fitted.
    formula : callable
        The method, which takes the model and linear predictors.
    offset : str or None
        Column of the offsets.
    names : sequence of str
        Columns of the answer.
    """

    model: Any
    formula: Callable[[Any, Array], Array]
    offset: str | None
    names: Sequence[str]

    def array(self, X: Any) -> Array:
        if len(X):
            eta = self.model._eta_of(given_to_predict(X, self.model._fitted(), self.offset))
        else:
            eta = np.zeros((0, self.model._width()))
        return np.asarray(self.formula(self.model, eta))

    def frame(self, part: Any) -> Any:
        """A series, or a frame where the answer is a matrix, with the index of the partition."""
        answer = self.array(part)
        columns = [answer] if answer.ndim == 1 else answer.T
        found = part.iloc[:, :0].assign(**dict(zip(self.names, columns, strict=True)))
        return found[self.names[0]] if answer.ndim == 1 else found


def lazily(model: Any, formula: Callable[[Any, Array], Array], X: Any, offset: Any, names: Sequence[str]) -> Any:
    """What a method of a model makes of each partition, as a Dask series, data frame or array.

    Parameters
    ----------
    model : estimator
        Fitted, and such that it can be sent to workers.
    formula : callable
        The method, which takes the model and linear predictors.
    X : Dask data frame or array
        What to predict for.
    offset : str or None
        Column of the offsets, of a data frame.
    names : sequence of str
        Columns of the answer.

    Raises
    ------
    ValueError
        It is not of Dask, or the offsets are no column of it.
    """
    kind = kind_of(X)
    if kind not in (Kind.DASK_FRAME, Kind.DASK_ARRAY):
        raise ValueError(f"lazy=True is for Dask data frames and arrays, X is a {type(X).__name__}: leave it out")
    if offset is not None and not (kind is Kind.DASK_FRAME and isinstance(offset, str)):
        raise ValueError("with lazy=True the offset is the name of a column of a Dask data frame: give that")
    part = _Part(model, formula, offset, names)
    if kind is Kind.DASK_FRAME:
        if fitted := model.features_.names:
            X = only(X, [*fitted, *([] if offset is None else [offset])], "the Dask data frame")
        return X.map_partitions(part.frame, meta=part.frame(X._meta))
    X, like = X.rechunk({1: -1}), part.array(np.zeros((0, X.shape[1])))
    if like.ndim == 1:
        return X.map_blocks(part.array, drop_axis=1, dtype=like.dtype, meta=like)
    return X.map_blocks(part.array, chunks=(X.chunks[0], (like.shape[1],)), dtype=like.dtype, meta=like)
