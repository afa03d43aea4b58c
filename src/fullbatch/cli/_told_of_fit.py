"""What `fullbatch fit` tells of a fit: all of it for --json, and a short line each for the screen."""

import math
import re
from collections.abc import Mapping
from typing import Any

from ._screen import counted, number, seconds


def summary_of(fitted: Any) -> dict[str, Any]:
    """What --json has of a fit."""
    result = fitted.result_
    return {
        "rows": fitted.n_samples_fit_,
        "columns": fitted.n_features_in_,
        "parameters": int(result.theta.size),
        "l2": fitted.l2_,
        "l1": fitted.l1_,
        "l21": fitted.l21_,
        "not_zero": int((fitted.coef_ != 0).sum()),
        "solver": result.solver,
        "status": result.status.value,
        "message": result.message,
        "remaining_r2": result.remaining_r2,
        "score_r2": result.score_r2,
        "known_by": result.known_by,
        "notices": [str(notice) for notice in result.notices],
        "F": result.value,
        "gradient_norm": result.grad_norm,
        "relative_gradient_norm": result.grad_norm / result.first_grad_norm if result.first_grad_norm else 0.0,
        "iterations": result.iterations,
        "resumed_at": result.resumed_at,
        "passes": result.passes,
        "setup_passes": result.setup_passes,
        "sampled_passes": result.sampled_passes,
        "seconds": result.seconds,
    }


def on_test(fitted: Any, mnist: Any) -> dict[str, Any]:
    """Measures on the test rows of MNIST."""
    measured = fitted.evaluate(mnist.X_test, mnist.y_test)
    return {
        "test_rows": int(measured["rows"]),
        "test_accuracy": measured["accuracy"],
        "test_cross_entropy": measured["cross_entropy"],
    }


# Why a run ended and what may be done, in a few words; that of a callback says so itself.
_ENDED = {
    "max_iter": ": raise --max-iter, or --tol if this is near enough",
    "precision": ": what is left is lost in rounding",
    "interrupted": ": this is the best iterate so far",
    "line_search": ": no better point was found along the gradient",
}

# Where what is known of the distance from the minimum comes from.
_KNOWN_BY = {
    "hessian": "by the Hessian of all rows",
    "sample": "by the Hessian of a sample of the rows",
    "directions": "or more: looked at in a few directions",
    "columns": "by the solver's own estimate",
    "estimate": "by the solver's own estimate",
}


def in_short(summary: Mapping[str, Any], result: Any) -> dict[str, Any]:
    """What the screen shows of a summary: a short line each."""
    status, left = summary["status"], summary["remaining_r2"]
    ended = f": {result.message}" if status == "stopped" else _ENDED.get(status, "")
    sampled = f", and {number(result.sampled_passes, 3)} over samples of the rows" if result.sampled_passes else ""
    resumed = "" if result.resumed_at is None else f", those before the resume at {result.resumed_at:,} included"
    return {
        "model": summary["model"],
        "engine": summary["engine"],
        "rows": f"{summary['rows']:,} in {counted(summary['blocks'], 'block')}",
        **{name: summary[name] for name in ("columns", "parameters", "l2")},
        **{name: summary[name] for name in ("l1", "l21") if summary[name]},
        **({"not zero": counted(summary["not_zero"], "coefficient")} if summary["l1"] or summary["l21"] else {}),
        "solver": solver_in_short(result.solver),
        "status": status + ended,
        "F": number(result.value, 8),
        "still to gain": f"{left:.1e} of R2, {_KNOWN_BY[result.known_by]}" if math.isfinite(left) else None,
        "gradient norm": number(result.grad_norm, 3),
        "iterations": f"{result.iterations:,}{resumed}",
        "passes": f"{result.passes:,}{sampled}",
        "seconds": f"{seconds(result.seconds)}, after {seconds(summary['setup_seconds'])} of set-up",
        "test": _test_in_short(summary),
        **({"notices": "; ".join(notice.words for notice in result.notices)} if result.notices else {}),
        "saved": summary["saved"],
    }


def _test_in_short(summary: Mapping[str, Any]) -> str | None:
    if "test_rows" not in summary:
        return None
    accuracy, loss = (number(summary[f"test_{name}"]) for name in ("accuracy", "cross_entropy"))
    return f"accuracy {accuracy}, cross-entropy {loss}, of {summary['test_rows']:,} rows"


def solver_in_short(told: str) -> str:
    """Which solver ran, and why it was chosen, without the numbers of the choice."""
    about, *more = told.split("; ")
    chosen = next((re.match(r"chose ([\w-]+) because (?:of [^:]*: )?([^(]*)", part) for part in more), None)
    others = "".join(f", then {part.split(' went on')[0]}" for part in more if " went on where " in part)
    if chosen is None:
        return re.split(r",| with ", about)[0] + others
    return f"{chosen[1]}: {chosen[2].strip()}{others}"
