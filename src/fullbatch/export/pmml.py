"""A model as PMML 4.4: a `GeneralRegressionModel`, by the standard's own words (dmg.org, General Regression).

Of classes the coefficients are differences from the first, which is the reference category. The standard's offset is
added to the reference category too, and changes nothing between them: that of two classes is therefore a covariate with
the coefficient 1, and that of several, which have it in common, is left out.
"""

from dataclasses import replace
from xml.etree import ElementTree as Xml

import numpy as np

from .formula import Formula, plain, refuse_bytes

_NAMESPACE = "http://www.dmg.org/PMML-4_4"
_TARGET = "target"


def pmml(formula: Formula) -> str:
    """The document, as text.

    Raises
    ------
    ValueError
        The model has no probabilities, classes are ordered, labels are bytes, or there are indicators of missing
        values, which PMML replaces before it could look at them.
    """
    if formula.link == "margin":
        raise ValueError(
            "fullbatch writes PMML's general regression, whose models of classes have probabilities, and the squared "
            "hinge has none: hand over SQL, ONNX or scikit-learn (to_sql, to_onnx, to_sklearn), or fit a "
            "LogisticRegression"
        )
    if any(one.absent is not None for one in formula.numbers):
        raise ValueError("PMML has no indicators of missing values beside what stands for them: fit without, or save")
    if formula.cuts is not None:
        raise ValueError(
            "fullbatch does not write PMML's models of ordered classes, with which no reader of PMML was tested: use "
            "SQL or ONNX"
        )
    refuse_bytes(formula, "PMML")
    outputs = ["prediction"] + [f"probability_{label}" for label in _labels(formula)]
    if taken := {_TARGET, *outputs}.intersection(formula.columns):
        raise ValueError(f"a column is named {min(taken)!r}, as a field of the document is: rename it")
    if formula.outputs > 1:
        formula = replace(formula, offset=None)
    root = Xml.Element("PMML", {"xmlns": _NAMESPACE, "version": "4.4"})
    Xml.SubElement(Xml.SubElement(root, "Header"), "Application", {"name": "fullbatch"})
    _dictionary(formula, Xml.SubElement(root, "DataDictionary"))
    classifies = formula.classes is not None
    told = {
        "modelType": "multinomialLogistic" if classifies else "generalizedLinear",
        "functionName": "classification" if classifies else "regression",
    }
    if formula.classes is not None:
        told["targetReferenceCategory"] = _text(plain(formula.classes[0]))
    else:
        told |= (
            {"linkFunction": "power", "linkParameter": "-1"}
            if formula.link == "inverse"
            else {"linkFunction": formula.link}
        )
    if formula.offset is not None and not classifies:
        told["offsetVariable"] = formula.offset
    model = Xml.SubElement(root, "GeneralRegressionModel", told)
    _schema(formula, Xml.SubElement(model, "MiningSchema"))
    _outputs(formula, outputs, Xml.SubElement(model, "Output"))
    _parameters(formula, model)
    Xml.indent(root, " ")
    return Xml.tostring(root, "unicode", xml_declaration=True) + "\n"


def _dictionary(formula: Formula, parent: Xml.Element) -> None:
    if formula.classes is None:
        Xml.SubElement(parent, "DataField", {"name": _TARGET, "optype": "continuous", "dataType": "double"})
    else:
        # The reference last: some readers know it by its place alone where labels are numbers.
        _category(parent, _TARGET, np.roll(formula.classes, -1))
    for name in [one.name for one in formula.numbers] + ([formula.offset] if formula.offset else []):
        Xml.SubElement(parent, "DataField", {"name": name, "optype": "continuous", "dataType": "double"})
    for one in formula.categories:
        # Whole numbers that may be missing are doubles wherever columns have a type, as in pandas.
        numbers = one.missing is not None and one.levels.dtype.kind in "iu"
        _category(parent, one.name, one.levels.astype(np.float64) if numbers else one.levels)


