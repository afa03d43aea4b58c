import numpy as np
import pytest
from scipy.sparse import csr_array

from fullbatch.protocols.rows import distinct, stacked

WHOLE = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


@pytest.mark.parametrize("where", ["low", "high", "everywhere"])
@pytest.mark.parametrize("dtype", WHOLE)
def test_distinct_whole_numbers_of_any_type_are_those_of_numpy(dtype, where):
    """Close together, where a table holds them, at both ends of what the type has; and far apart."""
    least, most = int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    low, high = {"low": (least, least + 9), "high": (most - 9, most), "everywhere": (least, most)}[where]
    values = np.random.default_rng(0).integers(low, high, 500, dtype, endpoint=True)
    values[:2] = low, high
    found, numbers = distinct(values)
    wanted, inverse = np.unique(values, return_inverse=True)
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(numbers, inverse)


@pytest.mark.parametrize(
    "values", [np.zeros(0, np.int64), np.array([True, False]), np.array(["b", "a", "b"]), np.ones(3)]
)
def test_distinct_values_of_other_kinds(values):
    found, numbers = distinct(values)
    np.testing.assert_array_equal(found, np.unique(values))
    np.testing.assert_array_equal(found[numbers], values)


def test_parts_of_rows_are_put_together():
    X = np.arange(12.0).reshape(6, 2)
    assert stacked([X]) is X
    np.testing.assert_array_equal(stacked((X[:1], X[1:4], X[4:])), X)
    sparse = stacked((csr_array(X[:1]), csr_array(X[1:])))
    assert sparse.format == "csr"
    np.testing.assert_array_equal(sparse.toarray(), X)
