import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from fullbatch import DataError, Linear, SerialEngine, table_sources
from fullbatch.data.features import encode
from fullbatch.protocols import Category, Rows, ValueGrad
from fullbatch.protocols.rows import index_type
from fullbatch.protocols.schema import Features, Schema


def frame(rows=90, levels=4, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "x": rng.standard_normal(rows),
            "region": rng.choice([f"r{i:02d}" for i in range(levels)], rows),
            "code": rng.integers(5, 5 + levels, rows),
            "w": rng.random(rows),
            "y": rng.integers(0, 2, rows),
        }
    )


def one_hot(data, levels):
    columns = [data["x"]]
    columns += [data["region"] == f"r{i:02d}" for i in range(levels)]
    columns += [data["code"] == 5 + i for i in range(levels)]
    return np.column_stack(columns).astype(np.float64)


@pytest.mark.parametrize("levels", [2, 30])  # dense, CSR
def test_encoded_rows_and_their_moments_are_those_of_one_hot_columns(levels):
    data = frame(levels=levels, rows=900)
    X = one_hot(data, levels)
    sources = table_sources(data, target="y", weight="w", categorical=["code"], blocks=5)
    model = Linear("logistic")
    described = [model.describe(source.read(), str(source)) for source in sources]
    total = described[0]
    for one in described[1:]:
        total = total + one
    schema = Schema.of(total)
    assert schema.n_features == X.shape[1]
    mean = np.average(X, axis=0, weights=data["w"])
    np.testing.assert_allclose(schema.mean, mean, atol=1e-14)
    np.testing.assert_allclose(schema.variance, np.average((X - mean) ** 2, axis=0, weights=data["w"]), atol=1e-14)
    parts = [encode(source.read(), schema.features, "rows").X for source in sources]
    assert sp.issparse(parts[0]) == (levels == 30)
    np.testing.assert_array_equal(np.vstack([part.toarray() if sp.issparse(part) else part for part in parts]), X)
    # And the loss of a model is that of the one-hot columns.
    coded = SerialEngine().place(model, sources)
    theta = np.linspace(-1, 1, X.shape[1] + 1)
    answer = coded.sum(ValueGrad(theta))
    eta = X @ theta[:-1] + theta[-1]
    value = data["w"] @ (np.logaddexp(0, eta) - data["y"] * eta)
    grad = X.T @ (data["w"] * (1 / (1 + np.exp(-eta)) - data["y"]))
    assert answer.value == pytest.approx(value, rel=1e-13)
    np.testing.assert_allclose(answer.grad[:-1], grad, rtol=1e-10, atol=1e-12)


def test_levels_missing_in_some_blocks_are_known_to_all():
    data = frame(rows=40, levels=3).sort_values("region")
    blocks = SerialEngine().place(Linear("logistic"), table_sources(data, target="y", features=["region"], blocks=8))
    assert [levels.tolist() for levels in blocks.schema.features.levels] == [["r00", "r01", "r02"]]


def test_unknown_levels():
    features = Features(0, (np.array(["a", "b"]),), ("region",))
    rows = Rows(np.zeros((3, 0)), categories=(Category(np.array([0, 1, 0], np.int32), np.array(["b", "zz"])),))
    with pytest.raises(
        DataError, match="test rows: row 1, column 'region': unknown level 'zz'; those of the fit are 'a', 'b'"
    ):
        encode(rows, features, "test rows")
    np.testing.assert_array_equal(encode(rows, features, "test rows", "ignore").X, [[0, 1], [0, 0], [0, 1]])
    numbers = Rows(np.zeros((1, 0)), categories=(Category(np.zeros(1, np.int32), np.array([7])),))
    for unknown in ("error", "ignore"):
        with pytest.raises(DataError, match="column 'region' has levels like 7, those of the fit are like 'a'"):
            encode(numbers, features, "test rows", unknown)


def test_columns_that_are_not_those_of_the_fit():
    features = Features(2, (), ("a", "b"))
    with pytest.raises(DataError, match="the columns are not those of the fit; missing: 'b'; unknown: 'c'"):
        encode(Rows(np.zeros((1, 2)), names=("a", "c")), features, "rows")
    with pytest.raises(DataError, match="they must come in the order 'a', 'b'"):
        encode(Rows(np.zeros((1, 2)), names=("b", "a")), features, "rows")
    with pytest.raises(DataError, match="3 columns of numbers and 0 of categories, the model has 2 and 0"):
        encode(Rows(np.zeros((1, 3))), features, "rows")


def test_blocks_whose_columns_or_kinds_of_level_disagree():
    text = Rows(np.zeros((1, 1)), np.zeros(1), categories=(Category(np.zeros(1, np.int32), np.array(["a"])),))
    number = Rows(np.zeros((1, 1)), np.zeros(1), categories=(Category(np.zeros(1, np.int32), np.array([3])),))
    model = Linear("squared")
    with pytest.raises(DataError, match=r"levels of column 1 of one are like 'a' and those of two like 3"):
        model.describe(text, "one") + model.describe(number, "two")
    with pytest.raises(DataError, match="one has 2 columns and two has 1"):
        model.describe(text, "one") + model.describe(Rows(np.zeros((1, 1)), np.zeros(1)), "two")
    named, other = (Rows(np.zeros((1, 1)), np.zeros(1), names=(name,)) for name in ("a", "b"))
    with pytest.raises(DataError, match="one has the column 'a' where two has 'b'"):
        model.describe(named, "one") + model.describe(other, "two")


@pytest.mark.parametrize("most", [1, 2**31 - 1, 2**31, 2**40])
def test_indices_are_of_the_type_that_scipy_takes_for_so_many(most):
    assert sp.csr_array((1, most)).indices.dtype == index_type(most)
