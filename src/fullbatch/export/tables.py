"""A model as a table that people read: relativities, as actuaries have them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .formula import Formula, plain

Array = npt.NDArray[Any]


def relativities(formula: Formula, inference: Any = None) -> pa.Table:
    """What each unit of a number, and each level compared with the reference, multiplies the prediction by.

    Parameters
    ----------
    formula : Formula
    inference : Inference, optional
        Of the same model: adds standard errors, and its references.

    Returns
    -------
    pyarrow.Table
        Columns "term", "level" and "coefficient"; "relativity", its exponential, where the link is a logarithm (of odds
        for classes; of ordered ones of a higher class, with an intercept for each but the highest, "above <label>");
        "class" with several, those of softmax compared with the first; "std_err", of the relativity where there is
        one, with `inference`.

    Raises
    ------
    ValueError
        The inference is of another model, or of other columns or coefficients.
    """
    with_intercept = True
    reference = {category.name: category.levels.tolist()[0] for category in formula.categories} | dict(formula.base)
    if inference is not None and formula.cuts is not None:
        raise ValueError("there are no standard errors of ordered classes: leave inference out")
    if inference is not None:
        reference, names = dict(inference.reference), [str(one) for one in inference.names]
        # A fit without an intercept: the levels of one category have no reference, and stand for it.
        with_intercept = names == _names(formula, reference, True)
        if not with_intercept and names != _names(formula, reference, False):
            raise ValueError(
                "inference is of another model, or of some columns alone: give that of this one and of all its columns"
            )
    ratios = formula.link in ("log", "logit", "softmax", "cumulative logit")
    rows: list[dict[str, Any]] = []
    for output in range(formula.outputs):
        if formula.link == "softmax" and output == 0:
            continue  # what the others are compared with
        rows += _of_output(formula, output, reference, with_intercept)
    values = np.array([row["coefficient"] for row in rows])
    is_reference = np.array([row["is_reference"] for row in rows])
    if inference is not None:
        _check_same(values[~is_reference], inference)
    columns: dict[str, Any] = {
        name: [row[name] for row in rows] for name in ("class", "term", "level") if name in rows[0]
    }
    columns |= {"coefficient": values.tolist()}
    if ratios:
        columns |= {"relativity": np.exp(values).tolist()}
    if inference is not None:
        told = np.zeros(len(rows))
        told[~is_reference] = inference.std_err
        columns |= {"std_err": (np.exp(values) * told if ratios else told).tolist()}
    return pa.table(columns)


def _check_same(coef: Array, inference: Any) -> None:
    """Refuse an inference about other coefficients than these, but for rounding."""
    away = np.abs(coef - inference.coef)
    if (other := np.flatnonzero(away > 1e-9 * (np.abs(coef) + inference.std_err))).size:
        j = int(other[0])
        raise ValueError(
            f"inference is of another model: its coefficient of {inference.names[j]!r} is {inference.coef[j]:.6g}, and "
            f"this model's {coef[j]:.6g}; give that of this one"
        )


def _of_output(
    formula: Formula, output: int, reference: Mapping[str, Any], with_intercept: bool
) -> list[dict[str, Any]]:
    compared = formula.link == "softmax"

    def of(weights: Any) -> float:
        return float(weights[output] - weights[0]) if compared else float(weights[output])

    places = {
        category.name: category.levels.tolist().index(reference[category.name])
        for category in formula.categories
        if category.name in reference
    }
    base = of(formula.intercept)
    base += sum(of(one.weights[places[one.name]]) for one in formula.categories if one.name in places)
    shifts: list[dict[str, Any]] = []
    for category in formula.categories:
        place = places.get(category.name)
        zero = -base if place is None else of(category.weights[place])
        for j, level in enumerate(category.levels.tolist()):
            shifts.append(
                {
                    "term": category.name,
                    "level": str(level),
                    "coefficient": of(category.weights[j]) - zero,
                    "is_reference": j == place,
                }
            )
    intercept = base if with_intercept else 0.0
    rows = [{"term": "intercept", "level": "", "coefficient": intercept, "is_reference": not with_intercept}]
    if formula.cuts is not None:  # one for each class but the highest, of the odds of a higher one
        rows = [
            {"term": "intercept", "level": f"above {label}", "coefficient": base + cut, "is_reference": False}
            for label, cut in zip(formula.ordered.tolist(), formula.cuts.tolist(), strict=False)
        ]
    rows += [
        {"term": one.name, "level": "", "coefficient": of(one.weights), "is_reference": False}
        for one in formula.numbers
    ]
    rows += [
        {"term": f"{one.name}=missing", "level": "", "coefficient": of(one.absent), "is_reference": False}
        for one in formula.numbers
        if one.absent is not None
    ]
    rows += shifts
    if formula.outputs > 1:
        assert formula.classes is not None
        rows = [{"class": str(plain(formula.classes[output])), **row} for row in rows]
    return rows


def _names(formula: Formula, reference: Any, with_intercept: bool) -> list[str]:
    """Of the parameters that an inference with these references has."""
    names = ["intercept"] * with_intercept + [one.name for one in formula.numbers]
    names += [f"{one.name}=missing" for one in formula.numbers if one.absent is not None]
    names += [
        f"{category.name}={level}"
        for category in formula.categories
        for level in category.levels.tolist()
        if level != reference.get(category.name)
    ]
    if formula.link != "softmax":
        return names
    assert formula.classes is not None
    return [f"{label}:{name}" for label in formula.classes.tolist()[1:] for name in names]
