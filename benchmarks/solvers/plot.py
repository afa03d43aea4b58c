"""The distance from the optimum against passes and against seconds, as an SVG picture."""

import math
from html import escape
from typing import Any

_WIDTH, _HEIGHT, _LEFT, _TOP, _GAP, _LEGEND = 380, 300, 60, 40, 70, 210
_COLOURS = ("#0b6e4f", "#d1495b", "#00798c", "#edae49", "#30638e", "#8d6a9f", "#5f5f5f", "#b5651d", "#3d348b")
_OWN = "fullbatch"


def svg(row: dict[str, Any], targets: list[float]) -> str:
    """Both pictures of one task, side by side; ours are drawn thick.

    Parameters
    ----------
    row : dict
        A task of the result, with its `title` and `contenders`.
    targets : list of float
        Relative distances, one for each entry of a contender's `reached`.
    """
    lines = {name: one for name, one in row["contenders"].items() if "failed" not in one and any(one["reached"])}
    width, height = _LEFT + 2 * _WIDTH + _GAP + _LEGEND, _TOP + _HEIGHT + 50
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" font-family="sans-serif" font-size="11" '
        f'viewBox="0 0 {width} {height}">',
        f'<rect width="{width}" height="{height}" fill="white"/>',
        f'<text x="{_LEFT}" y="20" font-size="14">{escape(row["title"])}</text>',
    ]
    for panel, unit in enumerate(("passes", "seconds")):
        parts += _panel(_LEFT + panel * (_WIDTH + _GAP), unit, lines, targets)
    for number, name in enumerate(lines):
        y = _TOP + 8 + 16 * number
        x = _LEFT + 2 * _WIDTH + _GAP + 15
        parts.append(f'<line x1="{x}" y1="{y}" x2="{x + 20}" y2="{y}" {_stroke(name, number)}/>')
        parts.append(f'<text x="{x + 26}" y="{y + 4}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>", ""])


def _panel(left: float, unit: str, lines: dict[str, Any], targets: list[float]) -> list[str]:
    curves = {name: _points(one, unit, targets) for name, one in lines.items()}
    values = [x for points in curves.values() for x, _ in points]
    if not values:
        return []
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)) + 1e-9)
    high = max(high, low + 1)
    exponents = [round(math.log10(target)) for target in targets]
    top, bottom = max(exponents), min(exponents)

    def place(x: float, y: float) -> tuple[float, float]:
        along = (math.log10(x) - low) / (high - low)
        return left + along * _WIDTH, _TOP + (top - math.log10(y)) / (top - bottom) * _HEIGHT

    parts = [f'<rect x="{left}" y="{_TOP}" width="{_WIDTH}" height="{_HEIGHT}" fill="none" stroke="#999"/>']
    for exponent in range(low, high + 1):
        x, _ = place(10.0**exponent, targets[0])
        parts.append(f'<line x1="{x:.1f}" y1="{_TOP}" x2="{x:.1f}" y2="{_TOP + _HEIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{_TOP + _HEIGHT + 16}" text-anchor="middle">{10.0**exponent:g}</text>')
    for exponent in exponents:
        _, y = place(10.0**low, 10.0**exponent)
        parts.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + _WIDTH}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{left - 6}" y="{y + 4:.1f}" text-anchor="end">1e{exponent}</text>')
    parts.append(f'<text x="{left + _WIDTH / 2}" y="{_TOP + _HEIGHT + 36}" text-anchor="middle">{unit}</text>')
    for number, (name, points) in enumerate(curves.items()):
        if points:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (place(*point) for point in points))
            parts.append(f'<polyline points="{path}" fill="none" {_stroke(name, number)}/>')
            parts += [
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{_COLOURS[number % len(_COLOURS)]}"/>'
                for x, y in (place(*point) for point in points)
            ]
    return parts


def _points(one: dict[str, Any], unit: str, targets: list[float]) -> list[tuple[float, float]]:
    """Where it first was so near; nothing where it does not tell its passes."""
    reached = zip(one["reached"], targets, strict=True)
    return [(place[unit], target) for place, target in reached if place is not None and place[unit] > 0]


def _stroke(name: str, number: int) -> str:
    dashes = "" if number < len(_COLOURS) else ' stroke-dasharray="5 3"'
    return f'stroke="{_COLOURS[number % len(_COLOURS)]}" stroke-width="{3 if name.startswith(_OWN) else 1.5}"{dashes}'
