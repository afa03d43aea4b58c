"""Files that hold models and solver states: arrays and text in an npz archive, versioned, never pickle."""

import contextlib
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import MISSING, fields
from os import PathLike
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .errors import ModelFileError
from .solvers.lbfgs import LBFGSState
from .solvers.least_squares import LeastSquaresState
from .solvers.newton import NewtonState
from .solvers.newton_cg import NewtonCGState
from .solvers.sampled import SampledState

Array = npt.NDArray[Any]
Arrays = Mapping[str, "Array | Stacked"]

FORMAT, VERSION = "fullbatch", 1
_METADATA = "metadata.json"

_STATES = {kind.__name__: kind for kind in (LBFGSState, SampledState, NewtonState, NewtonCGState, LeastSquaresState)}


class DamagedError(ModelFileError):
    """A file is not whole, or not as it was written."""


class Stacked(NamedTuple):
    """Vectors that are saved as the rows of one matrix, without making it.

    Parameters
    ----------
    rows : tuple of (size,) float64 arrays
        Any number of them.
    size : int
        Length of each.
    """

    rows: tuple[Array, ...]
    size: int


def write(path: str | PathLike[str], kind: str, arrays: Arrays, metadata: Mapping[str, Any]) -> None:
    """Write a file, whole or not at all, also where the machine fails.

    Parameters
    ----------
    path : path
        Where; an existing file of ours is replaced in one step, any other is an error.
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
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    except OSError as error:
        raise ModelFileError(f"cannot save to {path}: {path.parent}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file:
            pack(file, kind, arrays, metadata)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    _sync_directory(path.parent)


def pack(file: IO[bytes], kind: str, arrays: Arrays, metadata: Mapping[str, Any]) -> None:
    """Write the contents of a file; see `write`."""
    header = {"format": FORMAT, "version": VERSION, "kind": kind, **metadata}
    with zipfile.ZipFile(file, "w") as archive:
        # Without the time, so that the same contents are the same bytes.
        archive.writestr(zipfile.ZipInfo(_METADATA), json.dumps(header, indent=1, default=_plain))
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                _write_array(member, array)


def refuse_foreign(path: Path) -> None:
    """Refuse to replace a file that is not one of ours: a name mistaken for another would cost the data in it."""
    if not path.is_file() or path.stat().st_size == 0:
        return
    try:
        with zipfile.ZipFile(path) as archive:
            ours = _METADATA in archive.namelist()
    except zipfile.BadZipFile:
        ours = False
    if ours:
        return
    raise ModelFileError(f"cannot save to {path}: a file that is not of fullbatch is there: name another, or remove it")


def read(path: str | PathLike[str], kinds: tuple[str, ...] = ()) -> tuple[str, dict[str, Array], dict[str, Any]]:
    """What `write` wrote.

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
    try:
        with open(path, "rb") as file:
            return unpack(file, path, kinds)
    except FileNotFoundError:
        raise ModelFileError(f"there is no file {path}") from None
    except OSError as error:
        raise ModelFileError(f"{path} is damaged, or not a file of fullbatch: {error}") from None


def unpack(
    file: IO[bytes], path: str | PathLike[str], kinds: tuple[str, ...] = ()
) -> tuple[str, dict[str, Array], dict[str, Any]]:
    """Read the contents of a file, called `path` in messages; see `read`."""
    try:
        with zipfile.ZipFile(file) as archive:
            if _METADATA not in archive.namelist():
                raise DamagedError(f"{path} is not a file of fullbatch: it has no {_METADATA}")
            metadata = json.loads(archive.read(_METADATA))
            _check_header(path, metadata, kinds)
            arrays = {
                name.removesuffix(".npy"): _read_array(archive, name)
                for name in archive.namelist()
                if name != _METADATA
            }
    except ModelFileError:
        raise
    except (
        OSError,
        ValueError,
        KeyError,
        EOFError,
        MemoryError,
        zlib.error,
        zipfile.BadZipFile,
        NotImplementedError,
    ) as error:
        raise DamagedError(f"{path} is damaged, or not a file of fullbatch: {error}") from None
    return metadata["kind"], arrays, metadata


