"""Packed text, and text in UTF-16, gives what plain text gives, from every door of text."""

import bz2
import gc
import gzip
import io
import lzma
import os
import pickle
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import fsspec
import numpy as np
import pyarrow as pa
import pytest
from tables import table, write_libsvm

from fullbatch import DataError, LogisticRegression, csv_sources, file_sources, libsvm_sources
from fullbatch.data import unpacked
from fullbatch.data.unpacked import TextFile, text_file


def zstd(content):
    return pa.compress(content, "zstd", asbytes=True)


PACK = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}


def read(sources):
    return [
        (rows.X.tobytes() if isinstance(rows.X, np.ndarray) else rows.X.toarray().tobytes(), rows.y.tobytes())
        for rows in (source.read() for source in sources)
    ]


@pytest.fixture
def plain(tmp_path):
    """Files of each format of text by name, and how they are read."""
    (tmp_path / "plain").mkdir()
    frame = table()
    frame.to_csv(tmp_path / "plain" / "t.csv", index=False)
    frame.to_csv(tmp_path / "plain" / "t.tsv", index=False, sep="\t")
    write_libsvm(frame, tmp_path / "plain" / "t.libsvm")
    told = {"t.csv": {"target": "y"}, "t.tsv": {"target": "y"}, "t.libsvm": {}}
    return {name: ((tmp_path / "plain" / name).read_bytes(), options) for name, options in told.items()}


