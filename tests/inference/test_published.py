"""Tables that others have published, to the digits given."""

import io
import math
import re
from importlib.resources import files

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose

from fullbatch import FitWarning, GeneralizedLinearRegressor, LogisticRegression

TOL = 1e-10


def poisson():
    """Dobson (1990), p. 93, as in R's ?glm."""
    frame = pd.DataFrame(
        {
            "outcome": np.tile(["1", "2", "3"], 3),
            "treatment": np.repeat(["1", "2", "3"], 3),
            "y": [18.0, 17, 15, 20, 10, 20, 25, 13, 12],
        }
    )
    return GeneralizedLinearRegressor("poisson", tol=TOL).fit(frame, "y").inference(frame, "y")


def test_dobson():
    told = poisson()
    assert told.names == ["intercept", "outcome=2", "outcome=3", "treatment=2", "treatment=3"]
    assert_allclose(told.coef, [3.04452244, -0.454255272, -0.292987125, 0, 0], atol=6e-9)
    assert_allclose(told.std_err, [0.17089865, 0.20217076, 0.19274235, 0.2, 0.2], atol=6e-9)
    assert_allclose([told.null_deviance, told.deviance], [10.581445864, 5.129141077], atol=6e-10)
    assert_allclose([told.log_likelihood(), told.aic], [-23.380659201, 56.761318402], atol=6e-10)
    assert_allclose(told.dispersions["pearson"] * told.df_residual, 5.173201622, atol=6e-10)
    robust = [0.11626678, 0.14821415, 0.14607791, 0.14666667, 0.14483707]
    assert_allclose(told.with_covariance("HC0").std_err, robust, atol=6e-9)
    assert_allclose(
        told.with_covariance("HC1").std_err, [0.17440017, 0.22232123, 0.21911687, 0.22, 0.21725561], atol=6e-9
    )


def test_clusters_whose_scores_cancel_are_told():
    frame = pd.DataFrame(
        {
            "outcome": np.tile(["1", "2", "3"], 3),
            "treatment": np.repeat(["1", "2", "3"], 3),
            "y": [18.0, 17, 15, 20, 10, 20, 25, 13, 12],
        }
    )
    model = GeneralizedLinearRegressor("poisson", tol=TOL).fit(frame, "y")
    with pytest.warns(FitWarning, match="no-error.* are zero: the scores of clusters"):
        model.inference(frame, "y", clusters="treatment")


def test_effects_of_zero_print_as_zero():
    table = poisson().coef_table()
    assert table.loc["treatment=2", "coef"] == 0
    assert table.loc["treatment=2", "z"] == 0
    assert re.search(r"treatment=2 +0 +0\.2 +0\.000 +1\.0000", poisson().summary())


U = np.log([5.0, 10, 15, 20, 30, 40, 60, 80, 100])


def test_clotting():
    """McCullagh and Nelder (1989), 8.4.2, with the logarithmic link."""
    lot = np.array([118.0, 58, 42, 35, 27, 25, 21, 19, 18])
    told = GeneralizedLinearRegressor("gamma", tol=TOL).fit(U[:, None], lot).inference(U[:, None], lot)
    assert_allclose(told.coef, [5.50323023, -0.60191767], atol=6e-9)
    assert_allclose(told.std_err, [0.19030092, 0.05530780], atol=6e-9)
    assert_allclose([told.dispersion, told.deviance], [0.02435438, 0.16260829], atol=6e-9)


def test_clotting_with_the_inverse_link():
    """R's ?glm, which has the canonical link."""
    lot = np.array([118.0, 58, 42, 35, 27, 25, 21, 19, 18])
    model = GeneralizedLinearRegressor(family="gamma", link="inverse", tol=TOL).fit(U[:, None], lot)
    told = model.inference(U[:, None], lot)
    assert_allclose(told.coef, [-0.01655438, 0.01534311], atol=6e-9)
    assert_allclose(told.std_err, [0.00092755, 0.00041496], atol=6e-9)
    assert_allclose([told.dispersion, told.deviance], [0.00244604, 0.01672972], atol=6e-9)


AGES = ["1", "2", "3", "4", "5"]
CASES = {"yes": [4, 9, 4, 6, 6], "no": [2, 12, 33, 65, 93]}
CONTROLS = {"yes": [62, 33, 26, 9, 5], "no": [224, 390, 330, 362, 301]}


def infarctions():
    """Oral contraceptives and myocardial infarctions, by age: cells and how many women are in each."""
    rows = [
        (age, use, label, counts[use][place])
        for place, age in enumerate(AGES)
        for use in ("no", "yes")
        for label, counts in ((1, CASES), (0, CONTROLS))
    ]
    return pd.DataFrame(rows, columns=["age", "oc", "mi", "n"])


