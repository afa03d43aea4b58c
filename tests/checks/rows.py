"""Rows of a known model, with weights that count, and one of none."""

import numpy as np
import pandas as pd

from fullbatch import GeneralizedLinearRegressor, LinearRegression, LogisticRegression

COLUMNS = ["age", "children", "region"]
POWER = 1.5


def table(n=800, seed=0):
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": rng.uniform(20, 70, n).round(1),
            "children": rng.integers(0, 5, n),
            "region": rng.choice(["east", "north", "south"], n),
            "weight": rng.integers(0, 4, n).astype(float),
        }
    )
    eta = 0.03 * (frame["age"] - 45) - 0.2 * frame["children"] + (frame["region"] == "north")
    mean = np.exp(eta)
    return frame.assign(
        label=np.where(rng.random(n) < mean / (1 + mean), "yes", "no"),
        three=rng.choice(list("abc"), n),
        poisson=rng.poisson(mean).astype(float),
        gamma=rng.gamma(2.0, mean / 2.0),
        tweedie=[rng.gamma(1.0, 0.5 * root, rng.poisson(2.0 * root)).sum() for root in np.sqrt(mean)],
        squared=eta + 0.7 * rng.standard_normal(n),
    )


def model_of(target):
    if target in ("label", "three"):
        return LogisticRegression(C=np.inf, tol=1e-9)
    if target == "squared":
        return LinearRegression(tol=1e-9)
    options = {"power": POWER} if target == "tweedie" else None
    return GeneralizedLinearRegressor(target, tol=1e-9, loss_options=options)


def checked(target, frame, weighted=True, **asked):
    """A fitted model, its checks on its rows, predictions and weights."""
    weight = frame["weight"] if weighted else None
    model = model_of(target).fit(frame[COLUMNS], frame[target], weight)
    checks = model.checks(frame[COLUMNS], frame[target], weight, **asked)
    predicted = model.predict_proba(frame[COLUMNS]) if target in ("label", "three") else model.predict(frame[COLUMNS])
    return model, checks, predicted, frame["weight"].to_numpy() if weighted else np.ones(len(frame))
