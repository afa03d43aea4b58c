"""How much each row has to say: leverages, residuals, and what leaving the row out would change, block by block.

Leaving a row out is one step of Fisher scoring from the estimate (Pregibon, 1981; Williams, 1987), which is exact for
the normal family.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..protocols.rows import is_sparse
from .design import Design
from .sums import Counting, leverages
from .weights import Weights

Array = npt.NDArray[Any]


@dataclass(frozen=True, eq=False)
class InfluenceOf:
    """Answers a block with the influence of its rows, a table in their order; NaN for those of weight 0.

    Parameters
    ----------
    design : Design
    weights : Weights
    bread : (width, width) array
        Inverse of the expected information.
    dispersion : float
    df_model, df_residual : float
        Parameters, and the residual degrees.
    errors : (width,) array or None
        Standard errors that changes of the parameters are divided by; None for none of these.
    """

    design: Design
    weights: Weights
    bread: Array
    dispersion: float
    df_model: float
    df_residual: float
    errors: Array | None = None

    def __call__(self, index: int, source: Any) -> pa.Table:
        counting = Counting.of(self.design, source)
        parts = [self._of(*piece[:4]) for piece in counting.pieces(self.design.beta)]
        names = list(parts[0]) if parts else []
        columns = {name: np.full(counting.total, np.nan) for name in names or self._of_none()}
        for name in names:
            columns[name][counting.places] = np.concatenate([part[name] for part in parts])
        return pa.table(columns)

    def _of_none(self) -> list[str]:
        X, none = np.zeros((0, self.design.width)), np.zeros(0)
        return list(self._of(X, none, none, none[:, None]))

    def _of(self, X: Any, y: Array, weight: Array, eta: Array) -> dict[str, Array]:
        family, of_one = self.design.fitted.family, self.weights.of_leverage(y, weight)
        rates = family.rates(y, eta)
        leverage = leverages(X, rates, self.bread, of_one)
        left = np.maximum(1.0 - leverage, 1e-12)
        signs = np.where(rates.slope[:, 0] > 0, -1.0, 1.0)
        residual = signs * np.sqrt(of_one * family.squares(y, eta))
        studentized = residual / np.sqrt(self.dispersion * left)
        columns = {"leverage": leverage, "residual": residual, "studentized": studentized}
        if family.loss == "squared":
            ratio = (self.df_residual - 1.0) / np.maximum(self.df_residual - studentized**2, 1e-12)
            columns["externally_studentized"] = studentized * np.sqrt(ratio)
        columns["cooks_distance"] = studentized**2 * leverage / (left * self.df_model)
        if self.errors is not None:
            through = X @ self.bread
            dense = through.toarray() if is_sparse(through) else through
            change = dense * (-rates.slope[:, 0] * of_one / left)[:, None] / self.errors
            columns |= {f"dfbetas:{name}": change[:, j] for j, name in enumerate(self.design.names)}
        return columns
