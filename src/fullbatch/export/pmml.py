"""A model as PMML 4.4: a `GeneralRegressionModel`, by the standard's own words (dmg.org, General Regression).

Of classes the coefficients are differences from the first, which is the reference category; an offset, which three
classes or more have in common, changes nothing between them and is left out.
"""

from dataclasses import replace
from xml.etree import ElementTree as Xml

from .formula import Formula, plain

_NAMESPACE = "http://www.dmg.org/PMML-4_4"
_TARGET = "prediction"


def pmml(formula: Formula) -> str:
    """The document, as text.

    Raises
    ------
    ValueError
        There are indicators of missing values, which PMML replaces before it could look at them.
    """
    if any(one.absent is not None for one in formula.numbers):
        raise ValueError("PMML has no indicators of missing values beside what stands for them: fit without, or save")
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
        told["linkFunction"] = formula.link
    if formula.offset is not None:
        told["offsetVariable"] = formula.offset
    model = Xml.SubElement(root, "GeneralRegressionModel", told)
    _schema(formula, Xml.SubElement(model, "MiningSchema"))
    _parameters(formula, model)
    Xml.indent(root, " ")
    return Xml.tostring(root, "unicode", xml_declaration=True) + "\n"


def _dictionary(formula: Formula, parent: Xml.Element) -> None:
    if formula.classes is None:
        Xml.SubElement(parent, "DataField", {"name": _TARGET, "optype": "continuous", "dataType": "double"})
    else:
        _category(parent, _TARGET, formula.classes)
    for name in [one.name for one in formula.numbers] + ([formula.offset] if formula.offset else []):
        Xml.SubElement(parent, "DataField", {"name": name, "optype": "continuous", "dataType": "double"})
    for one in formula.categories:
        _category(parent, one.name, one.levels)


def _category(parent: Xml.Element, name: str, values: object) -> None:
    levels = values.tolist()  # type: ignore[attr-defined]
    kinds = {str: "string", bool: "boolean", int: "integer", float: "double"}
    field = Xml.SubElement(
        parent, "DataField", {"name": name, "optype": "categorical", "dataType": kinds[type(levels[0])]}
    )
    for level in levels:
        Xml.SubElement(field, "Value", {"value": _text(level)})


def _schema(formula: Formula, parent: Xml.Element) -> None:
    Xml.SubElement(parent, "MiningField", {"name": _TARGET, "usageType": "target"})
    for one in formula.terms:
        told = {"name": one.name}
        if one.missing is not None:
            told["missingValueReplacement"] = _text(one.missing)
        if one in formula.categories:
            told["invalidValueTreatment"] = "asIs" if formula.ignore_unknown else "returnInvalid"
        Xml.SubElement(parent, "MiningField", told)
    if formula.offset is not None:
        Xml.SubElement(parent, "MiningField", {"name": formula.offset})


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
    return str(value).lower() if isinstance(value, bool) else str(value)
