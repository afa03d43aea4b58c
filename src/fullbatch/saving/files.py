"""Files that hold models and solver states: arrays and text, versioned and sealed by a digest, never pickle.

A file is written whole or not at all, and never over one that is not ours.
"""

import contextlib
import errno
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..errors import DamagedError, ModelFileError
from ..machine.files import sync, sync_directory
from .archive import Arrays, is_ours, pack, unpack

try:
    import fcntl
except ImportError:  # of Windows, where a file that is open cannot be removed
    fcntl = None  # type: ignore[assignment]

Array = npt.NDArray[Any]

# So much of a file tells whether it is ours.
_HEAD = 512

# Seconds after which an unfinished file counts as left behind, on file systems that cannot lock.
_FORGOTTEN = 86400.0


def write(path: str | PathLike[str], kind: str, arrays: Arrays, metadata: Mapping[str, Any]) -> None:
    """Write a file, whole or not at all, also where the machine fails.

    Parameters
    ----------
    path : path
        Where; an existing file of ours is replaced in one step and keeps its mode, any other is an error.
    kind : str
        What is in it.
    arrays : mapping of str to array or Stacked
        Numbers and text; objects are refused.
    metadata : mapping
        Anything JSON can hold.
    """
    path = Path(path).resolve()  # a link stays a link, to the new file
    if path.exists() and not path.is_file():
        raise ModelFileError(f"cannot save to {path}: it is not a file")
    refuse_foreign(path)
    try:
        remove_unfinished(path.parent, _unfinished(path.name))
        handle, temporary = _temporary(path)
        try:
            with os.fdopen(handle, "wb") as file:
                pack(file, kind, arrays, plain(metadata))
                sync(file)
                if path.exists():
                    os.chmod(temporary, stat.S_IMODE(path.stat().st_mode))
                if fcntl is not None:  # while it is locked
                    os.replace(temporary, path)
            if fcntl is None:
                os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_directory(path.parent)
    except OSError as error:
        raise ModelFileError(f"cannot save to {path}: {_reason(error, path.parent)}") from None


def refuse_foreign(path: Path) -> None:
    """Refuse to replace a file that is not one of ours: a name mistaken for another would cost the data in it."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    try:
        with open(path, "rb") as file:
            ours = is_ours(file.read(_HEAD))
    except OSError as error:
        raise ModelFileError(f"cannot save to {path}, nor read what is there: {error.strerror}") from None
    if not ours:
        raise ModelFileError(
            f"cannot save to {path}: a file that is not of fullbatch is there: name another, or remove it"
        )


def read(path: str | PathLike[str], kinds: tuple[str, ...] = ()) -> tuple[str, dict[str, Array], dict[str, Any]]:
    """What `write` wrote, to be checked against what its kind may hold.

    Parameters
    ----------
    path : path
        The file.
    kinds : tuple of str
        What may be in it; empty for anything.

    Returns
    -------
    kind : str
    arrays : dict of str to array
    metadata : dict

    Raises
    ------
    ModelFileError
        The file is missing, damaged, not ours, of a later version, or holds something else.
    """
    name = os.fspath(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # before it is opened: a pipe would wait for its other end
            what = "a directory" if os.path.isdir(path) else "a device or a pipe"
            raise DamagedError(f"{name} is damaged, or not a file of fullbatch: it is {what}")
        with open(path, "rb") as file:
            kind, arrays, metadata = unpack(file, name)
    except FileNotFoundError:
        raise ModelFileError(f"there is no file {name}") from None
    except OSError as error:
        raise ModelFileError(f"cannot read {name}: {error.strerror or error}") from None
    if kinds and kind not in kinds:
        raise ModelFileError(f"{name} holds a {kind[:60]}, not a {' or '.join(kinds)}")
    return kind, arrays, metadata


def plain(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata as it will be read again: scalars of NumPy are JSON's own kinds of value, tuples are lists."""
    told: dict[str, Any] = json.loads(json.dumps(metadata, default=lambda value: value.item()))
    return told


def remove_unfinished(directory: Path, names: re.Pattern[str]) -> None:
    """Remove what runs that are gone left unfinished; what is being written stays."""
    for file in directory.iterdir():
        if names.fullmatch(file.name) and file.is_file() and not file.is_symlink():
            _remove_forgotten(file)


def _unfinished(name: str) -> re.Pattern[str]:
    return re.compile(rf"\.{re.escape(_start(name))}-[0-9a-f]{{8}}\.unfinished")


def _start(name: str) -> str:
    """As much of a name as leaves room for more."""
    return name[:60]


def _temporary(path: Path) -> tuple[int, Path]:
    """A new file beside the one to be written, and locked, so that others see that somebody writes it."""
    while True:
        temporary = path.parent / f".{_start(path.name)}-{secrets.token_hex(4)}.unfinished"
        handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o666)
        if fcntl is None:
            return handle, temporary
        with contextlib.suppress(OSError):  # some file systems of networks cannot
            fcntl.flock(handle, fcntl.LOCK_EX)
        if temporary.exists():  # nobody took it for forgotten before it was locked
            return handle, temporary
        os.close(handle)


def _remove_forgotten(file: Path) -> None:
    """Remove a file unless somebody writes it, as far as that can be known."""
    if fcntl is None:
        with contextlib.suppress(PermissionError):  # it is open somewhere
            file.unlink(missing_ok=True)
        return
    try:
        handle = os.open(file, os.O_RDWR | os.O_NONBLOCK)
    except (FileNotFoundError, PermissionError):  # gone by now, or somebody else's
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        file.unlink(missing_ok=True)  # while it is locked: see `_temporary`
    except BlockingIOError:  # it is written
        pass
    except OSError:  # a file system that cannot lock
        if time.time() - os.fstat(handle).st_mtime > _FORGOTTEN:
            file.unlink(missing_ok=True)
    finally:
        os.close(handle)


def _reason(error: OSError, directory: Path) -> str:
    words = f"{directory}: {error.strerror or error}"
    if error.errno == errno.ENOSPC:
        words += f": {shutil.disk_usage(directory).free} bytes are free there"
    return words
