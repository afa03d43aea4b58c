"""The report in Markdown: passes and seconds to each relative distance from the optimum."""

from typing import Any


def markdown(result: dict[str, Any]) -> str:
    lines = [f"# Solvers, {result['started']}", ""]
    if result["quick"]:
        lines += ["**Quick: few rows. The numbers mean nothing.**", ""]
    about = ", ".join(f"{key} {value}" for key, value in result["machine"].items() if isinstance(value, str | int))
    lines += [about, "", "Passes / seconds to the first iterate with (F - F*) / F* at most that.", ""]
    for row in result["tasks"].values():
        lines += [f"## {row['title']}", "", f"F* = {row['optimum']:.12g}: {row['how']}", ""]
        targets = [f"{target:g}" for target in result["targets"]]
        lines.append("| | " + " | ".join(targets) + " | at the end |")
        lines.append("|---" * (len(targets) + 2) + "|")
        for name, one in row["contenders"].items():
            lines.append(_line(name, one, len(targets)))
        notes = {name: one["note"] for name, one in row["contenders"].items() if one.get("note")}
        lines += ["", f"![{row['title']}]({row['plot']})"] if "plot" in row else []
        lines += ["", *(f"- {name}: {note}" for name, note in notes.items()), ""]
    versions = {
        one["version"] for row in result["tasks"].values() for one in row["contenders"].values() if one.get("version")
    }
    return "\n".join([*lines, ", ".join(sorted(versions)), ""])


def _line(name: str, one: dict[str, Any], columns: int) -> str:
    if "failed" in one:
        return f"| {name} | failed: {one['failed']} " + "| " * columns + "|"
    cells = [_cell(reached) for reached in one["reached"]]
    end = f"{one['final']:.1e} after {_passes(one['passes'])} / {one['seconds']:.3g}"
    return f"| {name} | " + " | ".join([*cells, end]) + " |"


def _cell(reached: dict[str, float] | None) -> str:
    return "-" if reached is None else f"{_passes(reached['passes'])} / {reached['seconds']:.3g}"


def _passes(passes: float) -> str:
    return "?" if passes < 0 else f"{passes:.0f}"
