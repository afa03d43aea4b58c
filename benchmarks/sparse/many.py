"""Many models in one read, beside as many fits one after another: `python -m benchmarks.sparse.many`.

folds      LogisticRegressionCV of both libraries over the same folds and strengths, and our own fit of each fold and
           strength by itself
lasso      LassoCV of both libraries over the same folds and 100 strengths
bootstrap  replicates of a logistic regression without a penalty, and a fit of each by itself: seconds, and how far the
           ends of the intervals are apart, in standard errors

Seconds with the gap of F beside them: how far F of a fit is above the least that any contender found, as a share of
it; the largest of all fits, and the median.
"""

import argparse
import json
import time
import warnings
from typing import Any

import numpy as np
from sklearn.linear_model import LassoCV as ReferenceLasso
from sklearn.linear_model import LogisticRegressionCV as Reference
from sklearn.model_selection import KFold, StratifiedKFold

import fullbatch
from fullbatch.protocols.sampling import Draw

from .. import machine

Array = Any


def rows(count: int, columns: int, seed: int = 0) -> tuple[Array, Array]:
    """Of a logistic model whose predictors have a spread of about 2."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((count, columns))
    eta = X @ rng.standard_normal(columns) * 2.0 / np.sqrt(columns)
    return X, (rng.random(count) < 1.0 / (1.0 + np.exp(-eta))).astype(int)


def objective(X: Array, y: Array, theta: Array, C: float) -> float:
    """F of coefficients and, last, an intercept: the mean loss and the penalty."""
    eta = X @ theta[:-1] + theta[-1]
    loss = np.logaddexp(0.0, np.where(y == 1, -eta, eta)).mean()
    return float(loss + 0.5 * theta[:-1] @ theta[:-1] / (C * len(y)))


def folds(count: int, columns: int, number: int, strengths: int, threads: int) -> dict[str, Any]:
    """Each contender's seconds, and the gaps of its fits."""
    X, y = rows(count, columns)
    Cs = np.logspace(-4, 4, strengths)
    splits = list(StratifiedKFold(number).split(X, y))
    fullbatch.LogisticRegression(C=Cs[0]).fit(X[:500], y[:500])  # compiles
    fullbatch.LogisticRegressionCV(Cs=Cs, cv=3, scoring="accuracy").fit(X[:20_000], y[:20_000])
    Reference(Cs=Cs[:2], cv=3, scoring="accuracy", n_jobs=threads).fit(X[:2_000], y[:2_000])  # starts its workers
    found: dict[str, dict[str, Any]] = {}

    def timed(name: str, work: Any) -> Any:
        start = time.perf_counter()
        made = work()
        found[name] = {"seconds": time.perf_counter() - start}
        return made

    ours = timed("together", lambda: fullbatch.LogisticRegressionCV(Cs=Cs, cv=splits, scoring="accuracy").fit(X, y))
    thetas = {"together": np.asarray(ours.coefs_paths_[1])}
    found["together"] |= {"C": float(np.ravel(ours.C_)[0])}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = timed(
            "scikit-learn",
            lambda: Reference(Cs=Cs, cv=splits, scoring="accuracy", n_jobs=threads, max_iter=1000).fit(X, y),
        )
    thetas["scikit-learn"] = np.asarray(theirs.coefs_paths_[1])
    found["scikit-learn"] |= {"C": float(np.ravel(theirs.C_)[0])}
    taken = [(X[train], y[train]) for train, _ in splits]

    def one_by_one() -> Array:
        fits = [[fullbatch.LogisticRegression(C=C).fit(*part) for C in Cs] for part in taken]
        return np.array([[np.append(fit.coef_[0], fit.intercept_[0]) for fit in row] for row in fits])

    thetas["one by one"] = timed("one by one", one_by_one)
    values = {
        name: np.array([[objective(*taken[k], of[k, i], Cs[i]) for i in range(strengths)] for k in range(number)])
        for name, of in thetas.items()
    }
    least = np.min(list(values.values()), axis=0)
    for name, value in values.items():
        gaps = (value - least) / least
        found[name] |= {"largest_gap": float(gaps.max()), "median_gap": float(np.median(gaps))}
    ratio = {name: found[name]["seconds"] / found["together"]["seconds"] for name in ("one by one", "scikit-learn")}
    return {"rows": count, "columns": columns, "folds": number, "strengths": strengths} | {
        "contenders": found,
        "times_as_long": ratio,
    }


def lasso(count: int, columns: int, number: int, threads: int) -> dict[str, Any]:
    """Seconds of each, how far mean squared errors are apart at the most, as a share, and the strength chosen."""
    X, _ = rows(count, columns, 2)
    rng = np.random.default_rng(3)
    y = X @ np.where(np.arange(columns) % 5 == 0, rng.standard_normal(columns), 0.0) + rng.standard_normal(count)
    splits = list(KFold(number).split(X))
    fullbatch.LassoCV(cv=3).fit(X[:20_000], y[:20_000])  # compiles
    start = time.perf_counter()
    ours = fullbatch.LassoCV(cv=splits, tol=1e-6).fit(X, y)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    theirs = ReferenceLasso(alphas=ours.alphas_, cv=splits, tol=1e-6, n_jobs=threads, max_iter=100_000).fit(X, y)
    apart = np.abs(ours.mse_path_ / theirs.mse_path_ - 1.0).max()
    return {
        "rows": count,
        "columns": columns,
        "folds": number,
        "strengths": len(ours.alphas_),
        "seconds": seconds,
        "scikit_learn_seconds": (alone := time.perf_counter() - start),
        "times_as_long": alone / seconds,
        "errors_apart": float(apart),
        "alphas": [float(ours.alpha_), float(theirs.alpha_)],
    }


def replicates(count: int, columns: int, number: int) -> dict[str, Any]:
    """Seconds together and one by one, and how far intervals are apart."""
    X, y = rows(count, columns, 1)
    model = fullbatch.LogisticRegression(C=np.inf)
    fullbatch.bootstrap(model, X[:20_000], y[:20_000], n=20)  # compiles
    start = time.perf_counter()
    together = fullbatch.bootstrap(model, X, y, n=number, seed=0)
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    coefs = []
    for replicate in range(number):
        weight = Draw("bootstrap", replicate, seed=0).weights(0, count)
        coefs.append(fullbatch.LogisticRegression(C=np.inf).fit(X, y, weight).coef_[0])
    alone = time.perf_counter() - start
    apart = np.quantile(coefs, (0.025, 0.975), axis=0) - together.interval(0.95)[:, 0]
    return {
        "rows": count,
        "columns": columns,
        "replicates": number,
        "seconds": seconds,
        "passes": together.passes,
        "one_by_one_seconds": alone,
        "times_as_long": alone / seconds,
        "success": together.success,
        "intervals_apart": float(np.abs(apart / together.standard_error).max()),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=200_000, help="of the folds; of the bootstrap half as many")
    parser.add_argument("--columns", type=int, default=100, help="of the folds; of the bootstrap a fifth")
    parser.add_argument("--folds", type=int, default=10)
    parser.add_argument("--strengths", type=int, default=20)
    parser.add_argument("--replicates", type=int, default=500)
    parser.add_argument("--threads", type=int, default=machine.describe()["cpus"], help="of scikit-learn, as n_jobs")
    given = parser.parse_args()
    found = {"machine": machine.describe()}
    found["folds"] = folds(given.rows, given.columns, given.folds, given.strengths, given.threads)
    found["lasso"] = lasso(given.rows, given.columns, given.folds, given.threads)
    found["bootstrap"] = replicates(given.rows // 2, max(given.columns // 5, 1), given.replicates)
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
