"""Tables of a model's checks, drawn on axes of matplotlib."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ..inference.pandas_ import as_columns

_GREY = "0.6"


def _calibration(checks: Any, ax: Any, label: Any) -> None:
    table = checks.calibration(label=label)
    expected, actual = np.asarray(table["expected"]), np.asarray(table["actual"])
    ends = [min(expected.min(), actual.min()), max(expected.max(), actual.max())]
    ax.plot(ends, ends, color=_GREY, linewidth=1.0)
    ax.plot(expected, actual, marker="o")
    ax.set(xlabel="expected", ylabel="actual", title="calibration")


def _curve(checks: Any, ax: Any, table: Any, x: str, y: str, title: str, diagonal: bool) -> None:
    if diagonal:
        ax.plot([0.0, 1.0], [0.0, 1.0], color=_GREY, linewidth=1.0)
    ax.plot(np.asarray(table[x]), np.asarray(table[y]))
    names = {"fpr": "false positives", "tpr": "true positives", "share": "share of the rows"}
    ax.set(xlabel=names.get(x, x), ylabel=names.get(y, y), title=title)


def _residuals(checks: Any, ax: Any, label: Any) -> None:
    table = checks.residual_quantiles()
    normal = np.asarray(table["normal"])
    ax.plot(normal[[0, -1]], normal[[0, -1]], color=_GREY, linewidth=1.0)
    ax.plot(normal, np.asarray(table["residual"]), marker=".", linestyle="none")
    ax.set(xlabel="normal quantiles", ylabel="quantile residuals", title="residuals")


PLOTS: dict[str, Callable[[Any, Any, Any], None]] = {
    "calibration": _calibration,
    "roc": lambda checks, ax, label: _curve(checks, ax, checks.roc_curve(label=label), "fpr", "tpr", "ROC", True),
    "precision-recall": lambda checks, ax, label: _curve(
        checks, ax, checks.precision_recall_curve(label=label), "recall", "precision", "precision and recall", False
    ),
    "gain": lambda checks, ax, label: _curve(checks, ax, checks.lift(100, label), "share", "gain", "gain", True),
    "lorenz": lambda checks, ax, label: _curve(
        checks, ax, checks.lorenz_curve(label=label), "share", "actual", "Lorenz curve", True
    ),
    "residuals": _residuals,
}


def draw_column(checks: Any, column: str, ax: Any, label: Any) -> None:
    """Actual and expected by the levels of a column, or by parts of its numbers."""
    table = as_columns(checks.by_column(column, label=label))
    where = [str(level) for level in table["name"]] if "name" in table else np.asarray(table["lower"])
    for name, style in (("expected", "--"), ("actual", "-")):
        ax.plot(where, np.asarray(table[name]), linestyle=style, marker="o", label=name)
    ax.set(xlabel=column, title=f"by {column}")
    ax.legend()
