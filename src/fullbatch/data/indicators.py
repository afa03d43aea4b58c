"""Columns that tell which numbers are missing, beside the values that stand for them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..protocols.rows import Rows, is_sparse
from ..protocols.schema import Features
from .features import column_names, filled, matched

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class Indicators:
    """Makes the columns of a model: those of the data, and behind the numbers one for each that had holes in the fit.

    Parameters
    ----------
    features : Features
        Of the data.
    places : tuple of int
        Columns of numbers that have an indicator, which is 1 where the number is missing.
    """

    features: Features
    places: tuple[int, ...]

    @classmethod
    def of_model(cls, features: Features, places: tuple[int, ...]) -> "Indicators":
        """From the columns of the model."""
        count = features.numeric - len(places)
        names = features.names[:count] + features.names[features.numeric :]
        return cls(Features(count, features.levels, names), places)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns of numbers that have an indicator; x0, x1, ... where they have none."""
        names = column_names(self.features.names, self.features.numeric)
        return tuple(names[place] for place in self.places)

    def rows(self, rows: Rows, missing: Mapping[str, Any], unknown: str, source: Any) -> Rows:
        """Rows with the columns of the model, from rows with those of the data, in which missing numbers are NaN.

        Parameters
        ----------
        rows : Rows
        missing : mapping of str to value
            What stands for missing values, by column.
        unknown : {"error", "ignore"}
            Not looked at: levels stay as they are.
        source : Source or str
            For messages.
        """
        features = self.features
        rows = matched(rows, features, {}, source)
        places = [place for place in self.places if place < rows.X.shape[1]]
        own = rows.X[:, places]
        absent = np.isnan(own.toarray() if is_sparse(own) else own) if rows.X.dtype.kind == "f" else np.zeros(own.shape)
        rows = filled(rows, column_names(features.names, features.numeric), missing)
        X, beside = rows.X, (absent / rows.scale).astype(rows.X.dtype)
        if is_sparse(X):
            from scipy.sparse import csr_array, hstack

            X = hstack((csr_array(X), csr_array(beside)), format="csr")
        else:
            X = np.column_stack((X, beside))
        names = rows.names
        if features.names:
            told = [f"{name}=missing" for name in self.names]
            names = (*features.names[: features.numeric], *told, *features.names[features.numeric :])
        return replace(rows, X=X, names=names)