def test_packed_files_by_ending_and_in_folders(tmp_path, plain):
    for name, (content, told) in plain.items():
        expected = read(file_sources(tmp_path / "plain" / name, blocks=3, **told))
        for ending, pack in PACK.items():
            folder = tmp_path / f"{name}{ending}"
            folder.mkdir()
            half = content.index(b"\n", len(content) // 2) + 1
            (folder / f"{name}{ending}").write_bytes(pack(content[:half]) + pack(content[half:]))  # of two members
            for path in (folder, folder / "*", folder / f"{name}{ending}"):
                assert read(file_sources(path, blocks=3, **told)) == expected, path
            (folder / name).write_bytes(pack(content))  # whose name does not tell
            assert read(file_sources(folder / name, blocks=3, **told)) == expected, (name, ending)


def test_members_may_be_padded_by_more_than_is_read_at_once(tmp_path, plain, monkeypatch):
    monkeypatch.setattr(unpacked, "_CHUNK", 64)
    content, told = plain["t.csv"]
    half = content.index(b"\n", len(content) // 2) + 1
    path = tmp_path / "t.csv.xz"
    path.write_bytes(lzma.compress(content[:half]) + b"\0" * 400 + lzma.compress(content[half:]) + b"\0" * 400)
    expected = read(csv_sources(tmp_path / "plain" / "t.csv", blocks=3, **told))
    assert read(csv_sources(path, blocks=3, **told)) == expected


def test_wide_text(tmp_path, plain):
    content, told = plain["t.csv"]
    expected = read(csv_sources(tmp_path / "plain" / "t.csv", blocks=3, **told))
    path = tmp_path / "t.csv"
    text = content.decode()
    for written, encodings in (
        (text.encode("utf-16"), ("utf8", "utf-16", "latin1")),  # a byte order mark knows better than what is told
        (text.encode("utf-32"), ("utf8", "utf-32")),
        (b"\xfe\xff" + text.encode("utf-16-be"), ("utf8", "utf-16-be", "utf-16-le")),
        (text.encode("utf-16-le"), ("utf-16-le", "UTF_16LE")),
        (text.encode("utf-8-sig"), ("utf8", "utf-8-sig", "latin1", "utf-16")),
    ):
        for encoding in encodings:
            for content in (written, gzip.compress(written)):
                path.write_bytes(content)
                assert read(csv_sources(path, blocks=3, encoding=encoding, **told)) == expected, encoding
    path.write_bytes(text.encode("utf-16")[:-1])
    with pytest.raises(DataError, match=r"t\.csv: after 20[01] line ends the text is not utf-16 as it should be"):
        csv_sources(path, **told)


@pytest.mark.parametrize("ending", PACK)
def test_damage_is_told_with_the_file(tmp_path, plain, ending):
    content, told = plain["t.csv"]
    packed = PACK[ending](content)
    path = tmp_path / f"t.csv{ending}"
    half = len(packed) // 2
    for damaged in (
        *(packed[:length] for length in (len(packed) - 1, half, 12)),
        packed + packed[:half],  # a second member that ends early
        packed + b"garbage",
        packed + b"\1" + packed[1:],
    ):
        path.write_bytes(damaged)
        with pytest.raises(DataError, match=rf"t\.csv\{ending} is damaged, or not whole: .*Fetch it again"):
            csv_sources(path, **told)
    path.write_bytes(PACK[ending](b""))
    with pytest.raises(DataError, match=rf"no rows: .*t\.csv\{ending} is empty"):
        csv_sources(path, **told)


def test_text_that_begins_like_a_packed_file(tmp_path):
    write(tmp_path / "t.csv", b"BZhang,PK,y\n1,2,0\n")
    (source,) = csv_sources(tmp_path / "t.csv", target="y")
    assert source.read().names == ("BZhang", "PK")


def test_archives_of_files_are_refused(tmp_path, plain):
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("t.csv", plain["t.csv"][0])
    with pytest.raises(DataError, match=r"t\.csv\.zip is a zip archive: unpack it, and give .* packed one by one"):
        file_sources(tmp_path / "t.csv.zip", target="y")
    with tarfile.open(tmp_path / "t.csv.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("t.csv"), io.BytesIO())
    with pytest.raises(DataError, match=r"t\.csv\.gz is a tar archive: unpack it, and give the files that were in it"):
        file_sources(tmp_path / "t.csv.gz", target="y")


def test_a_row_without_an_end_takes_no_memory_without_an_end(tmp_path):
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress(b"a,y\n1,0\n") + gzip.compress(bytes([120]) * 2**20) * 50)
    with pytest.raises(DataError, match=r"row 1 does not end within 33554432 bytes"):
        csv_sources(tmp_path / "t.csv.gz", target="y")
    with pytest.raises(DataError, match=r"row 0 does not end|first row does not end"):
        libsvm_sources(write(tmp_path / "t.svm.gz", gzip.compress(b"1 1:1" * 2**20) * 10))


def write(path, content):
    path.write_bytes(content)
    return path


def test_files_at_urls(tmp_path, plain):
    content, told = plain["t.csv"]
    expected = read(csv_sources(tmp_path / "plain" / "t.csv", blocks=3, **told))
    system = fsspec.filesystem("memory")
    try:
        for ending, pack in PACK.items():
            system.pipe(f"/packed/t.csv{ending}", pack(content))
            assert read(file_sources(f"memory://packed/t.csv{ending}", blocks=3, **told)) == expected
        system.pipe("/packed/t.csv.gz", gzip.compress(content)[:-9])
        with pytest.raises(DataError, match=r"memory:///packed/t\.csv\.gz is damaged, or not whole"):
            csv_sources("memory://packed/t.csv.gz", **told)
    finally:
        system.rm("/packed", recursive=True)


def test_a_file_is_unpacked_once_for_all_threads_and_let_go_of_with_its_sources(tmp_path, plain, monkeypatch):
    made = []
    make = unpacked._Text.__init__
    monkeypatch.setattr(unpacked._Text, "__init__", lambda text, file: (made.append(text), make(text, file))[1])
    path = write(tmp_path / "t.csv.gz", gzip.compress(plain["t.csv"][0]))
    sources = csv_sources(path, target="y", block_rows=9)
    whole = read(csv_sources(tmp_path / "plain" / "t.csv", target="y", block_rows=9))
    with ThreadPoolExecutor(8) as pool:
        assert [one for (one,) in pool.map(lambda source: read([source]), sources)] == whole
    assert len(made) == 1
    model = LogisticRegression().fit(sources)
    assert model.n_samples_fit_ == 200
    assert len(made) == 1
    assert read(pickle.loads(pickle.dumps(sources))) == whole  # as on a worker
    assert len(made) == 1
    os.utime(path, ns=(1, 1))  # written again, as it seems
    assert read(sources) == whole
    assert len(made) == 2
    files = [text.file for text in made]
    made.clear()
    del sources
    gc.collect()
    assert all(file.closed for file in files)


def test_a_budget_of_what_is_kept(tmp_path, monkeypatch):
    contents = [b"%d" % k * 1000 for k in range(4)]
    files = [text_file(str(write(tmp_path / f"{k}.gz", gzip.compress(content)))) for k, content in enumerate(contents)]
    monkeypatch.setattr(unpacked, "_KEPT", 2500)
    readers = [file.open() for file in files]
    kept = [file._unpacked.text is not None for file in files]
    assert kept == [False, False, True, True]
    assert [reader.read() for reader in readers] == contents  # who reads has it until done
    monkeypatch.setattr(unpacked, "_KEPT", 10)
    assert files[0].open().read() == contents[0]
    assert [file._unpacked.text is not None for file in files] == [True, False, False, False]


def test_a_disk_that_is_full(tmp_path, plain, monkeypatch):
    path = write(tmp_path / "t.csv.gz", gzip.compress(plain["t.csv"][0]))
    monkeypatch.setattr(unpacked.tempfile, "TemporaryFile", lambda prefix: open("/dev/full", "wb+"))  # noqa: SIM115
    with pytest.raises(DataError, match=r"t\.csv\.gz cannot be unpacked to a temporary file: No space left.*TMPDIR"):
        csv_sources(path, target="y")


def test_readers_have_places_of_their_own(tmp_path):
    content = os.urandom(300_000)
    file = text_file(str(write(tmp_path / "t.gz", gzip.compress(b"\n" + content))))
    start = threading.Barrier(4)

    def work(number):
        start.wait()
        with file.open() as text:
            for place in np.random.default_rng(number).integers(0, 290_000, 200).tolist():
                text.seek(place + 1)
                assert text.read(5000) == content[place : place + 5000]
            return text.tell()

    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(work, range(4)))) == 4
    assert TextFile("a", "gzip") == TextFile("a", "gzip")
