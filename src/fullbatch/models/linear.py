"""Linear models: a loss of eta = X coef' + intercept; its blocks are in `_linear_block.py`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import DataError
from ..kernels.losses import LOSSES, Squared
from ..protocols.rows import Rows
from ..protocols.schema import Description, Problem, Schema
from ..wording.arguments import check_flag, is_number
from ..wording.messages import shortened
from . import _passes
from ._linear_block import LinearBlock
from ._null import fitted_null, null_of, sums_of
from ._passes import usual_passes
from .describe import as_numbers, describe
from .deviance import family_of

__all__ = ["Linear", "bad_offset", "bad_target", "usual_passes"]

Array = npt.NDArray[Any]

# Squares of numbers below this underflow.
_TOO_SMALL = 1e-140


@dataclass(frozen=True)
class Linear:
    """A linear model: theta is `coef` (outputs, features), row by row, then `intercept` (outputs,).

    Parameters
    ----------
    loss : str
        A name in `fullbatch.kernels.losses.LOSSES`: "squared", "huber" and "quantile" for numbers, and for those of a
        family "normal", "binomial" (shares from 0 to 1), "poisson", "gamma", "inverse.gaussian", "tweedie" and
        "negative.binomial"; "logistic" and "squared_hinge" for two classes, "softmax" for any number.
    intercept : bool
        Whether there is one; it is not penalised.
    class_weight : "balanced" or mapping of label to weight, optional
        Multiplies the sample weights of each class; "balanced" is total weight / (classes * weight of the class).
    options : mapping of str to float or str, optional
        What shapes the loss, such as {"delta": 1.0} for "huber": the fields of its class in `fullbatch.kernels.losses`;
        and of a family {"link": "identity"}, one of its `links` in `fullbatch.kernels.losses.LOSSES`.
    passes : {"auto", "plain", "compiled"}
        What computes: compiled passes, or plain NumPy, which needs nothing compiled. Default: what the environment
        variable FULLBATCH_PASSES says, else "auto", which takes plain NumPy for small data, by its shape alone. Both
        round in their own way. Losses that NumPy has no formulas for, and more than 65,536 columns, are compiled.
    """

    loss: str
    intercept: bool = True
    class_weight: str | Mapping[Any, float] | None = None
    options: Mapping[str, Any] | None = None
    passes: str = field(default_factory=usual_passes)

    takes_categories: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not (isinstance(self.loss, str) and self.loss in LOSSES):
            raise ValueError(f"unknown loss {self.loss!r}: choose from {', '.join(LOSSES)}")
        check_flag("intercept", self.intercept)
        _passes.check(self.passes)
        if self.class_weight is not None and not LOSSES[self.loss].labels:
            raise ValueError(f"class_weight needs classes, which the {self.loss} loss has not")
        if isinstance(self.class_weight, Mapping):
            for label, weight in self.class_weight.items():
                if not (is_number(weight) and 0 <= weight < np.inf):
                    raise ValueError(
                        f"class_weight of {label!r} is {weight!r}, it must be a number, finite and not negative"
                    )
        elif not (
            self.class_weight is None or (isinstance(self.class_weight, str) and self.class_weight == "balanced")
        ):
            raise ValueError(f"class_weight must be 'balanced' or a mapping, got {self.class_weight!r}")
        if not (self.options is None or isinstance(self.options, Mapping)):
            raise ValueError(
                f"options of the loss must be a mapping of names to numbers, or None, got {self.options!r}"
            )
        self._check_options(dict(self.options or {}))

    def _check_options(self, options: dict[str, Any]) -> None:
        loss = LOSSES[self.loss]
        known = [*loss.ranges, *(["link"] if loss.links else [])]
        unknown = [name for name in options if name not in known]
        if unknown:
            raise ValueError(f"the {self.loss} loss has no option {unknown[0]!r}: it has {', '.join(known) or 'none'}")
        link = options.pop("link", None)
        if link is not None and link not in loss.links:
            raise ValueError(f"the {self.loss} family has no link {link!r}: choose from {', '.join(loss.links)}")
        for name, value in options.items():
            if not (is_number(value) and np.isfinite(value)):
                raise ValueError(f"the {self.loss} loss: its option {name!r} must be a number, got {value!r}")
            low, high = loss.ranges[name]
            if not low < value < high:
                between = f"above {low:g}" if np.isinf(high) else f"between {low:g} and {high:g}, without these"
                raise ValueError(f"the {self.loss} loss: its option {name!r} must be {between}, got {value!r}")
        if self.loss == "tweedie" and 0 < options.get("power", 1.5) < 1:
            raise ValueError(
                f"the tweedie loss: its option 'power' must not be between 0 and 1, where no distribution is, got "
                f"{options['power']!r}"
            )

    def describe(self, rows: Rows, source: str) -> Description:
        """Check and describe a block's rows."""
        described = describe(rows, source, LOSSES[self.loss].labels, self.passes)
        described = replace(described, null=sums_of(self._pointwise, self.intercept, rows, described.target))
        problems = [described.problem, self._bad_target(rows, source), bad_offset(rows, source)]
        found = [problem for problem in problems if problem is not None]
        return replace(described, problem=min(found, key=lambda problem: problem.row)) if found else described

    def _bad_target(self, rows: Rows, source: str) -> Problem | None:
        if LOSSES[self.loss].labels:
            return None
        return bad_target(np.asarray(rows.y, np.float64), self.loss, self.options, source)

    def build(self, rows: Rows, schema: Schema, first_row: int) -> LinearBlock:
        """The block of these rows."""
        y, weight = rows.y, rows.weight
        assert y is not None
        outputs = self.outputs(schema)
        if not isinstance(self._pointwise, Squared):  # which squares nothing where squares are lost
            _refuse_too_small(schema)
        y, factor = schema.encode(y), self.class_factors(schema)
        if factor is not None:
            weight = factor[y] if weight is None else weight * factor[y]
        null, rows = null_of(self, schema, self._pointwise), replace(rows, y=y, weight=weight)
        passes = _passes.of_all(self.passes, self._pointwise, outputs, schema)
        return LinearBlock(self._pointwise, outputs, self.intercept, rows, schema, first_row, null, passes=passes)

    def null_deviance(self, schema: Schema) -> float:
        """Half the mean deviance of the null model, whose intercepts are fitted beside the offsets: infinite
        where there is none, NaN where the schema does not tell it exactly.
        """
        return fitted_null(self, schema, self._pointwise)

    @property
    def _pointwise(self) -> Any:
        """The loss with its options."""
        options = (self.options or {}).items()
        return LOSSES[self.loss].kind(**{name: value if name == "link" else float(value) for name, value in options})

    def outputs(self, schema: Schema) -> int:
        """Number of linear predictors.

        Raises
        ------
        DataError
            The data has fewer classes than the loss needs, or more than it can tell apart.
        """
        loss = LOSSES[self.loss]
        if not loss.labels:
            return 1
        assert schema.classes is not None
        count = len(schema.classes)
        if count < 2:
            raise DataError(
                f"the data has one class only, {schema.classes.tolist()[0]!r}: at least 2 are needed. "
                "Is the target the right column, and are all files there?"
            )
        if loss.per_class:
            return count
        if count > 2:
            raise DataError(f"the {self.loss} loss takes two classes and the data has {count}: use softmax")
        return 1

    def class_factors(self, schema: Schema) -> Array | None:
        """What `class_weight` multiplies each class's sample weights by; None for 1."""
        if self.class_weight is None:
            return None
        assert schema.classes is not None
        assert schema.class_weight is not None
        if isinstance(self.class_weight, str):
            present = schema.class_weight
            if not np.all(present > 0):
                absent = schema.classes[~(present > 0)].tolist()
                raise DataError(
                    f"class_weight='balanced': all rows of {'class' if len(absent) == 1 else 'classes'} "
                    f"{shortened(absent)} have weight 0, which no factor makes as much as others have: leave these "
                    "rows out, or give the weights of the classes"
                )
            return schema.weight / (len(schema.classes) * present)
        unknown = [label for label in self.class_weight if label not in schema.classes]
        if unknown:
            known = schema.classes.tolist()
            raise DataError(f"class_weight names {unknown[0]!r}, which is not a class: the classes are {known}")
        factors = np.array([float(self.class_weight.get(label, 1.0)) for label in schema.classes.tolist()])
        if not factors @ schema.class_weight > 0:
            raise DataError("class_weight leaves no row any weight")
        return factors


