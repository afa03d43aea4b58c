"""The report in Markdown: seconds to relative gaps, and what they are beside each peer's."""

from typing import Any


def markdown(result: dict[str, Any], title: str = "Sparse fits") -> str:
    lines = [f"# {title}, {result['started']}", ""]
    if result["quick"]:
        lines += ["**Quick: few rows. The numbers mean nothing.**", ""]
    about = ", ".join(f"{key} {value}" for key, value in result["machine"].items() if isinstance(value, str | int))
    lines += [about, "", f"load of the machine when each task began: {', '.join(result['loads'])}", ""]
    for row in result["tasks"].values():
        lines += [f"## {row['title']}, L1 {row['l1']:.3g}, L2 {row['l2']:.3g}", ""]
        lines += [f"F* = {row['optimum']:.12g} with {row['support']} coefficients that are not zero", ""]
        ours = row["contenders"]["fullbatch"]["reached"]
        heads = [f"seconds to {gap} | ours / theirs" for gap in ours]
        lines += [f"| | {' | '.join(heads)} | gap | not zero | other support |", "|---" * (2 * len(ours) + 4) + "|"]
        for name, one in row["contenders"].items():
            lines.append(_line(name, one, ours))
        lines += ["", *(f"- {name}: {one['note']}" for name, one in row["contenders"].items() if one.get("note")), ""]
    versions = {
        one["version"] for row in result["tasks"].values() for one in row["contenders"].values() if "version" in one
    }
    return "\n".join([*lines, ", ".join(sorted(versions)), ""])


def _line(name: str, one: dict[str, Any], ours: dict[str, float | None]) -> str:
    if "failed" in one:
        return f"| {name} | failed: {one['failed']} |{' |' * (2 * len(ours) + 2)}"
    cells = []
    for gap, own in ours.items():
        reached = one["reached"][gap]
        cells.append(f"{reached:.3g}" if reached is not None else f"not in {one['seconds']:.3g}")
        cells.append(f"{own / reached:.2f}" if own is not None and reached and name != "fullbatch" else "")
    return f"| {name} | {' | '.join(cells)} | {one['gap']:.1e} | {one['support']} | {one['other']} |"
