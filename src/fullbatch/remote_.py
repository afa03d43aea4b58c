"""Paths that are URLs, such as "s3://bucket/run": any file system that fsspec knows."""

from os import PathLike, fspath
from typing import Any

from .errors import MissingExtraError

try:
    import fsspec
except ImportError as error:
    raise MissingExtraError("fsspec", "fsspec") from error


def file_system(url: str | PathLike[str]) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Raises
    ------
    MissingExtraError
        The package that this kind of URL needs is not installed.
    """
    try:
        return fsspec.core.url_to_fs(fspath(url))
    except ImportError as error:
        raise MissingExtraError(str(error), "fsspec") from None
