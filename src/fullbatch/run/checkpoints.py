"""Checkpoints: a run that is killed goes on from the latest of them as if it had never ended."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, is_dataclass, replace
from importlib.metadata import version
from os import PathLike
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from .. import __version__
from ..errors import DamagedError, ModelFileError
from ..machine.vectors import norm
from ..objective.objective import Objective
from ..protocols.requests import ValueGrad
from ..protocols.seams import Facts
from ..wording.arguments import check_number, check_whole
from ..wording.shown import named, real
from . import saved
from ._checkpoint_folder import folder_of
from .fingerprint import Fingerprint

Array = npt.NDArray[Any]

logger = logging.getLogger(__name__)

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

    @classmethod
    def within(cls, checkpoint: "Checkpoint | str | PathLike[str]", name: str) -> "Checkpoint":
        """A directory of that name within another checkpoint's: of one run among several of a fit."""
        kept = checkpoint if isinstance(checkpoint, Checkpoint) else cls(checkpoint)
        return replace(kept, path=f"{real(kept.path).rstrip('/')}/{name}")


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
        # Another solver of ours may have taken over: see `_other_solver`.
        self._kinds = saved.STATES | {kind.__name__: kind}
        self._folder = folder_of(self._options.path)
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

    @property
    def before(self) -> Spent:
        """What the earlier parts of the run have taken, up to the checkpoint that `latest` read."""
        return self._before

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
    elif (distance := norm(grad - state.grad)) > _allowed_distance(grad, state, facts, noise, max(abs(value), first)):
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
    allowed = float(np.sqrt(noise)) * max(norm(grad), norm(state.grad), state.first_norm)
    if facts.squares is None:
        return allowed
    columns = float(np.sqrt(facts.squares.sum()))
    return allowed + noise * columns * (float(np.sqrt(2.0 * value)) + columns * norm(state.theta))


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
