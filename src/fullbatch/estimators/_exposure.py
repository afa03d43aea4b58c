"""How long, or how much of it, each row was observed: under the logarithmic link an offset of the logarithms."""

from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..data.arrow import as_table
from ..data.beside import check_index, one_column, only
from ..data.columns import check_there
from ..data.kinds import Kind, kind_of
from ..errors import DataError
from ..models.describe import as_numbers
from ._regression import Regression

Array = npt.NDArray[Any]

_TABLES = (Kind.TABLE, Kind.NUMBERS_TABLE)


class Exposed(Regression):
    """A regression that takes exposures where its link is logarithmic."""

    def fit(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None, exposure: Any = None
    ) -> Self:
        """Fit the model.

        Parameters
        ----------
        X, y, sample_weight, offset
            As for every linear model: see `fullbatch.estimators.LinearEstimator`.
        exposure : (n,) array_like or str, optional
            How long, or how much of it, each row was observed: positive numbers, whose logarithms are added to the
            linear predictors. Or the name of a column of X. Rows in memory only; `predict`, `score`, `evaluate`,
            `checks` and `inference` take it too.

        Returns
        -------
        self

        Raises
        ------
        DataError
            The data cannot be used; says where and why.
        """
        X, offset = self._with_exposure(X, offset, exposure)
        return super().fit(X, y, sample_weight, offset=offset)

    def predict(self, X: Any, *, offset: Any = None, exposure: Any = None, lazy: bool = False) -> Any:
        """Predicted mean of each row, shape (n,), of so much exposure as it has.

        X, offset and exposure are as for `fit`; sources, and what is of Dask or Ray, are read on the engine's workers.
        With `lazy` the predictions for a Dask data frame are a Dask series, those for a Dask array another one.
        """
        X, offset = self._with_exposure(X, offset, exposure)
        return super().predict(X, offset=offset, lazy=lazy)

    def score(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None, exposure: Any = None
    ) -> float:
        """Share of the deviance explained, D^2; of the normal family, the Huber and the quantile loss R^2, the same of
        squares.

        Equal targets leave no deviance to explain: 1.0 for predictions that equal them, up to rounding, otherwise 0.0.
        """
        X, offset = self._with_exposure(X, offset, exposure)
        return super().score(X, y, sample_weight, offset=offset)

    def evaluate(
        self, X: Any, y: Any = None, sample_weight: Any = None, *, offset: Any = None, exposure: Any = None
    ) -> dict[str, float]:
        """As for every linear model; `exposure` as for `fit`."""
        X, offset = self._with_exposure(X, offset, exposure)
        return super().evaluate(X, y, sample_weight, offset=offset)

    def checks(
        self,
        X: Any = None,
        y: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        **how: Any,
    ) -> Any:
        """As for every linear model; `exposure` as for `fit`."""
        X, offset = self._with_exposure(X, offset, exposure)
        return super().checks(X, y, sample_weight, offset=offset, **how)

    def inference(
        self,
        X: Any = None,
        y: Any = None,
        sample_weight: Any = None,
        *,
        offset: Any = None,
        exposure: Any = None,
        **how: Any,
    ) -> Any:
        """As for every linear model; `exposure` as for `fit`."""
        X, offset = self._with_exposure(X, offset, exposure)
        return super().inference(X, y, sample_weight, offset=offset, **how)

    def _with_exposure(self, X: Any, offset: Any, exposure: Any) -> tuple[Any, Any]:
        if exposure is None or X is None:  # which is told of
            return X, offset
        self._check_parameters()
        if (link := self._family.link.name) != "log":
            raise ValueError(
                f"exposure stands for an offset under the logarithmic link, and this link is {link!r}: leave exposure "
                "out, and give an offset if one is meant"
            )
        return offset_of(X, offset, exposure)


def offset_of(X: Any, offset: Any, exposure: Any) -> tuple[Any, Array]:
    """X without the columns that the arguments name, and the offset that stands for both.

    Parameters
    ----------
    X : (n, p) array_like, sparse matrix or data frame
        Rows in memory.
    offset : (n,) array_like or str, optional
        Added to the logarithms.
    exposure : (n,) array_like or str
        Positive numbers; or the name of a column of X.

    Raises
    ------
    DataError, ValueError
        An exposure is not positive, or there is not one for each row; or the rows are not in memory.
    """
    kind = kind_of(X)
    if kind not in (*_TABLES, Kind.MATRIX):
        raise ValueError(
            f"exposure is taken beside rows in memory, and X is a {kind.value}: name a column of its logarithms as the "
            "offset there"
        )
    named = {name: given for name, given in (("exposure", exposure), ("offset", offset)) if isinstance(given, str)}
    columns = {"exposure": exposure, "offset": offset}
    if named:
        if kind not in _TABLES:
            name, column = next(iter(named.items()))
            raise ValueError(f"{name}={column!r} names a column, and X has no names of columns: give values")
        frame = X if hasattr(X, "columns") and not isinstance(X, pa.Table) else as_table(X)
        there = list(frame.column_names if isinstance(frame, pa.Table) else frame.columns)
        check_there(list(named.values()), there, "X")
        columns |= {name: frame[column] for name, column in named.items()}
        X = only(X, [column for column in there if column not in named.values()], "X")
    n = X.shape[0] if hasattr(X, "shape") else len(X)
    values = _numbers(X, columns["exposure"], "exposure", n)
    wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
    if wrong.size:
        row = int(wrong[0])
        raise DataError(f"row {row}: the exposure is {values[row]:g}, it must be positive and finite: correct it")
    logarithms = np.log(values)
    return X, logarithms if offset is None else logarithms + _numbers(X, columns["offset"], "offset", n)


def _numbers(X: Any, given: Any, name: str, n: int) -> Array:
    if all(hasattr(getattr(one, "index", None), "equals") for one in (X, given)):
        check_index(X.index, given.index, name)
    values = as_numbers(one_column(given), name)
    if values.shape != (n,):
        raise DataError(f"X has {n} rows and {name} has shape {values.shape}: it must be ({n},)")
    return values
