import gzip
import hashlib
import http.server
import threading

import numpy as np
import pytest

from fullbatch import DataError
from fullbatch.datasets import fetch_mnist, load_mnist


def test_bundled_mnist():
    mnist = load_mnist()
    assert mnist.X_train.shape == (8000, 784)
    assert mnist.X_test.shape == (2000, 784)
    assert mnist.X_train.dtype == np.float32
    assert mnist.X_train.min() == 0
    assert mnist.X_train.max() == 1
    assert mnist.y_train[:5].tolist() == [5, 0, 4, 1, 9]  # the first digits of the training set
    digits = np.bincount(np.concatenate((mnist.y_train, mnist.y_test)))
    assert digits.tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
    sources = mnist.train_sources(blocks=10)
    rows = [source.read() for source in sources]
    np.testing.assert_array_equal(np.concatenate([part.X for part in rows]) * np.float32(rows[0].scale), mnist.X_train)
    np.testing.assert_array_equal(np.concatenate([part.y for part in rows]), mnist.y_train)
    assert sum(len(source.read().y) for source in mnist.test_sources()) == 2000


def test_bundled_images_are_the_first_of_the_full_set(full_mnist):
    full, part = load_mnist(full_mnist), load_mnist()
    assert full.X_train.shape == (60_000, 784)
    assert full.X_test.shape == (10_000, 784)
    np.testing.assert_array_equal(full.X_train[:8000], part.X_train)
    np.testing.assert_array_equal(full.X_train[8000:10_000], part.X_test)
    np.testing.assert_array_equal(full.y_train[:8000], part.y_train)


def test_directory_without_the_files(tmp_path):
    with pytest.raises(DataError, match=r"neither train-images-idx3-ubyte nor .*fullbatch fetch mnist"):
        load_mnist(tmp_path)


@pytest.fixture
def mirror(tmp_path):
    """A mirror of two small files on the loopback address."""
    folder = tmp_path / "mirror"
    folder.mkdir()
    files = {}
    for name in ("one", "two"):
        content = name.encode() * 100
        files[name] = hashlib.md5(content).hexdigest()
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))

    requests = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args):
            super().__init__(*args, directory=folder)

        def log_message(self, *args):
            requests.append(self.path)

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/", files, folder, requests
    server.shutdown()
    thread.join()
    server.server_close()


def test_fetch(tmp_path, mirror):
    url, files, _, requests = mirror
    fetch_mnist(tmp_path / "new" / "here", url, files)
    assert gzip.decompress((tmp_path / "new" / "here" / "one.gz").read_bytes()) == b"one" * 100
    assert len(requests) == 2
    fetch_mnist(tmp_path / "new" / "here", url, files)
    assert len(requests) == 2, "files that are there and sound are not fetched again"
    (tmp_path / "new" / "here" / "two.gz").write_bytes(b"damaged")
    fetch_mnist(tmp_path / "new" / "here", url, files)
    assert requests[2:] == ["/two.gz"]


def test_fetch_of_something_else_keeps_nothing(tmp_path, mirror):
    url, files, folder, _ = mirror
    (folder / "two.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(DataError, match=r"two\.gz is not the file of MNIST \(its checksum differs\)"):
        fetch_mnist(tmp_path / "got", url, files)
    assert sorted(path.name for path in (tmp_path / "got").iterdir()) == ["one.gz"]


def test_fetch_without_a_network(tmp_path):
    with pytest.raises(DataError, match="is there a network"):
        fetch_mnist(tmp_path, "http://127.0.0.1:9/", {"one": ""})
    assert list(tmp_path.iterdir()) == []


def test_fetch_of_a_missing_file(tmp_path, mirror):
    url, _, _, _ = mirror
    with pytest.raises(DataError, match="cannot download"):
        fetch_mnist(tmp_path / "got", url, {"three": ""})
