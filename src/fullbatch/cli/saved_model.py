"""`fullbatch inspect`: what a saved model holds."""

import os
from typing import Annotated, Any

import numpy as np
import typer

from ._screen import AsJson, counted, number, print_out, show
from .apply import ModelFile

EXAMPLES = """\b
Example:
  fullbatch inspect model.fb"""

# Each kind of model in words, and its loss; None where that is one of its parameters.
_KINDS: dict[str, tuple[str, str | None]] = {
    "ElasticNet": ("elastic net", "squared"),
    "ElasticNetCV": ("elastic net", "squared"),
    "GammaRegressor": ("gamma regression", "gamma"),
    "GeneralizedLinearRegressor": ("regression", None),
    "GeneralizedLinearRegressorCV": ("regression", None),
    "HuberRegressor": ("Huber's regression", "huber"),
    "Lasso": ("lasso", "squared"),
    "LassoCV": ("lasso", "squared"),
    "LinearRegression": ("linear regression", "squared"),
    "LinearSVC": ("linear support vector machine", "squared_hinge"),
    "LogisticRegression": ("logistic regression", "logistic"),
    "LogisticRegressionCV": ("logistic regression", "logistic"),
    "OrdinalLogisticRegression": ("ordinal logistic regression", "cumulative logit"),
    "PoissonRegressor": ("Poisson regression", "poisson"),
    "QuantileRegressor": ("quantile regression", "quantile"),
    "Ridge": ("ridge regression", "squared"),
    "RidgeCV": ("ridge regression", "squared"),
    "TweedieRegressor": ("Tweedie regression", "tweedie"),
}

# What is said of parameters whose values are no numbers: nothing where they are as usual.
_SAID: dict[str, dict[Any, str]] = {
    "fit_intercept": {True: "", False: "no intercept"},
    "standardize": {True: "penalty per standard deviation", False: ""},
    "positive": {True: "coefficients of 0 or more", False: ""},
    "missing_indicator": {True: "indicators of missing values", False: ""},
    "unknown": {"error": "", "ignore": "unknown categories ignored", "base": "unknown categories as the base"},
}

# Values that go without saying.
_USUAL = (("l1_ratio", 0), ("penalty", "deprecated"), ("missing", "error"))

# Parameters that have a line, or a place, of their own.
_ELSEWHERE = ("loss", "family", "link", "classes", "formula", "base")

_PER_COLUMN = ("lower_bounds", "upper_bounds", "P1", "P2")

# Columns, levels and classes that the screen names.
_NAMED = 8


def inspect(
    model: ModelFile,
    most: Annotated[int, typer.Option(min=0, metavar="COUNT", help="How many coefficients to show.")] = 20,
    as_json: AsJson = False,
) -> None:
    """Show what a saved model holds, and its largest coefficients.

    All of them are in --json. They are for the columns as given: those of columns of large numbers are small.
    """
    from ..estimators import load_model, read_model

    kind, arrays, metadata = read_model(model)
    if "weights" in metadata:
        show(_of_network(model, kind, arrays, metadata), as_json)
        return
    fitted = load_model(model)
    parameters, features = metadata["parameters"], fitted.data_features_
    data_columns = list(features.names) or [f"x{j}" for j in range(fitted.n_features_in_)]
    categories = data_columns[features.numeric :]
    coef, intercept = np.atleast_2d(fitted.coef_), np.atleast_1d(fitted.intercept_)
    told = {
        "model": str(model),
        "bytes": os.path.getsize(model),
        "kind": kind,
        "loss": _KINDS[kind][1] or fitted._loss()[0],
        "classes": fitted.classes_.tolist() if hasattr(fitted, "classes_") else None,
        "ordered_classes": fitted.ordered_classes_.tolist() if hasattr(fitted, "ordered_classes_") else None,
        "columns": data_columns,
        "levels": {name: levels.tolist() for name, levels in zip(categories, features.levels, strict=True)},
        "base": fitted.base_,
        "offset": fitted.has_offset_,
        "zero_based": fitted.zero_based_,
        **{name: metadata.get("fit", {}).get(name) for name in ("rows", "l2", "l1", "l21", "status")},
        "iterations": int(np.atleast_1d(fitted.n_iter_)[0]),
        "parameters": parameters,
        "feature_names": fitted.get_feature_names_out().tolist(),
        "intercept": intercept.tolist(),
        "coef": coef.tolist(),
    }
    show(told, as_json, _in_short(told))
    if not as_json:
        _show_largest(told["feature_names"], coef, told["ordered_classes"] or told["classes"], most)


