import gzip
import struct

import numpy as np
import pytest

from fullbatch import DataError, Linear, SerialEngine, idx_sources
from fullbatch.data.idx import read_idx

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}


def idx_bytes(array, dtype="u1"):
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, CODES[dtype], array.ndim, *array.shape)
    return header + array.astype(dtype).tobytes()


def write(path, content, compressed):
    path.write_bytes(gzip.compress(content) if compressed else content)
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("dtype", CODES)
def test_read(tmp_path, dtype, compressed):
    values = np.random.default_rng(0).integers(0, 100, (9, 2, 3))
    path = write(tmp_path / "values", idx_bytes(values, dtype), compressed)
    whole = read_idx(path)
    assert whole.dtype.isnative
    np.testing.assert_array_equal(whole, values)
    np.testing.assert_array_equal(read_idx(path, 2, 5), values[2:5])


@pytest.mark.parametrize("compressed", [False, True])
def test_sources(tmp_path, compressed):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (30, 4, 4)), rng.integers(0, 3, 30)
    paths = [
        write(tmp_path / name, idx_bytes(values), compressed)
        for name, values in [("images", images), ("labels", labels)]
    ]
    sources = idx_sources(*paths, rows=(3, 28), scale=1 / 255, blocks=4)
    assert [str(source).removeprefix(str(tmp_path)) for source in sources] == [
        f"/images rows {first}..{last}" for first, last in ((3, 8), (9, 14), (15, 20), (21, 27))
    ]
    rows = [source.read() for source in sources]
    np.testing.assert_array_equal(np.concatenate([part.X for part in rows]), images[3:28].reshape(25, 16))
    np.testing.assert_array_equal(np.concatenate([part.y for part in rows]), labels[3:28])
    assert {part.X.dtype.name for part in rows} == {"uint8"}
    schema = SerialEngine().place(Linear("softmax"), sources).schema
    np.testing.assert_allclose(schema.mean, images[3:28].reshape(25, 16).mean(axis=0) / 255, rtol=1e-12)


def test_blocks_of_one_compressed_file_share_what_was_decompressed(tmp_path):
    path = write(tmp_path / "values", idx_bytes(np.zeros((100, 3))), compressed=True)
    first, second = read_idx(path, 0, 50), read_idx(path, 50, 100)
    assert first.base is second.base is not None
    path.write_bytes(gzip.compress(idx_bytes(np.ones((100, 3)))))  # a changed file is read again
    assert read_idx(path, 0, 1).tolist() == [[1, 1, 1]]


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda content: b"\x89PNG" + content, "is not an IDX file"),
        (lambda content: b"\0\0\x07\x01" + content, "is not an IDX file"),
        (lambda content: content[:2], "is damaged"),
        (lambda content: content[:7], "is damaged"),
        (lambda content: content[:-1], "is damaged"),
        (lambda content: content + b"1", "is damaged"),
        (lambda content: b"", "is damaged"),
    ],
)
def test_bad_files(tmp_path, spoil, message, compressed):
    path = write(tmp_path / "values", spoil(idx_bytes(np.zeros((5, 2)))), compressed)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def test_damaged_compression(tmp_path):
    content = gzip.compress(idx_bytes(np.random.default_rng(0).integers(0, 256, (500, 20))))
    middle = bytearray(content)
    middle[len(middle) // 2] ^= 0xFF
    checksum = bytearray(content)
    checksum[-6] ^= 0xFF
    for spoiled in (content[:-100], bytes(middle), bytes(checksum)):
        (tmp_path / "values").write_bytes(spoiled)
        with pytest.raises(DataError, match="is damaged"):
            read_idx(tmp_path / "values")


def test_missing_and_mismatched(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*No such file"):
        read_idx(tmp_path / "nothing")
    images = write(tmp_path / "images", idx_bytes(np.zeros((5, 2, 2))), compressed=False)
    labels = write(tmp_path / "labels", idx_bytes(np.zeros(4)), compressed=False)
    with pytest.raises(DataError, match="do not belong together"):
        idx_sources(images, labels)
    fitting = write(tmp_path / "fitting", idx_bytes(np.zeros(5)), compressed=False)
    with pytest.raises(DataError, match=r"rows 0\.\.4; 0\.\.8 were asked for"):
        idx_sources(images, fitting, rows=(0, 9))


def test_file_that_became_shorter_is_noticed(tmp_path):
    images = write(tmp_path / "images", idx_bytes(np.zeros((9, 2, 2))), compressed=False)
    labels = write(tmp_path / "labels", idx_bytes(np.arange(9) % 2), compressed=False)
    sources = idx_sources(images, labels, blocks=2)
    write(images, idx_bytes(np.zeros((6, 2, 2))), compressed=False)
    with pytest.raises(DataError, match="has become shorter"):
        SerialEngine().place(Linear("softmax"), sources)
