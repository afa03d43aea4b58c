"""Files from paths, directories, globs and URLs."""

import glob
import os
import re
import stat
from collections.abc import Callable, Sequence
from itertools import takewhile
from os import PathLike
from pathlib import Path
from typing import IO, Any, NamedTuple
from urllib.parse import unquote

from ..errors import DataError, MissingExtraError
from ..wording.shown import named, real, without_secrets

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
# How names of packed files end, behind the ending of what is in them; those of .zip are refused when they are opened.
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
# Folders in which formats of tables keep which of the files count.
_LOGS = {"_delta_log": "Delta", ".hoodie": "Hudi"}


class Found(NamedTuple):
    """A file, and the folder below which it was looked for."""

    path: str
    folder: str


def expand(paths: str | PathLike[str] | Sequence[str | PathLike[str]], endings: tuple[str, ...] = ()) -> list[str]:
    """Absolute paths of files, or their URLs.

    Parameters
    ----------
    paths : path or URL, or sequence of them
        Files, directories and globs (`*`, `?`, `[...]`, `**`).
    endings : tuple of str
        Which files of a directory count, packed ones too; names that begin with "." or "_" never do.

    Returns
    -------
    list of str
        In the order given; within a directory or glob in the order of names. URLs with secrets do not show them.

    Raises
    ------
    DataError
        There is no such file, or none at all.
    MissingExtraError
        The package for such URLs is not installed.
    """
    return [found.path for found in find(paths, endings)]


def find(paths: str | PathLike[str] | Sequence[str | PathLike[str]], endings: tuple[str, ...] = ()) -> list[Found]:
    """The files of `expand`, each with the folder below which it was looked for.

    That is the directory that was given, what stands before the first wildcard of a glob, or the folder of a file; of
    several paths, the folder that all of these have in common.
    """
    listed = [paths] if isinstance(paths, str | PathLike) else list(paths)
    found: list[Found] = []
    for given in listed:
        name = _without_file_scheme(named(given))
        found += _find_url(name, endings) if is_url(name) else _find_path(name, endings)
    if not found:
        raise DataError("no data: the list of files is empty")
    if len(listed) > 1:
        levels = zip(*(one.folder.split("/") for one in found), strict=False)
        common = "/".join(level[0] for level in takewhile(lambda level: len(set(level)) == 1, levels))
        found = [one._replace(folder=common) for one in found]
    return found


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
    if is_url(path):
        return _Far(path)  # type: ignore[return-value]
    check_file(path)
    try:
        return open(path, "rb")
    except OSError as error:
        raise cannot_read(path, error) from None


def stamp(path: str) -> Any:
    """What is another one after a file was written again: size and time, or what its file system has in their place."""
    if is_url(path):

        def told() -> Any:
            system, name = _file_system(path)
            return system.ukey(name)

        return safely(path, told)
    try:
        status = os.stat(path)
    except OSError as error:
        raise cannot_read(path, error) from None
    return status.st_size, status.st_mtime_ns, status.st_ino


def without_packing(name: str) -> str:
    """The name of a file without the ending that tells how it is packed."""
    lower = name.lower()
    return next((name[: -len(ending)] for ending in PACKED if lower.endswith(ending)), name)


def check_file(path: str) -> None:
    """Refuse devices, which have no end, and directories."""
    try:
        mode = os.stat(path).st_mode
    except OSError as error:
        raise cannot_read(path, error) from None
    if stat.S_ISDIR(mode) or stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise DataError(f"cannot read {path}: it is a {'directory' if stat.S_ISDIR(mode) else 'device'}")


class _Far:
    """A file at a URL. Whatever goes wrong with it is a DataError, without the secrets of the URL."""

    def __init__(self, path: str) -> None:
        def opened() -> Any:
            system, name = _file_system(path)
            return system.open(name, "rb")

        self._path, self._file = path, safely(path, opened)

    def read(self, size: int = -1) -> bytes:
        content: bytes = safely(self._path, lambda: self._file.read(size))
        return content

    def readinto(self, into: Any) -> int:
        return int(safely(self._path, lambda: self._file.readinto(into)))

    def readline(self) -> bytes:
        line: bytes = safely(self._path, self._file.readline)
        return line

    def seek(self, place: int, whence: int = 0) -> int:
        return int(safely(self._path, lambda: self._file.seek(place, whence)))

    def tell(self) -> int:
        return int(self._file.tell())

    def size(self) -> int:
        return int(self._file.size)

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def writable(self) -> bool:
        return False

    def flush(self) -> None:
        pass

    @property
    def closed(self) -> bool:
        return bool(self._file.closed)

    def close(self) -> None:
        safely(self._path, self._file.close)

    def __enter__(self) -> "_Far":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def safely(url: str, action: Callable[[], Any]) -> Any:
    """What an action on a URL gives; errors of its file system, of whatever kind, as DataErrors without secrets."""
    try:
        return action()
    except (DataError, MissingExtraError):
        raise
    except Exception as error:  # each file system has kinds of its own
        strerror = getattr(error, "strerror", None)
        problem = f"cannot read {url}: {without_secrets(str(strerror or error or type(error).__name__), url)}"
    raise DataError(problem)  # here, so that it does not bring the other one along


