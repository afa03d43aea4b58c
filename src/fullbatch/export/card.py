"""A model card: what a model takes, how it was fitted, and how good it is; as JSON, and as Markdown for people."""

import hashlib
import importlib.metadata
import platform
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np

from ..data.design_ import Design
from .formula import Formula, plain

_NONE: Mapping[str, Any] = MappingProxyType({})

_PACKAGES = ("fullbatch", "numpy", "scipy", "scikit-learn", "numba")


def fingerprint(formula: Formula, design: Design | None = None, missing: Mapping[str, Any] = _NONE) -> str:
    """SHA-256 of what predictions are made of: columns, levels, coefficients to the bit, link and labels; and what a
    formula has learnt of its columns.
    """
    digest = hashlib.sha256()
    said = [formula.link, formula.offset is not None, formula.ignore_unknown]
    said += [[one.name, one.missing] for one in formula.numbers]
    said += [[one.name, one.levels.tolist(), one.missing] for one in formula.categories]
    said += [None if formula.classes is None else formula.classes.tolist()]
    digest.update(repr(said).encode())
    for one in formula.terms:
        digest.update(np.ascontiguousarray(one.weights, "<f8").tobytes())
    for number in formula.numbers:
        if number.absent is not None:
            digest.update(number.name.encode() + np.ascontiguousarray(number.absent, "<f8").tobytes())
    digest.update(np.ascontiguousarray(formula.intercept, "<f8").tobytes())
    if formula.cuts is not None and formula.ranks is not None:
        digest.update(np.ascontiguousarray(formula.cuts, "<f8").tobytes() + repr(formula.ranks.tolist()).encode())
    if design is not None:
        digest.update(design.saved().encode() + repr(sorted(missing.items())).encode())
    return digest.hexdigest()


def card(
    formula: Formula,
    kind: str,
    objective: Mapping[str, Any],
    fit: Mapping[str, Any],
    measures: Mapping[str, Any],
    target: str | Sequence[str] | None = None,
    design: Design | None = None,
    missing: Mapping[str, Any] = _NONE,
) -> dict[str, Any]:
    """What is known of a model, ready for JSON: numbers that JSON has not are None.

    Parameters
    ----------
    formula : Formula
    kind : str
        Name of the estimator.
    objective, fit, measures : mapping
        What was minimised, how the fit ended, and how good the model is on named rows.
    target : str, or sequence of str, optional
        Name of the column of targets, or of several.
    design : Design, optional
        What makes the columns of `formula` of those of the data.
    missing : mapping of str to value
        What stands for missing values of these.
    """
    columns = _columns(formula) if design is None else _variables(design, missing)
    if formula.offset is not None:
        columns.append({"name": formula.offset, "type": "offset", "missing": None})
    told = {
        "kind": kind,
        "fingerprint": fingerprint(formula, design, missing),
        "target": {
            "name": target,
            "link": formula.link,
            "classes": None if formula.classes is None else formula.classes.tolist(),
            **({} if formula.cuts is None else {"ordered_classes": formula.ordered.tolist()}),
        },
        "columns": columns,
        "unknown_levels": "count as none" if formula.ignore_unknown else "are refused",
        "objective": dict(objective),
        "fit": dict(fit),
        "measures": dict(measures),
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
    }
    return _in_json(told)  # type: ignore[no-any-return]


def _columns(formula: Formula) -> list[dict[str, Any]]:
    columns: list[dict[str, Any]] = [
        {"name": one.name, "type": "number", "missing": one.missing} for one in formula.numbers
    ]
    columns += [
        {"name": one.name, "type": "category", "levels": one.levels.tolist(), "missing": plain(one.missing)}
        for one in formula.categories
    ]
    return columns


def _variables(design: Design, missing: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Columns of the data that a formula takes."""
    columns: list[dict[str, Any]] = [
        {"name": name, "type": "number", "missing": plain(missing.get(name))} for name in design.numbers
    ]
    columns += [
        {"name": name, "type": "category", "levels": levels.tolist(), "missing": plain(missing.get(name))}
        for name, levels in design.levels.items()
    ]
    return columns


def as_markdown(told: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = [f"# Model card: {told['kind']}", "", f"Fingerprint: `{told['fingerprint']}`", ""]
    ordered = told["target"].get("ordered_classes")
    classes = ordered or told["target"]["classes"]
    named = told["target"]["name"]
    target = "" if named is None else f"Target: {_word(named)}; "
    link = f"link: {told['target']['link']}" if target else f"Link: {told['target']['link']}"
    lines += [
        f"{target}{link}" + (f"; classes{', lowest first' if ordered else ''}: {_listed(classes)}" if classes else ""),
        "",
    ]
    lines += ["## Columns", "", "| column | type | levels | missing |", "|---|---|---|---|"]
    for column in told["columns"]:
        levels = _listed(column["levels"]) if "levels" in column else ""
        missing = "is refused" if column["missing"] is None else f"counts as {column['missing']}"
        lines.append(f"| {_cell(column['name'])} | {column['type']} | {_cell(levels)} | {_cell(missing)} |")
    lines += ["", f"Unknown levels {told['unknown_levels']}.", ""]
    for title in ("objective", "fit", "measures", "versions"):
        if told[title]:
            lines += [f"## {title.capitalize()}", "", "| | |", "|---|---|"]
            lines += [f"| {_cell(name)} | {_cell(_word(value))} |" for name, value in _flat(told[title])]
            lines.append("")
    return "\n".join(lines)


def _listed(values: list[Any], most: int = 12) -> str:
    more = f" and {len(values) - most} more" if len(values) > most else ""
    return ", ".join(map(str, values[:most])) + more


def _flat(told: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Names and values; of each target, which have numbers, one after another."""
    for name, value in told.items():
        if name == "targets":
            for number, one in enumerate(value):
                yield from ((f"target {number}: {inner}", inner_value) for inner, inner_value in one.items())
        else:
            yield name, value


def _word(value: Any) -> str:
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {_word(one)}" for name, one in value.items())
    if isinstance(value, float):
        return f"{value:.8g}"
    if isinstance(value, list):
        return "; ".join(map(str, value)) or "none"
    return "none" if value is None else str(value)


def _cell(text: Any) -> str:
    return str(text).replace("|", "\\|").replace("\n", " ")


def _in_json(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _in_json(one) for name, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_in_json(one) for one in value]
    value = plain(value)
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return None if isinstance(value, float) and not np.isfinite(value) else value
