"""The penalty and the bounds of a linear model: from its parameters to what an objective takes."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..objective.objective import Objective
from ..objective.variables import Standardized
from ..protocols.schema import Features, Schema
from ..wording.arguments import is_number
from ._base_levels import Base, base_levels, held_at_zero
from ._per_column import PerColumn, check_per_column, per_column

Array = npt.NDArray[Any]


class Penalised:
    """An estimator whose coefficients are penalised, and may be bounded."""

    fit_intercept: bool
    l1_ratio: float
    lower_bounds: PerColumn
    upper_bounds: PerColumn
    base: Base
    l2_: float
    l1_: float

    def _intercepts(self, schema: Schema, outputs: int) -> int:
        """How many intercepts a model that has them has: one for each linear predictor, as a rule."""
        return outputs

    def _l1_share(self) -> float:
        """Share of the strength that is L1's."""
        return float(self.l1_ratio)

    def _most_l1(self) -> float:
        """The largest share of L1's that is tried."""
        return self._l1_share()

    def _group_share(self) -> float:
        """Share of the strength that is the norms' of groups: none, as a rule."""
        return 0.0

    def _groups(self, features: Features) -> tuple[Array, Array] | None:
        """The number of each column's group, and the strength of its norm; None without groups."""
        return None

    def _share_out(self, strength: float, l1_share: float) -> None:
        """Set the strengths of the parts of the penalty."""
        self.l2_, self.l1_ = (1.0 - l1_share) * strength, l1_share * strength

    def _bounds(self) -> tuple[PerColumn, PerColumn]:
        """What coefficients must not be below, and above."""
        return self.lower_bounds, self.upper_bounds

    def _shares(self, features: Features) -> tuple[Array | None, Array | None]:
        """What the strengths of L2 and L1 are multiplied by for each coefficient; None for 1."""
        return None, None

    def _intercept_shares(self) -> tuple[float, float]:
        """What the strengths of L2 and L1 are multiplied by for intercepts: those are free, as a rule."""
        return 0.0, 0.0

    def _penalty(self, schema: Schema, variables: Standardized, outputs: int) -> dict[str, Any]:
        """Strengths and bounds as an objective takes them."""

        def of_theta(of_columns: Array, of_intercepts: float) -> Array:
            intercepts = np.full(self._intercepts(schema, outputs) if self.fit_intercept else 0, of_intercepts)
            return np.concatenate((np.tile(of_columns, outputs), intercepts))

        strengths, shares = {"l2": self.l2_, "l1": self.l1_}, self._shares(schema.features)
        penalty: dict[str, Any] = {}
        for (name, strength), share, own in zip(strengths.items(), shares, self._intercept_shares(), strict=True):
            if share is None and own:
                share = np.ones(schema.n_features)
            penalty[name] = strength if share is None else of_theta(strength * share, strength * own)
        self._check_bounds(schema.features)
        lower, upper = self._bounds()
        for name, given, free in (("lower", lower, -np.inf), ("upper", upper, np.inf)):
            if given is None:
                continue
            bounds = per_column(f"{name}_bounds", given, schema.features, free)
            beyond = np.flatnonzero(~variables.used & ((bounds > 0) if name == "lower" else (bounds < 0)))
            if beyond.size:
                column = schema.features.names_out()[beyond[0]]
                why = "does not vary, so that its coefficient is zero beside an intercept"
                if held_at_zero(base_levels(self.base, schema.features), schema.features)[beyond[0]]:
                    why = "is a base level, whose coefficient is zero"
                raise DataError(
                    f"{name}_bounds: column {column!r} {why} and cannot be {bounds[beyond[0]]:g}: leave the column or "
                    "its bound out"
                )
            penalty[name] = of_theta(bounds * variables.scale, free)
        if (groups := self._groups(schema.features)) is not None:
            numbers, norms = groups
            penalty |= {"groups": of_theta(numbers, -1).astype(np.int64), "l21": of_theta(norms, 0.0)}
        return penalty

    def _check_bounds(self, features: Features) -> None:
        """Refuse bounds that no number is within."""
        least, most = self._bounds()
        lower = per_column("lower_bounds", least, features, -np.inf)
        upper = per_column("upper_bounds", most, features, np.inf)
        wrong = np.flatnonzero((lower > upper) | (lower == np.inf) | (upper == -np.inf))
        if wrong.size:
            first = wrong[0]
            raise DataError(
                f"column {features.names_out()[first]!r}: its coefficient must be at least {lower[first]:g} by "
                f"lower_bounds and at most {upper[first]:g} by upper_bounds, which no number is: correct one of them"
            )

    def _within(self, coef: Array, theta: Array, objective: Objective) -> Array:
        """Coefficients that the fit holds at a bound exactly at it, and all others within theirs."""
        coef, features = coef.copy(), objective.blocks.schema.features
        lower, upper = self._bounds()
        for given, told, bounds in (
            ("lower_bounds", lower, objective.penalty.lower),
            ("upper_bounds", upper, objective.penalty.upper),
        ):
            if told is not None:
                held = (theta == bounds)[: coef.size].reshape(coef.shape)
                bound = np.broadcast_to(per_column(given, told, features, np.nan), coef.shape)
                coef[held] = bound[held]
                coef = np.fmax(coef, bound) if given == "lower_bounds" else np.fmin(coef, bound)
        return coef

    def _check_penalty(self) -> None:
        """Refuse shares and bounds that are none."""
        self._check_l1_ratio()
        check_per_column("lower_bounds", self.lower_bounds)
        check_per_column("upper_bounds", self.upper_bounds)

    def _check_l1_ratio(self) -> None:
        if not (is_number(self.l1_ratio) and 0 <= self.l1_ratio <= 1):
            raise ValueError(f"l1_ratio must be a number from 0 to 1, got {self.l1_ratio!r}")
