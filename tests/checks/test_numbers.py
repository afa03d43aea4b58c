"""Numbers: calibration, Gini's coefficient and dispersions by hand; actual against expected; variance inflation."""

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from statsmodels.stats.outliers_influence import variance_inflation_factor
from tests.checks.rows import COLUMNS, POWER, checked, table

from fullbatch import (
    DataError,
    FitWarning,
    GeneralizedLinearRegressor,
    HuberRegressor,
    LinearRegression,
    LogisticRegression,
    QuantileRegressor,
    Ridge,
)
from fullbatch.checks import ranking
from fullbatch.checks.histogram import Histogram

POWERS = {"squared": 0, "poisson": 1, "tweedie": POWER, "gamma": 2}


@pytest.mark.parametrize("target", POWERS)
def test_measures_in_long_double(target):
    frame = table()
    _, checks, predicted, weight = checked(target, frame)
    y, mean, w = (np.asarray(one, np.longdouble) for one in (frame[target], predicted, weight))
    found = checks.measures
    assert_allclose(found["actual"], float((w * y).sum() / w.sum()), rtol=1e-13)
    assert_allclose(found["ratio"], float((w * y).sum() / (w * mean).sum()), rtol=1e-13)
    pearson = float((w * (y - mean) ** 2 / mean ** POWERS[target]).sum())
    assert_allclose(found["dispersion"], pearson / (weight.sum() - 5), rtol=1e-12)
    precise = checked(target, frame, weights="precision")[1]
    assert_allclose(precise.dispersion, pearson / ((weight > 0).sum() - 5), rtol=1e-12)
    if target == "squared":
        assert "gini" not in found
        with pytest.raises(ValueError, match="lift and gain are of shares of the targets, some of which are negative"):
            checks.lift()
        return
    assert_allclose(found["gini"], gini(y, mean, w), rtol=1e-11)
    assert_allclose(found["gini_perfect"], gini(y, y, w), rtol=1e-11)
    assert_allclose(found["gini_share"], gini(y, mean, w) / gini(y, y, w), rtol=1e-11)
    assert found["gini_error"] == 0.0


@pytest.mark.parametrize("cells", [2, 5, 30, 200])
def test_ginis_of_shared_cells_are_within_their_error(cells):
    rng = np.random.default_rng(cells)
    for _ in range(20):
        mean, weight = np.exp(rng.standard_normal(200)), rng.integers(1, 4, 200).astype(float)
        y = rng.gamma(1.0, mean)
        found = ranking.gini(Histogram.of(mean, np.column_stack((weight, weight * y)), cells), 1)
        assert abs(found.value - gini(y, mean, weight)) <= found.error + 1e-12
        assert (found.error == 0.0) == (cells == 200)


def gini(y, by, weight):
    """By the mean difference over all pairs: amounts weighed by how much more of the weight is below than above."""
    ahead = (weight[:, None] * np.sign(by[None] - by[:, None])).sum(axis=0) / weight.sum()
    return float((weight * y * ahead).sum() / (weight * y).sum())


@pytest.mark.parametrize("target", POWERS)
def test_calibration_of_numbers_by_hand(target):
    frame = table()
    frame["age"] += np.linspace(0, 1e-3, len(frame))
    _, checks, predicted, _ = checked(target, frame, weighted=False)
    found, order = checks.calibration(5), np.argsort(predicted)
    parts = np.array_split(order, 5)
    assert_allclose(found["actual"], [frame[target].to_numpy()[part].mean() for part in parts], rtol=1e-12)
    assert_allclose(found["expected"], [predicted[part].mean() for part in parts], rtol=1e-12)
    assert_allclose(found["lower"], [predicted[part].min() for part in parts], rtol=1e-14)
    assert_allclose(found["upper"], [predicted[part].max() for part in parts], rtol=1e-14)
    with pytest.raises(ValueError, match='strategy="uniform" is for probabilities'):
        checks.calibration(strategy="uniform")


def test_lorenz_curves_and_areas_agree():
    frame = table()
    _, checks, predicted, weight = checked("gamma", frame)
    curve = checks.lorenz_curve(None)
    assert_allclose(1 - 2 * np.trapezoid(curve["actual"], curve["share"]), checks.measures["gini"], rtol=1e-12)
    order = np.argsort(predicted, kind="stable")
    share = weight[order].cumsum() / weight.sum()
    amount = (weight * frame["gamma"].to_numpy())[order].cumsum() / (weight @ frame["gamma"])
    assert_allclose(np.interp(curve["share"], share, amount), curve["actual"], atol=2e-3)  # ties are straight lines


