"""fullbatch through its public API; what is compiled is compiled before the clock starts."""

import time
from typing import Any

import numpy as np
import pyarrow as pa

from fullbatch import (
    GeneralizedLinearRegressor,
    Linear,
    Objective,
    Standardized,
    ThreadEngine,
    array_sources,
    fit_path,
    minimize,
    table_sources,
)

from .task import FAMILIES, Task


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


def path(task: Task, threads: int, tol: float) -> dict[str, Any]:
    """Theta of each strength, seconds from arrays to coefficients, and how the fits ended."""
    began = time.perf_counter()
    strength = task.l1 + task.l2
    engine = ThreadEngine(threads)
    estimator = GeneralizedLinearRegressor(
        family=FAMILIES[task.loss],
        link="log" if task.loss == "gamma" else "auto",
        l1_ratio=task.l1 / strength,
        tol=tol**0.5,  # of the gradient
        engine=engine,
    )
    try:
        found = fit_path(estimator, *_given(task), strengths=np.multiply(strength, task.shares))
    finally:
        engine.close()
    return {
        "theta": np.column_stack((found.coefs.reshape(len(task.shares), -1), found.intercepts.ravel())),
        "seconds": time.perf_counter() - began,
        "passes": found.passes,
        "note": f"{found.statuses.count('converged')} converged; least sure {np.nanmax(found.remaining_r2):.1e}",
    }


def _given(task: Task) -> Any:
    """Columns and targets as an estimator takes them."""
    if task.codes is None:
        return task.X, task.y
    numbers = {f"x{j}": column for j, column in enumerate(np.asarray(task.X).T)}
    categories = {f"c{j}": pa.array(codes).dictionary_encode() for j, codes in enumerate(np.asarray(task.codes).T)}
    return pa.table(numbers | categories), task.y


def _sources(task: Task) -> Any:
    if task.codes is None:
        return array_sources(task.X, task.y)
    codes = {f"c{j}": column for j, column in enumerate(np.asarray(task.codes).T)}
    numbers = {f"x{j}": column for j, column in enumerate(np.asarray(task.X).T)}
    return table_sources(pa.table(numbers | codes | {"y": task.y}), target="y", categorical=list(codes))
