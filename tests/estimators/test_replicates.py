"""Bootstrap replicates of models with many columns: no more memory and time than so many separate fits."""

import numpy as np
import pytest
from scipy.sparse import csr_array
from scipy.sparse import random as sparse_random

from fullbatch import Draw, LogisticRegression, bootstrap
from fullbatch.run import replicates

N, P = 400, 700


@pytest.fixture(scope="module")
def wide():
    X = csr_array(sparse_random(N, P, density=0.02, format="csr", random_state=0))
    rng = np.random.default_rng(0)
    return X, (X @ np.where(np.arange(P) < 20, 3.0, 0.0) + 0.3 * rng.normal(size=N) > 0.3).astype(int)


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
@pytest.mark.parametrize("room", ["shared", "none"])
def test_replicates_of_many_columns_are_the_fits_with_their_weights(wide, l1_ratio, room, monkeypatch):
    X, y = wide
    if room == "none":
        monkeypatch.setattr(replicates, "have_room", lambda facts, parts: False)
        monkeypatch.setattr(replicates, "most_shared", lambda facts, parts: 0)
    model = LogisticRegression(C=1.0, l1_ratio=l1_ratio, tol=1e-6, engine="serial")
    found = bootstrap(model, X, y, n=4, seed=3)
    assert found.success
    strength = 1.0 / N
    for number, coef in enumerate(found.coefs):
        weight = Draw("bootstrap", number, seed=3).weights(0, N)
        alone = LogisticRegression(l2=strength, l1_ratio=l1_ratio, tol=1e-6, engine="serial").fit(X, y, weight)
        np.testing.assert_allclose(coef, alone.coef_, atol=1e-4 * np.abs(alone.coef_).max())


@pytest.mark.parametrize("l1_ratio", [0.0, 1.0])
def test_no_hessian_of_all_columns_is_asked_for(wide, l1_ratio, monkeypatch):
    """20,000 columns would take 3.2 GB: none of their square may be asked for."""
    asked, ask = [], replicates.sums_of_draws

    def noted(objective, thetas, draws, matrices=0, columns=None):
        asked.append(matrices * (P if columns is None else len(columns)))
        return ask(objective, thetas, draws, matrices, columns)

    monkeypatch.setattr(replicates, "sums_of_draws", noted)
    found = bootstrap(LogisticRegression(C=0.1, l1_ratio=l1_ratio, engine="serial"), *wide, n=3)
    assert found.success
    assert asked
    assert max(asked) < 3 * P


def test_intervals_that_need_a_hessian_without_room_are_refused(wide):
    found = bootstrap(LogisticRegression(engine="serial"), *wide, n=20)
    low, high = found.interval()
    assert (low <= high).all()
    with pytest.raises(ValueError, match="too large for so many: use kind='percentile'"):
        found.interval(kind="bca")
    sparse = bootstrap(LogisticRegression(C=1.0, l1_ratio=1.0, engine="serial"), *wide, n=20)
    assert np.isfinite(sparse.interval(kind="bca")).all()


def test_a_table_tells_classes_apart_and_checkpoints_are_refused():
    rng = np.random.default_rng(2)
    X = rng.normal(size=(300, 2))
    y = np.array(["low", "mid", "top"])[np.digitize(X[:, 0] + rng.logistic(size=300), [-1, 1])]
    found = bootstrap(LogisticRegression(engine="serial"), X, y, n=10)
    names = [line.split("  ")[0] for line in found.table().splitlines()[1:]]
    assert names == [f"{label}: x{column}" for label in ("low", "mid", "top") for column in (0, 1)]
    with pytest.raises(ValueError, match="bootstrap keeps no checkpoints: leave checkpoint out"):
        bootstrap(LogisticRegression(checkpoint="kept"), X, y, n=10)
