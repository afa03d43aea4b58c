"""Ranking and calibration of labels, against scikit-learn."""

from types import SimpleNamespace

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)
from tests.checks.rows import COLUMNS, checked, table

from fullbatch import DataError, LinearSVC, LogisticRegression
from fullbatch.checks import compared
from fullbatch.checks.histogram import Histogram
from fullbatch.checks.ranking import Ranked, gini


@pytest.fixture(scope="module")
def two():
    frame = table()
    _, checks, predicted, weight = checked("label", frame)
    return checks, (frame["label"] == "yes").to_numpy().astype(int), predicted[:, 1], weight


def test_measures_are_scikit_learns(two):
    checks, y, p, weight = two
    found = checks.measures
    assert found["rows"] == (weight > 0).sum()
    assert found["weight"] == weight.sum()
    assert_allclose(found["auc"], roc_auc_score(y, p, sample_weight=weight), rtol=1e-13)
    assert_allclose(found["average_precision"], average_precision_score(y, p, sample_weight=weight), rtol=1e-13)
    assert_allclose(found["brier"], brier_score_loss(y, p, sample_weight=weight), rtol=1e-13)
    assert_allclose([found["actual"], found["expected"]], np.average([y, p], axis=1, weights=weight), rtol=1e-13)
    assert_allclose(found["gini"], 2 * found["auc"] - 1, rtol=1e-14)
    assert found["auc_error"] == found["average_precision_error"] == found["gini_error"] == 0.0
    assert checks.by_class().loc["yes", "auc"] == found["auc"]


def test_curves_are_scikit_learns(two):
    checks, y, p, weight = two
    fpr, tpr, threshold = roc_curve(
        y[weight > 0], p[weight > 0], sample_weight=weight[weight > 0], drop_intermediate=False
    )
    found = checks.roc_curve(None)
    assert_allclose(found, np.column_stack((threshold, fpr, tpr)), rtol=1e-12, atol=1e-14)
    few = checks.roc_curve(50)
    assert len(few) == 50
    assert_allclose(few.iloc[[0, -1]], found.iloc[[0, -1]])
    assert set(few.itertuples(index=False, name=None)) <= set(found.itertuples(index=False, name=None))
    precision, recall, threshold = precision_recall_curve(
        y[weight > 0], p[weight > 0], sample_weight=weight[weight > 0]
    )
    found = checks.precision_recall_curve(None)
    assert_allclose(found["precision"][::-1], precision, rtol=1e-12)
    assert_allclose(found["recall"][::-1], recall, rtol=1e-12, atol=1e-14)
    assert_allclose(found["threshold"][:0:-1], threshold, rtol=1e-12)


@pytest.mark.parametrize("strategy", ["quantile", "uniform"])
def test_calibration_is_scikit_learns(strategy):
    frame = table()
    frame["age"] += np.linspace(0, 1e-3, len(frame))  # no ties, which are cut otherwise
    _, checks, predicted, _ = checked("label", frame, weighted=False)
    y, p = frame["label"] == "yes", predicted[:, 1]
    actual, expected = calibration_curve(y, p, n_bins=8, strategy=strategy)
    found = checks.calibration(8, strategy)
    assert_allclose(found[["actual", "expected"]], np.column_stack((actual, expected)), rtol=1e-12)
    assert_allclose(found["ratio"], actual / expected, rtol=1e-12)
    assert found["rows"].sum() == len(frame)
    for lower, upper, rows in zip(found["lower"], found["upper"], found["rows"], strict=True):
        assert ((p >= lower - 1e-15) & (p <= upper + 1e-15)).sum() == rows
    assert_allclose(checks.measures["calibration_error"], off(y, p, 10), rtol=1e-12)


def off(y, p, bins):
    """Of ten parts of as many rows each."""
    order = np.argsort(p)
    return sum(abs((y.to_numpy()[part] - p[part]).sum()) for part in np.array_split(order, bins)) / len(p)


def test_lift_and_gain_by_hand(two):
    checks, y, p, weight = two
    order = np.argsort(-p, kind="stable")
    until, caught = weight[order].cumsum() / weight.sum(), (weight * y)[order].cumsum() / (weight @ y)
    found = checks.lift(5)
    place = np.searchsorted(until, found["share"].to_numpy() - 1e-12)
    assert_allclose(found["gain"], caught[place], rtol=1e-12)
    assert_allclose(found["cumulative_lift"], caught[place] / until[place], rtol=1e-12)
    assert_allclose(np.diff(found["share"], prepend=0), 0.2, atol=0.01)
    assert_allclose(found["lift"], found["actual"] / np.average(y, weights=weight), rtol=1e-12)
    assert_allclose(found["weight"].sum(), weight.sum())


