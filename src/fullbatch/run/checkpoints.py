"""Checkpoints: a run that is killed goes on from the latest of them as if it had never ended."""

import glob
import logging
import os
import re
import socket
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, is_dataclass
from functools import wraps
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from .. import __version__
from ..errors import DamagedError, MissingExtraError, ModelFileError
from ..objective.objective import Objective
from ..protocols.requests import ValueGrad
from ..protocols.seams import Facts
from ..saving import archive, files
from ..wording.arguments import check_number, check_whole
from ..wording.shown import named, real, without_secrets
from . import saved
from .fingerprint import Fingerprint

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

_NAME = re.compile(r"checkpoint-([0-9]{8,})\.fb")
_UNFINISHED = re.compile(rf"\.{_NAME.pattern}-.*")
# At URLs nothing can be locked: the name tells the machine and the process that writes.
_OWNED = re.compile(r"\..*\.fb-(?P<host>.*)-(?P<process>[0-9]+)-[0-9a-f]{32}\.unfinished")

# Packages whose other versions may round otherwise.
_PACKAGES = ("numpy", "scipy", "numba")

# Relative rounding of F from one processor, or kind of request, to another.
_NOISE = {"float64": 1e-9, "float32": 1e-6}

# Share of F at the start that is rounding where the fit is exact, and F nothing else.
_NOTHING = {"float64": 1e-13, "float32": 1e-8}


@dataclass(frozen=True)
class Checkpoint:
    """Where a run keeps its state, and how often.

    Checkpoints are written at accepted iterates, and when the run ends for whatever reason: each is a file of its own,
    whole or not there. A run that finds some in its directory goes on from the latest.

    Parameters
    ----------
    path : path or URL
        A directory that belongs to this run, made where it is missing; or the URL of one, such as "s3://bucket/run",
        which takes `pip install "fullbatch[fsspec]"` and the package for its kind.
    every : float
        Least seconds between checkpoints; 0 for one at every iterate.
    keep : int
        How many of the latest stay; more than one, so that a damaged one is not the end.
    """

    path: str | PathLike[str]
    every: float = 60.0
    keep: int = 2

    def __post_init__(self) -> None:
        if not isinstance(self.path, str | PathLike):
            raise ValueError(f"path must be a path or a URL, got {self.path!r}")
        check_number("every", self.every)
        check_whole("keep", self.keep, 1)
        if isinstance(self.path, str):
            object.__setattr__(self, "path", named(self.path))

    @classmethod
    def from_config(cls, run_config: Any, every: float = 60.0) -> Self:
        """As Ray's own configuration object says.

        Parameters
        ----------
        run_config : ray.train.RunConfig or ray.tune.RunConfig
            `storage_path` and `name` are the directory; `num_to_keep` of its `checkpoint_config` is `keep`.
        every : float
            As above.

        Raises
        ------
        ValueError
            One of the two is not given: a name made up anew for each run would never be found again.
        """
        path, name = run_config.storage_path, run_config.name
        if not (path and name) or name.startswith("ray_train_run-"):  # as Ray Train names those without a name
            raise ValueError("a run that is to go on needs RunConfig(name=..., storage_path=...)")
        kept = getattr(getattr(run_config, "checkpoint_config", None), "num_to_keep", None)
        return cls(f"{real(path).rstrip('/')}/{name}", every, *([] if kept is None else [kept]))


def check_checkpoint(checkpoint: Any) -> None:
    """Refuse what tells of no directory; None is for no checkpoints."""
    if not (checkpoint is None or isinstance(checkpoint, Checkpoint | str | PathLike)):
        raise ValueError(f"checkpoint must be a Checkpoint, a path or a URL, or None, got {checkpoint!r}")


class Spent(NamedTuple):
    """What a run has taken, from its beginning, earlier parts that were ended included."""

    passes: int = 0
    sampled_passes: float = 0.0
    seconds: float = 0.0

    def after(self, earlier: "Spent") -> "Spent":
        """Together with an earlier part."""
        return Spent(
            self.passes + earlier.passes, self.sampled_passes + earlier.sampled_passes, self.seconds + earlier.seconds
        )


class _AnotherRunError(ModelFileError):
    """A checkpoint is whole, and of another run."""


