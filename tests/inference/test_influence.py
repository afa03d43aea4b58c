"""What each row has to say, against statsmodels and against fits without the row; where it is written."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import statsmodels.api as sm
from numpy.testing import assert_allclose
from scipy.sparse import csr_array
from tests.inference.test_statsmodels import FAMILIES, made_up, model_of

from fullbatch import DataError, GeneralizedLinearRegressor, LinearRegression, LogisticRegression, file_sources

COLUMNS = ["leverage", "residual", "studentized", "cooks_distance"]


@pytest.mark.parametrize("loss", FAMILIES)
def test_influence_is_that_of_statsmodels(loss):
    X, y, offset, weight, *_ = made_up(loss)
    told = model_of(loss).fit(X, y, weight, offset=offset).inference(X, y, weight, offset=offset, weights="precision")
    fit = sm.GLM(y, sm.add_constant(X), family=FAMILIES[loss], offset=offset, var_weights=weight).fit(tol=1e-14)
    expected, found = fit.get_influence(observed=False), told.influence(dfbetas=True)
    assert_allclose(found["leverage"], expected.hat_matrix_diag, rtol=1e-8)
    assert_allclose(found["residual"], fit.resid_pearson, rtol=1e-8, atol=1e-8)
    assert_allclose(found["studentized"], expected.resid_studentized, rtol=1e-8, atol=1e-8)
    assert_allclose(found["cooks_distance"], expected.cooks_distance[0], rtol=1e-8, atol=1e-8)
    changes = found[[f"dfbetas:{name}" for name in told.names]]
    assert_allclose(changes, expected.dfbetas, rtol=1e-8, atol=1e-8)


def test_of_the_normal_family_it_is_what_fits_without_the_row_say():
    X, y, *_ = made_up("squared")
    told = LinearRegression(tol=1e-12).fit(X, y).inference(X, y)
    found, expected = told.influence(dfbetas=True), sm.OLS(y, sm.add_constant(X)).fit().get_influence()
    assert_allclose(found["leverage"], expected.hat_matrix_diag, rtol=1e-8)
    assert_allclose(found["externally_studentized"], expected.resid_studentized_external, rtol=1e-8, atol=1e-10)
    assert_allclose(found["cooks_distance"], expected.cooks_distance[0], rtol=1e-8, atol=1e-12)
    for row in (0, 17, 399):
        others = np.arange(len(y)) != row
        without = np.linalg.lstsq(sm.add_constant(X)[others], y[others])[0]
        assert_allclose(found.iloc[row, -5:], (told.coef - without) / told.std_err, rtol=1e-7, atol=1e-9)


def test_a_row_that_counts_three_is_one_of_three():
    X, y, *_ = made_up("poisson", 60)
    weight = np.where(np.arange(60) % 3, 1.0, 3.0)
    weight[5] = 0.0
    model = model_of("poisson").fit(X, y, weight)
    found = model.inference(X, y, weight).influence()
    again = np.repeat(np.arange(60), weight.astype(int))
    expected = sm.GLM(y[again], sm.add_constant(X[again]), family=sm.families.Poisson()).fit(tol=1e-14).get_influence()
    assert np.isnan(found.loc[5]).all()
    assert_allclose(found["leverage"].to_numpy()[again], expected.hat_matrix_diag, rtol=1e-8)
    assert_allclose(found["cooks_distance"].to_numpy()[again], expected.cooks_distance[0], rtol=1e-8, atol=1e-10)


def test_sparse_rows_have_the_influence_of_dense_ones():
    X, y, *_ = made_up("logistic", 80)
    dense = model_of("logistic").fit(X, y)
    expected = dense.inference(X, y).influence(dfbetas=True)
    found = dense.inference(csr_array(X), y).influence(dfbetas=True)
    assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Four blocks, the second of which has no row that counts."""
    X, y, _, weight, *_ = made_up("poisson", 400)
    weight[100:200] = 0.0
    frame = pd.DataFrame(X, columns=list("abcd")).assign(y=y, weight=weight)
    directory = tmp_path_factory.mktemp("influence")
    for part in range(4):
        frame.iloc[100 * part : 100 * part + 100].to_parquet(directory / f"{part}.parquet")
    return frame, file_sources(f"{directory}/*.parquet", target="y", weight="weight", block_rows=100)


@pytest.mark.parametrize("engine", ["serial", "threads"])
def test_it_is_written_block_by_block_in_the_order_of_the_rows(files, tmp_path, engine):
    frame, sources = files
    model = GeneralizedLinearRegressor("poisson", tol=1e-10, engine=engine).fit(sources)
    told, X = model.inference(sources), frame[list("abcd")]
    expected = model.inference(X, frame["y"], frame["weight"]).influence()
    assert list(expected.columns) == COLUMNS
    assert np.isnan(expected.loc[100:199]).all(axis=None)
    for name in ("one.parquet", "one.csv", "parts"):
        assert told.influence(tmp_path / name) == 400
    assert_allclose(pd.read_parquet(tmp_path / "one.parquet"), expected, rtol=1e-12, atol=1e-14)
    assert_allclose(pd.read_csv(tmp_path / "one.csv"), expected, rtol=1e-12, atol=1e-14)
    parts = [pq.read_table(tmp_path / "parts" / f"part-0000{part}.parquet") for part in range(4)]
    assert [part.num_rows for part in parts] == [100] * 4
    assert pd.concat([part.to_pandas() for part in parts], ignore_index=True).equals(told.influence())
    with pytest.raises(DataError, match=r"cannot write influences to .*: File exists\. Name a file that ends"):
        told.influence(tmp_path / "parts")


def test_what_has_no_influence_is_refused():
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((60, 2)), rng.integers(0, 3, 60)
    several = LogisticRegression(C=np.inf, tol=1e-8).fit(X, y)
    with pytest.raises(ValueError, match="influences are of models of one linear predictor, this one has 2"):
        several.inference(X, y).influence()
    balanced = LogisticRegression(C=np.inf, tol=1e-8, class_weight="balanced").fit(X, y > 0)
    with pytest.raises(ValueError, match="on the maximum of their likelihood, which class_weight changes"):
        balanced.inference(X, y > 0).influence()
    huber = GeneralizedLinearRegressor("huber", tol=1e-8).fit(X, y.astype(float))
    with pytest.raises(ValueError, match="which the huber loss has not"):
        huber.inference(X, y.astype(float)).influence()