def test_infarctions_by_weights_that_count():
    frame = infarctions()
    model = LogisticRegression(C=np.inf, tol=TOL).fit(frame, "mi", "n")
    told = model.inference(frame, "mi", "n")
    assert told.names == ["intercept", "age=2", "age=3", "age=4", "age=5", "oc=yes"]
    assert_allclose(told.coef, [-4.36985012, 1.13836240, 1.93440089, 2.64805875, 3.19429261, 1.38517585], atol=6e-9)
    assert_allclose(told.std_err, [0.43479430, 0.47697216, 0.45838832, 0.44977375, 0.44753281, 0.25053226], atol=6e-9)
    # The published deviances are those of cells, which differ by the saturated model's.
    assert_allclose(told.null_deviance - told.deviance, 158.0085 - 6.535541598, atol=6e-5)
    ratios = told.coef_table(exponentiate=True).loc["oc=yes"]
    assert_allclose(ratios[["ratio", "lower", "upper"]].astype(float), [3.9956, 2.445, 6.529], atol=6e-4)


def shares():
    """The same as shares of women with an infarction, and how many women are in each cell."""
    cells = infarctions().pivot(index=["age", "oc"], columns="mi", values="n").reset_index()
    trials = (cells[0] + cells[1]).to_numpy(float)
    return cells[["age", "oc"]], cells[1] / trials, trials


def test_infarctions_as_shares_of_trials():
    """R's glm(cbind(MI, NoMI) ~ age + oc, binomial), whose likelihood is of numbers of successes."""
    cells, share, trials = shares()
    model = GeneralizedLinearRegressor(family="binomial", tol=TOL).fit(cells, share, trials)
    told = model.inference(cells, share, trials, weights="precision")
    assert_allclose(told.coef, [-4.36985012, 1.13836240, 1.93440089, 2.64805875, 3.19429261, 1.38517585], atol=6e-9)
    assert_allclose(told.std_err, [0.43479430, 0.47697216, 0.45838832, 0.44977375, 0.44753281, 0.25053226], atol=6e-9)
    assert_allclose([told.null_deviance, told.deviance], [158.0085, 6.535541598], atol=6e-5)
    assert (told.count, told.df_residual) == (10, 4)
    assert_allclose(told.aic, 58.825, atol=6e-4)
    X = np.column_stack([np.ones(10), *(cells["age"] == age for age in AGES[1:]), cells["oc"] == "yes"]).astype(float)
    theirs = sm.GLM(np.column_stack((share * trials, trials - share * trials)), X, sm.families.Binomial())
    fit, null = theirs.fit(tol=1e-14), sm.GLM(theirs.data.orig_endog, X[:, :1], sm.families.Binomial()).fit(tol=1e-14)
    assert_allclose(told.log_likelihood(), fit.llf, rtol=1e-10)
    assert_allclose(told.pseudo_r2, 1 - fit.llf / null.llf, rtol=1e-8)
    assert_allclose(told.bic, -2 * fit.llf + 6 * np.log(10), rtol=1e-10)


def test_ways_are_of_whole_numbers_of_trials_alone():
    cells, share, trials = shares()
    kind = GeneralizedLinearRegressor(family="binomial", tol=TOL)
    told = kind.fit(cells, share, trials).inference(cells, share, trials, weights="precision")
    counted = kind.inference(cells, share, trials, weights="frequency")
    ways = sum(math.log(math.comb(int(n), round(n * one))) for n, one in zip(trials, share, strict=True))
    assert_allclose(told.log_likelihood() - counted.log_likelihood(), ways, rtol=1e-10)
    halves = trials.copy()
    halves[:4] *= 0.5  # of which 33 and 31 women are whole numbers, and 113 and 211.5 not all
    successes = halves * share
    whole = (halves % 1 == 0) & (np.abs(successes - np.rint(successes)) < 1e-9)
    assert 0 < (~whole).sum() < 4
    part = kind.fit(cells, share, halves).inference(cells, share, halves, weights="precision")
    single = kind.inference(cells, share, halves, weights="frequency")
    ways = sum(math.log(math.comb(int(n), round(k))) for n, k in zip(halves[whole], successes[whole], strict=True))
    assert_allclose(part.log_likelihood() - single.log_likelihood(), ways, rtol=1e-9)


def test_rows_once_each_are_the_same_as_counted():
    frame = infarctions()
    longer = frame.loc[np.repeat(np.arange(len(frame)), frame["n"]), ["age", "oc", "mi"]].reset_index(drop=True)
    model = LogisticRegression(C=np.inf, tol=TOL).fit(frame, "mi", "n")
    again = LogisticRegression(C=np.inf, tol=TOL).fit(longer, "mi")
    counted, single = model.inference(frame, "mi", "n"), again.inference(longer, "mi")
    for kind in ("classical", "HC0", "HC1", "HC2", "HC3"):
        assert_allclose(
            counted.with_covariance(kind).std_err, single.with_covariance(kind).std_err, rtol=1e-8, err_msg=kind
        )
    for name in ("deviance", "null_deviance", "aic", "aicc", "bic", "pseudo_r2", "count"):
        assert_allclose(getattr(counted, name), getattr(single, name), rtol=1e-9, err_msg=name)