def _category(parent: Xml.Element, name: str, values: object) -> None:
    field = Xml.SubElement(parent, "DataField", {"name": name, **_kind(values)})
    for level in values.tolist():  # type: ignore[attr-defined]
        Xml.SubElement(field, "Value", {"value": _text(level)})


def _kind(values: object) -> dict[str, str]:
    """Of a categorical field with these values."""
    kinds = {str: "string", bool: "boolean", int: "integer", float: "double"}
    return {"optype": "categorical", "dataType": kinds[type(values.tolist()[0])]}  # type: ignore[attr-defined]


def _schema(formula: Formula, parent: Xml.Element) -> None:
    Xml.SubElement(parent, "MiningField", {"name": _TARGET, "usageType": "target"})
    for one in formula.terms:
        told = {"name": one.name}
        if one.missing is not None:
            told["missingValueReplacement"] = _text(one.missing)
        else:
            told["missingValueTreatment"] = "returnInvalid"
        if one in formula.categories:
            told["invalidValueTreatment"] = "asIs" if formula.ignore_unknown else "returnInvalid"
        Xml.SubElement(parent, "MiningField", told)
    if formula.offset is not None:
        Xml.SubElement(parent, "MiningField", {"name": formula.offset, "missingValueTreatment": "returnInvalid"})


def _outputs(formula: Formula, names: list[str], parent: Xml.Element) -> None:
    kind = _kind(formula.classes) if formula.classes is not None else {"optype": "continuous", "dataType": "double"}
    Xml.SubElement(parent, "OutputField", {"name": names[0], **kind, "feature": "predictedValue"})
    for name, label in zip(names[1:], _labels(formula), strict=True):
        told = {"optype": "continuous", "dataType": "double", "feature": "probability", "value": _text(label)}
        Xml.SubElement(parent, "OutputField", {"name": name, **told})


def _labels(formula: Formula) -> list[object]:
    return [] if formula.classes is None else formula.classes.tolist()


def _parameters(formula: Formula, model: Xml.Element) -> None:
    parameters = Xml.SubElement(model, "ParameterList")
    factors, covariates = Xml.SubElement(model, "FactorList"), Xml.SubElement(model, "CovariateList")
    places, values = Xml.SubElement(model, "PPMatrix"), Xml.SubElement(model, "ParamMatrix")
    count = 0

    def parameter(label: str, weights: object, predictor: str = "", value: str = "") -> None:
        nonlocal count
        name, count = f"p{count}", count + 1
        Xml.SubElement(parameters, "Parameter", {"name": name, "label": label})
        if predictor:
            Xml.SubElement(places, "PPCell", {"value": value, "predictorName": predictor, "parameterName": name})
        for target, weight in _betas(formula, weights):
            Xml.SubElement(values, "PCell", {**target, "parameterName": name, "beta": repr(weight)})

    parameter("intercept", formula.intercept)
    for one in formula.numbers:
        Xml.SubElement(covariates, "Predictor", {"name": one.name})
        parameter(one.name, one.weights, one.name, "1")
    if formula.offset is not None and formula.classes is not None:
        Xml.SubElement(covariates, "Predictor", {"name": formula.offset})
        parameter(formula.offset, [1.0], formula.offset, "1")
    for category in formula.categories:
        Xml.SubElement(factors, "Predictor", {"name": category.name})
        for level, weights in zip(category.levels.tolist(), category.weights, strict=True):
            parameter(f"{category.name}={level}", weights, category.name, _text(level))


def _betas(formula: Formula, weights: object) -> list[tuple[dict[str, str], float]]:
    """Categories of the target, and the coefficient of each."""
    of_outputs = [float(one) for one in weights]  # type: ignore[attr-defined]
    if formula.classes is None:
        return [({}, of_outputs[0])]
    others = [_text(plain(label)) for label in formula.classes[1:]]
    if formula.outputs == 1:
        return [({"targetCategory": others[0]}, of_outputs[0])]
    return [({"targetCategory": label}, one - of_outputs[0]) for label, one in zip(others, of_outputs[1:], strict=True)]


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).lower() if isinstance(value, bool) else str(value)