def test_several_classes_are_each_against_the_rest():
    frame = table()
    _, checks, predicted, weight = checked("three", frame)
    found = checks.by_class()
    for k, label in enumerate("abc"):
        y, p = frame["three"] == label, predicted[:, k]
        assert_allclose(found.loc[label, "auc"], roc_auc_score(y, p, sample_weight=weight), rtol=1e-12)
        expected = average_precision_score(y, p, sample_weight=weight)
        assert_allclose(found.loc[label, "average_precision"], expected, rtol=1e-12)
        by_region = checks.by_column("region", label=label)
        there = frame["region"] == "south"
        assert_allclose(by_region.loc["south", "actual"], np.average(y[there], weights=weight[there]), rtol=1e-12)
        assert_allclose(by_region.loc["south", "expected"], np.average(p[there], weights=weight[there]), rtol=1e-12)
    y = frame["three"].to_numpy()[:, None] == np.array(list("abc"))
    brier = np.average(((y - predicted) ** 2).sum(axis=1), weights=weight)
    assert_allclose(checks.measures["brier"], brier, rtol=1e-12)
    assert_allclose(checks.measures["auc"], found["auc"].mean())
    assert_allclose(checks.measures["calibration_error"], found["calibration_error"].mean())
    assert_allclose(found["calibration_error"], [distance(checks.calibration(10, label=label)) for label in "abc"])
    with pytest.raises(ValueError, match="label must say which class, one of 'a', 'b', 'c', got None"):
        checks.roc_curve()
    with pytest.raises(ValueError, match="several classes have no order"):
        checks.quantile_residuals()


def distance(table_):
    return np.average(abs(table_["actual"] - table_["expected"]), weights=table_["weight"])


@pytest.mark.parametrize("target", ["label", "three"])
def test_the_hinge_has_ranks_and_no_means(target):
    frame = table()[["age", "children", target]]
    X, y = frame[["age", "children"]], frame[target]
    model = LinearSVC().fit(X, y)
    checks, last = model.checks(X, y), sorted(set(y))[-1]
    decision = np.atleast_2d(model.decision_function(X).T)[-1]
    assert_allclose(checks.by_class().loc[last, "auc"], roc_auc_score(y == last, decision), rtol=1e-13)
    assert "expected" not in checks.measures
    assert "brier" not in checks.measures
    assert checks.lift(label=last)["gain"].iloc[-1] == 1.0
    with pytest.raises(ValueError, match="calibration needs probabilities, which the squared hinge has not"):
        checks.calibration(label=last)
    with pytest.raises(ValueError, match="actual against expected needs probabilities"):
        checks.by_column("age", label=last)
    with pytest.raises(
        ValueError, match="probabilities of a lower target, and the squared_hinge loss is no likelihood"
    ):
        checks.quantile_residuals()
    assert ("By prediction" in checks.summary()) == (target == "label")


@pytest.mark.parametrize("cells", [2, 5, 30, 200])
def test_areas_of_shared_cells_are_within_their_error(cells):
    rng = np.random.default_rng(cells)
    for _ in range(20):
        n = int(rng.integers(20, 400))
        score = rng.standard_normal(n) * 10.0 ** rng.integers(-3, 3, n)
        y, weight = rng.random(n) < 1 / (1 + np.exp(-score)), rng.integers(1, 4, n).astype(float)
        y[:2] = [False, True]
        sums = np.column_stack((weight, np.ones(n), weight * y, np.zeros(n)))
        ranked = Ranked.of(Histogram.of(score, sums, cells))
        for area, expected in (
            (ranked.roc_area(), roc_auc_score(y, score, sample_weight=weight)),
            (ranked.average_precision(), average_precision_score(y, score, sample_weight=weight)),
        ):
            assert abs(area.value - expected) <= area.error + 1e-12
            assert (area.error == 0.0) == ranked.exact


def test_the_order_within_a_cell_may_be_the_worst():
    area = Ranked(np.ones(1), np.array([50.0]), np.array([10.0]), exact=False).average_precision()
    worst = average_precision_score([0] * 10 + [1] * 50, np.arange(60.0)[::-1])
    assert_allclose(area.value, 50 / 60)
    assert 0.1 < area.value - worst <= area.error


