"""Arrays that NumPy saved together, and sparse matrices that SciPy saved."""

import pickle
import zipfile

import numpy as np
import pytest
import scipy.sparse
from tables import table

from fullbatch import DataError, Linear, LogisticRegression, ThreadEngine, array_sources, file_sources
from fullbatch.data.npz import Archive


def theta(sources):
    model = LogisticRegression(engine="serial", tol=1e-6).fit(sources)
    return model.coef_.tobytes() + model.intercept_.tobytes() + model.classes_.tobytes()


def arrays(rows=120):
    frame = table(rows)
    rng = np.random.default_rng(1)
    X = np.ascontiguousarray(frame.drop(columns="y").to_numpy()).copy()
    return X, frame["y"].to_numpy(), rng.uniform(1, 2, rows), rng.normal(size=rows)


def test_arrays_are_found_by_their_names_or_by_those_that_are_told(tmp_path):
    X, y, weight, offset = arrays()
    np.savez(tmp_path / "plain.npz", X=X, y=y, sample_weight=weight, offset=offset, other=np.array(["x"]))
    np.savez_compressed(tmp_path / "short.npz", X=X, y=y, weight=weight)
    np.savez(tmp_path / "told.npz", X=X, label=y, w=weight, y=offset)
    np.save(tmp_path / "w.npy", weight)
    np.save(tmp_path / "y.npy", y)
    np.savez(tmp_path / "alone.npz", X=X)
    for cut in ({"block_rows": 25}, {}):
        for name, options, expected in (
            ("plain", {}, array_sources(X, y, weight, offset, **cut)),
            ("short", {}, array_sources(X, y, weight, **cut)),
            ("told", {"target": "label", "weight": "w", "offset": "y"}, array_sources(X, y, weight, offset, **cut)),
            ("told", {"target": "label", "weight": tmp_path / "w.npy"}, array_sources(X, y, weight, **cut)),
            ("alone", {"target": f"{tmp_path}/y.npy", "scale": 0.5}, array_sources(X, y, scale=0.5, **cut)),
        ):
            sources = file_sources(tmp_path / f"{name}.npz", **options, **cut)
            assert [len(source.read().y) for source in sources] == [len(source.y) for source in expected]
            assert theta(pickle.loads(pickle.dumps(sources))) == theta(expected), (name, options)
    assert file_sources(tmp_path / "alone.npz")[0].read().y is None
    for name, options, message in (
        ("told", {"target": "labels"}, r"told\.npz has no array 'labels': it has 'X', 'label', 'w', 'y'"),
        ("alone", {"target": tmp_path / "none.npy"}, r"none\.npy: no such file"),
    ):
        with pytest.raises(DataError, match=message):
            file_sources(tmp_path / f"{name}.npz", **options)


def test_types_stay_and_several_files_follow_one_another(tmp_path):
    X, y, *_ = arrays()
    for dtype in ("float32", "uint8", "int8", "int64", "float16"):
        np.savez(tmp_path / "0.npz", X=X[:50].astype(dtype), y=y[:50].astype(str))
        np.savez_compressed(tmp_path / "1.npz", X=np.asfortranarray(X[50:].astype(dtype)), y=y[50:].astype(str))
        sources = file_sources(tmp_path, block_rows=40)
        assert str(sources[1]) == f"{tmp_path}/0.npz rows 40..49 and {tmp_path}/1.npz rows 0..29"
        rows = [source.read() for source in sources]
        expected = [source.read() for source in array_sources(X.astype(dtype), y.astype(str), block_rows=40)]
        for one, other in zip(rows, expected, strict=True):
            assert one.X.dtype == other.X.dtype
            assert np.array_equal(one.X, other.X)
            assert one.y.tolist() == other.y.tolist()
    np.savez(tmp_path / "1.npz", X=X[50:, 1:], y=y[50:])
    with pytest.raises(DataError, match=r"1\.npz has 3 columns and .*0\.npz has 4: all need the same"):
        file_sources(tmp_path)
    np.savez(tmp_path / "1.npz", X=X[50:])
    with pytest.raises(DataError, match=r"1\.npz has the arrays X and .*0\.npz has X, y: all need the same"):
        file_sources(tmp_path)
    scipy.sparse.save_npz(tmp_path / "1.npz", scipy.sparse.csr_array(X[50:]))
    with pytest.raises(DataError, match=r"1\.npz and .*0\.npz: one is sparse and the other is not: give one kind"):
        file_sources(tmp_path)


@pytest.mark.parametrize("dtype", ["float64", "float32", "uint8"])
def test_what_rows_take_is_told_before(tmp_path, dtype):
    X, y, weight, offset = arrays()
    np.savez(tmp_path / "t.npz", X=X.astype(dtype), y=y, weight=weight, offset=offset)
    (source,) = file_sources(tmp_path / "t.npz", blocks=1)
    assert source.size.nbytes == X.astype(dtype).nbytes + 3 * 8 * len(y)