class CheckpointWriter:
    """Writes the checkpoints of one run, and reads those that an earlier part of it wrote.

    Parameters
    ----------
    checkpoint : Checkpoint or path
        Where, and how often.
    fingerprint : Fingerprint
        Of the run.
    kind : type
        Of its states.
    """

    def __init__(self, checkpoint: Checkpoint | str | PathLike[str], fingerprint: Fingerprint, kind: type[Any]) -> None:
        self._options = checkpoint if isinstance(checkpoint, Checkpoint) else Checkpoint(checkpoint)
        self._fingerprint = fingerprint
        # Another solver of ours may have taken over: see `driver.other_solver`.
        self._kinds = saved.STATES | {kind.__name__: kind}
        self._folder = _folder(self._options.path)
        self._numbers, taken = self._folder.open()
        self._last = max(taken, default=-1)
        self._damaged: set[int] = set()
        self._before = Spent()
        self._saved, self._when = None, time.monotonic()

    @classmethod
    def of(cls, checkpoint: Checkpoint | str | PathLike[str], objective: Objective, solver: Any) -> Self:
        """That of a run of `solver` on `objective`.

        Raises
        ------
        ValueError, TypeError
            The solver cannot go on from a checkpoint.
        """
        name, kind = type(solver).__name__, getattr(solver, "state", None)
        if hasattr(solver, "run"):
            raise ValueError(f"{name} keeps its own loop and cannot go on from a checkpoint: use 'lbfgs'")
        if not (isinstance(kind, type) and is_dataclass(kind)):
            raise TypeError(
                f"{name} does not tell of what kind its states are: give it an attribute `state`, their dataclass"
            )
        return cls(checkpoint, Fingerprint.of(objective, solver), kind)

    def latest(self) -> Any:
        """The state of the latest checkpoint that can be read; None where there is none at all.

        Raises
        ------
        ModelFileError
            It is that of another run, and says what differs; or there are some and none can be read.
        """
        reasons = []
        for number in sorted(self._numbers, reverse=True):
            where = self._folder.where(number)
            try:
                state, spent, versions = self._read(number, where)
            except _AnotherRunError:
                raise
            except ModelFileError as error:
                logger.warning("%s; looking for the checkpoint before it", error)
                reasons.append(str(error))
                if isinstance(error, DamagedError):  # others may be read again some day
                    self._damaged.add(number)
                continue
            _warn_of_versions(where, versions)
            self._before, self._saved = spent, state
            logger.info(
                "going on from %s: iteration %d, %d passes, %.1f s", where, state.iteration, spent.passes, spent.seconds
            )
            return state
        if self._numbers:
            raise ModelFileError(
                f"none of the {len(self._numbers)} checkpoints in {self._folder} can be read: remove them to "
                f"begin anew, or name another directory. The latest: {reasons[0]}"
            )
        return None

    def _read(self, number: int, where: str) -> tuple[Any, Spent, dict[str, str]]:
        kind, arrays, metadata = self._folder.read(number)
        arrays, metadata, parts, of_run = saved.apart(where, arrays, metadata)
        there = Fingerprint(of_run["fingerprint"], parts)
        self._check(where, there, kind)
        state = saved.state_of(where, self._kinds[kind], arrays, metadata)
        if state.theta.size != there.told["parameters"]:
            raise DamagedError(f"{where} is damaged: theta has {state.theta.size} parameters, not those of its run")
        return state, Spent(*of_run["spent"]), of_run["versions"]

    def save_if_due(self, state: Any, spent: Spent) -> None:
        """Save the state as far as that can be done, if the last checkpoint is old enough."""
        if time.monotonic() - self._when >= self._options.every:
            self.try_to_save(state, spent)

    def try_to_save(self, state: Any, spent: Spent) -> None:
        """Save the state, or warn: the run is worth more than its checkpoint."""
        try:
            self.save(state, spent)
        except Exception as error:  # file systems of URLs have errors of kinds of their own
            logger.warning(
                "no checkpoint of iteration %d in %s: %s: %s",
                state.iteration,
                self._folder,
                type(error).__name__,
                error,
            )

    def save(self, state: Any, spent: Spent) -> None:
        """Save the state, unless it is saved already."""
        if state is self._saved:
            return
        told = {"fingerprint": self._fingerprint.told, "versions": _versions(), "spent": spent.after(self._before)}
        arrays, metadata = saved.joined(*saved.contents_of(state), self._fingerprint.arrays, told)
        number = self._last + 1  # a name is never used again, that of a damaged one neither
        self._folder.write(number, type(state).__name__, arrays, metadata)
        self._numbers.add(number)
        self._last, self._saved, self._when = number, state, time.monotonic()
        kept = sorted(self._numbers - self._damaged)[-self._options.keep :]
        for old in self._numbers.difference(kept):
            self._folder.remove(old)
        self._numbers = set(kept)

    def _check(self, where: str, there: Fingerprint, kind: str) -> None:
        differences = self._fingerprint.differences(there)
        if not differences and kind not in self._kinds:
            differences = [f"state of the solver: {kind} there, {' or '.join(self._kinds)} here"]
        if differences:
            raise _AnotherRunError(
                f"{where} is of another run: {'; '.join(differences)}. Give the run what it was begun with to go on, "
                "or name another directory to begin anew"
            )