def _loss(parameters: dict[str, Any]) -> str:
    """The loss of a model that has it as a parameter, or its family and link."""
    if parameters.get("family") is None:
        return f"{parameters['loss']} loss"
    link = "usual" if parameters["link"] == "auto" else parameters["link"]
    return f"{parameters['family']} family, {link} link"


def _of_network(model: Any, kind: str, arrays: Any, metadata: dict[str, Any]) -> dict[str, Any]:
    """What a file holds of a network, whose code it does not hold."""
    return {
        "model": str(model),
        "bytes": os.path.getsize(model),
        "kind": kind,
        "loss": metadata["parameters"]["loss"],
        "classes": arrays["classes"].tolist() if "classes" in arrays else None,
        "outputs": metadata["outputs"],
        "columns": arrays["names"].tolist() if "names" in arrays else None,
        **{name: metadata["fit"][name] for name in ("rows", "l2", "status")},
        "iterations": int(arrays["n_iter"][0]),
        "parameters": len(arrays["theta"]),
        "weights": [f"{name} {'x'.join(map(str, shape))}" for name, shape in metadata["weights"]],
        "load_model takes": [f"{name}=" for name in metadata["code"]],
    }


def _in_short(told: dict[str, Any]) -> dict[str, Any]:
    """What the screen shows of a model, but for its coefficients."""
    classes, levels, base, outputs = told["classes"], told["levels"], told["base"], len(told["coef"])
    numbers = told["columns"][: len(told["columns"]) - len(levels)]
    each = f" for each of {outputs} {'targets' if classes is None else 'classes'}" if outputs > 1 else ""
    return {
        "model": told["model"],
        "kind": _KINDS[told["kind"]][0] + (f", {_loss(told['parameters'])}" if _KINDS[told["kind"]][1] is None else ""),
        "classes": None if classes is None else _listed(classes),
        "lowest first": None if told["ordered_classes"] is None else _listed(told["ordered_classes"]),
        "numbers": _listed(numbers) if numbers else None,
        "categories": _listed(
            [
                f"{name} ({counted(len(of_it), 'level')}{f', base {base[name]}' if name in base else ''})"
                for name, of_it in levels.items()
            ]
        )
        if levels
        else None,
        "formula": told["parameters"].get("formula"),
        "offset": "predictions need one" if told["offset"] else None,
        **{name: told[name] for name in ("rows", "status", "l2")},
        "l1": told["l1"] or None,
        "l21": told["l21"] or None,
        "fitted with": _of_parameters(told["parameters"]),
        "iterations": told["iterations"],
        "coefficients": f"{len(told['feature_names']):,}{each}",
        "intercept": _listed([number(value) for value in told["intercept"]]),
    }


def _of_parameters(parameters: dict[str, Any]) -> str:
    """How the model was fitted, in words."""
    told: list[str] = []
    for name, value in parameters.items():
        if name in _SAID:
            told += filter(None, [_SAID[name][value]])
        elif name in _PER_COLUMN:
            told += filter(None, [_per_column(name, value)])
        elif value is not None and name not in _ELSEWHERE and (name, value) not in _USUAL:
            told.append(f"{name.replace('_', ' ')} {_value(value)}")
    return ", ".join(told)


def _per_column(name: str, value: Any) -> str:
    """Bounds and factors as files have them: a text, a list of texts, or texts by the names of columns."""
    if value is None:
        return ""
    each = "one for each coefficient" if isinstance(value, list) else _value(value)
    return f"{name.replace('_', ' ')} {each}"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return number(value)
    if isinstance(value, dict):
        return _listed([f"{name} {_value(one)}" for name, one in value.items()])
    if isinstance(value, list):
        return _listed([f"{label}: {_value(weight)}" for label, weight in value])
    return f"{value:,}" if isinstance(value, int) else str(value)


def _listed(values: list[Any]) -> str:
    more = f" and {len(values) - _NAMED:,} more" if len(values) > _NAMED else ""
    return f"{', '.join(map(str, values[:_NAMED]))}{more}"


def _show_largest(names: list[str], coef: Any, classes: list[Any] | None, most: int) -> None:
    """Print the coefficients that are largest in size; targets have numbers.

    Those of two classes, or of ordered ones, which are given from low to high, speak for the last.
    """
    flat = np.abs(coef).ravel()
    largest = np.argsort(-flat, kind="stable")[:most]
    if not most or not flat[largest].any():
        return
    of = "" if classes is None or len(coef) > 1 else f" for {classes[-1]}"
    print_out(f" largest coefficients{of}")
    for place in largest[flat[largest] > 0].tolist():
        output, column = divmod(place, len(names))
        each = f"target {output}" if classes is None else f"class {classes[output]}"
        of_output = f", {each}" if len(coef) > 1 else ""
        print_out(f" {number(coef[output, column]):>12}  {names[column]}{of_output}", 15)
