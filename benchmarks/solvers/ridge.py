"""Ridge regression: one pass, a hard condition number, a path with cross-validation.

`python -m benchmarks.solvers.ridge --rows 2000000`
"""

import argparse
import time

import numpy as np

COLUMNS = 100


def reference(X: np.ndarray, y: np.ndarray, l2: float) -> np.ndarray:
    """Coefficients and intercept by QR decompositions of centred rows and of the penalty's, in NumPy."""
    mean, level = X.mean(axis=0), y.mean()
    R = np.hstack((np.sqrt(l2 * len(y)) * np.eye(COLUMNS), np.zeros((COLUMNS, 1))))
    for start in range(0, len(y), 50_000):
        rows = slice(start, start + 50_000)
        R = np.linalg.qr(np.vstack((R, np.column_stack((X[rows] - mean, y[rows] - level)))), mode="r")
    coef = np.linalg.solve(R[:COLUMNS, :COLUMNS], R[:COLUMNS, -1])
    return np.append(coef, level - mean @ coef)


def data(rows: int, condition: float) -> tuple[np.ndarray, np.ndarray]:
    """Columns of that condition number, and a target that they explain but for a little noise."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((rows, COLUMNS))
    if condition > 1:
        left, right = (np.linalg.qr(rng.standard_normal((COLUMNS, COLUMNS)))[0] for _ in range(2))
        X = X @ (left * np.geomspace(1, 1 / condition, COLUMNS) @ right.T)
    return X, X @ rng.standard_normal(COLUMNS) + 1.0 + rng.standard_normal(rows)


def main() -> None:
    from fullbatch import Linear, Objective, ThreadEngine, array_sources, minimize, ridge_path

    parser = argparse.ArgumentParser(prog="python -m benchmarks.solvers.ridge")
    parser.add_argument("--rows", type=int, default=2_000_000)
    rows = parser.parse_args().rows
    for condition, l2 in ((1.0, 1e-3), (1e10, 1e-3), (1e10, 1e-12), (1e10, 0.0)):
        X, y = data(rows, condition)
        blocks = ThreadEngine().place(Linear("squared"), array_sources(X, y))
        objective = Objective(blocks, l2)
        theta = np.zeros(objective.size)
        minimize(Objective(blocks, l2), theta)  # the first one starts threads and libraries
        began = time.perf_counter()
        result = minimize(objective, theta)
        fit = time.perf_counter() - began
        wanted = reference(X, y, l2)
        error = np.abs(result.theta - wanted).max() / np.abs(wanted).max()
        print(
            f"{rows:,} x {COLUMNS}, condition {condition:g}, l2 {l2:g}: {result.passes} passes, {fit:.3f} s, "
            f"coefficients to {error:.1e}",
            flush=True,
        )
        if condition == 1.0:
            began = time.perf_counter()
            path = ridge_path(Objective(blocks), np.geomspace(1e-6, 1e1, 100), folds=10)
            both = time.perf_counter() - began
            print(f"100 strengths with 10 folds: {both:.3f} s, {both / fit:.2f} fits; best {path.l2[path.best]:.2g}")
        blocks.close()


if __name__ == "__main__":
    main()
