"""What the benchmark is to show, and whether it does."""

from collections.abc import Iterator
from typing import Any

OURS, ONE = "fullbatch", "fullbatch, 1 thread"
SKLEARN = "scikit-learn loss_gradient"
ROOFLINE = {  # at most
    "mnist-float32": 2.0,
    "mnist-uint8": 2.0,
    "dense-binary": 2.0,
    "dense-classes": 2.0,
    "csr": 5.0,
    "poisson": 5.0,
    "models": None,  # reported, without a target
}
RATIOS = (  # workload, beside whom, at most this many times their time
    ("mnist-float32", "torch loss + backward float32", 0.5),
    ("mnist-float32", f"{SKLEARN} float32", 0.2),
    ("mnist-uint8", "fullbatch on float32", 1.0),
    ("dense-binary", f"{SKLEARN} float32", 0.4),
    ("csr", f"{SKLEARN} float32", 0.7),
    ("poisson", "tabmat matvec + transpose_matvec float64", 0.7),
)
MODELS_GAIN = 4.0  # 50 models at once are at least this much faster than 50 passes
THREADS_GAIN = 1.7  # where memory bandwidth is not the limit
MEMORY = 1.15  # peak of a fit over the data

Row = tuple[str, str, str, str]


def rows(result: dict[str, Any]) -> Iterator[Row]:
    """(what, measured, target, whether met) for every target whose workload was run."""
    workloads, threads = result["workloads"], result["threads"]
    for name, row in workloads.items():
        ratio = row["contenders"][OURS].get("roofline_ratio")
        yield _row(f"{name}: roofline ratio", ratio, ROOFLINE[name], most=True)
    for name, other, most in RATIOS:
        if name in workloads:
            ratio = workloads[name]["contenders"].get(other, {}).get("ours_over_this")
            yield _row(f"{name}: time / {other}", ratio, most, most=True)
    for name, row in workloads.items():
        both, one = (row["contenders"][who].get("median_ms") for who in (OURS, ONE))
        gain = one / both if both and one else None
        bound = row["limit"][threads]["by"] == "bandwidth"
        yield _row(f"{name}: {threads} threads / 1 thread", gain, None if bound else THREADS_GAIN, most=False)
    if "models" in workloads:
        single = workloads["models"]["contenders"].get("fullbatch, 1 model", {}).get("ours_over_this")
        gain = 50.0 / single if single else None
        yield _row("models: 50 at once / 50 passes", gain, MODELS_GAIN, most=False)
    for name, row in workloads.items():
        if "memory" in row:
            yield _row(f"{name}: growth of memory / of data", row["memory"].get("growth"), MEMORY, most=True)
            yield _row(f"{name}: memory / data", row["memory"].get("peak_over_data"), None, most=True)


def _row(text: str, value: float | None, target: float | None, most: bool) -> Row:
    shown = "-" if value is None else f"{value:.2f}"
    if target is None:
        return text, shown, "-", "-"
    met = "-" if value is None else "yes" if (value <= target if most else value >= target) else "**no**"
    return text, shown, f"{'<=' if most else '>='} {target:g}", met