def test_more_predictions_than_cells(monkeypatch):
    monkeypatch.setattr(compared, "_SCORES", 64)
    monkeypatch.setattr(compared, "_FEWEST_SCORES", 8)
    frame = table(3000)
    _, checks, predicted, weight = checked("label", frame)
    y, p = frame["label"] == "yes", predicted[:, 1]
    found = checks.measures
    assert 0 < found["auc_error"] < 0.02
    assert abs(found["auc"] - roc_auc_score(y, p, sample_weight=weight)) < 1e-3  # far within it
    expected = average_precision_score(y, p, sample_weight=weight)
    assert abs(found["average_precision"] - expected) < found["average_precision_error"] < 0.1
    assert_allclose(found["expected"], np.average(p, weights=weight), rtol=1e-12)  # sums are exact all the same
    assert "+-" in checks.summary()


def test_what_cannot_be_told_of_labels():
    frame = table()
    model, checks, *_ = checked("label", frame)
    with pytest.raises(ValueError, match="label 'no': of two classes it is 'yes', leave it out"):
        checks.roc_curve(label="no")
    with pytest.raises(ValueError, match='strategy must be "quantile" or "uniform", got'):
        checks.calibration(strategy="even")
    with pytest.raises(ValueError, match="bins must be at least 1, got 0"):
        checks.calibration(0)
    with pytest.raises(ValueError, match="points must be at least 2, got 1"):
        checks.roc_curve(1)
    with pytest.raises(ValueError, match="column 'weight' was not looked at: those are 'age', 'children', 'region'"):
        checks.by_column("weight")
    with pytest.raises(ValueError, match="labels have no dispersion"):
        _ = checks.dispersion
    with pytest.raises(ValueError, match="columns: there is no column 'income'"):
        model.checks(frame[COLUMNS], frame["label"], columns=["income"])
    with pytest.raises(ValueError, match='weights must be "frequency" or "precision"'):
        model.checks(frame[COLUMNS], frame["label"], weights="sampling")
    with pytest.raises(DataError, match="row 1: the label 'perhaps' was not in the fit"):
        model.checks(frame[COLUMNS][:2], ["no", "perhaps"])
    with pytest.raises(DataError, match="no row has a positive weight"):
        model.checks(frame[COLUMNS], frame["label"], np.zeros(len(frame)))
    alone = model.checks(frame[COLUMNS][:5], ["yes"] * 5)
    assert np.isnan(alone.measures["auc"])
    with pytest.raises(DataError, match="the rows are of one class"):
        alone.roc_curve()
    assert alone._drawn == ["calibration", "gain", "residuals"]
    assert "AUC:                             nan" in alone.summary()
    assert alone.as_dict()["measures"]["auc"] is None


def test_a_penalised_and_sparse_model_is_checked_too():
    frame = table()
    model = LogisticRegression(C=0.05, l1_ratio=1.0).fit(frame[COLUMNS], frame["label"])
    expected = model.checks(frame[COLUMNS], frame["label"]).measures["auc"]
    p = model.predict_proba(frame[COLUMNS])[:, 1]
    assert_allclose(expected, roc_auc_score(frame["label"], p), rtol=1e-13)
    assert model.sparsify().checks(frame[COLUMNS], frame["label"]).measures["auc"] == expected


def test_levels_that_the_fit_has_not_seen_are_told_together():
    frame = table()
    model = LogisticRegression(unknown="ignore").fit(frame[COLUMNS], frame["label"])
    other = frame.assign(region=frame["region"].where(frame.index % 4 > 0, "west"))
    found = model.checks(other[COLUMNS], other["label"]).by_column("region")
    assert found.index.tolist()[:-1] == ["east", "north", "south"]
    assert found.index.isna()[-1]
    p = model.predict_proba(other[COLUMNS])[:, 1]
    assert_allclose(found["expected"].iloc[-1], p[::4].mean(), rtol=1e-12)
    assert found["rows"].iloc[-1] == 200
    checks = model.checks(other[COLUMNS], other["label"])
    assert checks.vif()["vif"].notna().all()
    assert "\n(not seen)" in checks.summary(["region"])
    assert checks.as_dict(["region"])["by_column"]["region"]["name"][-1] is None


def test_one_class_alone_has_no_areas():
    for positive, negative in (([0.0, 0.0], [1.0, 2.0]), ([1.0, 2.0], [0.0, 0.0])):
        ranked = Ranked(np.array([0.5, 0.2]), np.array(positive), np.array(negative), exact=True)
        assert np.isnan(ranked.roc_area().value)
        assert np.isnan(ranked.average_precision().value) == (not any(positive))
    assert ranked.average_precision().value == 1.0


def test_nothing_to_be_concentrated_has_no_gini():
    assert np.isnan(gini(SimpleNamespace(sums=np.zeros((3, 2)), exact=True), 1).value)
    alike = SimpleNamespace(sums=np.ones((4, 2)), exact=True)
    assert gini(alike, 1).value == pytest.approx(0.0, abs=1e-15)
