"""What a header or an index promises is compared with the file before anything of that size is made."""

import gzip
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from benchmarks.fuzz.__main__ import FINE, run
from benchmarks.fuzz.formats import FORMATS

from fullbatch import DataError, csv_sources, idx_sources, libsvm_sources, npy_sources, parquet_sources, table_sources


def npy_header(shape, descr="<f8", version=1):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(text)) + text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (npy_header((-1, 3)), r"its header tells of the shape \(-1, 3\)"),
        (npy_header((2**62, 2**62)), "bytes and should have 1701411834604692317316873037158841"),
        (npy_header((2**40, 0)), r"has shape \(1099511627776, 0\): at least one column is needed"),
        (npy_header((2**40, 3), "<U0"), "it holds <U0"),
        (npy_header((3, 3), ("<f8", (2,))), "is not a whole .npy file of numbers"),
        (npy_header("(" * 3000 + ")" * 3000), "is not a whole .npy file of numbers"),
        (b"\x93NUMPY\2\0\xff\xff\xff\xff", "its header has 4294967295 bytes"),
    ],
)
def test_npy_headers(tmp_path, content, message):
    (tmp_path / "X.npy").write_bytes(content)
    with pytest.raises(DataError, match=rf"X\.npy.*{message}"):
        npy_sources(tmp_path / "X.npy")


def idx(shape, values=b""):
    return struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + values


@pytest.mark.parametrize(
    ("rows", "content", "message"),
    [
        (30, idx((2**32 - 1, 2**32 - 1), b"x" * 20), "its header tells of .* bytes and it has 32"),
        (
            60_000,
            gzip.compress(idx((60_000, 28, 28), b"x"), mtime=0),
            "tells of 47040016 bytes, more than .* packed ones",
        ),
        (30, gzip.compress(idx((30, 28), b"x" * 20), mtime=0), "it ends 820 bytes before what its header tells of"),
        (30, idx((30, 0)), r"has shape \(30, 0\): at least one column is needed"),
    ],
)
def test_idx_headers(tmp_path, rows, content, message):
    (tmp_path / "X").write_bytes(content)
    (tmp_path / "y").write_bytes(idx((rows,), bytes(rows)))
    with pytest.raises(DataError, match=f"X.*{message}"):
        idx_sources(tmp_path / "X", tmp_path / "y")[0].read()


def test_libsvm_indices(tmp_path):
    path = tmp_path / "t.svm"
    path.write_text("1 1:2 3:1\n# 2000000:1\n0 2:1 2000000:1\n1 1:1\n")
    with pytest.raises(DataError, match=r"t\.svm: row 1: the largest index is 2000000, which makes more than 1048576"):
        libsvm_sources(path)
    assert libsvm_sources(path, n_features=2_000_000)[0].read().X.shape == (3, 2_000_000)
    with pytest.raises(DataError, match=r"n_features=5 is too few: the index 2000000 is in .*t\.svm: row 1"):
        libsvm_sources(path, n_features=5)
    path.write_text("1 " + " ".join(f"{index}:1" for index in range(1, 80_000)) + " 1200000:1\n")
    assert libsvm_sources(path)[0].n_features == 1_200_000  # 15 for each value


def test_page_checksums_are_verified(tmp_path):
    path = tmp_path / "t.parquet"
    table = pa.table({"x": np.arange(1000.0) + 0.5, "y": np.arange(1000) % 2})
    for has_checksums in (True, False):
        pq.write_table(
            table, path, compression="none", use_dictionary=False, write_page_checksum=has_checksums, row_group_size=400
        )
        content = bytearray(path.read_bytes())
        content[content.find(np.float64(700.5).tobytes()) + 7] ^= 0x80
        path.write_bytes(content)
        if has_checksums:
            first, *_, last = parquet_sources(path, target="y", block_rows=200)
            assert first.read().X[0] == 0.5
            with pytest.raises(DataError, match=r"t\.parquet: row group 1 cannot be read: .*CRC checksum"):
                parquet_sources(path, target="y", block_rows=200)[2].read()
            assert last.read().X[0] == 800.5
        else:
            assert parquet_sources(path, target="y")[0].read().X[700] == -700.5


def test_rows_of_a_parquet_footer_are_compared_with_its_columns(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"x": np.arange(77_777.0)}), path, compression="none", use_dictionary=False)
    content = path.read_bytes()
    footer = content.rindex(b"\x15", 0, -8)
    varint = b"\xa2\xbf\x09"  # 77,777, as the footer's format writes it
    place = content.rindex(varint)
    assert place < footer + 10_000
    path.write_bytes(content[:place] + b"\xa4\xbf\x09" + content[place + 3 :])
    with pytest.raises(DataError, match=r"t\.parquet.*(rows|values)"):
        parquet_sources(path)


def test_tables_that_others_filled_wrong_are_refused():
    offsets = pa.py_buffer(np.array([0, 2000, 3], "i4"))
    text = pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"abcdef")])
    with pytest.raises(DataError, match=r"the table is damaged: .*out of bounds"):
        table_sources(pa.table({"x": [1.0, 2.0], "text": text}))


def test_devices_are_refused():
    for make in (csv_sources, libsvm_sources, npy_sources, parquet_sources):
        with pytest.raises(DataError, match="cannot read /dev/zero: it is a device"):
            make("/dev/zero")


def test_mutants_are_refused_or_read_as_they_stand():
    found = run(",".join(FORMATS), 40, seed=1)
    assert [one for one in found if one["outcome"] not in FINE] == []
    for name in FORMATS:
        assert len({one["outcome"] for one in found if one["seed"].startswith(f"{name}-")}) > 1, name


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_3000_mutants_are_refused_or_read_as_they_stand(name):
    found = run(name, 3000, seed=2)
    assert [one for one in found if one["outcome"] not in FINE] == []
    assert len(found) == 3000


@pytest.mark.parametrize(
    ("reader", "outcome"),
    [
        ("1 / 0", "error"),
        ("fail('no name')", "the file is not named"),
        ("fail(str(path))", "refused"),
        ("formats.table_sources(formats._table(50), target='y')", "other rows than another reader's"),
        ("[bytearray(b'x') * 300_000_000] and fail(str(path))", "memory"),
    ],
)
def test_the_fuzzer_notices_what_it_looks_for(reader, outcome):
    program = f"""
from benchmarks.fuzz import formats
from benchmarks.fuzz.__main__ import DataError, _try
def fail(words):
    raise DataError(words)
whole = formats.FORMATS["csv"]
print(_try(whole._replace(name="csv", sources=lambda path: {reader}), 3, 1)["outcome"])
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == outcome