def save_state(path: str | PathLike[str], state: Any) -> None:
    """Save a solver's state (`Result.state`), to go on later with `minimize(resume=load_state(path))`.

    Parameters
    ----------
    path : path
        Where.
    state : solver state
        Of a solver of fullbatch: arrays and scalars.
    """
    kind = type(state).__name__
    if kind not in _STATES:
        raise TypeError(f"{kind} cannot be saved; states that can: {', '.join(_STATES)}")
    write(path, kind, *contents_of(state))


def load_state(path: str | PathLike[str]) -> Any:
    """A solver's state as `save_state` saved it, or as it stands in a checkpoint, equal to the bit.

    Raises
    ------
    ModelFileError
        As `read`.
    """
    kind, arrays, metadata = read(path, tuple(_STATES))
    return state_of(path, _STATES[kind], arrays, metadata)


def contents_of(state: Any) -> tuple[dict[str, Array | Stacked], dict[str, Any]]:
    """The arrays and the metadata that a solver's state is saved as."""
    arrays: dict[str, Array | Stacked] = {}
    metadata: dict[str, Any] = {}
    for field in fields(state):
        value = getattr(state, field.name)
        if isinstance(value, tuple):
            arrays[field.name] = Stacked(value, state.theta.size)
        elif isinstance(value, np.ndarray | float):
            arrays[field.name] = np.asarray(value)
        else:
            metadata[field.name] = value
    return arrays, metadata


def state_of(
    path: str | PathLike[str], kind: type[Any], arrays: Mapping[str, Array], metadata: Mapping[str, Any]
) -> Any:
    """The state of that kind from what `contents_of` made of it.

    Raises
    ------
    ModelFileError
        Something is missing.
    """
    values: dict[str, Any] = {}
    for field in fields(kind):
        if field.name in arrays:
            array = arrays[field.name]
            values[field.name] = float(array) if array.ndim == 0 else tuple(array) if array.ndim == 2 else array
        elif field.name in metadata:
            values[field.name] = metadata[field.name]
        elif field.default is MISSING and field.default_factory is MISSING:  # a later field has a default
            raise DamagedError(f"{path} is damaged: {field.name} is missing")
    return kind(**values)


def _check_header(path: str | PathLike[str], metadata: Any, kinds: tuple[str, ...]) -> None:
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ModelFileError(f"{path} is not a file of fullbatch")
    version, kind = metadata.get("version"), metadata.get("kind")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise ModelFileError(f"{path} has version {version}, this fullbatch reads up to {VERSION}: upgrade fullbatch")
    if kinds and kind not in kinds:
        raise ModelFileError(f"{path} holds a {kind}, not a {' or '.join(kinds)}")


def _plain(value: Any) -> Any:
    """A NumPy scalar as JSON's own kind of value."""
    return value.item()


def _write_array(member: IO[bytes], array: Array | Stacked) -> None:
    if not isinstance(array, Stacked):
        np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
        return
    shape = (len(array.rows), array.size)
    np.lib.format.write_array_header_1_0(member, {"descr": "<f8", "fortran_order": False, "shape": shape})
    for row in array.rows:
        member.write(np.ascontiguousarray(row, "<f8").data)


def _read_array(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(name) as member:
        array: Array = np.lib.format.read_array(member, allow_pickle=False)
        if member.read(1):  # at the end, the checksum is checked
            raise ValueError(f"{name} is longer than its array")
    return array


def _sync_directory(directory: Path) -> None:
    """Make the file's new name last, where the system can."""
    if os.name != "posix":
        return
    handle = os.open(directory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some file systems of networks cannot
            os.fsync(handle)
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
