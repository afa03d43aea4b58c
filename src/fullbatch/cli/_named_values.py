"""Values by the names of what they are for, as the command line has them: A,B,... and NAME=VALUE."""

from collections.abc import Mapping, Sequence
from typing import Any

import typer


def split(columns: str | None) -> list[str] | None:
    """Names of columns from a list with commas."""
    return None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]


def pairs(given: Sequence[str], option: str, types: Mapping[str, str] | None = None) -> dict[str, Any]:
    """NAME=VALUE as a mapping; values that read as numbers are numbers, unless the name's type is text."""
    found: dict[str, Any] = {}
    for one in given:
        name, equals, value = one.partition("=")
        if not (name and equals):
            raise typer.BadParameter(f"{one!r} is not NAME=VALUE", param_hint=option)
        found[name] = value if (types or {}).get(name) == "string" else _number(value)
    return found


def bounds(given: Sequence[str], option: str) -> float | dict[str, float] | None:
    """COLUMN=NUMBER as a mapping, or one number for all; None where nothing is given. Names may have "=" in them."""
    found: dict[str, float] = {}
    for one in given:
        name, _, value = one.rpartition("=")
        if name in found:
            what = f"{name!r} is given twice" if name else "a number for all columns is given twice"
            raise typer.BadParameter(f"{what}: give it once", param_hint=option)
        try:
            found[name] = float(value)
        except ValueError:
            raise typer.BadParameter(f"{one!r} is neither COLUMN=NUMBER nor a number", param_hint=option) from None
    if "" in found and len(given) > 1:
        raise typer.BadParameter("a number without a column is for all of them: give it alone", param_hint=option)
    return found.get("", found or None)


def groups_of(given: Sequence[str], ratio: float | None, option: str) -> dict[str, Any]:
    """COLUMN=GROUP as a mapping, or "columns", as the estimators take them."""
    if not given:
        if ratio is not None:
            raise typer.BadParameter(f"is of groups, and there are none: give {option}", param_hint="--group-ratio")
        return {}
    found: Any = {name: label for name, _, label in (one.rpartition("=") for one in given)}
    if "" in found or "" in found.values():
        if list(given) != ["columns"]:
            raise typer.BadParameter("must be COLUMN=GROUP, or columns alone", param_hint=option)
        found = "columns"
    return {"groups": found, "group_ratio": ratio}


def base_of(given: Sequence[str], option: str) -> str | dict[str, str] | None:
    """COLUMN=LEVEL as a mapping, or "first", as the estimators take them. Levels may have "=" in them."""
    if not given or list(given) == ["first"]:
        return "first" if given else None
    found = {name: level for name, equals, level in (one.partition("=") for one in given) if name and equals}
    if len(found) < len(given):
        raise typer.BadParameter(
            "must be COLUMN=LEVEL, each column once, or first alone, for the first level of all", param_hint=option
        )
    return found


def _number(value: str) -> Any:
    for type_ in (int, float):
        try:
            return type_(value)
        except ValueError:
            continue
    return value