def check_kept(state: Any, objective: Objective, solver: Any) -> None:
    """One pass at the iterate of a checkpoint: what the fingerprint cannot tell, targets or a model's code, changes F
    or, where all predictions are still alike, its gradient.

    Raises
    ------
    ModelFileError
        F or its gradient is another one.
    """
    if state.theta.shape != (objective.size,) or ValueGrad not in objective.facts.answers:
        return
    objective.num_setup_passes += 1
    objective.num_passes -= 1
    value, grad = objective.value_and_grad(state.theta)
    facts = objective.facts
    noise = _NOISE[facts.parameters.dtype]
    allowed = noise * (1.0 if ValueGrad in solver.requests else 1e4) * max(abs(value), abs(state.value))
    first = abs(getattr(state, "first_value", 0.0))
    differs = ""
    if not abs(value - state.value) <= max(allowed, _NOTHING[facts.parameters.dtype] * first):
        differs = f"F is {state.value!r} there and {value!r} here"
    elif (distance := _norm(grad - state.grad)) > _allowed_distance(grad, state, facts, noise, max(abs(value), first)):
        differs = f"the gradients of F there and here are {distance:.3g} apart"
    if differs:
        raise ModelFileError(
            f"the checkpoint is of another run: at its theta {differs}. Targets, weights of rows, their order, or the "
            "code of the model have changed; name another directory to begin anew"
        )


def _allowed_distance(grad: Array, state: Any, facts: Facts, noise: float, value: float) -> float:
    """Between two gradients of the same F: a small share of them and, where they cancel, rounding of what they add up.

    By Cauchy and Schwarz, the terms of a linear model are columns times residuals, or times predictions.
    """
    allowed = float(np.sqrt(noise)) * max(_norm(grad), _norm(state.grad), state.first_norm)
    if facts.squares is None:
        return allowed
    columns = float(np.sqrt(facts.squares.sum()))
    return allowed + noise * columns * (float(np.sqrt(2.0 * value)) + columns * _norm(state.theta))


def _norm(vector: Array) -> float:
    return float(np.linalg.norm(vector))


class _Folder(ABC):
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


class _Local(_Folder):
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
    def safe(folder: "_Remote", *arguments: Any) -> Any:
        try:
            return method(folder, *arguments)
        except (ModelFileError, MissingExtraError):
            raise
        except Exception as error:  # each file system has kinds of its own
            problem = f"{folder}: {type(error).__name__}: {without_secrets(str(error), folder.path)}"
        raise ModelFileError(problem)  # here, so that it does not bring the other one along

    return safe


class _Remote(_Folder):
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


def _folder(path: str | PathLike[str]) -> _Folder:
    return _Remote(path) if "://" in real(path) else _Local(path)


def _name(number: int) -> str:
    return f"checkpoint-{number:08}.fb"


def _numbers(names: Iterable[str]) -> set[int]:
    return {int(match[1]) for match in map(_NAME.fullmatch, names) if match}


def _versions() -> dict[str, str]:
    return {"fullbatch": __version__} | {name: version(name) for name in _PACKAGES}


def _warn_of_versions(where: str, there: Mapping[str, str]) -> None:
    here = _versions()
    different = [
        f"{name} {there.get(name)} there, {number} here" for name, number in here.items() if there.get(name) != number
    ]
    if different:
        logger.warning(
            "%s was written with other versions (%s): the result will not be the same to the byte",
            where,
            "; ".join(different),
        )
