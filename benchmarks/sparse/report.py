"""The report in Markdown: seconds to a relative gap of 1e-6, and what they are beside the fastest peer's."""

from typing import Any


def markdown(result: dict[str, Any]) -> str:
    lines = [f"# Sparse fits, {result['started']}", ""]
    if result["quick"]:
        lines += ["**Quick: few rows. The numbers mean nothing.**", ""]
    about = ", ".join(f"{key} {value}" for key, value in result["machine"].items() if isinstance(value, str | int))
    lines += [about, "", f"load of the machine when each task began: {', '.join(result['loads'])}", ""]
    for row in result["tasks"].values():
        lines += [f"## {row['title']}, L1 {row['l1']:.3g}, L2 {row['l2']:.3g}", ""]
        lines += [f"F* = {row['optimum']:.12g} with {row['support']} coefficients that are not zero", ""]
        lines += ["| | seconds to 1e-6 | ours / theirs | gap | not zero | other support |", "|---" * 6 + "|"]
        ours = row["contenders"]["fullbatch"].get("reached")
        for name, one in row["contenders"].items():
            lines.append(_line(name, one, ours))
        lines += ["", *(f"- {name}: {one['note']}" for name, one in row["contenders"].items() if one.get("note")), ""]
    versions = {
        one["version"] for row in result["tasks"].values() for one in row["contenders"].values() if "version" in one
    }
    return "\n".join([*lines, ", ".join(sorted(versions)), ""])


def _line(name: str, one: dict[str, Any], ours: float | None) -> str:
    if "failed" in one:
        return f"| {name} | failed: {one['failed']} | | | | |"
    reached = one["reached"]
    seconds = f"{reached:.3g}" if reached is not None else f"not in {one['seconds']:.3g}"
    ratio = f"{ours / reached:.2f}" if ours is not None and reached and name != "fullbatch" else ""
    return f"| {name} | {seconds} | {ratio} | {one['gap']:.1e} | {one['support']} | {one['other']} |"
