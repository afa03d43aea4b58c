"""Tables of estimates, and their text."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm, t

from ..wording.arguments import is_number

Array = npt.NDArray[Any]


def quantile(level: float, df: float) -> float:
    """How many standard errors an interval of this level goes to either side."""
    if not (is_number(level) and 0 < level < 1):
        raise ValueError(f"level must be a number between 0 and 1, such as 0.95, got {level!r}")
    tail = 0.5 + 0.5 * level
    return float(t.ppf(tail, df) if np.isfinite(df) else norm.ppf(tail))


def estimates(
    names: Sequence[str], values: Array, errors: Array, df: float, level: float, estimate: str = "coef"
) -> dict[str, Any]:
    """Columns of a table of estimates: their errors, what these are, and intervals.

    An estimate that is rounding beside its error is zero. One of zero has the statistic 0, whatever its error.
    """
    values = np.where(np.abs(values) <= 1e-13 * errors, 0.0, values)
    with np.errstate(divide="ignore", invalid="ignore"):
        statistic = np.where(values == 0, 0.0, values / errors)
    sizes = np.abs(statistic)
    away = quantile(level, df) * errors
    return {
        "name": list(names),
        estimate: values,
        "std_err": errors,
        "t" if np.isfinite(df) else "z": statistic,
        "p_value": 2.0 * (t.sf(sizes, df) if np.isfinite(df) else norm.sf(sizes)),
        "lower": values - away,
        "upper": values + away,
    }


def as_text(columns: Mapping[str, Any], width: int = 80) -> list[str]:
    """Lines of a table, none wider than `width`: the names give way."""
    heads = [name for name in columns if name != "name"]
    shown = {name: [_shown(name, value) for value in columns[name]] for name in heads}
    widths = {name: max(len(name), *(len(text) for text in shown[name]), 6) for name in heads}
    room = max(8, width - sum(widths.values()) - 2 * len(heads))
    names = [_short(str(name), room) for name in columns["name"]]
    first = max([len(name) for name in names], default=0)
    lines = [" " * first + "".join(f"  {name:>{widths[name]}}" for name in heads)]
    for row, name in enumerate(names):
        lines.append(f"{name:<{first}}" + "".join(f"  {shown[one][row]:>{widths[one]}}" for one in heads))
    return lines


def _short(name: str, room: int) -> str:
    return name if len(name) <= room else f"{name[: room - 1]}…"


def _shown(column: str, value: float) -> str:
    if not np.isfinite(value):
        return str(value)
    if column == "p_value":
        return "<0.0001" if value < 1e-4 else f"{value:.4f}"
    if column in ("z", "t"):
        return f"{value:.3f}"
    if value == 0:
        return "0"
    return f"{value:.5g}" if 1e-4 <= abs(value) < 1e6 else f"{value:.3e}"