@pytest.mark.parametrize("sparse", [False, True])
def test_actual_against_expected_by_column(sparse):
    frame = table()
    if sparse:  # many levels: their columns are sparse
        frame["region"] = frame["region"] + (frame.index % 30).astype(str)
    _, checks, predicted, weight = checked("poisson", frame)
    frame = frame.assign(mean=predicted, w=weight).query("w > 0")

    def expected(groups):
        return frame.groupby(groups).apply(
            lambda part: pd.Series(
                {
                    "rows": len(part),
                    "weight": part["w"].sum(),
                    "actual": np.average(part["poisson"], weights=part["w"]),
                    "expected": np.average(part["mean"], weights=part["w"]),
                }
            ),
            include_groups=False,
        )

    columns = ["rows", "weight", "actual", "expected"]
    found = checks.by_column("region")
    assert found.index.tolist() == sorted(set(frame["region"]))
    assert_allclose(found[columns], expected("region"), rtol=1e-12)
    assert_allclose(found["ratio"], found["actual"] / found["expected"])
    assert_allclose(checks.by_column("children")[columns], expected("children"), rtol=1e-12)
    by_age = checks.by_column("age", bins=4)
    cut = pd.cut(frame["age"], [0, *by_age["upper"]])
    assert_allclose(by_age[columns], expected(cut), rtol=1e-12)
    assert_allclose(by_age["weight"], frame["w"].sum() / 4, rtol=0.02)


def test_only_columns_that_are_asked_for_are_looked_at():
    frame = table()
    assert checked("gamma", frame, columns=["region"])[1].columns == ("region",)
    assert checked("gamma", frame, columns=())[1].columns == ()
    wide = np.random.default_rng(0).standard_normal((300, 101))
    model = Ridge().fit(wide, wide[:, 0])
    assert model.checks(wide, wide[:, 0]).columns == ()
    assert model.checks(wide, wide[:, 0], columns=["x3", "x3"]).columns == ("x3",)
    assert len(model.checks(wide, wide[:, 0]).vif()) == 101


# --- what columns have in common --------------------------------------------------------------------------------------


def test_variance_inflation_is_that_of_statsmodels():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 3)) @ rng.standard_normal((3, 3)) + [0.0, 1e6, -50.0]
    weight, y = rng.integers(1, 4, 300), rng.standard_normal(300)
    again = sm.add_constant(np.repeat(X, weight, axis=0))
    found = LinearRegression().fit(X, y, weight).checks(X, y, weight).vif()
    assert_allclose(found["vif"], [variance_inflation_factor(again, j) for j in (1, 2, 3)], rtol=1e-8)
    assert_allclose(found["scaled"], np.sqrt(found["vif"]))
    X -= [-0.5, 1e6, -50.0]
    bare = LinearRegression(fit_intercept=False).fit(X, y, weight).checks(X, y, weight).vif()
    again = np.repeat(X, weight, axis=0)
    assert_allclose(bare["vif"], [variance_inflation_factor(again, j, standardize=False) for j in range(3)], rtol=1e-8)


def test_variance_inflation_of_sparse_rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 4)) * (rng.random((300, 4)) < 0.5) + [0.0, 0.0, 2.0, 0.0]
    X[:, 3] += X[:, 0]
    weight, y = rng.integers(1, 4, 300), rng.standard_normal(300)
    again = sm.add_constant(np.repeat(X, weight, axis=0))
    sparse = csr_array(X)
    found = LinearRegression().fit(sparse, y, weight).checks(sparse, y, weight).vif()
    assert_allclose(found["vif"], [variance_inflation_factor(again, j) for j in (1, 2, 3, 4)], rtol=1e-8)


@pytest.mark.parametrize("target", ["poisson", "three"])
def test_of_levels_it_is_of_all_of_them_together(target):
    frame = table()
    frame["age"] += 20.0 * (frame["region"] == "north")
    _, checks, _, weight = checked(target, frame)
    found = checks.vif()
    again = frame.loc[frame.index.repeat(weight.astype(int))]
    R = pd.get_dummies(again[COLUMNS], columns=["region"], dtype=float).drop(columns="region_east").corr().to_numpy()
    of = {"age": [0], "children": [1], "region": [2, 3]}
    for name, own in of.items():
        rest = [j for j in range(4) if j not in own]
        factor = np.linalg.det(R[np.ix_(own, own)]) * np.linalg.det(R[np.ix_(rest, rest)]) / np.linalg.det(R)
        assert_allclose(found.loc[name, "vif"], factor, rtol=1e-10)
        assert found.loc[name, "df"] == len(own)
        assert_allclose(found.loc[name, "scaled"], factor ** (0.5 / len(own)), rtol=1e-10)


