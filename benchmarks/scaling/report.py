"""The report in Markdown."""

from typing import Any

import numpy as np

from ..report import BUSY
from .model import COEFFICIENTS, PARTS


def markdown(result: dict[str, Any]) -> str:
    about, cores = result["machine"], result["cores"]
    load = about["load_average_at_start"]
    lines = ["# A model of what a pass costs on Ray", ""]
    if result["quick"]:
        lines += ["**A smoke test on small data: no time here means anything.**", ""]
    if load >= BUSY:
        lines += [f"**The machine was not quiet: load average {load} at the start.**", ""]
    lines += [
        f"{result['started']}; fullbatch {about['fullbatch']}; Ray {result['ray']}; {about['cpu']}; {cores} cores; "
        f"load average at the start {load}.",
        "",
        "seconds = compute + broadcast + reduce + overhead. Compute is divided by min(workers, cores): all workers are "
        f"on this machine, so that more than {cores} of them share its cores and add only calls and bytes.",
        "",
        "## Coefficients",
        "",
        "| part | of | value | unit |",
        "|---|---|---|---|",
    ]
    for value, (name, unit, part) in zip(result["coefficients"], COEFFICIENTS, strict=True):
        lines.append(f"| {part} | {name} | {value:.3g} | {unit} |")
    passes = [row for row in result["fitted"] if len(row["of"]) == len(PARTS)]
    calls = [row for row in result["fitted"] if len(row["of"]) < len(PARTS)]
    lines += ["", "## Fit", "", "| | cases | median error | largest error |", "|---|---|---|---|"]
    lines += [_errors("passes", passes), _errors("bare calls", calls)]
    lines += ["", "## Cases left out of the fit", "", *_table(result["left_out"])]
    lines += ["", "## Passes in the fit", "", *_table(passes)]
    return "\n".join([*lines, "", *_extrapolation(result), ""])


def _errors(name: str, rows: list[dict[str, Any]]) -> str:
    errors = np.abs([row["error"] for row in rows])
    return f"| {name} | {len(rows)} | {np.median(errors):.1%} | {errors.max():.1%} |"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        f"| workers | rows | parameters | {' | '.join(PARTS)} | predicted ms | measured ms | error |",
        "|---" * (6 + len(PARTS)) + "|",
    ]
    for row in rows:
        parameters = row["outputs"] * (row["columns"] + 1)
        parts = " | ".join(f"{1e3 * row[part]:.2f}" for part in PARTS)
        lines.append(
            f"| {row['workers']} | {row['rows']:,} | {parameters:,} | {parts} | {1e3 * row['predicted']:.2f} | "
            f"{1e3 * row['measured']:.2f} | {row['error']:+.1%} |"
        )
    return lines


def _extrapolation(result: dict[str, Any]) -> list[str]:
    network = result["network"]
    lines = [
        "## An extrapolation, not a measurement",
        "",
        "What the model says of clusters that it has never seen. It assumes",
        "",
        f"- nodes of {result['cores_of_a_node']} cores, one worker on each, whose cores are as fast as those here, "
        "also all at once (memory bandwidth grows with the cores), blocks enough to keep them busy, and no straggler;",
        "- that a call to each further worker, and its bytes, cost the driver as much as here, where at most "
        f"{max(row['workers'] for row in result['fitted'])} were asked;",
        f"- a network that was not measured: {network['bytes_per_second'] / 1e9:g} GB/s at the driver, through which "
        f"theta goes to each worker and an answer comes back, and {1e3 * network['seconds_each_way']:g} ms each way;",
        "- one answer from each worker, of at most 1 MiB: beyond, workers add them among themselves, which is not in "
        "the model.",
        "",
        f"| nodes | rows | parameters | {' | '.join(PARTS)} | network | a pass, s |",
        "|---" * (5 + len(PARTS)) + "|",
    ]
    for row in result["extrapolated"]:
        parts = " | ".join(f"{row[part]:.4f}" for part in (*PARTS, "network"))
        parameters = row["outputs"] * (row["columns"] + 1)
        lines.append(f"| {row['nodes']} | {row['rows']:,} | {parameters:,} | {parts} | {row['all']:.4f} |")
    return lines