def test_sparse_matrices(tmp_path):
    X, y, weight, _ = arrays()
    X[np.random.default_rng(0).uniform(size=X.shape) < 0.7] = 0
    np.save(tmp_path / "y.npy", y)
    np.save(tmp_path / "w.npy", weight)
    for form in ("csr", "csc", "coo", "bsr"):
        for kind, options in (("array", {}), ("matrix", {"compressed": False})):
            matrix = getattr(scipy.sparse, f"{form}_{kind}")(X)
            scipy.sparse.save_npz(tmp_path / "X.npz", matrix, **options)
            for cut in ({}, {"block_rows": 25}):
                sources = file_sources(tmp_path / "X.npz", target=tmp_path / "y.npy", weight=tmp_path / "w.npy", **cut)
                assert scipy.sparse.issparse(sources[0].read().X)
                assert theta(sources) == theta(array_sources(matrix, y, weight, **cut)), (form, kind, cut)
    scipy.sparse.save_npz(tmp_path / "X.npz", scipy.sparse.dia_array(X))
    with pytest.raises(DataError, match=r"X\.npz is a sparse matrix of the format 'dia': write its tocsr\(\)"):
        file_sources(tmp_path / "X.npz")
    np.savez(tmp_path / "X.npz", format="csr", shape=[2, 2], data=[1.0], indices=[7], indptr=[0, 1, 1])
    with pytest.raises(DataError, match=r"X\.npz is no whole sparse matrix: .*write it again"):
        file_sources(tmp_path / "X.npz")[0].read()


def test_a_file_is_unpacked_once_for_all_blocks_and_then_dropped(tmp_path, monkeypatch):
    X, y, *_ = arrays()
    np.savez_compressed(tmp_path / "t.npz", X=X, y=y)
    count = []
    decode = Archive.decode
    monkeypatch.setattr(Archive, "decode", lambda part, names: count.append(part.where) or decode(part, names))
    sources = file_sources(tmp_path / "t.npz", block_rows=10)
    ThreadEngine(2).place(Linear("logistic"), sources).close()
    assert len(count) == 1
    assert not sources[0].shared._kept
    assert not np.shares_memory(sources[0].read().X, sources[1].read().X)


def test_what_is_wrong_is_told(tmp_path):
    path = tmp_path / "t.npz"
    X, y, *_ = arrays(20)
    for content, message in (
        ({"x_train": X, "y_train": y}, r"t\.npz has the arrays 'x_train', 'y_train': the features must be named 'X'"),
        ({"X": y}, r"t\.npz: X has shape \(20,\): it must have two dimensions"),
        ({"X": X, "y": y[1:]}, r"t\.npz: X has 20 rows and y has shape \(19,\)"),
        ({"X": X[:0], "y": y[:0]}, r"no rows: .*t\.npz is empty"),
        ({"X": X[:, :0]}, r"t\.npz: X has shape \(20, 0\): at least one column is needed"),
        ({"X": X, "weight": y, "sample_weight": y}, r"has sample_weight and weight: tell which one counts, weight="),
        (
            {"X": X, "y": np.array([{}] * 20, object)},
            r"t\.npz: y is not a whole \.npy file of numbers: it holds object",
        ),
    ):
        np.savez(path, **content)
        with pytest.raises(DataError, match=message):
            file_sources(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("X.npy", b"1 2 3")
    with pytest.raises(DataError, match=r"t\.npz: X is not a whole \.npy file of numbers: EOF: reading magic"):
        file_sources(path)
    np.savez(path, X=X, y=y)
    content = path.read_bytes()
    place = content.index(X[5].tobytes())
    path.write_bytes(content[:place] + b"\0" + content[place + 1 :])
    with pytest.raises(DataError, match=r"t\.npz: X\.npy cannot be read: Bad CRC-32"):
        file_sources(path)[0].read()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("X.npy", bytes(10**6))
    with pytest.raises(DataError, match=r"t\.npz is damaged: X tells of 1000000 bytes, more than|cannot be read"):
        file_sources(path)


def test_blocks_are_told_by_the_numbers_of_their_rows(tmp_path):
    X, *_ = arrays(20)
    np.savez(tmp_path / "t.npz", X=X)
    told = [str(source) for source in file_sources(tmp_path / "t.npz", blocks=2)]
    assert told == [f"{tmp_path}/t.npz rows {rows}" for rows in ("0..9", "10..19")]


def test_damaged_sparse_matrices_and_files_that_changed(tmp_path):
    path = tmp_path / "t.npz"
    X = scipy.sparse.random_array((20, 4), density=0.5, format="csr", rng=np.random.default_rng(0))
    parts = {"format": b"csr", "data": X.data, "indices": X.indices, "indptr": X.indptr, "shape": np.array([20, 4])}
    for wrong, message in (
        (
            {"shape": np.array([20, 4, 1])},
            r"t\.npz has shape \[20, 4, 1\]: it must have two dimensions, rows by columns",
        ),
        ({"shape": np.array([20, -4])}, r"t\.npz has shape \[20, -4\]: it must have two dimensions"),
        ({"indptr": X.indptr[:-1]}, r"t\.npz is damaged: it tells of 20 rows, and not where each begins"),
        ({"shape": np.array([20, 0])}, r"t\.npz has shape \(20, 0\): at least one column is needed"),
    ):
        np.savez(path, **{**parts, **wrong})
        with pytest.raises(DataError, match=message):
            file_sources(path)
    with pytest.raises(DataError, match="scale must be finite, got nan"):
        file_sources(path, scale=np.nan)
    X, y = np.zeros((20, 3)), np.zeros(20)
    np.savez(path, X=X, y=y)
    (source,) = file_sources(path, blocks=1)
    np.savez(path, X=X, y=y[1:])
    with pytest.raises(DataError, match=r"t\.npz has changed its shape since its rows were counted"):
        source.read()
    np.savez(path, X=X[:, 1:], y=y)
    with pytest.raises(DataError, match=r"t\.npz has changed its shape since its rows were counted"):
        source.read()
