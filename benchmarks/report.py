"""Numbers that follow from the measured ones, and the report in Markdown."""

from typing import Any

from . import targets

OURS = "fullbatch"
BUSY = 0.5  # load average above which something else was running


def derive(row: dict[str, Any], threads: int) -> None:
    """Add limits, roofline ratios, GB/s and ratios to the peers to a workload's row."""
    row["limit"] = {}
    for count, limits in row["limits_ms"].items():
        name = max(limits, key=lambda one: limits[one])
        row["limit"][count] = {"by": name, "ms": limits[name]}
    ours = row["contenders"].get(OURS, {}).get("median_ms")
    for name, one in row["contenders"].items():
        if "median_ms" not in one:
            continue
        if name in (OURS, f"{OURS}, 1 thread"):
            count = threads if name == OURS else 1
            one["roofline_ratio"] = one["median_ms"] / row["limit"][count]["ms"]
            one["GB_per_s"] = row["feature_bytes"] / one["median_ms"] / 1e6
        if ours is not None and name != OURS:
            one["ours_over_this"] = ours / one["median_ms"]


def markdown(result: dict[str, Any]) -> str:
    """The whole report."""
    lines = ["# Benchmark of one pass", ""]
    if result["quick"]:
        lines += ["**A smoke test on small data: no time here means anything.**", ""]
    else:
        lines += _quiet(result) + _targets(result)
    lines += _machine(result) + _rates(result) + ["## Workloads", ""]
    for name, row in result["workloads"].items():
        lines += _workload(name, row)
    return "\n".join(lines)


def _quiet(result: dict[str, Any]) -> list[str]:
    load = result["machine"]["load_average_at_start"]
    if load < BUSY:
        return []
    return [
        f"**The machine was not quiet: load average {load} at the start.** Limits measured too low make "
        "roofline ratios look too good; two threads that do not reach twice the rate of one below are a sign of it.",
        "",
    ]


def _targets(result: dict[str, Any]) -> list[str]:
    lines = ["## Targets", "", "| | measured | target | met |", "|---|---|---|---|"]
    lines += [f"| {text} | {value} | {target} | {met} |" for text, value, target, met in targets.rows(result)]
    return [*lines, ""]


def _machine(result: dict[str, Any]) -> list[str]:
    about = result["machine"]
    versions = dict(about["versions"])
    for row in result["workloads"].values():
        for one in row["contenders"].values():
            if "version" in one:
                name, _, number = one["version"].partition(" ")
                versions[f"{name} (peer)"] = number
    return [
        f"{result['started']}; fullbatch {about['fullbatch']}; load average at the start "
        f"{about['load_average_at_start']}.",
        "",
        f"- CPU: {about['cpu']}; {about['cpus']} CPUs; {', '.join(about['caches']) or 'caches unknown'}",
        f"- Memory: {about['memory_GiB']} GiB",
        f"- System: {about['system']}",
        f"- Versions: {', '.join(f'{name} {number}' for name, number in versions.items())}",
        "",
    ]


def _rates(result: dict[str, Any]) -> list[str]:
    counts = list(result["rates"])
    lines = [
        "## The machine's limits",
        "",
        "| 10^9 per second | " + " | ".join(f"{n} thread(s)" for n in counts) + " |",
    ]
    lines.append("|---|" + "---|" * len(counts))
    for name in result["rates"][counts[0]]:
        lines.append(f"| {name} | " + " | ".join(f"{result['rates'][n][name] / 1e9:.2f}" for n in counts) + " |")
    return [*lines, ""]


def _workload(name: str, row: dict[str, Any]) -> list[str]:
    limits = "; ".join(
        f"{count} thread(s) {limit['ms']:.1f} ms by {limit['by']}" for count, limit in row["limit"].items()
    )
    lines = [f"### {name}: {row['title']}", "", f"Features {row['feature_bytes'] / 1e6:.0f} MB. Limit: {limits}.", ""]
    lines += [
        "| | median ms | min | max | roofline ratio | GB/s | fullbatch / this | agrees (loss, gradient error) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for contender, one in row["contenders"].items():
        lines.append(f"| {contender} | {_cells(one)} |")
    memory = row.get("memory")
    if memory:
        lines += ["", "Memory of a fit: " + _memory(memory)]
    return [*lines, ""]


def _cells(one: dict[str, Any]) -> str:
    if "failed" in one:
        return f"{one['failed'].replace('|', '/')} | | | | | |"
    cells = [f"{one[key]:.1f}" for key in ("median_ms", "min_ms", "max_ms")]
    for key in ("roofline_ratio", "GB_per_s", "ours_over_this"):
        cells.append(f"{one[key]:.2f}" if key in one else "")
    if "agrees" not in one:
        return " | ".join([*cells, "another question"])
    word = "yes" if one["agrees"] else f"**NO**, tolerance {one['tolerance']:.0e}"
    return " | ".join([*cells, f"{word} ({one['loss_error']:.0e}, {one['gradient_error']:.0e})"])


def _memory(memory: dict[str, Any]) -> str:
    if "failed" in memory:
        return f"not measured: {memory['failed']}"
    return (
        f"{memory['growth']:.2f} x the data, and {memory['constant_MB']:.0f} MB whatever n: in all "
        f"{memory['peak_MB']:.0f} for {memory['data_MB']:.0f} MB, the arrays themselves included, beside "
        f"{memory['program_MB']:.0f} MB of the program."
    )
