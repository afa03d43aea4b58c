"""A fitted linear model as a formula of named columns: what every format is written from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..models.deviance import family_of
from ..protocols.schema import Features

Array = npt.NDArray[Any]

# Below this predictor a mean under the cloglog link is a series of its rate: 1 - exp(-rate) has lost digits there.
SMALL_CLOGLOG = -9.0


class Number(NamedTuple):
    """A column of numbers.

    Parameters
    ----------
    name : str
    weights : (K,) array
        Coefficients.
    missing : float or None
        What stands for a missing value; None where it is an error.
    absent : (K,) array or None
        Coefficients of the column's indicator, which is 1 where the value is missing; None where there is none.
    """

    name: str
    weights: Array
    missing: float | None
    absent: Array | None = None


class Levels(NamedTuple):
    """A categorical column.

    Parameters
    ----------
    name : str
    levels : (L,) array of int64 or str
    weights : (L, K) array
        Coefficients.
    missing : int, str or None
        The level that stands for a missing value; None where it is an error.
    """

    name: str
    levels: Array
    weights: Array
    missing: int | str | None


@dataclass(frozen=True, eq=False)
class Formula:
    """Linear predictors, and what is made of them.

    Parameters
    ----------
    numbers, categories : tuple
        Columns, in the order of the fit.
    intercept : (K,) array
    offset : str or None
        Name of the column that is added to every predictor.
    link : {"identity", "log", "inverse", "logit", "probit", "cloglog", "softmax", "margin", "cumulative logit"}
        "margin": predictors are told as they are, and say which label is predicted, but no probability.
    classes : array or None
        Labels.
    ignore_unknown : bool
        Whether an unknown level counts as none of them; otherwise it is an error.
    loss : str
        The model's.
    options : mapping of str to float or str
        Of the loss.
    named : bool
        Whether the columns have names of their own.
    base : mapping of str to level
        Base levels, whose coefficients are zero, by column.
    cuts : (C - 1,) array or None
        Of ordered classes: what is added to the one predictor for the logit of each P(y > c), falling.
    ranks : (C,) int array or None
        Place of each label in their order.
    """

    numbers: tuple[Number, ...]
    categories: tuple[Levels, ...]
    intercept: Array
    offset: str | None
    link: str
    classes: Array | None
    ignore_unknown: bool
    loss: str
    options: Mapping[str, Any]
    named: bool
    base: Mapping[str, Any] = field(default_factory=dict)
    cuts: Array | None = None
    ranks: Array | None = None

    @classmethod
    def of(
        cls,
        features: Features,
        coef: Array,
        intercept: Array,
        *,
        offset: str | None,
        classes: Array | None,
        missing: Mapping[str, Any],
        ignore_unknown: bool,
        loss: str,
        options: Mapping[str, Any],
        names: tuple[str, ...] = (),
        base: Mapping[str, Any] | None = None,
        absent: Mapping[int, Array] | None = None,
        ranks: Array | None = None,
    ) -> "Formula":
        """Of what an estimator has learnt; `names` are those of columns that the features have none for, `absent` the
        coefficients of indicators by the number of the column. With the `ranks` of ordered classes the intercepts are
        the cuts.
        """
        count = features.numeric + len(features.levels)
        known = features.names or names or tuple(f"x{j}" for j in range(count))
        numbers = tuple(
            Number(
                str(known[j]),
                coef[:, j],
                None if known[j] not in missing else float(missing[known[j]]),
                (absent or {}).get(j),
            )
            for j in range(features.numeric)
        )
        categories, first = [], features.numeric
        for j, levels in enumerate(features.levels, features.numeric):
            weights = coef[:, first : first + len(levels)].T
            categories.append(Levels(str(known[j]), levels, weights, missing.get(known[j])))
            first += len(levels)
        outputs = len(coef)
        link = family_of(loss, options).link.name if classes is None else "softmax" if outputs > 1 else "logit"
        if loss == "squared_hinge":
            link = "margin"
        cuts = None
        if ranks is not None:
            link, cuts, intercept = "cumulative logit", np.asarray(intercept, np.float64), np.zeros(1)
        taken = {one.name for one in numbers} | {one.name for one in categories}
        if offset is not None and offset in taken:
            raise ValueError(f"the offset cannot be named {offset!r}, as a column of the model is: name it otherwise")
        return cls(
            numbers,
            tuple(categories),
            np.asarray(intercept, np.float64),
            offset,
            link,
            classes,
            ignore_unknown,
            loss,
            dict(options),
            bool(features.names or names),
            dict(base or {}),
            cuts,
            ranks,
        )

    @property
    def outputs(self) -> int:
        """Linear predictors."""
        return len(self.intercept)

    @property
    def between(self) -> Array:
        """(C,) what makes P(y = c) of P(y > c - 1) P(y <= c), from the lowest class to the highest.

        1 - exp(b_c - b_{c-1}), with the cuts b, whatever the predictor: so no probability is the difference of two.
        """
        assert self.cuts is not None
        between = np.ones(len(self.cuts) + 1)
        between[1:-1] = -np.expm1(np.diff(self.cuts))
        return between

    @property
    def ordered(self) -> Array:
        """Labels from the lowest to the highest."""
        assert self.classes is not None
        assert self.ranks is not None
        return np.asarray(self.classes[np.argsort(self.ranks)])

    @property
    def terms(self) -> list[Number | Levels]:
        """All columns but the offset."""
        return [*self.numbers, *self.categories]

    @property
    def filled(self) -> bool:
        """Whether something stands for missing numbers."""
        return any(one.missing is not None for one in self.numbers)

    @property
    def of_matrix(self) -> bool:
        """Whether all that the model takes is one matrix of numbers."""
        return not (self.named or self.categories or self.offset or self.filled)

    @property
    def columns(self) -> list[str]:
        """Names of all columns, the offset last."""
        return [one.name for one in self.terms] + ([self.offset] if self.offset else [])


def plain(value: Any) -> Any:
    """A level or label as Python has it."""
    return value.item() if isinstance(value, np.generic) else value


def refuse_bytes(formula: Formula, to: str) -> None:
    """Refuse labels that are bytes, which Python and NumPy have."""
    if formula.classes is not None and formula.classes.dtype.kind == "S":
        label = formula.classes.tolist()[0]
        raise ValueError(f"labels are bytes, such as {label!r}, and {to} has text: fit with text, or use scikit-learn")