# Insurance of the R package MASS (Baxter, Coutts and Ross, 1980): districts, groups of cars within, ages within these.
HOLDERS = """197 264 246 1680 284 536 696 3582 133 286 355 1640 24 71 99 452
85 139 151 931 149 313 419 2443 66 175 221 1110 9 48 72 322
35 73 89 648 53 155 240 1635 24 78 121 692 7 29 43 245
20 33 40 316 31 81 122 724 18 39 68 344 3 16 25 114"""
CLAIMS = """38 35 20 156 63 84 89 400 19 52 74 233 4 18 19 77
22 19 22 87 25 51 49 290 14 46 39 143 4 15 12 53
5 11 10 67 10 24 37 187 8 19 24 101 3 2 8 37
2 5 4 36 7 10 22 102 5 7 16 63 0 6 8 33"""


def insurance():
    x = np.arange(4.0) - 1.5
    contrasts = np.linalg.qr(np.vander(x, 4, increasing=True))[0][:, 1:]
    contrasts = contrasts * np.sign(contrasts[-1])
    group, age = (contrasts[np.tile(np.repeat(np.arange(4), each), 64 // (4 * each))] for each in (4, 1))
    frame = pd.DataFrame(np.column_stack((group, age)), columns=["g.L", "g.Q", "g.C", "a.L", "a.Q", "a.C"])
    frame["district"] = np.repeat(["1", "2", "3", "4"], 16)
    return frame, np.array(CLAIMS.split(), float), np.log(np.array(HOLDERS.split(), float))


def test_insurance():
    """R's documentation of the data: an offset, a category, and contrasts of ordered factors."""
    frame, claims, offset = insurance()
    model = GeneralizedLinearRegressor("poisson", tol=TOL).fit(frame, claims, offset=offset)
    told = model.inference(frame, claims, offset=offset)
    expected = {
        "intercept": -1.810508,
        "district=2": 0.025868,
        "district=3": 0.038524,
        "district=4": 0.234205,
        "g.L": 0.429708,
        "g.Q": 0.004632,
        "g.C": -0.029294,
        "a.L": -0.394432,
        "a.Q": -0.000355,
        "a.C": -0.016737,
    }
    assert_allclose([told.coef[told.names.index(name)] for name in expected], list(expected.values()), atol=6e-7)
    assert_allclose([told.null_deviance, told.deviance], [236.3, 51.42003], atol=6e-2)
    assert_allclose(told.deviance, 51.42003, atol=6e-6)
    assert_allclose(told.dispersions["pearson"] * 54, 48.62933, atol=6e-6)
    assert_allclose(told.aic, 388.7, atol=6e-2)


def petersen():
    """The panel of Petersen (2009), 500 firms by 10 years, as it comes with statsmodels."""
    text = (files("statsmodels") / "stats" / "tests" / "test_data.txt").read_text()
    return pd.read_csv(io.StringIO(text), sep=r"\s+", header=None, names=["firm", "year", "x", "y"])


def test_petersen():
    frame = petersen()
    assert len(frame) == 5000
    rows, y = frame[["x"]], frame["y"]
    model = GeneralizedLinearRegressor(tol=TOL).fit(rows, y)
    told = model.inference(rows, y, clusters=[frame["firm"], frame["year"]])
    assert_allclose(told.coef, [0.0297, 1.0348], atol=6e-5)
    assert told.clusters == (500, 10)
    assert_allclose(told.with_covariance("classical").std_err, [0.028359, 0.028583], atol=6e-7)
    assert_allclose(told.std_err[1], 0.0536, atol=6e-5)
    for name, published in (("firm", 0.0506), ("year", 0.0334)):
        one = model.inference(rows, y, clusters=frame[name])
        assert_allclose(one.std_err[1], published, atol=6e-5)


def test_petersen_by_bell_and_mccaffrey():
    """The variances of R's sandwich, vcovCL(..., type = "HC2"), as its tests have them: they are of CR2."""
    frame = petersen()
    model = GeneralizedLinearRegressor(tol=TOL).fit(frame[["x"]], frame["y"])
    told = model.inference(frame[["x"]], frame["y"], clusters=frame["firm"], covariance="CRV2")
    # By the definition, with hat matrices of the clusters, the covariance of the two is -6.592914e-05.
    assert_allclose(told.matrix, [[4.494487e-03, -6.592912e-05], [-6.592912e-05, 2.568236e-03]], rtol=4e-7)
    assert_allclose(told.std_err, [0.067041, 0.050678], atol=6e-7)


def test_summary_of_petersen_fits_in_80_columns():
    frame = petersen()
    told = GeneralizedLinearRegressor(tol=TOL).fit(frame[["x"]], frame["y"])
    text = told.inference(frame[["x"]], frame["y"], clusters=frame["year"]).summary()
    assert max(map(len, text.splitlines())) <= 80
    assert "10 of year" in text
    assert "t with 9 degrees" in text
