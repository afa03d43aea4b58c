"""Files that hold models and solver states: arrays and text in an npz archive, versioned, never pickle."""

import io
import json
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import ModelFileError
from .solvers.lbfgs import LBFGSState
from .solvers.least_squares import LeastSquaresState
from .solvers.newton import NewtonState
from .solvers.newton_cg import NewtonCGState
from .solvers.sampled import SampledState

Array = npt.NDArray[Any]

FORMAT, VERSION = "fullbatch", 1
_METADATA = "metadata.json"

_STATES = {kind.__name__: kind for kind in (LBFGSState, SampledState, NewtonState, NewtonCGState, LeastSquaresState)}


def write(path: str | PathLike[str], kind: str, arrays: Mapping[str, Array], metadata: Mapping[str, Any]) -> None:
    """Write a file, whole or not at all.

    Parameters
    ----------
    path : path
        Where; an existing file of ours is replaced in one step, any other is an error.
    kind : str
        What is in it.
    arrays : mapping of str to array
        Numbers and text; objects are refused.
    metadata : mapping
        Anything JSON can hold.
    """
    path = Path(path).resolve()  # a link stays a link, to the new file
    if path.exists() and not path.is_file():
        raise ModelFileError(f"cannot save to {path}: it is not a file")
    refuse_foreign(path)
    header = {"format": FORMAT, "version": VERSION, "kind": kind, **metadata}
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".fullbatch-")
    except OSError as error:
        raise ModelFileError(f"cannot save to {path}: {path.parent}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "wb") as file, zipfile.ZipFile(file, "w") as archive:
            archive.writestr(_METADATA, json.dumps(header, indent=1, default=_plain))
            for name, array in arrays.items():
                content = io.BytesIO()
                np.save(content, array, allow_pickle=False)
                archive.writestr(f"{name}.npy", content.getvalue())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


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


def read(path: str | PathLike[str], kinds: tuple[str, ...]) -> tuple[str, dict[str, Array], dict[str, Any]]:
    """What `write` wrote.

    Parameters
    ----------
    path : path
        The file.
    kinds : tuple of str
        What may be in it.

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
        with zipfile.ZipFile(path) as archive:
            if _METADATA not in archive.namelist():
                raise ModelFileError(f"{path} is not a file of fullbatch: it has no {_METADATA}")
            metadata = json.loads(archive.read(_METADATA))
            _check_header(path, metadata, kinds)
            arrays = {
                name.removesuffix(".npy"): np.load(io.BytesIO(archive.read(name)), allow_pickle=False)
                for name in archive.namelist()
                if name != _METADATA
            }
    except FileNotFoundError:
        raise ModelFileError(f"there is no file {path}") from None
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
        raise ModelFileError(f"{path} is damaged, or not a file of fullbatch: {error}") from None
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
    arrays: dict[str, Array] = {}
    metadata: dict[str, Any] = {}
    for field in fields(state):
        value = getattr(state, field.name)
        if isinstance(value, tuple):
            arrays[field.name] = np.array(value).reshape(len(value), state.theta.size)
        elif isinstance(value, np.ndarray | float):
            arrays[field.name] = np.asarray(value)
        else:
            metadata[field.name] = value
    write(path, kind, arrays, metadata)


def load_state(path: str | PathLike[str]) -> Any:
    """A solver's state as `save_state` saved it, equal to the bit.

    Raises
    ------
    ModelFileError
        As `read`.
    """
    kind, arrays, metadata = read(path, tuple(_STATES))
    values: dict[str, Any] = {}
    for field in fields(_STATES[kind]):
        if field.name in arrays:
            array = arrays[field.name]
            values[field.name] = float(array) if array.ndim == 0 else tuple(array) if array.ndim == 2 else array
        elif field.name in metadata:
            values[field.name] = metadata[field.name]
        else:
            raise ModelFileError(f"{path} is damaged: {field.name} is missing")
    return _STATES[kind](**values)


def _check_header(path: str | PathLike[str], metadata: Any, kinds: tuple[str, ...]) -> None:
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise ModelFileError(f"{path} is not a file of fullbatch")
    version, kind = metadata.get("version"), metadata.get("kind")
    if not isinstance(version, int) or not 1 <= version <= VERSION:
        raise ModelFileError(f"{path} has version {version}, this fullbatch reads up to {VERSION}: upgrade fullbatch")
    if kind not in kinds:
        raise ModelFileError(f"{path} holds a {kind}, not a {' or '.join(kinds)}")


def _plain(value: Any) -> Any:
    """A NumPy scalar as JSON's own kind of value."""
    return value.item()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
