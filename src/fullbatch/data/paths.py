"""Files from paths, directories, globs and URLs."""

import glob
import re
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote

from ..errors import DataError

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")


def expand(paths: str | PathLike[str] | Sequence[str | PathLike[str]], endings: tuple[str, ...] = ()) -> list[str]:
    """Absolute paths of files, or their URLs.

    Parameters
    ----------
    paths : path or URL, or sequence of them
        Files, directories and globs (`*`, `?`, `[...]`, `**`).
    endings : tuple of str
        Which files of a directory count; names that begin with "." or "_" never do.

    Returns
    -------
    list of str
        In the order given; within a directory or glob in the order of names.

    Raises
    ------
    DataError
        There is no such file, or none at all.
    MissingExtraError
        The package for such URLs is not installed.
    """
    files: list[str] = []
    for given in [paths] if isinstance(paths, str | PathLike) else paths:
        name = _without_file_scheme(fspath(given))
        files += _expand_url(name, endings) if is_url(name) else _expand_path(Path(name), endings)
    if not files:
        raise DataError("no data: the list of files is empty")
    return files


def is_url(path: str) -> bool:
    """Whether it is a URL that fsspec opens, such as "s3://bucket/file", rather than a path of this machine."""
    return _URL.match(path) is not None


def open_file(path: str) -> IO[bytes]:
    """A file of this machine, or of any that fsspec knows, to read from.

    Raises
    ------
    DataError
        It cannot be opened.
    MissingExtraError
        The package for such URLs is not installed.
    """
    try:
        if not is_url(path):
            return open(path, "rb")
        system, name = _file_system(path)
        file: IO[bytes] = system.open(name, "rb")
        return file
    except OSError as error:
        raise cannot_read(path, error) from None


def cannot_read(path: str, error: OSError) -> DataError:
    """What is told of a file that cannot be read."""
    return DataError(f"cannot read {path}: {error.strerror or error or type(error).__name__}")


def check_rows(files: Sequence[str], rows: Sequence[int]) -> None:
    """Refuse files that have no rows at all."""
    if not sum(rows):
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        raise DataError(f"no rows: {files[0]}{more} is empty, at least one row is needed")


def _expand_path(path: Path, endings: tuple[str, ...]) -> list[str]:
    if path.is_dir():
        found = sorted(file for file in path.rglob("*") if file.is_file() and _counts(_below(file, path), endings))
        _check_found(str(path), found, endings)
    elif path.exists():
        found = [path]
    else:
        found = sorted(Path(name) for name in glob.glob(str(path), recursive=True) if Path(name).is_file())
        _check_matched(str(path), found)
    return [str(file.absolute()) for file in found]


def _expand_url(url: str, endings: tuple[str, ...]) -> list[str]:
    system, root = _file_system(url)
    try:
        if system.isfile(root):
            found = [root]
        elif system.isdir(root):
            top = root.rstrip("/") + "/"
            found = [name for name in system.find(root) if _counts(name[len(top) :].split("/"), endings)]
            _check_found(url, found, endings)
        else:
            found = [name for name in system.glob(root) if system.isfile(name)] if glob.has_magic(url) else []
            _check_matched(url, found)
    except OSError as error:
        raise cannot_read(url, error) from None
    return [system.unstrip_protocol(name) for name in sorted(found, key=lambda name: name.split("/"))]


def _file_system(url: str) -> tuple[Any, str]:
    """The file system of fsspec that a URL belongs to, and the name of the file there."""
    from ..remote_ import file_system

    try:
        return file_system(url)
    except ValueError as error:  # an unknown scheme
        raise DataError(f"cannot read {url}: {error}") from None


def _without_file_scheme(path: str) -> str:
    return unquote(path.removeprefix("file://")) if path.startswith("file:///") else path


def _below(file: Path, directory: Path) -> Sequence[str]:
    return file.relative_to(directory).parts


def _counts(parts: Sequence[str], endings: tuple[str, ...]) -> bool:
    return not any(part.startswith((".", "_")) for part in parts) and parts[-1].lower().endswith(endings)


def _check_found(directory: str, found: Sequence[Any], endings: tuple[str, ...]) -> None:
    if not found:
        raise DataError(f"{directory}: there is no {' or '.join('*' + ending for ending in endings)} in it")


def _check_matched(pattern: str, found: Sequence[Any]) -> None:
    if not found:
        what = "no file matches it" if glob.has_magic(pattern) else "no such file or directory"
        raise DataError(f"cannot read {pattern}: {what}")
