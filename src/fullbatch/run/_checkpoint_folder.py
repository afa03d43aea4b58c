"""Folders of checkpoints, on this machine or at a URL: numbered files, each whole or not there."""

import glob
import os
import re
import socket
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from os import PathLike
from pathlib import Path
from typing import Any

import numpy.typing as npt

from ..errors import MissingExtraError, ModelFileError
from ..saving import archive, files
from ..wording.shown import named, real, without_secrets

Array = npt.NDArray[Any]

_NAME = re.compile(r"checkpoint-([0-9]{8,})\.fb")
_UNFINISHED = re.compile(rf"\.{_NAME.pattern}-.*")
# At URLs nothing can be locked: the name tells the machine and the process that writes.
_OWNED = re.compile(r"\..*\.fb-(?P<host>.*)-(?P<process>[0-9]+)-[0-9a-f]{32}\.unfinished")


class Folder(ABC):
    """Where checkpoints are: numbered files."""

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = named(path)

    def __str__(self) -> str:
        return self.path

    @abstractmethod
    def open(self) -> tuple[set[int], set[int]]:
        """Make it if it is not there, and remove what was left unfinished.

        Returns
        -------
        set of int
            Numbers of the files that are there.
        set of int
            Numbers that are taken, by whatever has the name of a checkpoint.
        """

    @abstractmethod
    def read(self, number: int) -> tuple[str, dict[str, Array], dict[str, Any]]:
        """A checkpoint's kind, arrays and metadata."""

    @abstractmethod
    def write(self, number: int, kind: str, arrays: archive.Arrays, metadata: Mapping[str, Any]) -> None:
        """Write a checkpoint, whole or not at all."""

    @abstractmethod
    def remove(self, number: int) -> None:
        """Remove a checkpoint, if it is there."""

    def where(self, number: int) -> str:
        """A checkpoint's place, as its reader is told it."""
        return f"{self.path.rstrip('/')}/{_name(number)}"


class _LocalFolder(Folder):
    """A directory of this machine."""

    def open(self) -> tuple[set[int], set[int]]:
        directory = Path(self.path)
        try:
            directory.mkdir(parents=True, exist_ok=True)
            files.remove_unfinished(directory, _UNFINISHED)
            found = {file.name: file.is_file() for file in directory.iterdir()}
        except OSError as error:
            raise ModelFileError(f"cannot keep checkpoints in {directory}: {error.strerror}") from None
        return _numbers(name for name, is_file in found.items() if is_file), _numbers(found)

    def read(self, number: int) -> tuple[str, dict[str, Array], dict[str, Any]]:
        return files.read(self.where(number))

    def write(self, number: int, kind: str, arrays: archive.Arrays, metadata: Mapping[str, Any]) -> None:
        files.write(self.where(number), kind, arrays, metadata)

    def remove(self, number: int) -> None:
        Path(self.where(number)).unlink(missing_ok=True)


def _safely(method: Callable[..., Any]) -> Callable[..., Any]:
    """Errors of a file system of URLs, of whatever kind, as ours: without the secrets of the URL."""

    @wraps(method)
    def safe(folder: "_RemoteFolder", *arguments: Any) -> Any:
        try:
            return method(folder, *arguments)
        except (ModelFileError, MissingExtraError):
            raise
        except Exception as error:  # each file system has kinds of its own
            problem = f"{folder}: {type(error).__name__}: {without_secrets(str(error), folder.path)}"
        raise ModelFileError(problem)  # here, so that it does not bring the other one along

    return safe


class _RemoteFolder(Folder):
    """A directory that a URL names."""

    _files: Any
    _inside: str

    @_safely
    def open(self) -> tuple[set[int], set[int]]:
        from ..data.remote_ import file_system

        self._files, self._inside = file_system(self.path)
        self._files.makedirs(self._inside, exist_ok=True)
        self._files.invalidate_cache()
        try:
            listed = self._files.ls(self._inside, detail=True)
        except FileNotFoundError:  # stores of objects have no directories, only names that begin alike
            listed = []
        found = {file["name"].rpartition("/")[2]: file.get("type") == "file" for file in listed}
        for name in filter(_UNFINISHED.fullmatch, found):
            if not _is_written(name):
                self._files.rm_file(f"{self._inside}/{name}")
        return _numbers(name for name, is_file in found.items() if is_file), _numbers(found)

    @_safely
    def read(self, number: int) -> tuple[str, dict[str, Array], dict[str, Any]]:
        with self._files.open(f"{self._inside}/{_name(number)}", "rb") as file:
            return archive.unpack(file, self.where(number))

    @_safely
    def write(self, number: int, kind: str, arrays: archive.Arrays, metadata: Mapping[str, Any]) -> None:
        owner = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex}"
        unfinished = f"{self._inside}/.{_name(number)}-{owner}.unfinished"
        with self._files.open(unfinished, "wb") as file:
            archive.pack(file, kind, arrays, files.plain(metadata))
        if glob.has_magic(unfinished):  # fsspec would look for files that match
            self._files.cp_file(unfinished, f"{self._inside}/{_name(number)}")
            self._files.rm_file(unfinished)
        else:
            self._files.mv(unfinished, f"{self._inside}/{_name(number)}")

    @_safely
    def remove(self, number: int) -> None:
        if self._files.exists(f"{self._inside}/{_name(number)}"):
            self._files.rm_file(f"{self._inside}/{_name(number)}")


def _is_written(name: str) -> bool:
    """Whether an unfinished file at a URL belongs to a process that lives, or to one of another machine."""
    owner = _OWNED.fullmatch(name)
    if owner is None:
        return False
    if owner["host"] != socket.gethostname() or os.name != "posix":
        return True
    try:
        os.kill(int(owner["process"]), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def folder_of(path: str | PathLike[str]) -> Folder:
    return _RemoteFolder(path) if "://" in real(path) else _LocalFolder(path)


def _name(number: int) -> str:
    return f"checkpoint-{number:08}.fb"


def _numbers(names: Iterable[str]) -> set[int]:
    return {int(match[1]) for match in map(_NAME.fullmatch, names) if match}