def codes(checks):
    return [notice.code for notice in checks.notices()]


@pytest.mark.filterwarnings("ignore::fullbatch.FitWarning")
def test_columns_that_others_tell_are_named():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((200, 5))
    X[:, 1], X[:, 3] = X[:, 0] + 0.1 * rng.standard_normal(200), 7.0
    y = rng.standard_normal(200)
    checks = LinearRegression().fit(X, y).checks(X, y)
    assert codes(checks) == ["constant-columns", "inflated-variance"]
    assert "x3" in str(checks.notices()[0])
    assert "[inflated-variance] the other columns tell most of 'x0', 'x1'" in str(checks.notices()[1])
    assert np.isnan(checks.vif().loc["x3", "vif"])
    X[:, 4] = X[:, 0] - 2.0 * X[:, 2] + 1.0
    checks = LinearRegression().fit(X, y).checks(X, y)
    assert codes(checks) == ["constant-columns", "collinear-columns", "inflated-variance"]
    assert "combinations of the others: 'x0', 'x2', 'x4'." in str(checks.notices()[1])
    assert np.isinf(checks.vif().loc[["x0", "x2", "x4"], "vif"]).all()
    assert checks.vif().loc["x1", "vif"] > 10


@pytest.mark.filterwarnings("ignore::fullbatch.FitWarning", "ignore::sklearn.exceptions.ConvergenceWarning")
def test_separation_is_named_by_levels():
    frame = table()
    for label in ("yes", "no"):
        frame.loc[frame["region"] == "south", "label"] = label
        _, checks, *_ = checked("label", frame)
        assert codes(checks) == ["separable"]
    assert "[separable] levels that decide the target" in str(checks.notices()[0])
    assert "'region=south'; their coefficients would grow for ever" in str(checks.notices()[0])
    frame.loc[frame["region"] == "south", "poisson"] = 0.0
    assert "separable" in codes(checked("poisson", frame)[1])
    held = LogisticRegression().fit(frame[COLUMNS], frame["label"])  # a penalty holds it
    assert codes(held.checks(frame[COLUMNS], frame["label"])) == []
    frame["label"] = np.where(frame["age"] > 45, "yes", "no")
    _, checks, *_ = checked("label", frame)
    assert "the predictions separate class 'yes' from the rest" in str(checks.notices()[0])
    assert checks.measures["auc"] == 1.0


def test_counts_that_vary_more_than_poissons():
    frame = table()
    assert codes(checked("poisson", frame)[1]) == []
    frame["poisson"] = np.random.default_rng(0).negative_binomial(0.5, 0.5 / (0.5 + np.exp(0.1 * frame["children"])))
    checks = checked("poisson", frame)[1]
    assert codes(checks) == ["over-dispersed"]
    assert f"Pearson's dispersion is {checks.dispersion:.3g}" in str(checks.notices()[0])


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model", [HuberRegressor(), QuantileRegressor(), GeneralizedLinearRegressor("huber")], ids=lambda one: str(one)[:9]
)
def test_losses_that_predict_neither_means_nor_labels_are_refused(model):
    X = np.random.default_rng(0).standard_normal((50, 2))
    with pytest.raises(ValueError, match="loss predicts neither means nor labels, which checks compare"):
        model.fit(X, X[:, 0]).checks(X, X[:, 0])


def test_what_cannot_be_told_of_numbers():
    frame = table()
    _, checks, *_ = checked("poisson", frame)
    for curve in (checks.roc_curve, checks.precision_recall_curve):
        with pytest.raises(ValueError, match="these are numbers, which have no true and false positives"):
            curve()
    with pytest.raises(ValueError, match="these are numbers, which have no classes"):
        checks.by_class()
    with pytest.raises(ValueError, match="label 1: numbers have no classes, leave it out"):
        checks.calibration(label=1)
    with pytest.raises(ValueError, match="dispersion must be a positive number, and is of the normal"):
        checks.quantile_residuals(dispersion=2.0)
    X = np.eye(3)
    with pytest.warns(FitWarning, match="collinear-columns"):
        few = LinearRegression().fit(X, X[0]).checks(X, X[0])
    assert "dispersion" not in few.measures
    with pytest.raises(DataError, match="a dispersion needs more rows than there are coefficients"):
        few.quantile_residuals()


def test_checks_without_rows_say_that_there_are_none():
    model = checked("poisson", table())[0]
    with pytest.raises(DataError, match="a model is checked on rows whose targets are known, and keeps none"):
        model.checks()
