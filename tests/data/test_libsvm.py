import io

import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.datasets import load_svmlight_file

from fullbatch import DataError, libsvm_sources


def write(path, text):
    path.write_text(text)
    return path


def test_against_scikit_learn(tmp_path):
    rng = np.random.default_rng(0)
    X = sp.random(500, 60, 0.1, random_state=rng, format="csr")
    lines = ["# a comment: with 9999:1"]
    for row in range(500):
        entries = range(X.indptr[row], X.indptr[row + 1])
        pairs = " ".join(f"{X.indices[k] + 1}:{float(X.data[k])!r}" for k in entries)
        lines += [f"{float(rng.standard_normal())!r} {pairs} # row:{row}"] + [""] * (row % 5 == 0)
    path = write(tmp_path / "t.libsvm", "\n".join(lines))
    expected, y = load_svmlight_file(io.BytesIO(path.read_bytes()), n_features=60)
    for block_rows in (7, 500):
        read = [source.read() for source in libsvm_sources(path, block_rows=block_rows)]
        assert abs(sp.vstack([rows.X for rows in read]) - expected).nnz == 0
        np.testing.assert_array_equal(np.concatenate([rows.y for rows in read]), y)
    dense = [source.read() for source in libsvm_sources(path, dense=True, blocks=3, dtype="float32")]
    np.testing.assert_array_equal(np.concatenate([rows.X for rows in dense]), expected.toarray().astype(np.float32))


def test_first_index_columns_and_density_are_those_of_all_files(tmp_path):
    write(tmp_path / "1.svm", "1 1:5\n0 3:1\n")
    write(tmp_path / "2.svm", "1 qid:777 2:1\n")
    first, *_ = libsvm_sources(tmp_path / "*.svm", block_rows=1)
    np.testing.assert_array_equal(first.read().X, [[5, 0, 0]])  # a third of the values is stored: dense
    write(tmp_path / "3.svm", "0 0:2\n")
    first, *_ = libsvm_sources(tmp_path / "*.svm", block_rows=1)
    assert first.read().X.shape == (1, 4)
    assert libsvm_sources(tmp_path / "*.svm", n_features=9, block_rows=1)[0].read().X.shape == (1, 9)
    assert sp.issparse(libsvm_sources(tmp_path / "*.svm", n_features=90)[0].read().X)


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_how_large_rows_will_be_is_known_before_they_are_read(tmp_path, dense, dtype):
    path = write(tmp_path / "t.svm", "1 1:5 4:2 6:1\n0 3:1\n1 2:1 6:3\n")
    (source,) = libsvm_sources(path, dense=dense, dtype=dtype, blocks=1)
    rows = source.read()
    features = [rows.X] if dense else [rows.X.data, rows.X.indices]
    assert source.size.nbytes == sum(array.nbytes for array in (*features, rows.y))


def test_where_no_value_is_stored_the_first_column_is_that_of_other_files(tmp_path):
    """As the index 0 does not occur."""
    (source,) = libsvm_sources(write(tmp_path / "t.svm", "1\n0\n"), n_features=3)
    assert source.zero_based is False
    assert source.read().X.toarray().tolist() == [[0, 0, 0]] * 2
    for name, text in (("1.svm", "1\n"), ("2.svm", "1 0:5\n"), ("3.svm", "0 2:1\n")):
        write(tmp_path / name, text)
    first, *_ = libsvm_sources(tmp_path / "[123].svm", block_rows=1)
    assert first.zero_based is True
    assert first.n_features == 3


def test_sources_are_named_by_their_rows(tmp_path):
    for number in range(2):
        write(tmp_path / f"{number}.svm", "1 1:1\n" * 3)
    names = [str(source) for source in libsvm_sources(tmp_path, block_rows=4)]
    assert names == [f"{tmp_path}/0.svm rows 0..2 and {tmp_path}/1.svm rows 0..0", f"{tmp_path}/1.svm rows 1..2"]


def test_labels_are_whole_numbers_where_they_can_be(tmp_path):
    path = write(tmp_path / "t.svm", "+1 1:1\n-1 1:2\n")
    assert libsvm_sources(path)[0].read().y.tolist() == [1, -1]
    assert libsvm_sources(path)[0].read().y.dtype == np.int64
    assert libsvm_sources(write(path, "1.5 1:1\n-1 1:2\n"))[0].read().y.tolist() == [1.5, -1]


@pytest.mark.parametrize(
    ("text", "row", "reason"),
    [
        ("1 1:1\n0 1:x\n", 1, "'0 1:x'"),
        ("1 1:1\n\n# note\n0 2:1 1:1\n", 1, "sorted"),
        ("yes 1:1\n", 0, "'yes 1:1'"),
        ("1 1:1\n0 1:1 2\n", 1, "'0 1:1 2'"),
        ("1 1:1\n1,2 1:1\n", 1, "'1,2 1:1'"),
        ("1 1:1\n" * 900 + "1 1:1:1\n" + "1 1:1\n" * 99, 900, "'1 1:1:1'"),
    ],
)
def test_a_line_that_does_not_parse_is_told(tmp_path, text, row, reason):
    path = write(tmp_path / "t.svm", text)
    with pytest.raises(DataError, match=rf"t\.svm: row {row} does not parse: .*{reason}.*index:value pairs"):
        libsvm_sources(path, blocks=1)[0].read()


def test_wrong_options(tmp_path):
    path = write(tmp_path / "t.svm", "1 5:1\n")
    with pytest.raises(DataError, match="have 5 columns, n_features=3 is too few"):
        libsvm_sources(path, n_features=3)
    with pytest.raises(ValueError, match="dtype must be float32 or float64"):
        libsvm_sources(path, dtype="uint8")
    for text, message in (
        ("1\n0\n", r"u\.svm: no row has an index:value pair"),
        ("1 3000000000:1\n", "the largest index is 3000000000"),
    ):
        with pytest.raises(DataError, match=message):
            libsvm_sources(write(tmp_path / "u.svm", text))
    with pytest.raises(DataError, match=r"u\.svm and its like: no row has an index:value pair"):
        libsvm_sources([write(tmp_path / name, "1\n") for name in ("u.svm", "v.svm")])
    assert libsvm_sources(write(tmp_path / "u.svm", "\ufeff1 1:1\n"))[0].read().y.tolist() == [1]
    with pytest.raises(DataError, match="no rows"):
        libsvm_sources(write(path, "# nothing\n"))
