"""fullbatch through its public API; what is compiled is compiled before the clock starts."""

import time
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fullbatch import Linear, Objective, Standardized, ThreadEngine, array_sources, minimize
from fullbatch.protocols import Category, Rows

from .task import Task


@dataclass(frozen=True, eq=False)
class _Source:
    """Some rows of numbers and categories."""

    rows: Rows
    first: int

    def read(self) -> Rows:
        return self.rows

    def __str__(self) -> str:
        return f"rows {self.first} and on"


def fit(task: Task, threads: int, tol: float, solver: str = "auto") -> dict[str, Any]:
    """Theta, seconds from arrays to coefficients, and how the run ended."""
    began = time.perf_counter()
    engine = ThreadEngine(threads)
    blocks = engine.place(Linear(task.loss), _sources(task))
    try:
        objective = Objective(blocks, task.l2, Standardized(blocks.schema, task.outputs), l1=task.l1)
        start = np.zeros(objective.size)
        null = blocks.schema.null
        if task.loss not in ("logistic", "softmax") and null is not None:
            start[-1] = null.null().intercept
        result = minimize(objective, start, solver=solver, tol=tol)
        theta = objective.variables.to_blocks(result.theta)
    finally:
        blocks.close()
        engine.close()
    return {
        "theta": theta,
        "seconds": time.perf_counter() - began,
        "passes": result.passes,
        "note": f"{result.solver}; {result.status.value}; {result.certificate.name} {result.certificate.bound:.1e}",
    }


def _sources(task: Task) -> Any:
    if task.codes is None:
        return array_sources(task.X, task.y)
    X, y, codes = np.asarray(task.X), task.y, np.asarray(task.codes)
    levels = [np.unique(column) for column in codes.T]
    edges = np.linspace(0, len(y), min(8, len(y)) + 1).astype(int).tolist()
    sources = []
    for first, stop in pairwise(edges):
        categories = tuple(
            Category(np.searchsorted(own, column[first:stop]).astype(np.int32), own)
            for own, column in zip(levels, codes.T, strict=True)
        )
        sources.append(_Source(Rows(X[first:stop], y[first:stop], None, 1.0, None, categories), first))
    return sources
