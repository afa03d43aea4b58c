"""A model as a table that people read: relativities, as actuaries have them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from .formula import Formula, plain


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
        for classes); "class" with several, those of softmax compared with the first; "std_err", of the relativity where
        there is one, with `inference`.
    """
    if inference is not None and [str(one) for one in inference.names] != _names(formula, inference.reference):
        raise ValueError("inference is of another model: give that of this one")
    reference = formula.base if inference is None else dict(inference.reference)
    ratios = formula.link in ("log", "logit", "softmax")
    rows: list[dict[str, Any]] = []
    for output in range(formula.outputs):
        if formula.link == "softmax" and output == 0:
            continue  # what the others are compared with
        rows += _of_output(formula, output, reference)
    errors = None if inference is None else iter(inference.std_err.tolist())
    values = np.array([row["coefficient"] for row in rows])
    columns: dict[str, Any] = {
        name: [row[name] for row in rows] for name in ("class", "term", "level") if name in rows[0]
    }
    columns |= {"coefficient": values.tolist()}
    if ratios:
        columns |= {"relativity": np.exp(values).tolist()}
    if errors is not None:
        told = np.array([0.0 if row["is_reference"] else next(errors) for row in rows])
        columns |= {"std_err": (np.exp(values) * told if ratios else told).tolist()}
    return pa.table(columns)


def _of_output(formula: Formula, output: int, reference: Mapping[str, Any]) -> list[dict[str, Any]]:
    compared = formula.link == "softmax"

    def of(weights: Any) -> float:
        return float(weights[output] - weights[0]) if compared else float(weights[output])

    base = of(formula.intercept)
    shifts: list[dict[str, Any]] = []
    for category in formula.categories:
        levels = category.levels.tolist()
        place = levels.index(reference.get(category.name, levels[0]))
        base += of(category.weights[place])
        for level, weights in zip(levels, category.weights, strict=True):
            shifts.append(
                {
                    "term": category.name,
                    "level": str(level),
                    "coefficient": of(weights) - of(category.weights[place]),
                    "is_reference": level == levels[place],
                }
            )
    rows = [{"term": "intercept", "level": "", "coefficient": base, "is_reference": False}]
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


def _names(formula: Formula, reference: Any) -> list[str]:
    """Of the parameters that an inference with these references has."""
    names = ["intercept", *(one.name for one in formula.numbers)]
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
