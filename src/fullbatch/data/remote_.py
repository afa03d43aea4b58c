"""Paths that are URLs, such as "s3://bucket/run": any file system that fsspec knows."""

import logging
from os import PathLike
from typing import Any

from ..errors import MissingExtraError
from ..wording.shown import WithoutSecrets, named, real, without_secrets

try:
    import fsspec
except ImportError as error:
    raise MissingExtraError("fsspec", "fsspec") from error

# Loggers that tell URLs as they are.
_TELLING = (
    *("fsspec", "fsspec.asyn", "fsspec.cached", "fsspec.caching", "fsspec.generic", "fsspec.http", "fsspec.local"),
    *("fsspec.mapping", "fsspec.memoryfs", "fsspec.prefetcher", "fsspec.reference", "fsspec.sftp", "webhdfs"),
    *("s3fs", "gcsfs", "adlfs", "urllib3.connectionpool"),
)

_FILTER = WithoutSecrets()
for _name in _TELLING:
    logging.getLogger(_name).addFilter(_FILTER)


def file_system(url: str | PathLike[str]) -> tuple[Any, str]:
    """The file system of a URL, and the path in it.

    Raises
    ------
    MissingExtraError
        The package that this kind of URL needs is not installed.
    """
    _FILTER.know(named(url))
    try:
        return fsspec.core.url_to_fs(real(url))
    except ImportError as error:
        raise MissingExtraError(without_secrets(str(error), url), "fsspec") from None
