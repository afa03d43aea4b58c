"""The text of a model's checks, 80 columns wide, and all of their tables as plain values."""

import textwrap
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..inference.pandas_ import as_columns
from ..inference.summary import WIDTH, bar, pair
from ..inference.table import as_text

_TITLES = {
    "actual": "Actual",
    "expected": "Expected",
    "ratio": "Actual / expected",
    "auc": "AUC",
    "average_precision": "Average precision",
    "gini": "Gini",
    "gini_perfect": "Perfect Gini",
    "gini_share": "Share of it",
    "calibration_error": "Calibration error",
    "brier": "Brier score",
    "dispersion": "Dispersion",
}

# What is shown of tables.
_SHOWN = ["name", "rows", "actual", "expected", "ratio", "share", "lift", "gain", "auc", "average_precision"]
_SHOWN += ["vif", "df", "scaled"]


def summary_of(checks: Any, by: Sequence[str], bins: int) -> str:
    """What `Checks.summary` says."""
    told = _facts(checks, by, bins, short=True)
    measures = told["measures"]
    labels = checks.labels
    of = f"; class {labels[0]}" if labels[0] is not None and len(labels) == 1 else ""
    lines = [pair(f"Family: {checks.scoring.fitted.family.words}{of}", f"Rows: {checks.n_rows:,}"), bar()]
    if checks.compared.weighed:
        lines.insert(1, f"Weights: {checks.weights}")
    shown = [f"{_TITLES[name] + ':':<20}{_with_error(measures, name):>16}" for name in _TITLES if name in measures]
    shown += [""] * (len(shown) % 2)
    lines += [f"{one:<42}{other}".rstrip() for one, other in zip(shown[::2], shown[1::2], strict=True)]
    for title, table in _tables(told, checks.others):
        lines += [bar(), title, *as_text({name: table[name] for name in _SHOWN if name in table}, WIDTH)]
    lines.append(bar())
    for notice in told["notices"]:
        lines += textwrap.wrap(f"Notice: [{notice['code']}] {notice['words']}", WIDTH, subsequent_indent="  ")
    return "\n".join(line[:WIDTH].rstrip() for line in lines)


def _with_error(measures: Mapping[str, float], name: str) -> str:
    error = measures.get(f"{name}_error", 0.0)
    return f"{measures[name]:.6g}" + (f" +-{error:.1g}" if error > 0 else "")


def _tables(told: Mapping[str, Any], others: Sequence[str]) -> list[tuple[str, Any]]:
    titles = {"by_class": "Each class against the rest", "calibration": "By prediction", "lift": "By prediction"}
    found = [(title, _named(told[name])) for name, title in titles.items() if told.get(name)]
    for column, tables in told["by_column"].items():
        none = "(missing)" if column in others else "(not seen)"
        if told["by_class"] is None:
            found.append((f"By {column}", _named(tables, none)))
        else:
            found += [(f"By {column}, class {label}", _named(table, none)) for label, table in tables.items()]
    return [*found, ("Variance inflation", told["vif"])] if told["vif"] else found


def _named(table: Mapping[str, list[Any]], none: str = "") -> Mapping[str, list[Any]]:
    """A table whose rows have names: of parts the values that they hold."""
    if "name" in table:
        return {**table, "name": [none if name is None or name != name else name for name in table["name"]]}
    ends = [f"{value:.4g}" for value in table["lower"]]
    if "upper" in table:
        uppers = [f"{value:.4g}" for value in table["upper"]]
        ends = [low if low == high else f"{low} to {high}" for low, high in zip(ends, uppers, strict=True)]
        ends = [none if end == "nan" else end for end in ends]
    return {"name": ends, **table}


def facts_of(checks: Any, by: Sequence[str], bins: int) -> dict[str, Any]:
    """Measures, notices and tables as plain values, for JSON: None for what is not finite."""
    told: dict[str, Any] = _plain(_facts(checks, by, bins, short=False))
    return told


def _facts(checks: Any, by: Sequence[str], bins: int, short: bool) -> dict[str, Any]:
    """The same as they are; `short` is what a summary shows."""
    several, means = len(checks.labels) > 1, checks.scoring.has_means

    def of_each(make: Callable[[Any], Any]) -> Any:
        """A table, or of several classes one for each."""
        tables = {str(label): as_columns(make(label)) for label in checks.labels}
        return tables if several else next(iter(tables.values()))

    told: dict[str, Any] = {
        "measures": checks.measures,
        "weights": checks.weights,
        "notices": [notice._asdict() for notice in checks.notices()],
        "by_class": as_columns(checks.by_class()) if several else None,
        "calibration": of_each(partial(checks.calibration, bins, "quantile")) if means else None,
        "lift": of_each(partial(checks.lift, bins)) if checks.has_shares else None,
        "by_column": {column: of_each(partial(checks.by_column, column, bins)) for column in by},
        "vif": as_columns(checks.vif()) if checks.can_inflate else None,
    }
    if short:
        hidden = ["calibration", "lift"] if several else ["lift"] if means else []
        told |= dict.fromkeys(hidden)
    return told


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not np.isfinite(value) else value
