"""A run of many fits together from start to end: checkpoints, Ctrl-C, and what it has taken."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from ..errors import ModelFileError
from .checkpoints import Checkpoint, CheckpointWriter, Spent
from .fingerprint import Fingerprint
from .interrupts import before_the_end, ctrl_c
from .result import Notice
from .together import Together, TogetherState
from .told import look_at_all

Array = npt.NDArray[Any]

# Relative rounding of a loss from one processor to another.
_NOISE = 1e-9


class Ran(NamedTuple):
    """Many fits, and what they have taken, earlier parts that were ended included; reads of the objective before that
    count too.

    Parameters
    ----------
    state : TogetherState
    passes : int
    seconds : float
    resumed_at : int or None
        Strengths that an earlier part of the run had done.
    notices : (L, M) lists of tuples of Notice
        What is to be said of each fit beside how it ended.
    """

    state: TogetherState
    passes: int
    seconds: float
    resumed_at: int | None
    notices: list[list[tuple[Notice, ...]]]


@dataclass(frozen=True)
class _How:
    """What a run must be given again to go on, beside data and penalties."""

    folds: int
    seed: int
    tol: float
    max_iter: int
    of_sum: bool


def run_together(
    together: Together,
    checkpoint: Checkpoint | str | PathLike[str] | None = None,
    told: Mapping[str, Array] | None = None,
) -> Ran:
    """Make all fits; with a checkpoint, go on from where an earlier run was ended.

    A checkpoint holds whole groups of strengths: what an ended run had begun of the next one is done again, to the
    same bytes. Ctrl-C ends the run after the group under way, with a checkpoint if there is to be one; a second one at
    once.

    Parameters
    ----------
    together : Together
        What is to be fitted.
    checkpoint : Checkpoint, path or URL, optional
        As in `minimize`.
    told : mapping of str to array, optional
        What else must be given again, by what it is called in messages.

    Raises
    ------
    ModelFileError
        The checkpoints are those of another run: the message says what differs.
    KeyboardInterrupt
        Ctrl-C.
    """
    began = time.perf_counter()
    writer = (
        None if checkpoint is None else CheckpointWriter(checkpoint, _fingerprint(together, told or {}), TogetherState)
    )
    state: TogetherState | None = None if writer is None else writer.latest()
    resumed_at = None if state is None else state.iteration
    before = Spent() if writer is None else writer.before
    if state is not None:
        _check_kept(together, state)

    def spent() -> Spent:
        return Spent(together.objective.num_passes, 0.0, time.perf_counter() - began)

    latest = [state]

    def keep() -> None:
        if writer is not None and latest[0] is not None:
            writer.try_to_save(latest[0], spent())

    with ExitStack() as stack, np.errstate(over="ignore", invalid="ignore", divide="ignore", under="ignore"):
        pressed = stack.enter_context(ctrl_c())
        if writer is not None:
            stack.enter_context(before_the_end(keep))
            stack.callback(keep)

        def after(state: TogetherState) -> None:
            latest[0] = state
            if writer is not None:
                writer.save_if_due(state, spent())
            if pressed.is_set():
                raise KeyboardInterrupt

        state, notices = look_at_all(together, together.run(state, after))
    all_spent = spent().after(before)
    return Ran(state, all_spent.passes, all_spent.seconds, resumed_at, notices)


def _fingerprint(together: Together, told: Mapping[str, Array]) -> Fingerprint:
    how = _How(together.folds, together.seed, together.tol, together.max_iter, together.of_sum)
    of_data, first, last = Fingerprint.of(together.objective, how), together.penalties[0], together.penalties[-1]
    penalties = {
        "l1 of the first": first.l1,
        "l2 of the first": first.l2,
        "l1 of the last": last.l1,
        "l2 of the last": last.l2,
        "lower bounds": first.lower,
        "upper bounds": first.upper,
    }
    if first.l21 is not None and first.groups is not None:
        penalties |= {"l21 of the first": first.l21, "groups": first.groups}
    return replace(of_data, arrays={**of_data.arrays, **told, **penalties})


def _check_kept(together: Together, state: TogetherState) -> None:
    """What the fingerprint cannot tell, such as other targets, changes the loss where a checkpoint knows it: a pass of
    the set-up.
    """
    here, there = together.loss_where_known(state)
    if not np.allclose(here, there, rtol=_NOISE, atol=0.0):
        raise ModelFileError(
            f"the checkpoint is of another run: at its theta the loss is {there.tolist()} there and {here.tolist()} "
            "here. Targets, weights of rows or their order have changed; name another directory to begin anew"
        )