def _refuse_too_small(schema: Schema) -> None:
    """Refuse columns whose squares underflow: to second derivatives they would not be there."""
    lost = np.flatnonzero((schema.variance == 0) & (schema.mean != 0) & (np.abs(schema.mean) < _TOO_SMALL))
    if lost.size:
        raise DataError(
            f"column {schema.features.name_out(int(lost[0]))!r} is so near zero that its squares are lost: scale it"
        )


def bad_target(y: Array, loss: str, options: Mapping[str, Any] | None, source: str) -> Problem | None:
    """The first row with a target, of one or several, that a loss of numbers does not take; not a number is told
    elsewhere.
    """
    family = family_of(loss, options)
    low = y < family.least if family.least_allowed else y <= family.least
    bad = np.argwhere(low | (y > family.most))
    if not bad.size:
        return None
    place = tuple(bad[0].tolist())
    bound = f"at least {family.least:g}" if family.least_allowed else f"greater than {family.least:g}"
    if np.isfinite(family.most):
        bound = f"from {family.least:g} to {family.most:g}"
    which = "".join(f", column {column}," for column in place[1:])
    what = f"the target y{which} is {y[place]:g}, the {loss} loss takes targets {bound}"
    return Problem(place[0], None, what, source, place[0])


def bad_offset(rows: Rows, source: str) -> Problem | None:
    """The first row whose offset is not finite.

    Raises
    ------
    DataError
        The offsets are no numbers, or not one for each row.
    """
    if rows.offset is None:
        return None
    offset = as_numbers(rows.offset, f"{source}: the offset")
    if offset.shape != (rows.X.shape[0],):
        raise DataError(f"{source}: {rows.X.shape[0]} rows of features but the offset has shape {offset.shape}")
    bad = np.flatnonzero(~np.isfinite(offset))
    if not bad.size:
        return None
    row = int(bad[0])
    return Problem(row, None, f"the offset is {offset[row]}, it must be finite: correct it", source, row)
