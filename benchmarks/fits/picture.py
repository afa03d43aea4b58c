"""Seconds of whole fits as bars, ours and every peer's, as an SVG picture."""

from html import escape
from typing import Any

_LEFT, _WIDTH, _RIGHT, _BAR, _HEAD, _GAP = 190, 440, 130, 16, 24, 14
_OURS, _THEIRS = "#0b6e4f", "#b9bec6"


def svg(result: dict[str, Any], gap: float) -> str:
    """For each task a bar for each contender, of the seconds until its F was within a relative gap of the least.

    Parameters
    ----------
    result : dict
        What the benchmark tells, with its `tasks`.
    gap : float
        One of those that it was run for. Where a contender did not reach it, its bar ends open, at the seconds of its
        last fit.
    """
    parts, y = [], 40.0
    for task in result["tasks"].values():
        bars = {name: one for name, one in task["contenders"].items() if "failed" not in one}
        longest = max(_seconds(one, gap) for one in bars.values())
        parts.append(f'<text x="10" y="{y + 14}" font-weight="600">{escape(task["title"])}</text>')
        y += _HEAD
        for name, one in bars.items():
            parts += _bar(name, one, gap, y, _WIDTH / longest)
            y += _BAR + 3
        y += _GAP
    size = f"{_LEFT + _WIDTH + _RIGHT} {y:.0f}"
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif" font-size="12">',
        f'<rect width="{_LEFT + _WIDTH + _RIGHT}" height="{y:.0f}" fill="white"/>',
        f'<text x="10" y="22" font-size="14">Seconds from arrays to coefficients, to a relative gap of {gap:g} in F; '
        f"{escape(str(result['machine']['cpus']))} cores</text>",
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def _bar(name: str, one: dict[str, Any], gap: float, y: float, scale: float) -> list[str]:
    reached, seconds = one["reached"][f"{gap:g}"], _seconds(one, gap)
    length, colour = max(seconds * scale, 1.0), _OURS if name == "fullbatch" else _THEIRS
    fill = f'fill="{colour}"' if reached is not None else f'fill="none" stroke="{colour}" stroke-dasharray="4 3"'
    told = f"{seconds:.2f} s" if reached is not None else f"not in {seconds:.2g} s"
    return [
        f'<text x="{_LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{_LEFT}" y="{y}" width="{length:.1f}" height="{_BAR}" {fill}/>',
        f'<text x="{_LEFT + length + 6:.1f}" y="{y + 12}">{told}</text>',
    ]


def _seconds(one: dict[str, Any], gap: float) -> float:
    reached = one["reached"][f"{gap:g}"]
    return float(one["seconds"] if reached is None else reached)
