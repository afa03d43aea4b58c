import itertools

import numpy as np
import pytest
import scipy.sparse as sp

from fullbatch import DataError, array_sources
from fullbatch.data.cut import cut


@pytest.mark.parametrize("n_rows", [1, 2, 63, 64, 65, 1000, 60_000, 10**7])
@pytest.mark.parametrize("values", [1, 28, 784, 10**6])
def test_pieces_cover_the_rows_and_are_near_equal(n_rows, values):
    pieces = cut(n_rows, values)
    assert pieces[0][0] == 0
    assert pieces[-1][1] == n_rows
    assert all(before[1] == after[0] for before, after in itertools.pairwise(pieces))
    lengths = [stop - start for start, stop in pieces]
    assert max(lengths) - min(lengths) <= 1
    assert min(lengths) > 0
    longest = max(2**22, 4 * values)  # stored values
    assert len(pieces) <= 64 or max(lengths) * values <= longest
    assert len(pieces) <= 64 or min(lengths) * values > longest // 2


def test_large_data_has_blocks_of_a_bounded_size_unless_gradients_are_large():
    assert len(cut(60_000, 784)) == 16
    assert len(cut(2**25, 16)) == 128
    assert len(cut(2**25, 16, columns=10**5)) == 128
    assert len(cut(2**25, 16, columns=2**21)) == 64  # 4 * 2**21 values a block
    assert len(cut(2**25, 16, columns=10**8)) == 16


def test_cut_as_told():
    assert cut(10, 1, blocks=3) == [(0, 3), (3, 6), (6, 10)]
    assert cut(10, 1, block_rows=4) == [(0, 4), (4, 8), (8, 10)]
    assert cut(2, 1, blocks=3) == [(0, 1), (1, 2)]  # never more blocks than rows
    for wrong in ({"blocks": 0}, {"block_rows": 0}, {"blocks": 1, "block_rows": 1}):
        with pytest.raises(ValueError, match="block"):
            cut(10, 1, **wrong)
    with pytest.raises(DataError, match="no rows"):
        cut(0, 1)


@pytest.mark.parametrize(
    ("given", "read"),
    [("float64", "float64"), ("float32", "float32"), ("uint8", "uint8"), ("float16", "float32"), ("int32", "float64"),
     ("bool", "uint8"), (">f8", "float64")],
)  # fmt: skip
def test_types(given, read):
    X = np.arange(12).reshape(6, 2).astype(given)
    rows = array_sources(X, np.arange(6), blocks=2)[1].read()
    assert rows.X.dtype == np.dtype(read)
    np.testing.assert_array_equal(rows.X, X[3:])
    np.testing.assert_array_equal(rows.y, [3, 4, 5])


def test_sparse_becomes_csr():
    X = sp.random_array((20, 6), density=0.5, format="csc", rng=np.random.default_rng(0))
    sources = array_sources(X, np.arange(20), blocks=4)
    read = sp.vstack([source.read().X for source in sources])
    assert all(source.read().X.format == "csr" for source in sources)
    np.testing.assert_array_equal(read.toarray(), X.toarray())


@pytest.mark.parametrize("indices", ["int32", "int64"])
def test_sparse_rows_are_cut_without_a_copy(indices):
    X = sp.random_array((20, 6), density=0.5, format="csr", rng=np.random.default_rng(0))
    X.indices, X.indptr = X.indices.astype(indices), X.indptr.astype(indices)
    for source in array_sources(X, np.arange(20), blocks=4):
        rows = source.read().X
        assert np.shares_memory(rows.data, X.data)
        assert np.shares_memory(rows.indices, X.indices)
        np.testing.assert_array_equal(rows.toarray(), X[source.first_row : source.first_row + 5].toarray())


def test_wide_sparse_rows_are_cut_into_fewer_blocks():
    assert len(cut(4 * 10**6, 50)) == len(cut(4 * 10**6, 50, columns=1000)) == 64
    assert len(cut(4 * 10**6, 50, columns=200_000)) == 48  # at most 2**22 values: 32 would be too few
    assert len(cut(4 * 10**6, 20, columns=150_000)) == 32  # at least 16 values for each column: 33, and a power of two
    assert len(cut(10**6, 50, columns=200_000)) == 16
    assert len(cut(4 * 10**6, 50, columns=10**7)) == 16
    assert len(cut(1000, 1, columns=10**7)) == 1


def test_source_carries_its_rows_only_and_says_which():
    import pickle

    sources = array_sources(np.ones((1000, 100)), np.ones(1000), blocks=10)
    assert len(pickle.dumps(sources[3])) < 1.1 * 100 * 101 * 8
    assert str(sources[3]) == "array rows 300..399"


def test_a_source_equals_itself_alone():
    sources = array_sources(np.ones((6, 2)), np.ones(6), blocks=3)
    assert len({*sources}) == 3
    assert sources.index(sources[2]) == 2


@pytest.mark.parametrize("scale", [np.inf, -np.inf, np.nan])
def test_a_scale_that_is_not_finite_is_refused(scale):
    with pytest.raises(DataError, match="scale must be finite, got"):
        array_sources(np.ones((3, 2)), np.arange(3), scale=scale)
