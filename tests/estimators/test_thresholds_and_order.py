"""Thresholds by scikit-learn's own tools, and categories whose effects never fall, by bounds on their differences."""

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import lsq_linear
from sklearn import linear_model, svm
from sklearn.metrics import f1_score, make_scorer
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV

from fullbatch import DataError, GeneralizedLinearRegressor, LinearSVC, LogisticRegression

RNG = np.random.default_rng(3)
N = 300
FRAME = pd.DataFrame({"a": RNG.standard_normal(N), "b": RNG.standard_normal(N)})
RARE = np.where(FRAME["a"] + RNG.standard_normal(N) > 1.5, "yes", "no")
F1 = make_scorer(f1_score, pos_label="yes")


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (LogisticRegression(tol=1e-7), linear_model.LogisticRegression(tol=1e-10)),
        (LinearSVC(tol=1e-7), svm.LinearSVC(tol=1e-10, max_iter=10**6)),
    ],
)
def test_a_tuned_threshold_is_that_of_scikit_learns_model(ours, theirs):
    found, wanted = (TunedThresholdClassifierCV(one, scoring=F1, cv=3).fit(FRAME, RARE) for one in (ours, theirs))
    assert found.best_threshold_ == pytest.approx(wanted.best_threshold_, abs=1e-3)
    assert found.best_score_ == pytest.approx(wanted.best_score_, abs=1e-6)
    fixed = FixedThresholdClassifier(ours, threshold=found.best_threshold_, pos_label="yes").fit(FRAME, RARE)
    np.testing.assert_array_equal(fixed.predict(FRAME), found.predict(FRAME))
    assert (found.predict(FRAME) == "yes").sum() > (ours.fit(FRAME, RARE).predict(FRAME) == "yes").sum()


def test_a_threshold_of_a_mixed_frame_with_holes():
    mixed = FRAME.assign(a=FRAME["a"].where(FRAME.index % 7 > 0), region=np.resize(["u", "v", None], N))
    tuned = TunedThresholdClassifierCV(LogisticRegression(missing="median"), scoring=F1, cv=3).fit(mixed, RARE)
    by_hand = tuned.estimator_.predict_proba(mixed)[:, 1] >= tuned.best_threshold_
    np.testing.assert_array_equal(tuned.predict(mixed) == "yes", by_hand)


ORDER = ["low", "mid", "high", "top"]
TERM = f"C(grade, contr.diff, levels={ORDER})"


def test_effects_of_ordered_levels_never_fall():
    rng = np.random.default_rng(101)
    frame = pd.DataFrame({"grade": rng.choice(ORDER, N), "x": rng.standard_normal(N)})
    effect = frame["grade"].map({"low": 0.0, "mid": 0.5, "high": 0.3, "top": 1.2})
    frame["y"] = effect + 0.3 * frame["x"] + rng.standard_normal(N)
    model = GeneralizedLinearRegressor(formula=f"y ~ {TERM} + x", lower_bounds={TERM: 0}, tol=1e-8).fit(frame)
    place = frame["grade"].map(ORDER.index).to_numpy()
    design = np.column_stack((np.ones(N), frame["x"], *(place >= step for step in (1, 2, 3))))
    wanted = lsq_linear(design, frame["y"], ([-np.inf, -np.inf, 0, 0, 0], np.inf), tol=1e-14).x
    levels = model.predict(pd.DataFrame({"grade": ORDER, "x": 0.0}))
    np.testing.assert_allclose(levels, wanted[0] + np.cumsum([0, *wanted[2:]]), atol=1e-6)
    assert levels[1] == pytest.approx(levels[2], abs=1e-12)  # held together
    free = GeneralizedLinearRegressor(formula=f"y ~ {TERM} + x").fit(frame)
    assert free.predict(frame[:1].assign(grade="mid")) > free.predict(frame[:1].assign(grade="high"))
    with pytest.raises(DataError, match="lower_bounds: there is no column"):
        GeneralizedLinearRegressor(formula=f"y ~ {TERM} + x", lower_bounds={"C(grade)": 0}).fit(frame)
