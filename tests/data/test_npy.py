import tracemalloc

import numpy as np
import pytest

from fullbatch import DataError, npy_sources

X = np.arange(60, dtype=np.float32).reshape(20, 3)
Y = np.arange(20)


def test_files_are_read_and_joined(tmp_path):
    np.save(tmp_path / "x0.npy", X[:7])
    np.save(tmp_path / "x1.npy", X[7:])
    np.save(tmp_path / "y.npy", Y)
    np.save(tmp_path / "w.npy", Y + 1.0)
    sources = npy_sources(
        tmp_path / "x?.npy", tmp_path / "y.npy", tmp_path / "w.npy", tmp_path / "w.npy", scale=0.5, block_rows=6
    )
    rows = [source.read() for source in sources]
    np.testing.assert_array_equal(np.concatenate([one.X for one in rows]), X)
    np.testing.assert_array_equal(np.concatenate([one.y for one in rows]), Y)
    np.testing.assert_array_equal(np.concatenate([one.weight for one in rows]), Y + 1)
    np.testing.assert_array_equal(np.concatenate([one.offset for one in rows]), Y + 1)
    assert {one.scale for one in rows} == {0.5}
    assert "x0.npy rows 6..6 and " in str(sources[1])


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "u1", "i1", ">f8", ">f4"])
def test_rows_of_files_in_either_memory_order(tmp_path, dtype):
    whole = np.random.default_rng(0).integers(0, 100, (50, 3)).astype(dtype)
    np.save(tmp_path / "x0.npy", whole[:20])
    np.save(tmp_path / "x1.npy", np.asfortranarray(whole[20:]))
    for source in npy_sources(tmp_path / "x?.npy", block_rows=8):
        assert source.read().X.flags.c_contiguous
    read = np.concatenate([source.read().X for source in npy_sources(tmp_path / "x?.npy", block_rows=8)])
    np.testing.assert_array_equal(read, whole)
    source = npy_sources(tmp_path / "x0.npy", blocks=1)[0]
    assert source.size.rows == 20
    assert source.size.nbytes == source.read().X.nbytes


def _peak_of(call):
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "u1", "i1", ">f8", ">f4", "i4", "?"])
def test_what_reading_takes_is_told_before(tmp_path, dtype):
    np.save(tmp_path / "x.npy", np.ones((200_000, 5), dtype))
    (source,) = npy_sources(tmp_path / "x.npy", blocks=1)
    source.read()  # whatever is taken once
    # The threads of a cluster in the same process take memory now and then: what the reading takes is the least seen.
    peak = min(_peak_of(source.read) for _ in range(5))
    assert source.size.nbytes + source.size.reading == pytest.approx(peak, abs=50_000)
    kept = dtype in ("f8", "f4", "u1", "i1")
    assert source.size.reading == (0 if kept else 1_000_000 * np.dtype(dtype).itemsize)


@pytest.mark.parametrize("version", [(1, 0), (2, 0)])
def test_files_of_either_version(tmp_path, version):
    with open(tmp_path / "x.npy", "wb") as file:
        np.lib.format.write_array(file, X, version=version)
    (source,) = npy_sources(tmp_path / "x.npy", blocks=1)
    np.testing.assert_array_equal(source.read().X, X)


def test_files_of_several_types_are_read_in_one_that_holds_them_all(tmp_path):
    np.save(tmp_path / "x0.npy", X[:7])
    np.save(tmp_path / "x1.npy", X[7:].astype(np.float64) + 1e-9)
    (rows,) = [source.read() for source in npy_sources(tmp_path / "x?.npy", blocks=1)]
    np.testing.assert_array_equal(rows.X, np.concatenate((X[:7], X[7:].astype(np.float64) + 1e-9)))


def test_types_that_kernels_do_not_take_become_float64(tmp_path):
    np.save(tmp_path / "x.npy", X.astype(">i4"))
    (rows,) = (source.read() for source in npy_sources(tmp_path / "x.npy", blocks=1))
    assert rows.X.dtype == np.float64
    np.testing.assert_array_equal(rows.X, X)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (X[0], Y, r"x\.npy has shape \(3,\): it must have two dimensions"),
        (X, X, r"y\.npy has shape \(20, 3\): it must have one dimension"),
        (X, Y[:5], "X has 20 rows and y has 5"),
        (X[:0], Y[:0], "no rows"),
    ],
)
def test_shapes_that_do_not_fit(tmp_path, x, y, message):
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", y)
    with pytest.raises(DataError, match=message):
        npy_sources(tmp_path / "x.npy", tmp_path / "y.npy")


def test_damaged_files(tmp_path):
    np.save(tmp_path / "x.npy", X)
    content = (tmp_path / "x.npy").read_bytes()
    for cut in (0, 4, 30, 150, len(content) - 1):
        (tmp_path / "cut.npy").write_bytes(content[:cut])
        with pytest.raises(DataError, match=r"cut\.npy is not a whole \.npy file"):
            npy_sources(tmp_path / "cut.npy")
    np.save(tmp_path / "objects.npy", np.array([[{}]], object), allow_pickle=True)
    with pytest.raises(DataError, match=r"objects\.npy is not a whole"):
        npy_sources(tmp_path / "objects.npy")
    np.save(tmp_path / "other.npy", X[:, :2])
    with pytest.raises(DataError, match=r"x\.npy has 3 columns and .*other\.npy has 2: all need the same"):
        npy_sources([tmp_path / "other.npy", tmp_path / "x.npy"])
    sources = npy_sources(tmp_path / "x.npy", blocks=2)
    np.save(tmp_path / "x.npy", X[:3])
    with pytest.raises(DataError, match="has become shorter"):
        sources[1].read()
    np.save(tmp_path / "x.npy", X.astype(np.float64))
    with pytest.raises(DataError, match="has changed its type or its columns"):
        sources[1].read()


@pytest.mark.parametrize("scale", [np.inf, -np.inf, np.nan])
def test_a_scale_that_is_not_finite_is_refused(tmp_path, scale):
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(DataError, match="scale must be finite, got"):
        npy_sources(tmp_path / "x.npy", scale=scale)
