"""MNIST: handwritten digits, 28 x 28 bytes each (LeCun, Cortes and Burges)."""

import gzip
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ..data.idx import IdxSource, idx_sources, read_idx
from ..errors import DataError, MissingExtraError
from ..wording.shown import WithoutSecrets, named, without_secrets

Array = npt.NDArray[Any]

_WITHOUT_SECRETS = WithoutSecrets()  # one for all calls, so that it is added once
_BUNDLED = Path(__file__).parent / "mnist"
_SPLIT = 8_000
_PIXEL = 1.0 / 255.0

# The four files, with the MD5 of what is in them uncompressed.
MNIST_FILES = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
_MIRROR = "https://ossci-datasets.s3.amazonaws.com/mnist/"


@dataclass(frozen=True)
class _Part:
    """Rows of a pair of IDX files."""

    images: Path
    labels: Path
    rows: tuple[int, int] | None


@dataclass(frozen=True)
class Mnist:
    """Training and test images with their labels, as sources for an engine or as arrays.

    `X_train`, `X_test` are (n, 784) float32 pixels in [0, 1]; `y_train`, `y_test` (n,) int64 digits.
    """

    train: _Part
    test: _Part

    def train_sources(self, *, blocks: int | None = None, block_rows: int | None = None) -> list[IdxSource]:
        """The training images as sources: bytes read by the workers, with a scale of 1/255."""
        return _sources(self.train, blocks, block_rows)

    def test_sources(self, *, blocks: int | None = None, block_rows: int | None = None) -> list[IdxSource]:
        """The test images as sources: bytes read by the workers, with a scale of 1/255."""
        return _sources(self.test, blocks, block_rows)

    @cached_property
    def X_train(self) -> Array:
        return _pixels(self.train)

    @cached_property
    def y_train(self) -> Array:
        return _digits(self.train)

    @cached_property
    def X_test(self) -> Array:
        return _pixels(self.test)

    @cached_property
    def y_test(self) -> Array:
        return _digits(self.test)


def load_mnist(directory: str | PathLike[str] | None = None) -> Mnist:
    """MNIST: the part that ships with fullbatch, or all of it from a directory.

    Parameters
    ----------
    directory : path, optional
        Where the four files of MNIST are, gzip-compressed or not: 60,000 training and 10,000 test images
        (`fullbatch fetch mnist` downloads them). Default: the first 10,000 training images, which ship with
        fullbatch; the first 8,000 of them to train on, the last 2,000 to test on.

    Returns
    -------
    Mnist

    Raises
    ------
    DataError
        A file is missing or damaged.
    """
    if directory is None:
        files = _BUNDLED / "first-10000-images-idx3-ubyte.gz", _BUNDLED / "first-10000-labels-idx1-ubyte.gz"
        return Mnist(_Part(*files, (0, _SPLIT)), _Part(*files, (_SPLIT, 10_000)))
    train_images, train_labels, test_images, test_labels = (_find(Path(directory), name) for name in MNIST_FILES)
    return Mnist(_Part(train_images, train_labels, None), _Part(test_images, test_labels, None))


def fetch_mnist(directory: str | PathLike[str], url: str = _MIRROR, files: Mapping[str, str] = MNIST_FILES) -> None:
    """Download the four files of MNIST and check them.

    Parameters
    ----------
    directory : path
        Where to put them; made if it is not there. Files that are there and sound are not fetched again.
    url : str
        Folder of a mirror.
    files : mapping of str to str
        Names without ".gz", and the MD5 of each one's uncompressed content.

    Raises
    ------
    MissingExtraError
        pooch is not installed.
    DataError
        The mirror could not be reached, or what it gave is not MNIST. No half-written file is left.
    """
    try:
        import pooch
    except ImportError as error:
        raise MissingExtraError("pooch", "fetch") from error
    import requests

    pooch.get_logger().addFilter(_WITHOUT_SECRETS)
    _WITHOUT_SECRETS.know(named(url))
    directory, url = Path(directory), url.rstrip("/") + "/"
    directory.mkdir(parents=True, exist_ok=True)
    for name, md5 in files.items():
        path = directory / f"{name}.gz"
        if path.exists() and _md5(path) == md5:
            continue
        path.unlink(missing_ok=True)
        problem = ""
        try:
            pooch.retrieve(url + path.name, known_hash=None, fname=path.name, path=directory)
        except (requests.RequestException, OSError) as error:
            problem = without_secrets(str(error), url)
        if problem:  # here, so that the error does not bring the other one along, which tells the whole URL
            raise DataError(
                f"cannot download {named(url + path.name)}: is there a network? "
                f"Or put the four files of MNIST into {directory} yourself ({problem})"
            )
        if _md5(path) != md5:
            path.unlink()
            raise DataError(
                f"{named(url + path.name)} is not the file of MNIST (its checksum differs): nothing was kept"
            )


def _md5(path: Path) -> str:
    """Of the uncompressed content; empty where the file does not decompress."""
    try:
        with gzip.open(path) as content:
            return hashlib.file_digest(content, "md5").hexdigest()
    except (OSError, EOFError, zlib.error):
        return ""


def _find(directory: Path, name: str) -> Path:
    for path in (directory / name, directory / f"{name}.gz"):
        if path.exists():
            return path
    raise DataError(f"{directory} has neither {name} nor {name}.gz: fullbatch fetch mnist --directory {directory}")


def _sources(part: _Part, blocks: int | None, block_rows: int | None) -> list[IdxSource]:
    return idx_sources(part.images, part.labels, rows=part.rows, scale=_PIXEL, blocks=blocks, block_rows=block_rows)


def _pixels(part: _Part) -> Array:
    images = read_idx(part.images, *(part.rows or (0, None)))
    return images.reshape(len(images), -1) * np.float32(_PIXEL)


def _digits(part: _Part) -> Array:
    return read_idx(part.labels, *(part.rows or (0, None))).astype(np.int64)