def cannot_read(path: str, error: OSError) -> DataError:
    """What is told of a file that cannot be read."""
    words = str(error.strerror or error or type(error).__name__)
    return DataError(f"cannot read {path}: {without_secrets(words, path)}")


def check_rows(files: Sequence[str], rows: Sequence[int]) -> None:
    """Refuse files that have no rows at all."""
    if not sum(rows):
        more = f" and {len(files) - 1} more" if len(files) > 1 else ""
        raise DataError(f"no rows: {files[0]}{more} is empty, at least one row is needed")


def _find_path(name: str, endings: tuple[str, ...]) -> list[Found]:
    path = Path(name)
    folder = path
    if path.is_dir():
        below = [(file, file.relative_to(path).parts) for file in sorted(path.rglob("*")) if file.is_file()]
        _refuse_logged(name, [parts for _, parts in below])
        files = [file for file, parts in below if _counts(parts, endings)]
        _check_found(name, files, endings)
    elif path.exists():
        files, folder = [path], path.parent
    else:
        files = sorted(Path(name) for name in glob.glob(name, recursive=True) if Path(name).is_file())
        _check_matched(name, files)
        folder = Path(*_before_wildcards(path.parts))
    return [Found(str(file.absolute()), folder.absolute().as_posix()) for file in files]


def _find_url(url: str, endings: tuple[str, ...]) -> list[Found]:
    return safely(url, lambda: _found_at(url, endings))  # type: ignore[no-any-return]


def _found_at(url: str, endings: tuple[str, ...]) -> list[Found]:
    system, root = _file_system(url)
    folder = root
    if system.isfile(root):
        found, folder = [root], root.rpartition("/")[0]
    elif system.isdir(root):
        top = root.rstrip("/") + "/"
        below = [(name, name[len(top) :].split("/")) for name in system.find(root)]
        _refuse_logged(url, [parts for _, parts in below])
        found = [name for name, parts in below if _counts(parts, endings)]
        _check_found(url, found, endings)
    else:
        found = [name for name in system.glob(root) if system.isfile(name)] if glob.has_magic(real(url)) else []
        _check_matched(url, found)
        folder = "/".join(_before_wildcards(root.split("/")))
    base = str(_url_of(folder.rstrip("/"), system, url))
    return [Found(_url_of(name, system, url), base) for name in sorted(found, key=lambda name: name.split("/"))]


def _before_wildcards(parts: Sequence[str]) -> Sequence[str]:
    """The folders before the first one with a wildcard, the last part being a file's."""
    first = next((number for number, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return parts[: min(first, len(parts) - 1)]


def _url_of(name: str, system: Any, url: str) -> str:
    """The URL of a file that was found at another one, with the host and user that file systems leave out of names."""
    whole = str(system.unstrip_protocol(name))
    scheme, _, rest = real(url).partition("://")
    host = rest.partition("/")[0]
    if "@" in host:
        inside = whole[whole.index(host) + len(host) :] if host in whole else f"/{name.lstrip('/')}"
        whole = f"{scheme}://{host}{inside}"
    return named(whole)


def _file_system(url: str) -> tuple[Any, str]:
    """The file system of fsspec that a URL belongs to, and the name of the file there."""
    from .remote_ import file_system

    return file_system(url)


def _without_file_scheme(path: str) -> str:
    return unquote(path.removeprefix("file://")) if path.startswith("file:///") else path


def _counts(parts: Sequence[str], endings: tuple[str, ...]) -> bool:
    *folders, name = parts
    hidden = [*(folder for folder in folders if "=" not in folder), name]  # "_day=1" is a column
    return not any(part.startswith((".", "_")) for part in hidden) and without_packing(name).lower().endswith(endings)


def _refuse_logged(directory: str, found: Sequence[Sequence[str]]) -> None:
    """Refuse tables of which some files may be deleted, replaced or not there yet: only their own readers know."""
    for parts in found:
        kind = next((_LOGS[folder] for folder in parts[:-1] if folder in _LOGS), None)
        if "metadata" in parts[-2:-1] and parts[-1].endswith(".metadata.json"):
            kind = "Iceberg"
        if kind is not None:
            raise DataError(
                f"{directory} is a table of {kind}, where not every file counts: give the list of files that its own "
                "reader tells"
            )


def _check_found(directory: str, found: Sequence[Any], endings: tuple[str, ...]) -> None:
    if not found:
        raise DataError(f"{directory}: there is no {' or '.join('*' + ending for ending in endings)} in it")


def _check_matched(pattern: str, found: Sequence[Any]) -> None:
    if not found:
        what = "no file matches it" if glob.has_magic(pattern) else "no such file or directory"
        raise DataError(f"cannot read {pattern}: {what}")
