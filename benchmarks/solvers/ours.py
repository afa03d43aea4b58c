"""fullbatch's solvers, through the public API. The clock includes placing the blocks, compiling left out."""

import time
from typing import Any

import numpy as np

from .curve import Curve
from .task import Task


def run(task: Task, solver: str, threads: int, seconds: float) -> Curve:
    """Every iterate of one solver."""
    from fullbatch import Linear, Objective, Standardized, ThreadEngine, TimeLimit, array_sources, minimize

    curve = Curve()

    def go(X: Any, y: np.ndarray, **options: Any) -> Any:
        began = time.perf_counter()
        with_classes = Linear(task.loss)
        blocks = ThreadEngine(threads).place(with_classes, array_sources(X, y))
        try:
            objective = Objective(blocks, task.l2, Standardized(blocks.schema, with_classes.outputs(blocks.schema)))
            placed = time.perf_counter() - began
            keep = options.pop("keep", None)

            def record(iterate: Any) -> None:
                theta = objective.variables.to_blocks(iterate.theta)
                curve.add(theta, iterate.passes, placed + iterate.seconds)

            callbacks = [record, TimeLimit(seconds)] if keep else []
            return minimize(objective, np.zeros(objective.size), solver=solver, callbacks=callbacks, **options)
        finally:
            blocks.close()

    few = _few_rows(task)
    go(task.X[few], task.y[few], max_iter=1)  # compiles
    result = go(task.X, task.y, tol=1e-12, max_iter=3000, keep=True)
    curve.note = f"{result.solver}; {result.status.value}; {result.sampled_passes:.2f} sampled passes"
    return curve


def optimum(task: Task, threads: int) -> tuple[float, float]:
    """F at the end of a long float64 run, and the norm of its gradient there."""
    from fullbatch import Linear, Objective, SampledLBFGS, Standardized, ThreadEngine, array_sources, minimize

    X = task.X.astype(np.float64)
    model = Linear(task.loss)
    blocks = ThreadEngine(threads).place(model, array_sources(X, task.y))
    try:
        objective = Objective(blocks, task.l2, Standardized(blocks.schema, model.outputs(blocks.schema)))
        solver = SampledLBFGS(rows_per_column=12, most_builds=12)
        result = minimize(objective, np.zeros(objective.size), solver=solver, tol=0.0, max_iter=2000)
        return result.value, result.grad_norm
    finally:
        blocks.close()


def _few_rows(task: Task) -> np.ndarray:
    """Enough rows for every class to be there."""
    if task.loss not in ("softmax", "logistic"):
        return np.arange(200)
    return np.sort(np.concatenate([np.flatnonzero(task.y == label)[:50] for label in np.unique(task.y)]))
