"""What many verdicts come to, in Markdown."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from .runs import Judged, Verdict

_MOST_SEEDS = 40
_FAILURES = ("MAX_ITER", "LINE_SEARCH")


def markdown(judged: list[Judged]) -> str:
    """Tables by solver and by loss, and the seeds to look at."""
    verdicts = [verdict for one in judged for verdict in one.verdicts]
    lines = [f"# Truth: {len(judged)} problems, {len(verdicts)} runs", ""]
    for title, key in (("solver", lambda v: v.solver), ("loss, all solvers", lambda v: v.loss)):
        lines += _table(title, verdicts, key)
    lines += _table("loss, auto alone", [v for v in verdicts if v.solver == "auto"], lambda v: v.loss)
    for solver in dict.fromkeys(v.solver for v in verdicts):
        own = [v for v in verdicts if v.solver == solver]
        lines += _seeds(f"{solver}: false claims", [v for v in own if v.false_claim])
        lines += _seeds(f"{solver}: exceptions", [v for v in own if v.status == "error"])
        lines += _seeds(f"{solver}: warnings", [v for v in own if v.warnings])
        if solver == "auto":
            lines += _seeds("auto: not at the optimum", [v for v in own if v.away])
    kinds = [v.message[:150] for v in verdicts if v.status == "error"] + [w[:150] for v in verdicts for w in v.warnings]
    lines += [f"- {kinds.count(kind)} x {kind}" for kind in sorted(set(kinds), key=kinds.count, reverse=True)[:20]]
    beaten = [one for one in judged if one.beaten > 0.01]
    if beaten:
        told = ", ".join(f"{one.seed} ({one.beaten:.1g})" for one in beaten[:_MOST_SEEDS])
        lines += ["", f"A solver came below the reference, by so many tolerances; its F was taken instead: {told}"]
    return "\n".join([*lines, ""])


def faults(judged: Iterable[Judged]) -> list[Verdict]:
    """False claims, exceptions and warnings: what no solver may have."""
    return [v for one in judged for v in one.verdicts if v.false_claim or v.status == "error" or v.warnings]


def in_words(judged: Judged) -> str:
    """One problem and its verdicts."""
    lines = [judged.words]
    for v in judged.verdicts:
        word = "FALSE CLAIM" if v.false_claim else "away" if v.away else "at the optimum"
        share = v.distance / abs(v.best) if v.best else np.inf
        lines.append(
            f"  {v.solver}: {v.status}, {word}: F {v.F:.12g}, F* {v.best:.12g}, distance {v.distance:.2e} = "
            f"{share:.1e} |F*|, told F {v.told:.12g}; {v.passes:.1f} passes, {v.seconds:.2f} s; {v.message}"
        )
        lines += [f"    {v.chosen}"] if v.chosen else []
        lines += [f"    {warning}" for warning in v.warnings]
    return "\n".join(lines)


def _table(title: str, verdicts: list[Verdict], key: Any) -> list[str]:
    columns = ["runs", "at the optimum", "claims", "false claims", "PRECISION", "of them away", *_FAILURES]
    columns += ["exceptions", "with warnings", "passes, median", "95 %"]
    lines = [f"| {title} | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    for name in dict.fromkeys(key(v) for v in verdicts):
        own = [v for v in verdicts if key(v) == name]
        precise = [v for v in own if v.status == "PRECISION"]
        passes = [v.passes for v in own if v.status != "error"] or [np.nan]
        cells = [
            len(own),
            f"{100 * sum(not v.away for v in own) / len(own):.1f} %",
            sum(v.claimed for v in own),
            sum(v.false_claim for v in own),
            len(precise),
            sum(v.away for v in precise),
            *(sum(v.status == status for v in own) for status in _FAILURES),
            sum(v.status == "error" for v in own),
            sum(bool(v.warnings) for v in own),
            f"{np.median(passes):.0f}",
            f"{np.quantile(passes, 0.95):.0f}",
        ]
        lines.append(f"| {name} | " + " | ".join(map(str, cells)) + " |")
    return [*lines, ""]


def _seeds(title: str, verdicts: list[Verdict]) -> list[str]:
    if not verdicts:
        return []
    seeds = " ".join(str(v.seed) for v in verdicts[:_MOST_SEEDS])
    more = f" and {len(verdicts) - _MOST_SEEDS} more" if len(verdicts) > _MOST_SEEDS else ""
    return [f"- {title} ({len(verdicts)}): {seeds}{more}"]
